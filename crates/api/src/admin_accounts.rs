//! Gateway accounts for the operator: of any merchant, and with where their provider is.
//!
//! Only the operator says that: whoever could, could point the server at any host that it reaches.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use baton_connect::Connector;
use baton_engine::keys::Scope;
use baton_engine::{AccountInput, AccountView, Caller, Place};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use crate::App;
use crate::accounts::{
    CredentialInput, FieldNames, ShownCredential, VERIFY, check_name, explain, read_credentials,
    shown, verified,
};
use crate::behalf::{Fault, MERCHANT, SANDBOX, nothing_more, on_behalf, plainly, refuse};
use crate::body::{Json, JsonBody};
use crate::error::{ValidationErrorMessage, failure, json, validation};
use crate::fields::{FieldError, Fields};
use crate::openapi::{Doc, Draft, Param, Tag, types};
use crate::query::{Pairs, truth};
use crate::route::{Access, Route};

const NAME: Param = Param::of::<types::AccountName>("name", "The account's name.");

const EXAMPLE: &str = r#"{
    "gateway": "Sandbox", "credentials": [{"key": "ApiKey", "value": "any-key-of-the-sandbox"}]}"#;

const FIELDS: FieldNames = FieldNames {
    gateway: "gateway",
    credentials: "credentials",
    base_url: "base_url",
    certificate: "certificate",
    foreign: "allow_foreign_references",
};

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
    let none = "There is no such account.";
    let declared = "The server's configuration declares the account.";
    vec![
        Route::get(
            "/admin/v1/accounts",
            access,
            list,
            failing(
                doc("AdminAccountList", "List a merchant's accounts", "With masked credentials.")
                    .gives::<AdminAccounts>(StatusCode::OK, "The accounts."),
            ),
        ),
        Route::put(
            "/admin/v1/accounts/{name}",
            access,
            put,
            verified(
                doc("AdminAccountPut", "Add or replace a merchant's account", "")
                    .path(NAME)
                    .query(VERIFY)
                    .takes::<AdminAccountRequest>(EXAMPLE)
                    .gives::<AdminAccount>(StatusCode::OK, "The account as it is now."),
            ),
        ),
        Route::get(
            "/admin/v1/accounts/{name}",
            access,
            show,
            failing(
                doc("AdminAccountGet", "Look at a merchant's account", "With masked credentials.")
                    .path(NAME)
                    .gives::<AdminAccount>(StatusCode::OK, "The account.")
                    .empty(StatusCode::NOT_FOUND, none),
            ),
        ),
        Route::delete(
            "/admin/v1/accounts/{name}",
            access,
            remove,
            failing(
                doc("AdminAccountDelete", "Remove a merchant's account", "For good.")
                    .path(NAME)
                    .empty(StatusCode::NO_CONTENT, "It is removed.")
                    .empty(StatusCode::NOT_FOUND, none)
                    .gives::<ValidationErrorMessage<'_>>(StatusCode::CONFLICT, declared),
            ),
        ),
    ]
}

/// An account as the operator puts it.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes what `read_account` reads")]
struct AdminAccountRequest {
    /// The gateway, as `GET /PaymentGateway` names it.
    #[schemars(length(min = 1, max = 64))]
    gateway: String,
    /// All credentials that the gateway needs; none for a mock gateway.
    #[schemars(length(max = 32))]
    credentials: Option<Vec<CredentialInput>>,
    /// Where the provider is, instead of where the gateway is. For test accounts, and, by https, for live
    /// accounts of gateways that have no address of their own.
    #[schemars(length(max = 255))]
    base_url: Option<String>,
    /// The client certificate that is shown to the gateway.
    #[schemars(length(max = 128))]
    certificate: Option<String>,
    /// Whether payments that were made at the gateway without this server are taken over when a request names them.
    allow_foreign_references: Option<bool>,
}

#[derive(Serialize, JsonSchema)]
struct AdminAccounts {
    data: Vec<AdminAccount>,
}

/// An account as the operator sees it.
#[derive(Serialize, JsonSchema)]
struct AdminAccount {
    #[schemars(with = "types::Id")]
    id: String,
    #[schemars(with = "types::AccountName")]
    name: String,
    gateway: String,
    sandbox: bool,
    credentials: Vec<ShownCredential>,
    base_url: Option<String>,
    certificate: Option<String>,
    allow_foreign_references: bool,
    /// Whether the server's configuration declares it, and it can be changed there only.
    declared: bool,
    #[schemars(with = "types::Time")]
    created_at: String,
    #[schemars(with = "types::Time")]
    updated_at: String,
}

impl From<AccountView> for AdminAccount {
    fn from(view: AccountView) -> Self {
        let row = view.row;
        Self {
            id: row.id.to_string(),
            name: row.name,
            gateway: row.gateway,
            sandbox: row.test,
            credentials: shown(view.credentials),
            base_url: row.base_url,
            certificate: view.certificate,
            allow_foreign_references: view.foreign_references,
            declared: view.declared,
            created_at: row.created_at.to_rfc3339(),
            updated_at: row.updated_at.to_rfc3339(),
        }
    }
}

async fn named(app: &App, caller: Caller, name: &str, query: Pairs) -> Result<Caller, Fault> {
    check_name(name)?;
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
    match app.engine.account_views(caller).await {
        Ok(views) => {
            let data = views.into_iter().map(AdminAccount::from).collect();
            json(StatusCode::OK, &AdminAccounts { data })
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
    match app.engine.account_view(caller, &name).await {
        Ok(view) => json(StatusCode::OK, &AdminAccount::from(view)),
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
    let (caller, rest) = match on_behalf(&app, caller, query).await {
        Ok(meant) => meant,
        Err(fault) => return refuse(&fault),
    };
    let read = || -> Result<(bool, AccountInput), FieldError> {
        check_name(&name)?;
        let verify = match rest.as_slice() {
            [(name, text)] if name == "verify" => truth(name, text)?,
            rest => nothing_more(rest).map(|()| false)?,
        };
        Ok((verify, read_account(&app.engine.connectors(), name, &body)?))
    };
    let (verify, input) = match read() {
        Ok(read) => read,
        Err(error) => return validation(StatusCode::BAD_REQUEST, &error),
    };
    match app.engine.put_account(caller, input, verify).await {
        Ok(view) => json(StatusCode::OK, &AdminAccount::from(view)),
        Err(fault) => explain(&fault, &FIELDS),
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
    match app.engine.remove_account(caller, &name).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(fault) => explain(&fault, &FIELDS),
    }
}

fn read_account(
    connectors: &[Arc<dyn Connector>],
    name: String,
    body: &[u8],
) -> Result<AccountInput, FieldError> {
    let mut fields = Fields::of_body(Json::parse(body)?)?;
    let gateway = fields.required_text("gateway", 64)?.trim().to_owned();
    let credentials = read_credentials(connectors, &mut fields, &gateway)?;
    let place = fields.kept_text("base_url", 255)?.map_or(Place::Gateway, Place::Url);
    let certificate = fields.kept_text("certificate", 128)?;
    let foreign_references = fields.boolean(FIELDS.foreign)?.unwrap_or_default();
    Ok(AccountInput { name, gateway, credentials, place, certificate, foreign_references })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::asked::assert_described;

    #[test]
    fn what_is_described_is_what_is_read() {
        assert_described::<AdminAccountRequest>(|| {
            assert!(read_account(&[], "shop".to_owned(), EXAMPLE.as_bytes()).is_ok());
        });
    }
}
