//! The connector under test, and what it is asked.

use std::sync::Arc;

use baton_connect::{
    CardFacts, Connector, Cx, Decoded, HttpCall, HttpReply, LookUp, Looked, Method, Operation,
    Parent, Purchase, Source, Subject,
};
use baton_types::outcome::{Finding, Outcome};
use baton_types::{Brand, Currency, Expiry, MaskedCard, Money};
use serde_json::{Value, json};

pub(crate) const REFERENCE: &str = "01fwhe4ydgfk1shh6w1g60eecf-a1";
pub(crate) const ASKED: i64 = 1023;

pub(crate) fn sandbox() -> Arc<dyn Connector> {
    let all = baton_connectors::all().unwrap();
    all.into_iter().find(|connector| connector.manifest().gateway_name == "Sandbox").unwrap()
}

fn amount() -> Money {
    Money::new(ASKED, Currency::parse("USD").unwrap())
}

/// One operation of every kind, and the look-up for it where there is one.
pub(crate) fn operations() -> Vec<(Operation, Option<LookUp>)> {
    let card = CardFacts {
        masked: MaskedCard {
            brand: Brand::Visa,
            bin: "411111".into(),
            last4: "1111".into(),
            expiry: Expiry::new(12, 2090).unwrap(),
        },
        has_cvv: true,
        holder: None,
        three_ds: None,
        network_token: None,
    };
    let parent =
        || Parent { reference: "parent".into(), provider_reference: Some("sp_0001".into()) };
    let purchase = Purchase {
        amount: amount(),
        reference: REFERENCE.into(),
        source: Source::Card(card.clone()),
        payment: "pay".into(),
        description: None,
        payer: None,
        digital: None,
        challenge: None,
    };
    let (reference, amount) = (REFERENCE.to_owned(), amount());
    let look_up = |subject| LookUp {
        amount: (!matches!(subject, Subject::Void(_))).then_some(amount),
        subject,
        reference: REFERENCE.into(),
        provider_reference: None,
        planned_at: None,
    };
    vec![
        (Operation::Charge(purchase.clone()), Some(look_up(Subject::Charge))),
        (Operation::Authorize(purchase), Some(look_up(Subject::Authorize))),
        (
            Operation::Capture { parent: parent(), amount, reference: reference.clone() },
            Some(look_up(Subject::Capture(parent()))),
        ),
        (
            Operation::Refund { parent: parent(), amount, reference: reference.clone() },
            Some(look_up(Subject::Refund(parent()))),
        ),
        (
            Operation::Void { parent: parent(), reference: reference.clone() },
            Some(look_up(Subject::Void(parent()))),
        ),
        (Operation::Tokenize { card, reference }, None),
    ]
}

/// The sandbox's answer that a payment was taken, held or neither.
pub(crate) fn payment(status: &str, authorized: i64, captured: i64) -> Value {
    json!({
        "id": "sp_0001", "reference": REFERENCE, "status": status,
        "amount": {"value": ASKED, "currency": "USD"},
        "authorized": authorized, "captured": captured, "refunded": 0, "voided": false,
        "auth_code": "A1B2C3", "decline": null, "next_action": null,
        "card": {"first6": "411111", "last4": "1111", "brand": "visa"},
        "metadata": {"payment": "pay"}, "captures": [], "voids": [], "refunds": [],
        "created": "2026-11-20T12:00:00.000Z",
    })
}

/// The sandbox's answer that a payment was modified, or why not.
pub(crate) fn modification(failure: Option<&str>) -> Value {
    json!({
        "id": "sc_0002", "type": "capture", "payment": "sp_0001", "reference": REFERENCE,
        "status": if failure.is_some() { "failed" } else { "succeeded" },
        "amount": {"value": ASKED, "currency": "USD"}, "failure": failure,
        "created": "2026-11-20T12:00:00.000Z",
    })
}

pub(crate) fn reply(status: u16, body: impl Into<Vec<u8>>) -> HttpReply {
    HttpReply { status, headers: Vec::new(), body: body.into() }
}

pub(crate) fn outcome(connector: &dyn Connector, asked: &Operation, reply: &HttpReply) -> Outcome {
    match connector.decode(asked, &Cx::default(), &HttpCall::new(Method::Post, "/"), reply) {
        Decoded::Outcome(outcome) => outcome,
        Decoded::Next(call) => panic!("the sandbox takes one call: {call:?}"),
    }
}

/// What a look-up shows that lists the answer.
pub(crate) fn found(connector: &dyn Connector, asked: &LookUp, reply: &HttpReply) -> Finding {
    let sent = HttpCall::new(Method::Get, "/");
    match connector.read_look_up(asked, &Cx::default(), &sent, reply) {
        Looked::Finding(finding) => finding,
        Looked::Next(call) => panic!("the sandbox takes one call: {call:?}"),
    }
}
