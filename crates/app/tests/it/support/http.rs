//! An HTTP client that sends once, on a connection of its own, and never repeats anything.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) text: String,
    /// Null if the body is no JSON.
    pub(crate) json: Value,
}

impl Reply {
    pub(crate) fn code(&self) -> &str {
        self.json["operationResultCode"].as_str().unwrap_or("")
    }

    pub(crate) fn text_of(&self, name: &str) -> String {
        self.json[name].as_str().unwrap_or("").to_owned()
    }
}

/// Sends a request and reads the whole answer; says what happened if there is none.
pub(crate) async fn call(
    url: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Reply, String> {
    let patience = Duration::from_secs(60);
    let exchange = exchange(url, method, path, headers, body);
    tokio::time::timeout(patience, exchange).await.map_err(|_| "no answer in time".to_owned())?
}

async fn exchange(
    url: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Reply, String> {
    let authority = url.strip_prefix("http://").expect("plain HTTP on loopback");
    let stream = TcpStream::connect(authority).await.map_err(|error| error.to_string())?;
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    let connection = tokio::spawn(connection);
    let mut request = hyper::Request::builder()
        .method(method)
        .uri(path)
        .header("host", authority)
        .header("connection", "close");
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
    let answered = async {
        let (parts, body) = sender.send_request(request).await?.into_parts();
        Ok::<_, hyper::Error>((parts, body.collect().await?.to_bytes()))
    };
    let answered = answered.await;
    connection.abort();
    let (parts, body) = answered.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&body).into_owned();
    let json = serde_json::from_str(&text).unwrap_or_default();
    Ok(Reply { status: parts.status.as_u16(), headers: parts.headers, text, json })
}
