//! Voids that a payment owes by itself: when one is planned, when it is planned again, and what a confirmed one
//! ends.
//!
//! A void that did not succeed is followed by another. So is one in doubt at a provider that cannot be asked about
//! it: whether the first arrived or not, the second does no harm. It names the same attempt, and an attempt that
//! is being voided is captured by nobody until all its voids are concluded. Left out: which attempts must not keep
//! their holds (`Payment::owed_voids`), and voids that the merchant asks for, which are never repeated.

use baton_types::Timestamp;
use baton_types::outcome::Outcome;

use crate::call::{Call, CallId, CallState, Closure, next_on_schedule};
use crate::draft::{Draft, candidate, count};
use crate::hold::Cancel;
use crate::mutation::mutated;
use crate::payment::{Payment, Standing, Void, VoidReason};
use crate::step::{Effect, Timer};

/// Most voids that are planned for one attempt before an operator has to look: with a day between them at
/// last, longer than a hold lasts.
const VOIDS_MAX: usize = 40;

/// How long a provider that has the void may take to confirm it until another one is planned, in milliseconds.
const CONFIRMED_MS: i64 = 600_000;

impl Draft<'_> {
    /// Plans a void that is owed, unless one is on its way. After one that did not succeed the next waits
    /// for its time: an open attempt's own timer comes back here, a concluded one's is set for it.
    pub(crate) fn plan_owed_void(&mut self, attempt: u16, why: VoidReason) {
        let payment = &self.step.next;
        if payment.voids_of(attempt).count() >= VOIDS_MAX || mutated("forget_the_void") {
            return;
        }
        let first = payment.voids_of(attempt).next();
        let last = payment.voids_of(attempt).next_back();
        let call = CallId::Attempt(attempt);
        let has_timer = payment.call(call).is_some_and(|call| !call.is_concluded());
        let may_have_timer = first.is_some() || payment.holds();
        if let (Some(first), Some(last)) = (first, last) {
            let Some(ended) = given_up_at(payment, last) else { return };
            let at = next_on_schedule(first.call.planned_at, ended);
            if self.now() < at {
                if !has_timer {
                    self.step.timers.push(Timer::Set { call, at });
                }
                return;
            }
        }
        if !has_timer && may_have_timer {
            self.step.timers.push(Timer::Clear { call });
        }
        self.plan_void(attempt, why);
    }

    pub(crate) fn plan_void(&mut self, attempt: u16, why: VoidReason) {
        let Ok(candidate) = candidate(&self.step.next, attempt) else {
            return;
        };
        let id = CallId::Void(count(self.step.next.voids.len()));
        let call = self.plan(id, &candidate, None);
        self.step.next.voids.push(Void { attempt, why, call });
    }

    /// A confirmed void closes the attempt that it voids, if that was open.
    pub(crate) fn close_voided(&mut self, id: CallId) {
        let CallId::Void(_) = id else { return };
        let payment = &self.step.next;
        let Some(attempt) = payment.attempt_of(id) else { return };
        let voided = CallId::Attempt(attempt);
        let Some(open) = payment.call(voided).filter(|call| !call.is_concluded()) else { return };
        let fences = payment.candidate(attempt).is_some_and(|at| at.cancel == Some(Cancel::Fence));
        let found_nothing = payment.call(id).is_some_and(names_nothing);
        let how = if fences && found_nothing && !open.is_acknowledged() {
            Closure::Fenced
        } else {
            Closure::Voided
        };
        self.close(voided, how);
    }

    /// Closes voids in doubt of attempts that hold nothing any more: they can do nothing, whether they arrive
    /// or not. One whose owner may still be sending stays until that is over.
    pub(crate) fn close_idle_voids(&mut self) {
        let payment = &self.step.next;
        let is_over = |void: &Void| {
            let is_open = matches!(void.call.state, CallState::Open { .. });
            let standing = payment.standing(void.attempt);
            is_open && matches!(standing, Some(Standing::Closed(_) | Standing::Failed(_)))
        };
        let over: Vec<CallId> = (1_u16..=u16::MAX)
            .zip(&payment.voids)
            .filter(|(_, void)| is_over(void))
            .map(|(no, _)| CallId::Void(no))
            .collect();
        for id in over {
            self.step.effects.retain(|effect| !matches!(effect, Effect::LookUp(call) | Effect::Replay(call) if *call == id));
            self.close(id, Closure::Voided);
        }
    }
}

/// From when on a void counts as done with, without success. One in doubt does where its provider can neither be
/// asked about it nor be sent it again under its key; `None` while it is on its way or will be found out.
fn given_up_at(payment: &Payment, void: &Void) -> Option<Timestamp> {
    let call = &void.call;
    let CallState::Open { outcome } = &call.state else { return call.concluded_at() };
    if mutated("leave_a_void_in_doubt") {
        return None;
    }
    let cannot_be_asked = payment.candidate(void.attempt).is_some_and(|at| at.quiet_ms.is_none());
    if !cannot_be_asked || call.may_be_repeated(payment.updated_at) {
        return None;
    }
    let patience_ms = match outcome {
        Outcome::Unknown { .. } => 0,
        Outcome::NotSent { .. }
        | Outcome::Refused { .. }
        | Outcome::Declined { .. }
        | Outcome::Approved { .. }
        | Outcome::Pending { .. }
        | Outcome::ActionRequired { .. } => CONFIRMED_MS,
    };
    call.open_since.map(|since| since.plus_millis(patience_ms))
}

/// Whether a provider confirmed a cancel without naming anything that it cancelled.
fn names_nothing(void: &Call) -> bool {
    let CallState::Final { outcome, .. } = &void.state else { return false };
    let is_confirmed = matches!(outcome, Outcome::Approved { .. });
    is_confirmed && outcome.answer().is_some_and(|answer| answer.reference.is_none())
}
