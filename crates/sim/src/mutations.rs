//! Bugs on purpose, and how many orders it takes until the simulator has found each.

use baton_flow::mutation;

use crate::faults::Day;
use crate::kit::Kit;
use crate::run;
use crate::setup::Setup;
use crate::summary::{Mode, Rule, Violation};

/// A bug that the design rules out.
#[derive(Clone, Copy, Debug)]
pub struct Mutation {
    /// Its name, as the code asks for it.
    pub name: &'static str,
    /// What is wrong.
    pub what: &'static str,
    /// Within how many orders it has to be found.
    pub within: u64,
    /// The rule that has to be broken, where providers that break their word would break others anyway.
    pub by: Option<Rule>,
    /// The policy under which it shows.
    pub mode: Mode,
    /// So many worlds are passed over, where few show it and those are late.
    pub skip: u64,
}

const fn bug(name: &'static str, what: &'static str, within: u64) -> Mutation {
    Mutation { name, what, within, by: None, mode: Mode::ResolveFirst, skip: 0 }
}

const fn bug_of_holds(name: &'static str, what: &'static str, within: u64) -> Mutation {
    Mutation { name, what, within, by: None, mode: Mode::HoldSafe, skip: 0 }
}

/// Every bug that can be put in.
pub const MUTATIONS: [Mutation; 26] = [
    bug("fail_over_on_a_lost_answer", "a lost answer counts as a failure", 2_000),
    bug("unknown_is_failed", "what is not known is called failed", 2_000),
    Mutation {
        name: "an_absent_sale_is_over",
        what: "a sale that two look-ups did not find is tried elsewhere",
        within: 2_000,
        by: Some(Rule::OneCapture),
        mode: Mode::ResolveFirst,
        skip: 0,
    },
    bug(
        "absence_counts_from_the_plan",
        "absence counts from the plan, not from its last moment",
        20_000,
    ),
    bug("fail_over_at_any_time", "the next account is tried however late it is", 20_000),
    bug("forget_the_void", "what must not keep its hold is not voided", 2_000),
    bug("capture_while_a_void_is_in_doubt", "a capture does not wait for a void in doubt", 20_000),
    bug("raise_beside_what_is_open", "a hold is raised beside a call that is on its way", 20_000),
    bug("one_reference_for_all_calls", "all calls of a payment share reference and key", 2_000),
    bug("no_timer_for_a_plan", "nobody is to look after a plan whose owner has gone", 2_000),
    bug(
        "decide_on_what_was_read_before",
        "amounts are checked outside the guard of the commit",
        20_000,
    ),
    bug("outbox_by_cursor", "the outbox is read by a cursor", 2_000),
    bug("in_doubt_is_committed", "a commit whose acknowledgement was lost counts as done", 20_000),
    bug(
        "send_before_it_is_durable",
        "a plan that could not be stored is sent all the same",
        20_000,
    ),
    bug("claim_no_key", "the idempotency key is not claimed with the plan", 2_000),
    bug("send_after_the_deadline", "the first byte may leave after send_by", 20_000),
    bug("restart_a_call_from_its_row", "a stored call is sent again", 20_000),
    bug("a_fresh_key_on_retry", "what is sent again has a key of its own", 20_000),
    bug("replay_after_the_key_is_gone", "it is sent again where no key is kept for it", 20_000),
    bug(
        "a_repeat_that_is_refused_is_a_refusal",
        "a duplicate that is turned away counts as a failure",
        20_000,
    ),
    bug_of_holds(
        "forget_the_obligation",
        "what another hold was planned beside is not voided",
        2_000,
    ),
    bug_of_holds("leave_a_void_in_doubt", "a void in doubt is followed by no other", 2_000),
    bug(
        "fail_over_beside_a_cancel",
        "the next account does not wait for a cancel's answer",
        20_000,
    ),
    bug("a_cancel_that_is_refused_closes", "a cancel that was not done counts as done", 2_000),
    Mutation {
        skip: 560,
        ..bug("approve_beside_a_cancel", "success is told while a cancel is on its way", 2_000)
    },
    bug("store_the_card", "the card number goes into the snapshot", 2_000),
];

/// How a bug was found.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// The bug.
    pub mutation: Mutation,
    /// Orders until then.
    pub orders: u64,
    /// What broke; nothing if it was not found within the limit.
    pub found: Option<Violation>,
}

/// Runs worlds with one bug in, from this seed on, until one breaks a rule or the bug's limit is reached.
///
/// One hunt at a time: the bug is in for all threads.
///
/// # Errors
/// The setup cannot be simulated.
pub fn hunt(kit: &Kit, mutation: Mutation, seed: u64) -> Result<Hunt, String> {
    let mut setup = Setup::standard(mutation.mode, Day::Terrible);
    setup.world_size = 100;
    if mutation.by.is_some() {
        // It shows where a provider breaks its word about how late it executes, and nothing else goes wrong.
        setup.faults = Day::Mild.faults();
        setup.faults.beyond_bound = 200_000;
    }
    mutation::choose(Some(mutation.name));
    let result = search(kit, &setup, mutation, seed);
    mutation::choose(None);
    result
}

fn search(kit: &Kit, setup: &Setup, mutation: Mutation, seed: u64) -> Result<Hunt, String> {
    let first = seed.wrapping_add(mutation.skip);
    let mut orders = 0_u64;
    while orders < mutation.within {
        let number = orders.checked_div(setup.world_size).unwrap_or(0);
        let totals = run::world(kit, setup, first.wrapping_add(number), setup.world_size, false)?;
        orders = orders.saturating_add(setup.world_size);
        let counts = |found: &Violation| mutation.by.is_none_or(|rule| rule == found.rule);
        if let Some(found) = totals.violations.into_iter().find(counts) {
            return Ok(Hunt { mutation, orders, found: Some(found) });
        }
    }
    Ok(Hunt { mutation, orders, found: None })
}
