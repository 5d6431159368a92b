//! What merchants are told by webhook, for the operator: a merchant's events, the tries of one, and having them told
//! again.
//!
//! A merchant's key sees its own; the operator's own key names a merchant. Nothing is sent from here: what is told again
//! waits in its place, and the nodes that deliver send it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use baton_engine::keys::Scope;
use baton_engine::{Caller, EngineError};
use baton_payments::{
    EventKind, Failed, Fault as PaymentsFault, REPLAY_MAX, hook_shown, hooks_page,
    replay_failed_hooks, replay_hook,
};
use baton_store::{HookAttemptRow, HookEventRow, HookQuery, HookState};
use baton_types::{MerchantId, Timestamp};
use http::StatusCode;
use schemars::{JsonSchema, json_schema};
use serde::Serialize;
use serde_json::Value;

use crate::App;
use crate::audit::PageSize;
use crate::behalf::{Fault, MERCHANT, named, nothing_more, refuse};
use crate::body::{Json, JsonBody};
use crate::doubts::{CURSOR_MAX, PageStart, Recorded, failing, page_size};
use crate::error::{ValidationErrorMessage, failure, json, validation};
use crate::fields::{FieldError, Fields};
use crate::openapi::types::{self, described};
use crate::openapi::{Doc, Draft, Param, Tag};
use crate::query::{Pairs, pairs};
use crate::route::{Access, Route};

/// How many events a page has when none is asked for.
const PAGE: u32 = 100;

/// Longest id of a profile or an object, in characters.
const ID_MAX: usize = 64;

const EVENT_ID: Param = Param::of::<String>("id", "The event's id, which is the `webhook-id`.");

const NO_TIME: &str = "It must be a time like 2027-01-31T00:00:00Z.";
const NO_TYPE: &str = "There is no such type of event.";

const FILTERS: [Param; 9] = [
    MERCHANT,
    Param::of::<StateWord>("state", "Only in this state."),
    Param::of::<KindWord>("type", "Only of this type."),
    Param::of::<String>("object", "Only about the payment, refund or mandate of this id."),
    Param::of::<String>("profile", "Only of this profile."),
    Param::of::<types::Time>("from", "Only what happened at this time or later."),
    Param::of::<types::Time>("to", "Only what happened at this time or earlier."),
    Param::of::<PageStart>("cursor", "The `next_cursor` of the page before."),
    Param::of::<PageSize>("limit", "Events per page; 100 if absent."),
];

const EXAMPLE: &str =
    r#"{"from": "2027-01-31T00:00:00Z", "to": "2027-01-31T06:00:00Z", "limit": 500}"#;

pub(crate) fn routes() -> Vec<Route> {
    let access = Access::Key(Scope::Admin);
    let newest = "What a merchant's server was told of its payments, or waits to be. Newest first.";
    let list_doc = FILTERS.iter().fold(
        Doc::new("WebhookList", Tag::Admin, "List webhooks to a merchant", newest),
        |doc, filter| doc.query(*filter),
    );
    let doc = |id, summary, text| -> Draft { Doc::new(id, Tag::Admin, summary, text) };
    let none = "There is no such event.";
    let again = "It waits as if its first try had just failed, and is sent at once, before what waits behind it; \
                 one that waits for its next try is sent now. The entry in the audit log is part of the same commit.";
    let failed = "Those that were given up, the newest first, at most 500 of them in one commit with the audit log's \
                  entry. `more` says that there are others: ask again.";
    vec![
        Route::get(
            "/admin/v1/webhooks",
            access,
            list,
            failing(list_doc.gives::<WebhookList>(StatusCode::OK, "A page of events.")),
        ),
        Route::post(
            "/admin/v1/webhooks/replay",
            access,
            replay_failed,
            failing(
                doc("WebhookReplayFailed", "Have what was given up told again", failed)
                    .query(MERCHANT)
                    .takes::<ReplayRequest>(EXAMPLE)
                    .gives::<ReplayedView>(StatusCode::OK, "How many."),
            ),
        ),
        Route::get(
            "/admin/v1/webhooks/{id}",
            access,
            show,
            failing(
                doc("WebhookGet", "Look at a webhook", "What is sent, and every try.")
                    .path(EVENT_ID)
                    .query(MERCHANT)
                    .gives::<WebhookShown>(StatusCode::OK, "The event.")
                    .empty(StatusCode::NOT_FOUND, none),
            ),
        ),
        Route::post(
            "/admin/v1/webhooks/{id}/replay",
            access,
            replay,
            failing(
                doc("WebhookReplay", "Have a webhook told again", again)
                    .path(EVENT_ID)
                    .query(MERCHANT)
                    .gives::<WebhookView>(StatusCode::OK, "The event as it stands now.")
                    .empty(StatusCode::NOT_FOUND, none)
                    .gives::<ValidationErrorMessage<'_>>(
                        StatusCode::CONFLICT,
                        "It is too old to be told again.",
                    ),
            ),
        ),
    ]
}

