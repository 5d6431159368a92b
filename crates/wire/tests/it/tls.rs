//! TLS: whom we talk to, and what its failures prove.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use baton_types::outcome::{Doubt, NotSent};
use baton_wire::{CertificateDer, ConfigError, Target, Wire, WireConfig};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::server::*;

pub(crate) struct Authority {
    pub(crate) root: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap().der().clone();
        Self { root, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn issue(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// A server with a certificate for this name.
    pub(crate) fn server(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
        script: impl Fn(&mut Peer) + Send + Sync + 'static,
    ) -> Server {
        self.server_that_speaks(&[], name, change, script)
    }

    /// The same, with the protocols that it chooses from.
    pub(crate) fn server_that_speaks(
        &self,
        protocols: &[&str],
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
        script: impl Fn(&mut Peer) + Send + Sync + 'static,
    ) -> Server {
        let (certificate, key) = self.issue(name, change);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let config = Arc::new(config);
        Server::run_on(
            move |mut socket| {
                let mut tls = ServerConnection::new(Arc::clone(&config)).unwrap();
                while tls.is_handshaking() {
                    tls.complete_io(&mut socket)?;
                }
                Ok(Box::new(Secured(StreamOwned::new(tls, socket))))
            },
            script,
        )
    }

    pub(crate) fn wire(&self) -> Wire {
        Wire::new(WireConfig { extra_roots: vec![self.root.clone()], ..config() }).unwrap()
    }
}

/// TLS as a script sees it.
pub(crate) struct Secured(pub(crate) StreamOwned<ServerConnection, TcpStream>);

impl Read for Secured {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Write for Secured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl Stream for Secured {
    fn end(&mut self) {
        self.0.conn.send_close_notify();
        let _ = self.0.flush();
    }
}

pub(crate) fn secure(server: &Server) -> Target {
    target(&format!("https://localhost:{}", server.port))
}

#[tokio::test]
async fn a_trusted_provider_is_called_and_its_connection_kept() {
    let authority = Authority::new();
    let server = authority.server("localhost", |_| {}, answer_all);
    let wire = authority.wire();
    for round in 0..3 {
        let report = exchange(&wire, &secure(&server), "/p").await;
        assert_eq!(status(&report.exchange), Some(200), "{report:?}");
        assert_eq!(report.evidence.reused_connection, round > 0);
        let request = &server.seen.requests()[round];
        assert_eq!(
            report.evidence.request_bytes,
            request.len() as u64,
            "counted before encryption"
        );
    }
    assert_eq!(server.seen.connections(), 1);
}

#[tokio::test]
async fn a_provider_that_is_not_who_it_should_be_gets_no_byte_of_the_request() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let expired = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    };
    let early = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2120, 1, 1);
        params.not_after = date_time_ymd(2121, 1, 1);
    };
    let rows = [
        ("unknown authority", stranger.server("localhost", |_| {}, answer_all)),
        ("other host", authority.server("other.example", |_| {}, answer_all)),
        ("expired", authority.server("localhost", expired, answer_all)),
        ("not begun", authority.server("localhost", early, answer_all)),
        (
            "cut in the handshake",
            Server::run(|p| {
                p.read_some(50);
                // The head of a record with the server's hello, and a part of it.
                p.write(&[22, 3, 3, 0, 122, 2, 0, 0]);
                p.cut();
            }),
        ),
        (
            "an alert",
            Server::run(|p| {
                p.read_some(50);
                p.write(&[21, 3, 3, 0, 2, 2, 40]);
                while p.read_request().is_some() {}
            }),
        ),
        ("no TLS", Server::run(|p| p.write(b"220 welcome, this is another protocol\r\n"))),
        ("closes", Server::run(|_| {})),
        ("resets", Server::run(|p| p.reset())),
    ];
    let wire = authority.wire();
    for (name, server) in rows {
        let report = wire.exchange(&secure(&server), call("/p"), soon()).await;
        assert_sound(&report);
        // A reset can come before the connection is seen to be made.
        let early = name == "resets" && report.exchange == not_sent(NotSent::ConnectFailed);
        assert!(early || report.exchange == not_sent(NotSent::TlsFailed), "{name}: {report:?}");
        assert!(!server.seen.requests().iter().any(|text| text.contains("POST")), "{name}");
    }
}

