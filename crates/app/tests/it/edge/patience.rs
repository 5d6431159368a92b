//! Every wait for a client ends, and others are served meanwhile.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{HEALTH, Raw, assert_refusal};
use crate::support::http::call;
use crate::support::{CARD_NUMBER, Client, Place, Process, purchase, rule};

/// Short times, so that a test need not wait long; long enough for a busy machine.
fn place() -> Place {
    Place::new()
        .with("BATON_SERVER__HEAD_TIMEOUT_MS", "700")
        .with("BATON_SERVER__BODY_TIMEOUT_MS", "900")
        .with("BATON_SERVER__IDLE_TIMEOUT_MS", "1100")
        .with("BATON_SERVER__MAX_HEAD_BYTES", "2048")
}

async fn healthy(server: &Process) {
    let reply = timeout(Duration::from_secs(5), call(&server.url, "GET", "/health", &[], "")).await;
    assert_eq!(reply.expect("others are served").unwrap().status, 200);
}

async fn counted(server: &Process, line: &str) -> u64 {
    let page = call(&server.url, "GET", "/metrics", &[], "").await.unwrap().text;
    let found = page.lines().find_map(|found| found.strip_prefix(line));
    found.map_or(0, |value| value.trim().parse().unwrap())
}

#[tokio::test]
async fn a_head_that_trickles_is_cut_off_while_others_are_served() {
    let place = place();
    let server = place.serve(&[]);
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut raw = Raw::open(&server).await;
        assert!(raw.send("GET /health HTTP/1.1\r\nhost: b\r\n").await);
        slow.push(tokio::spawn(async move {
            // A byte now and then: no pause is long, only the whole.
            let mut sent = 0;
            while sent < 60 && raw.send("x-a: b\r\n").await {
                sent += 1;
                sleep(Duration::from_millis(100)).await;
            }
            (sent, raw.read_all().await.0)
        }));
    }
    healthy(&server).await;
    for task in slow {
        let (sent, answer) = task.await.unwrap();
        assert!(sent < 30, "it went on for {sent} times 100 ms");
        assert_refusal(&answer, "408", "The request's head took too long.");
    }
    healthy(&server).await;
    assert_eq!(counted(&server, "baton_connections_cut_total{why=\"slow_head\"}").await, 20);
}

#[tokio::test]
async fn a_body_that_trickles_is_cut_off_while_others_are_served() {
    let place = place();
    let server = place.serve(&[]);
    let key = place.key();
    let mut slow = Vec::new();
    for length in ["content-length: 5000", "transfer-encoding: chunked"] {
        for _ in 0..10 {
            let mut raw = Raw::open(&server).await;
            let head = format!(
                "POST /PaymentGateway/charge HTTP/1.1\r\nhost: b\r\nx-api-key: {key}\r\n{length}\r\n\r\n"
            );
            assert!(raw.send(&head).await);
            let part = if length.contains("chunked") { "1\r\n{\r\n" } else { "{" };
            slow.push(tokio::spawn(async move {
                let mut sent = 0;
                while sent < 60 && raw.send(part).await {
                    sent += 1;
                    sleep(Duration::from_millis(100)).await;
                }
                (sent, raw.read_all().await.0)
            }));
        }
    }
    healthy(&server).await;
    for task in slow {
        let (sent, answer) = task.await.unwrap();
        assert!(sent < 40, "it went on for {sent} times 100 ms");
        assert_refusal(&answer, "408", "The body took too long.");
    }
    healthy(&server).await;
    assert_eq!(counted(&server, "baton_connections_cut_total{why=\"slow_body\"}").await, 20);
}

#[tokio::test]
async fn a_connection_that_rests_is_ended_and_one_that_is_used_is_kept() {
    let place = place();
    let server = place.serve(&[]);
    let mut never_spoke = Raw::open(&server).await;
    let mut used = Raw::open(&server).await;
    // Longer in all than any of the limits, with no rest that is.
    for _ in 0..6 {
        assert!(used.send(HEALTH).await);
        assert!(used.answer().await.starts_with("HTTP/1.1 200"));
        sleep(Duration::from_millis(400)).await;
    }
    assert_eq!(never_spoke.read_all().await.0, "");
    let (answer, took) = used.read_all().await;
    assert_eq!(answer, "", "no complaint: it did nothing wrong");
    assert!(took > Duration::from_millis(300) && took < Duration::from_secs(5), "{took:?}");
}

/// Our own slowness is not the client's.
#[tokio::test]
async fn a_client_waits_for_its_answer_longer_than_it_may_take_for_anything_itself() {
    let place = place();
    let sandbox = place.sandbox(&[]);
    let server = place.serve_at(&sandbox);
    let delay = serde_json::json!({"latency_ms": 2500});
    rule(&sandbox.url, serde_json::json!({"match": {}, "action": delay})).await;
    let client = Client::new(&server, &place.key());
    let reply = client.charge(&purchase(1023, "order-1", CARD_NUMBER, &["sandbox"])).await;
    assert_eq!((reply.status, reply.code()), (202, "Success"), "{}", reply.text);
}