described!(
    /// How an event stands.
    StateWord,
    json_schema!({ "type": "string", "enum": HookState::ALL.map(HookState::as_str) })
);

described!(
    /// What happened.
    KindWord,
    json_schema!({
        "type": "string",
        "enum": EventKind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>(),
    })
);

described!(
    /// So many at most.
    ReplayLimit,
    json_schema!({ "type": "integer", "minimum": 1, "maximum": REPLAY_MAX })
);

/// Which events are told again.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes what `read_failed` reads")]
struct ReplayRequest {
    /// What happened at this time or later.
    from: types::Time,
    /// What happened at this time or earlier; now if absent.
    to: Option<types::Time>,
    /// Only of this profile.
    #[schemars(length(max = ID_MAX))]
    profile: Option<String>,
    /// Only of these types.
    #[schemars(length(max = 64))]
    types: Option<Vec<KindWord>>,
    /// 500 if absent.
    limit: Option<ReplayLimit>,
}

/// How many events are told again.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhooksReplayed")]
pub struct ReplayedView {
    /// How many.
    pub replayed: usize,
    /// Whether there are others.
    pub more: bool,
}

/// A page of events.
#[derive(Serialize, JsonSchema)]
pub struct WebhookList {
    /// The events.
    pub data: Vec<WebhookView>,
    /// For the next page; null on the last one.
    pub next_cursor: Option<String>,
}

/// Something that a merchant is told.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Webhook")]
pub struct WebhookView {
    /// Its id, which is the `webhook-id` of every try.
    pub id: String,
    /// Whose.
    #[schemars(with = "types::Id")]
    pub merchant: String,
    /// The profile whose endpoint is told.
    pub profile: String,
    /// The payment, refund or mandate that it is about.
    pub object: String,
    /// What happened.
    #[schemars(with = "KindWord")]
    pub r#type: String,
    /// `pending`, `delivered` or `given_up`.
    #[schemars(with = "StateWord")]
    pub state: &'static str,
    /// How often it was tried by the schedule.
    pub tries: u32,
    /// When it happened.
    #[schemars(with = "types::Time")]
    pub created_at: String,
    /// When this last changed.
    #[schemars(with = "types::Time")]
    pub updated_at: String,
}

/// An event with what is sent and how it was tried.
#[derive(Serialize, JsonSchema)]
pub struct WebhookShown {
    /// The event.
    pub webhook: WebhookView,
    /// What is sent, to the letter: it tells about people.
    pub body: String,
    /// Every try, the first first.
    pub attempts: Vec<WebhookAttemptView>,
}

/// One try.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "WebhookAttempt")]
pub struct WebhookAttemptView {
    /// Its id.
    pub id: String,
    /// `initial_attempt`, `automatic_retry` or `manual_retry`.
    pub cause: String,
    /// When it began.
    #[schemars(with = "types::Time")]
    pub at: String,
    /// How long it took.
    pub took_ms: i64,
    /// The HTTP status that was answered.
    pub status: Option<u32>,
    /// Why there was no answer, or none that counts.
    pub error: Option<String>,
    /// The headers that were sent: names and values.
    pub request_headers: Vec<Vec<String>>,
    /// The headers that were answered, and the start of the body.
    #[schemars(with = "Recorded")]
    pub response: Value,
}

impl WebhookList {
    /// A page, and where the next one begins.
    #[must_use]
    pub fn of(page: &[HookEventRow], more: bool) -> Self {
        let last = page.last().filter(|_| more);
        let cursor = last.map(|row| format!("{}.{}", row.created_at.millis(), row.id));
        Self { data: page.iter().map(WebhookView::from).collect(), next_cursor: cursor }
    }
}

/// Where a page begins, as [`WebhookList`] told it.
#[must_use]
pub fn webhook_cursor(text: &str) -> Option<(Timestamp, String)> {
    let fits = text.len() <= CURSOR_MAX && !text.contains('\0');
    let (at, id) = text.split_once('.').filter(|_| fits)?;
    Some((Timestamp::from_millis(at.parse().ok()?), id.to_owned()))
}

