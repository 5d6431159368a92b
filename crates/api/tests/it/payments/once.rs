//! The same request twice, one after the other and at once.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{Shop, card, payment, with};
use crate::client::{self, Seen};

async fn keyed(shop: &Shop, key: &str, path: &str, body: &Value) -> Seen {
    let headers = [
        ("api-key", shop.key.as_str()),
        ("content-type", "application/json"),
        ("idempotency-key", key),
    ];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    client::send(shop.server.addr, "POST", path, &headers, body.as_bytes()).await
}

fn held(amount: i64) -> Value {
    with(payment(amount), json!({"capture_method": "manual"}))
}

#[tokio::test]
async fn a_request_under_a_key_is_carried_out_once() {
    let shop = Shop::open().await;
    let made = keyed(&shop, "k1", "/payments", &held(500)).await;
    let id = made.json()["payment_id"].as_str().unwrap().to_owned();
    let of = |what: &str| format!("/payments/{id}/{what}");
    let waiting = json!({"amount": 9, "currency": "USD"});
    let open = shop.post("/payments", waiting).await["payment_id"].as_str().unwrap().to_owned();
    let confirm = format!("/payments/{open}/confirm");
    let give = |amount: i64| json!({"payment_id": id, "amount": amount});
    let pay = json!({"payment_method_data": card("4111111111111111")});
    let other = json!({"payment_method_data": card("4000000000000002")});
    let none = Value::Null;
    // One request after the other: what is asked, and what the same key does not stand for.
    let rows: Vec<(&str, String, Value, Value)> = vec![
        ("k1", "/payments".into(), held(500), held(501)),
        ("k2", of("capture"), json!({"amount_to_capture": 500}), json!({"amount_to_capture": 400})),
        ("k3", "/refunds".into(), give(30), give(31)),
        ("k4", confirm, pay, other),
        ("k5", of("cancel_post_capture"), none.clone(), json!({"cancellation_reason": "other"})),
    ];
    for (key, path, body, other) in rows {
        let first = keyed(&shop, key, &path, &body).await;
        if path.ends_with("cancel_post_capture") {
            // Not allowed after a refund; so nothing is remembered either.
            assert_eq!(first.status, 400, "{first:?}");
            continue;
        }
        assert_eq!(first.status, 200, "{path} {first:?}");
        let calls = shop.server.provider_calls().await;
        let again = keyed(&shop, key, &path, &body).await;
        assert_eq!((again.status, again.json()), (200, first.json()), "{path}");
        let other = keyed(&shop, key, &path, &other).await;
        assert_eq!(
            (other.status, &other.json()["error"]["code"]),
            (422, &json!("IR_24")),
            "{path}"
        );
        assert_eq!(shop.server.provider_calls().await, calls, "{path}");
    }
    let seen = shop.get(&format!("/payments/{id}")).await;
    assert_eq!((&seen["status"], &seen["amount_received"]), (&json!("succeeded"), &json!(500)));
}

#[tokio::test]
async fn a_key_that_cannot_be_one_is_refused() {
    let shop = Shop::open().await;
    let long = "k".repeat(256);
    for key in ["4111111111111111", long.as_str(), "é"] {
        let seen = keyed(&shop, key, "/payments", &payment(100)).await;
        assert_eq!(
            (seen.status, &seen.json()["error"]["code"]),
            (400, &json!("IR_07")),
            "{seen:?}"
        );
        assert!(!seen.body.contains("41111"), "{seen:?}");
    }
    assert_eq!(shop.get("/payments/list").await["size"], 0);
}

#[tokio::test]
async fn of_many_at_once_one_is_carried_out() {
    let shop = Shop::open().await;
    for round in 0..4 {
        let made = shop.post("/payments", held(1000)).await;
        let id = made["payment_id"].as_str().unwrap();
        let path = format!("/payments/{id}/capture");
        // Without a key one capture passes and the others are told why they did not.
        let body = json!({"amount_to_capture": 400});
        let path = path.as_str();
        let all = join_all((0..8).map(|_| shop.send("POST", path, &body))).await;
        let good = all.iter().filter(|seen| seen.status == 200).count();
        assert!(good >= 1, "{all:?}");
        let seen = shop.get(&format!("/payments/{id}")).await;
        assert_eq!(seen["amount_received"], 400, "round {round}: {seen}");
        // With one all are the same request.
        let key = format!("create-{round}");
        let body = with(payment(77 + round), json!({"metadata": {"round": round}}));
        let before = shop.server.at_provider().await;
        let all = join_all((0..8).map(|_| keyed(&shop, &key, "/payments", &body))).await;
        for seen in &all {
            assert_eq!(seen.status, 200, "{seen:?}");
            assert_eq!(seen.json()["payment_id"], all[0].json()["payment_id"]);
        }
        assert_eq!(shop.server.at_provider().await, before + 1);
    }
}
