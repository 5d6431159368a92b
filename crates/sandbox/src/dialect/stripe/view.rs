//! Stripe's objects, from the books.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{declines, disputes, setups};
use crate::clock::Id;
use crate::codes::{DeclineCode, DeclinedBy};
use crate::core::{
    Attempt, Brand, Card, Event, EventKind, Kind, Operation, Payment, Status, Subject, Token,
    network,
};
use crate::dialect::Urls;

const API_VERSION: &str = "2024-06-20";

/// Payment methods that exist in every test account of Stripe.
pub(super) fn shared_card(id: &str) -> Option<&'static str> {
    Some(match id {
        "pm_card_visa" => "4242424242424242",
        "pm_card_mastercard" => "5555555555554444",
        "pm_card_amex" => "378282246310005",
        "pm_card_chargeDeclined" => "4000000000000002",
        "pm_card_chargeDeclinedInsufficientFunds" => "4000000000009995",
        "pm_card_chargeDeclinedExpiredCard" => "4000000000000069",
        "pm_card_threeDSecure2Required" => "4000000000003220",
        _ => return None,
    })
}

pub(super) fn status(payment: &Payment) -> &'static str {
    if payment.voided {
        return "canceled";
    }
    match payment.status {
        Status::Created
            if payment.settings.token.is_some() || payment.settings.elsewhere.is_some() =>
        {
            "requires_confirmation"
        }
        Status::Created | Status::Declined => "requires_payment_method",
        Status::Pending => "processing",
        Status::ActionRequired => "requires_action",
        Status::Authorized => "requires_capture",
        Status::Captured => "succeeded",
    }
}

pub(super) fn intent(payment: &Payment, urls: &Urls) -> Value {
    let id = payment.id;
    let settings = &payment.settings;
    let void = payment.operations.iter().find(|o| o.kind == Kind::Void && o.failure.is_none());
    let declined = payment.attempt().filter(|_| payment.status == Status::Declined);
    let open = payment.status == Status::ActionRequired && !payment.voided;
    json!({
        "id": format!("pi_{id}"),
        "object": "payment_intent",
        "amount": payment.amount,
        "amount_capturable": payment.capturable(),
        "amount_details": {"tip": {}},
        "amount_received": payment.captured,
        "application": null,
        "application_fee_amount": null,
        "automatic_payment_methods": null,
        "canceled_at": void.map(|void| seconds(void.at_ms)),
        "cancellation_reason": settings.cancellation_reason.as_ref().filter(|_| payment.voided),
        "capture_method": if payment.sale { "automatic" } else { "manual" },
        "client_secret": format!("pi_{id}_secret_{id}"),
        "confirmation_method": "automatic",
        "created": seconds(payment.created_ms),
        "currency": payment.currency.to_ascii_lowercase(),
        "customer": null,
        "description": settings.description,
        "last_payment_error": declined.and_then(|attempt| payment_error(payment, attempt)),
        "latest_charge": payment.attempt().filter(|_| charged(payment)).map(charge_id),
        "livemode": false,
        "metadata": payment.metadata,
        "next_action": open.then(|| next_action(payment, urls)),
        "on_behalf_of": null,
        "payment_method": settings.token.filter(|_| declined.is_none()).map(method_id),
        "payment_method_options": {},
        "payment_method_types": [settings.elsewhere.as_deref().unwrap_or("card")],
        "processing": null,
        "receipt_email": null,
        "review": null,
        "setup_future_usage": null,
        "shipping": null,
        "source": null,
        "statement_descriptor": null,
        "statement_descriptor_suffix": null,
        "status": status(payment),
        "transfer_data": null,
        "transfer_group": null,
    })
}

pub(super) fn next_action(payment: &Payment, urls: &Urls) -> Value {
    let url = urls.challenge(payment.id);
    match &payment.settings.return_url {
        Some(return_url) => json!({
            "type": "redirect_to_url",
            "redirect_to_url": {"url": url, "return_url": return_url},
        }),
        None => json!({
            "type": "use_stripe_sdk",
            "use_stripe_sdk": {"type": "three_d_secure_redirect", "stripe_js": url},
        }),
    }
}

