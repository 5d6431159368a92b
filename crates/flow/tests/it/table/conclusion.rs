//! What opens, concludes and closes a call, row by row.

use baton_flow::{
    CallId, CallState, Closure, Effect, Failure, Input, OrderKind, Payment, Refusal, Timer,
    Verdict, VoidReason, step,
};
use baton_types::outcome::{Finding, Outcome};
use baton_types::{DeclinedBy, Timestamp};

use crate::given::{
    QUIET_MS, T0, WINDOW_MS, action, approved, begun, declined, done, eur, later, live, not_sent,
    order, pending, refused, take, unknown, usd,
};

const CALL: CallId = CallId::Attempt(1);

/// Later than anything can be on its way.
const LATE: Timestamp = T0.plus_millis(WINDOW_MS + QUIET_MS + 1);

/// The columns: how the call stands, what comes in, how it stands then, what becomes of its timer, and
/// whether it is looked up at once.
#[test]
fn evidence_concludes_a_call_and_nothing_reopens_it() {
    #[rustfmt::skip]
    let rows = [
        ("planned",      "approved",       "approved",     "clear", ""),
        ("planned",      "part",           "approved",     "clear", "void"),
        ("planned",      "nothing",        "approved",     "clear", "void"),
        ("planned",      "declined",       "declined",     "clear", ""),
        ("planned",      "refused",        "refused",      "clear", ""),
        ("planned",      "not_sent",       "not_sent",     "clear", ""),
        ("planned",      "pending",        "pending",      "set",   "look up"),
        ("planned",      "action",         "action",       "set",   "look up"),
        ("planned",      "unknown",        "unknown",      "set",   "look up"),
        ("planned",      "due",            "unknown",      "set",   "look up"),
        // An approval that cannot be true.
        ("planned",      "too_much",       "unknown",      "set",   "look up"),
        ("planned",      "negative",       "unknown",      "set",   "look up"),
        ("planned",      "absurd",         "unknown",      "set",   "look up"),
        ("planned",      "euros",          "unknown",      "set",   "look up"),
        ("planned",      "amountless",     "unknown",      "set",   "look up"),
        ("unknown",      "too_much",       "unknown",      "set",   ""),
        ("pending",      "euros",          "pending",      "set",   ""),
        // A planned call waits for its owner, whatever a look-up does not show.
        ("planned",      "not_found",      "planned",      "",      ""),
        ("planned",      "nowhere",        "planned",      "",      ""),
        ("planned",      "inconclusive",   "planned",      "",      ""),
        ("planned",      "found approved", "approved",     "clear", ""),
        ("planned",      "found declined", "declined",     "clear", ""),
        ("planned",      "found pending",  "pending",      "set",   ""),
        ("planned",      "found action",   "action",       "set",   ""),
        ("planned",      "found unknown",  "unknown",      "set",   ""),
        ("planned",      "voided",         "voided",       "clear", ""),
        // An open call takes any better knowledge.
        ("unknown",      "approved",       "approved",     "clear", ""),
        ("unknown",      "declined",       "declined",     "clear", ""),
        ("unknown",      "refused",        "refused",      "clear", ""),
        ("unknown",      "not_sent",       "not_sent",     "clear", ""),
        ("unknown",      "pending",        "pending",      "set",   ""),
        ("unknown",      "action",         "action",       "set",   ""),
        ("unknown",      "unknown",        "unknown",      "set",   ""),
        ("unknown",      "due",            "unknown",      "set",   "look up"),
        ("unknown",      "found approved", "approved",     "clear", ""),
        ("unknown",      "found too_much", "unknown",      "set",   ""),
        ("unknown",      "found declined", "declined",     "clear", ""),
        ("unknown",      "found refused",  "refused",      "clear", ""),
        ("unknown",      "found pending",  "pending",      "set",   ""),
        ("unknown",      "found action",   "action",       "set",   ""),
        ("unknown",      "found unknown",  "unknown",      "set",   ""),
        ("unknown",      "voided",         "voided",       "clear", ""),
        ("unknown",      "not_found",      "unknown",      "set",   ""),
        ("unknown",      "nowhere",        "unknown",      "set",   ""),
        ("unknown",      "inconclusive",   "unknown",      "set",   ""),
        // Two look-ups that find nothing, both late enough.
        ("unknown late", "nowhere",        "absent",       "clear", ""),
        ("unknown late", "inconclusive",   "unknown",      "set",   ""),
        ("unknown late", "not_found",      "unknown",      "set",   ""),
        ("unknown early", "nowhere",       "unknown",      "set",   ""),
        ("pending late", "nowhere",        "pending",      "set",   ""),
        ("action late",  "nowhere",        "action",       "set",   ""),
        ("planned late", "nowhere",        "planned",      "",      ""),
        // What the provider has said is not unsaid by not knowing, nor by what contradicts it.
        ("pending",      "unknown",        "pending",      "set",   ""),
        ("pending",      "found unknown",  "pending",      "set",   ""),
        ("pending",      "not_sent",       "pending",      "set",   ""),
        ("pending",      "refused",        "pending",      "set",   ""),
        ("pending",      "action",         "action",       "set",   ""),
        ("pending",      "approved",       "approved",     "clear", ""),
        ("pending",      "declined",       "declined",     "clear", ""),
        ("pending",      "voided",         "voided",       "clear", ""),
        ("pending",      "due",            "pending",      "set",   "look up"),
        ("action",       "unknown",        "action",       "set",   ""),
        ("action",       "not_sent",       "action",       "set",   ""),
        ("action",       "found refused",  "action",       "set",   ""),
        ("action",       "pending",        "pending",      "set",   ""),
        ("action",       "approved",       "approved",     "clear", ""),
        ("action",       "declined",       "declined",     "clear", ""),
        ("action",       "voided",         "voided",       "clear", ""),
        // A timer that was late to be cleared does nothing.
        ("approved",     "due",            "approved",     "clear", ""),
        ("declined",     "due",            "declined",     "clear", ""),
        ("voided",       "due",            "voided",       "clear", ""),
        ("absent",       "due",            "absent",       "clear", ""),
    ];
    for (from, input, to, timer, effect) in rows {
        let row = format!("{from} + {input}");
        let (payment, now) = (standing(from), now(input));
        let step = take(&payment, happening(input), &later(now));
        assert_eq!(label(&step.next), to, "{row}");
        let timers: Vec<&str> = step.timers.iter().filter_map(timer_word).collect();
        assert_eq!(timers.join(" "), timer, "{row}");
        let effects: &[Effect] = match effect {
            "look up" => &[Effect::LookUp(CALL)],
            "void" => &[Effect::Call(CallId::Void(1))],
            _ => &[],
        };
        assert_eq!(step.effects, effects, "{row}");
        assert_eq!(step.events.is_empty(), input == "due" && from != "planned", "{row}");
        assert_eq!(
            step.next.attempts[0].template.is_none(),
            step.next.attempts[0].is_concluded(),
            "{row}"
        );
    }
}

