//! A merchant's gateway accounts, with what it takes to call their providers.
//!
//! Credentials are in the vault, under a record of their own for every version of an account, so that what is
//! remembered of one never has to be forgotten: new credentials are a new record, which every node takes up
//! when it reads its accounts again. Those of accounts that the node's configuration declares stay in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac;
use baton_connect::{Connector, Cx, Fill, Freshness, Hole, Incoming, Told, Verifier, WebhookError};
use baton_flow::{Candidate, Payment};
use baton_store::{AccountRow, Store, StoreError};
use baton_types::{AccountId, Card, Cvv, MerchantId, Secret, Timestamp};
use baton_vault::{SealedKind, Tenant, VaultAccess, VaultError};
use baton_wire::{BaseUrl, ClientIdentity, Policy, Target};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::certificates::{self, PemPair};

/// Secrets of the accounts that the node's configuration declares. They stay in its memory.
pub type Credentials = HashMap<AccountId, Secrets>;

/// Secrets by the names that the manifest declares.
pub type Secrets = HashMap<String, Secret>;

/// How long a list of accounts is used before it is read again: a change takes effect within this time.
const FRESH: Duration = Duration::from_secs(2);

/// Most records of the vault that are remembered at once.
const REMEMBERED_MAX: usize = 10_000;

/// What stands for the account's name in the URL of a gateway's test accounts.
const ACCOUNT_IN_URL: &str = "{account}";

/// What [`AccountRow::config`] holds. Nothing of it is a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct AccountConfig {
    /// Where the secrets are in the vault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) credentials: Option<String>,
    /// The last characters of each secret, for people to tell them apart.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) hints: BTreeMap<String, String>,
    /// What the connector may see.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) settings: BTreeMap<String, String>,
    /// The client certificate that is shown to the provider unless a request names another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<String>,
    /// Whether payments that were made without us at this account's provider are taken over when they are named.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) foreign_references: bool,
}

impl AccountConfig {
    pub(crate) fn of(row: &AccountRow) -> Self {
        serde_json::from_str(&row.config).unwrap_or_else(|error| {
            tracing::error!(account = %row.id, %error, "an account's configuration cannot be read");
            Self::default()
        })
    }

    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned())
    }
}

/// One account, ready to be called.
#[derive(Clone)]
pub struct Account {
    /// What is stored of it.
    pub row: AccountRow,
    /// Its connector; `None` when this build has none of that name.
    pub connector: Option<Arc<dyn Connector>>,
    pub(crate) config: AccountConfig,
    pub(crate) target: Option<Target>,
    pub(crate) cx: Cx,
    pub(crate) secrets: Arc<Secrets>,
}

impl Account {
    /// Whether it is a mock gateway: no server, no money.
    #[must_use]
    pub fn is_mock(&self) -> bool {
        self.connector.as_ref().is_some_and(|connector| connector.manifest().mock)
    }

    /// The same account, with a certificate for its provider.
    pub(crate) fn showing(&self, identity: Arc<ClientIdentity>) -> Self {
        let mut account = self.clone();
        if let Some(target) = &mut account.target {
            target.identity = Some(identity);
        }
        account
    }

    /// What a webhook to this account says, once its signature is verified.
    ///
    /// # Errors
    /// Not a webhook of the account's provider, or not one that can be believed.
    pub fn webhook(
        &self,
        message: &Incoming<'_>,
        freshness: Freshness,
    ) -> Result<Told, WebhookError> {
        let connector = self.connector.as_ref().ok_or(WebhookError::NotSupported)?;
        let mut told = Told::default();
        for signed in connector.webhook(&self.cx, message)? {
            told.extend(signed.open(self.secrets.as_ref(), &Hmac, freshness)?);
        }
        Ok(told)
    }

    /// The secrets of one call: the account's, and the card's where the request's task holds it.
    pub(crate) fn secrets<'a>(&'a self, card: Option<&'a CardSecrets>) -> CallSecrets<'a> {
        CallSecrets { account: &self.secrets, card }
    }
}

/// The one implementation of HMAC that the product uses.
#[derive(Clone, Copy, Debug)]
pub struct Hmac;

impl Verifier for Hmac {
    fn hmac_sha256(&self, key: &[u8], message: &[u8], tag: &[u8]) -> bool {
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), message, tag).is_ok()
    }
}

/// A card as only the task of its request holds it.
pub(crate) struct CardSecrets {
    pub(crate) card: Card,
    /// The authentication value of 3-D Secure, or a network token's cryptogram.
    pub(crate) authentication: Option<Secret>,
}

