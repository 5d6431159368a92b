//! Accounts that take over what was made at their gateway without us: the setting, and what is answered.

use serde_json::{Value, json};

use crate::change;
use crate::client::{self, Seen};
use crate::server::{OPERATOR, Server};

const CARD: &str = "4111111111111111";

fn account(gateway: &str, key: &str, allow: Value) -> String {
    let credentials = json!([{"key": key, "value": "key-of-the-shop-1234"}]);
    json!({"paymentGatewayName": gateway, "credentials": credentials, "allowForeignReferences": allow})
        .to_string()
}

async fn put(server: &Server, name: &str, body: &str) -> Seen {
    server.send("PUT", &format!("/PaymentGatewayAccounts/{name}"), body).await
}

/// A payment that somebody else makes at the sandbox: its id there.
async fn made(server: &Server, account: &str, card: &str) -> String {
    let body = json!({
        "reference": "shop-7", "amount": {"value": 1_000, "currency": "USD"}, "capture": false,
        "card": {"number": card, "exp_month": 12, "exp_year": 2040, "cvv": "123"},
    });
    let path = format!("/sandbox/{account}/payments");
    let headers = [("authorization", "Bearer elsewhere")];
    let body = body.to_string();
    let seen =
        client::send(server.sandbox.addr(), "POST", &path, &headers, body.as_bytes()).await.json();
    seen["id"].as_str().unwrap().to_owned()
}

fn at(account: &str, body: &str) -> String {
    let mut body: Value = serde_json::from_str(body).unwrap();
    body["paymentGatewayAccountName"] = account.into();
    body.to_string()
}

fn status_of(account: &str, reference: &str) -> String {
    json!({"refTransId": reference, "paymentGatewayAccountName": account}).to_string()
}

#[tokio::test]
async fn the_setting_is_put_shown_and_gone_with_the_next_put() {
    let server = Server::start().await;
    let path = "/PaymentGatewayAccounts/shop";
    for (allow, shown) in
        [(json!(true), json!(true)), (json!(false), Value::Null), (Value::Null, Value::Null)]
    {
        let made = put(&server, "shop", &account("Sandbox", "ApiKey", allow)).await;
        assert_eq!(
            (made.status, &made.json()["allowForeignReferences"]),
            (200, &shown),
            "{made:?}"
        );
        assert_eq!(server.send("GET", path, "").await.json(), made.json());
    }
    let wrong = put(&server, "shop", &account("Sandbox", "ApiKey", json!("yes"))).await;
    assert_eq!((wrong.status, wrong.fault().0.as_str()), (400, "allowForeignReferences"));
    let message = "The gateway cannot be asked for a payment by its own reference.";
    let mock = json!({"paymentGatewayName": "NULLSuccess", "allowForeignReferences": true});
    let adyen = json!({
        "paymentGatewayName": "Adyen", "allowForeignReferences": true,
        "credentials": [{"key": "ApiKey", "value": "k"}, {"key": "MerchantAccount", "value": "S"}],
    });
    for body in [mock, adyen] {
        let refused = put(&server, "none", &body.to_string()).await;
        let fault = ("allowForeignReferences".to_owned(), message.to_owned());
        assert_eq!((refused.status, refused.fault()), (400, fault), "{body}");
    }

    let admin = [("x-api-key", OPERATOR)];
    let path = "/admin/v1/accounts/desk?sandbox=true";
    let body = |gateway: &str, allow: bool| {
        json!({
            "gateway": gateway, "credentials": [{"key": "ApiKey", "value": "k"}],
            "allow_foreign_references": allow,
        })
        .to_string()
    };
    for allow in [true, false] {
        let body = body("Sandbox", allow);
        let made = client::send(server.addr, "PUT", path, &admin, body.as_bytes()).await;
        assert_eq!((made.status, &made.json()["allow_foreign_references"]), (200, &json!(allow)));
        let shown = client::send(server.addr, "GET", path, &admin, b"").await;
        assert_eq!(shown.json(), made.json());
        let log = client::send(server.addr, "GET", "/admin/v1/audit", &admin, b"").await.json();
        assert_eq!(log["data"][0]["detail"]["foreign_references"], json!(allow), "{log}");
    }
    let body = body("NULLSuccess", true);
    let refused = client::send(server.addr, "PUT", path, &admin, body.as_bytes()).await;
    assert_eq!((refused.status, refused.fault().0.as_str()), (400, "allow_foreign_references"));
}

