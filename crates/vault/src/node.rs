//! Fingerprints at a node whose vault is elsewhere.
//!
//! The node has a key of its own, made from the vault's fingerprint key, which it cannot be turned back into. It opens
//! nothing. Guarantees: the same value of the same tenant has the same fingerprint on all nodes until the vault's
//! fingerprint key is replaced; what nodes make differs from what the vault makes.

use aws_lc_rs::hmac;
use baton_types::Secret;

use crate::vault::{Tenant, Vault, hash_under};

/// Length of the key in bytes.
const KEY_BYTES: usize = 32;

/// A node's key of fingerprints.
pub struct NodeFingerprints {
    key: hmac::Key,
}

impl NodeFingerprints {
    /// The key from its text. What is none makes a key that nobody else has, and says so by the first part.
    #[must_use]
    pub fn from_hex(text: &str) -> (bool, Self) {
        let digit =
            |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let pair = |pair: &[u8]| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(pair).collect();
        let bytes = zeroize::Zeroizing::new(bytes.unwrap_or_default());
        let good = bytes.len() == KEY_BYTES;
        (good, Self { key: hmac::Key::new(hmac::HMAC_SHA256, &bytes) })
    }

    /// A keyed hash by which equal values of a tenant are recognised. Never call it with a CVV.
    #[must_use]
    pub fn of(&self, tenant: Tenant, value: &str) -> String {
        hex(&hash_under(&self.key, tenant, value))
    }
}

impl Vault {
    /// The nodes' key of fingerprints, and the version of the vault's that it is made from.
    #[must_use]
    pub fn node_fingerprint_key(&self) -> (u32, Secret) {
        let fingerprint = &self.ring.keys().fingerprint;
        let made = hmac::sign(&fingerprint.key, b"baton vault node fingerprint key 1");
        (fingerprint.version, Secret::new(hex(made.as_ref())))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use baton_types::MerchantId;

    use super::*;

    #[test]
    fn a_key_is_a_key_or_is_said_to_be_none() {
        let tenant = |sandbox| Tenant { merchant: MerchantId::from_bytes([7; 16]), sandbox };
        let text = "0123456789abcdef".repeat(4);
        let (good, key) = NodeFingerprints::from_hex(&text);
        assert!(good);
        let print = key.of(tenant(true), "4111111111111111");
        assert_eq!(print.len(), 64);
        assert_eq!(NodeFingerprints::from_hex(&text).1.of(tenant(true), "4111111111111111"), print);
        assert_ne!(key.of(tenant(false), "4111111111111111"), print);
        assert_ne!(key.of(tenant(true), "4111111111111112"), print);
        for bad in ["", "00", "zz", text.get(1..).unwrap(), &"g".repeat(64)] {
            assert!(!NodeFingerprints::from_hex(bad).0, "{bad}");
        }
    }
}
