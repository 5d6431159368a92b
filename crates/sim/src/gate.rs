//! Whether a process runs, stands still or is gone.
//!
//! A node touches the world only at its seams: store, network, and the answer to its caller. Each of them
//! passes the gate before and after it does something. Between two seams nothing of a task can be seen from
//! outside, so to stop it for ever at its next seam is to crash it at any await point in between. What a
//! dead node left behind is never dropped while the world lives: no destructor runs, as none does when a
//! process is killed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// How a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Up,
    /// Stopped, with everything in its memory: it goes on where it was.
    Suspended,
    Dead,
}

/// The gate of one process.
#[derive(Debug)]
pub(crate) struct Gate {
    life: Mutex<Life>,
    /// Wakes in the order in which tasks came, unlike a watched value: a world is the same each time.
    changed: Notify,
    crossed: AtomicU64,
    /// It dies when it comes here for the so-many-th time.
    dies_at: Option<u64>,
}

impl Gate {
    pub(crate) fn new(dies_at: Option<u64>) -> Self {
        Self {
            life: Mutex::new(Life::Up),
            changed: Notify::new(),
            crossed: AtomicU64::new(0),
            dies_at,
        }
    }

    /// How often the process has come to its gate.
    pub(crate) fn crossed(&self) -> u64 {
        self.crossed.load(Ordering::Relaxed)
    }

    pub(crate) fn life(&self) -> Life {
        *self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops or wakes the process, or ends it. A dead one stays dead.
    pub(crate) fn set(&self, life: Life) {
        let mut now = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        if *now != Life::Dead && *now != life {
            *now = life;
            drop(now);
            self.changed.notify_waiters();
        }
    }

    /// Returns when the process runs; never, if it is dead.
    pub(crate) async fn cross(&self) {
        let crossed = self.crossed.fetch_add(1, Ordering::Relaxed);
        if self.dies_at == Some(crossed) {
            self.set(Life::Dead);
        }
        self.up().await;
    }

    /// As [`Gate::cross`], for what is not counted.
    pub(crate) async fn up(&self) {
        self.until(Life::Up).await;
    }

    /// Returns when the process is dead.
    pub(crate) async fn died(&self) {
        self.until(Life::Dead).await;
    }

    async fn until(&self, life: Life) {
        loop {
            let changed = self.changed.notified();
            if self.life() == life {
                return;
            }
            changed.await;
        }
    }
}
