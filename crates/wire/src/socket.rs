//! An HTTP/1.1 connection that counts, and the gate before the first byte of a request.
//!
//! This is where `NotSent` gets its proof. Every byte to a provider passes [`Metered::poll_write`] or its
//! vectored twin, and none passes before a request has been armed. With the first write of a request, in
//! the same call and with nothing awaited in between, the gate reads the clock and asks the operating
//! system whether the provider has closed: the latest moment at which stopping still proves something.
//!
//! What the count means: on a plain socket, the bytes that the kernel took. Under TLS, the bytes that the
//! TLS layer took; a write that fails there may have sent a part, so all of it is counted. The count is
//! never below what left.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use crate::Failure;
use crate::clock::now;

/// What carries the bytes.
pub(crate) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What waits in the operating system to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peek {
    /// Nothing yet.
    Silence,
    /// At least a byte.
    Bytes,
    /// The end, or an error.
    End,
}

/// A transport whose bytes are counted and whose first write is guarded.
pub(crate) struct Metered {
    transport: Transport,
    meter: Arc<Meter>,
}

/// The counters and the gate, shared with whoever drives the connection.
pub(crate) struct Meter(Mutex<Reading>);

struct Reading {
    written: u64,
    read: u64,
    gate: Gate,
    /// Whether this connection has carried an exchange.
    used: bool,
}

#[derive(Clone, Copy)]
enum Gate {
    /// Between requests. Nothing may be written.
    Shut,
    /// A request waits for its first write.
    Armed { send_by: Instant },
    /// Its first write was let through.
    Open,
    /// Its first write was refused. Nothing may be written any more.
    Refused(Failure),
}

impl Metered {
    pub(crate) fn new(transport: Transport) -> Self {
        let reading = Reading { written: 0, read: 0, gate: Gate::Shut, used: false };
        Self { transport, meter: Arc::new(Meter(Mutex::new(reading))) }
    }

    pub(crate) fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter)
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self.transport, Transport::Tls(_))
    }

    /// Lets a write through or not; the first of a request only while it is in time and the provider
    /// listens.
    fn gate(&self) -> io::Result<()> {
        let mut reading = self.meter.lock();
        let refusal = match reading.gate {
            Gate::Open => return Ok(()),
            Gate::Shut => Some(Failure::Broken),
            Gate::Refused(why) => Some(why),
            Gate::Armed { send_by } if now() >= send_by => Some(Failure::Late),
            Gate::Armed { .. } => self.transport.hung_up(reading.used).then_some(Failure::Broken),
        };
        match refusal {
            Some(why) => {
                reading.gate = Gate::Refused(why);
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            None => {
                reading.gate = Gate::Open;
                reading.used = true;
                Ok(())
            }
        }
    }

    fn count(&self, result: &Poll<io::Result<usize>>, len: usize) {
        let taken = may_have_left(result, len, self.is_tls());
        let mut reading = self.meter.lock();
        reading.written = reading.written.saturating_add(taken as u64);
    }
}

/// How many bytes of a write of `len` bytes may have left.
pub(crate) fn may_have_left(result: &Poll<io::Result<usize>>, len: usize, tls: bool) -> usize {
    match result {
        Poll::Ready(Ok(taken)) => *taken,
        // One write may become several records, of which the last could not be written.
        Poll::Ready(Err(_)) if tls => len,
        Poll::Ready(Err(_)) | Poll::Pending => 0,
    }
}

impl Transport {
    /// Whether the provider has closed, or said something before it was asked.
    ///
    /// The operating system is asked directly: the runtime may not have heard of a close yet. A fresh TLS
    /// connection may have session tickets waiting; on a used one any byte can only be an end.
    fn hung_up(&self, used: bool) -> bool {
        let may_hold_tickets = matches!(self, Self::Tls(_)) && !used;
        match self.peek() {
            Peek::Silence => false,
            Peek::Bytes => !may_hold_tickets,
            Peek::End => true,
        }
    }

