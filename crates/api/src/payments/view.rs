//! What is answered: objects in the contract's form. Nulls are written, not left out.

use baton_flow::{CallState, Candidate, Closure, Increment, Payment};
use baton_payments::status::IntentStatus;
use baton_payments::{BinTable, CardType};
use baton_payments::{
    ConnectorAccount, Customer, Intent, MerchantAccount, Profile, RefundSeen, RefundStatus, Seen,
    Stored,
};
use baton_types::card::Brand;
use baton_types::outcome::{NextAction, Outcome};
use baton_types::{MaskedCard, Timestamp};
use serde_json::{Map, Value, json};

use super::redirect;
use super::shape::STARS;

/// Fields that an intent keeps and shows under the same name.
pub(crate) const SHOWN: &[&str] = &[
    "shipping_cost",
    "off_session",
    "shipping",
    "billing",
    "order_details",
    "mandate_data",
    "statement_descriptor_name",
    "statement_descriptor_suffix",
    "payment_experience",
    "business_country",
    "business_label",
    "allowed_payment_method_types",
    "metadata",
    "connector_metadata",
    "surcharge_details",
    "browser_info",
    "payment_channel",
    "frm_metadata",
    "request_extended_authorization",
    "merchant_order_reference_id",
    "order_tax_amount",
    "feature_metadata",
    "is_iframe_redirection_enabled",
    "force_3ds_challenge",
    "enable_partial_authorization",
    "enable_overcapture",
    "name",
    "email",
    "phone",
    "capture_on",
];

/// Fields of the contract that this version knows nothing of: always null.
pub(crate) const NULLS: &[&str] = &[
    "connector_customer_id",
    "refunds",
    "connector_label",
    "business_sub_label",
    "frm_message",
    "reference_id",
    "payment_link",
    "merchant_decision",
    "external_authentication_details",
    "fingerprint",
    "split_payments",
    "extended_authorization_applied",
    "capture_before",
    "connector_mandate_id",
    "card_discovery",
    "force_3ds_challenge_trigger",
    "issuer_error_code",
    "issuer_error_message",
    "whole_connector_response",
    "unified_code",
    "unified_message",
];

/// A payment, with the id of its merchant account.
pub(crate) fn payment(seen: &Seen, merchant: &str, bins: &BinTable) -> Value {
    let Stored { body: intent, created_at, updated_at, .. } = &seen.intent;
    let mut map = Map::new();
    for name in NULLS {
        map.insert((*name).to_owned(), Value::Null);
    }
    for name in SHOWN {
        map.insert((*name).to_owned(), intent.details.get(*name).cloned().unwrap_or_default());
    }
    let status = seen.status();
    let modified = seen.payment.as_ref().map_or(*updated_at, |p| p.updated_at.max(*updated_at));
    let fields = json!({
        "payment_id": intent.id,
        "merchant_id": merchant,
        "processor_merchant_id": merchant,
        "status": status.as_str(),
        "amount": seen.amount(),
        "net_amount": seen.amount(),
        "amount_capturable": seen.capturable(),
        "amount_received": seen.received(),
        "currency": intent.currency.code(),
        "client_secret": intent.client_secret,
        "created": time(*created_at),
        "modified_at": time(modified),
        "updated": time(modified),
        "expires_on": time(intent.expires_at),
        "customer_id": intent.customer,
        "customer": customer_of(intent),
        "description": intent.description,
        "return_url": intent.return_url,
        "setup_future_usage": intent.setup_future_usage,
        "capture_method": intent.capture,
        "authentication_type": intent.authentication,
        "payment_method_id": intent.saved_method,
        "payment_token": intent.saved_method,
        "payment_method_status": null,
        "mandate_id": intent.mandate,
        "cancellation_reason": intent.cancellation_reason,
        "profile_id": intent.profile,
        "attempt_count": intent.tries.len().max(1),
        "manual_retry_allowed": seen.retry,
        "outcome_mode": intent.outcome_mode,
        "incremental_authorization_allowed": seen.may_increment(),
        "incremental_authorizations": increments(seen),
        "authorization_count": (!seen.increments().is_empty()).then_some(seen.increments().len()),
        "external_3ds_authentication_attempted": false,
        "is_overcapture_enabled": null,
        "next_check_at": null,
        // As long as nobody asks for them.
        "attempts": null,
        "captures": null,
        "disputes": null,
    });
    extend(&mut map, fields);
    extend(&mut map, means(intent, bins));
    extend(&mut map, outcome(seen, status));
    Value::Object(map)
}

