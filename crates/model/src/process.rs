//! A process that works on the payment: the task that owns it, or another node's resolver. What it does
//! between two steps is modelled after the engine; the steps are production's.

use std::sync::Arc;

use baton_flow::{CallId, Effect, Facts, Input, Owner, Refusal, Timer, step};
use baton_types::outcome::{Answer, Doubt, Finding, NotSent, Outcome};
use baton_types::{BootId, DeclineCode, DeclinedBy, Timestamp};

use crate::norm::normal;
use crate::provider::Shown;
use crate::row::Row;
use crate::scope::{Fault, Scope, TICK_MS, amount, at};

/// Which process: 0 is the owner, the others resolve.
pub(crate) type Pid = u8;

/// The task that has the card.
pub(crate) const OWNER: Pid = 0;

/// A process, with all that is in its memory only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) phase: Phase,
    /// The payment as it knows it.
    pub(crate) copy: Option<Row>,
    /// Requests that it planned and has not sent, with the time by which they may leave.
    pub(crate) outbox: Vec<(CallId, Timestamp)>,
    /// Calls that it is to look up.
    pub(crate) to_ask: Vec<CallId>,
    /// How far its clock is ahead.
    pub(crate) offset: i64,
}

/// What a process is about to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Nothing, or to send what is in its outbox.
    Idle,
    /// To decide what follows from this, when the answer is here: only a look-up's age matters.
    Decide(Heard),
    /// To commit what it decided.
    Commit(Arc<Draft>, Ack),
    /// It has looked at its clock and may write.
    Write(CallId),
    /// It waits for an answer.
    Wait(CallId),
    /// It died or has done.
    Ended,
}

/// What a process has heard. Small, so that states stay small; [`Heard::input`] makes production's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Heard {
    Begin,
    Due(CallId),
    Answer(CallId, bool),
    NoAnswer(CallId),
    NotSent(CallId),
    LookUp { call: CallId, asked_at: Timestamp, shown: Shown },
}

/// A step that is decided and not yet durable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Draft {
    pub(crate) heard: Heard,
    pub(crate) row: Row,
    pub(crate) timers: Vec<(CallId, Option<Timestamp>)>,
    pub(crate) planned: Vec<CallId>,
    pub(crate) to_ask: Vec<CallId>,
    pub(crate) send_by: Timestamp,
}

/// What a process knows of its commit, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ack {
    /// It is not sent yet.
    Awaited,
    /// It was sent and perhaps done; the process does not know. It finds out by asking again: the event that
    /// has its version is its own or not.
    Lost {
        /// Whether it was done.
        is_done: bool,
    },
}

impl Process {
    pub(crate) fn new(offset: i64) -> Self {
        Self { phase: Phase::Idle, copy: None, outbox: Vec::new(), to_ask: Vec::new(), offset }
    }

    /// What its clock shows.
    pub(crate) fn clock(&self, now: i64) -> Timestamp {
        at(now + self.offset)
    }

    /// What it decides by.
    pub(crate) fn case(&self, pid: Pid, heard: Heard, now: i64) -> Option<Case> {
        Some(Case { copy: self.copy.clone()?, pid, heard, now, clock: self.clock(now) })
    }

    /// Takes over what it committed. What it planned it now may send.
    pub(crate) fn committed(&mut self, draft: &Draft, now: i64, scope: &Scope) {
        let from_commit = at(now + scope.send_window);
        let late = scope.has(Fault::DeadlineFromCommit);
        let send_by = if late { from_commit } else { draft.send_by };
        self.outbox.extend(draft.planned.iter().map(|call| (*call, send_by)));
        self.to_ask.extend(&draft.to_ask);
        self.copy = Some(draft.row.clone());
        self.phase = Phase::Idle;
    }

    /// Whether it has nothing to do by itself.
    pub(crate) fn is_resting(&self) -> bool {
        match self.phase {
            Phase::Idle => self.outbox.is_empty() && self.to_ask.is_empty(),
            Phase::Ended => true,
            Phase::Decide(_) | Phase::Commit(..) | Phase::Write(_) | Phase::Wait(_) => false,
        }
    }

    /// Whether, as far as it knows, a call is not concluded.
    pub(crate) fn has_open_calls(&self) -> bool {
        self.copy.as_ref().is_some_and(|copy| copy.payment().has_open_calls())
    }

