//! The `baton` command: configuration, wiring, subcommands. The only place that prints.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command's output is its purpose")]

/// Prints a line, and does not mind that nobody reads it any more: `baton demo | head` is no error.
macro_rules! println {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

mod audit;
mod bench;
mod cli;
mod config;
mod connectors;
mod demo;
mod doctor;
mod evidence;
mod explain;
mod incidents;
mod keys;
mod listener;
mod node;
mod payments;
mod sandbox;
mod server;
mod signals;
mod simulate;
mod style;
mod tls;
mod vault;
mod vault_server;
mod webhooks;

use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = cli::Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("baton: the runtime cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(cli::run(arguments)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("baton: {error}");
            ExitCode::FAILURE
        }
    }
}
