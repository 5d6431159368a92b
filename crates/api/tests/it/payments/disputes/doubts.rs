//! Answers whose own answer was lost: looked up, and never sent a second time.

use std::time::Duration;

use baton_engine::EngineConfig;
use baton_store::{DocumentRow, Store, TimerRow, Write, WriteSet};
use baton_types::{MerchantId, PaymentId, Timestamp};
use serde_json::{Value, json};

use super::super::recurring::{open_with_all, switch_on};
use super::{
    Shop, accept, at_provider, decide, dispute_of, disputed, evidence, path, refused, settled,
    subscribe,
};
use crate::server::Server;

/// How often the sandbox is asked for this, by our own count.
async fn calls(shop: &Shop, operation: &str) -> u64 {
    let page = shop.server.send("GET", "/metrics", "").await.body;
    let of = |line: &&str| {
        line.starts_with("baton_provider_calls_total") && line.contains(&format!("\"{operation}\""))
    };
    let counts = page.lines().filter(of).map(|line| line.rsplit(' ').next().unwrap());
    counts.map(|count| count.parse::<u64>().unwrap()).sum()
}

async fn lose(shop: &Shop, operation: &str, commit: &str) {
    let fault = json!({"fault": {"commit": commit, "answer": "close"}});
    let rule = json!({"match": {"operation": operation}, "action": fault, "times": 1});
    let seen = super::admin(shop, "POST", "/admin/rules", rule).await;
    assert_eq!(seen.status, 201, "{seen:?}");
}

async fn quiet(shop: &Shop, connector: &str, dialect: &str) {
    subscribe(shop, connector, dialect, json!({"delivery": {"drop": true}})).await;
}

/// Carried out, and the answer lost: it stands in doubt, an equal request is not sent, another has to wait; the provider
/// shows it when it is asked, by whom ever.
#[tokio::test]
async fn a_lost_answer_is_looked_up() {
    let (shop, connectors) = open_with_all().await;
    for (kind, dialect) in [("sandbox", "own"), ("stripe", "stripe")] {
        switch_on(&shop, &connectors, kind).await;
        let connector = connectors.iter().find(|(name, _)| *name == kind).unwrap().1.clone();
        for (operation, end, action) in [
            ("dispute_accept", "dispute_accepted", "accept"),
            ("dispute_submit", "dispute_challenged", "submit"),
        ] {
            subscribe(&shop, &connector, dialect, json!({})).await;
            let dispute = disputed(&shop).await;
            quiet(&shop, &connector, dialect).await;
            lose(&shop, operation, "first").await;
            let before = calls(&shop, operation).await;
            let ask = async |which: &str| match which {
                "accept" => shop.send("POST", &accept(&dispute), &json!({})).await,
                _ => {
                    shop.send("POST", "/disputes/evidence", &evidence(&dispute, "it was her")).await
                }
            };
            let open = ask(action).await.json();
            let stands = (&open["dispute_status"], &open["pending_action"]);
            assert_eq!(stands, (&json!("dispute_opened"), &json!(action)), "{kind} {open}");
            assert!(open["pending_reason"].is_string() && open["evidence"].is_null(), "{open}");
            assert_eq!(ask(action).await.json(), open, "it is not sent again");
            let other = if action == "accept" { "evidence" } else { "accept" };
            refused(&ask(other).await, 400, "IR_16", "what came of that is not known yet");
            assert_eq!(calls(&shop, operation).await, before + 1);
            let looked = shop.get(&format!("{}?force_sync=true", path(&dispute))).await;
            let stands = (&looked["dispute_status"], &looked["pending_action"]);
            assert_eq!(stands, (&json!(end), &Value::Null), "{kind} {looked}");
            assert_eq!(looked["evidence"].is_object(), action == "submit", "{looked}");
            assert_eq!(shop.get(&path(&dispute)).await, looked);
            assert_eq!(calls(&shop, operation).await, before + 1, "nothing was sent but questions");
        }
    }
}

