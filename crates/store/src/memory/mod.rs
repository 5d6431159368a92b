//! The store in memory: for the simulator, for tests, and for trying the program out.
//!
//! It keeps every promise of [`Store`] but durability, which it imitates: under [`Sync::Manual`] a commit is
//! acknowledged before it is safe, and [`MemoryStore::power_loss`] takes back what was not synced, as a disk
//! does that lies about its cache. Faults are asked for one at a time and hit the next commits in order.

pub(crate) mod tables;

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use baton_types::{AccountId, BootId, EventId, MerchantId, PaymentId, Timestamp};

use self::tables::{TABLES, Tables};
use crate::compile::compile;
use crate::hooks::HookStore;
use crate::lists::ListStore;
use crate::rows::{
    AccountRow, ApiKeyRow, AuditQuery, AuditRow, DocumentQuery, DocumentRow, EventRow, GuardRow,
    IdempotencyRow, MerchantRow, OutboxRow, PaymentQuery, PaymentRow, ReferenceKind, ReferenceRow,
    TimerRow, WriteSet,
};
use crate::store::{CommitError, MAX_REFERENCES, Store, StoreError, StoreInfo};

/// When a commit survives [`MemoryStore::power_loss`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// As soon as it is acknowledged.
    #[default]
    EveryCommit,
    /// After the next [`MemoryStore::sync`].
    Manual,
}

/// What happens to a commit instead of its acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `Unavailable`; nothing is written.
    Unavailable,
    /// `InDoubt`; the set is written unless a guard stops it.
    InDoubtCommitted,
    /// `InDoubt`; nothing is written.
    InDoubtLost,
}

/// A [`Store`] in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    sync: Sync,
    state: Mutex<State>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(sync: Sync) -> Self {
        Self { sync, state: Mutex::default() }
    }

    /// Lets the next commit that has no fault yet fail.
    pub fn fail_next(&self, fault: Fault) {
        self.lock().faults.push_back(fault);
    }

    /// Makes everything written so far survive a power loss.
    pub fn sync(&self) {
        self.lock().tables.settle();
    }

    /// Returns to the last synced state. Faults that were asked for are forgotten.
    pub fn power_loss(&self) {
        let mut state = self.lock();
        state.tables.undo_to([0; TABLES]);
        state.faults.clear();
    }

    /// When the next timer is due: a simulator need not ask before.
    #[must_use]
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.lock().tables.timers.rows.values().map(|row| row.due_at).min()
    }

    /// When the next message is due.
    #[must_use]
    pub fn next_message(&self) -> Option<Timestamp> {
        self.lock().tables.outbox.rows.values().map(|row| row.due_at).min()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in another test thread cannot leave the tables half written: no step in between panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the tables and settles them if every change is synced at once.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Tables) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state.tables);
        if self.sync == Sync::EveryCommit {
            state.tables.settle();
        }
        result
    }
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) tables: Tables,
    faults: VecDeque<Fault>,
}

/// The first `limit` rows in the order of a key.
pub(crate) fn first_by<T, K: Ord>(mut rows: Vec<T>, limit: u32, key: impl Fn(&T) -> K) -> Vec<T> {
    rows.sort_by_key(key);
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    rows
}

pub(crate) fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

#[async_trait]
impl Store for MemoryStore {
    async fn commit(&self, set: WriteSet) -> Result<(), CommitError> {
        // The databases' own checks, so that the simulator meets them.
        compile(set.clone())?;
        let fault = self.lock().faults.pop_front();
        match fault {
            None => self.change(|tables| tables.commit(set)),
            Some(Fault::Unavailable) => Err(CommitError::Unavailable("simulated".into())),
            Some(Fault::InDoubtLost) => Err(CommitError::InDoubt),
            Some(Fault::InDoubtCommitted) => {
                // Whoever lost the acknowledgement has lost the guard's answer too.
                let _unheard = self.change(|tables| tables.commit(set));
                Err(CommitError::InDoubt)
            }
        }
    }

    async fn payment(
        &self,
        merchant: MerchantId,
        id: PaymentId,
    ) -> Result<Option<PaymentRow>, StoreError> {
        Ok(self.lock().tables.payments.get(&(merchant, id)))
    }

