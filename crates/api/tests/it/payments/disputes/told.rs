//! What providers tell, in whatever order, and what merchants are told of it.

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use super::super::hooks;
use super::super::recurring::{open_with_all, switch_on};
use super::{
    DISPUTED, INQUIRED, Shop, accept, decide, dispute_of, disputed, evidence, path, pay, settled,
    subscribe, with,
};
use crate::client::{self, Seen};
use crate::server::HOOK_SECRET;

#[tokio::test]
async fn a_dispute_is_opened_by_a_webhook_given_up_and_told_of() {
    let (shop, receiver) = hooks::open(None, &[50; 16]).await;
    subscribe(&shop, &shop.connector.clone(), "own", json!({})).await;
    let dispute = disputed(&shop).await;
    let id = dispute["payment_id"].as_str().unwrap();
    let paid = shop.get(&format!("/payments/{id}?expand_attempts=true")).await;
    assert_eq!(dispute["attempt_id"], paid["attempts"][0]["attempt_id"], "{paid}");
    assert_eq!(dispute["amount"], "1000", "a text");
    for (field, want) in [
        ("currency", json!("USD")),
        ("dispute_stage", json!("dispute")),
        ("connector", json!("sandbox")),
        ("connector_status", json!("opened")),
        ("connector_reason", json!("fraudulent")),
        ("connector_reason_code", json!("10.4")),
        ("merchant_connector_id", json!(shop.connector)),
        ("profile_id", paid["profile_id"].clone()),
        ("is_already_refunded", json!(false)),
        ("evidence", Value::Null),
        ("pending_action", Value::Null),
    ] {
        assert_eq!(dispute[field], want, "{field}: {dispute}");
    }
    let shown = paid["disputes"].as_array().unwrap();
    assert_eq!(shown.len(), 1, "{paid}");
    for (field, value) in shown[0].as_object().unwrap() {
        assert_eq!(dispute[field], *value, "{field}");
    }
    let listed = shop.get("/payments/list").await;
    assert_eq!(listed["data"][0]["disputes"], paid["disputes"]);
    let files = format!("/disputes/evidence/{}", dispute["dispute_id"].as_str().unwrap());
    assert_eq!(shop.get(&files).await, json!([]));
    shop.post("/refunds", json!({"payment_id": id, "amount": 400})).await;
    let given_up = shop.post(&accept(&dispute), json!({})).await;
    assert_eq!(given_up["dispute_status"], "dispute_accepted", "{given_up}");
    assert_eq!(
        (&given_up["connector_status"], &given_up["is_already_refunded"]),
        (&json!("accepted"), &json!(true))
    );
    assert_eq!(settled(&shop.get(&path(&dispute)).await), settled(&given_up));
    // processing, succeeded, the refund; opened, accepted.
    let got = receiver.wait(5).await;
    let of_disputes: Vec<_> = got.iter().filter(|one| one.kind().starts_with("dispute")).collect();
    assert_eq!(of_disputes.len(), 2, "{:?}", hooks::kinds(&got));
    let [opened, accepted] = of_disputes[..] else { panic!("{got:?}") };
    assert_eq!(
        (opened.kind().as_str(), accepted.kind().as_str()),
        ("dispute_opened", "dispute_accepted")
    );
    assert_eq!(opened.json()["content"], json!({"type": "dispute_details", "object": dispute}));
    assert_eq!(settled(&accepted.json()["content"]["object"]), settled(&given_up));
    let body = json!({"event_types": ["dispute_accepted"]});
    let events = shop.post(&format!("/events/{}", shop.merchant), body).await;
    let event = &events["events"][0];
    assert_eq!(
        (&event["event_class"], &event["object_id"]),
        (&json!("disputes"), &dispute["dispute_id"])
    );
}

