//! `baton webhooks`: what merchants are told; in the database directly, also beside running servers.
//!
//! Nothing is sent from here: what is told again waits in its place, and a running server sends it.

use std::process::ExitCode;
use std::sync::Arc;

use baton_api::{
    ErrorCode, ReplayedView, WebhookList, WebhookShown, WebhookView, behind, webhook_cursor,
};
use baton_engine::audit::Audit;
use baton_engine::{Clock as _, SystemClock};
use baton_payments::{
    EventKind, Failed, Fault, REPLAY_MAX, hook_shown, hooks_page, replay_failed_hooks, replay_hook,
};
use baton_store::{HookQuery, HookState, Store};
use baton_types::{MerchantId, Timestamp};
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use crate::cli::{Common, Report};
use crate::explain::explained;
use crate::payments::{merchant, print_json};
use crate::{keys, node};

#[derive(Debug, Args)]
pub(crate) struct Webhooks {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List what a merchant was told or waits to be, newest first.
    List(List),
    /// Show a webhook: what is sent, and every try.
    Show(Show),
    /// Have a webhook told again, or all of a time range that were given up. A running server sends them.
    Replay(Replay),
}

#[derive(Debug, Args)]
struct Of {
    /// The merchant, by name or id.
    #[arg(long, default_value = "default")]
    merchant: String,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    of: Of,
    /// Only in this state; may be given more than once.
    #[arg(long, value_name = "STATE", value_parser = states())]
    state: Vec<String>,
    /// Only of this type; may be given more than once.
    #[arg(long = "type", value_name = "TYPE", value_parser = kinds(), hide_possible_values = true)]
    kinds: Vec<String>,
    /// Only about the payment, refund or mandate of this id.
    #[arg(long, value_name = "ID")]
    object: Option<String>,
    /// Only of this profile.
    #[arg(long, value_name = "ID")]
    profile: Option<String>,
    /// Only what happened at this time or later, as in 2027-01-31T00:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Timestamp>,
    /// Only what happened at this time or earlier.
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Timestamp>,
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
    /// The webhook's id.
    id: String,
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    report: Report,
}

#[derive(Debug, Args)]
struct Replay {
    /// The webhook's id; without one, --failed says which.
    #[arg(required_unless_present = "failed", conflicts_with = "failed")]
    id: Option<String>,
    #[command(flatten)]
    of: Of,
    /// All that were given up, the newest first.
    #[arg(long, requires = "from")]
    failed: bool,
    /// Of those, only what happened at this time or later, as in 2027-01-31T00:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time, requires = "failed")]
    from: Option<Timestamp>,
    /// Of those, only what happened at this time or earlier [default: now]
    #[arg(long, value_name = "TIME", value_parser = time, requires = "failed")]
    to: Option<Timestamp>,
    /// Of those, only of this type; may be given more than once.
    #[arg(long = "type", value_name = "TYPE", value_parser = kinds(), hide_possible_values = true,
        requires = "failed")]
    kinds: Vec<String>,
    /// Of those, only of this profile.
    #[arg(long, value_name = "ID", requires = "failed")]
    profile: Option<String>,
    /// Of those, so many at most.
    #[arg(long, default_value_t = REPLAY_MAX, requires = "failed",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(REPLAY_MAX)))]
    limit: u32,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    report: Report,
}

fn states() -> PossibleValuesParser {
    PossibleValuesParser::new(HookState::ALL.map(HookState::as_str))
}

fn kinds() -> PossibleValuesParser {
    PossibleValuesParser::new(EventKind::ALL.iter().map(|kind| kind.as_str()))
}

fn time(text: &str) -> Result<Timestamp, String> {
    let wrong = |_| "expected a time like 2027-01-31T00:00:00Z".to_owned();
    Timestamp::parse_rfc3339(text).map_err(wrong)
}

pub(crate) async fn run(command: Webhooks) -> Result<ExitCode, String> {
    match command.command {
        Command::List(command) => list(command).await,
        Command::Show(command) => show(command).await,
        Command::Replay(command) => replay(command).await,
    }
}

async fn whose(store: &dyn Store, of: &Of) -> Result<MerchantId, String> {
    match merchant(store, Some(&of.merchant)).await? {
        Some(id) => Ok(id),
        None => keys::known(store, &of.merchant).await,
    }
}

