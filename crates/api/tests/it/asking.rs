//! Questions: gateways, balances, lists of payments, keys; and wallets, which are not there.

use serde_json::{Value, json};

use crate::client;
use crate::server::Server;
use crate::{CHARGE, charge, edited};

const CARD: &str = "4111111111111111";

async fn get(server: &Server, path: &str) -> client::Seen {
    server.send("GET", path, "").await
}

#[tokio::test]
async fn gateways_are_listed_with_what_an_account_needs() {
    let server = Server::start().await;
    let seen = get(&server, "/PaymentGateway").await;
    assert_eq!(seen.status, 200, "{seen:?}");
    let list = seen.json();
    let names: Vec<&str> =
        list.as_array().unwrap().iter().map(|g| g["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Adyen", "NULLFailure", "NULLSuccess", "Sandbox", "Stripe"]);
    let sandbox = &list[3];
    assert_eq!(sandbox["credentialsNames"], json!(["ApiKey", "WebhookSecret"]), "{sandbox}");
    assert_eq!(sandbox["supportsNetworkToken"], true, "{sandbox}");
    assert_eq!(list[2]["credentialsNames"], json!([]), "mocks need none");
}

#[tokio::test]
async fn a_key_says_whose_it_is() {
    let server = Server::start().await;
    let first = get(&server, "/Utils/apiKey").await.json();
    assert_eq!((&first["status"], &first["userName"]), (&json!("OK"), &json!("test")));
    assert_eq!(first["isSandbox"], true);
    let id = first["accountId"].as_u64().unwrap();
    assert!(id > 0 && id < 1 << 53, "{id} is exact in every JSON library");
    let live = server.make_key(&[baton_engine::keys::Scope::Gateway], false, None).await;
    let seen =
        client::send(server.addr, "GET", "/Utils/apiKey", &[("x-api-key", &live)], b"").await;
    let second = seen.json();
    assert_eq!((second["accountId"].as_u64(), &second["isSandbox"]), (Some(id), &json!(false)));
}

