//! The task that appends: it takes the entries that wait, gives them their places, and commits them.
//!
//! It keeps the chain's end, so that an append costs one commit and no read. Other nodes and commands
//! append too: then the store's guard refuses the place, the end is read again, and the entries get the
//! next places. Each refusal means that another has got on, so this ends.

use std::sync::Arc;
use std::time::Duration;

use baton_store::{AuditRow, CommitError, Guard, Store, StoreError, Write, WriteSet};
use tokio::sync::{mpsc, oneshot};

use super::chain::{self, Draft, Head};

/// How many entries share a commit at most.
const BATCH: usize = 256;
/// How long to wait before a commit is tried again whose acknowledgement was lost.
const PAUSE: Duration = Duration::from_millis(50);
/// How often that is tried: for three seconds. Everybody else who appends waits meanwhile.
const TRIES: u32 = 60;

/// An entry to append, with what is to be committed together with it.
pub(super) struct Job {
    pub(super) draft: Draft,
    pub(super) writes: Vec<Write>,
    pub(super) done: oneshot::Sender<Result<(), CommitError>>,
}

/// Appends until nobody can ask for it any more.
pub(super) async fn run(store: Arc<dyn Store>, mut jobs: mpsc::Receiver<Job>) {
    let mut chain = Chain { store, head: None };
    let mut waiting = Vec::with_capacity(BATCH);
    while jobs.recv_many(&mut waiting, BATCH).await > 0 {
        // A change that a guard of its own refuses must not take the entries of others with it.
        let (alone, together): (Vec<Job>, Vec<Job>) =
            waiting.drain(..).partition(|job| !job.writes.is_empty());
        if !together.is_empty() {
            chain.append(together).await;
        }
        for job in alone {
            chain.append(vec![job]).await;
        }
    }
}

/// What is known of the chain's end.
enum End {
    Empty,
    At(Head),
}

struct Chain {
    store: Arc<dyn Store>,
    /// None if it has to be read.
    head: Option<End>,
}

impl Chain {
    /// Appends the jobs' entries in one commit and answers them.
    async fn append(&mut self, jobs: Vec<Job>) {
        let (mut drafts, mut writes, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        for job in jobs {
            drafts.push(job.draft);
            writes.extend(job.writes);
            answers.push(job.done);
        }
        let result = self.commit(&drafts, &writes).await;
        match &result {
            Ok(rows) => rows.iter().for_each(log),
            Err(error) => {
                tracing::error!(%error, entries = drafts.len(), "the audit log was not written");
            }
        }
        let result = result.map(drop);
        for answer in answers {
            // Whoever asked may have given up.
            let _unheard = answer.send(result.clone());
        }
    }

    async fn commit(
        &mut self,
        drafts: &[Draft],
        writes: &[Write],
    ) -> Result<Vec<AuditRow>, CommitError> {
        loop {
            let end = match self.head.take() {
                Some(end) => end,
                None => self.read_end().await?,
            };
            let mut last = match end {
                End::Empty => None,
                End::At(head) => Some(head),
            };
            let mut rows = Vec::with_capacity(drafts.len());
            for draft in drafts {
                let row = chain::link(draft, last.as_ref());
                last = Some(Head::of(&row));
                rows.push(row);
            }
            match self.settle(&rows, writes).await {
                Ok(()) => {
                    self.head = last.map(End::At);
                    return Ok(rows);
                }
                // The end is read again.
                Err(CommitError::Conflict(Guard::AuditSeq)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn read_end(&self) -> Result<End, CommitError> {
        match chain::head(self.store.as_ref()).await {
            Ok(Some(head)) => Ok(End::At(head)),
            Ok(None) => Ok(End::Empty),
            Err(StoreError::Unavailable(why)) => Err(CommitError::Unavailable(why)),
            Err(StoreError::Corrupt(why)) => Err(CommitError::Invalid(why)),
        }
    }

    /// Commits once, and finds out what came of it if the acknowledgement is lost: the same set is sent
    /// again, and if it is refused, the entry that stands in the way tells whether it is ours.
    async fn settle(&self, rows: &[AuditRow], writes: &[Write]) -> Result<(), CommitError> {
        let mut set: Vec<Write> = rows.iter().cloned().map(Write::Audit).collect();
        set.extend_from_slice(writes);
        let set = WriteSet::from(set);
        let mut was_in_doubt = false;
        for _ in 0..TRIES {
            match self.store.commit(set.clone()).await {
                Err(CommitError::InDoubt) => {
                    was_in_doubt = true;
                    tracing::warn!("the acknowledgement of an audit entry was lost");
                }
                Err(error @ CommitError::Conflict(_)) if was_in_doubt => {
                    match self.stands(rows).await {
                        Ok(true) => return Ok(()),
                        Ok(false) => return Err(error),
                        Err(StoreError::Unavailable(_)) => {}
                        Err(StoreError::Corrupt(why)) => {
                            tracing::error!(%why, "an audit entry cannot be read back");
                            return Err(CommitError::InDoubt);
                        }
                    }
                }
                // While in doubt, "unavailable" says only that this try was not committed.
                Err(CommitError::Unavailable(_)) if was_in_doubt => {}
                result @ (Ok(()) | Err(_)) => return result,
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(CommitError::InDoubt)
    }

    /// Whether the first entry, and so the whole set, has been committed.
    async fn stands(&self, rows: &[AuditRow]) -> Result<bool, StoreError> {
        let Some(ours) = rows.first() else { return Ok(true) };
        let there = chain::entry(self.store.as_ref(), ours.seq).await?;
        Ok(there.is_some_and(|row| row.hash == ours.hash))
    }
}

/// Every entry is logged, so that the chain's end stands outside of the database too.
fn log(row: &AuditRow) {
    tracing::info!(
        target: "baton::audit",
        head = %Head::of(row),
        merchant = row.merchant,
        actor = row.actor,
        action = row.action,
        subject = row.subject,
        detail = row.detail,
        audited_request = row.request_id,
        "audited"
    );
}
