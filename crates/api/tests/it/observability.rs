//! What an operator sees: request ids, metrics, the log; and what nobody may see.

use std::collections::{BTreeMap, HashSet};

use baton_store::memory::Fault;
use serde_json::Value;

use crate::client;
use crate::server::{OPERATOR, Server, metric};
use crate::{CHARGE, card_with, change, charge, edited, logs, three_ds};

const CARD: &str = "4111111111111111";

/// The API's own line about a request's end; the connection to a provider has one of the same wording.
fn is_answer(line: &Value) -> bool {
    line["message"] == "answered" && line["target"] == "baton_api::respond"
}

#[tokio::test]
async fn every_answer_has_its_own_request_id() {
    let server = Server::start().await;
    let large = "x".repeat(70_000);
    #[rustfmt::skip]
    let rows = [
        ("GET",    "/health",                  "",     200),
        ("GET",    "/health/ready",            "",     200),
        ("GET",    "/metrics",                 "",     200),
        ("GET",    "/admin/v1/api-keys",       "",     401),
        ("POST",   "/PaymentGateway/charge",   CHARGE, 202),
        ("POST",   "/PaymentGateway/charge",   "{",    400),
        ("POST",   "/PaymentGateway/charge",   &large, 413),
        ("GET",    "/PaymentGateway/charge",   "",     405),
        ("POST",   "/PaymentGateway/status",   "{\"myRef\": \"x\"}", 409),
        ("GET",    "/nowhere",                 "",     404),
    ];
    let mut ids = HashSet::new();
    for (method, path, body, status) in rows {
        let given = [("x-request-id", "chosen-by-the-client")];
        let seen = server.send_with(method, path, &given, body).await;
        assert_eq!(seen.status, status, "{method} {path} {seen:?}");
        let id = seen.header("x-request-id").expect("no id");
        assert!(id.starts_with("req_"), "{id}");
        assert!(ids.insert(id.to_owned()), "twice: {id}");
        let timing = seen.header("server-timing").expect("no timing");
        assert!(timing.starts_with("total;dur=") && timing.contains(", provider;dur="), "{timing}");
        let lines = logs::of_request(id);
        let answered = lines.iter().find(|line| is_answer(line)).expect("no line");
        assert_eq!(answered["status"], status, "{answered}");
    }
}

#[tokio::test]
async fn one_request_is_one_thread_in_the_log_down_to_the_provider() {
    let server = Server::start().await;
    let body = charge("10", "USD", CARD, &["unreachable", "test-failure", "acme"]);
    let seen = server.operate("charge", body).await;
    let lines = logs::of_request(seen.header("x-request-id").unwrap());
    let calls: Vec<_> = lines.iter().filter(|line| line["message"] == "provider call").collect();
    let accounts: Vec<_> = calls.iter().map(|line| line["account"].as_str().unwrap()).collect();
    assert_eq!(accounts, ["unreachable", "test-failure", "acme"]);
    let classes: Vec<_> = calls.iter().map(|line| line["class"].as_str().unwrap()).collect();
    assert_eq!(classes, ["not_sent", "refused", "approved"]);
    let operation = lines.iter().find(|line| line["message"] == "operation").unwrap();
    assert_eq!(operation["payment"], seen.json()["transactionId"]);
    assert_eq!(lines.iter().filter(|line| is_answer(line)).count(), 1);
}

#[tokio::test]
async fn a_log_of_warnings_only_still_says_which_request() {
    let server = Server::start().await;
    let written = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = std::sync::Arc::clone(&written);
    let quiet = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .json()
        .with_current_span(true)
        .with_writer(move || Lines(std::sync::Arc::clone(&sink)))
        .finish();
    let guard = tracing::subscriber::set_default(quiet);
    server.store.fail_next(Fault::Unavailable);
    let seen = server.operate("charge", CHARGE).await;
    drop(guard);
    assert_eq!(seen.status, 503);
    let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
    let line: Value = serde_json::from_str(text.lines().next().expect("no warning")).unwrap();
    assert_eq!(line["span"]["request_id"], seen.header("x-request-id").unwrap(), "{line}");
}

struct Lines(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Reads the page as strictly as a scraper would: every sample belongs to a family that was declared.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let (mut families, mut samples) = (HashSet::new(), BTreeMap::new());
    let lines: Vec<&str> = page.lines().collect();
    assert_eq!(lines.last(), Some(&"# EOF"));
    for line in &lines[..lines.len() - 1] {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.split(' ');
            let (kind, family) = (words.next().unwrap(), words.next().unwrap());
            assert!(["HELP", "TYPE", "UNIT"].contains(&kind), "{line}");
            families.insert(family);
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let name = series.split('{').next().unwrap();
        let base = ["_total", "_bucket", "_sum", "_count"];
        let base = base.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        assert!(families.contains(base), "{line}");
        assert!(series.matches('"').count() % 2 == 0, "{line}");
        let twice = samples.insert(series.to_owned(), value.parse::<f64>().unwrap());
        assert!(twice.is_none(), "{line}");
    }
    samples
}