/// What it is paid with.
fn means(intent: &Intent, bins: &BinTable) -> Value {
    if let Some(redirect) = &intent.redirect {
        return json!({
            "payment_method": redirect.method.family(),
            "payment_method_type": redirect.method.as_str(),
            "payment_method_data": redirect::shown(redirect),
        });
    }
    let is_card = intent.method.is_some() || intent.token().is_some();
    json!({
        "payment_method": is_card.then_some("card"),
        "payment_method_type": intent.method.as_ref().and_then(|method| method.kind.clone()),
        "payment_method_data": intent.method.as_ref().map(|method| {
            json!({ "card": card(&method.card.masked, method.card.holder.as_deref(), bins), "billing": null })
        }),
    })
}

/// The raises of what is held; null where there was none.
fn increments(seen: &Seen) -> Option<Value> {
    let shown = |raise: &Increment| {
        let (status, outcome) = match &raise.call.state {
            CallState::Planned => ("processing", None),
            CallState::Open { outcome } => ("processing", Some(outcome)),
            CallState::Final { outcome: outcome @ Outcome::Approved { .. }, .. } => {
                ("success", Some(outcome))
            }
            CallState::Final { outcome, .. } => ("failure", Some(outcome)),
            CallState::Closed { .. } => ("failure", None),
        };
        let failed = outcome.filter(|_| status == "failure");
        let (code, message) = failed.map(told).unwrap_or_default();
        json!({
            "authorization_id": raise.call.reference,
            "amount": raise.amount.minor(),
            "status": status,
            "error_code": code,
            "error_message": message,
            "previously_authorized_amount": raise.before.minor(),
        })
    };
    let all: Vec<Value> = seen.increments().iter().map(shown).collect();
    (!all.is_empty()).then(|| all.into())
}

/// Why something was not done, as a code and in words.
pub(crate) fn told(outcome: &Outcome) -> (Option<String>, Option<String>) {
    let answer = outcome.answer();
    let code = if let Outcome::Declined { code, .. } = outcome {
        Some(code.as_str().to_owned())
    } else {
        answer.and_then(|answer| answer.code.clone())
    };
    let code = code.unwrap_or_else(|| outcome.class().to_owned());
    let message = answer.and_then(|answer| answer.message.clone());
    (Some(code.clone()), Some(message.unwrap_or(code)))
}

/// What the provider said.
fn outcome(seen: &Seen, status: IntentStatus) -> Value {
    let decided = seen.deciding();
    let candidate =
        seen.payment.as_ref().zip(decided).and_then(|(payment, (no, _))| payment.candidate(no));
    let answer = decided.and_then(|(_, call)| match &call.state {
        CallState::Open { outcome } | CallState::Final { outcome, .. } => outcome.answer(),
        CallState::Planned | CallState::Closed { .. } => None,
    });
    let (code, message) = error(seen, status);
    let next = decided.and_then(|(_, call)| next_check(call, seen.payment.as_deref()?));
    json!({
        "connector": candidate.map(connector_name),
        "merchant_connector_id": candidate.map(|candidate| candidate.label.as_str()),
        "connector_transaction_id": answer.and_then(|answer| answer.reference.clone()),
        "network_transaction_id": answer.and_then(|answer| answer.network_transaction_id.clone()),
        "error_code": code,
        "error_message": message,
        "error_reason": message,
        "error_details": null,
        "next_action": answer.and_then(next_action),
        "next_check_at": next,
    })
}

fn next_check(call: &baton_flow::Call, payment: &Payment) -> Option<String> {
    let is_open = matches!(call.state, CallState::Open { outcome: Outcome::Unknown { .. } });
    is_open.then(|| time(call.next_check(payment.updated_at)))
}

