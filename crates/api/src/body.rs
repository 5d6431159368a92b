//! A request's body as JSON, read strictly where money is concerned and leniently where names are.
//!
//! Property names bind without regard to case; two names that are the same then are an error. Numbers
//! stay text, so that none ever passes through a float. Strings are wiped when dropped: they may be card
//! numbers.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::error::validation;
use crate::fields::FieldError;

/// How deep a body may be nested. The contract needs four.
const DEPTH_MAX: usize = 16;

/// A JSON value. Objects have lower-case names, each with the spelling that came.
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// A number as it was written.
    Number(String),
    Text(Zeroizing<String>),
    Array(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

/// The bytes of a request's body; one that is too large is answered in the API's own form.
pub(crate) struct JsonBody(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        Bytes::from_request(request, state).await.map(Self).map_err(|rejection| {
            let (status, message) = match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => {
                    (StatusCode::PAYLOAD_TOO_LARGE, "The body is too large.")
                }
                _ if timed_out(&rejection) => {
                    (StatusCode::REQUEST_TIMEOUT, "The body took too long.")
                }
                status => (status, "The body could not be read."),
            };
            validation(status, &FieldError::new("", message))
        })
    }
}

/// Whether the connection gave up waiting for the body.
fn timed_out(rejection: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(rejection), |error| error.source());
    causes.any(|error| {
        let error = error.downcast_ref::<std::io::Error>();
        error.is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut)
    })
}

/// What is wrong with a body, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BodyError {
    /// The dotted path, if the fault has one.
    pub(crate) path: Option<String>,
    pub(crate) message: String,
}

impl BodyError {
    fn new(path: &str, message: impl Into<String>) -> Self {
        Self { path: (!path.is_empty()).then(|| path.to_owned()), message: message.into() }
    }
}

impl Json {
    /// Reads a whole body.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, BodyError> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(BodyError::new("", "The body is empty."));
        }
        let raw: &RawValue = serde_json::from_slice(bytes).map_err(|error| {
            // serde_json's own text may quote the input, which may be a card number.
            let (line, column) = (error.line(), error.column());
            BodyError::new("", format!("The body is not JSON (line {line}, column {column})."))
        })?;
        read(raw, "", 0)
    }

    /// What the value is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

fn read(raw: &RawValue, path: &str, depth: usize) -> Result<Json, BodyError> {
    if depth > DEPTH_MAX {
        return Err(BodyError::new(path, "The body is nested too deeply."));
    }
    let text = raw.get();
    let broken = |_| BodyError::new(path, "The value cannot be read.");
    Ok(match text.as_bytes().first() {
        Some(b'n') => Json::Null,
        Some(b't') => Json::Bool(true),
        Some(b'f') => Json::Bool(false),
        Some(b'"') => Json::Text(Zeroizing::new(serde_json::from_str(text).map_err(broken)?)),
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(broken)?;
            let each = items.into_iter().enumerate();
            Json::Array(
                each.map(|(i, item)| read(item, &format!("{path}[{i}]"), depth.saturating_add(1)))
                    .collect::<Result<_, _>>()?,
            )
        }
        Some(b'{') => {
            let Members(members) = serde_json::from_str(text).map_err(broken)?;
            let mut object = BTreeMap::new();
            for (name, value) in members {
                let at = join(path, &name);
                let folded = name.to_lowercase();
                let value = read(value, &at, depth.saturating_add(1))?;
                if object.insert(folded, value).is_some() {
                    return Err(BodyError::new(
                        &at,
                        "The property is there more than once; names are the same without regard \
                         to case.",
                    ));
                }
            }
            Json::Object(object)
        }
        _ => Json::Number(text.to_owned()),
    })
}

/// A dotted path. Names that are not plain are not repeated: they may be anything.
fn join(path: &str, name: &str) -> String {
    let plain = name.len() <= 64 && name.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
    let name = if plain { name } else { "?" };
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// An object's members in order, repeated names included.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        match Json::parse(text.as_bytes()) {
            Ok(_) => "ok".to_owned(),
            Err(BodyError { path, message }) => format!("{} {message}", path.unwrap_or_default()),
        }
    }

    #[test]
    fn a_body_that_cannot_be_trusted_is_refused_with_its_place() {
        let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
        let rows = [
            (r#"{"amount": 10.23, "Card": {"CVV": "123"}}"#, "ok"),
            ("", "is empty"),
            (" \n", "is empty"),
            ("{", "not JSON"),
            (r#"{"a": 1,}"#, "not JSON"),
            (r#"{"a": NaN}"#, "not JSON"),
            ("{} trailing", "not JSON"),
            (r#"{"amount": 1, "Amount": 2}"#, "Amount The property is there more than once"),
            (r#"{"card": {"cvv": "1", "CVV": "2"}}"#, "card.CVV The property"),
            (r#"{"list": [{"x": 1, "x": 1}]}"#, "list[0].x The property"),
            (deep.as_str(), "nested too deeply"),
        ];
        for (text, want) in rows {
            let got = error(text);
            assert!(got.contains(want), "{text}: {got}");
        }
        let got = error(r#"{"4111111111111111": 1, "4111111111111111": 1}"#);
        assert!(!got.contains("4111"), "{got}");
    }

    #[test]
    fn numbers_stay_as_they_were_written() {
        let Ok(Json::Object(body)) = Json::parse(br#"{"AMOUNT": 10.2300000000000000001}"#) else {
            panic!("an object")
        };
        let Some(Json::Number(text)) = body.get("amount") else { panic!("a number") };
        assert_eq!(text, "10.2300000000000000001");
    }
}
