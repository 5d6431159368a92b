//! Profiles of a merchant, what their settings do, requests that act in one, and organisations.

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use super::{Shop, card, hooks, payment, with};
use crate::client::{self, Seen};
use crate::server::OPERATOR;

/// A request that acts in a profile.
async fn within(shop: &Shop, profile: &str, method: &str, path: &str, body: &Value) -> Seen {
    let headers = [
        ("api-key", shop.key.as_str()),
        ("content-type", "application/json"),
        ("X-Profile-Id", profile),
    ];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    client::send(shop.server.addr, method, path, &headers, body.as_bytes()).await
}

fn profiles(shop: &Shop) -> String {
    format!("/account/{}/business_profile", shop.merchant)
}

async fn profile(shop: &Shop, settings: Value) -> String {
    let made = shop.post(&profiles(shop), settings).await;
    made["profile_id"].as_str().unwrap().to_owned()
}

/// A connector of a profile.
async fn connector(shop: &Shop, profile: &str) -> String {
    let connector = json!({
        "connector_type": "payment_processor", "connector_name": "sandbox", "profile_id": profile,
        "connector_account_details": {"auth_type": "HeaderKey", "api_key": "any"},
    });
    let made = shop.post(&format!("/account/{}/connectors", shop.merchant), connector).await;
    made["merchant_connector_id"].as_str().unwrap().to_owned()
}

#[track_caller]
fn refused(seen: &Seen, status: u16, code: &str) {
    let told = seen.json();
    assert_eq!((seen.status, &told["error"]["code"]), (status, &json!(code)), "{seen:?}");
}

