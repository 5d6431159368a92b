//! Saved payment methods, mandates, and what a browser may offer.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use baton_connect::RedirectMethod;
use baton_payments::{
    AtVault, BinTable, CardType, Fault, Mandate, MandateState, Merchant, MethodStatus, NewMandate,
    NewMethod, SavedMethod, Seen, Stored, Wanted,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::auth::{Asker, Who};
use super::body::{Body, Hidden, Params};
use super::error::Refusal;
use super::shape::{CardData, check_id, check_kept, request};
use super::{PaymentsRoute, redirect, view};
use crate::App;

pub(crate) fn routes() -> Vec<PaymentsRoute> {
    let (own, any) = (Who::Merchant, Who::MerchantOrBrowser);
    let one = "/payment_methods/{payment_method_id}";
    vec![
        PaymentsRoute::new("POST", "/payment_methods", own, create),
        PaymentsRoute::new("GET", one, own, show),
        PaymentsRoute::new("POST", one, own, update),
        PaymentsRoute::new("DELETE", one, own, remove),
        PaymentsRoute::new("GET", "/account/payment_methods", any, offered),
        PaymentsRoute::new("GET", "/customers/{customer_id}/payment_methods", own, of_customer),
        PaymentsRoute::new("GET", "/customers/payment_methods", any, of_payment),
        PaymentsRoute::new(
            "POST",
            "/customers/{customer_id}/payment_methods/{payment_method_id}/default",
            own,
            make_default,
        ),
        PaymentsRoute::new("POST", "/payments/session_tokens", any, session_tokens),
        PaymentsRoute::new("GET", "/mandates/{mandate_id}", own, mandate),
        PaymentsRoute::new("POST", "/mandates/revoke/{mandate_id}", own, revoke),
    ]
}

request!(
    /// A payment method to be saved.
    MethodRequest {
        payment_method: Option<String>,
        payment_method_type: Option<String>,
        customer_id: Option<String>,
        card: Option<CardData>,
    } kept {
        metadata, payment_method_issuer, payment_method_issuer_code, card_network,
    }
);

type Answer = Result<Json<Value>, Refusal>;

/// A saved method; `first` is the one that its customer is offered first.
fn shown(
    method: &Stored<SavedMethod>,
    merchant: &str,
    first: Option<&str>,
    bins: &BinTable,
) -> Value {
    let SavedMethod { id, customer, kind, card, holder, details, .. } = &method.body;
    json!({
        "merchant_id": merchant,
        "customer_id": customer,
        "payment_method_id": id,
        "payment_token": id,
        "payment_method": "card",
        "payment_method_type": kind,
        "payment_method_issuer": details.get("payment_method_issuer"),
        "payment_method_issuer_code": null,
        "card": of_card(card, holder.as_deref(), bins, method.body.vault.as_ref()),
        "metadata": details.get("metadata"),
        "created": view::time(method.created_at),
        "recurring_enabled": true,
        "installment_payment_enabled": false,
        "payment_experience": ["redirect_to_url"],
        "requires_cvv": true,
        "status": method.body.standing().as_str(),
        "default_payment_method_set": first == Some(id.as_str()),
        "last_used_at": view::time(method.updated_at),
        "client_secret": null,
    })
}

fn of_card(
    card: &baton_types::MaskedCard,
    holder: Option<&str>,
    bins: &BinTable,
    vault: Option<&AtVault>,
) -> Value {
    let known = bins.of(&card.bin);
    json!({
        "last4_digits": card.last4,
        "card_network": view::network(card.brand),
        "scheme": view::network(card.brand),
        "card_isin": card.bin,
        "expiry_month": format!("{:02}", card.expiry.month()),
        "expiry_year": card.expiry.year().to_string(),
        "card_holder_name": holder,
        "nick_name": null,
        "card_issuer": known.and_then(|known| known.issuer.as_deref()),
        "card_type": known.and_then(|known| known.kind).map(CardType::as_str),
        "issuer_country": known.and_then(|known| known.country.as_deref()),
        "card_token": null,
        "card_fingerprint": vault.and_then(|at| at.fingerprint.as_deref()),
        "saved_to_locker": vault.is_none(),
    })
}

async fn create(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Body(mut request): Body<MethodRequest>,
) -> Answer {
    let (merchant, account) = asker.account()?;
    match request.payment_method.take().as_deref() {
        Some("card") => {}
        Some(other) => {
            let message =
                format!("only cards are kept, not {}", other.chars().take(32).collect::<String>());
            return Err(Refusal::value("payment_method", message));
        }
        None => return Err(Refusal::missing("payment_method")),
    }
    let customer = request.customer_id.take().ok_or_else(|| Refusal::missing("customer_id"))?;
    check_id("customer_id", &customer)?;
    let card = request.card.take().ok_or_else(|| Refusal::missing("card"))?;
    let new = NewMethod {
        customer,
        kind: request.payment_method_type.take(),
        card: card.read(app.engine.clock().now())?,
        details: request.kept()?,
    };
    let saved = app.payments.save_method(&merchant, new).await?;
    Ok(Json(shown(&saved, account, None, app.payments.bins())))
}

async fn show(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
) -> Answer {
    let (merchant, account) = asker.account()?;
    let method = app.payments.method(&merchant, &id).await?;
    let first = app.payments.default_method(&merchant, &method.body.customer).await?;
    Ok(Json(shown(&method, account, first.as_deref(), app.payments.bins())))
}

async fn update(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    Body(mut request): Body<MethodRequest>,
) -> Answer {
    let (merchant, account) = asker.account()?;
    let now = app.engine.clock().now();
    let card = request.card.take().map(|card| card.read(now)).transpose()?;
    let details = request.kept()?;
    let changed = app.payments.update_method(&merchant, &id, card, details).await?;
    let first = app.payments.default_method(&merchant, &changed.body.customer).await?;
    Ok(Json(shown(&changed, account, first.as_deref(), app.payments.bins())))
}

async fn remove(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
) -> Answer {
    app.payments.delete_method(&asker.merchant()?, &id).await?;
    Ok(Json(json!({ "payment_method_id": id, "deleted": true })))
}

#[derive(Deserialize)]
struct Offer {
    client_secret: Option<String>,
}

/// The payment that a secret belongs to; a browser has to have one.
async fn secret_of(
    app: &App,
    asker: &Asker,
    secret: Option<&str>,
) -> Result<(Merchant, Option<Seen>), Refusal> {
    let merchant = asker.merchant()?;
    let Some(secret) = secret else {
        return match asker {
            Asker::Browser(..) => Err(Refusal::missing("client_secret")),
            Asker::Operator(_) | Asker::Server(..) => Ok((merchant, None)),
        };
    };
    let id = secret.rsplit_once("_secret_").map_or("", |(id, _)| id);
    let seen = app.payments.see(&merchant, id).await.map_err(|fault| {
        // Whether there is such a payment is told to nobody who does not know its secret.
        if matches!(fault, Fault::NotFound(_)) { Fault::ClientSecret } else { fault }
    })?;
    app.payments.check_client(&seen.intent.body, Some(secret))?;
    Ok((merchant, Some(seen)))
}

/// What the merchant's connectors take, for this payment if one is named.
async fn offered(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Params(offer): Params<Offer>,
) -> Answer {
    let (merchant, seen) = secret_of(&app, &asker, offer.client_secret.as_deref()).await?;
    let profile = seen.as_ref().map(|seen| seen.intent.body.profile.clone());
    let connectors = app.payments.connectors(&merchant, profile.as_deref()).await?;
    let mut eligible: Vec<&str> = Vec::new();
    let mut elsewhere: Vec<_> = RedirectMethod::ALL.map(|method| (method, Vec::new())).into();
    let mut kinds: Vec<&str> = Vec::new();
    for connector in connectors.iter().map(|stored| &stored.body) {
        let methods =
            app.payments.redirects_of(connector, seen.as_ref().map(|seen| &seen.intent.body));
        let able = elsewhere.iter_mut().filter(|(method, _)| methods.contains(method));
        able.for_each(|(_, connectors)| connectors.push(connector.connector.as_str()));
        let takes =
            seen.as_ref().is_none_or(|seen| connector.takes(&Wanted::of(&seen.intent.body, None)));
        if connector.disabled || !connector.is_processor() || !takes {
            continue;
        }
        eligible.push(&connector.connector);
        let own = connector.methods.iter().filter(|filter| filter.method == "card");
        kinds.extend(own.map(|filter| filter.kind.as_str()));
        if connector.methods.is_empty() {
            kinds.extend(["credit", "debit"]);
        }
    }
    kinds.sort_unstable();
    kinds.dedup();
    let networks = ["Visa", "Mastercard", "AmericanExpress", "Discover", "JCB", "DinersClub"];
    let networks = networks.map(|network| {
        json!({ "card_network": network, "surcharge_details": null, "eligible_connectors": eligible })
    });
    let of_card = |kind: &&str| method_type(kind, Value::Null, json!(networks));
    let types: Vec<Value> = kinds.iter().map(of_card).collect();
    let card = json!({ "payment_method": "card", "payment_method_types": types });
    let mut methods: Vec<Value> = if types.is_empty() { Vec::new() } else { vec![card] };
    elsewhere.retain(|(_, connectors)| !connectors.is_empty());
    methods.extend(redirect::offered(&elsewhere));
    let kind = seen.as_ref().map(|seen| {
        if seen.intent.body.setup_future_usage.is_some() { "new_mandate" } else { "normal" }
    });
    Ok(Json(json!({
        "redirect_url": seen.as_ref().and_then(|seen| seen.intent.body.return_url.clone()),
        "currency": seen.as_ref().map(|seen| seen.intent.body.currency.code()),
        "payment_methods": methods,
        "sdk_next_action": { "next_action": "confirm" },
        "is_guest_customer": seen.as_ref().is_none_or(|seen| seen.intent.body.customer.is_none()),
        "mandate_payment": null,
        "merchant_name": null,
        "show_surcharge_breakup_screen": false,
        "payment_type": kind,
        "request_external_three_ds_authentication": false,
        "collect_shipping_details_from_wallets": false,
        "collect_billing_details_from_wallets": false,
        "is_tax_calculation_enabled": false,
    })))
}

/// One type of a method that is offered: how a payer pays with it, and by which networks.
pub(super) fn method_type(kind: &str, experience: Value, networks: Value) -> Value {
    json!({
        "payment_method_type": kind,
        "payment_experience": experience,
        "card_networks": networks,
        "bank_names": null,
        "bank_debits": null,
        "bank_transfers": null,
        "required_fields": {},
        "surcharge_details": null,
        "pm_auth_connector": null,
    })
}

async fn listed(app: &App, asker: &Asker, customer: Option<&str>) -> Answer {
    let (merchant, account) = asker.account()?;
    let known = match customer {
        Some(customer) => app.payments.methods(&merchant, customer).await?,
        None => Vec::new(),
    };
    let first = match customer {
        Some(customer) => app.payments.default_method(&merchant, customer).await?,
        None => None,
    };
    let bins = app.payments.bins();
    let active = known.iter().filter(|method| method.body.standing() == MethodStatus::Active);
    let shown = |method| shown(method, account, first.as_deref(), bins);
    let methods: Vec<Value> = active.map(shown).collect();
    Ok(Json(json!({
        "customer_payment_methods": methods, "is_guest_customer": customer.is_none()
    })))
}

/// Makes a saved method the one that its customer is offered first.
async fn make_default(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path((customer, id)): Path<(String, String)>,
) -> Answer {
    let merchant = asker.merchant()?;
    let method = app.payments.set_default_method(&merchant, &customer, &id).await?.body;
    Ok(Json(json!({
        "customer_id": method.customer,
        "default_payment_method_id": method.id,
        "payment_method": "card",
        "payment_method_type": method.kind,
    })))
}

async fn of_customer(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(customer): Path<String>,
) -> Answer {
    app.payments.customer(&asker.merchant()?, &customer).await?;
    listed(&app, &asker, Some(&customer)).await
}

async fn of_payment(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Params(offer): Params<Offer>,
) -> Answer {
    let (_, seen) = secret_of(&app, &asker, offer.client_secret.as_deref()).await?;
    let customer = seen.and_then(|seen| seen.intent.body.customer);
    listed(&app, &asker, customer.as_deref()).await
}

/// Whose wallets are asked for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionRequest {
    payment_id: String,
    client_secret: Hidden,
    #[serde(default, rename = "wallets")]
    _wallets: Vec<Value>,
}

