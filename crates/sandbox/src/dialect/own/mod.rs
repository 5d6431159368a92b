//! The sandbox's own dialect: JSON, amounts in minor units, `docs/sandbox.md` is its reference.

mod disputes;
mod view;

use std::sync::Arc;

use http::Method;
use serde_json::{Map, Value, json};

use super::fields::{Fields, Invalid, fingerprint};
use super::{Dialect, Urls, traits_of_existing};
use crate::clock::Id;
use crate::core::{
    Ask, Asker, Books, Card, CardError, Kind, NewPayment, Refusal, Settings, Verdict, network,
};
use crate::exchange::{Commit, Job, RequestKey};
use crate::http::{Call, Reply};
use crate::provider::Account;
use crate::script::{Action, OperationKind, Traits};

pub(crate) use disputes::dispute_view;
pub(crate) use view::{event_body, payment_view};

const PAYMENT: &str = "sp_";
const TOKEN: &str = "tok_";
const LONGEST_REFERENCE: usize = 64;
const LONGEST_KEY: usize = 64;

pub(crate) fn read(account: &Arc<Account>, call: &Call, rest: &[&str]) -> Result<Job, Reply> {
    let bearer = call.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    if bearer.is_none_or(|token| token.trim().is_empty()) {
        return Err(error(401, "unauthorized", "Send Authorization: Bearer <any key>."));
    }
    let body = if call.method == Method::POST { json_body(call)? } else { Value::Null };
    let request = Request { account, call, fields: Fields(&body), key: key(call, rest, &body)? };
    match (call.method.as_str(), rest) {
        ("POST", ["payments"]) => request.payment_create(),
        ("GET", ["payments"]) => request.payments_by_reference(),
        ("GET", ["payments", id]) => request.payment(id),
        ("POST", ["payments", id, "captures"]) => request.modify(id, Kind::Capture),
        ("POST", ["payments", id, "voids"]) => request.modify(id, Kind::Void),
        ("POST", ["payments", id, "refunds"]) => request.modify(id, Kind::Refund),
        ("POST", ["payments", id, "increments"]) => request.modify(id, Kind::Increment),
        ("GET", ["operations"]) => request.operations_by_reference(),
        ("POST", ["tokens"]) => request.tokenize(),
        ("POST", ["cancels"]) => request.cancel(),
        ("GET", ["disputes", id]) => request.dispute(id),
        ("POST", ["disputes", id, "accept"]) => request.dispute_accept(id),
        ("POST", ["disputes", id, "evidence"]) => request.dispute_explain(id),
        ("GET", ["balance"]) => request.balance(),
        _ => Err(error(404, "no_such_path", "No such path or method.")),
    }
}

pub(crate) fn error(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, &json!({"error": {"code": code, "message": message}}))
}

pub(crate) fn key_in_progress() -> Reply {
    error(409, "idempotency_in_progress", "A request with this key is still running.")
}

pub(crate) fn key_mismatch() -> Reply {
    error(422, "idempotency_mismatch", "This key was used with another request.")
}

fn validation(invalid: Invalid) -> Reply {
    let Invalid { field, message } = invalid;
    let message = format!("{field} {message}");
    Reply::json(400, &json!({"error": {"code": "validation", "field": field, "message": message}}))
}

fn refused(refusal: Refusal) -> Reply {
    let status = if refusal == Refusal::NotFound { 404 } else { 409 };
    error(status, refusal.code(), refusal.message())
}

fn json_body(call: &Call) -> Result<Value, Reply> {
    let body: Option<Value> = serde_json::from_slice(&call.body).ok();
    let not_json = Invalid { field: "body", message: "must be a JSON object" };
    body.filter(Value::is_object).ok_or_else(|| validation(not_json))
}

fn key(call: &Call, rest: &[&str], body: &Value) -> Result<Option<RequestKey>, Reply> {
    let Some(key) = call.header("idempotency-key").filter(|_| call.method == Method::POST) else {
        return Ok(None);
    };
    if key.len() > LONGEST_KEY {
        return Err(validation(Invalid { field: "Idempotency-Key", message: "is too long" }));
    }
    let path: Vec<&str> = ["sandbox"].iter().chain(rest).copied().collect();
    let fingerprint = fingerprint(&call.method, &path, body);
    Ok(Some(RequestKey { key: key.to_owned(), fingerprint }))
}

struct Request<'a> {
    account: &'a Arc<Account>,
    call: &'a Call,
    fields: Fields<'a>,
    key: Option<RequestKey>,
}

