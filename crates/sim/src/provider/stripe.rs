//! The card part of Stripe's Payment Intents: what its connector sends and reads.

use baton_connect::HttpReply;
use serde_json::{Value, json};

use super::books::{Books, Decline, New, Paid, Refusal, State};
use super::{Context, Meaning, Request, Served};

pub(super) fn serve(books: &mut Books, at: &Context<'_>, request: &Request) -> Served {
    let segments: Vec<&str> = request.segments().collect();
    let form = Form::read(&request.body);
    match (request.method, segments.as_slice()) {
        ("POST", ["v1", "payment_intents"]) => create(books, at, &form),
        ("POST", ["v1", "payment_methods"]) => {
            let id = books.next_id("pm_");
            Served::new(200, &json!({ "id": id, "object": "payment_method" }), Meaning::Shown)
        }
        ("POST", ["v1", "payment_intents", id, what]) => change(books, at, id, what, &form),
        ("POST", ["v1", "refunds"]) => refund(books, at, &form),
        ("GET", ["v1", "payment_intents", id]) => {
            match books.place(id).and_then(|p| books.payment(p)) {
                Some(paid) => Served::shown(intent(books, paid)),
                None => error(404, Some("resource_missing"), None),
            }
        }
        ("GET", ["v1", "payment_intents"]) => list(books, at, request),
        ("GET", ["v1", "refunds"]) => refunds(books, request),
        _ => error(404, Some("resource_missing"), None),
    }
}

pub(super) fn error(status: u16, code: Option<&str>, about: Option<Value>) -> Served {
    let kind = match (status, code) {
        (_, Some("idempotency_error")) => "idempotency_error",
        (400..=499, _) => "invalid_request_error",
        _ => "api_error",
    };
    let body = json!({
        "error": { "type": kind, "code": code, "message": "Simulated.", "payment_intent": about },
    });
    Served::new(status, &body, Meaning::Refused)
}

pub(super) fn in_progress() -> HttpReply {
    error(409, Some("idempotency_key_in_use"), None).reply
}

/// Which order a request is about.
pub(super) fn order(books: &Books, request: &Request) -> Option<u64> {
    let form = Form::read(&request.body);
    let id = request.segments().nth(2).or(form.get("payment_intent"));
    if let Some(paid) = id.and_then(|id| books.place(id)).and_then(|place| books.payment(place)) {
        return Some(paid.order);
    }
    form.get("amount")?.parse().ok().map(super::books::order_of)
}

/// A form's fields.
struct Form<'a>(Vec<(String, &'a str)>);

impl<'a> Form<'a> {
    fn read(body: &'a [u8]) -> Self {
        let text = std::str::from_utf8(body).unwrap_or_default();
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        // What is read here has no other escapes than those of the names' brackets.
        Self(
            pairs
                .map(|(name, value)| (name.replace("%5B", "[").replace("%5D", "]"), value))
                .collect(),
        )
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }
}

fn create(books: &mut Books, at: &Context<'_>, form: &Form<'_>) -> Served {
    let amount = form.get("amount").and_then(|amount| amount.parse().ok());
    let (Some(amount), Some(reference)) = (amount, form.get("metadata[reference]")) else {
        return error(400, Some("parameter_missing"), None);
    };
    let new = New {
        reference: reference.to_owned(),
        amount,
        currency: form.get("currency").unwrap_or_default().to_owned(),
        sale: form.get("capture_method") == Some("automatic"),
    };
    // Lists show what was just written.
    let place = books.make("pi_", new, at.verdict(amount), at.now_ms, at.lag_ms);
    match books.payment(place) {
        Some(paid) => Served::new(200, &intent(books, paid), Meaning::Shown),
        None => error(500, None, None),
    }
}

fn change(books: &mut Books, at: &Context<'_>, id: &str, what: &str, form: &Form<'_>) -> Served {
    let Some(place) = books.place(id) else { return error(404, Some("resource_missing"), None) };
    let done = match what {
        "confirm" => return confirm(books, at, place, form),
        "capture" => {
            let reference = form.get("metadata[capture]").unwrap_or_default();
            let amount = form.get("amount_to_capture").and_then(|amount| amount.parse().ok());
            let once = books.payment(place).is_some_and(|paid| paid.captured == 0);
            let amount = amount.unwrap_or_default();
            if once {
                books.capture(place, amount, reference, at.now_ms)
            } else {
                Err(Refusal::NotCapturable)
            }
        }
        "cancel" => books.void(place, "", at.now_ms),
        "increment_authorization" => {
            let reference = form.get("metadata[increment]").unwrap_or_default();
            let total = form.get("amount").and_then(|amount| amount.parse().ok());
            books.raise(place, total.unwrap_or_default(), reference, at.now_ms)
        }
        _ => return error(404, Some("resource_missing"), None),
    };
    let shown = books.payment(place).map(|paid| intent(books, paid));
    match (done, shown) {
        (Ok(_), Some(shown)) => Served::new(200, &shown, Meaning::Approved),
        (Ok(_) | Err(_), shown) => error(400, Some("payment_intent_unexpected_state"), shown),
    }
}

