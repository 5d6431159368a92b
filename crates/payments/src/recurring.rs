//! Payments without the payer: the merchant asks, by what the payer has agreed to before.
//!
//! Card networks tie such a payment to the one in which the payer has agreed, by an id that its approval gave. That id
//! is kept with the saved method: not beside it, but as the payment that gave it, from whose approval it is read. So it
//! is there whenever the approval is, also if that was found by a look-up or told by a webhook much later; and it goes
//! to every provider that is asked, so that a saved card can be paid with at another one than the first. Left out: an id
//! for a card that was put in the place of the first, until its holder has paid with it.

use baton_engine::{How, Stored as StoredCard};
use baton_flow::{CallState, Payment, Verdict};
use baton_store::Write;
use baton_types::{AccountId, PaymentId};
use serde::{Deserialize, Serialize};

use crate::document::Stored;
use crate::fault::Fault;
use crate::intent::{FutureUsage, Intent};
use crate::method::SavedMethod;
use crate::service::{Merchant, Payments};

/// What a payment without its payer rests on, where its request says so (`recurring_details`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recurring {
    /// The saved method, or the mandate, that the intent names.
    Saved,
    /// A card that comes with the request, by the network's id of the payment in which its holder has agreed.
    Network {
        /// The id.
        transaction_id: String,
    },
    /// A token that a provider has made.
    Token {
        /// The token, as that provider takes it.
        token: String,
        /// The connector that leads to that provider; the profile's only one if absent.
        connector: Option<String>,
    },
}

/// What goes with a purchase, and what is written alongside its plan.
type Agreed = (Option<StoredCard>, Option<Write>);

impl Intent {
    /// Whether it is the merchant who asks: by what is stored, and not with the payer there. A card that just came is
    /// the payer's, unless the network's id of an agreement came with it.
    pub(crate) fn merchant_asks(&self, with_card: bool) -> bool {
        let off_session = self.details.get("off_session").and_then(serde_json::Value::as_bool);
        let by_agreement = self.recurring.is_some() || self.mandate.is_some();
        let by_what_is_stored = by_agreement || self.saved_method.is_some();
        let is_payers = with_card && !matches!(self.recurring, Some(Recurring::Network { .. }));
        by_what_is_stored && !is_payers && off_session.unwrap_or(by_agreement)
    }

    /// The provider's token that it is paid with, and the connector if it is named.
    #[must_use]
    pub fn token(&self) -> Option<(&str, Option<&str>)> {
        match &self.recurring {
            Some(Recurring::Token { token, connector }) => Some((token, connector.as_deref())),
            Some(Recurring::Saved | Recurring::Network { .. }) | None => None,
        }
    }

    /// That a card is being kept, for what the request says.
    pub(crate) fn keeps(&self, method: &str) -> StoredCard {
        let without_payer =
            self.mandate.is_some() || self.setup_future_usage == Some(FutureUsage::OffSession);
        StoredCard { name: method.to_owned(), how: How::Keeps { without_payer } }
    }
}

impl SavedMethod {
    /// The payment in which its holder has agreed to be asked again.
    fn agreement(&self) -> Option<PaymentId> {
        self.agreed_in.or(self.saved_by.filter(|_| !self.replaced))
    }
}

impl Payments {
    /// What of the stored card goes with an intent's payment, and a note of the agreement if this payment is one.
    pub(crate) async fn agreed(
        &self,
        merchant: &Merchant,
        intent: &Intent,
        asks: bool,
        method: Option<&str>,
        payment: PaymentId,
    ) -> Result<Agreed, Fault> {
        let named = |network_transaction_id, made_at| {
            let how = How::MerchantAsks { network_transaction_id, made_at };
            let name = method.unwrap_or(&intent.id).to_owned();
            Ok((Some(StoredCard { name, how }), None))
        };
        let Some(method) = method else {
            return match &intent.recurring {
                _ if !asks => Ok((None, None)),
                Some(Recurring::Network { transaction_id }) => {
                    named(Some(transaction_id.clone()), None)
                }
                Some(Recurring::Token { .. } | Recurring::Saved) | None => named(None, None),
            };
        };
        let saved = self.method(merchant, method).await?;
        let known = match saved.body.agreement() {
            Some(id) => agreement_of(self.engine().payment(merchant.caller, id).await?.as_ref()),
            None => None,
        };
        match known {
            known if asks => {
                let (id, account) = known.unzip();
                named(id, account.flatten())
            }
            // The payer is there and agrees, in this payment.
            None if intent.setup_future_usage.is_some() => {
                let mut noted: Stored<SavedMethod> = saved.next(self.now());
                noted.body.agreed_in = Some(payment);
                Ok((Some(intent.keeps(method)), Some(noted.write())))
            }
            Some(_) | None => Ok((None, None)),
        }
    }
}

/// The one connector, of those that can be asked, that a provider's token is for.
pub(crate) fn place_of_token(eligible: &[String], named: Option<&str>) -> Result<String, Fault> {
    match (named, eligible) {
        (Some(named), _) => {
            let known = eligible.iter().find(|id| *id == named);
            known.cloned().ok_or(Fault::NotFound("merchant connector account"))
        }
        (None, [only]) => Ok(only.clone()),
        (None, _) => Err(Fault::Missing("recurring_details.data.merchant_connector_id")),
    }
}

/// The network's id of an approved payment, where its provider told it, and the account that it was made at.
fn agreement_of(payment: &Payment) -> Option<(String, Option<AccountId>)> {
    let Verdict::Approved(no) = payment.verdict() else { return None };
    let call = payment.call(baton_flow::CallId::Attempt(no))?;
    let CallState::Final { outcome, .. } = &call.state else { return None };
    let id = outcome.answer()?.network_transaction_id.as_deref()?;
    Some((id.to_owned(), payment.candidate(no).map(|candidate| candidate.account)))
}
