//! Client certificates: what we show a provider that asks who we are (mutual TLS).
//!
//! A certificate is a document that names a record of the vault with chain and key, a new record for every
//! version, so that what a node remembers of one is never out of date. Guarantees: the key belongs to the
//! certificate, which holds when it is put; neither key nor chain is ever shown. Left out: whether a provider
//! takes it, which only the provider knows.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use aws_lc_rs::digest;
use baton_store::{
    CommitError, DocumentQuery, DocumentRow, Guard, Store, StoreError, Write, WriteSet,
};
use baton_types::{EventId, MerchantId, Secret, Timestamp};
use baton_vault::{SealedKind, Tenant, VaultError};
use baton_wire::{CertifiedPair, IdentityError};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::audit::{Action, Entry};
use crate::engine::{Caller, Engine};
use crate::error::EngineError;
use crate::inner::Inner;
use crate::new_id;

/// What certificates are called among the documents.
const KIND: &str = "client_certificate";
const SCHEMA: u32 = 1;

/// Most certificates of a merchant that are listed.
const LISTED_MAX: u32 = 10_000;

/// What is stored of a certificate in clear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stored {
    name: String,
    /// Where chain and key are in the vault.
    pub(crate) record: String,
    /// SHA-256 of the certificate itself, in hexadecimal.
    fingerprint: String,
    not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

/// Chain and key as they are sealed.
#[derive(Deserialize)]
pub(crate) struct PemPair {
    pub(crate) chain: String,
    pub(crate) key: Secret,
}

/// What may be shown of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateView {
    /// What accounts and requests call it.
    pub name: String,
    /// SHA-256 of the certificate, in hexadecimal.
    pub fingerprint: String,
    /// From when it holds.
    pub not_before: Timestamp,
    /// Until when it holds.
    pub not_after: Timestamp,
    /// When a certificate was first put under the name.
    pub created_at: Timestamp,
    /// When this one was.
    pub updated_at: Timestamp,
}

/// Why a certificate was not put or removed. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateFault {
    /// What is wrong with certificate or key.
    Pair(IdentityError),
    /// Accounts of these names show it.
    InUse(Vec<String>),
    /// Something that is not about the certificate.
    Engine(EngineError),
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pair(error) => error.fmt(f),
            Self::InUse(names) => write!(f, "accounts show it: {}", names.join(", ")),
            Self::Engine(error) => error.fmt(f),
        }
    }
}

impl From<EngineError> for CertificateFault {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<StoreError> for CertificateFault {
    fn from(error: StoreError) -> Self {
        Self::Engine(error.into())
    }
}

impl From<VaultError> for CertificateFault {
    fn from(error: VaultError) -> Self {
        Self::Engine(error.into())
    }
}

impl Engine {
    /// Puts a certificate with its key under a name, in place of the one that had it. Accounts and payments
    /// that name it show the new one from then on.
    ///
    /// # Errors
    /// See [`CertificateFault`]; nothing was changed.
    pub async fn put_certificate(
        &self,
        caller: Caller,
        name: &str,
        chain: &Secret,
        key: &Secret,
    ) -> Result<CertificateView, CertificateFault> {
        let pair = CertifiedPair::from_pem(chain.expose(), key);
        let pair = pair.map_err(CertificateFault::Pair)?;
        pair.validity().check().map_err(CertificateFault::Pair)?;
        let (inner, now) = (&self.inner, self.inner.clock.now());
        let version: EventId = new_id(inner.clock.as_ref());
        let stored = Stored {
            name: name.to_owned(),
            record: version.to_string(),
            fingerprint: hex(digest::digest(&digest::SHA256, pair.leaf()).as_ref()),
            not_before: pair.validity().not_before,
            not_after: pair.validity().not_after,
        };
        let parts = BTreeMap::from([("chain", chain.expose()), ("key", key.expose())]);
        let sealed = serde_json::to_string(&parts).map_err(|_| EngineError::Internal)?;
        let sealed = Secret::new(sealed);
        let kind = SealedKind::ClientCertificate;
        inner.vault.put(caller.tenant(), kind, &stored.record, &sealed, now).await?;
        let id = id_of(caller.tenant(), name);
        loop {
            let before = inner.store.document(caller.merchant, KIND, &id).await?;
            let row = DocumentRow {
                merchant: caller.merchant,
                kind: KIND.to_owned(),
                id: id.clone(),
                version: before.as_ref().map_or(1, |row| row.version.saturating_add(1)),
                owner: owner(caller.tenant()).to_owned(),
                status: "active".to_owned(),
                created_at: before.as_ref().map_or(now, |row| row.created_at),
                updated_at: now,
                removed_at: None,
                schema: SCHEMA,
                body: serde_json::to_string(&stored).map_err(|_| EngineError::Internal)?,
            };
            let set = WriteSet::from(vec![Write::Document(row.clone())]);
            let entry = entry(caller, Action::CertificatePut, &stored);
            match inner.audit.commit_with(entry, set).await {
                Ok(()) => {
                    inner.accounts.forget(caller.merchant);
                    if let Some(old) = before.as_ref().and_then(read) {
                        forget_record(inner, caller.tenant(), &old.record).await;
                    }
                    return Ok(view(&row, stored));
                }
                // Another request was first.
                Err(CommitError::Conflict(Guard::Document)) => {}
                Err(CommitError::InDoubt) => return Err(EngineError::Unavailable.into()),
                Err(error) => return Err(EngineError::from(error).into()),
            }
        }
    }

