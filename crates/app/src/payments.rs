//! `baton payments`: what is in doubt, the evidence of one payment, and settling by hand; in the database directly,
//! also beside running servers.

use std::process::ExitCode;
use std::sync::Arc;

use baton_api::{CallView, DoubtList, DoubtView, ErrorCode, EvidenceView, doubt_cursor};
use baton_engine::audit::Audit;
use baton_engine::doubts::{self, CallId, DoubtFilter, Evidence, REASON_MAX, Settlement, Verdict};
use baton_engine::{Clock as _, EngineError, SystemClock};
use baton_store::Store;
use baton_types::{MerchantId, PaymentId, Timestamp};
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::cli::{Common, Report};
use crate::explain::explained;
use crate::{evidence, keys, node};

#[derive(Debug, Args)]
pub(crate) struct Payments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List calls whose outcome nobody knows yet, those of the oldest payment first.
    Doubt(List),
    /// Show a payment: every call with its plan, look-ups and conclusion, and what happened when.
    Show(Show),
    /// Settle a call in doubt by hand. It is written into the audit log in the same commit.
    Settle(Settle),
    /// Check which records of a payment rest on an answer that you have: its hash is compared.
    Evidence(evidence::Check),
}

#[derive(Debug, Args)]
struct List {
    /// Only of the merchant of this name or id.
    #[arg(long)]
    merchant: Option<String>,
    /// Only of test accounts.
    #[arg(long, conflicts_with = "live")]
    sandbox: bool,
    /// Only of live accounts.
    #[arg(long)]
    live: bool,
    /// Only at the account of this name.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Only what has been in doubt since before this time, as in 2027-01-31T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
    /// Only behind this one: the next page.
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// How many to show.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    report: Report,
}

#[derive(Debug, Args)]
struct Show {
    /// Our id of the payment.
    id: String,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    report: Report,
}

#[derive(Debug, Args)]
struct Settle {
    /// Our id of the payment.
    id: String,
    /// Its call, as `baton payments doubt` shows it: a1 is the first attempt.
    call: String,
    /// What became of it.
    #[arg(long = "as", value_name = "WHAT", value_parser = words())]
    how: String,
    /// How it is known: kept in the payment's history and in the audit log.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    report: Report,
}

fn words() -> PossibleValuesParser {
    PossibleValuesParser::new(Settlement::ALL.map(Settlement::as_str))
}

pub(crate) async fn run(command: Payments) -> Result<ExitCode, String> {
    match command.command {
        Command::Doubt(command) => list(command).await,
        Command::Show(command) => show(command).await,
        Command::Settle(command) => settle(command).await,
        Command::Evidence(command) => evidence::run(command).await,
    }
}

/// A merchant by name or id; none if none is named.
pub(crate) async fn merchant(
    store: &dyn Store,
    named: Option<&String>,
) -> Result<Option<MerchantId>, String> {
    match named {
        None => Ok(None),
        Some(text) => match MerchantId::parse(text) {
            Ok(id) => Ok(Some(id)),
            Err(_) => keys::known(store, text).await.map(Some),
        },
    }
}

async fn list(command: List) -> Result<ExitCode, String> {
    let before = command.before.as_deref().map(Timestamp::parse_rfc3339).transpose();
    let before =
        before.map_err(|_| "--before must be a time like 2027-01-31T00:00:00Z".to_owned())?;
    let after = match &command.after {
        None => None,
        Some(text) => {
            Some(doubt_cursor(text).ok_or("--after must be what an earlier page has shown")?)
        }
    };
    let store = node::open_store(&command.common.load(None)?, false).await?;
    let test = match (command.sandbox, command.live) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        (false, false) => None,
    };
    let merchant = merchant(store.as_ref(), command.merchant.as_ref()).await?;
    let filter = DoubtFilter { merchant, test, account: command.account, before, after };
    let found = doubts::list(store.as_ref(), &filter, command.limit).await;
    let (page, more) = found.map_err(|error| error.to_string())?;
    let list = DoubtList::of(&page, more);
    if command.report.json {
        print_json(&list)?;
        return Ok(ExitCode::SUCCESS);
    }
    if page.is_empty() {
        println!("nothing is in doubt");
    }
    let now = SystemClock.now();
    for (view, doubt) in list.data.iter().zip(&page) {
        println!("{}", line(view, now.since(doubt.since)));
    }
    if let Some(next) = &list.next_cursor {
        eprintln!("There are more: --after {next}");
    }
    Ok(ExitCode::SUCCESS)
}

fn line(doubt: &DoubtView, for_ms: i64) -> String {
    let why = doubt.reason.map_or_else(String::new, |why| format!(" ({why})"));
    format!(
        "{}  {}  {}  {}  {}  {}{why}  for {}  next look at {}",
        doubt.payment,
        doubt.call,
        doubt.operation,
        doubt.account.as_deref().unwrap_or("-"),
        money(doubt.amount.as_deref(), doubt.currency.as_deref()),
        doubt.outcome,
        age(for_ms),
        doubt.next_check_at
    )
}

pub(crate) fn money(amount: Option<&str>, currency: Option<&str>) -> String {
    match (amount, currency) {
        (Some(amount), Some(currency)) => format!("{amount} {currency}"),
        _ => "-".to_owned(),
    }
}

