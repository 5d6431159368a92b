//! A payer who comes back from a challenge, by a link that only this payment's challenge has shown.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use baton_connect::Returned;
use baton_engine::Caller;
use baton_types::MerchantId;

use crate::account::{MerchantAccount, Profile};
use crate::document::Stored;
use crate::fault::Fault;
use crate::intent::Seen;
use crate::service::{Merchant, Payments};

/// The link, as `GET` and `POST /payments/return/{merchant}/{payment_id}/{token}` read it.
pub(crate) fn url(public: &str, merchant: MerchantId, intent: &str, token: &str) -> String {
    format!("{public}/payments/return/{merchant}/{intent}/{token}")
}

impl Payments {
    /// Takes what a payer's browser brought back, and says how the payment stands and whose it is: the account and the profile. Late and
    /// repeated returns find what is there.
    ///
    /// # Errors
    /// `NotFound` for a link that was never made; or what was learned could not be recorded.
    pub async fn come_back(
        &self,
        merchant: &str,
        intent: &str,
        token: &str,
        returned: Returned,
    ) -> Result<(Seen, Stored<MerchantAccount>, Profile), Fault> {
        let missing = || Fault::NotFound("payment");
        let merchant = MerchantId::parse(merchant).map_err(|_| missing())?;
        let caller = Caller { merchant, sandbox: self.is_sandbox(), key: None };
        let merchant = Merchant { caller, profile: None };
        let seen = self.see(&merchant, intent).await?;
        let known = seen.intent.body.return_token.as_deref().ok_or_else(missing)?;
        verify_slices_are_equal(known.as_bytes(), token.as_bytes()).map_err(|_| missing())?;
        let account = self.account_of(&merchant).await?;
        // Also one that was removed meanwhile.
        let profile = self.load::<Profile>(merchant.caller.merchant, &seen.intent.body.profile);
        let profile = profile.await?.ok_or(Fault::NotFound("business profile"))?.body;
        let payment = seen.payment.as_ref().ok_or_else(missing)?.id;
        let payment = self.engine().returned(caller, payment, returned).await?;
        let seen = self.judged(&merchant, Seen { payment: Some(payment), ..seen }).await;
        Ok((seen, account, profile))
    }
}
