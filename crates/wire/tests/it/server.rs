//! A provider that does what a script says, and what a test needs to call it.
//!
//! Blocking sockets and threads, so that a paused clock or a busy runtime in the test cannot change what
//! the provider does. It counts connections and records every request of which a byte arrived.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use baton_connect::{Filled, Method};
use baton_types::AccountId;
use baton_types::outcome::{Doubt, NotSent};
use baton_wire::{BaseUrl, Exchange, Policy, Report, Target, Wire, WireConfig};
use socket2::SockRef;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// An answer that keeps the connection.
pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// What arrived at a provider.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<(usize, Vec<String>)>>, Arc<AtomicUsize>);

impl Seen {
    pub(crate) fn connections(&self) -> usize {
        self.0.lock().unwrap().0
    }

    /// Blocks until scripts have said [`Peer::done`] so many times in all: what they wrote is with us then.
    pub(crate) fn wait_until_done(&self, times: usize) {
        while self.1.load(Ordering::SeqCst) < times {
            pause(Duration::from_millis(1));
        }
    }

    /// Head and body of every request of which a byte was read, in order.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.0.lock().unwrap().1.clone()
    }
}

/// A provider.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) seen: Seen,
}

/// What a script reads and writes.
pub(crate) trait Stream: Read + Write {
    /// Says that no more follows, as the protocol says it.
    fn end(&mut self);
}

impl Stream for TcpStream {
    fn end(&mut self) {
        let _ = self.shutdown(std::net::Shutdown::Write);
    }
}

/// One connection, from the provider's side.
pub(crate) struct Peer {
    pub(crate) stream: Box<dyn Stream>,
    socket: TcpStream,
    seen: Seen,
    /// How many connections came before.
    pub(crate) index: usize,
}

impl Server {
    /// Runs the script once per connection, each in a thread of its own.
    pub(crate) fn run(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        Self::run_on(|socket| Ok(Box::new(socket)), script)
    }

    /// The same with something between socket and script, such as TLS.
    pub(crate) fn run_on(
        wrap: impl Fn(TcpStream) -> std::io::Result<Box<dyn Stream>> + Send + Sync + 'static,
        script: impl Fn(&mut Peer) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Seen::default();
        let (shared, for_thread) = (Arc::new((wrap, script)), seen.clone());
        std::thread::spawn(move || {
            for index in 0.. {
                let Ok((socket, _)) = listener.accept() else { return };
                let (shared, seen) = (Arc::clone(&shared), for_thread.clone());
                seen.0.lock().unwrap().0 += 1;
                std::thread::spawn(move || {
                    socket.set_nodelay(true).unwrap();
                    let Ok(raw) = socket.try_clone() else { return };
                    let Ok(stream) = (shared.0)(socket) else { return };
                    (shared.1)(&mut Peer { stream, socket: raw, seen, index });
                });
            }
        });
        Self { port, seen }
    }

    pub(crate) fn target(&self) -> Target {
        target(&format!("http://127.0.0.1:{}", self.port))
    }
}

impl Peer {
    /// Reads a whole request. `None` at the end of the connection, also in the middle of a request, which
    /// is recorded all the same.
    pub(crate) fn read_request(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        let mut chunk = [0; 4096];
        let mut recorded = None;
        loop {
            let arrived = match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(arrived) => arrived,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return None,
            };
            bytes.extend_from_slice(&chunk[..arrived]);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let whole = is_whole(&text);
            let mut seen = self.seen.0.lock().unwrap();
            match recorded {
                None => {
                    recorded = Some(seen.1.len());
                    seen.1.push(text.clone());
                }
                Some(index) => seen.1[index].clone_from(&text),
            }
            if whole {
                return Some(text);
            }
        }
    }

    pub(crate) fn done(&self) {
        self.seen.1.fetch_add(1, Ordering::SeqCst);
    }

    /// Records the beginning of a request, and returns its place for [`Peer::record_more`].
    pub(crate) fn record(&mut self, text: &str) -> usize {
        let mut seen = self.seen.0.lock().unwrap();
        seen.1.push(text.to_owned());
        seen.1.len() - 1
    }

    pub(crate) fn record_more(&mut self, place: usize, text: &str) {
        self.seen.0.lock().unwrap().1[place].push_str(text);
    }

    /// Reads this many bytes of a request and records them.
    pub(crate) fn read_some(&mut self, count: usize) {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).unwrap();
        self.seen.0.lock().unwrap().1.push(String::from_utf8_lossy(&bytes).into_owned());
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        // The client may be gone already: that is part of some scripts.
        let _ = self.stream.write_all(bytes).and_then(|()| self.stream.flush());
    }

    /// Closes with a reset instead of an end.
    pub(crate) fn reset(&mut self) {
        SockRef::from(&self.socket).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Ends both directions of the TCP connection, whatever is above it.
    pub(crate) fn cut(&mut self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |value| value.parse::<usize>().unwrap());
    body.len() >= length
}

/// A provider that works.
pub(crate) fn answer_all(peer: &mut Peer) {
    while peer.read_request().is_some() {
        peer.write(OK);
    }
}

/// Blocks the provider's thread.
#[allow(clippy::disallowed_methods, reason = "the provider's own thread, not the runtime's")]
pub(crate) fn pause(span: Duration) {
    std::thread::sleep(span);
}

pub(crate) fn target(base_url: &str) -> Target {
    Target {
        account: AccountId::from_parts(1, [1; 10]),
        base_url: BaseUrl::parse(base_url, Policy::PlainHttpAllowed).unwrap(),
        breaker: false,
        identity: None,
    }
}

/// A wire with short times.
pub(crate) fn wire() -> Wire {
    Wire::new(config()).unwrap()
}

pub(crate) fn config() -> WireConfig {
    WireConfig { answer_timeout: Duration::from_millis(400), ..WireConfig::default() }
}

pub(crate) fn call(path: &str) -> Filled {
    call_with(path, &[], br#"{"amount":1000}"#.to_vec())
}

pub(crate) fn call_with(path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Filled {
    Filled {
        method: Method::Post,
        path: path.to_owned(),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Zeroizing::new((*value).to_owned())))
            .collect(),
        content_type: Some("application/json"),
        body: Zeroizing::new(body),
    }
}

pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

pub(crate) async fn exchange(wire: &Wire, target: &Target, path: &str) -> Report {
    let report = wire.exchange(target, call(path), soon()).await;
    assert_sound(&report);
    report
}

/// What must hold of every report.
pub(crate) fn assert_sound(report: &Report) {
    let left = report.evidence.request_bytes > 0;
    match &report.exchange {
        // The provider's own word: it did not process what had left.
        Exchange::NotSent(NotSent::StreamRefused) => {}
        Exchange::NotSent(_) => assert!(!left, "{report:?}"),
        Exchange::Reply(_) | Exchange::Lost(_) => assert!(left, "{report:?}"),
    }
    assert!(report.evidence.connect_us <= report.evidence.total_us, "{report:?}");
}

pub(crate) fn lost(why: Doubt) -> Exchange {
    Exchange::Lost(why)
}

pub(crate) fn not_sent(why: NotSent) -> Exchange {
    Exchange::NotSent(why)
}

pub(crate) fn status(exchange: &Exchange) -> Option<u16> {
    match exchange {
        Exchange::Reply(reply) => Some(reply.status),
        Exchange::NotSent(_) | Exchange::Lost(_) => None,
    }
}
