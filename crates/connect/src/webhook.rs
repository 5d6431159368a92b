//! Webhooks: what a provider says by itself, and what has to be verified before anybody believes it.
//!
//! A connector has neither secrets nor cryptography. It says which bytes were signed, under which of the
//! account's credentials, and which signatures came along; whoever holds the secret verifies. What the
//! webhook says can only be had through that check. Left out: the endpoint, and what follows from an event.

use baton_types::Timestamp;
use baton_types::outcome::Finding;

use crate::{DisputeEvent, Fill, Hole};

/// A webhook as it arrived. The body is exactly the bytes that were received: they were signed.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Header fields; names in lower case.
    pub headers: &'a [(String, String)],
    /// The body.
    pub body: &'a [u8],
}

impl Incoming<'_> {
    /// The first header field of this lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// How a credential's text becomes a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// Its bytes as they are.
    Text,
    /// Bytes written in hexadecimal.
    Hex,
}

/// How a webhook is signed. HMAC with SHA-256 is what all providers here use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The credential that is the key, by the name that the manifest declares.
    pub credential: String,
    /// How that credential is written.
    pub key_form: KeyForm,
    /// What was signed.
    pub message: Vec<u8>,
    /// The signatures that came along. One that fits is enough: while a secret is replaced, there are two.
    pub candidates: Vec<Vec<u8>>,
    /// When it was signed, where that is signed too.
    pub signed_at: Option<Timestamp>,
}

/// What a webhook says, behind its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    signature: Signature,
    told: Told,
}

/// What a verified webhook says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// About operations.
    pub events: Vec<WebhookEvent>,
    /// About disputes.
    pub disputes: Vec<DisputeEvent>,
}

impl Told {
    /// Adds what another message says.
    pub fn extend(&mut self, more: Self) {
        self.events.extend(more.events);
        self.disputes.extend(more.disputes);
    }
}

/// Who can check a signature, in constant time.
pub trait Verifier {
    /// Whether `tag` is the HMAC-SHA256 of `message` under `key`.
    fn hmac_sha256(&self, key: &[u8], message: &[u8], tag: &[u8]) -> bool;
}

/// When a signature is too old to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// The time.
    pub now: Timestamp,
    /// How far the time of signing may be from it, before or after, in milliseconds.
    pub tolerance_ms: i64,
}

impl Signed {
    /// Puts events behind their signature.
    #[must_use]
    pub fn new(signature: Signature, events: Vec<WebhookEvent>) -> Self {
        Self { signature, told: Told { events, disputes: Vec::new() } }
    }

    /// The same, with what it says about disputes.
    #[must_use]
    pub fn with_disputes(mut self, disputes: Vec<DisputeEvent>) -> Self {
        self.told.disputes.extend(disputes);
        self
    }

    /// What has to be verified.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// What it says, if the signature is right and fresh.
    ///
    /// # Errors
    /// No secret to check it with, a signature that does not fit, or one that is too old.
    pub fn open(
        self,
        secrets: &dyn Fill,
        verifier: &dyn Verifier,
        freshness: Freshness,
    ) -> Result<Told, WebhookError> {
        let Signature { credential, key_form, message, candidates, signed_at } = self.signature;
        let hole = Hole::Credential(credential);
        let secret = secrets.secret(&hole).filter(|secret| !secret.is_empty());
        let secret = secret.ok_or(WebhookError::NoSecret)?;
        let key = match key_form {
            KeyForm::Text => zeroize::Zeroizing::new(secret.as_bytes().to_vec()),
            KeyForm::Hex => {
                zeroize::Zeroizing::new(bytes_of_hex(secret).ok_or(WebhookError::NoSecret)?)
            }
        };
        if !candidates.iter().any(|tag| verifier.hmac_sha256(&key, &message, tag)) {
            return Err(WebhookError::BadSignature);
        }
        let too_old = |at: Timestamp| {
            freshness.now.since(at).unsigned_abs() > freshness.tolerance_ms.unsigned_abs()
        };
        if signed_at.is_some_and(too_old) {
            return Err(WebhookError::TooOld);
        }
        Ok(self.told)
    }
}

/// Bytes written in hexadecimal; nothing if the text is empty or anything else.
#[must_use]
pub fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
        .collect::<Option<_>>()?;
    let whole = !digits.is_empty() && digits.len().is_multiple_of(2);
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(high << 4 | low),
        _ => None,
    };
    whole.then(|| digits.chunks(2).map(byte).collect::<Option<Vec<u8>>>())?
}

/// Bytes written in base64 (RFC 4648, with padding); nothing if the text is empty or anything else.
#[must_use]
pub fn bytes_of_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let padding = text.len().checked_sub(digits.len())?;
    if text.is_empty() || !text.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len());
    let (mut bits, mut held) = (0_u32, 0_u32);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit.checked_sub(b'A')?,
            b'a'..=b'z' => digit.checked_sub(b'a')?.checked_add(26)?,
            b'0'..=b'9' => digit.checked_sub(b'0')?.checked_add(52)?,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (bits, held) = (bits << 6 | u32::from(value), held.saturating_add(6));
        if held >= 8 {
            held = held.saturating_sub(8);
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(bytes)
}

