//! `baton incidents`: what a provider said after we had concluded something else; in the database directly, also
//! beside running servers.

use std::process::ExitCode;
use std::sync::Arc;

use baton_api::{ErrorCode, IncidentList, IncidentView, incident_cursor};
use baton_engine::audit::Audit;
use baton_engine::doubts::REASON_MAX;
use baton_engine::incidents::{self, IncidentFilter, Kept, Status};
use baton_engine::{EngineError, SystemClock};
use baton_store::Store;
use baton_types::PaymentId;
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use crate::cli::{Common, Report};
use crate::explain::explained;
use crate::node;
use crate::payments::{merchant, money, print_json};

#[derive(Debug, Args)]
pub(crate) struct Incidents {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List incidents, newest first.
    List(List),
    /// Show an incident: what was known, what was said, what was found, what is proposed.
    Show(Show),
    /// Say what was done about an incident. It is written into the audit log in the same commit.
    Resolve(Resolve),
}

#[derive(Debug, Args)]
struct List {
    /// Only of the merchant of this name or id.
    #[arg(long)]
    merchant: Option<String>,
    /// Only in this state; may be given more than once.
    #[arg(long, value_name = "STATE", value_parser = states())]
    status: Vec<String>,
    /// Only of this payment.
    #[arg(long, value_name = "ID")]
    payment: Option<String>,
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
    /// The incident's id.
    id: String,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    report: Report,
}

#[derive(Debug, Args)]
struct Resolve {
    /// The incident's id.
    id: String,
    /// Say only that somebody is at it.
    #[arg(long)]
    acknowledge: bool,
    /// What was done, or found: kept in the incident and in the audit log.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    report: Report,
}

fn states() -> PossibleValuesParser {
    PossibleValuesParser::new(Status::ALL.map(Status::as_str))
}

pub(crate) async fn run(command: Incidents) -> Result<ExitCode, String> {
    match command.command {
        Command::List(command) => list(command).await,
        Command::Show(command) => show(command).await,
        Command::Resolve(command) => resolve(command).await,
    }
}

async fn list(command: List) -> Result<ExitCode, String> {
    let payment = command.payment.as_deref().map(PaymentId::parse).transpose();
    let payment = payment.map_err(|_| "--payment must be a payment's id".to_owned())?;
    let after = match &command.after {
        None => None,
        Some(text) => {
            Some(incident_cursor(text).ok_or("--after must be what an earlier page has shown")?)
        }
    };
    let store = node::open_store(&command.common.load(None)?, false).await?;
    let merchant = merchant(store.as_ref(), command.merchant.as_ref()).await?;
    let statuses = command.status.iter().filter_map(|word| Status::parse(word)).collect();
    let filter = IncidentFilter { merchant, test: None, statuses, payment, after };
    let found = incidents::list(store.as_ref(), &filter, command.limit).await;
    let (page, more) = found.map_err(|error| error.to_string())?;
    let list = IncidentList::of(&page, more);
    if command.report.json {
        print_json(&list)?;
        return Ok(ExitCode::SUCCESS);
    }
    if list.data.is_empty() {
        println!("no incidents");
    }
    for incident in &list.data {
        println!("{}", line(incident));
    }
    if let Some(next) = &list.next_cursor {
        eprintln!("There are more: --after {next}");
    }
    Ok(ExitCode::SUCCESS)
}

fn line(incident: &IncidentView) -> String {
    let amount = money(incident.amount.as_deref(), incident.currency.as_deref());
    format!(
        "{}  {}  {}  {}  {}  proposed: {} {amount}",
        incident.id,
        incident.created_at,
        incident.account,
        incident.status,
        incident.what,
        incident.proposed
    )
}

fn tell(kept: &Kept, json: bool) -> Result<(), String> {
    let view = IncidentView::from(kept);
    if json {
        return print_json(&view);
    }
    println!("{}", line(&view));
    println!("    payment   {}  call {}", view.payment, view.call);
    println!("    known     {}", view.known);
    println!("    told by   {}", view.told_by);
    println!("    told      {}", view.told);
    println!("    looked up {}", view.looked_up);
    for note in &view.notes {
        println!("    {}  {}  {}: {}", note.at, note.by, note.status, note.reason);
    }
    Ok(())
}

fn unknown(id: &str) -> String {
    explained(ErrorCode::UnknownIncident, format!("there is no incident {id}"))
}

async fn find(store: &dyn Store, id: &str) -> Result<Kept, String> {
    match incidents::show(store, None, id).await {
        Ok(kept) => Ok(kept),
        Err(EngineError::NotFound) => Err(unknown(id)),
        Err(error) => Err(error.to_string()),
    }
}

async fn show(command: Show) -> Result<ExitCode, String> {
    let store = node::open_store(&command.common.load(None)?, false).await?;
    tell(&find(store.as_ref(), &command.id).await?, command.report.json)?;
    Ok(ExitCode::SUCCESS)
}

async fn resolve(command: Resolve) -> Result<ExitCode, String> {
    let reason = command.reason.trim();
    if reason.is_empty() || reason.chars().count() > REASON_MAX {
        return Err(format!("--reason must have 1 to {REASON_MAX} characters"));
    }
    let store = node::open_store(&command.common.load(None)?, false).await?;
    let audit = Audit::new(Arc::clone(&store), Arc::new(SystemClock));
    let status = if command.acknowledge { Status::Acknowledged } else { Status::Resolved };
    let (actor, id) = (node::operator(), &command.id);
    match incidents::resolve(&audit, &actor, None, id, status, reason).await {
        Ok(kept) => {
            tell(&kept, command.report.json)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(EngineError::NotFound) => Err(unknown(id)),
        Err(EngineError::Refused(_)) => Err(format!("{id} is resolved already")),
        Err(error) => Err(error.to_string()),
    }
}
