//! How many entries a second the audit log takes, durably, from many callers at once.
//!
//! ```text
//! cargo run --release -p baton-engine --example bench_audit -- [URL] [CALLERS] [SECONDS]
//! ```
//!
//! Without a URL on a SQLite file in the temporary directory, which must be on a disk to mean anything. Each
//! caller waits for its entry before it records the next. The chain is verified at the end.

#![allow(
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program that measures"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use baton_engine::SystemClock;
use baton_engine::audit::{Action, Actor, Audit, Entry, verify};
use baton_store::{OpenOptions, open};
use baton_types::MerchantId;
use serde_json::json;

fn entry(caller: u64, n: usize) -> Entry {
    Entry {
        merchant: Some(MerchantId::from_bytes([1; 16])),
        actor: Actor::Operator,
        action: Action::TokenUsed,
        subject: format!("token {caller} {n}"),
        detail: json!({ "payment": "pay_01fwhe4ydgfk1shh6w1g60eecf", "account": "acme" }),
        request_id: Some("req_01fwhe4ydgfk1shh6w1g60eecf".to_owned()),
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite:{}", folder.path().join("baton.db").display());
    let url = arguments.first().cloned().unwrap_or(file);
    let number = |at: usize, default| arguments.get(at).map_or(default, |a| a.parse().unwrap());
    let (callers, seconds): (u64, u64) = (number(1, 64), number(2, 10));

    let store = open(&url, OpenOptions { migrate: true, ..OpenOptions::default() }).await.unwrap();
    let audit = Audit::new(Arc::clone(&store), Arc::new(SystemClock));
    let started = Instant::now();
    let end = started + Duration::from_secs(seconds);
    let work: Vec<_> = (0..callers)
        .map(|caller| {
            let audit = audit.clone();
            tokio::spawn(async move {
                let mut took = Vec::new();
                while Instant::now() < end {
                    let before = Instant::now();
                    audit.record(entry(caller, took.len())).await.unwrap();
                    took.push(before.elapsed());
                }
                took
            })
        })
        .collect();
    let mut took = Vec::new();
    for caller in work {
        took.extend(caller.await.unwrap());
    }
    let elapsed = started.elapsed().as_secs_f64();
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    println!(
        "{callers} callers: {:.0} entries/s, p50 {:.1} ms, p99 {:.1} ms, slowest {:.1} ms",
        took.len() as f64 / elapsed,
        at(50),
        at(99),
        at(100)
    );
    let before = Instant::now();
    let entries = verify(store.as_ref(), None, &[], |_| ()).await.unwrap().entries;
    let elapsed = before.elapsed().as_secs_f64();
    println!("verified {entries} entries in {elapsed:.2} s: {:.0}/s", entries as f64 / elapsed);
}
