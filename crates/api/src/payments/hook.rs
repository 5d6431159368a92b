//! Webhooks out: the log of events, sending one again, signing secrets, and the state of an endpoint.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use baton_hooks::{HEADERS_MAX, HookUrl, LOGIN_MAX, check_header, is_password, is_username};
use baton_payments::status::IntentStatus;
use baton_payments::{
    AttemptSeen, DisputeSeen, EventFilter, EventKind, Fault, Frame, GivenPassword, GivenSecret,
    Mandate, Payments, RefundSeen, SavedMethod, Seen, Shows,
};
use baton_store::{HookEventRow, HookState};
use baton_types::{Secret, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::auth::{Asker, Who};
use super::body::{MaybeBody, Params};
use super::error::Refusal;
use super::shape::{STARS, check_kept};
use super::{PaymentsRoute, dispute, method, view};
use crate::App;
use crate::openapi::types::Time;

/// Most events on a page.
const PAGE_MAX: u32 = 100;

/// How long an old signing secret counts beside the new one unless the request says otherwise, and at most.
const OVERLAP_S: u32 = 24 * 3_600;
const OVERLAP_MAX_S: u32 = 30 * 24 * 3_600;

/// The switches of `webhook_details`, and its lists of statuses.
const SWITCHES: [&str; 3] =
    ["payment_created_enabled", "payment_succeeded_enabled", "payment_failed_enabled"];
const LISTS: [&str; 3] =
    ["payment_statuses_enabled", "refund_statuses_enabled", "payout_statuses_enabled"];
const TEXTS: [&str; 3] = ["webhook_version", USERNAME, PASSWORD];
const USERNAME: &str = "webhook_username";
const PASSWORD: &str = "webhook_password";

/// The contract's words for what is told.
pub(crate) const EVENT_KINDS: &[EventKind] = EventKind::ALL;

pub(crate) fn routes() -> Vec<PaymentsRoute> {
    let who = Who::OperatorOrMerchant;
    let (secret, endpoint) =
        ("/account/{merchant_id}/webhook_secret", "/account/{merchant_id}/webhook_endpoint");
    vec![
        PaymentsRoute::new("POST", "/events/{merchant_id}", who, list),
        PaymentsRoute::new("POST", "/events/profile/list", Who::Merchant, list_own),
        PaymentsRoute::new("GET", "/events/{merchant_id}/{event_id}/attempts", who, attempts),
        PaymentsRoute::new("POST", "/events/{merchant_id}/{event_id}/retry", who, retry),
        PaymentsRoute::new("POST", secret, who, rotate),
        PaymentsRoute::new("GET", endpoint, who, endpoint_seen),
        PaymentsRoute::new("POST", endpoint, who, endpoint_enabled),
    ]
}

type Answer = Result<Json<Value>, Refusal>;

/// Which events are asked for.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Constraints {
    #[schemars(with = "Option<Time>")]
    created_after: Option<String>,
    #[schemars(with = "Option<Time>")]
    created_before: Option<String>,
    limit: Option<u32>,
    offset: Option<u32>,
    object_id: Option<String>,
    event_id: Option<String>,
    profile_id: Option<String>,
    event_classes: Option<Vec<String>>,
    event_types: Option<Vec<String>>,
    is_delivered: Option<bool>,
}

/// A time in the contract's form, which may leave the zone out.
fn time(field: &str, text: Option<&str>) -> Result<Option<Timestamp>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    let zoned = format!("{text}Z");
    let parsed = Timestamp::parse_rfc3339(text).or_else(|_| Timestamp::parse_rfc3339(&zoned));
    parsed.map(Some).map_err(|_| Refusal::value(field, "must be a time like 2026-01-31T00:00:00Z"))
}

/// Words as they come into a query: none that could be read as two.
fn words(field: &str, list: Option<Vec<String>>) -> Result<Vec<String>, Refusal> {
    let list = list.unwrap_or_default();
    let is_word = |word: &String| {
        word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') && word.len() <= 64
    };
    if list.len() > 64 || !list.iter().all(is_word) {
        return Err(Refusal::value(field, "must be a list of the contract's words"));
    }
    Ok(list)
}