/// Wallets that the payment could be made with: none, because no connector of this build takes one.
async fn session_tokens(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Body(request): Body<SessionRequest>,
) -> Answer {
    let merchant = asker.merchant()?;
    let (id, secret) = (&request.payment_id, request.client_secret.expose());
    let seen = app.payments.session(&merchant, id, secret).await?;
    Ok(Json(json!({
        "vault_details": super::vault::session(&app, &merchant, &seen).await?,
        "payment_id": request.payment_id,
        "client_secret": request.client_secret.expose(),
        "session_token": [],
    })))
}

pub(crate) fn of_mandate(mandate: &Mandate, method: &SavedMethod, bins: &BinTable) -> Value {
    let status = match mandate.state {
        MandateState::Active => "active",
        MandateState::Inactive => "inactive",
        MandateState::Revoked => "revoked",
    };
    json!({
        "mandate_id": mandate.id,
        "status": status,
        "payment_method_id": mandate.method,
        "payment_method": "card",
        "payment_method_type": method.kind,
        "card": of_card(&method.card, method.holder.as_deref(), bins, method.vault.as_ref()),
        "customer_acceptance": mandate.data.get("customer_acceptance"),
    })
}

async fn mandate(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
) -> Answer {
    let merchant = asker.merchant()?;
    let mandate = app.payments.mandate(&merchant, &id).await?.body;
    let method = app.payments.method(&merchant, &mandate.method).await?.body;
    Ok(Json(of_mandate(&mandate, &method, app.payments.bins())))
}