impl Request<'_> {
    fn job(self, traits: Traits, commit: Commit) -> Result<Job, Reply> {
        let account = self.account.clone();
        Ok(Job { dialect: Dialect::Own, account, traits, key: self.key, commit })
    }

    fn urls(&self) -> Urls {
        Urls { base: self.call.base_url.clone(), account: self.account.name.clone() }
    }

    fn payment_create(self) -> Result<Job, Reply> {
        let (new, card) = self.new_payment().map_err(validation)?;
        let asker = self.asker(&card).map_err(validation)?;
        let traits = Traits {
            account: self.account.name.clone(),
            operation: if new.sale { OperationKind::Sale } else { OperationKind::Authorize },
            card: Some(card.clone()),
            amount: Some(new.amount),
            reference: Some(new.reference.clone()),
        };
        let urls = self.urls();
        self.job(
            traits,
            Box::new(move |books, action| {
                let verdict = asker.verdict(action.verdict.as_ref().unwrap_or(&Verdict::Approve));
                let paid =
                    books.create(new).and_then(|id| books.authorize(id, Some(card), &verdict));
                match paid {
                    Ok(payment) => Reply::json(201, &payment_view(&payment, &urls)),
                    Err(refusal) => refused(refusal),
                }
            }),
        )
    }

    fn new_payment(&self) -> Result<(NewPayment, Card), Invalid> {
        let fields = self.fields;
        let missing = Invalid { field: "capture", message: "is required" };
        let sale = fields.flag("capture")?.ok_or(missing)?;
        let new = NewPayment {
            dialect: Dialect::Own,
            reference: fields.need_text("reference", LONGEST_REFERENCE)?.to_owned(),
            key: self.key.as_ref().map(|key| key.key.clone()),
            amount: match sale {
                true => fields.need_amount("amount.value")?,
                false => fields.need_amount_or_none("amount.value")?,
            },
            currency: fields.need_currency("amount.currency")?,
            sale,
            metadata: self.context()?,
            settings: Settings {
                return_url: fields.text("return_url", 2_000)?.map(str::to_owned),
                ..Settings::default()
            },
        };
        let card = match fields.text("token", 64)? {
            Some(token) => {
                let id = Id::parse_prefixed(TOKEN, token);
                let books = self.account.books();
                let token = id.and_then(|id| books.token(id));
                token
                    .map(|token| token.card.clone())
                    .ok_or(Invalid { field: "token", message: "is unknown" })?
            }
            None => self.card()?,
        };
        Ok((new, card))
    }

    /// Who asks: the merchant, where the request says so.
    fn asker(&self, card: &Card) -> Result<Asker, Invalid> {
        let fields = self.fields;
        let authenticated = self.authenticated()?;
        let network = fields.text("stored_credential.network_transaction_id", 64)?;
        match fields.text("stored_credential.initiator", 16)? {
            Some("merchant") => {
                Ok(Asker::Merchant { agreed: network.is_some_and(|id| network::knows(id, card)) })
            }
            Some("payer") | None if authenticated => Ok(Asker::Authenticated),
            Some("payer") | None => Ok(Asker::Payer),
            Some(_) => {
                let field = "stored_credential.initiator";
                Err(Invalid { field, message: "must be payer or merchant" })
            }
        }
    }

    /// Whether the request brings the result of a 3-D Secure authentication that succeeded.
    fn authenticated(&self) -> Result<bool, Invalid> {
        let fields = self.fields;
        if fields.get("card.three_ds").is_none() {
            return Ok(false);
        }
        fields.need_text("card.three_ds.value", 100)?;
        fields.need_text("card.three_ds.transaction_id", 64)?;
        fields.need_text("card.three_ds.version", 8)?;
        fields.text("card.three_ds.sli", 8)?;
        let eci = fields.need_text("card.three_ds.eci", 2)?;
        // 05 and 02: authenticated; 06 and 01: attempted.
        Ok(matches!(eci, "05" | "5" | "02" | "2" | "06" | "6" | "01" | "1"))
    }

    /// What a merchant tells of the payer and the goods: checked, and kept with the metadata.
    fn context(&self) -> Result<Map<String, Value>, Invalid> {
        let fields = self.fields;
        let mut kept = fields.map("metadata")?;
        for (path, longest, name) in [
            ("payer.ip", 45, "payer_ip"),
            ("payer.country", 2, "payer_country"),
            ("payer.city", 255, "payer_city"),
            ("payer.post_code", 255, "payer_post_code"),
            ("payer.state", 255, "payer_state"),
            ("card.network_token", 16, "network_token"),
            ("card.three_ds.eci", 2, "three_ds_eci"),
            ("stored_credential.initiator", 16, "initiator"),
            ("stored_credential.network_transaction_id", 64, "network_transaction_id"),
            ("description", 255, "description"),
        ] {
            if let Some(text) = fields.text(path, longest)? {
                kept.insert(name.to_owned(), text.into());
            }
        }
        if let Some(digital) = fields.flag("digital")? {
            kept.insert("digital".to_owned(), digital.into());
        }
        Ok(kept)
    }

    fn card(&self) -> Result<Card, Invalid> {
        let fields = self.fields;
        let card = Card::parse(
            fields.need_text("card.number", 23)?,
            fields.need_int("card.exp_month")?,
            fields.need_int("card.exp_year")?,
            fields.text("card.cvv", 4)?,
        );
        card.map_err(|error| match error {
            CardError::Number => Invalid { field: "card.number", message: "is not a card number" },
            CardError::ExpMonth => Invalid { field: "card.exp_month", message: "must be 1 to 12" },
            CardError::ExpYear => Invalid { field: "card.exp_year", message: "is not a year" },
            CardError::Cvv => Invalid { field: "card.cvv", message: "must be 3 or 4 digits" },
        })
    }

    fn modify(self, id: &str, kind: Kind) -> Result<Job, Reply> {
        let id = payment_id(id)?;
        let read = || {
            let reference = self.fields.text("reference", LONGEST_REFERENCE)?.unwrap_or("");
            Ok((reference.to_owned(), self.fields.amount("amount")?))
        };
        let (reference, amount) = read().map_err(validation)?;
        let operation = match kind {
            Kind::Capture => OperationKind::Capture,
            Kind::Void => OperationKind::Void,
            Kind::Refund => OperationKind::Refund,
            Kind::Increment => OperationKind::Increment,
        };
        let traits =
            traits_of_existing(self.account, operation, Some(id), amount, Some(reference.clone()));
        self.job(
            traits,
            Box::new(move |books, action| {
                let ask = Ask { reference, amount, decline: action.decline(), ..Ask::default() };
                let done = match kind {
                    Kind::Capture => books.capture(id, ask, false),
                    Kind::Void => books.void(id, ask),
                    Kind::Refund => books.refund(id, ask),
                    Kind::Increment => books.increment(id, ask),
                };
                match done {
                    Ok((payment, operation)) => {
                        Reply::json(201, &view::operation_view(&payment, &operation))
                    }
                    Err(refusal) => refused(refusal),
                }
            }),
        )
    }

    fn payment(self, id: &str) -> Result<Job, Reply> {
        let id = payment_id(id)?;
        let urls = self.urls();
        self.look_up(Some(id), None, move |books| {
            books.payment(id).map_or_else(
                || refused(Refusal::NotFound),
                |payment| Reply::json(200, &payment_view(payment, &urls)),
            )
        })
    }

    fn payments_by_reference(self) -> Result<Job, Reply> {
        let reference = self.need_reference()?;
        let urls = self.urls();
        self.look_up(None, Some(reference.clone()), move |books| {
            let payments = books.by_reference(&reference);
            let data: Vec<_> =
                payments.iter().map(|payment| payment_view(payment, &urls)).collect();
            Reply::json(200, &json!({"data": data}))
        })
    }

    fn operations_by_reference(self) -> Result<Job, Reply> {
        let reference = self.need_reference()?;
        self.look_up(None, Some(reference.clone()), move |books| {
            let found = books.operations(&reference);
            let data: Vec<_> = found.iter().map(|(p, o)| view::operation_view(p, o)).collect();
            Reply::json(200, &json!({"data": data}))
        })
    }

    fn need_reference(&self) -> Result<String, Reply> {
        let reference = self.call.query("reference").filter(|reference| !reference.is_empty());
        let missing = Invalid { field: "reference", message: "is required" };
        reference.map(str::to_owned).ok_or_else(|| validation(missing))
    }

    fn look_up(
        self,
        id: Option<Id>,
        reference: Option<String>,
        find: impl FnOnce(&Books) -> Reply + Send + 'static,
    ) -> Result<Job, Reply> {
        let traits = traits_of_existing(self.account, OperationKind::Lookup, id, None, reference);
        self.job(traits, Box::new(move |books: &mut Books, _: &Action| find(books)))
    }

    fn balance(self) -> Result<Job, Reply> {
        self.look_up(None, None, |books| {
            let held = books.balances();
            let data: Vec<_> = held
                .iter()
                .map(|(currency, sum)| json!({"currency": currency, "available": sum}))
                .collect();
            Reply::json(200, &json!({"data": data}))
        })
    }

    fn tokenize(self) -> Result<Job, Reply> {
        let card = self.card().map_err(validation)?;
        let traits = Traits {
            account: self.account.name.clone(),
            operation: OperationKind::Tokenize,
            card: Some(card.clone()),
            amount: None,
            reference: None,
        };
        self.job(
            traits,
            Box::new(move |books, _| Reply::json(201, &view::token_view(&books.tokenize(card)))),
        )
    }

    fn cancel(self) -> Result<Job, Reply> {
        let reference =
            self.fields.need_text("reference", LONGEST_REFERENCE).map_err(validation)?;
        let reference = reference.to_owned();
        let traits = Traits {
            account: self.account.name.clone(),
            operation: OperationKind::Cancel,
            card: None,
            amount: None,
            reference: Some(reference.clone()),
        };
        self.job(
            traits,
            Box::new(move |books, action| {
                let ask = Ask { decline: action.decline(), ..Ask::default() };
                Reply::json(
                    200,
                    &view::cancel_view(&books.cancel_reference(&reference, &ask, true)),
                )
            }),
        )
    }
}

fn payment_id(text: &str) -> Result<Id, Reply> {
    Id::parse_prefixed(PAYMENT, text).ok_or_else(|| refused(Refusal::NotFound))
}