/// The page of a list that begins behind a place.
pub fn behind(query: &mut HookQuery, (at, id): (Timestamp, String)) {
    // A `to` that is earlier has left the place out already.
    if at <= query.to {
        (query.to, query.to_id) = (at, Some(id));
    }
}

impl From<&HookEventRow> for WebhookView {
    fn from(row: &HookEventRow) -> Self {
        Self {
            id: row.id.clone(),
            merchant: row.merchant.to_string(),
            profile: row.profile.clone(),
            object: row.object.clone(),
            r#type: row.kind.clone(),
            state: row.state.as_str(),
            tries: row.attempts,
            created_at: row.created_at.to_rfc3339(),
            updated_at: row.updated_at.to_rfc3339(),
        }
    }
}

impl From<&HookAttemptRow> for WebhookAttemptView {
    fn from(row: &HookAttemptRow) -> Self {
        Self {
            id: row.id.clone(),
            cause: row.kind.clone(),
            at: row.at.to_rfc3339(),
            took_ms: row.took_ms,
            status: row.status,
            error: row.error.clone(),
            request_headers: serde_json::from_str(&row.request).unwrap_or_default(),
            response: serde_json::from_str(&row.response).unwrap_or_default(),
        }
    }
}

impl WebhookShown {
    /// An event with its tries.
    #[must_use]
    pub fn of(event: &HookEventRow, attempts: &[HookAttemptRow]) -> Self {
        Self {
            webhook: WebhookView::from(event),
            body: event.body.clone(),
            attempts: attempts.iter().map(WebhookAttemptView::from).collect(),
        }
    }
}

/// Whose events a caller means, and what else the query says.
async fn of_merchant(
    app: &App,
    caller: Caller,
    query: Pairs,
) -> Result<(MerchantId, Vec<(String, String)>), Fault> {
    // All of a server's webhooks are of test accounts, or all are of live ones.
    if caller.key.is_some() && caller.sandbox && !app.payments.is_sandbox() {
        let message = "A sandbox key is for the sandbox only, and this server's webhooks are live.";
        return Err(FieldError::new("", message).into());
    }
    let (mut merchant, mut rest) = (caller.merchant, Vec::new());
    for (name, text) in pairs(query)? {
        match name.as_str() {
            "merchant" => merchant = named(app, caller, &text).await?,
            _ => rest.push((name, text)),
        }
    }
    Ok((merchant, rest))
}

fn kind(text: &str) -> Option<EventKind> {
    EventKind::ALL.iter().copied().find(|kind| kind.as_str() == text)
}

async fn read_query(app: &App, caller: Caller, query: Pairs) -> Result<HookQuery, Fault> {
    let (merchant, rest) = of_merchant(app, caller, query).await?;
    let mut query = HookQuery { limit: PAGE, ..HookQuery::of(merchant) };
    let mut after = None;
    for (name, text) in rest {
        let wrong = |why: &str| FieldError::new(&name, why);
        let time = || Timestamp::parse_rfc3339(&text).map_err(|_| wrong(NO_TIME));
        match name.as_str() {
            "state" => {
                let state = HookState::parse(&text);
                query.states = vec![state.ok_or_else(|| wrong("There is no such state."))?];
            }
            "type" => {
                let kind = kind(&text).ok_or_else(|| wrong(NO_TYPE))?;
                query.kinds = vec![kind.as_str().to_owned()];
            }
            "object" | "profile" if text.chars().count() > ID_MAX || text.contains('\0') => {
                return Err(wrong("It is no id.").into());
            }
            "object" => query.object = Some(text),
            "profile" => query.profile = Some(text),
            "from" => query.from = time()?,
            "to" => query.to = time()?,
            "cursor" => {
                after = Some(webhook_cursor(&text).ok_or_else(|| wrong("It is no cursor."))?);
            }
            "limit" => query.limit = page_size(&name, &text)?,
            _ => return Err(wrong("There is no such parameter.").into()),
        }
    }
    if let Some(after) = after {
        behind(&mut query, after);
    }
    Ok(query)
}

async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    query: Pairs,
) -> Response {
    let query = match read_query(&app, caller, query).await {
        Ok(query) => query,
        Err(fault) => return refuse(&fault),
    };
    match hooks_page(app.engine.store().as_ref(), &query).await {
        Ok((page, more)) => json(StatusCode::OK, &WebhookList::of(&page, more)),
        Err(fault) => explain(&fault),
    }
}

