//! The failover rule: when may the next provider be tried?
//!
//! This is the one place that decides it. A second provider is never asked while a first can still move
//! money; a lost answer is not a failure. `docs/failover.md` explains it to users.

use baton_types::outcome::Outcome;
use baton_types::{DeclinedBy, Timestamp};

use crate::call::{Call, Closure};
use crate::hold::HOLDS_MAX;
use crate::mutation::mutated;
use crate::payment::{DoubtMode, OrderKind, Payment, Standing, VoidReason, numbered};

/// What the rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Try this candidate, counted from 0.
    Try(usize),
    /// Not now: an attempt is on its way or open.
    Wait,
    /// Not at all.
    Stop(Stop),
}

/// Why no further candidate is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stop {
    /// An attempt was approved.
    Approved,
    /// Every candidate has been tried.
    Exhausted,
    /// `failover_until` has passed.
    TooLate,
    /// Declined by someone whose word is not retried elsewhere.
    Declined,
    /// The payer would have had to act, or only a part was approved.
    Unsuitable,
    /// The merchant asked to stop at a doubt.
    Doubt,
    /// A sale that two look-ups did not find may still be found one day.
    AbsentSale,
    /// An operator has settled an attempt by hand: whoever wants another one asks for it.
    Settled,
}

/// Whether the next candidate may be tried now. Every earlier attempt has to allow it. An attempt in doubt
/// does so only under `hold_safe`, where it is one of at most two holds and the provider voids it by our
/// reference; that void is promised in the commit that plans the next attempt.
#[must_use]
pub fn next(payment: &Payment, now: Timestamp) -> Next {
    let mut holds: usize = 0;
    for (no, call) in numbered(&payment.attempts) {
        let Some(standing) = payment.standing(no) else {
            return Next::Wait;
        };
        if call.settled.is_some() {
            return Next::Stop(Stop::Settled);
        }
        match standing {
            Standing::Open(_) if mutated("fail_over_on_a_lost_answer") => {}
            Standing::Open(_)
                if mutated("fail_over_beside_a_cancel")
                    && payment.voids_of(no).next().is_some() => {}
            Standing::Open(_) if payment.may_be_passed(no, call) => {
                holds = holds.saturating_add(1);
            }
            Standing::Running | Standing::Open(_) => return Next::Wait,
            Standing::Approved(_) => return Next::Stop(Stop::Approved),
            Standing::Failed(outcome) => {
                if let Some(stop) = after_failure(payment, call, outcome) {
                    return Next::Stop(stop);
                }
            }
            Standing::Closed(how) => {
                if let Some(stop) = after_closure(payment, no, how) {
                    return Next::Stop(stop);
                }
            }
        }
    }
    if holds >= HOLDS_MAX {
        return Next::Wait;
    }
    if payment.attempts.len() >= payment.order.candidates.len() {
        return Next::Stop(Stop::Exhausted);
    }
    if now >= payment.order.failover_until && !mutated("fail_over_at_any_time") {
        return Next::Stop(Stop::TooLate);
    }
    Next::Try(payment.attempts.len())
}

fn after_failure(payment: &Payment, call: &Call, outcome: &Outcome) -> Option<Stop> {
    if payment.order.doubt == DoubtMode::Stop && call.open_since.is_some() {
        return Some(Stop::Doubt);
    }
    match outcome {
        Outcome::NotSent { .. } | Outcome::Refused { .. } => None,
        Outcome::Declined { by, .. } => {
            let rule = payment.order.retry_declines;
            let retried = match by {
                DeclinedBy::Issuer => rule.issuer,
                DeclinedBy::ProviderRisk => rule.provider_risk,
                DeclinedBy::ProviderOther => rule.provider_other,
            };
            (!retried).then_some(Stop::Declined)
        }
        // Only a call that moves no money ends like this: an orphaned token harms nobody.
        Outcome::Unknown { .. } | Outcome::Pending { .. } | Outcome::ActionRequired { .. } => None,
        Outcome::Approved { .. } => Some(Stop::Approved),
    }
}

fn after_closure(payment: &Payment, attempt: u16, how: Closure) -> Option<Stop> {
    if payment.void_reason(attempt) == Some(VoidReason::Requested) {
        let was_taken = payment.was_taken(attempt);
        return Some(if was_taken { Stop::Approved } else { Stop::Unsuitable });
    }
    let is_unsuitable = |why: VoidReason| match why {
        VoidReason::PartialApproval | VoidReason::ActionRequired | VoidReason::CaptureFailed => {
            true
        }
        VoidReason::Requested | VoidReason::LosingHold | VoidReason::InDoubt => false,
    };
    if payment.voids_of(attempt).any(|void| is_unsuitable(void.why)) {
        return Some(Stop::Unsuitable);
    }
    if payment.order.doubt == DoubtMode::Stop {
        return Some(Stop::Doubt);
    }
    match (how, payment.attempt_kind()) {
        (Closure::Voided | Closure::Fenced, _) => None,
        (Closure::Absent, _) if mutated("an_absent_sale_is_over") => None,
        // A second hold is a nuisance; a second sale is a double charge.
        (Closure::Absent, OrderKind::Authorize(_) | OrderKind::Tokenize) => None,
        (Closure::Absent, OrderKind::Charge(_)) => Some(Stop::AbsentSale),
    }
}
