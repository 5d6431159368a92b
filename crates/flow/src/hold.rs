//! `hold_safe`: the next candidate may be asked while an earlier one is in doubt, because every attempt only
//! holds, and a void of the doubtful one is promised before the next one leaves.
//!
//! A sale is run as authorization and capture. Of several holds one wins and is captured; the others are
//! voided until that is confirmed. Who wins is derived from the calls, never stored beside them; what is
//! stored is the promise, an [`Obligation`]. Whether a candidate may be tried at all is said in
//! [`crate::failover`]; here is what follows from it.

use baton_types::Timestamp;
use baton_types::outcome::Outcome;
use serde::{Deserialize, Serialize};

use crate::call::{Call, CallId, CallState};
use crate::mutation::mutated;
use crate::payment::{
    Amounted, DoubtMode, Failure, OrderKind, Payment, Standing, Verdict, Void, VoidReason,
    numbered, was_approved,
};

/// How long after the next attempt was planned an attempt in doubt may still win, in milliseconds.
pub const HOLD_MS: i64 = 60_000;

/// Most attempts that may hold at the same time.
pub(crate) const HOLDS_MAX: usize = 2;

/// Most captures that are planned for a sale before its hold is given back.
const CAPTURES_MAX: usize = 4;

/// The promise that an attempt in doubt is voided, made in the commit that plans the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obligation {
    /// Which attempt, from 1.
    pub attempt: u16,
    /// When it is voided if nothing was decided by then.
    pub due_at: Timestamp,
}

/// How a candidate cancels a payment by our reference of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cancel {
    /// What is there is voided; what arrives later is not kept out.
    Plain,
    /// What is there is voided, and what arrives later is refused.
    Fence,
}

