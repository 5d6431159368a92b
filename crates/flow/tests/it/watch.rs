//! What has to be true after every step of every payment, whatever came in.

use std::collections::{BTreeMap, BTreeSet};

use baton_flow::failover::{Next, next};
use baton_flow::{
    Call, CallId, CallState, Closure, DoubtMode, Effect, Event, Facts, Input, OrderKind, Payment,
    Refusal, Standing, Step, Timer, Verdict, VoidReason, amounts, snapshot, step,
};
use baton_types::outcome::Outcome;
use baton_types::{DeclinedBy, Timestamp};

/// A payment on its way, its timers, and what it has been through.
pub(crate) struct Watch {
    pub(crate) payment: Payment,
    pub(crate) timers: BTreeMap<CallId, Timestamp>,
    pub(crate) reached: BTreeSet<&'static str>,
}

impl Watch {
    pub(crate) fn new(payment: Payment) -> Self {
        Self { payment, timers: BTreeMap::new(), reached: BTreeSet::new() }
    }

    /// Takes a step if the payment allows it, and checks all that a step promises.
    pub(crate) fn feed(&mut self, input: Input, facts: &Facts) -> Result<Step, Refusal> {
        let before = self.payment.clone();
        let result = step(&before, input.clone(), facts);
        assert_eq!(result, step(&before, input.clone(), facts), "the same gives the same");
        let step = match result {
            Ok(step) => step,
            Err(refusal) => {
                is_justified(&before, &input, &refusal);
                return Err(refusal);
            }
        };
        self.payment = step.next.clone();
        self.replay_timers(&step);
        self.sees_one_attempt();
        self.sees_the_sums();
        self.sees_the_verdict(&before);
        sees_history_kept(&before, &step);
        sees_plans(&before, &step, facts);
        sees_records(&step, facts);
        self.note();
        Ok(step)
    }

    /// Every open call has one timer and no concluded one has any, but for a void that is to be tried again and
    /// for a candidate that may still be tried.
    fn replay_timers(&mut self, step: &Step) {
        for timer in &step.timers {
            match *timer {
                Timer::Set { call, at } => self.timers.insert(call, at),
                Timer::Clear { call } => self.timers.remove(&call),
            };
        }
        let payment = &self.payment;
        let open = payment.calls().filter(|(_, call)| !call.is_concluded()).map(|(id, _)| id);
        let mut expected: BTreeSet<CallId> = open.collect();
        for no in 1..=u16::try_from(payment.attempts.len()).unwrap() {
            let Some(Standing::Approved(amount)) = payment.standing(no) else { continue };
            let waits = if payment.holds() {
                self.waits_as_hold(no)
            } else {
                amount != payment.order.kind.amount() && no_void_is_open(payment, no)
            };
            if waits {
                expected.insert(CallId::Attempt(no));
            }
        }
        // Its request's own task may try the next candidate: the timer says when that is over.
        if let Next::Try(_) = next(payment, payment.updated_at) {
            expected.extend(last_attempt(payment));
        }
        // That timer may outlive its reason: it is cleared when it comes due.
        let until = payment.order.failover_until;
        let is_left = |(call, at): &(&CallId, &Timestamp)| {
            let is_over = **at == until && payment.call(**call).unwrap().is_concluded();
            is_over || may_be_voided_again(payment, **call)
        };
        let left: BTreeSet<CallId> =
            self.timers.iter().filter(is_left).map(|(call, _)| *call).collect();
        let timers = self.timers.keys().copied();
        let timers: BTreeSet<CallId> =
            timers.filter(|id| expected.contains(id) || !left.contains(id)).collect();
        assert_eq!(timers, expected, "{} {:?}", said(payment), step.timers);
    }

