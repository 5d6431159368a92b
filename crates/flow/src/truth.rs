//! Late truth: what a provider says about a call after we have concluded it.
//!
//! It never reopens an answer that somebody was told. Where it contradicts that answer, somebody has to look: this
//! module says whether it does, and what would put it right. Left out: asking the provider once more, and
//! where the incident is kept (`baton-engine`).

use baton_types::Money;
use baton_types::outcome::{Finding, Outcome};
use serde::{Deserialize, Serialize};

use crate::call::{CallId, CallState};
use crate::payment::{Payment, Standing};

/// How what a provider says contradicts what was concluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contradiction {
    /// Money was taken or held, though we said that it was not.
    Taken,
    /// Money was taken or held a second time: another attempt of the payment is approved.
    TakenTwice,
    /// Money was not taken, though we said that it was.
    NotTaken,
    /// Something else was done that we said was not: a capture, a void or a refund.
    Done,
    /// Something else was not done that we said was.
    NotDone,
}

/// What would put it right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// Refund what was captured.
    Refund,
    /// Void what is held.
    Void,
    /// Correct our books and the merchant's: no money is to be moved back.
    Correct,
}

impl Contradiction {
    /// The name as it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::TakenTwice => "taken_twice",
            Self::NotTaken => "not_taken",
            Self::Done => "done",
            Self::NotDone => "not_done",
        }
    }
}

impl Remedy {
    /// The name as it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refund => "refund",
            Self::Void => "void",
            Self::Correct => "correct",
        }
    }
}

/// Whether a finding about a concluded call contradicts its conclusion. An open finding never does: the
/// provider may be slower than the truth.
#[must_use]
pub fn contradiction(payment: &Payment, id: CallId, finding: &Finding) -> Option<Contradiction> {
    let call = payment.call(id)?;
    let was_done = match &call.state {
        CallState::Planned | CallState::Open { .. } => return None,
        CallState::Final { outcome, .. } => matches!(outcome, Outcome::Approved { .. }),
        CallState::Closed { .. } => false,
    };
    let is_done = match finding {
        Finding::Found { outcome } if outcome.is_open() => return None,
        Finding::Found { outcome } => matches!(outcome, Outcome::Approved { .. }),
        // A hold that was released since is no contradiction, and one that is not found may be found again.
        Finding::Voided | Finding::NotFound | Finding::Inconclusive => return None,
    };
    let other = |no: u16| id != CallId::Attempt(no);
    let another = payment.approved().is_some_and(|(no, _)| other(no));
    // Of several voids of an attempt any may have been the one that did it.
    let is_voided = |no: u16| matches!(payment.standing(no), Some(Standing::Closed(_)));
    match (was_done, is_done, id) {
        (false, true, CallId::Void(_)) if payment.attempt_of(id).is_some_and(is_voided) => None,
        (true, true, _) | (false, false, _) => None,
        (false, true, CallId::Attempt(_)) if another => Some(Contradiction::TakenTwice),
        (false, true, CallId::Attempt(_)) => Some(Contradiction::Taken),
        (true, false, CallId::Attempt(_)) => Some(Contradiction::NotTaken),
        (false, true, _) => Some(Contradiction::Done),
        (true, false, _) => Some(Contradiction::NotDone),
    }
}

/// What would put a contradiction right, and how much of it. For an operator to decide: nothing is done by
/// itself.
#[must_use]
pub fn remedy(
    payment: &Payment,
    id: CallId,
    what: Contradiction,
    told: &Finding,
) -> (Remedy, Option<Money>) {
    let said = match told {
        Finding::Found { outcome: Outcome::Approved { amount, .. } } => *amount,
        Finding::Found { .. } | Finding::Voided | Finding::NotFound | Finding::Inconclusive => None,
    };
    let amount = said.or_else(|| payment.amount_of(id));
    match (what, id) {
        (Contradiction::Taken | Contradiction::TakenTwice, _) => match payment.attempt_kind() {
            crate::OrderKind::Charge(_) => (Remedy::Refund, amount),
            crate::OrderKind::Authorize(_) | crate::OrderKind::Tokenize => (Remedy::Void, amount),
        },
        // A capture that was done after all can be given back.
        (Contradiction::Done, CallId::Capture(_)) => (Remedy::Refund, amount),
        (Contradiction::Done | Contradiction::NotDone | Contradiction::NotTaken, _) => {
            (Remedy::Correct, amount)
        }
    }
}
