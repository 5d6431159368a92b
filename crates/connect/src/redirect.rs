//! Payment methods that a payer completes on somebody else's page: a bank's, or a lender's.
//!
//! Nothing of them is secret. The names are the field's: those of the Payments API's contract and of most providers.

use serde::{Deserialize, Serialize};

/// What is paid with, where it is no card: whom the payer is sent to, and what is to be told there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// The method.
    pub method: RedirectMethod,
    /// The payer's bank, by the contract's name of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bank: Option<String>,
    /// Who pays.
    #[serde(default)]
    pub payer: Contact,
    /// Where the goods go, where a lender wants to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping: Option<Contact>,
}

/// A person and an address, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// First and last name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// An e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Address lines, the street first; at most three.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub address: Vec<String>,
    /// The city.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// The state or province.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The postal code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_code: Option<String>,
    /// ISO 3166-1 alpha-2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
}

/// A method that is completed elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedirectMethod {
    /// Affirm: pays now, is paid back later.
    Affirm,
    /// Afterpay, Clearpay in Britain: four instalments.
    AfterpayClearpay,
    /// EPS: Austrian banks.
    Eps,
    /// Giropay: German banks.
    Giropay,
    /// iDEAL: Dutch banks.
    Ideal,
    /// Klarna: later, or in instalments.
    Klarna,
    /// Sofort: banks of several European countries.
    Sofort,
}

impl RedirectMethod {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Affirm,
        Self::AfterpayClearpay,
        Self::Eps,
        Self::Giropay,
        Self::Ideal,
        Self::Klarna,
        Self::Sofort,
    ];

    /// The name as it stands in manifests, in requests (`payment_method_type`) and at providers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Affirm => "affirm",
            Self::AfterpayClearpay => "afterpay_clearpay",
            Self::Eps => "eps",
            Self::Giropay => "giropay",
            Self::Ideal => "ideal",
            Self::Klarna => "klarna",
            Self::Sofort => "sofort",
        }
    }

    /// The contract's `payment_method`.
    #[must_use]
    pub fn family(self) -> &'static str {
        match self {
            Self::Affirm | Self::AfterpayClearpay | Self::Klarna => "pay_later",
            Self::Eps | Self::Giropay | Self::Ideal | Self::Sofort => "bank_redirect",
        }
    }

    /// The method of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }
}