/// A time span in its largest units.
fn age(ms: i64) -> String {
    let seconds = ms.max(0) / 1_000;
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, ..) => format!("{days} d {hours} h"),
    }
}

/// A call's state in a few words.
fn state(call: &CallView) -> String {
    let word = |path: &str| call.state.pointer(path).and_then(|value| value.as_str());
    let outcome = word("/outcome/class").or_else(|| word("/how"));
    let outcome = outcome.or_else(|| word("/state")).unwrap_or("-");
    let why = word("/outcome/why").map_or_else(String::new, |why| format!(" ({why})"));
    let by_hand = if call.settled.is_some() { ", settled by hand" } else { "" };
    format!("{outcome}{why}{by_hand}")
}

async fn show(command: Show) -> Result<ExitCode, String> {
    let store = node::open_store(&command.common.load(None)?, false).await?;
    let evidence = find(store.as_ref(), &command.id).await?;
    tell(&evidence, command.report.json)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn find(store: &dyn Store, id: &str) -> Result<Evidence, String> {
    let unknown = || explained(ErrorCode::UnknownPayment, format!("there is no payment {id}"));
    let id = PaymentId::parse(id).map_err(|_| unknown())?;
    match doubts::show(store, None, id).await {
        Ok(evidence) => Ok(evidence),
        Err(EngineError::NotFound) => Err(unknown()),
        Err(error) => Err(error.to_string()),
    }
}

pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), String> {
    let text = serde_json::to_string_pretty(value).map_err(|error| error.to_string())?;
    println!("{text}");
    Ok(())
}

fn tell(evidence: &Evidence, json: bool) -> Result<(), String> {
    let view = EvidenceView::from(evidence);
    if json {
        return print_json(&view);
    }
    let mode = if view.sandbox { "sandbox" } else { "live" };
    let amount = money(view.amount.as_deref(), view.currency.as_deref());
    let reference = view.my_ref.as_deref().unwrap_or("-");
    println!("{}  {}  {amount}  {reference}  {}", view.payment, view.operation, view.status);
    println!("{mode}, merchant {}, version {}", view.merchant, view.version);
    for call in &view.calls {
        tell_call(call);
    }
    println!("\nhistory");
    for chapter in &view.history {
        for event in &chapter.events {
            println!("{:>5}  {}  {event}", chapter.version, chapter.at);
        }
    }
    Ok(())
}

fn tell_call(call: &CallView) {
    let (account, gateway) = (call.account.as_deref(), call.gateway.as_deref());
    let (account, gateway) = (account.unwrap_or("-"), gateway.unwrap_or("-"));
    println!("\n{}  {}  {account} ({gateway})  {}", call.call, call.operation, state(call));
    println!("    reference     {}", call.reference);
    println!(
        "    planned       {}  by {}, to be sent by {}",
        call.planned_at, call.node, call.send_by
    );
    if let Some(since) = &call.open_since {
        println!("    in doubt from {since}");
    }
    if let Some(after) = &call.absent_after {
        println!("    absent after  {after}  (not to be found before that proves nothing)");
    }
    for check in &call.checks {
        println!("    {:<13} {check}", asked(check));
    }
    if let Some(at) = call.state.get("at").and_then(|at| at.as_str()) {
        println!("    concluded     {at}");
    }
}

/// How a check was made. What was recorded without an answer was a look-up.
fn asked(check: &Value) -> &'static str {
    match check.pointer("/evidence/kind").and_then(Value::as_str) {
        Some("webhook") => "was told",
        Some("replay") => "sent again",
        _ => "looked up",
    }
}

async fn settle(command: Settle) -> Result<ExitCode, String> {
    let wrong = |why: &str| Err(format!("{}: {why}", command.call));
    let Ok(call) = command.call.parse::<CallId>() else {
        return wrong("a call is like a1, c1, v1 or r1");
    };
    let Some(how) = Settlement::parse(&command.how) else { return wrong("no such settlement") };
    let reason = command.reason.trim().to_owned();
    if reason.is_empty() || reason.chars().count() > REASON_MAX {
        return Err(format!("--reason must have 1 to {REASON_MAX} characters"));
    }
    let config = command.common.load(None)?;
    let store = node::open_store(&config, false).await?;
    let found = find(store.as_ref(), &command.id).await?.payment;
    let audit = Audit::new(Arc::clone(&store), Arc::new(SystemClock));
    let verdict = Verdict { merchant: Some(found.merchant), payment: found.id, call, how, reason };
    match doubts::settle(&audit, &node::operator(), &verdict, true, Some(baton_payments::follow))
        .await
    {
        Ok(_) => {
            tell(&find(store.as_ref(), &command.id).await?, command.report.json)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error @ EngineError::Refused(_)) => Err(explained(ErrorCode::CannotSettle, error)),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_their_largest_units() {
        let rows = [
            (-5, "0 s"),
            (59_999, "59 s"),
            (61_000, "1 min 1 s"),
            (3_600_000, "1 h 0 min"),
            (90_000_000, "1 d 1 h"),
        ];
        for (ms, want) in rows {
            assert_eq!(age(ms), want);
        }
    }
}
