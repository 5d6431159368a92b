//! Connections to be used again, per account, origin and certificate of ours: idle ones, and HTTP/2 ones that
//! carry calls.
//!
//! Guarantees: an account's connections serve that account only, and only calls with the certificate that
//! they were made with; the newest is taken first; none is kept
//! longer than the idle timeout once any exchange ends after it; of an origin that speaks HTTP/2 one
//! connection is made at a time, so that calls which come together share it. Left out: a promise that a connection is
//! still alive. That is found out by the gate before the first byte (module `socket`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baton_types::AccountId;
use tokio::time::Instant;

use crate::Target;
use crate::base_url::Origin;
use crate::conn::Conn;
use crate::identity::IdentityKey;
use crate::multiplex::{Shared, Slot};

pub(crate) struct Pool {
    max_idle: usize,
    idle_timeout: Duration,
    shelves: Mutex<Shelves>,
}

#[derive(Default)]
struct Shelves {
    stacks: HashMap<Shelf, Stack>,
    next_sweep: Option<Instant>,
}

/// What a connection may be used for.
#[derive(PartialEq, Eq, Hash)]
struct Shelf {
    account: AccountId,
    origin: Origin,
    identity: Option<IdentityKey>,
}

#[derive(Default)]
struct Stack {
    idle: Vec<Idle>,
    shared: Vec<Arc<Shared>>,
    /// There once the origin has chosen HTTP/2: who holds it may make a connection.
    turn: Option<Turn>,
}

/// The right to make a connection to an origin.
pub(crate) type Turn = Arc<tokio::sync::Mutex<()>>;

/// A connection for one call.
pub(crate) enum Link {
    One(Conn),
    Many(Slot),
}

struct Idle {
    conn: Conn,
    since: Instant,
}

impl Pool {
    pub(crate) fn new(max_idle: usize, idle_timeout: Duration) -> Self {
        Self { max_idle, idle_timeout, shelves: Mutex::default() }
    }

    pub(crate) fn take(&self, target: &Target, now: Instant) -> Option<Link> {
        let mut shelves = self.lock();
        let stack = shelves.stacks.get_mut(&Shelf::of(target))?;
        if let Some(slot) = stack.shared.iter().find_map(Shared::slot) {
            return Some(Link::Many(slot));
        }
        let idle = stack.idle.pop()?;
        // The newest is on top: when it is too old, so are all, and the next sweep takes them.
        (now < idle.since + self.idle_timeout).then_some(Link::One(idle.conn))
    }

    /// What has to be held to make a connection. `None` where each call makes its own.
    pub(crate) fn turn(&self, target: &Target) -> Option<Turn> {
        self.lock().stacks.get(&Shelf::of(target))?.turn.clone()
    }

    /// Puts a new HTTP/2 connection where other calls find it.
    pub(crate) fn share(&self, target: &Target, shared: Arc<Shared>, now: Instant) {
        let mut shelves = self.lock();
        let swept = shelves.sweep(self.idle_timeout, now);
        let stack = shelves.stacks.entry(Shelf::of(target)).or_default();
        stack.shared.retain(|shared| shared.usable());
        stack.shared.push(shared);
        stack.turn.get_or_insert_default();
        drop(shelves);
        drop(swept);
    }

    pub(crate) fn put(&self, target: &Target, conn: Conn, now: Instant) {
        let mut shelves = self.lock();
        let swept = shelves.sweep(self.idle_timeout, now);
        let stack = shelves.stacks.entry(Shelf::of(target)).or_default();
        if stack.idle.len() < self.max_idle {
            stack.idle.push(Idle { conn, since: now });
        }
        // The origin speaks HTTP/1.1 (again): every call makes its own connection.
        stack.turn = None;
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
        self.stacks.retain(|_, stack| {
            let idle = &mut stack.idle;
            let fresh_from = idle.partition_point(|idle| idle.since + idle_timeout <= now);
            old.extend(idle.drain(..fresh_from));
            stack.shared.retain(|shared| shared.usable());
            !(idle.is_empty() && stack.shared.is_empty())
        });
        old
    }
}
