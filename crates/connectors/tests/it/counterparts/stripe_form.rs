//! Every call that Stripe's cases show, against Stripe's own description of its API.
//!
//! Prism validates the values, but not whether a parameter exists, and lets everything pass for an
//! operation that it cannot compile. So names are looked up in the description here, and each operation is
//! also sent a request that it has to refuse.

use std::collections::BTreeSet;

use baton_connect::{Body, HttpCall, Method, Part};
use serde_json::Value;

use super::{Node, Secrets, free_port, node_modules, send, skipped, specification};

const SPECIFICATION: &str = "stripe/prism-ready-payments.json";

/// Operations whose only parameter that means something here is an id, which can be anything.
const ONLY_IDS: [&str; 4] = [
    "GET /v1/payment_intents/{intent}",
    "GET /v1/setup_intents/{intent}",
    "GET /v1/disputes/{dispute}",
    "POST /v1/disputes/{dispute}/close",
];

/// Every call in the cases, those of later steps too.
fn calls() -> Vec<HttpCall> {
    let files = [
        include_str!("../../../src/stripe/cases/purchase.json"),
        include_str!("../../../src/stripe/cases/redirect.json"),
        include_str!("../../../src/stripe/cases/modify.json"),
        include_str!("../../../src/stripe/cases/look_up.json"),
        include_str!("../../../src/stripe/cases/dispute.json"),
        include_str!("../../../src/stripe/cases/retrieve.json"),
    ];
    let mut found = Vec::new();
    for file in files {
        collect(&serde_json::from_str(file).unwrap(), &mut found);
    }
    found
}