fn failure(fault: &Fault, id: &str) -> String {
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "of the Payments API's faults only these can come from here"
    )]
    match fault {
        Fault::NotFound(_) => {
            let text = format!("the merchant has no webhook {id}");
            explained(ErrorCode::UnknownWebhook, text)
        }
        Fault::Precondition(why) => format!("{id}: {why}"),
        Fault::Engine(error) => error.to_string(),
        other => format!("{other:?}"),
    }
}

async fn list(command: List) -> Result<ExitCode, String> {
    let after = match &command.after {
        None => None,
        Some(text) => {
            Some(webhook_cursor(text).ok_or("--after must be what an earlier page has shown")?)
        }
    };
    let store = node::open_store(&command.common.load(None)?, false).await?;
    let all = HookQuery::of(whose(store.as_ref(), &command.of).await?);
    let mut query = HookQuery {
        from: command.from.unwrap_or(all.from),
        to: command.to.unwrap_or(all.to),
        object: command.object,
        profile: command.profile,
        kinds: command.kinds,
        states: command.state.iter().filter_map(|word| HookState::parse(word)).collect(),
        limit: command.limit,
        ..all
    };
    if let Some(after) = after {
        behind(&mut query, after);
    }
    let found = hooks_page(store.as_ref(), &query).await;
    let (page, more) = found.map_err(|fault| failure(&fault, "-"))?;
    let list = WebhookList::of(&page, more);
    if command.report.json {
        print_json(&list)?;
        return Ok(ExitCode::SUCCESS);
    }
    if list.data.is_empty() {
        println!("no webhooks");
    }
    for webhook in &list.data {
        println!("{}", line(webhook));
    }
    if let Some(next) = &list.next_cursor {
        eprintln!("There are more: --after {next}");
    }
    Ok(ExitCode::SUCCESS)
}

fn line(webhook: &WebhookView) -> String {
    let tries = if webhook.tries == 1 { "try" } else { "tries" };
    format!(
        "{}  {}  {:9}  {} {tries}  {}  {}",
        webhook.id,
        webhook.created_at,
        webhook.state,
        webhook.tries,
        webhook.r#type,
        webhook.object
    )
}

async fn show(command: Show) -> Result<ExitCode, String> {
    let store = node::open_store(&command.common.load(None)?, false).await?;
    let merchant = whose(store.as_ref(), &command.of).await?;
    let found = hook_shown(store.as_ref(), merchant, &command.id).await;
    let (event, attempts) = found.map_err(|fault| failure(&fault, &command.id))?;
    let shown = WebhookShown::of(&event, &attempts);
    if command.report.json {
        print_json(&shown)?;
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}", line(&shown.webhook));
    println!("    merchant  {}  profile {}", shown.webhook.merchant, shown.webhook.profile);
    for tried in &shown.attempts {
        let status = tried.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
        let error = tried.error.as_deref().unwrap_or_default();
        println!("    {}  {}  {} ms  {status}  {error}", tried.at, tried.cause, tried.took_ms);
    }
    println!("{}", shown.body);
    Ok(ExitCode::SUCCESS)
}

async fn replay(command: Replay) -> Result<ExitCode, String> {
    let store = node::open_store(&command.common.load(None)?, false).await?;
    let merchant = whose(store.as_ref(), &command.of).await?;
    let audit = Audit::new(Arc::clone(&store), Arc::new(SystemClock));
    let actor = node::operator();
    if let Some(id) = &command.id {
        let done = replay_hook(&audit, &actor, merchant, id).await;
        let webhook = WebhookView::from(&done.map_err(|fault| failure(&fault, id))?);
        if command.report.json {
            print_json(&webhook)?;
        } else {
            println!("{}", line(&webhook));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let (now, profile, kinds) = (SystemClock.now(), command.profile, command.kinds);
    let (from, to) = (command.from.unwrap_or(now), command.to.unwrap_or(now));
    if from > to {
        return Err("--from is after the end".to_owned());
    }
    let failed = Failed { merchant, from, to, profile, kinds, limit: command.limit };
    let done = replay_failed_hooks(&audit, &actor, failed).await;
    let (replayed, more) = done.map_err(|fault| failure(&fault, "-"))?;
    if command.report.json {
        print_json(&ReplayedView { replayed, more })?;
    } else {
        println!("{replayed} will be told again");
        if more {
            eprintln!("There are more: say it again");
        }
    }
    Ok(ExitCode::SUCCESS)
}
