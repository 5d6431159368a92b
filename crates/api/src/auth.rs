//! Who is asking: API keys in `X-Api-Key` or `api-key`.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use baton_engine::keys::Scope;
use baton_engine::{Caller, EngineError, merchants};
use http::{HeaderMap, StatusCode};

use crate::App;

/// Lets a request pass whose key has the scope, with its [`Caller`] as an extension. Nobody else's body is
/// read.
///
/// Every other request is answered 401 with an empty body, as the contract has it; 503 (or 500) when the
/// keys cannot be read.
pub(crate) async fn require(
    State((app, scope)): State<(Arc<App>, Scope)>,
    mut request: Request,
    next: Next,
) -> Response {
    match caller(&app, request.headers(), scope).await {
        Ok(Some(caller)) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Ok(None) => StatusCode::UNAUTHORIZED.into_response(),
        Err(EngineError::Unavailable) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn caller(
    app: &App,
    headers: &HeaderMap,
    scope: Scope,
) -> Result<Option<Caller>, EngineError> {
    let Some(text) = presented(headers) else { return Ok(None) };
    let (store, clock) = (app.engine.store().as_ref(), app.engine.clock());
    if scope == Scope::Admin && is_operator(app, text) {
        let merchant = merchants::ensure(store, clock, merchants::DEFAULT).await?;
        return Ok(Some(Caller { merchant, sandbox: false }));
    }
    let key = app.keyring.authenticate(store, clock, text).await?;
    let key = key.filter(|key| key.scopes.iter().any(|word| word == scope.as_str()));
    Ok(key.map(|key| Caller { merchant: key.merchant, sandbox: key.sandbox }))
}

/// The operator's own key from the configuration administrates for the default merchant.
fn is_operator(app: &App, text: &str) -> bool {
    app.admin_key.as_ref().is_some_and(|key| {
        verify_slices_are_equal(text.as_bytes(), key.expose().as_bytes()).is_ok()
    })
}

/// The key that came with the request. Both headers are equal.
fn presented(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get("x-api-key").or_else(|| headers.get("api-key"))?;
    value.to_str().ok().map(str::trim).filter(|text| !text.is_empty())
}
