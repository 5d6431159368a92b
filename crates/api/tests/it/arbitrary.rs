//! Bodies that nobody thought of: no answer is a 5xx, none is missing, and no error repeats a long number.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::server::Server;
use crate::{CHARGE, charge};

const OPERATIONS: [&str; 7] =
    ["charge", "authorize", "tokenize", "capture", "refund", "void", "status"];

const NAMES: [&str; 26] = [
    "amount",
    "currency",
    "card",
    "cardNumber",
    "cardHolderName",
    "expirationMonth",
    "expirationYear",
    "cvv",
    "cardType",
    "ownerID",
    "myRef",
    "orderDesc",
    "isDigital",
    "payerDetails",
    "clientIPAddress",
    "countryCode",
    "city",
    "paymentGatewayAccountName",
    "paymentGatewayAccountNames",
    "fallbackUpgs",
    "outcomeMode",
    "userToken",
    "refTransId",
    "threeDSAuthentication",
    "Amount",
    "CARD",
];

fn runner() -> TestRunner {
    TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() })
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(NAMES.to_vec()).prop_map(str::to_owned),
        1 => "[0-9]{12,20}",
        1 => ".{0,12}",
    ]
}

fn leaves() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        "[0-9]{12,40}".prop_map(Value::from),
        "[0-9]{1,10}([eE][+-]?[0-9]{1,12})?".prop_map(Value::from),
        ".{0,300}".prop_map(Value::from),
        prop::sample::select(vec![
            "USD",
            "JPY",
            "XXX",
            "4111111111111111",
            "5555 5555 5555 4444",
            "test-success",
            "nowhere",
            "resolve_first",
            "@nQGywsQE9gbURtrXEjTZwtWqeMdK9nsO",
            "\0",
            "\u{feff}",
            "GB",
            "123",
        ])
        .prop_map(Value::from),
    ]
}

fn values() -> impl Strategy<Value = Value> {
    leaves().prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(names(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A good body of the mock with one value, at any depth, replaced by any other.
fn replaced() -> impl Strategy<Value = String> {
    let mut good: Value = serde_json::from_str(CHARGE).unwrap();
    good["paymentGatewayAccountName"] = json!("test-success");
    good["refTransId"] = json!("null-x");
    let mut places = vec![String::new()];
    collect(&good, "", &mut places);
    (prop::sample::select(places), values()).prop_map(move |(place, value)| {
        let mut body = good.clone();
        *body.pointer_mut(&place).unwrap() = value;
        body.to_string()
    })
}

fn collect(value: &Value, at: &str, places: &mut Vec<String>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let at = format!("{at}/{name}");
        collect(value, &at, places);
        places.push(at);
    }
}

/// A good body with bytes replaced, inserted or taken out.
fn damaged() -> impl Strategy<Value = String> {
    let good = charge("10.23", "USD", "4111111111111111", &["test-success"]);
    let change = (any::<prop::sample::Index>(), 0..3_u8, any::<char>());
    prop::collection::vec(change, 1..6).prop_map(move |changes| {
        let mut chars: Vec<char> = good.chars().collect();
        for (at, what, c) in changes {
            let at = at.index(chars.len());
            match what {
                0 => chars[at] = c,
                1 => chars.insert(at, c),
                _ => drop(chars.remove(at)),
            }
        }
        chars.into_iter().collect()
    })
}

fn longest_number(text: &str) -> usize {
    text.split(|c: char| !c.is_ascii_digit()).map(str::len).max().unwrap_or(0)
}

fn holds(bodies: impl Strategy<Value = String>) {
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(Server::start());
    let requests = (prop::sample::select(OPERATIONS.to_vec()), bodies);
    let result = runner().run(&requests, |(operation, body)| {
        let seen = runtime.block_on(server.operate(operation, &body));
        prop_assert!((200..500).contains(&seen.status), "{seen:?}");
        prop_assert!(seen.header("x-request-id").is_some());
        if matches!(seen.status, 400 | 413) {
            let (field, message) = seen.fault();
            prop_assert!(longest_number(&field).max(longest_number(&message)) < 12, "{seen:?}");
        } else {
            prop_assert!(seen.json()["operationResultCode"].is_string(), "{seen:?}");
        }
        Ok(())
    });
    result.unwrap();
    assert_eq!(runtime.block_on(server.at_provider()), 0);
}

#[test]
fn any_json_is_answered_below_500_without_repeating_long_numbers() {
    holds(values().prop_map(|value| value.to_string()));
}

#[test]
fn a_good_body_with_any_value_replaced_is_answered_below_500() {
    holds(replaced());
}

#[test]
fn a_damaged_body_is_answered_below_500() {
    holds(damaged());
}
