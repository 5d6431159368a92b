//! The sandbox's events. The signature is over time and body, in the header `Sandbox-Signature`.

use baton_connect::{
    EventSubject, Incoming, KeyForm, Manifest, Signature, Signed, WebhookError, WebhookEvent,
    bytes_of_hex, identifier,
};
use baton_types::outcome::Finding;
use baton_types::{Currency, Timestamp};
use serde::Deserialize;

use super::dispute::Dispute;
use super::reply::{Amount, Asked, Modification, Payment};

#[derive(Deserialize)]
struct Event {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    created: String,
    payment: Payment,
    operation: Option<Operation>,
    #[serde(default)]
    dispute: Option<Dispute>,
}

/// A capture, void or refund, with what it is.
#[derive(Deserialize)]
struct Operation {
    r#type: String,
    #[serde(flatten)]
    made: Modification,
}

pub(super) fn read(
    manifest: &Manifest,
    message: &Incoming<'_>,
) -> Result<Vec<Signed>, WebhookError> {
    let header = message.header("sandbox-signature");
    let header = header.ok_or(WebhookError::Malformed("no Sandbox-Signature"))?;
    let malformed = WebhookError::Malformed("Sandbox-Signature is not t=…,v1=…");
    let (time, tag) = header.split_once(",v1=").ok_or(malformed)?;
    let time = time.strip_prefix("t=").ok_or(malformed)?;
    let seconds: i64 = time.parse().map_err(|_| malformed)?;
    let signed_at = Timestamp::from_millis(seconds.checked_mul(1_000).ok_or(malformed)?);
    let event: Event = serde_json::from_slice(message.body)
        .map_err(|_| WebhookError::Malformed("no event of the sandbox"))?;
    let signature = Signature {
        credential: "WebhookSecret".to_owned(),
        key_form: KeyForm::Text,
        message: [time.as_bytes(), b".", message.body].concat(),
        candidates: bytes_of_hex(tag).into_iter().collect(),
        signed_at: Some(signed_at),
    };
    if let Some(dispute) = &event.dispute {
        let told = dispute.event(manifest, &event.kind, &event.created);
        let told = told.ok_or(WebhookError::Malformed("no dispute of the sandbox"))?;
        return Ok(vec![Signed::new(signature, Vec::new()).with_disputes(vec![told])]);
    }
    Ok(vec![Signed::new(signature, events(manifest, &event).into_iter().collect())])
}

/// An event is about the payment, or about what was made of it; never about both.
fn events(manifest: &Manifest, event: &Event) -> Option<WebhookEvent> {
    let told = |subject, reference: &str, id: &str, finding| WebhookEvent {
        name: event.kind.clone(),
        id: identifier(&event.id),
        subject,
        reference: identifier(reference),
        provider_reference: identifier(id),
        payment_reference: identifier(&event.payment.id),
        finding,
    };
    let Some(Operation { r#type, made }) = &event.operation else {
        let paid = &event.payment;
        let asked = Asked { manifest, reference: &paid.reference, amount: None };
        // A sale has taken what was authorized; a hold that was captured since was approved too.
        let finding = asked.payment_finding(paid, false)?;
        return Some(told(EventSubject::Purchase, &paid.reference, &paid.id, finding));
    };
    let (subject, amount) = match r#type.as_str() {
        "capture" => (EventSubject::Capture, Some(money(manifest, &made.amount)?)),
        "refund" => (EventSubject::Refund, Some(money(manifest, &made.amount)?)),
        "increment" => (EventSubject::Increment, Some(money(manifest, &made.amount)?)),
        "void" => (EventSubject::Void, None),
        _ => return None,
    };
    let asked = Asked { manifest, reference: &made.reference, amount };
    let finding = Finding::Found { outcome: asked.modification(made)? };
    Some(told(subject, &made.reference, &made.id, finding))
}

fn money(manifest: &Manifest, amount: &Amount) -> Option<baton_types::Money> {
    manifest.from_provider_units(amount.value, Currency::parse(&amount.currency).ok()?)
}

#[cfg(test)]
mod tests {
    use baton_types::outcome::Outcome;

    use super::*;
    use crate::sandbox::Sandbox;

    fn event(payment: &str, operation: &str) -> Option<WebhookEvent> {
        let body = format!(
            r#"{{"id": "se_1", "type": "t", "created": "2026-01-01T00:00:00Z", "payment": {payment},
                "operation": {operation}}}"#
        );
        let sandbox = Sandbox::new().unwrap();
        events(&sandbox.manifest, &serde_json::from_str(&body).unwrap())
    }

    fn payment(status: &str, captured: i64, voided: bool) -> String {
        format!(
            r#"{{"id": "sp_1", "reference": "ref-a1", "status": "{status}",
                "amount": {{"value": 1000, "currency": "USD"}}, "authorized": 1000,
                "captured": {captured}, "voided": {voided}, "auth_code": "A1",
                "decline": {{"code": "do_not_honor", "by": "issuer", "message": null}}}}"#
        )
    }

    fn operation(kind: &str, status: &str, failure: &str) -> String {
        format!(
            r#"{{"id": "so_1", "type": "{kind}", "payment": "sp_1", "reference": "ref-x1",
                "status": "{status}", "amount": {{"value": 400, "currency": "USD"}},
                "failure": {failure}, "created": "2026-01-01T00:00:00Z"}}"#
        )
    }

    #[test]
    fn an_event_is_about_one_call() {
        let shown = |event: Option<WebhookEvent>| {
            event.map(|event| {
                let finding = match event.finding {
                    Finding::Found { outcome: Outcome::Approved { amount, .. } } => {
                        format!("approved {:?}", amount.map(baton_types::Money::minor))
                    }
                    Finding::Found { outcome } => outcome.class().to_owned(),
                    Finding::Voided => "voided".to_owned(),
                    Finding::NotFound | Finding::Inconclusive => "nothing".to_owned(),
                };
                format!("{:?} {} {finding}", event.subject, event.reference.unwrap())
            })
        };
        #[rustfmt::skip]
        let rows = [
            (payment("captured", 1000, false), "null".to_owned(), Some("Purchase ref-a1 approved Some(1000)")),
            (payment("authorized", 0, false), "null".to_owned(), Some("Purchase ref-a1 approved Some(1000)")),
            (payment("declined", 0, false), "null".to_owned(), Some("Purchase ref-a1 declined")),
            (payment("pending", 0, false), "null".to_owned(), Some("Purchase ref-a1 pending")),
            (payment("authorized", 0, true), "null".to_owned(), Some("Purchase ref-a1 voided")),
            (payment("strange", 0, false), "null".to_owned(), None),
            (payment("captured", 400, false), operation("capture", "succeeded", "null"), Some("Capture ref-x1 approved Some(400)")),
            (payment("captured", 400, false), operation("refund", "succeeded", "null"), Some("Refund ref-x1 approved Some(400)")),
            (payment("captured", 400, false), operation("refund", "failed", "\"do_not_honor\""), Some("Refund ref-x1 declined")),
            (payment("authorized", 0, true), operation("void", "succeeded", "null"), Some("Void ref-x1 approved None")),
            (payment("captured", 400, false), operation("dance", "succeeded", "null"), None),
        ];
        for (payment, operation, want) in rows {
            let got = shown(event(&payment, &operation));
            assert_eq!(got.as_deref(), want, "{payment} {operation}");
        }
    }
}
