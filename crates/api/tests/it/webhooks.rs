//! Webhooks in: the sandbox tells by itself, in Stripe's and Adyen's form; and what is not believed.

use std::time::Duration;

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use crate::client::{self, Seen};
use crate::server::{HOOK_SECRET, Server};
use crate::{change, charge};

const CARD: &str = "4111111111111111";

/// Asks for a payment's status until it has this result, or gives the last answer after 5 s.
async fn settled(server: &Server, id: &str, code: &str) -> Value {
    let body = format!(r#"{{"refTransId": "{id}"}}"#);
    let mut last = Value::Null;
    for _ in 0..50 {
        last = server.operate("status", &body).await.json();
        if last["operationResultCode"] == code {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    last
}

#[tokio::test]
async fn a_webhook_settles_what_a_provider_has_only_received() {
    let server = Server::impatient(300).await;
    server.subscribe("adyen", "/webhooks/default/adyen").await;
    let held = server.operate("authorize", charge("10", "EUR", CARD, &["adyen"])).await.json();
    assert_eq!(held["operationResultCode"], "Success", "{held}");
    let reference = held["gatewayReference"].as_str().unwrap();
    let taken = server.operate("capture", change(reference, "10", "EUR")).await;
    // Adyen answers `received`; its webhook may be here first.
    assert_eq!(taken.status, 202, "{taken:?}");
    let page = async || {
        let path = "/PaymentGateway/transactions?limit=1";
        server.send("GET", path, "").await.json()["transactions"][0]["status"].clone()
    };
    for _ in 0..50 {
        if page().await == "captured" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the webhook did not settle the capture: {}", page().await);
}

#[tokio::test]
async fn a_lost_answer_of_stripes_is_settled_by_its_webhook() {
    let server = Server::impatient(300).await;
    server.subscribe("stripe", "/webhooks/default/stripe").await;
    let lost = json!({"fault": {"commit": "first", "answer": "close"}});
    server.script(json!({"account": "stripe", "operation": "sale"}), lost).await;
    let told = server.operate("charge", charge("10", "USD", CARD, &["stripe"])).await.json();
    let id = told["transactionId"].as_str().unwrap();
    let settled = settled(&server, id, "Success").await;
    assert_eq!(settled["operationResultCode"], "Success", "{settled}");
    assert_eq!(server.at_provider().await, 1);
}

/// An event as Stripe signs it.
async fn stripes(server: &Server, path: &str, secret: &str, age_s: i64, body: &str) -> Seen {
    let at = server.engine.clock().now().millis() / 1000 - age_s;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{at}.{body}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let header = format!("t={at},v1={hex}");
    let headers = [("stripe-signature", header.as_str())];
    client::send(server.addr, "POST", path, &headers, body.as_bytes()).await
}

#[tokio::test]
async fn only_a_fresh_message_under_the_accounts_own_secret_is_believed() {
    let server = Server::start().await;
    let path = "/webhooks/default/stripe";
    let body = r#"{"id": "evt_1", "object": "event", "type": "payment_intent.succeeded", "data": {"object": {"id": "pi_unknown", "object": "payment_intent", "amount": 1000, "currency": "usd", "status": "succeeded", "metadata": {}}}}"#;
    let before = server.state().await;
    let good = stripes(&server, path, HOOK_SECRET, 0, body).await;
    assert_eq!((good.status, good.body.as_str()), (200, "[accepted]"), "about nothing known");
    let by_id = format!("/webhooks/{}/stripe", server.merchant);
    assert_eq!(stripes(&server, &by_id, HOOK_SECRET, 0, body).await.status, 200);
    for (path, secret, age, body, status) in [
        (path, "another", 0, body, 401),
        (path, HOOK_SECRET, 600, body, 401),
        (path, HOOK_SECRET, -600, body, 401),
        (path, HOOK_SECRET, 0, "{", 422),
        ("/webhooks/default/nobody", HOOK_SECRET, 0, body, 404),
        ("/webhooks/nobody/stripe", HOOK_SECRET, 0, body, 404),
        ("/webhooks/default/test-success", HOOK_SECRET, 0, body, 404),
    ] {
        let seen = stripes(&server, path, secret, age, body).await;
        assert_eq!(seen.status, status, "{path} {age} {body}: {seen:?}");
    }
    let bare = client::send(server.addr, "POST", path, &[], body.as_bytes()).await;
    assert!(matches!(bare.status, 401 | 422), "no signature at all: {bare:?}");
    assert_eq!(server.state().await, before, "nobody was called and nothing stored");
}
