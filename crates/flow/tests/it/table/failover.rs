//! The failover rule, row by row.

use baton_flow::failover::{Next, Stop, next};
use baton_flow::{
    CallId, CallState, Closure, DoubtMode, Event, Input, OrderKind, Payment, RetryDeclines, Timer,
    Verdict,
};
use baton_types::DeclinedBy;
use baton_types::outcome::{Finding, Outcome};

use crate::given::{
    FAILOVER_MS, T0, action, approved, begun, declined, done, later, live, new, not_sent, order,
    pending, refused, take, unknown, usd,
};

const SALE: &str = "charge";
const HOLD: &str = "authorize";
const TOKEN: &str = "tokenize";

const RESOLVE: DoubtMode = DoubtMode::ResolveFirst;
const STOP: DoubtMode = DoubtMode::Stop;

const LIST: RetryDeclines = RetryDeclines::GATEWAY_LIST;
const NONE: RetryDeclines =
    RetryDeclines { issuer: false, provider_risk: false, provider_other: false };
const ISSUER: RetryDeclines = RetryDeclines { issuer: true, ..NONE };
const RISK: RetryDeclines = RetryDeclines { provider_risk: true, ..NONE };

/// Attempts are separated by blanks, what happens to one of them by `>`. The last column but one is how
/// many milliseconds are left until `failover_until`.
#[test]
fn the_next_candidate_is_tried_only_when_no_earlier_one_can_take_money() {
    use Next::{Try, Wait};
    let stop = Next::Stop;
    #[rustfmt::skip]
    let rows = [
        // Nothing was attempted: the next one.
        (SALE,  RESOLVE, LIST,   "",                                1, Try(0)),
        (SALE,  RESOLVE, LIST,   "not_sent",                        1, Try(1)),
        (SALE,  RESOLVE, LIST,   "refused",                         1, Try(1)),
        (HOLD,  RESOLVE, LIST,   "not_sent",                        1, Try(1)),
        (HOLD,  RESOLVE, LIST,   "refused",                         1, Try(1)),
        (SALE,  STOP,    LIST,   "not_sent",                        1, Try(1)),
        (SALE,  STOP,    LIST,   "refused",                         1, Try(1)),
        (SALE,  RESOLVE, NONE,   "not_sent refused",                1, Try(2)),
        // Money can still move: nobody else is asked, however late it is.
        (SALE,  RESOLVE, LIST,   "running",                         1, Wait),
        (SALE,  RESOLVE, LIST,   "unknown",                         1, Wait),
        (SALE,  RESOLVE, LIST,   "pending",                         1, Wait),
        (SALE,  RESOLVE, LIST,   "action",                          1, Wait),
        (HOLD,  RESOLVE, LIST,   "unknown",                         1, Wait),
        (HOLD,  STOP,    LIST,   "unknown",                         1, Wait),
        (SALE,  RESOLVE, LIST,   "unknown>not_found>not_found",     1, Wait),
        (HOLD,  RESOLVE, LIST,   "unknown>not_found>not_found",     1, Wait),
        (HOLD,  RESOLVE, LIST,   "unknown>nowhere",                 1, Wait),
        (HOLD,  RESOLVE, LIST,   "nowhere>nowhere",                 1, Wait),
        (HOLD,  RESOLVE, LIST,   "pending>nowhere>nowhere",         1, Wait),
        (HOLD,  RESOLVE, LIST,   "action>nowhere>nowhere",          1, Wait),
        (HOLD,  RESOLVE, LIST,   "pending>unknown>nowhere>nowhere", 1, Wait),
        (HOLD,  RESOLVE, LIST,   "pending>not_sent",                1, Wait),
        (HOLD,  RESOLVE, LIST,   "action>refused",                  1, Wait),
        (SALE,  RESOLVE, LIST,   "refused unknown",                 1, Wait),
        (SALE,  RESOLVE, LIST,   "not_sent refused running",        0, Wait),
        // Approved.
        (SALE,  RESOLVE, LIST,   "approved",                        1, stop(Stop::Approved)),
        (HOLD,  RESOLVE, LIST,   "other approved",                  1, stop(Stop::Approved)),
        (SALE,  RESOLVE, LIST,   "unknown>approved",                1, stop(Stop::Approved)),
        (HOLD,  RESOLVE, LIST,   "approved>void",                   1, stop(Stop::Approved)),
        (HOLD,  RESOLVE, LIST,   "approved>void>void_done",         1, stop(Stop::Approved)),
        (TOKEN, RESOLVE, LIST,   "approved",                        1, stop(Stop::Approved)),
        // Declined: by whom, and what the rule says of them.
        (SALE,  RESOLVE, LIST,   "issuer",                          1, stop(Stop::Declined)),
        (SALE,  RESOLVE, LIST,   "risk",                            1, stop(Stop::Declined)),
        (SALE,  RESOLVE, LIST,   "other",                           1, Try(1)),
        (HOLD,  RESOLVE, LIST,   "issuer",                          1, stop(Stop::Declined)),
        (SALE,  RESOLVE, NONE,   "issuer",                          1, stop(Stop::Declined)),
        (SALE,  RESOLVE, NONE,   "risk",                            1, stop(Stop::Declined)),
        (SALE,  RESOLVE, NONE,   "other",                           1, stop(Stop::Declined)),
        (SALE,  RESOLVE, ISSUER, "issuer",                          1, Try(1)),
        (SALE,  RESOLVE, ISSUER, "risk",                            1, stop(Stop::Declined)),
        (SALE,  RESOLVE, ISSUER, "other",                           1, stop(Stop::Declined)),
        (SALE,  RESOLVE, RISK,   "issuer",                          1, stop(Stop::Declined)),
        (SALE,  RESOLVE, RISK,   "risk",                            1, Try(1)),
        (SALE,  RESOLVE, RISK,   "other",                           1, stop(Stop::Declined)),
        (SALE,  RESOLVE, LIST,   "other issuer",                    1, stop(Stop::Declined)),
        (TOKEN, RESOLVE, LIST,   "issuer",                          1, stop(Stop::Declined)),
        // A doubt that was resolved.
        (SALE,  RESOLVE, LIST,   "unknown>other",                   1, Try(1)),
        (SALE,  RESOLVE, LIST,   "unknown>not_sent",                1, Try(1)),
        (SALE,  RESOLVE, LIST,   "pending>other",                   1, Try(1)),
        (SALE,  RESOLVE, LIST,   "unknown>issuer",                  1, stop(Stop::Declined)),
        (SALE,  STOP,    LIST,   "unknown>other",                   1, stop(Stop::Doubt)),
        (SALE,  STOP,    LIST,   "unknown>not_sent",                1, stop(Stop::Doubt)),
        (SALE,  STOP,    LIST,   "pending>other",                   1, stop(Stop::Doubt)),
        (SALE,  STOP,    LIST,   "other",                           1, Try(1)),
        // Closed without an answer of its own.
        (SALE,  RESOLVE, LIST,   "unknown>voided",                  1, Try(1)),
        (HOLD,  RESOLVE, LIST,   "unknown>voided",                  1, Try(1)),
        (SALE,  RESOLVE, LIST,   "pending>voided",                  1, Try(1)),
        (SALE,  RESOLVE, LIST,   "action>voided",                   1, Try(1)),
        (SALE,  RESOLVE, LIST,   "fenced",                          1, Try(1)),
        (HOLD,  RESOLVE, LIST,   "fenced",                          1, Try(1)),
        (HOLD,  RESOLVE, LIST,   "unknown>nowhere>nowhere",         1, Try(1)),
        (SALE,  RESOLVE, LIST,   "unknown>nowhere>nowhere",         1, stop(Stop::AbsentSale)),
        (HOLD,  RESOLVE, LIST,   "refused unknown>nowhere>nowhere", 1, Try(2)),
        (HOLD,  STOP,    LIST,   "unknown>voided",                  1, stop(Stop::Doubt)),
        (HOLD,  STOP,    LIST,   "fenced",                          1, stop(Stop::Doubt)),
        (HOLD,  STOP,    LIST,   "unknown>nowhere>nowhere",         1, stop(Stop::Doubt)),
        // Partly approved, or a challenge without a payer: voided, and nobody else is asked.
        (SALE,  RESOLVE, LIST,   "part",                            1, stop(Stop::Approved)),
        (SALE,  RESOLVE, LIST,   "part>void_no",                    1, stop(Stop::Approved)),
        (SALE,  RESOLVE, LIST,   "part>void_done",                  1, stop(Stop::Unsuitable)),
        (HOLD,  RESOLVE, LIST,   "part>void_done",                  1, stop(Stop::Unsuitable)),
        (SALE,  RESOLVE, LIST,   "alone action",                    1, Wait),
        (SALE,  RESOLVE, LIST,   "alone action>void_done",          1, stop(Stop::Unsuitable)),
        (SALE,  RESOLVE, LIST,   "alone action>voided",             1, stop(Stop::Unsuitable)),
        (SALE,  RESOLVE, LIST,   "alone action>void_no>voided",     1, stop(Stop::Unsuitable)),
        (SALE,  RESOLVE, LIST,   "alone action>other",              1, Try(1)),
        (SALE,  RESOLVE, LIST,   "alone action>other>void_done",    1, Try(1)),
        (SALE,  RESOLVE, LIST,   "alone action>approved",           1, stop(Stop::Approved)),
        // A token moves no money: an orphan harms nobody.
        (TOKEN, RESOLVE, LIST,   "unknown",                         1, Try(1)),
        (TOKEN, RESOLVE, LIST,   "pending",                         1, Try(1)),
        (TOKEN, RESOLVE, LIST,   "action",                          1, Try(1)),
        (TOKEN, RESOLVE, LIST,   "found_pending",                   1, Try(1)),
        (TOKEN, STOP,    LIST,   "unknown",                         1, Try(1)),
        (TOKEN, RESOLVE, LIST,   "running",                         1, Wait),
        // The end of the list, and of the time.
        (SALE,  RESOLVE, LIST,   "refused refused refused",         1, stop(Stop::Exhausted)),
        (SALE,  RESOLVE, LIST,   "refused refused refused",         0, stop(Stop::Exhausted)),
        (HOLD,  RESOLVE, LIST,   "other not_sent unknown>voided",   1, stop(Stop::Exhausted)),
        (SALE,  RESOLVE, LIST,   "",                                0, stop(Stop::TooLate)),
        (SALE,  RESOLVE, LIST,   "not_sent",                        0, stop(Stop::TooLate)),
        (SALE,  RESOLVE, LIST,   "not_sent",                       -1, stop(Stop::TooLate)),
        (HOLD,  RESOLVE, LIST,   "unknown>voided",                 -1, stop(Stop::TooLate)),
        (SALE,  RESOLVE, LIST,   "issuer",                         -1, stop(Stop::Declined)),
    ];
    for (kind, doubt, rule, script, left_ms, expected) in rows {
        let row = format!("{kind} {doubt:?} {rule:?} {script:?} {left_ms}");
        let payment = played(kind, doubt, rule, script);
        let now = T0.plus_millis(FAILOVER_MS - left_ms);
        assert_eq!(next(&payment, now), expected, "{row}");
        is_obeyed(&payment, now, expected, &row);
    }
}

