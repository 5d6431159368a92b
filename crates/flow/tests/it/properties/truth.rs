//! A small provider that keeps its bounds: requests get lost, run late or wait for the payer; answers get
//! lost or come late; look-ups lag. What it *did* is compared with what the payment believes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use baton_flow::{
    CallId, Cancel, Closure, DoubtMode, Effect, Input, OrderKind, Payment, Standing, Verdict,
    VoidReason, amounts,
};
use baton_types::outcome::{Answer, Finding, Outcome};
use baton_types::{DeclinedBy, Money, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::given::{
    QUIET_MS, T0, action, approved, declined, done, later, live, new, not_sent, order, pending,
    refused, unknown, usd,
};
use crate::watch::Watch;

/// How long after `send_by` a request may still be executed, and how long after that look-ups may not
/// show it: together less than a look-up is believed after.
const BOUND_MS: i64 = 8_000;
const LAG_MS: i64 = QUIET_MS - BOUND_MS;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn money_moves_once_and_everything_is_resolved_in_the_end(chance in chances()) {
        World::new(chance).play();
    }
}

/// The histories contain what makes them hard: else the property above would say little.
#[test]
fn histories_contain_lost_late_and_raced_calls() {
    let reached = RefCell::new(BTreeSet::new());
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(800) };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(config, rng)
        .run(&chances(), |chance| {
            reached.borrow_mut().extend(World::new(chance).play());
            Ok(())
        })
        .unwrap();
    let reached: Vec<&str> = reached.into_inner().into_iter().collect();
    assert_eq!(
        reached,
        [
            "a cancel in doubt voided what was there",
            "a capture executed late",
            "a fenced sale, and another attempt",
            "a later hold won",
            "a lost request",
            "a lost request sent again",
            "a raise executed late",
            "a refund executed late",
            "a sale executed late",
            "a void executed late",
            "a void lost",
            "another attempt after a doubt",
            "answered again",
            "approved after a doubt",
            "approved although it was being cancelled",
            "refused behind a fence",
            "the first hold won",
            "the owner is gone",
            "the payer was faster than the void",
            "two holds at once",
        ]
    );
}

fn chances() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..200)
}

/// What the provider does with a request once it has it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Approve,
    Part,
    Decline(DeclinedBy),
    Refuse,
    Pend { until_ms: i64, then: bool },
    Challenge { until_ms: i64, then: bool },
}

/// One request at the provider.
#[derive(Clone, Debug)]
struct Request {
    asked: Option<Money>,
    /// When it is executed; `None` for a request that never arrives.
    at: Option<Timestamp>,
    fate: Fate,
    /// How it stands, once it is executed.
    result: Option<Outcome>,
    is_answered: bool,
}

/// What one attempt did at the provider.
#[derive(Clone, Copy, Debug, Default)]
struct Truth {
    held: i64,
    captured: i64,
    refunded: i64,
    is_waiting: bool,
    is_voided: bool,
    /// A cancel came first: what arrives later is refused.
    is_fenced: bool,
}

struct World {
    watch: Watch,
    now: Timestamp,
    chance: std::vec::IntoIter<u8>,
    requests: BTreeMap<CallId, Request>,
    truth: BTreeMap<u16, Truth>,
    /// Whether the request's own task lives.
    is_live: bool,
    reached: BTreeSet<&'static str>,
}

impl World {
    fn new(chance: Vec<u8>) -> Self {
        let mut chance = chance.into_iter();
        let mut byte = || chance.next().unwrap_or(0);
        let kind = match byte() % 2 {
            0 => OrderKind::Charge(usd(100)),
            _ => OrderKind::Authorize(usd(100)),
        };
        let mut order = order(kind);
        order.payer_present = byte() % 2 == 0;
        order.doubt = match byte() % 8 {
            7 => DoubtMode::Stop,
            4..=6 => DoubtMode::HoldSafe,
            _ => DoubtMode::ResolveFirst,
        };
        let replay_ms = [None, Some(30_000), Some(86_400_000)][usize::from(byte() % 3)];
        let (cancel, index_lag_ms) = match byte() % 4 {
            0 => (Cancel::Fence, LAG_MS),
            1 => (Cancel::Fence, 0),
            _ => (Cancel::Plain, LAG_MS),
        };
        for candidate in &mut order.candidates {
            candidate.replay_ms = replay_ms;
            candidate.cancel = Some(cancel);
            candidate.increments = true;
            candidate.index_lag_ms = index_lag_ms;
        }
        // Long enough for the next candidate after an absence, sometimes.
        order.failover_until = T0.plus_millis(if byte() % 2 == 0 { 30_000 } else { 900_000 });
        Self {
            watch: Watch::new(new(order)),
            now: T0,
            chance,
            requests: BTreeMap::new(),
            truth: BTreeMap::new(),
            is_live: true,
            reached: BTreeSet::new(),
        }
    }