#[tokio::test]
async fn evidence_is_sent_once_and_what_the_issuer_decides_is_told() {
    let (shop, receiver) = hooks::open(None, &[50; 16]).await;
    let (shop, connectors) = super::super::recurring::with_all(shop).await;
    for (kind, dialect) in [("sandbox", "own"), ("stripe", "stripe")] {
        switch_on(&shop, &connectors, kind).await;
        let connector = &connectors.iter().find(|(name, _)| *name == kind).unwrap().1;
        subscribe(&shop, connector, dialect, json!({})).await;
        for (text, end) in
            [("winning_evidence", "dispute_won"), ("losing_evidence", "dispute_lost")]
        {
            let before = receiver.got().len();
            let dispute = disputed(&shop).await;
            assert_eq!(dispute["connector"], kind, "{dispute}");
            let sent = shop.post("/disputes/evidence", evidence(&dispute, text)).await;
            assert_eq!(sent["pending_action"], Value::Null, "{sent}");
            let want = json!({"customer_name": "Ada", "uncategorized_text": text});
            assert_eq!(sent["evidence"], want, "{sent}");
            let id = dispute["payment_id"].as_str().unwrap();
            let ended = dispute_of(&shop, id, end).await;
            assert_eq!(ended["evidence"], want, "{ended}");
            let got = receiver.wait(before + 5).await;
            let told = hooks::kinds(&got[before..]);
            let told: Vec<_> = told.iter().filter(|kind| kind.starts_with("dispute")).collect();
            assert_eq!(told, ["dispute_opened", "dispute_challenged", end], "{kind}");
        }
    }
}

#[tokio::test]
async fn an_inquiry_becomes_a_chargeback_and_comes_again() {
    let shop = Shop::open().await;
    let connector = shop.connector.clone();
    subscribe(&shop, &connector, "own", json!({"delivery": {"duplicate": 2}})).await;
    let id = pay(&shop, INQUIRED, 1_000).await;
    let dispute = dispute_of(&shop, &id, "dispute_opened").await;
    assert_eq!(dispute["dispute_stage"], "pre_dispute");
    for (stage, status) in [
        ("pre_dispute", "challenged"),
        ("dispute", "opened"),
        ("dispute", "won"),
        ("pre_arbitration", "opened"),
        ("pre_arbitration", "expired"),
    ] {
        decide(&shop, &connector, &dispute, json!({"status": status, "stage": stage})).await;
        let now = dispute_of(&shop, &id, &format!("dispute_{status}")).await;
        assert_eq!(
            (&now["dispute_stage"], &now["dispute_id"]),
            (&json!(stage), &dispute["dispute_id"])
        );
    }
}

/// Adyen tells, and is not asked.
#[tokio::test]
async fn what_adyen_notifies_is_taken_up() {
    let (shop, connectors) = open_with_all().await;
    switch_on(&shop, &connectors, "adyen").await;
    let adyen = connectors.iter().find(|(name, _)| *name == "adyen").unwrap().1.clone();
    subscribe(&shop, &adyen, "adyen", json!({})).await;
    let id = pay(&shop, DISPUTED, 1_000).await;
    let dispute = dispute_of(&shop, &id, "dispute_opened").await;
    assert_eq!((&dispute["connector"], &dispute["amount"]), (&json!("adyen"), &json!("1000")));
    for (seen, flow) in [
        (shop.send("POST", &accept(&dispute), &json!({})).await, "accept"),
        (shop.send("POST", "/disputes/evidence", &evidence(&dispute, "x")).await, "submit"),
        (
            shop.send("GET", &format!("{}?force_sync=true", path(&dispute)), &Value::Null).await,
            "retrieve",
        ),
    ] {
        let message = format!("{flow} flow not supported by the adyen connector");
        super::refused(&seen, 400, "IR_20", &message);
    }
    decide(&shop, &adyen, &dispute, json!({"status": "lost"})).await;
    let lost = dispute_of(&shop, &id, "dispute_lost").await;
    assert_eq!(
        (&lost["dispute_stage"], &lost["connector_status"]),
        (&json!("dispute"), &json!("Lost"))
    );
}