impl Constraints {
    fn filter(self) -> Result<EventFilter, Refusal> {
        let all = EventFilter::of(baton_types::MerchantId::from_bytes([0; 16]));
        Ok(EventFilter {
            from: time("created_after", self.created_after.as_deref())?.unwrap_or(all.from),
            to: time("created_before", self.created_before.as_deref())?.unwrap_or(all.to),
            id: self.event_id,
            object: self.object_id,
            profile: self.profile_id,
            classes: words("event_classes", self.event_classes)?,
            kinds: words("event_types", self.event_types)?,
            states: match self.is_delivered {
                None => Vec::new(),
                Some(true) => vec![HookState::Delivered],
                Some(false) => vec![HookState::Pending, HookState::GivenUp],
            },
            limit: self.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX),
            offset: self.offset.unwrap_or(0),
            ..all
        })
    }
}

async fn listed(
    app: &App,
    merchant: &baton_payments::Merchant,
    account: &str,
    constraints: Constraints,
) -> Answer {
    let (events, total) = app.payments.hook_events(merchant, constraints.filter()?).await?;
    let events: Vec<Value> =
        events.iter().map(|event| Value::Object(item(event, account))).collect();
    Ok(Json(json!({ "events": events, "total_count": total })))
}

async fn list(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    MaybeBody(constraints): MaybeBody<Constraints>,
) -> Answer {
    let merchant = asker.of_path(&app, &id).await?;
    listed(&app, &merchant, &id, constraints).await
}

async fn list_own(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    MaybeBody(mut constraints): MaybeBody<Constraints>,
) -> Answer {
    let (merchant, account) = asker.account()?;
    let profile = app.payments.profile(&merchant, constraints.profile_id.as_deref()).await?;
    constraints.profile_id = Some(profile.body.id);
    listed(&app, &merchant, account, constraints).await
}

async fn attempts(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path((id, event)): Path<(String, String)>,
) -> Answer {
    let merchant = asker.of_path(&app, &id).await?;
    let tries = app.payments.hook_attempts(&merchant, &event).await?;
    Ok(Json(tries.iter().map(|seen| of_attempt(seen, &id)).collect()))
}

async fn retry(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path((id, event)): Path<(String, String)>,
) -> Answer {
    let merchant = asker.of_path(&app, &id).await?;
    let seen = app.payments.retry_hook(&asker.actor(), &merchant, &event).await?;
    Ok(Json(of_attempt(&seen, &id)))
}

/// An event in a list.
fn item(event: &HookEventRow, account: &str) -> Map<String, Value> {
    let shown = json!({
        "event_id": event.id,
        "merchant_id": account,
        "profile_id": event.profile,
        "object_id": event.object,
        "event_type": event.kind,
        "event_class": event.class,
        "is_delivery_successful": event.state == HookState::Delivered,
        "initial_attempt_id": event.id,
        "processor_merchant_id": account,
        "created": view::time(event.created_at),
    });
    if let Value::Object(map) = shown { map } else { Map::new() }
}

/// A try of an event: an event of its own in the contract's eyes, the first one with the event's id.
fn of_attempt(seen: &AttemptSeen, account: &str) -> Value {
    let AttemptSeen { event, attempt } = seen;
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let answered = read(&attempt.response);
    let taken = attempt.status.is_some_and(|status| (200..300).contains(&status));
    let mut map = item(event, account);
    view::extend(
        &mut map,
        json!({
            "event_id": attempt.id,
            "is_delivery_successful": taken,
            "created": view::time(attempt.at),
            "request": { "body": event.body, "headers": read(&attempt.request) },
            "response": {
                "body": answered.get("body"),
                "headers": answered.get("headers"),
                "status_code": attempt.status,
                "error_message": attempt.error,
            },
            "delivery_attempt": attempt.kind,
        }),
    );
    Value::Object(map)
}

/// Whose secret is replaced, and how long the old one signs too.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Rotation {
    profile_id: Option<String>,
    overlap_seconds: Option<u32>,
}