pub(crate) struct CallSecrets<'a> {
    account: &'a Secrets,
    card: Option<&'a CardSecrets>,
}

impl Fill for CallSecrets<'_> {
    fn secret(&self, hole: &Hole) -> Option<&str> {
        match hole {
            Hole::CardNumber => self.card.map(|held| held.card.number.expose()),
            Hole::Cvv => self.card?.card.cvv.as_ref().map(Cvv::expose),
            Hole::AuthenticationValue => self.card?.authentication.as_ref().map(Secret::expose),
            Hole::Credential(name) => self.account.get(name).map(Secret::expose),
        }
    }
}

/// What the manifest declares as no secret, for the connector to read.
fn settings(connector: Option<&dyn Connector>, given: &Secrets) -> BTreeMap<String, String> {
    let fields = connector.map(|connector| connector.manifest().credentials.as_slice());
    let open = fields.unwrap_or_default().iter().filter(|field| !field.secret);
    open.filter_map(|field| {
        let value = given.get(&field.name)?;
        Some((field.name.clone(), value.expose().to_owned()))
    })
    .collect()
}

type Listed = (Instant, Arc<Vec<Arc<Account>>>);

/// Reads accounts from the store and keeps them for a moment.
pub(crate) struct Accounts {
    store: Arc<dyn Store>,
    vault: VaultAccess,
    connectors: HashMap<String, Arc<dyn Connector>>,
    declared: HashMap<AccountId, Arc<Secrets>>,
    /// Where test accounts of a gateway are that have no base URL of their own.
    test_urls: HashMap<String, String>,
    kept: Mutex<HashMap<MerchantId, Listed>>,
    /// By record of the vault, whose content never changes.
    opened: Mutex<HashMap<String, Arc<Secrets>>>,
    identities: Mutex<HashMap<String, Arc<ClientIdentity>>>,
}

