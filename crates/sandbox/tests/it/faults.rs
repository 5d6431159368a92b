//! Every fault as a raw client sees it, and what the books say afterwards.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{CARD, Sandbox, Seen, challenge_of, payment, request};

const PAYMENTS: &str = "/sandbox/acme/payments";

/// The amount whose description starts with this text.
fn amount_of(description: &str) -> i64 {
    let codes = baton_sandbox::codes();
    let row = codes.amounts.iter().find(|row| row.description.starts_with(description));
    row.unwrap_or_else(|| panic!("no amount for {description}")).amount
}

async fn pay(sandbox: &Sandbox, key: &str, amount: i64) -> Option<Seen> {
    let body = payment("r", amount, true, CARD).to_string();
    let headers = [("authorization", "Bearer t"), ("idempotency-key", key)];
    sandbox.try_send(&request("POST", PAYMENTS, &headers, &body)).await
}

async fn booked(sandbox: &Sandbox) -> Vec<Value> {
    sandbox.get("/sandbox/acme/payments?reference=r").await["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_fault_before_the_commit_leaves_the_books_empty_and_the_key_free() {
    for (description, status) in [
        ("500, nothing", Some(500)),
        ("503, nothing", Some(503)),
        ("429 with", Some(429)),
        ("closes the connection, nothing", None),
    ] {
        let sandbox = Sandbox::memory().await;
        let seen = pay(&sandbox, "k", amount_of(description)).await;
        assert_eq!(seen.as_ref().map(|seen| seen.status), status, "{description}");
        if status == Some(429) {
            assert_eq!(seen.unwrap().header("retry-after"), Some("1"));
        }
        assert_eq!(booked(&sandbox).await, Vec::<Value>::new(), "{description}");
        let retried = pay(&sandbox, "k", 100).await.unwrap();
        assert_eq!(retried.status, 201, "the key is free after: {description}");
    }
}

#[tokio::test]
async fn a_fault_after_the_commit_hides_a_charge_that_the_key_brings_back() {
    for (description, status) in [
        ("500 after", Some(500)),
        ("503 after", Some(503)),
        ("commits, then closes", None),
        ("commits, then answers 200 with", Some(200)),
        ("commits, then sends half", Some(201)),
    ] {
        let sandbox = Sandbox::memory().await;
        let amount = amount_of(description);
        let seen = pay(&sandbox, "k", amount).await;
        assert_eq!(seen.as_ref().map(|seen| seen.status), status, "{description}");
        if let Some(seen) = seen.filter(|seen| seen.status < 300) {
            assert!(serde_json::from_str::<Value>(&seen.body).is_err(), "{description}");
            let told: usize = seen.header("content-length").unwrap().parse().unwrap();
            assert_eq!(told > seen.body.len(), description.contains("half"), "{description}");
            assert!(!seen.body.is_empty());
        }
        let booked = booked(&sandbox).await;
        assert_eq!(booked.len(), 1, "{description}");
        assert_eq!(
            (&booked[0]["status"], &booked[0]["captured"]),
            (&json!("captured"), &json!(amount))
        );
        let replayed = pay(&sandbox, "k", amount).await.unwrap();
        assert_eq!(
            (replayed.status, replayed.json()["id"].clone()),
            (201, booked[0]["id"].clone())
        );
    }
}

#[tokio::test]
async fn a_late_execution_commits_after_the_connection_is_gone_and_holds_its_key() {
    let sandbox = Sandbox::memory().await;
    let fault = json!({"commit": {"late": {"after_ms": 400}}, "answer": "close"});
    sandbox.admin("POST", "/admin/rules", json!({"action": {"fault": fault}, "times": 1})).await;
    assert!(pay(&sandbox, "k", 100).await.is_none());
    assert_eq!(booked(&sandbox).await, Vec::<Value>::new());
    let early = pay(&sandbox, "k", 100).await.unwrap();
    assert_eq!(
        (early.status, &early.json()["error"]["code"]),
        (409, &json!("idempotency_in_progress"))
    );
    tokio::time::sleep(Duration::from_millis(600)).await;
    let found = booked(&sandbox).await;
    assert_eq!(found.len(), 1);
    assert_eq!(pay(&sandbox, "k", 100).await.unwrap().json()["id"], found[0]["id"]);
}

#[tokio::test]
async fn a_fence_refuses_a_late_execution() {
    let sandbox = Sandbox::memory().await;
    let fault =
        json!({"commit": {"late": {"after_ms": 300}}, "answer": {"status": {"status": 504}}});
    sandbox.admin("POST", "/admin/rules", json!({"action": {"fault": fault}, "times": 1})).await;
    assert_eq!(pay(&sandbox, "k", 100).await.unwrap().status, 504);
    let (status, _) = sandbox.post("/sandbox/acme/cancels", json!({"reference": "r"})).await;
    assert_eq!(status, 200);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(booked(&sandbox).await, Vec::<Value>::new());
    let stored = pay(&sandbox, "k", 100).await.unwrap();
    assert_eq!(stored.json()["error"]["code"], "reference_cancelled");
}

#[tokio::test]
async fn a_hanging_request_gets_no_byte_and_stays_open() {
    for (description, count) in [("commits, then never answers", 1), ("never answers, nothing", 0)]
    {
        let sandbox = Sandbox::memory().await;
        let body = payment("r", amount_of(description), true, CARD).to_string();
        let text = request("POST", PAYMENTS, &[("authorization", "Bearer t")], &body);
        let mut stream = TcpStream::connect(sandbox.addr).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut byte = [0u8; 1];
        let read = tokio::time::timeout(Duration::from_millis(300), stream.read(&mut byte)).await;
        assert!(read.is_err(), "neither a byte nor an end: {description}");
        assert_eq!(booked(&sandbox).await.len(), count, "{description}");
        let stopping = tokio::time::timeout(Duration::from_secs(2), sandbox.stop()).await;
        assert!(stopping.is_ok(), "a hanging request does not hold up the shutdown");
    }
}

#[tokio::test]
async fn a_slow_request_is_executed_also_if_the_client_leaves() {
    let sandbox = Sandbox::memory().await;
    sandbox.admin("PUT", "/admin/settings", json!({"latency_ms": 0})).await;
    let body = payment("r", amount_of("answers after 1 s"), true, CARD).to_string();
    let text = request("POST", PAYMENTS, &[("authorization", "Bearer t")], &body);
    let mut stream = TcpStream::connect(sandbox.addr).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(stream);
    assert_eq!(booked(&sandbox).await.len(), 0);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(booked(&sandbox).await.len(), 1);
}

#[tokio::test]
async fn pending_payments_conclude_by_themselves_unless_voided() {
    let sandbox = Sandbox::memory().await;
    let pending = |then: Value| json!({"pending": {"after_ms": 200, "then": then}});
    for (then, status, void) in [
        (Value::Null, "captured", false),
        (json!("do_not_honor"), "declined", false),
        (Value::Null, "pending", true),
    ] {
        let rule = json!({"action": {"verdict": pending(then)}, "times": 1});
        assert_eq!(sandbox.admin("POST", "/admin/rules", rule).await.status, 201);
        let (_, paid) = sandbox.post(PAYMENTS, payment("r", 100, true, CARD)).await;
        assert_eq!(paid["status"], "pending");
        let path = format!("{PAYMENTS}/{}", paid["id"].as_str().unwrap());
        if void {
            assert_eq!(sandbox.post(&format!("{path}/voids"), json!({})).await.0, 201);
        }
        tokio::time::sleep(Duration::from_millis(350)).await;
        let shown = sandbox.get(&path).await;
        assert_eq!((&shown["status"], &shown["voided"]), (&json!(status), &json!(void)));
        assert_eq!(shown["captured"], json!(if status == "captured" { 100 } else { 0 }));
    }
}

#[tokio::test]
async fn special_outcomes_by_amount() {
    let sandbox = Sandbox::memory().await;
    let amount = amount_of("approved for half");
    let (_, partial) = sandbox.post(PAYMENTS, payment("r", amount, true, CARD)).await;
    let sums = (&partial["authorized"], &partial["captured"], &partial["amount"]["value"]);
    assert_eq!(sums, (&json!(amount / 2), &json!(amount / 2), &json!(amount)));
    let amount = amount_of("challenge that the shopper has abandoned");
    let (_, left) = sandbox.post(PAYMENTS, payment("r", amount, true, CARD)).await;
    assert_eq!(left["status"], "action_required");
    let path = challenge_of(&left);
    assert_eq!(sandbox.send("POST", &path, &[], "outcome=approve").await.status, 410);
    for amount in [amount_of("pending, approved"), amount_of("pending, declined")] {
        let (_, paid) = sandbox.post(PAYMENTS, payment("r", amount, false, CARD)).await;
        assert_eq!(paid["status"], "pending");
    }
}

#[tokio::test]
async fn rules_refuse_fail_and_break_any_operation() {
    let sandbox = Sandbox::memory().await;
    let rule = async |matches: Value, action: Value| {
        let seen = sandbox
            .admin("POST", "/admin/rules", json!({"match": matches, "action": action, "times": 1}))
            .await;
        assert_eq!(seen.status, 201, "{seen:?}");
    };
    let (_, held) = sandbox.post(PAYMENTS, payment("r", 1000, false, CARD)).await;
    let path = format!("{PAYMENTS}/{}", held["id"].as_str().unwrap());

    let decline = json!({"verdict": {"decline": "stop_payment"}});
    rule(json!({"operation": "capture", "card_last4": "1111"}), decline.clone()).await;
    let (status, failed) = sandbox.post(&format!("{path}/captures"), json!({})).await;
    assert_eq!(
        (status, &failed["status"], &failed["failure"]),
        (201, &json!("failed"), &json!("stop_payment"))
    );

    rule(json!({"operation": "lookup"}), json!({"refuse": {"status": 403, "code": "forbidden"}}))
        .await;
    let refused = sandbox.send("GET", &path, &[("authorization", "Bearer t")], "").await;
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (403, &json!("forbidden")));

    rule(json!({"operation": "void"}), decline).await;
    let (_, failed) = sandbox.post(&format!("{path}/voids"), json!({})).await;
    assert_eq!(failed["status"], "failed");

    let drop_it = json!({"fault": {"commit": "first", "answer": "close"}});
    rule(json!({"operation": "capture", "reference": "c1"}), drop_it).await;
    let text = request(
        "POST",
        &format!("{path}/captures"),
        &[("authorization", "Bearer t")],
        r#"{"reference":"c1"}"#,
    );
    assert!(sandbox.try_send(&text).await.is_none());
    let shown = sandbox.get(&path).await;
    assert_eq!((&shown["captured"], &shown["voided"]), (&json!(1000), &json!(false)));
    let found = sandbox.get("/sandbox/acme/operations?reference=c1").await;
    assert_eq!(found["data"][0]["status"], "succeeded");
}

