//! The world: its states, and what can happen next in each.
//!
//! A process is suspended by not acting while time goes on; a request or an answer is lost by not arriving.
//! So neither is an action of its own.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use baton_flow::{CallId, CallState, Payment, Verdict};
use baton_types::Timestamp;
use stateright::Model;

use crate::process::{Ack, Case, Draft, Heard, OWNER, Phase, Pid, Process, owner};
use crate::provider::{Cancels, Money, Providers, Shown};
use crate::row::Row;
use crate::scope::{Fault, Kind, Mode, Scope, TICK_MS, at};

/// A world of a given size.
pub struct World {
    /// Its size.
    pub scope: Scope,
    payment: Row,
    decided: Mutex<HashMap<Case, Option<Arc<Draft>>>>,
}

/// How the world stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub(crate) now: i64,
    /// What is durable.
    pub(crate) row: Option<Row>,
    pub(crate) timers: BTreeMap<CallId, Timestamp>,
    pub(crate) processes: Vec<Process>,
    pub(crate) providers: Providers,
    pub(crate) crashes: u8,
    pub(crate) lost_acks: u8,
    pub(crate) seen: Seen,
}

/// What was seen on the way. Nobody in the world knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Seen {
    /// The client was, or could have been, told that the payment failed.
    pub(crate) told_failed: bool,
    /// A request's first byte left when its plan's `send_by` had passed.
    pub(crate) sent_late: bool,
    /// It left from a process that had not planned it.
    pub(crate) sent_by_another: bool,
    /// It left before its plan was durable.
    pub(crate) sent_undurable: bool,
    /// A plan was taken over from an owner that had not answered.
    pub(crate) taken_over: bool,
}

/// What happens next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A tick passes.
    Tick,
    /// A process decides what follows from what it heard.
    Decide(u8),
    /// A process commits; the acknowledgement comes.
    Commit(u8),
    /// A process commits, or not; the acknowledgement is lost.
    LoseAck(u8, bool),
    /// A process finds out what became of its commit.
    Settle(u8),
    /// A process looks at its clock and writes the first byte, or finds that it is too late.
    Send(u8),
    /// A process looks at its clock before writing. Only where that is broken on purpose.
    Check(u8),
    /// A provider executes a request, with or without success.
    Execute(CallId, bool),
    /// A process gets its answer.
    Answer(u8),
    /// A process gives up waiting, or the connection is lost.
    NoAnswer(u8),
    /// A process looks a call up, and is shown this.
    LookUp(u8, CallId, Shown),
    /// A resolver takes up a call whose timer is due or whose owner may be gone.
    Due(u8, CallId),
    /// The owner sees that somebody else has concluded its attempt.
    Notice(CallId),
    /// A process dies.
    Crash(u8),
}

impl World {
    /// A world of this size.
    #[must_use]
    pub fn new(scope: Scope) -> Self {
        let id = baton_types::PaymentId::from_parts(1_795_176_000_000, [7; 10]);
        let merchant = baton_types::MerchantId::from_bytes([9; 16]);
        let payment = Payment::new(id, merchant, scope.order(), at(0));
        Self { scope, payment: Row::new(payment), decided: Mutex::default() }
    }

    /// The world before anything happened.
    fn empty(&self, offset: i64) -> State {
        let mut processes: Vec<Process> = (0..=self.scope.resolvers)
            .map(|pid| Process::new(if pid == OWNER { 0 } else { offset }))
            .collect();
        if let Some(owner) = processes.first_mut() {
            owner.copy = Some(self.payment.clone());
        }
        State {
            now: 0,
            row: None,
            timers: BTreeMap::new(),
            processes,
            providers: Providers::default(),
            crashes: self.scope.crashes,
            lost_acks: self.scope.lost_acks,
            seen: Seen::default(),
        }
    }

    fn is_calm(&self, state: &State) -> bool {
        state.now >= self.scope.calm_from
    }

