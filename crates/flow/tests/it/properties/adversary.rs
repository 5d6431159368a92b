//! Any outcome, finding and timer for any call, at any time, with absurd amounts: the core's promises hold.

use std::cell::RefCell;
use std::collections::BTreeSet;

use baton_flow::{CallId, Cancel, DoubtMode, Input, Order, OrderKind, RetryDeclines};
use baton_types::outcome::{Doubt, Finding, NotSent, Outcome, Refused};
use baton_types::{DeclinedBy, Money};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;

use crate::given::{
    QUIET_MS, T0, action, approved, declined, done, eur, later, live, new, not_sent, order,
    pending, refused, unknown, usd,
};
use crate::watch::Watch;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_history_breaks_a_promise(order in orders(), moves in moves()) {
        play(order, moves);
    }
}

/// The histories go where it is dangerous: else the property above would say little.
#[test]
fn histories_reach_the_dangerous_places() {
    let reached = RefCell::new(BTreeSet::new());
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_500) };
    let rng = proptest::test_runner::TestRng::deterministic_rng(
        proptest::test_runner::RngAlgorithm::ChaCha,
    );
    TestRunner::new_with_rng(config, rng)
        .run(&(orders(), moves()), |(order, moves)| {
            reached.borrow_mut().extend(play(order, moves));
            Ok(())
        })
        .unwrap();
    let reached: Vec<&str> = reached.into_inner().into_iter().collect();
    assert_eq!(
        reached,
        [
            "a hold given back",
            "a hold lost",
            "a later hold won",
            "a second attempt behind an absent one",
            "a second void of one attempt",
            "a third attempt",
            "an absent sale",
            "approved while its void is on its way",
            "captured in parts",
            "in doubt at the second",
            "refunded",
            "refunded in parts",
            "the first hold won after all",
            "tokenized",
            "two holds",
            "voided",
            "voided by look-up",
        ]
    );
}

#[derive(Clone, Debug)]
struct Move {
    wait_ms: i64,
    is_live: bool,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Answer(Pick, Outcome),
    Show(Pick, Finding),
    Due(Pick),
    Capture(Money),
    Increment(Money),
    Void,
    Refund(Money),
    Begin,
}

/// Which call: of those that are not concluded, or of all and one that does not exist.
#[derive(Clone, Debug)]
struct Pick(bool, Index);

fn play(order: Order, moves: Vec<Move>) -> BTreeSet<&'static str> {
    let mut watch = Watch::new(new(order));
    let mut now = T0;
    let _ = watch.feed(Input::Begin, &live(now));
    for Move { wait_ms, is_live, what } in moves {
        now = now.plus_millis(wait_ms);
        let input = match what {
            What::Answer(pick, outcome) => Input::Outcome { call: picked(&watch, &pick), outcome },
            What::Show(pick, finding) => Input::Finding { call: picked(&watch, &pick), finding },
            What::Due(pick) => Input::Due { call: picked(&watch, &pick) },
            What::Capture(amount) => Input::Capture { amount },
            What::Increment(amount) => Input::Increment { amount },
            What::Void => Input::Void,
            What::Refund(amount) => Input::Refund { amount },
            What::Begin => Input::Begin,
        };
        let _ = watch.feed(input, &if is_live { live(now) } else { later(now) });
    }
    watch.reached
}

fn picked(watch: &Watch, Pick(any, index): &Pick) -> CallId {
    let calls = watch.payment.calls();
    let mut ids: Vec<CallId> =
        calls.filter(|(_, call)| *any || !call.is_concluded()).map(|(id, _)| id).collect();
    if ids.is_empty() || *any {
        ids.push(CallId::Attempt(9));
    }
    ids[index.index(ids.len())]
}

