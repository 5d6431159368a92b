//! Worlds that have to come out as they should: fixed seeds, on every day, with our policy and with others.

use baton_sim::{Day, Faults, Kit, Mode, Setup, Totals};

fn kit() -> Kit {
    Kit::new(baton_connectors::all().unwrap()).unwrap()
}

/// What broke, with the timeline of the first.
fn shown(kit: &Kit, setup: &Setup, totals: &Totals) -> String {
    let Some(first) = totals.violations.first() else { return String::new() };
    let again = baton_sim::world(kit, setup, first.seed, setup.world_size, true).unwrap();
    let about = |line: &&baton_sim::Line| line.order.is_none_or(|order| order == first.order);
    let lines: Vec<_> = again.timeline.iter().filter(about).map(ToString::to_string).collect();
    format!("{:#?}\n{}", totals.violations, lines.join("\n"))
}

#[test]
fn fixed_seeds_break_no_rule_on_any_day() {
    let kit = kit();
    for (day, seed, orders) in
        [(Day::Mild, 1, 200), (Day::Bad, 100, 600), (Day::Terrible, 200, 800)]
    {
        let setup = Setup::standard(Mode::ResolveFirst, day);
        let totals = baton_sim::worlds(&kit, &setup, seed, orders, 1, &|_| {}).unwrap();
        assert!(totals.violations.is_empty(), "{day:?}\n{}", shown(&kit, &setup, &totals));
        assert_eq!(
            (totals.orders, totals.double_charges, totals.open_losing_holds),
            (orders, 0, 0)
        );
        assert_eq!(totals.approved + totals.failed + totals.in_doubt + totals.not_taken, orders);
    }
}

/// Worlds that were broken once: a repeat that left long after it was decided, because its commit had taken that long; a capture
/// at an account whose approval had been cancelled before the next one was tried.
#[test]
fn what_was_broken_once_holds() {
    let kit = kit();
    for (mode, day, seed) in [
        (Mode::ResolveFirst, Day::Terrible, 1_000_066),
        (Mode::ResolveFirst, Day::Terrible, 1_000_461),
        (Mode::HoldSafe, Day::Terrible, 1_000_131),
        (Mode::ResolveFirst, Day::Bad, 1_000_011),
        (Mode::ResolveFirst, Day::Mild, 1_002_097),
    ] {
        let setup = Setup::standard(mode, day);
        let totals = baton_sim::worlds(&kit, &setup, seed, 200, 1, &|_| {}).unwrap();
        assert!(totals.violations.is_empty(), "{day:?} {seed}\n{}", shown(&kit, &setup, &totals));
    }
}

#[test]
fn held_safely_nothing_is_charged_twice_and_more_is_approved() {
    let kit = kit();
    let run = |mode| {
        let setup = Setup::standard(mode, Day::Terrible);
        let totals = baton_sim::worlds(&kit, &setup, 300, 400, 1, &|_| {}).unwrap();
        assert!(totals.violations.is_empty(), "{mode:?}\n{}", shown(&kit, &setup, &totals));
        assert_eq!(totals.double_charges, 0, "{mode:?}");
        totals.approvals_lost
    };
    assert!(run(Mode::HoldSafe) < run(Mode::ResolveFirst));
}

/// Adyen does a void, its answer and its webhook are lost, and every further one is refused.
#[test]
fn a_void_that_nobody_is_told_of_stays_in_doubt() {
    let kit = kit();
    for (day, seed) in [(Day::Terrible, 23), (Day::Terrible, 33)] {
        let setup = Setup::standard(Mode::HoldSafe, day);
        let totals = baton_sim::world(&kit, &setup, seed, 200, false).unwrap();
        assert!(totals.violations.is_empty(), "{day:?} {seed}\n{}", shown(&kit, &setup, &totals));
        assert!(totals.in_doubt > 0, "{totals:?}");
    }
}

