//! TLS at the server's own door: versions, the certificate, and its replacement under load.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;

use super::{HEALTH, Raw};
use crate::support::{PATIENCE, Place, Process, bytes_of, said, signal};

struct Authority {
    root: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key in PEM form.
struct Issued {
    chain: String,
    key: String,
    der: Vec<u8>,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap().der().clone();
        Authority { root, issuer: Issuer::new(params, key) }
    }

    fn issue(&self, from: i32, to: i32) -> Issued {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let der = certificate.der().to_vec();
        Issued { chain: certificate.pem(), key: key.serialize_pem(), der }
    }

    /// A client that trusts this authority.
    fn client(&self) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsConnector::from(Arc::new(config))
    }
}

/// Puts the pair where the server looks, as an operator would: each file replaced as a whole.
fn install(place: &Place, chain: &str, key: &str) {
    for (name, text) in [("chain.pem", chain), ("key.pem", key)] {
        std::fs::write(place.path("new"), text).unwrap();
        std::fs::rename(place.path("new"), place.path(name)).unwrap();
    }
}

fn place() -> Place {
    let place = Place::new();
    let file = |place: &Place, name: &str| place.path(name).to_str().unwrap().to_owned();
    let (chain, key) = (file(&place, "chain.pem"), file(&place, "key.pem"));
    place.with("BATON_TLS__CERT_FILE", &chain).with("BATON_TLS__KEY_FILE", &key)
}

/// A kept connection, and the certificate that was shown on it.
struct Kept {
    sender: SendRequest<Empty<Bytes>>,
    shown: Vec<u8>,
}

impl Kept {
    async fn open(url: &str, tls: &TlsConnector) -> Result<Kept, String> {
        let authority = url.strip_prefix("https://").expect("the server says that it has TLS");
        let socket = TcpStream::connect(authority).await.map_err(|error| error.to_string())?;
        let name = ServerName::try_from("localhost").unwrap();
        let stream = tls.connect(name, socket).await.map_err(|error| error.to_string())?;
        let session = stream.get_ref().1;
        assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
        let shown = session.peer_certificates().unwrap()[0].to_vec();
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        Ok(Kept { sender, shown })
    }

    async fn get(&mut self, path: &str) -> Result<(hyper::HeaderMap, String), String> {
        let request = hyper::Request::get(path).header("host", "localhost");
        let request = request.body(Empty::new()).unwrap();
        let asked = async {
            self.sender.ready().await?;
            let (parts, body) = self.sender.send_request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            assert_eq!(parts.status, 200);
            Ok::<_, hyper::Error>((parts.headers, String::from_utf8_lossy(&body).into_owned()))
        };
        let answered = timeout(PATIENCE, asked).await.map_err(|_| "no answer".to_owned())?;
        answered.map_err(|error| error.to_string())
    }
}

async fn shown(server: &Process, tls: &TlsConnector) -> Vec<u8> {
    Kept::open(&server.url, tls).await.unwrap().shown
}

