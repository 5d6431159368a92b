//! Card data: the number, the verification value, the expiry date, and what may be kept of them.
//!
//! Guarantees: a `CardNumber` passed the Luhn check and its brand's lengths; numbers and
//! verification values are zeroised on drop and have no `Debug`, `Display`, `Clone`, `PartialEq` or
//! `Serialize`; no error holds what was typed. Left out: encryption and tokens, and whether the
//! card exists. Numbers that fail the Luhn check are refused for every brand, although a few old
//! ranges were issued without a check digit.

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
        let bin =
            digits.get(..6).and_then(|bin| bin.parse().ok()).ok_or(CardError::NumberLength)?;
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
        self.digits.len().checked_sub(4).and_then(|at| self.digits.get(at..)).unwrap_or_default()
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
        fits.then(|| Self(Zeroizing::new(text.to_owned()))).ok_or(CardError::CvvFormat)
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
    /// Months 1 to 12, years 2000 to 2099 in two or four digits. A date in the past is a valid
    /// date.
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
    /// A card is valid through the last day of its month, and that day ends last in UTC-12: twelve
    /// hours into the next month in UTC. Until then the issuer decides, not we.
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

#[cfg(test)]
mod tests {
    use super::*;
    use CardError::{NumberCheckDigit, NumberLength, NumberNotDigits};

    #[test]
    fn numbers_are_told_by_range_length_and_check_digit() {
        // Numbers that schemes and providers publish for tests.
        #[rustfmt::skip]
        let rows = [
            ("4242424242424242",        Ok((Brand::Visa, "424242", "4242"))),
            ("4242 4242 4242 4242",     Ok((Brand::Visa, "424242", "4242"))),
            ("4111-1111-1111-1111",     Ok((Brand::Visa, "411111", "1111"))),
            ("4222222222222",           Ok((Brand::Visa, "422222", "2222"))),
            ("4571000000000001",        Ok((Brand::Visa, "457100", "0001"))), // co-badged Dankort
            ("5555555555554444",        Ok((Brand::Mastercard, "555555", "4444"))),
            ("2223003122003222",        Ok((Brand::Mastercard, "222300", "3222"))),
            ("378282246310005",         Ok((Brand::Amex, "378282", "0005"))),
            ("3400 0000 0000 009",      Ok((Brand::Amex, "340000", "0009"))),
            ("6011111111111117",        Ok((Brand::Discover, "601111", "1117"))),
            ("36227206271667",          Ok((Brand::Diners, "362272", "1667"))),
            ("3056930009020004",        Ok((Brand::Diners, "305693", "0004"))),
            ("3566002020360505",        Ok((Brand::Jcb, "356600", "0505"))),
            ("6200000000000005",        Ok((Brand::UnionPay, "620000", "0005"))),
            ("6205500000000000004",     Ok((Brand::UnionPay, "620550", "0004"))),
            ("6759649826438453",        Ok((Brand::Maestro, "675964", "8453"))),
            ("6771798021000008",        Ok((Brand::Maestro, "677179", "0008"))),
            ("5066991111111118",        Ok((Brand::Elo, "506699", "1118"))),
            ("6062828888666688",        Ok((Brand::Hipercard, "606282", "6688"))),
            ("9792030000000000",        Ok((Brand::Troy, "979203", "0000"))),
            ("5019717010103742",        Ok((Brand::Dankort, "501971", "3742"))),
            ("135410014004955",         Ok((Brand::Uatp, "135410", "4955"))),
            ("9000000000000001",        Ok((Brand::Unknown, "900000", "0001"))),
            ("4242424242424241",        Err(NumberCheckDigit)),
            ("4242424242422442",        Err(NumberCheckDigit)), // two digits swapped
            ("424242424242424",         Err(NumberLength)),     // Visa has no 15
            ("3782822463100050",        Err(NumberLength)),     // nor Amex 16
            ("55555555555544440",       Err(NumberLength)),
            ("00000000000",             Err(NumberLength)),
            ("42424242424242424242",    Err(NumberLength)),
            ("42424242424242424242x",   Err(NumberLength)),     // nothing is kept beyond 19
            ("",                        Err(NumberLength)),
            ("4242",                    Err(NumberLength)),
            ("4242_4242_4242_4242",     Err(NumberNotDigits)),
            ("4242 4242 4242 424x",     Err(NumberNotDigits)),
            ("４２４２424242424242",    Err(NumberNotDigits)),
        ];
        for (text, expected) in rows {
            let parsed = CardNumber::parse(text);
            let seen = parsed.as_ref().map(|n| (n.brand(), n.bin(), n.last4())).map_err(|e| *e);
            assert_eq!(seen, expected, "{text}");
        }
    }

    /// Zeros behind the prefix, with the one check digit that fits: no such card was ever issued.
    fn number(prefix: &str, length: usize) -> String {
        let body = format!("{prefix:0<width$}", width = length - 1);
        ('0'..='9').map(|check| format!("{body}{check}")).find(|text| passes_luhn(text)).unwrap()
    }

