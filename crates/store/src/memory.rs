//! The store in memory: for the simulator, for tests, and for trying the program out.
//!
//! It keeps every promise of [`Store`] but durability, which it imitates: under [`Sync::Manual`] a commit is
//! acknowledged before it is safe, and [`MemoryStore::power_loss`] takes back what was not synced, as a disk
//! does that lies about its cache. Faults are asked for one at a time and hit the next commits in order.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeBounds;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use baton_types::{AccountId, ApiKeyId, BootId, EventId, MerchantId, PaymentId, Timestamp};

use crate::compile::compile;
use crate::rows::{
    AccountRow, ApiKeyRow, EventRow, IdempotencyRow, MerchantRow, OutboxRow, PaymentRow,
    ReferenceKind, ReferenceRow, TimerRow, Write, WriteSet,
};
use crate::store::{CommitError, Guard, MAX_REFERENCES, Store, StoreError, StoreInfo};

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

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in another test thread cannot leave the tables half written: no step in between panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the tables and settles them if every change is synced at once.
    fn change<T>(&self, change: impl FnOnce(&mut Tables) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state.tables);
        if self.sync == Sync::EveryCommit {
            state.tables.settle();
        }
        result
    }
}

#[derive(Debug, Default)]
struct State {
    tables: Tables,
    faults: VecDeque<Fault>,
}

/// A map that remembers how to take back what was done since it was last settled.
#[derive(Debug)]
struct Table<K, V> {
    rows: BTreeMap<K, V>,
    undo: Vec<(K, Option<V>)>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), undo: Vec::new() }
    }
}

impl<K: Ord + Clone, V: Clone> Table<K, V> {
    fn put(&mut self, key: K, row: V) {
        let before = self.rows.insert(key.clone(), row);
        self.undo.push((key, before));
    }

    fn remove(&mut self, key: &K) {
        if let Some(row) = self.rows.remove(key) {
            self.undo.push((key.clone(), Some(row)));
        }
    }

    /// Inserts a row that must be new.
    fn insert(&mut self, key: K, row: V, taken: CommitError) -> Result<(), CommitError> {
        if self.rows.contains_key(&key) {
            return Err(taken);
        }
        self.put(key, row);
        Ok(())
    }

    fn get(&self, key: &K) -> Option<V> {
        self.rows.get(key).cloned()
    }

    fn range(&self, range: impl RangeBounds<K>) -> Vec<V> {
        self.rows.range(range).map(|(_, row)| row.clone()).collect()
    }

    fn filter(&self, keep: impl Fn(&V) -> bool) -> Vec<V> {
        self.rows.values().filter(|row| keep(row)).cloned().collect()
    }
}

/// What [`Tables`] does to all its tables alike.
trait Undo {
    fn mark(&self) -> usize;
    fn undo_to(&mut self, mark: usize);
    fn settle(&mut self);
}

impl<K: Ord, V> Undo for Table<K, V> {
    fn mark(&self) -> usize {
        self.undo.len()
    }

    fn undo_to(&mut self, mark: usize) {
        for (key, before) in self.undo.drain(mark..).rev() {
            match before {
                Some(row) => self.rows.insert(key, row),
                None => self.rows.remove(&key),
            };
        }
    }

    fn settle(&mut self) {
        self.undo.clear();
    }
}

type ReferenceKey = (MerchantId, ReferenceKind, String, Option<AccountId>, PaymentId, String);

#[derive(Debug, Default)]
struct Tables {
    merchants: Table<MerchantId, MerchantRow>,
    accounts: Table<(MerchantId, AccountId), AccountRow>,
    api_keys: Table<ApiKeyId, ApiKeyRow>,
    events: Table<(MerchantId, PaymentId, u64), EventRow>,
    idempotency: Table<(MerchantId, String), IdempotencyRow>,
    payments: Table<(MerchantId, PaymentId), PaymentRow>,
    timers: Table<(MerchantId, PaymentId, String), TimerRow>,
    outbox: Table<EventId, OutboxRow>,
    references: Table<ReferenceKey, ReferenceRow>,
}

const TABLES: usize = 9;

impl Tables {
    fn all(&mut self) -> [&mut dyn Undo; TABLES] {
        [
            &mut self.merchants,
            &mut self.accounts,
            &mut self.api_keys,
            &mut self.events,
            &mut self.idempotency,
            &mut self.payments,
            &mut self.timers,
            &mut self.outbox,
            &mut self.references,
        ]
    }

    fn undo_to(&mut self, marks: [usize; TABLES]) {
        for (table, mark) in self.all().into_iter().zip(marks) {
            table.undo_to(mark);
        }
    }