#[tokio::test]
async fn the_metrics_can_be_read_and_they_count() {
    let server = Server::start().await;
    for _ in 0..3 {
        assert_eq!(server.operate("charge", CHARGE).await.status, 202);
    }
    assert_eq!(server.operate("charge", "{").await.status, 400);
    for method in ["BREW", "4111111111111111", "GET"] {
        assert_eq!(server.send(method, "/PaymentGateway/charge", "").await.status, 405);
    }
    for path in ["/a", "/b", "/4111111111111111"] {
        assert_eq!(server.send("GET", path, "").await.status, 404);
    }
    let seen = server.send("GET", "/metrics", "").await;
    let form = seen.header("content-type").unwrap();
    assert!(form.starts_with("application/openmetrics-text"), "{form}");
    let samples = samples(&seen.body);
    let of = |series: &str| {
        let found = samples.get(series);
        *found.unwrap_or_else(|| panic!("{series} in\n{}", seen.body))
    };
    let route = "route=\"/PaymentGateway/charge\"";
    #[rustfmt::skip]
    let rows = [
        (format!("baton_http_requests_total{{{route},method=\"POST\",status=\"202\"}}"),  3.0),
        (format!("baton_http_requests_total{{{route},method=\"POST\",status=\"400\"}}"),  1.0),
        (format!("baton_http_requests_total{{{route},method=\"other\",status=\"405\"}}"), 2.0),
        (format!("baton_http_requests_total{{{route},method=\"GET\",status=\"405\"}}"),   1.0),
        ("baton_http_requests_total{route=\"unknown\",method=\"GET\",status=\"404\"}".to_owned(), 3.0),
        (format!("baton_http_request_seconds_count{{{route}}}"),                          7.0),
        (format!("baton_http_request_added_seconds_count{{{route}}}"),                    7.0),
        ("baton_provider_calls_total{gateway=\"Sandbox\",operation=\"charge\",class=\"approved\"}".to_owned(), 3.0),
        ("baton_requests_in_flight".to_owned(),                                           0.0),
    ];
    for (series, count) in rows {
        assert!((of(&series) - count).abs() < 0.5, "{series} is {}", of(&series));
    }
    assert_eq!(metric(&seen.body, "baton_provider_calls_total"), 3);
    assert!(!seen.body.contains("4111"), "{}", seen.body);
    let total = of(&format!("baton_http_request_seconds_sum{{{route}}}"));
    let added = of(&format!("baton_http_request_added_seconds_sum{{{route}}}"));
    assert!(added < total, "{added} of {total}");
}

/// A card number that no other test uses, and its verification code.
const CANARY: &str = "6011000990139424";
const CANARY_CVV: &str = "739";

