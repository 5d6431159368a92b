//! The durable books: one append-only file of JSON lines, one line per change, written by one thread.
//!
//! A line is atomic: the payments as they are after the change, with the idempotency key that the change
//! answers. Lines that arrive while the disk is busy share the next fsync. With [`Sync::Always`] nobody is
//! told of a change before its line is on the disk, neither the one who asked for it nor a later reader.
//! A torn last line (a crash in mid-write) is cut off with a warning; any other damage refuses the start.
//! After a failed write nothing is confirmed any more. The file is locked: one sandbox at a time. Leaves
//! out: compaction.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};
use tokio::sync::watch;

use crate::clock::Id;
use crate::core::{Change, Event, EventKind, Payment, StoredKey, Subject, Token};
use crate::webhooks::Endpoint;
use crate::{StartError, Sync};

/// A line's number since the start; lines up to the durable one are on the disk.
pub(crate) type Seq = u64;

/// The disk refused a write; what was asked may be lost at the next start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JournalFailed;

#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    last: Seq,
    closing: bool,
}

#[derive(Debug, Default)]
struct Shared {
    buffer: Mutex<Buffer>,
    wake: Condvar,
}

#[derive(Clone, Copy, Debug)]
struct Durable {
    seq: Seq,
    failed: bool,
}

#[derive(Debug)]
pub(crate) struct Journal(Option<Writer>);

#[derive(Debug)]
struct Writer {
    shared: Arc<Shared>,
    durable: watch::Receiver<Durable>,
    sync: Sync,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// One line, read back.
#[derive(Debug)]
pub(crate) enum Entry {
    Change { account: String, change: Box<Change> },
    Reset,
}

impl Journal {
    /// Keeps nothing.
    pub(crate) fn memory() -> Journal {
        Journal(None)
    }

    /// Opens or creates the file and hands every line in it to `replay`, oldest first.
    pub(crate) fn open(
        path: &Path,
        sync: Sync,
        replay: &mut dyn FnMut(Entry),
    ) -> Result<Journal, StartError> {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        // Two writers would tear each other's lines.
        file.try_lock().map_err(io::Error::from)?;
        sync_directory_of(path)?;
        let good = read_lines(&file, path, replay)?;
        file.set_len(good)?;
        file.seek(SeekFrom::Start(good))?;
        let shared = Arc::new(Shared::default());
        let (told, durable) = watch::channel(Durable { seq: 0, failed: false });
        let for_thread = shared.clone();
        let thread = std::thread::Builder::new()
            .name("sandbox-journal".to_owned())
            .spawn(move || write_lines(file, sync, &for_thread, &told))?;
        let thread = Mutex::new(Some(thread));
        Ok(Journal(Some(Writer { shared, durable, sync, thread })))
    }

    pub(crate) fn keeps(&self) -> bool {
        self.0.is_some()
    }

    /// Queues a line (without its newline). The order of calls is the order in the file.
    pub(crate) fn append(&self, line: &[u8]) -> Seq {
        let Some(writer) = &self.0 else { return 0 };
        let mut buffer = writer.shared.lock();
        buffer.bytes.extend_from_slice(line);
        buffer.bytes.push(b'\n');
        buffer.last += 1;
        writer.shared.wake.notify_one();
        buffer.last
    }

    /// Waits until the line is as safe as the configuration asks for.
    pub(crate) async fn durable(&self, seq: Seq) -> Result<(), JournalFailed> {
        let Some(writer) = &self.0 else { return Ok(()) };
        let mut durable = writer.durable.clone();
        if durable.borrow().failed {
            return Err(JournalFailed);
        }
        if writer.sync == Sync::Relaxed {
            return Ok(());
        }
        match durable.wait_for(|now| now.failed || now.seq >= seq).await {
            Ok(now) if !now.failed => Ok(()),
            Ok(_) | Err(_) => Err(JournalFailed),
        }
    }

