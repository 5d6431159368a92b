//! VGS's Vault HTTP API: `POST /aliases`, `GET` and `DELETE /aliases/{alias}`.
//!
//! From <https://rubydoc.info/gems/vgs_api_client/0.0.35> and
//! <https://github.com/verygoodsecurity/vgs-api-client-ruby/tree/master/docs>: HTTP Basic authentication; `data` is an
//! array of values with `format`, `classifiers` and `storage`; answers are `{"data": [{value, aliases, …}]}` with 201
//! and 200; a deletion is 204 without a body; errors are `{"errors": [{status, title, detail, href}]}`.

use http::Method;
use serde_json::{Value, json};

use super::{Asked, Kept, Words, is_card_number};
use crate::clock::{Ids, now_ms};
use crate::http::{Call, Reply};

pub(super) struct Vgs;

/// Formats of the documentation that fit a card number.
const FORMATS: [&str; 4] = ["UUID", "FPE_SIX_T_FOUR", "FPE_T_FOUR", "PFPT"];

impl Words for Vgs {
    const SHARES: bool = true;

    fn read(call: &Call, rest: &[&str]) -> Result<Asked, Reply> {
        let basic = call.header("authorization").and_then(|text| text.strip_prefix("Basic "));
        // A pair in base64 is what counts; which pair does not.
        if basic.is_none_or(|pair| pair.len() < 4 || pair == "d3Jvbmc6d3Jvbmc=") {
            return Err(Self::error(401, "Unauthorized", "a user's name and password are needed"));
        }
        match (&call.method, rest) {
            (&Method::POST, ["aliases"]) => {
                let bad = |detail| Self::error(400, "Bad Request", detail);
                let body: Value =
                    serde_json::from_slice(&call.body).map_err(|_| bad("the body is no JSON"))?;
                let [item] =
                    body.get("data").and_then(Value::as_array).map_or(&[][..], Vec::as_slice)
                else {
                    return Err(bad("data has to hold one value here"));
                };
                let format = item.get("format").and_then(Value::as_str).unwrap_or_default();
                if !FORMATS.contains(&format) {
                    return Err(bad("the format is none that is known"));
                }
                let storage = item.get("storage").and_then(Value::as_str).unwrap_or("PERSISTENT");
                if storage != "PERSISTENT" {
                    return Err(bad("a card is kept in persistent storage"));
                }
                let number = item.get("value").and_then(Value::as_str).unwrap_or_default();
                if !is_card_number(number) {
                    return Err(bad("the value is no card number"));
                }
                let data = json!({ "format": format, "classifiers": item.get("classifiers") });
                Ok(Asked::Store { number: number.to_owned(), data, key: None })
            }
            (&Method::GET, ["aliases", alias]) => Ok(Asked::Retrieve((*alias).to_owned())),
            (&Method::DELETE, ["aliases", alias]) => Ok(Asked::Delete((*alias).to_owned())),
            _ => Err(Self::error(404, "Not Found", "there is no such path")),
        }
    }

    fn token(ids: &Ids) -> String {
        format!("tok_sandbox_{}", ids.next(now_ms()))
    }

    fn stored(token: &str, kept: &Kept) -> Value {
        Self::shown(token, kept)
    }

    fn shown(token: &str, kept: &Kept) -> Value {
        json!({ "data": [{
            "value": kept.number,
            "classifiers": kept.data.get("classifiers"),
            "aliases": [{ "alias": token, "format": kept.data.get("format") }],
            "created_at": "2019-05-15T12:30:45Z",
            "storage": "PERSISTENT",
        }] })
    }

    fn error(status: u16, title: &str, detail: &str) -> Reply {
        let href = "https://api.sandbox.verygoodvault.com/aliases";
        let problem = json!({ "status": status, "title": title, "detail": detail, "href": href });
        Reply::json(status, &json!({ "errors": [problem] }))
    }
}
