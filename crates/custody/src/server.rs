//! The side that has the vault.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use baton_types::{Secret, Timestamp};
use baton_vault::{Revealed, SealedKind, Vault, VaultError};
use http::{StatusCode, header};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::form::{
    Count, Existed, KindOfToken, List, Named, OfToken, Place, Places, Problem, ProblemBody, Put,
    TokenForm, Tokenize, kind_of,
};

/// What time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

#[derive(Clone)]
struct Served {
    vault: Vault,
    clock: Clock,
}

impl Served {
    fn now(&self) -> Timestamp {
        (self.clock)()
    }
}

/// The service's routes. Whoever reaches them may ask everything: who that is, the listener decides.
pub fn router(vault: Vault, clock: Clock) -> Router {
    Router::new()
        .route("/v1/tokens", post(tokenize))
        .route("/v1/tokens/reveal", post(reveal))
        .route("/v1/tokens/look", post(look))
        .route("/v1/tokens/delete", post(delete))
        .route("/v1/tokens/copies", post(copies))
        .route("/v1/secrets/put", post(put))
        .route("/v1/secrets/get", post(get_secret))
        .route("/v1/secrets/remove", post(remove))
        .route("/v1/secrets/list", post(list))
        .route("/v1/fingerprint-key", get(fingerprint_key))
        .route("/health", get(async || "ok"))
        .route("/health/ready", get(ready))
        .route("/openapi.json", get(async || axum::Json(crate::openapi())))
        .with_state(Served { vault, clock })
}

/// Why a question was not answered.
struct Refusal(StatusCode, &'static str, &'static str);

impl From<VaultError> for Refusal {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Unavailable(why) => {
                tracing::warn!(%why, "the vault cannot be reached");
                Self(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the vault cannot be reached")
            }
            error @ (VaultError::Damaged(_) | VaultError::Root(_)) => {
                tracing::error!(%error, "the vault cannot be read");
                Self(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "damaged",
                    "a record or a key does not open",
                )
            }
        }
    }
}

impl axum::response::IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(status, code, message) = self;
        let error = ProblemBody { code: code.to_owned(), message: message.to_owned() };
        (status, axum::Json(Problem { error })).into_response()
    }
}

type Answer = Result<Response, Refusal>;

/// A body as one of the forms. What is wrong with it is not said in its own words.
fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        tracing::debug!(line = error.line(), column = error.column(), "a body cannot be read");
        Refusal(StatusCode::BAD_REQUEST, "invalid", "the body is not what this question takes")
    })
}

fn kind(word: &str) -> Result<SealedKind, Refusal> {
    let unknown = || Refusal(StatusCode::BAD_REQUEST, "invalid", "there is no such kind");
    kind_of(word).ok_or_else(unknown)
}

fn missing() -> Refusal {
    Refusal(StatusCode::NOT_FOUND, "not_found", "there is no such record")
}

/// JSON with a secret in it, written into bytes that wipe themselves. A [`Secret`] does not serialise, on purpose.
fn with_secret(field: &str, secret: &Secret, rest: &[(&str, serde_json::Value)]) -> Response {
    let text = |text: &str| Zeroizing::new(serde_json::to_string(text).unwrap_or_default());
    let mut body = Zeroizing::new(String::with_capacity(secret.expose().len() * 2 + 256));
    body.push('{');
    for (name, value) in rest {
        body.push_str(&text(name));
        body.push(':');
        body.push_str(&value.to_string());
        body.push(',');
    }
    body.push_str(&text(field));
    body.push(':');
    body.push_str(&text(secret.expose()));
    body.push('}');
    let bytes = Zeroizing::new(std::mem::take(&mut *body).into_bytes());
    let kind = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (kind, Bytes::from_owner(Wiped(bytes))).into_response()
}

