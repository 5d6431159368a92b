//! SQLite: one thread writes, one copies what was written to its place, a few read.
//!
//! Guarantees: a commit is acknowledged after the write-ahead log is on disk (`synchronous = full`, always:
//! with group commit the price is small); commits that wait together share one sync; a reader sees every
//! commit acknowledged before it asked. Files belong to the user alone (0600). An I/O error while committing
//! stops the process: after a failed sync nobody knows what the disk holds, and the next sync may succeed
//! without having written it.
//!
//! Other processes may open the same file (the command line does); they wait for each other.

mod connection;
mod copier;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, io, thread};

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use self::connection::Connection;
use self::copier::Copier;
use crate::compile::Statement;
use crate::counts::{Counter, Counts};
use crate::migrations::Schema;
use crate::open::{OpenError, OpenOptions};
use crate::relational::{Backend, Row};
use crate::store::{CommitError, StoreError};

/// How many commits or reads may wait; whoever comes later waits for a place.
const QUEUE: usize = 1024;

/// A request for statements to run, and where the answer goes.
struct Job<E> {
    statements: Vec<Statement>,
    done: oneshot::Sender<Result<Vec<Row>, E>>,
}

/// The queues of the threads, which end when this is dropped.
pub(crate) struct Sqlite {
    writes: mpsc::Sender<Job<CommitError>>,
    reads: mpsc::Sender<Job<StoreError>>,
    counter: Arc<Counter>,
}

/// Opens a database file, and creates it if it may be migrated.
pub(crate) fn open(
    path: &Path,
    schema: &Schema,
    options: &OpenOptions,
) -> Result<Sqlite, OpenError> {
    let unavailable = |error: io::Error| OpenError::Unavailable(error.to_string());
    if options.migrate {
        create(path).map_err(unavailable)?;
    }
    let mut writer = Connection::open(path, connection::Role::Writer)?;
    let settings = writer.raw.execute_batch(schema.sqlite_settings);
    settings.map_err(|error| OpenError::Unavailable(connection::describe(&error)))?;
    writer.foreign_keys = schema.foreign_keys;
    if options.migrate {
        writer.migrate(schema)?;
    }
    schema.check(&writer.history(schema)?)?;

    let (writes, jobs) = mpsc::channel(QUEUE);
    let (reads, questions) = mpsc::channel(QUEUE);
    let questions = Arc::new(Mutex::new(questions));
    let counter = Arc::new(Counter::default());
    let counts = Arc::clone(&counter);
    let copier = Connection::open(path, connection::Role::Copier)?;
    let copier = Copier::start(copier, Arc::clone(&counter)).map_err(unavailable)?;
    start("store-writer", move || writer::run(&mut writer, jobs, &copier, &counts))
        .map_err(unavailable)?;
    for _ in 0..options.readers.max(1) {
        let mut reader = Connection::open(path, connection::Role::Reader)?;
        let questions = Arc::clone(&questions);
        start("store-reader", move || read(&mut reader, &questions)).map_err(unavailable)?;
    }
    Ok(Sqlite { writes, reads, counter })
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

/// Creates the file for its owner alone; the log beside it inherits the mode.
fn create(path: &Path) -> io::Result<()> {
    let mut how = fs::OpenOptions::new();
    how.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut how, 0o600);
    match how.open(path) {
        Ok(file) => {
            file.sync_all()?;
            // Without this a power loss could leave a synced file that has no name.
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            fs::File::open(parent.map_or_else(|| PathBuf::from("."), Path::to_path_buf))?.sync_all()
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Answers questions until the queue is closed.
fn read(reader: &mut Connection, questions: &Mutex<mpsc::Receiver<Job<StoreError>>>) {
    loop {
        let question = questions.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(Job { statements, done }) = question else { return };
        let rows =
            reader.run(&statements).map_err(|e| StoreError::Unavailable(connection::describe(&e)));
        // Whoever asked may have given up.
        let _unheard = done.send(rows);
    }
}

impl Sqlite {
    async fn write(&self, statements: Vec<Statement>) -> Result<Vec<Row>, CommitError> {
        let stopped = || CommitError::Unavailable("the writer has stopped".into());
        let (done, answer) = oneshot::channel();
        self.writes.send(Job { statements, done }).await.map_err(|_| stopped())?;
        // A writer that stops without an answer may have committed.
        answer.await.map_err(|_| CommitError::InDoubt)?
    }
}

#[async_trait]
impl Backend for Sqlite {
    const NAME: &'static str = "sqlite";

    async fn commit(&self, statements: Vec<Statement>) -> Result<(), CommitError> {
        self.write(statements).await.map(drop)
    }

    async fn update(&self, statement: Statement) -> Result<Vec<Row>, StoreError> {
        let rows = self.write(vec![statement]).await;
        rows.map_err(|error| StoreError::Unavailable(error.to_string()))
    }

    async fn query(&self, statement: Statement) -> Result<Vec<Row>, StoreError> {
        let stopped = || StoreError::Unavailable("the readers have stopped".into());
        let (done, answer) = oneshot::channel();
        let job = Job { statements: vec![statement], done };
        self.reads.send(job).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    async fn settings(&self) -> Result<(String, Vec<(String, String)>), StoreError> {
        // The writer's settings: a reader has some of its own, and promises nothing.
        let statements = connection::SETTINGS.iter().map(|query| Statement::new(query, vec![]));
        let rows = self.write(statements.collect()).await;
        let rows = rows.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let values = rows.into_iter().flatten().map(connection::show);
        let names = connection::SETTINGS.iter().map(|query| query.text.replace("pragma ", ""));
        let settings = names.zip(values).collect();
        Ok((rusqlite::version().to_owned(), settings))
    }

    fn counts(&self) -> Counts {
        self.counter.get()
    }
}
