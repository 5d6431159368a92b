//! A certificate chain with its private key, as PEM, and the part of X.509 that decides how long it holds.
//!
//! Guarantees: the key belongs to the chain's first certificate; the key's text is wiped once it is read, the
//! key itself lives in the cryptographic library; neither `Debug` nor an error shows any of it. Left out:
//! whether the chain leads to an authority (the other side decides that), and every field of a certificate
//! but its validity. Buffers that the PEM reader grows and drops are not wiped.

use std::fmt;
use std::sync::Arc;

use baton_types::{Secret, Timestamp};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use zeroize::Zeroize as _;

/// A chain and its key, ready for a TLS configuration.
#[derive(Clone)]
pub struct CertifiedPair {
    certified: Arc<CertifiedKey>,
    validity: Validity,
}

/// From when to when a certificate holds; both ends count in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub not_before: Timestamp,
    /// The last.
    pub not_after: Timestamp,
}

/// What is wrong with a chain or its key. Nothing of either is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityError {
    /// The chain has no PEM block of a certificate.
    NoCertificate,
    /// The chain's text is not PEM, or its first certificate cannot be read.
    BadCertificate,
    /// There is no PEM block of a private key.
    NoKey,
    /// The key is there, under a password.
    EncryptedKey,
    /// The key cannot be read, or is of a kind that TLS cannot use.
    BadKey,
    /// The key belongs to another certificate than the chain's first.
    KeyMismatch,
    /// The certificate has ended.
    Expired {
        /// Its last moment.
        not_after: Timestamp,
    },
    /// The certificate does not hold yet.
    NotYetValid {
        /// Its first moment.
        not_before: Timestamp,
    },
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate => f.write_str("there is no certificate in PEM form"),
            Self::BadCertificate => f.write_str("the certificate cannot be read"),
            Self::NoKey => f.write_str("there is no private key in PEM form"),
            Self::EncryptedKey => {
                f.write_str("the private key is under a password, and has to be without one")
            }
            Self::BadKey => f.write_str("the private key cannot be read or used for TLS"),
            Self::KeyMismatch => f.write_str(
                "the private key belongs to another certificate than the first of the chain",
            ),
            Self::Expired { not_after } => write!(f, "the certificate ended at {not_after}"),
            Self::NotYetValid { not_before } => {
                write!(f, "the certificate does not hold before {not_before}")
            }
        }
    }
}

impl std::error::Error for IdentityError {}

impl fmt::Debug for CertifiedPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertifiedPair")
            .field("validity", &self.validity)
            .field("certificates", &self.certified.cert.len())
            .finish_non_exhaustive()
    }
}

/// The certificates of a PEM text.
///
/// # Errors
/// It is no PEM.
pub fn certificates_of(pem: &str) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let read = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    read.map_err(|_| IdentityError::BadCertificate)
}

impl CertifiedPair {
    /// Reads a chain, the certificate itself first, and its key. Says nothing of the time yet: see
    /// [`Validity::check`].
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn from_pem(chain_pem: &str, key_pem: &Secret) -> Result<Self, IdentityError> {
        let chain = CertificateDer::pem_slice_iter(chain_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| IdentityError::BadCertificate)?;
        let leaf = chain.first().ok_or(IdentityError::NoCertificate)?;
        let validity = Validity::of(leaf).ok_or(IdentityError::BadCertificate)?;
        let mut key = read_key(key_pem.expose())?;
        let signing = any_supported_type(&key).map_err(|_| IdentityError::BadKey);
        key.zeroize();
        let certified = CertifiedKey::new(chain, signing?);
        match certified.keys_match() {
            // A kind of key that does not tell its public half is taken at its word, as TLS libraries do.
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => return Err(IdentityError::KeyMismatch),
            Err(_) => return Err(IdentityError::BadCertificate),
        }
        Ok(Self { certified: Arc::new(certified), validity })
    }

    /// How long the first certificate holds.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The pair as the TLS library takes it.
    #[must_use]
    pub fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }

    /// The first certificate: what tells two pairs apart.
    #[must_use]
    pub fn leaf(&self) -> &[u8] {
        self.certified.cert.first().map_or(&[], |leaf| leaf.as_ref())
    }
}

fn read_key(text: &str) -> Result<PrivateKeyDer<'static>, IdentityError> {
    if text.contains("ENCRYPTED") {
        return Err(IdentityError::EncryptedKey);
    }
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| {
        let none = matches!(error, pem::Error::NoItemsFound);
        if none { IdentityError::NoKey } else { IdentityError::BadKey }
    })
}