impl Accounts {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        vault: VaultAccess,
        connectors: Vec<Arc<dyn Connector>>,
        declared: Credentials,
        test_urls: HashMap<String, String>,
    ) -> Self {
        let by_name = |c: Arc<dyn Connector>| (c.manifest().gateway_name.clone(), c);
        Self {
            store,
            vault,
            connectors: connectors.into_iter().map(by_name).collect(),
            declared: declared.into_iter().map(|(k, v)| (k, Arc::new(v))).collect(),
            test_urls,
            kept: Mutex::default(),
            opened: Mutex::default(),
            identities: Mutex::default(),
        }
    }

    /// Every connector of this build.
    pub(crate) fn connectors(&self) -> impl Iterator<Item = &Arc<dyn Connector>> {
        self.connectors.values()
    }

    /// The connector of this gateway name.
    pub(crate) fn connector(&self, gateway: &str) -> Option<&Arc<dyn Connector>> {
        self.connectors.get(gateway)
    }

    /// Whether this node's configuration declares the account.
    pub(crate) fn is_declared(&self, id: AccountId) -> bool {
        self.declared.contains_key(&id)
    }

    /// A merchant's accounts, removed ones too.
    pub(crate) async fn of(
        &self,
        merchant: MerchantId,
    ) -> Result<Arc<Vec<Arc<Account>>>, StoreError> {
        if let Some((at, list)) = lock(&self.kept).get(&merchant)
            && at.elapsed() < FRESH
        {
            return Ok(Arc::clone(list));
        }
        let read_at = Instant::now();
        let rows = self.store.accounts(merchant).await?;
        let mut list = Vec::with_capacity(rows.len());
        let mut whole = true;
        for row in rows {
            let account = self.ready(row).await;
            // New credentials may just have taken the place of those that the row named.
            let lacks = account.config.credentials.is_some() && account.secrets.is_empty();
            whole &= account.row.removed_at.is_some() || !lacks;
            list.push(Arc::new(account));
        }
        let list = Arc::new(list);
        if whole {
            lock(&self.kept).insert(merchant, (read_at, Arc::clone(&list)));
        }
        Ok(list)
    }

    /// Reads a merchant's accounts anew the next time: this node has changed them.
    pub(crate) fn forget(&self, merchant: MerchantId) {
        lock(&self.kept).remove(&merchant);
    }

    /// One account by id, also a removed one.
    pub(crate) async fn get(
        &self,
        merchant: MerchantId,
        id: AccountId,
    ) -> Result<Option<Arc<Account>>, StoreError> {
        Ok(self.of(merchant).await?.iter().find(|account| account.row.id == id).cloned())
    }

    /// The account of one of a payment's candidates. What came with a request is taken from its task, which
    /// holds it, or else from the vault.
    pub(crate) async fn of_candidate(
        &self,
        payment: &Payment,
        candidate: &Candidate,
        held: Option<&Arc<Secrets>>,
    ) -> Result<Option<Arc<Account>>, StoreError> {
        let account = if candidate.inline {
            let secrets = match held {
                Some(secrets) => Some(Arc::clone(secrets)),
                None => self.inline_secrets(payment).await,
            };
            secrets.map(|secrets| Arc::new(self.inline_account(payment, candidate, secrets)))
        } else {
            self.get(payment.merchant, candidate.account).await?
        };
        let (Some(name), Some(account)) = (&candidate.certificate, &account) else {
            return Ok(account);
        };
        let tenant = Tenant { merchant: payment.merchant, sandbox: payment.order.test };
        // Without the certificate that was asked for the provider is not called.
        let identity = self.identity(tenant, name).await?;
        Ok(identity.map(|identity| Arc::new(account.showing(identity))))
    }

    /// A certificate by its name, ready to be shown; none if there is none or it cannot be used.
    pub(crate) async fn identity(
        &self,
        tenant: Tenant,
        name: &str,
    ) -> Result<Option<Arc<ClientIdentity>>, StoreError> {
        let found = certificates::find(self.store.as_ref(), tenant, name).await?;
        let Some((_, stored)) = found else { return Ok(None) };
        if let Some(identity) = lock(&self.identities).get(&stored.record) {
            return Ok(Some(Arc::clone(identity)));
        }
        let sealed = self.vault.get(tenant, SealedKind::ClientCertificate, &stored.record).await;
        let sealed = sealed.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let pair = sealed.and_then(|text| serde_json::from_str::<PemPair>(text.expose()).ok());
        let Some(pair) = pair else { return Ok(None) };
        match ClientIdentity::from_pem(&stored.record, &pair.chain, &pair.key) {
            Ok(identity) => {
                let identity = Arc::new(identity);
                remember(&self.identities, &stored.record, Arc::clone(&identity));
                Ok(Some(identity))
            }
            Err(error) => {
                tracing::warn!(certificate = name, %error, "a client certificate cannot be used");
                Ok(None)
            }
        }
    }

    /// The names of a tenant's accounts that show a certificate.
    pub(crate) async fn showing(
        &self,
        tenant: Tenant,
        name: &str,
    ) -> Result<Vec<String>, StoreError> {
        let rows = self.store.accounts(tenant.merchant).await?;
        let live = rows.into_iter().filter(|row| row.removed_at.is_none());
        let showing = live.filter(|row| {
            row.test == tenant.sandbox
                && AccountConfig::of(row).certificate.as_deref() == Some(name)
        });
        Ok(showing.map(|row| row.name).collect())
    }

    fn inline_account(
        &self,
        payment: &Payment,
        candidate: &Candidate,
        secrets: Arc<Secrets>,
    ) -> Account {
        let row = AccountRow {
            merchant: payment.merchant,
            id: candidate.account,
            number: 0,
            name: candidate.label.clone(),
            gateway: candidate.gateway.clone(),
            base_url: None,
            test: payment.order.test,
            created_at: payment.created_at,
            updated_at: payment.created_at,
            removed_at: None,
            config: "{}".to_owned(),
        };
        let connector = self.connectors.get(&row.gateway);
        let settings = settings(connector.map(AsRef::as_ref), &secrets);
        self.assemble(row, AccountConfig { settings, ..AccountConfig::default() }, secrets)
    }

    /// Seals credentials that came with a payment's request, until they are dropped.
    pub(crate) async fn keep_inline(
        &self,
        payment: &Payment,
        secrets: &Secrets,
        now: Timestamp,
    ) -> Result<(), VaultError> {
        let (tenant, id) = inline_record(payment);
        let text = sealed_form(secrets);
        self.vault.put(tenant, SealedKind::InlineCredentials, &id, &text, now).await
    }

    /// Deletes credentials that came with a request. What cannot be deleted now is swept.
    pub(crate) async fn drop_inline(&self, payment: &Payment) {
        let (tenant, id) = inline_record(payment);
        if let Err(error) = self.vault.remove(tenant, SealedKind::InlineCredentials, &id).await {
            tracing::warn!(payment = %payment.id, %error, "inline credentials are swept later");
        }
    }

    /// Never remembered: a later request of the payment may bring other ones, to any node.
    async fn inline_secrets(&self, payment: &Payment) -> Option<Arc<Secrets>> {
        let (tenant, id) = inline_record(payment);
        match self.vault.get(tenant, SealedKind::InlineCredentials, &id).await {
            Ok(text) => from_sealed(&text?).map(Arc::new),
            Err(error) => {
                tracing::error!(payment = %payment.id, %error, "inline credentials cannot be read");
                None
            }
        }
    }

    async fn ready(&self, row: AccountRow) -> Account {
        let mut config = AccountConfig::of(&row);
        let tenant = Tenant { merchant: row.merchant, sandbox: row.test };
        let secrets = match (self.declared.get(&row.id), &config.credentials) {
            (Some(secrets), _) => {
                let connector = self.connectors.get(&row.gateway);
                config = AccountConfig {
                    settings: settings(connector.map(AsRef::as_ref), secrets),
                    foreign_references: config.foreign_references,
                    ..AccountConfig::default()
                };
                Arc::clone(secrets)
            }
            (None, Some(record)) => {
                let opened = self.open(tenant, SealedKind::AccountCredentials, record).await;
                opened.unwrap_or_default()
            }
            (None, None) => Arc::default(),
        };
        let certificate = config.certificate.clone();
        let account = self.assemble(row, config, secrets);
        match certificate {
            None => account,
            Some(name) => match self.identity(tenant, &name).await {
                Ok(Some(identity)) => account.showing(identity),
                // Rather not called than called without it.
                Ok(None) => Account { target: None, ..account },
                Err(error) => {
                    tracing::warn!(certificate = name, %error, "a certificate cannot be read");
                    Account { target: None, ..account }
                }
            },
        }
    }

    /// The secrets of a record, from memory or from the vault; nothing if they are gone or the vault does not
    /// answer.
    async fn open(&self, tenant: Tenant, kind: SealedKind, id: &str) -> Option<Arc<Secrets>> {
        if let Some(secrets) = lock(&self.opened).get(id) {
            return Some(Arc::clone(secrets));
        }
        let text = match self.vault.get(tenant, kind, id).await {
            Ok(text) => text?,
            Err(error) => {
                tracing::error!(record = id, %error, "credentials cannot be read");
                return None;
            }
        };
        let secrets = Arc::new(from_sealed(&text)?);
        remember(&self.opened, id, Arc::clone(&secrets));
        Some(secrets)
    }

    /// An account from its parts.
    pub(crate) fn assemble(
        &self,
        row: AccountRow,
        config: AccountConfig,
        secrets: Arc<Secrets>,
    ) -> Account {
        let connector = self.connectors.get(&row.gateway).cloned();
        let test_url = || {
            let url = self.test_urls.get(&row.gateway).filter(|_| row.test)?;
            let name = row.name.trim_matches(['(', ')']);
            Some(url.replace(ACCOUNT_IN_URL, name))
        };
        let base_url = row.base_url.clone().or_else(test_url).or_else(|| {
            connector.as_ref().and_then(|connector| connector.manifest().base_url.clone())
        });
        // Plain HTTP carries card numbers for test accounts only.
        let policy = if row.test { Policy::PlainHttpAllowed } else { Policy::HttpsOnly };
        let target = base_url.and_then(|text| match BaseUrl::parse(&text, policy) {
            Ok(base_url) => {
                Some(Target { account: row.id, base_url, breaker: true, identity: None })
            }
            Err(error) => {
                tracing::warn!(account = %row.name, %error, "the account's base URL cannot be used");
                None
            }
        });
        let cx = Cx { settings: config.settings.clone() };
        Account { row, connector, config, target, cx, secrets }
    }
}

/// Secrets as the text that is sealed. Written by hand: a [`Secret`] does not serialise, on purpose.
pub(crate) fn sealed_form(secrets: &Secrets) -> Secret {
    let exposed: BTreeMap<&str, &str> =
        secrets.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    Secret::new(serde_json::to_string(&exposed).unwrap_or_default())
}

/// Credentials that came with a request are found by its payment.
fn inline_record(payment: &Payment) -> (Tenant, String) {
    let tenant = Tenant { merchant: payment.merchant, sandbox: payment.order.test };
    (tenant, payment.id.to_string())
}

fn from_sealed(text: &Secret) -> Option<Secrets> {
    let exposed: HashMap<String, String> = serde_json::from_str(text.expose()).ok()?;
    Some(exposed.into_iter().map(|(name, value)| (name, Secret::new(value))).collect())
}

fn remember<T>(kept: &Mutex<HashMap<String, T>>, id: &str, value: T) {
    let mut kept = lock(kept);
    if kept.len() >= REMEMBERED_MAX {
        kept.clear();
    }
    kept.insert(id.to_owned(), value);
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
