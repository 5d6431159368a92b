//! How a step is decided: the draft that an input changes until all that follows from it is in it.

use baton_types::outcome::{Doubt, Finding, NotSent, Outcome};
use baton_types::{Money, Timestamp};

use crate::amounts;
use crate::call::{Call, CallId, CallState, Closure, next_on_schedule};
use crate::failover::{self, Next};
use crate::hold::{HOLD_MS, Obligation};
use crate::mutation::mutated;
use crate::payment::{
    Amounted, Candidate, OrderKind, Payment, Standing, Verdict, VoidReason, was_approved,
};
use crate::step::{Effect, Event, Facts, MODIFICATIONS_MAX, Refusal, Step, Timer};

/// How long an owner has after `send_by` until its silence counts as its end, in milliseconds. Longer than
/// the longest answer timeout: an owner that still waits for an answer is not gone.
const OWNER_GRACE_MS: i64 = 100_000;

pub(crate) struct Draft<'a> {
    pub(crate) step: Step,
    facts: &'a Facts,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(payment: &Payment, facts: &'a Facts) -> Self {
        let mut next = payment.clone();
        // Clocks differ: what one node has called too late is not early again for another.
        next.updated_at = facts.now.max(payment.updated_at);
        let step = Step { next, events: Vec::new(), timers: Vec::new(), effects: Vec::new() };
        Self { step, facts }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.facts.now
    }

    /// Whether the request's own task is stepping.
    pub(crate) fn live(&self) -> bool {
        self.facts.live
    }

    pub(crate) fn begin(&mut self) -> Result<(), Refusal> {
        if !self.step.next.attempts.is_empty() || self.step.next.version > 0 {
            return Err(Refusal::AlreadyBegun);
        }
        self.step.events.push(Event::Opened {
            order: self.step.next.order.kind,
            merchant_ref: self.step.next.order.merchant_ref.clone(),
        });
        self.follow_up();
        Ok(())
    }

    pub(crate) fn outcome(&mut self, id: CallId, outcome: Outcome) -> Result<(), Refusal> {
        if self.step.next.call(id).is_some_and(|call| !call.is_concluded()) {
            self.step.events.extend(cited(self.facts, id));
        }
        let outcome = self.of_all_sent(id, outcome);
        self.conclude(id, outcome)?;
        self.follow_up();
        Ok(())
    }

    /// What an outcome says of a call that was sent again meanwhile: that the first request has not left, or was refused, says
    /// nothing of the second.
    fn of_all_sent(&self, id: CallId, outcome: Outcome) -> Outcome {
        let call = self.step.next.call(id);
        let repeated = call.filter(|call| call.replays > 0);
        let of_one = match outcome {
            Outcome::NotSent { .. } => true,
            Outcome::Refused { .. } => self.facts.live,
            Outcome::Approved { .. }
            | Outcome::Declined { .. }
            | Outcome::Pending { .. }
            | Outcome::ActionRequired { .. }
            | Outcome::Unknown { .. } => false,
        };
        match repeated.map(|call| &call.state) {
            Some(CallState::Open { outcome: known }) if of_one => known.clone(),
            Some(_) if of_one => Outcome::Unknown { why: Doubt::InProgress },
            Some(_) | None => outcome,
        }
    }

    /// Records an outcome; one that is open gets a timer and, the first time, a look-up at once.
    pub(crate) fn conclude(&mut self, id: CallId, outcome: Outcome) -> Result<(), Refusal> {
        let asked = self.step.next.amount_of(id);
        let moves_money = self.moves_money();
        let call = self.step.next.call_mut(id).ok_or(Refusal::NoSuchCall)?;
        if call.is_concluded() {
            return Err(Refusal::Concluded);
        }
        let outcome = believable(outcome, call, asked);
        if outcome.is_open() && moves_money && !mutated("unknown_is_failed") {
            let is_first = call.open_since.is_none();
            call.open(outcome.clone(), self.facts.now);
            self.step.events.push(Event::InDoubt { call: id, outcome });
            self.check_later(id);
            if is_first {
                self.ask(id);
            }
        } else {
            call.conclude(outcome.clone(), self.facts.now);
            let approved = was_approved(call);
            self.step.events.push(Event::Concluded { call: id, outcome });
            self.step.timers.push(Timer::Clear { call: id });
            if approved || mutated("a_cancel_that_is_refused_closes") {
                self.close_voided(id);
            }
        }
        Ok(())
    }

    /// Asks what became of an open call. A change of a payment is sent again first, where its provider
    /// executes a key once: its answer is the outcome, and what never arrived is done after all.
    fn ask(&mut self, id: CallId) {
        match id {
            CallId::Attempt(_) => {}
            CallId::Capture(_) | CallId::Void(_) | CallId::Refund(_) | CallId::Increment(_) => {
                self.replay(id)
            }
        }
        self.step.effects.push(Effect::LookUp(id));
    }

    /// A purchase is sent again once, by its own task and while the shopper is there, when a look-up has not
    /// found it and nobody else was asked meanwhile.
    fn replay_purchase(&mut self, id: CallId) {
        let CallId::Attempt(no) = id else { return };
        let payment = &self.step.next;
        let in_time = self.step.next.updated_at < payment.order.failover_until;
        let is_last = usize::from(no) == payment.attempts.len();
        let is_first = payment.call(id).is_some_and(|call| call.replays == 0);
        if self.facts.live && in_time && is_last && is_first && payment.voids.is_empty() {
            self.replay(id);
        }
    }

    /// Sends a call again if that is safe. From then on it may take effect later than it might have before.
    fn replay(&mut self, id: CallId) {
        let (now, window_ms) = (self.facts.now, self.facts.send_window_ms);
        let payment = &mut self.step.next;
        let attempt = payment.attempt_of(id);
        let quiet_ms = attempt.and_then(|no| payment.candidate(no)).and_then(|at| at.quiet_ms);
        let Some(call) = payment.call_mut(id) else { return };
        if call.may_be_repeated(now.plus_millis(window_ms)) {
            call.replays = call.replays.saturating_add(1);
            let after = quiet_ms.map(|ms| now.plus_millis(window_ms).plus_millis(ms));
            call.absent_after = call.absent_after.max(after);
            self.step.effects.push(Effect::Replay(id));
        }
    }

    /// Whether an open outcome keeps a call open. A token's call moves no money, so nothing waits for it.
    fn moves_money(&self) -> bool {
        self.step.next.order.kind != OrderKind::Tokenize
    }

    pub(crate) fn finding(&mut self, id: CallId, finding: Finding) -> Result<(), Refusal> {
        let now = self.facts.now;
        let moves_money = self.moves_money();
        let call = self.step.next.call_mut(id).ok_or(Refusal::NoSuchCall)?;
        if call.is_concluded() {
            return Err(Refusal::Concluded);
        }
        call.note(finding.clone(), self.facts.evidence.clone(), now);
        let (is_not_found, is_absent) = (finding == Finding::NotFound, call.is_absent());
        self.step.events.extend(cited(self.facts, id));
        match finding {
            Finding::Found { outcome } if !(outcome.is_open() && moves_money) => {
                self.conclude(id, outcome)?;
            }
            Finding::Found { ref outcome } => {
                call.open(outcome.clone(), now);
                self.keep_open(id, finding);
            }
            Finding::Voided => match id {
                CallId::Attempt(_) => self.close(id, Closure::Voided),
                // Only an attempt can be voided: of another call this says nothing.
                CallId::Capture(_) | CallId::Void(_) | CallId::Refund(_) | CallId::Increment(_) => {
                    self.keep_open(id, finding);
                }
            },
            Finding::NotFound if is_absent && !self.may_fence(id) => {
                self.close(id, Closure::Absent);
            }
            Finding::NotFound | Finding::Inconclusive => self.keep_open(id, finding),
        }
        self.follow_up();
        self.replay_purchase(id);
        if is_not_found {
            self.fence(id);
        }
        Ok(())
    }

    pub(crate) fn close(&mut self, id: CallId, how: Closure) {
        if let Some(call) = self.step.next.call_mut(id) {
            call.close(how, self.facts.now);
        }
        self.step.events.push(Event::Closed { call: id, how });
        self.step.timers.push(Timer::Clear { call: id });
    }

    fn keep_open(&mut self, id: CallId, finding: Finding) {
        self.step.events.push(Event::Checked { call: id, finding });
        self.check_later(id);
    }

    pub(crate) fn due(&mut self, id: CallId) -> Result<(), Refusal> {
        let call = self.step.next.call(id).ok_or(Refusal::NoSuchCall)?;
        match call.state {
            CallState::Planned => {
                self.conclude(id, Outcome::Unknown { why: Doubt::OwnerGone })?;
            }
            CallState::Open { .. } => {
                self.check_later(id);
                self.ask(id);
                self.cancel_untold(id);
            }
            CallState::Final { .. } | CallState::Closed { .. } => {
                self.step.timers.push(Timer::Clear { call: id });
            }
        }
        self.follow_up();
        Ok(())
    }

    /// Comes back when the provider may be asked, and not before, whatever the schedule says: a look-up that was not
    /// made is no step of it.
    pub(crate) fn unasked(&mut self, id: CallId, until: Timestamp) -> Result<(), Refusal> {
        let call = self.step.next.call(id).ok_or(Refusal::NoSuchCall)?;
        if call.is_concluded() {
            return Err(Refusal::Concluded);
        }
        if let CallState::Open { .. } = call.state {
            let until = until.max(self.facts.now.plus_millis(1));
            let at = self.void_due(id).map_or(until, |due_at| until.min(due_at));
            self.step.timers.push(Timer::Set { call: id, at });
        }
        Ok(())
    }

    /// What a new state of affairs asks for by itself: a capture or voids that are owed, or the next attempt.
    fn follow_up(&mut self) {
        self.close_idle_voids();
        self.watch_undecided();
        self.plan_owed_capture();
        let now = self.step.next.updated_at;
        let owed: Vec<(u16, VoidReason)> = self.step.next.owed_voids(now).collect();
        for (attempt, why) in owed {
            self.plan_owed_void(attempt, why);
        }
        loop {
            let Next::Try(candidate) = failover::next(&self.step.next, now) else {
                self.stop_waiting_for_owner();
                return;
            };
            self.wait_for_owner(self.facts.live);
            let candidate = self.step.next.order.candidates.get(candidate).cloned();
            let Some(candidate) = candidate.filter(|_| self.facts.live) else { return };
            self.oblige();
            let id = CallId::Attempt(count(self.step.next.attempts.len()));
            let call = self.plan(id, &candidate, self.step.next.order.kind.amount());
            self.step.next.attempts.push(call);
            if !self.step.next.holds() || candidate.cancel.is_some() {
                return;
            }
            self.pass_over(id);
        }
    }

    /// Concludes an attempt that has just been planned, at a candidate whose holds could not be voided.
    fn pass_over(&mut self, id: CallId) {
        let outcome = Outcome::NotSent { why: NotSent::NotSupported };
        if let Some(call) = self.step.next.call_mut(id) {
            call.conclude(outcome.clone(), self.facts.now);
        }
        self.step.effects.retain(|effect| *effect != Effect::Call(id));
        self.step.events.push(Event::Concluded { call: id, outcome });
        self.step.timers.push(Timer::Clear { call: id });
    }

    /// Promises to void what is in doubt, in the step that plans the next attempt.
    fn oblige(&mut self) {
        let due_at = self.facts.now.plus_millis(HOLD_MS);
        let open: Vec<CallId> = self.step.next.open_attempts().collect();
        for call in open {
            let CallId::Attempt(attempt) = call else { continue };
            if self.step.next.obligation(attempt).is_none() {
                self.step.next.obligations.push(Obligation { attempt, due_at });
                self.step.events.push(Event::Obliged { call, due_at });
                self.check_later(call);
            }
        }
    }

    /// An approved hold that may still win or lose has a timer, so that it does not stay undecided.
    fn watch_undecided(&mut self) {
        let undecided: Vec<Obligation> = self.step.next.undecided().collect();
        for Obligation { attempt, due_at } in undecided {
            self.step.timers.push(Timer::Set { call: CallId::Attempt(attempt), at: due_at });
        }
        let winner = self.step.next.winner();
        if let Some(no) = winner.filter(|no| self.step.next.obligation(*no).is_some()) {
            self.step.timers.push(Timer::Clear { call: CallId::Attempt(no) });
        }
    }

    /// Plans the capture of a sale that is run as a hold, again where one certainly did nothing.
    fn plan_owed_capture(&mut self) {
        let payment = &self.step.next;
        let Some((no, Some(amount))) = payment.approved() else { return };
        let is_voiding = payment.voids_of(no).any(|void| !void.call.is_concluded());
        if !payment.captures_itself() || payment.has_failed_to_capture() || is_voiding {
            return;
        }
        if let (Some(first), Some(last)) = (payment.captures.first(), payment.captures.last()) {
            let Some(ended) = last.call.concluded_at() else { return };
            if payment.captures.iter().any(|capture| was_approved(&capture.call)) {
                return;
            }
            let call = CallId::Attempt(no);
            let at = next_on_schedule(first.call.planned_at, ended);
            if self.facts.now < at {
                self.step.timers.push(Timer::Set { call, at });
                return;
            }
            self.step.timers.push(Timer::Clear { call });
        }
        if let Ok(candidate) = candidate(&self.step.next, no) {
            self.plan_capture(&candidate, amount);
        }
    }

    /// Only the request's own task can try the next candidate, and it may be gone. The payment has failed once
    /// it is too late for that, and somebody has to say so then.
    fn wait_for_owner(&mut self, is_over: bool) {
        let payment = &self.step.next;
        let Some(last) = payment.attempts.len().checked_sub(1) else { return };
        let (call, at) = (CallId::Attempt(count(last)), payment.order.failover_until);
        if !payment.call(call).is_some_and(Call::is_concluded) {
            // A hold in doubt comes back by its own timer.
            return;
        }
        let change = if is_over { Timer::Clear { call } } else { Timer::Set { call, at } };
        self.step.timers.push(change);
    }

    /// A hold that turned out approved leaves nothing to wait for behind a later one that failed.
    fn stop_waiting_for_owner(&mut self) {
        let payment = &self.step.next;
        let Ok(last) = u16::try_from(payment.attempts.len()) else { return };
        let has_ended =
            matches!(payment.standing(last), Some(Standing::Failed(_) | Standing::Closed(_)));
        if payment.holds() && has_ended && !was_approved_at(payment, last) {
            self.step.timers.push(Timer::Clear { call: CallId::Attempt(last) });
        }
    }

    pub(crate) fn capture(&mut self, amount: Money) -> Result<(), Refusal> {
        let payment = &self.step.next;
        let (attempt, _) = approved(payment)?;
        match payment.order.kind {
            OrderKind::Authorize(_) => {}
            OrderKind::Charge(_) | OrderKind::Tokenize => return Err(Refusal::NothingToCapture),
        }
        if !mutated("capture_while_a_void_is_in_doubt") {
            none_open(payment, attempt, |id| matches!(id, CallId::Void(_)))?;
        }
        none_open(payment, attempt, |id| matches!(id, CallId::Increment(_)))?;
        let sums = amounts::of(payment).ok_or(Refusal::NothingApproved)?;
        within(amount, sums.capturable())?;
        if payment.captures.len() >= MODIFICATIONS_MAX {
            return Err(Refusal::TooMany);
        }
        let candidate = candidate(payment, attempt)?;
        self.plan_capture(&candidate, amount);
        Ok(())
    }

    fn plan_capture(&mut self, candidate: &Candidate, amount: Money) {
        let id = CallId::Capture(count(self.step.next.captures.len()));
        let call = self.plan(id, candidate, Some(amount));
        self.step.next.captures.push(Amounted { amount, call });
    }

    pub(crate) fn void(&mut self) -> Result<(), Refusal> {
        let payment = &self.step.next;
        let attempt = match payment.awaited() {
            Some(attempt) => {
                none_open(payment, attempt, |id| matches!(id, CallId::Void(_)))?;
                attempt
            }
            None => {
                let (attempt, amount) = approved(payment)?;
                if amount.is_none() {
                    return Err(Refusal::NothingApproved);
                }
                none_open(payment, attempt, |_| true)?;
                attempt
            }
        };
        if payment.captures.iter().any(|capture| was_approved(&capture.call)) {
            return Err(Refusal::AlreadyCaptured);
        }
        if payment.refunds.iter().any(|refund| was_approved(&refund.call)) {
            return Err(Refusal::AlreadyRefunded);
        }
        if payment.voids.len() >= MODIFICATIONS_MAX {
            return Err(Refusal::TooMany);
        }
        if payment.holds() && payment.awaited().is_none() {
            // Its capture is not tried again meanwhile.
            self.step.timers.push(Timer::Clear { call: CallId::Attempt(attempt) });
        }
        self.plan_void(attempt, VoidReason::Requested);
        Ok(())
    }

    pub(crate) fn refund(&mut self, amount: Money) -> Result<(), Refusal> {
        let payment = &self.step.next;
        let (attempt, _) = approved(payment)?;
        none_open(payment, attempt, |id| matches!(id, CallId::Void(_)))?;
        let sums = amounts::of(payment).ok_or(Refusal::NothingApproved)?;
        within(amount, sums.refundable())?;
        if payment.refunds.len() >= MODIFICATIONS_MAX {
            return Err(Refusal::TooMany);
        }
        let id = CallId::Refund(count(payment.refunds.len()));
        let candidate = candidate(payment, attempt)?;
        let call = self.plan(id, &candidate, Some(amount));
        self.step.next.refunds.push(Amounted { amount, call });
        Ok(())
    }

    /// Plans a call: it becomes durable with this step, and is sent after.
    pub(crate) fn plan(&mut self, id: CallId, at: &Candidate, amount: Option<Money>) -> Call {
        let now = self.facts.now;
        let send_by = now.plus_millis(self.facts.send_window_ms);
        let reference = reference(&self.step.next, id);
        self.step.events.push(Event::Planned {
            call: id,
            account: at.account,
            reference: reference.clone(),
            amount,
        });
        let gone_at = send_by.plus_millis(OWNER_GRACE_MS);
        if !mutated("no_timer_for_a_plan") {
            self.step.timers.push(Timer::Set { call: id, at: gone_at });
        }
        self.step.effects.push(Effect::Call(id));
        let sent = if mutated("absence_counts_from_the_plan") { now } else { send_by };
        let quiet = |ms: i64| if mutated("absence_counts_from_the_plan") { 0 } else { ms };
        Call {
            key: reference.clone(),
            reference,
            owner: self.facts.owner.clone(),
            planned_at: now,
            send_by,
            absent_after: at.quiet_ms.map(|ms| sent.plus_millis(quiet(ms))),
            replay_until: at.replay_ms.map(|ms| now.plus_millis(ms)),
            replays: 0,
            template: None,
            learnt: None,
            open_since: None,
            state: CallState::Planned,
            settled: None,
            checks: Vec::new(),
        }
    }

    /// When an attempt in doubt is voided, if that is promised and still to come.
    fn void_due(&self, id: CallId) -> Option<Timestamp> {
        let CallId::Attempt(no) = id else { return None };
        let payment = &self.step.next;
        let due_at = payment.obligation(no).map(|promised| promised.due_at)?;
        (!payment.has_lost(no) && due_at > self.facts.now).then_some(due_at)
    }

    /// Sets the timer of an open call. While the request's own task lives it looks by itself, and the
    /// timer waits for its end. The timer of a planned call stays: its owner may still be sending.
    fn check_later(&mut self, id: CallId) {
        let is_open = |call: &&Call| matches!(call.state, CallState::Open { .. });
        let Some(call) = self.step.next.call(id).filter(is_open) else { return };
        let scheduled = call.next_check(self.facts.now);
        let own_task_until = self.step.next.order.failover_until;
        let at = if self.facts.live { scheduled.max(own_task_until) } else { scheduled };
        let at = self.void_due(id).map_or(at, |due_at| at.min(due_at));
        self.step.timers.push(Timer::Set { call: id, at });
    }
}

