//! What becomes of payments, step by step.

use serde_json::{Value, json};

use super::{Shop, card, payment, with};
use crate::client;

#[track_caller]
fn sums(payment: &Value, status: &str, capturable: i64, received: Option<i64>) {
    let got = (&payment["status"], &payment["amount_capturable"], &payment["amount_received"]);
    assert_eq!(got, (&json!(status), &json!(capturable), &json!(received)), "{payment}");
}

#[tokio::test]
async fn a_payment_is_created_confirmed_and_refunded() {
    let shop = Shop::open().await;
    let new = json!({"amount": 6540, "currency": "USD", "description": "Socks",
        "metadata": {"order": "7"}, "billing": {"address": {"city": "London"}}});
    let made = shop.post("/payments", new).await;
    sums(&made, "requires_payment_method", 6540, None);
    assert_eq!(made["merchant_id"], shop.merchant.as_str());
    let id = made["payment_id"].as_str().unwrap();
    let secret = made["client_secret"].as_str().unwrap();
    assert!(
        secret.starts_with(&format!("{id}_secret_")) && secret.len() == id.len() + 28,
        "{secret}"
    );

    let update = json!({"amount": 7000, "payment_method_data": card("4111111111111111")});
    let updated = shop.post(&format!("/payments/{id}"), update).await;
    sums(&updated, "requires_confirmation", 7000, None);
    assert_eq!(updated["payment_method_data"]["card"]["last4"], "1111");

    let done = shop.post(&format!("/payments/{id}/confirm"), Value::Null).await;
    sums(&done, "succeeded", 0, Some(7000));
    assert_eq!(done["connector"], "sandbox");
    assert_eq!(done["merchant_connector_id"], shop.connector.as_str());
    assert!(done["connector_transaction_id"].is_string(), "{done}");
    assert_eq!(
        (&done["metadata"]["order"], &done["billing"]["address"]["city"]),
        (&json!("7"), &json!("London"))
    );
    assert_eq!(shop.get(&format!("/payments/{id}")).await, done);

    let refund = json!({"payment_id": id, "refund_id": "r-1", "amount": 600, "reason": "late"});
    let refund = shop.post("/refunds", refund.clone()).await;
    assert_eq!((&refund["status"], &refund["amount"]), (&json!("succeeded"), &json!(600)));
    let again = json!({"payment_id": id, "refund_id": "r-1", "amount": 600, "reason": "late"});
    assert_eq!(shop.post("/refunds", again).await, refund, "a repeat gives what is there");
    let rest = shop.post("/refunds", json!({"payment_id": id, "amount": 6400})).await;
    assert_eq!(rest["status"], "succeeded");
    let much = shop.send("POST", "/refunds", &json!({"payment_id": id, "amount": 1})).await;
    assert_eq!((much.status, &much.json()["error"]["code"]), (400, &json!("IR_13")), "{much:?}");
    let list = shop.post("/refunds/list", json!({"payment_id": id})).await;
    assert_eq!(list["count"], 2);
}

#[tokio::test]
async fn what_is_held_is_captured_or_given_up() {
    let shop = Shop::open().await;
    let hold = |method: &str| with(payment(1000), json!({"capture_method": method}));
    let rows: [(&str, &[i64], &str, i64, i64); 4] = [
        ("manual", &[1000], "succeeded", 0, 1000),
        ("manual", &[400], "partially_captured", 0, 400),
        ("manual_multiple", &[400], "partially_captured_and_capturable", 600, 400),
        ("manual_multiple", &[400, 600], "succeeded", 0, 1000),
    ];
    for (method, captures, status, capturable, received) in rows {
        let held = shop.post("/payments", hold(method)).await;
        sums(&held, "requires_capture", 1000, None);
        let id = held["payment_id"].as_str().unwrap();
        let mut last = Value::Null;
        for amount in captures {
            let body = json!({"amount_to_capture": amount});
            last = shop.post(&format!("/payments/{id}/capture"), body).await;
        }
        sums(&last, status, capturable, Some(received));
    }
    let held = shop.post("/payments", hold("manual")).await;
    let id = held["payment_id"].as_str().unwrap();
    let path = format!("/payments/{id}/capture");
    let much = shop.send("POST", &path, &json!({"amount_to_capture": 1001})).await;
    assert_eq!(
        (much.status, &much.json()["error"]["message"]),
        (400, &json!("amount_to_capture is greater than amount"))
    );
    let body = json!({"cancellation_reason": "changed my mind"});
    let gone = shop.post(&format!("/payments/{id}/cancel"), body).await;
    sums(&gone, "cancelled", 0, None);
    assert_eq!(gone["cancellation_reason"], "changed my mind");
    let late = shop.send("POST", &path, &Value::Null).await;
    assert_eq!((late.status, &late.json()["error"]["code"]), (400, &json!("IR_14")), "{late:?}");

    let early = shop.post("/payments", json!({"amount": 5, "currency": "USD"})).await;
    let path = format!("/payments/{}/cancel", early["payment_id"].as_str().unwrap());
    sums(&shop.post(&path, Value::Null).await, "cancelled", 0, None);
    let charged = shop.post("/payments", payment(900)).await;
    let id = charged["payment_id"].as_str().unwrap();
    let undone = shop.post(&format!("/payments/{id}/cancel_post_capture"), Value::Null).await;
    assert_eq!(undone["status"], "cancelled_post_capture");
}

