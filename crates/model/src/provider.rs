//! The providers: each executes a request that reached it once per copy, perhaps late, and shows it in its
//! index later still.

use std::collections::BTreeMap;

use baton_flow::CallId;

/// What an attempt's money does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Money {
    /// Nothing reached the provider, or nothing yet.
    #[default]
    Untouched,
    /// The provider said no.
    Declined,
    /// Held.
    Held,
    /// Taken.
    Taken,
    /// Given back.
    Released,
    /// A cancel came first, and what comes after it is refused.
    Fenced,
}

impl Money {
    /// Whether the payer misses it.
    pub(crate) fn is_moved(self) -> bool {
        matches!(self, Self::Held | Self::Taken)
    }
}

/// A request, from its first byte on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Leg {
    /// When it was sent.
    pub(crate) sent: i64,
    /// Whether it was executed, and if so whether with success.
    pub(crate) done: Option<bool>,
    /// When it was executed; forgotten once everybody can see it.
    pub(crate) done_at: i64,
    /// Whether it will not be executed any more.
    pub(crate) lost: bool,
}

/// What all providers have seen of the payment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Providers {
    pub(crate) legs: BTreeMap<CallId, Leg>,
    pub(crate) money: BTreeMap<u16, Money>,
    /// How many attempts' money was moved more than once.
    pub(crate) moved_twice: bool,
}

/// What a look-up shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shown {
    /// It was done.
    Done,
    /// It was declined.
    Declined,
    /// It was done, and given back since.
    Released,
    /// Nothing is known of it.
    Nothing,
    /// The provider cannot be asked.
    Unsaid,
}

/// What a provider makes of a cancel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cancels {
    /// It confirms one that found nothing.
    pub(crate) fence: bool,
    /// And refuses what arrives later.
    pub(crate) holds: bool,
}

impl Providers {
    pub(crate) fn money(&self, attempt: u16) -> Money {
        self.money.get(&attempt).copied().unwrap_or_default()
    }

    /// How many attempts have the payer's money.
    pub(crate) fn moved(&self) -> usize {
        self.money.values().filter(|money| money.is_moved()).count()
    }

    /// How many attempts have taken money for good.
    pub(crate) fn taken(&self) -> usize {
        self.money.values().filter(|money| **money == Money::Taken).count()
    }

    pub(crate) fn send(&mut self, call: CallId, now: i64) {
        let leg = Leg { sent: now, done: None, done_at: 0, lost: false };
        if let Some(before) = self.legs.insert(call, leg) {
            // A second copy of a request: a provider without idempotency keys executes both.
            self.moved_twice |= before.done == Some(true);
        }
    }

    /// Requests that can still be executed.
    pub(crate) fn flying(&self) -> impl Iterator<Item = (CallId, Leg)> + '_ {
        self.legs.iter().map(|(call, leg)| (*call, *leg)).filter(|(_, leg)| leg.is_flying())
    }

    /// Executes an attempt; the provider decides whether it approves.
    pub(crate) fn attempt(&mut self, no: u16, approves: Option<Money>, now: i64) {
        if self.money(no) == Money::Fenced {
            return self.end(CallId::Attempt(no), false, now);
        }
        self.money.insert(no, approves.unwrap_or(Money::Declined));
        self.end(CallId::Attempt(no), approves.is_some(), now);
    }

    /// Executes a void or a capture; says whether that succeeded.
    pub(crate) fn modify(
        &mut self,
        call: CallId,
        of: u16,
        wants: bool,
        cancels: Cancels,
        now: i64,
    ) {
        let (success, after) = match (call, self.money(of)) {
            (CallId::Void(_), Money::Held) => (true, Money::Released),
            (CallId::Void(_), Money::Untouched) if cancels.fence && cancels.holds => {
                (true, Money::Fenced)
            }
            (CallId::Void(_), Money::Untouched) if cancels.fence => (true, Money::Untouched),
            (CallId::Void(_), money @ (Money::Released | Money::Fenced)) => (true, money),
            (CallId::Capture(_), Money::Held) if wants => (true, Money::Taken),
            (_, money) => (false, money),
        };
        self.money.insert(of, after);
        self.end(call, success, now);
    }

    pub(crate) fn end(&mut self, call: CallId, success: bool, now: i64) {
        if let Some(leg) = self.legs.get_mut(&call) {
            leg.done = Some(success);
            leg.done_at = now;
        }
    }

    /// Time has come to `now`: what was in flight for too long is lost, what was done is seen by all. What
    /// was sent in a tick may have left at its very end, so that the bounds are exhausted to the last.
    pub(crate) fn age(&mut self, now: i64, executes_for: i64, unseen_for: i64) {
        for leg in self.legs.values_mut() {
            if leg.is_flying() && now > leg.sent + 1 + executes_for {
                leg.lost = true;
            }
            if leg.done.is_some() && now > leg.done_at + unseen_for {
                leg.done_at = i64::MIN;
            }
            if !leg.is_flying() {
                leg.sent = 0;
            }
        }
    }

    /// What a look-up may show now: within the index lag it may show it or not.
    pub(crate) fn shows(&self, call: CallId, of: u16) -> Vec<Shown> {
        let Some(leg) = self.legs.get(&call) else { return vec![Shown::Nothing] };
        let seen = match (leg.done, call) {
            (None, _) => return vec![Shown::Nothing],
            (Some(true), CallId::Attempt(_)) if self.money(of) == Money::Released => {
                Shown::Released
            }
            (Some(true), _) => Shown::Done,
            (Some(false), _) => Shown::Declined,
        };
        if leg.done_at == i64::MIN { vec![seen] } else { vec![seen, Shown::Nothing] }
    }
}

impl Leg {
    pub(crate) fn is_flying(self) -> bool {
        self.done.is_none() && !self.lost
    }
}
