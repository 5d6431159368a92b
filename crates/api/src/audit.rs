//! The audit log under `/admin/v1/audit`: reading only; nothing here writes or deletes.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use baton_engine::Caller;
use baton_engine::audit::Action;
use baton_engine::audit::chain::hex;
use baton_engine::keys::Scope;
use baton_store::{AuditQuery, AuditRow};
use baton_types::{MerchantId, Timestamp};
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json as value};

use crate::App;
use crate::admin::failure;
use crate::error::{json, validation};
use crate::fields::FieldError;
use crate::route::{Access, Route};

/// How many entries a page has when none is asked for, and at most.
const PAGE: u32 = 100;
const PAGE_MAX: u32 = 1000;

pub(crate) fn routes() -> Vec<Route> {
    let access = Access::Key(Scope::Admin);
    vec![
        Route::get("/admin/v1/audit", access, list),
        Route::get("/admin/v1/audit/head", access, head),
    ]
}

/// An entry as it is shown.
#[derive(Serialize)]
pub struct EntryView {
    seq: u64,
    at: String,
    merchant: Option<String>,
    actor: String,
    action: String,
    subject: String,
    detail: Value,
    request_id: Option<String>,
    prev: Option<String>,
    hash: String,
}

impl From<&AuditRow> for EntryView {
    fn from(row: &AuditRow) -> Self {
        let detail = serde_json::from_str(&row.detail);
        Self {
            seq: row.seq,
            at: row.at.to_rfc3339(),
            merchant: row.merchant.clone(),
            actor: row.actor.clone(),
            action: row.action.clone(),
            subject: row.subject.clone(),
            // Only an entry that was tampered with has another text; it is shown as it stands.
            detail: detail.unwrap_or_else(|_| Value::from(row.detail.as_str())),
            request_id: row.request_id.clone(),
            prev: row.prev.as_deref().map(hex),
            hash: hex(&row.hash),
        }
    }
}

type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;

async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    pairs: Pairs,
) -> Response {
    let query = match read(pairs, caller) {
        Ok(query) => query,
        Err(error) => return validation(StatusCode::BAD_REQUEST, &error),
    };
    // One more, to know whether there is another page.
    let more = AuditQuery { limit: query.limit.saturating_add(1), ..query.clone() };
    let mut rows = match app.engine.store().audit(&more).await {
        Ok(rows) => rows,
        Err(error) => return failure(&error.into()),
    };
    let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
    let is_last = rows.len() <= limit;
    rows.truncate(limit);
    let cursor = rows.last().filter(|_| !is_last).map(|row| row.seq.to_string());
    let data: Vec<EntryView> = rows.iter().map(EntryView::from).collect();
    json(StatusCode::OK, &value!({ "data": data, "next_cursor": cursor }))
}

/// A merchant's key sees the merchant's entries; the operator's sees all of them.
fn read(pairs: Pairs, caller: Caller) -> Result<AuditQuery, FieldError> {
    let Ok(Query(pairs)) = pairs else {
        return Err(FieldError::new("", "The query is malformed."));
    };
    let mut query = AuditQuery { newest_first: true, limit: PAGE, ..AuditQuery::default() };
    if caller.key.is_some() {
        query.merchant = Some(caller.merchant.to_string());
    }
    let mut seen = Vec::new();
    for (name, text) in pairs {
        let wrong = |why: &str| FieldError::new(&name, why);
        if seen.contains(&name) {
            return Err(wrong("It is there more than once."));
        }
        let time = |text: &str| {
            Timestamp::parse_rfc3339(text)
                .map_err(|_| wrong("It must be a time like 2027-01-31T00:00:00Z."))
        };
        let number = |text: &str| text.parse().map_err(|_| wrong("It must be a number."));
        match name.as_str() {
            "merchant" => {
                let id =
                    MerchantId::parse(&text).map_err(|_| wrong("It must be a merchant's id."))?;
                if caller.key.is_some() && id != caller.merchant {
                    return Err(wrong("Only the operator's key sees other merchants' entries."));
                }
                query.merchant = Some(text);
            }
            "actor" => query.actor = Some(text),
            "action" => {
                if !Action::ALL.iter().any(|action| action.as_str() == text) {
                    return Err(wrong("There is no such action."));
                }
                query.action = Some(text);
            }
            "subject" => query.subject = Some(text),
            "from" => query.from = Some(time(&text)?),
            "to" => query.to = Some(time(&text)?),
            "cursor" => query.beyond = Some(number(&text)?),
            "limit" => {
                let limit = u32::try_from(number(&text)?).unwrap_or(u32::MAX);
                if !(1..=PAGE_MAX).contains(&limit) {
                    return Err(wrong("It must be 1 to 1000."));
                }
                query.limit = limit;
            }
            _ => return Err(wrong("There is no such filter.")),
        }
        seen.push(name);
    }
    Ok(query)
}

async fn head(State(app): State<Arc<App>>) -> Response {
    match app.engine.audit().head().await {
        Ok(head) => json(
            StatusCode::OK,
            &value!({
                "seq": head.as_ref().map_or(0, |head| head.seq),
                "hash": head.as_ref().map(|head| hex(&head.hash)),
                "head": head.map(|head| head.to_string()),
            }),
        ),
        Err(error) => failure(&error),
    }
}
