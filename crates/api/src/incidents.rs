//! Incidents, for the operator: what a provider said after we had concluded something else.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use baton_engine::doubts::REASON_MAX;
use baton_engine::incidents::{self, IncidentFilter, Kept, Note, Status};
use baton_engine::keys::Scope;
use baton_engine::{Caller, EngineError};
use baton_types::{MerchantId, Money, PaymentId, Timestamp};
use http::StatusCode;
use schemars::{JsonSchema, json_schema};
use serde::Serialize;
use serde_json::Value;

use crate::App;
use crate::audit::PageSize;
use crate::behalf::{Fault, refuse};
use crate::body::{Json, JsonBody};
use crate::doubts::{
    CURSOR_MAX, OF_MERCHANT, PageStart, Recorded, failing, page_size, seen_by, shown,
};
use crate::error::{ValidationErrorMessage, failure, json, validation};
use crate::fields::{FieldError, Fields};
use crate::openapi::types::{self, described};
use crate::openapi::{Doc, Draft, Param, Tag};
use crate::query::Pairs;
use crate::route::{Access, Route};

/// How many incidents a page has when none is asked for.
const PAGE: u32 = 100;

const INCIDENT_ID: Param = Param::of::<String>("id", "The incident's id.");

const FILTERS: [Param; 6] = [
    OF_MERCHANT,
    Param::of::<bool>("sandbox", "Only of test accounts, or only of live ones."),
    Param::of::<StatusWord>("status", "Only in this state."),
    Param::of::<types::Id>("payment", "Only of this payment."),
    Param::of::<PageStart>("cursor", "The `next_cursor` of the page before."),
    Param::of::<PageSize>("limit", "Incidents per page; 100 if absent."),
];

const EXAMPLE: &str =
    r#"{"status": "resolved", "reason": "Refunded 10.00 USD at the provider, reference 4711."}"#;

pub(crate) fn routes() -> Vec<Route> {
    let access = Access::Key(Scope::Admin);
    let newest = "What a provider said after something else was concluded and told. Newest first.";
    let list_doc = FILTERS
        .iter()
        .fold(Doc::new("IncidentList", Tag::Admin, "List incidents", newest), |doc, filter| {
            doc.query(*filter)
        });
    let about = |id, summary, text| -> Draft {
        Doc::new(id, Tag::Admin, summary, text).path(INCIDENT_ID).query(OF_MERCHANT)
    };
    let none = "There is no such incident.";
    let by_hand = "Acknowledged means that somebody is at it. One that is resolved stays so. The entry in the audit log is \
                   part of the same commit; no money is moved.";
    vec![
        Route::get(
            "/admin/v1/incidents",
            access,
            list,
            failing(list_doc.gives::<IncidentList>(StatusCode::OK, "A page of incidents.")),
        ),
        Route::get(
            "/admin/v1/incidents/{id}",
            access,
            show,
            failing(
                about(
                    "IncidentGet",
                    "Look at an incident",
                    "With what was known, told and proposed.",
                )
                .gives::<IncidentView>(StatusCode::OK, "The incident.")
                .empty(StatusCode::NOT_FOUND, none),
            ),
        ),
        Route::post(
            "/admin/v1/incidents/{id}/resolve",
            access,
            resolve,
            failing(
                about("IncidentResolve", "Acknowledge or resolve an incident", by_hand)
                    .takes::<ResolveRequest>(EXAMPLE)
                    .gives::<IncidentView>(StatusCode::OK, "The incident as it is now.")
                    .empty(StatusCode::NOT_FOUND, none)
                    .gives::<ValidationErrorMessage<'_>>(
                        StatusCode::CONFLICT,
                        "It is resolved already.",
                    ),
            ),
        ),
    ]
}

described!(
    /// How an incident stands.
    StatusWord,
    json_schema!({ "type": "string", "enum": Status::ALL.map(Status::as_str) })
);

described!(
    /// What can be made of an incident.
    ResolutionWord,
    json_schema!({ "type": "string", "enum": ["acknowledged", "resolved"] })
);