async fn revoke(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
) -> Answer {
    app.payments.revoke_mandate(&asker.merchant()?, &id).await?;
    Ok(Json(json!({
        "mandate_id": id, "status": "revoked", "error_code": null, "error_message": null
    })))
}

/// A mandate that a payment is to make, from its `mandate_data`.
pub(crate) fn new_mandate(data: &Value) -> Result<Option<NewMandate>, Refusal> {
    let Some(kind) = data.get("mandate_type").filter(|kind| kind.is_object()) else {
        return Ok(None);
    };
    check_kept("mandate_data", data)?;
    let single = kind.get("single_use").filter(|limit| !limit.is_null());
    let multiple = kind.get("multi_use");
    let limit = match (single, multiple) {
        (Some(limit), _) | (None, Some(limit)) => limit,
        (None, None) => {
            return Err(Refusal::value(
                "mandate_data.mandate_type",
                "must be single_use or multi_use",
            ));
        }
    };
    let empty = Map::new();
    let limit = limit.as_object().unwrap_or(&empty);
    Ok(Some(NewMandate {
        single_use: single.is_some(),
        amount: limit.get("amount").and_then(Value::as_i64),
        currency: limit.get("currency").and_then(Value::as_str).map(str::to_owned),
        data: data.clone(),
    }))
}
