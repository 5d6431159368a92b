//! Stripe's dialect: the card part of the PaymentIntents API, enough for a real connector.
//!
//! Paths, parameters, objects and errors follow Stripe's OpenAPI description; required fields are always
//! there. A payment's merchant reference is `metadata[reference]`. Known parameters that mean nothing here
//! (customers, shipping, transfers) are accepted and forgotten; unknown ones are refused. Leaves out:
//! customers beyond owning a payment method, files, search, balance transactions, Connect.

mod declines;
mod disputes;
mod expand;
mod form;
mod intents;
mod objects;
mod setups;
mod view;

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::fields::{Fields, Invalid, fingerprint};
use super::{Dialect, Urls};
use crate::clock::Id;
use crate::core::{Books, Card, CardError, Payment, Refusal, Token};
use crate::exchange::{Commit, Job, RequestKey};
use crate::http::{Call, Reply, parse_form};
use crate::provider::Account;
use crate::script::Traits;

pub(crate) use view::events_of;

const LONGEST_KEY: usize = 255;

pub(crate) fn read(account: &Arc<Account>, call: &Call, rest: &[&str]) -> Result<Job, Reply> {
    if call.header("authorization").is_none_or(|value| value.split_once(' ').is_none()) {
        return Err(error(401, "", "You did not provide an API key."));
    }
    let is_post = call.method == Method::POST;
    let pairs =
        if is_post { parse_form(&String::from_utf8_lossy(&call.body)) } else { call.query.clone() };
    let body = form::nested(&pairs);
    let key = if is_post { key(call, rest, &body)? } else { None };
    let request = Request { account, call, fields: Fields(&body), key };
    match (call.method.as_str(), rest) {
        ("POST", ["payment_intents"]) => request.intent_create(),
        ("GET", ["payment_intents"]) => request.intent_list(),
        ("GET", ["payment_intents", id]) => request.intent(id),
        ("POST", ["payment_intents", id]) => request.intent_update(id),
        ("POST", ["payment_intents", id, "confirm"]) => request.intent_confirm(id),
        ("POST", ["payment_intents", id, "capture"]) => request.intent_capture(id),
        ("POST", ["payment_intents", id, "increment_authorization"]) => {
            request.intent_increment(id)
        }
        ("POST", ["payment_intents", id, "cancel"]) => request.intent_cancel(id),
        ("POST", ["setup_intents"]) => request.setup_create(),
        ("GET", ["setup_intents"]) => request.setup_list(),
        ("GET", ["setup_intents", id]) => request.setup(id),
        ("POST", ["setup_intents", id, "confirm"]) => request.setup_confirm(id),
        ("POST", ["setup_intents", id, "cancel"]) => request.setup_cancel(id),
        ("POST", ["payment_methods"]) => request.payment_method_create(),
        ("GET", ["payment_methods", id]) => request.payment_method(id),
        ("POST", ["customers"]) => request.customer_create(),
        ("POST", ["refunds"]) => request.refund_create(),
        ("GET", ["refunds"]) => request.refund_list(),
        ("GET", ["refunds", id]) => request.refund(id),
        ("GET", ["charges", id]) => request.charge(id),
        ("GET", ["disputes", id]) => request.dispute(id),
        ("POST", ["disputes", id]) => request.dispute_update(id),
        ("POST", ["disputes", id, "close"]) => request.dispute_close(id),
        ("GET", ["balance"]) => request.balance(),
        ("GET", ["events"]) => request.event_list(),
        ("GET", ["events", id]) => request.event(id),
        (method, _) => {
            let path = rest.join("/");
            let message = format!("Unrecognized request URL ({method}: /v1/{path}).");
            Err(error(404, "", &message))
        }
    }
}

pub(crate) fn error(status: u16, code: &str, message: &str) -> Reply {
    error_about(status, code, message, None)
}

