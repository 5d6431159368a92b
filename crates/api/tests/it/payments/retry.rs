//! A failed payment that is confirmed again, what is done about a doubt, and an authentication that was made elsewhere.

use serde_json::{Value, json};

use super::{Shop, card, payment, with};
use crate::client;
use crate::server::OPERATOR;

const DECLINED: &str = "4000000000009995";
const GOOD: &str = "4242424242424242";

async fn allow(shop: &Shop, allowed: bool) {
    let body = json!({"merchant_id": shop.merchant, "is_manual_retry_enabled": allowed});
    let path = format!("/accounts/{}", shop.merchant);
    let body = body.to_string();
    let headers = [("api-key", OPERATOR)];
    let seen = client::send(shop.server.addr, "POST", &path, &headers, body.as_bytes()).await;
    assert_eq!(seen.status, 200, "{seen:?}");
}

fn declined(amount: i64) -> Value {
    with(payment(amount), json!({"payment_method_data": card(DECLINED)}))
}

#[tokio::test]
async fn a_failed_payment_is_confirmed_again_where_that_is_allowed() {
    let shop = Shop::open().await;
    let made = shop.post("/payments", declined(1000)).await;
    assert_eq!((&made["status"], &made["manual_retry_allowed"]), (&json!("failed"), &json!(false)));
    let id = made["payment_id"].as_str().unwrap();
    let confirm = format!("/payments/{id}/confirm");
    let again = json!({"retry_action": "manual_retry", "payment_method_data": card(GOOD)});
    let refused = shop.send("POST", &confirm, &again).await;
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (400, &json!("IR_16")));

    allow(&shop, true).await;
    let seen = shop.get(&format!("/payments/{id}")).await;
    assert_eq!((&seen["manual_retry_allowed"], &seen["attempt_count"]), (&json!(true), &json!(1)));
    // Without another card there is nothing to pay with: the first is kept nowhere.
    let bare = shop.send("POST", &confirm, &Value::Null).await;
    assert_eq!((bare.status, &bare.json()["error"]["code"]), (400, &json!("IR_04")), "{bare:?}");
    let worse = json!({"payment_method_data": card(DECLINED)});
    let worse = shop.post(&confirm, worse).await;
    assert_eq!((&worse["status"], &worse["attempt_count"]), (&json!("failed"), &json!(2)));
    let secret = json!({"client_secret": made["client_secret"], "payment_method_data": card(GOOD)});
    let done = shop.send_as(&shop.publishable, "POST", &confirm, &secret).await;
    let done = done.json();
    assert_eq!(
        (&done["status"], &done["attempt_count"]),
        (&json!("succeeded"), &json!(3)),
        "{done}"
    );
    assert_eq!(done["manual_retry_allowed"], false);
    let late = shop.send("POST", &confirm, &again).await;
    assert_eq!((late.status, &late.json()["error"]["code"]), (400, &json!("IR_16")), "{late:?}");
    let books = shop.server.books().await;
    let rows = books["data"].as_array().unwrap();
    let captured: i64 = rows.iter().map(|row| row["captured"].as_i64().unwrap()).sum();
    assert_eq!((rows.len(), captured), (3, 1000), "{books}");
}

#[tokio::test]
async fn of_two_retries_at_once_one_charges() {
    let shop = Shop::open().await;
    allow(&shop, true).await;
    for _ in 0..10 {
        let made = shop.post("/payments", declined(1000)).await;
        let path = format!("/payments/{}/confirm", made["payment_id"].as_str().unwrap());
        let body = json!({"payment_method_data": card(GOOD)});
        let asked = (0..8).map(|_| shop.send("POST", &path, &body));
        let answers = futures_util::future::join_all(asked).await;
        let good = answers.iter().filter(|seen| seen.status == 200);
        assert!(good.clone().count() >= 1, "{answers:?}");
        for seen in good {
            assert_eq!(seen.json()["attempt_count"], 2, "{seen:?}");
        }
    }
    let books = shop.server.books().await;
    let rows = books["data"].as_array().unwrap();
    let taken = rows.iter().filter(|row| row["captured"] == 1000).count();
    assert_eq!((rows.len(), taken), (20, 10), "{books}");
}

#[tokio::test]
async fn what_a_failed_payment_was_to_save_is_not_paid_with_again() {
    let shop = Shop::open().await;
    allow(&shop, true).await;
    let save = json!({"setup_future_usage": "off_session"});
    let made = shop.post("/payments", with(declined(1000), save)).await;
    assert!(made["payment_method_id"].is_string(), "{made}");
    let path = format!("/payments/{}/confirm", made["payment_id"].as_str().unwrap());
    let bare = shop.send("POST", &path, &Value::Null).await;
    assert_eq!((bare.status, &bare.json()["error"]["code"]), (400, &json!("IR_04")), "{bare:?}");
    let done = shop.post(&path, json!({"payment_method_data": card(GOOD)})).await;
    assert_eq!(done["status"], "succeeded", "{done}");
    assert_ne!(done["payment_method_id"], made["payment_method_id"]);
    let list = shop.get("/customers/ada/payment_methods").await;
    let rows = list["customer_payment_methods"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["payment_method_id"]), (1, &done["payment_method_id"]));
}

