//! A provider that does not answer look-ups, or gets too many, is left alone; what is in doubt is resolved all the
//! same, once it can be.

use std::time::Duration;

use baton_engine::QuestionLimits;
use baton_flow::Payment;
use serde_json::json;

use crate::world::{Setup, World, verdict};

const FREE: QuestionLimits = QuestionLimits { per_second: 0, burst: 1, failures: 0, pause_ms: 0 };

fn setup(questions: QuestionLimits) -> Setup {
    let mut setup = Setup::default();
    setup.engine.failover_window_ms = 100;
    setup.engine.questions = questions;
    // That of payments has nothing to do with it.
    setup.wire.breaker.failures = 1_000;
    setup
}

/// Charges whose answers are lost at the first account, which carries them out; look-ups fail until the rule for
/// them has applied so many times.
async fn doubts(world: &World, count: i64, failing: Option<u32>) -> Vec<Payment> {
    let down = json!({"fault": {"commit": "never", "answer": {"status": {"status": 500}}}});
    world.provider.rule(json!({"account": "first", "operation": "lookup"}), down, failing).await;
    let lost = json!({"fault": {"commit": "first", "answer": "close"}});
    world.provider.rule(json!({"account": "first", "operation": "sale"}), lost, None).await;
    let mut doubts = Vec::new();
    for minor in 1..=count {
        let told = world.charge(minor, &["first"]).await.payment;
        assert_eq!(verdict(&told), "in doubt at 1: unknown");
        doubts.push(Payment::clone(&told));
    }
    doubts
}

impl World {
    /// How many look-ups have reached the provider that does not answer them.
    async fn asked(&self) -> u64 {
        *self.provider.applied().await.last().unwrap()
    }

    /// Runs the resolver until nothing is in doubt.
    async fn all_resolved(&self, doubts: &[Payment]) {
        self.engine.start();
        for payment in doubts {
            let until = tokio::time::Instant::now() + Duration::from_secs(20);
            while self.stored(payment.id).await.unwrap().has_open_calls() {
                assert!(tokio::time::Instant::now() < until, "{payment:?}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            assert_eq!(verdict(&self.stored(payment.id).await.unwrap()), "approved at 1");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_does_not_answer_is_left_alone_and_asked_again_when_the_pause_is_over() {
    let limits = QuestionLimits { failures: 2, pause_ms: 3_000, ..FREE };
    for world in World::on_all_stores_with(&setup(limits)).await {
        let doubts = doubts(&world, 5, Some(2)).await;
        for _ in 0..3 {
            world.clock.jump(1_500);
            for payment in &doubts {
                world.status(payment.id).await;
            }
        }
        assert_eq!(world.asked().await, 2, "neither their own tasks nor reads ask on");
        let commits = world.store.commits();
        for payment in &doubts {
            world.status(payment.id).await;
        }
        assert_eq!(world.store.commits(), commits, "and a read that does not ask writes nothing");
        world.all_resolved(&doubts).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_pause_each_would_have_asked() {
    let world = World::with(setup(FREE)).await;
    let doubts = doubts(&world, 5, None).await;
    world.clock.jump(1_500);
    for payment in &doubts {
        world.status(payment.id).await;
    }
    // Ten times, if no look was lost on a busy machine.
    assert!(world.asked().await > 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_doubts_are_looked_up_at_the_steady_rate() {
    let limits = QuestionLimits { per_second: 4, burst: 1, ..FREE };
    let world = World::with(setup(limits)).await;
    let doubts = doubts(&world, 8, Some(1)).await;
    world.clock.jump(60_000);
    let begun = tokio::time::Instant::now();
    world.all_resolved(&doubts).await;
    assert!(begun.elapsed() >= Duration::from_millis(1_200), "{:?}", begun.elapsed());
}
