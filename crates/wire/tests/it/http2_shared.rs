//! HTTP/2 connections that several calls share, and what one call's trouble does to the others.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use baton_types::AccountId;
use baton_types::outcome::{Doubt, NotSent};
use baton_wire::{Breaker, BreakerState, Report, Target, Wire, WireConfig};
use tokio::time::Instant;

use crate::frame_server::*;
use crate::server::*;
use crate::tls::{Authority, secure};

pub(crate) fn wire_for(authority: &Authority, change: impl FnOnce(&mut WireConfig)) -> Wire {
    let mut config = WireConfig { extra_roots: vec![authority.root.clone()], ..config() };
    change(&mut config);
    Wire::new(config).unwrap()
}

/// Makes the connection that the calls of a test share.
pub(crate) async fn warm(wire: &Wire, server: &Server) {
    let report = exchange(wire, &secure(server), "/warm").await;
    assert_eq!(status(&report.exchange), Some(200), "{report:?}");
}

/// Calls that come together.
async fn together(wire: &Arc<Wire>, server: &Server, count: usize) -> Vec<Report> {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..count {
        let (wire, target) = (Arc::clone(wire), secure(server));
        tasks.spawn(async move { exchange(&wire, &target, "/p").await });
    }
    tasks.join_all().await
}

#[tokio::test]
async fn calls_that_come_together_share_a_connection() {
    let authority = Authority::new();
    // It answers only when all have come, and in the reverse order.
    let server = speaks_http2(&authority, &[], |f| {
        f.answer_one();
        let streams: Vec<_> = (0..8).filter_map(|_| f.request()).collect();
        for stream in streams.into_iter().rev() {
            f.answer(stream);
        }
        f.read();
    });
    let wire = Arc::new(authority.wire());
    warm(&wire, &server).await;
    let reports = together(&wire, &server, 8).await;
    for report in reports {
        assert_eq!(status(&report.exchange), Some(200), "{report:?}");
        assert!(report.evidence.reused_connection, "{report:?}");
    }
    assert_eq!((server.seen.connections(), server.seen.requests().len()), (1, 9));
}

#[tokio::test]
async fn a_connection_made_by_one_call_is_shared_by_those_that_waited_for_it() {
    let authority = Authority::new();
    let server = speaks_http2(&authority, &[], |f| {
        let first = f.peer.index == 0;
        f.answer_one();
        if first {
            f.go_away(1, NO_ERROR);
            f.peer.done();
            return;
        }
        f.answer_all();
    });
    let wire = Arc::new(authority.wire());
    warm(&wire, &server).await;
    server.seen.wait_until_done(1);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let reports = together(&wire, &server, 8).await;
    assert!(reports.iter().all(|report| status(&report.exchange) == Some(200)), "{reports:?}");
    assert_eq!(server.seen.connections(), 2, "one more, and not one for each");
    assert_eq!(server.seen.requests().len(), 9);
}