#[test]
fn what_comes_for_a_concluded_call_is_refused() {
    for from in ["approved", "declined", "refused", "not_sent", "voided", "absent"] {
        for input in [
            "approved",
            "part",
            "declined",
            "refused",
            "not_sent",
            "pending",
            "action",
            "unknown",
            "found approved",
            "found declined",
            "found pending",
            "voided",
            "not_found",
            "nowhere",
            "inconclusive",
        ] {
            for facts in [live(now(input)), later(now(input))] {
                let refusal = step(&standing(from), happening(input), &facts);
                assert_eq!(refusal.map(|_| ()), Err(Refusal::Concluded), "{from} + {input}");
            }
        }
    }
    for call in ["a2", "c1", "v1", "r1"].map(|id| id.parse().unwrap()) {
        let payment = standing("approved");
        for input in [
            Input::Outcome { call, outcome: unknown() },
            Input::Finding { call, finding: Finding::NotFound },
            Input::Due { call },
        ] {
            assert_eq!(step(&payment, input, &later(T0)).map(|_| ()), Err(Refusal::NoSuchCall));
        }
    }
    let again = step(&standing("approved"), Input::Begin, &live(T0));
    assert_eq!(again.map(|_| ()), Err(Refusal::AlreadyBegun));
}

#[test]
fn a_look_up_that_says_voided_says_nothing_of_a_void_or_a_capture() {
    let approved = standing("approved");
    for (operation, call) in
        [(Input::Void, CallId::Void(1)), (Input::Capture { amount: usd(10) }, CallId::Capture(1))]
    {
        let planned = take(&approved, operation, &later(T0)).next;
        let outcome = Input::Outcome { call, outcome: unknown() };
        let open = take(&planned, outcome, &later(T0)).next;
        let finding = Input::Finding { call, finding: Finding::Voided };
        let asked = take(&open, finding, &later(T0));
        assert!(!asked.next.call(call).unwrap().is_concluded(), "{call}");
        assert!(matches!(&asked.timers[..], [Timer::Set { call: set, .. }] if *set == call));
    }
}

