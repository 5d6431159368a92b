//! Payments without the payer, at the provider where the payer has agreed and at others.

use serde_json::{Value, json};

use super::back::{open, press};
use super::{Shop, card, payment, with};
use crate::server::Server;

/// A card that is approved without a challenge only where its holder is known to have agreed.
const CHALLENGED: &str = "4000000000003220";
pub(crate) const KINDS: [&str; 3] = ["sandbox", "stripe", "adyen"];

/// A connector of this kind; the only one that is switched on.
pub(crate) async fn switch_on(shop: &Shop, connectors: &[(&str, String)], on: &str) {
    for (kind, id) in connectors {
        let path = format!("/account/{}/connectors/{id}", shop.merchant);
        let body = json!({"connector_type": "payment_processor", "disabled": *kind != on});
        let seen = shop.post(&path, body).await;
        assert_eq!(seen["disabled"], *kind != on, "{seen}");
    }
}

/// A shop with a connector of every kind.
pub(crate) async fn open_with_all() -> (Shop, Vec<(&'static str, String)>) {
    with_all(Shop::open().await).await
}

pub(crate) async fn with_all(shop: Shop) -> (Shop, Vec<(&'static str, String)>) {
    let mut connectors = vec![("sandbox", shop.connector.clone())];
    for kind in ["stripe", "adyen"] {
        let body = json!({
            "connector_type": "payment_processor", "connector_name": kind,
            "connector_account_details":
                {"auth_type": "BodyKey", "api_key": "canary-connector-3", "key1": "Shop"},
        });
        let made = shop.post(&format!("/account/{}/connectors", shop.merchant), body).await;
        connectors.push((kind, made["merchant_connector_id"].as_str().unwrap().to_owned()));
    }
    (shop, connectors)
}

/// A payment that saves its card and makes a mandate, with its challenge passed.
async fn agreed(shop: &Shop) -> Value {
    let body = json!({
        "authentication_type": "three_ds", "return_url": "https://shop.example/done",
        "payment_method_data": card(CHALLENGED), "setup_future_usage": "off_session",
        "mandate_data": {"customer_acceptance": {"acceptance_type": "offline"},
            "mandate_type": {"multi_use": {"amount": 5000, "currency": "USD"}}},
    });
    let asked = shop.post("/payments", with(payment(1000), body)).await;
    assert_eq!(asked["status"], "requires_customer_action", "{asked}");
    assert_eq!(asked["network_transaction_id"], Value::Null);
    let back = press(shop, &asked, "approve").await;
    assert_eq!(open(shop, &back).await.status, 303);
    let path = format!("/payments/{}", asked["payment_id"].as_str().unwrap());
    let done = shop.get(&path).await;
    assert_eq!(done["status"], "succeeded", "{done}");
    assert!(done["network_transaction_id"].is_string(), "{done}");
    done
}

pub(crate) fn again(amount: i64, how: Value) -> Value {
    let base = json!({"amount": amount, "currency": "USD", "confirm": true, "customer_id": "ada"});
    with(base, how)
}

#[tokio::test]
async fn a_saved_card_is_paid_with_at_every_provider_after_its_holder_has_agreed_at_one() {
    let impatient = Server::impatient(2_000).await;
    let (shop, connectors) = with_all(Shop::named(impatient, "shop").await).await;
    let mut amount = 1200;
    for first in KINDS {
        switch_on(&shop, &connectors, first).await;
        let saved = agreed(&shop).await;
        let ways = [
            json!({"mandate_id": saved["mandate_id"], "off_session": true}),
            json!({"mandate_id": saved["mandate_id"]}),
            json!({"payment_method_id": saved["payment_method_id"], "off_session": true}),
            json!({"recurring_details": {"type": "mandate_id", "data": saved["mandate_id"]}}),
            json!({"recurring_details":
                {"type": "payment_method_id", "data": saved["payment_method_id"]}}),
        ];
        for second in KINDS {
            switch_on(&shop, &connectors, second).await;
            for (no, way) in (0_i64..).zip(&ways) {
                let paid = shop.post("/payments", again(1100 + no, way.clone())).await;
                assert_eq!(paid["status"], "succeeded", "{first}, then {second}: {paid}");
                assert_eq!(paid["connector"], second);
                assert!(paid["network_transaction_id"].is_string(), "{paid}");
            }
            // The same card, and the payer is said to be there: it is the payer's to pass a challenge.
            let present = json!({"payment_method_id": saved["payment_method_id"]});
            // None stands in the way of the next.
            amount += 1;
            let present = shop.post("/payments", again(amount, present)).await;
            // Adyen's cancel of a challenge that nobody can take is told later.
            let status = if second == "adyen" { "processing" } else { "failed" };
            assert_eq!(present["status"], status, "{first}, then {second}: {present}");
        }
    }
}

#[tokio::test]
async fn a_card_that_was_agreed_upon_elsewhere_is_paid_with_by_the_networks_id() {
    let (shop, connectors) = open_with_all().await;
    switch_on(&shop, &connectors, "adyen").await;
    let known = agreed(&shop).await["network_transaction_id"].clone();
    let details = |id: &Value, more: Value| {
        let data = json!({"card_number": CHALLENGED, "card_exp_month": "10", "card_exp_year": "90",
            "card_holder_name": "Ada Lovelace", "network_transaction_id": id});
        let kind = "network_transaction_id_and_card_details";
        json!({"recurring_details": {"type": kind, "data": with(data, more)}})
    };
    for (no, kind) in (0_i64..).zip(KINDS) {
        switch_on(&shop, &connectors, kind).await;
        let paid = shop.post("/payments", again(100 + no, details(&known, json!({})))).await;
        assert_eq!((&paid["status"], &paid["connector"]), (&json!("succeeded"), &json!(kind)));
        assert_eq!(paid["payment_method_data"]["card"]["last4"], "3220");
        // Nothing is saved of it.
        assert_eq!(paid["payment_method_id"], Value::Null, "{paid}");
        let wrong = details(&json!("MCC000000000000"), json!({}));
        let wrong = shop.post("/payments", again(200 + no, wrong)).await;
        if kind == "stripe" {
            // Its holder has not agreed here, and the id is of no payment.
            assert_eq!(wrong["error_code"], "authentication_required", "{wrong}");
        }
        assert_eq!(wrong["status"], "failed", "{kind}: {wrong}");
        // Also where it is confirmed later.
        let late = with(again(300 + no, details(&known, json!({}))), json!({"confirm": false}));
        let late = shop.post("/payments", late).await;
        assert_eq!(late["status"], "requires_confirmation", "{late}");
        let path = format!("/payments/{}/confirm", late["payment_id"].as_str().unwrap());
        assert_eq!(shop.post(&path, Value::Null).await["status"], "succeeded");
    }
    let card_number = details(&json!(CHALLENGED), json!({}));
    let both = with(details(&known, json!({})), json!({"payment_method_data": card(CHALLENGED)}));
    let rows = [
        (card_number, "IR_07"),
        (details(&json!(""), json!({})), "IR_07"),
        (details(&known, json!({"card_cvc": "123"})), "IR_06"),
        (details(&known, json!({"card_number": "4000000000003221"})), "IR_06"),
        (both, "IR_07"),
        (json!({"recurring_details": {"type": "card_with_limited_data", "data": {}}}), "IR_07"),
        (json!({"recurring_details": {"type": "by_word_of_mouth", "data": {}}}), "IR_06"),
    ];
    for (how, code) in rows {
        let seen = shop.send("POST", "/payments", &again(900, how)).await;
        assert_eq!((seen.status, &seen.json()["error"]["code"]), (400, &json!(code)), "{seen:?}");
    }
}

#[tokio::test]
async fn a_providers_token_is_paid_with_at_its_own_connector() {
    let (shop, connectors) = open_with_all().await;
    let addr = shop.server.sandbox.addr();
    let path = format!("/sandbox/{}/tokens", shop.connector);
    let token = json!({"card": {"number": "4111111111111111", "exp_month": 12, "exp_year": 2090}});
    let headers = [("authorization", "Bearer any"), ("content-type", "application/json")];
    let made =
        crate::client::send(addr, "POST", &path, &headers, token.to_string().as_bytes()).await;
    let token = made.json()["token"].clone();
    let by = |data: Value| json!({"recurring_details": {"type": "processor_payment_token", "data": data}});
    let data = json!({"processor_payment_token": token, "merchant_connector_id": shop.connector});
    let paid = shop.post("/payments", again(700, by(data.clone()))).await;
    assert_eq!(paid["status"], "succeeded", "{paid}");
    assert_eq!(paid["merchant_connector_id"], shop.connector.as_str());
    assert_eq!(
        (&paid["payment_method"], &paid["payment_method_data"]),
        (&json!("card"), &Value::Null)
    );
    let later = with(again(701, by(data)), json!({"confirm": false}));
    let later = shop.post("/payments", later).await;
    assert_eq!(later["status"], "requires_confirmation", "{later}");
    let path = format!("/payments/{}/confirm", later["payment_id"].as_str().unwrap());
    assert_eq!(shop.post(&path, Value::Null).await["status"], "succeeded");
    // Of three connectors it has to be said which; of one it need not.
    let bare = json!({"processor_payment_token": token});
    let seen = shop.send("POST", "/payments", &again(702, by(bare.clone()))).await;
    assert_eq!((seen.status, &seen.json()["error"]["code"]), (400, &json!("IR_04")), "{seen:?}");
    switch_on(&shop, &connectors, "sandbox").await;
    assert_eq!(shop.post("/payments", again(703, by(bare))).await["status"], "succeeded");
    let off = json!({"processor_payment_token": token, "merchant_connector_id": connectors[1].1});
    let seen = shop.send("POST", "/payments", &again(704, by(off))).await;
    assert_eq!((seen.status, &seen.json()["error"]["code"]), (404, &json!("HE_02")), "{seen:?}");
}

#[tokio::test]
async fn an_agreement_belongs_to_the_card_that_it_was_given_for() {
    let (shop, connectors) = open_with_all().await;
    switch_on(&shop, &connectors, "sandbox").await;
    // Saved without a payment: nobody has agreed yet.
    let bare = json!({"payment_method": "card", "customer_id": "ada",
        "card": card(CHALLENGED)["card"]});
    let method = shop.post("/payment_methods", bare).await["payment_method_id"].clone();
    let asks = |amount| again(amount, json!({"payment_method_id": method, "off_session": true}));
    let early = shop.post("/payments", asks(500)).await;
    assert_eq!(early["error_code"], "authentication_required", "{early}");
    // Its holder pays with it and agrees; from then on it can be asked for.
    let first = json!({"payment_method_id": method, "authentication_type": "three_ds",
        "return_url": "https://shop.example/done", "setup_future_usage": "off_session"});
    let first = shop.post("/payments", again(501, first)).await;
    assert_eq!(first["status"], "requires_customer_action", "{first}");
    assert_eq!(open(&shop, &press(&shop, &first, "approve").await).await.status, 303);
    assert_eq!(shop.post("/payments", asks(502)).await["status"], "succeeded");
    // Another card in its place has agreed to nothing.
    let other = json!({"card": card("4000002500003155")["card"]});
    shop.post(&format!("/payment_methods/{}", method.as_str().unwrap()), other).await;
    let other = shop.post("/payments", asks(503)).await;
    assert_eq!(other["error_code"], "authentication_required", "{other}");
}