#[tokio::test]
async fn a_balance_is_what_the_provider_says() {
    let server = Server::start().await;
    let empty = get(&server, "/PaymentGateway/balance?account=acme").await;
    assert_eq!((empty.status, &empty.json()["balances"]), (200, &json!([])), "{empty:?}");
    let taken = server.operate("charge", CHARGE).await;
    let refund = crate::change(taken.json()["gatewayReference"].as_str().unwrap(), "0.23", "USD");
    assert_eq!(server.operate("refund", refund).await.status, 202);
    server.operate("charge", charge("700", "JPY", CARD, &["acme"])).await;
    let seen = get(&server, "/PaymentGateway/balance?account=acme").await;
    assert!(seen.body.contains(r#""available":10.00"#), "an exact decimal: {}", seen.body);
    let held = seen.json();
    assert_eq!(held["paymentGatewayAccountName"], "acme");
    let currencies: Vec<&Value> =
        held["balances"].as_array().unwrap().iter().map(|b| &b["currency"]).collect();
    assert_eq!(currencies, ["JPY", "USD"]);

    for (path, status, field, message) in [
        ("", 400, "account", "It is required."),
        ("?account=nobody", 400, "account", "no gateway account"),
        ("?account=live", 400, "account", "live account"),
        ("?account=test-success", 409, "account", "does not tell"),
        ("?account=unreachable", 503, "", "no usable answer"),
        ("?account=acme&account=acme", 400, "account", "more than once"),
    ] {
        let seen = get(&server, &format!("/PaymentGateway/balance{path}")).await;
        let body = seen.json();
        assert_eq!(seen.status, status, "{path}: {seen:?}");
        assert_eq!(body["fieldName"].as_str().unwrap_or_default(), field, "{path}");
        assert!(body["errors"][0].as_str().unwrap().contains(message), "{path}: {body}");
    }
}

/// The references of the payments that a list shows.
async fn listed(server: &Server, query: &str) -> Vec<String> {
    let seen = get(server, &format!("/PaymentGateway/transactions{query}")).await;
    assert_eq!(seen.status, 200, "{query}: {seen:?}");
    let page = seen.json();
    let refs = page["transactions"].as_array().unwrap().iter();
    refs.map(|row| row["myRef"].as_str().unwrap_or("-").to_owned()).collect()
}

async fn seed(server: &Server) -> Vec<Value> {
    let with = |my_ref: &str, amount: &str, card: &str, accounts: &[&str]| {
        let body = charge(amount, "USD", card, accounts);
        edited(&body, "\"amount\"", &format!("\"myRef\": \"{my_ref}\", \"amount\""))
    };
    let mut answers = Vec::new();
    for (operation, body) in [
        ("charge", with("one", "10", CARD, &["acme"])),
        ("authorize", with("two", "11", CARD, &["acme-a"])),
        ("charge", with("three", "12", "4000000000009995", &["acme"])),
        ("charge", with("four", "13", CARD, &["test-failure", "acme-a"])),
    ] {
        answers.push(server.operate(operation, body).await.json());
        // Two payments of one millisecond have no newest.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    answers
}

#[tokio::test]
async fn payments_are_listed_newest_first_and_found_by_what_they_are() {
    let server = Server::start().await;
    let answers = seed(&server).await;
    let id = answers[1]["transactionId"].as_str().unwrap();
    let reference = answers[3]["gatewayReference"].as_str().unwrap();
    let rows: Vec<(String, &[&str])> = vec![
        (String::new(), &["four", "three", "two", "one"]),
        ("?account=acme".into(), &["three", "one"]),
        ("?account=acme-a".into(), &["four", "two"]),
        ("?result=Success".into(), &["four", "two", "one"]),
        ("?result=Failed".into(), &["three"]),
        ("?result=Accepted".into(), &[]),
        ("?operation=PreAuth".into(), &["two"]),
        ("?operation=Charge&result=Success&limit=1".into(), &["four"]),
        ("?myRef=three".into(), &["three"]),
        ("?myRef=nothing".into(), &[]),
        (format!("?refTransId={id}"), &["two"]),
        (format!("?refTransId={reference}"), &["four"]),
        (format!("?refTransId={reference}&account=acme"), &[]),
        (format!("?refTransId={reference}&result=Failed"), &[]),
        ("?refTransId=unknown".into(), &[]),
        ("?from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z".into(), &[]),
        ("?from=2020-01-01T00:00:00Z".into(), &["four", "three", "two", "one"]),
    ];
    for (query, want) in rows {
        assert_eq!(listed(&server, &query).await, want, "{query}");
    }
    let page = get(&server, "/PaymentGateway/transactions?myRef=three").await.json();
    let row = &page["transactions"][0];
    assert_eq!((&row["operation"], &row["status"]), (&json!("Charge"), &json!("failed")), "{row}");
    assert_eq!(row["result"]["operationResultCode"], "Rejected", "{row}");
    assert_eq!(row["result"]["operationType"], "Status", "{row}");
}

#[tokio::test]
async fn pages_follow_each_other_and_modes_do_not_see_each_other() {
    let server = Server::start().await;
    seed(&server).await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    for _ in 0..10 {
        let query = format!("/PaymentGateway/transactions?limit=1{cursor}");
        let page = get(&server, &query).await.json();
        seen.extend(page["transactions"][0]["myRef"].as_str().map(str::to_owned));
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, ["four", "three", "two", "one"]);
    let live = server.make_key(&[baton_engine::keys::Scope::Gateway], false, None).await;
    let path = "/PaymentGateway/transactions";
    let other = client::send(server.addr, "GET", path, &[("x-api-key", &live)], b"").await;
    assert_eq!(other.json()["transactions"], json!([]), "{other:?}");
}

#[tokio::test]
async fn a_filter_that_makes_no_sense_is_named() {
    let server = Server::start().await;
    for (query, field) in [
        ("from=yesterday", "from"),
        ("to=2020-13-01T00:00:00Z", "to"),
        ("result=Rejected", "result"),
        ("operation=Refund", "operation"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=1-pay_x", "cursor"),
        ("account=nobody", "account"),
        ("myRef=a&myRef=b", "myRef"),
        ("myref=a", "myref"),
    ] {
        let seen = get(&server, &format!("/PaymentGateway/transactions?{query}")).await;
        assert_eq!(seen.status, 400, "{query}: {seen:?}");
        assert_eq!(seen.json()["fieldName"], field, "{query}: {seen:?}");
    }
}

#[tokio::test]
async fn wallets_say_that_they_are_not_there() {
    let server = Server::start().await;
    for path in ["/EWalletOperations", "/EWalletOperations/validateResults"] {
        let seen = server.send("POST", path, "{}").await;
        assert_eq!(seen.status, 501, "{seen:?}");
        assert!(seen.json()["errors"][0].as_str().unwrap().contains("not available"), "{seen:?}");
    }
}
