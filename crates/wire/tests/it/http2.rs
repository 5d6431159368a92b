//! HTTP/2 with providers that break it in every place where it can break.

use std::time::Duration;

use baton_types::outcome::{Doubt, NotSent};
use baton_wire::{Exchange, Wire, WireConfig};

use crate::frame_server::*;
use crate::server::*;
use crate::tls::{Authority, secure};

type Script = fn(&mut Frames<'_>);

fn wire_for(authority: &Authority, change: impl FnOnce(&mut WireConfig)) -> Wire {
    let mut config = WireConfig { extra_roots: vec![authority.root.clone()], ..config() };
    change(&mut config);
    Wire::new(config).unwrap()
}

#[tokio::test]
async fn the_provider_chooses_and_a_pinned_host_is_not_asked() {
    let authority = Authority::new();
    let unpinned = authority.wire();
    let off = wire_for(&authority, |config| config.http2 = false);
    let pinned = wire_for(&authority, |config| config.http1_hosts = vec!["LocalHost".to_owned()]);
    let rows: [(&str, &Wire, &[&str], bool); 6] = [
        ("both", &unpinned, &["h2", "http/1.1"], true),
        ("only h2", &unpinned, &["h2"], true),
        ("only http/1.1", &unpinned, &["http/1.1"], false),
        ("neither", &unpinned, &[], false),
        ("switched off", &off, &["h2", "http/1.1"], false),
        ("pinned", &pinned, &["h2", "http/1.1"], false),
    ];
    for (name, wire, protocols, http2) in rows {
        let server = authority.server_that_speaks(
            protocols,
            "localhost",
            |_| {},
            move |peer| {
                if http2 {
                    let mut frames = Frames::new(peer);
                    frames.greet(&[]);
                    frames.answer_all();
                } else {
                    answer_all(peer);
                }
            },
        );
        for round in 0..3 {
            let report = exchange(wire, &secure(&server), "/p").await;
            assert_eq!(status(&report.exchange), Some(200), "{name}: {report:?}");
            assert_eq!(report.evidence.reused_connection, round > 0, "{name}");
            assert_eq!(report.evidence.connect_us > 0, round == 0, "{name}");
        }
        assert_eq!((server.seen.connections(), server.seen.requests().len()), (1, 3), "{name}");
        let request = &server.seen.requests()[0];
        assert_eq!(request.starts_with("POST /p HTTP/1.1"), !http2, "{name}: {request}");
        assert!(request.ends_with("{\"amount\":1000}"), "{name}: {request}");
    }
    // A pinned host that insists on HTTP/2 is a handshake without a common protocol.
    let insists = speaks_http2(&authority, &[], |f| f.answer_all());
    let report = exchange(&pinned, &secure(&insists), "/p").await;
    assert_eq!(report.exchange, not_sent(NotSent::TlsFailed));
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "it is a table")]
async fn every_failure_has_its_class_and_nothing_is_sent_again() {
    use Doubt::{AnswerCutShort, AnswerTimeout, ConnectionLost, Unreadable};
    let rows: [(&str, Script, Exchange); 28] = [
        ("close", |f| with(f, |_, _| {}), lost(ConnectionLost)),
        ("reset", |f| with(f, |f, _| f.peer.reset()), lost(ConnectionLost)),
        ("cut", |f| with(f, |f, _| f.peer.cut()), lost(ConnectionLost)),
        (
            "cut after the head",
            |f| {
                f.until(HEADERS);
                f.peer.cut();
            },
            lost(ConnectionLost),
        ),
        ("silent", |f| with(f, |f, _| drop(f.read())), lost(AnswerTimeout)),
        ("internal error", |f| with(f, |f, s| resets(f, s, INTERNAL_ERROR)), lost(ConnectionLost)),
        ("cancelled", |f| with(f, |f, s| resets(f, s, CANCEL)), lost(ConnectionLost)),
        (
            "reset without a reason",
            |f| with(f, |f, s| resets(f, s, NO_ERROR)),
            lost(ConnectionLost),
        ),
        (
            "refused",
            |f| with(f, |f, s| resets(f, s, REFUSED_STREAM)),
            not_sent(NotSent::StreamRefused),
        ),
        (
            "refused after the head",
            |f| {
                let stream = f.until(HEADERS).unwrap().stream;
                resets(f, stream, REFUSED_STREAM);
            },
            not_sent(NotSent::StreamRefused),
        ),
        (
            "answered, then refused",
            |f| {
                with(f, |f, s| {
                    f.head(s, 0, &code("200"));
                    resets(f, s, REFUSED_STREAM);
                })
            },
            lost(AnswerCutShort),
        ),
        (
            "103, then refused",
            |f| {
                with(f, |f, s| {
                    f.head(s, 0, &code("103"));
                    resets(f, s, REFUSED_STREAM);
                })
            },
            lost(AnswerCutShort),
        ),
        (
            "goes away, not having seen it",
            |f| with(f, |f, _| f.go_away(0, NO_ERROR)),
            not_sent(NotSent::StreamRefused),
        ),
        (
            "goes away in anger, not having seen it",
            |f| with(f, |f, _| f.go_away(0, INTERNAL_ERROR)),
            not_sent(NotSent::StreamRefused),
        ),
        (
            "goes away slowly",
            |f| {
                with(f, |f, _| {
                    f.go_away(0x7fff_ffff, NO_ERROR);
                    f.go_away(0, NO_ERROR);
                })
            },
            not_sent(NotSent::StreamRefused),
        ),
        (
            "goes away, having seen it",
            |f| with(f, |f, s| f.go_away(s, NO_ERROR)),
            lost(ConnectionLost),
        ),
        (
            "goes away in anger, having seen it",
            |f| with(f, |f, s| f.go_away(s, INTERNAL_ERROR)),
            lost(ConnectionLost),
        ),
        (
            "answers, then denies it",
            |f| {
                with(f, |f, s| {
                    f.head(s, 0, &code("200"));
                    f.go_away(0, NO_ERROR);
                })
            },
            lost(AnswerCutShort),
        ),
        (
            "head, then cut",
            |f| {
                with(f, |f, s| {
                    f.head(s, 0, &code("200"));
                    f.peer.cut();
                })
            },
            lost(AnswerCutShort),
        ),
        (
            "half a head, then cut",
            |f| {
                with(f, |f, s| {
                    let bytes = frame(HEADERS, 4, s, &code("200"));
                    f.peer.write(&bytes[..11]);
                    f.peer.cut();
                })
            },
            lost(AnswerCutShort),
        ),
        (
            "half a body, then cut",
            |f| {
                with(f, |f, s| {
                    f.head(s, 0, &[code("200"), length(8)].concat());
                    f.write(DATA, 0, s, b"half");
                    f.peer.cut();
                })
            },
            lost(AnswerCutShort),
        ),
        (
            "cut in the last frame",
            |f| {
                with(f, |f, s| {
                    f.head(s, 0, &code("200"));
                    let last = frame(DATA, END_STREAM, s, b"amount=1000");
                    f.peer.write(&last[..last.len() - 1]);
                    f.peer.cut();
                })
            },
            lost(AnswerCutShort),
        ),
        (
            "half a body, then nothing",
            |f| {
                with(f, |f, s| {
                    f.head(s, 0, &code("200"));
                    f.write(DATA, 0, s, b"half");
                    f.read();
                })
            },
            lost(AnswerCutShort),
        ),
        (
            "half a body, then reset without a reason",
            |f| {
                with(f, |f, s| {
                    f.head(s, 0, &code("200"));
                    f.write(DATA, 0, s, b"half");
                    resets(f, s, NO_ERROR);
                })
            },
            lost(AnswerCutShort),
        ),
        (
            "a body shorter than announced",
            |f| {
                with(f, |f, s| {
                    f.head(s, 0, &[code("200"), length(8)].concat());
                    f.write(DATA, END_STREAM, s, b"half");
                    f.read();
                })
            },
            lost(Unreadable),
        ),
        (
            "no status",
            |f| {
                with(f, |f, s| {
                    f.head(s, END_STREAM, &length(0));
                    f.read();
                })
            },
            lost(Unreadable),
        ),
        (
            "a head that cannot be decoded",
            |f| {
                with(f, |f, s| {
                    f.head(s, END_STREAM, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
                    f.read();
                })
            },
            lost(Unreadable),
        ),
        (
            "no frames",
            |f| {
                with(f, |f, _| {
                    f.peer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
                    f.read();
                })
            },
            lost(Unreadable),
        ),
    ];
    let authority = Authority::new();
    for (name, script, want) in rows {
        let server = speaks_http2(&authority, &[], script);
        let wire = authority.wire();
        let report = wire.exchange(&secure(&server), call("/p"), soon()).await;
        assert_eq!(report.exchange, want, "{name}: {report:?}");
        assert!(report.evidence.request_bytes > 0 && !report.evidence.reused_connection, "{name}");
        pause(Duration::from_millis(20));
        assert_eq!(server.seen.connections(), 1, "{name}: no second connection");
        assert_eq!(server.seen.requests().len(), 1, "{name}: no second request");
    }
}

/// Reads a request, does something, and lingers until the client has understood.
fn with(frames: &mut Frames<'_>, then: fn(&mut Frames<'_>, u32)) {
    if let Some(stream) = frames.request() {
        then(frames, stream);
    }
}

