//! The store as one node sees it: the shared database behind a network, a disk and the node's own gate.
//!
//! What is acknowledged is durable, as a database promises. What is not acknowledged may be committed or
//! not, and a node that dies in between never learns which. Once no more orders come, questions for due work wait
//! until there is some, so that days pass quickly; a database may answer slowly.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use baton_store::{
    AccountRow, ApiKeyRow, AuditQuery, AuditRow, CommitError, DocumentQuery, DocumentRow, EventRow,
    GuardRow, HookStore, IdempotencyRow, ListStore, MemoryStore, MerchantRow, OutboxRow,
    PaymentQuery, PaymentRow, ReferenceKind, ReferenceRow, Store, StoreError, StoreInfo, TimerRow,
    WriteSet,
};
use baton_types::{AccountId, BootId, EventId, MerchantId, PaymentId, Timestamp};
use tokio::sync::Notify;

use crate::dice::Dice;
use crate::faults::Faults;
use crate::gate::Gate;
use crate::time::Time;

/// The one database of a world, with its troubles.
pub(crate) struct Database {
    pub(crate) memory: MemoryStore,
    time: Time,
    dice: Dice,
    faults: Faults,
    commits: AtomicU64,
    /// Until when, in milliseconds of the world: nothing answers, no write is taken, writes are slow.
    down_until: AtomicI64,
    full_until: AtomicI64,
    slow_until: AtomicI64,
    calm: AtomicBool,
    /// Whether questions for due work wait until there is some.
    waits: AtomicBool,
    changed: Notify,
    secret: Mutex<Option<String>>,
}

/// More commits than this in one world are a loop: one of the worst days has a tenth of it.
const COMMITS_MAX: u64 = 50_000;

/// What befalls a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Done,
    Fails,
    /// The acknowledgement is lost.
    InDoubt {
        committed: bool,
    },
}

impl Database {
    pub(crate) fn new(time: Time, dice: Dice, faults: Faults) -> Self {
        Self {
            memory: MemoryStore::default(),
            time,
            dice,
            faults,
            commits: AtomicU64::new(0),
            down_until: AtomicI64::new(0),
            full_until: AtomicI64::new(0),
            slow_until: AtomicI64::new(0),
            calm: AtomicBool::new(false),
            waits: AtomicBool::new(false),
            changed: Notify::new(),
            secret: Mutex::default(),
        }
    }

    pub(crate) fn down(&self, for_ms: i64) {
        self.down_until.store(self.time.elapsed_ms().saturating_add(for_ms), Ordering::Relaxed);
    }

    pub(crate) fn full(&self, for_ms: i64) {
        self.full_until.store(self.time.elapsed_ms().saturating_add(for_ms), Ordering::Relaxed);
    }

    pub(crate) fn slow(&self, for_ms: i64) {
        self.slow_until.store(self.time.elapsed_ms().saturating_add(for_ms), Ordering::Relaxed);
    }

    /// From now on, questions for due work wait until there is some: hours pass quickly.
    pub(crate) fn waits(&self) {
        self.waits.store(true, Ordering::Relaxed);
    }

    /// Nothing goes wrong any more.
    pub(crate) fn calm(&self) {
        for until in [&self.down_until, &self.full_until, &self.slow_until] {
            until.store(0, Ordering::Relaxed);
        }
        self.calm.store(true, Ordering::Relaxed);
    }

    /// What is about to be stored is searched for the card, once it is noted that it was found.
    fn scan(&self, set: &WriteSet) {
        if let Some(found) = crate::secrets::found(set) {
            let mut first = self.secret.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert(found);
        }
    }

    /// Where the card was found first, if it was.
    pub(crate) fn secret(&self) -> Option<String> {
        self.secret.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether there were more commits than any world needs.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.commits.load(Ordering::Relaxed) > COMMITS_MAX
    }

    fn is(&self, until: &AtomicI64) -> bool {
        let until = until.load(Ordering::Relaxed);
        until > 0 && self.time.elapsed_ms() < until
    }

    fn answers(&self) -> Result<(), StoreError> {
        if self.is(&self.down_until) {
            return Err(StoreError::Unavailable("simulated: the database fails over".to_owned()));
        }
        Ok(())
    }

