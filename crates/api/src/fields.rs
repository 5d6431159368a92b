//! Takes fields out of a body, each with its path, so that an error says what is wrong and where.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a JSON value is of the wanted kind, or whatever else it is, it is wrong"
)]

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::body::{BodyError, Json};
use crate::pan::holds_card_number;

/// A field that is not as it should be. Never holds the value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FieldError {
    /// The dotted path as the contract spells it; empty for the body as a whole.
    pub(crate) field: String,
    /// What is wrong, in a sentence.
    pub(crate) message: String,
}

impl FieldError {
    pub(crate) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

impl From<BodyError> for FieldError {
    fn from(error: BodyError) -> Self {
        Self { field: error.path.unwrap_or_default(), message: error.message }
    }
}

/// What is said of a text that would be stored and holds a card number.
pub(crate) const HOLDS_CARD_NUMBER: &str =
    "It holds a card number, which may stand in card.cardNumber only.";

/// An error's text as a sentence.
pub(crate) fn sentence(error: impl std::fmt::Display) -> String {
    let text = error.to_string();
    let mut chars = text.chars();
    let capital: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    let stop = if text.ends_with('.') { "" } else { "." };
    format!("{capital}{}{stop}", chars.as_str())
}

/// An object of a body and its path.
pub(crate) struct Fields {
    path: String,
    members: BTreeMap<String, Json>,
}

impl Fields {
    /// The body itself, which has to be an object.
    pub(crate) fn of_body(body: Json) -> Result<Self, FieldError> {
        match body {
            Json::Object(members) => Ok(Self { path: String::new(), members }),
            other => {
                Err(FieldError::new("", format!("The body is {}, not an object.", other.kind())))
            }
        }
    }

    /// A field's full path.
    pub(crate) fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// An error about one of this object's fields.
    pub(crate) fn error(&self, name: &str, message: impl Into<String>) -> FieldError {
        FieldError::new(self.path(name), message)
    }

    /// Takes a field out; null counts as absent.
    fn take(&mut self, name: &str) -> Option<Json> {
        #[cfg(test)]
        asked::note(self.path(name));
        self.members.remove(&name.to_lowercase()).filter(|value| !matches!(value, Json::Null))
    }

    /// Whether a field is there with a value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.get(&name.to_lowercase()).is_some_and(|value| !matches!(value, Json::Null))
    }

    fn wrong(&self, name: &str, want: &str, got: &Json) -> FieldError {
        self.error(name, format!("It must be {want}, and is {}.", got.kind()))
    }

    fn missing(&self, name: &str) -> FieldError {
        self.error(name, "It is required.")
    }

