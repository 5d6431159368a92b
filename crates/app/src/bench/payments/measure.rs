//! The measurements of one database, one after the other.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::figures::{Figures, micros};
use super::load::{self, Plan, Target};
use super::place::{self, Place, Process, Reading};
use super::{Api, Payments, Progress, prefill};

/// How long a step of the search for the highest rate takes.
const STEP: Duration = Duration::from_secs(5);
const MOST_STEPS: usize = 12;
/// The highest rate that is tried.
const HIGHEST: u32 = 20_000;
/// A rate is kept up if so many in a hundred are done, none fails, and this is the most that 99 in a hundred
/// wait.
const KEPT_PERCENT: u64 = 98;
const KEPT_WAIT: Duration = Duration::from_millis(100);
/// How fast requests come of which many are to be in flight.
const FILL_RATE: u32 = 500;
/// How long the direct run takes at most.
const DIRECT: Duration = Duration::from_secs(5);

/// All figures of one database.
#[derive(Debug, Default)]
pub(super) struct Measured {
    pub(super) name: &'static str,
    /// From the start of the process on an empty database until it listens.
    pub(super) first_start: Duration,
    /// From the start of the process on a database with a payment until a charge is approved.
    pub(super) first_charge: Duration,
    pub(super) direct: Figures,
    pub(super) at_rate: Figures,
    pub(super) stored: Option<Stored>,
    pub(super) steps: Vec<Figures>,
    /// The highest rate that was kept up.
    pub(super) sustained: Option<u32>,
    pub(super) memory: Option<Memory>,
}

/// The same run with many payments in the database.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) payments: u64,
    pub(super) took: Duration,
    pub(super) figures: Figures,
}

/// What the server needed while so many payments waited for their provider.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) in_flight: usize,
    pub(super) most_kb: u64,
}

impl Measured {
    pub(super) fn as_json(&self) -> Value {
        json!({
            "database": self.name,
            "first_start_us": micros(self.first_start),
            "first_charge_us": micros(self.first_charge),
            "direct": self.direct.as_json(),
            "at_rate": self.at_rate.as_json(),
            "stored": self.stored.as_ref().map(|stored| json!({
                "payments": stored.payments,
                "prefill_us": micros(stored.took),
                "at_rate": stored.figures.as_json(),
            })),
            "search": self.steps.iter().map(Figures::as_json).collect::<Vec<_>>(),
            "sustained": self.sustained,
            "memory": self.memory.as_ref().map(|memory| json!({
                "in_flight": memory.in_flight,
                "most_resident_kb": memory.most_kb,
            })),
        })
    }
}

/// Where it is measured.
#[derive(Clone, Copy)]
pub(super) struct Places<'a> {
    pub(super) empty: &'a Place,
    /// Where many payments are, or are to be stored; absent if it is where none were.
    pub(super) stored: Option<&'a Place>,
}

struct Bench<'a> {
    wanted: &'a Payments,
    place: &'a Place,
    progress: &'a Progress,
    sandbox: &'a Process,
    key: String,
}

/// Measures what was asked for on one database.
///
/// # Errors
/// Something does not start, or the very first charge is not approved.
pub(super) async fn measure(
    name: &'static str,
    wanted: &Payments,
    places: Places<'_>,
    progress: &Progress,
) -> Result<Measured, String> {
    let place = places.empty;
    let mut told = Measured { name, ..Measured::default() };
    progress.say(format!("{name}: starting"));
    let sandbox = place.sandbox(wanted.latency).await?;
    let begun = Instant::now();
    let server = place.server(&sandbox).await?;
    told.first_start = begun.elapsed();
    let key = match wanted.api {
        Api::Gateway => place.key().await?,
        Api::Payments => place::payments_key(&server).await?,
    };
    let bench = Bench { wanted, place, progress, sandbox: &sandbox, key };
    // What the prefilled payments are modelled on.
    bench.charge(&server).await?;
    drop(server);

    let begun = Instant::now();
    let mut server = place.server(bench.sandbox).await?;
    bench.charge(&server).await?;
    told.first_charge = begun.elapsed();

    progress.say(format!("{name}: {} requests per second to the sandbox itself", wanted.rate));
    told.direct = bench.direct().await;
    progress.say(format!("{name}: {} payments per second", wanted.rate));
    told.at_rate = bench.at(&server, "rate", wanted.rate, wanted.time()).await?;
    if let Some(payments) = wanted.stored {
        drop(server);
        told.stored = Some(bench.stored(places, payments).await?);
        server = place.server(bench.sandbox).await?;
    }
    if wanted.search {
        bench.search(&server, &mut told).await?;
    }
    if let Some(in_flight) = wanted.in_flight {
        // A new process: what it had in memory before does not count.
        drop(server);
        server = place.server(bench.sandbox).await?;
        progress.say(format!("{name}: {in_flight} payments in flight"));
        told.memory = Some(bench.memory(&server, in_flight).await?);
    }
    drop(server);
    Ok(told)
}

