//! What the tables of answers are written in: fields, what they hold, and objects of them.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// What a field holds.
pub(super) type Kind = fn(&mut SchemaGenerator) -> Value;

/// A field: its name, what it holds, and what it means.
pub(super) type Field = (&'static str, Kind, &'static str);

/// Declares the form of an answer: an object in which every field is always there.
macro_rules! answer {
    ($(#[$doc:meta])* $name:ident, $about:literal, $fields:expr) => {
        $(#[$doc])*
        pub(crate) struct $name;

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $crate::payments::describe::form::object($about, $fields, &[], generator)
            }
        }
    };
}

pub(super) use answer;

/// An object in which all of these fields are there; those of `more` may be missing.
pub(super) fn object(
    about: &str,
    fields: &[Field],
    more: &[Field],
    generator: &mut SchemaGenerator,
) -> Schema {
    let mut properties = Map::new();
    for (name, kind, meaning) in fields.iter().chain(more) {
        let mut schema = kind(generator);
        if let Value::Object(members) = &mut schema {
            members.insert("description".to_owned(), (*meaning).into());
        }
        properties.insert((*name).to_owned(), schema);
    }
    let required: Vec<&str> = fields.iter().map(|(name, ..)| *name).collect();
    let schema = json!({
        "type": "object",
        "description": about,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    Schema::try_from(schema).unwrap_or_default()
}

pub(super) fn text(_: &mut SchemaGenerator) -> Value {
    json!({ "type": "string" })
}

pub(super) fn maybe_text(_: &mut SchemaGenerator) -> Value {
    json!({ "type": ["string", "null"] })
}

pub(super) fn whole(_: &mut SchemaGenerator) -> Value {
    json!({ "type": "integer" })
}

pub(super) fn maybe_whole(_: &mut SchemaGenerator) -> Value {
    json!({ "type": ["integer", "null"] })
}

pub(super) fn yes_or_no(_: &mut SchemaGenerator) -> Value {
    json!({ "type": "boolean" })
}

pub(super) fn maybe_yes(_: &mut SchemaGenerator) -> Value {
    json!({ "type": ["boolean", "null"] })
}

pub(super) fn time(_: &mut SchemaGenerator) -> Value {
    json!({ "type": "string", "format": "date-time" })
}

pub(super) fn maybe_time(_: &mut SchemaGenerator) -> Value {
    json!({ "type": ["string", "null"], "format": "date-time" })
}

pub(super) fn texts(_: &mut SchemaGenerator) -> Value {
    json!({ "type": "array", "items": { "type": "string" } })
}

pub(super) fn nothing(_: &mut SchemaGenerator) -> Value {
    json!({ "type": "null" })
}

/// What was sent, as it was sent, or null.
pub(super) fn anything(_: &mut SchemaGenerator) -> Value {
    json!({})
}

pub(super) fn anything_listed(_: &mut SchemaGenerator) -> Value {
    json!({ "type": "array", "items": {} })
}

pub(super) fn object_or_null(_: &mut SchemaGenerator) -> Value {
    json!({ "type": ["object", "null"] })
}

pub(super) fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

pub(super) fn maybe<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    json!({ "anyOf": [of::<T>(generator), { "type": "null" }] })
}

pub(super) fn list<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    json!({ "type": "array", "items": of::<T>(generator) })
}

pub(super) fn maybe_list<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    json!({ "anyOf": [list::<T>(generator), { "type": "null" }] })
}
