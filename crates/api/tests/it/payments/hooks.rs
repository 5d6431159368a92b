//! What a merchant is told, received by a real HTTP server.

use std::collections::VecDeque;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use baton_hooks::{Policy, Signature, SigningSecret};
use baton_store::Store;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::{Shop, card, payment, with};
use crate::client;
use crate::server::{OPERATOR, Server};

const HASH_KEY: &str = "the-key-of-the-shop-for-its-signatures";

/// What came to an endpoint.
#[derive(Clone, Debug)]
pub(super) struct Got {
    headers: HeaderMap,
    pub(super) body: String,
    answered: u16,
}

impl Got {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
    }

    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    pub(super) fn kind(&self) -> String {
        self.json()["event_type"].as_str().unwrap().to_owned()
    }
}

#[derive(Clone, Default)]
struct Inbox {
    got: Arc<Mutex<Vec<Got>>>,
    /// The next answers; then 200.
    script: Arc<Mutex<VecDeque<u16>>>,
}

/// A merchant's endpoint.
pub(super) struct Receiver {
    pub(super) addr: SocketAddr,
    inbox: Inbox,
}

async fn take(State(inbox): State<Inbox>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let answered = inbox.script.lock().unwrap().pop_front().unwrap_or(200);
    let body = String::from_utf8(body.to_vec()).unwrap();
    inbox.got.lock().unwrap().push(Got { headers, body, answered });
    StatusCode::from_u16(answered).unwrap()
}

impl Receiver {
    #[allow(clippy::disallowed_methods, reason = "it lives as long as its test")]
    pub(super) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let inbox = Inbox::default();
        let router = Router::new().fallback(take).with_state(inbox.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { addr, inbox }
    }

    pub(super) fn answer(&self, script: &[u16]) {
        self.inbox.script.lock().unwrap().extend(script);
    }

    pub(super) fn got(&self) -> Vec<Got> {
        self.inbox.got.lock().unwrap().clone()
    }

