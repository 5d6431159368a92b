//! What an external card vault is: a service of somebody else that keeps a merchant's cards.
//!
//! An adapter translates, as a [`Connector`](crate::Connector) does: storing, retrieving and deleting a card each
//! into one [`HttpCall`], and its answer into a [`VaultAnswer`]. It is pure. Guarantees: a card number is never in a
//! call's template (it is [`Hole::CardNumber`](crate::Hole)), and never in what a refusal says; a number that comes
//! back is read straight into a [`Secret`]. Left out: sockets, credentials, retries, and wiping an answer's bytes, which
//! is the runner's.

use baton_types::{Expiry, Secret};

use crate::{HttpCall, HttpReply};

/// Longest token of a vault that is kept.
const TOKEN_MAX: usize = 200;

/// Longest word that is kept of why a vault refused.
const CODE_MAX: usize = 64;

/// What a vault is and needs.
#[derive(Debug)]
pub struct CardVaultClaims {
    /// The contract's `connector_name`.
    pub name: &'static str,
    /// What people call it.
    pub display_name: &'static str,
    /// Where each of the claims is documented.
    pub documentation: &'static [&'static str],
    /// Where it can be reached; of each mode the first is the default.
    pub environments: &'static [VaultEnvironment],
    /// What it has to be given.
    pub credentials: &'static [VaultCredential],
    /// The credentials that make `Authorization: Basic`: a user's name and its password. The pair is filled into
    /// the hole of the credential [`BASIC`].
    pub basic: Option<(&'static str, &'static str)>,
    /// For how many hours a repeat under the same key gives the first answer; none where there are no keys.
    pub key_hours: Option<u32>,
}

/// The credential of [`CardVaultClaims::basic`], as a call names it.
pub const BASIC: &str = "basic";

/// Where a vault can be reached.
#[derive(Debug)]
pub struct VaultEnvironment {
    /// What the vault calls it.
    pub name: &'static str,
    /// Its address.
    pub url: &'static str,
    /// For live cards; otherwise for test cards. None: for both.
    pub live: Option<bool>,
}

/// Something that a vault has to be given.
#[derive(Debug)]
pub struct VaultCredential {
    /// The contract's name for it: `api_key`, `key1`, `api_secret`.
    pub name: &'static str,
    /// What it is at the vault.
    pub meaning: &'static str,
    /// Whether it must not be shown. What is no secret may be shown to browsers.
    pub secret: bool,
}

/// A card that is to be stored. Its number is with whoever fills the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardToKeep {
    /// Until when the card holds.
    pub expiry: Expiry,
    /// The name on it.
    pub holder: Option<String>,
}

/// A card as a vault has it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptCard {
    /// What the vault calls it. No secret: it is worth nothing without the vault's credentials.
    pub token: String,
    /// The vault's own fingerprint: equal cards have equal ones.
    pub fingerprint: Option<String>,
}

/// What a vault's answer says.
#[derive(Debug)]
pub enum VaultAnswer<T> {
    /// It was done.
    Done(T),
    /// There is no such card.
    Absent,
    /// It was not done, and will not be for this card: what the vault calls the reason.
    Refused(String),
    /// It was not done because the credentials do not allow it, which somebody can put right.
    Denied(String),
    /// It may or may not have been done, or was put off. It can be asked for again.
    Unclear(String),
}

impl<T> VaultAnswer<T> {
    /// The same with another result.
    pub fn map<U>(self, with: impl FnOnce(T) -> U) -> VaultAnswer<U> {
        match self {
            Self::Done(done) => VaultAnswer::Done(with(done)),
            Self::Absent => VaultAnswer::Absent,
            Self::Refused(why) => VaultAnswer::Refused(why),
            Self::Denied(why) => VaultAnswer::Denied(why),
            Self::Unclear(why) => VaultAnswer::Unclear(why),
        }
    }

    /// The same where nothing that could be absent was asked for: an address that is not there is no card.
    #[must_use]
    pub fn without_absence(self) -> Self {
        if let Self::Absent = self { Self::Denied("404 nothing is there".to_owned()) } else { self }
    }

