//! A payment as it is stored: JSON with a schema number.
//!
//! A snapshot that any released version wrote must load for ever: fields are added with a default, and a
//! change that a default cannot carry gets a new number here and a converter. `tests/golden` keeps one
//! snapshot of every number.
//!
//! Nodes of two versions run side by side while they are upgraded. So a payment carries the number of the oldest
//! version that reads it whole, not that of the one that writes it: an older node goes on with all that it understands,
//! and leaves the rest alone instead of writing it back without what it has not seen. What came with each number:
//!
//! | | |
//! |---|---|
//! | 2 | raises of what is held, which an older version would drop; a void because of a doubt, which it cannot read |

use crate::{Payment, VoidReason};

/// The newest schema: [`decode`] reads up to it.
pub const SCHEMA: u32 = 2;

/// The schema of a payment's snapshot: the oldest that has all of it.
#[must_use]
pub fn schema_of(payment: &Payment) -> u32 {
    let since_2 = !payment.increments.is_empty()
        || payment.voids.iter().any(|void| match void.why {
            VoidReason::InDoubt => true,
            VoidReason::Requested
            | VoidReason::PartialApproval
            | VoidReason::ActionRequired
            | VoidReason::LosingHold
            | VoidReason::CaptureFailed => false,
        });
    if since_2 { 2 } else { 1 }
}

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
