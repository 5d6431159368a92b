//! A measurement, not a check: `cargo test --release -p baton-sandbox load -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use baton_sandbox::{Books, Sync};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{CARD, Sandbox, payment};

const CONNECTIONS: usize = 64;
const SECONDS: u64 = 5;

#[test]
#[ignore = "a measurement of some seconds"]
#[allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "measures with the real clock, on threads of its own, for a person to read"
)]
fn load_of_sales_with_every_answer_on_the_disk() {
    let server = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let server = server.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("books.ndjson");
    let sandbox = server.block_on(async {
        Sandbox::with(Books::File { path: path.clone(), sync: Sync::Always }, true).await
    });
    let addr = sandbox.addr;
    let client = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let started = Instant::now();
    let paid: usize = client.block_on(async {
        let tasks: Vec<_> = (0..CONNECTIONS)
            .map(|connection| tokio::spawn(pay(addr, connection, started)))
            .collect();
        let mut paid = 0;
        for task in tasks {
            paid += task.await.unwrap();
        }
        paid
    });
    let size = std::fs::metadata(&path).unwrap().len();
    let per_second = paid as u128 * 1_000 / started.elapsed().as_millis();
    println!("{paid} sales, {per_second}/s, {} bytes of journal each", size / paid as u64);
    server.block_on(sandbox.stop());
    assert!(paid > 0);
}

#[allow(clippy::disallowed_methods, reason = "measures with the real clock")]
async fn pay(addr: std::net::SocketAddr, connection: usize, started: Instant) -> usize {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut answer = vec![0u8; 8 * 1024];
    let mut paid = 0;
    while started.elapsed() < Duration::from_secs(SECONDS) {
        let reference = format!("r-{connection}-{paid}");
        let body = payment(&reference, 1_023, true, CARD).to_string();
        let request = format!(
            "POST /sandbox/acme/payments HTTP/1.1\r\nhost: s\r\nauthorization: Bearer t\r\n\
             idempotency-key: {reference}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut length = 0;
        loop {
            length += stream.read(&mut answer[length..]).await.unwrap();
            // The body is one JSON object whose last field is the time.
            if answer[..length].ends_with(b"Z\"}") {
                break;
            }
        }
        assert!(answer.starts_with(b"HTTP/1.1 201"));
        paid += 1;
    }
    paid
}