    /// Whether an approved hold has to have a timer: it may still win, is to be voided or to be captured,
    /// and none of that is on its way.
    fn waits_as_hold(&self, no: u16) -> bool {
        let payment = &self.payment;
        if !no_void_is_open(payment, no) {
            return false;
        }
        let is_sale = matches!(payment.order.kind, OrderKind::Charge(_));
        match payment.winner() {
            Some(winner) if winner == no => {
                let mut captures = payment.captures.iter().map(|capture| &capture.call);
                let is_done =
                    captures.clone().any(|call| !call.is_concluded() || is_approved(call));
                is_sale && captures.next().is_some() && !is_done
            }
            Some(_) => true,
            None => {
                lost(payment, no)
                    || payment.obligation(no).is_some()
                    || payment.standing(no) != Some(Standing::Approved(payment.order.kind.amount()))
            }
        }
    }

    /// Of several holds each but the last was promised to be voided, at most two are there, and at most one
    /// is captured: not before the others cannot be any more.
    fn sees_the_holds(&self, taking: &[usize]) {
        let payment = &self.payment;
        assert!(taking.len() <= 2, "holds {taking:?}");
        for at in taking.iter().filter(|at| **at + 1 < payment.attempts.len()) {
            let no = u16::try_from(*at + 1).unwrap();
            let promised = payment.obligation(no);
            assert!(promised.is_some() || payment.winner() == Some(no), "a{no} is not promised");
        }
        let captured: BTreeSet<_> = payment
            .calls()
            .filter(|(id, _)| matches!(id, CallId::Capture(_)))
            .map(|(id, _)| payment.attempt_of(id).unwrap())
            .collect();
        assert!(captured.len() <= 1);
        let Some(no) = captured.first() else { return };
        assert_eq!(payment.winner(), Some(*no));
        for at in taking.iter().filter(|at| **at + 1 != usize::from(*no)) {
            let other = u16::try_from(*at + 1).unwrap();
            let unasked = payment.voids.iter().any(|void| void.attempt == other);
            assert!(
                unasked,
                "a{other} holds beside a{no}, which is captured, and no void was planned"
            );
        }
        if let (Verdict::Approved(_), OrderKind::Charge(_)) =
            (payment.verdict(), payment.order.kind)
            && payment.voids.iter().all(|void| void.attempt != *no)
        {
            let is_captured = payment.captures.iter().any(|capture| is_approved(&capture.call));
            assert!(is_captured, "success is told before the capture is confirmed");
        }
    }

    /// At most one attempt has taken money or still can.
    fn sees_one_attempt(&self) {
        let payment = &self.payment;
        let takes_money = |(at, _): &(usize, &Call)| {
            let no = u16::try_from(at + 1).unwrap();
            match payment.standing(no).unwrap() {
                Standing::Running | Standing::Open(_) | Standing::Approved(_) => true,
                Standing::Failed(_) | Standing::Closed(_) => false,
            }
        };
        let taking: Vec<usize> =
            payment.attempts.iter().enumerate().filter(takes_money).map(|(at, _)| at).collect();
        assert!(payment.attempts.len() <= payment.order.candidates.len());
        if payment.holds() {
            self.sees_the_holds(&taking);
            return;
        }
        assert!(taking.len() <= 1, "attempts {taking:?} can all take money");
        assert!(
            taking.iter().all(|at| at + 1 == payment.attempts.len()),
            "an earlier one: {taking:?}"
        );
    }

    fn sees_the_sums(&self) {
        let payment = &self.payment;
        let Some(sums) = amounts::of(payment) else {
            let amount = payment.approved().and_then(|(_, amount)| amount);
            assert_eq!(amount, None, "an approved amount has sums");
            return;
        };
        let asked = payment.order.kind.amount().unwrap();
        let raised = payment.increments.iter().map(|raise| raise.amount.minor()).max();
        let most = raised.unwrap_or(0).max(asked.minor());
        for money in [
            sums.authorized,
            sums.captured,
            sums.captures_in_doubt,
            sums.refunded,
            sums.refunds_in_doubt,
            sums.capturable(),
            sums.refundable(),
        ] {
            assert_eq!(money.currency(), asked.currency());
            assert!(money.minor() >= 0, "{sums:?}");
        }
        let captured = sums.captured.checked_add(sums.captures_in_doubt).unwrap();
        let refunded = sums.refunded.checked_add(sums.refunds_in_doubt).unwrap();
        assert!(captured.minor() <= sums.authorized.minor(), "{sums:?}");
        assert!(sums.authorized.minor() <= most, "{sums:?}");
        assert!(refunded.minor() <= sums.captured.minor(), "{sums:?}");
    }

