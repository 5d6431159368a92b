//! What the tests begin with: orders, facts, outcomes, and payments driven into a situation.

use baton_flow::{
    Candidate, DoubtMode, Facts, Input, Order, OrderKind, Owner, Payment, RetryDeclines, Step, step,
};
use baton_types::outcome::{Answer, Doubt, NotSent, Outcome, Refused};
use baton_types::{BootId, Currency, DeclineCode, DeclinedBy, Money, PaymentId, Timestamp};

/// When every payment of the tests is opened.
pub(crate) const T0: Timestamp = Timestamp::from_millis(1_795_176_000_000);
/// How long after opening the next candidate may be tried.
pub(crate) const FAILOVER_MS: i64 = 30_000;
/// How long a plan may wait for its first byte.
pub(crate) const WINDOW_MS: i64 = 5_000;
/// How long after `send_by` a request may stay unseen.
pub(crate) const QUIET_MS: i64 = 12_000;

pub(crate) fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::parse("USD").unwrap())
}

pub(crate) fn eur(minor: i64) -> Money {
    Money::new(minor, Currency::parse("EUR").unwrap())
}

/// Three candidates, resolve first, declines as a list of the Gateway API has them, a payer present.
pub(crate) fn order(kind: OrderKind) -> Order {
    let candidate = |no: u8| Candidate {
        account: baton_types::AccountId::from_bytes([no; 16]),
        label: format!("account-{no}"),
        gateway: "Sandbox".to_owned(),
        quiet_ms: Some(QUIET_MS),
        replay_ms: None,
        inline: false,
        certificate: None,
        index_lag_ms: 0,
        cancel: Some(baton_flow::Cancel::Plain),
        increments: false,
    };
    Order {
        kind,
        merchant_ref: Some("order-1".to_owned()),
        card: None,
        candidates: (1..=3).map(candidate).collect(),
        doubt: DoubtMode::ResolveFirst,
        retry_declines: RetryDeclines::GATEWAY_LIST,
        failover_until: T0.plus_millis(FAILOVER_MS),
        test: true,
        payer_present: true,
        imported: false,
    }
}

pub(crate) fn new(order: Order) -> Payment {
    let id = PaymentId::from_parts(1_795_176_000_000, [7; 10]);
    Payment::new(id, baton_types::MerchantId::from_bytes([9; 16]), order, T0)
}

pub(crate) fn owner() -> Owner {
    Owner { node: "node-1".to_owned(), boot: BootId::from_bytes([5; 16]) }
}

/// The facts of the request's own task.
pub(crate) fn live(now: Timestamp) -> Facts {
    Facts { now, owner: owner(), send_window_ms: WINDOW_MS, live: true, evidence: None }
}

/// The facts of a timer or a webhook.
pub(crate) fn later(now: Timestamp) -> Facts {
    Facts { live: false, ..live(now) }
}

/// A step that has to be taken.
pub(crate) fn take(payment: &Payment, input: Input, facts: &Facts) -> Step {
    step(payment, input.clone(), facts)
        .unwrap_or_else(|refusal| panic!("{input:?} is refused: {refusal:?}"))
}

pub(crate) fn begun(order: Order) -> Payment {
    take(&new(order), Input::Begin, &live(T0)).next
}

pub(crate) fn approved(amount: Money) -> Outcome {
    Outcome::Approved { amount: Some(amount), answer: answer("approved") }
}

/// The approval of what has no amount: a void, a token.
pub(crate) fn done() -> Outcome {
    Outcome::Approved { amount: None, answer: answer("done") }
}

pub(crate) fn declined(by: DeclinedBy) -> Outcome {
    Outcome::Declined { by, code: DeclineCode::DoNotHonor, answer: answer("declined") }
}

pub(crate) fn refused() -> Outcome {
    Outcome::Refused { why: Refused::RateLimited, answer: answer("slow down") }
}

pub(crate) fn not_sent() -> Outcome {
    Outcome::NotSent { why: NotSent::ConnectTimeout }
}

pub(crate) fn pending() -> Outcome {
    Outcome::Pending { answer: answer("pending") }
}

pub(crate) fn action() -> Outcome {
    Outcome::ActionRequired { answer: answer("challenge") }
}

pub(crate) fn unknown() -> Outcome {
    Outcome::Unknown { why: Doubt::AnswerTimeout }
}

fn answer(code: &str) -> Answer {
    Answer { reference: Some("tr-1".to_owned()), code: Some(code.to_owned()), ..Answer::default() }
}
