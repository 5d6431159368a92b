//! The store on a relational database: every query in terms of a [`Backend`] that runs statements.
//!
//! Rows are sorted here once more, because databases compare texts by collations of their own.

use async_trait::async_trait;
use baton_types::{AccountId, BootId, EventId, MerchantId, PaymentId, Timestamp};

use crate::compile::{Statement, Value, compile, kind_name};
use crate::counts::Counts;
use crate::decode::{self, Decode};
use crate::hooks::HookStore;
use crate::lists::ListStore;
use crate::migrations;
use crate::rows::{
    AccountRow, ApiKeyRow, AuditQuery, AuditRow, DocumentQuery, DocumentRow, EventRow, GuardRow,
    IdempotencyRow, MerchantRow, OutboxRow, PaymentQuery, PaymentRow, ReferenceKind, ReferenceRow,
    TimerRow, WriteSet,
};
use crate::sql::{self, Query};
use crate::store::{CommitError, MAX_REFERENCES, Store, StoreError, StoreInfo};

/// A row as it comes from a database.
pub(crate) type Row = Vec<Value>;

/// A database that runs statements.
#[async_trait]
pub(crate) trait Backend: Send + Sync {
    /// What [`StoreInfo`] calls it.
    const NAME: &'static str;

    /// Runs all statements in one transaction of their own.
    async fn commit(&self, statements: Vec<Statement>) -> Result<(), CommitError>;

    /// Runs one statement that changes and returns rows.
    async fn update(&self, statement: Statement) -> Result<Vec<Row>, StoreError>;

    /// Runs one statement that changes nothing.
    async fn query(&self, statement: Statement) -> Result<Vec<Row>, StoreError>;

    /// The database's version, and settings that an operator should see.
    async fn settings(&self) -> Result<(String, Vec<(String, String)>), StoreError>;

    /// What has been done since it was opened.
    fn counts(&self) -> Counts;
}

/// A [`Store`] on a [`Backend`].
pub(crate) struct Relational<B> {
    pub(crate) backend: B,
}

impl<B: Backend> Relational<B> {
    pub(crate) const fn new(backend: B) -> Self {
        Self { backend }
    }

    pub(crate) async fn all<T: Decode>(
        &self,
        query: &'static Query,
        params: Vec<Value>,
    ) -> Result<Vec<T>, StoreError> {
        let statement = Statement::new(query, params);
        if statement.has_nul() {
            // No stored text holds a NUL, so none equals this one.
            return Ok(Vec::new());
        }
        decode::all(self.backend.query(statement).await?)
    }

    pub(crate) async fn one<T: Decode>(
        &self,
        query: &'static Query,
        params: Vec<Value>,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.all(query, params).await?.pop())
    }

    async fn count(&self, query: &'static Query) -> Result<u64, StoreError> {
        Ok(self.one(query, vec![]).await?.unwrap_or_default())
    }
}

/// A list of words as one text, or nothing for an empty list.
pub(crate) fn words(list: &[String]) -> Value {
    if list.is_empty() { Value::Null } else { Value::Text(format!(",{},", list.join(","))) }
}

pub(crate) fn bigint(number: u64) -> Value {
    // No version is as large as the one this stands for.
    Value::Int(i64::try_from(number).unwrap_or(-1))
}

#[async_trait]
impl<B: Backend> Store for Relational<B> {
    async fn commit(&self, set: WriteSet) -> Result<(), CommitError> {
        self.backend.commit(compile(set)?).await
    }

    async fn payment(
        &self,
        merchant: MerchantId,
        id: PaymentId,
    ) -> Result<Option<PaymentRow>, StoreError> {
        self.one(&sql::PAYMENT, vec![merchant.into(), id.into()]).await
    }

    async fn payments(&self, query: &PaymentQuery) -> Result<Vec<PaymentRow>, StoreError> {
        let (to, before) = query.bound();
        let mut params = vec![
            query.merchant.into(),
            query.test.into(),
            query.from.into(),
            to.into(),
            before.into(),
            query.account.into(),
            words(&query.kinds),
            words(&query.statuses),
            query.limit.into(),
        ];
        let text = match &query.merchant_ref {
            None => &sql::PAYMENTS,
            Some(reference) => {
                params.push(reference.as_str().into());
                &sql::PAYMENTS_OF_REFERENCE
            }
        };
        let mut rows: Vec<PaymentRow> = self.all(text, params).await?;
        rows.sort_by_key(|row| std::cmp::Reverse((row.created_at, row.id)));
        Ok(rows)
    }

