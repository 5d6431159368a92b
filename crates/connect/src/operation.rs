//! What a connector can be asked to do, in the field's terms and without a secret.

use baton_types::{MaskedCard, Money, Timestamp};
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::redirect::{Redirect, RedirectMethod};

/// One operation at a provider. References are ours and unique per attempt or modification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case")]
pub enum Operation {
    /// Hold an amount.
    Authorize(Purchase),
    /// Take an amount at once (a sale).
    Charge(Purchase),
    /// Take all or part of a held amount.
    Capture {
        /// What is captured.
        parent: Parent,
        /// How much.
        amount: Money,
        /// Our reference for this capture.
        reference: String,
    },
    /// Release a hold, or reverse a sale that has not settled. Never a refund.
    Void {
        /// What is voided.
        parent: Parent,
        /// Our reference for this void.
        reference: String,
    },
    /// Give back all or part of what was captured.
    Refund {
        /// What is refunded.
        parent: Parent,
        /// How much.
        amount: Money,
        /// Our reference for this refund.
        reference: String,
    },
    /// Hold more than an authorization holds, before anything of it is captured.
    Increment {
        /// What is raised.
        parent: Parent,
        /// The new total.
        amount: Money,
        /// Our reference for this raise.
        reference: String,
    },
    /// Have the provider keep the card and give its own token for it. Moves no money.
    Tokenize {
        /// The card.
        card: CardFacts,
        /// Our reference for this token.
        reference: String,
    },
}

impl Operation {
    /// Which kind of operation this is: what a manifest claims.
    #[must_use]
    pub fn kind(&self) -> OperationKind {
        match self {
            Self::Authorize(_) => OperationKind::Authorize,
            Self::Charge(_) => OperationKind::Charge,
            Self::Capture { .. } => OperationKind::Capture,
            Self::Void { .. } => OperationKind::Void,
            Self::Refund { .. } => OperationKind::Refund,
            Self::Increment { .. } => OperationKind::Increment,
            Self::Tokenize { .. } => OperationKind::Tokenize,
        }
    }

    /// The card that the operation is about, if it is about one.
    #[must_use]
    pub fn card(&self) -> Option<&CardFacts> {
        match self {
            Self::Authorize(purchase) | Self::Charge(purchase) => match &purchase.source {
                Source::Card(card) => Some(card),
                Source::ProviderToken(_) | Source::Redirect(_) => None,
            },
            Self::Tokenize { card, .. } => Some(card),
            Self::Capture { .. }
            | Self::Void { .. }
            | Self::Refund { .. }
            | Self::Increment { .. } => None,
        }
    }

    /// The method that the payer completes elsewhere, if it is paid with one.
    #[must_use]
    pub fn redirect(&self) -> Option<RedirectMethod> {
        match self {
            Self::Authorize(purchase) | Self::Charge(purchase) => match &purchase.source {
                Source::Redirect(redirect) => Some(redirect.method),
                Source::Card(_) | Source::ProviderToken(_) => None,
            },
            Self::Tokenize { .. }
            | Self::Capture { .. }
            | Self::Void { .. }
            | Self::Refund { .. }
            | Self::Increment { .. } => None,
        }
    }

    /// What the operation needs of its provider beside itself.
    pub fn features(&self) -> impl Iterator<Item = Feature> {
        let card = self.card();
        let three_ds = card.is_some_and(|card| card.three_ds.is_some());
        let network_token = card.is_some_and(|card| card.network_token.is_some());
        let merchant_initiated = match self {
            Self::Authorize(purchase) | Self::Charge(purchase) => {
                purchase.merchant_asks().is_some()
            }
            Self::Capture { .. }
            | Self::Void { .. }
            | Self::Refund { .. }
            | Self::Increment { .. }
            | Self::Tokenize { .. } => false,
        };
        let verifies = match self {
            Self::Authorize(purchase) | Self::Charge(purchase) => purchase.amount.is_zero(),
            Self::Capture { .. }
            | Self::Void { .. }
            | Self::Refund { .. }
            | Self::Increment { .. }
            | Self::Tokenize { .. } => false,
        };
        [
            (three_ds, Feature::ThreeDs),
            (network_token, Feature::NetworkTokens),
            (merchant_initiated, Feature::MerchantInitiated),
            (verifies, Feature::Verification),
        ]
        .into_iter()
        .filter_map(|(needed, feature)| needed.then_some(feature))
    }

    /// The amount that the operation asks for; voids and tokens have none.
    #[must_use]
    pub fn amount(&self) -> Option<Money> {
        match self {
            Self::Authorize(p) | Self::Charge(p) => Some(p.amount),
            Self::Capture { amount, .. }
            | Self::Refund { amount, .. }
            | Self::Increment { amount, .. } => Some(*amount),
            Self::Void { .. } | Self::Tokenize { .. } => None,
        }
    }
}

/// The kinds of operation that a manifest can claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// See [`Operation::Authorize`].
    Authorize,
    /// See [`Operation::Charge`].
    Charge,
    /// See [`Operation::Capture`].
    Capture,
    /// See [`Operation::Void`].
    Void,
    /// See [`Operation::Refund`].
    Refund,
    /// See [`Operation::Tokenize`].
    Tokenize,
    /// See [`Operation::Increment`].
    Increment,
}

impl OperationKind {
    /// The name as it stands in manifests, metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::Charge => "charge",
            Self::Capture => "capture",
            Self::Void => "void",
            Self::Refund => "refund",
            Self::Tokenize => "tokenize",
            Self::Increment => "increment",
        }
    }
}

