//! Gateway accounts: put, shown without their secrets, used at once, verified, removed; and whose they are.

use baton_engine::audit::Actor;
use baton_engine::keys::Scope;
use baton_engine::{AccountFault, AccountInput, Caller, Place, merchants};
use baton_store::Store as _;
use baton_types::Secret;
use serde_json::{Value, json};

use crate::client::{self, Seen};
use crate::recorder::Recorder;
use crate::server::{OPERATOR, Server};
use crate::{charge, logs};

const PATH: &str = "/PaymentGatewayAccounts";
const CARD: &str = "4111111111111111";

fn body(gateway: &str, credentials: &[(&str, &str)]) -> String {
    let pairs: Vec<Value> =
        credentials.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
    json!({"paymentGatewayName": gateway, "credentials": pairs}).to_string()
}

async fn put(server: &Server, name: &str, body: &str) -> Seen {
    server.send("PUT", &format!("{PATH}/{name}"), body).await
}

async fn at(server: &Server, method: &str, name: &str, more: &str) -> Seen {
    server.send(method, &format!("{PATH}/{name}{more}"), "").await
}

async fn pay(server: &Server, account: &str) -> Value {
    let seen = server.operate("charge", charge("10", "USD", CARD, &[account])).await;
    seen.json()
}

/// The actions of the audit log, newest first, with what they say.
async fn audited(server: &Server) -> Vec<(String, Value)> {
    let admin = [("x-api-key", OPERATOR)];
    let seen = client::send(server.addr, "GET", "/admin/v1/audit", &admin, b"").await.json();
    let rows = seen["data"].as_array().unwrap().iter();
    rows.map(|row| (row["action"].as_str().unwrap().to_owned(), row["detail"].clone())).collect()
}

#[tokio::test]
async fn an_account_is_put_used_shown_and_removed() {
    let server = Server::start().await;
    let sandbox = body("Sandbox", &[("ApiKey", "key-of-the-shop-1234")]);
    let made = put(&server, "shop_1", &sandbox).await;
    assert_eq!(made.status, 200, "{made:?}");
    let shown = made.json();
    assert_eq!(shown["credentials"], json!([{"key": "ApiKey", "value": "****1234"}]));
    assert_eq!(
        (&shown["name"], &shown["paymentGatewayName"]),
        (&json!("shop_1"), &json!("Sandbox"))
    );
    assert_eq!(at(&server, "GET", "shop_1", "").await.json(), shown);
    let listed = server.send("GET", PATH, "").await.json();
    let row = listed.as_array().unwrap().iter().find(|row| row["name"] == "shop_1").unwrap();
    assert_eq!(row["creationTime"], shown["creationTime"]);
    assert!(row.get("credentials").is_none(), "{row}");

    let paid = pay(&server, "shop_1").await;
    assert_eq!((&paid["success"], &paid["gatewayName"]), (&json!(true), &json!("Sandbox")));

    let (action, detail) = audited(&server).await.remove(0);
    assert_eq!((action.as_str(), &detail["name"]), ("account_put", &json!("shop_1")), "{detail}");
    assert_eq!(detail["hints"], json!({"ApiKey": "****1234"}));
    let removed = at(&server, "DELETE", "shop_1", "").await;
    assert_eq!((removed.status, removed.body.as_str()), (200, ""));
    assert_eq!(audited(&server).await[0].0, "account_removed");
    for method in ["GET", "DELETE"] {
        assert_eq!(at(&server, method, "shop_1", "").await.status, 404, "{method}");
    }
    let refused = server.operate("charge", charge("10", "USD", CARD, &["shop_1"])).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    // What was paid there can still be given back.
    let id = paid["transactionId"].as_str().unwrap();
    let back = server.operate("refund", crate::change(id, "10", "USD")).await;
    assert_eq!((back.status, &back.json()["success"]), (202, &json!(true)), "{back:?}");
}

