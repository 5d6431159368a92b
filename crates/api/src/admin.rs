//! The admin API under `/admin/v1`: for now, API keys.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use baton_engine::keys::{self, NewKey, Scope};
use baton_engine::{Caller, EngineError};
use baton_store::ApiKeyRow;
use baton_types::{ApiKeyId, Timestamp};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use crate::App;
use crate::body::{Json, JsonBody};
use crate::error::{json, validation};
use crate::fields::{FieldError, Fields};
use crate::limits::RATE_MAX;
use crate::openapi::{Doc, Param, Tag, types};
use crate::route::{Access, Route};

/// The `{id}` of a key.
const KEY_ID: Param = Param::of::<types::Id>("id", "The key's id.");

pub(crate) fn routes() -> Vec<Route> {
    let access = Access::Key(Scope::Admin);
    let doc = |id, summary, description| Doc::new(id, Tag::Admin, summary, description);
    vec![
        Route::get(
            "/admin/v1/api-keys",
            access,
            list,
            doc("ApiKeyList", "List the merchant's keys", "Ended ones too.")
                .gives::<KeyList>(StatusCode::OK, "The keys, without their text."),
        ),
        Route::post(
            "/admin/v1/api-keys",
            access,
            create,
            doc("ApiKeyCreate", "Make a key", "A sandbox key can only make sandbox keys.")
                .takes::<NewKeyRequest>(r#"{"name": "till 1", "sandbox": true}"#)
                .gives::<NewKeyShown<'_>>(
                    StatusCode::CREATED,
                    "The key; its text is shown this once.",
                ),
        ),
        Route::get(
            "/admin/v1/api-keys/{id}",
            access,
            show,
            doc("ApiKeyShow", "Show one key", "Without its text.")
                .path(KEY_ID)
                .gives::<KeyView>(StatusCode::OK, "The key.")
                .empty(StatusCode::NOT_FOUND, "There is no such key."),
        ),
        Route::delete(
            "/admin/v1/api-keys/{id}",
            access,
            revoke,
            doc("ApiKeyRevoke", "End a key", "It opens nothing any more within 5 seconds.")
                .path(KEY_ID)
                .empty(StatusCode::NO_CONTENT, "It is ended.")
                .empty(StatusCode::NOT_FOUND, "There is no such key."),
        ),
    ]
}

/// What a new key should be.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes what `read_new_key` reads")]
struct NewKeyRequest {
    /// For people.
    #[schemars(length(max = 100))]
    name: Option<String>,
    /// True for test accounts, false for live ones.
    sandbox: bool,
    /// What it opens; `gateway` if absent.
    #[schemars(length(min = 1))]
    scopes: Option<Vec<ScopeWord>>,
    /// When it ends; never if absent. Has to lie in the future.
    #[schemars(with = "Option<types::Time>")]
    expires_at: Option<String>,
    /// Requests per second; the node's default if absent.
    #[schemars(range(min = 1, max = RATE_MAX))]
    rate_limit: Option<u32>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the words of `Scope`")]
enum ScopeWord {
    Gateway,
    Admin,
}

#[derive(Serialize, JsonSchema)]
struct KeyList {
    data: Vec<KeyView>,
}

#[derive(Serialize, JsonSchema)]
struct NewKeyShown<'a> {
    /// The text of the key, to be sent in `X-Api-Key`.
    api_key: &'a str,
    key: KeyView,
}

/// A key as it is listed: never its text.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ApiKey")]
pub struct KeyView {
    #[schemars(with = "types::Id")]
    id: String,
    name: String,
    /// The last characters of the key's text.
    hint: String,
    scopes: Vec<String>,
    sandbox: bool,
    #[schemars(with = "types::Time")]
    created_at: String,
    #[schemars(with = "Option<types::Time>")]
    expires_at: Option<String>,
    #[schemars(with = "Option<types::Time>")]
    revoked_at: Option<String>,
    /// Requests per second; null is the node's default.
    rate_limit: Option<u32>,
}

impl From<&ApiKeyRow> for KeyView {
    fn from(row: &ApiKeyRow) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name.clone(),
            hint: row.hint.clone(),
            scopes: row.scopes.clone(),
            sandbox: row.sandbox,
            created_at: row.created_at.to_rfc3339(),
            expires_at: row.expires_at.map(Timestamp::to_rfc3339),
            revoked_at: row.revoked_at.map(Timestamp::to_rfc3339),
            rate_limit: row.rate_limit,
        }
    }
}

