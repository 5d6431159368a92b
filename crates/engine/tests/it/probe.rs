//! A store that counts the commits of payments, and can hold, fail or lose each of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use baton_store::{
    AccountRow, ApiKeyRow, AuditQuery, AuditRow, CommitError, DocumentQuery, DocumentRow, EventRow,
    GuardRow, HookStore, IdempotencyRow, ListStore, MerchantRow, OutboxRow, PaymentQuery,
    PaymentRow, ReferenceKind, ReferenceRow, Store, StoreError, StoreInfo, TimerRow, Write,
    WriteSet,
};
use baton_types::{AccountId, BootId, EventId, MerchantId, PaymentId, Timestamp};
use tokio::sync::Semaphore;

/// What happens to one commit.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Pass,
    /// Waits for a permit first.
    Hold(Arc<Semaphore>),
    /// Is not committed, and answers this.
    Fail(CommitError),
    /// Is committed, and answers that nobody knows.
    LoseAnswer,
    /// Is not committed, and never answers: the process dies before it.
    DieBefore,
    /// Is committed, and never answers: the process dies just after it.
    DieAfter,
}

type Script = Box<dyn FnMut(usize, &WriteSet) -> Act + Send>;

pub(crate) struct Probe {
    inner: Arc<dyn Store>,
    commits: AtomicUsize,
    script: Mutex<Script>,
    /// Gets a permit when the process is to die.
    pub(crate) died: Semaphore,
}

impl Probe {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            commits: AtomicUsize::new(0),
            script: Mutex::new(Box::new(|_, _| Act::Pass)),
            died: Semaphore::new(0),
        })
    }

    /// How many commits of payments were asked for.
    pub(crate) fn commits(&self) -> usize {
        self.commits.load(Ordering::SeqCst)
    }

    /// Counts from 1 again, and decides about every commit of a payment by its number.
    pub(crate) fn script(&self, script: impl FnMut(usize, &WriteSet) -> Act + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
        self.commits.store(0, Ordering::SeqCst);
    }

    async fn die(&self) -> ! {
        self.died.add_permits(1);
        std::future::pending().await
    }
}

#[async_trait]
impl Store for Probe {
    async fn commit(&self, set: WriteSet) -> Result<(), CommitError> {
        if !set.writes.iter().any(|write| matches!(write, Write::Payment(_))) {
            return self.inner.commit(set).await;
        }
        let number = self.commits.fetch_add(1, Ordering::SeqCst) + 1;
        let act = (self.script.lock().unwrap())(number, &set);
        match act {
            Act::Pass => self.inner.commit(set).await,
            Act::Hold(gate) => {
                gate.acquire().await.unwrap().forget();
                self.inner.commit(set).await
            }
            Act::Fail(error) => Err(error),
            Act::LoseAnswer => {
                let _unheard = self.inner.commit(set).await;
                Err(CommitError::InDoubt)
            }
            Act::DieBefore => self.die().await,
            Act::DieAfter => {
                self.inner.commit(set).await.unwrap();
                self.die().await
            }
        }
    }

    async fn payment(
        &self,
        merchant: MerchantId,
        id: PaymentId,
    ) -> Result<Option<PaymentRow>, StoreError> {
        self.inner.payment(merchant, id).await
    }

    async fn payments(&self, query: &PaymentQuery) -> Result<Vec<PaymentRow>, StoreError> {
        self.inner.payments(query).await
    }

    async fn document(
        &self,
        merchant: MerchantId,
        kind: &str,
        id: &str,
    ) -> Result<Option<DocumentRow>, StoreError> {
        self.inner.document(merchant, kind, id).await
    }

    async fn documents(&self, query: &DocumentQuery) -> Result<Vec<DocumentRow>, StoreError> {
        self.inner.documents(query).await
    }

    async fn events(
        &self,
        merchant: MerchantId,
        payment: PaymentId,
    ) -> Result<Vec<EventRow>, StoreError> {
        self.inner.events(merchant, payment).await
    }

    async fn event(
        &self,
        merchant: MerchantId,
        payment: PaymentId,
        version: u64,
    ) -> Result<Option<EventRow>, StoreError> {
        self.inner.event(merchant, payment, version).await
    }

    async fn find_reference(
        &self,
        merchant: MerchantId,
        kind: ReferenceKind,
        account: Option<AccountId>,
        value: &str,
    ) -> Result<Vec<ReferenceRow>, StoreError> {
        self.inner.find_reference(merchant, kind, account, value).await
    }

    async fn idempotency(
        &self,
        merchant: MerchantId,
        key: &str,
    ) -> Result<Option<IdempotencyRow>, StoreError> {
        self.inner.idempotency(merchant, key).await
    }

    async fn guard(&self, merchant: MerchantId, key: &str) -> Result<Option<GuardRow>, StoreError> {
        self.inner.guard(merchant, key).await
    }

    async fn doubts(
        &self,
        after: Option<(PaymentId, String)>,
        limit: u32,
    ) -> Result<Vec<TimerRow>, StoreError> {
        self.inner.doubts(after, limit).await
    }

    async fn sweep_idempotency(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.inner.sweep_idempotency(now, limit).await
    }

    async fn lease_timers(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        node: &str,
        boot: BootId,
        limit: u32,
    ) -> Result<Vec<TimerRow>, StoreError> {
        self.inner.lease_timers(now, lease_until, node, boot, limit).await
    }

    async fn timers_of_other_boots(
        &self,
        node: &str,
        boot: BootId,
        limit: u32,
    ) -> Result<Vec<TimerRow>, StoreError> {
        self.inner.timers_of_other_boots(node, boot, limit).await
    }

    async fn lease_outbox(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        self.inner.lease_outbox(now, lease_until, limit).await
    }

    async fn ack_outbox(&self, ids: &[EventId]) -> Result<(), StoreError> {
        self.inner.ack_outbox(ids).await
    }

    async fn merchant_by_name(&self, name: &str) -> Result<Option<MerchantRow>, StoreError> {
        self.inner.merchant_by_name(name).await
    }

    async fn merchants(&self) -> Result<Vec<MerchantRow>, StoreError> {
        self.inner.merchants().await
    }

    async fn account(
        &self,
        merchant: MerchantId,
        id: AccountId,
    ) -> Result<Option<AccountRow>, StoreError> {
        self.inner.account(merchant, id).await
    }

    async fn accounts(&self, merchant: MerchantId) -> Result<Vec<AccountRow>, StoreError> {
        self.inner.accounts(merchant).await
    }

    async fn api_key_by_hash(&self, hash: &[u8]) -> Result<Option<ApiKeyRow>, StoreError> {
        self.inner.api_key_by_hash(hash).await
    }

    async fn api_keys(&self, merchant: MerchantId) -> Result<Vec<ApiKeyRow>, StoreError> {
        self.inner.api_keys(merchant).await
    }

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditRow>, StoreError> {
        self.inner.audit(query).await
    }

    fn webhooks(&self) -> &dyn HookStore {
        self.inner.webhooks()
    }

    fn lists(&self) -> &dyn ListStore {
        self.inner.lists()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }

    async fn describe(&self) -> Result<StoreInfo, StoreError> {
        self.inner.describe().await
    }
}
