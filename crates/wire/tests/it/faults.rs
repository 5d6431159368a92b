//! Providers that fail in every place where a provider can fail.

use std::time::Duration;

use baton_types::outcome::{Doubt, NotSent};
use baton_wire::{Exchange, Wire, WireConfig};
use socket2::{Domain, Socket, Type};

use crate::server::*;

type Script = fn(&mut Peer);

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "it is a table")]
async fn after_the_first_byte_every_failure_is_lost_and_nothing_is_sent_again() {
    let rows: [(&str, Script, Doubt); 18] = [
        ("read all, close", |p| drop(p.read_request()), Doubt::ConnectionLost),
        (
            "read all, reset",
            |p| {
                p.read_request();
                p.reset()
            },
            Doubt::ConnectionLost,
        ),
        (
            "read a part, reset",
            |p| {
                p.read_some(20);
                p.reset()
            },
            Doubt::ConnectionLost,
        ),
        ("read a part, close", |p| p.read_some(20), Doubt::ConnectionLost),
        (
            "silent",
            |p| {
                p.read_request();
                pause(Duration::from_secs(2))
            },
            Doubt::AnswerTimeout,
        ),
        ("half a head", |p| say(p, b"HTTP/1.1 200 OK\r\ncont"), Doubt::AnswerCutShort),
        (
            "half a body",
            |p| say(p, b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"),
            Doubt::AnswerCutShort,
        ),
        (
            "half a body, reset",
            |p| {
                say(p, b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
                p.reset()
            },
            Doubt::AnswerCutShort,
        ),
        (
            "chunks without an end",
            |p| say(p, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
            Doubt::AnswerCutShort,
        ),
        (
            "a chunk that is none",
            |p| say(p, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhalf\r\n"),
            Doubt::AnswerCutShort,
        ),
        (
            "ended by the connection",
            |p| say(p, b"HTTP/1.1 200 OK\r\n\r\namount=1000"),
            Doubt::AnswerCutShort,
        ),
        (
            "half a chunk",
            |p| say(p, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf"),
            Doubt::AnswerCutShort,
        ),
        ("only 100", |p| say(p, b"HTTP/1.1 100 Continue\r\n\r\n"), Doubt::AnswerCutShort),
        (
            "103, then reset",
            |p| {
                say(p, b"HTTP/1.1 103 Early Hints\r\n\r\n");
                pause(Duration::from_millis(20));
                p.reset()
            },
            Doubt::AnswerCutShort,
        ),
        ("slow trickle", trickle, Doubt::AnswerCutShort),
        ("garbage", |p| say(p, b"\x00\x01garbage, not HTTP\r\n\r\n"), Doubt::Unreadable),
        ("an impossible status", |p| say(p, b"HTTP/1.1 xx OK\r\n\r\n"), Doubt::Unreadable),
        (
            "two lengths",
            |p| say(p, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!"),
            Doubt::Unreadable,
        ),
    ];
    for (name, script, want) in rows {
        let (wire, server) = (wire(), Server::run(script));
        let report = exchange(&wire, &server.target(), "/p").await;
        assert_eq!(report.exchange, lost(want), "{name}: {report:?}");
        assert!(!report.evidence.reused_connection, "{name}");
        pause(Duration::from_millis(20));
        assert_eq!(server.seen.connections(), 1, "{name}: no second connection");
        assert_eq!(server.seen.requests().len(), 1, "{name}: no second request");

        // The failed connection is not used again.
        exchange(&wire, &server.target(), "/p").await;
        assert_eq!(server.seen.connections(), 2, "{name}");
    }
}

fn say(peer: &mut Peer, bytes: &[u8]) {
    peer.read_request();
    peer.write(bytes);
}

fn trickle(peer: &mut Peer) {
    peer.read_request();
    for byte in OK {
        peer.write(&[*byte]);
        pause(Duration::from_millis(30));
    }
}

#[tokio::test]
async fn nothing_listening_is_not_sent() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let report = exchange(&wire(), &target(&format!("http://127.0.0.1:{port}")), "/p").await;
    assert_eq!(report.exchange, not_sent(NotSent::ConnectFailed));
    assert_eq!(report.evidence.reply_bytes, 0);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_not_sent() {
    // A label over 63 characters is refused before any name server is asked.
    let name = "x".repeat(64);
    let report = exchange(&wire(), &target(&format!("http://{name}.invalid")), "/p").await;
    assert_eq!(report.exchange, not_sent(NotSent::DnsFailed));
}

#[tokio::test]
async fn a_connection_that_is_never_accepted_is_a_connect_timeout() {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    // Fill the queue of connections that wait to be accepted, until the system drops new ones.
    let mut waiting = Vec::new();
    while let Ok(socket) =
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100))
    {
        waiting.push(socket);
        assert!(waiting.len() < 64, "the queue does not fill");
    }
    let config = WireConfig { connect_timeout: Duration::from_millis(200), ..config() };
    let wire = Wire::new(config).unwrap();
    let report = exchange(&wire, &target(&format!("http://{address}")), "/p").await;
    assert_eq!(report.exchange, not_sent(NotSent::ConnectTimeout));
    assert!((200_000..1_000_000).contains(&report.evidence.connect_us), "{report:?}");
}

#[tokio::test]
async fn accepted_and_closed_at_once_is_not_sent_only_if_nothing_was_written() {
    let mut seen = [0, 0];
    for round in 0..200 {
        let server = Server::run(move |p| {
            if round % 2 == 0 {
                p.reset()
            }
        });
        let report = exchange(&wire(), &server.target(), "/p").await;
        // `exchange` has asserted that the claim agrees with the counter.
        match report.exchange {
            Exchange::NotSent(why) => {
                // A reset can come before the connection is seen to be made.
                let early = [NotSent::ClosedBeforeSending, NotSent::ConnectFailed];
                assert!(early.contains(&why), "{why:?}");
                seen[0] += 1;
            }
            Exchange::Lost(why) => {
                assert_eq!(why, Doubt::ConnectionLost);
                seen[1] += 1;
            }
            Exchange::Reply(_) => panic!("nobody answered"),
        }
        assert_eq!(server.seen.connections(), 1, "a fresh connection is tried once");
    }
    assert_eq!(seen[0] + seen[1], 200);
}

#[tokio::test]
async fn closed_before_sending_is_proven_by_the_gate() {
    let server = Server::run(|_| {});
    let wire = wire();
    let target = server.target();
    let mut report = None;
    for _ in 0..50 {
        let mut future = std::pin::pin!(wire.exchange(&target, call("/p"), soon()));
        // Let it begin to connect, then block the only thread until the close has arrived.
        let first =
            std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx))).await;
        assert!(first.is_pending());
        pause(Duration::from_millis(5));
        let got = future.await;
        assert_sound(&got);
        if got.exchange == not_sent(NotSent::ClosedBeforeSending) {
            report = Some(got);
            break;
        }
    }
    assert_eq!(report.expect("the gate sees a close that came first").evidence.request_bytes, 0);
    assert_eq!(server.seen.requests().len(), 0);
}

#[tokio::test]
async fn a_large_request_cut_in_the_middle_is_lost() {
    let server = Server::run(|p| {
        p.read_some(1000);
        p.reset();
    });
    let body = vec![b'x'; 16 << 20];
    let report = wire().exchange(&server.target(), call_with("/p", &[], body), soon()).await;
    assert_eq!(report.exchange, lost(Doubt::ConnectionLost));
    let written = report.evidence.request_bytes;
    assert!((1000..16 << 20).contains(&written), "counts what the socket took: {written}");
    assert_eq!(server.seen.connections(), 1);
}

#[tokio::test]
async fn a_provider_that_stops_reading_is_an_answer_timeout() {
    let server = Server::run(|p| {
        p.read_some(10);
        pause(Duration::from_secs(2));
    });
    let body = vec![b'x'; 16 << 20];
    let report = wire().exchange(&server.target(), call_with("/p", &[], body), soon()).await;
    assert_eq!(report.exchange, lost(Doubt::AnswerTimeout));
    assert!(report.evidence.total_us < 1_500_000, "{report:?}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let elsewhere = Server::run(|p| say(p, OK));
    let location = format!("http://127.0.0.1:{}/p", elsewhere.port);
    let codes = [301, 302, 303, 307, 308];
    let server = Server::run(move |p| {
        for code in codes {
            p.read_request();
            let fields = format!("location: {location}\r\ncontent-length: 0\r\n\r\n");
            p.write(format!("HTTP/1.1 {code} Elsewhere\r\n{fields}").as_bytes());
        }
    });
    let wire = wire();
    for code in codes {
        let report = exchange(&wire, &server.target(), "/p").await;
        assert_eq!(status(&report.exchange), Some(code));
    }
    pause(Duration::from_millis(30));
    assert_eq!(server.seen.requests().len(), 5);
    assert_eq!(elsewhere.seen.connections(), 0, "the body went nowhere else");
}

#[tokio::test]
async fn a_dropped_exchange_closes_its_connection_and_gives_its_place_back() {
    let server = Server::run(|p| {
        while p.read_request().is_some() {
            if p.index > 0 {
                p.write(OK);
            }
        }
    });
    let wire = wire();
    let target = server.target();
    let began = tokio::time::timeout(
        Duration::from_millis(100),
        wire.exchange(&target, call("/dropped"), soon()),
    );
    assert!(began.await.is_err());
    assert_eq!(wire.health()[0].in_flight, 0);
    let report = exchange(&wire, &target, "/next").await;
    assert_eq!(status(&report.exchange), Some(200));
    assert!(!report.evidence.reused_connection, "the half-used connection is not in the pool");
    assert_eq!(server.seen.requests().len(), 2, "the dropped request had arrived, and only once");
}
