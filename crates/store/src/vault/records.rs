//! The vault's store on a relational database.

use async_trait::async_trait;
use baton_types::{MerchantId, Timestamp};

use super::sql;
use super::{
    VaultCount, VaultInfo, VaultKeyRow, VaultPurpose, VaultRecord, VaultStore, VaultWrite,
};
use crate::compile::{MAX_KEY_BYTES, Statement, Value};
use crate::decode::{self, Columns, Decode, corrupt};
use crate::migrations::VAULT;
use crate::relational::Backend;
use crate::sql::{PING, Query};
use crate::store::{CommitError, StoreError};

/// A [`VaultStore`] on a [`Backend`].
pub(crate) struct Records<B> {
    backend: B,
}

impl<B: Backend> Records<B> {
    pub(crate) const fn new(backend: B) -> Self {
        Self { backend }
    }

    async fn all<T: Decode>(
        &self,
        query: &'static Query,
        params: Vec<Value>,
    ) -> Result<Vec<T>, StoreError> {
        decode::all(self.backend.query(Statement::new(query, params)).await?)
    }
}

/// Roots before keys before records: who needs a row locks it after the row itself, as the one does who
/// takes it away.
pub(super) fn compile(writes: Vec<VaultWrite>) -> Result<Vec<Statement>, CommitError> {
    writes.into_iter().map(statement).collect()
}

fn statement(write: VaultWrite) -> Result<Statement, CommitError> {
    let (rank, query, params) = match write {
        VaultWrite::AddRoot { id, at } => (0, &sql::ROOT_ADD, vec![id.into(), at.into()]),
        VaultWrite::RemoveRoot { id } => (0, &sql::ROOT_REMOVE, vec![id.into()]),
        VaultWrite::AddKey(row) => (1, &sql::KEY_ADD, key(row)?),
        VaultWrite::Rewrap { purpose, version, old, root, wrapped } => {
            let old = Value::Bytes(old);
            let params =
                vec![word(purpose), version.into(), old, root.into(), Value::Bytes(wrapped)];
            (1, &sql::KEY_REWRAP, params)
        }
        VaultWrite::Retire { purpose, version, at } => {
            (1, &sql::KEY_RETIRE, vec![word(purpose), version.into(), at.into()])
        }
        VaultWrite::Use { purpose, version, count } => {
            (1, &sql::KEY_USE, vec![word(purpose), version.into(), count.into()])
        }
        VaultWrite::Insert(row) => (2, &sql::RECORD_INSERT, record(row)),
        VaultWrite::Put(row) => (2, &sql::RECORD_PUT, record(row)),
        VaultWrite::Reseal { old, record } => {
            let params = vec![
                Value::Bytes(record.id),
                Value::Bytes(old),
                record.key_version.into(),
                bytes(record.fingerprint),
                record.fingerprint_version.into(),
                Value::Bytes(record.sealed),
            ];
            (2, &sql::RECORD_RESEAL, params)
        }
    };
    let statement = Statement { query, params, rank };
    if statement.has_nul() {
        return Err(CommitError::Invalid("a text holds a NUL character".into()));
    }
    let long = |value: &Value| matches!(value, Value::Text(text) if text.len() > MAX_KEY_BYTES);
    if statement.params.iter().any(long) {
        return Err(CommitError::Invalid(format!("a text is longer than {MAX_KEY_BYTES} bytes")));
    }
    Ok(statement)
}

fn word(purpose: VaultPurpose) -> Value {
    purpose.as_str().into()
}

fn bytes(value: Option<Vec<u8>>) -> Value {
    value.map_or(Value::Null, Value::Bytes)
}

fn key(row: VaultKeyRow) -> Result<Vec<Value>, CommitError> {
    if row.retired_at.is_some() || row.root.is_none() || row.wrapped.is_none() {
        return Err(CommitError::Invalid("a new key that is not wrapped".into()));
    }
    let uses = i64::try_from(row.uses).unwrap_or(i64::MAX);
    let data_version = (row.purpose == VaultPurpose::Data).then_some(row.version);
    Ok(vec![
        word(row.purpose),
        row.version.into(),
        row.root.into(),
        bytes(row.wrapped),
        uses.into(),
        row.created_at.into(),
        row.retired_at.into(),
        "live".into(),
        data_version.into(),
    ])
}

fn record(row: VaultRecord) -> Vec<Value> {
    vec![
        Value::Bytes(row.id),
        row.kind.into(),
        row.merchant.into(),
        row.sandbox.into(),
        row.name.into(),
        row.created_at.into(),
        row.expires_at.into(),
        row.key_version.into(),
        bytes(row.fingerprint),
        row.fingerprint_version.into(),
        Value::Bytes(row.sealed),
    ]
}

