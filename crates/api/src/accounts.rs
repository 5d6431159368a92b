//! A merchant's accounts at gateways: put, show, list, verify, remove.
//!
//! Credentials go in and never come out: what is shown of a secret is its last four characters. Left out:
//! where an account's provider is, which only the operator may say (`/admin/v1/accounts`).

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use baton_connect::Connector;
use baton_engine::keys::Scope;
use baton_engine::{AccountFault, AccountInput, AccountView, Caller, EngineError, Place};
use baton_types::Secret;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use crate::App;
use crate::body::{Json, JsonBody};
use crate::error::{ValidationErrorMessage, failure, json, validation};
use crate::fields::{FieldError, Fields, HOLDS_CARD_NUMBER};
use crate::openapi::{Doc, Param, Tag, types};
use crate::pan::holds_card_number;
use crate::query::{Pairs, pairs, truth};
use crate::route::{Access, Route};

/// Longest value of a credential, in characters: keys in PEM form are the longest.
const VALUE_MAX: usize = 8_192;

/// Most credentials of an account.
const CREDENTIALS_MAX: usize = 32;

/// What is said of a name that no account can have.
pub(crate) const NO_ACCOUNT_NAME: &str = "An account name is 3 to 64 letters, digits, - and _.";

/// `[A-Za-z0-9_-]{3,64}`
pub(crate) fn is_account_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    (3..=64).contains(&name.len()) && name.bytes().all(plain)
}

const NAME: Param = Param::of::<types::AccountName>("name", "The account's name.");

pub(crate) const VERIFY: Param = Param::of::<bool>(
    "verify",
    "Ask the gateway first, by a call that does nothing, whether it takes the credentials.",
);

pub(crate) fn routes() -> Vec<Route> {
    let access = Access::Key(Scope::Gateway);
    let doc = |id, summary, about| Doc::new(id, Tag::PaymentGatewayAccounts, summary, about);
    let named = |id, summary, about| doc(id, summary, about).path(NAME);
    vec![
        Route::get(
            "/PaymentGatewayAccounts",
            access,
            list,
            unavailable(
                doc("AccountList", "List accounts", "Of the key's mode only, without credentials.")
                    .gives::<Vec<AccountBrief>>(StatusCode::OK, "The accounts."),
            ),
        ),
        Route::put("/PaymentGatewayAccounts/{name}", access, put, put_doc()),
        Route::get(
            "/PaymentGatewayAccounts/{name}",
            access,
            show,
            unavailable(
                named("AccountGet", "Look at an account", "Of secrets the last four characters.")
                    .gives::<AccountFull>(StatusCode::OK, "The account.")
                    .gives::<ValidationErrorMessage<'_>>(StatusCode::BAD_REQUEST, NO_ACCOUNT_NAME)
                    .empty(StatusCode::NOT_FOUND, "There is no such account."),
            ),
        ),
        Route::post(
            "/PaymentGatewayAccounts/{name}/verify",
            access,
            verify,
            verified(
                named(
                    "AccountVerify",
                    "Ask the gateway whether it takes an account's credentials",
                    "By a call that does nothing.",
                )
                .gives::<Verified>(StatusCode::OK, "The gateway's answer.")
                .gives::<ValidationErrorMessage<'_>>(StatusCode::BAD_REQUEST, NO_ACCOUNT_NAME)
                .empty(StatusCode::NOT_FOUND, "There is no such account."),
            ),
        ),
        Route::delete(
            "/PaymentGatewayAccounts/{name}",
            access,
            remove,
            unavailable(
                named(
                    "AccountDelete",
                    "Remove an account",
                    "For good. What is in doubt at its gateway can be looked up for another day.",
                )
                .empty(StatusCode::OK, "It is removed.")
                .gives::<ValidationErrorMessage<'_>>(StatusCode::BAD_REQUEST, NO_ACCOUNT_NAME)
                .empty(StatusCode::NOT_FOUND, "There is no such account.")
                .gives::<ValidationErrorMessage<'_>>(StatusCode::CONFLICT, DECLARED),
            ),
        ),
    ]
}

