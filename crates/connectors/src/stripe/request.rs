//! What is sent to Stripe: forms, with holes for the key, the card number and the CVV.

use baton_connect::{
    Body, CardFacts, EncodeError, Hole, HttpCall, Manifest, Method, Operation, Parent, Part, Payer,
    Purchase, Source, Usage,
};
use baton_types::Money;

use super::{id, look_up, redirect, setup};

/// The version of Stripe's API whose answers are understood here.
const API_VERSION: &str = "2024-06-20";

/// Where Stripe takes the network's id of the payment in which the payer has agreed.
const MIT_EXEMPTION: &str = "payment_method_options[card][mit_exemption][network_transaction_id]";

/// Where Stripe is told that more may be held later.
const MAY_GROW: &str = "payment_method_options[card][request_incremental_authorization]";

/// A form's fields in order; a value may be a hole.
pub(super) type Fields = Vec<(&'static str, Part)>;

pub(super) fn call(method: Method, path: &str) -> HttpCall {
    let key = Hole::Credential("SecretKey".to_owned());
    HttpCall::new(method, path)
        .header("authorization", vec!["Bearer ".into(), key.into()])
        .header("stripe-version", vec![API_VERSION.into()])
}

pub(super) fn post(path: &str, fields: &Fields) -> HttpCall {
    call(Method::Post, path).body(Body::form(fields))
}

/// The first call of an operation.
pub(super) fn first(manifest: &Manifest, operation: &Operation) -> Result<HttpCall, EncodeError> {
    match operation {
        Operation::Authorize(purchase) if purchase.amount.is_zero() => setup::first(purchase),
        Operation::Authorize(purchase) => intent(manifest, purchase, "manual"),
        Operation::Charge(purchase) => intent(manifest, purchase, "automatic"),
        Operation::Capture { parent, amount, reference } => {
            let fields = vec![
                ("amount_to_capture", units(manifest, *amount)?.to_string().into()),
                ("metadata[capture]", reference.as_str().into()),
            ];
            let path = format!("/v1/payment_intents/{}/capture", known(parent)?);
            Ok(post(&path, &fields).moves_money())
        }
        Operation::Increment { parent, amount, reference } => {
            let fields = vec![
                ("amount", units(manifest, *amount)?.to_string().into()),
                ("metadata[increment]", reference.as_str().into()),
            ];
            let path = format!("/v1/payment_intents/{}/increment_authorization", known(parent)?);
            Ok(post(&path, &fields).moves_money())
        }
        Operation::Void { parent, .. } if parent.provider_reference.is_none() => {
            let planned_at = parent.planned_at.ok_or_else(unknown_id)?;
            let list = if parent.verification {
                setup::question(None, Some(planned_at))
            } else {
                look_up::list(planned_at, None)
            };
            list.ok_or_else(unknown_id)
        }
        Operation::Void { parent, .. } => Ok(cancel(known(parent)?).moves_money()),
        Operation::Refund { parent, amount, reference } => {
            let fields = vec![
                ("payment_intent", known(parent)?.into()),
                ("amount", units(manifest, *amount)?.to_string().into()),
                ("metadata[reference]", reference.as_str().into()),
            ];
            Ok(post("/v1/refunds", &fields).moves_money())
        }
        Operation::Tokenize { card, reference } => {
            Ok(payment_method(card, None, vec![("metadata[reference]", reference.as_str().into())]))
        }
    }
}

/// The intent without its card. Its reference is what a list is searched for.
fn intent(
    manifest: &Manifest,
    purchase: &Purchase,
    capture_method: &str,
) -> Result<HttpCall, EncodeError> {
    let mut fields: Fields = vec![
        ("amount", units(manifest, purchase.amount)?.to_string().into()),
        ("currency", purchase.amount.currency().code().to_ascii_lowercase().into()),
        ("capture_method", capture_method.into()),
        ("payment_method_types[]", kind(&purchase.source).into()),
        ("metadata[reference]", purchase.reference.as_str().into()),
        ("metadata[payment]", purchase.payment.as_str().into()),
    ];
    if let Some(description) = &purchase.description {
        fields.push(("description", description.as_str().into()));
    }
    match &purchase.source {
        Source::ProviderToken(token) => {
            let unfit = || EncodeError::Unfit("the token: it is cus_…/pm_… or pm_…".to_owned());
            let (customer, _) = token_parts(token).ok_or_else(unfit)?;
            fields.extend(customer.map(|customer| ("customer", customer.into())));
        }
        Source::Card(card) => drop(three_ds(card)?),
        Source::Redirect(chosen) => redirect::check(chosen, purchase, capture_method)?,
    }
    Ok(post("/v1/payment_intents", &fields))
}

/// Stripe's name of what is paid with.
fn kind(source: &Source) -> &'static str {
    match source {
        Source::Card(_) | Source::ProviderToken(_) => "card",
        Source::Redirect(chosen) => chosen.method.as_str(),
    }
}

