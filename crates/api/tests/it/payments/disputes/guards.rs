//! What is refused, and who sees what.

use serde_json::{Value, json};

use super::{
    DISPUTED, INQUIRED, Shop, accept, at_provider, decide, dispute_of, disputed, evidence, path,
    pay, refused, subscribe, with,
};

const PATHS: [&str; 2] = ["accept", "evidence"];

async fn answer(shop: &Shop, which: &str, dispute: &Value) -> crate::client::Seen {
    match which {
        "accept" => shop.send("POST", &accept(dispute), &json!({})).await,
        _ => shop.send("POST", "/disputes/evidence", &evidence(dispute, "it was her")).await,
    }
}

/// Every stage and state, but for those in which it is allowed: each is refused, and the provider hears nothing.
#[tokio::test]
async fn only_what_is_open_can_be_answered() {
    let shop = Shop::open().await;
    let connector = shop.connector.clone();
    subscribe(&shop, &connector, "own", json!({})).await;
    for stage in ["pre_dispute", "dispute", "pre_arbitration"] {
        for status in ["challenged", "accepted", "won", "lost", "expired", "cancelled"] {
            let number = if stage == "pre_dispute" { INQUIRED } else { DISPUTED };
            let id = pay(&shop, number, 500).await;
            let dispute = dispute_of(&shop, &id, "dispute_opened").await;
            decide(&shop, &connector, &dispute, json!({"stage": stage, "status": status})).await;
            let now = dispute_of(&shop, &id, &format!("dispute_{status}")).await;
            for which in PATHS {
                let seen = answer(&shop, which, &dispute).await;
                let part =
                    format!("the dispute is in {stage} stage and has dispute_{status} status");
                let part = part.replace("the dispute is", "because it is");
                refused(&seen, 400, "IR_16", &part);
            }
            assert_eq!(at_provider(&shop, &connector, &dispute).await, status);
            assert_eq!(shop.get(&path(&dispute)).await, now);
        }
    }
    let id = pay(&shop, INQUIRED, 500).await;
    let inquiry = dispute_of(&shop, &id, "dispute_opened").await;
    let seen = answer(&shop, "accept", &inquiry).await;
    refused(&seen, 400, "IR_16", "in pre_dispute stage and has dispute_opened status");
    let told = answer(&shop, "evidence", &inquiry).await;
    assert_eq!(told.json()["dispute_status"], "dispute_challenged", "{told:?}");
}

#[tokio::test]
async fn evidence_that_cannot_be_right_is_refused() {
    let shop = Shop::open().await;
    let connector = shop.connector.clone();
    subscribe(&shop, &connector, "own", json!({})).await;
    let dispute = disputed(&shop).await;
    let id = json!({"dispute_id": dispute["dispute_id"]});
    let long = "x".repeat(20_001);
    let rows = [
        (json!({}), "IR_16", "no evidence"),
        (json!({"customer_name": "  "}), "IR_16", "no evidence"),
        (json!({"customer_name": null}), "IR_16", "no evidence"),
        (json!({"customer_name": 5}), "IR_06", "expected a string"),
        (json!({"colour": "red"}), "IR_06", "unknown field `colour`"),
        (json!({"4111111111111111": "red"}), "IR_06", "unknown field"),
        (json!({"receipt": "file_1"}), "IR_07", "receipt: files are not taken here"),
        (json!({"uncategorized_text": long}), "IR_07", "longer than 20000"),
        (
            json!({"uncategorized_text": "paid by 4111 1111 1111 1111"}),
            "IR_07",
            "holds a card number",
        ),
        (json!({"dispute_id": null, "customer_name": "Ada"}), "IR_04", "dispute_id"),
    ];
    for (more, code, part) in rows {
        let seen = shop.send("POST", "/disputes/evidence", &with(id.clone(), more)).await;
        refused(&seen, 400, code, part);
        assert!(!seen.body.contains("4111"), "{seen:?}");
    }
    for query in [
        "limit=0",
        "limit=101",
        "dispute_status=gone",
        "dispute_stage=gone",
        "received_time.lt=soon",
        "currency=ZZZ",
    ] {
        let seen = shop.send("GET", &format!("/disputes/list?{query}"), &Value::Null).await;
        assert_eq!(seen.status, 400, "{query}: {seen:?}");
    }
    refused(
        &shop.send("GET", "/disputes/aggregate", &Value::Null).await,
        400,
        "IR_04",
        "start_time",
    );
    assert_eq!(at_provider(&shop, &connector, &dispute).await, "opened");
    assert_eq!(shop.get(&path(&dispute)).await, dispute);
}

