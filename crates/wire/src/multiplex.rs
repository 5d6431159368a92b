//! One HTTP/2 connection, shared by the calls of one account to one origin.
//!
//! `h2` reads and writes the protocol; what it does is watched from below (module `ledger`), because it may
//! hold a request back for as long as it likes. Guarantees: no more streams than we and the provider allow,
//! so none waits inside the library; a call that ends early, also by being dropped, resets its own stream and
//! no other; a failed call that left no byte behind retires the connection, so it is not tried there again;
//! nothing is sent twice.
//!
//! Unlike an HTTP/1.1 connection, this one is moved by a task of its own. It ends when the provider closes,
//! when the connection has been idle for too long, when the last who could use it is gone, or when a
//! connection that has said nothing for a while does not answer a ping either.
//!
//! What is shared is also lost together: a connection that breaks leaves every call on it in doubt. That is
//! why the number of streams is small, and why the breaker is told once per connection.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use baton_connect::HttpReply;
use bytes::Bytes;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, Reason, SendStream};
use http::header;
use tokio::time::{Instant, timeout, timeout_at};

use crate::Failure;
use crate::clock::now;
use crate::conn::{Bounds, MAX_HEAD_BYTES, Trip, readable};
use crate::ledger::{Framed, Ledger};
use crate::request::Prepared;
use crate::socket::Transport;

/// What the provider may send on all streams together before we have read any of it.
const CONNECTION_WINDOW: u32 = 4 << 20;

/// The least and the most that it may send on one: HTTP/2's own default, and a long answer.
const STREAM_WINDOW_MIN: usize = (1 << 16) - 1;
const STREAM_WINDOW_MAX: usize = 1 << 20;

/// How a connection is used and kept.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) max_streams: usize,
    pub(crate) max_reply_bytes: usize,
    pub(crate) idle_timeout: Duration,
    /// Silence after which a ping is sent, and silence after a ping that means death.
    pub(crate) ping: Duration,
}

pub(crate) struct Shared {
    opener: Mutex<Opener>,
    ledger: Arc<Ledger>,
    life: Arc<Life>,
    max_streams: usize,
}

struct Opener {
    sender: SendRequest<Bytes>,
    /// The number that the library will give the next stream.
    next: u32,
}

/// What the calls and the connection's task tell each other.
struct Life(Mutex<State>);

struct State {
    active: usize,
    /// Since when nothing is active.
    idle_since: Instant,
    /// No further call begins here.
    retired: bool,
    /// A call has failed with the whole connection.
    blamed: bool,
}

/// The right to one stream.
pub(crate) struct Slot {
    shared: Arc<Shared>,
    stream: Option<u32>,
}

impl Shared {
    /// Greets and waits to be greeted: then the provider's limits are known.
    ///
    /// # Errors
    /// The connection ended, or what came is not HTTP/2.
    pub(crate) async fn connect(
        transport: Transport,
        early: Bytes,
        terms: Terms,
    ) -> Result<Arc<Self>, Failure> {
        let ledger = Arc::new(Ledger::new());
        let window = terms.max_reply_bytes.clamp(STREAM_WINDOW_MIN, STREAM_WINDOW_MAX);
        let io = Framed::new(transport, early, Arc::clone(&ledger));
        let (sender, mut connection) = Builder::new()
            .enable_push(false)
            .initial_window_size(u32::try_from(window).unwrap_or(CONNECTION_WINDOW))
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
            .handshake(io)
            .await
            .map_err(|_| Failure::Broken)?;
        std::future::poll_fn(|cx| {
            let ended = Pin::new(&mut connection).poll(cx).is_ready();
            match (ended, ledger.greeted()) {
                (true, _) => Poll::Ready(Err(Failure::Broken)),
                (false, true) => Poll::Ready(Ok(())),
                (false, false) => Poll::Pending,
            }
        })
        .await?;
        let state = State { active: 0, idle_since: now(), retired: false, blamed: false };
        let life = Arc::new(Life(Mutex::new(state)));
        spawn(drive(connection, Arc::clone(&life), Arc::clone(&ledger), terms));
        let opener = Mutex::new(Opener { sender, next: 1 });
        Ok(Arc::new(Self { opener, ledger, life, max_streams: terms.max_streams }))
    }

    /// Whether a call may still begin here, now or when another has ended.
    pub(crate) fn usable(&self) -> bool {
        !self.life.lock().retired && !self.ledger.closing()
    }

    /// A place for one call, if there is one.
    pub(crate) fn slot(self: &Arc<Self>) -> Option<Slot> {
        if !self.usable() {
            return None;
        }
        let theirs = self.opener().sender.current_max_send_streams();
        let mut state = self.life.lock();
        if state.active >= self.max_streams.min(theirs) {
            return None;
        }
        state.active += 1;
        drop(state);
        Some(Slot { shared: Arc::clone(self), stream: None })
    }

    /// Hands a request to the library. It may leave from here on.
    fn open(
        &self,
        request: &Prepared,
        send_by: Instant,
    ) -> Option<(u32, ResponseFuture, SendStream<Bytes>)> {
        let (request, body) = request.build_http2()?;
        let mut opener = self.opener();
        let stream = opener.next;
        // Before the library has it: the connection's task may write at once.
        self.ledger.open(stream, send_by);
        match opener.sender.send_request(request, body.is_empty()) {
            Ok((response, mut sending)) if sending.stream_id().as_u32() == stream => {
                opener.next = stream.saturating_add(2);
                // Refused only where the stream has ended already, which the answer will tell.
                let _ended = body.is_empty() || sending.send_data(body, true).is_ok();
                Some((stream, response, sending))
            }
            Ok(_) | Err(_) => {
                self.ledger.close(stream);
                None
            }
        }
    }

