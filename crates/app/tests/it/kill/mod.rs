//! A separate sandbox keeps the books while `baton serve` is killed again and again under load.
//!
//! In the end every request that a client ever made is compared with the provider's books: what a client
//! was told exists, nothing was charged twice, nothing is lost. Half of the runs have the sandbox ignore
//! idempotency keys, so that a request sent twice would be a visible double charge.
//!
//! `BATON_KILLS` is the number of kills of each of the four combinations (default 6); `BATON_SEED` repeats
//! a run's choices (not its timing). The full test is `BATON_KILLS=100`.
//!
//! A kill of the process loses no byte that it has written: that a commit is on the disk before the
//! request leaves is shown by the trace of system calls (`order`), not here.

mod load;
mod verdict;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::support::random::{Random, seed};
use crate::support::{Client, Place, Process, admin, books, postgres, rule};
use load::{Order, Shop};

const CLIENTS: usize = 12;

/// How long it may take until nothing is in doubt any more. The sandbox's manifest keeps a request that
/// nobody knows of in doubt for ten seconds.
const SETTLE: Duration = Duration::from_secs(150);

/// How long the server is left to itself with that. Then clients read, which makes it look again at once:
/// its own schedule would pass over a provider's hiccup at 10 s until 30 s.
const ALONE: Duration = Duration::from_secs(13);