/// What somebody has done about an incident.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes what `read_resolution` reads")]
struct ResolveRequest {
    /// `resolved` if absent.
    status: Option<ResolutionWord>,
    /// What was done, or found.
    #[schemars(length(min = 1, max = REASON_MAX))]
    reason: String,
}

/// A page of incidents.
#[derive(Serialize, JsonSchema)]
pub struct IncidentList {
    /// The incidents.
    pub data: Vec<IncidentView>,
    /// For the next page; null on the last one.
    pub next_cursor: Option<String>,
}

/// What a provider said after something else was concluded.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Incident")]
pub struct IncidentView {
    /// Its id: derived from payment, call and contradiction, so that each makes one.
    pub id: String,
    /// Its merchant.
    #[schemars(with = "types::Id")]
    pub merchant: String,
    /// The payment.
    #[schemars(with = "types::Id")]
    pub payment: String,
    /// The payment's call.
    pub call: String,
    /// The account.
    pub account: String,
    /// Whether no real money is moved.
    pub sandbox: bool,
    /// `open`, `acknowledged` or `resolved`.
    pub status: &'static str,
    /// `taken`, `taken_twice`, `not_taken`, `done` or `not_done`: what is true although we concluded otherwise.
    pub what: &'static str,
    /// How the call stood.
    #[schemars(with = "Recorded")]
    pub known: Value,
    /// Who said otherwise: `webhook` with its name, or `answer`.
    pub told_by: String,
    /// What was said.
    #[schemars(with = "Recorded")]
    pub told: Value,
    /// What the provider said when it was asked.
    #[schemars(with = "Recorded")]
    pub looked_up: Value,
    /// `refund`, `void` or `correct`: what would put it right.
    pub proposed: &'static str,
    /// How much of it. An exact decimal.
    pub amount: Option<String>,
    /// ISO 4217.
    pub currency: Option<String>,
    /// When it was opened.
    #[schemars(with = "types::Time")]
    pub created_at: String,
    /// When it last changed.
    #[schemars(with = "types::Time")]
    pub updated_at: String,
    /// What persons have done about it, oldest first.
    pub notes: Vec<NoteView>,
}

/// What somebody has done.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "IncidentNote")]
pub struct NoteView {
    /// When.
    #[schemars(with = "types::Time")]
    pub at: String,
    /// Who.
    pub by: String,
    /// The status since then.
    pub status: String,
    /// What was done, or found.
    pub reason: String,
}

impl IncidentList {
    /// A page, and where the next one begins.
    #[must_use]
    pub fn of(page: &[Kept], more: bool) -> Self {
        let last = page.last().filter(|_| more);
        let cursor = last.map(|kept| format!("{}.{}", kept.created_at.millis(), kept.id));
        Self { data: page.iter().map(IncidentView::from).collect(), next_cursor: cursor }
    }
}

/// Where a page begins, as [`IncidentList`] told it.
#[must_use]
pub fn incident_cursor(text: &str) -> Option<(Timestamp, String)> {
    let (at, id) = text.split_once('.').filter(|_| text.len() <= CURSOR_MAX)?;
    Some((Timestamp::from_millis(at.parse().ok()?), id.to_owned()))
}

impl From<&Kept> for IncidentView {
    fn from(kept: &Kept) -> Self {
        let incident = &kept.incident;
        Self {
            id: kept.id.clone(),
            merchant: kept.merchant.to_string(),
            payment: incident.payment.to_string(),
            call: incident.call.clone(),
            account: incident.account.clone(),
            sandbox: incident.test,
            status: kept.status.as_str(),
            what: incident.what.as_str(),
            known: shown(&incident.known),
            told_by: incident.told_by.clone(),
            told: shown(&incident.told),
            looked_up: shown(&incident.looked_up),
            proposed: incident.proposed.as_str(),
            amount: incident.amount.map(Money::to_major),
            currency: incident.amount.map(|amount| amount.currency().code().to_owned()),
            created_at: kept.created_at.to_rfc3339(),
            updated_at: kept.updated_at.to_rfc3339(),
            notes: incident.notes.iter().map(NoteView::from).collect(),
        }
    }
}