/// The second call: the card becomes a payment method.
pub(super) fn payment_method(card: &CardFacts, payer: Option<&Payer>, more: Fields) -> HttpCall {
    let expiry = card.masked.expiry;
    let mut fields: Fields = vec![
        ("type", "card".into()),
        ("card[number]", Hole::CardNumber.into()),
        ("card[exp_month]", expiry.month().to_string().into()),
        ("card[exp_year]", expiry.year().to_string().into()),
    ];
    if card.has_cvv {
        fields.push(("card[cvc]", Hole::Cvv.into()));
    }
    if let Some(holder) = &card.holder {
        fields.push(("billing_details[name]", holder.as_str().into()));
    }
    if let Some(payer) = payer {
        let mut put = |name, value: Option<&str>| {
            fields.extend(value.map(|value| (name, value.into())));
        };
        let (first, more) = lines(&payer.address);
        put("billing_details[address][line1]", first);
        put("billing_details[address][line2]", more.as_deref());
        put("billing_details[address][city]", payer.city.as_deref());
        put("billing_details[address][state]", payer.state.as_deref());
        put("billing_details[address][postal_code]", payer.post_code.as_deref());
        put("billing_details[address][country]", Some(payer.country.as_str()));
    }
    fields.extend(more);
    post("/v1/payment_methods", &fields)
}

/// The first line of an address, and the others as one.
pub(super) fn lines(address: &[String]) -> (Option<&str>, Option<String>) {
    let mut lines = address.iter().map(String::as_str);
    let first = lines.next();
    let more = lines.collect::<Vec<_>>().join(", ");
    (first, Some(more).filter(|more| !more.is_empty()))
}

/// The last call: it charges or holds. Nobody there to be challenged, or a challenge that was passed
/// elsewhere: then Stripe is to decline rather than to begin one.
pub(super) fn confirm(intent: &str, method: &str, purchase: &Purchase) -> HttpCall {
    let mut fields: Fields =
        vec![("payment_method", method.into()), ("expand[]", "latest_charge".into())];
    let imported = match &purchase.source {
        Source::Card(card) => three_ds(card).unwrap_or_default(),
        Source::ProviderToken(_) | Source::Redirect(_) => None,
    };
    match (&purchase.challenge, purchase.merchant_asks()) {
        (_, Some(asked)) => {
            fields.push(("off_session", "true".into()));
            // What was agreed to at Stripe, Stripe ties to it by itself.
            let elsewhere = asked.network_transaction_id.as_ref().filter(|_| !asked.made_here);
            fields.extend(elsewhere.map(|id| (MIT_EXEMPTION, id.as_str().into())));
        }
        (Some(challenge), None) if imported.is_none() => {
            fields.push(("return_url", challenge.return_url.as_str().into()));
        }
        (Some(_) | None, None) => fields.push(("error_on_requires_action", "true".into())),
    }
    if purchase.may_grow {
        fields.push((MAY_GROW, "if_available".into()));
    }
    if let Some(Usage::Keeps { without_payer, .. }) = purchase.usage {
        let usage = if without_payer { "off_session" } else { "on_session" };
        fields.push(("setup_future_usage", usage.into()));
    }
    fields.extend(imported.unwrap_or_default());
    confirmation(intent, &fields)
}

/// The one call that moves money.
pub(super) fn confirmation(intent: &str, fields: &Fields) -> HttpCall {
    post(&format!("/v1/payment_intents/{intent}/confirm"), fields).about(intent).moves_money()
}

/// The second call of a token: a payment method can be used again once a customer owns it.
pub(super) fn customer(method: &str, reference: &str) -> HttpCall {
    let fields = vec![("payment_method", method.into()), ("metadata[reference]", reference.into())];
    post("/v1/customers", &fields).about(method)
}

pub(super) fn cancel(intent: &str) -> HttpCall {
    let kind = if setup::is_id(intent) { "setup_intents" } else { "payment_intents" };
    call(Method::Post, &format!("/v1/{kind}/{intent}/cancel"))
}

/// The result of an authentication that was made elsewhere; its value is a hole.
fn three_ds(card: &CardFacts) -> Result<Option<Fields>, EncodeError> {
    /// The versions whose results Stripe takes.
    const VERSIONS: [&str; 3] = ["1.0.2", "2.1.0", "2.2.0"];
    let Some(result) = &card.three_ds else { return Ok(None) };
    if !VERSIONS.contains(&result.version.as_str()) {
        return Err(EncodeError::Unfit(format!("3-D Secure version {}", result.version)));
    }
    let mut fields: Fields = Vec::new();
    let mut put = |name, value: Part| fields.push((name, value));
    put("payment_method_options[card][three_d_secure][version]", result.version.as_str().into());
    put(
        "payment_method_options[card][three_d_secure][electronic_commerce_indicator]",
        result.eci.as_str().into(),
    );
    put(
        "payment_method_options[card][three_d_secure][transaction_id]",
        result.transaction_id.as_str().into(),
    );
    put(
        "payment_method_options[card][three_d_secure][cryptogram]",
        Hole::AuthenticationValue.into(),
    );
    Ok(Some(fields))
}

/// A token as customer and payment method. One that Stripe's own pages made may lack the customer.
pub(super) fn token_parts(token: &str) -> Option<(Option<&str>, &str)> {
    let (customer, method) = match token.split_once('/') {
        Some((customer, method)) => (Some(id(customer)?), method),
        None => (None, token),
    };
    Some((customer, id(method)?))
}

fn known(parent: &Parent) -> Result<&str, EncodeError> {
    parent.provider_reference.as_deref().and_then(id).ok_or_else(unknown_id)
}

fn unknown_id() -> EncodeError {
    EncodeError::NotSupported("a change of a payment whose id is not known".to_owned())
}

fn units(manifest: &Manifest, amount: Money) -> Result<i64, EncodeError> {
    let units = manifest.to_provider_units(amount);
    units.ok_or_else(|| EncodeError::Unfit(format!("the amount {amount}")))
}
