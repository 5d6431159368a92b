//! Root keys: what wraps the vault's keys, and stays outside of the database.

mod file;
mod pkcs11;

use zeroize::Zeroizing;

pub use self::file::FileRoot;
pub use self::pkcs11::{Pkcs11Config, Pkcs11Root};
use crate::error::RootError;

/// A place that keeps root keys and wraps by them. It may hold more than one while they are replaced.
///
/// Calls may block, on a disk or on a device.
pub trait RootKey: Send + Sync {
    /// The ids of the keys it holds, the current one first. Never empty.
    fn ids(&self) -> Vec<String>;

    /// The current key's id.
    fn id(&self) -> String {
        self.ids().into_iter().next().unwrap_or_default()
    }

    /// Wraps a key by one of the root keys.
    ///
    /// # Errors
    /// It does not hold that root key, or cannot use it.
    fn wrap(&self, root: &str, plain: &[u8], aad: &[u8]) -> Result<Vec<u8>, RootError>;

    /// Unwraps what was wrapped with the same additional data.
    ///
    /// # Errors
    /// As [`RootKey::wrap`], or the bytes are not what was wrapped.
    fn unwrap(
        &self,
        root: &str,
        wrapped: &[u8],
        aad: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, RootError>;

    /// Looks again at what keys there are: another process may have changed them.
    ///
    /// # Errors
    /// The place cannot be read.
    fn reload(&self) -> Result<(), RootError>;

    /// Makes a new key, which is now the current one. The others stay.
    ///
    /// # Errors
    /// It cannot be made, or not durably.
    fn add(&self) -> Result<(), RootError>;

    /// Destroys a key that is not the current one. An unknown one is no error.
    ///
    /// # Errors
    /// It is the current one, or cannot be destroyed.
    fn forget(&self, root: &str) -> Result<(), RootError>;
}