/// One thing that a webhook says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookEvent {
    /// The provider's name for the kind of event.
    pub name: String,
    /// The provider's id of the event, where it has one: an event may come more than once.
    pub id: Option<String>,
    /// Which operation it is about.
    pub subject: EventSubject,
    /// Our reference of that operation, where the event carries it.
    pub reference: Option<String>,
    /// The provider's id of that operation.
    pub provider_reference: Option<String>,
    /// The provider's id of the payment that the operation belongs to.
    pub payment_reference: Option<String>,
    /// What it shows about the operation.
    pub finding: Finding,
}

/// The kinds of operation that events are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventSubject {
    /// An authorization or a sale.
    Purchase,
    /// A capture.
    Capture,
    /// A void.
    Void,
    /// A refund.
    Refund,
    /// A raise of what is held.
    Increment,
}

/// Why a webhook is not believed or not understood. Says nothing of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookError {
    /// The provider sends none, or the connector does not read them.
    NotSupported,
    /// Its form is not the documented one.
    Malformed(&'static str),
    /// The account has no usable secret to check the signature with.
    NoSecret,
    /// No signature fits.
    BadSignature,
    /// It was signed too long ago, or in the future: it may be a copy.
    TooOld,
}

impl std::fmt::Display for WebhookError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotSupported => f.write_str("this provider's webhooks are not read"),
            Self::Malformed(what) => write!(f, "not a webhook of this provider: {what}"),
            Self::NoSecret => f.write_str("the account has no usable webhook secret"),
            Self::BadSignature => f.write_str("the webhook's signature does not fit"),
            Self::TooOld => f.write_str("the webhook was not signed just now"),
        }
    }
}

impl std::error::Error for WebhookError {}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use baton_types::Secret;

    use super::*;

    /// Takes a tag that repeats key and message: enough to see what is handed to it.
    struct Echo;
    impl Verifier for Echo {
        fn hmac_sha256(&self, key: &[u8], message: &[u8], tag: &[u8]) -> bool {
            [key, message].concat() == tag
        }
    }

    fn open(
        key_form: KeyForm,
        secret: &str,
        tags: &[&[u8]],
        age_ms: i64,
    ) -> Result<(), WebhookError> {
        let signature = Signature {
            credential: "Webhook".to_owned(),
            key_form,
            message: b"m".to_vec(),
            candidates: tags.iter().map(|tag| tag.to_vec()).collect(),
            signed_at: Some(Timestamp::from_millis(1_000_000 - age_ms)),
        };
        let secrets = HashMap::from([("Webhook".to_owned(), Secret::new(secret.to_owned()))]);
        let freshness = Freshness { now: Timestamp::from_millis(1_000_000), tolerance_ms: 300_000 };
        let opened = Signed::new(signature, Vec::new()).open(&secrets, &Echo, freshness);
        opened.map(|told| assert_eq!(told, Told::default()))
    }

    #[test]
    fn base64_is_read_as_rfc_4648_writes_it() {
        let rows = [("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmFy", "foobar")];
        for (coded, plain) in rows {
            assert_eq!(bytes_of_base64(coded).as_deref(), Some(plain.as_bytes()));
        }
        assert_eq!(bytes_of_base64("+/8="), Some(vec![0xfb, 0xff]));
        for wrong in ["", "Z", "Zg", "Zg=", "Z===", "Zm9!", "====", "Zg==Zg=="] {
            assert_eq!(bytes_of_base64(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn events_are_shown_only_behind_a_fresh_signature_that_fits() {
        use KeyForm::{Hex, Text};
        type Row = (KeyForm, &'static str, &'static [&'static [u8]], i64, Result<(), WebhookError>);
        let rows: [Row; 11] = [
            (Text, "k", &[b"km"], 0, Ok(())),
            (Text, "k", &[b"old", b"km"], 300_000, Ok(())),
            (Text, "k", &[b"km"], -300_000, Ok(())),
            (Text, "k", &[b"km"], 300_001, Err(WebhookError::TooOld)),
            (Text, "k", &[b"km"], -300_001, Err(WebhookError::TooOld)),
            (Text, "k", &[b"other"], 300_001, Err(WebhookError::BadSignature)),
            (Text, "k", &[], 0, Err(WebhookError::BadSignature)),
            (Text, "", &[b"m"], 0, Err(WebhookError::NoSecret)),
            (Hex, "6B", &[b"km"], 0, Ok(())),
            (Hex, "6", &[b"m"], 0, Err(WebhookError::NoSecret)),
            (Hex, "zz", &[b"m"], 0, Err(WebhookError::NoSecret)),
        ];
        for (form, secret, tags, age_ms, want) in rows {
            assert_eq!(open(form, secret, tags, age_ms), want, "{form:?} {secret} {age_ms}");
        }
    }
}
