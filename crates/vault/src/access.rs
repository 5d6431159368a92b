//! The way to a vault: one in this process, or a service that has it.
//!
//! Guarantees: whoever has an access does not see which of the two it is, and a service keeps every promise of
//! [`Vault`], for its errors too: `Unavailable` may have been done. Left out: keys and their rotation, which are only
//! where the vault itself is.

use std::sync::Arc;

use async_trait::async_trait;
use baton_types::{Secret, Timestamp};

use crate::error::VaultError;
use crate::vault::{Revealed, SealedKind, SealedRef, Tenant, Token, Vault};

/// What can be asked of a vault. See [`Vault`] for what each promises.
#[async_trait]
#[allow(missing_docs, reason = "each is as the method of the vault that has its name")]
pub trait VaultService: Send + Sync {
    async fn tokenize(
        &self,
        tenant: Tenant,
        payload: &Secret,
        now: Timestamp,
    ) -> Result<Token, VaultError>;

    async fn reveal(
        &self,
        tenant: Tenant,
        token: &str,
        now: Timestamp,
    ) -> Result<Option<Revealed>, VaultError>;

    async fn meta(
        &self,
        tenant: Tenant,
        token: &str,
        now: Timestamp,
    ) -> Result<Option<Token>, VaultError>;

    async fn delete(&self, tenant: Tenant, token: &str) -> Result<bool, VaultError>;

    async fn put_until(
        &self,
        tenant: Tenant,
        kind: SealedKind,
        id: &str,
        value: &Secret,
        now: Timestamp,
        expires_at: Option<Timestamp>,
    ) -> Result<(), VaultError>;

    async fn get(
        &self,
        tenant: Tenant,
        kind: SealedKind,
        id: &str,
    ) -> Result<Option<Secret>, VaultError>;

    async fn remove(&self, tenant: Tenant, kind: SealedKind, id: &str) -> Result<bool, VaultError>;

    async fn list(
        &self,
        kind: SealedKind,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<SealedRef>, VaultError>;

    fn fingerprint(&self, tenant: Tenant, value: &str) -> String;

    async fn copies(&self, tenant: Tenant, payload: &Secret) -> Result<u64, VaultError>;

    async fn sweep(&self, now: Timestamp, limit: u32) -> Result<u64, VaultError>;

    async fn ping(&self) -> Result<(), VaultError>;
}

/// A vault, wherever it is. A clone is the same vault.
#[derive(Clone)]
pub struct VaultAccess {
    service: Arc<dyn VaultService>,
}

impl From<Vault> for VaultAccess {
    fn from(vault: Vault) -> Self {
        Self { service: Arc::new(vault) }
    }
}

impl VaultAccess {
    /// A vault behind a service.
    #[must_use]
    pub fn to(service: Arc<dyn VaultService>) -> Self {
        Self { service }
    }

    /// See [`Vault::tokenize`].
    ///
    /// # Errors
    /// As there.
    pub async fn tokenize(
        &self,
        tenant: Tenant,
        payload: &Secret,
        now: Timestamp,
    ) -> Result<Token, VaultError> {
        self.service.tokenize(tenant, payload, now).await
    }

    /// See [`Vault::reveal`].
    ///
    /// # Errors
    /// As there.
    pub async fn reveal(
        &self,
        tenant: Tenant,
        token: &str,
        now: Timestamp,
    ) -> Result<Option<Revealed>, VaultError> {
        self.service.reveal(tenant, token, now).await
    }

    /// See [`Vault::meta`].
    ///
    /// # Errors
    /// As there.
    pub async fn meta(
        &self,
        tenant: Tenant,
        token: &str,
        now: Timestamp,
    ) -> Result<Option<Token>, VaultError> {
        self.service.meta(tenant, token, now).await
    }

    /// See [`Vault::delete`].
    ///
    /// # Errors
    /// As there.
    pub async fn delete(&self, tenant: Tenant, token: &str) -> Result<bool, VaultError> {
        self.service.delete(tenant, token).await
    }

    /// See [`Vault::put`].
    ///
    /// # Errors
    /// As there.
    pub async fn put(
        &self,
        tenant: Tenant,
        kind: SealedKind,
        id: &str,
        value: &Secret,
        now: Timestamp,
    ) -> Result<(), VaultError> {
        self.service.put_until(tenant, kind, id, value, now, None).await
    }

