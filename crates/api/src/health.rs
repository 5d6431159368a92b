//! Whether the server lives, and whether it can do its work.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

use crate::App;
use crate::error::json;
use crate::openapi::{Doc, Tag};
use crate::route::{Access, Route};

/// The media type of the metrics.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/health",
            Access::Public,
            || async { "health is good" },
            Doc::new("Health", Tag::Server, "Whether the process lives", "Looks at nothing else.")
                .text(StatusCode::OK, "It lives.", "text/plain"),
        ),
        Route::get(
            "/health/ready",
            Access::Public,
            ready,
            Doc::new(
                "Ready",
                Tag::Server,
                "Whether the server can work",
                "Ready when the database answers and the server is not shutting down.",
            )
            .gives::<Readiness>(StatusCode::OK, "It can.")
            .gives::<Readiness>(StatusCode::SERVICE_UNAVAILABLE, "It cannot."),
        ),
        Route::get(
            "/metrics",
            Access::Public,
            metrics,
            Doc::new("Metrics", Tag::Server, "Figures for monitoring", "In OpenMetrics form.")
                .text(StatusCode::OK, "The figures.", "application/openmetrics-text"),
        ),
    ]
}

/// Whether the server can work, and why not.
#[derive(Serialize, JsonSchema)]
struct Readiness {
    status: ReadyWord,
    /// The server's version.
    version: &'static str,
    checks: Checks,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ReadyWord {
    Ready,
    NotReady,
    Stopping,
}

#[derive(Serialize, JsonSchema)]
struct Checks {
    /// The database.
    store: Check,
}

#[derive(Serialize, JsonSchema)]
struct Check {
    ok: bool,
    latency_us: u64,
}

/// Ready when the database answers and the server is not shutting down.
async fn ready(State(app): State<Arc<App>>) -> Response {
    let started = Instant::now();
    let store = app.engine.store().ping().await;
    let took_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    let word = if app.is_stopping() {
        ReadyWord::Stopping
    } else if store.is_ok() {
        ReadyWord::Ready
    } else {
        ReadyWord::NotReady
    };
    let ready = word == ReadyWord::Ready;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let store = Check { ok: store.is_ok(), latency_us: took_us };
    let version = env!("CARGO_PKG_VERSION");
    json(status, &Readiness { status: word, version, checks: Checks { store } })
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    app.metrics.look(&app.engine).await;
    (
        [(header::CONTENT_TYPE, OPENMETRICS)],
        app.metrics.page(&app.engine, app.payments.hook_counts()),
    )
        .into_response()
}