#[tokio::test]
async fn a_decline_is_an_answer_and_a_doubt_is_processing() {
    let shop = Shop::open().await;
    let declined = with(payment(1000), json!({"payment_method_data": card("4000000000009995")}));
    let declined = shop.post("/payments", declined).await;
    sums(&declined, "failed", 0, None);
    assert_eq!(declined["error_code"], "insufficient_funds");
    let id = declined["payment_id"].as_str().unwrap();
    let refund = shop.send("POST", "/refunds", &json!({"payment_id": id, "amount": 1})).await;
    assert_eq!((refund.status, &refund.json()["error"]["code"]), (400, &json!("IR_14")));
    // Pending for two seconds.
    let pending = with(payment(1000), json!({"payment_method_data": card("4000000000009110")}));
    let patience = Shop::named(crate::server::Server::impatient(300).await, "hasty").await;
    let pending = patience.post("/payments", pending).await;
    assert_eq!(pending["status"], "processing", "{pending}");
    let path = format!("/payments/{}?force_sync=true", pending["payment_id"].as_str().unwrap());
    for _ in 0..100 {
        if patience.get(&path).await["status"] == "succeeded" {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("still not known");
}

#[tokio::test]
async fn of_two_confirmations_at_once_one_charges() {
    let shop = Shop::open().await;
    let shop = &shop;
    for _ in 0..10 {
        let new = json!({"amount": 500, "currency": "USD"});
        let made = shop.post("/payments", new).await;
        let path = format!("/payments/{}/confirm", made["payment_id"].as_str().unwrap());
        let body = json!({"payment_method_data": card("4111111111111111")});
        let (a, b) = tokio::join!(shop.send("POST", &path, &body), shop.send("POST", &path, &body));
        let mut statuses = [a.status, b.status];
        statuses.sort_unstable();
        assert_eq!(statuses[0], 200, "{a:?} {b:?}");
        assert!([400, 422].contains(&statuses[1]), "{a:?} {b:?}");
    }
}

#[tokio::test]
async fn payments_are_listed_page_by_page() {
    let shop = Shop::open().await;
    let mut made = Vec::new();
    for number in 0..5 {
        let new = json!({"amount": 100, "currency": "USD", "payment_id": format!("p-{number}"),
            "customer_id": if number % 2 == 0 { "even" } else { "odd" }});
        made.push(shop.post("/payments", new).await["payment_id"].as_str().unwrap().to_owned());
    }
    made.reverse();
    let ids = |list: &Value| -> Vec<String> {
        let data = list["data"].as_array().unwrap();
        data.iter().map(|row| row["payment_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&shop.get("/payments/list").await), made);
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = ids(&shop.get(&format!("/payments/list?limit=2{after}")).await);
        let Some(last) = page.last() else { break };
        after = format!("&starting_after={last}");
        seen.extend(page);
    }
    assert_eq!(seen, made);
    let even = ids(&shop.get("/payments/list?customer_id=even").await);
    assert_eq!(even, ["p-4", "p-2", "p-0"]);
    let wrong = shop.send("GET", "/payments/list?limit=0", &Value::Null).await;
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn customers_are_kept_changed_and_redacted() {
    let shop = Shop::open().await;
    let new = json!({"customer_id": "bob", "name": "Bob", "email": "bob@example.com",
        "address": {"city": "Rome"}});
    let made = shop.post("/customers", new.clone()).await;
    assert_eq!((&made["customer_id"], &made["email"]), (&json!("bob"), &json!("bob@example.com")));
    let twice = shop.send("POST", "/customers", &new).await;
    assert_eq!((twice.status, &twice.json()["error"]["code"]), (400, &json!("HE_01")));
    let changed = shop.post("/customers/bob", json!({"name": "Robert"})).await;
    assert_eq!(
        (&changed["name"], &changed["email"]),
        (&json!("Robert"), &json!("bob@example.com"))
    );
    let gone = shop.send("DELETE", "/customers/bob", &Value::Null).await.json();
    assert_eq!((&gone["customer_deleted"], &gone["address_deleted"]), (&json!(true), &json!(true)));
    let redacted = shop.get("/customers/bob").await;
    assert!(!redacted.to_string().contains("Rob") && !redacted.to_string().contains("example"));
}

#[tokio::test]
async fn a_saved_card_pays_again_and_a_mandate_without_its_owner() {
    let shop = Shop::open().await;
    let consent = json!({"customer_acceptance": {"acceptance_type": "online"},
        "mandate_type": {"multi_use": {"amount": 2000, "currency": "USD"}}});
    let first =
        with(payment(1000), json!({"setup_future_usage": "off_session", "mandate_data": consent}));
    let first = shop.post("/payments", first).await;
    sums(&first, "succeeded", 0, Some(1000));
    let (mandate, method) =
        (first["mandate_id"].as_str().unwrap(), first["payment_method_id"].as_str().unwrap());
    let listed = shop.get("/customers/ada/payment_methods").await;
    assert_eq!(listed["customer_payment_methods"][0]["payment_method_id"], method, "{listed}");

    let base = json!({"amount": 1500, "currency": "USD", "confirm": true, "customer_id": "ada"});
    let again = with(base.clone(), json!({"payment_token": method, "card_cvc": "123"}));
    sums(&shop.post("/payments", again).await, "succeeded", 0, Some(1500));
    let later = with(base.clone(), json!({"mandate_id": mandate, "off_session": true}));
    let later = shop.post("/payments", later).await;
    sums(&later, "succeeded", 0, Some(1500));
    assert_eq!(later["payment_method_data"]["card"]["last4"], "1111");

    let much = with(base.clone(), json!({"mandate_id": mandate, "amount": 2001}));
    let other = with(base.clone(), json!({"mandate_id": mandate, "customer_id": "bob"}));
    let nobodys = with(base.clone(), json!({"payment_token": method, "customer_id": "bob"}));
    for (body, status) in [(much, 400), (other, 400), (nobodys, 404)] {
        let seen = shop.send("POST", "/payments", &body).await;
        assert_eq!(seen.status, status, "{seen:?}");
    }
    shop.post(&format!("/mandates/revoke/{mandate}"), Value::Null).await;
    let revoked = with(base.clone(), json!({"mandate_id": mandate}));
    assert_eq!(shop.send("POST", "/payments", &revoked).await.status, 400);
    let gone = shop.send("DELETE", &format!("/payment_methods/{method}"), &Value::Null).await;
    assert_eq!(gone.status, 200, "{gone:?}");
    let missing = with(base, json!({"payment_token": method}));
    assert_eq!(shop.send("POST", "/payments", &missing).await.status, 404);
}

#[tokio::test]
async fn a_mandate_for_one_payment_is_used_once_by_however_many_at_a_time() {
    let shop = Shop::open().await;
    let consent = json!({"mandate_type": {"single_use": {"amount": 2000, "currency": "USD"}}});
    let first = with(payment(1000), json!({"mandate_data": consent}));
    let mandate = shop.post("/payments", first).await["mandate_id"].clone();
    let body = json!({"amount": 1500, "currency": "USD", "confirm": true, "mandate_id": mandate});
    let sent = (0..8).map(|_| shop.send("POST", "/payments", &body));
    let seen = futures_util::future::join_all(sent).await;
    assert_eq!(seen.iter().filter(|seen| seen.status == 200).count(), 1, "{seen:?}");
}

#[tokio::test]
async fn a_card_that_was_declined_is_not_saved() {
    let shop = Shop::open().await;
    let body = json!({"setup_future_usage": "on_session", "payment_method_data": card("4000000000009995")});
    let declined = shop.post("/payments", with(payment(1000), body)).await;
    sums(&declined, "failed", 0, None);
    let listed = shop.get("/customers/ada/payment_methods").await;
    assert_eq!(listed["customer_payment_methods"], json!([]));
    let method = declined["payment_method_id"].as_str().unwrap();
    let again = json!({"amount": 5, "currency": "USD", "confirm": true, "payment_token": method});
    assert_eq!(shop.send("POST", "/payments", &again).await.status, 404);
}

#[tokio::test]
async fn a_challenge_is_shown_and_its_end_is_found() {
    let shop = Shop::open().await;
    let body = json!({"authentication_type": "three_ds", "return_url": "https://shop.example/done",
        "payment_method_data": card("4000000000003220")});
    let asked = shop.post("/payments", with(payment(1000), body.clone())).await;
    assert_eq!(asked["status"], "requires_customer_action", "{asked}");
    let url = asked["next_action"]["redirect_to_url"].as_str().unwrap();
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let answer = client::send(
        host.parse().unwrap(),
        "POST",
        &format!("/{path}"),
        &[("content-type", "application/x-www-form-urlencoded")],
        b"outcome=approve",
    )
    .await;
    assert!(answer.status < 400, "{answer:?}");
    let path = format!("/payments/{}?force_sync=true", asked["payment_id"].as_str().unwrap());
    let mut seen = asked.clone();
    // The request's own task looks on its schedule.
    for _ in 0..300 {
        if seen["status"] != "requires_customer_action" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        seen = shop.get(&path).await;
    }
    sums(&seen, "succeeded", 0, Some(1000));
    // Without leave to challenge, the provider declines instead.
    let quiet = with(body, json!({"authentication_type": "no_three_ds"}));
    let declined = shop.post("/payments", with(payment(1000), quiet)).await;
    assert_eq!(declined["status"], "failed", "{declined}");
}

#[tokio::test]
async fn a_second_payment_waits_for_the_outcome_of_the_first_and_a_challenge_bars_nobody() {
    let shop = Shop::named(crate::server::Server::impatient(300).await, "hasty").await;
    let pending = with(payment(1000), json!({"payment_method_data": card("4000000000009110")}));
    let first = shop.post("/payments", pending.clone()).await;
    assert_eq!(first["status"], "processing", "{first}");
    let seen = shop.send("POST", "/payments", &with(pending, json!({"payment_id": "again"}))).await;
    let message = seen.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(seen.status == 400 && message.contains("is in doubt"), "{seen:?}");
    assert_eq!(shop.send("GET", "/payments/again", &Value::Null).await.status, 404);

    let body = json!({"authentication_type": "three_ds", "return_url": "https://shop.example/done",
        "payment_method_data": card("4000000000003220")});
    for _ in 0..2 {
        let asked = shop.post("/payments", with(payment(1000), body.clone())).await;
        assert_eq!(asked["status"], "requires_customer_action", "{asked}");
    }
}

/// Milliseconds of one entry of `Server-Timing`.
fn waited(seen: &client::Seen, entry: &str) -> f64 {
    let header = seen.header("server-timing").unwrap();
    let found = header.split(", ").find_map(|part| part.strip_prefix(entry)?.strip_prefix(";dur="));
    found.unwrap().parse().unwrap()
}

#[tokio::test]
async fn what_a_provider_takes_is_not_counted_as_ours() {
    let shop = Shop::open().await;
    shop.server.script(json!({"operation": "sale"}), json!({"latency_ms": 300})).await;
    let made = shop.send("POST", "/payments", &payment(100)).await;
    assert_eq!(made.json()["status"], "succeeded");
    let (total, provider) = (waited(&made, "total"), waited(&made, "provider"));
    assert!(provider >= 300.0 && total >= provider, "{total} {provider}");
    let looked = format!("/payments/{}", made.json()["payment_id"].as_str().unwrap());
    let looked = shop.send("GET", &looked, &Value::Null).await;
    assert_eq!(waited(&looked, "provider"), 0.0, "nobody was asked");
}
