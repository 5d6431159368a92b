//! A task that writes: it takes the sets that wait, up to a bound, and commits them in one round trip.
//!
//! The transaction's statements are sent without waiting for answers, `commit` included: if one fails, the
//! server rolls back at `commit`. So whatever breaks after the first byte, short of an error for a
//! statement, leaves the commit in doubt.

use std::collections::HashSet;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::maybe_done;
use futures_util::poll;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_postgres::Error;
use tokio_postgres::types::ToSql;

use super::TRIES;
use super::link::{self, Failure, Link, Target};
use super::many::{self, Request};
use crate::compile::{Statement, Value};
use crate::counts::Counter;
use crate::store::CommitError;

/// How many sets share a transaction at most.
const BATCH: usize = 64;
/// From how many sets in a batch on the next one is waited for, and how long. A transaction costs the server
/// about as much as a set: under load fewer and larger ones are cheaper. Below that nobody waits.
const BUSY: usize = 4;
const LINGER: Duration = Duration::from_millis(1);
/// How long a batch may take; above the server's own time-out for one statement.
const TIMEOUT: Duration = Duration::from_secs(20);
const MIN_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// A set to commit, and where the answer goes.
pub(super) struct Job {
    pub(super) statements: Vec<Statement>,
    pub(super) done: oneshot::Sender<Result<(), CommitError>>,
}

impl Job {
    fn answer(self, answer: Result<(), CommitError>) {
        // Whoever asked may have given up.
        let _unheard = self.done.send(answer);
    }
}

