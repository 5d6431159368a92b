//! The trait that every connector implements, and what it answers with.

use baton_types::outcome::{Doubt, Finding, NotSent, Outcome};
use baton_types::{Foreign, Money};
use serde::{Deserialize, Serialize};

use crate::{
    DisputeAnswer, DisputeCall, HttpCall, HttpReply, Incoming, LookUp, Manifest, Operation,
    Redirect, Returned, Signed, WebhookError,
};

/// What the runner gives a connector beside the operation: nothing secret, nothing of the payment's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cx {
    /// The account's settings that are not secret, by the names that the manifest declares.
    #[serde(default)]
    pub settings: std::collections::BTreeMap<String, String>,
}

/// One provider, or one family of a provider's APIs.
pub trait Connector: Send + Sync {
    /// What this provider can do, with citations.
    fn manifest(&self) -> &Manifest;

    /// The first call of an operation. The operation's kind is claimed by the manifest and its currency
    /// and reference fit it: the runner has checked.
    ///
    /// # Errors
    /// What cannot be expressed at this provider. Nothing is sent then.
    fn encode(&self, operation: &Operation, cx: &Cx) -> Result<Call, EncodeError>;

    /// What the reply to a call of the operation means. A reply that cannot be read is `Unknown`: see
    /// [`Decoded::unreadable`].
    fn decode(&self, operation: &Operation, cx: &Cx, sent: &HttpCall, reply: &HttpReply)
    -> Decoded;

    /// How to ask for an operation whose outcome is not known; `None` where the provider cannot be asked
    /// for this subject.
    fn look_up(&self, look_up: &LookUp, cx: &Cx) -> Option<Question>;

    /// What the reply to a call of the look-up shows.
    fn read_look_up(&self, look_up: &LookUp, cx: &Cx, sent: &HttpCall, reply: &HttpReply)
    -> Looked;

    /// The call that completes an open attempt with what the payer brought back from its challenge; `None`
    /// where nothing has to be sent, because the provider knows already, or nothing of it was brought. It
    /// belongs to the attempt, can be made any number of times, and moves that attempt's money at most.
    fn complete(&self, _about: &LookUp, _returned: &Returned, _cx: &Cx) -> Option<HttpCall> {
        None
    }

    /// What the reply to that call shows about the attempt. An answer that is not about this very attempt is
    /// `Inconclusive`: the payer chose what was sent.
    fn read_completion(&self, _about: &LookUp, _cx: &Cx, _reply: &HttpReply) -> Finding {
        Finding::Inconclusive
    }

    /// What an incoming webhook says, once its signature is checked: see [`Signed`].
    ///
    /// # Errors
    /// Not a webhook of this provider, or one in a form that it does not document.
    fn webhook(&self, _cx: &Cx, _message: &Incoming<'_>) -> Result<Vec<Signed>, WebhookError> {
        Err(WebhookError::NotSupported)
    }

    /// A call that asks for a payment by the provider's own id of it, whoever made it; `None` where the provider
    /// has no such call, or where this can be none of its ids. Asked only where the manifest claims it.
    fn retrieve(&self, _id: &str, _cx: &Cx) -> Option<HttpCall> {
        None
    }

    /// What the reply to that call shows.
    fn read_retrieved(&self, _id: &str, _cx: &Cx, _reply: &HttpReply) -> Retrieved {
        Retrieved::Unclear
    }

    /// A call about a dispute; `None` where the provider has no such call, or where this can be none of its ids. Made
    /// only where the manifest claims it.
    fn dispute(&self, _call: &DisputeCall, _cx: &Cx) -> Option<HttpCall> {
        None
    }

    /// What the reply to that call shows.
    fn read_dispute(&self, _call: &DisputeCall, _cx: &Cx, _reply: &HttpReply) -> DisputeAnswer {
        DisputeAnswer::Unclear
    }

    /// A call that does nothing but show whether the account's credentials are taken; `None` where the
    /// provider has no such call.
    fn check_credentials(&self, _cx: &Cx) -> Option<HttpCall> {
        None
    }

    /// What the reply to that call shows.
    fn read_credentials_check(&self, _cx: &Cx, _reply: &HttpReply) -> CredentialsCheck {
        CredentialsCheck::Unclear
    }

    /// A call that asks for the account's balance; `None` where the provider has no such call.
    fn balance(&self, _cx: &Cx) -> Option<HttpCall> {
        None
    }

    /// The balances in the reply to that call, one per currency; `None` if it cannot be read.
    fn read_balance(&self, _cx: &Cx, _reply: &HttpReply) -> Option<Vec<Balance>> {
        None
    }
}

/// What a provider told of a payment that was asked for by its own id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "retrieved", rename_all = "snake_case")]
pub enum Retrieved {
    /// It has it, and nothing of it is open.
    Found {
        /// The payment.
        payment: Box<Foreign>,
        /// The merchant's reference of it. If it is one of ours, the payment is no foreign one.
        #[serde(skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
    },
    /// It has no such payment, or one that never held or took anything.
    NotFound,
    /// Something of it is still open, or the answer cannot be read.
    Unclear,
}

