//! A provider that speaks HTTP/2 frame by frame, so that it can break every rule of it.
//!
//! Only what the tests need of the protocol (RFC 9113, and 7541 for what an answer's head looks like). What a
//! request says is told by its body: heads are counted, not read.

use std::collections::HashMap;

use crate::server::*;
use crate::tls::Authority;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;

pub(crate) const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const INTERNAL_ERROR: u32 = 2;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;

/// Settings, by their numbers.
pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// The provider's side of one connection.
pub(crate) struct Frames<'a> {
    pub(crate) peer: &'a mut Peer,
    /// Where each stream's request is recorded.
    places: HashMap<u32, usize>,
    /// Whether pings are answered.
    pub(crate) alive: bool,
}

/// A provider whose script begins after the greeting.
pub(crate) fn speaks_http2(
    authority: &Authority,
    settings: &'static [(u16, u32)],
    script: impl Fn(&mut Frames<'_>) + Send + Sync + 'static,
) -> Server {
    authority.server_that_speaks(
        &["h2"],
        "localhost",
        |_| {},
        move |peer| {
            let mut frames = Frames::new(peer);
            if frames.greet(settings).is_some() {
                script(&mut frames);
            }
        },
    )
}

impl<'a> Frames<'a> {
    pub(crate) fn new(peer: &'a mut Peer) -> Self {
        Self { peer, places: HashMap::new(), alive: true }
    }

    pub(crate) fn greet(&mut self, settings: &[(u16, u32)]) -> Option<()> {
        self.settings(settings);
        let mut preface = [0; 24];
        self.peer.stream.read_exact(&mut preface).ok()?;
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        Some(())
    }

    pub(crate) fn settings(&mut self, settings: &[(u16, u32)]) {
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        self.write(SETTINGS, 0, 0, &payload);
    }

    pub(crate) fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let bytes = frame(kind, flags, stream, payload);
        self.peer.write(&bytes);
    }

    /// The next frame that is not about the connection itself. `None` at the end.
    pub(crate) fn read(&mut self) -> Option<Frame> {
        loop {
            let frame = self.read_any()?;
            if !matches!(frame.kind, SETTINGS | PING | WINDOW_UPDATE) {
                return Some(frame);
            }
        }
    }

    /// Reads until this many pings have come.
    pub(crate) fn pings(&mut self, mut count: usize) -> Option<()> {
        while count > 0 {
            count -= usize::from(self.read_any()?.kind == PING);
        }
        Some(())
    }

    /// Reads until the client has made room on this stream.
    pub(crate) fn room(&mut self, stream: u32) -> Option<()> {
        loop {
            let frame = self.read_any()?;
            if frame.kind == WINDOW_UPDATE && frame.stream == stream {
                return Some(());
            }
        }
    }

    /// The next frame; records requests, and answers what is about the connection.
    fn read_any(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.peer.stream.read_exact(&mut head).ok()?;
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; len as usize];
        let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
        let got = Frame { kind: head[3], flags: head[4], stream, payload: Vec::new() };
        if got.kind == HEADERS {
            let place = self.peer.record("");
            assert_eq!(self.places.insert(stream, place), None, "one head per stream");
        }
        self.peer.stream.read_exact(&mut payload).ok()?;
        match got.kind {
            DATA => {
                let text = String::from_utf8_lossy(&payload).into_owned();
                self.peer.record_more(self.places[&stream], &text);
            }
            RST_STREAM if !self.places.contains_key(&stream) => {
                self.peer.record("the end of a stream that never began");
            }
            SETTINGS if got.flags & ACK == 0 => self.write(SETTINGS, ACK, 0, &[]),
            PING if got.flags & ACK == 0 && self.alive => self.write(PING, ACK, 0, &payload),
            _ => {}
        }
        Some(Frame { payload, ..got })
    }

    /// Reads until a request is whole, and returns its stream.
    pub(crate) fn request(&mut self) -> Option<u32> {
        loop {
            let frame = self.read()?;
            if matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0 {
                return Some(frame.stream);
            }
        }
    }

    /// Reads until a frame of this kind.
    pub(crate) fn until(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.read()?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// The head of an answer.
    pub(crate) fn head(&mut self, stream: u32, flags: u8, fields: &[u8]) {
        self.write(HEADERS, flags | END_HEADERS, stream, fields);
    }

    /// A whole answer.
    pub(crate) fn answer(&mut self, stream: u32) {
        self.head(stream, 0, &code("200"));
        self.write(DATA, END_STREAM, stream, b"ok");
    }

    pub(crate) fn reset_stream(&mut self, stream: u32, code: u32) {
        self.write(RST_STREAM, 0, stream, &code.to_be_bytes());
    }

    pub(crate) fn go_away(&mut self, last: u32, code: u32) {
        let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
        self.write(GOAWAY, 0, 0, &payload);
    }

    /// Reads one request and answers it.
    pub(crate) fn answer_one(&mut self) {
        if let Some(stream) = self.request() {
            self.answer(stream);
        }
    }

    /// Answers until the client goes.
    pub(crate) fn answer_all(&mut self) {
        while let Some(stream) = self.request() {
            self.answer(stream);
        }
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// `:status`, whose name is the table's 8th entry.
pub(crate) fn code(code: &str) -> Vec<u8> {
    field(8, code)
}

/// `content-length`, the table's 28th.
pub(crate) fn length(bytes: usize) -> Vec<u8> {
    field(28, &bytes.to_string())
}

/// `location`, the table's 46th.
pub(crate) fn location(url: &str) -> Vec<u8> {
    field(46, url)
}

/// A field that is not put into the table, its name from the table (RFC 7541, section 6.2.2).
fn field(name: u8, value: &str) -> Vec<u8> {
    let mut bytes = if name < 15 { vec![name] } else { vec![15, name - 15] };
    bytes.push(u8::try_from(value.len()).unwrap());
    assert!(value.len() < 127);
    bytes.extend(value.as_bytes());
    bytes
}
