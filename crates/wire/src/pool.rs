//! Idle connections, per account, origin and certificate of ours.
//!
//! Guarantees: an account's connections serve that account only, and only calls with the certificate that
//! they were made with; the newest is taken first; none is kept
//! longer than the idle timeout once any exchange ends after it. Left out: a promise that a connection is
//! still alive. That is found out by the gate before the first byte (module `socket`).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baton_types::AccountId;
use tokio::time::Instant;

use crate::Target;
use crate::base_url::Origin;
use crate::conn::Conn;
use crate::identity::IdentityKey;

pub(crate) struct Pool {
    max_idle: usize,
    idle_timeout: Duration,
    shelves: Mutex<Shelves>,
}

#[derive(Default)]
struct Shelves {
    idle: HashMap<Shelf, Vec<Idle>>,
    next_sweep: Option<Instant>,
}

/// What a connection may be used for.
#[derive(PartialEq, Eq, Hash)]
struct Shelf {
    account: AccountId,
    origin: Origin,
    identity: Option<IdentityKey>,
}

struct Idle {
    conn: Conn,
    since: Instant,
}

impl Pool {
    pub(crate) fn new(max_idle: usize, idle_timeout: Duration) -> Self {
        Self { max_idle, idle_timeout, shelves: Mutex::default() }
    }

    pub(crate) fn take(&self, target: &Target, now: Instant) -> Option<Conn> {
        let mut shelves = self.lock();
        let idle = shelves.idle.get_mut(&Shelf::of(target))?.pop()?;
        // The newest is on top: when it is too old, so are all, and the next sweep takes them.
        (now < idle.since + self.idle_timeout).then_some(idle.conn)
    }

    pub(crate) fn put(&self, target: &Target, conn: Conn, now: Instant) {
        let mut shelves = self.lock();
        let swept = shelves.sweep(self.idle_timeout, now);
        let shelf = shelves.idle.entry(Shelf::of(target)).or_default();
        if shelf.len() < self.max_idle {
            shelf.push(Idle { conn, since: now });
        }
        drop(shelves);
        // Closing sockets takes a system call each: not under the lock.
        drop(swept);
    }

    fn lock(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn of(target: &Target) -> Self {
        Self {
            account: target.account,
            origin: target.base_url.origin().clone(),
            identity: target.identity.as_ref().map(|identity| identity.key().clone()),
        }
    }
}

impl Shelves {
    /// Takes out what is too old. At most four times per timeout, because it looks at everything.
    fn sweep(&mut self, idle_timeout: Duration, now: Instant) -> Vec<Idle> {
        if self.next_sweep.is_some_and(|next| now < next) {
            return Vec::new();
        }
        self.next_sweep = Some(now + idle_timeout / 4);
        let mut old = Vec::new();
        self.idle.retain(|_, shelf| {
            let fresh_from = shelf.partition_point(|idle| idle.since + idle_timeout <= now);
            old.extend(shelf.drain(..fresh_from));
            !shelf.is_empty()
        });
        old
    }
}
