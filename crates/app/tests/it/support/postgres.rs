//! A database of one's own on the throwaway PostgreSQL server.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio_postgres::{Client, NoTls};

const SERVER: &str = "BATON_TEST_POSTGRES_URL";

/// The URL of a new, empty database; `None`, with a word about it, if there is no server.
pub(crate) async fn database(skipped: &str) -> Option<String> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let Ok(server) = std::env::var(SERVER) else {
        eprintln!("SKIPPED {skipped}: {SERVER} is not set");
        return None;
    };
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("app_{}_{}_{number}", std::process::id(), since.as_micros());
    connect(&server).await.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    let (base, _) = server.rsplit_once('/').unwrap();
    Some(format!("{base}/{name}"))
}

pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
