//! Errors in the contract's form: `{"error": {"type", "message", "code", …}}`.

use axum::response::{IntoResponse as _, Response};
use baton_engine::EngineError;
use baton_flow::Refusal as Refused;
use baton_payments::Fault;
use baton_payments::status::IntentStatus;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::codes::ErrorCode;

/// An error as it is answered.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    kind: &'static str,
    code: ErrorCode,
    message: String,
    /// The contract has another key for the type where JSON cannot be read.
    is_json: bool,
    retry_after: Option<u64>,
    /// A word of ours that says more than the contract's code: it has a page.
    reason: Option<ErrorCode>,
}

#[derive(Serialize)]
struct Body<'a> {
    error: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_type: Option<&'static str>,
    message: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl Refusal {
    fn new(
        status: StatusCode,
        kind: &'static str,
        code: ErrorCode,
        message: impl Into<String>,
    ) -> Self {
        let message = message.into();
        Self { status, kind, code, message, is_json: false, retry_after: None, reason: None }
    }

    fn invalid(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", code, message)
    }

    /// JSON that cannot be read as what it should be.
    pub(crate) fn json(message: impl Into<String>) -> Self {
        let message = format!("Json deserialize error: {}", message.into());
        Self { is_json: true, ..Self::invalid(ErrorCode::Ir06, message) }
    }

    /// A value that cannot be used.
    pub(crate) fn value(field: &str, message: impl std::fmt::Display) -> Self {
        Self::invalid(ErrorCode::Ir07, format!("Invalid value provided: {field}: {message}"))
    }

    /// A text of the contract's own for a value that cannot be used.
    pub(crate) fn said(message: &str) -> Self {
        Self::invalid(ErrorCode::Ir16, message)
    }

    /// What a provider would refuse, in the contract's form for that.
    pub(crate) fn connector(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "connector", ErrorCode::Ce01, message)
    }

    /// A field that is needed.
    pub(crate) fn missing(field: &str) -> Self {
        Self::invalid(ErrorCode::Ir04, format!("Missing required param: {field}"))
    }

    /// No key, or none that opens this.
    pub(crate) fn unauthorized() -> Self {
        let message = "API key not provided or invalid API key used";
        Self::new(StatusCode::UNAUTHORIZED, "invalid_request", ErrorCode::Ir01, message)
    }

    /// Too many requests.
    pub(crate) fn too_many(retry_after: u64) -> Self {
        let message = "Too many requests";
        let kind = "invalid_request";
        let refusal = Self::new(StatusCode::TOO_MANY_REQUESTS, kind, ErrorCode::He00, message);
        Self { retry_after: Some(retry_after), ..refusal }
    }

    fn status_of(flow: &str, field: &str, value: &str, expected: &[IntentStatus]) -> Self {
        let expected: Vec<&str> = expected.iter().map(|status| status.as_str()).collect();
        Self::invalid(
            ErrorCode::Ir14,
            format!(
                "This Payment could not be {flow} because it has a {field} of {value}. The expected \
                 state is {}",
                expected.join(", ")
            ),
        )
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        let kind = Some(refusal.kind);
        let error = Inner {
            kind: kind.filter(|_| !refusal.is_json),
            error_type: kind.filter(|_| refusal.is_json),
            message: &refusal.message,
            code: refusal.code.as_str(),
            reason: refusal.reason.map(ErrorCode::as_str),
        };
        let mut response = (refusal.status, axum::Json(Body { error })).into_response();
        if let Some(seconds) = refusal.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl axum::response::IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.into()
    }
}

/// Of the vault that keeps a saved card: each time before anything was sent to a provider.
impl Refusal {
    fn nothing_sent(connector: &str, why: &str) -> Self {
        let message = format!(
            "The connector {connector} cannot be called now ({why}); nothing was sent, and the request can be repeated"
        );
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self { retry_after: Some(2), ..Self::new(status, "api", ErrorCode::He00, message) }
    }

    fn vault_unavailable(vault: &str) -> Self {
        let message = format!(
            "The vault {vault}, which keeps the card, gave no answer; nothing was sent to a provider, and the \
             request can be repeated"
        );
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, "api", ErrorCode::He00, message);
        Self { retry_after: Some(2), reason: Some(ErrorCode::VaultUnavailable), ..refusal }
    }

    fn vault_denied(vault: &str, why: &str) -> Self {
        tracing::error!(vault, why, "a saved card cannot be had from its vault");
        let message = format!(
            "The vault {vault}, which keeps the card, does not give it to us as it is set up; nothing was sent to \
             a provider"
        );
        Self { reason: Some(ErrorCode::VaultDenied), ..Self::invalid(ErrorCode::Ir16, message) }
    }

    fn vault_card_gone(vault: &str) -> Self {
        let message = format!(
            "The vault {vault} does not have the card any more; nothing was sent to a provider"
        );
        Self { reason: Some(ErrorCode::VaultCardGone), ..Self::invalid(ErrorCode::Ir16, message) }
    }
}

