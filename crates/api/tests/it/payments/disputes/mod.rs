//! Disputes: told by providers, looked at, given up, answered.

mod crowd;
mod doubts;
mod guards;
mod told;

use std::time::Duration;

use serde_json::{Value, json};

use super::{Shop, card, payment, with};
use crate::client::{self, Seen};
use crate::server::HOOK_SECRET;

/// Cards that are disputed once they have paid: fraudulent, and an inquiry.
const DISPUTED: &str = "4000000000000259";
const INQUIRED: &str = "4000000000001976";

/// Gives a connector its webhook secret.
async fn set_secret(shop: &Shop, connector: &str) {
    let path = format!("/account/{}/connectors/{connector}", shop.merchant);
    let details = json!({"auth_type": "BodyKey", "api_key": "canary-connector-4", "key1": "Shop"});
    let body = json!({"connector_type": "payment_processor", "connector_account_details": details,
        "connector_webhook_details": {"merchant_secret": HOOK_SECRET}});
    shop.post(&path, body).await;
}

/// Has the sandbox tell of a connector's account, in a dialect; with `more` about how.
async fn subscribe(shop: &Shop, connector: &str, dialect: &str, more: Value) {
    set_secret(shop, connector).await;
    let url = format!("http://{}/webhooks/{}/{connector}", shop.server.addr, shop.merchant);
    let endpoint = with(json!({"url": url, "secret": HOOK_SECRET, "dialect": dialect}), more);
    let path = format!("/admin/accounts/{connector}/webhook");
    let seen = admin(shop, "PUT", &path, endpoint).await;
    assert_eq!(seen.status, 204, "{seen:?}");
}

async fn admin(shop: &Shop, method: &str, path: &str, body: Value) -> Seen {
    client::send(shop.server.sandbox.addr(), method, path, &[], body.to_string().as_bytes()).await
}

/// Pays with a card, and gives the payment's id.
async fn pay(shop: &Shop, number: &str, amount: i64) -> String {
    let body = json!({"payment_method_data": card(number)});
    let paid = shop.post("/payments", with(payment(amount), body)).await;
    assert_eq!(paid["status"], "succeeded", "{paid}");
    paid["payment_id"].as_str().unwrap().to_owned()
}

/// The only dispute of a payment, once it is there and stands so.
async fn dispute_of(shop: &Shop, payment: &str, status: &str) -> Value {
    let path = format!("/disputes/list?payment_id={payment}");
    let mut last = Value::Null;
    for _ in 0..500 {
        last = shop.get(&path).await;
        if last[0]["dispute_status"] == status {
            assert_eq!(last.as_array().unwrap().len(), 1, "{last}");
            return last[0].clone();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{status} wanted: {last}");
}

/// A disputed payment of a shop that hears of it.
async fn disputed(shop: &Shop) -> Value {
    let id = pay(shop, DISPUTED, 1_000).await;
    dispute_of(shop, &id, "dispute_opened").await
}

/// How the sandbox has a dispute.
async fn at_provider(shop: &Shop, connector: &str, dispute: &Value) -> String {
    let id = dispute["connector_dispute_id"].as_str().unwrap().rsplit_once('_').unwrap().1;
    let path = format!("/sandbox/{connector}/disputes/sd_{id}");
    let headers = [("authorization", "Bearer x")];
    let seen = client::send(shop.server.sandbox.addr(), "GET", &path, &headers, b"").await;
    assert_eq!(seen.status, 200, "{seen:?}");
    seen.json()["status"].as_str().unwrap().to_owned()
}

/// The issuer decides.
async fn decide(shop: &Shop, connector: &str, dispute: &Value, how: Value) {
    let id = dispute["connector_dispute_id"].as_str().unwrap();
    let path = format!("/admin/accounts/{connector}/disputes/{id}");
    let seen = admin(shop, "POST", &path, how).await;
    assert_eq!(seen.status, 200, "{seen:?}");
}

/// A dispute but for when its provider last told of it: that may be told again at any moment.
fn settled(dispute: &Value) -> Value {
    with(dispute.clone(), json!({"connector_updated_at": null}))
}

fn path(dispute: &Value) -> String {
    format!("/disputes/{}", dispute["dispute_id"].as_str().unwrap())
}

fn accept(dispute: &Value) -> String {
    format!("/disputes/accept/{}", dispute["dispute_id"].as_str().unwrap())
}

fn evidence(dispute: &Value, text: &str) -> Value {
    json!({"dispute_id": dispute["dispute_id"], "customer_name": "Ada", "uncategorized_text": text})
}

#[track_caller]
fn refused(seen: &Seen, status: u16, code: &str, part: &str) {
    let error = &seen.json()["error"];
    assert_eq!((seen.status, &error["code"]), (status, &json!(code)), "{seen:?}");
    assert!(error["message"].as_str().unwrap().contains(part), "{part}: {seen:?}");
}
