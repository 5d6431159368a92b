//! Points in time, in milliseconds since the Unix epoch.
//!
//! Guarantees: arithmetic saturates, conversions never panic. Left out: the current time. Nothing
//! in the pure crates reads a clock; whoever decides gets the time as an argument.

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

    /// Reads an RFC 3339 date and time with any offset. What is finer than a millisecond is cut
    /// off.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read_in_rfc3339() {
        #[rustfmt::skip]
        let rows = [
            (0,                   "1970-01-01T00:00:00.000Z"),
            (-1,                  "1969-12-31T23:59:59.999Z"),
            (1_795_176_000_000,   "2026-11-20T12:00:00.000Z"),
            (951_782_400_007,     "2000-02-29T00:00:00.007Z"),
            (RFC3339_RANGE.0,     "0000-01-01T00:00:00.000Z"),
            (RFC3339_RANGE.1,     "9999-12-31T23:59:59.999Z"),
        ];
        for (millis, text) in rows {
            let time = Timestamp::from_millis(millis);
            assert_eq!(
                (time.to_rfc3339(), format!("{time:?} {time}")),
                (text.into(), format!("{text} {text}"))
            );
            assert_eq!(Timestamp::parse_rfc3339(text), Ok(time));
        }
    }

    #[test]
    fn offsets_fractions_and_case_are_understood() {
        #[rustfmt::skip]
        let rows = [
            ("2026-11-20T14:30:00+02:30",       Some(1_795_176_000_000)),
            ("2026-11-20T12:00:00-00:00",       Some(1_795_176_000_000)),
            ("2026-11-20t12:00:00z",            Some(1_795_176_000_000)),
            ("2026-11-20T12:00:00.0019999Z",    Some(1_795_176_000_001)),
            ("1969-12-31T23:59:59.9999Z",       Some(-1)),
            ("2016-12-31T23:59:60Z",            Some(1_483_228_799_999)),
            ("2026-11-20T12:00:00",             None),
            ("2026-11-20",                      None),
            ("2026-02-29T12:00:00Z",            None),
            ("2026-11-20T24:00:00Z",            None),
            ("2026-11-20T12:00:00Z ",           None),
            ("1795176000000",                   None),
            ("",                                None),
        ];
        for (text, millis) in rows {
            assert_eq!(
                Timestamp::parse_rfc3339(text).ok().map(Timestamp::millis),
                millis,
                "{text}"
            );
        }
    }

    #[test]
    fn arithmetic_stops_at_the_ends() {
        let [first, zero, last] = [i64::MIN, 0, i64::MAX].map(Timestamp::from_millis);
        assert_eq!(last.plus_millis(1), last);
        assert_eq!(first.minus(1), first);
        assert_eq!((last.since(first), first.since(last)), (i64::MAX, i64::MIN));
        assert_eq!(zero.plus_millis(5).minus(2).since(zero), 3);
        assert_eq!(last.to_rfc3339(), "9999-12-31T23:59:59.999Z");
        assert_eq!(first.to_rfc3339(), "0000-01-01T00:00:00.000Z");
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_reads_back(millis in RFC3339_RANGE.0..=RFC3339_RANGE.1) {
            let time = Timestamp::from_millis(millis);
            assert_eq!(Timestamp::parse_rfc3339(&time.to_rfc3339()), Ok(time));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "(\\PC{0,30}|[-+0-9TZtz:.]{0,40})") {
            if let Ok(time) = Timestamp::parse_rfc3339(&text) {
                assert_eq!(Timestamp::parse_rfc3339(&time.to_rfc3339()), Ok(time));
            }
        }
    }
}
