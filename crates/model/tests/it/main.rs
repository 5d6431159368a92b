//! Explores small worlds completely, and breaks each assumption in turn.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may fail, and says what it saw"
)]

use baton_model::checks::{DURABLE, NO_LOSER, NOT_AFTER_FAILED, ONE_MOVES};
use baton_model::{Fault, Kind, Mode, Report, Scope, explore};

fn small(kind: Kind) -> Scope {
    Scope::small(kind, Mode::ResolveFirst)
}

/// Explores a world in which everything holds and every interesting place is reached.
fn holds(scope: Scope) -> Report {
    let name = format!("{scope:?}");
    let report = explore(scope, &[]);
    println!("{} states, {} steps, depth {}: {name}", report.states, report.steps, report.depth);
    assert!(report.broken.is_empty(), "{name}: {:#?}", report.broken);
    assert!(report.missed.is_empty(), "{name}: not reached: {:?}", report.missed);
    report
}

#[test]
fn a_sale_is_safe_when_a_process_dies() {
    holds(small(Kind::Sale));
}

#[test]
fn a_hold_is_safe_when_a_process_dies() {
    holds(small(Kind::Hold));
}

#[test]
fn a_sale_is_safe_when_an_acknowledgement_is_lost() {
    let scope = Scope { crashes: 0, lost_acks: 1, ..small(Kind::Sale) };
    holds(Scope { failover_until: 2, calm_from: 2, ..scope });
}

#[test]
fn a_hold_is_safe_when_an_acknowledgement_is_lost() {
    holds(Scope { crashes: 0, lost_acks: 1, ..small(Kind::Hold) });
}

/// With the margin for clocks that the rule is given; `ClockAhead` shows what it is for.
#[test]
fn a_clock_that_is_off_within_the_margin_breaks_nothing() {
    let scope = Scope { crashes: 0, skew: 1, failover_until: 2, calm_from: 2, ..small(Kind::Hold) };
    let report = explore(scope, &[]);
    println!("{} states, {} steps, depth {}", report.states, report.steps, report.depth);
    assert!(report.broken.is_empty(), "{:#?}", report.broken);
    assert!(report.missed.iter().all(|place| place.contains("absent")), "{:?}", report.missed);
}

/// `hold_safe` in the smallest world in which both attempts hold. Providers never say no in it; the larger one, in
/// which they do, is explored by hand.
fn hold_safe() -> Scope {
    let scope = Scope::small(Kind::Hold, Mode::HoldSafe);
    Scope { crashes: 0, declines: false, failover_until: 1, calm_from: 1, ..scope }
}

#[test]
fn two_holds_end_as_one() {
    let report = explore(hold_safe(), &[]);
    println!("{} states, {} steps, depth {}", report.states, report.steps, report.depth);
    assert!(report.broken.is_empty(), "{:#?}", report.broken);
    assert_eq!(report.missed, ["the first wins although a second was tried"]);
}

#[test]
fn a_promise_that_is_not_durable_leaves_a_hold() {
    let report = explore(hold_safe().broken(&[Fault::ObligationNotDurable]), &[NO_LOSER]);
    let way = &report.broken[NO_LOSER];
    let row =
        format!("| `ObligationNotDurable` | hold, `hold_safe` | {NO_LOSER} | {} |", way.len());
    assert!(include_str!("../../../../docs/model.md").contains(&row), "{row} {way:#?}");
}

/// Providers that refuse what comes after a cancel by reference: it is cancelled, and the next account is asked. Such a
/// world is too large to be explored to its end here.
fn fenced(kind: Kind) -> Scope {
    let scope = Scope { crashes: 0, declines: false, ..small(kind) };
    Scope { fence: true, failover_until: 1, calm_from: 1, ..scope }
}

#[test]
fn a_fence_that_leaks_is_found() {
    let scope = fenced(Kind::Sale).broken(&[Fault::FenceLeaks]);
    let way = &explore(scope, &[ONE_MOVES]).broken[ONE_MOVES];
    let row = format!("| `FenceLeaks` | sale, `fence` | {ONE_MOVES} | {} |", way.len());
    assert!(include_str!("../../../../docs/model.md").contains(&row), "{row} {way:#?}");
}

/// Providers that cannot be asked, and perhaps never tell: a void in doubt is followed by another, and what nobody has
/// told of for an hour is cancelled.
fn unasked() -> Scope {
    Scope { askable: false, horizon: 400, ..hold_safe() }
}

#[test]
fn a_void_in_doubt_is_repeated_until_no_hold_is_left() {
    let report = explore(unasked(), &[]);
    println!("{} states, {} steps, depth {}", report.states, report.steps, report.depth);
    assert!(report.broken.is_empty(), "{:#?}", report.broken);
    assert_eq!(report.missed, ["the first wins although a second was tried"]);
}

