//! Settings that another node changes.

use std::time::Duration;

use baton_payments::{CardInput, Fault, IntentChange, Merchant, NewIntent, Payments, Seen};
use baton_types::card::Expiry;
use baton_types::{Card, CardNumber, Currency, Secret};
use serde_json::json;

use super::{Shop, payment, with};

async fn buy(node: &Payments, merchant: &Merchant, profile: &str) -> Result<Seen, Fault> {
    let number = CardNumber::parse("4111111111111111").unwrap();
    let expiry = Expiry::new(10, 2090).unwrap();
    let card = Card { number, expiry, cvv: None, holder: None };
    let masked = card.masked();
    let number = Secret::new(card.number.expose().to_owned());
    let card = CardInput { number, masked, cvv: None, holder: None };
    let change = IntentChange { card: Some(card), ..IntentChange::default() };
    let currency = Currency::parse("USD").unwrap();
    let profile = Some(profile.to_owned());
    let new = NewIntent { id: None, profile, amount: 100, currency, change };
    Box::pin(node.create(merchant, new, true, None)).await
}

#[tokio::test]
async fn what_another_node_makes_is_found_at_once_and_what_it_takes_away_is_gone_in_two_seconds() {
    let shop = Shop::open().await;
    let other = Payments::new(shop.server.engine.clone(), true);
    let merchant = other.merchant_of(other.merchant(&shop.merchant).await.unwrap());
    let first = shop.get(&format!("/account/{}/business_profile", shop.merchant)).await;
    let first = first[0]["profile_id"].as_str().unwrap();
    assert!(buy(&other, &merchant, first).await.unwrap().payment.is_some());

    let made = json!({"profile_name": "second"});
    let made = shop.post(&format!("/account/{}/business_profile", shop.merchant), made).await;
    let second = made["profile_id"].as_str().unwrap();
    let none = buy(&other, &merchant, second).await;
    assert!(matches!(none, Err(Fault::NoConnector)), "the profile is there: {none:?}");
    let connector = json!({
        "connector_type": "payment_processor", "connector_name": "sandbox", "profile_id": second,
        "connector_account_details": {"auth_type": "HeaderKey", "api_key": "any"},
    });
    let connectors = format!("/account/{}/connectors", shop.merchant);
    let connector = shop.post(&connectors, connector).await;
    assert!(buy(&other, &merchant, second).await.unwrap().payment.is_some());

    let off = json!({"connector_type": "payment_processor", "disabled": true});
    let path = format!("{connectors}/{}", connector["merchant_connector_id"].as_str().unwrap());
    shop.post(&path, off).await;
    let here = with(payment(100), json!({"profile_id": second}));
    let here = shop.send("POST", "/payments", &here).await;
    assert_eq!(here.json()["error"]["code"], "IR_39", "at once where it was changed: {here:?}");
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let there = buy(&other, &merchant, second).await;
    assert!(matches!(there, Err(Fault::NoConnector)), "{there:?}");
}
