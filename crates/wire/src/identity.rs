//! The certificate that we show a provider, and the TLS configurations that go with one.
//!
//! Guarantees: a certificate is shown only on connections of calls that carry it, and sessions are resumed
//! only under the certificate that they were begun with (each has a configuration, and so a memory of
//! sessions, of its own). No more than [`CONFIGS_MAX`] of those are kept; the one used longest ago goes first.
//! Left out: choosing between certificates. A call has one or none.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use baton_types::{Secret, Timestamp};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};
use tokio_rustls::TlsConnector;

use crate::certificate::{CertifiedPair, IdentityError};

/// The most TLS configurations with a certificate that are kept.
const CONFIGS_MAX: usize = 128;

/// How many sessions a configuration with a certificate remembers. Its provider has one or two hosts.
const SESSIONS_MAX: usize = 16;

tokio::task_local! {
    /// Whether the provider has asked for a certificate in the handshake that runs in this scope.
    static ASKED: Cell<bool>;
}

/// A certificate for us to show, with its key.
#[derive(Clone)]
pub struct ClientIdentity {
    key: IdentityKey,
    pair: CertifiedPair,
}

/// What tells identities apart: the caller's id and the certificate itself, so that a renewed certificate
/// under the same id is another identity.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct IdentityKey(Arc<(String, Vec<u8>)>);

impl ClientIdentity {
    /// Reads a chain, our own certificate first, and its key.
    ///
    /// # Errors
    /// What is wrong: unreadable, of different pairs, ended, or not valid yet.
    pub fn from_pem(id: &str, chain_pem: &str, key_pem: &Secret) -> Result<Self, IdentityError> {
        let pair = CertifiedPair::from_pem(chain_pem, key_pem)?;
        pair.validity().check()?;
        let key = IdentityKey(Arc::new((id.to_owned(), pair.leaf().to_vec())));
        Ok(Self { key, pair })
    }

    /// The id that it was made with.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.key.0.0
    }

    /// The certificate's last moment.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.pair.validity().not_after
    }

    pub(crate) fn key(&self) -> &IdentityKey {
        &self.key
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIdentity")
            .field("id", &self.id())
            .field("not_after", &self.not_after())
            .finish_non_exhaustive()
    }
}

/// TLS with and without a certificate of ours.
pub(crate) struct Configs {
    base: ClientConfig,
    anonymous: TlsConnector,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    configs: HashMap<IdentityKey, (u64, TlsConnector)>,
    uses: u64,
}

impl Configs {
    /// `base` is all but the certificate.
    pub(crate) fn new(mut base: ClientConfig) -> Self {
        base.client_auth_cert_resolver = Arc::new(Shows(None));
        let anonymous = TlsConnector::from(Arc::new(base.clone()));
        Self { base, anonymous, kept: Mutex::default() }
    }

    pub(crate) fn connector(&self, identity: Option<&ClientIdentity>) -> TlsConnector {
        let Some(identity) = identity else { return self.anonymous.clone() };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.uses += 1;
        let uses = kept.uses;
        if let Some((used, config)) = kept.configs.get_mut(identity.key()) {
            *used = uses;
            return config.clone();
        }
        if kept.configs.len() >= CONFIGS_MAX {
            let oldest = kept.configs.iter().min_by_key(|(_, (used, _))| *used);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                kept.configs.remove(&oldest);
            }
        }
        let mut config = self.base.clone();
        config.client_auth_cert_resolver = Arc::new(Shows(Some(identity.pair.certified())));
        config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        let config = TlsConnector::from(Arc::new(config));
        kept.configs.insert(identity.key().clone(), (uses, config.clone()));
        config
    }
}

/// Runs a handshake, and tells with its result whether the provider asked for a certificate.
pub(crate) async fn asked_during<T>(handshake: impl Future<Output = T>) -> (T, bool) {
    let scope = async {
        let result = handshake.await;
        (result, ASKED.with(Cell::get))
    };
    ASKED.scope(Cell::new(false), scope).await
}

/// Shows one certificate or none, and notes that it was asked for.
#[derive(Debug)]
struct Shows(Option<Arc<CertifiedKey>>);

impl ResolvesClientCert for Shows {
    fn resolve(
        &self,
        _authorities: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        // The TLS library asks within the poll of the handshake. Outside of one there is nobody to tell.
        let _outside = ASKED.try_with(|asked| asked.set(true));
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls::RootCertStore;

    use super::*;

    fn identity(id: &str) -> ClientIdentity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["us".to_owned()]).unwrap();
        let chain = params.self_signed(&key).unwrap().pem();
        ClientIdentity::from_pem(id, &chain, &Secret::new(key.serialize_pem())).unwrap()
    }

    fn configs() -> Configs {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let base = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        Configs::new(base)
    }

    fn same(a: &TlsConnector, b: &TlsConnector) -> bool {
        Arc::ptr_eq(a.config(), b.config())
    }

    #[test]
    fn one_configuration_per_certificate_and_no_more_than_the_bound() {
        let configs = configs();
        let (first, second, renewed) = (identity("a"), identity("b"), identity("a"));
        let (one, two) = (configs.connector(Some(&first)), configs.connector(Some(&second)));
        assert!(same(&one, &configs.connector(Some(&first.clone()))));
        assert!(!same(&one, &two));
        assert!(!same(&one, &configs.connector(Some(&renewed))), "another certificate, same id");
        assert!(same(&configs.connector(None), &configs.connector(None)));
        assert!(!same(&configs.connector(None), &one));
        for other in 0..CONFIGS_MAX {
            configs.connector(Some(&identity(&other.to_string())));
            configs.connector(Some(&first));
        }
        assert_eq!(configs.kept.lock().unwrap().configs.len(), CONFIGS_MAX);
        assert!(same(&one, &configs.connector(Some(&first))), "used all the time, so kept");
        assert!(!same(&two, &configs.connector(Some(&second))), "it had to go");
    }

    #[test]
    fn nothing_of_the_key_is_shown() {
        let shown = format!("{:?}", identity("acme"));
        assert!(shown.starts_with("ClientIdentity { id: \"acme\", not_after:"), "{shown}");
        assert!(shown.ends_with(", .. }"), "{shown}");
        assert!(!shown.contains("key") && !shown.contains("pair"), "{shown}");
    }

    #[test]
    fn an_ended_certificate_is_refused() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["us".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        let chain = params.self_signed(&key).unwrap().pem();
        let made = ClientIdentity::from_pem("x", &chain, &Secret::new(key.serialize_pem()));
        let said = made.err().map(|error| error.to_string());
        let want = "the certificate ended at 2021-01-01T00:00:00.000Z";
        assert_eq!(said.as_deref(), Some(want));
    }
}
