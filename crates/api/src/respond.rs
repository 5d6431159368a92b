//! What every answer carries: a request id, timing, and a line in the log.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use baton_engine::{audit, measure_waits};
use baton_types::RequestId;
use http::{HeaderValue, Method};
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::App;

const REQUEST_ID: &str = "x-request-id";

/// Gives the request its id, which every line about it carries down to the provider call, and answers
/// with it; measures, logs and counts.
pub(crate) async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id: RequestId = baton_engine::new_id(app.engine.clock());
    let id = id.to_string();
    let method = word(request.method());
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("unknown", MatchedPath::as_str).to_owned();
    // At the highest level, so that a log of warnings only has the id on its lines too.
    let span = tracing::error_span!("request", request_id = %id);
    let work = next.run(request).instrument(span.clone());
    let work = audit::in_request(Some(id.clone()), work);
    let (mut response, provider) = measure_waits(work).await;
    let took = started.elapsed();
    let added = took.saturating_sub(provider);
    app.metrics.request(&route, method, response.status().as_u16(), took, added);
    span.in_scope(|| {
        tracing::info!(
            method,
            route,
            status = response.status().as_u16(),
            took_us = micros(took),
            added_us = micros(added),
            "answered"
        );
    });
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    let timing = format!("total;dur={}, provider;dur={}", millis(took), millis(provider));
    if let Ok(value) = HeaderValue::from_str(&timing) {
        headers.insert("server-timing", value);
    }
    response
}

/// A method for labels and logs. Any token is a method, and a client can make up as many as it likes.
fn word(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Milliseconds with three places, as `Server-Timing` has them.
fn millis(duration: Duration) -> String {
    let micros = micros(duration);
    format!("{}.{:03}", micros / 1000, micros % 1000)
}
