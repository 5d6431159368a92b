//! Lists that tell the truth: every filter against what the payments themselves show, on every kind of store.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use baton_store::{DocumentQuery, DocumentRow, MemoryStore, OpenOptions, Store, Write};
use baton_types::{PaymentId, Timestamp};
use serde_json::{Value, json};

use super::{Shop, card, payment, with};
use crate::client;
use crate::server::{OPERATOR, Server};

const DECLINED: &str = "4000000000009995";
const CHALLENGED: &str = "4000000000003063";

fn ids(list: &Value) -> Vec<String> {
    let id =
        |row: &Value| row["refund_id"].as_str().or(row["payment_id"].as_str()).unwrap().to_owned();
    list["data"].as_array().unwrap().iter().map(id).collect()
}

fn manual(amount: i64, how: &str) -> Value {
    with(payment(amount), json!({"capture_method": how}))
}

/// A payment in every state that a test can bring one to. Their amounts differ.
async fn mix(shop: &Shop) {
    let made = async |body: Value| {
        let seen = shop.post("/payments", body).await;
        seen["payment_id"].as_str().unwrap().to_owned()
    };
    let later = |amount: i64| with(payment(amount), json!({"confirm": false}));
    made(json!({"amount": 100, "currency": "EUR", "customer_id": "bob"})).await;
    made(with(later(200), json!({"merchant_order_reference_id": "order-7"}))).await;
    let cancelled = made(later(300)).await;
    shop.post(&format!("/payments/{cancelled}/cancel"), json!({})).await;
    made(with(later(400), json!({"session_expiry": 1}))).await;
    let changed = made(later(500)).await;
    let change = json!({"amount": 550, "currency": "JPY", "customer_id": "bob"});
    shop.post(&format!("/payments/{changed}"), change).await;
    let confirmed = made(later(600)).await;
    let amex = json!({"payment_method_data": {"card": {
        "card_number": "378282246310005", "card_exp_month": "10", "card_exp_year": "90", "card_cvc": "1234"}}});
    shop.post(&format!("/payments/{confirmed}/confirm"), amex).await;
    made(with(payment(700), json!({"payment_method_data": card(DECLINED)}))).await;
    made(manual(800, "manual")).await;
    for (amount, how, parts) in [
        (900, "manual", &[400_i64][..]),
        (1000, "manual_multiple", &[300]),
        (1100, "manual_multiple", &[300, 800]),
        (1200, "manual", &[1200]),
    ] {
        let id = made(manual(amount, how)).await;
        for part in parts {
            let body = json!({"amount_to_capture": part});
            shop.post(&format!("/payments/{id}/capture"), body).await;
        }
    }
    let voided = made(manual(1300, "manual")).await;
    shop.post(&format!("/payments/{voided}/cancel"), json!({})).await;
    let reversed = made(payment(1400)).await;
    shop.post(&format!("/payments/{reversed}/cancel_post_capture"), json!({})).await;
    let challenge = json!({"authentication_type": "three_ds", "return_url": "https://shop.example/",
        "payment_method_data": card(CHALLENGED), "payment_method_type": "credit"});
    made(with(payment(1500), challenge)).await;
    // Failed, then paid by a second confirmation.
    let again = made(with(payment(1600), json!({"payment_method_data": card(DECLINED)}))).await;
    let body = json!({"payment_method_data": card("5555555555554444")});
    shop.post(&format!("/payments/{again}/confirm"), body).await;
    // Held, and then more of it.
    let wants = json!({"request_incremental_authorization": true});
    let raised = made(with(manual(850, "manual"), wants)).await;
    let body = json!({"amount": 2000});
    shop.post(&format!("/payments/{raised}/incremental_authorization"), body).await;
    let refunded = made(payment(1700)).await;
    let fails = json!({"verdict": {"decline": "closed_account"}});
    shop.server.script(json!({"operation": "refund", "amount": 222}), fails).await;
    for amount in [100, 222, 300] {
        shop.post("/refunds", json!({"payment_id": refunded, "amount": amount})).await;
    }
    tokio::time::sleep(Duration::from_millis(1_050)).await;
}