    /// What a client was told is not taken back: approved stays approved, and failed stays failed.
    fn sees_the_verdict(&self, before: &Payment) {
        let payment = &self.payment;
        let stands = |no: u16| payment.standing(no).unwrap();
        match payment.verdict() {
            Verdict::Running => {}
            Verdict::InDoubt(no) => {
                assert!(matches!(stands(no), Standing::Open(_) | Standing::Approved(_)));
            }
            Verdict::Approved(no) => {
                let voided = Standing::Closed(Closure::Voided);
                assert!(matches!(stands(no), Standing::Approved(_)) || stands(no) == voided);
            }
            Verdict::Failed(_) => {
                for no in 1..=u16::try_from(payment.attempts.len()).unwrap() {
                    assert!(matches!(stands(no), Standing::Failed(_) | Standing::Closed(_)));
                }
            }
        }
        match before.verdict() {
            Verdict::Approved(no) => assert_eq!(payment.verdict(), Verdict::Approved(no)),
            Verdict::Failed(_) if !before.attempts.is_empty() => {
                assert!(matches!(payment.verdict(), Verdict::Failed(_)));
            }
            Verdict::Failed(_) | Verdict::Running | Verdict::InDoubt(_) => {}
        }
    }

    fn note(&mut self) {
        let payment = &self.payment;
        let mut reach = |what, is_so: bool| {
            if is_so {
                self.reached.insert(what);
            }
        };
        reach("a third attempt", payment.attempts.len() == 3);
        reach("a second void of one attempt", payment.voids.len() > 1);
        reach("captured in parts", payment.status() == "partially_captured");
        reach("refunded in parts", payment.status() == "partially_refunded");
        reach("refunded", payment.status() == "refunded");
        reach("voided", payment.status() == "voided");
        reach("tokenized", payment.status() == "tokenized");
        reach("a hold lost", payment.voids.iter().any(|v| v.why == VoidReason::LosingHold));
        reach("two holds", payment.attempts.iter().filter(|a| !a.is_concluded()).count() == 2);
        let first_won = payment.winner() == Some(1) && payment.attempts.len() > 1;
        reach("the first hold won after all", first_won);
        reach(
            "a hold given back",
            payment.voids.iter().any(|v| v.why == VoidReason::CaptureFailed),
        );
        let won_late = payment.winner().is_some_and(|no| no > 1) && !payment.obligations.is_empty();
        reach("a later hold won", won_late);
        reach("in doubt at the second", payment.verdict() == Verdict::InDoubt(2));
        let closed = |how| {
            let is_so = move |call: &Call| matches!(call.state, CallState::Closed { how: is, .. } if is == how);
            payment.attempts.iter().position(is_so)
        };
        reach("voided by look-up", closed(Closure::Voided).is_some());
        let absent = closed(Closure::Absent);
        reach(
            "a second attempt behind an absent one",
            absent == Some(0) && payment.attempts.len() > 1,
        );
        let is_sale = matches!(payment.order.kind, OrderKind::Charge(_));
        reach("an absent sale", absent.is_some() && is_sale);
        let is_raced = |no| matches!(payment.standing(no), Some(Standing::Approved(Some(_))));
        reach(
            "approved while its void is on its way",
            payment.verdict() == Verdict::InDoubt(1) && is_raced(1),
        );
    }
}

