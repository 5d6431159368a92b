//! What a store has done since this process opened it, for those who measure it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the store was opened. They are of this process alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Write sets and leases that were committed.
    pub sets: u64,
    /// Transactions that held them: sets that wait together share one.
    pub transactions: u64,
    /// Syncs of files that SQLite made for them. PostgreSQL's are made by its own processes.
    pub syncs: u64,
}

/// The counts as they grow.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    sets: AtomicU64,
    transactions: AtomicU64,
    syncs: AtomicU64,
}

impl Counter {
    pub(crate) fn transaction(&self, sets: usize) {
        self.sets.fetch_add(u64::try_from(sets).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.transactions.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn syncs(&self, count: u64) {
        self.syncs.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Counts {
        Counts {
            sets: self.sets.load(Ordering::Relaxed),
            transactions: self.transactions.load(Ordering::Relaxed),
            syncs: self.syncs.load(Ordering::Relaxed),
        }
    }
}
