//! PostgreSQL 15 and later: a few connections write batches, a few answer questions.
//!
//! Guarantees: a batch of write sets is one transaction in one round trip; what it locks is locked in one
//! order by everybody; a set that fails a guard is rejected and the others go on without it. A commit whose
//! acknowledgement is lost is `InDoubt`, one that never left is `Unavailable`. A server that may lose what
//! it has acknowledged is refused on every connection, not only on the first.
//!
//! Left out: TLS. The server is on this machine, on a private network, or behind a tunnel.

mod link;
mod many;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;

use self::link::{Failure, Link, Target};
use crate::compile::Statement;
use crate::counts::{Counter, Counts};
use crate::migrations::Schema;
use crate::open::{OpenError, OpenOptions};
use crate::relational::{Backend, Row};
use crate::store::{CommitError, StoreError};

/// How many commits may wait; whoever comes later waits for a place.
const QUEUE: usize = 1024;
/// How long a reader refuses at once after it could not connect.
const REFUSE: Duration = Duration::from_millis(500);
/// How often a statement is tried that lost a deadlock.
const TRIES: usize = 5;

/// The writers' queue and the readers. The writers end when this is dropped.
pub(crate) struct Postgres {
    writes: mpsc::Sender<writer::Job>,
    readers: Vec<Reader>,
    next: AtomicUsize,
    counter: Arc<Counter>,
}

/// Connects and checks the server and its schema.
pub(crate) async fn open(
    url: &str,
    schema: &Schema,
    options: &OpenOptions,
) -> Result<Postgres, OpenError> {
    let target = Arc::new(Target::new(url, options)?);
    let mut first = Link::connect(&target).await?;
    if options.migrate {
        first.migrate(schema).await?;
    }
    schema.check(&first.history(schema).await?)?;

    let (writes, jobs) = mpsc::channel(QUEUE);
    let jobs = Arc::new(Mutex::new(jobs));
    let counter = Arc::new(Counter::default());
    for _ in 0..options.writers.max(1) {
        link::spawn(writer::run(Arc::clone(&target), Arc::clone(&jobs), Arc::clone(&counter)));
    }
    let mut readers = Vec::new();
    readers.resize_with(options.readers.max(1), || Reader::new(Arc::clone(&target)));
    Ok(Postgres { writes, readers, next: AtomicUsize::new(0), counter })
}

/// A connection that many questions share: they travel in one pipeline.
struct Reader {
    target: Arc<Target>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    link: Option<Arc<Link>>,
    /// The last attempt to connect, if it failed.
    failed: Option<(Instant, String)>,
}

impl Reader {
    fn new(target: Arc<Target>) -> Self {
        Self { target, state: Mutex::default() }
    }

    async fn link(&self) -> Result<Arc<Link>, StoreError> {
        let mut state = self.state.lock().await;
        if let Some(link) = state.link.as_ref().filter(|link| !link.is_closed()) {
            return Ok(Arc::clone(link));
        }
        // Those who waited for the lock meanwhile need not each wait for a time-out of their own.
        if let Some((at, why)) = &state.failed
            && at.elapsed() < REFUSE
        {
            return Err(StoreError::Unavailable(why.clone()));
        }
        match Link::connect(&self.target).await {
            Ok(link) => {
                let link = Arc::new(link);
                *state = State { link: Some(Arc::clone(&link)), failed: None };
                Ok(link)
            }
            Err(error) => {
                let why = error.to_string();
                *state = State { link: None, failed: Some((Instant::now(), why.clone())) };
                Err(StoreError::Unavailable(why))
            }
        }
    }

    async fn run(&self, statement: &Statement) -> Result<Vec<Row>, StoreError> {
        let mut failure = None;
        for _ in 0..TRIES {
            let link = self.link().await?;
            match link.query(statement).await {
                Ok(rows) => return Ok(rows),
                Err(error) if Failure::of(&error).again() => failure = Some(error),
                Err(error) => return Err(StoreError::Unavailable(link::describe(&error))),
            }
        }
        let why = failure.as_ref().map(link::describe).unwrap_or_default();
        Err(StoreError::Unavailable(why))
    }
}

impl Postgres {
    /// The readers take turns.
    async fn run(&self, statement: &Statement) -> Result<Vec<Row>, StoreError> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.readers.len().max(1);
        let none = || StoreError::Unavailable("there are no readers".into());
        self.readers.get(turn).ok_or_else(none)?.run(statement).await
    }
}

#[async_trait]
impl Backend for Postgres {
    const NAME: &'static str = "postgres";

    async fn commit(&self, statements: Vec<Statement>) -> Result<(), CommitError> {
        let stopped = || CommitError::Unavailable("the writers have stopped".into());
        let (done, answer) = oneshot::channel();
        self.writes.send(writer::Job { statements, done }).await.map_err(|_| stopped())?;
        // A writer that stops without an answer may have committed.
        answer.await.map_err(|_| CommitError::InDoubt)?
    }

    async fn update(&self, statement: Statement) -> Result<Vec<Row>, StoreError> {
        let rows = self.run(&statement).await?;
        self.counter.transaction(1);
        Ok(rows)
    }

    async fn query(&self, statement: Statement) -> Result<Vec<Row>, StoreError> {
        self.run(&statement).await
    }

    async fn settings(&self) -> Result<(String, Vec<(String, String)>), StoreError> {
        let rows = self.run(&Statement::new(&link::SETTINGS, vec![])).await?;
        let mut settings = link::pairs(rows);
        let version = settings.iter().position(|(name, _)| name == "server_version");
        let version = version.map(|place| settings.remove(place).1);
        Ok((version.unwrap_or_default(), settings))
    }

    fn counts(&self) -> Counts {
        self.counter.get()
    }
}

/// How often a server has synced its write-ahead log, for all of its clients, as its statistics tell; they
/// are up to a second late. `None` if it does not tell.
///
/// # Errors
/// The server is out of reach.
pub async fn syncs(url: &str) -> Result<Option<u64>, OpenError> {
    let link = Link::connect(&Target::new(url, &OpenOptions::default())?).await?;
    link.syncs().await
}