/// Whether the last attempt has become a charge: not before a challenge is passed.
fn charged(payment: &Payment) -> bool {
    payment.status != Status::ActionRequired
}

fn payment_error(payment: &Payment, attempt: &Attempt) -> Option<Value> {
    let decline = attempt.decline?;
    let (code, decline_code) = declines::codes(decline);
    let mut error = json!({
        "type": "card_error",
        "code": code,
        "message": decline.row().message,
        "charge": charge_id(attempt),
        "doc_url": format!("https://stripe.com/docs/error-codes/{code}"),
    });
    if let Some(error) = error.as_object_mut() {
        if let Some(decline_code) = decline_code {
            error.insert("decline_code".to_owned(), decline_code.into());
        }
        if let Some((token, card)) = payment.settings.token.zip(attempt.card.as_ref()) {
            let method = method_of(token, card, attempt.at_ms);
            error.insert("payment_method".to_owned(), method);
        }
    }
    Some(error)
}

/// The body of a 402: the decline, with the intent as it is now.
pub(super) fn declined(payment: &Payment, urls: &Urls) -> Value {
    let error = payment.attempt().and_then(|attempt| payment_error(payment, attempt));
    let mut error = error.unwrap_or_else(|| json!({"type": "card_error"}));
    if let Some(error) = error.as_object_mut() {
        error.insert("payment_intent".to_owned(), intent(payment, urls));
    }
    json!({"error": error})
}

pub(super) fn charge_id(attempt: &Attempt) -> String {
    format!("ch_{}", attempt.id)
}

pub(super) fn method_id(token: Id) -> String {
    format!("pm_{token}")
}

pub(super) fn seconds(ms: i64) -> i64 {
    ms.div_euclid(1_000)
}

pub(super) fn charge(payment: &Payment, attempt: &Attempt) -> Value {
    let is_last = payment.attempt().is_some_and(|last| last.id == attempt.id);
    let approved = is_last && payment.is_approved();
    let amount = if approved { payment.authorized } else { payment.amount };
    let status = match attempt.decline {
        Some(_) => "failed",
        None if approved => "succeeded",
        None => "pending",
    };
    let returned = if payment.voided && approved { amount } else { payment.refunded };
    let decline = attempt.decline.map(|decline| (decline, declines::codes(decline)));
    json!({
        "id": charge_id(attempt),
        "object": "charge",
        "amount": amount,
        "amount_captured": if approved { payment.captured } else { 0 },
        "amount_refunded": if approved { returned } else { 0 },
        "application": null,
        "application_fee": null,
        "application_fee_amount": null,
        "balance_transaction": null,
        "billing_details": no_billing_details(),
        "calculated_statement_descriptor": null,
        "captured": approved && payment.captured > 0,
        "created": seconds(attempt.at_ms),
        "currency": payment.currency.to_ascii_lowercase(),
        "customer": null,
        "description": payment.settings.description,
        "disputed": false,
        "failure_balance_transaction": null,
        "failure_code": decline.map(|(_, (code, _))| code),
        "failure_message": decline.map(|(decline, _)| decline.row().message),
        "fraud_details": {},
        "livemode": false,
        "metadata": payment.metadata,
        "on_behalf_of": null,
        "outcome": outcome(attempt.decline),
        "paid": status == "succeeded",
        "payment_intent": format!("pi_{}", payment.id),
        "payment_method": payment.settings.token.map(method_id),
        "payment_method_details": details(payment, attempt, approved),
        "receipt_email": null,
        "receipt_number": null,
        "receipt_url": null,
        "refunded": approved && returned == amount,
        "review": null,
        "shipping": null,
        "source_transfer": null,
        "statement_descriptor": null,
        "statement_descriptor_suffix": null,
        "status": status,
        "transfer_data": null,
        "transfer_group": null,
    })
}

fn outcome(decline: Option<DeclineCode>) -> Value {
    let Some(decline) = decline else {
        return json!({
            "network_status": "approved_by_network", "reason": null, "risk_level": "normal",
            "seller_message": "Payment complete.", "type": "authorized",
        });
    };
    let (code, decline_code) = declines::codes(decline);
    let (network_status, kind, risk_level) = match decline.row().by {
        DeclinedBy::Issuer => ("declined_by_network", "issuer_declined", "normal"),
        DeclinedBy::ProviderRisk => ("not_sent_to_network", "blocked", "highest"),
        DeclinedBy::Provider => ("not_sent_to_network", "invalid", "normal"),
    };
    json!({
        "network_status": network_status, "reason": decline_code.unwrap_or(code),
        "risk_level": risk_level, "seller_message": decline.row().message, "type": kind,
    })
}

