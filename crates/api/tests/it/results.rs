//! What every outcome looks like from outside: golden files, status codes, and the published schema.

use std::collections::BTreeSet;
use std::time::Duration;

use baton_store::memory::Fault;
use serde_json::{Value, json};

use crate::client::Seen;
use crate::server::Server;
use crate::{CHARGE, card_with, change, charge, edited, golden, three_ds};

const CARD: &str = "4111111111111111";
const RECIPE: &str =
    r#""paymentGatewayAccountNames": ["test-failure","test-failure","test-success"]"#;

/// The sandbox's amount, in dollars, that makes the issuer or the provider decline with this code.
fn declining(code: &str) -> String {
    let codes = baton_sandbox::codes();
    let (cents, _) = codes.declines.iter().find(|(_, row)| row.code == code).unwrap();
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// One case: what is sent, the status, the result, the reason, and `Retry-After`.
struct Case(&'static str, &'static str, String, u16, &'static str, Value, Option<&'static str>);

#[rustfmt::skip]
fn purchases() -> Vec<Case> {
    let at = |amount: &str, card: &str, accounts: &[&str]| charge(amount, "USD", card, accounts);
    let none = Value::Null;
    vec![
        Case("charge_approved",         "charge",    CHARGE.to_owned(),                          202, "Success",          none.clone(), None),
        Case("charge_approved_by_mock", "charge",    at("10", CARD, &["test-success"]),          202, "Success",          none.clone(), None),
        Case("authorize_approved",      "authorize", at("50", CARD, &["acme"]),                  202, "Success",          none.clone(), None),
        Case("tokenize_approved",       "tokenize",  CHARGE.to_owned(),                          200, "Success",          none, None),
        Case("tokenize_not_supported",  "tokenize",  at("1", CARD, &["test-success"]),           409, "NotImplemented",   json!("not_supported"), None),
        Case("declined_by_issuer",      "charge",    at("10", "4000000000009995", &["acme", "acme-a"]),         409, "Rejected", json!("insufficient_funds"), None),
        Case("declined_for_risk",       "charge",    at("10", "4100000000000019", &["acme", "acme-a"]),         409, "Rejected", json!("risk_blocked"), None),
        Case("declined_by_provider",    "charge",    at(&declining("provider_declined"), CARD, &["acme", "acme-a"]), 409, "Rejected", json!("provider_declined"), None),
        Case("refused_by_mock",         "charge",    at("10", CARD, &["test-failure"]),          503, "TemporaryFailure", json!("unavailable"), Some("1")),
        Case("rate_limited",            "charge",    at("9100.11", CARD, &["acme"]),             503, "TemporaryFailure", json!("rate_limited"), Some("1")),
        Case("unreachable",             "charge",    at("10", CARD, &["unreachable"]),           503, "TemporaryFailure", json!("connect_failed"), Some("1")),
        Case("no_credentials",          "charge",    at("10", CARD, &["no-credentials"]),        503, "TemporaryFailure", json!("not_configured"), Some("1")),
        Case("no_connector",            "charge",    at("10", CARD, &["no-connector"]),          503, "TemporaryFailure", json!("not_configured"), Some("1")),
        Case("failover_to_the_third",   "charge",    at("10", CARD, &["unreachable", "test-failure", "acme"]), 202, "Success", Value::Null, None),
        Case("partial_approval",        "charge",    at("9100.18", CARD, &["acme", "acme-a"]),   409, "Rejected",         json!("partial_approval"), None),
        Case("action_required",         "charge",    at("10", "4000002500003155", &["acme", "acme-a"]), 409, "Rejected",  json!("action_required"), None),
        Case("lost_answer_found_again", "charge",    at("9100.09", CARD, &["acme", "acme-a"]),   202, "Success",          Value::Null, None),
        Case("amex_with_four_digits",   "authorize", at("10", "378282246310005", &["acme"]),     202, "Success",          Value::Null, None),
    ]
}

#[track_caller]
fn check(seen: &Seen, status: u16, code: &str, reason: &Value, retry_after: Option<&str>) {
    let result = seen.json();
    assert_eq!(seen.status, status, "{seen:?}");
    assert_eq!(result["operationResultCode"], code, "{seen:?}");
    assert_eq!(result["success"], code == "Success", "{seen:?}");
    assert_eq!(&result["reason"], reason, "{seen:?}");
    assert_eq!(seen.header("retry-after"), retry_after, "{seen:?}");
    let tried = result["attempts"].as_array().unwrap();
    let last = tried.last().map_or(&Value::Null, |last| &last["paymentGatewayAccountName"]);
    assert_eq!(&result["paymentGatewayAccountName"], last, "{seen:?}");
}

async fn golden(server: &Server, cases: Vec<Case>) -> Vec<Seen> {
    let mut answers = Vec::new();
    for Case(name, operation, body, status, code, reason, retry_after) in cases {
        let seen = server.operate(operation, body).await;
        check(&seen, status, code, &reason, retry_after);
        insta::assert_snapshot!(name, golden::of(&seen));
        answers.push(seen);
    }
    answers
}

#[tokio::test]
async fn every_outcome_of_a_purchase_has_its_result() {
    let server = Server::start().await;
    let answers = golden(&server, purchases()).await;
    let paid_at = |seen: &Seen| seen.json()["paymentGatewayAccountName"].clone();
    let only_first = ["declined_by_issuer", "declined_for_risk", "partial_approval"];
    for (case, seen) in purchases().iter().zip(&answers) {
        if only_first.contains(&case.0) {
            assert_eq!(paid_at(seen), "acme", "{}", case.0);
        }
    }
    let schema = schema("Payments.OperationResult");
    for seen in &answers {
        fits(&schema, &seen.json());
    }
}

#[tokio::test]
async fn refusals_by_script_have_their_results() {
    let server = Server::start().await;
    let sale = |account: &str| json!({"account": account, "operation": "sale"});
    let refuse = |status: u16| json!({"refuse": {"status": status, "code": "scripted"}});
    #[rustfmt::skip]
    let rows = [
        ("credentials_refused", refuse(401), 500, "FatalFailure", "credentials"),
        ("request_refused",     refuse(400), 409, "Rejected",     "validation"),
    ];
    for (name, action, status, code, reason) in rows {
        server.script(sale("acme"), action).await;
        let body = charge("10", "USD", CARD, &["acme"]);
        golden(&server, vec![Case(name, "charge", body, status, code, json!(reason), None)]).await;
    }
    let disabled = json!({"verdict": {"decline": "merchant_account_disabled"}});
    server.script(sale("acme"), disabled).await;
    let body = charge("10", "USD", CARD, &["acme", "acme-a"]);
    let case =
        Case("provider_decline_fails_over", "charge", body, 202, "Success", Value::Null, None);
    let seen = golden(&server, vec![case]).await.remove(0).json();
    assert_eq!(seen["attempts"][0]["outcome"], "declined");
    assert_eq!(seen["paymentGatewayAccountName"], "acme-a");
}

#[tokio::test]
async fn what_is_in_doubt_is_accepted_and_never_tried_elsewhere() {
    let server = Server::impatient(800).await;
    let blind = json!({"fault": {"commit": "never", "answer": {"status": {"status": 500}}}});
    server.script(json!({"account": "acme-b", "operation": "lookup"}), blind.clone()).await;
    let lost = json!({"fault": {"commit": "first", "answer": "close"}});
    server.script(json!({"account": "acme-b", "operation": "sale"}), lost.clone()).await;
    let at = |amount: &str, card: &str, account| charge(amount, "USD", card, &[account, "acme-a"]);
    #[rustfmt::skip]
    let cases = vec![
        Case("outcome_unknown", "charge", at("10", CARD, "acme-b"),                 202, "Accepted", json!("outcome_unknown"), None),
        Case("pending",         "charge", at("10", "4000000000009110", "acme"),     202, "Accepted", json!("pending"), None),
        Case("in_progress",     "charge", at("9100.03", CARD, "acme"),              202, "Accepted", json!("in_progress"), None),
    ];
    let answers = golden(&server, cases).await;
    let unknown = answers[0].json();
    assert!(unknown["nextCheckAt"].is_string() && unknown["gatewayReference"].is_null());
    // Another one for the same is answered with this one, and goes nowhere, unless it says that it may.
    let before = server.at_provider().await;
    let again = charge("10", "USD", CARD, &["acme-a"]);
    let case = |body| {
        let reason = json!("duplicate_in_doubt");
        Case("duplicate_in_doubt", "charge", body, 202, "Accepted", reason, None)
    };
    let seen = golden(&server, vec![case(again.clone())]).await.remove(0).json();
    assert_eq!(seen["transactionId"], unknown["transactionId"]);
    assert_eq!(server.at_provider().await, before);
    let allowed = again.replacen('{', r#"{"allowDuplicate": true, "#, 1);
    check(&server.operate("charge", allowed).await, 202, "Success", &Value::Null, None);
    assert_eq!(server.at_provider().await, before + 1);
    let status = async |of: &Value| {
        let id = of["transactionId"].as_str().unwrap();
        server.operate("status", format!(r#"{{"refTransId": "{id}"}}"#)).await
    };
    let seen = status(&unknown).await;
    check(&seen, 200, "Accepted", &json!("outcome_unknown"), None);
    insta::assert_snapshot!("status_outcome_unknown", golden::of(&seen));
    let refund = change(unknown["transactionId"].as_str().unwrap(), "10", "USD");
    let seen = server.operate("refund", refund).await;
    assert_eq!((seen.status, &seen.json()["reason"]), (409, &json!("not_allowed")), "{seen:?}");
    for answer in &answers[1..] {
        let mut last = None;
        for _ in 0..100 {
            let seen = status(&answer.json()).await;
            assert_eq!(seen.status, 200, "{seen:?}");
            let settled = seen.json()["success"] == true;
            last = Some(seen);
            if settled {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let last = last.unwrap();
        assert_eq!(last.json()["success"], true, "not settled after 10 s: {last:?}");
        assert_eq!(last.json()["gatewayResultCode"], "captured");
    }
    let hold = server.operate("authorize", charge("20", "USD", CARD, &["acme-b"])).await.json();
    server.script(json!({"account": "acme-b", "operation": "capture"}), lost).await;
    let hold = hold["gatewayReference"].as_str().unwrap();
    let seen = server.operate("capture", change(hold, "20", "USD")).await;
    check(&seen, 202, "Accepted", &json!("outcome_unknown"), None);
    assert_eq!(seen.json()["operationType"], "Capture");
}

#[tokio::test]
async fn captures_refunds_voids_and_look_ups_have_their_results() {
    let server = Server::start().await;
    let make = async |operation: &str, amount: &str| {
        let seen = server.operate(operation, edited(CHARGE, "10.23", amount)).await.json();
        seen["gatewayReference"].as_str().unwrap().to_owned()
    };
    let (hold, free) = (make("authorize", "50.00").await, make("authorize", "7.00").await);
    let (sale, undone) = (make("charge", "100.00").await, make("charge", "8.00").await);
    let null = Value::Null;
    let not_allowed = || json!("not_allowed");
    let with_card = |reference: &str, amount: &str| {
        let card = card_with(CARD, "999");
        edited(&change(reference, amount, "USD"), "}", &format!(", \"card\": {card}}}"))
    };
    let look_up = |reference: &str| format!(r#"{{"refTransId": "{reference}"}}"#);
    #[rustfmt::skip]
    let cases = vec![
        Case("capture_in_part",        "capture", with_card(&hold, "45.00"),       202, "Success",  null.clone(),  None),
        Case("capture_of_the_rest",    "capture", change(&hold, "5", "USD"),       202, "Success",  null.clone(),  None),
        Case("capture_of_nothing_left","capture", change(&hold, "0.01", "USD"),    409, "Rejected", not_allowed(), None),
        Case("refund_in_part",         "refund",  with_card(&sale, "25"),          202, "Success",  null.clone(),  None),
        Case("refund_beyond",          "refund",  change(&sale, "75.01", "USD"),   409, "Rejected", not_allowed(), None),
        Case("void_of_a_hold",         "void",    with_card(&free, "7.00"),        202, "Success",  null.clone(),  None),
        Case("void_of_a_voided",       "void",    change(&free, "7", "USD"),       409, "Rejected", not_allowed(), None),
        Case("void_of_a_charge",       "void",    change(&undone, "8", "USD"),     202, "Success",  null.clone(),  None),
        Case("void_of_a_captured",     "void",    change(&hold, "50", "USD"),      409, "Rejected", not_allowed(), None),
        Case("unknown_reference",      "refund",  change("sp_unknown", "1", "USD"),409, "Rejected", json!("unknown_reference"), None),
        Case("status_captured",        "status",  look_up(&hold),                  200, "Success",  null.clone(),  None),
        Case("status_refunded_in_part","status",  look_up(&sale),                  200, "Success",  null.clone(),  None),
        Case("status_voided",          "status",  look_up(&free),                  200, "Success",  null,          None),
        Case("status_unknown",         "status",  look_up("sp_unknown"),           409, "Rejected", json!("unknown_reference"), None),
    ];
    let schema = schema("Payments.OperationResult");
    for seen in golden(&server, cases).await {
        fits(&schema, &seen.json());
    }
}

#[tokio::test]
async fn a_look_up_of_a_failed_payment_has_succeeded_itself() {
    let server = Server::start().await;
    #[rustfmt::skip]
    let rows = [
        (charge("10", "USD", CARD, &["test-failure"]),            503, "TemporaryFailure", "unavailable"),
        (charge("10", "USD", "4000000000009995", &["acme"]),      409, "Rejected",         "insufficient_funds"),
    ];
    for (body, status, code, reason) in rows {
        let made = server.operate("charge", body).await;
        assert_eq!(made.status, status);
        let id = made.json()["transactionId"].as_str().unwrap().to_owned();
        let seen = server.operate("status", format!(r#"{{"refTransId": "{id}"}}"#)).await;
        check(&seen, 200, code, &json!(reason), None);
        assert_eq!(seen.json()["gatewayResultCode"], "failed");
        assert_eq!(seen.json()["transactionId"], id.as_str());
    }
}

#[tokio::test]
async fn the_newest_payment_answers_to_a_merchants_reference() {
    let server = Server::start().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let seen = server.operate("charge", CHARGE).await.json();
        ids.push(seen["transactionId"].clone());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let seen = server.operate("status", r#"{"MYREF": "order-1"}"#).await.json();
    assert_eq!(Some(&seen["transactionId"]), ids.last());
    assert_eq!(seen["operationType"], "Status");
}

#[tokio::test]
async fn a_token_of_the_provider_pays_without_a_card() {
    let server = Server::start().await;
    let made = server.operate("tokenize", CHARGE).await.json();
    let token = made["gatewayToken"].as_str().unwrap();
    let body = format!(
        r#"{{"amount": 3, "currency": "EUR", "userToken": "{token}", "paymentGatewayAccountName": "acme"}}"#
    );
    let seen = server.operate("charge", body).await;
    check(&seen, 202, "Success", &Value::Null, None);
    assert!(seen.body.contains("\"amount\":3.00,"), "{seen:?}");
}

#[tokio::test]
async fn amounts_keep_their_currencys_digits() {
    let server = Server::start().await;
    #[rustfmt::skip]
    let rows = [
        ("500",     "JPY", "500"),
        ("1.234",   "BHD", "1.234"),
        ("1.2",     "KWD", "1.200"),
        ("0.01",    "USD", "0.01"),
        ("0.3",     "EUR", "0.30"),
        ("1.0001",  "CLF", "1.0001"),
        ("1e3",     "USD", "1000.00"),
        ("9999999999.99", "USD", "9999999999.99"),
    ];
    for (given, currency, shown) in rows {
        let body = charge(given, currency, CARD, &["test-success"]);
        let seen = server.operate("charge", body).await;
        assert_eq!(seen.status, 202, "{seen:?}");
        let wanted = format!("\"currency\":\"{currency}\",\"amount\":{shown},");
        assert!(seen.body.contains(&wanted), "{wanted} {seen:?}");
        let id = seen.json()["transactionId"].as_str().unwrap().to_owned();
        let seen = server.operate("status", format!(r#"{{"refTransId": "{id}"}}"#)).await;
        assert!(seen.body.contains(&wanted), "{wanted} {seen:?}");
    }
}

#[tokio::test]
async fn the_recipe_of_the_public_guide_works_every_time() {
    let server = Server::start().await;
    let body = format!(
        r#"{{"amount": 10.23, "currency": "USD", "card": {}, {RECIPE}}}"#,
        card_with(CARD, "123")
    );
    for _ in 0..100 {
        let seen = server.operate("charge", &body).await;
        let result = seen.json();
        assert_eq!((seen.status, &result["success"]), (202, &json!(true)), "{seen:?}");
        assert_eq!(result["paymentGatewayAccountName"], "test-success");
        let outcomes: Vec<_> = result["attempts"].as_array().unwrap().iter().collect();
        let outcomes: Vec<_> = outcomes.iter().map(|a| a["outcome"].as_str().unwrap()).collect();
        assert_eq!(outcomes, ["refused", "refused", "approved"]);
    }
    let backups = r#""paymentGatewayAccountName": "test-failure", "fallbackUpgs":
        [{"paymentGatewayAccountName": "test-failure"}, {"paymentGatewayAccountName": "test-success"}]"#;
    for operation in ["charge", "authorize"] {
        let seen = server.operate(operation, edited(&body, RECIPE, backups)).await;
        check(&seen, 202, "Success", &Value::Null, None);
        assert_eq!(seen.json()["attempts"].as_array().unwrap().len(), 3);
    }
    let body = charge("1", "USD", CARD, &["test-success", "test-failure", "acme"]);
    let seen = server.operate("tokenize", body).await;
    check(&seen, 200, "Success", &Value::Null, None);
    assert_eq!(seen.json()["paymentGatewayAccountName"], "acme");
    let body = charge("10", "USD", CARD, &["test-failure", "test-failure"]);
    let seen = server.operate("charge", body).await;
    check(&seen, 503, "TemporaryFailure", &json!("unavailable"), Some("1"));
}

#[tokio::test]
async fn without_the_database_nothing_is_done_and_that_is_said() {
    let server = Server::start().await;
    server.store.fail_next(Fault::Unavailable);
    let seen = server.operate("charge", CHARGE).await;
    assert_eq!((seen.status, seen.header("retry-after")), (503, Some("1")), "{seen:?}");
    insta::assert_snapshot!("database_unavailable", golden::of(&seen));
    assert_eq!(server.state().await, (0, 0, 0));
    server.store.fail_next(Fault::InDoubtLost);
    assert_eq!(server.operate("charge", CHARGE).await.status, 202);
}

// What follows reads the published description from where BATON_SPECS_DIR says; it is not part of this
// repository.

const ADDED: [&str; 7] = [
    "success",
    "transactionId",
    "reason",
    "nextCheckAt",
    "paymentGatewayAccountName",
    "gatewayResponse",
    "attempts",
];

#[allow(clippy::disallowed_methods, reason = "the one setting of these tests")]
fn schemas() -> Option<Value> {
    let Ok(dir) = std::env::var("BATON_SPECS_DIR") else { return None };
    let path = std::path::Path::new(&dir).join("orchestra/openapi.json");
    let file =
        std::fs::read_to_string(path).expect("BATON_SPECS_DIR holds no orchestra/openapi.json");
    let file: Value = serde_json::from_str(&file).unwrap();
    Some(file["components"]["schemas"].clone())
}

#[allow(clippy::print_stdout, reason = "whoever reads the run has to see what was left out")]
fn skipped(checks: usize) {
    println!("SKIPPED {checks}: BATON_SPECS_DIR is not set");
}

/// A schema with the referenced ones put in its properties' place.
fn schema(name: &str) -> Option<Value> {
    let all = schemas()?;
    let mut schema = all[name].clone();
    for (_, property) in schema["properties"].as_object_mut().unwrap() {
        if let Some(reference) = property["$ref"].as_str() {
            *property = all[reference.rsplit('/').next().unwrap()].clone();
        }
    }
    Some(schema)
}

/// Whether an answer has the published members, of the published types, and no others but ours.
#[track_caller]
fn fits(schema: &Option<Value>, answer: &Value) {
    let Some(schema) = schema else { return };
    let published = schema["properties"].as_object().unwrap();
    let optional = ["currency", "amount"];
    for (name, property) in published {
        let value = &answer[name];
        let nullable = property["nullable"] == true || optional.contains(&name.as_str());
        let fits = match property["type"].as_str() {
            _ if value.is_null() => nullable,
            Some("string") => match property["enum"].as_array() {
                Some(words) => words.contains(value),
                None => value.is_string(),
            },
            Some("number") => value.is_number(),
            None => true,
            Some(other) => panic!("no check for {other}"),
        };
        assert!(fits, "{name}: {value} is not {property}");
    }
    for name in answer.as_object().unwrap().keys() {
        assert!(published.contains_key(name) || ADDED.contains(&name.as_str()), "{name}");
    }
}

#[tokio::test]
async fn every_published_property_of_a_request_is_read_or_refused() {
    let models = [
        ("charge", "PayTools_Api.Models.AuthRequestModel", 11),
        ("authorize", "PayTools_Api.Models.AuthRequestModel", 11),
        ("tokenize", "PayTools_Api.Models.TokenizeRequestModel", 6),
        ("capture", "PayTools_Api.Models.CaptureVoidRequestModel", 9),
        ("void", "PayTools_Api.Models.CaptureVoidRequestModel", 9),
        ("refund", "PayTools_Api.Models.RefundRequestModel", 10),
        ("status", "PayTools_Api.Models.StatusRequestModel", 6),
    ];
    let (Some(_), server) = (schemas(), Server::start().await) else {
        skipped(models.len() + 2);
        return;
    };
    let mut good: Value = serde_json::from_str(CHARGE).unwrap();
    good["refTransId"] = json!("sp_1");
    for (operation, model, at_least) in models {
        let model = schema(model).unwrap();
        let names: Vec<_> = model["properties"].as_object().unwrap().keys().cloned().collect();
        assert!(names.len() >= at_least, "{operation}: {names:?}");
        for name in &names {
            let mut body = good.clone();
            body[name] = json!([[]]);
            let seen = server.operate(operation, body.to_string()).await;
            assert_eq!(seen.status, 400, "{operation} {name} {seen:?}");
            assert_eq!(&seen.fault().0, name, "{operation} {seen:?}");
        }
    }
    for (part, model) in [
        ("card", "PayTools_Api.Models.CardInputModel"),
        ("payerDetails", "PayTools_Api.Models.PayerDetails"),
    ] {
        for name in schema(model).unwrap()["properties"].as_object().unwrap().keys() {
            let mut body = good.clone();
            body[part][name] = json!([[]]);
            let seen = server.operate("charge", body.to_string()).await;
            assert_eq!(seen.status, 400, "{part} {name} {seen:?}");
            assert_eq!(seen.fault().0, format!("{part}.{name}"), "{seen:?}");
        }
    }
    assert_eq!(server.stored().await, 0);
}

#[tokio::test]
async fn results_and_errors_have_the_published_form() {
    let (Some(result), server) = (schema("Payments.OperationResult"), Server::start().await) else {
        skipped(3);
        return;
    };
    let seen = server.operate("charge", CHARGE).await.json();
    fits(&Some(result.clone()), &seen);
    let ours: BTreeSet<&String> = seen.as_object().unwrap().keys().collect();
    let published = result["properties"].as_object().unwrap().keys();
    assert!(published.clone().all(|name| ours.contains(name)), "a published member is missing");
    assert_eq!(ours.len(), published.count() + ADDED.len());
    let error = schema("PayTools_Shared.Models.ValidationErrorMessage").unwrap();
    let names: Vec<_> = error["properties"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["errors", "fieldName"]);
    let card = schema("PayTools_Api.Models.CardInputModel").unwrap();
    let types = card["properties"]["cardType"]["enum"].as_array().unwrap();
    assert_eq!(types.len(), 22);
    for word in types {
        let body = edited(CHARGE, "\"Visa\"", &word.to_string());
        assert_eq!(server.operate("charge", body).await.status, 202, "{word}");
    }
}

#[tokio::test]
async fn a_payer_authenticated_elsewhere_is_not_challenged_again() {
    let server = Server::start().await;
    let challenged = charge("10", "USD", "4000002500003155", &["acme"]);
    let seen = server.operate("charge", &challenged).await;
    check(&seen, 409, "Rejected", &json!("action_required"), None);

    let authenticated = edited(
        &challenged,
        "\"cvv\"",
        &format!("{}, \"cvv\"", three_ds("AJkBBkhgQQAAAE4gSEJydQAAAAA=")),
    );
    let seen = server.operate("charge", &authenticated).await;
    check(&seen, 202, "Success", &Value::Null, None);
    let failed = edited(&authenticated, "\"05\"", "\"07\"");
    let seen = server.operate("charge", failed).await;
    check(&seen, 409, "Rejected", &json!("action_required"), None);
}

#[tokio::test]
async fn a_network_token_goes_only_where_it_is_taken() {
    let server = Server::start().await;
    let token = edited(CHARGE, "\"myRef\"", "\"networkTokenBrand\": \"Visa\", \"myRef\"");
    let seen = server.operate("charge", token).await;
    check(&seen, 202, "Success", &Value::Null, None);
}
