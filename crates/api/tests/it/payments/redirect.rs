//! Methods that the payer completes on a bank's or a lender's page.

use serde_json::{Value, json};

use super::back::{open, press};
use super::{Shop, payment, with};

/// A shop whose Stripe connector is set up for some methods.
async fn shop_with(methods: &[(&str, &str)]) -> Shop {
    let shop = Shop::open().await;
    let enabled: Vec<Value> = methods
        .iter()
        .map(|(family, kind)| {
            json!({"payment_method": family, "payment_method_types": [
                {"payment_method_type": kind, "payment_experience": "redirect_to_url",
                 "minimum_amount": 100, "maximum_amount": 50_000}]})
        })
        .collect();
    let body = json!({
        "connector_type": "payment_processor", "connector_name": "stripe",
        "connector_account_details": {"auth_type": "HeaderKey", "api_key": "canary-connector-4"},
        "payment_methods_enabled": enabled,
    });
    shop.post(&format!("/account/{}/connectors", shop.merchant), body).await;
    shop
}

const ALL: [(&str, &str, &str); 7] = [
    ("pay_later", "klarna", "USD"),
    ("pay_later", "affirm", "USD"),
    ("pay_later", "afterpay_clearpay", "USD"),
    ("bank_redirect", "ideal", "EUR"),
    ("bank_redirect", "eps", "EUR"),
    ("bank_redirect", "giropay", "EUR"),
    ("bank_redirect", "sofort", "EUR"),
];

fn data(family: &str, kind: &str) -> Value {
    let inner = match kind {
        "klarna" | "affirm" | "afterpay_clearpay" => json!({format!("{kind}_redirect"): {
            "billing_email": "ada@example.com", "billing_name": "Ada Lovelace", "billing_country": "US"}}),
        bank => {
            let named = match bank {
                "ideal" => "ing",
                "eps" => "bank_austria",
                _ => "",
            };
            json!({bank: {"billing_details": {"billing_name": "Ada Lovelace"}, "bank_name": named,
                "country": "DE", "preferred_language": "en"}})
        }
    };
    json!({family: inner})
}

/// A payment that is not confirmed yet.
async fn made(shop: &Shop, currency: &str, more: Value) -> Value {
    let body = json!({"amount": 1000, "currency": currency, "customer_id": "ada",
        "return_url": "https://shop.example/done"});
    let made = shop.post("/payments", with(body, more)).await;
    assert_eq!(made["status"], "requires_payment_method", "{made}");
    made
}

fn confirm_of(made: &Value) -> String {
    format!("/payments/{}/confirm", made["payment_id"].as_str().unwrap())
}

fn asked_by(family: &str, kind: &str) -> Value {
    json!({"payment_method": family, "payment_method_type": kind,
        "payment_method_data": data(family, kind)})
}

#[tokio::test]
async fn the_payer_is_sent_to_each_and_comes_back_with_the_payment_made() {
    let methods: Vec<_> = ALL.iter().map(|(family, kind, _)| (*family, *kind)).collect();
    let shop = shop_with(&methods).await;
    for (family, kind, currency) in ALL {
        let intent = made(&shop, currency, json!({})).await;
        let asked = shop.post(&confirm_of(&intent), asked_by(family, kind)).await;
        assert_eq!(asked["status"], "requires_customer_action", "{kind}: {asked}");
        assert_eq!(asked["payment_method"], family);
        assert_eq!(asked["payment_method_type"], kind);
        assert_eq!(asked["connector"], "stripe");
        assert!(asked["payment_method_data"][family].is_object(), "{asked}");
        let back = press(&shop, &asked, "approve").await;
        assert_eq!(open(&shop, &back).await.status, 303);
        let path = format!("/payments/{}", asked["payment_id"].as_str().unwrap());
        let done = shop.get(&path).await;
        assert_eq!(
            (&done["status"], &done["amount_received"]),
            (&json!("succeeded"), &json!(1000))
        );
        let refund = json!({"payment_id": done["payment_id"], "amount": 400});
        assert_eq!(shop.post("/refunds", refund).await["status"], "succeeded", "{kind}");
    }
    // A payer who says no there has not paid, and pays otherwise.
    let intent = made(&shop, "EUR", json!({})).await;
    let asked = shop.post(&confirm_of(&intent), asked_by("bank_redirect", "ideal")).await;
    let back = press(&shop, &asked, "fail").await;
    open(&shop, &back).await;
    let failed = shop.get(&format!("/payments/{}", asked["payment_id"].as_str().unwrap())).await;
    assert_eq!(failed["status"], "failed", "{failed}");
}

