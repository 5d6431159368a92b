//! `expand[]` of an intent: its charge, and the charge's refunds. Every other path is left as it is.

use serde_json::Value;

use super::{Request, view};
use crate::core::{Kind, Payment};

/// Most refunds that Stripe shows along with a charge.
const SHOWN: usize = 10;

/// What of a retrieved intent is shown as an object, and not as an id.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Expand {
    charge: bool,
    refunds: bool,
}

impl Expand {
    pub(super) fn of(request: &Request<'_>) -> Self {
        let paths = request.fields.get("expand").and_then(Value::as_object);
        let asks =
            |path: &str| paths.into_iter().flatten().any(|(_, asked)| asked.as_str() == Some(path));
        let refunds = asks("latest_charge.refunds");
        Self { charge: refunds || asks("latest_charge"), refunds }
    }

    pub(super) fn apply(self, payment: &Payment, intent: &mut Value) {
        let charged = intent.get("latest_charge").is_some_and(Value::is_string);
        let Some(attempt) = payment.attempt().filter(|_| self.charge && charged) else { return };
        let mut charge = view::charge(payment, attempt);
        if self.refunds
            && let Some(charge) = charge.as_object_mut()
        {
            let refunds = payment.operations.iter().filter(|made| made.kind == Kind::Refund);
            let mut newest = refunds.rev().map(|made| view::refund(payment, made));
            let data: Vec<_> = newest.by_ref().take(SHOWN).collect();
            let url = format!("/v1/charges/{}/refunds", attempt.id);
            charge.insert("refunds".to_owned(), view::list(&url, data, newest.next().is_some()));
        }
        if let Some(intent) = intent.as_object_mut() {
            intent.insert("latest_charge".to_owned(), charge);
        }
    }
}
