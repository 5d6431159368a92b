//! The write comes first: what the provider sees, and when, under every way in which a commit can end.

use std::sync::Arc;
use std::time::Duration;

use baton_engine::EngineError;
use baton_flow::{CallId, OrderKind};
use baton_store::{CommitError, Guard, Store as _, Write, WriteSet};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::probe::Act;
use crate::world::{Setup, World, by_id, key, purchase, sums, usd, verdict};

/// Counts the requests that reach the provider and change something; look-ups are not counted.
async fn count_requests(world: &World) {
    for operation in ["sale", "authorize", "capture", "void", "refund"] {
        world.provider.rule(json!({"operation": operation}), json!({}), None).await;
    }
}

async fn requests(world: &World) -> u64 {
    world.provider.applied().await.iter().sum()
}

#[tokio::test]
async fn nothing_reaches_the_provider_before_its_plan_is_durable() {
    let world = World::memory().await;
    let id = world.authorize(1_000, &["first"]).await.payment.id;
    count_requests(&world).await;
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    world.store.script(move |_, _| Act::Hold(Arc::clone(&held)));

    let charge = world.charge(500, &["test-failure", "second"]);
    let capture = world.capture(id, 400);
    let watch = async {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(30)).await;
            assert_eq!(requests(&world).await, 0);
        }
        assert_eq!(world.store.commits(), 2, "both wait for their plans");
        gate.add_permits(1);
        while world.store.commits() < 3 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        // One plan is durable: of the mock that refuses, whose answer needs the next commit; or of the
        // capture, which is sent.
        assert!(requests(&world).await <= 1);
        gate.add_permits(100);
    };
    let (charged, captured, ()) = tokio::join!(charge, capture, watch);
    assert_eq!(verdict(&charged.payment), "approved at 2");
    assert_eq!(sums(&captured.unwrap().payment), (400, 0));
    assert_eq!(requests(&world).await, 2);
}

#[tokio::test]
async fn a_failover_waits_for_its_own_plan() {
    let world = World::memory().await;
    count_requests(&world).await;
    let gate = Arc::new(Semaphore::new(1));
    let held = Arc::clone(&gate);
    world.store.script(move |_, _| Act::Hold(Arc::clone(&held)));
    let charge = world.charge(500, &["test-failure", "second"]);
    let watch = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!((world.store.commits(), requests(&world).await), (2, 0));
        gate.add_permits(100);
    };
    let (charged, ()) = tokio::join!(charge, watch);
    assert_eq!((verdict(&charged.payment).as_str(), requests(&world).await), ("approved at 2", 1));
}

#[tokio::test]
async fn a_plan_that_is_not_committed_is_never_sent() {
    let world = World::memory().await;
    let id = world.charge(1_000, &["first"]).await.payment.id;
    count_requests(&world).await;
    let rows = [
        (CommitError::Unavailable("full".into()), EngineError::Unavailable),
        (CommitError::Conflict(Guard::Version), EngineError::Internal),
        (CommitError::Invalid("bug".into()), EngineError::Internal),
        // The key was taken, and is free again when it is looked at.
        (CommitError::Conflict(Guard::IdempotencyKey), EngineError::Unavailable),
    ];
    for (commit, told) in rows {
        let failing = commit.clone();
        world.store.script(move |_, _| Act::Fail(failing.clone()));
        let charge = purchase(OrderKind::Charge(usd(500)), &["first"]);
        let charge = world.engine.purchase(world.caller, charge, key("k", b"body")).await;
        assert_eq!(charge.unwrap_err(), told, "{commit:?}");
        let told = match commit {
            // Another writer was first, again and again.
            CommitError::Conflict(Guard::Version) => EngineError::Unavailable,
            _ => told,
        };
        assert_eq!(world.refund(id, 1).await.unwrap_err(), told, "{commit:?}");
    }
    assert_eq!(requests(&world).await, 0);
    world.store.script(|_, _| Act::Pass);
    assert_eq!(sums(&world.refund(id, 1).await.unwrap().payment), (1_000, 1));
    assert_eq!(requests(&world).await, 1);
}

