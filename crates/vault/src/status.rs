//! What an operator sees of the vault: keys and counts, nothing that opens anything.

use baton_store::{VaultCount, VaultInfo, VaultPurpose};
use baton_types::Timestamp;

use crate::error::VaultError;
use crate::vault::Vault;

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Everything new is under it.
    Current,
    /// Still there to read what is under it.
    Old,
    /// Its bytes are destroyed.
    Retired,
}

impl KeyState {
    /// The word that is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Old => "old",
            Self::Retired => "retired",
        }
    }
}

/// A key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// What it is for.
    pub purpose: VaultPurpose,
    /// Its version.
    pub version: u32,
    /// What becomes of it.
    pub state: KeyState,
    /// The root key that wraps it.
    pub root: Option<String>,
    /// How often it may have been used, at most.
    pub uses: u64,
    /// Records under it, or with a fingerprint by it.
    pub records: u64,
    /// When made.
    pub created_at: Timestamp,
    /// When retired.
    pub retired_at: Option<Timestamp>,
}

/// The vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The database.
    pub store: VaultInfo,
    /// Root keys at hand, the current one first. More than one: a rotation was interrupted.
    pub roots: Vec<String>,
    /// All keys.
    pub keys: Vec<KeyStatus>,
    /// All records.
    pub counts: Vec<VaultCount>,
    /// Records that are not under the current keys.
    pub stale: u64,
}

impl Vault {
    /// What the vault's database is.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn describe(&self) -> Result<VaultInfo, VaultError> {
        Ok(self.ring.store.describe().await?)
    }

    /// What there is. Reads the whole table of records.
    ///
    /// # Errors
    /// `Unavailable` or `Damaged`.
    pub async fn status(&self) -> Result<Status, VaultError> {
        let store = &self.ring.store;
        let (info, rows, counts) =
            (store.describe().await?, store.keys().await?, store.counts().await?);
        let newest =
            |purpose| rows.iter().filter(|row| row.purpose == purpose).map(|row| row.version).max();
        let of = |count: &VaultCount, purpose| match purpose {
            VaultPurpose::Data => count.key_version,
            VaultPurpose::Fingerprint => count.fingerprint_version,
        };
        let stale = counts.iter().filter(|count| {
            [VaultPurpose::Data, VaultPurpose::Fingerprint].into_iter().any(|purpose| {
                of(count, purpose).is_some() && of(count, purpose) != newest(purpose)
            })
        });
        let stale = stale.map(|count| count.records).sum();
        let key = |row: &baton_store::VaultKeyRow| KeyStatus {
            purpose: row.purpose,
            version: row.version,
            state: match row.retired_at {
                Some(_) => KeyState::Retired,
                None if newest(row.purpose) == Some(row.version) => KeyState::Current,
                None => KeyState::Old,
            },
            root: row.root.clone(),
            uses: row.uses,
            records: counts
                .iter()
                .filter(|count| of(count, row.purpose) == Some(row.version))
                .map(|count| count.records)
                .sum(),
            created_at: row.created_at,
            retired_at: row.retired_at,
        };
        let keys = rows.iter().map(key).collect();
        Ok(Status { store: info, roots: self.ring.root().ids(), keys, counts, stale })
    }
}
