//! The vault's keys, unwrapped and in memory; noticing those that another process made; counting uses.
//!
//! Guarantees: a process seals under the newest key that it knows, and looks for a newer one when it last
//! looked some seconds ago; a key under which a record was found and which it does not know is looked for
//! at once; a data key is replaced long before 2^32 random nonces, however many processes use it, because
//! uses are counted before they happen. Raw keys are wiped as soon as they are set up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::aead::RandomizedNonceKey;
use aws_lc_rs::{hmac, rand};
use baton_store::{CommitError, Guard, VaultKeyRow, VaultPurpose, VaultStore, VaultWrite};
use baton_types::Timestamp;
use zeroize::Zeroizing;

use crate::error::{RootError, VaultError, crypto};
use crate::root::RootKey;
use crate::seal::{self, KEY_BYTES};

/// After this long a process looks for new keys before it seals.
const FRESH_MS: i64 = 5_000;

/// How often a data key is used.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From how many uses on a data key is replaced by itself. Random nonces of 96 bits are good for 2^32.
    pub rotate_after: u64,
    /// How many uses a process counts at once, before they happen.
    pub block: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rotate_after: 1 << 30, block: 1 << 16 }
    }
}

/// Uses after which a data key is refused, should it be impossible to replace it.
const USES_MAX: u64 = (1 << 32) - (1 << 20);

/// A key that seals records.
pub(crate) struct DataKey {
    pub(crate) version: u32,
    pub(crate) aead: RandomizedNonceKey,
    /// Counted uses, of all processes, when last heard of.
    uses: AtomicU64,
    /// How many of those this process may still take.
    left: AtomicI64,
}

/// A key that makes fingerprints.
pub(crate) struct FingerprintKey {
    pub(crate) version: u32,
    pub(crate) key: hmac::Key,
}

/// All keys that this process can use.
pub(crate) struct Keys {
    data: BTreeMap<u32, Arc<DataKey>>,
    pub(crate) current: Arc<DataKey>,
    pub(crate) fingerprint: Arc<FingerprintKey>,
}

impl Keys {
    pub(crate) fn data(&self, version: u32) -> Option<&Arc<DataKey>> {
        self.data.get(&version)
    }
}

/// The keys, and where they come from.
pub(crate) struct Keyring {
    pub(crate) store: Arc<dyn VaultStore>,
    root: Arc<dyn RootKey>,
    limits: Limits,
    keys: RwLock<Arc<Keys>>,
    looked_at: AtomicI64,
    /// One at a time looks for keys, or counts uses.
    turn: tokio::sync::Mutex<()>,
}

impl Keyring {
    pub(crate) async fn open(
        store: Arc<dyn VaultStore>,
        root: Arc<dyn RootKey>,
        limits: Limits,
        now: Timestamp,
    ) -> Result<Self, VaultError> {
        on_root(&root, |root| root.reload()).await?;
        let mut rows = store.keys().await?;
        if rows.is_empty() {
            make_first(store.as_ref(), &root, now).await?;
            rows = store.keys().await?;
        }
        let held = root.ids();
        if let Some(foreign) = live(&rows).find_map(|(_, id, _)| (!held.contains(id)).then_some(id))
        {
            return Err(VaultError::Root(format!(
                "this vault's keys are wrapped by the root key {foreign}, and here is {}: restore the \
                 one that belongs to this database",
                held.join(", ")
            )));
        }
        let keys = RwLock::new(Arc::new(unwrap(&root, &rows, None).await?));
        let looked_at = AtomicI64::new(now.millis());
        Ok(Self { store, root, limits, keys, looked_at, turn: tokio::sync::Mutex::default() })
    }

    pub(crate) fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn root(&self) -> &Arc<dyn RootKey> {
        &self.root
    }

    /// Looks for keys that other processes have made.
    pub(crate) async fn reload(&self) -> Result<Arc<Keys>, VaultError> {
        let _turn = self.turn.lock().await;
        self.load().await
    }

