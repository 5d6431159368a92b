//! Nothing of a call is ever logged, at any level.

use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;

use baton_wire::{Target, Wire, WireConfig};

use crate::frame_server::{REFUSED_STREAM, speaks_http2};
use crate::identity::{Strict, identity};
use crate::server::*;
use crate::tls::{Authority, secure};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_header_body_or_path_reaches_the_log() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    // For the whole process: a subscriber of one thread misses events that other threads saw first.
    tracing::subscriber::set_global_default(subscriber).unwrap();

    let answers = Server::run(answer_all);
    let echoes = Server::run(|p| {
        let request = p.read_request().unwrap_or_default();
        p.write(format!("echo {request}").as_bytes());
    });
    let closes = Server::run(|p| drop(p.read_request()));
    let http2_authority = Authority::new();
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let targets = [
        answers.target(),
        echoes.target(),
        closes.target(),
        target(&format!("http://127.0.0.1:{dead}")),
        target(&format!("https://127.0.0.1:{}", answers.port)),
    ];
    let over_http2 = speaks_http2(&http2_authority, &[], |f| f.answer_all());
    let refuses = speaks_http2(&http2_authority, &[], |f| {
        while let Some(stream) = f.request() {
            f.reset_stream(stream, REFUSED_STREAM);
        }
    });
    let strict = Strict::new(&rustls::version::TLS13);
    let (asks, _) = strict.run();
    let (certificate, key) = strict.clients.issue("us.example", |_| {});
    let key = key.serialize_pem();
    let ours = baton_wire::ClientIdentity::from_pem(
        "acme",
        &certificate.pem(),
        &baton_types::Secret::new(key.clone()),
    );
    let (stranger, _) = identity(&strict.authority, "stranger");
    let with = |identity| Target { identity: Some(identity), ..secure(&asks) };
    let targets = targets
        .into_iter()
        .chain([
            with(Arc::new(ours.unwrap())),
            with(stranger),
            secure(&over_http2),
            secure(&refuses),
        ])
        .collect::<Vec<_>>();
    let extra_roots = vec![strict.authority.root.clone(), http2_authority.root.clone()];
    let wire = Wire::new(WireConfig { extra_roots, ..config() }).unwrap();
    for target in &targets {
        tracing::info!(target: "it", call = ?target);
        for path in ["/secret-path", "secret-path without a slash"] {
            let headers = [("authorization", "Bearer secret-key"), ("x-a", "secret-line\r\n")];
            let body = br#"{"number":"4111111111111111","cvv":"secret-cvv"}"#.to_vec();
            let call = call_with(path, &headers[..1], body.clone());
            assert_sound(&wire.exchange(target, call, soon()).await);
            assert_sound(&wire.exchange(target, call_with(path, &headers, body), soon()).await);
        }
    }
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for word in
        ["answered", "answer lost", "not sent", "no connection", "stream_refused", "send frame"]
    {
        assert!(text.contains(word), "logged {word}: {text}");
    }
    let lines_of_key = key.lines().filter(|line| !line.starts_with('-'));
    for secret in ["secret", "4111111111111111", "Bearer", "cvv"].into_iter().chain(lines_of_key) {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}
