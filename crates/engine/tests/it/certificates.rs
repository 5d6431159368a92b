//! Client certificates: shown to a provider that takes nobody without one, and to no other.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use baton_engine::{
    AccountFault, AccountInput, Brought, BroughtFault, CertificateFault, EngineError,
    IdentityError, Place, Target,
};
use baton_flow::{OrderKind, Payment};
use baton_store::Store as _;
use baton_types::{Secret, Timestamp};
use baton_vault::SealedKind;
use baton_wire::WireConfig;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::accounts::Nodes;
use crate::world::{by_id, purchase, usd, verdict};

struct Authority {
    root: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap().der().clone();
        Self { root, issuer: Issuer::new(params, key) }
    }

    fn issue(&self, name: &str, until: i32) -> (Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }
}

/// A provider that takes nobody without a certificate, says yes to every question and 429 to every order, and
/// remembers what was shown.
struct Strict {
    url: String,
    shown: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Strict {
    async fn start(servers: &Authority, clients: &Authority) -> Self {
        let (certificate, key) = servers.issue("localhost", 2090);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(clients.root.clone()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let shown: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let remembered = Arc::clone(&shown);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, remembered) = (acceptor.clone(), Arc::clone(&remembered));
                tokio::spawn(async move {
                    let Ok(mut tls) = acceptor.accept(socket).await else { return };
                    let peer = tls.get_ref().1.peer_certificates().unwrap()[0].to_vec();
                    let mut seen = Vec::new();
                    while !is_whole(&seen) {
                        if tls.read_buf(&mut seen).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    remembered.lock().unwrap().push(peer);
                    let (status, body) = if seen.starts_with(b"GET") {
                        ("200 OK", "{}")
                    } else {
                        ("429 Slow", r#"{"error": {"code": "rate_limited", "message": "later"}}"#)
                    };
                    let answer = format!(
                        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n\
                         content-length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    let _ = tls.write_all(answer.as_bytes()).await;
                    let _ = tls.shutdown().await;
                });
            }
        });
        Self { url, shown }
    }

    fn shown(&self) -> Vec<Vec<u8>> {
        self.shown.lock().unwrap().clone()
    }
}

/// Whether a request has come to its end.
fn is_whole(seen: &[u8]) -> bool {
    let text = String::from_utf8_lossy(seen);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
    });
    body.len() >= length.unwrap_or(0)
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn account(url: &str, certificate: Option<&str>) -> AccountInput {
    AccountInput {
        foreign_references: false,
        name: "shop".to_owned(),
        gateway: "Sandbox".to_owned(),
        credentials: vec![("ApiKey".to_owned(), secret("any-key-of-the-shop"))],
        place: Place::Url(url.to_owned()),
        certificate: certificate.map(str::to_owned),
    }
}

struct Given {
    nodes: Nodes,
    provider: Strict,
    clients: Authority,
}

impl Given {
    async fn start() -> Self {
        let (servers, clients) = (Authority::new(), Authority::new());
        let root = servers.root.clone();
        let wire =
            || WireConfig { extra_roots: vec![root.clone().into_owned()], ..WireConfig::default() };
        let nodes = Nodes::with(wire).await;
        let provider = Strict::start(&servers, &clients).await;
        Self { nodes, provider, clients }
    }

    /// Puts a certificate of the right authority; gives its bytes.
    async fn put(&self, name: &str) -> Vec<u8> {
        let (certificate, key) = self.clients.issue("us.example", 2090);
        let (chain, key) = (secret(&certificate.pem()), secret(&key.serialize_pem()));
        let engine = &self.nodes.engines[0];
        let view = engine.put_certificate(self.nodes.caller, name, &chain, &key).await.unwrap();
        assert_eq!(view.not_after.to_rfc3339(), "2090-01-01T00:00:00.000Z");
        certificate.der().to_vec()
    }

    /// A charge at the shop, under a certificate of its own if one is named.
    async fn pay(&self, certificate: Option<&str>) -> Result<Arc<Payment>, EngineError> {
        let mut order = purchase(OrderKind::Charge(usd(1000)), &["shop"]);
        order.brought.certificates = vec![certificate.map(str::to_owned)];
        let answered = self.nodes.engines[0].purchase(self.nodes.caller, order, None).await;
        answered.map(|answered| answered.payment)
    }

    async fn records(&self) -> usize {
        let end = Timestamp::from_millis(i64::MAX);
        self.nodes.vault.list(SealedKind::ClientCertificate, end, 100).await.unwrap().len()
    }
}

