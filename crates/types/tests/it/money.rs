//! Properties of money: nothing is lost, rounded or guessed between text and minor units.

use baton_types::{Currency, Money, MoneyError};
use proptest::prelude::*;
use serde::de::IgnoredAny;

fn currencies() -> impl Strategy<Value = Currency> {
    proptest::sample::select(Currency::all().collect::<Vec<_>>())
}

fn payable() -> impl Strategy<Value = (Currency, u8)> {
    let with_digits = Currency::all().filter_map(|c| c.exponent().map(|digits| (c, digits)));
    proptest::sample::select(with_digits.collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn major_units_read_back_as_the_same_money((currency, digits) in payable(), minor: i64) {
        let money = Money::new(minor, currency);
        let text = money.to_major();
        prop_assert_eq!(Money::parse_major(&text, currency), Ok(money));
        let shifted = format!("{minor}e-{digits}");
        prop_assert_eq!(Money::parse_major(&shifted, currency), Ok(money), "{}", shifted);
        let padded = if digits == 0 { format!("{text}.000") } else { format!("{text}000") };
        prop_assert_eq!(Money::parse_major(&padded, currency), Ok(money), "{}", padded);
    }

    #[test]
    fn a_digit_finer_than_the_minor_unit_is_refused(
        (currency, digits) in payable(), minor: i64, zeros in 0_usize..30, digit in 1_u8..=9,
    ) {
        let point = if digits == 0 { "." } else { "" };
        let major = Money::new(minor, currency).to_major();
        let text = format!("{major}{point}{}{digit}", "0".repeat(zeros));
        let expected = Err(MoneyError::TooPrecise { digits });
        prop_assert_eq!(Money::parse_major(&text, currency), expected);
    }

    #[test]
    fn what_is_a_number_is_what_json_says(text in "[-+0-9.eE ]{0,12}", currency in currencies()) {
        // Of these characters JSON can only make a number; it alone allows spaces around one.
        let json = serde_json::from_str::<IgnoredAny>(&text).is_ok() && text.trim() == text;
        let parsed = Money::parse_major(&text, currency);
        prop_assert_eq!(parsed != Err(MoneyError::NotANumber), json, "{:?}", parsed);
    }

    #[test]
    fn arbitrary_text_does_no_harm(text: String, currency in currencies()) {
        if let Ok(money) = Money::parse_major(&text, currency) {
            prop_assert_eq!(Money::parse_major(&money.to_major(), currency), Ok(money));
        }
        if let Err(MoneyError::UnknownCurrency(excerpt)) = Currency::parse(&text) {
            prop_assert!(excerpt.chars().count() <= 16 && !excerpt.contains(char::is_numeric));
        }
    }

    #[test]
    fn adding_and_subtracting_undo_each_other(currency in currencies(), a: i64, b: i64) {
        let (a, b) = (Money::new(a, currency), Money::new(b, currency));
        match a.checked_add(b) {
            Ok(sum) => prop_assert_eq!(sum.checked_sub(b), Ok(a)),
            Err(error) => {
                prop_assert_eq!(error, MoneyError::Overflow);
                prop_assert_eq!(a.minor().checked_add(b.minor()), None);
            }
        }
    }
}

#[test]
fn the_extremes_survive_in_every_currency() {
    for currency in Currency::all() {
        for minor in [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX] {
            let money = Money::new(minor, currency);
            let expected = match currency.exponent() {
                Some(_) => Ok(money),
                None => Err(MoneyError::NoMinorUnit),
            };
            assert_eq!(Money::parse_major(&money.to_major(), currency), expected);
            assert!(money.to_string().ends_with(currency.code()));
        }
    }
}

#[test]
fn amounts_of_two_currencies_do_not_mix() {
    let [usd, jpy] = ["USD", "JPY"].map(|code| Currency::parse(code).unwrap());
    let (dollar, yen) = (Money::new(100, usd), Money::new(100, jpy));
    assert_eq!(dollar.checked_add(yen), Err(MoneyError::CurrencyMismatch(usd, jpy)));
    assert_eq!(yen.checked_sub(dollar), Err(MoneyError::CurrencyMismatch(jpy, usd)));
    assert_ne!(dollar, yen);
    assert_eq!(dollar.checked_sub(Money::new(250, usd)), Ok(Money::new(-150, usd)));
    assert!(Money::zero(usd).is_zero() && !Money::zero(usd).is_positive());
    assert!(dollar.is_positive() && !dollar.is_zero() && !Money::new(-1, usd).is_positive());
}

#[test]
fn messages_tell_a_client_what_to_change() {
    let [usd, jpy, gold] = ["USD", "JPY", "XAU"].map(|code| Currency::parse(code).unwrap());
    let message = |text, currency| Money::parse_major(text, currency).unwrap_err().to_string();
    assert_eq!(message("ten", usd), "the amount is not a decimal number");
    assert_eq!(message("1.234", usd), "the amount has more decimal places than the currency's 2");
    assert_eq!(message("1.2", jpy), "the amount has decimal places, but the currency has none");
    assert_eq!(message("1e30", usd), "the amount is too large");
    assert_eq!(message("1", gold), "no amount can be paid in this currency");
    let [one, most] = [1, i64::MAX].map(|minor| Money::new(minor, usd));
    let sum = most.checked_add(one).unwrap_err().to_string();
    assert_eq!(sum, "the resulting amount is too large");
    let mixed = one.checked_add(Money::zero(jpy)).unwrap_err().to_string();
    assert_eq!(mixed, "amounts in USD and JPY cannot be combined");
    let unknown = Currency::parse("Dollar").unwrap_err().to_string();
    assert_eq!(unknown, "`Dollar` is not a current currency code of ISO 4217");
}
