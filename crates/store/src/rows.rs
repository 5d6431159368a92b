//! What is stored: one struct per table, and the [`WriteSet`] that changes several of them at once.
//!
//! Snapshots, event bodies, outbox bodies and account configurations are opaque text to the store. Left
//! out: their encoding, and every rule about which change may follow which.

use std::fmt;

use baton_types::{AccountId, ApiKeyId, BootId, EventId, MerchantId, PaymentId, Timestamp};

use crate::hooks::HookReplay;
use crate::lists::{ListedRow, Relisted};

/// Changes that become durable together or not at all.
///
/// The store applies them by table, guards first, and keeps the given order within one table; a set that
/// fails a guard leaves nothing behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteSet {
    /// The changes.
    pub writes: Vec<Write>,
}

impl WriteSet {
    /// A set without changes.
    #[must_use]
    pub const fn new() -> Self {
        Self { writes: Vec::new() }
    }

    /// Adds a change.
    pub fn push(&mut self, write: Write) {
        self.writes.push(write);
    }
}

impl From<Vec<Write>> for WriteSet {
    fn from(writes: Vec<Write>) -> Self {
        Self { writes }
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// A payment's new snapshot, inserted or replaced; `merchant_ref`, `test` and `created_at` stay as first
    /// written. The same set must hold the [`Write::Event`] of the same version, which is the guard: without
    /// it, a lost race would overwrite the winner.
    Payment(PaymentRow),
    /// An event. Fails with [`Guard::Version`](crate::Guard::Version) if the payment has that version.
    Event(EventRow),
    /// A message to publish.
    Outbox(OutboxRow),
    /// Sets the call's only timer, replacing the one it had.
    SetTimer(TimerRow),
    /// Removes the call's timer, if it has one.
    ClearTimer {
        /// The payment's merchant.
        merchant: MerchantId,
        /// The payment.
        payment: PaymentId,
        /// The call within the payment.
        call: String,
    },
    /// Claims an idempotency key. Fails with [`Guard::IdempotencyKey`](crate::Guard::IdempotencyKey) while
    /// a row has the key, expired or not.
    ClaimKey(IdempotencyRow),
    /// Gives an idempotency key back, if it is claimed.
    ReleaseKey {
        /// The key's merchant.
        merchant: MerchantId,
        /// The client's key.
        key: String,
    },
    /// Takes a key that one payment at a time may have. Fails with [`Guard::Duplicate`](crate::Guard::Duplicate)
    /// while a row has the key, whoever's.
    TakeGuard(GuardRow),
    /// Takes a key if no row has it. Never fails.
    KeepGuard(GuardRow),
    /// Gives a key back, if this payment has it.
    ReleaseGuard {
        /// The key's merchant.
        merchant: MerchantId,
        /// The key.
        key: String,
        /// The payment that has it.
        payment: PaymentId,
    },
    /// Makes a payment findable by a reference. Repeating it changes nothing.
    Reference(ReferenceRow),
    /// A new merchant. Fails with [`Guard::Merchant`](crate::Guard::Merchant) if id or name is taken.
    Merchant(MerchantRow),
    /// A gateway account, inserted or replaced by (merchant, id); `number` and `created_at` stay as first
    /// written. Fails with [`Guard::AccountName`](crate::Guard::AccountName) if another account of the
    /// merchant that is not removed has the name, with `AccountNumber` if any other has the number.
    Account(AccountRow),
    /// Marks an account as removed. It stays readable, because its payments still need it.
    RemoveAccount {
        /// The account's merchant.
        merchant: MerchantId,
        /// The account.
        id: AccountId,
        /// When.
        at: Timestamp,
    },
    /// A new API key. Fails with [`Guard::ApiKey`](crate::Guard::ApiKey) if id or hash is taken.
    ApiKey(ApiKeyRow),
    /// Gives an API key another name and end.
    RenameApiKey {
        /// The key.
        id: ApiKeyId,
        /// Its name.
        name: String,
        /// From when on it is not valid.
        expires_at: Option<Timestamp>,
    },
    /// Marks an API key as revoked. The first revocation stands.
    RevokeApiKey {
        /// The key.
        id: ApiKeyId,
        /// When.
        at: Timestamp,
    },
    /// A document's next version: 1 makes it, and is refused where there is one; any other follows the
    /// one before it, which has to be there. Fails with [`Guard::Document`](crate::Guard::Document).
    /// `created_at` stays as first written.
    Document(DocumentRow),
    /// The audit log's next entry. Fails with [`Guard::AuditSeq`](crate::Guard::AuditSeq) if the log has an
    /// entry of this number, or one that follows the same entry.
    Audit(AuditRow),
    /// What an object is listed by, inserted or replaced; `created_at` stays as first written.
    Listed(ListedRow),
    /// How a listed object stands from now on.
    Relisted(Relisted),
    /// Has an event for a merchant told again.
    ReplayHook(HookReplay),
}

impl Write {
    /// The table's place in the order in which every backend applies a set. One order for all backends
    /// makes them report the same guard, and makes concurrent transactions lock tables in the same order.
    pub(crate) const fn rank(&self) -> u8 {
        match self {
            Self::Merchant(_) => 0,
            Self::Account(_) | Self::RemoveAccount { .. } => 1,
            Self::ApiKey(_) | Self::RenameApiKey { .. } | Self::RevokeApiKey { .. } => 2,
            Self::Event(_) => 3,
            Self::ClaimKey(_) | Self::ReleaseKey { .. } => 4,
            Self::Document(_) => 5,
            // After the keys of clients: a repeat is a repeat before it is a duplicate.
            Self::TakeGuard(_) | Self::KeepGuard(_) | Self::ReleaseGuard { .. } => 6,
            // After the other guards: whoever loses here only has to take the next number.
            Self::Audit(_) => 7,
            Self::Payment(_) => 8,
            Self::SetTimer(_) | Self::ClearTimer { .. } => 9,
            Self::Outbox(_) => 10,
            Self::Reference(_) => 11,
            Self::Listed(_) | Self::Relisted(_) => 12,
            // Their statements have places of their own, behind all of these.
            Self::ReplayHook(_) => 13,
        }
    }
}

/// A payment's current state: what is searched or listed as columns, everything in `snapshot`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentRow {
    /// The merchant.
    pub merchant: MerchantId,
    /// The payment.
    pub id: PaymentId,
    /// Counts from 1.
    pub version: u64,
    /// The state's name.
    pub status: String,
    /// What kind of payment.
    pub kind: String,
    /// The amount in the currency's minor units.
    pub amount_minor: Option<i64>,
    /// ISO 4217 code.
    pub currency: Option<String>,
    /// The client's own reference. What is to be listed by it has a [`ReferenceRow`] for it too.
    pub merchant_ref: Option<String>,
    /// Moves no real money.
    pub test: bool,
    /// The account that gave, or is to give, the final answer.
    pub account: Option<AccountId>,
    /// Time of the first version.
    pub created_at: Timestamp,
    /// Time of this version.
    pub updated_at: Timestamp,
    /// Version of the snapshot's encoding.
    pub schema: u32,
    /// The encoded payment.
    pub snapshot: String,
}