fn confirm(books: &mut Books, at: &Context<'_>, place: usize, form: &Form<'_>) -> Served {
    let ready =
        books.payment(place).is_some_and(|paid| paid.state == State::Unconfirmed && !paid.voided);
    if !ready {
        let shown = books.payment(place).map(|paid| intent(books, paid));
        return error(400, Some("payment_intent_unexpected_state"), shown);
    }
    books.confirm(place, at.now_ms);
    let alone = form.get("error_on_requires_action") == Some("true");
    if alone
        && let Some(paid) = books.payments.get_mut(place)
        && paid.state == State::Challenge
    {
        // It was told to decline rather than to begin a challenge.
        paid.state = State::Declined(Decline::Issuer);
    }
    let Some(paid) = books.payment(place) else { return error(500, None, None) };
    let shown = intent(books, paid);
    if let State::Declined(by) = paid.state {
        let body = json!({
            "error": {
                "type": "card_error",
                "code": "card_declined",
                "decline_code": decline_code(by),
                "message": "Simulated.",
                "payment_intent": shown,
            },
        });
        return Served::new(402, &body, Meaning::Declined);
    }
    Served::new(200, &shown, Meaning::of(paid))
}

const fn decline_code(by: Decline) -> &'static str {
    match by {
        Decline::Issuer => "insufficient_funds",
        Decline::Risk => "fraudulent",
        Decline::Provider => "testmode_decline",
    }
}

fn refund(books: &mut Books, at: &Context<'_>, form: &Form<'_>) -> Served {
    let place = form.get("payment_intent").and_then(|id| books.place(id));
    let amount = form.get("amount").and_then(|amount| amount.parse().ok()).unwrap_or_default();
    let reference = form.get("metadata[reference]").unwrap_or_default();
    let made = place.map(|place| books.refund(place, amount, reference, at.now_ms));
    match made {
        Some(Ok(made)) => match refund_json(books, made) {
            Some(shown) => Served::new(200, &shown, Meaning::Approved),
            None => error(500, None, None),
        },
        Some(Err(_)) => error(400, Some("charge_already_refunded"), None),
        None => error(404, Some("resource_missing"), None),
    }
}

pub(super) fn refund_json(books: &Books, made: usize) -> Option<Value> {
    let made = books.changes.get(made)?;
    let paid = books.payment(made.payment)?;
    Some(json!({
        "id": made.id,
        "object": "refund",
        "amount": made.amount,
        "currency": paid.currency,
        "payment_intent": paid.id,
        "status": "succeeded",
        "metadata": { "reference": made.reference },
    }))
}

fn list(books: &Books, at: &Context<'_>, request: &Request) -> Served {
    let bound = |name: &str| request.query(name).and_then(|text| text.parse::<i64>().ok());
    let from = bound("created%5Bgte%5D").unwrap_or(0).saturating_mul(1_000);
    let to =
        bound("created%5Blte%5D").map_or(i64::MAX, |s| s.saturating_mul(1_000).saturating_add(999));
    let after = request.query("starting_after").and_then(|id| books.place(id));
    let end = after.unwrap_or(books.payments.len());
    let within = |paid: &&Paid| (from..=to).contains(&paid.made_ms) && paid.shown_ms <= at.now_ms;
    let mut found = books.payments.iter().take(end).rev().filter(within);
    let page: Vec<Value> = found.by_ref().take(100).map(|paid| intent(books, paid)).collect();
    let more = found.next().is_some();
    Served::shown(json!({ "object": "list", "data": page, "has_more": more }))
}

fn refunds(books: &Books, request: &Request) -> Served {
    let about = request.query("payment_intent").and_then(|id| books.place(id));
    let of_it =
        books.changes.iter().enumerate().filter(|(_, made)| {
            Some(made.payment) == about && made.kind == super::books::Kind::Refund
        });
    let data: Vec<Value> = of_it.filter_map(|(place, _)| refund_json(books, place)).collect();
    Served::shown(json!({ "object": "list", "data": data, "has_more": false }))
}

pub(super) fn intent(books: &Books, paid: &Paid) -> Value {
    let status = match (&paid.state, paid.voided) {
        (_, true) => "canceled",
        (State::Unconfirmed, _) => "requires_payment_method",
        (State::Declined(_), _) => "requires_payment_method",
        (State::Pending, _) => "processing",
        (State::Challenge, _) => "requires_action",
        (State::Authorized, _) => "requires_capture",
        (State::Captured, _) => "succeeded",
    };
    let failed = if let State::Declined(by) = paid.state {
        json!({ "type": "card_error", "code": "card_declined", "decline_code": decline_code(by) })
    } else {
        Value::Null
    };
    let action = if paid.state == State::Challenge {
        json!({ "type": "redirect_to_url", "redirect_to_url": { "url": "https://acs.invalid/" } })
    } else {
        Value::Null
    };
    let capture = books.captured_by(&paid.id);
    let open = paid.state == State::Authorized && !paid.voided;
    json!({
        "id": paid.id,
        "object": "payment_intent",
        "amount": paid.amount,
        "currency": paid.currency,
        "status": status,
        "capture_method": if paid.sale { "automatic" } else { "manual" },
        "metadata": { "reference": paid.reference, "capture": capture, "increment": paid.raised_by },
        "amount_received": paid.taken(),
        "amount_capturable": if open { paid.authorized } else { 0 },
        "last_payment_error": failed,
        "next_action": action,
        "latest_charge": null,
    })
}
