//! A raw HTTP/1.1 client: what is sent and what comes back is seen byte by byte.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::described;

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Seen {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The field and the message of a `ValidationErrorMessage`.
    #[track_caller]
    pub(crate) fn fault(&self) -> (String, String) {
        let body = self.json();
        let members: Vec<_> = body.as_object().unwrap().keys().collect();
        assert_eq!(members, ["errors", "fieldName"], "{self:?}");
        let errors = body["errors"].as_array().unwrap();
        assert_eq!(errors.len(), 1, "{self:?}");
        let field = body["fieldName"].as_str().unwrap_or_default().to_owned();
        (field, errors[0].as_str().unwrap().to_owned())
    }
}

pub(crate) async fn send(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Seen {
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nhost: baton.test\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    let mut bytes = request.into_bytes();
    bytes.extend_from_slice(body);
    let seen = exchange(addr, &bytes).await;
    // Not only our own server is asked: a sandbox has another description.
    if seen.header("server-timing").is_some() {
        described::check(method, path, &seen);
    }
    seen
}

async fn exchange(addr: SocketAddr, bytes: &[u8]) -> Seen {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    // A server may answer and close before it has read a large body.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let _ =
        tokio::time::timeout(Duration::from_secs(40), read).await.expect("no end of the answer");
    let text = String::from_utf8(answer).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("no answer");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Seen { status, head: head.to_owned(), body: body.to_owned() }
}