/// What led to one version of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// Tells a writer, after a lost acknowledgement, whether the commit that stands is its own.
    pub id: EventId,
    /// The merchant.
    pub merchant: MerchantId,
    /// The payment.
    pub payment: PaymentId,
    /// The version that this event made.
    pub version: u64,
    /// When.
    pub at: Timestamp,
    /// Version of the body's encoding.
    pub schema: u32,
    /// The encoded event.
    pub body: String,
}

/// A message that waits to be published; deleted once a consumer has acknowledged it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// The event that it tells about.
    pub id: EventId,
    /// The merchant.
    pub merchant: MerchantId,
    /// The payment.
    pub payment: PaymentId,
    /// Consumers order by (payment, version): rows become visible out of order.
    pub version: u64,
    /// When to publish, or until when a worker holds the row.
    pub due_at: Timestamp,
    /// How often the row has been leased.
    pub attempts: u32,
    /// The encoded message.
    pub body: String,
}

/// Something to do for a call at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerRow {
    /// The merchant.
    pub merchant: MerchantId,
    /// The payment.
    pub payment: PaymentId,
    /// The call within the payment; it has at most one timer.
    pub call: String,
    /// `watch`: the owner still works on the call; `resolve`: its outcome is unknown; `chore`: something else is to be
    /// done; `alarm`: that rests until its time.
    pub kind: String,
    /// When to act, or until when a worker holds the row.
    pub due_at: Timestamp,
    /// Place in the schedule; kept by the caller.
    pub attempt: u32,
    /// The node that owns the timer.
    pub node: String,
    /// The run of that node.
    pub boot: BootId,
}

/// A claimed idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyRow {
    /// The merchant.
    pub merchant: MerchantId,
    /// The client's key.
    pub key: String,
    /// Keyed hash of the request.
    pub fingerprint: Vec<u8>,
    /// The payment that the request made or changed.
    pub payment: PaymentId,
    /// The call within the payment.
    pub call: String,
    /// When claimed.
    pub created_at: Timestamp,
    /// From when on a sweep may delete the row.
    pub expires_at: Timestamp,
}

