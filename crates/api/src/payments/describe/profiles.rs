//! The forms of profiles and organisations.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::super::view::{PROFILE_SHOWN, PROFILE_SWITCHES};
use super::form::{
    Field, Kind, answer, anything, maybe_text, object, object_or_null, text, time, yes_or_no,
};

/// A profile: what is always shown, its switches, and what it keeps and shows again.
pub(crate) struct Profile;

impl JsonSchema for Profile {
    fn schema_name() -> Cow<'static, str> {
        "Profile".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let shown = PROFILE_SHOWN.iter();
        let kept =
            shown.map(|name| (*name, anything as Kind, "As it was sent; secrets are stars."));
        let switch = "As it was sent, or its default.";
        let switches = PROFILE_SWITCHES.iter().map(|(name, _)| (*name, yes_or_no as Kind, switch));
        let fields: Vec<Field> = PROFILE.iter().copied().chain(kept).chain(switches).collect();
        object("A profile of a merchant account.", &fields, &[], generator)
    }
}

#[rustfmt::skip]
const PROFILE: &[Field] = &[
    ("merchant_id", text, "The merchant account."),
    ("profile_id", text, "Its id."),
    ("profile_name", text, "Its name."),
    ("payment_response_hash_key", maybe_text, "Stars, where it has its own; otherwise the account's counts."),
    ("outgoing_webhook_custom_http_headers", object_or_null, "Headers that go along with its webhooks: names, with stars for values."),
    ("is_external_vault_enabled", maybe_text, "`enable` where a vault elsewhere keeps its cards, or `skip`."),
    ("external_vault_connector_details", object_or_null, "That vault's connector, as it was sent."),
];

answer!(
    /// An organisation.
    Organization,
    "What merchant accounts belong to.",
    &[
        ("organization_id", text, "Its id."),
        ("organization_name", maybe_text, "Its name; null where it was made with an account."),
        ("organization_details", anything, "As they were sent; secrets are stars."),
        ("metadata", anything, "As it was sent."),
        ("modified_at", time, "When it last changed."),
        ("created_at", time, "When it was made."),
        ("organization_type", text, "`standard`."),
    ]
);
