//! Organisations, and which merchant accounts are in one.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use baton_payments::{Organization, Stored};
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::{Asker, Who};
use super::body::{Body, Params};
use super::error::Refusal;
use super::shape::{check_text, hide_secrets, request};
use super::{PaymentsRoute, view};
use crate::App;

pub(crate) fn routes() -> Vec<PaymentsRoute> {
    let one = "/organization/{organization_id}";
    vec![
        PaymentsRoute::new("POST", "/organization", Who::Operator, create),
        PaymentsRoute::new("GET", one, Who::Operator, show),
        PaymentsRoute::new("PUT", one, Who::Operator, update),
        PaymentsRoute::new("GET", "/accounts/list", Who::Operator, accounts),
    ]
}

request!(
    /// An organisation, or what is to be changed about it.
    OrganizationRequest {
        organization_name: Option<String>,
        platform_merchant_id: Option<String>,
    } kept {
        organization_details, metadata,
    }
);

type Answer = Result<Json<Value>, Refusal>;

impl OrganizationRequest {
    fn name(&mut self) -> Result<Option<String>, Refusal> {
        let name = self.organization_name.take();
        if let Some(name) = &name {
            check_text("organization_name", name)?;
        }
        Ok(name)
    }
}

fn view(stored: &Stored<Organization>) -> Value {
    let body = &stored.body;
    json!({
        "organization_id": body.id,
        "organization_name": body.name,
        "organization_details": body.details.get("organization_details"),
        "metadata": body.details.get("metadata"),
        "modified_at": view::time(stored.updated_at),
        "created_at": view::time(stored.created_at),
        "organization_type": "standard",
    })
}

async fn create(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Body(mut request): Body<OrganizationRequest>,
) -> Answer {
    let name = request.name()?.ok_or_else(|| Refusal::missing("organization_name"))?;
    let mut details = request.kept()?;
    hide_secrets(&mut details);
    let made = app.payments.create_organization(asker.actor(), name, details).await?;
    Ok(Json(view(&made)))
}

async fn show(State(app): State<Arc<App>>, Path(id): Path<String>) -> Answer {
    Ok(Json(view(&app.payments.organization(&id).await?)))
}

async fn update(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    Body(mut request): Body<OrganizationRequest>,
) -> Answer {
    let name = request.name()?;
    let mut details = request.kept()?;
    hide_secrets(&mut details);
    let changed = app.payments.update_organization(asker.actor(), &id, name, details).await?;
    Ok(Json(view(&changed)))
}

#[derive(Deserialize)]
struct Of {
    organization_id: Option<String>,
}

async fn accounts(State(app): State<Arc<App>>, Params(of): Params<Of>) -> Answer {
    let id = of.organization_id.ok_or_else(|| Refusal::missing("organization_id"))?;
    app.payments.organization(&id).await?;
    let accounts = app.payments.accounts_of(&id).await?;
    Ok(Json(accounts.iter().map(view::account).collect()))
}
