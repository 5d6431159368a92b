//! A filled call as an HTTP request, checked before anything is dialled.
//!
//! Guarantees: the fields that frame a message are ours alone, so a connector can never make the length of
//! what it sends ambiguous; body and header values stay in the buffers they came in, which wipe themselves.

use baton_connect::{Filled, Method};
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Uri};
use http_body_util::Full;

use crate::BaseUrl;

/// Sent where the call names no other; some providers turn requests without one away.
const USER_AGENT: &str = concat!("baton/", env!("CARGO_PKG_VERSION"));

/// Fields that a call may not set: they frame the message or belong to the connection.
const OURS: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A request that can be built once per connection tried, without copying its secrets.
pub(crate) struct Prepared {
    method: http::Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

/// The call cannot be expressed as a request. Deliberately without detail: it may hold secrets.
#[derive(Debug)]
pub(crate) struct Unfit;

impl Prepared {
    pub(crate) fn new(base: &BaseUrl, call: Filled) -> Result<Self, Unfit> {
        let uri = uri(base, &call.path)?;
        let method = match call.method {
            Method::Get => http::Method::GET,
            Method::Post => http::Method::POST,
            Method::Put => http::Method::PUT,
            Method::Delete => http::Method::DELETE,
        };
        let mut headers = HeaderMap::with_capacity(call.headers.len() + 4);
        for (name, value) in call.headers {
            let name = HeaderName::try_from(name).map_err(|_| Unfit)?;
            if OURS.contains(&name.as_str()) {
                return Err(Unfit);
            }
            let mut value =
                HeaderValue::from_maybe_shared(Bytes::from_owner(value)).map_err(|_| Unfit)?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        let host = HeaderValue::try_from(base.origin().host_field()).map_err(|_| Unfit)?;
        headers.insert(header::HOST, host);
        headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(USER_AGENT));
        if let Some(content_type) = call.content_type {
            headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static(content_type));
        }
        // RFC 9110, section 8.6: a method that expects a body names its length even when it is 0.
        if !call.body.is_empty() || matches!(call.method, Method::Post | Method::Put) {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(call.body.len()));
        }
        Ok(Self { method, uri, headers, body: Bytes::from_owner(call.body) })
    }

    /// Head and body for HTTP/2, where the host is a part of the target (RFC 9113, section 8.3.1).
    pub(crate) fn build_http2(&self) -> Option<(Request<()>, Bytes)> {
        let mut headers = self.headers.clone();
        let host = headers.remove(header::HOST)?;
        let mut parts = self.uri.clone().into_parts();
        parts.scheme = Some(http::uri::Scheme::HTTPS);
        parts.authority = Some(http::uri::Authority::try_from(host.as_bytes()).ok()?);
        let mut request = Request::new(());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from_parts(parts).ok()?;
        *request.headers_mut() = headers;
        Some((request, self.body.clone()))
    }

    pub(crate) fn build(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// The target in origin form (RFC 9112, section 3.2.1).
fn uri(base: &BaseUrl, path: &str) -> Result<Uri, Unfit> {
    let plain = path.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if !path.starts_with('/') || !plain {
        return Err(Unfit);
    }
    Uri::try_from(format!("{}{path}", base.prefix())).map_err(|_| Unfit)
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::Policy;

    fn prepare(method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Option<String> {
        let base = BaseUrl::parse("https://h:8443/v1/", Policy::HttpsOnly).unwrap();
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Zeroizing::new((*value).to_owned())))
            .collect();
        let call = Filled {
            method,
            path: path.to_owned(),
            headers,
            content_type: (!body.is_empty()).then_some("application/json"),
            body: Zeroizing::new(body.as_bytes().to_vec()),
        };
        let request = Prepared::new(&base, call).ok()?.build();
        let mut shown = format!("{} {}", request.method(), request.uri());
        for (name, value) in request.headers() {
            shown.push_str(&format!("|{name}: {}", value.to_str().unwrap()));
        }
        Some(shown)
    }

    #[test]
    fn a_request_has_exactly_one_host_length_and_content_type() {
        let agent = format!("user-agent: {USER_AGENT}");
        assert_eq!(
            prepare(Method::Post, "/p?q=1", &[("authorization", "Bearer x")], "{}").unwrap(),
            format!(
                "POST /v1/p?q=1|authorization: Bearer x|host: h:8443|{agent}\
                 |content-type: application/json|content-length: 2"
            )
        );
        assert_eq!(
            prepare(
                Method::Put,
                "/p",
                &[("content-type", "application/json; charset=utf-8"), ("user-agent", "u")],
                "{}"
            )
            .unwrap(),
            "PUT /v1/p|content-type: application/json; charset=utf-8|user-agent: u|host: h:8443\
             |content-length: 2"
        );
        assert_eq!(
            prepare(Method::Post, "/p", &[], "").unwrap(),
            format!("POST /v1/p|host: h:8443|{agent}|content-length: 0")
        );
        assert_eq!(
            prepare(Method::Get, "/p", &[], "").unwrap(),
            format!("GET /v1/p|host: h:8443|{agent}")
        );
    }

    #[test]
    fn http_2_has_the_host_in_its_target_and_no_host_field() {
        let base = BaseUrl::parse("https://h:8443/v1/", Policy::HttpsOnly).unwrap();
        let call = Filled {
            method: Method::Post,
            path: "/p?q=1".to_owned(),
            headers: vec![("authorization".to_owned(), Zeroizing::new("Bearer x".to_owned()))],
            content_type: None,
            body: Zeroizing::new(b"{}".to_vec()),
        };
        let (request, body) = Prepared::new(&base, call).unwrap().build_http2().unwrap();
        assert_eq!(request.uri(), "https://h:8443/v1/p?q=1");
        assert_eq!(request.headers().get(header::HOST), None);
        assert_eq!(request.headers()[header::CONTENT_LENGTH], "2");
        assert!(request.headers()[header::AUTHORIZATION].is_sensitive(), "never in a table");
        assert_eq!(body, "{}");
    }

    #[test]
    fn a_call_that_could_be_read_in_two_ways_is_unfit() {
        assert!(prepare(Method::Get, "/p", &[("a", "b"), ("a", "c")], "").is_some());
        for path in ["", "p", "http://other/", "/p#f", "/p q", "/p\r\nx: y", "/é"] {
            assert_eq!(prepare(Method::Get, path, &[], ""), None, "{path:?}");
        }
        for name in OURS {
            assert_eq!(prepare(Method::Get, "/p", &[(name, "1")], ""), None, "{name}");
        }
        assert_eq!(prepare(Method::Get, "/p", &[("Transfer-Encoding", "chunked")], ""), None);
        assert_eq!(prepare(Method::Get, "/p", &[("a b", "1")], ""), None);
        assert_eq!(prepare(Method::Get, "/p", &[("a", "1\r\nb: 2")], ""), None);
    }
}