    fn fate(&self) -> (Fate, Duration) {
        let number = self.commits.fetch_add(1, Ordering::Relaxed);
        let mut dice = self.dice.at(number);
        let slow = self.is(&self.slow_until);
        let takes = if slow { dice.between(100, 3_000) } else { dice.between(1, 4) };
        let fate = if self.is(&self.full_until) {
            Fate::Fails
        } else if self.is(&self.down_until) {
            // What was on its way when the database went is in doubt; what comes after fails.
            match dice.below(4) {
                0 => Fate::InDoubt { committed: dice.chance(500_000) },
                _ => Fate::Fails,
            }
        } else if self.calm.load(Ordering::Relaxed) {
            Fate::Done
        } else if dice.chance(self.faults.commit_fails) {
            Fate::Fails
        } else if dice.chance(self.faults.commit_in_doubt) {
            Fate::InDoubt { committed: dice.chance(600_000) }
        } else {
            Fate::Done
        };
        (fate, Duration::from_millis(takes))
    }

    /// Waits until something is due, or changes; not while orders come in.
    async fn rest(&self, due: impl Future<Output = Option<Timestamp>>) {
        const LONGEST_MS: i64 = 6 * 3_600_000;
        if !self.waits.load(Ordering::Relaxed) {
            return;
        }
        let changed = self.changed.notified();
        let wait_ms =
            due.await.map_or(LONGEST_MS, |due| due.millis().saturating_sub(self.time.now_ms()));
        let wait_ms = u64::try_from(wait_ms.clamp(0, LONGEST_MS)).unwrap_or(0);
        tokio::select! {
            biased;
            () = changed => {}
            () = tokio::time::sleep(Duration::from_millis(wait_ms)) => {}
        }
    }
}

/// The database through one node's eyes.
pub(crate) struct NodeStore {
    pub(crate) database: Arc<Database>,
    pub(crate) gate: Arc<Gate>,
}

impl NodeStore {
    async fn reads<T>(
        &self,
        read: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.gate.cross().await;
        let result = match self.database.answers() {
            Ok(()) => read.await,
            Err(error) => Err(error),
        };
        self.gate.up().await;
        result
    }

    /// Takes what is due. To ask in vain is no moment to die at: nothing has changed since the one before.
    async fn leases<T>(
        &self,
        lease: impl Future<Output = Result<Vec<T>, StoreError>>,
        due: impl Future<Output = Option<Timestamp>>,
    ) -> Result<Vec<T>, StoreError> {
        self.gate.up().await;
        self.database.answers()?;
        let rows = lease.await?;
        if rows.is_empty() {
            self.database.rest(due).await;
            self.gate.up().await;
        } else {
            self.gate.cross().await;
        }
        Ok(rows)
    }

    /// As `reads`; what it changes stands even if the node dies before it hears of it.
    async fn changes<T>(
        &self,
        change: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.gate.cross().await;
        let result = match self.database.answers() {
            Ok(()) => change.await,
            Err(error) => Err(error),
        };
        self.gate.cross().await;
        result
    }
}

#[async_trait]
impl Store for NodeStore {
    async fn commit(&self, set: WriteSet) -> Result<(), CommitError> {
        self.gate.cross().await;
        let database = &self.database;
        database.scan(&set);
        if database.is_exhausted() {
            // Nodes that commit without end would never let the world rest.
            std::future::pending::<()>().await;
        }
        let (fate, takes) = database.fate();
        tokio::time::sleep(takes).await;
        let result = match fate {
            Fate::Done => database.memory.commit(set).await,
            Fate::Fails => Err(CommitError::Unavailable("simulated".to_owned())),
            Fate::InDoubt { committed } => {
                if committed {
                    // Whoever lost the acknowledgement has lost the guard's answer too.
                    let _unheard = database.memory.commit(set).await;
                }
                Err(CommitError::InDoubt)
            }
        };
        database.changed.notify_waiters();
        self.gate.cross().await;
        result
    }

    async fn payment(
        &self,
        merchant: MerchantId,
        id: PaymentId,
    ) -> Result<Option<PaymentRow>, StoreError> {
        self.reads(self.database.memory.payment(merchant, id)).await
    }

    async fn payments(&self, query: &PaymentQuery) -> Result<Vec<PaymentRow>, StoreError> {
        self.reads(self.database.memory.payments(query)).await
    }

    async fn events(
        &self,
        merchant: MerchantId,
        payment: PaymentId,
    ) -> Result<Vec<EventRow>, StoreError> {
        self.reads(self.database.memory.events(merchant, payment)).await
    }

