//! Bad input: a clear error, and nothing half done.

use serde_json::{Value, json};

use super::{Shop, card, payment, with};

#[tokio::test]
async fn a_body_that_cannot_be_right_is_refused_with_a_reason() {
    let shop = Shop::open().await;
    let of_card = |field: &str, value: &str| {
        let mut data = card("4111111111111111");
        data["card"][field] = json!(value);
        with(payment(100), json!({"payment_method_data": data}))
    };
    let long = "x".repeat(5000);
    #[rustfmt::skip]
    let rows: Vec<(Value, &str, &str)> = vec![
        (json!({}),                                                     "IR_04", "amount"),
        (json!({"amount": 1}),                                          "IR_04", "currency"),
        (json!({"amount": 0, "currency": "USD"}),                       "IR_07", "greater than zero"),
        (json!({"amount": -5, "currency": "USD"}),                      "IR_07", "greater than zero"),
        (json!({"amount": 1.5, "currency": "USD"}),                     "IR_06", "expected i64"),
        (json!({"amount": "100", "currency": "USD"}),                   "IR_06", "expected i64"),
        (json!({"amount": i64::MAX, "currency": "USD"}),                "IR_07", "too large"),
        (json!({"amount": 1, "currency": "ZZZ"}),                       "IR_06", "unknown currency"),
        (with(payment(100), json!({"amuont": 1})),                      "IR_06", "unknown field `amuont`"),
        (with(payment(100), json!({"capture_method": "later"})),        "IR_06", "unknown variant"),
        (with(payment(100), json!({"payment_id": "a b"})),              "IR_07", "payment_id"),
        (with(payment(100), json!({"payment_id": "x".repeat(65)})),     "IR_07", "payment_id"),
        (with(payment(100), json!({"description": long})),              "IR_07", "longer than"),
        (with(payment(100), json!({"metadata": {"pan": "4111111111111111"}})), "IR_07", "holds a card number"),
        (with(payment(100), json!({"return_url": "javascript://x/%0aalert(1)"})), "IR_07", "return_url"),
        (with(payment(100), json!({"return_url": "//shop.example/"})),  "IR_07", "return_url"),
        (with(payment(100), json!({"return_url": "https://a@shop.example/"})), "IR_07", "return_url"),
        (with(payment(100), json!({"return_url": "https://shop.example/\r\nX: 1"})), "IR_07", "return_url"),
        (with(payment(100), json!({"amount_to_capture": 101})),         "IR_07", "greater than amount"),
        (with(payment(100), json!({"payment_method_data": {"bank_transfer": {}}})), "IR_07", "bank_transfer"),
        (of_card("card_number", "4111111111111112"),                    "IR_06", "check digit"),
        (of_card("card_number", "41"),                                  "IR_06", "card number"),
        (of_card("card_exp_month", "13"),                               "IR_16", "Invalid Expiry Month"),
        (of_card("card_exp_year", "abc"),                               "IR_16", "Invalid Expiry Year"),
        (of_card("card_exp_year", "2001"),                              "CE_01", "Invalid Expiry Year"),
        (of_card("card_cvc", "12345"),                                  "IR_16", "Invalid card_cvc length"),
    ];
    for (body, code, message) in rows {
        let seen = shop.send("POST", "/payments", &body).await;
        assert_eq!(seen.status, 400, "{body} {seen:?}");
        let error = &seen.json()["error"];
        assert_eq!(error["code"], code, "{body} {seen:?}");
        assert!(error["message"].as_str().unwrap().contains(message), "{body} {seen:?}");
        assert!(!seen.body.contains("411111"), "{seen:?}");
        let kind = if code == "IR_06" { "error_type" } else { "type" };
        let want = if code == "CE_01" { "connector" } else { "invalid_request" };
        assert_eq!(error[kind], want, "{seen:?}");
    }
    assert_eq!(shop.get("/payments/list").await["size"], 0, "nothing was made");
    let accents = with(payment(100), json!({"name": "Ada Łukasz 🎩 \u{202e}"}));
    assert_eq!(shop.post("/payments", accents).await["name"], "Ada Łukasz 🎩 \u{202e}");
}

#[tokio::test]
async fn a_query_that_cannot_be_read_is_refused_in_the_contracts_form() {
    let shop = Shop::open().await;
    for query in
        ["limit=many", "limit=0", "limit=101", "created.gte=yesterday", "starting_after=pay_0"]
    {
        let seen = shop.send("GET", &format!("/payments/list?{query}"), &Value::Null).await;
        let code = if query.starts_with("starting") { "HE_02" } else { "IR_07" };
        assert_eq!(seen.json()["error"]["code"], code, "{query} {seen:?}");
    }
}

#[tokio::test]
async fn an_id_that_is_taken_gives_what_is_there_or_an_error() {
    let shop = Shop::open().await;
    let first = with(payment(100), json!({"payment_id": "order-1"}));
    let made = shop.post("/payments", first.clone()).await;
    assert_eq!(shop.post("/payments", first).await, made);
    let other = with(payment(101), json!({"payment_id": "order-1"}));
    let seen = shop.send("POST", "/payments", &other).await;
    assert_eq!((seen.status, &seen.json()["error"]["code"]), (400, &json!("HE_01")), "{seen:?}");
    let refund = json!({"payment_id": "order-1", "refund_id": "r", "amount": 10});
    shop.post("/refunds", refund).await;
    let other = json!({"payment_id": "order-1", "refund_id": "r", "amount": 11});
    assert_eq!(shop.send("POST", "/refunds", &other).await.json()["error"]["code"], "HE_01");
}

#[tokio::test]
async fn a_connector_that_cannot_be_used_is_refused() {
    let shop = Shop::open().await;
    let path = format!("/account/{}/connectors", shop.merchant);
    let base = json!({"connector_type": "payment_processor", "connector_name": "sandbox",
        "connector_account_details": {"auth_type": "HeaderKey", "api_key": "k"}});
    let rows = [
        (json!({"connector_name": "nobody"}), "IR_07", "no connector nobody"),
        (json!({"connector_name": null}), "IR_04", "connector_name"),
        (json!({"connector_account_details": {"auth_type": "HeaderKey"}}), "IR_04", "api_key"),
        (json!({"connector_account_details": {"auth_type": "Magic"}}), "IR_07", "known: HeaderKey"),
        (json!({"colour": 1}), "IR_06", "unknown field `colour`"),
    ];
    for (change, code, message) in rows {
        let seen = shop.send("POST", &path, &with(base.clone(), change.clone())).await;
        let error = &seen.json()["error"];
        assert_eq!((seen.status, &error["code"]), (400, &json!(code)), "{change} {seen:?}");
        assert!(error["message"].as_str().unwrap().contains(message), "{seen:?}");
    }
    let disable = json!({"connector_type": "payment_processor", "disabled": true});
    shop.post(&format!("{path}/{}", shop.connector), disable).await;
    let seen = shop.send("POST", "/payments", &payment(100)).await;
    assert_eq!((seen.status, &seen.json()["error"]["code"]), (400, &json!("IR_39")), "{seen:?}");
}
