//! String tokens: kept, read, used in payments, forgotten; and what of them may be where.

use serde_json::{Value, json};

use crate::client::{self, Seen};
use crate::server::{OPERATOR, Server};
use crate::{CHARGE, edited, logs};

const CARD: &str = "4012888888881881";

async fn keep(server: &Server, payload: &str) -> String {
    let body = json!({ "payload": payload }).to_string();
    let seen = server.send("POST", "/StringTokens", body).await;
    assert_eq!(seen.status, 201, "{seen:?}");
    let token = seen.json()["token"].as_str().unwrap().to_owned();
    let place = format!("/StringTokens/{token}");
    assert_eq!(seen.header("location"), Some(place.as_str()), "{seen:?}");
    assert!(token.len() == 32 && token.bytes().all(|b| b.is_ascii_alphanumeric()), "{token}");
    token
}

async fn at(server: &Server, method: &str, token: &str, more: &str) -> Seen {
    server.send(method, &format!("/StringTokens/{token}{more}"), "").await
}

/// A charge with these in the card's number and CVV.
fn paying(number: &str, cvv: &str) -> String {
    let body = edited(CHARGE, "4111111111111111", number);
    edited(&body, "\"123\"", &format!("\"{cvv}\""))
}

async fn actions(server: &Server) -> Vec<Value> {
    let admin = [("x-api-key", OPERATOR)];
    let seen = client::send(server.addr, "GET", "/admin/v1/audit", &admin, b"").await.json();
    let rows = seen["data"].as_array().unwrap().iter();
    rows.map(|row| row["action"].clone())
        .filter(|a| a.as_str().unwrap().contains("token"))
        .collect()
}

#[tokio::test]
async fn a_text_is_kept_read_and_forgotten() {
    let server = Server::start().await;
    for payload in ["x", "{\"any\": \"JSON\"}", "grüße 日本", "12345", CARD] {
        let token = keep(&server, payload).await;
        let read = at(&server, "GET", &token, "").await;
        assert_eq!((read.status, read.header("cache-control")), (200, Some("no-store")));
        let read = read.json();
        assert_eq!((&read["clearPayload"], &read["payload"]), (&json!(payload), &json!(payload)));
        let meta = at(&server, "GET", &token, "/meta").await;
        assert_eq!((meta.status, &meta.json()["token"]), (200, &json!(token)));
        assert!(!meta.body.contains(payload) || payload == "x", "{meta:?}");
        let forgotten = at(&server, "DELETE", &token, "").await;
        assert_eq!((forgotten.status, forgotten.body.as_str()), (200, ""));
        for (method, more) in [("GET", ""), ("GET", "/meta"), ("DELETE", "")] {
            assert_eq!(at(&server, method, &token, more).await.status, 404, "{method} {more}");
        }
    }
    assert_eq!(&actions(&server).await[..2], [json!("token_deleted"), json!("token_read")]);
    for (body, message) in
        [("{}", "required"), ("{\"payload\": \"\"}", "empty"), ("{\"payload\": 1}", "string")]
    {
        let seen = server.send("POST", "/StringTokens", body).await;
        assert_eq!((seen.status, seen.fault().0.as_str()), (400, "payload"), "{seen:?}");
        assert!(seen.body.contains(message), "{seen:?}");
    }
    let long = json!({ "payload": "x".repeat(16_385) }).to_string();
    assert_eq!(server.send("POST", "/StringTokens", long).await.status, 400);
    keep(&server, &"x".repeat(16_384)).await;
    for token in ["short", "with-dash-with-dash-with-dash-with"] {
        assert_eq!(at(&server, "GET", token, "").await.status, 404);
    }
}

#[tokio::test]
async fn the_longest_text_is_kept_however_json_spells_it() {
    let server = Server::start().await;
    for (spelled, meant) in [("x", "x"), ("日", "日"), ("\\u65e5", "日"), ("\\ud83e\\udde6", "🧦")]
    {
        let body = |length| format!("{{\"payload\": \"{}\"}}", spelled.repeat(length));
        let seen = server.send("POST", "/StringTokens", body(16_384)).await;
        assert_eq!(seen.status, 201, "{spelled}: {}", seen.body);
        let token = seen.json()["token"].as_str().unwrap().to_owned();
        let read = at(&server, "GET", &token, "").await.json();
        assert!(read["clearPayload"] == json!(meant.repeat(16_384)), "{spelled}");
        let seen = server.send("POST", "/StringTokens", body(16_385)).await;
        assert_eq!((seen.status, seen.fault().0.as_str()), (400, "payload"), "{spelled}");
    }
    let seen = server.send("POST", "/StringTokens", " ".repeat(250_000)).await;
    assert_eq!(seen.status, 413, "{seen:?}");
}