async fn rotate(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    MaybeBody(request): MaybeBody<Rotation>,
) -> Answer {
    let merchant = asker.of_path(&app, &id).await?;
    let overlap = request.overlap_seconds.unwrap_or(OVERLAP_S);
    if overlap > OVERLAP_MAX_S {
        let message = format!("must be 0 to {OVERLAP_MAX_S}");
        return Err(Refusal::value("overlap_seconds", message));
    }
    let overlap_ms = i64::from(overlap).saturating_mul(1_000);
    let profile = request.profile_id.as_deref();
    let rotated =
        app.payments.rotate_hook_secret(asker.actor(), &merchant, profile, overlap_ms).await?;
    Ok(Json(json!({
        "merchant_id": id,
        "profile_id": rotated.profile,
        "secret": rotated.secret.expose(),
        "previous_valid_until": rotated.previous_until.map(view::time),
    })))
}

#[derive(Default, Deserialize)]
struct OfProfile {
    #[serde(default)]
    profile_id: Option<String>,
}

async fn endpoint_seen(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    Params(query): Params<OfProfile>,
) -> Answer {
    let merchant = asker.of_path(&app, &id).await?;
    let seen = app.payments.see_endpoint(&merchant, query.profile_id.as_deref()).await?;
    Ok(Json(of_endpoint(&seen, &id)))
}

/// Whose endpoint is sent to again.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Enable {
    enabled: Option<bool>,
    profile_id: Option<String>,
}

async fn endpoint_enabled(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    MaybeBody(request): MaybeBody<Enable>,
) -> Answer {
    let merchant = asker.of_path(&app, &id).await?;
    match request.enabled {
        None => return Err(Refusal::missing("enabled")),
        Some(false) => {
            let message = "can only be true: remove webhook_url to be told nothing";
            return Err(Refusal::value("enabled", message));
        }
        Some(true) => {}
    }
    let profile = request.profile_id.as_deref();
    let seen = app.payments.enable_endpoint(asker.actor(), &merchant, profile).await?;
    Ok(Json(of_endpoint(&seen, &id)))
}

fn of_endpoint(seen: &baton_payments::EndpointSeen, account: &str) -> Value {
    json!({
        "merchant_id": account,
        "profile_id": seen.profile,
        "webhook_url": seen.url,
        "enabled": seen.disabled.is_none(),
        "disabled_at": seen.disabled.as_ref().map(|disabled| view::time(disabled.at)),
        "disabled_reason": seen.disabled.as_ref().map(|disabled| disabled.why.as_str()),
        "previous_secret_valid_until": seen.previous_until.map(view::time),
        "events_waiting": seen.waiting,
    })
}

/// Judges `webhook_details` when they are set.
pub(crate) fn check_details(
    payments: &Payments,
    details: &Map<String, Value>,
) -> Result<(), Refusal> {
    let Some(given) = details.get("webhook_details") else { return Ok(()) };
    if given.is_null() {
        return Ok(());
    }
    let wrong = |field: &str, what: &str| Refusal::value(&format!("webhook_details{field}"), what);
    let Some(members) = given.as_object() else { return Err(wrong("", "must be an object")) };
    for (name, value) in members {
        let field = format!(".{name}");
        match name.as_str() {
            "webhook_url" => check_url(payments, &field, value)?,
            name if SWITCHES.contains(&name) => {
                if !value.is_null() && !value.is_boolean() {
                    return Err(wrong(&field, "must be true or false"));
                }
            }
            name if LISTS.contains(&name) => check_list(name, &field, value)?,
            name if TEXTS.contains(&name) => {
                if !value.is_null() && !value.is_string() {
                    return Err(wrong(&field, "must be a text"));
                }
            }
            _ => return Err(Refusal::json(format!("unknown field `{name}` in webhook_details"))),
        }
    }
    check_login(members)
}

/// A login is a username or a password, or both.
fn check_login(details: &Map<String, Value>) -> Result<(), Refusal> {
    let wrong =
        |name: &str, what: String| Err(Refusal::value(&format!("webhook_details.{name}"), what));
    let text = |name| details.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (username, password) = (text(USERNAME), text(PASSWORD));
    if username.is_some_and(|text| !is_username(text)) {
        let what = format!(
            "must have at most {LOGIN_MAX} characters, no colon, and no control characters"
        );
        return wrong(USERNAME, what);
    }
    if password.is_some_and(|text| !is_password(text)) {
        let what = format!("must have at most {LOGIN_MAX} characters, and no control characters");
        return wrong(PASSWORD, what);
    }
    Ok(())
}

