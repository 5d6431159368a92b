//! What providers tell by themselves, in their own words and under their own signatures.

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use super::books::{Books, Event, Kind, State};
use super::{Dialect, adyen, sandbox, stripe};

/// Secrets that the simulated providers sign with, and that the accounts know.
pub(crate) const STRIPE_SECRET: &str = "whsec_simulated";
pub(crate) const ADYEN_KEY: &str =
    "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
pub(crate) const ADYEN_ACCOUNT: &str = "SimulatedShop";

/// A webhook, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    dialect: Dialect,
    pub(crate) body: Vec<u8>,
    pub(crate) what: String,
}

impl Message {
    /// The header fields of a delivery: where the time is signed, each delivery is signed anew.
    pub(crate) fn headers(&self, now_ms: i64) -> Vec<(String, String)> {
        let header = match self.dialect {
            Dialect::Stripe => "stripe-signature",
            Dialect::Sandbox => "sandbox-signature",
            // Its signature is in the body.
            Dialect::Adyen => return Vec::new(),
        };
        let seconds = now_ms.div_euclid(1_000);
        let key = hmac::Key::new(hmac::HMAC_SHA256, STRIPE_SECRET.as_bytes());
        let signed = [seconds.to_string().as_bytes(), b".", &self.body].concat();
        let signature = format!("t={seconds},v1={}", hex(hmac::sign(&key, &signed).as_ref()));
        vec![(header.to_owned(), signature)]
    }
}

/// The webhook that tells an event, as the books stand now; none where nothing is told.
pub(crate) fn of(dialect: Dialect, books: &Books, event: &Event) -> Option<Message> {
    match dialect {
        Dialect::Sandbox => of_sandbox(books, event),
        Dialect::Stripe => of_stripe(books, event),
        Dialect::Adyen => of_adyen(books, event),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn of_stripe(books: &Books, event: &Event) -> Option<Message> {
    let (kind, object) = match event {
        Event::Payment(place) => {
            let paid = books.payment(*place)?;
            let kind = match paid.state {
                State::Unconfirmed => return None,
                State::Pending => "payment_intent.processing",
                State::Challenge => "payment_intent.requires_action",
                State::Declined(_) => "payment_intent.payment_failed",
                State::Authorized => "payment_intent.amount_capturable_updated",
                State::Captured => "payment_intent.succeeded",
            };
            (kind, stripe::intent(books, paid))
        }
        Event::Change(place) => {
            let made = books.changes.get(*place)?;
            let paid = books.payment(made.payment)?;
            match made.kind {
                Kind::Capture => ("payment_intent.succeeded", stripe::intent(books, paid)),
                Kind::Void => ("payment_intent.canceled", stripe::intent(books, paid)),
                Kind::Raise => {
                    ("payment_intent.amount_capturable_updated", stripe::intent(books, paid))
                }
                Kind::Refund => ("refund.created", stripe::refund_json(books, *place)?),
            }
        }
        Event::Refused { .. } | Event::NothingToCancel { .. } => return None,
    };
    let body =
        json!({ "id": "evt_1", "object": "event", "type": kind, "data": { "object": object } });
    let body = body.to_string().into_bytes();
    Some(Message { dialect: Dialect::Stripe, body, what: kind.to_owned() })
}

/// About the payment, or about what was made of it: a cancel by reference is no operation of its own.
fn of_sandbox(books: &Books, event: &Event) -> Option<Message> {
    let (kind, paid, operation) = match event {
        Event::Payment(place) => ("payment", books.payment(*place)?, Value::Null),
        Event::Change(place) => {
            let made = books.changes.get(*place)?;
            let paid = books.payment(made.payment)?;
            let by_reference = made.kind == Kind::Void && made.reference == paid.reference;
            let shown = if by_reference { Value::Null } else { sandbox::operation(made, paid) };
            ("operation", paid, shown)
        }
        Event::Refused { .. } | Event::NothingToCancel { .. } => return None,
    };
    let payment = sandbox::payment_json(paid);
    let what =
        format!("{kind} {}", payment.get("status").and_then(Value::as_str).unwrap_or_default());
    let body = json!({ "id": "se_1", "type": what, "payment": payment, "operation": operation });
    Some(Message { dialect: Dialect::Sandbox, body: body.to_string().into_bytes(), what })
}

/// The fields of an Adyen notification that are signed, in their order.
struct Item<'a> {
    psp: &'a str,
    original: &'a str,
    reference: &'a str,
    amount: i64,
    currency: &'a str,
    code: &'a str,
    success: bool,
    reason: &'a str,
}

fn of_adyen(books: &Books, event: &Event) -> Option<Message> {
    match event {
        Event::Payment(place) => {
            let paid = books.payment(*place)?;
            let (success, reason) = match paid.state {
                State::Authorized | State::Captured => (true, ""),
                State::Declined(by) => (false, adyen::refusal(by).1),
                State::Unconfirmed | State::Pending | State::Challenge => return None,
            };
            Some(notification(&Item {
                psp: &paid.id,
                original: "",
                reference: &paid.reference,
                amount: if success { paid.authorized } else { paid.amount },
                currency: &paid.currency,
                code: "AUTHORISATION",
                success,
                reason,
            }))
        }
        Event::Change(place) => {
            let made = books.changes.get(*place)?;
            let paid = books.payment(made.payment)?;
            Some(notification(&Item {
                psp: &made.id,
                original: &paid.id,
                // That of a cancel by reference is the payment's.
                reference: if made.by_reference { &paid.reference } else { &made.reference },
                amount: made.amount,
                currency: &paid.currency,
                code: if made.by_reference { "TECHNICAL_CANCEL" } else { code(made.kind) },
                success: true,
                reason: "",
            }))
        }
        Event::Refused { kind, payment, reference, id, amount } => {
            let paid = books.payment(*payment)?;
            Some(notification(&Item {
                psp: id,
                original: &paid.id,
                reference,
                amount: *amount,
                currency: &paid.currency,
                code: code(*kind),
                success: false,
                reason: "not possible",
            }))
        }
        Event::NothingToCancel { reference, id } => Some(notification(&Item {
            psp: id,
            original: "",
            reference,
            amount: 0,
            currency: "EUR",
            code: "TECHNICAL_CANCEL",
            success: false,
            reason: "not found",
        })),
    }
}

const fn code(kind: Kind) -> &'static str {
    match kind {
        Kind::Capture => "CAPTURE",
        Kind::Void => "CANCELLATION",
        Kind::Refund => "REFUND",
        Kind::Raise => "AUTHORISATION_ADJUSTMENT",
    }
}

