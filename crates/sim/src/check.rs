//! What has to be true of a world that has come to rest, and what a run counts.
//!
//! Three sets of books are compared: the providers', ours, and what the clients were told.

use std::collections::{BTreeMap, BTreeSet};

use baton_flow::{
    Call, CallId, CallState, Event, Payment, Standing, Verdict, VoidReason, amounts, snapshot,
};
use baton_store::{PaymentQuery, Store as _};
use baton_types::Timestamp;
use baton_types::outcome::Outcome;

use crate::client::{Record, Told};
use crate::provider::Dialect;
use crate::provider::books::{Decline, Paid, Verdict as Made};
use crate::summary::{Rule, Totals, Violation};
use crate::world::World;

/// How many violations of a rule a world reports at most: they have one cause, mostly.
const REPORTED: usize = 5;

/// A payment at a provider, with its place.
struct There {
    provider: usize,
    paid: Paid,
}

struct Check<'a> {
    world: &'a World,
    seed: u64,
    totals: Totals,
    /// What providers have, by order.
    there: BTreeMap<u64, Vec<There>>,
    /// What we have, by order.
    ours: BTreeMap<u64, Vec<Payment>>,
}

/// Compares and counts.
pub(crate) async fn world(world: &World, seed: u64) -> Totals {
    let mut check = Check {
        world,
        seed,
        totals: Totals::default(),
        there: BTreeMap::new(),
        ours: BTreeMap::new(),
    };
    check.totals.worlds = 1;
    check.read_providers();
    if let Err(why) = check.read_store().await {
        check.breaks(Rule::BooksAgree, 0, why);
    }
    let records = world.records().clone();
    for record in &records {
        check.order(record);
    }
    if world.database.is_exhausted() {
        check.breaks(Rule::Concludes, 0, "the nodes commit without end".to_owned());
    }
    if let Some(what) = world.database.secret() {
        check.breaks(Rule::NoSecretStored, 0, what);
    }
    check.totals
}