    /// The caller's certificates of its key's mode, by name.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn certificates(&self, caller: Caller) -> Result<Vec<CertificateView>, EngineError> {
        let rows = list(self.inner.store.as_ref(), caller.merchant).await?;
        let mine = rows.iter().filter(|row| row.owner == owner(caller.tenant()));
        let mut views: Vec<_> =
            mine.filter_map(|row| read(row).map(|stored| view(row, stored))).collect();
        views.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(views)
    }

    /// One of the caller's certificates.
    ///
    /// # Errors
    /// Unknown, or the store does not answer.
    pub async fn certificate(
        &self,
        caller: Caller,
        name: &str,
    ) -> Result<CertificateView, EngineError> {
        let row = find(self.inner.store.as_ref(), caller.tenant(), name).await?;
        row.map(|(row, stored)| view(&row, stored)).ok_or(EngineError::NotFound)
    }

    /// Removes a certificate for good. Not while an account shows it.
    ///
    /// # Errors
    /// See [`CertificateFault`]; unknown is `NotFound`.
    pub async fn remove_certificate(
        &self,
        caller: Caller,
        name: &str,
    ) -> Result<(), CertificateFault> {
        let inner = &self.inner;
        let found = find(inner.store.as_ref(), caller.tenant(), name).await?;
        let (row, stored) = found.ok_or(EngineError::NotFound)?;
        let showing = inner.accounts.showing(caller.tenant(), name).await?;
        if !showing.is_empty() {
            return Err(CertificateFault::InUse(showing));
        }
        let now = inner.clock.now();
        let version = row.version.saturating_add(1);
        let gone = DocumentRow { version, updated_at: now, removed_at: Some(now), ..row };
        let entry = entry(caller, Action::CertificateRemoved, &stored);
        let set = WriteSet::from(vec![Write::Document(gone)]);
        match inner.audit.commit_with(entry, set).await {
            Ok(()) => {}
            // It has just been changed: whoever asks again sees what there is now.
            Err(CommitError::Conflict(Guard::Document) | CommitError::InDoubt) => {
                return Err(EngineError::Unavailable.into());
            }
            Err(error) => return Err(EngineError::from(error).into()),
        }
        inner.accounts.forget(caller.merchant);
        forget_record(inner, caller.tenant(), &stored.record).await;
        Ok(())
    }
}

/// A certificate that is there.
pub(crate) async fn find(
    store: &dyn Store,
    tenant: Tenant,
    name: &str,
) -> Result<Option<(DocumentRow, Stored)>, StoreError> {
    let row = store.document(tenant.merchant, KIND, &id_of(tenant, name)).await?;
    let row = row.filter(|row| row.removed_at.is_none());
    Ok(row.and_then(|row| read(&row).map(|stored| (row, stored))))
}

async fn list(store: &dyn Store, merchant: MerchantId) -> Result<Vec<DocumentRow>, StoreError> {
    let query = DocumentQuery {
        merchant,
        kind: KIND.to_owned(),
        owner: None,
        from: Timestamp::from_millis(0),
        to: Timestamp::from_millis(i64::MAX),
        after: None,
        statuses: Vec::new(),
        removed: false,
        limit: LISTED_MAX,
    };
    store.documents(&query).await
}

fn read(row: &DocumentRow) -> Option<Stored> {
    let stored = serde_json::from_str(&row.body);
    stored
        .map_err(|error| tracing::error!(id = %row.id, %error, "a certificate cannot be read"))
        .ok()
}

fn view(row: &DocumentRow, stored: Stored) -> CertificateView {
    CertificateView {
        name: stored.name,
        fingerprint: stored.fingerprint,
        not_before: stored.not_before,
        not_after: stored.not_after,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

fn owner(tenant: Tenant) -> &'static str {
    if tenant.sandbox { "sandbox" } else { "live" }
}

/// Names of the two modes are apart.
fn id_of(tenant: Tenant, name: &str) -> String {
    format!("{}/{name}", owner(tenant))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn entry(caller: Caller, action: Action, stored: &Stored) -> Entry {
    Entry {
        merchant: Some(caller.merchant),
        actor: caller.actor(),
        action,
        subject: stored.name.clone(),
        detail: json!({
            "fingerprint": stored.fingerprint,
            "not_after": stored.not_after.to_rfc3339(),
            "test": caller.sandbox,
        }),
        request_id: None,
    }
}

/// Deletes what nothing names any more. What is left behind is swept.
async fn forget_record(inner: &Inner, tenant: Tenant, record: &str) {
    if let Err(error) = inner.vault.remove(tenant, SealedKind::ClientCertificate, record).await {
        tracing::warn!(record, %error, "a record is swept later");
    }
}

/// Deletes chains and keys that were put before this time and that no certificate names.
///
/// # Errors
/// The vault or the store does not answer.
pub(crate) async fn sweep(inner: &Inner, before: Timestamp) -> Result<(), EngineError> {
    let records = inner.vault.list(SealedKind::ClientCertificate, before, u32::MAX).await?;
    let mut read_for = HashSet::new();
    let mut named = HashSet::new();
    for record in records {
        let merchant = record.tenant.merchant;
        if read_for.insert(merchant) {
            let rows = list(inner.store.as_ref(), merchant).await?;
            named.extend(rows.iter().filter_map(read).map(|stored| stored.record));
        }
        if !named.contains(&record.id) {
            forget_record(inner, record.tenant, &record.id).await;
        }
    }
    Ok(())
}
