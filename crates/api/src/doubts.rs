//! What is in doubt, for the operator: a list, the evidence of one payment, and settling by hand.
//!
//! A merchant's key sees its merchant's payments, a sandbox key those of test accounts; the operator's own key sees
//! all of them.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use baton_engine::doubts::{self, Chapter, Doubt, DoubtFilter, Evidence, REASON_MAX, Verdict};
use baton_engine::keys::Scope;
use baton_engine::{Caller, EngineError};
use baton_flow::{Call, CallId, CallState, Payment, Settlement};
use baton_types::outcome::Outcome;
use baton_types::{MerchantId, Money, PaymentId, Timestamp};
use http::StatusCode;
use schemars::{JsonSchema, json_schema};
use serde::Serialize;
use serde_json::Value;

use crate::App;
use crate::accounts::{NO_ACCOUNT_NAME, is_account_name};
use crate::audit::PageSize;
use crate::behalf::{Fault, named, refuse};
use crate::body::{Json, JsonBody};
use crate::error::{ValidationErrorMessage, failure, json, validation};
use crate::fields::{FieldError, Fields, sentence};
use crate::openapi::types::{self, described};
use crate::openapi::{Doc, Draft, Param, Tag};
use crate::query::{Pairs, pairs, truth};
use crate::route::{Access, Route};

/// How many doubts a page has when none is asked for, and at most.
const PAGE: u32 = 100;
const PAGE_MAX: u32 = 1000;

/// Longest cursor, in characters.
pub(crate) const CURSOR_MAX: usize = 100;

pub(crate) const PAYMENT_ID: Param = Param::of::<types::Id>("id", "Our id of the payment.");

pub(crate) const OF_MERCHANT: Param =
    Param::of::<String>("merchant", "Only of this merchant; for the operator's own key.");

const FILTERS: [Param; 6] = [
    OF_MERCHANT,
    Param::of::<bool>("sandbox", "Only of test accounts, or only of live ones."),
    Param::of::<types::AccountName>("account", "Only at the account of this name."),
    Param::of::<types::Time>("before", "Only what has been in doubt since before this time."),
    Param::of::<PageStart>("cursor", "The `next_cursor` of the page before."),
    Param::of::<PageSize>("limit", "Doubts per page; 100 if absent."),
];

const EXAMPLE: &str = r#"{
    "call": "a1", "as": "voided", "reason": "The provider's support has cancelled it, ticket 4711."}"#;

pub(crate) fn routes() -> Vec<Route> {
    let access = Access::Key(Scope::Admin);
    let oldest = "Calls whose outcome nobody knows yet, those of the oldest payment first.";
    let list_doc = FILTERS
        .iter()
        .fold(Doc::new("DoubtList", Tag::Admin, "List what is in doubt", oldest), |doc, filter| {
            doc.query(*filter)
        });
    let by_hand = "For a call in doubt whose provider will not say what became of it. The entry in the audit log is \
                   part of the same commit. No other account is tried behind a call that was settled by hand.";
    vec![
        Route::get(
            "/admin/v1/doubts",
            access,
            list,
            failing(list_doc.gives::<DoubtList>(StatusCode::OK, "A page of doubts.")),
        ),
        Route::get(
            "/admin/v1/payments/{id}",
            access,
            show,
            failing(
                about(Doc::new(
                    "PaymentEvidence",
                    Tag::Admin,
                    "Look at a payment's evidence",
                    "Every call with its plan, look-ups and conclusion, and the history as it was recorded.",
                ))
                .gives::<EvidenceView>(StatusCode::OK, "The payment.")
                .empty(StatusCode::NOT_FOUND, "There is no such payment."),
            ),
        ),
        Route::post(
            "/admin/v1/payments/{id}/settle",
            access,
            settle,
            failing(
                about(Doc::new("PaymentSettle", Tag::Admin, "Settle a doubt by hand", by_hand))
                    .takes::<SettleRequest>(EXAMPLE)
                    .gives::<EvidenceView>(StatusCode::OK, "The payment as it is now.")
                    .empty(StatusCode::NOT_FOUND, "There is no such payment.")
                    .gives::<ValidationErrorMessage<'_>>(
                        StatusCode::CONFLICT,
                        "The call is not in doubt, or what is known contradicts it.",
                    ),
            ),
        ),
    ]
}