#[tokio::test]
async fn a_profile_is_made_listed_changed_and_deleted() {
    let shop = Shop::open().await;
    let all = profiles(&shop);
    let known = shop.get(&all).await;
    let default = known[0]["profile_id"].as_str().unwrap().to_owned();
    assert_eq!(known.as_array().unwrap().len(), 1);
    let settings = json!({
        "profile_name": "second", "return_url": "https://shop.example/done", "session_expiry": 60,
        "is_manual_retry_enabled": true, "metadata": {"shop": "7"},
        "payment_response_hash_key": "canary-hash-of-the-profile",
        "webhook_details": {"webhook_url": "https://shop.example/hooks", "webhook_password": "canary-password"},
    });
    let made = shop.post(&all, settings).await;
    let id = made["profile_id"].as_str().unwrap();
    assert!(id.starts_with("pro_") && id != default, "{made}");
    let one = format!("{all}/{id}");
    assert_eq!(shop.get(&one).await, made);
    assert_eq!(
        (&made["profile_name"], &made["session_expiry"], &made["is_manual_retry_enabled"]),
        (&json!("second"), &json!(60), &json!(true))
    );
    assert_eq!(made["payment_response_hash_key"], "********");
    let changed =
        shop.post(&one, json!({"profile_name": "third", "force_3ds_challenge": true})).await;
    assert_eq!(
        (&changed["profile_name"], &changed["session_expiry"]),
        (&json!("third"), &json!(60))
    );
    assert_eq!(changed["force_3ds_challenge"], true);
    let listed = shop.get(&all).await;
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]), (2, &changed), "newest first");
    assert!(!listed.to_string().contains("canary"), "{listed}");
    for (body, code) in [
        (json!({"profile_name": ""}), "IR_07"),
        (json!({"profile_name": "x".repeat(65)}), "IR_07"),
        (json!({"session_expiry": 0}), "IR_07"),
        (json!({"is_manual_retry_enabled": "yes"}), "IR_07"),
        (json!({"return_url": "javascript://x/"}), "IR_07"),
        (json!({"return_url": 7}), "IR_07"),
        (json!({"payment_response_hash_key": "short"}), "IR_07"),
        (json!({"webhook_details": {"webhook_url": "ftp://x"}}), "IR_07"),
        (json!({"is_external_vault_enabled": "enable"}), "IR_07"),
        (json!({"profile_nmae": "x"}), "IR_06"),
        (json!({"metadata": {"pan": "4111111111111111"}}), "IR_07"),
    ] {
        for path in [&all, &one] {
            refused(&shop.send("POST", path, &body).await, 400, code);
        }
    }
    assert_eq!(shop.get(&all).await, listed, "nothing was made or changed");
    refused(&shop.send("DELETE", &format!("{all}/{default}"), &Value::Null).await, 400, "IR_16");
    let gone = shop.send("DELETE", &one, &Value::Null).await;
    assert_eq!((gone.status, gone.body.as_str()), (200, "true"), "{gone:?}");
    for (method, body) in [("GET", Value::Null), ("POST", json!({})), ("DELETE", Value::Null)] {
        refused(&shop.send(method, &one, &body).await, 404, "HE_02");
    }
    let late = with(payment(100), json!({"profile_id": id}));
    refused(&shop.send("POST", "/payments", &late).await, 404, "HE_02");
    assert_eq!(shop.get(&all).await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_profiles_settings_count_for_its_payments() {
    let shop = Shop::open().await;
    let settings = json!({"session_expiry": 77, "return_url": "https://second.example/done",
        "is_manual_retry_enabled": true});
    let second = profile(&shop, settings).await;
    let own = json!({"profile_id": second});
    // It has no connector yet: the default profile's is not its.
    refused(&shop.send("POST", "/payments", &with(payment(100), own.clone())).await, 400, "IR_39");
    let mca = connector(&shop, &second).await;
    let made = shop.post("/payments", with(payment(100), own.clone())).await;
    assert_eq!(
        (&made["status"], &made["merchant_connector_id"]),
        (&json!("succeeded"), &json!(mca))
    );
    assert_eq!(
        (&made["profile_id"], &made["return_url"]),
        (&json!(second), &json!("https://second.example/done"))
    );
    let at = |name: &str| {
        baton_types::Timestamp::parse_rfc3339(made[name].as_str().unwrap()).unwrap().millis()
    };
    assert_eq!(at("expires_on") - at("created"), 77_000);
    let declined = json!({"payment_method_data": card("4000000000009995")});
    let failed = with(payment(101), declined);
    for (body, allowed) in [(failed.clone(), false), (with(failed, own), true)] {
        let made = shop.post("/payments", body).await;
        assert_eq!(
            (&made["status"], &made["manual_retry_allowed"]),
            (&json!("failed"), &json!(allowed)),
            "{made}"
        );
    }
}

#[tokio::test]
async fn a_profile_is_told_at_its_own_place_with_its_own_key() {
    const KEY: &str = "the-key-of-the-second-profile";
    let (shop, first) = hooks::open(None, &[50; 16]).await;
    let receiver = hooks::Receiver::open().await;
    let url = format!("http://{}/hooks", receiver.addr);
    let settings =
        json!({"webhook_details": {"webhook_url": url}, "payment_response_hash_key": KEY});
    let second = profile(&shop, settings).await;
    connector(&shop, &second).await;
    shop.post("/payments", with(payment(100), json!({"profile_id": second}))).await;
    shop.post("/payments", payment(200)).await;
    let (got, other) = (receiver.wait(2).await, first.wait(2).await);
    for (got, amount) in [(&got, 100), (&other, 200)] {
        for one in got.iter() {
            assert_eq!(one.json()["content"]["object"]["amount"], amount);
        }
    }
    let key = hmac::Key::new(hmac::HMAC_SHA512, KEY.as_bytes());
    let tag = hmac::sign(&key, got[0].body.as_bytes());
    let tag: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(got[0].header("x-webhook-signature-512"), tag);
    // Its events are its own.
    let path = format!("/events/{}", shop.merchant);
    let own = within(&shop, &second, "POST", &path, &json!({})).await.json();
    assert_eq!(own["total_count"], 2);
    let all = shop.post(&path, json!({})).await;
    assert_eq!(all["total_count"], 4);
    let foreign = all["events"].as_array().unwrap().iter();
    let foreign = foreign.filter(|event| event["profile_id"] != json!(second));
    for event in foreign {
        let event = event["event_id"].as_str().unwrap();
        for (method, end) in [("GET", "attempts"), ("POST", "retry")] {
            let path = format!("{path}/{event}/{end}");
            refused(&within(&shop, &second, method, &path, &Value::Null).await, 404, "HE_02");
        }
    }
}

#[tokio::test]
async fn a_request_acts_in_the_profile_that_it_names() {
    let shop = Shop::open().await;
    let second = profile(&shop, json!({})).await;
    connector(&shop, &second).await;
    let first = shop.post("/payments", payment(100)).await;
    let made = within(&shop, &second, "POST", "/payments", &payment(200)).await.json();
    assert_eq!((&made["status"], &made["profile_id"]), (&json!("succeeded"), &json!(second)));
    let list = within(&shop, &second, "GET", "/payments/list", &Value::Null).await.json();
    assert_eq!((&list["size"], &list["data"][0]), (&json!(1), &made));
    let list = within(&shop, &second, "POST", "/payments/list", &json!({})).await.json();
    assert_eq!(list["total_count"], 1);
    let other = json!({"profile_id": first["profile_id"]});
    refused(&within(&shop, &second, "POST", "/payments/list", &other).await, 404, "HE_02");
    refused(
        &within(&shop, &second, "POST", "/payments", &with(payment(1), other)).await,
        404,
        "HE_02",
    );
    let refund = json!({"payment_id": made["payment_id"], "amount": 5, "refund_id": "mine"});
    assert_eq!(within(&shop, &second, "POST", "/refunds", &refund).await.status, 200);
    assert_eq!(
        within(&shop, &second, "POST", "/refunds/list", &json!({})).await.json()["total_count"],
        1
    );
    let shown = within(&shop, &second, "GET", &profiles(&shop), &Value::Null).await.json();
    assert_eq!((shown.as_array().unwrap().len(), &shown[0]["profile_id"]), (1, &json!(second)));
    let path = format!("/account/{}/connectors", shop.merchant);
    assert_eq!(
        within(&shop, &second, "GET", &path, &Value::Null).await.json().as_array().unwrap().len(),
        1
    );
    // The same id in another profile is no repeat: it is taken.
    let named = |amount: i64| with(payment(amount), json!({"payment_id": "order-1"}));
    assert_eq!(within(&shop, &second, "POST", "/payments", &named(300)).await.status, 200);
    let default = first["profile_id"].as_str().unwrap();
    refused(&within(&shop, default, "POST", "/payments", &named(300)).await, 400, "HE_01");
    refused(&within(&shop, default, "POST", "/refunds", &refund).await, 400, "HE_01");
    for unknown in ["pro_unknown", "", "pro_01kh3v3w2xf6d8x9n4t5c7b1za", "shop"] {
        refused(&within(&shop, unknown, "GET", "/payments/list", &Value::Null).await, 404, "HE_02");
    }
}

/// Over every route that names an object: another profile's is not there, whatever is asked of it.
#[tokio::test]
async fn nothing_of_another_profile_is_there() {
    let shop = Shop::open().await;
    let second = profile(&shop, json!({})).await;
    let paid = shop.post("/payments", payment(100)).await;
    let id = paid["payment_id"].as_str().unwrap();
    let refund = shop.post("/refunds", json!({"payment_id": id, "amount": 10})).await;
    let refund = refund["refund_id"].as_str().unwrap();
    let default = paid["profile_id"].as_str().unwrap();
    let mut swept = 0;
    let of_profiles = ["{payment_id}", "{refund_id}", "{connector_id}", "{profile_id}"];
    for route in baton_api::payments_routes() {
        let names = of_profiles.iter().any(|name| route.path.contains(name));
        if !names || route.path.starts_with("/payments/return/") {
            continue;
        }
        let path = route
            .path
            .replace("{merchant_id}", &shop.merchant)
            .replace("{payment_id}", id)
            .replace("{refund_id}", refund)
            .replace("{connector_id}", &shop.connector)
            .replace("{profile_id}", default);
        let body = match route.path {
            path if path.ends_with("/update_metadata") => json!({"metadata": {"a": 1}}),
            path if path.ends_with("/incremental_authorization") => json!({"amount": 200}),
            _ => json!({}),
        };
        for key in [shop.key.as_str(), OPERATOR] {
            let headers = [("api-key", key), ("x-profile-id", second.as_str())];
            let body = body.to_string();
            let seen =
                client::send(shop.server.addr, route.method, &path, &headers, body.as_bytes())
                    .await;
            let closed = key == OPERATOR && seen.status == 401;
            assert!(closed || seen.status == 404, "{route:?} {seen:?}");
            assert!(!seen.body.contains(id) && !seen.body.contains("Ada"), "{seen:?}");
        }
        swept += 1;
    }
    assert!(swept > 12, "{swept}");
    assert_eq!(shop.get(&format!("/payments/{id}")).await["status"], "succeeded");
    assert_eq!(shop.get(&profiles(&shop)).await.as_array().unwrap().len(), 2);
    let secret = paid["client_secret"].as_str().unwrap();
    let path = format!("/payments/{id}?client_secret={secret}");
    let headers = [("api-key", shop.publishable.as_str()), ("x-profile-id", second.as_str())];
    let seen = client::send(shop.server.addr, "GET", &path, &headers, b"").await;
    assert_eq!(seen.status, 404, "{seen:?}");
}

#[tokio::test]
async fn an_organisation_has_accounts() {
    let shop = Shop::open().await;
    let operate = async |method: &str, path: &str, body: Value| {
        shop.send_as(OPERATOR, method, path, &body).await
    };
    let good = |seen: Seen| {
        assert_eq!(seen.status, 200, "{seen:?}");
        seen.json()
    };
    let body = json!({"organization_name": "The group", "metadata": {"a": 1}});
    let made = good(operate("POST", "/organization", body).await);
    let id = made["organization_id"].as_str().unwrap();
    let one = format!("/organization/{id}");
    assert_eq!(good(operate("GET", &one, Value::Null).await), made);
    let change = json!({"organization_name": "Group", "platform_merchant_id": "shop"});
    let changed = good(operate("PUT", &one, change).await);
    assert_eq!(
        (&changed["organization_name"], &changed["metadata"]),
        (&json!("Group"), &json!({"a": 1}))
    );
    for name in ["a", "b"] {
        good(
            operate("POST", "/accounts", json!({"merchant_id": name, "organization_id": id})).await,
        );
    }
    let list = |id: &str| format!("/accounts/list?organization_id={id}");
    let accounts = async |id: &str| {
        let found = good(operate("GET", &list(id), Value::Null).await);
        let names = found.as_array().unwrap().iter();
        let mut names: Vec<String> =
            names.map(|account| account["merchant_id"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(accounts(id).await, ["a", "b"]);
    assert_eq!(operate("DELETE", "/accounts/a", Value::Null).await.status, 200);
    assert_eq!(accounts(id).await, ["b"]);
    // An account that names none comes with one of its own.
    let account = good(operate("GET", "/accounts/shop", Value::Null).await);
    let own = account["organization_id"].as_str().unwrap();
    assert_eq!(accounts(own).await, ["shop"]);
    assert_eq!(
        good(operate("GET", &format!("/organization/{own}"), Value::Null).await)["organization_name"],
        Value::Null
    );
    refused(&operate("GET", "/organization/org_none", Value::Null).await, 404, "HE_02");
    refused(&operate("GET", &list("org_none"), Value::Null).await, 404, "HE_02");
    refused(&operate("GET", "/accounts/list", Value::Null).await, 400, "IR_04");
    refused(&operate("POST", "/organization", json!({})).await, 400, "IR_04");
}
