//! `baton vault`: keys and their rotation, also beside a running server.
//!
//! Every command may be killed at any moment: what is sealed still opens, and the command can be run again.
//! What changes keys is in the audit log twice: before it begins, and with how it ended. The log is in the
//! payments' database and the vault may have its own, so the two are no one commit; a command that was
//! killed has its first entry only.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use baton_engine::audit::{Action, Audit, Entry};
use baton_engine::{Clock as _, SystemClock};
use baton_types::Timestamp;
use baton_vault::{Progress, Purpose, Reencrypted, Status, VaultError};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cli::{Common, Report};
use crate::node;

/// How often a line tells how far a run has come, where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(crate) struct Vault {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show keys, and how many records are under each.
    Status(Plain),
    /// Replace a key. A running server takes a new one within 5 seconds.
    Rotate(Rotate),
    /// Put every record under the current keys, and destroy the old ones. May be stopped and run again.
    Reencrypt(Reencrypt),
    /// Show cards that wait to be stored or deleted at vaults elsewhere, and why.
    Waiting(Waiting),
}

#[derive(Debug, Args)]
struct Waiting {
    /// How many to show of each merchant.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    report: Report,
}

#[derive(Debug, Args)]
struct Plain {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    report: Report,
}

#[derive(Debug, Args)]
struct Rotate {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    report: Report,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The key that seals records. Old records stay under the old one until `baton vault reencrypt`.
    #[arg(long)]
    data_key: bool,
    /// The key by which equal cards are recognised. Old fingerprints count again after
    /// `baton vault reencrypt`.
    #[arg(long)]
    fingerprint_key: bool,
    /// The root key, by which the others are wrapped. Finishes a rotation that was interrupted.
    #[arg(long)]
    root: bool,
}

#[derive(Debug, Args)]
struct Reencrypt {
    /// How many records are committed at once.
    #[arg(long, default_value_t = 200, value_name = "N")]
    batch: u32,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    report: Report,
}

/// Runs a command on the vault.
///
/// # Errors
/// A sentence for the person at the terminal.
pub(crate) async fn run(command: Vault) -> Result<ExitCode, String> {
    match command.command {
        Command::Status(command) => status(command).await,
        Command::Rotate(command) => rotate(command).await,
        Command::Reencrypt(command) => reencrypt(command).await,
        Command::Waiting(command) => waiting(command).await,
    }
}

/// The vault, and the log of what is done to its keys.
struct Keeper {
    vault: baton_vault::Vault,
    audit: Audit,
}

impl Keeper {
    async fn open(common: &Common) -> Result<Self, String> {
        let config = common.load(None)?;
        let (vault, _) = node::open_vault(&config, false).await?;
        let store = node::open_store(&config, false).await?;
        Ok(Self { vault, audit: Audit::new(store, Arc::new(SystemClock)) })
    }

    /// Does something to the keys, between two entries in the audit log. Without the first it is not done.
    async fn audited<T>(
        &self,
        action: Action,
        subject: &str,
        work: impl Future<Output = Result<T, VaultError>>,
        result: impl FnOnce(&T) -> Value,
    ) -> Result<T, String> {
        self.note(action, subject, json!({ "phase": "begun" })).await?;
        let done = work.await;
        let detail = match &done {
            Ok(done) => json!({ "phase": "done", "result": result(done) }),
            Err(error) => json!({ "phase": "failed", "error": error.to_string() }),
        };
        let noted = self.note(action, subject, detail).await;
        let done = done.map_err(|error| error.to_string())?;
        noted.map_err(|error| format!("it is done, but for its entry: {error}"))?;
        Ok(done)
    }

    async fn note(&self, action: Action, subject: &str, detail: Value) -> Result<(), String> {
        let entry = Entry {
            merchant: None,
            actor: node::operator(),
            action,
            subject: subject.to_owned(),
            detail,
            request_id: None,
        };
        let recorded = self.audit.record(entry).await;
        recorded.map_err(|error| format!("the audit log cannot be written: {error}"))
    }
}