    /// See [`Vault::put_until`].
    ///
    /// # Errors
    /// As there.
    pub async fn put_until(
        &self,
        tenant: Tenant,
        kind: SealedKind,
        id: &str,
        value: &Secret,
        now: Timestamp,
        expires_at: Option<Timestamp>,
    ) -> Result<(), VaultError> {
        self.service.put_until(tenant, kind, id, value, now, expires_at).await
    }

    /// See [`Vault::get`].
    ///
    /// # Errors
    /// As there.
    pub async fn get(
        &self,
        tenant: Tenant,
        kind: SealedKind,
        id: &str,
    ) -> Result<Option<Secret>, VaultError> {
        self.service.get(tenant, kind, id).await
    }

    /// See [`Vault::remove`].
    ///
    /// # Errors
    /// As there.
    pub async fn remove(
        &self,
        tenant: Tenant,
        kind: SealedKind,
        id: &str,
    ) -> Result<bool, VaultError> {
        self.service.remove(tenant, kind, id).await
    }

    /// See [`Vault::list`].
    ///
    /// # Errors
    /// As there.
    pub async fn list(
        &self,
        kind: SealedKind,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<SealedRef>, VaultError> {
        self.service.list(kind, before, limit).await
    }

    /// See [`Vault::fingerprint`]. Never call it with a CVV. A node whose vault is elsewhere has a key of its own for
    /// it: what it makes is not what the vault would make.
    #[must_use]
    pub fn fingerprint(&self, tenant: Tenant, value: &str) -> String {
        self.service.fingerprint(tenant, value)
    }

    /// See [`Vault::copies`].
    ///
    /// # Errors
    /// As there.
    pub async fn copies(&self, tenant: Tenant, payload: &Secret) -> Result<u64, VaultError> {
        self.service.copies(tenant, payload).await
    }

    /// See [`Vault::sweep`]. Where the vault is elsewhere it sweeps itself.
    ///
    /// # Errors
    /// As there.
    pub async fn sweep(&self, now: Timestamp, limit: u32) -> Result<u64, VaultError> {
        self.service.sweep(now, limit).await
    }

    /// Whether the vault answers.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn ping(&self) -> Result<(), VaultError> {
        self.service.ping().await
    }
}

#[async_trait]
impl VaultService for Vault {
    async fn tokenize(
        &self,
        tenant: Tenant,
        payload: &Secret,
        now: Timestamp,
    ) -> Result<Token, VaultError> {
        Self::tokenize(self, tenant, payload, now).await
    }

    async fn reveal(
        &self,
        tenant: Tenant,
        token: &str,
        now: Timestamp,
    ) -> Result<Option<Revealed>, VaultError> {
        Self::reveal(self, tenant, token, now).await
    }

    async fn meta(
        &self,
        tenant: Tenant,
        token: &str,
        now: Timestamp,
    ) -> Result<Option<Token>, VaultError> {
        Self::meta(self, tenant, token, now).await
    }

    async fn delete(&self, tenant: Tenant, token: &str) -> Result<bool, VaultError> {
        Self::delete(self, tenant, token).await
    }

    async fn put_until(
        &self,
        tenant: Tenant,
        kind: SealedKind,
        id: &str,
        value: &Secret,
        now: Timestamp,
        expires_at: Option<Timestamp>,
    ) -> Result<(), VaultError> {
        Self::put_until(self, tenant, kind, id, value, now, expires_at).await
    }

    async fn get(
        &self,
        tenant: Tenant,
        kind: SealedKind,
        id: &str,
    ) -> Result<Option<Secret>, VaultError> {
        Self::get(self, tenant, kind, id).await
    }

    async fn remove(&self, tenant: Tenant, kind: SealedKind, id: &str) -> Result<bool, VaultError> {
        Self::remove(self, tenant, kind, id).await
    }

    async fn list(
        &self,
        kind: SealedKind,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<SealedRef>, VaultError> {
        Self::list(self, kind, before, limit).await
    }

    fn fingerprint(&self, tenant: Tenant, value: &str) -> String {
        Self::fingerprint(self, tenant, value)
    }

    async fn copies(&self, tenant: Tenant, payload: &Secret) -> Result<u64, VaultError> {
        Self::copies(self, tenant, payload).await
    }

    async fn sweep(&self, now: Timestamp, limit: u32) -> Result<u64, VaultError> {
        Self::sweep(self, now, limit).await
    }

    async fn ping(&self) -> Result<(), VaultError> {
        Self::ping(self).await
    }
}
