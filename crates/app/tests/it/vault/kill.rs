//! `baton vault` is killed with SIGKILL at random moments of its work, while another process reads and
//! writes. After every kill everything opens; in the end what was begun is brought to its end.
//!
//! `BATON_KILLS` is the number of kills of each command (default 10 on SQLite, 3 on PostgreSQL).

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use baton_vault::Vault;

use super::{all_open, beside, states, tokens};
use crate::support::random::{Random, seed};
use crate::support::{Place, postgres, said};

/// So many that there is something to interrupt.
const RECORDS: usize = 400;

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_on_sqlite_no_token_is_lost() {
    run("SQLite", Place::new(), 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_on_postgresql_no_token_is_lost() {
    let Some(url) = postgres::database("1: killing the vault on PostgreSQL").await else { return };
    run("PostgreSQL", Place::new().on(Some(url)), 3).await;
}

async fn run(database: &str, place: Place, kills: u32) {
    let kills = std::env::var("BATON_KILLS").map_or(kills, |text| text.parse().unwrap());
    let seed = seed();
    let mut random = Random::new(seed);
    place.json(&["migrate", "--json"]);
    let server = beside(&place).await;
    let made = tokens(&server, RECORDS).await;
    let stop = Arc::new(AtomicBool::new(false));
    let traffic = tokio::spawn(traffic(server.clone(), Arc::clone(&stop)));

    let mut resumed = 0;
    for command in [
        &["vault", "rotate", "--data-key"][..],
        &["vault", "rotate", "--fingerprint-key"],
        &["vault", "rotate", "--root"],
        &["vault", "reencrypt", "--batch", "5"],
    ] {
        // How long it takes when nobody ends it, after a rotation that gives it something to do.
        server.rotate_data_key(super::now()).await.unwrap();
        let begun = Instant::now();
        assert!(place.run(command).status.success(), "{command:?}");
        let mut longest = begun.elapsed();
        let mut killed = 0;
        while killed < kills {
            if command.contains(&"reencrypt") {
                server.rotate_data_key(super::now()).await.unwrap();
            }
            let before = to_reencrypt(&server).await;
            let mut process = place.baton(command);
            let mut child = process.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let micros = u64::try_from(longest.as_micros()).unwrap();
            tokio::time::sleep(Duration::from_micros(random.between(micros / 10, micros))).await;
            child.kill().unwrap();
            let ended = child.wait().unwrap();
            if ended.code().is_some() {
                // It was done already; sooner, then.
                longest = longest * 9 / 10;
                continue;
            }
            killed += 1;
            let after = to_reencrypt(&server).await;
            resumed += u32::from(after > 0 && after < before);
            // As a process that has just started would see it.
            let next = beside(&place).await;
            all_open(&next, &made).await;
            all_open(&next, &tokens(&next, 2).await).await;
        }
        all_open(&server, &made).await;
    }
    stop.store(true, Ordering::Relaxed);
    let written = traffic.await.unwrap();
    eprintln!(
        "{database}: {kills} kills of each command, {resumed} of them in the middle of the records, {} \
         tokens made meanwhile, BATON_SEED={seed}",
        written.len()
    );
    assert!(resumed > 0, "no kill met the middle of a re-encryption");

    for command in [&["vault", "rotate", "--root"][..], &["vault", "reencrypt"]] {
        let output = place.run(command);
        assert!(output.status.success(), "{command:?}: {}", said(&output));
    }
    let status = place.json(&["vault", "status", "--json"]);
    assert_eq!(status["to_reencrypt"], 0);
    assert_eq!(status["root_keys"].as_array().unwrap().len(), 1);
    for purpose in ["data", "fingerprint"] {
        let states = states(&status, purpose);
        let (last, others) = states.split_last().unwrap();
        assert_eq!(last, "current");
        assert!(others.iter().all(|state| state == "retired"), "{states:?}");
    }
    for vault in [beside(&place).await, server] {
        all_open(&vault, &made).await;
        all_open(&vault, &written).await;
    }
}

async fn to_reencrypt(vault: &Vault) -> u64 {
    vault.status().await.unwrap().stale
}

/// A server's work: tokens are made and read all the time.
async fn traffic(vault: Vault, stop: Arc<AtomicBool>) -> Vec<(String, String)> {
    let mut written = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let some = tokens(&vault, 3).await;
        all_open(&vault, &some).await;
        written.extend(some);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    written
}
