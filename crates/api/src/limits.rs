//! How many requests a key may make, and how often a peer may fail to show one.
//!
//! Guarantees: of one key never more than its burst at once and its rate after that pass this node; taking a
//! request off is one read lock and one atomic operation; memory is bounded (keys that rest are forgotten,
//! which changes nothing for them; peers beyond the bound share one budget). Left out: anything shared
//! between nodes: two nodes together let twice as much through. Addresses are those of the connection: what a
//! proxy says of its clients is not believed.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use baton_types::ApiKeyId;
use tokio::time::Instant;

/// The highest rate and burst that can be set; beyond them a limit is none.
pub const RATE_MAX: u32 = 1_000_000;

/// Most peers with a budget of their own.
const PEERS_MAX: usize = 10_000;

/// From how many keys on it is looked which of them rest.
const KEYS_SWEEP: usize = 1_024;

const SECOND: u64 = 1_000_000_000;

/// What this node lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests per second of each key that has no limit of its own; 0 is no limit.
    pub requests_per_second: u32,
    /// How many may come at once after a rest.
    pub burst: u32,
    /// How often a minute one address may come without a valid key; 0 is no limit.
    pub failed_keys_per_minute: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { requests_per_second: 500, burst: 1_000, failed_keys_per_minute: 120 }
    }
}

/// A rate with its burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Quota {
    /// Nanoseconds in which one request is earned back.
    interval: u64,
    burst: u32,
}

impl Quota {
    /// `None` is no limit.
    fn new(count: u32, per: u64, burst: u32) -> Option<Self> {
        let interval = per.checked_div(count.into())?.max(1);
        Some(Self { interval, burst: burst.clamp(1, RATE_MAX) })
    }

    /// The time in which an empty budget is full again.
    fn whole(self) -> u64 {
        self.interval.saturating_mul(self.burst.into())
    }
}

/// What is left to a key after a request; as the headers have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// Requests in a full budget.
    pub(crate) limit: u32,
    /// How many of them are left now.
    pub(crate) remaining: u32,
    /// Seconds until the budget is full again, rounded up.
    pub(crate) reset: u64,
}

/// Why a request does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany {
    pub(crate) left: Left,
    /// Nanoseconds until one would pass.
    wait: u64,
}

impl TooMany {
    /// Seconds to wait, rounded up, and so never none.
    pub(crate) fn retry_after(self) -> u64 {
        self.wait.div_ceil(SECOND).max(1)
    }
}

/// A budget, kept as the one time at which it would be full again (a "virtual scheduling" leaky bucket).
/// Times are nanoseconds since the limiter was made.
struct Bucket {
    quota: Quota,
    full_at: AtomicU64,
}

impl Bucket {
    fn new(quota: Quota) -> Self {
        Self { quota, full_at: AtomicU64::new(0) }
    }

    fn take(&self, now: u64) -> Result<Left, TooMany> {
        let whole = self.quota.whole();
        let spend = |full_at: u64| {
            let spent = full_at.max(now).saturating_add(self.quota.interval);
            (spent.saturating_sub(now) <= whole).then_some(spent)
        };
        // Nothing else is guarded by it.
        let taken = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend);
        match taken {
            Ok(before) => Ok(self.left(now, before.max(now).saturating_add(self.quota.interval))),
            Err(full_at) => {
                let wait = full_at.saturating_add(self.quota.interval).saturating_sub(now) - whole;
                Err(TooMany { left: self.left(now, full_at), wait })
            }
        }
    }

    fn left(&self, now: u64, full_at: u64) -> Left {
        let owed = full_at.saturating_sub(now);
        let remaining = self.quota.whole().saturating_sub(owed) / self.quota.interval;
        Left {
            limit: self.quota.burst,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            reset: owed.div_ceil(SECOND),
        }
    }

    /// What `take` would say, without taking.
    fn refuses(&self, now: u64) -> Option<TooMany> {
        let twin = Self { quota: self.quota, full_at: self.full_at.load(Ordering::Relaxed).into() };
        twin.take(now).err()
    }

    /// Whether it is full, so that forgetting it changes nothing.
    fn rests(&self, now: u64) -> bool {
        self.full_at.load(Ordering::Relaxed) <= now
    }
}

/// Who takes: a key by its id, or the operator, whose key has none.
pub(crate) type Who = Option<ApiKeyId>;

/// All budgets of this node.
pub(crate) struct Limiter {
    began: Instant,
    default: Option<Quota>,
    keys: RwLock<Keys>,
    failures: Option<Failures>,
}

#[derive(Default)]
struct Keys {
    buckets: HashMap<Who, Arc<Bucket>>,
    sweep_at: usize,
}

struct Failures {
    quota: Quota,
    peers: RwLock<HashMap<IpAddr, Bucket>>,
    /// The budget of all peers for which there was no room.
    crowd: Bucket,
}