/// A secret as it was sent: stars stand for the one that is kept.
fn given(text: &str) -> GivenSecret {
    if text == STARS { GivenSecret::Same } else { GivenSecret::New(Secret::new(text.to_owned())) }
}

/// Takes the password of the login out of what is kept in clear.
pub(crate) fn hook_password(details: &Map<String, Value>) -> GivenPassword {
    let password = details.get("webhook_details")?.get(PASSWORD).and_then(Value::as_str);
    Some(password.filter(|text| !text.is_empty()).map(given))
}

/// Reads the headers that go along with a profile's webhooks; an empty object takes them all away.
pub(crate) fn hook_headers(value: &Value) -> Result<Vec<(String, GivenSecret)>, Refusal> {
    const FIELD: &str = "outgoing_webhook_custom_http_headers";
    let Some(members) = value.as_object() else {
        return Err(Refusal::value(FIELD, "must be an object of names and values"));
    };
    check_kept(FIELD, value)?;
    if members.len() > HEADERS_MAX {
        return Err(Refusal::value(FIELD, format!("has more than {HEADERS_MAX} headers")));
    }
    let mut headers: Vec<(String, GivenSecret)> = Vec::with_capacity(members.len());
    for (name, value) in members {
        let field = format!("{FIELD}.{name}");
        let Some(text) = value.as_str() else {
            return Err(Refusal::value(&field, "must be a text"));
        };
        check_header(name, text).map_err(|bad| Refusal::value(&field, bad))?;
        if headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            return Err(Refusal::value(&field, "is there twice"));
        }
        headers.push((name.clone(), given(text)));
    }
    Ok(headers)
}

fn check_url(payments: &Payments, field: &str, value: &Value) -> Result<(), Refusal> {
    let field = format!("webhook_details{field}");
    match value {
        Value::Null => Ok(()),
        Value::String(text) => HookUrl::parse(text, &payments.hook_policy())
            .map(|_| ())
            .map_err(|bad| Refusal::value(&field, bad)),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(Refusal::value(&field, "must be a URL"))
        }
    }
}

fn check_list(name: &str, field: &str, value: &Value) -> Result<(), Refusal> {
    let field = format!("webhook_details{field}");
    if value.is_null() {
        return Ok(());
    }
    let words: Option<Vec<&str>> =
        value.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
    let Some(words) = words else {
        return Err(Refusal::value(&field, "must be a list of statuses"));
    };
    let is_status = |word: &&str| IntentStatus::ALL.iter().any(|status| status.as_str() == *word);
    let is_refund = |word: &&str| ["success", "failure", "succeeded", "failed"].contains(word);
    let unknown = words.iter().find(|word| match name {
        "payment_statuses_enabled" => !is_status(word),
        "refund_statuses_enabled" => !is_status(word) && !is_refund(word),
        _ => false,
    });
    match unknown {
        None => Ok(()),
        Some(_) => Err(Refusal::value(&field, "holds a word that is no status")),
    }
}

/// Takes the key of the contract's signatures out of what is kept in clear.
pub(crate) fn hash_key(
    details: &Map<String, Value>,
) -> Result<Option<baton_types::Secret>, Refusal> {
    const FIELD: &str = "payment_response_hash_key";
    match details.get(FIELD) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if (8..=255).contains(&text.len()) => {
            Ok(Some(baton_types::Secret::new(text.clone())))
        }
        Some(_) => Err(Refusal::value(FIELD, "must be a text of 8 to 255 characters")),
    }
}

/// Shows objects in events as this API's own answers do.
#[derive(Clone, Copy, Debug, Default)]
pub struct ContractForm;

impl Shows for ContractForm {
    fn payment(&self, seen: &Seen, frame: Frame<'_>) -> Value {
        view::payment(seen, frame.account, frame.bins)
    }

    fn refund(&self, seen: &RefundSeen) -> Value {
        view::refund(seen)
    }

    fn mandate(&self, mandate: &Mandate, saved: &SavedMethod, frame: Frame<'_>) -> Value {
        method::of_mandate(mandate, saved, frame.bins)
    }

    fn dispute(&self, seen: &DisputeSeen) -> Value {
        dispute::shown(seen)
    }
}

impl From<baton_store::StoreError> for Refusal {
    fn from(error: baton_store::StoreError) -> Self {
        Fault::from(error).into()
    }
}
