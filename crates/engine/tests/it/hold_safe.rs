//! `hold_safe` against a provider that loses answers: the next account is tried at once, one hold is kept,
//! and the others are given back.

use std::time::Duration;

use baton_engine::Answered;
use baton_flow::{CallId, DoubtMode, OrderKind};
use baton_types::PaymentId;
use serde_json::{Value, json};

use crate::provider::Booked;
use crate::world::{World, purchase, stored, sums, usd, verdict};
use baton_store::Store as _;

fn sale() -> OrderKind {
    OrderKind::Charge(usd(1_000))
}

fn lost(commit: &Value) -> Value {
    json!({"fault": {"commit": commit, "answer": "close"}})
}

fn down() -> Value {
    json!({"fault": {"commit": "never", "answer": {"status": {"status": 500}}}})
}

async fn pay(world: &World, kind: OrderKind, accounts: &[&str]) -> Answered {
    let mut purchase = purchase(kind, accounts);
    purchase.doubt = DoubtMode::HoldSafe;
    world.engine.purchase(world.caller, purchase, None).await.unwrap()
}

fn rule(account: &str, operation: &str) -> Value {
    json!({"account": account, "operation": operation})
}

/// Account, whether it holds or has taken something, and what it has captured.
async fn books(world: &World) -> Vec<(String, bool, i64)> {
    let shown = |row: Booked| (row.account.clone(), row.is_live(), row.captured);
    world.provider.books().await.into_iter().map(shown).collect()
}

fn row(account: &str, is_live: bool, captured: i64) -> (String, bool, i64) {
    (account.to_owned(), is_live, captured)
}

