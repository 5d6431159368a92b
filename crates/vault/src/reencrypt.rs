//! Putting every record under the current keys, and destroying the old ones.
//!
//! Guarantees: a record is replaced only if it is still the one that was read, so that nothing which others
//! write or delete meanwhile is lost; a run may be stopped at any point and started again, because what is
//! done is recognised by its key's version; an old key is destroyed only when the database itself says that
//! nothing is under it. CVVs are left alone: their keys are none of ours, and they are gone in 15 minutes.

use std::collections::BTreeSet;
use std::time::Duration;

use baton_store::{CommitError, Guard, VaultPurpose, VaultRecord, VaultWrite};
use baton_types::Timestamp;

use crate::error::VaultError;
use crate::vault::Vault;

/// How often everything is looked through, while other processes still seal under an old key. They notice
/// a new one within seconds.
const PASSES: usize = 30;
const PAUSE: Duration = Duration::from_millis(500);

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Records that are under the current keys now.
    pub done: u64,
    /// Records that were not when the run began, or came since.
    pub total: u64,
}

/// What a run has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reencrypted {
    /// Records that were sealed again.
    pub resealed: u64,
    /// Records that do not open, and were left as they are. Their keys are kept.
    pub damaged: u64,
    /// Keys that were retired, their bytes destroyed.
    pub retired: Vec<(VaultPurpose, u32)>,
    /// Keys that are old and still needed: run it again.
    pub kept: Vec<(VaultPurpose, u32)>,
}

struct Run<'a> {
    vault: &'a Vault,
    now: Timestamp,
    batch: u32,
    damaged: BTreeSet<Vec<u8>>,
    progress: Progress,
    report: &'a mut (dyn FnMut(Progress) + Send),
}

impl Vault {
    /// Seals every record under the current keys that is not, `batch` at a time, and retires the old keys.
    ///
    /// # Errors
    /// `Unavailable` or `Root`. What was done stays done: run it again.
    pub async fn reencrypt(
        &self,
        batch: u32,
        now: Timestamp,
        report: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Reencrypted, VaultError> {
        self.ring.reload().await?;
        let total = self.stale_count().await?;
        let progress = Progress { done: 0, total };
        report(progress);
        let (batch, damaged) = (batch.max(1), BTreeSet::new());
        let mut run = Run { vault: self, now, batch, damaged, progress, report };
        let mut retired = Vec::new();
        let mut kept = Vec::new();
        for pass in 0..PASSES {
            if pass > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            run.pass().await?;
            let (gone, left) = self.retire_old(now).await?;
            retired.extend(gone);
            kept = left;
            // What does not open keeps its key, however often it is tried.
            if kept.is_empty() || !run.damaged.is_empty() {
                break;
            }
        }
        let damaged = run.damaged.len() as u64;
        Ok(Reencrypted { resealed: run.progress.done, damaged, retired, kept })
    }

    async fn stale_count(&self) -> Result<u64, VaultError> {
        let keys = self.ring.keys();
        let other = |found: Option<u32>, wanted: u32| found.is_some_and(|found| found != wanted);
        let stale = self.ring.store.counts().await?.into_iter().filter(|count| {
            other(count.key_version, keys.current.version)
                || other(count.fingerprint_version, keys.fingerprint.version)
        });
        Ok(stale.map(|count| count.records).sum())
    }

    /// Retires what is not current and not needed: first what was retired, then what is still needed.
    async fn retire_old(
        &self,
        now: Timestamp,
    ) -> Result<(Vec<(VaultPurpose, u32)>, Vec<(VaultPurpose, u32)>), VaultError> {
        let rows = self.ring.store.keys().await?;
        let (mut retired, mut kept) = (Vec::new(), Vec::new());
        for purpose in [VaultPurpose::Data, VaultPurpose::Fingerprint] {
            let of_purpose = rows.iter().filter(|row| row.purpose == purpose);
            let newest = of_purpose.clone().map(|row| row.version).max().unwrap_or(0);
            for row in of_purpose.filter(|row| row.retired_at.is_none() && row.version < newest) {
                let version = row.version;
                if purpose == VaultPurpose::Fingerprint && self.fingerprints_by(version).await? {
                    kept.push((purpose, version));
                    continue;
                }
                let write = VaultWrite::Retire { purpose, version, at: now };
                match self.ring.store.commit(vec![write]).await {
                    Ok(()) => retired.push((purpose, version)),
                    Err(CommitError::Conflict(Guard::VaultKeyInUse)) => {
                        kept.push((purpose, version));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok((retired, kept))
    }

    /// Unlike a data key, a fingerprint key can be retired a moment too early without a loss: the
    /// fingerprint is made again by the next run.
    async fn fingerprints_by(&self, version: u32) -> Result<bool, VaultError> {
        let counts = self.ring.store.counts().await?;
        Ok(counts.iter().any(|count| count.fingerprint_version == Some(version)))
    }
}

impl Run<'_> {
    /// Goes through all records once, by id.
    async fn pass(&mut self) -> Result<(), VaultError> {
        let mut after = Vec::new();
        loop {
            let keys = self.vault.ring.keys();
            let (data, fingerprint) = (keys.current.version, keys.fingerprint.version);
            let store = &self.vault.ring.store;
            let rows = store.stale(data, fingerprint, &after, self.batch).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            let next = last.id.clone();
            let mut writes = Vec::with_capacity(rows.len());
            for row in rows {
                match self.reseal(&row).await {
                    Ok(record) => writes.push(VaultWrite::Reseal { old: row.sealed, record }),
                    Err(VaultError::Damaged(_)) => {
                        self.damaged.insert(row.id);
                    }
                    Err(error) => return Err(error),
                }
            }
            let count = writes.len() as u64;
            match store.commit(writes).await {
                Ok(()) => after = next,
                // Another process has replaced and retired what was current: the same records again.
                Err(CommitError::Conflict(Guard::VaultKeyInUse)) => {
                    self.vault.ring.reload().await?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            self.progress.done = self.progress.done.saturating_add(count);
            self.progress.total = self.progress.total.max(self.progress.done);
            (self.report)(self.progress);
        }
    }

    async fn reseal(&self, row: &VaultRecord) -> Result<VaultRecord, VaultError> {
        let text = self.vault.open_record(row).await?;
        self.vault.seal(row, &text, self.now).await
    }
}
