//! What may be captured, voided and refunded, row by row.

use baton_flow::{CallId, Effect, Event, Input, OrderKind, Payment, Refusal, Timer, amounts, step};
use baton_types::outcome::{Finding, Outcome};
use baton_types::{DeclinedBy, Money};

use crate::given::{
    T0, action, approved, begun, declined, done, eur, later, new, not_sent, order, pending, take,
    unknown, usd,
};

/// A situation is an order of 1.00 USD and what happened since: `a=ok` answers the newest attempt, `c60`
/// captures 0.60, `c=?` leaves that capture in doubt, `v` voids, `r40` refunds 0.40, and so on.
#[test]
fn captures_voids_and_refunds_take_only_what_is_there_for_certain() {
    let capture = |minor| Input::Capture { amount: usd(minor) };
    let refund = |minor| Input::Refund { amount: usd(minor) };
    let euros = |minor| Input::Capture { amount: eur(minor) };
    let raise = |minor| Input::Increment { amount: usd(minor) };
    let not_more = |minor| Err(Refusal::NotMore { held: usd(minor) });
    let void = || Input::Void;
    let too_much = |minor| Err(Refusal::TooMuch { available: usd(minor) });
    let in_doubt = |call: &str| Err(Refusal::InDoubt(call.parse().unwrap()));
    let expected = usd(0).currency();
    let nothing = || Err(Refusal::NothingApproved);
    let uncapturable = || Err(Refusal::NothingToCapture);
    let captured = || Err(Refusal::AlreadyCaptured);
    let voided = || Err(Refusal::AlreadyVoided);
    #[rustfmt::skip]
    let rows = [
        // Amounts.
        ("auth a=ok",                      capture(100),      Ok(())),
        ("auth a=ok",                      capture(1),        Ok(())),
        ("auth a=ok",                      capture(101),      too_much(100)),
        ("auth a=ok",                      capture(i64::MAX), too_much(100)),
        ("auth a=ok",                      capture(0),        Err(Refusal::NotPositive)),
        ("auth a=ok",                      capture(-1),       Err(Refusal::NotPositive)),
        ("auth a=ok",                      capture(i64::MIN), Err(Refusal::NotPositive)),
        ("auth a=ok",                      euros(50),         Err(Refusal::WrongCurrency { expected })),
        ("charge a=ok",                    refund(0),         Err(Refusal::NotPositive)),
        ("charge a=ok",                    refund(-100),      Err(Refusal::NotPositive)),
        ("charge a=ok",                    refund(i64::MAX),  too_much(100)),
        ("charge a=ok",                    Input::Refund { amount: eur(50) },
                                                              Err(Refusal::WrongCurrency { expected })),
        // Captures: what is confirmed and what is in doubt both count.
        ("auth a=ok c60 c=ok",             capture(40),       Ok(())),
        ("auth a=ok c60 c=ok",             capture(41),       too_much(40)),
        ("auth a=ok c60",                  capture(41),       too_much(40)),
        ("auth a=ok c60 c=?",              capture(40),       Ok(())),
        ("auth a=ok c60 c=?",              capture(41),       too_much(40)),
        ("auth a=ok c60 c=..",             capture(100),      too_much(40)),
        ("auth a=ok c60 c=20",             capture(80),       Ok(())),
        ("auth a=ok c60 c=20",             capture(81),       too_much(80)),
        ("auth a=ok c60 c=no",             capture(100),      Ok(())),
        ("auth a=ok c60 c=unsent",         capture(100),      Ok(())),
        ("auth a=ok c60 c=? c=absent",     capture(100),      Ok(())),
        ("auth a=ok c100 c=ok",            capture(1),        too_much(0)),
        ("auth a=ok c50 c=? c50",          capture(1),        too_much(0)),
        ("auth a=ok c50 c=ok r50 r=ok",    capture(51),       too_much(50)),
        // Raises: to more than is held, before anything is captured, and one at a time.
        ("auth a=ok",                      raise(150),        Ok(())),
        ("auth a=ok",                      raise(100),        not_more(100)),
        ("auth a=ok",                      raise(-1),         not_more(100)),
        ("auth a=ok",                      Input::Increment { amount: eur(150) },
                                                              Err(Refusal::WrongCurrency { expected })),
        ("auth a=ok i150 i=ok",            raise(150),        not_more(150)),
        ("auth a=ok i150 i=ok",            raise(151),        Ok(())),
        ("auth a=ok i150 i=ok",            capture(150),      Ok(())),
        ("auth a=ok i150 i=ok",            capture(151),      too_much(150)),
        ("auth a=ok i150 i=ok i170 i=no",  capture(151),      too_much(150)),
        ("auth a=ok i150 i=no",            capture(101),      too_much(100)),
        ("auth a=ok i150 i=? i=absent",    capture(101),      too_much(100)),
        ("auth a=ok i150 i=? i=absent",    capture(100),      Ok(())),
        ("auth a=ok i150",                 capture(100),      in_doubt("i1")),
        ("auth a=ok i150 i=?",             capture(1),        in_doubt("i1")),
        ("auth a=ok i150 i=..",            raise(200),        in_doubt("i1")),
        ("auth a=ok i150 i=?",             void(),            in_doubt("i1")),
        ("auth a=ok i150 i=ok",            void(),            Ok(())),
        ("auth a=ok c60",                  raise(150),        in_doubt("c1")),
        ("auth a=ok c60 c=ok",             raise(150),        captured()),
        ("auth a=ok c60 c=no",             raise(150),        Ok(())),
        ("auth a=ok v v=done",             raise(150),        voided()),
        ("auth a=ok v",                    raise(150),        in_doubt("v1")),
        ("auth a=no",                      raise(150),        nothing()),
        ("auth a=?",                       raise(150),        in_doubt("a1")),
        ("auth fixed a=ok",                raise(150),        Err(Refusal::CannotIncrement)),
        ("charge a=ok",                    raise(150),        uncapturable()),
        ("token a=done",                   raise(150),        uncapturable()),
        // Captures: of what.
        ("charge a=ok",                    capture(1),        uncapturable()),
        ("token a=done",                   capture(1),        uncapturable()),
        ("auth new",                       capture(1),        nothing()),
        ("auth",                           capture(1),        in_doubt("a1")),
        ("auth a=?",                       capture(1),        in_doubt("a1")),
        ("auth a=action",                  capture(1),        in_doubt("a1")),
        ("auth a=no",                      capture(1),        nothing()),
        ("auth a=other a=?",               capture(1),        in_doubt("a2")),
        ("auth a=other a=ok",              capture(100),      Ok(())),
        ("auth a=? a=voided",              capture(1),        in_doubt("a2")),
        ("auth a=part",                    capture(60),       in_doubt("a1")),
        ("auth a=part v=done",             capture(60),       nothing()),
        // Captures and voids keep apart.
        ("auth a=ok v",                    capture(1),        in_doubt("v1")),
        ("auth a=ok v v=?",                capture(1),        in_doubt("v1")),
        ("auth a=ok v v=..",               capture(1),        in_doubt("v1")),
        ("auth a=ok v v=no",               capture(1),        Ok(())),
        ("auth a=ok v v=? v=absent",       capture(1),        Ok(())),
        ("auth a=ok v v=done",             capture(1),        voided()),
        ("auth a=ok c60",                  void(),            in_doubt("c1")),
        ("auth a=ok c60 c=?",              void(),            in_doubt("c1")),
        ("auth a=ok c60 c=no",             void(),            Ok(())),
        ("auth a=ok c60 c=ok",             void(),            captured()),
        ("auth a=ok c60 c=0",              void(),            captured()),
        // Voids.
        ("auth a=ok",                      void(),            Ok(())),
        ("charge a=ok",                    void(),            Ok(())),
        ("token a=done",                   void(),            nothing()),
        ("auth a=?",                       void(),            in_doubt("a1")),
        ("auth a=no",                      void(),            nothing()),
        ("auth a=part",                    void(),            in_doubt("a1")),
        ("auth a=ok v",                    void(),            in_doubt("v1")),
        ("auth a=ok v v=no",               void(),            Ok(())),
        ("auth a=ok v v=done",             void(),            voided()),
        // A challenge that waits for its payer can be given up; nothing else that is in doubt can.
        ("auth a=action",                  void(),            Ok(())),
        ("charge a=action",                void(),            Ok(())),
        ("charge a=action v",              void(),            in_doubt("v1")),
        ("charge a=action v v=no",         void(),            Ok(())),
        ("charge a=action v v=done",       void(),            nothing()),
        ("charge a=action v a=ok",         refund(1),         in_doubt("v1")),
        ("charge a=action v a=ok v=no",    refund(1),         Ok(())),
        ("charge a=action v a=ok v=done",  refund(1),         voided()),
        ("charge a=..",                    void(),            in_doubt("a1")),
        ("alone charge a=action",          void(),            in_doubt("a1")),
        ("charge a=ok r40",                void(),            in_doubt("r1")),
        ("charge a=ok r40 r=?",            void(),            in_doubt("r1")),
        ("charge a=ok r40 r=ok",           void(),            Err(Refusal::AlreadyRefunded)),
        ("charge a=ok r40 r=no",           void(),            Ok(())),
        // A void that is owed for a challenge, when the payer was faster.
        ("alone auth a=action a=ok",       capture(1),        in_doubt("a1")),
        ("alone auth a=action a=ok v=no",  capture(1),        Ok(())),
        ("alone auth a=action a=ok v=done", capture(1),       nothing()),
        ("alone auth a=action a=other a=ok", capture(1),      Ok(())),
        ("alone auth a=action a=other a=ok", void(),          Ok(())),
        ("alone charge a=action a=other a=ok", refund(100),   Ok(())),
        // Refunds: only what is captured for certain, less what is refunded or may be.
        ("charge a=ok",                    refund(100),       Ok(())),
        ("charge a=ok",                    refund(101),       too_much(100)),
        ("charge a=ok r40",                refund(61),        too_much(60)),
        ("charge a=ok r40 r=?",            refund(60),        Ok(())),
        ("charge a=ok r40 r=?",            refund(61),        too_much(60)),
        ("charge a=ok r40 r=? r60",        refund(1),         too_much(0)),
        ("charge a=ok r40 r=ok",           refund(61),        too_much(60)),
        ("charge a=ok r40 r=no",           refund(100),       Ok(())),
        ("charge a=ok r40 r=10",           refund(91),        too_much(90)),
        ("charge a=ok r100 r=ok",          refund(1),         too_much(0)),
        ("auth a=ok",                      refund(1),         too_much(0)),
        ("auth a=ok c60",                  refund(1),         too_much(0)),
        ("auth a=ok c60 c=?",              refund(1),         too_much(0)),
        ("auth a=ok c60 c=ok",             refund(61),        too_much(60)),
        ("auth a=ok c60 c=ok c40 c=?",     refund(61),        too_much(60)),
        ("auth a=ok c60 c=20",             refund(21),        too_much(20)),
        ("charge a=ok v",                  refund(1),         in_doubt("v1")),
        ("charge a=ok v v=?",              refund(1),         in_doubt("v1")),
        ("charge a=ok v v=done",           refund(1),         voided()),
        ("charge a=?",                     refund(1),         in_doubt("a1")),
        ("charge a=part",                  refund(1),         in_doubt("a1")),
        ("charge a=no",                    refund(1),         nothing()),
        ("token a=done",                   refund(1),         nothing()),
    ];
    for (situation, operation, expected) in rows {
        let row = format!("{situation} | {operation:?}");
        let payment = situated(situation);
        let result = step(&payment, operation.clone(), &later(T0.plus_millis(60_000)));
        assert_eq!(result.as_ref().map(|_| ()), expected.as_ref().copied(), "{row}");
        if let Ok(step) = result {
            is_planned(&payment, &operation, &step, &row);
        }
    }
}

