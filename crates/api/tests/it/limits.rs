//! How much one key, and one address without a key, may ask.

use std::net::SocketAddr;

use baton_api::{Access, Limits};
use baton_engine::EngineConfig;
use baton_engine::keys::Scope;
use serde_json::json;

use crate::client::{self, Seen};
use crate::server::{OPERATOR, Server, metric};

/// Few enough that a slow machine earns none back during a test.
const TIGHT: Limits = Limits { requests_per_second: 1, burst: 60, failed_keys_per_minute: 2 };

const STATUS: &str = "/PaymentGateway/status";

async fn server(limits: Limits) -> Server {
    Server::limited(EngineConfig::default(), limits).await
}

async fn ask(addr: SocketAddr, key: &str) -> Seen {
    let headers = [("x-api-key", key)];
    client::send(addr, "POST", STATUS, &headers, br#"{"myRef": "nothing"}"#).await
}

fn number(seen: &Seen, name: &str) -> u64 {
    let value = seen.header(name).unwrap_or_else(|| panic!("no {name}: {seen:?}"));
    value.parse().unwrap()
}

#[tokio::test]
async fn a_key_that_asks_too_much_is_told_when_to_come_back() {
    let server = server(Limits { burst: 3, ..TIGHT }).await;
    let other = server.make_key(&[Scope::Gateway], true, None).await;
    for left in [2, 1, 0] {
        let seen = ask(server.addr, &server.key).await;
        assert_eq!(seen.status, 409, "{seen:?}");
        assert_eq!(
            (number(&seen, "ratelimit-limit"), number(&seen, "ratelimit-remaining")),
            (3, left)
        );
        assert!((1..=3).contains(&number(&seen, "ratelimit-reset")), "{seen:?}");
        assert_eq!(seen.header("retry-after"), None);
    }
    let seen = ask(server.addr, &server.key).await;
    assert_eq!(seen.status, 429, "{seen:?}");
    assert_eq!(seen.fault(), (String::new(), "Too many requests with this API key.".to_owned()));
    assert_eq!(seen.json()["fieldName"], json!(null));
    assert_eq!(number(&seen, "retry-after"), 1);
    assert_eq!((number(&seen, "ratelimit-limit"), number(&seen, "ratelimit-remaining")), (3, 0));
    assert!(number(&seen, "ratelimit-reset") >= 2, "{seen:?}");
    assert!(seen.header("x-request-id").is_some());
    assert_eq!(ask(server.addr, &other).await.status, 409, "another key has its own budget");
    let page = server.send("GET", "/metrics", "").await;
    assert_eq!(metric(&page.body, "baton_http_rate_limited_total"), 1);
    tokio::time::sleep(std::time::Duration::from_millis(1_050)).await;
    assert_eq!(ask(server.addr, &server.key).await.status, 409, "it came back when it was told");
}

#[tokio::test]
async fn a_key_can_have_a_limit_of_its_own_and_shows_it() {
    let server = server(TIGHT).await;
    let admin = [("x-api-key", OPERATOR)];
    let path = "/admin/v1/api-keys";
    let make =
        async |body: &str| client::send(server.addr, "POST", path, &admin, body.as_bytes()).await;
    let made = make(r#"{"sandbox": true, "rate_limit": 2}"#).await;
    assert_eq!((made.status, &made.json()["key"]["rate_limit"]), (201, &json!(2)), "{made:?}");
    assert_eq!(number(&made, "ratelimit-limit"), 60, "the operator has a budget too");
    let key = made.json()["api_key"].as_str().unwrap().to_owned();
    assert_eq!(number(&ask(server.addr, &key).await, "ratelimit-limit"), 4);
    for wrong in ["0", "-1", "1000001", "1.5", "\"2\""] {
        let seen = make(&format!(r#"{{"sandbox": true, "rate_limit": {wrong}}}"#)).await;
        assert_eq!((seen.status, seen.fault().0.as_str()), (400, "rate_limit"), "{wrong}");
    }
    let id = made.json()["key"]["id"].as_str().unwrap().to_owned();
    let one = client::send(server.addr, "GET", &format!("{path}/{id}"), &admin, b"").await;
    assert_eq!((one.status, one.json()), (200, made.json()["key"].clone()));
    let list = client::send(server.addr, "GET", path, &admin, b"").await.json();
    let rows = list["data"].as_array().unwrap();
    assert!(rows.iter().any(|row| row["id"] == id.as_str() && row["rate_limit"] == 2), "{list}");
    assert!(rows.iter().any(|row| row["rate_limit"].is_null()), "{list}");
    for unknown in ["nonsense", "11111111-1111-1111-1111-111111111111"] {
        let seen =
            client::send(server.addr, "GET", &format!("{path}/{unknown}"), &admin, b"").await;
        assert_eq!((seen.status, seen.body.as_str()), (404, ""));
    }
}

/// From the server's own table, so that no route can be forgotten.
#[tokio::test]
async fn every_route_with_a_key_is_limited_and_public_ones_are_not() {
    let server = server(Limits { burst: 1, ..TIGHT }).await;
    for route in baton_api::routes() {
        let path = route.path.replace("{id}", "11111111-1111-1111-1111-111111111111");
        let mut statuses = Vec::new();
        let scopes = match route.access {
            Access::Key(scope) => vec![scope],
            Access::Public => vec![Scope::Gateway],
        };
        let key = server.make_key(&scopes, true, None).await;
        for _ in 0..3 {
            let headers = [("x-api-key", key.as_str())];
            let seen = client::send(server.addr, route.method, &path, &headers, b"{}").await;
            let told = seen.header("ratelimit-limit").is_some();
            assert_eq!(told, route.access != Access::Public, "{route:?} {seen:?}");
            statuses.push(seen.status);
        }
        match route.access {
            Access::Public => assert!(!statuses.contains(&429), "{route:?} {statuses:?}"),
            Access::Key(_) => {
                assert_ne!(statuses[0], 429, "{route:?}");
                // Earning one back takes a second.
                assert!(statuses[1..].contains(&429), "{route:?} {statuses:?}");
            }
        }
    }
}

#[tokio::test]
async fn guessing_is_slowed_and_keys_in_use_are_not() {
    let server = server(TIGHT).await;
    let unused = server.make_key(&[Scope::Gateway], true, None).await;
    assert_eq!(ask(server.addr, &server.key).await.status, 409);
    for guess in ["first", "second"] {
        let seen = ask(server.addr, guess).await;
        assert_eq!((seen.status, seen.body.as_str()), (401, ""));
        assert_eq!(seen.header("ratelimit-limit"), None);
    }
    let none = client::send(server.addr, "POST", STATUS, &[], b"{}").await;
    for seen in [none, ask(server.addr, "third").await, ask(server.addr, &unused).await] {
        assert_eq!(seen.status, 429, "{seen:?}");
        let why = "Too many requests without a valid API key from this address.";
        assert_eq!(seen.fault(), (String::new(), why.to_owned()));
        assert!((20..=30).contains(&number(&seen, "retry-after")), "{seen:?}");
    }
    assert_eq!(ask(server.addr, &server.key).await.status, 409, "the key in use is not locked out");
    let admin = [("x-api-key", OPERATOR)];
    let seen = client::send(server.addr, "GET", "/admin/v1/api-keys", &admin, b"").await;
    assert_eq!(seen.status, 200, "nor is the operator");
    assert_eq!(client::send(server.addr, "GET", "/health", &[], b"").await.status, 200);
}

#[tokio::test]
async fn a_limit_of_nothing_is_no_limit() {
    let none = Limits { requests_per_second: 0, burst: 1, failed_keys_per_minute: 0 };
    let server = server(none).await;
    for _ in 0..20 {
        let seen = ask(server.addr, &server.key).await;
        assert_eq!((seen.status, seen.header("ratelimit-limit")), (409, None));
        assert_eq!(ask(server.addr, "guess").await.status, 401);
    }
}
