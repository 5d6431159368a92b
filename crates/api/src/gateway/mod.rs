//! The Gateway API: one call names one or more gateway accounts and charges, with failover.
//!
//! Handlers translate and nothing else: a body into what the engine takes, the engine's answer into an
//! `OperationResult`.

mod request;
mod result;

use std::sync::Arc;

use aws_lc_rs::digest;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, post, put};
use baton_engine::keys::Scope;
use baton_engine::{Answered, Caller, EngineError, Idempotency};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::auth::authenticate;
use crate::body::{Hide, Json, JsonBody};
use crate::error::{json, validation};
use crate::fields::{FieldError, Fields};
use crate::{App, respond};
use request::{AccountsForm, Changing, Making};
use result::{OperationResult, OperationType};

/// Longest idempotency key, in characters.
const KEY_MAX: usize = 255;

pub(crate) fn routes() -> Router<Arc<App>> {
    let make = |making: Making| {
        post(move |State(app): State<Arc<App>>, headers: HeaderMap, body: JsonBody| async move {
            operate(&app, &headers, &body.0, Operation::Make(making)).await
        })
    };
    let change = |changing: Changing| {
        move |State(app): State<Arc<App>>, headers: HeaderMap, body: JsonBody| async move {
            operate(&app, &headers, &body.0, Operation::Change(changing)).await
        }
    };
    Router::new()
        .route("/PaymentGateway/charge", make(Making::Charge))
        .route("/PaymentGateway/authorize", make(Making::Authorize))
        .route("/PaymentGateway/tokenize", make(Making::Tokenize))
        .route("/PaymentGateway/capture", put(change(Changing::Capture)))
        .route("/PaymentGateway/refund", put(change(Changing::Refund)))
        .route("/PaymentGateway/void", delete(change(Changing::Void)))
        .route(
            "/PaymentGateway/status",
            post(|State(app): State<Arc<App>>, headers: HeaderMap, body: JsonBody| async move {
                operate(&app, &headers, &body.0, Operation::Status).await
            }),
        )
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
    Engine(EngineError, Option<AccountsForm>),
}

impl From<FieldError> for Fault {
    fn from(error: FieldError) -> Self {
        Self::Field(error)
    }
}

impl From<EngineError> for Fault {
    fn from(error: EngineError) -> Self {
        Self::Engine(error, None)
    }
}

async fn operate(app: &App, headers: &HeaderMap, body: &[u8], operation: Operation) -> Response {
    let caller = match authenticate(app, headers, Scope::Gateway).await {
        Ok(key) => Caller { merchant: key.merchant, sandbox: key.sandbox },
        Err(response) => return response,
    };
    let now = app.engine.clock().now();
    match answer(app, headers, body, operation, caller).await {
        Ok(answered) => {
            let result = match operation {
                Operation::Status => OperationResult::of_status(&answered, now),
                Operation::Make(_) | Operation::Change(_) => OperationResult::of(&answered, now),
            };
            let mut response = render(&result);
            if answered.replayed {
                let replayed = HeaderValue::from_static("true");
                response.headers_mut().insert("idempotent-replayed", replayed);
            }
            respond::set_provider_time(&mut response, answered.provider);
            response
        }
        Err(fault) => explain(&fault, operation),
    }
}

async fn answer(
    app: &App,
    headers: &HeaderMap,
    body: &[u8],
    operation: Operation,
    caller: Caller,
) -> Result<Answered, Fault> {
    let json = Json::parse(body).map_err(FieldError::from)?;
    let engine = &app.engine;
    match operation {
        Operation::Make(making) => {
            let key = idempotency(headers, operation, &json)?;
            let now = engine.clock().now();
            let request = request::make(Fields::of_body(json)?, making, now)?;
            let answered = engine.purchase(caller, request.purchase, key).await;
            answered.map_err(|error| Fault::Engine(error, Some(request.form)))
        }
        Operation::Change(changing) => {
            let key = idempotency(headers, operation, &json)?;
            let request = request::change(Fields::of_body(json)?, changing)?;
            let (target, amount) = (&request.target, request.amount);
            Ok(match changing {
                Changing::Capture => engine.capture(caller, target, amount, key).await?,
                Changing::Void => engine.void(caller, target, amount, key).await?,
                Changing::Refund => engine.refund(caller, target, amount, key).await?,
            })
        }
        Operation::Status => {
            let target = request::status(Fields::of_body(json)?)?;
            Ok(engine.status(caller, &target).await?)
        }
    }
}

/// The client's idempotency key with a fingerprint of what it stands for.
///
/// The body enters without CVVs, and card numbers as their first six and last four digits: the hash then
/// says nothing that is not stored anyway, and every node computes the same one without a shared secret.
fn idempotency(
    headers: &HeaderMap,
    operation: Operation,
    body: &Json,
) -> Result<Option<Idempotency>, FieldError> {
    const HEADER: &str = "Idempotency-Key";
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let wrong =
        || FieldError::new(HEADER, format!("It must be 1 to {KEY_MAX} visible characters."));
    let key = value.to_str().map_err(|_| wrong())?.trim();
    if key.is_empty() || key.len() > KEY_MAX {
        return Err(wrong());
    }
    let mut canonical = String::from(operation.answers().as_str());
    body.canonical(&mut canonical, &|name, value| match (name, value) {
        ("cvv", _) => Hide::Leave,
        ("cardnumber", Json::Text(number)) => Hide::Instead(truncated(number)),
        _ => Hide::Show,
    });
    let canonical = zeroize::Zeroizing::new(canonical);
    let hash = digest::digest(&digest::SHA256, canonical.as_bytes());
    Ok(Some(Idempotency { key: key.to_owned(), fingerprint: hash.as_ref().to_vec() }))
}

/// The first six and last four digits of a card number, as may be stored.
fn truncated(number: &str) -> String {
    let digits: Vec<char> = number.chars().filter(char::is_ascii_digit).collect();
    let last = digits.len().saturating_sub(4).max(6);
    digits.iter().take(6).chain(digits.iter().skip(last)).collect()
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

fn explain(fault: &Fault, operation: Operation) -> Response {
    let (error, form) = match fault {
        Fault::Field(error) => return validation(StatusCode::BAD_REQUEST, error),
        Fault::Engine(error, form) => (error, form),
    };
    let bad = |field: String| {
        validation(StatusCode::BAD_REQUEST, &FieldError::new(field, format!("{error}.")))
    };
    match error {
        EngineError::UnknownAccount { index } | EngineError::WrongMode { index, .. } => {
            bad(form.as_ref().unwrap_or(&AccountsForm::Single).path(*index))
        }
        EngineError::OtherCard => bad("card.cardNumber".to_owned()),
        EngineError::NotTheWhole { .. } => bad("amount".to_owned()),
        EngineError::KeyReused => {
            let error = FieldError::new("Idempotency-Key", format!("{error}."));
            validation(StatusCode::UNPROCESSABLE_ENTITY, &error)
        }
        EngineError::NotFound
        | EngineError::Refused(_)
        | EngineError::StillRunning
        | EngineError::Unavailable
        | EngineError::Internal => {
            render(&OperationResult::refused(operation.answers(), error)).into_response()
        }
    }
}
