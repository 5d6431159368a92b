//! Where HTTP/2 frames begin and end in a stream of bytes (RFC 9113, section 4.1). Pure.
//!
//! Guarantees: bytes may come in pieces of any size; each byte of a payload is told with the frame that it
//! belongs to. Left out: what the frames mean, and whether they are legal. That is the library's business;
//! here they are only counted and recognised.

/// What a client says first (RFC 9113, section 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

/// The flag of DATA and HEADERS that says that no more follow on the stream.
pub(crate) const END_STREAM: u8 = 1;
/// The flag of SETTINGS that acknowledges ours.
pub(crate) const ACK: u8 = 1;

/// Length of a frame's head, in bytes.
pub(crate) const HEAD: usize = 9;

/// A frame's head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    /// Length of the payload, in bytes.
    pub(crate) len: usize,
}

/// What a piece of a stream of bytes was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Of the preface, or of a head that is not complete yet.
    Bare,
    /// The end of a head: this frame begins.
    Head(Frame),
    /// This many bytes of the frame's payload. `word` is its first four bytes, told with the fourth;
    /// `last` says that the payload ends here.
    Payload { frame: Frame, len: usize, word: Option<u32>, last: bool },
}

/// A reader's place in a stream of frames.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scanner {
    preface: usize,
    head: [u8; HEAD],
    head_len: usize,
    frame: Frame,
    /// Bytes of the payload that have come.
    payload: usize,
    word: u32,
}

impl Scanner {
    /// For what a server says: frames from the start.
    pub(crate) fn server() -> Self {
        Self::default()
    }

    /// For what a client says: the preface, then frames.
    pub(crate) fn client() -> Self {
        Self { preface: PREFACE.len(), ..Self::default() }
    }

    /// Whether the next byte begins a frame.
    pub(crate) fn between_frames(&self) -> bool {
        self.preface == 0 && self.head_len == 0
    }

    fn within_head(&self) -> bool {
        (1..HEAD).contains(&self.head_len)
    }

    /// Takes bytes off the front, and says what they were. `None` when there are none.
    pub(crate) fn next(&mut self, bytes: &mut &[u8]) -> Option<Part> {
        if bytes.is_empty() {
            return None;
        }
        if self.preface > 0 {
            let taken = take(bytes, self.preface);
            self.preface -= taken.len();
            return Some(Part::Bare);
        }
        if self.head_len < HEAD {
            for byte in take(bytes, HEAD - self.head_len) {
                if let Some(place) = self.head.get_mut(self.head_len) {
                    *place = *byte;
                }
                self.head_len += 1;
            }
            if self.head_len < HEAD {
                return Some(Part::Bare);
            }
            self.frame = read(self.head);
            (self.payload, self.word) = (0, 0);
            self.skip_if_done();
            return Some(Part::Head(self.frame));
        }
        let frame = self.frame;
        let taken = take(bytes, frame.len - self.payload);
        let mut word = None;
        for byte in taken.iter().take(4_usize.saturating_sub(self.payload)) {
            self.word = self.word << 8 | u32::from(*byte);
        }
        if self.payload < 4 && self.payload + taken.len() >= 4 {
            word = Some(self.word);
        }
        self.payload += taken.len();
        self.skip_if_done();
        let last = self.payload == frame.len;
        Some(Part::Payload { frame, len: taken.len(), word, last })
    }

    fn skip_if_done(&mut self) {
        if self.payload == self.frame.len {
            self.head_len = 0;
        }
    }
}

/// Where each frame begins whose head stands in these bytes, or began before them (0). A head that does
/// not end here is told as `None`.
pub(crate) fn heads(
    mut scanner: Scanner,
    bytes: &[u8],
) -> impl Iterator<Item = (usize, Option<Frame>)> {
    let (mut rest, mut start) = (bytes, 0);
    std::iter::from_fn(move || {
        loop {
            if scanner.between_frames() {
                start = bytes.len() - rest.len();
            }
            match scanner.next(&mut rest)? {
                Part::Head(frame) => return Some((start, Some(frame))),
                Part::Bare if rest.is_empty() && !scanner.between_frames() => {
                    return scanner.within_head().then_some((start, None));
                }
                Part::Bare | Part::Payload { .. } => {}
            }
        }
    })
}

