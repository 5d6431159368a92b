//! Connectors of a merchant account: an account of the engine with what the Payments API adds to it.

use std::collections::BTreeMap;

use baton_connect::RedirectMethod;
use baton_engine::{AccountFault, AccountInput, Place};
use baton_types::{Currency, Secret};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::document::{Document, Stored, list};
use crate::fault::Fault;
use crate::intent::Intent;
use crate::service::{Merchant, Payments};
use crate::vault_choice::VAULT_PROCESSOR;

/// A connector of a merchant account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectorAccount {
    /// `mca_…`; also the name of the engine's account.
    pub id: String,
    /// The profile.
    pub profile: String,
    /// The contract's `connector_name`.
    pub connector: String,
    /// The contract's `connector_type`.
    pub kind: String,
    /// What the merchant calls it.
    pub label: String,
    /// Not to be used.
    pub disabled: bool,
    /// Which payment methods it takes; empty takes every card.
    pub methods: Vec<MethodFilter>,
    /// What was sent as credentials: names, and of values the last characters.
    pub credentials: Map<String, Value>,
    /// Fields that are kept to be shown again, by the contract's names.
    pub details: Map<String, Value>,
    /// Of a vault: what it was told that is no secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

/// One payment method that a connector takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MethodFilter {
    /// The contract's `payment_method`: `card`, `wallet`, …
    pub method: String,
    /// The contract's `payment_method_type`: `credit`, `debit`, …
    pub kind: String,
    /// At least, in minor units.
    pub minimum: Option<i64>,
    /// At most, in minor units.
    pub maximum: Option<i64>,
    /// Only these, or all but these (`true`); none means all.
    pub currencies: Option<(bool, Vec<String>)>,
    /// Only these countries, or all but these (`true`); none means all.
    pub countries: Option<(bool, Vec<String>)>,
}

/// What a connector is to take.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The contract's `payment_method`.
    pub method: &'a str,
    /// The contract's `payment_method_type`; absent for a card, which is taken of whatever type.
    pub kind: Option<&'a str>,
    /// In minor units.
    pub amount: i64,
    /// The currency.
    pub currency: Currency,
    /// The payer's country, where it is known.
    pub country: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    /// What an intent wants: a card, or a method that is completed elsewhere.
    #[must_use]
    pub fn of(intent: &'a Intent, redirect: Option<RedirectMethod>) -> Self {
        Self {
            method: redirect.map_or("card", RedirectMethod::family),
            kind: redirect.map(RedirectMethod::as_str),
            amount: intent.amount,
            currency: intent.currency,
            country: intent.country(),
        }
    }
}

impl MethodFilter {
    /// Whether it takes this.
    #[must_use]
    pub fn takes(&self, wanted: &Wanted<'_>) -> bool {
        let allows = |filter: &Option<(bool, Vec<String>)>, word: &str| {
            let listed = |(without, list): &(bool, Vec<String>)| {
                list.iter().any(|code| code.eq_ignore_ascii_case(word)) != *without
            };
            filter.as_ref().is_none_or(listed)
        };
        self.method == wanted.method
            && wanted.kind.is_none_or(|kind| self.kind == kind)
            // A card that is only verified is of no amount.
            && (wanted.amount == 0 || self.minimum.is_none_or(|minimum| wanted.amount >= minimum))
            && self.maximum.is_none_or(|maximum| wanted.amount <= maximum)
            && allows(&self.currencies, wanted.currency.code())
            && wanted.country.is_none_or(|country| allows(&self.countries, country))
    }
}

/// A connector to be made or changed.
pub struct NewConnector {
    /// The profile; the merchant's default if absent.
    pub profile: Option<String>,
    /// The contract's `connector_name`.
    pub connector: String,
    /// The contract's `connector_type`.
    pub kind: String,
    /// What the merchant calls it.
    pub label: Option<String>,
    /// Not to be used.
    pub disabled: Option<bool>,
    /// Credentials by the contract's names: `api_key`, `key1`, `api_secret`, `key2`, and `merchant_secret` for
    /// webhooks.
    pub credentials: Option<Vec<(String, Secret)>>,
    /// Which payment methods it takes.
    pub methods: Option<Vec<MethodFilter>>,
    /// Fields that are kept to be shown again.
    pub details: Map<String, Value>,
}

