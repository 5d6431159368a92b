//! Accepts connections, ends TLS on them, and keeps slow or greedy clients from harming others.
//!
//! Guarantees: no more connections than configured are served at once, further ones wait in the operating
//! system's queue; every wait for a client has an end: for the handshake, for the first request, for a
//! request's head, for its body, for the next request, and for taking an answer; a head has a largest size; a
//! client that is cut off is told so where HTTP allows; stopping finishes what is in flight. One connection is
//! one task, and nothing is copied or allocated for a request's bytes. Left out: HTTP/2, and any limit per
//! address (the limit of failed keys is in `baton-api`).

mod door;
mod watched;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use baton_api::EdgeMetrics;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::door::Door;
use self::watched::{Cut, Progress, Watched};
use crate::tls::Certificates;

/// How long a client that was answered before it had sent everything may take to read the answer.
const LINGER: Duration = Duration::from_secs(1);

/// How long nothing is accepted after the operating system refused, which is when it has run out of files.
const PAUSE: Duration = Duration::from_millis(200);

/// How a server treats its clients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Connections served at once.
    pub(crate) max_connections: usize,
    /// For a TLS handshake.
    pub(crate) handshake: Duration,
    /// For the first byte of the first request, and from a head's first byte to its last.
    pub(crate) head: Duration,
    /// For a whole body, from the end of its head.
    pub(crate) body: Duration,
    /// For the first byte of the next request, and for taking an answer.
    pub(crate) idle: Duration,
    /// Bytes of a head.
    pub(crate) max_head: usize,
}

/// What every connection of a server shares.
struct Shared {
    router: Router,
    patience: Patience,
    certificates: Option<Arc<Certificates>>,
    metrics: EdgeMetrics,
    stop: CancellationToken,
}

/// Serves until `stop`, and then until every connection has ended.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    patience: Patience,
    certificates: Option<Arc<Certificates>>,
    metrics: EdgeMetrics,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(patience.max_connections));
    let shared = Arc::new(Shared { router, patience, certificates, metrics, stop });
    let tasks = TaskTracker::new();
    let accept = async {
        loop {
            let slot = slot(&slots, &shared).await;
            match listener.accept().await {
                Ok((socket, peer)) => {
                    tasks.spawn(connection(Arc::clone(&shared), socket, peer, slot));
                }
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "no connection can be accepted");
                    sleep(PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = accept => {}
        () = shared.stop.cancelled() => {}
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// A place for one more connection, waited for if need be.
async fn slot(slots: &Arc<Semaphore>, shared: &Shared) -> Option<OwnedSemaphorePermit> {
    if let Ok(slot) = Arc::clone(slots).try_acquire_owned() {
        return Some(slot);
    }
    let most = shared.patience.max_connections;
    tracing::warn!(most, "no more connections are served at once; the next ones wait");
    shared.metrics.full();
    // The semaphore is never closed.
    Arc::clone(slots).acquire_owned().await.ok()
}

/// Whether accepting failed for one client only, who had gone already.
fn is_the_clients(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn connection(
    shared: Arc<Shared>,
    socket: TcpStream,
    peer: SocketAddr,
    _slot: Option<OwnedSemaphorePermit>,
) {
    let _open = shared.metrics.connection();
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delay");
    }
    let Some(certificates) = &shared.certificates else {
        return converse(&shared, socket, peer).await;
    };
    let handshake = timeout(shared.patience.handshake, certificates.acceptor().accept(socket));
    let handshake = tokio::select! {
        handshake = handshake => handshake,
        // Nothing is in flight yet.
        () = shared.stop.cancelled() => return,
    };
    match handshake {
        Ok(Ok(stream)) => Box::pin(converse(&shared, stream, peer)).await,
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "no TLS");
            shared.metrics.handshake_failed("refused");
        }
        Err(_) => {
            tracing::debug!(%peer, "no TLS in time");
            shared.metrics.handshake_failed("timeout");
        }
    }
}

/// Serves one connection's requests until either side ends it.
async fn converse<S>(shared: &Shared, stream: S, peer: SocketAddr)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let progress = Arc::new(Progress::new(shared.patience));
    let secure = shared.certificates.is_some();
    let door = Door::new(shared.router.clone(), Arc::clone(&progress), peer, secure);
    let io = TokioIo::new(Watched::new(stream, Arc::clone(&progress)));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Ours tells a slow head from a connection that rests between requests.
        .header_read_timeout(None)
        // Ours is exact; this one bounds what came ahead of its turn.
        .max_buf_size(shared.patience.max_head.saturating_add(64 << 10))
        .serve_connection(io, door);
    let mut stopping = false;
    let ended = loop {
        tokio::select! {
            biased;
            ended = std::future::poll_fn(|cx| connection.poll_without_shutdown(cx)) => break ended,
            () = shared.stop.cancelled(), if !stopping => {
                stopping = true;
                std::pin::Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection broke");
    }
    let mut stream = connection.into_parts().io.into_inner().into_inner();
    let cut = progress.cut();
    if let Some(cut) = cut {
        match cut {
            Cut::Rested => tracing::debug!(%peer, "a connection has rested too long"),
            Cut::SlowHead | Cut::LargeHead | Cut::SlowBody | Cut::SlowReader => {
                tracing::info!(%peer, why = cut.as_str(), "a client was cut off");
            }
        }
        shared.metrics.cut(cut.as_str());
    }
    let refusal = cut.and_then(|cut| door::refusal(cut, secure));
    let owes = refusal.is_some() || progress.left_unread();
    let goodbye = async {
        if let Some(refusal) = refusal {
            stream.write_all(refusal.as_bytes()).await?;
        }
        stream.shutdown().await?;
        if owes {
            // A socket that is closed with bytes unread resets, and the client might lose the answer.
            let mut rest = [0_u8; 4096];
            while stream.read(&mut rest).await? > 0 {}
        }
        Ok::<_, std::io::Error>(())
    };
    let _gone_already = timeout(LINGER, goodbye).await;
}

impl Cut {
    /// The word for logs and metrics.
    fn as_str(self) -> &'static str {
        match self {
            Self::Rested => "idle",
            Self::SlowHead => "slow_head",
            Self::LargeHead => "large_head",
            Self::SlowBody => "slow_body",
            Self::SlowReader => "slow_reader",
        }
    }
}
