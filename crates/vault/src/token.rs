//! Tokens: 32 letters and digits, known to their owner only, found by a hash.

use aws_lc_rs::{digest, rand};

use crate::error::{VaultError, crypto};
use crate::vault::{SealedKind, Tenant};

const LENGTH: usize = 32;
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// Bytes from here on would favour the first letters.
const UNBIASED: u8 = 248;

/// A new token: 190 random bits.
pub(crate) fn generate() -> Result<String, VaultError> {
    let mut text = String::with_capacity(LENGTH);
    while text.len() < LENGTH {
        let mut bytes = [0_u8; 40];
        rand::fill(&mut bytes).map_err(crypto)?;
        let letters = bytes.iter().filter(|byte| **byte < UNBIASED).filter_map(|byte| {
            ALPHABET.get(usize::from(*byte) % ALPHABET.len()).map(|letter| char::from(*letter))
        });
        text.extend(letters.take(LENGTH.saturating_sub(text.len())));
    }
    Ok(text)
}

/// Whether a text can be a token.
pub(crate) fn is_token(text: &str) -> bool {
    text.len() == LENGTH && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Where a token's record is. A token is as random as a hash, so that a hash without a key hides it.
pub(crate) fn record_of_token(token: &str) -> Vec<u8> {
    hash(b"baton vault token 1", &[token.as_bytes()])
}

/// Where another secret's record is.
pub(crate) fn record_of_secret(tenant: Tenant, kind: SealedKind, id: &str) -> Vec<u8> {
    let sandbox = [u8::from(tenant.sandbox)];
    let parts: [&[u8]; 4] =
        [tenant.merchant.as_bytes(), &sandbox, kind.as_str().as_bytes(), id.as_bytes()];
    hash(b"baton vault secret 1", &parts)
}

/// No two lists of parts are hashed as the same bytes: each is preceded by its length.
fn hash(label: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(label);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    context.finish().as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_use_every_letter_about_equally_often() {
        let mut counts = std::collections::BTreeMap::<char, u32>::new();
        for _ in 0..4_000 {
            let token = generate().unwrap();
            assert!(is_token(&token), "{token}");
            for letter in token.chars() {
                *counts.entry(letter).or_default() += 1;
            }
        }
        // 2,065 each; a bias of the first eight letters by the remainder would be a quarter more.
        assert_eq!(counts.len(), ALPHABET.len());
        assert!(counts.values().all(|count| (1_780..2_350).contains(count)), "{counts:?}");
    }

    #[test]
    fn what_is_no_token_is_known_without_asking() {
        for text in ["", "4111111111111111", &"a".repeat(31), &"a".repeat(33), &"é".repeat(16)] {
            assert!(!is_token(text), "{text}");
        }
    }
}
