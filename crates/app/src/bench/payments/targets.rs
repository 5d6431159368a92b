//! What the figures have to be on two cores, with load, sandbox and database on the same two.

use std::time::Duration;

use serde_json::{Value, json};

use super::Api;
use super::measure::Measured;
use crate::bench::millis;

/// The rate at which added latency is judged.
const RATE: u32 = 500;
/// The rate at which the two requests of the Payments API are judged, and what they may add together.
const INTENT_RATE: u32 = 200;
const INTENT_ADDED_MS: u64 = 6;
/// How many payments have to be made and confirmed in a second.
const INTENTS_KEPT: u32 = 1_000;
const IN_FLIGHT: usize = 1_000;
const STORED: u64 = 10_000_000;
const CPU: Duration = Duration::from_micros(300);
const MEMORY_KB: u64 = 150_000;
const FIRST_CHARGE: Duration = Duration::from_secs(1);
const BINARY_KB: u64 = 40_000;
/// How much slower it may be beside that many, in hundredths.
const STORED_RATIO: u128 = 120;

/// One target, and whether it is met.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) what: String,
    pub(super) wanted: String,
    pub(super) found: String,
    pub(super) met: bool,
}

impl Target {
    pub(super) fn as_json(&self) -> Value {
        json!({ "what": self.what, "target": self.wanted, "found": self.found, "met": self.met })
    }
}

/// The targets that these measurements say something about.
pub(super) fn judge(measured: &[Measured], api: Api, binary_kb: Option<u64>) -> Vec<Target> {
    let of_api = match api {
        Api::Gateway => of_database,
        Api::Payments => of_intents,
    };
    let mut targets: Vec<Target> = measured.iter().flat_map(of_api).collect();
    targets.extend(binary_kb.map(|kb| Target {
        what: "size of the program".to_owned(),
        wanted: format!("at most {} MB", BINARY_KB / 1000),
        found: megabytes(kb),
        met: kb <= BINARY_KB,
    }));
    targets
}

/// A payment that is made and then confirmed, through the Payments API.
fn of_intents(measured: &Measured) -> Vec<Target> {
    let name = measured.name;
    let mut targets = Vec::new();
    let at_rate = &measured.at_rate;
    if at_rate.rate == INTENT_RATE {
        let found = at_rate.added.p50;
        targets.push(Target {
            what: format!("{name}: made and confirmed, added at {INTENT_RATE}/s, p50"),
            wanted: format!("at most {INTENT_ADDED_MS} ms"),
            found: format!("{} ms", millis(found)),
            met: at_rate.failed == 0 && found <= Duration::from_millis(INTENT_ADDED_MS),
        });
    }
    if let Some(kept) = measured.sustained {
        targets.push(Target {
            what: format!("{name}: confirmed payments kept up"),
            wanted: format!("at least {INTENTS_KEPT}/s"),
            found: format!("{kept}/s"),
            met: kept >= INTENTS_KEPT,
        });
    }
    targets
}

fn of_database(measured: &Measured) -> Vec<Target> {
    let name = measured.name;
    let postgres = name == "postgres";
    let mut targets = Vec::new();
    let mut push = |what: &str, wanted: String, found: String, met| {
        targets.push(Target { what: format!("{name}: {what}"), wanted, found, met });
    };
    let at_rate = &measured.at_rate;
    if at_rate.rate == RATE {
        let (p50, p99) = if postgres { (5, 25) } else { (3, 20) };
        let added = at_rate.added;
        for (what, most, found) in [("p50", p50, added.p50), ("p99", p99, added.p99)] {
            let met = at_rate.failed == 0 && found <= Duration::from_millis(most);
            let what = format!("added at {RATE}/s, {what}");
            push(&what, format!("at most {most} ms"), format!("{} ms", millis(found)), met);
        }
    }
    let sustained = if postgres { 2_000 } else { 3_000 };
    if let Some(kept) = measured.sustained {
        let wanted = format!("at least {sustained}/s");
        push("payments kept up", wanted, format!("{kept}/s"), kept >= sustained);
    }
    let mut at_best = measured.steps.iter().filter(|step| Some(step.rate) == measured.sustained);
    // At the highest rate that is kept up, if it was searched for: what rests between payments counts less.
    if let Some(cpu) = at_best.next_back().unwrap_or(at_rate).cpu() {
        let found = format!("{} µs", cpu.as_micros());
        push("processor time per payment", "at most 300 µs".to_owned(), found, cpu <= CPU);
    }
    if let Some(memory) = &measured.memory
        && memory.in_flight >= IN_FLIGHT
    {
        let wanted = format!("at most {} MB", MEMORY_KB / 1000);
        let what = format!("memory, {} in flight", memory.in_flight);
        push(&what, wanted, megabytes(memory.most_kb), memory.most_kb <= MEMORY_KB);
    }
    let first = measured.first_charge;
    let found = format!("{} ms", millis(first));
    push("start to first charge", "at most 1 s".to_owned(), found, first <= FIRST_CHARGE);
    if let Some(stored) = &measured.stored
        && stored.payments >= STORED
    {
        let (full, empty) = (stored.figures.added.p50, at_rate.added.p50);
        let ratio = full.as_micros().saturating_mul(100) / empty.as_micros().max(1);
        let found = format!("{}.{:02} times", ratio / 100, ratio % 100);
        let what = format!("added beside {} payments, p50", stored.payments);
        push(&what, "at most 1.20 times".to_owned(), found, ratio <= STORED_RATIO);
    }
    targets
}

/// A thousand kB, to a tenth.
pub(super) fn megabytes(kb: u64) -> String {
    format!("{}.{} MB", kb / 1000, kb % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::super::figures::Figures;
    use super::super::measure::{Memory, Stored};
    use super::*;

    fn measured(added: u64, kept: u32, kb: u64, stored: u64) -> Measured {
        let mut at_rate = Figures { rate: RATE, ..Figures::default() };
        at_rate.added.p50 = Duration::from_millis(1);
        at_rate.added.p99 = Duration::from_millis(added);
        let mut figures = Figures::default();
        figures.added.p50 = Duration::from_micros(stored);
        Measured {
            name: "sqlite",
            at_rate,
            sustained: Some(kept),
            memory: Some(Memory { in_flight: IN_FLIGHT, most_kb: kb }),
            stored: Some(Stored { payments: STORED, took: Duration::ZERO, figures }),
            ..Measured::default()
        }
    }

    #[test]
    fn intents_have_targets_of_their_own() {
        let met = |rate, added, kept| -> Vec<bool> {
            let mut measured = measured(0, kept, 0, 0);
            measured.at_rate.rate = rate;
            measured.at_rate.added.p50 = Duration::from_millis(added);
            judge(&[measured], Api::Payments, None).iter().map(|target| target.met).collect()
        };
        assert_eq!(met(INTENT_RATE, 6, 1_000), [true; 2]);
        assert_eq!(met(INTENT_RATE, 7, 999), [false; 2]);
        assert_eq!(met(RATE, 7, 1_000), [true]);
    }

    #[test]
    fn a_target_is_met_or_not() {
        let met = |measured: Measured| -> Vec<bool> {
            judge(&[measured], Api::Gateway, Some(40_000)).iter().map(|target| target.met).collect()
        };
        // p50, p99, kept up, memory, start, stored, size.
        assert_eq!(met(measured(20, 3_000, 150_000, 1_200)), [true; 7]);
        let missed = [true, false, false, false, true, false, true];
        assert_eq!(met(measured(21, 2_999, 150_001, 1_210)), missed);
        assert!(!judge(&[], Api::Gateway, Some(40_001)).iter().all(|target| target.met));
    }
}
