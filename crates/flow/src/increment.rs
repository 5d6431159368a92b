//! Incremental authorization: what an authorization holds is raised before anything of it is captured.
//!
//! A raise asks for a new total, not for more: sent twice it holds what it holds. It counts once it is approved, and the
//! payment holds the most that an approved one says. Guarantees: while one is on its way or in doubt nothing is captured or
//! voided, and nothing is raised further, so that no sum is acted on that is about to change. Left out: whether a provider
//! can do it at all, and whether the merchant has asked for that when the payment was made.

use baton_types::Money;
use baton_types::outcome::Outcome;
use serde::{Deserialize, Serialize};

use crate::amounts;
use crate::call::{Call, CallId, CallState};
use crate::draft::{Draft, approved, candidate, count, none_open};
use crate::mutation::mutated;
use crate::payment::{OrderKind, Payment};
use crate::step::{MODIFICATIONS_MAX, Refusal};

/// An authorization that is raised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Increment {
    /// The new total.
    pub amount: Money,
    /// What was held before.
    pub before: Money,
    /// The call.
    pub call: Call,
}

impl Payment {
    /// What is held after every approved raise of what an attempt was approved for.
    pub(crate) fn raised(&self, approved: Money) -> Money {
        let done = self.increments.iter().filter_map(|raise| match &raise.call.state {
            CallState::Final {
                outcome: Outcome::Approved { amount: Some(amount), .. }, ..
            } => Some(*amount),
            CallState::Planned
            | CallState::Open { .. }
            | CallState::Final { .. }
            | CallState::Closed { .. } => None,
        });
        // One that says less than was held before has raised nothing.
        done.fold(
            approved,
            |held, raised| if raised.minor() > held.minor() { raised } else { held },
        )
    }
}

impl Draft<'_> {
    pub(crate) fn increment(&mut self, amount: Money) -> Result<(), Refusal> {
        let payment = &self.step.next;
        let (attempt, _) = approved(payment)?;
        match payment.order.kind {
            OrderKind::Authorize(_) => {}
            OrderKind::Charge(_) | OrderKind::Tokenize => return Err(Refusal::NothingToCapture),
        }
        let candidate = candidate(payment, attempt)?;
        if !candidate.increments {
            return Err(Refusal::CannotIncrement);
        }
        if !mutated("raise_beside_what_is_open") {
            none_open(payment, attempt, |_| true)?;
        }
        let sums = amounts::of(payment).ok_or(Refusal::NothingApproved)?;
        if !sums.captured.is_zero() {
            return Err(Refusal::AlreadyCaptured);
        }
        let before = sums.authorized;
        if before.is_zero() {
            // It has only verified a card.
            return Err(Refusal::NothingApproved);
        }
        if amount.currency() != before.currency() {
            return Err(Refusal::WrongCurrency { expected: before.currency() });
        }
        if amount.minor() <= before.minor() {
            return Err(Refusal::NotMore { held: before });
        }
        if payment.increments.len() >= MODIFICATIONS_MAX {
            return Err(Refusal::TooMany);
        }
        let id = CallId::Increment(count(payment.increments.len()));
        let call = self.plan(id, &candidate, Some(amount));
        self.step.next.increments.push(Increment { amount, before, call });
        Ok(())
    }
}
