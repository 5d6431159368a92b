//! A request that waits in the library, behind one that fills the socket.
//!
//! The provider reads the head of a large request and then nothing until it is let: by then the socket is full,
//! and the next request cannot leave.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use baton_types::outcome::{Doubt, NotSent};
use baton_wire::{Report, Target, Wire};
use tokio::time::{Instant, sleep, timeout};

use crate::frame_server::*;
use crate::http2_shared::{warm, wire_for};
use crate::server::*;
use crate::tls::{Authority, secure};

/// Long enough for a socket to fill, also on a machine that does much else.
const FILLING: Duration = Duration::from_millis(700);

struct Queue {
    wire: Wire,
    server: Server,
    target: Target,
    /// Lets the provider go on.
    go_on: Arc<AtomicBool>,
}

impl Queue {
    /// The provider goes on as `then` says, on the first connection; on others it answers.
    async fn new(then: fn(&mut Frames<'_>)) -> Self {
        const WIDE: &[(u16, u32)] = &[(INITIAL_WINDOW_SIZE, 64 << 20)];
        let authority = Authority::new();
        let go_on = Arc::new(AtomicBool::new(false));
        let may = Arc::clone(&go_on);
        let server = speaks_http2(&authority, WIDE, move |f| {
            if let Some(stream) = f.request() {
                f.write(WINDOW_UPDATE, 0, 0, &(64_u32 << 20).to_be_bytes());
                f.answer(stream);
            }
            if f.peer.index > 0 {
                return f.answer_all();
            }
            f.until(HEADERS);
            while !may.load(Ordering::SeqCst) {
                pause(Duration::from_millis(1));
            }
            then(f);
        });
        let wire = wire_for(&authority, |config| config.answer_timeout = 3 * FILLING);
        warm(&wire, &server).await;
        let target = secure(&server);
        Self { wire, server, target, go_on }
    }

    /// A call that fills the socket, and the other when it is full.
    async fn behind<T>(&self, other: impl Future<Output = T>) -> (Report, T) {
        let body = vec![b'x'; 32 << 20];
        let large = self.wire.exchange(&self.target, call_with("/large", &[], body), soon());
        let other = async {
            sleep(FILLING).await;
            other.await
        };
        let (large, other) = tokio::join!(large, other);
        assert!(large.evidence.request_bytes > 1000, "{large:?}");
        (large, other)
    }

    fn let_it_go_on(&self) {
        self.go_on.store(true, Ordering::SeqCst);
    }
}

/// Its time passes: it is not sent, and never will be, although the library still holds it and the provider
/// reads again.
#[tokio::test]
async fn a_request_whose_time_passes_in_the_queue_never_leaves() {
    let queue = Queue::new(|f| f.answer_all()).await;
    let (wire, target) = (&queue.wire, &queue.target);
    let late = async {
        let send_by = Instant::now() + Duration::from_millis(50);
        let late = wire.exchange(target, call("/late"), send_by).await;
        queue.let_it_go_on();
        late
    };
    let (_, late) = queue.behind(late).await;
    assert_eq!(late.exchange, not_sent(NotSent::TooLate), "{late:?}");
    assert!(late.evidence.reused_connection && late.evidence.request_bytes == 0, "{late:?}");
    let requests = queue.server.seen.requests();
    assert_eq!(requests.len(), 2, "warm and large");
    assert!(!requests[1].contains("amount"), "the late one is nowhere");

    let next = exchange(wire, target, "/next").await;
    assert_eq!(status(&next.exchange), Some(200), "another connection serves: {next:?}");
    assert_eq!(queue.server.seen.connections(), 2);
}

/// The caller gives up: the library would send its head, and a reset after it.
#[tokio::test]
async fn a_request_that_is_dropped_in_the_queue_never_leaves() {
    let queue = Queue::new(|f| f.answer_all()).await;
    let (wire, target) = (&queue.wire, &queue.target);
    let dropped = async {
        let exchange = wire.exchange(target, call("/dropped"), soon());
        let dropped = timeout(Duration::from_millis(50), exchange).await;
        queue.let_it_go_on();
        dropped
    };
    let (_, dropped) = queue.behind(dropped).await;
    assert!(dropped.is_err(), "{dropped:?}");
    assert_eq!(queue.server.seen.requests().len(), 2, "warm and large");
}

/// The provider closes: nothing of the waiting request had left, so it goes by another connection, and arrives
/// once.
#[tokio::test]
async fn a_request_in_the_queue_of_a_connection_that_closes_is_sent_elsewhere_once() {
    let queue = Queue::new(|f| f.peer.reset()).await;
    let waiting = async {
        let waiting = exchange(&queue.wire, &queue.target, "/waiting");
        let closing = async {
            sleep(Duration::from_millis(50)).await;
            queue.let_it_go_on();
        };
        tokio::join!(waiting, closing).0
    };
    let (large, waiting) = queue.behind(waiting).await;
    assert_eq!(large.exchange, lost(Doubt::ConnectionLost), "{large:?}");
    assert_eq!(status(&waiting.exchange), Some(200), "{waiting:?}");
    let with_its_body = |text: &&String| text.contains("amount");
    let requests = queue.server.seen.requests();
    let arrived = requests.iter().skip(1).filter(with_its_body).count();
    assert_eq!((arrived, queue.server.seen.connections()), (1, 2));
}