/// One call more, with its amount, its timer and its effect.
fn is_planned(before: &Payment, operation: &Input, step: &baton_flow::Step, row: &str) {
    assert_eq!(step.next.calls().count(), before.calls().count() + 1, "{row}");
    let [Event::Planned { call, amount, .. }] = &step.events[..] else {
        panic!("{row}: {:?}", step.events)
    };
    let asked: Option<Money> = if let Input::Capture { amount }
    | Input::Refund { amount }
    | Input::Increment { amount } = operation
    {
        Some(*amount)
    } else {
        None
    };
    assert_eq!((*amount, step.next.amount_of(*call)), (asked, asked), "{row}");
    assert_eq!(step.effects, [Effect::Call(*call)], "{row}");
    assert!(matches!(&step.timers[..], [Timer::Set { call: set, .. }] if set == call), "{row}");
    let acted_on = before.awaited().or(before.approved().map(|(no, _)| no));
    assert_eq!(step.next.attempt_of(*call), acted_on, "{row}");
}

#[test]
fn a_payment_has_at_most_so_many_captures_and_refunds() {
    let order = order(OrderKind::Authorize(usd(1_000_000)));
    let answered = Input::Outcome { call: CallId::Attempt(1), outcome: approved(usd(1_000_000)) };
    let mut payment = take(&begun(order), answered, &later(T0)).next;
    for no in 1..=500 {
        payment = take(&payment, Input::Capture { amount: usd(1) }, &later(T0)).next;
        let outcome = approved(usd(1));
        payment =
            take(&payment, Input::Outcome { call: CallId::Capture(no), outcome }, &later(T0)).next;
        payment = take(&payment, Input::Refund { amount: usd(1) }, &later(T0)).next;
    }
    let refused = |input| step(&payment, input, &later(T0)).unwrap_err();
    assert_eq!(refused(Input::Capture { amount: usd(1) }), Refusal::TooMany);
    let sums = amounts::of(&payment).unwrap();
    assert_eq!((sums.captured, sums.refunds_in_doubt), (usd(500), usd(500)));
    assert_eq!((sums.capturable(), sums.refundable()), (usd(999_500), usd(0)));
    let outcome = declined(DeclinedBy::ProviderOther);
    let call = CallId::Refund(500);
    let freed = take(&payment, Input::Outcome { call, outcome }, &later(T0)).next;
    let again = step(&freed, Input::Refund { amount: usd(1) }, &later(T0)).unwrap_err();
    assert_eq!(again, Refusal::TooMany);
}