impl Payment {
    /// Whether attempts only hold, and the next one may be made while one is in doubt.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.order.doubt == DoubtMode::HoldSafe && self.order.kind != OrderKind::Tokenize
    }

    /// What an attempt asks its provider for: a sale that is run as a hold asks for one.
    #[must_use]
    pub fn attempt_kind(&self) -> OrderKind {
        match self.order.kind {
            OrderKind::Charge(amount) if self.holds() => OrderKind::Authorize(amount),
            kind @ (OrderKind::Charge(_) | OrderKind::Authorize(_) | OrderKind::Tokenize) => kind,
        }
    }

    /// Whether the payment captures its hold by itself.
    pub(crate) fn captures_itself(&self) -> bool {
        self.holds() && matches!(self.order.kind, OrderKind::Charge(_))
    }

    /// The promise to void an attempt, if there is one.
    #[must_use]
    pub fn obligation(&self, attempt: u16) -> Option<Obligation> {
        self.obligations.iter().find(|promised| promised.attempt == attempt).copied()
    }

    /// Whether an attempt's void has been planned because another one goes before it. It cannot win any more.
    pub(crate) fn has_lost(&self, attempt: u16) -> bool {
        self.voids_of(attempt).any(|void| void.why == VoidReason::LosingHold)
    }

    /// Of the attempts that hold, the one that is kept: the latest that was approved, once no later one can
    /// be any more. It may have been voided since.
    #[must_use]
    pub fn winner(&self) -> Option<u16> {
        if !self.holds() {
            return None;
        }
        let mut last = None;
        for (no, _) in numbered(&self.attempts).filter(|(no, _)| !self.has_lost(*no)) {
            match self.candidacy(no) {
                Candidacy::Undecided => last = None,
                Candidacy::Kept => last = Some(no),
                Candidacy::Out => {}
            }
        }
        last
    }

    /// Whether an attempt could be the one that is kept.
    fn candidacy(&self, no: u16) -> Candidacy {
        let Some(call) = self.call(CallId::Attempt(no)) else { return Candidacy::Out };
        match &call.state {
            CallState::Planned | CallState::Open { .. } => Candidacy::Undecided,
            CallState::Final { outcome: Outcome::Approved { amount, .. }, .. }
                if *amount == self.order.kind.amount() =>
            {
                let is_unasked = |void: &&Void| {
                    !matches!(void.why, VoidReason::Requested | VoidReason::CaptureFailed)
                };
                let unasked = || self.voids_of(no).filter(is_unasked);
                if unasked().any(|void| was_approved(&void.call)) {
                    Candidacy::Out
                } else if unasked().any(|void| !void.call.is_concluded()) {
                    Candidacy::Undecided
                } else {
                    Candidacy::Kept
                }
            }
            CallState::Final { .. } | CallState::Closed { .. } => Candidacy::Out,
        }
    }

    /// Whether an attempt in doubt bars the next candidate no longer: it can be voided by our reference,
    /// and its provider has been asked once.
    pub(crate) fn may_be_passed(&self, attempt: u16, call: &Call) -> bool {
        let is_unknown = matches!(call.state, CallState::Open { outcome: Outcome::Unknown { .. } });
        let cancels = self.candidate(attempt).is_some_and(|at| at.cancel.is_some());
        self.holds() && is_unknown && cancels && !call.checks.is_empty()
    }

    /// Whether a hold has to be voided by now because it does not win.
    pub(crate) fn is_losing(&self, attempt: u16, now: Timestamp) -> bool {
        let Some(obligation) = self.obligation(attempt) else { return false };
        if mutated("forget_the_obligation") {
            return false;
        }
        let holds =
            matches!(self.standing(attempt), Some(Standing::Open(_) | Standing::Approved(_)));
        let winner = self.winner();
        holds
            && (self.has_lost(attempt)
                || winner.is_some_and(|winner| winner != attempt)
                || (winner.is_none() && now >= obligation.due_at))
    }

    /// Whether the winner's hold is given back because it could not be captured.
    pub(crate) fn has_failed_to_capture(&self) -> bool {
        let Some(Amounted { call: last, .. }) = self.captures.last() else { return false };
        self.captures_itself()
            && last.is_concluded()
            && !self.captures.iter().any(|capture| was_approved(&capture.call))
            && !(may_be_repeated(last) && self.captures.len() < CAPTURES_MAX)
    }

    /// How a payment that holds stands. Success is told once the winner is captured, where that is asked;
    /// failure once no hold is left.
    pub(crate) fn verdict_of_holds(&self) -> Verdict<'_> {
        let winner = self.winner();
        if let Some(no) = winner
            && let Some(verdict) = self.verdict_of_winner(no)
        {
            return verdict;
        }
        let mut open = None;
        let mut last = Verdict::Failed(Failure::NotTried);
        for (no, _) in numbered(&self.attempts) {
            match self.standing(no) {
                None | Some(Standing::Running) => return Verdict::Running,
                Some(Standing::Open(_) | Standing::Approved(_)) => {
                    open = open.or(Some(Verdict::InDoubt(no)));
                }
                Some(Standing::Failed(outcome)) => {
                    last = Verdict::Failed(Failure::Attempt(no, outcome));
                }
                Some(Standing::Closed(how)) => {
                    last = Verdict::Failed(Failure::Closed(no, how, self.void_reason(no)));
                }
            }
        }
        if let (None, Some(no)) = (open, winner)
            && let Some(Standing::Closed(how)) = self.standing(no)
        {
            return Verdict::Failed(Failure::Closed(no, how, self.void_reason(no)));
        }
        open.unwrap_or(last)
    }

    /// What the winner makes of the payment; `None` if its hold was given back.
    fn verdict_of_winner(&self, no: u16) -> Option<Verdict<'_>> {
        let is_closed = matches!(self.standing(no), Some(Standing::Closed(_)));
        if is_closed {
            let is_requested = self.void_reason(no) == Some(VoidReason::Requested);
            return is_requested.then_some(Verdict::Approved(no));
        }
        if !self.captures_itself() {
            return Some(Verdict::Approved(no));
        }
        let mut captures = self.captures.iter().map(|capture| &capture.call);
        Some(if captures.clone().any(was_approved) {
            Verdict::Approved(no)
        } else if captures.any(|call| call.state == CallState::Planned) {
            Verdict::Running
        } else {
            Verdict::InDoubt(no)
        })
    }

    /// When a concluded attempt's timer is due although no void of it is to be tried again: an approved one
    /// that may still win or lose.
    pub(crate) fn undecided(&self) -> impl Iterator<Item = Obligation> {
        let is_decided = self.winner().is_some();
        self.obligations.iter().copied().filter(move |promised| {
            let no = promised.attempt;
            let may_win = matches!(self.candidacy(no), Candidacy::Kept);
            !is_decided && may_win && !self.has_lost(no)
        })
    }

    /// The calls that can still hold money.
    pub(crate) fn open_attempts(&self) -> impl Iterator<Item = CallId> {
        let open = numbered(&self.attempts).filter(|(_, call)| !call.is_concluded());
        open.map(|(no, _)| CallId::Attempt(no))
    }
}

/// What an attempt's calls say of its chance to be kept.
enum Candidacy {
    /// It can still be approved, or a void of it is on its way.
    Undecided,
    /// Approved in full, and nothing but the merchant's wish or its capture stands against it.
    Kept,
    /// It holds nothing, or not what was asked.
    Out,
}

/// Whether a capture certainly did nothing, so that another one may.
fn may_be_repeated(call: &Call) -> bool {
    matches!(
        &call.state,
        CallState::Final { outcome: Outcome::NotSent { .. } | Outcome::Refused { .. }, .. }
            | CallState::Closed { .. }
    )
}
