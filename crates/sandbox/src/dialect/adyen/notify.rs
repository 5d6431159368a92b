//! Adyen's notifications (standard webhooks), signed as Adyen signs them.
//!
//! The signature is HMAC-SHA256, in base64, over `pspReference:originalReference:merchantAccountCode:
//! merchantReference:value:currency:eventCode:success`, with the hexadecimal key of the endpoint.

use aws_lc_rs::hmac;
use serde_json::{Map, Value, json};

use super::refusals::refusal;
use super::view::brand;
use crate::clock::{Id, rfc3339};
use crate::core::{
    Dispute, DisputeStage, DisputeState, Event, EventKind, Kind, Operation, Payment, Route, Status,
    Subject, network,
};

/// One notification's fields, before they are worded and signed.
#[derive(Debug)]
struct Notice<'a> {
    event_code: &'static str,
    psp_reference: Id,
    original: Option<Id>,
    merchant_account: &'a str,
    merchant_reference: &'a str,
    currency: &'a str,
    value: i64,
    success: bool,
    reason: String,
    variant: &'static str,
    more: Map<String, Value>,
}

/// The body for an event; `None` if Adyen would say nothing, or the key is none.
pub(crate) fn notification(event: &Event, secret: &str) -> Option<Value> {
    let key = hmac_key(secret)?;
    let notice = match &event.subject {
        Subject::Reference { reference, merchant_account } => Notice {
            event_code: "TECHNICAL_CANCEL",
            psp_reference: event.id,
            original: None,
            merchant_account,
            merchant_reference: reference,
            currency: "XXX",
            value: 0,
            success: false,
            reason: "Original transaction not found".to_owned(),
            variant: "",
            more: Map::new(),
        },
        Subject::Payment { payment, operation } => {
            let disputed = operation.and_then(|id| payment.disputes.iter().find(|it| it.id == id));
            let operation = operation.and_then(|id| payment.operation(id));
            match (event.kind, operation) {
                (EventKind::Attempted | EventKind::Concluded, _) => authorisation(payment)?,
                (
                    EventKind::Capture | EventKind::Void | EventKind::Refund | EventKind::Increment,
                    Some(operation),
                ) => modification(payment, operation),
                (EventKind::DisputeOpened | EventKind::DisputeMoved, _) => {
                    dispute(payment, disputed?, event.kind)
                }
                (EventKind::Created | EventKind::CancelFailed, _) | (_, None) => return None,
            }
        }
    };
    Some(worded(notice, event.at_ms, &key))
}

fn authorisation(payment: &Payment) -> Option<Notice<'_>> {
    let attempt = payment.attempt()?;
    let card = attempt.card.as_ref()?;
    let (success, reason) = match payment.status {
        Status::Authorized | Status::Captured => {
            let expiry = format!("{:02}/{}", card.exp_month, card.exp_year);
            (true, format!("{}:{}:{expiry}", attempt.auth_code(), card.last4))
        }
        Status::Declined => (false, refusal(attempt.decline?).reason.to_owned()),
        Status::Created | Status::Pending | Status::ActionRequired => return None,
    };
    let mut more = Map::new();
    more.insert("cardSummary".to_owned(), card.last4.clone().into());
    if success {
        more.insert("authCode".to_owned(), attempt.auth_code().into());
        more.insert("networkTxReference".to_owned(), network::transaction_id(attempt).into());
    }
    Some(Notice {
        event_code: "AUTHORISATION",
        psp_reference: payment.id,
        original: None,
        merchant_reference: &payment.reference,
        value: if success { payment.authorized } else { payment.amount },
        success,
        reason,
        more,
        ..base(payment)
    })
}

fn modification<'a>(payment: &'a Payment, operation: &'a Operation) -> Notice<'a> {
    let event_code = match (operation.kind, operation.route) {
        (_, Route::Reversal) => "CANCEL_OR_REFUND",
        (Kind::Capture, _) => "CAPTURE",
        (Kind::Refund, _) => "REFUND",
        (Kind::Increment, _) => "AUTHORISATION_ADJUSTMENT",
        (Kind::Void, Route::ByReference) => "TECHNICAL_CANCEL",
        (Kind::Void, Route::ById) => "CANCELLATION",
    };
    let mut more = Map::new();
    if operation.route == Route::Reversal {
        let action = if operation.kind == Kind::Void { "cancel" } else { "refund" };
        more.insert("modification.action".to_owned(), action.into());
    }
    let own = Some(operation.reference.as_str());
    let own = own.filter(|own| !own.is_empty() && operation.route != Route::ByReference);
    Notice {
        event_code,
        psp_reference: operation.id,
        original: Some(payment.id),
        merchant_reference: own.unwrap_or(&payment.reference),
        value: operation.amount,
        success: operation.failure.is_none(),
        reason: operation.failure.clone().unwrap_or_default(),
        more,
        ..base(payment)
    }
}

