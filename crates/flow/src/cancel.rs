//! Attempts in doubt are cancelled by our reference, where the provider claims that: it ends a doubt that looking up
//! alone would not end, or not in time.
//!
//! The cancel is a void like any other: planned, durable before it leaves, looked up when its own answer is lost. While
//! one is under way the attempt is neither approved nor failed, whatever its provider says of it meanwhile, and
//! nobody else is tried: whether there was something to cancel is known only then. One that is confirmed closes the
//! attempt; one that is not leaves it as it was. Left out: what a merchant asks for, and losing holds (`crate::hold`),
//! which are voided in any case.

use baton_types::outcome::{Finding, Outcome};

use crate::call::{Call, CallId, CallState};
use crate::draft::Draft;
use crate::hold::Cancel;
use crate::payment::{OrderKind, Payment, VoidReason};

/// Most cancels of one attempt in doubt.
const CANCELS_MAX: usize = 3;

/// How long a provider that cannot be asked has to tell of an attempt by itself until that is cancelled, in
/// milliseconds.
const UNTOLD_MS: i64 = 3_600_000;

impl Draft<'_> {
    /// Whether an attempt that was not found may be cancelled, so that its provider refuses what still arrives.
    pub(crate) fn may_fence(&self, id: CallId) -> bool {
        may_cancel(&self.step.next, id, |how| how == Cancel::Fence)
    }

    /// An attempt was not found. While its request's own task can try somebody else, or say for sure that nothing was
    /// taken, it is cancelled at once, unless it was sent again and may be carried out yet; otherwise before its
    /// absence is believed.
    pub(crate) fn fence(&mut self, id: CallId) {
        let CallId::Attempt(no) = id else { return };
        let payment = &self.step.next;
        let Some(call) = payment.call(id).filter(|_| self.may_fence(id)) else { return };
        let in_time = payment.updated_at < payment.order.failover_until;
        let at_once = self.live() && in_time && !payment.holds() && call.replays == 0;
        if call.is_absent() || (at_once && would_show(payment, no, call)) {
            self.plan_void(no, VoidReason::InDoubt);
        }
    }

    /// A provider that cannot be asked has not told of an attempt for a long time. What is there is cancelled; that
    /// it confirms.
    pub(crate) fn cancel_untold(&mut self, id: CallId) {
        let CallId::Attempt(no) = id else { return };
        let (now, payment) = (self.now(), &self.step.next);
        let cannot_be_asked = payment.candidate(no).is_some_and(|at| at.quiet_ms.is_none());
        let since = payment.call(id).and_then(|call| call.open_since);
        let is_long = since.is_some_and(|since| now.since(since) >= UNTOLD_MS);
        if cannot_be_asked && is_long && may_cancel(payment, id, |_| true) {
            self.plan_void(no, VoidReason::InDoubt);
        }
    }
}

/// Whether an attempt is in doubt and may be cancelled by our reference. Not one whose provider has said that it has the
/// request, nor while another void of it is under way, nor where its void is promised anyway.
fn may_cancel(payment: &Payment, id: CallId, how: fn(Cancel) -> bool) -> bool {
    let CallId::Attempt(no) = id else { return false };
    let Some(call) = payment.call(id) else { return false };
    let is_unknown = matches!(call.state, CallState::Open { outcome: Outcome::Unknown { .. } });
    let claims = payment.candidate(no).and_then(|at| at.cancel).is_some_and(how);
    let is_promised = payment.obligation(no).is_some();
    let is_free = payment.voids_of(no).all(|void| void.call.is_concluded());
    let tried = payment.voids_of(no).filter(|void| void.why == VoidReason::InDoubt).count();
    let moves_money = payment.order.kind != OrderKind::Tokenize;
    is_unknown && claims && moves_money && is_free && !is_promised && tried < CANCELS_MAX
}

/// Whether look-ups did not find an attempt for as long as it could have stayed unseen.
fn would_show(payment: &Payment, no: u16, call: &Call) -> bool {
    let lag_ms = payment.candidate(no).map_or(0, |at| at.index_lag_ms);
    let mut negative = call.checks.iter().filter(|check| check.finding == Finding::NotFound);
    let Some(first) = negative.next() else { return false };
    let last = negative.next_back().unwrap_or(first);
    last.at.since(first.at).max(0) >= lag_ms
}