/// What was paid with. Of a bank or a lender nothing is known but who it is.
fn details(payment: &Payment, attempt: &Attempt, approved: bool) -> Value {
    match (&attempt.card, &payment.settings.elsewhere) {
        (Some(card), _) => json!({"type": "card", "card": card_details(card, attempt, approved)}),
        (None, Some(name)) => json!({"type": name, name: {}}),
        (None, None) => Value::Null,
    }
}

fn card_details(card: &Card, attempt: &Attempt, approved: bool) -> Value {
    json!({
        "brand": brand(card.brand),
        "checks": no_checks(),
        "country": "US",
        "exp_month": card.exp_month,
        "exp_year": card.exp_year,
        "fingerprint": card_fingerprint(card),
        "funding": "credit",
        "installments": null,
        "last4": card.last4,
        "mandate": null,
        "network": brand(card.brand),
        "network_transaction_id": approved.then(|| network::transaction_id(attempt)).flatten(),
        "three_d_secure": null,
        "wallet": null,
        "authorization_code": approved.then(|| attempt.auth_code()),
    })
}

pub(super) fn method(token: &Token) -> Value {
    method_of(token.id, &token.card, token.created_ms)
}

pub(super) fn customer(token: &Token, metadata: &Map<String, Value>) -> Value {
    json!({
        "id": format!("cus_{}", token.id),
        "object": "customer",
        "created": seconds(token.created_ms),
        "description": null,
        "email": null,
        "livemode": false,
        "metadata": metadata,
        "shipping": null,
    })
}

fn method_of(id: Id, card: &Card, created_ms: i64) -> Value {
    json!({
        "id": method_id(id),
        "object": "payment_method",
        "billing_details": no_billing_details(),
        "card": {
            "brand": brand(card.brand),
            "checks": no_checks(),
            "country": "US",
            "exp_month": card.exp_month,
            "exp_year": card.exp_year,
            "fingerprint": card_fingerprint(card),
            "funding": "credit",
            "generated_from": null,
            "last4": card.last4,
            "networks": {"available": [brand(card.brand)], "preferred": null},
            "three_d_secure_usage": {"supported": true},
            "wallet": null,
        },
        "created": seconds(created_ms),
        "customer": null,
        "livemode": false,
        "metadata": {},
        "type": "card",
    })
}

fn brand(brand: Brand) -> &'static str {
    match brand {
        Brand::Visa => "visa",
        Brand::Mastercard => "mastercard",
        Brand::Amex => "amex",
        Brand::Discover => "discover",
        Brand::Diners => "diners",
        Brand::Jcb => "jcb",
        Brand::Unionpay => "unionpay",
        Brand::Unknown => "unknown",
    }
}

/// The same for the same visible digits and expiry: the full number is not known any more.
fn card_fingerprint(card: &Card) -> String {
    format!("{}{}{:02}{}", card.first6, card.last4, card.exp_month, card.exp_year)
}

fn no_checks() -> Value {
    json!({"address_line1_check": null, "address_postal_code_check": null, "cvc_check": "unchecked"})
}

fn no_billing_details() -> Value {
    let address = json!({
        "city": null, "country": null, "line1": null, "line2": null, "postal_code": null, "state": null,
    });
    json!({"address": address, "email": null, "name": null, "phone": null})
}

pub(super) fn refund(payment: &Payment, operation: &Operation) -> Value {
    let failed = operation.failure.is_some();
    let mut refund = json!({
        "id": format!("re_{}", operation.id),
        "object": "refund",
        "amount": operation.amount,
        "balance_transaction": null,
        "charge": payment.attempt().map(charge_id),
        "created": seconds(operation.at_ms),
        "currency": payment.currency.to_ascii_lowercase(),
        "metadata": operation.metadata,
        "payment_intent": format!("pi_{}", payment.id),
        "reason": operation.reason,
        "receipt_number": null,
        "source_transfer_reversal": null,
        "status": if failed { "failed" } else { "succeeded" },
        "transfer_reversal": null,
    });
    if let Some(refund) = refund.as_object_mut().filter(|_| failed) {
        refund.insert("failure_reason".to_owned(), "declined".into());
    }
    refund
}

