//! The report of a simulation for a terminal, and for scripts.

use baton_sim::{Mode, Rule, Totals};
use serde_json::{Value, json};

use super::Run;
use crate::style::Style;

/// How many broken rules are shown at most.
const SHOWN: usize = 10;

const HOUR_MS: u64 = 3_600_000;

/// What a run came to, each with its name; per million payments where it counts something.
pub(super) fn figures(totals: &Totals) -> Vec<(&'static str, String)> {
    let count = |count: u64| grouped(totals.per_million(count));
    let percent = |part: u64| {
        let permille = totals.per_million(part).div_euclid(1_000);
        format!("{}.{} %", permille.div_euclid(10), permille.rem_euclid(10))
    };
    vec![
        ("approved", percent(totals.approved)),
        ("double charges", count(totals.double_charges)),
        ("open losing holds", count(totals.open_losing_holds)),
        ("hold-hours", grouped(totals.per_million(totals.hold_ms).div_euclid(HOUR_MS))),
        ("approvals lost", count(totals.approvals_lost)),
        ("still in doubt", count(totals.in_doubt)),
        ("final answer, p50", seconds(totals.quantile_ms(500))),
        ("final answer, p99", seconds(totals.quantile_ms(990))),
    ]
}

pub(super) fn seconds(ms: u32) -> String {
    format!("{}.{} s", ms.div_euclid(1_000), ms.rem_euclid(1_000).div_euclid(100))
}

pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        let left = digits.len().saturating_sub(place);
        if place > 0 && left.is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

pub(super) fn lines(runs: &[Run], style: Style) -> Vec<String> {
    let mut lines = Vec::new();
    for run in runs {
        let (totals, mode) = (&run.totals, run.setup.mode);
        let took_ms = u64::try_from(run.took.as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = totals.orders.saturating_mul(1_000).div_euclid(took_ms);
        lines.push(format!(
            "{}  {} payments in {} worlds, seeds {} to {}, {} a second",
            style.bold(mode.as_str()),
            grouped(totals.orders),
            totals.worlds,
            run.seed,
            run.seed.saturating_add(totals.worlds.saturating_sub(1)),
            grouped(rate),
        ));
        for (name, value) in figures(totals) {
            let bad = matches!(name, "double charges" | "open losing holds") && value != "0";
            let value = if bad { style.red(&value) } else { value };
            lines.push(format!("  {name:<20} {value}"));
        }
        lines.extend(rules(run, style));
        lines.push(String::new());
    }
    lines.push(style.dim("Counts are per million payments; a payment is one order of a client."));
    lines
}

/// Which rules held; of an unsafe policy only the sums are of interest.
fn rules(run: &Run, style: Style) -> Vec<String> {
    if run.setup.mode.is_hasty() {
        return Vec::new();
    }
    let broken = &run.totals.violations;
    let mut lines = Vec::new();
    for (number, rule, words) in Rule::LISTED {
        let times = broken.iter().filter(|found| Some(found.rule) == rule).count();
        let state = match rule {
            None => style.yellow("not yet checked"),
            Some(_) if times == 0 => style.green("holds"),
            Some(_) => style.red(&format!("broken {times} times")),
        };
        lines.push(format!("  {number:>2}  {words:<74} {state}"));
    }
    for found in broken.iter().take(SHOWN) {
        lines.push(style.red(&format!("  {:?}: {}", found.rule, found.what)));
        lines.push(format!("      {}", run.again(found)));
    }
    lines
}

pub(super) fn json(runs: &[Run]) -> Value {
    let one = |run: &Run| {
        let totals = &run.totals;
        json!({
            "mode": run.setup.mode.as_str(),
            "seed": run.seed,
            "worlds": totals.worlds,
            "payments": totals.orders,
            "approved": totals.approved,
            "failed": totals.failed,
            "in_doubt": totals.in_doubt,
            "not_taken": totals.not_taken,
            "approvals_lost": totals.approvals_lost,
            "double_charges": totals.double_charges,
            "open_losing_holds": totals.open_losing_holds,
            "hold_ms": totals.hold_ms,
            "final_ms_p50": totals.quantile_ms(500),
            "final_ms_p99": totals.quantile_ms(990),
            "violations": violations(run),
            "not_yet_checked": unchecked(run.setup.mode),
            "took_ms": u64::try_from(run.took.as_millis()).unwrap_or(u64::MAX),
        })
    };
    match runs {
        [run] => one(run),
        runs => json!({ "runs": runs.iter().map(one).collect::<Vec<_>>() }),
    }
}

/// What broke, each with the command that shows it.
fn violations(run: &Run) -> Vec<Value> {
    let shown = run.totals.violations.iter().map(|found| {
        json!({
            "rule": found.rule,
            "seed": found.seed,
            "order": found.order,
            "what": found.what,
            "again": run.again(found),
        })
    });
    shown.collect()
}

fn unchecked(mode: Mode) -> Vec<&'static str> {
    let open = Rule::LISTED.iter().filter(|(_, rule, _)| rule.is_none());
    open.map(|(_, _, words)| *words).filter(|_| !mode.is_hasty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_times_are_short() {
        for (number, want) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")]
        {
            assert_eq!(grouped(number), want);
        }
        assert_eq!((seconds(0), seconds(61_250)), ("0.0 s".to_owned(), "61.2 s".to_owned()));
    }
}
