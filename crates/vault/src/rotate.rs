//! Replacing keys. Old ones stay to read until everything under them is encrypted again.

use baton_store::{CommitError, Guard, VaultPurpose, VaultWrite};
use baton_types::Timestamp;

use crate::error::VaultError;
use crate::keyring::{additional_data, live, on_root};
use crate::vault::Vault;

/// How often keys are wrapped again because another process made one meanwhile.
const ROUNDS: usize = 20;

impl Vault {
    /// Makes a new data key, under which everything is sealed from now on; returns its version.
    ///
    /// # Errors
    /// `Unavailable` or `Root`. Nothing has changed, or the key is there.
    pub async fn rotate_data_key(&self, now: Timestamp) -> Result<u32, VaultError> {
        let version = self.ring.add_key(VaultPurpose::Data, None, now).await?;
        self.ring.reload().await?;
        Ok(version)
    }

    /// Makes a new fingerprint key; returns its version. Fingerprints by the old one are found again once
    /// [`Vault::reencrypt`] has been run.
    ///
    /// # Errors
    /// As [`Vault::rotate_data_key`].
    pub async fn rotate_fingerprint_key(&self, now: Timestamp) -> Result<u32, VaultError> {
        let version = self.ring.add_key(VaultPurpose::Fingerprint, None, now).await?;
        self.ring.reload().await?;
        Ok(version)
    }

    /// Makes a new root key, wraps every key by it, and destroys the old one; returns the new one's id. If
    /// an earlier rotation was interrupted, that one is brought to its end and no other key is made.
    ///
    /// At every moment each key is wrapped by a root key that is kept.
    ///
    /// # Errors
    /// `Unavailable` or `Root`. Run it again.
    pub async fn rotate_root(&self, now: Timestamp) -> Result<String, VaultError> {
        let (store, root) = (&self.ring.store, self.ring.root());
        on_root(root, |root| root.reload()).await?;
        let registered = store.roots().await?;
        let unfinished =
            root.ids().len() > 1 || registered.len() > 1 || !registered.contains(&root.id());
        if !unfinished {
            on_root(root, |root| root.add()).await?;
        }
        let target = root.id();
        store.commit(vec![VaultWrite::AddRoot { id: target.clone(), at: now }]).await?;
        for _ in 0..ROUNDS {
            self.rewrap(&target).await?;
            if self.remove_roots_but(&target).await? {
                for old in root.ids().into_iter().filter(|id| *id != target) {
                    on_root(root, move |root| root.forget(&old)).await?;
                }
                return Ok(target);
            }
        }
        Err(VaultError::Unavailable("other processes change the vault's keys all the time".into()))
    }

    /// Wraps every key that is wrapped by another root.
    async fn rewrap(&self, target: &str) -> Result<(), VaultError> {
        let rows = self.ring.store.keys().await?;
        for (row, old_root, old) in live(&rows).filter(|(_, id, _)| *id != target) {
            let aad = additional_data(row.purpose, row.version);
            let (from, to, bytes) = (old_root.clone(), target.to_owned(), old.clone());
            let wrapped = on_root(self.ring.root(), move |root| {
                let plain = root.unwrap(&from, &bytes, &aad)?;
                root.wrap(&to, &plain, &aad)
            });
            let write = VaultWrite::Rewrap {
                purpose: row.purpose,
                version: row.version,
                old: old.clone(),
                root: target.to_owned(),
                wrapped: wrapped.await?,
            };
            self.ring.store.commit(vec![write]).await?;
        }
        Ok(())
    }

    /// Whether no other root may wrap any more. Not if a key has come under one meanwhile.
    async fn remove_roots_but(&self, target: &str) -> Result<bool, VaultError> {
        let others = self.ring.store.roots().await?;
        for id in others.into_iter().filter(|id| id != target) {
            match self.ring.store.commit(vec![VaultWrite::RemoveRoot { id }]).await {
                Ok(()) => {}
                Err(CommitError::Conflict(Guard::VaultKeyInUse)) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }
}
