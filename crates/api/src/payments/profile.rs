//! Profiles of a merchant account, with the vault that keeps their cards.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use baton_payments::{Merchant, ProfileChange, VaultChange};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::PaymentsRoute;
use super::auth::{Asker, Who};
use super::body::{Body, MaybeBody};
use super::error::Refusal;
use super::hook::{check_details, hash_key, hook_headers, hook_password};
use super::shape::{check_kept, check_text, check_url, hide_secrets, request, session};
use super::vault::shown;
use crate::App;

pub(crate) fn routes() -> Vec<PaymentsRoute> {
    let who = Who::OperatorOrMerchant;
    let all = "/account/{merchant_id}/business_profile";
    let one = "/account/{merchant_id}/business_profile/{profile_id}";
    vec![
        PaymentsRoute::new("POST", all, who, create),
        PaymentsRoute::new("GET", all, who, list),
        PaymentsRoute::new("GET", one, who, show),
        PaymentsRoute::new("POST", one, who, update),
        PaymentsRoute::new("DELETE", one, who, remove),
    ]
}

request!(
    /// A profile, or what is to be changed about it.
    ProfileRequest {
        profile_name: Option<String>,
        session_expiry: Option<u32>,
        is_external_vault_enabled: Option<Enabled>,
        #[schemars(with = "super::describe::Kept")]
        external_vault_connector_details: Option<Value>,
        #[schemars(with = "super::describe::Kept")]
        outgoing_webhook_custom_http_headers: Option<Value>,
    } kept {
        return_url, enable_payment_response_hash, payment_response_hash_key,
        redirect_to_merchant_with_http_post, webhook_details, metadata, routing_algorithm,
        intent_fulfillment_time, frm_routing_algorithm, payout_routing_algorithm,
        applepay_verified_domains, payment_link_config, authentication_connector_details,
        use_billing_as_payment_method_billing, collect_shipping_details_from_wallet_connector,
        collect_billing_details_from_wallet_connector,
        always_collect_shipping_details_from_wallet_connector,
        always_collect_billing_details_from_wallet_connector, is_connector_agnostic_mit_enabled,
        payout_link_config, tax_connector_id, is_tax_connector_enabled,
        is_network_tokenization_enabled, is_auto_retries_enabled, max_auto_retries_enabled,
        always_request_extended_authorization, is_click_to_pay_enabled, authentication_product_ids,
        card_testing_guard_config, is_clear_pan_retries_enabled, force_3ds_challenge,
        is_debit_routing_enabled, merchant_business_country, is_iframe_redirection_enabled,
        is_pre_network_tokenization_enabled, merchant_category_code, merchant_country_code,
        dispute_polling_interval, is_manual_retry_enabled, always_enable_overcapture,
        billing_processor_id, is_l2_l3_enabled,
    }
);

/// Whether, in the contract's words.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Enabled {
    Enable,
    Skip,
}

/// Longest name of a profile, and longest URL, in characters.
const NAME_MAX: usize = 64;
const URL_MAX: usize = 255;

/// What a switch is called.
fn is_switch(name: &str) -> bool {
    let beginnings = ["is_", "enable_", "redirect_to_", "use_", "collect_", "always_", "force_"];
    beginnings.iter().any(|beginning| name.starts_with(beginning))
}

fn check(details: &Map<String, Value>) -> Result<(), Refusal> {
    for (name, value) in details {
        if is_switch(name) && !value.is_boolean() {
            return Err(Refusal::value(name, "must be true or false"));
        }
    }
    match details.get("return_url") {
        None => Ok(()),
        Some(Value::String(url)) if url.chars().count() <= URL_MAX => check_url("return_url", url),
        Some(_) => Err(Refusal::value(
            "return_url",
            format!("must be a URL of at most {URL_MAX} characters"),
        )),
    }
}

impl ProfileRequest {
    fn read(mut self, app: &App) -> Result<ProfileChange, Refusal> {
        let headers = self.outgoing_webhook_custom_http_headers.take();
        let hook_headers = headers.as_ref().map(hook_headers).transpose()?;
        let vault = self.external_vault_connector_details.take();
        if let Some(details) = &vault {
            check_kept("external_vault_connector_details", details)?;
        }
        if let Some(name) = &self.profile_name {
            check_text("profile_name", name)?;
            if name.trim().is_empty() || name.chars().count() > NAME_MAX {
                let message = format!("must have 1 to {NAME_MAX} characters");
                return Err(Refusal::value("profile_name", message));
            }
        }
        let enabled = self.is_external_vault_enabled.map(|word| word == Enabled::Enable);
        let seconds = self.session_expiry.map(session).transpose()?;
        let mut details = self.kept()?;
        check(&details)?;
        check_details(&app.payments, &details)?;
        let hash_key = hash_key(&details)?;
        let hook_password = hook_password(&details);
        details.remove("payment_response_hash_key");
        hide_secrets(&mut details);
        details.extend(seconds.map(|seconds| ("session_expiry".to_owned(), json!(seconds))));
        let vault = VaultChange { enabled, details: vault };
        let name = self.profile_name.take();
        Ok(ProfileChange { name, details, hash_key, hook_password, hook_headers, vault })
    }
}

type Answer = Result<Json<Value>, Refusal>;

async fn create(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    MaybeBody(request): MaybeBody<ProfileRequest>,
) -> Answer {
    let merchant = asker.of_path(&app, &id).await?;
    let new = request.read(&app)?;
    let made = app.payments.create_profile(asker.actor(), &merchant, new).await?;
    let everywhere = Merchant { profile: None, ..merchant };
    Ok(Json(shown(&app, &everywhere, &made, &id).await?))
}

async fn list(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
) -> Answer {
    let merchant = asker.of_path(&app, &id).await?;
    let mut all = Vec::new();
    for profile in app.payments.profiles(&merchant).await? {
        all.push(shown(&app, &merchant, &profile, &id).await?);
    }
    Ok(Json(Value::Array(all)))
}

async fn show(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path((id, profile)): Path<(String, String)>,
) -> Answer {
    let merchant = asker.of_path(&app, &id).await?;
    let found = app.payments.profile(&merchant, Some(&profile)).await?;
    Ok(Json(shown(&app, &merchant, &found, &id).await?))
}

async fn update(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path((id, profile)): Path<(String, String)>,
    Body(request): Body<ProfileRequest>,
) -> Answer {
    let merchant = asker.of_path(&app, &id).await?;
    let change = request.read(&app)?;
    let payments = &app.payments;
    let changed = payments.update_profile(asker.actor(), &merchant, &profile, change).await?;
    Ok(Json(shown(&app, &merchant, &changed, &id).await?))
}

async fn remove(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path((id, profile)): Path<(String, String)>,
) -> Answer {
    let merchant = asker.of_path(&app, &id).await?;
    app.payments.delete_profile(asker.actor(), &merchant, &profile).await?;
    Ok(Json(json!(true)))
}
