//! Adyen's dialect: the card part of the Checkout API v71.
//!
//! Authorisations are answered at once; captures, cancels, refunds and reversals are answered `received`
//! and their outcome is told by notification only, though the books change at once. A sale (no
//! `additionalData.manualCapture`) is booked as captured at once, whatever its capture delay; with a
//! delay above zero it can still be cancelled. As at Adyen, a cancel by reference is no fence. Leaves
//! out: sessions, payment links, native 3-D Secure 2, amount updates, splits, and the refusal of unknown
//! fields.

mod notify;
mod refusals;
mod view;

use std::sync::Arc;

use http::Method;
use serde_json::{Map, Value, json};

use super::fields::{Fields, Invalid, fingerprint};
use super::{Dialect, Urls, traits_of_existing};
use crate::clock::Id;
use crate::core::{
    Ask, Asker, Books, Card, CardError, Kind, NewPayment, Payment, Refusal, Route, Settings,
    Status, Verdict, network,
};
use crate::exchange::{Commit, Job, RequestKey};
use crate::http::{Call, Reply};
use crate::provider::Account;
use crate::script::{Action, OperationKind, Traits};

pub(crate) use notify::{hmac_key, notification};

const LONGEST_REFERENCE: usize = 80;
const LONGEST_KEY: usize = 64;
const LONGEST_DELAY_HOURS: i64 = 672;

pub(crate) fn read(account: &Arc<Account>, call: &Call, rest: &[&str]) -> Result<Job, Reply> {
    if call.header("x-api-key").is_none() {
        return Err(service_error(401, "000", "HTTP Status Response - Unauthorized", "security"));
    }
    if call.method != Method::POST {
        return Err(no_such_path());
    }
    let body: Option<Value> = serde_json::from_slice(&call.body).ok();
    let malformed = || service_error(400, "702", "Structure of request is invalid", "validation");
    let body = body.filter(Value::is_object).ok_or_else(malformed)?;
    let key = key(call, rest, &body)?;
    let request = Request { account, call, fields: Fields(&body), key };
    request.fields.need_text("merchantAccount", 80).or_else(|invalid| match rest {
        ["payments", "details"] => Ok(""),
        _ => Err(validation(invalid)),
    })?;
    match rest {
        ["payments"] => request.payment_create(),
        ["payments", "details"] => request.details(),
        ["payments", id, "captures"] => request.modify(id, Kind::Capture, Route::ById),
        ["payments", id, "cancels"] => request.modify(id, Kind::Void, Route::ById),
        ["payments", id, "refunds"] => request.modify(id, Kind::Refund, Route::ById),
        ["payments", id, "amountUpdates"] => request.modify(id, Kind::Increment, Route::ById),
        ["payments", id, "reversals"] => request.modify(id, Kind::Void, Route::Reversal),
        ["cancels"] => request.cancel(),
        ["storedPaymentMethods"] => request.store(),
        ["paymentMethods"] => request.payment_methods(),
        _ => Err(no_such_path()),
    }
}

fn no_such_path() -> Reply {
    service_error(404, "000", "No such path or method.", "validation")
}

fn service_error(status: u16, code: &str, message: &str, kind: &str) -> Reply {
    let error = json!({"status": status, "errorCode": code, "message": message, "errorType": kind});
    Reply::json(status, &error)
}

pub(crate) fn error(status: u16, code: &str, message: &str) -> Reply {
    let kind = match status {
        401 | 403 => "security",
        500.. => "internal",
        _ => "validation",
    };
    let code = match code {
        "internal_error" => "905",
        code => code,
    };
    let reply = service_error(status, code, message, kind);
    // Adyen's sign that the same key may be sent again.
    let transient = matches!(status, 429 | 503);
    if transient { reply.with("transient-error", "true") } else { reply }
}

pub(crate) fn key_in_progress(key: &str) -> Reply {
    already(key).with("transient-error", "true")
}

pub(crate) fn key_mismatch(key: &str) -> Reply {
    already(key)
}

fn already(key: &str) -> Reply {
    let message = "request already processed or in progress";
    service_error(422, "704", message, "validation").with("idempotency-key", key)
}

