//! API keys: made once, shown once, stored as a hash, revocable; making and ending one is audited.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use baton_store::{ApiKeyRow, Store, StoreError, Write, WriteSet};
use baton_types::{ApiKeyId, MerchantId, Secret, Timestamp};
use serde_json::json;
use tokio::time::Instant;

use crate::audit::{Action, Actor, Audit, Entry};
use crate::error::EngineError;
use crate::{Clock, new_id};

/// How long a key is used before it is read again: a revocation takes effect within this time.
const FRESH: Duration = Duration::from_secs(2);

/// Most keys that are remembered at once.
const REMEMBERED_MAX: usize = 10_000;

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The Gateway API.
    Gateway,
    /// What is under `/admin/v1`.
    Admin,
    /// The Payments API, for a merchant's server.
    Payments,
    /// The Payments API, for browsers: with the secret of an intent only.
    Publishable,
    /// The Payments API, for one customer's browser and a short time.
    Ephemeral,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 5] =
        [Self::Gateway, Self::Admin, Self::Payments, Self::Publishable, Self::Ephemeral];

    /// The word that is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Admin => "admin",
            Self::Payments => "payments",
            Self::Publishable => "publishable",
            Self::Ephemeral => "ephemeral",
        }
    }

    /// A scope by its word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

/// A key to make.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Whose.
    pub merchant: MerchantId,
    /// What the operator calls it.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// For test accounts only.
    pub sandbox: bool,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// Its own limit, in requests per second; the node's default if absent.
    pub rate_limit: Option<u32>,
}

/// Makes a key. The text is shown to its owner now and never again.
///
/// # Errors
/// The store does not answer.
pub async fn create(
    audit: &Audit,
    actor: Actor,
    new: NewKey,
) -> Result<(ApiKeyRow, Secret), EngineError> {
    let clock = audit.clock();
    let key = generate(clock, prefix(&new));
    let row = ApiKeyRow {
        id: new_id(clock),
        merchant: new.merchant,
        hash: hash(key.expose()),
        hint: hint(key.expose()),
        name: new.name,
        scopes: new.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        sandbox: new.sandbox,
        created_at: clock.now(),
        expires_at: new.expires_at,
        revoked_at: None,
        rate_limit: new.rate_limit,
    };
    let detail = json!({
        "name": row.name,
        "hint": row.hint,
        "scopes": row.scopes,
        "sandbox": row.sandbox,
        "rate_limit": row.rate_limit,
        "expires_at": row.expires_at.map(Timestamp::to_rfc3339),
    });
    let entry = entry(actor, Action::KeyCreated, row.merchant, row.id, detail);
    audit.commit_with(entry, WriteSet::from(vec![Write::ApiKey(row.clone())])).await?;
    Ok((row, key))
}

/// How a key begins tells what it is for, so that nobody puts a secret one into a page.
fn prefix(new: &NewKey) -> &'static str {
    match (new.scopes.contains(&Scope::Publishable), new.scopes.contains(&Scope::Ephemeral)) {
        (true, _) => "pk_",
        (_, true) => "epk_",
        (false, false) if new.sandbox => "sk_sandbox_",
        (false, false) => "sk_live_",
    }
}

/// A merchant's key by its id.
///
/// # Errors
/// The store does not answer, or the merchant has no such key.
pub async fn get(
    store: &dyn Store,
    merchant: MerchantId,
    id: ApiKeyId,
) -> Result<ApiKeyRow, EngineError> {
    let rows = store.api_keys(merchant).await?;
    rows.into_iter().find(|row| row.id == id).ok_or(EngineError::NotFound)
}

/// Changes a key's name and end.
///
/// # Errors
/// The store does not answer.
pub async fn rename(
    audit: &Audit,
    actor: Actor,
    row: ApiKeyRow,
    name: String,
    expires_at: Option<Timestamp>,
) -> Result<ApiKeyRow, EngineError> {
    let row = ApiKeyRow { name, expires_at, ..row };
    let detail = json!({
        "name": row.name,
        "expires_at": row.expires_at.map(Timestamp::to_rfc3339),
    });
    let entry = entry(actor, Action::KeyChanged, row.merchant, row.id, detail);
    let set = WriteSet::from(vec![Write::RenameApiKey {
        id: row.id,
        name: row.name.clone(),
        expires_at: row.expires_at,
    }]);
    audit.commit_with(entry, set).await?;
    Ok(row)
}

