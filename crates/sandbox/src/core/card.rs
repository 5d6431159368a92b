//! Cards as the books know them: never a full number, never a verification code.

use serde::{Deserialize, Serialize};

use super::dispute::NewDispute;
use super::payment::Verdict;
use crate::clock::{Id, rfc3339};

/// What is kept of a card. `script` is what its number asks for; it is kept because the number is not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Card {
    pub(crate) first6: String,
    pub(crate) last4: String,
    pub(crate) brand: Brand,
    pub(crate) exp_month: u8,
    pub(crate) exp_year: u16,
    pub(crate) script: Verdict,
    /// What it is disputed for once it has paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dispute: Option<NewDispute>,
}

/// Card brands told apart by their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Brand {
    Visa,
    Mastercard,
    Amex,
    Discover,
    Diners,
    Jcb,
    Unionpay,
    Unknown,
}

/// A card stored for later use.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Token {
    pub(crate) id: Id,
    pub(crate) card: Card,
    pub(crate) created_ms: i64,
}

/// Which part of a card is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CardError {
    Number,
    ExpMonth,
    ExpYear,
    Cvv,
}

impl Card {
    /// Checks a card and forgets its number and verification code.
    pub(crate) fn parse(
        number: &str,
        exp_month: i64,
        exp_year: i64,
        cvv: Option<&str>,
    ) -> Result<Card, CardError> {
        let number: String = number.chars().filter(|c| *c != ' ').collect();
        if !(12..=19).contains(&number.len()) || !passes_luhn(&number) {
            return Err(CardError::Number);
        }
        let exp_month = u8::try_from(exp_month).map_err(|_| CardError::ExpMonth)?;
        if !(1..=12).contains(&exp_month) {
            return Err(CardError::ExpMonth);
        }
        let exp_year = match exp_year {
            0..=99 => exp_year + 2_000,
            _ => exp_year,
        };
        let exp_year = u16::try_from(exp_year).map_err(|_| CardError::ExpYear)?;
        if !(2_000..=2_100).contains(&exp_year) {
            return Err(CardError::ExpYear);
        }
        let cvv_is_digits =
            |c: &str| (3..=4).contains(&c.len()) && c.bytes().all(|b| b.is_ascii_digit());
        if cvv.is_some_and(|cvv| !cvv_is_digits(cvv)) {
            return Err(CardError::Cvv);
        }
        Ok(Card {
            first6: number.chars().take(6).collect(),
            last4: number.chars().skip(number.len() - 4).collect(),
            brand: Brand::of(&number),
            exp_month,
            exp_year,
            script: crate::codes::verdict_of_card(&number),
            dispute: crate::codes::dispute_of_card(&number),
        })
    }

    /// Whether the card's last month has passed, in UTC.
    pub(crate) fn is_expired(&self, now_ms: i64) -> bool {
        let last_month = format!("{:04}-{:02}", self.exp_year, self.exp_month);
        rfc3339(now_ms).get(..7).is_some_and(|this_month| this_month > last_month.as_str())
    }
}

impl Brand {
    fn of(number: &str) -> Brand {
        let prefix =
            |len: usize| number.get(..len).and_then(|p| p.parse::<u32>().ok()).unwrap_or(0);
        match (prefix(1), prefix(2), prefix(4)) {
            (4, _, _) => Brand::Visa,
            (_, 51..=55, _) | (_, _, 2221..=2720) => Brand::Mastercard,
            (_, 34 | 37, _) => Brand::Amex,
            (_, 65, _) | (_, _, 6011) => Brand::Discover,
            (_, 30 | 36 | 38, _) => Brand::Diners,
            (_, 35, _) => Brand::Jcb,
            (_, 62, _) => Brand::Unionpay,
            _ => Brand::Unknown,
        }
    }
}

/// The Luhn check (ISO/IEC 7812-1, annex B) over digits only.
pub(crate) fn passes_luhn(number: &str) -> bool {
    let mut sum = 0;
    for (place, c) in number.chars().rev().enumerate() {
        let Some(digit) = c.to_digit(10) else { return false };
        sum += match (place % 2, digit * 2) {
            (0, _) => digit,
            (_, doubled) if doubled > 9 => doubled - 9,
            (_, doubled) => doubled,
        };
    }
    !number.is_empty() && sum % 10 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_checked_and_its_number_forgotten() {
        let card = Card::parse("4111 1111 1111 1111", 12, 34, Some("123")).unwrap();
        assert_eq!((card.first6.as_str(), card.last4.as_str()), ("411111", "1111"));
        assert_eq!((card.brand, card.exp_month, card.exp_year), (Brand::Visa, 12, 2034));
        assert!(!serde_json::to_string(&card).unwrap().contains("4111111111111111"));
        let parse = |number, month, year, cvv| Card::parse(number, month, year, cvv).unwrap_err();
        assert_eq!(parse("4111111111111112", 12, 2034, None), CardError::Number);
        assert_eq!(parse("4111x11111111111", 12, 2034, None), CardError::Number);
        assert_eq!(parse("", 12, 2034, None), CardError::Number);
        assert_eq!(parse("4111111111111111", 13, 2034, None), CardError::ExpMonth);
        assert_eq!(parse("4111111111111111", 12, 1999, None), CardError::ExpYear);
        assert_eq!(parse("4111111111111111", 12, 2034, Some("12a")), CardError::Cvv);
    }

    #[test]
    fn a_card_is_good_until_the_end_of_its_month() {
        let card = Card::parse("4111111111111111", 11, 2023, None).unwrap();
        assert!(!card.is_expired(1_700_000_000_000), "14 November 2023");
        assert!(card.is_expired(1_701_388_800_000), "1 December 2023");
    }

    #[test]
    fn brands_are_told_by_their_prefix() {
        let brands = [
            ("4242424242424242", Brand::Visa),
            ("5555555555554444", Brand::Mastercard),
            ("2223003122003222", Brand::Mastercard),
            ("378282246310005", Brand::Amex),
            ("6011111111111117", Brand::Discover),
            ("3056930009020004", Brand::Diners),
            ("3566002020360505", Brand::Jcb),
            ("6200000000000005", Brand::Unionpay),
            ("9999999999999995", Brand::Unknown),
        ];
        for (number, brand) in brands {
            assert_eq!(Brand::of(number), brand, "{number}");
        }
    }
}
