//! `baton payments` and `baton incidents` beside a running server; and a doubt that a webhook ends.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::http::call;
use crate::support::{CARD_NUMBER, Client, Place, Process, admin, purchase, rule, said};

/// A server that tells of a doubt soon, with a client.
fn start(place: &Place) -> (Process, Client, String) {
    let server = place.serve(&["--dev"]);
    let client = Client::new(&server, &place.key());
    let sandbox = server.announced["sandbox_url"].as_str().unwrap().to_owned();
    (server, client, sandbox)
}

fn place() -> Place {
    Place::new()
        .with("BATON_PAYMENTS__CALLER_WAIT_MS", "400")
        .with("BATON_PAYMENTS__FAILOVER_WINDOW_MS", "1000")
        // A provider that executes a key once would end the doubt by itself.
        .with("BATON_PAYMENTS__REPLAY", "false")
}

/// The provider does this with every charge, also one that is sent again, and does not answer look-ups.
async fn blind(sandbox: &str, commit: &Value) {
    let at = |operation: &str| json!({"account": "sandbox-a", "operation": operation});
    let status = json!({"status": {"status": 503}});
    let silent = json!({"fault": {"commit": "never", "answer": status}});
    rule(sandbox, json!({"match": at("lookup"), "action": silent})).await;
    let lost = json!({"fault": {"commit": commit, "answer": "close"}});
    rule(sandbox, json!({"match": at("sale"), "action": lost})).await;
}

/// Has the sandbox tell what happens at `sandbox-a`, three times each and out of order.
async fn subscribe(sandbox: &str, server: &Process) {
    let endpoint = json!({
        "url": format!("{}/webhooks/default/sandbox-a", server.url),
        "secret": "sandbox-webhooks",
        "dialect": "own",
        "delivery": {"delay_ms": 1500, "duplicate": 2, "disorder": true, "drop": false},
    });
    admin(sandbox, "PUT", "/accounts/sandbox-a/webhook", &endpoint).await;
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value}"))
}

#[tokio::test]
async fn what_is_in_doubt_is_listed_shown_and_settled_beside_the_server() {
    let place = place();
    let (_server, client, sandbox) = start(&place);
    assert_eq!(said(&place.run(&["payments", "doubt"])).trim(), "nothing is in doubt");
    blind(&sandbox, &json!("never")).await;
    let body = purchase(4990, "order-1", CARD_NUMBER, &["sandbox-a", "sandbox-b"]);
    let told = client.charge(&body).await;
    assert_eq!((told.code(), told.text_of("reason").as_str()), ("Accepted", "outcome_unknown"));
    let id = told.text_of("transactionId");
    // Who charges again is told of the first.
    let again = client.charge(&body).await;
    assert_eq!(again.text_of("reason"), "duplicate_in_doubt");
    assert_eq!(again.text_of("transactionId"), id);

    let listed = place.json(&["payments", "doubt", "--json"]);
    let row = &listed["data"][0];
    assert_eq!((text(&row["payment"]), text(&row["call"])), (id.as_str(), "a1"));
    for (more, count) in [
        (&["--account", "sandbox-a"][..], 1),
        (&["--account", "sandbox-b"], 0),
        (&["--live"], 0),
        (&["--sandbox", "--merchant", "default", "--limit", "1"], 1),
        (&["--before", "2001-01-01T00:00:00Z"], 0),
        (&["--after", &format!("{id}.a1")], 0),
    ] {
        let listed = place.json(&[&["payments", "doubt", "--json"], more].concat());
        assert_eq!(listed["data"].as_array().map(Vec::len), Some(count), "{more:?}");
    }
    let human = said(&place.run(&["payments", "doubt"]));
    assert!(human.contains("49.90 EUR  unknown (connection_lost)  for "), "{human}");
    let shown = said(&place.run(&["payments", "show", &id]));
    for part in ["in_doubt", "planned  ", "looked up ", "absent after", r#""event":"in_doubt""#] {
        assert!(shown.contains(part), "{part}: {shown}");
    }

    let settle = |how: &str, reason: &str| {
        place.run(&["payments", "settle", &id, "a1", "--as", how, "--reason", reason])
    };
    let early = settle("absent", "not in their dashboard");
    assert_eq!(early.status.code(), Some(1));
    assert!(said(&early).contains("too early") && said(&early).contains("cannot_settle"));
    assert_eq!(settle("voided", " ").status.code(), Some(1), "a reason is needed");
    let done = settle("voided", "cancelled by their support, ticket 4711");
    assert!(
        said(&done).contains("a1  charge  sandbox-a (Sandbox)  voided, settled by hand"),
        "{}",
        said(&done)
    );
    let twice = settle("approved", "or was it");
    assert!(said(&twice).contains("the call is concluded"), "{}", said(&twice));
    let entries = place.json(&["audit", "list", "--json", "--subject", &id]);
    assert_eq!(entries["data"][0]["action"], "payment_settled");
    assert!(text(&entries["data"][0]["actor"]).starts_with("command-line:"));
    let unknown = place.run(&["payments", "show", "pay_01m8byr6xhfaqsnwkk57p3wxw6"]);
    assert!(said(&unknown).contains("unknown_payment"), "{}", said(&unknown));
    // The way is free again.
    let body = purchase(4990, "order-1", CARD_NUMBER, &["sandbox-b"]);
    assert_eq!(client.charge(&body).await.code(), "Success");
}

