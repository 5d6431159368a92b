//! A merchant's account, profiles and connectors, as payments need them: read together, and kept for a moment.
//!
//! What this process changes counts for it at once; what another node changes, within [`FRESH_MS`], as with keys and gateway
//! accounts. Nothing is remembered as missing. Left out: whoever changes settings or lists them reads the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use baton_types::{MerchantId, Timestamp};

use crate::account::{MerchantAccount, Profile};
use crate::connector::ConnectorAccount;
use crate::document::{Stored, list};
use crate::fault::Fault;
use crate::service::{Merchant, Payments};

/// How long they are used before they are read again, in milliseconds.
const FRESH_MS: i64 = 2_000;

/// Most merchants that are remembered at once.
const MERCHANTS_MAX: usize = 10_000;

/// Most profiles, and most connectors, of a merchant.
const MOST: u32 = 500;

/// A merchant's settings as they were a moment ago.
pub(crate) struct Settings {
    account: Stored<MerchantAccount>,
    profiles: HashMap<String, Stored<Profile>>,
    /// The newest first.
    connectors: Vec<Stored<ConnectorAccount>>,
}

impl Settings {
    /// A profile's connectors, the newest first.
    pub(crate) fn connectors_of<'a>(
        &'a self,
        profile: &'a str,
    ) -> impl DoubleEndedIterator<Item = &'a ConnectorAccount> {
        let all = self.connectors.iter().map(|stored| &stored.body);
        all.filter(move |connector| connector.profile == profile)
    }

    /// A profile by its id, if the request may see it; without one, the request's own or the default one.
    fn profile(&self, merchant: &Merchant, id: Option<&str>) -> Option<&Stored<Profile>> {
        let own = merchant.profile.map(|own| own.to_string());
        let id = id.or(own.as_deref()).unwrap_or(&self.account.body.default_profile);
        self.profiles.get(id).filter(|found| merchant.sees(&found.body.id))
    }
}

/// The settings of merchants that have made payments lately.
#[derive(Default)]
pub(crate) struct KnownSettings {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Counts what was forgotten, so that nothing is kept that was read before.
    forgotten: u64,
    of: HashMap<MerchantId, (Timestamp, Arc<Settings>)>,
}

impl KnownSettings {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This process has changed them.
    pub(crate) fn forget(&self, merchant: MerchantId) {
        let mut kept = self.lock();
        kept.forgotten = kept.forgotten.wrapping_add(1);
        kept.of.remove(&merchant);
    }
}

impl Payments {
    /// A merchant's settings, not older than [`FRESH_MS`].
    ///
    /// # Errors
    /// `NotFound` for a merchant that the Payments API does not know; the store does not answer.
    pub(crate) async fn settings(&self, merchant: MerchantId) -> Result<Arc<Settings>, Fault> {
        let known = self.known_settings.lock().of.get(&merchant).cloned();
        match known.filter(|(until, _)| self.now() < *until) {
            Some((_, known)) => Ok(known),
            None => self.settings_anew(merchant).await,
        }
    }

    async fn settings_anew(&self, merchant: MerchantId) -> Result<Arc<Settings>, Fault> {
        let until = self.now().plus_millis(FRESH_MS);
        let before = self.known_settings.lock().forgotten;
        let store = self.engine().store().as_ref();
        let account = self.account_of(&self.merchant_of(merchant)).await?;
        let profiles = list::<Profile>(store, merchant, None, MOST).await?.into_iter();
        let profiles = profiles.map(|profile| (profile.body.id.clone(), profile)).collect();
        let connectors = list(store, merchant, None, MOST).await?;
        let settings = Arc::new(Settings { account, profiles, connectors });
        let mut kept = self.known_settings.lock();
        if kept.forgotten == before {
            if kept.of.len() >= MERCHANTS_MAX {
                kept.of.clear();
            }
            kept.of.insert(merchant, (until, Arc::clone(&settings)));
        }
        Ok(settings)
    }

    /// The id of a caller's merchant account.
    ///
    /// # Errors
    /// `NotFound` for a merchant that the Payments API does not know.
    pub async fn account_id(&self, merchant: &Merchant) -> Result<String, Fault> {
        Ok(self.settings(merchant.caller.merchant).await?.account.body.id.clone())
    }

    /// The profile that a payment is to belong to: by its id, or the request's own or the merchant's default one.
    ///
    /// # Errors
    /// `NotFound`.
    pub(crate) async fn profile_for(
        &self,
        merchant: &Merchant,
        id: Option<&str>,
    ) -> Result<Stored<Profile>, Fault> {
        let found = self.chosen(merchant, |settings| settings.profile(merchant, id).cloned());
        found.await?.ok_or(Fault::NotFound("business profile"))
    }

    /// What `choose` takes from the settings; where it takes nothing, from settings that are read anew.
    pub(crate) async fn chosen<T>(
        &self,
        merchant: &Merchant,
        choose: impl Fn(&Settings) -> Option<T> + Send + Sync,
    ) -> Result<Option<T>, Fault> {
        let merchant = merchant.caller.merchant;
        if let Some(chosen) = choose(self.settings(merchant).await?.as_ref()) {
            return Ok(Some(chosen));
        }
        Ok(choose(self.settings_anew(merchant).await?.as_ref()))
    }
}
