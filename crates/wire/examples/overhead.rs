//! What an exchange costs beside the network: calls in a row on one kept connection, over loopback, to a
//! server that does nothing else. `cargo run --release -p baton-wire --example overhead`
//!
//! Prints the mean time per call through the wire, and of the same bytes over a bare socket: the
//! difference is ours. Quote it with the machine and its load.
#![allow(clippy::print_stdout, reason = "printing is what it is for")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a measurement may stop")]
#![allow(clippy::disallowed_methods, reason = "it measures real time")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use baton_connect::{Filled, Method};
use baton_types::AccountId;
use baton_wire::{BaseUrl, Exchange, Policy, Target, Wire, WireConfig};
use zeroize::Zeroizing;

const CALLS: u32 = 20_000;
const REPLY: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n\
    {\"status\":\"ok\"}";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((socket, _)) = listener.accept() {
            serve(socket);
        }
    });
    for _ in 0..3 {
        let bare = bare(TcpStream::connect(address).unwrap());
        let wire = through_the_wire(&format!("http://{address}")).await;
        println!(
            "{CALLS} calls: wire {} ns, bare socket {} ns each",
            wire.as_nanos(),
            bare.as_nanos()
        );
    }
}

async fn through_the_wire(base_url: &str) -> Duration {
    let wire = Wire::new(WireConfig::default()).unwrap();
    let target = Target {
        account: AccountId::from_parts(1, [0; 10]),
        base_url: BaseUrl::parse(base_url, Policy::PlainHttpAllowed).unwrap(),
        breaker: true,
        identity: None,
    };
    let started = Instant::now();
    for _ in 0..CALLS {
        let send_by = tokio::time::Instant::now() + Duration::from_secs(10);
        let report = wire.exchange(&target, call(), send_by).await;
        assert!(matches!(report.exchange, Exchange::Reply(_)), "{report:?}");
    }
    started.elapsed() / CALLS
}

fn call() -> Filled {
    let key = Zeroizing::new("Bearer 0123456789abcdef0123456789abcdef".to_owned());
    Filled {
        method: Method::Post,
        path: "/v1/payments".to_owned(),
        headers: vec![("authorization".to_owned(), key)],
        content_type: Some("application/json"),
        body: Zeroizing::new(br#"{"amount":1000,"currency":"EUR","reference":"a-1"}"#.to_vec()),
    }
}

fn bare(mut socket: TcpStream) -> Duration {
    socket.set_nodelay(true).unwrap();
    let request =
        [b"POST /v1/payments HTTP/1.1\r\n".as_slice(), &[b'x'; 200], b"\r\n\r\n"].concat();
    let mut reply = [0; 4096];
    let started = Instant::now();
    for _ in 0..CALLS {
        socket.write_all(&request).unwrap();
        assert!(socket.read(&mut reply).unwrap() > 0);
    }
    started.elapsed() / CALLS
}

/// Answers whatever arrives: each request here is one packet.
fn serve(mut socket: TcpStream) {
    socket.set_nodelay(true).unwrap();
    let mut request = [0; 4096];
    while let Ok(1..) = socket.read(&mut request) {
        socket.write_all(REPLY).unwrap();
    }
}