#[test]
fn look_ups_follow_the_schedule_however_often_someone_else_asks() {
    let mut payment = standing("unknown");
    let mut due = Vec::new();
    for _ in 0..8 {
        let at = payment.attempts[0].next_check(payment.updated_at);
        // Looked up on read, just before: that does not use up a step of the schedule.
        let finding = Input::Finding { call: CALL, finding: Finding::Inconclusive };
        payment = take(&payment, finding, &later(at.minus(1))).next;
        payment = take(&payment, Input::Due { call: CALL }, &later(at)).next;
        due.push(at.since(T0) / 1_000);
    }
    assert_eq!(due, [2, 10, 30, 120, 600, 3_600, 90_000, 176_400]);
    // Behind a negative answer the next is asked as soon as it can count, and not sooner.
    let early = take(&standing("unknown"), happening("not_found"), &later(T0.plus_millis(4_000)));
    assert_eq!(early.timers, [Timer::Set { call: CALL, at: T0.plus_millis(10_000) }]);
    let near = take(&standing("unknown"), happening("not_found"), &later(T0.plus_millis(16_000)));
    assert_eq!(near.timers, [Timer::Set { call: CALL, at: LATE }]);
    let first = take(&standing("unknown"), happening("nowhere"), &later(LATE));
    assert_eq!(first.timers, [Timer::Set { call: CALL, at: LATE.plus_millis(2_000) }]);
}

#[test]
fn a_look_up_that_was_not_made_is_no_step_of_the_schedule() {
    let now = T0.plus_millis(31_000);
    let ms = |ms: i64| now.plus_millis(ms);
    // Scheduled at 120 s.
    let rows = [(ms(5_000), ms(5_000)), (ms(500_000), ms(500_000)), (T0, ms(1))];
    for (until, at) in rows {
        let put_off = take(&standing("unknown"), Input::Unasked { call: CALL, until }, &later(now));
        assert_eq!(put_off.timers, [Timer::Set { call: CALL, at }], "until {until}");
        assert!(put_off.events.is_empty() && put_off.effects.is_empty());
        assert_eq!(put_off.next.attempts, standing("unknown").attempts);
    }
    let concluded = standing("declined");
    let refused = step(&concluded, Input::Unasked { call: CALL, until: now }, &later(now));
    assert_eq!(refused.unwrap_err(), Refusal::Concluded);
}

#[test]
fn of_many_checks_the_first_and_the_latest_are_kept() {
    let at = |no: i64| T0.plus_millis(no * 86_400_000);
    let finding = Input::Finding { call: CALL, finding: Finding::Inconclusive };
    let payment = (1..=50).fold(standing("unknown"), |payment, no| {
        take(&payment, finding.clone(), &later(at(no))).next
    });
    let kept = payment.attempts[0].checks.iter().map(|check| check.at);
    assert!(kept.eq((1..=20).chain(31..=50).map(at)));
}

