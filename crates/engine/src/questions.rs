//! How often an account's provider is asked about calls in doubt, and when it is left alone.
//!
//! Guarantees, per account and process: questions start at no more than a steady rate behind a burst; after some in a
//! row without a usable answer none is asked for a while, which doubles each time, and then one probes. A refusal
//! says when to come again; those refused get times one after the other, so that they do not come back all at once.
//! Kept apart from the breaker of payments: a provider that takes no payments may well answer questions. Left out:
//! anything shared between nodes.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baton_types::outcome::Finding;
use baton_types::{AccountId, Timestamp};
use tokio::time::Instant;

/// How questions are limited. Of each account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuestionLimits {
    /// Questions per second; 0 for as many as there are.
    pub per_second: u32,
    /// How many may come at once when none came before.
    pub burst: u32,
    /// After so many failures in a row nothing is asked for a while; 0 for never.
    pub failures: u32,
    /// How long for, in milliseconds; twice as long each time that the probe fails too.
    pub pause_ms: u64,
}

impl Default for QuestionLimits {
    fn default() -> Self {
        Self { per_second: 20, burst: 40, failures: 5, pause_ms: 10_000 }
    }
}

/// The longest pause that doubling comes to, unless the first is longer.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// How soon to come again while another question probes.
const PROBE_FOR: Duration = Duration::from_secs(2);

/// Those refused are told to come within this time after the first of them may.
const SPREAD_MAX: Duration = Duration::from_secs(60);

/// The limits of one process, by account.
pub(crate) struct Questions {
    limits: QuestionLimits,
    /// One entry per account ever asked: small.
    accounts: Mutex<HashMap<AccountId, Account>>,
}

struct Account {
    /// When the burst would be whole again, at the steady rate.
    filled_at: Instant,
    /// The latest time that somebody was told to come again.
    told: Instant,
    failures: u32,
    pause: Option<Pause>,
}

#[derive(Clone, Copy)]
struct Pause {
    until: Instant,
    length: Duration,
    probing: bool,
}

/// Why a question is not asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// There were too many.
    Rate,
    /// The provider does not answer.
    Pause,
}

impl Why {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Pause => "no_answers",
        }
    }
}

/// A question is not asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Later {
    pub(crate) why: Why,
    /// When to come again.
    pub(crate) at: Instant,
}

impl Questions {
    pub(crate) fn new(limits: QuestionLimits) -> Self {
        Self { limits, accounts: Mutex::default() }
    }

    /// What `admit` would refuse now.
    pub(crate) fn refuses(&self, account: AccountId, now: Instant) -> bool {
        self.lock().get(&account).is_some_and(|entry| entry.refuses(&self.limits, now).is_some())
    }

