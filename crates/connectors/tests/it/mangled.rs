//! No bytes make the connector panic, and none make it say `Approved` but an answer that says so.

use baton_connect::{HttpReply, LookUp, Operation};
use baton_types::outcome::{Finding, Outcome};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::support::{
    ASKED, REFERENCE, anything, cases, found, modification, operations, outcome, payment, replace,
    reply, sandbox,
};

/// Whether this very object says that the operation was done. Written against the sandbox's reference,
/// and not as the connector does it.
fn says_done(operation: &Operation, body: &Value) -> bool {
    let text = |pointer| body.pointer(pointer).and_then(Value::as_str).unwrap_or("");
    let number = |pointer| body.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    let ours = text("/reference") == REFERENCE && !text("/id").trim().is_empty();
    let amount = text("/amount/currency") == "USD" && number("/amount/value") == ASKED;
    let paid = ours && amount && body["voided"] == json!(false);
    match operation {
        Operation::Charge(_) => paid && text("/status") == "captured" && number("/captured") > 0,
        Operation::Authorize(_) => {
            paid && ["authorized", "captured"].contains(&text("/status"))
                && number("/authorized") > 0
        }
        Operation::Capture { .. } | Operation::Refund { .. } | Operation::Increment { .. } => {
            ours && amount && text("/status") == "succeeded" && body["failure"].is_null()
        }
        Operation::Void { .. } => {
            ours && text("/status") == "succeeded" && body["failure"].is_null()
        }
        Operation::Tokenize { .. } => !text("/token").trim().is_empty(),
    }
}

/// The answer's own approvals and those of a look-up that lists it have to be said by the body.
fn check(operation: &Operation, look_up: Option<&LookUp>, answer: &HttpReply) {
    let connector = sandbox();
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    if let Outcome::Approved { amount, .. } = outcome(connector.as_ref(), operation, answer) {
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
        let body = body.as_ref().expect("an approval is JSON");
        assert!(says_done(operation, body), "{body}");
        assert_eq!(amount.is_some(), operation.amount().is_some());
    }
    let Some(look_up) = look_up else { return };
    let _ = found(connector.as_ref(), look_up, answer);
    let Some(body) = body else { return };
    let list = reply(answer.status, json!({"data": [body]}).to_string());
    match found(connector.as_ref(), look_up, &list) {
        Finding::Found { outcome: Outcome::Approved { .. } } => {
            assert!(answer.status == 200 && says_done(operation, &body), "{body}");
        }
        Finding::NotFound => panic!("something is listed: {body}"),
        Finding::Found { .. } | Finding::Voided | Finding::Inconclusive => {}
    }
}

fn real_answers() -> Vec<Value> {
    vec![
        payment("captured", ASKED, ASKED),
        payment("authorized", ASKED, 0),
        payment("pending", 0, 0),
        payment("action_required", 0, 0),
        modification(None),
        modification(Some("do_not_honor")),
        json!({"token": "tok_0007", "last4": "1111"}),
        json!({"error": {"code": "validation", "message": "no"}}),
    ]
}

fn statuses() -> impl Strategy<Value = u16> {
    prop_oneof![4 => Just(200), 4 => Just(201), 1 => 100_u16..600]
}

fn operation() -> impl Strategy<Value = (Operation, Option<LookUp>)> {
    select(operations())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn arbitrary_bytes_are_no_approval(
        (operation, look_up) in operation(),
        status in statuses(),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        check(&operation, look_up.as_ref(), &reply(status, body));
    }

    #[test]
    fn a_real_answer_with_a_changed_field_is_an_approval_only_if_it_says_so(
        (operation, look_up) in operation(),
        status in statuses(),
        mut body in select(real_answers()),
        changes in prop::collection::vec((0_usize..30, anything()), 0..3),
    ) {
        for (mut at, value) in changes {
            replace(&mut body, &mut at, &value);
        }
        check(&operation, look_up.as_ref(), &reply(status, body.to_string()));
    }

    #[test]
    fn a_real_answer_with_damaged_bytes_is_an_approval_only_if_it_says_so(
        (operation, look_up) in operation(),
        status in statuses(),
        body in select(real_answers()),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..4),
        keep in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = body.to_string().into_bytes();
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
        check(&operation, look_up.as_ref(), &reply(status, bytes));
    }
}

#[test]
fn the_real_answers_are_approvals_where_they_say_so() {
    let connector = sandbox();
    let approvals: usize = operations()
        .iter()
        .map(|(operation, _)| {
            let approved = |body: &&Value| {
                let answer = reply(201, body.to_string());
                outcome(connector.as_ref(), operation, &answer).class() == "approved"
            };
            real_answers().iter().filter(approved).count()
        })
        .sum();
    // A charge by one, an authorization by two, four modifications by one each, a token by one.
    assert_eq!(approvals, 8);
}
