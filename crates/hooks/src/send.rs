//! One request to an endpoint.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::address::Policy;
use crate::url::HookUrl;

/// How long a try may take: name, connection, request and answer together.
pub const TIMEOUT: Duration = Duration::from_secs(15);

/// How much of an answer's body is read and kept, in bytes.
const BODY_MAX: usize = 4_096;

/// How many headers of an answer are kept, and how much of each.
const HEADERS_MAX: usize = 32;
const HEADER_MAX: usize = 256;

/// The most addresses of one name that are tried.
const ADDRESSES_MAX: usize = 3;

/// Sends webhooks. Every request has a connection of its own.
#[derive(Clone)]
pub struct Sender {
    policy: Policy,
    tls: TlsConnector,
    timeout: Duration,
}

/// What an endpoint answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The headers; long ones are cut.
    pub headers: Vec<(String, String)>,
    /// The start of the body, as far as it is text.
    pub body: String,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The name has no address, or none that webhooks go to.
    Address(String),
    /// Nobody took the connection.
    Connect(String),
    /// The connection cannot be trusted.
    Tls(String),
    /// The connection broke, or what came is no HTTP.
    Broken(String),
    /// It took too long.
    TimedOut,
    /// The request cannot be written: a header that is none.
    Invalid(String),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(why) => f.write_str(why),
            Self::Connect(why) => write!(f, "no connection: {why}"),
            Self::Tls(why) => write!(f, "TLS: {why}"),
            Self::Broken(why) => write!(f, "the connection broke: {why}"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Invalid(why) => write!(f, "the request cannot be sent: {why}"),
        }
    }
}

impl std::error::Error for SendError {}

impl Sender {
    /// A sender that trusts the public roots and these.
    ///
    /// # Errors
    /// A root is no certificate.
    pub fn new(
        policy: Policy,
        extra_roots: &[CertificateDer<'static>],
        timeout: Duration,
    ) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for root in extra_roots {
            roots.add(root.clone())?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { policy, tls: TlsConnector::from(Arc::new(config)), timeout })
    }

    /// Where this sender may send to.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Posts a body once. An answer is an answer whatever its status: redirects are not followed.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn post(
        &self,
        url: &HookUrl,
        headers: &[(String, String)],
        body: Bytes,
    ) -> Result<Reply, SendError> {
        let request = request(url, headers, body)?;
        let deadline = Instant::now() + self.timeout;
        let exchange = Box::pin(self.exchange(url, request, deadline));
        timeout_at(deadline, exchange).await.unwrap_or(Err(SendError::TimedOut))
    }

    async fn exchange(
        &self,
        url: &HookUrl,
        request: Request<Full<Bytes>>,
        deadline: Instant,
    ) -> Result<Reply, SendError> {
        let addresses = self.resolve(url).await?;
        let socket = connect(&addresses, deadline).await?;
        let nodelay = socket.set_nodelay(true);
        nodelay.map_err(|error| SendError::Connect(error.to_string()))?;
        if !url.tls {
            return talk(socket, request).await;
        }
        let name = ServerName::try_from(url.host.clone());
        let name = name.map_err(|error| SendError::Tls(error.to_string()))?;
        let stream = self.tls.connect(name, socket).await;
        let stream = stream.map_err(|error| SendError::Tls(error.to_string()))?;
        talk(Box::new(stream), request).await
    }

    /// The addresses of a host that webhooks may go to.
    async fn resolve(&self, url: &HookUrl) -> Result<Vec<SocketAddr>, SendError> {
        let found: Vec<SocketAddr> = match url.host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, url.port)],
            Err(_) => tokio::net::lookup_host((url.host.as_str(), url.port))
                .await
                .map_err(|error| SendError::Address(format!("the name is not resolved: {error}")))?
                .collect(),
        };
        let mut why = "the name has no address".to_owned();
        let mut fine = Vec::new();
        for address in found {
            match self.policy.check(address.ip()) {
                Ok(()) => fine.push(address),
                Err(refused) => why = refused.to_string(),
            }
        }
        fine.truncate(ADDRESSES_MAX);
        if fine.is_empty() { Err(SendError::Address(why)) } else { Ok(fine) }
    }
}

fn request(
    url: &HookUrl,
    headers: &[(String, String)],
    body: Bytes,
) -> Result<Request<Full<Bytes>>, SendError> {
    let invalid = |what: &str| SendError::Invalid(what.to_owned());
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = url.path.parse().map_err(|_| invalid("the URL's path"))?;
    let host = HeaderValue::try_from(url.authority.as_str()).map_err(|_| invalid("the host"))?;
    let map = request.headers_mut();
    map.insert(header::HOST, host);
    map.insert(header::USER_AGENT, HeaderValue::from_static("Baton/0.1"));
    map.insert(header::CONNECTION, HeaderValue::from_static("close"));
    for (name, value) in headers {
        let wrong = || SendError::Invalid(format!("the header {name:?}"));
        let header = HeaderName::try_from(name.as_str()).map_err(|_| wrong())?;
        let mut value = HeaderValue::try_from(value.as_str()).map_err(|_| wrong())?;
        value.set_sensitive(true);
        map.insert(header, value);
    }
    Ok(request)
}

/// The first address that takes a connection. Each gets an equal share of the time that is left.
async fn connect(addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, SendError> {
    let mut last = SendError::TimedOut;
    for (index, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len().saturating_sub(index)).unwrap_or(1).max(1);
        let now = Instant::now();
        let share = now + deadline.saturating_duration_since(now) / left;
        match timeout_at(share, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => last = SendError::Connect(error.to_string()),
            Err(_) => last = SendError::Connect("nobody answered".to_owned()),
        }
    }
    Err(last)
}

async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
) -> Result<Reply, SendError> {
    let broken = |error: hyper::Error| SendError::Broken(error.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let mut connection = pin!(connection);
    let mut exchange = pin!(async {
        let response = sender.send_request(request).await.map_err(broken)?;
        read(response).await
    });
    // The connection runs only as long as somebody waits for its answer.
    tokio::select! {
        biased;
        reply = &mut exchange => reply,
        _ended = &mut connection => exchange.await,
    }
}

/// What is kept of an answer. A body that breaks off was an answer all the same: its status counts.
async fn read(response: Response<Incoming>) -> Result<Reply, SendError> {
    let (head, mut body) = response.into_parts();
    let mut kept = Vec::new();
    while kept.len() < BODY_MAX
        && let Some(Ok(frame)) = body.frame().await
    {
        if let Ok(data) = frame.into_data() {
            kept.extend_from_slice(&data);
        }
    }
    kept.truncate(BODY_MAX);
    let cut = |value: &HeaderValue| -> String {
        String::from_utf8_lossy(value.as_bytes()).chars().take(HEADER_MAX).collect()
    };
    let headers = head.headers.iter().take(HEADERS_MAX);
    Ok(Reply {
        status: head.status.as_u16(),
        headers: headers.map(|(name, value)| (name.as_str().to_owned(), cut(value))).collect(),
        body: String::from_utf8_lossy(&kept).replace('\0', "\u{fffd}"),
    })
}
