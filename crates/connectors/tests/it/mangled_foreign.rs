//! No bytes make a connector panic when it reads a foreign payment, and none make it find one but an answer
//! that tells of it. What tells of it is written here against the providers' documentation.

use baton_connect::{Cx, Retrieved};
use baton_types::Foreign;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::support::{all_connectors, anything, cases, replace, reply};

const SANDBOX: &str = "sp_0001";
const STRIPE: &str = "pi_3MtwBwLkdIwHu7ix28a3tqPa";

fn sandbox() -> Vec<Value> {
    let of = |status: &str, captured: i64, parts: Value, refunds: Value| {
        json!({
            "id": SANDBOX, "reference": "shop-7", "status": status, "voided": false,
            "amount": {"value": 1000, "currency": "USD"}, "authorized": 1000, "captured": captured,
            "refunded": if refunds[0].is_object() { 100 } else { 0 },
            "captures": parts, "refunds": refunds, "voids": [],
        })
    };
    let part = |id: &str, value: i64| {
        let amount = json!({"value": value, "currency": "USD"});
        json!([{"id": id, "reference": "", "status": "succeeded", "amount": amount, "failure": null}])
    };
    vec![
        of("captured", 1000, json!([]), part("sr_1", 100)),
        of("authorized", 400, part("sc_1", 400), json!([])),
        of("authorized", 0, json!([]), json!([])),
    ]
}

fn stripe() -> Vec<Value> {
    let refund = json!({
        "id": "re_1", "object": "refund", "amount": 100, "currency": "usd", "status": "succeeded", "created": 9,
    });
    let charge = |captured: i64, refunds: Value| {
        let refunds = json!({"object": "list", "data": refunds, "has_more": false});
        json!({
            "object": "charge", "status": "succeeded", "amount_captured": captured, "refunds": refunds,
        })
    };
    let of = |status: &str, how: &str, captured: i64, refunds: Value| {
        json!({
            "id": STRIPE, "object": "payment_intent", "amount": 1000, "currency": "usd",
            "status": status, "capture_method": how, "amount_received": captured,
            "amount_capturable": 1000 - captured, "metadata": {}, "latest_charge": charge(captured, refunds),
        })
    };
    vec![
        of("succeeded", "automatic", 1000, json!([refund])),
        of("succeeded", "manual", 1000, json!([])),
        of("requires_capture", "manual", 0, json!([])),
        of("canceled", "manual", 0, json!([])),
    ]
}

/// Whether this body tells of a payment like that one.
fn tells(gateway: &str, body: &Value, found: &Foreign) -> bool {
    let text = |at: &str| body.pointer(at).and_then(Value::as_str).unwrap_or("");
    let number = |at: &str| body.pointer(at).and_then(Value::as_i64).unwrap_or(0);
    let sum =
        |parts: &[baton_types::ForeignPart]| parts.iter().map(|p| p.amount.minor()).sum::<i64>();
    let state = text("/status");
    if gateway == "Sandbox" {
        let taken = if found.sale && !found.voided {
            found.authorized.minor()
        } else {
            sum(&found.captures)
        };
        return text("/id") == SANDBOX
            && matches!(state, "captured" | "authorized")
            && body["voided"] == json!(found.voided)
            && number("/authorized") == found.authorized.minor()
            && number("/captured") == taken
            && number("/refunded") == sum(&found.refunds);
    }
    let charged =
        text("/latest_charge/object") == "charge" && text("/latest_charge/status") == "succeeded";
    let stands = match state {
        "succeeded" => !found.voided && (found.sale || sum(&found.captures) > 0),
        "requires_capture" => !found.voided && !found.sale && found.captures.is_empty(),
        "canceled" => found.voided && !found.sale,
        _ => false,
    };
    text("/id") == STRIPE && text("/object") == "payment_intent" && charged && stands
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn a_damaged_answer_finds_only_what_it_still_tells(
        (gateway, asked, mut body) in prop_oneof![
            select(sandbox()).prop_map(|body| ("Sandbox", SANDBOX, body)),
            select(stripe()).prop_map(|body| ("Stripe", STRIPE, body)),
        ],
        status in prop_oneof![6 => Just(200_u16), 1 => Just(404), 1 => 100_u16..600],
        changes in prop::collection::vec((0_usize..30, anything()), 0..3),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        for (mut at, value) in changes {
            replace(&mut body, &mut at, &value);
        }
        let mut bytes = body.to_string().into_bytes();
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let connectors = all_connectors();
        let connector = connectors.iter().find(|c| c.manifest().gateway_name == gateway).unwrap();
        let told = connector.read_retrieved(asked, &Cx::default(), &reply(status, bytes));
        if let Retrieved::Found { payment, .. } = told {
            prop_assert!(cut.is_none() && status == 200 && payment.reference == asked);
            prop_assert!(tells(gateway, &body, &payment), "{payment:?} in {body}");
        }
    }

    #[test]
    fn arbitrary_bytes_find_nothing(
        gateway in select(vec![("Sandbox", SANDBOX), ("Stripe", STRIPE)]),
        status in 100_u16..600,
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let connectors = all_connectors();
        let connector = connectors.iter().find(|c| c.manifest().gateway_name == gateway.0).unwrap();
        let told = connector.read_retrieved(gateway.1, &Cx::default(), &reply(status, body));
        prop_assert_eq!(told, Retrieved::Unclear);
    }
}

#[test]
fn the_whole_answers_find_what_they_tell() {
    for (gateway, asked, bodies) in [("Sandbox", SANDBOX, sandbox()), ("Stripe", STRIPE, stripe())]
    {
        for body in bodies {
            let connectors = all_connectors();
            let connector =
                connectors.iter().find(|c| c.manifest().gateway_name == gateway).unwrap();
            let told =
                connector.read_retrieved(asked, &Cx::default(), &reply(200, body.to_string()));
            let Retrieved::Found { payment, .. } = told else { panic!("{told:?} of {body}") };
            assert!(tells(gateway, &body, &payment), "{payment:?} in {body}");
        }
    }
}
