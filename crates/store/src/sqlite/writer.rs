//! The thread that writes: it takes all commits that wait, up to a bound, and makes them durable with one
//! sync. If a guard fails, the group runs again with a savepoint for each, so that it rejects no other.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rusqlite::{ErrorCode, ffi};
use tokio::sync::mpsc;

use super::Job;
use super::connection::{self, Connection};
use crate::counts::Counter;
use crate::relational::Row;
use crate::sql;
use crate::store::{CommitError, Guard};

/// How many commits share one sync at most.
const GROUP: usize = 256;
/// From how many pages on the write-ahead log is copied into the database: 1.2 MB. Commits wait meanwhile;
/// measured, fewer pages shorten the longest waits (p99 7 ms, against 10 ms for 1000 and 22 ms for 4000) at
/// no cost in throughput.
const CHECKPOINT_PAGES: i32 = 300;
/// From how many commits in a group on the next one is waited for, and how long. A sync costs processor time
/// too, and so does each page, which a group writes once: under load fewer and larger groups are cheaper. Below
/// that nobody waits.
const BUSY: usize = 4;
const LINGER: Duration = Duration::from_millis(1);
/// The log before it is copied, the database after, and the log's new header at the next commit.
const CHECKPOINT_SYNCS: u64 = 3;

type Answer = Result<Vec<Row>, CommitError>;

/// Commits until the queue is closed.
pub(super) fn run(
    connection: &mut Connection,
    mut jobs: mpsc::Receiver<Job<CommitError>>,
    counter: &Counter,
) {
    let log_pages = Arc::new(AtomicI32::new(0));
    let seen = Arc::clone(&log_pages);
    let hook = move |_: &mut rusqlite::hooks::Wal, pages| {
        seen.store(pages, Ordering::Relaxed);
        Ok(())
    };
    if let Err(error) = connection.raw.wal_hook(Some(hook)) {
        tracing::error!(%error, "the write-ahead log cannot be watched");
        return;
    }
    let mut group = Vec::with_capacity(GROUP);
    let mut busy = false;
    while jobs.blocking_recv_many(&mut group, GROUP) > 0 {
        if busy && group.len() < GROUP {
            linger(&mut jobs, &mut group);
        }
        busy = group.len() >= BUSY;
        commit(connection, &mut group, counter);
        if log_pages.load(Ordering::Relaxed) >= CHECKPOINT_PAGES {
            checkpoint(connection);
            counter.syncs(CHECKPOINT_SYNCS);
            log_pages.store(0, Ordering::Relaxed);
        }
    }
}

/// Waits a moment, and takes what has come meanwhile.
#[allow(clippy::disallowed_methods, reason = "the thread is the writer's own")]
fn linger(jobs: &mut mpsc::Receiver<Job<CommitError>>, group: &mut Vec<Job<CommitError>>) {
    std::thread::sleep(LINGER);
    while group.len() < GROUP
        && let Ok(job) = jobs.try_recv()
    {
        group.push(job);
    }
}

/// Commits a group and answers every job.
fn commit(connection: &mut Connection, group: &mut Vec<Job<CommitError>>, counter: &Counter) {
    // Savepoints cost a fifth of the time, and few sets are refused.
    let answers = match transaction(connection, group, together) {
        Ok(Some(answers)) => Ok(answers),
        Ok(None) => transaction(connection, group, one_by_one).map(Option::unwrap_or_default),
        Err(error) => Err(error),
    };
    match answers {
        Ok(answers) => {
            counter.transaction(answers.iter().filter(|answer| answer.is_ok()).count());
            counter.syncs(1);
            for (job, answer) in group.drain(..).zip(answers) {
                // Whoever asked may have given up.
                let _unheard = job.done.send(answer);
            }
        }
        Err(error) => {
            let why = connection::describe(&error);
            tracing::error!(error = why, "a group of commits failed");
            for job in group.drain(..) {
                let _unheard = job.done.send(Err(CommitError::Unavailable(why.clone())));
            }
        }
    }
}

