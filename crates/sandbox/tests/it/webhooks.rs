//! Webhooks in every dialect, received by a server of the test's own and verified there.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::client::{CARD, Sandbox, Seen, payment};

/// Answers each request with the next of the given statuses, then 200, and keeps what it got.
struct Receiver {
    addr: SocketAddr,
    got: Arc<Mutex<Vec<Seen>>>,
}

impl Receiver {
    #[allow(clippy::disallowed_methods, reason = "the test's own server")]
    async fn start(mut statuses: Vec<u16>) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let got: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let kept = got.clone();
        statuses.reverse();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut bytes = Vec::new();
                let mut buffer = [0u8; 4096];
                loop {
                    let length = stream.read(&mut buffer).await.unwrap_or(0);
                    if length == 0 {
                        break;
                    }
                    bytes.extend_from_slice(&buffer[..length]);
                    while let Some((seen, rest)) = whole(&bytes) {
                        bytes = rest;
                        let status = statuses.pop().unwrap_or(200);
                        kept.lock().unwrap().push(Seen { status, ..seen });
                        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                }
            }
        });
        Receiver { addr, got }
    }

    async fn subscribe(&self, sandbox: &Sandbox, dialect: &str, secret: &str, delivery: Value) {
        let url = format!("http://{}/hook?x=1", self.addr);
        let body = json!({"url": url, "secret": secret, "dialect": dialect, "delivery": delivery});
        let seen = sandbox.admin("PUT", "/admin/accounts/acme/webhook", body).await;
        assert_eq!(seen.status, 204, "{seen:?}");
    }

    /// Waits for this many, then a moment longer for more.
    async fn take(&self, count: usize) -> Vec<Seen> {
        for _ in 0..200 {
            if self.got.lock().unwrap().len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_millis(60)).await;
        let got = std::mem::take(&mut *self.got.lock().unwrap());
        assert_eq!(got.len(), count, "{got:#?}");
        got
    }
}

