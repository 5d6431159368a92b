//! The Payments API: intents, refunds, customers, connectors and accounts, for servers and browsers.
//!
//! Handlers translate and nothing else: a body into what the service takes, its answer into the contract's
//! form. The family has its own errors, its own keys and its own description; it shares limits, request ids
//! and metrics with the Gateway API. Unknown fields are refused here, and amounts are whole minor units.

mod account;
mod attempts;
mod auth;
mod back;
mod body;
mod connector;
mod customer;
pub(crate) mod describe;
mod dispute;
mod error;
mod hook;
mod intent;
mod key;
mod lists;
mod metadata;
mod method;
mod organization;
mod profile;
mod recurring;
mod redirect;
mod refund;
mod shape;
mod three_ds;
mod vault;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};

use crate::App;
pub(crate) use auth::Who;
pub use hook::ContractForm;
pub(crate) use hook::EVENT_KINDS;

/// A route of the Payments API.
#[derive(Debug)]
pub struct PaymentsRoute {
    /// The method, as it is sent.
    pub method: &'static str,
    /// The path; `{name}` stands for one segment.
    pub path: &'static str,
    /// Who may use it.
    pub who: Who,
    handler: MethodRouter<Arc<App>>,
}

impl PaymentsRoute {
    fn new<H: Handler<T, Arc<App>>, T: 'static>(
        method: &'static str,
        path: &'static str,
        who: Who,
        handler: H,
    ) -> Self {
        let filter = match method {
            "GET" => MethodFilter::GET,
            "DELETE" => MethodFilter::DELETE,
            "PUT" => MethodFilter::PUT,
            _ => MethodFilter::POST,
        };
        Self { method, path, who, handler: on(filter, handler) }
    }
}

/// Every route of the Payments API.
#[must_use]
pub fn routes() -> Vec<PaymentsRoute> {
    let groups = [
        account::routes(),
        back::routes(),
        key::routes(),
        lists::routes(),
        connector::routes(),
        customer::routes(),
        dispute::routes(),
        hook::routes(),
        intent::routes(),
        metadata::routes(),
        method::routes(),
        organization::routes(),
        profile::routes(),
        refund::routes(),
    ];
    groups.into_iter().flatten().collect()
}

pub(crate) fn add_to(router: Router<Arc<App>>, app: &Arc<App>) -> Router<Arc<App>> {
    routes().into_iter().fold(router, |router, route| {
        let state = (Arc::clone(app), route.who);
        let handler = if route.who == Who::Payer {
            route.handler.route_layer(from_fn_with_state(Arc::clone(app), auth::no_guessing))
        } else {
            route.handler.route_layer(from_fn_with_state(state, auth::require))
        };
        router.route(route.path, handler)
    })
}
