//! One request's way: idempotency, the script's faults, the commit, the answer.
//!
//! A dialect turns a request into a [`Job`]; everything here is the same for all dialects. A request that
//! was accepted runs to its end also if the client leaves (except for a fault that says otherwise). Its
//! commit and the answer stored under its idempotency key are one line of the journal.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock::now_ms;
use crate::core::{Books, KeyState, StoredKey};
use crate::dialect::Dialect;
use crate::http::{Fate, Reply};
use crate::journal::Seq;
use crate::provider::{Account, Provider};
use crate::script::{Action, Answer, CommitWhen, Traits};

/// Changes the books, or only reads them, and words the answer.
pub(crate) type Commit = Box<dyn FnOnce(&mut Books, &Action) -> Reply + Send>;

/// A request as its dialect understood it.
pub(crate) struct Job {
    pub(crate) dialect: Dialect,
    pub(crate) account: Arc<Account>,
    pub(crate) traits: Traits,
    pub(crate) key: Option<RequestKey>,
    pub(crate) commit: Commit,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("dialect", &self.dialect).finish_non_exhaustive()
    }
}

/// An idempotency key and what it was sent with.
#[derive(Clone, Debug)]
pub(crate) struct RequestKey {
    pub(crate) key: String,
    pub(crate) fingerprint: String,
}

/// A claimed key. Dropped without having been stored, the key is free again.
struct Claim {
    account: Arc<Account>,
    key: RequestKey,
    stored: bool,
}

impl Claim {
    fn store(&mut self, books: &mut Books, reply: &Reply) {
        let stored = StoredKey {
            fingerprint: self.key.fingerprint.clone(),
            status: reply.status,
            body: reply.body.clone(),
        };
        books.finish_key(self.key.key.clone(), stored);
        self.stored = true;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // In a panic the books may be locked by this very thread; the key then stays taken, which is
        // the truth: nobody knows how that request ended.
        if !self.stored && !std::thread::panicking() {
            self.account.books().release_key(&self.key.key);
        }
    }
}

pub(crate) async fn run(provider: &Arc<Provider>, job: Job) -> Fate {
    let claim = match claim(provider, &job) {
        Ok(claim) => claim,
        Err(reply) => {
            return Fate::Answer(told(provider, job.dialect, job.account.last(), reply).await);
        }
    };
    let action = provider.script.plan(&job.traits, now_ms());
    let latency_ms = action.latency_ms + provider.latency_ms.load(Ordering::Relaxed);
    if latency_ms == 0 {
        return execute(provider, job, claim, action).await;
    }
    // A task of its own: the provider goes on when the client has left.
    let provider = provider.clone();
    let task = provider.clone().spawn(async move {
        tokio::time::sleep(Duration::from_millis(latency_ms)).await;
        execute(&provider, job, claim, action).await
    });
    task.await.unwrap_or(Fate::Close)
}

/// Claims the job's key, or says what a repeated key is answered with.
fn claim(provider: &Provider, job: &Job) -> Result<Option<Claim>, Reply> {
    let Some(key) = job.key.clone().filter(|_| provider.dedup.load(Ordering::Relaxed)) else {
        return Ok(None);
    };
    let mut books = job.account.books();
    match books.key(&key.key) {
        None => {
            books.claim_key(key.key.clone(), key.fingerprint.clone());
            drop(books);
            Ok(Some(Claim { account: job.account.clone(), key, stored: false }))
        }
        Some(KeyState::Running { fingerprint }) if *fingerprint == key.fingerprint => {
            Err(job.dialect.key_in_progress(&key.key))
        }
        Some(KeyState::Done(stored)) if stored.fingerprint == key.fingerprint => {
            let reply = Reply::raw(stored.status, "application/json", stored.body.clone());
            Err(job.dialect.replayed(reply, &key.key))
        }
        Some(KeyState::Running { .. } | KeyState::Done(_)) => {
            Err(job.dialect.key_mismatch(&key.key))
        }
    }
}

async fn execute(
    provider: &Arc<Provider>,
    job: Job,
    mut claim: Option<Claim>,
    action: Action,
) -> Fate {
    if let Some(refuse) = &action.refuse {
        return Fate::Answer(job.dialect.error(refuse.status, &refuse.code, "Scripted refusal."));
    }
    let Some(fault) = action.fault.clone() else {
        return Fate::Answer(commit(provider, job, claim, &action, None).await);
    };
    let dialect = job.dialect;
    let faulty = match fault.answer {
        Answer::Status { status, retry_after_s } => Some(dialect.fault(status, retry_after_s)),
        Answer::Close | Answer::Garbage | Answer::Truncated | Answer::Hang => None,
    };
    let to_store = faulty.clone().filter(|reply| dialect.stores_fault(reply.status));
    let reply = match fault.commit {
        CommitWhen::Never => {
            if let (Some(reply), Some(claim)) = (&to_store, &mut claim) {
                provider.change(&job.account, |books| claim.store(books, reply));
            }
            None
        }
        CommitWhen::First => Some(commit(provider, job, claim, &action, to_store).await),
        CommitWhen::Late { after_ms } => {
            let later = provider.clone();
            provider.spawn_after(after_ms, async move {
                commit(&later, job, claim, &action, to_store).await;
            });
            None
        }
    };
    let whole = || reply.unwrap_or_else(|| dialect.fault(500, None));
    match fault.answer {
        Answer::Status { .. } => faulty.map_or(Fate::Close, Fate::Answer),
        Answer::Close => Fate::Close,
        Answer::Garbage => Fate::Answer(Reply::raw(200, "application/json", "<html>}{\"ok\":")),
        Answer::Truncated => Fate::Truncate(whole()),
        Answer::Hang => Fate::Hang,
    }
}

/// Acts on the books and waits until that is durable. `store` is kept under the key instead of the
/// true answer.
async fn commit(
    provider: &Arc<Provider>,
    job: Job,
    claim: Option<Claim>,
    action: &Action,
    store: Option<Reply>,
) -> Reply {
    let dialect = job.dialect;
    let (reply, seq) = provider.change(&job.account, |books| {
        let reply = (job.commit)(books, action);
        if let Some(mut claim) = claim {
            claim.store(books, store.as_ref().unwrap_or(&reply));
        }
        reply
    });
    told(provider, dialect, seq, reply).await
}

/// Holds an answer back until everything it may tell of is durable.
async fn told(provider: &Provider, dialect: Dialect, seq: Seq, reply: Reply) -> Reply {
    match provider.journal.durable(seq).await {
        Ok(()) => reply,
        Err(_) => dialect.fault(500, None),
    }
}
