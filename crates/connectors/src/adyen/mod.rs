//! `Adyen`: cards through the Checkout API, version 71.
//!
//! When a payment is captured is said with each one; the account's defaults are never relied on. Captures,
//! cancels and refunds are only `received` by the answer: their outcome comes by webhook. A payment cannot
//! be looked up: what is in doubt waits for its AUTHORISATION webhook, or is cancelled by reference.
//! `/payments/details` submits what a payer brought back from a challenge and is no look-up.
//!
//! Left out: native 3-D Secure, partial authorization, and reversals.

use baton_connect::{
    Call, Connector, CredentialsCheck, Cx, Decoded, EncodeError, HttpCall, HttpReply, Incoming,
    LookUp, Looked, Manifest, ManifestError, Operation, Question, Returned, Signed, WebhookError,
};

use baton_types::outcome::Finding;

mod dispute;
mod purchase;
mod reply;
mod request;
mod webhook;

pub(crate) struct Adyen {
    manifest: Manifest,
}

impl Adyen {
    pub(crate) fn new() -> Result<Self, ManifestError> {
        Ok(Self { manifest: Manifest::parse(include_str!("manifest.toml"))? })
    }
}

impl Connector for Adyen {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn encode(&self, operation: &Operation, cx: &Cx) -> Result<Call, EncodeError> {
        request::of(&self.manifest, operation, cx).map(Call::Http)
    }

    fn decode(
        &self,
        operation: &Operation,
        _cx: &Cx,
        _sent: &HttpCall,
        reply: &HttpReply,
    ) -> Decoded {
        Decoded::Outcome(reply::outcome(&self.manifest, operation, reply))
    }

    fn look_up(&self, _look_up: &LookUp, _cx: &Cx) -> Option<Question> {
        None
    }

    fn read_look_up(
        &self,
        _look_up: &LookUp,
        _cx: &Cx,
        _sent: &HttpCall,
        _reply: &HttpReply,
    ) -> Looked {
        Finding::Inconclusive.into()
    }

    fn complete(&self, about: &LookUp, returned: &Returned, _cx: &Cx) -> Option<HttpCall> {
        request::details(about, returned)
    }

    fn read_completion(&self, about: &LookUp, _cx: &Cx, reply: &HttpReply) -> Finding {
        reply::completion(&self.manifest, about, reply)
    }

    fn webhook(&self, cx: &Cx, message: &Incoming<'_>) -> Result<Vec<Signed>, WebhookError> {
        webhook::read(&self.manifest, cx, message)
    }

    fn check_credentials(&self, cx: &Cx) -> Option<HttpCall> {
        request::payment_methods(cx).ok()
    }

    fn read_credentials_check(&self, _cx: &Cx, reply: &HttpReply) -> CredentialsCheck {
        match reply.status {
            200 => CredentialsCheck::Accepted,
            401 | 403 => CredentialsCheck::Refused,
            _ => CredentialsCheck::Unclear,
        }
    }
}
