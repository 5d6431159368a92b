//! The forms in which these types are stored and sent. Changing one makes stored payments
//! unreadable.

use std::fmt::Debug;

use baton_types::{Brand, Currency, DeclineCode, Expiry, Money, PaymentId, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn same<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T, json: &str) {
    assert_eq!(serde_json::to_string(&value).unwrap(), json);
    assert_eq!(serde_json::from_str::<T>(json).unwrap(), value);
    // Through a tree too: a visitor that only takes borrowed text would fail here.
    let tree: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::from_value::<T>(tree).unwrap(), value);
}

#[test]
fn every_type_has_one_json_form() {
    let usd = Currency::parse("USD").unwrap();
    same(usd, r#""USD""#);
    same(Money::new(1023, usd), r#"{"minor":1023,"currency":"USD"}"#);
    same(Money::new(i64::MIN, usd), r#"{"minor":-9223372036854775808,"currency":"USD"}"#);
    same(Timestamp::from_millis(-1), "-1");
    same(Expiry::new(12, 99).unwrap(), r#"{"month":12,"year":2099}"#);
    same(Brand::UnionPay, r#""union_pay""#);
    same(DeclineCode::DoNotHonor, r#""do_not_honor""#);
    same(PaymentId::from_bytes([0; 16]), r#""pay_00000000000000000000000000""#);
    same(PaymentId::from_bytes([0xff; 16]), r#""pay_7zzzzzzzzzzzzzzzzzzzzzzzzz""#);
}

#[test]
fn what_is_wrong_is_refused_when_read_back() {
    for json in [
        r#"{"minor":1.5,"currency":"USD"}"#,
        r#"{"minor":9223372036854775808,"currency":"USD"}"#,
        r#"{"minor":1,"currency":"USX"}"#,
        r#"{"minor":1}"#,
        r#"{"minor":1,"currency":"USD","exponent":2}"#,
    ] {
        assert!(serde_json::from_str::<Money>(json).is_err(), "{json}");
    }
    for json in [r#"{"month":13,"year":2030}"#, r#"{"month":1,"year":1999}"#, r#"{"month":1}"#] {
        assert!(serde_json::from_str::<Expiry>(json).is_err(), "{json}");
    }
    let error = serde_json::from_str::<PaymentId>(r#""evt_00000000000000000000000000""#);
    assert!(error.unwrap_err().to_string().starts_with("not an id of this kind: expected `pay_`"));
    assert!(serde_json::from_str::<DeclineCode>(r#""no_such_code""#).is_err());
}
