//! The world's time, and the clock that a node believes.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use baton_engine::Clock;
use baton_types::Timestamp;
use tokio::time::Instant;

use crate::dice::Dice;

/// When every world begins: the first second of 2026.
const BEGINNING_MS: i64 = 1_767_225_600_000;

/// True time. It passes only when nothing is left to do at the present moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time {
    start: Instant,
}

impl Time {
    pub(crate) fn begin() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now_ms(self) -> i64 {
        BEGINNING_MS.saturating_add(self.elapsed_ms())
    }

    /// Since the world began.
    pub(crate) fn elapsed_ms(self) -> i64 {
        i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

/// The clock of one node: true time, and how far this node is off.
pub(crate) struct NodeClock {
    time: Time,
    ahead_ms: AtomicI64,
    dice: Mutex<Dice>,
}

impl NodeClock {
    pub(crate) fn new(time: Time, dice: Dice) -> Self {
        Self { time, ahead_ms: AtomicI64::new(0), dice: Mutex::new(dice) }
    }

    /// Moves the clock; it may go backwards.
    pub(crate) fn jump(&self, by_ms: i64) {
        self.ahead_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

impl Clock for NodeClock {
    fn now(&self) -> Timestamp {
        let ahead_ms = self.ahead_ms.load(Ordering::Relaxed);
        Timestamp::from_millis(self.time.now_ms().saturating_add(ahead_ms))
    }

    fn random(&self, bytes: &mut [u8]) {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner).fill(bytes);
    }
}
