//! Card data: the number, the verification value, the expiry date, and what may be kept of them.
//!
//! Guarantees: a `CardNumber` passed the Luhn check and its brand's lengths; numbers and verification values
//! are zeroised on drop and have no `Debug`, `Display`, `Clone`, `PartialEq` or `Serialize`; no error holds
//! what was typed. Left out: encryption and tokens, and whether the card exists. Numbers that fail the Luhn
//! check are refused for every brand, although a few old ranges were issued without a check digit.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use crate::brand::Brand;
use crate::time::Timestamp;

/// A card as its holder typed it. Lives in memory only, for the time of a request.
pub struct Card {
    /// The card number (PAN).
    pub number: CardNumber,
    /// The last month in which the card is valid.
    pub expiry: Expiry,
    /// The verification value; never kept after the authorization (PCI DSS 3.3.1).
    pub cvv: Option<Cvv>,
    /// The name on the card.
    pub holder: Option<String>,
}

impl Card {
    /// The part that may be stored and shown.
    #[must_use]
    pub fn masked(&self) -> MaskedCard {
        MaskedCard {
            brand: self.number.brand(),
            bin: self.number.bin().to_owned(),
            last4: self.number.last4().to_owned(),
            expiry: self.expiry,
        }
    }
}

/// What may be stored and shown of a card: at most BIN and last four digits (PCI DSS 3.4.1).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MaskedCard {
    /// The brand.
    pub brand: Brand,
    /// The first six digits.
    pub bin: String,
    /// The last four digits.
    pub last4: String,
    /// The expiry date.
    pub expiry: Expiry,
}

/// A card number (PAN) of 12 to 19 digits.
pub struct CardNumber {
    digits: Zeroizing<String>,
    brand: Brand,
}

/// The longest number of ISO/IEC 7812.
const MAX_DIGITS: usize = 19;

impl CardNumber {
    /// Reads a number as people type it: spaces and dashes are dropped.
    ///
    /// # Errors
    /// `NumberNotDigits`, `NumberLength` (for the brand), `NumberCheckDigit`.
    pub fn parse(text: &str) -> Result<Self, CardError> {
        // One allocation of the full size: growing would leave copies behind that nothing wipes.
        let mut digits = Zeroizing::new(String::with_capacity(MAX_DIGITS));
        for c in text.chars().filter(|c| !matches!(c, ' ' | '-')) {
            if !c.is_ascii_digit() {
                return Err(CardError::NumberNotDigits);
            }
            if digits.len() == MAX_DIGITS {
                return Err(CardError::NumberLength);
            }
            digits.push(c);
        }
        let bin = digits
            .get(..6)
            .and_then(|bin| bin.parse().ok())
            .ok_or(CardError::NumberLength)?;
        let brand = Brand::of_bin(bin);
        if !brand.has_length(digits.len()) {
            return Err(CardError::NumberLength);
        }
        if !passes_luhn(&digits) {
            return Err(CardError::NumberCheckDigit);
        }
        Ok(Self { digits, brand })
    }

    /// The brand, by published range.
    #[must_use]
    pub fn brand(&self) -> Brand {
        self.brand
    }

    /// The first six digits.
    #[must_use]
    pub fn bin(&self) -> &str {
        self.digits.get(..6).unwrap_or_default()
    }

    /// The last four digits.
    #[must_use]
    pub fn last4(&self) -> &str {
        self.digits
            .len()
            .checked_sub(4)
            .and_then(|at| self.digits.get(at..))
            .unwrap_or_default()
    }

    /// The whole number. Every call is a place to review.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.digits
    }
}

