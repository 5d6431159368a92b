//! What is known about a call to a provider: the outcome classes of the failover protocol.
//!
//! The class is chosen by evidence, never by the kind of exception. `Unknown` is the default: every
//! other class has to be earned with proof (`NotSent`) or with an answer that could be parsed. Both the
//! connectors, which read answers, and the state machines, which decide what follows, speak these words;
//! neither knows how the other works.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{DeclineCode, DeclinedBy, Money};

/// The result of one operation at one provider, by what is known about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "class", rename_all = "snake_case")]
pub enum Outcome {
    /// Proof that no byte of the request left us, or that the provider did not process it.
    NotSent {
        /// What kept the request here.
        why: NotSent,
    },
    /// An answer that this provider documents as "nothing was attempted".
    Refused {
        /// What was wrong with the request in the provider's eyes.
        why: Refused,
        /// What the provider said.
        answer: Answer,
    },
    /// A parsed answer with a decline code.
    Declined {
        /// Who declined.
        by: DeclinedBy,
        /// The decline in our terms.
        code: DeclineCode,
        /// What the provider said.
        answer: Answer,
    },
    /// A parsed answer: the operation is done.
    Approved {
        /// What was approved; less than asked is a partial approval. A void or a token has none.
        amount: Option<Money>,
        /// What the provider said.
        answer: Answer,
    },
    /// A parsed answer: accepted, the result follows. Money can still move.
    Pending {
        /// What the provider said.
        answer: Answer,
    },
    /// A parsed answer: the payer must act first. Money can still move.
    ActionRequired {
        /// What the provider said.
        answer: Answer,
    },
    /// Everything else. Money may have moved.
    Unknown {
        /// Why the outcome is not known.
        why: Doubt,
    },
}

impl Outcome {
    /// The name of the class, as it is stored, logged and shown.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::NotSent { .. } => "not_sent",
            Self::Refused { .. } => "refused",
            Self::Declined { .. } => "declined",
            Self::Approved { .. } => "approved",
            Self::Pending { .. } => "pending",
            Self::ActionRequired { .. } => "action_required",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// Whether money can still move after this outcome although nobody asks for it again.
    ///
    /// Open outcomes bar a second attempt at another provider until they are resolved.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self {
            Self::Pending { .. } | Self::ActionRequired { .. } | Self::Unknown { .. } => true,
            Self::NotSent { .. }
            | Self::Refused { .. }
            | Self::Declined { .. }
            | Self::Approved { .. } => false,
        }
    }

    /// What the provider said, where it said something that could be read.
    #[must_use]
    pub fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Refused { answer, .. }
            | Self::Declined { answer, .. }
            | Self::Approved { answer, .. }
            | Self::Pending { answer }
            | Self::ActionRequired { answer } => Some(answer),
            Self::NotSent { .. } | Self::Unknown { .. } => None,
        }
    }
}

/// Why a request never left, or was not processed, each with its proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotSent {
    /// The account's breaker is open: the provider has been failing.
    BreakerOpen,
    /// The account already has as many calls in flight as it may have.
    TooManyInFlight,
    /// The account or its connector is not configured for this call.
    NotConfigured,
    /// The connector does not claim this operation, or cannot express the request.
    NotSupported,
    /// The provider's host name did not resolve.
    DnsFailed,
    /// The connection was refused, or could not be made.
    ConnectFailed,
    /// The connection was not established in time.
    ConnectTimeout,
    /// The TLS handshake failed: no request byte is sent before it ends.
    TlsFailed,
    /// A connection was closed by the provider before a byte of the request had been written.
    ClosedBeforeSending,
    /// The provider said, as its protocol lets it, that it has not processed this request (HTTP/2:
    /// `REFUSED_STREAM`, or a `GOAWAY` that names an earlier stream as the last).
    StreamRefused,
    /// The plan's `send_by` had passed, or another node owns the attempt: nothing was written.
    TooLate,
    /// A call that only prepares had no answer or a bad one, and the one that moves money was never
    /// sent. It will not be: it was in the memory of the task that now gives up.
    PreparationFailed,
}

