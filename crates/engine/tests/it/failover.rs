//! What a list of accounts comes to, for every way in which the first can fail.

use std::time::Duration;

use baton_flow::{DoubtMode, OrderKind};
use baton_store::Store as _;
use baton_wire::BreakerState;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::world::{Setup, World, purchase, usd, verdict};

fn fault(commit: &Value, answer: &Value) -> Value {
    json!({"fault": {"commit": commit, "answer": answer}})
}

fn decline(code: &str) -> Value {
    json!({"verdict": {"decline": code}})
}

/// What the first account does, what the client is told of the list in the end, and which accounts
/// executed a payment.
struct Row(&'static str, Value, &'static str, &'static [&'static str]);

const BOTH: &[&str] = &["first", "second"];
const FIRST: &[&str] = &["first"];
const SECOND: &[&str] = &["second"];
const NOBODY: &[&str] = &[];

fn table() -> Vec<Row> {
    let (never, first) = (json!("never"), json!("first"));
    let status = |status: u16| json!({"status": {"status": status}});
    let refuse = |status: u16, code: &str| json!({"refuse": {"status": status, "code": code}});
    let [close, garbage, truncated, hang] =
        ["close", "garbage", "truncated", "hang"].map(Value::from);
    let late = json!({"late": {"after_ms": 700}});
    let pending = |then: Value| json!({"verdict": {"pending": {"after_ms": 700, "then": then}}});
    vec![
        Row("approves", json!({}), "approved at 1", FIRST),
        Row("is slow", json!({"latency_ms": 200}), "approved at 1", FIRST),
        // Nothing was attempted: the next account is tried.
        Row("429", fault(&never, &status(429)), "approved at 2", SECOND),
        Row("400", refuse(400, "validation"), "approved at 2", SECOND),
        Row("401", refuse(401, "unauthorized"), "approved at 2", SECOND),
        Row("403", refuse(403, "forbidden"), "approved at 2", SECOND),
        Row("409", refuse(409, "reference_cancelled"), "approved at 2", SECOND),
        // Declined: by whom decides.
        Row("issuer declines", decline("do_not_honor"), "declined at 1", FIRST),
        Row("risk engine declines", decline("risk_blocked"), "declined at 1", FIRST),
        Row("provider declines", decline("provider_declined"), "approved at 2", BOTH),
        // The answer is lost, and a look-up finds the payment.
        Row("500 after commit", fault(&first, &status(500)), "approved at 1", FIRST),
        Row("503 after commit", fault(&first, &status(503)), "approved at 1", FIRST),
        Row("dropped after commit", fault(&first, &close), "approved at 1", FIRST),
        Row("garbage", fault(&first, &garbage), "approved at 1", FIRST),
        Row("truncated", fault(&first, &truncated), "approved at 1", FIRST),
        Row("hangs after commit", fault(&first, &hang), "approved at 1", FIRST),
        Row("dropped, executed late", fault(&late, &close), "approved at 1", FIRST),
        Row("504, executed late", fault(&late, &status(504)), "approved at 1", FIRST),
        Row("hangs, executed late", fault(&late, &hang), "approved at 1", FIRST),
        Row("slower than we wait", json!({"latency_ms": 3_000}), "approved at 1", FIRST),
        // Accepted for later.
        Row("pending, approved", pending(json!(null)), "approved at 1", FIRST),
        Row("pending, issuer", pending(json!("do_not_honor")), "declined at 1", FIRST),
        Row("pending, provider", pending(json!("provider_declined")), "approved at 2", BOTH),
        // The answer is lost, and a look-up finds nothing, for now.
        Row("500", fault(&never, &status(500)), "in doubt at 1: unknown", NOBODY),
        Row("503", fault(&never, &status(503)), "in doubt at 1: unknown", NOBODY),
        Row("undocumented 409", refuse(409, "who_knows"), "in doubt at 1: unknown", NOBODY),
        Row("dropped", fault(&never, &close), "in doubt at 1: unknown", NOBODY),
        Row("hangs", fault(&never, &hang), "in doubt at 1: unknown", NOBODY),
        // What nobody asked for is voided, and not tried elsewhere.
        Row(
            "challenge",
            json!({"verdict": {"challenge": {"abandoned": false}}}),
            "Voided at 1: ActionRequired",
            FIRST,
        ),
        Row(
            "partial",
            json!({"verdict": {"partial": {"authorized": 400}}}),
            "Voided at 1: PartialApproval",
            FIRST,
        ),
    ]
}

