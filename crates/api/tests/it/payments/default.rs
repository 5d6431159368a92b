//! A customer's default method, and what is shown of a card by its first digits.

use serde_json::{Value, json};

use super::{Shop, card, payment, with};

async fn saved(shop: &Shop, customer: &str, number: &str) -> String {
    let method = with(
        card(number),
        json!({"payment_method": "card", "payment_method_type": "credit", "customer_id": customer}),
    );
    let mut method = method;
    method["card"].as_object_mut().unwrap().remove("card_cvc");
    let made = shop.post("/payment_methods", method).await;
    assert_eq!(made["default_payment_method_set"], false, "{made}");
    made["payment_method_id"].as_str().unwrap().to_owned()
}

/// The methods of a customer that are the default one.
async fn first(shop: &Shop, customer: &str) -> Vec<Value> {
    let list = shop.get(&format!("/customers/{customer}/payment_methods")).await;
    let rows = list["customer_payment_methods"].as_array().unwrap().clone();
    let set = rows.into_iter().filter(|row| row["default_payment_method_set"] == true);
    set.map(|row| row["payment_method_id"].clone()).collect()
}

#[tokio::test]
async fn one_method_of_a_customer_is_the_default_one() {
    let shop = Shop::open().await;
    for customer in ["ada", "bob"] {
        shop.post("/customers", json!({"customer_id": customer})).await;
    }
    let one = saved(&shop, "ada", "4242424242424242").await;
    let two = saved(&shop, "ada", "5555555555554444").await;
    let bobs = saved(&shop, "bob", "4242424242424242").await;
    assert_eq!(first(&shop, "ada").await, Vec::<Value>::new());

    let path =
        |customer: &str, id: &str| format!("/customers/{customer}/payment_methods/{id}/default");
    let set = shop.post(&path("ada", &one), Value::Null).await;
    assert_eq!(
        set,
        json!({"customer_id": "ada", "default_payment_method_id": one,
            "payment_method": "card", "payment_method_type": "credit"})
    );
    assert_eq!(first(&shop, "ada").await, [json!(one)]);
    shop.post(&path("ada", &two), Value::Null).await;
    assert_eq!(shop.post(&path("ada", &two), Value::Null).await["default_payment_method_id"], two);
    assert_eq!(first(&shop, "ada").await, [json!(two)]);
    assert_eq!(shop.get("/customers/ada").await["default_payment_method_id"], two);
    let shown = shop.get(&format!("/payment_methods/{two}")).await;
    assert_eq!(shown["default_payment_method_set"], true);

    // Somebody else's method, one that is not there, and a customer that is not there.
    for (customer, id) in [("ada", bobs.as_str()), ("ada", "pm_none"), ("eve", two.as_str())] {
        let seen = shop.send("POST", &path(customer, id), &Value::Null).await;
        assert_eq!(seen.status, 404, "{customer} {id}: {seen:?}");
    }
    assert_eq!(first(&shop, "ada").await, [json!(two)]);

    // With the method goes the mark.
    shop.send("DELETE", &format!("/payment_methods/{two}"), &Value::Null).await;
    assert_eq!(first(&shop, "ada").await, Vec::<Value>::new());
    assert_eq!(shop.get("/customers/ada").await["default_payment_method_id"], Value::Null);
    shop.post(&path("ada", &one), Value::Null).await;
    shop.send("DELETE", "/customers/ada", &Value::Null).await;
    let late = shop.send("POST", &path("ada", &one), &Value::Null).await;
    assert_eq!(late.status, 404, "{late:?}");
}

#[tokio::test]
async fn what_is_known_of_a_card_is_shown_and_the_rest_is_null() {
    let shop = Shop::open().await;
    let rows = [
        ("4242424242424242", "Visa", json!("CREDIT"), json!("US"), json!("Stripe test cards")),
        ("4000056655665556", "Visa", json!("DEBIT"), json!("US"), Value::Null),
        ("5555444433331111", "Mastercard", json!("CREDIT"), json!("GB"), Value::Null),
        ("4000000000000077", "Visa", Value::Null, Value::Null, Value::Null),
    ];
    for (amount, (number, network, kind, country, issuer)) in (1000..).zip(rows) {
        let made = with(payment(amount), json!({"payment_method_data": card(number)}));
        let made = shop.post("/payments", made).await;
        let shown = &made["payment_method_data"]["card"];
        let got = ["card_network", "card_type", "card_issuing_country", "card_issuer"];
        let got = got.map(|name| shown[name].clone());
        assert_eq!(
            got,
            [json!(network), kind.clone(), country.clone(), issuer.clone()],
            "{number}"
        );
        let method = saved(&shop, "ada", number).await;
        let shown = shop.get(&format!("/payment_methods/{method}")).await;
        let got = ["card_network", "card_type", "issuer_country", "card_issuer"];
        let got = got.map(|name| shown["card"][name].clone());
        assert_eq!(got, [json!(network), kind, country, issuer], "{number}");
    }
}