fn next_action(answer: &baton_types::outcome::Answer) -> Option<Value> {
    Some(match answer.next_action.as_deref()? {
        NextAction::Redirect { url, .. } => {
            json!({ "type": "redirect_to_url", "redirect_to_url": url })
        }
        NextAction::ClientLibrary { kind } => {
            json!({ "type": "invoke_sdk_client", "next_action_data": { "type": kind } })
        }
    })
}

/// Why a payment has failed or is in doubt, in the provider's words where it gave any.
fn error(seen: &Seen, status: IntentStatus) -> (Option<String>, Option<String>) {
    let Some((_, call)) = seen.deciding() else { return (None, None) };
    let told = |code: &str, message: &str| (Some(code.to_owned()), Some(message.to_owned()));
    match (&call.state, status) {
        (CallState::Open { outcome: Outcome::Unknown { .. } }, _) => told(
            "outcome_unknown",
            "The provider's answer was lost; its outcome is being looked up",
        ),
        (CallState::Final { outcome, .. }, IntentStatus::Failed) => self::told(outcome),
        (CallState::Closed { how, .. }, IntentStatus::Failed) => match how {
            Closure::Absent => told("absent", "The provider has not carried it out"),
            Closure::Fenced => told("fenced", "The provider will not carry it out any more"),
            Closure::Voided => told("voided", "It was cancelled at the provider"),
        },
        _ => (None, None),
    }
}

/// A card as it may be shown, with what is known of it by its first digits.
pub(crate) fn card(card: &MaskedCard, holder: Option<&str>, bins: &BinTable) -> Value {
    let known = bins.of(&card.bin);
    json!({
        "last4": card.last4,
        "card_type": known.and_then(|known| known.kind).map(CardType::as_str),
        "card_network": network(card.brand),
        "card_issuer": known.and_then(|known| known.issuer.as_deref()),
        "card_issuing_country": known.and_then(|known| known.country.as_deref()),
        "card_isin": card.bin,
        "card_extended_bin": null,
        "card_exp_month": format!("{:02}", card.expiry.month()),
        "card_exp_year": card.expiry.year().to_string(),
        "card_holder_name": holder,
        "payment_checks": null,
        "authentication_data": null,
    })
}

/// The contract's names of networks.
pub(crate) fn network(brand: Brand) -> Option<&'static str> {
    match brand {
        Brand::Visa => Some("Visa"),
        Brand::Mastercard => Some("Mastercard"),
        Brand::Amex => Some("AmericanExpress"),
        Brand::Discover => Some("Discover"),
        Brand::Diners => Some("DinersClub"),
        Brand::Jcb => Some("JCB"),
        Brand::UnionPay => Some("UnionPay"),
        Brand::Maestro => Some("Maestro"),
        Brand::Elo
        | Brand::Hipercard
        | Brand::Troy
        | Brand::Uatp
        | Brand::Dankort
        | Brand::Unknown => None,
    }
}

fn customer_of(intent: &Intent) -> Value {
    let Some(id) = &intent.customer else { return Value::Null };
    let field = |name: &str| intent.details.get(name).cloned().unwrap_or_default();
    json!({
        "id": id,
        "name": field("name"),
        "email": field("email"),
        "phone": field("phone"),
        "phone_country_code": field("phone_country_code"),
    })
}

/// The contract's name of the connector that an attempt goes to.
pub(super) fn connector_name(candidate: &Candidate) -> String {
    candidate.gateway.to_ascii_lowercase()
}

