//! An HTTP/2 connection that counts, per stream, and the gate before the first byte of each.
//!
//! The library below us queues frames as it sees fit, so what it was asked to send is no evidence. This is
//! where the evidence is made: every byte passes [`Framed`], which finds the frames in them again.
//!
//! Guarantees:
//!
//! - A stream's first byte leaves only while the stream stands in the books, before its `send_by`, and while
//!   the provider listens. The clock is read and the operating system asked in the very call that writes.
//! - A stream that was closed in the books sends nothing that it had not begun: not the HEADERS that the
//!   library still holds for a call that was given up.
//! - Where the gate refuses, the connection writes nothing more, ever: what has been encoded cannot be taken
//!   back, because the headers of later streams build on it. What the provider still says is read, so
//!   calls whose request has left keep their chance of an answer. A write that failed does the same: the
//!   reading side often still holds why (`GOAWAY`).
//! - Counts are never below what left, as in `socket`.
//! - `unprocessed` is the provider's own word: `RST_STREAM` with `REFUSED_STREAM`, or a `GOAWAY` whose last
//!   stream is an earlier one. Whether an answer contradicts it is judged where all is (`classify`).

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::Failure;
use crate::clock::now;
use crate::frames::{self, Frame, HEAD, Part, Scanner, heads};
use crate::socket::{Peek, Transport, may_have_left};

/// The error code that a provider refuses a stream with, unprocessed (RFC 9113, section 7).
const REFUSED_STREAM: u32 = 7;

/// A connection whose frames are counted and whose streams are guarded.
pub(crate) struct Framed {
    transport: Transport,
    /// What came with the handshake, to be read first.
    early: Bytes,
    ledger: Arc<Ledger>,
}

/// The books of one connection.
pub(crate) struct Ledger(Mutex<Books>);

struct Books {
    ours: Scanner,
    theirs: Scanner,
    streams: HashMap<u32, Entry>,
    /// Nothing is written any more.
    silenced: bool,
    /// The provider has said its settings.
    greeted: bool,
    /// The last stream that the provider has processed or may still, once it has said so.
    last_stream: Option<u32>,
    /// When a byte last came.
    heard: Instant,
}

struct Entry {
    send_by: Instant,
    tally: Tally,
}

