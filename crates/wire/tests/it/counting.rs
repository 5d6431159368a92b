//! A provider that counts: whatever goes wrong, no request arrives twice.
//!
//! Every connection of it misbehaves in the next way of a long list, at the next request or so, while several
//! calls run at once. Each call has a name in its body; the provider counts every name of which a byte of a
//! request arrived, on any connection. What is claimed must agree with what was counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use baton_types::outcome::NotSent;
use baton_wire::{Exchange, Report, Target, Wire, WireConfig};

use crate::frame_server::*;
use crate::server::*;
use crate::tls::{Authority, secure};

const CALLS: usize = 400;
const AT_ONCE: usize = 8;

/// What a plain connection does after its last good answer.
const PLAIN: [fn(&mut Peer); 12] = [
    |_| {},
    |p| p.reset(),
    |p| drop(p.read_request()),
    |p| {
        p.read_request();
        p.reset();
    },
    |p| {
        p.read_some(1);
        p.reset();
    },
    |p| after(p, b""),
    |p| after(p, b"HTTP/1.1 200 OK\r\ncontent-le"),
    |p| after(p, b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"),
    |p| after(p, b"HTTP/1.1 307 Elsewhere\r\nlocation: /again\r\ncontent-length: 0\r\n\r\n"),
    |p| after(p, b"HTTP/1.1 503 Later\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n"),
    |p| after(p, b"HTTP/1.1 408 Slow\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"),
    |p| after(p, b"garbage\r\n\r\n"),
];

fn after(peer: &mut Peer, bytes: &[u8]) {
    peer.read_request();
    peer.write(bytes);
}

/// What an HTTP/2 connection does. Streams that it has read and not answered are given.
const FRAMES: [fn(&mut Frames<'_>, u32); 12] = [
    |_, _| {},
    |f, _| f.peer.reset(),
    |f, _| f.peer.cut(),
    |f, _| f.peer.stream.end(),
    |f, s| f.reset_stream(s, REFUSED_STREAM),
    |f, s| f.reset_stream(s, INTERNAL_ERROR),
    |f, s| f.go_away(s, NO_ERROR),
    |f, s| f.go_away(s.saturating_sub(2), NO_ERROR),
    |f, _| f.go_away(0, NO_ERROR),
    |f, s| f.head(s, 0, &code("200")),
    |f, s| f.head(s, END_STREAM, &[code("308"), location("/again")].concat()),
    |f, _| f.peer.write(b"garbage that is no frame at all"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_arrives_twice_over_http_1() {
    let server = Server::run(|p| {
        for _ in 0..p.index % 4 {
            if p.read_request().is_none() {
                return;
            }
            p.write(OK);
        }
        PLAIN[p.index % PLAIN.len()](p);
    });
    let wire = Wire::new(config()).unwrap();
    let target = server.target();
    count(wire, target, &server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_arrives_twice_over_http_2() {
    let authority = Authority::new();
    let server = speaks_http2(&authority, &[], |f| {
        for _ in 0..f.peer.index % 7 {
            f.answer_one();
        }
        if let Some(stream) = f.request() {
            FRAMES[f.peer.index % FRAMES.len()](f, stream);
        }
        // What comes after a `GOAWAY` or a reset is counted too.
        if f.peer.index.is_multiple_of(2) {
            for _ in 0..4 {
                f.request();
            }
        }
    });
    let config = WireConfig {
        extra_roots: vec![authority.root.clone()],
        answer_timeout: Duration::from_millis(150),
        ..config()
    };
    let target = secure(&server);
    count(Wire::new(config).unwrap(), target, &server).await;
}

async fn count(wire: Wire, target: Target, server: &Server) {
    let wire = Arc::new(wire);
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..AT_ONCE {
        let (wire, target) = (Arc::clone(&wire), target.clone());
        tasks.spawn(async move {
            let mut reports = Vec::new();
            for index in (worker..CALLS).step_by(AT_ONCE) {
                let name = name(index);
                let call = call_with("/p", &[], name.clone().into_bytes());
                let report = wire.exchange(&target, call, soon()).await;
                assert_sound(&report);
                reports.push((name, report));
            }
            reports
        });
    }
    let reports: Vec<(String, Report)> = tasks.join_all().await.into_iter().flatten().collect();
    // What is on its way arrives.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let requests = server.seen.requests();
    let mut arrived: HashMap<&str, usize> = HashMap::new();
    for (name, _) in &reports {
        let times = requests.iter().filter(|text| text.contains(name.as_str())).count();
        arrived.insert(name, times);
    }
    let mut classes: HashMap<String, usize> = HashMap::new();
    let (mut replies, mut proven) = (0, 0);
    for (name, report) in &reports {
        let times = arrived[name.as_str()];
        assert!(times <= 1, "{name} arrived {times} times: {report:?}");
        match &report.exchange {
            Exchange::Reply(_) => {
                replies += 1;
                assert_eq!(times, 1, "{name}: {report:?}");
            }
            // Turned away: it may have arrived, and was not processed.
            Exchange::NotSent(NotSent::StreamRefused) => {}
            Exchange::NotSent(_) => {
                proven += 1;
                assert_eq!(times, 0, "{name}: {report:?}");
            }
            Exchange::Lost(_) => {}
        }
        let class = match &report.exchange {
            Exchange::Reply(reply) => format!("{}", reply.status),
            Exchange::NotSent(why) => why.as_str().to_owned(),
            Exchange::Lost(why) => why.as_str().to_owned(),
        };
        *classes.entry(class).or_default() += 1;
    }
    // Requests of which the body did not arrive have no name; with them there are no more than calls that
    // sent something.
    let sent = reports.iter().filter(|(_, report)| report.evidence.request_bytes > 0).count();
    assert!(requests.len() <= sent, "{} arrived of {sent} that were sent", requests.len());
    assert!(replies > CALLS / 8 && classes.len() > 5, "{classes:?}, {proven} not sent");
}

/// Of one length, so that none is a part of another.
fn name(index: usize) -> String {
    format!("call-{index:06}")
}
