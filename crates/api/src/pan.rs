//! Finds card numbers where none belongs.
//!
//! References and descriptions are stored and shown as they came, and a card number must not be (PCI DSS
//! 3.5.1). A text that holds one is refused, not masked: a merchant has to find its payment again by the
//! reference that it sent.
//!
//! What counts is a number of a known brand with the brand's length and a right check digit, in one piece
//! or in the groups that cards print, and standing by itself. Digits that touch a letter do not count:
//! among random hexadecimal references one in some thousands would hold a "card number", and its payment
//! would be refused for nothing.

use baton_types::{Brand, CardNumber};
use zeroize::Zeroizing;

/// Shortest number that is looked for; shorter ones are more often something else.
const DIGITS_MIN: usize = 13;
const DIGITS_MAX: usize = 19;

/// Most groups that a number is printed in: 4-4-4-4-3.
const GROUPS_MAX: usize = 5;

/// Whether a text holds a card number.
pub(crate) fn holds_card_number(text: &str) -> bool {
    let words: Vec<&str> =
        text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    (0..words.len()).any(|first| begins_with_card_number(words.get(first..).unwrap_or_default()))
}

fn begins_with_card_number(words: &[&str]) -> bool {
    let mut digits = Zeroizing::new(String::with_capacity(2 * DIGITS_MAX));
    let is_group = |word: &str| (3..=7).contains(&word.len());
    for (place, word) in words.iter().take(GROUPS_MAX).enumerate() {
        let goes_on = place == 0 || (is_group(word) && words.first().is_some_and(|w| is_group(w)));
        let fits = digits.len() + word.len() <= DIGITS_MAX;
        if !goes_on || !fits || !word.bytes().all(|b| b.is_ascii_digit()) {
            return false;
        }
        digits.push_str(word);
        if is_card_number(&digits) {
            return true;
        }
    }
    false
}

fn is_card_number(digits: &str) -> bool {
    digits.len() >= DIGITS_MIN
        && CardNumber::parse(digits).is_ok_and(|number| number.brand() != Brand::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_numbers_are_found_and_references_are_left_alone() {
        #[rustfmt::skip]
        let rows = [
            ("4111111111111111",                     true),
            ("4111 1111 1111 1111",                  true),
            ("4111-1111-1111-1111",                  true),
            ("3782 822463 10005",                    true),
            ("card: 4111111111111111, exp 12/27",    true),
            ("4111 1111 1111 1111 12/27",            true),
            ("12/27 5555555555554444",               true),
            ("order-17 4242.4242.4242.4242",         true),
            ("4111111111111112",                     false),
            ("1111111111111117",                     false),
            ("1763646090123",                        false),
            ("20261120134130001",                    false),
            ("ORD-2026-11-20-0001",                  false),
            ("1b4e28ba-2fa1-11d2-883f-0016d3cca427", false),
            ("a4111111111111111b",                   false),
            ("41111111 1111111 1",                   false),
            ("4111 1111 1111",                       false),
            ("",                                     false),
            ("Grüße, 日本",                          false),
        ];
        for (text, found) in rows {
            assert_eq!(holds_card_number(text), found, "{text}");
        }
    }
}
