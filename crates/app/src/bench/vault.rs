//! `baton bench vault`: cryptography and bookkeeping alone in memory; a durable token on a database.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use baton_engine::{Clock as _, SystemClock};
use baton_store::OpenOptions;
use baton_types::{MerchantId, Secret};
use baton_vault::{FileRoot, SealedKind, Tenant};
use clap::Args;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{millis, quantile};
use crate::cli::Report;

/// How many records are used in turn.
const RECORDS: usize = 1_000;

#[derive(Debug, Args)]
pub(crate) struct Vault {
    /// How long each figure is measured.
    #[arg(long, default_value_t = 3, value_name = "SECONDS")]
    seconds: u64,
    /// Measure on this database too: an empty PostgreSQL database made for this, to be dropped afterwards.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    #[command(flatten)]
    report: Report,
}

/// Measures and reports.
///
/// # Errors
/// A database cannot be used.
pub(crate) async fn run(command: Vault) -> Result<ExitCode, String> {
    let time = Duration::from_secs(command.seconds.max(1));
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let memory = in_memory(&folder, time).await?;
    let file = format!("sqlite:{}", folder.path().join("vault.db").display());
    let mut urls = vec![("sqlite", file)];
    urls.extend(command.database_url.map(|url| ("postgres", url)));
    let mut durable = Vec::new();
    for (name, url) in urls {
        let vault = open(&folder, &url).await?;
        for clients in [1, 16] {
            durable.push(Durable::measure(name, &vault, clients, time).await?);
        }
    }
    if command.report.json {
        let memory: Vec<Value> = memory
            .iter()
            .map(|(operation, rate)| json!({ "operation": operation, "per_second": rate }))
            .collect();
        let durable: Vec<Value> = durable.iter().map(Durable::as_json).collect();
        println!("{}", json!({ "memory_one_core": memory, "durable_tokenize": durable }));
        return Ok(ExitCode::SUCCESS);
    }
    println!("In memory, one core:");
    for (operation, rate) in memory {
        println!("  {operation:22}  {rate:>9}/s");
    }
    println!("A token, durable:");
    for row in durable {
        println!(
            "  {:8}  {:>2} clients  {:>7}/s  p50 {:>6} ms  p99 {:>6} ms",
            row.database,
            row.clients,
            row.rate,
            millis(row.p50),
            millis(row.p99)
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// With a root key that goes away with the folder, so nothing that is measured can be read afterwards.
async fn open(folder: &tempfile::TempDir, url: &str) -> Result<baton_vault::Vault, String> {
    let options = OpenOptions { migrate: true, ..OpenOptions::default() };
    let store = baton_store::open_vault(url, options).await.map_err(|error| error.to_string())?;
    if !store.keys().await.map_err(|error| error.to_string())?.is_empty() {
        return Err("this database holds a vault already; take one made for this".to_owned());
    }
    let root = FileRoot::open_or_create(&folder.path().join("root.key"));
    let (root, _) = root.map_err(|error| error.to_string())?;
    let vault = baton_vault::Vault::open(store, Arc::new(root), SystemClock.now()).await;
    vault.map_err(|error| error.to_string())
}

fn tenant() -> Tenant {
    Tenant { merchant: MerchantId::from_bytes([1; 16]), sandbox: false }
}

/// A card number that belongs to nobody.
fn payload(n: usize) -> Secret {
    Secret::new(format!("400000{:010}", n % 10_000_000_000))
}

/// One task does one operation after the other, so that it has one core at a time.
async fn in_memory(
    folder: &tempfile::TempDir,
    time: Duration,
) -> Result<Vec<(&'static str, u64)>, String> {
    let vault = open(folder, "memory:").await?;
    let fail = |error: baton_vault::VaultError| error.to_string();
    let (tenant, clock) = (tenant(), SystemClock);
    let mut tokens = Vec::with_capacity(RECORDS);
    for n in 0..RECORDS {
        tokens.push(vault.tokenize(tenant, &payload(n), clock.now()).await.map_err(fail)?.text);
    }
    let mut rates = Vec::new();
    let mut rate = Rate::begin(time);
    while let Some(n) = rate.next() {
        let token = vault.tokenize(tenant, &payload(n), clock.now()).await.map_err(fail)?;
        vault.delete(tenant, &token.text).await.map_err(fail)?;
    }
    rates.push(("tokenize and delete", rate.per_second()));
    rate = Rate::begin(time);
    while let Some(n) = rate.next() {
        let token = tokens.get(n % RECORDS).map(String::as_str).unwrap_or_default();
        let found = vault.reveal(tenant, token, clock.now()).await.map_err(fail)?;
        found.ok_or("a token is lost")?;
    }
    rates.push(("reveal", rate.per_second()));
    rate = Rate::begin(time);
    while let Some(_n) = rate.next() {
        let cvv = Secret::new("123".to_owned());
        let token = vault.tokenize(tenant, &cvv, clock.now()).await.map_err(fail)?;
        let found = vault.reveal(tenant, &token.text, clock.now()).await.map_err(fail)?;
        found.ok_or("a CVV is lost")?;
    }
    rates.push(("tokenize and use a CVV", rate.per_second()));
    rate = Rate::begin(time);
    let kind = SealedKind::AccountCredentials;
    while let Some(n) = rate.next() {
        let name = (n % RECORDS).to_string();
        vault.put(tenant, kind, &name, &payload(n), clock.now()).await.map_err(fail)?;
        vault.get(tenant, kind, &name).await.map_err(fail)?.ok_or("a secret is lost")?;
    }
    rates.push(("put and get", rate.per_second()));
    Ok(rates)
}

/// Counts what is done until the time is up.
struct Rate {
    begun: Instant,
    time: Duration,
    count: usize,
}

impl Rate {
    fn begin(time: Duration) -> Self {
        Self { begun: Instant::now(), time, count: 0 }
    }

    fn next(&mut self) -> Option<usize> {
        let number = self.count;
        if self.begun.elapsed() >= self.time {
            return None;
        }
        self.count = self.count.saturating_add(1);
        Some(number)
    }

    fn per_second(&self) -> u64 {
        per_second(self.count, self.begun.elapsed())
    }
}

fn per_second(count: usize, time: Duration) -> u64 {
    let micros = time.as_micros().max(1);
    let rate = (count as u128).saturating_mul(1_000_000) / micros;
    u64::try_from(rate).unwrap_or(u64::MAX)
}

struct Durable {
    database: &'static str,
    clients: u32,
    rate: u64,
    p50: Duration,
    p99: Duration,
}

impl Durable {
    /// So many clients, each waiting for its token before it asks for the next.
    async fn measure(
        database: &'static str,
        vault: &baton_vault::Vault,
        clients: u32,
        time: Duration,
    ) -> Result<Self, String> {
        let mut running = JoinSet::new();
        let begun = Instant::now();
        for _ in 0..clients {
            let vault = vault.clone();
            running.spawn(async move {
                let mut taken = Vec::new();
                while begun.elapsed() < time {
                    let asked = Instant::now();
                    let payload = payload(taken.len());
                    vault.tokenize(tenant(), &payload, SystemClock.now()).await?;
                    taken.push(asked.elapsed());
                }
                Ok::<_, baton_vault::VaultError>(taken)
            });
        }
        let mut all = Vec::new();
        while let Some(done) = running.join_next().await {
            let done = done.map_err(|error| error.to_string())?;
            all.extend(done.map_err(|error| error.to_string())?);
        }
        let rate = per_second(all.len(), begun.elapsed());
        all.sort_unstable();
        let (p50, p99) = (quantile(&all, 500), quantile(&all, 990));
        Ok(Self { database, clients, rate, p50, p99 })
    }

    fn as_json(&self) -> Value {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        json!({
            "database": self.database,
            "clients": self.clients,
            "per_second": self.rate,
            "p50_us": micros(self.p50),
            "p99_us": micros(self.p99),
        })
    }
}
