//! The Payments API over HTTP, with the sandbox behind its connector.

mod access;
mod acs;
mod back;
mod crowd;
mod default;
mod disputes;
mod expiry;
mod faults;
mod guards;
mod hook_login;
mod hook_order;
mod hooks;
mod increments;
mod left;
mod life;
mod lists;
mod nodes;
mod once;
mod profiles;
mod recurring;
mod redirect;
mod retry;
mod setups;
mod told;
mod vaults;

use serde_json::{Value, json};

use crate::client::{self, Seen};
use crate::server::{OPERATOR, Server};

/// A server with one merchant account that has a key and a connector at the sandbox.
pub(crate) struct Shop {
    pub(crate) server: Server,
    pub(crate) merchant: String,
    pub(crate) key: String,
    pub(crate) publishable: String,
    pub(crate) connector: String,
}

pub(crate) fn card(number: &str) -> Value {
    json!({"card": {
        "card_number": number, "card_exp_month": "10", "card_exp_year": "90",
        "card_holder_name": "Ada Lovelace", "card_cvc": "123",
    }})
}

pub(crate) fn payment(amount: i64) -> Value {
    json!({
        "amount": amount, "currency": "USD", "confirm": true, "payment_method": "card",
        "payment_method_data": card("4111111111111111"), "customer_id": "ada",
        "name": "Ada", "metadata": {"order": "1"},
    })
}

/// `base` with the fields of `more`.
pub(crate) fn with(mut base: Value, more: Value) -> Value {
    let (Some(fields), Value::Object(more)) = (base.as_object_mut(), more) else { return base };
    fields.extend(more);
    base
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::named(Server::start().await, "shop").await
    }

    pub(crate) async fn named(server: Server, name: &str) -> Self {
        let send = async |path: &str, body: Value| {
            let operator = [("api-key", OPERATOR)];
            let body = body.to_string();
            let seen = client::send(server.addr, "POST", path, &operator, body.as_bytes()).await;
            assert_eq!(seen.status, 200, "{path}: {seen:?}");
            seen.json()
        };
        let account = send("/accounts", json!({"merchant_id": name})).await;
        let key = json!({"name": "till", "expiration": "never"});
        let key = send(&format!("/api_keys/{name}"), key).await;
        let connector = json!({
            "connector_type": "payment_processor", "connector_name": "sandbox",
            "connector_account_details": {"auth_type": "HeaderKey", "api_key": "canary-connector-1"},
        });
        let connector = send(&format!("/account/{name}/connectors"), connector).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            merchant: name.to_owned(),
            key: text(&key["api_key"]),
            publishable: text(&account["publishable_key"]),
            connector: text(&connector["merchant_connector_id"]),
            server,
        }
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: &Value) -> Seen {
        self.send_as(&self.key, method, path, body).await
    }

    pub(crate) async fn send_as(&self, key: &str, method: &str, path: &str, body: &Value) -> Seen {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let headers = [("api-key", key), ("content-type", "application/json")];
        client::send(self.server.addr, method, path, &headers, body.as_bytes()).await
    }

    /// The path of the link that the payer of a challenged payment comes back by.
    pub(crate) async fn link_of(&self, payment: &str) -> String {
        let store: &dyn baton_store::Store = self.server.store.as_ref();
        let merchant = store.merchant_by_name(&self.merchant).await.unwrap().unwrap().id;
        let row = store.document(merchant, "intent", payment).await.unwrap().unwrap();
        let intent: Value = serde_json::from_str(&row.body).unwrap();
        let token = intent["return_token"].as_str().unwrap();
        format!("/payments/return/{merchant}/{payment}/{token}")
    }

    /// Presses a button of the page that a challenged payer was sent to.
    pub(crate) async fn challenge(&self, asked: &Value, button: &str) -> Seen {
        let url = asked["next_action"]["redirect_to_url"].as_str().unwrap();
        let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let (host, path) = (host.parse().unwrap(), format!("/{path}"));
        let form = [("content-type", "application/x-www-form-urlencoded")];
        client::send(host, "POST", &path, &form, format!("outcome={button}").as_bytes()).await
    }

    #[track_caller]
    fn good(seen: &Seen) -> Value {
        assert_eq!(seen.status, 200, "{seen:?}");
        seen.json()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        Self::good(&self.send("POST", path, &body).await)
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        Self::good(&self.send("GET", path, &Value::Null).await)
    }
}
