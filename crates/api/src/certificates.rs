//! Client certificates for providers that ask who we are: put, show, list, remove.
//!
//! The operator's business, as their keys are: the contract has them uploaded in a portal. A key goes in and
//! never comes out.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use baton_engine::keys::Scope;
use baton_engine::{Caller, CertificateFault, CertificateView, EngineError};
use baton_types::Secret;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use crate::App;
use crate::behalf::{Fault, MERCHANT, SANDBOX, plainly, refuse};
use crate::body::{Json, JsonBody};
use crate::error::{ValidationErrorMessage, failure, json, validation};
use crate::fields::{FieldError, Fields, HOLDS_CARD_NUMBER, sentence};
use crate::openapi::{Doc, Draft, Param, Tag, types};
use crate::pan::holds_card_number;
use crate::query::Pairs;
use crate::route::{Access, Route};

/// Longest chain or key, in characters.
const PEM_MAX: usize = 32_768;

/// What is said of a name that no certificate can have.
const NO_NAME: &str = "A certificate's name is 1 to 128 letters, digits, -, _ and dots.";

const NAME: Param = Param::of::<CertificateName>("name", "The certificate's name.");

types::described!(
    /// The name of a client certificate.
    CertificateName,
    schemars::json_schema!({
        "type": "string", "pattern": "^[A-Za-z0-9_.-]{1,128}$", "description": "What accounts and requests call it.",
    })
);

pub(crate) fn routes() -> Vec<Route> {
    let access = Access::Key(Scope::Admin);
    let doc = |id, summary, about| -> Draft {
        Doc::new(id, Tag::Admin, summary, about).query(SANDBOX).query(MERCHANT)
    };
    let failing = |doc: Doc| {
        doc.gives::<ValidationErrorMessage<'_>>(
            StatusCode::SERVICE_UNAVAILABLE,
            "The database or the vault cannot be reached.",
        )
    };
    let in_use = "An account shows it.";
    vec![
        Route::get(
            "/admin/v1/certificates",
            access,
            list,
            failing(
                doc("CertificateList", "List client certificates", "By name, without chains and keys.")
                    .gives::<CertificateList>(StatusCode::OK, "The certificates."),
            ),
        ),
        Route::put(
            "/admin/v1/certificates/{name}",
            access,
            put,
            failing(
                doc(
                    "CertificatePut",
                    "Put a client certificate",
                    "In place of the one that had the name; whatever names it shows the new one from then on.",
                )
                .path(NAME)
                .takes::<CertificateRequest>(include_str!("certificate_example.json"))
                .gives::<CertificateShown>(StatusCode::OK, "The certificate."),
            ),
        ),
        Route::get(
            "/admin/v1/certificates/{name}",
            access,
            show,
            failing(
                doc("CertificateShow", "Look at a client certificate", "Without chain and key.")
                    .path(NAME)
                    .gives::<CertificateShown>(StatusCode::OK, "The certificate.")
                    .empty(StatusCode::NOT_FOUND, "There is no such certificate."),
            ),
        ),
        Route::delete(
            "/admin/v1/certificates/{name}",
            access,
            remove,
            failing(
                doc("CertificateRemove", "Remove a client certificate", "For good.")
                    .path(NAME)
                    .empty(StatusCode::NO_CONTENT, "It is removed.")
                    .empty(StatusCode::NOT_FOUND, "There is no such certificate.")
                    .gives::<ValidationErrorMessage<'_>>(StatusCode::CONFLICT, in_use),
            ),
        ),
    ]
}

/// A certificate with its key.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes what `read_pair` reads")]
struct CertificateRequest {
    /// The chain in PEM form, the certificate itself first.
    #[schemars(length(min = 1, max = PEM_MAX))]
    certificate: String,
    /// Its private key in PEM form, without a password.
    #[schemars(length(min = 1, max = PEM_MAX))]
    key: String,
}

#[derive(Serialize, JsonSchema)]
struct CertificateList {
    data: Vec<CertificateShown>,
}

