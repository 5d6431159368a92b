//! A payment by the sandbox's own id, whoever made it.

use baton_connect::{HttpReply, Manifest, Retrieved, identifier};
use baton_types::{Currency, Foreign, ForeignPart};
use serde::Deserialize;

use super::reply::{Failure, Modification, Payment, parse};

/// A payment with all that was done to it.
#[derive(Deserialize)]
struct Whole {
    #[serde(flatten)]
    payment: Payment,
    refunded: i64,
    captures: Vec<Modification>,
    refunds: Vec<Modification>,
}

pub(super) fn read(manifest: &Manifest, asked: &str, reply: &HttpReply) -> Retrieved {
    match reply.status {
        200 => {
            let whole: Option<Whole> = parse(reply);
            let whole = whole.filter(|whole| whole.payment.id == asked);
            whole.and_then(|whole| told(manifest, &whole)).unwrap_or(Retrieved::Unclear)
        }
        404 if parse::<Failure>(reply).is_some_and(|said| said.error.code == "not_found") => {
            Retrieved::NotFound
        }
        _ => Retrieved::Unclear,
    }
}

fn told(manifest: &Manifest, whole: &Whole) -> Option<Retrieved> {
    let Whole { payment, refunded, captures, refunds } = whole;
    match payment.status.as_str() {
        // Nothing was ever held, and nothing can be.
        "pending" | "action_required" if payment.voided => return Some(Retrieved::NotFound),
        "declined" => return Some(Retrieved::NotFound),
        "authorized" | "captured" => {}
        // What comes of it is not known yet.
        _ => return None,
    }
    let currency = Currency::parse(&payment.amount.currency).ok()?;
    let money = |units| {
        let amount = manifest.from_provider_units(units, currency)?;
        amount.is_positive().then_some(amount)
    };
    let parts = |made: &[Modification]| -> Option<Vec<ForeignPart>> {
        let mut parts = Vec::new();
        for modification in made {
            match modification.status.as_str() {
                "succeeded" if modification.amount.currency == payment.amount.currency => {
                    let amount = money(modification.amount.value)?;
                    parts.push(ForeignPart { reference: identifier(&modification.id), amount });
                }
                "failed" => {}
                _ => return None,
            }
        }
        Some(parts)
    };
    let (captures, refunds) = (parts(captures)?, parts(refunds)?);
    let sale = payment.status == "captured" && captures.is_empty();
    let sum = |parts: &[ForeignPart]| {
        parts
            .iter()
            .try_fold(0_i64, |sum, part| sum.checked_add(manifest.to_provider_units(part.amount)?))
    };
    // Its own sums have to agree with its list.
    let taken = if sale && !payment.voided { payment.authorized } else { sum(&captures)? };
    if payment.captured != taken || *refunded != sum(&refunds)? {
        return None;
    }
    let foreign = Foreign {
        reference: identifier(&payment.id)?,
        sale,
        authorized: money(payment.authorized)?,
        captures,
        voided: payment.voided,
        refunds,
    };
    let reference = identifier(&payment.reference);
    Some(Retrieved::Found { payment: Box::new(foreign), reference })
}
