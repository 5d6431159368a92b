//! Why the vault did not do what it was asked. No message holds a secret, a token or a key.

use std::fmt;

use baton_store::{CommitError, StoreError};

/// Why the vault failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaultError {
    /// The database or the root key is out of reach, or lost its answer. Try again.
    Unavailable(String),
    /// A record does not open: it was changed, moved, or its key is lost.
    Damaged(String),
    /// The root key is not the one that wraps this vault's keys, or cannot be used.
    Root(String),
}

impl fmt::Display for VaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) => write!(f, "the vault is unavailable: {why}"),
            Self::Damaged(why) => write!(f, "the vault is damaged: {why}"),
            Self::Root(why) => write!(f, "the vault's root key: {why}"),
        }
    }
}

impl std::error::Error for VaultError {}

impl From<StoreError> for VaultError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(why) => Self::Unavailable(why),
            StoreError::Corrupt(why) => Self::Damaged(why),
        }
    }
}

impl From<CommitError> for VaultError {
    fn from(error: CommitError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// Why a root key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootError(pub String);

impl fmt::Display for RootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RootError {}

impl From<RootError> for VaultError {
    fn from(error: RootError) -> Self {
        Self::Root(error.0)
    }
}

/// What a library of cryptography says, which is never more than this.
pub(crate) fn crypto(_: aws_lc_rs::error::Unspecified) -> VaultError {
    VaultError::Unavailable("the cryptographic library failed".into())
}
