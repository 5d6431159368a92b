//! Subcommands and their flags.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use baton_api::ErrorCode;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{self, Config, Flags};
use crate::explain::explained;
use crate::{
    audit, bench, connectors, demo, doctor, explain, incidents, keys, node, payments, sandbox,
    server, simulate, vault, webhooks,
};

/// Baton, a payment orchestrator: one API in front of many payment providers, with failover that cannot
/// double charge.
#[derive(Debug, Parser)]
#[command(name = "baton", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what it does: a server and a sandbox in a temporary folder, and a narrated tour.
    Demo(demo::Demo),
    /// Run the server.
    Serve(server::Serve),
    /// Run the sandbox provider alone: a payment provider to test against.
    Sandbox(sandbox::Sandbox),
    /// Make, list and revoke API keys.
    Keys(keys::Keys),
    /// List what is in doubt, show a payment's evidence, settle a doubt by hand.
    Payments(payments::Payments),
    /// List, show and resolve incidents: what a provider said after we had concluded something else.
    Incidents(incidents::Incidents),
    /// List, show and repeat webhooks: what merchants are told.
    Webhooks(webhooks::Webhooks),
    /// Read and verify the audit log.
    Audit(audit::Audit),
    /// Look after the vault of card data and credentials: its keys, their rotation.
    Vault(vault::Vault),
    /// Bring the schema of the database and of the vault up to date.
    Migrate(Migrate),
    /// List, show and check connectors, and begin a new one.
    Connectors(connectors::Connectors),
    /// Check configuration, database and accounts.
    Doctor(doctor::Doctor),
    /// Say what a code means, whether money was moved, and what to do.
    Explain(explain::Explain),
    /// Send payments through every fault, in simulated time, and compare policies of failover.
    Simulate(simulate::Simulate),
    /// Measure what a payment costs on this machine: a server, a sandbox and a load, and what the server adds.
    Bench(bench::Bench),
}

/// Where configuration comes from; common to all commands that open the database.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// The configuration file [default: baton.toml, if it is there]
    #[arg(long, short, value_name = "FILE", env = "BATON_CONFIG")]
    config: Option<PathBuf>,
    /// Where this node keeps its files [default: baton-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// sqlite:PATH or postgres://… [default: a SQLite file in the data folder; also DATABASE_URL]
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
}

impl Common {
    pub(crate) fn load(&self, listen: Option<SocketAddr>) -> Result<Config, String> {
        config::load(Flags {
            file: self.config.clone(),
            listen,
            data_dir: self.data_dir.clone(),
            database_url: self.database_url.clone(),
        })
        .map_err(|error| explained(ErrorCode::ConfigInvalid, error))
    }
}

/// How a command reports.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Report {
    /// Print JSON for scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[derive(Debug, Args)]
struct Migrate {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    report: Report,
}

/// Runs a command.
///
/// # Errors
/// A sentence for the person at the terminal.
pub(crate) async fn run(cli: Cli) -> Result<ExitCode, String> {
    match cli.command {
        Command::Demo(command) => demo::run(command).await,
        Command::Serve(command) => server::run(command).await,
        Command::Sandbox(command) => sandbox::run(command).await,
        Command::Keys(command) => keys::run(command).await,
        Command::Payments(command) => payments::run(command).await,
        Command::Incidents(command) => incidents::run(command).await,
        Command::Webhooks(command) => webhooks::run(command).await,
        Command::Audit(command) => audit::run(command).await,
        Command::Vault(command) => vault::run(command).await,
        Command::Simulate(command) => simulate::run(command).await,
        Command::Bench(command) => bench::run(command).await,
        Command::Migrate(command) => migrate(command).await,
        Command::Connectors(command) => connectors::run(command),
        Command::Doctor(command) => doctor::run(command).await,
        Command::Explain(command) => explain::run(command),
    }
}

async fn migrate(command: Migrate) -> Result<ExitCode, String> {
    let config = command.common.load(None)?;
    let store = node::open_store(&config, true).await?;
    let info = store.describe().await.map_err(|error| error.to_string())?;
    // A vault that is elsewhere is brought up to date there.
    let (sealed, made_root) = if config.vault.url.is_some() {
        (None, false)
    } else {
        let (vault, made_root) = node::open_vault(&config, true).await?;
        (Some(vault.describe().await.map_err(|error| error.to_string())?), made_root)
    };
    if command.report.json {
        let shown = serde_json::json!({
            "backend": info.backend,
            "version": info.version,
            "schema_version": info.schema_version,
            "vault": sealed.map(|sealed| serde_json::json!({
                "backend": sealed.backend,
                "version": sealed.version,
                "schema_version": sealed.schema_version,
            })),
        });
        println!("{shown}");
    } else {
        println!("{} {}: schema version {}", info.backend, info.version, info.schema_version);
        if let Some(sealed) = sealed {
            let (backend, version) = (sealed.backend, sealed.version);
            println!("vault, {backend} {version}: schema version {}", sealed.schema_version);
        }
    }
    if made_root {
        eprintln!("{}", node::new_root_key(&config));
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_holds_together() {
        super::Cli::command().debug_assert();
    }
}
