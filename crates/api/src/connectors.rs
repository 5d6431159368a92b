//! `GET /admin/v1/connectors`: what this build can talk to, as the manifests say it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use baton_connect::{Claim, CredentialField, Manifest};
use baton_engine::keys::Scope;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use crate::App;
use crate::error::json;
use crate::openapi::{Doc, Tag};
use crate::route::{Access, Route};

pub(crate) fn routes() -> Vec<Route> {
    let about = "As their manifests say it; every capability with where the provider documents it.";
    vec![Route::get(
        "/admin/v1/connectors",
        Access::Key(Scope::Admin),
        list,
        Doc::new("ConnectorList", Tag::Admin, "List what this build can talk to", about)
            .gives::<Listed>(StatusCode::OK, "All connectors, in the order of their ids."),
    )]
}

/// A connector's manifest, as the admin API and the command show it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Connector")]
pub struct ConnectorView {
    id: String,
    gateway_name: String,
    display_name: String,
    description: String,
    url: String,
    /// No server and no money behind it.
    mock: bool,
    /// Where it is called unless an account says otherwise; null where each account has to.
    base_url: Option<String>,
    credentials: Vec<CredentialView>,
    /// Capabilities by name, each with where the provider documents it.
    operations: BTreeMap<&'static str, String>,
    features: BTreeMap<&'static str, String>,
    /// Null where it takes no keys.
    idempotency: Option<IdempotencyView>,
    look_up: Option<String>,
    /// Whether a payment can be had by the provider's own id; null where not.
    retrieve: Option<String>,
    /// What it can be asked about disputes.
    disputes: BTreeMap<&'static str, String>,
    cancel_by_reference: Option<String>,
    completion: Option<String>,
    webhook: Option<String>,
    /// Currencies taken; empty means all that have a minor unit.
    currencies: Vec<String>,
    /// Our decline code by the provider's.
    decline_codes: BTreeMap<String, &'static str>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ConnectorCredential")]
struct CredentialView {
    name: String,
    description: String,
    secret: bool,
    optional: bool,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ConnectorIdempotency")]
struct IdempotencyView {
    header: String,
    retention_hours: u32,
    citation: String,
}

impl From<&CredentialField> for CredentialView {
    fn from(field: &CredentialField) -> Self {
        Self {
            name: field.name.clone(),
            description: field.description.clone(),
            secret: field.secret,
            optional: field.optional,
        }
    }
}

impl From<&Manifest> for ConnectorView {
    fn from(manifest: &Manifest) -> Self {
        let cited = |claim: &Claim| claim.citation.clone();
        let operations =
            manifest.operations.iter().map(|(kind, claim)| (kind.as_str(), cited(claim)));
        let features =
            manifest.features.iter().map(|(feature, claim)| (feature.as_str(), cited(claim)));
        let disputes =
            manifest.disputes.iter().map(|(action, claim)| (action.as_str(), cited(claim)));
        let codes = manifest.declines.iter().flat_map(|table| &table.codes);
        Self {
            id: manifest.id.clone(),
            gateway_name: manifest.gateway_name.clone(),
            display_name: manifest.display_name.clone(),
            description: manifest.description.clone(),
            url: manifest.url.clone(),
            mock: manifest.mock,
            base_url: manifest.base_url.clone(),
            credentials: manifest.credentials.iter().map(CredentialView::from).collect(),
            operations: operations.collect(),
            features: features.collect(),
            idempotency: manifest.idempotency.as_ref().map(|claim| IdempotencyView {
                header: claim.header.clone(),
                retention_hours: claim.retention_hours,
                citation: claim.citation.clone(),
            }),
            look_up: manifest.look_up.as_ref().map(|claim| claim.citation.clone()),
            retrieve: manifest.retrieve.as_ref().map(cited),
            disputes: disputes.collect(),
            cancel_by_reference: manifest.cancel_by_reference.as_ref().map(|c| c.citation.clone()),
            completion: manifest.completion.as_ref().map(cited),
            webhook: manifest.webhook.as_ref().map(|claim| claim.citation.clone()),
            currencies: manifest.currencies.clone(),
            decline_codes: codes.map(|(theirs, ours)| (theirs.clone(), ours.as_str())).collect(),
        }
    }
}

/// All of this build, in the order of their ids.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ConnectorList")]
struct Listed {
    data: Vec<ConnectorView>,
}

async fn list(State(app): State<Arc<App>>) -> Response {
    let mut all = app.engine.connectors();
    all.sort_by_key(|connector| connector.manifest().id.clone());
    let data = all.iter().map(|connector| connector.manifest().into()).collect();
    json(StatusCode::OK, &Listed { data })
}
