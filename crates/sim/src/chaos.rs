//! What happens to the machines of a world while orders come in.

use std::sync::Arc;
use std::time::Duration;

use crate::gate::Life;
use crate::provider::Incident;
use crate::world::World;

/// What may befall a world at the time of an order. All of it depends on the seed and the order alone.
pub(crate) async fn at_order(world: &Arc<World>, no: u64) {
    let faults = &world.faults;
    let mut dice = world.dice.on("chaos").at(no);
    let providers = u64::try_from(world.bank().len()).unwrap_or(0);
    for (rate, incident) in [
        (faults.outage, Incident::Outage),
        (faults.brownout, Incident::Brownout),
        (faults.blackhole, Incident::Blackhole),
    ] {
        if dice.chance(rate) {
            let place = usize::try_from(dice.below(providers)).unwrap_or(0);
            let for_ms = i64::try_from(dice.between(2_000, 120_000)).unwrap_or(0);
            world
                .note(world.provider_name(place), None, || format!("{incident:?} for {for_ms} ms"));
            let until_ms = world.time.now_ms().saturating_add(for_ms);
            world.bank().begin(place, incident, until_ms);
        }
    }
    let nodes = u64::try_from(world.setup.nodes).unwrap_or(1);
    let some = |number: u64| usize::try_from(number).unwrap_or(0);
    if dice.chance(faults.crash) {
        crash(world, some(dice.below(nodes)), dice.between(100, 60_000));
    }
    if dice.chance(faults.suspension) {
        suspend(world, some(dice.below(nodes)), dice.between(500, 300_000));
    }
    let jumps = [(faults.clock_jump, 2_000_u64), (faults.clock_leap, 60_000)];
    for (rate, most_ms) in jumps {
        if dice.chance(rate)
            && let Some(node) = world.node(some(dice.below(nodes)))
        {
            let by_ms = i64::try_from(dice.between(0, most_ms)).unwrap_or(0);
            let by_ms = if dice.chance(500_000) { by_ms } else { by_ms.saturating_neg() };
            node.clock.jump(by_ms);
            world.note(&node.name, None, || format!("its clock jumps by {by_ms} ms"));
        }
    }
    let seconds =
        |dice: &mut crate::dice::Dice| i64::try_from(dice.between(500, 15_000)).unwrap_or(0);
    if dice.chance(faults.disk_full) {
        let for_ms = seconds(&mut dice);
        world.database.full(for_ms);
        world.note("database", None, || format!("takes no writes for {for_ms} ms"));
    }
    if dice.chance(faults.disk_slow) {
        let for_ms = seconds(&mut dice);
        world.database.slow(for_ms);
        world.note("database", None, || format!("is slow for {for_ms} ms"));
    }
    if dice.chance(faults.database_failover) {
        let for_ms = seconds(&mut dice);
        world.database.down(for_ms);
        world.note("database", None, || format!("fails over for {for_ms} ms"));
    }
}

/// Kills the node of this place, and starts another there after a while.
fn crash(world: &Arc<World>, place: usize, restart_ms: u64) {
    let Some(node) = world.node(place) else { return };
    node.gate.set(Life::Dead);
    world.note(&node.name, None, || "is killed".to_owned());
    let world = Arc::clone(world);
    let tasks = world.tasks.clone();
    tasks.spawn(async move {
        tokio::time::sleep(Duration::from_millis(restart_ms)).await;
        if world.node(place).is_some_and(|node| node.gate.life() == Life::Dead) {
            world.start(place, None);
        }
    });
}

/// Starts another node in this place soon after the one there has died.
pub(crate) fn restarts(world: &Arc<World>, place: usize) {
    let Some(node) = world.node(place) else { return };
    let world = Arc::clone(world);
    let tasks = world.tasks.clone();
    tasks.spawn(async move {
        let lasts = Duration::from_secs(24 * 3_600);
        if tokio::time::timeout(lasts, node.gate.died()).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(3)).await;
            world.start(place, None);
        }
    });
}

/// Stops the node of this place for a while.
fn suspend(world: &Arc<World>, place: usize, for_ms: u64) {
    let Some(node) = world.node(place) else { return };
    if node.gate.life() != Life::Up {
        return;
    }
    node.gate.set(Life::Suspended);
    world.note(&node.name, None, || format!("stands still for {for_ms} ms"));
    world.tasks.spawn(async move {
        tokio::time::sleep(Duration::from_millis(for_ms)).await;
        node.gate.set(Life::Up);
    });
}

/// Everybody is well again: nodes run, providers answer, the database is there.
pub(crate) fn heal(world: &Arc<World>) {
    world.bank().calm();
    world.database.calm();
    for (place, node) in world.nodes().into_iter().enumerate() {
        match node.gate.life() {
            Life::Up => {}
            Life::Suspended => node.gate.set(Life::Up),
            Life::Dead => {
                world.start(place, None);
            }
        }
    }
    world.note("world", None, || "nothing goes wrong any more".to_owned());
}
