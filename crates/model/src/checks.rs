//! What must hold, what must be reachable, and the exploration that looks.

use std::collections::BTreeMap;

use baton_flow::{CallId, CallState, Closure, Verdict};
use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::process::{OWNER, Process, owner};
use crate::provider::Money;
use crate::row::Row;
use crate::scope::{Kind, Mode, Scope};
use crate::world::{State, World};

/// At most one attempt holds or takes the payer's money.
pub const ONE_MOVES: &str = "one attempt moves money";
/// Once a client could have been told "failed", no attempt holds or takes money, then or later.
pub const NOT_AFTER_FAILED: &str = "no money moves after failed was told";
/// What is told as approved is so at the provider.
pub const TRUE_APPROVAL: &str = "an approval that is told is true";
/// When faults have ended and every timer has been served, no call is open.
pub const CONCLUDED: &str = "everything is concluded in the end";
/// Never more than two holds at once.
pub const TWO_HOLDS: &str = "at most two holds";
/// When faults have ended and every timer has been served, no hold is left but that of an approved payment.
pub const NO_LOSER: &str = "no money is left behind in the end";
/// The first byte of a request leaves before its plan's `send_by`.
pub const IN_TIME: &str = "nothing leaves after send_by";
/// It leaves from the process that planned it.
pub const BY_OWNER: &str = "nothing leaves from another process";
/// It leaves when its plan is durable.
pub const DURABLE: &str = "nothing leaves before its plan is durable";

/// What an exploration found.
#[derive(Clone, Debug)]
pub struct Report {
    /// Different states.
    pub states: usize,
    /// Steps between them.
    pub steps: usize,
    /// The longest way from the beginning.
    pub depth: usize,
    /// Promises that are broken, each with a shortest way there.
    pub broken: BTreeMap<&'static str, Vec<String>>,
    /// Interesting places that are not reached.
    pub missed: Vec<&'static str>,
}