#[tokio::test]
async fn what_does_not_fit_the_gateway_is_refused_with_its_place() {
    let server = Server::start().await;
    let key = ("SecretKey", "sk_test_of_a_shop_0001");
    let all = "Adyen, NULLFailure, NULLSuccess, Sandbox, Stripe";
    #[rustfmt::skip]
    let rows = [
        ("shop", body("Strip", &[key]), "paymentGatewayName", format!("There is no such gateway; there are {all}.")),
        ("shop", body("Stripe", &[]), "credentials", "SecretKey is required.".to_owned()),
        ("shop", body("Stripe", &[("SecretKey", " ")]), "credentials", "SecretKey is required.".to_owned()),
        ("shop", body("Stripe", &[key, ("ApiKey", "x")]), "credentials[1].key",
            "The gateway has no credential of this name; there are SecretKey, WebhookSecret.".to_owned()),
        ("shop", body("Stripe", &[key, key]), "credentials[1].key", "It is there more than once.".to_owned()),
        ("shop", body("NULLSuccess", &[key]), "credentials[0].key",
            "The gateway has no credential of this name; there is none.".to_owned()),
        ("shop", body("Adyen", &[("ApiKey", "k"), ("MerchantAccount", CARD)]), "credentials[1].value",
            "It holds a card number, which may stand in card.cardNumber only.".to_owned()),
        ("shop", r#"{"credentials": []}"#.to_owned(), "paymentGatewayName", "It is required.".to_owned()),
        ("shop", r#"{"paymentGatewayName": "Stripe", "credentials": [{"value": "x"}]}"#.to_owned(),
            "credentials[0].key", "It is required.".to_owned()),
        ("sh", body("NULLSuccess", &[]), "name", "An account name is 3 to 64 letters, digits, - and _.".to_owned()),
        ("shop%20x", body("NULLSuccess", &[]), "name", "An account name is 3 to 64 letters, digits, - and _.".to_owned()),
        ("live", body("NULLSuccess", &[]), "name",
            "The name belongs to an account of the other mode: sandbox and live accounts share their names.".to_owned()),
    ];
    for (name, body, field, message) in rows {
        let seen = put(&server, name, &body).await;
        assert_eq!((seen.status, seen.fault()), (400, (field.to_owned(), message)), "{body}");
    }
    assert_eq!(at(&server, "GET", "shop", "").await.status, 404);
    for query in ["?verify=yes", "?verify=true&verify=true", "?check=true"] {
        let body = body("NULLSuccess", &[]);
        let seen = server.send("PUT", &format!("{PATH}/shop{query}"), body).await;
        assert_eq!(seen.status, 400, "{query} {seen:?}");
    }
    // Mocks need nothing, with a list and without; they are for tests only.
    for body in [body("NULLSuccess", &[]), r#"{"paymentGatewayName": "NULLSuccess"}"#.to_owned()] {
        assert_eq!(put(&server, "mock", &body).await.status, 200);
    }
    let live = server.make_key(&[Scope::Gateway], false, None).await;
    let headers = [("x-api-key", live.as_str())];
    let mock = body("NULLSuccess", &[]);
    let path = format!("{PATH}/mock-live");
    let seen = client::send(server.addr, "PUT", &path, &headers, mock.as_bytes()).await;
    assert_eq!((seen.status, seen.fault().0.as_str()), (400, "paymentGatewayName"), "{seen:?}");
}

#[tokio::test]
async fn accounts_of_the_configuration_are_changed_there() {
    let server = Server::start().await;
    let declared = put(&server, "acme", &body("Sandbox", &[("ApiKey", "k")])).await;
    assert_eq!((declared.status, declared.fault().0.as_str()), (409, "name"), "{declared:?}");
    assert_eq!(at(&server, "DELETE", "acme", "").await.status, 409);
    // It is shown like any other.
    let shown = at(&server, "GET", "acme", "").await.json();
    assert_eq!(shown["credentials"], json!([{"key": "ApiKey", "value": "****"}]));
    assert_eq!(at(&server, "POST", "acme", "/verify").await.json(), json!({"accepted": true}));
    assert_eq!(pay(&server, "acme").await["success"], json!(true));
}

#[tokio::test]
async fn credentials_are_verified_at_the_provider_and_new_ones_used_at_once() {
    const FIRST: &str = "sandbox-key-number-one";
    const SECOND: &str = "sandbox-key-number-two";
    let server = Server::start().await;
    let provider = Recorder::start(SECOND).await;
    let caller = Caller { merchant: server.merchant, sandbox: true, key: None };
    let input = AccountInput {
        foreign_references: false,
        name: "shop".to_owned(),
        gateway: "Sandbox".to_owned(),
        credentials: vec![("ApiKey".to_owned(), Secret::new(FIRST.to_owned()))],
        place: Place::Url(format!("http://{}", provider.addr)),
        certificate: None,
    };
    server.engine.put_account(caller, input, false).await.unwrap();
    let verify = async || at(&server, "POST", "shop", "/verify").await;
    assert_eq!(verify().await.json(), json!({"accepted": false}));

    // A key that the provider does not take leaves all as it was.
    let path = format!("{PATH}/shop?verify=true");
    let wrong = body("Sandbox", &[("ApiKey", "some-other-key-0000")]);
    let seen = server.send("PUT", &path, wrong).await;
    assert_eq!((seen.status, seen.fault().0.as_str()), (400, "credentials"), "{seen:?}");
    assert_eq!(
        at(&server, "GET", "shop", "").await.json()["credentials"][0]["value"],
        json!("****-one")
    );
    let seen = server.send("PUT", &path, body("Sandbox", &[("ApiKey", SECOND)])).await;
    assert_eq!(seen.status, 200, "{seen:?}");
    assert_eq!(verify().await.json(), json!({"accepted": true}));
    pay(&server, "shop").await;
    let keys = provider.keys();
    assert_eq!(keys[..4], [FIRST, "some-other-key-0000", SECOND, SECOND].map(str::to_owned));
    assert_eq!(keys[4], SECOND, "a payment right after the change");

    // Nobody there, and nobody to ask.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let input = AccountInput {
        foreign_references: false,
        name: "closed".to_owned(),
        gateway: "Sandbox".to_owned(),
        credentials: vec![("ApiKey".to_owned(), Secret::new(FIRST.to_owned()))],
        place: Place::Url(format!("http://{closed}")),
        certificate: None,
    };
    server.engine.put_account(caller, input, false).await.unwrap();
    assert_eq!(at(&server, "POST", "closed", "/verify").await.status, 503);
    assert_eq!(at(&server, "POST", "no-connector", "/verify").await.status, 409);
    // A gateway without an address of its own: to try again would not help.
    let live = Caller { sandbox: false, ..caller };
    let input = AccountInput {
        foreign_references: false,
        name: "no-address".to_owned(),
        gateway: "Sandbox".to_owned(),
        credentials: vec![("ApiKey".to_owned(), Secret::new(FIRST.to_owned()))],
        place: Place::Gateway,
        certificate: None,
    };
    let put = server.engine.put_account(live, input, true).await;
    assert!(matches!(put, Err(AccountFault::NotVerifiable)), "{put:?}");
    assert_eq!(at(&server, "POST", "nowhere", "/verify").await.status, 404);
    assert_eq!(at(&server, "POST", "test-success", "/verify").await.json()["accepted"], true);
}