/// Commits until the queue is closed.
pub(super) async fn run(
    target: Arc<Target>,
    jobs: Arc<Mutex<mpsc::Receiver<Job>>>,
    counter: Arc<Counter>,
) {
    let mut link: Option<Link> = None;
    let mut backoff = MIN_BACKOFF;
    let mut waiting = Vec::with_capacity(BATCH);
    let mut busy = false;
    loop {
        if waiting.is_empty() && take(&jobs, busy, &mut waiting).await == 0 {
            return;
        }
        busy = waiting.len() >= BUSY;
        let connected = match link.take().filter(|link| !link.is_closed()) {
            Some(link) => Ok(link),
            None => Link::to_write(&target).await,
        };
        match connected {
            Ok(ready) => {
                backoff = MIN_BACKOFF;
                if commit(&ready, batch(&mut waiting), &counter).await {
                    link = Some(ready);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a writer cannot connect to PostgreSQL");
                answer_all(mem::take(&mut waiting), &CommitError::Unavailable(error.to_string()));
                sleep(backoff).await;
                backoff = (backoff * 2).min(MAX_BACKOFF);
            }
        }
    }
}

/// Takes the sets that wait, or the next one; none when the queue is closed.
async fn take(jobs: &Mutex<mpsc::Receiver<Job>>, busy: bool, waiting: &mut Vec<Job>) -> usize {
    // Whoever has the lock collects for all: the other writers wait for it.
    let mut jobs = jobs.lock().await;
    let taken = jobs.recv_many(waiting, BATCH).await;
    if busy && (1..BATCH).contains(&taken) {
        sleep(LINGER).await;
        while waiting.len() < BATCH
            && let Ok(job) = jobs.try_recv()
        {
            waiting.push(job);
        }
    }
    waiting.len()
}

fn answer_all(jobs: Vec<Job>, error: &CommitError) {
    for job in jobs {
        job.answer(Err(error.clone()));
    }
}

/// Takes the jobs that can share a transaction: no two of them may meet at a guard, because the one that
/// fails could then have lost against a set that is rolled back with it.
fn batch(waiting: &mut Vec<Job>) -> Vec<Job> {
    let mut taken = HashSet::new();
    let (batch, later) = mem::take(waiting).into_iter().partition(|job: &Job| {
        let guards: HashSet<_> = guards(job).collect();
        let free = taken.is_disjoint(&guards);
        if free {
            taken.extend(guards);
        }
        free
    });
    *waiting = later;
    batch
}

fn guards(job: &Job) -> impl Iterator<Item = (u8, Vec<Value>)> {
    job.statements.iter().filter(|statement| statement.query.guard).map(|statement| {
        let (rank, key) = statement.key();
        (rank, key.to_vec())
    })
}

/// What became of a transaction.
enum Outcome {
    Committed,
    /// Rolled back because of this job.
    Refused(usize, CommitError),
    /// Rolled back because of a job that was one of several with the same statement.
    RefusedOne,
    /// Rolled back because of a concurrent transaction.
    Again(String),
    /// Rolled back, or never begun.
    Unavailable(String),
    /// Nobody knows.
    InDoubt(String),
}

/// Commits the jobs, without those that are refused; says whether the connection can be used again.
async fn commit(link: &Link, mut jobs: Vec<Job>, counter: &Counter) -> bool {
    let mut tries = 0;
    // A job alone has little to merge, and its answer is wanted exactly.
    let mut merged = jobs.len() > 1;
    while !jobs.is_empty() {
        let outcome = match timeout(TIMEOUT, transaction(link, &jobs, merged)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::InDoubt("no answer in time".into()),
        };
        match outcome {
            Outcome::Committed => {
                counter.transaction(jobs.len());
                for job in jobs {
                    job.answer(Ok(()));
                }
                return true;
            }
            Outcome::Refused(index, error) => jobs.remove(index).answer(Err(error)),
            Outcome::RefusedOne => merged = false,
            Outcome::Again(_) if tries < TRIES => tries += 1,
            Outcome::Again(why) | Outcome::Unavailable(why) => {
                tracing::warn!(why, "a batch of commits failed");
                answer_all(jobs, &CommitError::Unavailable(why));
                return !link.is_closed();
            }
            Outcome::InDoubt(why) => {
                tracing::warn!(why, "a batch of commits is in doubt");
                answer_all(jobs, &CommitError::InDoubt);
                return false;
            }
        }
    }
    true
}

/// All jobs in one transaction and one round trip. `merged`: statements with the same text are sent as one;
/// then nobody knows whose it was that was refused.
async fn transaction(link: &Link, jobs: &[Job], merged: bool) -> Outcome {
    // Everybody locks in one order, so nobody waits in a circle. The sort keeps the order of one key.
    let mut statements: Vec<_> = jobs
        .iter()
        .enumerate()
        .flat_map(|(index, job)| job.statements.iter().map(move |statement| (index, statement)))
        .collect();
    statements.sort_by(|(_, a), (_, b)| a.key().cmp(&b.key()));
    let requests: Vec<(Option<usize>, Request<'_>)> = if merged {
        let statements: Vec<_> = statements.iter().map(|(_, statement)| *statement).collect();
        many::merge(&statements).into_iter().map(|request| (None, request)).collect()
    } else {
        let one = |(index, statement)| (Some(index), Request::One(statement));
        statements.into_iter().map(one).collect()
    };
    let mut prepared = Vec::with_capacity(requests.len());
    for (_, request) in &requests {
        match link.prepare(request.text()).await {
            Ok(statement) => prepared.push(statement),
            Err(error) => return Outcome::Unavailable(link::describe(&error)),
        }
    }
    if link.is_closed() {
        return Outcome::Unavailable("the connection is closed".into());
    }

    // The first poll of each request sends it.
    let mut begin = Box::pin(maybe_done(link.client.batch_execute("begin")));
    let _sent = poll!(begin.as_mut());
    let mut sent = Vec::with_capacity(requests.len());
    for ((index, request), prepared) in requests.iter().zip(&prepared) {
        let values: Vec<&(dyn ToSql + Sync)> = match request {
            Request::One(statement) => link::params(&statement.params),
            Request::Many { columns, .. } => columns.iter().map(|column| column as _).collect(),
        };
        let request = async move { link.client.execute(prepared, &values).await };
        let mut request = Box::pin(maybe_done(request));
        let _sent = poll!(request.as_mut());
        sent.push((*index, request));
    }
    let mut end = Box::pin(maybe_done(link.client.batch_execute("commit")));
    let _sent = poll!(end.as_mut());

    begin.as_mut().await;
    if let Some(Err(error)) = begin.as_mut().take_output() {
        let why = link::describe(&error);
        return match Failure::of(&error) {
            Failure::Lost => Outcome::InDoubt(why),
            Failure::Again => Outcome::Again(why),
            Failure::Refused(_) | Failure::Unavailable => Outcome::Unavailable(why),
        };
    }
    for (index, mut request) in sent {
        request.as_mut().await;
        if let Some(Err(error)) = request.as_mut().take_output() {
            return rolled_back(index, &error);
        }
    }
    end.as_mut().await;
    match end.as_mut().take_output() {
        Some(Err(error)) => match Failure::of(&error) {
            Failure::Again => Outcome::Again(link::describe(&error)),
            // Also an error that the server reports: it may have committed and then failed to wait for a
            // standby.
            Failure::Refused(_) | Failure::Unavailable | Failure::Lost => {
                Outcome::InDoubt(link::describe(&error))
            }
        },
        Some(Ok(())) | None => Outcome::Committed,
    }
}

/// The outcome when the server refused a statement before `commit`, or was lost. Without an index nobody knows
/// whose statement it was.
fn rolled_back(index: Option<usize>, error: &Error) -> Outcome {
    let why = link::describe(error);
    match (Failure::of(error), index) {
        (Failure::Refused(error), Some(index)) => Outcome::Refused(index, error),
        (Failure::Again, _) => Outcome::Again(why),
        (Failure::Refused(_), None) => Outcome::RefusedOne,
        (Failure::Unavailable, _) => Outcome::Unavailable(why),
        (Failure::Lost, _) => Outcome::InDoubt(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{EVENT_INSERT, KEY_INSERT, Query, TIMER_PUT};

    fn job(statements: &[(&'static Query, u8, [&str; 3])]) -> Job {
        let statement = |(query, rank, key): &(&'static Query, u8, [&str; 3])| Statement {
            query,
            params: key.map(Value::from).to_vec(),
            rank: *rank,
        };
        let (done, _) = oneshot::channel();
        Job { statements: statements.iter().map(statement).collect(), done }
    }

    #[test]
    fn sets_that_could_meet_at_a_guard_never_share_a_transaction() {
        let (event, key, timer) = (&EVENT_INSERT, &KEY_INSERT, &TIMER_PUT);
        let mut waiting = vec![
            job(&[(event, 3, ["m", "p", "1"]), (timer, 6, ["m", "p", "a"])]),
            // The same version, and twice within the set: that is for the database to refuse.
            job(&[(event, 3, ["m", "p", "1"]), (event, 3, ["m", "p", "1"])]),
            // The same timer and another version.
            job(&[(event, 3, ["m", "p", "2"]), (timer, 6, ["m", "p", "a"])]),
            // The same key as the last, whatever the rest of the row.
            job(&[(key, 4, ["m", "k", "one"])]),
            job(&[(key, 4, ["m", "k", "two"])]),
            job(&[(key, 4, ["n", "k", "one"])]),
        ];
        let sizes: Vec<_> = std::iter::from_fn(|| {
            let batch = batch(&mut waiting);
            (!batch.is_empty()).then_some((batch.len(), waiting.len()))
        })
        .collect();
        assert_eq!(sizes, [(4, 2), (2, 0)]);
    }
}
