//! Which vault keeps the cards of a profile, and the connectors that lead there.
//!
//! A connector of the contract's type `vault_processor` is a vault that the merchant has elsewhere: its credentials
//! are in our own vault, under the connector's id, as those of providers are. A profile names one and switches it on;
//! without that our own vault keeps its cards. A card stays where it was stored when a profile changes its mind.

use baton_connect::card_vault::{CardVault, CardVaultClaims};
use baton_types::Secret;
use baton_vault::SealedKind;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::connector::{ConnectorAccount, NewConnector, masked};
use crate::document::{Document, Stored};
use crate::fault::Fault;
use crate::keeper::environment;
use crate::service::{Merchant, Payments};

/// The contract's `connector_type` of vaults.
pub const VAULT_PROCESSOR: &str = "vault_processor";

/// What a vault's connector can be told beside its credentials, in the contract's `metadata`.
const SETTINGS: [&str; 2] = ["environment", "client_certificate"];

/// Which vault keeps the cards of a profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultChoice {
    /// The profile's id.
    pub id: String,
    /// Whether cards go there; otherwise our own vault keeps them.
    pub enabled: bool,
    /// The connector that leads there.
    pub connector: Option<String>,
    /// The contract's `external_vault_connector_details`, to be shown again.
    pub details: Value,
}

impl Document for VaultChoice {
    const KIND: &'static str = "vault_choice";

    fn id(&self) -> &str {
        &self.id
    }
}

/// A change of the choice; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct VaultChange {
    /// The contract's `is_external_vault_enabled`: `enable` or `skip`.
    pub enabled: Option<bool>,
    /// The contract's `external_vault_connector_details`.
    pub details: Option<Value>,
}

/// A vault that a browser may be told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultSession {
    /// The contract's `connector_name`.
    pub vault: String,
    /// The vault's id at its operator, where it has one.
    pub vault_id: Option<String>,
    /// The environment.
    pub environment: String,
}

impl ConnectorAccount {
    /// Whether it takes payments; a vault does not.
    #[must_use]
    pub fn is_processor(&self) -> bool {
        self.kind != VAULT_PROCESSOR
    }

    /// Something that a vault was told beside its credentials.
    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }
}

impl Payments {
    /// Makes a connector to a vault.
    pub(crate) async fn create_vault(
        &self,
        merchant: &Merchant,
        new: NewConnector,
    ) -> Result<Stored<ConnectorAccount>, Fault> {
        let profile = self.profile(merchant, new.profile.as_deref()).await?;
        let claims = self.vault_named(&new.connector)?.claims();
        let given = new.credentials.unwrap_or_default();
        check_credentials(claims, &given)?;
        let id = self.new_name("mca_");
        let label = new.label.unwrap_or_else(|| format!("{}_{}", new.connector, profile.body.name));
        let mut account = ConnectorAccount {
            id,
            profile: profile.body.id,
            connector: new.connector,
            kind: new.kind,
            label,
            disabled: new.disabled.unwrap_or(false),
            methods: Vec::new(),
            credentials: masked(&given),
            details: new.details,
            settings: std::collections::BTreeMap::new(),
        };
        self.settle_settings(claims, &mut account, Some(&given))?;
        let account = Stored::new(merchant.caller.merchant, account, self.now());
        self.seal_credentials(merchant, &account.body.id, &given).await?;
        self.put_connector(&account).await?;
        Ok(account)
    }

    /// Changes a connector to a vault: what is absent stays.
    pub(crate) async fn update_vault(
        &self,
        merchant: &Merchant,
        account: Stored<ConnectorAccount>,
        change: NewConnector,
    ) -> Result<Stored<ConnectorAccount>, Fault> {
        let claims = self.vault_named(&account.body.connector)?.claims();
        let mut account = account.next(self.now());
        let body = &mut account.body;
        body.label = change.label.unwrap_or_else(|| body.label.clone());
        body.disabled = change.disabled.unwrap_or(body.disabled);
        body.details.extend(change.details);
        if let Some(given) = &change.credentials {
            check_credentials(claims, given)?;
            body.credentials = masked(given);
        }
        self.settle_settings(claims, body, change.credentials.as_deref())?;
        if let Some(given) = &change.credentials {
            self.seal_credentials(merchant, &account.body.id, given).await?;
        }
        self.put_connector(&account).await?;
        Ok(account)
    }

    /// Forgets what a removed vault's connector was given. Cards that are kept there cannot be reached any more.
    pub(crate) async fn forget_vault(&self, merchant: &Merchant, id: &str) -> Result<(), Fault> {
        let (vault, tenant) = (self.engine().vault(), merchant.caller.tenant());
        vault.remove(tenant, SealedKind::VaultCredentials, id).await?;
        Ok(())
    }

    fn vault_named(&self, name: &str) -> Result<&std::sync::Arc<dyn CardVault>, Fault> {
        self.card_vaults.named(name).ok_or_else(|| {
            let known = self.card_vaults.names().join(", ");
            Fault::Connector(format!("there is no vault of this name; known: {known}"))
        })
    }

