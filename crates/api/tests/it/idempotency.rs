//! One key, one request: repeats are answered, not repeated.

use std::time::Duration;

use baton_engine::{EngineConfig, audit::Actor, keys::Scope, merchants};
use serde_json::Value;

use crate::client::{self, Seen};
use crate::server::{Server, operation_route};
use crate::{CHARGE, change, charge, edited};

const CARD: &str = "4111111111111111";

impl Server {
    async fn keyed(&self, key: &str, operation: &str, body: &str) -> Seen {
        let (method, path) = operation_route(operation);
        self.send_with(method, &path, &[("Idempotency-Key", key)], body).await
    }
}

fn is_replay(seen: &Seen) -> bool {
    match seen.header("idempotent-replayed") {
        None => false,
        Some(value) => {
            assert_eq!(value, "true");
            true
        }
    }
}

fn without_times(seen: &Seen) -> Value {
    let mut result = seen.json();
    for attempt in result["attempts"].as_array_mut().unwrap() {
        attempt["durationMs"] = Value::Null;
    }
    result
}

#[tokio::test]
async fn a_repeat_gets_the_same_answer_however_it_is_written() {
    let server = Server::start().await;
    let first = server.keyed("k-1", "charge", CHARGE).await;
    assert_eq!((first.status, is_replay(&first)), (202, false), "{first:?}");
    let name = r#""paymentGatewayAccountName": "acme", "fallbackUpgs": []"#;
    let compact = CHARGE.replace(['\n', ' '], "").replace("AdaLovelace", "Ada Lovelace");
    #[rustfmt::skip]
    let same = [
        CHARGE.to_owned(),
        compact,
        edited(CHARGE, "\"amount\"", "\"AMOUNT\""),
        edited(CHARGE, "10.23", "10.230"),
        edited(CHARGE, "10.23", "1023e-2"),
        edited(CHARGE, "\"USD\"", "\"usd\""),
        edited(CHARGE, CARD, "4111 1111 1111 1111"),
        edited(CHARGE, "2090", "90"),
        edited(CHARGE, "\"order-1\"", "\" order-1 \""),
        edited(CHARGE, "\"123\"", "\"999\""),
        edited(CHARGE, "\"cvv\": \"123\", ", ""),
        edited(CHARGE, "\"myRef\"", "\"userToken\": null, \"myRef\""),
        edited(CHARGE, "\"outcomeMode\": \"resolve_first\",", ""),
        edited(CHARGE, "\"myRef\"", "\"nobody reads this\": 1, \"myRef\""),
        edited(CHARGE, name, "\"paymentGatewayAccountNames\": [\"acme\"]"),
    ];
    for body in &same {
        let seen = server.keyed("k-1", "charge", body).await;
        assert!(is_replay(&seen), "{body}\n{seen:?}");
        assert_eq!((seen.status, without_times(&seen)), (202, without_times(&first)), "{body}");
    }
    assert_eq!(server.state().await, (1, 1, 1));
}

#[tokio::test]
async fn another_request_under_the_same_key_is_refused() {
    let server = Server::start().await;
    let first = server.keyed("k-1", "charge", CHARGE).await;
    assert_eq!(first.status, 202);
    #[rustfmt::skip]
    let others = [
        ("charge",    edited(CHARGE, "10.23", "10.24")),
        ("charge",    edited(CHARGE, "\"USD\"", "\"EUR\"")),
        ("charge",    edited(CHARGE, CARD, "4242424242424242")),
        ("charge",    edited(CHARGE, "2090", "2091")),
        ("charge",    edited(CHARGE, "Ada", "Ida")),
        ("charge",    edited(CHARGE, "order-1", "order-2")),
        ("charge",    edited(CHARGE, "\"order-1\"", "null")),
        ("charge",    edited(CHARGE, "Socks", "Shoes")),
        ("charge",    edited(CHARGE, "\"myRef\"", "\"userToken\": \"tok_1\", \"myRef\"")),
        ("charge",    edited(CHARGE, "resolve_first", "stop")),
        ("charge",    edited(CHARGE, "\"acme\"", "\"acme-a\"")),
        ("charge",    edited(CHARGE, "[]", "[{\"paymentGatewayAccountName\": \"acme-a\"}]")),
        ("authorize", CHARGE.to_owned()),
        ("tokenize",  CHARGE.to_owned()),
        ("refund",    change(first.json()["gatewayReference"].as_str().unwrap(), "10.23", "USD")),
    ];
    for (operation, body) in &others {
        let seen = server.keyed("k-1", operation, body).await;
        assert_eq!(seen.status, 422, "{operation} {body}\n{seen:?}");
        let (field, message) = seen.fault();
        assert_eq!(field, "Idempotency-Key");
        assert_eq!(message, "The idempotency key has been used for another request.");
    }
    assert_eq!(server.state().await, (1, 1, 1));
}

