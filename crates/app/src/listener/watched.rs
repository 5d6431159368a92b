//! A stream that knows what its client is doing, and how long it may take for it.
//!
//! One timer per connection, set back only when it would ring too late; what a request costs is two readings
//! of the clock. The timer is looked at only while the client keeps us waiting.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::Patience;

/// What a connection is doing, shared by the stream below HTTP and the service above it.
pub(super) struct Progress {
    patience: Patience,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    /// When the client's time is up; `None` while it is our turn.
    until: Option<Instant>,
    /// Bytes of the head that is arriving.
    head: usize,
    unread: bool,
    cut: Option<Cut>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing of the next request has come.
    Rest,
    Head,
    Body,
    Answer,
}

/// Why a client was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// No request came. The ordinary end of a kept connection.
    Rested,
    SlowHead,
    LargeHead,
    SlowBody,
    /// It does not take its answer.
    SlowReader,
}

impl Progress {
    pub(super) fn new(patience: Patience) -> Self {
        let until = Some(Instant::now() + patience.head);
        let state = State { phase: Phase::Rest, until, head: 0, unread: false, cut: None };
        Self { patience, state: Mutex::new(state) }
    }

    /// A head is complete.
    pub(super) fn head_came(&self, body_follows: bool) {
        let mut state = self.lock();
        state.unread = false;
        if body_follows {
            state.phase = Phase::Body;
            state.until = Some(Instant::now() + self.patience.body);
        } else {
            (state.phase, state.until) = (Phase::Answer, None);
        }
    }

    /// The body is complete, or nobody wants the rest of it.
    pub(super) fn body_ended(&self, unread: bool) {
        let mut state = self.lock();
        state.unread = unread;
        (state.phase, state.until) = (Phase::Answer, None);
    }

    /// There is an answer to take; after it, another request may come.
    pub(super) fn answered(&self) {
        let mut state = self.lock();
        (state.phase, state.head) = (Phase::Rest, 0);
        state.until = Some(Instant::now() + self.patience.idle);
    }

    /// Why the client was cut off, if it was.
    pub(super) fn cut(&self) -> Option<Cut> {
        self.lock().cut
    }

    /// Whether the last request was answered before all of it was read.
    pub(super) fn left_unread(&self) -> bool {
        self.lock().unread
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Never contended: one task drives the connection and its service.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bytes of a head may be read now; `None` outside of one.
    fn room(&self) -> Option<usize> {
        let state = self.lock();
        let heads = matches!(state.phase, Phase::Rest | Phase::Head);
        heads.then(|| self.patience.max_head.saturating_sub(state.head))
    }

    fn arrived(&self, bytes: usize) {
        let mut state = self.lock();
        if bytes > 0 && state.phase == Phase::Rest {
            state.phase = Phase::Head;
            state.until = Some(Instant::now() + self.patience.head);
        }
        if state.phase == Phase::Head {
            state.head = state.head.saturating_add(bytes);
        }
    }

    fn cut_off(&self, why: Cut) {
        self.lock().cut.get_or_insert(why);
    }
}

pub(super) struct Watched<S> {
    stream: S,
    progress: Arc<Progress>,
    alarm: Pin<Box<Sleep>>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, progress: Arc<Progress>) -> Self {
        let first = progress.lock().until.unwrap_or_else(Instant::now);
        Self { stream, progress, alarm: Box::pin(tokio::time::sleep_until(first)) }
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// Waits with the client, until its time is up.
    fn overdue(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(until) = self.progress.lock().until else { return Poll::Pending };
        while Instant::now() < until {
            if self.alarm.is_elapsed() || self.alarm.deadline() > until {
                self.alarm.as_mut().reset(until);
            }
            std::task::ready!(self.alarm.as_mut().poll(cx));
        }
        Poll::Ready(())
    }

    /// A write that has to wait does so only until the client's time is up.
    fn or_overdue<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_pending() {
            std::task::ready!(self.overdue(cx));
            self.progress.cut_off(Cut::SlowReader);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = match this.progress.room() {
            Some(0) => {
                // What has come is a head that is not complete: a complete one would not be read on.
                this.progress.cut_off(Cut::LargeHead);
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            Some(room) if room < buffer.remaining() => {
                let mut part = ReadBuf::new(buffer.initialize_unfilled_to(room));
                let read = Pin::new(&mut this.stream).poll_read(cx, &mut part);
                let filled = part.filled().len();
                buffer.advance(filled);
                read
            }
            _ => Pin::new(&mut this.stream).poll_read(cx, buffer),
        };
        if read.is_ready() {
            this.progress.arrived(buffer.filled().len().saturating_sub(before));
            return read;
        }
        std::task::ready!(this.overdue(cx));
        let (why, result) = match this.progress.lock().phase {
            // The end of the stream, as if the client had closed.
            Phase::Rest => (Cut::Rested, Ok(())),
            Phase::Head => (Cut::SlowHead, Err(io::ErrorKind::TimedOut.into())),
            Phase::Body | Phase::Answer => (Cut::SlowBody, Err(io::ErrorKind::TimedOut.into())),
        };
        this.progress.cut_off(why);
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.or_overdue(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.or_overdue(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        if flushed.is_ready() {
            // The answer is out, and the wait for the next request begins. HTTP may have asked for its bytes
            // before, so that it does not ask again now: the timer has to be set here.
            let _not_yet = this.overdue(cx);
        }
        this.or_overdue(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.or_overdue(cx, shut)
    }
}
