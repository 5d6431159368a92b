//! The forms of what lists can be filtered by.

use schemars::SchemaGenerator;
use serde_json::{Value, json};

use super::form::{answer, list, text, texts};

fn listed_words(_: &mut SchemaGenerator) -> Value {
    let words = json!({ "type": "array", "items": { "type": "string" } });
    json!({ "type": "object", "additionalProperties": words })
}

fn labels(generator: &mut SchemaGenerator) -> Value {
    json!({ "type": "object", "additionalProperties": list::<ConnectorLabel>(generator) })
}

answer!(
    /// A connector in the words of a filter.
    ConnectorLabel,
    "A connector of the merchant's.",
    &[
        ("connector_label", text, "What the merchant calls it."),
        ("merchant_connector_id", text, "Its id."),
    ]
);

answer!(
    /// What payments can be filtered by.
    PaymentFilterWords,
    "What the filters of payments can be given.",
    &[
        ("connector", labels, "The merchant's connectors, by `connector_name`."),
        ("currency", texts, "ISO 4217 codes."),
        ("status", texts, "How a payment can stand."),
        ("payment_method", listed_words, "How it can be paid: methods, each with its types."),
        ("authentication_type", texts, "Whether the payer may be challenged."),
        ("card_network", texts, "Networks of cards."),
    ]
);
