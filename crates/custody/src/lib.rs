//! The vault as a service of its own, so that nodes that take payments hold no root key.
//!
//! One side answers over HTTP what [`Vault`](baton_vault::Vault) can be asked; the other side asks, and is a
//! [`VaultService`](baton_vault::VaultService) like the vault itself. Guarantees: texts travel in bodies only, never
//! in addresses, logs or errors; a question is sent once; nodes get no key that opens anything, only one of their own
//! for fingerprints. Left out: TLS and who may connect, which the listener decides, and the keys' rotation, which is
//! done where the vault is.

mod client;
mod form;
mod openapi;
mod server;

pub use client::{ClientError, ClientFiles, RemoteVault};
pub use openapi::openapi;
pub use server::{Clock, router};