fn resets(frames: &mut Frames<'_>, stream: u32, code: u32) {
    frames.reset_stream(stream, code);
    frames.read();
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "it is a table")]
async fn a_whole_answer_is_read_as_it_was_sent() {
    let rows: [(&str, Script, u16, &str); 6] = [
        (
            "after 100 and 103",
            |f| {
                with(f, |f, s| {
                    f.head(s, 0, &code("100"));
                    f.head(s, 0, &code("103"));
                    f.answer(s);
                    f.read();
                })
            },
            200,
            "ok",
        ),
        (
            "with a trailer",
            |f| {
                with(f, |f, s| {
                    f.head(s, 0, &code("402"));
                    f.write(DATA, 0, s, b"no ");
                    f.write(DATA, 0, s, b"money");
                    f.head(s, END_STREAM, &location("t"));
                    f.read();
                })
            },
            402,
            "no money",
        ),
        (
            "without a body",
            |f| {
                with(f, |f, s| {
                    f.head(s, END_STREAM, &code("204"));
                    f.read();
                })
            },
            204,
            "",
        ),
        (
            "in one piece with the connection's end",
            |f| {
                with(f, |f, s| {
                    let head = frame(HEADERS, 4, s, &[code("200"), length(2)].concat());
                    f.peer.write(&[head, frame(DATA, END_STREAM, s, b"ok")].concat());
                    f.peer.stream.end();
                })
            },
            200,
            "ok",
        ),
        (
            "while going away",
            |f| {
                with(f, |f, s| {
                    f.go_away(s, NO_ERROR);
                    pause(Duration::from_millis(20));
                    f.answer(s);
                    f.read();
                })
            },
            200,
            "ok",
        ),
        (
            "before the request is wholly sent, and the rest is not wanted",
            |f| {
                let stream = f.until(HEADERS).unwrap().stream;
                let answer = [
                    frame(HEADERS, 4, stream, &code("200")),
                    frame(DATA, END_STREAM, stream, b"ok"),
                    frame(RST_STREAM, 0, stream, &NO_ERROR.to_be_bytes()),
                ];
                f.peer.write(&answer.concat());
                f.read();
            },
            200,
            "ok",
        ),
    ];
    let authority = Authority::new();
    for (name, script, status, body) in rows {
        // The window of the last row is too small for its request.
        let narrow: &'static [(u16, u32)] =
            if name.starts_with("before") { &[(INITIAL_WINDOW_SIZE, 4)] } else { &[] };
        let server = speaks_http2(&authority, narrow, script);
        let report = exchange(&authority.wire(), &secure(&server), "/p").await;
        let Exchange::Reply(reply) = report.exchange else { panic!("{name}: {report:?}") };
        assert_eq!((reply.status, reply.body.as_slice()), (status, body.as_bytes()), "{name}");
        assert_eq!((server.seen.connections(), server.seen.requests().len()), (1, 1), "{name}");
    }
}

