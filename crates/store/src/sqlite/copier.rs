//! The thread that copies the write-ahead log into the database, beside the writer.
//!
//! Guarantees: nobody waits for it. What it copies was synced before, when it was committed, and what it has not
//! copied yet is read from the log. Left out: starting the log again from its beginning, for which all of it
//! must have been copied at a moment at which nothing is written: the writer's business.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, SyncSender};

use super::connection::{self, Connection};
use crate::counts::Counter;

/// The log before it is copied, and the database after.
const SYNCS: u64 = 2;

/// Asks the thread, which ends when this is dropped.
pub(super) struct Copier {
    asked: SyncSender<()>,
    busy: Arc<AtomicBool>,
}

impl Copier {
    /// Starts the thread, with a connection of its own.
    pub(super) fn start(connection: Connection, counter: Arc<Counter>) -> io::Result<Self> {
        let (asked, questions) = mpsc::sync_channel(1);
        let busy = Arc::new(AtomicBool::new(false));
        let copying = Arc::clone(&busy);
        super::start("store-copier", move || {
            while questions.recv().is_ok() {
                if connection::checkpoint(&connection) {
                    counter.syncs(SYNCS);
                }
                copying.store(false, Ordering::Release);
            }
        })?;
        Ok(Self { asked, busy })
    }

    /// Whether it copies at this moment.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// Has what is in the log now copied.
    pub(super) fn copy(&self) {
        self.busy.store(true, Ordering::Release);
        if self.asked.try_send(()).is_err() {
            // It has stopped, or has been asked already.
            self.busy.store(false, Ordering::Release);
        }
    }
}