#[tokio::test]
async fn a_doubt_is_handled_as_the_payment_asks() {
    let shop = Shop::open().await;
    let second = json!({
        "connector_type": "payment_processor", "connector_name": "sandbox", "connector_label": "second",
        "connector_account_details": {"auth_type": "HeaderKey", "api_key": "canary-connector-2"},
    });
    let second = shop.post(&format!("/account/{}/connectors", shop.merchant), second).await;
    let late = json!({"fault": {"commit": {"late": {"after_ms": 1_500}}, "answer": "close"}});
    shop.server.script(json!({"account": shop.connector, "operation": "authorize"}), late).await;
    let held = json!({"outcome_mode": "hold_safe"});
    let made = shop.post("/payments", with(payment(1000), held)).await;
    assert_eq!(made["outcome_mode"], "hold_safe");
    assert_eq!((&made["status"], &made["amount_received"]), (&json!("succeeded"), &json!(1000)));
    assert_eq!(made["merchant_connector_id"], second["merchant_connector_id"], "{made}");
    let wrong = with(payment(1001), json!({"outcome_mode": "hope"}));
    let wrong = shop.send("POST", "/payments", &wrong).await;
    assert_eq!((wrong.status, &wrong.json()["error"]["code"]), (400, &json!("IR_06")), "{wrong:?}");
    // What was done about the first: it never takes money.
    for _ in 0..200 {
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        let summary = shop.server.books().await;
        let rows = summary["data"].as_array().unwrap();
        let live = rows.iter().filter(|row| row["voided"] == false).count();
        if rows.len() == 2 && live == 1 {
            return;
        }
    }
    // A cancel by reference may also have kept the late one out.
    let books = shop.server.books().await;
    assert_eq!(books["data"].as_array().unwrap().len(), 1, "{books}");
}

/// What a merchant's own 3-D Secure server gave.
fn authenticated(status: &str, eci: &str) -> Value {
    json!({"three_ds_data": {
        "authentication_cryptogram": {"cavv": {"authentication_cryptogram": "AAABBIIFmAAAAAAAAAAAAAAAAAA="}},
        "ds_trans_id": "c4e59ceb-a382-4d6a-bc87-385d591fa09d", "version": "2.2.0", "eci": eci,
        "transaction_status": status,
    }})
}

#[tokio::test]
async fn an_authentication_that_was_made_elsewhere_goes_to_every_provider_that_is_asked() {
    const CHALLENGED: &str = "4000000000003220";
    let shop = Shop::open().await;
    let second = json!({
        "connector_type": "payment_processor", "connector_name": "sandbox", "connector_label": "second",
        "connector_account_details": {"auth_type": "HeaderKey", "api_key": "canary-connector-2"},
    });
    let second = shop.post(&format!("/account/{}/connectors", shop.merchant), second).await;
    let down = json!({"refuse": {"status": 429, "code": "rate_limited"}});
    shop.server.script(json!({"account": shop.connector, "operation": "sale"}), down).await;
    let challenged = with(payment(1000), json!({"payment_method_data": card(CHALLENGED)}));
    let without = shop.post("/payments", challenged.clone()).await;
    assert_eq!(without["status"], "failed", "a challenge that nobody is there to take: {without}");
    let made = shop.post("/payments", with(challenged.clone(), authenticated("Y", "05"))).await;
    assert_eq!(made["status"], "succeeded", "{made}");
    assert_eq!(made["merchant_connector_id"], second["merchant_connector_id"]);

    let rows = [authenticated("N", "07"), authenticated("C", "05"), authenticated("Y", "5x")];
    for wrong in rows {
        let seen = shop.send("POST", "/payments", &with(challenged.clone(), wrong)).await;
        assert_eq!(
            (seen.status, &seen.json()["error"]["code"]),
            (400, &json!("IR_07")),
            "{seen:?}"
        );
    }
    let early = with(with(challenged, authenticated("Y", "05")), json!({"confirm": false}));
    let early = shop.send("POST", "/payments", &early).await;
    assert_eq!((early.status, &early.json()["error"]["code"]), (400, &json!("IR_07")), "{early:?}");
    // The value is in no book of ours.
    let store: &dyn baton_store::Store = shop.server.store.as_ref();
    let merchant = store.merchant_by_name(&shop.merchant).await.unwrap().unwrap().id;
    let id = made["payment_id"].as_str().unwrap();
    let row = store.document(merchant, "intent", id).await.unwrap().unwrap();
    let intent: Value = serde_json::from_str(&row.body).unwrap();
    let paid = baton_types::PaymentId::parse(intent["tries"][0].as_str().unwrap()).unwrap();
    let kept = store.payment(merchant, paid).await.unwrap().unwrap().snapshot;
    assert!(kept.contains("approved") && !kept.contains("AAABBIIFm"), "{kept}");
    assert!(!row.body.contains("AAABBIIFm"), "{row:?}");
}
