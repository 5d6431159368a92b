//! An attempt in doubt that is cancelled by our reference: when, what it ends, and what it bars until then.

use baton_flow::failover::{Next, next};
use baton_flow::{
    CallId, Cancel, Closure, DoubtMode, Effect, Facts, Failure, Input, Order, OrderKind, Payment,
    Standing, Step, Verdict, VoidReason,
};
use baton_types::outcome::{Answer, Finding, Outcome};
use baton_types::{DeclinedBy, Timestamp};

use crate::given::{
    FAILOVER_MS, QUIET_MS, T0, WINDOW_MS, approved, begun, declined, done, later, live, not_sent,
    order, pending, refused, take, unknown, usd,
};

const CALL: CallId = CallId::Attempt(1);
const VOID: CallId = CallId::Void(1);
const HOUR_MS: i64 = 3_600_000;

fn sale(cancel: Cancel) -> Order {
    let mut order = order(OrderKind::Charge(usd(100)));
    order.candidates.iter_mut().for_each(|at| at.cancel = Some(cancel));
    order
}

fn in_doubt(order: Order) -> Payment {
    take(&begun(order), Input::Outcome { call: CALL, outcome: unknown() }, &live(T0)).next
}

fn not_found(payment: &Payment, facts: &Facts) -> Step {
    take(payment, Input::Finding { call: CALL, finding: Finding::NotFound }, facts)
}

fn said(payment: &Payment, call: CallId, outcome: Outcome) -> Step {
    take(payment, Input::Outcome { call, outcome }, &live(T0))
}

/// What a provider says that has cancelled nothing and refuses what comes.
fn fenced() -> Outcome {
    Outcome::Approved { amount: None, answer: Answer::default() }
}

fn cancels(step: &Step) -> bool {
    let is_planned = step.effects.contains(&Effect::Call(VOID));
    let why = step.next.voids.first().map(|void| (void.attempt, void.why));
    assert_eq!(is_planned, why == Some((1, VoidReason::InDoubt)), "{why:?}");
    is_planned
}

/// While the shopper waits: at once, unless it is sent again or may only be unseen.
#[test]
fn what_is_not_found_is_cancelled_at_once_by_its_own_task() {
    let lagging = || {
        let mut order = sale(Cancel::Fence);
        order.candidates.iter_mut().for_each(|at| at.index_lag_ms = 6_000);
        order
    };
    let kept = || {
        let mut order = sale(Cancel::Fence);
        order.candidates.iter_mut().for_each(|at| at.replay_ms = Some(86_400_000));
        order
    };
    let at = |ms: i64| live(T0.plus_millis(ms));
    let once = |order: Order, facts: Facts| cancels(&not_found(&in_doubt(order), &facts));
    let twice = |order: Order, first: Facts, second: Facts| {
        let seen = not_found(&in_doubt(order), &first);
        assert!(!cancels(&seen));
        cancels(&not_found(&seen.next, &second))
    };
    assert!(once(sale(Cancel::Fence), at(0)));
    assert!(!once(sale(Cancel::Plain), at(0)), "it would keep nothing out");
    assert!(!once(sale(Cancel::Fence), at(FAILOVER_MS)), "nobody waits any more");
    assert!(!once(sale(Cancel::Fence), later(T0)), "another node");
    assert!(!once(Order { doubt: DoubtMode::HoldSafe, ..sale(Cancel::Fence) }, at(0)));
    assert!(once(Order { doubt: DoubtMode::Stop, ..sale(Cancel::Fence) }, at(0)));
    assert!(!twice(lagging(), at(0), at(5_999)), "it may be there unseen");
    assert!(twice(lagging(), at(0), at(6_000)));
    assert!(!twice(kept(), at(0), at(2_000)), "it was sent again");
    let open = take(&begun(sale(Cancel::Fence)), Input::Due { call: CALL }, &later(T0)).next;
    let has_it = said(&open, CALL, pending()).next;
    assert!(!cancels(&not_found(&has_it, &at(0))), "the provider has said that it has it");
}

