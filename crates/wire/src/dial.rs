//! Name resolution, TCP and TLS: everything before a request byte can exist.
//!
//! Guarantees: the three share one timeout; TLS 1.2 or later, no early data; `h2` is offered beside `http/1.1`
//! unless the host is pinned, and never spoken without TLS; the host's certificate is checked against the public roots and the configured ones. Left out: caching of names
//! (the operating system's business) and racing addresses; each address gets an equal share of the time
//! that is left, so one that drops packets does not use it up.
//!
//! Client certificates: in TLS 1.2 the provider has judged ours when the handshake ends. In TLS 1.3 our side
//! of the handshake ends first, and the refusal comes a round trip later, when request bytes might have left.
//! So after a handshake in which the provider asked for a certificate, the connection is not used until the
//! provider has shown that it goes on (a session ticket, which it may only send after having checked us), has
//! refused (`tls_failed`, with no byte sent), or twice the handshake's own time has passed. A provider that
//! sends no tickets costs that wait once per connection; one that refuses later than that leaves doubt.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ProtocolVersion, RootCertStore};
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

use crate::clock::now;
use crate::config::ConfigError;
use crate::identity::{Configs, asked_during};
use crate::socket::Transport;
use crate::{Failure, Stage, Target, WireConfig};

/// The protocols' names in the handshake (RFC 7301).
const HTTP1: &[u8] = b"http/1.1";
const HTTP2: &[u8] = b"h2";

/// The most addresses of one host that are tried.
const MAX_ADDRESSES: usize = 4;

/// Least and most that is waited for a provider's verdict on our certificate.
const GRACE_MIN: Duration = Duration::from_millis(20);
const GRACE_MAX: Duration = Duration::from_secs(1);

/// More than a greeting: whoever says this much is not waiting for us.
const EARLY_MAX: usize = 16 << 10;

pub(crate) struct Dialer {
    /// Offers what the configuration says.
    tls: Configs,
    /// For the hosts that are pinned.
    http1: Configs,
    http1_hosts: HashSet<String>,
}

/// A connection ready for its first request.
pub(crate) struct Dialed {
    pub(crate) transport: Transport,
    pub(crate) protocol: Protocol,
}

/// What the provider chose.
pub(crate) enum Protocol {
    Http1,
    /// With what came while its verdict on our certificate was awaited.
    Http2 {
        early: Bytes,
    },
}

