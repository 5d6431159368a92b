//! Where a profile's webhooks go, with which secrets, and whether they go at all.
//!
//! The URL and the switches are settings of the profile, or of the merchant account where the profile has none. What
//! happens to an endpoint (its signing secret, that it said 410) is a document of its own. Secrets are records of the
//! vault that never change: a rotation writes a new one and names both for a while.

use std::sync::{Arc, PoisonError};

use baton_engine::audit::{Action, Actor, Entry};
use baton_hooks::SigningSecret;
use baton_store::{HookQuery, HookState, WriteSet};
use baton_types::{MerchantId, Secret, Timestamp};
use baton_vault::{SealedKind, Tenant};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::account::{MerchantAccount, Profile};
use crate::document::{Document, Stored, load};
use crate::fault::Fault;
use crate::service::{Merchant, Payments};

use super::REMEMBERED_MAX;

/// Length of a response-hash key that is made here.
const HASH_KEY: usize = 64;

/// What a merchant says about its webhooks: the contract's `webhook_details`, as far as it counts here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Details {
    pub(super) webhook_url: Option<String>,
    webhook_username: Option<String>,
    /// Stars, or nothing.
    webhook_password: Option<String>,
    /// The record of the password.
    #[serde(skip)]
    password: Option<String>,
    pub(super) payment_created_enabled: Option<bool>,
    pub(super) payment_succeeded_enabled: Option<bool>,
    pub(super) payment_failed_enabled: Option<bool>,
    #[serde(deserialize_with = "or_empty")]
    pub(super) payment_statuses_enabled: Vec<String>,
    #[serde(deserialize_with = "or_empty")]
    pub(super) refund_statuses_enabled: Vec<String>,
}

fn or_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Details {
    /// A profile's own, or those of its merchant account.
    pub(super) fn of(account: &MerchantAccount, profile: &Profile) -> Self {
        let read = |details: &serde_json::Map<String, serde_json::Value>,
                    record: &Option<String>| {
            let found = details.get("webhook_details")?.clone();
            let found = serde_json::from_value::<Self>(found).ok()?;
            Some(Self { password: record.clone(), ..found })
        };
        let own = read(&profile.details, &profile.hook_password);
        let own = own.filter(|details| details.webhook_url.is_some());
        own.or_else(|| read(&account.details, &account.hook_password)).unwrap_or_default()
    }

    /// The login at the endpoint: the username, and the record of the password if there is one. What an earlier
    /// version has kept of a password is stars only: then there is no login until it is set anew.
    pub(super) fn login(&self) -> Option<(&str, Option<&str>)> {
        let text = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        let password = self.password.as_deref();
        let is_whole = password.is_some() || !text(&self.webhook_password);
        let is_set = text(&self.webhook_username) || password.is_some();
        let username = self.webhook_username.as_deref().unwrap_or_default();
        (is_set && is_whole).then_some((username, password))
    }
}

/// What happens to a profile's endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    pub(super) profile: String,
    /// The record of the signing secret.
    record: String,
    /// The secret before, as long as both count.
    #[serde(default)]
    previous: Option<Previous>,
    /// Since when and why nothing is sent.
    #[serde(default)]
    pub(super) disabled: Option<Disabled>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Previous {
    record: String,
    until: Timestamp,
}

/// That an endpoint is not sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {
    /// Since when.
    pub at: Timestamp,
    /// Why.
    pub why: String,
}

impl Document for Endpoint {
    const KIND: &'static str = "webhook_endpoint";

    fn id(&self) -> &str {
        &self.profile
    }
}

/// An endpoint as it can be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSeen {
    /// The profile.
    pub profile: String,
    /// Where its events go.
    pub url: Option<String>,
    /// Since when and why nothing is sent.
    pub disabled: Option<Disabled>,
    /// Until when the signing secret before counts too.
    pub previous_until: Option<Timestamp>,
    /// How many of its events wait.
    pub waiting: u64,
}

/// A new signing secret. It is shown once.
pub struct Rotated {
    /// The profile.
    pub profile: String,
    /// The secret, `whsec_…`.
    pub secret: Secret,
    /// Until when the one before counts too.
    pub previous_until: Option<Timestamp>,
}

/// The secrets by which an endpoint verifies.
pub(super) struct Secrets(pub(super) Secret);

impl Payments {
    /// Makes a signing secret and an endpoint's document that names it.
    async fn new_signing_record(&self, tenant: Tenant) -> Result<(String, Secret), Fault> {
        let mut bytes = [0_u8; 32];
        self.engine().clock().random(&mut bytes);
        let secret = Secret::new(SigningSecret::of_bytes(&bytes).expose().to_owned());
        let record = self.new_name("whs_");
        let vault = self.engine().vault();
        vault.put(tenant, SealedKind::WebhookSecret, &record, &secret, self.now()).await?;
        Ok((record, secret))
    }

