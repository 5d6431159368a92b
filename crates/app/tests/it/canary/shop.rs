//! The Payments API with the card in every place that it may come in, and in some that it may not; a webhook endpoint that
//! keeps what it is sent, as a file beside the others.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use super::{CODE, NOT_A_CODE, NUMBER, PAYMENTS};
use crate::support::http::call;
use crate::support::{Place, Process};

/// What the endpoint was sent.
pub(super) const TOLD: &str = "told.log";

/// An endpoint that writes down all that comes.
fn endpoint(place: &Place) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let path = place.path(TOLD);
    std::thread::spawn(move || {
        let mut log = std::fs::File::create(path).unwrap();
        for mut socket in listener.incoming().map_while(Result::ok) {
            let mut come = Vec::new();
            let _ = socket.set_read_timeout(Some(Duration::from_millis(200)));
            read_some(&mut socket, &mut come);
            log.write_all(&come).unwrap();
            let _ = socket
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    port
}

/// Reads until nothing more comes, or the body is whole.
fn read_some(socket: &mut TcpStream, come: &mut Vec<u8>) {
    let mut part = [0; 65_536];
    while let Ok(count @ 1..) = socket.read(&mut part) {
        come.extend(&part[..count]);
        if come.ends_with(b"}") {
            break;
        }
    }
}

struct Shop {
    url: String,
    answers: String,
}

impl Shop {
    async fn send(&mut self, key: &str, method: &str, path: &str, body: &Value) -> Value {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let reply = call(&self.url, method, path, &[("api-key", key)], &text).await.unwrap();
        self.answers.push_str(&reply.text);
        reply.json
    }

    async fn good(&mut self, key: &str, path: &str, body: Value) -> Value {
        let seen = self.send(key, "POST", path, &body).await;
        assert!(seen["error"].is_null(), "{path}: {seen}");
        seen
    }
}

fn data() -> Value {
    json!({"card": {"card_number": NUMBER, "card_exp_month": "12", "card_exp_year": "2040",
        "card_holder_name": "Ada Lovelace", "card_cvc": CODE}})
}

fn order(more: Value) -> Value {
    let mut body = json!({"amount": 1234, "currency": "EUR", "customer_id": "ada", "return_url": "https://shop.example/"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("{name} of {value}")).to_owned()
}

/// Sends the card through the Payments API, and returns all answers.
pub(super) async fn exercise(server: &Process, place: &Place) -> String {
    let operator = text(&server.announced, "admin_api_key");
    let mut shop = Shop { url: server.url.clone(), answers: String::new() };
    let url = format!("http://127.0.0.1:{}/hooks", endpoint(place));
    let account = json!({"merchant_id": "shop", "webhook_details": {"webhook_url": url}});
    let public = text(&shop.good(&operator, "/accounts", account).await, "publishable_key");
    let key = json!({"name": "till", "expiration": "never"});
    let key = text(&shop.good(&operator, "/api_keys/shop", key).await, "api_key");
    let connector = json!({"connector_type": "payment_processor", "connector_name": "sandbox",
        "connector_account_details": {"auth_type": "HeaderKey", "api_key": "any"}});
    shop.good(&key, "/account/shop/connectors", connector).await;

    // At once; saved and used again; kept until a browser confirms; replaced; never confirmed.
    let (mut approved, mut saved) = (0, String::new());
    for no in 0..PAYMENTS {
        let paid = match no % 3 {
            0 => {
                let more = json!({"confirm": true, "payment_method_data": data(), "setup_future_usage": "off_session"});
                let paid = shop.good(&key, "/payments", order(more)).await;
                saved = text(&paid, "payment_method_id");
                paid
            }
            1 => {
                let kept = order(json!({"payment_method_data": data()}));
                let made = shop.good(&key, "/payments", kept).await;
                let path = format!("/payments/{}/confirm", text(&made, "payment_id"));
                let secret = json!({"client_secret": text(&made, "client_secret")});
                shop.good(&public, &path, secret).await
            }
            _ => {
                let made = shop.good(&key, "/payments", order(json!({}))).await;
                let path = format!("/payments/{}", text(&made, "payment_id"));
                shop.good(&key, &path, json!({"payment_method_data": data()})).await;
                let again = json!({"payment_token": saved.clone(), "card_cvc": CODE});
                shop.good(&key, &format!("{path}/confirm"), again).await
            }
        };
        approved += i64::from(paid["status"] == "succeeded");
    }
    assert_eq!(approved, PAYMENTS, "{}", shop.answers);
    let refund = json!({"card": CODE, "payment_id": "x"});
    shop.send(&key, "POST", "/refunds", &refund).await;
    for path in ["/payments/list?limit=50", "/customers/ada/payment_methods"] {
        shop.send(&key, "GET", path, &Value::Null).await;
    }
    mistakes(&mut shop, &key).await;
    shop.send(&key, "POST", "/events/shop", &json!({"limit": 100})).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    shop.answers
}

/// The card where it does not belong.
async fn mistakes(shop: &mut Shop, key: &str) {
    let spaced = "4000 0073 5190 2843";
    for field in
        ["description", "email", "name", "statement_descriptor_name", "payment_id", "customer_id"]
    {
        for number in [NUMBER, spaced] {
            let more = json!({field: number, "confirm": true, "payment_method_data": data()});
            let seen = shop.send(key, "POST", "/payments", &order(more)).await;
            assert!(!seen["error"].is_null(), "{field}: {seen}");
        }
    }
    let hidden = [
        json!({"metadata": {"card": NUMBER}}),
        json!({"metadata": {NUMBER: "card"}}),
        json!({"billing": {"address": {"line1": spaced}}}),
        json!({"order_details": [{"product_name": NUMBER}]}),
        json!({"return_url": format!("https://shop.example/?card={NUMBER}")}),
        json!({"currency": NUMBER}),
        json!({"payment_token": NUMBER}),
        json!({"card_cvc": NOT_A_CODE}),
        json!({"payment_method_data": {"card": {"card_number": NUMBER}}}),
        json!({"payment_method_data": {"wallet": {"card_number": NUMBER, "cvv": CODE}}}),
        json!({NUMBER: CODE}),
    ];
    for more in hidden {
        let seen = shop.send(key, "POST", "/payments", &order(more.clone())).await;
        assert!(!seen["error"].is_null(), "{more}: {seen}");
    }
    for (method, path) in
        [("GET", format!("/payments/{NUMBER}")), ("POST", format!("/refunds/{NUMBER}"))]
    {
        shop.send(key, method, &path, &Value::Null).await;
    }
}
