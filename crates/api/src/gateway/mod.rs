//! The Gateway API: one call names one or more gateway accounts and charges, with failover.
//!
//! Handlers translate and nothing else: a body into what the engine takes, the engine's answer into an
//! `OperationResult`.

mod ask;
mod doc;
mod request;
mod result;
mod shape;
mod stored;

use std::sync::Arc;

use aws_lc_rs::digest;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use baton_engine::keys::Scope;
use baton_engine::{AccountFault, Answered, BroughtFault, Caller, EngineError, Idempotency};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;

use crate::App;
use crate::accounts::{self, FieldNames};
use crate::body::{Json, JsonBody};
use crate::error::{json, validation};
use crate::fields::{FieldError, Fields, HOLDS_CARD_NUMBER, sentence};
use crate::pan::holds_card_number;
use crate::route::{Access, Route};
use request::{AccountsForm, Changing, Making};
use result::{OperationResult, OperationType};

/// What a request calls the parts of credentials that come with it.
const INLINE_FIELDS: FieldNames = FieldNames {
    gateway: "paymentGatewayAccount.paymentGatewayName",
    credentials: "paymentGatewayAccount.credentials",
    base_url: request::INLINE,
    certificate: request::CERTIFICATE,
    foreign: request::INLINE,
};

/// The header of an idempotency key.
pub(crate) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// Longest idempotency key, in characters.
const KEY_MAX: usize = 255;

pub(crate) fn routes() -> Vec<Route> {
    let access = Access::Key(Scope::Gateway);
    let run = |operation: Operation| {
        move |State(app): State<Arc<App>>,
              Extension(caller): Extension<Caller>,
              headers: HeaderMap,
              JsonBody(body): JsonBody| async move {
            operate(&app, caller, headers, body, operation).await
        }
    };
    let make = |making| run(Operation::Make(making));
    let change = |changing| run(Operation::Change(changing));
    let mut routes = vec![
        Route::post("/PaymentGateway/charge", access, make(Making::Charge), doc::charge()),
        Route::post("/PaymentGateway/authorize", access, make(Making::Authorize), doc::authorize()),
        Route::post("/PaymentGateway/tokenize", access, make(Making::Tokenize), doc::tokenize()),
        Route::put("/PaymentGateway/capture", access, change(Changing::Capture), doc::capture()),
        Route::put("/PaymentGateway/refund", access, change(Changing::Refund), doc::refund()),
        Route::delete("/PaymentGateway/void", access, change(Changing::Void), doc::void()),
        Route::post("/PaymentGateway/status", access, run(Operation::Status), doc::status()),
    ];
    routes.extend(ask::routes());
    routes
}

#[derive(Clone, Copy)]
enum Operation {
    Make(Making),
    Change(Changing),
    Status,
}

impl Operation {
    fn answers(self) -> OperationType {
        match self {
            Self::Make(Making::Charge) => OperationType::Charge,
            Self::Make(Making::Authorize) => OperationType::PreAuth,
            Self::Make(Making::Tokenize) => OperationType::Tokenize,
            Self::Change(Changing::Capture) => OperationType::Capture,
            Self::Change(Changing::Void) => OperationType::Void,
            Self::Change(Changing::Refund) => OperationType::Refund,
            Self::Status => OperationType::Status,
        }
    }
}

/// Why a request got no answer from the engine.
enum Fault {
    Field(FieldError),
    /// Credentials that came with the request.
    Inline(AccountFault),
    Engine(EngineError, Option<AccountsForm>),
}

impl From<FieldError> for Fault {
    fn from(error: FieldError) -> Self {
        Self::Field(error)
    }
}

impl From<AccountFault> for Fault {
    fn from(fault: AccountFault) -> Self {
        Self::Inline(fault)
    }
}

impl From<EngineError> for Fault {
    fn from(error: EngineError) -> Self {
        Self::Engine(error, None)
    }
}

async fn operate(
    app: &App,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
    operation: Operation,
) -> Response {
    match answer(app, headers, body, operation, caller).await {
        Ok(answered) => {
            let now = app.engine.clock().now();
            let result = match operation {
                Operation::Status => OperationResult::of_status(&answered, now),
                Operation::Make(_) | Operation::Change(_) => OperationResult::of(&answered, now),
            };
            let mut response = render(&result);
            if answered.replayed {
                let replayed = HeaderValue::from_static("true");
                response.headers_mut().insert("idempotent-replayed", replayed);
            }
            response
        }
        Err(fault) => explain(&fault, operation),
    }
}

