//! VGS (Very Good Security): its Vault HTTP API.
//!
//! What it stores is a value with an alias; expiry and name stay with us. It has no idempotency keys, and does not
//! say whether equal values get one alias: so a record that was stored twice is told by its alias, and an alias that
//! several methods share is deleted with the last of them.

use baton_connect::card_vault::{
    BASIC, CardToKeep, CardVault, CardVaultClaims, KeptCard, VaultAnswer, VaultCredential,
    VaultEnvironment, fits_as_token,
};
use baton_connect::{Body, Hole, HttpCall, HttpReply, Json, Method};
use baton_types::Secret;
use serde::Deserialize;

/// The alias's format: random, of no use for guessing the value.
const FORMAT: &str = "UUID";

static CLAIMS: CardVaultClaims = CardVaultClaims {
    name: "vgs",
    display_name: "VGS",
    documentation: &[
        "https://rubydoc.info/gems/vgs_api_client/0.0.35 (Vault HTTP API: authentication, alias formats, storage)",
        "https://github.com/verygoodsecurity/vgs-api-client-ruby/blob/master/docs/AliasesApi.md (operations)",
        "https://github.com/verygoodsecurity/vgs-api-client-ruby/blob/master/docs/RevealedData.md (answers)",
        "https://github.com/verygoodsecurity/vgs-api-client-ruby/blob/master/docs/ApiError.md (errors)",
        "https://docs.verygoodsecurity.com/vault/tokens (persistent storage has no expiry)",
    ],
    environments: &[
        VaultEnvironment {
            name: "sandbox",
            url: "https://api.sandbox.verygoodvault.com",
            live: Some(false),
        },
        VaultEnvironment {
            name: "live",
            url: "https://api.live.verygoodvault.com",
            live: Some(true),
        },
        VaultEnvironment {
            name: "live-eu-1",
            url: "https://api.live-eu-1.verygoodvault.com",
            live: Some(true),
        },
    ],
    credentials: &[
        VaultCredential { name: "api_key", meaning: "the user's name", secret: true },
        VaultCredential { name: "key1", meaning: "its password", secret: true },
        VaultCredential { name: "api_secret", meaning: "the vault's id, tnt…", secret: false },
    ],
    basic: Some(("api_key", "key1")),
    key_hours: None,
};

#[derive(Clone, Copy, Debug)]
pub(super) struct Vgs;

/// `{"data": […]}`, the form of all answers.
#[derive(Deserialize)]
struct Listed {
    data: Vec<Revealed>,
}

/// A value with its aliases. The value is read straight into what wipes itself.
#[derive(Deserialize)]
struct Revealed {
    value: Secret,
    aliases: Vec<Alias>,
}

#[derive(Deserialize)]
struct Alias {
    alias: String,
    #[serde(default)]
    format: Option<String>,
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<Problem>,
}

/// `detail` explains what exactly went wrong, and may repeat what was sent: it is not read.
#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    title: Option<String>,
}

fn call(method: Method, path: String) -> HttpCall {
    HttpCall::new(method, path)
        .header("Authorization", vec!["Basic ".into(), Hole::Credential(BASIC.to_owned()).into()])
        .header("Accept", vec!["application/json".into()])
}

fn failed<T>(reply: &HttpReply) -> VaultAnswer<T> {
    let said = serde_json::from_slice::<Errors>(&reply.body).ok();
    let title = said.and_then(|said| said.errors.into_iter().next()?.title);
    VaultAnswer::of_status(reply.status, title.as_deref())
}

fn first(reply: &HttpReply) -> Option<Revealed> {
    serde_json::from_slice::<Listed>(&reply.body).ok()?.data.into_iter().next()
}

fn unreadable<T>() -> VaultAnswer<T> {
    VaultAnswer::Unclear("the answer cannot be read".to_owned())
}

impl CardVault for Vgs {
    fn claims(&self) -> &'static CardVaultClaims {
        &CLAIMS
    }

    fn store(&self, _card: &CardToKeep, _key: &str) -> HttpCall {
        let value = Json::obj([
            ("value", Json::Hole(Hole::CardNumber)),
            ("classifiers", Json::Arr(vec!["credit-cards".into()])),
            ("format", FORMAT.into()),
            ("storage", "PERSISTENT".into()),
        ]);
        let body = Json::obj([("data", Json::Arr(vec![value]))]);
        call(Method::Post, "/aliases".to_owned()).body(Body::json(&body))
    }

    fn read_stored(&self, reply: &HttpReply) -> VaultAnswer<KeptCard> {
        if !matches!(reply.status, 200 | 201) {
            return failed(reply).without_absence();
        }
        let named = first(reply).and_then(|stored| {
            let own = |alias: &Alias| alias.format.as_deref().is_none_or(|name| name == FORMAT);
            stored.aliases.into_iter().find(own)
        });
        match named {
            Some(Alias { alias, .. }) if fits_as_token(&alias) => {
                VaultAnswer::Done(KeptCard { token: alias, fingerprint: None })
            }
            Some(_) | None => unreadable(),
        }
    }

    fn retrieve(&self, token: &str) -> HttpCall {
        call(Method::Get, format!("/aliases/{token}"))
    }

    fn read_retrieved(&self, reply: &HttpReply) -> VaultAnswer<Secret> {
        if reply.status != 200 {
            return failed(reply);
        }
        first(reply).map_or_else(unreadable, |revealed| VaultAnswer::Done(revealed.value))
    }

    fn delete(&self, token: &str) -> HttpCall {
        call(Method::Delete, format!("/aliases/{token}"))
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
            r#"{"data": [{"value": "4111111111111111", "classifiers": ["credit-cards"],
                "aliases": [{"alias": "4111110a1b2c1111", "format": "FPE_SIX_T_FOUR"},
                            {"alias": "tok_sandbox_bhtsCwFUzoJMw9rWUfEV5e", "format": "UUID"}],
                "created_at": "2019-05-15T12:30:45Z", "storage": "PERSISTENT"}]}"#,
        );
        let VaultAnswer::Done(kept) = Vgs.read_stored(&stored) else { panic!("stored") };
        assert_eq!(kept.token, "tok_sandbox_bhtsCwFUzoJMw9rWUfEV5e");
        assert_eq!(kept.fingerprint, None);
        let revealed = reply(200, std::str::from_utf8(&stored.body).unwrap());
        let VaultAnswer::Done(number) = Vgs.read_retrieved(&revealed) else { panic!("revealed") };
        assert_eq!(number.expose(), "4111111111111111");
    }

    #[test]
    fn refusals_are_told_without_what_was_sent() {
        let said = |status| {
            reply(
                status,
                r#"{"errors": [{"status": 400, "title": "Invalid value", "detail": "4111111111111111 is bad",
                    "href": "https://api.sandbox.verygoodvault.com/aliases"}]}"#,
            )
        };
        let shown = format!("{:?}", Vgs.read_stored(&said(400)));
        assert_eq!(shown, r#"Refused("400 Invalid value")"#);
        assert_eq!(format!("{:?}", Vgs.read_stored(&said(401))), r#"Denied("401 Invalid value")"#);
        assert_eq!(
            format!("{:?}", Vgs.read_stored(&said(404))),
            r#"Denied("404 nothing is there")"#
        );
        assert_eq!(format!("{:?}", Vgs.read_retrieved(&said(404))), "Absent");
        assert_eq!(format!("{:?}", Vgs.read_deleted(&said(404))), "Absent");
        assert_eq!(format!("{:?}", Vgs.read_stored(&said(500))), r#"Unclear("500 Invalid value")"#);
    }
}
