//! What goes over the wire. Both sides share these types, so that they cannot differ.

use baton_types::{MerchantId, Secret, Timestamp};
use baton_vault::{SealedKind, Tenant, TokenKind};
use serde::{Deserialize, Serialize};

/// Whose a record is.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Whose {
    pub(crate) merchant: MerchantId,
    pub(crate) sandbox: bool,
}

impl Whose {
    pub(crate) fn tenant(self) -> Tenant {
        Tenant { merchant: self.merchant, sandbox: self.sandbox }
    }
}

/// A text to keep under a token.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tokenize {
    pub(crate) whose: Whose,
    pub(crate) payload: Secret,
}

/// A question about a token.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfToken {
    pub(crate) whose: Whose,
    pub(crate) token: Secret,
}

/// A token that was made or found.
#[derive(Serialize, Deserialize)]
pub(crate) struct TokenForm {
    /// Only where it was made just now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) kind: KindOfToken,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KindOfToken {
    Payload,
    Cvv,
}

impl From<TokenKind> for KindOfToken {
    fn from(kind: TokenKind) -> Self {
        match kind {
            TokenKind::Payload => Self::Payload,
            TokenKind::Cvv => Self::Cvv,
        }
    }
}

impl From<KindOfToken> for TokenKind {
    fn from(kind: KindOfToken) -> Self {
        match kind {
            KindOfToken::Payload => Self::Payload,
            KindOfToken::Cvv => Self::Cvv,
        }
    }
}

/// A text that was behind a token.
#[derive(Deserialize)]
pub(crate) struct RevealedForm {
    pub(crate) payload: Secret,
    pub(crate) created_at: Timestamp,
    pub(crate) kind: KindOfToken,
}

/// Which secret.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Named {
    pub(crate) whose: Whose,
    pub(crate) kind: String,
    pub(crate) id: String,
}

/// A secret to keep under a name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Put {
    pub(crate) whose: Whose,
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) value: Secret,
    #[serde(default)]
    pub(crate) expires_at: Option<Timestamp>,
}

/// Which secrets.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    pub(crate) kind: String,
    pub(crate) before: Timestamp,
    pub(crate) limit: u32,
}

/// Where a secret is.
#[derive(Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) merchant: MerchantId,
    pub(crate) sandbox: bool,
    pub(crate) id: String,
    pub(crate) created_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Places {
    pub(crate) secrets: Vec<Place>,
}

#[derive(Deserialize)]
pub(crate) struct Value {
    pub(crate) value: Secret,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Existed {
    /// Whether there was one.
    pub(crate) existed: bool,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) count: u64,
}

/// The key that nodes make fingerprints with. It opens nothing.
#[derive(Deserialize)]
pub(crate) struct FingerprintKey {
    pub(crate) version: u32,
    pub(crate) key: Secret,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Problem {
    pub(crate) error: ProblemBody,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct ProblemBody {
    pub(crate) code: String,
    pub(crate) message: String,
}

/// A kind by its word.
pub(crate) fn kind_of(word: &str) -> Option<SealedKind> {
    SealedKind::ALL.into_iter().find(|kind| kind.as_str() == word)
}
