//! Stripe's dialect.

use serde_json::{Value, json};

use crate::client::{Sandbox, Seen, challenge_of};

const CARD: &str = "type=card&card[exp_month]=12&card[exp_year]=2040&card[cvc]=123&card[number]=";

/// The fields that Stripe's OpenAPI description requires of each object, and the values of its enums.
fn check(object: &Value) {
    let (required, statuses): (&[&str], &[&str]) = match object["object"].as_str().unwrap() {
        "payment_intent" => (
            &[
                "amount",
                "capture_method",
                "confirmation_method",
                "created",
                "currency",
                "id",
                "livemode",
                "payment_method_types",
                "status",
            ],
            &[
                "canceled",
                "processing",
                "requires_action",
                "requires_capture",
                "requires_confirmation",
                "requires_payment_method",
                "succeeded",
            ],
        ),
        "charge" => (
            &[
                "amount",
                "amount_captured",
                "amount_refunded",
                "billing_details",
                "captured",
                "created",
                "currency",
                "disputed",
                "id",
                "livemode",
                "metadata",
                "paid",
                "refunded",
                "status",
            ],
            &["failed", "pending", "succeeded"],
        ),
        "refund" => (&["amount", "created", "currency", "id", "status"], &["failed", "succeeded"]),
        "payment_method" => (&["billing_details", "created", "id", "livemode", "type"], &[]),
        "event" => (&["created", "data", "id", "livemode", "pending_webhooks", "type"], &[]),
        other => panic!("unknown object {other}"),
    };
    for name in required {
        assert!(!object[name].is_null(), "{name} is missing in {object}");
    }
    assert!(statuses.is_empty() || statuses.contains(&object["status"].as_str().unwrap()));
}

async fn method(sandbox: &Sandbox, number: &str) -> String {
    let made = sandbox.stripe("/payment_methods", None, Some(&format!("{CARD}{number}"))).await;
    assert_eq!(made.status, 200, "{made:?}");
    check(&made.json());
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let shown = sandbox.stripe(&format!("/payment_methods/{id}"), None, None).await;
    assert_eq!(shown.json(), made.json());
    id
}

async fn intent(sandbox: &Sandbox, form: &str) -> Value {
    let form = format!("currency=usd&metadata[reference]=r1&{form}");
    let made = sandbox.stripe("/payment_intents", None, Some(&form)).await;
    assert_eq!(made.status, 200, "{made:?}");
    check(&made.json());
    made.json()
}

async fn act(sandbox: &Sandbox, intent: &Value, action: &str, form: &str) -> Seen {
    let path = format!("/payment_intents/{}/{action}", intent["id"].as_str().unwrap());
    let seen = sandbox.stripe(&path, None, Some(form)).await;
    let object = if seen.status == 200 {
        seen.json()
    } else {
        seen.json()["error"]["payment_intent"].clone()
    };
    if object.is_object() {
        check(&object);
    }
    seen
}

