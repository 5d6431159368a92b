//! Identifiers: 16 bytes with a kind in the type, shown as a prefix and 26 characters.
//!
//! The bytes have the layout of a UUIDv7 (RFC 9562, section 5.7), so ids sort by time of creation.
//! The text is lower-case Crockford base32, so it sorts the same way. Guarantees: an id has exactly
//! one text, and an id of one kind is neither parsed nor passed as another. Left out: the source of
//! time and random bits.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text;

/// A payment: `pay_…`.
pub type PaymentId = Id<kind::Payment>;
/// A merchant: `mer_…`.
pub type MerchantId = Id<kind::Merchant>;
/// A merchant's account at a provider: `mca_…`.
pub type AccountId = Id<kind::Account>;
/// An API key: `key_…`.
pub type ApiKeyId = Id<kind::ApiKey>;
/// An event: `evt_…`.
pub type EventId = Id<kind::Event>;
/// A request to our API: `req_…`.
pub type RequestId = Id<kind::Request>;
/// One run of one process: `boot_…`.
pub type BootId = Id<kind::Boot>;

/// What an id names.
pub trait Kind {
    /// The text before the underscore.
    const PREFIX: &'static str;
}

/// The kinds of ids. They exist in the type only.
pub mod kind {
    macro_rules! kinds {
        ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
            $(#[$doc])*
            #[derive(Debug)]
            pub enum $name {}
            impl super::Kind for $name {
                const PREFIX: &'static str = $prefix;
            }
        )*};
    }

    kinds! {
        /// A payment.
        Payment = "pay";
        /// A merchant.
        Merchant = "mer";
        /// A merchant's account at a provider.
        Account = "mca";
        /// An API key.
        ApiKey = "key";
        /// An event.
        Event = "evt";
        /// A request to our API.
        Request = "req";
        /// One run of one process.
        Boot = "boot";
    }
}

/// An id of one kind.
pub struct Id<T> {
    bytes: [u8; 16],
    kind: PhantomData<fn() -> T>,
}

/// Crockford's base32, lower case: no i, l, o, u.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 26 characters of 5 bits carry 130 bits: the first character uses only its lower three.
const TEXT_LEN: usize = 26;
/// The time in a UUIDv7 has 48 bits, which last until the year 10889.
const MAX_UNIX_MS: u64 = (1 << 48) - 1;

impl<T: Kind> Id<T> {
    /// Builds an id from the time and 80 random bits, of which 74 are used.
    #[must_use]
    pub fn from_parts(unix_ms: u64, random: [u8; 10]) -> Self {
        let [_, _, t0, t1, t2, t3, t4, t5] = unix_ms.min(MAX_UNIX_MS).to_be_bytes();
        let [a0, a1, b0, b1, b2, b3, b4, b5, b6, b7] = random;
        let (version, variant) = (0x70 | (a0 & 0x0f), 0x80 | (b0 & 0x3f));
        Self::from_bytes([t0, t1, t2, t3, t4, t5, version, a1, variant, b1, b2, b3, b4, b5, b6, b7])
    }

    /// Takes bytes that were an id before, as a database keeps them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self { bytes, kind: PhantomData }
    }

    /// The bytes, as a database keeps them.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.bytes
    }

    /// The time of creation, in milliseconds since the Unix epoch.
    #[must_use]
    pub const fn unix_ms(self) -> u64 {
        let [t0, t1, t2, t3, t4, t5, ..] = self.bytes;
        u64::from_be_bytes([0, 0, t0, t1, t2, t3, t4, t5])
    }

    /// Reads the text form, strictly: this kind's prefix, lower case, 26 characters, 128 bits.
    ///
    /// # Errors
    /// `IdError`, which names the expected prefix and not the text.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        Self::decode(text).ok_or(IdError { prefix: T::PREFIX })
    }

    fn decode(text: &str) -> Option<Self> {
        let body = text.strip_prefix(T::PREFIX)?.strip_prefix('_')?;
        if body.len() != TEXT_LEN {
            return None;
        }
        let mut value = 0_u128;
        for byte in body.bytes() {
            let digit = ALPHABET.iter().position(|&letter| letter == byte)?;
            value = value.checked_mul(32)?.checked_add(u128::try_from(digit).ok()?)?;
        }
        Some(Self::from_bytes(value.to_be_bytes()))
    }
}

impl<T: Kind> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = u128::from_be_bytes(self.bytes);
        let mut text = String::with_capacity(T::PREFIX.len() + 1 + TEXT_LEN);
        text.push_str(T::PREFIX);
        text.push('_');
        for place in (0..TEXT_LEN).rev() {
            // Five bits always find a letter.
            let letter = ALPHABET.get(usize::from((value >> (place * 5)) as u8 & 31));
            text.extend(letter.map(|&letter| char::from(letter)));
        }
        f.pad(&text)
    }
}