/// A client certificate: never its key.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ClientCertificate")]
struct CertificateShown {
    #[schemars(with = "CertificateName")]
    name: String,
    /// SHA-256 of the certificate, in hexadecimal.
    fingerprint: String,
    #[schemars(with = "types::Time")]
    not_before: String,
    #[schemars(with = "types::Time")]
    not_after: String,
    #[schemars(with = "types::Time")]
    created_at: String,
    #[schemars(with = "types::Time")]
    updated_at: String,
}

impl From<CertificateView> for CertificateShown {
    fn from(view: CertificateView) -> Self {
        Self {
            name: view.name,
            fingerprint: view.fingerprint,
            not_before: view.not_before.to_rfc3339(),
            not_after: view.not_after.to_rfc3339(),
            created_at: view.created_at.to_rfc3339(),
            updated_at: view.updated_at.to_rfc3339(),
        }
    }
}

fn explain(fault: &CertificateFault) -> Response {
    let say = |status, field: &str| validation(status, &FieldError::new(field, sentence(fault)));
    match fault {
        CertificateFault::Pair(error) => {
            use baton_engine::IdentityError as E;
            let of_key = matches!(error, E::NoKey | E::EncryptedKey | E::BadKey | E::KeyMismatch);
            say(StatusCode::BAD_REQUEST, if of_key { "key" } else { "certificate" })
        }
        CertificateFault::InUse(_) => say(StatusCode::CONFLICT, "name"),
        CertificateFault::Engine(EngineError::NotFound) => StatusCode::NOT_FOUND.into_response(),
        CertificateFault::Engine(error) => failure(error),
    }
}

/// The caller whom a request about a certificate means.
async fn named(app: &App, caller: Caller, name: &str, query: Pairs) -> Result<Caller, Fault> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if !(1..=128).contains(&name.len()) || !name.bytes().all(plain) {
        return Err(FieldError::new("name", NO_NAME).into());
    }
    if holds_card_number(name) {
        return Err(FieldError::new("name", HOLDS_CARD_NUMBER).into());
    }
    plainly(app, caller, query).await
}

async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    query: Pairs,
) -> Response {
    let caller = match plainly(&app, caller, query).await {
        Ok(caller) => caller,
        Err(fault) => return refuse(&fault),
    };
    match app.engine.certificates(caller).await {
        Ok(views) => {
            let data = views.into_iter().map(CertificateShown::from).collect();
            json(StatusCode::OK, &CertificateList { data })
        }
        Err(error) => failure(&error),
    }
}

async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    query: Pairs,
) -> Response {
    let caller = match named(&app, caller, &name, query).await {
        Ok(caller) => caller,
        Err(fault) => return refuse(&fault),
    };
    match app.engine.certificate(caller, &name).await {
        Ok(view) => json(StatusCode::OK, &CertificateShown::from(view)),
        Err(error) => explain(&error.into()),
    }
}

async fn put(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    query: Pairs,
    JsonBody(body): JsonBody,
) -> Response {
    let caller = match named(&app, caller, &name, query).await {
        Ok(caller) => caller,
        Err(fault) => return refuse(&fault),
    };
    let (chain, key) = match read_pair(&body) {
        Ok(pair) => pair,
        Err(error) => return validation(StatusCode::BAD_REQUEST, &error),
    };
    match app.engine.put_certificate(caller, &name, &chain, &key).await {
        Ok(view) => json(StatusCode::OK, &CertificateShown::from(view)),
        Err(fault) => explain(&fault),
    }
}

async fn remove(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    query: Pairs,
) -> Response {
    let caller = match named(&app, caller, &name, query).await {
        Ok(caller) => caller,
        Err(fault) => return refuse(&fault),
    };
    match app.engine.remove_certificate(caller, &name).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(fault) => explain(&fault),
    }
}

fn read_pair(body: &[u8]) -> Result<(Secret, Secret), FieldError> {
    let mut fields = Fields::of_body(Json::parse(body)?)?;
    let mut pem = |name| -> Result<Secret, FieldError> {
        Ok(Secret::new(fields.required_text(name, PEM_MAX)?.as_str().to_owned()))
    };
    Ok((pem("certificate")?, pem("key")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::asked::assert_described;

    #[test]
    fn what_is_described_is_what_is_read() {
        assert_described::<CertificateRequest>(|| {
            assert!(read_pair(include_bytes!("certificate_example.json")).is_ok());
        });
    }
}