/// An error that names a parameter.
fn error_about(status: u16, code: &str, message: &str, param: Option<&str>) -> Reply {
    let kind = match status {
        402 => "card_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    };
    let code = match code {
        "rate_limited" => "rate_limit",
        _ if status >= 500 => "",
        code => code,
    };
    let mut error = json!({"type": kind, "message": message});
    for (name, value) in [("code", Some(code).filter(|code| !code.is_empty())), ("param", param)] {
        if let (Some(value), Some(error)) = (value, error.as_object_mut()) {
            error.insert(name.to_owned(), value.into());
        }
    }
    Reply::json(status, &json!({"error": error}))
}

pub(crate) fn key_in_progress() -> Reply {
    let message = "There is currently another in-progress request using this Idempotency-Key.";
    error(409, "idempotency_key_in_use", message)
}

pub(crate) fn key_mismatch(key: &str) -> Reply {
    let message = format!(
        "The idempotency key '{key}' was first used with other parameters or on another endpoint."
    );
    Reply::json(400, &json!({"error": {"type": "idempotency_error", "message": message}}))
}

fn validation(invalid: Invalid) -> Reply {
    let Invalid { field, message } = invalid;
    let code = match message {
        "is required" => "parameter_missing",
        "must be a whole number" => "parameter_invalid_integer",
        _ => "parameter_invalid",
    };
    // Names as they are written in forms: a.b becomes a[b].
    let mut levels = field.split('.');
    let param: String = levels.next().into_iter().map(str::to_owned).collect::<String>()
        + &levels.map(|level| format!("[{level}]")).collect::<String>();
    error_about(400, code, &format!("{param} {message}"), Some(&param))
}

fn missing(kind: &str, id: &str, param: &str) -> Reply {
    // A payment method in a body is a bad parameter; an object in the path is not found.
    let status = if param == "id" { 404 } else { 400 };
    error_about(status, "resource_missing", &format!("No such {kind}: '{id}'"), Some(param))
}

/// A request that the intent's state does not allow.
fn unexpected_state(payment: &Payment, urls: &Urls, what: &str) -> Reply {
    let status = view::status(payment);
    let message =
        format!("You cannot {what} this PaymentIntent because it has a status of {status}.");
    Reply::json(
        400,
        &json!({"error": {
            "type": "invalid_request_error",
            "code": "payment_intent_unexpected_state",
            "message": message,
            "payment_intent": view::intent(payment, urls),
        }}),
    )
}

fn key(call: &Call, rest: &[&str], body: &Value) -> Result<Option<RequestKey>, Reply> {
    let Some(key) = call.header("idempotency-key") else { return Ok(None) };
    if key.len() > LONGEST_KEY {
        let message = "Idempotency keys must be no longer than 255 characters.";
        return Err(error(400, "", message));
    }
    let path: Vec<&str> = ["stripe"].iter().chain(rest).copied().collect();
    Ok(Some(RequestKey {
        key: key.to_owned(),
        fingerprint: fingerprint(&call.method, &path, body),
    }))
}

struct Request<'a> {
    account: &'a Arc<Account>,
    call: &'a Call,
    fields: Fields<'a>,
    key: Option<RequestKey>,
}

/// What a request wants to pay with.
#[derive(Clone, Debug)]
enum PayWith {
    Stored(Token),
    /// Given in the request; it becomes a payment method when the request is executed.
    Inline(Card),
    /// No card: the shopper pays on another page. Stripe's name of the method.
    Elsewhere(String),
}

/// The methods without a card that exist here.
const ELSEWHERE: [&str; 7] =
    ["affirm", "afterpay_clearpay", "eps", "giropay", "ideal", "klarna", "sofort"];

impl PayWith {
    fn card(&self) -> Option<&Card> {
        match self {
            PayWith::Stored(token) => Some(&token.card),
            PayWith::Inline(card) => Some(card),
            PayWith::Elsewhere(_) => None,
        }
    }

    /// The stored card; none where there is no card.
    fn into_token(self, books: &mut Books) -> Option<Token> {
        match self {
            PayWith::Stored(token) => Some(token),
            PayWith::Inline(card) => Some(books.tokenize(card)),
            PayWith::Elsewhere(_) => None,
        }
    }
}

