//! A call to a provider, with holes where secrets belong.
//!
//! The template is what is stored with a plan and what is logged; the filled form exists only in the
//! memory of the task that sends it, and is wiped when dropped.

use std::fmt::Write as _;

use baton_types::Secret;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::Json;

/// An HTTP request below an account's base URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpCall {
    /// The request's method.
    pub method: Method,
    /// Path and query below the base URL, beginning with `/`. Never holds a secret.
    pub path: String,
    /// Header fields; names in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, Vec<Part>)>,
    /// The body.
    #[serde(default, skip_serializing_if = "Body::is_empty")]
    pub body: Body,
    /// Whether this call is the one of its operation that can move money. Of a provider's sequence of
    /// calls exactly one is.
    pub moves_money: bool,
    /// The provider's id of the operation that the call belongs to, where an earlier reply of the sequence
    /// gave it. It is not sent; it comes back with the reply, and a doubt about this call keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
}

/// The methods that providers use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// GET
    Get,
    /// POST
    Post,
    /// PUT
    Put,
    /// DELETE
    Delete,
}

impl Method {
    /// The method as it stands on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// A piece of a header or body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Bytes to send as they are.
    Text(String),
    /// Where a secret goes.
    Hole(Hole),
}

/// Which secret goes into a hole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hole {
    /// The card number.
    CardNumber,
    /// The card's verification value.
    Cvv,
    /// The authentication value of 3-D Secure (CAVV, AAV), or a network token's cryptogram.
    AuthenticationValue,
    /// A credential of the account, by the name that the manifest declares.
    Credential(String),
}

impl std::fmt::Display for Hole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::CardNumber => f.write_str("card number"),
            Self::Cvv => f.write_str("cvv"),
            Self::AuthenticationValue => f.write_str("authentication value"),
            Self::Credential(name) => write!(f, "credential {name}"),
        }
    }
}

/// The body of a call; its form says how a filled secret is escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// No body.
    #[default]
    Empty,
    /// `application/json`
    Json(Vec<Part>),
    /// `application/x-www-form-urlencoded`
    Form(Vec<Part>),
}

impl Body {
    /// A JSON body.
    #[must_use]
    pub fn json(value: &Json) -> Self {
        Self::Json(value.to_parts())
    }

    /// A form body. Names and values are escaped here; holes are escaped when they are filled.
    #[must_use]
    pub fn form(fields: &[(&str, Part)]) -> Self {
        let mut parts = Vec::new();
        let mut text = String::new();
        for (name, value) in fields {
            if !(parts.is_empty() && text.is_empty()) {
                text.push('&');
            }
            push_percent_encoded(&mut text, name);
            text.push('=');
            match value {
                Part::Text(value) => push_percent_encoded(&mut text, value),
                Part::Hole(hole) => {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                    parts.push(Part::Hole(hole.clone()));
                }
            }
        }
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Self::Form(parts)
    }

    fn is_empty(&self) -> bool {
        *self == Self::Empty
    }

    fn parts(&self) -> &[Part] {
        match self {
            Self::Empty => &[],
            Self::Json(parts) | Self::Form(parts) => parts,
        }
    }
}

/// Who holds the secrets of one call.
pub trait Fill {
    /// The secret for a hole, if it is held.
    fn secret(&self, hole: &Hole) -> Option<&str>;
}

/// A hole could not be filled. The request cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FillError {
    /// Nobody holds this secret any more.
    Missing(Hole),
    /// The secret holds a character that this place cannot carry.
    Unfit(Hole),
}

impl std::fmt::Display for FillError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(hole) => write!(f, "no {hole} is held for this call"),
            Self::Unfit(hole) => {
                write!(f, "the {hole} holds a character that a header cannot carry")
            }
        }
    }
}

impl std::error::Error for FillError {}