    /// What has come once there is as much.
    #[track_caller]
    pub(super) fn wait(&self, count: usize) -> impl Future<Output = Vec<Got>> {
        let inbox = self.inbox.clone();
        async move {
            let started = Instant::now();
            loop {
                let got = inbox.got.lock().unwrap().clone();
                if got.len() >= count {
                    return got;
                }
                let kinds: Vec<_> = got.iter().map(Got::kind).collect();
                assert!(started.elapsed() < Duration::from_secs(30), "{count} wanted: {kinds:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

fn anywhere() -> Policy {
    Policy { anywhere: true, allowed: vec![] }
}

async fn operate(shop: &Shop, method: &str, path: &str, body: &Value) -> client::Seen {
    shop.send_as(OPERATOR, method, path, body).await
}

/// Sets the account's `webhook_details`.
async fn listen(shop: &Shop, receiver: &Receiver, more: Value) {
    let details = with(json!({"webhook_url": format!("http://{}/hooks", receiver.addr)}), more);
    let change = json!({"webhook_details": details, "payment_response_hash_key": HASH_KEY});
    let seen = operate(shop, "POST", &format!("/accounts/{}", shop.merchant), &change).await;
    assert_eq!(seen.status, 200, "{seen:?}");
}

pub(super) async fn open(store: Option<Arc<dyn Store>>, retry_ms: &[i64]) -> (Shop, Receiver) {
    let shop = Shop::named(Server::telling(store, anywhere(), retry_ms).await, "shop").await;
    let receiver = Receiver::open().await;
    listen(&shop, &receiver, json!({})).await;
    (shop, receiver)
}

/// The same, whose payers have so long for a challenge, in milliseconds.
pub(super) async fn open_within(store: Option<Arc<dyn Store>>, payer_ms: i64) -> (Shop, Receiver) {
    let server = Server::telling_within(store, anywhere(), &[50; 16], payer_ms).await;
    let shop = Shop::named(server, "shop").await;
    let receiver = Receiver::open().await;
    listen(&shop, &receiver, json!({})).await;
    (shop, receiver)
}

pub(super) fn kinds(got: &[Got]) -> Vec<String> {
    got.iter().map(Got::kind).collect()
}

async fn events(shop: &Shop, filter: Value) -> Value {
    shop.post(&format!("/events/{}", shop.merchant), filter).await
}

#[tokio::test]
async fn every_transition_is_told_once_in_order_and_as_the_api_shows_it() {
    let (shop, receiver) = open(None, &[50; 16]).await;
    let made =
        shop.post("/payments", with(payment(1000), json!({"capture_method": "manual"}))).await;
    let id = made["payment_id"].as_str().unwrap().to_owned();
    let held = shop.get(&format!("/payments/{id}")).await;
    shop.post(&format!("/payments/{id}/capture"), json!({})).await;
    let taken = shop.get(&format!("/payments/{id}")).await;
    let refund = shop.post("/refunds", json!({"payment_id": id, "amount": 400})).await;
    let got = receiver.wait(5).await;
    let want = [
        "payment_processing",
        "payment_authorized",
        "payment_processing",
        "payment_succeeded",
        "refund_succeeded",
    ];
    assert_eq!(kinds(&got), want);
    // Each as it was then, in the form of the API's own answers.
    assert_eq!(got[1].json()["content"], json!({"type": "payment_details", "object": held}));
    assert_eq!(got[3].json()["content"], json!({"type": "payment_details", "object": taken}));
    let shown = shop.get(&format!("/refunds/{}", refund["refund_id"].as_str().unwrap())).await;
    assert_eq!(got[4].json()["content"], json!({"type": "refund_details", "object": shown}));
    for one in &got {
        let body = one.json();
        let members: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
        let want = [
            "content",
            "event_id",
            "event_type",
            "merchant_id",
            "processor_merchant_id",
            "timestamp",
        ];
        assert_eq!(members, want);
        assert_eq!(one.header("webhook-id"), body["event_id"], "one id");
        assert_eq!(one.header("content-type"), "application/json");
        let key = hmac::Key::new(hmac::HMAC_SHA512, HASH_KEY.as_bytes());
        let tag = hmac::sign(&key, one.body.as_bytes());
        let tag: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(one.header("x-webhook-signature-512"), tag);
        for secret in ["4111111111111111", "canary-connector-1", HASH_KEY] {
            assert!(!one.body.contains(secret), "{secret} in {}", one.body);
        }
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(receiver.got().len(), 5, "none twice");
    let listed = events(&shop, json!({})).await;
    assert_eq!(
        (listed["total_count"].as_u64(), listed["events"].as_array().unwrap().len()),
        (Some(5), 5)
    );
    assert!(
        listed["events"].as_array().unwrap().iter().all(|e| e["is_delivery_successful"] == true)
    );
}

/// The receiver refuses some; the other databases tell the same.
async fn in_order_through_failures(store: Option<Arc<dyn Store>>) {
    let (shop, receiver) = open(store, &[150; 16]).await;
    receiver.answer(&[500, 503, 302, 200, 429, 200, 404, 200]);
    let made = shop.post("/payments", payment(1000)).await;
    let id = made["payment_id"].as_str().unwrap().to_owned();
    shop.post("/refunds", json!({"payment_id": id, "amount": 400})).await;
    let got = receiver.wait(8).await;
    let want = ["payment_processing", "payment_succeeded", "refund_succeeded"];
    let told: Vec<_> = kinds(&got);
    assert_eq!(told, [[want[0]; 4].as_slice(), &[want[1]; 2], &[want[2]; 2]].concat());
    // Every try of an event has its id and its bytes, and a signature of its own.
    for group in [&got[0..4], &got[4..6], &got[6..8]] {
        assert!(group.iter().all(|one| one.body == group[0].body));
        assert!(group.iter().all(|one| one.header("webhook-id") == group[0].header("webhook-id")));
    }
    let first = got[0].header("webhook-id").to_owned();
    let path = format!("/events/{}/{first}/attempts", shop.merchant);
    let tries = shop.get(&path).await;
    let tries = tries.as_array().unwrap();
    let statuses: Vec<_> = tries.iter().map(|t| t["response"]["status_code"].as_u64()).collect();
    assert_eq!(statuses, [Some(500), Some(503), Some(302), Some(200)]);
    let causes: Vec<_> = tries.iter().map(|t| t["delivery_attempt"].as_str().unwrap()).collect();
    assert_eq!(
        causes,
        ["initial_attempt", "automatic_retry", "automatic_retry", "automatic_retry"]
    );
    assert_eq!(tries[0]["event_id"], first.as_str());
    assert!(tries.iter().all(|t| t["initial_attempt_id"] == first.as_str()));
    assert_eq!(tries[2]["response"]["error_message"], "redirects are not followed");
    assert_eq!(tries[3]["request"]["body"], got[3].body.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_endpoint_refuses_is_sent_again_and_nothing_overtakes_it() {
    in_order_through_failures(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_endpoint_refuses_is_sent_again_from_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("baton.db").display());
    let options = baton_store::OpenOptions { migrate: true, ..Default::default() };
    in_order_through_failures(Some(baton_store::open(&url, options).await.unwrap())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_endpoint_refuses_is_sent_again_from_postgres() {
    let Some(url) = super::crowd::postgres_database().await else {
        return writeln!(std::io::stderr(), "SKIPPED 1: no PostgreSQL").unwrap();
    };
    let options = baton_store::OpenOptions { migrate: true, ..Default::default() };
    in_order_through_failures(Some(baton_store::open(&url, options).await.unwrap())).await;
}

#[tokio::test]
async fn after_the_last_try_an_event_is_given_up_and_the_next_follows() {
    let (shop, receiver) = open(None, &[30, 30]).await;
    receiver.answer(&[500, 500, 500]);
    let made = shop.post("/payments", payment(1000)).await;
    let got = receiver.wait(4).await;
    assert_eq!(got[0].kind(), "payment_processing");
    assert_eq!((got[3].kind(), got[3].answered), ("payment_succeeded".to_owned(), 200));
    let undelivered = events(&shop, json!({"is_delivered": false})).await;
    assert_eq!(undelivered["total_count"], 1);
    let event = &undelivered["events"][0];
    assert_eq!(
        (&event["event_type"], &event["object_id"]),
        (&json!("payment_processing"), &made["payment_id"])
    );
    // By hand it goes out again, with the same id.
    let id = event["event_id"].as_str().unwrap();
    let path = format!("/events/{}/{id}/retry", shop.merchant);
    let retried = shop.post(&path, Value::Null).await;
    assert_eq!(
        (&retried["delivery_attempt"], &retried["is_delivery_successful"]),
        (&json!("manual_retry"), &json!(true))
    );
    assert_eq!(retried["response"]["status_code"], 200);
    let again = receiver.wait(5).await.pop().unwrap();
    assert_eq!((again.header("webhook-id"), &again.body), (id, &got[0].body));
    assert_eq!(events(&shop, json!({"is_delivered": false})).await["total_count"], 0);
}

#[tokio::test]
async fn gone_disables_an_endpoint_until_somebody_enables_it() {
    let (shop, receiver) = open(None, &[30; 16]).await;
    receiver.answer(&[410]);
    shop.post("/payments", payment(1000)).await;
    receiver.wait(1).await;
    let path = format!("/account/{}/webhook_endpoint", shop.merchant);
    let started = Instant::now();
    let seen = loop {
        let seen = shop.get(&path).await;
        if seen["enabled"] == false && seen["events_waiting"] == 0 {
            break seen;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{seen}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(seen["disabled_reason"], "the endpoint answered 410 Gone");
    shop.post("/payments", payment(2000)).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(receiver.got().len(), 1, "nothing more is sent");
    let kept = events(&shop, json!({"is_delivered": false})).await;
    assert_eq!(kept["total_count"], 4, "{kept}");
    let enabled = shop.post(&path, json!({"enabled": true})).await;
    assert_eq!(enabled["enabled"], true);
    let bad = shop.send("POST", &path, &json!({"enabled": false})).await;
    assert_eq!(bad.status, 400, "{bad:?}");
    shop.post("/payments", payment(3000)).await;
    let got = receiver.wait(3).await;
    let amounts: Vec<_> =
        got.iter().map(|one| one.json()["content"]["object"]["amount"].clone()).collect();
    assert_eq!(amounts, [1000, 3000, 3000]);
}

#[tokio::test]
async fn while_a_secret_is_replaced_both_sign() {
    let (shop, receiver) = open(None, &[30; 16]).await;
    let path = format!("/account/{}/webhook_secret", shop.merchant);
    let rotate = async |overlap: Option<u64>| {
        let body = overlap.map_or(json!({}), |s| json!({"overlap_seconds": s}));
        let answer = shop.post(&path, body).await;
        let secret = answer["secret"].as_str().unwrap();
        assert!(secret.starts_with("whsec_"), "{answer}");
        assert_eq!(answer["previous_valid_until"].is_null(), overlap == Some(0));
        SigningSecret::parse(secret).unwrap()
    };
    let signed = |one: &Got, secrets: &[SigningSecret]| {
        let at = one.header("webhook-timestamp").parse().unwrap();
        Signature::new(one.header("webhook-id"), at, one.body.as_bytes(), secrets).signature
    };
    let first = rotate(Some(0)).await;
    shop.post("/payments", payment(1000)).await;
    let got = receiver.wait(2).await;
    assert_eq!(got[1].header("webhook-signature"), signed(&got[1], std::slice::from_ref(&first)));
    let second = rotate(None).await;
    shop.post("/payments", payment(1000)).await;
    let got = receiver.wait(4).await;
    assert_eq!(got[3].header("webhook-signature"), signed(&got[3], &[second, first]));
    let third = rotate(Some(0)).await;
    shop.post("/payments", payment(1000)).await;
    let got = receiver.wait(6).await;
    assert_eq!(got[5].header("webhook-signature"), signed(&got[5], std::slice::from_ref(&third)));
    // The old one signs as long as was said, and no longer.
    let fourth = rotate(Some(1)).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    shop.post("/payments", payment(1000)).await;
    let got = receiver.wait(8).await;
    assert_eq!(got[7].header("webhook-signature"), signed(&got[7], &[fourth]));
    let bad = shop.send("POST", &path, &json!({"overlap_seconds": 99_999_999})).await;
    assert_eq!(bad.status, 400, "{bad:?}");
}

#[tokio::test]
async fn a_merchant_is_told_what_it_wants_to_know() {
    let (shop, receiver) = open(None, &[30; 16]).await;
    listen(&shop, &receiver, json!({"payment_created_enabled": false})).await;
    shop.post("/payments", payment(1000)).await;
    let statuses =
        json!({"payment_statuses_enabled": ["failed"], "refund_statuses_enabled": ["failure"]});
    receiver.wait(1).await;
    listen(&shop, &receiver, statuses).await;
    let made = shop.post("/payments", payment(1000)).await;
    shop.post("/refunds", json!({"payment_id": made["payment_id"], "amount": 400})).await;
    let declined = json!({"payment_method_data": card("4000000000000002")});
    shop.post("/payments", with(payment(1000), declined)).await;
    let got = receiver.wait(2).await;
    assert_eq!(kinds(&got), ["payment_succeeded", "payment_failed"]);
    assert_eq!(got[1].json()["content"]["object"]["status"], "failed");
    // An intent that is given up before anybody has paid.
    listen(&shop, &receiver, json!({})).await;
    let intent = shop.post("/payments", json!({"amount": 5, "currency": "USD"})).await;
    let id = intent["payment_id"].as_str().unwrap();
    let reason = json!({"cancellation_reason": "changed my mind"});
    shop.post(&format!("/payments/{id}/cancel"), reason).await;
    let got = receiver.wait(3).await;
    assert_eq!(got[2].kind(), "payment_cancelled");
    let object = &got[2].json()["content"]["object"];
    assert_eq!(*object, shop.get(&format!("/payments/{id}")).await);
    let listed = events(&shop, json!({"object_id": id})).await;
    assert_eq!(
        (&listed["total_count"], &listed["events"][0]["event_class"]),
        (&json!(1), &json!("payments"))
    );
}

#[tokio::test]
async fn mandates_are_told_of() {
    let (shop, receiver) = open(None, &[30; 16]).await;
    let mandate = json!({"setup_future_usage": "off_session", "mandate_data": {
        "customer_acceptance": {"acceptance_type": "offline"},
        "mandate_type": {"multi_use": {"amount": 5000, "currency": "USD"}}}});
    let made = shop.post("/payments", with(payment(1000), mandate)).await;
    let id = made["mandate_id"].as_str().unwrap().to_owned();
    let got = receiver.wait(3).await;
    assert_eq!(kinds(&got), ["payment_processing", "payment_succeeded", "mandate_active"]);
    let shown = shop.get(&format!("/mandates/{id}")).await;
    assert_eq!(got[2].json()["content"], json!({"type": "mandate_details", "object": shown}));
    shop.post(&format!("/mandates/revoke/{id}"), Value::Null).await;
    let got = receiver.wait(4).await;
    assert_eq!(got[3].kind(), "mandate_revoked");
    assert_eq!(got[3].json()["content"]["object"]["status"], "revoked");
}

#[tokio::test]
async fn an_endpoint_is_judged_when_it_is_set() {
    let server = Server::telling(None, Policy::default(), &[30]).await;
    let shop = Shop::named(server, "shop").await;
    let rows = [
        (json!({"webhook_url": "https://shop.example/hooks"}), None),
        (json!({"webhook_url": null}), None),
        (json!(null), None),
        (json!({"webhook_url": "http://shop.example/hooks"}), Some("must be https")),
        (json!({"webhook_url": "https://127.0.0.1/"}), Some("loopback")),
        (json!({"webhook_url": "https://[::ffff:10.0.0.1]/"}), Some("private")),
        (json!({"webhook_url": "https://169.254.169.254/"}), Some("link-local")),
        (json!({"webhook_url": "https://localhost/"}), Some("public host")),
        (json!({"webhook_url": 7}), Some("must be a URL")),
        (json!({"webhook_ulr": "x"}), Some("unknown field")),
        (json!({"payment_created_enabled": "yes"}), Some("must be true or false")),
        (json!({"payment_statuses_enabled": ["paid"]}), Some("no status")),
        (json!("https://shop.example"), Some("must be an object")),
    ];
    for (details, want) in rows {
        let change = json!({"webhook_details": details});
        let path = format!("/accounts/{}", shop.merchant);
        let seen = operate(&shop, "POST", &path, &change).await;
        match want {
            None => assert_eq!(seen.status, 200, "{details} {seen:?}"),
            Some(want) => {
                assert_eq!(seen.status, 400, "{details} {seen:?}");
                assert!(seen.body.contains(want), "{details} {seen:?}");
            }
        }
    }
}

#[tokio::test]
async fn events_are_listed_by_what_they_are() {
    let (shop, receiver) = open(None, &[30; 16]).await;
    let made = shop.post("/payments", payment(1000)).await;
    shop.post(
        "/refunds",
        json!({"payment_id": made["payment_id"], "amount": 400, "refund_id": "ref_1"}),
    )
    .await;
    receiver.wait(3).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let rows = [
        (json!({}), 3),
        (json!({"event_classes": ["refunds"]}), 1),
        (json!({"event_types": ["payment_succeeded", "refund_succeeded"]}), 2),
        (json!({"object_id": "ref_1"}), 1),
        (json!({"object_id": "nothing"}), 0),
        (json!({"is_delivered": true}), 3),
        (json!({"is_delivered": false}), 0),
        (json!({"profile_id": "nobody"}), 0),
        (
            json!({"created_after": "2020-01-01T00:00:00", "created_before": "2020-01-31T23:59:59"}),
            0,
        ),
        (json!({"created_after": "2020-01-01T00:00:00Z"}), 3),
    ];
    for (filter, want) in rows {
        let listed = events(&shop, filter.clone()).await;
        assert_eq!(listed["total_count"], want, "{filter} {listed}");
        assert_eq!(listed["events"].as_array().unwrap().len(), want);
    }
    let page = events(&shop, json!({"limit": 1, "offset": 1})).await;
    assert_eq!(
        (page["total_count"].as_u64(), page["events"].as_array().unwrap().len()),
        (Some(3), 1)
    );
    let own = shop.post("/events/profile/list", json!({})).await;
    assert_eq!(own["total_count"], 3);
    for bad in
        [json!({"created_after": "yesterday"}), json!({"event_types": ["a,b"]}), json!({"x": 1})]
    {
        let seen = shop.send("POST", &format!("/events/{}", shop.merchant), &bad).await;
        assert_eq!(seen.status, 400, "{bad} {seen:?}");
    }
    let missing = shop.send("GET", "/events/shop/evt_nothing/attempts", &Value::Null).await;
    assert_eq!(missing.status, 404, "{missing:?}");
    let missing = shop.send("POST", "/events/shop/evt_nothing/retry", &Value::Null).await;
    assert_eq!(missing.status, 404, "{missing:?}");
}
