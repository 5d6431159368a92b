//! The contract's states and guards over HTTP: every status that a payment can reach here, and whatever can be
//! asked of it. What is refused changes nothing, at the provider neither.

use baton_payments::status::IntentStatus;
use serde_json::{Value, json};

use super::{Shop, card, payment, with};
use crate::client::Seen;
use crate::server::Server;

/// What can be asked, in the order of the table's letters.
const OPERATIONS: [&str; 9] = [
    "update",
    "confirm",
    "capture",
    "cancel",
    "cancel_post_capture",
    "update_metadata",
    "refund",
    "incremental_authorization",
    "session_tokens",
];

/// A row per status, and per way to capture where that matters; a letter per operation. `x`: carried out. `.`: the
/// status does not allow it. `?`: the status does, and the payment's calls do not: what is in doubt has to be known
/// first, and what was captured by itself is refunded.
#[rustfmt::skip]
const ROWS: [(&str, &str, &str); 17] = [
    ("automatic",       "requires_payment_method",            "xx.x....x"),
    ("automatic",       "requires_confirmation",              "xx.x....x"),
    ("automatic",       "requires_customer_action",           "...x.x..x"),
    ("manual",          "requires_customer_action",           "...x.x..x"),
    ("automatic",       "processing",                         "........x"),
    ("manual",          "processing",                         "........x"),
    ("manual_multiple", "processing",                         "..?.....x"),
    ("manual",          "requires_capture",                   "..xx.x.xx"),
    ("manual_multiple", "requires_capture",                   "..xx.x.xx"),
    ("automatic",       "succeeded",                          "....xxx.."),
    ("manual",          "succeeded",                          "....?xx.."),
    ("automatic",       "failed",                             ".....x..."),
    ("manual",          "cancelled",                          "........x"),
    ("automatic",       "cancelled_post_capture",             "........x"),
    ("manual",          "partially_captured",                 "....?xx.x"),
    ("manual_multiple", "partially_captured_and_capturable",  "..x..x..x"),
    ("manual_multiple", "partially_captured_and_processing",  "..x.....x"),
];

/// No payment comes to these here: nothing is looked at by hand, what was approved in part is released, and who
/// may confirm after the session's end is a server.
const UNREACHED: [&str; 5] = [
    "requires_merchant_action",
    "partially_authorized_and_requires_capture",
    "conflicted",
    "expired",
    "review",
];

/// A card whose challenge waits.
const CHALLENGED: &str = "4000000000003220";

/// Amounts that the sandbox is told to leave without an answer.
const PENDING: i64 = 777_001;
const HANGING: i64 = 777_002;

/// Makes a payment that stands like this.
async fn bring(shop: &Shop, capture: &str, status: &str) -> Value {
    let held = |amount: i64| {
        // Of two payments in doubt with one card the second would be refused.
        let number = match capture {
            "automatic" => "4242424242424242",
            "manual" => "5555555555554444",
            _ => "4111111111111111",
        };
        with(
            payment(amount),
            json!({"capture_method": capture, "payment_method_data": card(number),
                "request_incremental_authorization": true}),
        )
    };
    let then = async |made: Value, operation: &str, body: Value| {
        let id = made["payment_id"].as_str().unwrap();
        shop.post(&format!("/payments/{id}/{operation}"), body).await
    };
    let open = json!({"amount": 1000, "currency": "USD", "capture_method": capture});
    match status {
        "requires_payment_method" => shop.post("/payments", open).await,
        "requires_confirmation" => {
            let method = json!({"payment_method_data": card("4242424242424242")});
            shop.post("/payments", with(open, method)).await
        }
        "requires_customer_action" => {
            let challenge = json!({"authentication_type": "three_ds",
                "return_url": "https://shop.example/done", "payment_method_data": card(CHALLENGED)});
            shop.post("/payments", with(held(1000), challenge)).await
        }
        "processing" => shop.post("/payments", held(PENDING)).await,
        "failed" => {
            let declined = json!({"payment_method_data": card("4000000000009995")});
            shop.post("/payments", with(held(1000), declined)).await
        }
        "requires_capture" => shop.post("/payments", held(1000)).await,
        "succeeded" if capture == "automatic" => shop.post("/payments", held(1000)).await,
        "succeeded" => then(shop.post("/payments", held(1000)).await, "capture", json!({})).await,
        "cancelled" => then(shop.post("/payments", held(1000)).await, "cancel", json!({})).await,
        "cancelled_post_capture" => {
            let made = shop.post("/payments", held(1000)).await;
            then(made, "cancel_post_capture", json!({})).await
        }
        "partially_captured" | "partially_captured_and_capturable" => {
            let made = shop.post("/payments", held(1000)).await;
            then(made, "capture", json!({"amount_to_capture": 400})).await
        }
        "partially_captured_and_processing" => {
            let made = shop.post("/payments", held(2_000_000)).await;
            let made = then(made, "capture", json!({"amount_to_capture": 400})).await;
            then(made, "capture", json!({"amount_to_capture": HANGING})).await
        }
        other => panic!("{other} is not reached"),
    }
}

