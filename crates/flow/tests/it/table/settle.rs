//! What an operator can settle by hand, and what contradicts a conclusion afterwards, row by row.

use baton_flow::failover::{Next, Stop, next};
use baton_flow::{
    Call, CallId, CallState, Contradiction, Event, Input, OrderKind, Payment, Refusal, Remedy,
    Settlement, Timer, Verdict, contradiction, remedy, step,
};
use baton_types::outcome::{Finding, Outcome};
use baton_types::{DeclinedBy, Timestamp};

use crate::given::{
    QUIET_MS, T0, WINDOW_MS, action, approved, begun, declined, done, later, live, order, pending,
    refused, take, unknown, usd,
};

const CALL: CallId = CallId::Attempt(1);

/// Later than anything can be on its way.
const LATE: Timestamp = T0.plus_millis(WINDOW_MS + QUIET_MS + 1);

fn settle(call: CallId, how: Settlement) -> Input {
    Input::Settle { call, how, by: "operator".to_owned(), reason: "they said so".to_owned() }
}

fn after(payment: &Payment, call: CallId, outcome: Outcome) -> Payment {
    take(payment, Input::Outcome { call, outcome }, &live(T0)).next
}

fn shown(call: &Call) -> String {
    match &call.state {
        CallState::Planned => "planned".to_owned(),
        CallState::Open { outcome } | CallState::Final { outcome, .. } => {
            outcome.class().to_owned()
        }
        CallState::Closed { how, .. } => format!("{how:?}").to_lowercase(),
    }
}

#[test]
fn only_what_is_in_doubt_is_settled_and_not_against_the_providers_word() {
    use Settlement::{Absent, Approved, Declined, Voided};
    #[rustfmt::skip]
    let rows = [
        (Some(unknown()), T0,   Approved, "approved"),
        (Some(unknown()), T0,   Declined, "declined"),
        (Some(unknown()), T0,   Voided,   "voided"),
        (Some(unknown()), T0,   Absent,   "it may still arrive at the provider; it is too early to call it absent"),
        (Some(unknown()), LATE, Absent,   "absent"),
        (Some(pending()), LATE, Absent,   "the provider has said that it has the request, so it is not absent"),
        (Some(action()),  LATE, Absent,   "the provider has said that it has the request, so it is not absent"),
        (Some(pending()), LATE, Declined, "declined"),
        (Some(pending()), LATE, Approved, "approved"),
        (None,            LATE, Absent,   "its request may still be on its way; wait until it is in doubt"),
        (None,            LATE, Approved, "its request may still be on its way; wait until it is in doubt"),
        (Some(approved(usd(100))),          LATE, Voided,   "the call is concluded"),
        (Some(approved(usd(100))),          LATE, Declined, "the call is concluded"),
        (Some(declined(DeclinedBy::Issuer)), LATE, Approved, "the call is concluded"),
    ];
    for (outcome, at, how, want) in rows {
        let planned = begun(order(OrderKind::Charge(usd(100))));
        let payment = outcome.clone().map_or(planned.clone(), |o| after(&planned, CALL, o));
        let what = format!("{outcome:?} {how:?}");
        match step(&payment, settle(CALL, how), &later(at)) {
            Err(refusal) => assert_eq!(refusal.to_string(), want, "{what}"),
            Ok(settled) => {
                let call = settled.next.call(CALL).unwrap();
                assert_eq!((shown(call).as_str(), call.settled), (want, Some(how)), "{what}");
                assert!(
                    matches!(&settled.events[0], Event::Settled { by, reason, .. }
                    if by == "operator" && reason == "they said so"),
                    "{what}"
                );
                assert_eq!(settled.effects, [], "{what}: it sends nothing");
                assert_eq!(settled.timers.last(), Some(&Timer::Set { call: CALL, at }), "{what}");
                assert!(!settled.next.is_unsettled(), "{what}");
            }
        }
    }
    let refusal =
        step(&begun(order(OrderKind::Tokenize)), settle(CallId::Refund(1), Voided), &later(T0));
    assert_eq!(refusal.unwrap_err(), Refusal::NoSuchCall);
}

#[test]
fn a_change_in_doubt_is_settled_too_but_never_voided() {
    let taken = after(&begun(order(OrderKind::Charge(usd(100)))), CALL, approved(usd(100)));
    let refund = take(&taken, Input::Refund { amount: usd(40) }, &live(T0)).next;
    let refund = after(&refund, CallId::Refund(1), unknown());
    let one = CallId::Refund(1);
    let voided = step(&refund, settle(one, Settlement::Voided), &later(LATE)).unwrap_err();
    assert_eq!(voided.to_string(), "only a charge or an authorization can be voided");
    for (how, refundable) in
        [(Settlement::Approved, 60), (Settlement::Declined, 100), (Settlement::Absent, 100)]
    {
        let settled = take(&refund, settle(one, how), &later(LATE)).next;
        let sums = baton_flow::amounts::of(&settled).unwrap();
        assert_eq!(sums.refundable(), usd(refundable), "{how:?}");
    }
}