/// Adyen's number for what is wrong with a field.
fn validation(invalid: Invalid) -> Reply {
    let Invalid { field, message } = invalid;
    let code = match field {
        "amount.value" => "137",
        "amount.currency" => "138",
        "reference" => "130",
        "merchantAccount" => "901",
        "paymentMethod.number" => "101",
        "paymentMethod.cvc" => "103",
        "paymentMethod.expiryMonth" => "140",
        "paymentMethod.expiryYear" => "129",
        _ => "702",
    };
    service_error(422, code, &format!("{field} {message}"), "validation")
}

fn key(call: &Call, rest: &[&str], body: &Value) -> Result<Option<RequestKey>, Reply> {
    let Some(key) = call.header("idempotency-key") else { return Ok(None) };
    if key.len() > LONGEST_KEY {
        return Err(validation(Invalid { field: "Idempotency-Key", message: "is too long" }));
    }
    let path: Vec<&str> = ["adyen"].iter().chain(rest).copied().collect();
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
        Ok(Job { dialect: Dialect::Adyen, account, traits, key: self.key, commit })
    }

    fn urls(&self) -> Urls {
        Urls { base: self.call.base_url.clone(), account: self.account.name.clone() }
    }

    fn merchant_account(&self) -> Result<String, Invalid> {
        Ok(self.fields.need_text("merchantAccount", 80)?.to_owned())
    }

    fn payment_create(self) -> Result<Job, Reply> {
        let new = self.new_payment().map_err(validation)?;
        let card = self.card().map_err(validation)?;
        let keep = self.fields.flag("storePaymentMethod").map_err(validation)?.unwrap_or(false);
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
                let token = keep.then(|| books.tokenize(card.clone()).id);
                let verdict = asker.verdict(action.verdict.as_ref().unwrap_or(&Verdict::Approve));
                let paid =
                    books.create(new).and_then(|id| books.authorize(id, Some(card), &verdict));
                match paid {
                    Ok(payment) => Reply::json(200, &view::payment(&payment, token, &urls)),
                    Err(refusal) => refused(refusal),
                }
            }),
        )
    }

    fn new_payment(&self) -> Result<NewPayment, Invalid> {
        let fields = self.fields;
        let manual = fields.flag("additionalData.manualCapture")?.unwrap_or(false);
        let delay_hours = fields.int("captureDelayHours")?.unwrap_or(0);
        if !(0..=LONGEST_DELAY_HOURS).contains(&delay_hours) {
            return Err(Invalid { field: "captureDelayHours", message: "must be 0 to 672" });
        }
        Ok(NewPayment {
            dialect: Dialect::Adyen,
            amount: match manual {
                true => fields.need_amount_or_none("amount.value")?,
                false => fields.need_amount("amount.value")?,
            },
            currency: fields.need_currency("amount.currency")?,
            reference: fields.need_text("reference", LONGEST_REFERENCE)?.to_owned(),
            key: self.key.as_ref().map(|key| key.key.clone()),
            sale: !manual,
            metadata: fields.map("metadata")?,
            settings: Settings {
                return_url: Some(fields.need_text("returnUrl", 8_000)?.to_owned()),
                merchant_account: Some(self.merchant_account()?),
                capture_delayed: delay_hours > 0,
                ..Settings::default()
            },
        })
    }

    /// Who asks: the merchant, by a contract that does not need the payer.
    fn asker(&self, card: &Card) -> Result<Asker, Invalid> {
        let fields = self.fields;
        let contract = fields.text("shopperInteraction", 20)? == Some("ContAuth");
        let model = fields.text("recurringProcessingModel", 40)?;
        if !contract || !matches!(model, Some("Subscription" | "UnscheduledCardOnFile")) {
            return Ok(Asker::Payer);
        }
        let network = fields.text("additionalData.networkTxReference", 64)?;
        let stored = fields.get("paymentMethod.storedPaymentMethodId").is_some();
        let agreed = stored || network.is_some_and(|id| network::knows(id, card));
        Ok(Asker::Merchant { agreed })
    }

    /// A stored card, a plain card, or Adyen's unencrypted test form (`test_` before each value).
    fn card(&self) -> Result<Card, Invalid> {
        let fields = self.fields;
        let kind = fields.need_text("paymentMethod.type", 40)?;
        if !matches!(kind, "scheme" | "card") {
            return Err(Invalid { field: "paymentMethod.type", message: "must be scheme" });
        }
        if let Some(stored) = fields.text("paymentMethod.storedPaymentMethodId", 64)? {
            let books = self.account.books();
            let token = Id::parse(stored).and_then(|id| books.token(id));
            let unknown =
                Invalid { field: "paymentMethod.storedPaymentMethodId", message: "is unknown" };
            return token.map(|token| token.card.clone()).ok_or(unknown);
        }
        let either = |plain, encrypted| match fields.text(encrypted, 64)? {
            Some(text) => Ok(Some(text.strip_prefix("test_").unwrap_or(text))),
            None => fields.text(plain, 64),
        };
        let number = either("paymentMethod.number", "paymentMethod.encryptedCardNumber")?;
        let month = either("paymentMethod.expiryMonth", "paymentMethod.encryptedExpiryMonth")?;
        let year = either("paymentMethod.expiryYear", "paymentMethod.encryptedExpiryYear")?;
        let cvc = either("paymentMethod.cvc", "paymentMethod.encryptedSecurityCode")?;
        let int = |text: Option<&str>| text.and_then(|text| text.parse().ok()).unwrap_or(-1);
        Card::parse(number.unwrap_or(""), int(month), int(year), cvc).map_err(|wrong| {
            let (field, message) = match wrong {
                CardError::Number => ("paymentMethod.number", "is not a card number"),
                CardError::ExpMonth => ("paymentMethod.expiryMonth", "must be 1 to 12"),
                CardError::ExpYear => ("paymentMethod.expiryYear", "is not a year"),
                CardError::Cvv => ("paymentMethod.cvc", "is not the right length"),
            };
            Invalid { field, message }
        })
    }

    /// Keeps a card without a payment.
    fn store(self) -> Result<Job, Reply> {
        let card = self.card().map_err(validation)?;
        let read = || {
            let model = self.fields.need_text("recurringProcessingModel", 40)?;
            if !["CardOnFile", "Subscription", "UnscheduledCardOnFile"].contains(&model) {
                let message = "is not one of Adyen's";
                return Err(Invalid { field: "recurringProcessingModel", message });
            }
            self.fields.need_text("shopperReference", 256)
        };
        let shopper = read().map_err(validation)?.to_owned();
        let traits = Traits {
            account: self.account.name.clone(),
            operation: OperationKind::Tokenize,
            card: Some(card.clone()),
            amount: None,
            reference: None,
        };
        self.job(
            traits,
            Box::new(move |books, _| {
                Reply::json(201, &view::stored(&books.tokenize(card), &shopper))
            }),
        )
    }

    /// What an account can be paid with: cards.
    fn payment_methods(self) -> Result<Job, Reply> {
        let traits = traits_of_existing(self.account, OperationKind::Lookup, None, None, None);
        let answer = json!({"paymentMethods": [{"name": "Cards", "type": "scheme"}]});
        self.job(traits, Box::new(move |_, _| Reply::json(200, &answer)))
    }

    /// The shopper is back with the result of its challenge: now the payment goes on.
    fn details(self) -> Result<Job, Reply> {
        let result = self.fields.need_text("details.redirectResult", 10_000).map_err(validation)?;
        let unknown = Invalid { field: "details.redirectResult", message: "is unknown" };
        let id = Id::parse(result).ok_or_else(|| validation(unknown.clone()))?;
        let traits =
            traits_of_existing(self.account, OperationKind::Complete, Some(id), None, None);
        let urls = self.urls();
        self.job(
            traits,
            Box::new(move |books, _| {
                let brought = books.payment(id).and_then(|payment| payment.attempt());
                let ends = brought.filter(|attempt| attempt.answered).map(|a| a.settles_with);
                if let Some(decline) = ends {
                    books.conclude(id, decline);
                }
                match books.payment(id) {
                    Some(payment) => Reply::json(200, &view::payment(payment, None, &urls)),
                    None => validation(unknown),
                }
            }),
        )
    }

    fn modify(self, id: &str, kind: Kind, route: Route) -> Result<Job, Reply> {
        let known = Id::parse(id).and_then(|id| self.account.books().payment(id).cloned());
        let Some(payment) = known else {
            let message = "Original pspReference required for this operation";
            return Err(service_error(422, "167", message, "validation"));
        };
        let id = payment.id;
        let (ask, mut answer) = self.ask(kind, route).map_err(validation)?;
        if self.fields.get("amount.currency").is_some_and(|given| *given != payment.currency) {
            let message = "is not the payment's";
            return Err(validation(Invalid { field: "amount.currency", message }));
        }
        answer.insert("paymentPspReference".to_owned(), id.to_string().into());
        let operation = match kind {
            Kind::Capture => OperationKind::Capture,
            Kind::Void => OperationKind::Void,
            Kind::Refund => OperationKind::Refund,
            Kind::Increment => OperationKind::Increment,
        };
        let reference = Some(ask.reference.clone());
        let traits = traits_of_existing(self.account, operation, Some(id), ask.amount, reference);
        self.job(
            traits,
            Box::new(move |books, action| {
                let done = modified(books, id, kind, Ask { decline: action.decline(), ..ask });
                done.map_or_else(refused, |modification| received(answer, modification))
            }),
        )
    }

    /// What is asked, and the part of the answer that repeats it.
    fn ask(&self, kind: Kind, route: Route) -> Result<(Ask, Map<String, Value>), Invalid> {
        let fields = self.fields;
        let mut answer = Map::new();
        answer.insert("merchantAccount".to_owned(), self.merchant_account()?.into());
        let reference = fields.text("reference", LONGEST_REFERENCE)?;
        if let Some(reference) = reference {
            answer.insert("reference".to_owned(), reference.into());
        }
        let mut amount = None;
        if matches!(kind, Kind::Capture | Kind::Refund | Kind::Increment) {
            let value = fields.need_amount("amount.value")?;
            let currency = fields.need_currency("amount.currency")?;
            answer.insert("amount".to_owned(), json!({"value": value, "currency": currency}));
            amount = Some(value);
        }
        let reference = reference.unwrap_or("").to_owned();
        Ok((Ask { reference, amount, route, ..Ask::default() }, answer))
    }

    fn cancel(self) -> Result<Job, Reply> {
        let reference = self.fields.need_text("paymentReference", LONGEST_REFERENCE);
        let reference = reference.map_err(validation)?.to_owned();
        let (ask, mut answer) = self.ask(Kind::Void, Route::ByReference).map_err(validation)?;
        let merchant_account = self.merchant_account().map_err(validation)?;
        answer.insert("paymentReference".to_owned(), reference.clone().into());
        let traits = Traits {
            account: self.account.name.clone(),
            operation: OperationKind::Cancel,
            card: None,
            amount: None,
            reference: Some(reference.clone()),
        };
        self.job(
            traits,
            Box::new(move |books, action: &Action| {
                let ask = Ask { decline: action.decline(), ..ask };
                let mut first = None;
                for payment in books.by_reference(&reference) {
                    let done = modified(books, payment.id, Kind::Void, ask.clone());
                    first = first.or(done.ok());
                }
                let told = first
                    .unwrap_or_else(|| books.announce_cancel_failed(reference, merchant_account));
                received(answer, told)
            }),
        )
    }
}

