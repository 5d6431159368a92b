//! `NULLSuccess`: a mock gateway that approves everything. It has no server, and no money behind it.

use baton_connect::{
    Call, Connector, Cx, Decoded, EncodeError, HttpCall, HttpReply, LookUp, Looked, Manifest,
    ManifestError, Operation, Question,
};
use baton_types::Money;
use baton_types::outcome::{Answer, Finding, Outcome};

pub(crate) struct NullSuccess {
    manifest: Manifest,
}

impl NullSuccess {
    pub(crate) fn new() -> Result<Self, ManifestError> {
        Ok(Self { manifest: Manifest::parse(include_str!("manifest.toml"))? })
    }
}

impl Connector for NullSuccess {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn encode(&self, operation: &Operation, _cx: &Cx) -> Result<Call, EncodeError> {
        let (reference, amount) = match operation {
            Operation::Authorize(purchase) | Operation::Charge(purchase) => {
                (&purchase.reference, Some(purchase.amount))
            }
            Operation::Capture { reference, amount, .. }
            | Operation::Refund { reference, amount, .. }
            | Operation::Increment { reference, amount, .. } => (reference, Some(*amount)),
            Operation::Void { reference, .. } => (reference, None),
            Operation::Tokenize { .. } => {
                return Err(EncodeError::NotSupported("it keeps no cards".to_owned()));
            }
        };
        Ok(Call::Immediate(approved(reference, amount)))
    }

    fn decode(
        &self,
        _operation: &Operation,
        _cx: &Cx,
        _sent: &HttpCall,
        _reply: &HttpReply,
    ) -> Decoded {
        Decoded::unreadable()
    }

    fn look_up(&self, look_up: &LookUp, _cx: &Cx) -> Option<Question> {
        let outcome = approved(&look_up.reference, look_up.amount);
        Some(Question::Immediate(Finding::Found { outcome }))
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
}

/// The same answer for the same reference, whenever it is asked. A void approves no amount.
fn approved(reference: &str, amount: Option<Money>) -> Outcome {
    Outcome::Approved {
        amount,
        answer: Answer {
            reference: Some(format!("null-{reference}")),
            authorization_code: Some("000000".to_owned()),
            code: Some("approved".to_owned()),
            message: Some("Approved".to_owned()),
            ..Answer::default()
        },
    }
}
