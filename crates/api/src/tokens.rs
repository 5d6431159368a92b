//! String tokens: keep a text, get it back, use it by name in a payment (`@TOKEN`).
//!
//! A token's text stands in the path, as the contract has it, so paths with one are never logged: the log
//! names routes by their pattern. Left out: lists and updates, which the contract does not have.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use baton_engine::Caller;
use baton_engine::keys::Scope;
use baton_types::Secret;
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

use crate::App;
use crate::body::{Json, JsonBody};
use crate::error::{ValidationErrorMessage, failure, json, validation};
use crate::fields::{FieldError, Fields};
use crate::openapi::{Doc, Draft, Param, Tag, types};
use crate::route::{Access, Route};

/// Longest text that is kept, in characters.
const PAYLOAD_MAX: usize = 16_384;

/// Largest body with a text to keep: JSON may spell a character with twelve bytes (two escapes of six).
const BODY_MAX: usize = 12 * PAYLOAD_MAX + 4096;

/// How long a token is.
const TOKEN_LENGTH: usize = 32;

const TOKEN: Param = Param::of::<TokenText>("token", "The token.");

pub(crate) fn routes() -> Vec<Route> {
    let access = Access::Key(Scope::Gateway);
    let doc = |id, summary, about| Doc::new(id, Tag::StringTokens, summary, about);
    let failing = |draft: Doc| {
        draft.gives::<ValidationErrorMessage<'_>>(
            StatusCode::SERVICE_UNAVAILABLE,
            "The vault cannot be reached.",
        )
    };
    let known =
        |draft: Draft, meaning| draft.path(TOKEN).gives::<TokenView>(StatusCode::OK, meaning);
    vec![
        Route::post(
            "/StringTokens",
            access,
            create,
            failing(
                doc(
                    "StringTokenCreate",
                    "Keep a text",
                    "Three or four digits are a CVV: its token can be used once, within 15 minutes. Everything \
                     else is kept until it is deleted.",
                )
                .takes::<NewToken>(r#"{"payload": "4111111111111111"}"#)
                .gives::<TokenView>(StatusCode::CREATED, "The token.")
                .header("Location", "Where the token can be read."),
            ),
        )
        .body_max(BODY_MAX),
        Route::get(
            "/StringTokens/{token}",
            access,
            read,
            failing(
                doc("StringTokenGet", "Read a text", "Recorded in the audit log. Ends a CVV's token.")
                    .path(TOKEN)
                    .gives::<ClearToken<'_>>(StatusCode::OK, "The text.")
                    .empty(StatusCode::NOT_FOUND, "There is no such token, or it has ended."),
            ),
        ),
        Route::get(
            "/StringTokens/{token}/meta",
            access,
            meta,
            failing(
                known(doc("StringTokenMeta", "Look at a token", "Without its text."), "The token.")
                    .empty(StatusCode::NOT_FOUND, "There is no such token, or it has ended."),
            ),
        ),
        Route::delete(
            "/StringTokens/{token}",
            access,
            delete,
            failing(
                doc("StringTokenDelete", "Forget a text", "For good.")
                    .path(TOKEN)
                    .empty(StatusCode::OK, "It is forgotten.")
                    .empty(StatusCode::NOT_FOUND, "There is no such token, or it has ended."),
            ),
        ),
    ]
}

types::described!(
    /// A token's text.
    TokenText,
    schemars::json_schema!({
        "type": "string", "pattern": "^[A-Za-z0-9]{32}$", "description": "A token that Baton gave.",
    })
);

/// What is to be kept.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes what `read_payload` reads")]
struct NewToken {
    #[schemars(length(min = 1, max = PAYLOAD_MAX))]
    payload: String,
}

/// The contract's `StringTokenMetaDataOutputModel`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StringToken")]
struct TokenView {
    #[schemars(with = "TokenText")]
    token: String,
    #[schemars(with = "types::Time")]
    create_time: String,
}

/// The contract's `StringTokenOutputModel`; its guide reads `payload`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StringTokenClear")]
struct ClearToken<'a> {
    #[schemars(with = "TokenText")]
    token: String,
    #[schemars(with = "types::Time")]
    create_time: String,
    clear_payload: &'a str,
    payload: &'a str,
}

async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    JsonBody(body): JsonBody,
) -> Response {
    let payload = match read_payload(&body) {
        Ok(payload) => payload,
        Err(error) => return validation(StatusCode::BAD_REQUEST, &error),
    };
    match app.engine.tokenize(caller, &payload).await {
        Ok(made) => {
            let place = format!("/StringTokens/{}", made.text);
            let view = TokenView { token: made.text, create_time: made.created_at.to_rfc3339() };
            let mut response = json(StatusCode::CREATED, &view);
            if let Ok(place) = HeaderValue::from_str(&place) {
                response.headers_mut().insert(header::LOCATION, place);
            }
            response
        }
        Err(error) => failure(&error),
    }
}

fn read_payload(body: &[u8]) -> Result<Secret, FieldError> {
    let mut fields = Fields::of_body(Json::parse(body)?)?;
    let payload = fields.text("payload", PAYLOAD_MAX)?;
    match payload {
        None => Err(fields.error("payload", "It is required.")),
        Some(text) if text.is_empty() => Err(fields.error("payload", "It is empty.")),
        Some(text) => Ok(Secret::new(text.as_str().to_owned())),
    }
}

async fn read(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(token): Path<String>,
) -> Response {
    if !is_token(&token) {
        return StatusCode::NOT_FOUND.into_response();
    }
    match app.engine.read_token(caller, &token).await {
        Ok(Some(revealed)) => {
            let text = revealed.payload.expose();
            let create_time = revealed.created_at.to_rfc3339();
            let view = ClearToken { token, create_time, clear_payload: text, payload: text };
            let mut response = json(StatusCode::OK, &view);
            let no_store = HeaderValue::from_static("no-store");
            response.headers_mut().insert(header::CACHE_CONTROL, no_store);
            response
        }
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => failure(&error),
    }
}

async fn meta(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(token): Path<String>,
) -> Response {
    if !is_token(&token) {
        return StatusCode::NOT_FOUND.into_response();
    }
    match app.engine.token_meta(caller, &token).await {
        Ok(Some(known)) => {
            let create_time = known.created_at.to_rfc3339();
            json(StatusCode::OK, &TokenView { token, create_time })
        }
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => failure(&error),
    }
}

async fn delete(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(token): Path<String>,
) -> Response {
    if !is_token(&token) {
        return StatusCode::NOT_FOUND.into_response();
    }
    match app.engine.delete_token(caller, &token).await {
        Ok(true) => StatusCode::OK.into_response(),
        Ok(false) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => failure(&error),
    }
}

/// Whether a text can be a token at all.
pub(crate) fn is_token(text: &str) -> bool {
    text.len() == TOKEN_LENGTH && text.bytes().all(|b| b.is_ascii_alphanumeric())
}