#[tokio::test]
async fn a_webhook_ends_a_doubt_and_one_that_is_too_late_opens_an_incident() {
    let place = place();
    let (server, client, sandbox) = start(&place);
    subscribe(&sandbox, &server).await;
    let charge = async |minor, reference: &str| {
        blind(&sandbox, &json!("first")).await;
        let told = client.charge(&purchase(minor, reference, CARD_NUMBER, &["sandbox-a"])).await;
        assert_eq!(told.text_of("reason"), "outcome_unknown", "{}", told.text);
        told.text_of("transactionId")
    };
    let first = charge(1_000, "order-1").await;
    let status = async |id: &str| {
        let seen = place.json(&["payments", "show", id, "--json"]);
        text(&seen["status"]).to_owned()
    };
    for _ in 0..100 {
        if status(&first).await == "captured" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(status(&first).await, "captured", "its webhook has told");
    assert_eq!(place.json(&["incidents", "list", "--json"])["data"], json!([]));

    let second = charge(2_000, "order-2").await;
    place.run(&[
        "payments",
        "settle",
        &second,
        "a1",
        "--as",
        "declined",
        "--reason",
        "so they said",
    ]);
    let mut listed = Value::Null;
    for _ in 0..100 {
        listed = place.json(&["incidents", "list", "--json", "--status", "open"]);
        if listed["data"] != json!([]) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Told three times, it is one.
    tokio::time::sleep(Duration::from_millis(700)).await;
    let all = place.json(&["incidents", "list", "--json"]);
    assert_eq!(all["data"].as_array().map(Vec::len), Some(1), "{all}");
    let row = &listed["data"][0];
    assert_eq!(text(&row["payment"]), second);
    assert_eq!(
        (text(&row["what"]), text(&row["proposed"]), text(&row["amount"])),
        ("taken", "refund", "20.00")
    );
    assert_eq!(status(&second).await, "failed", "what was told stands");
    let id = text(&row["id"]);
    let human = said(&place.run(&["incidents", "show", id]));
    assert!(human.contains("told by   webhook payment.captured"), "{human}");
    let resolve = |more: &[&str]| place.run(&[&["incidents", "resolve", id], more].concat());
    assert!(resolve(&["--acknowledge", "--reason", "on it"]).status.success());
    assert!(resolve(&["--reason", "refunded 20.00 EUR"]).status.success());
    let again = resolve(&["--reason", "again"]);
    assert!(said(&again).contains("is resolved already"), "{}", said(&again));
    let unknown = place.run(&["incidents", "show", "inc_1"]);
    assert!(said(&unknown).contains("unknown_incident"), "{}", said(&unknown));
}

/// Of an answer only a hash is kept. Whoever has the answer can show that it is the one.
#[tokio::test]
async fn an_answer_is_recognised_by_its_hash() {
    let place = place();
    let (_server, client, sandbox) = start(&place);
    let lost = json!({"fault": {"commit": "first", "answer": "close"}});
    let sale = json!({"account": "sandbox-a", "operation": "sale"});
    rule(&sandbox, json!({"match": sale, "action": lost})).await;
    let told = client.charge(&purchase(4990, "order-1", CARD_NUMBER, &["sandbox-a"])).await;
    assert_eq!(told.code(), "Success", "the look-up has found it: {}", told.text);
    let id = told.text_of("transactionId");
    let shown = place.json(&["payments", "show", &id, "--json"]);
    let path =
        format!("/sandbox/sandbox-a/payments?reference={}", text(&shown["calls"][0]["reference"]));
    let headers = [("authorization", "Bearer any")];
    let answer = call(&sandbox, "GET", &path, &headers, "").await.unwrap();
    let file = place.path("answer.json");
    std::fs::write(&file, &answer.text).unwrap();
    let file = file.to_str().unwrap();
    let checked = place.json(&["payments", "evidence", &id, "--body", file, "--json"]);
    assert_eq!(checked["others"], 0, "{checked}");
    let found = &checked["matches"][0];
    assert_eq!((text(&found["call"]), text(&found["kind"])), ("a1", "look_up"));
    assert_eq!((&found["status"], text(&found["then"]["event"])), (&json!(200), "concluded"));
    let human = said(&place.run(&["payments", "evidence", &id, "--body", file]));
    assert!(human.contains("a1  look_up 200  {\"call\":\"a1\""), "{human}");
    // One byte differs.
    std::fs::write(file, answer.text.replace("4990", "4991")).unwrap();
    let other = place.run(&["payments", "evidence", &id, "--body", file]);
    assert_eq!(other.status.code(), Some(1));
    assert!(said(&other).contains("none of the 1 records of "), "{}", said(&other));
    let missing = place.run(&["payments", "evidence", &id, "--body", "no-such-file"]);
    assert!(said(&missing).contains("cannot be read"), "{}", said(&missing));
}
