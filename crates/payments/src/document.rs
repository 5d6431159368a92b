//! Objects as documents of the store.

use baton_store::{DocumentQuery, DocumentRow, Store, StoreError, Write};
use baton_types::{MerchantId, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version of how bodies are written.
const SCHEMA: u32 = 1;

/// An object that is stored as a document.
pub trait Document: Serialize + DeserializeOwned + Send + Sync {
    /// What it is, for the store.
    const KIND: &'static str;

    /// Its id, unique among the merchant's objects of its kind.
    fn id(&self) -> &str;

    /// The id of what it belongs to; empty for the merchant's own.
    fn owner(&self) -> &str {
        ""
    }

    /// The state's name, where objects are listed by it.
    fn status(&self) -> &str {
        ""
    }
}

/// An object with what the store knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored<T> {
    /// Whose.
    pub merchant: MerchantId,
    /// Counts from 1; the version that the next write has to follow.
    pub version: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it was removed.
    pub removed_at: Option<Timestamp>,
    /// The object.
    pub body: T,
}

impl<T: Document> Stored<T> {
    /// One that is not stored yet.
    pub(crate) fn new(merchant: MerchantId, body: T, now: Timestamp) -> Self {
        Self { merchant, version: 1, created_at: now, updated_at: now, removed_at: None, body }
    }

    /// The version that follows this one.
    pub(crate) fn next(self, now: Timestamp) -> Self {
        Self { version: self.version.saturating_add(1), updated_at: now, ..self }
    }

    /// What makes this version durable; it fails if the version before is not there any more.
    pub(crate) fn write(&self) -> Write {
        // Bodies are plain data: nothing in them fails to encode.
        let body = serde_json::to_string(&self.body).unwrap_or_default();
        Write::Document(DocumentRow {
            merchant: self.merchant,
            kind: T::KIND.to_owned(),
            id: self.body.id().to_owned(),
            version: self.version,
            owner: self.body.owner().to_owned(),
            status: self.body.status().to_owned(),
            created_at: self.created_at,
            updated_at: self.updated_at,
            removed_at: self.removed_at,
            schema: SCHEMA,
            body,
        })
    }

    pub(crate) fn read(row: &DocumentRow) -> Result<Self, StoreError> {
        let body = serde_json::from_str(&row.body)
            .map_err(|error| StoreError::Corrupt(format!("a {}: {error}", T::KIND)))?;
        Ok(Self {
            merchant: row.merchant,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            removed_at: row.removed_at,
            body,
        })
    }
}

/// An object by its id, also a removed one.
pub(crate) async fn load<T: Document>(
    store: &dyn Store,
    merchant: MerchantId,
    id: &str,
) -> Result<Option<Stored<T>>, StoreError> {
    let row = store.document(merchant, T::KIND, id).await?;
    row.as_ref().map(Stored::read).transpose()
}

/// A page of a merchant's objects, newest first.
pub(crate) async fn list<T: Document>(
    store: &dyn Store,
    merchant: MerchantId,
    owner: Option<&str>,
    limit: u32,
) -> Result<Vec<Stored<T>>, StoreError> {
    let query = DocumentQuery {
        merchant,
        kind: T::KIND.to_owned(),
        owner: owner.map(str::to_owned),
        from: Timestamp::from_millis(0),
        to: Timestamp::from_millis(i64::MAX),
        after: None,
        statuses: Vec::new(),
        removed: false,
        limit,
    };
    page(store, &query).await
}

/// What a query of the objects' kind gives.
pub(crate) async fn page<T: Document>(
    store: &dyn Store,
    query: &DocumentQuery,
) -> Result<Vec<Stored<T>>, StoreError> {
    store.documents(query).await?.iter().map(Stored::read).collect()
}