/// What is told of a dispute: by the kind of event, and how it stands beyond that.
fn dispute<'a>(payment: &'a Payment, dispute: &'a Dispute, kind: EventKind) -> Notice<'a> {
    use DisputeStage::{Dispute as Chargeback, PreArbitration, PreDispute};
    use DisputeState::{Accepted, Cancelled, Challenged, Expired, Lost, Opened, Won};
    let opened = kind == EventKind::DisputeOpened;
    let event_code = match (dispute.stage, dispute.state) {
        (PreDispute, Opened) => "REQUEST_FOR_INFORMATION",
        (PreDispute, _) => "INFORMATION_SUPPLIED",
        (Chargeback, Opened) if opened => "NOTIFICATION_OF_CHARGEBACK",
        (Chargeback, Opened | Accepted | Lost) => "CHARGEBACK",
        (Chargeback, Challenged | Won | Cancelled) => "CHARGEBACK_REVERSED",
        (Chargeback, Expired) => "DISPUTE_DEFENSE_PERIOD_ENDED",
        (PreArbitration, Opened | Challenged) => "PREARBITRATION_OPEN",
        (PreArbitration, Won | Cancelled) => "PREARBITRATION_WON",
        (PreArbitration, Accepted | Lost | Expired) => "PREARBITRATION_LOST",
    };
    let word = match dispute.state {
        Opened => "Undefended",
        Challenged => "Pending",
        Accepted => "Accepted",
        Won | Cancelled => "Won",
        Lost => "Lost",
        Expired => "Expired",
    };
    let mut more = Map::new();
    more.insert("disputeStatus".to_owned(), word.into());
    more.insert("defensePeriodEndsAt".to_owned(), rfc3339(dispute.respond_by_ms()).into());
    if let Some(code) = dispute.reason_code() {
        more.insert("chargebackReasonCode".to_owned(), code.into());
    }
    Notice {
        event_code,
        psp_reference: dispute.id,
        original: Some(payment.id),
        value: dispute.amount,
        success: true,
        reason: dispute.reason.clone(),
        more,
        ..base(payment)
    }
}

/// What every notice about a payment shares.
fn base(payment: &Payment) -> Notice<'_> {
    Notice {
        event_code: "",
        psp_reference: payment.id,
        original: None,
        merchant_account: payment.settings.merchant_account.as_deref().unwrap_or("sandbox"),
        merchant_reference: &payment.reference,
        currency: &payment.currency,
        value: 0,
        success: false,
        reason: String::new(),
        variant: payment
            .attempt()
            .and_then(|attempt| attempt.card.as_ref())
            .map_or("", |card| brand(card.brand)),
        more: Map::new(),
    }
}

fn worded(notice: Notice<'_>, at_ms: i64, key: &[u8]) -> Value {
    let original = notice.original.map(|id| id.to_string());
    let success = if notice.success { "true" } else { "false" };
    let signed = [
        notice.psp_reference.as_str(),
        original.as_deref().unwrap_or(""),
        notice.merchant_account,
        notice.merchant_reference,
        &notice.value.to_string(),
        notice.currency,
        notice.event_code,
        success,
    ]
    .join(":");
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let signature = base64(hmac::sign(&key, signed.as_bytes()).as_ref());
    let mut more = notice.more;
    more.insert("hmacSignature".to_owned(), signature.into());
    if !notice.variant.is_empty() {
        more.insert("paymentMethodVariant".to_owned(), notice.variant.into());
    }
    let mut item = json!({
        "additionalData": more,
        "amount": {"currency": notice.currency, "value": notice.value},
        "eventCode": notice.event_code,
        "eventDate": rfc3339(at_ms),
        "merchantAccountCode": notice.merchant_account,
        "merchantReference": notice.merchant_reference,
        "paymentMethod": notice.variant,
        "pspReference": notice.psp_reference,
        "reason": notice.reason,
        "success": success,
    });
    if let (Some(original), Some(item)) = (original, item.as_object_mut()) {
        item.insert("originalReference".to_owned(), original.into());
    }
    json!({"live": "false", "notificationItems": [{"NotificationRequestItem": item}]})
}

/// The key's bytes, from hexadecimal.
pub(crate) fn hmac_key(secret: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = secret.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|digits| !digits.is_empty() && digits.len() % 2 == 0)?;
    let byte = |pair: &[u32]| match pair {
        [high, low] => u8::try_from(high * 16 + low).ok(),
        _ => None,
    };
    digits.chunks(2).map(byte).collect()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let at = |place: usize| u32::from(group.get(place).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let index = (bits >> (18 - 6 * place)) & 63;
            let sign = ALPHABET.get(index as usize).copied().unwrap_or(b'=');
            text.push(if place > group.len() as u32 { '=' } else { char::from(sign) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_follows_rfc_4648() {
        let rows =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, coded) in rows {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn a_key_is_hexadecimal() {
        assert_eq!(hmac_key("00ffA1"), Some(vec![0, 255, 161]));
        for wrong in ["", "0", "0g", "éé"] {
            assert_eq!(hmac_key(wrong), None, "{wrong}");
        }
    }
}