    /// Counts a question in.
    ///
    /// # Errors
    /// It is not to be asked now, and when it is.
    pub(crate) fn admit(&self, account: AccountId, now: Instant) -> Result<Asking<'_>, Later> {
        let mut accounts = self.lock();
        let entry = accounts.entry(account).or_insert_with(|| Account::new(now));
        if let Some((why, from)) = entry.refuses(&self.limits, now) {
            let one = self.limits.interval().max(Duration::from_millis(1));
            let at = entry.told.max(from).checked_add(one).unwrap_or(from);
            let at = from.checked_add(SPREAD_MAX).map_or(at, |latest| at.min(latest));
            entry.told = at;
            return Err(Later { why, at });
        }
        entry.spend(&self.limits, now);
        let probes = entry.pause.as_mut().map(|pause| pause.probing = true).is_some();
        Ok(Asking { questions: self, account, probes })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, Account>> {
        // Nothing panics while holding it; if something did, the counts are still counts.
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QuestionLimits {
    /// The time between two questions at the steady rate.
    fn interval(&self) -> Duration {
        let one = Duration::from_secs(1);
        one.checked_div(self.per_second).unwrap_or(Duration::ZERO)
    }
}

impl Account {
    fn new(now: Instant) -> Self {
        Self { filled_at: now, told: now, failures: 0, pause: None }
    }

    /// Why not now, and from when on perhaps.
    fn refuses(&self, limits: &QuestionLimits, now: Instant) -> Option<(Why, Instant)> {
        if let Some(pause) = self.pause {
            if now < pause.until {
                return Some((Why::Pause, pause.until));
            }
            if pause.probing {
                return Some((Why::Pause, now.checked_add(PROBE_FOR).unwrap_or(now)));
            }
        }
        // A burst of one leaves no room: the last question has to be a whole interval ago.
        let room = limits.interval().saturating_mul(limits.burst.saturating_sub(1));
        let from = self.filled_at.checked_sub(room).unwrap_or(now);
        (from > now).then_some((Why::Rate, from))
    }

    fn spend(&mut self, limits: &QuestionLimits, now: Instant) {
        let full = self.filled_at.max(now);
        self.filled_at = full.checked_add(limits.interval()).unwrap_or(full);
    }

    fn judge(
        &mut self,
        limits: &QuestionLimits,
        healthy: bool,
        probed: bool,
        now: Instant,
    ) -> bool {
        if healthy {
            // An answer to an earlier question tells as much as one to the probe.
            (self.failures, self.pause) = (0, None);
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        let first = Duration::from_millis(limits.pause_ms);
        let length = match self.pause {
            Some(pause) if probed => pause.length.saturating_mul(2).min(PAUSE_MAX.max(first)),
            None if limits.failures > 0 && self.failures >= limits.failures => first,
            // A question from before the pause says nothing new.
            Some(_) | None => return false,
        };
        let until = now.checked_add(length).unwrap_or(now);
        self.pause = Some(Pause { until, length, probing: false });
        true
    }
}

/// A question that is being asked.
pub(crate) struct Asking<'a> {
    questions: &'a Questions,
    account: AccountId,
    probes: bool,
}

impl Asking<'_> {
    /// Counts a further call of the same question: it is not refused, but those after it wait.
    pub(crate) fn again(&self, now: Instant) {
        if let Some(entry) = self.questions.lock().get_mut(&self.account) {
            entry.spend(&self.questions.limits, now);
        }
    }

    /// Tells how a call of it went. True if nothing is asked for a while then.
    pub(crate) fn judge(&mut self, healthy: bool, now: Instant) -> bool {
        let limits = self.questions.limits;
        let mut accounts = self.questions.lock();
        let Some(entry) = accounts.get_mut(&self.account) else { return false };
        let pauses = entry.judge(&limits, healthy, self.probes, now);
        self.probes = false;
        pauses
    }
}

impl Drop for Asking<'_> {
    /// A probe that ended without a verdict makes room for the next.
    fn drop(&mut self) {
        if self.probes
            && let Some(entry) = self.questions.lock().get_mut(&self.account)
            && let Some(pause) = &mut entry.pause
        {
            pause.probing = false;
        }
    }
}

