//! Refunds.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use baton_payments::NewRefund;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::auth::{Asker, Who};
use super::body::{Body, ClientKey, MaybeBody};
use super::error::Refusal;
use super::shape::{check_id, check_text, positive, request};
use super::{PaymentsRoute, view};
use crate::App;

pub(crate) fn routes() -> Vec<PaymentsRoute> {
    let who = Who::Merchant;
    vec![
        PaymentsRoute::new("POST", "/refunds", who, create),
        PaymentsRoute::new("GET", "/refunds/{refund_id}", who, show),
        PaymentsRoute::new("POST", "/refunds/{refund_id}", who, update),
    ]
}

request!(
    /// A refund.
    RefundRequest {
        payment_id: Option<String>,
        refund_id: Option<String>,
        amount: Option<i64>,
        reason: Option<String>,
        refund_type: Option<RefundType>,
    } kept {
        metadata, merchant_id,
    }
);

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum RefundType {
    Instant,
    Scheduled,
}

type Answer = Result<Json<Value>, Refusal>;

async fn create(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    ClientKey(key): ClientKey,
    Body(mut request): Body<RefundRequest>,
) -> Answer {
    let merchant = asker.merchant()?;
    let intent = request.payment_id.take().ok_or_else(|| Refusal::missing("payment_id"))?;
    if let Some(id) = &request.refund_id {
        check_id("refund_id", id)?;
    }
    if let Some(reason) = &request.reason {
        check_text("reason", reason)?;
    }
    if matches!(request.refund_type, Some(RefundType::Scheduled)) {
        return Err(Refusal::value("refund_type", "only instant refunds are made here"));
    }
    let new = NewRefund {
        id: request.refund_id.take(),
        intent,
        amount: positive("amount", request.amount)?,
        reason: request.reason.take(),
        details: request.kept()?,
    };
    let seen = app.payments.refund(&merchant, new, key.as_deref()).await?;
    Ok(Json(view::refund(&seen)))
}

async fn show(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
) -> Answer {
    let merchant = asker.merchant()?;
    let seen = app.payments.find_refund(&merchant, &id).await?;
    Ok(Json(view::refund(&seen)))
}

request!(
    /// What can be changed about a refund.
    RefundChange {
        reason: Option<String>,
    } kept {
        metadata,
    }
);

async fn update(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    MaybeBody(mut request): MaybeBody<RefundChange>,
) -> Answer {
    let merchant = asker.merchant()?;
    if let Some(reason) = &request.reason {
        check_text("reason", reason)?;
    }
    let (reason, details) = (request.reason.take(), request.kept()?);
    let seen = app.payments.update_refund(&merchant, &id, reason, details).await?;
    Ok(Json(view::refund(&seen)))
}
