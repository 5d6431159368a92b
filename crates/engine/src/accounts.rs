//! A merchant's gateway accounts, with what it takes to call their providers.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac;
use baton_connect::{
    Connector, Cx, Fill, Freshness, Hole, Incoming, Verifier, WebhookError, WebhookEvent,
};
use baton_store::{AccountRow, Store, StoreError};
use baton_types::{AccountId, Card, Cvv, MerchantId, Secret};
use baton_wire::{BaseUrl, Policy, Target};
use tokio::time::Instant;

/// Secrets of accounts, each by the name that the manifest declares. They come from the node's
/// configuration and stay in its memory.
pub type Credentials = HashMap<AccountId, HashMap<String, Secret>>;

/// How long a list of accounts is used before it is read again: a change takes effect within this time.
const FRESH: Duration = Duration::from_secs(2);

/// One account, ready to be called.
pub struct Account {
    /// What is stored of it.
    pub row: AccountRow,
    /// Its connector; `None` when this build has none of that name.
    pub connector: Option<Arc<dyn Connector>>,
    pub(crate) target: Option<Target>,
    pub(crate) cx: Cx,
    secrets: Arc<HashMap<String, Secret>>,
}

impl Account {
    /// Whether it is a mock gateway: no server, no money.
    #[must_use]
    pub fn is_mock(&self) -> bool {
        self.connector.as_ref().is_some_and(|connector| connector.manifest().mock)
    }

    /// What a webhook to this account says, once its signature is verified.
    ///
    /// # Errors
    /// Not a webhook of the account's provider, or not one that can be believed.
    pub fn webhook(
        &self,
        message: &Incoming<'_>,
        freshness: Freshness,
    ) -> Result<Vec<WebhookEvent>, WebhookError> {
        let connector = self.connector.as_ref().ok_or(WebhookError::NotSupported)?;
        let mut events = Vec::new();
        for signed in connector.webhook(&self.cx, message)? {
            events.extend(signed.open(self.secrets.as_ref(), &Hmac, freshness)?);
        }
        Ok(events)
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
    account: &'a HashMap<String, Secret>,
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
fn settings(
    connector: Option<&dyn Connector>,
    given: &HashMap<String, Secret>,
) -> BTreeMap<String, String> {
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
    connectors: HashMap<String, Arc<dyn Connector>>,
    credentials: HashMap<AccountId, Arc<HashMap<String, Secret>>>,
    kept: Mutex<HashMap<MerchantId, Listed>>,
}

impl Accounts {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        connectors: Vec<Arc<dyn Connector>>,
        credentials: Credentials,
    ) -> Self {
        let by_name = |c: Arc<dyn Connector>| (c.manifest().gateway_name.clone(), c);
        Self {
            store,
            connectors: connectors.into_iter().map(by_name).collect(),
            credentials: credentials.into_iter().map(|(k, v)| (k, Arc::new(v))).collect(),
            kept: Mutex::default(),
        }
    }

    /// Every connector of this build.
    pub(crate) fn connectors(&self) -> impl Iterator<Item = &Arc<dyn Connector>> {
        self.connectors.values()
    }

    /// A merchant's accounts, removed ones too.
    pub(crate) async fn of(
        &self,
        merchant: MerchantId,
    ) -> Result<Arc<Vec<Arc<Account>>>, StoreError> {
        if let Some((at, list)) = self.kept().get(&merchant)
            && at.elapsed() < FRESH
        {
            return Ok(Arc::clone(list));
        }
        let rows = self.store.accounts(merchant).await?;
        let list: Vec<_> = rows.into_iter().map(|row| Arc::new(self.ready(row))).collect();
        let list = Arc::new(list);
        self.kept().insert(merchant, (Instant::now(), Arc::clone(&list)));
        Ok(list)
    }

    /// One account by id, also a removed one.
    pub(crate) async fn get(
        &self,
        merchant: MerchantId,
        id: AccountId,
    ) -> Result<Option<Arc<Account>>, StoreError> {
        Ok(self.of(merchant).await?.iter().find(|account| account.row.id == id).cloned())
    }

    fn ready(&self, row: AccountRow) -> Account {
        let connector = self.connectors.get(&row.gateway).cloned();
        let base_url = row.base_url.clone().or_else(|| {
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
        let secrets = self.credentials.get(&row.id).cloned().unwrap_or_default();
        let cx = Cx { settings: settings(connector.as_deref(), &secrets) };
        Account { row, connector, target, cx, secrets }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<MerchantId, Listed>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
