//! A provider that answers every request the same way, and remembers under which keys it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone)]
pub(crate) struct Recorder {
    pub(crate) addr: SocketAddr,
    keys: Arc<Mutex<Vec<String>>>,
}

impl Recorder {
    /// Takes this key and answers 401 to every other.
    #[allow(clippy::disallowed_methods, reason = "the provider lives as long as its test")]
    pub(crate) async fn start(right: &'static str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let recorder = Self { addr, keys: Arc::default() };
        let served = recorder.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(served.clone().serve(stream, right));
            }
        });
        recorder
    }

    async fn serve(self, mut stream: TcpStream, right: &str) {
        let mut seen = Vec::new();
        while !seen.windows(4).any(|end| end == b"\r\n\r\n") {
            match stream.read_buf(&mut seen).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        let head = String::from_utf8_lossy(&seen);
        let value = |line: &str| {
            let (name, value) = line.split_once(':')?;
            let is_key = name.eq_ignore_ascii_case("authorization");
            is_key.then(|| value.trim().trim_start_matches("Bearer ").to_owned())
        };
        let key = head.lines().find_map(value).unwrap_or_default();
        let status = if key == right { "200 OK" } else { "401 Unauthorized" };
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).push(key);
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n\
             content-length: 2\r\n\r\n{{}}"
        );
        let _ = stream.write_all(answer.as_bytes()).await;
    }

    /// The keys of all requests so far.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
