//! Profiles: what connectors, webhooks, defaults and the choice of a vault belong to; and requests that act in one.
//!
//! Guarantees: a request that acts in a profile finds nothing of another; a profile and its choice of a vault are one
//! commit, with an entry of the audit log. Left out: what the settings mean to whoever reads them.

use std::fmt;

use baton_engine::audit::{Action, Actor, Entry};
use baton_store::WriteSet;
use baton_types::{EventId, Secret};
use serde_json::{Map, Value, json};

use crate::account::{MerchantAccount, Profile};
use crate::document::{Stored, list};
use crate::fault::Fault;
use crate::hooks::{GivenPassword, GivenSecret, HookHeaders};
use crate::service::{Merchant, Payments};
use crate::vault_choice::VaultChange;

/// Most profiles of a merchant.
const MOST: usize = 500;

/// A profile that a request acts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProfileId(EventId);

impl ProfileId {
    /// Reads `pro_…`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bare = text.strip_prefix("pro_")?;
        EventId::parse(&format!("evt_{bare}")).ok().map(Self)
    }
}

impl fmt::Display for ProfileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        write!(f, "pro_{}", text.split_once('_').map_or("", |(_, bare)| bare))
    }
}

impl Merchant {
    /// Whether the request may see what belongs to this profile.
    #[must_use]
    pub fn sees(&self, profile: &str) -> bool {
        self.profile.is_none_or(|own| own.to_string() == profile)
    }
}

/// What a profile is made with, or what is changed about it. What is absent stays.
#[derive(Default)]
pub struct ProfileChange {
    /// What the merchant calls it.
    pub name: Option<String>,
    /// Fields that are kept to be shown again, by the contract's names.
    pub details: Map<String, Value>,
    /// The key of the contract's signatures; without one the merchant account's counts.
    pub hash_key: Option<Secret>,
    /// The password of the login at its webhooks' endpoint.
    pub hook_password: GivenPassword,
    /// Headers of its own that go along with its webhooks, in the place of all before.
    pub hook_headers: Option<Vec<(String, GivenSecret)>>,
    /// Where its cards are kept.
    pub vault: VaultChange,
}

impl Profile {
    /// A setting of the profile, or of its merchant account where it has none.
    #[must_use]
    pub fn flag(&self, account: &MerchantAccount, name: &str, default: bool) -> bool {
        let of = |details: &Map<String, Value>| details.get(name).and_then(Value::as_bool);
        of(&self.details).or_else(|| of(&account.details)).unwrap_or(default)
    }

    /// A setting that is a text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.details.get(name).and_then(Value::as_str).map(str::to_owned)
    }

    /// Whether it has a key for the contract's signatures of its own; the key itself is in the vault.
    #[must_use]
    pub fn has_hash_key(&self) -> bool {
        self.hash_key.is_some()
    }

    /// The names of the headers that go along with its webhooks; their values are in the vault.
    #[must_use]
    pub fn hook_header_names(&self) -> &[String] {
        self.hook_headers.as_ref().map_or(&[], HookHeaders::names)
    }
}