/// Ends a key of a merchant. A key that has ended stays ended; an unknown one is `NotFound`.
///
/// # Errors
/// The store does not answer, or the merchant has no such key.
pub async fn revoke(
    audit: &Audit,
    actor: Actor,
    merchant: MerchantId,
    id: ApiKeyId,
) -> Result<(), EngineError> {
    let row = get(audit.store(), merchant, id).await?;
    if row.revoked_at.is_some() {
        return Ok(());
    }
    let entry = entry(actor, Action::KeyRevoked, merchant, id, json!({ "name": row.name }));
    let at = audit.clock().now();
    Ok(audit.commit_with(entry, WriteSet::from(vec![Write::RevokeApiKey { id, at }])).await?)
}

fn entry(
    actor: Actor,
    action: Action,
    merchant: MerchantId,
    key: ApiKeyId,
    detail: serde_json::Value,
) -> Entry {
    let (merchant, subject) = (Some(merchant), key.to_string());
    Entry { merchant, actor, action, subject, detail, request_id: None }
}

/// 32 characters of 31 unambiguous ones: 158 bits.
#[must_use]
pub fn generate(clock: &dyn Clock, prefix: &str) -> Secret {
    const ALPHABET: &[u8] = b"23456789abcdefghjkmnpqrstuvwxyz";
    let mut text = String::with_capacity(prefix.len().saturating_add(32));
    text.push_str(prefix);
    let end = prefix.len().saturating_add(32);
    while text.len() < end {
        let mut byte = [0_u8; 1];
        clock.random(&mut byte);
        // Bytes from 248 on would favour the first letters.
        if let [byte @ ..248] = byte {
            let letter = usize::from(byte) % ALPHABET.len();
            text.extend(ALPHABET.get(letter).map(|b| char::from(*b)));
        }
    }
    Secret::new(text)
}

fn hint(key: &str) -> String {
    let skip = key.chars().count().saturating_sub(4);
    key.chars().skip(skip).collect()
}

/// A key is as random as a hash: no salt and no slow hash are needed.
fn hash(key: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, key.as_bytes()).as_ref().to_vec()
}

type Remembered = HashMap<Vec<u8>, (Instant, Option<ApiKeyRow>)>;

/// Knows keys by their text, and remembers them for a moment.
#[derive(Default)]
pub struct Keyring {
    remembered: Mutex<Remembered>,
}

impl Keyring {
    /// The key, if it is valid now.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn authenticate(
        &self,
        store: &dyn Store,
        clock: &dyn Clock,
        text: &str,
    ) -> Result<Option<ApiKeyRow>, StoreError> {
        let hash = hash(text);
        let row = match self.recall(&hash) {
            Some(row) => row,
            None => {
                let row = store.api_key_by_hash(&hash).await?;
                self.remember(hash, row.clone());
                row
            }
        };
        let now = clock.now();
        Ok(row.filter(|row| {
            row.revoked_at.is_none() && row.expires_at.is_none_or(|expires| now < expires)
        }))
    }

    /// Whether this key was valid when it was last looked up, not long ago. Asks nobody.
    #[must_use]
    pub fn remembers(&self, text: &str) -> bool {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.get(&hash(text)).is_some_and(|(_, row)| row.is_some())
    }

    fn recall(&self, hash: &[u8]) -> Option<Option<ApiKeyRow>> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, row) = remembered.get(hash)?;
        (at.elapsed() < FRESH).then(|| row.clone())
    }

    fn remember(&self, hash: Vec<u8>, row: Option<ApiKeyRow>) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED_MAX {
            // What was made up goes first, so that nobody's guessing makes us forget who is who.
            remembered.retain(|_, (_, row)| row.is_some());
        }
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(hash, (Instant::now(), row));
    }
}
