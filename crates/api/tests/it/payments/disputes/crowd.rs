//! Several at one dispute: clients that accept and send evidence at once while its provider tells of it, on every kind of
//! store. Whatever each is told, the provider has had one answer, and both sides agree on how it ended.

use std::io::Write as _;
use std::sync::Arc;

use baton_store::{MemoryStore, OpenOptions, Store, open};
use futures_util::future::join_all;
use serde_json::json;

use super::super::crowd::postgres_database;
use super::{Shop, accept, at_provider, disputed, evidence, path, subscribe};
use crate::server::Server;

async fn crowd(shop: &Shop, connector: &str, round: usize) {
    let dispute = disputed(shop).await;
    let body =
        evidence(&dispute, if round.is_multiple_of(2) { "it was her" } else { "losing_evidence" });
    let clients = (0..16).map(|client| {
        let (dispute, body) = (&dispute, &body);
        async move {
            match client % 3 {
                0 => shop.send("POST", &accept(dispute), &json!({})).await,
                1 => shop.send("POST", "/disputes/evidence", body).await,
                _ => {
                    shop.send("GET", &format!("{}?force_sync=true", path(dispute)), &json!(null))
                        .await
                }
            }
        }
    });
    let answers = join_all(clients).await;
    for seen in &answers {
        let code = seen.json()["error"]["code"].as_str().unwrap_or_default().to_owned();
        let fits = match seen.status {
            200 => code.is_empty(),
            400 => code == "IR_16",
            422 => code == "HE_00",
            _ => false,
        };
        assert!(fits, "{seen:?}");
    }
    let mut last = String::new();
    for _ in 0..200 {
        let seen = shop.get(&path(&dispute)).await;
        let theirs = at_provider(shop, connector, &dispute).await;
        last = format!("{theirs}: {seen}");
        if seen["dispute_status"] == format!("dispute_{theirs}") && seen["pending_action"].is_null()
        {
            assert_ne!(theirs, "opened", "nobody got through: {last}");
            assert_eq!(seen["evidence"].is_null(), theirs == "accepted", "{last}");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the two sides do not agree: {last}");
}

async fn rounds(store: Arc<dyn Store>, times: usize) {
    let shop = Shop::named(Server::on(store).await, "crowd").await;
    let connector = shop.connector.clone();
    subscribe(&shop, &connector, "own", json!({"delivery": {"duplicate": 1}})).await;
    for round in 0..times {
        crowd(&shop, &connector, round).await;
    }
}

fn migrating() -> OpenOptions {
    OpenOptions { migrate: true, ..OpenOptions::default() }
}

#[tokio::test]
async fn a_crowd_gives_one_answer_in_memory() {
    rounds(Arc::new(MemoryStore::default()), 20).await;
}

#[tokio::test]
async fn a_crowd_gives_one_answer_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("crowd.db").display());
    rounds(open(&url, migrating()).await.unwrap(), 10).await;
}

#[tokio::test]
async fn a_crowd_gives_one_answer_on_postgresql() {
    match postgres_database().await {
        Some(url) => rounds(open(&url, migrating()).await.unwrap(), 10).await,
        // Past the test harness, which hides what a test prints.
        None => {
            writeln!(std::io::stderr(), "SKIPPED 1: BATON_TEST_POSTGRES_URL is not set").unwrap()
        }
    }
}
