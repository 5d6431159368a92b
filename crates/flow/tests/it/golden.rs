//! Golden files: the diagrams in the documentation, what is stored, what is published, what is told.

use baton_flow::{
    Amounted, CallId, CallState, Cancel, Check, Closure, DoubtMode, Event, Evidence, EvidenceKind,
    Increment, Input, OrderKind, Payment, Refusal, RetryDeclines, Void, VoidReason, snapshot,
};
use baton_types::outcome::{Answer, Doubt, Finding, NotSent, Outcome, Refused};
use baton_types::{Brand, DeclineCode, DeclinedBy, Expiry, MaskedCard};

use crate::diagram;
use crate::given::{
    T0, action, approved, begun, declined, live, order, pending, take, unknown, usd,
};

/// How long the stored candidates remember a key.
const REPLAY_MS: i64 = 86_400_000;

const PAGE: &str = include_str!("../../../../docs/state-diagram.md");

/// `BLESS=1` writes the page anew.
#[test]
fn the_diagrams_show_what_the_code_does() {
    let page = format!(
        "\
# State diagrams

What a payment and a call go through. These pictures are not drawn: a test tries every input in every state
of a small payment (two candidates, no payer present, the request's own task alive, captured and refunded
whole or in halves) and prints what changes. `BLESS=1 cargo test -p baton-flow` writes this page anew.

- *In doubt* is an attempt whose outcome is not known or not there yet. No other provider is asked then.
- *Challenged* is one that a payer would have to act on; without a payer it is cancelled at the provider.
- *Unwanted* is one that was approved and must not be kept: only in part, or while its cancel is on its way.
- *Not found* is a look-up after the last moment at which the request could still take effect; two of them
  close an authorization for good and let the next candidate be tried. A sale they close, but nobody else is
  asked.

## An authorization

```mermaid
{}```

## A charge

```mermaid
{}```

## A call

One authorization, with a payer. Captures, voids and refunds move alike.

```mermaid
{}```
",
        diagram::payment(OrderKind::Authorize(usd(100))),
        diagram::payment(OrderKind::Charge(usd(100))),
        diagram::call(),
    );
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/state-diagram.md"), &page)
            .unwrap();
    }
    assert!(
        page == PAGE || std::env::var_os("BLESS").is_some(),
        "docs/state-diagram.md is not what the code does: run with BLESS=1 and review"
    );
}

/// A snapshot that was stored once. The file is never changed: a payment written by any released version
/// has to load.
#[test]
fn the_snapshot_of_schema_1_loads_for_ever() {
    let stored = include_str!("../golden/snapshot-1.json");
    let expected = everything();
    assert_eq!(snapshot::decode(1, stored), Ok(expected.clone()));
    let again: serde_json::Value =
        serde_json::from_str(&snapshot::encode(&expected).unwrap()).unwrap();
    let stored: serde_json::Value = serde_json::from_str(stored).unwrap();
    assert_eq!(again, stored, "what is written now is not schema 1 as it was");
}

/// What `hold_safe` adds to schema 1.
#[test]
fn the_snapshot_of_two_holds_loads_for_ever() {
    let stored = include_str!("../golden/snapshot-1-holds.json");
    let expected = two_holds();
    assert_eq!(snapshot::decode(1, stored), Ok(expected.clone()));
    let again: serde_json::Value =
        serde_json::from_str(&snapshot::encode(&expected).unwrap()).unwrap();
    let stored: serde_json::Value = serde_json::from_str(stored).unwrap();
    assert_eq!(again, stored, "what is written now is not what was");
}

/// What came with schema 2.
#[test]
fn the_snapshot_of_schema_2_loads_for_ever() {
    let stored = include_str!("../golden/snapshot-2.json");
    let expected = raised_and_in_doubt();
    assert_eq!(snapshot::decode(2, stored), Ok(expected.clone()));
    let again: serde_json::Value =
        serde_json::from_str(&snapshot::encode(&expected).unwrap()).unwrap();
    let stored: serde_json::Value = serde_json::from_str(stored).unwrap();
    assert_eq!(again, stored, "what is written now is not schema 2 as it was");
}

/// A node of the version before reads what it understands, and only that.
#[test]
fn a_payment_has_the_number_of_the_oldest_version_that_reads_it_whole() {
    let rows = [(everything(), 1), (two_holds(), 1), (raised_and_in_doubt(), 2)];
    for (payment, schema) in rows {
        assert_eq!(snapshot::schema_of(&payment), schema, "{:?}", payment.status());
    }
    let mut payment = raised_and_in_doubt();
    payment.increments.clear();
    assert_eq!(snapshot::schema_of(&payment), 2, "by the void");
    payment.voids.clear();
    assert_eq!(snapshot::schema_of(&payment), 1);
    payment.increments = raised_and_in_doubt().increments;
    assert_eq!(snapshot::schema_of(&payment), 2, "by the raise");
}

