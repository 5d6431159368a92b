//! Storing and reading: tokens, and secrets with names.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use baton_store::{CommitError, Guard, VaultRecord, VaultStore, VaultWrite};
use baton_types::{MerchantId, Secret, Timestamp};

use crate::error::VaultError;
use crate::keyring::{FingerprintKey, Keyring, Limits};
use crate::root::RootKey;
use crate::seal::{self, Bound};
use crate::token;

/// How long a CVV can be used.
const CVV_LIFE_MS: i64 = 15 * 60 * 1_000;
/// How often a record is sealed again because its key was retired meanwhile.
const TRIES: usize = 5;

const PAYLOAD: &str = "payload";
const CVV: &str = "cvv";

/// Whose a record is. It opens for nobody else.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tenant {
    /// The merchant.
    pub merchant: MerchantId,
    /// The merchant's sandbox, or its live side.
    pub sandbox: bool,
}

/// A token that stands for a payload.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// 32 letters and digits.
    pub text: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// What it stands for.
    pub kind: TokenKind,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("created_at", &self.created_at)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// What a token stands for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TokenKind {
    /// Anything that is kept until it is deleted.
    Payload,
    /// Three or four digits: for 15 minutes, to be used once.
    Cvv,
}

/// A payload in clear.
#[derive(Debug)]
pub struct Revealed {
    /// The payload.
    pub payload: Secret,
    /// When its token was made.
    pub created_at: Timestamp,
    /// What it is.
    pub kind: TokenKind,
}

/// A secret with a name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SealedKind {
    /// What a stored account needs at its provider.
    AccountCredentials,
    /// What came with a request, kept as long as its payment may need it.
    InlineCredentials,
    /// A certificate and its key, for providers that ask for one.
    ClientCertificate,
    /// The card of an intent that is not confirmed yet.
    IntentCard,
    /// A customer's saved card.
    SavedCard,
    /// What a merchant's vault elsewhere has to be given.
    VaultCredentials,
    /// What a merchant's webhooks are signed with.
    WebhookSecret,
}

impl SealedKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::AccountCredentials,
        Self::InlineCredentials,
        Self::ClientCertificate,
        Self::IntentCard,
        Self::SavedCard,
        Self::VaultCredentials,
        Self::WebhookSecret,
    ];

    /// The word that is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccountCredentials => "account_credentials",
            Self::InlineCredentials => "inline_credentials",
            Self::ClientCertificate => "client_certificate",
            Self::IntentCard => "intent_card",
            Self::SavedCard => "saved_card",
            Self::VaultCredentials => "vault_credentials",
            Self::WebhookSecret => "webhook_secret",
        }
    }
}

/// Where a secret is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedRef {
    /// Whose.
    pub tenant: Tenant,
    /// Its name.
    pub id: String,
    /// When it was put.
    pub created_at: Timestamp,
}

/// The vault. A clone is the same vault.
#[derive(Clone)]
pub struct Vault {
    pub(crate) ring: Arc<Keyring>,
}

impl Vault {
    /// Opens a vault; makes the first keys if the store is empty.
    ///
    /// # Errors
    /// `Root` if the store's keys are wrapped by a root key that is not at hand.
    pub async fn open(
        store: Arc<dyn VaultStore>,
        root: Arc<dyn RootKey>,
        now: Timestamp,
    ) -> Result<Self, VaultError> {
        Self::open_with(store, root, now, Limits::default()).await
    }

