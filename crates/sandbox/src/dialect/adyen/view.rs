//! Adyen's answers to payments.

use serde_json::{Map, Value, json};

use super::refusals::refusal;
use crate::clock::Id;
use crate::core::{Brand, Payment, Status, Token, network};
use crate::dialect::Urls;

/// Adyen's name of a card brand (`paymentMethodVariant`, `brand`).
pub(super) fn brand(brand: Brand) -> &'static str {
    match brand {
        Brand::Visa => "visa",
        Brand::Mastercard => "mc",
        Brand::Amex => "amex",
        Brand::Discover => "discover",
        Brand::Diners => "diners",
        Brand::Jcb => "jcb",
        Brand::Unionpay => "cup",
        Brand::Unknown => "card",
    }
}

/// `PaymentResponse`, which is also what `/payments/details` answers. `token` is a card that was stored
/// with this payment.
pub(super) fn payment(payment: &Payment, token: Option<Id>, urls: &Urls) -> Value {
    let attempt = payment.attempt();
    let decline = attempt.and_then(|attempt| attempt.decline).map(refusal);
    let result = match payment.status {
        _ if payment.voided => "Cancelled",
        Status::Authorized | Status::Captured if payment.authorized < payment.amount => {
            "PartiallyAuthorised"
        }
        Status::Authorized | Status::Captured => "Authorised",
        Status::Declined => decline.map_or("Refused", |refusal| refusal.result_code()),
        Status::ActionRequired => "RedirectShopper",
        Status::Pending | Status::Created => "Pending",
    };
    let value = if payment.authorized > 0 { payment.authorized } else { payment.amount };
    let mut answer = Map::new();
    let mut put = |name: &str, value: Value| drop(answer.insert(name.to_owned(), value));
    put("pspReference", payment.id.to_string().into());
    put("resultCode", result.into());
    put("merchantReference", payment.reference.clone().into());
    put("amount", json!({"currency": payment.currency, "value": value}));
    if let Some((attempt, card)) =
        attempt.and_then(|attempt| Some((attempt, attempt.card.as_ref()?)))
    {
        let brand = brand(card.brand);
        put("paymentMethod", json!({"brand": brand, "type": "scheme"}));
        let mut more = Map::new();
        let mut add = |name: &str, value: &str| drop(more.insert(name.to_owned(), value.into()));
        add("cardSummary", &card.last4);
        add("cardBin", &card.first6);
        add("paymentMethodVariant", brand);
        if payment.is_approved() {
            add("authCode", attempt.auth_code());
            add("networkTxReference", &network::transaction_id(attempt).unwrap_or_default());
        }
        if let Some(token) = token {
            add("tokenization.storedPaymentMethodId", token.as_str());
        }
        put("additionalData", more.into());
    }
    if let Some(refusal) = decline {
        put("refusalReason", refusal.reason.into());
        put("refusalReasonCode", refusal.code.into());
    }
    if payment.status == Status::ActionRequired && !payment.voided {
        let url = urls.challenge(payment.id);
        let action = json!({
            "type": "redirect", "method": "GET", "paymentMethodType": "scheme", "url": url,
        });
        put("action", action);
    }
    answer.into()
}

/// `StoredPaymentMethodResource`: a card that was stored without a payment.
pub(super) fn stored(token: &Token, shopper: &str) -> Value {
    let card = &token.card;
    json!({
        "id": token.id.to_string(),
        "brand": brand(card.brand),
        "cardBin": card.first6,
        "expiryMonth": format!("{:02}", card.exp_month),
        "expiryYear": format!("{:02}", card.exp_year % 100),
        "lastFour": card.last4,
        "shopperReference": shopper,
        "supportedRecurringProcessingModels": ["CardOnFile", "Subscription", "UnscheduledCardOnFile"],
        "type": "scheme",
    })
}
