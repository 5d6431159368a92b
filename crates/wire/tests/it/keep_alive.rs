//! Connections that are kept, and providers that close them.

use std::collections::HashMap;
use std::time::Duration;

use baton_types::AccountId;
use baton_types::outcome::Doubt;
use baton_wire::{Exchange, Wire, WireConfig};

use crate::server::*;

#[tokio::test]
async fn a_connection_is_used_again_by_the_same_account_only() {
    let server = Server::run(answer_all);
    let (wire, one) = (wire(), server.target());
    let mut other = one.clone();
    other.account = AccountId::from_parts(2, [2; 10]);

    let first = exchange(&wire, &one, "/1").await;
    assert!(!first.evidence.reused_connection && first.evidence.connect_us > 0);
    let second = exchange(&wire, &one, "/2").await;
    assert!(second.evidence.reused_connection);
    assert_eq!(second.evidence.connect_us, 0);
    let third = exchange(&wire, &other, "/3").await;
    assert!(!third.evidence.reused_connection, "accounts share no connection");
    assert_eq!(server.seen.connections(), 2);
    assert_eq!(server.seen.requests().len(), 3);
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_replaced_and_the_request_arrives_once() {
    for reset in [false, true] {
        let server = Server::run(move |p| {
            p.read_request();
            p.write(OK);
            if reset {
                p.reset();
            }
        });
        let (wire, target) = (wire(), server.target());
        for round in 0..10 {
            let report = exchange(&wire, &target, &format!("/{round}")).await;
            assert_eq!(status(&report.exchange), Some(200), "round {round}: {report:?}");
            assert!(!report.evidence.reused_connection);
            assert_eq!(server.seen.requests().len(), round + 1, "each request arrives once");
            // The runtime is not let run: only the operating system knows of the close.
            pause(Duration::from_millis(5));
        }
        assert_eq!(server.seen.connections(), 10);
    }
}

#[tokio::test]
async fn a_request_that_a_kept_connection_took_is_not_sent_on_another() {
    let scripts: [fn(&mut Peer); 3] = [
        |p| drop(p.read_request()),
        |p| {
            p.read_request();
            p.reset();
        },
        |p| {
            p.read_some(1);
            p.reset();
        },
    ];
    for script in scripts {
        let server = Server::run(move |p| {
            p.read_request();
            p.write(OK);
            script(p);
        });
        let (wire, target) = (wire(), server.target());
        exchange(&wire, &target, "/first").await;
        let report = exchange(&wire, &target, "/second").await;
        assert_eq!(report.exchange, lost(Doubt::ConnectionLost));
        assert!(report.evidence.reused_connection);
        pause(Duration::from_millis(20));
        assert_eq!((server.seen.connections(), server.seen.requests().len()), (1, 2));
    }
}

#[tokio::test]
async fn an_answer_that_closes_is_believed() {
    let server = Server::run(|p| {
        while p.read_request().is_some() {
            p.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let wire = wire();
    for _ in 0..3 {
        let report = exchange(&wire, &server.target(), "/p").await;
        assert!(!report.evidence.reused_connection);
    }
    assert_eq!(server.seen.connections(), 3);
}

#[tokio::test]
async fn idle_connections_are_bounded_in_number_and_time() {
    let server = Server::run(|p| {
        while p.read_request().is_some() {
            pause(Duration::from_millis(50));
            p.write(OK);
        }
    });
    let idle_timeout = Duration::from_millis(200);
    let config = WireConfig { max_idle_per_origin: 2, idle_timeout, ..config() };
    let (wire, target) = (Wire::new(config).unwrap(), server.target());
    let call = || exchange(&wire, &target, "/p");
    tokio::join!(call(), call(), call(), call());
    assert_eq!(server.seen.connections(), 4);
    let again = tokio::join!(call(), call(), call());
    let reused = [again.0, again.1, again.2].map(|r| usize::from(r.evidence.reused_connection));
    assert_eq!(reused.iter().sum::<usize>(), 2, "two of the four were kept");
    pause(idle_timeout);
    assert!(!call().await.evidence.reused_connection, "too old");
}

/// The provider closes at the very moment of sending, again and again. Whatever wins the race, a request
/// arrives at most once, one that is reported as not sent never, and one that is answered exactly once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_race_between_sending_and_closing_never_sends_twice() {
    const ROUNDS: usize = 600;
    let server = Server::run(|p| {
        p.read_request();
        p.write(OK);
        spin(Duration::from_micros((p.index as u64 * 37) % 150));
        if p.index.is_multiple_of(3) {
            p.reset();
        }
    });
    let (wire, target) = (wire(), server.target());
    let mut results = Vec::new();
    for round in 0..ROUNDS {
        spin(Duration::from_micros((round as u64 * 53) % 150));
        results.push(exchange(&wire, &target, &format!("/{round}")).await);
    }
    pause(Duration::from_millis(100));
    let mut arrived: HashMap<String, usize> = HashMap::new();
    for request in server.seen.requests() {
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        *arrived.entry(path).or_default() += 1;
    }
    let (mut lost, mut replied) = (0, 0);
    for (round, report) in results.iter().enumerate() {
        let times = arrived.get(&format!("/{round}")).copied().unwrap_or(0);
        match &report.exchange {
            Exchange::Reply(_) => {
                replied += 1;
                assert_eq!(times, 1, "round {round}: {report:?}");
            }
            Exchange::NotSent(_) => assert_eq!(times, 0, "round {round}: {report:?}"),
            Exchange::Lost(why) => {
                lost += 1;
                assert_eq!(*why, Doubt::ConnectionLost);
                assert!(times <= 1, "round {round}: {report:?}");
                assert!(report.evidence.reused_connection, "a fresh connection is answered");
            }
        }
    }
    assert_eq!(arrived.values().sum::<usize>(), server.seen.requests().len());
    assert!(replied > ROUNDS / 4 && lost < ROUNDS, "replied {replied}, lost {lost}");
}

#[allow(clippy::disallowed_methods, reason = "a race is timed against the real clock")]
fn spin(span: Duration) {
    let until = std::time::Instant::now() + span;
    while std::time::Instant::now() < until {
        std::hint::spin_loop();
    }
}
