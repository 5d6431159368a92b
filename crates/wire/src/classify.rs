//! The table from evidence to what may be claimed. Pure.
//!
//! Guarantees: once a byte of the request was written, a failure is `NotSent` only where the provider says, by
//! a frame that the protocol keeps for it, that it did not process the request. Left out: answers, which
//! are not classified here but by the connector.

use baton_types::outcome::{Doubt, NotSent};

use crate::{Evidence, Exchange};

/// How far an exchange had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Resolving the host's name.
    Resolve,
    /// Opening the TCP connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// On an open connection: about to write, writing, or reading.
    Exchange,
}

impl Stage {
    /// The name as it is logged.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Exchange => "exchange",
        }
    }
}

/// What ended an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The stage's time ran out.
    TimedOut,
    /// The stage failed: no address, refused, unreachable, no trust, closed or reset.
    Broken,
    /// `send_by` had come when the first byte was to be written.
    Late,
    /// The head of the answer is not HTTP.
    NotHttp,
    /// The answer is larger than the bound.
    TooLarge,
    /// The provider said that it did not process the request, and nothing that contradicts it. HTTP/2 has
    /// two frames that say so; HTTP/1.1 has none.
    Unprocessed,
}

/// What may be claimed about a call that got no whole answer.
///
/// | stage | bytes of the request written | failure | claim |
/// |---|---|---|---|
/// | resolve | 0 | broken | not sent: `dns_failed` |
/// | connect | 0 | broken | not sent: `connect_failed` |
/// | tls | 0 | broken | not sent: `tls_failed` |
/// | these three | 0 | timed out | not sent: `connect_timeout` |
/// | exchange | 0 | late | not sent: `too_late` |
/// | exchange | 0 | broken, not HTTP, too large | not sent: `closed_before_sending` |
/// | exchange | any, no answer | unprocessed | not sent: `stream_refused` |
/// | any | > 0 | not HTTP | lost: `unreadable` |
/// | any | > 0 | too large | lost: `answer_cut_short` |
/// | any | > 0, answer begun | timed out, broken, unprocessed | lost: `answer_cut_short` |
/// | any | > 0, no answer | timed out | lost: `answer_timeout` |
/// | any | > 0, no answer | broken | lost: `connection_lost` |
///
/// Pairs that cannot meet get the more careful claim.
#[must_use]
pub fn classify(stage: Stage, evidence: &Evidence, failure: Failure) -> Exchange {
    let contradicted = stage != Stage::Exchange || evidence.reply_bytes > 0;
    if failure == Failure::Unprocessed && !contradicted {
        return Exchange::NotSent(NotSent::StreamRefused);
    }
    if evidence.request_bytes > 0 {
        return Exchange::Lost(doubt(evidence.reply_bytes > 0, failure));
    }
    let why = match (stage, failure) {
        (Stage::Resolve | Stage::Connect | Stage::Tls, Failure::TimedOut) => {
            NotSent::ConnectTimeout
        }
        (_, Failure::Late) => NotSent::TooLate,
        (Stage::Resolve, Failure::Broken | Failure::NotHttp | Failure::TooLarge) => {
            NotSent::DnsFailed
        }
        (Stage::Connect, Failure::Broken | Failure::NotHttp | Failure::TooLarge) => {
            NotSent::ConnectFailed
        }
        (Stage::Tls, Failure::Broken | Failure::NotHttp | Failure::TooLarge) => NotSent::TlsFailed,
        (Stage::Exchange, Failure::Broken | Failure::NotHttp | Failure::TooLarge) => {
            NotSent::ClosedBeforeSending
        }
        // No known way leads here: the socket would have to refuse its first byte for the whole time.
        (Stage::Exchange, Failure::TimedOut) => return Exchange::Lost(Doubt::AnswerTimeout),
        // Nor here: what was not asked cannot be refused.
        (_, Failure::Unprocessed) => return Exchange::Lost(Doubt::ConnectionLost),
    };
    Exchange::NotSent(why)
}