#[tokio::test]
async fn a_foreign_payment_is_marked_and_changed_like_our_own() {
    let server = Server::start().await;
    put(&server, "shop", &account("Sandbox", "ApiKey", json!(true))).await;
    let id = made(&server, "shop", CARD).await;
    let seen = server.operate("status", status_of("shop", &id)).await;
    let known = seen.json();
    assert_eq!((seen.status, known["success"].as_bool()), (200, Some(true)), "{known}");
    let told = [
        ("reason", json!("imported")),
        ("gatewayResultCode", json!("authorized")),
        ("gatewayReference", json!(id)),
        ("paymentGatewayAccountName", json!("shop")),
        ("amount", json!(10.0)),
        ("currency", json!("USD")),
    ];
    for (name, value) in told {
        if name == "amount" {
            assert_eq!(known[name].as_f64(), value.as_f64());
        } else {
            assert_eq!(known[name], value, "{name} in {known}");
        }
    }
    let captured = server.operate("capture", at("shop", &change(&id, "4", "USD"))).await;
    assert_eq!((captured.status, &captured.json()["success"]), (202, &json!(true)), "{captured:?}");
    assert_eq!(captured.json()["reason"], Value::Null);
    server.operate("charge", crate::charge("10", "USD", CARD, &["shop"])).await;
    let listed = server.send("GET", "/PaymentGateway/transactions", "").await.json();
    let rows = listed["transactions"].as_array().unwrap();
    let marks: Vec<_> =
        rows.iter().map(|row| (&row["imported"], &row["result"]["reason"])).collect();
    let (yes, no, imported) = (json!(true), json!(false), json!("imported"));
    assert_eq!(marks, [(&no, &Value::Null), (&yes, &imported)], "{listed}");
    assert_eq!(rows[1]["status"], "partially_captured");
}

#[tokio::test]
async fn what_cannot_be_taken_over_is_answered_as_the_contract_has_it() {
    let server = Server::start().await;
    put(&server, "open", &account("Sandbox", "ApiKey", json!(true))).await;
    put(&server, "shut", &account("Sandbox", "ApiKey", json!(false))).await;
    let shut = made(&server, "shut", CARD).await;
    let declined = made(&server, "open", "4000000000000002").await;
    let open = made(&server, "open", CARD).await;
    let stored = server.stored().await;
    for operation in ["capture", "void", "refund", "status"] {
        for (account, reference) in [("shut", &shut), ("open", &shut), ("open", &declined)] {
            let body = match operation {
                "status" => status_of(account, reference),
                _ => at(account, &change(reference, "10", "USD")),
            };
            let seen = server.operate(operation, body).await;
            let json = seen.json();
            let told = (&json["operationResultCode"], &json["reason"]);
            assert_eq!(seen.status, 409, "{operation} {seen:?}");
            assert_eq!(told, (&json!("Rejected"), &json!("unknown_reference")), "{operation}");
        }
        let lost = json!({"fault": {"commit": "never", "answer": "close"}});
        server.script(json!({"operation": "lookup"}), lost).await;
        let body = match operation {
            "status" => status_of("open", &open),
            _ => at("open", &change(&open, "10", "USD")),
        };
        let seen = server.operate(operation, body).await;
        let json = seen.json();
        let told = (&json["operationResultCode"], &json["reason"]);
        assert_eq!((seen.status, seen.header("retry-after")), (503, Some("1")), "{seen:?}");
        assert_eq!(told, (&json!("TemporaryFailure"), &json!("no_answer")), "{operation}");
        let sandbox = server.sandbox.addr();
        client::send(sandbox, "DELETE", "/admin/rules", &[], b"").await;
    }
    assert_eq!(server.stored().await, stored);
}
