//! What a payment holds is raised before it is captured.

use serde_json::{Value, json};

use super::recurring::{open_with_all, switch_on};
use super::{Shop, card, payment, with};
use crate::client;

/// A hold that its merchant may want to raise.
async fn hold(shop: &Shop, amount: i64) -> Value {
    let body = json!({"capture_method": "manual", "request_incremental_authorization": true});
    let made = shop.post("/payments", with(payment(amount), body)).await;
    assert_eq!(made["status"], "requires_capture", "{made}");
    let told = (&made["incremental_authorizations"], &made["authorization_count"]);
    assert_eq!(told, (&Value::Null, &Value::Null), "{made}");
    made
}

fn path(made: &Value, operation: &str) -> String {
    format!("/payments/{}/{operation}", made["payment_id"].as_str().unwrap())
}

#[tokio::test]
async fn a_hold_is_raised_to_a_new_total_and_captured_whole() {
    let (shop, connectors) = open_with_all().await;
    for kind in ["sandbox", "stripe"] {
        switch_on(&shop, &connectors, kind).await;
        let made = hold(&shop, 1000).await;
        assert_eq!(made["incremental_authorization_allowed"], true, "{made}");
        let raise = path(&made, "incremental_authorization");
        for (no, (amount, before)) in [(1500, 1000), (1750, 1500)].into_iter().enumerate() {
            let body = json!({"amount": amount, "reason": "a longer stay"});
            let raised = shop.post(&raise, body).await;
            let sums = (&raised["status"], &raised["amount"], &raised["amount_capturable"]);
            assert_eq!(
                sums,
                (&json!("requires_capture"), &json!(amount), &json!(amount)),
                "{kind}"
            );
            let all = raised["incremental_authorizations"].as_array().unwrap();
            assert_eq!((all.len(), &raised["authorization_count"]), (no + 1, &json!(no + 1)));
            let one = &all[no];
            assert_eq!((&one["status"], &one["amount"]), (&json!("success"), &json!(amount)));
            assert_eq!(one["previously_authorized_amount"], before);
            assert!(one["authorization_id"].is_string() && one["error_code"].is_null(), "{one}");
        }
        let taken = shop.post(&path(&made, "capture"), json!({})).await;
        let sums = (&taken["status"], &taken["amount_received"], &taken["amount_capturable"]);
        assert_eq!(sums, (&json!("succeeded"), &json!(1750), &json!(0)), "{taken}");
        assert_eq!(taken["incremental_authorization_allowed"], false);
        let late = shop.send("POST", &raise, &json!({"amount": 2000})).await;
        assert_eq!(
            (late.status, &late.json()["error"]["code"]),
            (400, &json!("IR_14")),
            "{late:?}"
        );
    }
}

#[tokio::test]
async fn what_is_declined_or_refused_leaves_the_hold_as_it_was() {
    let (shop, connectors) = open_with_all().await;
    for kind in ["sandbox", "stripe"] {
        switch_on(&shop, &connectors, kind).await;
        let made = hold(&shop, 1000).await;
        let id = &connectors.iter().find(|(known, _)| *known == kind).unwrap().1;
        let no = json!({"verdict": {"decline": "insufficient_funds"}});
        shop.server.script(json!({"account": id, "operation": "increment"}), no).await;
        let raise = path(&made, "incremental_authorization");
        let seen = shop.post(&raise, json!({"amount": 1500})).await;
        let sums = (&seen["status"], &seen["amount"], &seen["amount_capturable"]);
        assert_eq!(sums, (&json!("requires_capture"), &json!(1000), &json!(1000)), "{seen}");
        let one = &seen["incremental_authorizations"][0];
        assert_eq!(
            (&one["status"], &one["error_code"]),
            (&json!("failure"), &json!("insufficient_funds"))
        );
        for (amount, code) in [(1000, "IR_07"), (999, "IR_07"), (0, "IR_07")] {
            let seen = shop.send("POST", &raise, &json!({ "amount": amount })).await;
            assert_eq!(
                (seen.status, &seen.json()["error"]["code"]),
                (400, &json!(code)),
                "{seen:?}"
            );
        }
        let taken = shop.post(&path(&made, "capture"), json!({})).await;
        assert_eq!(taken["amount_received"], 1000, "{taken}");
    }
    switch_on(&shop, &connectors, "sandbox").await;
    // Who has not said so at first cannot do it later.
    let plain = with(payment(1000), json!({"capture_method": "manual"}));
    let plain = shop.post("/payments", plain).await;
    assert_eq!(plain["incremental_authorization_allowed"], false);
    let body = json!({"amount": 1500});
    let seen = shop.send("POST", &path(&plain, "incremental_authorization"), &body).await;
    assert_eq!((seen.status, &seen.json()["error"]["code"]), (400, &json!("IR_16")), "{seen:?}");
    let bare = shop.send("POST", &path(&plain, "incremental_authorization"), &json!({})).await;
    assert_eq!((bare.status, &bare.json()["error"]["code"]), (400, &json!("IR_04")), "{bare:?}");
}