impl Request<'_> {
    fn job(self, traits: Traits, commit: Commit) -> Result<Job, Reply> {
        let account = self.account.clone();
        Ok(Job { dialect: Dialect::Stripe, account, traits, key: self.key, commit })
    }

    fn urls(&self) -> Urls {
        Urls { base: self.call.base_url.clone(), account: self.account.name.clone() }
    }

    /// Refuses parameters that Stripe does not have either.
    fn only(&self, known: &[&str]) -> Result<(), Reply> {
        let names = self.fields.0.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
        match names.into_iter().find(|name| !known.contains(name) && *name != "expand") {
            Some(name) => {
                let message = format!("Received unknown parameter: {name}");
                Err(error_about(400, "parameter_unknown", &message, Some(name)))
            }
            None => Ok(()),
        }
    }

    /// What the request pays with; `None` if it does not say.
    fn pay_with(&self) -> Result<Option<PayWith>, Reply> {
        if self.fields.get("payment_method_data").is_some() {
            let kind = self.fields.need_text("payment_method_data.type", 40).map_err(validation)?;
            if ELSEWHERE.contains(&kind) {
                return Ok(Some(PayWith::Elsewhere(kind.to_owned())));
            }
            card_only(kind, "payment_method_data[type]")?;
            return Ok(Some(PayWith::Inline(self.card("payment_method_data.card")?)));
        }
        let Some(id) = self.fields.text("payment_method", 64).map_err(validation)? else {
            return Ok(None);
        };
        self.stored(id).map(Some)
    }

    fn stored(&self, id: &str) -> Result<PayWith, Reply> {
        if let Some(number) = view::shared_card(id) {
            let card = Card::parse(number, 12, 2_090, None);
            return card
                .map(PayWith::Inline)
                .map_err(|_| missing("PaymentMethod", id, "payment_method"));
        }
        let books = self.account.books();
        let token = Id::parse_prefixed("pm_", id).and_then(|id| books.token(id));
        let token = token.ok_or_else(|| missing("PaymentMethod", id, "payment_method"))?;
        Ok(PayWith::Stored(token.clone()))
    }

    /// The card under this path. A wrong one is a `card_error` in Stripe's API.
    fn card(&self, at: &'static str) -> Result<Card, Reply> {
        let nothing = Value::Null;
        let fields = Fields(self.fields.get(at).unwrap_or(&nothing));
        let read = || {
            Ok((
                fields.need_text("number", 23)?,
                fields.need_int("exp_month")?,
                fields.need_int("exp_year")?,
                fields.text("cvc", 4)?,
            ))
        };
        let (number, month, year, cvc) = read().map_err(validation)?;
        Card::parse(number, month, year, cvc).map_err(|wrong| {
            let (code, param, message) = match wrong {
                CardError::Number => {
                    ("incorrect_number", "number", "Your card number is incorrect.")
                }
                CardError::ExpMonth => (
                    "invalid_expiry_month",
                    "exp_month",
                    "Your card's expiration month is invalid.",
                ),
                CardError::ExpYear => {
                    ("invalid_expiry_year", "exp_year", "Your card's expiration year is invalid.")
                }
                CardError::Cvv => ("invalid_cvc", "cvc", "Your card's security code is invalid."),
            };
            error_about(402, code, message, Some(param))
        })
    }
}

fn card_only(kind: &str, param: &str) -> Result<(), Reply> {
    match kind {
        "card" => Ok(()),
        _ => Err(no_such_method(param)),
    }
}

fn no_such_method(param: &str) -> Reply {
    let message = "There is no such payment method here.";
    error_about(400, "parameter_invalid", message, Some(param))
}

/// A refusal by the books that no more precise answer was found for.
fn refused(refusal: Refusal) -> Reply {
    match refusal {
        Refusal::NotFound => error(404, "resource_missing", refusal.message()),
        Refusal::ReferenceCancelled
        | Refusal::NotConfirmable
        | Refusal::NotCapturable
        | Refusal::ExceedsCapturable
        | Refusal::NotVoidable
        | Refusal::NotRefundable
        | Refusal::ExceedsRefundable
        | Refusal::NotRaisable
        | Refusal::NotDisputable
        | Refusal::DisputeNotOpen => error(400, refusal.code(), refusal.message()),
    }
}