/// A call with its secrets in place. Not printable, not storable, wiped when dropped.
pub struct Filled {
    /// The request's method.
    pub method: Method,
    /// Path and query below the base URL.
    pub path: String,
    /// Header fields.
    pub headers: Vec<(String, Zeroizing<String>)>,
    /// The media type of the body, if there is one.
    pub content_type: Option<&'static str>,
    /// The body.
    pub body: Zeroizing<Vec<u8>>,
}

impl HttpCall {
    /// A call without headers or body.
    #[must_use]
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: Vec::new(),
            body: Body::Empty,
            moves_money: false,
            about: None,
        }
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: &str, parts: Vec<Part>) -> Self {
        self.headers.push((name.to_ascii_lowercase(), parts));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// Marks the call as the one that moves money.
    #[must_use]
    pub fn moves_money(mut self) -> Self {
        self.moves_money = true;
        self
    }

    /// Notes the provider's id of the operation that the call belongs to.
    #[must_use]
    pub fn about(mut self, id: &str) -> Self {
        self.about = Some(id.to_owned());
        self
    }

    /// Whether the call carries a CVV, and so can never be replayed once its task has ended.
    #[must_use]
    pub fn carries_cvv(&self) -> bool {
        self.headers
            .iter()
            .flat_map(|(_, parts)| parts)
            .chain(self.body.parts())
            .any(|part| *part == Part::Hole(Hole::Cvv))
    }

    /// Puts the secrets in place, each escaped as its surroundings need.
    ///
    /// # Errors
    /// A secret that nobody holds, or that a header cannot carry.
    pub fn fill(&self, secrets: &dyn Fill) -> Result<Filled, FillError> {
        let mut headers = Vec::with_capacity(self.headers.len());
        for (name, parts) in &self.headers {
            headers.push((name.clone(), fill_parts(parts, secrets, Escape::Header)?));
        }
        let (content_type, escape) = match self.body {
            Body::Empty => (None, Escape::Json),
            Body::Json(_) => (Some("application/json"), Escape::Json),
            Body::Form(_) => (Some("application/x-www-form-urlencoded"), Escape::Form),
        };
        let mut body = fill_parts(self.body.parts(), secrets, escape)?;
        Ok(Filled {
            method: self.method,
            path: self.path.clone(),
            headers,
            content_type,
            body: Zeroizing::new(std::mem::take(&mut *body).into_bytes()),
        })
    }
}

#[derive(Clone, Copy)]
enum Escape {
    Header,
    Json,
    Form,
}

fn fill_parts(
    parts: &[Part],
    secrets: &dyn Fill,
    escape: Escape,
) -> Result<Zeroizing<String>, FillError> {
    // Sized once: a growing string would leave copies of the secret behind in freed memory.
    let mut room = 0_usize;
    for part in parts {
        room = room.saturating_add(match part {
            Part::Text(text) => text.len(),
            Part::Hole(hole) => secrets.secret(hole).map_or(0, |s| s.len().saturating_mul(6)),
        });
    }
    let mut out = Zeroizing::new(String::with_capacity(room));
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Hole(hole) => {
                let secret =
                    secrets.secret(hole).ok_or_else(|| FillError::Missing(hole.clone()))?;
                match escape {
                    Escape::Header if !secret.bytes().all(|b| (0x20..0x7f).contains(&b)) => {
                        return Err(FillError::Unfit(hole.clone()));
                    }
                    Escape::Header => out.push_str(secret),
                    Escape::Json => crate::json::push_escaped(&mut out, secret),
                    Escape::Form => push_percent_encoded(&mut out, secret),
                }
            }
        }
    }
    Ok(out)
}

