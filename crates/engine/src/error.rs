//! Why a request was not carried out, by what its sender can do about it.

use baton_flow::Refusal;
use baton_store::{CommitError, StoreError};
use baton_types::Money;
use baton_vault::VaultError;

use crate::brought::BroughtFault;

/// Why a request was not carried out. No provider was asked to move money for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineError {
    /// No account has this name. Counted from 0 in the list that was given.
    UnknownAccount {
        /// Its place in the list.
        index: usize,
    },
    /// A sandbox key named a live account, or a live key a test account.
    WrongMode {
        /// The account's place in the list.
        index: usize,
        /// Whether the account is a test account.
        test: bool,
    },
    /// Nothing is known under this reference.
    NotFound,
    /// The provider was asked whether it knows the reference, and gave no usable answer; nothing was stored.
    NoAnswer,
    /// The card is not the one that the payment was made with.
    OtherCard,
    /// A void is of the whole amount.
    NotTheWhole {
        /// The payment's amount.
        whole: Money,
    },
    /// Credentials or a certificate that came with the request, or should have.
    Brought(BroughtFault),
    /// The payment does not allow it as it stands.
    Refused(Refusal),
    /// The idempotency key was used for another request.
    KeyReused,
    /// The request, or an earlier one with this idempotency key, is still running; it may yet succeed.
    StillRunning,
    /// What was to be changed alongside has changed meanwhile; nothing was done.
    Overtaken,
    /// The database cannot be reached; nothing was done, and trying again is safe.
    Unavailable,
    /// A stored payment cannot be read. An operator has to look; the log says more.
    Internal,
}

impl std::fmt::Display for EngineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownAccount { .. } => f.write_str("there is no gateway account of this name"),
            Self::WrongMode { test: true, .. } => {
                f.write_str("a live API key cannot use a test account")
            }
            Self::WrongMode { test: false, .. } => {
                f.write_str("a sandbox API key cannot use a live account")
            }
            Self::NotFound => f.write_str("no transaction is known under this reference"),
            Self::NoAnswer => f.write_str(
                "the gateway was asked for this reference and gave no usable answer; try again",
            ),
            Self::OtherCard => f.write_str("the card is not the one of the original transaction"),
            Self::NotTheWhole { whole } => {
                write!(f, "a void releases the whole amount, which is {whole}")
            }
            Self::Brought(fault) => fault.fmt(f),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::KeyReused => f.write_str("the idempotency key has been used for another request"),
            Self::StillRunning => {
                f.write_str("the request is still running; ask for its status later")
            }
            Self::Overtaken => f.write_str("it has been changed meanwhile; try again"),
            Self::Unavailable => f.write_str("the database cannot be reached; try again"),
            Self::Internal => f.write_str("an internal error; the log says more"),
        }
    }
}

impl std::error::Error for EngineError {}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(why) => {
                tracing::warn!(%why, "the store cannot be read");
                Self::Unavailable
            }
            StoreError::Corrupt(why) => {
                tracing::error!(%why, "a stored row cannot be read");
                Self::Internal
            }
        }
    }
}

impl From<VaultError> for EngineError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Unavailable(why) => {
                tracing::warn!(%why, "the vault cannot be reached");
                Self::Unavailable
            }
            error @ (VaultError::Damaged(_) | VaultError::Root(_)) => {
                tracing::error!(%error, "the vault cannot be read");
                Self::Internal
            }
        }
    }
}

impl From<CommitError> for EngineError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Unavailable(why) => {
                tracing::warn!(%why, "nothing was committed");
                Self::Unavailable
            }
            error @ (CommitError::Conflict(_) | CommitError::InDoubt | CommitError::Invalid(_)) => {
                tracing::error!(%error, "a commit failed in a way that should not happen here");
                Self::Internal
            }
        }
    }
}
