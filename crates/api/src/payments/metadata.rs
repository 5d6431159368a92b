//! A payment's metadata, also after it was paid.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde_json::{Value, json};

use super::PaymentsRoute;
use super::auth::{Asker, Who};
use super::body::Body;
use super::error::Refusal;
use super::shape::request;
use crate::App;

pub(crate) fn routes() -> Vec<PaymentsRoute> {
    let path = "/payments/{payment_id}/update_metadata";
    vec![PaymentsRoute::new("POST", path, Who::Merchant, update)]
}

request!(
    /// What is added to a payment's metadata.
    MetadataRequest {} kept {
        metadata, feature_metadata,
    }
);

async fn update(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    Body(mut request): Body<MetadataRequest>,
) -> Result<Json<Value>, Refusal> {
    let merchant = asker.merchant()?;
    let given = request.kept()?;
    match given.get("metadata") {
        Some(Value::Object(_)) => {}
        Some(_) => return Err(Refusal::json("metadata: expected an object")),
        None => return Err(Refusal::missing("metadata")),
    }
    let seen = app.payments.update_metadata(&merchant, &id, given).await?;
    let kept = |name: &str| seen.intent.body.details.get(name).cloned().unwrap_or_default();
    Ok(Json(json!({
        "payment_id": id,
        "status": seen.status().as_str(),
        "metadata": kept("metadata"),
        "feature_metadata": kept("feature_metadata"),
    })))
}