/// How the contract says in its messages what was not possible.
fn done(flow: &str) -> &'static str {
    match flow {
        "update" => "updated",
        "confirm" => "confirmed",
        "capture" => "captured",
        "cancel" => "cancelled",
        "cancel_post_capture" => "cancelled after capture",
        "update_metadata" => "given other metadata",
        "refund" => "refunded",
        "incremental_authorization" => "raised",
        "session_token" => "given a session token",
        _ => "changed",
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        let not_found = |message: String| {
            Self::new(StatusCode::NOT_FOUND, "invalid_request", ErrorCode::He02, message)
        };
        match fault {
            Fault::NotFound("payment") => not_found("Payment does not exist in our records".into()),
            Fault::NotFound(what) => {
                let mut chars = what.chars();
                let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
                not_found(format!("{first}{} does not exist in our records", chars.as_str()))
            }
            Fault::Duplicate(what) => Self::invalid(
                ErrorCode::He01,
                format!("The {what} with the specified details already exists in our records"),
            ),
            Fault::Missing(field) => Self::missing(field),
            Fault::Invalid { field, message } => Self::value(field, message),
            Fault::WrongStatus { flow: "refund", status, .. } => Self::invalid(
                ErrorCode::Ir14,
                format!(
                    "This Payment could not be refund because it has a status of {}. The expected state \
                     is succeeded, partially_captured",
                    status.as_str()
                ),
            ),
            Fault::WrongStatus { flow: "confirm", status, .. } => Self::invalid(
                ErrorCode::Ir16,
                format!(
                    "You cannot confirm this payment because it has status {}",
                    status.as_str()
                ),
            ),
            Fault::WrongStatus { flow: "cancel", status, .. } => Self::invalid(
                ErrorCode::Ir16,
                format!("You cannot cancel this payment because it has status {}", status.as_str()),
            ),
            Fault::WrongStatus { flow, status, expected } => {
                Self::status_of(done(flow), "status", status.as_str(), &expected)
            }
            Fault::KeyReused => EngineError::KeyReused.into(),
            Fault::Precondition(message) => Self::invalid(ErrorCode::Ir16, message),
            Fault::CaptureTooMuch => {
                Self::invalid(ErrorCode::Ir06, "amount_to_capture is greater than amount")
            }
            Fault::RefundTooMuch => {
                Self::invalid(ErrorCode::Ir13, "The refund amount exceeds the amount captured")
            }
            Fault::ClientSecret => {
                Self::invalid(ErrorCode::Ir09, "The client_secret provided does not match")
            }
            Fault::Expired => {
                Self::invalid(ErrorCode::Ir08, "The provided client_secret has expired")
            }
            Fault::NoConnector => Self::invalid(
                ErrorCode::Ir39,
                "No eligible connector was found for the current payment",
            ),
            Fault::Busy => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "api",
                ErrorCode::He00,
                "The resource is being changed by another request; try again",
            ),
            Fault::Connector(message) => Self::invalid(ErrorCode::Ir07, message),
            Fault::VaultUnavailable { vault, .. } => Self::vault_unavailable(&vault),
            Fault::VaultDenied { vault, why } => Self::vault_denied(&vault, &why),
            Fault::VaultCardGone { vault } => Self::vault_card_gone(&vault),
            Fault::FlowNotSupported { flow, connector } => Self::invalid(
                ErrorCode::Ir20,
                format!("{flow} flow not supported by the {connector} connector"),
            ),
            Fault::NothingSent { connector, why } => Self::nothing_sent(&connector, why),
            Fault::ProviderRefused { connector, message } => {
                Self::connector(&format!("{connector} has refused it: {message}"))
            }
            Fault::Engine(error) => error.into(),
        }
    }
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        match error {
            EngineError::Unavailable | EngineError::NoAnswer => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Self { retry_after: Some(1), ..Self::new(status, "api", ErrorCode::He00, message) }
            }
            EngineError::Overtaken => Fault::Busy.into(),
            EngineError::NotFound => Fault::NotFound("payment").into(),
            EngineError::StillRunning => {
                Self::new(StatusCode::CONFLICT, "invalid_request", ErrorCode::He00, message)
            }
            EngineError::KeyReused => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid_request",
                ErrorCode::Ir24,
                message,
            ),
            EngineError::Refused(Refused::InDoubt(_)) => Self::invalid(ErrorCode::Ir16, message),
            EngineError::Refused(_)
            | EngineError::Brought(_)
            | EngineError::OtherCard
            | EngineError::NotTheWhole { .. }
            | EngineError::UnknownAccount { .. }
            | EngineError::WrongMode { .. } => Self::invalid(ErrorCode::Ir16, message),
            EngineError::Internal => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "api",
                ErrorCode::He00,
                "Something went wrong",
            ),
        }
    }
}