async fn allow_retries(shop: &Shop) {
    let body = json!({"merchant_id": shop.merchant, "is_manual_retry_enabled": true}).to_string();
    let path = format!("/accounts/{}", shop.merchant);
    let headers = [("api-key", OPERATOR)];
    let seen = client::send(shop.server.addr, "POST", &path, &headers, body.as_bytes()).await;
    assert_eq!(seen.status, 200, "{seen:?}");
}

/// Every word of a filter finds exactly the payments that show it, and counts them.
async fn agrees(shop: &Shop, all: &[Value], filter: &str, shown: &str) {
    let words: BTreeSet<&str> = all.iter().filter_map(|row| row.pointer(shown)?.as_str()).collect();
    assert!(!words.is_empty(), "{filter}");
    for word in words {
        let has = |row: &&Value| row.pointer(shown).and_then(Value::as_str) == Some(word);
        let want: Vec<&str> =
            all.iter().filter(has).map(|row| row["payment_id"].as_str().unwrap()).collect();
        let value = if filter == "customer_id" || filter.ends_with("reference_id") {
            json!(word)
        } else {
            json!([word])
        };
        let found = shop.post("/payments/list", json!({"limit": 100, filter: value})).await;
        assert_eq!(ids(&found), want, "{filter} {word}");
        let counts = (found["count"].as_u64(), found["total_count"].as_u64());
        let size = Some(u64::try_from(want.len()).unwrap());
        assert_eq!(counts, (size, size), "{filter} {word}");
    }
}

async fn lists_agree(store: Arc<dyn Store>) {
    let shop = Shop::named(Server::on(store).await, "shop").await;
    allow_retries(&shop).await;
    mix(&shop).await;
    // Whoever looks at the overdue one ends it.
    for row in ids(&shop.get("/payments/list?limit=100").await) {
        shop.get(&format!("/payments/{row}")).await;
    }
    let list = shop.get("/payments/list?limit=100").await;
    let all = list["data"].as_array().unwrap().clone();
    let statuses: BTreeSet<&str> = all.iter().filter_map(|row| row["status"].as_str()).collect();
    for (row, id) in all.iter().zip(ids(&list)) {
        assert_eq!(shop.get(&format!("/payments/{id}")).await, *row, "as by itself");
    }
    assert_eq!(statuses.len(), 11, "{statuses:?}");
    for (filter, shown) in [
        ("status", "/status"),
        ("currency", "/currency"),
        ("connector", "/connector"),
        ("merchant_connector_id", "/merchant_connector_id"),
        ("payment_method", "/payment_method"),
        ("payment_method_type", "/payment_method_type"),
        ("authentication_type", "/authentication_type"),
        ("card_network", "/payment_method_data/card/card_network"),
        ("customer_id", "/customer_id"),
        ("merchant_order_reference_id", "/merchant_order_reference_id"),
    ] {
        agrees(&shop, &all, filter, shown).await;
    }
    orders_and_pages(&shop, &all).await;
    cursors(&shop, &ids(&list)).await;
    of_refunds(&shop).await;
}