pub(super) fn balance(held: &BTreeMap<String, i64>) -> Value {
    let sum = |(currency, amount): (&String, &i64)| {
        let currency = currency.to_ascii_lowercase();
        json!({"amount": amount, "currency": currency, "source_types": {"card": amount}})
    };
    let available: Vec<Value> = held.iter().map(sum).collect();
    json!({"object": "balance", "available": available, "livemode": false, "pending": []})
}

pub(super) fn list(url: &str, data: Vec<Value>, has_more: bool) -> Value {
    json!({"object": "list", "url": url, "has_more": has_more, "data": data})
}

/// What Stripe would announce: usually an event about the charge and one about the intent.
pub(crate) fn events_of(event: &Event, urls: &Urls) -> Vec<Value> {
    let Subject::Payment { payment, operation } = &event.subject else { return Vec::new() };
    let disputed = operation.and_then(|id| payment.disputes.iter().find(|it| it.id == id));
    let of_dispute =
        |is_new| disputed.map(|it| disputes::told(payment, it, is_new)).unwrap_or_default();
    let operation = operation.and_then(|id| payment.operation(id));
    let failed = operation.is_some_and(|operation| operation.failure.is_some());
    let of_charge = || payment.attempt().map_or(Value::Null, |attempt| charge(payment, attempt));
    let of_intent = || intent(payment, urls);
    let of_refund = || operation.map_or(Value::Null, |operation| refund(payment, operation));
    let told = match (event.kind, payment.status) {
        _ if payment.settings.verification => setups::told(event.kind, payment, urls),
        (EventKind::Created, _) => vec![("payment_intent.created", of_intent())],
        (EventKind::Attempted | EventKind::Concluded, status) => match status {
            Status::Captured => {
                vec![("charge.succeeded", of_charge()), ("payment_intent.succeeded", of_intent())]
            }
            Status::Authorized => vec![
                ("charge.succeeded", of_charge()),
                ("payment_intent.amount_capturable_updated", of_intent()),
            ],
            Status::Declined => {
                vec![("charge.failed", of_charge()), ("payment_intent.payment_failed", of_intent())]
            }
            Status::Pending => {
                vec![("charge.pending", of_charge()), ("payment_intent.processing", of_intent())]
            }
            Status::ActionRequired => vec![("payment_intent.requires_action", of_intent())],
            Status::Created => Vec::new(),
        },
        (EventKind::Refund, _) if failed => vec![("refund.failed", of_refund())],
        (EventKind::Capture | EventKind::Void | EventKind::Increment, _) if failed => Vec::new(),
        (EventKind::Increment, _) => {
            vec![("payment_intent.amount_capturable_updated", of_intent())]
        }
        (EventKind::Capture, _) => {
            vec![("charge.captured", of_charge()), ("payment_intent.succeeded", of_intent())]
        }
        (EventKind::Void, _) if payment.is_approved() => {
            vec![("charge.refunded", of_charge()), ("payment_intent.canceled", of_intent())]
        }
        (EventKind::Void, _) => vec![("payment_intent.canceled", of_intent())],
        (EventKind::Refund, _) => {
            vec![("refund.created", of_refund()), ("charge.refunded", of_charge())]
        }
        (EventKind::DisputeOpened, _) => of_dispute(true),
        (EventKind::DisputeMoved, _) => of_dispute(false),
        (EventKind::CancelFailed, _) => Vec::new(),
    };
    let wrap = |(place, (name, object)): (usize, (&str, Value))| {
        json!({
            "id": format!("evt_{}{place}", event.id),
            "object": "event",
            "api_version": API_VERSION,
            "created": seconds(event.at_ms),
            "data": {"object": object},
            "livemode": false,
            "pending_webhooks": 0,
            "request": {"id": null, "idempotency_key": null},
            "type": name,
        })
    };
    told.into_iter().enumerate().map(wrap).collect()
}
