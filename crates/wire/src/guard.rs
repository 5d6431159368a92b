//! Per account: a limit of calls in flight, and a breaker that stops calling a provider that fails.
//!
//! The safest failover is not to send to a sick provider. Guarantees: a half-open breaker lets one probe
//! through at a time; a call that ends without a verdict (its task was aborted, or we refused it ourselves)
//! neither counts nor keeps the breaker half-open. Left out: anything shared between nodes.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use baton_types::AccountId;
use baton_types::outcome::NotSent;
use tokio::time::Instant;

use crate::{Breaker, Exchange};

/// How an account stands, for metrics and operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountHealth {
    /// The account.
    pub account: AccountId,
    /// Its breaker.
    pub breaker: BreakerState,
    /// Calls in flight.
    pub in_flight: usize,
}

/// What a breaker does with the next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// Calls are refused.
    Open,
    /// One call is let through to probe, or is being awaited.
    HalfOpen,
}

/// The limits and breakers of one process, by account.
pub struct Guard {
    breaker: Breaker,
    max_in_flight: usize,
    /// One entry per account ever called: small, and what `health` lists.
    accounts: Mutex<HashMap<AccountId, Account>>,
}

struct Account {
    in_flight: usize,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// `since`: when a probe became due, to fall back to if the probe ends without a verdict.
    Probing {
        since: Instant,
    },
}

impl Guard {
    /// Nothing is open and nothing is in flight.
    #[must_use]
    pub fn new(breaker: Breaker, max_in_flight: usize) -> Self {
        Self { breaker, max_in_flight, accounts: Mutex::default() }
    }

    /// What `admit` would refuse now.
    #[must_use]
    pub fn refuses(&self, account: AccountId, now: Instant) -> Option<NotSent> {
        self.lock().get(&account)?.refuses(self.max_in_flight, true, now)
    }

    /// Counts the call in until the permit is dropped.
    ///
    /// # Errors
    /// The breaker is open, or too many calls are in flight.
    pub fn admit(
        &self,
        account: AccountId,
        breaker: bool,
        now: Instant,
    ) -> Result<Permit<'_>, NotSent> {
        let mut accounts = self.lock();
        let entry = accounts
            .entry(account)
            .or_insert(Account { in_flight: 0, state: State::Closed { failures: 0 } });
        if let Some(why) = entry.refuses(self.max_in_flight, breaker, now) {
            return Err(why);
        }
        let role = match entry.state {
            _ if !breaker => Role::Exempt,
            State::Closed { .. } => Role::Counted,
            State::Open { until } | State::Probing { since: until } => {
                entry.state = State::Probing { since: until };
                Role::Probe
            }
        };
        entry.in_flight += 1;
        Ok(Permit { guard: self, account, role })
    }

    /// How each account stands that has been called, by id.
    #[must_use]
    pub fn health(&self, now: Instant) -> Vec<AccountHealth> {
        let mut all: Vec<_> = self
            .lock()
            .iter()
            .map(|(&account, entry)| AccountHealth {
                account,
                breaker: match entry.state {
                    State::Closed { .. } => BreakerState::Closed,
                    State::Open { until } if now < until => BreakerState::Open,
                    State::Open { .. } | State::Probing { .. } => BreakerState::HalfOpen,
                },
                in_flight: entry.in_flight,
            })
            .collect();
        all.sort_unstable_by_key(|health| *health.account.as_bytes());
        all
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, Account>> {
        // Nothing panics while holding it; if something did, the counts are still counts.
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    fn refuses(&self, max_in_flight: usize, breaker: bool, now: Instant) -> Option<NotSent> {
        if self.in_flight >= max_in_flight {
            return Some(NotSent::TooManyInFlight);
        }
        let open = match self.state {
            State::Closed { .. } => false,
            State::Open { until } => now < until,
            State::Probing { .. } => true,
        };
        (breaker && open).then_some(NotSent::BreakerOpen)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Exempt,
    Counted,
    Probe,
}

/// A call in flight.
pub struct Permit<'a> {
    guard: &'a Guard,
    account: AccountId,
    role: Role,
}

impl Permit<'_> {
    /// Tells the breaker how the call went.
    pub fn judge(mut self, exchange: &Exchange, now: Instant) {
        let Some(healthy) = shows_health(exchange) else { return };
        let breaker = self.guard.breaker;
        let opened = State::Open { until: now + breaker.open_for };
        let mut opens = false;
        let mut accounts = self.guard.lock();
        let Some(entry) = accounts.get_mut(&self.account) else { return };
        entry.state = match (self.role, entry.state) {
            (Role::Probe, _) | (Role::Counted, State::Closed { .. }) if healthy => {
                State::Closed { failures: 0 }
            }
            (Role::Probe, _) => opened,
            (Role::Counted, State::Closed { failures }) if failures + 1 >= breaker.failures => {
                opens = true;
                opened
            }
            (Role::Counted, State::Closed { failures }) => State::Closed { failures: failures + 1 },
            // A call from before the breaker opened tells nothing about the provider now.
            (Role::Counted | Role::Exempt, unchanged) => unchanged,
        };
        drop(accounts);
        if opens {
            tracing::warn!(account = %self.account, failures = breaker.failures, "breaker opened");
        }
        self.role = Role::Exempt;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut accounts = self.guard.lock();
        let Some(entry) = accounts.get_mut(&self.account) else { return };
        entry.in_flight = entry.in_flight.saturating_sub(1);
        if let (Role::Probe, State::Probing { since }) = (self.role, entry.state) {
            entry.state = State::Open { until: since };
        }
    }
}

