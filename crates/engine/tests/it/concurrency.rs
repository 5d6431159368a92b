//! Many requests about one payment at once: what we think and what the provider did must agree.

use std::sync::Arc;

use baton_engine::{Answered, EngineError};
use baton_flow::{CallState, Refusal};
use baton_store::Store;
use baton_types::outcome::Outcome;
use futures_util::future::join_all;
use serde_json::json;

use crate::world::{Setup, World, by_id, engine_on, sums, usd, verdict};

const AT_ONCE: usize = 50;

fn approved(result: &Result<Answered, EngineError>) -> bool {
    result.as_ref().is_ok_and(|answered| {
        let call = answered.payment.call(answered.call).unwrap();
        matches!(&call.state, CallState::Final { outcome: Outcome::Approved { .. }, .. })
    })
}

fn assert_only_what_fits(results: &[Result<Answered, EngineError>]) {
    for error in results.iter().filter_map(|result| result.as_ref().err()) {
        assert!(matches!(error, EngineError::Refused(Refusal::TooMuch { .. })), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refunds_at_once_return_what_was_captured_and_no_more() {
    for world in World::on_all_stores().await {
        let id = world.charge(1_000, &["first"]).await.payment.id;
        let results = join_all((0..AT_ONCE).map(|_| world.refund(id, 30))).await;
        assert_only_what_fits(&results);
        // 33 of 30 fit into 1000.
        assert_eq!(results.iter().filter(|result| approved(result)).count(), 33);
        let ours = world.status(id).await.payment;
        assert_eq!((sums(&ours), ours.refunds.len()), ((1_000, 990), 33));
        assert_eq!(world.provider.books().await[0].refunded, 990);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captures_at_once_take_what_is_held_and_no_more() {
    for world in World::on_all_stores().await {
        let id = world.authorize(1_000, &["first"]).await.payment.id;
        let results = join_all((0..AT_ONCE).map(|_| world.capture(id, 30))).await;
        assert_only_what_fits(&results);
        assert_eq!(results.iter().filter(|result| approved(result)).count(), 33);
        let ours = world.status(id).await.payment;
        assert_eq!((sums(&ours), ours.captures.len()), ((990, 0), 33));
        assert_eq!(world.provider.books().await[0].captured, 990);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_at_once_return_no_more_than_one_would() {
    for world in World::on_all_stores().await {
        let mut setup = Setup::default();
        setup.engine.node = "node-2".to_owned();
        let store = Arc::clone(&world.store) as Arc<dyn Store>;
        let (other, _) = engine_on(store, &world.clock, world.provider, setup).await;
        let id = world.charge(1_000, &["first"]).await.payment.id;
        let target = by_id(id);
        let results = join_all((0..AT_ONCE).map(|number| {
            let engine = if number % 2 == 0 { &world.engine } else { &other };
            engine.refund(world.caller, &target, usd(30), None)
        }))
        .await;
        assert_only_what_fits(&results);
        assert_eq!(results.iter().filter(|result| approved(result)).count(), 33);
        let ours = world.status(id).await.payment;
        assert_eq!((sums(&ours), ours.refunds.len()), ((1_000, 990), 33));
        assert_eq!(world.provider.books().await[0].refunded, 990);
        // Two commits for the charge and for each refund that fits: a step that lost is decided again.
        assert_eq!(ours.version, 2 + 2 * 33);
    }
}

/// A small generator, so that a failing round can be repeated by its number.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

async fn one_round(round: u64) {
    let world = Arc::new(World::memory().await);
    // Some modifications lose their answer, some are refused, some are slow.
    for (action, chance) in [
        (json!({"fault": {"commit": "first", "answer": "close"}}), 100),
        (json!({"verdict": {"decline": "do_not_honor"}}), 100),
        (json!({"latency_ms": 20}), 300),
    ] {
        for operation in ["capture", "void", "refund"] {
            let rule = json!({
                "match": {"operation": operation}, "action": action, "probability_permille": chance,
            });
            world.provider.ask("POST", "/admin/rules", Some(rule)).await;
        }
    }
    world.provider.ask("PUT", "/admin/settings", Some(json!({"seed": round}))).await;
    let mut state = round;
    let id = world.authorize(1_000, &["first"]).await.payment.id;
    let asks: Vec<(u64, i64)> = (0..AT_ONCE)
        .map(|_| (next(&mut state) % 10, 1 + (next(&mut state) % 150) as i64))
        .collect();
    let results = join_all(asks.into_iter().map(|(what, minor)| {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            match what {
                0 => world.void(id, 1_000).await,
                1..=5 => world.capture(id, minor).await,
                _ => world.refund(id, minor).await,
            }
        })
    }))
    .await;
    for error in results.into_iter().filter_map(|result| result.unwrap().err()) {
        assert!(matches!(error, EngineError::Refused(_)), "round {round}: {error:?}");
    }
    let ours = world.settle(id).await.payment;
    assert!(!ours.has_open_calls(), "round {round}: {ours:?}");
    let [theirs] = &world.provider.books().await[..] else { panic!("round {round}: one payment") };
    let what = format!("round {round}: {} {theirs:?}", verdict(&ours));
    assert!(theirs.refunded <= theirs.captured && theirs.captured <= 1_000, "{what}");
    assert_eq!(theirs.voided, ours.status() == "voided", "{what}");
    if !theirs.voided {
        assert_eq!(sums(&ours), (theirs.captured, theirs.refunded), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captures_voids_and_refunds_at_once_leave_one_truth() {
    for batch in 0..5 {
        join_all((0..4).map(|number| one_round(batch * 4 + number))).await;
    }
}
