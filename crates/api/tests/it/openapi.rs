//! The OpenAPI description: the golden file, and what it promises of itself.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::client;
use crate::server::Server;

const METHODS: [&str; 4] = ["get", "post", "put", "delete"];

/// A description's golden file, its text, and the routes that it is of.
type Description = (&'static str, String, Vec<(&'static str, &'static str)>);

fn descriptions() -> [Description; 2] {
    let of_gateway = baton_api::routes().iter().map(|route| (route.method, route.path)).collect();
    let of_payments =
        baton_api::payments_routes().iter().map(|route| (route.method, route.path)).collect();
    [
        ("docs/openapi.json", baton_api::description(), of_gateway),
        ("docs/openapi-payments.json", baton_api::payments_description(), of_payments),
    ]
}

/// `BLESS=1` writes the files anew.
#[test]
fn the_golden_files_are_what_is_served() {
    for (file, text, _) in descriptions() {
        let path = format!("{}/../../{file}", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(path, &text).unwrap();
            continue;
        }
        let golden = std::fs::read_to_string(path).unwrap();
        assert!(text == golden, "{file} is not what the code says: run with BLESS=1 and review");
    }
}

#[test]
fn every_route_is_described_with_its_own_name_and_its_parameters() {
    for (file, text, routes) in descriptions() {
        let document: Value = serde_json::from_str(&text).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let missing = |(method, path): &&(&str, &str)| {
            paths.get(*path).is_none_or(|item| item.get(method.to_ascii_lowercase()).is_none())
        };
        let missing: Vec<_> = routes.iter().filter(missing).collect();
        assert!(missing.is_empty(), "{file} does not describe {missing:?}");
        let mut ids = BTreeSet::new();
        for (path, item) in paths {
            for (method, operation) in item.as_object().unwrap() {
                assert!(METHODS.contains(&method.as_str()));
                let id = operation["operationId"].as_str().unwrap();
                assert!(ids.insert(id.to_owned()), "{id} is there twice");
                told_of(id, path, operation);
            }
        }
        assert_eq!(ids.len(), routes.len(), "{file}");
    }
}

fn told_of(id: &str, path: &str, operation: &Value) {
    for text in ["summary", "description"] {
        assert!(!operation[text].as_str().unwrap().is_empty(), "{id} has no {text}");
    }
    let in_path: BTreeSet<&str> =
        path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
    let declared: BTreeSet<&str> = parameters(operation)
        .filter(|parameter| parameter["in"] == "path")
        .map(|parameter| parameter["name"].as_str().unwrap())
        .collect();
    assert_eq!(in_path, declared, "{id}");
    let statuses = operation["responses"].as_object().unwrap().keys();
    // What is not there yet says so with 501 and nothing else.
    let answers = |status: &String| status.starts_with('2') || status == "501";
    assert!(statuses.clone().any(answers), "{id}");
    let example = &operation["requestBody"]["content"]["application/json"]["example"];
    let has_body = operation.get("requestBody").is_some();
    assert!(!has_body || !example.is_null(), "{id} has an example that is no JSON");
}

fn parameters(operation: &Value) -> impl Iterator<Item = &Value> {
    operation["parameters"].as_array().into_iter().flatten()
}

/// Every `$ref` leads somewhere, and every component is used.
#[test]
fn references_and_components_fit() {
    for (file, text, _) in descriptions() {
        let document = serde_json::from_str(&text).unwrap();
        references_of(file, &document);
    }
}

fn references_of(file: &str, document: &Value) {
    let mut named = BTreeSet::new();
    references(document, &mut named);
    for reference in &named {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{file}: {reference}");
    }
    for kind in ["schemas", "responses", "parameters", "headers"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            assert!(
                named.contains(&format!("#/components/{kind}/{name}")),
                "{file}: {kind}/{name} is unused"
            );
        }
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if let (true, Some(text)) = (name == "$ref", member.as_str()) {
                    found.insert(text.to_owned());
                }
                references(member, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn files_are_served_cacheable_and_under_a_strict_policy() {
    let server = Server::start().await;
    let get = async |path: &str, headers: &[(&str, &str)]| {
        client::send(server.addr, "GET", path, headers, b"").await
    };
    let seen = get("/openapi.json", &[]).await;
    assert_eq!((seen.status, seen.body.as_str()), (200, baton_api::description().as_str()));
    let seen = get("/openapi-payments.json", &[]).await;
    assert_eq!(seen.body, baton_api::payments_description());
    for (path, media) in [
        ("/openapi.json", "application/json"),
        ("/openapi-payments.json", "application/json"),
        ("/docs/payments", "text/html; charset=utf-8"),
        ("/docs", "text/html; charset=utf-8"),
        ("/docs/docs.css", "text/css; charset=utf-8"),
        ("/docs/docs.js", "text/javascript; charset=utf-8"),
    ] {
        let seen = get(path, &[]).await;
        assert_eq!((seen.status, seen.header("content-type")), (200, Some(media)), "{path}");
        assert_eq!(seen.header("cache-control"), Some("public, max-age=300"), "{path}");
        let policy = seen.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let tag = seen.header("etag").unwrap();
        let again = get(path, &[("if-none-match", tag)]).await;
        assert_eq!((again.status, again.body.as_str()), (304, ""), "{path}");
        assert_eq!(get(path, &[("if-none-match", "\"other\"")]).await.status, 200, "{path}");
    }
    let page = get("/docs", &[]).await.body;
    let inline = ["<script>", "<style", "style=", "onclick", "://"];
    assert!(!inline.iter().any(|word| page.contains(word)), "the page has something inline");
}