    /// Whether time may go on. In calm it waits until everybody has done what there is to do.
    fn may_tick(&self, state: &State) -> bool {
        if state.now >= self.scope.horizon {
            return false;
        }
        let busy = || state.processes.iter().any(|p| !p.is_resting());
        let due = || {
            let by_clock =
                |p: &Process| state.timers.values().any(|due| *due <= p.clock(state.now));
            state.processes.iter().skip(1).any(by_clock)
        };
        // Before calm a request is lost by not being executed; in calm each that was sent then arrives.
        let flies = || state.providers.flying().any(|(_, leg)| leg.sent >= self.scope.calm_from);
        !self.is_calm(state) || !(busy() || due() || flies())
    }

    fn actions_of(&self, state: &State, pid: Pid, process: &Process, actions: &mut Vec<Action>) {
        match &process.phase {
            Phase::Ended => return,
            Phase::Decide(_) => actions.push(Action::Decide(pid)),
            Phase::Commit(_, Ack::Lost { .. }) => actions.push(Action::Settle(pid)),
            Phase::Commit(_, Ack::Awaited) => {
                actions.push(Action::Commit(pid));
                if state.lost_acks > 0 && !self.is_calm(state) {
                    actions.push(Action::LoseAck(pid, true));
                    actions.push(Action::LoseAck(pid, false));
                }
            }
            Phase::Write(_) => actions.push(Action::Send(pid)),
            Phase::Wait(call) => {
                let leg = state.providers.legs.get(call);
                if leg.is_some_and(|leg| leg.done.is_some()) {
                    actions.push(Action::Answer(pid));
                }
                // In calm an answer that comes is heard.
                if !self.is_calm(state) || leg.is_none_or(|leg| leg.lost) {
                    actions.push(Action::NoAnswer(pid));
                }
            }
            Phase::Idle if !process.outbox.is_empty() => {
                actions.push(if self.scope.has(Fault::SuspendedAfterCheck) {
                    Action::Check(pid)
                } else {
                    Action::Send(pid)
                });
            }
            Phase::Idle => match process.to_ask.first() {
                Some(call) => self.asked(state, pid, process, *call, actions),
                None => self.idle(state, pid, process, actions),
            },
        }
        // A resolver that rests has nothing to lose; the owner has the card.
        let has_memory = pid == OWNER || !process.is_resting();
        if state.crashes > 0 && !self.is_calm(state) && has_memory {
            actions.push(Action::Crash(pid));
        }
    }

    /// A look-up that is to be made. One that shows nothing that counts changes nothing.
    fn asked(
        &self,
        state: &State,
        pid: Pid,
        process: &Process,
        call: CallId,
        actions: &mut Vec<Action>,
    ) {
        let Some(row) = &state.row else { return };
        let shown = self.shows(state, row, call, process.clock(state.now));
        if shown.is_empty() || !self.is_calm(state) {
            actions.push(Action::NoAnswer(pid));
        }
        actions.extend(shown.into_iter().map(|shown| Action::LookUp(pid, call, shown)));
    }

    /// What a process may do that has nothing at hand.
    fn idle(&self, state: &State, pid: Pid, process: &Process, actions: &mut Vec<Action>) {
        let Some(row) = &state.row else { return };
        let clock = process.clock(state.now);
        for (id, call) in row.payment().calls() {
            if pid == OWNER && call.owner != owner(OWNER) {
                continue;
            }
            match call.state {
                // Somebody reads the payment, or the owner waits.
                CallState::Open { .. } if !self.is_calm(state) => {
                    for shown in self.shows(state, row, id, clock) {
                        actions.push(Action::LookUp(pid, id, shown));
                    }
                }
                // Production waits for the owner's grace or for a restart; here an attempt may be taken over at
                // any time.
                CallState::Planned
                    if pid != OWNER && !self.is_calm(state) && matches!(id, CallId::Attempt(_)) =>
                {
                    actions.push(Action::Due(pid, id));
                    continue;
                }
                CallState::Planned
                | CallState::Open { .. }
                | CallState::Final { .. }
                | CallState::Closed { .. } => {}
            }
            if pid != OWNER && state.timers.get(&id).is_some_and(|due| *due <= clock) {
                actions.push(Action::Due(pid, id));
            }
            let known = process.copy.as_ref().and_then(|copy| copy.payment().call(id));
            if pid == OWNER
                && call.is_concluded()
                && known.is_some_and(|known| !known.is_concluded())
            {
                actions.push(Action::Notice(id));
            }
        }
    }

