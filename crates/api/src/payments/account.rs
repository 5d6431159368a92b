//! Merchant accounts.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use baton_payments::AccountSecrets;
use serde_json::{Map, Value, json};

use super::auth::{Asker, Who};
use super::body::Body;
use super::error::Refusal;
use super::hook::{check_details, hash_key, hook_password};
use super::shape::{check_id, hide_secrets, request};
use super::{PaymentsRoute, view};
use crate::App;

pub(crate) fn routes() -> Vec<PaymentsRoute> {
    let both = Who::OperatorOrMerchant;
    vec![
        PaymentsRoute::new("POST", "/accounts", Who::Operator, create),
        PaymentsRoute::new("GET", "/accounts/{merchant_id}", both, show),
        PaymentsRoute::new("POST", "/accounts/{merchant_id}", both, update),
        PaymentsRoute::new("DELETE", "/accounts/{merchant_id}", Who::Operator, remove),
    ]
}

request!(
    /// A merchant account.
    AccountRequest {
        merchant_id: Option<String>,
        organization_id: Option<String>,
    } kept {
        merchant_name, merchant_details, return_url, webhook_details, primary_business_details, metadata,
        locker_id, sub_merchants_enabled, enable_payment_response_hash, payment_response_hash_key,
        redirect_to_merchant_with_http_post, parent_merchant_id, routing_algorithm,
        payout_routing_algorithm, frm_routing_algorithm, pm_collect_link_config, product_type,
        merchant_account_type, publishable_key, is_manual_retry_enabled,
    }
);

fn secrets(details: &Map<String, Value>) -> Result<AccountSecrets, Refusal> {
    Ok(AccountSecrets { hash_key: hash_key(details)?, hook_password: hook_password(details) })
}

type Answer = Result<Json<Value>, Refusal>;

async fn create(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Body(mut request): Body<AccountRequest>,
) -> Answer {
    let id = request.merchant_id.take().ok_or_else(|| Refusal::missing("merchant_id"))?;
    check_id("merchant_id", &id)?;
    let organization = request.organization_id.take();
    if let Some(organization) = &organization {
        check_id("organization_id", organization)?;
    }
    let mut details = request.kept()?;
    check_details(&app.payments, &details)?;
    let secrets = secrets(&details)?;
    hide_secrets(&mut details);
    let (made, key) =
        app.payments.create_account(asker.actor(), &id, organization, details, secrets).await?;
    let mut shown = view::account(&made);
    // Once: from now on it is in the vault.
    if let Value::Object(map) = &mut shown {
        map.insert("payment_response_hash_key".to_owned(), key.expose().into());
    }
    Ok(Json(shown))
}

async fn show(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
) -> Answer {
    asker.of_path(&app, &id).await?;
    Ok(Json(view::account(&app.payments.account(&id).await?)))
}

async fn update(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    Body(mut request): Body<AccountRequest>,
) -> Answer {
    asker.of_path(&app, &id).await?;
    let mut details = request.kept()?;
    check_details(&app.payments, &details)?;
    let secrets = secrets(&details)?;
    hide_secrets(&mut details);
    let changed = app.payments.update_account(asker.actor(), &id, details, secrets).await?;
    Ok(Json(view::account(&changed)))
}

async fn remove(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
) -> Answer {
    app.payments.delete_account(asker.actor(), &id).await?;
    Ok(Json(json!({ "merchant_id": id, "deleted": true })))
}
