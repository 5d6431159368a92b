//! Explores a world of any size: `cargo run --release -p baton-model --example explore -- --help`.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a command that prints and measures"
)]

use std::time::Instant;

use baton_model::checks::{NO_LOSER, NOT_AFTER_FAILED, ONE_MOVES};
use baton_model::{Fault, Kind, Mode, Scope, explore};

const HELP: &str = "explore KIND [hold_safe] [NAME=NUMBER]... [fault=NAME]...

KIND is sale or hold. Without hold_safe it is resolve_first. A NAME is one of candidates, failover_until, send_window, in_flight, index_lag,
skew, calm_from, horizon, resolvers, crashes, lost_acks, and, 0 or 1, declines and fence; what is not given is as in the tests. With a
fault the exploration ends at the first broken promise.";

fn main() -> Result<(), String> {
    let mut words = std::env::args().skip(1);
    let kind = match words.next().as_deref() {
        Some("sale") => Kind::Sale,
        Some("hold") => Kind::Hold,
        _ => return Err(HELP.to_owned()),
    };
    let mut scope = Scope::small(kind, Mode::ResolveFirst);
    let mut faults = Vec::new();
    for word in words {
        if word == "hold_safe" {
            scope.mode = Mode::HoldSafe;
            continue;
        }
        let (name, value) = word.split_once('=').ok_or(HELP)?;
        if name == "fault" {
            let fault = Fault::ALL.into_iter().find(|fault| format!("{fault:?}") == value);
            faults.push(fault.ok_or_else(|| format!("faults are {:?}", Fault::ALL))?);
        } else {
            let value: i64 = value.parse().map_err(|_| HELP)?;
            scope.set(name, value).ok_or(HELP)?;
        }
    }
    scope.faults = faults;
    let until: &[&str] =
        if scope.faults.is_empty() { &[] } else { &[ONE_MOVES, NOT_AFTER_FAILED, NO_LOSER] };
    println!("{scope:?}");
    let started = Instant::now();
    let report = explore(scope, until);
    println!(
        "{} states, {} steps, depth {}, {:.1} s",
        report.states,
        report.steps,
        report.depth,
        started.elapsed().as_secs_f32()
    );
    println!("not reached: {:?}", report.missed);
    for (promise, way) in &report.broken {
        println!("BROKEN after {} steps: {promise}", way.len());
        for step in way {
            println!("    {step}");
        }
    }
    if let Some(memory) = peak_memory() {
        println!("peak memory: {memory}");
    }
    Ok(())
}

fn peak_memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.trim_start_matches("VmHWM:").trim().to_owned())
}
