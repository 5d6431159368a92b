//! What goes wrong, and how often: three kinds of day, each rate of which a user may set.

use serde::{Deserialize, Serialize};

/// How bad a day is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    /// A good week at good providers: few calls in a thousand go wrong, and no process dies.
    #[default]
    Mild,
    /// A provider has an incident, a node is restarted.
    Bad,
    /// Everything that can go wrong does, all the time.
    Terrible,
}

impl Day {
    /// Every day.
    pub const ALL: [Self; 3] = [Self::Mild, Self::Bad, Self::Terrible];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mild => "mild",
            Self::Bad => "bad",
            Self::Terrible => "terrible",
        }
    }

    /// Its rates.
    #[must_use]
    pub const fn faults(self) -> Faults {
        match self {
            Self::Mild => MILD,
            Self::Bad => BAD,
            Self::Terrible => TERRIBLE,
        }
    }
}

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident: $mild:literal, $bad:literal, $terrible:literal;)*) => {
        /// Rates of faults. A rate of calls is per million calls of its kind; a rate of incidents is per
        /// million orders of a world.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Faults {
            $($(#[$doc])* pub $name: u32,)*
        }

        const MILD: Faults = Faults { $($name: $mild,)* };
        const BAD: Faults = Faults { $($name: $bad,)* };
        const TERRIBLE: Faults = Faults { $($name: $terrible,)* };

        /// Some of the rates, as a file sets them.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct SomeFaults {
            $(#[serde(default)] $name: Option<u32>,)*
        }

        impl Faults {
            /// These rates, but for those that are set.
            #[must_use]
            pub fn with(mut self, some: &SomeFaults) -> Self {
                $(if let Some(rate) = some.$name {
                    self.$name = rate;
                })*
                self
            }

            /// Every rate by its name.
            #[must_use]
            pub fn named(&self) -> Vec<(&'static str, u32)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

faults! {
    // The provider, per call that moves money.
    /// It commits, and the connection breaks before the answer.
    answer_lost: 800, 8_000, 40_000;
    /// It commits, and never answers.
    answer_hangs: 300, 4_000, 20_000;
    /// It commits, and answers 500.
    error_after: 300, 4_000, 20_000;
    /// It answers 503 and has done nothing.
    error_before: 1_000, 10_000, 40_000;
    /// The connection breaks before it has done anything.
    request_lost: 500, 4_000, 20_000;
    /// The connection breaks, and it executes the request later, within its bound.
    late: 200, 3_000, 20_000;
    /// It commits, and answers 200 with bytes that mean nothing.
    garbage: 100, 1_000, 10_000;
    /// It commits, and the answer arrives in part.
    cut_short: 100, 1_000, 10_000;
    /// It turns the request away with 429.
    rate_limited: 500, 5_000, 20_000;
    /// No connection can be made.
    unreachable: 500, 5_000, 20_000;
    /// Something on the way sends the request twice; the second answer is the one that arrives.
    sent_twice: 50, 500, 5_000;
    /// It takes up to twenty seconds.
    slow: 2_000, 20_000, 50_000;
    // The provider, per look-up.
    /// The look-up gets no answer, or a bad one.
    look_up_fails: 1_000, 20_000, 150_000;
    // The provider, per webhook.
    /// It is never sent.
    webhook_lost: 1_000, 10_000, 100_000;
    /// It is sent again later.
    webhook_twice: 10_000, 50_000, 200_000;
    /// It comes minutes late, after younger ones.
    webhook_late: 10_000, 50_000, 200_000;
    // The provider's incidents, per million orders.
    /// A time in which nothing can be connected.
    outage: 300, 3_000, 20_000;
    /// A time in which it takes no payments, but answers look-ups.
    brownout: 300, 3_000, 20_000;
    /// A time in which it commits and most answers are lost.
    blackhole: 100, 2_000, 20_000;
    // Ours, per commit.
    /// The acknowledgement is lost; it was committed or not.
    commit_in_doubt: 50, 1_000, 10_000;
    /// Nothing is committed.
    commit_fails: 50, 1_000, 10_000;
    // Ours, per million orders.
    /// A node is killed and started again.
    crash: 0, 3_000, 30_000;
    /// A node stands still for up to five minutes.
    suspension: 0, 1_500, 15_000;
    /// A node's clock jumps by up to two seconds.
    clock_jump: 0, 1_500, 15_000;
    /// The disk takes no more writes for some seconds.
    disk_full: 0, 1_500, 15_000;
    /// The disk is slow for some seconds.
    disk_slow: 500, 3_000, 20_000;
    /// The database fails over: seconds without it, and commits in doubt.
    database_failover: 0, 1_500, 10_000;
    // Clients, per order.
    /// The client repeats its request at another node while the first one runs.
    repeated: 1_000, 10_000, 50_000;
    /// The provider asks the payer to act.
    challenge: 5_000, 10_000, 30_000;
    /// The provider answers that the result follows.
    pending: 2_000, 10_000, 30_000;
    /// The provider approves less than was asked for.
    partial: 500, 2_000, 10_000;
    // Broken promises: none of the days has any. The second table sets them.
    /// The request is executed after the provider's bound.
    beyond_bound: 0, 0, 0;
    /// The look-up shows an operation later than the provider says.
    lag_beyond_bound: 0, 0, 0;
    /// The provider settles what it denied.
    settles_denied: 0, 0, 0;
    /// A node is stopped between its last check and its first byte.
    stopped_before_write: 0, 0, 0;
    /// A node's clock jumps forward by up to a minute.
    clock_leap: 0, 0, 0;
}

impl Default for Faults {
    fn default() -> Self {
        MILD
    }
}

impl Faults {
    /// A world without any fault.
    #[must_use]
    pub fn none() -> Self {
        let nothing = Self::default().named().into_iter().map(|(name, _)| format!("{name} = 0\n"));
        let text: String = nothing.collect();
        toml::from_str(&text).map_or_else(|_| Self::default(), |some| Self::default().with(&some))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_get_worse_and_none_breaks_a_promise() {
        let named = Day::ALL.map(|day| day.faults().named());
        for ((mild, bad), terrible) in named[0].iter().zip(&named[1]).zip(&named[2]) {
            assert!(mild.1 <= bad.1 && bad.1 <= terrible.1, "{mild:?} {bad:?} {terrible:?}");
        }
        let broken = ["beyond_bound", "lag_beyond_bound", "settles_denied", "stopped_before_write"];
        let kept = |(name, rate): &&(&str, u32)| broken.contains(name) && *rate > 0;
        assert_eq!(named[2].iter().find(kept), None);
        assert!(Faults::none().named().iter().all(|(_, rate)| *rate == 0));
    }

    #[test]
    fn a_file_sets_some_rates() {
        let some: SomeFaults = toml::from_str("answer_lost = 7").unwrap();
        let faults = Day::Bad.faults().with(&some);
        assert_eq!((faults.answer_lost, faults.late), (7, 3_000));
        assert!(toml::from_str::<SomeFaults>("answer_lsot = 7").is_err());
    }
}