#[tokio::test(flavor = "multi_thread")]
async fn killed_under_load_on_sqlite_it_loses_and_doubles_nothing() {
    let seed = seed();
    tokio::join!(
        run("SQLite", true, Place::new(), seed),
        run("SQLite", false, Place::new(), seed + 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_under_load_on_postgresql_it_loses_and_doubles_nothing() {
    let Some(with_keys) = postgres::database("1: killing it on PostgreSQL").await else { return };
    let without_keys = postgres::database("1: killing it on PostgreSQL").await;
    let seed = seed() + 2;
    tokio::join!(
        run("PostgreSQL", true, Place::new().on(Some(with_keys)), seed),
        run("PostgreSQL", false, Place::new().on(without_keys), seed + 1)
    );
}

async fn run(database: &str, dedup: bool, place: Place, seed: u64) {
    let kills: u32 =
        std::env::var("BATON_KILLS").map_or(6, |text| text.parse().expect("BATON_KILLS"));
    let name = format!("{database}, deduplication {}", if dedup { "on" } else { "off" });
    eprintln!("{name}: {kills} kills, BATON_SEED={seed}");
    let begun = Instant::now();
    let place = place
        .with("BATON_PAYMENTS__SEND_WINDOW_MS", "1000")
        .with("BATON_PAYMENTS__CALLER_WAIT_MS", "2500")
        .with("BATON_PAYMENTS__REPEAT_WAIT_MS", "1500")
        .with("BATON_WIRE__ANSWER_TIMEOUT_MS", "1000")
        // The load is as much as comes through; a limit would make refusals of most of it.
        .with("BATON_LIMITS__REQUESTS_PER_SECOND", "0")
        // Open breakers would keep the load away from the provider.
        .with("BATON_WIRE__BREAKER_FAILURES", "50")
        // Without deduplication a call that is sent again is executed again.
        .with("BATON_PAYMENTS__REPLAY", if dedup { "true" } else { "false" })
        .with("BATON_LOG__LEVEL", "warn");
    let flags: &[&str] = if dedup { &[] } else { &["--no-dedup"] };
    let sandbox = place.sandbox(&[&["--sync", "relaxed"], flags].concat());
    disturb(&sandbox.url, seed).await;

    let key = place.key();
    let (address, server) = watch::channel(None);
    let shop = Arc::new(Shop::new(server, seed));
    let mut random = Random::new(seed);
    let clients: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(Arc::clone(&shop).buy())).collect();
    for _ in 0..kills {
        let mut process = place.serve_at(&sandbox);
        address.send_replace(Some(Client::new(&process, &key)));
        sleep(Duration::from_millis(random.between(60, 900))).await;
        process.kill();
        address.send_replace(None);
    }

    let process = place.serve_at(&sandbox);
    let client = Client::new(&process, &key);
    address.send_replace(Some(client.clone()));
    sleep(Duration::from_millis(500)).await;
    shop.close();
    for client in clients {
        client.await.unwrap();
    }
    let mut orders = shop.orders();
    settle(&place, &client, &orders).await;
    let first_look = books(&sandbox.url).await;
    let mut complaints = verdict::lost(&client, &orders, &first_look).await;
    load::ask_again(&client, &mut orders).await;
    settle(&place, &client, &orders).await;
    let rows = books(&sandbox.url).await;
    complaints.extend(verdict::compare(&orders, &rows));
    complaints.extend(summary(&sandbox, &rows).await);

    let told = verdict::Told::of(&orders);
    eprintln!("{name}: {told}; {} payments in the books; {:?}", rows.len(), begun.elapsed());
    assert!(complaints.is_empty(), "{name}, BATON_SEED={seed}:\n{}", complaints.join("\n"));
    // The test has to have met what it is about.
    assert!(told.lost >= kills, "{name}: hardly a request was cut off: {told}");
    assert!(told.in_doubt > 0 && told.failed_over > 0 && told.success > 20, "{name}: {told}");
}

/// A provider at its worst, for a few requests in a hundred each.
async fn disturb(sandbox: &str, seed: u64) {
    let fault =
        |commit: Value, answer: Value| json!({"fault": {"commit": commit, "answer": answer}});
    let status = |status: u16| json!({"status": {"status": status}});
    let faults = [
        (fault(json!("first"), json!("close")), 40),
        (fault(json!("never"), json!("close")), 15),
        (fault(json!("first"), status(503)), 20),
        (fault(json!("never"), status(500)), 15),
        (fault(json!({"late": {"after_ms": 400}}), json!("close")), 20),
        (fault(json!("first"), json!("garbage")), 10),
        (fault(json!("first"), json!("hang")), 10),
        (json!({"latency_ms": 40}), 300),
    ];
    for operation in ["sale", "authorize", "capture", "refund", "void"] {
        for (action, permille) in &faults {
            add(sandbox, operation, action, *permille).await;
        }
    }
    for operation in ["sale", "authorize"] {
        let limited = json!({"refuse": {"status": 429, "code": "rate_limited"}});
        add(sandbox, operation, &limited, 80).await;
        let disabled = json!({"verdict": {"decline": "merchant_account_disabled"}});
        add(sandbox, operation, &disabled, 50).await;
    }
    add(sandbox, "lookup", &fault(json!("never"), status(503)), 50).await;
    admin(sandbox, "PUT", "/settings", &json!({ "seed": seed })).await;
}

async fn add(sandbox: &str, operation: &str, action: &Value, permille: u16) {
    let matches = json!({ "operation": operation });
    let all = json!({"match": matches, "action": action, "probability_permille": permille});
    rule(sandbox, all).await;
}

/// Waits until no call is running or in doubt.
async fn settle(place: &Place, client: &Client, orders: &[Order]) {
    let begun = Instant::now();
    loop {
        let findings = place.json(&["doctor", "--json"]);
        let contents = findings["findings"]
            .as_array()
            .and_then(|all| all.iter().find(|one| one["check"] == "contents"));
        let detail = contents.and_then(|one| one["detail"].as_str()).unwrap();
        if detail.contains(" 0 calls running or in doubt") {
            return;
        }
        assert!(begun.elapsed() < SETTLE, "still in doubt after {SETTLE:?}: {detail}");
        if begun.elapsed() > ALONE {
            for order in orders {
                load::status(client, order).await;
            }
        }
        sleep(Duration::from_millis(500)).await;
    }
}

/// The sandbox's own count of double charges, which knows nothing of our comparison.
async fn summary(sandbox: &Process, rows: &[Value]) -> Vec<String> {
    let summary = admin(&sandbox.url, "GET", "/books/summary", &Value::Null).await;
    let doubles = ["double_charged_references", "captured_more_than_once", "live_more_than_once"];
    let mut complaints: Vec<String> = doubles
        .into_iter()
        .filter(|name| summary[name] != 0)
        .map(|name| format!("the sandbox counts {name}: {}", summary[name]))
        .collect();
    if rows.iter().any(|row| row["times_executed"] != 1) {
        complaints.push("a request was executed more than once".to_owned());
    }
    complaints
}
