//! `baton audit`: reads the audit log in the database directly, and proves that it is what was written.

use std::process::ExitCode;
use std::time::Duration;

use baton_api::{EntryView, ErrorCode};
use baton_engine::audit::{Action, Broken, Head, Intact, VerifyError, verify};
use baton_store::{AuditQuery, AuditRow, Store};
use baton_types::{MerchantId, Timestamp};
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::cli::{Common, Report};
use crate::explain::explained;
use crate::{keys, node};

#[derive(Debug, Args)]
pub(crate) struct Audit {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read the whole log and prove that nothing in it was changed, removed, put in or reordered.
    Verify(Verify),
    /// Show entries, newest first.
    List(List),
    /// Show the log's last entry as SEQ:HASH. Keep it somewhere else, and give it to verify later.
    Head(ShowHead),
}

#[derive(Debug, Args)]
struct Verify {
    /// An earlier head that must still be part of the log; may be given more than once.
    #[arg(long = "head", value_name = "SEQ:HASH")]
    heads: Vec<String>,
    /// Start with this entry instead of the first, and trust what is before.
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    from: Option<u64>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    report: Report,
}

#[derive(Debug, Args)]
struct List {
    /// Only of the merchant of this name or id.
    #[arg(long)]
    merchant: Option<String>,
    /// Only what was done by this actor: a key's id, operator, command-line:USER, command-line, system.
    #[arg(long)]
    actor: Option<String>,
    /// Only entries of this action.
    #[arg(long, value_parser = actions(), hide_possible_values = true)]
    action: Option<String>,
    /// Only what was done to this key, account or token.
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    /// Only from this time on, as in 2027-01-31T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only before this entry: the next page.
    #[arg(long, value_name = "SEQ")]
    before: Option<u64>,
    /// How many entries to show.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    report: Report,
}

#[derive(Debug, Args)]
struct ShowHead {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    report: Report,
}

fn actions() -> PossibleValuesParser {
    PossibleValuesParser::new(Action::ALL.iter().map(|action| action.as_str()))
}

pub(crate) async fn run(command: Audit) -> Result<ExitCode, String> {
    match command.command {
        Command::Verify(command) => check(command).await,
        Command::List(command) => list(command).await,
        Command::Head(command) => head(command).await,
    }
}

async fn check(command: Verify) -> Result<ExitCode, String> {
    let read = |text: &String| {
        Head::parse(text).ok_or_else(|| {
            format!("--head {text}: it must be SEQ:HASH, as baton audit head shows it")
        })
    };
    let noted = command.heads.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let start = command.from.unwrap_or(1);
    if let Some(head) = noted.iter().find(|head| head.seq < start) {
        return Err(format!("--head {head} is before --from {start}: it would not be read"));
    }
    let store = node::open_store(&command.common.load(None)?, false).await?;
    let end = last(store.as_ref()).await?.map_or(0, |row| row.seq);
    // Shown on a terminal only.
    let bar = ProgressBar::new(end);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} entry {pos} of {len}, {eta} left") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    let verdict = verify(store.as_ref(), command.from, &noted, |seq| bar.set_position(seq)).await;
    bar.finish_and_clear();
    match verdict {
        Ok(intact) => {
            tell(&intact, command.from, noted.len(), command.report.json);
            Ok(ExitCode::SUCCESS)
        }
        Err(VerifyError::Broken(broken)) => {
            tell_broken(&broken, command.report.json);
            Ok(ExitCode::FAILURE)
        }
        Err(VerifyError::Store(error)) => Err(format!("there is no verdict: {error}")),
    }
}

fn tell(intact: &Intact, from: Option<u64>, noted: usize, json: bool) {
    let head = intact.head.as_ref().map(Head::to_string);
    if json {
        let shown = json!({ "ok": true, "entries": intact.entries, "from": from, "head": head });
        println!("{shown}");
        return;
    }
    let Some(head) = head else {
        println!("the audit log is empty");
        return;
    };
    let part = from.map_or_else(String::new, |from| format!(" from {from} on"));
    println!("the audit log is intact: {} entries{part}", intact.entries);
    println!("head {head}");
    if noted == 0 {
        println!(
            "Without --head this does not show that nothing was cut off at the end, and that the log was \
             not written anew as a whole."
        );
    }
}

fn tell_broken(broken: &Broken, json: bool) {
    if json {
        let shown = json!({
            "ok": false,
            "code": ErrorCode::AuditBroken.as_str(),
            "problem": broken.as_str(),
            "seq": broken.seq(),
            "message": broken.to_string(),
        });
        println!("{shown}");
    } else {
        let said = explained(ErrorCode::AuditBroken, broken);
        println!("the audit log is BROKEN: {said}");
    }
}

async fn last(store: &dyn Store) -> Result<Option<AuditRow>, String> {
    let query = AuditQuery { newest_first: true, limit: 1, ..AuditQuery::default() };
    Ok(store.audit(&query).await.map_err(|error| error.to_string())?.pop())
}

async fn list(command: List) -> Result<ExitCode, String> {
    let time = |flag: &str, text: &Option<String>| {
        let parsed = text.as_deref().map(Timestamp::parse_rfc3339).transpose();
        parsed.map_err(|_| format!("{flag} must be a time like 2027-01-31T00:00:00Z"))
    };
    let (from, to) = (time("--since", &command.since)?, time("--until", &command.until)?);
    let store = node::open_store(&command.common.load(None)?, false).await?;
    let merchant = match &command.merchant {
        None => None,
        Some(text) if MerchantId::parse(text).is_ok() => Some(text.clone()),
        Some(name) => Some(keys::known(store.as_ref(), name).await?.to_string()),
    };
    let query = AuditQuery {
        merchant,
        actor: command.actor,
        action: command.action,
        subject: command.subject,
        from,
        to,
        newest_first: true,
        beyond: command.before,
        // One more, to know whether there is another page.
        limit: command.limit.saturating_add(1),
    };
    let mut rows = store.audit(&query).await.map_err(|error| error.to_string())?;
    let limit = usize::try_from(command.limit).unwrap_or(usize::MAX);
    let is_last = rows.len() <= limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| !is_last).map(|row| row.seq);
    if command.report.json {
        let data: Vec<EntryView> = rows.iter().map(EntryView::from).collect();
        println!("{}", json!({ "data": data, "next_before": next }));
        return Ok(ExitCode::SUCCESS);
    }
    if rows.is_empty() {
        println!("no entries");
    }
    for row in &rows {
        let AuditRow { seq, at, actor, action, subject, detail, .. } = row;
        println!("{seq:>6}  {at}  {actor}  {action}  {subject}  {detail}");
    }
    if let Some(next) = next {
        eprintln!("There are more: --before {next}");
    }
    Ok(ExitCode::SUCCESS)
}

async fn head(command: ShowHead) -> Result<ExitCode, String> {
    let store = node::open_store(&command.common.load(None)?, false).await?;
    let head = last(store.as_ref()).await?.as_ref().map(Head::of);
    if command.report.json {
        println!("{}", json!({ "head": head.map(|head| head.to_string()) }));
    } else {
        match head {
            Some(head) => println!("{head}"),
            None => println!("the audit log is empty"),
        }
    }
    Ok(ExitCode::SUCCESS)
}
