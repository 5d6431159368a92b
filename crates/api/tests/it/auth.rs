//! Who gets in. The routes come from the server's own table: a new one is tested without being named here.

use std::time::Duration;

use baton_api::Access;
use baton_engine::audit::Actor;
use baton_engine::keys::Scope;
use baton_engine::{Clock as _, SystemClock, merchants};

use crate::client;
use crate::objects::{self, Objects};
use crate::server::{OPERATOR, Server};
use crate::{CHARGE, change, charge};

const CARD: &str = "4111111111111111";

fn other(scope: Scope) -> Scope {
    match scope {
        Scope::Gateway => Scope::Admin,
        Scope::Admin | Scope::Payments | Scope::Publishable | Scope::Ephemeral => Scope::Gateway,
    }
}

/// A key that was valid, was used, and has been revoked; waits until it is no longer accepted.
async fn revoked(server: &Server, objects: &Objects, scope: Scope) -> String {
    let key = server.make_key(&[scope], true, None).await;
    let routes = baton_api::routes();
    let route = routes.iter().find(|route| route.access == Access::Key(scope)).unwrap();
    let status = async || objects.send(server, route, &[("x-api-key", &key)]).await.status;
    assert_ne!(status().await, 401);
    let admin = [("x-api-key", OPERATOR)];
    let listed = client::send(server.addr, "GET", "/admin/v1/api-keys", &admin, b"").await.json();
    let rows = listed["data"].as_array().unwrap();
    let row = rows.iter().find(|row| key.ends_with(row["hint"].as_str().unwrap())).unwrap();
    let path = format!("/admin/v1/api-keys/{}", row["id"].as_str().unwrap());
    for _ in 0..2 {
        let seen = client::send(server.addr, "DELETE", &path, &admin, b"").await;
        assert_eq!((seen.status, seen.body.as_str()), (204, ""), "{seen:?}");
    }
    for _ in 0..50 {
        if status().await == 401 {
            return key;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("still accepted after 5 s");
}

#[tokio::test]
async fn no_route_opens_without_a_key_that_is_valid_now_and_has_its_scope() {
    let server = Server::start().await;
    let objects = Objects::of(&server).await;
    let soon = SystemClock.now().plus_millis(1);
    let mut checked = 0;
    for route in baton_api::routes() {
        let Access::Key(scope) = route.access else { continue };
        let [right, wrong] = [scope, other(scope)].map(|scope| vec![scope]);
        let right = server.make_key(&right, true, None).await;
        let wrong = server.make_key(&wrong, true, None).await;
        let ended = server.make_key(&[scope], true, Some(soon)).await;
        let cut = right.strip_suffix(|_: char| true).unwrap();
        let longer = format!("{right}x");
        tokio::time::sleep(Duration::from_millis(2)).await;
        let both = server.make_key(&[Scope::Gateway, Scope::Admin], true, None).await;
        #[rustfmt::skip]
        let refused: [(&str, &[(&str, &str)]); 9] = [
            ("none",            &[]),
            ("empty",           &[("x-api-key", "")]),
            ("blank",           &[("x-api-key", "  ")]),
            ("nonsense",        &[("x-api-key", "nonsense")]),
            ("cut",             &[("x-api-key", cut)]),
            ("longer",          &[("api-key", &longer)]),
            ("expired",         &[("x-api-key", &ended)]),
            ("other scope",     &[("x-api-key", &wrong)]),
            ("as a bearer",     &[("authorization", &right)]),
        ];
        for (what, headers) in refused {
            let seen = objects.send(&server, &route, headers).await;
            assert_eq!((seen.status, seen.body.as_str()), (401, ""), "{route:?} {what}\n{seen:?}");
            assert!(seen.header("x-request-id").is_some(), "{what}");
        }
        let operator: &[(&str, &str)] = &[("x-api-key", OPERATOR)];
        let opens = objects.send(&server, &route, operator).await.status != 401;
        assert_eq!(opens, scope == Scope::Admin, "the operator's key at {route:?}");
        for header in ["x-api-key", "X-API-KEY", "api-key", "Api-Key"] {
            for key in [&right, &both] {
                let seen = objects.send(&server, &route, &[(header, key)]).await;
                assert_ne!(seen.status, 401, "{route:?} {header}\n{seen:?}");
            }
        }
        checked += 1;
    }
    assert!(checked >= 10, "{checked} routes");
}

#[tokio::test]
async fn a_revoked_key_opens_nothing_within_five_seconds() {
    let server = Server::start().await;
    let objects = Objects::of(&server).await;
    for scope in [Scope::Gateway, Scope::Admin] {
        let key = revoked(&server, &objects, scope).await;
        for route in baton_api::routes() {
            if route.access == Access::Public {
                continue;
            }
            let seen = objects.send(&server, &route, &[("x-api-key", &key)]).await;
            assert_eq!((seen.status, seen.body.as_str()), (401, ""), "{route:?}");
        }
    }
}

#[tokio::test]
async fn public_routes_ask_for_no_key_and_are_these() {
    let server = Server::start().await;
    let objects = Objects::of(&server).await;
    let mut public = Vec::new();
    for route in baton_api::routes() {
        if route.access == Access::Public {
            let seen = objects.send(&server, &route, &[]).await.status;
            let want = if objects::parameters(route.path).is_empty() { 200 } else { 404 };
            assert_eq!(seen, want, "{route:?}");
            public.push(route.path);
        }
    }
    let docs = [
        "/openapi.json",
        "/openapi-payments.json",
        "/docs/payments",
        "/docs",
        "/docs/docs.css",
        "/docs/docs.js",
    ];
    let first = ["/webhooks/{merchant}/{account}", "/health", "/health/ready", "/metrics"];
    assert_eq!(public, [first.as_slice(), &docs].concat());
    server.app.stop();
    let seen = client::send(server.addr, "GET", "/health/ready", &[], b"").await;
    assert_eq!((seen.status, &seen.json()["status"]), (503, &"stopping".into()));
    assert_eq!(client::send(server.addr, "GET", "/health", &[], b"").await.status, 200);
}

#[tokio::test]
async fn a_body_is_not_looked_at_before_the_key() {
    let server = Server::start().await;
    let large = "x".repeat(100 * 1024);
    for body in ["", "{", large.as_str(), CHARGE] {
        let body = body.as_bytes();
        let seen = client::send(server.addr, "POST", "/PaymentGateway/charge", &[], body).await;
        assert_eq!((seen.status, seen.body.as_str()), (401, ""));
    }
    assert_eq!(server.state().await, (0, 0, 0));
}

#[tokio::test]
async fn keys_are_for_accounts_of_their_own_kind() {
    let server = Server::start().await;
    let live = server.make_key(&[Scope::Gateway], false, None).await;
    assert!(live.starts_with("sk_live_"));
    #[rustfmt::skip]
    let rows = [
        (&server.key, "test-success", 202, ""),
        (&server.key, "acme",         202, ""),
        (&server.key, "live",         400, "A sandbox API key cannot use a live account."),
        (&live,       "live",         202, ""),
        (&live,       "test-success", 400, "A live API key cannot use a test account."),
        (&live,       "acme",         400, "A live API key cannot use a test account."),
    ];
    for (key, account, status, message) in rows {
        let body = charge("10", "USD", CARD, &[account]);
        let headers = [("x-api-key", key.as_str())];
        let path = "/PaymentGateway/charge";
        let seen = client::send(server.addr, "POST", path, &headers, body.as_bytes()).await;
        assert_eq!(seen.status, status, "{account} {seen:?}");
        if status == 400 {
            let fault = ("paymentGatewayAccountNames[0]".to_owned(), message.to_owned());
            assert_eq!(seen.fault(), fault);
        }
    }
    assert_eq!(server.stored().await, 3);
}

#[tokio::test]
async fn a_sandbox_key_cannot_reach_a_live_payment_nor_a_live_key_a_test_payment() {
    let server = Server::start().await;
    let live = server.make_key(&[Scope::Gateway], false, None).await;
    let make = async |key: &str, account: &str| {
        let body = charge("10", "USD", CARD, &[account]);
        let headers = [("x-api-key", key)];
        let path = "/PaymentGateway/charge";
        let seen = client::send(server.addr, "POST", path, &headers, body.as_bytes()).await;
        seen.json()["transactionId"].as_str().unwrap().to_owned()
    };
    let rows = [(&server.key, make(&live, "live").await), (&live, make(&server.key, "acme").await)];
    for (key, payment) in rows {
        for (method, path, body) in [
            ("PUT", "/PaymentGateway/refund", change(&payment, "10", "USD")),
            ("DELETE", "/PaymentGateway/void", change(&payment, "10", "USD")),
            ("POST", "/PaymentGateway/status", format!(r#"{{"refTransId": "{payment}"}}"#)),
        ] {
            let headers = [("x-api-key", key.as_str())];
            let seen = client::send(server.addr, method, path, &headers, body.as_bytes()).await;
            assert_eq!(seen.status, 409, "{path} {seen:?}");
            assert_eq!(seen.json()["reason"], "unknown_reference", "{path} {seen:?}");
        }
    }
}

#[tokio::test]
async fn merchants_do_not_see_each_other() {
    let mut server = Server::start().await;
    let stranger =
        merchants::ensure(server.engine.audit(), Actor::System, "stranger").await.unwrap();
    let mine = server.merchant;
    let paid = server.operate("charge", CHARGE).await.json();
    let reference = paid["gatewayReference"].as_str().unwrap();
    let id = paid["transactionId"].as_str().unwrap();
    server.merchant = stranger;
    let key = server.make_key(&[Scope::Gateway, Scope::Admin], true, None).await;
    server.key = key;
    let seen = server.operate("charge", CHARGE).await;
    assert_eq!((seen.status, seen.fault().0.as_str()), (400, "paymentGatewayAccountName"));
    for (operation, body) in [
        ("refund", change(reference, "10.23", "USD")),
        ("void", change(id, "10.23", "USD")),
        ("status", format!(r#"{{"refTransId": "{id}"}}"#)),
        ("status", r#"{"myRef": "order-1"}"#.to_owned()),
    ] {
        let seen = server.operate(operation, body).await;
        assert_eq!((seen.status, &seen.json()["reason"]), (409, &"unknown_reference".into()));
    }
    let seen = server.send("GET", "/PaymentGateway/balance?account=acme", "").await;
    assert_eq!((seen.status, seen.fault().0.as_str()), (400, "account"));
    for query in
        ["", &format!("?refTransId={id}"), &format!("?refTransId={reference}"), "?myRef=order-1"]
    {
        let page = server.send("GET", &format!("/PaymentGateway/transactions{query}"), "").await;
        assert_eq!(page.json()["transactions"].as_array().map(Vec::len), Some(0), "{query}");
    }
    let listed = server.send("GET", "/admin/v1/api-keys", "").await.json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1, "{listed}");
    let admin = [("x-api-key", OPERATOR)];
    let theirs = client::send(server.addr, "GET", "/admin/v1/api-keys", &admin, b"").await.json();
    let path = format!("/admin/v1/api-keys/{}", theirs["data"][0]["id"].as_str().unwrap());
    assert_eq!(server.send("DELETE", &path, "").await.status, 404);
    assert_eq!(server.engine.store().api_keys(mine).await.unwrap().len(), 1);
}

/// Every route that names an object, asked for an object of somebody else; and every list.
#[tokio::test]
async fn another_merchants_objects_are_not_there() {
    let mut server = Server::start().await;
    let objects = Objects::of(&server).await;
    let all = [Scope::Gateway, Scope::Admin];
    let owner = server.make_key(&all, true, None).await;
    server.merchant =
        merchants::ensure(server.engine.audit(), Actor::System, "stranger").await.unwrap();
    let stranger = server.make_key(&all, true, None).await;
    let [owner, stranger] = [&owner, &stranger].map(|key| [("x-api-key", key.as_str())]);
    let mut routes = baton_api::routes();
    // What is put under a name of another merchant's is then one's own: that comes last.
    routes.sort_by_key(|route| route.method == "PUT");
    let look = async |route: &baton_api::Route| objects.send(&server, route, &owner).await;
    let mut naming = 0;
    for route in &routes {
        let names_one = !objects::parameters(route.path).is_empty();
        // It names an account in its query: see the test above.
        let asks = route.path == "/PaymentGateway/balance";
        if asks || route.access == Access::Public || !(names_one || route.method == "GET") {
            continue;
        }
        let shown = routes.iter().find(|other| other.path == route.path && other.method == "GET");
        let before = match shown {
            Some(shown) => Some(look(shown).await),
            None => None,
        };
        let seen = objects.send(&server, route, &stranger).await;
        // What puts an object makes one of one's own under the same name.
        let expected: &[u16] = match (names_one, route.method) {
            (false, _) => &[200],
            (true, "PUT") => &[200, 201, 400, 401, 404],
            (true, _) => &[401, 404],
        };
        assert!(expected.contains(&seen.status), "{route:?}: {seen:?}");
        if route.method != "PUT" {
            for secret in objects.secrets() {
                let told = [&seen.head, &seen.body].into_iter().any(|text| text.contains(secret));
                assert!(!told, "{route:?} tells {secret}: {seen:?}");
            }
        }
        if let (Some(shown), Some(before)) = (shown, before) {
            let after = look(shown).await;
            assert_eq!((after.status, &after.body), (200, &before.body), "{route:?} changed it");
        }
        naming += usize::from(names_one);
    }
    assert!(naming >= 2, "{naming} routes name an object");
    // Its owner may do all of it; what ends it comes last.
    let (last, first): (Vec<_>, Vec<_>) = routes
        .iter()
        .filter(|route| route.access != Access::Public)
        .filter(|route| !objects::parameters(route.path).is_empty())
        .partition(|route| route.method == "DELETE");
    for route in first.into_iter().chain(last) {
        let seen = look(route).await;
        assert!((200..300).contains(&seen.status), "{route:?}: {seen:?}");
    }
}

#[tokio::test]
async fn a_sandbox_key_cannot_make_a_live_one() {
    let server = Server::start().await;
    let admin = [("x-api-key", OPERATOR)];
    let path = "/admin/v1/api-keys";
    let body = br#"{"sandbox": true, "scopes": ["admin"]}"#;
    let made = client::send(server.addr, "POST", path, &admin, body).await.json();
    let lesser = [("x-api-key", made["api_key"].as_str().unwrap())];
    let live = client::send(server.addr, "POST", path, &lesser, br#"{"sandbox": false}"#).await;
    assert_eq!(live.status, 400);
    assert_eq!(live.json()["fieldName"], "sandbox");
    let sandbox = client::send(server.addr, "POST", path, &lesser, br#"{"sandbox": true}"#).await;
    assert_eq!(sandbox.status, 201);
}

#[tokio::test]
async fn connectors_are_listed_with_what_they_claim_and_no_secret() {
    let server = Server::start().await;
    let admin = [("x-api-key", OPERATOR)];
    let seen = client::send(server.addr, "GET", "/admin/v1/connectors", &admin, b"").await;
    assert_eq!(seen.status, 200);
    let listed = seen.json();
    let rows = listed["data"].as_array().unwrap();
    let ids: Vec<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["adyen", "null_failure", "null_success", "sandbox", "stripe"]);
    let stripe = &rows[4];
    assert_eq!(stripe["credentials"][0]["name"], "SecretKey");
    assert_eq!(stripe["decline_codes"]["do_not_honor"], "do_not_honor");
    for row in rows {
        let claimed = row["operations"].as_object().unwrap();
        assert!(claimed.values().all(|citation| !citation.as_str().unwrap().is_empty()), "{row}");
    }
}
