//! Whether the server lives, and whether it can do its work.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use serde_json::json;
use tokio::time::Instant;

use crate::App;
use crate::error::json;
use crate::route::{Access, Route};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/health", Access::Public, || async { "health is good" }),
        Route::get("/health/ready", Access::Public, ready),
        Route::get("/metrics", Access::Public, metrics),
    ]
}

/// Ready when the database answers and the server is not shutting down.
async fn ready(State(app): State<Arc<App>>) -> Response {
    let started = Instant::now();
    let store = app.engine.store().ping().await;
    let took_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    let stopping = app.is_stopping();
    let ready = store.is_ok() && !stopping;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "status": if ready { "ready" } else if stopping { "stopping" } else { "not_ready" },
        "version": env!("CARGO_PKG_VERSION"),
        "checks": { "store": { "ok": store.is_ok(), "latency_us": took_us } },
    });
    json(status, &body)
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let form = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, form)], app.metrics.page(&app.engine)).into_response()
}
