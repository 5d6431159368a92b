//! The audit log over HTTP: who sees what of it, and what a change through the API leaves there.

use baton_engine::audit::{Actor, Head};
use baton_engine::keys::{self, NewKey, Scope};
use baton_engine::merchants;
use serde_json::{Value, json};

use crate::client::{self, Seen};
use crate::server::{OPERATOR, Server};

async fn get(server: &Server, key: &str, query: &str) -> Seen {
    let path = format!("/admin/v1/audit{query}");
    client::send(server.addr, "GET", &path, &[("x-api-key", key)], b"").await
}

async fn seqs(server: &Server, key: &str, query: &str) -> Vec<u64> {
    let seen = get(server, key, query).await;
    assert_eq!(seen.status, 200, "{query}: {seen:?}");
    let body = seen.json();
    let rows = body.get("data").and_then(Value::as_array);
    rows.into_iter().flatten().filter_map(|row| row.get("seq")?.as_u64()).collect()
}

#[tokio::test]
async fn a_change_says_who_made_it_and_in_which_request() {
    let server = Server::start().await;
    let admin = server.make_key(&[Scope::Admin], true, None).await;
    let id_of = async |text: &str| {
        let rows = server.engine.store().api_keys(server.merchant).await.unwrap();
        rows.into_iter().find(|row| text.ends_with(&row.hint)).unwrap().id.to_string()
    };
    let admin_id = id_of(&admin).await;
    let body = br#"{"name": "till 4", "sandbox": true}"#;
    for (key, actor) in [(OPERATOR, "operator"), (admin.as_str(), admin_id.as_str())] {
        let sent = [("x-api-key", key)];
        let made = client::send(server.addr, "POST", "/admin/v1/api-keys", &sent, body).await;
        assert_eq!(made.status, 201, "{made:?}");
        let id = made.json()["key"]["id"].as_str().unwrap().to_owned();
        let path = format!("/admin/v1/api-keys/{id}");
        let ended = client::send(server.addr, "DELETE", &path, &sent, b"").await;
        assert_eq!(ended.status, 204, "{ended:?}");

        let seen = get(&server, key, &format!("?subject={id}")).await.json();
        let rows = seen["data"].as_array().unwrap();
        let want = [("key_revoked", &ended), ("key_created", &made)];
        assert_eq!(rows.len(), 2, "{seen}");
        for (row, (action, answer)) in rows.iter().zip(want) {
            assert_eq!((&row["action"], &row["actor"]), (&json!(action), &json!(actor)));
            assert_eq!(row["request_id"].as_str(), answer.header("x-request-id"));
            assert_eq!(row["merchant"], server.merchant.to_string());
            assert_eq!(row["detail"]["name"], "till 4");
        }
        assert_eq!(rows[0]["prev"], rows[1]["hash"]);
        let secret = made.json()["api_key"].as_str().unwrap().to_owned();
        assert!(!seen.to_string().contains(&secret));

        // What is logged is enough to prove the entry later.
        let head = get(&server, key, "/head").await.json();
        assert_eq!(head["hash"], rows[0]["hash"]);
        let parsed = Head::parse(head["head"].as_str().unwrap()).unwrap();
        assert_eq!(Some(parsed), server.engine.audit().head().await.unwrap());
        let lines = crate::logs::with("baton::audit", &id);
        let heads: Vec<&Value> = lines.iter().map(|line| &line["head"]).collect();
        assert_eq!(heads.last(), Some(&&head["head"]), "{lines:?}");
    }
}

#[tokio::test]
async fn filters_and_pages() {
    let server = Server::start().await;
    let all = seqs(&server, OPERATOR, "").await;
    let count = u64::try_from(all.len()).unwrap();
    assert!(count > 6, "{all:?}");
    assert_eq!(all, (1..=count).rev().collect::<Vec<_>>(), "newest first, without a gap");

    let mut read = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = get(&server, OPERATOR, &format!("?limit=3{cursor}")).await.json();
        let rows = page["data"].as_array().unwrap();
        assert!(!rows.is_empty() && rows.len() <= 3);
        read.extend(rows.iter().map(|row| row["seq"].as_u64().unwrap()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(read, all);

    let created = seqs(&server, OPERATOR, "?action=key_created&actor=system").await;
    assert_eq!(created.len(), 1);
    assert_eq!(seqs(&server, OPERATOR, "?actor=operator").await, [0; 0]);
    assert_eq!(seqs(&server, OPERATOR, "?to=2001-01-01T00:00:00Z").await, [0; 0]);
    assert_eq!(seqs(&server, OPERATOR, "?from=2001-01-01T00:00:00Z").await, all);
    let accounts = seqs(&server, OPERATOR, "?action=account_put&limit=1000").await;
    assert_eq!(accounts.len() as u64, count - 2, "all but the merchant and the key");

    for (query, field) in [
        ("?limit=0", "limit"),
        ("?limit=1001", "limit"),
        ("?limit=x", "limit"),
        ("?cursor=-1", "cursor"),
        ("?from=yesterday", "from"),
        ("?to=", "to"),
        ("?action=everything", "action"),
        ("?merchant=default", "merchant"),
        ("?nothing=1", "nothing"),
        ("?limit=1&limit=2", "limit"),
    ] {
        let seen = get(&server, OPERATOR, query).await;
        assert_eq!((seen.status, seen.json()["fieldName"].as_str()), (400, Some(field)), "{query}");
    }
}

#[tokio::test]
async fn a_merchants_key_sees_its_own_entries_only() {
    let server = Server::start().await;
    let audit = server.engine.audit();
    let stranger = merchants::ensure(audit, Actor::System, "stranger").await.unwrap();
    let new = NewKey {
        merchant: stranger,
        name: "admin".to_owned(),
        scopes: vec![Scope::Admin],
        sandbox: true,
        expires_at: None,
        rate_limit: None,
    };
    let (_, strange) = keys::create(audit, Actor::System, new).await.unwrap();
    let all = seqs(&server, OPERATOR, "").await;
    let (own, foreign) =
        (format!("?merchant={stranger}"), format!("?merchant={}", server.merchant));
    assert_eq!(seqs(&server, strange.expose(), "").await, all[..2]);
    assert_eq!(seqs(&server, strange.expose(), &own).await, all[..2]);
    let refused = get(&server, strange.expose(), &foreign).await;
    assert_eq!((refused.status, refused.json()["fieldName"].as_str()), (400, Some("merchant")));
    assert_eq!(seqs(&server, OPERATOR, &own).await, all[..2]);
    assert_eq!(seqs(&server, OPERATOR, &foreign).await, all[2..]);
}