    fn opener(&self) -> MutexGuard<'_, Opener> {
        self.opener.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Sends the request and reads the answer.
    pub(crate) async fn round_trip(mut self, request: &Prepared, bounds: Bounds) -> Trip {
        let deadline = now() + bounds.answer_timeout;
        let shared = Arc::clone(&self.shared);
        let Some((stream, response, sending)) = shared.open(request, bounds.send_by) else {
            shared.life.retire();
            return Trip::failed(Failure::Broken);
        };
        self.stream = Some(stream);
        let result = {
            let mut answer = pin!(answer(response, &shared.ledger, stream, bounds.max_reply_bytes));
            match timeout_at(bounds.send_by.min(deadline), answer.as_mut()).await {
                Ok(result) => result,
                Err(_) if shared.ledger.close_unless_begun(stream) => {
                    Err(Fault::ours(Failure::Late))
                }
                Err(_) => timeout_at(deadline, answer)
                    .await
                    .unwrap_or(Err(Fault::ours(Failure::TimedOut))),
            }
        };
        let tally = shared.ledger.close(stream);
        // What is still open is reset here.
        drop(sending);
        let told = matches!(&result, Err(fault) if fault.of_connection) && shared.life.blame();
        let result = result.map_err(|fault| match tally.refused {
            Some(why) => why,
            None if tally.begun && tally.unprocessed => Failure::Unprocessed,
            None => fault.failure,
        });
        if result.is_err() && !tally.begun {
            shared.life.retire();
        }
        // A byte of the request has left even if its frame's head has not left whole.
        let request_bytes = tally.written.max(u64::from(tally.begun));
        Trip { result, request_bytes, reply_bytes: tally.read, conn: None, told }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(stream) = self.stream {
            self.shared.ledger.close(stream);
        }
        let mut state = self.shared.life.lock();
        state.active = state.active.saturating_sub(1);
        if state.active == 0 {
            state.idle_since = now();
        }
    }
}

impl Life {
    /// Notes a failure of the connection, and says whether it was noted before.
    fn blame(&self) -> bool {
        std::mem::replace(&mut self.lock().blamed, true)
    }

    fn retire(&self) {
        self.lock().retired = true;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(
    response: ResponseFuture,
    ledger: &Ledger,
    stream: u32,
    max_reply_bytes: usize,
) -> Result<HttpReply, Fault> {
    let (head, mut body) = response.await.map_err(|error| Fault::of(&error))?.into_parts();
    let announced = head
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok())
        .unwrap_or(0);
    if announced > max_reply_bytes {
        return Err(Fault::ours(Failure::TooLarge));
    }
    let mut bytes = Vec::with_capacity(announced);
    while let Some(data) = body.data().await {
        let data = data.map_err(|error| Fault::of(&error))?;
        if bytes.len().saturating_add(data.len()) > max_reply_bytes {
            return Err(Fault::ours(Failure::TooLarge));
        }
        bytes.extend_from_slice(&data);
        // Refused only when the stream has ended: then there is nobody to tell.
        let _ended = body.flow_control().release_capacity(data.len());
    }
    // A trailer is read and left, as in HTTP/1.1.
    body.trailers().await.map_err(|error| Fault::of(&error))?;
    // The library agrees, or the answer would have failed above: whole is what both say is whole.
    if !ledger.ended(stream) {
        return Err(Fault::ours(Failure::Broken));
    }
    Ok(HttpReply { status: head.status.as_u16(), headers: readable(&head.headers), body: bytes })
}

/// What ended an exchange.
struct Fault {
    failure: Failure,
    /// Whether every call on the connection ends with it.
    of_connection: bool,
}

impl Fault {
    fn ours(failure: Failure) -> Self {
        Self { failure, of_connection: false }
    }

    /// What the library found wrong itself is not HTTP/2; the rest is the connection's or the provider's
    /// doing.
    fn of(error: &h2::Error) -> Self {
        let found_wrong = error.is_library() && error.reason() != Some(Reason::NO_ERROR);
        let failure = if found_wrong { Failure::NotHttp } else { Failure::Broken };
        Self { failure, of_connection: !error.is_reset() }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "it decides nothing and need not be waited for: it ends with the last who uses the connection"
)]
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

/// Moves the connection's bytes until it ends, in one of the ways that the module names.
async fn drive(
    mut connection: Connection<Framed, Bytes>,
    life: Arc<Life>,
    ledger: Arc<Ledger>,
    terms: Terms,
) {
    let mut pings = connection.ping_pong();
    let tick = (terms.ping.min(terms.idle_timeout) / 4).max(Duration::from_millis(10));
    let mut asked = None;
    while timeout(tick, &mut connection).await.is_err() {
        let (active, idle_for) = {
            let state = life.lock();
            (state.active > 0, now() - state.idle_since)
        };
        if !active && (idle_for >= terms.idle_timeout || ledger.closing()) {
            break;
        }
        if now() - ledger.heard() < terms.ping {
            asked = None;
            continue;
        }
        match asked {
            None => {
                ping(pings.as_mut());
                asked = Some(now());
            }
            Some(since) if now() - since >= terms.ping => {
                tracing::warn!(active, "a connection answers no ping and is given up");
                break;
            }
            Some(_) => {}
        }
    }
    // First, so that no call begins on what is about to go.
    life.retire();
    drop(connection);
}

fn ping(pings: Option<&mut PingPong>) {
    let Some(pings) = pings else { return };
    // The answer to an earlier one is cleared away; only one may be on its way.
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let _earlier = pings.poll_pong(&mut cx);
    let _on_its_way = pings.send_ping(Ping::opaque());
}
