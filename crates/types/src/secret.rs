//! Credentials and keys: text that may be used but never shown.
//!
//! Guarantees: zeroised on drop; `Debug` prints a fixed word; no `Clone`, `Display`, `PartialEq` or
//! `Serialize`. It can be deserialised, because configuration carries credentials. Left out:
//! constant-time comparison (compare hashes instead) and wiping of the buffer that a deserialiser
//! read from.

use std::fmt;

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// A credential or key.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes ownership of the text, so that no other copy needs to remain.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself. Every call is a place to review.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}