struct Wiped(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

async fn tokenize(State(served): State<Served>, body: Bytes) -> Answer {
    let Tokenize { whose, payload } = read(&body)?;
    let made = served.vault.tokenize(whose.tenant(), &payload, served.now()).await?;
    let token = Secret::new(made.text);
    let rest = [
        ("created_at", serde_json::json!(made.created_at)),
        ("kind", serde_json::json!(KindOfToken::from(made.kind))),
    ];
    Ok(with_secret("token", &token, &rest))
}

async fn reveal(State(served): State<Served>, body: Bytes) -> Answer {
    let OfToken { whose, token } = read(&body)?;
    let tenant = whose.tenant();
    let revealed = served.vault.reveal(tenant, token.expose(), served.now()).await?;
    let Revealed { payload, created_at, kind } = revealed.ok_or_else(missing)?;
    tracing::info!(
        target: "baton::custody", merchant = %tenant.merchant, sandbox = tenant.sandbox, operation = "reveal",
        kind = ?kind, "a text was read"
    );
    let rest = [
        ("created_at", serde_json::json!(created_at)),
        ("kind", serde_json::json!(KindOfToken::from(kind))),
    ];
    Ok(with_secret("payload", &payload, &rest))
}

async fn look(State(served): State<Served>, body: Bytes) -> Answer {
    let OfToken { whose, token } = read(&body)?;
    let found = served.vault.meta(whose.tenant(), token.expose(), served.now()).await?;
    let found = found.ok_or_else(missing)?;
    let form = TokenForm { token: None, created_at: found.created_at, kind: found.kind.into() };
    Ok(axum::Json(form).into_response())
}

async fn delete(State(served): State<Served>, body: Bytes) -> Answer {
    let OfToken { whose, token } = read(&body)?;
    let existed = served.vault.delete(whose.tenant(), token.expose()).await?;
    Ok(axum::Json(Existed { existed }).into_response())
}

async fn copies(State(served): State<Served>, body: Bytes) -> Answer {
    let Tokenize { whose, payload } = read(&body)?;
    let count = served.vault.copies(whose.tenant(), &payload).await?;
    Ok(axum::Json(Count { count }).into_response())
}

async fn put(State(served): State<Served>, body: Bytes) -> Answer {
    let put: Put = read(&body)?;
    let (tenant, kind, now) = (put.whose.tenant(), kind(&put.kind)?, served.now());
    served.vault.put_until(tenant, kind, &put.id, &put.value, now, put.expires_at).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn get_secret(State(served): State<Served>, body: Bytes) -> Answer {
    let named: Named = read(&body)?;
    let (tenant, kind) = (named.whose.tenant(), kind(&named.kind)?);
    let value = served.vault.get(tenant, kind, &named.id).await?.ok_or_else(missing)?;
    tracing::info!(
        target: "baton::custody", merchant = %tenant.merchant, sandbox = tenant.sandbox, operation = "get",
        kind = kind.as_str(), record = %named.id, "a secret was read"
    );
    Ok(with_secret("value", &value, &[]))
}

async fn remove(State(served): State<Served>, body: Bytes) -> Answer {
    let named: Named = read(&body)?;
    let existed = served.vault.remove(named.whose.tenant(), kind(&named.kind)?, &named.id).await?;
    Ok(axum::Json(Existed { existed }).into_response())
}

async fn list(State(served): State<Served>, body: Bytes) -> Answer {
    let List { kind: word, before, limit } = read(&body)?;
    let found = served.vault.list(kind(&word)?, before, limit).await?;
    let place = |found: baton_vault::SealedRef| Place {
        merchant: found.tenant.merchant,
        sandbox: found.tenant.sandbox,
        id: found.id,
        created_at: found.created_at,
    };
    Ok(axum::Json(Places { secrets: found.into_iter().map(place).collect() }).into_response())
}

async fn fingerprint_key(State(served): State<Served>) -> Answer {
    let (version, key) = served.vault.node_fingerprint_key();
    Ok(with_secret("key", &key, &[("version", version.into())]))
}

async fn ready(State(served): State<Served>) -> Answer {
    served.vault.ping().await?;
    Ok(axum::Json(serde_json::json!({ "status": "ready" })).into_response())
}
