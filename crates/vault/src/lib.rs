//! The vault: card data, CVVs and credentials, sealed so that the database alone is worth nothing.
//!
//! A root key outside of the database wraps data keys and a fingerprint key; a data key seals records with
//! AES-256-GCM. Guarantees: a record opens only for its own tenant, kind, id, times and key version; the
//! text of a token is stored nowhere; a CVV is sealed under a key made from its token, which is not kept,
//! lives 15 minutes, and is deleted for good before anybody sees it; keys can be replaced while others read
//! and write, and whatever is interrupted can be run again.
//!
//! Left out: who may read (the caller decides and writes it down), the clock (times are arguments), and
//! backups of the root key, without which everything here is lost.

mod access;
mod error;
mod keyring;
mod node;
mod reencrypt;
mod root;
mod rotate;
mod seal;
mod status;
mod token;
mod vault;

pub use access::{VaultAccess, VaultService};
pub use baton_store::{VaultCount as Count, VaultInfo as Info, VaultPurpose as Purpose};
pub use error::{RootError, VaultError};
pub use keyring::Limits;
pub use node::NodeFingerprints;
pub use reencrypt::{Progress, Reencrypted};
pub use root::{FileRoot, Pkcs11Config, Pkcs11Root, RootKey};
pub use status::{KeyState, KeyStatus, Status};
pub use vault::{Revealed, SealedKind, SealedRef, Tenant, Token, TokenKind, Vault};
