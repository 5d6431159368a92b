//! `baton keys`: API keys, made in the database directly, also beside a running server.

use std::process::ExitCode;
use std::sync::Arc;

use baton_api::{ErrorCode, KeyView, RATE_MAX};
use baton_engine::audit::Audit;
use baton_engine::keys::{self, NewKey, Scope};
use baton_engine::{SystemClock, merchants};
use baton_types::{ApiKeyId, MerchantId, Timestamp};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::cli::{Common, Report};
use crate::explain::explained;
use crate::node;

#[derive(Debug, Args)]
pub(crate) struct Keys {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key and print it. It is shown this once.
    Create(Create),
    /// List keys, without their text.
    List(List),
    /// End a key. A running server stops taking it within 5 seconds.
    Revoke(Revoke),
}

#[derive(Debug, Args)]
struct Create {
    /// A key for test accounts.
    #[arg(long, conflicts_with = "live", required_unless_present = "live")]
    sandbox: bool,
    /// A key for live accounts.
    #[arg(long)]
    live: bool,
    /// What to call it.
    #[arg(long, default_value = "unnamed")]
    name: String,
    /// What it may do; may be given more than once.
    #[arg(long = "scope", value_enum, default_value = "gateway")]
    scopes: Vec<Word>,
    /// When it ends, as in 2027-01-31T00:00:00Z [default: never]
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// Its own limit, in requests per second [default: the server's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=RATE_MAX.into()))]
    rate_limit: Option<u32>,
    /// Whose key; made if there is no merchant of this name.
    #[arg(long, default_value = merchants::DEFAULT)]
    merchant: String,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    report: Report,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Word {
    Gateway,
    Admin,
}

#[derive(Debug, Args)]
struct List {
    /// Whose keys.
    #[arg(long, default_value = merchants::DEFAULT)]
    merchant: String,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    report: Report,
}

#[derive(Debug, Args)]
struct Revoke {
    /// The key's id, as `baton keys list` shows it.
    id: String,
    /// Whose key.
    #[arg(long, default_value = merchants::DEFAULT)]
    merchant: String,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    report: Report,
}

pub(crate) async fn run(command: Keys) -> Result<ExitCode, String> {
    match command.command {
        Command::Create(command) => create(command).await,
        Command::List(command) => list(command).await,
        Command::Revoke(command) => revoke(command).await,
    }
}

async fn create(command: Create) -> Result<ExitCode, String> {
    let expires_at = command.expires.as_deref().map(Timestamp::parse_rfc3339).transpose();
    let expires_at =
        expires_at.map_err(|_| "--expires must be a time like 2027-01-31T00:00:00Z".to_owned())?;
    let config = command.common.load(None)?;
    let store = node::open_store(&config, config.auto_migrate).await?;
    let audit = Audit::new(store, Arc::new(SystemClock));
    let merchant = merchants::ensure(&audit, node::operator(), &command.merchant).await;
    let merchant = merchant.map_err(|error| error.to_string())?;
    let scopes = command.scopes.iter().map(|word| match word {
        Word::Gateway => Scope::Gateway,
        Word::Admin => Scope::Admin,
    });
    let new = NewKey {
        merchant,
        name: command.name,
        scopes: scopes.collect(),
        sandbox: command.sandbox,
        expires_at,
        rate_limit: command.rate_limit,
    };
    let made = keys::create(&audit, node::operator(), new).await;
    let (row, text) = made.map_err(|error| error.to_string())?;
    if command.report.json {
        println!("{}", json!({ "api_key": text.expose(), "key": KeyView::from(&row) }));
    } else {
        println!("{}", text.expose());
        eprintln!("This is the only time it is shown. Its id is {}.", row.id);
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(command: List) -> Result<ExitCode, String> {
    let config = command.common.load(None)?;
    let store = node::open_store(&config, false).await?;
    let merchant = known(store.as_ref(), &command.merchant).await?;
    let rows = store.api_keys(merchant).await.map_err(|error| error.to_string())?;
    if command.report.json {
        let keys: Vec<KeyView> = rows.iter().map(KeyView::from).collect();
        println!("{}", json!({ "data": keys }));
        return Ok(ExitCode::SUCCESS);
    }
    if rows.is_empty() {
        println!("No keys. Make one: baton keys create --sandbox");
    }
    for row in rows {
        let mode = if row.sandbox { "sandbox" } else { "live" };
        let state = match (row.revoked_at, row.expires_at) {
            (Some(at), _) => format!("revoked {at}"),
            (None, Some(at)) => format!("until {at}"),
            (None, None) => "valid".to_owned(),
        };
        let rate = row.rate_limit.map(|rate| format!("{rate}/s")).unwrap_or_default();
        println!(
            "{}  …{}  {mode:7}  {:15}  {rate:8}  {state}  {}",
            row.id,
            row.hint,
            row.scopes.join(","),
            row.name
        );
    }
    Ok(ExitCode::SUCCESS)
}

async fn revoke(command: Revoke) -> Result<ExitCode, String> {
    let id = ApiKeyId::parse(&command.id).map_err(|_| {
        let text = format!("{} is no id of a key; see baton keys list", command.id);
        explained(ErrorCode::UnknownKey, text)
    })?;
    let config = command.common.load(None)?;
    let store = node::open_store(&config, false).await?;
    let merchant = known(store.as_ref(), &command.merchant).await?;
    let audit = Audit::new(store, Arc::new(SystemClock));
    let ended = keys::revoke(&audit, node::operator(), merchant, id).await;
    ended.map_err(|error| {
        let unknown = error == baton_engine::EngineError::NotFound;
        if unknown {
            explained(ErrorCode::UnknownKey, format!("the merchant has no key {id}"))
        } else {
            error.to_string()
        }
    })?;
    if command.report.json {
        println!("{}", json!({ "id": id.to_string(), "revoked": true }));
    } else {
        println!("{id} has ended; a running server stops taking it within 5 seconds");
    }
    Ok(ExitCode::SUCCESS)
}

/// The merchant of this name.
///
/// # Errors
/// There is none, or the store does not answer.
pub(crate) async fn known(
    store: &dyn baton_store::Store,
    name: &str,
) -> Result<MerchantId, String> {
    let found = store.merchant_by_name(name).await.map_err(|error| error.to_string())?;
    found.map(|row| row.id).ok_or_else(|| {
        explained(ErrorCode::UnknownMerchant, format!("there is no merchant called {name}"))
    })
}
