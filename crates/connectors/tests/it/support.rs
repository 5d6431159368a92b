//! The connector under test, and what it is asked.

use std::sync::Arc;

use baton_connect::{
    CardFacts, Connector, Cx, Decoded, HttpCall, HttpReply, LookUp, Looked, Method, Operation,
    Parent, Purchase, Source, Subject,
};
use baton_types::outcome::{Finding, Outcome};
use baton_types::{Brand, Currency, Expiry, MaskedCard, Money};
use proptest::prelude::Strategy;
use proptest::sample::select;
use serde_json::{Value, json};

pub(crate) const REFERENCE: &str = "01fwhe4ydgfk1shh6w1g60eecf-a1";
pub(crate) const ASKED: i64 = 1023;

pub(crate) fn sandbox() -> Arc<dyn Connector> {
    all_connectors()
        .into_iter()
        .find(|connector| connector.manifest().gateway_name == "Sandbox")
        .unwrap()
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
    let parent = || Parent {
        reference: "parent".into(),
        provider_reference: Some("sp_0001".into()),
        planned_at: None,
        verification: false,
    };
    let purchase = Purchase {
        amount: amount(),
        reference: REFERENCE.into(),
        source: Source::Card(card.clone()),
        payment: "pay".into(),
        description: None,
        payer: None,
        digital: None,
        challenge: None,
        usage: None,
        may_grow: false,
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
            Operation::Increment { parent: parent(), amount, reference: reference.clone() },
            Some(look_up(Subject::Increment(parent()))),
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

/// How many inputs each property gets; `PROPTEST_CASES` says otherwise for a longer run.
pub(crate) fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(20_000)
}

pub(crate) fn all_connectors() -> Vec<Arc<dyn Connector>> {
    static ALL: std::sync::OnceLock<Vec<Arc<dyn Connector>>> = std::sync::OnceLock::new();
    ALL.get_or_init(|| baton_connectors::all().unwrap()).clone()
}

/// Puts `value` in place of the n-th leaf or branch of the answer, counted in order.
pub(crate) fn replace(body: &mut Value, at: &mut usize, value: &Value) -> bool {
    if *at == 0 {
        *body = value.clone();
        return true;
    }
    *at -= 1;
    match body {
        Value::Object(members) => members.values_mut().any(|member| replace(member, at, value)),
        Value::Array(items) => items.iter_mut().any(|item| replace(item, at, value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

pub(crate) fn anything() -> impl Strategy<Value = Value> {
    select(vec![
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(-1),
        json!(1),
        json!(ASKED),
        json!(ASKED + 1),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(1023.0),
        json!("1023"),
        json!(""),
        json!(" "),
        json!("USD"),
        json!("EUR"),
        json!("usd"),
        json!("Authorised"),
        json!("canceled"),
        json!("requires_capture"),
        json!("customer"),
        json!("payment_intent"),
        json!("captured"),
        json!("authorized"),
        json!("succeeded"),
        json!("Captured"),
        json!("declined"),
        json!("failed"),
        json!([]),
        json!({}),
        json!({"code": "do_not_honor", "by": "issuer"}),
        json!(REFERENCE),
        json!("x"),
    ])
}

const INTENT: &str = "pi_3MtwBwLkdIwHu7ix28a3tqPa";
const METHOD: &str = "pm_1MqLiJLkdIwHu7ixUEgbFdYF";
const PSP: &str = "993617895204576J";

fn intent(status: &str, received: i64) -> Value {
    json!({
        "id": INTENT, "object": "payment_intent", "amount": ASKED, "currency": "usd",
        "status": status, "capture_method": "automatic", "amount_received": received,
        "amount_capturable": 0, "latest_charge": "ch_1", "last_payment_error": null,
        "next_action": null, "metadata": {"reference": REFERENCE, "payment": "pay"},
    })
}

/// Every call that Stripe and Adyen are sent for one operation of each kind, with a real answer.
pub(crate) type Step = (&'static str, Operation, Option<LookUp>, HttpCall, u16, Value);

pub(crate) fn sequence() -> Vec<Step> {
    let mut steps = Vec::new();
    for (operation, look_up) in operations() {
        steps.extend(stripe_steps(&operation, look_up.as_ref()));
        steps.extend(adyen_steps(&operation));
    }
    steps
}

/// The same operation about a payment with another provider's id.
fn at(operation: &Operation, id: &str) -> Operation {
    let mut operation = operation.clone();
    match &mut operation {
        Operation::Capture { parent, .. }
        | Operation::Refund { parent, .. }
        | Operation::Increment { parent, .. }
        | Operation::Void { parent, .. } => parent.provider_reference = Some(id.to_owned()),
        Operation::Charge(_) | Operation::Authorize(_) | Operation::Tokenize { .. } => {}
    }
    operation
}

fn first(gateway: &str, operation: &Operation) -> HttpCall {
    let connectors = all_connectors();
    let connector = connectors.iter().find(|c| c.manifest().gateway_name == gateway).unwrap();
    let cx = Cx { settings: [("MerchantAccount".to_owned(), "ShopEU".to_owned())].into() };
    match connector.encode(operation, &cx).unwrap() {
        baton_connect::Call::Http(call) => call,
        baton_connect::Call::Immediate(outcome) => panic!("{gateway} is a mock: {outcome:?}"),
    }
}

fn stripe_steps(operation: &Operation, look_up: Option<&LookUp>) -> Vec<Step> {
    let operation = at(operation, INTENT);
    let look_up = look_up.cloned().map(|mut asked| {
        match &mut asked.subject {
            Subject::Charge | Subject::Authorize => {
                asked.provider_reference = Some(INTENT.to_owned());
            }
            Subject::Capture(parent)
            | Subject::Void(parent)
            | Subject::Refund(parent)
            | Subject::Increment(parent) => {
                parent.provider_reference = Some(INTENT.to_owned());
            }
            Subject::Tokenize => {}
        }
        asked
    });
    let method = json!({"id": METHOD, "object": "payment_method", "type": "card"});
    let answers = match &operation {
        Operation::Charge(_) => {
            vec![intent("requires_payment_method", 0), method, intent("succeeded", ASKED)]
        }
        Operation::Authorize(_) => {
            let mut held = intent("requires_capture", 0);
            held["amount_capturable"] = ASKED.into();
            vec![intent("requires_payment_method", 0), method, held]
        }
        Operation::Capture { .. } => vec![intent("succeeded", ASKED)],
        Operation::Increment { .. } => {
            let mut raised = intent("requires_capture", 0);
            raised["metadata"]["increment"] = REFERENCE.into();
            vec![raised]
        }
        Operation::Void { .. } => vec![intent("canceled", 0)],
        Operation::Refund { .. } => vec![json!({
            "id": "re_1", "object": "refund", "amount": ASKED, "currency": "usd",
            "status": "succeeded", "payment_intent": INTENT, "metadata": {"reference": REFERENCE},
        })],
        Operation::Tokenize { .. } => vec![method, json!({"id": "cus_1", "object": "customer"})],
    };
    let connectors = all_connectors();
    let stripe = connectors.iter().find(|c| c.manifest().gateway_name == "Stripe").unwrap();
    let mut sent = first("Stripe", &operation);
    let mut steps = Vec::new();
    for body in answers {
        let answer = reply(200, body.to_string());
        let next = stripe.decode(&operation, &Cx::default(), &sent, &answer);
        // Only a whole attempt can be asked about.
        let look_up = look_up.clone().filter(|_| matches!(next, Decoded::Outcome(_)));
        steps.push(("Stripe", operation.clone(), look_up, sent.clone(), 200, body));
        if let Decoded::Next(next) = next {
            sent = next;
        }
    }
    steps
}

fn adyen_steps(operation: &Operation) -> Vec<Step> {
    let operation = at(operation, PSP);
    let amount = json!({"value": ASKED, "currency": "USD"});
    let (status, body) = match &operation {
        Operation::Charge(_) | Operation::Authorize(_) => (
            200,
            json!({
                "pspReference": PSP, "resultCode": "Authorised", "merchantReference": REFERENCE,
                "amount": amount, "additionalData": {"authCode": "044925"},
            }),
        ),
        Operation::Capture { .. }
        | Operation::Refund { .. }
        | Operation::Increment { .. }
        | Operation::Void { .. } => (
            201,
            json!({
                "merchantAccount": "ShopEU", "paymentPspReference": PSP, "amount": amount,
                "pspReference": "QFQTPCQ8HXSKGK82", "reference": REFERENCE, "status": "received",
            }),
        ),
        Operation::Tokenize { .. } => {
            (201, json!({"id": "M5N7TQ4TG5PFWR50", "shopperReference": REFERENCE}))
        }
    };
    vec![("Adyen", operation.clone(), None, first("Adyen", &operation), status, body)]
}
