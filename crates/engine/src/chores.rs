//! Durable steps that are not of a payment's machine: what another part of the product has to do at a time, and again
//! until it is done.
//!
//! A chore is a timer with a name. Guarantees: it is written in whatever commit makes it necessary, and stays until
//! its runner clears or moves it; it is run at least once, by one node at a time as long as a run is shorter than the
//! lease; in one process it is never run twice at once; it never keeps the resolver waiting. Left out: what a chore
//! does, and when it is tried again.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use baton_store::{TimerRow, Write, WriteSet};
use baton_types::{MerchantId, PaymentId, Timestamp};
use tokio::sync::Semaphore;

use crate::engine::Engine;
use crate::inner::Inner;

/// What the timers of chores are called, before their name.
const PREFIX: &str = "chore:";

/// The kind of their timers: of what is due soon or being done, and of what rests until a time that may be far off.
const KIND: &str = "chore";
const ALARM: &str = "alarm";

/// Chores that run at once.
const AT_ONCE: usize = 32;

/// When a chore is looked at again that found no place, in milliseconds.
const NO_PLACE_MS: i64 = 2_000;

/// Something to be done. Whoever runs it says when it is done: see [`Engine::chore_at`] and [`Engine::no_chore`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chore {
    /// Whose.
    pub merchant: MerchantId,
    /// What it is about: 16 bytes that are an id of any kind.
    pub about: PaymentId,
    /// What is to be done.
    pub name: String,
    /// How often it was tried, as its runner counts.
    pub attempt: u32,
}

/// Whoever does chores.
#[async_trait]
pub trait Chores: Send + Sync {
    /// Does it, or says when it is to be tried again. It takes less than a minute and a half.
    async fn run(&self, chore: Chore);
}

pub(crate) struct Board {
    runner: Mutex<Option<Arc<dyn Chores>>>,
    busy: Mutex<HashSet<(PaymentId, String)>>,
    places: Arc<Semaphore>,
}

impl Default for Board {
    fn default() -> Self {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        Self { runner: Mutex::default(), busy: Mutex::default(), places }
    }
}

impl Board {
    fn runner(&self) -> Option<Arc<dyn Chores>> {
        self.runner.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn busy(&self) -> MutexGuard<'_, HashSet<(PaymentId, String)>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The runner holds the engine in its turn: the ring is broken when the engine stops.
    pub(crate) fn close(&self) {
        self.runner.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Whether a timer is a chore's.
pub(crate) fn is_chore(row: &TimerRow) -> bool {
    row.kind == KIND || row.kind == ALARM
}

/// Takes a chore whose timer this node has, in a task of its own.
pub(crate) async fn take(engine: &Arc<Inner>, row: &TimerRow) {
    let name = row.call.strip_prefix(PREFIX).unwrap_or(&row.call).to_owned();
    let chore = Chore { merchant: row.merchant, about: row.payment, name, attempt: row.attempt };
    // Of an earlier run: it becomes this run's, and comes by again.
    if row.boot != engine.boot {
        return put_off(engine, &chore, 0).await;
    }
    let Some(runner) = engine.board.runner() else { return };
    match Arc::clone(&engine.board.places).try_acquire_owned() {
        Ok(place) => {
            let worker = Arc::clone(engine);
            engine.tracker.spawn(async move {
                run(&worker, runner.as_ref(), chore).await;
                drop(place);
            });
        }
        Err(_) => put_off(engine, &chore, NO_PLACE_MS).await,
    }
}

async fn run(engine: &Arc<Inner>, runner: &dyn Chores, chore: Chore) {
    let key = (chore.about, chore.name.clone());
    // Whoever runs it already will say when it is due again.
    if engine.board.busy().insert(key.clone()) {
        let _busy = Busy { board: &engine.board, key };
        runner.run(chore).await;
    }
}

/// A chore that is being done, however that ends.
struct Busy<'a> {
    board: &'a Board,
    key: (PaymentId, String),
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.board.busy().remove(&self.key);
    }
}

async fn put_off(engine: &Inner, chore: &Chore, ms: i64) {
    let at = engine.clock.now().plus_millis(ms);
    let set = WriteSet::from(vec![timer(engine, KIND, chore, at)]);
    if let Err(error) = engine.store.commit(set).await {
        // Its lease ends, and it comes by again.
        tracing::warn!(chore = %chore.name, %error, "a chore cannot be put off");
    }
}

fn timer(engine: &Inner, kind: &str, chore: &Chore, at: Timestamp) -> Write {
    Write::SetTimer(TimerRow {
        merchant: chore.merchant,
        payment: chore.about,
        call: format!("{PREFIX}{}", chore.name),
        kind: kind.to_owned(),
        due_at: at,
        attempt: chore.attempt,
        node: engine.config.node.clone(),
        boot: engine.boot,
    })
}

impl Engine {
    /// Who does the chores of this process. Before anything is started.
    pub fn do_chores_by(&self, runner: Arc<dyn Chores>) {
        let board = &self.inner.board;
        *board.runner.lock().unwrap_or_else(PoisonError::into_inner) = Some(runner);
    }

    /// What makes a chore due at a time, in place of the time that it had.
    #[must_use]
    pub fn chore_at(&self, chore: &Chore, at: Timestamp) -> Write {
        timer(&self.inner, KIND, chore, at)
    }

    /// The same for a chore that rests until then, of which there may be many: a restart does not take it up sooner.
    #[must_use]
    pub fn alarm_at(&self, chore: &Chore, at: Timestamp) -> Write {
        timer(&self.inner, ALARM, chore, at)
    }

    /// What takes a chore away.
    #[must_use]
    pub fn no_chore(&self, chore: &Chore) -> Write {
        Write::ClearTimer {
            merchant: chore.merchant,
            payment: chore.about,
            call: format!("{PREFIX}{}", chore.name),
        }
    }

    /// Does a chore now that is written already, in a task of its own. Without a free place its timer brings it by.
    pub fn do_chore_now(&self, chore: Chore) {
        let board = &self.inner.board;
        let Some(runner) = board.runner() else { return };
        let Ok(place) = Arc::clone(&board.places).try_acquire_owned() else { return };
        let worker = Arc::clone(&self.inner);
        self.inner.tracker.spawn(async move {
            run(&worker, runner.as_ref(), chore).await;
            drop(place);
        });
    }
}
