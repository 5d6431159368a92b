//! Disputes: list, look, give in, send evidence.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use baton_connect::{DisputeStage, DisputeStatus, Evidence, EvidenceField};
use baton_payments::{Dispute, DisputeSeen, Merchant, Payments, Seen, Stored};
use baton_store::ListQuery;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::PaymentsRoute;
use super::auth::{Asker, Who};
use super::body::{Body, ClientKey, Params, without_digits};
use super::error::Refusal;
use super::lists::{Between, currencies, known, lower, page_size, profile, time, words};
use super::view;
use crate::App;
use crate::pan::holds_card_number;

/// Longest text of evidence, in characters. What Stripe takes of its longest fields.
const EVIDENCE_MAX: usize = 20_000;

/// The stages of the contract; in the last two no dispute is here.
const STAGES: [&str; 5] =
    ["pre_dispute", "dispute", "pre_arbitration", "arbitration", "dispute_reversal"];

/// What the contract takes as ids of files.
const FILES: [&str; 10] = [
    "cancellation_policy",
    "customer_communication",
    "customer_signature",
    "receipt",
    "refund_policy",
    "service_documentation",
    "shipping_documentation",
    "invoice_showing_distinct_transactions",
    "recurring_transaction_agreement",
    "uncategorized_file",
];

pub(crate) fn routes() -> Vec<PaymentsRoute> {
    let (post, get, who) = ("POST", "GET", Who::Merchant);
    vec![
        PaymentsRoute::new(get, "/disputes/list", who, list),
        PaymentsRoute::new(get, "/disputes/profile/list", who, list),
        PaymentsRoute::new(get, "/disputes/aggregate", who, aggregate),
        PaymentsRoute::new(get, "/disputes/profile/aggregate", who, aggregate),
        PaymentsRoute::new(get, "/disputes/{dispute_id}", who, show),
        PaymentsRoute::new(post, "/disputes/accept/{dispute_id}", who, accept),
        PaymentsRoute::new(post, "/disputes/evidence", who, submit),
        PaymentsRoute::new(get, "/disputes/evidence/{dispute_id}", who, evidence),
    ]
}

type Answer = Result<Json<Value>, Refusal>;

/// A dispute in the contract's form. Its amount is a text there.
pub(crate) fn shown(seen: &DisputeSeen) -> Value {
    let Stored { body, .. } = &seen.dispute;
    let mut map = brief(&seen.dispute);
    let said: Map<String, Value> = body
        .evidence
        .iter()
        .map(|(field, text)| (field.as_str().to_owned(), text.as_str().into()))
        .collect();
    let step = body.step.as_ref();
    view::extend(
        &mut map,
        json!({
            "payment_id": body.intent,
            "attempt_id": format!("{}_{}", body.intent, body.number),
            "currency": body.amount.currency().code(),
            "connector": body.connector,
            "profile_id": body.profile,
            "merchant_connector_id": body.account,
            "is_already_refunded": seen.refunded_too,
            "evidence": (!said.is_empty()).then_some(said),
            "pending_action": step.map(|step| step.action.as_str()),
            "pending_reason": step.and_then(|step| step.doubt.clone()),
        }),
    );
    Value::Object(map)
}

/// What a payment shows of a dispute, too.
fn brief(dispute: &Stored<Dispute>) -> Map<String, Value> {
    let Stored { body, created_at, .. } = dispute;
    let mut map = Map::new();
    view::extend(
        &mut map,
        json!({
            "dispute_id": body.id,
            "amount": body.amount.minor().to_string(),
            "dispute_stage": body.stage.as_str(),
            "dispute_status": body.status.as_str(),
            "connector_status": body.word,
            "connector_dispute_id": body.reference,
            "connector_reason": body.reason,
            "connector_reason_code": body.reason_code,
            "challenge_required_by": body.respond_by.map(view::time),
            "connector_created_at": body.opened_at.map(view::time),
            "connector_updated_at": body.told_at.map(view::time),
            "created_at": view::time(*created_at),
        }),
    );
    map
}

/// A payment as it is shown, with its disputes. Those of one that has none are null.
pub(crate) async fn with_disputes(
    app: &App,
    merchant: &Merchant,
    seen: &Seen,
    mut payment: Value,
) -> Result<Value, Refusal> {
    let disputes = app.payments.disputes_of_intent(merchant, seen).await?;
    if let Value::Object(map) = &mut payment
        && !disputes.is_empty()
    {
        let all: Vec<Value> = disputes.iter().map(|one| brief(one).into()).collect();
        map.insert("disputes".to_owned(), all.into());
    }
    Ok(payment)
}

/// Which disputes are asked for. Words may be several, with a comma in between.
#[derive(Deserialize)]
struct Filter {
    limit: Option<i64>,
    dispute_id: Option<String>,
    payment_id: Option<String>,
    profile_id: Option<String>,
    dispute_status: Option<String>,
    dispute_stage: Option<String>,
    reason: Option<String>,
    connector: Option<String>,
    merchant_connector_id: Option<String>,
    currency: Option<String>,
    received_time: Option<String>,
    #[serde(rename = "received_time.gte")]
    gte: Option<String>,
    #[serde(rename = "received_time.gt")]
    gt: Option<String>,
    #[serde(rename = "received_time.lte")]
    lte: Option<String>,
    #[serde(rename = "received_time.lt")]
    lt: Option<String>,
}

fn several(text: Option<String>) -> Option<Vec<String>> {
    text.map(|text| text.split(',').map(|word| word.trim().to_owned()).collect())
}

