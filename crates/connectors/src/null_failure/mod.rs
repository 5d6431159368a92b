//! `NULLFailure`: a mock gateway that refuses everything before processing, so that failover goes on.

use baton_connect::{
    Call, Connector, Cx, Decoded, EncodeError, HttpCall, HttpReply, LookUp, Looked, Manifest,
    ManifestError, Operation, Question,
};
use baton_types::outcome::{Answer, Finding, Outcome, Refused};

pub(crate) struct NullFailure {
    manifest: Manifest,
}

impl NullFailure {
    pub(crate) fn new() -> Result<Self, ManifestError> {
        Ok(Self { manifest: Manifest::parse(include_str!("manifest.toml"))? })
    }
}

impl Connector for NullFailure {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn encode(&self, _operation: &Operation, _cx: &Cx) -> Result<Call, EncodeError> {
        Ok(Call::Immediate(refused()))
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

    fn look_up(&self, _look_up: &LookUp, _cx: &Cx) -> Option<Question> {
        Some(Question::Immediate(Finding::Found { outcome: refused() }))
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

fn refused() -> Outcome {
    Outcome::Refused {
        why: Refused::Unavailable,
        answer: Answer {
            code: Some("unavailable".to_owned()),
            message: Some("Refused before processing".to_owned()),
            ..Answer::default()
        },
    }
}
