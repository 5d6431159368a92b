//! What of a provider's own payment is imported, and what may be done with it then.

use baton_flow::{Event, ImportFault, Input, OrderKind, Refusal, amounts, import, snapshot, step};
use baton_types::{Currency, Foreign, ForeignPart, Money};

use crate::given::{T0, eur, live, new, order, usd};

fn parts(amounts: &[Money]) -> Vec<ForeignPart> {
    let part = |(no, amount): (usize, &Money)| ForeignPart {
        reference: Some(format!("part-{no}")),
        amount: *amount,
    };
    amounts.iter().enumerate().map(part).collect()
}

fn foreign(sale: bool, captures: &[Money], voided: bool, refunds: &[Money]) -> Foreign {
    Foreign {
        reference: "pi_1".to_owned(),
        sale,
        authorized: usd(100),
        captures: parts(captures),
        voided,
        refunds: parts(refunds),
    }
}

fn taken_over(foreign: &Foreign) -> Result<baton_flow::Step, ImportFault> {
    let like = new(order(OrderKind::Charge(usd(1))));
    let candidate = like.order.candidates[0].clone();
    import((like.id, like.merchant), candidate, true, foreign, &live(T0))
}

#[test]
fn an_imported_payment_goes_on_where_the_provider_has_it() {
    let capture = |minor| Input::Capture { amount: usd(minor) };
    let refund = |minor| Input::Refund { amount: usd(minor) };
    let too_much = |minor| Err(Refusal::TooMuch { available: usd(minor) });
    #[rustfmt::skip]
    let rows = [
        (foreign(false, &[], false, &[]),                          "authorized",         capture(100), Ok(())),
        (foreign(false, &[], false, &[]),                          "authorized",         capture(101), too_much(100)),
        (foreign(false, &[], false, &[]),                          "authorized",         Input::Void,  Ok(())),
        (foreign(false, &[], false, &[]),                          "authorized",         refund(1),    too_much(0)),
        (foreign(false, &[], true, &[]),                           "voided",             Input::Void,  Err(Refusal::AlreadyVoided)),
        (foreign(false, &[], true, &[]),                           "voided",             capture(1),   Err(Refusal::AlreadyVoided)),
        (foreign(false, &[usd(60)], false, &[]),                   "partially_captured", capture(40),  Ok(())),
        (foreign(false, &[usd(60)], false, &[]),                   "partially_captured", capture(41),  too_much(40)),
        (foreign(false, &[usd(60)], false, &[]),                   "partially_captured", Input::Void,  Err(Refusal::AlreadyCaptured)),
        (foreign(false, &[usd(60), usd(40)], false, &[usd(30)]),   "partially_refunded", refund(70),   Ok(())),
        (foreign(false, &[usd(60), usd(40)], false, &[usd(30)]),   "partially_refunded", refund(71),   too_much(70)),
        (foreign(true, &[], false, &[]),                           "captured",           refund(100),  Ok(())),
        (foreign(true, &[], false, &[usd(30), usd(70)]),           "refunded",           refund(1),    too_much(0)),
        (foreign(true, &[], false, &[]),                           "captured",           capture(1),   Err(Refusal::NothingToCapture)),
        (foreign(true, &[], false, &[usd(1)]),                     "partially_refunded", Input::Void,  Err(Refusal::AlreadyRefunded)),
        (foreign(true, &[], true, &[]),                            "voided",             refund(1),    Err(Refusal::AlreadyVoided)),
    ];
    for (told, status, input, want) in rows {
        let made = taken_over(&told).unwrap();
        assert_eq!(made.next.status(), status, "{told:?}");
        assert_eq!((made.next.version, made.next.has_open_calls()), (0, false), "{told:?}");
        assert!(made.timers.is_empty() && made.effects.is_empty(), "nothing follows: {told:?}");
        assert!(made.next.order.imported && made.next.order.test);
        let text = snapshot::encode(&made.next).unwrap();
        assert_eq!(snapshot::decode(snapshot::SCHEMA, &text).as_ref(), Ok(&made.next));
        let got = step(&made.next, input.clone(), &live(T0)).map(|_| ());
        assert_eq!(got, want, "{told:?} {input:?}");
    }
}

#[test]
fn every_call_of_an_imported_payment_is_on_record() {
    let told = foreign(false, &[usd(60), usd(40)], false, &[usd(30)]);
    let made = taken_over(&told).unwrap();
    let sums = amounts::of(&made.next).unwrap();
    assert_eq!((sums.authorized, sums.captured, sums.refunded), (usd(100), usd(100), usd(30)));
    let seen: Vec<String> = made
        .events
        .iter()
        .map(|event| {
            if let Event::Concluded { call, outcome } = event {
                let reference = outcome.answer().and_then(|answer| answer.reference.clone());
                format!("{call} {}", reference.unwrap_or_default())
            } else {
                assert!(matches!(event, Event::Opened { .. }), "{event:?}");
                "opened".to_owned()
            }
        })
        .collect();
    assert_eq!(seen, ["opened", "a1 pi_1", "c1 part-0", "c2 part-1", "r1 part-0"]);
}

#[test]
fn what_does_not_hold_together_is_not_imported() {
    let gold = Money::new(100, Currency::parse("XAU").unwrap());
    let of = |authorized| Foreign { authorized, ..foreign(false, &[], false, &[]) };
    let many = vec![usd(1); 501];
    let rows = [
        (Foreign { reference: " ".to_owned(), ..of(usd(100)) }, ImportFault::NoReference),
        (of(gold), ImportFault::NoMinorUnit),
        (of(usd(0)), ImportFault::NotPositive),
        (of(usd(-1)), ImportFault::NotPositive),
        (foreign(false, &[eur(1)], false, &[]), ImportFault::Currencies),
        (foreign(true, &[], false, &[eur(1)]), ImportFault::Currencies),
        (foreign(false, &[usd(0)], false, &[]), ImportFault::NotPositive),
        (foreign(false, &[usd(100)], false, &[usd(-1)]), ImportFault::NotPositive),
        (foreign(false, &[usd(60), usd(41)], false, &[]), ImportFault::TooMuch),
        (foreign(false, &[usd(60)], false, &[usd(61)]), ImportFault::TooMuch),
        (foreign(false, &[], false, &[usd(1)]), ImportFault::TooMuch),
        (foreign(true, &[], false, &[usd(101)]), ImportFault::TooMuch),
        (foreign(false, &[usd(i64::MAX), usd(1)], false, &[]), ImportFault::TooMuch),
        (foreign(true, &[usd(100)], false, &[]), ImportFault::Contradiction),
        (foreign(false, &[usd(100)], true, &[]), ImportFault::Contradiction),
        (foreign(true, &[], true, &[usd(1)]), ImportFault::Contradiction),
        (foreign(false, &many, false, &[]), ImportFault::TooMany),
    ];
    for (told, want) in rows {
        assert_eq!(taken_over(&told).map(|_| ()), Err(want), "{told:?}");
    }
}
