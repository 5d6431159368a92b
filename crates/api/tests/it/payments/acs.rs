//! The sandbox's access control server: what becomes of a payment whose payer is asked to authenticate, for each of the
//! documented cards.

use std::time::Duration;

use serde_json::{Value, json};

use super::back::{open, press};
use super::recurring::{KINDS, open_with_all, switch_on};
use super::{Shop, card, payment, with};

const CHALLENGED: &str = "4000000000003220";
const FRICTIONLESS: &str = "4000000000003055";
const FAILS: &str = "4000000000003105";
const TIMES_OUT: &str = "4000000000003113";
const ABANDONED: &str = "4000000000003121";

/// A payment whose payer is there.
async fn paid(shop: &Shop, number: &str, amount: i64) -> Value {
    let body = json!({"authentication_type": "three_ds", "return_url": "https://shop.example/done",
        "payment_method_data": card(number)});
    shop.post("/payments", with(payment(amount), body)).await
}

fn at(made: &Value) -> String {
    format!("/payments/{}", made["payment_id"].as_str().unwrap())
}

#[tokio::test]
async fn a_frictionless_payer_is_asked_nothing_and_one_who_fails_is_declined() {
    let (shop, connectors) = open_with_all().await;
    for kind in KINDS {
        switch_on(&shop, &connectors, kind).await;
        let made = paid(&shop, FRICTIONLESS, 1000).await;
        assert_eq!((&made["status"], &made["next_action"]), (&json!("succeeded"), &Value::Null));
        let made = paid(&shop, FAILS, 1001).await;
        let said = (&made["status"], &made["error_code"], &made["next_action"]);
        assert_eq!(
            said,
            (&json!("failed"), &json!("authentication_failed"), &Value::Null),
            "{kind}"
        );
    }
}

#[tokio::test]
async fn a_challenge_is_passed_or_failed_on_its_page() {
    let (shop, connectors) = open_with_all().await;
    for kind in KINDS {
        switch_on(&shop, &connectors, kind).await;
        for (button, status) in [("approve", "succeeded"), ("fail", "failed")] {
            let made = paid(&shop, CHALLENGED, 1000).await;
            assert_eq!(made["status"], "requires_customer_action", "{kind}: {made}");
            assert_eq!(made["next_action"]["type"], "redirect_to_url");
            assert_eq!(open(&shop, &press(&shop, &made, button).await).await.status, 303);
            let seen = shop.get(&at(&made)).await;
            assert_eq!(seen["status"], status, "{kind}: {seen}");
            if status == "failed" {
                assert_eq!(seen["error_code"], "authentication_failed", "{kind}: {seen}");
            }
        }
    }
}

/// Nobody answers until the issuer gives up: found by whoever looks, and told by Adyen's webhook only.
#[tokio::test]
async fn a_challenge_that_nobody_answers_fails_when_its_issuer_gives_up() {
    let (shop, connectors) = open_with_all().await;
    for kind in ["sandbox", "stripe"] {
        switch_on(&shop, &connectors, kind).await;
        let made = paid(&shop, TIMES_OUT, 1000).await;
        assert_eq!(made["status"], "requires_customer_action", "{kind}: {made}");
        let early = shop.get(&format!("{}?force_sync=true", at(&made))).await;
        assert_eq!(early["status"], "requires_customer_action", "{kind}: {early}");
        let mut seen = early;
        for _ in 0..40 {
            tokio::time::sleep(Duration::from_millis(250)).await;
            seen = shop.get(&format!("{}?force_sync=true", at(&made))).await;
            if seen["status"] != "requires_customer_action" {
                break;
            }
        }
        let said = (&seen["status"], &seen["error_code"]);
        assert_eq!(said, (&json!("failed"), &json!("authentication_failed")), "{kind}: {seen}");
        // Who comes late finds that it is over.
        let page = shop.challenge(&made, "approve").await;
        assert_eq!(page.status, 410, "{page:?}");
        assert_eq!(shop.get(&at(&made)).await["status"], "failed");
    }
    // Who answers in time is not overtaken by the clock.
    for kind in KINDS {
        switch_on(&shop, &connectors, kind).await;
        let made = paid(&shop, TIMES_OUT, 1001).await;
        let back = press(&shop, &made, "approve").await;
        tokio::time::sleep(Duration::from_millis(2_200)).await;
        assert_eq!(open(&shop, &back).await.status, 303);
        let seen = shop.get(&at(&made)).await;
        assert_eq!(seen["status"], "succeeded", "{kind}: {seen}");
    }
}

#[tokio::test]
async fn a_challenge_that_was_left_waits_until_its_merchant_gives_it_up() {
    let (shop, connectors) = open_with_all().await;
    for kind in ["sandbox", "stripe"] {
        switch_on(&shop, &connectors, kind).await;
        for number in [ABANDONED, CHALLENGED] {
            let made = paid(&shop, number, 1000).await;
            assert_eq!(made["status"], "requires_customer_action", "{kind}: {made}");
            if number == CHALLENGED {
                assert_eq!(shop.challenge(&made, "abandon").await.status, 200);
            }
            // It can never be passed any more.
            assert_eq!(shop.challenge(&made, "approve").await.status, 410);
            let seen = shop.get(&format!("{}?force_sync=true", at(&made))).await;
            assert_eq!(seen["status"], "requires_customer_action", "{kind}: {seen}");
            let done = shop.post(&format!("{}/cancel", at(&made)), json!({})).await;
            assert_eq!(done["status"], "cancelled", "{kind}: {done}");
        }
    }
    let books = shop.server.books().await;
    let rows = books["data"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["captured"] == 0 && row["voided"] == true), "{books}");
}