/// Runs a group's statements within a transaction: each job's answer, or none if the group must be run in
/// another way. An error means that the transaction is lost.
type Run = fn(&mut Connection, &[Job<CommitError>]) -> rusqlite::Result<Option<Vec<Answer>>>;

/// One transaction for the group, committed if there are answers, else rolled back.
fn transaction(
    connection: &mut Connection,
    group: &[Job<CommitError>],
    run: Run,
) -> rusqlite::Result<Option<Vec<Answer>>> {
    connection.execute("begin immediate")?;
    let result = run(connection, group);
    if let Ok(Some(answers)) = result {
        let committed = connection.execute("commit");
        if let Err(error) = &committed {
            stop_on_io_error(error, "commit");
            roll_back(connection);
        }
        return committed.map(|()| Some(answers));
    }
    roll_back(connection);
    result
}

fn roll_back(connection: &mut Connection) {
    // SQLite itself rolls back after some errors, such as a full disk.
    if !connection.raw.is_autocommit()
        && let Err(error) = connection.execute("rollback")
    {
        tracing::error!(%error, "a group of commits was not rolled back");
    }
}

/// Runs all jobs as if they were one; no answers if one of them is refused.
fn together(
    connection: &mut Connection,
    group: &[Job<CommitError>],
) -> rusqlite::Result<Option<Vec<Answer>>> {
    let mut answers = Vec::with_capacity(group.len());
    for job in group {
        match connection.run(&job.statements) {
            Ok(rows) => answers.push(Ok(rows)),
            Err(error) if refusal(&error, connection.foreign_keys).is_some() => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(answers))
}

/// Runs each job in a savepoint of its own, so that one that is refused leaves the others alone.
fn one_by_one(
    connection: &mut Connection,
    group: &[Job<CommitError>],
) -> rusqlite::Result<Option<Vec<Answer>>> {
    let mut answers = Vec::with_capacity(group.len());
    for job in group {
        connection.execute("savepoint job")?;
        let result = connection.run(&job.statements);
        answers.push(match result {
            Ok(rows) => Ok(rows),
            Err(error) => {
                let refused = refusal(&error, connection.foreign_keys).ok_or(error)?;
                connection.execute("rollback to job")?;
                Err(refused)
            }
        });
        connection.execute("release job")?;
    }
    Ok(Some(answers))
}

/// The answer to a job whose statements were refused; none if it is the database that failed.
fn refusal(error: &rusqlite::Error, foreign_keys: Option<Guard>) -> Option<CommitError> {
    if let Some(name) = connection::constraint(error) {
        let guard = sql::guard_of(&name).map(CommitError::Conflict);
        return Some(guard.unwrap_or(CommitError::Invalid(name)));
    }
    let code = error.sqlite_error().map(|error| error.extended_code);
    if let (Some(ffi::SQLITE_CONSTRAINT_FOREIGNKEY), Some(guard)) = (code, foreign_keys) {
        return Some(CommitError::Conflict(guard));
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch) => {
            Some(CommitError::Invalid(connection::describe(error)))
        }
        _ => None,
    }
}

/// Copies the log into the database, so that its next writer starts it again from the beginning.
fn checkpoint(connection: &Connection) {
    let result = connection.raw.query_row("pragma wal_checkpoint(passive)", [], |_| Ok(()));
    if let Err(error) = result {
        stop_on_io_error(&error, "checkpoint");
        tracing::warn!(%error, "the write-ahead log was not copied into the database");
    }
}

/// Stops the process without ceremony if what is on disk is no longer known: only a restart, which reads
/// the log again, finds out.
fn stop_on_io_error(error: &rusqlite::Error, action: &str) {
    if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) {
        tracing::error!(%error, action, "the disk failed; stopping");
        process::abort();
    }
}