    /// What a look-up may show that makes a difference.
    fn shows(&self, state: &State, row: &Row, id: CallId, clock: Timestamp) -> Vec<Shown> {
        let payment = row.payment();
        let attempt = payment.attempt_of(id).unwrap_or_default();
        let call = payment.call(id);
        let counts = call.and_then(|call| call.absent_after).is_some_and(|after| clock > after)
            || self.is_calm(state)
            // Under `hold_safe` it is enough that the provider was asked.
            || payment.holds() && call.is_some_and(|call| call.checks.is_empty())
            // Where it can be cancelled then, also.
            || self.scope.fence && payment.voids.is_empty() && matches!(id, CallId::Attempt(_));
        let by_answer = self.scope.has(Fault::DatedByAnswer);
        let shown = state.providers.shows(id, attempt);
        if !self.scope.askable {
            // It tells by itself, or never; and that it cannot be asked is seen once.
            let is_first = call.is_some_and(|call| call.checks.is_empty());
            let told = shown.into_iter().filter(|s| *s != Shown::Nothing && !self.is_calm(state));
            return told.chain(is_first.then_some(Shown::Unsaid)).collect();
        }
        shown.into_iter().filter(|s| *s != Shown::Nothing || counts || by_answer).collect()
    }

    fn commit(&self, state: &mut State, pid: Pid, draft: &Draft) {
        let current = state.row.as_ref().map_or(0, Row::version);
        if draft.row.version() != current + 1 && !self.scope.has(Fault::NoVersionGuard) {
            return self.reload(state, pid, draft.heard);
        }
        self.store(state, draft);
        if let Some(process) = state.processes.get_mut(usize::from(pid)) {
            process.committed(draft, state.now, &self.scope);
        }
    }

    /// Somebody else was first: read, and decide again.
    fn reload(&self, state: &mut State, pid: Pid, heard: Heard) {
        let row = state.row.clone();
        if let Some(process) = state.processes.get_mut(usize::from(pid)) {
            process.copy = row;
        }
        self.hear(state, pid, heard);
    }

    /// A process decides what follows from what it heard. To hear and to decide later would be to hear
    /// later, so it is one step.
    fn hear(&self, state: &mut State, pid: Pid, heard: Heard) {
        let now = state.now;
        let Some(process) = state.processes.get_mut(usize::from(pid)) else { return };
        let mut decided = self.decided.lock().unwrap_or_else(PoisonError::into_inner);
        let draft = process.case(pid, heard, now).and_then(|case| {
            let decide = |case: &Case| case.decide(&self.scope).map(Arc::new);
            decided.entry(case.clone()).or_insert_with(|| decide(&case)).clone()
        });
        process.phase = draft.map_or(Phase::Idle, |draft| Phase::Commit(draft, Ack::Awaited));
    }

    fn store(&self, state: &mut State, draft: &Draft) {
        state.seen.taken_over |= matches!(draft.heard, Heard::Due(CallId::Attempt(_)));
        for (call, at) in &draft.timers {
            match at {
                Some(at) => state.timers.insert(*call, *at),
                None => state.timers.remove(call),
            };
        }
        state.row = Some(if self.scope.has(Fault::ObligationNotDurable) {
            draft.row.without_obligations()
        } else {
            draft.row.clone()
        });
        state.seen.told_failed |= matches!(draft.row.payment().verdict(), Verdict::Failed(_));
    }

    fn settle(&self, state: &mut State, pid: Pid, draft: &Draft, is_done: bool) {
        let current = state.row.as_ref().map_or(0, Row::version);
        if is_done || self.scope.has(Fault::LostAckIsSuccess) {
            if let Some(process) = state.processes.get_mut(usize::from(pid)) {
                process.committed(draft, state.now, &self.scope);
            }
        } else if draft.row.version() == current + 1 {
            self.commit(state, pid, draft);
        } else {
            self.reload(state, pid, draft.heard);
        }
    }