#[tokio::test]
async fn an_intent_is_created_confirmed_captured_and_refunded() {
    let sandbox = Sandbox::memory().await;
    let made = intent(&sandbox, "amount=1000&capture_method=manual&description=Tea").await;
    assert_eq!(made["status"], "requires_payment_method");
    assert_eq!((&made["amount_received"], &made["latest_charge"]), (&json!(0), &Value::Null));
    assert_eq!(act(&sandbox, &made, "confirm", "").await.status, 400, "no payment method");
    let card = method(&sandbox, "4242424242424242").await;
    let held = act(&sandbox, &made, "confirm", &format!("payment_method={card}")).await.json();
    assert_eq!(
        (&held["status"], &held["amount_capturable"]),
        (&json!("requires_capture"), &json!(1000))
    );
    assert_eq!(held["payment_method"], card);
    let over = act(&sandbox, &made, "capture", "amount_to_capture=1001").await;
    assert_eq!((over.status, &over.json()["error"]["code"]), (400, &json!("amount_too_large")));
    let done = act(&sandbox, &made, "capture", "amount_to_capture=700").await.json();
    let sums = (&done["status"], &done["amount_received"], &done["amount_capturable"]);
    assert_eq!(sums, (&json!("succeeded"), &json!(700), &json!(0)), "the rest is released");
    let again = act(&sandbox, &made, "capture", "").await;
    assert_eq!(again.json()["error"]["code"], "payment_intent_unexpected_state");
    assert_eq!(act(&sandbox, &made, "cancel", "").await.status, 400, "captured");

    let id = made["id"].as_str().unwrap();
    let form = format!("payment_intent={id}&amount=300&reason=duplicate&metadata[reference]=f1");
    let refund = sandbox.stripe("/refunds", None, Some(&form)).await.json();
    check(&refund);
    let one =
        sandbox.stripe(&format!("/refunds/{}", refund["id"].as_str().unwrap()), None, None).await;
    assert_eq!(one.json(), refund);
    let listed = sandbox.stripe(&format!("/refunds?payment_intent={id}"), None, None).await.json();
    assert_eq!((&listed["data"], &listed["has_more"]), (&json!([refund]), &json!(false)));
    let charge = done["latest_charge"].as_str().unwrap();
    let charge = sandbox.stripe(&format!("/charges/{charge}"), None, None).await.json();
    check(&charge);
    let sums = (&charge["amount"], &charge["amount_captured"], &charge["amount_refunded"]);
    assert_eq!(sums, (&json!(1000), &json!(700), &json!(300)));
    let rest = sandbox.stripe("/refunds", None, Some(&format!("payment_intent={id}"))).await.json();
    assert_eq!(rest["amount"], 400);
    let none = sandbox.stripe("/refunds", None, Some(&format!("payment_intent={id}"))).await;
    assert_eq!(none.json()["error"]["code"], "charge_already_refunded");
    let row = sandbox.get("/admin/books?account=acme").await["data"][0].clone();
    assert_eq!(
        (&row["id"], &row["reference"], &row["refunded"]),
        (&json!(id), &json!("r1"), &json!(700))
    );
}

#[tokio::test]
async fn a_decline_is_a_402_with_its_codes_and_may_be_tried_again() {
    let sandbox = Sandbox::memory().await;
    for (amount, row) in &baton_sandbox::codes().declines {
        let form = format!("amount={amount}&currency=usd&confirm=true&payment_method=pm_card_visa");
        let seen = sandbox.stripe("/payment_intents", None, Some(&form)).await;
        let error = &seen.json()["error"];
        assert_eq!((seen.status, &error["type"]), (402, &json!("card_error")), "{}", row.code);
        assert!(error["code"].is_string() && error["charge"].is_string(), "{}", row.code);
        check(&error["payment_intent"]);
        assert_eq!(error["payment_intent"]["status"], "requires_payment_method");
        let charge = error["charge"].as_str().unwrap();
        let charge = sandbox.stripe(&format!("/charges/{charge}"), None, None).await.json();
        check(&charge);
        let by = json!(row.by);
        let expected = match by.as_str().unwrap() {
            "issuer" => "issuer_declined",
            "provider_risk" => "blocked",
            _ => "invalid",
        };
        assert_eq!(charge["outcome"]["type"], expected, "{}", row.code);
    }
    let made = intent(&sandbox, "amount=500").await;
    let refused = act(&sandbox, &made, "confirm", "payment_method=pm_card_chargeDeclined").await;
    assert_eq!(refused.json()["error"]["decline_code"], "generic_decline");
    assert_eq!(act(&sandbox, &made, "confirm", "").await.status, 400, "needs another card");
    let paid = act(&sandbox, &made, "confirm", "payment_method=pm_card_visa").await.json();
    assert_eq!((&paid["status"], &paid["last_payment_error"]), (&json!("succeeded"), &Value::Null));
}