/// Our reference at the provider, and the key under which it executes a call at most once: derived from
/// the payment, the kind of call and its number, so that the same call has the same one after a restart.
/// The payment's id is globally unique and so stands for the merchant too. At most 33 characters of
/// `[a-z0-9-]`.
pub(crate) fn reference(payment: &Payment, id: CallId) -> String {
    let text = payment.id.to_string();
    let bare = text.split_once('_').map_or(text.as_str(), |(_, bare)| bare);
    if mutated("one_reference_for_all_calls") {
        return format!("{bare}-a1");
    }
    format!("{bare}-{id}")
}

/// What the input rests on, recorded before what follows from it.
fn cited(facts: &Facts, call: CallId) -> Option<Event> {
    facts.evidence.clone().map(|evidence| Event::Evidence { call, evidence })
}

/// What contradicts itself or what is known already is `Unknown`: an approval for more than was asked, in
/// another currency or without an amount where one was asked; and that nothing was attempted, after the
/// provider said that it has the request.
fn believable(outcome: Outcome, call: &Call, asked: Option<Money>) -> Outcome {
    let is_credible = match &outcome {
        Outcome::Approved { amount, .. } => match (amount, asked) {
            (Some(amount), Some(asked)) => {
                amount.currency() == asked.currency()
                    && (0..=asked.minor()).contains(&amount.minor())
            }
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        },
        Outcome::NotSent { .. } | Outcome::Refused { .. } => !call.is_acknowledged(),
        Outcome::Declined { .. }
        | Outcome::Pending { .. }
        | Outcome::ActionRequired { .. }
        | Outcome::Unknown { .. } => true,
    };
    if is_credible { outcome } else { Outcome::Unknown { why: Doubt::Unreadable } }
}