#[tokio::test]
async fn a_dispute_is_its_merchants_and_its_profiles_only() {
    let shop = Shop::open().await;
    let connector = shop.connector.clone();
    subscribe(&shop, &connector, "own", json!({})).await;
    let dispute = disputed(&shop).await;
    let own = shop.key.clone();
    let other = Shop::named(shop.server, "other").await;
    let headers = [("api-key", own.as_str()), ("content-type", "application/json")];
    let profile = crate::client::send(
        other.server.addr,
        "POST",
        "/account/shop/business_profile",
        &headers,
        br#"{"profile_name": "second"}"#,
    )
    .await;
    let second = profile.json()["profile_id"].as_str().unwrap().to_owned();
    let ask = async |key: &str, profile: Option<&str>, method: &str, path: &str, body: &Value| {
        let mut headers = vec![("api-key", key), ("content-type", "application/json")];
        headers.extend(profile.map(|profile| ("x-profile-id", profile)));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        crate::client::send(other.server.addr, method, path, &headers, body.as_bytes()).await
    };
    let strangers = [(other.key.as_str(), None), (own.as_str(), Some(second.as_str()))];
    let id = dispute["dispute_id"].as_str().unwrap();
    for (key, profile) in strangers {
        for (method, at, body) in [
            ("GET", path(&dispute), Value::Null),
            ("GET", format!("{}?force_sync=true", path(&dispute)), Value::Null),
            ("GET", format!("/disputes/evidence/{id}"), Value::Null),
            ("POST", accept(&dispute), json!({})),
            ("POST", "/disputes/evidence".to_owned(), evidence(&dispute, "x")),
        ] {
            let seen = ask(key, profile, method, &at, &body).await;
            refused(&seen, 404, "HE_02", "Dispute does not exist in our records");
        }
        for list in ["/disputes/list", "/disputes/profile/list"] {
            assert_eq!(ask(key, profile, "GET", list, &Value::Null).await.json(), json!([]));
        }
        let path = "/disputes/profile/aggregate?start_time=2020-01-01T00:00:00Z";
        let counts = ask(key, profile, "GET", path, &Value::Null).await.json();
        assert_eq!(counts["status_with_count"]["dispute_opened"], 0, "{counts}");
    }
    let mine = ask(&own, None, "GET", &path(&dispute), &Value::Null).await;
    assert_eq!(mine.json(), dispute);
}

#[tokio::test]
async fn disputes_are_found_by_what_they_are() {
    let shop = Shop::open().await;
    let connector = shop.connector.clone();
    subscribe(&shop, &connector, "own", json!({})).await;
    let (first, second) = (disputed(&shop).await, disputed(&shop).await);
    let third = pay(&shop, INQUIRED, 700).await;
    let third = dispute_of(&shop, &third, "dispute_opened").await;
    let lost = json!({"status": "lost"});
    decide(&shop, &connector, &first, lost).await;
    let first = dispute_of(&shop, first["payment_id"].as_str().unwrap(), "dispute_lost").await;
    let at = |dispute: &Value| dispute["created_at"].as_str().unwrap().to_owned();
    let rows = [
        (String::new(), vec![&third, &second, &first]),
        ("limit=2".to_owned(), vec![&third, &second]),
        ("dispute_status=dispute_lost".to_owned(), vec![&first]),
        (
            "dispute_status=dispute_lost,dispute_opened&dispute_stage=dispute".to_owned(),
            vec![&second, &first],
        ),
        ("dispute_stage=pre_dispute".to_owned(), vec![&third]),
        ("dispute_stage=arbitration".to_owned(), vec![]),
        ("reason=fraudulent".to_owned(), vec![&third, &second, &first]),
        ("reason=duplicate".to_owned(), vec![]),
        ("connector=sandbox".to_owned(), vec![&third, &second, &first]),
        ("connector=stripe".to_owned(), vec![]),
        (format!("merchant_connector_id={connector}&currency=USD"), vec![&third, &second, &first]),
        ("currency=EUR".to_owned(), vec![]),
        (format!("received_time={}", at(&second)), vec![&second]),
        (format!("received_time.gte={}", at(&second)), vec![&third, &second]),
        (format!("received_time.gt={}", at(&second)), vec![&third]),
        (format!("received_time.lte={}", at(&second)), vec![&second, &first]),
        (format!("received_time.lt={}", at(&second)), vec![&first]),
        (format!("dispute_id={}", second["dispute_id"].as_str().unwrap()), vec![&second]),
    ];
    for (query, want) in rows {
        let got = shop.get(&format!("/disputes/list?{query}")).await;
        assert_eq!(got, json!(want), "{query}");
    }
    let counts = shop.get("/disputes/aggregate?start_time=2020-01-01T00:00:00Z").await;
    let want = json!({"dispute_opened": 2, "dispute_lost": 1, "dispute_challenged": 0, "dispute_accepted": 0,
        "dispute_won": 0, "dispute_expired": 0, "dispute_cancelled": 0});
    assert_eq!(counts, json!({"status_with_count": want}));
}
