//! The one source of time and of random bits. A simulator puts its own in its place.

use baton_types::{Id, Kind, Timestamp};

/// Time and randomness.
pub trait Clock: Send + Sync {
    /// The time of day.
    fn now(&self) -> Timestamp;

    /// Unpredictable bytes.
    fn random(&self, bytes: &mut [u8]);
}

/// The machine's own clock and its operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let millis = since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        Timestamp::from_millis(millis)
    }

    fn random(&self, bytes: &mut [u8]) {
        if aws_lc_rs::rand::fill(bytes).is_err() {
            // Ids and keys that could be guessed are worse than no service.
            tracing::error!("the operating system gives no randomness; stopping");
            std::process::abort();
        }
    }
}

/// A new id: time-ordered, unpredictable in its last 74 bits.
pub fn new_id<K: Kind>(clock: &dyn Clock) -> Id<K> {
    let mut random = [0_u8; 10];
    clock.random(&mut random);
    Id::from_parts(u64::try_from(clock.now().millis()).unwrap_or(0), random)
}