#[tokio::test]
async fn a_lost_acknowledgement_is_settled_before_anything_is_sent_and_it_is_sent_once() {
    for world in World::on_all_stores().await {
        count_requests(&world).await;
        // Lost with and without the commit, at every commit of the request, and twice in a row.
        let mut executed = 0;
        for committed in [true, false] {
            for (from, to) in [(1, 1), (2, 2), (3, 3), (1, 2), (1, 6)] {
                world.store.script(move |number, _| match (from..=to).contains(&number) {
                    true if committed => Act::LoseAnswer,
                    true => Act::Fail(CommitError::InDoubt),
                    false => Act::Pass,
                });
                let charge = purchase(OrderKind::Charge(usd(500)), &["test-failure", "first"]);
                let charge = world.engine.purchase(world.caller, charge, key("k", b"body")).await;
                let charge = charge.unwrap();
                executed += 1;
                assert_eq!(verdict(&charge.payment), "approved at 2", "{committed} {from}..={to}");
                assert_eq!((charge.replayed, charge.payment.version), (false, 3));
                let (merchant, id) = (world.caller.merchant, charge.payment.id);
                let events = world.store.events(merchant, id).await.unwrap();
                let versions: Vec<u64> = events.iter().map(|event| event.version).collect();
                assert_eq!(versions, [1, 2, 3], "no step was taken on a commit that was lost");
                assert_eq!(requests(&world).await, executed);
                let mut release = WriteSet::new();
                release.push(Write::ReleaseKey { merchant, key: "k".into() });
                world.store.commit(release).await.unwrap();
            }
        }
        world.provider.assert_nothing_twice().await;
    }
}

#[tokio::test]
async fn while_the_database_does_not_say_the_caller_is_told_that_it_runs() {
    let mut setup = Setup::default();
    setup.engine.caller_wait_ms = 300;
    setup.engine.send_window_ms = 500;
    let world = World::with(setup).await;
    count_requests(&world).await;
    world.store.script(|number, _| match number {
        1 => Act::LoseAnswer,
        2..20 => Act::Fail(CommitError::Unavailable("down".into())),
        _ => Act::Pass,
    });
    let charge = purchase(OrderKind::Charge(usd(500)), &["first"]);
    let told = world.engine.purchase(world.caller, charge, key("k", b"body")).await;
    assert_eq!(told.unwrap_err(), EngineError::StillRunning);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    // The plan was durable, but its time to be sent was over when that was known.
    assert_eq!(requests(&world).await, 0);
    let charge = purchase(OrderKind::Charge(usd(500)), &["first"]);
    let again = world.engine.purchase(world.caller, charge, key("k", b"body")).await.unwrap();
    assert_eq!((again.replayed, verdict(&again.payment).as_str()), (false, "approved at 1"));
    assert_eq!(requests(&world).await, 1);
}

#[tokio::test]
async fn an_answer_that_cannot_be_recorded_at_first_is_recorded_later_and_not_told_before() {
    let mut setup = Setup::default();
    setup.engine.caller_wait_ms = 400;
    let world = World::with(setup).await;
    count_requests(&world).await;
    world.store.script(|number, _| match number {
        2..=4 => Act::Fail(CommitError::Unavailable("full".into())),
        _ => Act::Pass,
    });
    let charged = world.charge(500, &["first"]).await;
    assert_eq!(verdict(&charged.payment), "running", "approved, but not durably");
    assert_eq!(world.provider.executed().await, ["first"]);
    tokio::time::sleep(Duration::from_millis(900)).await;
    let status = world.status(charged.payment.id).await.payment;
    assert_eq!((verdict(&status).as_str(), status.version), ("approved at 1", 2));
    assert_eq!(requests(&world).await, 1);
}

#[tokio::test]
async fn another_writer_between_plan_and_answer_changes_nothing_of_either() {
    let world = World::memory().await;
    let id = world.charge(1_000, &["first"]).await.payment.id;
    world.provider.rule(json!({"operation": "refund"}), json!({"latency_ms": 300}), Some(1)).await;
    let slow = world.refund(id, 400);
    let fast = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.refund(id, 500).await
    };
    let (slow, fast) = tokio::join!(slow, fast);
    assert_eq!((slow.unwrap().call, fast.unwrap().call), (CallId::Refund(1), CallId::Refund(2)));
    let stored = world.engine.status(world.caller, &by_id(id)).await.unwrap().payment;
    assert_eq!((sums(&stored), stored.version), ((1_000, 900), 6));
}
