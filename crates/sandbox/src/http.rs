//! HTTP/1.1 on a socket of our own, so that an answer can also be a closed, cut or silent connection.
//!
//! A handler returns a [`Fate`]; only this module acts on it. Request bodies are limited; a request that
//! cannot be read is answered 400 or 413. Leaves out: TLS, HTTP/2, compression.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Sleep;

use crate::provider::Provider;
use crate::route;

const BODY_LIMIT: usize = 256 * 1024;
const CLOSING_GRACE: Duration = Duration::from_millis(500);
/// Long enough for the first half of a truncated answer to reach the client before the close.
const CUT_AFTER: Duration = Duration::from_millis(30);

/// A request, read in full.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// The path without its leading slash, split at slashes and percent-decoded.
    pub(crate) segments: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// `http://host:port` as the client sees us.
    pub(crate) base_url: String,
}

impl Call {
    /// The first value of a query parameter.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A header as text, without surrounding blanks; empty counts as absent.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let value = self.headers.get(name)?.to_str().ok()?.trim();
        (!value.is_empty()).then_some(value)
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &impl Serialize) -> Reply {
        let body = serde_json::to_vec(body).unwrap_or_default();
        Reply::raw(status, "application/json", body)
    }

    pub(crate) fn raw(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
        Reply { status, body: body.into(), content_type, headers: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Reply {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((HeaderName::from_static(name), value));
        }
        self
    }
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Fate {
    Answer(Reply),
    /// The connection is closed without a byte.
    Close,
    /// The head with the true length, half of the body, then the connection is closed.
    Truncate(Reply),
    /// Silence until the client leaves.
    Hang,
}

/// Accepts connections until the provider stops.
pub(crate) async fn serve(provider: Arc<Provider>, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            () = provider.stopping.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                provider.spawn(connection(provider.clone(), stream, peer));
            }
            Err(error) => {
                // Out of file descriptors, most likely: closing connections will free some.
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(provider: Arc<Provider>, stream: TcpStream, peer: SocketAddr) {
    // Without this, small answers wait for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let service = {
        let provider = provider.clone();
        service_fn(move |request| answer(provider.clone(), request))
    };
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    let result = tokio::select! {
        result = served.as_mut() => result,
        () = provider.stopping.cancelled() => {
            served.as_mut().graceful_shutdown();
            tokio::time::timeout(CLOSING_GRACE, served).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = result {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

/// An error makes hyper drop the connection without writing anything.
async fn answer(
    provider: Arc<Provider>,
    request: Request<Incoming>,
) -> Result<Response<Payload>, Closed> {
    let fate = match read(request).await {
        Ok(call) => route::handle(&provider, call).await,
        Err(reply) => Fate::Answer(reply),
    };
    match fate {
        Fate::Answer(reply) => respond(reply, Payload::full),
        Fate::Truncate(reply) => respond(reply, Payload::half),
        Fate::Close => Err(Closed),
        Fate::Hang => std::future::pending().await,
    }
}

fn respond(reply: Reply, payload: fn(Bytes) -> Payload) -> Result<Response<Payload>, Closed> {
    let mut response = Response::new(payload(reply.body));
    *response.status_mut() = http::StatusCode::from_u16(reply.status).map_err(|_| Closed)?;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    headers.extend(reply.headers);
    Ok(response)
}

async fn read(request: Request<Incoming>) -> Result<Call, Reply> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_LIMIT).collect().await.map_err(|error| {
        let too_long = error.downcast_ref::<LengthLimitError>().is_some();
        let status = if too_long { 413 } else { 400 };
        Reply::raw(status, "text/plain", "the request body cannot be read\n")
    })?;
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    Ok(Call {
        segments: head.uri.path().split('/').skip(1).map(|s| percent_decode(s, false)).collect(),
        query: parse_form(head.uri.query().unwrap_or("")),
        base_url: format!("http://{host}"),
        method: head.method,
        headers: head.headers,
        body: body.to_bytes(),
    })
}

/// Reads `application/x-www-form-urlencoded` text (also a query) into pairs, in order.
pub(crate) fn parse_form(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decode(key, true), percent_decode(value, true))
        })
        .collect()
}

fn percent_decode(text: &str, plus_is_blank: bool) -> String {
    let hex = |digit: Option<u8>| digit.and_then(|digit| (digit as char).to_digit(16));
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        match (byte, hex(ahead.next()), hex(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                bytes = ahead;
            }
            (b'+', _, _) if plus_is_blank => decoded.push(b' '),
            (byte, _, _) => decoded.push(byte),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// The connection is to be closed without an answer.
#[derive(Debug)]
struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closed on purpose")
    }
}

impl Error for Closed {}

/// A body that is whole, or that breaks off in the middle.
enum Payload {
    Full(Option<Bytes>),
    Half { first: Option<Bytes>, whole: u64, cut: Pin<Box<Sleep>> },
}

impl Payload {
    fn full(body: Bytes) -> Payload {
        Payload::Full(Some(body).filter(|body| !body.is_empty()))
    }

    fn half(body: Bytes) -> Payload {
        let whole = body.len() as u64;
        let first = body.slice(..body.len() / 2);
        Payload::Half { first: Some(first), whole, cut: Box::pin(tokio::time::sleep(CUT_AFTER)) }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Closed;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Closed>>> {
        match self.get_mut() {
            Payload::Full(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Payload::Half { first, cut, .. } => match first.take() {
                Some(first) => Poll::Ready(Some(Ok(Frame::data(first)))),
                None => cut.as_mut().poll(cx).map(|()| Some(Err(Closed))),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Payload::Full(None))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Payload::Full(body) => body.as_ref().map_or(0, |body| body.len() as u64),
            Payload::Half { whole, .. } => *whole,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_paths_are_decoded() {
        let pairs = parse_form("a%5Bb%5D=1+2&c=%E2%82%AC&d&=x&e=%zz&f=%4");
        let expected =
            [("a[b]", "1 2"), ("c", "€"), ("d", ""), ("", "x"), ("e", "%zz"), ("f", "%4")];
        let expected: Vec<_> =
            expected.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(pairs, expected);
        assert_eq!(percent_decode("a+b%20c", false), "a+b c");
    }
}