impl From<&Note> for NoteView {
    fn from(note: &Note) -> Self {
        Self {
            at: note.at.to_rfc3339(),
            by: note.by.clone(),
            status: note.status.clone(),
            reason: note.reason.clone(),
        }
    }
}

async fn read_filter(
    app: &App,
    caller: Caller,
    query: Pairs,
) -> Result<(IncidentFilter, u32), Fault> {
    let (merchant, test, rest) = seen_by(app, caller, query).await?;
    let mut filter = IncidentFilter { merchant, test, ..IncidentFilter::default() };
    let mut limit = PAGE;
    for (name, text) in rest {
        let wrong = |why: &str| FieldError::new(&name, why);
        match name.as_str() {
            "status" => {
                let status =
                    Status::parse(&text).ok_or_else(|| wrong("There is no such state."))?;
                filter.statuses = vec![status];
            }
            "payment" => {
                let id =
                    PaymentId::parse(&text).map_err(|_| wrong("It must be a payment's id."))?;
                filter.payment = Some(id);
            }
            "cursor" => {
                let place = incident_cursor(&text).ok_or_else(|| wrong("It is no cursor."))?;
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
    match incidents::list(app.engine.store().as_ref(), &filter, limit).await {
        Ok((page, more)) => json(StatusCode::OK, &IncidentList::of(&page, more)),
        Err(error) => failure(&error),
    }
}

/// The incident that a path means, if the caller may see it.
async fn meant(
    app: &App,
    caller: Caller,
    query: Pairs,
    id: &str,
) -> Result<Option<(Option<MerchantId>, Kept)>, Fault> {
    let (merchant, test, rest) = seen_by(app, caller, query).await?;
    if let Some((name, _)) = rest.first() {
        return Err(FieldError::new(name, "There is no such parameter.").into());
    }
    match incidents::show(app.engine.store().as_ref(), merchant, id).await {
        Ok(kept) if test.is_none_or(|test| kept.incident.test == test) => {
            Ok(Some((merchant, kept)))
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
        Ok(Some((_, kept))) => json(StatusCode::OK, &IncidentView::from(&kept)),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(fault) => refuse(&fault),
    }
}

async fn resolve(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    query: Pairs,
    JsonBody(body): JsonBody,
) -> Response {
    let (status, reason) = match read_resolution(&body) {
        Ok(read) => read,
        Err(error) => return validation(StatusCode::BAD_REQUEST, &error),
    };
    let (merchant, kept) = match meant(&app, caller, query, &id).await {
        Ok(Some(found)) => found,
        Ok(None) => return StatusCode::NOT_FOUND.into_response(),
        Err(fault) => return refuse(&fault),
    };
    let (audit, actor) = (app.engine.audit(), caller.actor());
    match incidents::resolve(audit, &actor, merchant, &kept.id, status, &reason).await {
        Ok(kept) => json(StatusCode::OK, &IncidentView::from(&kept)),
        Err(EngineError::Refused(_)) => {
            let error = FieldError::new("status", "The incident is resolved already.");
            validation(StatusCode::CONFLICT, &error)
        }
        Err(error) => failure(&error),
    }
}

fn read_resolution(body: &[u8]) -> Result<(Status, String), FieldError> {
    let mut fields = Fields::of_body(Json::parse(body)?)?;
    let status = match fields.plain_text("status", 16)?.as_deref() {
        None | Some("resolved") => Status::Resolved,
        Some("acknowledged") => Status::Acknowledged,
        Some(_) => return Err(fields.error("status", "It must be acknowledged or resolved.")),
    };
    let reason = fields.kept_text("reason", REASON_MAX)?;
    let reason = reason.ok_or_else(|| fields.error("reason", "It is required."))?;
    Ok((status, reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::asked::assert_described;

    #[test]
    fn what_is_described_is_what_is_read() {
        assert_described::<ResolveRequest>(|| {
            assert!(read_resolution(br#"{"status": "resolved", "reason": "done"}"#).is_ok());
        });
    }
}