#[tokio::test]
async fn no_more_streams_than_either_side_allows() {
    let authority = Authority::new();
    let rows: [(&'static [(u16, u32)], usize); 3] =
        [(&[(MAX_CONCURRENT_STREAMS, 1)], 16), (&[(MAX_CONCURRENT_STREAMS, 100)], 1), (&[], 1)];
    for (settings, ours) in rows {
        let server = speaks_http2(&authority, settings, |f| {
            while let Some(stream) = f.request() {
                pause(Duration::from_millis(50));
                f.answer(stream);
            }
        });
        let wire = Arc::new(wire_for(&authority, |config| config.http2_max_streams = ours));
        warm(&wire, &server).await;
        let reports = together(&wire, &server, 3).await;
        assert!(reports.iter().all(|report| status(&report.exchange) == Some(200)), "{reports:?}");
        assert_eq!(server.seen.connections(), 3, "one stream each: {settings:?}, {ours}");
        assert_eq!(server.seen.requests().len(), 4);
    }
}

#[tokio::test]
async fn accounts_share_no_connection() {
    let authority = Authority::new();
    let server = speaks_http2(&authority, &[], |f| f.answer_all());
    let wire = authority.wire();
    let mut other = secure(&server);
    other.account = AccountId::from_parts(2, [2; 10]);
    warm(&wire, &server).await;
    assert!(!exchange(&wire, &other, "/p").await.evidence.reused_connection);
    assert_eq!(server.seen.connections(), 2);
}

/// A breaker that took each of them for a failure of its own would open on one reset.
#[tokio::test]
async fn calls_that_are_lost_with_one_connection_are_one_failure_to_the_breaker() {
    let authority = Authority::new();
    let server = speaks_http2(&authority, &[], |f| {
        f.answer_one();
        for _ in 0..8 {
            f.request();
        }
        f.peer.reset();
    });
    let breaker = Breaker { failures: 3, open_for: Duration::from_secs(10) };
    let wire = Arc::new(wire_for(&authority, |config| config.breaker = breaker));
    let target = Target { breaker: true, ..secure(&server) };
    let state = || wire.health()[0].breaker;
    for round in 1..=3 {
        if round < 3 {
            let mut tasks = tokio::task::JoinSet::new();
            assert_eq!(state_after_one(&wire, &target).await, BreakerState::Closed);
            for _ in 0..8 {
                let (wire, target) = (Arc::clone(&wire), target.clone());
                tasks.spawn(async move { exchange(&wire, &target, "/p").await.exchange });
            }
            let lost_all = tasks.join_all().await;
            assert!(lost_all.iter().all(|x| *x == lost(Doubt::ConnectionLost)), "{lost_all:?}");
        }
        assert_eq!(state(), BreakerState::Closed, "after {round}");
    }
    // Streams that are refused one by one are failures one by one.
    let refuses = speaks_http2(&authority, &[], |f| {
        while let Some(stream) = f.request() {
            f.reset_stream(stream, REFUSED_STREAM);
        }
    });
    let target = Target { breaker: true, ..secure(&refuses) };
    for _ in 0..3 {
        exchange(&wire, &target, "/p").await;
    }
    assert_eq!(state(), BreakerState::Open);
}

async fn state_after_one(wire: &Wire, target: &Target) -> BreakerState {
    assert_eq!(status(&exchange(wire, target, "/warm").await.exchange), Some(200));
    wire.health()[0].breaker
}

/// One call is stuck half sent behind its window; it times out, is reset, and the others never notice.
#[tokio::test]
async fn a_body_that_is_stuck_half_sent_is_an_answer_timeout_for_its_call_only() {
    let authority = Authority::new();
    let resets = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&resets);
    let server = speaks_http2(&authority, &[(INITIAL_WINDOW_SIZE, 100)], move |f| {
        while let Some(frame) = f.read() {
            match frame.kind {
                RST_STREAM => seen.lock().unwrap().push((frame.stream, frame.payload)),
                HEADERS | DATA if frame.flags & END_STREAM != 0 => f.answer(frame.stream),
                _ => {}
            }
        }
    });
    let wire = authority.wire();
    warm(&wire, &server).await;
    let target = secure(&server);
    let stuck = wire.exchange(&target, call_with("/stuck", &[], vec![b'x'; 1000]), soon());
    let (stuck, other) = tokio::join!(stuck, exchange(&wire, &target, "/other"));
    assert_eq!(stuck.exchange, lost(Doubt::AnswerTimeout), "{stuck:?}");
    assert!((100..1000).contains(&stuck.evidence.request_bytes), "only what left: {stuck:?}");
    assert_eq!(status(&other.exchange), Some(200));
    warm(&wire, &server).await;
    until(|| !resets.lock().unwrap().is_empty()).await;
    let resets = resets.lock().unwrap();
    assert_eq!(*resets, [(3, CANCEL.to_be_bytes().to_vec())], "its stream only");
    assert_eq!((server.seen.connections(), server.seen.requests().len()), (1, 4));
}

#[tokio::test]
async fn a_dropped_exchange_resets_its_stream_and_no_other() {
    let authority = Authority::new();
    let server = speaks_http2(&authority, &[], |f| {
        f.answer_one();
        let (Some(_dropped), Some(kept)) = (f.request(), f.request()) else { return };
        f.until(RST_STREAM);
        f.answer(kept);
        f.answer_all();
    });
    let wire = authority.wire();
    warm(&wire, &server).await;
    let target = secure(&server);
    let dropped = tokio::time::timeout(
        Duration::from_millis(100),
        wire.exchange(&target, call("/dropped"), soon()),
    );
    let (dropped, kept) = tokio::join!(dropped, exchange(&wire, &target, "/kept"));
    assert!(dropped.is_err());
    assert_eq!(status(&kept.exchange), Some(200));
    assert_eq!(wire.health()[0].in_flight, 0);
    warm(&wire, &server).await;
    assert_eq!((server.seen.connections(), server.seen.requests().len()), (1, 4));
}

/// The task sleeps between the handing over of the request and its first byte, as a suspended node would.
#[tokio::test]
async fn time_that_passes_before_the_first_byte_is_noticed() {
    let authority = Authority::new();
    let server = speaks_http2(&authority, &[], |f| f.answer_all());
    let (wire, target) = (authority.wire(), secure(&server));
    for _ in 0..10 {
        warm(&wire, &server).await;
        let send_by = Instant::now() + Duration::from_millis(3);
        let mut future = std::pin::pin!(wire.exchange(&target, call("/late"), send_by));
        let first =
            std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx))).await;
        assert!(first.is_pending());
        pause(Duration::from_millis(5));
        let report = future.await;
        assert_sound(&report);
        assert_eq!(report.exchange, not_sent(NotSent::TooLate), "{report:?}");
        assert!(report.evidence.reused_connection);
    }
    pause(Duration::from_millis(20));
    assert_eq!(server.seen.requests().len(), 10, "only those that were in time");
}