#[tokio::test]
async fn an_account_that_goes_to_another_gateway_is_a_new_one() {
    let server = Server::start().await;
    put(&server, "shop", &body("Sandbox", &[("ApiKey", "key-of-the-shop-1234")])).await;
    let paid = pay(&server, "shop").await;
    let moved = put(&server, "shop", &body("NULLSuccess", &[])).await;
    assert_eq!(moved.status, 200, "{moved:?}");
    assert_eq!(moved.json()["credentials"], json!([]));
    assert_eq!(pay(&server, "shop").await["gatewayName"], json!("NULLSuccess"));
    // The old payment is still one of the old gateway.
    let id = paid["transactionId"].as_str().unwrap();
    let back = server.operate("refund", crate::change(id, "10", "USD")).await.json();
    assert_eq!((&back["success"], &back["gatewayName"]), (&json!(true), &json!("Sandbox")));
    let accounts = server.store_accounts().await;
    let named: Vec<_> = accounts.iter().filter(|row| row.name == "shop").collect();
    assert_eq!(named.len(), 2);
    assert!(named[0].removed_at.is_some() && named[1].removed_at.is_none());
}

#[tokio::test]
async fn no_credential_is_stored_logged_or_shown() {
    const CANARY: &str = "canary-credential-5kq1";
    let server = Server::start().await;
    let sent = body("Stripe", &[("SecretKey", CANARY), ("WebhookSecret", CANARY)]);
    let seen = put(&server, "canary", &sent).await;
    assert!(seen.status == 200 && !seen.body.contains(CANARY), "{seen:?}");
    let bad = body("Stripe", &[("SecretKey", CANARY), (CANARY, CANARY)]);
    assert!(!put(&server, "canary", &bad).await.body.contains(CANARY));
    for path in [PATH.to_owned(), format!("{PATH}/canary"), "/metrics".to_owned()] {
        assert!(!server.send("GET", &path, "").await.body.contains(CANARY), "{path}");
    }
    let stored = format!("{:?}", server.store_accounts().await);
    let configs: Vec<String> =
        server.store_accounts().await.into_iter().map(|row| row.config).collect();
    assert!(!stored.contains(CANARY) && !configs.concat().contains(CANARY), "{configs:?}");
    assert!(configs.concat().contains("****5kq1"), "{configs:?}");
    assert!(!format!("{:?}", audited(&server).await).contains(CANARY));
    assert!(!logs::text().contains(CANARY));
}