fn put_doc() -> Doc {
    let about = "The credentials are those that `GET /PaymentGateway` lists for the gateway. They replace \
                 all that were there, at once for this server and within 2 seconds for others.";
    let draft =
        Doc::new("AccountPut", Tag::PaymentGatewayAccounts, "Add or replace an account", about);
    verified(
        draft
            .path(NAME)
            .query(VERIFY)
            .takes::<AccountRequest>(EXAMPLE)
            .gives::<AccountFull>(StatusCode::OK, "The account as it is now."),
    )
}

const EXAMPLE: &str = r#"{
    "paymentGatewayName": "Sandbox",
    "credentials": [{"key": "ApiKey", "value": "any-key-of-the-sandbox"}]}"#;

const DECLARED: &str = "The server's configuration declares the account; it is changed there.";

fn unavailable(doc: Doc) -> Doc {
    let meaning = "The database or the vault cannot be reached.";
    doc.gives::<ValidationErrorMessage<'_>>(StatusCode::SERVICE_UNAVAILABLE, meaning)
}

/// What comes of asking the gateway.
pub(crate) fn verified(doc: Doc) -> Doc {
    doc.gives::<ValidationErrorMessage<'_>>(
        StatusCode::CONFLICT,
        "The gateway cannot be asked, or the account is declared by the server's configuration.",
    )
    .gives::<ValidationErrorMessage<'_>>(
        StatusCode::SERVICE_UNAVAILABLE,
        "The gateway gave no usable answer, or the database or the vault cannot be reached.",
    )
}

/// The contract's `PaymentGatewayAccountInputModel`.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `read_account` reads")]
struct AccountRequest {
    /// The gateway, as `GET /PaymentGateway` names it.
    #[schemars(length(min = 1, max = 64))]
    payment_gateway_name: String,
    /// All credentials that the gateway needs; none for a mock gateway.
    #[schemars(length(max = CREDENTIALS_MAX))]
    credentials: Option<Vec<CredentialInput>>,
    /// The client certificate that is shown to the gateway, if it wants one.
    #[schemars(length(max = 128))]
    certificate_name: Option<String>,
    /// Whether a `refTransId` of a payment that was made at the gateway without this server is taken over: the
    /// gateway is asked for it. False if absent.
    allow_foreign_references: Option<bool>,
}

/// A credential by its name.
#[derive(JsonSchema)]
#[schemars(rename = "Credential")]
#[expect(dead_code, reason = "describes what `read_credentials` reads")]
pub(crate) struct CredentialInput {
    /// Its name, from the gateway's `credentialsNames`.
    #[schemars(length(min = 1, max = 64))]
    key: String,
    #[schemars(length(max = VALUE_MAX))]
    value: Option<String>,
}

/// The contract's `PaymentGatewayAccountBriefOutputModel`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AccountBrief {
    #[schemars(with = "types::AccountName")]
    name: String,
    payment_gateway_name: String,
    #[schemars(with = "types::Time")]
    creation_time: String,
}

/// The contract's `PaymentGatewayAccountFullOutputModel`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AccountFull {
    #[schemars(with = "types::AccountName")]
    name: String,
    #[schemars(with = "types::Time")]
    creation_time: String,
    payment_gateway_name: String,
    credentials: Vec<ShownCredential>,
    /// Absent where the account shows none.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_name: Option<String>,
    /// Absent where they are not taken over.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    allow_foreign_references: bool,
}

/// A credential as it may be seen.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ShownCredential {
    key: String,
    /// A setting as it is; of a secret `****` and its last four characters, of a short one `****`.
    value: String,
}

#[derive(Serialize, JsonSchema)]
struct Verified {
    /// Whether the gateway takes the account's credentials.
    accepted: bool,
}

impl From<AccountView> for AccountBrief {
    fn from(view: AccountView) -> Self {
        Self {
            name: view.row.name,
            payment_gateway_name: view.row.gateway,
            creation_time: view.row.created_at.to_rfc3339(),
        }
    }
}

impl From<AccountView> for AccountFull {
    fn from(view: AccountView) -> Self {
        Self {
            credentials: shown(view.credentials),
            name: view.row.name,
            creation_time: view.row.created_at.to_rfc3339(),
            payment_gateway_name: view.row.gateway,
            certificate_name: view.certificate,
            allow_foreign_references: view.foreign_references,
        }
    }
}

