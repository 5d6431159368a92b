//! One route: its method, its path, who may use it, what it says of itself, and its handler.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use baton_engine::keys::Scope;

use crate::App;
use crate::auth::require;
use crate::openapi::Doc;

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone who reaches the server.
    Public,
    /// Whoever has a key with this scope.
    Key(Scope),
}

/// A route. There is no way to serve one without saying who may use it and what it does.
pub struct Route {
    /// The method, as it is sent.
    pub method: &'static str,
    /// The path; `{name}` stands for one segment.
    pub path: &'static str,
    /// Who may use it.
    pub access: Access,
    pub(crate) doc: Doc,
    handler: MethodRouter<Arc<App>>,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({:?})", self.method, self.path, self.access)
    }
}

impl Route {
    pub(crate) fn get<H: Handler<T, Arc<App>>, T: 'static>(
        path: &'static str,
        access: Access,
        handler: H,
        doc: Doc,
    ) -> Self {
        Self { method: "GET", path, access, doc, handler: on(MethodFilter::GET, handler) }
    }

    pub(crate) fn post<H: Handler<T, Arc<App>>, T: 'static>(
        path: &'static str,
        access: Access,
        handler: H,
        doc: Doc,
    ) -> Self {
        Self { method: "POST", path, access, doc, handler: on(MethodFilter::POST, handler) }
    }

    pub(crate) fn put<H: Handler<T, Arc<App>>, T: 'static>(
        path: &'static str,
        access: Access,
        handler: H,
        doc: Doc,
    ) -> Self {
        Self { method: "PUT", path, access, doc, handler: on(MethodFilter::PUT, handler) }
    }

    pub(crate) fn delete<H: Handler<T, Arc<App>>, T: 'static>(
        path: &'static str,
        access: Access,
        handler: H,
        doc: Doc,
    ) -> Self {
        Self { method: "DELETE", path, access, doc, handler: on(MethodFilter::DELETE, handler) }
    }

    /// Takes bodies of up to this many bytes, other than most routes.
    pub(crate) fn body_max(mut self, bytes: usize) -> Self {
        self.handler = self.handler.layer(DefaultBodyLimit::max(bytes));
        self
    }

    pub(crate) fn add_to(self, router: Router<Arc<App>>, app: &Arc<App>) -> Router<Arc<App>> {
        let handler = match self.access {
            Access::Public => self.handler,
            Access::Key(scope) => {
                self.handler.route_layer(from_fn_with_state((Arc::clone(app), scope), require))
            }
        };
        router.route(self.path, handler)
    }
}
