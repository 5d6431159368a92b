//! Durable books: what was answered survives, what was torn is cut off, what is secret was never there.

use std::io::Write;

use baton_sandbox::{Books, Config, StartError, Sync, start};
use serde_json::{Value, json};

use crate::client::{CARD, Sandbox, payment};

const PAYMENTS: &str = "/sandbox/acme/payments";

#[tokio::test]
async fn everything_answered_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("books.ndjson");
    let sandbox = Sandbox::on_file(&path).await;
    let body = payment("r1", 1000, false, CARD);
    let first = sandbox.post_key(PAYMENTS, Some("k1"), body.clone()).await;
    let id = first.json()["id"].as_str().unwrap().to_owned();
    let held = format!("{PAYMENTS}/{id}");
    sandbox.post(&format!("{held}/captures"), json!({"amount": 400, "reference": "c1"})).await;
    sandbox.post("/sandbox/acme/cancels", json!({"reference": "gone"})).await;
    let card = json!({"number": "4000000000009995", "exp_month": 1, "exp_year": 2090});
    let (_, token) = sandbox.post("/sandbox/other/tokens", json!({"card": card})).await;
    let (_, pending) = sandbox.post(PAYMENTS, payment("p", 500, true, "4000000000009110")).await;
    let before = sandbox.get(&held).await;
    let rows = sandbox.get("/admin/books?account=acme").await;
    sandbox.stop().await;

    let sandbox = Sandbox::on_file(&path).await;
    assert_eq!(sandbox.get(&held).await, before);
    assert_eq!(sandbox.get("/admin/books?account=acme").await, rows);
    let again = sandbox.post_key(PAYMENTS, Some("k1"), body).await;
    assert_eq!((again.body, again.status), (first.body, 201));
    let found = sandbox.get("/sandbox/acme/operations?reference=c1").await;
    assert_eq!(found["data"], before["captures"]);
    let (status, _) = sandbox.post(PAYMENTS, payment("gone", 1, true, CARD)).await;
    assert_eq!(status, 409, "the fence stands");
    let mut by_token = payment("t", 500, true, CARD);
    by_token.as_object_mut().unwrap().remove("card");
    by_token["token"] = token["token"].clone();
    let (_, declined) = sandbox.post("/sandbox/other/payments", by_token).await;
    assert_eq!(declined["decline"]["code"], "insufficient_funds");
    tokio::time::sleep(std::time::Duration::from_millis(2_300)).await;
    let shown = sandbox.get(&format!("{PAYMENTS}/{}", pending["id"].as_str().unwrap())).await;
    assert_eq!(shown["status"], "captured", "its timer was set again");
    sandbox.stop().await;
}

#[tokio::test]
async fn what_is_answered_is_already_in_the_file_and_the_file_has_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("books.ndjson");
    let sandbox = Sandbox::on_file(&path).await;
    for place in 0..50 {
        let reference = format!("r{place}");
        let (_, paid) = sandbox.post(PAYMENTS, payment(&reference, 100, true, CARD)).await;
        let id = paid["id"].as_str().unwrap().strip_prefix("sp_").unwrap().to_owned();
        let copy = std::fs::read_to_string(&path).unwrap();
        let line = copy.lines().last().unwrap();
        assert!(copy.ends_with('\n') && line.contains(&id), "answered before it was written");
    }
    let config = Config {
        listen: ([127, 0, 0, 1], 0).into(),
        books: Books::File { path: path.clone(), sync: Sync::Always },
        dedup: true,
    };
    assert!(matches!(start(config).await, Err(StartError::Io(_))), "the file is in use");
    sandbox.stop().await;
}

