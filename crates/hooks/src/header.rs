//! Headers that a merchant adds to its webhooks, and its login at the endpoint.
//!
//! Guarantees: none of them can stand for what a webhook is by itself: its signature, its length and form, the
//! connection that it goes over.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use baton_types::Secret;

/// Most headers of a merchant's own.
pub const HEADERS_MAX: usize = 10;

/// Longest name, and longest value, in bytes.
pub const HEADER_NAME_MAX: usize = 64;
/// Longest value, in bytes.
pub const HEADER_VALUE_MAX: usize = 512;

/// Longest username and longest password of a login, in characters.
pub const LOGIN_MAX: usize = 255;

/// Headers that say how a request is framed and carried, whom it is for, and what it is.
const OURS: [&str; 22] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
];

/// What the headers of signatures begin with.
const SIGNED: [&str; 3] = ["webhook-", "x-webhook-", "svix-"];

/// Why a header cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadHeader {
    /// The name is no token of 1 to 64 characters.
    Name,
    /// The header is one that every request has from us, or that belongs to the connection.
    Ours,
    /// The header is, or could be taken for, one of a signature.
    Signature,
    /// The value is not 1 to 512 printable ASCII characters without a space at its ends.
    Value,
}

impl fmt::Display for BadHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "is no name of a header of 1 to 64 characters",
            Self::Ours => "is a header that is set here, or belongs to the connection",
            Self::Signature => "is, or could be taken for, a header of the signature",
            Self::Value => {
                "needs a value of 1 to 512 printable ASCII characters, without a space at its ends"
            }
        })
    }
}

impl std::error::Error for BadHeader {}

/// Judges a header of a merchant's own. Names are compared without regard to case.
///
/// # Errors
/// Why it cannot be added.
pub fn check_header(name: &str, value: &str) -> Result<(), BadHeader> {
    let in_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || name.len() > HEADER_NAME_MAX || !name.bytes().all(in_token) {
        return Err(BadHeader::Name);
    }
    let lower = name.to_ascii_lowercase();
    if OURS.contains(&lower.as_str()) {
        return Err(BadHeader::Ours);
    }
    if SIGNED.iter().any(|beginning| lower.starts_with(beginning)) {
        return Err(BadHeader::Signature);
    }
    let printable = value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let fits = (1..=HEADER_VALUE_MAX).contains(&value.len()) && value.trim() == value;
    if printable && fits { Ok(()) } else { Err(BadHeader::Value) }
}

/// Whether a text can be the username of a login: RFC 7617 takes no colon and no control characters.
#[must_use]
pub fn is_username(text: &str) -> bool {
    is_password(text) && !text.contains(':')
}

/// Whether a text can be the password of a login.
#[must_use]
pub fn is_password(text: &str) -> bool {
    text.chars().count() <= LOGIN_MAX && !text.chars().any(char::is_control)
}

/// The value of `Authorization` for a login (RFC 7617, in UTF-8).
#[must_use]
pub fn basic_login(username: &str, password: Option<&Secret>) -> Secret {
    let password = password.map(Secret::expose).unwrap_or_default();
    let pair = Secret::new(format!("{username}:{password}"));
    Secret::new(format!("Basic {}", STANDARD.encode(pair.expose())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_added_or_refused() {
        let long = "x".repeat(HEADER_VALUE_MAX + 1);
        let longest = "x".repeat(HEADER_VALUE_MAX);
        let long_name = "x".repeat(HEADER_NAME_MAX + 1);
        for (name, value, want) in [
            ("X-Shop", "blue", Ok(())),
            ("authorization", "Bearer a b", Ok(())),
            ("X-Shop", &longest, Ok(())),
            ("", "x", Err(BadHeader::Name)),
            ("X Shop", "x", Err(BadHeader::Name)),
            ("X-Shop:", "x", Err(BadHeader::Name)),
            ("X-Sh\u{f6}p", "x", Err(BadHeader::Name)),
            (&long_name, "x", Err(BadHeader::Name)),
            ("Host", "evil.example", Err(BadHeader::Ours)),
            ("CONTENT-LENGTH", "1", Err(BadHeader::Ours)),
            ("Content-Type", "text/plain", Err(BadHeader::Ours)),
            ("Content-Encoding", "gzip", Err(BadHeader::Ours)),
            ("Transfer-Encoding", "chunked", Err(BadHeader::Ours)),
            ("Connection", "keep-alive", Err(BadHeader::Ours)),
            ("TE", "trailers", Err(BadHeader::Ours)),
            ("Upgrade", "h2c", Err(BadHeader::Ours)),
            ("Proxy-Authorization", "x", Err(BadHeader::Ours)),
            ("Expect", "100-continue", Err(BadHeader::Ours)),
            ("webhook-id", "evt", Err(BadHeader::Signature)),
            ("Webhook-Signature", "v1,x", Err(BadHeader::Signature)),
            ("X-Webhook-Signature-512", "x", Err(BadHeader::Signature)),
            ("X-Webhook-Signature-256", "x", Err(BadHeader::Signature)),
            ("svix-id", "x", Err(BadHeader::Signature)),
            ("X-Shop", "", Err(BadHeader::Value)),
            ("X-Shop", " x", Err(BadHeader::Value)),
            ("X-Shop", "a\r\nHost: b", Err(BadHeader::Value)),
            ("X-Shop", "bl\u{fc}e", Err(BadHeader::Value)),
            ("X-Shop", &long, Err(BadHeader::Value)),
        ] {
            assert_eq!(check_header(name, value), want, "{name}: {value}");
        }
    }

    /// The examples of RFC 7617.
    #[test]
    fn a_login_is_as_the_standard_writes_it() {
        let password = Secret::new("open sesame".to_owned());
        let login = basic_login("Aladdin", Some(&password));
        assert_eq!(login.expose(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        let password = Secret::new("123\u{a3}".to_owned());
        assert_eq!(basic_login("test", Some(&password)).expose(), "Basic dGVzdDoxMjPCow==");
        assert_eq!(basic_login("shop", None).expose(), "Basic c2hvcDo=");
        assert!(is_username("shop") && is_username("") && !is_username("a:b"));
        assert!(is_password("a:b") && !is_password("a\nb") && !is_password(&"x".repeat(256)));
    }
}