#[tokio::test]
async fn an_account_shows_its_certificate_and_a_request_another() {
    let given = Given::start().await;
    let (engine, caller) = (&given.nodes.engines[0], given.nodes.caller);
    let fault = engine.put_account(caller, account(&given.provider.url, Some("own")), false).await;
    assert_eq!(fault.err(), Some(AccountFault::UnknownCertificate));
    // Without a certificate nobody gets in, and nothing was sent.
    let fault = engine.put_account(caller, account(&given.provider.url, None), true).await;
    assert_eq!(fault.err(), Some(AccountFault::NoAnswer));
    engine.put_account(caller, account(&given.provider.url, None), false).await.unwrap();
    assert_eq!(verdict(&given.pay(None).await.unwrap()), "not_sent at 1");
    assert!(given.provider.shown().is_empty());

    let [own, other] = [given.put("own").await, given.put("other").await];
    engine.put_account(caller, account(&given.provider.url, Some("own")), true).await.unwrap();
    assert_eq!(given.provider.shown(), std::slice::from_ref(&own));
    assert_eq!(verdict(&given.pay(None).await.unwrap()), "refused at 1");
    let paid = given.pay(Some("other")).await.unwrap();
    assert_eq!(given.provider.shown(), [own.clone(), own, other]);
    assert_eq!(paid.order.candidates[0].certificate.as_deref(), Some("other"));

    let unknown = BroughtFault::UnknownCertificate { index: 0 };
    assert_eq!(given.pay(Some("none")).await.err(), Some(EngineError::Brought(unknown)));
    let mut target: Target = by_id(paid.id);
    target.brought = Brought { inline: None, certificates: vec![Some("own".to_owned())] };
    let refused = engine.refund(caller, &target, usd(1000), None).await.err();
    assert_eq!(refused, Some(EngineError::Brought(BroughtFault::OtherCertificate)));
    target.brought.certificates = vec![Some("other".to_owned())];
    let refused = engine.refund(caller, &target, usd(1000), None).await.err();
    assert!(matches!(refused, Some(EngineError::Refused(_))), "{refused:?}");
}

#[tokio::test]
async fn a_new_certificate_is_shown_by_every_node_and_the_old_one_is_gone() {
    let given = Given::start().await;
    let caller = given.nodes.caller;
    given.put("own").await;
    let input = account(&given.provider.url, Some("own"));
    given.nodes.engines[0].put_account(caller, input, true).await.unwrap();
    given.nodes.engines[1].verify_account(caller, "shop").await.unwrap();
    let new = given.put("own").await;
    assert_eq!(given.records().await, 1);
    given.nodes.engines[0].verify_account(caller, "shop").await.unwrap();
    assert_eq!(given.provider.shown()[2], new, "at once on the node that changed it");
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    given.nodes.engines[1].verify_account(caller, "shop").await.unwrap();
    assert_eq!(given.provider.shown()[3], new);

    let removed = given.nodes.engines[0].remove_certificate(caller, "own").await;
    assert_eq!(removed, Err(CertificateFault::InUse(vec!["shop".to_owned()])));
    given.nodes.engines[0].remove_account(caller, "shop").await.unwrap();
    given.nodes.engines[0].remove_certificate(caller, "own").await.unwrap();
    assert_eq!(given.records().await, 0);
    let gone = given.nodes.engines[0].certificate(caller, "own").await;
    assert_eq!(gone.err(), Some(EngineError::NotFound));
    // The name can be had again.
    given.put("own").await;
    given.nodes.engines[0].sweep_credentials().await.unwrap();
    assert_eq!(given.records().await, 1);
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_said_and_its_key_is_nowhere() {
    let given = Given::start().await;
    let (engine, caller) = (&given.nodes.engines[0], given.nodes.caller);
    let (certificate, key) = given.clients.issue("us.example", 2090);
    let (ended, ended_key) = given.clients.issue("us.example", 2021);
    let (chain, other) = (certificate.pem(), KeyPair::generate().unwrap().serialize_pem());
    let rows = [
        ("nothing", key.serialize_pem(), "no certificate"),
        (chain.as_str(), "nothing".to_owned(), "no private key"),
        (chain.as_str(), other, "another certificate"),
        (&ended.pem(), ended_key.serialize_pem(), "ended at 2021-01-01"),
    ];
    for (chain, key, says) in rows {
        let put = engine.put_certificate(caller, "own", &secret(chain), &secret(&key)).await;
        let fault = put.unwrap_err();
        assert!(matches!(fault, CertificateFault::Pair(_)), "{fault:?}");
        assert!(fault.to_string().contains(says), "{fault}");
    }
    let mismatch = CertificateFault::Pair(IdentityError::KeyMismatch);
    assert!(mismatch.to_string().contains("key"));
    assert_eq!(given.records().await, 0);
    let text = key.serialize_pem();
    engine.put_certificate(caller, "own", &secret(&chain), &secret(&text)).await.unwrap();
    let line = text.lines().nth(1).unwrap();
    let row =
        given.nodes.store.document(caller.merchant, "client_certificate", "sandbox/own").await;
    let body = row.unwrap().unwrap().body;
    assert!(body.contains("fingerprint") && !body.contains(line), "{body}");
    let live = baton_engine::Caller { sandbox: false, ..caller };
    assert_eq!(engine.certificates(caller).await.unwrap().len(), 1);
    assert_eq!(engine.certificates(live).await.unwrap().len(), 0);
}
