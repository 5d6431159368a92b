//! The server's edge on real sockets: TLS and its certificate, slow and greedy clients.

mod patience;
mod tls;

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::support::{PATIENCE, Process};

/// A raw connection: what is sent and what comes back is seen byte by byte.
struct Raw(TcpStream);

impl Raw {
    async fn open(server: &Process) -> Raw {
        let authority = server.url.split_once("://").unwrap().1;
        let stream = TcpStream::connect(authority).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Raw(stream)
    }

    /// Writes, unless the server has hung up.
    async fn send(&mut self, text: &str) -> bool {
        self.0.write_all(text.as_bytes()).await.is_ok()
    }

    /// Reads until the server ends the connection, and says how long that took.
    async fn read_all(&mut self) -> (String, Duration) {
        let begun = Instant::now();
        let mut bytes = Vec::new();
        let read = timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await;
        let _reset_or_end = read.expect("the connection is not ended");
        (String::from_utf8(bytes).unwrap(), begun.elapsed())
    }

    /// Reads one answer with a `content-length`.
    async fn answer(&mut self) -> String {
        let mut bytes = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                    return String::from_utf8(bytes).unwrap();
                }
            }
            let mut chunk = [0; 4096];
            let read = timeout(PATIENCE, self.0.read(&mut chunk)).await.expect("no answer");
            let read = read.unwrap();
            assert!(read > 0, "the connection ended: {}", String::from_utf8_lossy(&bytes));
            bytes.extend_from_slice(&chunk[..read]);
        }
    }
}

const HEALTH: &str = "GET /health HTTP/1.1\r\nhost: b\r\n\r\n";

/// Whether an answer to nobody in particular is one in the API's own form.
#[track_caller]
fn assert_refusal(answer: &str, status: &str, message: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("none: {answer:?}"));
    assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    let lower = head.to_ascii_lowercase();
    for field in ["connection: close", "x-request-id: req_", "content-type: application/json"] {
        assert!(lower.contains(field), "{field} is missing: {answer}");
    }
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body, serde_json::json!({"fieldName": null, "errors": [message]}));
}