/// `application/x-www-form-urlencoded` as the URL standard writes it, with `%20` for a space.
fn push_percent_encoded(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'*') {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

impl From<&str> for Part {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Part {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Hole> for Part {
    fn from(hole: Hole) -> Self {
        Self::Hole(hole)
    }
}

/// A lookup of credentials by name, the common half of every [`Fill`].
impl<S: std::hash::BuildHasher> Fill for std::collections::HashMap<String, Secret, S> {
    fn secret(&self, hole: &Hole) -> Option<&str> {
        match hole {
            Hole::Credential(name) => self.get(name).map(Secret::expose),
            Hole::CardNumber | Hole::Cvv | Hole::AuthenticationValue => None,
        }
    }
}

/// An answer that arrived whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpReply {
    /// The status code.
    pub status: u16,
    /// Header fields; names in lower case.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The body, bounded by the runner.
    #[serde(default)]
    pub body: Vec<u8>,
}

impl HttpReply {
    /// The first header field of this lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// `Retry-After` in milliseconds, when it is given in seconds.
    #[must_use]
    pub fn retry_after_ms(&self) -> Option<u64> {
        self.header("retry-after")?.trim().parse::<u64>().ok()?.checked_mul(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Secrets;
    impl Fill for Secrets {
        fn secret(&self, hole: &Hole) -> Option<&str> {
            match hole {
                Hole::CardNumber => Some("4111111111111111"),
                Hole::Cvv | Hole::AuthenticationValue => None,
                Hole::Credential(name) if name == "Key" => Some("a\"b&c"),
                Hole::Credential(name) if name == "Line" => Some("a\r\nb"),
                Hole::Credential(_) => None,
            }
        }
    }

    #[test]
    fn a_secret_is_escaped_as_its_surroundings_need() {
        let json = HttpCall::new(Method::Post, "/p").body(Body::json(&Json::obj([
            ("number", Json::Hole(Hole::CardNumber)),
            ("key", Json::Hole(Hole::Credential("Key".into()))),
        ])));
        let filled = json.fill(&Secrets).unwrap();
        assert_eq!(
            std::str::from_utf8(&filled.body).unwrap(),
            r#"{"number":"4111111111111111","key":"a\"b&c"}"#
        );
        assert_eq!(filled.content_type, Some("application/json"));

        let form = HttpCall::new(Method::Post, "/p").body(Body::form(&[
            ("card[number]", Hole::CardNumber.into()),
            ("k", Hole::Credential("Key".into()).into()),
            ("name", "Zoë & Co".into()),
        ]));
        assert_eq!(
            std::str::from_utf8(&form.fill(&Secrets).unwrap().body).unwrap(),
            "card%5Bnumber%5D=4111111111111111&k=a%22b%26c&name=Zo%C3%AB%20%26%20Co"
        );
    }

    #[test]
    fn a_hole_that_cannot_be_filled_stops_the_call() {
        let cvv = HttpCall::new(Method::Post, "/p")
            .body(Body::json(&Json::obj([("cvv", Json::Hole(Hole::Cvv))])));
        assert!(cvv.carries_cvv());
        assert_eq!(cvv.fill(&Secrets).err(), Some(FillError::Missing(Hole::Cvv)));

        let line = HttpCall::new(Method::Get, "/p")
            .header("X-Key", vec![Hole::Credential("Line".into()).into()]);
        assert!(!line.carries_cvv());
        let error = line.fill(&Secrets).err().unwrap();
        assert_eq!(error, FillError::Unfit(Hole::Credential("Line".into())));
        assert!(!error.to_string().contains("a\r"), "an error never shows the secret");
    }

    #[test]
    fn a_template_survives_storage() {
        let call = HttpCall::new(Method::Post, "/payments")
            .header("Authorization", vec!["Bearer ".into(), Hole::Credential("Key".into()).into()])
            .body(Body::json(&Json::obj([("cvv", Json::Hole(Hole::Cvv))])))
            .moves_money();
        let stored = serde_json::to_string(&call).unwrap();
        assert_eq!(serde_json::from_str::<HttpCall>(&stored).unwrap(), call);
        assert!(stored.contains(r#"{"hole":"cvv"}"#), "{stored}");
    }
}
