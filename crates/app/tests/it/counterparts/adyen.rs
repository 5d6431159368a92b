//! Adyen's connector against its official specification: prism validates every request and every answer
//! between the server and the sandbox's Adyen dialect.
//!
//! Prism lets everything pass for an operation that it cannot compile. So each operation is also sent a
//! request that is wrong, and has to refuse it.

use serde_json::{Value, json};

use super::{Held, free_port, installed, serve, skipped, specification};
use crate::support::http::{Reply, call};
use crate::support::{CARD_NUMBER, Client, Place, Process, books, purchase, rule};

const CREDENTIALS: &str = "{ ApiKey = \"key\", MerchantAccount = \"ShopEU\" }";

struct World {
    client: Client,
    prism: String,
    sandbox: Process,
    _process: Held,
    _server: Process,
    _place: Place,
}

fn prism(upstream: &str) -> Result<(String, Held), String> {
    let spec = specification("adyen/CheckoutService-v71.json")?;
    let modules = installed("npm")?;
    let port = free_port();
    let program = modules.join("@stoplight/prism-cli/dist/index.js");
    let line = format!(
        "node {} proxy -h 127.0.0.1 -p {port} --errors {} {upstream}",
        program.display(),
        spec.display()
    );
    let held = Held::start(&line, "Prism is listening");
    Ok((format!("http://127.0.0.1:{port}"), held))
}

fn world() -> Option<World> {
    let place = Place::new();
    let sandbox = place.sandbox(&[]);
    let (prism, process) = match prism(&format!("{}/adyen/shop/v71", sandbox.url)) {
        Ok(started) => started,
        Err(why) => {
            skipped(&format!("Adyen's specification: {why}"));
            return None;
        }
    };
    let server = serve(&place, "Adyen", &prism, CREDENTIALS);
    let client = Client::new(&server, &place.key());
    Some(World { client, prism, sandbox, _process: process, _server: server, _place: place })
}

impl World {
    async fn pay(&self, operation: &str, amount: i64) -> Reply {
        let body = purchase(amount, &format!("{operation}-{amount}"), CARD_NUMBER, &["provider"]);
        self.client.send("POST", &format!("/PaymentGateway/{operation}"), &body).await
    }

