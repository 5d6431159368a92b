//! Who is asking: API keys in `X-Api-Key` or `api-key`.

use axum::response::{IntoResponse as _, Response};
use baton_engine::EngineError;
use baton_engine::keys::Scope;
use baton_store::ApiKeyRow;
use http::{HeaderMap, StatusCode};

use crate::App;

/// The caller's key, if it is valid and may do this.
///
/// # Errors
/// The answer to give instead: 401 with an empty body, as the contract has it, or 503 when the keys
/// cannot be read.
pub(crate) async fn authenticate(
    app: &App,
    headers: &HeaderMap,
    scope: Scope,
) -> Result<ApiKeyRow, Response> {
    let refused = || StatusCode::UNAUTHORIZED.into_response();
    let Some(text) = presented(headers) else { return Err(refused()) };
    let store = app.engine.store().as_ref();
    let found = app.keyring.authenticate(store, app.engine.clock(), text).await;
    let key = found.map_err(|error| {
        let _ = EngineError::from(error);
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    })?;
    key.filter(|key| key.scopes.iter().any(|word| word == scope.as_str())).ok_or_else(refused)
}

/// The key that came with the request. Both headers are equal.
pub(crate) fn presented(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get("x-api-key").or_else(|| headers.get("api-key"))?;
    value.to_str().ok().map(str::trim).filter(|text| !text.is_empty())
}
