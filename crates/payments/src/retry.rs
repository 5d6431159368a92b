//! A failed intent that is confirmed again, where its profile or its merchant account allows that.
//!
//! A confirmation after a failure makes a payment of its own, so that nothing of the first can come of it. It is let through
//! only when the last payment has failed for good and no call of it is open: no provider can take money for it any more.
//! Left out: retries that nobody asks for; other accounts are tried within one confirmation.

use std::collections::HashMap;

use baton_flow::Payment;
use serde_json::Value;

use crate::account::Profile;
use crate::fault::Fault;
use crate::intent::{Intent, Seen};
use crate::method::{Mandate, SavedMethod};
use crate::service::{Merchant, Payments};
use crate::status::IntentStatus;

/// Most payments that confirmations of one intent make: who tests stolen cards finds no patience here, and the card
/// schemes bound how often an issuer may be asked again.
const TRIES_MAX: usize = 15;

/// The field by which a profile or a merchant account allows it.
const ALLOWS: &str = "is_manual_retry_enabled";

impl Payments {
    /// What was seen, with whether it may be confirmed again. A store that does not answer allows nothing.
    pub(crate) async fn judged(&self, merchant: &Merchant, seen: Seen) -> Seen {
        self.judged_among(merchant, seen, &mut HashMap::new()).await
    }

    /// The same among others: what profiles allow is remembered.
    pub(crate) async fn judged_among(
        &self,
        merchant: &Merchant,
        seen: Seen,
        known: &mut HashMap<String, bool>,
    ) -> Seen {
        let open = seen.payment.as_deref().is_none_or(Payment::has_open_calls);
        let failed = seen.status() == IntentStatus::Failed;
        let few = seen.intent.body.tries.len() < TRIES_MAX;
        let retry = failed && few && !open && {
            let profile = &seen.intent.body.profile;
            match known.get(profile) {
                Some(allowed) => *allowed,
                None => {
                    let allowed = self.allows_retries(merchant, profile).await.unwrap_or(false);
                    known.insert(profile.clone(), allowed);
                    allowed
                }
            }
        };
        Seen { retry, ..seen }
    }

    async fn allows_retries(&self, merchant: &Merchant, profile: &str) -> Result<bool, Fault> {
        let owner = merchant.caller.merchant;
        let profile = self.load::<Profile>(owner, profile).await?;
        let of_profile = profile.as_ref().and_then(|profile| profile.body.details.get(ALLOWS));
        if let Some(allowed) = of_profile.and_then(Value::as_bool) {
            return Ok(allowed);
        }
        let account = self.account_of(merchant).await?;
        Ok(account.body.details.get(ALLOWS).and_then(Value::as_bool).unwrap_or(false))
    }

    /// Takes from an intent what its last payment was to save and did not.
    pub(crate) async fn forget_unsaved(
        &self,
        merchant: &Merchant,
        intent: &mut Intent,
    ) -> Result<(), Fault> {
        let (owner, last) = (merchant.caller.merchant, intent.tries.last().copied());
        let Some(id) = intent.saved_method.clone() else { return Ok(()) };
        let method = self.load::<SavedMethod>(owner, &id).await?;
        if !method.is_some_and(|method| method.body.saved_by == last && last.is_some()) {
            return Ok(());
        }
        intent.saved_method = None;
        if let Some(mandate) = intent.mandate.clone() {
            let mandate = self.load::<Mandate>(owner, &mandate).await?;
            if mandate.is_some_and(|mandate| mandate.body.method == id) {
                intent.mandate = None;
            }
        }
        Ok(())
    }
}
