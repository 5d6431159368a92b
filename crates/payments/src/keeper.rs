//! Where a saved card is kept: our own vault, or one that the merchant has elsewhere.
//!
//! One interface for both: store, retrieve, delete, fingerprint. Guarantees: a number is in clear only in memory that
//! wipes itself and in the bytes of one call; no error and no log has one; nothing here is done within a transaction.
//! Left out: when a card is stored, and what follows a failure (`vaulting`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use baton_connect::card_vault::{
    BASIC, CardToKeep, CardVault, CardVaultClaims, KeptCard, VaultAnswer, VaultEnvironment,
    fits_as_token,
};
use baton_connect::{Fill, Hole, HttpCall, HttpReply};
use baton_engine::{Engine, VaultPlace, VaultSilence};
use baton_types::{AccountId, Secret, Timestamp};
use baton_vault::{SealedKind, Tenant, VaultAccess, VaultError};

use crate::connector::ConnectorAccount;

/// How long a vault is waited for while a payer waits.
const RETRIEVE: Duration = Duration::from_secs(8);

/// How long it is waited for by nobody.
const CHANGE: Duration = Duration::from_secs(25);

/// Why a vault has not done it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeepFault {
    /// It has no such card.
    Absent,
    /// It does not take this card.
    Refused(String),
    /// It does not take our credentials, or is not set up: somebody has to put that right.
    Denied(String),
    /// Nothing was asked, or nothing is known of what became of it.
    Unclear(String),
}

impl KeepFault {
    /// The same for a person to read.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Absent => "the vault has no such card".to_owned(),
            Self::Refused(why) => format!("the vault refused the card: {why}"),
            Self::Denied(why) => format!("the vault does not let us: {why}"),
            Self::Unclear(why) => format!("no usable answer: {why}"),
        }
    }
}

impl From<VaultError> for KeepFault {
    fn from(error: VaultError) -> Self {
        Self::Unclear(error.to_string())
    }
}

impl From<VaultSilence> for KeepFault {
    fn from(silence: VaultSilence) -> Self {
        match silence {
            VaultSilence::NotSent("not_configured") => Self::Denied("not_configured".to_owned()),
            VaultSilence::NotSent(word) | VaultSilence::Lost(word) => {
                Self::Unclear(word.to_owned())
            }
        }
    }
}

/// Keeps cards.
#[async_trait]
pub(crate) trait Keeper: Send + Sync {
    /// Stores a card. A repeat under the same key stores none a second time, as far as the vault can.
    async fn store(
        &self,
        card: &CardToKeep,
        number: &Secret,
        key: &str,
    ) -> Result<KeptCard, KeepFault>;

    /// A card's number.
    async fn retrieve(&self, token: &str) -> Result<Secret, KeepFault>;

    /// Deletes a card. One that is not there is deleted.
    async fn delete(&self, token: &str) -> Result<(), KeepFault>;

    /// What equal cards of a merchant have in common, where the vault has not said so itself.
    fn fingerprint(&self, number: &Secret) -> Option<String>;
}

/// Our own vault: the token is the name of its record.
pub(crate) struct Own<'a> {
    pub(crate) vault: &'a VaultAccess,
    pub(crate) tenant: Tenant,
    pub(crate) now: Timestamp,
}

#[async_trait]
impl Keeper for Own<'_> {
    async fn store(
        &self,
        _card: &CardToKeep,
        number: &Secret,
        key: &str,
    ) -> Result<KeptCard, KeepFault> {
        self.vault.put(self.tenant, SealedKind::SavedCard, key, number, self.now).await?;
        Ok(KeptCard { token: key.to_owned(), fingerprint: None })
    }

    async fn retrieve(&self, token: &str) -> Result<Secret, KeepFault> {
        let found = self.vault.get(self.tenant, SealedKind::SavedCard, token).await?;
        found.ok_or(KeepFault::Absent)
    }

    async fn delete(&self, token: &str) -> Result<(), KeepFault> {
        self.vault.remove(self.tenant, SealedKind::SavedCard, token).await?;
        Ok(())
    }

    fn fingerprint(&self, _number: &Secret) -> Option<String> {
        // Whoever compares has the number's own, from the vault.
        None
    }
}

/// The external vaults of this build, and where test accounts of them are.
#[derive(Clone, Default)]
pub(crate) struct CardVaults {
    known: Vec<Arc<dyn CardVault>>,
    test_urls: HashMap<String, String>,
}

impl CardVaults {
    pub(crate) fn new(known: Vec<Arc<dyn CardVault>>, test_urls: HashMap<String, String>) -> Self {
        Self { known, test_urls }
    }

    /// A vault by the contract's `connector_name`.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<dyn CardVault>> {
        self.known.iter().find(|vault| vault.claims().name == name)
    }

    /// Their names.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.known.iter().map(|vault| vault.claims().name).collect()
    }

    /// Where a connector's vault is: a test account's where the server has a place for those.
    fn address(
        &self,
        claims: &CardVaultClaims,
        connector: &str,
        sandbox: bool,
        env: &str,
    ) -> String {
        match self.test_urls.get(claims.name).filter(|_| sandbox) {
            Some(url) => url.replace("{account}", connector),
            None => {
                environment(claims, Some(env), sandbox).map_or("", |place| place.url).to_owned()
            }
        }
    }
}

/// A vault's environment by its name, or the default one of the mode.
pub(crate) fn environment(
    claims: &CardVaultClaims,
    name: Option<&str>,
    sandbox: bool,
) -> Option<&'static VaultEnvironment> {
    let environments: &'static [VaultEnvironment] = claims.environments;
    let mut of_mode = environments.iter().filter(|place| place.live.is_none_or(|l| l != sandbox));
    match name {
        Some(name) => of_mode.find(|place| place.name == name),
        None => of_mode.next(),
    }
}

