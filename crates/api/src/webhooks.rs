//! `POST /webhooks/{merchant}/{account}`: what providers tell by themselves, one address per account.
//!
//! The signature over the raw bytes is the only credential here; nothing of a message is believed before it
//! fits. A message that cannot be recorded, or that comes before the answer it is about, is answered so that
//! the provider tells again. Repeats and disorder are harmless: an event is evidence about a call, and never
//! undoes a conclusion. Left out: what an event means (`baton-connectors`) and what follows
//! (`baton-engine`).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use baton_connect::{Freshness, Incoming, WebhookError};
use baton_engine::{Account, EngineError, Heard};
use baton_payments::{DisputeHeard, Fault};
use baton_types::MerchantId;
use http::{HeaderMap, StatusCode};

use crate::App;
use crate::error::{ValidationErrorMessage, failure, validation};
use crate::fields::{FieldError, sentence};
use crate::openapi::{Doc, Param, Tag};
use crate::route::{Access, Route};

/// How far the time of signing may be from ours, where it is signed too. What Stripe recommends.
const TOLERANCE_MS: i64 = 5 * 60_000;

/// What Adyen wants to read; others look at the status only.
const ACCEPTED: &str = "[accepted]";

pub(crate) fn routes() -> Vec<Route> {
    let about = "The signature over the body is what counts; no key is needed. What is not answered with \
                 2xx is told again by the provider. Repeats and another order do no harm.";
    vec![Route::post(
        "/webhooks/{merchant}/{account}",
        Access::Public,
        receive,
        Doc::new("WebhookReceive", Tag::Webhooks, "Take a provider's webhook", about)
            .path(Param::of::<String>("merchant", "The merchant's name or id."))
            .path(Param::of::<String>("account", "The account's name."))
            .text(StatusCode::OK, "Taken, or known already.", "text/plain")
            .gives::<ValidationErrorMessage<'_>>(
                StatusCode::UNAUTHORIZED,
                "No signature fits, it is too old, or the account has no secret to check it with.",
            )
            .gives::<ValidationErrorMessage<'_>>(
                StatusCode::NOT_FOUND,
                "There is no such account, or its gateway sends no webhooks.",
            )
            .gives::<ValidationErrorMessage<'_>>(
                StatusCode::UNPROCESSABLE_ENTITY,
                "It is no webhook of the account's gateway.",
            )
            .gives::<ValidationErrorMessage<'_>>(
                StatusCode::SERVICE_UNAVAILABLE,
                "It cannot be recorded now, or comes before the answer that it is about: tell again.",
            ),
    )]
}

async fn receive(
    State(app): State<Arc<App>>,
    Path((merchant, account)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let account = match addressed(&app, &merchant, &account).await {
        Ok(Some(account)) => account,
        Ok(None) => return refuse(StatusCode::NOT_FOUND, "There is no such account."),
        Err(error) => return failure(&error),
    };
    let headers = readable(&headers);
    let message = Incoming { headers: &headers, body: &body };
    let freshness = Freshness { now: app.engine.clock().now(), tolerance_ms: TOLERANCE_MS };
    let told = match account.webhook(&message, freshness) {
        Ok(told) => told,
        Err(error) => {
            tracing::warn!(account = %account.row.name, %error, "a webhook is not believed");
            return disbelieve(&error);
        }
    };
    let mut early = false;
    for event in &told.events {
        match app.engine.hear(&account, event, &body).await {
            Ok(Heard::Early) => early = true,
            Ok(Heard::Taken | Heard::Known | Heard::Unknown) => {}
            Err(error) => return failure(&error),
        }
    }
    for event in &told.disputes {
        match app.payments.hear_dispute(&account, event).await {
            Ok(DisputeHeard::Early) => early = true,
            Ok(DisputeHeard::Taken | DisputeHeard::Known | DisputeHeard::Unknown) => {}
            Err(fault) => return not_recorded(&fault),
        }
    }
    if early {
        let message = "The answer that it is about is still awaited; tell again.";
        return refuse(StatusCode::SERVICE_UNAVAILABLE, message);
    }
    ACCEPTED.into_response()
}

/// Whatever it was: the provider is to tell again.
fn not_recorded(fault: &Fault) -> Response {
    tracing::warn!(?fault, "what a provider tells of a dispute cannot be recorded now");
    refuse(StatusCode::SERVICE_UNAVAILABLE, "It cannot be recorded now; tell again.")
}

/// The account that an address means. Names are what people type into a provider's pages.
async fn addressed(
    app: &App,
    merchant: &str,
    account: &str,
) -> Result<Option<Arc<Account>>, EngineError> {
    let id = match MerchantId::parse(merchant) {
        Ok(id) => id,
        Err(_) => match app.engine.store().merchant_by_name(merchant).await? {
            Some(row) => row.id,
            None => return Ok(None),
        },
    };
    app.engine.account(id, account).await
}

/// Header fields that are text; a signature in any other would be none.
fn readable(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    headers.iter().filter_map(text).collect()
}

fn disbelieve(error: &WebhookError) -> Response {
    let status = match error {
        WebhookError::NotSupported => StatusCode::NOT_FOUND,
        WebhookError::Malformed(_) => StatusCode::UNPROCESSABLE_ENTITY,
        WebhookError::NoSecret | WebhookError::BadSignature | WebhookError::TooOld => {
            StatusCode::UNAUTHORIZED
        }
    };
    refuse(status, &sentence(error))
}

fn refuse(status: StatusCode, message: &str) -> Response {
    validation(status, &FieldError::new("", message))
}
