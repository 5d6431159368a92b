//! The card part of Adyen's Checkout API: what its connector sends and reads.
//!
//! Captures, cancels and refunds are only `received`; what became of them is told by webhook alone.

use baton_connect::HttpReply;
use serde_json::{Value, json};

use super::books::{Books, Decline, Event, New, Paid, State};
use super::{Context, Meaning, Request, Served};

pub(super) fn serve(books: &mut Books, at: &Context<'_>, request: &Request) -> Served {
    let segments: Vec<&str> = request.segments().collect();
    let body = request.json();
    match (request.method, segments.as_slice()) {
        ("POST", ["payments"]) => create(books, at, &body),
        ("POST", ["payments", id, what]) => change(books, at, id, what, &body),
        ("POST", ["cancels"]) => cancel(books, at, &body),
        _ => error(404, "000"),
    }
}

pub(super) fn error(status: u16, code: &str) -> Served {
    let body = json!({ "status": status, "errorCode": code, "message": "Simulated.", "errorType": "internal" });
    Served::new(status, &body, Meaning::Refused)
}

pub(super) fn in_progress() -> HttpReply {
    error(422, "704").reply
}

fn text<'a>(body: &'a Value, pointer: &str) -> &'a str {
    body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn create(books: &mut Books, at: &Context<'_>, body: &Value) -> Served {
    let Some(amount) = body.pointer("/amount/value").and_then(Value::as_i64) else {
        return error(422, "100");
    };
    let new = New {
        reference: text(body, "/reference").to_owned(),
        amount,
        currency: text(body, "/amount/currency").to_owned(),
        sale: text(body, "/additionalData/manualCapture") == "false",
    };
    let place = books.make("PSP", new, at.verdict(amount), at.now_ms, at.lag_ms);
    books.confirm(place, at.now_ms);
    match books.payment(place) {
        Some(paid) => Served::new(200, &payment_json(paid), Meaning::of(paid)),
        None => error(500, "905"),
    }
}

fn change(books: &mut Books, at: &Context<'_>, id: &str, what: &str, body: &Value) -> Served {
    let Some(place) = books.place(id) else { return error(422, "167") };
    let reference = text(body, "/reference").to_owned();
    let amount = body.pointer("/amount/value").and_then(Value::as_i64).unwrap_or_default();
    let made = match what {
        "captures" => books.capture(place, amount, &reference, at.now_ms),
        "cancels" => books.void(place, &reference, at.now_ms),
        "refunds" => books.refund(place, amount, &reference, at.now_ms),
        "amountUpdates" => books.raise(place, amount, &reference, at.now_ms),
        _ => return error(404, "000"),
    };
    let op = match made {
        Ok(made) => books.changes.get(made).map(|made| made.id.clone()).unwrap_or_default(),
        // It says so by webhook.
        Err(_) => {
            let op = books.next_id("op_");
            books.refuse(what, place, &reference, &op, amount);
            op
        }
    };
    let answer = json!({
        "pspReference": op,
        "paymentPspReference": id,
        "reference": reference,
        "status": "received",
        "amount": body.get("amount"),
    });
    Served::new(201, &answer, Meaning::Open)
}

/// A cancel of a payment that is known by our reference only.
fn cancel(books: &mut Books, at: &Context<'_>, body: &Value) -> Served {
    let (target, reference) = (text(body, "/paymentReference"), text(body, "/reference"));
    let ids: Vec<String> = books.with_reference(target).map(|paid| paid.id.clone()).collect();
    let mut done = None;
    for id in ids {
        if let Some(place) = books.place(&id) {
            done = books.void(place, reference, at.now_ms).ok().or(done);
        }
    }
    if let Some(made) = done.and_then(|made| books.changes.get_mut(made)) {
        made.by_reference = true;
    }
    let op = match done.and_then(|made| books.changes.get(made)) {
        Some(made) => made.id.clone(),
        None => {
            let id = books.next_id("op_");
            let event = Event::NothingToCancel { reference: target.to_owned(), id: id.clone() };
            books.events.push(event);
            id
        }
    };
    let answer = json!({
        "pspReference": op, "paymentReference": target, "reference": reference, "status": "received",
    });
    Served::new(201, &answer, Meaning::Open)
}

fn payment_json(paid: &Paid) -> Value {
    let amount = json!({ "value": paid.amount, "currency": paid.currency });
    let base = |code: &str| {
        json!({
            "pspReference": paid.id,
            "resultCode": code,
            "merchantReference": paid.reference,
            "amount": amount,
            "additionalData": {},
        })
    };
    match paid.state {
        State::Authorized | State::Captured if paid.authorized == paid.amount => base("Authorised"),
        State::Authorized | State::Captured => {
            let mut answer = base("PartiallyAuthorised");
            if let Some(more) = answer.pointer_mut("/additionalData") {
                *more = json!({
                    "authorisedAmountValue": paid.authorized.to_string(),
                    "authorisedAmountCurrency": paid.currency,
                });
            }
            answer
        }
        State::Declined(by) => {
            let (code, words) = refusal(by);
            let mut answer = base("Refused");
            if let Some(fields) = answer.as_object_mut() {
                fields.insert("refusalReasonCode".to_owned(), code.into());
                fields.insert("refusalReason".to_owned(), words.into());
            }
            answer
        }
        State::Pending | State::Unconfirmed => base("Pending"),
        State::Challenge => {
            let mut answer = base("RedirectShopper");
            if let Some(fields) = answer.as_object_mut() {
                let action =
                    json!({ "type": "redirect", "method": "GET", "url": "https://acs.invalid/" });
                fields.insert("action".to_owned(), action);
            }
            answer
        }
    }
}

pub(super) const fn refusal(by: Decline) -> (&'static str, &'static str) {
    match by {
        Decline::Issuer => ("12", "Not enough balance"),
        Decline::Risk => ("20", "FRAUD"),
        Decline::Provider => ("21", "Not Submitted"),
    }
}