#[test]
fn a_snapshot_without_what_has_a_default_loads() {
    let bare = r#"{
        "id": "pay_01fwhe4ydgfk1shh6w1g60eecf", "merchant": "mer_01fwhe4ydgfk1shh6w1g60eecf",
        "version": 1, "created_at": 0, "updated_at": 0,
        "order": {
            "kind": {"kind": "tokenize"}, "candidates": [], "doubt": "stop",
            "retry_declines": {"issuer": false, "provider_risk": false, "provider_other": false},
            "failover_until": 0
        }
    }"#;
    let payment = snapshot::decode(1, bare).unwrap();
    assert_eq!((payment.order.kind, payment.order.payer_present), (OrderKind::Tokenize, false));
    assert_eq!(payment.calls().count(), 0);
    let newer = snapshot::decode(3, bare).unwrap_err();
    assert_eq!(newer, snapshot::SnapshotError::Newer { schema: 3 });
    assert_eq!(newer.to_string(), "the snapshot has schema 3; this version reads up to 2");
    for broken in ["", "{}", "[]", &bare.replace("tokenize", "lease"), &bare.replace("stop", "go")]
    {
        assert!(matches!(snapshot::decode(1, broken), Err(snapshot::SnapshotError::Broken(_))));
    }
}

#[test]
fn events_are_written_like_this() {
    let call = CallId::Attempt(1);
    let begun =
        take(&crate::given::new(order(OrderKind::Charge(usd(100)))), Input::Begin, &live(T0));
    let mut events = begun.events;
    events.extend([
        Event::InDoubt { call, outcome: unknown() },
        Event::Concluded { call, outcome: declined(DeclinedBy::Issuer) },
        Event::Obliged { call, due_at: T0.plus_millis(60_000) },
        Event::Closed { call, how: Closure::Absent },
        Event::Checked { call, finding: Finding::NotFound },
        Event::Evidence { call, evidence: evidence() },
        Event::Settled {
            call,
            how: baton_flow::Settlement::Voided,
            by: "operator".to_owned(),
            reason: "ticket 4711".to_owned(),
        },
        Event::Contradicted {
            call,
            what: baton_flow::Contradiction::Taken,
            finding: Finding::Found { outcome: pending() },
            incident: "inc_1".to_owned(),
        },
        Event::Checked { call, finding: Finding::Found { outcome: pending() } },
    ]);
    let lines: Vec<String> =
        events.iter().map(|event| serde_json::to_string(event).unwrap()).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn refusals_read_like_this() {
    let refusals = [
        Refusal::AlreadyBegun,
        Refusal::NoSuchCall,
        Refusal::Concluded,
        Refusal::NothingApproved,
        Refusal::InDoubt(CallId::Capture(2)),
        Refusal::AlreadyVoided,
        Refusal::AlreadyCaptured,
        Refusal::AlreadyRefunded,
        Refusal::NothingToCapture,
        Refusal::NotPositive,
        Refusal::WrongCurrency { expected: usd(0).currency() },
        Refusal::TooMuch { available: usd(1050) },
        Refusal::TooMany,
    ];
    let lines: Vec<String> = refusals.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

/// What came to be stored later than schema 1's first file.
#[test]
fn a_check_is_stored_with_what_it_rests_on() {
    let check = Check { at: T0, finding: Finding::NotFound, evidence: Some(evidence()) };
    let text = serde_json::to_string(&check).unwrap();
    let rest = r#""evidence":{"kind":"look_up","status":404,"hash":"9f86d081"}}"#;
    assert_eq!(text, format!(r#"{{"at":{},"finding":"not_found",{rest}"#, T0.millis()));
    assert_eq!(serde_json::from_str::<Check>(&text).unwrap(), check);
}

fn evidence() -> Evidence {
    Evidence { kind: EvidenceKind::LookUp, status: Some(404), hash: "9f86d081".to_owned() }
}

/// A sale whose first answer was lost, whose second hold was approved, and whose first is being voided.
fn two_holds() -> Payment {
    let mut order = order(OrderKind::Charge(usd(100)));
    order.doubt = DoubtMode::HoldSafe;
    order.candidates.iter_mut().for_each(|candidate| candidate.replay_ms = Some(REPLAY_MS));
    order.candidates[1].cancel = Some(Cancel::Fence);
    order.candidates[2].cancel = None;
    let (a1, a2) = (CallId::Attempt(1), CallId::Attempt(2));
    let mut payment = begun(order);
    for input in [
        Input::Outcome { call: a1, outcome: unknown() },
        Input::Finding { call: a1, finding: Finding::NotFound },
        Input::Outcome { call: a2, outcome: approved(usd(100)) },
    ] {
        payment = take(&payment, input, &live(T0.plus_millis(1_000))).next;
    }
    payment.voids[0].call.state = CallState::Open { outcome: unknown() };
    payment.voids[0].call.open_since = Some(T0.plus_millis(2_000));
    let mut again = payment.voids[0].clone();
    (again.why, again.attempt) = (VoidReason::CaptureFailed, 2);
    payment.voids.push(again);
    payment
}

/// A hold that was raised, whose raise is being voided because of a doubt: no history makes it.
fn raised_and_in_doubt() -> Payment {
    let mut payment = two_holds();
    payment.order.candidates.iter_mut().for_each(|candidate| candidate.increments = true);
    payment.voids[0].why = VoidReason::InDoubt;
    let mut call = payment.voids[0].call.clone();
    call.state = CallState::Final { outcome: approved(usd(150)), at: T0.plus_millis(3_000) };
    payment.increments = vec![Increment { amount: usd(150), before: usd(100), call }];
    payment
}

/// A payment that no history makes, but that has a value in every field and every state of a call.
fn everything() -> Payment {
    let mut order = order(OrderKind::Authorize(usd(10_000)));
    order.card = Some(MaskedCard {
        brand: Brand::Visa,
        bin: "411111".to_owned(),
        last4: "1111".to_owned(),
        expiry: Expiry::new(12, 2030).unwrap(),
    });
    order.doubt = DoubtMode::Stop;
    order.candidates.iter_mut().for_each(|candidate| {
        (candidate.cancel, candidate.replay_ms) = (None, Some(REPLAY_MS));
    });
    order.retry_declines =
        RetryDeclines { issuer: true, provider_risk: false, provider_other: true };
    let mut payment = begun(order);
    payment.version = 12;
    payment.updated_at = T0.plus_millis(1);
    let planned = payment.attempts[0].clone();
    let at = T0.plus_millis(2_000);
    let call = |state| {
        let mut call = planned.clone();
        call.state = state;
        call
    };
    let ended = |outcome| call(CallState::Final { outcome, at });
    let open = |outcome| {
        let mut call = call(CallState::Open { outcome });
        call.open_since = Some(at);
        call.template = Some("{\"hole\":\"pan\"}".to_owned());
        call.checks = [
            Finding::Found { outcome: unknown() },
            Finding::Voided,
            Finding::NotFound,
            Finding::Inconclusive,
        ]
        .map(|finding| Check { at, finding, evidence: None })
        .to_vec();
        call
    };
    let answer = Answer {
        reference: Some("tr-1".to_owned()),
        authorization_code: Some("A1B2C3".to_owned()),
        code: Some("00".to_owned()),
        message: Some("Approved".to_owned()),
        token: Some("tok-1".to_owned()),
        retry_after_ms: Some(1_500),
        advice: None,
        network_transaction_id: None,
        next_action: None,
    };
    payment.attempts = vec![
        planned.clone(),
        ended(Outcome::NotSent { why: NotSent::BreakerOpen }),
        ended(Outcome::Refused { why: Refused::Validation, answer: Answer::default() }),
        ended(Outcome::Declined {
            by: DeclinedBy::ProviderRisk,
            code: DeclineCode::DoNotHonor,
            answer: Answer::default(),
        }),
        ended(Outcome::Approved { amount: Some(usd(10_000)), answer }),
        open(Outcome::Unknown { why: Doubt::OwnerGone }),
        open(pending()),
        open(action()),
    ];
    payment.attempts[0].absent_after = None;
    payment.attempts[0].replay_until = None;
    payment.order.candidates[1].quiet_ms = None;
    payment.order.candidates[1].replay_ms = None;
    payment.captures = vec![Amounted { amount: usd(60), call: ended(approved(usd(60))) }];
    payment.refunds = vec![Amounted { amount: usd(40), call: planned.clone() }];
    let reasons = [VoidReason::Requested, VoidReason::PartialApproval, VoidReason::ActionRequired];
    let closures = [Closure::Voided, Closure::Fenced, Closure::Absent];
    payment.voids = reasons
        .into_iter()
        .zip(closures)
        .map(|(why, how)| Void { attempt: 1, why, call: call(CallState::Closed { how, at }) })
        .collect();
    payment
}
