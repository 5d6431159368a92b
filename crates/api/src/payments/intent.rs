//! Payments: make, change, confirm, look, list, capture, cancel.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use baton_payments::{Merchant, NewIntent, Payments, Seen};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::auth::{AccountId, Asker, Who};
use super::body::{Body, ClientKey, Hidden, MaybeBody, Params};
use super::dispute::with_disputes;
use super::error::Refusal;
use super::shape::{PaymentsRequest, check_id, check_text, currency, payable, positive};
use super::vault::with_status;
use super::{PaymentsRoute, attempts, view};
use crate::App;

pub(crate) fn routes() -> Vec<PaymentsRoute> {
    let (post, get) = ("POST", "GET");
    let own = Who::Merchant;
    let any = Who::MerchantOrBrowser;
    vec![
        PaymentsRoute::new(post, "/payments", own, create),
        PaymentsRoute::new(get, "/payments/{payment_id}", any, show),
        PaymentsRoute::new(post, "/payments/{payment_id}", any, update),
        PaymentsRoute::new(post, "/payments/{payment_id}/confirm", any, confirm),
        PaymentsRoute::new(post, "/payments/{payment_id}/capture", own, capture),
        PaymentsRoute::new(
            post,
            "/payments/{payment_id}/incremental_authorization",
            own,
            incremental_authorization,
        ),
        PaymentsRoute::new(post, "/payments/{payment_id}/cancel", own, cancel),
        PaymentsRoute::new(
            post,
            "/payments/{payment_id}/cancel_post_capture",
            own,
            cancel_post_capture,
        ),
    ]
}

type Answer = Result<Json<Value>, Refusal>;

/// What an answer needs besides the payment.
pub(crate) struct Frame {
    account: AccountId,
    payments: Payments,
}

impl Frame {
    pub(crate) fn of(app: &App, asker: &Asker) -> Result<Self, Refusal> {
        let (_, account) = asker.account()?;
        Ok(Self { account: Arc::clone(account), payments: app.payments.clone() })
    }

    /// A payment in the contract's form.
    pub(crate) fn payment(&self, seen: &Seen) -> Value {
        view::payment(seen, &self.account, self.payments.bins())
    }
}

/// Lets a browser pass with the secret of this very payment only.
async fn admit(
    app: &App,
    asker: &Asker,
    id: &str,
    secret: Option<&str>,
) -> Result<Merchant, Refusal> {
    let merchant = asker.merchant()?;
    if let Asker::Browser(..) = asker {
        let seen = app.payments.see(&merchant, id).await?;
        app.payments.check_client(&seen.intent.body, secret)?;
    }
    Ok(merchant)
}

/// The same, for a request that changes the payment: a browser may not say what only a server may.
async fn admit_to_change(
    app: &App,
    asker: &Asker,
    id: &str,
    request: &mut PaymentsRequest,
) -> Result<Merchant, Refusal> {
    let secret = request.client_secret.take();
    let merchant = admit(app, asker, id, secret.as_ref().map(Hidden::expose)).await?;
    if let Asker::Browser(..) = asker {
        request.check_browser()?;
    }
    Ok(merchant)
}

async fn create(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    ClientKey(key): ClientKey,
    Body(mut request): Body<PaymentsRequest>,
) -> Answer {
    let merchant = asker.merchant()?;
    let frame = Frame::of(&app, &asker)?;
    let amount = payable(request.amount)?.ok_or_else(|| Refusal::missing("amount"))?;
    let code = request.currency.as_deref().ok_or_else(|| Refusal::missing("currency"))?;
    let currency = currency(code)?;
    let id = request.payment_id.take();
    if let Some(id) = &id {
        check_id("payment_id", id)?;
    }
    let profile = request.profile_id.take();
    let confirm = request.confirm.unwrap_or(false);
    let change = request.change(app.engine.clock().now())?;
    let new = NewIntent { id, profile, amount, currency, change };
    let seen = app.payments.create(&merchant, new, confirm, key.as_deref()).await?;
    Ok(Json(with_status(&app, &merchant, &seen, frame.payment(&seen)).await))
}

async fn update(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    ClientKey(key): ClientKey,
    Body(mut request): Body<PaymentsRequest>,
) -> Answer {
    let merchant = admit_to_change(&app, &asker, &id, &mut request).await?;
    let frame = Frame::of(&app, &asker)?;
    let confirm = request.confirm.unwrap_or(false);
    let change = request.change(app.engine.clock().now())?;
    let seen = if confirm {
        app.payments.confirm(&merchant, &id, change, key.as_deref()).await?
    } else {
        app.payments.update(&merchant, &id, change).await?
    };
    Ok(Json(with_status(&app, &merchant, &seen, frame.payment(&seen)).await))
}