pub(crate) fn failure(error: &EngineError) -> Response {
    match error {
        EngineError::NotFound => StatusCode::NOT_FOUND.into_response(),
        EngineError::Unavailable | EngineError::NoAnswer => {
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
        EngineError::UnknownAccount { .. }
        | EngineError::WrongMode { .. }
        | EngineError::OtherCard
        | EngineError::NotTheWhole { .. }
        | EngineError::Brought(_)
        | EngineError::Refused(_)
        | EngineError::KeyReused
        | EngineError::StillRunning
        | EngineError::Overtaken
        | EngineError::Internal => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn list(State(app): State<Arc<App>>, Extension(caller): Extension<Caller>) -> Response {
    match app.engine.store().api_keys(caller.merchant).await {
        Ok(rows) => {
            json(StatusCode::OK, &KeyList { data: rows.iter().map(KeyView::from).collect() })
        }
        Err(error) => failure(&error.into()),
    }
}

async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Response {
    let Ok(id) = ApiKeyId::parse(&id) else { return StatusCode::NOT_FOUND.into_response() };
    match keys::get(app.engine.store().as_ref(), caller.merchant, id).await {
        Ok(row) => json(StatusCode::OK, &KeyView::from(&row)),
        Err(error) => failure(&error),
    }
}

async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    JsonBody(body): JsonBody,
) -> Response {
    let new = match read_new_key(&body, caller, app.engine.clock().now()) {
        Ok(new) => new,
        Err(error) => return validation(StatusCode::BAD_REQUEST, &error),
    };
    match keys::create(app.engine.audit(), caller.actor(), new).await {
        Ok((row, text)) => {
            let shown = NewKeyShown { api_key: text.expose(), key: KeyView::from(&row) };
            json(StatusCode::CREATED, &shown)
        }
        Err(error) => failure(&error),
    }
}

fn read_new_key(body: &[u8], caller: Caller, now: Timestamp) -> Result<NewKey, FieldError> {
    let mut fields = Fields::of_body(Json::parse(body)?)?;
    let name = fields.kept_text("name", 100)?.unwrap_or_else(|| "unnamed".to_owned());
    let sandbox = fields.boolean("sandbox")?.ok_or_else(|| {
        fields.error("sandbox", "It is required: true for test accounts, false for live ones.")
    })?;
    if caller.sandbox && !sandbox {
        return Err(fields.error("sandbox", "A sandbox key can only make sandbox keys."));
    }
    let words = fields.texts("scopes")?.unwrap_or_else(|| vec!["gateway".to_owned()]);
    let scope = |word: &String| {
        Scope::parse(word).ok_or_else(|| fields.error("scopes", "Scopes are gateway and admin."))
    };
    let scopes = words.iter().map(scope).collect::<Result<Vec<_>, _>>()?;
    if scopes.is_empty() {
        return Err(fields.error("scopes", "The list is empty."));
    }
    // An empty text is no time; to take it for "never" would make a key that never ends.
    let expires_at = if fields.has("expires_at") {
        let text = fields.required_text("expires_at", 64)?;
        Some(Timestamp::parse_rfc3339(text.trim()).map_err(|_| {
            fields.error("expires_at", "It must be a time like 2027-01-31T00:00:00Z.")
        })?)
    } else {
        None
    };
    if expires_at.is_some_and(|expires| expires <= now) {
        return Err(fields.error("expires_at", "It must lie in the future."));
    }
    let rate_limit = match fields.has("rate_limit") {
        false => None,
        true => match u32::try_from(fields.required_integer("rate_limit")?) {
            Ok(rate @ 1..=RATE_MAX) => Some(rate),
            Ok(_) | Err(_) => {
                let message = format!("It must be 1 to {RATE_MAX} requests per second.");
                return Err(fields.error("rate_limit", message));
            }
        },
    };
    Ok(NewKey { merchant: caller.merchant, name, scopes, sandbox, expires_at, rate_limit })
}

async fn revoke(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Response {
    let Ok(id) = ApiKeyId::parse(&id) else { return StatusCode::NOT_FOUND.into_response() };
    match keys::revoke(app.engine.audit(), caller.actor(), caller.merchant, id).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => failure(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::asked::assert_described;

    fn read(body: &str) -> Result<NewKey, FieldError> {
        let merchant = baton_types::MerchantId::parse("mer_01m8byr6xhfaqsnwkk57p3wxw6").unwrap();
        let caller = Caller { merchant, sandbox: false, key: None };
        read_new_key(body.as_bytes(), caller, Timestamp::from_millis(0))
    }

    #[test]
    fn what_is_described_is_what_is_read() {
        assert_described::<NewKeyRequest>(|| {
            let body =
                r#"{"sandbox": true, "rate_limit": 1, "expires_at": "2027-01-31T00:00:00Z"}"#;
            assert!(read(body).is_ok());
        });
    }

    #[test]
    fn an_end_that_cannot_be_read_is_not_taken_for_never() {
        for end in [r#""""#, r#"" ""#, r#""tomorrow""#, "5"] {
            let body = format!(r#"{{"sandbox": true, "expires_at": {end}}}"#);
            assert_eq!(read(&body).err().unwrap().field, "expires_at", "{end}");
        }
        assert_eq!(read(r#"{"sandbox": true, "expires_at": null}"#).ok().unwrap().expires_at, None);
    }
}