/// What is not found is cancelled where the provider then refuses what still arrives, and the second is asked: for a
/// sale, too, and for what would have been executed late.
fn cancelled(row: &Row) -> (&'static str, &'static [&'static str]) {
    let Row(name, _, expected, executed) = row;
    let is_late = name.ends_with(", executed late") || *name == "slower than we wait";
    // That one is left alone before it gives up waiting.
    let is_in_time = *name == "hangs, executed late";
    if (is_late && !is_in_time) || expected.starts_with("in doubt") {
        ("approved at 2", SECOND)
    } else {
        (*expected, *executed)
    }
}

async fn run(row: &Row, kind: OrderKind, cancels: bool) {
    let Row(name, action, expected, executed) = row;
    let (expected, executed) = if cancels { cancelled(row) } else { (*expected, *executed) };
    let mut setup = Setup::default();
    // Long enough for the look-up that comes after two seconds, too short for the one after ten.
    setup.engine.failover_window_ms = 6_000;
    let world = World::with(setup).await;
    if !cancels {
        world.keeps_doubts().await;
    }
    let matches = json!({"account": "first", "operation": operation(kind)});
    world.provider.rule(matches, action.clone(), None).await;
    let answered = world.buy(kind, &["first", "second"]).await.unwrap();
    let id = answered.payment.id;
    let what = format!("{name}, {}, cancels: {cancels}", kind.as_str());
    assert_eq!(verdict(&answered.payment), expected, "{what}");
    if name.ends_with("late") || *name == "slower than we wait" {
        // It has arrived by now.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    }
    assert_eq!(world.provider.executed().await, *executed, "{what}");
    world.provider.assert_nothing_twice().await;
    // What is told is what is stored, later too.
    assert_eq!(world.stored(id).await.as_ref(), Some(answered.payment.as_ref()), "{what}");
    if answered.payment.has_open_calls() {
        let settled = world.settle(id).await.payment;
        assert_eq!(verdict(&settled), "Absent at 1: InDoubt", "{what}: {settled:?}");
        let ran = world.provider.executed().await;
        assert_eq!(ran, *executed, "{what}: nobody else was asked");
    } else {
        assert_eq!(world.status(id).await.payment, answered.payment, "{what}");
    }
    let live = world.provider.books().await.into_iter().filter(|row| row.is_live()).count();
    let approved = expected.starts_with("approved");
    assert_eq!(live, usize::from(approved), "{what}: one live payment where one was approved");
}

fn operation(kind: OrderKind) -> &'static str {
    match kind {
        OrderKind::Charge(_) => "sale",
        OrderKind::Authorize(_) => "authorize",
        OrderKind::Tokenize => "tokenize",
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_the_first_account_comes_to_what_the_table_says() {
    let table = table();
    for kind in [OrderKind::Charge(usd(1_000)), OrderKind::Authorize(usd(1_000))] {
        join_all(table.iter().map(|row| run(row, kind, true))).await;
        join_all(table.iter().map(|row| run(row, kind, false))).await;
    }
}

#[tokio::test]
async fn three_accounts_cost_four_commits_and_one_costs_two() {
    let world = World::memory().await;
    let list = ["test-failure", "test-failure", "test-success"];
    let answered = world.charge(1_000, &list).await;
    assert_eq!(verdict(&answered.payment), "approved at 3");
    assert_eq!(answered.payment.attempts.len(), 3);
    assert_eq!((world.store.commits(), answered.payment.version), (4, 4), "n + 1");

    for (accounts, expected) in [
        (&["test-success", "test-failure"][..], "approved at 1"),
        (&["first"], "approved at 1"),
        (&["test-failure"], "refused at 1"),
    ] {
        world.store.script(|_, _| crate::probe::Act::Pass);
        let answered = world.charge(1_000, accounts).await;
        assert_eq!(verdict(&answered.payment), expected);
        assert_eq!(world.store.commits(), 2, "{accounts:?}");
    }
}

#[tokio::test]
async fn an_account_that_cannot_be_reached_is_passed_over() {
    let world = World::memory().await;
    let answered = world.charge(1_000, &["closed", "second"]).await;
    assert_eq!(verdict(&answered.payment), "approved at 2");
    let answered = world.charge(1_000, &["closed"]).await;
    assert_eq!(verdict(&answered.payment), "not_sent at 1");
    assert_eq!(world.provider.executed().await, ["second"]);
}

#[tokio::test]
async fn an_open_breaker_keeps_the_call_here_without_a_commit_of_its_own() {
    let mut setup = Setup::default();
    setup.wire.breaker.failures = 2;
    let world = World::with(setup).await;
    for _ in 0..2 {
        assert_eq!(verdict(&world.charge(1_000, &["closed"]).await.payment), "not_sent at 1");
    }
    let health = world.engine.wire_health();
    assert_eq!(health[0].breaker, BreakerState::Open);
    world.store.script(|_, _| crate::probe::Act::Pass);
    let answered = world.charge(1_000, &["closed", "second"]).await;
    assert_eq!(verdict(&answered.payment), "approved at 2");
    assert_eq!(world.store.commits(), 2);
    let alone = world.charge(1_000, &["closed"]).await;
    assert_eq!((verdict(&alone.payment).as_str(), alone.payment.version), ("not_sent at 1", 1));
}

#[tokio::test]
async fn questions_are_asked_although_the_breaker_is_open() {
    let mut setup = Setup::default();
    setup.wire.breaker.failures = 1;
    let world = World::with(setup).await;
    let drop = fault(&json!("first"), &json!("close"));
    world.provider.rule(json!({"account": "first", "operation": "sale"}), drop, None).await;
    let answered = world.charge(1_000, &["first"]).await;
    assert_eq!(world.engine.wire_health()[0].breaker, BreakerState::Open);
    assert_eq!(verdict(&answered.payment), "approved at 1", "found by a look-up");
}

#[tokio::test]
async fn stop_means_that_a_doubt_is_the_end_of_the_list() {
    let mut setup = Setup::default();
    setup.engine.caller_wait_ms = 4_000;
    let world = World::with(setup).await;
    let pending = json!({"verdict": {"pending": {"after_ms": 700, "then": "provider_declined"}}});
    world.provider.rule(json!({"account": "first", "operation": "sale"}), pending, None).await;
    let mut purchase = purchase(OrderKind::Charge(usd(1_000)), &["first", "second"]);
    purchase.doubt = DoubtMode::Stop;
    let answered = world.engine.purchase(world.caller, purchase, None).await.unwrap();
    assert_eq!(verdict(&answered.payment), "declined at 1");
    assert_eq!(world.provider.executed().await, ["first"]);
}

#[tokio::test]
async fn an_authorization_that_two_look_ups_do_not_find_is_tried_elsewhere_and_a_charge_is_not() {
    let mut setup = Setup::default();
    // The sandbox may execute for ten seconds after the last byte; two looks come after that.
    setup.engine.send_window_ms = 500;
    let world = World::with(setup).await;
    world.keeps_doubts().await;
    let lost = fault(&json!("never"), &json!("close"));
    world.provider.rule(json!({"account": "first"}), lost, Some(1)).await;
    let answered = world.authorize(1_000, &["first", "second"]).await;
    assert_eq!(verdict(&answered.payment), "approved at 2");
    assert_eq!(world.provider.executed().await, ["second"]);

    let lost = fault(&json!("never"), &json!("close"));
    world.provider.rule(json!({"account": "first"}), lost, Some(1)).await;
    let answered = world.charge(1_000, &["first", "second"]).await;
    assert_eq!(verdict(&answered.payment), "Absent at 1: InDoubt");
    assert_eq!(world.provider.executed().await, ["second"], "only the authorization");
}

#[tokio::test]
async fn a_caller_that_waits_no_longer_is_told_the_truth_and_the_call_goes_on() {
    let mut setup = Setup::default();
    setup.engine.caller_wait_ms = 100;
    setup.wire.answer_timeout = Duration::from_secs(5);
    let world = World::with(setup).await;
    world.provider.rule(json!({"operation": "sale"}), json!({"latency_ms": 600}), None).await;
    let answered = world.charge(1_000, &["first"]).await;
    assert_eq!(verdict(&answered.payment), "running");
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    assert_eq!(verdict(&world.status(answered.payment.id).await.payment), "approved at 1");
    let timers = world.store.describe().await.unwrap().timers;
    assert_eq!(timers, 0, "a concluded payment leaves no timer behind");
}
