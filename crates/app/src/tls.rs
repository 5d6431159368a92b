//! The server's certificate: read, watched, and replaced while connections go on.
//!
//! Guarantees: TLS 1.2 or 1.3 and nothing older; a file that cannot be used never replaces a certificate that
//! can; connections keep the certificate they began with, new ones get the latest, also where a client would
//! resume a session of the one before; where clients have to show a certificate, none of another authority gets
//! further than the handshake. Left out: several certificates by name, fetching one, and lists of those taken back.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use baton_api::EdgeMetrics;
use baton_types::{Secret, Timestamp};
use baton_wire::CertifiedPair;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::config::{Tls, TlsVersion};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// The certificate that is shown to clients, and where it comes from.
pub(crate) struct Certificates {
    files: Tls,
    current: RwLock<Current>,
    /// What the files looked like when they were last read.
    seen: Mutex<Option<Stamp>>,
}

/// A certificate in use. Each has a configuration, and so a memory of sessions, of its own.
struct Current {
    config: Arc<ServerConfig>,
    not_after: Timestamp,
}

/// Tells whether a file has been changed or replaced: device, node, length, and time of change.
type Stamp = [(u64, u64, u64, i64, i64); 2];

/// Reads the pair, without a word about its validity in time.
///
/// # Errors
/// Which file is the trouble, and why.
pub(crate) fn read(tls: &Tls) -> Result<CertifiedPair, String> {
    let text = |path: &PathBuf| {
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let chain = text(&tls.cert_file)?;
    let key = Secret::new(text(&tls.key_file)?);
    CertifiedPair::from_pem(&chain, &key).map_err(|error| {
        format!("{} with {}: {error}", tls.cert_file.display(), tls.key_file.display())
    })
}

/// Reads the certificate for the first time.
///
/// # Errors
/// The certificate or its key cannot be used.
pub(crate) fn open(tls: &Tls) -> Result<Arc<Certificates>, String> {
    let seen = stamp(tls).ok();
    let pair = read(tls).map_err(|error| format!("the certificate cannot be used: {error}"))?;
    if let Err(error) = pair.validity().check() {
        // Clients refuse it. Not starting would help nobody more than that.
        tracing::error!(%error, "the server's certificate is of no use");
    }
    let current = RwLock::new(Current::new(&pair, tls)?);
    Ok(Arc::new(Certificates { files: tls.clone(), current, seen: Mutex::new(seen) }))
}

impl Current {
    fn new(pair: &CertifiedPair, tls: &Tls) -> Result<Self, String> {
        let versions: &[_] = match tls.min_version {
            TlsVersion::Tls12 => &[&TLS13, &TLS12],
            TlsVersion::Tls13 => &[&TLS13],
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let failed = |error: &dyn std::fmt::Display| format!("TLS cannot be set up: {error}");
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|error| failed(&error))?;
        let builder = match &tls.client_ca_file {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let roots = Arc::new(authorities(file)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| failed(&error))?)
            }
        };
        let mut config =
            builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(pair.certified())));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), not_after: pair.validity().not_after })
    }
}

/// Whose certificates clients may show.
fn authorities(file: &PathBuf) -> Result<RootCertStore, String> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| named(&error))?;
    let found = baton_wire::certificates_of(&text).map_err(|error| named(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in found {
        roots.add(certificate).map_err(|error| named(&error))?;
    }
    if roots.is_empty() { Err(named(&"holds no certificate")) } else { Ok(roots) }
}

fn stamp(tls: &Tls) -> std::io::Result<Stamp> {
    let of = |metadata: Metadata| {
        let (seconds, nanos) = (metadata.mtime(), metadata.mtime_nsec());
        (metadata.dev(), metadata.ino(), metadata.len(), seconds, nanos)
    };
    Ok([of(std::fs::metadata(&tls.cert_file)?), of(std::fs::metadata(&tls.key_file)?)])
}

impl Certificates {
    /// Reads the files again on SIGHUP and when they have changed, until `stop`.
    pub(crate) async fn watch(self: Arc<Self>, metrics: EdgeMetrics, stop: CancellationToken) {
        metrics.certificate(self.not_after());
        let mut hangup = signal(SignalKind::hangup())
            .inspect_err(|error| tracing::warn!(%error, "SIGHUP cannot be heard"))
            .ok();
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                () = stop.cancelled() => return,
                _ = look.tick() => false,
                () = heard(hangup.as_mut()) => true,
            };
            if asked || self.changed() {
                self.reload();
                metrics.certificate(self.not_after());
            }
        }
    }

    /// TLS for one connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current.config))
    }

    /// Whether the files differ from those that were read last. Files that are not there have not changed:
    /// someone is replacing them.
    fn changed(&self) -> bool {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        stamp(&self.files).is_ok_and(|now| seen != Some(now))
    }

    fn reload(&self) {
        // Taken before reading: what changes in between is seen as a change later.
        let now = stamp(&self.files).ok();
        let read = read(&self.files).and_then(|pair| {
            pair.validity().check().map_err(|error| error.to_string())?;
            Current::new(&pair, &self.files)
        });
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = now;
        match read {
            Ok(new) => {
                tracing::info!(not_after = %new.not_after, "the certificate has been read again");
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
            }
            Err(error) => {
                tracing::error!(%error, "the new certificate cannot be used; the old one stays");
            }
        }
    }

    fn not_after(&self) -> Timestamp {
        self.current.read().unwrap_or_else(PoisonError::into_inner).not_after
    }
}

/// Ends at the next SIGHUP; never, if there will be none.
async fn heard(hangup: Option<&mut Signal>) {
    let heard = match hangup {
        Some(hangup) => hangup.recv().await,
        None => None,
    };
    if heard.is_none() {
        std::future::pending::<()>().await;
    }
}
