//! Vaults elsewhere: which one keeps a profile's cards, what a browser is told of it, how a saved card stands there.

use baton_payments::{Merchant, Profile, Seen, Stored, VaultSession};
use serde_json::{Value, json};

use super::error::Refusal;
use super::view;
use crate::App;

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
