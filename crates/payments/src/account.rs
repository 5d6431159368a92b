//! Merchant accounts and their profiles.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::document::{Document, Stored, list, load};
use crate::fault::Fault;
use crate::hooks::{GivenPassword, HookHeaders};
use crate::relist::AllListed;
use crate::service::{Merchant, Payments};

use baton_engine::audit::{Action, Actor, Entry};
use baton_engine::keys::{self, NewKey, Scope};
use baton_engine::merchants;
use baton_store::WriteSet;
use baton_types::{MerchantId, Secret};
use baton_vault::Tenant;
use serde_json::json;

/// A merchant of the Payments API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MerchantAccount {
    /// The client's id, which is the merchant's name.
    pub id: String,
    /// The organisation.
    pub organization: String,
    /// The profile of requests that name none.
    pub default_profile: String,
    /// The key that browsers use: it identifies, and opens nothing by itself.
    pub publishable_key: String,
    /// The record of the key that the contract's signatures are made with.
    #[serde(default)]
    pub(crate) hash_key: Option<String>,
    /// The record of the password of the login at its webhooks' endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hook_password: Option<String>,
    /// Fields that are kept to be shown again, by the contract's names.
    pub details: Map<String, Value>,
}

/// Secrets of a merchant account as a request brings them.
#[derive(Debug, Default)]
pub struct AccountSecrets {
    /// The key of the contract's signatures.
    pub hash_key: Option<Secret>,
    /// The password of the login at its webhooks' endpoint.
    pub hook_password: GivenPassword,
}

impl MerchantAccount {
    /// Whether there is a key for the contract's signatures; the key itself is in the vault.
    #[must_use]
    pub fn has_hash_key(&self) -> bool {
        self.hash_key.is_some()
    }
}

impl Document for MerchantAccount {
    const KIND: &'static str = "merchant_account";

    fn id(&self) -> &str {
        &self.id
    }
}

/// A profile: what connectors, webhooks and defaults belong to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// `pro_…`.
    pub id: String,
    /// What the merchant calls it.
    pub name: String,
    /// Fields that are kept to be shown again, by the contract's names.
    pub details: Map<String, Value>,
    /// The record of the key that the contract's signatures are made with, if it has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hash_key: Option<String>,
    /// The record of the password of the login at its webhooks' endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hook_password: Option<String>,
    /// Headers of its own that go along with its webhooks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hook_headers: Option<HookHeaders>,
}

impl Document for Profile {
    const KIND: &'static str = "profile";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Payments {
    /// Makes a merchant account with its default profile, its publishable key, and the key of the contract's
    /// signatures: the one that came, or a new one.
    ///
    /// # Errors
    /// `Duplicate` if there is one of this id; `Invalid` for stars in a secret's place.
    pub async fn create_account(
        &self,
        actor: Actor,
        id: &str,
        organization: Option<String>,
        details: Map<String, Value>,
        secrets: AccountSecrets,
    ) -> Result<(Stored<MerchantAccount>, Secret), Fault> {
        let audit = self.engine().audit();
        let merchant = merchants::ensure(audit, actor.clone(), id).await?;
        if self.load::<MerchantAccount>(merchant, id).await?.is_some() {
            return Err(Fault::Duplicate("merchant account"));
        }
        let now = self.now();
        let profile = Profile {
            id: self.new_name("pro_"),
            name: "default".to_owned(),
            details: Map::new(),
            hash_key: None,
            hook_password: None,
            hook_headers: None,
        };
        let organization = organization.unwrap_or_else(|| self.new_name("org_"));
        self.ensure_organization(actor.clone(), &organization).await?;
        let key = NewKey {
            merchant,
            name: "publishable".to_owned(),
            scopes: vec![Scope::Publishable],
            sandbox: self.is_sandbox(),
            expires_at: None,
            rate_limit: None,
        };
        let (_, publishable) = keys::create(audit, actor.clone(), key).await?;
        let tenant = Tenant { merchant, sandbox: self.is_sandbox() };
        let hook_password = self.keep_hook_password(tenant, None, secrets.hook_password).await?;
        let (record, hash_key) = self.keep_hash_key(tenant, secrets.hash_key).await?;
        let account = MerchantAccount {
            hash_key: Some(record),
            hook_password,
            id: id.to_owned(),
            organization,
            default_profile: profile.id.clone(),
            publishable_key: publishable.expose().to_owned(),
            details,
        };
        let account = Stored::new(merchant, account, now);
        let profile = Stored::new(merchant, profile, now);
        let set =
            WriteSet::from(vec![account.write(), profile.write(), AllListed::write(merchant, now)]);
        let entry = Entry {
            merchant: Some(merchant),
            actor,
            action: Action::SettingsChanged,
            subject: id.to_owned(),
            detail: json!({ "merchant_account": "created" }),
            request_id: None,
        };
        match audit.commit_with(entry, set).await.map_err(Fault::from) {
            Ok(()) => {
                self.forget_known(merchant);
                Ok((account, hash_key))
            }
            Err(Fault::Busy) => Err(Fault::Duplicate("merchant account")),
            Err(fault) => Err(fault),
        }
    }

