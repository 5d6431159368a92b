//! One step of a payment: an input comes in, and everything that follows from it is decided at once.

use baton_types::outcome::{Doubt, Finding, Outcome};
use baton_types::{AccountId, Money, Timestamp};
use serde::{Deserialize, Serialize};

use crate::amounts;
use crate::call::{Call, CallId, CallState, Closure, Owner};
use crate::failover::{self, Next};
use crate::payment::{
    Amounted, Candidate, OrderKind, Payment, Standing, Verdict, Void, VoidReason, was_approved,
};

/// Most captures, and most refunds, that one payment can have: it bounds the snapshot.
const MODIFICATIONS_MAX: usize = 500;

/// Most voids that are planned for one attempt before an operator has to look.
const VOIDS_MAX: usize = 5;

/// How long an owner has after `send_by` until its silence counts as its end, in milliseconds. Longer than
/// the longest answer timeout: an owner that still waits for an answer is not gone.
const OWNER_GRACE_MS: i64 = 100_000;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The payment is opened.
    Begin,
    /// A call gave this outcome.
    Outcome {
        /// The call.
        call: CallId,
        /// Its outcome.
        outcome: Outcome,
    },
    /// A look-up showed this.
    Finding {
        /// The call that was looked up.
        call: CallId,
        /// What was shown.
        finding: Finding,
    },
    /// A timer came due, or the call was found after a restart: whoever planned it is gone.
    Due {
        /// The call.
        call: CallId,
    },
    /// The merchant wants to capture.
    Capture {
        /// How much.
        amount: Money,
    },
    /// The merchant wants to void.
    Void,
    /// The merchant wants to refund.
    Refund {
        /// How much.
        amount: Money,
    },
}

/// What a step may know beside the payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The time.
    pub now: Timestamp,
    /// The process that steps.
    pub owner: Owner,
    /// How long a planned call may wait for its first byte, in milliseconds.
    pub send_window_ms: i64,
    /// Whether the request's own task is stepping: it alone holds the card, and it alone may send an
    /// attempt.
    pub live: bool,
}

/// What a step decided. Nothing of it has happened yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The payment after the step; its version is set when it is committed.
    pub next: Payment,
    /// What happened, for the record.
    pub events: Vec<Event>,
    /// Timers to set and clear in the same commit.
    pub timers: Vec<Timer>,
    /// What to do once the commit is durable.
    pub effects: Vec<Effect>,
}

/// Something that happened to a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The payment was opened.
    Opened {
        /// What is to be done.
        order: OrderKind,
        /// The merchant's reference.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        merchant_ref: Option<String>,
    },
    /// A call is planned; it is sent once this is durable.
    Planned {
        /// The call.
        call: CallId,
        /// Where it goes.
        account: AccountId,
        /// Our reference at the provider.
        reference: String,
        /// How much it asks for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        amount: Option<Money>,
    },
    /// A call is open: money can still move.
    InDoubt {
        /// The call.
        call: CallId,
        /// Why.
        outcome: Outcome,
    },
    /// A call is concluded.
    Concluded {
        /// The call.
        call: CallId,
        /// How.
        outcome: Outcome,
    },
    /// An open call can no longer move money.
    Closed {
        /// The call.
        call: CallId,
        /// Why.
        how: Closure,
    },
    /// A look-up gave evidence that settles nothing yet.
    Checked {
        /// The call.
        call: CallId,
        /// The evidence.
        #[serde(flatten)]
        finding: Finding,
    },
}

/// A change to the payment's timers. There is one timer per call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Feed [`Input::Due`] at this time.
    Set {
        /// The call.
        call: CallId,
        /// When.
        at: Timestamp,
    },
    /// No longer needed.
    Clear {
        /// The call.
        call: CallId,
    },
}

/// What to do once the step is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send a planned call. Only the task that planned it may, and never from a stored row.
    Call(CallId),
    /// Ask the provider about an open call. Moves no money; anyone may.
    LookUp(CallId),
}