/// Waits until nothing of a payment is open: the task goes on after its client has its answer.
async fn quiet(world: &World, id: PaymentId) -> baton_flow::Payment {
    for _ in 0..100 {
        let payment = stored(world.store.as_ref(), world.caller, id).await.unwrap();
        if !payment.has_open_calls() {
            return payment;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it does not come to rest");
}

#[tokio::test]
async fn a_sale_is_held_and_then_captured() {
    let world = World::memory().await;
    let answered = pay(&world, sale(), &["first", "second"]).await;
    assert_eq!(verdict(&answered.payment), "approved at 1");
    assert_eq!(sums(&answered.payment), (1_000, 0));
    assert!(answered.payment.call(CallId::Capture(1)).is_some());
    assert_eq!(books(&world).await, [row("first", true, 1_000)]);
    let refunded = world.refund(answered.payment.id, 400).await.unwrap();
    assert_eq!(sums(&refunded.payment), (1_000, 400));
}

#[tokio::test]
async fn a_lost_sale_is_made_at_the_next_account_at_once_and_the_first_is_voided() {
    for (commit, shows) in [("never", true), ("first", false)] {
        let world = World::memory().await;
        world.provider.rule(rule("first", "authorize"), lost(&json!(commit)), None).await;
        if !shows {
            world.provider.rule(rule("first", "lookup"), down(), None).await;
        }
        let answered = pay(&world, sale(), &["first", "second"]).await;
        assert_eq!(verdict(&answered.payment), "approved at 2", "{commit}");
        let payment = quiet(&world, answered.payment.id).await;
        assert_eq!(payment.obligation(1).map(|promised| promised.attempt), Some(1));
        assert_eq!(payment.voids.len(), 1, "{payment:#?}");
        let mut expected = vec![row("second", true, 1_000)];
        if commit == "first" {
            expected.insert(0, row("first", false, 0));
        }
        assert_eq!(books(&world).await, expected, "{commit}");
        world.provider.assert_nothing_twice().await;
        assert_eq!(world.store.describe().await.unwrap().timers, 0, "nothing is left to do");
    }
}

#[tokio::test]
async fn a_hold_that_is_found_at_once_is_kept_and_nobody_else_is_asked() {
    let world = World::memory().await;
    world.provider.rule(rule("first", "authorize"), lost(&json!("first")), None).await;
    let answered = pay(&world, sale(), &["first", "second"]).await;
    assert_eq!(verdict(&answered.payment), "approved at 1");
    assert_eq!(books(&world).await, [row("first", true, 1_000)]);
}

#[tokio::test]
async fn the_first_hold_wins_if_the_second_is_declined_and_it_turns_out_approved() {
    let world = World::memory().await;
    world.provider.rule(rule("first", "authorize"), lost(&json!("first")), None).await;
    world.provider.rule(rule("first", "lookup"), down(), Some(1)).await;
    let decline = json!({"verdict": {"decline": "do_not_honor"}});
    world.provider.rule(rule("second", "authorize"), decline, None).await;
    let answered = pay(&world, sale(), &["first", "second"]).await;
    assert_eq!(verdict(&answered.payment), "approved at 1");
    assert!(answered.payment.voids.is_empty());
    assert_eq!(books(&world).await[0], row("first", true, 1_000));
}

#[tokio::test]
async fn a_void_that_fails_is_sent_again_until_it_is_confirmed() {
    let world = World::memory().await;
    world.provider.rule(rule("first", "authorize"), lost(&json!("first")), None).await;
    world.provider.rule(rule("first", "lookup"), down(), Some(1)).await;
    world.provider.rule(rule("first", "cancel"), down(), Some(2)).await;
    let answered = pay(&world, sale(), &["first", "second"]).await;
    let id = answered.payment.id;
    assert_eq!(verdict(&answered.payment), "approved at 2");
    world.engine.start();
    for _ in 0..200 {
        world.clock.jump(15_000);
        tokio::time::sleep(Duration::from_millis(100)).await;
        if !books(&world).await[0].1 {
            break;
        }
    }
    assert_eq!(books(&world).await, [row("first", false, 0), row("second", true, 1_000)]);
    assert_eq!(verdict(&quiet(&world, id).await), "approved at 2");
}

#[tokio::test]
async fn after_a_minute_a_hold_in_doubt_is_given_back_though_nobody_asks() {
    let world = World::memory().await;
    world.provider.rule(rule("first", "authorize"), lost(&json!("first")), None).await;
    world.provider.rule(rule("first", "lookup"), down(), None).await;
    let decline = json!({"verdict": {"decline": "do_not_honor"}});
    world.provider.rule(rule("second", "authorize"), decline, None).await;
    let answered = pay(&world, sale(), &["first", "second"]).await;
    assert_eq!(verdict(&answered.payment), "in doubt at 1: unknown");
    assert!(books(&world).await[0].1, "it may still win");
    world.engine.start();
    world.clock.jump(61_000);
    let payment = quiet(&world, answered.payment.id).await;
    assert_eq!(verdict(&payment), "declined at 2");
    assert!(!books(&world).await[0].1);
}

#[tokio::test]
async fn a_hold_that_cannot_be_captured_is_given_back() {
    let world = World::memory().await;
    let decline = json!({"verdict": {"decline": "do_not_honor"}});
    world.provider.rule(rule("first", "capture"), decline, None).await;
    let answered = pay(&world, sale(), &["first", "second"]).await;
    assert_eq!(verdict(&answered.payment), "Voided at 1: CaptureFailed");
    assert_eq!(books(&world).await, [row("first", false, 0)]);
}

#[tokio::test]
async fn the_other_dialects_give_a_lost_hold_back_by_our_reference() {
    for account in ["stripe", "adyen"] {
        let world = World::memory().await;
        world.provider.rule(rule(account, "authorize"), lost(&json!("first")), None).await;
        world.provider.rule(rule(account, "lookup"), down(), Some(1)).await;
        let answered = pay(&world, sale(), &[account, "second"]).await;
        assert_eq!(verdict(&answered.payment), "approved at 2", "{account}");
        for _ in 0..100 {
            if !books(&world).await[0].1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let expected = [row(account, false, 0), row("second", true, 1_000)];
        let mut is = books(&world).await;
        is.sort_by_key(|(name, ..)| name != account);
        assert_eq!(is, expected, "{account}");
    }
}
