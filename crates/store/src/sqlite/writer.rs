//! The thread that writes: it takes all commits that wait, up to a bound, and makes them durable with one
//! sync. If a guard fails, the group runs again with a savepoint for each, so that it rejects no other.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rusqlite::{ErrorCode, ffi};
use tokio::sync::mpsc;

use super::Job;
use super::connection::{self, Connection};
use super::copier::Copier;
use crate::counts::Counter;
use crate::relational::Row;
use crate::sql;
use crate::store::{CommitError, Guard};

/// How many commits share one sync at most.
const GROUP: usize = 256;
/// After how many pages the write-ahead log is copied into the database, by another thread: 8 MB.
const COPY_PAGES: i32 = 2_000;
/// From how many pages on the log is to start again from its beginning: 48 MB. For that the last pages are
/// copied while commits wait, so the other thread copies first what was there before.
const RESTART_PAGES: i32 = 12_000;
/// How many pages are few enough to be copied while commits wait, and how often the other thread is asked before
/// more are.
const LAST_PAGES: i32 = 100;
const ASKED_MOST: u32 = 4;
/// From how many commits in a group on the next one is waited for, and how long. A sync costs processor time
/// too, and so does each page, which a group writes once: under load fewer and larger groups are cheaper. Below
/// that nobody waits.
const BUSY: usize = 2;
const LINGER: Duration = Duration::from_millis(1);
/// The log before it is copied, the database after, and the log's new header at the next commit.
const CHECKPOINT_SYNCS: u64 = 3;

type Answer = Result<Vec<Row>, CommitError>;

/// Commits until the queue is closed.
pub(super) fn run(
    connection: &mut Connection,
    mut jobs: mpsc::Receiver<Job<CommitError>>,
    copier: &Copier,
    counter: &Counter,
) {
    let pages = Arc::new(AtomicI32::new(0));
    let seen = Arc::clone(&pages);
    let hook = move |_: &mut rusqlite::hooks::Wal, pages| {
        seen.store(pages, Ordering::Relaxed);
        Ok(())
    };
    if let Err(error) = connection.raw.wal_hook(Some(hook)) {
        tracing::error!(%error, "the write-ahead log cannot be watched");
        return;
    }
    let mut log = Log::default();
    let mut group = Vec::with_capacity(GROUP);
    let mut busy = false;
    while jobs.blocking_recv_many(&mut group, GROUP) > 0 {
        if busy && group.len() < GROUP {
            linger(&mut jobs, &mut group);
        }
        busy = group.len() >= BUSY;
        commit(connection, &mut group, counter);
        log.tend(pages.load(Ordering::Relaxed), connection, copier, counter);
    }
}

/// How far the write-ahead log has come.
#[derive(Debug, Default)]
struct Log {
    /// The pages that it had when it was last copied.
    copied: i32,
    /// How often it has been copied since it was due to start again.
    asked: u32,
    /// Whether the rest has been copied too, since then.
    rested: bool,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    /// The other thread copies.
    Copy,
    /// The rest is copied while commits wait, so that the log starts again.
    Rest,
}

impl Log {
    fn tend(&mut self, pages: i32, connection: &Connection, copier: &Copier, counter: &Counter) {
        if copier.is_busy() {
            return;
        }
        match self.due(pages) {
            Due::Nothing => {}
            Due::Copy => copier.copy(),
            Due::Rest => {
                if connection::checkpoint(connection) {
                    counter.syncs(CHECKPOINT_SYNCS);
                }
            }
        }
    }

    /// What is due with so many pages in the log, while nobody copies.
    fn due(&mut self, pages: i32) -> Due {
        if pages < self.copied {
            // It has started again.
            *self = Self::default();
        }
        let new = pages.saturating_sub(self.copied);
        if pages < RESTART_PAGES {
            if new < COPY_PAGES {
                return Due::Nothing;
            }
            self.copied = pages;
            return Due::Copy;
        }
        let few = new <= LAST_PAGES;
        if self.rested && few {
            // A reader was in the way. It is not tried at every commit.
            return Due::Nothing;
        }
        self.copied = pages;
        if self.rested || few || self.asked >= ASKED_MOST {
            self.rested = true;
            return Due::Rest;
        }
        self.asked = self.asked.saturating_add(1);
        Due::Copy
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
            connection::stop_on_io_error(error, "commit");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_copied_beside_and_its_rest_when_little_is_left() {
        let mut log = Log::default();
        let steps = [
            (COPY_PAGES - 1, Due::Nothing),
            (COPY_PAGES, Due::Copy),
            (COPY_PAGES + 1, Due::Nothing),
            (2 * COPY_PAGES, Due::Copy),
            // Much is new, so it is copied beside first.
            (RESTART_PAGES, Due::Copy),
            (RESTART_PAGES + LAST_PAGES + 1, Due::Copy),
            (RESTART_PAGES + 2 * LAST_PAGES + 1, Due::Rest),
            // A reader was in the way, so it has not started again.
            (RESTART_PAGES + 2 * LAST_PAGES + 2, Due::Nothing),
            (RESTART_PAGES + 3 * LAST_PAGES + 2, Due::Rest),
            (5, Due::Nothing),
            (COPY_PAGES, Due::Copy),
        ];
        for (pages, due) in steps {
            assert_eq!(log.due(pages), due, "{pages}");
        }
    }

    #[test]
    fn a_log_that_grows_too_fast_is_copied_all_the_same() {
        let mut log = Log::default();
        let dues = (0..).map(|step| log.due(RESTART_PAGES + step * COPY_PAGES));
        assert!(dues.take(10).any(|due| due == Due::Rest));
    }
}