fn about(doc: Draft) -> Draft {
    doc.path(PAYMENT_ID).query(OF_MERCHANT)
}

pub(crate) fn failing(doc: Doc) -> Doc {
    doc.gives::<ValidationErrorMessage<'_>>(
        StatusCode::SERVICE_UNAVAILABLE,
        "The database cannot be reached.",
    )
}

described!(
    /// A place in a list, as an earlier page told it.
    PageStart,
    json_schema!({ "type": "string", "maxLength": CURSOR_MAX })
);

described!(
    /// As it was recorded; what there is depends on what it is.
    Recorded,
    json_schema!({ "type": "object" })
);

described!(
    /// What an operator has found out.
    SettlementWord,
    json_schema!({ "type": "string", "enum": Settlement::ALL.map(Settlement::as_str) })
);

/// What became of a call, as an operator has found out.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes what `read_verdict` reads")]
struct SettleRequest {
    /// The call: `a1` is the first attempt, `c1` the first capture, `v1` the first void, `r1` the first refund.
    #[schemars(length(min = 2, max = 6))]
    call: String,
    r#as: SettlementWord,
    /// How it is known.
    #[schemars(length(min = 1, max = REASON_MAX))]
    reason: String,
}

/// A page of doubts.
#[derive(Serialize, JsonSchema)]
pub struct DoubtList {
    /// The doubts.
    pub data: Vec<DoubtView>,
    /// For the next page; null on the last one.
    pub next_cursor: Option<String>,
}

/// A call in doubt.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Doubt")]
pub struct DoubtView {
    /// The payment.
    #[schemars(with = "types::Id")]
    pub payment: String,
    /// Its merchant.
    #[schemars(with = "types::Id")]
    pub merchant: String,
    /// `a1` is the first attempt, `c1` the first capture, `v1` the first void, `r1` the first refund.
    pub call: String,
    /// What was asked: `charge`, `authorize`, `capture`, `void` or `refund`.
    pub operation: &'static str,
    /// The account.
    pub account: Option<String>,
    /// Its gateway.
    pub gateway: Option<String>,
    /// Whether no real money is moved.
    pub sandbox: bool,
    /// An exact decimal.
    pub amount: Option<String>,
    /// ISO 4217.
    pub currency: Option<String>,
    /// The merchant's own reference.
    pub my_ref: Option<String>,
    /// Our reference at the provider.
    pub reference: String,
    /// How it stands: `unknown`, `pending` or `action_required`.
    pub outcome: &'static str,
    /// How the answer was lost.
    pub reason: Option<&'static str>,
    /// Since when.
    #[schemars(with = "types::Time")]
    pub since: String,
    /// When it is looked up next.
    #[schemars(with = "types::Time")]
    pub next_check_at: String,
    /// How often it was looked up.
    pub checks: usize,
}

impl DoubtList {
    /// A page, and where the next one begins.
    #[must_use]
    pub fn of(page: &[Doubt], more: bool) -> Self {
        let last = page.last().filter(|_| more);
        let cursor = last.map(|doubt| format!("{}.{}", doubt.payment.id, doubt.call));
        Self { data: page.iter().map(DoubtView::from).collect(), next_cursor: cursor }
    }
}

/// Where a page begins, as [`DoubtList`] told it.
#[must_use]
pub fn doubt_cursor(text: &str) -> Option<(PaymentId, CallId)> {
    let (payment, call) = text.split_once('.')?;
    Some((PaymentId::parse(payment).ok()?, call.parse().ok()?))
}