#[tokio::test]
async fn a_handshake_that_stalls_is_a_connect_timeout() {
    let config = WireConfig { connect_timeout: Duration::from_millis(150), ..config() };
    let wire = Wire::new(config).unwrap();
    let stalled = Server::run(|_| pause(Duration::from_secs(1)));
    let report = exchange(&wire, &secure(&stalled), "/p").await;
    assert_eq!(report.exchange, not_sent(NotSent::ConnectTimeout));
}

#[tokio::test]
async fn a_connection_that_dies_after_the_handshake_is_judged_by_the_counter() {
    let authority = Authority::new();
    let wire = authority.wire();
    let lost_all = authority.server("localhost", |_| {}, |p| drop(p.read_request()));
    let report = exchange(&wire, &secure(&lost_all), "/p").await;
    assert_eq!(report.exchange, lost(Doubt::ConnectionLost));
    assert_eq!(lost_all.seen.requests().len(), 1);

    let cuts = authority.server(
        "localhost",
        |_| {},
        |p| {
            p.read_some(1000);
            p.reset();
        },
    );
    let large = call_with("/p", &[], vec![b'x'; 16 << 20]);
    let report = wire.exchange(&secure(&cuts), large, soon()).await;
    assert_eq!(report.exchange, lost(Doubt::ConnectionLost));
    assert!(report.evidence.request_bytes >= 1000, "{report:?}");

    let closes = authority.server("localhost", |_| {}, Peer::cut);
    for _ in 0..30 {
        // Either claim may be right; `exchange` asserts that it agrees with the counter.
        exchange(&wire, &secure(&closes), "/p").await;
    }
    assert_eq!(closes.seen.requests().len(), 0);
    assert_eq!(closes.seen.connections(), 30, "a fresh connection is tried once");
}

#[tokio::test]
async fn a_kept_connection_closed_while_idle_is_replaced() {
    let authority = Authority::new();
    let scripts: [fn(&mut Peer); 3] = [
        |p| {
            p.read_request();
            p.write(OK);
            p.stream.end();
        },
        |p| {
            p.read_request();
            p.write(OK);
            p.cut();
        },
        |p| {
            p.read_request();
            p.write(OK);
            p.reset();
        },
    ];
    for script in scripts {
        let server = authority.server("localhost", |_| {}, script);
        let wire = authority.wire();
        for round in 0..5 {
            let report = exchange(&wire, &secure(&server), "/p").await;
            assert_eq!(status(&report.exchange), Some(200), "{report:?}");
            assert_eq!(server.seen.requests().len(), round + 1);
            pause(Duration::from_millis(10));
        }
    }
}

#[tokio::test]
async fn an_answer_ended_by_the_connection_is_whole_only_with_a_genuine_end() {
    const OPEN_ENDED: &[u8] = b"HTTP/1.1 200 OK\r\n\r\namount=1000";
    let authority = Authority::new();
    let wire = authority.wire();
    let genuine = authority.server(
        "localhost",
        |_| {},
        |p| {
            p.read_request();
            p.write(OPEN_ENDED);
            p.stream.end();
        },
    );
    let report = exchange(&wire, &secure(&genuine), "/p").await;
    assert_eq!(status(&report.exchange), Some(200), "{report:?}");

    let cut = authority.server(
        "localhost",
        |_| {},
        |p| {
            p.read_request();
            p.write(OPEN_ENDED);
            p.cut();
        },
    );
    let report = exchange(&wire, &secure(&cut), "/p").await;
    assert_eq!(report.exchange, lost(Doubt::AnswerCutShort));
}

#[test]
fn a_root_that_is_no_certificate_is_refused() {
    let broken = CertificateDer::from(b"no certificate".to_vec());
    let config = WireConfig { extra_roots: vec![broken], ..WireConfig::default() };
    assert!(matches!(Wire::new(config).err(), Some(ConfigError::BadRoot(_))));
}