impl Bench<'_> {
    fn plan(&self, server: &Process, name: &str, rate: u32, time: Duration) -> Plan {
        Plan {
            authority: server.authority.clone(),
            target: Target::Server { api: self.wanted.api, key: self.key.clone() },
            name: name.to_owned(),
            rate,
            warmup: Duration::ZERO,
            time,
        }
    }

    /// One charge, which must be approved.
    async fn charge(&self, server: &Process) -> Result<(), String> {
        let plan = self.plan(server, "first", 1, Duration::from_secs(1));
        let run = load::run(&plan, async {}).await;
        run.first_error.map_or(Ok(()), |error| Err(format!("the first charge failed: {error}")))
    }

    /// The same run as on the empty database, beside so many payments.
    async fn stored(&self, places: Places<'_>, payments: u64) -> Result<Stored, String> {
        let name = format!("stored{}", std::process::id());
        let place = places.stored.unwrap_or(self.place);
        let mut key = self.key.clone();
        if places.stored.is_some() {
            let server = place.server(self.sandbox).await?;
            key = place.key().await?;
            Bench { key: key.clone(), place, ..*self }.charge(&server).await?;
        }
        let begun = Instant::now();
        let kept = places.stored.is_some();
        prefill::fill(&place.store_url(), payments, kept, self.progress).await?;
        let took = begun.elapsed();
        let server = place.server(self.sandbox).await?;
        let rate = self.wanted.rate;
        self.progress.say(format!("{rate} per second beside {payments} payments"));
        let bench = Bench { key, place, ..*self };
        let figures = bench.at(&server, &name, rate, self.wanted.time()).await?;
        Ok(Stored { payments, took, figures })
    }

    async fn direct(&self) -> Figures {
        let plan = Plan {
            authority: self.sandbox.authority.clone(),
            target: Target::Sandbox,
            name: "direct".to_owned(),
            rate: self.wanted.rate,
            warmup: self.wanted.warmup(),
            time: self.wanted.time().min(DIRECT),
        };
        Figures::of(self.wanted.rate, &load::run(&plan, async {}).await)
    }

    /// A run at a rate, with what the server used for it.
    async fn at(
        &self,
        server: &Process,
        name: &str,
        rate: u32,
        time: Duration,
    ) -> Result<Figures, String> {
        let warmup = self.wanted.warmup();
        let plan = Plan { warmup, ..self.plan(server, name, rate, time) };
        let mut before = Err("nothing was measured".to_owned());
        let run =
            load::run(&plan, async { before = Reading::take(server, self.place).await }).await;
        let after = Reading::take(server, self.place).await?;
        let mut figures = Figures::of(rate, &run);
        figures.used = Some(after.since(&before?));
        figures.memory_kb = place::memory(server)?.0;
        Ok(figures)
    }

    /// Goes up until a rate is not kept up, then closes in on the highest that is.
    async fn search(&self, server: &Process, told: &mut Measured) -> Result<(), String> {
        let (mut kept, mut failed) = (0, HIGHEST.saturating_add(1));
        let mut rate = self.wanted.rate.max(1_000);
        for step in 0..MOST_STEPS {
            self.progress.say(format!("{}: can it keep up {rate} per second?", told.name));
            let figures = self.at(server, &format!("step{step}"), rate, STEP).await?;
            if keeps_up(&figures) {
                kept = rate;
            } else {
                failed = rate;
                // What has piled up is worked off before the next step.
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            told.steps.push(figures);
            rate = next_rate(kept, failed);
            // Within four in a hundred is near enough.
            if rate.abs_diff(kept) <= kept / 25 || rate > HIGHEST {
                break;
            }
        }
        told.sustained = Some(kept).filter(|kept| *kept > 0);
        Ok(())
    }

    async fn memory(&self, server: &Process, in_flight: u32) -> Result<Memory, String> {
        let filling = Duration::from_secs(in_flight.into()) / FILL_RATE;
        let latency = filling + Duration::from_secs(3);
        let latency_ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        place::set_latency(self.sandbox, latency_ms).await?;
        let plan = self.plan(server, "flight", FILL_RATE, filling);
        let run = load::run(&plan, async {}).await;
        place::set_latency(self.sandbox, self.wanted.latency).await?;
        if let Some(error) = run.first_error {
            return Err(format!("a payment in flight failed: {error}"));
        }
        Ok(Memory { in_flight: run.most_open, most_kb: place::memory(server)?.1 })
    }
}

fn keeps_up(figures: &Figures) -> bool {
    let done = figures.per_second.saturating_mul(100);
    figures.failed == 0
        && done >= u64::from(figures.rate).saturating_mul(KEPT_PERCENT)
        && figures.added.p99 <= KEPT_WAIT
}

/// Half as much again while nothing has failed, then the middle; in round numbers.
fn next_rate(kept: u32, failed: u32) -> u32 {
    let rate = if failed > HIGHEST { kept + kept / 2 } else { kept.midpoint(failed) };
    rate / 50 * 50
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_closes_in_on_a_servers_limit() {
        for limit in [120, 1_400, 3_333, 12_000] {
            let (mut kept, mut failed, mut rate) = (0, HIGHEST + 1, 1_000);
            for _ in 0..MOST_STEPS {
                if rate <= limit {
                    kept = rate
                } else {
                    failed = rate
                }
                rate = next_rate(kept, failed);
                if rate.abs_diff(kept) <= kept / 25 || rate > HIGHEST {
                    break;
                }
            }
            assert!(kept <= limit && kept + kept / 12 + 60 >= limit, "{kept} of {limit}");
        }
    }

    #[test]
    fn a_rate_is_kept_up_without_failures_queues_and_losses() {
        let good = Figures { rate: 1_000, per_second: 985, ..Figures::default() };
        assert!(keeps_up(&good));
        assert!(!keeps_up(&Figures { per_second: 979, ..good.clone() }));
        assert!(!keeps_up(&Figures { failed: 1, ..good.clone() }));
        let mut slow = good;
        slow.added.p99 = Duration::from_millis(101);
        assert!(!keeps_up(&slow));
    }
}