/// What is known about a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Whether a byte of the request may have left.
    pub(crate) begun: bool,
    /// Bytes of its HEADERS and DATA that left, heads of frames included.
    pub(crate) written: u64,
    /// Bytes of the answer's that came.
    pub(crate) read: u64,
    /// Whether the answer's last frame has come, whole.
    pub(crate) ended: bool,
    /// The provider says that it did not process the request.
    pub(crate) unprocessed: bool,
    /// Why the gate refused the first byte, if it did.
    pub(crate) refused: Option<Failure>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Books {
            ours: Scanner::client(),
            theirs: Scanner::server(),
            streams: HashMap::new(),
            silenced: false,
            greeted: false,
            last_stream: None,
            heard: now(),
        }))
    }

    /// Lets a stream begin, until `send_by`.
    pub(crate) fn open(&self, stream: u32, send_by: Instant) {
        self.lock().streams.insert(stream, Entry { send_by, tally: Tally::default() });
    }

    /// Strikes a stream out and says what is known. If it had not begun, it never will.
    pub(crate) fn close(&self, stream: u32) -> Tally {
        let mut books = self.lock();
        let Some(Entry { mut tally, .. }) = books.streams.remove(&stream) else {
            return Tally::default();
        };
        // Streams above the last one are not processed, whenever their bytes leave.
        tally.unprocessed |= books.last_stream.is_some_and(|last| last < stream);
        tally
    }

    /// Strikes a stream out if it has not begun, and says whether it did.
    pub(crate) fn close_unless_begun(&self, stream: u32) -> bool {
        let mut books = self.lock();
        let begun = books.streams.get(&stream).is_some_and(|entry| entry.tally.begun);
        if !begun {
            books.streams.remove(&stream);
        }
        !begun
    }

    /// Whether the answer's last frame has come.
    pub(crate) fn ended(&self, stream: u32) -> bool {
        self.lock().streams.get(&stream).is_some_and(|entry| entry.tally.ended)
    }

    pub(crate) fn greeted(&self) -> bool {
        self.lock().greeted
    }

    /// Whether no further stream should be opened: we write no more, or the provider is going away.
    pub(crate) fn closing(&self) -> bool {
        let books = self.lock();
        books.silenced || books.last_stream.is_some()
    }

    pub(crate) fn heard(&self) -> Instant {
        self.lock().heard
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        // Held for one call to the socket at most. Nothing panics while holding it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    /// How many of these bytes may be written now. Where that is none, none ever will.
    fn admit(&mut self, bytes: &[u8], transport: &Transport) -> usize {
        for (start, frame) in heads(self.ours, bytes) {
            let refusal = match frame {
                Some(Frame { kind: frames::HEADERS, stream, .. }) => {
                    self.refusal(stream, transport).map(|why| (Some(stream), why))
                }
                Some(_) => None,
                // A head in pieces cannot be judged. The library writes them whole.
                None if start > 0 || self.ours.between_frames() => Some((None, Failure::Broken)),
                None => None,
            };
            let Some((stream, why)) = refusal else { continue };
            if start == 0 {
                self.silenced = true;
                let entry = stream.and_then(|stream| self.streams.get_mut(&stream));
                if let Some(entry) = entry {
                    entry.tally.refused = Some(why);
                }
            }
            return start;
        }
        bytes.len()
    }

    /// Why this stream's HEADERS may not be written now.
    fn refusal(&self, stream: u32, transport: &Transport) -> Option<Failure> {
        let Some(entry) = self.streams.get(&stream) else { return Some(Failure::Broken) };
        if entry.tally.begun {
            return None;
        }
        if now() >= entry.send_by {
            return Some(Failure::Late);
        }
        (transport.peek() == Peek::End).then_some(Failure::Broken)
    }

    /// Books what was written: the first `taken` of the bytes that were offered.
    fn wrote(&mut self, offered: &[u8], taken: usize) {
        for (start, frame) in heads(self.ours, offered) {
            if let Some(Frame { kind: frames::HEADERS, stream, .. }) = frame
                && start < taken
                && let Some(entry) = self.streams.get_mut(&stream)
            {
                entry.tally.begun = true;
            }
        }
        let mut rest = offered.get(..taken).unwrap_or(offered);
        while let Some(part) = self.ours.next(&mut rest) {
            if let Some((stream, bytes)) = of_message(part)
                && let Some(entry) = self.streams.get_mut(&stream)
            {
                entry.tally.written = entry.tally.written.saturating_add(bytes);
            }
        }
    }

    /// Books what was read.
    fn read(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.heard = now();
        let mut rest = bytes;
        while let Some(part) = self.theirs.next(&mut rest) {
            if let Some((stream, bytes)) = of_message(part)
                && let Some(entry) = self.streams.get_mut(&stream)
            {
                entry.tally.read = entry.tally.read.saturating_add(bytes);
            }
            if let Part::Payload { frame, word: Some(word), .. } = part {
                self.heard_word(frame, word);
            }
            match part {
                Part::Head(frame) if frame.len == 0 => self.heard_whole(frame),
                Part::Payload { frame, last: true, .. } => self.heard_whole(frame),
                Part::Bare | Part::Head(_) | Part::Payload { .. } => {}
            }
        }
    }

    fn heard_word(&mut self, frame: Frame, word: u32) {
        match frame.kind {
            frames::RST_STREAM if word == REFUSED_STREAM => {
                if let Some(entry) = self.streams.get_mut(&frame.stream) {
                    entry.tally.unprocessed = true;
                }
            }
            frames::GOAWAY => {
                let last = word & 0x7fff_ffff;
                self.last_stream = Some(self.last_stream.map_or(last, |known| known.min(last)));
            }
            _ => {}
        }
    }

    fn heard_whole(&mut self, frame: Frame) {
        match frame.kind {
            frames::SETTINGS if frame.flags & frames::ACK == 0 => self.greeted = true,
            frames::HEADERS | frames::DATA if frame.flags & frames::END_STREAM != 0 => {
                if let Some(entry) = self.streams.get_mut(&frame.stream) {
                    entry.tally.ended = true;
                }
            }
            _ => {}
        }
    }
}

/// The stream of a request or an answer that this is a part of, and its bytes.
fn of_message(part: Part) -> Option<(u32, u64)> {
    let (frame, bytes) = match part {
        Part::Bare => return None,
        Part::Head(frame) => (frame, HEAD),
        Part::Payload { frame, len, .. } => (frame, len),
    };
    let message = matches!(frame.kind, frames::HEADERS | frames::CONTINUATION | frames::DATA);
    message.then_some((frame.stream, bytes as u64))
}

impl Framed {
    pub(crate) fn new(transport: Transport, early: Bytes, ledger: Arc<Ledger>) -> Self {
        Self { transport, early, ledger }
    }
}

impl AsyncWrite for Framed {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // Held over the write: whoever closes a stream knows for certain whether it had begun.
        let mut books = this.ledger.lock();
        let allowed = if books.silenced { 0 } else { books.admit(bytes, &this.transport) };
        if allowed == 0 {
            // To the library this looks as if it had been written, so that it goes on reading.
            return Poll::Ready(Ok(bytes.len()));
        }
        let offered = bytes.get(..allowed).unwrap_or(bytes);
        let tls = matches!(this.transport, Transport::Tls(_));
        let result = Pin::new(&mut this.transport).poll_write(cx, offered);
        books.wrote(offered, may_have_left(&result, allowed, tls));
        if matches!(result, Poll::Ready(Err(_))) {
            books.silenced = true;
            return Poll::Ready(Ok(bytes.len()));
        }
        result
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.transport).poll_flush(cx);
        if matches!(result, Poll::Ready(Err(_))) {
            this.ledger.lock().silenced = true;
            return Poll::Ready(Ok(()));
        }
        result
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_shutdown(cx)
    }
}

impl AsyncRead for Framed {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let result = if this.early.is_empty() {
            Pin::new(&mut this.transport).poll_read(cx, buffer)
        } else {
            let piece = this.early.len().min(buffer.remaining());
            buffer.put_slice(this.early.get(..piece).unwrap_or_default());
            this.early.advance(piece);
            Poll::Ready(Ok(()))
        };
        this.ledger.lock().read(buffer.filled().get(before..).unwrap_or_default());
        result
    }
}
