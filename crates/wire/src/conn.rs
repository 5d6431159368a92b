//! One HTTP/1.1 connection: a request out, an answer in.
//!
//! `hyper` reads and writes the protocol; nothing of it runs in a task of its own. The future of an exchange
//! drives the connection that it owns, so dropping the future closes the connection, and an idle one does
//! nothing until it is taken again. Guarantees: a connection is given back only after a whole answer, when
//! `hyper` says that it is ready for the next request; the counters are read after the connection that
//! could move them is gone.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use baton_connect::HttpReply;
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};

use crate::Failure;
use crate::clock::now;
use crate::request::Prepared;
use crate::socket::{Meter, Metered};

/// The largest head of an answer, in bytes.
pub(crate) const MAX_HEAD_BYTES: usize = 64 << 10;

pub(crate) struct Conn {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: Driver,
    meter: Arc<Meter>,
    tls: bool,
}

/// What the exchange may take.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) send_by: Instant,
    pub(crate) answer_timeout: Duration,
    pub(crate) max_reply_bytes: usize,
}

/// What came of one request on one connection.
pub(crate) struct Trip {
    pub(crate) result: Result<HttpReply, Failure>,
    pub(crate) request_bytes: u64,
    pub(crate) reply_bytes: u64,
    /// The connection, if it can carry another request.
    pub(crate) conn: Option<Conn>,
    /// Whether this is told of already: the call failed with a connection that another had failed with.
    pub(crate) told: bool,
}

impl Trip {
    /// Nothing was written and nothing came.
    pub(crate) fn failed(failure: Failure) -> Self {
        Self { result: Err(failure), request_bytes: 0, reply_bytes: 0, conn: None, told: false }
    }
}

impl Conn {
    pub(crate) async fn new(io: Metered) -> Result<Self, Failure> {
        let (meter, tls) = (io.meter(), io.is_tls());
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD_BYTES)
            .writev(true)
            .handshake(TokioIo::new(io))
            .await
            .map_err(|_| Failure::Broken)?;
        Ok(Self { sender, driver: Driver(Some(Box::new(connection))), meter, tls })
    }

    /// Sends the request and reads the answer.
    pub(crate) async fn round_trip(mut self, request: &Prepared, bounds: Bounds) -> Trip {
        self.meter.arm(bounds.send_by);
        let deadline = now() + bounds.answer_timeout;
        let exchange = exchange(&mut self.sender, request, self.tls, bounds.max_reply_bytes);
        let result = match timeout_at(deadline, self.driver.alongside(exchange)).await {
            Ok(result) => result.map_err(|failure| self.meter.refusal().unwrap_or(failure)),
            Err(_) => Err(Failure::TimedOut),
        };
        let meter = Arc::clone(&self.meter);
        let conn = if result.is_ok() {
            self.if_reusable().await
        } else {
            drop(self);
            None
        };
        let (request_bytes, reply_bytes) = meter.counts();
        Trip { result, request_bytes, reply_bytes, conn, told: false }
    }

    /// The connection, unless either side has closed it or has more to say. Waits for nothing.
    async fn if_reusable(mut self) -> Option<Self> {
        self.driver.alongside(std::future::ready(())).await;
        self.meter.disarm();
        (self.driver.0.is_some() && self.sender.is_ready()).then_some(self)
    }
}

async fn exchange(
    sender: &mut http1::SendRequest<Full<Bytes>>,
    request: &Prepared,
    tls: bool,
    max_reply_bytes: usize,
) -> Result<HttpReply, Failure> {
    let response = sender.send_request(request.build()).await.map_err(|error| failure(&error))?;
    if !tls && ends_with_the_connection(&response) {
        return Err(Failure::Broken);
    }
    let (head, mut body) = response.into_parts();
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > max_reply_bytes {
        return Err(Failure::TooLarge);
    }
    let mut bytes = Vec::with_capacity(announced);
    while let Some(frame) = body.frame().await {
        // A trailer is read and left: no provider is known to put meaning there.
        let Ok(data) = frame.map_err(|error| failure(&error))?.into_data() else { continue };
        if bytes.len().saturating_add(data.len()) > max_reply_bytes {
            return Err(Failure::TooLarge);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(HttpReply { status: head.status.as_u16(), headers: readable(&head.headers), body: bytes })
}

/// Whether only the end of the connection marks the end of the body (RFC 9112, section 6.3, rule 8).
///
/// TLS says whether such an end is genuine, and `rustls` reports one that is not. A plain connection does
/// not: an answer like `amount=1000` may be the first half of `amount=10000`.
fn ends_with_the_connection(response: &Response<Incoming>) -> bool {
    let chunked = response
        .headers()
        .get_all(header::TRANSFER_ENCODING)
        .iter()
        .next_back()
        .is_some_and(|value| value.as_bytes().to_ascii_lowercase().ends_with(b"chunked"));
    let bodiless = matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    !(bodiless || chunked || response.body().size_hint().exact().is_some())
}

/// In order, duplicates kept. Bytes that are not UTF-8 are replaced: no connector reads such a field.
pub(crate) fn readable(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect()
}

fn failure(error: &hyper::Error) -> Failure {
    if error.is_parse_too_large() {
        Failure::TooLarge
    } else if error.is_parse() {
        Failure::NotHttp
    } else {
        Failure::Broken
    }
}

/// The half of a connection that moves bytes; empty once the connection has ended.
struct Driver(Option<Box<http1::Connection<TokioIo<Metered>, Full<Bytes>>>>);

impl Driver {
    /// Does `work` while moving the connection's bytes.
    async fn alongside<F: Future>(&mut self, work: F) -> F::Output {
        let mut work = pin!(work);
        std::future::poll_fn(|cx| {
            self.step(cx);
            work.as_mut().poll(cx)
        })
        .await
    }

    fn step(&mut self, cx: &mut Context<'_>) {
        // The connection's own result is left: what it means for the request, the request is told.
        if let Some(connection) = &mut self.0
            && Pin::new(connection).poll(cx).is_ready()
        {
            self.0 = None;
        }
    }
}
