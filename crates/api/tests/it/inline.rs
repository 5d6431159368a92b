//! Credentials that come with a request: used, sealed while they are needed, and gone afterwards.

use serde_json::{Value, json};

use crate::server::Server;
use crate::{CHARGE, change, edited, logs};

const CANARY: &str = "canary-inline-8wz3";

fn inline(gateway: &str, credentials: &[(&str, &str)]) -> Value {
    let pairs: Vec<Value> =
        credentials.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
    json!({"paymentGatewayName": gateway, "credentials": pairs})
}

/// A request with credentials of its own beside whatever else it says.
fn with(body: &str, account: &Value) -> String {
    let mut body: Value = serde_json::from_str(body).unwrap();
    body["paymentGatewayAccount"] = account.clone();
    body.to_string()
}

/// A charge of another amount at no account.
fn nowhere(amount: &str) -> String {
    edited(CHARGE, r#""paymentGatewayAccountName": "acme", "#, "")
        .replace("\"amount\": 10.23", &format!("\"amount\": {amount}"))
}

#[tokio::test]
async fn a_payment_with_credentials_of_its_own_needs_them_again() {
    let server = Server::start().await;
    let own = inline("Sandbox", &[("ApiKey", CANARY)]);
    // They win over a name beside them, be it known or not.
    let named = edited(CHARGE, "\"acme\"", "\"nobody\"");
    for body in [nowhere("10.23"), CHARGE.to_owned(), named] {
        let paid = server.operate("charge", with(&body, &own)).await;
        assert_eq!((paid.status, &paid.json()["success"]), (202, &json!(true)), "{paid:?}");
        assert_eq!(paid.json()["paymentGatewayAccountName"], "(inline)");
        assert_eq!(server.inline_records().await, 0, "nothing is open");
    }
    let held = server.operate("authorize", with(&nowhere("10.23"), &own)).await.json();
    let id = held["transactionId"].as_str().unwrap();
    let capture = change(id, "10.23", "USD");
    let missing = server.operate("capture", &capture).await;
    let message =
        "The transaction was made with credentials that came with its request; send them again.";
    let fault = ("paymentGatewayAccount".to_owned(), message.to_owned());
    assert_eq!((missing.status, missing.fault()), (400, fault));
    let other = with(&capture, &inline("NULLSuccess", &[]));
    let seen = server.operate("capture", other).await;
    assert_eq!((seen.status, seen.fault().0.as_str()), (400, "paymentGatewayAccount"), "{seen:?}");
    let seen = server.operate("capture", with(&capture, &own)).await;
    assert_eq!((seen.status, &seen.json()["success"]), (202, &json!(true)), "{seen:?}");
    // Status needs none; it takes them, as the contract sends them.
    let by_id = json!({ "refTransId": id }).to_string();
    for body in [by_id.clone(), with(&by_id, &own)] {
        assert_eq!(server.operate("status", body).await.json()["success"], true);
    }
    let seen = server.operate("refund", with(&capture, &own)).await;
    assert_eq!((seen.status, &seen.json()["success"]), (202, &json!(true)), "{seen:?}");
    assert_eq!(server.inline_records().await, 0);
    // A payment of a stored account goes on with that account's.
    let stored = server.operate("charge", CHARGE).await.json();
    let body = with(&change(stored["transactionId"].as_str().unwrap(), "1", "USD"), &own);
    let seen = server.operate("refund", body).await;
    assert_eq!(seen.json()["paymentGatewayAccountName"], "acme", "{seen:?}");
    assert!(!logs::text().contains(CANARY));
}

#[tokio::test]
async fn they_are_sealed_while_something_is_open_and_then_gone() {
    let server = Server::impatient(700).await;
    let own = inline("Sandbox", &[("ApiKey", CANARY)]);
    server
        .script(
            json!({"account": "inline"}),
            json!({"verdict": {"pending": {"after_ms": 2500, "then": null}}}),
        )
        .await;
    let seen = server.operate("charge", with(&nowhere("10.23"), &own)).await;
    assert_eq!(seen.json()["operationResultCode"], "Accepted", "{seen:?}");
    assert_eq!(server.inline_records().await, 1);
    let payment = server.stored_text(seen.json()["transactionId"].as_str().unwrap()).await;
    assert!(payment.contains("\"inline\":true") && !payment.contains(CANARY), "{payment}");
    let by_id = json!({ "refTransId": seen.json()["transactionId"] }).to_string();
    let mut done = false;
    for _ in 0..60 {
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
        done = server.operate("status", &by_id).await.json()["success"] == true;
        if done && server.inline_records().await == 0 {
            break;
        }
    }
    assert!(done);
    assert_eq!(server.inline_records().await, 0);
}

#[tokio::test]
async fn they_come_first_and_named_accounts_after_them() {
    let server = Server::start().await;
    let backup = edited(
        &nowhere("10.23"),
        "\"fallbackUpgs\": []",
        r#""fallbackUpgs": [{"paymentGatewayAccountName": "test-success"}]"#,
    );
    let failing = inline("NULLFailure", &[]);
    let paid = server.operate("charge", with(&backup, &failing)).await.json();
    let tried: Vec<&Value> = paid["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| &attempt["paymentGatewayAccountName"])
        .collect();
    assert_eq!(tried, ["(inline)", "test-success"], "{paid}");
    let unknown = edited(&backup, "test-success", "nobody");
    let seen = server.operate("charge", with(&unknown, &failing)).await;
    assert_eq!(seen.fault().0, "fallbackUpgs[0].paymentGatewayAccountName");
}

#[tokio::test]
async fn what_does_not_fit_is_refused_before_anything_is_stored_or_used_up() {
    let server = Server::start().await;
    let token = server.send("POST", "/StringTokens", r#"{"payload": "123"}"#).await.json();
    let token = token["token"].as_str().unwrap();
    let body = edited(&nowhere("10.23"), "\"123\"", &format!("\"@{token}\""));
    let before = server.state().await;
    #[rustfmt::skip]
    let rows = [
        (inline("Nobody", &[]), "paymentGatewayAccount.paymentGatewayName"),
        (json!({"credentials": []}), "paymentGatewayAccount.paymentGatewayName"),
        (inline("Sandbox", &[]), "paymentGatewayAccount.credentials"),
        (inline("Sandbox", &[("Key", CANARY)]), "paymentGatewayAccount.credentials[0].key"),
        (json!("Sandbox"), "paymentGatewayAccount"),
    ];
    for (account, field) in rows {
        let seen = server.operate("charge", with(&body, &account)).await;
        assert_eq!((seen.status, seen.fault().0.as_str()), (400, field), "{seen:?}");
        assert!(!seen.body.contains(CANARY), "{seen:?}");
    }
    let list = edited(&body, "\"fallbackUpgs\": []", r#""paymentGatewayAccountNames": ["acme"]"#);
    let seen = server.operate("charge", with(&list, &inline("Sandbox", &[("ApiKey", "k")]))).await;
    assert_eq!((seen.status, seen.fault().0.as_str()), (400, "paymentGatewayAccount"), "{seen:?}");
    assert_eq!(server.state().await, before);
    let paid = server.operate("charge", with(&body, &inline("NULLSuccess", &[]))).await;
    assert_eq!(paid.status, 202, "the CVV's token is still there: {paid:?}");
}

#[tokio::test]
async fn a_repeat_seals_nothing_of_its_own() {
    let server = Server::start().await;
    let own = inline("Sandbox", &[("ApiKey", CANARY)]);
    let key = [("idempotency-key", "inline-1")];
    let body = with(&nowhere("10.23"), &own);
    let first = server.send_with("POST", "/PaymentGateway/charge", &key, &body).await;
    let again = server.send_with("POST", "/PaymentGateway/charge", &key, &body).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"), "{again:?}");
    assert_eq!(again.json()["transactionId"], first.json()["transactionId"]);
    let elsewhere = with(&nowhere("10.23"), &inline("NULLSuccess", &[]));
    let other = server.send_with("POST", "/PaymentGateway/charge", &key, elsewhere).await;
    assert_eq!(other.status, 422, "{other:?}");
    // The repeat's own are deleted by its task, which may outlive the answer.
    for _ in 0..50 {
        if server.inline_records().await == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("credentials are left behind");
}