#[tokio::test]
async fn a_head_or_a_body_that_is_too_large_is_refused_in_the_apis_own_form() {
    let place = place();
    let server = place.serve(&[]);
    let key = place.key();
    let head = |filler: usize| {
        let filler = "a".repeat(filler);
        format!("GET /health HTTP/1.1\r\nhost: b\r\nx-filler: {filler}\r\n\r\n")
    };
    let frame = head(0).len();
    for (size, status) in [(2048, 200), (2049, 431), (100_000, 431)] {
        let mut raw = Raw::open(&server).await;
        raw.send(&head(size - frame)).await;
        if status == 200 {
            assert!(raw.answer().await.starts_with("HTTP/1.1 200"), "{size} bytes");
            continue;
        }
        let answer = raw.read_all().await.0;
        assert_refusal(&answer, "431", "The request's head is too large.");
    }
    // A body does not count as head, even when both come at once.
    for (size, refused) in [(3_000, false), (70_000, true), (5_000_000, true)] {
        let body = "{".repeat(size);
        let mut raw = Raw::open(&server).await;
        let request = format!(
            "POST /PaymentGateway/charge HTTP/1.1\r\nhost: b\r\nx-api-key: {key}\r\n\
             content-length: {size}\r\n\r\n{body}"
        );
        // The server reads on for a moment, so that no reset can overtake its answer.
        assert!(raw.send(&request).await, "{size} bytes");
        if refused {
            let answer = raw.read_all().await.0;
            let body = r#"{"fieldName":null,"errors":["The body is too large."]}"#;
            assert!(answer.starts_with("HTTP/1.1 413") && answer.ends_with(body), "{answer}");
        } else {
            let answer = raw.answer().await;
            assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("not JSON"), "{answer}");
        }
    }
    assert_eq!(counted(&server, "baton_connections_cut_total{why=\"large_head\"}").await, 2);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_and_are_served_in_their_turn() {
    let place = Place::new().with("BATON_SERVER__MAX_CONNECTIONS", "3");
    let server = place.serve(&[]);
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut raw = Raw::open(&server).await;
        assert!(raw.send(HEALTH).await);
        assert!(raw.answer().await.starts_with("HTTP/1.1 200"));
        held.push(raw);
    }
    let mut waiting = Raw::open(&server).await;
    assert!(waiting.send(HEALTH).await);
    let early = timeout(Duration::from_millis(400), waiting.answer()).await;
    assert!(early.is_err(), "served beyond the limit: {early:?}");
    for raw in &mut held {
        assert!(raw.send(HEALTH).await);
        assert!(raw.answer().await.starts_with("HTTP/1.1 200"), "those within it are served");
    }
    drop(held.pop());
    assert!(waiting.answer().await.starts_with("HTTP/1.1 200"), "its turn has come");
    drop(held);
    assert!(counted(&server, "baton_connections_limit_reached_total").await >= 1);
    // Those that were let go, this one, and the one that waited: the server hears of an end a little later.
    for _ in 0..100 {
        if counted(&server, "baton_connections_open").await == 2 {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("connections that have ended are still counted");
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answers_is_cut_off() {
    let place = place();
    let server = place.serve(&[]);
    let mut greedy = Raw::open(&server).await;
    // Far more than all buffers between us hold, of which not one byte is read.
    let asking = tokio::spawn(async move {
        let request = "GET /metrics HTTP/1.1\r\nhost: b\r\n\r\n".repeat(100);
        let mut asked = 0;
        while asked < 200_000 && greedy.send(&request).await {
            asked += 100;
        }
        asked
    });
    let asked = timeout(Duration::from_secs(60), asking).await.expect("it is cut off").unwrap();
    assert!(asked < 200_000, "{asked} answers were taken by nobody");
    healthy(&server).await;
    let cut = "baton_connections_cut_total{why=\"slow_reader\"}";
    let idle = "baton_connections_cut_total{why=\"idle\"}";
    assert_eq!(counted(&server, cut).await + counted(&server, idle).await, 1);
}

#[tokio::test]
async fn an_answer_in_flight_is_finished_when_the_server_stops_and_resting_connections_end() {
    let place = Place::new();
    let sandbox = place.sandbox(&[]);
    let mut server = place.serve_at(&sandbox);
    let delay = serde_json::json!({"latency_ms": 1000});
    rule(&sandbox.url, serde_json::json!({"match": {}, "action": delay})).await;
    let mut resting = Raw::open(&server).await;
    assert!(resting.send(HEALTH).await);
    assert!(resting.answer().await.starts_with("HTTP/1.1 200"));
    let client = Client::new(&server, &place.key());
    let body = purchase(1023, "order-1", CARD_NUMBER, &["sandbox"]);
    let charge = tokio::spawn(async move { client.charge(&body).await });
    sleep(Duration::from_millis(400)).await;
    server.terminate();
    let (rest, took) = resting.read_all().await;
    assert_eq!(rest, "");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let reply = charge.await.unwrap();
    assert_eq!((reply.status, reply.code()), (202, "Success"), "{}", reply.text);
    assert!(server.wait().success());
}