    async fn endpoint(
        &self,
        merchant: MerchantId,
        profile: &str,
    ) -> Result<Option<Stored<Endpoint>>, Fault> {
        Ok(load(self.engine().store().as_ref(), merchant, profile).await?)
    }

    /// A profile's endpoint, made if it is not there.
    async fn ensure_endpoint(
        &self,
        merchant: &Merchant,
        profile: &str,
    ) -> Result<Stored<Endpoint>, Fault> {
        let owner = merchant.caller.merchant;
        if let Some(known) = self.endpoint(owner, profile).await? {
            return Ok(known);
        }
        let (record, _) = self.new_signing_record(merchant.caller.tenant()).await?;
        let profile = profile.to_owned();
        let endpoint =
            Endpoint { profile: profile.clone(), record, previous: None, disabled: None };
        let endpoint = Stored::new(owner, endpoint, self.now());
        match self.commit(vec![endpoint.write()]).await {
            Ok(()) => Ok(endpoint),
            // Another task or node was first: its secret counts.
            Err(Fault::Busy) => self.endpoint(owner, &profile).await?.ok_or(Fault::Busy),
            Err(fault) => Err(fault),
        }
    }

    /// The secrets that an event of a profile is signed with now: the current one first.
    pub(super) async fn signing_secrets(
        &self,
        merchant: &Merchant,
        profile: &str,
    ) -> Result<Vec<SigningSecret>, Fault> {
        let endpoint = self.ensure_endpoint(merchant, profile).await?.body;
        let now = self.now();
        let previous = endpoint.previous.filter(|previous| now < previous.until);
        let mut secrets = Vec::new();
        for record in [Some(endpoint.record), previous.map(|previous| previous.record)] {
            let Some(record) = record else { continue };
            let Some(sealed) = self.hook_secret(merchant, &record).await? else { continue };
            if let Ok(secret) = SigningSecret::parse(sealed.0.expose()) {
                secrets.push(secret);
            }
        }
        if secrets.is_empty() {
            return Err(Fault::Precondition("the endpoint's signing secret is gone".to_owned()));
        }
        Ok(secrets)
    }

    /// A record of the vault, which never changes and so is opened once.
    pub(super) async fn hook_secret(
        &self,
        merchant: &Merchant,
        record: &str,
    ) -> Result<Option<Arc<Secrets>>, Fault> {
        let remembered = || self.hooks.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = remembered().get(record) {
            return Ok(Some(Arc::clone(known)));
        }
        let (vault, tenant) = (self.engine().vault(), merchant.caller.tenant());
        let found = vault.get(tenant, SealedKind::WebhookSecret, record).await?;
        let Some(found) = found.map(|secret| Arc::new(Secrets(secret))) else { return Ok(None) };
        let mut all = remembered();
        if all.len() >= REMEMBERED_MAX {
            all.clear();
        }
        all.insert(record.to_owned(), Arc::clone(&found));
        Ok(Some(found))
    }

    /// Keeps the key of the contract's signatures, one that came or a new one: the name of its record, and the key.
    pub(crate) async fn keep_hash_key(
        &self,
        tenant: Tenant,
        given: Option<Secret>,
    ) -> Result<(String, Secret), Fault> {
        let key = given.unwrap_or_else(|| Secret::new(self.new_secret("", HASH_KEY)));
        let record = self.new_name("whk_");
        let vault = self.engine().vault();
        vault.put(tenant, SealedKind::WebhookSecret, &record, &key, self.now()).await?;
        Ok((record, key))
    }

    /// The key of the contract's signatures: that of a profile, whose record is named, or the account's, which is made
    /// if the account is older than it.
    ///
    /// # Errors
    /// The vault or the store does not answer.
    pub(crate) async fn hash_key(
        &self,
        merchant: &Merchant,
        account: &Stored<MerchantAccount>,
        profile: Option<&str>,
    ) -> Result<Secret, Fault> {
        let shown = |found: &Secrets| Secret::new(found.0.expose().to_owned());
        if let Some(record) = profile
            && let Some(found) = self.hook_secret(merchant, record).await?
        {
            return Ok(shown(&found));
        }
        if let Some(record) = &account.body.hash_key
            && let Some(found) = self.hook_secret(merchant, record).await?
        {
            return Ok(shown(&found));
        }
        let (record, key) = self.keep_hash_key(merchant.caller.tenant(), None).await?;
        let mut next = account.clone().next(self.now());
        next.body.hash_key = Some(record);
        match self.commit(vec![next.write()]).await {
            Ok(()) => {
                self.forget_known(merchant.caller.merchant);
                Ok(key)
            }
            Err(Fault::Busy) => {
                let fresh = self.account_of(merchant).await?;
                let record = fresh.body.hash_key.as_ref().ok_or(Fault::Busy)?;
                let found = self.hook_secret(merchant, record).await?.ok_or(Fault::Busy)?;
                Ok(shown(&found))
            }
            Err(fault) => Err(fault),
        }
    }