impl Dialer {
    pub(crate) fn new(config: &WireConfig) -> Result<Self, ConfigError> {
        let public = if config.public_roots { webpki_roots::TLS_SERVER_ROOTS } else { &[] };
        let mut roots = RootCertStore { roots: public.to_vec() };
        for root in &config.extra_roots {
            roots.add(root.clone()).map_err(|why| ConfigError::BadRoot(why.to_string()))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|why| ConfigError::Tls(why.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Early data can be replayed by whoever records it. Off is the default; here it is a decision.
        tls.enable_early_data = false;
        let offering = |protocols: &[&[u8]]| {
            let mut tls = tls.clone();
            tls.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            Configs::new(tls)
        };
        let all: &[&[u8]] = if config.http2 { &[HTTP2, HTTP1] } else { &[HTTP1] };
        let http1_hosts = config.http1_hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Ok(Self { tls: offering(all), http1: offering(&[HTTP1]), http1_hosts })
    }

    /// A connection ready for its first request, or how far it came.
    pub(crate) async fn dial(
        &self,
        target: &Target,
        deadline: Instant,
    ) -> Result<Dialed, (Stage, Failure)> {
        let (account, origin) = (target.account, target.base_url.origin());
        let mut stage = Stage::Resolve;
        let failure = match timeout_at(deadline, self.steps(target, deadline, &mut stage)).await {
            Ok(Ok(dialed)) => return Ok(dialed),
            Ok(Err(error)) => {
                let (host, stage) = (&*origin.host, stage.as_str());
                tracing::warn!(%account, host, stage, %error, "no connection");
                Failure::Broken
            }
            Err(_) => {
                let (host, stage) = (&*origin.host, stage.as_str());
                tracing::warn!(%account, host, stage, "no connection in time");
                Failure::TimedOut
            }
        };
        Err((stage, failure))
    }

    async fn steps(
        &self,
        target: &Target,
        deadline: Instant,
        stage: &mut Stage,
    ) -> std::io::Result<Dialed> {
        let origin = target.base_url.origin();
        let addresses: Vec<SocketAddr> =
            tokio::net::lookup_host((&*origin.host, origin.port)).await?.collect();
        if addresses.is_empty() {
            return Err(std::io::Error::other("the name has no address"));
        }
        *stage = Stage::Connect;
        let socket = connect(&addresses, deadline).await?;
        // A request is written whole; waiting to fill a packet only delays it.
        socket.set_nodelay(true)?;
        if !origin.tls {
            let transport = Transport::Plain(socket);
            return Ok(Dialed { transport, protocol: Protocol::Http1 });
        }
        *stage = Stage::Tls;
        let name = ServerName::try_from(origin.host.to_string()).map_err(std::io::Error::other)?;
        let pinned = self.http1_hosts.contains(&*origin.host);
        let configs = if pinned { &self.http1 } else { &self.tls };
        let connector = configs.connector(target.identity.as_deref());
        let begun = now();
        let (stream, asked) = asked_during(connector.connect(name, socket)).await;
        let mut stream = Box::new(stream?);
        let http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
        let mut early = Vec::new();
        let version = stream.get_ref().1.protocol_version();
        if asked && version == Some(ProtocolVersion::TLSv1_3) {
            let ended = now();
            let grace = ((ended - begun) * 2).clamp(GRACE_MIN, GRACE_MAX);
            let early = http2.then_some(&mut early);
            judged(&mut stream, (ended + grace).min(deadline), early).await?;
        }
        let protocol =
            if http2 { Protocol::Http2 { early: early.into() } } else { Protocol::Http1 };
        Ok(Dialed { transport: Transport::Tls(stream), protocol })
    }
}

/// Waits until the provider has judged our certificate, or not longer than `until`. What it says before it was
/// asked goes into `early`: an HTTP/2 server greets first, which is no verdict yet.
///
/// # Errors
/// It refused, closed, or spoke out of turn.
async fn judged(
    stream: &mut TlsStream<TcpStream>,
    until: Instant,
    mut early: Option<&mut Vec<u8>>,
) -> std::io::Result<()> {
    let verdict = std::future::poll_fn(|cx| {
        loop {
            let mut bytes = [0; 1024];
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = Pin::new(&mut *stream).poll_read(cx, &mut buffer);
            if let (Poll::Ready(Ok(())), Some(early)) = (&read, &mut early)
                && !buffer.filled().is_empty()
                && early.len() < EARLY_MAX
            {
                early.extend_from_slice(buffer.filled());
                continue;
            }
            return match read {
                Poll::Pending if stream.get_ref().1.tls13_tickets_received() > 0 => {
                    Poll::Ready(Ok(()))
                }
                Poll::Pending => Poll::Pending,
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => {
                    Poll::Ready(Err(std::io::ErrorKind::ConnectionAborted.into()))
                }
            };
        }
    });
    // Silence is no refusal.
    timeout_at(until, verdict).await.unwrap_or(Ok(()))
}

async fn connect(addresses: &[SocketAddr], deadline: Instant) -> std::io::Result<TcpStream> {
    let tried = addresses.len().min(MAX_ADDRESSES);
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for (index, address) in addresses.iter().take(tried).enumerate() {
        let left = u32::try_from(tried - index).unwrap_or(1);
        let share = deadline.saturating_duration_since(now()) / left;
        if left == 1 {
            // The whole deadline's timer ends this one, and is reported as a timeout.
            return TcpStream::connect(address).await;
        }
        match timeout_at(now() + share, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => last = error,
            Err(_) => last = std::io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_next_address_is_tried_and_the_last_error_told() {
        let bound = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let live = bound();
        let (dead, alive) = (bound().local_addr().unwrap(), live.local_addr().unwrap());
        let deadline = now() + Duration::from_secs(5);
        let socket = connect(&[dead, dead, alive], deadline).await.unwrap();
        assert_eq!(socket.peer_addr().unwrap(), alive);
        let error = connect(&[dead, dead], deadline).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        let beyond = [[dead; MAX_ADDRESSES].as_slice(), &[alive]].concat();
        assert!(connect(&beyond, deadline).await.is_err(), "no more than the bound are tried");
    }
}