fn log(place: &Place) -> String {
    String::from_utf8(bytes_of(&place.path("serve.log"))).unwrap()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn answers_come_by_tls_and_say_so() {
    let authority = Authority::new();
    let place = place().with("BATON_TLS__MIN_VERSION", "\"1.2\"");
    let first = authority.issue(2020, 2090);
    install(&place, &first.chain, &first.key);
    let server = place.serve(&[]);
    let mut kept = Kept::open(&server.url, &authority.client()).await.unwrap();
    assert_eq!(kept.shown, first.der);
    let (headers, text) = kept.get("/health").await.unwrap();
    assert_eq!(text, "health is good");
    assert_eq!(headers["strict-transport-security"], "max-age=31536000");
    let mut clear = Raw::open(&server).await;
    clear.send(HEALTH).await;
    let answer = clear.read_all().await.0;
    assert!(!answer.contains("HTTP/1.1") && !answer.contains("health"), "no TLS, no answer");
    let stranger = Authority::new();
    assert!(Kept::open(&server.url, &stranger.client()).await.is_err());
    until("both failed handshakes are counted", async || {
        let page = kept.get("/metrics").await.unwrap().1;
        page.contains("baton_tls_handshakes_failed_total{why=\"refused\"} 2")
    })
    .await;
    let page = kept.get("/metrics").await.unwrap().1;
    let of_2090 = "baton_tls_certificate_not_after_timestamp_seconds{of=\"server\"} 3786912000";
    assert!(page.contains(of_2090), "{page}");
    assert!(!log(&place).contains("WITHOUT TLS"));
    assert!(!first.key.lines().any(|line| log(&place).contains(line)), "the key is not logged");
}

#[tokio::test]
async fn a_handshake_that_stalls_is_given_up() {
    let place = place().with("BATON_SERVER__HANDSHAKE_TIMEOUT_MS", "500");
    let authority = Authority::new();
    let pair = authority.issue(2020, 2090);
    install(&place, &pair.chain, &pair.key);
    let server = place.serve(&[]);
    let (answer, took) = Raw::open(&server).await.read_all().await;
    assert_eq!(answer, "");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let page = Kept::open(&server.url, &authority.client()).await.unwrap().get("/metrics").await;
    assert!(page.unwrap().1.contains("baton_tls_handshakes_failed_total{why=\"timeout\"} 1"));
}

/// Requests that were answered, and what happened to those that were not.
#[derive(Default)]
struct Load {
    answered: AtomicU64,
    failures: std::sync::Mutex<Vec<String>>,
    over: AtomicBool,
}

impl Load {
    fn note(&self, result: Result<(), String>) {
        match result {
            Ok(()) => drop(self.answered.fetch_add(1, Ordering::Relaxed)),
            Err(error) => self.failures.lock().unwrap().push(error),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_certificate_is_replaced_under_load_and_no_request_fails() {
    let (place, authority) = (place(), Authority::new());
    let pairs = [0, 1].map(|_| authority.issue(2020, 2090));
    install(&place, &pairs[0].chain, &pairs[0].key);
    let server = place.serve(&[]);
    let (tls, load) = (authority.client(), Arc::new(Load::default()));
    let mut tasks = Vec::new();
    for _ in 0..4 {
        // One connection from beginning to end.
        let (load, mut kept) = (load.clone(), Kept::open(&server.url, &tls).await.unwrap());
        tasks.push(tokio::spawn(async move {
            while !load.over.load(Ordering::Relaxed) {
                load.note(kept.get("/health").await.map(drop));
            }
        }));
    }
    for _ in 0..2 {
        // And connections that are new each time.
        let (load, url, tls) = (load.clone(), server.url.clone(), tls.clone());
        tasks.push(tokio::spawn(async move {
            while !load.over.load(Ordering::Relaxed) {
                let fresh = async { Kept::open(&url, &tls).await?.get("/health").await.map(drop) };
                load.note(fresh.await);
            }
        }));
    }
    for round in 1..=10 {
        let pair = &pairs[round % 2];
        install(&place, &pair.chain, &pair.key);
        signal(server.id(), "HUP");
        let want = &pair.der;
        until("the new certificate is shown", async || shown(&server, &tls).await == *want).await;
        sleep(Duration::from_millis(50)).await;
    }
    load.over.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    let failures = load.failures.lock().unwrap().clone();
    assert_eq!(failures, [""; 0]);
    let answered = load.answered.load(Ordering::Relaxed);
    assert!(answered > 200, "{answered} requests are no load");
    eprintln!("10 certificates under {answered} requests, none failed");
}

#[tokio::test]
async fn a_file_that_cannot_be_used_leaves_the_old_certificate_in_place() {
    let (place, authority) = (place(), Authority::new());
    let [first, second] = [0, 1].map(|_| authority.issue(2020, 2090));
    let ended = authority.issue(2020, 2021);
    install(&place, &first.chain, &first.key);
    let server = place.serve(&[]);
    let tls = authority.client();
    let mut kept = Kept::open(&server.url, &tls).await.unwrap();
    let rows = [
        ("nonsense", first.key.as_str(), "there is no certificate in PEM form"),
        (&second.chain, &first.key, "belongs to another certificate"),
        (&ended.chain, &ended.key, "the certificate ended at 2021-01-01"),
        (&first.chain, "", "there is no private key in PEM form"),
    ];
    for (chain, key, complaint) in rows {
        install(&place, chain, key);
        signal(server.id(), "HUP");
        until(complaint, async || log(&place).contains(complaint)).await;
        assert_eq!(shown(&server, &tls).await, first.der, "{complaint}");
    }
    assert!(log(&place).contains("the old one stays"));
    std::fs::remove_file(place.path("key.pem")).unwrap();
    assert_eq!(shown(&server, &tls).await, first.der);
    // Nobody says so this time: the server looks by itself.
    install(&place, &second.chain, &second.key);
    until("a change is seen", async || shown(&server, &tls).await == second.der).await;
    kept.get("/health").await.expect("a kept connection is not touched by any of this");
    assert_eq!(kept.shown, first.der);
}

/// What `sslscan` says of each version, from SSLv2 to TLSv1.3; `None` if it is not there.
fn scanned(server: &Process) -> Option<Vec<(String, bool)>> {
    let authority = server.url.strip_prefix("https://").unwrap();
    let arguments = ["--no-colour", "--sni-name=localhost", authority];
    let output = match Command::new("sslscan").args(arguments).output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => {
            eprintln!("SKIPPED 1: sslscan cannot be run: {error}");
            return None;
        }
    };
    let versions = output.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (name, state) = (words.next()?, words.next()?);
        let is_version = name.starts_with("SSLv") || name.starts_with("TLSv");
        let state = match state {
            "enabled" => true,
            "disabled" => false,
            _ => return None,
        };
        (is_version && words.next().is_none()).then(|| (name.to_owned(), state))
    });
    let versions: Vec<_> = versions.collect();
    assert_eq!(versions.len(), 6, "{output}");
    Some(versions)
}

#[test]
fn nothing_below_tls_1_2_is_spoken_and_1_2_only_if_wanted() {
    let authority = Authority::new();
    let pair = authority.issue(2020, 2090);
    for (least, spoken) in [(None, &["TLSv1.2", "TLSv1.3"][..]), (Some("1.3"), &["TLSv1.3"][..])] {
        let mut place = place();
        if let Some(least) = least {
            place = place.with("BATON_TLS__MIN_VERSION", least);
        }
        install(&place, &pair.chain, &pair.key);
        let server = place.serve(&[]);
        let Some(versions) = scanned(&server) else { return };
        let enabled: Vec<_> =
            versions.iter().filter(|(_, on)| *on).map(|(name, _)| name.as_str()).collect();
        assert_eq!(enabled, spoken, "{least:?}: {versions:?}");
    }
}

#[test]
fn a_server_does_not_start_with_a_pair_that_does_not_fit_and_doctor_says_so() {
    let authority = Authority::new();
    let [good, other] = [0, 1].map(|_| authority.issue(2020, 2090));
    let ended = authority.issue(2020, 2021);
    let soon = {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = (std::time::SystemTime::now() + Duration::from_hours(29 * 24)).into();
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    };
    #[rustfmt::skip]
    let rows = [
        (&good.chain,  &good.key,  "good",    "holds until 2090-01-01", true),
        (&ended.chain, &ended.key, "bad",     "ended at 2021-01-01", true),
        (&soon.0,      &soon.1,    "warning", "ends in 28 days", true),
        (&good.chain,  &other.key, "bad",     "belongs to another certificate", false),
    ];
    for (chain, key, state, detail, starts) in rows {
        let place = place();
        install(&place, chain, key);
        let key_file = place.path("key.pem");
        let private =
            |mode: &str| Command::new("chmod").args([mode, key_file.to_str().unwrap()]).status();
        private("600").unwrap();
        assert!(place.run(&["migrate"]).status.success());
        let found = certificate(&place);
        assert_eq!(found.0, state, "{found:?}");
        assert!(found.1.contains(detail), "{found:?}");
        if state == "good" {
            private("644").unwrap();
            let found = certificate(&place);
            assert!(found.0 == "warning" && found.1.contains("other users"), "{found:?}");
        }
        if starts {
            drop(place.serve(&[]));
        } else {
            let output = place.run(&["serve", "--listen", "127.0.0.1:0"]);
            assert!(
                !output.status.success() && said(&output).contains(detail),
                "{}",
                said(&output)
            );
        }
    }
    let place = place();
    assert!(place.run(&["migrate"]).status.success());
    assert_eq!(certificate(&place).0, "bad", "no files at all");
    let wrong = place.with("BATON_TLS__MIN_VERSION", "1.1").run(&["doctor"]);
    assert!(!wrong.status.success() && said(&wrong).contains("1.2"), "{}", said(&wrong));
}

/// What `baton doctor` says of the certificate.
fn certificate(place: &Place) -> (String, String) {
    let output = place.run(&["doctor", "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = shown["findings"].as_array().unwrap();
    let row = found.iter().find(|row| row["check"] == "TLS").unwrap_or_else(|| panic!("{shown}"));
    let text = |name: &str| row[name].as_str().unwrap().to_owned();
    (text("state"), text("detail"))
}

#[test]
fn a_server_in_the_open_without_tls_says_so_loudly() {
    let place = Place::new().with("BATON_LISTEN", "0.0.0.0:0");
    let server = place.start("serve", place.baton(&["serve", "--json"]));
    assert!(log(&place).contains("WITHOUT TLS"), "{}", log(&place));
    drop(server);
    let (state, detail) = certificate(&place);
    assert!(state == "warning" && detail.contains("card numbers"), "{state} {detail}");
    let loopback = Place::new();
    assert!(loopback.run(&["migrate"]).status.success());
    assert_eq!(certificate(&loopback).0, "good");
    drop(loopback.serve(&[]));
    assert!(!log(&loopback).contains("WITHOUT TLS"));
    assert!(Path::new(&loopback.path("serve.log")).exists());
}
