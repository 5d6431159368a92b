//! Asking Stripe for a payment by its intent's id, whoever made it.
//!
//! One call: the intent with its charge and the charge's refunds. Left out: intents that are still open, and
//! those with more refunds than Stripe shows along with a charge; they are unclear.

use baton_connect::{HttpCall, HttpReply, Manifest, Method, Retrieved, identifier};
use baton_types::{Foreign, ForeignPart, Money};
use serde::Deserialize;

use super::objects::{Error, Intent, List, Refund, parse};
use super::{id, request};

/// The parts of a charge that are read.
#[derive(Deserialize)]
struct Charge {
    object: String,
    status: String,
    amount_captured: Option<i64>,
    refunds: Option<List<Refund>>,
}

pub(super) fn question(intent: &str) -> Option<HttpCall> {
    let intent = id(intent).filter(|id| id.starts_with("pi_"))?;
    let path = format!("/v1/payment_intents/{intent}?expand%5B%5D=latest_charge.refunds");
    Some(request::call(Method::Get, &path))
}

pub(super) fn read(manifest: &Manifest, asked: &str, reply: &HttpReply) -> Retrieved {
    match reply.status {
        200 => {
            let intent = Intent::parse(&reply.body).filter(|intent| intent.id == asked);
            intent.and_then(|intent| told(manifest, &intent)).unwrap_or(Retrieved::Unclear)
        }
        404 if is_missing(reply) => Retrieved::NotFound,
        _ => Retrieved::Unclear,
    }
}

/// Stripe's own 404, and not one of something in between.
fn is_missing(reply: &HttpReply) -> bool {
    let error = parse::<Error>(&reply.body).map(|Error { error }| error);
    error.is_some_and(|error| error.kind.as_deref() == Some("invalid_request_error"))
}

fn told(manifest: &Manifest, intent: &Intent) -> Option<Retrieved> {
    let charge: Option<Charge> = serde_json::from_value(intent.latest_charge.clone()).ok()?;
    let charge = charge.filter(|charge| charge.object == "charge");
    let held = charge.as_ref().is_some_and(|charge| charge.status == "succeeded");
    let manual = intent.capture_method.as_deref() == Some("manual");
    let amount = |units| intent.money(manifest, units).filter(|amount| amount.is_positive());
    let whole = amount(intent.amount)?;
    let foreign = |authorized| Foreign {
        reference: intent.id.clone(),
        sale: false,
        authorized,
        captures: Vec::new(),
        voided: false,
        refunds: Vec::new(),
    };
    let payment = match intent.status.as_str() {
        // No money was ever held: it can still be paid, but there is nothing to capture or to give back.
        "requires_payment_method" | "requires_confirmation" => return Some(Retrieved::NotFound),
        "canceled" if !held => return Some(Retrieved::NotFound),
        "canceled" => Foreign { voided: true, ..foreign(whole) },
        "requires_capture" if held => {
            foreign(intent.amount_capturable.map_or(Some(whole), amount)?)
        }
        "succeeded" if held => {
            let charge = charge?;
            let taken = amount(charge.amount_captured.or_else(|| intent.received())?)?;
            let refunds = refunds(manifest, intent, &charge, whole, taken)?;
            let capture = ForeignPart { reference: None, amount: taken };
            let taken_of_a_hold = Foreign { captures: vec![capture], refunds, ..foreign(whole) };
            if manual {
                taken_of_a_hold
            } else {
                Foreign { sale: true, authorized: taken, captures: Vec::new(), ..taken_of_a_hold }
            }
        }
        // Processing, or waiting for the payer: what comes of it is not known yet.
        _ => return None,
    };
    let reference = intent.metadata.reference.as_deref().and_then(identifier);
    Some(Retrieved::Found { payment: Box::new(payment), reference })
}

/// What was given back. A capture of a part releases the rest, which Stripe may list as the first refund; it is
/// none of what was captured. If that one was a real refund after all, Stripe refuses to give it back again.
fn refunds(
    manifest: &Manifest,
    intent: &Intent,
    charge: &Charge,
    whole: Money,
    taken: Money,
) -> Option<Vec<ForeignPart>> {
    let listed = charge.refunds.as_ref()?;
    if listed.object != "list" || listed.has_more || !listed.data.iter().all(Refund::is_one) {
        return None;
    }
    let mut made = Vec::new();
    for refund in &listed.data {
        let amount = intent.money(manifest, refund.amount)?;
        match refund.status.as_deref()? {
            "succeeded" if refund.currency == intent.currency => {
                made.push((refund.created, amount, identifier(&refund.id)?));
            }
            "failed" | "canceled" => {}
            // Pending, or waiting for something.
            _ => return None,
        }
    }
    made.sort_by_key(|(created, _, _)| *created);
    let released = whole.checked_sub(taken).ok()?;
    let is_release =
        |first: &(Option<i64>, Money, String)| released.is_positive() && first.1 == released;
    let skip = usize::from(made.first().is_some_and(is_release));
    let part = |(_, amount, id)| ForeignPart { reference: Some(id), amount };
    Some(made.into_iter().skip(skip).map(part).collect())
}
