//! Times, bounds and trust. Checked once, when [`Wire`](crate::Wire) is made.

use std::time::Duration;

use rustls::pki_types::CertificateDer;

/// The longest time that an answer may be awaited: the protocol's upper bound for a call in flight.
pub(crate) const MAX_ANSWER_TIMEOUT: Duration = Duration::from_secs(90);

/// Nothing here is meant to last longer, and arithmetic on times cannot overflow below it.
const MAX_PERIOD: Duration = Duration::from_secs(3600);

/// How connections are made and calls are bounded.
#[derive(Clone, Debug)]
pub struct WireConfig {
    /// For name resolution, TCP, TLS and HTTP/2's greeting together. Running out of it is proof that nothing left.
    pub connect_timeout: Duration,
    /// From the first byte of the request to the last of the answer; at most 90 s. Running out of it is
    /// doubt.
    pub answer_timeout: Duration,
    /// The largest body of an answer, in bytes.
    pub max_reply_bytes: usize,
    /// The most calls in flight per account.
    pub max_in_flight: usize,
    /// The most idle connections kept per account and origin.
    pub max_idle_per_origin: usize,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// When to stop calling a provider that fails.
    pub breaker: Breaker,
    /// Whether HTTP/2 is offered under TLS, beside HTTP/1.1. The provider chooses.
    pub http2: bool,
    /// Hosts that are offered HTTP/1.1 only.
    pub http1_hosts: Vec<String>,
    /// The most calls at once on one HTTP/2 connection. What breaks it leaves all of them in doubt.
    pub http2_max_streams: usize,
    /// Silence on an HTTP/2 connection after which a ping is sent; as much again without an answer ends it.
    pub http2_ping: Duration,
    /// Root certificates trusted beside the public ones.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// Whether the public ones are trusted at all.
    pub public_roots: bool,
}

/// When an account's breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Failures in a row that open it.
    pub failures: u32,
    /// How long it stays open before one call is let through as a probe.
    pub open_for: Duration,
}

impl Default for WireConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_millis(1500),
            answer_timeout: Duration::from_secs(60),
            max_reply_bytes: 1 << 20,
            max_in_flight: 256,
            max_idle_per_origin: 64,
            idle_timeout: Duration::from_secs(30),
            breaker: Breaker { failures: 5, open_for: Duration::from_secs(10) },
            http2: true,
            http1_hosts: Vec::new(),
            http2_max_streams: 16,
            http2_ping: Duration::from_secs(10),
            extra_roots: Vec::new(),
            public_roots: true,
        }
    }
}

/// A configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// This field is zero, or longer than makes sense: 90 s for the timeouts, an hour for the others.
    OutOfRange(&'static str),
    /// An extra root is not a certificate that can be an anchor of trust.
    BadRoot(String),
    /// The TLS library cannot be set up.
    Tls(String),
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OutOfRange(field) => write!(f, "{field} is out of range"),
            Self::BadRoot(why) => write!(f, "an extra root certificate cannot be used: {why}"),
            Self::Tls(why) => write!(f, "TLS cannot be set up: {why}"),
        }
    }
}

impl std::error::Error for ConfigError {}

impl WireConfig {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let in_range = [
            (
                "connect_timeout",
                !self.connect_timeout.is_zero() && self.connect_timeout <= MAX_ANSWER_TIMEOUT,
            ),
            (
                "answer_timeout",
                !self.answer_timeout.is_zero() && self.answer_timeout <= MAX_ANSWER_TIMEOUT,
            ),
            ("max_reply_bytes", self.max_reply_bytes > 0),
            ("max_in_flight", self.max_in_flight > 0),
            ("idle_timeout", self.idle_timeout <= MAX_PERIOD),
            ("http2_max_streams", self.http2_max_streams > 0),
            ("http2_ping", !self.http2_ping.is_zero() && self.http2_ping <= MAX_PERIOD),
            ("breaker.failures", self.breaker.failures > 0),
            ("breaker.open_for", self.breaker.open_for <= MAX_PERIOD),
        ];
        match in_range.into_iter().find(|(_, good)| !good) {
            Some((field, _)) => Err(ConfigError::OutOfRange(field)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_would_stop_all_calls_are_refused() {
        let good = WireConfig::default();
        assert_eq!(good.check(), Ok(()));
        let longest = WireConfig { answer_timeout: MAX_ANSWER_TIMEOUT, ..good.clone() };
        assert_eq!(longest.check(), Ok(()));

        let zero = Duration::ZERO;
        let long = MAX_PERIOD + Duration::from_millis(1);
        let none = Breaker { failures: 0, ..good.breaker };
        let rows = [
            ("connect_timeout", WireConfig { connect_timeout: zero, ..good.clone() }),
            ("answer_timeout", WireConfig { answer_timeout: zero, ..good.clone() }),
            (
                "answer_timeout",
                WireConfig {
                    answer_timeout: MAX_ANSWER_TIMEOUT + Duration::from_millis(1),
                    ..good.clone()
                },
            ),
            ("max_reply_bytes", WireConfig { max_reply_bytes: 0, ..good.clone() }),
            ("max_in_flight", WireConfig { max_in_flight: 0, ..good.clone() }),
            ("connect_timeout", WireConfig { connect_timeout: long, ..good.clone() }),
            ("idle_timeout", WireConfig { idle_timeout: long, ..good.clone() }),
            ("http2_max_streams", WireConfig { http2_max_streams: 0, ..good.clone() }),
            ("http2_ping", WireConfig { http2_ping: zero, ..good.clone() }),
            ("http2_ping", WireConfig { http2_ping: long, ..good.clone() }),
            ("breaker.failures", WireConfig { breaker: none, ..good.clone() }),
            (
                "breaker.open_for",
                WireConfig { breaker: Breaker { open_for: long, ..good.breaker }, ..good.clone() },
            ),
        ];
        for (field, config) in rows {
            assert_eq!(config.check(), Err(ConfigError::OutOfRange(field)));
        }
    }
}