/// The live task plans what the rule says and nothing else; a timer plans no attempt at all.
fn is_obeyed(payment: &Payment, now: baton_types::Timestamp, rule: Next, row: &str) {
    let input = match u16::try_from(payment.attempts.len()).unwrap() {
        0 => Input::Begin,
        no => Input::Due { call: CallId::Attempt(no) },
    };
    let planned = |facts| {
        let step = take(payment, input.clone(), &facts);
        let is_attempt =
            |event: &Event| matches!(event, Event::Planned { call: CallId::Attempt(_), .. });
        assert_eq!(
            step.next.attempts.len() - payment.attempts.len(),
            step.events.iter().filter(|event| is_attempt(event)).count(),
            "{row}"
        );
        step.next.attempts.len() - payment.attempts.len()
    };
    // A token that is waited for is given up when it is due, so the next one follows.
    let gives_up = payment.order.kind == OrderKind::Tokenize && rule == Next::Wait;
    let expected = usize::from(matches!(rule, Next::Try(_)) || gives_up);
    assert_eq!(planned(live(now)), expected, "{row}");
    assert_eq!(planned(later(now)), 0, "{row}");
}

fn played(kind: &str, doubt: DoubtMode, rule: RetryDeclines, script: &str) -> Payment {
    let kind = match kind {
        SALE => OrderKind::Charge(usd(100)),
        HOLD => OrderKind::Authorize(usd(100)),
        TOKEN => OrderKind::Tokenize,
        other => panic!("no order is called {other}"),
    };
    let mut order = order(kind);
    (order.doubt, order.retry_declines) = (doubt, rule);
    order.payer_present = !script.starts_with("alone");
    let scripts: Vec<&str> = script.split_whitespace().filter(|word| *word != "alone").collect();
    if scripts.is_empty() {
        return new(order);
    }
    let mut payment = begun(order);
    for (at, script) in scripts.iter().enumerate() {
        assert_eq!(payment.attempts.len(), at + 1, "the script tries nobody for {script}");
        for word in script.split('>') {
            payment = happened(&payment, word, at + 1 < scripts.len());
        }
    }
    payment
}