    #[test]
    fn each_brand_has_its_lengths_up_to_the_edges_of_its_ranges() {
        #[rustfmt::skip]
        let rows: [(&str, Brand, &[usize]); 18] = [
            ("4",      Brand::Visa,       &[13, 16, 19]),
            ("510000", Brand::Mastercard, &[16]),
            ("559999", Brand::Mastercard, &[16]),
            ("222099", Brand::Unknown,    &[12, 13, 14, 15, 16, 17, 18, 19]),
            ("222100", Brand::Mastercard, &[16]),
            ("272099", Brand::Mastercard, &[16]),
            ("272100", Brand::Unknown,    &[12, 13, 14, 15, 16, 17, 18, 19]),
            ("37",     Brand::Amex,       &[15]),
            ("36",     Brand::Diners,     &[14, 15, 16, 17, 18, 19]),
            ("3589",   Brand::Jcb,        &[16, 17, 18, 19]),
            ("3590",   Brand::Unknown,    &[12, 13, 14, 15, 16, 17, 18, 19]),
            ("644",    Brand::Discover,   &[16, 17, 18, 19]),
            ("65",     Brand::Discover,   &[16, 17, 18, 19]),
            ("650031", Brand::Elo,        &[16]),
            ("8171",   Brand::UnionPay,   &[16, 17, 18, 19]),
            ("8172",   Brand::Unknown,    &[12, 13, 14, 15, 16, 17, 18, 19]),
            ("6799",   Brand::Maestro,    &[12, 13, 14, 15, 16, 17, 18, 19]),
            ("1",      Brand::Uatp,       &[15]),
        ];
        for (prefix, brand, lengths) in rows {
            for length in 8..=21 {
                let parsed = CardNumber::parse(&number(prefix, length)).map(|n| n.brand());
                let expected =
                    if lengths.contains(&length) { Ok(brand) } else { Err(NumberLength) };
                assert_eq!(parsed, expected, "{prefix} with {length} digits");
            }
        }
    }

    #[test]
    fn verification_values_have_the_length_of_the_brand() {
        for text in ["", "12", "12345", "12a", " 123", "１２３"] {
            assert_eq!(Cvv::parse(text).err(), Some(CardError::CvvFormat), "{text}");
        }
        let [three, four] = ["012", "0123"].map(|text| Cvv::parse(text).ok().unwrap());
        assert_eq!((three.expose(), four.expose()), ("012", "0123"));
        for brand in Brand::ALL {
            assert_eq!(four.matches_brand(brand), brand == Brand::Amex, "{brand}");
            assert_eq!(three.matches_brand(brand), brand != Brand::Amex, "{brand}");
        }
    }

    #[test]
    fn expiry_dates_are_months_of_this_century() {
        #[rustfmt::skip]
        let rows = [
            (1,        30,       Ok((1, 2030))),
            (12,       0,        Ok((12, 2000))),
            (12,       99,       Ok((12, 2099))),
            (2,        2000,     Ok((2, 2000))),
            (2,        2099,     Ok((2, 2099))),
            (0,        30,       Err(CardError::ExpiryMonth)),
            (13,       30,       Err(CardError::ExpiryMonth)),
            (-1,       30,       Err(CardError::ExpiryMonth)),
            (257,      30,       Err(CardError::ExpiryMonth)),
            (i64::MAX, 30,       Err(CardError::ExpiryMonth)),
            (1,        100,      Err(CardError::ExpiryYear)),
            (1,        1999,     Err(CardError::ExpiryYear)),
            (1,        2100,     Err(CardError::ExpiryYear)),
            (1,        -1,       Err(CardError::ExpiryYear)),
            (1,        i64::MIN, Err(CardError::ExpiryYear)),
        ];
        for (month, year, expected) in rows {
            let parsed = Expiry::new(month, year).map(|e| (e.month(), e.year()));
            assert_eq!(parsed, expected, "{month}/{year}");
        }
    }

    #[test]
    fn a_card_is_good_until_its_last_day_has_ended_everywhere() {
        // The last good millisecond; one later, the card has expired.
        #[rustfmt::skip]
        let rows = [
            (11, 2026, "2026-12-01T11:59:59.999Z"),
            (12, 2026, "2027-01-01T11:59:59.999Z"),
            (1,  2027, "2027-02-01T11:59:59.999Z"),
            (2,  2027, "2027-03-01T11:59:59.999Z"),
            (2,  2028, "2028-03-01T11:59:59.999Z"), // leap year: 29 days
            (4,  2028, "2028-05-01T11:59:59.999Z"),
            (2,  2000, "2000-03-01T11:59:59.999Z"),
            (12, 2099, "2100-01-01T11:59:59.999Z"),
        ];
        for (month, year, last) in rows {
            let expiry = Expiry::new(month, year).unwrap();
            let last = Timestamp::parse_rfc3339(last).unwrap();
            assert!(!expiry.is_past(last), "{month}/{year} at {last}");
            assert!(expiry.is_past(last.plus_millis(1)), "{month}/{year} after {last}");
            // The same instant, told by a clock in UTC-12: the end of the month's last day.
            let local = last.minus(12 * 3_600_000).to_rfc3339();
            assert!(local.starts_with(&format!("{year}-{month:02}-")), "{local}");
            assert!(local.ends_with("T23:59:59.999Z"), "{local}");
        }
        assert!(!Expiry::new(1, 2030).unwrap().is_past(Timestamp::from_millis(i64::MIN)));
        assert!(Expiry::new(1, 2030).unwrap().is_past(Timestamp::from_millis(i64::MAX)));
    }
}