/// Why an input is refused. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The payment was opened before.
    AlreadyBegun,
    /// There is no such call.
    NoSuchCall,
    /// The call is concluded; what arrives now changes nothing.
    Concluded,
    /// Nothing was approved that this could act on.
    NothingApproved,
    /// An outcome that this depends on is not known yet.
    InDoubt(CallId),
    /// It has been voided.
    AlreadyVoided,
    /// It has been captured; a void would be a refund.
    AlreadyCaptured,
    /// It has been refunded, at least in part.
    AlreadyRefunded,
    /// A charge is captured from the start; a token holds nothing.
    NothingToCapture,
    /// Amounts are greater than zero.
    NotPositive,
    /// The payment has another currency.
    WrongCurrency {
        /// The payment's.
        expected: baton_types::Currency,
    },
    /// More than is there.
    TooMuch {
        /// What is there.
        available: Money,
    },
    /// The payment has as many captures or refunds as it can have.
    TooMany,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AlreadyBegun => f.write_str("the payment has been opened before"),
            Self::NoSuchCall => f.write_str("the payment has no such call"),
            Self::Concluded => f.write_str("the call is concluded"),
            Self::NothingApproved => f.write_str("the payment has no approved transaction"),
            Self::InDoubt(call) => {
                write!(f, "the outcome of an earlier request ({call}) is not known yet")
            }
            Self::AlreadyVoided => f.write_str("the transaction has been voided"),
            Self::AlreadyCaptured => {
                f.write_str("the authorization has been captured; refund it instead")
            }
            Self::AlreadyRefunded => f.write_str("the transaction has been refunded"),
            Self::NothingToCapture => {
                f.write_str("there is nothing to capture: a charge is captured from the start")
            }
            Self::NotPositive => f.write_str("the amount must be greater than zero"),
            Self::WrongCurrency { expected } => {
                write!(f, "the transaction's currency is {expected}")
            }
            Self::TooMuch { available } => {
                write!(f, "the amount exceeds what is there: {available}")
            }
            Self::TooMany => write!(f, "a payment has at most {MODIFICATIONS_MAX} of these"),
        }
    }
}

impl std::error::Error for Refusal {}

/// Decides what follows from an input.
///
/// # Errors
/// The input does not fit the payment as it stands. Nothing has changed then.
pub fn step(payment: &Payment, input: Input, facts: &Facts) -> Result<Step, Refusal> {
    let mut next = payment.clone();
    next.updated_at = facts.now;
    let mut draft = Draft {
        step: Step { next, events: Vec::new(), timers: Vec::new(), effects: Vec::new() },
        facts,
        is_due: matches!(input, Input::Due { .. }),
    };
    match input {
        Input::Begin => draft.begin()?,
        Input::Outcome { call, outcome } => draft.outcome(call, outcome)?,
        Input::Finding { call, finding } => draft.finding(call, finding)?,
        Input::Due { call } => draft.due(call)?,
        Input::Capture { amount } => draft.capture(amount)?,
        Input::Void => draft.void()?,
        Input::Refund { amount } => draft.refund(amount)?,
    }
    Ok(draft.step)
}

struct Draft<'a> {
    step: Step,
    facts: &'a Facts,
    /// Whether a timer brought us here: what failed before may be tried again.
    is_due: bool,
}

