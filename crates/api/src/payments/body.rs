//! A request's body as one of the family's types. Unknown fields are refused by the types themselves.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use http::request::Parts;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _};
use zeroize::Zeroizing;

use super::error::Refusal;
use crate::gateway::{IDEMPOTENCY_KEY, idempotency_key};

/// A body that has been read.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|rejection| Refusal::json(rejection.to_string()))?;
        read(&bytes).map(Self)
    }
}

/// As [`Body`], for routes where it may be left out.
pub(crate) struct MaybeBody<T>(pub(crate) T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for MaybeBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|rejection| Refusal::json(rejection.to_string()))?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self(T::default()));
        }
        read(&bytes).map(Self)
    }
}

/// What a query holds. Numbers and times that cannot be read are named; unknown parameters are passed over.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => Err(Refusal::value("query", without_digits(&rejection.body_text()))),
        }
    }
}

/// The client's `Idempotency-Key`, if it sent one.
pub(crate) struct ClientKey(pub(crate) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for ClientKey {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let key = idempotency_key(&parts.headers);
        let key = key.map_err(|message| Refusal::value(IDEMPOTENCY_KEY, message))?;
        Ok(Self(key.map(str::to_owned)))
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|error| Refusal::json(without_digits(&error.to_string())))
}

/// A message that repeats nothing that could be a card number.
pub(super) fn without_digits(message: &str) -> String {
    let mut told = String::with_capacity(message.len());
    let mut run = String::new();
    for letter in message.chars().chain(['\n']) {
        if letter.is_ascii_digit() || (!run.is_empty() && matches!(letter, ' ' | '-')) {
            run.push(letter);
            continue;
        }
        let digits = run.chars().filter(char::is_ascii_digit).count();
        told.push_str(if digits >= 6 { "…" } else { &run });
        run.clear();
        if letter != '\n' {
            told.push(letter);
        }
    }
    told
}

/// A text that is wiped when dropped and shown nowhere: a card number, a CVC, a credential.
pub(crate) struct Hidden(Zeroizing<String>);

impl Hidden {
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl schemars::JsonSchema for Hidden {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Hidden".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The error of another type would repeat the value.
        let text = String::deserialize(deserializer);
        text.map(|text| Self(Zeroizing::new(text)))
            .map_err(|_| D::Error::custom("expected a string"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_repeats_no_number() {
        let rows = [
            (
                "invalid type: string \"4111 1111 1111 1111\", expected i64",
                "invalid type: string \"…\", expected i64",
            ),
            (
                "unknown field `a`, expected `b` at line 1 column 12",
                "unknown field `a`, expected `b` at line 1 column 12",
            ),
            ("x 4111-1111-1111-1111", "x …"),
        ];
        for (message, want) in rows {
            assert_eq!(without_digits(message), want);
        }
    }
}
