//! The provider's state: accounts with their books, the journal, the script and the settings.
//!
//! Every change of any books goes through [`Provider::change`]: it journals the change in the order in
//! which it happened and then lets its consequences (timers, webhooks) run.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Id, Ids, now_ms};
use crate::core::{Books, Payment};
use crate::dialect::Urls;
use crate::journal::{Entry, Journal, RESET, Seq, line_of};
use crate::script::Script;
use crate::vaults::Vaults;
use crate::webhooks::Webhooks;

#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) name: String,
    books: Mutex<Books>,
    /// The account's last line in the journal.
    last: AtomicU64,
    /// Forgotten by a reset: a request that still holds it must leave no line behind.
    retired: AtomicBool,
}

impl Account {
    /// The lock is held for short, never across an await.
    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn last(&self) -> Seq {
        self.last.load(Ordering::Acquire)
    }
}

#[derive(Debug)]
pub(crate) struct Provider {
    ids: Arc<Ids>,
    accounts: RwLock<HashMap<String, Arc<Account>>>,
    pub(crate) journal: Journal,
    pub(crate) script: Script,
    pub(crate) dedup: AtomicBool,
    pub(crate) latency_ms: AtomicU64,
    pub(crate) webhooks: Webhooks,
    pub(crate) vaults: Vaults,
    tasks: TaskTracker,
    pub(crate) stopping: CancellationToken,
    addr: SocketAddr,
}

impl Provider {
    pub(crate) fn new(dedup: bool, addr: SocketAddr) -> Provider {
        let ids = Arc::new(Ids::new());
        Provider {
            vaults: Vaults::new(Arc::clone(&ids)),
            ids,
            accounts: RwLock::default(),
            journal: Journal::memory(),
            script: Script::new(),
            dedup: AtomicBool::new(dedup),
            latency_ms: AtomicU64::new(0),
            webhooks: Webhooks::default(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            addr,
        }
    }

    /// Links for answers that no request asked for.
    pub(crate) fn urls(&self, account: &str) -> Urls {
        Urls { base: format!("http://{}", self.addr), account: account.to_owned() }
    }

    /// Takes over one line of an earlier run.
    pub(crate) fn replay(&self, entry: Entry) {
        match entry {
            Entry::Change { account, change } => self.account(&account).books().replay(*change),
            Entry::Reset => self.accounts.write().unwrap_or_else(PoisonError::into_inner).clear(),
        }
    }

    /// Starts the timers of payments that an earlier run left pending.
    pub(crate) fn resume(self: &Arc<Self>) {
        for account in self.accounts() {
            let pending: Vec<Arc<Payment>> = account
                .books()
                .payments()
                .iter()
                .filter(|payment| payment.settles())
                .cloned()
                .collect();
            self.settle_later(&account, &pending);
        }
    }

    /// The account with this name, made on first use.
    pub(crate) fn account(&self, name: &str) -> Arc<Account> {
        if let Some(account) = self.known_account(name) {
            return account;
        }
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            Arc::new(Account {
                name: name.to_owned(),
                books: Mutex::new(Books::new(self.ids.clone())),
                last: AtomicU64::new(0),
                retired: AtomicBool::new(false),
            })
        };
        accounts.entry(name.to_owned()).or_insert_with(make).clone()
    }

    pub(crate) fn known_account(&self, name: &str) -> Option<Arc<Account>> {
        self.accounts.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Sorted by name.
    pub(crate) fn accounts(&self) -> Vec<Arc<Account>> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        let mut accounts: Vec<_> = accounts.values().cloned().collect();
        accounts.sort_by(|a, b| a.name.cmp(&b.name));
        accounts
    }

    /// Runs `act` on the books and journals what it changed. The result may be told to others once the
    /// returned line is durable.
    pub(crate) fn change<R>(
        self: &Arc<Self>,
        account: &Arc<Account>,
        act: impl FnOnce(&mut Books) -> R,
    ) -> (R, Seq) {
        let mut books = account.books();
        books.begin(now_ms());
        let result = act(&mut books);
        let change = books.take_change();
        if self.journal.keeps()
            && !account.retired.load(Ordering::Acquire)
            && let Some(line) = line_of(&account.name, &change)
        {
            account.last.store(self.journal.append(&line), Ordering::Release);
        }
        let endpoint = books.endpoint.clone();
        drop(books);
        let seq = account.last();
        self.settle_later(account, &change.payments);
        if let Some(endpoint) = endpoint {
            self.webhooks.send(self, account, endpoint, &change, seq);
        }
        (result, seq)
    }

    /// Forgets all accounts. Requests that run at this moment end in the old, forgotten books.
    pub(crate) fn reset(&self) -> Seq {
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        // Holding every book, so that no line of the old books can follow the reset line.
        let old = std::mem::take(&mut *accounts);
        let held: Vec<_> = old.values().map(|account| account.books()).collect();
        old.values().for_each(|account| account.retired.store(true, Ordering::Release));
        let seq = self.journal.append(RESET);
        drop(held);
        seq
    }

    /// Runs a task that shutdown waits for.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.tasks.spawn(task)
    }

    /// Runs a task after a delay, unless the sandbox stops before.
    pub(crate) fn spawn_after(
        self: &Arc<Self>,
        delay_ms: u64,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let stopping = self.stopping.clone();
        self.spawn(async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = tokio::time::sleep(Duration::from_millis(delay_ms)) => task.await,
            }
        });
    }

    /// Stops accepting, lets open requests end for a moment, and closes the journal.
    pub(crate) async fn stop(&self, grace: Duration) {
        self.stopping.cancel();
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            tracing::warn!(open = self.tasks.len(), "stopping with open requests");
        }
        self.journal.close();
    }

    fn settle_later(self: &Arc<Self>, account: &Arc<Account>, payments: &[Arc<Payment>]) {
        for payment in payments.iter().filter(|payment| payment.settles()) {
            let Some(due_ms) = payment.attempt().and_then(|attempt| attempt.settles_ms) else {
                continue;
            };
            let delay_ms = u64::try_from(due_ms.saturating_sub(now_ms())).unwrap_or(0);
            let (provider, account, id) = (self.clone(), account.clone(), payment.id);
            self.spawn_after(delay_ms, async move { provider.settle(&account, id) });
        }
    }

    fn settle(self: &Arc<Self>, account: &Arc<Account>, id: Id) {
        self.change(account, |books| {
            let attempt = books.payment(id).and_then(|payment| payment.attempt()).cloned();
            // The shopper may have been faster.
            if let Some(attempt) = attempt.filter(|attempt| attempt.settles_ms.is_some()) {
                books.conclude(id, attempt.settles_with);
            }
        });
    }
}