async fn orders_and_pages(shop: &Shop, all: &[Value]) {
    let mut amounts: Vec<i64> = all.iter().map(|row| row["amount"].as_i64().unwrap()).collect();
    amounts.sort_unstable();
    for (by, reverse) in [("asc", false), ("desc", true)] {
        let order = json!({"limit": 100, "order": {"on": "amount", "by": by}});
        let found = shop.post("/payments/list", order).await;
        let mut got: Vec<i64> = found["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["amount"].as_i64().unwrap())
            .collect();
        if reverse {
            got.reverse();
        }
        assert_eq!(got, amounts, "{by}");
    }
    let between = json!({"amount_filter": {"start_amount": 800, "end_amount": 1000}});
    let found = shop.post("/payments/list", between).await;
    assert_eq!(found["total_count"], 3, "{found}");
    let mut paged = Vec::new();
    for offset in (0..all.len()).step_by(5) {
        let page = shop.post("/payments/list", json!({"limit": 5, "offset": offset})).await;
        assert_eq!(page["total_count"], all.len());
        paged.extend(ids(&page));
    }
    let want: Vec<&str> = all.iter().map(|row| row["payment_id"].as_str().unwrap()).collect();
    assert_eq!(paged, want);
    let (newest, oldest) = (&all[0]["created"], &all[all.len() - 1]["created"]);
    // Two may be of one millisecond.
    let made_at = |time: &Value| all.iter().filter(|row| row["created"] == *time).count();
    for (filter, want) in [
        (json!({"start_time": oldest}), all.len()),
        (json!({"start_time": oldest, "end_time": newest}), all.len()),
        (json!({"start_time": newest}), made_at(newest)),
        (json!({"end_time": oldest}), made_at(oldest)),
        (json!({"payment_id": want[3]}), 1),
        (json!({"payment_id": "pay_none"}), 0),
        (json!({"profile_id": all[0]["profile_id"]}), all.len()),
        (json!({"profile_id": "pro_none"}), 0),
        (json!({"status": ["succeeded"], "currency": ["EUR"]}), 0),
        (json!({"status": []}), all.len()),
    ] {
        let found = shop.post("/payments/list", filter.clone()).await;
        assert_eq!(found["total_count"], want, "{filter}");
    }
}

/// Pages from cursors, both ways, are the list.
async fn cursors(shop: &Shop, all: &[String]) {
    let mut down = Vec::new();
    while let Some(last) = down.last().cloned().or(Some(String::new())) {
        let after = if last.is_empty() { String::new() } else { format!("&starting_after={last}") };
        let page = shop.get(&format!("/payments/list?limit=4{after}")).await;
        assert_eq!(page["size"].as_u64(), Some(page["data"].as_array().unwrap().len() as u64));
        let page = ids(&page);
        if page.is_empty() {
            break;
        }
        down.extend(page);
    }
    assert_eq!(down, all);
    let before = &all[9];
    let page = shop.get(&format!("/payments/list?limit=4&ending_before={before}")).await;
    assert_eq!(ids(&page), all[5..9]);
    let between =
        format!("/payments/list?limit=100&starting_after={}&ending_before={before}", all[2]);
    assert_eq!(ids(&shop.get(&between).await), all[3..9]);
    let at = shop.get(&format!("/payments/{before}")).await["created"].as_str().unwrap().to_owned();
    for (query, want) in [
        ("created", 9..10),
        ("created.gte", 0..10),
        ("created.gt", 0..9),
        ("created.lte", 9..all.len()),
        ("created.lt", 10..all.len()),
    ] {
        let found = shop.get(&format!("/payments/list?limit=100&{query}={at}")).await;
        assert_eq!(ids(&found), all[want], "{query}");
    }
}

async fn of_refunds(shop: &Shop) {
    let all = shop.post("/refunds/list", json!({})).await;
    assert_eq!((&all["count"], &all["total_count"]), (&json!(3), &json!(3)));
    let data = all["data"].as_array().unwrap();
    let amounts: Vec<_> = data.iter().map(|row| row["amount"].as_i64().unwrap()).collect();
    assert_eq!(amounts, [300, 222, 100], "newest first");
    assert_eq!(data[1]["status"], "failed");
    for row in data {
        let shown = shop.get(&format!("/refunds/{}", row["refund_id"].as_str().unwrap())).await;
        assert_eq!(shown, *row);
    }
    for (filter, want) in [
        (json!({"payment_id": data[0]["payment_id"]}), 3),
        (json!({"payment_id": "pay_none"}), 0),
        (json!({"refund_id": data[1]["refund_id"]}), 1),
        (json!({"refund_status": ["succeeded"]}), 2),
        (json!({"refund_status": ["pending", "failed"]}), 1),
        (json!({"refund_status": ["pending", "review"]}), 0),
        (json!({"connector": ["sandbox"]}), 3),
        (json!({"connector": ["stripe"]}), 0),
        (json!({"merchant_connector_id": [shop.connector]}), 3),
        (json!({"currency": ["USD"]}), 3),
        (json!({"currency": ["EUR"]}), 0),
        (json!({"amount_filter": {"start_amount": 150}}), 2),
        (json!({"start_time": data[0]["created_at"]}), 1),
        (json!({"limit": 1, "offset": 1}), 3),
    ] {
        let found = shop.post("/refunds/list", filter.clone()).await;
        assert_eq!(found["total_count"], want, "{filter}");
    }
    let page = shop.post("/refunds/list", json!({"limit": 1, "offset": 1})).await;
    assert_eq!((&page["count"], &page["data"][0]["amount"]), (&json!(1), &json!(222)));
}

fn migrating() -> OpenOptions {
    OpenOptions { migrate: true, ..OpenOptions::default() }
}

#[tokio::test]
async fn the_words_of_filters_are_those_that_they_take() {
    let shop = Shop::open().await;
    let labelled = json!({"connector_type": "payment_processor", "connector_name": "sandbox",
        "connector_label": "second", "disabled": true,
        "connector_account_details": {"auth_type": "HeaderKey", "api_key": "any"}});
    let second = shop.post("/account/shop/connectors", labelled).await;
    let words = shop.get("/payments/filter").await;
    let connectors = words["connector"].as_object().unwrap();
    assert_eq!(connectors.len(), 1, "{words}");
    let of_sandbox = connectors["sandbox"].as_array().unwrap();
    assert_eq!(of_sandbox.len(), 2, "{words}");
    let label = json!({"connector_label": "second",
        "merchant_connector_id": second["merchant_connector_id"]});
    assert!(of_sandbox.contains(&label), "{words}");
    assert_eq!(words["payment_method"]["card"], json!(["credit", "debit"]));
    assert!(words["payment_method"]["bank_redirect"].as_array().unwrap().contains(&json!("ideal")));
    for filter in ["currency", "status", "authentication_type", "card_network"] {
        let all = words[filter].as_array().unwrap();
        assert!(all.len() > 1, "{filter}: {words}");
        // A filter takes at most a hundred words.
        for some in all.chunks(100) {
            let found = shop.post("/payments/list", json!({filter: some})).await;
            assert_eq!(found["total_count"], 0, "{filter}");
        }
    }
    // Another merchant's connectors are not named.
    let other = Shop::named(shop.server, "other").await;
    let words = other.get("/payments/filter").await;
    assert_eq!(words["connector"]["sandbox"].as_array().map(Vec::len), Some(1), "{words}");
    assert_eq!(words["connector"]["sandbox"][0]["merchant_connector_id"], other.connector);
}

#[tokio::test]
async fn lists_agree_with_their_payments_in_memory() {
    lists_agree(Arc::new(MemoryStore::default())).await;
}

#[tokio::test]
async fn lists_agree_with_their_payments_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("lists.db").display());
    lists_agree(baton_store::open(&url, migrating()).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_agree_with_their_payments_on_postgres() {
    let Some(url) = super::crowd::postgres_database().await else {
        return writeln!(std::io::stderr(), "SKIPPED 1: no PostgreSQL").unwrap();
    };
    lists_agree(baton_store::open(&url, migrating()).await.unwrap()).await;
}

#[tokio::test]
async fn a_doubt_is_listed_as_it_stands_and_so_is_its_end() {
    let shop = Shop::named(Server::impatient(800).await, "shop").await;
    let count = async |status: &str| {
        shop.post("/payments/list", json!({"status": [status]})).await["total_count"].clone()
    };
    let blind = json!({"fault": {"commit": "never", "answer": {"status": {"status": 500}}}});
    shop.server.script(json!({"operation": "lookup"}), blind).await;
    let lost = json!({"fault": {"commit": "first", "answer": "close"}});
    shop.server.script(json!({"operation": "sale"}), lost).await;
    let made = shop.post("/payments", payment(4242)).await;
    assert_eq!(
        (&made["status"], &made["error_code"]),
        (&json!("processing"), &json!("outcome_unknown"))
    );
    assert_eq!((count("processing").await, count("succeeded").await), (json!(1), json!(0)));
    client::send(shop.server.sandbox.addr(), "DELETE", "/admin/rules", &[], b"").await;
    let path = format!("/payments/{}?force_sync=true", made["payment_id"].as_str().unwrap());
    let started = tokio::time::Instant::now();
    while shop.get(&path).await["status"] != "succeeded" {
        assert!(started.elapsed() < Duration::from_secs(20), "{made}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!((count("processing").await, count("succeeded").await), (json!(0), json!(1)));
}

#[tokio::test]
async fn a_list_refuses_what_it_does_not_understand() {
    let shop = Shop::open().await;
    for (path, body, code) in [
        ("/payments/list", json!({"status": ["paid"]}), "IR_07"),
        ("/payments/list", json!({"status": "succeeded"}), "IR_06"),
        ("/payments/list", json!({"currency": ["ZZZ"]}), "IR_06"),
        ("/payments/list", json!({"authentication_type": ["4ds"]}), "IR_07"),
        ("/payments/list", json!({"connector": ["a,b"]}), "IR_07"),
        ("/payments/list", json!({"connector": ["%"]}), "IR_07"),
        ("/payments/list", json!({"limit": 0}), "IR_07"),
        ("/payments/list", json!({"limit": 101}), "IR_07"),
        ("/payments/list", json!({"offset": -1}), "IR_07"),
        ("/payments/list", json!({"order": {"on": "name"}}), "IR_06"),
        ("/payments/list", json!({"start_time": "yesterday"}), "IR_07"),
        (
            "/payments/list",
            json!({"start_time": "2027-01-31T00:00:00Z", "end_time": "2026-01-31T00:00:00Z"}),
            "IR_07",
        ),
        ("/payments/list", json!({"amount_filter": {"start_amount": 2, "end_amount": 1}}), "IR_07"),
        ("/payments/list", json!({"sort": 1}), "IR_06"),
        ("/refunds/list", json!({"refund_status": ["done"]}), "IR_07"),
        ("/refunds/list", json!({"limit": 1000}), "IR_07"),
    ] {
        let seen = shop.send("POST", path, &body).await;
        assert_eq!(
            (seen.status, &seen.json()["error"]["code"]),
            (400, &json!(code)),
            "{body} {seen:?}"
        );
    }
    for query in ["limit=0", "created.gte=x", "created=2026", "limit=x"] {
        let seen = shop.send("GET", &format!("/payments/list?{query}"), &Value::Null).await;
        assert_eq!(
            (seen.status, &seen.json()["error"]["code"]),
            (400, &json!("IR_07")),
            "{query} {seen:?}"
        );
    }
    for cursor in ["starting_after", "ending_before"] {
        let seen =
            shop.send("GET", &format!("/payments/list?{cursor}=pay_none"), &Value::Null).await;
        assert_eq!(seen.status, 404, "{seen:?}");
    }
}

#[tokio::test]
async fn attempts_and_captures_are_shown_one_by_one_where_asked_for() {
    let shop = Shop::open().await;
    allow_retries(&shop).await;
    let second = json!({"connector_type": "payment_processor", "connector_name": "sandbox",
        "connector_label": "second", "connector_account_details": {"auth_type": "HeaderKey", "api_key": "any"}});
    let second = shop.post(&format!("/account/{}/connectors", shop.merchant), second).await;
    // The first connector refuses by itself, so that the second one is asked: two attempts of one confirmation.
    let down = json!({"verdict": {"decline": "merchant_account_disabled"}});
    shop.server.script(json!({"account": shop.connector, "operation": "authorize"}), down).await;
    let made = shop.post("/payments", manual(1000, "manual_multiple")).await;
    let id = made["payment_id"].as_str().unwrap();
    assert_eq!((&made["attempts"], &made["captures"]), (&Value::Null, &Value::Null));
    shop.post(&format!("/payments/{id}/capture"), json!({"amount_to_capture": 300})).await;
    shop.post(&format!("/payments/{id}/capture"), json!({"amount_to_capture": 200})).await;
    let plain = shop.get(&format!("/payments/{id}?expand_attempts=false")).await;
    assert_eq!((&plain["attempts"], &plain["captures"]), (&Value::Null, &Value::Null));
    let seen = shop.get(&format!("/payments/{id}?expand_attempts=true&expand_captures=true")).await;
    let attempts = seen["attempts"].as_array().unwrap();
    let told: Vec<_> =
        attempts.iter().map(|a| (&a["attempt_id"], &a["status"], &a["amount"])).collect();
    let (one, two) = (json!(format!("{id}_1")), json!(format!("{id}_2")));
    let want = [
        (&one, &json!("failure"), &json!(1000)),
        (&two, &json!("partial_charged_and_chargeable"), &json!(1000)),
    ];
    assert_eq!(told, want, "{seen}");
    assert_eq!(attempts[0]["error_code"], "merchant_account_disabled");
    assert_eq!(attempts[1]["connector_transaction_id"], seen["connector_transaction_id"]);
    assert_eq!(seen["merchant_connector_id"], second["merchant_connector_id"]);
    let captures = seen["captures"].as_array().unwrap();
    let told: Vec<_> = captures
        .iter()
        .map(|c| (&c["capture_sequence"], &c["status"], &c["amount"], &c["authorized_attempt_id"]))
        .collect();
    let (first, then) = ((json!(1), json!(300)), (json!(2), json!(200)));
    let charged = json!("charged");
    assert_eq!(told, [(&first.0, &charged, &first.1, &two), (&then.0, &charged, &then.1, &two)]);
    assert!(
        captures
            .iter()
            .all(|c| c["connector_capture_id"].is_string() && c["connector"] == "sandbox")
    );
    client::send(shop.server.sandbox.addr(), "DELETE", "/admin/rules", &[], b"").await;
    for (body, status) in [
        (json!({"amount": 10, "currency": "USD"}), "payment_method_awaited"),
        (with(payment(11), json!({"confirm": false})), "confirmation_awaited"),
        (payment(12), "charged"),
        (manual(13, "manual"), "authorized"),
        (with(payment(14), json!({"payment_method_data": card(DECLINED)})), "failure"),
    ] {
        let made = shop.post("/payments", body).await;
        let path = format!("/payments/{}", made["payment_id"].as_str().unwrap());
        let seen = shop.get(&format!("{path}?expand_attempts=true&expand_captures=true")).await;
        let attempts = seen["attempts"].as_array().unwrap();
        assert_eq!((attempts.len(), &attempts[0]["status"]), (1, &json!(status)), "{seen}");
        assert_eq!(seen["captures"], json!([]));
    }
}

/// Everything of a store but the rows by which it lists: what a build without lists has left.
async fn without_lists(from: &dyn Store) -> MemoryStore {
    let to = MemoryStore::default();
    copy_without_lists(from, &to).await;
    to
}

async fn copy_without_lists(from: &dyn Store, to: &dyn Store) {
    let put = async |writes: Vec<Write>| to.commit(writes.into()).await.unwrap();
    for merchant in from.merchants().await.unwrap() {
        let id = merchant.id;
        put(vec![Write::Merchant(merchant)]).await;
        put(from.api_keys(id).await.unwrap().into_iter().map(Write::ApiKey).collect()).await;
        put(from.accounts(id).await.unwrap().into_iter().map(Write::Account).collect()).await;
        for kind in ["merchant_account", "profile", "connector", "customer", "intent", "refund"] {
            let query = DocumentQuery {
                merchant: id,
                kind: kind.to_owned(),
                owner: None,
                from: Timestamp::from_millis(0),
                to: Timestamp::from_millis(i64::MAX),
                after: None,
                statuses: vec![],
                removed: true,
                limit: 1_000,
            };
            let rows = from.documents(&query).await.unwrap().into_iter();
            put(rows.map(|row| Write::Document(DocumentRow { version: 1, ..row })).collect()).await;
            for row in from.documents(&query).await.unwrap() {
                let body: Value = serde_json::from_str(&row.body).unwrap();
                for made in body["tries"].as_array().into_iter().flatten() {
                    let made = PaymentId::parse(made.as_str().unwrap()).unwrap();
                    let row = from.payment(id, made).await.unwrap().unwrap();
                    let last = from.event(id, made, row.version).await.unwrap().unwrap();
                    put(vec![Write::Payment(row), Write::Event(last)]).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn what_a_build_without_lists_has_stored_is_listed_once() {
    let store = Arc::new(MemoryStore::default());
    let shop = Shop::named(Server::on(Arc::clone(&store) as Arc<dyn Store>).await, "shop").await;
    allow_retries(&shop).await;
    mix(&shop).await;
    for id in ids(&shop.get("/payments/list?limit=100").await) {
        shop.get(&format!("/payments/{id}")).await;
    }
    let (all, filter) = (json!({"limit": 100}), json!({"limit": 100, "status": ["succeeded"]}));
    let old = Arc::new(without_lists(store.as_ref()).await);
    let other = Server::on(Arc::clone(&old) as Arc<dyn Store>).await;
    let other = Shop {
        server: other,
        key: shop.key.clone(),
        merchant: shop.merchant.clone(),
        publishable: shop.publishable.clone(),
        connector: shop.connector.clone(),
    };
    assert_eq!(other.post("/payments/list", all.clone()).await["total_count"], 0);
    let payments = baton_payments::Payments::new(other.server.engine.clone(), true);
    let listed = payments.list_what_is_there().await.unwrap();
    assert!(listed >= 20, "{listed}");
    for path in ["/payments/list", "/refunds/list"] {
        assert_eq!(other.post(path, all.clone()).await, shop.post(path, all.clone()).await);
    }
    let filtered = shop.post("/payments/list", filter.clone()).await;
    assert_eq!(other.post("/payments/list", filter).await, filtered);
    assert_eq!(payments.list_what_is_there().await.unwrap(), 0, "it is noted that all is listed");
}

/// More than a page of them, and many change while they are being listed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_while_it_is_listed_is_listed_as_it_stands_in_the_end() {
    const ALL: usize = 230;
    let store = Arc::new(MemoryStore::default());
    let shop = Shop::named(Server::on(Arc::clone(&store) as Arc<dyn Store>).await, "shop").await;
    let mut made = Vec::new();
    for amount in 1..=ALL {
        let body = json!({"amount": amount, "currency": "USD"});
        made.push(shop.post("/payments", body).await["payment_id"].as_str().unwrap().to_owned());
    }
    // On a disk, where a commit takes its time: what is listed last was read long before.
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("old.db").display());
    let old: Arc<dyn Store> = baton_store::open(&url, migrating()).await.unwrap();
    copy_without_lists(store.as_ref(), old.as_ref()).await;
    let other = Shop { server: Server::on(old).await, ..shop };
    let payments = baton_payments::Payments::new(other.server.engine.clone(), true);
    let given_up: Vec<&String> = made.iter().step_by(2).collect();
    let changing = async {
        for id in &given_up {
            other.post(&format!("/payments/{id}/cancel"), json!({})).await;
        }
    };
    let (listed, ()) = tokio::join!(payments.list_what_is_there(), changing);
    assert_eq!(listed.unwrap(), u64::try_from(ALL).unwrap());
    let count = async |filter: Value| {
        other.post("/payments/list", filter).await["total_count"].as_u64().unwrap()
    };
    assert_eq!(count(json!({})).await, 230);
    assert_eq!(count(json!({"status": ["cancelled"]})).await, 115);
    assert_eq!(count(json!({"status": ["requires_payment_method"]})).await, 115);
}
