//! `baton bench`: what this machine can do, measured by the program itself.

mod vault;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure the vault: operations per second on one core in memory, and how long a durable token takes.
    Vault(vault::Vault),
}

/// Runs a measurement.
///
/// # Errors
/// What is in the way, in a sentence.
pub(crate) async fn run(command: Bench) -> Result<ExitCode, String> {
    match command.command {
        Command::Vault(command) => vault::run(command).await,
    }
}

/// The duration below which so many thousandths of the sorted durations are.
fn quantile(sorted: &[Duration], permille: usize) -> Duration {
    let last = sorted.len().saturating_sub(1);
    let place = last.saturating_mul(permille) / 1000;
    sorted.get(place).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_sorted_list() {
        let sorted: Vec<_> = (0..=100).map(Duration::from_millis).collect();
        for (permille, millis) in [(0, 0), (500, 50), (990, 99), (1000, 100)] {
            assert_eq!(quantile(&sorted, permille), Duration::from_millis(millis));
        }
        assert_eq!(quantile(&[], 500), Duration::ZERO);
    }
}
