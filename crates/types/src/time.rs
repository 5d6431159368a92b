//! Points in time, in milliseconds since the Unix epoch.
//!
//! Guarantees: arithmetic saturates, conversions never panic. Left out: the current time. Nothing in the
//! pure crates reads a clock; whoever decides gets the time as an argument.

use std::fmt;

use ::time::format_description::well_known::Rfc3339;
use ::time::{Duration, OffsetDateTime};
use serde::{Deserialize, Serialize};

/// A point in time; serialised as integer milliseconds since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// The first and last millisecond that RFC 3339 can write: years 0000 to 9999.
const RFC3339_RANGE: (i64, i64) = (-62_167_219_200_000, 253_402_300_799_999);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Later by `millis`, or the last representable time.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Earlier by `millis`, or the first representable time.
    #[must_use]
    pub const fn minus(self, millis: i64) -> Self {
        Self(self.0.saturating_sub(millis))
    }

    /// Milliseconds from `earlier` until this; negative if `earlier` is in fact later; saturating.
    #[must_use]
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// RFC 3339 in UTC with milliseconds: `2026-11-20T12:00:00.000Z`.
    ///
    /// RFC 3339 ends at the year 9999; a time outside it is written as the nearest one inside.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        let (first, last) = RFC3339_RANGE;
        let t = OffsetDateTime::UNIX_EPOCH
            .saturating_add(Duration::milliseconds(self.0.clamp(first, last)));
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second(),
            t.millisecond()
        )
    }

    /// Reads an RFC 3339 date and time with any offset. What is finer than a millisecond is cut off.
    ///
    /// # Errors
    /// `TimeError` where the text is not RFC 3339 or not a date of the calendar.
    pub fn parse_rfc3339(text: &str) -> Result<Self, TimeError> {
        let parsed = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| TimeError)?;
        let millis = parsed.unix_timestamp_nanos().div_euclid(1_000_000);
        i64::try_from(millis).map(Self).map_err(|_| TimeError)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not an RFC 3339 date and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeError;

impl fmt::Display for TimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a date and time such as 2026-11-20T12:00:00Z (RFC 3339)")
    }
}

impl std::error::Error for TimeError {}
