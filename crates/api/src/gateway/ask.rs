//! Questions: which gateways there are, what they hold, which payments were made, whose key it is.
//!
//! Nothing here moves money. Wallets belong to the contract too, and are answered with what is missing.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use baton_connect::{Balance, Feature, Manifest};
use baton_engine::keys::Scope;
use baton_engine::{Answered, Caller, EngineError, ListFilter, QuestionError};
use baton_flow::{CallId, Payment};
use baton_types::{MerchantId, Money, PaymentId, Timestamp};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use super::result::{OperationResult, number};
use crate::App;
use crate::error::{ValidationErrorMessage, json, validation};
use crate::fields::{FieldError, sentence};
use crate::openapi::{Doc, Draft, Param, Tag, types};
use crate::query::{Pairs, pairs};
use crate::route::{Access, Route};

/// How many payments a page has when none is asked for, and at most.
const PAGE: u32 = 50;
const PAGE_MAX: u32 = 200;

/// What of a list can be asked for.
const FILTERS: [Param; 9] = [
    Param::of::<types::Time>("from", "Not made before this time."),
    Param::of::<types::Time>("to", "Not made after this time."),
    Param::of::<types::AccountName>("account", "Only where this account gave the final answer."),
    Param::of::<String>("myRef", "Only with this reference of yours."),
    Param::of::<String>(
        "refTransId",
        "Only the one with this `gatewayReference` or `transactionId`.",
    ),
    Param::of::<ResultFilter>("result", "Only what stands like this."),
    Param::of::<OperationFilter>("operation", "Only what began like this."),
    Param::of::<ListLength>("limit", "How many at most; 50 if absent."),
    Param::of::<String>("cursor", "`nextCursor` of the page before, with the same filters."),
];

pub(super) fn routes() -> Vec<Route> {
    let access = Access::Key(Scope::Gateway);
    let new = |id, tag, summary, about| Doc::new(id, tag, summary, about);
    let gateways =
        "The gateways of this server, with the names of the credentials that each needs.";
    let listing =
        "Newest first; of the key's mode only. Each with its result as `status` would answer it.";
    let wallets = "Answers 501 until the payments library is there.";
    let missing = "Wallets are not available in this version.";
    let list = new("GatewayTransactions", Tag::PaymentGateway, "List payments", listing);
    vec![
        Route::get(
            "/PaymentGateway",
            access,
            gateway_list,
            new("GatewayList", Tag::PaymentGateway, "List gateways", gateways).gives::<Vec<
                GatewayDescription,
            >>(
                StatusCode::OK,
                "The gateways, by name.",
            ),
        ),
        Route::get(
            "/PaymentGateway/balance",
            access,
            balance,
            new("GatewayBalance", Tag::PaymentGateway, "What a gateway holds for an account", "")
                .query(Param::of::<types::AccountName>("account", "The account; required."))
                .gives::<BalanceView>(StatusCode::OK, "The balances, one per currency.")
                .gives::<ValidationErrorMessage<'_>>(
                    StatusCode::CONFLICT,
                    "The gateway does not tell.",
                )
                .gives::<ValidationErrorMessage<'_>>(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "The gateway gave no usable answer, or the database cannot be reached.",
                ),
        ),
        Route::get(
            "/PaymentGateway/transactions",
            access,
            transactions,
            FILTERS
                .into_iter()
                .fold(list, Draft::query)
                .gives::<TransactionPage>(StatusCode::OK, "A page of payments.")
                .gives::<ValidationErrorMessage<'_>>(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "The database cannot be reached.",
                ),
        ),
        Route::get(
            "/Utils/apiKey",
            access,
            api_key,
            new(
                "UtilsApiKey",
                Tag::Utils,
                "Check a key",
                "Whose it is, and whether it is for tests.",
            )
            .gives::<AuthenticationResult>(StatusCode::OK, "The key is valid."),
        ),
        Route::post(
            "/EWalletOperations",
            access,
            no_wallets,
            new("EWalletStart", Tag::EWalletOperations, "Start a session", wallets)
                .gives::<ValidationErrorMessage<'_>>(StatusCode::NOT_IMPLEMENTED, missing),
        ),
        Route::post(
            "/EWalletOperations/validateResults",
            access,
            no_wallets,
            new("EWalletValidate", Tag::EWalletOperations, "Validate a result", wallets)
                .gives::<ValidationErrorMessage<'_>>(StatusCode::NOT_IMPLEMENTED, missing),
        ),
    ]
}

/// The contract's `PaymentGatewayDescriptionModel`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct GatewayDescription {
    /// What accounts call it.
    name: String,
    display_name: String,
    payment_gateway_url: String,
    description: String,
    /// The names of the credentials that an account needs.
    credentials_names: Vec<String>,
    supports_network_token: bool,
}