    fn play(mut self) -> BTreeSet<&'static str> {
        self.feed(Input::Begin);
        while self.chance.len() > 0 {
            match self.byte() % 16 {
                0..=3 => self.answer(),
                4 | 5 => self.wait([0, 10, 1_000, 4_000]),
                6 | 7 => self.wait([3_000, 7_000, 15_000, 60_000]),
                8 => self.wait([120_000, 3_600_000, 86_400_000, 30_000]),
                9 => self.webhook(),
                10 => self.look_up_one(),
                11 => self.nudge(),
                12 => {
                    let minor = i64::from(self.byte() % 100) + 1;
                    self.feed(Input::Capture { amount: usd(minor) });
                }
                13 => self.feed(Input::Void),
                14 => {
                    let minor = i64::from(self.byte() % 100) + 1;
                    self.feed(Input::Refund { amount: usd(minor) });
                }
                _ if self.one_in(2) => {
                    let minor = i64::from(self.byte() % 100) + 80;
                    self.feed(Input::Increment { amount: usd(minor) });
                }
                _ => self.is_live = self.is_live && !self.one_in(4),
            }
        }
        self.settle();
        self.reached
    }

    fn byte(&mut self) -> u8 {
        self.chance.next().unwrap_or(0)
    }

    fn one_in(&mut self, cases: u8) -> bool {
        self.byte().is_multiple_of(cases)
    }

    /// The owner goes away, the provider is well, and the timers do the rest.
    fn settle(&mut self) {
        self.is_live = false;
        for _ in 0..400 {
            let Some(at) = self.watch.timers.values().min().copied() else { break };
            self.pass(at.max(self.now));
        }
        let payment = &self.watch.payment;
        assert_eq!(self.watch.timers, BTreeMap::new(), "still waiting: {payment:#?}");
        assert!(!payment.has_open_calls());
        for (no, truth) in &self.truth {
            let is_approved = matches!(payment.standing(*no), Some(Standing::Approved(_)));
            assert_eq!(truth.held > 0 && !truth.is_voided, is_approved, "a{no} {truth:?}");
        }
        if let Some(sums) = amounts::of(payment) {
            let truth = self.truth[&payment.approved().unwrap().0];
            assert_eq!(sums.authorized, usd(truth.held));
            assert_eq!(sums.captured, usd(truth.captured));
            assert_eq!(sums.refunded, usd(truth.refunded));
        }
    }

    /// Steps, sends what was planned, and looks up what is to be looked up.
    fn feed(&mut self, input: Input) {
        let is_live = self.is_live;
        self.feed_as(input, is_live);
    }

    fn feed_as(&mut self, input: Input, is_live: bool) {
        let facts = if is_live { live(self.now) } else { later(self.now) };
        let before = self.watch.payment.clone();
        let Ok(step) = self.watch.feed(input, &facts) else { return };
        for effect in step.effects {
            match effect {
                Effect::Call(id) => self.send(id),
                Effect::Replay(id) => self.send_again(id, is_live),
                Effect::LookUp(id) => {
                    let finding = self.finding(id);
                    self.feed_as(Input::Finding { call: id, finding }, is_live);
                }
            }
        }
        self.remember(&before);
        self.is_true();
    }

    /// What the provider makes of a request, and when, is drawn when it is sent.
    fn send(&mut self, id: CallId) {
        let send_by = self.watch.payment.call(id).unwrap().send_by;
        let latest = send_by.plus_millis(BOUND_MS);
        let at = match self.byte() % 8 {
            0..=4 => Some(self.now),
            5 => Some(self.now.plus_millis(i64::from(self.byte()) * 40).min(latest)),
            6 => Some(latest),
            _ => None,
        };
        let until_ms = [1_000, 20_000, 600_000, 200_000_000][usize::from(self.byte() % 4)];
        let then = self.one_in(2);
        let fate = match (self.byte() % 12, id) {
            (0..=4, _) => Fate::Approve,
            (5, CallId::Attempt(_) | CallId::Capture(_) | CallId::Refund(_)) => Fate::Part,
            (6, _) => Fate::Decline(DeclinedBy::Issuer),
            (7, _) => Fate::Decline(DeclinedBy::ProviderOther),
            (8, _) => Fate::Refuse,
            (9, _) => Fate::Pend { until_ms, then },
            (10, CallId::Attempt(_)) => Fate::Challenge { until_ms, then },
            _ => Fate::Approve,
        };
        let asked = self.watch.payment.amount_of(id);
        let request = Request { asked, at, fate, result: None, is_answered: false };
        let late = at.is_some_and(|at| at > send_by);
        self.reach("a lost request", at.is_none());
        match id {
            CallId::Attempt(_) => self.reach("a sale executed late", late),
            CallId::Capture(_) => self.reach("a capture executed late", late),
            CallId::Void(_) => self.reach("a void executed late", late),
            CallId::Refund(_) => self.reach("a refund executed late", late),
            CallId::Increment(_) => self.reach("a raise executed late", late),
        }
        self.reach("a void lost", at.is_none() && matches!(id, CallId::Void(_)));
        self.requests.insert(id, request);
        self.execute();
    }

    /// The same request once more, under its key: what was executed is answered again, what is on its way is
    /// in progress, and what never arrived arrives now or never. Refusals of a repeat say nothing of the first.
    fn send_again(&mut self, id: CallId, is_live: bool) {
        let arrives = !self.one_in(3);
        let request = self.requests.get_mut(&id).unwrap();
        if request.at.is_none() && arrives {
            request.at = Some(self.now);
            self.reach("a lost request sent again", true);
        }
        self.execute();
        let is_answered = !self.one_in(3);
        let result = self.requests[&id].result.clone().filter(|_| is_answered);
        self.reach("answered again", result.is_some());
        let outcome = match result {
            Some(outcome) if outcome != refused() => outcome,
            Some(_) | None => unknown(),
        };
        self.feed_as(Input::Outcome { call: id, outcome }, is_live);
    }

    /// Lets the provider do what is due by now.
    fn execute(&mut self) {
        let ids: Vec<CallId> = self.requests.keys().copied().collect();
        for id in ids {
            let request = self.requests[&id].clone();
            let Some(at) = request.at.filter(|at| *at <= self.now) else { continue };
            let result = match request.result {
                None => self.run(id, request.fate),
                Some(Outcome::Pending { .. } | Outcome::ActionRequired { .. }) => {
                    let (Fate::Pend { until_ms, then } | Fate::Challenge { until_ms, then }) =
                        request.fate
                    else {
                        panic!("{request:?} waits for nothing")
                    };
                    if self.now < at.plus_millis(until_ms) || self.is_voided(id) {
                        continue;
                    }
                    self.run(
                        id,
                        if then { Fate::Approve } else { Fate::Decline(DeclinedBy::ProviderOther) },
                    )
                }
                Some(_) => continue,
            };
            self.requests.get_mut(&id).unwrap().result = Some(result);
        }
    }

    /// Executes without looking whether it makes sense: that is what the payment has to see to.
    fn run(&mut self, id: CallId, fate: Fate) -> Outcome {
        let asked = self.requests[&id].asked;
        let is_sale = matches!(self.watch.payment.attempt_kind(), OrderKind::Charge(_));
        let no = self.watch.payment.attempt_of(id).unwrap();
        let fences =
            self.watch.payment.candidate(no).is_some_and(|at| at.cancel == Some(Cancel::Fence));
        let was_there = self.requests.get(&CallId::Attempt(no)).is_some_and(|r| r.result.is_some());
        let truth = self.truth.entry(no).or_default();
        if truth.is_fenced && matches!(id, CallId::Attempt(_)) {
            return refused();
        }
        truth.is_waiting &= !matches!(id, CallId::Attempt(_));
        let minor = match (fate, asked) {
            (Fate::Part, Some(asked)) => asked.minor() / 2,
            (_, Some(asked)) => asked.minor(),
            (_, None) => 0,
        };
        match (fate, id) {
            (Fate::Decline(by), _) => return declined(by),
            (Fate::Refuse, _) => return refused(),
            (Fate::Pend { .. }, _) => {
                truth.is_waiting |= matches!(id, CallId::Attempt(_));
                return pending();
            }
            (Fate::Challenge { .. }, _) => {
                truth.is_waiting = true;
                return action();
            }
            (_, CallId::Attempt(_)) => {
                truth.held = minor;
                truth.captured = if is_sale { minor } else { 0 };
            }
            (_, CallId::Capture(_)) => truth.captured += minor,
            (_, CallId::Refund(_)) => truth.refunded += minor,
            (_, CallId::Increment(_)) => {
                assert!(truth.held > 0 && truth.captured == 0 && !truth.is_voided, "{id}");
                truth.held = minor;
            }
            (_, CallId::Void(_)) => {
                let can = truth.is_waiting || (truth.held > 0 && !truth.is_voided);
                if !can && fences && !was_there {
                    truth.is_fenced = true;
                    return Outcome::Approved { amount: None, answer: Answer::default() };
                }
                if !can {
                    return declined(DeclinedBy::ProviderOther);
                }
                assert!(is_sale || truth.captured == 0, "{id} after a capture");
                assert_eq!(truth.refunded, 0, "{id} after a refund");
                truth.is_waiting = false;
                truth.is_voided = true;
                return done();
            }
        }
        asked.map_or_else(done, |asked| approved(Money::new(minor, asked.currency())))
    }

    fn is_voided(&self, id: CallId) -> bool {
        let CallId::Attempt(no) = id else { return false };
        self.truth.get(&no).is_some_and(|truth| truth.is_voided)
    }

    /// What a look-up shows now: the truth, or nothing yet, or that the provider cannot be asked.
    fn finding(&mut self, id: CallId) -> Finding {
        if self.chance.len() > 0 && self.one_in(4) {
            return Finding::Inconclusive;
        }
        let request = &self.requests[&id];
        let is_seen = request.at.is_some_and(|at| at.plus_millis(LAG_MS) <= self.now);
        match &request.result {
            Some(outcome) if is_seen && *outcome != refused() => match self.is_voided(id) {
                true => Finding::Voided,
                false => Finding::Found { outcome: outcome.clone() },
            },
            _ => Finding::NotFound,
        }
    }

    /// An answer to the task that sent a request; each comes once, in any order, or never.
    fn answer(&mut self) {
        let waiting = |(id, request): (&CallId, &Request)| (!request.is_answered).then_some(*id);
        let ids: Vec<CallId> = self.requests.iter().filter_map(waiting).collect();
        if ids.is_empty() || !self.is_live {
            return;
        }
        let id = ids[usize::from(self.byte()) % ids.len()];
        let is_lost = self.one_in(3);
        let request = self.requests.get_mut(&id).unwrap();
        request.is_answered = true;
        let outcome = match (&request.result, request.at) {
            (Some(outcome), _) if !is_lost => outcome.clone(),
            // It never left, and that can be proved.
            (None, None) if !is_lost => not_sent(),
            _ => unknown(),
        };
        self.feed(Input::Outcome { call: id, outcome });
    }

    /// The provider tells what became of a request, also twice.
    fn webhook(&mut self) {
        let ids: Vec<CallId> = self.requests.keys().copied().collect();
        let Some(id) = ids.get(usize::from(self.byte()) % ids.len().max(1)).copied() else {
            return;
        };
        let Some(outcome) = self.requests[&id].result.clone() else { return };
        let input = match self.is_voided(id) {
            true => Input::Finding { call: id, finding: Finding::Voided },
            false => Input::Outcome { call: id, outcome },
        };
        self.feed_as(input, false);
    }

    /// Someone reads the payment.
    fn look_up_one(&mut self) {
        let open = self.watch.payment.calls().filter(|(_, call)| !call.is_concluded());
        let ids: Vec<CallId> = open.map(|(id, _)| id).collect();
        let Some(id) = ids.get(usize::from(self.byte()) % ids.len().max(1)).copied() else {
            return;
        };
        let finding = self.finding(id);
        self.feed(Input::Finding { call: id, finding });
    }

    /// The live task looks whether it can go on.
    fn nudge(&mut self) {
        let newest = u16::try_from(self.watch.payment.attempts.len()).unwrap();
        let id = CallId::Attempt(newest);
        if self.watch.payment.call(id).is_some_and(|call| call.is_concluded()) {
            self.feed(Input::Due { call: id });
        }
    }

    fn wait(&mut self, choices: [i64; 4]) {
        let ms = choices[usize::from(self.byte() % 4)];
        self.pass(self.now.plus_millis(ms));
    }

    /// Time passes; timers come due on the way, each at its time.
    fn pass(&mut self, until: Timestamp) {
        loop {
            let due = self.watch.timers.iter().min_by_key(|(_, at)| **at);
            let Some((id, at)) = due.map(|(id, at)| (*id, *at)).filter(|(_, at)| *at <= until)
            else {
                break;
            };
            self.now = self.now.max(at);
            self.execute();
            let planned = self.watch.payment.call(id).unwrap().open_since.is_none();
            self.reach("the owner is gone", planned);
            self.feed_as(Input::Due { call: id }, false);
        }
        self.now = self.now.max(until);
        self.execute();
        self.is_true();
    }

    /// What the provider did, against what may be and what the client is told.
    fn is_true(&self) {
        let payment = &self.watch.payment;
        let asked = payment.order.kind.amount().unwrap().minor();
        let raised = payment.increments.iter().map(|raise| raise.amount.minor()).max();
        let asked = raised.unwrap_or(0).max(asked);
        let taking = self.truth.iter().filter(|(_, truth)| truth.held > 0 && !truth.is_voided);
        let most = if payment.holds() { 2 } else { 1 };
        assert!(taking.count() <= most, "too many attempts took money: {:?}", self.truth);
        // A sale that was cancelled while it was in doubt has been reversed; a hold that was captured never is.
        let is_sale = matches!(payment.attempt_kind(), OrderKind::Charge(_));
        let is_reversed = |truth: &&Truth| is_sale && truth.is_voided;
        let captured =
            self.truth.values().filter(|truth| truth.captured > 0 && !is_reversed(truth));
        assert!(captured.count() <= 1, "two attempts were captured: {:?}", self.truth);
        for (no, truth) in &self.truth {
            assert!(truth.captured <= truth.held && truth.held <= asked, "a{no} {truth:?}");
            assert!(truth.refunded <= truth.captured, "a{no} {truth:?}");
        }
        match payment.verdict() {
            Verdict::Failed(_) => {
                assert!(
                    self.truth.values().all(|t| (t.held == 0 || t.is_voided) && !t.is_waiting),
                    "{:?}",
                    self.truth
                );
                let pending = |(id, request): (&CallId, &Request)| {
                    let CallId::Attempt(no) = id else { return false };
                    let is_fenced = self.truth.get(no).is_some_and(|truth| truth.is_fenced);
                    request.at.is_some() && request.result.is_none() && !is_fenced
                };
                assert!(!self.requests.iter().any(pending), "failed, and still to be executed");
            }
            Verdict::Approved(no) => {
                assert!(self.truth[&no].held > 0, "{:?}", self.truth);
                let is_sale = matches!(payment.order.kind, OrderKind::Charge(_));
                let is_taken = self.truth[&no].captured > 0 || self.truth[&no].is_voided;
                assert!(!is_sale || is_taken, "{:?}", self.truth);
            }
            Verdict::Running | Verdict::InDoubt(_) => {}
        }
    }

    fn reach(&mut self, what: &'static str, is_so: bool) {
        if is_so {
            self.reached.insert(what);
        }
    }

    fn remember(&mut self, before: &Payment) {
        let payment = self.watch.payment.clone();
        let was_in_doubt = payment.attempts[..payment.attempts.len().saturating_sub(1)]
            .iter()
            .any(|call| call.open_since.is_some());
        self.reach("another attempt after a doubt", was_in_doubt);
        let holding = |truth: &&Truth| truth.held > 0 && !truth.is_voided;
        let cancelled = |no: u16| {
            let mut voids = payment.voids.iter();
            voids.any(|void| void.attempt == no && void.why == VoidReason::InDoubt)
        };
        let was_held = self.truth.iter().any(|(no, t)| cancelled(*no) && t.held > 0 && t.is_voided);
        self.reach("a cancel in doubt voided what was there", was_held);
        let is_sale = matches!(payment.attempt_kind(), OrderKind::Charge(_));
        let is_fenced = payment.standing(1) == Some(Standing::Closed(Closure::Fenced));
        let went_on = is_sale && is_fenced && payment.attempts.len() > 1;
        self.reach("a fenced sale, and another attempt", went_on);
        let refused_late = self.requests.iter().any(|(id, request)| {
            let CallId::Attempt(no) = id else { return false };
            request.result == Some(refused()) && self.truth.get(no).is_some_and(|t| t.is_fenced)
        });
        self.reach("refused behind a fence", refused_late);
        self.reach("two holds at once", self.truth.values().filter(holding).count() == 2);
        let Verdict::Approved(no) = payment.verdict() else { return };
        let is_beside = payment.obligation(1).is_some() && payment.holds();
        self.reach("the first hold won", is_beside && no == 1);
        self.reach("a later hold won", is_beside && no > 1);
        let call = payment.call(CallId::Attempt(no)).unwrap();
        self.reach("approved after a doubt", call.open_since.is_some());
        self.reach("approved although it was being cancelled", cancelled(no));
        let raced = before.verdict() == Verdict::InDoubt(no) && !payment.voids.is_empty();
        self.reach("the payer was faster than the void", raced);
    }
}
