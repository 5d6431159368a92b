//! `baton bench`: what it costs to have this server between a merchant and a provider.
//!
//! Server, sandbox and load are three processes, with HTTP over loopback in between. Time is counted from
//! when a request was due (see `load`), the server's processor time and memory from what the operating
//! system says of its process alone. Bounded in count and time; it leaves nothing behind but the files asked
//! for, and what it has written to the PostgreSQL database that it was given.

mod figures;
mod http;
mod load;
mod measure;
mod place;
mod plot;
mod prefill;
mod report;
mod targets;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use serde_json::json;

use self::measure::Measured;
use self::place::Place;
use crate::cli::{Colour, Report};
use crate::signals;
use crate::style::Style;

#[derive(Debug, Args)]
pub(crate) struct Payments {
    /// Through which API: a charge in one call, or a payment that is made and then confirmed, in two.
    #[arg(long, value_enum, default_value = "gateway")]
    api: Api,
    /// Payments per second.
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    rate: u32,
    /// For how long.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// For how long before that, not counted.
    #[arg(long, default_value_t = 2, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=60))]
    warmup: u64,
    /// How long the simulated provider rests before it answers.
    #[arg(long, default_value_t = 2, value_name = "MS", value_parser = clap::value_parser!(u64).range(0..=10_000))]
    latency: u64,
    /// Measure on PostgreSQL too: an empty database made for this, to be dropped afterwards.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Measure on this database alone.
    #[arg(long, value_enum, value_name = "DATABASE")]
    only: Option<Database>,
    /// Search for the highest rate that is kept up: nothing fails, 98 % are done in time, p99 is at most
    /// 100 ms. Takes a minute or so.
    #[arg(long)]
    search: bool,
    /// Measure the memory with so many payments in flight.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    in_flight: Option<u32>,
    /// Store so many payments, and measure again. Ten million take 20 GB.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=20_000_000))]
    stored: Option<u64>,
    /// Keep the server's files and the database with those payments in this folder, and use what it holds from
    /// an earlier run; the empty database is another.
    #[arg(long, value_name = "DIR", requires = "stored")]
    stored_in: Option<PathBuf>,
    /// With --stored-in: the PostgreSQL database that keeps them.
    #[arg(long, value_name = "URL", requires = "stored_in")]
    stored_database_url: Option<String>,
    /// Write a picture of the latencies, as SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Where to make the folder for the server's files; it must be on a disk to mean anything [default: the
    /// system's temporary folder]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Keep the server's log [default: it is written, but to nowhere]
    #[arg(long, value_name = "FILE")]
    server_log: Option<PathBuf>,
    /// When to use colours.
    #[arg(long, value_enum, default_value = "auto")]
    color: Colour,
    #[command(flatten)]
    report: Report,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Api {
    Gateway,
    Payments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Database {
    Sqlite,
    Postgres,
}

impl Api {
    fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Payments => "payments",
        }
    }
}

impl Payments {
    fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    fn warmup(&self) -> Duration {
        Duration::from_secs(self.warmup)
    }

    /// Where many payments are kept, if not in the place that was empty.
    fn stored_place(&self, postgres: bool) -> Result<Option<Place>, String> {
        let Some(folder) = &self.stored_in else { return Ok(None) };
        if postgres && self.stored_database_url.is_none() {
            return Err("on PostgreSQL --stored-in needs --stored-database-url".to_owned());
        }
        let url = self.stored_database_url.clone().filter(|_| postgres);
        let name = if postgres { "postgres" } else { "sqlite" };
        Place::kept(&folder.join(name), url, self.server_log.clone()).map(Some)
    }

    /// What to measure on, by name.
    fn databases(&self) -> Result<Vec<(&'static str, Option<String>)>, String> {
        let mut databases = Vec::new();
        if self.only != Some(Database::Postgres) {
            databases.push(("sqlite", None));
        }
        if self.only != Some(Database::Sqlite) {
            databases.extend(self.database_url.clone().map(|url| ("postgres", Some(url))));
        }
        if databases.is_empty() {
            return Err("--only postgres needs --database-url".to_owned());
        }
        Ok(databases)
    }
}

/// A line at the terminal that says what is going on.
struct Progress(ProgressBar);

impl Progress {
    fn say(&self, what: String) {
        self.0.set_message(what);
        self.0.tick();
    }
}

/// Measures and reports.
///
/// # Errors
/// Something does not start, or a file cannot be written.
pub(crate) async fn run(command: Payments) -> Result<ExitCode, String> {
    tokio::select! {
        result = measure(&command) => result,
        () = signals::stop() => Err("interrupted".to_owned()),
    }
}

async fn measure(command: &Payments) -> Result<ExitCode, String> {
    if command.api == Api::Payments && command.stored.is_some() {
        return Err("--stored stores payments of the Gateway API: leave out --api".to_owned());
    }
    let progress = Progress(ProgressBar::new_spinner());
    let mut measured: Vec<Measured> = Vec::new();
    for (name, url) in command.databases()? {
        if let Some(url) = &url {
            must_be_empty(url).await?;
        }
        let stored = command.stored_place(url.is_some())?;
        let place = Place::new(command.folder.as_deref(), url, command.server_log.clone())?;
        let places = measure::Places { empty: &place, stored: stored.as_ref() };
        measured.push(measure::measure(name, command, places, &progress).await?);
    }
    progress.0.finish_and_clear();
    let binary = std::env::current_exe().and_then(std::fs::metadata);
    let targets = targets::judge(&measured, command.api, binary.ok().map(|file| file.len() / 1000));
    if let Some(path) = &command.plot {
        let written = std::fs::write(path, plot::svg(&measured, command.latency));
        written.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if command.report.json {
        let databases: Vec<_> = measured.iter().map(Measured::as_json).collect();
        let targets: Vec<_> = targets.iter().map(targets::Target::as_json).collect();
        let shown = json!({
            "api": command.api.name(),
            "provider_latency_ms": command.latency,
            "databases": databases,
            "targets": targets,
        });
        println!("{shown}");
    } else {
        let style = Style::new(command.color);
        for one in &measured {
            report::database(one, command.latency, style);
        }
        report::targets(&targets, style);
    }
    // A target that is missed is a figure too, not an error: machines differ.
    Ok(ExitCode::SUCCESS)
}

/// Refuses a database that holds payments: nobody wants a benchmark's among their own.
async fn must_be_empty(url: &str) -> Result<(), String> {
    let options = baton_store::OpenOptions { migrate: true, ..baton_store::OpenOptions::default() };
    let store = baton_store::open(url, options).await.map_err(|error| error.to_string())?;
    let info = store.describe().await.map_err(|error| error.to_string())?;
    if info.payments > 0 {
        return Err("the database holds payments; make an empty one for this".to_owned());
    }
    Ok(())
}
