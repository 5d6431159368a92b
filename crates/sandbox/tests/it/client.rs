//! A raw HTTP/1.1 client that shows what really happens on the connection, and a started sandbox.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use baton_sandbox::{Books, Config, Running, Sync, start};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const CARD: &str = "4111111111111111";

/// What the client saw of an answer.
#[derive(Debug)]
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
        let line = |line: &'_ str| line.to_ascii_lowercase().starts_with(&format!("{name}:"));
        let found = self.head.lines().find(|candidate| line(candidate))?;
        found.split_once(':').map(|(_, value)| value.trim())
    }
}

pub(crate) struct Sandbox {
    running: Option<Running>,
    pub(crate) addr: SocketAddr,
}

impl Sandbox {
    pub(crate) async fn memory() -> Sandbox {
        Sandbox::with(Books::Memory, true).await
    }

    pub(crate) async fn on_file(path: &Path) -> Sandbox {
        Sandbox::with(Books::File { path: path.to_owned(), sync: Sync::Always }, true).await
    }

    pub(crate) async fn with(books: Books, dedup: bool) -> Sandbox {
        let config = Config { listen: ([127, 0, 0, 1], 0).into(), books, dedup };
        let running = start(config).await.unwrap();
        Sandbox { addr: running.addr(), running: Some(running) }
    }

    pub(crate) async fn stop(mut self) {
        self.running.take().unwrap().shutdown().await;
    }

    /// Sends a request and reads until the answer is whole or the connection ends; `None` if it ended
    /// before any byte.
    pub(crate) async fn try_send(&self, request: &str) -> Option<Seen> {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes);
        // A reset ends the connection as an orderly close does; anything else is slow, not closed.
        let _ = tokio::time::timeout(Duration::from_secs(20), read).await.expect("still open");
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Seen { status, head: head.to_owned(), body: body.to_owned() })
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Seen {
        let request = request(method, path, headers, body);
        self.try_send(&request).await.expect("closed without an answer")
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let seen = self.send("GET", path, &[("authorization", "Bearer t")], "").await;
        assert_eq!(seen.status, 200, "{path}: {seen:?}");
        seen.json()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let seen = self.post_key(path, None, body).await;
        (seen.status, seen.json())
    }

    pub(crate) async fn post_key(&self, path: &str, key: Option<&str>, body: Value) -> Seen {
        let mut headers = vec![("authorization", "Bearer t")];
        headers.extend(key.map(|key| ("idempotency-key", key)));
        self.send("POST", path, &headers, &body.to_string()).await
    }

    /// A form to Stripe's dialect, or a GET without one.
    pub(crate) async fn stripe(&self, path: &str, key: Option<&str>, form: Option<&str>) -> Seen {
        let mut headers = vec![("authorization", "Bearer sk_test_1")];
        headers.extend(key.map(|key| ("idempotency-key", key)));
        let method = if form.is_some() { "POST" } else { "GET" };
        self.send(method, &format!("/stripe/acme/v1{path}"), &headers, form.unwrap_or("")).await
    }

    pub(crate) async fn adyen(&self, path: &str, key: Option<&str>, body: Value) -> Seen {
        let mut headers = vec![("x-api-key", "secret")];
        headers.extend(key.map(|key| ("idempotency-key", key)));
        self.send("POST", &format!("/adyen/acme/v71{path}"), &headers, &body.to_string()).await
    }

    pub(crate) async fn admin(&self, method: &str, path: &str, body: Value) -> Seen {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(method, path, &[], &body).await
    }
}

/// The path of a payment's challenge page.
#[track_caller]
pub(crate) fn challenge_of(payment: &Value) -> String {
    let url = payment["next_action"]["url"].as_str().expect("no challenge");
    url.strip_prefix("http://sandbox.test").expect("another host").to_owned()
}

pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: sandbox.test\r\nconnection: close\r\n{headers}\
         content-length: {length}\r\n\r\n{body}"
    )
}

pub(crate) fn payment(reference: &str, amount: i64, capture: bool, number: &str) -> Value {
    serde_json::json!({
        "reference": reference,
        "amount": {"value": amount, "currency": "USD"},
        "capture": capture,
        "card": {"number": number, "exp_month": 12, "exp_year": 2090, "cvv": "123"},
        "metadata": {"payment": format!("pay-of-{reference}")},
    })
}