fn take<'a>(bytes: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(most.min(bytes.len()));
    *bytes = rest;
    taken
}

fn read(head: [u8; HEAD]) -> Frame {
    let [a, b, c, kind, flags, d, e, f, g] = head;
    let len = u32::from_be_bytes([0, a, b, c]);
    // The first bit of the stream's number is reserved.
    let stream = u32::from_be_bytes([d & 0x7f, e, f, g]);
    Frame { kind, flags, stream, len: usize::try_from(len).unwrap_or(usize::MAX) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    /// Heads, and per frame: bytes of payload and first word.
    fn scan(mut scanner: Scanner, pieces: &[&[u8]]) -> Vec<(Frame, usize, Option<u32>)> {
        let mut seen: Vec<(Frame, usize, Option<u32>)> = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            while let Some(part) = scanner.next(&mut rest) {
                match part {
                    Part::Bare => {}
                    Part::Head(frame) => seen.push((frame, 0, None)),
                    Part::Payload { frame, len, word, last: ends } => {
                        let last = seen.last_mut().unwrap();
                        assert_eq!(last.0, frame);
                        last.1 += len;
                        assert!(word.is_none() || last.2.is_none(), "the word is told once");
                        assert_eq!(ends, last.1 == frame.len);
                        last.2 = last.2.or(word);
                    }
                }
            }
        }
        assert!(scanner.between_frames());
        seen
    }

    #[test]
    fn heads_are_told_with_their_place() {
        let mut bytes = PREFACE.to_vec();
        bytes.extend(frame(SETTINGS, 0, 0, b"123456"));
        bytes.extend(frame(HEADERS, 4, 1, b"abc"));
        bytes.extend(frame(DATA, 1, 1, b""));
        let (first, second, third) = (24, 24 + 15, 24 + 15 + 12);
        let told = |from: usize, to: usize| -> Vec<(usize, Option<u8>)> {
            let mut scanner = Scanner::client();
            let mut before = &bytes[..from];
            while scanner.next(&mut before).is_some() {}
            heads(scanner, &bytes[from..to]).map(|(at, f)| (at, f.map(|f| f.kind))).collect()
        };
        let all = [(first, Some(SETTINGS)), (second, Some(HEADERS)), (third, Some(DATA))];
        assert_eq!(told(0, bytes.len()), all);
        assert_eq!(told(0, 10), []);
        assert_eq!(told(second, second + 4), [(0, None)], "a head in pieces");
        assert_eq!(told(second + 4, second + 9), [(0, Some(HEADERS))], "its rest");
        assert_eq!(told(second + 10, third + 3), [(2, None)]);
    }

    proptest! {
        #[test]
        fn frames_are_found_however_the_bytes_are_cut(
            frames in prop::collection::vec(
                (any::<u8>(), any::<u8>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..40)),
                0..8,
            ),
            cuts in prop::collection::vec(1_usize..30, 0..200),
            of_client: bool,
        ) {
            let mut bytes = if of_client { PREFACE.to_vec() } else { Vec::new() };
            for (kind, flags, stream, payload) in &frames {
                bytes.extend(frame(*kind, *flags, *stream, payload));
            }
            let scanner = if of_client { Scanner::client() } else { Scanner::server() };
            let (mut pieces, mut rest) = (Vec::new(), bytes.as_slice());
            for cut in cuts {
                pieces.push(take(&mut rest, cut));
            }
            pieces.push(rest);
            let want: Vec<_> = frames
                .iter()
                .map(|(kind, flags, stream, payload)| {
                    let (kind, flags, len) = (*kind, *flags, payload.len());
                    let word = payload.first_chunk().map(|word| u32::from_be_bytes(*word));
                    (Frame { kind, flags, stream: stream & 0x7fff_ffff, len }, len, word)
                })
                .collect();
            prop_assert_eq!(scan(scanner, &pieces), want);
        }
    }
}