impl Document for ConnectorAccount {
    const KIND: &'static str = "connector";

    fn id(&self) -> &str {
        &self.id
    }

    fn owner(&self) -> &str {
        &self.profile
    }
}

impl ConnectorAccount {
    /// Whether it may be asked for this. One that is set up for nothing in particular takes cards.
    #[must_use]
    pub fn takes(&self, wanted: &Wanted<'_>) -> bool {
        let any = |filter: &MethodFilter| filter.takes(wanted);
        let every_card = self.methods.is_empty() && wanted.kind.is_none();
        self.is_processor() && !self.disabled && (every_card || self.methods.iter().any(any))
    }

    /// Whether it is set up for a method of this type, whatever the amount.
    #[must_use]
    pub fn offers(&self, method: &str, kind: &str) -> bool {
        let is_it = |filter: &MethodFilter| filter.method == method && filter.kind == kind;
        self.is_processor() && !self.disabled && self.methods.iter().any(is_it)
    }
}

impl Payments {
    /// Makes a connector.
    ///
    /// # Errors
    /// `Connector` for a gateway or credentials that cannot be used.
    pub async fn create_connector(
        &self,
        merchant: &Merchant,
        new: NewConnector,
    ) -> Result<Stored<ConnectorAccount>, Fault> {
        if new.kind == VAULT_PROCESSOR {
            return self.create_vault(merchant, new).await;
        }
        let profile = self.profile(merchant, new.profile.as_deref()).await?;
        let id = self.new_name("mca_");
        let given = new.credentials.unwrap_or_default();
        let credentials = masked(&given);
        self.put_engine_account(merchant, &id, &new.connector, given).await?;
        let label = new.label.unwrap_or_else(|| format!("{}_{}", new.connector, profile.body.name));
        let account = ConnectorAccount {
            id,
            profile: profile.body.id,
            connector: new.connector,
            kind: new.kind,
            label,
            disabled: new.disabled.unwrap_or(false),
            methods: new.methods.unwrap_or_default(),
            credentials,
            details: new.details,
            settings: BTreeMap::new(),
        };
        let account = Stored::new(merchant.caller.merchant, account, self.now());
        self.put_connector(&account).await?;
        Ok(account)
    }

