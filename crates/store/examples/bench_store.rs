//! How many typical write sets per second a store makes durable, and how long a commit takes.
//!
//! ```text
//! cargo run --release -p baton-store --example bench_store -- --backend sqlite --clients 64 --seconds 5
//! tools/with-postgres cargo run --release -p baton-store --example bench_store -- --backend postgres
//! ```
//!
//! Options: `--backend sqlite|postgres|memory`, `--clients N`, `--seconds N`, `--path DIRECTORY` (SQLite; the
//! default is the temporary directory, which must be on a disk to mean anything). A set is a payment, its
//! event, a message, a timer, an idempotency key and two references. Each client waits for its commit before
//! it makes the next, as a request does.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program that measures: it needs the clock, the environment, tasks, and a voice"
)]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use baton_store::{
    EventRow, IdempotencyRow, MemoryStore, OpenOptions, OutboxRow, PaymentRow, ReferenceKind,
    ReferenceRow, Store, TimerRow, Write, WriteSet, open,
};
use baton_types::{Id, Kind, Timestamp};

struct Arguments {
    backend: String,
    clients: u64,
    seconds: u64,
    path: PathBuf,
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let mut parsed = Arguments {
        backend: "sqlite".to_owned(),
        clients: 64,
        seconds: 5,
        path: std::env::temp_dir(),
    };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        let value = given.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--backend" => parsed.backend = value,
            "--clients" => parsed.clients = value.parse()?,
            "--seconds" => parsed.seconds = value.parse()?,
            "--path" => parsed.path = value.into(),
            _ => return Err(format!("unknown option {name}").into()),
        }
    }
    Ok(parsed)
}

/// Removes the database's files in the end.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            println!("{} was not removed: {error}", self.0.display());
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = arguments()?;
    let options = OpenOptions { migrate: true, ..OpenOptions::default() };
    let mut directory = None;
    let store: Arc<dyn Store> = match arguments.backend.as_str() {
        "memory" => Arc::new(MemoryStore::default()),
        "sqlite" => {
            let path = arguments.path.join(format!("bench_store-{}", std::process::id()));
            std::fs::create_dir(&path)?;
            let url = format!("sqlite:{}", path.join("baton.db").display());
            directory = Some(Directory(path));
            open(&url, options).await?
        }
        "postgres" => {
            let url = std::env::var("BATON_TEST_POSTGRES_URL")
                .map_err(|_| "BATON_TEST_POSTGRES_URL is not set: use tools/with-postgres")?;
            open(&url, options).await?
        }
        other => return Err(format!("unknown backend {other}").into()),
    };

    let begun = Instant::now();
    let end = begun + Duration::from_secs(arguments.seconds);
    let numbers = Arc::new(AtomicU64::new(1));
    let mut clients = Vec::new();
    for _ in 0..arguments.clients {
        let (store, numbers) = (Arc::clone(&store), Arc::clone(&numbers));
        clients.push(tokio::spawn(client(store, numbers, end)));
    }
    let mut latencies = Vec::new();
    for client in clients {
        latencies.extend(client.await?.map_err(|error| error.to_string())?);
    }
    let elapsed = begun.elapsed();
    report(&arguments, &mut latencies, elapsed);
    drop(store);
    drop(directory);
    Ok(())
}

async fn client(
    store: Arc<dyn Store>,
    numbers: Arc<AtomicU64>,
    end: Instant,
) -> Result<Vec<Duration>, baton_store::CommitError> {
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let writes = write_set(numbers.fetch_add(1, Ordering::Relaxed));
        let begun = Instant::now();
        store.commit(writes).await?;
        latencies.push(begun.elapsed());
    }
    Ok(latencies)
}

fn report(arguments: &Arguments, latencies: &mut [Duration], elapsed: Duration) {
    latencies.sort_unstable();
    let at = |per_mille: usize| {
        let index = (latencies.len() * per_mille / 1000).min(latencies.len().saturating_sub(1));
        latencies.get(index).copied().unwrap_or_default()
    };
    let per_second = latencies.len() as u128 * 1_000_000 / elapsed.as_micros().max(1);
    println!(
        "{} {} clients: {per_second} write sets/s, latency p50 {:?} p99 {:?} p99.9 {:?} max {:?}",
        arguments.backend,
        arguments.clients,
        at(500),
        at(990),
        at(999),
        at(1000),
    );
}

fn id<T: Kind>(n: u64) -> Id<T> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut random = [0; 10];
    for (to, from) in random.iter_mut().zip(n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()) {
        *to = from;
    }
    Id::from_parts(u64::try_from(now.as_millis()).unwrap_or_default(), random)
}

fn write_set(n: u64) -> WriteSet {
    let (merchant, payment, event, now) = (
        Id::from_bytes([1; 16]),
        id(n),
        id(n),
        Timestamp::from_millis(1_800_000_000_000 + i64::try_from(n).unwrap_or_default()),
    );
    let (version, schema, call) = (1, 1, "authorize-1");
    let reference = |kind, value: String| {
        let (call, account) = (call.to_owned(), Some(Id::from_bytes([2; 16])));
        Write::Reference(ReferenceRow {
            merchant,
            kind,
            account,
            value,
            payment,
            call,
            created_at: now,
        })
    };
    let writes = vec![
        Write::Payment(PaymentRow {
            merchant,
            id: payment,
            version,
            status: "authorizing".into(),
            kind: "charge".into(),
            amount_minor: Some(1999),
            currency: Some("EUR".into()),
            merchant_ref: Some(format!("order {n}")),
            test: true,
            account: None,
            created_at: now,
            updated_at: now,
            schema,
            snapshot: "s".repeat(1500),
        }),
        Write::Event(EventRow {
            id: event,
            merchant,
            payment,
            version,
            at: now,
            schema,
            body: "e".repeat(500),
        }),
        Write::Outbox(OutboxRow {
            id: event,
            merchant,
            payment,
            version,
            due_at: now,
            attempts: 0,
            body: "o".repeat(500),
        }),
        Write::SetTimer(TimerRow {
            merchant,
            payment,
            call: call.into(),
            kind: "watch".into(),
            due_at: now.plus_millis(60_000),
            attempt: 0,
            node: "node-1".into(),
            boot: Id::from_bytes([3; 16]),
        }),
        Write::ClaimKey(IdempotencyRow {
            merchant,
            key: format!("key-{n:020}"),
            fingerprint: vec![7; 32],
            payment,
            call: call.into(),
            created_at: now,
            expires_at: now.plus_millis(86_400_000),
        }),
        reference(ReferenceKind::Attempt, format!("{payment}-1")),
        reference(ReferenceKind::Merchant, format!("order {n}")),
    ];
    writes.into()
}
