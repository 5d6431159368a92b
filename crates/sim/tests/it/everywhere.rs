//! A node is killed at every moment of short worlds, whatever happens at the provider meanwhile.

use baton_sim::{Day, Faults, Kit, Mode, Setup, everywhere};

#[test]
fn a_crash_at_any_moment_breaks_no_rule() {
    const ALWAYS: u32 = 1_000_000;
    let kit = Kit::new(baton_connectors::all().unwrap()).unwrap();
    let none = Faults::none();
    let scenarios = [
        ("nothing else", none.clone()),
        ("the answer is lost", Faults { answer_lost: ALWAYS, ..none.clone() }),
        ("the request is lost", Faults { request_lost: ALWAYS, ..none.clone() }),
        ("it is executed late", Faults { late: ALWAYS, ..none.clone() }),
        ("503", Faults { error_before: ALWAYS, ..none.clone() }),
        ("less is approved", Faults { partial: ALWAYS, ..none.clone() }),
        ("a challenge", Faults { challenge: ALWAYS, ..none.clone() }),
        ("commits in doubt", Faults { commit_in_doubt: 300_000, ..none.clone() }),
        ("a repeat", Faults { repeated: ALWAYS, ..none.clone() }),
    ];
    // Two holds are planned for where the first is in doubt.
    let holds = [
        ("two holds, the answer is lost", Faults { answer_hangs: ALWAYS, ..none.clone() }),
        ("two holds, the request is lost", Faults { request_lost: ALWAYS, ..none.clone() }),
        ("two holds, it is executed late", Faults { late: ALWAYS, ..none.clone() }),
    ];
    let scenarios = scenarios.into_iter().map(|(name, faults)| (name, Mode::ResolveFirst, faults));
    let holds = holds.into_iter().map(|(name, faults)| (name, Mode::HoldSafe, faults));
    let mut moments = 0;
    // Two seeds in turn: each scenario is a world of its own anyway.
    for (seed, (name, mode, faults)) in (0..2).cycle().zip(scenarios.chain(holds)) {
        let mut setup = Setup::standard(mode, Day::Mild);
        setup.faults = faults.clone();
        let all = everywhere(&kit, &setup, seed, 1).unwrap();
        let lines: Vec<_> = all.totals.timeline.iter().map(ToString::to_string).collect();
        let broken = &all.totals.violations;
        assert!(
            broken.is_empty(),
            "{name}, seed {seed}, moment {:?}: {broken:#?}\n{}",
            all.first,
            lines.join("\n")
        );
        moments += all.moments;
    }
    assert!(moments > 150, "{moments}");
}