#[test]
fn timers_wait_for_the_owner_and_for_the_live_task() {
    let planned = begun(order(OrderKind::Charge(usd(100))));
    let call = &planned.attempts[0];
    assert_eq!(
        (call.send_by, call.absent_after),
        (T0.plus_millis(5_000), Some(T0.plus_millis(17_000)))
    );
    let begun = take(&crate::given::new(planned.order.clone()), Input::Begin, &live(T0));
    assert_eq!(begun.timers, [Timer::Set { call: CALL, at: T0.plus_millis(105_000) }]);
    // The live task looks up by itself until the next candidate would be too late.
    let open = take(&planned, happening("unknown"), &live(T0));
    assert_eq!(open.timers, [Timer::Set { call: CALL, at: planned.order.failover_until }]);
    let open = take(&planned, happening("unknown"), &later(T0));
    assert_eq!(open.timers, [Timer::Set { call: CALL, at: T0.plus_millis(2_000) }]);
}

#[test]
fn a_partial_approval_is_voided_and_tried_again_for_longer_than_a_hold_lasts() {
    let mut payment = standing("planned");
    let step = take(&payment, happening("part"), &later(T0));
    assert_eq!(step.effects, [Effect::Call(CallId::Void(1))]);
    payment = step.next;
    let mut waits = Vec::new();
    for no in 1..=40 {
        assert_eq!(payment.voids.len(), usize::from(no));
        assert_eq!((payment.verdict(), payment.status()), (Verdict::InDoubt(1), "in_doubt"));
        let now = payment.updated_at;
        let failed = Input::Outcome { call: CallId::Void(no), outcome: not_sent() };
        let step = take(&payment, failed, &later(now));
        if no == 40 {
            assert_eq!(step.timers, [Timer::Clear { call: CallId::Void(40) }]);
            break;
        }
        let [Timer::Clear { .. }, Timer::Set { call: CALL, at }] = step.timers[..] else {
            panic!("{:?}", step.timers)
        };
        assert_eq!(step.effects, []);
        let early = take(&step.next, Input::Due { call: CALL }, &later(at.minus(1)));
        assert_eq!(early.timers, [Timer::Clear { call: CALL }, Timer::Set { call: CALL, at }]);
        let due = take(&step.next, Input::Due { call: CALL }, &later(at));
        assert_eq!(due.effects, [Effect::Call(CallId::Void(no + 1))]);
        assert_eq!(due.next.voids[usize::from(no)].why, VoidReason::PartialApproval);
        waits.push(at.since(now) / 1_000);
        payment = due.next;
    }
    assert_eq!(waits[..8], [2, 8, 20, 90, 480, 3_000, 86_400, 86_400]);
    assert!(waits.iter().sum::<i64>() > 31 * 86_400);
    let late = Input::Outcome { call: CallId::Void(40), outcome: done() };
    let closed = take(&payment, late, &later(payment.updated_at)).next;
    assert_eq!(
        closed.verdict(),
        Verdict::Failed(Failure::Closed(1, Closure::Voided, Some(VoidReason::PartialApproval)))
    );
}

#[test]
fn a_challenge_without_a_payer_is_cancelled_and_success_is_told_only_when_that_failed() {
    let mut order = order(OrderKind::Charge(usd(100)));
    order.payer_present = false;
    let step = take(&begun(order), happening("action"), &live(T0));
    let void = CallId::Void(1);
    assert_eq!(step.effects, [Effect::Call(void), Effect::LookUp(CALL)]);
    let answer = |payment: &Payment, outcome: Outcome| {
        take(payment, Input::Outcome { call: void, outcome }, &live(T0)).next
    };
    // The payer was faster than the cancel, so far.
    let raced = take(&step.next, happening("approved"), &live(T0)).next;
    assert_eq!((raced.verdict(), raced.status()), (Verdict::InDoubt(1), "in_doubt"));
    assert_eq!(answer(&raced, unknown()).verdict(), Verdict::InDoubt(1));
    assert_eq!(answer(&raced, declined(DeclinedBy::ProviderOther)).verdict(), Verdict::Approved(1));
    let why = Some(VoidReason::ActionRequired);
    let voided = Verdict::Failed(Failure::Closed(1, Closure::Voided, why));
    assert_eq!(answer(&raced, done()).verdict(), voided);
    assert_eq!(answer(&step.next, done()).verdict(), voided);
    assert_eq!(answer(&step.next, done()).attempts.len(), 1);
    // The look-up saw the cancel before its answer came.
    assert_eq!(take(&step.next, happening("voided"), &live(T0)).next.verdict(), voided);
    // A decline stays a decline, and the next candidate may follow.
    let declined = take(&step.next, happening("declined"), &live(T0)).next;
    let declined = answer(&declined, done());
    assert!(matches!(
        declined.verdict(),
        Verdict::Failed(Failure::Attempt(1, Outcome::Declined { .. }))
    ));
}