pub(crate) fn shown(credentials: Vec<(String, String)>) -> Vec<ShownCredential> {
    credentials.into_iter().map(|(key, value)| ShownCredential { key, value }).collect()
}

async fn list(State(app): State<Arc<App>>, Extension(caller): Extension<Caller>) -> Response {
    match app.engine.account_views(caller).await {
        Ok(views) => {
            let list: Vec<AccountBrief> = views.into_iter().map(AccountBrief::from).collect();
            json(StatusCode::OK, &list)
        }
        Err(error) => failure(&error),
    }
}

async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Response {
    if let Err(error) = check_name(&name) {
        return validation(StatusCode::BAD_REQUEST, &error);
    }
    match app.engine.account_view(caller, &name).await {
        Ok(view) => json(StatusCode::OK, &AccountFull::from(view)),
        Err(error) => explain(&error.into(), &FIELDS),
    }
}

async fn put(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    query: Pairs,
    JsonBody(body): JsonBody,
) -> Response {
    let read = || -> Result<(bool, AccountInput), FieldError> {
        check_name(&name)?;
        Ok((read_query(query)?, read_account(&app.engine.connectors(), name, &body)?))
    };
    let (verify, input) = match read() {
        Ok(read) => read,
        Err(error) => return validation(StatusCode::BAD_REQUEST, &error),
    };
    match app.engine.put_account(caller, input, verify).await {
        Ok(view) => json(StatusCode::OK, &AccountFull::from(view)),
        Err(fault) => explain(&fault, &FIELDS),
    }
}

