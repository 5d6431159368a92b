//! Clocks that differ: what one node has planned is not taken for absent by another whose clock is ahead.

use std::time::Duration;

use serde_json::json;

use crate::world::{Setup, World, usd, verdict};
use baton_flow::OrderKind;

/// How long a request may be on its way: the time to send it, and what the manifest of the sandbox says.
const ON_ITS_WAY_MS: i64 = 5_000 + 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_ahead_within_the_margin_proves_nothing_early() {
    for (margin_ms, expected) in [(30_000, "in doubt at 1: unknown"), (0, "Absent at 1: InDoubt")] {
        let mut setup = Setup::default();
        setup.engine.failover_window_ms = 300;
        setup.engine.clock_difference_ms = margin_ms;
        let world = World::with(setup).await;
        world.keeps_doubts().await;
        let lost = json!({"fault": {"commit": "never", "answer": "close"}});
        let matches = json!({"account": "first", "operation": "authorize"});
        world.provider.rule(matches, lost, Some(1)).await;
        let told = world.buy(OrderKind::Authorize(usd(1_000)), &["first"]).await.unwrap().payment;
        assert_eq!(verdict(&told), "in doubt at 1: unknown", "{margin_ms}");
        let planned = &told.attempts[0];
        let quiet_ms = planned.absent_after.unwrap().since(planned.planned_at);
        assert_eq!(quiet_ms, ON_ITS_WAY_MS + margin_ms);

        world.clock.jump(ON_ITS_WAY_MS);
        // Two looks would do, if none were lost on a busy machine, nor put off because the request's own task
        // still lives; all of them take less than the margin.
        let look_twice = async || {
            for _ in 0..10 {
                world.clock.jump(1_500);
                if !world.status(told.id).await.payment.has_open_calls() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            verdict(&world.stored(told.id).await.unwrap())
        };
        assert_eq!(look_twice().await, expected, "{margin_ms}");
        world.clock.jump(margin_ms);
        assert_eq!(look_twice().await, "Absent at 1: InDoubt", "{margin_ms}");
    }
}

#[tokio::test]
async fn a_key_is_not_used_any_more_when_another_clock_says_that_it_is_forgotten() {
    const DAY_MS: i64 = 24 * 3_600_000;
    for margin_ms in [0, 30_000] {
        let mut setup = Setup::default();
        setup.engine.replay = true;
        setup.engine.clock_difference_ms = margin_ms;
        let world = World::with(setup).await;
        let told = world.charge(1_000, &["first"]).await.payment;
        let planned = &told.attempts[0];
        let kept_ms = planned.replay_until.unwrap().since(planned.planned_at);
        assert_eq!(kept_ms, DAY_MS - margin_ms);
    }
}