/// Explores a world completely, or until one of these promises is broken.
#[must_use]
pub fn explore(scope: Scope, until: &[&'static str]) -> Report {
    let world = World::new(scope);
    let properties = world.properties();
    let wanted = if until.is_empty() {
        HasDiscoveries::All
    } else {
        HasDiscoveries::AnyOf(until.iter().copied().collect())
    };
    // One thread: then the first way that is found is a shortest one.
    let checker = world.checker().threads(1).finish_when(wanted).spawn_bfs().join();
    let found = checker.discoveries();
    let is_promise = |name: &str| {
        properties.iter().any(|p| p.name == name && p.expectation.discovery_is_failure())
    };
    let missed = properties
        .iter()
        .filter(|p| !p.expectation.discovery_is_failure() && !found.contains_key(p.name))
        .map(|p| p.name);
    let broken = found.iter().filter(|(name, _)| is_promise(name)).map(|(name, path)| {
        let steps = path.clone().into_actions().into_iter().map(|action| format!("{action:?}"));
        (*name, steps.collect())
    });
    Report {
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        missed: missed.collect(),
        broken: broken.collect(),
    }
}

pub(crate) fn properties(scope: &Scope) -> Vec<Property<World>> {
    let mut all: Vec<Property<World>> = vec![
        Property::always(ONE_MOVES, |world, s: &State| {
            let holds = world.scope.mode == Mode::HoldSafe;
            let moves = if holds { s.providers.taken() } else { s.providers.moved() };
            moves <= 1 && !s.providers.moved_twice
        }),
        Property::always(TWO_HOLDS, |_, s: &State| s.providers.moved() <= 2),
        Property::always(NO_LOSER, |world, s: &State| {
            !s.is_over(world) || s.providers.moved() == usize::from(s.is_approved())
        }),
        Property::always(NOT_AFTER_FAILED, |_, s: &State| {
            !(s.seen.told_failed && s.providers.moved() > 0)
        }),
        Property::always(TRUE_APPROVAL, |world, s: &State| {
            let Some(row) = &s.row else { return true };
            let Verdict::Approved(no) = row.payment().verdict() else { return true };
            s.providers.money(no)
                == match world.scope.kind {
                    Kind::Sale => Money::Taken,
                    Kind::Hold => Money::Held,
                }
        }),
        Property::always(IN_TIME, |_, s: &State| !s.seen.sent_late),
        Property::always(BY_OWNER, |_, s: &State| !s.seen.sent_by_another),
        Property::always(DURABLE, |_, s: &State| !s.seen.sent_undurable),
        Property::always(CONCLUDED, |world, s: &State| {
            // Who cannot be asked, and never tells, leaves a doubt.
            !world.scope.askable
                || !s.is_over(world)
                || s.row.as_ref().is_none_or(|row| !row.payment().has_open_calls())
        }),
    ];
    all.extend(of_all());
    if scope.askable && !scope.fence {
        all.extend([
            Property::sometimes("an attempt is found absent", |_, s: &State| s.is_absent(1)),
            Property::sometimes(
                "the second is tried because the first is absent",
                |world: &World, s: &State| {
                    world.scope.kind == Kind::Sale
                        || s.is_absent(1) && s.providers.legs.contains_key(&CallId::Attempt(2))
                },
            ),
        ]);
    }
    if scope.fence && scope.mode == Mode::ResolveFirst {
        all.extend(of_fences());
    }
    if !scope.askable {
        all.push(Property::sometimes("a void is sent again and does it", |_, s: &State| {
            let done = |no| s.providers.legs.get(&CallId::Void(no)).and_then(|leg| leg.done);
            done(1) != Some(true) && done(2) == Some(true)
        }));
    }
    if scope.mode == Mode::HoldSafe {
        all.extend([
            Property::sometimes("two attempts hold", |_, s: &State| s.providers.moved() == 2),
            Property::sometimes("the first wins although a second was tried", |_, s: &State| {
                s.providers.legs.contains_key(&CallId::Attempt(2))
                    && s.row.as_ref().is_some_and(|r| r.payment().verdict() == Verdict::Approved(1))
            }),
            Property::sometimes(
                "a losing hold is voided and the other approved",
                |_, s: &State| {
                    s.providers.money(1) == Money::Released
                        && s.row
                            .as_ref()
                            .is_some_and(|r| r.payment().verdict() == Verdict::Approved(2))
                },
            ),
            Property::sometimes("a promise is kept by another node", |_, s: &State| {
                let by_another = |row: &Row| {
                    let voids = &row.payment().voids;
                    voids.iter().any(|void| void.call.owner != owner(OWNER))
                };
                s.row.as_ref().is_some_and(by_another)
            }),
        ]);
    }
    all
}

/// Where every world has to lead to, somewhere.
fn of_all() -> [Property<World>; 5] {
    [
        Property::sometimes("the second account is tried", |_, s: &State| {
            s.providers.legs.contains_key(&CallId::Attempt(2))
        }),
        Property::sometimes("and approves", |_, s: &State| s.providers.money(2).is_moved()),
        Property::sometimes("a plan is taken over", |_, s: &State| s.seen.taken_over),
        Property::sometimes("failed is told", |_, s: &State| s.seen.told_failed),
        Property::sometimes("money moves when nobody waits any more", |_, s: &State| {
            s.providers.moved() > 0
                && s.row
                    .as_ref()
                    .is_some_and(|row| matches!(row.payment().verdict(), Verdict::InDoubt(_)))
        }),
    ]
}

/// What a cancel in doubt has to lead to, somewhere.
fn of_fences() -> [Property<World>; 4] {
    [
        Property::sometimes("the second is tried behind a fence", |_, s: &State| {
            s.stands(1) == Some(Closure::Fenced)
                && s.providers.money(1) == Money::Fenced
                && s.providers.legs.contains_key(&CallId::Attempt(2))
        }),
        Property::sometimes("a late request is refused by the fence", |_, s: &State| {
            let done = s.providers.legs.get(&CallId::Attempt(1)).and_then(|leg| leg.done);
            s.providers.money(1) == Money::Fenced && done == Some(false)
        }),
        Property::sometimes("money moves while it is being cancelled", |_, s: &State| {
            s.providers.money(1).is_moved() && s.is_cancelling(1)
        }),
        Property::sometimes("and is approved in the end, or given back", |world, s: &State| {
            let cancelled = s.providers.legs.get(&CallId::Void(1)).and_then(|leg| leg.done);
            match world.scope.kind {
                Kind::Sale => s.is_approved() && cancelled == Some(false),
                Kind::Hold => s.providers.money(1) == Money::Released,
            }
        }),
    ]
}

impl State {
    /// Whether nothing will happen any more.
    fn is_over(&self, world: &World) -> bool {
        self.now >= world.scope.horizon && self.processes.iter().all(Process::is_resting)
    }

    fn is_approved(&self) -> bool {
        let verdict = |row: &Row| matches!(row.payment().verdict(), Verdict::Approved(_));
        self.row.as_ref().is_some_and(verdict)
    }

    fn is_absent(&self, attempt: u16) -> bool {
        self.stands(attempt) == Some(Closure::Absent)
    }

    /// What closed an attempt, if something has.
    fn stands(&self, attempt: u16) -> Option<Closure> {
        let payment = self.row.as_ref()?.payment();
        match payment.call(CallId::Attempt(attempt))?.state {
            CallState::Closed { how, .. } => Some(how),
            CallState::Planned | CallState::Open { .. } | CallState::Final { .. } => None,
        }
    }

    /// Whether a void of an attempt is on its way or in doubt.
    fn is_cancelling(&self, attempt: u16) -> bool {
        self.row.as_ref().is_some_and(|row| {
            let mut voids = row.payment().voids.iter();
            voids.any(|void| void.attempt == attempt && !void.call.is_concluded())
        })
    }
}
