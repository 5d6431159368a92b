//! The own dialect.

use serde_json::{Value, json};

use crate::client::{CARD, Sandbox, challenge_of, payment};

const PAYMENTS: &str = "/sandbox/acme/payments";

#[tokio::test]
async fn a_sale_is_captured_and_found_again() {
    let sandbox = Sandbox::memory().await;
    let (status, sale) = sandbox.post(PAYMENTS, payment("r1", 1023, true, CARD)).await;
    assert_eq!(status, 201);
    let id = sale["id"].as_str().unwrap();
    assert!(id.starts_with("sp_") && id.len() == 19, "{id}");
    assert_eq!(sale["auth_code"].as_str().unwrap().len(), 6);
    assert!(sale["created"].as_str().unwrap().ends_with('Z'));
    let mut shown = sale.clone();
    for volatile in ["id", "auth_code", "network_transaction_id", "created"] {
        shown.as_object_mut().unwrap().remove(volatile);
    }
    let expected = json!({
        "reference": "r1", "status": "captured", "amount": {"value": 1023, "currency": "USD"},
        "authorized": 1023, "captured": 1023, "refunded": 0, "voided": false, "decline": null,
        "next_action": null, "card": {"first6": "411111", "last4": "1111", "brand": "visa"},
        "metadata": {"payment": "pay-of-r1"}, "captures": [], "voids": [], "refunds": [],
    });
    assert_eq!(shown, expected);
    assert_eq!(sandbox.get(&format!("{PAYMENTS}/{id}")).await, sale);
    assert_eq!(sandbox.get("/sandbox/acme/payments?reference=r1").await, json!({"data": [sale]}));
    assert_eq!(sandbox.get("/sandbox/other/payments?reference=r1").await, json!({"data": []}));
}

#[tokio::test]
async fn an_authorization_is_captured_in_parts_and_refunded_in_parts() {
    let sandbox = Sandbox::memory().await;
    let (_, held) = sandbox.post(PAYMENTS, payment("r1", 1000, false, CARD)).await;
    assert_eq!((&held["status"], &held["captured"]), (&json!("authorized"), &json!(0)));
    let path = format!("{PAYMENTS}/{}", held["id"].as_str().unwrap());
    let steps = [
        ("captures", json!({"amount": 400, "reference": "c1"}), 201, "succeeded"),
        ("captures", json!({"amount": 601}), 409, "amount_exceeds_capturable"),
        ("voids", json!({}), 409, "not_voidable"),
        ("captures", json!({"reference": "c2"}), 201, "succeeded"),
        ("captures", json!({}), 409, "not_capturable"),
        ("refunds", json!({"amount": 1001}), 409, "amount_exceeds_refundable"),
        ("refunds", json!({"amount": 999, "reference": "f1"}), 201, "succeeded"),
        ("refunds", json!({}), 201, "succeeded"),
        ("refunds", json!({}), 409, "not_refundable"),
        ("captures", json!({"amount": 0}), 400, "validation"),
        ("refunds", json!({"amount": "x"}), 400, "validation"),
    ];
    for (operation, body, status, word) in steps {
        let (seen, answer) = sandbox.post(&format!("{path}/{operation}"), body.clone()).await;
        let said = answer.get("status").unwrap_or(&answer["error"]["code"]);
        assert_eq!((seen, said), (status, &json!(word)), "{operation} {body} {answer}");
    }
    let shown = sandbox.get(&path).await;
    let sums = (&shown["authorized"], &shown["captured"], &shown["refunded"]);
    assert_eq!(sums, (&json!(1000), &json!(1000), &json!(1000)));
    assert_eq!(shown["captures"].as_array().unwrap().len(), 2);
    let found = sandbox.get("/sandbox/acme/operations?reference=c2").await;
    assert_eq!(found["data"], json!([shown["captures"][1]]));
    assert_eq!(found["data"][0]["amount"], json!({"value": 600, "currency": "USD"}));
}

#[tokio::test]
async fn a_void_releases_a_hold_and_reverses_an_unrefunded_sale() {
    let sandbox = Sandbox::memory().await;
    for capture in [false, true] {
        let (_, paid) = sandbox.post(PAYMENTS, payment("r", 1000, capture, CARD)).await;
        let path = format!("{PAYMENTS}/{}", paid["id"].as_str().unwrap());
        let (status, void) =
            sandbox.post(&format!("{path}/voids"), json!({"reference": "v"})).await;
        assert_eq!((status, &void["status"]), (201, &json!("succeeded")));
        let shown = sandbox.get(&path).await;
        assert_eq!((&shown["voided"], &shown["captured"]), (&json!(true), &json!(0)));
        for again in ["voids", "captures", "refunds"] {
            assert_eq!(sandbox.post(&format!("{path}/{again}"), json!({})).await.0, 409);
        }
    }
    let (_, paid) = sandbox.post(PAYMENTS, payment("r", 1000, true, CARD)).await;
    let path = format!("{PAYMENTS}/{}", paid["id"].as_str().unwrap());
    assert_eq!(sandbox.post(&format!("{path}/refunds"), json!({"amount": 1})).await.0, 201);
    assert_eq!(sandbox.post(&format!("{path}/voids"), json!({})).await.0, 409);
}

