//! The figures as tables for a terminal.

use std::time::Duration;

use super::figures::Figures;
use super::measure::Measured;
use super::targets::{Target, megabytes};
use crate::bench::millis;
use crate::style::Style;

pub(super) fn database(measured: &Measured, latency_ms: u64, style: Style) {
    println!("\n{}", style.bold(&title(measured.name)));
    let Measured { direct, at_rate, .. } = measured;
    println!(
        "{} payments, {} per second asked, {} done, {} failed; the provider takes {latency_ms} ms",
        at_rate.payments, at_rate.rate, at_rate.per_second, at_rate.failed
    );
    errors([direct, at_rate]);
    println!("{:32}{}", "  ms", ["p50", "p90", "p99", "p99.9", "max"].map(right).concat());
    row("  added to the provider's time", at_rate.added.columns());
    row("    of it in the server", at_rate.server.columns());
    row("  whole request", at_rate.wall.columns());
    row("  same request without us", direct.wall.columns());
    row("  late at the sender", at_rate.late.columns());
    let (through, without) = (at_rate.wall.p50.as_micros(), direct.wall.p50.as_micros().max(1));
    let ratio = through.saturating_mul(100) / without;
    println!("  the whole takes {} times as long as without us, at p50", hundredths(ratio));
    used(at_rate);
    println!(
        "  start to first charge {} ms; first start on an empty database {} ms",
        millis(measured.first_charge),
        millis(measured.first_start)
    );
    if let Some(stored) = &measured.stored {
        println!(
            "With {} payments stored before (in {} s): added, {} failed",
            stored.payments,
            stored.took.as_secs(),
            stored.figures.failed
        );
        errors([&stored.figures]);
        row("  added to the provider's time", stored.figures.added.columns());
        used(&stored.figures);
    }
    steps(measured);
    if let Some(memory) = &measured.memory {
        println!(
            "With {} payments in flight: at most {}",
            memory.in_flight,
            megabytes(memory.most_kb)
        );
    }
}

fn steps(measured: &Measured) {
    if measured.steps.is_empty() {
        return;
    }
    match measured.sustained {
        Some(kept) => println!("Kept up: {kept} payments per second"),
        None => println!("No rate was kept up."),
    }
    let names = ["done/s", "failed", "p50 ms", "p99 ms", "µs CPU"];
    println!("{:32}{}", "  asked per second", names.map(right).concat());
    for step in &measured.steps {
        let cells = [
            step.per_second.to_string(),
            step.failed.to_string(),
            millis(step.added.p50),
            millis(step.added.p99),
            step.cpu().map_or_else(|| "-".to_owned(), |cpu| cpu.as_micros().to_string()),
        ];
        println!("  {:<30}{}", step.rate, cells.each_ref().map(|cell| right(cell)).concat());
    }
}

fn used(figures: &Figures) {
    let (Some(used), Some(cpu)) = (figures.used, figures.cpu()) else { return };
    let share = used.cpu.as_millis().saturating_mul(100) / used.time.as_millis().max(1);
    println!(
        "  per payment: {} µs processor time of the server ({share} % of a core), {} commits in {} \
         transactions, {} fsyncs",
        cpu.as_micros(),
        hundredths(figures.each(used.commits)),
        hundredths(figures.each(used.transactions)),
        hundredths(figures.each(used.syncs))
    );
    println!("  memory of the server {}", megabytes(figures.memory_kb));
}

fn errors<const N: usize>(figures: [&Figures; N]) {
    for error in figures.iter().filter_map(|figures| figures.first_error.as_ref()) {
        println!("  the first failure: {error}");
    }
}

pub(super) fn targets(targets: &[Target], style: Style) {
    println!("\n{}", style.bold("Targets, on two cores"));
    for Target { what, wanted, found, met } in targets {
        let verdict = if *met { style.green("met") } else { style.red("missed") };
        println!("  {what:44}{wanted:>20}{found:>16}  {verdict}");
    }
}

pub(super) fn title(name: &str) -> String {
    match name {
        "sqlite" => "SQLite".to_owned(),
        "postgres" => "PostgreSQL".to_owned(),
        other => other.to_owned(),
    }
}

fn row(name: &str, columns: [Duration; 5]) {
    println!("{name:32}{}", columns.map(|time| right(&millis(time))).concat());
}

fn right(text: &str) -> String {
    format!("{text:>10}")
}

fn hundredths(number: impl Into<u128>) -> String {
    let number = number.into();
    format!("{}.{:02}", number / 100, number % 100)
}
