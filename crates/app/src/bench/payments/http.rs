//! Plain HTTP over loopback, as little of it as a measurement needs.

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A connection that takes one request after the other.
pub(super) type Connection = SendRequest<Full<Bytes>>;

/// Connects.
///
/// # Errors
/// Nobody listens.
#[allow(clippy::disallowed_methods, reason = "the task ends with its connection")]
pub(super) async fn connect(authority: &str) -> Result<Connection, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{authority}: {error}");
    let stream = TcpStream::connect(authority).await.map_err(|error| failed(&error))?;
    stream.set_nodelay(true).map_err(|error| failed(&error))?;
    let made = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = made.map_err(|error| failed(&error))?;
    tokio::spawn(connection);
    Ok(sender)
}

/// One request on a connection of its own; the body of an answer that says yes.
///
/// # Errors
/// There is no answer, or it says no.
pub(super) async fn ask(
    authority: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: String,
) -> Result<String, String> {
    let mut request = hyper::Request::builder().method(method).uri(path).header("host", authority);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body))).map_err(|error| error.to_string())?;
    let mut connection = connect(authority).await?;
    let reply = connection.send_request(request).await.map_err(|error| error.to_string())?;
    let status = reply.status();
    let body = reply.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    if status.is_success() { Ok(text) } else { Err(format!("{path}: {status}: {text}")) }
}
