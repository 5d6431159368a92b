//! What the vault keeps: sealed records, wrapped keys, and which root keys may wrap.
//!
//! Guarantees, on all backends alike: a list of writes is one commit; a record is only ever added under a
//! key that is not retired, and a key is only retired when no record is under it, whoever else writes at the
//! same time; the same holds between keys and roots; a record is taken by one caller only, and its deletion
//! is durable before he sees it. Left out: every key and every clear text. All bytes here are opaque.

mod memory;
mod records;
mod sql;

use async_trait::async_trait;
use baton_types::{MerchantId, Timestamp};

pub use self::memory::MemoryVault;
pub(crate) use self::records::Records;
use crate::store::{CommitError, StoreError};

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VaultPurpose {
    /// Seals records.
    Data,
    /// Makes fingerprints.
    Fingerprint,
}

impl VaultPurpose {
    /// The word that is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Fingerprint => "fingerprint",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Data, Self::Fingerprint].into_iter().find(|purpose| purpose.as_str() == text)
    }
}

/// A key of the vault. The highest version of a purpose is the current one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultKeyRow {
    /// What it is for.
    pub purpose: VaultPurpose,
    /// Counts from 1 for each purpose.
    pub version: u32,
    /// The root key that wraps it; none once it is retired.
    pub root: Option<String>,
    /// The wrapped key; none once it is retired.
    pub wrapped: Option<Vec<u8>>,
    /// How often it may have been used, at most.
    pub uses: u64,
    /// When made.
    pub created_at: Timestamp,
    /// When retired.
    pub retired_at: Option<Timestamp>,
}

/// A sealed record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultRecord {
    /// A hash: of the token, or of tenant, kind and name.
    pub id: Vec<u8>,
    /// What it is.
    pub kind: String,
    /// Whose it is.
    pub merchant: MerchantId,
    /// Whether it belongs to the merchant's sandbox.
    pub sandbox: bool,
    /// What it is called; tokens have no name.
    pub name: Option<String>,
    /// When written.
    pub created_at: Timestamp,
    /// From when on a sweep may delete it.
    pub expires_at: Option<Timestamp>,
    /// The data key that it is under; none if its key is not one of the vault's.
    pub key_version: Option<u32>,
    /// Keyed hash of what is sealed.
    pub fingerprint: Option<Vec<u8>>,
    /// The key of the fingerprint.
    pub fingerprint_version: Option<u32>,
    /// The sealed bytes.
    pub sealed: Vec<u8>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaultWrite {
    /// Lets a root key wrap. Repeating it changes nothing.
    AddRoot {
        /// The root key.
        id: String,
        /// When.
        at: Timestamp,
    },
    /// No longer lets it. Fails with [`Guard::VaultKeyInUse`](crate::Guard::VaultKeyInUse) while it wraps a
    /// key.
    RemoveRoot {
        /// The root key.
        id: String,
    },
    /// A new key. Fails with [`Guard::VaultKeyVersion`](crate::Guard::VaultKeyVersion) if there is one of
    /// its version, with `VaultKeyInUse` if its root may not wrap.
    AddKey(VaultKeyRow),
    /// Wraps a key by another root, unless its wrapped bytes have changed meanwhile.
    Rewrap {
        /// What the key is for.
        purpose: VaultPurpose,
        /// Its version.
        version: u32,
        /// The bytes that are replaced.
        old: Vec<u8>,
        /// The other root.
        root: String,
        /// The bytes that replace them.
        wrapped: Vec<u8>,
    },
    /// Forgets a key's bytes for ever. Fails with `VaultKeyInUse` while a record is under it.
    Retire {
        /// What the key is for.
        purpose: VaultPurpose,
        /// Its version.
        version: u32,
        /// When.
        at: Timestamp,
    },
    /// Counts uses of a key.
    Use {
        /// What the key is for.
        purpose: VaultPurpose,
        /// Its version.
        version: u32,
        /// How many.
        count: u32,
    },
    /// A new record. Fails with `VaultKeyInUse` if its key is retired.
    Insert(VaultRecord),
    /// A record, inserted or replaced by its id. Fails like `Insert`.
    Put(VaultRecord),
    /// Puts a record under another key, unless its sealed bytes have changed meanwhile. Fails like `Insert`.
    Reseal {
        /// The bytes that are replaced.
        old: Vec<u8>,
        /// The record as it is to be.
        record: VaultRecord,
    },
}

/// How many records have a kind, a key and a fingerprint key in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VaultCount {
    /// The kind.
    pub kind: String,
    /// The data key.
    pub key_version: Option<u32>,
    /// The fingerprint key.
    pub fingerprint_version: Option<u32>,
    /// How many.
    pub records: u64,
}

/// What an operator sees of the vault's database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultInfo {
    /// `memory`, `sqlite` or `postgres`.
    pub backend: &'static str,
    /// The database's own version.
    pub version: String,
    /// The last migration that has run; 0 in memory.
    pub schema_version: u32,
}

/// Durable records and keys.
#[async_trait]
pub trait VaultStore: Send + Sync {
    /// Makes all writes durable, or none.
    async fn commit(&self, writes: Vec<VaultWrite>) -> Result<(), CommitError>;

    /// The root keys that may wrap, by id.
    async fn roots(&self) -> Result<Vec<String>, StoreError>;

    /// All keys, retired ones too, by purpose and version.
    async fn keys(&self) -> Result<Vec<VaultKeyRow>, StoreError>;

    /// A record, expired or not.
    async fn record(&self, id: &[u8]) -> Result<Option<VaultRecord>, StoreError>;

    /// Deletes a record of a tenant and returns it: of several callers to one, after the deletion is durable.
    async fn take(
        &self,
        id: &[u8],
        merchant: MerchantId,
        sandbox: bool,
    ) -> Result<Option<VaultRecord>, StoreError>;

    /// How many records have a fingerprint.
    async fn copies(&self, fingerprint: &[u8]) -> Result<u64, StoreError>;

    /// Up to `limit` records with names, of a kind, written before a time: the oldest first.
    async fn list(
        &self,
        kind: &str,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<VaultRecord>, StoreError>;

    /// Deletes up to `limit` records that expired at or before `now`; returns how many.
    async fn sweep(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError>;

    /// Up to `limit` records under another key, or with a fingerprint by another key, than these: by id,
    /// from after a given one.
    async fn stale(
        &self,
        key_version: u32,
        fingerprint_version: u32,
        after: &[u8],
        limit: u32,
    ) -> Result<Vec<VaultRecord>, StoreError>;

    /// How many records there are of each sort. Reads the whole table: for an operator.
    async fn counts(&self) -> Result<Vec<VaultCount>, StoreError>;

    /// Whether the store answers.
    async fn ping(&self) -> Result<(), StoreError>;

    /// What the store is.
    async fn describe(&self) -> Result<VaultInfo, StoreError>;
}