#[tokio::test]
async fn a_lost_answer_is_looked_up_and_a_repeat_raises_once() {
    let (shop, connectors) = open_with_all().await;
    for kind in ["sandbox", "stripe"] {
        switch_on(&shop, &connectors, kind).await;
        let made = hold(&shop, 1000).await;
        let id = &connectors.iter().find(|(known, _)| *known == kind).unwrap().1;
        let lost = json!({"fault": {"commit": "first", "answer": "close"}});
        shop.server.script(json!({"account": id, "operation": "increment"}), lost).await;
        let raise = path(&made, "incremental_authorization");
        let (shop, raise) = (&shop, &raise);
        let ask = async |key: &'static str, amount: i64| {
            let headers = [
                ("api-key", shop.key.as_str()),
                ("content-type", "application/json"),
                ("idempotency-key", key),
            ];
            let body = json!({ "amount": amount }).to_string();
            client::send(shop.server.addr, "POST", raise, &headers, body.as_bytes()).await
        };
        let first = ask("k1", 1500).await;
        assert_eq!(first.status, 200, "{first:?}");
        let again = ask("k1", 1500).await;
        assert_eq!(
            (again.status, &again.json()["amount"]),
            (200, &json!(1500)),
            "{kind}: {again:?}"
        );
        assert_eq!(again.json()["authorization_count"], 1);
        let other = ask("k1", 1600).await;
        assert_eq!((other.status, &other.json()["error"]["code"]), (422, &json!("IR_24")));
    }
}

/// While nobody knows what is held, nothing of it is taken, released or raised further.
#[tokio::test]
async fn a_raise_in_doubt_bars_what_depends_on_it() {
    let server = crate::server::Server::impatient(800).await;
    let shop = Shop::named(server, "shop").await;
    let hang = json!({"fault": {"commit": "never", "answer": "hang"}});
    shop.server.script(json!({"operation": "increment"}), hang).await;
    let made = hold(&shop, 1000).await;
    let seen = shop.post(&path(&made, "incremental_authorization"), json!({"amount": 1500})).await;
    assert_eq!(
        (&seen["amount"], &seen["amount_capturable"]),
        (&json!(1000), &json!(1000)),
        "{seen}"
    );
    assert_eq!(seen["incremental_authorizations"][0]["status"], "processing", "{seen}");
    let rows = [
        ("incremental_authorization", json!({"amount": 1600})),
        ("capture", json!({})),
        ("cancel", json!({})),
    ];
    for (operation, body) in rows {
        let seen = shop.send("POST", &path(&made, operation), &body).await;
        let error = seen.json()["error"].clone();
        assert_eq!((seen.status, &error["code"]), (400, &json!("IR_16")), "{operation} {seen:?}");
        assert!(error["message"].as_str().unwrap().contains("not known yet"), "{error}");
    }
}

#[tokio::test]
async fn a_connector_that_cannot_raise_says_so() {
    let shop = Shop::open().await;
    let mock = json!({"connector_type": "payment_processor", "connector_name": "nullsuccess",
        "connector_account_details": {"auth_type": "NoKey"}});
    shop.post(&format!("/account/{}/connectors", shop.merchant), mock).await;
    let off = json!({"connector_type": "payment_processor", "disabled": true});
    shop.post(&format!("/account/{}/connectors/{}", shop.merchant, shop.connector), off).await;
    let body = json!({"capture_method": "manual", "request_incremental_authorization": true,
        "payment_method_data": card("4242424242424242")});
    let made = shop.post("/payments", with(payment(1000), body)).await;
    assert_eq!(
        (&made["status"], &made["connector"]),
        (&json!("requires_capture"), &json!("nullsuccess"))
    );
    assert_eq!(made["incremental_authorization_allowed"], false);
    let seen = shop
        .send("POST", &path(&made, "incremental_authorization"), &json!({"amount": 1500}))
        .await;
    assert_eq!((seen.status, &seen.json()["error"]["code"]), (400, &json!("IR_16")), "{seen:?}");
}