    /// What an answer says by its status alone, where it is not a success.
    #[must_use]
    pub fn of_status(status: u16, code: Option<&str>) -> Self {
        let why = match code.map(word).filter(|word| !word.is_empty()) {
            Some(word) => format!("{status} {word}"),
            None => status.to_string(),
        };
        match status {
            401 | 403 => Self::Denied(why),
            404 | 410 => Self::Absent,
            // Of a request that does not fit, a repeat will not fit either.
            400 | 405 | 406 | 413 | 415 | 422 => Self::Refused(why),
            _ => Self::Unclear(why),
        }
    }
}

/// What may be kept of a vault's own words: no digits beyond three in a row, because a vault may repeat what it was
/// sent, and only a few plain characters.
fn word(text: &str) -> String {
    let mut kept = String::new();
    let mut digits = 0;
    for letter in text.chars().take(CODE_MAX) {
        digits = if letter.is_ascii_digit() { digits + 1 } else { 0 };
        match letter {
            _ if digits > 3 => {}
            _ if letter.is_ascii_alphanumeric() || " _-.'".contains(letter) => kept.push(letter),
            _ => kept.push(' '),
        }
    }
    kept.trim().to_owned()
}

/// Whether a vault's token can stand in a path and be kept.
#[must_use]
pub fn fits_as_token(token: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    !token.is_empty()
        && token.len() <= TOKEN_MAX
        && token.bytes().all(plain)
        && !token.bytes().all(|byte| byte == b'.')
}

/// One external vault. Every call is below the base URL of the environment.
pub trait CardVault: Send + Sync {
    /// What it is and needs, with citations.
    fn claims(&self) -> &'static CardVaultClaims;

    /// Stores a card. A repeat has the same key, and the same bytes.
    fn store(&self, card: &CardToKeep, key: &str) -> HttpCall;

    /// The answer to [`CardVault::store`].
    fn read_stored(&self, reply: &HttpReply) -> VaultAnswer<KeptCard>;

    /// Retrieves a card's number.
    fn retrieve(&self, token: &str) -> HttpCall;

    /// The answer to [`CardVault::retrieve`].
    fn read_retrieved(&self, reply: &HttpReply) -> VaultAnswer<Secret>;

    /// Deletes a card.
    fn delete(&self, token: &str) -> HttpCall;

    /// The answer to [`CardVault::delete`].
    fn read_deleted(&self, reply: &HttpReply) -> VaultAnswer<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_whether_to_ask_again() {
        let said = |status| match VaultAnswer::<()>::of_status(status, None) {
            VaultAnswer::Done(()) => "done",
            VaultAnswer::Absent => "absent",
            VaultAnswer::Refused(_) => "refused",
            VaultAnswer::Denied(_) => "denied",
            VaultAnswer::Unclear(_) => "unclear",
        };
        let rows = [
            (200, "unclear"),
            (302, "unclear"),
            (400, "refused"),
            (401, "denied"),
            (403, "denied"),
            (404, "absent"),
            (409, "unclear"),
            (422, "refused"),
            (429, "unclear"),
            (500, "unclear"),
            (503, "unclear"),
        ];
        for (status, want) in rows {
            assert_eq!(said(status), want, "{status}");
        }
    }

    #[test]
    fn a_vaults_words_never_carry_a_card_number() {
        let rows = [
            ("Bad Request", "Bad Request"),
            ("value 4111111111111111 is wrong", "value 411 is wrong"),
            ("4111 1111 1111 1111", "411 111 111 111"),
            ("<b>\"x\"\n", "b  x"),
        ];
        for (said, kept) in rows {
            assert_eq!(word(said), kept, "{said}");
        }
        assert!(word(&"x".repeat(500)).len() <= CODE_MAX);
        let VaultAnswer::Refused(why) = VaultAnswer::<()>::of_status(400, Some("4111111111111111"))
        else {
            panic!("refused")
        };
        assert_eq!(why, "400 411");
    }

    #[test]
    fn a_token_goes_into_a_path_as_it_is_or_not_at_all() {
        for good in ["tok_sandbox_bhtsCwFUzoJMw9rWUfEV5e", "c06d0789-0a38-40be-b7cc", "a.b~c"] {
            assert!(fits_as_token(good), "{good}");
        }
        for bad in ["", "a/b", "a?b", "a b", "..", ".", "a%2f", "é", &"x".repeat(201)] {
            assert!(!fits_as_token(bad), "{bad}");
        }
    }
}
