//! Payments that nobody confirms in time.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use baton_store::{OpenOptions, Store};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Shop, card, hooks, payment, with};
use crate::client::Seen;

fn waiting(more: Value) -> Value {
    with(with(payment(1000), json!({"confirm": false})), more)
}

fn id_of(made: &Value) -> String {
    made["payment_id"].as_str().unwrap().to_owned()
}

async fn until(shop: &Shop, id: &str, status: &str) -> Value {
    let started = Instant::now();
    loop {
        let seen = shop.get(&format!("/payments/{id}")).await;
        if seen["status"] == status {
            return seen;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{seen}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[track_caller]
fn refused(seen: &Seen, code: &str, message: &str) {
    assert_eq!((seen.status, &seen.json()["error"]["code"]), (400, &json!(code)), "{seen:?}");
    assert!(seen.body.contains(message), "{seen:?}");
}

#[tokio::test]
async fn what_has_expired_can_be_neither_paid_nor_changed() {
    let shop = Shop::open().await;
    let made = shop.post("/payments", waiting(json!({"session_expiry": 1}))).await;
    let id = id_of(&made);
    assert_eq!(made["status"], "requires_confirmation");
    let paid = shop.post("/payments", with(payment(500), json!({"session_expiry": 1}))).await;
    let given_up = shop.post("/payments", waiting(json!({"session_expiry": 1}))).await;
    shop.post(&format!("/payments/{}/cancel", id_of(&given_up)), json!({})).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    // The server runs no timers: whoever looks ends it.
    let path = format!("/payments/{id}");
    let card = json!({"payment_method_data": card("4111111111111111")});
    let confirmed = shop.send("POST", &format!("{path}/confirm"), &card).await;
    refused(&confirmed, "IR_16", "You cannot confirm this payment because it has status expired");
    let changed = shop.send("POST", &path, &json!({"amount": 7})).await;
    refused(&changed, "IR_14", "could not be updated because it has a status of expired");
    let cancelled = shop.send("POST", &format!("{path}/cancel"), &json!({})).await;
    refused(&cancelled, "IR_16", "status expired");
    let secret = json!({"client_secret": made["client_secret"]});
    let browser = shop
        .send_as(&shop.publishable, "POST", &format!("{path}/confirm"), &with(card, secret))
        .await;
    refused(&browser, "IR_08", "expired");
    let seen = shop.get(&path).await;
    assert_eq!((&seen["status"], &seen["amount_capturable"]), (&json!("expired"), &json!(0)));
    assert_eq!(seen["expires_on"], made["expires_on"]);
    assert_eq!(shop.server.at_provider().await, 1, "only the one that was confirmed");
    for (made, status) in [(&paid, "succeeded"), (&given_up, "cancelled")] {
        let seen = shop.get(&format!("/payments/{}", id_of(made))).await;
        assert_eq!(seen["status"], status);
    }
}

#[tokio::test]
async fn a_session_counts_from_when_the_payment_was_made() {
    let shop = Shop::open().await;
    let seconds = |made: &Value| {
        let at = |name: &str| {
            baton_types::Timestamp::parse_rfc3339(made[name].as_str().unwrap()).unwrap().millis()
        };
        at("expires_on") - at("created")
    };
    let made = shop.post("/payments", waiting(json!({}))).await;
    assert_eq!(seconds(&made), 900_000);
    let path = format!("/payments/{}", id_of(&made));
    let changed = shop.post(&path, json!({"session_expiry": 3600})).await;
    assert_eq!(seconds(&changed), 3_600_000);
    let again = shop.post(&path, json!({"amount": 5})).await;
    assert_eq!(seconds(&again), 3_600_000, "what is not named stays");
    for wrong in [json!(0), json!(7_890_001)] {
        let seen = shop.send("POST", "/payments", &waiting(json!({"session_expiry": wrong}))).await;
        refused(&seen, "IR_07", "session_expiry");
    }
    for wrong in [json!(-1), json!("1")] {
        let seen = shop.send("POST", "/payments", &waiting(json!({"session_expiry": wrong}))).await;
        assert_eq!(seen.status, 400, "{seen:?}");
    }
}

/// By its timer, told once, and nothing is left to be done afterwards.
async fn told_once(store: Option<Arc<dyn Store>>) {
    let (shop, receiver) = hooks::open(store, &[50; 16]).await;
    let made = shop.post("/payments", waiting(json!({"session_expiry": 1}))).await;
    let longer = shop.post("/payments", waiting(json!({"session_expiry": 1}))).await;
    let longer = format!("/payments/{}", id_of(&longer));
    shop.post(&longer, json!({"session_expiry": 900})).await;
    let got = receiver.wait(1).await;
    let event = got[0].json();
    assert_eq!(event["event_type"], "payment_expired");
    let id = id_of(&made);
    let shown = shop.get(&format!("/payments/{id}")).await;
    assert_eq!(event["content"], json!({"type": "payment_details", "object": shown}));
    assert_eq!((&shown["status"], &shown["payment_id"]), (&json!("expired"), &made["payment_id"]));
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(receiver.got().len(), 1, "none twice, and not the one that has time");
    assert_eq!(shop.get(&longer).await["status"], "requires_confirmation");
    shop.post(&format!("{longer}/cancel"), json!({})).await;
    let timers = shop.server.engine.store().describe().await.unwrap().timers;
    assert_eq!(timers, 0, "nothing is left to be done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_expires_is_told_of_once() {
    told_once(None).await;
}

async fn sqlite() -> (tempfile::TempDir, Arc<dyn Store>) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("baton.db").display());
    let options = OpenOptions { migrate: true, ..Default::default() };
    let store = baton_store::open(&url, options).await.unwrap();
    (folder, store)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_expires_is_told_of_once_from_sqlite() {
    let (_folder, store) = sqlite().await;
    told_once(Some(store)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_expires_is_told_of_once_from_postgres() {
    let Some(url) = super::crowd::postgres_database().await else {
        return writeln!(std::io::stderr(), "SKIPPED 1: no PostgreSQL").unwrap();
    };
    let options = OpenOptions { migrate: true, ..Default::default() };
    told_once(Some(baton_store::open(&url, options).await.unwrap())).await;
}

/// Confirmations around the moment at which the payments expire, on a database: each is paid or has expired, never
/// both, and is told of accordingly.
#[tokio::test(flavor = "multi_thread")]
async fn who_confirms_at_the_last_moment_pays_or_is_refused() {
    let (_folder, store) = sqlite().await;
    let (shop, receiver) = hooks::open(Some(store), &[50; 16]).await;
    let mut ids = Vec::new();
    for _ in 0..30 {
        let body = waiting(json!({"session_expiry": 1, "customer_id": "ada"}));
        let made = shop.post("/payments", body).await;
        ids.push((id_of(&made), Instant::now()));
    }
    let answers = join_all(ids.iter().enumerate().map(|(no, (id, made))| {
        let shop = &shop;
        let wait = Duration::from_millis(900 + 8 * u64::try_from(no).unwrap());
        async move {
            tokio::time::sleep_until(*made + wait).await;
            let body = json!({"payment_method_data": card("4111111111111111")});
            shop.send("POST", &format!("/payments/{id}/confirm"), &body).await
        }
    }))
    .await;
    let mut paid = 0;
    for ((id, _), seen) in ids.iter().zip(&answers) {
        assert!([200, 400, 422].contains(&seen.status), "{seen:?}");
        let status = if seen.status == 200 { "succeeded" } else { "expired" };
        paid += usize::from(seen.status == 200);
        until(&shop, id, status).await;
    }
    assert!((1..30).contains(&paid), "both happen: {paid} of 30 were paid");
    assert_eq!(shop.server.at_provider().await, paid, "what has expired was never sent");
    let got = receiver.wait(30 + paid).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(receiver.got().len(), 30 + paid, "{:?}", hooks::kinds(&got));
    for ((id, _), seen) in ids.iter().zip(&answers) {
        let of = |got: &&hooks::Got| got.json()["content"]["object"]["payment_id"] == id.as_str();
        let told: Vec<String> = got.iter().filter(of).map(hooks::Got::kind).collect();
        let paid: &[&str] = &["payment_processing", "payment_succeeded"];
        assert_eq!(told, if seen.status == 200 { paid } else { &["payment_expired"] });
    }
}
