//! HTTP: both API families, the admin API, health and metrics. Handlers translate, nothing else.
//!
//! Only this crate knows status codes and JSON names. Every route is in [`routes`] with the scope that its
//! key needs; the key is checked before anything of the body is read. Absent here: what a request means
//! (`baton-engine`), listening and TLS (the application).

mod accounts;
mod admin;
mod admin_accounts;
mod audit;
mod auth;
mod behalf;
mod body;
mod certificates;
mod codes;
mod connectors;
mod doubts;
mod error;
mod fields;
mod gateway;
mod health;
mod hook_metrics;
mod incidents;
mod limits;
mod metrics;
mod openapi;
mod pan;
mod payments;
mod query;
mod respond;
mod route;
mod tokens;
mod told;
mod webhooks;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use baton_engine::Engine;
use baton_engine::keys::Keyring;
use baton_payments::Payments;
use baton_types::Secret;
use http::StatusCode;

pub use admin::KeyView;
pub use audit::EntryView;
pub use codes::{ErrorCode, explain};
pub use connectors::ConnectorView;
pub use doubts::{CallView, ChapterView, DoubtList, DoubtView, EvidenceView, doubt_cursor};
pub use error::error_body;
pub use incidents::{IncidentList, IncidentView, NoteView, incident_cursor};
pub use limits::{Limits, RATE_MAX};
pub use metrics::EdgeMetrics;
pub use payments::{ContractForm, PaymentsRoute, routes as payments_routes};
pub use route::{Access, Route};
pub use told::{ReplayedView, WebhookList, WebhookShown, WebhookView, behind, webhook_cursor};

/// Largest body of a request, in bytes.
const BODY_MAX: usize = 64 * 1024;

/// What the handlers share.
pub struct App {
    engine: Engine,
    payments: Payments,
    keyring: Keyring,
    limiter: limits::Limiter,
    metrics: metrics::HttpMetrics,
    admin_key: Option<Secret>,
    stopping: AtomicBool,
}

impl App {
    /// Puts the parts together; without an admin key, only keys with the admin scope administrate.
    #[must_use]
    pub fn new(payments: Payments, admin_key: Option<Secret>, limits: Limits) -> Arc<Self> {
        let engine = payments.engine().clone();
        let metrics = metrics::HttpMetrics::new(&engine);
        let stopping = AtomicBool::new(false);
        let limiter = limits::Limiter::new(limits);
        let keyring = Keyring::default();
        Arc::new(Self { engine, payments, keyring, limiter, metrics, admin_key, stopping })
    }

    /// From now on `/health/ready` says no, so that a load balancer sends nothing more.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Where whoever listens counts connections; part of what `/metrics` shows.
    #[must_use]
    pub fn edge(&self) -> EdgeMetrics {
        self.metrics.edge.clone()
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// Every route of the server.
#[must_use]
pub fn routes() -> Vec<Route> {
    let groups = [
        gateway::routes(),
        accounts::routes(),
        admin::routes(),
        audit::routes(),
        admin_accounts::routes(),
        certificates::routes(),
        doubts::routes(),
        incidents::routes(),
        told::routes(),
        connectors::routes(),
        tokens::routes(),
        webhooks::routes(),
        health::routes(),
        openapi::routes(),
    ];
    groups.into_iter().flatten().collect()
}

/// The OpenAPI description of every route, as it is served.
#[must_use]
pub fn description() -> String {
    openapi::text(&routes())
}

/// The OpenAPI description of the Payments API, as it is served.
#[must_use]
pub fn payments_description() -> String {
    payments::describe::text()
}

/// The server's routes as a service.
pub fn router(app: Arc<App>) -> Router {
    openapi::prepare();
    let add = |router: Router<Arc<App>>, route: Route| route.add_to(router, &app);
    let gateway = routes().into_iter().fold(Router::new(), add);
    payments::add_to(gateway, &app)
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(&app), respond::observe))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(app)
}

async fn unknown_route() -> Response {
    let error = fields::FieldError::new("", "There is no such route.");
    error::validation(StatusCode::NOT_FOUND, &error)
}

async fn wrong_method() -> Response {
    let error = fields::FieldError::new("", "The route does not take this method.");
    error::validation(StatusCode::METHOD_NOT_ALLOWED, &error)
}
