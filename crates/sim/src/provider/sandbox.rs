//! The sandbox's own dialect, as docs/sandbox.md describes it: what its connector sends and reads.

use baton_connect::HttpReply;
use serde_json::{Value, json};

use super::books::{Books, Decline, Kind, Made, New, Paid, Refusal, State};
use super::{Context, Meaning, Request, Served};

pub(super) fn serve(books: &mut Books, at: &Context<'_>, request: &Request) -> Served {
    let segments: Vec<&str> = request.segments().collect();
    let body = request.json();
    match (request.method, segments.as_slice()) {
        ("POST", ["payments"]) => create(books, at, &body),
        ("POST", ["payments", id, what]) => change(books, at, id, what, &body),
        ("GET", ["payments"]) => {
            let found = books.shown(request.query("reference").unwrap_or_default(), at.now_ms);
            let data: Vec<Value> = found.into_iter().map(payment_json).collect();
            Served::shown(json!({ "data": data }))
        }
        ("GET", ["operations"]) => {
            let reference = request.query("reference").unwrap_or_default();
            let found = books.changes_shown(reference, at.now_ms);
            let data: Vec<Value> = found
                .into_iter()
                .filter_map(|made| Some(change_json(made, books.payment(made.payment)?)))
                .collect();
            Served::shown(json!({ "data": data }))
        }
        ("POST", ["cancels"]) => cancel(books, at, &body),
        _ => error(404, "not_found"),
    }
}

pub(super) fn error(status: u16, code: &str) -> Served {
    let body = json!({ "error": { "code": code, "message": "Simulated." } });
    Served::new(status, &body, Meaning::Refused)
}

fn create(books: &mut Books, at: &Context<'_>, body: &Value) -> Served {
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
    let (Some(reference), Some(currency), Some(amount)) = (
        text("/reference"),
        text("/amount/currency"),
        body.pointer("/amount/value").and_then(Value::as_i64),
    ) else {
        return error(400, "validation");
    };
    if books.fenced.contains(reference) {
        return error(409, "reference_cancelled");
    }
    let new = New {
        reference: reference.to_owned(),
        amount,
        currency: currency.to_owned(),
        sale: body.get("capture").and_then(Value::as_bool).unwrap_or(false),
    };
    let verdict = at.verdict(amount);
    let place = books.make("sp_", new, verdict, at.now_ms, at.lag_ms);
    books.confirm(place, at.now_ms);
    match books.payment(place) {
        Some(paid) => Served::new(201, &payment_json(paid), Meaning::of(paid)),
        None => error(500, "internal_error"),
    }
}

fn change(books: &mut Books, at: &Context<'_>, id: &str, what: &str, body: &Value) -> Served {
    let Some(place) = books.place(id) else { return error(404, "not_found") };
    let reference = body.get("reference").and_then(Value::as_str).unwrap_or_default();
    let amount = body.get("amount").and_then(Value::as_i64).unwrap_or_default();
    let made = match what {
        "captures" => books.capture(place, amount, reference, at.now_ms),
        "voids" => books.void(place, reference, at.now_ms),
        "refunds" => books.refund(place, amount, reference, at.now_ms),
        "increments" => books.raise(place, amount, reference, at.now_ms),
        _ => return error(404, "not_found"),
    };
    match made {
        Ok(made) => match (books.changes.get(made), books.payment(place)) {
            (Some(made), Some(paid)) => {
                Served::new(201, &change_json(made, paid), Meaning::Approved)
            }
            _ => error(500, "internal_error"),
        },
        Err(refusal) => error(409, word(refusal)),
    }
}

/// Voids what has this reference, and refuses what arrives with it later.
fn cancel(books: &mut Books, at: &Context<'_>, body: &Value) -> Served {
    let reference = body.get("reference").and_then(Value::as_str).unwrap_or_default().to_owned();
    let ids: Vec<String> = books.with_reference(&reference).map(|paid| paid.id.clone()).collect();
    if at.traits.fences {
        books.fenced.insert(reference.clone());
    } else if ids.is_empty() {
        // It keeps nothing out, so that it cancelled nothing says nothing.
        return error(404, "not_found");
    }
    let (mut cancelled, mut refused) = (Vec::new(), Vec::new());
    for id in ids {
        let Some(place) = books.place(&id) else { continue };
        let was_voided = books.payment(place).is_some_and(|paid| paid.voided);
        let is_over = books.payment(place).is_some_and(|p| matches!(p.state, State::Declined(_)));
        if was_voided || books.void(place, &reference, at.now_ms).is_ok() {
            cancelled.push(json!(id));
        } else if !is_over {
            refused.push(json!({ "id": id, "code": "not_voidable" }));
        }
    }
    let meaning = if refused.is_empty() { Meaning::Approved } else { Meaning::Declined };
    let body = json!({ "cancelled": cancelled, "refused": refused, "fenced": true });
    Served::new(200, &body, meaning)
}

const fn word(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NotCapturable => "not_capturable",
        Refusal::TooMuch => "amount_exceeds_capturable",
        Refusal::NotVoidable => "not_voidable",
        Refusal::NotRefundable => "not_refundable",
        Refusal::NotRaisable => "not_incrementable",
    }
}

pub(super) fn payment_json(paid: &Paid) -> Value {
    let decline = match paid.state {
        State::Declined(by) => {
            let (by, code) = match by {
                Decline::Issuer => ("issuer", "insufficient_funds"),
                Decline::Risk => ("provider_risk", "risk_blocked"),
                Decline::Provider => ("provider", "provider_declined"),
            };
            json!({ "by": by, "code": code, "message": null })
        }
        State::Unconfirmed
        | State::Pending
        | State::Challenge
        | State::Authorized
        | State::Captured => Value::Null,
    };
    let status = match (&paid.state, paid.captured == paid.authorized) {
        (State::Unconfirmed | State::Pending, _) => "pending",
        (State::Challenge, _) => "action_required",
        (State::Declined(_), _) => "declined",
        (State::Authorized, _) | (State::Captured, false) => "authorized",
        (State::Captured, true) => "captured",
    };
    json!({
        "id": paid.id,
        "reference": paid.reference,
        "status": status,
        "amount": { "value": paid.amount, "currency": paid.currency },
        "authorized": paid.authorized,
        "captured": paid.taken(),
        "voided": paid.voided,
        "auth_code": "123456",
        "decline": decline,
    })
}

/// The same as an event shows it.
pub(super) fn operation(made: &Made, paid: &Paid) -> Value {
    let mut shown = change_json(made, paid);
    if let Some(fields) = shown.as_object_mut() {
        let kind = fields.get("kind").cloned().unwrap_or_default();
        fields.insert("type".to_owned(), kind);
    }
    shown
}

fn change_json(made: &Made, paid: &Paid) -> Value {
    let kind = match made.kind {
        Kind::Capture => "capture",
        Kind::Void => "void",
        Kind::Refund => "refund",
        Kind::Raise => "increment",
    };
    json!({
        "id": made.id,
        "kind": kind,
        "reference": made.reference,
        "status": "succeeded",
        "amount": { "value": made.amount, "currency": paid.currency },
    })
}

/// The answer to a key whose first request still runs.
pub(super) fn in_progress() -> HttpReply {
    error(409, "idempotency_in_progress").reply
}

/// The answer to a key that came with another request.
pub(super) fn mismatch() -> HttpReply {
    error(422, "idempotency_mismatch").reply
}
