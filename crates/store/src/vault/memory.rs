//! The vault's store in memory: for tests, and for measuring everything but the database.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use baton_types::{MerchantId, Timestamp};

use super::records::compile;
use super::{
    VaultCount, VaultInfo, VaultKeyRow, VaultPurpose, VaultRecord, VaultStore, VaultWrite,
};
use crate::store::{CommitError, Guard, StoreError};

/// A [`VaultStore`] in memory, durable as long as it lives.
#[derive(Debug, Default)]
pub struct MemoryVault {
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    roots: BTreeSet<String>,
    keys: BTreeMap<(VaultPurpose, u32), VaultKeyRow>,
    records: BTreeMap<Vec<u8>, VaultRecord>,
}

const IN_USE: CommitError = CommitError::Conflict(Guard::VaultKeyInUse);

impl Tables {
    fn without_records(&self) -> Self {
        Self { roots: self.roots.clone(), keys: self.keys.clone(), records: BTreeMap::new() }
    }

    /// Whether the write can be done as things stand; not whether a record needs the key that it retires.
    fn check(&self, write: &VaultWrite) -> Result<(), CommitError> {
        let fine = match write {
            VaultWrite::RemoveRoot { id } => {
                !self.keys.values().any(|key| key.root.as_ref() == Some(id))
            }
            VaultWrite::AddKey(row) => {
                if self.keys.contains_key(&(row.purpose, row.version)) {
                    return Err(CommitError::Conflict(Guard::VaultKeyVersion));
                }
                row.root.as_ref().is_none_or(|root| self.roots.contains(root))
            }
            VaultWrite::Rewrap { root, .. } => self.roots.contains(root),
            VaultWrite::Insert(row) if self.records.contains_key(&row.id) => {
                return Err(CommitError::Invalid("vault_records_id".into()));
            }
            VaultWrite::Insert(row) | VaultWrite::Put(row) => self.has_key(row),
            VaultWrite::Reseal { record, .. } => self.has_key(record),
            VaultWrite::AddRoot { .. } | VaultWrite::Retire { .. } | VaultWrite::Use { .. } => true,
        };
        if fine { Ok(()) } else { Err(IN_USE) }
    }

    fn has_key(&self, row: &VaultRecord) -> bool {
        row.key_version.is_none_or(|version| {
            let key = self.keys.get(&(VaultPurpose::Data, version));
            key.is_some_and(|key| key.retired_at.is_none())
        })
    }

    fn apply(&mut self, write: VaultWrite) {
        match write {
            VaultWrite::AddRoot { id, .. } => {
                self.roots.insert(id);
            }
            VaultWrite::RemoveRoot { id } => {
                self.roots.remove(&id);
            }
            VaultWrite::AddKey(row) => {
                self.keys.insert((row.purpose, row.version), row);
            }
            VaultWrite::Rewrap { purpose, version, old, root, wrapped } => {
                let key = self.keys.get_mut(&(purpose, version));
                if let Some(key) = key.filter(|key| key.wrapped.as_ref() == Some(&old)) {
                    (key.root, key.wrapped) = (Some(root), Some(wrapped));
                }
            }
            VaultWrite::Retire { purpose, version, at } => {
                let key = self.keys.get_mut(&(purpose, version));
                if let Some(key) = key.filter(|key| key.retired_at.is_none()) {
                    (key.root, key.wrapped, key.retired_at) = (None, None, Some(at));
                }
            }
            VaultWrite::Use { purpose, version, count } => {
                if let Some(key) = self.keys.get_mut(&(purpose, version)) {
                    key.uses = key.uses.saturating_add(count.into());
                }
            }
            VaultWrite::Insert(row) | VaultWrite::Put(row) => {
                self.records.insert(row.id.clone(), row);
            }
            VaultWrite::Reseal { old, record } => {
                if let Some(row) = self.records.get_mut(&record.id)
                    && row.sealed == old
                {
                    row.key_version = record.key_version;
                    row.fingerprint = record.fingerprint;
                    row.fingerprint_version = record.fingerprint_version;
                    row.sealed = record.sealed;
                }
            }
        }
    }
}