    async fn change(&self, method: &str, operation: &str, of: &Reply, amount: &str) -> Reply {
        let reference = of.text_of("transactionId");
        let body =
            format!(r#"{{"refTransId": "{reference}", "amount": {amount}, "currency": "EUR"}}"#);
        self.client.send(method, &format!("/PaymentGateway/{operation}"), &body).await
    }

    /// Sends a connector's call through prism.
    async fn send(&self, sent: &baton_connect::HttpCall) -> baton_connect::HttpReply {
        let key = baton_types::Secret::new("key".to_owned());
        let filled = sent.fill(&std::collections::HashMap::from([("ApiKey".to_owned(), key)]));
        let filled = filled.ok().unwrap();
        let body = String::from_utf8(filled.body.to_vec()).unwrap();
        let headers = [("x-api-key", "key")];
        let reply = call(&self.prism, "POST", &filled.path, &headers, &body).await.unwrap();
        let headers = Vec::new();
        baton_connect::HttpReply { status: reply.status, headers, body: reply.text.into_bytes() }
    }

    async fn book(&self, amount: i64) -> Value {
        let all = books(&self.sandbox.url).await;
        let found: Vec<&Value> = all
            .iter()
            .filter(|row| row["amount"]["value"] == amount || row["amount"] == amount)
            .collect();
        assert_eq!(found.len(), 1, "one payment of {amount}: {all:?}");
        found[0].clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_to_adyen_and_every_answer_keeps_to_its_specification() {
    let Some(world) = world() else { return };
    let charged = world.pay("charge", 1_023).await;
    assert_eq!(charged.code(), "Success", "{}", charged.text);
    assert_eq!(world.book(1_023).await["captured"], 1_023);

    let declined = world.pay("charge", 900_003).await;
    assert_eq!(declined.text_of("reason"), "insufficient_funds", "{}", declined.text);

    // What Adyen has only received is told as accepted; the books show that it was understood.
    let held = world.pay("authorize", 1_001).await;
    assert_eq!(held.code(), "Success", "{}", held.text);
    assert_eq!(world.book(1_001).await["captured"], 0);
    let captured = world.change("PUT", "capture", &held, "4.00").await;
    assert_eq!(captured.code(), "Accepted", "{}", captured.text);
    assert_eq!(world.book(1_001).await["captured"], 400);

    let refunded = world.change("PUT", "refund", &charged, "1.23").await;
    assert_eq!(refunded.code(), "Accepted", "{}", refunded.text);
    assert_eq!(world.book(1_023).await["refunded"], 123);

    let held = world.pay("authorize", 1_002).await;
    let voided = world.change("DELETE", "void", &held, "10.02").await;
    assert_eq!(voided.code(), "Accepted", "{}", voided.text);
    assert_eq!(world.book(1_002).await["voided"], true);

    let kept = world.pay("tokenize", 1).await;
    assert_eq!(kept.code(), "Success", "{}", kept.text);
    let token = kept.text_of("gatewayToken");
    let body = format!(
        r#"{{"amount": 10.03, "currency": "EUR", "userToken": "{token}",
            "paymentGatewayAccountName": "provider"}}"#
    );
    let again = world.client.charge(&body).await;
    assert_eq!(again.code(), "Success", "{}", again.text);
    assert_eq!(world.book(1_003).await["captured"], 1_003);

    let challenge = json!({"verdict": {"challenge": {"abandoned": false}}});
    rule(&world.sandbox.url, json!({"match": {"amount": 1_004}, "action": challenge})).await;
    let challenged = world.pay("charge", 1_004).await;
    assert_eq!(challenged.text_of("reason"), "action_required", "{}", challenged.text);
    assert_eq!(world.book(1_004).await["voided"], true, "cancelled at the provider");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_whose_answer_was_lost_is_cancelled_by_reference_in_the_documented_form() {
    let Some(world) = world() else { return };
    // The connector writes the cancel; prism and the sandbox say whether it is one.
    let connectors = baton_connectors::all().unwrap();
    let adyen = connectors.iter().find(|c| c.manifest().id == "adyen").unwrap();
    let parent = baton_connect::Parent {
        reference: "lost-1".to_owned(),
        provider_reference: None,
        planned_at: None,
        verification: false,
    };
    let void = baton_connect::Operation::Void { parent, reference: "void-1".to_owned() };
    let mut cx = baton_connect::Cx::default();
    cx.settings.insert("MerchantAccount".to_owned(), "ShopEU".to_owned());
    let baton_connect::Call::Http(sent) = adyen.encode(&void, &cx).unwrap() else { panic!() };
    let heard = world.send(&sent).await;
    let baton_connect::Decoded::Outcome(outcome) = adyen.decode(&void, &cx, &sent, &heard) else {
        panic!("one call")
    };
    assert_eq!(outcome.class(), "pending", "{}", String::from_utf8_lossy(&heard.body));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_payer_brings_back_is_passed_on_in_the_documented_form() {
    let Some(world) = world() else { return };
    let connectors = baton_connectors::all().unwrap();
    let adyen = connectors.iter().find(|c| c.manifest().id == "adyen").unwrap();
    let body = json!({
        "merchantAccount": "ShopEU", "reference": "order-1-a1", "returnUrl": "https://shop.test/back",
        "amount": {"value": 1_000, "currency": "EUR"},
        "paymentMethod": {"type": "scheme", "number": "4000002500003155", "expiryMonth": "12",
            "expiryYear": "2090", "cvc": "123", "holderName": "Ada Lovelace"},
    });
    let key = [("x-api-key", "key")];
    let made = call(&world.prism, "POST", "/payments", &key, &body.to_string()).await.unwrap();
    let made: Value = serde_json::from_str(&made.text).unwrap();
    let url = made["action"]["url"].as_str().unwrap_or_else(|| panic!("{made}"));
    let (host, path) = url.split_at(url.find("/challenge").unwrap());
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let pressed = call(host, "POST", path, &form, "outcome=approve").await.unwrap();
    assert_eq!(pressed.status, 303, "{}", pressed.text);
    let id = made["pspReference"].as_str().unwrap();
    let returned = baton_connect::Returned([("redirectResult".to_owned(), id.to_owned())].into());
    let about = baton_connect::LookUp {
        subject: baton_connect::Subject::Charge,
        reference: "order-1-a1".to_owned(),
        provider_reference: Some(id.to_owned()),
        amount: baton_types::Currency::parse("EUR")
            .ok()
            .map(|currency| baton_types::Money::new(1_000, currency)),
        planned_at: None,
    };
    let cx = baton_connect::Cx::default();
    let heard = world.send(&adyen.complete(&about, &returned, &cx).unwrap()).await;
    let baton_types::outcome::Finding::Found { outcome } =
        adyen.read_completion(&about, &cx, &heard)
    else {
        panic!("{} {}", heard.status, String::from_utf8_lossy(&heard.body))
    };
    assert_eq!(outcome.class(), "approved");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_the_specification_is_refused_for_every_operation() {
    let Some(world) = world() else { return };
    let amount = json!({"value": 1, "currency": "EUR"});
    let account = "ShopEU";
    let rows = [
        ("/payments", json!({"merchantAccount": account, "amount": amount})),
        ("/payments/ABC/captures", json!({"merchantAccount": account})),
        ("/payments/ABC/refunds", json!({"amount": amount})),
        ("/payments/ABC/cancels", json!({"reference": "r"})),
        ("/cancels", json!({"merchantAccount": account})),
        ("/storedPaymentMethods", json!({"merchantAccount": account, "shopperReference": "s"})),
        ("/paymentMethods", json!({"channel": "Web"})),
        ("/payments/details", json!({"authenticationData": {}})),
    ];
    for (path, body) in rows {
        let headers = [("x-api-key", "key")];
        let reply = call(&world.prism, "POST", path, &headers, &body.to_string()).await.unwrap();
        assert_eq!(reply.status, 422, "{path}: {}", reply.text);
        assert!(reply.text.contains("required"), "{path}: {}", reply.text);
        let mut more = body.clone();
        more["nobodyKnows"] = json!(1);
        let reply = call(&world.prism, "POST", path, &headers, &more.to_string()).await.unwrap();
        assert_eq!(reply.status, 422, "{path}: {}", reply.text);
    }
    assert!(books(&world.sandbox.url).await.is_empty(), "nothing reached the sandbox");
}
