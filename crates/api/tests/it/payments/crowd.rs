//! Fifty clients at one payment: they capture, refund and cancel at once, round after round, on every kind of
//! store. Whatever each is told, no more is captured than was held, no more given back than was captured, and the
//! provider's books say what ours do.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use baton_store::{MemoryStore, OpenOptions, Store, open};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{Shop, payment, with};
use crate::client::Seen;
use crate::server::Server;

const POSTGRES: &str = "BATON_TEST_POSTGRES_URL";

const HELD: i64 = 10_000;

/// How a round begins, and what the clients ask for in turn.
const ROUNDS: [(&str, &[(&str, i64)]); 5] = [
    ("manual_multiple", &[("capture", 700), ("refund", 300), ("capture", 1_900), ("cancel", 0)]),
    ("manual_multiple", &[("capture", 3_000), ("refund", 2_999)]),
    ("manual", &[("capture", 6_000), ("cancel", 0), ("refund", 100)]),
    ("automatic", &[("refund", 450), ("refund", 3_100), ("cancel_post_capture", 0)]),
    ("automatic", &[("refund", 999)]),
];

async fn ask(shop: &Shop, id: &str, operation: &str, amount: i64) -> Seen {
    let (path, body) = match operation {
        "refund" => ("/refunds".to_owned(), json!({"payment_id": id, "amount": amount})),
        "capture" => (format!("/payments/{id}/capture"), json!({"amount_to_capture": amount})),
        other => (format!("/payments/{id}/{other}"), json!({})),
    };
    shop.send("POST", &path, &body).await
}

/// The sum of the refunds. None has failed: what the books do not allow is refused before the provider is asked.
async fn given_back(shop: &Shop, id: &str) -> i64 {
    let list = shop.post("/refunds/list", json!({"payment_id": id, "limit": 100})).await;
    let rows = list["data"].as_array().unwrap().clone();
    for row in &rows {
        assert_eq!(row["status"], "succeeded", "{row}");
    }
    rows.iter().map(|row| row["amount"].as_i64().unwrap()).sum()
}

async fn crowd(shop: &Shop, capture: &str, asked: &[(&str, i64)]) {
    let made = with(payment(HELD), json!({"capture_method": capture}));
    let made = shop.post("/payments", made).await;
    let id = made["payment_id"].as_str().unwrap();
    let clients = asked.iter().cycle().take(50);
    let clients = clients.map(|(operation, amount)| ask(shop, id, operation, *amount));
    let answers = join_all(clients).await;
    for seen in &answers {
        let code = seen.json()["error"]["code"].as_str().unwrap_or_default().to_owned();
        let fits = match seen.status {
            200 => code.is_empty(),
            400 => ["IR_06", "IR_13", "IR_14", "IR_16"].contains(&code.as_str()),
            422 => code == "HE_00",
            _ => false,
        };
        assert!(fits, "{capture}: {seen:?}");
    }
    let done = |which: &str| -> Vec<i64> {
        let answered = asked.iter().cycle().zip(&answers);
        let done = answered.filter(|(asked, seen)| asked.0 == which && seen.status == 200);
        done.map(|(asked, _)| asked.1).collect()
    };
    let is_done = asked.iter().any(|(which, _)| !done(which).is_empty());
    assert!(is_done, "{capture}: nobody got through");

    let seen = shop.get(&format!("/payments/{id}")).await;
    let number = |value: &Value| value.as_i64().unwrap_or_default();
    let captured = number(&seen["amount_received"]);
    let refunded = given_back(shop, id).await;
    assert!(refunded <= captured && captured <= HELD, "{refunded} of {captured}: {seen}");
    let sum = |which| done(which).iter().sum::<i64>();
    assert_eq!(sum("refund"), refunded, "what was said to be given back is: {seen}");
    if capture != "automatic" {
        assert_eq!(sum("capture"), captured, "what was said to be captured is: {seen}");
    }
    let books = shop.server.books().await;
    let rows = books["data"].as_array().unwrap();
    let theirs: Vec<_> =
        rows.iter().filter(|row| row["id"] == seen["connector_transaction_id"]).collect();
    let [theirs] = theirs[..] else { panic!("{seen}") };
    let is_over = seen["status"].as_str().unwrap().starts_with("cancelled");
    let kept = if is_over { 0 } else { captured };
    assert_eq!(
        (number(&theirs["captured"]), number(&theirs["refunded"]), &theirs["voided"]),
        (kept, refunded, &json!(is_over)),
        "{seen} {theirs}"
    );
    assert_eq!(theirs["times_executed"], 1);
    if is_over {
        assert_eq!(refunded, 0, "{seen}");
    }
}

async fn rounds(store: Arc<dyn Store>, times: usize) {
    let shop = Shop::named(Server::on(store).await, "crowd").await;
    for _ in 0..times {
        for (capture, asked) in ROUNDS {
            crowd(&shop, capture, asked).await;
        }
    }
}

fn migrating() -> OpenOptions {
    OpenOptions { migrate: true, ..OpenOptions::default() }
}

#[tokio::test]
async fn fifty_clients_break_no_sum_in_memory() {
    rounds(Arc::new(MemoryStore::default()), 5).await;
}

#[tokio::test]
async fn fifty_clients_break_no_sum_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("crowd.db").display());
    rounds(open(&url, migrating()).await.unwrap(), 4).await;
}

#[tokio::test]
async fn fifty_clients_break_no_sum_on_postgresql() {
    match postgres_database().await {
        Some(url) => rounds(open(&url, migrating()).await.unwrap(), 4).await,
        // Past the test harness, which hides what a test prints.
        None => writeln!(std::io::stderr(), "SKIPPED 1: {POSTGRES} is not set").unwrap(),
    }
}

/// A new, empty database on the throwaway server; none without a server.
#[allow(clippy::disallowed_methods, reason = "the connection lives as long as its test")]
pub(crate) async fn postgres_database() -> Option<String> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let url = std::env::var(POSTGRES).ok()?;
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let number = NUMBER.fetch_add(1, Ordering::SeqCst);
    let name = format!("api_{}_{number}", std::process::id());
    client.batch_execute(&format!("create database {name}")).await.unwrap();
    let (server, _) = url.rsplit_once('/').unwrap();
    Some(format!("{server}/{name}"))
}