async fn verify(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Response {
    if let Err(error) = check_name(&name) {
        return validation(StatusCode::BAD_REQUEST, &error);
    }
    match app.engine.verify_account(caller, &name).await {
        Ok(()) => json(StatusCode::OK, &Verified { accepted: true }),
        Err(AccountFault::CredentialsRefused) => {
            json(StatusCode::OK, &Verified { accepted: false })
        }
        Err(fault) => explain(&fault, &FIELDS),
    }
}

async fn remove(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Response {
    if let Err(error) = check_name(&name) {
        return validation(StatusCode::BAD_REQUEST, &error);
    }
    match app.engine.remove_account(caller, &name).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(fault) => explain(&fault, &FIELDS),
    }
}

pub(crate) fn check_name(name: &str) -> Result<(), FieldError> {
    match is_account_name(name) {
        true if holds_card_number(name) => Err(FieldError::new("name", HOLDS_CARD_NUMBER)),
        true => Ok(()),
        false => Err(FieldError::new("name", NO_ACCOUNT_NAME)),
    }
}

/// Whether to verify.
fn read_query(query: Pairs) -> Result<bool, FieldError> {
    let mut verify = false;
    for (name, text) in pairs(query)? {
        match name.as_str() {
            "verify" => verify = truth(&name, &text)?,
            _ => return Err(FieldError::new(&name, "There is no such parameter.")),
        }
    }
    Ok(verify)
}

fn read_account(
    connectors: &[Arc<dyn Connector>],
    name: String,
    body: &[u8],
) -> Result<AccountInput, FieldError> {
    let mut fields = Fields::of_body(Json::parse(body)?)?;
    let gateway = fields.required_text("paymentGatewayName", 64)?.trim().to_owned();
    let credentials = read_credentials(connectors, &mut fields, &gateway)?;
    let certificate = fields.kept_text("certificateName", 128)?;
    let foreign_references = fields.boolean(FIELDS.foreign)?.unwrap_or_default();
    let place = Place::AsBefore;
    Ok(AccountInput { name, gateway, credentials, place, certificate, foreign_references })
}

/// Credentials as a list of names and values. What the gateway does not keep secret must not hold a card
/// number: it is stored in clear.
pub(crate) fn read_credentials(
    connectors: &[Arc<dyn Connector>],
    fields: &mut Fields,
    gateway: &str,
) -> Result<Vec<(String, Secret)>, FieldError> {
    let listed = fields.objects("credentials")?.unwrap_or_default();
    if listed.len() > CREDENTIALS_MAX {
        let message = format!("At most {CREDENTIALS_MAX} credentials can be given.");
        return Err(fields.error("credentials", message));
    }
    let connector = connectors.iter().find(|c| c.manifest().gateway_name == gateway);
    let is_open = |name: &str| {
        let mut declared = connector.iter().flat_map(|c| &c.manifest().credentials);
        declared.any(|field| field.name == name && !field.secret)
    };
    let mut credentials = Vec::with_capacity(listed.len());
    for mut listed in listed {
        let key = listed.required_text("key", 64)?.trim().to_owned();
        let value = listed.text("value", VALUE_MAX)?.unwrap_or_default();
        if is_open(&key) && holds_card_number(&value) {
            return Err(listed.error("value", HOLDS_CARD_NUMBER));
        }
        credentials.push((key, Secret::new(value.trim().to_owned())));
    }
    Ok(credentials)
}

/// What a family of the API calls the fields that a fault can be about.
pub(crate) struct FieldNames {
    pub(crate) gateway: &'static str,
    pub(crate) credentials: &'static str,
    pub(crate) base_url: &'static str,
    pub(crate) certificate: &'static str,
    pub(crate) foreign: &'static str,
}

const FIELDS: FieldNames = FieldNames {
    gateway: "paymentGatewayName",
    credentials: "credentials",
    base_url: "base_url",
    certificate: "certificateName",
    foreign: "allowForeignReferences",
};

/// Why an account was not put, shown, verified or removed.
pub(crate) fn explain(fault: &AccountFault, names: &FieldNames) -> Response {
    let bad = |field: &str, message: String| {
        validation(StatusCode::BAD_REQUEST, &FieldError::new(field, message))
    };
    let other = |status, field: &str, message| validation(status, &FieldError::new(field, message));
    let one_of = |known: &[String]| match known {
        [] => "there is none".to_owned(),
        known => format!("there are {}", known.join(", ")),
    };
    let key = |index: usize| format!("{}[{index}].key", names.credentials);
    match fault {
        AccountFault::UnknownGateway { known } => {
            bad(names.gateway, format!("There is no such gateway; {}.", one_of(known)))
        }
        AccountFault::UnknownCredential { index, known } => bad(
            &key(*index),
            format!("The gateway has no credential of this name; {}.", one_of(known)),
        ),
        AccountFault::RepeatedCredential { index } => {
            bad(&key(*index), "It is there more than once.".to_owned())
        }
        AccountFault::MissingCredential { name } => {
            bad(names.credentials, format!("{name} is required."))
        }
        AccountFault::UnknownCertificate => bad(
            names.certificate,
            "There is no client certificate of this name that holds now.".to_owned(),
        ),
        AccountFault::BaseUrl(why) => bad(names.base_url, format!("It cannot be used: {why}.")),
        AccountFault::NotRetrievable => bad(
            names.foreign,
            "The gateway cannot be asked for a payment by its own reference.".to_owned(),
        ),
        AccountFault::MockIsForTests => {
            bad(names.gateway, "A mock gateway is for sandbox accounts only.".to_owned())
        }
        AccountFault::OtherMode => bad(
            "name",
            "The name belongs to an account of the other mode: sandbox and live accounts share their \
             names."
                .to_owned(),
        ),
        AccountFault::CredentialsRefused => {
            bad(names.credentials, "The gateway does not take these credentials.".to_owned())
        }
        AccountFault::Declared => other(StatusCode::CONFLICT, "name", DECLARED),
        AccountFault::NotVerifiable => other(
            StatusCode::CONFLICT,
            "verify",
            "The gateway cannot be asked: it has no call for that, or the account has no address.",
        ),
        AccountFault::NoAnswer => {
            other(StatusCode::SERVICE_UNAVAILABLE, "", "The gateway gave no usable answer.")
        }
        AccountFault::Engine(EngineError::NotFound) => StatusCode::NOT_FOUND.into_response(),
        AccountFault::Engine(error) => failure(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::asked::assert_described;

    #[test]
    fn what_is_described_is_what_is_read() {
        assert_described::<AccountRequest>(|| {
            assert!(read_account(&[], "shop".to_owned(), EXAMPLE.as_bytes()).is_ok());
        });
    }

    #[test]
    fn names_are_of_one_form() {
        for name in ["abc", "A-b_9", &"x".repeat(64)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "ab", &"x".repeat(65), "a b", "é-é", "a/b", "4111111111111111"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
