//! Certificates of ours: who gets to see which, and what a refusal proves.

use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use baton_types::Secret;
use baton_types::outcome::{Doubt, NotSent};
use baton_wire::{ClientIdentity, Target};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion,
};

use crate::frame_server::Frames;
use crate::server::*;
use crate::tls::{Authority, Secured, secure};

/// A provider that takes nobody without a certificate of `clients`.
pub(crate) struct Strict {
    pub(crate) authority: Authority,
    pub(crate) clients: Authority,
    version: &'static SupportedProtocolVersion,
    tickets: usize,
    http2: bool,
    /// How long it thinks before it reads a client's certificate.
    thinks: Duration,
}

/// When a provider judges: TLS version and session tickets, in both protocols. One that speaks HTTP/2 greets
/// before its verdict could be known.
const VERDICTS: [((&SupportedProtocolVersion, usize), bool); 6] = [
    ((&TLS12, 2), false),
    ((&TLS13, 2), false),
    ((&TLS13, 0), false),
    ((&TLS12, 2), true),
    ((&TLS13, 2), true),
    ((&TLS13, 0), true),
];

/// The certificates that were shown, one per connection whose handshake ended well.
type Shown = Arc<Mutex<Vec<Vec<u8>>>>;

impl Strict {
    pub(crate) fn new(version: &'static SupportedProtocolVersion) -> Self {
        let (authority, clients) = (Authority::new(), Authority::new());
        Self { authority, clients, version, tickets: 2, http2: false, thinks: Duration::ZERO }
    }

    pub(crate) fn run(&self) -> (Server, Shown) {
        let (certificate, key) = self.authority.issue("localhost", |_| {});
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.clients.root.clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[self.version])
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.send_tls13_tickets = self.tickets;
        if self.http2 {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        let http2 = self.http2;
        let (config, shown) = (Arc::new(config), Shown::default());
        let (thinks, for_thread) = (self.thinks, shown.clone());
        let server = Server::run_on(
            move |mut socket| {
                let mut tls = ServerConnection::new(Arc::clone(&config)).unwrap();
                shake(&mut tls, &mut socket, thinks)?;
                let peer = tls.peer_certificates().unwrap()[0].to_vec();
                for_thread.lock().unwrap().push(peer);
                Ok(Box::new(Secured(StreamOwned::new(tls, socket))))
            },
            move |peer| {
                if !http2 {
                    return answer_all(peer);
                }
                let mut frames = Frames::new(peer);
                frames.greet(&[]);
                frames.answer_all();
            },
        );
        (server, shown)
    }
}

/// The provider's side of a handshake, with time to think between hello and certificate.
fn shake(
    tls: &mut ServerConnection,
    socket: &mut TcpStream,
    thinks: Duration,
) -> std::io::Result<()> {
    while tls.is_handshaking() || tls.wants_write() {
        if tls.wants_write() {
            tls.write_tls(socket)?;
            continue;
        }
        if tls.server_name().is_some() {
            pause(thinks);
        }
        if tls.read_tls(socket)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if let Err(error) = tls.process_new_packets() {
            let _ = tls.write_tls(socket);
            // Until the client has gone: a reset would overtake the alert.
            let _ = socket.shutdown(std::net::Shutdown::Write);
            let _ = std::io::copy(socket, &mut std::io::sink());
            return Err(std::io::Error::other(error));
        }
    }
    Ok(())
}

/// A certificate that this authority gave us, and its bytes.
pub(crate) fn identity(authority: &Authority, id: &str) -> (Arc<ClientIdentity>, Vec<u8>) {
    let (certificate, key) = authority.issue("us.example", |_| {});
    let key = Secret::new(key.serialize_pem());
    let identity = ClientIdentity::from_pem(id, &certificate.pem(), &key).unwrap();
    (Arc::new(identity), certificate.der().to_vec())
}

fn shows(server: &Server, identity: Option<&Arc<ClientIdentity>>) -> Target {
    Target { identity: identity.cloned(), ..secure(server) }
}

#[tokio::test]
async fn the_right_certificate_is_taken_and_its_connection_kept() {
    for ((version, tickets), http2) in VERDICTS {
        let strict = Strict { tickets, http2, ..Strict::new(version) };
        let (server, shown) = strict.run();
        let (ours, bytes) = identity(&strict.clients, "acme");
        let wire = strict.authority.wire();
        for round in 0..3 {
            let report = exchange(&wire, &shows(&server, Some(&ours)), "/p").await;
            assert_eq!(status(&report.exchange), Some(200), "{version:?}: {report:?}");
            assert_eq!(report.evidence.reused_connection, round > 0);
        }
        assert_eq!(*shown.lock().unwrap(), [bytes], "{version:?} {tickets}");
    }
}