/// A payment in short, for the one who reads why a test failed.
fn said(payment: &Payment) -> String {
    let calls = payment.calls().map(|(id, call)| match &call.state {
        CallState::Planned => format!("{id} planned"),
        CallState::Open { outcome } => format!("{id} open {}", outcome.class()),
        CallState::Final { outcome, .. } => format!("{id} {}", outcome.class()),
        CallState::Closed { how, .. } => format!("{id} {how:?}"),
    });
    let voids = payment.voids.iter().map(|void| format!("{:?} of a{}", void.why, void.attempt));
    let text: Vec<String> = calls.chain(voids).collect();
    format!("{:?} {}: {}", payment.order.kind, text.join(", "), payment.status())
}

fn is_approved(call: &Call) -> bool {
    matches!(call.state, CallState::Final { outcome: Outcome::Approved { .. }, .. })
}

fn no_void_is_open(payment: &Payment, no: u16) -> bool {
    payment.voids.iter().filter(|void| void.attempt == no).all(|void| void.call.is_concluded())
}

/// A void in doubt at a provider that cannot be asked is followed by another: the attempt's timer says when. It may
/// outlive that.
fn may_be_voided_again(payment: &Payment, id: CallId) -> bool {
    let CallId::Attempt(no) = id else { return false };
    let cannot_be_asked = payment.candidate(no).unwrap().quiet_ms.is_none();
    let is_voided = payment.voids.iter().any(|void| void.attempt == no);
    cannot_be_asked && is_voided && is_approved(payment.call(id).unwrap())
}

fn lost(payment: &Payment, no: u16) -> bool {
    let mut voids = payment.voids.iter();
    voids.any(|void| void.attempt == no && void.why == VoidReason::LosingHold)
}

/// A refusal names what is so.
fn is_justified(payment: &Payment, input: &Input, refusal: &Refusal) {
    match (refusal, input) {
        (Refusal::AlreadyBegun, _) => assert_eq!(*input, Input::Begin),
        (
            Refusal::NoSuchCall,
            Input::Outcome { call, .. } | Input::Finding { call, .. } | Input::Due { call },
        ) => {
            assert_eq!(payment.call(*call), None);
        }
        (Refusal::Concluded, Input::Outcome { call, .. } | Input::Finding { call, .. }) => {
            assert!(payment.call(*call).unwrap().is_concluded());
        }
        (
            Refusal::InDoubt(call),
            Input::Capture { .. } | Input::Increment { .. } | Input::Void | Input::Refund { .. },
        ) => {
            let is_undecided = matches!(payment.verdict(), Verdict::InDoubt(_)) && payment.holds();
            let is_open = !payment.call(*call).unwrap().is_concluded() || is_undecided;
            let may_go_on = payment.verdict() == Verdict::Running;
            let is_owed = payment.owed_voids(payment.updated_at).next().is_some();
            assert!(is_open || is_owed || payment.has_open_calls() || may_go_on, "{call}");
        }
        (
            _,
            Input::Capture { .. } | Input::Increment { .. } | Input::Void | Input::Refund { .. },
        ) => {}
        (_, input) => panic!("{input:?} is refused as {refusal:?}"),
    }
}