impl From<&Manifest> for GatewayDescription {
    fn from(manifest: &Manifest) -> Self {
        Self {
            name: manifest.gateway_name.clone(),
            display_name: manifest.display_name.clone(),
            payment_gateway_url: manifest.url.clone(),
            description: manifest.description.clone(),
            credentials_names: manifest.credentials.iter().map(|f| f.name.clone()).collect(),
            supports_network_token: manifest.has(Feature::NetworkTokens),
        }
    }
}

async fn gateway_list(State(app): State<Arc<App>>) -> Response {
    let connectors = app.engine.connectors();
    let mut list: Vec<GatewayDescription> =
        connectors.iter().map(|connector| connector.manifest().into()).collect();
    list.sort_by(|a, b| a.name.cmp(&b.name));
    json(StatusCode::OK, &list)
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct BalanceView {
    #[schemars(with = "types::AccountName")]
    payment_gateway_account_name: String,
    balances: Vec<BalanceEntry>,
}

#[derive(Serialize, JsonSchema)]
struct BalanceEntry {
    #[schemars(with = "types::CurrencyCode")]
    currency: String,
    /// What can be paid out now, in major units. May be below zero.
    #[schemars(with = "f64")]
    available: Option<Box<RawValue>>,
    /// What will be available later; null where the gateway does not say.
    #[schemars(with = "Option<f64>")]
    pending: Option<Box<RawValue>>,
}

impl From<&Balance> for BalanceEntry {
    fn from(balance: &Balance) -> Self {
        let currency = |money: Money| money.currency().code().to_owned();
        Self {
            currency: currency(balance.available),
            available: number(balance.available),
            pending: balance.pending.and_then(number),
        }
    }
}

async fn balance(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    query: Pairs,
) -> Response {
    let name = pairs(query).and_then(|pairs| {
        let named = pairs.into_iter().find(|(name, _)| name == "account");
        named.map(|(_, name)| name).ok_or_else(|| FieldError::new("account", "It is required."))
    });
    let name = match name {
        Ok(name) => name,
        Err(error) => return validation(StatusCode::BAD_REQUEST, &error),
    };
    match app.engine.balance(caller, &name).await {
        Ok(held) => json(
            StatusCode::OK,
            &BalanceView {
                payment_gateway_account_name: name,
                balances: held.iter().map(BalanceEntry::from).collect(),
            },
        ),
        Err(QuestionError::Engine(error)) => failure(&error),
        Err(QuestionError::NotSupported) => {
            let message = "The gateway does not tell what it holds.";
            validation(StatusCode::CONFLICT, &FieldError::new("account", message))
        }
        Err(QuestionError::NoAnswer) => {
            let message = "The gateway gave no usable answer.";
            validation(StatusCode::SERVICE_UNAVAILABLE, &FieldError::new("", message))
        }
    }
}

types::described!(
    /// How a payment stands, for a filter.
    ResultFilter,
    schemars::json_schema!({
        "type": "string",
        "enum": ["Success", "Accepted", "Failed"],
        "description": "`Success`: approved, whatever became of it since. `Accepted`: not known yet. \
                        `Failed`: rejected, or not carried out.",
    })
);

types::described!(
    /// What began a payment, for a filter.
    OperationFilter,
    schemars::json_schema!({
        "type": "string",
        "enum": ["Charge", "PreAuth", "Tokenize"],
        "description": "The operation that made the payment.",
    })
);

types::described!(
    /// How long a page may be.
    ListLength,
    schemars::json_schema!({
        "type": "integer", "minimum": 1, "maximum": PAGE_MAX, "description": "A page's length.",
    })
);

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct TransactionPage {
    transactions: Vec<Transaction>,
    /// For the next page; null on the last one.
    next_cursor: Option<String>,
}

/// A payment in a list.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Transaction {
    #[schemars(with = "types::Time")]
    creation_time: String,
    /// When it last changed.
    #[schemars(with = "types::Time")]
    change_time: String,
    my_ref: Option<String>,
    /// How the payment stands, in a word.
    status: &'static str,
    /// What made it.
    operation: &'static str,
    /// Whether it was made at the gateway without this server, and taken over.
    imported: bool,
    result: OperationResult,
}

impl Transaction {
    fn of(payment: Payment, now: Timestamp) -> Self {
        let operation = match payment.order.kind.as_str() {
            "authorize" => "PreAuth",
            "tokenize" => "Tokenize",
            _ => "Charge",
        };
        let (created, changed) = (payment.created_at, payment.updated_at);
        let my_ref = payment.order.merchant_ref.clone();
        let imported = payment.order.imported;
        let answered = Answered::of(Arc::new(payment), CallId::Attempt(1));
        Self {
            creation_time: created.to_rfc3339(),
            change_time: changed.to_rfc3339(),
            my_ref,
            status: answered.payment.status(),
            operation,
            imported,
            result: OperationResult::of_status(&answered, now),
        }
    }
}