impl Payments {
    /// A merchant's profiles, newest first.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn profiles(&self, merchant: &Merchant) -> Result<Vec<Stored<Profile>>, Fault> {
        let (store, most) = (self.engine().store().as_ref(), u32::try_from(MOST).unwrap_or(0));
        let all = list::<Profile>(store, merchant.caller.merchant, None, most).await?;
        Ok(all.into_iter().filter(|profile| merchant.sees(&profile.body.id)).collect())
    }

    /// Makes a profile.
    ///
    /// # Errors
    /// `Invalid` for a vault that is none; `Precondition` where there are too many.
    pub async fn create_profile(
        &self,
        actor: Actor,
        merchant: &Merchant,
        new: ProfileChange,
    ) -> Result<Stored<Profile>, Fault> {
        let everywhere = Merchant { profile: None, ..*merchant };
        if self.profiles(&everywhere).await?.len() >= MOST {
            return Err(Fault::Precondition(format!("There are {MOST} profiles already")));
        }
        let profile = Profile {
            id: self.new_name("pro_"),
            name: new.name.clone().unwrap_or_else(|| "default".to_owned()),
            details: Map::new(),
            hash_key: None,
            hook_password: None,
            hook_headers: None,
        };
        let profile = Stored::new(merchant.caller.merchant, profile, self.now());
        self.put_profile(actor, &everywhere, profile, new, "created").await
    }

    /// Changes a profile.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a vault that is none; `Busy`.
    pub async fn update_profile(
        &self,
        actor: Actor,
        merchant: &Merchant,
        id: &str,
        change: ProfileChange,
    ) -> Result<Stored<Profile>, Fault> {
        let profile = self.profile(merchant, Some(id)).await?.next(self.now());
        self.put_profile(actor, merchant, profile, change, "changed").await
    }

    async fn put_profile(
        &self,
        actor: Actor,
        merchant: &Merchant,
        mut profile: Stored<Profile>,
        change: ProfileChange,
        what: &str,
    ) -> Result<Stored<Profile>, Fault> {
        let mut detail = json!({ "profile": what });
        let mut set = WriteSet::new();
        if change.vault.enabled.is_some() || change.vault.details.is_some() {
            let choice = self.chosen_vault(merchant, &profile.body.id, change.vault).await?;
            let (enabled, connector) = (choice.body.enabled, &choice.body.connector);
            if let Value::Object(members) = &mut detail {
                let vault = json!({ "enabled": enabled, "connector": connector });
                members.insert("vault".to_owned(), vault);
            }
            set.push(choice.write());
        }
        if change.hash_key.is_some() {
            let kept = self.keep_hash_key(merchant.caller.tenant(), change.hash_key).await?;
            profile.body.hash_key = Some(kept.0);
        }
        let before = profile.body.hook_password.take();
        let tenant = merchant.caller.tenant();
        profile.body.hook_password =
            self.keep_hook_password(tenant, before, change.hook_password).await?;
        if let Some(headers) = change.hook_headers {
            let before = profile.body.hook_headers.take();
            profile.body.hook_headers = self.keep_hook_headers(merchant, before, headers).await?;
        }
        profile.body.name = change.name.unwrap_or(profile.body.name);
        profile.body.details.extend(change.details);
        set.push(profile.write());
        let entry = self.of_profile(actor, merchant, &profile.body.id, detail);
        self.engine().audit().commit_with(entry, set).await?;
        self.forget_known(merchant.caller.merchant);
        Ok(profile)
    }

    /// Removes a profile that is not the default one: nothing new is made in it.
    ///
    /// # Errors
    /// `NotFound`; `Precondition` for the default one; `Busy`.
    pub async fn delete_profile(
        &self,
        actor: Actor,
        merchant: &Merchant,
        id: &str,
    ) -> Result<(), Fault> {
        let now = self.now();
        let mut profile = self.profile(merchant, Some(id)).await?.next(now);
        if self.account_of(merchant).await?.body.default_profile == profile.body.id {
            let why = "The merchant account's default profile cannot be deleted";
            return Err(Fault::Precondition(why.to_owned()));
        }
        profile.removed_at = Some(now);
        let detail = json!({ "profile": "removed" });
        let entry = self.of_profile(actor, merchant, id, detail);
        let set = WriteSet::from(vec![profile.write()]);
        self.engine().audit().commit_with(entry, set).await?;
        self.forget_known(merchant.caller.merchant);
        Ok(())
    }

    fn of_profile(&self, actor: Actor, merchant: &Merchant, id: &str, detail: Value) -> Entry {
        Entry {
            merchant: Some(merchant.caller.merchant),
            actor,
            action: Action::SettingsChanged,
            subject: id.to_owned(),
            detail,
            request_id: None,
        }
    }
}