#[test]
fn nobody_else_is_tried_behind_what_was_settled_by_hand() {
    for kind in [OrderKind::Charge(usd(100)), OrderKind::Authorize(usd(100))] {
        for how in [Settlement::Declined, Settlement::Voided, Settlement::Absent] {
            let mut order = order(kind);
            // Even where every decline may be retried, and within the time for it.
            order.retry_declines.issuer = true;
            order.failover_until = LATE.plus_millis(60_000);
            let doubt = after(&begun(order), CALL, unknown());
            let settled = take(&doubt, settle(CALL, how), &later(LATE)).next;
            assert_eq!(next(&settled, LATE), Next::Stop(Stop::Settled), "{kind:?} {how:?}");
            // The request's own task learns of it, and plans nothing either.
            let told = take(&settled, Input::Due { call: CALL }, &live(LATE));
            assert_eq!((told.next.attempts.len(), told.effects.len()), (1, 0), "{kind:?} {how:?}");
            assert!(matches!(told.next.verdict(), Verdict::Failed(_)), "{kind:?} {how:?}");
        }
    }
}

#[test]
fn two_attempts_are_never_settled_as_approved() {
    let mut order = order(OrderKind::Charge(usd(100)));
    order.retry_declines.provider_other = true;
    let failed = after(&begun(order), CALL, declined(DeclinedBy::ProviderOther));
    let second = after(&failed, CallId::Attempt(2), approved(usd(100)));
    let mut strange = second;
    // As two holds can stand: one approved, the other in doubt.
    strange.attempts[0].state = CallState::Open { outcome: unknown() };
    let refusal = step(&strange, settle(CALL, Settlement::Approved), &later(LATE)).unwrap_err();
    assert!(
        matches!(refusal, Refusal::CannotSettle(why) if why.starts_with("another attempt is approved"))
    );
    take(&strange, settle(CALL, Settlement::Voided), &later(LATE));
}

#[test]
fn a_contradiction_is_about_money_and_says_what_would_put_it_right() {
    let told = |outcome| Finding::Found { outcome };
    let charge = || begun(order(OrderKind::Charge(usd(100))));
    let hold = || begun(order(OrderKind::Authorize(usd(100))));
    let absent = |payment: Payment| {
        let doubt = after(&payment, CALL, unknown());
        take(&doubt, settle(CALL, Settlement::Absent), &later(LATE)).next
    };
    let ok = || after(&charge(), CALL, approved(usd(100)));
    let no = || after(&charge(), CALL, declined(DeclinedBy::Issuer));
    let twice = || {
        let failed = after(&charge(), CALL, declined(DeclinedBy::ProviderOther));
        after(&failed, CallId::Attempt(2), approved(usd(100)))
    };
    #[rustfmt::skip]
    let rows = [
        ("approved, told so",            ok(),             told(approved(usd(100))),            None),
        ("approved, told declined",      ok(),             told(declined(DeclinedBy::Issuer)),  Some((Contradiction::NotTaken, Remedy::Correct, 100))),
        ("approved, told pending",       ok(),             told(pending()),                     None),
        ("approved, told voided",        ok(),             Finding::Voided,                     None),
        ("approved, not found",          ok(),             Finding::NotFound,                   None),
        ("declined, told refused",       no(),             told(refused()),                     None),
        ("declined, told approved",      no(),             told(approved(usd(100))),            Some((Contradiction::Taken, Remedy::Refund, 100))),
        ("absent sale, told a part",     absent(charge()), told(approved(usd(30))),             Some((Contradiction::Taken, Remedy::Refund, 30))),
        ("absent hold, told approved",   absent(hold()),   told(approved(usd(100))),            Some((Contradiction::Taken, Remedy::Void, 100))),
        ("absent, told voided",          absent(charge()), Finding::Voided,                     None),
        ("first failed, second approved", twice(),         told(approved(usd(100))),            Some((Contradiction::TakenTwice, Remedy::Refund, 100))),
        ("planned",                      charge(),         told(approved(usd(100))),            None),
    ];
    for (what, payment, finding, want) in rows {
        let got = contradiction(&payment, CALL, &finding).map(|found| {
            let (proposed, amount) = remedy(&payment, CALL, found, &finding);
            (found, proposed, amount.unwrap().minor())
        });
        assert_eq!(got, want, "{what}");
    }
    // A capture, and a void, that were not what we took them for.
    let held = after(&hold(), CALL, approved(usd(100)));
    let capture = take(&held, Input::Capture { amount: usd(60) }, &live(T0)).next;
    let one = CallId::Capture(1);
    let failed = after(&capture, one, declined(DeclinedBy::Issuer));
    let finding = told(approved(usd(60)));
    assert_eq!(contradiction(&failed, one, &finding), Some(Contradiction::Done));
    let proposed = remedy(&failed, one, Contradiction::Done, &finding);
    assert_eq!(proposed, (Remedy::Refund, Some(usd(60))));
    let void = take(&held, Input::Void, &live(T0)).next;
    let voided = after(&void, CallId::Void(1), done());
    let finding = told(declined(DeclinedBy::ProviderOther));
    assert_eq!(contradiction(&voided, CallId::Void(1), &finding), Some(Contradiction::NotDone));
}