#[tokio::test]
async fn a_cancelled_intent_is_a_fence() {
    let sandbox = Sandbox::memory().await;
    for form in
        ["amount=500", "amount=500&capture_method=manual&confirm=true&payment_method=pm_card_visa"]
    {
        let made = intent(&sandbox, form).await;
        let gone = act(&sandbox, &made, "cancel", "cancellation_reason=duplicate").await.json();
        assert_eq!(
            (&gone["status"], &gone["cancellation_reason"]),
            (&json!("canceled"), &json!("duplicate"))
        );
        assert!(gone["canceled_at"].is_i64());
        for action in ["confirm", "capture", "cancel"] {
            let form = if action == "confirm" { "payment_method=pm_card_visa" } else { "" };
            let seen = act(&sandbox, &made, action, form).await;
            let code = &seen.json()["error"]["code"];
            assert_eq!((seen.status, code), (400, &json!("payment_intent_unexpected_state")));
        }
    }
    let summary = sandbox.get("/admin/books/summary").await;
    assert_eq!((&summary["captured"], &summary["held"]), (&json!({}), &json!({})));
    let sold = intent(&sandbox, "amount=500&confirm=true&payment_method=pm_card_visa").await;
    assert_eq!(act(&sandbox, &sold, "cancel", "").await.status, 400, "a sale is refunded instead");
    let summary = sandbox.get("/admin/books/summary").await;
    assert_eq!(summary["captured"], json!({"USD": 500}));
}

#[tokio::test]
async fn a_challenge_redirects_or_is_refused_on_request() {
    let sandbox = Sandbox::memory().await;
    let card = "payment_method=pm_card_threeDSecure2Required";
    let made =
        intent(&sandbox, &format!("amount=500&confirm=true&return_url=http://shop.test/&{card}"))
            .await;
    assert_eq!(made["status"], "requires_action");
    assert_eq!(made["next_action"]["type"], "redirect_to_url");
    let path = challenge_of(&json!({"next_action": made["next_action"]["redirect_to_url"]}));
    assert_eq!(sandbox.send("POST", &path, &[], "outcome=approve").await.status, 303);
    let path = format!("/payment_intents/{}", made["id"].as_str().unwrap());
    let paid = sandbox.stripe(&path, None, None).await;
    assert_eq!(paid.json()["status"], "succeeded");
    for no_challenge in ["error_on_requires_action=true", "off_session=true"] {
        let form = format!("amount=500&currency=usd&confirm=true&{card}&{no_challenge}");
        let seen = sandbox.stripe("/payment_intents", None, Some(&form)).await;
        assert_eq!(seen.json()["error"]["code"], "authentication_required");
    }
}

/// A bank or a lender is a page of its own: nothing is taken before it is answered.
#[tokio::test]
async fn a_method_without_a_card_is_paid_on_another_page() {
    let sandbox = Sandbox::memory().await;
    for (method, pressed, status) in [
        ("ideal", "approve", "succeeded"),
        ("klarna", "approve", "succeeded"),
        ("klarna", "fail", "requires_payment_method"),
        ("affirm", "abandon", "requires_action"),
    ] {
        let made = intent(&sandbox, &format!("amount=500&payment_method_types[]={method}")).await;
        let path = format!("/payment_intents/{}", made["id"].as_str().unwrap());
        let form = format!("payment_method_data[type]={method}&return_url=http://shop.test/");
        let asked = sandbox.stripe(&format!("{path}/confirm"), None, Some(&form)).await.json();
        assert_eq!(asked["status"], "requires_action", "{method}");
        assert_eq!(asked["payment_method_types"], json!([method]));
        let page = challenge_of(&json!({"next_action": asked["next_action"]["redirect_to_url"]}));
        sandbox.send("POST", &page, &[], &format!("outcome={pressed}")).await;
        let expanded = format!("{path}?expand[]=latest_charge");
        let paid = sandbox.stripe(&expanded, None, None).await.json();
        assert_eq!(paid["status"], status, "{method} {pressed}");
        if status == "succeeded" {
            assert_eq!(paid["latest_charge"]["payment_method_details"]["type"], method);
        }
    }
    let form = "amount=500&currency=usd&payment_method_data[type]=barter";
    let seen = sandbox.stripe("/payment_intents", None, Some(form)).await;
    assert_eq!(
        (seen.status, seen.json()["error"]["code"].as_str()),
        (400, Some("parameter_invalid"))
    );
}

