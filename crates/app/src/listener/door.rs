//! Between HTTP and the routes: says who is there, and tells the connection how far a request has come.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use baton_engine::SystemClock;
use baton_types::RequestId;
use hyper::body::{Body as _, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, HeaderValue, STRICT_TRANSPORT_SECURITY};
use hyper::service::Service;
use hyper::{Request, Response, StatusCode};
use hyper_util::service::TowerToHyperService;

use super::watched::{Cut, Progress};

/// A year: who has once come by TLS does not come without.
const HSTS: &str = "max-age=31536000";

/// The routes as one connection sees them.
pub(super) struct Door {
    routes: TowerToHyperService<Router>,
    progress: Arc<Progress>,
    peer: SocketAddr,
    secure: bool,
}

impl Door {
    pub(super) fn new(
        router: Router,
        progress: Arc<Progress>,
        peer: SocketAddr,
        secure: bool,
    ) -> Self {
        Self { routes: TowerToHyperService::new(router), progress, peer, secure }
    }
}

impl Service<Request<Incoming>> for Door {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let progress = Arc::clone(&self.progress);
        progress.head_came(!request.body().is_end_stream());
        request.extensions_mut().insert(ConnectInfo(self.peer));
        let request = request.map(|incoming| {
            let ended = incoming.is_end_stream();
            Body::new(Tracked { incoming, progress: Arc::clone(&progress), ended })
        });
        let (answer, secure) = (self.routes.call(request), self.secure);
        Box::pin(async move {
            let mut response = answer.await?;
            if secure {
                let value = HeaderValue::from_static(HSTS);
                response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, value);
            }
            if progress.cut().is_some() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            progress.answered();
            Ok(response)
        })
    }
}

/// A request's body, whose end the connection has to know.
struct Tracked {
    incoming: Incoming,
    progress: Arc<Progress>,
    ended: bool,
}

impl Tracked {
    fn look(&mut self) {
        if !self.ended && self.incoming.is_end_stream() {
            self.ended = true;
            self.progress.body_ended(false);
        }
    }
}

impl hyper::body::Body for Tracked {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let frame = std::task::ready!(Pin::new(&mut this.incoming).poll_frame(cx));
        if frame.is_none() && !this.ended {
            this.ended = true;
            this.progress.body_ended(false);
        }
        this.look();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        if !self.ended {
            self.progress.body_ended(true);
        }
    }
}

/// A whole answer to a client whose request never got as far as the routes, in the API's own form; `None`
/// where none is due, or one has been given.
pub(super) fn refusal(cut: Cut, secure: bool) -> Option<String> {
    let (status, message) = match cut {
        Cut::SlowHead => (StatusCode::REQUEST_TIMEOUT, "The request's head took too long."),
        Cut::LargeHead => {
            (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "The request's head is too large.")
        }
        Cut::Rested | Cut::SlowBody | Cut::SlowReader => return None,
    };
    let body = baton_api::error_body(message);
    let id: RequestId = baton_engine::new_id(&SystemClock);
    let hsts =
        if secure { format!("strict-transport-security: {HSTS}\r\n") } else { String::new() };
    Some(format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\nx-request-id: {id}\r\n{hsts}\r\n{body}",
        body.len()
    ))
}
