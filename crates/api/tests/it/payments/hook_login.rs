//! What goes along with a merchant's webhooks: headers of its own, and its login at the endpoint.

use baton_store::Store;
use serde_json::{Value, json};

use super::hooks::{self, Got, Receiver};
use super::{Shop, payment, with};
use crate::server::OPERATOR;

const HEADERS: &str = "outgoing_webhook_custom_http_headers";
const STARS: &str = "********";

async fn put(shop: &Shop, path: &str, body: Value) -> Value {
    let seen = shop.send_as(OPERATOR, "POST", path, &body).await;
    assert_eq!(seen.status, 200, "{path}: {seen:?}");
    seen.json()
}

async fn profile(shop: &Shop) -> String {
    let all = shop.get(&format!("/account/{}/business_profile", shop.merchant)).await;
    let id = all[0]["profile_id"].as_str().unwrap();
    format!("/account/{}/business_profile/{id}", shop.merchant)
}

fn details(receiver: &Receiver, more: Value) -> Value {
    let url = json!({"webhook_url": format!("http://{}/hooks", receiver.addr)});
    json!({"webhook_details": with(url, more)})
}

/// What comes for one more payment.
async fn next(shop: &Shop, receiver: &Receiver) -> Got {
    // What a node has read of a merchant's settings is forgotten by whoever changes them, so nothing is waited for.
    let before = receiver.got().len();
    shop.post("/payments", payment(1_000)).await;
    receiver.wait(before + 2).await.pop().unwrap()
}

/// Everything that is kept of the merchant outside the vault.
async fn kept(shop: &Shop) -> String {
    let store: &dyn Store = shop.server.store.as_ref();
    let merchant = store.merchant_by_name(&shop.merchant).await.unwrap().unwrap().id;
    let path = profile(shop).await;
    let id = path.rsplit('/').next().unwrap();
    let mut text = String::new();
    for (kind, id) in [("merchant_account", shop.merchant.as_str()), ("profile", id)] {
        let row = store.document(merchant, kind, id).await.unwrap().unwrap();
        text.push_str(&row.body);
    }
    let audit = store.audit(&baton_store::AuditQuery { limit: 100, ..Default::default() }).await;
    audit.unwrap().iter().for_each(|row| text.push_str(&row.detail));
    let query = baton_store::HookQuery::of(merchant);
    for event in store.webhooks().hook_events(&query).await.unwrap() {
        for tried in store.webhooks().hook_attempts(merchant, &event.id).await.unwrap() {
            text.push_str(&tried.request);
        }
    }
    text
}

#[tokio::test]
async fn headers_and_a_login_go_along_and_are_kept_in_the_vault_only() {
    let (shop, receiver) = hooks::open(None, &[50; 16]).await;
    let path = profile(&shop).await;
    let login = json!({"webhook_username": "shop", "webhook_password": "canary-p4ss"});
    let headers = json!({HEADERS: {"X-Shop": "canary-blue", "x-tenant": "canary-7"}});
    let shown = put(&shop, &path, with(details(&receiver, login), headers)).await;
    assert_eq!(shown[HEADERS], json!({"X-Shop": STARS, "x-tenant": STARS}), "{shown}");
    assert_eq!(shown["webhook_details"]["webhook_password"], STARS);
    assert_eq!(shown["webhook_details"]["webhook_username"], "shop");

    let got = next(&shop, &receiver).await;
    assert_eq!(got.header("x-shop"), "canary-blue");
    assert_eq!(got.header("x-tenant"), "canary-7");
    // shop:canary-p4ss
    assert_eq!(got.header("authorization"), "Basic c2hvcDpjYW5hcnktcDRzcw==");
    assert_eq!(got.header("content-type"), "application/json");
    assert!(got.header("webhook-signature").starts_with("v1,"));
    let kept = kept(&shop).await;
    assert!(kept.contains("x-tenant"), "{kept}");
    for secret in ["canary", "c2hvcDpj"] {
        assert!(!kept.contains(secret), "{kept}");
    }
    let listed = shop.post(&format!("/events/{}", shop.merchant), json!({"limit": 1})).await;
    let id = listed["events"][0]["event_id"].as_str().unwrap();
    let tries = shop.get(&format!("/events/{}/{id}/attempts", shop.merchant)).await;
    let sent = tries[0]["request"]["headers"].as_array().unwrap().clone();
    assert!(sent.contains(&json!(["X-Shop", STARS])), "{sent:?}");
    assert!(sent.contains(&json!(["authorization", STARS])), "{sent:?}");

    // Stars stand for what is kept; a header that does not come again is gone.
    let login = json!({"webhook_username": "till", "webhook_password": STARS});
    let headers = json!({HEADERS: {"X-Shop": STARS, "X-More": "m"}});
    put(&shop, &path, with(details(&receiver, login), headers)).await;
    let got = next(&shop, &receiver).await;
    assert_eq!((got.header("x-shop"), got.header("x-more")), ("canary-blue", "m"));
    assert!(got.all("x-tenant").is_empty());
    // till:canary-p4ss
    assert_eq!(got.header("authorization"), "Basic dGlsbDpjYW5hcnktcDRzcw==");

    // A change of something else leaves both; an Authorization of its own takes the login's place.
    put(&shop, &path, json!({"profile_name": "till"})).await;
    let got = next(&shop, &receiver).await;
    assert_eq!((got.header("x-shop"), got.header("x-more")), ("canary-blue", "m"));
    put(&shop, &path, json!({HEADERS: {"Authorization": "Bearer canary"}})).await;
    assert_eq!(next(&shop, &receiver).await.all("authorization"), ["Bearer canary"]);

    let token = json!({"webhook_password": "canary"});
    put(&shop, &path, with(details(&receiver, token), json!({HEADERS: {}}))).await;
    // :canary
    assert_eq!(next(&shop, &receiver).await.header("authorization"), "Basic OmNhbmFyeQ==");
    put(&shop, &path, json!({HEADERS: {"X-Shop": "x"}})).await;
    let shown = put(&shop, &path, with(details(&receiver, json!({})), json!({HEADERS: {}}))).await;
    assert_eq!(shown[HEADERS], Value::Null);
    let got = next(&shop, &receiver).await;
    assert!(got.all("authorization").is_empty() && got.all("x-shop").is_empty());
}