    fn settle(&mut self) {
        for table in self.all() {
            table.settle();
        }
    }

    fn commit(&mut self, set: WriteSet) -> Result<(), CommitError> {
        let mut writes = set.writes;
        writes.sort_by_key(Write::rank);
        let marks = self.all().map(|table| table.mark());
        let result = writes.into_iter().try_for_each(|write| self.apply(write));
        if result.is_err() {
            self.undo_to(marks);
        }
        result
    }

    fn apply(&mut self, write: Write) -> Result<(), CommitError> {
        match write {
            Write::Payment(row) => self.payments.put((row.merchant, row.id), row),
            Write::Event(row) => {
                let key = (row.merchant, row.payment, row.version);
                return self.events.insert(key, row, CommitError::Conflict(Guard::Version));
            }
            Write::Outbox(row) => {
                let taken = CommitError::Invalid("outbox_id".into());
                return self.outbox.insert(row.id, row, taken);
            }
            Write::SetTimer(row) => {
                self.timers.put((row.merchant, row.payment, row.call.clone()), row);
            }
            Write::ClearTimer { merchant, payment, call } => {
                self.timers.remove(&(merchant, payment, call));
            }
            Write::ClaimKey(row) => {
                let key = (row.merchant, row.key.clone());
                let taken = CommitError::Conflict(Guard::IdempotencyKey);
                return self.idempotency.insert(key, row, taken);
            }
            Write::ReleaseKey { merchant, key } => self.idempotency.remove(&(merchant, key)),
            Write::Reference(row) => self.add_reference(row),
            Write::Merchant(row) => return self.add_merchant(row),
            Write::Account(row) => return self.put_account(row),
            Write::RemoveAccount { merchant, id, at } => {
                let row = self.accounts.get(&(merchant, id)).filter(|row| row.removed_at.is_none());
                if let Some(row) = row {
                    let row = AccountRow { removed_at: Some(at), updated_at: at, ..row };
                    self.accounts.put((merchant, id), row);
                }
            }
            Write::ApiKey(row) => return self.add_api_key(row),
            Write::RevokeApiKey { id, at } => {
                let row = self.api_keys.get(&id).filter(|row| row.revoked_at.is_none());
                if let Some(row) = row {
                    self.api_keys.put(id, ApiKeyRow { revoked_at: Some(at), ..row });
                }
            }
        }
        Ok(())
    }

    fn add_reference(&mut self, row: ReferenceRow) {
        let (value, call) = (row.value.clone(), row.call.clone());
        let key = (row.merchant, row.kind, value, row.account, row.payment, call);
        if !self.references.rows.contains_key(&key) {
            self.references.put(key, row);
        }
    }

    fn add_merchant(&mut self, row: MerchantRow) -> Result<(), CommitError> {
        let taken = CommitError::Conflict(Guard::Merchant);
        if self.merchants.rows.values().any(|other| other.name == row.name) {
            return Err(taken);
        }
        self.merchants.insert(row.id, row, taken)
    }

    fn put_account(&mut self, row: AccountRow) -> Result<(), CommitError> {
        let before = self.accounts.get(&(row.merchant, row.id));
        let row = match before {
            Some(AccountRow { number, created_at, .. }) => AccountRow { number, created_at, ..row },
            None => row,
        };
        let others =
            || self.accounts.rows.values().filter(|o| o.merchant == row.merchant && o.id != row.id);
        if others().any(|other| other.number == row.number) {
            return Err(CommitError::Conflict(Guard::AccountNumber));
        }
        let live = |row: &AccountRow| row.removed_at.is_none();
        if live(&row) && others().any(|other| live(other) && other.name == row.name) {
            return Err(CommitError::Conflict(Guard::AccountName));
        }
        self.accounts.put((row.merchant, row.id), row);
        Ok(())
    }

    fn add_api_key(&mut self, row: ApiKeyRow) -> Result<(), CommitError> {
        let taken = CommitError::Conflict(Guard::ApiKey);
        if self.api_keys.rows.values().any(|other| other.hash == row.hash) {
            return Err(taken);
        }
        self.api_keys.insert(row.id, row, taken)
    }
}

/// The first `limit` rows in the order of a key.
fn first_by<T, K: Ord>(mut rows: Vec<T>, limit: u32, key: impl Fn(&T) -> K) -> Vec<T> {
    rows.sort_by_key(key);
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    rows
}

fn count(rows: usize) -> u64 {
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
        let rows = self.lock().tables.timers.filter(|row| row.node == node && row.boot != boot);
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
