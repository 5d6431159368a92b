//! `baton payments evidence`: whether an answer that somebody has is one that a conclusion rests on.
//!
//! Of an answer only a keyed hash is kept. Who has the answer itself, from a provider's log or support, can have it
//! hashed again and compared. The payment and the vault are read, nothing is written. Left out: an answer that was
//! recorded before the vault's key of fingerprints was replaced, because its hash cannot be made any more.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use baton_engine::doubts::Chapter;
use baton_engine::evidence::{self, CallId, Event, Evidence};
use baton_vault::Tenant;
use clap::Args;
use serde_json::{Value, json};

use crate::cli::{Common, Report};
use crate::{node, payments};

/// Longest answer that is read, in bytes: more than `wire` takes from a provider.
const BODY_MAX: u64 = 16 * 1024 * 1024;

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Our id of the payment.
    id: String,
    /// A file with the answer's body, to the byte; - for the standard input.
    #[arg(long, value_name = "FILE")]
    body: PathBuf,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    report: Report,
}

/// Says which records of a payment have the answer's hash; fails if none has.
///
/// # Errors
/// There is no such payment, or the answer or the vault cannot be read.
pub(crate) async fn run(command: Check) -> Result<ExitCode, String> {
    let body = read(&command.body)?;
    let config = command.common.load(None)?;
    let store = node::open_store(&config, false).await?;
    let found = payments::find(store.as_ref(), &command.id).await?;
    // Where the vault is here, it is read and not brought up to date.
    let (vault, _) = match &config.vault.url {
        None => node::open_vault(&config, false).await.map(|(vault, made)| (vault.into(), made))?,
        Some(_) => node::reach_vault(&config, false).await?,
    };
    let payment = &found.payment;
    let tenant = Tenant { merchant: payment.merchant, sandbox: payment.order.test };
    let hash = evidence::hash(&vault, tenant, &body);
    let records: Vec<Record<'_>> = found.history.iter().flat_map(records).collect();
    let (fits, others): (Vec<&Record<'_>>, Vec<&Record<'_>>) =
        records.iter().partition(|record| record.evidence.hash == hash);
    if command.report.json {
        let shown: Vec<Value> = fits.iter().map(|record| record.json()).collect();
        payments::print_json(&json!({
            "payment": payment.id, "hash": hash, "matches": shown, "others": others.len(),
        }))?;
    } else {
        for record in &fits {
            println!("{}", record.line());
        }
        if fits.is_empty() {
            println!(
                "none of the {} records of {} rests on this answer (its hash is {hash})",
                others.len(),
                payment.id
            );
        }
    }
    Ok(if fits.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let fault = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let mut body = Vec::new();
    let size = if path == Path::new("-") {
        std::io::stdin().lock().take(BODY_MAX).read_to_end(&mut body)
    } else {
        let file = std::fs::File::open(path).map_err(fault)?;
        file.take(BODY_MAX).read_to_end(&mut body)
    };
    let size = size.map_err(fault)?;
    if u64::try_from(size).is_ok_and(|size| size >= BODY_MAX) {
        return Err(format!("{} is longer than any answer", path.display()));
    }
    Ok(body)
}

/// One record of what something rests on, and what was recorded because of it.
struct Record<'a> {
    chapter: &'a Chapter,
    call: CallId,
    evidence: &'a Evidence,
    then: Option<&'a Event>,
}

fn records(chapter: &Chapter) -> impl Iterator<Item = Record<'_>> {
    chapter.events.iter().enumerate().filter_map(move |(at, event)| {
        let Event::Evidence { call, evidence } = event else { return None };
        let then = chapter.events.get(at.saturating_add(1));
        Some(Record { chapter, call: *call, evidence, then })
    })
}

impl Record<'_> {
    fn json(&self) -> Value {
        json!({
            "version": self.chapter.version, "at": self.chapter.at, "call": self.call,
            "kind": self.evidence.kind, "status": self.evidence.status, "then": self.then,
        })
    }

    fn line(&self) -> String {
        let Self { chapter, call, evidence, then } = self;
        let status = evidence.status.map_or_else(String::new, |status| format!(" {status}"));
        let then = then.map_or_else(String::new, |event| json!(event).to_string());
        format!(
            "{:>5}  {}  {call}  {}{status}  {then}",
            chapter.version,
            chapter.at,
            kind(evidence)
        )
    }
}

fn kind(evidence: &Evidence) -> String {
    json!(evidence.kind).as_str().unwrap_or_default().to_owned()
}