    async fn payments(&self, query: &PaymentQuery) -> Result<Vec<PaymentRow>, StoreError> {
        let rows = self.lock().tables.payments.filter(|row| query.takes(row));
        Ok(first_by(rows, query.limit, |row| std::cmp::Reverse((row.created_at, row.id))))
    }

    async fn document(
        &self,
        merchant: MerchantId,
        kind: &str,
        id: &str,
    ) -> Result<Option<DocumentRow>, StoreError> {
        let key = (merchant, kind.to_owned(), id.to_owned());
        Ok(self.lock().tables.documents.get(&key))
    }

    async fn documents(&self, query: &DocumentQuery) -> Result<Vec<DocumentRow>, StoreError> {
        let rows = self.lock().tables.documents.filter(|row| query.takes(row));
        let order = |row: &DocumentRow| std::cmp::Reverse((row.created_at, row.id.clone()));
        Ok(first_by(rows, query.limit, order))
    }

    async fn events(
        &self,
        merchant: MerchantId,
        payment: PaymentId,
    ) -> Result<Vec<EventRow>, StoreError> {
        let versions = (merchant, payment, 0)..=(merchant, payment, u64::MAX);
        Ok(self.lock().tables.events.range(versions))
    }

    async fn event(
        &self,
        merchant: MerchantId,
        payment: PaymentId,
        version: u64,
    ) -> Result<Option<EventRow>, StoreError> {
        Ok(self.lock().tables.events.get(&(merchant, payment, version)))
    }

    async fn find_reference(
        &self,
        merchant: MerchantId,
        kind: ReferenceKind,
        account: Option<AccountId>,
        value: &str,
    ) -> Result<Vec<ReferenceRow>, StoreError> {
        let first = PaymentId::from_bytes([0; 16]);
        let from = (merchant, kind, value.to_owned(), None, first, String::new());
        let state = self.lock();
        let same =
            state.tables.references.rows.range(from..).map(|(_, row)| row).take_while(|row| {
                (row.merchant, row.kind, row.value.as_str()) == (merchant, kind, value)
            });
        let here = same.filter(|row| account.is_none_or(|account| row.account == Some(account)));
        let mut rows: Vec<_> = here.cloned().collect();
        rows.sort_by(|a, b| {
            (b.created_at, b.payment, &b.call).cmp(&(a.created_at, a.payment, &a.call))
        });
        rows.truncate(MAX_REFERENCES);
        Ok(rows)
    }

    async fn idempotency(
        &self,
        merchant: MerchantId,
        key: &str,
    ) -> Result<Option<IdempotencyRow>, StoreError> {
        Ok(self.lock().tables.idempotency.get(&(merchant, key.to_owned())))
    }

    async fn guard(&self, merchant: MerchantId, key: &str) -> Result<Option<GuardRow>, StoreError> {
        Ok(self.lock().tables.guards.get(&(merchant, key.to_owned())))
    }

    async fn doubts(
        &self,
        after: Option<(PaymentId, String)>,
        limit: u32,
    ) -> Result<Vec<TimerRow>, StoreError> {
        let key = |row: &TimerRow| (row.payment, row.call.clone());
        let behind = |row: &TimerRow| after.as_ref().is_none_or(|after| key(row) > *after);
        let timers = &self.lock().tables.timers;
        let rows = timers.filter(|row| row.kind == "resolve" && behind(row));
        Ok(first_by(rows, limit, key))
    }

    async fn sweep_idempotency(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.change(|tables| {
            let expired = tables.idempotency.filter(|row| row.expires_at <= now);
            let expired = first_by(expired, limit, |row| row.expires_at);
            for row in &expired {
                tables.idempotency.remove(&(row.merchant, row.key.clone()));
            }
            Ok(count(expired.len()))
        })
    }

    async fn lease_timers(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        node: &str,
        boot: BootId,
        limit: u32,
    ) -> Result<Vec<TimerRow>, StoreError> {
        self.change(|tables| {
            let due = tables.timers.filter(|row| row.due_at <= now);
            let key = |row: &TimerRow| (row.merchant, row.payment, row.call.clone());
            let mut leased = first_by(due, limit, |row| (row.due_at, key(row)));
            for row in &mut leased {
                row.due_at = lease_until;
                row.node = node.to_owned();
                row.boot = boot;
                tables.timers.put(key(row), row.clone());
            }
            leased.sort_by_key(key);
            Ok(leased)
        })
    }