/// A key that one payment at a time may have: what would be bought twice by another with the same key.
#[derive(Clone, PartialEq, Eq)]
pub struct GuardRow {
    /// The merchant.
    pub merchant: MerchantId,
    /// The key. It may hold a card's keyed fingerprint, so `Debug` leaves it out.
    pub key: String,
    /// The payment that has it.
    pub payment: PaymentId,
    /// When it was taken.
    pub created_at: Timestamp,
}

impl fmt::Debug for GuardRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardRow")
            .field("merchant", &self.merchant)
            .field("payment", &self.payment)
            .finish_non_exhaustive()
    }
}

/// Whose reference it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReferenceKind {
    /// Ours: what an attempt tells the provider.
    Attempt,
    /// Theirs: what the provider answered.
    Provider,
    /// The client's own.
    Merchant,
}

/// Finds a payment by a reference. References are not unique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceRow {
    /// The merchant.
    pub merchant: MerchantId,
    /// Whose reference.
    pub kind: ReferenceKind,
    /// The account at which the reference was used.
    pub account: Option<AccountId>,
    /// The reference.
    pub value: String,
    /// The payment.
    pub payment: PaymentId,
    /// The call within the payment.
    pub call: String,
    /// When.
    pub created_at: Timestamp,
}

/// A merchant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MerchantRow {
    /// The merchant.
    pub id: MerchantId,
    /// Unique; what the command line calls it.
    pub name: String,
    /// When.
    pub created_at: Timestamp,
}

/// A merchant's account at a provider.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountRow {
    /// The merchant.
    pub merchant: MerchantId,
    /// The account.
    pub id: AccountId,
    /// Stable per merchant, never reused.
    pub number: i64,
    /// Unique among the merchant's accounts that are not removed.
    pub name: String,
    /// The connector.
    pub gateway: String,
    /// Instead of the connector's own URL; test accounts only.
    pub base_url: Option<String>,
    /// Moves no real money.
    pub test: bool,
    /// When.
    pub created_at: Timestamp,
    /// When last changed.
    pub updated_at: Timestamp,
    /// When removed.
    pub removed_at: Option<Timestamp>,
    /// Opaque JSON; may hold credentials, so `Debug` leaves it out.
    pub config: String,
}

impl fmt::Debug for AccountRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountRow")
            .field("merchant", &self.merchant)
            .field("id", &self.id)
            .field("number", &self.number)
            .field("name", &self.name)
            .field("gateway", &self.gateway)
            .field("removed_at", &self.removed_at)
            .finish_non_exhaustive()
    }
}

/// Which payments to list, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentQuery {
    /// The merchant.
    pub merchant: MerchantId,
    /// Of test accounts.
    pub test: bool,
    /// Not made before this time.
    pub from: Timestamp,
    /// Not made after this time.
    pub to: Timestamp,
    /// Only behind this one, in the order of the list: the last of an earlier page.
    pub after: Option<(Timestamp, PaymentId)>,
    /// Only with this final account.
    pub account: Option<AccountId>,
    /// Only of these kinds; empty means all.
    pub kinds: Vec<String>,
    /// Only in one of these states; empty means all.
    pub statuses: Vec<String>,
    /// Only with this reference of the merchant's.
    pub merchant_ref: Option<String>,
    /// How many at most.
    pub limit: u32,
}

impl PaymentQuery {
    /// The latest time that can be on the page, and at that time, which payment all have to precede.
    pub(crate) fn bound(&self) -> (Timestamp, Option<PaymentId>) {
        match self.after {
            Some((at, id)) if at <= self.to => (at, Some(id)),
            _ => (self.to, None),
        }
    }

    /// Whether a row belongs to the list; the page aside.
    pub(crate) fn takes(&self, row: &PaymentRow) -> bool {
        let (to, before) = self.bound();
        let one_of = |list: &[String], word: &String| list.is_empty() || list.contains(word);
        (row.merchant, row.test) == (self.merchant, self.test)
            && row.created_at >= self.from
            && (row.created_at < to
                || row.created_at == to && before.is_none_or(|before| row.id < before))
            && (self.account.is_none() || row.account == self.account)
            && one_of(&self.kinds, &row.kind)
            && one_of(&self.statuses, &row.status)
            && (self.merchant_ref.is_none() || row.merchant_ref == self.merchant_ref)
    }
}

