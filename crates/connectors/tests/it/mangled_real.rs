//! No bytes make the connectors of Stripe and Adyen panic, and none make them say `Approved` but an answer
//! that says so. What says so is written here against the providers' documentation, and not as the
//! connectors do it.

use baton_connect::{
    Connector, Cx, Decoded, HttpCall, HttpReply, Incoming, LookUp, Looked, Operation,
};
use baton_types::outcome::{Finding, Outcome};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::support::{ASKED, REFERENCE, all_connectors, anything, cases, replace, reply, sequence};

/// One call that was sent, for an operation or a look-up, and an answer as the provider would give it.
#[derive(Clone)]
struct Given {
    gateway: &'static str,
    operation: Operation,
    look_up: Option<LookUp>,
    sent: HttpCall,
    status: u16,
    body: Value,
}

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {} {}", self.gateway, self.sent.path, self.status, self.body)
    }
}

fn text<'a>(body: &'a Value, at: &str) -> &'a str {
    body.pointer(at).and_then(Value::as_str).unwrap_or("")
}

fn is_asked(value: &Value) -> bool {
    value.as_i64() == Some(ASKED)
}

/// Whether Stripe says with this object that the operation was done.
fn stripe_says(operation: &Operation, status: u16, body: &Value) -> bool {
    let received = &body["amount_received"];
    let intent = text(body, "/object") == "payment_intent" && !text(body, "/id").is_empty();
    let ours = intent
        && is_asked(&body["amount"])
        && text(body, "/currency") == "usd"
        && text(body, "/metadata/reference") == REFERENCE;
    let state = text(body, "/status");
    match operation {
        Operation::Charge(_) => {
            ours && state == "succeeded" && (received.is_null() || received.as_i64() > Some(0))
        }
        Operation::Authorize(_) => ours && matches!(state, "succeeded" | "requires_capture"),
        Operation::Capture { .. } => {
            intent && state == "succeeded" && (received.is_null() || is_asked(received))
        }
        Operation::Void { .. } => {
            let refused = status == 400
                && text(body, "/error/code") == "payment_intent_unexpected_state"
                && text(body, "/error/payment_intent/status") == "canceled";
            refused || (intent && state == "canceled")
        }
        Operation::Increment { .. } => {
            intent
                && state == "requires_capture"
                && is_asked(&body["amount"])
                && text(body, "/currency") == "usd"
                && text(body, "/metadata/increment") == REFERENCE
        }
        Operation::Refund { .. } => {
            text(body, "/object") == "refund"
                && state == "succeeded"
                && is_asked(&body["amount"])
                && text(body, "/currency") == "usd"
                && text(body, "/metadata/reference") == REFERENCE
        }
        Operation::Tokenize { .. } => {
            text(body, "/object") == "customer" && !text(body, "/id").is_empty()
        }
    }
}

/// Whether Adyen says with this object that the operation was done. Changes are only ever received.
fn adyen_says(operation: &Operation, status: u16, body: &Value) -> bool {
    match operation {
        Operation::Charge(_) | Operation::Authorize(_) => {
            let amount = &body["amount"];
            let same = is_asked(&amount["value"]) && text(body, "/amount/currency") == "USD";
            let ours = status == 200
                && text(body, "/merchantReference") == REFERENCE
                && !text(body, "/pspReference").trim().is_empty();
            let result = text(body, "/resultCode");
            ours && ((result == "Authorised" && (amount.is_null() || same))
                || result == "PartiallyAuthorised")
        }
        Operation::Capture { .. }
        | Operation::Refund { .. }
        | Operation::Increment { .. }
        | Operation::Void { .. } => false,
        Operation::Tokenize { .. } => status == 201 && !text(body, "/id").trim().is_empty(),
    }
}

fn says(given: &Given, status: u16, body: &Value) -> bool {
    match given.gateway {
        "Stripe" => stripe_says(&given.operation, status, body),
        _ => adyen_says(&given.operation, status, body),
    }
}

fn cx() -> Cx {
    Cx { settings: [("MerchantAccount".to_owned(), "ShopEU".to_owned())].into() }
}

fn check(given: &Given, answer: &HttpReply) {
    let connectors = all_connectors();
    let connector = connectors.iter().find(|c| c.manifest().gateway_name == given.gateway).unwrap();
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let said =
        |body: &Option<Value>| body.as_ref().is_some_and(|body| says(given, answer.status, body));
    match connector.decode(&given.operation, &cx(), &given.sent, answer) {
        Decoded::Outcome(Outcome::Approved { amount, .. }) => {
            assert!(said(&body), "{given:?}: {answer:?}");
            assert_eq!(amount.is_some(), given.operation.amount().is_some());
            // Nothing but the last call of a sequence says that money has moved.
            let moves = given.sent.moves_money || given.operation.amount().is_none();
            assert!(moves, "{given:?}");
        }
        Decoded::Outcome(_) => {}
        Decoded::Next(next) => assert!(!given.sent.moves_money, "after the money: {next:?}"),
    }
    if let Some(look_up) = &given.look_up {
        look(connector.as_ref(), given, look_up, answer, body.as_ref());
    }
    let headers = [("stripe-signature".to_owned(), "t=1,v1=00".to_owned())];
    let _ = connector.webhook(&cx(), &Incoming { headers: &headers, body: &answer.body });
}