    async fn timers_of_other_boots(
        &self,
        node: &str,
        boot: BootId,
        limit: u32,
    ) -> Result<Vec<TimerRow>, StoreError> {
        let rows = self
            .lock()
            .tables
            .timers
            .filter(|row| row.node == node && row.boot != boot && row.kind != "alarm");
        Ok(first_by(rows, limit, |row| (row.due_at, row.merchant, row.payment, row.call.clone())))
    }

    async fn lease_outbox(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        self.change(|tables| {
            let due = tables.outbox.filter(|row| row.due_at <= now);
            let mut leased = first_by(due, limit, |row| (row.due_at, row.id));
            for row in &mut leased {
                row.due_at = lease_until;
                row.attempts = row.attempts.saturating_add(1);
                tables.outbox.put(row.id, row.clone());
            }
            leased.sort_by_key(|row| (row.merchant, row.payment, row.version, row.id));
            Ok(leased)
        })
    }

    async fn ack_outbox(&self, ids: &[EventId]) -> Result<(), StoreError> {
        self.change(|tables| {
            for id in ids {
                tables.outbox.remove(id);
            }
            Ok(())
        })
    }

    async fn merchant_by_name(&self, name: &str) -> Result<Option<MerchantRow>, StoreError> {
        Ok(self.lock().tables.merchants.filter(|row| row.name == name).pop())
    }

    async fn merchants(&self) -> Result<Vec<MerchantRow>, StoreError> {
        Ok(self.lock().tables.merchants.range(..))
    }

    async fn account(
        &self,
        merchant: MerchantId,
        id: AccountId,
    ) -> Result<Option<AccountRow>, StoreError> {
        Ok(self.lock().tables.accounts.get(&(merchant, id)))
    }

    async fn accounts(&self, merchant: MerchantId) -> Result<Vec<AccountRow>, StoreError> {
        let mut rows = self.lock().tables.accounts.filter(|row| row.merchant == merchant);
        rows.sort_by_key(|row| row.number);
        Ok(rows)
    }

    async fn api_key_by_hash(&self, hash: &[u8]) -> Result<Option<ApiKeyRow>, StoreError> {
        Ok(self.lock().tables.api_keys.filter(|row| row.hash == hash).pop())
    }

    async fn api_keys(&self, merchant: MerchantId) -> Result<Vec<ApiKeyRow>, StoreError> {
        Ok(self.lock().tables.api_keys.filter(|row| row.merchant == merchant))
    }

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditRow>, StoreError> {
        fn is(wanted: Option<&String>, value: Option<&String>) -> bool {
            wanted.is_none() || wanted == value
        }
        let wanted = |row: &AuditRow| {
            is(query.merchant.as_ref(), row.merchant.as_ref())
                && is(query.actor.as_ref(), Some(&row.actor))
                && is(query.action.as_ref(), Some(&row.action))
                && is(query.subject.as_ref(), Some(&row.subject))
                && query.from.is_none_or(|from| row.at >= from)
                && query.to.is_none_or(|to| row.at < to)
        };
        let beyond = |row: &AuditRow| match query.beyond {
            None => true,
            Some(seq) if query.newest_first => row.seq < seq,
            Some(seq) => row.seq > seq,
        };
        let mut rows = self.lock().tables.audit.filter(|row| beyond(row) && wanted(row));
        if query.newest_first {
            rows.reverse();
        }
        rows.truncate(usize::try_from(query.limit).unwrap_or(usize::MAX));
        Ok(rows)
    }

    fn webhooks(&self) -> &dyn HookStore {
        self
    }

    fn lists(&self) -> &dyn ListStore {
        self
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn describe(&self) -> Result<StoreInfo, StoreError> {
        let state = self.lock();
        Ok(StoreInfo {
            backend: "memory",
            version: env!("CARGO_PKG_VERSION").to_owned(),
            schema_version: 0,
            payments: count(state.tables.payments.rows.len()),
            timers: count(state.tables.timers.rows.len()),
            outbox: count(state.tables.outbox.rows.len()),
            settings: vec![("durable".to_owned(), "no".to_owned())],
        })
    }
}