impl Check<'_> {
    fn breaks(&mut self, rule: Rule, order: u64, what: String) {
        // Of a policy that is known to be wrong, only the sums are of interest.
        let known = self.totals.violations.iter().filter(|known| known.rule == rule).count();
        if self.world.mode.is_hasty() || known >= REPORTED {
            return;
        }
        self.totals.violations.push(Violation { rule, seed: self.seed, order, what });
    }

    fn read_providers(&mut self) {
        let bank = self.world.bank();
        for provider in 0..bank.len() {
            let Some(books) = bank.books(provider) else { continue };
            for paid in &books.payments {
                let there = There { provider, paid: paid.clone() };
                self.there.entry(paid.order).or_default().push(there);
            }
            let calls = books.payments.len().saturating_add(books.changes.len());
            let calls = u64::try_from(calls).unwrap_or(0);
            self.totals.provider_calls = self.totals.provider_calls.saturating_add(calls);
        }
    }

    async fn read_store(&mut self) -> Result<(), String> {
        let query = PaymentQuery {
            merchant: self.world.caller().merchant,
            test: true,
            from: Timestamp::from_millis(0),
            to: Timestamp::from_millis(i64::MAX),
            after: None,
            account: None,
            kinds: Vec::new(),
            statuses: Vec::new(),
            merchant_ref: None,
            limit: u32::MAX,
        };
        let rows = self.world.database.memory.payments(&query).await;
        for row in rows.map_err(|error| error.to_string())? {
            let payment = snapshot::decode(row.schema, &row.snapshot).map_err(|e| e.to_string())?;
            let order = payment.order.merchant_ref.as_deref();
            let order = order.and_then(|text| text.strip_prefix("order-")?.parse().ok());
            if !self.world.published.has_all(payment.id, payment.version) {
                let what = format!(
                    "{}: of {} events some were not published",
                    payment.id, payment.version
                );
                self.breaks(Rule::EventsPublished, order.unwrap_or(0), what);
            }
            self.in_turn(order.unwrap_or(0), &payment).await?;
            self.ours.entry(order.unwrap_or(0)).or_default().push(payment);
        }
        Ok(())
    }

    /// Captures and voids were planned in turn, by the order of their events: clocks may have jumped.
    async fn in_turn(&mut self, order: u64, payment: &Payment) -> Result<(), String> {
        if payment.captures.is_empty() || payment.voids.is_empty() {
            return Ok(());
        }
        let rows = self.world.database.memory.events(payment.merchant, payment.id).await;
        let mut open: BTreeSet<CallId> = BTreeSet::new();
        for row in rows.map_err(|error| error.to_string())? {
            let events: Vec<Event> = serde_json::from_str(&row.body).map_err(|e| e.to_string())?;
            for event in events {
                match event {
                    Event::Planned { call, .. } => {
                        let of = payment.attempt_of(call);
                        let same = |other: &&CallId| payment.attempt_of(**other) == of;
                        let other = open.iter().filter(same).find(|other| overtakes(call, **other));
                        if let Some(other) = other {
                            let what = format!(
                                "{}: {call} was planned while {other} was in doubt",
                                payment.id
                            );
                            self.breaks(Rule::OneAtATime, order, what);
                        }
                        open.insert(call);
                    }
                    Event::Concluded { call, .. } | Event::Closed { call, .. } => {
                        open.remove(&call);
                    }
                    Event::Opened { .. }
                    | Event::InDoubt { .. }
                    | Event::Obliged { .. }
                    | Event::Evidence { .. }
                    | Event::Settled { .. }
                    | Event::Contradicted { .. }
                    | Event::Checked { .. } => {}
                }
            }
        }
        Ok(())
    }

    fn order(&mut self, record: &Record) {
        let order = record.order;
        let ours = self.ours.remove(&order).unwrap_or_default();
        let there = self.there.remove(&order).unwrap_or_default();
        self.totals.orders = self.totals.orders.saturating_add(1);
        self.money(order, &ours, &there);
        self.ends(record, &ours);
        self.told(record, &ours, &there);
        self.one_key(record, &ours);
        for payment in &ours {
            self.agrees(order, payment, &there);
            self.concludes(order, payment);
            self.in_time(order, payment, &there);
        }
        // Money at a provider that no attempt of ours stands for.
        let known: BTreeSet<&str> = ours
            .iter()
            .flat_map(|p| p.attempts.iter().map(|call| call.reference.as_str()))
            .collect();
        for there in &there {
            if !known.contains(there.paid.reference.as_str()) {
                let name = self.world.provider_name(there.provider);
                let what = format!("{name} has {}, which we know nothing of", there.paid.reference);
                self.breaks(Rule::BooksAgree, order, what);
            }
        }
    }

    /// Captures, refunds and holds, as the providers have them.
    fn money(&mut self, order: u64, ours: &[Payment], there: &[There]) {
        let taken: Vec<&There> = there.iter().filter(|there| there.paid.taken() > 0).collect();
        let sum: i64 = taken.iter().map(|there| there.paid.taken()).sum();
        // What the order is about, or the most that its hold was to be raised to.
        let raises = ours.iter().flat_map(|payment| &payment.increments);
        let asked = crate::client::amount(self.world, order).into_iter();
        let amount = asked.chain(raises.map(|raise| raise.amount.minor())).max().unwrap_or(0);
        if taken.len() > 1 || sum > amount {
            self.totals.double_charges = self.totals.double_charges.saturating_add(1);
            let names: Vec<_> = taken
                .iter()
                .map(|t| format!("{} {}", self.world.provider_name(t.provider), t.paid.taken()))
                .collect();
            self.breaks(
                Rule::OneCapture,
                order,
                format!("of {amount} was taken: {}", names.join(", ")),
            );
        }
        for there in there {
            let paid = &there.paid;
            if paid.refunded > paid.captured {
                let what = format!("{} of {} was refunded", paid.refunded, paid.captured);
                self.breaks(Rule::RefundsWithinCaptures, order, what);
            }
            if let Some(held_ms) = paid.held_ms
                && !wins(ours, paid)
                && !paid.sale
            {
                let end = paid.freed_ms.unwrap_or_else(|| self.world.time.now_ms());
                let held = u64::try_from(end.saturating_sub(held_ms)).unwrap_or(0);
                self.totals.hold_ms = self.totals.hold_ms.saturating_add(held);
                if paid.is_live() && paid.captured == 0 {
                    self.totals.open_losing_holds = self.totals.open_losing_holds.saturating_add(1);
                    let name = self.world.provider_name(there.provider);
                    let what = format!("{name} holds {} for {}", paid.authorized, paid.reference);
                    self.breaks(Rule::NoLosingHold, order, what);
                }
            }
        }
    }

    /// How the order ended, and when.
    fn ends(&mut self, record: &Record, ours: &[Payment]) {
        let approved = ours.iter().find(|p| matches!(p.verdict(), Verdict::Approved(_)));
        let open =
            ours.iter().any(|p| matches!(p.verdict(), Verdict::InDoubt(_) | Verdict::Running));
        let last = ours.iter().max_by_key(|payment| payment.created_at);
        let count = match (approved, open, last) {
            (Some(_), _, _) => &mut self.totals.approved,
            (None, true, _) => &mut self.totals.in_doubt,
            (None, false, Some(_)) => &mut self.totals.failed,
            (None, false, None) => &mut self.totals.not_taken,
        };
        *count = count.saturating_add(1);
        if approved.is_none() && self.approvable(record) {
            self.totals.approvals_lost = self.totals.approvals_lost.saturating_add(1);
        }
        if let Some(payment) = approved.or(last).filter(|_| approved.is_some() || !open) {
            let ended = concluded_ms(payment).saturating_sub(record.started_ms).max(0);
            self.totals.final_ms.push(u32::try_from(ended).unwrap_or(u32::MAX));
        }
    }

    /// Whether some account of the order would have approved it, had nothing gone wrong.
    fn approvable(&self, record: &Record) -> bool {
        let amount = self.amount_of(record);
        let bank = self.world.bank();
        for place in &record.accounts {
            match amount.and_then(|amount| bank.verdict(*place, amount)) {
                Some(Made::Approve) => return true,
                // The list ends here: what comes behind is not asked.
                Some(Made::Decline(Decline::Issuer | Decline::Risk)) => return false,
                Some(
                    Made::Decline(Decline::Provider)
                    | Made::Partial(_)
                    | Made::Pending { .. }
                    | Made::Challenge,
                )
                | None => {}
            }
        }
        false
    }

    fn amount_of(&self, record: &Record) -> Option<i64> {
        crate::client::amount(self.world, record.order)
    }

    /// What was told stays true.
    fn told(&mut self, record: &Record, ours: &[Payment], there: &[There]) {
        for (at_ms, told, id) in &record.told {
            let Some(payment) = ours.iter().find(|payment| payment.id == *id) else {
                self.breaks(
                    Rule::AnswersStand,
                    record.order,
                    format!("{id} was told of and is not stored"),
                );
                continue;
            };
            let stands = match (told, payment.verdict()) {
                (Told::Approved, Verdict::Approved(_)) | (Told::Failed, Verdict::Failed(_)) => true,
                (Told::InDoubt, _) => true,
                (Told::Approved | Told::Failed, _) => false,
            };
            if !stands {
                let what =
                    format!("{id} was called {told:?} at {at_ms} and is {:?}", payment.verdict());
                self.breaks(Rule::AnswersStand, record.order, what);
            }
            let of_it = |there: &&There| {
                payment.attempts.iter().any(|a| a.reference == there.paid.reference)
            };
            if *told == Told::Failed
                && let Some(there) =
                    there.iter().filter(of_it).find(|t| t.paid.is_live() || t.paid.is_open())
            {
                let what = format!(
                    "{id} was called failed, and {} stands {:?}",
                    there.paid.reference, there.paid.state
                );
                self.breaks(Rule::FailedIsFinal, record.order, what);
            }
        }
    }

    /// Under one key there is one payment, but for those of which nothing was attempted.
    fn one_key(&mut self, record: &Record, ours: &[Payment]) {
        let attempted = |payment: &&Payment| {
            payment.attempts.iter().any(|call| {
                !matches!(
                    call.state,
                    CallState::Final {
                        outcome: Outcome::NotSent { .. } | Outcome::Refused { .. },
                        ..
                    }
                )
            })
        };
        let count = ours.iter().filter(attempted).count();
        if count > 1 {
            let what = format!("{count} payments were attempted under one key");
            self.breaks(Rule::OneKeyOnePayment, record.order, what);
        }
    }

    /// Our books and the providers' say the same of a payment.
    fn agrees(&mut self, order: u64, payment: &Payment, there: &[There]) {
        for (no, call) in (1_u16..).zip(&payment.attempts) {
            let at: Vec<&There> =
                there.iter().filter(|t| t.paid.reference == call.reference).collect();
            let live = at.iter().filter(|there| there.paid.is_live()).count();
            let id = payment.id;
            // What is in doubt at the end is reported as such.
            let in_doubt = payment.voids.iter().any(|v| v.attempt == no && !v.call.is_concluded());
            let wrong = match payment.standing(no) {
                _ if in_doubt => None,
                Some(Standing::Approved(_)) if is_voided_untold(payment, no, &at) => None,
                Some(Standing::Approved(_)) if live != 1 => {
                    Some(format!("attempt {no} of {id} is approved here, and {live} times there"))
                }
                Some(Standing::Failed(outcome)) if live > 0 => Some(format!(
                    "attempt {no} of {id} is {} here, and stands there",
                    outcome.class()
                )),
                Some(Standing::Closed(how)) if live > 0 => {
                    Some(format!("attempt {no} of {id} is closed ({how:?}) here, and stands there"))
                }
                _ => None,
            };
            if let Some(what) = wrong {
                self.breaks(Rule::BooksAgree, order, what);
            }
        }
        let Some((approved, _)) = payment.approved() else { return };
        let reference = payment.call(CallId::Attempt(approved)).map(|call| call.reference.clone());
        let at = there
            .iter()
            .find(|t| Some(&t.paid.reference) == reference.as_ref() && t.paid.is_live());
        let (Some(at), Some(sums)) = (at, amounts::of(payment)) else { return };
        // What is in doubt at the end is reported as such; whatever else there is has to agree.
        if payment.has_open_calls() {
            return;
        }
        let (captured, refunded) = (sums.captured.minor(), sums.refunded.minor());
        let held = sums.authorized.minor();
        if !payment.increments.is_empty() && held != at.paid.authorized {
            let there = at.paid.authorized;
            let what = format!("{}: {held} is held here, and {there} there", payment.id);
            self.breaks(Rule::BooksAgree, order, what);
        }
        if (captured, refunded) != (at.paid.taken(), at.paid.refunded) {
            let what = format!(
                "{}: captured {captured} and refunded {refunded} here, {} and {} there",
                payment.id,
                at.paid.taken(),
                at.paid.refunded
            );
            self.breaks(Rule::BooksAgree, order, what);
        }
    }

    /// Nothing is left open at a provider that answers.
    fn concludes(&mut self, order: u64, payment: &Payment) {
        for (id, call) in payment.calls().filter(|(_, call)| !call.is_concluded()) {
            let account = payment.attempt_of(id).and_then(|no| payment.candidate(no));
            let place = account.and_then(|candidate| self.world.provider_of(candidate.account));
            let bank = self.world.bank();
            let dialect = place.and_then(|place| bank.traits(place)).map(|traits| traits.dialect);
            drop(bank);
            // Adyen's cannot be looked up: a webhook that never comes is what the rule excepts. So is a payer
            // who was there and never came back: the provider answers, and knows no more.
            let left_by_payer =
                matches!(&call.state, CallState::Open { outcome: Outcome::ActionRequired { .. } })
                    && payment.order.payer_present;
            if dialect != Some(Dialect::Adyen) && !left_by_payer {
                let what = format!("{id} of {} is still {:?}", payment.id, call.state);
                self.breaks(Rule::Concludes, order, what);
            }
        }
    }

    /// No later attempt leaves after the payment's time for that is over.
    fn in_time(&mut self, order: u64, payment: &Payment, there: &[There]) {
        let window_ms = self.world.setup.failover_window_ms;
        // Planned before the end, sent within the window for that, and carried out within the bound.
        let send_ms = 5_000_i64;
        for call in payment.attempts.iter().skip(1) {
            let late =
                call.planned_at.since(payment.created_at) > window_ms.saturating_add(send_ms);
            let arrived = there.iter().any(|there| there.paid.reference == call.reference);
            // A clock that jumped has no say in this.
            if late
                && arrived
                && self.world.faults.clock_jump == 0
                && self.world.faults.clock_leap == 0
            {
                let what = format!("{} was sent after the payment's time", call.reference);
                self.breaks(Rule::NotTooLate, order, what);
            }
        }
    }
}

