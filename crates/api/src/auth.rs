//! Who is asking: API keys in `X-Api-Key` or `api-key`; and whether they ask too much.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use baton_engine::audit::Actor;
use baton_engine::keys::Scope;
use baton_engine::{Caller, EngineError, merchants};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::App;
use crate::error::validation;
use crate::fields::FieldError;
use crate::limits::{Left, TooMany, Who};
use crate::metrics::Limited;

/// A caller, and the budget that its requests are taken from.
struct Known {
    caller: Caller,
    who: Who,
    own_rate: Option<u32>,
}

/// Lets a request pass whose key has the scope, with its [`Caller`] as an extension. Nobody else's body is
/// read.
///
/// Every other request is answered 401 with an empty body, as the contract has it; 429 when the key, or the
/// address of whoever has none, has used up its budget; 503 (or 500) when the keys cannot be read.
pub(crate) async fn require(
    State((app, scope)): State<(Arc<App>, Scope)>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = peer(&request);
    let text = presented(request.headers());
    if let Some(many) = app.limiter.failed_too_often(peer)
        && !text.is_some_and(|text| is_operator(&app, text) || app.keyring.remembers(text))
    {
        // Keys that are in use pass: they may share their address with whoever is guessing. Anything else
        // is not even looked up.
        app.metrics.limited(Limited::Peer);
        return too_many(many, "Too many requests without a valid API key from this address.");
    }
    let known = match known(&app, text, scope).await {
        Ok(Some(known)) => known,
        Ok(None) => {
            app.limiter.failed(peer);
            return StatusCode::UNAUTHORIZED.into_response();
        }
        Err(EngineError::Unavailable) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    let left = match app.limiter.take(known.who, known.own_rate) {
        None => None,
        Some(Ok(left)) => Some(left),
        Some(Err(many)) => {
            app.metrics.limited(Limited::Key);
            let mut response = too_many(many, "Too many requests with this API key.");
            tell(&mut response, many.left);
            return response;
        }
    };
    request.extensions_mut().insert(known.caller);
    let mut response = next.run(request).await;
    if let Some(left) = left {
        tell(&mut response, left);
    }
    response
}

async fn known(app: &App, text: Option<&str>, scope: Scope) -> Result<Option<Known>, EngineError> {
    let Some(text) = text else { return Ok(None) };
    let (store, clock) = (app.engine.store().as_ref(), app.engine.clock());
    if scope == Scope::Admin && is_operator(app, text) {
        let audit = app.engine.audit();
        let merchant = merchants::ensure(audit, Actor::Operator, merchants::DEFAULT).await?;
        let caller = Caller { merchant, sandbox: false, key: None };
        return Ok(Some(Known { caller, who: None, own_rate: None }));
    }
    let key = app.keyring.authenticate(store, clock, text).await?;
    let key = key.filter(|key| key.scopes.iter().any(|word| word == scope.as_str()));
    Ok(key.map(|key| Known {
        caller: Caller { merchant: key.merchant, sandbox: key.sandbox, key: Some(key.id) },
        who: Some(key.id),
        own_rate: key.rate_limit,
    }))
}

/// The operator's own key from the configuration administrates for the default merchant.
fn is_operator(app: &App, text: &str) -> bool {
    app.admin_key.as_ref().is_some_and(|key| {
        verify_slices_are_equal(text.as_bytes(), key.expose().as_bytes()).is_ok()
    })
}

/// The key that came with the request. Both headers are equal.
pub(crate) fn presented(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get("x-api-key").or_else(|| headers.get("api-key"))?;
    value.to_str().ok().map(str::trim).filter(|text| !text.is_empty())
}

/// Whose connection it is. Whoever serves the routes without saying so has one peer.
pub(crate) fn peer(request: &Request) -> IpAddr {
    let info = request.extensions().get::<ConnectInfo<SocketAddr>>();
    info.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |info| info.0.ip())
}

fn too_many(many: TooMany, message: &str) -> Response {
    let error = FieldError::new("", message);
    let mut response = validation(StatusCode::TOO_MANY_REQUESTS, &error);
    response.headers_mut().insert(header::RETRY_AFTER, many.retry_after().into());
    response
}

/// The headers of the IETF's draft on rate limits.
pub(crate) fn tell(response: &mut Response, left: Left) {
    let headers = response.headers_mut();
    headers.insert("ratelimit-limit", HeaderValue::from(left.limit));
    headers.insert("ratelimit-remaining", HeaderValue::from(left.remaining));
    headers.insert("ratelimit-reset", HeaderValue::from(left.reset));
}
