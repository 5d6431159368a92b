//! One call to a provider, from plan to conclusion: the machine that attempts, captures, voids and
//! refunds share.
//!
//! ```text
//! Planned ──► Final  { approved | declined | refused | not sent }
//!    └──────► Open   { unknown | pending | action required } ──► Final
//!                                                           └──► Closed { voided | fenced | absent }
//! ```

use baton_types::outcome::{Finding, Outcome};
use baton_types::{BootId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;
use crate::mutation::mutated;
use crate::settle::Settlement;

/// Which call of a payment. Numbers begin at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum CallId {
    /// The authorization, sale or tokenization at one candidate.
    Attempt(u16),
    /// A capture.
    Capture(u16),
    /// A void.
    Void(u16),
    /// A refund.
    Refund(u16),
    /// A raise of what is held.
    Increment(u16),
}

impl std::fmt::Display for CallId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Attempt(no) => write!(f, "a{no}"),
            Self::Capture(no) => write!(f, "c{no}"),
            Self::Void(no) => write!(f, "v{no}"),
            Self::Refund(no) => write!(f, "r{no}"),
            Self::Increment(no) => write!(f, "i{no}"),
        }
    }
}

impl From<CallId> for String {
    fn from(id: CallId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for CallId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl std::str::FromStr for CallId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no call id");
        let mut chars = text.chars();
        let kind = chars.next().ok_or_else(wrong)?;
        let no = chars.as_str().parse::<u16>().ok().filter(|no| *no > 0).ok_or_else(wrong)?;
        match kind {
            'a' => Ok(Self::Attempt(no)),
            'c' => Ok(Self::Capture(no)),
            'v' => Ok(Self::Void(no)),
            'r' => Ok(Self::Refund(no)),
            'i' => Ok(Self::Increment(no)),
            _ => Err(wrong()),
        }
    }
}

/// The process that planned a call. Only its own request task may send it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The node's name, which survives a restart.
    pub node: String,
    /// This start of the node.
    pub boot: BootId,
}

/// One call to a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Our reference at the provider: unique per call, found again by look-up.
    pub reference: String,
    /// The idempotency key at the provider, derived from payment, call and operation.
    pub key: String,
    /// Who planned it.
    pub owner: Owner,
    /// When it was planned.
    pub planned_at: Timestamp,
    /// After this time the first byte is not sent any more.
    pub send_by: Timestamp,
    /// From this time on, a look-up that finds nothing counts towards absence: later, if it was sent again. `None` where the provider
    /// has no look-up: then absence can never be shown.
    pub absent_after: Option<Timestamp>,
    /// Until this time the same key may be sent again. `None` where the provider takes no keys, or several calls.
    pub replay_until: Option<Timestamp>,
    /// How often it was sent again under its key.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub replays: u16,
    /// The request with holes where secrets belong, kept while the call is not concluded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The provider's id of what the call made, learnt before its outcome was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learnt: Option<String>,
    /// Since when its outcome is open, or was until it was concluded. `None` if it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_since: Option<Timestamp>,
    /// How it stands.
    pub state: CallState,
    /// What an operator has settled it as, by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Settlement>,
    /// What look-ups showed, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

fn is_zero(count: &u16) -> bool {
    *count == 0
}

/// How a call stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum CallState {
    /// Durable, and about to be sent, being sent, or its owner is gone: only the owner knows which.
    Planned,
    /// Money can still move.
    Open {
        /// `Unknown`, `Pending` or `ActionRequired`.
        outcome: Outcome,
    },
    /// Concluded by proof or by an answer.
    Final {
        /// `NotSent`, `Refused`, `Declined` or `Approved`; for calls that move no money also the rest.
        outcome: Outcome,
        /// When.
        at: Timestamp,
    },
    /// Was open, and can no longer move money.
    Closed {
        /// What closed it.
        how: Closure,
        /// When.
        at: Timestamp,
    },
}

/// What can close an open call without an answer of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closure {
    /// The provider confirmed the cancel, void or reversal. Of a void in doubt: nothing is left for it to void.
    Voided,
    /// The provider confirmed a cancel by our reference that found nothing, and will provably refuse the request
    /// if it arrives late.
    Fenced,
    /// Two look-ups found nothing, both after the request's last possible effect, and the provider had
    /// never said that it has the request. Weaker than the others.
    Absent,
}

/// What one look-up or webhook showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// When the answer came.
    pub at: Timestamp,
    /// What it showed.
    #[serde(flatten)]
    pub finding: Finding,
    /// What it rests on; absent where there was no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

/// How many checks a call keeps: the first half from its beginning, the rest its latest.
const CHECKS_KEPT: usize = 40;