/// What a call says about the provider; `None` for what we refused ourselves.
fn shows_health(exchange: &Exchange) -> Option<bool> {
    match exchange {
        Exchange::Reply(reply) => Some(reply.status < 500),
        Exchange::Lost(_) => Some(false),
        Exchange::NotSent(why) => (!why.is_ours()).then_some(false),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use baton_connect::HttpReply;
    use baton_types::outcome::Doubt;

    use super::*;

    const OPEN_FOR: Duration = Duration::from_secs(10);

    fn guard(max_in_flight: usize) -> (Guard, AccountId, Instant) {
        let breaker = Breaker { failures: 3, open_for: OPEN_FOR };
        (Guard::new(breaker, max_in_flight), AccountId::from_parts(1, [7; 10]), Instant::now())
    }

    fn reply(status: u16) -> Exchange {
        Exchange::Reply(HttpReply { status, ..HttpReply::default() })
    }

    fn run(guard: &Guard, account: AccountId, exchange: &Exchange, now: Instant) -> bool {
        guard.admit(account, true, now).map(|permit| permit.judge(exchange, now)).is_ok()
    }

    #[test]
    fn what_counts_as_a_failure() {
        let rows = [
            (reply(200), Some(true)),
            (reply(307), Some(true)),
            (reply(402), Some(true)),
            (reply(429), Some(true)),
            (reply(500), Some(false)),
            (reply(503), Some(false)),
            (Exchange::Lost(Doubt::AnswerTimeout), Some(false)),
            (Exchange::NotSent(NotSent::ConnectTimeout), Some(false)),
            (Exchange::NotSent(NotSent::TlsFailed), Some(false)),
            (Exchange::NotSent(NotSent::TooLate), None),
            (Exchange::NotSent(NotSent::BreakerOpen), None),
            (Exchange::NotSent(NotSent::NotSupported), None),
        ];
        for (exchange, want) in rows {
            assert_eq!(shows_health(&exchange), want, "{exchange:?}");
        }
    }

    #[test]
    fn failures_in_a_row_open_it_and_one_good_probe_closes_it() {
        let (guard, account, t0) = guard(9);
        let bad = Exchange::Lost(Doubt::ConnectionLost);
        for exchange in [&bad, &bad, &reply(200), &bad, &bad] {
            assert!(
                run(&guard, account, exchange, t0),
                "a success in between starts the count anew"
            );
        }
        assert_eq!(guard.refuses(account, t0), None);
        assert!(run(&guard, account, &bad, t0));
        assert_eq!(guard.refuses(account, t0), Some(NotSent::BreakerOpen));
        let almost = t0 + OPEN_FOR - Duration::from_millis(1);
        assert!(!run(&guard, account, &reply(200), almost));
        assert_eq!(guard.health(almost)[0].breaker, BreakerState::Open);

        let due = t0 + OPEN_FOR;
        assert_eq!(guard.refuses(account, due), None, "asking has no side effect");
        assert_eq!(guard.refuses(account, due), None);
        assert_eq!(guard.health(due)[0].breaker, BreakerState::HalfOpen);
        let probe = guard.admit(account, true, due).ok().unwrap();
        assert_eq!(guard.refuses(account, due), Some(NotSent::BreakerOpen), "one probe at a time");
        assert!(guard.admit(account, true, due).is_err());
        probe.judge(&reply(502), due);
        assert_eq!(guard.refuses(account, due + OPEN_FOR / 2), Some(NotSent::BreakerOpen));

        assert!(run(&guard, account, &reply(402), due + OPEN_FOR));
        assert_eq!(guard.health(due + OPEN_FOR)[0].breaker, BreakerState::Closed);
        assert_eq!(guard.refuses(account, due + OPEN_FOR), None);
    }

    #[test]
    fn a_probe_without_a_verdict_makes_room_for_the_next() {
        let (guard, account, t0) = guard(9);
        for _ in 0..3 {
            run(&guard, account, &reply(500), t0);
        }
        let due = t0 + OPEN_FOR;
        drop(guard.admit(account, true, due).ok().unwrap());
        assert_eq!(guard.refuses(account, due), None, "an aborted probe");
        let late = guard.admit(account, true, due).ok().unwrap();
        late.judge(&Exchange::NotSent(NotSent::TooLate), due);
        assert_eq!(guard.refuses(account, due), None, "a probe that was never sent");
        assert!(run(&guard, account, &reply(200), due));
        assert_eq!(
            guard.health(due)[0],
            AccountHealth { account, breaker: BreakerState::Closed, in_flight: 0 }
        );
    }

    #[test]
    fn a_call_from_before_the_opening_changes_nothing() {
        let (guard, account, t0) = guard(9);
        let early = guard.admit(account, true, t0).ok().unwrap();
        let exempt = guard.admit(account, false, t0).ok().unwrap();
        for _ in 0..3 {
            run(&guard, account, &reply(500), t0);
        }
        early.judge(&reply(200), t0);
        exempt.judge(&reply(200), t0);
        assert_eq!(guard.refuses(account, t0), Some(NotSent::BreakerOpen));
        assert!(guard.admit(account, false, t0).is_ok(), "an exempt call passes");
    }

    #[test]
    fn the_limit_holds_per_account_and_is_given_back() {
        let (guard, account, t0) = guard(2);
        let other = AccountId::from_parts(2, [8; 10]);
        let first = guard.admit(account, true, t0).ok().unwrap();
        let _second = guard.admit(account, true, t0).ok().unwrap();
        assert_eq!(guard.refuses(account, t0), Some(NotSent::TooManyInFlight));
        assert_eq!(guard.admit(account, true, t0).err(), Some(NotSent::TooManyInFlight));
        assert_eq!(guard.refuses(other, t0), None);
        assert_eq!(guard.health(t0)[0].in_flight, 2);
        drop(first);
        assert_eq!(guard.refuses(account, t0), None);
        assert_eq!(guard.health(t0)[0].in_flight, 1);
    }
}
