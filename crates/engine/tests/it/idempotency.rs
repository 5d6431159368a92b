//! A key is claimed with the plan, replayed with the answer, and given back if nothing was attempted.

use std::time::Duration;

use baton_engine::{Answered, EngineError};
use baton_flow::{CallId, OrderKind};
use baton_store::Store as _;
use serde_json::json;

use crate::world::{Setup, World, by_id, key, purchase, sums, usd, verdict};

impl World {
    async fn charge_with(
        &self,
        name: &str,
        fingerprint: &[u8],
        accounts: &[&str],
    ) -> Result<Answered, EngineError> {
        let purchase = purchase(OrderKind::Charge(usd(1_000)), accounts);
        self.engine.purchase(self.caller, purchase, key(name, fingerprint)).await
    }
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_and_another_body_does_not() {
    for world in World::on_all_stores().await {
        let first = world.charge_with("k", b"body", &["first"]).await.unwrap();
        let again = world.charge_with("k", b"body", &["first"]).await.unwrap();
        assert!(!first.replayed && again.replayed);
        assert_eq!((&again.payment, again.call), (&first.payment, first.call));
        let other = world.charge_with("k", b"another body", &["first"]).await;
        assert_eq!(other.unwrap_err(), EngineError::KeyReused);
        assert_eq!(world.provider.executed().await, ["first"]);

        let id = first.payment.id;
        let refund = |minor, fingerprint: &'static [u8]| {
            let (engine, caller) = (world.engine.clone(), world.caller);
            let idempotency = key("r", fingerprint);
            async move { engine.refund(caller, &by_id(id), usd(minor), idempotency).await }
        };
        let refunded = refund(600, b"600").await.unwrap();
        assert_eq!((refunded.call, refunded.replayed), (CallId::Refund(1), false));
        // As it stands now it would be refused; the repeat is answered all the same.
        let again = refund(600, b"600").await.unwrap();
        assert_eq!((again.call, again.replayed), (CallId::Refund(1), true));
        assert_eq!(refund(300, b"300").await.unwrap_err(), EngineError::KeyReused);
        // A refusal without the key's own request behind it stays one.
        let target = by_id(id);
        let refused = world.engine.refund(world.caller, &target, usd(600), key("x", b"600")).await;
        assert!(matches!(refused.unwrap_err(), EngineError::Refused(_)));
        assert_eq!(sums(&world.status(id).await.payment), (1_000, 600));
    }
}

#[tokio::test]
async fn a_declined_payment_is_an_answer_and_is_replayed() {
    let world = World::memory().await;
    let decline = json!({"verdict": {"decline": "do_not_honor"}});
    world.provider.rule(json!({"operation": "sale"}), decline, Some(1)).await;
    let first = world.charge_with("k", b"body", &["first"]).await.unwrap();
    let again = world.charge_with("k", b"body", &["first"]).await.unwrap();
    assert_eq!((verdict(&first.payment).as_str(), again.replayed), ("declined at 1", true));
    assert_eq!(again.payment, first.payment);
}

#[tokio::test]
async fn the_key_is_free_again_if_every_attempt_was_refused_or_not_sent() {
    for world in World::on_all_stores().await {
        for accounts in [&["closed"][..], &["test-failure"], &["closed", "test-failure"]] {
            let failed = world.charge_with("k", b"body", accounts).await.unwrap();
            assert!(verdict(&failed.payment).starts_with(
                if accounts.len() == 1 && accounts[0] == "closed" { "not_sent" } else { "refused" }
            ));
            let held = world.store.idempotency(world.caller.merchant, "k").await.unwrap();
            assert_eq!(held, None, "{accounts:?}");
        }
        // The same key now succeeds, also with another body; and one failure before does not free it.
        let answered = world.charge_with("k", b"other", &["test-failure", "first"]).await.unwrap();
        assert_eq!(
            (verdict(&answered.payment).as_str(), answered.replayed),
            ("approved at 2", false)
        );
        let again = world.charge_with("k", b"other", &["test-failure", "first"]).await.unwrap();
        assert!(again.replayed);

        // A refund that was refused gives its key back too.
        let limit = json!({"refuse": {"status": 429, "code": "rate_limited"}});
        world.provider.rule(json!({"operation": "refund"}), limit, Some(1)).await;
        let target = by_id(answered.payment.id);
        for replayed in [false, false, true] {
            let refund = world.engine.refund(world.caller, &target, usd(500), key("r", b"500"));
            assert_eq!(refund.await.unwrap().replayed, replayed);
        }
        let [row] = &world.provider.books().await[..] else { panic!("one payment") };
        assert_eq!(row.refunded, 500);
    }
}