#[tokio::test]
async fn the_operator_says_where_a_provider_is_and_acts_for_any_merchant() {
    let server = Server::start().await;
    let stranger =
        merchants::ensure(server.engine.audit(), Actor::System, "stranger").await.unwrap();
    let provider = Recorder::start("the-key-of-the-shop").await;
    let admin = async |method: &str, path: &str, body: &str| {
        let operator = [("x-api-key", OPERATOR)];
        let path = format!("/admin/v1/{path}");
        client::send(server.addr, method, &path, &operator, body.as_bytes()).await
    };
    let body = |base_url: &str, gateway: &str| {
        let mut credentials = vec![json!({"key": "ApiKey", "value": "the-key-of-the-shop"})];
        if gateway == "Adyen" {
            credentials.push(json!({"key": "MerchantAccount", "value": "Shop"}));
        }
        json!({"gateway": gateway, "base_url": base_url, "credentials": credentials}).to_string()
    };
    let url = format!("http://{}", provider.addr);
    let made = admin("PUT", "accounts/shop?sandbox=true&verify=true", &body(&url, "Sandbox")).await;
    assert_eq!((made.status, &made.json()["base_url"]), (200, &json!(url)), "{made:?}");
    assert_eq!(made.json()["credentials"][0]["value"], "****shop");
    assert_eq!(provider.keys(), ["the-key-of-the-shop"]);
    // The merchant's own change leaves the address as it is, and cannot say another.
    let own = r#"{"paymentGatewayName": "Sandbox", "baseUrl": "http://127.0.0.1:1",
        "credentials": [{"key": "ApiKey", "value": "another-key-of-it"}]}"#;
    assert_eq!(put(&server, "shop", own).await.status, 200);
    let shown = admin("GET", "accounts/shop?sandbox=true", "").await.json();
    assert_eq!(shown["base_url"], json!(url));
    #[rustfmt::skip]
    let rows = [
        ("accounts/shop?sandbox=true", body("ftp://x", "Sandbox"), "base_url"),
        ("accounts/shop?sandbox=maybe", body(&url, "Sandbox"), "sandbox"),
        ("accounts/shop?color=red", body(&url, "Sandbox"), "color"),
        ("accounts/shop?merchant=nobody", body(&url, "Sandbox"), "merchant"),
        ("accounts/sh?sandbox=true", body(&url, "Sandbox"), "name"),
        ("accounts/other", body("http://adyen.example", "Adyen"), "base_url"),
        ("accounts/other", body("https://other.example", "Stripe"), "credentials[0].key"),
    ];
    for (path, body, field) in rows {
        let seen = admin("PUT", path, &body).await;
        assert_eq!((seen.status, seen.fault().0.as_str()), (400, field), "{path} {seen:?}");
    }
    // Adyen's live addresses differ by merchant.
    let live = admin("PUT", "accounts/live-adyen", &body("https://a.example", "Adyen")).await;
    assert_eq!((live.status, &live.json()["sandbox"]), (200, &json!(false)), "{live:?}");

    let at = "accounts/theirs?sandbox=true&merchant=stranger";
    assert_eq!(admin("PUT", at, &body(&url, "Sandbox")).await.status, 200);
    assert_eq!(admin("GET", "accounts/theirs?sandbox=true", "").await.status, 404);
    let listed = admin("GET", "accounts?sandbox=true&merchant=stranger", "").await.json();
    let names: Vec<&Value> =
        listed["data"].as_array().unwrap().iter().map(|row| &row["name"]).collect();
    assert_eq!(names, ["test-success", "test-failure", "theirs"]);
    assert_eq!(server.store.accounts(stranger).await.unwrap().len(), 3);
    assert_eq!(admin("DELETE", at, "").await.status, 204);
    assert_eq!(admin("DELETE", at, "").await.status, 404);
    // A key acts for its own merchant, a sandbox key for the sandbox.
    let key = server.make_key(&[Scope::Admin], true, None).await;
    let headers = [("x-api-key", key.as_str())];
    for (query, field) in [("merchant=stranger", "merchant"), ("sandbox=false", "sandbox")] {
        for path in ["accounts", "certificates"] {
            let path = format!("/admin/v1/{path}?{query}");
            let seen = client::send(server.addr, "GET", &path, &headers, b"").await;
            assert_eq!((seen.status, seen.fault().0.as_str()), (400, field), "{path} {seen:?}");
        }
    }
}