/// The check of ISO/IEC 7812-1, annex B.
fn passes_luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let digit = u32::from(byte.wrapping_sub(b'0'));
            match (place % 2, digit * 2) {
                (0, _) => digit,
                (_, twice @ 0..=9) => twice,
                (_, twice) => twice - 9,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// A card verification value (CVV2, CVC2, CID).
pub struct Cvv(Zeroizing<String>);

impl Cvv {
    /// Reads three or four digits.
    ///
    /// # Errors
    /// `CvvFormat`.
    pub fn parse(text: &str) -> Result<Self, CardError> {
        let fits = matches!(text.len(), 3 | 4) && text.bytes().all(|b| b.is_ascii_digit());
        fits.then(|| Self(Zeroizing::new(text.to_owned())))
            .ok_or(CardError::CvvFormat)
    }

    /// Whether cards of this brand carry a value of this length: four digits for Amex, else three.
    #[must_use]
    pub fn matches_brand(&self, brand: Brand) -> bool {
        self.0.len() == brand.cvv_length()
    }

    /// The value. Every call is a place to review.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// The last month in which a card is valid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "TypedExpiry")]
pub struct Expiry {
    month: u8,
    year: u16,
}

/// An expiry date as it was typed or stored, before it is checked.
#[derive(Deserialize)]
struct TypedExpiry {
    month: i64,
    year: i64,
}

impl TryFrom<TypedExpiry> for Expiry {
    type Error = CardError;

    fn try_from(typed: TypedExpiry) -> Result<Self, CardError> {
        Self::new(typed.month, typed.year)
    }
}

impl Expiry {
    /// Months 1 to 12, years 2000 to 2099 in two or four digits. A date in the past is a valid date.
    ///
    /// # Errors
    /// `ExpiryMonth`, `ExpiryYear`.
    pub fn new(month: i64, year: i64) -> Result<Self, CardError> {
        let year = match year {
            0..=99 => year + 2000,
            2000..=2099 => year,
            _ => return Err(CardError::ExpiryYear),
        };
        match (u8::try_from(month), u16::try_from(year)) {
            (Ok(month @ 1..=12), Ok(year)) => Ok(Self { month, year }),
            _ => Err(CardError::ExpiryMonth),
        }
    }

    /// 1 to 12.
    #[must_use]
    pub const fn month(self) -> u8 {
        self.month
    }

    /// Four digits.
    #[must_use]
    pub const fn year(self) -> u16 {
        self.year
    }

    /// Whether the card had expired at this time.
    ///
    /// A card is valid through the last day of its month, and that day ends last in UTC-12: twelve hours into
    /// the next month in UTC. Until then the issuer decides, not we.
    #[must_use]
    pub const fn is_past(self, at: Timestamp) -> bool {
        at.millis() >= self.first_day_after() * 86_400_000 + 12 * 3_600_000
    }

    /// Days from 1970-01-01 to the first day of the following month (proleptic Gregorian).
    const fn first_day_after(self) -> i64 {
        // The year is counted from March, so that a leap day is the year's last and needs no case.
        let months = self.year as i64 * 12 + self.month as i64 - 2;
        let (year, month) = (months / 12, months % 12);
        let days_before_month = (month * 153 + 2) / 5;
        let days_before_year = year * 365 + year / 4 - year / 100 + year / 400;
        days_before_year + days_before_month - DAYS_FROM_0000_03_01_TO_1970
    }
}

const DAYS_FROM_0000_03_01_TO_1970: i64 = 719_468;

/// What is wrong with card data. The messages are fit for clients and never hold the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardError {
    /// Something other than digits, spaces and dashes in the number.
    NumberNotDigits,
    /// No card of the number's brand has that many digits.
    NumberLength,
    /// The number fails the Luhn check: a digit was mistyped.
    NumberCheckDigit,
    /// The month is not 1 to 12.
    ExpiryMonth,
    /// The year is not 2000 to 2099, in two or four digits.
    ExpiryYear,
    /// The verification value is not three or four digits.
    CvvFormat,
}

impl fmt::Display for CardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NumberNotDigits => "the card number contains something other than digits",
            Self::NumberLength => "the card number has the wrong number of digits",
            Self::NumberCheckDigit => {
                "the card number is not valid (its check digit does not match)"
            }
            Self::ExpiryMonth => "the expiry month is not a number from 1 to 12",
            Self::ExpiryYear => "the expiry year is not a year from 2000 to 2099",
            Self::CvvFormat => "the card verification value is not three or four digits",
        })
    }
}

impl std::error::Error for CardError {}
