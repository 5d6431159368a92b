//! Basis Theory's Tokens API: `POST /tokens`, `GET` and `DELETE /tokens/{id}`.
//!
//! From <https://developers.basistheory.com/docs/api/tokens>, `…/idempotency` and `…/errors`: the key is in
//! `BT-API-KEY`; a card is `{"type": "card", "data": {number, expiration_month, expiration_year}}`; the answer to a
//! creation is masked and has a fingerprint; a repeat under the same `BT-IDEMPOTENCY-KEY` gives the first answer where
//! that was a success; errors are `{title, status, detail, errors}`.

use http::Method;
use serde_json::{Value, json};

use super::{Asked, Kept, Words, is_card_number};
use crate::clock::{Ids, now_ms};
use crate::http::{Call, Reply};

pub(super) struct BasisTheory;

impl Words for BasisTheory {
    const SHARES: bool = false;

    fn read(call: &Call, rest: &[&str]) -> Result<Asked, Reply> {
        match call.header("bt-api-key") {
            None | Some("wrong") => {
                return Err(Self::error(
                    401,
                    "Unauthorized",
                    "the BT-API-KEY is missing or invalid",
                ));
            }
            Some(_) => {}
        }
        match (&call.method, rest) {
            (&Method::POST, ["tokens"]) => {
                let bad =
                    |detail| Self::error(400, "One or more validation errors occurred.", detail);
                let body: Value =
                    serde_json::from_slice(&call.body).map_err(|_| bad("the body is no JSON"))?;
                if body.get("type").is_none_or(|kind| kind != "card") {
                    return Err(bad("only cards are known here"));
                }
                let data = body.get("data").unwrap_or(&Value::Null);
                let number = data.get("number").and_then(Value::as_str).unwrap_or_default();
                let month =
                    data.get("expiration_month").and_then(Value::as_i64).unwrap_or_default();
                let year = data.get("expiration_year").and_then(Value::as_i64).unwrap_or_default();
                if !is_card_number(number) || !(1..=12).contains(&month) || year < 2000 {
                    return Err(bad("data is no card"));
                }
                let expiry = json!({ "expiration_month": month, "expiration_year": year });
                let key = call.header("bt-idempotency-key").map(str::to_owned);
                Ok(Asked::Store { number: number.to_owned(), data: expiry, key })
            }
            (&Method::GET, ["tokens", id]) => Ok(Asked::Retrieve((*id).to_owned())),
            (&Method::DELETE, ["tokens", id]) => Ok(Asked::Delete((*id).to_owned())),
            _ => Err(Self::error(404, "Not Found", "there is no such path")),
        }
    }

    fn token(ids: &Ids) -> String {
        format!("c06d0789-0a38-40be-{}", ids.next(now_ms()))
    }

    fn stored(token: &str, kept: &Kept) -> Value {
        let last4 = kept.number.get(kept.number.len().saturating_sub(4)..).unwrap_or_default();
        let masked = format!("{}{last4}", "X".repeat(kept.number.len().saturating_sub(4)));
        token_of(token, &masked, kept)
    }

    fn shown(token: &str, kept: &Kept) -> Value {
        token_of(token, &kept.number, kept)
    }

    fn error(status: u16, title: &str, detail: &str) -> Reply {
        let problem = json!({ "errors": {}, "title": title, "status": status, "detail": detail });
        Reply::json(status, &problem)
    }
}

fn token_of(token: &str, number: &str, kept: &Kept) -> Value {
    // Equal numbers have equal fingerprints, from which nobody reads a number.
    let sum = kept.number.bytes().fold(7_u64, |sum, byte| {
        sum.wrapping_mul(0x0100_0000_01b3).wrapping_add(u64::from(byte)).rotate_left(17)
    });
    json!({
        "id": token,
        "tenant_id": "77cb0024-123e-41a8-8ff8-a3d5a0fa8a08",
        "type": "card",
        "data": {
            "number": number,
            "expiration_month": kept.data.get("expiration_month"),
            "expiration_year": kept.data.get("expiration_year"),
        },
        "fingerprint": format!("fp{sum:x}"),
        "fingerprint_expression": "{{ data.number }}",
        "containers": ["/pci/high/"],
        "created_at": "2020-09-15T15:53:00+00:00",
        "_extras": { "deduplicated": false },
    })
}