#[tokio::test]
async fn redirects_are_answers_and_are_not_followed() {
    let authority = Authority::new();
    let elsewhere = speaks_http2(&authority, &[], |f| f.answer_all());
    let url = format!("https://localhost:{}/p", elsewhere.port);
    let server = speaks_http2(&authority, &[], move |f| {
        for status in ["301", "302", "303", "307", "308"] {
            if let Some(stream) = f.request() {
                f.head(stream, END_STREAM, &[code(status), location(&url)].concat());
            }
        }
        f.read();
    });
    let wire = authority.wire();
    for want in [301, 302, 303, 307, 308] {
        let report = exchange(&wire, &secure(&server), "/p").await;
        assert_eq!(status(&report.exchange), Some(want), "{report:?}");
    }
    pause(Duration::from_millis(30));
    assert_eq!((server.seen.connections(), server.seen.requests().len()), (1, 5));
    assert_eq!(elsewhere.seen.connections(), 0, "the body went nowhere else");
}

#[tokio::test]
async fn an_answer_over_the_bound_resets_its_stream_only() {
    let rows: [(&str, Script); 3] = [
        ("announced", |f| {
            with(f, |f, s| f.head(s, 0, &[code("200"), length(1001)].concat()));
        }),
        ("sent", |f| {
            with(f, |f, s| {
                f.head(s, 0, &code("200"));
                f.write(DATA, 0, s, &[b'x'; 1000]);
                f.write(DATA, END_STREAM, s, b"x");
            });
        }),
        ("endless", |f| {
            with(f, |f, s| {
                f.head(s, 0, &code("200"));
                for _ in 0..30 {
                    f.write(DATA, 0, s, &[b'x'; 1000]);
                }
            });
        }),
    ];
    let authority = Authority::new();
    for (name, script) in rows {
        let server = speaks_http2(&authority, &[], move |f| {
            script(f);
            f.answer_all();
        });
        let wire = wire_for(&authority, |config| config.max_reply_bytes = 1000);
        let report = exchange(&wire, &secure(&server), "/p").await;
        assert_eq!(report.exchange, lost(Doubt::AnswerCutShort), "{name}");
        assert!(report.evidence.total_us < 350_000, "{name}: at once, and not at the time limit");
        let next = exchange(&wire, &secure(&server), "/p").await;
        assert_eq!(status(&next.exchange), Some(200), "{name}");
        assert_eq!((server.seen.connections(), server.seen.requests().len()), (1, 2), "{name}");
    }
}