impl Draft<'_> {
    fn begin(&mut self) -> Result<(), Refusal> {
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

    fn outcome(&mut self, id: CallId, outcome: Outcome) -> Result<(), Refusal> {
        self.conclude(id, outcome)?;
        self.follow_up();
        Ok(())
    }

    /// Records an outcome; an open one gets a timer and, at once, a look-up.
    fn conclude(&mut self, id: CallId, outcome: Outcome) -> Result<(), Refusal> {
        let payment = &self.step.next;
        let asked = payment.amount_of(id);
        let moves_money = payment.order.kind != OrderKind::Tokenize;
        let outcome = believable(outcome, asked);
        let call = self.step.next.call_mut(id).ok_or(Refusal::NoSuchCall)?;
        if call.is_concluded() {
            return Err(Refusal::Concluded);
        }
        let is_first = call.state == CallState::Planned;
        call.take(outcome.clone(), moves_money, self.facts.now);
        if call.is_concluded() {
            let approved = was_approved(call);
            self.step.events.push(Event::Concluded { call: id, outcome });
            self.step.timers.push(Timer::Clear { call: id });
            if approved {
                self.close_voided(id);
            }
        } else {
            self.step.events.push(Event::InDoubt { call: id, outcome });
            self.check_later(id);
            if is_first {
                self.step.effects.push(Effect::LookUp(id));
            }
        }
        Ok(())
    }

    /// A confirmed void closes the attempt that it voids, if that was open.
    fn close_voided(&mut self, id: CallId) {
        let CallId::Void(_) = id else { return };
        let Some(attempt) = self.step.next.attempt_of(id).map(CallId::Attempt) else {
            return;
        };
        if self.step.next.call(attempt).is_some_and(|call| !call.is_concluded()) {
            self.close(attempt, Closure::Voided);
        }
    }

    fn finding(&mut self, id: CallId, finding: Finding) -> Result<(), Refusal> {
        let now = self.facts.now;
        let call = self.step.next.call_mut(id).ok_or(Refusal::NoSuchCall)?;
        if call.is_concluded() {
            return Err(Refusal::Concluded);
        }
        call.note(finding.clone(), now);
        match finding {
            Finding::Found { outcome } if !outcome.is_open() => return self.outcome(id, outcome),
            Finding::Voided => match id {
                CallId::Attempt(_) => self.close(id, Closure::Voided),
                // The void that was asked about is what the look-up shows.
                CallId::Void(_) | CallId::Capture(_) | CallId::Refund(_) => {
                    self.keep_open(id, finding)
                }
            },
            Finding::NotFound if call.is_absent() => self.close(id, Closure::Absent),
            Finding::Found { ref outcome } => {
                call.take(outcome.clone(), true, now);
                self.keep_open(id, finding);
            }
            Finding::NotFound | Finding::Inconclusive => self.keep_open(id, finding),
        }
        self.follow_up();
        Ok(())
    }

    fn close(&mut self, id: CallId, how: Closure) {
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

    fn due(&mut self, id: CallId) -> Result<(), Refusal> {
        let call = self.step.next.call(id).ok_or(Refusal::NoSuchCall)?;
        match call.state {
            CallState::Planned => {
                self.conclude(id, Outcome::Unknown { why: Doubt::OwnerGone })?;
            }
            CallState::Open { .. } => {
                self.check_later(id);
                self.step.effects.push(Effect::LookUp(id));
            }
            CallState::Final { .. } | CallState::Closed { .. } => {
                self.step.timers.push(Timer::Clear { call: id });
            }
        }
        self.follow_up();
        Ok(())
    }

    /// What a new state of affairs asks for by itself: a void that is owed, or the next attempt.
    fn follow_up(&mut self) {
        if let Some((attempt, why)) = self.step.next.owed_void() {
            self.plan_owed_void(attempt, why);
        } else if self.facts.live
            && let Next::Try(candidate) = failover::next(&self.step.next, self.facts.now)
            && let Some(candidate) = self.step.next.order.candidates.get(candidate).cloned()
        {
            let no = count(self.step.next.attempts.len());
            let call =
                self.plan(CallId::Attempt(no), &candidate, self.step.next.order.kind.amount());
            self.step.next.attempts.push(call);
        }
    }

    fn plan_owed_void(&mut self, attempt: u16, why: VoidReason) {
        let voids = || self.step.next.voids.iter().filter(|void| void.attempt == attempt);
        if voids().any(|void| !void.call.is_concluded()) || voids().count() >= VOIDS_MAX {
            return;
        }
        if voids().next().is_some() && !self.is_due {
            // The last one did not succeed: a timer tries again.
            let at = self.facts.now.plus_millis(2_000);
            self.step.timers.push(Timer::Set { call: CallId::Attempt(attempt), at });
            return;
        }
        self.plan_void(attempt, why);
    }

    fn capture(&mut self, amount: Money) -> Result<(), Refusal> {
        let payment = &self.step.next;
        let (attempt, _) = approved(payment)?;
        match payment.order.kind {
            OrderKind::Authorize(_) => {}
            OrderKind::Charge(_) | OrderKind::Tokenize => return Err(Refusal::NothingToCapture),
        }
        none_open(payment, |id| matches!(id, CallId::Void(_)))?;
        let sums = amounts::of(payment).ok_or(Refusal::NothingApproved)?;
        within(amount, sums.capturable())?;
        if payment.captures.len() >= MODIFICATIONS_MAX {
            return Err(Refusal::TooMany);
        }
        let id = CallId::Capture(count(payment.captures.len()));
        let candidate = candidate(payment, attempt)?;
        let call = self.plan(id, &candidate, Some(amount));
        self.step.next.captures.push(Amounted { amount, call });
        Ok(())
    }

    fn void(&mut self) -> Result<(), Refusal> {
        let payment = &self.step.next;
        let (attempt, amount) = approved(payment)?;
        if amount.is_none() {
            return Err(Refusal::NothingApproved);
        }
        none_open(payment, |_| true)?;
        if payment.captures.iter().any(|capture| was_approved(&capture.call)) {
            return Err(Refusal::AlreadyCaptured);
        }
        if payment.refunds.iter().any(|refund| was_approved(&refund.call)) {
            return Err(Refusal::AlreadyRefunded);
        }
        if payment.voids.len() >= MODIFICATIONS_MAX {
            return Err(Refusal::TooMany);
        }
        self.plan_void(attempt, VoidReason::Requested);
        Ok(())
    }

    fn refund(&mut self, amount: Money) -> Result<(), Refusal> {
        let payment = &self.step.next;
        let (attempt, _) = approved(payment)?;
        none_open(payment, |id| matches!(id, CallId::Void(_)))?;
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

    fn plan_void(&mut self, attempt: u16, why: VoidReason) {
        let Ok(candidate) = candidate(&self.step.next, attempt) else {
            return;
        };
        let id = CallId::Void(count(self.step.next.voids.len()));
        let call = self.plan(id, &candidate, None);
        self.step.next.voids.push(Void { attempt, why, call });
    }

    /// Plans a call: it becomes durable with this step, and is sent after.
    fn plan(&mut self, id: CallId, at: &Candidate, amount: Option<Money>) -> Call {
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
        self.step.timers.push(Timer::Set { call: id, at: gone_at });
        self.step.effects.push(Effect::Call(id));
        Call {
            key: reference.clone(),
            reference,
            owner: self.facts.owner.clone(),
            planned_at: now,
            send_by,
            absent_after: at.quiet_ms.map(|ms| send_by.plus_millis(ms)),
            replay_until: at.replay_ms.map(|ms| now.plus_millis(ms)),
            template: None,
            state: CallState::Planned,
            checks: Vec::new(),
        }
    }

    /// Sets the timer of an open call. While the request's own task lives it looks by itself, and the
    /// timer waits for its end.
    fn check_later(&mut self, id: CallId) {
        let Some(call) = self.step.next.call(id) else {
            return;
        };
        let scheduled = call.next_check(self.facts.now);
        let own_task_until = self.step.next.order.failover_until;
        let at = if self.facts.live { scheduled.max(own_task_until) } else { scheduled };
        self.step.timers.push(Timer::Set { call: id, at });
    }
}

/// Our reference at the provider, and the key under which it executes a call at most once: derived from
/// the payment, the kind of call and its number, so that the same call has the same one after a restart.
/// The payment's id is globally unique and so stands for the merchant too. At most 33 characters of
/// `[a-z0-9-]`.
fn reference(payment: &Payment, id: CallId) -> String {
    let text = payment.id.to_string();
    let bare = text.split_once('_').map_or(text.as_str(), |(_, bare)| bare);
    format!("{bare}-{id}")
}

/// An approval for more than was asked, in another currency, or without an amount where one was asked,
/// cannot be true: nobody knows what it means.
fn believable(outcome: Outcome, asked: Option<Money>) -> Outcome {
    let Outcome::Approved { amount, .. } = &outcome else { return outcome };
    let true_enough = match (amount, asked) {
        (Some(amount), Some(asked)) => {
            amount.currency() == asked.currency() && (0..=asked.minor()).contains(&amount.minor())
        }
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    if true_enough { outcome } else { Outcome::Unknown { why: Doubt::Unreadable } }
}

/// The attempt to act on, or why there is none.
fn approved(payment: &Payment) -> Result<(u16, Option<Money>), Refusal> {
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

fn candidate(payment: &Payment, attempt: u16) -> Result<Candidate, Refusal> {
    payment.candidate(attempt).cloned().ok_or(Refusal::NothingApproved)
}

fn none_open(payment: &Payment, which: impl Fn(CallId) -> bool) -> Result<(), Refusal> {
    match payment.calls().find(|(id, call)| which(*id) && !call.is_concluded()) {
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
fn count(len: usize) -> u16 {
    u16::try_from(len.saturating_add(1)).unwrap_or(u16::MAX)
}
