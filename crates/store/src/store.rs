//! The trait that every backend implements, and its errors.
//!
//! Guarantees, on all backends alike: a commit is atomic and durable when acknowledged; a guard fails by
//! itself, whoever else writes; rows come in the documented order. Left out: retries of a failed commit,
//! which only the caller can decide.

use std::fmt;

use async_trait::async_trait;
use baton_types::{AccountId, BootId, EventId, MerchantId, PaymentId, Timestamp};

use crate::counts::Counts;
use crate::hooks::HookStore;
use crate::lists::ListStore;
use crate::rows::{
    AccountRow, ApiKeyRow, AuditQuery, AuditRow, DocumentQuery, DocumentRow, EventRow, GuardRow,
    IdempotencyRow, MerchantRow, OutboxRow, PaymentQuery, PaymentRow, ReferenceKind, ReferenceRow,
    TimerRow, WriteSet,
};

/// How many rows [`Store::find_reference`] returns at most.
pub const MAX_REFERENCES: usize = 10;

/// Durable state.
#[async_trait]
pub trait Store: Send + Sync {
    /// Makes the whole set durable, or nothing of it.
    async fn commit(&self, set: WriteSet) -> Result<(), CommitError>;

    /// A payment's current snapshot.
    async fn payment(
        &self,
        merchant: MerchantId,
        id: PaymentId,
    ) -> Result<Option<PaymentRow>, StoreError>;

    /// A page of a merchant's payments, newest first.
    async fn payments(&self, query: &PaymentQuery) -> Result<Vec<PaymentRow>, StoreError>;

    /// A payment's events by version.
    async fn events(
        &self,
        merchant: MerchantId,
        payment: PaymentId,
    ) -> Result<Vec<EventRow>, StoreError>;

    /// One event. After [`CommitError::InDoubt`] its id tells whether the writer's own commit stands.
    async fn event(
        &self,
        merchant: MerchantId,
        payment: PaymentId,
        version: u64,
    ) -> Result<Option<EventRow>, StoreError>;

    /// Payments that carry a reference, newest first, at most [`MAX_REFERENCES`]. Without an account,
    /// those of every account and of none.
    async fn find_reference(
        &self,
        merchant: MerchantId,
        kind: ReferenceKind,
        account: Option<AccountId>,
        value: &str,
    ) -> Result<Vec<ReferenceRow>, StoreError>;

    /// Who claimed an idempotency key. An expired row is returned until it is swept.
    async fn idempotency(
        &self,
        merchant: MerchantId,
        key: &str,
    ) -> Result<Option<IdempotencyRow>, StoreError>;

    /// Which payment has a guard's key.
    async fn guard(&self, merchant: MerchantId, key: &str) -> Result<Option<GuardRow>, StoreError>;

    /// Timers of calls in doubt, of all merchants, by (payment, call), at most `limit`; only those behind
    /// `after`. Ids of payments count up with time, so the oldest come first.
    async fn doubts(
        &self,
        after: Option<(PaymentId, String)>,
        limit: u32,
    ) -> Result<Vec<TimerRow>, StoreError>;

