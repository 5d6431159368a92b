//! Who gets in, over every route of the family.

use serde_json::{Value, json};

use super::{Shop, payment};
use crate::client;
use crate::server::OPERATOR;

/// A route's path with the shop's own objects in it.
fn path(shop: &Shop, route: &str, payment: &str, refund: &str) -> String {
    route
        .replace("{merchant_id}", &shop.merchant)
        .replace("{payment_id}", payment)
        .replace("{refund_id}", refund)
        .replace("{connector_id}", &shop.connector)
        .replace("{customer_id}", "ada")
        .replace("{profile_id}", "pro_unknown")
        .replace("{payment_method_id}", "pm_unknown")
        .replace("{mandate_id}", "man_unknown")
        .replace("{dispute_id}", "dp_unknown")
        .replace("{key_id}", "key_01m8c5ad58f6st6s7r4emrh0dn")
}

#[tokio::test]
async fn no_route_opens_without_a_key_nor_with_anothers() {
    let shop = Shop::open().await;
    let paid = shop.post("/payments", payment(100)).await;
    let id = paid["payment_id"].as_str().unwrap().to_owned();
    let refund = shop.post("/refunds", json!({"payment_id": id, "amount": 10})).await;
    let refund = refund["refund_id"].as_str().unwrap().to_owned();
    let own = (shop.key.clone(), shop.publishable.clone());
    let other = Shop::named(shop.server, "other").await;
    let shop = Shop {
        server: other.server,
        merchant: "shop".into(),
        key: own.0,
        publishable: own.1,
        connector: shop.connector,
    };
    let mut swept = 0;
    let (of_payers, with_keys): (Vec<_>, Vec<_>) = baton_api::payments_routes()
        .into_iter()
        .partition(|route| route.path.starts_with("/payments/return/"));
    assert_eq!(of_payers.len(), 2, "whoever adds a route without a key says here what opens it");
    for route in with_keys {
        let path = path(&shop, route.path, &id, &refund);
        for key in [None, Some("nonsense"), Some(shop.server.key.as_str())] {
            let headers: Vec<_> = key.iter().map(|key| ("api-key", *key)).collect();
            let seen = client::send(shop.server.addr, route.method, &path, &headers, b"{}").await;
            assert_eq!(seen.status, 401, "{route:?} {key:?} {seen:?}");
            assert_eq!(seen.json()["error"]["code"], "IR_01");
        }
        // Another merchant: nothing of what is named is there.
        if route.path.contains('{') {
            let body = match route.path.ends_with("/update_metadata") {
                true => json!({"metadata": {}}),
                false => json!({}),
            };
            let seen = shop.send_as(&other.key, route.method, &path, &body).await;
            assert!([401, 404].contains(&seen.status), "{route:?} {seen:?}");
            assert!(!seen.body.contains(&id) && !seen.body.contains("Ada"), "{seen:?}");
        }
        swept += 1;
    }
    assert!(swept > 25, "{swept}");
    let still = shop.get(&format!("/payments/{id}")).await;
    assert_eq!(still["status"], "succeeded");
}

#[tokio::test]
async fn a_browser_sees_one_payment_with_its_secret_only() {
    let shop = Shop::open().await;
    let made = shop.post("/payments", json!({"amount": 100, "currency": "USD"})).await;
    let (id, secret) = (made["payment_id"].as_str().unwrap(), &made["client_secret"]);
    let path = format!("/payments/{id}");
    let pk = shop.publishable.as_str();
    assert!(pk.starts_with("pk_"), "{pk}");
    for query in ["", "?client_secret=wrong"] {
        let seen = shop.send_as(pk, "GET", &format!("{path}{query}"), &Value::Null).await;
        assert_eq!((seen.status, &seen.json()["error"]["code"]), (400, &json!("IR_09")));
    }
    let query = format!("?client_secret={}", secret.as_str().unwrap());
    let seen = shop.send_as(pk, "GET", &format!("{path}{query}"), &Value::Null).await;
    assert_eq!(seen.status, 200, "{seen:?}");
    let body =
        json!({"client_secret": secret, "payment_method_data": super::card("4111111111111111")});
    let seen = shop.send_as(pk, "POST", &format!("{path}/confirm"), &body).await;
    assert_eq!((seen.status, &seen.json()["status"]), (200, &json!("succeeded")), "{seen:?}");
    for (method, closed) in
        [("POST", "/payments"), ("GET", "/customers/list"), ("POST", "/refunds")]
    {
        assert_eq!(shop.send_as(pk, method, closed, &json!({})).await.status, 401, "{closed}");
    }
    let capture = shop.send_as(pk, "POST", &format!("{path}/capture"), &json!({})).await;
    assert_eq!(capture.status, 401);
}