    async fn seal_credentials(
        &self,
        merchant: &Merchant,
        id: &str,
        given: &[(String, Secret)],
    ) -> Result<(), Fault> {
        let (vault, tenant) = (self.engine().vault(), merchant.caller.tenant());
        let text = crate::keeper::sealed_form(given);
        vault.put(tenant, SealedKind::VaultCredentials, id, &text, self.now()).await?;
        Ok(())
    }

    /// What may be shown of a vault: its environment, and of its credentials what is no secret.
    fn settle_settings(
        &self,
        claims: &'static CardVaultClaims,
        account: &mut ConnectorAccount,
        given: Option<&[(String, Secret)]>,
    ) -> Result<(), Fault> {
        for (name, value) in given.unwrap_or_default() {
            let open = claims.credentials.iter().any(|known| known.name == name && !known.secret);
            if open {
                account.settings.insert(name.clone(), value.expose().to_owned());
            }
        }
        let metadata = account.details.get("metadata").and_then(Value::as_object);
        let told: Vec<_> = SETTINGS
            .iter()
            .filter_map(|name| Some((*name, metadata?.get(*name)?.as_str()?.to_owned())))
            .collect();
        for (name, text) in told {
            account.settings.insert(name.to_owned(), text);
        }
        let named = account.settings.get("environment").map(String::as_str);
        let place = environment(claims, named, self.is_sandbox());
        let place = place.ok_or_else(|| {
            let names: Vec<_> = claims.environments.iter().map(|place| place.name).collect();
            Fault::Connector(format!(
                "metadata.environment is none of this vault's for keys of this mode; it has: {}",
                names.join(", ")
            ))
        })?;
        account.settings.insert("environment".to_owned(), place.name.to_owned());
        Ok(())
    }

    /// Which vault a profile has chosen; none where it never has.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn vault_choice(
        &self,
        merchant: &Merchant,
        profile: &str,
    ) -> Result<Option<Stored<VaultChoice>>, Fault> {
        self.load::<VaultChoice>(merchant.caller.merchant, profile).await
    }

    /// The next version of a profile's choice, to be written with the profile.
    ///
    /// # Errors
    /// `Invalid` for a connector that is no vault.
    pub(crate) async fn chosen_vault(
        &self,
        merchant: &Merchant,
        profile: &str,
        change: VaultChange,
    ) -> Result<Stored<VaultChoice>, Fault> {
        let known = self.vault_choice(merchant, profile).await?;
        let wrong = |field, message: &str| Fault::Invalid { field, message: message.to_owned() };
        let mut choice = match known {
            Some(known) => known.next(self.now()),
            None => {
                let body = VaultChoice {
                    id: profile.to_owned(),
                    enabled: false,
                    connector: None,
                    details: Value::Null,
                };
                Stored::new(merchant.caller.merchant, body, self.now())
            }
        };
        if let Some(details) = change.details {
            let named = details.get("vault_connector_id").and_then(Value::as_str);
            choice.body.connector = named.map(str::to_owned);
            choice.body.details = details;
        }
        choice.body.enabled = change.enabled.unwrap_or(choice.body.enabled);
        if let Some(id) = &choice.body.connector {
            let connector = self.connector(merchant, id).await.ok();
            if connector.is_none_or(|found| found.body.is_processor()) {
                let field = "external_vault_connector_details.vault_connector_id";
                return Err(wrong(field, "is no connector of the type vault_processor"));
            }
        } else if choice.body.enabled {
            let field = "external_vault_connector_details";
            return Err(wrong(
                field,
                "names the vault's connector, without which it cannot be enabled",
            ));
        }
        Ok(choice)
    }

    /// The vault elsewhere that keeps what is saved under a profile; none where our own does.
    pub(crate) async fn vault_of(
        &self,
        merchant: &Merchant,
        profile: &str,
    ) -> Result<Option<ConnectorAccount>, Fault> {
        let choice = self.vault_choice(merchant, profile).await?;
        let named = choice.filter(|choice| choice.body.enabled);
        let Some(id) = named.and_then(|choice| choice.body.connector) else { return Ok(None) };
        // Also one that was removed: then the card is kept nowhere, and that can be seen.
        let found = self.load::<ConnectorAccount>(merchant.caller.merchant, &id).await?;
        Ok(found.map(|found| found.body))
    }

    /// What a browser may be told of the vault of a profile.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn vault_session(
        &self,
        merchant: &Merchant,
        profile: &str,
    ) -> Result<Option<VaultSession>, Fault> {
        let Some(connector) = self.vault_of(merchant, profile).await? else { return Ok(None) };
        Ok(Some(VaultSession {
            vault_id: connector.setting("api_secret").map(str::to_owned),
            environment: connector.setting("environment").unwrap_or_default().to_owned(),
            vault: connector.connector,
        }))
    }
}

fn check_credentials(
    claims: &'static CardVaultClaims,
    given: &[(String, Secret)],
) -> Result<(), Fault> {
    let has = |name: &str| given.iter().any(|(n, v)| n == name && !v.expose().trim().is_empty());
    match claims.credentials.iter().find(|needed| !has(needed.name)) {
        Some(needed) => Err(Fault::Connector(format!(
            "the vault needs connector_account_details.{} ({})",
            needed.name, needed.meaning
        ))),
        None => Ok(()),
    }
}
