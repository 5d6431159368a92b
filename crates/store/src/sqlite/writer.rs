//! The thread that writes: it takes all commits that wait, up to a bound, and makes them durable with one
//! sync. Each has its own savepoint, so that a guard's failure rejects no other.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use rusqlite::ErrorCode;
use tokio::sync::mpsc;

use super::Job;
use super::connection::{self, Connection};
use crate::compile::Statement;
use crate::relational::Row;
use crate::sql;
use crate::store::CommitError;

/// How many commits share one sync at most.
const GROUP: usize = 256;
/// From how many pages on the write-ahead log is copied into the database: 4 MB.
const CHECKPOINT_PAGES: i32 = 1000;

type Answer = Result<Vec<Row>, CommitError>;

/// Commits until the queue is closed.
pub(super) fn run(connection: &mut Connection, mut jobs: mpsc::Receiver<Job<CommitError>>) {
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
    while jobs.blocking_recv_many(&mut group, GROUP) > 0 {
        commit(connection, &mut group);
        if log_pages.load(Ordering::Relaxed) >= CHECKPOINT_PAGES {
            checkpoint(connection);
            log_pages.store(0, Ordering::Relaxed);
        }
    }
}

/// Commits a group and answers every job.
fn commit(connection: &mut Connection, group: &mut Vec<Job<CommitError>>) {
    match transaction(connection, group) {
        Ok(answers) => {
            for (job, answer) in group.drain(..).zip(answers) {
                // Whoever asked may have given up.
                let _unheard = job.done.send(answer);
            }
        }
        Err(error) => {
            let why = error.to_string();
            tracing::error!(error = why, "a group of commits failed");
            if !connection.raw.is_autocommit() {
                let rolled_back = connection.raw.execute_batch("rollback");
                if let Err(error) = rolled_back {
                    tracing::error!(%error, "a failed group was not rolled back");
                }
            }
            for job in group.drain(..) {
                let _unheard = job.done.send(Err(CommitError::Unavailable(why.clone())));
            }
        }
    }
}

/// One transaction for the group; returns each job's answer. An error means that none was committed.
fn transaction(
    connection: &mut Connection,
    group: &[Job<CommitError>],
) -> rusqlite::Result<Vec<Answer>> {
    run_text(connection, "begin immediate")?;
    let mut answers = Vec::with_capacity(group.len());
    for job in group {
        answers.push(savepoint(connection, &job.statements)?);
    }
    if let Err(error) = run_text(connection, "commit") {
        stop_on_io_error(&error, "commit");
        return Err(error);
    }
    Ok(answers)
}

/// Runs one job's statements, or none of them. An error means that the whole transaction is lost.
fn savepoint(connection: &mut Connection, statements: &[Statement]) -> rusqlite::Result<Answer> {
    run_text(connection, "savepoint job")?;
    let result = connection.run(statements);
    let answer = match result {
        Ok(rows) => Ok(rows),
        Err(error) => {
            let refused = refusal(&error).ok_or(error)?;
            run_text(connection, "rollback to job")?;
            Err(refused)
        }
    };
    run_text(connection, "release job")?;
    Ok(answer)
}

fn run_text(connection: &Connection, text: &str) -> rusqlite::Result<()> {
    connection.raw.prepare_cached(text)?.execute([]).map(drop)
}

/// The answer to a job whose statements were refused; none if it is the database that failed.
fn refusal(error: &rusqlite::Error) -> Option<CommitError> {
    if let Some(name) = connection::constraint(error) {
        let guard = sql::guard_of(&name).map(CommitError::Conflict);
        return Some(guard.unwrap_or(CommitError::Invalid(name)));
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch) => {
            Some(CommitError::Invalid(error.to_string()))
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
