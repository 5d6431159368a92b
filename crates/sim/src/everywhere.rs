//! A crash at every moment in turn: for short worlds, exhaustively.

use crate::kit::Kit;
use crate::run::{Death, Life, inside, lives};
use crate::setup::Setup;
use crate::summary::Totals;

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Everywhere {
    /// Moments at which the node was killed, each in a world of its own, twice: started again, and not.
    pub moments: u64,
    /// The sums of all those worlds.
    pub totals: Totals,
    /// The moment of the first world in which something broke.
    pub first: Option<u64>,
}

/// Kills the first node of a world at each moment at which it touches the outside, once per world.
///
/// # Errors
/// The setup cannot be simulated.
pub fn everywhere(kit: &Kit, setup: &Setup, seed: u64, orders: u64) -> Result<Everywhere, String> {
    setup.check(kit)?;
    let calm = Life { seed, orders, traced: false, death: None };
    let (totals, moments) = inside(lives(kit, setup, calm))??;
    let mut all = Everywhere { moments, totals, first: None };
    for at in 0..moments {
        for restarts in [true, false] {
            let death = Some(Death { at, restarts });
            let (mut totals, _) = inside(lives(kit, setup, Life { death, ..calm }))??;
            if all.first.is_none() && !totals.violations.is_empty() {
                all.first = Some(at);
                let again = Life { death, traced: true, ..calm };
                totals.timeline = inside(lives(kit, setup, again))??.0.timeline;
            }
            all.totals.add(totals);
        }
    }
    Ok(all)
}