    /// The first byte leaves, unless it is too late.
    fn send(&self, state: &mut State, pid: Pid, is_checked: bool) -> Option<()> {
        let process = state.processes.get_mut(usize::from(pid))?;
        let (call, send_by) = *process.outbox.first()?;
        process.outbox.remove(0);
        if at(state.now) >= send_by && !is_checked && !self.scope.has(Fault::SendByUnchecked) {
            self.hear(state, pid, Heard::NotSent(call));
            return Some(());
        }
        process.phase = Phase::Wait(call);
        let plan = state.row.as_ref().and_then(|row| row.payment().call(call));
        state.seen.sent_undurable |= plan.is_none();
        if let Some(plan) = plan {
            state.seen.sent_late |= at(state.now) >= plan.send_by;
            state.seen.sent_by_another |= plan.owner != owner(pid);
        }
        state.providers.send(call, state.now);
        Some(())
    }

    fn execute(&self, state: &mut State, call: CallId, success: bool) {
        let now = state.now;
        if let CallId::Attempt(no) = call {
            let moved = match (self.scope.kind, self.scope.mode) {
                (Kind::Sale, Mode::ResolveFirst) => Money::Taken,
                (Kind::Hold, _) | (Kind::Sale, Mode::HoldSafe) => Money::Held,
            };
            return state.providers.attempt(no, success.then_some(moved), now);
        }
        let Some(of) = state.row.as_ref().and_then(|row| row.payment().attempt_of(call)) else {
            return;
        };
        let holds = !self.scope.has(Fault::FenceLeaks);
        let cancels = Cancels { fence: self.scope.fence, holds };
        state.providers.modify(call, of, success, cancels, now);
    }

    fn look_up(state: &mut State, pid: Pid, call: CallId, shown: Shown) -> Option<()> {
        let row = state.row.clone();
        let process = state.processes.get_mut(usize::from(pid))?;
        process.copy = row;
        let asked_at = process.clock(state.now);
        process.to_ask.retain(|asked| *asked != call);
        process.phase = Phase::Decide(Heard::LookUp { call, asked_at, shown });
        Some(())
    }

    fn due(&self, state: &mut State, pid: Pid, call: CallId) -> Option<()> {
        let row = state.row.clone();
        let process = state.processes.get_mut(usize::from(pid))?;
        process.copy = row;
        if self.scope.has(Fault::SentFromRow) && pid != OWNER {
            let plan = process.copy.as_ref()?.payment().call(call)?;
            if plan.state == CallState::Planned {
                process.outbox.push((call, plan.send_by));
                return Some(());
            }
        }
        self.hear(state, pid, Heard::Due(call));
        Some(())
    }

    fn tick(&self, state: &mut State) {
        // In calm nothing happens until a timer is due or a request may be lost.
        let flies = state.providers.flying().next().is_some();
        let due = state.timers.values().min().map_or(self.scope.horizon, |due| tick_of(*due));
        let next = if self.is_calm(state) && !flies { due } else { state.now };
        state.now = next.max(state.now + 1).min(self.scope.horizon);
        let scope = &self.scope;
        state.providers.age(state.now, scope.executes_for(), scope.unseen_for());
    }

    fn lose_ack(&self, state: &mut State, pid: Pid, is_done: bool) -> Option<()> {
        let Phase::Commit(draft, Ack::Awaited) = state.phase(pid)? else { return None };
        state.lost_acks = state.lost_acks.checked_sub(1)?;
        let current = state.row.as_ref().map_or(0, Row::version);
        let is_done = is_done && draft.row.version() == current + 1;
        if is_done {
            self.store(state, &draft);
        }
        let phase = Phase::Commit(draft, Ack::Lost { is_done });
        state.processes.get_mut(usize::from(pid))?.phase = phase;
        Some(())
    }

    /// The owner looks at its clock and writes later: only where that is broken on purpose.
    fn check(&self, state: &mut State, pid: Pid) -> Option<()> {
        let process = state.processes.get_mut(usize::from(pid))?;
        let (call, send_by) = *process.outbox.first()?;
        process.phase = Phase::Write(call);
        if at(state.now) >= send_by {
            process.outbox.remove(0);
            self.hear(state, pid, Heard::NotSent(call));
        }
        Some(())
    }

