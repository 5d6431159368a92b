//! Holds every answer that any test here sees against the description: its status has to be declared, and
//! its body has to fit the schema. What is left out: patterns, and the forms of texts but for times.

use std::sync::LazyLock;

use baton_types::Timestamp;
use serde_json::Value;

use crate::client::Seen;

static DOCUMENTS: LazyLock<[Value; 2]> = LazyLock::new(|| {
    [baton_api::description(), baton_api::payments_description()]
        .map(|text| serde_json::from_str(&text).unwrap())
});

/// Checks an answer; what no route takes has no description.
#[track_caller]
pub(crate) fn check(method: &str, path: &str, seen: &Seen) {
    let Some((document, operation)) = operation(method, path) else {
        assert!(matches!(seen.status, 404 | 405 | 413), "{method} {path}: {seen:?}");
        return;
    };
    if let Err(fault) = fits(document, operation, seen) {
        let [fault, seen] =
            [fault, format!("{seen:?}")].map(|text| text.chars().take(3000).collect::<String>());
        panic!("{method} {path}: {fault}\n{seen}");
    }
}

fn operation(method: &str, path: &str) -> Option<(&'static Value, &'static Value)> {
    let path = path.split('?').next().unwrap_or_default();
    DOCUMENTS.iter().find_map(|document| {
        let paths = document["paths"].as_object().unwrap();
        let exact = paths.get(path);
        let like =
            || paths.iter().find(|(template, _)| matches(template, path)).map(|(_, item)| item);
        Some((document, exact.or_else(like)?.get(method.to_ascii_lowercase())?))
    })
}

fn matches(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) =
        (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template.iter().zip(&path).all(|(a, b)| a == b || (a.starts_with('{') && !b.is_empty()))
}

/// Whether an answer is one that the operation declares.
pub(crate) fn fits(document: &Value, operation: &Value, seen: &Seen) -> Result<(), String> {
    let declared = operation["responses"].get(seen.status.to_string());
    let declared = declared.ok_or_else(|| format!("{} is not declared", seen.status))?;
    let declared = resolve(document, declared);
    let Some(content) = declared.get("content").and_then(Value::as_object) else {
        let empty = seen.body.is_empty();
        return empty.then_some(()).ok_or_else(|| "a body that is not declared".to_owned());
    };
    if seen.body.is_empty() {
        // The keys could not be read; the description says so.
        let said = declared["description"].as_str().unwrap_or_default().contains("Without a body");
        return said.then_some(()).ok_or_else(|| "the body is missing".to_owned());
    }
    let media = seen.header("content-type").unwrap_or_default();
    let schema = content.iter().find(|(name, _)| media.split(';').next() == Some(name.as_str()));
    let schema = &schema.ok_or_else(|| format!("{media} is not declared"))?.1["schema"];
    if media.starts_with("application/json") {
        let value = serde_json::from_str(&seen.body).map_err(|error| error.to_string())?;
        return valid(document, schema, &value, "");
    }
    Ok(())
}

fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => {
            resolve(document, document.pointer(reference.trim_start_matches('#')).unwrap())
        }
        None => value,
    }
}

/// Whether a value fits a schema of the description. A word of a schema that is not known here is an error.
fn valid(document: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let schema = resolve(document, schema).as_object().ok_or("no schema")?;
    for (word, wanted) in schema {
        if !holds(document, word, wanted, value, at)? {
            return Err(format!("{at}: {value} against {word} {wanted}"));
        }
    }
    Ok(())
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("an unknown type {other}"),
    }
}

