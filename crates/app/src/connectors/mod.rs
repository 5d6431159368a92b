//! `baton connectors`: what this build can talk to, and the start of a new connector.
//!
//! Nothing here calls a provider. What is shown is what the manifests say.

mod check;
mod page;
mod template;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use baton_connect::{Connector, Manifest};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::{Colour, Common, Report};
use crate::style::Style;

#[derive(Debug, Args)]
pub(crate) struct Connectors {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the connectors of this build.
    List(List),
    /// Show what a connector can do, with where its provider documents it.
    Show(Show),
    /// Check a connector's folder (manifest and cases), or the accounts of the configuration.
    Check(Check),
    /// Write the folder of a new connector: manifest, code and cases that work.
    New(New),
}

#[derive(Debug, Args)]
struct List {
    /// Print the page of the documentation.
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    #[command(flatten)]
    report: Report,
}

#[derive(Debug, Args)]
struct Show {
    /// Its gateway name or id, in any case: Stripe.
    name: String,
    /// Print the page of the documentation.
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    #[command(flatten)]
    report: Report,
}

#[derive(Debug, Args)]
struct Check {
    /// The connector's folder [default: check the configured accounts]
    folder: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    report: Report,
}

#[derive(Debug, Args)]
struct New {
    /// Its id: 2 to 30 small letters, digits and _, beginning with a letter.
    id: String,
    /// Where its folder is made.
    #[arg(long, value_name = "DIR", default_value = "crates/connectors/src")]
    dir: PathBuf,
}

/// Runs a subcommand.
///
/// # Errors
/// A sentence for the person at the terminal.
pub(crate) fn run(command: Connectors) -> Result<ExitCode, String> {
    match command.command {
        Command::List(command) => list(&command),
        Command::Show(command) => show(&command),
        Command::Check(command) => {
            check::run(command.folder.as_deref(), &command.common, command.report)
        }
        Command::New(command) => new(&command),
    }
}

fn all() -> Result<Vec<Arc<dyn Connector>>, String> {
    baton_connectors::all().map_err(|error| error.to_string())
}

fn list(command: &List) -> Result<ExitCode, String> {
    let mut all = all()?;
    all.sort_by_key(|connector| connector.manifest().id.clone());
    let manifests = || all.iter().map(|connector| connector.manifest());
    if command.markdown {
        print(&page::index(manifests()));
    } else if command.report.json {
        let shown: Vec<_> = manifests().map(baton_api::ConnectorView::from).collect();
        println!("{}", json!({ "connectors": shown }));
    } else {
        for manifest in manifests() {
            let can: Vec<&str> = manifest.operations.keys().map(|kind| kind.as_str()).collect();
            println!("{:<14}{:<24}{}", manifest.gateway_name, manifest.display_name, can.join(" "));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(command: &Show) -> Result<ExitCode, String> {
    let all = all()?;
    let manifest = find(&all, &command.name)?;
    if command.report.json {
        println!("{}", json!(baton_api::ConnectorView::from(manifest)));
    } else if command.markdown {
        print(&page::of(manifest));
    } else {
        print(&page::plain(manifest, Style::new(Colour::Auto)));
    }
    Ok(ExitCode::SUCCESS)
}

fn find<'a>(all: &'a [Arc<dyn Connector>], name: &str) -> Result<&'a Manifest, String> {
    let named = |manifest: &&Manifest| {
        manifest.id.eq_ignore_ascii_case(name) || manifest.gateway_name.eq_ignore_ascii_case(name)
    };
    all.iter().map(|connector| connector.manifest()).find(named).ok_or_else(|| {
        let distance = |manifest: &&Manifest| {
            strsim::damerau_levenshtein(&manifest.id, &name.to_ascii_lowercase())
        };
        let nearest = all.iter().map(|connector| connector.manifest()).min_by_key(distance);
        let hint = nearest.map(|manifest| format!("; did you mean {}?", manifest.gateway_name));
        format!("there is no connector {name}{}", hint.unwrap_or_default())
    })
}

fn new(command: &New) -> Result<ExitCode, String> {
    let made = template::write(&command.id, &command.dir)?;
    println!("Made {}. Next:", made.folder.display());
    println!("  1. in {}: mod {};", command.dir.join("lib.rs").display(), command.id);
    println!("     and in all(): Arc::new({0}::{1}::new()?),", command.id, made.name);
    println!(
        "     and in its tests: (\"{}\", include_str!(\"{}/cases.json\")),",
        made.name, command.id
    );
    println!("  2. cargo nextest run -p baton-connectors every_case_holds");
    println!("  3. docs/guides/write-a-connector.md");
    Ok(ExitCode::SUCCESS)
}

/// A text that ends with a line's end.
fn print(text: &str) {
    println!("{}", text.trim_end());
}
