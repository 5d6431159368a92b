//! What merchants are told by webhook: events in streams, and the log of attempts to deliver them.
//!
//! Guarantees, on all backends alike: an event is recorded in one commit with the end of the message that it
//! comes from, and once, whoever else records it; a stream has a time to be looked at exactly while one of its
//! events waits, whoever else changes it at the same time; a delivered event stays delivered, until somebody has it
//! told again. Left out: what is told, to whom and when it is tried again. Bodies are opaque.

mod memory;
mod records;
mod sql;

use async_trait::async_trait;
use baton_types::{EventId, MerchantId, PaymentId, Timestamp};

pub(crate) use self::memory::HookTables;
pub(crate) use self::records::replay;
use crate::store::{CommitError, StoreError};

/// How an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HookState {
    /// It waits to be delivered.
    Pending,
    /// An endpoint has taken it.
    Delivered,
    /// It is not tried any more.
    GivenUp,
}

impl HookState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::GivenUp];

    /// The word that is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::GivenUp => "given_up",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// What is told in order: the events of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookStreamRow {
    /// Whose.
    pub merchant: MerchantId,
    /// The object's id.
    pub id: String,
    /// The profile whose endpoint is told.
    pub profile: String,
    /// What the recorder remembers of the object; opaque.
    pub state: String,
    /// When the first event that waits is sent next, or until when a worker holds the stream.
    pub due_at: Option<Timestamp>,
    /// When last changed.
    pub updated_at: Timestamp,
}

/// Something that a merchant is told.
#[derive(Clone, PartialEq, Eq)]
pub struct HookEventRow {
    /// Whose.
    pub merchant: MerchantId,
    /// `evt_…`: the same however often it is recorded.
    pub id: String,
    /// The stream that it is told in.
    pub stream: String,
    /// Its place in the stream.
    pub seq: i64,
    /// The profile whose endpoint is told.
    pub profile: String,
    /// The id of what it is about.
    pub object: String,
    /// What it is about.
    pub class: String,
    /// What happened.
    pub kind: String,
    /// How it stands.
    pub state: HookState,
    /// How often it was tried by itself.
    pub attempts: u32,
    /// When.
    pub created_at: Timestamp,
    /// When last changed.
    pub updated_at: Timestamp,
    /// What is sent. `Debug` leaves it out: it tells about people.
    pub body: String,
}

impl std::fmt::Debug for HookEventRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HookEventRow")
            .field("merchant", &self.merchant)
            .field("id", &self.id)
            .field("stream", &self.stream)
            .field("seq", &self.seq)
            .field("kind", &self.kind)
            .field("state", &self.state)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

/// One try to deliver an event.
#[derive(Clone, PartialEq, Eq)]
pub struct HookAttemptRow {
    /// Whose.
    pub merchant: MerchantId,
    /// The event.
    pub event: String,
    /// Its own id; ids of one event sort by time.
    pub id: String,
    /// What led to it.
    pub kind: String,
    /// When it began.
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub took_ms: i64,
    /// The HTTP status that was answered.
    pub status: Option<u32>,
    /// Why there was no answer, or none that counts.
    pub error: Option<String>,
    /// The headers that were sent; opaque.
    pub request: String,
    /// The headers and the start of the body that were answered; opaque.
    pub response: String,
}

impl std::fmt::Debug for HookAttemptRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HookAttemptRow")
            .field("event", &self.event)
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("status", &self.status)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

/// What became of a message of the outbox: its stream as it stands now, and what is to be told.
#[derive(Clone, Debug)]
pub struct HookRecord {
    /// The message; it ends with this.
    pub message: EventId,
    /// The stream; a `due_at` of its own counts only if it has events and none waited before.
    pub stream: HookStreamRow,
    /// What is to be told.
    pub events: Vec<HookEventRow>,
}

/// What became of an event that was tried.
#[derive(Clone, Debug)]
pub struct HookOutcome {
    /// Whose.
    pub merchant: MerchantId,
    /// The stream.
    pub stream: String,
    /// The event.
    pub event: String,
    /// How it stands now; none leaves it as it is.
    pub state: Option<HookState>,
    /// Whether it counts as one of the tries that are made by themselves.
    pub counts: bool,
    /// The try, for the log; none if nothing was sent.
    pub attempt: Option<HookAttemptRow>,
    /// When the stream is looked at next, if an event of it waits; none leaves it as it is.
    pub due_at: Option<Timestamp>,
    /// Now.
    pub at: Timestamp,
}

/// An event that is told again as if its first try had just failed: it waits, and its stream is due at once. One that
/// waits already only does so no longer. Nothing happens without the stream, whose order it would have to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookReplay {
    /// Whose.
    pub merchant: MerchantId,
    /// The stream.
    pub stream: String,
    /// The event.
    pub event: String,
    /// Now.
    pub at: Timestamp,
    /// A stream that is due by then may be in a worker's hands: it keeps its time.
    pub busy_until: Timestamp,
}