async fn confirm(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    ClientKey(key): ClientKey,
    MaybeBody(mut request): MaybeBody<PaymentsRequest>,
) -> Answer {
    let merchant = admit_to_change(&app, &asker, &id, &mut request).await?;
    let frame = Frame::of(&app, &asker)?;
    let change = request.change(app.engine.clock().now())?;
    let seen = app.payments.confirm(&merchant, &id, change, key.as_deref()).await?;
    Ok(Json(with_status(&app, &merchant, &seen, frame.payment(&seen)).await))
}

#[derive(Deserialize)]
struct Look {
    #[serde(default)]
    force_sync: bool,
    #[serde(default)]
    expand_attempts: bool,
    #[serde(default)]
    expand_captures: bool,
    client_secret: Option<String>,
}

async fn show(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    Params(look): Params<Look>,
) -> Answer {
    let merchant = admit(&app, &asker, &id, look.client_secret.as_deref()).await?;
    let frame = Frame::of(&app, &asker)?;
    let seen = app.payments.retrieve(&merchant, &id, look.force_sync).await?;
    let shown = with_status(&app, &merchant, &seen, frame.payment(&seen)).await;
    let mut shown = with_disputes(&app, &merchant, &seen, shown).await?;
    if let Value::Object(map) = &mut shown {
        if look.expand_attempts {
            let tries = app.payments.tries(&merchant, &seen).await?;
            map.insert("attempts".to_owned(), attempts::all(&seen, &tries));
        }
        if look.expand_captures {
            map.insert("captures".to_owned(), attempts::captures(&seen));
        }
    }
    Ok(Json(shown))
}

/// What is to be captured.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaptureRequest {
    #[serde(default)]
    amount_to_capture: Option<i64>,
    #[serde(default, rename = "statement_descriptor_name")]
    _name: Option<Value>,
    #[serde(default, rename = "statement_descriptor_suffix")]
    _suffix: Option<Value>,
    #[serde(default, rename = "statement_descriptor_prefix")]
    _prefix: Option<Value>,
    #[serde(default, rename = "refund_uncaptured_amount")]
    _refund: Option<Value>,
}

async fn capture(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    ClientKey(key): ClientKey,
    MaybeBody(request): MaybeBody<CaptureRequest>,
) -> Answer {
    let merchant = asker.merchant()?;
    let frame = Frame::of(&app, &asker)?;
    let amount = positive("amount_to_capture", request.amount_to_capture)?;
    let seen = app.payments.capture(&merchant, &id, amount, key.as_deref()).await?;
    Ok(Json(frame.payment(&seen)))
}

/// What an authorization is raised to.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IncrementRequest {
    amount: Option<i64>,
    #[serde(default)]
    reason: Option<String>,
}

async fn incremental_authorization(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    ClientKey(key): ClientKey,
    Body(request): Body<IncrementRequest>,
) -> Answer {
    let merchant = asker.merchant()?;
    let frame = Frame::of(&app, &asker)?;
    request.reason.as_deref().map_or(Ok(()), |reason| check_text("reason", reason))?;
    let Some(amount) = positive("amount", request.amount)? else {
        app.payments.see(&merchant, &id).await?;
        return Err(Refusal::missing("amount"));
    };
    let seen = app.payments.increment(&merchant, &id, amount, key.as_deref()).await?;
    Ok(Json(frame.payment(&seen)))
}

/// Why a payment is given up.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancelRequest {
    #[serde(default)]
    cancellation_reason: Option<String>,
}

async fn cancel(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    ClientKey(key): ClientKey,
    MaybeBody(request): MaybeBody<CancelRequest>,
) -> Answer {
    let merchant = asker.merchant()?;
    let frame = Frame::of(&app, &asker)?;
    let reason = checked(request)?;
    let seen = app.payments.cancel(&merchant, &id, reason, key.as_deref()).await?;
    Ok(Json(frame.payment(&seen)))
}

async fn cancel_post_capture(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    ClientKey(key): ClientKey,
    MaybeBody(request): MaybeBody<CancelRequest>,
) -> Answer {
    let merchant = asker.merchant()?;
    let frame = Frame::of(&app, &asker)?;
    let reason = checked(request)?;
    let key = key.as_deref();
    let seen = app.payments.cancel_post_capture(&merchant, &id, reason, key).await?;
    Ok(Json(frame.payment(&seen)))
}

fn checked(request: CancelRequest) -> Result<Option<String>, Refusal> {
    if let Some(reason) = &request.cancellation_reason {
        check_text("cancellation_reason", reason)?;
    }
    Ok(request.cancellation_reason)
}