/// What a request may bring along that not every provider takes. A manifest claims it, or such a request is
/// not put to the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// Results of a 3-D Secure authentication that was made elsewhere.
    ThreeDs,
    /// A scheme's network token instead of a card number.
    NetworkTokens,
    /// Payments without the payer, by the network's id of the payment in which the payer has agreed to them,
    /// wherever that was made.
    MerchantInitiated,
    /// An authorization of nothing: the card is verified, and no money moves.
    Verification,
}

impl Feature {
    /// The name as it stands in manifests and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ThreeDs => "three_ds",
            Self::NetworkTokens => "network_tokens",
            Self::MerchantInitiated => "merchant_initiated",
            Self::Verification => "verification",
        }
    }
}

/// What an authorization and a sale have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purchase {
    /// How much.
    pub amount: Money,
    /// Our reference for this attempt.
    pub reference: String,
    /// What is paid with.
    pub source: Source,
    /// The payment that the attempt belongs to, for the provider's metadata: it ties attempts together.
    pub payment: String,
    /// What the payer reads on the order, where a provider takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who pays and from where, where the merchant said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<Payer>,
    /// Whether the goods are digital, where the merchant said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digital: Option<bool>,
    /// Where a payer is there to take a challenge. Absent, the provider is asked not to begin one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<Challenge>,
    /// What of stored cards the networks want to be told. Absent, the card is for this payment only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Whether the merchant may want to hold more later, where the provider can do that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_grow: bool,
}

impl Purchase {
    /// What an absent payer has agreed to before, where it is the merchant who asks.
    #[must_use]
    pub fn merchant_asks(&self) -> Option<&MerchantInitiated> {
        match &self.usage {
            Some(Usage::MerchantInitiated(asked)) => Some(asked),
            Some(Usage::Keeps { .. }) | None => None,
        }
    }
}

/// What of stored cards the networks want to be told with a purchase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Usage {
    /// The payer is there and lets the merchant keep the card.
    Keeps {
        /// Our name of the kept card, the same whenever it is paid with.
        name: String,
        /// Also for payments without the payer.
        without_payer: bool,
    },
    /// The payer is not there: the merchant asks.
    MerchantInitiated(MerchantInitiated),
}

/// By what a merchant asks for a payment without its payer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MerchantInitiated {
    /// Our name of the kept card, the same whenever it is paid with.
    pub name: String,
    /// The network's id of the payment in which the payer has agreed, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_transaction_id: Option<String>,
    /// Whether that payment was made at this very account, which therefore knows of it.
    #[serde(default)]
    pub made_here: bool,
}

/// What a provider needs to know to challenge a payer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// Where the payer's browser is sent when the challenge is over.
    pub return_url: String,
}

/// Who pays: what providers ask for their risk checks and address verification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payer {
    /// The address that the payer's device has on the Internet, as the merchant wrote it.
    pub ip: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// Address lines, the street first; at most three.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub address: Vec<String>,
    /// The postal code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_code: Option<String>,
    /// The city.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// The state or province.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// What is paid with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A card; number and CVV are holes in the call.
    Card(CardFacts),
    /// A token that this very provider made.
    ProviderToken(String),
    /// A method that the payer completes on somebody else's page.
    Redirect(Box<Redirect>),
}

/// What a connector may know of a card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardFacts {
    /// Brand, first six, last four and expiry.
    #[serde(flatten)]
    pub masked: MaskedCard,
    /// Whether a CVV came with the request: the call has a hole for it then.
    pub has_cvv: bool,
    /// The name on the card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// The result of a 3-D Secure authentication that was made elsewhere. Its value is a hole in the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub three_ds: Option<ThreeDs>,
    /// The scheme whose network token the number is; absent for a card number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_token: Option<TokenScheme>,
}

/// What a 3-D Secure authentication gave, but for the authentication value (CAVV, AAV) itself, which is
/// [`Hole::AuthenticationValue`](crate::Hole).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreeDs {
    /// Electronic commerce indicator: 05, 06, 07 (Visa and others), 02, 01, 00 (Mastercard).
    pub eci: String,
    /// The directory server's transaction id (`xid` in version 1).
    pub transaction_id: String,
    /// The protocol's version, such as 2.2.0.
    pub version: String,
    /// Mastercard's security level indicator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sli: Option<String>,
}

/// The schemes that issue network tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenScheme {
    /// Visa Token Service.
    Visa,
    /// Mastercard Digital Enablement Service.
    Mastercard,
    /// American Express Token Service.
    Amex,
}

impl TokenScheme {
    /// The name as it stands in calls.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Visa => "visa",
            Self::Mastercard => "mastercard",
            Self::Amex => "amex",
        }
    }
}

/// What a capture, void or refund refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Our reference of the attempt.
    pub reference: String,
    /// The provider's id, where its answer gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_reference: Option<String>,
    /// When the attempt was planned, for a provider that finds it again by time: it left no earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_at: Option<Timestamp>,
    /// Whether it was of nothing and only verified its card.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub verification: bool,
}

/// A question about an operation whose outcome is not known. Asking moves no money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookUp {
    /// What kind of operation is looked for.
    pub subject: Subject,
    /// Our reference of the operation.
    pub reference: String,
    /// The provider's id of the operation, where an answer gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_reference: Option<String>,
    /// How much was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    /// When the operation was planned: it left no earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_at: Option<Timestamp>,
}

/// What a payer's browser brought back from a challenge: the fields of its query or form.
///
/// It comes from the payer's hands. What it is worth only the provider can say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returned(pub BTreeMap<String, String>);

/// What a look-up looks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// An authorization.
    Authorize,
    /// A sale.
    Charge,
    /// A provider's token.
    Tokenize,
    /// A capture of this attempt.
    Capture(Parent),
    /// A void of this attempt.
    Void(Parent),
    /// A refund of this attempt.
    Refund(Parent),
    /// A raise of this attempt.
    Increment(Parent),
}