/// Which events to list, newest first. What is absent does not restrict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookQuery {
    /// Whose.
    pub merchant: MerchantId,
    /// Not made before this time.
    pub from: Timestamp,
    /// Not made after this time.
    pub to: Timestamp,
    /// At `to` itself only those with a smaller id.
    pub to_id: Option<String>,
    /// The event itself.
    pub id: Option<String>,
    /// What it is about.
    pub object: Option<String>,
    /// The profile.
    pub profile: Option<String>,
    /// One of these classes; empty means all.
    pub classes: Vec<String>,
    /// One of these kinds; empty means all.
    pub kinds: Vec<String>,
    /// In one of these states; empty means all.
    pub states: Vec<HookState>,
    /// So many at most.
    pub limit: u32,
    /// After so many.
    pub offset: u32,
}

impl HookQuery {
    /// All of a merchant's events.
    #[must_use]
    pub fn of(merchant: MerchantId) -> Self {
        Self {
            merchant,
            from: Timestamp::from_millis(0),
            to: Timestamp::from_millis(i64::MAX),
            to_id: None,
            id: None,
            object: None,
            profile: None,
            classes: Vec::new(),
            kinds: Vec::new(),
            states: Vec::new(),
            limit: 100,
            offset: 0,
        }
    }

    /// Whether an event belongs to the list; the page aside.
    pub(crate) fn takes(&self, row: &HookEventRow) -> bool {
        fn is(wanted: Option<&String>, value: &String) -> bool {
            wanted.is_none_or(|wanted| wanted == value)
        }
        let one_of = |list: &[String], word: &String| list.is_empty() || list.contains(word);
        row.merchant == self.merchant
            && row.created_at >= self.from
            && (row.created_at < self.to
                || row.created_at == self.to && self.to_id.as_ref().is_none_or(|id| row.id < *id))
            && is(self.id.as_ref(), &row.id)
            && is(self.object.as_ref(), &row.object)
            && is(self.profile.as_ref(), &row.profile)
            && one_of(&self.classes, &row.class)
            && one_of(&self.kinds, &row.kind)
            && (self.states.is_empty() || self.states.contains(&row.state))
    }
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HookBacklog {
    /// Streams with an event that waits.
    pub streams: u64,
    /// Since when the one that should have been looked at longest ago waits to be.
    pub oldest_due: Option<Timestamp>,
}

/// Durable events for merchants.
#[async_trait]
pub trait HookStore: Send + Sync {
    /// Records what is to be told, and ends the message that it comes from, in one commit. An event that was
    /// recorded before stays as it is.
    async fn record_hooks(&self, record: HookRecord) -> Result<(), CommitError>;

    /// Whether the message of a payment's version is still in the outbox.
    async fn is_in_outbox(
        &self,
        merchant: MerchantId,
        payment: PaymentId,
        version: u64,
    ) -> Result<bool, StoreError>;

    /// Makes messages due at a time that a worker had leased.
    async fn release_outbox(&self, ids: &[EventId], due_at: Timestamp) -> Result<(), StoreError>;

    /// A stream.
    async fn hook_stream(
        &self,
        merchant: MerchantId,
        id: &str,
    ) -> Result<Option<HookStreamRow>, StoreError>;

    /// Takes up to `limit` streams that are due at or before `now`, those due first; they are due again at
    /// `lease_until`. Returned as they are now, by (merchant, id).
    async fn lease_hook_streams(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<HookStreamRow>, StoreError>;

    /// Makes a stream due at a time, if an event of it waits.
    async fn defer_hook_stream(
        &self,
        merchant: MerchantId,
        id: &str,
        due_at: Timestamp,
    ) -> Result<(), StoreError>;

    /// The first event of a stream that waits.
    async fn next_hook_event(
        &self,
        merchant: MerchantId,
        stream: &str,
    ) -> Result<Option<HookEventRow>, StoreError>;

    /// Records what became of an event, in one commit.
    async fn conclude_hook(&self, outcome: HookOutcome) -> Result<(), CommitError>;

    /// An event by its id.
    async fn hook_event(
        &self,
        merchant: MerchantId,
        id: &str,
    ) -> Result<Option<HookEventRow>, StoreError>;

    /// A page of events.
    async fn hook_events(&self, query: &HookQuery) -> Result<Vec<HookEventRow>, StoreError>;

    /// How many events a list has, the page aside.
    async fn count_hook_events(&self, query: &HookQuery) -> Result<u64, StoreError>;

    /// The tries of an event, the first first.
    async fn hook_attempts(
        &self,
        merchant: MerchantId,
        event: &str,
    ) -> Result<Vec<HookAttemptRow>, StoreError>;

    /// How much waits, as of `now`.
    async fn hook_backlog(&self, now: Timestamp) -> Result<HookBacklog, StoreError>;

    /// Deletes up to `limit` rows of each sort that ended at or before a time: events that do not wait, tries,
    /// and streams of which nothing waits. Returns how many.
    async fn sweep_hooks(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
}