    /// A merchant account by its id.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn account(&self, id: &str) -> Result<Stored<MerchantAccount>, Fault> {
        let missing = Fault::NotFound("merchant account");
        let Some(row) = self.engine().store().merchant_by_name(id).await? else {
            return Err(missing);
        };
        let found = self.load::<MerchantAccount>(row.id, id).await?;
        found.filter(|found| found.removed_at.is_none()).ok_or(missing)
    }

    /// The merchant behind an account's id, also of one that was removed: its keys can still be ended.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn merchant(&self, id: &str) -> Result<MerchantId, Fault> {
        let missing = Fault::NotFound("merchant account");
        let row = self.engine().store().merchant_by_name(id).await?.ok_or(missing.clone())?;
        let found = self.load::<MerchantAccount>(row.id, id).await?;
        found.map(|found| found.merchant).ok_or(missing)
    }

    /// A caller's own merchant account.
    ///
    /// # Errors
    /// `NotFound` for a merchant that the Payments API does not know.
    pub async fn account_of(&self, merchant: &Merchant) -> Result<Stored<MerchantAccount>, Fault> {
        let store = self.engine().store().as_ref();
        let known = list::<MerchantAccount>(store, merchant.caller.merchant, None, 1).await?;
        known.into_iter().next().ok_or(Fault::NotFound("merchant account"))
    }

    /// Changes what is kept of a merchant account: fields that come replace those that are there.
    ///
    /// # Errors
    /// `NotFound`, or `Busy`.
    pub async fn update_account(
        &self,
        actor: Actor,
        id: &str,
        details: Map<String, Value>,
        secrets: AccountSecrets,
    ) -> Result<Stored<MerchantAccount>, Fault> {
        let mut account = self.account(id).await?;
        account.body.details.extend(details);
        let tenant = Tenant { merchant: account.merchant, sandbox: self.is_sandbox() };
        let before = account.body.hook_password.take();
        account.body.hook_password =
            self.keep_hook_password(tenant, before, secrets.hook_password).await?;
        if secrets.hash_key.is_some() {
            account.body.hash_key = Some(self.keep_hash_key(tenant, secrets.hash_key).await?.0);
        }
        self.put_account(actor, account.next(self.now()), "changed").await
    }

    /// Removes a merchant account: nothing can be done with it any more.
    ///
    /// # Errors
    /// `NotFound`, or `Busy`.
    pub async fn delete_account(&self, actor: Actor, id: &str) -> Result<(), Fault> {
        let now = self.now();
        let mut account = self.account(id).await?.next(now);
        account.removed_at = Some(now);
        self.put_account(actor, account, "removed").await.map(|_| ())
    }

    async fn put_account(
        &self,
        actor: Actor,
        account: Stored<MerchantAccount>,
        what: &str,
    ) -> Result<Stored<MerchantAccount>, Fault> {
        let entry = Entry {
            merchant: Some(account.merchant),
            actor,
            action: Action::SettingsChanged,
            subject: account.body.id.clone(),
            detail: json!({ "merchant_account": what }),
            request_id: None,
        };
        let set = WriteSet::from(vec![account.write()]);
        self.engine().audit().commit_with(entry, set).await?;
        self.forget_known(account.merchant);
        Ok(account)
    }

    /// A profile by its id, or the merchant's default one.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn profile(
        &self,
        merchant: &Merchant,
        id: Option<&str>,
    ) -> Result<Stored<Profile>, Fault> {
        let default;
        let id = match (id, merchant.profile) {
            (Some(id), _) => id,
            (None, Some(own)) => {
                default = own.to_string();
                &default
            }
            (None, None) => {
                default = self.account_of(merchant).await?.body.default_profile;
                &default
            }
        };
        let store = self.engine().store().as_ref();
        let found = load::<Profile>(store, merchant.caller.merchant, id).await?;
        let found = found.filter(|found| found.removed_at.is_none());
        let found = found.filter(|found| merchant.sees(&found.body.id));
        found.ok_or(Fault::NotFound("business profile"))
    }
}
