//! How an answer is read: whole, in order, and not beyond its bounds.

use baton_types::outcome::Doubt;
use baton_wire::{Exchange, Wire, WireConfig};

use crate::server::*;

fn answers(bytes: impl Into<Vec<u8>>) -> Server {
    let bytes = bytes.into();
    Server::run(move |p| {
        while p.read_request().is_some() {
            p.write(&bytes);
        }
    })
}

fn small() -> Wire {
    Wire::new(WireConfig { max_reply_bytes: 1000, ..config() }).unwrap()
}

#[tokio::test]
async fn a_whole_answer_is_read_as_it_was_sent() {
    let server = answers(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 402 Payment Required\r\nX-Id: 1\r\nset-cookie: a=b\r\n\
         Set-Cookie: c=d\r\nx-odd: \u{e9}\r\ntransfer-encoding: chunked\r\n\r\n3\r\nno \r\n5\r\nmoney\r\n\
         0\r\nx-trailer: t\r\n\r\n",
    );
    let report = exchange(&wire(), &server.target(), "/p?a=b").await;
    let Exchange::Reply(reply) = report.exchange else { panic!("{report:?}") };
    assert_eq!((reply.status, reply.body.as_slice()), (402, b"no money".as_slice()));
    let named = |name| {
        let all = reply.headers.iter().filter(|(n, _)| n == name);
        all.map(|(_, value)| value.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(named("set-cookie"), ["a=b", "c=d"], "duplicates are kept, in order");
    assert_eq!(named("x-id"), ["1"], "names are in lower case");
    assert_eq!(named("x-odd"), ["\u{e9}"]);
    assert!(report.evidence.reply_bytes > 100, "the head counts too");

    let request = &server.seen.requests()[0];
    assert!(request.starts_with("POST /p?a=b HTTP/1.1\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\n{\"amount\":1000}"), "{request}");
    assert_eq!(report.evidence.request_bytes, request.len() as u64, "every byte is counted");
}

#[tokio::test]
async fn an_answer_over_the_bound_is_cut_short() {
    let fits = format!("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{}", "x".repeat(1000));
    let report = exchange(&small(), &answers(fits).target(), "/p").await;
    assert_eq!(status(&report.exchange), Some(200), "the bound itself fits");

    let chunk = format!("3e8\r\n{}\r\n", "x".repeat(1000));
    let rows = [
        ("announced", format!("HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n{}", "x".repeat(9))),
        (
            "sent",
            format!(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunk}1\r\nx\r\n0\r\n\r\n"
            ),
        ),
        (
            "endless",
            format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}", chunk.repeat(2000)),
        ),
        ("head", format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(200_000))),
        ("many fields", format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(200))),
    ];
    for (name, bytes) in rows {
        let server = answers(bytes);
        let wire = small();
        let report = exchange(&wire, &server.target(), "/p").await;
        assert_eq!(report.exchange, lost(Doubt::AnswerCutShort), "{name}");
        exchange(&wire, &server.target(), "/p").await;
        assert_eq!(server.seen.connections(), 2, "{name}: such a connection is not kept");
    }
}

#[tokio::test]
async fn an_answer_without_a_body_keeps_the_connection() {
    let server = answers("HTTP/1.1 204 No Content\r\n\r\n");
    let wire = wire();
    for round in 0..3 {
        let report = exchange(&wire, &server.target(), "/p").await;
        assert_eq!(status(&report.exchange), Some(204));
        assert_eq!(report.evidence.reused_connection, round > 0);
    }
    assert_eq!(server.seen.connections(), 1);
}

/// What follows an answer, at once or a moment later, belongs to no call: the connection is given up before the
/// next one writes a byte.
#[tokio::test]
async fn what_follows_an_answer_is_never_taken_for_the_next_one() {
    type After = (&'static str, &'static [u8]);
    let rows: [After; 4] = [
        ("garbage", b"\x00\x01garbage"),
        ("a body longer than announced", b"!"),
        ("an empty line", b"\r\n"),
        ("another answer", b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nno"),
    ];
    for (name, bytes) in rows {
        for later in [false, true] {
            let server = Server::run(move |p| {
                while p.read_request().is_some() {
                    if later {
                        p.write(OK);
                        pause(std::time::Duration::from_millis(5));
                        p.write(bytes);
                    } else {
                        p.write(&[OK, bytes].concat());
                    }
                    p.done();
                }
            });
            let wire = wire();
            for round in 0..4 {
                let report = exchange(&wire, &server.target(), "/p").await;
                let Exchange::Reply(reply) = &report.exchange else { panic!("{name}: {report:?}") };
                assert_eq!(
                    (reply.status, reply.body.as_slice()),
                    (200, b"ok".as_slice()),
                    "{name}"
                );
                assert!(!report.evidence.reused_connection, "{name}, later: {later}");
                assert_eq!(server.seen.requests().len(), round + 1, "{name}, later: {later}");
                server.seen.wait_until_done(round + 1);
            }
        }
    }
}

#[tokio::test]
async fn an_answer_that_comes_before_the_request_is_wholly_sent_is_an_answer() {
    let server = Server::run(|p| {
        p.read_some(1000);
        p.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno");
        pause(std::time::Duration::from_millis(200));
    });
    let (wire, target) = (wire(), server.target());
    let report = wire.exchange(&target, call_with("/p", &[], vec![b'x'; 16 << 20]), soon()).await;
    assert_eq!(status(&report.exchange), Some(413), "{report:?}");
    assert!(report.evidence.request_bytes < 16 << 20, "{report:?}");
    let next = wire.exchange(&target, call_with("/p", &[], vec![b'x'; 2000]), soon()).await;
    assert!(
        !next.evidence.reused_connection,
        "the rest of a request would be read as the next one"
    );
}

#[tokio::test]
async fn a_second_answer_is_never_taken_for_the_next_call() {
    let twice = [OK, b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nno"].concat();
    let server = answers(twice);
    let wire = wire();
    for _ in 0..5 {
        let report = exchange(&wire, &server.target(), "/p").await;
        assert_eq!(status(&report.exchange), Some(200));
        assert!(!report.evidence.reused_connection);
    }
    assert_eq!(server.seen.connections(), 5);
}