fn situated(situation: &str) -> Payment {
    let mut words = situation.split_whitespace().peekable();
    let is_alone = words.next_if_eq(&"alone").is_some();
    let mut order = order(match words.next() {
        Some("auth") => OrderKind::Authorize(usd(100)),
        Some("charge") => OrderKind::Charge(usd(100)),
        Some("token") => OrderKind::Tokenize,
        other => panic!("no order is called {other:?}"),
    });
    order.payer_present = !is_alone;
    let cannot = words.next_if_eq(&"fixed").is_some();
    order.candidates.iter_mut().for_each(|candidate| candidate.increments = !cannot);
    if words.next_if_eq(&"new").is_some() {
        return new(order);
    }
    words.fold(begun(order), |payment, word| match word.split_once('=') {
        None => take(&payment, operation(word), &later(T0)).next,
        Some((kind, result)) => answered(&payment, kind, result),
    })
}

fn operation(word: &str) -> Input {
    let amount = |digits: &str| usd(digits.parse().unwrap());
    match word.split_at(1) {
        ("c", digits) => Input::Capture { amount: amount(digits) },
        ("r", digits) => Input::Refund { amount: amount(digits) },
        ("i", digits) => Input::Increment { amount: amount(digits) },
        ("v", "") => Input::Void,
        _ => panic!("no operation is called {word}"),
    }
}

