//! The process dies before each of its writes in turn, to the database or to the root keys. Afterwards
//! everything opens, and what was begun can be brought to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use baton_store::{
    CommitError, StoreError, VaultCount, VaultInfo, VaultKeyRow, VaultRecord, VaultStore,
    VaultWrite,
};
use baton_types::{MerchantId, Timestamp};
use baton_vault::{FileRoot, RootError, RootKey, Vault};
use zeroize::Zeroizing;

use crate::rotation::all_open;
use crate::support::*;

/// How many writes the process has left before it dies.
struct Life(AtomicI64);

impl Life {
    fn step(&self) -> bool {
        self.0.fetch_sub(1, Ordering::Relaxed) > 0
    }
}

struct Mortal<T: ?Sized> {
    life: Arc<Life>,
    inner: Arc<T>,
}

#[async_trait]
impl VaultStore for Mortal<dyn VaultStore> {
    async fn commit(&self, writes: Vec<VaultWrite>) -> Result<(), CommitError> {
        if self.life.step() {
            return self.inner.commit(writes).await;
        }
        Err(CommitError::Unavailable("it died".into()))
    }
    async fn roots(&self) -> Result<Vec<String>, StoreError> {
        self.inner.roots().await
    }
    async fn keys(&self) -> Result<Vec<VaultKeyRow>, StoreError> {
        self.inner.keys().await
    }
    async fn record(&self, id: &[u8]) -> Result<Option<VaultRecord>, StoreError> {
        self.inner.record(id).await
    }
    async fn take(
        &self,
        id: &[u8],
        merchant: MerchantId,
        sandbox: bool,
    ) -> Result<Option<VaultRecord>, StoreError> {
        self.inner.take(id, merchant, sandbox).await
    }
    async fn copies(&self, fingerprint: &[u8]) -> Result<u64, StoreError> {
        self.inner.copies(fingerprint).await
    }
    async fn list(
        &self,
        kind: &str,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<VaultRecord>, StoreError> {
        self.inner.list(kind, before, limit).await
    }
    async fn sweep(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.inner.sweep(now, limit).await
    }
    async fn stale(
        &self,
        key_version: u32,
        fingerprint_version: u32,
        after: &[u8],
        limit: u32,
    ) -> Result<Vec<VaultRecord>, StoreError> {
        self.inner.stale(key_version, fingerprint_version, after, limit).await
    }
    async fn counts(&self) -> Result<Vec<VaultCount>, StoreError> {
        self.inner.counts().await
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }
    async fn describe(&self) -> Result<VaultInfo, StoreError> {
        self.inner.describe().await
    }
}

impl RootKey for Mortal<FileRoot> {
    fn ids(&self) -> Vec<String> {
        self.inner.ids()
    }
    fn wrap(&self, root: &str, plain: &[u8], aad: &[u8]) -> Result<Vec<u8>, RootError> {
        self.inner.wrap(root, plain, aad)
    }
    fn unwrap(
        &self,
        root: &str,
        wrapped: &[u8],
        aad: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, RootError> {
        self.inner.unwrap(root, wrapped, aad)
    }
    fn reload(&self) -> Result<(), RootError> {
        self.inner.reload()
    }
    fn add(&self) -> Result<(), RootError> {
        if self.life.step() { self.inner.add() } else { Err(RootError("it died".into())) }
    }
    fn forget(&self, root: &str) -> Result<(), RootError> {
        if self.life.step() { self.inner.forget(root) } else { Err(RootError("it died".into())) }
    }
}

async fn everything(vault: &Vault) -> Result<(), baton_vault::VaultError> {
    vault.rotate_data_key(at(1)).await?;
    vault.rotate_fingerprint_key(at(1)).await?;
    vault.rotate_root(at(1)).await?;
    vault.reencrypt(3, at(1), &mut |_| {}).await?;
    vault.rotate_root(at(1)).await?;
    Ok(())
}

#[tokio::test]
async fn whichever_write_is_its_last_everything_opens_and_can_be_finished() {
    let mut deaths = 0;
    for lives in 0.. {
        let place = memory().await;
        let vault = place.vault().await;
        let mut made = Vec::new();
        for n in 0..8 {
            let payload = format!("payload {n}");
            let token = vault.tokenize(tenant(1), &secret(&payload), at(0)).await.unwrap();
            made.push((token, payload));
        }
        let life = Arc::new(Life(AtomicI64::new(lives)));
        let store = Mortal { life: Arc::clone(&life), inner: Arc::clone(&place.store) };
        let root = Mortal { life, inner: place.root() };
        let mortal = Vault::open(Arc::new(store), Arc::new(root), at(0)).await.unwrap();
        let died = everything(&mortal).await.is_err();
        deaths += u32::from(died);

        let next = place.vault().await;
        all_open(&next, &made).await;
        everything(&next).await.unwrap();
        all_open(&place.vault().await, &made).await;
        let keys = place.store.keys().await.unwrap();
        assert_eq!(keys.iter().filter(|row| row.retired_at.is_none()).count(), 2, "{keys:?}");
        assert_eq!(place.root().ids(), place.store.roots().await.unwrap());
        if !died {
            break;
        }
    }
    assert!(deaths > 15, "{deaths}");
}