impl Validity {
    /// The validity of a certificate in DER form; `None` if it is not one.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let mut certificate = Der(certificate.as_ref()).enter(SEQUENCE)?;
        let mut signed = certificate.enter(SEQUENCE)?;
        if signed.0.first() == Some(&VERSION) {
            signed.enter(VERSION)?;
        }
        signed.enter(INTEGER)?; // serial number
        signed.enter(SEQUENCE)?; // algorithm
        signed.enter(SEQUENCE)?; // issuer
        let mut validity = signed.enter(SEQUENCE)?;
        Some(Self { not_before: validity.time()?, not_after: validity.time()? })
    }

    /// Whether the certificate holds now, by the clock that the TLS library checks other certificates by.
    ///
    /// # Errors
    /// It has ended, or has not begun.
    pub fn check(self) -> Result<(), IdentityError> {
        let seconds = i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX);
        self.check_at(Timestamp::from_millis(seconds.saturating_mul(1000)))
    }

    fn check_at(self, now: Timestamp) -> Result<(), IdentityError> {
        let Self { not_before, not_after } = self;
        if now > not_after {
            return Err(IdentityError::Expired { not_after });
        }
        if now < not_before {
            return Err(IdentityError::NotYetValid { not_before });
        }
        Ok(())
    }
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// What is left to read of a DER encoding (X.690): elements of tag, length and content.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The content of the next element, which has to have this tag.
    fn enter(&mut self, tag: u8) -> Option<Der<'a>> {
        let (found, content) = self.element()?;
        (found == tag).then_some(Der(content))
    }

    fn element(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = if *first < 0x80 {
            (usize::from(*first), rest)
        } else {
            // A longer length than four bytes is no certificate's.
            let count = usize::from(*first & 0x7f);
            let (bytes, rest) =
                rest.split_at_checked(count).filter(|_| (1..=4).contains(&count))?;
            (bytes.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte)), rest)
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, content))
    }

    /// `YYMMDDHHMMSSZ` until 2049 or `YYYYMMDDHHMMSSZ` (RFC 5280, section 4.1.2.5).
    fn time(&mut self) -> Option<Timestamp> {
        let (tag, content) = self.element()?;
        let text = std::str::from_utf8(content).ok()?;
        let (century, rest) = match tag {
            UTC_TIME if text.get(..2)? < "50" => ("20", text),
            UTC_TIME => ("19", text),
            GENERALIZED_TIME => text.split_at_checked(2)?,
            _ => return None,
        };
        let part = |at: usize| rest.get(at..at.checked_add(2)?);
        let zulu = rest.len() == 13 && rest.ends_with('Z');
        let date = format!("{century}{}-{}-{}", part(0)?, part(2)?, part(4)?);
        let time = format!("{}:{}:{}Z", part(6)?, part(8)?, part(10)?);
        zulu.then(|| Timestamp::parse_rfc3339(&format!("{date}T{time}")).ok())?
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, date_time_ymd};

    use super::*;

    fn certificate(key: &KeyPair, from: i32, to: i32) -> rcgen::Certificate {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 3, 4);
        params.not_after = date_time_ymd(to, 12, 31);
        params.self_signed(key).unwrap()
    }

    #[test]
    fn the_validity_is_read_in_both_forms_of_time() {
        let key = KeyPair::generate().unwrap();
        for (from, to) in [(1975, 1999), (1999, 2049), (2024, 2050), (2051, 4096)] {
            let validity = Validity::of(certificate(&key, from, to).der()).unwrap();
            assert_eq!(validity.not_before.to_rfc3339(), format!("{from}-03-04T00:00:00.000Z"));
            assert_eq!(validity.not_after.to_rfc3339(), format!("{to}-12-31T00:00:00.000Z"));
        }
    }

    #[test]
    fn both_ends_of_the_validity_count_in() {
        let [t0, t1] = [1_000_000, 2_000_000].map(Timestamp::from_millis);
        let validity = Validity { not_before: t0, not_after: t1 };
        let rows = [
            (t0.minus(1), Err(IdentityError::NotYetValid { not_before: t0 })),
            (t0, Ok(())),
            (t1, Ok(())),
            (t1.plus_millis(1), Err(IdentityError::Expired { not_after: t1 })),
        ];
        for (now, want) in rows {
            assert_eq!(validity.check_at(now), want, "{now}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_pair_is_said_and_shows_nothing_of_it() {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let chain = certificate(&key, 2020, 2090).pem();
        let text = key.serialize_pem();
        let cut = text.replace("-----END", "----END");
        let encrypted = text.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let rows = [
            (chain.as_str(), text.as_str(), None),
            ("", &text, Some(IdentityError::NoCertificate)),
            (&text, &text, Some(IdentityError::NoCertificate)),
            (broken, &text, Some(IdentityError::BadCertificate)),
            (&chain, "", Some(IdentityError::NoKey)),
            (&chain, &chain, Some(IdentityError::NoKey)),
            (&chain, &cut, Some(IdentityError::BadKey)),
            (&chain, &encrypted, Some(IdentityError::EncryptedKey)),
            (&chain, &other.serialize_pem(), Some(IdentityError::KeyMismatch)),
        ];
        let words: Vec<&str> = text.lines().filter(|line| !line.starts_with('-')).collect();
        for (chain, key, want) in rows {
            let got = CertifiedPair::from_pem(chain, &Secret::new(key.to_owned()));
            assert_eq!(got.as_ref().err(), want.as_ref(), "{want:?}");
            let shown = match &got {
                Ok(pair) => format!("{pair:?}"),
                Err(error) => format!("{error:?} {error}"),
            };
            assert!(words.iter().all(|word| !shown.contains(word)), "{shown}");
        }
    }

    #[test]
    fn an_rsa_key_is_compared_too() {
        let Ok(key) = KeyPair::generate_for(&PKCS_RSA_SHA256) else { panic!("no RSA") };
        let chain = certificate(&key, 2020, 2090).pem();
        let pair = |key: &KeyPair| {
            CertifiedPair::from_pem(&chain, &Secret::new(key.serialize_pem())).err()
        };
        assert_eq!(pair(&key), None);
        assert_eq!(pair(&KeyPair::generate().unwrap()), Some(IdentityError::KeyMismatch));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_fail_otherwise_than_with_none(
            bytes in prop::collection::vec(any::<u8>(), 0..64),
            cut in 0_usize..1000,
            flip in 0_usize..1000,
        ) {
            let _any = Validity::of(&CertificateDer::from(bytes.clone()));
            let key = KeyPair::generate().unwrap();
            let mut der = certificate(&key, 2020, 2090).der().to_vec();
            der.truncate(cut);
            if let Some(byte) = der.get_mut(flip) {
                *byte ^= bytes.first().copied().unwrap_or(1);
            }
            let _any = Validity::of(&CertificateDer::from(der));
        }
    }
}
