//! `Stripe`: cards and methods that a payer completes elsewhere, through Payment Intents.
//!
//! A card takes three calls. The intent is made without a card, so that nothing can be charged and its id is
//! known before anything is; then the card becomes a payment method, in the only call with a CVV; then the intent is confirmed,
//! which is the one call that moves money. A doubt about it is resolved by retrieving the intent. One that
//! was never confirmed can be cancelled: Stripe refuses a confirmation that arrives after that.
//! A bank or a lender takes two: the intent, and its confirmation, which answers with their page.
//!
//! A purchase of nothing, which only verifies its card, is a Setup Intent in the same three calls.
//!
//! Left out: network tokens, partial authorization, several captures of one intent, and what only
//! Stripe's own client library can show.

use baton_connect::{
    Balance, Call, Connector, CredentialsCheck, Cx, Decoded, DisputeAnswer, DisputeCall,
    EncodeError, HttpCall, HttpReply, Incoming, LookUp, Looked, Manifest, ManifestError, Method,
    Operation, Question, Retrieved, Signed, WebhookError,
};

mod dispute;
mod look_up;
mod objects;
mod redirect;
mod reply;
mod request;
mod retrieve;
mod setup;
mod webhook;

pub(crate) struct Stripe {
    manifest: Manifest,
}

impl Stripe {
    pub(crate) fn new() -> Result<Self, ManifestError> {
        Ok(Self { manifest: Manifest::parse(include_str!("manifest.toml"))? })
    }
}

impl Connector for Stripe {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn encode(&self, operation: &Operation, _cx: &Cx) -> Result<Call, EncodeError> {
        request::first(&self.manifest, operation).map(Call::Http)
    }

    fn decode(
        &self,
        operation: &Operation,
        _cx: &Cx,
        sent: &HttpCall,
        reply: &HttpReply,
    ) -> Decoded {
        reply::decode(&self.manifest, operation, sent, reply)
    }

    fn look_up(&self, look_up: &LookUp, _cx: &Cx) -> Option<Question> {
        look_up::question(look_up).map(Question::Http)
    }

    fn read_look_up(
        &self,
        look_up: &LookUp,
        _cx: &Cx,
        sent: &HttpCall,
        reply: &HttpReply,
    ) -> Looked {
        look_up::read(&self.manifest, look_up, sent, reply)
    }

    fn webhook(&self, _cx: &Cx, message: &Incoming<'_>) -> Result<Vec<Signed>, WebhookError> {
        webhook::read(&self.manifest, message)
    }

    fn retrieve(&self, id: &str, _cx: &Cx) -> Option<HttpCall> {
        retrieve::question(id)
    }

    fn read_retrieved(&self, id: &str, _cx: &Cx, reply: &HttpReply) -> Retrieved {
        retrieve::read(&self.manifest, id, reply)
    }

    fn dispute(&self, call: &DisputeCall, _cx: &Cx) -> Option<HttpCall> {
        dispute::call(call)
    }

    fn read_dispute(&self, call: &DisputeCall, _cx: &Cx, reply: &HttpReply) -> DisputeAnswer {
        dispute::read(&self.manifest, call, reply)
    }

    fn check_credentials(&self, _cx: &Cx) -> Option<HttpCall> {
        Some(request::call(Method::Get, "/v1/balance"))
    }

    fn read_credentials_check(&self, _cx: &Cx, reply: &HttpReply) -> CredentialsCheck {
        match reply.status {
            200 if objects::balances(&self.manifest, reply).is_some() => CredentialsCheck::Accepted,
            // 403 is a restricted key that works, but may not read the balance.
            401 => CredentialsCheck::Refused,
            _ => CredentialsCheck::Unclear,
        }
    }

    fn balance(&self, _cx: &Cx) -> Option<HttpCall> {
        Some(request::call(Method::Get, "/v1/balance"))
    }

    fn read_balance(&self, _cx: &Cx, reply: &HttpReply) -> Option<Vec<Balance>> {
        (reply.status == 200).then(|| objects::balances(&self.manifest, reply))?
    }
}

/// An id for a path or query. Stripe's are letters, digits and `_`; anything else is no id.
fn id(text: &str) -> Option<&str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    ((1..=100).contains(&text.len()) && text.bytes().all(plain)).then_some(text)
}