/// Not carried out, and the answer lost: as long as it may still arrive it is in doubt, and then it can be asked for again.
#[tokio::test]
async fn what_has_not_arrived_when_it_no_more_can_is_asked_for_again() {
    let config =
        EngineConfig { send_window_ms: 300, clock_difference_ms: 0, ..EngineConfig::default() };
    let shop = Shop::named(Server::with(config).await, "shop").await;
    let connector = shop.connector.clone();
    subscribe(&shop, &connector, "own", json!({})).await;
    let dispute = disputed(&shop).await;
    lose(&shop, "dispute_accept", "never").await;
    let open = shop.post(&accept(&dispute), json!({})).await;
    assert_eq!(open["pending_action"], "accept", "{open}");
    let sync = format!("{}?force_sync=true", path(&dispute));
    assert_eq!(shop.get(&sync).await, open, "it may yet arrive");
    for _ in 0..200 {
        let looked = shop.get(&sync).await;
        if looked["pending_action"].is_null() {
            assert_eq!(looked, dispute, "as if nothing had been asked");
            let done = shop.post(&accept(&dispute), json!({})).await;
            assert_eq!(done["dispute_status"], "dispute_accepted", "{done}");
            assert_eq!(at_provider(&shop, &connector, &dispute).await, "accepted");
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it is still in doubt");
}

/// What comes late, and is told by a webhook, ends the doubt by itself.
#[tokio::test]
async fn a_webhook_ends_a_doubt() {
    let shop = Shop::open().await;
    let connector = shop.connector.clone();
    subscribe(&shop, &connector, "own", json!({})).await;
    let dispute = disputed(&shop).await;
    let fault = json!({"fault": {"commit": {"late": {"after_ms": 300}}, "answer": "close"}});
    let rule = json!({"match": {"operation": "dispute_accept"}, "action": fault, "times": 1});
    super::admin(&shop, "POST", "/admin/rules", rule).await;
    let open = shop.post(&accept(&dispute), json!({})).await;
    assert_eq!(open["pending_action"], "accept", "{open}");
    let id = dispute["payment_id"].as_str().unwrap();
    let done = dispute_of(&shop, id, "dispute_accepted").await;
    assert_eq!(done["pending_action"], Value::Null, "{done}");
}

#[tokio::test]
async fn a_providers_refusal_and_a_provider_that_is_not_there_change_nothing() {
    let shop = Shop::open().await;
    let connector = shop.connector.clone();
    subscribe(&shop, &connector, "own", json!({})).await;
    let dispute = disputed(&shop).await;
    let refuse = json!({"refuse": {"status": 403, "code": "forbidden"}});
    let rule = json!({"match": {"operation": "dispute_accept"}, "action": refuse, "times": 2});
    super::admin(&shop, "POST", "/admin/rules", rule).await;
    let ask = async |key: &str| {
        let headers = [("api-key", shop.key.as_str()), ("idempotency-key", key)];
        crate::client::send(shop.server.addr, "POST", &accept(&dispute), &headers, b"").await
    };
    refused(&ask("k-1").await, 400, "CE_01", "sandbox has refused it");
    assert_eq!(shop.get(&path(&dispute)).await, dispute);
    // The same key is not used up by what came to nothing.
    refused(&ask("k-1").await, 400, "CE_01", "sandbox has refused it");
    let done = ask("k-1").await;
    assert_eq!(
        (done.status, &done.json()["dispute_status"]),
        (200, &json!("dispute_accepted")),
        "{done:?}"
    );
    assert_eq!(settled(&ask("k-1").await.json()), settled(&done.json()), "a repeat");
    refused(&ask("k-2").await, 400, "IR_16", "has dispute_accepted status");
    assert_eq!(calls(&shop, "dispute_accept").await, 3);
}

/// What comes to nothing without a key does not use up the key of an earlier answer.
#[tokio::test]
async fn a_key_stands_for_its_answer_whatever_is_refused_later() {
    let shop = Shop::open().await;
    let connector = shop.connector.clone();
    subscribe(&shop, &connector, "own", json!({})).await;
    let id = super::pay(&shop, super::INQUIRED, 1_000).await;
    let inquiry = dispute_of(&shop, &id, "dispute_opened").await;
    let told = evidence(&inquiry, "it was her").to_string();
    let send = async || {
        let headers = [("api-key", shop.key.as_str()), ("idempotency-key", "k-0")];
        let addr = shop.server.addr;
        crate::client::send(addr, "POST", "/disputes/evidence", &headers, told.as_bytes()).await
    };
    assert_eq!(send().await.json()["dispute_status"], "dispute_challenged");
    decide(&shop, &connector, &inquiry, json!({"status": "opened", "stage": "dispute"})).await;
    dispute_of(&shop, &id, "dispute_opened").await;
    let refuse = json!({"refuse": {"status": 403, "code": "forbidden"}});
    let rule = json!({"match": {"operation": "dispute_accept"}, "action": refuse, "times": 1});
    super::admin(&shop, "POST", "/admin/rules", rule).await;
    let seen = shop.send("POST", &accept(&inquiry), &json!({})).await;
    refused(&seen, 400, "CE_01", "sandbox has refused it");
    let again = send().await;
    assert_eq!(
        (again.status, &again.json()["dispute_status"]),
        (200, &json!("dispute_opened")),
        "{again:?}"
    );
    assert_eq!(calls(&shop, "dispute_submit").await, 1, "a repeat sends nothing");
}

/// What a process leaves in the store that dies between the plan and the answer.
async fn leave_behind(shop: &Shop, dispute: &Value, planned_ago_ms: i64) {
    let store: &dyn Store = shop.server.store.as_ref();
    let merchant: MerchantId = store.merchant_by_name(&shop.merchant).await.unwrap().unwrap().id;
    let id = dispute["dispute_id"].as_str().unwrap();
    let row = store.document(merchant, "dispute", id).await.unwrap().unwrap();
    let now = shop.server.engine.clock().now();
    let at = now.plus_millis(-planned_ago_ms);
    let mut body: Value = serde_json::from_str(&row.body).unwrap();
    body["steps"] = json!(1);
    body["step"] = json!({"action": "accept", "key": format!("{id}-1"), "planned_at": at, "send_by": at,
        "in_flight_ms": 12_000});
    let next = DocumentRow { version: row.version + 1, body: body.to_string(), ..row };
    let timer = TimerRow {
        merchant,
        payment: PaymentId::from_bytes([7; 16]),
        call: format!("chore:dispute:{id}"),
        kind: "chore".to_owned(),
        due_at: Timestamp::from_millis(now.millis() + 3_600_000),
        attempt: 0,
        node: "node-1".to_owned(),
        boot: baton_types::BootId::from_bytes([9; 16]),
    };
    let set = WriteSet::from(vec![Write::Document(next), Write::SetTimer(timer)]);
    store.commit(set).await.unwrap();
}

/// The next run takes a plan up at once, asks, and sends nothing: whether it was carried out or not.
#[tokio::test]
async fn a_plan_that_a_dead_process_left_is_looked_up_and_never_sent() {
    let shop = Shop::open().await;
    let connector = shop.connector.clone();
    subscribe(&shop, &connector, "own", json!({})).await;
    let (done, absent, open) =
        (disputed(&shop).await, disputed(&shop).await, disputed(&shop).await);
    quiet(&shop, &connector, "own").await;
    decide(&shop, &connector, &done, json!({"status": "accepted"})).await;
    leave_behind(&shop, &done, 0).await;
    leave_behind(&shop, &absent, 60_000).await;
    leave_behind(&shop, &open, 0).await;
    let left = shop.get(&path(&open)).await;
    assert_eq!(left["pending_action"], "accept", "{left}");
    shop.server.engine.start();
    dispute_of(&shop, done["payment_id"].as_str().unwrap(), "dispute_accepted").await;
    for _ in 0..200 {
        if shop.get(&path(&absent)).await["pending_action"].is_null() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(shop.get(&path(&absent)).await, absent, "it can be answered again");
    assert_eq!(shop.get(&path(&open)).await, left, "it may yet arrive");
    assert_eq!(calls(&shop, "dispute_accept").await, 0, "a stored plan starts nothing");
    assert_eq!(at_provider(&shop, &connector, &absent).await, "opened");
    assert_eq!(at_provider(&shop, &connector, &open).await, "opened");
    assert!(calls(&shop, "dispute_retrieve").await >= 3);
}
