//! Payments of nothing: a card is verified and saved, and no money moves.

use serde_json::{Value, json};

use super::back::{open, press};
use super::recurring::{KINDS, again, open_with_all, switch_on};
use super::{Shop, card, payment, with};
use crate::client;
use crate::server::HOOK_SECRET;

const CHALLENGED: &str = "4000000000003220";

/// A payment of nothing that makes a mandate.
fn setup(number: &str) -> Value {
    let body = json!({
        "payment_method_data": card(number), "setup_future_usage": "off_session",
        "payment_type": "setup_mandate",
        "mandate_data": {"customer_acceptance": {"acceptance_type": "offline"},
            "mandate_type": {"multi_use": {"amount": 5000, "currency": "USD"}}},
    });
    with(payment(0), body)
}

async fn rows(shop: &Shop) -> Vec<Value> {
    shop.server.books().await["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_card_is_verified_saved_and_charged_later() {
    let (shop, connectors) = open_with_all().await;
    for kind in KINDS {
        switch_on(&shop, &connectors, kind).await;
        for capture in ["automatic", "manual"] {
            let made = with(setup("4242424242424242"), json!({"capture_method": capture}));
            let made = shop.post("/payments", made).await;
            assert_eq!((&made["status"], &made["connector"]), (&json!("succeeded"), &json!(kind)));
            let sums = (&made["amount"], &made["amount_capturable"], &made["amount_received"]);
            assert_eq!(sums, (&json!(0), &json!(0), &Value::Null), "{made}");
            assert!(made["payment_method_id"].is_string() && made["mandate_id"].is_string());
            let id = made["payment_id"].as_str().unwrap();
            let taken =
                rows(&shop).await.iter().map(|row| row["captured"].as_i64().unwrap()).sum::<i64>();
            let before = taken;
            // There is nothing to take, to give back or to reverse.
            let much = shop.send("POST", "/refunds", &json!({"payment_id": id, "amount": 1})).await;
            assert_eq!(much.json()["error"]["code"], "IR_13", "{much:?}");
            let path = format!("/payments/{id}/cancel_post_capture");
            let reverse = shop.send("POST", &path, &json!({})).await;
            assert_eq!(reverse.json()["error"]["code"], "IR_16");
            let by = json!({"mandate_id": made["mandate_id"], "off_session": true});
            let paid = shop.post("/payments", again(1300, by)).await;
            assert_eq!(
                (&paid["status"], &paid["amount_received"]),
                (&json!("succeeded"), &json!(1300))
            );
            let after: i64 =
                rows(&shop).await.iter().map(|row| row["captured"].as_i64().unwrap()).sum();
            assert_eq!(after - before, 1300, "{kind}");
        }
    }
}

#[tokio::test]
async fn a_challenge_belongs_to_a_set_up_as_to_any_payment() {
    let (shop, connectors) = open_with_all().await;
    let asked =
        json!({"authentication_type": "three_ds", "return_url": "https://shop.example/done"});
    for kind in KINDS {
        switch_on(&shop, &connectors, kind).await;
        for (button, status) in [("approve", "succeeded"), ("fail", "failed")] {
            let made = shop.post("/payments", with(setup(CHALLENGED), asked.clone())).await;
            assert_eq!(made["status"], "requires_customer_action", "{kind}: {made}");
            assert_eq!(open(&shop, &press(&shop, &made, button).await).await.status, 303);
            let path = format!("/payments/{}", made["payment_id"].as_str().unwrap());
            let seen = shop.get(&path).await;
            assert_eq!(seen["status"], status, "{kind}: {seen}");
            // What was verified can be asked for without its holder; what was not is not there.
            let by = json!({"mandate_id": made["mandate_id"], "off_session": true});
            let later = shop.send("POST", "/payments", &again(1400, by)).await;
            let want = if status == "succeeded" { 200 } else { 404 };
            assert_eq!(later.status, want, "{kind}: {later:?}");
            if want == 200 {
                assert_eq!(later.json()["status"], "succeeded", "{kind}: {later:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_lost_answer_leaves_a_set_up_in_doubt_until_it_is_looked_up() {
    let (shop, connectors) = open_with_all().await;
    for kind in ["sandbox", "stripe"] {
        switch_on(&shop, &connectors, kind).await;
        let id = &connectors.iter().find(|(known, _)| *known == kind).unwrap().1;
        let lost = json!({"fault": {"commit": "first", "answer": "close"}});
        shop.server.script(json!({"account": id, "operation": "authorize"}), lost).await;
        let made = shop.post("/payments", setup("4242424242424242")).await;
        assert_eq!(made["status"], "succeeded", "{kind}: {made}");
        let at = rows(&shop).await;
        let here = at.iter().filter(|row| row["account"] == json!(id)).count();
        assert_eq!(here, 1, "it was asked once: {at:?}");
    }
}

#[tokio::test]
async fn what_is_no_set_up_is_not_for_nothing() {
    let shop = Shop::open().await;
    let bare = with(payment(0), json!({"customer_id": "ada"}));
    let saves = json!({"setup_future_usage": "off_session"});
    let open = json!({"amount": 0, "currency": "USD", "setup_future_usage": "off_session"});
    let nobody = json!({"payment_method_data": card("4242424242424242"), "confirm": true});
    let saved = shop.post("/payments", setup("4242424242424242")).await;
    let rows = [
        (bare.clone(), "IR_07", "greater than zero, unless"),
        (json!({"amount": 0, "currency": "USD"}), "IR_07", "setup_future_usage"),
        (with(bare.clone(), json!({"payment_type": "normal"})), "IR_07", "setup_mandate"),
        (with(open.clone(), nobody), "IR_04", "customer_id"),
        (again(0, json!({"mandate_id": saved["mandate_id"]})), "IR_07", "greater than zero"),
        (
            with(
                again(
                    0,
                    json!({"payment_method_id": saved["payment_method_id"],
                "off_session": true}),
                ),
                saves.clone(),
            ),
            "IR_07",
            "payer is not there",
        ),
    ];
    for (body, code, message) in rows {
        let seen = shop.send("POST", "/payments", &body).await;
        let error = seen.json()["error"].clone();
        assert_eq!((seen.status, &error["code"]), (400, &json!(code)), "{body} {seen:?}");
        assert!(error["message"].as_str().unwrap().contains(message), "{body} {error}");
    }
    // Said by any of the three, and later by a browser.
    let ways = [
        saves,
        json!({"payment_type": "setup_mandate"}),
        json!({"mandate_data": {"customer_acceptance": {"acceptance_type": "offline"}}}),
    ];
    for way in ways {
        let done = shop.post("/payments", with(bare.clone(), way)).await;
        assert_eq!(done["status"], "succeeded", "{done}");
        assert!(done["payment_method_id"].is_string(), "{done}");
    }
    let made = shop.post("/payments", with(open, json!({"customer_id": "ada"}))).await;
    assert_eq!(made["status"], "requires_payment_method", "{made}");
    let path = format!("/payments/{}", made["payment_id"].as_str().unwrap());
    // An amount that comes later makes it a payment, and none makes it a set-up again.
    assert_eq!(shop.post(&path, json!({"amount": 100})).await["amount"], 100);
    assert_eq!(shop.post(&path, json!({"amount": 0})).await["amount"], 0);
    let body = json!({"client_secret": made["client_secret"],
        "payment_method_data": card("4242424242424242")});
    let done = shop.send_as(&shop.publishable, "POST", &format!("{path}/confirm"), &body).await;
    assert_eq!(done.json()["status"], "succeeded", "{done:?}");
}

#[tokio::test]
async fn a_set_up_at_stripe_is_settled_by_its_webhook() {
    let shop = Shop::open().await;
    let path = format!("/account/{}/connectors", shop.merchant);
    let own = json!({"connector_type": "payment_processor", "disabled": true});
    shop.post(&format!("{path}/{}", shop.connector), own).await;
    let body = json!({
        "connector_type": "payment_processor", "connector_name": "stripe",
        "connector_account_details":
            {"auth_type": "BodyKey", "api_key": "canary-connector-3", "key1": "Shop"},
        "connector_webhook_details": {"merchant_secret": HOOK_SECRET},
    });
    let made = shop.post(&path, body).await;
    let account = made["merchant_connector_id"].as_str().unwrap();
    let url = format!("http://{}/webhooks/{}/{account}", shop.server.addr, shop.merchant);
    let endpoint = json!({"url": url, "secret": HOOK_SECRET, "dialect": "stripe"}).to_string();
    let at = format!("/admin/accounts/{account}/webhook");
    let sandbox = shop.server.sandbox.addr();
    let seen = client::send(sandbox, "PUT", &at, &[], endpoint.as_bytes()).await;
    assert!((200..300).contains(&seen.status), "{seen:?}");
    // Nobody can ask, so that only the webhook tells.
    let blind = json!({"fault": {"commit": "never", "answer": {"status": {"status": 503}}}});
    shop.server.script(json!({"operation": "lookup"}), blind).await;
    let asked =
        json!({"authentication_type": "three_ds", "return_url": "https://shop.example/done"});
    for (button, status) in [("approve", "succeeded"), ("fail", "failed")] {
        let made = shop.post("/payments", with(setup(CHALLENGED), asked.clone())).await;
        assert_eq!(made["status"], "requires_customer_action", "{made}");
        assert_eq!(shop.challenge(&made, button).await.status, 303);
        let path = format!("/payments/{}", made["payment_id"].as_str().unwrap());
        let mut seen = Value::Null;
        for _ in 0..200 {
            seen = shop.get(&path).await;
            if seen["status"] == status {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert_eq!((&seen["status"], &seen["amount"]), (&json!(status), &json!(0)), "{seen}");
    }
}