impl Filter {
    fn into_query(self, all: ListQuery) -> Result<ListQuery, Refusal> {
        let statuses: Vec<&str> = DisputeStatus::ALL.iter().map(|status| status.as_str()).collect();
        let between = Between {
            name: "received_time",
            at: self.received_time.as_deref(),
            gte: self.gte.as_deref(),
            gt: self.gt.as_deref(),
            lte: self.lte.as_deref(),
            lt: self.lt.as_deref(),
        };
        let mut query = ListQuery {
            id: self.dispute_id,
            owner: self.payment_id,
            profile: profile(&all, self.profile_id)?,
            reference: self.reason,
            statuses: known("dispute_status", several(self.dispute_status), &statuses)?,
            methods: known("dispute_stage", several(self.dispute_stage), &STAGES)?,
            currencies: currencies(several(self.currency))?,
            accounts: words("merchant_connector_id", several(self.merchant_connector_id))?,
            connectors: lower(words("connector", several(self.connector))?),
            limit: page_size(self.limit)?,
            ..all
        };
        between.narrow(&mut query)?;
        Ok(query)
    }
}

async fn list(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Params(filter): Params<Filter>,
) -> Answer {
    let merchant = asker.merchant()?;
    let query = filter.into_query(Payments::disputes_of(&merchant))?;
    let page = app.payments.list_disputes(&merchant, &query).await?;
    Ok(Json(page.iter().map(shown).collect()))
}

/// From when and until when disputes are counted.
#[derive(Deserialize)]
struct Range {
    start_time: Option<String>,
    end_time: Option<String>,
}

async fn aggregate(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Params(range): Params<Range>,
) -> Answer {
    let merchant = asker.merchant()?;
    let mut query = Payments::disputes_of(&merchant);
    let start = time("start_time", range.start_time.as_deref())?;
    query.from = start.ok_or_else(|| Refusal::missing("start_time"))?;
    query.to = time("end_time", range.end_time.as_deref())?.unwrap_or(query.to);
    let mut counts = Map::new();
    for status in DisputeStatus::ALL {
        query.statuses = vec![status.as_str().to_owned()];
        let count = app.payments.count(&query).await?;
        counts.insert(status.as_str().to_owned(), count.into());
    }
    Ok(Json(json!({ "status_with_count": counts })))
}

#[derive(Deserialize)]
struct Look {
    force_sync: Option<bool>,
}

async fn show(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    Params(look): Params<Look>,
) -> Answer {
    let merchant = asker.merchant()?;
    let sync = look.force_sync == Some(true);
    let seen = app.payments.retrieve_dispute(&merchant, &id, sync).await?;
    Ok(Json(shown(&seen)))
}

async fn accept(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    ClientKey(key): ClientKey,
) -> Answer {
    let merchant = asker.merchant()?;
    let seen = app.payments.accept_dispute(&merchant, &id, key.as_deref()).await?;
    Ok(Json(shown(&seen)))
}

/// Evidence: texts, by the contract's names. Its names of files are known, and refused.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct EvidenceRequest {
    /// The dispute.
    dispute_id: Option<String>,
    #[serde(flatten)]
    #[schemars(with = "std::collections::BTreeMap<String, Option<String>>")]
    said: Map<String, Value>,
}

impl EvidenceRequest {
    fn evidence(self) -> Result<Evidence, Refusal> {
        let mut evidence = Evidence::new();
        for (name, value) in self.said {
            let field = EvidenceField::ALL.iter().find(|field| field.as_str() == name);
            let text = match (field, value) {
                (None, _) if !FILES.contains(&name.as_str()) => {
                    return Err(Refusal::json(without_digits(&format!("unknown field `{name}`"))));
                }
                (_, Value::Null) => continue,
                (None, _) => {
                    return Err(Refusal::value(&name, "files are not taken here; send texts"));
                }
                (Some(_), Value::String(text)) => text,
                (
                    Some(_),
                    Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_),
                ) => {
                    return Err(Refusal::json(format!("{name}: expected a string")));
                }
            };
            check_said(&name, &text)?;
            if let Some(field) = field.filter(|_| !text.trim().is_empty()) {
                evidence.insert(*field, text);
            }
        }
        Ok(evidence)
    }
}

fn check_said(name: &str, text: &str) -> Result<(), Refusal> {
    if text.chars().count() > EVIDENCE_MAX {
        return Err(Refusal::value(name, format!("longer than {EVIDENCE_MAX} characters")));
    }
    if text.contains('\0') {
        return Err(Refusal::value(name, "holds a NUL character"));
    }
    if holds_card_number(text) {
        return Err(Refusal::value(name, "holds a card number"));
    }
    Ok(())
}

async fn submit(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    ClientKey(key): ClientKey,
    Body(mut request): Body<EvidenceRequest>,
) -> Answer {
    let merchant = asker.merchant()?;
    let id = request.dispute_id.take().ok_or_else(|| Refusal::missing("dispute_id"))?;
    let evidence = request.evidence()?;
    let seen = app.payments.submit_evidence(&merchant, &id, evidence, key.as_deref()).await?;
    Ok(Json(shown(&seen)))
}

/// The files that are attached. None can be: the texts that were sent are in the dispute itself.
async fn evidence(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
) -> Answer {
    let merchant = asker.merchant()?;
    app.payments.see_dispute(&merchant, &id).await?;
    Ok(Json(json!([])))
}

/// Whether the contract knows a stage, for the description.
pub(crate) fn stages() -> Vec<&'static str> {
    DisputeStage::ALL.iter().map(|stage| stage.as_str()).collect()
}