fn holds(
    document: &Value,
    word: &str,
    wanted: &Value,
    value: &Value,
    at: &str,
) -> Result<bool, String> {
    let valid = |schema: &Value, value: &Value, at: &str| valid(document, schema, value, at);
    let number = |value: &Value| value.as_f64().unwrap_or_default();
    let length = value.as_str().map(|text| text.chars().count() as u64);
    let items = value.as_array().map(|items| items.len() as u64);
    Ok(match word {
        "type" => match wanted.as_array() {
            Some(either) => either.iter().any(|one| is(one, value)),
            None => is(wanted, value),
        },
        "anyOf" => wanted.as_array().unwrap().iter().any(|one| valid(one, value, at).is_ok()),
        "properties" => {
            let Some(members) = value.as_object() else { return Ok(true) };
            for (name, member) in members {
                let schema =
                    wanted.get(name).ok_or_else(|| format!("{at}.{name} is not declared"))?;
                valid(schema, member, &format!("{at}.{name}"))?;
            }
            true
        }
        "additionalProperties" if wanted.is_object() => {
            let mut members = value.as_object().into_iter().flatten();
            members.try_for_each(|(name, of)| valid(wanted, of, &format!("{at}.{name}")))?;
            true
        }
        // What is not among the properties is refused there.
        "additionalProperties" if wanted == false => true,
        "required" => wanted
            .as_array()
            .unwrap()
            .iter()
            .all(|name| value.get(name.as_str().unwrap()).is_some()),
        "items" => {
            value
                .as_array()
                .into_iter()
                .flatten()
                .try_for_each(|item| valid(wanted, item, &format!("{at}[]")))?;
            true
        }
        "enum" => wanted.as_array().unwrap().contains(value),
        "minItems" => items.is_none_or(|n| Some(n) >= wanted.as_u64()),
        "maxItems" => items.is_none_or(|n| Some(n) <= wanted.as_u64()),
        "minLength" => length.is_none_or(|n| Some(n) >= wanted.as_u64()),
        "maxLength" => length.is_none_or(|n| Some(n) <= wanted.as_u64()),
        "exclusiveMinimum" => number(value) > number(wanted),
        "minimum" => number(value) >= number(wanted),
        "maximum" => number(value) <= number(wanted),
        "format" if wanted == "date-time" => {
            value.as_str().is_none_or(|text| Timestamp::parse_rfc3339(text).is_ok())
        }
        "format" | "pattern" | "description" => true,
        other => return Err(format!("{at}: an unknown word {other}")),
    })
}

#[test]
fn an_answer_that_does_not_fit_is_seen() {
    let (document, charge) = operation("POST", "/PaymentGateway/charge").unwrap();
    let good = r#"{"fieldName": "card", "errors": ["It is required."]}"#;
    #[rustfmt::skip]
    let rows = [
        (400, good,                                    ""),
        (401, "",                                      ""),
        (418, "",                                      "418 is not declared"),
        (401, "x",                                     "a body that is not declared"),
        (400, "",                                      "the body is missing"),
        (400, "{",                                     "EOF"),
        (400, "[]",                                    "[] against"),
        (400, r#"{"fieldName": 1, "errors": ["x"]}"#,  ".fieldName: 1 against type"),
        (400, r#"{"fieldName": "a", "errors": null}"#, ".errors: null against"),
        (400, r#"{"fieldName": "a", "errors": []}"#,   "against minItems"),
        (400, r#"{"errors": ["x"]}"#,                  "against required"),
        (400, r#"{"fieldName": "a", "errors": ["x"], "more": 1}"#, ".more is not declared"),
    ];
    for (status, body, want) in rows {
        let head = "HTTP/1.1 400 x\r\ncontent-type: application/json".to_owned();
        let got = fits(document, charge, &Seen { status, head, body: body.to_owned() });
        match got {
            Ok(()) => assert_eq!(want, "", "{status} {body}"),
            Err(fault) => {
                assert!(!want.is_empty() && fault.contains(want), "{status} {body}: {fault}")
            }
        }
    }
    let (document, page) = operation("GET", "/health/ready").unwrap();
    let head = "HTTP/1.1 200 x\r\ncontent-type: text/html".to_owned();
    assert!(fits(document, page, &Seen { status: 200, head, body: "x".to_owned() }).is_err());
}
