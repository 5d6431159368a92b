//! Calls in doubt that are sent again under their key, at a provider that executes a key once and refuses
//! the key of another request.

use baton_engine::EngineConfig;
use serde_json::{Value, json};

use crate::world::{Setup, World, sums, verdict};

const DAY_MS: i64 = 86_400_000;

fn lost(commit: &str) -> Value {
    json!({"fault": {"commit": commit, "answer": "close"}})
}

fn down() -> Value {
    json!({"fault": {"commit": "never", "answer": {"status": {"status": 500}}}})
}

fn on(operation: &str) -> Value {
    json!({"account": "first", "operation": operation})
}

fn setup() -> Setup {
    let engine = EngineConfig { caller_wait_ms: 20_000, ..EngineConfig::default() };
    Setup { engine, ..Setup::default() }
}

#[tokio::test]
async fn a_change_whose_answer_was_lost_is_sent_again_and_done_once() {
    // Whether the first was executed or never arrived; nothing can be looked up.
    for commit in ["first", "never"] {
        let world = World::with(setup()).await;
        let held = world.authorize(1_000, &["first"]).await.payment.id;
        world.provider.rule(on("lookup"), down(), None).await;
        world.provider.rule(on("capture"), lost(commit), Some(1)).await;
        let captured = world.capture(held, 700).await.unwrap();
        assert_eq!(sums(&captured.payment), (700, 0), "{commit}");
        world.provider.rule(on("refund"), lost(commit), Some(1)).await;
        let refunded = world.refund(held, 300).await.unwrap();
        assert_eq!(sums(&refunded.payment), (700, 300), "{commit}");
        let books = world.provider.books().await;
        assert_eq!((books[0].captured, books[0].refunded), (700, 300), "{commit}");

        let other = world.authorize(1_000, &["first"]).await.payment.id;
        world.provider.rule(on("void"), lost(commit), Some(1)).await;
        let voided = world.void(other, 1_000).await.unwrap();
        assert_eq!(voided.payment.status(), "voided", "{commit}");
    }
}

#[tokio::test]
async fn nothing_is_sent_again_once_its_key_may_be_forgotten_nor_without_end() {
    for (jumps_ms, times) in [([2_000, 8_000, 20_000], 4), ([DAY_MS, DAY_MS, DAY_MS], 2)] {
        let world = World::with(setup()).await;
        let held = world.authorize(1_000, &["first"]).await.payment.id;
        world.provider.rule(on("lookup"), down(), None).await;
        world.provider.rule(on("capture"), lost("never"), None).await;
        let mut pause = tokio::time::interval(std::time::Duration::from_millis(100));
        let capture = world.capture(held, 700);
        // Its own task looks on until it is too late for another account: the clock says so.
        let jump = async {
            for _ in 0..20 {
                pause.tick().await;
            }
            world.clock.jump(31_000);
        };
        let (answered, ()) = tokio::join!(capture, jump);
        assert_eq!(sums(&answered.unwrap().payment), (0, 0));
        for by_ms in jumps_ms {
            world.clock.jump(by_ms);
            world.status(held).await;
        }
        world.clock.jump(600_000);
        world.status(held).await;
        assert_eq!(world.provider.applied().await[0], times, "after jumps of {jumps_ms:?} ms");
    }
}

#[tokio::test]
async fn a_purchase_is_sent_again_by_its_own_task_only() {
    let world = World::with(setup()).await;
    world.provider.rule(on("sale"), lost("never"), Some(1)).await;
    let answered = world.charge(1_000, &["first", "second"]).await;
    assert_eq!(verdict(&answered.payment), "approved at 1");
    assert_eq!(world.provider.executed().await, ["first"]);

    // Too late for the shopper: it is only looked up, by whomever.
    let mut late = setup();
    late.engine.failover_window_ms = 1_000;
    let world = World::with(late).await;
    world
        .provider
        .rule(on("sale"), json!({"fault": {"commit": "never", "answer": "hang"}}), None)
        .await;
    let id = world.charge(1_000, &["first"]).await.payment.id;
    for _ in 0..3 {
        world.clock.jump(3_000);
        world.status(id).await;
    }
    assert_eq!(world.provider.applied().await, [1], "the CVV is gone, and so is the shopper");
}