    async fn load(&self) -> Result<Arc<Keys>, VaultError> {
        let rows = self.store.keys().await?;
        let known = self.keys();
        let unknown_root = live(&rows)
            .any(|(row, root, _)| !known.has(row) && !self.root.ids().iter().any(|id| id == root));
        if unknown_root {
            on_root(&self.root, |root| root.reload()).await?;
        }
        let keys = Arc::new(unwrap(&self.root, &rows, Some(&known)).await?);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&keys);
        Ok(keys)
    }

    /// The keys, after a look for new ones if the last is long ago.
    pub(crate) async fn fresh(&self, now: Timestamp) -> Result<Arc<Keys>, VaultError> {
        let last = self.looked_at.load(Ordering::Relaxed);
        if now.millis().saturating_sub(last).saturating_abs() < FRESH_MS {
            return Ok(self.keys());
        }
        let Ok(_turn) = self.turn.try_lock() else {
            // Somebody is looking already.
            return Ok(self.keys());
        };
        let keys = self.load().await?;
        self.looked_at.store(now.millis(), Ordering::Relaxed);
        Ok(keys)
    }

    /// A key by its version, looked for if it is unknown.
    pub(crate) async fn data(&self, version: u32) -> Result<Arc<DataKey>, VaultError> {
        if let Some(key) = self.keys().data(version) {
            return Ok(Arc::clone(key));
        }
        let lost = || VaultError::Damaged(format!("the data key {version} is lost"));
        self.reload().await?.data(version).map(Arc::clone).ok_or_else(lost)
    }

    /// The current key for one more use, which is counted first. Replaces a key that was used too often.
    pub(crate) async fn take_current(&self, now: Timestamp) -> Result<Arc<DataKey>, VaultError> {
        // Twice: once for a new key's first block.
        for _ in 0..4 {
            let key = Arc::clone(&self.keys().current);
            if key.left.fetch_sub(1, Ordering::Relaxed) > 0 {
                return Ok(key);
            }
            self.count_block(&key, now).await?;
        }
        Err(VaultError::Unavailable("the uses of the data key could not be counted".into()))
    }

    async fn count_block(&self, key: &DataKey, now: Timestamp) -> Result<(), VaultError> {
        let _turn = self.turn.lock().await;
        if key.left.load(Ordering::Relaxed) > 0 {
            return Ok(());
        }
        // Other processes have counted too, or replaced it already.
        if self.load().await?.current.version != key.version {
            return Ok(());
        }
        let uses = key.uses.load(Ordering::Relaxed);
        if uses >= self.limits.rotate_after {
            match self.add_key(VaultPurpose::Data, Some(key.version), now).await {
                Ok(version) => {
                    tracing::info!(version, "the vault's data key was used often and is replaced");
                    self.load().await?;
                    return Ok(());
                }
                Err(error) if uses >= USES_MAX => return Err(error),
                Err(error) => tracing::error!(%error, "the vault's data key cannot be replaced"),
            }
        }
        let block = self.limits.block;
        let (purpose, version) = (VaultPurpose::Data, key.version);
        self.store.commit(vec![VaultWrite::Use { purpose, version, count: block }]).await?;
        key.uses.fetch_add(block.into(), Ordering::Relaxed);
        key.left.store(block.into(), Ordering::Relaxed);
        Ok(())
    }

    /// Makes a new key of a purpose, and returns its version. With `replaces` nothing is made if there is a
    /// newer one than that.
    pub(crate) async fn add_key(
        &self,
        purpose: VaultPurpose,
        replaces: Option<u32>,
        now: Timestamp,
    ) -> Result<u32, VaultError> {
        for _ in 0..5 {
            let rows = self.store.keys().await?;
            let of_purpose = rows.iter().filter(|row| row.purpose == purpose);
            let newest = of_purpose.map(|row| row.version).max().unwrap_or(0);
            if replaces.is_some_and(|version| version < newest) {
                return Ok(newest);
            }
            on_root(&self.root, |root| root.reload()).await?;
            let root = self.registered_root().await?;
            let version = newest.saturating_add(1);
            let row = new_key(&self.root, root, purpose, version, now).await?;
            match self.store.commit(vec![VaultWrite::AddKey(row)]).await {
                Ok(()) => return Ok(version),
                // Another process was first, or retired the root: look again.
                Err(CommitError::Conflict(Guard::VaultKeyVersion)) if replaces.is_none() => {
                    return Ok(version);
                }
                Err(CommitError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(VaultError::Unavailable("other processes change the vault's keys all the time".into()))
    }

    /// The newest root key at hand that may wrap. One that was made by a rotation that was interrupted may
    /// not yet.
    pub(crate) async fn registered_root(&self) -> Result<String, VaultError> {
        let registered = self.store.roots().await?;
        let usable = self.root.ids().into_iter().find(|id| registered.contains(id));
        usable.ok_or_else(|| {
            let theirs = registered.join(", ");
            VaultError::Root(format!("none of this vault's root keys is here; it has {theirs}"))
        })
    }
}

impl Keys {
    fn has(&self, row: &VaultKeyRow) -> bool {
        match row.purpose {
            VaultPurpose::Data => self.data.contains_key(&row.version),
            VaultPurpose::Fingerprint => self.fingerprint.version == row.version,
        }
    }
}

/// Keys that are not retired, with their root and wrapped bytes.
pub(crate) fn live(
    rows: &[VaultKeyRow],
) -> impl DoubleEndedIterator<Item = (&VaultKeyRow, &String, &Vec<u8>)> {
    rows.iter().filter_map(|row| Some((row, row.root.as_ref()?, row.wrapped.as_ref()?)))
}

/// What a wrapped key is bound to.
pub(crate) fn additional_data(purpose: VaultPurpose, version: u32) -> Vec<u8> {
    format!("baton vault key 1 {} {version}", purpose.as_str()).into_bytes()
}

/// Runs what may block on another thread.
pub(crate) async fn on_root<T: Send + 'static>(
    root: &Arc<dyn RootKey>,
    run: impl FnOnce(&dyn RootKey) -> Result<T, RootError> + Send + 'static,
) -> Result<T, VaultError> {
    let root = Arc::clone(root);
    let done = tokio::task::spawn_blocking(move || run(root.as_ref())).await;
    let stopped = |_| VaultError::Unavailable("the root key's thread has stopped".into());
    Ok(done.map_err(stopped)??)
}

async fn new_key(
    root: &Arc<dyn RootKey>,
    root_id: String,
    purpose: VaultPurpose,
    version: u32,
    now: Timestamp,
) -> Result<VaultKeyRow, VaultError> {
    let mut plain = Zeroizing::new([0_u8; KEY_BYTES]);
    rand::fill(plain.as_mut()).map_err(crypto)?;
    let aad = additional_data(purpose, version);
    let id = root_id.clone();
    let wrapped = on_root(root, move |root| root.wrap(&id, plain.as_ref(), &aad)).await?;
    Ok(VaultKeyRow {
        purpose,
        version,
        root: Some(root_id),
        wrapped: Some(wrapped),
        uses: 0,
        created_at: now,
        retired_at: None,
    })
}

/// Makes the keys of an empty vault. Of several processes at once one does.
async fn make_first(
    store: &dyn VaultStore,
    root: &Arc<dyn RootKey>,
    now: Timestamp,
) -> Result<(), VaultError> {
    let id = root.id();
    let mut writes = vec![VaultWrite::AddRoot { id: id.clone(), at: now }];
    for purpose in [VaultPurpose::Data, VaultPurpose::Fingerprint] {
        writes.push(VaultWrite::AddKey(new_key(root, id.clone(), purpose, 1, now).await?));
    }
    match store.commit(writes).await {
        Ok(()) | Err(CommitError::Conflict(Guard::VaultKeyVersion)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Unwraps what is not known yet. A key whose root is not here is left out: what is under it cannot be
/// opened, but everything else goes on.
async fn unwrap(
    root: &Arc<dyn RootKey>,
    rows: &[VaultKeyRow],
    known: Option<&Keys>,
) -> Result<Keys, VaultError> {
    let mut data = BTreeMap::new();
    let mut fingerprint = None;
    for (row, root_id, wrapped) in live(rows) {
        let reused = known.filter(|keys| keys.has(row));
        match (row.purpose, reused) {
            (VaultPurpose::Data, Some(keys)) => {
                if let Some(key) = keys.data(row.version) {
                    key.uses.store(row.uses, Ordering::Relaxed);
                    data.insert(row.version, Arc::clone(key));
                }
                continue;
            }
            (VaultPurpose::Fingerprint, Some(keys)) => {
                fingerprint = Some(Arc::clone(&keys.fingerprint));
                continue;
            }
            (_, None) => {}
        }
        let aad = additional_data(row.purpose, row.version);
        let (id, bytes) = (root_id.clone(), wrapped.clone());
        let plain = match on_root(root, move |root| root.unwrap(&id, &bytes, &aad)).await {
            Ok(plain) => plain,
            Err(error) if known.is_some() => {
                let version = row.version;
                tracing::error!(%error, purpose = row.purpose.as_str(), version, "a key is not usable");
                continue;
            }
            Err(error) => return Err(error),
        };
        let version = row.version;
        match row.purpose {
            VaultPurpose::Data => {
                let key = DataKey {
                    version,
                    aead: seal::key(&plain)?,
                    uses: AtomicU64::new(row.uses),
                    left: AtomicI64::new(0),
                };
                data.insert(version, Arc::new(key));
            }
            VaultPurpose::Fingerprint => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, &plain);
                fingerprint = Some(Arc::new(FingerprintKey { version, key }));
            }
        }
    }
    let none = || VaultError::Root("the vault has no key that can be used".into());
    let current = data.last_key_value().map(|(_, key)| Arc::clone(key)).ok_or_else(none)?;
    let fingerprint = match (fingerprint, known) {
        (Some(key), _) => key,
        (None, Some(keys)) => Arc::clone(&keys.fingerprint),
        (None, None) => return Err(none()),
    };
    Ok(Keys { data, current, fingerprint })
}