    /// A connector by its id.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn connector(
        &self,
        merchant: &Merchant,
        id: &str,
    ) -> Result<Stored<ConnectorAccount>, Fault> {
        let found = self.load::<ConnectorAccount>(merchant.caller.merchant, id).await?;
        let found = found.filter(|found| found.removed_at.is_none());
        let found = found.filter(|found| merchant.sees(&found.body.profile));
        found.ok_or(Fault::NotFound("merchant connector account"))
    }

    /// Changes a connector: what is absent stays.
    ///
    /// # Errors
    /// As for a new one; `NotFound`; `Busy`.
    pub async fn update_connector(
        &self,
        merchant: &Merchant,
        id: &str,
        change: NewConnector,
    ) -> Result<Stored<ConnectorAccount>, Fault> {
        let account = self.connector(merchant, id).await?;
        if !account.body.is_processor() {
            return self.update_vault(merchant, account, change).await;
        }
        let mut account = account.next(self.now());
        if let Some(given) = change.credentials {
            account.body.credentials = masked(&given);
            self.put_engine_account(merchant, id, &account.body.connector, given).await?;
        }
        let body = &mut account.body;
        body.label = change.label.unwrap_or_else(|| body.label.clone());
        body.disabled = change.disabled.unwrap_or(body.disabled);
        if let Some(methods) = change.methods {
            body.methods = methods;
        }
        body.details.extend(change.details);
        self.put_connector(&account).await?;
        Ok(account)
    }

    /// Removes a connector; payments that it has made keep it.
    ///
    /// # Errors
    /// `NotFound`; `Busy`.
    pub async fn delete_connector(&self, merchant: &Merchant, id: &str) -> Result<(), Fault> {
        let now = self.now();
        let mut account = self.connector(merchant, id).await?.next(now);
        account.removed_at = Some(now);
        self.put_connector(&account).await?;
        if !account.body.is_processor() {
            return self.forget_vault(merchant, id).await;
        }
        let removed = self.engine().remove_account(merchant.caller, id).await;
        let absent = Err(AccountFault::Engine(baton_engine::EngineError::NotFound));
        if removed == absent { Ok(()) } else { removed.map_err(explained) }
    }

    /// A merchant's connectors, newest first.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn connectors(
        &self,
        merchant: &Merchant,
        profile: Option<&str>,
    ) -> Result<Vec<Stored<ConnectorAccount>>, Fault> {
        const MOST: u32 = 500;
        let store = self.engine().store().as_ref();
        let own = merchant.profile.map(|own| own.to_string());
        let profile = profile.or(own.as_deref());
        Ok(list(store, merchant.caller.merchant, profile, MOST).await?)
    }

    pub(crate) async fn put_connector(
        &self,
        account: &Stored<ConnectorAccount>,
    ) -> Result<(), Fault> {
        let done = self.commit(vec![account.write()]).await;
        self.forget_known(account.merchant);
        done
    }

    async fn put_engine_account(
        &self,
        merchant: &Merchant,
        id: &str,
        connector: &str,
        given: Vec<(String, Secret)>,
    ) -> Result<(), Fault> {
        let gateway = self.gateway(connector)?;
        let named = gateway.credentials.iter().filter(|field| !field.optional).zip(CONTRACT_NAMES);
        let mut named: Vec<_> = named.map(|(field, name)| (name, field.name.clone())).collect();
        named.extend(gateway.webhook.iter().map(|claim| (WEBHOOK_NAME, claim.credential.clone())));
        let mut credentials = Vec::new();
        for (name, value) in given {
            let known = named.iter().find(|(contract, _)| *contract == name);
            // A key that the connector has no use for is no error: the contract's forms have more.
            if let Some((_, own)) = known {
                credentials.push((own.clone(), value));
            }
        }
        let input = AccountInput {
            name: id.to_owned(),
            gateway: gateway.gateway_name.clone(),
            credentials,
            place: Place::AsBefore,
            certificate: None,
            foreign_references: false,
        };
        let put = self.engine().put_account(merchant.caller, input, false).await;
        put.map(|_| ()).map_err(explained)
    }
}

/// The contract's names of credentials, in the order in which a manifest's required ones take them.
const CONTRACT_NAMES: [&str; 4] = ["api_key", "key1", "api_secret", "key2"];

/// The contract's name of what webhooks are signed with.
const WEBHOOK_NAME: &str = "merchant_secret";

pub(crate) fn masked(given: &[(String, Secret)]) -> Map<String, Value> {
    let hint = |secret: &Secret| {
        let text = secret.expose();
        let shown = if text.chars().count() < 12 { 0 } else { 4 };
        let skip = text.chars().count().saturating_sub(shown);
        format!("********{}", text.chars().skip(skip).collect::<String>())
    };
    given.iter().map(|(name, value)| (name.clone(), Value::String(hint(value)))).collect()
}

fn explained(fault: AccountFault) -> Fault {
    match fault {
        AccountFault::Engine(error) => Fault::Engine(error),
        AccountFault::MissingCredential { name } => {
            Fault::Connector(format!("the connector needs the credential {name}"))
        }
        AccountFault::BaseUrl(why) => Fault::Connector(why),
        AccountFault::CredentialsRefused => {
            Fault::Connector("the provider refused the credentials".to_owned())
        }
        AccountFault::UnknownGateway { .. }
        | AccountFault::UnknownCredential { .. }
        | AccountFault::RepeatedCredential { .. }
        | AccountFault::MockIsForTests
        | AccountFault::OtherMode
        | AccountFault::Declared
        | AccountFault::NotRetrievable
        | AccountFault::NotVerifiable
        | AccountFault::UnknownCertificate
        | AccountFault::NoAnswer => {
            Fault::Connector("the connector cannot be used with these credentials".to_owned())
        }
    }
}
