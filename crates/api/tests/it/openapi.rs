//! The OpenAPI description: the golden file, and what it promises of itself.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::client;
use crate::server::Server;

const GOLDEN: &str = include_str!("../../../../docs/openapi.json");
const METHODS: [&str; 4] = ["get", "post", "put", "delete"];

fn document() -> Value {
    serde_json::from_str(&baton_api::description()).unwrap()
}

/// `BLESS=1` writes the file anew.
#[test]
fn the_golden_file_is_what_is_served() {
    let text = baton_api::description();
    if std::env::var_os("BLESS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        std::fs::write(path, &text).unwrap();
        return;
    }
    assert!(
        text == GOLDEN,
        "docs/openapi.json is not what the code says: run with BLESS=1 and review"
    );
}

#[test]
fn every_route_is_described_with_its_own_name_and_its_parameters() {
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    let mut ids = BTreeSet::new();
    let mut described = 0;
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            assert!(METHODS.contains(&method.as_str()));
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} is there twice");
            for text in ["summary", "description"] {
                assert!(!operation[text].as_str().unwrap().is_empty(), "{id} has no {text}");
            }
            let in_path: BTreeSet<&str> = path
                .split('/')
                .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
                .collect();
            let declared: BTreeSet<&str> = parameters(operation)
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            assert_eq!(in_path, declared, "{method} {path}");
            let statuses = operation["responses"].as_object().unwrap().keys();
            // What is not there yet says so with 501 and nothing else.
            let answers = |status: &String| status.starts_with('2') || status == "501";
            assert!(statuses.clone().any(answers), "{id}");
            described += 1;
        }
    }
    assert_eq!(described, baton_api::routes().len());
    for route in baton_api::routes() {
        assert!(paths[route.path].get(route.method.to_ascii_lowercase()).is_some(), "{route:?}");
    }
}

fn parameters(operation: &Value) -> impl Iterator<Item = &Value> {
    operation["parameters"].as_array().into_iter().flatten()
}

/// Every `$ref` leads somewhere, and every component is used.
#[test]
fn references_and_components_fit() {
    let document = document();
    let mut named = BTreeSet::new();
    references(&document, &mut named);
    for reference in &named {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    for kind in ["schemas", "responses", "parameters", "headers"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            assert!(
                named.contains(&format!("#/components/{kind}/{name}")),
                "{kind}/{name} is unused"
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
    for (path, media) in [
        ("/openapi.json", "application/json"),
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