    async fn event(
        &self,
        merchant: MerchantId,
        payment: PaymentId,
        version: u64,
    ) -> Result<Option<EventRow>, StoreError> {
        self.reads(self.database.memory.event(merchant, payment, version)).await
    }

    async fn find_reference(
        &self,
        merchant: MerchantId,
        kind: ReferenceKind,
        account: Option<AccountId>,
        value: &str,
    ) -> Result<Vec<ReferenceRow>, StoreError> {
        self.reads(self.database.memory.find_reference(merchant, kind, account, value)).await
    }

    async fn idempotency(
        &self,
        merchant: MerchantId,
        key: &str,
    ) -> Result<Option<IdempotencyRow>, StoreError> {
        self.reads(self.database.memory.idempotency(merchant, key)).await
    }

    async fn guard(&self, merchant: MerchantId, key: &str) -> Result<Option<GuardRow>, StoreError> {
        self.reads(self.database.memory.guard(merchant, key)).await
    }

    async fn doubts(
        &self,
        after: Option<(PaymentId, String)>,
        limit: u32,
    ) -> Result<Vec<TimerRow>, StoreError> {
        self.reads(self.database.memory.doubts(after, limit)).await
    }

    async fn sweep_idempotency(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let swept = self.changes(self.database.memory.sweep_idempotency(now, limit)).await?;
        if swept == 0 {
            self.database.rest(async { None }).await;
        }
        Ok(swept)
    }

    async fn lease_timers(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        node: &str,
        boot: BootId,
        limit: u32,
    ) -> Result<Vec<TimerRow>, StoreError> {
        let memory = &self.database.memory;
        let lease = memory.lease_timers(now, lease_until, node, boot, limit);
        self.leases(lease, async { memory.next_timer() }).await
    }

    async fn timers_of_other_boots(
        &self,
        node: &str,
        boot: BootId,
        limit: u32,
    ) -> Result<Vec<TimerRow>, StoreError> {
        self.reads(self.database.memory.timers_of_other_boots(node, boot, limit)).await
    }

    async fn lease_outbox(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        let memory = &self.database.memory;
        let lease = memory.lease_outbox(now, lease_until, limit);
        self.leases(lease, async { memory.next_message() }).await
    }

    async fn ack_outbox(&self, ids: &[EventId]) -> Result<(), StoreError> {
        self.changes(self.database.memory.ack_outbox(ids)).await
    }

    async fn merchant_by_name(&self, name: &str) -> Result<Option<MerchantRow>, StoreError> {
        self.reads(self.database.memory.merchant_by_name(name)).await
    }

    async fn merchants(&self) -> Result<Vec<MerchantRow>, StoreError> {
        self.reads(self.database.memory.merchants()).await
    }

    async fn account(
        &self,
        merchant: MerchantId,
        id: AccountId,
    ) -> Result<Option<AccountRow>, StoreError> {
        self.reads(self.database.memory.account(merchant, id)).await
    }

    async fn accounts(&self, merchant: MerchantId) -> Result<Vec<AccountRow>, StoreError> {
        self.reads(self.database.memory.accounts(merchant)).await
    }

    async fn api_key_by_hash(&self, hash: &[u8]) -> Result<Option<ApiKeyRow>, StoreError> {
        self.reads(self.database.memory.api_key_by_hash(hash)).await
    }

    async fn api_keys(&self, merchant: MerchantId) -> Result<Vec<ApiKeyRow>, StoreError> {
        self.reads(self.database.memory.api_keys(merchant)).await
    }

    async fn document(
        &self,
        merchant: MerchantId,
        kind: &str,
        id: &str,
    ) -> Result<Option<DocumentRow>, StoreError> {
        self.reads(self.database.memory.document(merchant, kind, id)).await
    }

    async fn documents(&self, query: &DocumentQuery) -> Result<Vec<DocumentRow>, StoreError> {
        self.reads(self.database.memory.documents(query)).await
    }

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditRow>, StoreError> {
        self.reads(self.database.memory.audit(query)).await
    }

    fn webhooks(&self) -> &dyn HookStore {
        self.database.memory.webhooks()
    }

    fn lists(&self) -> &dyn ListStore {
        self.database.memory.lists()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.reads(self.database.memory.ping()).await
    }

    async fn describe(&self) -> Result<StoreInfo, StoreError> {
        self.reads(self.database.memory.describe()).await
    }
}