impl From<&Doubt> for DoubtView {
    fn from(doubt: &Doubt) -> Self {
        let (payment, id) = (&doubt.payment, doubt.call);
        let at = payment.attempt_of(id).and_then(|attempt| payment.candidate(attempt));
        let call = payment.call(id);
        let open = call.and_then(|call| match &call.state {
            CallState::Open { outcome } => Some(outcome),
            CallState::Planned | CallState::Final { .. } | CallState::Closed { .. } => None,
        });
        let amount = payment.amount_of(id).or_else(|| payment.order.kind.amount());
        Self {
            payment: payment.id.to_string(),
            merchant: payment.merchant.to_string(),
            call: id.to_string(),
            operation: operation(payment, id),
            account: at.map(|at| at.label.clone()),
            gateway: at.map(|at| at.gateway.clone()),
            sandbox: payment.order.test,
            amount: amount.map(Money::to_major),
            currency: amount.map(|amount| amount.currency().code().to_owned()),
            my_ref: payment.order.merchant_ref.clone(),
            reference: call.map(|call| call.reference.clone()).unwrap_or_default(),
            outcome: open.map_or("unknown", Outcome::class),
            reason: open.and_then(why),
            since: doubt.since.to_rfc3339(),
            next_check_at: doubt.next_check.to_rfc3339(),
            checks: call.map_or(0, |call| call.checks.len()),
        }
    }
}

fn why(outcome: &Outcome) -> Option<&'static str> {
    let Outcome::Unknown { why } = outcome else { return None };
    Some(why.as_str())
}

fn operation(payment: &Payment, id: CallId) -> &'static str {
    match id {
        CallId::Attempt(_) => payment.order.kind.as_str(),
        CallId::Capture(_) => "capture",
        CallId::Void(_) => "void",
        CallId::Refund(_) => "refund",
        CallId::Increment(_) => "increment",
    }
}

/// A payment with every call made for it, and its history.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Evidence")]
pub struct EvidenceView {
    /// The payment.
    #[schemars(with = "types::Id")]
    pub payment: String,
    /// Its merchant.
    #[schemars(with = "types::Id")]
    pub merchant: String,
    /// What was asked.
    pub operation: &'static str,
    /// Whether no real money is moved.
    pub sandbox: bool,
    /// An exact decimal.
    pub amount: Option<String>,
    /// ISO 4217.
    pub currency: Option<String>,
    /// The merchant's own reference.
    pub my_ref: Option<String>,
    /// How it stands in one word.
    pub status: &'static str,
    /// When it was made.
    #[schemars(with = "types::Time")]
    pub created_at: String,
    /// When it last changed.
    #[schemars(with = "types::Time")]
    pub updated_at: String,
    /// How many commits it has had.
    pub version: u64,
    /// Every call.
    pub calls: Vec<CallView>,
    /// What happened, oldest first.
    pub history: Vec<ChapterView>,
}

/// One call to a provider.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Call")]
pub struct CallView {
    /// The call.
    pub call: String,
    /// What was asked.
    pub operation: &'static str,
    /// The account.
    pub account: Option<String>,
    /// Its gateway.
    pub gateway: Option<String>,
    /// Our reference at the provider.
    pub reference: String,
    /// The node that planned it.
    pub node: String,
    /// When it was planned.
    #[schemars(with = "types::Time")]
    pub planned_at: String,
    /// After this time its first byte was not sent any more.
    #[schemars(with = "types::Time")]
    pub send_by: String,
    /// From this time on, a look-up that finds nothing says something.
    #[schemars(with = "Option<types::Time>")]
    pub absent_after: Option<String>,
    /// Since when its outcome was not known.
    #[schemars(with = "Option<types::Time>")]
    pub open_since: Option<String>,
    /// `planned`, `open`, `final` or `closed`, with its outcome.
    #[schemars(with = "Recorded")]
    pub state: Value,
    /// What look-ups and webhooks showed, oldest first.
    #[schemars(with = "Vec<Recorded>")]
    pub checks: Vec<Value>,
    /// What an operator has settled it as.
    pub settled: Option<&'static str>,
}

/// What led to one version of the payment.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Chapter")]
pub struct ChapterView {
    /// The version.
    pub version: u64,
    /// When.
    #[schemars(with = "types::Time")]
    pub at: String,
    /// What happened.
    #[schemars(with = "Vec<Recorded>")]
    pub events: Vec<Value>,
}

