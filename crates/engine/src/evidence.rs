//! A hash of what a provider said, so that it can be shown later what a conclusion rests on.
//!
//! Of the body's SHA-256, under the vault's key of fingerprints: without that key nobody can guess what the answer
//! held. Equal bytes have equal hashes for one merchant, until that key is replaced.

use aws_lc_rs::digest;
use baton_connect::HttpReply;
use baton_flow::EvidenceKind;
pub use baton_flow::{CallId, Event, Evidence};
use baton_vault::{Tenant, VaultAccess};

use crate::inner::Inner;

pub(crate) fn of_reply(
    engine: &Inner,
    tenant: Tenant,
    kind: EvidenceKind,
    reply: &HttpReply,
) -> Evidence {
    Evidence { status: Some(reply.status), ..of(engine, tenant, kind, &reply.body) }
}

pub(crate) fn of(engine: &Inner, tenant: Tenant, kind: EvidenceKind, body: &[u8]) -> Evidence {
    Evidence { kind, status: None, hash: hash(&engine.vault, tenant, body) }
}

/// The hash that an answer with this body has.
#[must_use]
pub fn hash(vault: &VaultAccess, tenant: Tenant, body: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, body);
    let text: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    vault.fingerprint(tenant, &text)
}
