//! What has to be true after every step of every payment, whatever came in.

use std::collections::{BTreeMap, BTreeSet};

use baton_flow::failover::{Next, next};
use baton_flow::{
    Call, CallId, CallState, Closure, DoubtMode, Effect, Event, Facts, Input, OrderKind, Payment,
    Refusal, Standing, Step, Timer, Verdict, amounts, snapshot, step,
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
        if let Some((attempt, _)) = payment.owed_void() {
            let mut voids = payment.voids.iter().filter(|void| void.attempt == attempt);
            if voids.all(|void| void.call.is_concluded()) {
                expected.insert(CallId::Attempt(attempt));
            }
        }
        // Its request's own task may try the next candidate: the timer says when that is over.
        if let Next::Try(_) = next(payment, payment.updated_at) {
            expected.extend(last_attempt(payment));
        }
        // That timer may outlive its reason: it is cleared when it comes due.
        let until = payment.order.failover_until;
        let is_left = |(call, at): &(&CallId, &Timestamp)| {
            **at == until && payment.call(**call).unwrap().is_concluded()
        };
        let left: BTreeSet<CallId> =
            self.timers.iter().filter(is_left).map(|(call, _)| *call).collect();
        let timers = self.timers.keys().copied();
        let timers: BTreeSet<CallId> =
            timers.filter(|id| expected.contains(id) || !left.contains(id)).collect();
        assert_eq!(timers, expected);
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
        assert!(taking.len() <= 1, "attempts {taking:?} can all take money");
        assert!(
            taking.iter().all(|at| at + 1 == payment.attempts.len()),
            "an earlier one: {taking:?}"
        );
        assert!(payment.attempts.len() <= payment.order.candidates.len());
    }

    fn sees_the_sums(&self) {
        let payment = &self.payment;
        let Some(sums) = amounts::of(payment) else {
            let amount = payment.approved().and_then(|(_, amount)| amount);
            assert_eq!(amount, None, "an approved amount has sums");
            return;
        };
        let asked = payment.order.kind.amount().unwrap();
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
        assert!(sums.authorized.minor() <= asked.minor(), "{sums:?}");
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
        (Refusal::InDoubt(call), Input::Capture { .. } | Input::Void | Input::Refund { .. }) => {
            let is_open = !payment.call(*call).unwrap().is_concluded();
            let may_go_on = payment.verdict() == Verdict::Running;
            let is_busy = payment.owed_void().is_some() || payment.has_open_calls();
            assert!(is_open || is_busy || may_go_on, "{call}");
        }
        (_, Input::Capture { .. } | Input::Void | Input::Refund { .. }) => {}
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
                call.absent_after,
            )
        };
        assert_eq!(same(now), same(call), "{id}");
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
    let planned: Vec<CallId> = after.calls().map(|(id, _)| id).filter(is_new).collect();
    let told = step.events.iter().filter_map(|event| {
        let Event::Planned { call, .. } = event else { return None };
        Some(*call)
    });
    assert_eq!(told.collect::<Vec<_>>(), planned);
    let sent = step.effects.iter().filter_map(|effect| match effect {
        Effect::Call(call) => Some(*call),
        Effect::LookUp(call) => {
            let is_open = matches!(after.call(*call).unwrap().state, CallState::Open { .. });
            assert!(is_open, "{call} is looked up");
            None
        }
    });
    assert_eq!(sent.collect::<Vec<_>>(), planned);
    for id in &planned {
        let call = after.call(*id).unwrap();
        assert_eq!(
            (&call.state, &call.owner, call.planned_at),
            (&CallState::Planned, &facts.owner, facts.now)
        );
        let CallId::Attempt(no) = *id else { continue };
        assert!(facts.live && facts.now < after.order.failover_until);
        for earlier in 1..no {
            assert!(lets_another_try(after, earlier), "{id} after a{earlier}");
        }
    }
    assert!(planned.len() <= 1);
    if facts.live {
        assert!(
            !matches!(next(after, after.updated_at), Next::Try(_)) || !has_followed_up(step),
            "nobody was tried"
        );
    }
}

/// Captures, voids and refunds of a merchant start nothing by themselves.
fn has_followed_up(step: &Step) -> bool {
    !matches!(&step.events[..], [Event::Planned { .. }])
}

fn lets_another_try(payment: &Payment, no: u16) -> bool {
    let call = payment.call(CallId::Attempt(no)).unwrap();
    let order = &payment.order;
    let was_in_doubt = call.open_since.is_some();
    let voids = payment.voids.iter().filter(|void| void.attempt == no).count();
    let moves_money = order.kind != OrderKind::Tokenize;
    let is_sale = matches!(order.kind, OrderKind::Charge(_));
    let stops = order.doubt == DoubtMode::Stop;
    match &call.state {
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
            Outcome::Approved { .. } => false,
            Outcome::Pending { .. } | Outcome::ActionRequired { .. } | Outcome::Unknown { .. } => {
                !moves_money
            }
        },
        CallState::Closed { how, .. } => {
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