/// Credentials as they are sealed.
pub(crate) fn sealed_form(given: &[(String, Secret)]) -> Secret {
    let exposed: BTreeMap<&str, &str> =
        given.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    Secret::new(serde_json::to_string(&exposed).unwrap_or_default())
}

/// A merchant's vault elsewhere.
pub(crate) struct Elsewhere<'a> {
    engine: &'a Engine,
    adapter: Arc<dyn CardVault>,
    place: VaultPlace,
    credentials: HashMap<String, Secret>,
    basic: Option<Secret>,
}

impl<'a> Elsewhere<'a> {
    /// The vault of a connector, with its credentials.
    ///
    /// # Errors
    /// `Denied` where it cannot be used as it is set up.
    pub(crate) async fn open(
        engine: &'a Engine,
        vaults: &CardVaults,
        tenant: Tenant,
        connector: &ConnectorAccount,
    ) -> Result<Self, KeepFault> {
        let denied = |why: &str| KeepFault::Denied(why.to_owned());
        let adapter = vaults.named(&connector.connector).cloned();
        let adapter = adapter.ok_or_else(|| denied("this build has no such vault"))?;
        let sealed =
            engine.vault().get(tenant, SealedKind::VaultCredentials, &connector.id).await?;
        let sealed = sealed.ok_or_else(|| denied("its credentials are gone"))?;
        let credentials: HashMap<String, Secret> = serde_json::from_str(sealed.expose())
            .map_err(|_| denied("its credentials cannot be read"))?;
        let claims = adapter.claims();
        let basic = claims.basic.and_then(|(user, password)| {
            let (user, password) = (credentials.get(user)?, credentials.get(password)?);
            let pair = Secret::new(format!("{}:{}", user.expose(), password.expose()));
            Some(Secret::new(STANDARD.encode(pair.expose())))
        });
        let account = AccountId::parse(&connector.id).map_err(|_| denied("its id is none"))?;
        let environment = connector.setting("environment").unwrap_or_default();
        let place = VaultPlace {
            tenant,
            account,
            base_url: vaults.address(claims, &connector.id, tenant.sandbox, environment),
            certificate: connector.setting("client_certificate").map(str::to_owned),
        };
        Ok(Self { engine, adapter, place, credentials, basic })
    }

    async fn ask<T>(
        &self,
        (operation, patience): (&'static str, Duration),
        call: HttpCall,
        number: Option<&Secret>,
        read: impl FnOnce(&HttpReply) -> VaultAnswer<T> + Send,
    ) -> Result<T, KeepFault> {
        let secrets = Secrets { keeper: self, number };
        let asked = self.engine.ask_vault(&self.place, &call, &secrets, patience, read).await;
        let done = asked.map_err(KeepFault::from).and_then(|answer| match answer {
            VaultAnswer::Done(done) => Ok(done),
            VaultAnswer::Absent => Err(KeepFault::Absent),
            VaultAnswer::Refused(why) => Err(KeepFault::Refused(why)),
            VaultAnswer::Denied(why) => Err(KeepFault::Denied(why)),
            VaultAnswer::Unclear(why) => Err(KeepFault::Unclear(why)),
        });
        let outcome = match &done {
            Ok(_) => "done",
            Err(KeepFault::Absent) => "absent",
            Err(KeepFault::Refused(_)) => "refused",
            Err(KeepFault::Denied(_)) => "denied",
            Err(KeepFault::Unclear(_)) => "unclear",
        };
        self.engine.metrics().vault_call(self.adapter.claims().name, operation, outcome);
        done
    }
}

/// What the holes of one call are filled with.
struct Secrets<'a> {
    keeper: &'a Elsewhere<'a>,
    number: Option<&'a Secret>,
}

impl Fill for Secrets<'_> {
    fn secret(&self, hole: &Hole) -> Option<&str> {
        match hole {
            Hole::CardNumber => self.number.map(Secret::expose),
            Hole::Credential(name) if name == BASIC => {
                self.keeper.basic.as_ref().map(Secret::expose)
            }
            Hole::Credential(name) => self.keeper.credentials.get(name).map(Secret::expose),
            Hole::Cvv | Hole::AuthenticationValue => None,
        }
    }
}

#[async_trait]
impl Keeper for Elsewhere<'_> {
    async fn store(
        &self,
        card: &CardToKeep,
        number: &Secret,
        key: &str,
    ) -> Result<KeptCard, KeepFault> {
        let call = self.adapter.store(card, key);
        let read = |reply: &HttpReply| self.adapter.read_stored(reply);
        self.ask(("store", CHANGE), call, Some(number), read).await
    }

    async fn retrieve(&self, token: &str) -> Result<Secret, KeepFault> {
        if !fits_as_token(token) {
            return Err(KeepFault::Absent);
        }
        let call = self.adapter.retrieve(token);
        let read = |reply: &HttpReply| self.adapter.read_retrieved(reply);
        self.ask(("retrieve", RETRIEVE), call, None, read).await
    }

    async fn delete(&self, token: &str) -> Result<(), KeepFault> {
        if !fits_as_token(token) {
            return Ok(());
        }
        let call = self.adapter.delete(token);
        let read = |reply: &HttpReply| self.adapter.read_deleted(reply);
        match self.ask(("delete", CHANGE), call, None, read).await {
            Err(KeepFault::Absent) => Ok(()),
            done => done,
        }
    }

    fn fingerprint(&self, number: &Secret) -> Option<String> {
        Some(self.engine.vault().fingerprint(self.place.tenant, number.expose()))
    }
}
