//! The currencies of ISO 4217.
//!
//! Guarantees: a `Currency` is one of the standard's current list, with the standard's own
//! exponent. Left out: withdrawn currencies, rates, symbols, and the exponents of providers that
//! disagree with the standard.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::iso4217::{Entry, TABLE};
use crate::money::MoneyError;
use crate::text;

/// A currency of ISO 4217's current list. Ordered by code.
#[derive(Clone, Copy)]
pub struct Currency(&'static Entry);

impl Currency {
    /// Finds a currency by its alphabetic code, in either case.
    ///
    /// # Errors
    /// `UnknownCurrency`.
    pub fn parse(code: &str) -> Result<Self, MoneyError> {
        let upper = code.to_ascii_uppercase();
        TABLE
            .binary_search_by(|entry| entry.code.cmp(&upper))
            .ok()
            .and_then(|at| TABLE.get(at))
            .map(Self)
            .ok_or_else(|| MoneyError::UnknownCurrency(excerpt(code)))
    }

    /// The alphabetic code: `USD`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.0.code
    }

    /// The numeric code: 840.
    #[must_use]
    pub const fn numeric(self) -> u16 {
        self.0.numeric
    }

    /// Decimal digits of the minor unit; `None` where ISO 4217 says "N.A." (gold, test codes).
    #[must_use]
    pub const fn exponent(self) -> Option<u8> {
        self.0.exponent
    }

    /// The English name in the standard: `US Dollar`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0.name
    }

    /// Every currency, in the order of the codes.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(Self)
    }
}

impl PartialEq for Currency {
    fn eq(&self, other: &Self) -> bool {
        self.0.numeric == other.0.numeric
    }
}

impl Eq for Currency {}

impl Hash for Currency {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.numeric.hash(state);
    }
}

impl Ord for Currency {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.code.cmp(other.0.code)
    }
}

impl PartialOrd for Currency {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer, "a currency code of ISO 4217", Self::parse)
    }
}

/// The start of a client's text, safe to repeat. Digits are blotted out: a card number sent in the
/// wrong field must not come back in a message, nor reach a log through one.
fn excerpt(given: &str) -> String {
    given
        .chars()
        .take(16)
        .map(|c| match c {
            _ if c.is_numeric() => '*',
            _ if c.is_control() => ' ',
            c => c,
        })
        .collect()
}
