//! The wall clock and the ids made from it.
//!
//! The only place of the crate that reads the clock and randomness. Ids are unique within a process by
//! their counter and between processes by their millisecond and a random start. They sort by time only
//! roughly; order in a list comes from the books.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const COUNTER_BITS: u32 = 39;

/// Milliseconds since 1970, UTC.
#[allow(clippy::disallowed_methods, reason = "the sandbox owns its own real clock")]
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// `2026-01-02T03:04:05.678Z`.
pub(crate) fn rfc3339(ms: i64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// Sixteen characters of base32 (80 bits), the same in every dialect; dialects put a prefix before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Id([u8; 16]);

impl Id {
    pub(crate) fn parse(text: &str) -> Option<Id> {
        let bytes: [u8; 16] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(|b| ALPHABET.contains(b)).then_some(Id(bytes))
    }

    /// Reads an id behind a dialect's prefix, for example `sp_`.
    pub(crate) fn parse_prefixed(prefix: &str, text: &str) -> Option<Id> {
        Id::parse(text.strip_prefix(prefix)?)
    }

    pub(crate) fn as_str(&self) -> &str {
        // Every byte comes from ALPHABET, so this is always text.
        std::str::from_utf8(&self.0).unwrap_or("")
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Id::parse(&text).ok_or_else(|| serde::de::Error::custom("not an id"))
    }
}

/// Makes ids; one per running sandbox.
#[derive(Debug)]
pub(crate) struct Ids(AtomicU64);

impl Ids {
    pub(crate) fn new() -> Ids {
        let mut start = [0u8; 8];
        // Without randomness ids are still unique in this process and differ by time from others.
        let _ = aws_lc_rs::rand::fill(&mut start);
        Ids(AtomicU64::new(u64::from_be_bytes(start)))
    }

    pub(crate) fn next(&self, now_ms: i64) -> Id {
        let count = self.0.fetch_add(1, Ordering::Relaxed) & ((1 << COUNTER_BITS) - 1);
        let time = u128::from(now_ms.unsigned_abs()) << COUNTER_BITS;
        let mut rest = time | u128::from(count);
        let mut bytes = [b'0'; 16];
        for byte in bytes.iter_mut().rev() {
            *byte = ALPHABET.get((rest & 31) as usize).copied().unwrap_or(b'0');
            rest >>= 5;
        }
        Id(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_read_back() {
        let ids = Ids::new();
        let now = now_ms();
        let made: Vec<Id> = (0..10_000).map(|_| ids.next(now)).collect();
        let unique: std::collections::HashSet<_> = made.iter().collect();
        assert_eq!(unique.len(), made.len());
        assert!(made.iter().all(|id| Id::parse(id.as_str()) == Some(*id)));
        assert_eq!(Id::parse("short"), None);
        assert_eq!(Id::parse("IIIIIIIIIIIIIIII"), None, "I is not in the alphabet");
    }

    #[test]
    fn times_are_written_in_rfc3339() {
        assert_eq!(rfc3339(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
    }
}
