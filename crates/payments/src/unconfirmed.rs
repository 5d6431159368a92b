//! Cards of intents that nobody has confirmed yet: the number sealed in the vault, the CVC in this process' memory.
//!
//! Left out: cards that are saved for later payments.

use std::collections::HashMap;
use std::sync::PoisonError;

use baton_types::{Cvv, MerchantId, Timestamp};
use baton_vault::SealedKind;

use crate::document::Stored;
use crate::fault::Fault;
use crate::intent::{CardInput, Intent};
use crate::service::{Merchant, Payments};

/// How long a CVC waits in memory for a confirmation, in milliseconds.
const CVV_MS: i64 = 15 * 60 * 1000;

/// How long a card that waits for a confirmation is kept beyond its intent's session, in milliseconds.
const CARD_MS: i64 = 24 * 3_600_000;

/// Most CVCs that wait at once.
const CVVS_MAX: usize = 100_000;

/// CVCs by intent, each with the time after which it is gone.
pub(crate) type WaitingCvvs = HashMap<(MerchantId, String), (Timestamp, Cvv)>;

impl Payments {
    /// Seals a card's number under the intent's id, and keeps its CVC in memory.
    pub(crate) async fn keep_card(
        &self,
        merchant: &Merchant,
        intent: &mut Stored<Intent>,
        card: CardInput,
    ) -> Result<(), Fault> {
        let now = self.now();
        let id = intent.body.id.clone();
        let (vault, tenant) = (self.engine().vault(), merchant.caller.tenant());
        // Longer than a browser may take part, so that a server can still confirm; then nobody will.
        let until = Some(now.max(intent.body.expires_at).plus_millis(CARD_MS));
        let kind = SealedKind::IntentCard;
        vault.put_until(tenant, kind, &id, &card.number, now, until).await?;
        if let Some(cvv) = card.cvv {
            let mut waiting = self.waiting_cvvs.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= CVVS_MAX {
                waiting.retain(|_, (until, _)| *until > now);
            }
            if waiting.len() < CVVS_MAX {
                let until = now.plus_millis(CVV_MS);
                waiting.insert((merchant.caller.merchant, id.clone()), (until, cvv));
            }
        }
        if let Some(method) = &mut intent.body.method {
            method.card.record = Some(id);
        }
        Ok(())
    }

    /// The card of an intent that is being confirmed; from here on only this request has it.
    pub(crate) async fn kept_card(
        &self,
        merchant: &Merchant,
        intent: &Stored<Intent>,
        record: Option<&str>,
    ) -> Result<CardInput, Fault> {
        let method = intent.body.method.as_ref().ok_or(Fault::Missing("payment_method_data"))?;
        let record = record.ok_or(Fault::Missing("payment_method_data"))?;
        let (vault, tenant) = (self.engine().vault(), merchant.caller.tenant());
        let number = vault.get(tenant, SealedKind::IntentCard, record).await?;
        let number = number.ok_or(Fault::Missing("payment_method_data"))?;
        let key = (merchant.caller.merchant, intent.body.id.clone());
        let cvv = self.waiting_cvvs.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        let cvv = cvv.filter(|(until, _)| *until > self.now()).map(|(_, cvv)| cvv);
        if method.card.has_cvv && cvv.is_none() {
            return Err(Fault::Missing("card_cvc"));
        }
        let (masked, holder) = (method.card.masked.clone(), method.card.holder.clone());
        Ok(CardInput { number, masked, cvv, holder })
    }

    pub(crate) async fn drop_card(&self, merchant: &Merchant, kind: SealedKind, record: &str) {
        let (vault, tenant) = (self.engine().vault(), merchant.caller.tenant());
        if let Err(error) = vault.remove(tenant, kind, record).await {
            tracing::warn!(%error, "a card that is not needed any more stays in the vault");
        }
    }
}
