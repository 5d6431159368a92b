//! What a run amounts to.

use std::time::Duration;

use serde_json::{Value, json};

use super::load::{Run, Sample};
use super::place::Used;
use crate::bench::quantile;

/// Thousandths at which the plot shows a curve; dense where it bends.
pub(super) const CURVE: [usize; 9] = [100, 250, 500, 750, 900, 950, 990, 995, 999];

/// A distribution of times, in the order of the tables.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spread {
    pub(super) p50: Duration,
    pub(super) p90: Duration,
    pub(super) p99: Duration,
    pub(super) p999: Duration,
    pub(super) max: Duration,
}

impl Spread {
    fn of(sorted: &[Duration]) -> Self {
        let at = |permille| quantile(sorted, permille);
        Self { p50: at(500), p90: at(900), p99: at(990), p999: at(999), max: at(1_000) }
    }

    pub(super) fn columns(&self) -> [Duration; 5] {
        [self.p50, self.p90, self.p99, self.p999, self.max]
    }

    fn as_json(&self) -> Value {
        json!({
            "p50_us": micros(self.p50),
            "p90_us": micros(self.p90),
            "p99_us": micros(self.p99),
            "p999_us": micros(self.p999),
            "max_us": micros(self.max),
        })
    }
}

/// A run's figures.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    /// Asked for.
    pub(super) rate: u32,
    pub(super) payments: usize,
    /// Done.
    pub(super) per_second: u64,
    pub(super) failed: usize,
    pub(super) first_error: Option<String>,
    pub(super) most_open: usize,
    pub(super) wall: Spread,
    /// Wall without the provider's time.
    pub(super) added: Spread,
    /// The server's own part of it.
    pub(super) server: Spread,
    /// The generator's.
    pub(super) late: Spread,
    /// Added, or wall where no server was between, at the places of [`CURVE`].
    pub(super) curve: Vec<Duration>,
    /// What the server used; absent where none was between.
    pub(super) used: Option<Used>,
    /// What it had in memory at the end, in kB.
    pub(super) memory_kb: u64,
}

impl Figures {
    pub(super) fn of(rate: u32, run: &Run) -> Self {
        let sorted = |part: fn(&Sample) -> Duration| {
            let mut sorted: Vec<_> = run.samples.iter().map(part).collect();
            sorted.sort_unstable();
            sorted
        };
        let added = sorted(|sample| sample.wall.saturating_sub(sample.provider));
        let micros = run.took.as_micros().max(1);
        let per_second = (run.samples.len() as u128).saturating_mul(1_000_000) / micros;
        Self {
            rate,
            payments: run.samples.len(),
            per_second: u64::try_from(per_second).unwrap_or(u64::MAX),
            failed: run.failed,
            first_error: run.first_error.clone(),
            most_open: run.most_open,
            wall: Spread::of(&sorted(|sample| sample.wall)),
            added: Spread::of(&added),
            server: Spread::of(&sorted(|sample| sample.server)),
            late: Spread::of(&sorted(|sample| sample.late)),
            curve: CURVE.map(|permille| quantile(&added, permille)).to_vec(),
            used: None,
            memory_kb: 0,
        }
    }

    /// The server's processor time for one payment.
    pub(super) fn cpu(&self) -> Option<Duration> {
        let payments = u32::try_from(self.payments).ok().filter(|payments| *payments > 0)?;
        self.used.map(|used| used.cpu / payments)
    }

    /// A count per payment, in hundredths.
    pub(super) fn each(&self, count: u64) -> u64 {
        count.saturating_mul(100) / (self.payments as u64).max(1)
    }

    pub(super) fn as_json(&self) -> Value {
        let mut shown = json!({
            "rate": self.rate,
            "payments": self.payments,
            "payments_per_second": self.per_second,
            "failed": self.failed,
            "first_error": self.first_error,
            "most_in_flight": self.most_open,
            "wall": self.wall.as_json(),
            "late": self.late.as_json(),
        });
        let (Some(used), Some(shown)) = (self.used, shown.as_object_mut()) else { return shown };
        let server = json!({
            "added": self.added.as_json(),
            "server": self.server.as_json(),
            "cpu_us_per_payment": self.cpu().map(micros),
            "commits_per_100_payments": self.each(used.commits),
            "transactions_per_100_payments": self.each(used.transactions),
            "fsyncs_per_100_payments": self.each(used.syncs),
            "resident_kb": self.memory_kb,
        });
        if let Value::Object(members) = server {
            shown.extend(members);
        }
        Value::Object(shown.clone())
    }
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