/// The columns: what the cancel's answer is, what the provider says of the attempt before that, how the attempt stands
/// then, and whether the next candidate is asked.
#[test]
fn a_cancel_closes_an_attempt_once_it_is_confirmed() {
    let rows: [(&str, Outcome, Option<Outcome>, &str, bool); 9] = [
        ("nothing was there", fenced(), None, "Fenced", true),
        ("it was there", done(), None, "Voided", true),
        ("it was approved meanwhile", done(), Some(approved(usd(100))), "Voided", true),
        ("refused", refused(), None, "open", false),
        ("not sent", not_sent(), None, "open", false),
        ("declined", declined(DeclinedBy::ProviderOther), None, "open", false),
        ("lost", unknown(), None, "open", false),
        ("too late for it", refused(), Some(approved(usd(100))), "approved", false),
        ("lost, and it was approved", unknown(), Some(approved(usd(100))), "approved", false),
    ];
    for (name, answer, meanwhile, stands, goes_on) in rows {
        let mut payment = not_found(&in_doubt(sale(Cancel::Fence)), &live(T0)).next;
        assert_eq!(next(&payment, T0), Next::Wait, "{name}");
        if let Some(outcome) = meanwhile {
            payment = said(&payment, CALL, outcome).next;
            assert_eq!(payment.verdict(), Verdict::InDoubt(1), "{name}: nobody is told yet");
        }
        let is_lost = matches!(answer, Outcome::Unknown { .. });
        let step = said(&payment, VOID, answer);
        let shown = match step.next.standing(1) {
            Some(Standing::Closed(how)) => format!("{how:?}"),
            Some(Standing::Open(_)) => "open".to_owned(),
            Some(Standing::Approved(_)) => "approved".to_owned(),
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(shown, stands, "{name}");
        assert_eq!(step.effects.contains(&Effect::Call(CallId::Attempt(2))), goes_on, "{name}");
        let verdict = step.next.verdict();
        match (stands, is_lost) {
            ("approved", false) => assert_eq!(verdict, Verdict::Approved(1), "{name}"),
            ("approved" | "open", _) => assert_eq!(verdict, Verdict::InDoubt(1), "{name}"),
            _ => assert_eq!(verdict, Verdict::Running, "{name}"),
        }
    }
}

/// A request that has not left proves nothing of its repeat, which another task may have sent.
#[test]
fn what_was_sent_again_is_not_concluded_by_what_became_of_the_first() {
    let mut order = sale(Cancel::Plain);
    order.candidates.iter_mut().for_each(|at| at.replay_ms = Some(86_400_000));
    let once = in_doubt(order);
    let again = not_found(&once, &live(T0)).next;
    let replays = |payment: &Payment| payment.call(CALL).map(|call| call.replays);
    assert_eq!((replays(&once), replays(&again)), (Some(0), Some(1)));
    for outcome in [not_sent(), refused()] {
        assert_ne!(said(&once, CALL, outcome.clone()).next.verdict(), Verdict::InDoubt(1));
        assert_eq!(said(&again, CALL, outcome).next.verdict(), Verdict::InDoubt(1));
    }
    let paid = said(&again, CALL, approved(usd(100))).next;
    assert_eq!(paid.verdict(), Verdict::Approved(1));
}

/// What is given back, or taken, goes to the account that was charged, not to the one whose approval was cancelled.
#[test]
fn what_follows_goes_to_the_attempt_that_stands() {
    let in_doubt = not_found(&in_doubt(sale(Cancel::Fence)), &live(T0)).next;
    let raced = said(&in_doubt, CALL, approved(usd(100))).next;
    let second = said(&raced, VOID, done()).next;
    let paid = said(&second, CallId::Attempt(2), approved(usd(100))).next;
    assert_eq!(paid.verdict(), Verdict::Approved(2));
    let refunded = take(&paid, Input::Refund { amount: usd(40) }, &live(T0)).next;
    assert_eq!(refunded.attempt_of(CallId::Refund(1)), Some(2));
}

#[test]
fn the_last_candidate_that_was_cancelled_has_failed() {
    let order = Order {
        candidates: vec![sale(Cancel::Fence).candidates[0].clone()],
        ..sale(Cancel::Fence)
    };
    let payment = not_found(&in_doubt(order), &live(T0)).next;
    let failed = said(&payment, VOID, fenced()).next;
    let why = Some(VoidReason::InDoubt);
    assert_eq!(failed.verdict(), Verdict::Failed(Failure::Closed(1, Closure::Fenced, why)));
}

/// Where nobody waits, absence is not believed before the provider refuses what still arrives. It is believed in the
/// end, if no cancel succeeds.
#[test]
fn before_absence_it_is_cancelled() {
    let late = |more: i64| later(T0.plus_millis(WINDOW_MS + QUIET_MS + 1 + more));
    for doubt in [DoubtMode::ResolveFirst, DoubtMode::HoldSafe, DoubtMode::Stop] {
        let once = not_found(&in_doubt(Order { doubt, ..sale(Cancel::Fence) }), &late(0));
        assert!(!cancels(&once));
        let mut step = not_found(&once.next, &late(2_000));
        assert!(cancels(&step), "{doubt:?}");
        assert!(matches!(step.next.standing(1), Some(Standing::Open(_))));
        let closed = said(&step.next, VOID, fenced()).next;
        assert_eq!(closed.standing(1), Some(Standing::Closed(Closure::Fenced)), "{doubt:?}");
        // While one is on its way, absence counts as ever.
        let absent = not_found(&step.next, &late(3_000)).next;
        assert_eq!(absent.standing(1), Some(Standing::Closed(Closure::Absent)));
        for no in 1..=3 {
            let call = CallId::Void(no);
            assert!(step.effects.contains(&Effect::Call(call)), "{no}");
            let is_refused = Input::Outcome { call, outcome: refused() };
            let open = take(&step.next, is_refused, &late(2_000)).next;
            step = not_found(&open, &late(i64::from(no) * 4_000));
        }
        assert_eq!(step.next.voids.len(), 3);
        assert_eq!(step.next.standing(1), Some(Standing::Closed(Closure::Absent)), "{doubt:?}");
    }
}

/// A provider that cannot be asked, and has told nothing for an hour.
#[test]
fn what_cannot_be_asked_about_is_cancelled_after_an_hour() {
    let unasked = |cancel: Option<Cancel>| {
        let mut order = sale(Cancel::Plain);
        for at in &mut order.candidates {
            (at.cancel, at.quiet_ms) = (cancel, None);
        }
        order
    };
    let due =
        |payment: &Payment, at: Timestamp| take(payment, Input::Due { call: CALL }, &later(at));
    let hour = T0.plus_millis(HOUR_MS);
    let payment = in_doubt(unasked(Some(Cancel::Plain)));
    assert!(!cancels(&due(&payment, hour.minus(1))));
    assert!(!cancels(&due(&in_doubt(unasked(None)), hour)));
    assert!(!cancels(&due(&in_doubt(sale(Cancel::Plain)), hour)), "it is looked up");
    let step = due(&payment, hour);
    assert!(cancels(&step));
    // It says that it has the cancel, and tells later what came of it.
    let received = said(&step.next, VOID, pending()).next;
    assert!(
        !due(&received, hour.plus_millis(HOUR_MS)).effects.contains(&Effect::Call(CallId::Void(2)))
    );
    let told = Input::Finding { call: CALL, finding: Finding::Voided };
    let closed = take(&received, told, &later(hour)).next;
    let why = Some(VoidReason::InDoubt);
    assert_eq!(closed.verdict(), Verdict::Failed(Failure::Closed(1, Closure::Voided, why)));
    assert!(!closed.has_open_calls());
    // It could not be cancelled: that says nothing of what may still arrive.
    let refused = said(&received, VOID, declined(DeclinedBy::ProviderOther)).next;
    assert_eq!(refused.verdict(), Verdict::InDoubt(1));
}
