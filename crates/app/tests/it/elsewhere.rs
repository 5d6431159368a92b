//! Cards at a vault elsewhere, and a server that is killed between the payment and its card.
//!
//! The vault is the sandbox's stand-in, which goes on. Whatever is killed when: a payment that its client was told of
//! has its card at the vault in the end, once, and nothing of the number is left in any file.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::canary::{NUMBER, no_leak};
use crate::support::http::call;
use crate::support::random::{Random, seed};
use crate::support::{Place, Process, postgres};

const OPERATOR: &str = "operator-of-this-test";

struct Shop {
    key: String,
    vault: String,
}

async fn ask(
    url: &str,
    method: &str,
    path: &str,
    key: &str,
    body: &Value,
) -> Result<Value, String> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let reply = call(url, method, path, &[("api-key", key)], &body).await?;
    if reply.status == 200 { Ok(reply.json) } else { Err(format!("{path}: {reply:?}")) }
}

async fn open(server: &Process) -> Shop {
    let send = async |path: &str, key: &str, body: Value| {
        ask(&server.url, "POST", path, key, &body).await.unwrap()
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let account = send("/accounts", OPERATOR, json!({"merchant_id": "shop"})).await;
    let made = json!({"name": "till", "expiration": "never"});
    let key = text(&send("/api_keys/shop", OPERATOR, made).await["api_key"]);
    let connector = |kind: &str, name: &str, details: Value| json!({"connector_type": kind, "connector_name": name, "connector_account_details": details});
    let provider = json!({"auth_type": "HeaderKey", "api_key": "any"});
    let provider = connector("payment_processor", "sandbox", provider);
    send("/account/shop/connectors", &key, provider).await;
    let vault = json!({"auth_type": "HeaderKey", "api_key": "any"});
    let vault = connector("vault_processor", "basis_theory", vault);
    let vault = send("/account/shop/connectors", &key, vault).await;
    let vault = text(&vault["merchant_connector_id"]);
    let profile = format!("/account/shop/business_profile/{}", text(&account["default_profile"]));
    let choice = json!({"is_external_vault_enabled": "enable",
        "external_vault_connector_details": {"vault_connector_id": vault}});
    send(&profile, &key, choice).await;
    Shop { key, vault }
}

fn saving(customer: &str) -> Value {
    json!({
        "amount": 6540, "currency": "USD", "confirm": true, "customer_id": customer,
        "setup_future_usage": "off_session", "payment_method": "card",
        "payment_method_data": {"card": {"card_number": NUMBER, "card_exp_month": "12",
            "card_exp_year": "2060", "card_holder_name": "Ada Lovelace", "card_cvc": "862"}},
    })
}

async fn faults(sandbox: &Process, shop: &Shop, faults: Value) {
    let path = format!("/vaults/{}/faults", shop.vault);
    ask(&sandbox.url, "PUT", &path, "", &json!({ "faults": faults })).await.unwrap();
}

async fn kept(sandbox: &Process, shop: &Shop) -> usize {
    let seen = ask(&sandbox.url, "GET", &format!("/vaults/{}", shop.vault), "", &Value::Null).await;
    seen.unwrap()["cards"].as_object().unwrap().len()
}

async fn active(server: &Process, shop: &Shop, method: &str) {
    let begun = Instant::now();
    loop {
        let path = format!("/payment_methods/{method}");
        let shown = ask(&server.url, "GET", &path, &shop.key, &Value::Null).await.unwrap();
        if shown["status"] == "active" {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{shown}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_survives_the_server_on_sqlite() {
    run(Place::new(), 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_survives_the_server_on_postgresql() {
    let Some(url) = postgres::database("1: a card at a vault elsewhere on PostgreSQL").await else {
        return;
    };
    run(Place::new().on(Some(url)), 3).await;
}

async fn run(place: Place, kills: u32) {
    let place = place.with("BATON_ADMIN_API_KEY", OPERATOR).with("BATON_LOG__LEVEL", "trace");
    let sandbox = place.sandbox(&[]);
    let mut server = place.serve_at(&sandbox);
    let shop = open(&server).await;

    // Approved, and killed while the vault has not answered.
    faults(&sandbox, &shop, json!([{"operation": "store", "what": "hang"}])).await;
    let paid = ask(&server.url, "POST", "/payments", &shop.key, &saving("ada")).await.unwrap();
    assert_eq!(paid["status"], "succeeded", "{paid}");
    let method = paid["payment_method_id"].as_str().unwrap().to_owned();
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.kill();
    let waiting = place.json(&["vault", "waiting", "--json"]);
    assert_eq!(waiting[0]["payment_method_id"], json!(method), "{waiting}");
    assert_eq!(waiting[0]["step"], "storing");
    faults(&sandbox, &shop, json!([])).await;
    server = place.serve_at(&sandbox);
    active(&server, &shop, &method).await;
    assert_eq!(kept(&sandbox, &shop).await, 1);

    // Killed after the vault has stored the card and before we were told: the same key finds it again.
    faults(&sandbox, &shop, json!([{"operation": "store", "what": "drop_answer", "times": 1}]))
        .await;
    let paid = ask(&server.url, "POST", "/payments", &shop.key, &saving("bob")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.kill();
    server = place.serve_at(&sandbox);
    active(&server, &shop, paid["payment_method_id"].as_str().unwrap()).await;
    assert_eq!(kept(&sandbox, &shop).await, 2);

    // Killed at random while payments are made.
    let seed = seed();
    let mut random = Random::new(seed);
    for no in 0..kills {
        let (url, key) = (server.url.clone(), shop.key.clone());
        let body = saving(&format!("customer-{no}"));
        let paying = tokio::spawn(async move { ask(&url, "POST", "/payments", &key, &body).await });
        tokio::time::sleep(Duration::from_millis(random.between(0, 120))).await;
        server.kill();
        let told = paying.await.unwrap();
        server = place.serve_at(&sandbox);
        if let Ok(paid) = told {
            active(&server, &shop, paid["payment_method_id"].as_str().unwrap()).await;
        }
    }
    let begun = Instant::now();
    loop {
        let waiting = place.json(&["vault", "waiting", "--json"]);
        if waiting == json!([]) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(90), "BATON_SEED={seed}: {waiting}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let mut active = 0;
    let mut paid = 0;
    let list = ask(&server.url, "GET", "/payments/list?limit=100", &shop.key, &Value::Null).await;
    for payment in list.unwrap()["data"].as_array().unwrap() {
        if payment["status"] != "succeeded" {
            continue;
        }
        paid += 1;
        let method = payment["payment_method_id"].as_str().unwrap();
        let path = format!("/payment_methods/{method}");
        let shown = ask(&server.url, "GET", &path, &shop.key, &Value::Null).await.unwrap();
        assert_eq!(shown["status"], "active", "BATON_SEED={seed}: {payment}");
        active += 1;
    }
    assert!(active >= 2 && active == paid);
    assert_eq!(kept(&sandbox, &shop).await, active, "BATON_SEED={seed}");

    // A customer's deletion, killed at once: the vault is asked to delete by the next start.
    faults(&sandbox, &shop, json!([{"operation": "delete", "what": "hang"}])).await;
    ask(&server.url, "DELETE", "/customers/ada", &shop.key, &Value::Null).await.unwrap();
    server.kill();
    faults(&sandbox, &shop, json!([])).await;
    let server = place.serve_at(&sandbox);
    let begun = Instant::now();
    while kept(&sandbox, &shop).await >= active {
        assert!(begun.elapsed() < Duration::from_secs(60), "the vault still has it");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(server);
    no_leak(&place);
}
