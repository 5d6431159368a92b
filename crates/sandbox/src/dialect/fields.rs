//! Reading request bodies: JSON, or Stripe's nested forms turned into the same shape.
//!
//! Numbers and booleans may also arrive as text, as they do in forms and in Adyen's expiry dates. Every
//! error names the field, with dots between its levels.

use aws_lc_rs::digest;
use serde_json::{Map, Value};

/// A field that is missing or wrong. `message` never repeats the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Invalid {
    pub(crate) field: &'static str,
    pub(crate) message: &'static str,
}

fn invalid<T>(field: &'static str, message: &'static str) -> Result<T, Invalid> {
    Err(Invalid { field, message })
}

/// A body's fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a>(pub(crate) &'a Value);

impl<'a> Fields<'a> {
    /// The value at a dotted path; null counts as absent.
    pub(crate) fn get(self, path: &str) -> Option<&'a Value> {
        let found = path.split('.').try_fold(self.0, |value, name| value.get(name));
        found.filter(|value| !value.is_null())
    }

    pub(crate) fn text(
        self,
        path: &'static str,
        longest: usize,
    ) -> Result<Option<&'a str>, Invalid> {
        match self.get(path) {
            None => Ok(None),
            Some(Value::String(text)) if text.chars().count() <= longest => Ok(Some(text)),
            Some(Value::String(_)) => invalid(path, "is too long"),
            Some(_) => invalid(path, "must be a string"),
        }
    }

    /// Text that must be there and not be empty.
    pub(crate) fn need_text(self, path: &'static str, longest: usize) -> Result<&'a str, Invalid> {
        match self.text(path, longest)? {
            Some(text) if !text.is_empty() => Ok(text),
            Some(_) | None => invalid(path, "is required"),
        }
    }

    pub(crate) fn int(self, path: &'static str) -> Result<Option<i64>, Invalid> {
        let number = match self.get(path) {
            None => return Ok(None),
            Some(Value::Number(number)) => number.as_i64(),
            Some(Value::String(text)) => text.parse().ok(),
            Some(_) => None,
        };
        number.map_or_else(|| invalid(path, "must be a whole number"), |number| Ok(Some(number)))
    }

    pub(crate) fn need_int(self, path: &'static str) -> Result<i64, Invalid> {
        self.int(path)?.map_or_else(|| invalid(path, "is required"), Ok)
    }

    pub(crate) fn flag(self, path: &'static str) -> Result<Option<bool>, Invalid> {
        match self.get(path) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::String(text)) if text == "true" => Ok(Some(true)),
            Some(Value::String(text)) if text == "false" => Ok(Some(false)),
            Some(_) => invalid(path, "must be true or false"),
        }
    }

    pub(crate) fn map(self, path: &'static str) -> Result<Map<String, Value>, Invalid> {
        match self.get(path) {
            None => Ok(Map::new()),
            Some(Value::Object(map)) => Ok(map.clone()),
            Some(_) => invalid(path, "must be an object"),
        }
    }

    /// An amount of money in minor units.
    pub(crate) fn amount(self, path: &'static str) -> Result<Option<i64>, Invalid> {
        match self.int(path)? {
            Some(amount) if !(1..=LARGEST_AMOUNT).contains(&amount) => {
                invalid(path, "must be between 1 and 10^12 minor units")
            }
            amount => Ok(amount),
        }
    }

    pub(crate) fn need_amount(self, path: &'static str) -> Result<i64, Invalid> {
        self.amount(path)?.map_or_else(|| invalid(path, "is required"), Ok)
    }

    /// An amount that may be nothing: then a card is only verified.
    pub(crate) fn need_amount_or_none(self, path: &'static str) -> Result<i64, Invalid> {
        match self.int(path)? {
            Some(0) => Ok(0),
            Some(_) | None => self.need_amount(path),
        }
    }

    /// Three letters; upper case in the books, whatever the dialect writes.
    pub(crate) fn need_currency(self, path: &'static str) -> Result<String, Invalid> {
        let text = self.need_text(path, 3)?;
        if text.len() != 3 || !text.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return invalid(path, "must be three letters");
        }
        Ok(text.to_ascii_uppercase())
    }
}

const LARGEST_AMOUNT: i64 = 1_000_000_000_000;

/// A digest of what was asked. Card numbers enter it by their first six and last four digits only, and
/// verification codes not at all, so that nothing stored depends on them.
pub(crate) fn fingerprint(method: &http::Method, path: &[&str], body: &Value) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(method.as_str().as_bytes());
    for segment in path {
        context.update(b"/");
        context.update(segment.as_bytes());
    }
    context.update(b"\n");
    // Keys are sorted: serde_json's map is ordered by key.
    context.update(redacted(body).to_string().as_bytes());
    hex(context.finish().as_ref().get(..16).unwrap_or(&[]))
}

fn redacted(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(name, _)| {
                    !matches!(name.as_str(), "cvv" | "cvc" | "encryptedSecurityCode")
                })
                .map(|(name, value)| match (name.as_str(), value) {
                    ("number" | "encryptedCardNumber", Value::String(number)) => {
                        (name.clone(), shortened(number).into())
                    }
                    _ => (name.clone(), redacted(value)),
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(redacted).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn shortened(number: &str) -> String {
    let digits: Vec<char> = number.chars().filter(char::is_ascii_digit).collect();
    let last = digits.iter().skip(digits.len().saturating_sub(4));
    digits.iter().take(6).chain(last).collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_read_or_named() {
        let body = json!({"a": {"b": "7", "n": 7, "t": "true", "x": null}, "f": 1.5, "big": -1});
        let fields = Fields(&body);
        assert_eq!(fields.int("a.b"), Ok(Some(7)));
        assert_eq!(fields.int("a.n"), Ok(Some(7)));
        assert_eq!(fields.int("a.x"), Ok(None));
        assert_eq!(fields.flag("a.t"), Ok(Some(true)));
        assert_eq!(fields.int("f").unwrap_err().field, "f");
        assert_eq!(fields.amount("big").unwrap_err().field, "big");
        assert_eq!(fields.text("a.b", 0).unwrap_err().message, "is too long");
        assert_eq!(fields.text("a", 9).unwrap_err().message, "must be a string");
        assert_eq!(fields.need_text("nothing", 9).unwrap_err().message, "is required");
    }

    #[test]
    fn a_fingerprint_sees_every_change_but_not_the_secrets() {
        let print = |body: Value| fingerprint(&http::Method::POST, &["payments"], &body);
        let card =
            |number: &str, cvv: &str| json!({"a": 1, "card": {"number": number, "cvv": cvv}});
        let base = print(card("4111111111111111", "123"));
        assert_eq!(base.len(), 32);
        assert_eq!(base, print(card("4111119999991111", "999")));
        assert_ne!(base, print(card("4111111111111112", "123")));
        assert_ne!(base, print(json!({"a": 2, "card": {"number": "4111111111111111"}})));
        assert_ne!(base, fingerprint(&http::Method::POST, &["x"], &card("4111111111111111", "1")));
    }
}
