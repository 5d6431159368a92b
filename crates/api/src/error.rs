//! Bodies of errors in the Gateway API's form.

use axum::response::{IntoResponse as _, Response};
use baton_engine::EngineError;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use crate::fields::{FieldError, sentence};

/// What is wrong with a request: one field, one error.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ValidationErrorMessage<'a> {
    /// The dotted path of the field; null for the body as a whole.
    field_name: Option<&'a str>,
    /// What is wrong, in a sentence. Never repeats the value.
    errors: [&'a str; 1],
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    (status, axum::Json(body)).into_response()
}

/// The body of an error about no field in particular, for whoever has to answer without the routes.
#[must_use]
pub fn error_body(message: &str) -> String {
    let body = ValidationErrorMessage { field_name: None, errors: [message] };
    serde_json::to_string(&body).unwrap_or_default()
}

/// What is wrong with which field.
pub(crate) fn validation(status: StatusCode, error: &FieldError) -> Response {
    let field_name = Some(error.field.as_str()).filter(|field| !field.is_empty());
    json(status, &ValidationErrorMessage { field_name, errors: [error.message.as_str()] })
}

/// Why something that is no payment's operation could not be done: the fault is ours, not the request's.
pub(crate) fn failure(error: &EngineError) -> Response {
    let status = match error {
        EngineError::Unavailable | EngineError::NoAnswer => StatusCode::SERVICE_UNAVAILABLE,
        EngineError::UnknownAccount { .. }
        | EngineError::WrongMode { .. }
        | EngineError::NotFound
        | EngineError::OtherCard
        | EngineError::NotTheWhole { .. }
        | EngineError::Brought(_)
        | EngineError::Refused(_)
        | EngineError::KeyReused
        | EngineError::StillRunning
        | EngineError::Overtaken
        | EngineError::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    };
    validation(status, &FieldError::new("", sentence(error)))
}