#[tokio::test]
async fn an_answer_longer_than_the_window_is_read_as_room_is_made() {
    let authority = Authority::new();
    let server = speaks_http2(&authority, &[], |f| {
        let Some(stream) = f.request() else { return };
        f.head(stream, 0, &code("200"));
        for _ in 0..5 {
            for _ in 0..40 {
                f.write(DATA, 0, stream, &[b'x'; 16 << 10]);
            }
            f.room(stream);
        }
        f.write(DATA, END_STREAM, stream, b"");
        f.read();
    });
    let wire = wire_for(&authority, |config| {
        config.max_reply_bytes = 4 << 20;
        config.answer_timeout = Duration::from_secs(5);
    });
    let report = exchange(&wire, &secure(&server), "/p").await;
    let Exchange::Reply(reply) = report.exchange else { panic!("{report:?}") };
    assert_eq!(reply.body.len(), 5 * 40 * (16 << 10));
}

/// Before a request may be sent the provider has to greet: then it speaks the protocol, and its limits are
/// known.
#[tokio::test]
async fn a_connection_without_a_greeting_gets_no_byte_of_the_request() {
    type Raw = fn(&mut Peer);
    let rows: [(&str, Raw, NotSent); 5] = [
        ("closes", |_| {}, NotSent::ClosedBeforeSending),
        ("resets", |p| p.reset(), NotSent::ClosedBeforeSending),
        ("says no more", |p| while p.read_request().is_some() {}, NotSent::ConnectTimeout),
        (
            "speaks HTTP/1.1",
            |p| {
                p.write(b"HTTP/1.1 400 Bad Request\r\n\r\n");
                p.read_request();
            },
            NotSent::ClosedBeforeSending,
        ),
        (
            "allows no stream",
            |p| {
                let mut frames = Frames::new(p);
                frames.greet(&[(MAX_CONCURRENT_STREAMS, 0)]);
                frames.read();
            },
            NotSent::ClosedBeforeSending,
        ),
    ];
    let authority = Authority::new();
    let wire = wire_for(&authority, |config| config.connect_timeout = Duration::from_millis(300));
    for (name, script, why) in rows {
        let server = authority.server_that_speaks(&["h2"], "localhost", |_| {}, script);
        let report = exchange(&wire, &secure(&server), "/p").await;
        assert_eq!(report.exchange, not_sent(why), "{name}: {report:?}");
        assert!(!server.seen.requests().iter().any(|text| text.contains("amount")), "{name}");
        assert_eq!(server.seen.connections(), 1, "{name}: a fresh connection is tried once");
    }
}