    fn answer(&self, state: &mut State, pid: Pid, is_heard: bool) -> Option<()> {
        let call = match state.phase(pid)? {
            Phase::Wait(call) => call,
            // A look-up without an answer.
            Phase::Idle => {
                state.processes.get_mut(usize::from(pid))?.to_ask.remove(0);
                return Some(());
            }
            Phase::Decide(_) | Phase::Commit(..) | Phase::Write(_) | Phase::Ended => return None,
        };
        let done = state.providers.legs.get(&call).and_then(|leg| leg.done);
        let answer = done.filter(|_| is_heard);
        let heard = answer.map_or(Heard::NoAnswer(call), |said| Heard::Answer(call, said));
        self.hear(state, pid, heard);
        Some(())
    }

    fn notice(&self, state: &mut State, call: CallId) -> Option<()> {
        let row = state.row.clone();
        state.processes.first_mut()?.copy = row;
        self.hear(state, OWNER, Heard::Due(call));
        Some(())
    }
}

/// The first tick that is not before a time.
fn tick_of(time: Timestamp) -> i64 {
    let passed_ms = time.since(at(0));
    (passed_ms + TICK_MS - 1).div_euclid(TICK_MS)
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let world = |offset: i64| {
            let mut state = self.empty(offset);
            self.hear(&mut state, OWNER, Heard::Begin);
            state
        };
        self.scope.offsets().into_iter().map(world).collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (pid, process) in (0..).zip(&state.processes) {
            self.actions_of(state, pid, process, actions);
        }
        for (call, _) in state.providers.flying() {
            actions.push(Action::Execute(call, true));
            // What a void does is decided by what is there.
            if self.scope.declines && !matches!(call, CallId::Void(_)) {
                actions.push(Action::Execute(call, false));
            }
        }
        if self.may_tick(state) {
            actions.push(Action::Tick);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Tick => self.tick(&mut state),
            Action::Decide(pid) => {
                let Phase::Decide(heard) = state.phase(pid)? else { return None };
                self.hear(&mut state, pid, heard);
            }
            Action::Commit(pid) => {
                let Phase::Commit(draft, _) = state.phase(pid)? else { return None };
                self.commit(&mut state, pid, &draft);
            }
            Action::LoseAck(pid, is_done) => self.lose_ack(&mut state, pid, is_done)?,
            Action::Settle(pid) => {
                let Phase::Commit(draft, Ack::Lost { is_done }) = state.phase(pid)? else {
                    return None;
                };
                self.settle(&mut state, pid, &draft, is_done);
            }
            Action::Send(pid) => {
                let is_checked = matches!(state.phase(pid)?, Phase::Write(_));
                self.send(&mut state, pid, is_checked)?;
            }
            Action::Check(pid) => self.check(&mut state, pid)?,
            Action::Execute(call, success) => self.execute(&mut state, call, success),
            Action::Answer(pid) => self.answer(&mut state, pid, true)?,
            Action::NoAnswer(pid) => self.answer(&mut state, pid, false)?,
            Action::LookUp(pid, call, shown) => Self::look_up(&mut state, pid, call, shown)?,
            Action::Due(pid, call) => self.due(&mut state, pid, call)?,
            Action::Notice(call) => self.notice(&mut state, call)?,
            Action::Crash(pid) => {
                state.crashes = state.crashes.checked_sub(1)?;
                state.processes.get_mut(usize::from(pid))?.die(pid);
            }
        }
        state.tidy(&self.scope);
        Some(state)
    }

    fn properties(&self) -> Vec<stateright::Property<Self>> {
        crate::checks::properties(&self.scope)
    }
}

impl State {
    fn phase(&self, pid: Pid) -> Option<Phase> {
        self.processes.get(usize::from(pid)).map(|process| process.phase.clone())
    }

    /// Forgets what cannot be used any more, so that equal futures are equal states.
    fn tidy(&mut self, scope: &Scope) {
        let now = self.now;
        for (pid, process) in (0_u8..).zip(&mut self.processes) {
            if process.phase != Phase::Idle || !process.is_resting() {
                continue;
            }
            if pid != OWNER {
                process.copy = None;
            } else if now >= scope.failover_until || !process.has_open_calls() {
                process.die(OWNER);
            }
        }
    }
}
