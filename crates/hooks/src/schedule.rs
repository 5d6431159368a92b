//! When a webhook that was not taken is sent again.

/// The published schedule: the pause before each retry, in seconds. +1 minute, 2 × 5 minutes, 5 × 10 minutes,
/// 5 × 1 hour, 3 × 6 hours.
pub const RETRIES: [i64; 16] = [
    60, 300, 300, 600, 600, 600, 600, 600, 3_600, 3_600, 3_600, 3_600, 3_600, 21_600, 21_600,
    21_600,
];

/// A schedule of retries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule(Vec<i64>);

impl Default for Schedule {
    fn default() -> Self {
        Self(RETRIES.iter().map(|seconds| seconds.saturating_mul(1_000)).collect())
    }
}

impl Schedule {
    /// Pauses in milliseconds, instead of the published ones.
    #[must_use]
    pub fn of_millis(pauses: Vec<i64>) -> Self {
        Self(pauses)
    }

    /// How long to wait after so many tries have failed, in milliseconds; none when that was the last.
    #[must_use]
    pub fn after(&self, tries: u32) -> Option<i64> {
        let index = usize::try_from(tries.checked_sub(1)?).ok()?;
        self.0.get(index).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_schedule_has_sixteen_retries_in_a_day() {
        let schedule = Schedule::default();
        let minutes: Vec<i64> =
            (1..).map_while(|n| schedule.after(n)).map(|ms| ms / 60_000).collect();
        assert_eq!(minutes, [1, 5, 5, 10, 10, 10, 10, 10, 60, 60, 60, 60, 60, 360, 360, 360]);
        assert_eq!(schedule.after(0), None);
        assert_eq!(schedule.after(17), None);
        assert_eq!(Schedule::of_millis(vec![5]).after(1), Some(5));
        assert_eq!(Schedule::of_millis(vec![5]).after(2), None);
    }
}