    /// Deletes up to `limit` idempotency rows that expired at or before `now`; returns how many.
    async fn sweep_idempotency(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError>;

    /// Takes up to `limit` timers that are due at or before `now`, those due first; they now belong to
    /// `(node, boot)` and are due at `lease_until`, when anyone may take them over. Returned as they are
    /// now, by (merchant, payment, call).
    async fn lease_timers(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        node: &str,
        boot: BootId,
        limit: u32,
    ) -> Result<Vec<TimerRow>, StoreError>;

    /// Timers that this node owned in an earlier run, due or not, by (due, merchant, payment, call); not those of the
    /// kind `alarm`, which rest until their time. It
    /// changes nothing: whoever recovers a timer sets it again under the new run.
    async fn timers_of_other_boots(
        &self,
        node: &str,
        boot: BootId,
        limit: u32,
    ) -> Result<Vec<TimerRow>, StoreError>;

    /// Takes up to `limit` messages that are due at or before `now`, those due first; they are due again at
    /// `lease_until` and count one more attempt. Returned as they are now, by (merchant, payment, version).
    async fn lease_outbox(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<OutboxRow>, StoreError>;

    /// Deletes messages that a consumer has acknowledged. Unknown ids are no error.
    async fn ack_outbox(&self, ids: &[EventId]) -> Result<(), StoreError>;

    /// A merchant by name.
    async fn merchant_by_name(&self, name: &str) -> Result<Option<MerchantRow>, StoreError>;

    /// All merchants by id.
    async fn merchants(&self) -> Result<Vec<MerchantRow>, StoreError>;

    /// An account, also a removed one.
    async fn account(
        &self,
        merchant: MerchantId,
        id: AccountId,
    ) -> Result<Option<AccountRow>, StoreError>;

    /// A merchant's accounts by number, removed ones too: their numbers are never given out again.
    async fn accounts(&self, merchant: MerchantId) -> Result<Vec<AccountRow>, StoreError>;

    /// An API key by its hash, also an expired or revoked one.
    async fn api_key_by_hash(&self, hash: &[u8]) -> Result<Option<ApiKeyRow>, StoreError>;

    /// A merchant's API keys by id, expired and revoked ones too.
    async fn api_keys(&self, merchant: MerchantId) -> Result<Vec<ApiKeyRow>, StoreError>;

    /// A document by its id, also a removed one.
    async fn document(
        &self,
        merchant: MerchantId,
        kind: &str,
        id: &str,
    ) -> Result<Option<DocumentRow>, StoreError>;

    /// A page of a merchant's documents of one kind, newest first.
    async fn documents(&self, query: &DocumentQuery) -> Result<Vec<DocumentRow>, StoreError>;

    /// Entries of the audit log, by number.
    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditRow>, StoreError>;

    /// What merchants are told by webhook.
    fn webhooks(&self) -> &dyn HookStore;

    /// Lists of payments and refunds.
    fn lists(&self) -> &dyn ListStore;

    /// Whether the store answers.
    async fn ping(&self) -> Result<(), StoreError>;

    /// What the store is and how much it holds. Counts rows: for an operator, not for each request.
    async fn describe(&self) -> Result<StoreInfo, StoreError>;

    /// What this process has had the store do. Nothing where nobody counts.
    fn counts(&self) -> Counts {
        Counts::default()
    }
}

/// What an operator sees of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreInfo {
    /// `memory`, `sqlite` or `postgres`.
    pub backend: &'static str,
    /// The database's own version.
    pub version: String,
    /// The last migration that has run; 0 in memory.
    pub schema_version: u32,
    /// How many payments there are.
    pub payments: u64,
    /// How many timers there are, for calls that are running or in doubt.
    pub timers: u64,
    /// How many messages wait to be published.
    pub outbox: u64,
    /// Settings that durability and speed depend on, as the database reports them.
    pub settings: Vec<(String, String)>,
}

/// Which guard a commit failed. Nothing of its set was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guard {
    /// The payment already has this version: reload and decide again.
    Version,
    /// The idempotency key is claimed.
    IdempotencyKey,
    /// Another payment has the guard's key.
    Duplicate,
    /// An account of the merchant has this name.
    AccountName,
    /// An account of the merchant has this number.
    AccountNumber,
    /// A merchant has this name or id.
    Merchant,
    /// An API key has this hash or id.
    ApiKey,
    /// The document has another version than the one before this, or is there already.
    Document,
    /// The audit log has gone on: take its new end and the next number.
    AuditSeq,
    /// The vault has a key of this version.
    VaultKeyVersion,
    /// A record, or a wrapped key, needs a key that is gone; or a key that is to go is still needed.
    VaultKeyInUse,
}

/// Why a commit was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitError {
    /// Surely not committed: somebody else was first.
    Conflict(Guard),
    /// Perhaps committed: the acknowledgement was lost. Re-read before doing anything.
    InDoubt,
    /// Surely not committed: the database is out of reach or out of space. Try again.
    Unavailable(String),
    /// Surely not committed, and never will be: the caller has a bug.
    Invalid(String),
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict(guard) => {
                write!(f, "not committed: another write was first ({guard:?})")
            }
            Self::InDoubt => f.write_str("perhaps committed: the acknowledgement was lost"),
            Self::Unavailable(why) => {
                write!(f, "not committed: the database is unavailable: {why}")
            }
            Self::Invalid(why) => write!(f, "not committed: the write set is invalid: {why}"),
        }
    }
}

impl std::error::Error for CommitError {}

/// Why a read, a lease or an acknowledgement failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The database did not answer. Try again; a lease that was taken nevertheless runs out.
    Unavailable(String),
    /// A stored row cannot be read: it was not written by this program.
    Corrupt(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) => write!(f, "the database is unavailable: {why}"),
            Self::Corrupt(why) => write!(f, "a stored row cannot be read: {why}"),
        }
    }
}

impl std::error::Error for StoreError {}