#[tokio::test]
async fn the_rules_of_the_administrator() {
    let sandbox = Sandbox::memory().await;
    let first = sandbox.admin("POST", "/admin/rules", json!({"action": {"latency_ms": 1}})).await;
    let second = sandbox.admin("POST", "/admin/rules", json!({"action": {}})).await.json();
    let rules = sandbox.get("/admin/rules").await;
    assert_eq!(
        (&rules["data"][0]["id"], &rules["data"][1]["id"]),
        (&second["id"], &first.json()["id"])
    );
    let one = format!("/admin/rules/{}", second["id"]);
    assert_eq!(sandbox.admin("DELETE", &one, Value::Null).await.status, 204);
    assert_eq!(sandbox.admin("DELETE", &one, Value::Null).await.status, 404);
    assert_eq!(sandbox.admin("DELETE", "/admin/rules", Value::Null).await.status, 204);
    assert_eq!(sandbox.get("/admin/rules").await, json!({"data": []}));
    for wrong in [
        json!({"action": {"verdict": {"decline": "nonsense"}}}),
        json!({"action": {"fault": {"commit": "first", "answer": {"status": {"status": 99}}}}}),
        json!({"action": {"refuse": {"status": 200, "code": "x"}}}),
        json!({"actions": {}}),
    ] {
        assert_eq!(
            sandbox.admin("POST", "/admin/rules", wrong.clone()).await.status,
            400,
            "{wrong}"
        );
    }
    let set = sandbox.admin("PUT", "/admin/settings", json!({"seed": 7, "latency_ms": 2})).await;
    assert_eq!(set.json(), json!({"dedup": true, "seed": 7, "latency_ms": 2}));
    assert_eq!(sandbox.get("/admin/settings").await, set.json());
    assert_eq!(sandbox.admin("PUT", "/admin/settings", json!({"dedupe": true})).await.status, 400);
    assert_eq!(sandbox.get("/health").await, json!({"status": "ok"}));
}
