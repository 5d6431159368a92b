//! Adyen's dialect.

use serde_json::{Value, json};

use crate::client::{CARD, Sandbox, challenge_of};

/// `resultCode` values of Checkout v71.
const RESULTS: [&str; 13] = [
    "AuthenticationFinished",
    "AuthenticationNotRequired",
    "Authorised",
    "Cancelled",
    "ChallengeShopper",
    "Error",
    "IdentifyShopper",
    "PartiallyAuthorised",
    "Pending",
    "PresentToShopper",
    "Received",
    "RedirectShopper",
    "Refused",
];

fn payment(reference: &str, amount: i64, manual: bool, number: &str) -> Value {
    json!({
        "merchantAccount": "Shop", "reference": reference, "returnUrl": "http://shop.test/",
        "amount": {"value": amount, "currency": "EUR"},
        "additionalData": {"manualCapture": manual.to_string()},
        "paymentMethod": {"type": "scheme", "number": number, "expiryMonth": "03",
            "expiryYear": "2090", "cvc": "737"},
        "metadata": {"payment": reference},
    })
}

async fn pay(sandbox: &Sandbox, body: Value) -> Value {
    let seen = sandbox.adyen("/payments", None, body).await;
    assert_eq!(seen.status, 200, "{seen:?}");
    let answer = seen.json();
    assert!(RESULTS.contains(&answer["resultCode"].as_str().unwrap()), "{answer}");
    assert_eq!(answer["pspReference"].as_str().unwrap().len(), 16);
    answer
}

/// A modification; checks what every answer must have.
async fn modify(sandbox: &Sandbox, payment: &Value, action: &str, mut body: Value) -> Value {
    let psp = payment["pspReference"].as_str().unwrap();
    body["merchantAccount"] = json!("Shop");
    let seen = sandbox.adyen(&format!("/payments/{psp}/{action}"), None, body).await;
    assert_eq!(seen.status, 201, "{seen:?}");
    let answer = seen.json();
    assert_eq!(
        (&answer["status"], &answer["paymentPspReference"]),
        (&json!("received"), &json!(psp))
    );
    assert_eq!(answer["merchantAccount"], "Shop");
    assert_ne!(answer["pspReference"], psp);
    answer
}

async fn row(sandbox: &Sandbox, payment: &Value) -> Value {
    let books = sandbox.get("/admin/books?account=acme&limit=1000").await;
    let rows = books["data"].as_array().unwrap();
    rows.iter().find(|row| row["id"] == payment["pspReference"]).unwrap().clone()
}

fn eur(value: i64) -> Value {
    json!({"amount": {"value": value, "currency": "EUR"}})
}

#[tokio::test]
async fn a_payment_is_authorised_captured_in_parts_and_refunded() {
    let sandbox = Sandbox::memory().await;
    let held = pay(&sandbox, payment("r1", 1000, true, CARD)).await;
    assert_eq!(
        (&held["resultCode"], &held["merchantReference"]),
        (&json!("Authorised"), &json!("r1"))
    );
    assert_eq!(held["paymentMethod"], json!({"brand": "visa", "type": "scheme"}));
    let more = &held["additionalData"];
    assert_eq!(
        (&more["cardSummary"], more["authCode"].as_str().unwrap().len()),
        (&json!("1111"), 6)
    );
    let captured = modify(&sandbox, &held, "captures", eur(400)).await;
    assert_eq!(captured["amount"], json!({"value": 400, "currency": "EUR"}));
    modify(&sandbox, &held, "captures", eur(601)).await;
    modify(&sandbox, &held, "cancels", json!({})).await;
    modify(&sandbox, &held, "captures", eur(600)).await;
    modify(&sandbox, &held, "refunds", eur(1)).await;
    let row = row(&sandbox, &held).await;
    let sums = (&row["captured"], &row["refunded"], &row["voided"]);
    assert_eq!(sums, (&json!(1000), &json!(1), &json!(false)), "what was refused moved nothing");
    let plain =
        sandbox.adyen("/payments/AAAAAAAAAAAAAAAA/cancels", None, json!({"merchantAccount": "S"}));
    assert_eq!(plain.await.json()["errorCode"], "167");
}

