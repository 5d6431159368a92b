//! API keys of a merchant account, and keys for one customer's browser.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use baton_engine::keys::{self, NewKey, Scope};
use baton_payments::Fault;
use baton_store::ApiKeyRow;
use baton_types::{ApiKeyId, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::{Asker, Who};
use super::body::Body;
use super::error::Refusal;
use super::shape::check_text;
use super::{PaymentsRoute, view};
use crate::App;

/// How long a key for one customer's browser lives, in milliseconds.
const EPHEMERAL_MS: i64 = 3_600_000;

pub(crate) fn routes() -> Vec<PaymentsRoute> {
    let who = Who::OperatorOrMerchant;
    vec![
        PaymentsRoute::new("POST", "/api_keys/{merchant_id}", who, create),
        PaymentsRoute::new("GET", "/api_keys/{merchant_id}/list", who, list),
        PaymentsRoute::new("GET", "/api_keys/{merchant_id}/{key_id}", who, show),
        PaymentsRoute::new("POST", "/api_keys/{merchant_id}/{key_id}", who, update),
        PaymentsRoute::new("DELETE", "/api_keys/{merchant_id}/{key_id}", who, revoke),
        PaymentsRoute::new("POST", "/ephemeral_keys", Who::Merchant, ephemeral),
    ]
}

/// A key to be made or changed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyRequest {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    expiration: Option<String>,
}

type Answer = Result<Json<Value>, Refusal>;

/// When a key ends: `never`, or a time.
fn expiration(text: Option<&str>) -> Result<Option<Timestamp>, Refusal> {
    match text {
        None => Err(Refusal::missing("expiration")),
        Some("never") => Ok(None),
        Some(text) => Timestamp::parse_rfc3339(text).map(Some).map_err(|_| {
            Refusal::value("expiration", "must be `never` or a time like 2099-01-31T00:00:00Z")
        }),
    }
}

async fn create(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    Body(request): Body<KeyRequest>,
) -> Answer {
    let merchant = asker.of_path(&app, &id).await?;
    let name = request.name.ok_or_else(|| Refusal::missing("name"))?;
    check_text("name", &name)?;
    let new = NewKey {
        merchant: merchant.caller.merchant,
        name,
        scopes: vec![Scope::Payments],
        sandbox: merchant.caller.sandbox,
        expires_at: expiration(request.expiration.as_deref())?,
        rate_limit: None,
    };
    let (row, key) = keys::create(app.engine.audit(), asker.actor(), new).await?;
    let mut shown = shown(&row, &id);
    if let Value::Object(map) = &mut shown {
        map.remove("prefix");
        map.insert("api_key".to_owned(), key.expose().into());
        map.insert("description".to_owned(), request.description.into());
    }
    Ok(Json(shown))
}

async fn list(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
) -> Answer {
    let merchant = asker.of_path(&app, &id).await?;
    let rows = app.engine.store().api_keys(merchant.caller.merchant).await.map_err(Fault::from)?;
    let mine = rows.iter().filter(|row| row.revoked_at.is_none() && is_secret(row));
    Ok(Json(mine.map(|row| shown(row, &id)).collect()))
}

/// A merchant's own keys; not those that browsers use.
fn is_secret(row: &ApiKeyRow) -> bool {
    row.scopes.iter().any(|scope| scope == Scope::Payments.as_str())
}

async fn find(app: &App, asker: &Asker, merchant: &str, key: &str) -> Result<ApiKeyRow, Refusal> {
    let merchant = asker.of_any_path(app, merchant).await?;
    let missing = || Refusal::from(Fault::NotFound("API key"));
    let key = ApiKeyId::parse(key).map_err(|_| missing())?;
    let found = keys::get(app.engine.store().as_ref(), merchant.caller.merchant, key).await;
    let found = found.map_err(|error| {
        if error == baton_engine::EngineError::NotFound { missing() } else { error.into() }
    })?;
    if is_secret(&found) { Ok(found) } else { Err(missing()) }
}

async fn show(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path((merchant, key)): Path<(String, String)>,
) -> Answer {
    Ok(Json(shown(&find(&app, &asker, &merchant, &key).await?, &merchant)))
}

async fn update(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path((merchant, key)): Path<(String, String)>,
    Body(request): Body<KeyRequest>,
) -> Answer {
    let row = find(&app, &asker, &merchant, &key).await?;
    let name = request.name.unwrap_or_else(|| row.name.clone());
    check_text("name", &name)?;
    let expires_at = match request.expiration.as_deref() {
        None => row.expires_at,
        given => expiration(given)?,
    };
    let changed = keys::rename(app.engine.audit(), asker.actor(), row, name, expires_at).await?;
    let mut shown = shown(&changed, &merchant);
    if let Value::Object(map) = &mut shown {
        map.insert("description".to_owned(), request.description.into());
    }
    Ok(Json(shown))
}

async fn revoke(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path((merchant, key)): Path<(String, String)>,
) -> Answer {
    let row = find(&app, &asker, &merchant, &key).await?;
    keys::revoke(app.engine.audit(), asker.actor(), row.merchant, row.id).await?;
    Ok(Json(json!({ "merchant_id": merchant, "key_id": row.id.to_string(), "revoked": true })))
}

fn shown(row: &ApiKeyRow, merchant: &str) -> Value {
    let expiration = row.expires_at.map_or_else(|| "never".to_owned(), view::time);
    json!({
        "key_id": row.id.to_string(),
        "merchant_id": merchant,
        "name": row.name,
        "description": null,
        "prefix": format!("…{}", row.hint),
        "created": view::time(row.created_at),
        "expiration": expiration,
    })
}

/// Whose browser a key is for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EphemeralRequest {
    customer_id: String,
}

async fn ephemeral(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Body(request): Body<EphemeralRequest>,
) -> Answer {
    let merchant = asker.merchant()?;
    let customer = app.payments.customer(&merchant, &request.customer_id).await?;
    let now = app.engine.clock().now();
    let expires = now.plus_millis(EPHEMERAL_MS);
    let new = NewKey {
        merchant: merchant.caller.merchant,
        name: customer.body.id.clone(),
        scopes: vec![Scope::Ephemeral],
        sandbox: merchant.caller.sandbox,
        expires_at: Some(expires),
        rate_limit: None,
    };
    let (_, key) = keys::create(app.engine.audit(), asker.actor(), new).await?;
    Ok(Json(json!({
        "customer_id": customer.body.id,
        "created_at": now.millis().div_euclid(1000),
        "expires": expires.millis().div_euclid(1000),
        "secret": key.expose(),
    })))
}