fn whole(bytes: &[u8]) -> Option<(Seen, Vec<u8>)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, rest) = text.split_once("\r\n\r\n")?;
    let mut seen = Seen { status: 0, head: head.to_owned(), body: String::new() };
    let length: usize = seen.header("content-length")?.parse().ok()?;
    let body = rest.get(..length)?;
    seen.body = body.to_owned();
    Some((seen, rest.as_bytes()[length..].to_vec()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn mac(key: &[u8], data: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, data.as_bytes()).as_ref().to_vec()
}

fn verify_header(seen: &Seen, header: &str, secret: &str) {
    let value = seen.header(header).unwrap();
    let (time, signature) = value.split_once(",v1=").unwrap();
    let time = time.strip_prefix("t=").unwrap();
    let expected = hex(&mac(secret.as_bytes(), &format!("{time}.{}", seen.body)));
    assert_eq!(signature, expected);
    assert_ne!(signature, hex(&mac(b"other", &format!("{time}.{}", seen.body))));
}

fn names(seen: &[Seen]) -> Vec<String> {
    seen.iter().map(|seen| seen.json()["type"].as_str().unwrap().to_owned()).collect()
}

async fn pay(sandbox: &Sandbox, capture: bool, number: &str) -> String {
    let (_, paid) =
        sandbox.post("/sandbox/acme/payments", payment("r1", 500, capture, number)).await;
    format!("/sandbox/acme/payments/{}", paid["id"].as_str().unwrap())
}

#[tokio::test]
async fn own_events_are_signed_and_in_order() {
    let sandbox = Sandbox::memory().await;
    let receiver = Receiver::start(vec![]).await;
    receiver.subscribe(&sandbox, "own", "whsec_1", json!({})).await;
    let held = pay(&sandbox, false, CARD).await;
    sandbox.post(&format!("{held}/captures"), json!({"reference": "c1"})).await;
    sandbox.post(&format!("{held}/refunds"), json!({"amount": 5})).await;
    pay(&sandbox, true, "4000000000009995").await;
    let got = receiver.take(4).await;
    let expected =
        ["payment.authorized", "capture.succeeded", "refund.succeeded", "payment.declined"];
    assert_eq!(names(&got), expected);
    for seen in &got {
        verify_header(seen, "sandbox-signature", "whsec_1");
        assert!(seen.head.starts_with("POST /hook?x=1 "));
        assert!(!seen.body.contains(CARD));
    }
    assert_eq!(got[1].json()["operation"]["reference"], "c1");
    assert_eq!(got[1].json()["payment"]["refunded"], 0, "as it was just after");
    assert_eq!(got[2].json()["payment"]["refunded"], 5);
}

#[tokio::test]
async fn stripe_events_are_signed_as_stripe_signs_and_equal_to_the_listed_ones() {
    let sandbox = Sandbox::memory().await;
    let receiver = Receiver::start(vec![]).await;
    receiver.subscribe(&sandbox, "stripe", "whsec_2", json!({})).await;
    let form =
        "amount=500&currency=usd&capture_method=manual&confirm=true&payment_method=pm_card_visa";
    let made = sandbox.stripe("/payment_intents", None, Some(form)).await.json();
    let cancel = format!("/payment_intents/{}/cancel", made["id"].as_str().unwrap());
    sandbox.stripe(&cancel, None, Some("")).await;
    let got = receiver.take(5).await;
    let expected = [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.amount_capturable_updated",
        "charge.refunded",
        "payment_intent.canceled",
    ];
    assert_eq!(names(&got), expected);
    got.iter().for_each(|seen| verify_header(seen, "stripe-signature", "whsec_2"));
    let listed = sandbox.stripe("/events?limit=100", None, None).await.json();
    let mut told: Vec<Value> = got.iter().map(Seen::json).collect();
    told.reverse();
    assert_eq!(listed["data"], json!(told));
}

#[tokio::test]
async fn adyen_notifications_are_signed_as_adyen_signs() {
    let key = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
    let digits: Vec<u32> = key.chars().map(|c| c.to_digit(16).unwrap()).collect();
    let key_bytes: Vec<u8> =
        digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect();
    let sandbox = Sandbox::memory().await;
    let receiver = Receiver::start(vec![]).await;
    receiver.subscribe(&sandbox, "adyen", key, json!({})).await;
    let account = json!({"merchantAccount": "Shop"});
    let body = |reference: &str, manual: bool| {
        json!({
            "merchantAccount": "Shop", "reference": reference, "returnUrl": "http://shop.test/",
            "amount": {"value": 500, "currency": "EUR"},
            "additionalData": {"manualCapture": manual.to_string()},
            "paymentMethod": {"type": "scheme", "number": CARD, "expiryMonth": "03",
                "expiryYear": "2090", "cvc": "737"},
        })
    };
    let held = sandbox.adyen("/payments", None, body("r1", true)).await.json();
    let path = format!("/payments/{}", held["pspReference"].as_str().unwrap());
    let mut capture = account.clone();
    capture["amount"] = json!({"value": 501, "currency": "EUR"});
    sandbox.adyen(&format!("{path}/captures"), None, capture).await;
    sandbox.adyen(&format!("{path}/cancels"), None, account.clone()).await;
    let sold = sandbox.adyen("/payments", None, body("r2", false)).await.json();
    let path = format!("/payments/{}", sold["pspReference"].as_str().unwrap());
    sandbox.adyen(&format!("{path}/reversals"), None, account.clone()).await;
    sandbox.adyen("/payments", None, body("r3", true)).await;
    let mut by_reference = account;
    let mut told = Vec::new();
    for reference in ["r3", "nothing"] {
        by_reference["paymentReference"] = json!(reference);
        told.push(sandbox.adyen("/cancels", None, by_reference.clone()).await.json());
    }
    let got = receiver.take(8).await;
    let items: Vec<Value> = got
        .iter()
        .map(|seen| seen.json()["notificationItems"][0]["NotificationRequestItem"].clone())
        .collect();
    let rows = [
        ("AUTHORISATION", "true", "r1"),
        ("CAPTURE", "false", "r1"),
        ("CANCELLATION", "true", "r1"),
        ("AUTHORISATION", "true", "r2"),
        ("CANCEL_OR_REFUND", "true", "r2"),
        ("AUTHORISATION", "true", "r3"),
        ("TECHNICAL_CANCEL", "true", "r3"),
        ("TECHNICAL_CANCEL", "false", "nothing"),
    ];
    for (item, (code, success, reference)) in items.iter().zip(rows) {
        assert_eq!(
            (&item["eventCode"], &item["success"]),
            (&json!(code), &json!(success)),
            "{item}"
        );
        assert_eq!(item["merchantReference"], reference);
        let text = |name: &str| item[name].as_str().unwrap_or("").to_owned();
        let signed = [
            text("pspReference"),
            text("originalReference"),
            text("merchantAccountCode"),
            text("merchantReference"),
            item["amount"]["value"].to_string(),
            item["amount"]["currency"].as_str().unwrap().to_owned(),
            text("eventCode"),
            text("success"),
        ]
        .join(":");
        let signature = item["additionalData"]["hmacSignature"].as_str().unwrap();
        assert_eq!(unbase64(signature), mac(&key_bytes, &signed));
    }
    assert_eq!(items[1]["originalReference"], held["pspReference"]);
    assert_eq!(items[4]["additionalData"]["modification.action"], "refund");
    assert_eq!(items[6]["pspReference"], told[0]["pspReference"]);
    assert_eq!(items[7]["pspReference"], told[1]["pspReference"]);
}

fn unbase64(text: &str) -> Vec<u8> {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: String = text
        .trim_end_matches('=')
        .chars()
        .map(|c| format!("{:06b}", alphabet.find(c).unwrap()))
        .collect();
    let bytes = bits.as_bytes().chunks_exact(8);
    bytes.map(|b| u8::from_str_radix(std::str::from_utf8(b).unwrap(), 2).unwrap()).collect()
}

#[tokio::test]
async fn a_refused_event_is_sent_again() {
    let sandbox = Sandbox::memory().await;
    let receiver = Receiver::start(vec![500]).await;
    receiver.subscribe(&sandbox, "own", "s", json!({})).await;
    pay(&sandbox, true, CARD).await;
    let got = receiver.take(2).await;
    assert_eq!((got[0].status, got[1].status), (500, 200));
    assert_eq!(got[0].body, got[1].body);
}

#[tokio::test]
async fn deliveries_are_late_doubled_disordered_or_dropped_as_asked() {
    let sandbox = Sandbox::memory().await;
    let receiver = Receiver::start(vec![]).await;
    receiver.subscribe(&sandbox, "own", "s", json!({"delay_ms": 300, "duplicate": 1})).await;
    pay(&sandbox, true, CARD).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(receiver.got.lock().unwrap().len(), 0, "not yet");
    let got = receiver.take(2).await;
    assert_eq!(got[0].json(), got[1].json());

    receiver.subscribe(&sandbox, "own", "s", json!({"disorder": true})).await;
    let held = pay(&sandbox, false, CARD).await;
    sandbox.post(&format!("{held}/captures"), json!({})).await;
    let disordered = names(&receiver.take(2).await);
    assert_eq!(disordered, ["capture.succeeded", "payment.authorized"]);

    receiver.subscribe(&sandbox, "own", "s", json!({"drop": true})).await;
    pay(&sandbox, true, CARD).await;
    receiver.take(0).await;
}

#[tokio::test]
async fn an_endpoint_that_cannot_work_is_refused() {
    let sandbox = Sandbox::memory().await;
    let wrong: HashSet<&str> = [
        r#"{"url":"https://127.0.0.1/","secret":"s","dialect":"own"}"#,
        r#"{"url":"http://127.0.0.1/","secret":"not hex","dialect":"adyen"}"#,
        r#"{"url":"http://127.0.0.1/","secret":"s","dialect":"klingon"}"#,
        r#"{"url":"http://127.0.0.1/","secret":"s","dialect":"own","delivery":{"late":1}}"#,
    ]
    .into();
    for body in wrong {
        let seen = sandbox.send("PUT", "/admin/accounts/acme/webhook", &[], body).await;
        assert_eq!(seen.status, 400, "{body}");
    }
}
