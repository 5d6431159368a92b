//! `baton simulate`: payments through every fault, in simulated time, and what came of them.

mod html;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use baton_sim::{Day, Kit, Mode, Setup, Totals, Violation};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{Colour, Report};
use crate::style::Style;

#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// How many orders.
    #[arg(long, default_value_t = 20_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    payments: u64,
    /// The first world's seed; each further world has the next one.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// The policy; the first two exist in the simulator only [default: resolve_first, or the file's]
    #[arg(long)]
    mode: Option<ModeName>,
    /// How bad a day [default: mild, or the file's]
    #[arg(long)]
    day: Option<DayName>,
    /// Your own accounts, policy and rates of faults (TOML).
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Every mode on the same seeds, as a table.
    #[arg(long, conflicts_with = "mode")]
    compare: bool,
    /// Print the timeline of one order of the first world, and nothing else.
    #[arg(long, value_name = "ORDER", conflicts_with = "compare")]
    timeline: Option<u64>,
    /// Also write the report as a page.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// How many threads; each world lives in one [default: one per core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// When to use colours.
    #[arg(long, default_value = "auto")]
    color: Colour,
    #[command(flatten)]
    report: Report,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum ModeName {
    /// Any error fails over.
    Naive,
    /// Time-outs and 5xx fail over.
    OutageRetry,
    /// A doubt is resolved first.
    ResolveFirst,
    /// Holds only, and a durable promise to void.
    HoldSafe,
}

impl From<ModeName> for Mode {
    fn from(name: ModeName) -> Self {
        match name {
            ModeName::Naive => Self::Naive,
            ModeName::OutageRetry => Self::OutageRetry,
            ModeName::ResolveFirst => Self::ResolveFirst,
            ModeName::HoldSafe => Self::HoldSafe,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DayName {
    /// Few calls in a thousand go wrong.
    Mild,
    /// A provider has an incident, a node is restarted.
    Bad,
    /// Everything goes wrong all the time.
    Terrible,
}

impl From<DayName> for Day {
    fn from(name: DayName) -> Self {
        match name {
            DayName::Mild => Self::Mild,
            DayName::Bad => Self::Bad,
            DayName::Terrible => Self::Terrible,
        }
    }
}

/// What one policy came to.
struct Run {
    setup: Setup,
    seed: u64,
    /// How many orders were asked for.
    payments: u64,
    /// The options that say what was simulated, but for mode and seed.
    options: String,
    totals: Totals,
    took: Duration,
}

impl Run {
    /// The command that prints the timeline of what broke: the same world, exactly.
    fn again(&self, found: &Violation) -> String {
        let size = self.setup.world_size;
        let before = found.seed.wrapping_sub(self.seed).saturating_mul(size);
        let orders = self.payments.saturating_sub(before).min(size);
        format!(
            "baton simulate{} --mode {} --payments {orders} --seed {} --timeline {}",
            self.options,
            self.setup.mode.as_str(),
            found.seed,
            found.order,
        )
    }
}

/// Simulates and reports. Ends with a failure if one of our own policies broke a rule.
///
/// # Errors
/// What is wrong with the options or the file, in a sentence.
#[allow(clippy::disallowed_methods, reason = "it says how long it took")]
pub(crate) async fn run(command: Simulate) -> Result<ExitCode, String> {
    let setup = read(&command)?;
    let work = move || -> Result<ExitCode, String> {
        let kit = Kit::new(baton_connectors::all().map_err(|error| error.to_string())?)?;
        setup.check(&kit)?;
        if let Some(order) = command.timeline {
            return timeline(&kit, &setup, &command, order);
        }
        let can = |mode: &Mode| Setup { mode: *mode, ..setup.clone() }.check(&kit).is_ok();
        let all = Mode::ALL.into_iter().filter(can);
        let modes = if command.compare { all.collect() } else { vec![setup.mode] };
        let mut runs = Vec::with_capacity(modes.len());
        for mode in modes {
            let setup = Setup { mode, ..setup.clone() };
            let started = Instant::now();
            let totals = simulated(&kit, &setup, &command)?;
            runs.push(Run {
                setup,
                seed: command.seed,
                payments: command.payments,
                options: options(&command),
                totals,
                took: started.elapsed(),
            });
        }
        report(&command, &runs)
    };
    // It has runtimes of its own, one per world.
    tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?
}

fn read(command: &Simulate) -> Result<Setup, String> {
    let (mode, day) = (command.mode.map(Mode::from), command.day.map(Day::from));
    let Some(path) = &command.file else {
        return Ok(Setup::standard(mode.unwrap_or_default(), day.unwrap_or_default()));
    };
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
    Setup::read(&text, mode, day).map_err(|error| format!("{shown}: {error}"))
}

/// What was simulated, as options; a name with a space in it is quoted.
fn options(command: &Simulate) -> String {
    let mut options = String::new();
    if let Some(day) = command.day {
        options.push_str(&format!(" --day {}", Day::from(day).as_str()));
    }
    if let Some(file) = &command.file {
        let shown = file.display().to_string();
        let plain = shown.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
        let quoted = || format!("'{}'", shown.replace('\'', r"'\''"));
        options.push_str(&format!(" --file {}", if plain { shown.clone() } else { quoted() }));
    }
    options
}

fn simulated(kit: &Kit, setup: &Setup, command: &Simulate) -> Result<Totals, String> {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = command.threads.unwrap_or_else(cores);
    // It draws on the error stream, and only on a terminal.
    let bar = if command.report.json {
        ProgressBar::hidden()
    } else {
        ProgressBar::new(command.payments)
    };
    let template = "{msg:>14} {bar:40} {human_pos} of {human_len} payments, {per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(setup.mode.as_str());
    let progress = |orders| bar.inc(orders);
    let totals = baton_sim::worlds(kit, setup, command.seed, command.payments, threads, &progress);
    bar.finish_and_clear();
    totals
}

fn timeline(kit: &Kit, setup: &Setup, command: &Simulate, order: u64) -> Result<ExitCode, String> {
    let orders = command.payments.min(setup.world_size);
    let totals = baton_sim::world(kit, setup, command.seed, orders, true)?;
    for line in totals.timeline.iter().filter(|line| line.order.is_none_or(|about| about == order))
    {
        println!("{line}");
    }
    let broken: Vec<_> = totals.violations.iter().filter(|found| found.order == order).collect();
    for violation in &broken {
        println!("broken: {:?}: {}", violation.rule, violation.what);
    }
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn report(command: &Simulate, runs: &[Run]) -> Result<ExitCode, String> {
    if let Some(path) = &command.html {
        let page = html::page(runs);
        std::fs::write(path, page).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if command.report.json {
        println!("{}", text::json(runs));
    } else {
        for line in text::lines(runs, Style::new(command.color)) {
            println!("{line}");
        }
    }
    let broken = runs.iter().any(|run| !run.totals.violations.is_empty());
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