impl Limiter {
    pub(crate) fn new(limits: Limits) -> Self {
        let failures = limits.failed_keys_per_minute;
        let failures = Quota::new(failures, 60 * SECOND, failures);
        Self {
            began: Instant::now(),
            default: Quota::new(limits.requests_per_second, SECOND, limits.burst),
            keys: RwLock::default(),
            failures: failures.map(|quota| Failures {
                quota,
                peers: RwLock::default(),
                crowd: Bucket::new(quota),
            }),
        }
    }

    /// Takes one request off a key's budget. `None` is no limit.
    pub(crate) fn take(&self, who: Who, own_rate: Option<u32>) -> Option<Result<Left, TooMany>> {
        // A key's own limit may be doubled for a moment, like the default one.
        let own = own_rate.and_then(|rate| Quota::new(rate, SECOND, rate.saturating_mul(2)));
        let quota = own.or(self.default)?;
        let now = self.now();
        Some(self.bucket(who, quota, now).take(now))
    }

    fn bucket(&self, who: Who, quota: Quota, now: u64) -> Arc<Bucket> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let known = |keys: &Keys| {
            keys.buckets.get(&who).filter(|bucket| bucket.quota == quota).map(Arc::clone)
        };
        if let Some(bucket) = known(&keys) {
            return bucket;
        }
        drop(keys);
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = known(&keys) {
            return bucket;
        }
        if keys.buckets.len() >= keys.sweep_at.max(KEYS_SWEEP) {
            keys.buckets.retain(|_, bucket| !bucket.rests(now));
            // Twice as many: looking at all of them stays rare, however many are busy.
            keys.sweep_at = keys.buckets.len().saturating_mul(2);
        }
        let bucket = Arc::new(Bucket::new(quota));
        keys.buckets.insert(who, Arc::clone(&bucket));
        bucket
    }

    /// Whether a peer has come without a valid key too often.
    pub(crate) fn failed_too_often(&self, peer: IpAddr) -> Option<TooMany> {
        let failures = self.failures.as_ref()?;
        let peers = failures.peers.read().unwrap_or_else(PoisonError::into_inner);
        let bucket = match peers.get(&network(peer)) {
            Some(bucket) => bucket,
            None if peers.len() < PEERS_MAX => return None,
            None => &failures.crowd,
        };
        bucket.refuses(self.now())
    }

    /// Notes that a peer has come without a valid key.
    pub(crate) fn failed(&self, peer: IpAddr) {
        let Some(failures) = &self.failures else { return };
        let (peer, now) = (network(peer), self.now());
        let mut peers = failures.peers.write().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= PEERS_MAX && !peers.contains_key(&peer) {
            peers.retain(|_, bucket| !bucket.rests(now));
        }
        let room = peers.len() < PEERS_MAX || peers.contains_key(&peer);
        let bucket = if room {
            peers.entry(peer).or_insert_with(|| Bucket::new(failures.quota))
        } else {
            &failures.crowd
        };
        // The request is answered already; a budget that is used up cannot be used more.
        let _spent = bucket.take(now);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// What counts as one peer: an IPv4 address, or the network that one IPv6 customer is given.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn quota(count: u32, burst: u32) -> Quota {
        Quota::new(count, SECOND, burst).unwrap()
    }

    #[test]
    fn a_burst_passes_at_once_and_the_rate_after_it() {
        let bucket = Bucket::new(quota(10, 3));
        let rows = [
            (0, Ok((2, 1))),
            (0, Ok((1, 1))),
            (0, Ok((0, 1))),
            (0, Err(1)),
            (99_999_999, Err(1)),
            (100_000_000, Ok((0, 1))),
            (100_000_000, Err(1)),
            (10 * SECOND, Ok((2, 1))),
        ];
        for (now, want) in rows {
            let got = bucket.take(now);
            assert!(got.unwrap_or_else(|many| many.left).limit == 3);
            let got = got.map(|left| (left.remaining, left.reset)).map_err(TooMany::retry_after);
            assert_eq!(got, want, "{now}");
        }
        let slow = Bucket::new(Quota::new(2, 60 * SECOND, 2).unwrap());
        assert_eq!(slow.take(0).map(|left| left.reset), Ok(30));
        assert_eq!(slow.take(0).map(|left| left.reset), Ok(60));
        assert_eq!(slow.take(SECOND).map_err(TooMany::retry_after), Err(29));
        assert_eq!(slow.refuses(SECOND).map(TooMany::retry_after), Some(29));
        assert_eq!(slow.refuses(30 * SECOND), None, "and asking takes nothing");
        assert_eq!(slow.refuses(30 * SECOND), None);
    }

    proptest! {
        /// In any span, no more than the burst and what the span earns; and the wait that is told is exact.
        #[test]
        fn no_span_sees_more_than_it_may(
            count in 1_u32..2_000,
            burst in 1_u32..50,
            gaps in prop::collection::vec(0_u64..3_000_000_000, 1..120),
        ) {
            let bucket = Bucket::new(quota(count, burst));
            let mut now = 0;
            let mut passed = Vec::new();
            for gap in gaps {
                now += gap % (bucket.quota.interval * 3);
                match bucket.take(now) {
                    Ok(_) => passed.push(now),
                    Err(many) => {
                        prop_assert!(bucket.refuses(now + many.wait - 1).is_some());
                        prop_assert!(bucket.refuses(now + many.wait).is_none());
                    }
                }
            }
            for (first, begun) in passed.iter().enumerate() {
                for (last, ended) in passed.iter().enumerate().skip(first) {
                    let seen = (last - first + 1) as u64;
                    let may = u64::from(burst) + (ended - begun) / bucket.quota.interval;
                    prop_assert!(seen <= may, "{seen} in {} ns", ended - begun);
                }
            }
        }
    }

    #[test]
    fn many_threads_together_get_one_burst() {
        let bucket = Bucket::new(quota(1, 100));
        let passed = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        if bucket.take(7).is_ok() {
                            passed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(passed.into_inner(), 100);
    }

    fn key(n: u64) -> Who {
        Some(ApiKeyId::from_parts(n, [1; 10]))
    }

    #[tokio::test(start_paused = true)]
    async fn each_key_has_its_own_budget_and_its_own_limit_if_it_has_one() {
        let limits = Limits { requests_per_second: 1, burst: 2, failed_keys_per_minute: 0 };
        let limiter = Limiter::new(limits);
        let passes =
            |who, own| (0..100).filter(|_| limiter.take(who, own).unwrap().is_ok()).count();
        assert_eq!(passes(key(1), None), 2);
        assert_eq!(passes(key(2), None), 2);
        assert_eq!(passes(None, None), 2, "the operator");
        assert_eq!(passes(key(3), Some(5)), 10, "its own, doubled for a moment");
        assert_eq!(passes(key(3), Some(5)), 0);
        assert_eq!(passes(key(3), Some(6)), 12, "a changed limit begins anew");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((passes(key(1), None), passes(key(3), Some(6))), (1, 6));
        let off = Limiter::new(Limits { requests_per_second: 0, ..limits });
        assert!(off.take(key(1), None).is_none());
        assert!(off.take(key(1), Some(1)).is_some(), "its own limit holds all the same");
    }

    #[tokio::test(start_paused = true)]
    async fn keys_that_rest_are_forgotten_and_busy_ones_are_not() {
        let limits = Limits { requests_per_second: 1, burst: 5, failed_keys_per_minute: 0 };
        let limiter = Limiter::new(limits);
        for n in 0..50_000 {
            if n % 500 == 0 {
                tokio::time::advance(Duration::from_secs(2)).await;
                for _ in 0..5 {
                    let _emptied = limiter.take(key(u64::MAX >> 20), None);
                }
            }
            limiter.take(key(n), None).unwrap().unwrap();
        }
        assert!(limiter.keys.read().unwrap().buckets.len() <= 2 * KEYS_SWEEP);
        assert!(
            limiter.take(key(u64::MAX >> 20), None).unwrap().is_err(),
            "it was never forgotten"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_fails_too_often_is_told_so_and_others_are_not() {
        let limits = Limits { failed_keys_per_minute: 6, ..Limits::default() };
        let limiter = Limiter::new(limits);
        let [a, b]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        for _ in 0..6 {
            assert_eq!(limiter.failed_too_often(a), None);
            limiter.failed(a);
        }
        assert_eq!(limiter.failed_too_often(a).map(TooMany::retry_after), Some(10));
        assert_eq!(limiter.failed_too_often(b), None);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(limiter.failed_too_often(a), None);
        limiter.failed(a);
        assert!(limiter.failed_too_often(a).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn no_number_of_addresses_takes_more_than_the_bound() {
        let limiter = Limiter::new(Limits { failed_keys_per_minute: 1, ..Limits::default() });
        let address = |n: u32| IpAddr::from(n.to_be_bytes());
        let held =
            |limiter: &Limiter| limiter.failures.as_ref().unwrap().peers.read().unwrap().len();
        for n in 0..11_000 {
            limiter.failed(address(n));
        }
        assert_eq!(held(&limiter), PEERS_MAX);
        assert!(limiter.failed_too_often(address(1)).is_some(), "it keeps its own");
        assert!(limiter.failed_too_often(address(99_999)).is_some(), "all others share one");
        tokio::time::advance(Duration::from_secs(61)).await;
        limiter.failed(address(99_999));
        assert_eq!(held(&limiter), 1, "whoever rests makes room");
    }

    #[test]
    fn one_customers_network_is_one_peer() {
        let rows = [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ];
        for (address, want) in rows {
            assert_eq!(network(address.parse().unwrap()).to_string(), want);
        }
    }
}