#[tokio::test]
async fn keys_keep_their_answers_also_failures() {
    let sandbox = Sandbox::memory().await;
    let form = "amount=500&currency=usd";
    let first = sandbox.stripe("/payment_intents", Some("k"), Some(form)).await;
    let again = sandbox.stripe("/payment_intents", Some("k"), Some(form)).await;
    assert_eq!((&first.body, again.header("idempotent-replayed")), (&again.body, Some("true")));
    let other =
        sandbox.stripe("/payment_intents", Some("k"), Some("amount=501&currency=usd")).await;
    assert_eq!((other.status, &other.json()["error"]["type"]), (400, &json!("idempotency_error")));
    let invalid =
        sandbox.stripe("/payment_intents", Some("v"), Some("amount=x&currency=usd")).await;
    assert_eq!(invalid.json()["error"]["code"], "parameter_invalid_integer");
    let fixed = sandbox.stripe("/payment_intents", Some("v"), Some(form)).await;
    assert_eq!(fixed.status, 200, "a request that fails validation stores nothing");

    for (commit, captured) in [("never", 0), ("first", 500)] {
        let made = intent(&sandbox, "amount=500&payment_method=pm_card_visa").await;
        let fault = json!({"commit": commit, "answer": {"status": {"status": 500}}});
        sandbox
            .admin("POST", "/admin/rules", json!({"action": {"fault": fault}, "times": 1}))
            .await;
        let path = format!("/payment_intents/{}/confirm", made["id"].as_str().unwrap());
        for _ in 0..2 {
            let seen = sandbox.stripe(&path, Some(commit), Some("")).await;
            assert_eq!((seen.status, &seen.json()["error"]["type"]), (500, &json!("api_error")));
        }
        let shown = sandbox.stripe(path.strip_suffix("/confirm").unwrap(), None, None).await.json();
        assert_eq!(shown["amount_received"], captured);
    }
}

#[tokio::test]
async fn lists_are_windowed_and_paged() {
    let sandbox = Sandbox::memory().await;
    let mut made = Vec::new();
    for amount in 500..505 {
        made.push(intent(&sandbox, &format!("amount={amount}")).await);
    }
    let created = made[0]["created"].as_i64().unwrap();
    let list = async |query: String| {
        sandbox.stripe(&format!("/payment_intents?{query}"), None, None).await.json()
    };
    let first = list(format!("limit=3&created[gte]={created}")).await;
    assert_eq!(first["data"], json!([made[4], made[3], made[2]]));
    assert_eq!(first["has_more"], true);
    let last = first["data"][2]["id"].as_str().unwrap();
    let second = list(format!("limit=3&starting_after={last}")).await;
    assert_eq!((&second["data"], &second["has_more"]), (&json!([made[1], made[0]]), &json!(false)));
    assert_eq!(list(format!("created[gt]={}", created + 60)).await["data"], json!([]));
    assert_eq!(list(format!("created[lt]={created}")).await["data"], json!([]));
    assert_eq!(list("limit=101".to_owned()).await["error"]["param"], "limit");

    act(&sandbox, &made[0], "confirm", "payment_method=pm_card_visa").await;
    let events = sandbox.stripe("/events?limit=2", None, None).await.json();
    let names: Vec<_> = events["data"].as_array().unwrap().iter().map(|e| &e["type"]).collect();
    assert_eq!(names, ["payment_intent.succeeded", "charge.succeeded"]);
    events["data"].as_array().unwrap().iter().for_each(check);
    let created = sandbox.stripe("/events?type=payment_intent.created", None, None).await.json();
    assert_eq!(created["data"].as_array().unwrap().len(), 5);
    let one = format!("/events/{}", events["data"][0]["id"].as_str().unwrap());
    assert_eq!(sandbox.stripe(&one, None, None).await.json(), events["data"][0]);
}