/// Asks for an operation as a client would that does not know how the payment stands.
async fn ask(shop: &Shop, made: &Value, operation: &str) -> Seen {
    let id = made["payment_id"].as_str().unwrap();
    let of = |operation: &str| format!("/payments/{id}/{operation}");
    let (path, body) = match operation {
        "update" => (format!("/payments/{id}"), json!({"amount": 1100})),
        "confirm" => (of("confirm"), json!({"payment_method_data": card("4242424242424242")})),
        "capture" => (of("capture"), json!({"amount_to_capture": 300})),
        "incremental_authorization" => (of(operation), json!({"amount": 3_000_000})),
        "update_metadata" => (of("update_metadata"), json!({"metadata": {"a": 1}})),
        "refund" => ("/refunds".to_owned(), json!({"payment_id": id, "amount": 100})),
        "session_tokens" => {
            let body = json!({"payment_id": id, "client_secret": made["client_secret"],
                "wallets": []});
            ("/payments/session_tokens".to_owned(), body)
        }
        other => (of(other), json!({})),
    };
    shop.send("POST", &path, &body).await
}

/// How a payment stands with us, and everything in the provider's books.
async fn state(shop: &Shop, made: &Value) -> (Vec<Value>, Value) {
    let seen = shop.get(&format!("/payments/{}", made["payment_id"].as_str().unwrap())).await;
    let fields = ["status", "amount", "amount_capturable", "amount_received", "metadata"];
    (fields.iter().map(|name| seen[name].clone()).collect(), shop.server.books().await)
}

#[tokio::test]
async fn every_status_allows_what_the_contract_allows_and_nothing_else() {
    let shop = Shop::named(Server::impatient(300).await, "guards").await;
    let pending = json!({"verdict": {"pending": {"after_ms": 3_600_000, "then": null}}});
    shop.server.script(json!({"amount": PENDING}), pending).await;
    let hang = json!({"fault": {"commit": "never", "answer": "hang"}});
    shop.server.script(json!({"amount": HANGING}), hang).await;

    for (capture, status, letters) in ROWS {
        assert_eq!(letters.len(), OPERATIONS.len());
        let mut known = None;
        for (operation, letter) in OPERATIONS.iter().zip(letters.chars()) {
            let cell = format!("{capture} {status}: {operation}");
            let made = match known.take() {
                Some(made) => made,
                None => bring(&shop, capture, status).await,
            };
            assert_eq!(made["status"], status, "{cell}: {made}");
            let before = state(&shop, &made).await;
            let seen = ask(&shop, &made, operation).await;
            let code = seen.json()["error"]["code"].clone();
            match letter {
                'x' => assert_eq!(seen.status, 200, "{cell}: {seen:?}"),
                '.' => {
                    assert_eq!(seen.status, 400, "{cell}: {seen:?}");
                    assert!(code == "IR_14" || code == "IR_16", "{cell}: {seen:?}");
                    let said = &seen.json()["error"]["message"];
                    assert!(said.as_str().unwrap().contains(status), "{cell}: {said}");
                }
                _ => assert_eq!((seen.status, code), (400, json!("IR_16")), "{cell}: {seen:?}"),
            }
            if letter != 'x' {
                assert_eq!(state(&shop, &made).await, before, "{cell}");
                known = Some(made);
            }
        }
    }
    let reached = |status: &str| ROWS.iter().any(|row| row.1 == status);
    for status in IntentStatus::ALL.iter().map(|status| status.as_str()) {
        assert!(reached(status) != UNREACHED.contains(&status), "{status}");
    }
}
