//! Signatures of what is sent: Standard Webhooks (`webhook-signature`) and the contract's own.

use std::fmt::{self, Write as _};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use baton_types::Secret;

/// What a signing secret's text begins with.
const PREFIX: &str = "whsec_";

/// A secret that an endpoint's signatures are made with: `whsec_` and 24 to 64 bytes in base64.
pub struct SigningSecret(Secret);

/// The text is no signing secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSecret;

impl fmt::Display for BadSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected whsec_ and 24 to 64 bytes in base64")
    }
}

impl std::error::Error for BadSecret {}

impl SigningSecret {
    /// One of these random bytes.
    #[must_use]
    pub fn of_bytes(bytes: &[u8; 32]) -> Self {
        Self(Secret::new(format!("{PREFIX}{}", STANDARD.encode(bytes))))
    }

    /// Reads a secret.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, BadSecret> {
        let key = text.strip_prefix(PREFIX).ok_or(BadSecret)?;
        let bytes = STANDARD.decode(key).map_err(|_| BadSecret)?;
        if (24..=64).contains(&bytes.len()) {
            Ok(Self(Secret::new(text.to_owned())))
        } else {
            Err(BadSecret)
        }
    }

    /// The text, for whoever is to verify with it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    fn sign(&self, message: &[&[u8]]) -> String {
        let key = self.expose().strip_prefix(PREFIX).unwrap_or_default();
        // Checked when it was read.
        let bytes = STANDARD.decode(key).unwrap_or_default();
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &bytes));
        for part in message {
            context.update(part);
        }
        format!("v1,{}", STANDARD.encode(context.sign()))
    }
}

/// The headers by which a receiver verifies a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// `webhook-id`: the same for every try of one event.
    pub id: String,
    /// `webhook-timestamp`: when this try was signed, in seconds.
    pub timestamp: String,
    /// `webhook-signature`: one signature per secret.
    pub signature: String,
}

impl Signature {
    /// Signs a body by the scheme of Standard Webhooks, once with each secret: while one replaces another, a
    /// receiver that has either is content.
    #[must_use]
    pub fn new(id: &str, unix_s: i64, body: &[u8], secrets: &[SigningSecret]) -> Self {
        let timestamp = unix_s.to_string();
        let message = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
        let signatures: Vec<_> = secrets.iter().map(|secret| secret.sign(&message)).collect();
        Self { id: id.to_owned(), timestamp, signature: signatures.join(" ") }
    }
}

/// The contract's signature, of a body or of a query: HMAC-SHA512 in hexadecimal.
#[must_use]
pub fn contract_signature(message: &[u8], key: &Secret) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA512, key.expose().as_bytes());
    let tag = hmac::sign(&key, message);
    tag.as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _always_ok = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn the_scheme_is_that_of_the_public_libraries() {
        let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let signed = Signature::new(id, 1_614_265_330, body, &[secret]);
        assert_eq!(signed.signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!((signed.id.as_str(), signed.timestamp.as_str()), (id, "1614265330"));
    }

    #[test]
    fn two_secrets_give_two_signatures() {
        let secrets = [SigningSecret::of_bytes(&[1; 32]), SigningSecret::of_bytes(&[2; 32])];
        let signed = Signature::new("evt", 1, b"{}", &secrets).signature;
        let parts: Vec<_> = signed.split(' ').collect();
        assert_eq!(parts.len(), 2);
        assert!(parts.iter().all(|part| part.starts_with("v1,")) && parts[0] != parts[1]);
    }

    #[test]
    fn a_secret_is_read_strictly() {
        let made = SigningSecret::of_bytes(&[7; 32]);
        assert!(SigningSecret::parse(made.expose()).is_ok());
        for text in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_!"]
        {
            assert!(SigningSecret::parse(text).is_err(), "{text}");
        }
    }

    /// RFC 4231, test case 2.
    #[test]
    fn the_contracts_signature_is_hmac_sha512_in_hexadecimal() {
        let key = Secret::new("Jefe".to_owned());
        let want = "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d0\
                    34f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737";
        assert_eq!(contract_signature(b"what do ya want for nothing?", &key), want);
    }
}