async fn transactions(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    query: Pairs,
) -> Response {
    let (filter, limit) = match pairs(query).and_then(read_filter) {
        Ok(read) => read,
        Err(error) => return validation(StatusCode::BAD_REQUEST, &error),
    };
    match app.engine.list(caller, filter, limit).await {
        Ok((payments, more)) => {
            let last = payments.last().filter(|_| more);
            let next_cursor = last.map(|last| format!("{}-{}", last.created_at.millis(), last.id));
            let now = app.engine.clock().now();
            let transactions = payments.into_iter().map(|p| Transaction::of(p, now)).collect();
            json(StatusCode::OK, &TransactionPage { transactions, next_cursor })
        }
        Err(error) => failure(&error),
    }
}

fn read_filter(pairs: Vec<(String, String)>) -> Result<(ListFilter, u32), FieldError> {
    let (mut filter, mut limit) = (ListFilter::default(), PAGE);
    for (name, text) in pairs {
        let wrong = |why: &str| FieldError::new(&name, why);
        let time = |text: &str| {
            Timestamp::parse_rfc3339(text)
                .map_err(|_| wrong("It must be a time like 2027-01-31T00:00:00Z."))
        };
        match name.as_str() {
            "from" => filter.from = Some(time(&text)?),
            "to" => filter.to = Some(time(&text)?),
            "account" => filter.account = Some(text),
            "myRef" => filter.merchant_ref = Some(text),
            "refTransId" => filter.reference = Some(text),
            "result" => {
                filter.statuses = words(
                    statuses(&text)
                        .ok_or_else(|| wrong("It must be Success, Accepted or Failed."))?,
                );
            }
            "operation" => {
                let kind = match text.as_str() {
                    "Charge" => "charge",
                    "PreAuth" => "authorize",
                    "Tokenize" => "tokenize",
                    _ => return Err(wrong("It must be Charge, PreAuth or Tokenize.")),
                };
                filter.kinds = words(&[kind]);
            }
            "limit" => {
                let asked = text.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
                limit = asked.ok_or_else(|| wrong("It must be 1 to 200."))?;
            }
            "cursor" => {
                let cursor = text.split_once('-').and_then(|(at, id)| {
                    let at = Timestamp::from_millis(at.parse().ok()?);
                    Some((at, PaymentId::parse(id).ok()?))
                });
                filter.after = Some(cursor.ok_or_else(|| wrong("It is not one of ours."))?);
            }
            _ => return Err(wrong("There is no such filter.")),
        }
    }
    Ok((filter, limit))
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

/// The states of payments whose result this is.
fn statuses(result: &str) -> Option<&'static [&'static str]> {
    match result {
        "Success" => Some(&[
            "authorized",
            "captured",
            "partially_captured",
            "refunded",
            "partially_refunded",
            "voided",
            "tokenized",
        ]),
        "Accepted" => Some(&["processing", "in_doubt"]),
        "Failed" => Some(&["failed"]),
        _ => None,
    }
}

/// The contract's `AuthenticationResult`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AuthenticationResult {
    /// Always `OK`.
    status: &'static str,
    /// What the operator calls the key.
    user_name: String,
    /// The merchant, as a number that never changes.
    account_id: u64,
    /// Whether the key is for test accounts.
    is_sandbox: bool,
}

async fn api_key(State(app): State<Arc<App>>, Extension(caller): Extension<Caller>) -> Response {
    let keys = match app.engine.store().api_keys(caller.merchant).await {
        Ok(keys) => keys,
        Err(error) => return failure(&error.into()),
    };
    let key = keys.iter().find(|row| Some(row.id) == caller.key);
    let user_name = key.map(|row| row.name.clone()).unwrap_or_default();
    json(
        StatusCode::OK,
        &AuthenticationResult {
            status: "OK",
            user_name,
            account_id: account_id(caller.merchant),
            is_sandbox: caller.sandbox,
        },
    )
}

/// 52 random bits of the merchant's id: a number that every JSON library reads exactly.
fn account_id(merchant: MerchantId) -> u64 {
    let bytes = merchant.as_bytes();
    let tail = bytes.iter().rev().take(7).rev();
    tail.fold(0_u64, |number, byte| (number << 8) | u64::from(*byte)) & ((1 << 52) - 1)
}

async fn no_wallets() -> Response {
    let message = "Wallets are not available in this version; charge a card through \
                   /PaymentGateway/charge.";
    validation(StatusCode::NOT_IMPLEMENTED, &FieldError::new("", message))
}

/// An account that cannot be asked about is the query's fault.
fn failure(error: &EngineError) -> Response {
    match error {
        EngineError::UnknownAccount { .. } | EngineError::WrongMode { .. } => {
            validation(StatusCode::BAD_REQUEST, &FieldError::new("account", sentence(error)))
        }
        EngineError::NotFound
        | EngineError::NoAnswer
        | EngineError::OtherCard
        | EngineError::NotTheWhole { .. }
        | EngineError::Brought(_)
        | EngineError::Refused(_)
        | EngineError::KeyReused
        | EngineError::StillRunning
        | EngineError::Overtaken
        | EngineError::Unavailable
        | EngineError::Internal => crate::error::failure(error),
    }
}
