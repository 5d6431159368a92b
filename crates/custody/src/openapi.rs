//! The service's description, as `GET /openapi.json` shows it.

use serde_json::{Value, json};

/// Every question: its path, what it is for, what it takes and what it gives.
const QUESTIONS: [(&str, &str, &str, Option<&str>); 9] = [
    (
        "/v1/tokens",
        "Keep a text under a new token; three or four digits are a CVV, for 15 minutes",
        "Tokenize",
        Some("Token"),
    ),
    (
        "/v1/tokens/reveal",
        "What a token stands for; a CVV is deleted before it is answered",
        "OfToken",
        Some("Revealed"),
    ),
    ("/v1/tokens/look", "What is known of a token without opening it", "OfToken", Some("Known")),
    ("/v1/tokens/delete", "Delete a token", "OfToken", Some("Existed")),
    (
        "/v1/tokens/copies",
        "How many tokens of the merchant stand for a text",
        "Tokenize",
        Some("Count"),
    ),
    ("/v1/secrets/put", "Keep a secret under a name, in place of the one that had it", "Put", None),
    ("/v1/secrets/get", "A secret by its name", "Named", Some("Value")),
    ("/v1/secrets/remove", "Delete a secret", "Named", Some("Existed")),
    (
        "/v1/secrets/list",
        "Which secrets of a kind were put before a time, of all merchants, the oldest first",
        "List",
        Some("Places"),
    ),
];

/// The description.
#[must_use]
pub fn openapi() -> Value {
    let reference = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let content = |name: &str| json!({ "application/json": { "schema": reference(name) } });
    let problem = |about: &str| json!({ "description": about, "content": content("Problem") });
    let mut paths = serde_json::Map::new();
    for (path, about, takes, gives) in QUESTIONS {
        let mut responses = serde_json::Map::new();
        let good = match gives {
            Some(name) => ("200", json!({ "description": "Done", "content": content(name) })),
            None => ("204", json!({ "description": "Done" })),
        };
        responses.insert(good.0.to_owned(), good.1);
        responses.insert("400".to_owned(), problem("The body is not what this takes"));
        if matches!(gives, Some("Revealed" | "Known" | "Value")) {
            responses.insert("404".to_owned(), problem("There is no such record"));
        }
        responses.insert("500".to_owned(), problem("A record or a key does not open"));
        responses
            .insert("503".to_owned(), problem("The vault's database or root key is out of reach"));
        let body = json!({ "required": true, "content": content(takes) });
        let post = json!({ "summary": about, "requestBody": body, "responses": responses });
        paths.insert(path.to_owned(), json!({ "post": post }));
    }
    let get = |about: &str, schema: Option<&str>| {
        let mut good = json!({ "description": "Done" });
        if let (Some(name), Value::Object(good)) = (schema, &mut good) {
            good.insert("content".to_owned(), content(name));
        }
        json!({ "get": { "summary": about, "responses": { "200": good } } })
    };
    let key = "The node's key of fingerprints: derived, and opens nothing";
    paths.insert("/v1/fingerprint-key".to_owned(), get(key, Some("FingerprintKey")));
    paths.insert("/health".to_owned(), get("Whether the process runs", None));
    paths.insert("/health/ready".to_owned(), get("Whether the vault's database answers", None));
    paths.insert("/openapi.json".to_owned(), get("This description", None));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Baton vault",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The vault as a service of its own, for Baton's other nodes. Clients show a certificate \
                            of the authority that the server was given; there is no other authentication.",
        },
        "paths": paths,
        "components": { "schemas": schemas() },
    })
}

fn schemas() -> Value {
    let object = |required: &[&str], properties: Value| json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties });
    let text = json!({ "type": "string" });
    let secret = json!({ "type": "string", "writeOnly": true });
    let time = json!({ "type": "integer", "description": "Milliseconds since 1970" });
    let kinds: Vec<&str> = baton_vault::SealedKind::ALL.iter().map(|kind| kind.as_str()).collect();
    let kind = json!({ "type": "string", "enum": kinds });
    let sort = json!({ "type": "string", "enum": ["payload", "cvv"] });
    let whose = json!({ "$ref": "#/components/schemas/Whose" });
    let number = json!({ "type": "integer", "minimum": 0 });
    json!({
        "Whose": object(&["merchant", "sandbox"], json!({ "merchant": text, "sandbox": { "type": "boolean" } })),
        "Tokenize": object(&["whose", "payload"], json!({ "whose": whose, "payload": secret })),
        "OfToken": object(&["whose", "token"], json!({ "whose": whose, "token": secret })),
        "Token": object(&["token", "created_at", "kind"], json!({ "token": text, "created_at": time, "kind": sort })),
        "Known": object(&["created_at", "kind"], json!({ "created_at": time, "kind": sort })),
        "Revealed": object(
            &["payload", "created_at", "kind"], json!({ "payload": text, "created_at": time, "kind": sort })
        ),
        "Named": object(&["whose", "kind", "id"], json!({ "whose": whose, "kind": kind, "id": text })),
        "Put": object(
            &["whose", "kind", "id", "value"],
            json!({ "whose": whose, "kind": kind, "id": text, "value": secret, "expires_at": time })
        ),
        "Value": object(&["value"], json!({ "value": text })),
        "Existed": object(&["existed"], json!({ "existed": { "type": "boolean" } })),
        "Count": object(&["count"], json!({ "count": number })),
        "List": object(&["kind", "before", "limit"], json!({ "kind": kind, "before": time, "limit": number })),
        "Places": object(&["secrets"], json!({ "secrets": { "type": "array", "items": object(
            &["merchant", "sandbox", "id", "created_at"],
            json!({ "merchant": text, "sandbox": { "type": "boolean" }, "id": text, "created_at": time })
        ) } })),
        "FingerprintKey": object(&["version", "key"], json!({ "version": number, "key": text })),
        "Problem": object(&["error"], json!({ "error": object(
            &["code", "message"],
            json!({ "code": { "type": "string", "enum": ["invalid", "not_found", "unavailable", "damaged"] },
                "message": text })
        ) })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The golden file; `BLESS=1` writes it anew.
    #[test]
    fn the_description_is_as_it_was_last_approved() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vault-openapi.json");
        let now = format!("{}\n", serde_json::to_string_pretty(&openapi()).unwrap());
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(path, &now).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), now);
    }
}