    async fn document(
        &self,
        merchant: MerchantId,
        kind: &str,
        id: &str,
    ) -> Result<Option<DocumentRow>, StoreError> {
        self.one(&sql::DOCUMENT, vec![merchant.into(), kind.into(), id.into()]).await
    }

    async fn documents(&self, query: &DocumentQuery) -> Result<Vec<DocumentRow>, StoreError> {
        let (to, before) = query.bound();
        let mut params = vec![
            query.merchant.into(),
            query.kind.as_str().into(),
            query.from.into(),
            to.into(),
            before.into(),
            words(&query.statuses),
            query.removed.into(),
            query.limit.into(),
        ];
        let text = match &query.owner {
            None => &sql::DOCUMENTS,
            Some(owner) => {
                params.push(owner.as_str().into());
                &sql::DOCUMENTS_OF_OWNER
            }
        };
        let mut rows: Vec<DocumentRow> = self.all(text, params).await?;
        rows.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        Ok(rows)
    }

    async fn events(
        &self,
        merchant: MerchantId,
        payment: PaymentId,
    ) -> Result<Vec<EventRow>, StoreError> {
        self.all(&sql::EVENTS, vec![merchant.into(), payment.into()]).await
    }

    async fn event(
        &self,
        merchant: MerchantId,
        payment: PaymentId,
        version: u64,
    ) -> Result<Option<EventRow>, StoreError> {
        self.one(&sql::EVENT, vec![merchant.into(), payment.into(), bigint(version)]).await
    }

    async fn find_reference(
        &self,
        merchant: MerchantId,
        kind: ReferenceKind,
        account: Option<AccountId>,
        value: &str,
    ) -> Result<Vec<ReferenceRow>, StoreError> {
        let params = vec![
            merchant.into(),
            kind_name(kind).into(),
            value.into(),
            account.into(),
            bigint(MAX_REFERENCES as u64),
        ];
        let mut rows: Vec<ReferenceRow> = self.all(&sql::REFERENCES, params).await?;
        rows.sort_by(|a, b| {
            (b.created_at, b.payment, &b.call).cmp(&(a.created_at, a.payment, &a.call))
        });
        Ok(rows)
    }

    async fn idempotency(
        &self,
        merchant: MerchantId,
        key: &str,
    ) -> Result<Option<IdempotencyRow>, StoreError> {
        self.one(&sql::KEY, vec![merchant.into(), key.into()]).await
    }

    async fn guard(&self, merchant: MerchantId, key: &str) -> Result<Option<GuardRow>, StoreError> {
        self.one(&sql::GUARD, vec![merchant.into(), key.into()]).await
    }

    async fn doubts(
        &self,
        after: Option<(PaymentId, String)>,
        limit: u32,
    ) -> Result<Vec<TimerRow>, StoreError> {
        let (payment, call) = after.unwrap_or((PaymentId::from_bytes([0; 16]), String::new()));
        let params = vec![payment.into(), call.into(), limit.into()];
        let mut rows: Vec<TimerRow> = self.all(&sql::DOUBTS, params).await?;
        rows.sort_by(|a, b| (a.payment, &a.call).cmp(&(b.payment, &b.call)));
        Ok(rows)
    }

    async fn sweep_idempotency(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let statement = Statement::new(&sql::KEYS_SWEEP, vec![now.into(), limit.into()]);
        let swept = self.backend.update(statement).await?;
        Ok(swept.len() as u64)
    }

    async fn lease_timers(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        node: &str,
        boot: BootId,
        limit: u32,
    ) -> Result<Vec<TimerRow>, StoreError> {
        let params = vec![now.into(), lease_until.into(), limit.into(), node.into(), boot.into()];
        let leased = self.backend.update(Statement::new(&sql::TIMERS_LEASE, params)).await?;
        let mut rows: Vec<TimerRow> = decode::all(leased)?;
        rows.sort_by(|a, b| {
            (a.merchant, a.payment, &a.call).cmp(&(b.merchant, b.payment, &b.call))
        });
        Ok(rows)
    }

    async fn timers_of_other_boots(
        &self,
        node: &str,
        boot: BootId,
        limit: u32,
    ) -> Result<Vec<TimerRow>, StoreError> {
        let params = vec![node.into(), boot.into(), limit.into()];
        let mut rows: Vec<TimerRow> = self.all(&sql::TIMERS_OF_OTHER_BOOTS, params).await?;
        rows.sort_by(|a, b| {
            (a.due_at, a.merchant, a.payment, &a.call)
                .cmp(&(b.due_at, b.merchant, b.payment, &b.call))
        });
        Ok(rows)
    }