    /// Writes what is queued and ends the thread.
    pub(crate) fn close(&self) {
        let Some(writer) = &self.0 else { return };
        writer.shared.lock().closing = true;
        writer.shared.wake.notify_one();
        let thread = writer.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the sandbox journal's thread panicked");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without this a crash of the machine could lose a new file with everything in it.
fn sync_directory_of(path: &Path) -> io::Result<()> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

fn write_lines(mut file: File, sync: Sync, shared: &Shared, told: &watch::Sender<Durable>) {
    let mut batch = Vec::new();
    loop {
        let (seq, closing) = {
            let mut buffer = shared.lock();
            while buffer.bytes.is_empty() && !buffer.closing {
                buffer = shared.wake.wait(buffer).unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut batch, &mut buffer.bytes);
            (buffer.last, buffer.closing && batch.is_empty())
        };
        if closing {
            return;
        }
        let written = file.write_all(&batch).and_then(|()| match sync {
            Sync::Always => file.sync_data(),
            Sync::Relaxed => Ok(()),
        });
        batch.clear();
        if let Err(error) = written {
            tracing::error!(%error, "the sandbox journal cannot be written; confirming nothing more");
            told.send_replace(Durable { seq: 0, failed: true });
            return;
        }
        told.send_replace(Durable { seq, failed: false });
    }
}

/// Returns the length of the good part.
fn read_lines(file: &File, path: &Path, replay: &mut dyn FnMut(Entry)) -> Result<u64, StartError> {
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let (mut good, mut number) = (0, 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        number += 1;
        if length == 0 {
            return Ok(good);
        }
        let parsed = line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice(line).ok());
        match parsed.and_then(LineIn::into_entry) {
            Some(entry) => replay(entry),
            None if reader.fill_buf()?.is_empty() => {
                tracing::warn!(path = %path.display(), line = number, "cut off a torn last line");
                return Ok(good);
            }
            None => return Err(StartError::Corrupt { line: number }),
        }
        good += length as u64;
    }
}

#[derive(Serialize)]
struct LineOut<'a> {
    account: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty", serialize_with = "pointees")]
    payments: &'a [Arc<Payment>],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tokens: &'a [Token],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    fenced: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<EventLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<KeyLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a Endpoint>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct LineIn<'a> {
    reset: bool,
    account: Option<String>,
    payments: Vec<Payment>,
    tokens: Vec<Token>,
    fenced: Vec<String>,
    #[serde(borrow)]
    events: Vec<EventLine<'a>>,
    #[serde(borrow)]
    key: Option<KeyLine<'a>>,
    endpoint: Option<Endpoint>,
}

#[derive(Serialize, Deserialize)]
struct KeyLine<'a> {
    #[serde(borrow)]
    key: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    fingerprint: std::borrow::Cow<'a, str>,
    status: u16,
    #[serde(borrow)]
    body: std::borrow::Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct EventLine<'a> {
    id: Id,
    at_ms: i64,
    kind: EventKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payment: Option<Id>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operation: Option<Id>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    reference: Option<(std::borrow::Cow<'a, str>, std::borrow::Cow<'a, str>)>,
}

/// The line that forgets every account.
pub(crate) const RESET: &[u8] = br#"{"reset":true}"#;

/// The line of a change; `None` if nothing changed.
pub(crate) fn line_of(account: &str, change: &Change) -> Option<Vec<u8>> {
    let key = change.key.as_ref().map(|(key, stored)| KeyLine {
        key: key.into(),
        fingerprint: stored.fingerprint.as_str().into(),
        status: stored.status,
        body: String::from_utf8_lossy(&stored.body),
    });
    let line = LineOut {
        account,
        payments: &change.payments,
        tokens: &change.tokens,
        fenced: &change.fenced,
        events: change.events.iter().map(event_line).collect(),
        key,
        endpoint: change.endpoint.as_ref(),
    };
    let is_empty = line.payments.is_empty()
        && line.tokens.is_empty()
        && line.fenced.is_empty()
        && line.events.is_empty()
        && line.key.is_none()
        && line.endpoint.is_none();
    if is_empty {
        return None;
    }
    serde_json::to_vec(&line).ok()
}

fn event_line(event: &Event) -> EventLine<'_> {
    let (payment, operation, reference) = match &event.subject {
        Subject::Payment { payment, operation } => (Some(payment.id), *operation, None),
        Subject::Reference { reference, merchant_account } => {
            (None, None, Some((reference.into(), merchant_account.into())))
        }
    };
    let Event { id, at_ms, kind, .. } = *event;
    EventLine { id, at_ms, kind, payment, operation, reference }
}

impl LineIn<'_> {
    fn into_entry(self) -> Option<Entry> {
        if self.reset {
            return Some(Entry::Reset);
        }
        let payments: Vec<Arc<Payment>> = self.payments.into_iter().map(Arc::new).collect();
        let subject = |line: &EventLine<'_>| {
            if let Some((reference, account)) = &line.reference {
                let (reference, merchant_account) = (reference.to_string(), account.to_string());
                return Some(Subject::Reference { reference, merchant_account });
            }
            let payment = payments.iter().find(|payment| Some(payment.id) == line.payment)?.clone();
            Some(Subject::Payment { payment, operation: line.operation })
        };
        let event = |line: &EventLine<'_>| {
            let subject = subject(line)?;
            Some(Event { id: line.id, at_ms: line.at_ms, kind: line.kind, subject })
        };
        let events = self.events.iter().filter_map(event).collect();
        let key = self.key.map(|line| {
            let stored = StoredKey {
                fingerprint: line.fingerprint.into_owned(),
                status: line.status,
                body: Bytes::from(line.body.into_owned()),
            };
            (line.key.into_owned(), stored)
        });
        let (tokens, fenced, endpoint) = (self.tokens, self.fenced, self.endpoint);
        let change = Change { payments, tokens, fenced, events, key, endpoint };
        Some(Entry::Change { account: self.account?, change: Box::new(change) })
    }
}

fn pointees<S: Serializer>(payments: &[Arc<Payment>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(payments.iter().map(Arc::as_ref))
}
