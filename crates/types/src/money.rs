//! Amounts of money.
//!
//! An amount is a whole number of its currency's minor units, with the exponent of ISO 4217.
//! Guarantees: no floats, no rounding, no silent overflow, no arithmetic across currencies. Left
//! out: exchange rates, and the minor units of providers that disagree with ISO 4217 (a connector's
//! manifest holds those).

use std::fmt;

use serde::{Deserialize, Serialize};

pub use crate::currency::Currency;

/// A whole number of minor units of one currency: `10.23 USD` is 1023.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

impl Money {
    /// From minor units: cents, yen, fils.
    #[must_use]
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Nothing, in this currency.
    #[must_use]
    pub const fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// The amount in minor units.
    #[must_use]
    pub const fn minor(self) -> i64 {
        self.minor
    }

    /// The currency.
    #[must_use]
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// Whether the amount is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.minor == 0
    }

    /// Whether the amount is more than nothing.
    #[must_use]
    pub const fn is_positive(self) -> bool {
        self.minor > 0
    }

    /// The sum.
    ///
    /// # Errors
    /// `CurrencyMismatch`, `Overflow`.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.combine(other, i64::checked_add)
    }

    /// The difference; it may be negative.
    ///
    /// # Errors
    /// `CurrencyMismatch`, `Overflow`.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.combine(other, i64::checked_sub)
    }

    fn combine(self, other: Self, op: fn(i64, i64) -> Option<i64>) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::CurrencyMismatch(self.currency, other.currency));
        }
        let minor = op(self.minor, other.minor).ok_or(MoneyError::Overflow)?;
        Ok(Self::new(minor, self.currency))
    }

    /// Reads an amount in major units, written as a JSON number (RFC 8259, section 6): `10`,
    /// `10.2`, `-1.5e2`. Exact: zeros beyond the currency's digits are fine, any other digit there
    /// is an error.
    ///
    /// # Errors
    /// `NotANumber`, `NoMinorUnit`, `TooPrecise`, `TooLarge`, looked for in this order.
    pub fn parse_major(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let decimal = Decimal::parse(text).ok_or(MoneyError::NotANumber)?;
        let digits = currency.exponent().ok_or(MoneyError::NoMinorUnit)?;
        Ok(Self::new(decimal.scaled(digits)?, currency))
    }

    /// The amount in major units with exactly the currency's digits: `10.23`, `-0.05`, `500`.
    /// A currency without a minor unit is written as a whole number.
    #[must_use]
    pub fn to_major(self) -> String {
        let digits = self.currency.exponent().unwrap_or(0);
        let sign = if self.minor < 0 { "-" } else { "" };
        let magnitude = self.minor.unsigned_abs();
        let unit = 10_u64.pow(u32::from(digits));
        let (whole, part) = (magnitude / unit, magnitude % unit);
        if digits == 0 {
            format!("{sign}{whole}")
        } else {
            format!("{sign}{whole}.{part:0width$}", width = usize::from(digits))
        }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.to_major(), self.currency)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is wrong with an amount or a currency. The messages are fit for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MoneyError {
    /// Not a current code of ISO 4217; the start of what was given, digits blotted out.
    UnknownCurrency(String),
    /// The two amounts are in different currencies.
    CurrencyMismatch(Currency, Currency),
    /// The result does not fit in 64 bits.
    Overflow,
    /// The text is not a JSON number.
    NotANumber,
    /// The amount is finer than the currency's minor unit.
    TooPrecise {
        /// How many decimal digits the currency has.
        digits: u8,
    },
    /// The amount does not fit in 64 bits of minor units.
    TooLarge,
    /// The currency has no minor unit, so nothing can be paid in it.
    NoMinorUnit,
}

impl fmt::Display for MoneyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCurrency(given) => {
                write!(f, "`{given}` is not a current currency code of ISO 4217")
            }
            Self::CurrencyMismatch(left, right) => {
                write!(f, "amounts in {left} and {right} cannot be combined")
            }
            Self::Overflow => f.write_str("the resulting amount is too large"),
            Self::NotANumber => f.write_str("the amount is not a decimal number"),
            Self::TooPrecise { digits: 0 } => {
                f.write_str("the amount has decimal places, but the currency has none")
            }
            Self::TooPrecise { digits } => {
                write!(f, "the amount has more decimal places than the currency's {digits}")
            }
            Self::TooLarge => f.write_str("the amount is too large"),
            Self::NoMinorUnit => f.write_str("no amount can be paid in this currency"),
        }
    }
}

impl std::error::Error for MoneyError {}

/// A JSON number, exact: `digits × 10^power`, without leading or trailing zeros in `digits`.
struct Decimal {
    negative: bool,
    digits: String,
    power: i64,
}