#[tokio::test]
async fn an_open_intent_is_changed_and_wrong_requests_are_refused_in_stripes_words() {
    let sandbox = Sandbox::memory().await;
    let made = intent(&sandbox, "amount=500&metadata[a]=1").await;
    let path = format!("/payment_intents/{}", made["id"].as_str().unwrap());
    let form = "amount=600&metadata[a]=&metadata[b]=2&payment_method=pm_card_visa";
    let changed = sandbox.stripe(&path, None, Some(form)).await.json();
    assert_eq!(
        (&changed["amount"], &changed["status"]),
        (&json!(600), &json!("requires_confirmation"))
    );
    assert_eq!(changed["metadata"], json!({"reference": "r1", "b": "2"}));
    let refusals = [
        ("/payment_intents", "amount=500", "parameter_missing", "currency"),
        ("/payment_intents", "amount=500&currency=usd&colour=red", "parameter_unknown", "colour"),
        (
            "/payment_intents",
            "amount=500&currency=usd&payment_method=pm_x",
            "resource_missing",
            "payment_method",
        ),
        ("/payment_methods", "type=sofort", "parameter_invalid", "type"),
        (
            "/payment_methods",
            "type=card&card[number]=4242424242424241&card[exp_month]=1&card[exp_year]=2040",
            "incorrect_number",
            "number",
        ),
        ("/refunds", "amount=1", "parameter_missing", "payment_intent"),
    ];
    for (path, form, code, param) in refusals {
        let error = sandbox.stripe(path, None, Some(form)).await.json()["error"].clone();
        assert_eq!((&error["code"], &error["param"]), (&json!(code), &json!(param)), "{form}");
    }
    for path in
        ["/payment_intents/pi_none", "/charges/ch_none", "/refunds/re_none", "/events/evt_none"]
    {
        let seen = sandbox.stripe(path, None, None).await;
        assert_eq!((seen.status, &seen.json()["error"]["code"]), (404, &json!("resource_missing")));
    }
    let keyless = sandbox.send("GET", "/stripe/acme/v1/events", &[], "").await;
    assert_eq!(keyless.status, 401);
}

#[tokio::test]
async fn a_customer_owns_the_payment_method_that_it_is_made_with() {
    let sandbox = Sandbox::memory().await;
    let card = format!("{CARD}4242424242424242");
    let method = sandbox.stripe("/payment_methods", None, Some(&card)).await.json();
    let form = format!("payment_method={}&metadata[reference]=r", method["id"].as_str().unwrap());
    let made = sandbox.stripe("/customers", None, Some(&form)).await;
    assert_eq!(made.status, 200, "{made:?}");
    let made = made.json();
    assert_eq!(
        (&made["object"], &made["metadata"]["reference"]),
        (&json!("customer"), &json!("r"))
    );
    assert!(made["id"].as_str().unwrap().starts_with("cus_"));
    for (form, status) in [("payment_method=pm_0000", 400), ("", 400), ("nonsense=1", 400)] {
        assert_eq!(sandbox.stripe("/customers", None, Some(form)).await.status, status, "{form}");
    }
}

#[tokio::test]
async fn an_intent_shows_its_charge_and_refunds_where_that_is_asked_for_and_the_balance_what_is_left()
 {
    let sandbox = Sandbox::memory().await;
    let empty = sandbox.stripe("/balance", None, None).await;
    assert_eq!((empty.status, &empty.json()["available"]), (200, &json!([])));
    let made = intent(&sandbox, "amount=1000&payment_method=pm_card_visa&confirm=true").await;
    let id = made["id"].as_str().unwrap();
    for amount in [300, 200] {
        let form = format!("payment_intent={id}&amount={amount}");
        assert_eq!(sandbox.stripe("/refunds", None, Some(&form)).await.status, 200);
    }
    let path = format!("/payment_intents/{id}");
    let plain = sandbox.stripe(&path, None, None).await.json();
    assert!(plain["latest_charge"].is_string(), "{plain}");
    for (expand, refunds) in [("latest_charge", false), ("latest_charge.refunds", true)] {
        let path = format!("{path}?expand%5B%5D={expand}");
        let charge = sandbox.stripe(&path, None, None).await.json()["latest_charge"].clone();
        check(&charge);
        assert_eq!(charge["amount_refunded"], 500);
        let listed = charge["refunds"]["data"].as_array();
        let amounts = listed.map(|list| list.iter().map(|made| made["amount"].clone()).collect());
        let want: Option<Vec<Value>> = refunds.then(|| vec![json!(200), json!(300)]);
        assert_eq!(amounts, want, "newest first, {charge}");
    }
    let left = sandbox.stripe("/balance", None, None).await.json();
    let sum = json!([{"amount": 500, "currency": "usd", "source_types": {"card": 500}}]);
    assert_eq!((&left["object"], &left["available"]), (&json!("balance"), &sum));
}
