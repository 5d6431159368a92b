//! What an operator settles by hand: a call in doubt whose provider will not say what became of it.
//!
//! Guarantees: only what is in doubt is settled, never what is on its way or concluded, and not against the provider's
//! own word; and behind an attempt that was settled by hand nobody else is tried by themselves (`failover::next`).
//! Left out: who may do it and where it is written down (`baton-engine`), and whether it is true.

use baton_types::outcome::{Answer, Outcome};
use baton_types::{DeclineCode, DeclinedBy};
use serde::{Deserialize, Serialize};

use crate::call::{CallId, CallState, Closure};
use crate::draft::Draft;
use crate::step::{Event, Refusal, Timer};

/// What an operator has found out about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settlement {
    /// It was carried out, in full.
    Approved,
    /// It was declined.
    Declined,
    /// What it took or held has been given back. Of a charge or an authorization only.
    Voided,
    /// It never came to be, and never will.
    Absent,
}

impl Settlement {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Approved, Self::Declined, Self::Voided, Self::Absent];

    /// The name as it is stored, typed and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Declined => "declined",
            Self::Voided => "voided",
            Self::Absent => "absent",
        }
    }

    /// A settlement by its name.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|settlement| settlement.as_str() == word)
    }
}

impl Draft<'_> {
    pub(crate) fn settle(
        &mut self,
        id: CallId,
        how: Settlement,
        by: String,
        reason: String,
    ) -> Result<(), Refusal> {
        self.may_settle(id, how)?;
        let amount = self.step.next.amount_of(id);
        let call = self.step.next.call_mut(id).ok_or(Refusal::NoSuchCall)?;
        call.settled = Some(how);
        let known = match &call.state {
            CallState::Open { outcome } => outcome.answer(),
            CallState::Planned | CallState::Final { .. } | CallState::Closed { .. } => None,
        };
        let reference = known.and_then(|answer| answer.reference.clone());
        let message = Some("settled by hand".to_owned());
        let reference = reference.or_else(|| call.learnt.clone());
        let answer = Answer { reference, message, ..Answer::default() };
        self.step.events.push(Event::Settled { call: id, how, by, reason });
        match how {
            Settlement::Approved => self.conclude(id, Outcome::Approved { amount, answer })?,
            Settlement::Declined => {
                let (by, code) = (DeclinedBy::Issuer, DeclineCode::Unmapped);
                self.conclude(id, Outcome::Declined { by, code, answer })?;
            }
            Settlement::Voided => self.close(id, Closure::Voided),
            Settlement::Absent => self.close(id, Closure::Absent),
        }
        // What follows from it, a capture or a void that is owed, is for a node that can reach providers.
        let at = self.step.next.updated_at;
        self.step.timers.push(Timer::Set { call: id, at });
        Ok(())
    }

    fn may_settle(&self, id: CallId, how: Settlement) -> Result<(), Refusal> {
        let payment = &self.step.next;
        let call = payment.call(id).ok_or(Refusal::NoSuchCall)?;
        let why = match call.state {
            CallState::Final { .. } | CallState::Closed { .. } => return Err(Refusal::Concluded),
            CallState::Planned => "its request may still be on its way; wait until it is in doubt",
            CallState::Open { .. } => match (how, id) {
                (
                    Settlement::Voided,
                    CallId::Capture(_) | CallId::Void(_) | CallId::Refund(_) | CallId::Increment(_),
                ) => "only a charge or an authorization can be voided",
                (Settlement::Approved, CallId::Attempt(_)) if payment.approved().is_some() => {
                    "another attempt is approved; void this one at the provider and settle it as voided"
                }
                (Settlement::Absent, _) if call.is_acknowledged() => {
                    "the provider has said that it has the request, so it is not absent"
                }
                (Settlement::Absent, _)
                    if call
                        .absent_after
                        .is_some_and(|after| self.step.next.updated_at <= after) =>
                {
                    "it may still arrive at the provider; it is too early to call it absent"
                }
                (
                    Settlement::Approved
                    | Settlement::Declined
                    | Settlement::Voided
                    | Settlement::Absent,
                    _,
                ) => return Ok(()),
            },
        };
        Err(Refusal::CannotSettle(why))
    }
}