/// What a harmless call showed about an account's credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialsCheck {
    /// The provider took them.
    Accepted,
    /// The provider refused them.
    Refused,
    /// The answer says neither.
    Unclear,
}

/// What a provider holds for an account in one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// What can be paid out now. May be below zero.
    pub available: Money,
    /// What will be available later, where the provider says so.
    pub pending: Option<Money>,
}

/// What encoding gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// A request to send.
    Http(HttpCall),
    /// The answer of a mock gateway, which has no server.
    Immediate(Outcome),
}

/// How a look-up asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// A request to send; it moves no money.
    Http(HttpCall),
    /// What a mock gateway, which has no server, knows.
    Immediate(Finding),
}

/// What the reply to a look-up leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked {
    /// What was found.
    Finding(Finding),
    /// The next call: another page, for example. None of a look-up's calls changes anything, and any of them
    /// may be repeated.
    Next(HttpCall),
}

impl From<Finding> for Looked {
    fn from(finding: Finding) -> Self {
        Self::Finding(finding)
    }
}

/// Why an operation cannot be put to this provider. Nothing is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// The provider has no such operation, or not in this form.
    NotSupported(String),
    /// A value does not fit this provider's format without loss.
    Unfit(String),
}

impl EncodeError {
    /// Of a connector that sends payers to nobody's page: its manifest claims none, so it is not even asked.
    #[must_use]
    pub fn redirect(redirect: &Redirect) -> Self {
        Self::NotSupported(redirect.method.as_str().to_owned())
    }

    /// The proof that this is: nothing left.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        Outcome::NotSent { why: NotSent::NotSupported }
    }
}

impl std::fmt::Display for EncodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotSupported(what) => write!(f, "not supported by this provider: {what}"),
            Self::Unfit(what) => write!(f, "does not fit this provider's format: {what}"),
        }
    }
}

impl std::error::Error for EncodeError {}

/// What a reply leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// The operation's outcome.
    Outcome(Outcome),
    /// The next call of this provider's sequence.
    Next(HttpCall),
}

impl Decoded {
    /// The one thing that a reply without a readable meaning can be.
    #[must_use]
    pub fn unreadable() -> Self {
        Self::unknown(Doubt::Unreadable)
    }

    /// In doubt, for this reason.
    #[must_use]
    pub fn unknown(why: Doubt) -> Self {
        Self::Outcome(Outcome::Unknown { why })
    }
}

/// Longest id or code of a provider that is kept, in characters.
const IDENTIFIER_LIMIT: usize = 100;

/// Longest message of a provider that is kept, in characters.
const MESSAGE_LIMIT: usize = 300;

/// A provider's id or code: bounded, without control characters, or nothing if it is empty.
#[must_use]
pub fn identifier(value: &str) -> Option<String> {
    let clean: String = value.chars().filter(|c| !c.is_control()).take(IDENTIFIER_LIMIT).collect();
    let clean = clean.trim();
    (!clean.is_empty()).then(|| clean.to_owned())
}

/// A card network's id of a payment, as its provider told it: bounded and clean as an id is.
#[must_use]
pub fn network_id(value: Option<&str>) -> Option<Box<str>> {
    value.and_then(identifier).map(Into::into)
}

/// A provider's words: bounded, without control characters, or nothing if they are empty.
///
/// A run of 12 or more digits is left out: a provider that repeats a card number in its message must not
/// bring it into our books.
#[must_use]
pub fn message(value: &str) -> Option<String> {
    let clean: Vec<char> = value.chars().filter(|c| !c.is_control()).take(MESSAGE_LIMIT).collect();
    let mut out = String::with_capacity(clean.len());
    let mut rest = clean.as_slice();
    while let Some(first) = rest.first() {
        let run = rest.iter().take_while(|c| c.is_ascii_digit()).count();
        if run >= 12 {
            out.push_str("[digits]");
        } else if run > 0 {
            out.extend(rest.iter().take(run));
        } else {
            out.push(*first);
        }
        rest = rest.get(run.max(1)..).unwrap_or_default();
    }
    let out = out.trim();
    (!out.is_empty()).then(|| out.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provider_text_is_bounded_clean_and_free_of_card_numbers() {
        let long = "x".repeat(301);
        let rows = [
            ("Do not honor", Some("Do not honor")),
            ("", None),
            (" \n\t ", None),
            (long.as_str(), long.get(..300)),
            ("card 4111111111111111 declined", Some("card [digits] declined")),
            ("ref 12345678901", Some("ref 12345678901")),
            ("é\u{0}é", Some("éé")),
        ];
        for (given, want) in rows {
            assert_eq!(message(given).as_deref(), want, "{given:?}");
        }
        assert_eq!(identifier("8515131751004933").as_deref(), Some("8515131751004933"));
        assert_eq!(identifier("\r\n"), None);
    }
}
