//! The memory store's tables: maps that can take back what was done to them.

use std::collections::BTreeMap;
use std::ops::RangeBounds;

use baton_types::{AccountId, ApiKeyId, EventId, MerchantId, PaymentId};

use crate::hooks::HookTables;
use crate::lists::ListedRow;
use crate::rows::{
    AccountRow, ApiKeyRow, AuditRow, DocumentRow, EventRow, GuardRow, IdempotencyRow, MerchantRow,
    OutboxRow, PaymentRow, ReferenceKind, ReferenceRow, TimerRow, Write, WriteSet,
};
use crate::store::{CommitError, Guard};

/// A map that remembers how to take back what was done since it was last settled.
#[derive(Debug)]
pub(crate) struct Table<K, V> {
    pub(crate) rows: BTreeMap<K, V>,
    undo: Vec<(K, Option<V>)>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), undo: Vec::new() }
    }
}

impl<K: Ord + Clone, V: Clone> Table<K, V> {
    pub(crate) fn put(&mut self, key: K, row: V) {
        let before = self.rows.insert(key.clone(), row);
        self.undo.push((key, before));
    }

    pub(crate) fn remove(&mut self, key: &K) {
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

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        self.rows.get(key).cloned()
    }

    pub(crate) fn range(&self, range: impl RangeBounds<K>) -> Vec<V> {
        self.rows.range(range).map(|(_, row)| row.clone()).collect()
    }

    pub(crate) fn filter(&self, keep: impl Fn(&V) -> bool) -> Vec<V> {
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
pub(crate) struct Tables {
    pub(crate) merchants: Table<MerchantId, MerchantRow>,
    pub(crate) accounts: Table<(MerchantId, AccountId), AccountRow>,
    pub(crate) api_keys: Table<ApiKeyId, ApiKeyRow>,
    pub(crate) events: Table<(MerchantId, PaymentId, u64), EventRow>,
    pub(crate) idempotency: Table<(MerchantId, String), IdempotencyRow>,
    pub(crate) guards: Table<(MerchantId, String), GuardRow>,
    pub(crate) payments: Table<(MerchantId, PaymentId), PaymentRow>,
    pub(crate) timers: Table<(MerchantId, PaymentId, String), TimerRow>,
    pub(crate) outbox: Table<EventId, OutboxRow>,
    pub(crate) references: Table<ReferenceKey, ReferenceRow>,
    pub(crate) documents: Table<(MerchantId, String, String), DocumentRow>,
    pub(crate) audit: Table<u64, AuditRow>,
    audit_hashes: Table<Vec<u8>, u64>,
    pub(crate) hooks: HookTables,
    pub(crate) listed: Table<(MerchantId, String, String), ListedRow>,
}

pub(crate) const TABLES: usize = 17;

impl Tables {
    fn all(&mut self) -> [&mut dyn Undo; TABLES] {
        [
            &mut self.merchants,
            &mut self.accounts,
            &mut self.api_keys,
            &mut self.events,
            &mut self.idempotency,
            &mut self.guards,
            &mut self.payments,
            &mut self.timers,
            &mut self.outbox,
            &mut self.references,
            &mut self.documents,
            &mut self.audit,
            &mut self.audit_hashes,
            &mut self.hooks.streams,
            &mut self.hooks.events,
            &mut self.hooks.attempts,
            &mut self.listed,
        ]
    }

    pub(crate) fn undo_to(&mut self, marks: [usize; TABLES]) {
        for (table, mark) in self.all().into_iter().zip(marks) {
            table.undo_to(mark);
        }
    }

    pub(crate) fn settle(&mut self) {
        for table in self.all() {
            table.settle();
        }
    }

    pub(crate) fn commit(&mut self, set: WriteSet) -> Result<(), CommitError> {
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
            Write::Payment(row) => self.put_payment(row),
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
            Write::TakeGuard(row) => {
                let taken = CommitError::Conflict(Guard::Duplicate);
                return self.guards.insert((row.merchant, row.key.clone()), row, taken);
            }
            Write::KeepGuard(row) => {
                let key = (row.merchant, row.key.clone());
                if !self.guards.rows.contains_key(&key) {
                    self.guards.put(key, row);
                }
            }
            Write::ReleaseGuard { merchant, key, payment } => {
                let key = (merchant, key);
                if self.guards.get(&key).is_some_and(|row| row.payment == payment) {
                    self.guards.remove(&key);
                }
            }
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
            Write::RenameApiKey { id, name, expires_at } => {
                if let Some(row) = self.api_keys.get(&id) {
                    self.api_keys.put(id, ApiKeyRow { name, expires_at, ..row });
                }
            }
            Write::RevokeApiKey { id, at } => {
                let row = self.api_keys.get(&id).filter(|row| row.revoked_at.is_none());
                if let Some(row) = row {
                    self.api_keys.put(id, ApiKeyRow { revoked_at: Some(at), ..row });
                }
            }
            Write::Document(row) => return self.put_document(row),
            Write::Audit(row) => return self.add_audit(row),
            Write::Listed(row) => self.list(row),
            Write::Relisted(change) => self.relist(change),
            Write::ReplayHook(replay) => self.replay_hook(replay),
        }
        Ok(())
    }

    fn put_payment(&mut self, row: PaymentRow) {
        let key = (row.merchant, row.id);
        let row = match self.payments.get(&key) {
            None => row,
            Some(PaymentRow { merchant_ref, test, created_at, .. }) => {
                PaymentRow { merchant_ref, test, created_at, ..row }
            }
        };
        self.payments.put(key, row);
    }

    fn put_document(&mut self, row: DocumentRow) -> Result<(), CommitError> {
        let key = (row.merchant, row.kind.clone(), row.id.clone());
        let before = self.documents.get(&key);
        let version = before.as_ref().map_or(0, |before| before.version);
        if row.version != version.saturating_add(1) {
            return Err(CommitError::Conflict(Guard::Document));
        }
        let created_at = before.map_or(row.created_at, |before| before.created_at);
        self.documents.put(key, DocumentRow { created_at, ..row });
        Ok(())
    }

    fn add_audit(&mut self, row: AuditRow) -> Result<(), CommitError> {
        let taken = CommitError::Conflict(Guard::AuditSeq);
        if self.audit.rows.contains_key(&row.seq) {
            return Err(taken);
        }
        // What the databases' constraints demand.
        let hashes = |prev: &Vec<u8>| prev.len() == 32 && *prev != row.hash;
        let sizes = row.hash.len() == 32 && row.prev.as_ref().is_none_or(hashes);
        if !sizes || (row.seq == 1) != row.prev.is_none() {
            return Err(CommitError::Invalid("not an entry of a chain".into()));
        }
        // Nothing follows the last entry yet; who follows another has come too late, or is no chain's.
        let last = self.audit.rows.last_key_value().map(|(_, last)| last);
        let follows_last = last.is_none_or(|last| row.prev.as_ref() == Some(&last.hash));
        if !follows_last && self.audit.rows.values().any(|other| other.prev == row.prev) {
            return Err(taken);
        }
        if self.audit_hashes.rows.contains_key(&row.hash) {
            return Err(taken);
        }
        if row.prev.as_ref().is_some_and(|prev| !self.audit_hashes.rows.contains_key(prev)) {
            return Err(CommitError::Invalid("audit_follows".into()));
        }
        self.audit_hashes.put(row.hash.clone(), row.seq);
        self.audit.insert(row.seq, row, taken)
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