#[tokio::test]
async fn every_decline_has_adyens_words() {
    let sandbox = Sandbox::memory().await;
    for (amount, decline) in &baton_sandbox::codes().declines {
        let refused = pay(&sandbox, payment("d", *amount, true, CARD)).await;
        let result = refused["resultCode"].as_str().unwrap();
        assert!(matches!(result, "Refused" | "Error"), "{}", decline.code);
        assert!(refused["refusalReason"].is_string());
        let code: u8 = refused["refusalReasonCode"].as_str().unwrap().parse().unwrap();
        assert!((2..=46).contains(&code), "{}", decline.code);
        assert_eq!(json!(decline.by) == json!("provider_risk"), code == 20, "{}", decline.code);
    }
}

#[tokio::test]
async fn reversals_and_cancels_follow_what_was_captured() {
    let sandbox = Sandbox::memory().await;
    let held = pay(&sandbox, payment("r1", 1000, true, CARD)).await;
    modify(&sandbox, &held, "reversals", json!({"reference": "x"})).await;
    assert_eq!(row(&sandbox, &held).await["voided"], true);
    let sold = pay(&sandbox, payment("r2", 1000, false, CARD)).await;
    modify(&sandbox, &sold, "cancels", json!({})).await;
    assert_eq!(row(&sandbox, &sold).await["voided"], false, "captured at once");
    modify(&sandbox, &sold, "reversals", json!({})).await;
    assert_eq!(row(&sandbox, &sold).await["refunded"], 1000);
    let mut delayed = payment("r3", 1000, false, CARD);
    delayed["captureDelayHours"] = json!(1);
    let delayed = pay(&sandbox, delayed).await;
    let cancel = json!({"merchantAccount": "Shop", "paymentReference": "r3", "reference": "c"});
    let seen = sandbox.adyen("/cancels", None, cancel.clone()).await;
    let answer = seen.json();
    let names: Vec<_> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = ["merchantAccount", "paymentReference", "pspReference", "reference", "status"];
    assert_eq!((seen.status, names), (201, expected.to_vec()));
    assert_eq!(row(&sandbox, &delayed).await["voided"], true);
    assert_eq!(
        sandbox.adyen("/cancels", None, cancel).await.status,
        201,
        "received, whatever becomes of it"
    );
    let later = pay(&sandbox, payment("r3", 1000, false, CARD)).await;
    assert_eq!(later["resultCode"], "Authorised", "no fence");
}

#[tokio::test]
async fn a_redirect_is_completed_and_confirmed_by_details() {
    let sandbox = Sandbox::memory().await;
    for (button, result) in [("approve", "Authorised"), ("fail", "Refused")] {
        let open = pay(&sandbox, payment("r1", 1000, false, "4000002500003155")).await;
        assert_eq!(
            (&open["resultCode"], &open["action"]["type"]),
            (&json!("RedirectShopper"), &json!("redirect"))
        );
        let path = challenge_of(&json!({"next_action": open["action"]}));
        let back = sandbox.send("POST", &path, &[], &format!("outcome={button}")).await;
        let location = back.header("location").unwrap();
        let redirect = location.strip_prefix("http://shop.test/?redirectResult=").unwrap();
        let details = json!({"details": {"redirectResult": redirect}});
        let books = sandbox.get("/admin/books/summary").await;
        assert_eq!(books["by_status"]["action_required"], 1, "{button} {books}");
        let again = sandbox.send("POST", &path, &[], "outcome=approve").await;
        assert_eq!(again.status, 410, "a challenge is passed or failed once");
        // The result is brought, and brought again.
        for _ in 0..2 {
            let answer = sandbox.adyen("/payments/details", None, details.clone()).await.json();
            assert_eq!(
                (&answer["resultCode"], &answer["pspReference"]),
                (&json!(result), &open["pspReference"])
            );
        }
    }
}