    /// Its memory is gone.
    pub(crate) fn die(&mut self, pid: Pid) {
        self.copy = None;
        self.outbox.clear();
        self.to_ask.clear();
        // A node that resolves is started again; the owner's card is nowhere any more.
        self.phase = if pid == OWNER { Phase::Ended } else { Phase::Idle };
    }
}

/// Who a process is for production.
pub(crate) fn owner(pid: Pid) -> Owner {
    Owner { node: format!("node-{pid}"), boot: BootId::from_bytes([pid; 16]) }
}

impl Heard {
    /// As production hears it.
    fn input(self, copy: &Row, clock: Timestamp, scope: &Scope) -> Input {
        match self {
            Self::Begin => Input::Begin,
            Self::Due(call) => Input::Due { call },
            Self::Answer(call, approved) => Input::Outcome { call, outcome: said(call, approved) },
            Self::NoAnswer(call) => {
                Input::Outcome { call, outcome: Outcome::Unknown { why: Doubt::AnswerTimeout } }
            }
            Self::NotSent(call) => {
                Input::Outcome { call, outcome: Outcome::NotSent { why: NotSent::TooLate } }
            }
            Self::LookUp { call, asked_at, shown } => {
                let finding = match shown {
                    Shown::Done => Finding::Found { outcome: said(call, true) },
                    Shown::Declined => Finding::Found { outcome: said(call, false) },
                    Shown::Released => Finding::Voided,
                    Shown::Nothing if is_early(copy, call, asked_at, clock, scope) => {
                        Finding::Inconclusive
                    }
                    Shown::Nothing => Finding::NotFound,
                    Shown::Unsaid => Finding::Inconclusive,
                };
                Input::Finding { call, finding }
            }
        }
    }
}

/// Whether "not found" was asked too early to count, and answered too late to be seen so: the engine passes
/// it on as inconclusive.
fn is_early(
    copy: &Row,
    call: CallId,
    asked_at: Timestamp,
    answered_at: Timestamp,
    scope: &Scope,
) -> bool {
    let after = copy.payment().call(call).and_then(|call| call.absent_after);
    !scope.has(Fault::DatedByAnswer)
        && after.is_some_and(|after| asked_at <= after && answered_at > after)
}

/// A provider's word. A decline is one that the list's policy retries elsewhere: the dangerous kind.
fn said(call: CallId, approved: bool) -> Outcome {
    let amount = (!matches!(call, CallId::Void(_))).then(amount);
    if approved {
        Outcome::Approved { amount, answer: Answer::default() }
    } else {
        Outcome::Declined {
            by: DeclinedBy::ProviderOther,
            code: DeclineCode::DoNotHonor,
            answer: Answer::default(),
        }
    }
}

/// All that a decision depends on. The same case has the same end, so each is decided once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Case {
    copy: Row,
    pid: Pid,
    heard: Heard,
    now: i64,
    clock: Timestamp,
}

impl Case {
    /// Decides with the production code. `None`: the payment does not take it, and nothing follows.
    pub(crate) fn decide(&self, scope: &Scope) -> Option<Draft> {
        let Self { copy, pid, heard, now, clock } = self;
        let facts = Facts {
            now: *clock,
            owner: owner(*pid),
            send_window_ms: scope.send_window * TICK_MS,
            live: *pid == OWNER,
            evidence: None,
        };
        let step = match step(copy.payment(), heard.input(copy, *clock, scope), &facts) {
            Ok(step) => step,
            Err(Refusal::Concluded | _) => return None,
        };
        let mut next = step.next;
        next.version = copy.version() + 1;
        let (mut planned, mut to_ask) = (Vec::new(), Vec::new());
        for effect in &step.effects {
            match *effect {
                Effect::Call(CallId::Void(2..)) if scope.has(Fault::VoidedOnce) => {}
                Effect::Call(id) => planned.push(id),
                // The model's provider takes no keys.
                Effect::Replay(_) => {}
                Effect::LookUp(id) => to_ask.push(id),
            }
        }
        let timers = step.timers.iter().map(|timer| match *timer {
            Timer::Set { call, at } => (call, Some(at)),
            Timer::Clear { call } => (call, None),
        });
        Some(Draft {
            heard: *heard,
            planned,
            to_ask,
            timers: timers.collect(),
            row: Row::new(if scope.exact { next } else { normal(next) }),
            send_by: at(now + scope.send_window),
        })
    }
}
