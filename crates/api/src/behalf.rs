//! On whose behalf the operator acts: the merchant, and its sandbox or live side.

use axum::response::Response;
use baton_engine::{Caller, EngineError};
use baton_types::MerchantId;
use http::StatusCode;

use crate::App;
use crate::error::{failure, validation};
use crate::fields::FieldError;
use crate::openapi::Param;
use crate::query::{Pairs, pairs, truth};

pub(crate) const SANDBOX: Param = Param::of::<bool>(
    "sandbox",
    "The sandbox or the live side; if absent, as the key is. A sandbox key has the sandbox only.",
);

pub(crate) const MERCHANT: Param = Param::of::<String>(
    "merchant",
    "The merchant's name, for the operator's own key; if absent, `default`.",
);

/// Why the operator cannot act like this.
pub(crate) enum Fault {
    Field(FieldError),
    Engine(EngineError),
}

impl From<FieldError> for Fault {
    fn from(error: FieldError) -> Self {
        Self::Field(error)
    }
}

/// The merchant that the query names, which only the operator's own key can.
pub(crate) async fn named(app: &App, caller: Caller, text: &str) -> Result<MerchantId, Fault> {
    if caller.key.is_some() {
        let message = "Only the operator's own key can name a merchant.";
        return Err(FieldError::new("merchant", message).into());
    }
    let found = app.engine.store().merchant_by_name(text).await;
    let found = found.map_err(|error| Fault::Engine(error.into()))?;
    let unknown = || FieldError::new("merchant", "There is no such merchant.");
    Ok(found.ok_or_else(unknown)?.id)
}

/// The caller whom the query means, and what else the query says.
pub(crate) async fn on_behalf(
    app: &App,
    caller: Caller,
    query: Pairs,
) -> Result<(Caller, Vec<(String, String)>), Fault> {
    let (mut meant, mut rest) = (caller, Vec::new());
    for (name, text) in pairs(query)? {
        match name.as_str() {
            "sandbox" => meant.sandbox = truth(&name, &text)?,
            "merchant" => meant.merchant = named(app, caller, &text).await?,
            _ => rest.push((name, text)),
        }
    }
    if caller.sandbox && !meant.sandbox {
        let message = "A sandbox key is for the sandbox only.";
        return Err(FieldError::new("sandbox", message).into());
    }
    Ok((meant, rest))
}

/// Nothing else may be in the query.
pub(crate) fn nothing_more(rest: &[(String, String)]) -> Result<(), FieldError> {
    match rest.first() {
        None => Ok(()),
        Some((name, _)) => Err(FieldError::new(name, "There is no such parameter.")),
    }
}

/// The caller whom the query means, which may say nothing else.
pub(crate) async fn plainly(app: &App, caller: Caller, query: Pairs) -> Result<Caller, Fault> {
    let (caller, rest) = on_behalf(app, caller, query).await?;
    nothing_more(&rest)?;
    Ok(caller)
}

/// Why a request of the operator's cannot be done.
pub(crate) fn refuse(fault: &Fault) -> Response {
    match fault {
        Fault::Field(error) => validation(StatusCode::BAD_REQUEST, error),
        Fault::Engine(error) => failure(error),
    }
}