fn received(mut answer: Map<String, Value>, modification: Id) -> Reply {
    answer.insert("pspReference".to_owned(), modification.to_string().into());
    answer.insert("status".to_owned(), "received".into());
    Reply::json(201, &answer)
}

/// Carries a modification out, or records that it failed, and returns its reference.
fn modified(books: &mut Books, id: Id, kind: Kind, ask: Ask) -> Result<Id, Refusal> {
    let payment = books.payment(id).cloned().ok_or(Refusal::NotFound)?;
    // A reversal cancels what is not captured and refunds what is.
    let refunds = ask.route == Route::Reversal && payment.captured > 0;
    let kind = if refunds { Kind::Refund } else { kind };
    let done = match kind {
        Kind::Capture => books.capture(id, ask.clone(), false),
        Kind::Refund => books.refund(id, ask.clone()),
        Kind::Increment => books.increment(id, ask.clone()),
        Kind::Void if is_settled(&payment) => Err(Refusal::NotVoidable),
        Kind::Void => books.void(id, ask.clone()),
    };
    let done = done.or_else(|refusal| books.record_refused(id, kind, ask, refusal));
    done.map(|(_, operation)| operation.id)
}

/// A sale whose capture was not delayed cannot be cancelled any more.
fn is_settled(payment: &Payment) -> bool {
    payment.status == Status::Captured && !payment.settings.capture_delayed
}

fn refused(refusal: Refusal) -> Reply {
    service_error(422, "702", refusal.message(), "validation")
}