/// An authorization of 1.00 USD whose one attempt stands so.
fn standing(word: &str) -> Payment {
    let mut order = order(OrderKind::Authorize(usd(100)));
    order.candidates.truncate(1);
    let mut payment = begun(order);
    payment.attach_template(CALL, "{}".to_owned(), true);
    let inputs: &[(&str, Timestamp)] = match word {
        "planned" => &[],
        "voided" => &[("unknown", T0), ("voided", T0)],
        "absent" => &[("unknown", T0), ("nowhere", LATE), ("nowhere", LATE)],
        "unknown early" => &[("unknown", T0), ("not_found", T0)],
        "unknown late" => &[("unknown", T0), ("nowhere", LATE)],
        "pending late" => &[("pending", T0), ("nowhere", LATE)],
        "action late" => &[("action", T0), ("nowhere", LATE)],
        "planned late" => &[("nowhere", LATE)],
        outcome => &[(outcome, T0)],
    };
    for (input, at) in inputs {
        payment = take(&payment, happening(input), &later(*at)).next;
    }
    payment
}

fn now(input: &str) -> Timestamp {
    // `not_found` comes at the last moment that does not count.
    if input == "nowhere" { LATE } else { LATE.minus(1) }
}

fn happening(word: &str) -> Input {
    if let Some(outcome) = word.strip_prefix("found ") {
        return Input::Finding {
            call: CALL,
            finding: Finding::Found { outcome: outcome_of(outcome) },
        };
    }
    let finding = match word {
        "due" => return Input::Due { call: CALL },
        "voided" => Finding::Voided,
        "not_found" | "nowhere" => Finding::NotFound,
        "inconclusive" => Finding::Inconclusive,
        outcome => return Input::Outcome { call: CALL, outcome: outcome_of(outcome) },
    };
    Input::Finding { call: CALL, finding }
}

fn outcome_of(word: &str) -> Outcome {
    match word {
        "approved" => approved(usd(100)),
        "part" => approved(usd(60)),
        "nothing" => approved(usd(0)),
        "too_much" => approved(usd(101)),
        "negative" => approved(usd(-1)),
        "absurd" => approved(usd(i64::MAX)),
        "euros" => approved(eur(100)),
        "amountless" => done(),
        "declined" => declined(DeclinedBy::Issuer),
        "refused" => refused(),
        "not_sent" => not_sent(),
        "pending" => pending(),
        "action" => action(),
        "unknown" => unknown(),
        other => panic!("no outcome is called {other}"),
    }
}

fn label(payment: &Payment) -> &'static str {
    match &payment.attempts[0].state {
        CallState::Planned => "planned",
        CallState::Open { outcome: Outcome::ActionRequired { .. } } => "action",
        CallState::Open { outcome } | CallState::Final { outcome, .. } => outcome.class(),
        CallState::Closed { how: Closure::Voided, .. } => "voided",
        CallState::Closed { how: Closure::Fenced, .. } => "fenced",
        CallState::Closed { how: Closure::Absent, .. } => "absent",
    }
}

/// A change to the attempt's timer; a void has its own.
fn timer_word(timer: &Timer) -> Option<&'static str> {
    match timer {
        Timer::Set { call, .. } => (*call == CALL).then_some("set"),
        Timer::Clear { call } => (*call == CALL).then_some("clear"),
    }
}