fn notification(item: &Item<'_>) -> Message {
    let success = if item.success { "true" } else { "false" };
    let amount = item.amount.to_string();
    let fields = [
        item.psp,
        item.original,
        ADYEN_ACCOUNT,
        item.reference,
        &amount,
        item.currency,
        item.code,
        success,
    ];
    let key = baton_connect::bytes_of_hex(ADYEN_KEY).unwrap_or_default();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let signature = base64(hmac::sign(&key, fields.join(":").as_bytes()).as_ref());
    let mut inner = json!({
        "pspReference": item.psp,
        "merchantAccountCode": ADYEN_ACCOUNT,
        "merchantReference": item.reference,
        "amount": { "value": item.amount, "currency": item.currency },
        "eventCode": item.code,
        "success": success,
        "reason": item.reason,
        "additionalData": { "hmacSignature": signature },
    });
    if !item.original.is_empty()
        && let Some(fields) = inner.as_object_mut()
    {
        fields.insert("originalReference".to_owned(), Value::from(item.original));
    }
    let body =
        json!({ "live": "false", "notificationItems": [{ "NotificationRequestItem": inner }] });
    Message {
        dialect: Dialect::Adyen,
        body: body.to_string().into_bytes(),
        what: format!("{} {success}", item.code),
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u32| {
        let place = usize::try_from(bits & 63).unwrap_or(0);
        DIGITS.get(place).map_or('A', |digit| char::from(*digit))
    };
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |place: usize| u32::from(chunk.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        text.push(digit(bits >> 18));
        text.push(digit(bits >> 12));
        text.push(if chunk.len() > 1 { digit(bits >> 6) } else { '=' });
        text.push(if chunk.len() > 2 { digit(bits) } else { '=' });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_reads_back() {
        for text in ["", "a", "ab", "abc", "abcd"] {
            let read = baton_connect::bytes_of_base64(&base64(text.as_bytes()));
            assert_eq!(read.unwrap_or_default(), text.as_bytes());
        }
    }
}