/// The attempt to act on, or why there is none.
pub(crate) fn approved(payment: &Payment) -> Result<(u16, Option<Money>), Refusal> {
    match payment.verdict() {
        Verdict::Running => {
            Err(Refusal::InDoubt(CallId::Attempt(count(payment.attempts.len().saturating_sub(1)))))
        }
        Verdict::InDoubt(no) => Err(Refusal::InDoubt(CallId::Attempt(no))),
        Verdict::Failed(_) => Err(Refusal::NothingApproved),
        Verdict::Approved(no) => match payment.standing(no) {
            Some(Standing::Approved(amount)) => Ok((no, amount)),
            _ => Err(Refusal::AlreadyVoided),
        },
    }
}

fn was_approved_at(payment: &Payment, attempt: u16) -> bool {
    payment.call(CallId::Attempt(attempt)).is_some_and(was_approved)
}

pub(crate) fn candidate(payment: &Payment, attempt: u16) -> Result<Candidate, Refusal> {
    payment.candidate(attempt).cloned().ok_or(Refusal::NothingApproved)
}

/// That no call of an attempt is on its way or in doubt, of those that are asked about.
pub(crate) fn none_open(
    payment: &Payment,
    attempt: u16,
    which: fn(CallId) -> bool,
) -> Result<(), Refusal> {
    match payment.calls().find(|(id, call)| {
        which(*id) && payment.attempt_of(*id) == Some(attempt) && !call.is_concluded()
    }) {
        Some((id, _)) => Err(Refusal::InDoubt(id)),
        None => Ok(()),
    }
}

fn within(amount: Money, available: Money) -> Result<(), Refusal> {
    if amount.currency() != available.currency() {
        return Err(Refusal::WrongCurrency { expected: available.currency() });
    }
    if !amount.is_positive() {
        return Err(Refusal::NotPositive);
    }
    if amount.minor() > available.minor() {
        return Err(Refusal::TooMuch { available });
    }
    Ok(())
}

/// The number of the next item behind `len` others.
pub(crate) fn count(len: usize) -> u16 {
    u16::try_from(len.saturating_add(1)).unwrap_or(u16::MAX)
}
