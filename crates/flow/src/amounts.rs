//! What a payment has authorized, captured and refunded, with doubt counted against the asker.
//!
//! - authorized = what was approved, or the last approved raise of it
//! - capturable = authorized − captured − captures in doubt
//! - refundable = *confirmed* captures − refunded − refunds in doubt

use baton_types::Money;
use baton_types::outcome::Outcome;

use crate::call::CallState;
use crate::payment::{Amounted, OrderKind, Payment};

/// A payment's sums, all in its currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sums {
    /// Held or taken by the approved attempt.
    pub authorized: Money,
    /// Captures that the provider confirmed.
    pub captured: Money,
    /// Captures whose outcome is not known yet.
    pub captures_in_doubt: Money,
    /// Refunds that the provider confirmed.
    pub refunded: Money,
    /// Refunds whose outcome is not known yet.
    pub refunds_in_doubt: Money,
}

impl Sums {
    /// What can still be captured. Never negative.
    #[must_use]
    pub fn capturable(&self) -> Money {
        rest(self.authorized, self.captured, self.captures_in_doubt)
    }

    /// What can still be refunded. Never negative.
    #[must_use]
    pub fn refundable(&self) -> Money {
        rest(self.captured, self.refunded, self.refunds_in_doubt)
    }
}

/// `a − b − c`, or nothing where that is negative or cannot be said.
fn rest(a: Money, b: Money, c: Money) -> Money {
    let left = a.checked_sub(b).and_then(|ab| ab.checked_sub(c));
    left.ok().filter(|money| money.minor() >= 0).unwrap_or(Money::zero(a.currency()))
}

/// The sums of a payment whose attempt stands approved; `None` for every other, and where a sum does not
/// fit (which bounds on amounts and counts exclude).
#[must_use]
pub fn of(payment: &Payment) -> Option<Sums> {
    let (_, approved) = payment.approved()?;
    let approved = approved?;
    let zero = Money::zero(approved.currency());
    let approved = payment.raised(approved);
    let (captured, captures_in_doubt) = match payment.attempt_kind() {
        OrderKind::Charge(_) => (approved, zero),
        OrderKind::Authorize(_) | OrderKind::Tokenize => sum(&payment.captures, zero)?,
    };
    let (refunded, refunds_in_doubt) = sum(&payment.refunds, zero)?;
    Some(Sums { authorized: approved, captured, captures_in_doubt, refunded, refunds_in_doubt })
}

/// Confirmed, and in doubt.
fn sum(calls: &[Amounted], zero: Money) -> Option<(Money, Money)> {
    let (mut confirmed, mut in_doubt) = (zero, zero);
    for Amounted { amount, call } in calls {
        match &call.state {
            CallState::Planned | CallState::Open { .. } => {
                in_doubt = in_doubt.checked_add(*amount).ok()?;
            }
            CallState::Final {
                outcome: Outcome::Approved { amount: Some(amount), .. }, ..
            } => {
                confirmed = confirmed.checked_add(*amount).ok()?;
            }
            CallState::Final { .. } | CallState::Closed { .. } => {}
        }
    }
    Some((confirmed, in_doubt))
}
