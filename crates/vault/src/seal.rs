//! Sealing: AES-256-GCM over a record's text, bound to where the record belongs.
//!
//! A sealed record is a format byte, the key's version, the nonce, and ciphertext with tag. Everything that
//! says whose record it is goes into the additional data, so that a row which is copied, moved or re-dated
//! does not open.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use baton_store::VaultRecord;
use baton_types::{Secret, Timestamp};
use zeroize::Zeroizing;

use crate::error::{VaultError, crypto};
use crate::vault::Tenant;

/// The format of what is sealed.
const FORMAT: u8 = 1;
/// The version that stands where a key is not one of the vault's.
const NO_VERSION: u32 = 0;
/// Format byte and version.
const HEADER: usize = 5;

/// How long a key is.
pub(crate) const KEY_BYTES: usize = 32;

/// What a sealed text is bound to.
#[derive(Clone, Copy)]
pub(crate) struct Bound<'a> {
    pub(crate) tenant: Tenant,
    pub(crate) kind: &'a str,
    pub(crate) id: &'a [u8],
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) key_version: Option<u32>,
}

impl<'a> Bound<'a> {
    /// What a stored record claims to be.
    pub(crate) fn of(row: &'a VaultRecord) -> Self {
        Self {
            tenant: Tenant { merchant: row.merchant, sandbox: row.sandbox },
            kind: &row.kind,
            id: &row.id,
            created_at: row.created_at,
            expires_at: row.expires_at,
            key_version: row.key_version,
        }
    }

    fn version(&self) -> [u8; 4] {
        self.key_version.unwrap_or(NO_VERSION).to_be_bytes()
    }

    /// Every part has a fixed length or is preceded by it.
    fn additional_data(&self) -> Vec<u8> {
        let mut data = Vec::with_capacity(128);
        data.extend_from_slice(b"baton vault record");
        data.push(FORMAT);
        data.extend_from_slice(&self.version());
        data.push(u8::from(self.tenant.sandbox));
        data.extend_from_slice(self.tenant.merchant.as_bytes());
        data.extend_from_slice(&self.created_at.millis().to_be_bytes());
        data.push(u8::from(self.expires_at.is_some()));
        data.extend_from_slice(&self.expires_at.map_or(0, Timestamp::millis).to_be_bytes());
        for part in [self.kind.as_bytes(), self.id] {
            data.extend_from_slice(&(part.len() as u64).to_be_bytes());
            data.extend_from_slice(part);
        }
        data
    }
}

/// A key for AES-256-GCM that makes its own random nonces.
pub(crate) fn key(bytes: &[u8]) -> Result<RandomizedNonceKey, VaultError> {
    RandomizedNonceKey::new(&AES_256_GCM, bytes).map_err(crypto)
}

/// Seals a text.
pub(crate) fn seal(
    key: &RandomizedNonceKey,
    bound: Bound<'_>,
    text: &Secret,
) -> Result<Vec<u8>, VaultError> {
    // Encrypted in place: the copy of the clear text is gone afterwards.
    let mut body = Zeroizing::new(text.expose().as_bytes().to_vec());
    let data = Aad::from(bound.additional_data());
    let (nonce, tag) = key.seal_in_place_separate_tag(data, &mut body).map_err(crypto)?;
    Ok([&[FORMAT][..], &bound.version(), nonce.as_ref(), &body, tag.as_ref()].concat())
}

/// Opens what was sealed for the same place.
pub(crate) fn open(
    key: &RandomizedNonceKey,
    bound: Bound<'_>,
    sealed: &[u8],
) -> Result<Secret, VaultError> {
    let damaged = || VaultError::Damaged("a record does not open".into());
    let (header, rest) = sealed.split_at_checked(HEADER).ok_or_else(damaged)?;
    if header != [&[FORMAT][..], &bound.version()].concat() {
        return Err(damaged());
    }
    let (nonce, body) = rest.split_at_checked(NONCE_LEN).ok_or_else(damaged)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
    let mut body = Zeroizing::new(body.to_vec());
    let data = Aad::from(bound.additional_data());
    let text = key.open_in_place(nonce, data, &mut body).map_err(|_| damaged())?;
    let text = std::str::from_utf8(text).map_err(|_| damaged())?;
    Ok(Secret::new(text.to_owned()))
}

/// The key that only the token's owner can make again.
pub(crate) fn key_of_token(token: &str, id: &[u8]) -> Result<RandomizedNonceKey, VaultError> {
    let salt = Salt::new(HKDF_SHA256, b"baton vault cvv 1");
    let secret = salt.extract(token.as_bytes());
    let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
    let info = [id];
    let material = secret.expand(&info, Length).map_err(crypto)?;
    material.fill(bytes.as_mut()).map_err(crypto)?;
    key(bytes.as_ref())
}

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}