/// The merchant that the query means, which may say nothing else.
async fn plainly(app: &App, caller: Caller, query: Pairs) -> Result<MerchantId, Fault> {
    let (merchant, rest) = of_merchant(app, caller, query).await?;
    nothing_more(&rest)?;
    Ok(merchant)
}

async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    query: Pairs,
) -> Response {
    let merchant = match plainly(&app, caller, query).await {
        Ok(merchant) => merchant,
        Err(fault) => return refuse(&fault),
    };
    match hook_shown(app.engine.store().as_ref(), merchant, &id).await {
        Ok((event, attempts)) => json(StatusCode::OK, &WebhookShown::of(&event, &attempts)),
        Err(fault) => explain(&fault),
    }
}

async fn replay(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    query: Pairs,
) -> Response {
    let merchant = match plainly(&app, caller, query).await {
        Ok(merchant) => merchant,
        Err(fault) => return refuse(&fault),
    };
    match replay_hook(app.engine.audit(), &caller.actor(), merchant, &id).await {
        Ok(event) => json(StatusCode::OK, &WebhookView::from(&event)),
        Err(fault) => explain(&fault),
    }
}

async fn replay_failed(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    query: Pairs,
    JsonBody(body): JsonBody,
) -> Response {
    let merchant = match plainly(&app, caller, query).await {
        Ok(merchant) => merchant,
        Err(fault) => return refuse(&fault),
    };
    let failed = match read_failed(merchant, app.engine.clock().now(), &body) {
        Ok(failed) => failed,
        Err(error) => return validation(StatusCode::BAD_REQUEST, &error),
    };
    match replay_failed_hooks(app.engine.audit(), &caller.actor(), failed).await {
        Ok((replayed, more)) => json(StatusCode::OK, &ReplayedView { replayed, more }),
        Err(fault) => explain(&fault),
    }
}

fn time(fields: &mut Fields, name: &str) -> Result<Option<Timestamp>, FieldError> {
    let Some(text) = fields.plain_text(name, 40)? else { return Ok(None) };
    Timestamp::parse_rfc3339(&text).map(Some).map_err(|_| fields.error(name, NO_TIME))
}

fn read_failed(merchant: MerchantId, now: Timestamp, body: &[u8]) -> Result<Failed, FieldError> {
    let mut fields = Fields::of_body(Json::parse(body)?)?;
    let from = time(&mut fields, "from")?;
    let from = from.ok_or_else(|| fields.error("from", "It is required."))?;
    let to = time(&mut fields, "to")?.unwrap_or(now);
    if from > to {
        return Err(fields.error("from", "It is after the end."));
    }
    let profile = fields.kept_text("profile", ID_MAX)?;
    let kinds = fields.texts("types")?.unwrap_or_default();
    if kinds.len() > 64 || kinds.iter().any(|word| kind(word).is_none()) {
        return Err(fields.error("types", NO_TYPE));
    }
    let limit = match fields.has("limit") {
        false => REPLAY_MAX,
        true => u32::try_from(fields.required_integer("limit")?)
            .ok()
            .filter(|limit| (1..=REPLAY_MAX).contains(limit))
            .ok_or_else(|| fields.error("limit", format!("It must be 1 to {REPLAY_MAX}.")))?,
    };
    Ok(Failed { merchant, from, to, profile, kinds, limit })
}

fn explain(fault: &PaymentsFault) -> Response {
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "of the Payments API's faults only these can come from here"
    )]
    match fault {
        PaymentsFault::NotFound(_) => StatusCode::NOT_FOUND.into_response(),
        PaymentsFault::Precondition(why) => {
            validation(StatusCode::CONFLICT, &FieldError::new("", format!("{why}.")))
        }
        PaymentsFault::Engine(error) => failure(error),
        _ => failure(&EngineError::Internal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::asked::assert_described;

    #[test]
    fn what_is_described_is_what_is_read() {
        let (merchant, now) =
            (MerchantId::from_bytes([1; 16]), Timestamp::from_millis(i64::MAX / 2));
        assert_described::<ReplayRequest>(|| {
            assert!(read_failed(merchant, now, EXAMPLE.as_bytes()).is_ok());
        });
    }

    #[test]
    fn a_cursor_reads_back() {
        let at = Timestamp::from_millis(7);
        assert_eq!(webhook_cursor("7.evt_1"), Some((at, "evt_1".to_owned())));
        for text in ["", "evt_1", "x.evt_1", &format!("7.{}", "x".repeat(CURSOR_MAX))] {
            assert_eq!(webhook_cursor(text), None, "{text}");
        }
    }
}
