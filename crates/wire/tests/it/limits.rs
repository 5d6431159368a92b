//! Breaker, limit of calls in flight, and `send_by`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use baton_types::outcome::NotSent;
use baton_wire::{Breaker, BreakerState, Target, Wire, WireConfig};
use tokio::time::Instant;

use crate::server::*;

/// Moves the paused clock only; sockets are awaited with a running one, because a paused clock jumps ahead
/// to the next timeout whenever the test waits for the network.
async fn pass(span: Duration) {
    tokio::time::pause();
    tokio::time::advance(span).await;
    tokio::time::resume();
}

fn breaking(server: &Server) -> Target {
    Target { breaker: true, ..server.target() }
}

#[tokio::test]
async fn a_breaker_opens_probes_and_closes() {
    let answer = Arc::new(AtomicU16::new(503));
    let shared = Arc::clone(&answer);
    let server = Server::run(move |p| {
        while p.read_request().is_some() {
            let status = shared.load(Ordering::SeqCst);
            p.write(format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n").as_bytes());
        }
    });
    let breaker = Breaker { failures: 3, open_for: Duration::from_secs(10) };
    let wire = Wire::new(WireConfig { breaker, ..config() }).unwrap();
    let (target, account) = (breaking(&server), server.target().account);
    let state = || wire.health()[0].breaker;

    for _ in 0..3 {
        assert_eq!(wire.refuses(account), None);
        assert_eq!(status(&exchange(&wire, &target, "/p").await.exchange), Some(503));
    }
    assert_eq!((state(), wire.refuses(account)), (BreakerState::Open, Some(NotSent::BreakerOpen)));
    let refused = exchange(&wire, &target, "/p").await;
    assert_eq!(refused.exchange, not_sent(NotSent::BreakerOpen));
    assert_eq!(server.seen.requests().len(), 3, "nothing is sent while it is open");

    pass(Duration::from_secs(10)).await;
    assert_eq!((state(), wire.refuses(account)), (BreakerState::HalfOpen, None));
    assert_eq!(status(&exchange(&wire, &target, "/probe").await.exchange), Some(503));
    assert_eq!(state(), BreakerState::Open, "a failed probe opens it again");

    pass(Duration::from_secs(10)).await;
    answer.store(402, Ordering::SeqCst);
    let (probe, second) =
        tokio::join!(exchange(&wire, &target, "/probe"), exchange(&wire, &target, "/p"));
    assert_eq!(status(&probe.exchange), Some(402));
    assert_eq!(second.exchange, not_sent(NotSent::BreakerOpen), "one probe at a time");
    assert_eq!((state(), wire.refuses(account)), (BreakerState::Closed, None));
    assert_eq!(server.seen.requests().len(), 5);
}

#[tokio::test]
async fn connection_failures_and_lost_answers_open_it_but_not_our_own_refusals() {
    let breaker = Breaker { failures: 2, open_for: Duration::from_secs(10) };
    let lossy = Server::run(|p| drop(p.read_request()));
    let wire = Wire::new(WireConfig { breaker, ..config() }).unwrap();
    let target = breaking(&lossy);
    for _ in 0..3 {
        let late = wire.exchange(&target, call("/p"), Instant::now()).await;
        assert_eq!(late.exchange, not_sent(NotSent::TooLate));
        let unfit = wire.exchange(&target, call("no slash"), soon()).await;
        assert_eq!(unfit.exchange, not_sent(NotSent::NotSupported));
    }
    assert_eq!(wire.health()[0].breaker, BreakerState::Closed);
    exchange(&wire, &target, "/p").await;
    exchange(&wire, &target, "/p").await;
    assert_eq!(wire.refuses(target.account), Some(NotSent::BreakerOpen));

    let exempt = Target { breaker: false, ..target.clone() };
    let report = exchange(&wire, &exempt, "/p").await;
    assert_ne!(report.exchange, not_sent(NotSent::BreakerOpen), "an exempt target passes");
}

#[tokio::test]
async fn one_call_too_many_is_refused_while_the_others_run() {
    let server = Server::run(|p| {
        while p.read_request().is_some() {
            pause(Duration::from_millis(100));
            p.write(OK);
        }
    });
    let wire = Wire::new(WireConfig { max_in_flight: 2, ..config() }).unwrap();
    let target = server.target();
    let (a, b, c) =
        tokio::join!(exchange(&wire, &target, "/a"), exchange(&wire, &target, "/b"), async {
            assert_eq!(wire.refuses(target.account), Some(NotSent::TooManyInFlight));
            assert_eq!(wire.health()[0].in_flight, 2);
            exchange(&wire, &target, "/c").await
        });
    assert_eq!((status(&a.exchange), status(&b.exchange)), (Some(200), Some(200)));
    assert_eq!(c.exchange, not_sent(NotSent::TooManyInFlight));
    assert_eq!(wire.refuses(target.account), None);
    assert_eq!(wire.health()[0].in_flight, 0);
    assert_eq!(server.seen.requests().len(), 2);
}

#[tokio::test]
async fn an_exchange_can_run_in_a_task_of_its_own() {
    let server = Server::run(answer_all);
    let (wire, target) = (Arc::new(wire()), server.target());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (wire, target) = (Arc::clone(&wire), target.clone());
        tasks.spawn(async move { exchange(&wire, &target, "/p").await });
    }
    let reports = tasks.join_all().await;
    assert_eq!(reports.iter().filter(|r| status(&r.exchange) == Some(200)).count(), 8);
    assert_eq!(server.seen.requests().len(), 8);
}

#[tokio::test]
async fn a_call_whose_time_has_passed_opens_no_connection() {
    let server = Server::run(answer_all);
    let (wire, target) = (wire(), server.target());
    let report = wire.exchange(&target, call("/p"), Instant::now()).await;
    assert_eq!(report.exchange, not_sent(NotSent::TooLate));
    assert_eq!(server.seen.connections(), 0);

    let report = wire.exchange(&target, call("/p"), soon()).await;
    assert_eq!(status(&report.exchange), Some(200));
}

#[tokio::test]
async fn time_that_passes_while_connecting_is_noticed_before_the_first_byte() {
    let server = Server::run(answer_all);
    let (wire, target) = (wire(), server.target());
    let mut late = 0;
    for _ in 0..20 {
        let send_by = Instant::now() + Duration::from_millis(3);
        let mut future = std::pin::pin!(wire.exchange(&target, call("/p"), send_by));
        let first =
            std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx))).await;
        // The task sleeps between beginning to connect and the first byte, as a suspended node would.
        pause(Duration::from_millis(5));
        assert!(first.is_pending());
        let report = future.await;
        assert_sound(&report);
        assert_eq!(report.exchange, not_sent(NotSent::TooLate));
        late += 1;
    }
    pause(Duration::from_millis(20));
    assert_eq!(server.seen.requests().len(), 0, "connected {late} times, sent nothing");
    assert_eq!(server.seen.connections(), late);
}
