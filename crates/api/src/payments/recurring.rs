//! `recurring_details`: what a payment without its payer rests on.

use baton_payments::{CardInput, Recurring};
use baton_types::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::body::Hidden;
use super::error::Refusal;
use super::shape::{CardData, check_id, check_text};

/// Longest id of a network's that is taken, in characters: theirs have 15 or less, with a date some more.
const NETWORK_ID_MAX: usize = 64;

/// What a payment without its payer rests on.
#[derive(Deserialize, JsonSchema)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub(crate) enum RecurringDetails {
    /// A mandate.
    MandateId(String),
    /// A saved method.
    PaymentMethodId(String),
    /// A card, and the network's id of the payment in which its holder has agreed.
    NetworkTransactionIdAndCardDetails(Box<CardOfNetwork>),
    /// A token that a provider has made.
    ProcessorPaymentToken(ProcessorToken),
    /// Not taken.
    NetworkTransactionIdAndNetworkTokenDetails(Value),
    /// Not taken.
    NetworkTransactionIdAndDecryptedWalletTokenDetails(Value),
    /// Not taken.
    CardWithLimitedData(Value),
}

/// A card that was agreed upon elsewhere.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CardOfNetwork {
    card_number: Hidden,
    card_exp_month: Hidden,
    card_exp_year: Hidden,
    #[serde(default)]
    card_holder_name: Option<Hidden>,
    network_transaction_id: String,
    #[serde(default, rename = "transaction_link_id")]
    _link: Option<Value>,
    #[serde(default, rename = "card_issuer")]
    _issuer: Option<Value>,
    #[serde(default, rename = "card_network")]
    _network: Option<Value>,
    #[serde(default, rename = "card_type")]
    _kind: Option<Value>,
    #[serde(default, rename = "card_issuing_country")]
    _country: Option<Value>,
    #[serde(default, rename = "card_issuing_country_code")]
    _country_code: Option<Value>,
    #[serde(default, rename = "bank_code")]
    _bank: Option<Value>,
    #[serde(default, rename = "nick_name")]
    _nick: Option<Value>,
}

/// A provider's token.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProcessorToken {
    processor_payment_token: String,
    #[serde(default)]
    merchant_connector_id: Option<String>,
}

/// What `recurring_details` come to.
#[derive(Default)]
pub(crate) struct Read {
    pub(crate) mandate: Option<String>,
    pub(crate) saved_method: Option<String>,
    pub(crate) card: Option<CardInput>,
    pub(crate) recurring: Option<Recurring>,
}

impl RecurringDetails {
    pub(crate) fn read(self, now: Timestamp) -> Result<Read, Refusal> {
        let not_taken = |kind: &str, _: Value| {
            Err(Refusal::value("recurring_details.type", format!("{kind} is not taken here")))
        };
        match self {
            Self::MandateId(id) => {
                Ok(Read { mandate: Some(id), recurring: Some(Recurring::Saved), ..Read::default() })
            }
            Self::PaymentMethodId(id) => Ok(Read {
                saved_method: Some(id),
                recurring: Some(Recurring::Saved),
                ..Read::default()
            }),
            Self::NetworkTransactionIdAndCardDetails(card) => card.read(now),
            Self::ProcessorPaymentToken(token) => token.read(),
            Self::NetworkTransactionIdAndNetworkTokenDetails(data) => {
                not_taken("network_transaction_id_and_network_token_details", data)
            }
            Self::NetworkTransactionIdAndDecryptedWalletTokenDetails(data) => {
                not_taken("network_transaction_id_and_decrypted_wallet_token_details", data)
            }
            Self::CardWithLimitedData(data) => not_taken("card_with_limited_data", data),
        }
    }
}

impl CardOfNetwork {
    fn read(self, now: Timestamp) -> Result<Read, Refusal> {
        let field = "recurring_details.data.network_transaction_id";
        let transaction_id = self.network_transaction_id;
        let fits = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        let is_one = (1..=NETWORK_ID_MAX).contains(&transaction_id.len())
            && transaction_id.bytes().all(fits)
            && !transaction_id.trim().is_empty();
        if !is_one {
            return Err(Refusal::value(field, "must be 1 to 64 visible characters"));
        }
        let parts = (self.card_number, self.card_exp_month, self.card_exp_year);
        let card = CardData::without_cvc(parts, self.card_holder_name).read(now)?;
        // Some networks' ids have as many digits as a card; this one's own number is no id.
        if transaction_id.contains(card.number.expose()) {
            return Err(Refusal::value(field, "holds the card number"));
        }
        let recurring = Some(Recurring::Network { transaction_id });
        Ok(Read { card: Some(card), recurring, ..Read::default() })
    }
}

impl ProcessorToken {
    fn read(self) -> Result<Read, Refusal> {
        let field = "recurring_details.data.processor_payment_token";
        let token = self.processor_payment_token;
        check_text(field, &token)?;
        if token.is_empty() || token.len() > 256 || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Refusal::value(field, "must be 1 to 256 visible characters"));
        }
        let connector = self.merchant_connector_id;
        if let Some(id) = &connector {
            check_id("recurring_details.data.merchant_connector_id", id)?;
        }
        let recurring = Some(Recurring::Token { token, connector });
        Ok(Read { recurring, ..Read::default() })
    }
}