/// What one word of a script does to the newest attempt.
fn happened(payment: &Payment, word: &str, is_live: bool) -> Payment {
    let newest = CallId::Attempt(u16::try_from(payment.attempts.len()).unwrap());
    let void = CallId::Void(u16::try_from(payment.voids.len()).unwrap());
    let absent_after = payment.call(newest).unwrap().absent_after.unwrap();
    let now = T0.plus_millis(1_000);
    let ended = |outcome| (Input::Outcome { call: newest, outcome }, now);
    let (input, now) = match word {
        "running" => return payment.clone(),
        "fenced" => {
            // Only a hold beside another one comes to be fenced; the rule is the same for all.
            let mut fenced = happened(payment, "unknown", false);
            let state = CallState::Closed { how: Closure::Fenced, at: now };
            fenced.attempts.last_mut().unwrap().state = state;
            return fenced;
        }
        "approved" if payment.order.kind == OrderKind::Tokenize => ended(done()),
        "approved" => ended(approved(usd(100))),
        "part" => ended(approved(usd(60))),
        "not_sent" => ended(not_sent()),
        "refused" => ended(refused()),
        "issuer" => ended(declined(DeclinedBy::Issuer)),
        "risk" => ended(declined(DeclinedBy::ProviderRisk)),
        "other" => ended(declined(DeclinedBy::ProviderOther)),
        "pending" => ended(pending()),
        "action" => ended(action()),
        "unknown" => ended(unknown()),
        "voided" => (Input::Finding { call: newest, finding: Finding::Voided }, now),
        "found_pending" => {
            let finding = Finding::Found { outcome: pending() };
            (Input::Finding { call: newest, finding }, now)
        }
        "not_found" => (Input::Finding { call: newest, finding: Finding::NotFound }, absent_after),
        "nowhere" => {
            let finding = Finding::NotFound;
            (Input::Finding { call: newest, finding }, absent_after.plus_millis(1))
        }
        "void" => (Input::Void, now),
        "void_done" => (Input::Outcome { call: void, outcome: done() }, now),
        "void_no" => {
            let outcome: Outcome = declined(DeclinedBy::ProviderOther);
            (Input::Outcome { call: void, outcome }, now)
        }
        other => panic!("nothing is called {other}"),
    };
    take(payment, input, &if is_live { live(now) } else { later(now) }).next
}