    /// The key of the contract's signatures for what belongs to a profile.
    ///
    /// # Errors
    /// The vault or the store does not answer.
    pub async fn hash_key_of(
        &self,
        merchant: &Merchant,
        account: &Stored<MerchantAccount>,
        profile: &Profile,
    ) -> Result<Secret, Fault> {
        self.hash_key(merchant, account, profile.hash_key.as_deref()).await
    }

    /// Puts a new signing secret in the place of a profile's. The one before counts for `overlap_ms` more: meanwhile
    /// every webhook carries both signatures.
    ///
    /// # Errors
    /// `NotFound`; `Busy`.
    pub async fn rotate_hook_secret(
        &self,
        actor: Actor,
        merchant: &Merchant,
        profile: Option<&str>,
        overlap_ms: i64,
    ) -> Result<Rotated, Fault> {
        let profile = self.profile(merchant, profile).await?.body.id;
        let now = self.now();
        let known = self.ensure_endpoint(merchant, &profile).await?;
        let (record, secret) = self.new_signing_record(merchant.caller.tenant()).await?;
        let mut next = known.next(now);
        let until = now.plus_millis(overlap_ms.max(0));
        let before = std::mem::replace(&mut next.body.record, record);
        next.body.previous = (overlap_ms > 0).then_some(Previous { record: before, until });
        let detail = json!({ "webhook_secret": "rotated", "overlap_ms": overlap_ms });
        self.put_endpoint(actor, &next, detail).await?;
        let previous_until = (overlap_ms > 0).then_some(until);
        Ok(Rotated { profile, secret, previous_until })
    }

    /// Sends to a profile's endpoint again after it was disabled.
    ///
    /// # Errors
    /// `NotFound`; `Busy`.
    pub async fn enable_endpoint(
        &self,
        actor: Actor,
        merchant: &Merchant,
        profile: Option<&str>,
    ) -> Result<EndpointSeen, Fault> {
        let id = self.profile(merchant, profile).await?.body.id;
        let known = self.ensure_endpoint(merchant, &id).await?;
        if known.body.disabled.is_some() {
            let mut next = known.next(self.now());
            next.body.disabled = None;
            self.put_endpoint(actor, &next, json!({ "webhook_endpoint": "enabled" })).await?;
        }
        self.see_endpoint(merchant, profile).await
    }

    async fn put_endpoint(
        &self,
        actor: Actor,
        next: &Stored<Endpoint>,
        detail: serde_json::Value,
    ) -> Result<(), Fault> {
        let entry = Entry {
            merchant: Some(next.merchant),
            actor,
            action: Action::SettingsChanged,
            subject: next.body.profile.clone(),
            detail,
            request_id: None,
        };
        let set = WriteSet::from(vec![next.write()]);
        self.engine().audit().commit_with(entry, set).await?;
        self.forget_known(next.merchant);
        Ok(())
    }

    /// A profile's endpoint.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn see_endpoint(
        &self,
        merchant: &Merchant,
        profile: Option<&str>,
    ) -> Result<EndpointSeen, Fault> {
        let owner = merchant.caller.merchant;
        let account = self.account_of(merchant).await?;
        let profile = self.profile(merchant, profile).await?;
        let details = Details::of(&account.body, &profile.body);
        let endpoint = self.endpoint(owner, &profile.body.id).await?.map(|stored| stored.body);
        let now = self.now();
        let previous = endpoint.as_ref().and_then(|endpoint| endpoint.previous.as_ref());
        let previous_until = previous.map(|previous| previous.until).filter(|until| now < *until);
        let query = HookQuery {
            profile: Some(profile.body.id.clone()),
            states: vec![HookState::Pending],
            ..HookQuery::of(owner)
        };
        Ok(EndpointSeen {
            url: details.webhook_url,
            disabled: endpoint.and_then(|endpoint| endpoint.disabled),
            previous_until,
            waiting: self.engine().store().webhooks().count_hook_events(&query).await?,
            profile: profile.body.id,
        })
    }

    /// Sends nothing more to a profile's endpoint, which has said that it is gone.
    pub(super) async fn disable_endpoint(
        &self,
        merchant: &Merchant,
        profile: &str,
        why: &str,
    ) -> Result<(), Fault> {
        let known = self.ensure_endpoint(merchant, profile).await?;
        if known.body.disabled.is_some() {
            return Ok(());
        }
        let now = self.now();
        let mut next = known.next(now);
        next.body.disabled = Some(Disabled { at: now, why: why.to_owned() });
        let detail = json!({ "webhook_endpoint": "disabled", "why": why });
        match self.put_endpoint(Actor::System, &next, detail).await {
            // Another task was told the same.
            Ok(()) | Err(Fault::Busy) => {
                self.hooks.counts.count_disabled();
                self.forget_known(merchant.caller.merchant);
                Ok(())
            }
            Err(fault) => Err(fault),
        }
    }
}