async fn status(command: Plain) -> Result<ExitCode, String> {
    let (vault, _) = node::open_vault(&command.common.load(None)?, false).await?;
    let status = vault.status().await.map_err(|error| error.to_string())?;
    if command.report.json {
        println!("{}", as_json(&status));
    } else {
        show(&status);
    }
    Ok(ExitCode::SUCCESS)
}

async fn waiting(command: Waiting) -> Result<ExitCode, String> {
    let store = node::open_store(&command.common.load(None)?, false).await?;
    let waiting = baton_payments::waiting_cards(store.as_ref(), command.limit).await;
    let waiting = waiting.map_err(|fault| format!("the database cannot be read: {fault:?}"))?;
    if command.report.json {
        let shown = waiting.iter().map(|card| {
            json!({
                "merchant": card.merchant.to_string(),
                "step": card.step,
                "vault": card.vault,
                "connector": card.connector,
                "payment_method_id": card.method,
                "since": card.since.to_string(),
                "until": (card.step == "storing").then(|| card.until.to_string()),
                "trouble": card.trouble,
            })
        });
        println!("{}", Value::Array(shown.collect()));
        return Ok(ExitCode::SUCCESS);
    }
    for card in &waiting {
        let why = card.trouble.as_deref().unwrap_or("not tried yet, or its payment is open");
        println!("{:8} {}  {}  {why}  since {}", card.step, card.vault, card.method, card.since);
    }
    if waiting.is_empty() {
        println!("nothing waits for a vault elsewhere");
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(status: &Status) -> Value {
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
    let keys = status.keys.iter().map(|key| {
        json!({
            "purpose": key.purpose.as_str(),
            "version": key.version,
            "state": key.state.as_str(),
            "root": key.root,
            "uses": key.uses,
            "records": key.records,
            "created_at": time(Some(key.created_at)),
            "retired_at": time(key.retired_at),
        })
    });
    let records = status.counts.iter().map(|count| {
        json!({
            "kind": count.kind,
            "key_version": count.key_version,
            "fingerprint_version": count.fingerprint_version,
            "records": count.records,
        })
    });
    json!({
        "backend": status.store.backend,
        "version": status.store.version,
        "schema_version": status.store.schema_version,
        "root_keys": status.roots,
        "keys": keys.collect::<Vec<_>>(),
        "records": records.collect::<Vec<_>>(),
        "to_reencrypt": status.stale,
    })
}

fn show(status: &Status) {
    let store = &status.store;
    println!("{} {}, schema version {}", store.backend, store.version, store.schema_version);
    for (place, root) in status.roots.iter().enumerate() {
        let state = if place == 0 { "current" } else { "old: baton vault rotate --root" };
        println!("root key         {root}  {state}");
    }
    for key in &status.keys {
        let when = key.retired_at.unwrap_or(key.created_at);
        println!(
            "{:11} key  {:<3}  {:7}  since {when}  {:>9} records  {:>10} uses",
            key.purpose.as_str(),
            key.version,
            key.state.as_str(),
            key.records,
            key.uses
        );
    }
    let mut kinds: Vec<(&str, u64)> = Vec::new();
    for count in &status.counts {
        match kinds.last_mut().filter(|(kind, _)| *kind == count.kind) {
            Some((_, records)) => *records = records.saturating_add(count.records),
            None => kinds.push((&count.kind, count.records)),
        }
    }
    for (kind, records) in kinds {
        println!("{kind:19}  {records:>9} records");
    }
    if status.stale > 0 {
        println!("{} records are under old keys; run: baton vault reencrypt", status.stale);
    }
}

async fn rotate(command: Rotate) -> Result<ExitCode, String> {
    let keeper = Keeper::open(&command.common).await?;
    let (shown, said) = if command.which.root {
        rotate_root(&keeper).await?
    } else if command.which.fingerprint_key {
        rotate_fingerprint_key(&keeper).await?
    } else {
        rotate_data_key(&keeper).await?
    };
    if command.report.json {
        println!("{shown}");
    } else {
        println!("{said}");
    }
    Ok(ExitCode::SUCCESS)
}

async fn rotate_data_key(keeper: &Keeper) -> Result<(Value, String), String> {
    let work = keeper.vault.rotate_data_key(SystemClock.now());
    let version = |version: &u32| json!({ "version": version });
    let version = keeper.audited(Action::VaultKeyRotated, "data", work, version).await?;
    let said = format!(
        "data key {version} is the current one; put the old records under it: baton vault reencrypt"
    );
    Ok((json!({ "rotated": "data_key", "version": version }), said))
}

async fn rotate_fingerprint_key(keeper: &Keeper) -> Result<(Value, String), String> {
    let work = keeper.vault.rotate_fingerprint_key(SystemClock.now());
    let version = |version: &u32| json!({ "version": version });
    let version = keeper.audited(Action::VaultKeyRotated, "fingerprint", work, version).await?;
    let said = format!(
        "fingerprint key {version} is the current one; make the old fingerprints again: \
         baton vault reencrypt"
    );
    Ok((json!({ "rotated": "fingerprint_key", "version": version }), said))
}

async fn rotate_root(keeper: &Keeper) -> Result<(Value, String), String> {
    let work = keeper.vault.rotate_root(SystemClock.now());
    let name = |root: &String| json!({ "root_key": root });
    let root = keeper.audited(Action::VaultRootRotated, "root", work, name).await?;
    let said = format!(
        "{root} is the root key, and the old one is destroyed; back the new one up, and bring it to the \
         other nodes"
    );
    Ok((json!({ "rotated": "root", "root_key": root }), said))
}

async fn reencrypt(command: Reencrypt) -> Result<ExitCode, String> {
    let keeper = Keeper::open(&command.common).await?;
    let mut shown = Shown::new();
    let mut report = |progress| shown.update(progress);
    let work = keeper.vault.reencrypt(command.batch, SystemClock.now(), &mut report);
    let done = keeper.audited(Action::VaultReencrypted, "records", work, outcome).await;
    shown.finish();
    let done = done.map_err(|error| format!("{error}; what is done stays done, run it again"))?;
    if command.report.json {
        println!("{}", outcome(&done));
    } else {
        tell(&done);
    }
    let complete = done.kept.is_empty() && done.damaged == 0;
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn outcome(done: &Reencrypted) -> Value {
    let keys = |keys: &[(Purpose, u32)]| -> Vec<Value> {
        let key = |(purpose, version): &(Purpose, u32)| json!({ "purpose": purpose.as_str(), "version": version });
        keys.iter().map(key).collect()
    };
    json!({
        "reencrypted": done.resealed,
        "damaged": done.damaged,
        "retired": keys(&done.retired),
        "kept": keys(&done.kept),
    })
}

fn tell(done: &Reencrypted) {
    println!("{} records were put under the current keys", done.resealed);
    for (purpose, version) in &done.retired {
        println!("{} key {version} is retired, its bytes are destroyed", purpose.as_str());
    }
    for (purpose, version) in &done.kept {
        println!(
            "{} key {version} is kept: records are under it; run this again",
            purpose.as_str()
        );
    }
    if done.damaged > 0 {
        println!("{} records do not open and were left as they are", done.damaged);
    }
}

/// How far it has come: a bar on a terminal, lines elsewhere.
enum Shown {
    Bar(ProgressBar),
    Lines { last: Option<Instant> },
}

impl Shown {
    fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines { last: None };
        }
        let template = "{bar:30} {pos}/{len} records  {per_sec}  {eta} left";
        let style = ProgressStyle::with_template(template);
        let bar = ProgressBar::new(0);
        Self::Bar(match style {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        })
    }

    fn update(&mut self, progress: Progress) {
        let Progress { done, total } = progress;
        match self {
            Self::Bar(bar) => {
                bar.set_length(total);
                bar.set_position(done);
            }
            Self::Lines { last } => {
                let due = last.is_none_or(|last| last.elapsed() >= LINE_EVERY);
                if due || done == total {
                    *last = Some(Instant::now());
                    eprintln!("{done} of {total} records");
                }
            }
        }
    }

    fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