#[tokio::test]
async fn no_certificate_and_a_wrong_one_get_no_byte_of_the_request_across() {
    for ((version, tickets), http2) in VERDICTS {
        let strict = Strict { tickets, http2, ..Strict::new(version) };
        let (server, shown) = strict.run();
        let wire = strict.authority.wire();
        let (wrong, _) = identity(&Authority::new(), "acme");
        for round in 0..10 {
            for ours in [None, Some(&wrong)] {
                let report = exchange(&wire, &shows(&server, ours), "/p").await;
                let want = not_sent(NotSent::TlsFailed);
                assert_eq!(report.exchange, want, "{version:?} {tickets} {round} {ours:?}");
            }
        }
        assert_eq!((server.seen.requests().len(), shown.lock().unwrap().len()), (0, 0));
    }
}

/// The provider's verdict comes after our patience: bytes have left, so the claim is doubt, although the
/// provider has seen no request.
#[tokio::test]
async fn a_refusal_that_comes_too_late_under_tls_1_3_is_doubt() {
    let thinks = Duration::from_millis(300);
    let strict = Strict { thinks, ..Strict::new(&TLS13) };
    let (server, _) = strict.run();
    let (wrong, _) = identity(&Authority::new(), "acme");
    let wire = strict.authority.wire();
    for ours in [None, Some(&wrong)] {
        let report = exchange(&wire, &shows(&server, ours), "/p").await;
        assert_eq!(report.exchange, lost(Doubt::ConnectionLost), "{report:?}");
        assert!(report.evidence.request_bytes > 0);
    }
    assert_eq!(server.seen.requests().len(), 0);
    // The same provider under TLS 1.2 judges before our handshake ends, however long it takes.
    let strict = Strict { thinks, ..Strict::new(&TLS12) };
    let (server, _) = strict.run();
    let report = exchange(&strict.authority.wire(), &shows(&server, Some(&wrong)), "/p").await;
    assert_eq!(report.exchange, not_sent(NotSent::TlsFailed));
}

#[tokio::test]
async fn a_connection_never_serves_another_certificate() {
    for (version, http2) in [(&TLS12, false), (&TLS13, false), (&TLS12, true), (&TLS13, true)] {
        let strict = Strict { http2, ..Strict::new(version) };
        let (server, shown) = strict.run();
        let wire = strict.authority.wire();
        let (first, first_bytes) = identity(&strict.clients, "first");
        let (second, second_bytes) = identity(&strict.clients, "second");
        // Renewed: the same id, but other bytes.
        let (renewed, renewed_bytes) = identity(&strict.clients, "first");
        for round in 0..3 {
            for ours in [&first, &second, &renewed] {
                let report = exchange(&wire, &shows(&server, Some(ours)), "/p").await;
                assert_eq!(status(&report.exchange), Some(200), "{report:?}");
                assert_eq!(report.evidence.reused_connection, round > 0, "{ours:?}");
            }
        }
        // Nor is one that was made with a certificate used without.
        let report = exchange(&wire, &shows(&server, None), "/p").await;
        assert_eq!(report.exchange, not_sent(NotSent::TlsFailed));
        assert_eq!(*shown.lock().unwrap(), [first_bytes, second_bytes, renewed_bytes]);
    }
}

/// Neither is a session of one certificate resumed with another: the provider would take us for the first.
#[tokio::test]
async fn a_session_is_resumed_under_its_own_certificate_only() {
    for version in [&TLS12, &TLS13] {
        let strict = Strict::new(version);
        let (server, shown) = strict.run();
        let (first, first_bytes) = identity(&strict.clients, "first");
        let (second, second_bytes) = identity(&strict.clients, "second");
        let no_keeping = baton_wire::WireConfig {
            max_idle_per_origin: 0,
            extra_roots: vec![strict.authority.root.clone()],
            ..config()
        };
        let wire = baton_wire::Wire::new(no_keeping).unwrap();
        for ours in [&first, &second, &first, &second] {
            let report = exchange(&wire, &shows(&server, Some(ours)), "/p").await;
            assert_eq!(status(&report.exchange), Some(200), "{report:?}");
            assert!(!report.evidence.reused_connection);
        }
        let want = [&first_bytes, &second_bytes, &first_bytes, &second_bytes];
        assert_eq!(shown.lock().unwrap().iter().collect::<Vec<_>>(), want, "{version:?}");
    }
}

#[tokio::test]
async fn a_provider_that_does_not_ask_is_shown_nothing_and_not_waited_for() {
    let authority = Authority::new();
    let server = authority.server("localhost", |_| {}, answer_all);
    let (ours, _) = identity(&Authority::new(), "acme");
    let report = exchange(&authority.wire(), &shows(&server, Some(&ours)), "/p").await;
    assert_eq!(status(&report.exchange), Some(200), "{report:?}");
}