    /// Opens a vault whose data keys are replaced after another number of uses.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub async fn open_with(
        store: Arc<dyn VaultStore>,
        root: Arc<dyn RootKey>,
        now: Timestamp,
        limits: Limits,
    ) -> Result<Self, VaultError> {
        Ok(Self { ring: Arc::new(Keyring::open(store, root, limits, now).await?) })
    }

    /// Stores a payload under a new token. Three or four digits are a CVV.
    ///
    /// # Errors
    /// `Unavailable`; then nobody knows the token of what may have been stored.
    pub async fn tokenize(
        &self,
        tenant: Tenant,
        payload: &Secret,
        now: Timestamp,
    ) -> Result<Token, VaultError> {
        let text = token::generate()?;
        let id = token::record_of_token(&text);
        if is_cvv(payload.expose()) {
            self.store_cvv(tenant, &text, id, payload, now).await?;
            return Ok(Token { text, created_at: now, kind: TokenKind::Cvv });
        }
        let blank = blank(tenant, id, PAYLOAD, now);
        self.seal_and_commit(&blank, payload, now, VaultWrite::Insert).await?;
        Ok(Token { text, created_at: now, kind: TokenKind::Payload })
    }

    async fn store_cvv(
        &self,
        tenant: Tenant,
        token: &str,
        id: Vec<u8>,
        payload: &Secret,
        now: Timestamp,
    ) -> Result<(), VaultError> {
        let key = seal::key_of_token(token, &id)?;
        let mut row = blank(tenant, id, CVV, now);
        row.expires_at = Some(now.plus_millis(CVV_LIFE_MS));
        row.sealed = seal::seal(&key, Bound::of(&row), payload)?;
        Ok(self.ring.store.commit(vec![VaultWrite::Insert(row)]).await?)
    }

    /// Seals under the current key, again if that was retired before the record was stored.
    async fn seal_and_commit(
        &self,
        blank: &VaultRecord,
        payload: &Secret,
        now: Timestamp,
        write: fn(VaultRecord) -> VaultWrite,
    ) -> Result<(), VaultError> {
        self.ring.fresh(now).await?;
        for _ in 0..TRIES {
            let row = self.seal(blank, payload, now).await?;
            match self.ring.store.commit(vec![write(row)]).await {
                Err(CommitError::Conflict(Guard::VaultKeyInUse)) => self.ring.reload().await?,
                done => return Ok(done?),
            };
        }
        Err(VaultError::Unavailable("the vault's keys change all the time".into()))
    }

    /// The record with its text, under the current keys.
    pub(crate) async fn seal(
        &self,
        blank: &VaultRecord,
        payload: &Secret,
        now: Timestamp,
    ) -> Result<VaultRecord, VaultError> {
        let key = self.ring.take_current(now).await?;
        let mut row = blank.clone();
        row.key_version = Some(key.version);
        if row.kind == PAYLOAD {
            let fingerprint = Arc::clone(&self.ring.keys().fingerprint);
            let tenant = Tenant { merchant: row.merchant, sandbox: row.sandbox };
            row.fingerprint = Some(keyed_hash(&fingerprint, tenant, payload.expose()));
            row.fingerprint_version = Some(fingerprint.version);
        }
        row.sealed = seal::seal(&key.aead, Bound::of(&row), payload)?;
        Ok(row)
    }

    /// The text of a record under one of the vault's keys.
    pub(crate) async fn open_record(&self, row: &VaultRecord) -> Result<Secret, VaultError> {
        let version = row.key_version;
        let version = version.ok_or_else(|| VaultError::Damaged("a record has no key".into()))?;
        let key = self.ring.data(version).await?;
        seal::open(&key.aead, Bound::of(row), &row.sealed)
    }

    /// What a token stands for; none if the tenant has no such token. A CVV is durably deleted before its
    /// value is returned: of several callers one gets it.
    ///
    /// # Errors
    /// `Damaged`, or `Unavailable`; a CVV may be gone then too.
    pub async fn reveal(
        &self,
        tenant: Tenant,
        token: &str,
        now: Timestamp,
    ) -> Result<Option<Revealed>, VaultError> {
        let Some((row, kind)) = self.find(tenant, token, now).await? else { return Ok(None) };
        let (row, payload) = match kind {
            TokenKind::Payload => {
                let payload = self.open_record(&row).await?;
                (row, payload)
            }
            TokenKind::Cvv => {
                let store = &self.ring.store;
                let Some(row) = store.take(&row.id, tenant.merchant, tenant.sandbox).await? else {
                    return Ok(None);
                };
                let key = seal::key_of_token(token, &row.id)?;
                let payload = seal::open(&key, Bound::of(&row), &row.sealed)?;
                (row, payload)
            }
        };
        Ok(Some(Revealed { payload, created_at: row.created_at, kind }))
    }

    /// What is known about a token without opening it.
    ///
    /// # Errors
    /// `Unavailable` or `Damaged`.
    pub async fn meta(
        &self,
        tenant: Tenant,
        token: &str,
        now: Timestamp,
    ) -> Result<Option<Token>, VaultError> {
        let found = self.find(tenant, token, now).await?;
        Ok(found.map(|(row, kind)| Token {
            text: token.to_owned(),
            created_at: row.created_at,
            kind,
        }))
    }

    async fn find(
        &self,
        tenant: Tenant,
        token: &str,
        now: Timestamp,
    ) -> Result<Option<(VaultRecord, TokenKind)>, VaultError> {
        if !token::is_token(token) {
            return Ok(None);
        }
        let row = self.ring.store.record(&token::record_of_token(token)).await?;
        let row = row
            .filter(|row| (row.merchant, row.sandbox) == (tenant.merchant, tenant.sandbox))
            .filter(|row| row.expires_at.is_none_or(|expires| now < expires));
        let Some(row) = row else { return Ok(None) };
        let kind = match row.kind.as_str() {
            PAYLOAD => TokenKind::Payload,
            CVV => TokenKind::Cvv,
            other => return Err(VaultError::Damaged(format!("a token is a {other}"))),
        };
        Ok(Some((row, kind)))
    }

    /// Deletes a token; says whether the tenant had it.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn delete(&self, tenant: Tenant, token: &str) -> Result<bool, VaultError> {
        if !token::is_token(token) {
            return Ok(false);
        }
        self.take(tenant, &token::record_of_token(token)).await
    }

    async fn take(&self, tenant: Tenant, id: &[u8]) -> Result<bool, VaultError> {
        let taken = self.ring.store.take(id, tenant.merchant, tenant.sandbox).await?;
        Ok(taken.is_some())
    }

    /// Stores a secret by its name, in place of the one that had it.
    ///
    /// # Errors
    /// `Unavailable`; it may have been stored, and can be put again.
    pub async fn put(
        &self,
        tenant: Tenant,
        kind: SealedKind,
        id: &str,
        value: &Secret,
        now: Timestamp,
    ) -> Result<(), VaultError> {
        self.put_until(tenant, kind, id, value, now, None).await
    }

    /// The same, for a time: after it the secret is swept.
    ///
    /// # Errors
    /// As [`Vault::put`].
    pub async fn put_until(
        &self,
        tenant: Tenant,
        kind: SealedKind,
        id: &str,
        value: &Secret,
        now: Timestamp,
        expires_at: Option<Timestamp>,
    ) -> Result<(), VaultError> {
        let record = token::record_of_secret(tenant, kind, id);
        let mut blank = blank(tenant, record, kind.as_str(), now);
        blank.name = Some(id.to_owned());
        blank.expires_at = expires_at;
        self.seal_and_commit(&blank, value, now, VaultWrite::Put).await
    }

    /// A secret by its name, until it is removed or swept.
    ///
    /// # Errors
    /// `Unavailable` or `Damaged`.
    pub async fn get(
        &self,
        tenant: Tenant,
        kind: SealedKind,
        id: &str,
    ) -> Result<Option<Secret>, VaultError> {
        let record = token::record_of_secret(tenant, kind, id);
        match self.ring.store.record(&record).await? {
            Some(row) => self.open_record(&row).await.map(Some),
            None => Ok(None),
        }
    }

    /// Deletes a secret; says whether it was there.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn remove(
        &self,
        tenant: Tenant,
        kind: SealedKind,
        id: &str,
    ) -> Result<bool, VaultError> {
        self.take(tenant, &token::record_of_secret(tenant, kind, id)).await
    }

    /// Secrets of a kind that were put before a time, of all tenants, the oldest first.
    ///
    /// # Errors
    /// `Unavailable` or `Damaged`.
    pub async fn list(
        &self,
        kind: SealedKind,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<SealedRef>, VaultError> {
        let rows = self.ring.store.list(kind.as_str(), before, limit).await?;
        let place = |row: VaultRecord| SealedRef {
            tenant: Tenant { merchant: row.merchant, sandbox: row.sandbox },
            id: row.name.unwrap_or_default(),
            created_at: row.created_at,
        };
        Ok(rows.into_iter().map(place).collect())
    }

    /// A keyed hash by which equal values of a tenant are recognised: 64 lower-case hexadecimal digits. It
    /// changes when the fingerprint key is replaced. Never call it with a CVV.
    #[must_use]
    pub fn fingerprint(&self, tenant: Tenant, value: &str) -> String {
        let hash = keyed_hash(&self.ring.keys().fingerprint, tenant, value);
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// How many tokens of a tenant stand for a payload. It finds those whose fingerprint is by the current
    /// key. Never call it with a CVV.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn copies(&self, tenant: Tenant, payload: &Secret) -> Result<u64, VaultError> {
        let fingerprint = Arc::clone(&self.ring.keys().fingerprint);
        let hash = keyed_hash(&fingerprint, tenant, payload.expose());
        Ok(self.ring.store.copies(&hash).await?)
    }

    /// Deletes up to `limit` CVVs and other records whose time is over; says how many.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn sweep(&self, now: Timestamp, limit: u32) -> Result<u64, VaultError> {
        Ok(self.ring.store.sweep(now, limit).await?)
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn ping(&self) -> Result<(), VaultError> {
        Ok(self.ring.store.ping().await?)
    }
}

fn is_cvv(payload: &str) -> bool {
    matches!(payload.len(), 3 | 4) && payload.bytes().all(|byte| byte.is_ascii_digit())
}

/// A record without its text.
fn blank(tenant: Tenant, id: Vec<u8>, kind: &str, now: Timestamp) -> VaultRecord {
    VaultRecord {
        id,
        kind: kind.to_owned(),
        merchant: tenant.merchant,
        sandbox: tenant.sandbox,
        name: None,
        created_at: now,
        expires_at: None,
        key_version: None,
        fingerprint: None,
        fingerprint_version: None,
        sealed: Vec::new(),
    }
}

/// The tenant is part of what is hashed: equal values of two tenants look different.
fn keyed_hash(key: &FingerprintKey, tenant: Tenant, value: &str) -> Vec<u8> {
    hash_under(&key.key, tenant, value)
}

pub(crate) fn hash_under(key: &hmac::Key, tenant: Tenant, value: &str) -> Vec<u8> {
    let mut context = hmac::Context::with_key(key);
    context.update(b"baton vault fingerprint 1");
    context.update(&[u8::from(tenant.sandbox)]);
    context.update(tenant.merchant.as_bytes());
    context.update(value.as_bytes());
    context.sign().as_ref().to_vec()
}