fn orders() -> impl Strategy<Value = Order> {
    let kind = prop_oneof![
        3 => Just(OrderKind::Charge(usd(100))),
        4 => Just(OrderKind::Authorize(usd(100))),
        1 => Just(OrderKind::Authorize(usd(i64::MAX))),
        1 => Just(OrderKind::Tokenize),
    ];
    let flags = any::<[bool; 4]>();
    let failover_ms = prop_oneof![4 => Just(i64::MAX), 1 => Just(30_000), 1 => Just(0)];
    let doubt = prop_oneof![
        3 => Just(DoubtMode::ResolveFirst),
        4 => Just(DoubtMode::HoldSafe),
        1 => Just(DoubtMode::Stop)
    ];
    let cancels = prop_oneof![4 => Just([true; 3]), 1 => any::<[bool; 3]>()];
    let replay_ms = prop_oneof![Just(None), Just(Some(86_400_000)), Just(Some(20_000))];
    let how = prop_oneof![
        Just((Cancel::Plain, 0, Some(QUIET_MS))),
        Just((Cancel::Fence, 0, Some(QUIET_MS))),
        Just((Cancel::Fence, 4_000, Some(QUIET_MS))),
        Just((Cancel::Plain, 0, None)),
    ];
    (kind, 1..=3_usize, flags, failover_ms, doubt, cancels, replay_ms, how).prop_map(
        |(kind, candidates, flags, ms, doubt, cancels, replay_ms, how)| {
            let [issuer, provider_risk, provider_other, payer_present] = flags;
            let mut order = order(kind);
            for (candidate, cancels) in order.candidates.iter_mut().zip(cancels) {
                let (cancel, index_lag_ms, quiet_ms) = how;
                candidate.cancel = cancels.then_some(cancel);
                (candidate.index_lag_ms, candidate.quiet_ms) = (index_lag_ms, quiet_ms);
                candidate.replay_ms = replay_ms;
                candidate.increments = true;
            }
            order.candidates.truncate(candidates);
            order.retry_declines = RetryDeclines { issuer, provider_risk, provider_other };
            order.failover_until = T0.plus_millis(ms);
            Order { doubt, payer_present, ..order }
        },
    )
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let wait_ms = prop_oneof![
        4 => Just(0),
        2 => 0..3_000_i64,
        2 => Just(20_000),
        1 => Just(86_400_000),
        1 => Just(-5_000),
    ];
    let is_live = prop::bool::weighted(0.7);
    let one = (wait_ms, is_live, whats());
    prop::collection::vec(
        one.prop_map(|(wait_ms, is_live, what)| Move { wait_ms, is_live, what }),
        1..40,
    )
}

fn whats() -> impl Strategy<Value = What> {
    let pick = || (prop::bool::weighted(0.1), any::<Index>()).prop_map(|(any, at)| Pick(any, at));
    prop_oneof![
        8 => (pick(), outcomes()).prop_map(|(pick, outcome)| What::Answer(pick, outcome)),
        6 => (pick(), findings()).prop_map(|(pick, finding)| What::Show(pick, finding)),
        2 => pick().prop_map(What::Due),
        3 => amounts().prop_map(What::Capture),
        2 => prop_oneof![amounts(), (90..300_i64).prop_map(usd)].prop_map(What::Increment),
        1 => Just(What::Void),
        3 => amounts().prop_map(What::Refund),
        1 => Just(What::Begin),
    ]
}

fn amounts() -> impl Strategy<Value = Money> {
    prop_oneof![
        4 => Just(usd(100)),
        6 => (1..100_i64).prop_map(usd),
        1 => Just(usd(0)),
        1 => Just(usd(-1)),
        1 => Just(usd(i64::MIN)),
        1 => Just(usd(i64::MAX)),
        1 => Just(eur(100)),
    ]
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    let by = prop_oneof![
        Just(DeclinedBy::Issuer),
        Just(DeclinedBy::ProviderRisk),
        Just(DeclinedBy::ProviderOther)
    ];
    prop_oneof![
        3 => Just(approved(usd(100))),
        4 => amounts().prop_map(approved),
        2 => Just(done()),
        3 => by.prop_map(declined),
        2 => Just(refused()),
        1 => Just(Outcome::Refused { why: Refused::Credentials, answer: Default::default() }),
        1 => Just(not_sent()),
        1 => Just(Outcome::NotSent { why: NotSent::TooLate }),
        2 => Just(pending()),
        2 => Just(action()),
        2 => Just(unknown()),
        1 => Just(Outcome::Unknown { why: Doubt::OwnerGone }),
    ]
}

fn findings() -> impl Strategy<Value = Finding> {
    prop_oneof![
        3 => outcomes().prop_map(|outcome| Finding::Found { outcome }),
        1 => Just(Finding::Voided),
        6 => Just(Finding::NotFound),
        1 => Just(Finding::Inconclusive),
    ]
}
