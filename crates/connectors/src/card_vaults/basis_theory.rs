//! Basis Theory: its Tokens API.
//!
//! A card is a token of the type `card`. A repeat within 24 hours under the same `BT-IDEMPOTENCY-KEY` gives the first
//! answer; tokens are not deduplicated, so that each method has its own.

use baton_connect::card_vault::{
    CardToKeep, CardVault, CardVaultClaims, KeptCard, VaultAnswer, VaultCredential,
    VaultEnvironment, fits_as_token,
};
use baton_connect::{Body, Hole, HttpCall, HttpReply, Json, Method};
use baton_types::Secret;
use serde::Deserialize;

static CLAIMS: CardVaultClaims = CardVaultClaims {
    name: "basis_theory",
    display_name: "Basis Theory",
    documentation: &[
        "https://developers.basistheory.com/docs/api/tokens (create, get, delete)",
        "https://developers.basistheory.com/docs/api/tokens/token-types#card (what a card is)",
        "https://developers.basistheory.com/docs/api/idempotency (keys are kept for 24 hours; 409 while one is used)",
        "https://developers.basistheory.com/docs/api/errors (form and codes)",
    ],
    environments: &[VaultEnvironment {
        name: "production",
        url: "https://api.basistheory.com",
        live: None,
    }],
    credentials: &[VaultCredential {
        name: "api_key",
        meaning: "a private application's key with token:create, token:read (reveal) and token:delete",
        secret: true,
    }],
    basic: None,
    key_hours: Some(24),
};

#[derive(Clone, Copy, Debug)]
pub(super) struct BasisTheory;

#[derive(Deserialize)]
struct Created {
    id: String,
    #[serde(default)]
    fingerprint: Option<String>,
}

#[derive(Deserialize)]
struct Token {
    data: Card,
}

#[derive(Deserialize)]
struct Card {
    number: Secret,
}

/// `detail` and `errors` may repeat what was sent: they are not read.
#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    title: Option<String>,
}

fn call(method: Method, path: String) -> HttpCall {
    HttpCall::new(method, path)
        .header("BT-API-KEY", vec![Hole::Credential("api_key".to_owned()).into()])
        .header("Accept", vec!["application/json".into()])
}

fn failed<T>(reply: &HttpReply) -> VaultAnswer<T> {
    let title = serde_json::from_slice::<Problem>(&reply.body).ok().and_then(|said| said.title);
    VaultAnswer::of_status(reply.status, title.as_deref())
}

fn unreadable<T>() -> VaultAnswer<T> {
    VaultAnswer::Unclear("the answer cannot be read".to_owned())
}

impl CardVault for BasisTheory {
    fn claims(&self) -> &'static CardVaultClaims {
        &CLAIMS
    }

    fn store(&self, card: &CardToKeep, key: &str) -> HttpCall {
        let data = Json::obj([
            ("number", Json::Hole(Hole::CardNumber)),
            ("expiration_month", Json::Int(i64::from(card.expiry.month()))),
            ("expiration_year", Json::Int(i64::from(card.expiry.year()))),
        ]);
        let body = Json::obj([("type", "card".into()), ("data", data)]);
        call(Method::Post, "/tokens".to_owned())
            .header("BT-IDEMPOTENCY-KEY", vec![key.into()])
            .body(Body::json(&body))
    }

    fn read_stored(&self, reply: &HttpReply) -> VaultAnswer<KeptCard> {
        if !matches!(reply.status, 200 | 201) {
            return failed(reply).without_absence();
        }
        match serde_json::from_slice::<Created>(&reply.body) {
            Ok(Created { id, fingerprint }) if fits_as_token(&id) => {
                let fingerprint = fingerprint.filter(|text| fits_as_token(text));
                VaultAnswer::Done(KeptCard { token: id, fingerprint })
            }
            Ok(_) | Err(_) => unreadable(),
        }
    }

    fn retrieve(&self, token: &str) -> HttpCall {
        call(Method::Get, format!("/tokens/{token}"))
    }

    fn read_retrieved(&self, reply: &HttpReply) -> VaultAnswer<Secret> {
        if reply.status != 200 {
            return failed(reply);
        }
        match serde_json::from_slice::<Token>(&reply.body) {
            // Whoever may not reveal is shown a mask.
            Ok(token) if !token.data.number.expose().bytes().all(|byte| byte.is_ascii_digit()) => {
                VaultAnswer::Denied("the key may not reveal".to_owned())
            }
            Ok(token) => VaultAnswer::Done(token.data.number),
            Err(_) => unreadable(),
        }
    }

    fn delete(&self, token: &str) -> HttpCall {
        call(Method::Delete, format!("/tokens/{token}"))
    }

    fn read_deleted(&self, reply: &HttpReply) -> VaultAnswer<()> {
        if matches!(reply.status, 200 | 204) { VaultAnswer::Done(()) } else { failed(reply) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> HttpReply {
        HttpReply { status, headers: Vec::new(), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn answers_as_documented() {
        let stored = reply(
            201,
            r#"{"id": "c06d0789-0a38-40be-b7cc-c28a718f76f1", "tenant_id": "77cb0024", "type": "card",
                "data": {"number": "XXXXXXXXXXXX1111", "expiration_month": 12, "expiration_year": 2030},
                "fingerprint": "AKCUXS83DokKo4pDRKSAy4d42t9i8dcP1X2jijwEBCQH",
                "containers": ["/pci/high/"], "_extras": {"deduplicated": false}}"#,
        );
        let VaultAnswer::Done(kept) = BasisTheory.read_stored(&stored) else { panic!("stored") };
        assert_eq!(kept.token, "c06d0789-0a38-40be-b7cc-c28a718f76f1");
        assert_eq!(
            kept.fingerprint.as_deref(),
            Some("AKCUXS83DokKo4pDRKSAy4d42t9i8dcP1X2jijwEBCQH")
        );
        let masked = reply(200, std::str::from_utf8(&stored.body).unwrap());
        assert!(matches!(BasisTheory.read_retrieved(&masked), VaultAnswer::Denied(_)));
        let shown =
            reply(200, r#"{"id": "x", "type": "card", "data": {"number": "4111111111111111"}}"#);
        let VaultAnswer::Done(number) = BasisTheory.read_retrieved(&shown) else { panic!("shown") };
        assert_eq!(number.expose(), "4111111111111111");
    }

    #[test]
    fn refusals_are_told_without_what_was_sent() {
        let said = reply(
            400,
            r#"{"errors": {"data.number": ["4111111111111112 is invalid"]}, "title": "One or more validation errors occurred.",
                "status": 400, "detail": "4111111111111112"}"#,
        );
        let shown = format!("{:?}", BasisTheory.read_stored(&said));
        assert_eq!(shown, r#"Refused("400 One or more validation errors occurred.")"#);
        let busy = reply(409, r#"{"title": "Conflict"}"#);
        assert!(matches!(BasisTheory.read_stored(&busy), VaultAnswer::Unclear(_)));
    }
}