/// What a resolver concludes, the request's own task may still follow up: nobody is told "failed" before
/// that is over, and then it is over for all.
#[test]
fn failed_is_told_when_nobody_can_try_another() {
    let first = CallId::Attempt(1);
    let doubt = Input::Outcome { call: first, outcome: unknown() };
    let payment = take(&begun(order(OrderKind::Charge(usd(100)))), doubt, &live(T0)).next;
    let found = Finding::Found { outcome: declined(DeclinedBy::ProviderOther) };
    let heard = Input::Finding { call: first, finding: found };
    let step = take(&payment, heard, &later(T0.plus_millis(1)));
    assert_eq!(step.next.verdict(), Verdict::Running);
    let until = T0.plus_millis(FAILOVER_MS);
    assert_eq!(step.timers.last(), Some(&Timer::Set { call: first, at: until }));

    // Its own task is there: the next one.
    let due = Input::Due { call: first };
    let tried = take(&step.next, due.clone(), &live(T0.plus_millis(2))).next;
    assert_eq!(tried.attempts.len(), 2);
    // It is not: the payment has failed, also for a task whose clock is behind.
    let failed = take(&step.next, due.clone(), &later(until)).next;
    assert!(matches!(failed.verdict(), Verdict::Failed(_)));
    let late = take(&failed, due, &live(T0.plus_millis(2))).next;
    assert!(matches!(late.verdict(), Verdict::Failed(_)));
    assert_eq!(late.attempts.len(), 1);
}