/// Where a client may put a card number by mistake. Each is a whole request.
fn misplaced(server: &Server) -> Vec<(&'static str, &'static str, String, String, u16)> {
    let good = edited(CHARGE, CARD, CANARY).replace("\"123\"", &format!("{CANARY_CVV:?}"));
    let into = |place: &str| edited(&good, place, CANARY);
    let charge =
        |body: String, status| ("POST", "/PaymentGateway/charge", server.key.clone(), body, status);
    let status_of =
        |body: String| ("POST", "/PaymentGateway/status", server.key.clone(), body, 409);
    vec![
        charge(good.clone(), 202),
        charge(into("order-1"), 400),
        charge(into("Socks"), 400),
        charge(into("Ada Lovelace"), 400),
        charge(into("USD"), 400),
        charge(into("GB"), 400),
        charge(into("203.0.113.7"), 400),
        charge(into("London"), 400),
        // What goes to the provider only may be anything; it is not kept.
        charge(edited(&good, "\"ownerID\"", &format!("{}, \"ownerID\"", three_ds(CANARY))), 202),
        charge(into("Visa"), 400),
        charge(edited(&good, "\"own\"", &format!("{CANARY:?}")), 202),
        charge(into("resolve_first"), 400),
        charge(edited(&good, "\"acme\"", &format!("{CANARY:?}")), 400),
        charge(edited(&good, "12,", &format!("{CANARY},")), 400),
        charge(edited(&good, "2090", CANARY), 400),
        charge(edited(&good, "10.23", &format!("\"{CANARY}\"")), 400),
        charge(edited(&good, "10.23", &format!("0.{CANARY}")), 400),
        charge(edited(&good, "\"739\"", &format!("{CANARY:?}")), 400),
        charge(edited(&good, "\"739\"", CANARY), 400),
        charge(
            edited(&good, "\"myRef\"", &format!("\"{CANARY}\": 1, \"{CANARY}\": 2, \"myRef\"")),
            400,
        ),
        charge(
            edited(
                &good,
                "\"myRef\"",
                &format!("\"pan\": \"{CANARY}\", \"securityCode\": \"{CANARY_CVV}\", \"myRef\""),
            ),
            202,
        ),
        charge(
            edited(&good, "[]", &format!("[{{\"paymentGatewayAccountName\": \"{CANARY}\"}}]")),
            400,
        ),
        charge(format!("{CANARY} {{"), 400),
        charge(format!("\"{CANARY}\""), 400),
        charge(format!("{{\"amount\": {CANARY}x}}"), 400),
        ("PUT", "/PaymentGateway/refund", server.key.clone(), change(CANARY, "1", "USD"), 409),
        status_of(format!("{{\"myRef\": \"{CANARY}\"}}")),
        status_of(format!("{{\"refTransId\": \"{CANARY}\"}}")),
        ("POST", "/PaymentGateway/charge", CANARY.to_owned(), good.clone(), 401),
        (CANARY, "/PaymentGateway/charge", server.key.clone(), good.clone(), 405),
        ("POST", "/6011000990139424?card=6011000990139424", server.key.clone(), good, 404),
        ("DELETE", "/admin/v1/api-keys/6011000990139424", OPERATOR.to_owned(), String::new(), 404),
        (
            "POST",
            "/admin/v1/api-keys",
            OPERATOR.to_owned(),
            format!("{{\"sandbox\": true, \"name\": \"{CANARY}\"}}"),
            400,
        ),
        (
            "POST",
            "/admin/v1/api-keys",
            OPERATOR.to_owned(),
            format!("{{\"sandbox\": true, \"scopes\": [\"{CANARY}\"]}}"),
            400,
        ),
    ]
}

#[tokio::test]
async fn secrets_are_neither_answered_nor_logged_nor_stored_wherever_they_were_put() {
    let server = Server::start().await;
    for (no, (method, path, key, body, status)) in misplaced(&server).into_iter().enumerate() {
        let unique = format!("key-{no}");
        let headers =
            [("x-api-key", key.as_str()), ("idempotency-key", &unique), ("x-note", CANARY)];
        let seen = client::send(server.addr, method, path, &headers, body.as_bytes()).await;
        assert_eq!(seen.status, status, "{method} {path} {body}\n{seen:?}");
        let all = format!("{}{}", seen.head, seen.body);
        assert!(!all.contains(CANARY), "{body}\n{seen:?}");
        assert!(!seen.body.contains(&format!("\"{CANARY_CVV}\"")), "{body}\n{seen:?}");
    }
    let headers = [("x-api-key", server.key.as_str()), ("idempotency-key", CANARY)];
    let body = charge("1", "USD", CARD, &["acme"]);
    let seen =
        client::send(server.addr, "POST", "/PaymentGateway/charge", &headers, body.as_bytes())
            .await;
    assert_eq!(seen.status, 400, "{seen:?}");

    tracing::trace!("the finest level");
    let log = logs::text();
    assert!(log.contains("the finest level"));
    let stored = format!("{:?}", server.store);
    assert!(stored.contains("601100") && stored.contains("9424"), "the masked card is stored");
    for (what, text) in [("log", &log), ("store", &stored)] {
        for secret in [CANARY, server.key.as_str(), OPERATOR, "canary-cred", CARD] {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{secret} in the {what}");
        }
        for form in [format!("\"{CANARY_CVV}\""), format!("\\\"{CANARY_CVV}\\\"")] {
            assert!(!text.contains(&form), "the verification code in the {what}");
        }
    }
}

#[tokio::test]
async fn the_fingerprint_of_a_request_says_nothing_about_its_card() {
    let server = Server::start().await;
    let digests = async |card: &str| {
        let body = format!(
            r#"{{"amount": 1, "currency": "USD", "card": {card}, "paymentGatewayAccountName": "test-success", "pan": "{CANARY}", "securityCode": "{CANARY_CVV}"}}"#
        );
        let headers = [("idempotency-key", "same")];
        let seen = server.send_with("POST", "/PaymentGateway/charge", &headers, body).await;
        (seen.status, seen.header("idempotent-replayed").is_some())
    };
    assert_eq!(digests(&card_with(CARD, "123")).await, (202, false));
    // The middle digits differ, and what may be stored of both numbers is the same.
    assert_eq!(digests(&card_with("4111110000091111", "123")).await, (202, true));
    assert_eq!(digests(&card_with("4111111111111111", "321")).await, (202, true));
}
