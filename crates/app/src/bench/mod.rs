//! `baton bench`: what this machine can do, measured by the program itself.

mod payments;
mod vault;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Bench {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    payments: payments::Payments,
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
        Some(Command::Vault(command)) => vault::run(command).await,
        None => payments::run(command.payments).await,
    }
}

/// The duration below which so many thousandths of the sorted durations are.
fn quantile(sorted: &[Duration], permille: usize) -> Duration {
    let last = sorted.len().saturating_sub(1);
    let place = last.saturating_mul(permille) / 1000;
    sorted.get(place).copied().unwrap_or_default()
}

/// In milliseconds, to a hundredth.
fn millis(time: Duration) -> String {
    let hundredths = time.as_micros() / 10;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
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
