//! Where a provider's API begins. Parsed once.
//!
//! Guarantees: `http` only where the policy allows it; a host, no user info, no query and no fragment; the
//! path prefix ends without `/`. Left out: which hosts an account may name, which is decided where accounts
//! are written.

use std::fmt;
use std::sync::Arc;

use http::Uri;

/// Scheme, host and port: what a connection belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) tls: bool,
    /// Lower case; an IPv6 address without its brackets.
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
}

/// A base URL: origin and path prefix.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BaseUrl {
    origin: Origin,
    prefix: String,
}

/// Which schemes may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// `https` only: every account with real credentials.
    HttpsOnly,
    /// Also `http`: sandbox and test accounts.
    PlainHttpAllowed,
}

/// Why a text is not a base URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseUrlError {
    /// Not an absolute URL with a host.
    Malformed,
    /// Neither `https` nor, where it is allowed, `http`.
    Scheme,
    /// User name, password, query or fragment.
    Extra,
}

impl fmt::Display for BaseUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not an absolute URL with a host",
            Self::Scheme => "the scheme is not allowed here",
            Self::Extra => "a base URL has no user name, query or fragment",
        })
    }
}

impl std::error::Error for BaseUrlError {}

impl BaseUrl {
    /// Reads a URL such as `https://api.example.com/v1`.
    ///
    /// # Errors
    /// What the text has that a base URL may not have, or lacks.
    pub fn parse(text: &str, policy: Policy) -> Result<Self, BaseUrlError> {
        if text.contains('#') {
            return Err(BaseUrlError::Extra);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(BaseUrlError::Malformed);
        }
        let uri: Uri = text.parse().map_err(|_| BaseUrlError::Malformed)?;
        let tls = match (uri.scheme_str(), policy) {
            (Some("https"), _) => true,
            (Some("http"), Policy::PlainHttpAllowed) => false,
            (Some(_), _) => return Err(BaseUrlError::Scheme),
            (None, _) => return Err(BaseUrlError::Malformed),
        };
        let authority = uri.authority().ok_or(BaseUrlError::Malformed)?;
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(BaseUrlError::Extra);
        }
        let port = match (authority.port_u16(), authority.port()) {
            (Some(0), _) | (None, Some(_)) => return Err(BaseUrlError::Malformed),
            (Some(port), _) => port,
            // A port that does not parse, as in `host:99999` or `host:`, is not "no port".
            (None, None) if authority.as_str() != authority.host() => {
                return Err(BaseUrlError::Malformed);
            }
            (None, None) => default_port(tls),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(BaseUrlError::Malformed);
        }
        Ok(Self {
            origin: Origin { tls, host: host.to_ascii_lowercase().into(), port },
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// The host, as it stands in logs.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.origin.host
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Empty, or `/` and more without a trailing `/`.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl Origin {
    /// The value of the `Host` field: the port is named only where it is not the scheme's own (RFC 9110,
    /// section 7.2).
    pub(crate) fn host_field(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.to_string()
        };
        if self.port == default_port(self.tls) { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.origin.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.origin.host_field(), self.prefix)
    }
}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_read_into_its_parts() {
        let rows = [
            ("https://api.example.com", "https://api.example.com", "api.example.com", 443),
            ("https://API.Example.com/", "https://api.example.com", "api.example.com", 443),
            ("https://h/v1/", "https://h/v1", "h", 443),
            ("https://h:443/v1", "https://h/v1", "h", 443),
            ("http://127.0.0.1:8080/a/b", "http://127.0.0.1:8080/a/b", "127.0.0.1", 8080),
            ("http://[::1]:81", "http://[::1]:81", "::1", 81),
        ];
        for (text, shown, host, port) in rows {
            let url = BaseUrl::parse(text, Policy::PlainHttpAllowed).expect(text);
            assert_eq!(url.to_string(), shown);
            assert_eq!((url.host(), url.origin().port), (host, port), "{text}");
        }
    }

    #[test]
    fn what_could_send_a_call_elsewhere_is_refused() {
        let rows = [
            ("http://h", Policy::HttpsOnly, BaseUrlError::Scheme),
            ("ftp://h", Policy::PlainHttpAllowed, BaseUrlError::Scheme),
            ("https://user:pass@h/", Policy::HttpsOnly, BaseUrlError::Extra),
            ("https://h/?a=b", Policy::HttpsOnly, BaseUrlError::Extra),
            ("https://h/#x", Policy::HttpsOnly, BaseUrlError::Extra),
            ("https://", Policy::HttpsOnly, BaseUrlError::Malformed),
            ("h/v1", Policy::HttpsOnly, BaseUrlError::Malformed),
            ("/v1", Policy::HttpsOnly, BaseUrlError::Malformed),
            ("", Policy::HttpsOnly, BaseUrlError::Malformed),
            ("https://h:99999/", Policy::HttpsOnly, BaseUrlError::Malformed),
            ("https://h:/", Policy::HttpsOnly, BaseUrlError::Malformed),
            ("https://h:0/", Policy::HttpsOnly, BaseUrlError::Malformed),
            ("https://[]/", Policy::HttpsOnly, BaseUrlError::Malformed),
            ("https://h /", Policy::HttpsOnly, BaseUrlError::Malformed),
            ("https://hé/", Policy::HttpsOnly, BaseUrlError::Malformed),
        ];
        for (text, policy, want) in rows {
            assert_eq!(BaseUrl::parse(text, policy), Err(want), "{text}");
        }
    }
}
