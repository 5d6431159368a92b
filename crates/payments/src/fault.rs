//! Why a request of the Payments API was not carried out.

use baton_engine::EngineError;
use baton_store::{CommitError, Guard, StoreError};
use baton_vault::VaultError;

use crate::status::IntentStatus;

/// Why a request was not carried out. Nothing was changed, and no provider was asked to move money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no such object of the merchant's: which kind.
    NotFound(&'static str),
    /// An object of this kind has the id already, with another content.
    Duplicate(&'static str),
    /// A client's key stands for another request.
    KeyReused,
    /// A field that is needed is not there.
    Missing(&'static str),
    /// A field has a value that cannot be used.
    Invalid {
        /// Its name.
        field: &'static str,
        /// What is wrong.
        message: String,
    },
    /// The intent's status does not allow it.
    WrongStatus {
        /// What was to be done.
        flow: &'static str,
        /// How it stands.
        status: IntentStatus,
        /// From where it is allowed.
        expected: Vec<IntentStatus>,
    },
    /// Another property of the intent does not allow it.
    Precondition(String),
    /// More is to be captured than is held.
    CaptureTooMuch,
    /// More is to be refunded than was captured and not refunded yet.
    RefundTooMuch,
    /// The client's secret is not the intent's.
    ClientSecret,
    /// The client's time for this intent is over.
    Expired,
    /// The profile has no connector that takes this payment.
    NoConnector,
    /// The intent is being changed by another request.
    Busy,
    /// The provider does not take the credentials, or has no such gateway: what is wrong.
    Connector(String),
    /// The vault that keeps the card gives no usable answer. It can be tried again.
    VaultUnavailable {
        /// The vault.
        vault: String,
        /// Why.
        why: String,
    },
    /// The vault that keeps the card does not let us have it: somebody has to set it up.
    VaultDenied {
        /// The vault.
        vault: String,
        /// Why.
        why: String,
    },
    /// The vault that kept the card does not have it any more.
    VaultCardGone {
        /// The vault.
        vault: String,
    },
    /// The provider has no such call about disputes.
    FlowNotSupported {
        /// What was to be done.
        flow: &'static str,
        /// The contract's name of the connector.
        connector: String,
    },
    /// The provider cannot be called now. It can be tried again.
    NothingSent {
        /// The contract's name of the connector.
        connector: String,
        /// The word for why.
        why: &'static str,
    },
    /// The provider has done nothing, and says why.
    ProviderRefused {
        /// The contract's name of the connector.
        connector: String,
        /// Its words.
        message: String,
    },
    /// The engine's own.
    Engine(EngineError),
}

impl From<EngineError> for Fault {
    fn from(error: EngineError) -> Self {
        if error == EngineError::Overtaken { Self::Busy } else { Self::Engine(error) }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Engine(error.into())
    }
}

impl From<VaultError> for Fault {
    fn from(error: VaultError) -> Self {
        Self::Engine(error.into())
    }
}

impl From<CommitError> for Fault {
    fn from(error: CommitError) -> Self {
        let overtaken = CommitError::Conflict(Guard::Document);
        if error == overtaken { Self::Busy } else { Self::Engine(error.into()) }
    }
}