impl From<&Evidence> for EvidenceView {
    fn from(evidence: &Evidence) -> Self {
        let payment = &evidence.payment;
        let amount = payment.order.kind.amount();
        Self {
            payment: payment.id.to_string(),
            merchant: payment.merchant.to_string(),
            operation: payment.order.kind.as_str(),
            sandbox: payment.order.test,
            amount: amount.map(Money::to_major),
            currency: amount.map(|amount| amount.currency().code().to_owned()),
            my_ref: payment.order.merchant_ref.clone(),
            status: payment.status(),
            created_at: payment.created_at.to_rfc3339(),
            updated_at: payment.updated_at.to_rfc3339(),
            version: payment.version,
            calls: payment.calls().map(|(id, call)| CallView::of(payment, id, call)).collect(),
            history: evidence.history.iter().map(ChapterView::from).collect(),
        }
    }
}

impl CallView {
    fn of(payment: &Payment, id: CallId, call: &Call) -> Self {
        let at = payment.attempt_of(id).and_then(|attempt| payment.candidate(attempt));
        Self {
            call: id.to_string(),
            operation: operation(payment, id),
            account: at.map(|at| at.label.clone()),
            gateway: at.map(|at| at.gateway.clone()),
            reference: call.reference.clone(),
            node: call.owner.node.clone(),
            planned_at: call.planned_at.to_rfc3339(),
            send_by: call.send_by.to_rfc3339(),
            absent_after: call.absent_after.map(Timestamp::to_rfc3339),
            open_since: call.open_since.map(Timestamp::to_rfc3339),
            state: shown(&call.state),
            checks: call.checks.iter().map(shown).collect(),
            settled: call.settled.map(Settlement::as_str),
        }
    }
}

impl From<&Chapter> for ChapterView {
    fn from(chapter: &Chapter) -> Self {
        Self {
            version: chapter.version,
            at: chapter.at.to_rfc3339(),
            events: chapter.events.iter().map(shown).collect(),
        }
    }
}

/// As it is stored, with times that can be read.
pub(crate) fn shown(value: &impl Serialize) -> Value {
    let mut shown = serde_json::to_value(value).unwrap_or_default();
    if let Some(at) = shown.get_mut("at")
        && let Some(millis) = at.as_i64()
    {
        *at = Timestamp::from_millis(millis).to_rfc3339().into();
    }
    shown
}

/// Which payments a caller may see, and what else the query says. The operator's own key sees everybody's.
pub(crate) async fn seen_by(
    app: &App,
    caller: Caller,
    query: Pairs,
) -> Result<(Option<MerchantId>, Option<bool>, Vec<(String, String)>), Fault> {
    let mut merchant = caller.key.is_some().then_some(caller.merchant);
    let mut test = (caller.key.is_some() && caller.sandbox).then_some(true);
    let mut rest = Vec::new();
    for (name, text) in pairs(query)? {
        match name.as_str() {
            "sandbox" => {
                let wanted = truth(&name, &text)?;
                if test == Some(true) && !wanted {
                    let message = "A sandbox key is for the sandbox only.";
                    return Err(FieldError::new("sandbox", message).into());
                }
                test = Some(wanted);
            }
            "merchant" => merchant = Some(named(app, caller, &text).await?),
            _ => rest.push((name, text)),
        }
    }
    Ok((merchant, test, rest))
}

/// A page's length out of the query.
pub(crate) fn page_size(name: &str, text: &str) -> Result<u32, FieldError> {
    let limit = text.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
    limit.ok_or_else(|| FieldError::new(name, "It must be 1 to 1000."))
}

async fn read_filter(app: &App, caller: Caller, query: Pairs) -> Result<(DoubtFilter, u32), Fault> {
    let (merchant, test, rest) = seen_by(app, caller, query).await?;
    let mut filter = DoubtFilter { merchant, test, ..DoubtFilter::default() };
    let mut limit = PAGE;
    for (name, text) in rest {
        let wrong = |why: &str| FieldError::new(&name, why);
        match name.as_str() {
            "account" if !is_account_name(&text) => {
                return Err(wrong(NO_ACCOUNT_NAME).into());
            }
            "account" => filter.account = Some(text),
            "before" => {
                let time = Timestamp::parse_rfc3339(&text);
                let time =
                    time.map_err(|_| wrong("It must be a time like 2027-01-31T00:00:00Z."))?;
                filter.before = Some(time);
            }
            "cursor" => {
                let place = doubt_cursor(&text).ok_or_else(|| wrong("It is no cursor."))?;
                filter.after = Some(place);
            }
            "limit" => limit = page_size(&name, &text)?,
            _ => return Err(wrong("There is no such parameter.").into()),
        }
    }
    Ok((filter, limit))
}

