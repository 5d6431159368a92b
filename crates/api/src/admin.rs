//! The admin API under `/admin/v1`: for now, API keys.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get};
use baton_engine::keys::{self, NewKey, Scope};
use baton_engine::{EngineError, merchants};
use baton_store::ApiKeyRow;
use baton_types::{ApiKeyId, MerchantId, Timestamp};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::json as value;

use crate::App;
use crate::auth::{authenticate, presented};
use crate::body::{Json, JsonBody};
use crate::error::{json, validation};
use crate::fields::{FieldError, Fields};

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/admin/v1/api-keys", get(list).post(create))
        .route("/admin/v1/api-keys/{id}", delete(revoke))
}

/// A key as it is listed: never its text.
#[derive(Serialize)]
pub struct KeyView {
    id: String,
    name: String,
    hint: String,
    scopes: Vec<String>,
    sandbox: bool,
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
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
        }
    }
}

/// Either the operator's own key from the configuration, which acts for the default merchant, or a
/// merchant's key with the admin scope.
async fn administrator(app: &App, headers: &HeaderMap) -> Result<MerchantId, Response> {
    let (given, wanted) = (presented(headers), app.admin_key.as_ref());
    if let (Some(given), Some(wanted)) = (given, wanted)
        && verify_slices_are_equal(given.as_bytes(), wanted.expose().as_bytes()).is_ok()
    {
        let store = app.engine.store().as_ref();
        let found = merchants::ensure(store, app.engine.clock(), merchants::DEFAULT).await;
        return found.map_err(|error| failure(&error));
    }
    Ok(authenticate(app, headers, Scope::Admin).await?.merchant)
}

fn failure(error: &EngineError) -> Response {
    match error {
        EngineError::NotFound => StatusCode::NOT_FOUND.into_response(),
        EngineError::Unavailable => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        EngineError::UnknownAccount { .. }
        | EngineError::WrongMode { .. }
        | EngineError::OtherCard
        | EngineError::NotTheWhole { .. }
        | EngineError::Refused(_)
        | EngineError::KeyReused
        | EngineError::StillRunning
        | EngineError::Internal => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn list(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let merchant = match administrator(&app, &headers).await {
        Ok(merchant) => merchant,
        Err(response) => return response,
    };
    match app.engine.store().api_keys(merchant).await {
        Ok(rows) => {
            let keys: Vec<KeyView> = rows.iter().map(KeyView::from).collect();
            json(StatusCode::OK, &value!({ "data": keys }))
        }
        Err(error) => failure(&error.into()),
    }
}

async fn create(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Response {
    let merchant = match administrator(&app, &headers).await {
        Ok(merchant) => merchant,
        Err(response) => return response,
    };
    let new = match read_new_key(&body, merchant) {
        Ok(new) => new,
        Err(error) => return validation(StatusCode::BAD_REQUEST, &error),
    };
    let store = app.engine.store().as_ref();
    match keys::create(store, app.engine.clock(), new).await {
        Ok((row, text)) => {
            let shown = value!({ "api_key": text.expose(), "key": KeyView::from(&row) });
            json(StatusCode::CREATED, &shown)
        }
        Err(error) => failure(&error),
    }
}

fn read_new_key(body: &[u8], merchant: MerchantId) -> Result<NewKey, FieldError> {
    let mut fields = Fields::of_body(Json::parse(body)?)?;
    let name = fields.plain_text("name", 100)?.unwrap_or_else(|| "unnamed".to_owned());
    let sandbox = fields.boolean("sandbox")?.ok_or_else(|| {
        fields.error("sandbox", "It is required: true for test accounts, false for live ones.")
    })?;
    let words = fields.texts("scopes")?.unwrap_or_else(|| vec!["gateway".to_owned()]);
    let scope = |word: &String| {
        Scope::parse(word).ok_or_else(|| fields.error("scopes", "Scopes are gateway and admin."))
    };
    let scopes = words.iter().map(scope).collect::<Result<Vec<_>, _>>()?;
    if scopes.is_empty() {
        return Err(fields.error("scopes", "The list is empty."));
    }
    let expires_at = match fields.plain_text("expires_at", 64)? {
        None => None,
        Some(text) => Some(Timestamp::parse_rfc3339(&text).map_err(|_| {
            fields.error("expires_at", "It must be a time like 2027-01-31T00:00:00Z.")
        })?),
    };
    Ok(NewKey { merchant, name, scopes, sandbox, expires_at })
}

async fn revoke(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    let merchant = match administrator(&app, &headers).await {
        Ok(merchant) => merchant,
        Err(response) => return response,
    };
    let Ok(id) = ApiKeyId::parse(&id) else { return StatusCode::NOT_FOUND.into_response() };
    let store = app.engine.store().as_ref();
    match keys::revoke(store, app.engine.clock(), merchant, id).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => failure(&error),
    }
}