async fn answer(
    app: &App,
    headers: HeaderMap,
    body: Bytes,
    operation: Operation,
    caller: Caller,
) -> Result<Answered, Fault> {
    let read = || Fields::of_body(Json::parse(&body).map_err(FieldError::from)?);
    let mut fields = read()?;
    let engine = &app.engine;
    match operation {
        Operation::Make(making) => {
            let now = engine.clock().now();
            let mut gone = None;
            if stored::normalise(&mut fields)? {
                let mut rehearsed = read()?;
                stored::normalise(&mut rehearsed)?;
                stored::stand_in(&mut rehearsed)?;
                let rehearsed = request::make(rehearsed, making, now)?;
                rehearsed.inline.map(|given| engine.inline(caller, given)).transpose()?;
                gone = stored::fill(engine, caller, &mut fields).await?;
            }
            let mut request = match (request::make(fields, making, now), gone.take()) {
                (Ok(request), missing) => {
                    gone = missing;
                    request
                }
                (Err(_), Some(missing)) => return Err(missing.into()),
                (Err(error), None) => return Err(error.into()),
            };
            let key = idempotency(&headers, operation, &request.asked())?;
            if let Some(missing) = gone {
                let Some(key) = key else { return Err(missing.into()) };
                return engine.repeated(caller, key).await?.ok_or_else(|| missing.into());
            }
            let inline = request.inline.map(|given| engine.inline(caller, given)).transpose()?;
            request.purchase.brought.inline = inline;
            // Both are slices of what the connection has read. A payment may be in flight for long, and the
            // connection can use its memory meanwhile.
            drop((headers, body));
            let answered = engine.purchase(caller, request.purchase, key).await;
            answered.map_err(|error| Fault::Engine(error, Some(request.form)))
        }
        Operation::Change(changing) => {
            if stored::normalise(&mut fields)? {
                stored::fill_number(engine, caller, &mut fields).await?;
            }
            let mut request = request::change(fields, changing)?;
            let inline = request.inline.take();
            let inline = inline.map(|given| engine.inline(caller, given)).transpose()?;
            request.target.brought.inline = inline;
            let key = idempotency(&headers, operation, &request.asked())?;
            let (target, amount) = (&request.target, request.amount);
            Ok(match changing {
                Changing::Capture => engine.capture(caller, target, amount, key).await?,
                Changing::Void => engine.void(caller, target, amount, key).await?,
                Changing::Refund => engine.refund(caller, target, amount, key).await?,
            })
        }
        Operation::Status => {
            let (target, inline) = request::status(fields)?;
            inline.map(|given| engine.inline(caller, given)).transpose()?;
            Ok(engine.status(caller, &target).await?)
        }
    }
}

/// The client's idempotency key, or what is wrong with it.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, String> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = value.to_str().unwrap_or_default().trim();
    if key.is_empty() || key.len() > KEY_MAX {
        return Err(format!("It must be 1 to {KEY_MAX} visible characters."));
    }
    if holds_card_number(key) { Err(HOLDS_CARD_NUMBER.to_owned()) } else { Ok(Some(key)) }
}

/// The client's idempotency key with a fingerprint of what it stands for.
///
/// Two requests are the same if they ask for the same, however they are written. What is hashed is what
/// was understood, never the body: a body may hold a CVV or a card number in a place that nobody reads,
/// and neither may be kept, not even as a hash (PCI DSS 3.3.1, 3.5.1). Every node computes the same
/// fingerprint without a shared secret.
fn idempotency(
    headers: &HeaderMap,
    operation: Operation,
    asked: &impl Serialize,
) -> Result<Option<Idempotency>, Fault> {
    let key = idempotency_key(headers);
    let Some(key) = key.map_err(|message| FieldError::new(IDEMPOTENCY_KEY, message))? else {
        return Ok(None);
    };
    let text = serde_json::to_vec(&(operation.answers(), asked));
    let text = text.map_err(|_| EngineError::Internal)?;
    let hash = digest::digest(&digest::SHA256, &text);
    Ok(Some(Idempotency { key: key.to_owned(), fingerprint: hash.as_ref().to_vec() }))
}

fn render(result: &OperationResult) -> Response {
    tracing::info!(
        payment = result.transaction().map(tracing::field::display),
        result = ?result.code(),
        "operation"
    );
    let mut response = json(result.status(), result);
    if let Some(seconds) = result.retry_after_s {
        response.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn brought_field(fault: &BroughtFault, form: &AccountsForm) -> String {
    match fault {
        BroughtFault::CredentialsNeeded | BroughtFault::OtherGateway => request::INLINE.to_owned(),
        BroughtFault::OtherCertificate => request::CERTIFICATE.to_owned(),
        BroughtFault::UnknownCertificate { index }
        | BroughtFault::EndedCertificate { index, .. } => form.certificate_path(*index),
    }
}

fn explain(fault: &Fault, operation: Operation) -> Response {
    let (error, form) = match fault {
        Fault::Field(error) => return validation(StatusCode::BAD_REQUEST, error),
        Fault::Inline(fault) => return accounts::explain(fault, &INLINE_FIELDS),
        Fault::Engine(error, form) => (error, form.as_ref().unwrap_or(&AccountsForm::Single)),
    };
    let wrong = |status, field: &str| validation(status, &FieldError::new(field, sentence(error)));
    match error {
        EngineError::UnknownAccount { index } | EngineError::WrongMode { index, .. } => {
            wrong(StatusCode::BAD_REQUEST, &form.path(*index))
        }
        EngineError::OtherCard => wrong(StatusCode::BAD_REQUEST, "card.cardNumber"),
        EngineError::Brought(fault) => wrong(StatusCode::BAD_REQUEST, &brought_field(fault, form)),
        EngineError::NotTheWhole { .. } => wrong(StatusCode::BAD_REQUEST, "amount"),
        EngineError::KeyReused => wrong(StatusCode::UNPROCESSABLE_ENTITY, IDEMPOTENCY_KEY),
        EngineError::NotFound
        | EngineError::NoAnswer
        | EngineError::Refused(_)
        | EngineError::StillRunning
        | EngineError::Overtaken
        | EngineError::Unavailable
        | EngineError::Internal => render(&OperationResult::refused(operation.answers(), error)),
    }
}