fn doubt(answer_begun: bool, failure: Failure) -> Doubt {
    match failure {
        Failure::NotHttp => Doubt::Unreadable,
        Failure::TooLarge => Doubt::AnswerCutShort,
        Failure::TimedOut | Failure::Broken | Failure::Unprocessed if answer_begun => {
            Doubt::AnswerCutShort
        }
        Failure::TimedOut => Doubt::AnswerTimeout,
        Failure::Broken | Failure::Late | Failure::Unprocessed => Doubt::ConnectionLost,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STAGES: [Stage; 4] = [Stage::Resolve, Stage::Connect, Stage::Tls, Stage::Exchange];
    const FAILURES: [Failure; 6] = [
        Failure::TimedOut,
        Failure::Broken,
        Failure::Late,
        Failure::NotHttp,
        Failure::TooLarge,
        Failure::Unprocessed,
    ];

    fn evidence(request_bytes: u64, reply_bytes: u64) -> Evidence {
        Evidence { request_bytes, reply_bytes, ..Evidence::default() }
    }

    #[test]
    fn the_table_is_as_documented() {
        use Exchange::{Lost, NotSent as Not};
        let rows = [
            (Stage::Resolve, 0, 0, Failure::Broken, Not(NotSent::DnsFailed)),
            (Stage::Resolve, 0, 0, Failure::TimedOut, Not(NotSent::ConnectTimeout)),
            (Stage::Connect, 0, 0, Failure::Broken, Not(NotSent::ConnectFailed)),
            (Stage::Connect, 0, 0, Failure::TimedOut, Not(NotSent::ConnectTimeout)),
            (Stage::Tls, 0, 0, Failure::Broken, Not(NotSent::TlsFailed)),
            (Stage::Tls, 0, 0, Failure::TimedOut, Not(NotSent::ConnectTimeout)),
            (Stage::Exchange, 0, 0, Failure::Late, Not(NotSent::TooLate)),
            (Stage::Exchange, 0, 0, Failure::Broken, Not(NotSent::ClosedBeforeSending)),
            (Stage::Exchange, 0, 9, Failure::NotHttp, Not(NotSent::ClosedBeforeSending)),
            (Stage::Exchange, 0, 0, Failure::TimedOut, Lost(Doubt::AnswerTimeout)),
            (Stage::Exchange, 1, 0, Failure::Broken, Lost(Doubt::ConnectionLost)),
            (Stage::Exchange, 1, 0, Failure::TimedOut, Lost(Doubt::AnswerTimeout)),
            (Stage::Exchange, 1, 1, Failure::Broken, Lost(Doubt::AnswerCutShort)),
            (Stage::Exchange, 1, 1, Failure::TimedOut, Lost(Doubt::AnswerCutShort)),
            (Stage::Exchange, 1, 1, Failure::TooLarge, Lost(Doubt::AnswerCutShort)),
            (Stage::Exchange, 1, 1, Failure::NotHttp, Lost(Doubt::Unreadable)),
            (Stage::Exchange, 0, 0, Failure::Unprocessed, Not(NotSent::StreamRefused)),
            (Stage::Exchange, 9, 0, Failure::Unprocessed, Not(NotSent::StreamRefused)),
            (Stage::Exchange, 9, 9, Failure::Unprocessed, Lost(Doubt::AnswerCutShort)),
            (Stage::Exchange, 0, 9, Failure::Unprocessed, Lost(Doubt::ConnectionLost)),
            (Stage::Tls, 0, 0, Failure::Unprocessed, Lost(Doubt::ConnectionLost)),
            (Stage::Exchange, 1, 0, Failure::Late, Lost(Doubt::ConnectionLost)),
        ];
        for (stage, request, reply, failure, want) in rows {
            let got = classify(stage, &evidence(request, reply), failure);
            assert_eq!(got, want, "{stage:?} {request} {reply} {failure:?}");
        }
    }

    proptest! {
        #[test]
        fn a_written_byte_is_not_sent_only_by_the_providers_own_word(
            stage in prop::sample::select(&STAGES[..]),
            failure in prop::sample::select(&FAILURES[..]),
            request_bytes in prop_oneof![Just(0_u64), Just(1), Just(u64::MAX), any::<u64>()],
            reply_bytes in prop_oneof![Just(0_u64), any::<u64>()],
        ) {
            let got = classify(stage, &evidence(request_bytes, reply_bytes), failure);
            prop_assert!(!matches!(got, Exchange::Reply(_)), "a failure is no answer");
            let their_word = failure == Failure::Unprocessed && reply_bytes == 0;
            if request_bytes > 0 && !(their_word && stage == Stage::Exchange) {
                prop_assert!(matches!(got, Exchange::Lost(_)), "{got:?}");
            }
        }
    }
}