    /// What the operating system holds for us to read.
    pub(crate) fn peek(&self) -> Peek {
        let socket = match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.get_ref().0,
        };
        let mut byte = [MaybeUninit::uninit()];
        match SockRef::from(socket).peek(&mut byte) {
            Ok(0) => Peek::End,
            Ok(_) => Peek::Bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Peek::Silence,
            Err(_) => Peek::End,
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl Meter {
    /// Starts a request: its bytes are counted from zero, its first write must come before `send_by`.
    pub(crate) fn arm(&self, send_by: Instant) {
        let mut reading = self.lock();
        (reading.written, reading.read, reading.gate) = (0, 0, Gate::Armed { send_by });
    }

    /// Ends a request whose answer was read: nothing may be written until the next.
    pub(crate) fn disarm(&self) {
        self.lock().gate = Gate::Shut;
    }

    /// Bytes written and read since the request was armed.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let reading = self.lock();
        (reading.written, reading.read)
    }

    /// Why the gate refused the first write, if it did.
    pub(crate) fn refusal(&self) -> Option<Failure> {
        match self.lock().gate {
            Gate::Refused(why) => Some(why),
            Gate::Shut | Gate::Armed { .. } | Gate::Open => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Reading> {
        // Never contended: one task owns the connection. Nothing panics while holding it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.gate()?;
        let result = Pin::new(&mut this.transport).poll_write(cx, bytes);
        this.count(&result, bytes.len());
        result
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.gate()?;
        let result = Pin::new(&mut this.transport).poll_write_vectored(cx, slices);
        this.count(&result, slices.iter().map(|slice| slice.len()).sum());
        result
    }

    /// True, so that `hyper` hands over the body's own buffer instead of copying it.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_shutdown(cx)
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let result = Pin::new(&mut this.transport).poll_read(cx, buffer);
        let arrived = buffer.filled().len().saturating_sub(before);
        let mut reading = this.meter.lock();
        reading.read = reading.read.saturating_add(arrived as u64);
        result
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Both ends of a connection; the provider's is blocking and may be ended without the runtime.
    async fn pair() -> (Metered, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Metered::new(Transport::Plain(ours)), listener.accept().unwrap().0)
    }

    fn in_time() -> Instant {
        now() + Duration::from_secs(60)
    }

    /// Lets the operating system deliver what was sent on loopback, but not the runtime.
    #[allow(clippy::disallowed_methods, reason = "the runtime must not notice")]
    fn settle() {
        std::thread::sleep(Duration::from_millis(10));
    }

    #[tokio::test]
    async fn every_byte_is_counted_from_the_arming() {
        let (mut ours, mut theirs) = pair().await;
        let meter = ours.meter();
        meter.arm(in_time());
        ours.write_all(b"four").await.unwrap();
        let two = [IoSlice::new(b"and"), IoSlice::new(b"more")];
        assert_eq!(ours.write_vectored(&two).await.unwrap(), 7);
        std::io::Write::write_all(&mut theirs, b"ok").unwrap();
        ours.read_exact(&mut [0; 2]).await.unwrap();
        assert_eq!(meter.counts(), (11, 2));
        assert_eq!(meter.refusal(), None);
        meter.arm(in_time());
        assert_eq!(meter.counts(), (0, 0));
    }

    #[test]
    fn a_failed_write_counts_in_full_where_a_part_may_have_left() {
        let failed = || Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        let rows = [
            (Poll::Ready(Ok(5)), false, 5),
            (Poll::Ready(Ok(5)), true, 5),
            (Poll::Pending, false, 0),
            (Poll::Pending, true, 0),
            (failed(), false, 0),
            (failed(), true, 9),
        ];
        for (result, tls, want) in rows {
            assert_eq!(may_have_left(&result, 9, tls), want, "{result:?} tls: {tls}");
        }
    }

    #[tokio::test]
    async fn nothing_passes_outside_a_request() {
        let (mut ours, _theirs) = pair().await;
        let meter = ours.meter();
        assert!(ours.write(b"early").await.is_err());
        let (mut ours, _theirs) = pair().await;
        let later = ours.meter();
        later.arm(in_time());
        ours.write_all(b"request").await.unwrap();
        later.disarm();
        assert!(ours.write(b"late").await.is_err());
        assert_eq!((meter.counts().0, later.counts().0), (0, 7));
    }

    #[tokio::test]
    async fn the_first_byte_is_refused_when_it_is_late_and_stays_refused() {
        let (mut ours, _theirs) = pair().await;
        let meter = ours.meter();
        meter.arm(now());
        for _ in 0..2 {
            assert!(ours.write(b"request").await.is_err());
            assert_eq!((meter.refusal(), meter.counts().0), (Some(Failure::Late), 0));
        }
        // Only the first byte is bound: a request that has begun is finished.
        meter.arm(now() + Duration::from_millis(5));
        ours.write_all(b"begun in time").await.unwrap();
        settle();
        ours.write_all(b", finished later").await.unwrap();
        assert_eq!(meter.counts().0, 29);
    }

    #[tokio::test]
    async fn the_first_byte_is_refused_when_the_provider_has_hung_up_or_spoken() {
        type End = fn(std::net::TcpStream) -> Option<std::net::TcpStream>;
        let ends: [(&str, End); 3] = [
            ("closed", |_| None),
            ("reset", |theirs| {
                SockRef::from(&theirs).set_linger(Some(Duration::ZERO)).unwrap();
                None
            }),
            ("spoke", |mut theirs| {
                std::io::Write::write_all(&mut theirs, b"HTTP/1.1 408 Too Slow\r\n").unwrap();
                Some(theirs)
            }),
        ];
        for (name, end) in ends {
            let (mut ours, theirs) = pair().await;
            let meter = ours.meter();
            let _still_open = end(theirs);
            settle();
            meter.arm(in_time());
            assert!(ours.write(b"request").await.is_err(), "{name}");
            assert_eq!((meter.refusal(), meter.counts().0), (Some(Failure::Broken), 0), "{name}");
        }
    }
}
