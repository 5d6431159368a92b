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
use schemars::{JsonSchema, json_schema};
use serde::Serialize;
use serde_json::Value;

use crate::App;
use crate::admin::failure;
use crate::error::{json, validation};
use crate::fields::FieldError;
use crate::openapi::types::{self, described};
use crate::openapi::{Doc, Param, Tag};
use crate::route::{Access, Route};

/// How many entries a page has when none is asked for, and at most.
const PAGE: u32 = 100;
const PAGE_MAX: u32 = 1000;

pub(crate) fn routes() -> Vec<Route> {
    let access = Access::Key(Scope::Admin);
    let newest =
        "Newest first. A merchant's key sees the merchant's entries, the operator's all of them.";
    let entries = FILTERS
        .iter()
        .fold(Doc::new("AuditList", Tag::Admin, "Read the audit log", newest), |doc, filter| {
            doc.query(*filter)
        });
    let top = "To be kept elsewhere and given to `baton audit verify`.";
    vec![
        Route::get(
            "/admin/v1/audit",
            access,
            list,
            entries.gives::<EntryList>(StatusCode::OK, "A page of entries."),
        ),
        Route::get(
            "/admin/v1/audit/head",
            access,
            head,
            Doc::new("AuditHead", Tag::Admin, "The newest entry's number and hash", top)
                .gives::<HeadView>(StatusCode::OK, "The head of the chain."),
        ),
    ]
}

/// What `read` takes from the query.
const FILTERS: [Param; 8] = [
    Param::of::<types::Id>("merchant", "Entries of this merchant."),
    Param::of::<String>("actor", "Entries made by this key, or by `operator` or `system`."),
    Param::of::<ActionWord>("action", "Entries of this action."),
    Param::of::<String>("subject", "Entries about what has this id."),
    Param::of::<types::Time>("from", "Entries of this time and later."),
    Param::of::<types::Time>("to", "Entries before this time."),
    Param::of::<Cursor>("cursor", "The `next_cursor` of the page before."),
    Param::of::<PageSize>("limit", "Entries per page; 100 if absent."),
];

described!(
    /// An action that is audited.
    ActionWord,
    json_schema!({ "type": "string", "enum": Action::ALL.iter().map(|action| action.as_str()).collect::<Vec<_>>() })
);

described!(
    /// A place in a list.
    Cursor,
    json_schema!({ "type": "string", "pattern": "^[0-9]{1,18}$" })
);

described!(
    /// How many entries a page has.
    PageSize,
    json_schema!({ "type": "integer", "minimum": 1, "maximum": PAGE_MAX })
);

/// A page of entries.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditEntryList")]
struct EntryList {
    data: Vec<EntryView>,
    /// For the next page; null on the last one.
    next_cursor: Option<String>,
}

/// The newest entry.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditHead")]
struct HeadView {
    /// Its number; 0 if there is none.
    seq: u64,
    hash: Option<String>,
    /// Number and hash in one text.
    head: Option<String>,
}

/// An entry as it is shown.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditEntry")]
pub struct EntryView {
    seq: u64,
    #[schemars(with = "types::Time")]
    at: String,
    merchant: Option<String>,
    /// A key's id, `operator` or `system`.
    actor: String,
    action: String,
    /// The id of what was changed.
    subject: String,
    /// What was changed; never a secret.
    detail: Value,
    request_id: Option<String>,
    /// The hash of the entry before.
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
    json(StatusCode::OK, &EntryList { data, next_cursor: cursor })
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
        Ok(head) => {
            let view = HeadView {
                seq: head.as_ref().map_or(0, |head| head.seq),
                hash: head.as_ref().map(|head| hex(&head.hash)),
                head: head.map(|head| head.to_string()),
            };
            json(StatusCode::OK, &view)
        }
        Err(error) => failure(&error),
    }
}