/// A look-up that shows the answer, alone and in a list.
fn look(
    connector: &dyn Connector,
    given: &Given,
    look_up: &LookUp,
    answer: &HttpReply,
    body: Option<&Value>,
) {
    let Some(baton_connect::Question::Http(question)) = connector.look_up(look_up, &cx()) else {
        return;
    };
    let list = body.map(|body| {
        reply(
            answer.status,
            json!({"object": "list", "has_more": false, "data": [body]}).to_string(),
        )
    });
    for answer in std::iter::once(answer.clone()).chain(list) {
        match connector.read_look_up(look_up, &cx(), &question, &answer) {
            Looked::Finding(Finding::Found { outcome: Outcome::Approved { .. } }) => {
                let said = body.is_some_and(|body| says(given, answer.status, body));
                assert!(answer.status == 200 && said, "{given:?}: {answer:?}");
            }
            Looked::Finding(Finding::NotFound) => {
                let capture_or_void =
                    given.operation.kind() != baton_connect::OperationKind::Charge;
                // An intent that was made and never confirmed: nothing was done.
                let status = body.and_then(|body| body["status"].as_str());
                let untouched =
                    matches!(status, Some("requires_payment_method" | "requires_confirmation"));
                assert!(capture_or_void || untouched, "something is listed: {answer:?}");
            }
            Looked::Finding(_) => {}
            Looked::Next(next) => assert!(!next.moves_money, "{next:?}"),
        }
    }
}

fn given() -> Vec<Given> {
    sequence()
        .into_iter()
        .map(|(gateway, operation, look_up, sent, status, body)| Given {
            gateway,
            operation,
            look_up,
            sent,
            status,
            body,
        })
        .collect()
}

fn statuses() -> impl Strategy<Value = u16> {
    prop_oneof![4 => Just(200), 4 => Just(201), 1 => Just(400), 1 => Just(402), 1 => 100_u16..600]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn arbitrary_bytes_are_no_approval(
        given in select(given()),
        status in statuses(),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        check(&given, &reply(status, body));
    }

    #[test]
    fn strange_webhooks_do_no_harm(
        header in "(t=[0-9]{0,20},?)?(v1=[0-9a-f]{0,8},?)*.{0,20}",
        given in select(given()),
        kind in "(payment_intent|refund|charge|AUTHORISATION)[a-z._]{0,20}",
        damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let event = json!({"id": "evt_1", "object": "event", "type": kind, "data": {"object": given.body}});
        let item = json!({"notificationItems": [{"NotificationRequestItem": given.body}]});
        for body in [event, item] {
            let mut body = body.to_string().into_bytes();
            if let Some((at, byte)) = damage {
                let at = at.index(body.len());
                body[at] = byte;
            }
            let headers = [("stripe-signature".to_owned(), header.clone())];
            for connector in all_connectors() {
                // The events are behind the signature; here it is enough that they can be made.
                let _ = connector.webhook(&cx(), &Incoming { headers: &headers, body: &body });
            }
        }
    }

    #[test]
    fn a_real_answer_with_a_changed_field_is_an_approval_only_if_it_says_so(
        given in select(given()),
        status in prop_oneof![3 => Just(None), 1 => statuses().prop_map(Some)],
        body in prop_oneof![
            3 => Just(None),
            1 => select(given()).prop_map(|other| Some(other.body)),
        ],
        changes in prop::collection::vec((0_usize..40, anything()), 0..3),
    ) {
        let mut body = body.unwrap_or_else(|| given.body.clone());
        for (mut at, value) in changes {
            replace(&mut body, &mut at, &value);
        }
        check(&given, &reply(status.unwrap_or(given.status), body.to_string()));
    }

    #[test]
    fn a_real_answer_with_damaged_bytes_is_an_approval_only_if_it_says_so(
        given in select(given()),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..4),
        keep in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = given.body.to_string().into_bytes();
        for (at, byte, how) in damage {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        if cut {
            bytes.truncate(keep.index(bytes.len()));
        }
        check(&given, &reply(given.status, bytes));
    }
}

#[test]
fn the_real_answers_are_approvals_where_they_say_so() {
    let approved = |given: &&Given| {
        let connectors = all_connectors();
        let connector = connectors.iter().find(|c| c.manifest().gateway_name == given.gateway);
        let answer = reply(given.status, given.body.to_string());
        let decoded = connector.unwrap().decode(&given.operation, &cx(), &given.sent, &answer);
        matches!(decoded, Decoded::Outcome(Outcome::Approved { .. }))
    };
    let given = given();
    let of = |gateway| given.iter().filter(|g| g.gateway == gateway).filter(approved).count();
    // Of each of Stripe's seven operations the last answer, of Adyen's the two payments and the token.
    assert_eq!((of("Stripe"), of("Adyen")), (7, 3));
}
