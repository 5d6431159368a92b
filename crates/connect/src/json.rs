//! A JSON value in which a secret's place is a hole.
//!
//! Holes are variants, not marked strings: a merchant's text can never be taken for one.

use crate::{Hole, Part};

/// A JSON value to send. Numbers are integers: money never becomes a float.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`; left out of objects.
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A string.
    Str(String),
    /// A string whose content is a secret.
    Hole(Hole),
    /// An array.
    Arr(Vec<Json>),
    /// An object, in this order.
    Obj(Vec<(String, Json)>),
}

impl Json {
    /// An object; members that are null are left out.
    pub fn obj<'a>(members: impl IntoIterator<Item = (&'a str, Json)>) -> Self {
        Self::Obj(
            members
                .into_iter()
                .filter(|(_, value)| *value != Self::Null)
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }

    /// The value as text with holes.
    pub(crate) fn to_parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut text = String::new();
        self.write(&mut text, &mut parts);
        parts.push(Part::Text(text));
        parts
    }

    fn write(&self, text: &mut String, parts: &mut Vec<Part>) {
        match self {
            Self::Null => text.push_str("null"),
            Self::Bool(true) => text.push_str("true"),
            Self::Bool(false) => text.push_str("false"),
            Self::Int(n) => text.push_str(&n.to_string()),
            Self::Str(s) => {
                text.push('"');
                push_escaped(text, s);
                text.push('"');
            }
            Self::Hole(hole) => {
                text.push('"');
                parts.push(Part::Text(std::mem::take(text)));
                parts.push(Part::Hole(hole.clone()));
                text.push('"');
            }
            Self::Arr(items) => {
                text.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        text.push(',');
                    }
                    item.write(text, parts);
                }
                text.push(']');
            }
            Self::Obj(members) => {
                text.push('{');
                for (i, (name, value)) in members.iter().enumerate() {
                    if i > 0 {
                        text.push(',');
                    }
                    text.push('"');
                    push_escaped(text, name);
                    text.push_str("\":");
                    value.write(text, parts);
                }
                text.push('}');
            }
        }
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::Str(text)
    }
}

impl From<i64> for Json {
    fn from(n: i64) -> Self {
        Self::Int(n)
    }
}

impl From<bool> for Json {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl<T: Into<Json>> From<Option<T>> for Json {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Writes a string's content as JSON does, without the quotes. Never allocates beyond `out`.
pub(crate) fn push_escaped(out: &mut String, text: &str) {
    const HEX: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => {
                out.push_str("\\u00");
                out.push(if (c as u32) < 0x10 { '0' } else { '1' });
                out.push(HEX.get((c as usize) & 0xf).copied().unwrap_or('0'));
            }
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_looks_like_anything_stays_text() {
        for text in ["", "a\"b", "\\", "\u{0}\u{1f}\n\r\t", "{{card_number}}", "é\u{1F600}\u{E000}"]
        {
            let parts = Json::obj([("t", text.into())]).to_parts();
            let [Part::Text(json)] = parts.as_slice() else { panic!("{parts:?}") };
            let back: serde_json::Value = serde_json::from_str(json).unwrap();
            assert_eq!(back["t"], text);
        }
    }

    #[test]
    fn null_members_are_left_out_and_order_is_kept() {
        let value = Json::obj([
            ("z", 1.into()),
            ("gone", Json::Null),
            ("a", Json::Arr(vec![true.into(), Json::Null, "x".into()])),
        ]);
        assert_eq!(value.to_parts(), [Part::Text(r#"{"z":1,"a":[true,null,"x"]}"#.into())]);
    }
}
