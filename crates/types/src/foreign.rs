//! A payment that was not made here, as its provider tells of it.

use serde::Serialize;

use crate::Money;

/// What a provider knows of one of its payments. Whether it holds together, whoever imports it has to check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Foreign {
    /// The provider's own id.
    pub reference: String,
    /// Taken at once, so that there is nothing to capture.
    pub sale: bool,
    /// Held or taken.
    pub authorized: Money,
    /// What was captured of a hold; empty for a sale.
    pub captures: Vec<ForeignPart>,
    /// Whether the whole of it was released.
    pub voided: bool,
    /// What was given back.
    pub refunds: Vec<ForeignPart>,
}

/// A capture or refund that the provider confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ForeignPart {
    /// The provider's own id, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// How much.
    pub amount: Money,
}
