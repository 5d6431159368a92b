//! A payment as it is stored: JSON with a schema number.
//!
//! A snapshot that any released version wrote must load for ever: fields are added with a default, and a
//! change that a default cannot carry gets a new number here and a converter. `tests/golden` keeps one
//! snapshot of every number.

use crate::Payment;

/// The schema that [`encode`] writes.
pub const SCHEMA: u32 = 1;

/// A snapshot that cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotError {
    /// Written by a newer version of the software.
    Newer {
        /// Its schema number.
        schema: u32,
    },
    /// Not a snapshot of this schema.
    Broken(String),
}

impl std::fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Newer { schema } => {
                write!(f, "the snapshot has schema {schema}; this version reads up to {SCHEMA}")
            }
            Self::Broken(why) => write!(f, "the snapshot does not read: {why}"),
        }
    }
}

impl std::error::Error for SnapshotError {}

/// The payment as text.
///
/// # Errors
/// Never for a payment that [`crate::step`] made; the type says so rather than a panic.
pub fn encode(payment: &Payment) -> Result<String, SnapshotError> {
    serde_json::to_string(payment).map_err(|error| SnapshotError::Broken(error.to_string()))
}

/// A payment from its text.
///
/// # Errors
/// A newer schema, or text that is no payment.
pub fn decode(schema: u32, text: &str) -> Result<Payment, SnapshotError> {
    if schema > SCHEMA {
        return Err(SnapshotError::Newer { schema });
    }
    serde_json::from_str(text).map_err(|error| SnapshotError::Broken(error.to_string()))
}