/// A refund.
pub(crate) fn refund(seen: &RefundSeen) -> Value {
    let Stored { body, created_at, updated_at, .. } = &seen.refund;
    let status = seen.status();
    let attempt = seen.payment.attempt_of(body.call);
    let candidate = attempt.and_then(|no| seen.payment.candidate(no));
    let answer = seen.call().and_then(|call| match &call.state {
        CallState::Open { outcome } | CallState::Final { outcome, .. } => outcome.answer(),
        CallState::Planned | CallState::Closed { .. } => None,
    });
    let failed = answer.filter(|_| status == RefundStatus::Failed);
    let metadata = body.details.get("metadata").cloned().unwrap_or_default();
    json!({
        "refund_id": body.id,
        "payment_id": body.intent,
        "amount": body.amount.minor(),
        "currency": body.amount.currency().code(),
        "status": status,
        "reason": body.reason,
        "metadata": metadata,
        "error_code": failed.and_then(|answer| answer.code.clone()),
        "error_message": failed.and_then(|answer| answer.message.clone()),
        "unified_code": null,
        "unified_message": null,
        "created_at": time(*created_at),
        "updated_at": time(seen.payment.updated_at.max(*updated_at)),
        "connector": candidate.map(connector_name).unwrap_or_default(),
        "profile_id": body.profile,
        "merchant_connector_id": candidate.map(|candidate| candidate.label.as_str()),
        "split_refunds": null,
        "connector_refund_id": answer.and_then(|answer| answer.reference.clone()),
        "issuer_error_code": null,
        "issuer_error_message": null,
    })
}

/// A merchant account.
pub(crate) fn account(stored: &Stored<MerchantAccount>) -> Value {
    let MerchantAccount { id, organization, default_profile, publishable_key, details, .. } =
        &stored.body;
    let mut map = Map::new();
    for name in [
        "merchant_name",
        "return_url",
        "merchant_details",
        "webhook_details",
        "metadata",
        "locker_id",
        "parent_merchant_id",
        "payout_routing_algorithm",
        "frm_routing_algorithm",
        "pm_collect_link_config",
        "product_type",
    ] {
        map.insert(name.to_owned(), details.get(name).cloned().unwrap_or_default());
    }
    let hash_key = stored.body.has_hash_key().then_some(STARS);
    map.insert("payment_response_hash_key".to_owned(), hash_key.into());
    let flag = |name: &str| details.get(name).and_then(Value::as_bool).unwrap_or(false);
    let business = details.get("primary_business_details").cloned().unwrap_or_else(|| json!([]));
    let hashed = details.get("enable_payment_response_hash").and_then(Value::as_bool);
    extend(
        &mut map,
        json!({
            "merchant_id": id,
            "organization_id": organization,
            "default_profile": default_profile,
            "publishable_key": publishable_key,
            "primary_business_details": business,
            "sub_merchants_enabled": flag("sub_merchants_enabled"),
            "enable_payment_response_hash": hashed.unwrap_or(true),
            "redirect_to_merchant_with_http_post": flag("redirect_to_merchant_with_http_post"),
            "is_recon_enabled": false,
            "recon_status": "not_requested",
            "merchant_account_type": "standard",
        }),
    );
    Value::Object(map)
}

/// Fields that a profile keeps and shows under the same name.
pub(crate) const PROFILE_SHOWN: &[&str] = &[
    "return_url",
    "webhook_details",
    "metadata",
    "routing_algorithm",
    "intent_fulfillment_time",
    "frm_routing_algorithm",
    "payout_routing_algorithm",
    "applepay_verified_domains",
    "session_expiry",
    "payment_link_config",
    "authentication_connector_details",
    "use_billing_as_payment_method_billing",
    "collect_shipping_details_from_wallet_connector",
    "collect_billing_details_from_wallet_connector",
    "always_collect_shipping_details_from_wallet_connector",
    "always_collect_billing_details_from_wallet_connector",
    "is_connector_agnostic_mit_enabled",
    "payout_link_config",
    "tax_connector_id",
    "max_auto_retries_enabled",
    "always_request_extended_authorization",
    "authentication_product_ids",
    "card_testing_guard_config",
    "is_debit_routing_enabled",
    "merchant_business_country",
    "is_iframe_redirection_enabled",
    "merchant_category_code",
    "merchant_country_code",
    "dispute_polling_interval",
    "is_manual_retry_enabled",
    "always_enable_overcapture",
    "billing_processor_id",
    "is_l2_l3_enabled",
];