#[tokio::test]
async fn keys_have_limits_and_belong_to_one_merchant() {
    let mut server = Server::start().await;
    let body = charge("1", "USD", CARD, &["test-success"]);
    let (longest, too_long) = ("k".repeat(255), "k".repeat(256));
    #[rustfmt::skip]
    let rows = [
        ("k",                                       202, ""),
        ("with blanks inside",                      202, ""),
        ("1b4e28ba-2fa1-11d2-883f-0016d3cca427",    202, ""),
        (&longest,                                  202, ""),
        (&too_long,                                 400, "1 to 255"),
        ("",                                        400, "1 to 255"),
        ("   ",                                     400, "1 to 255"),
        ("größe",                                   400, "visible characters"),
        ("4111111111111111",                        400, "It holds a card number"),
        ("order 4111-1111-1111-1111",               400, "It holds a card number"),
    ];
    for (key, status, fragment) in rows {
        let seen = server.keyed(key, "charge", &body).await;
        assert_eq!(seen.status, status, "{key:?} {seen:?}");
        if status == 400 {
            let (field, message) = seen.fault();
            assert!(field == "Idempotency-Key" && message.contains(fragment), "{key:?} {message}");
        }
    }
    assert_eq!(server.stored().await, 4);
    let stranger =
        merchants::ensure(server.engine.audit(), Actor::System, "stranger").await.unwrap();
    server.merchant = stranger;
    let key = server.make_key(&[Scope::Gateway], true, None).await;
    let headers = [("x-api-key", key.as_str()), ("idempotency-key", "k")];
    let other = charge("2", "USD", CARD, &["test-success"]);
    let seen =
        client::send(server.addr, "POST", "/PaymentGateway/charge", &headers, other.as_bytes())
            .await;
    assert_eq!((seen.status, is_replay(&seen)), (202, false), "{seen:?}");
}

#[tokio::test]
async fn a_decline_is_kept_and_a_refusal_before_processing_is_not() {
    let server = Server::start().await;
    let declined = charge("10", "USD", "4000000000009995", &["acme"]);
    let first = server.keyed("declined", "charge", &declined).await;
    let again = server.keyed("declined", "charge", &declined).await;
    assert_eq!((first.status, again.status, is_replay(&again)), (409, 409, true));
    assert_eq!(without_times(&first), without_times(&again));
    let refused = charge("10", "USD", CARD, &["test-failure"]);
    let first = server.keyed("refused", "charge", &refused).await;
    let again = server.keyed("refused", "charge", &refused).await;
    assert_eq!((first.status, again.status, is_replay(&again)), (503, 503, false));
    assert_ne!(first.json()["transactionId"], again.json()["transactionId"]);
    let better = charge("10", "USD", CARD, &["test-success"]);
    let seen = server.keyed("refused", "charge", &better).await;
    assert_eq!((seen.status, is_replay(&seen)), (202, false), "the key is free again: {seen:?}");
    for _ in 0..2 {
        let bad = edited(&better, "10", "-10");
        assert_eq!(server.keyed("bad", "charge", &bad).await.status, 400);
    }
    let seen = server.keyed("bad", "charge", &better).await;
    assert_eq!((seen.status, is_replay(&seen)), (202, false), "a 400 takes no key: {seen:?}");
}

#[tokio::test]
async fn captures_voids_and_refunds_are_done_once() {
    let server = Server::start().await;
    let hold = edited(CHARGE, "10.23", "50.00");
    let reference = async |operation, body: &str| {
        let seen = server.operate(operation, body).await;
        seen.json()["gatewayReference"].as_str().unwrap().to_owned()
    };
    let (first, second) =
        (reference("authorize", &hold).await, reference("authorize", &hold).await);
    let rows = [
        ("capture", change(&first, "20", "USD")),
        ("capture", change(&first, "5", "USD")),
        ("refund", change(&first, "15", "USD")),
        ("void", change(&second, "50", "USD")),
    ];
    for (no, (operation, body)) in rows.iter().enumerate() {
        let key = format!("change-{no}");
        let once = server.keyed(&key, operation, body).await;
        assert_eq!((once.status, is_replay(&once)), (202, false), "{operation} {once:?}");
        let respelled = edited(body, "\"USD\"", "\"usd\", \"myRef\": \"x\"");
        let twice = server.keyed(&key, operation, &respelled).await;
        assert_eq!((twice.status, is_replay(&twice)), (202, true), "{operation} {twice:?}");
        assert_eq!(without_times(&once), without_times(&twice));
        let more = edited(body, "\"amount\": ", "\"amount\": 1");
        let other = server.keyed(&key, operation, &more).await;
        let want = if *operation == "void" { 400 } else { 422 };
        assert_eq!(other.status, want, "{operation} {other:?}");
    }
    let left = server.operate("refund", change(&first, "10.01", "USD")).await.json();
    assert_eq!(left["operationResultDescription"], "The amount exceeds what is there: 10.00 USD.");
    let status = format!(r#"{{"refTransId": "{first}"}}"#);
    for _ in 0..2 {
        let seen = server.keyed("change-0", "status", &status).await;
        assert_eq!((seen.status, is_replay(&seen)), (200, false), "a look-up takes no key");
    }
}

#[tokio::test]
async fn a_repeat_of_a_running_request_waits_for_it_or_is_told_so() {
    let config = EngineConfig { repeat_wait_ms: 400, ..EngineConfig::default() };
    let server = Server::with(config).await;
    // The sandbox answers after one second.
    let slow = charge("9100.02", "USD", CARD, &["acme"]);
    let first = server.keyed("slow", "charge", &slow);
    let second = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let early = server.keyed("slow", "charge", &slow).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        (early, server.keyed("slow", "charge", &slow).await)
    };
    let (first, (early, late)) = tokio::join!(first, second);
    assert_eq!((first.status, is_replay(&first)), (202, false));
    let told = early.json();
    assert_eq!((early.status, &told["reason"]), (202, &"in_progress".into()));
    assert_eq!(
        (&told["operationResultCode"], &told["success"]),
        (&"Accepted".into(), &false.into())
    );
    assert_eq!((late.status, is_replay(&late)), (202, true), "{late:?}");
    assert_eq!(without_times(&late), without_times(&first));
    assert_eq!(server.at_provider().await, 1);
}