#[tokio::test]
async fn a_torn_last_line_is_cut_off_and_other_damage_refuses_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("books.ndjson");
    let sandbox = Sandbox::on_file(&path).await;
    sandbox.post(PAYMENTS, payment("r1", 100, true, CARD)).await;
    sandbox.post(PAYMENTS, payment("r2", 100, true, CARD)).await;
    sandbox.stop().await;
    let whole = std::fs::read(&path).unwrap();

    for torn in ["{\"account\":\"acme\",\"payme", "\u{0}\u{0}\u{0}\n"] {
        std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(torn.as_bytes())
            .unwrap();
        let sandbox = Sandbox::on_file(&path).await;
        assert_eq!(sandbox.get("/admin/books/summary").await["payments"], 2);
        sandbox.stop().await;
        assert_eq!(std::fs::read(&path).unwrap(), whole, "nothing else was touched");
    }

    let mut damaged = whole.clone();
    damaged[10] = b'#';
    std::fs::write(&path, &damaged).unwrap();
    let config = Config {
        listen: ([127, 0, 0, 1], 0).into(),
        books: Books::File { path: path.clone(), sync: Sync::Relaxed },
        dedup: true,
    };
    assert!(matches!(start(config).await, Err(StartError::Corrupt { line: 1 })));
    assert_eq!(std::fs::read(&path).unwrap(), damaged);
}

#[tokio::test]
async fn a_reset_forgets_everything_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("books.ndjson");
    let sandbox = Sandbox::on_file(&path).await;
    let first = sandbox.post_key(PAYMENTS, Some("k"), payment("r", 100, true, CARD)).await.json();
    // A request of before the reset that is carried out after it.
    let action = json!({"fault": {"commit": {"late": {"after_ms": 200}}, "answer": {"status": {"status": 504}}}});
    sandbox.admin("POST", "/admin/rules", json!({"action": action, "times": 1})).await;
    assert_eq!(sandbox.post(PAYMENTS, payment("late", 100, true, CARD)).await.0, 504);
    assert_eq!(sandbox.admin("DELETE", "/admin/books", Value::Null).await.status, 204);
    let second = sandbox.post_key(PAYMENTS, Some("k"), payment("r", 100, true, CARD)).await.json();
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    assert_ne!(first["id"], second["id"]);
    sandbox.stop().await;
    let sandbox = Sandbox::on_file(&path).await;
    let rows = sandbox.get("/admin/books").await;
    assert_eq!(rows["data"].as_array().unwrap().len(), 1);
    assert_eq!(rows["data"][0]["id"], second["id"]);
    sandbox.stop().await;
}

#[tokio::test]
async fn no_card_number_and_no_verification_code_reaches_the_file() {
    // Known test numbers; a verification code is too short to be looked for without its quotes.
    let canaries = ["4111111111111111", "5555555555554444", "4000000000009995"];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("books.ndjson");
    let sandbox = Sandbox::on_file(&path).await;
    for (place, number) in canaries.into_iter().enumerate() {
        let key = format!("k{place}");
        let mut body = payment("r", 100, true, number);
        body["card"]["cvv"] = json!("8642");
        let paid = sandbox.post_key(PAYMENTS, Some(&key), body.clone()).await;
        assert_eq!(paid.status, 201);
        sandbox.post("/sandbox/acme/tokens", json!({"card": body["card"]})).await;
        body["amount"]["value"] = json!(0);
        sandbox.post_key(PAYMENTS, Some("wrong"), body).await;
    }
    sandbox.stop().await;
    let file = std::fs::read_to_string(&path).unwrap();
    assert!(file.contains("\"last4\":\"4444\""), "the file is the one that is written to");
    for canary in canaries.into_iter().chain(["\"8642\"", "cvv"]) {
        assert!(!file.contains(canary), "{canary} was stored");
    }
}

#[tokio::test]
async fn the_books_are_paged_without_gaps() {
    let sandbox = Sandbox::memory().await;
    for account in ["a", "b"] {
        for place in 0..5 {
            let body = payment(&format!("{account}{place}"), 100, true, CARD);
            sandbox.post(&format!("/sandbox/{account}/payments"), body).await;
        }
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = sandbox.get(&format!("/admin/books?limit=3{cursor}")).await;
        let rows = page["data"].as_array().unwrap();
        assert!(rows.len() <= 3);
        seen.extend(rows.iter().map(|row| row["reference"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let expected = ["a4", "a3", "a2", "a1", "a0", "b4", "b3", "b2", "b1", "b0"];
    assert_eq!(seen, expected);
    for wrong in ["limit=0", "limit=1001", "cursor=x"] {
        let path = format!("/admin/books?{wrong}");
        assert_eq!(sandbox.admin("GET", &path, Value::Null).await.status, 400);
    }
}
