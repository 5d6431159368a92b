//! The forms of answers about what merchants are told.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::form::{
    Field, answer, list, maybe_text, maybe_time, maybe_whole, object, of, text, time, whole,
    yes_or_no,
};
use crate::openapi::types::words;
use crate::payments::EVENT_KINDS;

words!(
    /// What happened.
    EventKind,
    "What happened.",
    EVENT_KINDS.iter().map(|kind| kind.as_str()).collect::<Vec<_>>()
);

answer!(
    /// An event in a list.
    Event,
    "Something that a merchant is told.",
    EVENT
);

#[rustfmt::skip]
const EVENT: &[Field] = &[
    ("event_id", text, "Its id, also the `webhook-id` of every try."),
    ("merchant_id", text, "The merchant account."),
    ("profile_id", text, "The profile whose endpoint is told."),
    ("object_id", text, "What it is about."),
    ("event_type", of::<EventKind>, "What happened."),
    ("event_class", text, "`payments`, `refunds`, `mandates` or `disputes`."),
    ("is_delivery_successful", yes_or_no, "Whether an endpoint has taken it."),
    ("initial_attempt_id", text, "The event's id."),
    ("processor_merchant_id", text, "The merchant account."),
    ("created", time, "When it happened; of a try, when that began."),
];

answer!(
    /// A page of events.
    EventPage,
    "A page of events, newest first.",
    &[
        ("events", list::<Event>, "The events."),
        ("total_count", whole, "How many there are without `limit` and `offset`."),
    ]
);

/// A try to deliver an event.
pub(crate) struct EventAttempt;

impl JsonSchema for EventAttempt {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "EventAttempt".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let own: [Field; 3] = [
            ("request", of::<SentRequest>, "What was sent."),
            ("response", of::<GivenResponse>, "What was answered."),
            ("delivery_attempt", text, "`initial_attempt`, `automatic_retry` or `manual_retry`."),
        ];
        let fields: Vec<_> = EVENT.iter().copied().chain(own).collect();
        object("One try to deliver an event.", &fields, &[], generator)
    }
}

fn pairs(_: &mut SchemaGenerator) -> Value {
    let pair = json!({ "type": "array", "items": { "type": "string" } });
    json!({ "type": ["array", "null"], "items": pair })
}

answer!(
    /// What was sent to an endpoint.
    SentRequest,
    "What was sent.",
    &[("body", text, "The body, to the letter."), ("headers", pairs, "Names and values.")]
);

answer!(
    /// What an endpoint answered.
    GivenResponse,
    "What was answered, if anything.",
    &[
        ("body", maybe_text, "The start of the body."),
        ("headers", pairs, "Names and values."),
        ("status_code", maybe_whole, "The HTTP status."),
        ("error_message", maybe_text, "Why there is no answer, or none that counts."),
    ]
);

answer!(
    /// A new signing secret.
    SigningSecret,
    "A signing secret, for the only time.",
    &[
        ("merchant_id", text, "The merchant account."),
        ("profile_id", text, "The profile."),
        ("secret", text, "The secret, `whsec_` and base64."),
        ("previous_valid_until", maybe_time, "Until when the one before signs too."),
    ]
);

answer!(
    /// An endpoint.
    WebhookEndpoint,
    "Where a profile's events go, and whether they do.",
    &[
        ("merchant_id", text, "The merchant account."),
        ("profile_id", text, "The profile."),
        ("webhook_url", maybe_text, "Where its events go."),
        ("enabled", yes_or_no, "False after it has answered 410."),
        ("disabled_at", maybe_time, "Since when."),
        ("disabled_reason", maybe_text, "Why."),
        ("previous_secret_valid_until", maybe_time, "Until when the signing secret before signs too."),
        ("events_waiting", whole, "How many of its events wait."),
    ]
);
