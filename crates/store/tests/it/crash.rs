//! A process that is killed while it commits loses nothing that it has acknowledged.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;

use baton_store::{OpenOptions, Write, open};

use crate::support::*;

const URL: &str = "BATON_TEST_CRASH_URL";

/// Not a test of its own: the process that is killed. It prints each payment that was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the test below"]
async fn child() {
    let Ok(url) = std::env::var(URL) else { return };
    let store = open(&url, migrate()).await.unwrap();
    let mut clients = Vec::new();
    for client in 1..=16_u64 {
        let store = Arc::clone(&store);
        clients.push(tokio::spawn(async move {
            for n in 1.. {
                let payment_id = id(client << 32 | n);
                let writes = set([
                    Write::Payment(payment(payment_id, 1, "snapshot")),
                    Write::Event(event(payment_id, 1, n)),
                    Write::Outbox(outbox(client << 32 | n, payment_id, 1, 0)),
                ]);
                store.commit(writes).await.unwrap();
                // One write call, so that no line is cut in two.
                std::io::stderr().write_all(format!("{payment_id}\n").as_bytes()).unwrap();
            }
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn a_killed_process_keeps_every_commit_that_it_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("baton.db");
    let url = format!("sqlite:{}", path.display());
    let mut acknowledged = Vec::new();
    // Each round recovers what the one before left behind.
    for round in 0..4 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::child", "--ignored", "--nocapture", "--test-threads=1"])
            .env(URL, &url)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let enough = 300 + round * 411;
        acknowledged.extend(lines.by_ref().take(enough).map(Result::unwrap));
        child.kill().unwrap();
        // What it acknowledged before it died counts too; a line that was cut short was not printed whole.
        let late = lines.map_while(Result::ok).filter(|line| line.len() == 30);
        acknowledged.extend(late);
        child.wait().unwrap();
        // The next round writes other payments.
        drain(&url, &mut acknowledged).await;
    }
    let raw = rusqlite::Connection::open(&path).unwrap();
    let whole: String = raw.query_row("pragma integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok");
}

/// Checks what was acknowledged, and that each set is there as a whole; then empties the tables.
async fn drain(url: &str, acknowledged: &mut Vec<String>) {
    let store = open(url, OpenOptions::default()).await.unwrap();
    assert!(acknowledged.len() >= 300, "{}", acknowledged.len());
    for line in acknowledged.drain(..) {
        let payment_id = baton_types::PaymentId::parse(&line).unwrap();
        let row = store.payment(merchant(), payment_id).await.unwrap();
        assert_eq!(row, Some(payment(payment_id, 1, "snapshot")), "{line} is lost");
        assert!(store.event(merchant(), payment_id, 1).await.unwrap().is_some());
    }
    let info = store.describe().await.unwrap();
    assert_eq!(info.payments, info.outbox, "a set is there in part");
    drop(store);
    let path = url.strip_prefix("sqlite:").unwrap();
    let raw = rusqlite::Connection::open(path).unwrap();
    raw.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    raw.execute_batch("delete from payments; delete from events; delete from outbox").unwrap();
}
