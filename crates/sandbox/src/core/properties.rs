//! Properties of the books under any order of requests.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Map;

use super::{Ask, Books, Card, NewPayment, Payment, Settings, Status, Verdict};
use crate::clock::{Id, Ids};
use crate::codes::DeclineCode;
use crate::dialect::Dialect;
use crate::journal::line_of;

fn card() -> Card {
    Card::parse("4111111111111111", 12, 2090, None).unwrap()
}

fn new(dialect: Dialect, reference: &str, amount: i64, sale: bool) -> NewPayment {
    NewPayment {
        dialect,
        reference: reference.to_owned(),
        key: None,
        amount,
        currency: "USD".to_owned(),
        sale,
        metadata: Map::new(),
        settings: Settings::default(),
    }
}

#[derive(Clone, Debug)]
enum Step {
    Pay { dialect: Dialect, amount: i64, sale: bool, verdict: Verdict },
    Again { verdict: Verdict },
    Conclude { decline: bool },
    Capture { amount: Option<i64>, last: bool, fails: bool },
    Void { fails: bool },
    Refund { amount: Option<i64>, fails: bool },
    Increment { amount: Option<i64>, fails: bool },
    Cancel { fence: bool },
}

fn verdict() -> impl Strategy<Value = Verdict> {
    let no = DeclineCode::find("do_not_honor").unwrap();
    prop_oneof![
        4 => Just(Verdict::Approve),
        1 => Just(Verdict::Decline(no)),
        1 => (-5i64..2_000).prop_map(|authorized| Verdict::Partial { authorized: Some(authorized) }),
        1 => Just(Verdict::Partial { authorized: None }),
        1 => Just(Verdict::Pending { after_ms: 5, then: None }),
        1 => Just(Verdict::Challenge { abandoned: false, gives_up_ms: None }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let dialect = prop_oneof![Just(Dialect::Own), Just(Dialect::Stripe), Just(Dialect::Adyen)];
    let amount = proptest::option::of(-3i64..1_200);
    prop_oneof![
        3 => (dialect, 1i64..1_000, any::<bool>(), verdict())
            .prop_map(|(dialect, amount, sale, verdict)| Step::Pay { dialect, amount, sale, verdict }),
        1 => verdict().prop_map(|verdict| Step::Again { verdict }),
        1 => any::<bool>().prop_map(|decline| Step::Conclude { decline }),
        4 => (amount.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(amount, last, fails)| Step::Capture { amount, last, fails }),
        1 => any::<bool>().prop_map(|fails| Step::Void { fails }),
        4 => (amount.clone(), any::<bool>())
            .prop_map(|(amount, fails)| Step::Refund { amount, fails }),
        2 => (amount, any::<bool>())
            .prop_map(|(amount, fails)| Step::Increment { amount, fails }),
        1 => any::<bool>().prop_map(|fence| Step::Cancel { fence }),
    ]
}

fn take(books: &mut Books, step: Step, at: usize) {
    let no = DeclineCode::find("do_not_honor").unwrap();
    let ask = |amount, fails: bool| Ask { amount, decline: fails.then_some(no), ..Ask::default() };
    let ids: Vec<Id> = books.payments().iter().map(|payment| payment.id).collect();
    let reference = format!("r{}", at % 3);
    if let Step::Pay { dialect, amount, sale, verdict } = step {
        let made = books.create(new(dialect, &reference, amount, sale));
        let _ = made.and_then(|id| books.authorize(id, Some(card()), &verdict));
        return;
    }
    let Some(id) = ids.get(at % ids.len().max(1)).copied() else { return };
    match step {
        Step::Pay { .. } => {}
        Step::Again { verdict } => drop(books.authorize(id, Some(card()), &verdict)),
        Step::Conclude { decline } => drop(books.conclude(id, decline.then_some(no))),
        Step::Capture { amount, last, fails } => drop(books.capture(id, ask(amount, fails), last)),
        Step::Void { fails } => drop(books.void(id, ask(None, fails))),
        Step::Refund { amount, fails } => drop(books.refund(id, ask(amount, fails))),
        Step::Increment { amount, fails } => drop(books.increment(id, ask(amount, fails))),
        Step::Cancel { fence } => drop(books.cancel_reference(&reference, &Ask::default(), fence)),
    }
}

fn check(payment: &Payment) {
    let Payment { refunded, captured, authorized, amount, .. } = *payment;
    assert!(0 <= refunded && refunded <= captured, "{payment:?}");
    assert!(captured <= authorized && authorized <= amount, "{payment:?}");
    assert!(payment.capturable() >= 0 && payment.refundable() >= 0);
    assert!(!payment.voided || !payment.is_live(), "a voided payment holds money: {payment:?}");
    let moved = |kind| -> i64 {
        let done = payment.operations.iter().filter(|o| o.kind == kind && o.failure.is_none());
        done.map(|operation| operation.amount).sum()
    };
    assert_eq!(moved(super::Kind::Refund), refunded);
    if !payment.sale && !payment.voided {
        assert_eq!(moved(super::Kind::Capture), captured);
    }
    if payment.status == Status::Declined {
        assert_eq!((authorized, captured), (0, 0));
    }
}

proptest! {
    #[test]
    fn money_is_conserved_and_the_journal_repeats_the_books(
        steps in proptest::collection::vec((step(), 0usize..64), 1..60),
    ) {
        let ids = Arc::new(Ids::new());
        let mut books = Books::new(ids.clone());
        let mut again = Books::new(ids);
        for (step, at) in steps {
            let before: Vec<_> = books.payments().to_vec();
            take(&mut books, step, at);
            let change = books.take_change();
            for payment in books.payments() {
                check(payment);
            }
            for old in before {
                let now = books.payment(old.id).unwrap();
                if **now != *old {
                    prop_assert!(change.payments.iter().any(|changed| changed.id == old.id),
                        "a change that the journal would not see");
                }
                prop_assert!(!old.voided || now.voided, "a void is final");
            }
            if let Some(line) = line_of("a", &change) {
                prop_assert!(std::str::from_utf8(&line).is_ok());
            }
            again.replay(change);
        }
        prop_assert_eq!(books.payments(), again.payments());
    }

    #[test]
    fn a_fenced_reference_is_never_charged_again(sale in any::<bool>(), fence in any::<bool>()) {
        let mut books = Books::new(Arc::new(Ids::new()));
        let id = books.create(new(Dialect::Own, "r", 10, sale)).unwrap();
        books.authorize(id, Some(card()), &Verdict::Approve).unwrap();
        let done = books.cancel_reference("r", &Ask::default(), fence);
        prop_assert_eq!(done.cancelled.len(), 1);
        prop_assert_eq!(books.create(new(Dialect::Own, "r", 10, sale)).is_err(), fence);
        prop_assert_eq!(books.payment(id).map(|payment| payment.is_live()), Some(false));
    }
}

/// What is asked, of a payment in which state, with which answer.
#[test]
fn the_state_machine_row_by_row() {
    const OK: &str = "ok";
    let no = DeclineCode::find("do_not_honor").unwrap();
    let decline = Verdict::Decline(no);
    let challenge = Verdict::Challenge { abandoned: false, gives_up_ms: None };
    let pending = Verdict::Pending { after_ms: 1, then: None };
    let approve = Verdict::Approve;
    // sale, verdict, capture all, void, refund all: each asked of a fresh payment.
    let rows = [
        (false, &approve, OK, OK, "not_refundable"),
        (true, &approve, "not_capturable", OK, OK),
        (false, &decline, "not_capturable", "not_voidable", "not_refundable"),
        (true, &decline, "not_capturable", "not_voidable", "not_refundable"),
        (false, &pending, "not_capturable", OK, "not_refundable"),
        (true, &pending, "not_capturable", OK, "not_refundable"),
        (false, &challenge, "not_capturable", OK, "not_refundable"),
        (true, &challenge, "not_capturable", OK, "not_refundable"),
    ];
    for (sale, verdict, capture, void, refund) in rows {
        let fresh = || {
            let mut books = Books::new(Arc::new(Ids::new()));
            let id = books.create(new(Dialect::Own, "r", 100, sale)).unwrap();
            books.authorize(id, Some(card()), verdict).unwrap();
            (books, id)
        };
        type Done<T> = Result<T, super::Refusal>;
        fn word<T>(done: Done<T>) -> &'static str {
            done.map_or_else(super::Refusal::code, |_| OK)
        }
        let (mut books, id) = fresh();
        assert_eq!(word(books.capture(id, Ask::default(), false)), capture, "{sale} {verdict:?}");
        let (mut books, id) = fresh();
        assert_eq!(word(books.void(id, Ask::default())), void, "{sale} {verdict:?}");
        let (mut books, id) = fresh();
        assert_eq!(word(books.refund(id, Ask::default())), refund, "{sale} {verdict:?}");
        let (mut books, id) = fresh();
        assert_eq!(word(books.authorize(id, Some(card()), &approve)), "not_confirmable");
    }
}

#[test]
fn a_stripe_intent_may_be_tried_again_after_a_decline_but_not_after_its_cancel() {
    let no = DeclineCode::find("do_not_honor").unwrap();
    let mut books = Books::new(Arc::new(Ids::new()));
    let id = books.create(new(Dialect::Stripe, "r", 100, true)).unwrap();
    let declined = books.authorize(id, Some(card()), &Verdict::Decline(no)).unwrap();
    assert_eq!((declined.status, declined.captured), (Status::Declined, 0));
    let paid = books.authorize(id, Some(card()), &Verdict::Approve).unwrap();
    assert_eq!((paid.status, paid.captured, paid.attempts.len()), (Status::Captured, 100, 2));
    assert_eq!(books.find(paid.attempts[0].id).map(|found| found.id), Some(id));
    let fenced = books.create(new(Dialect::Stripe, "r", 100, true)).unwrap();
    books.void(fenced, Ask::default()).unwrap();
    assert!(books.authorize(fenced, Some(card()), &Verdict::Approve).is_err());
}