#[test]
fn without_repeats_nothing_is_done_twice_either() {
    let kit = kit();
    let mut setup = Setup::standard(Mode::ResolveFirst, Day::Terrible);
    assert!(setup.replay, "as the server does by default");
    setup.replay = false;
    let totals = baton_sim::worlds(&kit, &setup, 1, 400, 1, &|_| {}).unwrap();
    assert!(totals.violations.is_empty(), "{}", shown(&kit, &setup, &totals));
}

#[test]
fn what_the_field_does_charges_twice() {
    let kit = kit();
    for mode in [Mode::Naive, Mode::OutageRetry] {
        let setup = Setup::standard(mode, Day::Terrible);
        let totals = baton_sim::worlds(&kit, &setup, 1, 200, 1, &|_| {}).unwrap();
        assert!(totals.double_charges > 0, "{mode:?} {totals:?}");
        assert!(totals.open_losing_holds > 0, "{mode:?} {totals:?}");
    }
}

#[test]
fn a_world_without_faults_is_dull() {
    let mut setup = Setup::standard(Mode::ResolveFirst, Day::Mild);
    setup.faults = Faults::none();
    let totals = baton_sim::world(&kit(), &setup, 9, 200, false).unwrap();
    assert_eq!(totals.violations, []);
    assert_eq!((totals.in_doubt, totals.approvals_lost, totals.hold_ms), (0, 0, 0));
    // Three calls at Stripe, each of up to a second.
    assert!(totals.quantile_ms(1_000) < 12_000, "{}", totals.quantile_ms(1_000));
}

#[test]
fn the_same_seed_is_the_same_world() {
    let kit = kit();
    let setup = Setup::standard(Mode::ResolveFirst, Day::Terrible);
    let run = |seed| baton_sim::world(&kit, &setup, seed, 120, true).unwrap();
    let (one, two, other) = (run(5), run(5), run(6));
    for (a, b) in one.timeline.iter().zip(&two.timeline) {
        assert_eq!(a, b);
    }
    assert_eq!(one.timeline.len(), two.timeline.len());
    assert_eq!(one.final_ms, two.final_ms);
    assert_ne!(one.timeline, other.timeline);
    // Threads change nothing but the time that it takes.
    let sums = |threads| {
        let mut totals = baton_sim::worlds(&kit, &setup, 5, 400, threads, &|_| {}).unwrap();
        totals.final_ms.sort_unstable();
        totals.final_ms
    };
    assert_eq!(sums(1), sums(2));
}

#[test]
fn a_file_says_what_is_simulated() {
    let text = r#"
        mode = "outage_retry"
        day = "bad"
        [[accounts]]
        name = "first"
        gateway = "Stripe"
        refuses = 0
        [[accounts]]
        name = "second"
        gateway = "Adyen"
        [policy]
        authorizations = 0
        [faults]
        answer_lost = 60000
    "#;
    let kit = kit();
    let setup = Setup::read(text, None, None).unwrap();
    assert_eq!(setup.check(&kit), Ok(()));
    let totals = baton_sim::world(&kit, &setup, 3, 200, false).unwrap();
    assert!(totals.double_charges > 0, "{totals:?}");
    let other = Setup::read(text, Some(Mode::ResolveFirst), Some(Day::Mild)).unwrap();
    assert_eq!((other.mode, other.faults.late), (Mode::ResolveFirst, Day::Mild.faults().late));
    for (wrong, word) in [
        ("[[accounts]]\nname = \"a\"\ngateway = \"Nobody\"", "Nobody"),
        ("[policy]\naccounts_per_order = 9", "accounts_per_order"),
        ("[faults]\nanswer_lsot = 1", "answer_lsot"),
    ] {
        let refused = Setup::read(wrong, None, None).and_then(|setup| setup.check(&kit));
        assert!(refused.clone().is_err_and(|why| why.contains(word)), "{wrong}: {refused:?}");
    }
}