#[test]
fn a_void_that_is_not_repeated_leaves_a_hold() {
    let report = explore(unasked().broken(&[Fault::VoidedOnce]), &[NO_LOSER]);
    let way = &report.broken[NO_LOSER];
    let row =
        format!("| `VoidedOnce` | hold, `hold_safe` `askable=0` | {NO_LOSER} | {} |", way.len());
    assert!(include_str!("../../../../docs/model.md").contains(&row), "{row} {way:#?}");
}

/// States are taken for equal that differ in what no later step can tell. That hides nothing: without it a
/// world comes to the same end, only later.
#[test]
fn what_is_forgotten_does_not_matter() {
    let tiny = Scope { crashes: 0, failover_until: 2, calm_from: 2, ..small(Kind::Sale) };
    let ends = |exact: bool| {
        let good = explore(Scope { exact, ..tiny.clone() }, &[]);
        let bad = Scope { exact, ..tiny.clone() }.broken(&[Fault::InFlightExceeded]);
        let bad = explore(bad, &[]);
        let lengths: Vec<_> = bad.broken.iter().map(|(what, way)| (*what, way.len())).collect();
        assert!(!lengths.is_empty());
        (good.states, (good.broken.len(), good.missed, lengths, bad.missed))
    };
    let ((few, same), (many, exact)) = (ends(false), ends(true));
    assert_eq!(same, exact);
    assert!(few < many, "{few} {many}");
}

/// What is broken, and what then goes wrong first. The table of `docs/model.md` has these rows.
#[test]
fn every_assumption_is_needed() {
    use Fault::{
        AbsenceForSales, ClockAhead, DatedByAnswer, DeadlineFromCommit, InFlightExceeded,
        IndexLagExceeded, LostAckIsSuccess, NoVersionGuard, SendByUnchecked, SentFromRow,
        SuspendedAfterCheck,
    };
    let document = include_str!("../../../../docs/model.md");
    let rows: [(&[Fault], Kind, &'static str); 17] = [
        (&[InFlightExceeded], Kind::Hold, ONE_MOVES),
        (&[InFlightExceeded], Kind::Sale, NOT_AFTER_FAILED),
        (&[InFlightExceeded, AbsenceForSales], Kind::Sale, ONE_MOVES),
        (&[IndexLagExceeded], Kind::Hold, ONE_MOVES),
        (&[IndexLagExceeded], Kind::Sale, NOT_AFTER_FAILED),
        (&[ClockAhead], Kind::Hold, ONE_MOVES),
        (&[ClockAhead], Kind::Sale, NOT_AFTER_FAILED),
        (&[DatedByAnswer], Kind::Sale, NOT_AFTER_FAILED),
        (&[SendByUnchecked], Kind::Hold, ONE_MOVES),
        (&[SendByUnchecked], Kind::Sale, NOT_AFTER_FAILED),
        (&[SuspendedAfterCheck], Kind::Sale, NOT_AFTER_FAILED),
        (&[DeadlineFromCommit], Kind::Sale, NOT_AFTER_FAILED),
        (&[SentFromRow], Kind::Sale, ONE_MOVES),
        (&[NoVersionGuard], Kind::Sale, DURABLE),
        (&[NoVersionGuard], Kind::Sale, NOT_AFTER_FAILED),
        (&[LostAckIsSuccess], Kind::Sale, DURABLE),
        (&[LostAckIsSuccess], Kind::Sale, NOT_AFTER_FAILED),
    ];
    let mut missing = Vec::new();
    for (faults, kind, promise) in rows {
        let acks = u8::from(faults.contains(&LostAckIsSuccess));
        let scope = Scope { crashes: 0, lost_acks: acks, ..small(kind) }.broken(faults);
        let report = explore(scope, &[promise]);
        let way = report.broken.get(promise).unwrap_or_else(|| panic!("{faults:?} {kind:?} holds"));
        let names: Vec<String> = faults.iter().map(|fault| format!("`{fault:?}`")).collect();
        let kind = format!("{kind:?}").to_lowercase();
        let row = format!("| {} | {kind} | {promise} | {} |", names.join(" "), way.len());
        println!("{row}");
        if !document.contains(&row) {
            missing.push(row);
        }
    }
    assert!(missing.is_empty(), "docs/model.md does not have:\n{}", missing.join("\n"));
}

/// The last line of defence: a sale that was found absent and is executed after all has been called failed,
/// and that is an incident; but nobody else was asked, so it is never charged twice.
#[test]
fn a_sale_is_not_charged_twice_even_by_a_provider_that_breaks_its_bounds() {
    let late = Scope { crashes: 0, ..small(Kind::Sale) }.broken(&[Fault::InFlightExceeded]);
    let report = explore(late, &[]);
    let broken: Vec<_> = report.broken.keys().copied().collect();
    assert_eq!(broken, [NO_LOSER, NOT_AFTER_FAILED]);
}