#[tokio::test]
async fn every_decline_code_is_triggered_by_its_amount_and_every_card_behaves() {
    let sandbox = Sandbox::memory().await;
    for (amount, row) in &baton_sandbox::codes().declines {
        let (status, paid) = sandbox.post(PAYMENTS, payment("d", *amount, true, CARD)).await;
        assert_eq!((status, &paid["status"]), (201, &json!("declined")), "{}", row.code);
        assert_eq!(paid["decline"]["code"], row.code);
        assert_eq!(paid["decline"]["by"], json!(row.by));
        assert_eq!((&paid["authorized"], &paid["auth_code"]), (&json!(0), &Value::Null));
    }
    for card in &baton_sandbox::codes().cards {
        let (_, paid) = sandbox.post(PAYMENTS, payment("c", 500, true, card.number)).await;
        let expected = match card.description.split([',', ':']).next().unwrap() {
            "declined" => "declined",
            "pending" => "pending",
            "3-D Secure challenge required" => "action_required",
            _ => "captured",
        };
        assert_eq!(paid["status"], expected, "{}", card.number);
        if let Some(code) = card.description.strip_prefix("declined: ") {
            assert_eq!(paid["decline"]["code"], code);
        }
    }
}

#[tokio::test]
async fn a_token_stands_for_its_card_and_its_behaviour() {
    let sandbox = Sandbox::memory().await;
    let card = json!({"number": "4000000000009995", "exp_month": 1, "exp_year": 2090});
    let (status, token) = sandbox.post("/sandbox/acme/tokens", json!({"card": card})).await;
    assert_eq!((status, &token["last4"], &token["brand"]), (201, &json!("9995"), &json!("visa")));
    let mut body = payment("r", 500, true, CARD);
    body.as_object_mut().unwrap().remove("card");
    body["token"] = token["token"].clone();
    let (_, paid) = sandbox.post(PAYMENTS, body.clone()).await;
    assert_eq!(paid["decline"]["code"], "insufficient_funds");
    let (status, other) = sandbox.post("/sandbox/other/payments", body).await;
    assert_eq!((status, &other["error"]["field"]), (400, &json!("token")), "another account's");
}

#[tokio::test]
async fn a_wrong_request_is_refused_with_its_field_and_nothing_is_attempted() {
    let sandbox = Sandbox::memory().await;
    let wrong: [(&str, Value); 10] = [
        ("reference", Value::Null),
        ("reference", json!("x".repeat(65))),
        ("amount.value", json!(0)),
        ("amount.value", json!(1.5)),
        ("amount.currency", json!("US")),
        ("capture", json!("perhaps")),
        ("card.number", json!("4111111111111112")),
        ("card.exp_month", json!(13)),
        ("card.cvv", json!("12")),
        ("stored_credential.initiator", json!("nobody")),
    ];
    for (field, value) in wrong {
        let mut body = payment("r", 100, true, CARD);
        let at = field.split('.').fold(&mut body, |value, name| &mut value[name]);
        *at = value;
        let (status, answer) = sandbox.post(PAYMENTS, body).await;
        assert_eq!((status, &answer["error"]["field"]), (400, &json!(field)), "{answer}");
        assert!(!answer.to_string().contains("4111111111111112"), "never repeats a value");
    }
    let body = payment("r", 1, true, CARD).to_string();
    let unnamed = sandbox.send("POST", PAYMENTS, &[], &body).await;
    assert_eq!(unnamed.json()["error"]["code"], "unauthorized");
    let (status, _) = sandbox.post("/sandbox/bad%20name/payments", json!({})).await;
    assert_eq!(status, 400);
    let (status, _) = sandbox.post("/sandbox/acme/nothing", json!({})).await;
    assert_eq!(status, 404);
    let books = sandbox.get("/admin/books").await;
    assert_eq!(books["data"], json!([]));
}

