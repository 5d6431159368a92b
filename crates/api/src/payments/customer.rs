//! Customers.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::{Asker, Who};
use super::body::{MaybeBody, Params};
use super::error::Refusal;
use super::shape::{check_id, request};
use super::{PaymentsRoute, view};
use crate::App;

pub(crate) fn routes() -> Vec<PaymentsRoute> {
    let who = Who::Merchant;
    vec![
        PaymentsRoute::new("POST", "/customers", who, create),
        PaymentsRoute::new("GET", "/customers/list", who, list),
        PaymentsRoute::new("GET", "/customers/{customer_id}", who, show),
        PaymentsRoute::new("POST", "/customers/{customer_id}", who, update),
        PaymentsRoute::new("DELETE", "/customers/{customer_id}", who, remove),
    ]
}

request!(
    /// A customer.
    CustomerRequest {
        customer_id: Option<String>,
    } kept {
        name, email, phone, phone_country_code, description, address, metadata, tax_registration_id,
    }
);

type Answer = Result<Json<Value>, Refusal>;

async fn create(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    MaybeBody(mut request): MaybeBody<CustomerRequest>,
) -> Answer {
    let id = request.customer_id.take();
    if let Some(id) = &id {
        check_id("customer_id", id)?;
    }
    let fields = request.kept()?;
    let made = app.payments.create_customer(&asker.merchant()?, id, fields).await?;
    Ok(Json(view::customer(&made)))
}

#[derive(Deserialize)]
struct Page {
    limit: Option<u32>,
}

async fn list(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Params(page): Params<Page>,
) -> Answer {
    let limit = page.limit.unwrap_or(100).clamp(1, 1000);
    let known = app.payments.customers(&asker.merchant()?, limit).await?;
    Ok(Json(known.iter().map(view::customer).collect()))
}

async fn show(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
) -> Answer {
    Ok(Json(view::customer(&app.payments.customer(&asker.merchant()?, &id).await?)))
}

async fn update(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    MaybeBody(mut request): MaybeBody<CustomerRequest>,
) -> Answer {
    let fields = request.kept()?;
    let changed = app.payments.update_customer(&asker.merchant()?, &id, fields).await?;
    Ok(Json(view::customer(&changed)))
}

async fn remove(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
) -> Answer {
    let deleted = app.payments.delete_customer(&asker.merchant()?, &id).await?;
    Ok(Json(json!({
        "customer_id": id,
        "customer_deleted": deleted.customer,
        "address_deleted": deleted.address,
        "payment_methods_deleted": deleted.payment_methods,
    })))
}
