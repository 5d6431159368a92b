//! What a finding rests on: which kind of answer it was taken from, and a hash that only that answer has.
//!
//! Left out: the answer itself, which may hold what must not be kept, and the key of the hash (`baton-engine`).

use serde::{Deserialize, Serialize};

/// How a provider came to say something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceKind {
    /// It was asked what became of the call.
    LookUp,
    /// The call was sent to it again under its key.
    Replay,
    /// It said so by itself, under its signature.
    Webhook,
}

/// The answer that something was concluded from, or not concluded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// How it came.
    pub kind: EvidenceKind,
    /// The HTTP status of an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// A keyed hash of its body: the same bytes have the same.
    pub hash: String,
}