/// Whether a call may not be planned while another is in doubt.
fn overtakes(planned: CallId, open: CallId) -> bool {
    matches!(
        (planned, open),
        (CallId::Capture(_), CallId::Void(_)) | (CallId::Void(_), CallId::Capture(_))
    )
}

/// Whether a payment at a provider is the one that its order was approved by, whatever became of it since.
fn wins(ours: &[Payment], paid: &Paid) -> bool {
    ours.iter().any(|payment| match payment.verdict() {
        Verdict::Approved(no) => {
            payment.call(CallId::Attempt(no)).is_some_and(|call| call.reference == paid.reference)
        }
        // A doubt is no loser yet, however long it takes.
        Verdict::InDoubt(no) => {
            payment.call(CallId::Attempt(no)).is_some_and(|call| call.reference == paid.reference)
        }
        Verdict::Running | Verdict::Failed(_) => false,
    })
}

/// Whether a provider that cannot be asked has done a void of ours, and never told of it: each further void was
/// refused, because there is nothing left to void. The void is still owed, the client was told nothing final, and an
/// operator has to settle it. Anything else that is approved here and not there is wrong.
fn is_voided_untold(payment: &Payment, no: u16, at: &[&There]) -> bool {
    let end = Timestamp::from_millis(i64::MAX);
    let cannot_be_asked = payment.candidate(no).is_some_and(|at| at.quiet_ms.is_none());
    let is_owed = payment.owed_voids(end).any(|(owed, _)| owed == no);
    let in_doubt = matches!(payment.verdict(), Verdict::InDoubt(_));
    let was_done = !at.is_empty() && at.iter().all(|there| there.paid.voided);
    cannot_be_asked && is_owed && in_doubt && was_done
}

/// When a payment's answer was there: with the approval, or with the end of its last attempt and of what undid it. What
/// is still done about losing holds then, nobody waits for; their hours are counted by themselves.
fn concluded_ms(payment: &Payment) -> i64 {
    let end = |call: &Call| match call.state {
        CallState::Final { at, .. } | CallState::Closed { at, .. } => Some(at.millis()),
        CallState::Planned | CallState::Open { .. } => None,
    };
    let ended = if let Verdict::Approved(no) = payment.verdict() {
        payment.call(CallId::Attempt(no)).and_then(end)
    } else {
        let voids = payment.voids.iter().filter(|void| void.why != VoidReason::Requested);
        payment.attempts.iter().chain(voids.map(|void| &void.call)).filter_map(end).max()
    };
    ended.unwrap_or(payment.created_at.millis())
}