#[tokio::test]
async fn a_lender_can_hold_and_a_method_can_be_named_before_the_confirmation() {
    let shop = shop_with(&[("pay_later", "klarna")]).await;
    let body = with(asked_by("pay_later", "klarna"), json!({"capture_method": "manual"}));
    let intent = made(&shop, "USD", json!({})).await;
    let path = format!("/payments/{}", intent["payment_id"].as_str().unwrap());
    let named = shop.post(&path, body).await;
    assert_eq!(named["status"], "requires_confirmation", "{named}");
    assert_eq!(named["payment_method_type"], "klarna");
    let asked = shop.post(&confirm_of(&intent), json!({})).await;
    let back = press(&shop, &asked, "approve").await;
    open(&shop, &back).await;
    assert_eq!(shop.get(&path).await["status"], "requires_capture");
    let taken = shop.post(&format!("{path}/capture"), json!({"amount_to_capture": 1000})).await;
    assert_eq!(taken["status"], "succeeded", "{taken}");
    // A card instead, and the method is forgotten.
    let intent = made(&shop, "USD", json!({})).await;
    let path = format!("/payments/{}", intent["payment_id"].as_str().unwrap());
    shop.post(&path, asked_by("pay_later", "klarna")).await;
    let card = json!({"payment_method_data": payment(1)["payment_method_data"]});
    let paid = shop.post(&confirm_of(&intent), card).await;
    assert_eq!((&paid["status"], &paid["payment_method"]), (&json!("succeeded"), &json!("card")));
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_anything_is_made_of_it() {
    let shop = shop_with(&[("pay_later", "klarna"), ("bank_redirect", "ideal")]).await;
    let (klarna, ideal) =
        (|| asked_by("pay_later", "klarna"), || asked_by("bank_redirect", "ideal"));
    let two = json!({"ideal": {}, "eps": {}});
    let rows = [
        // No connector is set up for it, or takes the currency, or the amount.
        ("USD", asked_by("pay_later", "affirm"), "IR_39", "connector"),
        ("USD", ideal(), "IR_39", "connector"),
        ("EUR", with(ideal(), json!({"amount": 60_000})), "IR_39", "connector"),
        ("EUR", with(ideal(), json!({"capture_method": "manual"})), "IR_07", "capture_method"),
        (
            "EUR",
            with(ideal(), json!({"setup_future_usage": "off_session"})),
            "IR_07",
            "setup_future_usage",
        ),
        (
            "EUR",
            with(ideal(), json!({"payment_method_type": "eps"})),
            "IR_07",
            "payment_method_type",
        ),
        ("EUR", json!({"payment_method_data": {"bank_redirect": two}}), "IR_07", "one method"),
        ("EUR", json!({"payment_method_data": {"bank_redirect": {}}}), "IR_04", "bank_redirect"),
        (
            "EUR",
            json!({"payment_method_data": {"bank_redirect": {"barter": {}}}}),
            "IR_06",
            "barter",
        ),
        (
            "USD",
            json!({"payment_method_data": {"pay_later": {"klarna_redirect": {"billing_country": "usa"}}}}),
            "IR_07",
            "billing_country",
        ),
        (
            "USD",
            with(
                klarna(),
                json!({"payment_method_data": with(data("pay_later", "klarna"),
            payment(1)["payment_method_data"].clone())}),
            ),
            "IR_07",
            "one method",
        ),
    ];
    for (currency, body, code, said) in rows {
        let intent = made(&shop, currency, json!({})).await;
        let path = format!("/payments/{}", intent["payment_id"].as_str().unwrap());
        let seen = shop.send("POST", &path, &with(body, json!({"confirm": true}))).await;
        let error = seen.json()["error"].clone();
        assert_eq!((seen.status, error["code"].as_str()), (400, Some(code)), "{seen:?}");
        assert!(error["message"].as_str().unwrap().contains(said), "{error}");
        assert_eq!(shop.get(&path).await["status"], "requires_payment_method");
    }
    let body = json!({"amount": 1000, "currency": "EUR", "confirm": true});
    let seen = shop.send("POST", "/payments", &with(body, ideal())).await;
    assert_eq!(
        (seen.status, &seen.json()["error"]["code"]),
        (400, &json!("IR_04")),
        "no return_url"
    );
}

#[tokio::test]
async fn a_browser_is_offered_what_the_connectors_take() {
    let methods: Vec<_> = ALL.iter().map(|(family, kind, _)| (*family, *kind)).collect();
    let shop = shop_with(&methods).await;
    for (currency, want) in [
        ("USD", vec![("pay_later", vec!["affirm", "afterpay_clearpay", "klarna"])]),
        (
            "EUR",
            vec![
                ("pay_later", vec!["klarna"]),
                ("bank_redirect", vec!["eps", "giropay", "ideal", "sofort"]),
            ],
        ),
        ("JPY", vec![]),
    ] {
        let intent = made(&shop, currency, json!({})).await;
        let secret = intent["client_secret"].as_str().unwrap();
        let path = format!("/account/payment_methods?client_secret={secret}");
        let seen = shop.send_as(&shop.publishable, "GET", &path, &Value::Null).await.json();
        let mut found = Vec::new();
        for method in seen["payment_methods"].as_array().unwrap() {
            let family = method["payment_method"].as_str().unwrap();
            let types = method["payment_method_types"].as_array().unwrap().iter();
            let types: Vec<_> = types.map(|t| t["payment_method_type"].as_str().unwrap()).collect();
            if family != "card" {
                found.push((family, types));
            }
        }
        assert_eq!(found, want, "{currency}");
    }
}