#[tokio::test]
async fn a_stored_card_pays_as_often_as_it_is_named_and_a_cvv_once() {
    let server = Server::start().await;
    let (number, cvv) = (keep(&server, CARD).await, keep(&server, "739").await);
    let body = paying(&format!("@{number}"), &format!("@{cvv}"));
    // A mistake elsewhere uses up nothing.
    let mistaken = edited(&body, "10.23", "-1");
    assert_eq!(server.operate("charge", mistaken).await.status, 400);
    let seen = server.operate("charge", &body).await;
    assert_eq!((seen.status, &seen.json()["success"]), (202, &json!(true)), "{seen:?}");
    let again = server.operate("charge", &body).await;
    assert_eq!((again.status, again.fault().0.as_str()), (400, "card.cvv"), "used once: {again:?}");
    assert_eq!(at(&server, "GET", &cvv, "").await.status, 404);
    let bare = paying(&format!("@{number}"), "737");
    assert_eq!(server.operate("authorize", &bare).await.status, 202);
    let beside = edited(
        &edited(&bare, &format!("\"cardNumber\": \"@{number}\","), ""),
        "\"myRef\"",
        &format!("\"cardToken\": \"{number}\", \"myRef\""),
    );
    let seen = server.operate("charge", beside).await;
    assert_eq!(seen.status, 202, "{seen:?}");
    assert_eq!(server.at_provider().await, 3);
    let used = actions(&server).await.iter().filter(|a| **a == "token_used").count();
    assert_eq!(used, 5, "the number three times and once in vain, the CVV once");
}

#[tokio::test]
async fn a_repeat_with_a_used_cvv_is_answered_as_the_first_was() {
    let server = Server::start().await;
    let (number, cvv) = (keep(&server, CARD).await, keep(&server, "739").await);
    let body = paying(&format!("@{number}"), &format!("@{cvv}"));
    let send = async |body: &str| {
        let headers = [("idempotency-key", "order-1")];
        server.send_with("POST", "/PaymentGateway/charge", &headers, body).await
    };
    let first = send(&body).await;
    assert_eq!(first.status, 202, "{first:?}");
    let second = send(&body).await;
    assert_eq!(
        (second.status, second.header("idempotent-replayed")),
        (202, Some("true")),
        "{second:?}"
    );
    assert_eq!(first.json()["transactionId"], second.json()["transactionId"]);
    assert_eq!(server.at_provider().await, 1);
    let other = send(&edited(&body, "10.23", "11.23")).await;
    assert_eq!(other.status, 422, "{other:?}");
}

#[tokio::test]
async fn a_token_opens_only_for_the_mode_and_the_merchant_that_made_it() {
    let server = Server::start().await;
    let token = keep(&server, CARD).await;
    let live = server.make_key(&[baton_engine::keys::Scope::Gateway], false, None).await;
    let path = format!("/StringTokens/{token}");
    let seen = client::send(server.addr, "GET", &path, &[("x-api-key", &live)], b"").await;
    assert_eq!(seen.status, 404, "a live key knows nothing of the sandbox's: {seen:?}");
    assert_eq!(at(&server, "GET", &token, "").await.status, 200);
}

#[tokio::test]
async fn what_is_kept_stands_in_no_log_and_in_no_payment() {
    let server = Server::start().await;
    let (number, cvv) = (keep(&server, CARD).await, keep(&server, "7391").await);
    at(&server, "GET", &number, "").await;
    server.operate("charge", paying(&format!("@{number}"), "739")).await;
    at(&server, "GET", &cvv, "").await;
    let (log, stored) = (logs::text(), format!("{:?}", server.store));
    assert!(stored.contains("1881"), "the masked card is stored");
    for secret in [CARD, &number, &cvv] {
        assert!(!log.contains(secret) && !stored.contains(secret), "{secret}");
    }
}