/// Most times that a call is sent again under its key.
const REPLAYS_MAX: u16 = 3;

/// When something is tried again, in milliseconds from its beginning; after the last once a day.
const SCHEDULE_MS: [i64; 6] = [2_000, 10_000, 30_000, 120_000, 600_000, 3_600_000];
const DAY_MS: i64 = 86_400_000;

/// The first time after `now` on the schedule that began at `since`.
pub(crate) fn next_on_schedule(since: Timestamp, now: Timestamp) -> Timestamp {
    let elapsed_ms = now.since(since).max(0);
    let wait_ms = SCHEDULE_MS.iter().map(|at_ms| at_ms - elapsed_ms).find(|wait_ms| *wait_ms > 0);
    now.plus_millis(wait_ms.unwrap_or(DAY_MS))
}

impl Call {
    /// Whether nothing can change any more.
    #[must_use]
    pub fn is_concluded(&self) -> bool {
        self.concluded_at().is_some()
    }

    /// When it was concluded.
    #[must_use]
    pub fn concluded_at(&self) -> Option<Timestamp> {
        match self.state {
            CallState::Planned | CallState::Open { .. } => None,
            CallState::Final { at, .. } | CallState::Closed { at, .. } => Some(at),
        }
    }

    /// Whether the provider has said that it has the request and is not done with it.
    pub(crate) fn is_acknowledged(&self) -> bool {
        let CallState::Open { outcome } = &self.state else { return false };
        matches!(outcome, Outcome::Pending { .. } | Outcome::ActionRequired { .. })
    }

    /// Opens with an open outcome, or takes over another; the caller has checked that it is not concluded.
    pub(crate) fn open(&mut self, outcome: Outcome, now: Timestamp) {
        self.open_since.get_or_insert(now);
        // That we do not know takes nothing from what the provider has said.
        if !(self.is_acknowledged() && matches!(outcome, Outcome::Unknown { .. })) {
            self.state = CallState::Open { outcome };
        }
    }

    /// Whether its provider has said nothing of it, and executes what comes under its key only once. It is
    /// sent again a few times; the rest is for look-ups.
    pub(crate) fn may_be_repeated(&self, now: Timestamp) -> bool {
        let is_unknown = matches!(self.state, CallState::Open { outcome: Outcome::Unknown { .. } });
        let is_kept = self.replay_until.is_some_and(|until| now < until);
        let is_kept = is_kept || mutated("replay_after_the_key_is_gone");
        is_unknown && is_kept && self.replays < REPLAYS_MAX
    }

    pub(crate) fn conclude(&mut self, outcome: Outcome, now: Timestamp) {
        self.template = None;
        self.state = CallState::Final { outcome, at: now };
    }

    pub(crate) fn close(&mut self, how: Closure, now: Timestamp) {
        self.template = None;
        self.state = CallState::Closed { how, at: now };
    }

    pub(crate) fn note(&mut self, finding: Finding, evidence: Option<Evidence>, now: Timestamp) {
        if self.checks.len() >= CHECKS_KEPT {
            self.checks.remove(CHECKS_KEPT / 2);
        }
        self.checks.push(Check { at: now, finding, evidence });
    }

    /// Whether two look-ups found nothing when nothing could be on its way any more. Never while an owner
    /// may still be sending, nor against the provider's own word that it has the request.
    pub(crate) fn is_absent(&self) -> bool {
        let CallState::Open { outcome: Outcome::Unknown { .. } } = self.state else { return false };
        let Some(after) = self.absent_after else { return false };
        let negative = |check: &&Check| check.at > after && check.finding == Finding::NotFound;
        self.checks.iter().filter(negative).count() >= 2
    }

    /// When an open call is to be looked up next.
    #[must_use]
    pub fn next_check(&self, now: Timestamp) -> Timestamp {
        let scheduled = next_on_schedule(self.open_since.unwrap_or(now), now);
        match (self.absent_after, self.checks.last()) {
            // Absence needs two answers from after this time: do not sleep through it.
            (Some(after), Some(Check { finding: Finding::NotFound, .. }))
                if !self.is_acknowledged() =>
            {
                let soonest =
                    if now > after { now.plus_millis(2_000) } else { after.plus_millis(1) };
                soonest.min(scheduled)
            }
            _ => scheduled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_id_reads_back_and_nothing_else_does() {
        for id in [
            CallId::Attempt(1),
            CallId::Capture(9),
            CallId::Void(10),
            CallId::Increment(11),
            CallId::Refund(u16::MAX),
        ] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for text in ["", "a", "a0", "x1", "a-1", "a65536", "1", "é1"] {
            assert!(text.parse::<CallId>().is_err(), "{text}");
        }
    }
}
