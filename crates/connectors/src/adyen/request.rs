//! What is sent to Adyen but purchases: JSON, with holes for the key, the card number and the CVV.

use baton_connect::{
    Body, CardFacts, Cx, EncodeError, Hole, HttpCall, Json, LookUp, Manifest, Method, Operation,
    Parent, Returned,
};
use baton_types::Money;

use super::purchase;

pub(super) fn of(
    manifest: &Manifest,
    operation: &Operation,
    cx: &Cx,
) -> Result<HttpCall, EncodeError> {
    match operation {
        Operation::Authorize(bought) => purchase::call(manifest, bought, false, cx),
        Operation::Charge(bought) => purchase::call(manifest, bought, true, cx),
        Operation::Capture { parent, amount, reference } => {
            let amount = money(manifest, *amount)?;
            Ok(post(&modification(parent, "captures")?, &body(cx, reference, amount)?))
        }
        Operation::Refund { parent, amount, reference } => {
            let amount = money(manifest, *amount)?;
            Ok(post(&modification(parent, "refunds")?, &body(cx, reference, amount)?))
        }
        Operation::Increment { parent, amount, reference } => {
            let amount = money(manifest, *amount)?;
            Ok(post(&modification(parent, "amountUpdates")?, &body(cx, reference, amount)?))
        }
        Operation::Void { parent, reference } => void(cx, parent, reference),
        Operation::Tokenize { card, reference } => token(cx, card, reference),
    }
    // Keeping a card moves no money; everything else does, or may.
    .map(|call| match operation {
        Operation::Tokenize { .. } => call,
        Operation::Authorize(_)
        | Operation::Charge(_)
        | Operation::Capture { .. }
        | Operation::Refund { .. }
        | Operation::Increment { .. }
        | Operation::Void { .. } => call.moves_money(),
    })
}

/// A cancel, by our reference where the id is not known.
fn void(cx: &Cx, parent: &Parent, reference: &str) -> Result<HttpCall, EncodeError> {
    if parent.provider_reference.is_some() {
        return Ok(post(&modification(parent, "cancels")?, &body(cx, reference, Json::Null)?));
    }
    let body = Json::obj([
        ("merchantAccount", merchant_account(cx)?),
        ("paymentReference", parent.reference.as_str().into()),
        ("reference", reference.into()),
    ]);
    Ok(post("/cancels", &body))
}

/// The card is kept for a shopper of its own: the reference is as unique as the token.
fn token(cx: &Cx, card: &CardFacts, reference: &str) -> Result<HttpCall, EncodeError> {
    let body = Json::obj([
        ("merchantAccount", merchant_account(cx)?),
        ("paymentMethod", Json::obj(card_fields("scheme", card))),
        ("recurringProcessingModel", "CardOnFile".into()),
        ("shopperReference", reference.into()),
    ]);
    Ok(post("/storedPaymentMethods", &body))
}

/// A call that does nothing but answer.
pub(super) fn payment_methods(cx: &Cx) -> Result<HttpCall, EncodeError> {
    let body = Json::obj([("merchantAccount", merchant_account(cx)?)]);
    Ok(post("/paymentMethods", &body))
}

pub(super) fn card_fields(kind: &'static str, card: &CardFacts) -> Vec<(&'static str, Json)> {
    let expiry = card.masked.expiry;
    vec![
        ("type", kind.into()),
        ("number", Json::Hole(Hole::CardNumber)),
        ("expiryMonth", format!("{:02}", expiry.month()).into()),
        ("expiryYear", expiry.year().to_string().into()),
        ("cvc", if card.has_cvv { Json::Hole(Hole::Cvv) } else { Json::Null }),
        ("holderName", card.holder.clone().into()),
    ]
}

/// Longest `redirectResult`, in characters.
const RESULT_MAX: usize = 10_000;

/// What a payer brought back, which Adyen asks for before it goes on with the payment. The key is made of what
/// is sent: a payer who comes twice is answered twice with what became of it.
pub(super) fn details(about: &LookUp, returned: &Returned) -> Option<HttpCall> {
    let result = returned.0.get("redirectResult")?;
    let printable = result.bytes().all(|byte| byte.is_ascii_graphic());
    if result.is_empty() || result.len() > RESULT_MAX || !printable {
        return None;
    }
    let mut end: Vec<char> =
        result.chars().rev().filter(char::is_ascii_alphanumeric).take(24).collect();
    end.reverse();
    let key = format!("{}-{}", about.reference, end.into_iter().collect::<String>());
    let body = Json::obj([("details", Json::obj([("redirectResult", result.as_str().into())]))]);
    let call = post("/payments/details", &body).header("idempotency-key", vec![key.into()]);
    Some(call.moves_money())
}

fn body(cx: &Cx, reference: &str, amount: Json) -> Result<Json, EncodeError> {
    Ok(Json::obj([
        ("merchantAccount", merchant_account(cx)?),
        ("amount", amount),
        ("reference", reference.into()),
    ]))
}

fn modification(parent: &Parent, what: &str) -> Result<String, EncodeError> {
    let id = parent.provider_reference.as_deref().and_then(id).ok_or_else(|| {
        EncodeError::NotSupported(format!("{what} of a payment whose id is not known"))
    })?;
    Ok(format!("/payments/{id}/{what}"))
}

/// A PSP reference for a path: letters and digits.
fn id(text: &str) -> Option<&str> {
    let plain = |b: u8| b.is_ascii_alphanumeric();
    ((1..=80).contains(&text.len()) && text.bytes().all(plain)).then_some(text)
}

pub(super) fn money(manifest: &Manifest, amount: Money) -> Result<Json, EncodeError> {
    let units = manifest.to_provider_units(amount);
    let units = units.ok_or_else(|| EncodeError::Unfit(format!("the amount {amount}")))?;
    Ok(Json::obj([("value", units.into()), ("currency", amount.currency().code().into())]))
}

pub(super) fn merchant_account(cx: &Cx) -> Result<Json, EncodeError> {
    let missing = || EncodeError::Unfit("the account: it has no MerchantAccount".to_owned());
    cx.settings.get("MerchantAccount").map(|name| name.as_str().into()).ok_or_else(missing)
}

pub(super) fn post(path: &str, body: &Json) -> HttpCall {
    let key = Hole::Credential("ApiKey".to_owned());
    HttpCall::new(Method::Post, path).header("x-api-key", vec![key.into()]).body(Body::json(body))
}
