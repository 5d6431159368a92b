//! The operator's side of webhooks to merchants: lists, one with its tries, having them told again.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use baton_engine::keys::Scope;
use baton_store::Store;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::hooks::{self, Receiver, kinds};
use super::{Shop, payment};
use crate::client::{self, Seen};
use crate::server::OPERATOR;

async fn admin(shop: &Shop, method: &str, path: &str, body: &Value) -> Seen {
    shop.send_as(OPERATOR, method, &format!("/admin/v1/webhooks{path}"), body).await
}

async fn seen(shop: &Shop, method: &str, path: &str, body: Value) -> Value {
    let seen = admin(shop, method, path, &body).await;
    assert_eq!(seen.status, 200, "{path}: {seen:?}");
    seen.json()
}

/// Three payments at a sick endpoint: what was to be told first of each is given up.
async fn given_up(shop: &Shop, receiver: &Receiver) -> Vec<Value> {
    receiver.answer(&[500; 12]);
    for amount in [1_000, 2_000, 3_000] {
        shop.post("/payments", payment(amount)).await;
    }
    let started = Instant::now();
    loop {
        let listed = seen(shop, "GET", "?merchant=shop&state=given_up", Value::Null).await;
        let rows = listed["data"].as_array().unwrap();
        if rows.len() == 6 {
            return rows.clone();
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{listed}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn told_again(store: Option<Arc<dyn Store>>) {
    let (shop, receiver) = hooks::open(store, &[20]).await;
    let rows = given_up(&shop, &receiver).await;
    let id = |row: &Value| row["id"].as_str().unwrap().to_owned();
    let (last, first) = (&rows[0], &rows[5]);
    assert_eq!((&first["type"], &first["tries"]), (&json!("payment_processing"), &json!(2)));

    let path = format!("/{}?merchant=shop", id(first));
    let shown = seen(&shop, "GET", &path, Value::Null).await;
    let causes: Vec<_> = shown["attempts"].as_array().unwrap().iter().collect();
    assert_eq!(causes.len(), 2, "{shown}");
    assert_eq!(causes[1]["cause"], "automatic_retry");
    assert_eq!((&causes[0]["status"], &causes[0]["error"]), (&json!(500), &Value::Null));
    assert_eq!(causes[0]["request_headers"][1], json!(["webhook-id", id(first)]), "{shown}");
    let body: Value = serde_json::from_str(shown["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["content"]["object"]["payment_id"], first["object"], "{shown}");

    // One: sent at once, with the same id and the same bytes.
    let path = format!("/{}/replay?merchant=shop", id(first));
    let again = seen(&shop, "POST", &path, Value::Null).await;
    assert_eq!((&again["state"], &again["tries"]), (&json!("pending"), &json!(1)));
    let got = receiver.wait(13).await.pop().unwrap();
    assert_eq!(got.header("webhook-id"), id(first));
    assert_eq!(got.body, shown["body"].as_str().unwrap());

    // All that were given up in a time: so many at most, and in order of each payment.
    let time = |row: &Value| row["created_at"].as_str().unwrap().to_owned();
    let range = |limit: u32| json!({"from": time(first), "to": time(last), "limit": limit});
    let none = json!({"from": "2020-01-01T00:00:00Z", "to": "2020-01-02T00:00:00Z"});
    let done = seen(&shop, "POST", "/replay?merchant=shop", none).await;
    assert_eq!(done, json!({"replayed": 0, "more": false}));
    let kind = json!({"from": time(first), "types": ["refund_failed"]});
    let done = seen(&shop, "POST", "/replay?merchant=shop", kind).await;
    assert_eq!(done["replayed"], 0, "{done}");
    let done = seen(&shop, "POST", "/replay?merchant=shop", range(2)).await;
    assert_eq!(done, json!({"replayed": 2, "more": true}));
    receiver.wait(15).await;
    let done = seen(&shop, "POST", "/replay?merchant=shop", range(500)).await;
    assert_eq!(done, json!({"replayed": 3, "more": false}));
    let got = receiver.wait(18).await;
    let mut told: Vec<_> =
        got[12..].iter().map(|got| got.header("webhook-id").to_owned()).collect();
    let mut all: Vec<_> = rows.iter().map(id).collect();
    told.sort();
    all.sort();
    assert_eq!(told, all, "each once more: {:?}", kinds(&got[12..]));

    // What was taken can be told again too, and the log of the first tries stays.
    let path = format!("/{}/replay?merchant=shop", id(last));
    seen(&shop, "POST", &path, Value::Null).await;
    receiver.wait(19).await;
    let started = Instant::now();
    loop {
        let path = format!("/{}?merchant=shop", id(last));
        let shown = seen(&shop, "GET", &path, Value::Null).await;
        if shown["webhook"]["state"] == "delivered" {
            assert_eq!(shown["attempts"].as_array().map(Vec::len), Some(4), "{shown}");
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{shown}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let audited = shop.send_as(OPERATOR, "GET", "/admin/v1/audit?limit=9", &Value::Null).await;
    let audited: Vec<Value> = audited.json()["data"].as_array().unwrap().clone();
    let audited: Vec<_> =
        audited.iter().filter(|entry| entry["action"] == "webhook_replayed").collect();
    assert_eq!(audited.len(), 4, "{audited:?}");
    assert_eq!((&audited[0]["subject"], &audited[0]["actor"]), (&last["id"], &json!("operator")));
    assert_eq!(audited[0]["detail"]["was"], "delivered");
    assert_eq!(audited[1]["detail"]["events"], 3);
}

#[tokio::test]
async fn what_was_given_up_is_told_again() {
    told_again(None).await;
}

#[tokio::test]
async fn what_was_given_up_is_told_again_from_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("told.db").display());
    let options = baton_store::OpenOptions { migrate: true, ..Default::default() };
    told_again(Some(baton_store::open(&url, options).await.unwrap())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_is_told_again_from_postgres() {
    let Some(url) = super::crowd::postgres_database().await else {
        return writeln!(std::io::stderr(), "SKIPPED 1: no PostgreSQL").unwrap();
    };
    let options = baton_store::OpenOptions { migrate: true, ..Default::default() };
    told_again(Some(baton_store::open(&url, options).await.unwrap())).await;
}

#[tokio::test]
async fn webhooks_are_listed_by_what_they_are_and_in_pages() {
    let (shop, receiver) = hooks::open(None, &[20]).await;
    let rows = given_up(&shop, &receiver).await;
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let (object, profile) = (text(&rows[0], "object"), text(&rows[0], "profile"));
    for (filter, count) in [
        ("", 6),
        ("&state=delivered", 0),
        ("&type=payment_succeeded", 3),
        (&*format!("&object={object}"), 2),
        (&*format!("&profile={profile}&limit=4"), 4),
        ("&profile=nobody", 0),
        ("&to=2020-01-01T00:00:00Z", 0),
    ] {
        let listed = seen(&shop, "GET", &format!("?merchant=shop{filter}"), Value::Null).await;
        assert_eq!(listed["data"].as_array().map(Vec::len), Some(count), "{filter}: {listed}");
    }
    // From a time on, and up to it: together all, and those of that time twice.
    let time = text(&rows[2], "created_at");
    let at = rows.iter().filter(|row| text(row, "created_at") == time).count();
    let mut both = 0;
    for filter in ["from", "to"] {
        let path = format!("?merchant=shop&{filter}={time}");
        let listed = seen(&shop, "GET", &path, Value::Null).await;
        both += listed["data"].as_array().unwrap().len();
    }
    assert_eq!(both, rows.len() + at);
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("?merchant=shop&limit=4{cursor}");
        let page = seen(&shop, "GET", &path, Value::Null).await;
        pages.extend(page["data"].as_array().unwrap().clone());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(pages, rows, "each once, in order");
    for wrong in ["&state=lost", "&type=x", "&from=now", "&cursor=1", "&limit=0", "&x=1"] {
        let seen = admin(&shop, "GET", &format!("?merchant=shop{wrong}"), &Value::Null).await;
        assert_eq!(seen.status, 400, "{wrong}: {seen:?}");
    }
    let time = "2027-01-31T00:00:00Z";
    for wrong in [
        json!({}),
        json!({"from": "now"}),
        json!({"from": time, "to": "2026-01-31T00:00:00Z"}),
        json!({"from": "2020-01-31T00:00:00Z", "limit": 501}),
        json!({"from": "2020-01-31T00:00:00Z", "limit": 0}),
        json!({"from": "2020-01-31T00:00:00Z", "types": ["x"]}),
    ] {
        let seen = admin(&shop, "POST", "/replay?merchant=shop", &wrong).await;
        assert_eq!(seen.status, 400, "{wrong}: {seen:?}");
    }
}

#[tokio::test]
async fn a_merchants_key_sees_and_repeats_its_own_only() {
    let (shop, receiver) = hooks::open(None, &[20]).await;
    let rows = given_up(&shop, &receiver).await;
    let id = rows[0]["id"].as_str().unwrap();
    // A key of another merchant, the server's own.
    let other = shop.server.make_key(&[Scope::Admin], true, None).await;
    let ask = async |method: &str, path: &str, body: &str| {
        let headers = [("x-api-key", other.as_str()), ("content-type", "application/json")];
        let path = format!("/admin/v1/webhooks{path}");
        client::send(shop.server.addr, method, &path, &headers, body.as_bytes()).await
    };
    assert_eq!(ask("GET", "", "").await.json()["data"], json!([]));
    assert_eq!(ask("GET", &format!("/{id}"), "").await.status, 404);
    assert_eq!(ask("POST", &format!("/{id}/replay"), "").await.status, 404);
    let all = r#"{"from": "2020-01-01T00:00:00Z"}"#;
    assert_eq!(ask("POST", "/replay", all).await.json()["replayed"], 0);
    assert_eq!(ask("GET", "?merchant=shop", "").await.status, 400);
    assert_eq!(admin(&shop, "GET", "/evt_nothing?merchant=shop", &Value::Null).await.status, 404);
    assert_eq!(
        admin(&shop, "POST", "/evt_nothing/replay?merchant=shop", &Value::Null).await.status,
        404
    );
    assert_eq!(receiver.got().len(), 12, "nothing was sent");
}
