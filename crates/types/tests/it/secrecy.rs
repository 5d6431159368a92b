//! What must not be shown cannot be: the traits that would show it are absent, and errors repeat
//! nothing.

use std::fmt::{Debug, Display};

use baton_types::{Card, CardNumber, Cvv, Expiry, Secret};
use proptest::prelude::*;
use serde::Serialize;
use static_assertions::assert_not_impl_any;

assert_not_impl_any!(CardNumber: Clone, Debug, Display, PartialEq, Serialize);
assert_not_impl_any!(Cvv: Clone, Debug, Display, PartialEq, Serialize);
assert_not_impl_any!(Card: Clone, Debug, Display, PartialEq, Serialize);
assert_not_impl_any!(Secret: Clone, Display, PartialEq, Serialize);

#[test]
fn a_secret_is_read_from_configuration_and_never_printed() {
    let secret: Secret = serde_json::from_str("\"hunter2\"").unwrap();
    assert_eq!(secret.expose(), "hunter2");
    assert_eq!(format!("{secret:?} {secret:#?}"), "[secret] [secret]");
    assert_eq!(format!("{:?}", Some(Secret::new("hunter2".to_owned()))), "Some([secret])");
    assert!(serde_json::from_str::<Secret>("7").is_err());
}

#[test]
fn a_masked_card_shows_bin_and_last_four_and_no_more() {
    let card = Card {
        number: CardNumber::parse("3782 822463 10005").unwrap(),
        expiry: Expiry::new(3, 30).unwrap(),
        cvv: Some(Cvv::parse("1234").unwrap()),
        holder: Some("A Holder".to_owned()),
    };
    let masked = card.masked();
    let json = serde_json::to_string(&masked).unwrap();
    assert_eq!(
        json,
        r#"{"brand":"amex","bin":"378282","last4":"0005","expiry":{"month":3,"year":2030}}"#
    );
    assert_eq!(serde_json::from_str::<baton_types::MaskedCard>(&json).unwrap(), masked);
    for shown in [json, format!("{masked:?}")] {
        assert!(!shown.contains("24631") && !shown.contains("1234") && !shown.contains("Holder"));
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_card_parsers_panic_or_repeat_it(text in "([0-9 -]{0,24}|\\PC{0,24})") {
        let number = CardNumber::parse(&text);
        if let Ok(number) = &number {
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            prop_assert_eq!(number.expose(), digits.as_str());
            prop_assert!(digits.starts_with(number.bin()) && digits.ends_with(number.last4()));
            prop_assert_eq!((number.bin().len(), number.last4().len()), (6, 4));
        }
        for message in [number.err(), Cvv::parse(&text).err()].into_iter().flatten() {
            prop_assert!(text.trim().len() < 4 || !message.to_string().contains(text.trim()));
        }
    }
}