#[tokio::test]
async fn a_browser_says_how_it_pays_and_not_what() {
    let shop = Shop::open().await;
    let made = shop.post("/payments", json!({"amount": 100, "currency": "USD"})).await;
    let (id, secret) = (made["payment_id"].as_str().unwrap(), &made["client_secret"]);
    let rows = [
        json!({"amount": 1}),
        json!({"currency": "JPY"}),
        json!({"capture_method": "manual"}),
        json!({"authentication_type": "no_three_ds"}),
        json!({"amount_to_capture": 1}),
        json!({"customer_id": "ada"}),
        json!({"customer": {"id": "ada"}}),
        json!({"mandate_id": "man_1"}),
        json!({"recurring_details": {"type": "mandate_id", "data": "man_1"}}),
        json!({"profile_id": "pro_1"}),
        json!({"metadata": {"paid": true}}),
        json!({"session_expiry": 100_000}),
        json!({"off_session": true}),
    ];
    for path in [format!("/payments/{id}"), format!("/payments/{id}/confirm")] {
        for row in &rows {
            let body = super::with(
                row.clone(),
                json!({"client_secret": secret,
                "payment_method_data": super::card("4111111111111111")}),
            );
            let seen = shop.send_as(&shop.publishable, "POST", &path, &body).await;
            let (code, name) =
                (&seen.json()["error"]["code"], row.as_object().unwrap().keys().next());
            assert_eq!((seen.status, code), (400, &json!("IR_07")), "{row} {seen:?}");
            assert!(seen.body.contains(name.unwrap()), "{row} {seen:?}");
        }
    }
    let still = shop.get(&format!("/payments/{id}")).await;
    assert_eq!(still, made);
    let body = json!({"client_secret": secret, "email": "ada@example.com", "return_url": "https://shop.example/",
        "payment_method": "card", "payment_method_data": super::card("4111111111111111"),
        "billing": {"address": {"country": "GB"}}, "shipping": {"address": {"country": "GB"}},
        "browser_info": {"ip_address": "127.0.0.1"}, "confirm": true});
    let path = format!("/payments/{id}");
    let seen = shop.send_as(&shop.publishable, "POST", &path, &body).await;
    assert_eq!((seen.status, &seen.json()["status"]), (200, &json!("succeeded")), "{seen:?}");
}

#[tokio::test]
async fn the_keys_of_an_account_that_was_removed_open_nothing() {
    let shop = Shop::open().await;
    shop.get("/payments/list").await;
    let path = format!("/accounts/{}", shop.merchant);
    let operator = [("api-key", OPERATOR)];
    let gone = client::send(shop.server.addr, "DELETE", &path, &operator, b"").await;
    assert_eq!(gone.status, 200, "{gone:?}");
    for (method, path) in [("GET", "/payments/list"), ("POST", "/payments"), ("GET", path.as_str())]
    {
        let seen = shop.send(method, path, &payment(100)).await;
        assert_eq!(
            (seen.status, &seen.json()["error"]["code"]),
            (401, &json!("IR_01")),
            "{seen:?}"
        );
    }
}

#[tokio::test]
async fn settings_keep_no_secret() {
    let shop = Shop::open().await;
    let path = format!("/account/{}/connectors/{}", shop.merchant, shop.connector);
    let webhooks = json!({"merchant_secret": "canary-webhook", "additional_secret": "canary-more"});
    let alone = shop.send("POST", &path, &json!({"connector_webhook_details": webhooks})).await;
    assert_eq!((alone.status, &alone.json()["error"]["code"]), (400, &json!("IR_04")), "{alone:?}");
    let change = json!({"connector_webhook_details": webhooks, "metadata": {"apple": [{"certificate_keys": "canary-keys"}]},
        "connector_account_details": {"auth_type": "HeaderKey", "api_key": "canary-connector-2"}});
    shop.post(&path, change).await;
    let operator = [("api-key", OPERATOR)];
    let account = json!({"payment_response_hash_key": "canary-hash",
        "webhook_details": {"webhook_url": "https://shop.example/", "webhook_password": "canary-password"}});
    let at = format!("/accounts/{}", shop.merchant);
    let body = account.to_string();
    let changed = client::send(shop.server.addr, "POST", &at, &operator, body.as_bytes()).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    for path in [path, at] {
        let shown = shop.get(&path).await.to_string();
        assert!(shown.contains("********") && !shown.contains("canary"), "{shown}");
    }
}

#[tokio::test]
async fn secrets_are_shown_by_their_end_and_stored_nowhere() {
    let shop = Shop::open().await;
    let path = format!("/account/{}/connectors/{}", shop.merchant, shop.connector);
    let shown = shop.get(&path).await;
    let details = &shown["connector_account_details"];
    assert_eq!(
        (&details["auth_type"], &details["api_key"]),
        (&json!("HeaderKey"), &json!("********or-1"))
    );
    let made = shop
        .post(
            "/payments",
            json!({"amount": 100, "currency": "USD",
        "payment_method_data": super::card("4111111111111111")}),
        )
        .await;
    assert_eq!(made["status"], "requires_confirmation");
    let store: &dyn baton_store::Store = shop.server.store.as_ref();
    let merchant = store.merchant_by_name(&shop.merchant).await.unwrap().unwrap().id;
    let mut stored = format!("{:?}", store.accounts(merchant).await.unwrap());
    for kind in ["intent", "connector", "merchant_account", "profile", "customer"] {
        let query = baton_store::DocumentQuery {
            merchant,
            kind: kind.to_owned(),
            owner: None,
            from: baton_types::Timestamp::from_millis(0),
            to: baton_types::Timestamp::from_millis(i64::MAX),
            after: None,
            statuses: vec![],
            removed: true,
            limit: 100,
        };
        let rows = store.documents(&query).await.unwrap();
        stored.extend(rows.into_iter().map(|row| row.body));
    }
    assert!(stored.contains("or-1"), "the connector was read");
    for canary in ["canary-connector-1", "4111111111111111", "\"123\""] {
        assert!(!stored.contains(canary), "{canary}");
    }
    let operator = [("api-key", OPERATOR)];
    let gone = client::send(shop.server.addr, "DELETE", &path, &operator, b"").await;
    assert_eq!(gone.status, 200, "{gone:?}");
    assert_eq!(shop.send("GET", &path, &Value::Null).await.status, 404);
}
