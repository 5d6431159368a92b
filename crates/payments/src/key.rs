//! Requests that come twice: a client's key for one request, kept with what the request has changed.
//!
//! A key stands for one operation on one object. What is kept are hashes: of the key, and of what was asked
//! for as it was understood, without a CVC and with no more of a card than may be shown.

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fault::Fault;

/// Most keys that one object remembers; the oldest are forgotten first.
const KEYS_MAX: usize = 100;

/// A client's key with what it stands for, both as hashes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Key {
    key: String,
    asked: String,
}

impl Key {
    pub(crate) fn new(operation: &str, key: &str, asked: &Value) -> Self {
        Self { key: hash(&[operation, key]), asked: hash(&[&asked.to_string()]) }
    }
}

/// The keys under which an object was changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Keys(Vec<Key>);

impl Keys {
    /// Whether this request was carried out before.
    ///
    /// # Errors
    /// `KeyReused` for a key that stands for something else.
    pub(crate) fn hold(&self, key: Option<&Key>) -> Result<bool, Fault> {
        let Some(key) = key else { return Ok(false) };
        match self.0.iter().find(|known| known.key == key.key) {
            None => Ok(false),
            Some(known) if known.asked == key.asked => Ok(true),
            Some(_) => Err(Fault::KeyReused),
        }
    }

    /// What was remembered last has come to nothing, and can be asked for again.
    pub(crate) fn forget_last(&mut self) {
        self.0.pop();
    }

    pub(crate) fn remember(&mut self, key: Option<&Key>) {
        if self.0.len() >= KEYS_MAX {
            self.0.remove(0);
        }
        self.0.extend(key.cloned());
    }
}

/// The id of what a request under this key makes: the same for every repeat.
pub(crate) fn id_of(prefix: &str, key: &str) -> String {
    let hash = hash(&[prefix, key]);
    format!("{prefix}{}", hash.get(..26).unwrap_or(&hash))
}

/// SHA-256 in hexadecimal, of texts that cannot run into each other.
pub(crate) fn hash(texts: &[&str]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for text in texts {
        context.update(&text.len().to_be_bytes());
        context.update(text.as_bytes());
    }
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_key_stands_for_one_request() {
        fn key(operation: &str, key: &str, asked: i64) -> Key {
            Key::new(operation, key, &json!(asked))
        }
        let mut keys = Keys::default();
        keys.remember(Some(&key("capture", "k", 5)));
        assert_eq!(keys.hold(None), Ok(false));
        assert_eq!(keys.hold(Some(&key("capture", "k", 5))), Ok(true));
        assert_eq!(keys.hold(Some(&key("capture", "k", 6))), Err(Fault::KeyReused));
        assert_eq!(keys.hold(Some(&key("cancel", "k", 6))), Ok(false));
        assert_eq!(keys.hold(Some(&key("capture", "l", 5))), Ok(false));
        for no in (0..KEYS_MAX).map(|no| no.to_string()) {
            keys.remember(Some(&key("cancel", &no, 0)));
        }
        assert_eq!(keys.0.len(), KEYS_MAX);
        assert_eq!(keys.hold(Some(&key("capture", "k", 5))), Ok(false));
    }

    #[test]
    fn texts_do_not_run_into_each_other() {
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
        assert_eq!(id_of("pay_", "k").len(), 30);
        assert_ne!(id_of("pay_", "k"), id_of("ref_", "k"));
    }
}
