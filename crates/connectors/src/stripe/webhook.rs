//! Stripe's events. The signature is over time and body, in the header `Stripe-Signature`.

use baton_connect::{
    DisputeEvent, EventSubject, Incoming, KeyForm, Manifest, Signature, Signed, WebhookError,
    WebhookEvent, bytes_of_hex, identifier,
};
use baton_types::Timestamp;
use baton_types::outcome::{Finding, Outcome};
use serde::Deserialize;
use serde_json::Value;

use super::dispute;
use super::objects::{Intent, Refund, parse};
use super::setup::Setup;

#[derive(Deserialize)]
struct Event {
    id: String,
    object: String,
    #[serde(rename = "type")]
    kind: String,
    /// In seconds.
    created: Option<i64>,
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
    let disputes = of_dispute(manifest, &event).into_iter().collect();
    Ok(vec![Signed::new(signature, events(manifest, &event)).with_disputes(disputes)])
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
        "setup_intent.succeeded"
        | "setup_intent.setup_failed"
        | "setup_intent.requires_action"
        | "setup_intent.canceled" => {
            let setup = serde_json::from_value::<Setup>(event.data.object.clone()).ok();
            let setup = setup.filter(Setup::is_one);
            setup.and_then(|setup| of_setup(manifest, event, &setup)).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// A verification, which moves no money: the event has no amount, and nobody has to ask for one.
fn of_setup(manifest: &Manifest, event: &Event, setup: &Setup) -> Option<WebhookEvent> {
    let finding = match setup.status.as_str() {
        "canceled" => Finding::Voided,
        _ => Finding::Found { outcome: setup.outcome(manifest, None)? },
    };
    Some(WebhookEvent {
        name: event.kind.clone(),
        id: identifier(&event.id),
        subject: EventSubject::Purchase,
        reference: setup.metadata.reference.as_deref().and_then(identifier),
        provider_reference: identifier(&setup.id),
        payment_reference: identifier(&setup.id),
        finding,
    })
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

/// Each of these carries the dispute as it was then. One in a state that Stripe does not document says nothing.
fn of_dispute(manifest: &Manifest, event: &Event) -> Option<DisputeEvent> {
    match event.kind.as_str() {
        "charge.dispute.created"
        | "charge.dispute.updated"
        | "charge.dispute.closed"
        | "charge.dispute.funds_withdrawn"
        | "charge.dispute.funds_reinstated" => {
            dispute::event(manifest, &event.kind, event.created, &event.data.object)
        }
        _ => None,
    }
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

#[cfg(test)]
mod tests {
    use baton_connect::{Freshness, Verifier};
    use baton_types::outcome::Outcome;
    use baton_types::{DeclinedBy, Secret};
    use serde_json::json;

    use super::*;

    struct Anyone;
    impl Verifier for Anyone {
        fn hmac_sha256(&self, _: &[u8], _: &[u8], _: &[u8]) -> bool {
            true
        }
    }

    fn told(kind: &str, object: Value) -> Vec<WebhookEvent> {
        let stripe = crate::stripe::Stripe::new().unwrap();
        let event =
            json!({"id": "evt_1", "object": "event", "type": kind, "data": {"object": object}});
        let body = event.to_string();
        let headers = [("stripe-signature".to_owned(), "t=1,v1=00".to_owned())];
        let message = Incoming { headers: &headers, body: body.as_bytes() };
        let read = read(&stripe.manifest, &message).unwrap();
        let secret = Secret::new("whsec".to_owned());
        let secrets = std::collections::HashMap::from([("WebhookSecret".to_owned(), secret)]);
        let freshness = Freshness { now: Timestamp::from_millis(1_000), tolerance_ms: 1 };
        let signed = read.into_iter().next().unwrap();
        signed.open(&secrets, &Anyone, freshness).unwrap().events
    }

    fn setup(status: &str, more: Value) -> Value {
        let mut object = json!({"id": "seti_1", "object": "setup_intent", "status": status,
            "metadata": {"reference": "01m-a1"}});
        if let (Some(fields), Value::Object(more)) = (object.as_object_mut(), more) {
            fields.extend(more);
        }
        object
    }

    /// What each event of a Setup Intent says, as docs.stripe.com/api/events/types and /api/setup_intents/object have it.
    #[test]
    fn events_of_set_ups_are_about_the_purchase() {
        let failure = json!({"last_setup_error": {"type": "card_error", "code": "card_declined",
            "decline_code": "do_not_honor", "message": "No."}});
        let page = json!({"next_action": {"type": "redirect_to_url",
            "redirect_to_url": {"url": "https://hooks.stripe.com/3ds", "return_url": "https://shop.example"}}});
        let rows = [
            ("setup_intent.succeeded", setup("succeeded", json!({})), "approved"),
            ("setup_intent.setup_failed", setup("requires_payment_method", failure), "declined"),
            ("setup_intent.requires_action", setup("requires_action", page), "action_required"),
            ("setup_intent.canceled", setup("canceled", json!({})), "voided"),
            // An event may be older than what it shows: the object is what counts.
            ("setup_intent.requires_action", setup("succeeded", json!({})), "approved"),
        ];
        for (kind, object, want) in rows {
            let events = told(kind, object);
            let [event] = events.as_slice() else { panic!("{kind}: {events:?}") };
            assert_eq!((event.name.as_str(), event.subject), (kind, EventSubject::Purchase));
            assert_eq!(event.reference.as_deref(), Some("01m-a1"));
            assert_eq!(event.provider_reference.as_deref(), Some("seti_1"));
            let is = match &event.finding {
                Finding::Voided => "voided",
                Finding::Found { outcome } => outcome.class(),
                Finding::NotFound | Finding::Inconclusive => "nothing",
            };
            assert_eq!(is, want, "{kind}");
            if let Finding::Found { outcome: Outcome::Approved { amount, .. } } = &event.finding {
                assert_eq!(*amount, None, "there is none to be told");
            }
            if let Finding::Found { outcome: Outcome::Declined { by, .. } } = &event.finding {
                assert_eq!(*by, DeclinedBy::Issuer);
            }
        }
    }

    #[test]
    fn what_is_no_news_of_a_set_up_says_nothing() {
        for (kind, object) in [
            ("setup_intent.created", setup("requires_confirmation", json!({}))),
            ("setup_intent.succeeded", json!({"id": "seti_1", "object": "payment_intent"})),
            ("setup_intent.succeeded", setup("succeeded", json!({"object": "payment_intent"}))),
            ("setup_intent.succeeded", setup("succeeded", json!({"id": "pi_1"}))),
            ("setup_intent.setup_failed", setup("requires_payment_method", json!({}))),
            ("setup_intent.requires_action", setup("requires_confirmation", json!({}))),
            ("setup_intent.succeeded", setup("some_day", json!({}))),
        ] {
            assert_eq!(told(kind, object.clone()), [], "{kind}: {object}");
        }
    }
}
