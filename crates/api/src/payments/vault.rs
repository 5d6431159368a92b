//! Vaults elsewhere: which one keeps a profile's cards, what a browser is told of it, how a saved card stands there.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use baton_payments::{Merchant, Profile, Seen, Stored, VaultChange, VaultSession};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::{Asker, Who};
use super::body::Body;
use super::error::Refusal;
use super::shape::check_kept;
use super::{PaymentsRoute, view};
use crate::App;

pub(crate) fn routes() -> Vec<PaymentsRoute> {
    let profile = "/account/{merchant_id}/business_profile/{profile_id}";
    vec![PaymentsRoute::new("POST", profile, Who::OperatorOrMerchant, choose)]
}

/// The part of a profile that says where its cards are kept.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChooseRequest {
    /// Whether a vault elsewhere keeps the profile's cards.
    #[serde(default)]
    is_external_vault_enabled: Option<Enabled>,
    /// `vault_connector_id`: the connector that leads to the vault.
    #[serde(default)]
    #[schemars(with = "super::describe::Kept")]
    external_vault_connector_details: Option<Value>,
}

/// Whether, in the contract's words.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Enabled {
    Enable,
    Skip,
}

async fn choose(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path((id, profile)): Path<(String, String)>,
    Body(request): Body<ChooseRequest>,
) -> Result<Json<Value>, Refusal> {
    let merchant = asker.of_path(&app, &id).await?;
    let details = request.external_vault_connector_details;
    if let Some(details) = &details {
        check_kept("external_vault_connector_details", details)?;
    }
    let enabled = request.is_external_vault_enabled.map(|word| word == Enabled::Enable);
    app.payments.choose_vault(&merchant, &profile, VaultChange { enabled, details }).await?;
    let found = app.payments.profile(&merchant, Some(&profile)).await?;
    Ok(Json(shown(&app, &merchant, &found, &id).await?))
}

/// A profile with where its cards are kept.
pub(crate) async fn shown(
    app: &App,
    merchant: &Merchant,
    profile: &Stored<Profile>,
    account: &str,
) -> Result<Value, Refusal> {
    let choice = app.payments.vault_choice(merchant, &profile.body.id).await?;
    let mut shown = view::profile(profile, account);
    if let Value::Object(map) = &mut shown {
        let choice = choice.map(|choice| choice.body);
        let word = choice.as_ref().map(|choice| if choice.enabled { "enable" } else { "skip" });
        map.insert("is_external_vault_enabled".to_owned(), json!(word));
        let details = choice.map(|choice| choice.details);
        map.insert("external_vault_connector_details".to_owned(), json!(details));
    }
    Ok(shown)
}

/// What a browser is told of the vault of a payment's profile, where the contract has a form for it.
pub(crate) async fn session(app: &App, merchant: &Merchant, seen: &Seen) -> Result<Value, Refusal> {
    let known = app.payments.vault_session(merchant, &seen.intent.body.profile).await?;
    Ok(match known {
        Some(VaultSession { vault, vault_id: Some(vault_id), environment }) if vault == "vgs" => {
            json!({
                "vault_type": "vgs",
                "vault_data": { "vault_id": vault_id, "environment": environment },
            })
        }
        Some(_) | None => Value::Null,
    })
}

/// A payment as it is shown, with how the card that it saves stands.
pub(crate) async fn with_status(
    app: &App,
    merchant: &Merchant,
    seen: &Seen,
    mut shown: Value,
) -> Value {
    let Some(method) = seen.intent.body.saved_method.as_deref().filter(|_| seen.payment.is_some())
    else {
        return shown;
    };
    // A method that is not there has no status; nor is a payment's answer lost over it.
    let found = app.payments.method(merchant, method).await.ok();
    if let (Some(found), Value::Object(map)) = (found, &mut shown) {
        let word = found.body.standing().as_str();
        map.insert("payment_method_status".to_owned(), word.into());
    }
    shown
}
