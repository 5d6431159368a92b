//! What came of a run: sums, and what broke.

use serde::{Deserialize, Serialize};

use crate::trace::Line;

/// A policy of failover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Any error is a failure, and the next account is tried. Exists in the simulator only.
    Naive,
    /// A time-out or a 5xx is a failure, and the next account is tried. Exists in the simulator only.
    OutageRetry,
    /// A doubt is resolved first.
    #[default]
    ResolveFirst,
    /// Holds only, and a durable promise to void.
    HoldSafe,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 4] = [Self::Naive, Self::OutageRetry, Self::ResolveFirst, Self::HoldSafe];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Naive => "naive",
            Self::OutageRetry => "outage_retry",
            Self::ResolveFirst => "resolve_first",
            Self::HoldSafe => "hold_safe",
        }
    }

    /// Whether it is one of those that nobody should use.
    #[must_use]
    pub const fn is_hasty(self) -> bool {
        matches!(self, Self::Naive | Self::OutageRetry)
    }
}

/// Which of the rules that always hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// 1. One attempt is captured at most, and no more than the payment's amount.
    OneCapture,
    /// 2. Nothing is called failed that can still be captured.
    FailedIsFinal,
    /// 3. No losing hold stays open.
    NoLosingHold,
    /// 4. Every call is concluded, if its provider ever answers.
    Concludes,
    /// 6. One idempotency key is one payment.
    OneKeyOnePayment,
    /// 7. No card number and no CVV is stored in clear.
    NoSecretStored,
    /// 8. No more is refunded than was captured.
    RefundsWithinCaptures,
    /// Our books say what the providers' books say.
    BooksAgree,
    /// Every committed event is published.
    EventsPublished,
    /// What a client was told stays true.
    AnswersStand,
    /// No provider is tried later than the payment allows.
    NotTooLate,
    /// No capture is planned while a void is in doubt, and no void while a capture is.
    OneAtATime,
}

impl Rule {
    /// Every rule with its number in the design, and what is not checked yet.
    pub const LISTED: [(&'static str, Option<Self>, &'static str); 14] = [
        (
            "1",
            Some(Self::OneCapture),
            "at most one attempt is captured, for no more than the amount",
        ),
        ("2", Some(Self::FailedIsFinal), "nothing is called failed that can still be captured"),
        (
            "3",
            Some(Self::NoLosingHold),
            "no losing hold is open a day after its provider can be reached",
        ),
        ("4", Some(Self::Concludes), "every call is concluded, if its provider ever answers"),
        ("5", None, "the ledger balances"),
        ("6", Some(Self::OneKeyOnePayment), "one idempotency key is one payment"),
        ("7", Some(Self::NoSecretStored), "no card number and no CVV is stored in clear"),
        ("8", Some(Self::RefundsWithinCaptures), "no more is refunded than was captured"),
        ("9", None, "retries stay within the card schemes' limits"),
        ("", Some(Self::BooksAgree), "our books say what the providers' books say"),
        ("", Some(Self::EventsPublished), "every committed event is published"),
        ("", Some(Self::AnswersStand), "what a client was told stays true"),
        ("", Some(Self::NotTooLate), "no account is tried later than the payment allows"),
        ("", Some(Self::OneAtATime), "captures and voids do not overtake each other"),
    ];
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// The seed of the world: a run with this seed begins with that world.
    pub seed: u64,
    /// The order in it.
    pub order: u64,
    /// How.
    pub what: String,
}

/// The sums of a run.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Orders that clients placed.
    pub orders: u64,
    /// Worlds.
    pub worlds: u64,
    /// Orders that ended approved.
    pub approved: u64,
    /// Orders that ended failed.
    pub failed: u64,
    /// Orders still in doubt at the end.
    pub in_doubt: u64,
    /// Orders that were never taken: no answer, and no payment.
    pub not_taken: u64,
    /// Orders that could have been approved somewhere on their list and were not.
    pub approvals_lost: u64,
    /// Orders with more than one attempt captured.
    pub double_charges: u64,
    /// Holds of losing attempts, still open at the end.
    pub open_losing_holds: u64,
    /// How long losing attempts held money, in milliseconds, summed up.
    pub hold_ms: u64,
    /// Calls that providers executed.
    pub provider_calls: u64,
    /// Nodes that died.
    pub crashes: u64,
    /// From the order to the final answer, in milliseconds, one for each order that has one.
    pub final_ms: Vec<u32>,
    /// What broke; at most some of each world.
    pub violations: Vec<Violation>,
    /// The timeline of the world, where it was asked for.
    pub timeline: Vec<Line>,
}

impl Totals {
    /// Adds another run's.
    pub fn add(&mut self, other: Self) {
        self.orders = self.orders.saturating_add(other.orders);
        self.worlds = self.worlds.saturating_add(other.worlds);
        self.approved = self.approved.saturating_add(other.approved);
        self.failed = self.failed.saturating_add(other.failed);
        self.in_doubt = self.in_doubt.saturating_add(other.in_doubt);
        self.not_taken = self.not_taken.saturating_add(other.not_taken);
        self.approvals_lost = self.approvals_lost.saturating_add(other.approvals_lost);
        self.double_charges = self.double_charges.saturating_add(other.double_charges);
        self.open_losing_holds = self.open_losing_holds.saturating_add(other.open_losing_holds);
        self.hold_ms = self.hold_ms.saturating_add(other.hold_ms);
        self.provider_calls = self.provider_calls.saturating_add(other.provider_calls);
        self.crashes = self.crashes.saturating_add(other.crashes);
        self.final_ms.extend(other.final_ms);
        self.violations.extend(other.violations);
        self.timeline.extend(other.timeline);
    }

    /// So many per million orders.
    #[must_use]
    pub fn per_million(&self, count: u64) -> u64 {
        let scaled = u128::from(count).saturating_mul(1_000_000);
        let each = scaled.checked_div(u128::from(self.orders)).unwrap_or(0);
        u64::try_from(each).unwrap_or(u64::MAX)
    }

    /// The time to a final answer below which so many thousandths of the orders are, in milliseconds.
    #[must_use]
    pub fn quantile_ms(&self, permille: usize) -> u32 {
        let mut sorted = self.final_ms.clone();
        sorted.sort_unstable();
        let place = sorted.len().saturating_sub(1).saturating_mul(permille) / 1_000;
        sorted.get(place).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_per_million_and_quantiles_are_of_the_sorted() {
        let mut totals = Totals { orders: 4_000, final_ms: vec![30, 10, 20], ..Totals::default() };
        totals.add(Totals {
            orders: 4_000,
            final_ms: vec![40],
            double_charges: 2,
            ..Totals::default()
        });
        assert_eq!(totals.per_million(totals.double_charges), 250);
        assert_eq!((totals.quantile_ms(500), totals.quantile_ms(1_000)), (20, 40));
        assert_eq!(Totals::default().per_million(3), 0);
    }
}