    /// A text of at most `max` characters.
    pub(crate) fn text(
        &mut self,
        name: &str,
        max: usize,
    ) -> Result<Option<Zeroizing<String>>, FieldError> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::Text(text)) if text.chars().count() > max => {
                Err(self.error(name, format!("It is longer than {max} characters.")))
            }
            Some(Json::Text(text)) if text.contains('\0') => {
                Err(self.error(name, "It holds a NUL character."))
            }
            Some(Json::Text(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(name, "a string", &other)),
        }
    }

    /// A text that is there and not empty.
    pub(crate) fn required_text(
        &mut self,
        name: &str,
        max: usize,
    ) -> Result<Zeroizing<String>, FieldError> {
        match self.text(name, max)? {
            None => Err(self.missing(name)),
            Some(text) if text.trim().is_empty() => Err(self.error(name, "It is empty.")),
            Some(text) => Ok(text),
        }
    }

    /// A plain text: trimmed, and absent when empty.
    pub(crate) fn plain_text(
        &mut self,
        name: &str,
        max: usize,
    ) -> Result<Option<String>, FieldError> {
        let text = self.text(name, max)?;
        Ok(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
    }

    /// A plain text that is going to be stored: it must not hold a card number.
    pub(crate) fn kept_text(
        &mut self,
        name: &str,
        max: usize,
    ) -> Result<Option<String>, FieldError> {
        let text = self.plain_text(name, max)?;
        match text {
            Some(text) if holds_card_number(&text) => Err(self.error(name, HOLDS_CARD_NUMBER)),
            text => Ok(text),
        }
    }

    /// A number, as it was written.
    pub(crate) fn required_number(&mut self, name: &str) -> Result<String, FieldError> {
        match self.take(name) {
            None => Err(self.missing(name)),
            Some(Json::Number(text)) => Ok(text),
            Some(other) => Err(self.wrong(name, "a number", &other)),
        }
    }

    /// A whole number.
    pub(crate) fn required_integer(&mut self, name: &str) -> Result<i64, FieldError> {
        let text = self.required_number(name)?;
        text.parse().map_err(|_| self.error(name, "It must be a whole number."))
    }

    /// A truth value.
    pub(crate) fn boolean(&mut self, name: &str) -> Result<Option<bool>, FieldError> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::Bool(value)) => Ok(Some(value)),
            Some(other) => Err(self.wrong(name, "true or false", &other)),
        }
    }

    /// An object.
    pub(crate) fn object(&mut self, name: &str) -> Result<Option<Self>, FieldError> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::Object(members)) => Ok(Some(Self { path: self.path(name), members })),
            Some(other) => Err(self.wrong(name, "an object", &other)),
        }
    }

    /// Puts an object back that was taken out.
    pub(crate) fn put_object(&mut self, name: &str, object: Self) {
        self.members.insert(name.to_lowercase(), Json::Object(object.members));
    }

    /// Puts a text in a field's place.
    pub(crate) fn put_text(&mut self, name: &str, text: &str) {
        let text = Zeroizing::new(text.to_owned());
        self.members.insert(name.to_lowercase(), Json::Text(text));
    }

    /// A text as it stands, if the field is one.
    pub(crate) fn peek_text(&self, name: &str) -> Option<&str> {
        match self.members.get(&name.to_lowercase()) {
            Some(Json::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Leaves a field out.
    pub(crate) fn remove(&mut self, name: &str) {
        self.members.remove(&name.to_lowercase());
    }

    /// A list of objects.
    pub(crate) fn objects(&mut self, name: &str) -> Result<Option<Vec<Self>>, FieldError> {
        let Some(items) = self.array(name)? else { return Ok(None) };
        let each = items.into_iter().enumerate().map(|(i, item)| match item {
            Json::Object(members) => {
                Ok(Self { path: format!("{}[{i}]", self.path(name)), members })
            }
            other => Err(self.wrong(&format!("{name}[{i}]"), "an object", &other)),
        });
        each.collect::<Result<_, _>>().map(Some)
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, FieldError> {
        let Some(items) = self.array(name)? else { return Ok(None) };
        let each = items.into_iter().enumerate().map(|(i, item)| match item {
            Json::Text(text) => Ok(text.as_str().to_owned()),
            other => Err(self.wrong(&format!("{name}[{i}]"), "a string", &other)),
        });
        each.collect::<Result<_, _>>().map(Some)
    }

    fn array(&mut self, name: &str) -> Result<Option<Vec<Json>>, FieldError> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::Array(items)) => Ok(Some(items)),
            Some(other) => Err(self.wrong(name, "an array", &other)),
        }
    }
}

/// Which fields were asked for, so that a test can hold descriptions of bodies against their readers.
#[cfg(test)]
pub(crate) mod asked {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use schemars::JsonSchema;
    use schemars::generate::SchemaSettings;
    use serde_json::Value;

    thread_local! {
        static PATHS: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
    }

    pub(super) fn note(path: String) {
        PATHS.with_borrow_mut(|paths| paths.insert(path));
    }

    /// Asserts that `read` asks for exactly the fields that `T` describes. It has to read bodies with
    /// every nested object, with one entry in every list.
    #[track_caller]
    pub(crate) fn assert_described<T: JsonSchema>(read: impl FnOnce()) {
        PATHS.take();
        read();
        let asked = PATHS.take();
        let plain =
            SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
        let schema = plain.into_generator().into_root_schema_for::<T>().to_value();
        let mut described = BTreeSet::new();
        walk(&schema, "", &mut described);
        let only_described: Vec<_> = described.difference(&asked).collect();
        let only_asked: Vec<_> = asked.difference(&described).collect();
        assert!(only_described.is_empty(), "described and never read: {only_described:?}");
        assert!(only_asked.is_empty(), "read and not described: {only_asked:?}");
    }

    fn walk(schema: &Value, at: &str, found: &mut BTreeSet<String>) {
        for (name, of) in schema["properties"].as_object().into_iter().flatten() {
            let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
            walk(of, &path, found);
            found.insert(path);
        }
        for of in schema["anyOf"].as_array().into_iter().flatten() {
            walk(of, at, found);
        }
        if schema["items"].is_object() {
            walk(&schema["items"], &format!("{at}[0]"), found);
        }
    }
}
