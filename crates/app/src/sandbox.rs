//! `baton sandbox`: the simulated provider alone.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use baton_sandbox::{Books, Config, Sync};
use clap::{Args, ValueEnum};

use crate::cli::Report;
use crate::signals;

#[derive(Debug, Args)]
pub(crate) struct Sandbox {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8090", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Keep the books in this file; without it they end with the process.
    #[arg(long, value_name = "FILE")]
    books: Option<PathBuf>,
    /// When a change is answered: after it is on the disk, or at once.
    #[arg(long, default_value = "always")]
    sync: When,
    /// Ignore idempotency keys: a request sent twice is executed twice.
    #[arg(long)]
    no_dedup: bool,
    #[command(flatten)]
    report: Report,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum When {
    Always,
    Relaxed,
}

/// Runs until it is told to stop.
///
/// # Errors
/// It cannot start.
pub(crate) async fn run(command: Sandbox) -> Result<ExitCode, String> {
    crate::server::start_log(crate::config::LogFormat::Json, "info")?;
    let sync = if command.sync == When::Always { Sync::Always } else { Sync::Relaxed };
    let books = command.books.map_or(Books::Memory, |path| Books::File { path, sync });
    let config = Config { listen: command.listen, books, dedup: !command.no_dedup };
    let running = baton_sandbox::start(config).await.map_err(|error| error.to_string())?;
    let url = format!("http://{}", running.addr());
    if command.report.json {
        println!("{}", serde_json::json!({ "url": url, "dedup": !command.no_dedup }));
    } else {
        println!("The sandbox listens on {url}");
        println!("  own dialect     {url}/sandbox/ACCOUNT");
        println!("  Stripe dialect  {url}/stripe/ACCOUNT");
        println!("  Adyen dialect   {url}/adyen/ACCOUNT");
        println!("  books           {url}/admin/books");
    }
    signals::stop().await;
    running.shutdown().await;
    Ok(ExitCode::SUCCESS)
}