/// Switches of a profile that are always shown, with how they stand where nobody has set them.
pub(crate) const PROFILE_SWITCHES: &[(&str, bool)] = &[
    ("enable_payment_response_hash", true),
    ("redirect_to_merchant_with_http_post", false),
    ("is_tax_connector_enabled", false),
    ("is_network_tokenization_enabled", false),
    ("is_auto_retries_enabled", false),
    ("is_click_to_pay_enabled", false),
    ("is_clear_pan_retries_enabled", false),
    ("force_3ds_challenge", false),
    ("is_pre_network_tokenization_enabled", false),
];

/// A profile.
pub(crate) fn profile(stored: &Stored<Profile>, merchant: &str) -> Value {
    let Profile { id, name, details, .. } = &stored.body;
    let mut map = Map::new();
    for field in PROFILE_SHOWN {
        map.insert((*field).to_owned(), details.get(*field).cloned().unwrap_or_default());
    }
    for (field, default) in PROFILE_SWITCHES {
        let set = details.get(*field).and_then(Value::as_bool);
        map.insert((*field).to_owned(), set.unwrap_or(*default).into());
    }
    let key = stored.body.has_hash_key().then_some(STARS);
    let headers = stored.body.hook_header_names().iter();
    let headers: Map<String, Value> =
        headers.map(|name| (name.clone(), Value::from(STARS))).collect();
    extend(
        &mut map,
        json!({
            "merchant_id": merchant,
            "profile_id": id,
            "profile_name": name,
            "payment_response_hash_key": key,
            "outgoing_webhook_custom_http_headers": (!headers.is_empty()).then_some(headers),
        }),
    );
    Value::Object(map)
}

/// A connector account. Credentials are shown by their last characters.
pub(crate) fn connector(stored: &Stored<ConnectorAccount>) -> Value {
    let body = &stored.body;
    let mut map = Map::new();
    for name in [
        "payment_methods_enabled",
        "connector_webhook_details",
        "metadata",
        "test_mode",
        "frm_configs",
        "business_country",
        "business_label",
        "business_sub_label",
        "pm_auth_config",
        "additional_merchant_data",
        "connector_wallets_details",
    ] {
        map.insert(name.to_owned(), body.details.get(name).cloned().unwrap_or_default());
    }
    let mut credentials = body.credentials.clone();
    let auth_type = body.details.get("auth_type").cloned().unwrap_or_default();
    credentials.insert("auth_type".to_owned(), auth_type);
    extend(
        &mut map,
        json!({
            "connector_type": body.kind,
            "connector_name": body.connector,
            "connector_label": body.label,
            "merchant_connector_id": body.id,
            "profile_id": body.profile,
            "connector_account_details": credentials,
            "disabled": body.disabled,
            "status": if body.disabled { "inactive" } else { "active" },
            "applepay_verified_domains": null,
        }),
    );
    Value::Object(map)
}

/// A connector account among others: without credentials and settings, as the contract's lists are.
pub(crate) fn connector_in_list(stored: &Stored<ConnectorAccount>) -> Value {
    let mut shown = connector(stored);
    if let Value::Object(map) = &mut shown {
        for name in [
            "additional_merchant_data",
            "connector_account_details",
            "connector_wallets_details",
            "connector_webhook_details",
            "metadata",
        ] {
            map.remove(name);
        }
    }
    shown
}

/// A customer.
pub(crate) fn customer(stored: &Stored<Customer>) -> Value {
    let Customer { id, fields, default_method } = &stored.body;
    let mut map = Map::new();
    for name in [
        "name",
        "email",
        "phone",
        "phone_country_code",
        "description",
        "address",
        "metadata",
        "tax_registration_id",
    ] {
        map.insert(name.to_owned(), fields.get(name).cloned().unwrap_or_default());
    }
    map.insert("default_payment_method_id".to_owned(), default_method.clone().into());
    map.insert("customer_id".to_owned(), id.clone().into());
    map.insert("created_at".to_owned(), time(stored.created_at).into());
    Value::Object(map)
}

pub(crate) fn time(at: Timestamp) -> String {
    at.to_rfc3339()
}

pub(crate) fn extend(map: &mut Map<String, Value>, fields: Value) {
    if let Value::Object(fields) = fields {
        map.extend(fields);
    }
}