/// What becomes of the newest call of a kind.
fn answered(payment: &Payment, kind: &str, result: &str) -> Payment {
    let ids = payment.calls().map(|(id, _)| id);
    let call = ids.filter(|id| id.to_string().starts_with(kind)).last().unwrap();
    let outcome = |outcome: Outcome| Input::Outcome { call, outcome };
    let input = match result {
        "ok" => outcome(approved(payment.amount_of(call).unwrap())),
        "part" => outcome(approved(usd(60))),
        "done" => outcome(done()),
        "no" => outcome(declined(DeclinedBy::Issuer)),
        "other" => outcome(declined(DeclinedBy::ProviderOther)),
        "unsent" => outcome(not_sent()),
        "?" => outcome(unknown()),
        ".." => outcome(pending()),
        "action" => outcome(action()),
        "voided" => Input::Finding { call, finding: Finding::Voided },
        "absent" => {
            let now = payment.call(call).unwrap().absent_after.unwrap().plus_millis(1);
            let input = Input::Finding { call, finding: Finding::NotFound };
            let once = take(payment, input.clone(), &later(now)).next;
            return take(&once, input, &later(now)).next;
        }
        digits => outcome(approved(usd(digits.parse().unwrap()))),
    };
    // Attempts are answered to the live task, so that the next one follows.
    take(payment, input, &crate::given::live(T0)).next
}
