//! Errors and repeated keys as stripe-stateful-mock gives them, read by our connector.
//!
//! It knows no payment intents, so its Charges API answers, and what it says is read as the answer to a
//! confirmation.

use baton_connect::{Body, Connector, Cx, Decoded, HttpCall, HttpReply, Method, Operation};
use baton_types::outcome::{Doubt, Outcome, Refused};
use baton_types::{DeclineCode, DeclinedBy};

use super::{Node, Secrets, free_port, node_modules, send, skipped};
use crate::support::{all_connectors, sequence};

fn charge(port: u16, source: &str, amount: i64, key: &str) -> HttpReply {
    let form = format!("amount={amount}&currency=usd&source={source}");
    let mut call = HttpCall::new(Method::Post, "/v1/charges")
        .header("authorization", vec!["Bearer sk_test_12345".into()])
        .header("idempotency-key", vec![key.into()]);
    call.body = Body::Form(vec![form.into()]);
    send(port, &call.fill(&Secrets).ok().unwrap())
}

/// What the connector makes of an answer to a confirmation.
fn meaning(reply: &HttpReply) -> Outcome {
    let confirm = sequence().into_iter().find(|(gateway, operation, _, sent, ..)| {
        *gateway == "Stripe" && matches!(operation, Operation::Charge(_)) && sent.moves_money
    });
    let (_, operation, _, sent, ..) = confirm.unwrap();
    let connectors = all_connectors();
    let stripe: &dyn Connector =
        connectors.iter().find(|c| c.manifest().id == "stripe").unwrap().as_ref();
    match stripe.decode(&operation, &Cx::default(), &sent, reply) {
        Decoded::Outcome(outcome) => outcome,
        Decoded::Next(next) => panic!("after the money: {next:?}"),
    }
}

#[test]
fn its_errors_mean_what_they_say_and_a_repeated_key_says_the_same() {
    let port = free_port();
    let started = node_modules().map(|modules| {
        let script = format!(
            "-e 'const m=require(\"{}/stripe-stateful-mock\");\
             require(\"http\").createServer(m.createExpressApp())\
             .listen({port},\"127.0.0.1\",()=>console.log(\"ready\"))'",
            modules.display()
        );
        Node::start(&script, "ready")
    });
    let _mock = match started {
        Ok(mock) => mock,
        Err(why) => return skipped(&format!("stripe-stateful-mock: {why}")),
    };
    let rows = [
        ("tok_chargeDeclined", DeclineCode::GenericDecline, DeclinedBy::Issuer),
        ("tok_chargeDeclinedInsufficientFunds", DeclineCode::InsufficientFunds, DeclinedBy::Issuer),
        ("tok_chargeDeclinedFraudulent", DeclineCode::RiskBlocked, DeclinedBy::ProviderRisk),
        ("tok_chargeDeclinedIncorrectCvc", DeclineCode::IncorrectCvv, DeclinedBy::Issuer),
        ("tok_chargeDeclinedExpiredCard", DeclineCode::ExpiredCard, DeclinedBy::Issuer),
        ("tok_chargeDeclinedProcessingError", DeclineCode::SystemMalfunction, DeclinedBy::Issuer),
    ];
    for (source, code, by) in rows {
        let first = charge(port, source, 1_023, source);
        let Outcome::Declined { by: got_by, code: got, .. } = meaning(&first) else {
            panic!("{source}: {first:?}");
        };
        assert_eq!((got, got_by), (code, by), "{source}");
        let again = charge(port, source, 1_023, source);
        assert_eq!(again.header("idempotent-replayed"), Some("true"), "{source}");
        assert_eq!(meaning(&again), meaning(&first), "{source}");
    }
    // Another request under the same key: whatever the first one did, this answer does not say.
    let other = charge(port, "tok_visa", 1_024, "tok_chargeDeclined");
    assert_eq!(other.status, 400);
    assert_eq!(meaning(&other), Outcome::Unknown { why: Doubt::UndocumentedStatus });
    // A charge is no intent, however well it went.
    let paid = charge(port, "tok_visa", 1_023, "paid");
    assert_eq!(paid.status, 200);
    assert_eq!(meaning(&paid), Outcome::Unknown { why: Doubt::Unreadable });
    // A replayed 500 resolves nothing; a 429 is not kept under the key, and attempted nothing.
    for _ in 0..2 {
        let failed = charge(port, "tok_500", 1_023, "failed");
        assert_eq!(meaning(&failed), Outcome::Unknown { why: Doubt::UndocumentedStatus });
        let limited = meaning(&charge(port, "tok_429", 1_023, "limited"));
        assert!(
            matches!(limited, Outcome::Refused { why: Refused::RateLimited, .. }),
            "{limited:?}"
        );
    }
}
