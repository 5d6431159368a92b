//! An endpoint's URL, judged when it is set: what can be seen to be wrong then is refused then.

use std::fmt;
use std::net::IpAddr;

use http::Uri;

use crate::address::Policy;

/// Longest URL, in bytes.
const LENGTH_MAX: usize = 2_048;

/// Where a webhook goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookUrl {
    pub(crate) tls: bool,
    /// Without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// As the `Host` header says it.
    pub(crate) authority: String,
    /// Path and query, as they are sent.
    pub(crate) path: String,
}

/// What is wrong with a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadUrl(String);

impl fmt::Display for BadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadUrl {}

impl HookUrl {
    /// Reads a URL: absolute, `https` (or `http` where the policy allows it), without user and fragment, and to
    /// no address that webhooks do not go to. What a name resolves to is judged when it is sent.
    ///
    /// # Errors
    /// What is wrong, in a sentence.
    pub fn parse(text: &str, policy: &Policy) -> Result<Self, BadUrl> {
        let bad = |why: &str| Err(BadUrl(why.to_owned()));
        if text.len() > LENGTH_MAX {
            return bad("must not be longer than 2048 bytes");
        }
        if text.contains('#') {
            return bad("must have no fragment");
        }
        let uri: Uri = match text.parse() {
            Ok(uri) => uri,
            Err(_) => return bad("must be an absolute URL like https://shop.example/webhooks"),
        };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return bad("must be an absolute URL like https://shop.example/webhooks");
        };
        if authority.as_str().contains('@') {
            return bad("must name no user: headers can carry credentials");
        }
        let host =
            authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let literal: Option<IpAddr> = host.parse().ok();
        if host.is_empty() || (literal.is_none() && !is_name(&host)) {
            return bad("must name a host");
        }
        let tls = match scheme {
            "https" => true,
            // In clear only where the operator vouches for the way.
            "http" if policy.anywhere || literal.is_some_and(|ip| policy.allows(ip)) => false,
            "http" => return bad("must be https"),
            _ => return bad("must be an https URL"),
        };
        if let Some(address) = literal {
            policy.check(address).map_err(|refused| BadUrl(refused.to_string()))?;
        } else if !policy.anywhere && is_local(&host) && policy.allowed.is_empty() {
            return bad("must name a public host");
        }
        let port = match authority.port() {
            None if tls => 443,
            None => 80,
            Some(port) if port.as_u16() == 0 => return bad("must name a port above 0"),
            Some(port) => port.as_u16(),
        };
        // A port that cannot be read would be taken for none.
        if authority.port().is_none() && authority.as_str().ends_with(':') {
            return bad("must name a port");
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { tls, host, port, authority: authority.as_str().to_owned(), path })
    }

    /// The host, for messages: the rest may hold what is nobody's business.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }
}

/// A name as DNS knows it, and not a number that a resolver takes for an address.
fn is_name(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    host.len() <= 253
        && host.bytes().all(fits)
        && !last.is_empty()
        && !last.bytes().all(|byte| byte.is_ascii_digit())
        && !last.starts_with("0x")
}

/// A name that means this machine or its network wherever it is looked up (RFC 6761, RFC 6762, RFC 8375).
fn is_local(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    ["localhost", "local", "internal", "home.arpa"].iter().any(|name| {
        host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_judged_when_it_is_set() {
        let nowhere = Policy::default();
        let dev = Policy { anywhere: true, allowed: vec![] };
        let office = Policy { anywhere: false, allowed: vec!["10.0.0.0/8".parse().unwrap()] };
        #[rustfmt::skip]
        let rows = [
            (&nowhere, "https://shop.example/hooks?a=b",   None),
            (&nowhere, "https://shop.example:8443",        None),
            (&nowhere, "https://8.8.8.8/",                 None),
            (&nowhere, "http://shop.example/",             Some("must be https")),
            (&nowhere, "shop.example/hooks",               Some("must be an absolute URL like https://shop.example/webhooks")),
            (&nowhere, "/hooks",                           Some("must be an absolute URL like https://shop.example/webhooks")),
            (&nowhere, "",                                 Some("must be an absolute URL like https://shop.example/webhooks")),
            (&nowhere, "ftp://shop.example",               Some("must be an https URL")),
            (&nowhere, "https://u:p@shop.example/",        Some("must name no user: headers can carry credentials")),
            (&nowhere, "https://shop.example/#x",          Some("must have no fragment")),
            (&nowhere, "https://127.0.0.1/",               Some("webhooks are not sent to loopback addresses")),
            (&nowhere, "https://[::1]/",                   Some("webhooks are not sent to loopback addresses")),
            (&nowhere, "https://[::ffff:10.0.0.1]/",       Some("webhooks are not sent to private addresses")),
            (&nowhere, "https://169.254.169.254/latest",   Some("webhooks are not sent to link-local addresses")),
            (&nowhere, "https://2130706433/",              Some("must name a host")),
            (&nowhere, "https://0x7f000001/",              Some("must name a host")),
            (&nowhere, "https://127.1/",                   Some("must name a host")),
            (&nowhere, "https://localhost/",               Some("must name a public host")),
            (&nowhere, "https://a.LOCALHOST./",            Some("must name a public host")),
            (&nowhere, "https://notlocalhost/",            None),
            (&nowhere, "https://shop.example:0/",          Some("must name a port above 0")),
            (&nowhere, "https://shop.example:/",           Some("must name a port")),
            (&dev,     "http://127.0.0.1:9000/hooks",      None),
            (&dev,     "http://localhost:9000/hooks",      None),
            (&office,  "http://10.2.3.4/hooks",            None),
            (&office,  "https://localhost/",               None),
            (&office,  "http://shop.example/",             Some("must be https")),
            (&office,  "https://192.168.0.1/",             Some("webhooks are not sent to private addresses")),
        ];
        for (policy, text, want) in rows {
            let got = HookUrl::parse(text, policy).err().map(|bad| bad.to_string());
            assert_eq!(got.as_deref(), want, "{text}");
        }
        let long = format!("https://shop.example/{}", "a".repeat(LENGTH_MAX));
        assert!(HookUrl::parse(&long, &nowhere).is_err());
    }

    #[test]
    fn what_is_sent_follows_from_the_url() {
        let url = HookUrl::parse("https://Shop.Example/a/b?c=d", &Policy::default()).unwrap();
        assert_eq!((url.host(), url.port, url.tls), ("shop.example", 443, true));
        assert_eq!((url.path.as_str(), url.authority.as_str()), ("/a/b?c=d", "Shop.Example"));
        let url = HookUrl::parse("https://[2606:4700::1111]:8443", &Policy::default()).unwrap();
        assert_eq!((url.host(), url.port, url.path.as_str()), ("2606:4700::1111", 8443, "/"));
        assert_eq!(url.authority, "[2606:4700::1111]:8443");
    }
}