#[tokio::test]
async fn an_accounts_login_counts_where_the_profile_has_no_endpoint_of_its_own() {
    let (shop, receiver) = hooks::open(None, &[50; 16]).await;
    let account = format!("/accounts/{}", shop.merchant);
    let login = json!({"webhook_username": "shop"});
    put(&shop, &account, details(&receiver, login)).await;
    // shop: and no password.
    assert_eq!(next(&shop, &receiver).await.header("authorization"), "Basic c2hvcDo=");
    let login = json!({"webhook_username": "shop", "webhook_password": "canary-p4ss"});
    let shown = put(&shop, &account, details(&receiver, login)).await;
    assert_eq!(shown["webhook_details"]["webhook_password"], STARS);
    put(&shop, &profile(&shop).await, json!({HEADERS: {"X-Shop": "blue"}})).await;
    let got = next(&shop, &receiver).await;
    assert_eq!(got.header("authorization"), "Basic c2hvcDpjYW5hcnktcDRzcw==");
    assert_eq!(got.header("x-shop"), "blue");
    assert!(!kept(&shop).await.contains("canary"));
    // A profile's own endpoint is not told the account's password.
    let own = Receiver::open().await;
    put(&shop, &profile(&shop).await, details(&own, json!({}))).await;
    let got = next(&shop, &own).await;
    assert!(got.all("authorization").is_empty() && got.header("x-shop") == "blue");
}

#[tokio::test]
async fn what_would_break_a_webhook_is_refused() {
    let (shop, receiver) = hooks::open(None, &[50; 16]).await;
    let path = profile(&shop).await;
    let many: serde_json::Map<String, Value> =
        (0..11).map(|n| (format!("X-{n}"), json!("x"))).collect();
    for (headers, why) in [
        (json!({"Host": "x"}), "Host: is a header that is set here"),
        (json!({"content-length": "1"}), "is a header that is set here"),
        (json!({"Transfer-Encoding": "chunked"}), "is a header that is set here"),
        (json!({"Webhook-Id": "x"}), "header of the signature"),
        (json!({"X-Webhook-Signature-512": "x"}), "header of the signature"),
        (json!({"X Shop": "x"}), "is no name of a header"),
        (json!({"X-Shop": "a\r\nb"}), "printable ASCII"),
        (json!({"X-Shop": ""}), "printable ASCII"),
        (json!({"X-Shop": 1}), "must be a text"),
        (json!({"X-Shop": "a", "x-shop": "b"}), "is there twice"),
        (json!({"X-Shop": STARS}), "there is none"),
        (json!({"X-Shop": "4111111111111111"}), "holds a card number"),
        (json!(["X-Shop"]), "must be an object"),
        (Value::Object(many), "more than 10"),
    ] {
        let seen = shop.send("POST", &path, &json!({HEADERS: headers})).await;
        assert_eq!(seen.status, 400, "{headers}: {seen:?}");
        let told = seen.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(told.contains(why), "{headers}: {told}");
    }
    for (login, why) in [
        (json!({"webhook_username": "a:b"}), "no colon"),
        (json!({"webhook_username": "x".repeat(256)}), "255"),
        (json!({"webhook_username": "a", "webhook_password": "a\nb"}), "control"),
        (json!({"webhook_username": "a", "webhook_password": STARS}), "there is none"),
        (json!({"webhook_username": 1}), "must be a text"),
    ] {
        for path in [path.as_str(), "/accounts/shop"] {
            let seen = shop.send("POST", path, &details(&receiver, login.clone())).await;
            assert_eq!(seen.status, 400, "{login}: {seen:?}");
            let told = seen.json()["error"]["message"].as_str().unwrap().to_owned();
            assert!(told.contains(why), "{login}: {told}");
        }
    }
    let shown = shop.get(&path).await;
    assert_eq!((&shown[HEADERS], &shown["webhook_details"]), (&Value::Null, &Value::Null));
}