impl MemoryVault {
    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl VaultStore for MemoryVault {
    async fn commit(&self, writes: Vec<VaultWrite>) -> Result<(), CommitError> {
        // The databases' own checks.
        compile(writes.clone())?;
        let of_record = |write: &VaultWrite| {
            matches!(write, VaultWrite::Insert(_) | VaultWrite::Put(_) | VaultWrite::Reseal { .. })
        };
        let (records, others): (Vec<_>, Vec<_>) = writes.into_iter().partition(of_record);
        let mut tables = self.lock();
        if !others.is_empty() {
            // A later one may need an earlier one, so a copy tries them all; there are few.
            let mut tried = tables.without_records();
            for write in others {
                if let VaultWrite::Retire { purpose: VaultPurpose::Data, version, .. } = &write
                    && tables.records.values().any(|row| row.key_version == Some(*version))
                {
                    return Err(IN_USE);
                }
                tried.check(&write)?;
                tried.apply(write);
            }
            if let Some(refused) = records.iter().find_map(|write| tried.check(write).err()) {
                return Err(refused);
            }
            (tables.roots, tables.keys) = (tried.roots, tried.keys);
        }
        records.iter().try_for_each(|write| tables.check(write))?;
        for write in records {
            tables.apply(write);
        }
        Ok(())
    }

    async fn roots(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.lock().roots.iter().cloned().collect())
    }

    async fn keys(&self) -> Result<Vec<VaultKeyRow>, StoreError> {
        Ok(self.lock().keys.values().cloned().collect())
    }

    async fn record(&self, id: &[u8]) -> Result<Option<VaultRecord>, StoreError> {
        Ok(self.lock().records.get(id).cloned())
    }

    async fn take(
        &self,
        id: &[u8],
        merchant: MerchantId,
        sandbox: bool,
    ) -> Result<Option<VaultRecord>, StoreError> {
        let mut tables = self.lock();
        let owned = tables
            .records
            .get(id)
            .is_some_and(|row| (row.merchant, row.sandbox) == (merchant, sandbox));
        Ok(if owned { tables.records.remove(id) } else { None })
    }

    async fn copies(&self, fingerprint: &[u8]) -> Result<u64, StoreError> {
        let same = |row: &&VaultRecord| row.fingerprint.as_deref() == Some(fingerprint);
        Ok(self.lock().records.values().filter(same).count() as u64)
    }

    async fn list(
        &self,
        kind: &str,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<VaultRecord>, StoreError> {
        let tables = self.lock();
        let wanted =
            |row: &&VaultRecord| row.name.is_some() && row.kind == kind && row.created_at < before;
        let mut rows: Vec<_> = tables.records.values().filter(wanted).cloned().collect();
        rows.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(rows)
    }

    async fn sweep(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let mut tables = self.lock();
        let expired = |row: &&VaultRecord| row.expires_at.is_some_and(|at| at <= now);
        let mut rows: Vec<_> = tables
            .records
            .values()
            .filter(expired)
            .map(|row| (row.expires_at, row.id.clone()))
            .collect();
        rows.sort();
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        for (_, id) in &rows {
            tables.records.remove(id);
        }
        Ok(rows.len() as u64)
    }

    async fn stale(
        &self,
        key_version: u32,
        fingerprint_version: u32,
        after: &[u8],
        limit: u32,
    ) -> Result<Vec<VaultRecord>, StoreError> {
        let tables = self.lock();
        let other = |found: Option<u32>, wanted: u32| found.is_some_and(|found| found != wanted);
        let rows = tables.records.range::<[u8], _>((Bound::Excluded(after), Bound::Unbounded));
        let rows = rows.map(|(_, row)| row).filter(|row| {
            other(row.key_version, key_version)
                || other(row.fingerprint_version, fingerprint_version)
        });
        Ok(rows.take(usize::try_from(limit).unwrap_or(usize::MAX)).cloned().collect())
    }

    async fn counts(&self) -> Result<Vec<VaultCount>, StoreError> {
        let mut counts = BTreeMap::<_, u64>::new();
        for row in self.lock().records.values() {
            let sort = (row.kind.clone(), row.key_version, row.fingerprint_version);
            let count = counts.entry(sort).or_default();
            *count = count.saturating_add(1);
        }
        let count = |((kind, key_version, fingerprint_version), records)| VaultCount {
            kind,
            key_version,
            fingerprint_version,
            records,
        };
        Ok(counts.into_iter().map(count).collect())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn describe(&self) -> Result<VaultInfo, StoreError> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Ok(VaultInfo { backend: "memory", version, schema_version: 0 })
    }
}