/// Nothing that is concluded changes, and nothing disappears.
fn sees_history_kept(before: &Payment, step: &Step) {
    let after = &step.next;
    for (id, call) in before.calls() {
        let now = after.call(id).unwrap();
        if call.is_concluded() {
            assert_eq!(now, call, "{id} was concluded");
        }
        let same = |call: &Call| {
            (
                call.reference.clone(),
                call.key.clone(),
                call.planned_at,
                call.send_by,
                call.replay_until,
            )
        };
        assert_eq!(same(now), same(call), "{id}");
        let grew = now.replays > call.replays;
        assert!(
            now.absent_after == call.absent_after || (grew && now.absent_after > call.absent_after)
        );
        let was = before.attempt_of(id);
        assert_eq!(after.attempt_of(id), was);
    }
    for no in 1..=u16::try_from(before.attempts.len()).unwrap() {
        let (was, is) = (before.standing(no).unwrap(), after.standing(no).unwrap());
        match was {
            Standing::Running | Standing::Open(_) => {}
            Standing::Approved(_) => assert!(is == was || is == Standing::Closed(Closure::Voided)),
            Standing::Failed(_) | Standing::Closed(_) => assert_eq!(is, was),
        }
    }
    let unchanged = |p: &Payment| (p.id, p.merchant, p.version, p.created_at, p.order.clone());
    assert_eq!(unchanged(after), unchanged(before));
    let references: BTreeSet<&str> =
        after.calls().map(|(_, call)| call.reference.as_str()).collect();
    let keys: BTreeSet<&str> = after.calls().map(|(_, call)| call.key.as_str()).collect();
    assert_eq!((references.len(), keys.len()), (after.calls().count(), after.calls().count()));
    let is_fit = |text: &&str| {
        text.len() <= 33 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    assert!(references.iter().all(is_fit));
}

/// Only what this step planned is sent, attempts only by the live task and only where the rule, said here
/// in other words, allows them.
fn sees_plans(before: &Payment, step: &Step, facts: &Facts) {
    let after = &step.next;
    let is_new = |id: &CallId| before.call(*id).is_none();
    let mut planned: Vec<CallId> = after.calls().map(|(id, _)| id).filter(is_new).collect();
    planned.sort_unstable();
    let told = step.events.iter().filter_map(|event| {
        let Event::Planned { call, .. } = event else { return None };
        Some(*call)
    });
    let mut told: Vec<CallId> = told.collect();
    told.sort_unstable();
    assert_eq!(told, planned);
    let sent = step.effects.iter().filter_map(|effect| match effect {
        Effect::Call(call) => Some(*call),
        Effect::Replay(call) => {
            is_repeatable(before, after, *call, facts);
            None
        }
        Effect::LookUp(call) => {
            let is_open = matches!(after.call(*call).unwrap().state, CallState::Open { .. });
            assert!(is_open, "{call} is looked up");
            None
        }
    });
    let passed_over = |id: &CallId| {
        let is_final = matches!(after.call(*id).unwrap().state, CallState::Final { .. });
        is_final && after.holds()
    };
    let mut sent: Vec<CallId> = sent.collect();
    sent.sort_unstable();
    let mut sendable: Vec<CallId> = planned.iter().copied().filter(|id| !passed_over(id)).collect();
    sendable.sort_unstable();
    assert_eq!(sent, sendable);
    for id in &planned {
        let call = after.call(*id).unwrap();
        assert_eq!((&call.owner, call.planned_at), (&facts.owner, facts.now));
        assert!(call.state == CallState::Planned || passed_over(id));
        let CallId::Attempt(no) = *id else { continue };
        let at = after.candidate(no).unwrap();
        assert_eq!(after.holds() && at.cancel.is_none(), passed_over(id), "{id}");
        assert!(facts.live && facts.now < after.order.failover_until);
        for earlier in 1..no {
            assert!(lets_another_try(after, earlier), "{id} after a{earlier}: {}", said(after));
        }
    }
    if !after.holds() {
        assert!(planned.len() <= 1);
    }
    if facts.live {
        assert!(
            !matches!(next(after, after.updated_at), Next::Try(_)) || !has_followed_up(step),
            "nobody was tried"
        );
    }
}

/// What is sent again was sent before, its provider has said nothing of it and knows its key for long
/// enough, and no look-up counts before this one could take effect. A purchase only by its own task.
fn is_repeatable(before: &Payment, after: &Payment, id: CallId, facts: &Facts) {
    let call = after.call(id).unwrap();
    assert!(before.call(id).is_some(), "{id} was never sent");
    assert!(matches!(call.state, CallState::Open { outcome: Outcome::Unknown { .. } }), "{id}");
    let latest = facts.now.plus_millis(facts.send_window_ms);
    assert!(
        call.replay_until.is_some_and(|until| latest < until),
        "{id} under a key that is forgotten"
    );
    assert!(call.absent_after.is_none_or(|after| after > latest));
    assert!(call.replays <= 3);
    let CallId::Attempt(no) = id else { return };
    assert!(
        facts.live && facts.now < after.order.failover_until,
        "{id} by somebody else, or too late"
    );
    assert_eq!(usize::from(no), after.attempts.len(), "another one was asked since");
    assert!(!call.checks.is_empty() && after.voids.is_empty());
}

/// Captures, voids and refunds of a merchant start nothing by themselves.
fn has_followed_up(step: &Step) -> bool {
    !matches!(&step.events[..], [Event::Planned { .. }])
}

fn lets_another_try(payment: &Payment, no: u16) -> bool {
    let call = payment.call(CallId::Attempt(no)).unwrap();
    let order = &payment.order;
    let was_in_doubt = call.open_since.is_some();
    let because = |why: VoidReason| {
        let voids = payment.voids.iter();
        voids.filter(|void| void.attempt == no && void.why == why).count()
    };
    let voids = payment.voids.iter().filter(|void| void.attempt == no).count();
    let (losing, in_doubt) = (because(VoidReason::LosingHold), because(VoidReason::InDoubt));
    let moves_money = order.kind != OrderKind::Tokenize;
    let is_sale = matches!(order.kind, OrderKind::Charge(_));
    let stops = order.doubt == DoubtMode::Stop;
    match &call.state {
        CallState::Open { outcome: Outcome::Unknown { .. } }
            if order.doubt == DoubtMode::HoldSafe =>
        {
            let cancels = payment.candidate(no).unwrap().cancel.is_some();
            let promised = payment.obligations.iter().any(|promised| promised.attempt == no);
            moves_money && cancels && promised && !call.checks.is_empty()
        }
        CallState::Planned | CallState::Open { .. } => false,
        CallState::Final { outcome, .. } => match outcome {
            Outcome::NotSent { .. } | Outcome::Refused { .. } => !(stops && was_in_doubt),
            Outcome::Declined { by, .. } => {
                let rule = order.retry_declines;
                let is_retried = match by {
                    DeclinedBy::Issuer => rule.issuer,
                    DeclinedBy::ProviderRisk => rule.provider_risk,
                    DeclinedBy::ProviderOther => rule.provider_other,
                };
                is_retried && !(stops && was_in_doubt)
            }
            Outcome::Approved { .. } => {
                let is_closed = payment.standing(no) == Some(Standing::Closed(Closure::Voided));
                let ours = losing + in_doubt;
                is_closed && ours > 0 && voids == ours && !(stops && was_in_doubt)
            }
            Outcome::Pending { .. } | Outcome::ActionRequired { .. } | Outcome::Unknown { .. } => {
                !moves_money
            }
        },
        CallState::Closed { how, .. } => {
            let voids = voids - in_doubt - if payment.holds() { losing } else { 0 };
            let is_sale = is_sale && !payment.holds();
            voids == 0 && !stops && (*how != Closure::Absent || !is_sale)
        }
    }
}

fn last_attempt(payment: &Payment) -> Option<CallId> {
    let last = u16::try_from(payment.attempts.len()).unwrap();
    (last > 0).then_some(CallId::Attempt(last))
}

/// What is stored reads back, and says no more than it has to.
fn sees_records(step: &Step, facts: &Facts) {
    let after = &step.next;
    let text = snapshot::encode(after).unwrap();
    assert_eq!(snapshot::decode(snapshot::SCHEMA, &text).as_ref(), Ok(after));
    for event in &step.events {
        let text = serde_json::to_string(event).unwrap();
        assert_eq!(&serde_json::from_str::<Event>(&text).unwrap(), event, "{text}");
    }
    assert!(after.updated_at >= facts.now);
    for (id, call) in after.calls() {
        assert!(call.template.is_none() || !call.is_concluded(), "{id} keeps its request");
        assert!(call.checks.len() <= 40);
        if let CallState::Open { outcome } = &call.state {
            assert!(outcome.is_open() && call.open_since.is_some(), "{id}");
        }
    }
}