fn collect(value: &Value, found: &mut Vec<HttpCall>) {
    match value {
        Value::Object(members) => {
            if let Some(call) = members.get("call") {
                found.push(serde_json::from_value(call.clone()).unwrap());
            }
            members.values().for_each(|member| collect(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        _ => {}
    }
}

/// The operation of the description that a call is, and its path there.
fn operation<'a>(description: &'a Value, call: &HttpCall) -> (&'a str, &'a Value) {
    let path = call.path.split('?').next().unwrap();
    let fits = |template: &&String| {
        let (ours, theirs) = (path.split('/'), template.split('/'));
        ours.clone().count() == theirs.clone().count()
            && ours.zip(theirs).all(|(our, their)| their.starts_with('{') || our == their)
    };
    let paths = description["paths"].as_object().unwrap();
    let template = paths.keys().find(fits).unwrap_or_else(|| panic!("no such path: {path}"));
    let method = call.method.as_str().to_lowercase();
    let operation = &paths[template][&method];
    assert!(operation.is_object(), "{method} {template} is not described");
    (template, operation)
}

/// The first level of the parameters that a call has.
fn names(call: &HttpCall) -> BTreeSet<String> {
    let mut text = String::new();
    if let Body::Form(parts) = &call.body {
        for part in parts {
            text += match part {
                Part::Text(piece) => piece,
                Part::Hole(_) => "hole",
            };
        }
    }
    let query = call.path.split_once('?').map_or("", |(_, query)| query);
    let pairs = text.split('&').chain(query.split('&')).filter(|pair| !pair.is_empty());
    let name = |pair: &str| pair.split(['=', '%']).next().unwrap().to_owned();
    pairs.map(name).collect()
}

fn known(operation: &Value) -> BTreeSet<String> {
    let form = "/requestBody/content/application~1x-www-form-urlencoded/schema/properties";
    let body = operation.pointer(form).and_then(Value::as_object);
    let query = operation["parameters"].as_array().into_iter().flatten();
    let query = query.filter_map(|parameter| parameter["name"].as_str());
    body.into_iter()
        .flat_map(|fields| fields.keys().cloned())
        .chain(query.map(str::to_owned))
        .collect()
}

#[test]
fn every_call_is_one_that_stripe_describes() {
    let started = specification(SPECIFICATION).and_then(|spec| {
        let port = free_port();
        let program = node_modules()?.join("@stoplight/prism-cli/dist/index.js");
        let (program, shown) = (program.display(), spec.display());
        let arguments = format!("{program} mock -h 127.0.0.1 -p {port} --errors {shown}");
        Ok((spec, port, Node::start(&arguments, "Prism is listening")))
    });
    let (spec, port, _prism) = match started {
        Ok(started) => started,
        Err(why) => return skipped(&format!("Stripe's description: {why}")),
    };
    let description: Value = serde_json::from_str(&std::fs::read_to_string(spec).unwrap()).unwrap();
    let mut seen = BTreeSet::new();
    let mut sent = BTreeSet::new();
    for call in calls() {
        let (path, operation) = operation(&description, &call);
        seen.insert(format!("{} {path}", call.method.as_str()));
        let (names, known) = (names(&call), known(operation));
        assert!(names.is_subset(&known), "{path}: {:?}", names.difference(&known));
        // The same call is in the cases many times.
        if sent.insert(serde_json::to_string(&call).unwrap()) {
            let answer = send(port, &call.fill(&Secrets).ok().unwrap());
            let said = String::from_utf8_lossy(&answer.body).into_owned();
            assert_eq!(answer.status, 200, "{} {}: {said}", call.method.as_str(), call.path);
        }
    }
    let wrong = [
        ("POST /v1/payment_intents", "/v1/payment_intents", "currency=usd"),
        ("POST /v1/payment_methods", "/v1/payment_methods", "type=stone"),
        (
            "POST /v1/payment_intents/{intent}/confirm",
            "/v1/payment_intents/pi_1/confirm",
            "error_on_requires_action=perhaps",
        ),
        (
            "POST /v1/payment_intents/{intent}/capture",
            "/v1/payment_intents/pi_1/capture",
            "amount_to_capture=some",
        ),
        (
            "POST /v1/payment_intents/{intent}/cancel",
            "/v1/payment_intents/pi_1/cancel",
            "cancellation_reason=because",
        ),
        (
            "POST /v1/payment_intents/{intent}/increment_authorization",
            "/v1/payment_intents/pi_1/increment_authorization",
            "amount=some",
        ),
        ("POST /v1/setup_intents", "/v1/setup_intents", "confirm=perhaps"),
        (
            "POST /v1/setup_intents/{intent}/confirm",
            "/v1/setup_intents/seti_1/confirm",
            "payment_method_data%5Btype%5D=stone",
        ),
        (
            "POST /v1/setup_intents/{intent}/cancel",
            "/v1/setup_intents/seti_1/cancel",
            "cancellation_reason=because",
        ),
        ("GET /v1/setup_intents", "/v1/setup_intents?limit=some", ""),
        ("POST /v1/refunds", "/v1/refunds", "payment_intent=pi_1&amount=some"),
        ("POST /v1/customers", "/v1/customers", "balance=some"),
        ("GET /v1/payment_intents", "/v1/payment_intents?limit=some", ""),
        ("GET /v1/refunds", "/v1/refunds?limit=some", ""),
        ("POST /v1/disputes/{dispute}", "/v1/disputes/dp_1", "submit=perhaps"),
    ];
    for (_, path, form) in wrong {
        let method = if form.is_empty() { Method::Get } else { Method::Post };
        let mut call = HttpCall::new(method, path)
            .header("authorization", vec!["Bearer sk_test_12345".into()]);
        if !form.is_empty() {
            call.body = Body::Form(vec![form.into()]);
        }
        let answer = send(port, &call.fill(&Secrets).ok().unwrap());
        assert_eq!(answer.status, 422, "{path} {form} is let through");
    }
    let mut refused: BTreeSet<String> = wrong.iter().map(|row| row.0.to_owned()).collect();
    refused.extend(ONLY_IDS.map(str::to_owned));
    assert_eq!(seen, refused, "every operation has a request that it refuses");
}