/// An object that is found by its id or listed by what it belongs to.
#[derive(Clone, PartialEq, Eq)]
pub struct DocumentRow {
    /// The merchant.
    pub merchant: MerchantId,
    /// What it is.
    pub kind: String,
    /// Unique among the merchant's documents of this kind.
    pub id: String,
    /// Counts from 1.
    pub version: u64,
    /// The id of what it belongs to; empty for the merchant's own.
    pub owner: String,
    /// The state's name; no comma.
    pub status: String,
    /// When.
    pub created_at: Timestamp,
    /// When last changed.
    pub updated_at: Timestamp,
    /// When removed. It stays readable.
    pub removed_at: Option<Timestamp>,
    /// Version of the body's encoding.
    pub schema: u32,
    /// The encoded object. `Debug` leaves it out: it may tell about people.
    pub body: String,
}

impl fmt::Debug for DocumentRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DocumentRow")
            .field("merchant", &self.merchant)
            .field("kind", &self.kind)
            .field("id", &self.id)
            .field("version", &self.version)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// Which documents to list, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentQuery {
    /// The merchant.
    pub merchant: MerchantId,
    /// What they are.
    pub kind: String,
    /// Only what belongs to this.
    pub owner: Option<String>,
    /// Not made before this time.
    pub from: Timestamp,
    /// Not made after this time.
    pub to: Timestamp,
    /// Only behind this one, in the order of the list: the last of an earlier page.
    pub after: Option<(Timestamp, String)>,
    /// Only in one of these states; empty means all.
    pub statuses: Vec<String>,
    /// Removed ones too.
    pub removed: bool,
    /// How many at most.
    pub limit: u32,
}

impl DocumentQuery {
    /// The latest time that can be on the page, and at that time, which document all have to precede.
    pub(crate) fn bound(&self) -> (Timestamp, Option<&str>) {
        match &self.after {
            Some((at, id)) if *at <= self.to => (*at, Some(id)),
            _ => (self.to, None),
        }
    }

    /// Whether a row belongs to the list; the page aside.
    pub(crate) fn takes(&self, row: &DocumentRow) -> bool {
        let (to, before) = self.bound();
        (row.merchant, &row.kind) == (self.merchant, &self.kind)
            && self.owner.as_ref().is_none_or(|owner| row.owner == *owner)
            && row.created_at >= self.from
            && (row.created_at < to
                || row.created_at == to && before.is_none_or(|before| row.id.as_str() < before))
            && (self.statuses.is_empty() || self.statuses.contains(&row.status))
            && (self.removed || row.removed_at.is_none())
    }
}

/// An API key, known by its hash only.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKeyRow {
    /// The key's id, which is no secret.
    pub id: ApiKeyId,
    /// The merchant.
    pub merchant: MerchantId,
    /// Hash of the key.
    pub hash: Vec<u8>,
    /// The key's last four characters.
    pub hint: String,
    /// What the operator calls it.
    pub name: String,
    /// What it may do: words without white space.
    pub scopes: Vec<String>,
    /// For test accounts only.
    pub sandbox: bool,
    /// When.
    pub created_at: Timestamp,
    /// From when on it is not valid.
    pub expires_at: Option<Timestamp>,
    /// When revoked.
    pub revoked_at: Option<Timestamp>,
    /// Its own limit, in requests per second.
    pub rate_limit: Option<u32>,
}

impl fmt::Debug for ApiKeyRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyRow")
            .field("id", &self.id)
            .field("merchant", &self.merchant)
            .field("hint", &self.hint)
            .field("name", &self.name)
            .field("scopes", &self.scopes)
            .field("sandbox", &self.sandbox)
            .field("expires_at", &self.expires_at)
            .field("revoked_at", &self.revoked_at)
            .field("rate_limit", &self.rate_limit)
            .finish_non_exhaustive()
    }
}

/// An entry of the audit log. Its texts are those that were hashed, so nothing is parsed on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Counts from 1, without gaps, over the whole database.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Whose; none for what is the node's own.
    pub merchant: Option<String>,
    /// Who did it.
    pub actor: String,
    /// What was done: a word.
    pub action: String,
    /// To what: an id.
    pub subject: String,
    /// More, as JSON. Never a secret.
    pub detail: String,
    /// The request in which it was done.
    pub request_id: Option<String>,
    /// The hash of the entry before; none for the first.
    pub prev: Option<Vec<u8>>,
    /// SHA-256 over all of this, made by the writer.
    pub hash: Vec<u8>,
}

/// Which entries of the audit log to read. What is absent does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Whose.
    pub merchant: Option<String>,
    /// By whom.
    pub actor: Option<String>,
    /// What was done.
    pub action: Option<String>,
    /// To what.
    pub subject: Option<String>,
    /// At this time or later.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub to: Option<Timestamp>,
    /// From the end of the log to its start, instead of the other way round.
    pub newest_first: bool,
    /// Beyond the entry of this number, in the direction of reading.
    pub beyond: Option<u64>,
    /// At most so many.
    pub limit: u32,
}