#[tokio::test]
async fn a_repeat_waits_for_the_first_and_at_most_so_long() {
    let mut setup = Setup::default();
    setup.engine.repeat_wait_ms = 1_500;
    setup.wire.answer_timeout = Duration::from_secs(5);
    let world = World::with(setup).await;
    world.provider.rule(json!({"operation": "sale"}), json!({"latency_ms": 600}), Some(1)).await;
    let (first, again) = tokio::join!(
        world.charge_with("k", b"body", &["first"]),
        world.charge_with("k", b"body", &["first"]),
    );
    let (first, again) = (first.unwrap(), again.unwrap());
    assert_ne!(first.replayed, again.replayed);
    assert_eq!(first.payment, again.payment);
    assert_eq!(verdict(&again.payment), "approved at 1");

    world.provider.rule(json!({"operation": "sale"}), json!({"latency_ms": 3_000}), Some(1)).await;
    let (one, two) = tokio::join!(
        world.charge_with("slow", b"body", &["first"]),
        world.charge_with("slow", b"body", &["first"]),
    );
    let (done, waited) = if one.is_ok() { (one, two) } else { (two, one) };
    assert_eq!(waited.unwrap_err(), EngineError::StillRunning);
    assert_eq!(verdict(&done.unwrap().payment), "approved at 1");
    assert_eq!(world.provider.executed().await, ["first", "first"]);
}

#[tokio::test]
async fn while_in_doubt_a_repeat_shows_how_it_stands_now() {
    let mut setup = Setup::default();
    setup.engine.failover_window_ms = 1_000;
    let world = World::with(setup).await;
    world.keeps_doubts().await;
    let late = json!({"fault": {"commit": {"late": {"after_ms": 600}}, "answer": "close"}});
    world.provider.rule(json!({"operation": "sale"}), late, Some(1)).await;
    let first = world.charge_with("k", b"body", &["first", "second"]).await.unwrap();
    assert_eq!(verdict(&first.payment), "in doubt at 1: unknown");
    let again = world.charge_with("k", b"body", &["first", "second"]).await.unwrap();
    assert_eq!((again.replayed, &again.payment), (true, &first.payment));
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(verdict(&world.status(first.payment.id).await.payment), "approved at 1");
    let again = world.charge_with("k", b"body", &["first", "second"]).await.unwrap();
    assert_eq!((again.replayed, verdict(&again.payment).as_str()), (true, "approved at 1"));
    assert_eq!(world.provider.executed().await, ["first"]);
}

#[tokio::test]
async fn an_expired_key_is_swept_and_can_be_claimed_anew() {
    let world = World::memory().await;
    world.charge_with("k", b"body", &["first"]).await.unwrap();
    let kept = world.store.idempotency(world.caller.merchant, "k").await.unwrap().unwrap();
    let kept_ms = kept.expires_at.since(kept.created_at);
    assert!((24 * 3_600_000 - kept_ms).abs() < 5_000, "{kept_ms}");
    world.store.sweep_idempotency(kept.expires_at, 10).await.unwrap();
    let anew = world.charge_with("k", b"another body", &["first"]).await.unwrap();
    assert!(!anew.replayed);
}