#[tokio::test]
async fn a_connection_that_ended_while_idle_is_replaced_and_the_request_arrives_once() {
    type End = fn(&mut Frames<'_>);
    let ends: [(&str, End); 5] = [
        ("goes away", |f| f.go_away(1, NO_ERROR)),
        ("goes away and lingers", |f| {
            f.go_away(1, NO_ERROR);
            f.peer.done();
            f.read();
        }),
        ("closes", |f| f.peer.stream.end()),
        ("is cut", |f| f.peer.cut()),
        ("goes away and is cut", |f| {
            f.go_away(1, NO_ERROR);
            f.peer.cut();
        }),
    ];
    let authority = Authority::new();
    for (name, end) in ends {
        let server = speaks_http2(&authority, &[], move |f| {
            f.answer_one();
            end(f);
            f.peer.done();
        });
        let wire = authority.wire();
        for round in 0..5 {
            let report = exchange(&wire, &secure(&server), "/p").await;
            assert_eq!(status(&report.exchange), Some(200), "{name} {round}: {report:?}");
            assert_eq!(server.seen.requests().len(), round + 1, "{name}: each arrives once");
            server.seen.wait_until_done(round + 1);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(server.seen.connections(), 5, "{name}");
    }
}

/// The same, but the end comes between the call's beginning and its first byte, and only the operating system
/// knows of it. A `GOAWAY` is read after our request has left, and says that it was not processed; a bare end
/// is found by the gate, and the request goes elsewhere.
#[tokio::test]
async fn an_end_that_comes_as_we_send_never_sends_twice() {
    let authority = Authority::new();
    for (goes_away, resets) in [(true, false), (true, true), (false, false)] {
        let server = speaks_http2(&authority, &[], move |f| {
            f.answer_one();
            pause(Duration::from_millis(5));
            if goes_away {
                f.go_away(1, NO_ERROR);
                if resets {
                    // Our write fails, and the frame is still there to be read.
                    f.peer.reset();
                } else {
                    f.peer.stream.end();
                }
            } else {
                f.peer.cut();
            }
            f.peer.done();
        });
        let wire = authority.wire();
        let mut times_refused = 0;
        for round in 0..20 {
            let (before, earlier) = (server.seen.requests().len(), server.seen.connections());
            let target = secure(&server);
            let mut future = std::pin::pin!(wire.exchange(&target, call("/p"), soon()));
            let first =
                std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx))).await;
            assert!(first.is_pending());
            // The connections before this call's have all ended.
            server.seen.wait_until_done(earlier);
            pause(Duration::from_millis(3));
            let report = future.await;
            assert_sound(&report);
            let arrived = server.seen.requests().len() - before;
            let refused = report.exchange == not_sent(NotSent::StreamRefused);
            let answered = status(&report.exchange) == Some(200);
            assert!(answered || (goes_away && refused), "{goes_away} {resets} {round}: {report:?}");
            assert_eq!(arrived, usize::from(answered), "{goes_away} {resets} {round}: {report:?}");
            times_refused += usize::from(refused);
        }
        assert_eq!(times_refused > 0, goes_away, "{times_refused} were refused");
    }
}

#[tokio::test]
async fn a_dead_connection_is_noticed_by_its_silence() {
    let authority = Authority::new();
    let server = speaks_http2(&authority, &[], |f| {
        f.alive = f.peer.index > 0;
        f.answer_one();
        // Reads, and says no more unless it is alive.
        while let Some(stream) = f.request() {
            if f.alive {
                f.pings(3);
                f.answer(stream);
            }
        }
    });
    let wire = wire_for(&authority, |config| {
        config.http2_ping = Duration::from_millis(100);
        config.answer_timeout = Duration::from_secs(20);
    });
    warm(&wire, &server).await;
    let dead = exchange(&wire, &secure(&server), "/p").await;
    assert_eq!(dead.exchange, lost(Doubt::ConnectionLost));
    assert!((150_000..2_000_000).contains(&dead.evidence.total_us), "{dead:?}");
    // One that answers pings may think for as long as it likes.
    warm(&wire, &server).await;
    let slow = exchange(&wire, &secure(&server), "/p").await;
    assert_eq!(status(&slow.exchange), Some(200), "{slow:?}");
    assert_eq!((server.seen.connections(), server.seen.requests().len()), (2, 4));
}

#[tokio::test]
async fn an_idle_connection_and_one_that_nobody_owns_are_closed() {
    let authority = Authority::new();
    let ended = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&ended);
    let server = speaks_http2(&authority, &[], move |f| {
        f.answer_all();
        *seen.lock().unwrap() += 1;
    });
    let wire = wire_for(&authority, |config| config.idle_timeout = Duration::from_millis(100));
    warm(&wire, &server).await;
    until(|| *ended.lock().unwrap() == 1).await;
    warm(&wire, &server).await;
    assert_eq!(server.seen.connections(), 2);
    drop(wire);
    let wire = authority.wire();
    warm(&wire, &server).await;
    drop(wire);
    until(|| *ended.lock().unwrap() == 3).await;
}

async fn until(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "it does not happen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