/// An event as Stripe signs it, of a dispute in this status, told so many seconds ago.
async fn stripe_tells(shop: &Shop, connector: &str, name: &str, about: &Value, ago_s: i64) -> Seen {
    let now = shop.server.engine.clock().now().millis() / 1000;
    let dispute = with(
        json!({
            "id": "dp_00000001", "object": "dispute", "amount": 1000, "currency": "usd",
            "reason": "fraudulent", "created": now - 3_600,
            "evidence_details": {"due_by": now + 86_400, "submission_count": 0},
        }),
        about.clone(),
    );
    let body = json!({"id": "evt_1", "object": "event", "type": name, "created": now - ago_s,
        "data": {"object": dispute}});
    let body = body.to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, HOOK_SECRET.as_bytes());
    let tag = hmac::sign(&key, format!("{now}.{body}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let header = format!("t={now},v1={hex}");
    let headers = [("stripe-signature", header.as_str())];
    let at = format!("/webhooks/{}/{connector}", shop.merchant);
    client::send(shop.server.addr, "POST", &at, &headers, body.as_bytes()).await
}

#[tokio::test]
async fn repeats_disorder_and_strangers_do_no_harm() {
    let (shop, connectors) = open_with_all().await;
    switch_on(&shop, &connectors, "stripe").await;
    let stripe = connectors.iter().find(|(name, _)| *name == "stripe").unwrap().1.clone();
    super::set_secret(&shop, &stripe).await;
    let id = pay(&shop, "4111111111111111", 1_000).await;
    let paid = shop.get(&format!("/payments/{id}")).await;
    let intent = &paid["connector_transaction_id"];
    let tell = async |name: &str, status: &str, ago: i64| {
        let about = json!({"status": status, "payment_intent": intent});
        let seen = stripe_tells(&shop, &stripe, name, &about, ago).await;
        assert_eq!(seen.status, 200, "{seen:?}");
        shop.get(&format!("/disputes/list?payment_id={id}")).await
    };
    // Closed before it was opened: it is lost from the first that is heard of it.
    let lost = tell("charge.dispute.closed", "lost", 10).await;
    assert_eq!(
        (lost.as_array().unwrap().len(), &lost[0]["dispute_status"]),
        (1, &json!("dispute_lost"))
    );
    for (name, status, ago) in [
        ("charge.dispute.closed", "lost", 10),
        ("charge.dispute.created", "needs_response", 60),
        ("charge.dispute.funds_withdrawn", "needs_response", 60),
        ("charge.dispute.updated", "under_review", 30),
        ("charge.dispute.created", "warning_needs_response", 90),
        // Another end than the one that is known.
        ("charge.dispute.closed", "won", 5),
        // Nothing that is documented.
        ("charge.dispute.closed", "gone", 5),
        ("charge.dispute.strange", "won", 5),
    ] {
        assert_eq!(tell(name, status, ago).await, lost, "{name} {status}");
    }
    let before = shop.get("/disputes/list").await;
    // Of a payment that is not known: told again while it is young, and then somebody else's.
    let strange =
        json!({"id": "dp_strange", "status": "needs_response", "payment_intent": "pi_strange"});
    for (ago, status) in [(1, 503), (3_000, 200)] {
        let seen = stripe_tells(&shop, &stripe, "charge.dispute.created", &strange, ago).await;
        assert_eq!(seen.status, status, "{seen:?}");
    }
    // Of the Gateway API's payments nothing is kept.
    let own = json!({"id": "dp_gateway", "status": "needs_response", "payment_intent": "pi_1"});
    assert_eq!(
        stripe_tells(&shop, &stripe, "charge.dispute.created", &own, 3_000).await.status,
        200
    );
    let at = format!("/webhooks/{}/{stripe}", shop.merchant);
    let forged = json!({"id": "evt_1", "object": "event", "type": "charge.dispute.closed", "created": 1,
        "data": {"object": {"id": "dp_forged", "object": "dispute", "amount": 1000, "currency": "usd",
            "status": "lost", "payment_intent": intent}}});
    let headers = [("stripe-signature", "t=1,v1=00")];
    let seen =
        client::send(shop.server.addr, "POST", &at, &headers, forged.to_string().as_bytes()).await;
    assert_eq!(seen.status, 401, "{seen:?}");
    assert_eq!(shop.get("/disputes/list").await, before);
}

/// A provider that tells everything three times, and every other event late.
#[tokio::test]
async fn a_provider_that_tells_things_twice_and_late_is_understood() {
    let shop = Shop::open().await;
    let connector = shop.connector.clone();
    let delivery = json!({"delivery": {"duplicate": 2, "disorder": true}});
    subscribe(&shop, &connector, "own", delivery).await;
    let dispute = disputed(&shop).await;
    let body = evidence(&dispute, "winning_evidence");
    shop.post("/disputes/evidence", body).await;
    let id = dispute["payment_id"].as_str().unwrap();
    dispute_of(&shop, id, "dispute_won").await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    dispute_of(&shop, id, "dispute_won").await;
}