    async fn lease_outbox(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        let params = vec![now.into(), lease_until.into(), limit.into()];
        let leased = self.backend.update(Statement::new(&sql::OUTBOX_LEASE, params)).await?;
        let mut rows: Vec<OutboxRow> = decode::all(leased)?;
        rows.sort_by_key(|row| (row.merchant, row.payment, row.version, row.id));
        Ok(rows)
    }

    async fn ack_outbox(&self, ids: &[EventId]) -> Result<(), StoreError> {
        let delete = |id: &EventId| Statement::new(&sql::OUTBOX_DELETE, vec![(*id).into()]);
        let deletes = ids.iter().map(delete).collect();
        // Deleting again is harmless, so that in doubt means no more than out of reach.
        self.backend
            .commit(deletes)
            .await
            .map_err(|error| StoreError::Unavailable(error.to_string()))
    }

    async fn merchant_by_name(&self, name: &str) -> Result<Option<MerchantRow>, StoreError> {
        self.one(&sql::MERCHANT_BY_NAME, vec![name.into()]).await
    }

    async fn merchants(&self) -> Result<Vec<MerchantRow>, StoreError> {
        let mut rows: Vec<MerchantRow> = self.all(&sql::MERCHANTS, vec![]).await?;
        rows.sort_by_key(|row| row.id);
        Ok(rows)
    }

    async fn account(
        &self,
        merchant: MerchantId,
        id: AccountId,
    ) -> Result<Option<AccountRow>, StoreError> {
        self.one(&sql::ACCOUNT, vec![merchant.into(), id.into()]).await
    }

    async fn accounts(&self, merchant: MerchantId) -> Result<Vec<AccountRow>, StoreError> {
        let mut rows: Vec<AccountRow> = self.all(&sql::ACCOUNTS, vec![merchant.into()]).await?;
        rows.sort_by_key(|row| row.number);
        Ok(rows)
    }

    async fn api_key_by_hash(&self, hash: &[u8]) -> Result<Option<ApiKeyRow>, StoreError> {
        self.one(&sql::API_KEY_BY_HASH, vec![Value::Bytes(hash.to_vec())]).await
    }

    async fn api_keys(&self, merchant: MerchantId) -> Result<Vec<ApiKeyRow>, StoreError> {
        let mut rows: Vec<ApiKeyRow> = self.all(&sql::API_KEYS, vec![merchant.into()]).await?;
        rows.sort_by_key(|row| row.id);
        Ok(rows)
    }

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditRow>, StoreError> {
        let (end, all, of_subject) = if query.newest_first {
            (i64::MAX, &sql::AUDIT_NEWEST, &sql::AUDIT_OF_SUBJECT_NEWEST)
        } else {
            // Below the first number too, so that a row that has no business there is met.
            (i64::MIN, &sql::AUDIT_OLDEST, &sql::AUDIT_OF_SUBJECT_OLDEST)
        };
        let beyond = query.beyond.map_or(end, |seq| i64::try_from(seq).unwrap_or(i64::MAX));
        let mut params = vec![
            beyond.into(),
            query.limit.into(),
            query.merchant.clone().into(),
            query.actor.clone().into(),
            query.action.clone().into(),
            query.from.into(),
            query.to.into(),
        ];
        match &query.subject {
            None => self.all(all, params).await,
            Some(subject) => {
                params.push(subject.clone().into());
                self.all(of_subject, params).await
            }
        }
    }

    fn webhooks(&self) -> &dyn HookStore {
        self
    }

    fn lists(&self) -> &dyn ListStore {
        self
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.count(&sql::PING).await.map(|_one| ())
    }

    async fn describe(&self) -> Result<StoreInfo, StoreError> {
        let (version, settings) = self.backend.settings().await?;
        Ok(StoreInfo {
            backend: B::NAME,
            version,
            // Opening has checked that the database is at this version, neither behind nor ahead.
            schema_version: migrations::PAYMENTS.latest(),
            payments: self.count(&sql::PAYMENT_COUNT).await?,
            timers: self.count(&sql::TIMER_COUNT).await?,
            outbox: self.count(&sql::OUTBOX_COUNT).await?,
            settings,
        })
    }

    fn counts(&self) -> Counts {
        self.backend.counts()
    }
}