impl NotSent {
    /// The name as it is stored, logged and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BreakerOpen => "breaker_open",
            Self::TooManyInFlight => "too_many_in_flight",
            Self::NotConfigured => "not_configured",
            Self::NotSupported => "not_supported",
            Self::DnsFailed => "dns_failed",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::TlsFailed => "tls_failed",
            Self::ClosedBeforeSending => "closed_before_sending",
            Self::StreamRefused => "stream_refused",
            Self::TooLate => "too_late",
            Self::PreparationFailed => "preparation_failed",
        }
    }

    /// Whether we held it back ourselves: then it says nothing about the provider's health.
    #[must_use]
    pub fn is_ours(self) -> bool {
        match self {
            Self::BreakerOpen
            | Self::TooManyInFlight
            | Self::NotConfigured
            | Self::NotSupported
            | Self::TooLate
            | Self::PreparationFailed => true,
            Self::DnsFailed
            | Self::ConnectFailed
            | Self::ConnectTimeout
            | Self::TlsFailed
            | Self::ClosedBeforeSending
            | Self::StreamRefused => false,
        }
    }
}

/// Why a provider attempted nothing, by its own documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refused {
    /// The credentials are wrong, expired or not allowed to do this (401, 403).
    Credentials,
    /// The request did not pass the provider's validation.
    Validation,
    /// The provider's limiter turned the request away.
    RateLimited,
    /// The provider said that it is not taking requests now, and documents that as "nothing attempted".
    Unavailable,
}

/// Why an outcome is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// No answer in time.
    AnswerTimeout,
    /// The connection ended after the first byte of the request had been written.
    ConnectionLost,
    /// The answer began but did not arrive whole.
    AnswerCutShort,
    /// A 5xx, or another status to which this provider gives no documented meaning.
    UndocumentedStatus,
    /// An answer that could not be parsed.
    Unreadable,
    /// The provider says that a request with this key is still running.
    InProgress,
    /// The node that planned the call ended between planning and recording an answer.
    OwnerGone,
    /// The request had been handed to the socket when the task that awaited it ended.
    Abandoned,
}

impl Doubt {
    /// The name as it is stored, logged and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AnswerTimeout => "answer_timeout",
            Self::ConnectionLost => "connection_lost",
            Self::AnswerCutShort => "answer_cut_short",
            Self::UndocumentedStatus => "undocumented_status",
            Self::Unreadable => "unreadable",
            Self::InProgress => "in_progress",
            Self::OwnerGone => "owner_gone",
            Self::Abandoned => "abandoned",
        }
    }
}

/// What a look-up shows about an operation whose outcome was not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// The provider knows the operation, and this is how it stands.
    Found {
        /// Its outcome.
        outcome: Outcome,
    },
    /// The provider knows the operation, and it has been voided.
    Voided,
    /// The provider answered, and knows nothing of the operation. Not yet proof of absence.
    NotFound,
    /// The provider could not be asked, or its answer says nothing.
    Inconclusive,
}

/// What a provider said, in the parts that are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The provider's own id of what was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The issuer's authorization code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_code: Option<String>,
    /// The provider's code for the result, as sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The provider's words for the result, as sent, bounded in length by the connector's helper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// A token for the card that this provider made and only this provider takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// How long the provider asks us to wait, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// What the scheme or issuer advises about a retry, as sent: Mastercard's merchant advice codes and
    /// their like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The card network's own id of the payment, by which a later one without the payer is tied to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_transaction_id: Option<Box<str>>,
    /// What the payer has to do before the operation can go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_action: Option<Box<NextAction>>,
}

/// What a payer has to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum NextAction {
    /// Go to this address in a browser, and come back.
    Redirect {
        /// The address.
        url: String,
        /// Fields to post there as a form; absent where the address is just opened.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        form: Option<BTreeMap<String, String>>,
    },
    /// Something that only the provider's own client library can show.
    ClientLibrary {
        /// The provider's name for it.
        kind: String,
    },
}