#[tokio::test]
async fn a_key_executes_once_and_a_sandbox_without_dedup_executes_twice() {
    let sandbox = Sandbox::memory().await;
    let body = payment("r", 100, true, CARD);
    let first = sandbox.post_key(PAYMENTS, Some("k1"), body.clone()).await;
    let again = sandbox.post_key(PAYMENTS, Some("k1"), body.clone()).await;
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    assert_eq!(first.header("idempotent-replayed"), None);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let other = sandbox.post_key(PAYMENTS, Some("k1"), payment("r", 101, true, CARD)).await;
    assert_eq!(
        (other.status, &other.json()["error"]["code"]),
        (422, &json!("idempotency_mismatch"))
    );
    let elsewhere = sandbox.post_key("/sandbox/acme/tokens", Some("k1"), body.clone()).await;
    assert_eq!(elsewhere.status, 422, "another path");
    let long = sandbox.post_key(PAYMENTS, Some(&"k".repeat(65)), body.clone()).await;
    assert_eq!(long.status, 400);
    let rows = sandbox.get("/admin/books?account=acme").await;
    assert_eq!(rows["data"].as_array().unwrap().len(), 1);
    assert_eq!(rows["data"][0]["times_executed"], 1);

    sandbox.admin("PUT", "/admin/settings", json!({"dedup": false})).await;
    sandbox.post_key(PAYMENTS, Some("k1"), body).await;
    let rows = sandbox.get("/admin/books?account=acme").await;
    let executed: Vec<_> =
        rows["data"].as_array().unwrap().iter().map(|row| &row["times_executed"]).collect();
    assert_eq!(executed, [&json!(2), &json!(2)]);
    let summary = sandbox.get("/admin/books/summary").await;
    assert_eq!(summary["double_charged_references"], 1);
    assert_eq!(summary["captured_more_than_once"], 1);
    assert_eq!(summary["captured"], json!({"USD": 200}));
}

#[tokio::test]
async fn of_requests_sent_at_once_under_one_key_one_executes() {
    let sandbox = Sandbox::memory().await;
    let body = payment("r", 100, true, CARD);
    let one = || sandbox.post_key(PAYMENTS, Some("k"), body.clone());
    let seen = tokio::join!(one(), one(), one(), one(), one(), one());
    for seen in [seen.0, seen.1, seen.2, seen.3, seen.4, seen.5] {
        assert!(matches!(seen.status, 201 | 409), "{seen:?}");
    }
    assert_eq!(sandbox.get("/admin/books/summary").await["payments"], 1);
}

#[tokio::test]
async fn a_cancel_by_reference_voids_and_fences() {
    let sandbox = Sandbox::memory().await;
    for capture in [true, false] {
        sandbox.post(PAYMENTS, payment("r", 100, capture, CARD)).await;
    }
    sandbox.post(PAYMENTS, payment("r", 900_001, true, CARD)).await;
    let (_, refunded) = sandbox.post(PAYMENTS, payment("r", 100, true, CARD)).await;
    let path = format!("{PAYMENTS}/{}/refunds", refunded["id"].as_str().unwrap());
    sandbox.post(&path, json!({"amount": 1})).await;
    let (status, done) = sandbox.post("/sandbox/acme/cancels", json!({"reference": "r"})).await;
    assert_eq!((status, &done["fenced"]), (200, &json!(true)));
    assert_eq!(done["cancelled"].as_array().unwrap().len(), 2);
    assert_eq!(done["refused"], json!([{"id": refunded["id"], "code": "not_voidable"}]));
    let (status, late) = sandbox.post(PAYMENTS, payment("r", 100, true, CARD)).await;
    assert_eq!((status, &late["error"]["code"]), (409, &json!("reference_cancelled")));
    let (_, again) = sandbox.post("/sandbox/acme/cancels", json!({"reference": "r"})).await;
    assert_eq!(again["cancelled"], done["cancelled"], "idempotent");
    let (status, _) = sandbox.post("/sandbox/other/payments", payment("r", 1, true, CARD)).await;
    assert_eq!(status, 201, "a fence holds in its own account only");
}

#[tokio::test]
async fn a_challenge_is_completed_on_its_page() {
    let sandbox = Sandbox::memory().await;
    let outcomes = [("approve", "captured", 200), ("fail", "declined", 200)];
    for (button, status, answer) in outcomes {
        let (_, paid) = sandbox.post(PAYMENTS, payment("r", 100, true, "4000002500003155")).await;
        assert_eq!(paid["status"], "action_required");
        let path = &challenge_of(&paid);
        let page = sandbox.send("GET", path, &[], "").await;
        assert!(page.body.contains("<form") && page.status == 200);
        let pressed = sandbox.send("POST", path, &[], &format!("outcome={button}")).await;
        assert_eq!(pressed.status, answer);
        let shown = sandbox.get(&format!("{PAYMENTS}/{}", paid["id"].as_str().unwrap())).await;
        assert_eq!((&shown["status"], &shown["next_action"]), (&json!(status), &Value::Null));
        assert_eq!(sandbox.send("POST", path, &[], "outcome=approve").await.status, 410);
    }
    let mut body = payment("r", 100, true, "4000002500003155");
    body["return_url"] = json!("http://shop.test/back?x=1");
    let (_, paid) = sandbox.post(PAYMENTS, body).await;
    let id = paid["id"].as_str().unwrap();
    let path = challenge_of(&paid);
    let back = sandbox.send("POST", &path, &[], "outcome=approve").await;
    assert_eq!(back.status, 303);
    let expected = format!("http://shop.test/back?x=1&payment={id}");
    assert_eq!(back.header("location"), Some(expected.as_str()));
}
