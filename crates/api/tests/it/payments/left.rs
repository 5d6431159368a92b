//! Payers who were sent to a challenge and do not come back.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use baton_store::{OpenOptions, Store};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Shop, card, hooks, payment, with};

const CHALLENGED: &str = "4000000000003063";
/// Its challenge can never be passed, and waits until it is voided.
const LEFT: &str = "4000000000003121";

fn challenged(number: &str, more: Value) -> Value {
    let body = json!({
        "authentication_type": "three_ds", "return_url": "https://shop.example/done", "session_expiry": 1,
        "payment_method_data": card(number),
    });
    with(with(payment(1_000), body), more)
}

async fn until(shop: &Shop, made: &Value, status: &str) -> Value {
    let started = Instant::now();
    let path = format!("/payments/{}", made["payment_id"].as_str().unwrap());
    loop {
        let seen = shop.get(&path).await;
        if seen["status"] == status {
            return seen;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{seen}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn timers(shop: &Shop) -> u64 {
    shop.server.engine.store().describe().await.unwrap().timers
}

async fn is_cancelled(store: Option<Arc<dyn Store>>) {
    let (shop, receiver) = hooks::open_within(store, 1_500).await;
    let begun = Instant::now();
    let made = shop.post("/payments", challenged(LEFT, json!({}))).await;
    assert_eq!(made["status"], "requires_customer_action", "{made}");
    // Held as well as sold; and one whose payer has paid, of which nobody has told us.
    let held = shop.post("/payments", challenged(LEFT, json!({"capture_method": "manual"}))).await;
    let back = shop.post("/payments", challenged(CHALLENGED, json!({"amount": 2_000}))).await;
    let plain = shop.post("/payments", with(payment(3_000), json!({"session_expiry": 1}))).await;
    assert_eq!(shop.challenge(&back, "approve").await.status, 303);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    // Its session is over, and its payer's time is not.
    let seen = shop.get(&format!("/payments/{}", made["payment_id"].as_str().unwrap())).await;
    assert_eq!(seen["status"], "requires_customer_action", "{seen}");
    for made in [&made, &held] {
        let seen = until(&shop, made, "cancelled").await;
        assert!(begun.elapsed() >= Duration::from_millis(1_500), "too early: {seen}");
        assert_eq!(seen["cancellation_reason"], "abandoned", "{seen}");
        assert_eq!(seen["next_action"], Value::Null, "{seen}");
    }
    // Who comes back now cannot pay any more.
    let late = shop.challenge(&made, "approve").await;
    assert!(!late.body.contains("approved"), "{late:?}");
    until(&shop, &back, "succeeded").await;
    until(&shop, &plain, "succeeded").await;
    let started = Instant::now();
    while timers(&shop).await > 0 {
        assert!(started.elapsed() < Duration::from_secs(60), "something is left to be done");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(until(&shop, &made, "cancelled").await["status"], "cancelled");
    assert_eq!(until(&shop, &back, "succeeded").await["cancellation_reason"], Value::Null);
    let id = &made["payment_id"];
    let got = receiver.wait(11).await;
    let of = |got: &&hooks::Got| got.json()["content"]["object"]["payment_id"] == *id;
    let told: Vec<String> = got.iter().filter(of).map(hooks::Got::kind).collect();
    assert_eq!(told, ["payment_processing", "action_required", "payment_cancelled"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_its_payer_has_left_is_cancelled() {
    is_cancelled(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_its_payer_has_left_is_cancelled_from_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("left.db").display());
    let options = OpenOptions { migrate: true, ..Default::default() };
    is_cancelled(Some(baton_store::open(&url, options).await.unwrap())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_its_payer_has_left_is_cancelled_from_postgres() {
    let Some(url) = super::crowd::postgres_database().await else {
        return writeln!(std::io::stderr(), "SKIPPED 1: no PostgreSQL").unwrap();
    };
    let options = OpenOptions { migrate: true, ..Default::default() };
    is_cancelled(Some(baton_store::open(&url, options).await.unwrap())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_does_not_cancel_goes_on_waiting() {
    let (shop, receiver) = hooks::open_within(None, 1_000).await;
    let refuses = json!({"verdict": {"decline": "closed_account"}});
    shop.server.script(json!({"operation": "void"}), refuses).await;
    let made = shop.post("/payments", challenged(CHALLENGED, json!({}))).await;
    let path = format!("/payments/{}", made["payment_id"].as_str().unwrap());
    let started = Instant::now();
    // The reason is written with the cancel's plan.
    while shop.get(&path).await["cancellation_reason"].is_null() {
        assert!(started.elapsed() < Duration::from_secs(20), "nobody tries");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let seen = shop.get(&path).await;
    assert_eq!(seen["status"], "requires_customer_action", "{seen}");
    assert!(timers(&shop).await > 0, "it is tried again");
    // The payer can still pay, and then there is nothing to cancel.
    assert_eq!(shop.challenge(&made, "approve").await.status, 303);
    let seen = until(&shop, &made, "succeeded").await;
    assert_eq!(seen["amount_received"], 1_000, "{seen}");
    let told = hooks::kinds(&receiver.wait(3).await);
    assert_eq!(told, ["payment_processing", "action_required", "payment_succeeded"]);
}