#[tokio::test]
async fn keys_are_answered_with_704_while_running_or_for_another_request() {
    let sandbox = Sandbox::memory().await;
    let body = payment("r1", 1000, false, CARD);
    let first = sandbox.adyen("/payments", Some("k"), body.clone()).await;
    let again = sandbox.adyen("/payments", Some("k"), body.clone()).await;
    assert_eq!((&first.body, again.header("idempotency-key")), (&again.body, Some("k")));
    let other = sandbox.adyen("/payments", Some("k"), payment("r2", 1000, false, CARD)).await;
    assert_eq!((other.status, &other.json()["errorCode"]), (422, &json!("704")));
    assert_eq!(other.header("transient-error"), None);
    let fault = json!({"commit": {"late": {"after_ms": 2_000}}, "answer": "close"});
    sandbox.admin("POST", "/admin/rules", json!({"action": {"fault": fault}, "times": 1})).await;
    let text = crate::client::request(
        "POST",
        "/adyen/acme/v71/payments",
        &[("x-api-key", "k"), ("idempotency-key", "late")],
        &body.to_string(),
    );
    assert!(sandbox.try_send(&text).await.is_none());
    let running = sandbox.adyen("/payments", Some("late"), body.clone()).await;
    assert_eq!((running.status, &running.json()["errorCode"]), (422, &json!("704")));
    assert_eq!(running.header("transient-error"), Some("true"));
}

#[tokio::test]
async fn wrong_requests_are_service_errors_and_stored_and_test_cards_are_read() {
    let sandbox = Sandbox::memory().await;
    let wrong = [
        ("/merchantAccount", json!(null), "901"),
        ("/amount/value", json!(0), "137"),
        ("/amount/currency", json!("EURO"), "138"),
        ("/reference", json!(""), "130"),
        ("/paymentMethod/number", json!("4111111111111112"), "101"),
        ("/paymentMethod/cvc", json!("1"), "103"),
        ("/paymentMethod/expiryMonth", json!("13"), "140"),
        ("/returnUrl", json!(null), "702"),
    ];
    for (path, value, code) in wrong {
        let mut body = payment("r1", 1000, false, CARD);
        *body.pointer_mut(path).unwrap() = value;
        let seen = sandbox.adyen("/payments", None, body).await;
        let error = seen.json();
        assert_eq!((seen.status, &error["errorCode"]), (422, &json!(code)), "{path}");
        assert_eq!((&error["status"], &error["errorType"]), (&json!(422), &json!("validation")));
    }
    let keyless = sandbox.send("POST", "/adyen/acme/v71/payments", &[], "{}").await;
    assert_eq!((keyless.status, &keyless.json()["errorType"]), (401, &json!("security")));
    assert_eq!(sandbox.get("/admin/books").await["data"], json!([]));

    let mut body = payment("r1", 1000, false, CARD);
    body["paymentMethod"] = json!({
        "type": "scheme", "encryptedCardNumber": "test_4000000000009995",
        "encryptedExpiryMonth": "test_03", "encryptedExpiryYear": "test_2090",
        "encryptedSecurityCode": "test_737",
    });
    body["storePaymentMethod"] = json!(true);
    let refused = pay(&sandbox, body.clone()).await;
    assert_eq!(refused["refusalReason"], "Not enough balance");
    let stored = refused["additionalData"]["tokenization.storedPaymentMethodId"].clone();
    body["paymentMethod"] = json!({"type": "scheme", "storedPaymentMethodId": stored});
    assert_eq!(pay(&sandbox, body).await["refusalReasonCode"], "12");
}

#[tokio::test]
async fn a_card_is_kept_without_a_payment_and_charged_later() {
    let sandbox = Sandbox::memory().await;
    let card = json!({"type": "scheme", "number": "4111111111111111", "expiryMonth": "03",
        "expiryYear": "2090", "cvc": "737"});
    let keep = json!({"merchantAccount": "Shop", "paymentMethod": card, "shopperReference": "s-1",
        "recurringProcessingModel": "CardOnFile"});
    let kept = sandbox.adyen("/storedPaymentMethods", None, keep.clone()).await;
    assert_eq!(kept.status, 201, "{kept:?}");
    let kept = kept.json();
    let shown = (&kept["lastFour"], &kept["brand"], &kept["shopperReference"]);
    assert_eq!(shown, (&json!("1111"), &json!("visa"), &json!("s-1")));
    let mut body = payment("again", 700, false, "");
    body["paymentMethod"] = json!({"type": "scheme", "storedPaymentMethodId": kept["id"]});
    assert_eq!(pay(&sandbox, body).await["resultCode"], "Authorised");
    for field in ["shopperReference", "recurringProcessingModel", "paymentMethod"] {
        let mut less = keep.clone();
        less.as_object_mut().unwrap().remove(field);
        assert_eq!(sandbox.adyen("/storedPaymentMethods", None, less).await.status, 422, "{field}");
    }
}