/// What a look-up shows, given when it was asked: "not found" counts towards absence only if the question
/// left after the request's last possible effect. A slow answer to an early question proves nothing.
pub(crate) fn as_of(
    finding: Finding,
    asked_at: Timestamp,
    answered_at: Timestamp,
    absent_after: Option<Timestamp>,
) -> Finding {
    let is_early = absent_after.is_some_and(|after| asked_at <= after && answered_at > after);
    if finding == Finding::NotFound && is_early { Finding::Inconclusive } else { finding }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const LIMITS: QuestionLimits =
        QuestionLimits { per_second: 10, burst: 3, failures: 2, pause_ms: 10_000 };

    fn given(limits: QuestionLimits) -> (Questions, AccountId, Instant) {
        (Questions::new(limits), AccountId::from_parts(1, [7; 10]), Instant::now())
    }

    fn ask(questions: &Questions, account: AccountId, healthy: bool, now: Instant) -> bool {
        let asking = questions.admit(account, now);
        asking.map(|mut asking| asking.judge(healthy, now)).is_ok()
    }

    #[test]
    fn a_burst_passes_then_the_steady_rate() {
        let (questions, account, t0) = given(LIMITS);
        let passed = |now: Instant| (0..10).filter(|_| ask(&questions, account, true, now)).count();
        let ms = |ms| t0 + Duration::from_millis(ms);
        let rows = [(t0, 3), (t0, 0), (ms(99), 0), (ms(100), 1), (ms(350), 2), (ms(10_000), 3)];
        for (now, want) in rows {
            assert_eq!(passed(now), want, "after {:?}", now - t0);
        }
        let other = AccountId::from_parts(2, [8; 10]);
        assert!(ask(&questions, other, true, t0), "each account has its own");
        let (free, account, t0) = given(QuestionLimits { per_second: 0, ..LIMITS });
        assert!((0..1_000).all(|_| ask(&free, account, true, t0)));
    }

    #[test]
    fn further_calls_of_a_question_count_too() {
        let (questions, account, t0) = given(LIMITS);
        let asking = questions.admit(account, t0).ok().unwrap();
        (0..5).for_each(|_| asking.again(t0));
        assert!(questions.refuses(account, t0 + Duration::from_millis(399)));
        assert!(!questions.refuses(account, t0 + Duration::from_millis(400)));
    }

    #[test]
    fn who_is_refused_comes_again_one_after_the_other() {
        let (questions, account, t0) = given(LIMITS);
        (0..3).for_each(|_| assert!(ask(&questions, account, true, t0)));
        let told: Vec<_> =
            (0..3).map(|_| questions.admit(account, t0).err().unwrap().at - t0).collect();
        assert_eq!(told, [200, 300, 400].map(Duration::from_millis));
        let all = (0..10_000).map(|_| questions.admit(account, t0).err().unwrap().at - t0);
        assert!(all.max() <= Some(SPREAD_MAX + Duration::from_millis(100)), "not into all future");
        for after in told {
            assert!(ask(&questions, account, true, t0 + after), "as told: {after:?}");
        }
    }

    #[test]
    fn failures_in_a_row_bring_a_pause_that_doubles_until_a_probe_is_answered() {
        let (questions, account, mut now) = given(LIMITS);
        for healthy in [false, true, false] {
            assert!(ask(&questions, account, healthy, now), "an answer starts the count anew");
            now += SECOND;
        }
        assert!(ask(&questions, account, false, now));
        for seconds in [10, 20, 40, 80, 160, 300, 300] {
            let until = now + SECOND * seconds;
            let early = until - Duration::from_millis(1);
            assert!(questions.refuses(account, early), "{seconds}");
            let later = questions.admit(account, now).err().unwrap();
            assert_eq!(later.why, Why::Pause);
            assert!(later.at >= until && later.at <= until + SPREAD_MAX);
            now = until;
            let mut probe = questions.admit(account, now).ok().unwrap();
            assert!(questions.refuses(account, now), "one probe at a time");
            assert!(probe.judge(false, now));
        }
        now += PAUSE_MAX;
        assert!(ask(&questions, account, true, now));
        assert!(ask(&questions, account, true, now), "it answers again");
    }

    #[test]
    fn a_probe_without_a_verdict_makes_room_and_an_old_failure_changes_nothing() {
        let (questions, account, t0) = given(LIMITS);
        let mut old = questions.admit(account, t0).ok().unwrap();
        (0..2).for_each(|_| assert!(ask(&questions, account, false, t0)));
        assert!(!old.judge(false, t0 + 9 * SECOND), "it was asked before the pause");
        let due = t0 + 10 * SECOND;
        drop(questions.admit(account, due).ok().unwrap());
        assert!(!questions.refuses(account, due));
        let never = QuestionLimits { failures: 0, ..LIMITS };
        let (questions, account, t0) = given(never);
        assert!((0..50_u32).all(|n| ask(&questions, account, false, t0 + SECOND * n)));
    }

    #[test]
    fn not_found_counts_by_when_it_was_asked() {
        let at = Timestamp::from_millis;
        let rows = [
            // asked, answered, absent after, what counts
            (10, 20, Some(30), Finding::NotFound),
            (10, 40, Some(30), Finding::Inconclusive),
            (30, 31, Some(30), Finding::Inconclusive),
            (31, 40, Some(30), Finding::NotFound),
            (10, 40, None, Finding::NotFound),
        ];
        for (asked, answered, after, want) in rows {
            let got = as_of(Finding::NotFound, at(asked), at(answered), after.map(at));
            assert_eq!(got, want, "asked {asked}, answered {answered}, after {after:?}");
        }
        assert_eq!(as_of(Finding::Voided, at(10), at(40), Some(at(30))), Finding::Voided);
    }
}