async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    query: Pairs,
) -> Response {
    let (filter, limit) = match read_filter(&app, caller, query).await {
        Ok(read) => read,
        Err(fault) => return refuse(&fault),
    };
    match doubts::list(app.engine.store().as_ref(), &filter, limit).await {
        Ok((page, more)) => json(StatusCode::OK, &DoubtList::of(&page, more)),
        Err(error) => failure(&error),
    }
}

/// The payment that a path means, if the caller may see it.
pub(crate) async fn meant(
    app: &App,
    caller: Caller,
    query: Pairs,
    id: &str,
) -> Result<Option<(Option<MerchantId>, Evidence)>, Fault> {
    let (merchant, test, rest) = seen_by(app, caller, query).await?;
    if let Some((name, _)) = rest.first() {
        return Err(FieldError::new(name, "There is no such parameter.").into());
    }
    let Ok(id) = PaymentId::parse(id) else { return Ok(None) };
    match doubts::show(app.engine.store().as_ref(), merchant, id).await {
        Ok(found) if test.is_none_or(|test| found.payment.order.test == test) => {
            Ok(Some((merchant, found)))
        }
        Ok(_) | Err(EngineError::NotFound) => Ok(None),
        Err(error) => Err(Fault::Engine(error)),
    }
}

async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    query: Pairs,
) -> Response {
    match meant(&app, caller, query, &id).await {
        Ok(Some((_, evidence))) => json(StatusCode::OK, &EvidenceView::from(&evidence)),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(fault) => refuse(&fault),
    }
}

async fn settle(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    query: Pairs,
    JsonBody(body): JsonBody,
) -> Response {
    let (call, how, reason) = match read_verdict(&body) {
        Ok(read) => read,
        Err(error) => return validation(StatusCode::BAD_REQUEST, &error),
    };
    let (merchant, evidence) = match meant(&app, caller, query, &id).await {
        Ok(Some(found)) => found,
        Ok(None) => return StatusCode::NOT_FOUND.into_response(),
        Err(fault) => return refuse(&fault),
    };
    let verdict = Verdict { merchant, payment: evidence.payment.id, call, how, reason };
    let engine = &app.engine;
    match engine.settle(&caller.actor(), &verdict).await {
        Ok(settled) => match doubts::show(engine.store().as_ref(), merchant, settled.id).await {
            Ok(evidence) => json(StatusCode::OK, &EvidenceView::from(&evidence)),
            Err(error) => failure(&error),
        },
        Err(EngineError::Refused(refusal)) => {
            validation(StatusCode::CONFLICT, &FieldError::new("call", sentence(&refusal)))
        }
        Err(error) => failure(&error),
    }
}

fn read_verdict(body: &[u8]) -> Result<(CallId, Settlement, String), FieldError> {
    let mut fields = Fields::of_body(Json::parse(body)?)?;
    let call = fields.required_text("call", 6)?;
    let call =
        call.parse().map_err(|_| fields.error("call", "It must be like a1, c1, v1 or r1."))?;
    let how = fields.required_text("as", 16)?;
    let how = Settlement::parse(&how)
        .ok_or_else(|| fields.error("as", "It must be approved, declined, voided or absent."))?;
    let reason = fields.kept_text("reason", REASON_MAX)?;
    let reason = reason.ok_or_else(|| fields.error("reason", "It is required."))?;
    Ok((call, how, reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::asked::assert_described;

    #[test]
    fn what_is_described_is_what_is_read() {
        assert_described::<SettleRequest>(|| {
            let body = br#"{"call": "a1", "as": "absent", "reason": "seen"}"#;
            assert!(read_verdict(body).is_ok());
        });
    }

    #[test]
    fn a_cursor_reads_back() {
        let id = PaymentId::from_bytes([7; 16]);
        assert_eq!(doubt_cursor(&format!("{id}.r12")), Some((id, CallId::Refund(12))));
        for text in ["", ".", "a1", "pay_1.a1", &format!("{id}."), &format!("{id}.x1")] {
            assert_eq!(doubt_cursor(text), None, "{text}");
        }
    }
}