impl Decimal {
    /// `None` where the text is not a JSON number.
    fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, power) = match rest.split_once(['e', 'E']) {
            Some((mantissa, power)) => (mantissa, parse_power(power)?),
            None => (rest, 0),
        };
        let (whole, part) = match mantissa.split_once('.') {
            Some((whole, part)) => (whole, is_digits(part).then_some(part)?),
            None => (mantissa, ""),
        };
        if !is_digits(whole) || (whole.len() > 1 && whole.starts_with('0')) {
            return None;
        }
        let all = format!("{whole}{part}");
        let kept = all.trim_end_matches('0');
        let cut = i64::try_from(all.len() - kept.len()).ok()?;
        let places = i64::try_from(part.len()).ok()?;
        Some(Self {
            negative,
            digits: kept.trim_start_matches('0').to_owned(),
            power: power.saturating_sub(places).saturating_add(cut),
        })
    }

    /// The value times `10^places`, if that is a whole number of 64 bits.
    fn scaled(&self, places: u8) -> Result<i64, MoneyError> {
        if self.digits.is_empty() {
            return Ok(0);
        }
        let zeros = self.power.saturating_add(i64::from(places));
        if zeros < 0 {
            return Err(MoneyError::TooPrecise { digits: places });
        }
        u32::try_from(zeros)
            .ok()
            .and_then(|zeros| 10_i128.checked_pow(zeros))
            .and_then(|unit| self.digits.parse::<i128>().ok()?.checked_mul(unit))
            .and_then(|magnitude| {
                i64::try_from(if self.negative { -magnitude } else { magnitude }).ok()
            })
            .ok_or(MoneyError::TooLarge)
    }
}

/// The power of ten after an `e`, saturating: far outside the range of money all are alike.
fn parse_power(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    is_digits(digits)
        .then(|| digits.parse::<i32>().map_or(sign * i64::MAX, |n| sign * i64::from(n)))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, code: &str) -> Result<i64, MoneyError> {
        Money::parse_major(text, Currency::parse(code)?).map(Money::minor)
    }

    #[test]
    fn numbers_are_read_exactly_or_refused() {
        let precise = |digits| Err(MoneyError::TooPrecise { digits });
        #[rustfmt::skip]
        let rows = [
            ("10",                       "USD", Ok(1000)),
            ("10.2",                     "USD", Ok(1020)),
            ("10.23",                    "USD", Ok(1023)),
            ("10.230",                   "USD", Ok(1023)),
            ("10.234",                   "USD", precise(2)),
            ("-0.01",                    "USD", Ok(-1)),
            ("-0",                       "USD", Ok(0)),
            ("0e99999999999999999999",   "USD", Ok(0)),
            ("1.5e2",                    "USD", Ok(15_000)),
            ("1.5E+2",                   "JPY", Ok(150)),
            ("150e-1",                   "JPY", Ok(15)),
            ("15e-1",                    "JPY", precise(0)),
            ("1.0",                      "JPY", Ok(1)),
            ("1.001",                    "KWD", Ok(1001)),
            ("1.0001",                   "KWD", precise(3)),
            ("1.0001",                   "CLF", Ok(10_001)),
            ("1e-99999999999999999999",  "USD", precise(2)),
            ("1e99999999999999999999",   "USD", Err(MoneyError::TooLarge)),
            ("92233720368547758.07",     "USD", Ok(i64::MAX)),
            ("92233720368547758.08",     "USD", Err(MoneyError::TooLarge)),
            ("-92233720368547758.08",    "USD", Ok(i64::MIN)),
            ("-92233720368547758.09",    "USD", Err(MoneyError::TooLarge)),
            ("9223372036854775807",      "JPY", Ok(i64::MAX)),
            ("1",                        "XAU", Err(MoneyError::NoMinorUnit)),
            ("one",                      "XAU", Err(MoneyError::NotANumber)),
        ];
        for (text, currency, expected) in rows {
            assert_eq!(parse(text, currency), expected, "{text} {currency}");
        }
    }

    #[test]
    fn what_json_does_not_call_a_number_is_none() {
        for text in [
            "", "-", "+1", "--1", "01", "-01", "1.", ".5", "1.e2", "1e", "1e+", "1e1.0", "1e1e1",
            "1,000", "1_000", "0x10", "NaN", "Infinity", " 1", "1 ", "١", "1.2.3", "1e--1",
        ] {
            assert_eq!(parse(text, "USD"), Err(MoneyError::NotANumber), "{text}");
        }
    }

    #[test]
    fn amounts_are_written_with_all_their_digits() {
        #[rustfmt::skip]
        let rows = [
            (1023,     "USD", "10.23 USD"),
            (5,        "USD", "0.05 USD"),
            (-5,       "USD", "-0.05 USD"),
            (0,        "KWD", "0.000 KWD"),
            (500,      "JPY", "500 JPY"),
            (1,        "CLF", "0.0001 CLF"),
            (7,        "XAU", "7 XAU"),
            (i64::MIN, "USD", "-92233720368547758.08 USD"),
        ];
        for (minor, code, expected) in rows {
            let money = Money::new(minor, Currency::parse(code).unwrap());
            assert_eq!(
                (money.to_string(), format!("{money:?}")),
                (expected.into(), expected.into())
            );
        }
    }
}
