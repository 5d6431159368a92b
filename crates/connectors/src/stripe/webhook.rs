//! Stripe's events. The signature is over time and body, in the header `Stripe-Signature`.

use baton_connect::{
    EventSubject, Incoming, KeyForm, Manifest, Signature, Signed, WebhookError, WebhookEvent,
    bytes_of_hex, identifier,
};
use baton_types::Timestamp;
use baton_types::outcome::{Finding, Outcome};
use serde::Deserialize;
use serde_json::Value;

use super::objects::{Intent, Refund, parse};

#[derive(Deserialize)]
struct Event {
    id: String,
    object: String,
    #[serde(rename = "type")]
    kind: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    object: Value,
}

pub(super) fn read(
    manifest: &Manifest,
    message: &Incoming<'_>,
) -> Result<Vec<Signed>, WebhookError> {
    let header = message.header("stripe-signature");
    let header = header.ok_or(WebhookError::Malformed("no Stripe-Signature"))?;
    let mut time = None;
    let mut candidates = Vec::new();
    for element in header.split(',') {
        match element.trim().split_once('=') {
            Some(("t", value)) => time = Some(value),
            // v0 is of test clients only, and weaker.
            Some(("v1", value)) => candidates.extend(bytes_of_hex(value)),
            _ => {}
        }
    }
    let malformed = WebhookError::Malformed("Stripe-Signature has no time");
    let time = time.ok_or(malformed)?;
    let seconds: i64 = time.parse().map_err(|_| malformed)?;
    let signed_at = Timestamp::from_millis(seconds.checked_mul(1_000).ok_or(malformed)?);
    let event: Event = parse(message.body).ok_or(WebhookError::Malformed("no event"))?;
    if event.object != "event" {
        return Err(WebhookError::Malformed("no event"));
    }
    let signature = Signature {
        credential: "WebhookSecret".to_owned(),
        key_form: KeyForm::Text,
        message: [time.as_bytes(), b".", message.body].concat(),
        candidates,
        signed_at: Some(signed_at),
    };
    Ok(vec![Signed::new(signature, events(manifest, &event))])
}

fn events(manifest: &Manifest, event: &Event) -> Vec<WebhookEvent> {
    match event.kind.as_str() {
        "payment_intent.succeeded"
        | "payment_intent.amount_capturable_updated"
        | "payment_intent.payment_failed"
        | "payment_intent.processing"
        | "payment_intent.requires_action"
        | "payment_intent.canceled" => {
            let intent = serde_json::from_value::<Intent>(event.data.object.clone()).ok();
            let intent = intent.filter(Intent::is_one);
            intent.map(|intent| of_intent(manifest, event, &intent)).unwrap_or_default()
        }
        "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => {
            let refund = serde_json::from_value::<Refund>(event.data.object.clone()).ok();
            let refund = refund.filter(Refund::is_one);
            refund.and_then(|refund| of_refund(manifest, event, &refund)).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn of_intent(manifest: &Manifest, event: &Event, intent: &Intent) -> Vec<WebhookEvent> {
    let manual = intent.capture_method.as_deref() == Some("manual");
    let finding = match intent.status.as_str() {
        "canceled" => Some(Finding::Voided),
        _ => intent.outcome(manifest, !manual).map(|outcome| Finding::Found { outcome }),
    };
    let told = |subject, reference: Option<&String>, finding| WebhookEvent {
        name: event.kind.clone(),
        id: identifier(&event.id),
        subject,
        reference: reference.and_then(|text| identifier(text)),
        provider_reference: identifier(&intent.id),
        payment_reference: identifier(&intent.id),
        finding,
    };
    let purchase = finding
        .map(|finding| told(EventSubject::Purchase, intent.metadata.reference.as_ref(), finding));
    // That a held intent succeeded is the news of its capture.
    let sum = intent.amount_received.and_then(|units| intent.money(manifest, units));
    let capture = sum.filter(|sum| sum.is_positive() && manual && intent.status == "succeeded");
    let capture = capture.map(|sum| {
        let outcome = Outcome::Approved { amount: Some(sum), answer: intent.answer() };
        let reference = intent.metadata.capture.as_ref();
        told(EventSubject::Capture, reference, Finding::Found { outcome })
    });
    purchase.into_iter().chain(capture).collect()
}

fn of_refund(manifest: &Manifest, event: &Event, refund: &Refund) -> Option<WebhookEvent> {
    let outcome = refund.outcome(manifest)?;
    Some(WebhookEvent {
        name: event.kind.clone(),
        id: identifier(&event.id),
        subject: EventSubject::Refund,
        reference: refund.metadata.reference.as_deref().and_then(identifier),
        provider_reference: identifier(&refund.id),
        payment_reference: refund.payment_intent.as_deref().and_then(identifier),
        finding: Finding::Found { outcome },
    })
}