impl<T: Kind> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// Written out because derives would ask the same of the kind, which is only a name.
impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Id<T> {}

impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl<T> Eq for Id<T> {}

impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes.cmp(&other.bytes)
    }
}

impl<T> Hash for Id<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl<T: Kind> Serialize for Id<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, T: Kind> Deserialize<'de> for Id<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer, "an id", Self::parse)
    }
}

/// The text is not an id of the expected kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdError {
    prefix: &'static str,
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "not an id of this kind: expected `{}_` and {TEXT_LEN} characters of base32",
            self.prefix
        )
    }
}

impl std::error::Error for IdError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 9562, appendix A.6.
    const TIME: u64 = 0x017f_22e2_79b0;
    const RANDOM: [u8; 10] = [0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f];
    const TEXT: &str = "pay_01fwhe4ydgfk1shh6w1g60eecf";

    #[test]
    fn the_example_of_the_rfc_is_built_bit_by_bit() {
        let id = PaymentId::from_parts(TIME, RANDOM);
        assert_eq!(u128::from_be_bytes(*id.as_bytes()), 0x017f_22e2_79b0_7cc3_98c4_dc0c_0c07_398f);
        assert_eq!(id.to_string(), TEXT);
        assert_eq!((TEXT.len(), id.unix_ms()), (30, 1_645_557_742_000));
        assert_eq!(PaymentId::parse(TEXT), Ok(id));
    }

    #[test]
    fn the_layout_keeps_version_and_variant_whatever_the_bits() {
        for (random, (version, variant)) in [([0xff; 10], (0x7f, 0xbf)), ([0; 10], (0x70, 0x80))] {
            let id = EventId::from_parts(MAX_UNIX_MS + 1, random);
            assert_eq!((id.as_bytes()[6], id.as_bytes()[8]), (version, variant));
            assert_eq!(id.unix_ms(), MAX_UNIX_MS);
        }
    }

    #[test]
    fn nothing_but_the_one_text_is_an_id() {
        for text in [
            "",
            "pay_",
            "pay",
            "01fwhe4ydgfk1shh6w1g60eecf",
            "evt_01fwhe4ydgfk1shh6w1g60eecf",
            "PAY_01fwhe4ydgfk1shh6w1g60eecf",
            "pay-01fwhe4ydgfk1shh6w1g60eecf",
            "pay_01FWHE4YDGFK1SHH6W1G60EECF",
            "pay_01fwhe4ydgfk1shh6w1g60eec",
            "pay_01fwhe4ydgfk1shh6w1g60eecf0",
            "pay_8zzzzzzzzzzzzzzzzzzzzzzzzz",
            "pay_01fwhe4ydgfkishh6w1g60eecf",
            "pay_01fwhe4ydgfk1shh6w1g60eecé",
            " pay_01fwhe4ydgfk1shh6w1g60eecf",
        ] {
            let error = PaymentId::parse(text).unwrap_err();
            assert_eq!(error, IdError { prefix: "pay" }, "{text}");
        }
    }

    #[test]
    fn every_kind_has_a_prefix_of_its_own() {
        let id = [7; 16];
        let texts = [
            PaymentId::from_bytes(id).to_string(),
            MerchantId::from_bytes(id).to_string(),
            AccountId::from_bytes(id).to_string(),
            ApiKeyId::from_bytes(id).to_string(),
            EventId::from_bytes(id).to_string(),
            RequestId::from_bytes(id).to_string(),
            BootId::from_bytes(id).to_string(),
        ];
        let prefixes = texts.map(|text| text.split_once('_').unwrap().0.to_owned());
        assert_eq!(prefixes, ["pay", "mer", "mca", "key", "evt", "req", "boot"]);
    }

    proptest::proptest! {
        #[test]
        fn text_and_bytes_are_one_to_one_and_sort_alike(a: [u8; 16], b: [u8; 16]) {
            let [a, b] = [a, b].map(PaymentId::from_bytes);
            assert_eq!(PaymentId::parse(&a.to_string()), Ok(a));
            assert_eq!(a.to_string().cmp(&b.to_string()), a.cmp(&b));
        }

        #[test]
        fn whatever_parses_is_written_the_same(text in "pay_[0-9a-z]{26}") {
            if let Ok(id) = PaymentId::parse(&text) {
                assert_eq!(id.to_string(), text);
            }
        }
    }
}
