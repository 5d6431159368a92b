//! Runs worlds: one in one thread, many in many.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use baton_store::Store as _;
use tokio::task::JoinSet;

use crate::chaos;
use crate::check;
use crate::client;
use crate::kit::Kit;
use crate::setup::Setup;
use crate::summary::Totals;
use crate::world::World;

/// How long a world may take to come to rest.
const REST_MS: i64 = 74 * 3_600_000;

/// One world, from its seed to its sums. The same seed and setup give the same world, step by step.
///
/// # Errors
/// The setup cannot be simulated.
pub fn world(
    kit: &Kit,
    setup: &Setup,
    seed: u64,
    orders: u64,
    traced: bool,
) -> Result<Totals, String> {
    let life = Life { seed, orders, traced, death: None };
    Ok(inside(lives(kit, setup, life))??.0)
}

/// Runs a future in a thread of its own time.
pub(crate) fn inside<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| format!("a runtime cannot be started: {error}"))?;
    Ok(runtime.block_on(future))
}

/// When a node dies, counted in moments at which it could.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Death {
    pub(crate) at: u64,
    /// Whether it is started again soon, or another has to take over.
    pub(crate) restarts: bool,
}

/// One world.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) seed: u64,
    pub(crate) orders: u64,
    pub(crate) traced: bool,
    /// Of the first node.
    pub(crate) death: Option<Death>,
}

/// Lives through a world; gives its sums, and at how many moments the first node could have died.
pub(crate) async fn lives(kit: &Kit, setup: &Setup, life: Life) -> Result<(Totals, u64), String> {
    let world = World::begin(kit, setup, life.seed, life.traced).await?;
    for place in 0..setup.nodes {
        let dies_at = life.death.filter(|_| place == 0).map(|death| death.at);
        world.start(place, dies_at);
    }
    if life.death.is_some_and(|death| death.restarts) {
        chaos::restarts(&world, 0);
    }
    let mut clients = JoinSet::new();
    let mut arrivals = world.dice.on("arrivals");
    for no in 0..life.orders {
        let pause = arrivals.between(0, setup.spacing_ms.saturating_mul(2));
        tokio::time::sleep(Duration::from_millis(pause)).await;
        chaos::at_order(&world, no).await;
        clients.spawn(client::run(Arc::clone(&world), no));
    }
    world.database.waits();
    while clients.join_next().await.is_some() {}
    let moments = world.node(0).map_or(0, |node| node.gate.crossed());
    chaos::heal(&world);
    rests(&world).await;
    let mut totals = check::world(&world, life.seed).await;
    totals.timeline = world.trace.take();
    Ok((totals, moments))
}

/// Waits until nothing is left to do, or for three days.
pub(crate) async fn rests(world: &World) {
    let began_ms = world.time.elapsed_ms();
    for step_ms in std::iter::repeat_n(60_000, 20).chain(std::iter::repeat(1_800_000)) {
        tokio::time::sleep(Duration::from_millis(step_ms)).await;
        let info = world.database.memory.describe().await;
        let idle = info.is_ok_and(|info| info.timers == 0 && info.outbox == 0);
        if idle && world.tasks.is_empty() {
            return;
        }
        if world.time.elapsed_ms().saturating_sub(began_ms) >= REST_MS {
            return;
        }
    }
}

/// Many worlds: `orders` in all, the first with this seed and each other with the next one, in as many
/// threads as are given. `progress` is told of every world's orders when it has ended.
///
/// # Errors
/// The setup cannot be simulated, or a thread ended by itself.
pub fn worlds(
    kit: &Kit,
    setup: &Setup,
    seed: u64,
    orders: u64,
    threads: usize,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Totals, String> {
    setup.check(kit)?;
    let size = setup.world_size.max(1);
    let count = orders.div_ceil(size);
    let next = AtomicU64::new(0);
    let sums: Mutex<Vec<(u64, Totals)>> = Mutex::default();
    let failed: Mutex<Option<String>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let before = number.saturating_mul(size);
                    let here = size.min(orders.saturating_sub(before));
                    match world(kit, setup, seed.wrapping_add(number), here, false) {
                        Ok(totals) => {
                            sums.lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .push((number, totals));
                            progress(here);
                        }
                        Err(error) => {
                            *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                            return;
                        }
                    }
                }
            });
        }
    });
    if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let mut sums = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
    // In the order of their seeds: the sum of a run does not depend on its threads.
    sums.sort_by_key(|(number, _)| *number);
    let mut totals = Totals::default();
    for (_, each) in sums {
        totals.add(each);
    }
    Ok(totals)
}
