//! The family's OpenAPI description. `docs/openapi-payments.json` is its golden file.
//!
//! What is read is described by the very types that read it; what is answered, by the tables of [`answers`].
//! A route that nothing here describes, and an answer that does not fit, fail the tests.

pub(crate) mod answers;
mod attempts;
mod disputes;
mod filters;
mod form;
mod hooks;
mod operations;
mod profiles;

use http::StatusCode;
use schemars::SchemaGenerator;
use serde_json::{Value, json};

use super::auth::Who;
use super::{PaymentsRoute, routes};
use crate::openapi::{Answer, Content, Description, Doc, Operation, Param, Tag, types};

const INTRODUCTION: &str = "\
A payment is made, confirmed, captured, cancelled and given back in requests of their own; a payer's browser \
takes part with a publishable key and the payment's `client_secret`. JSON in and out. Amounts are whole minor \
units, unknown fields are refused, and what is null is written.

A decline is an answer with status 200, and so is a payment whose outcome is not known yet: look at `status`.";

const IDEMPOTENCY: &str = "Makes it safe to send the request again: a repeat with the same key and the same \
                           content moves nothing, and is answered with how the object stands.";

/// Headers that more than one answer has: name, type and meaning.
#[rustfmt::skip]
const HEADERS: [(&str, &str, &str); 6] = [
    ("X-Request-Id", "string", "The request's id, which every line about it in the server's log carries."),
    ("Server-Timing", "string", "How long the request took, and how much of that was spent waiting for providers."),
    ("Retry-After", "integer", "Seconds after which it is worth trying again."),
    ("RateLimit-Limit", "integer", "Requests in a full budget. On every answer to a request with a key."),
    ("RateLimit-Remaining", "integer", "How many of them are left."),
    ("RateLimit-Reset", "integer", "Seconds until the budget is full again."),
];

types::described!(
    /// A value that is kept and shown again as it came.
    Kept,
    schemars::json_schema!({ "description": "Kept, and shown again as it was sent." })
);

/// Errors that any route with a key can answer: name, status and meaning.
#[rustfmt::skip]
const FAILURES: [(&str, StatusCode, &str); 10] = [
    ("BadRequest", StatusCode::BAD_REQUEST, "Something in the request is wrong, or the object does not allow it; nothing was done."),
    ("Unauthorized", StatusCode::UNAUTHORIZED, "The key is missing, wrong, ended, or opens something else."),
    ("NotFound", StatusCode::NOT_FOUND, "There is no such object of yours."),
    ("TooSlow", StatusCode::REQUEST_TIMEOUT, "The body took too long."),
    ("Conflict", StatusCode::CONFLICT, "An earlier request with the same key is still running."),
    ("TooLarge", StatusCode::PAYLOAD_TOO_LARGE, "The body is too large."),
    ("Unprocessable", StatusCode::UNPROCESSABLE_ENTITY, "The key was used with another content, or the object is being changed: try again."),
    ("TooManyRequests", StatusCode::TOO_MANY_REQUESTS, "Too many requests with the key, or without a valid one from the address."),
    ("InternalError", StatusCode::INTERNAL_SERVER_ERROR, "An error of the server's."),
    ("Unavailable", StatusCode::SERVICE_UNAVAILABLE, "The database or the vault cannot be reached; try again."),
];

/// Whether the failure can come from a route.
fn fits(status: StatusCode, route: &PaymentsRoute, doc: &Doc) -> bool {
    match status {
        _ if route.who == Who::Payer => false,
        StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE => doc.body.is_some(),
        StatusCode::CONFLICT => doc.idempotent,
        StatusCode::UNPROCESSABLE_ENTITY => route.method != "GET",
        _ => true,
    }
}

/// The description as text, with the final newline.
pub(crate) fn text() -> String {
    // A value whose keys are strings can always be written.
    let mut text = serde_json::to_string_pretty(&document()).unwrap_or_default();
    text.push('\n');
    text
}

fn document() -> Value {
    let known = routes();
    let described: Vec<(&PaymentsRoute, Doc)> = known
        .iter()
        .filter_map(|route| {
            let mut doc = operations::doc(route.method, route.path)?;
            doc.path = parameters(route.path);
            Some((route, doc))
        })
        .collect();
    let operations = described.iter().map(|(route, doc)| {
        let (note, has_key) = match route.who {
            Who::Operator => ("Needs the operator's key.", true),
            Who::OperatorOrMerchant => ("Needs the merchant's key, or the operator's.", true),
            Who::Merchant => ("Needs the merchant's key.", true),
            Who::MerchantOrBrowser => (
                "Needs the merchant's key, or a browser's with the payment's `client_secret`.",
                true,
            ),
            Who::Payer => ("Public: what the path holds is the proof.", false),
        };
        let common = FAILURES.iter().filter(|(_, status, _)| fits(*status, route, doc));
        Operation {
            method: route.method,
            path: route.path,
            doc,
            note: note.to_owned(),
            security: if has_key { json!([{ "api-key": [] }]) } else { json!([]) },
            common: common.map(|(name, status, _)| (status.as_u16(), *name)).collect(),
            replays: false,
        }
    });
    let failure = |generator: &mut SchemaGenerator| generator.subschema_for::<answers::Failure>();
    let common = FAILURES.map(|(name, status, meaning)| {
        let (content, headers) = (Content::Json(failure), Vec::new());
        (name, Answer { status: status.as_u16(), meaning, content, headers })
    });
    Description {
        title: "Baton: the Payments API",
        introduction: INTRODUCTION,
        tags: &Tag::OF_PAYMENTS,
        headers: &HEADERS,
        common: common.into(),
        idempotency: IDEMPOTENCY,
        keys: &["api-key"],
    }
    .of(operations)
}

/// The parameters that a path names.
fn parameters(path: &'static str) -> Vec<Param> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| Param::of::<String>(name, meaning(name))).collect()
}

fn meaning(parameter: &str) -> &'static str {
    match parameter {
        "merchant_id" => "The merchant account.",
        "payment_id" => "The payment.",
        "refund_id" => "The refund.",
        "dispute_id" => "The dispute.",
        "customer_id" => "The customer.",
        "payment_method_id" => "The saved method.",
        "mandate_id" => "The mandate.",
        "connector_id" => "The connector account.",
        "profile_id" => "The profile.",
        "organization_id" => "The organisation.",
        "key_id" => "The key.",
        "event_id" => "The event.",
        "token" => "What only this payer's browser was shown.",
        _ => "As an earlier answer has it.",
    }
}
