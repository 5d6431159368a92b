//! A second purchase for the same thing reaches no provider while the first is in doubt.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use baton_engine::{Answered, EngineError, Purchase};
use baton_flow::OrderKind;
use baton_store::{MemoryStore, Store, Write};
use baton_types::PaymentId;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::probe::{Act, Probe};
use crate::provider::Provider;
use crate::world::{Ahead, Setup, World, card, engine_on, key, paid_with, purchase, usd, verdict};

fn setup() -> Setup {
    let mut setup = Setup::default();
    // A doubt is told soon, and a payment that only runs is not waited for long.
    setup.engine.failover_window_ms = 1_500;
    setup.engine.repeat_wait_ms = 3_000;
    setup
}

/// The first account commits and hangs up; look-ups find nothing for a while.
fn lost() -> Value {
    json!({"fault": {"commit": {"late": {"after_ms": 3_000}}, "answer": "close"}})
}

fn charge(minor: i64) -> Purchase {
    purchase(OrderKind::Charge(usd(minor)), &["second"])
}

impl World {
    async fn ask(&self, purchase: Purchase) -> Answered {
        self.engine.purchase(self.caller, purchase, None).await.unwrap()
    }
}

/// What an account took in without an answer is executed some time later.
async fn wait_until_executed(world: &World, account: &str) {
    for _ in 0..200 {
        if world.provider.executed().await.iter().any(|at| at == account) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{account} has executed nothing");
}

/// A look-up finds what was executed.
async fn known(world: &World, id: PaymentId) {
    for _ in 0..20 {
        world.clock.jump(2_000);
        if !world.status(id).await.payment.has_open_calls() {
            break;
        }
    }
    assert_eq!(verdict(&world.status(id).await.payment), "approved at 1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_one_is_in_doubt_another_for_the_same_reaches_no_provider() {
    for world in World::on_all_stores_with(&setup()).await {
        world.keeps_doubts().await;
        world.provider.rule(json!({"account": "first", "operation": "sale"}), lost(), None).await;
        let order =
            |purchase: Purchase| Purchase { merchant_ref: Some("order 1".into()), ..purchase };
        let first = order(purchase(OrderKind::Charge(usd(1_000)), &["first", "second"]));
        let first = world.ask(first).await.payment;
        assert_eq!(verdict(&first), "in doubt at 1: unknown");

        let other_card = || Some(paid_with(card("4242424242424242", "737")));
        let same = [
            charge(1_000),
            // Held instead of taken: the doubt is the same.
            purchase(OrderKind::Authorize(usd(1_000)), &["second"]),
            // The same reference, whatever the rest is.
            Purchase { card: other_card(), ..order(charge(7)) },
        ];
        for purchase in same {
            let answered = world.ask(purchase).await;
            assert!(answered.duplicate, "{answered:?}");
            assert_eq!(answered.payment.id, first.id);
        }
        assert_eq!(world.provider.executed().await, [""; 0], "nobody was asked");

        let different = [
            charge(1_001),
            Purchase { card: other_card(), ..charge(1_000) },
            Purchase { merchant_ref: Some("order 2".into()), ..charge(999) },
            Purchase { allow_duplicate: true, ..order(charge(1_000)) },
        ];
        let count = different.len();
        for purchase in different {
            let answered = world.ask(purchase).await;
            assert!(!answered.duplicate, "{answered:?}");
            assert_eq!(verdict(&answered.payment), "approved at 1");
        }
        assert_eq!(world.provider.executed().await.len(), count);
        // None of those has freed what the first has.
        assert!(world.ask(charge(1_000)).await.duplicate);

        // Nothing of the card is kept beyond the doubt, and the way is free.
        assert_eq!(world.stored(first.id).await.unwrap().guards.len(), 2);
        let keys = world.stored(first.id).await.unwrap().guards;
        wait_until_executed(&world, "first").await;
        known(&world, first.id).await;
        assert_eq!(world.stored(first.id).await.unwrap().guards, [""; 0]);
        for key in keys {
            assert_eq!(world.store.guard(world.caller.merchant, &key).await, Ok(None), "{key}");
        }
        let again = world.ask(charge(1_000)).await;
        assert_eq!((again.duplicate, verdict(&again.payment)), (false, "approved at 1".into()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_only_runs_is_waited_for_and_then_both_go_through() {
    let world = World::with(setup()).await;
    world.provider.rule(json!({"account": "second"}), json!({"latency_ms": 300}), None).await;
    let both = join_all([world.ask(charge(1_000)), world.ask(charge(1_000))]).await;
    for answered in &both {
        assert_eq!(
            (answered.duplicate, verdict(&answered.payment)),
            (false, "approved at 1".into())
        );
    }
    assert_ne!(both[0].payment.id, both[1].payment.id);
    assert_eq!(world.provider.executed().await.len(), 2);
    // Two commits each, guards and all.
    let before = world.store.commits();
    world.ask(charge(1_000)).await;
    assert_eq!(world.store.commits() - before, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_on_two_nodes_one_reaches_the_provider_when_its_answer_is_lost() {
    for world in World::on_all_stores_with(&setup()).await {
        let mut second = setup();
        second.engine.node = "node-2".to_owned();
        let store = Arc::clone(&world.store) as Arc<dyn Store>;
        let (other, caller) = engine_on(store, &world.clock, world.provider, second).await;
        world.keeps_doubts().await;
        world.provider.rule(json!({"account": "second", "operation": "sale"}), lost(), None).await;
        let asked = (0..16).map(|n| {
            let engine = if n % 2 == 0 { &world.engine } else { &other };
            engine.purchase(caller, charge(1_000), None)
        });
        let answers: Vec<Answered> =
            join_all(asked).await.into_iter().map(|answer| answer.unwrap()).collect();
        assert_eq!(answers.iter().filter(|answer| !answer.duplicate).count(), 1, "{answers:?}");
        let id = answers[0].payment.id;
        assert!(answers.iter().all(|answer| answer.payment.id == id));
        wait_until_executed(&world, "second").await;
        assert_eq!(world.provider.executed().await, ["second"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_dies_after_its_plan_leaves_the_guard_behind() {
    let (clock, provider) = (Arc::new(Ahead::default()), Provider::start().await);
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let probe = Probe::new(Arc::clone(&memory));
    let shared = Arc::clone(&probe) as Arc<dyn Store>;
    let (dying, caller) = engine_on(shared, &clock, provider, setup()).await;
    probe.script(|_, _| Act::DieAfter);
    let lost = tokio::spawn(async move { dying.purchase(caller, charge(1_000), None).await });
    probe.died.acquire().await.unwrap().forget();
    lost.abort();

    let mut setup = setup();
    setup.engine.node = "node-2".to_owned();
    setup.engine.repeat_wait_ms = 300;
    let (heir, _) = engine_on(memory, &clock, provider, setup).await;
    let answered = heir.purchase(caller, charge(1_000), None).await.unwrap();
    assert!(answered.duplicate, "{answered:?}");
    assert_eq!(verdict(&answered.payment), "running");
    assert_eq!(provider.executed().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_is_a_repeat_before_it_is_a_duplicate() {
    let world = World::with(setup()).await;
    world.keeps_doubts().await;
    world.provider.rule(json!({"account": "second", "operation": "sale"}), lost(), Some(1)).await;
    let ask =
        |name: &'static str| world.engine.purchase(world.caller, charge(1_000), key(name, b"f"));
    let first = ask("k").await.unwrap();
    let repeat = ask("k").await.unwrap();
    assert_eq!((repeat.replayed, repeat.duplicate), (true, false));
    assert_eq!(repeat.payment.id, first.payment.id);
    // Another key claims nothing while it is held back, so that it can be used when the way is free.
    assert!(ask("other").await.unwrap().duplicate);
    wait_until_executed(&world, "second").await;
    known(&world, first.payment.id).await;
    let other = ask("other").await.unwrap();
    assert_eq!((other.replayed, other.duplicate), (false, false));
    assert_eq!(verdict(&other.payment), "approved at 1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_acknowledgement_of_the_plan_is_not_taken_for_a_duplicate() {
    let world = World::with(setup()).await;
    let lose = AtomicBool::new(true);
    world.store.script(move |_, set| {
        let takes = set.writes.iter().any(|write| matches!(write, Write::TakeGuard(_)));
        if takes && lose.swap(false, Ordering::SeqCst) { Act::LoseAnswer } else { Act::Pass }
    });
    let answered = world.ask(charge(1_000)).await;
    assert_eq!((answered.duplicate, verdict(&answered.payment)), (false, "approved at 1".into()));
    assert_eq!(world.provider.executed().await, ["second"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_ever_for_a_guard_that_nobody_gives_back() {
    let mut setup = setup();
    setup.engine.repeat_wait_ms = 200;
    let world = World::with(setup).await;
    world.store.script(|_, _| {
        Act::Fail(baton_store::CommitError::Conflict(baton_store::Guard::Duplicate))
    });
    let asked = world.engine.purchase(world.caller, charge(1_000), None);
    let answer = tokio::time::timeout(Duration::from_secs(10), asked).await.unwrap();
    assert_eq!(answer.err(), Some(EngineError::Unavailable));
}