impl Decode for VaultRecord {
    fn decode(row: &mut Columns) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.bytes()?,
            kind: row.text()?,
            merchant: row.id()?,
            sandbox: row.bool()?,
            name: row.optional_text()?,
            created_at: row.time()?,
            expires_at: row.optional_time()?,
            key_version: row.optional_int()?,
            fingerprint: row.optional_bytes()?,
            fingerprint_version: row.optional_int()?,
            sealed: row.bytes()?,
        })
    }
}

impl Decode for VaultKeyRow {
    fn decode(row: &mut Columns) -> Result<Self, StoreError> {
        let purpose = VaultPurpose::parse(&row.text()?);
        Ok(Self {
            purpose: purpose.ok_or_else(|| corrupt("a key's purpose is unknown"))?,
            version: row.int()?,
            root: row.optional_text()?,
            wrapped: row.optional_bytes()?,
            uses: row.int()?,
            created_at: row.time()?,
            retired_at: row.optional_time()?,
        })
    }
}

impl Decode for VaultCount {
    fn decode(row: &mut Columns) -> Result<Self, StoreError> {
        Ok(Self {
            kind: row.text()?,
            key_version: row.optional_int()?,
            fingerprint_version: row.optional_int()?,
            records: row.int()?,
        })
    }
}

impl Decode for String {
    fn decode(row: &mut Columns) -> Result<Self, StoreError> {
        row.text()
    }
}

#[async_trait]
impl<B: Backend> VaultStore for Records<B> {
    async fn commit(&self, writes: Vec<VaultWrite>) -> Result<(), CommitError> {
        self.backend.commit(compile(writes)?).await
    }

    async fn roots(&self) -> Result<Vec<String>, StoreError> {
        let mut roots: Vec<String> = self.all(&sql::ROOTS, vec![]).await?;
        roots.sort();
        Ok(roots)
    }

    async fn keys(&self) -> Result<Vec<VaultKeyRow>, StoreError> {
        let mut rows: Vec<VaultKeyRow> = self.all(&sql::KEYS, vec![]).await?;
        rows.sort_by_key(|row| (row.purpose, row.version));
        Ok(rows)
    }

    async fn record(&self, id: &[u8]) -> Result<Option<VaultRecord>, StoreError> {
        Ok(self.all(&sql::RECORD, vec![Value::Bytes(id.to_vec())]).await?.pop())
    }

    async fn take(
        &self,
        id: &[u8],
        merchant: MerchantId,
        sandbox: bool,
    ) -> Result<Option<VaultRecord>, StoreError> {
        let params = vec![Value::Bytes(id.to_vec()), merchant.into(), sandbox.into()];
        let statement = Statement { query: &sql::RECORD_TAKE, params, rank: 2 };
        Ok(decode::all(self.backend.update(statement).await?)?.pop())
    }

    async fn copies(&self, fingerprint: &[u8]) -> Result<u64, StoreError> {
        let found = self.all(&sql::COPIES, vec![Value::Bytes(fingerprint.to_vec())]).await?;
        Ok(found.into_iter().next().unwrap_or_default())
    }

    async fn list(
        &self,
        kind: &str,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<VaultRecord>, StoreError> {
        self.all(&sql::LIST, vec![kind.into(), before.into(), limit.into()]).await
    }

    async fn sweep(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let statement = Statement::new(&sql::SWEEP, vec![now.into(), limit.into()]);
        Ok(self.backend.update(statement).await?.len() as u64)
    }

    async fn stale(
        &self,
        key_version: u32,
        fingerprint_version: u32,
        after: &[u8],
        limit: u32,
    ) -> Result<Vec<VaultRecord>, StoreError> {
        let after = Value::Bytes(after.to_vec());
        let params = vec![key_version.into(), fingerprint_version.into(), after, limit.into()];
        self.all(&sql::STALE, params).await
    }

    async fn counts(&self) -> Result<Vec<VaultCount>, StoreError> {
        let mut counts: Vec<VaultCount> = self.all(&sql::COUNTS, vec![]).await?;
        counts.sort();
        Ok(counts)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.all::<u64>(&PING, vec![]).await.map(drop)
    }

    async fn describe(&self) -> Result<VaultInfo, StoreError> {
        let (version, _) = self.backend.settings().await?;
        // Opening has checked that the database is at this version, neither behind nor ahead.
        Ok(VaultInfo { backend: B::NAME, version, schema_version: VAULT.latest() })
    }
}
