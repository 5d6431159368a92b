//! Events for merchants on a relational database.

use async_trait::async_trait;
use baton_types::{EventId, MerchantId, PaymentId, Timestamp};

use super::sql;
use super::{
    HookAttemptRow, HookBacklog, HookEventRow, HookOutcome, HookQuery, HookRecord, HookReplay,
    HookState, HookStore, HookStreamRow,
};
use crate::compile::{MAX_KEY_BYTES, Statement, Value};
use crate::decode::{self, Columns, Decode, corrupt};
use crate::relational::{Backend, Relational, bigint, words};
use crate::sql::{OUTBOX_DELETE, Query};
use crate::store::{CommitError, StoreError};

/// The tables' places in the order of locking, behind those of the other tables.
const STREAM: u8 = 20;
const EVENT: u8 = 21;
const ATTEMPT: u8 = 22;
const STREAM_AFTER: u8 = 23;
const OUTBOX: u8 = 24;

fn statement(
    rank: u8,
    query: &'static Query,
    params: Vec<Value>,
) -> Result<Statement, CommitError> {
    let statement = Statement { query, params, rank };
    if statement.has_nul() {
        return Err(CommitError::Invalid("a text holds a NUL character".into()));
    }
    let (_, key) = statement.key();
    let long = |value: &Value| matches!(value, Value::Text(text) if text.len() > MAX_KEY_BYTES);
    if key.iter().any(long) {
        return Err(CommitError::Invalid(format!("a key is longer than {MAX_KEY_BYTES} bytes")));
    }
    Ok(statement)
}

pub(super) fn record(record: HookRecord) -> Result<Vec<Statement>, CommitError> {
    let HookRecord { message, stream, events } = record;
    let due_at = stream.due_at.filter(|_| !events.is_empty());
    let params = vec![
        stream.merchant.into(),
        stream.id.into(),
        stream.profile.into(),
        stream.state.into(),
        due_at.into(),
        stream.updated_at.into(),
    ];
    let mut statements = vec![statement(STREAM, &sql::STREAM_PUT, params)?];
    for row in events {
        let params = vec![
            row.merchant.into(),
            row.id.into(),
            row.stream.into(),
            row.seq.into(),
            row.profile.into(),
            row.object.into(),
            row.class.into(),
            row.kind.into(),
            row.state.as_str().into(),
            row.attempts.into(),
            row.created_at.into(),
            row.updated_at.into(),
            row.body.into(),
        ];
        statements.push(statement(EVENT, &sql::HOOK_INSERT, params)?);
    }
    statements.push(statement(OUTBOX, &OUTBOX_DELETE, vec![message.into()])?);
    Ok(statements)
}

pub(super) fn outcome(outcome: HookOutcome) -> Result<Vec<Statement>, CommitError> {
    let HookOutcome { merchant, stream, event, state, counts, attempt, due_at, at } = outcome;
    let stream = Value::from(stream);
    let touch = vec![merchant.into(), stream.clone(), at.into()];
    let conclude = vec![
        merchant.into(),
        event.into(),
        state.map(HookState::as_str).into(),
        i64::from(counts).into(),
        at.into(),
    ];
    let mut statements = vec![
        statement(STREAM, &sql::STREAM_TOUCH, touch)?,
        statement(EVENT, &sql::HOOK_CONCLUDE, conclude)?,
    ];
    if let Some(row) = attempt {
        let params = vec![
            row.merchant.into(),
            row.event.into(),
            row.id.into(),
            row.kind.into(),
            row.at.into(),
            row.took_ms.into(),
            row.status.into(),
            row.error.into(),
            row.request.into(),
            row.response.into(),
        ];
        statements.push(statement(ATTEMPT, &sql::ATTEMPT_INSERT, params)?);
    }
    let due = vec![merchant.into(), stream, due_at.into()];
    statements.push(statement(STREAM_AFTER, &sql::STREAM_DUE, due)?);
    Ok(statements)
}

pub(crate) fn replay(replay: HookReplay) -> Result<Vec<Statement>, CommitError> {
    let HookReplay { merchant, stream, event, at, busy_until } = replay;
    let stream = Value::from(stream);
    let touch = vec![merchant.into(), stream.clone(), at.into()];
    let again = vec![merchant.into(), event.into(), stream.clone(), at.into()];
    let wake = vec![merchant.into(), stream, at.into(), busy_until.into()];
    Ok(vec![
        statement(STREAM, &sql::STREAM_TOUCH, touch)?,
        statement(EVENT, &sql::HOOK_AGAIN, again)?,
        statement(STREAM_AFTER, &sql::STREAM_WAKE, wake)?,
    ])
}

fn filters(query: &HookQuery) -> Vec<Value> {
    let states: Vec<_> = query.states.iter().map(|state| state.as_str().to_owned()).collect();
    vec![
        query.merchant.into(),
        query.from.into(),
        query.to.into(),
        query.id.clone().into(),
        query.profile.clone().into(),
        words(&query.classes),
        words(&query.kinds),
        words(&states),
        query.to_id.clone().into(),
    ]
}

impl Decode for HookStreamRow {
    fn decode(row: &mut Columns) -> Result<Self, StoreError> {
        Ok(Self {
            merchant: row.id()?,
            id: row.text()?,
            profile: row.text()?,
            state: row.text()?,
            due_at: row.optional_time()?,
            updated_at: row.time()?,
        })
    }
}

impl Decode for HookEventRow {
    fn decode(row: &mut Columns) -> Result<Self, StoreError> {
        Ok(Self {
            merchant: row.id()?,
            id: row.text()?,
            stream: row.text()?,
            seq: row.bigint()?,
            profile: row.text()?,
            object: row.text()?,
            class: row.text()?,
            kind: row.text()?,
            state: HookState::parse(&row.text()?)
                .ok_or_else(|| corrupt("an event's state is unknown"))?,
            attempts: row.int()?,
            created_at: row.time()?,
            updated_at: row.time()?,
            body: row.text()?,
        })
    }
}

impl Decode for HookAttemptRow {
    fn decode(row: &mut Columns) -> Result<Self, StoreError> {
        Ok(Self {
            merchant: row.id()?,
            event: row.text()?,
            id: row.text()?,
            kind: row.text()?,
            at: row.time()?,
            took_ms: row.bigint()?,
            status: row.optional_int()?,
            error: row.optional_text()?,
            request: row.text()?,
            response: row.text()?,
        })
    }
}

impl Decode for HookBacklog {
    fn decode(row: &mut Columns) -> Result<Self, StoreError> {
        Ok(Self { streams: row.int()?, oldest_due: row.optional_time()? })
    }
}

#[async_trait]
impl<B: Backend> HookStore for Relational<B> {
    async fn record_hooks(&self, hooks: HookRecord) -> Result<(), CommitError> {
        self.backend.commit(record(hooks)?).await
    }

    async fn is_in_outbox(
        &self,
        merchant: MerchantId,
        payment: PaymentId,
        version: u64,
    ) -> Result<bool, StoreError> {
        let params = vec![merchant.into(), payment.into(), bigint(version)];
        let found: Option<u64> = self.one(&sql::IN_OUTBOX, params).await?;
        Ok(found.is_some_and(|count| count > 0))
    }

    async fn release_outbox(&self, ids: &[EventId], due_at: Timestamp) -> Result<(), StoreError> {
        let release =
            |id: &EventId| Statement::new(&sql::OUTBOX_RELEASE, vec![(*id).into(), due_at.into()]);
        let done = self.backend.commit(ids.iter().map(release).collect()).await;
        // What was not released is due again when its lease ends.
        done.map_err(|error| StoreError::Unavailable(error.to_string()))
    }

    async fn hook_stream(
        &self,
        merchant: MerchantId,
        id: &str,
    ) -> Result<Option<HookStreamRow>, StoreError> {
        self.one(&sql::STREAM, vec![merchant.into(), id.into()]).await
    }

    async fn lease_hook_streams(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<HookStreamRow>, StoreError> {
        let params = vec![now.into(), lease_until.into(), limit.into()];
        let leased = self.backend.update(Statement::new(&sql::STREAMS_LEASE, params)).await?;
        let mut rows: Vec<HookStreamRow> = decode::all(leased)?;
        rows.sort_by(|a, b| (a.merchant, &a.id).cmp(&(b.merchant, &b.id)));
        Ok(rows)
    }

    async fn defer_hook_stream(
        &self,
        merchant: MerchantId,
        id: &str,
        due_at: Timestamp,
    ) -> Result<(), StoreError> {
        let params = vec![merchant.into(), id.into(), due_at.into()];
        let touch = vec![merchant.into(), id.into(), due_at.into()];
        let statements = vec![
            Statement { query: &sql::STREAM_TOUCH, params: touch, rank: STREAM },
            Statement { query: &sql::STREAM_DUE, params, rank: STREAM_AFTER },
        ];
        let done = self.backend.commit(statements).await;
        done.map_err(|error| StoreError::Unavailable(error.to_string()))
    }

    async fn next_hook_event(
        &self,
        merchant: MerchantId,
        stream: &str,
    ) -> Result<Option<HookEventRow>, StoreError> {
        self.one(&sql::HOOK_NEXT, vec![merchant.into(), stream.into()]).await
    }

    async fn conclude_hook(&self, hook: HookOutcome) -> Result<(), CommitError> {
        self.backend.commit(outcome(hook)?).await
    }

    async fn hook_event(
        &self,
        merchant: MerchantId,
        id: &str,
    ) -> Result<Option<HookEventRow>, StoreError> {
        self.one(&sql::HOOK, vec![merchant.into(), id.into()]).await
    }

    async fn hook_events(&self, query: &HookQuery) -> Result<Vec<HookEventRow>, StoreError> {
        let mut params = filters(query);
        params.extend([query.limit.into(), query.offset.into()]);
        let text = match &query.object {
            None => &sql::HOOKS,
            Some(object) => {
                params.push(object.as_str().into());
                &sql::HOOKS_OF_OBJECT
            }
        };
        let mut rows: Vec<HookEventRow> = self.all(text, params).await?;
        rows.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        Ok(rows)
    }

    async fn count_hook_events(&self, query: &HookQuery) -> Result<u64, StoreError> {
        let mut params = filters(query);
        let text = match &query.object {
            None => &sql::HOOK_COUNT,
            Some(object) => {
                params.push(object.as_str().into());
                &sql::HOOK_COUNT_OF_OBJECT
            }
        };
        Ok(self.one(text, params).await?.unwrap_or_default())
    }

    async fn hook_attempts(
        &self,
        merchant: MerchantId,
        event: &str,
    ) -> Result<Vec<HookAttemptRow>, StoreError> {
        let mut rows: Vec<HookAttemptRow> =
            self.all(&sql::ATTEMPTS, vec![merchant.into(), event.into()]).await?;
        rows.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        Ok(rows)
    }

    async fn hook_backlog(&self, now: Timestamp) -> Result<HookBacklog, StoreError> {
        let found: Option<HookBacklog> = self.one(&sql::BACKLOG, vec![]).await?;
        let found = found.unwrap_or_default();
        Ok(HookBacklog { oldest_due: found.oldest_due.filter(|due| *due <= now), ..found })
    }

    async fn sweep_hooks(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let mut swept = 0_u64;
        for query in [&sql::HOOKS_SWEEP, &sql::ATTEMPTS_SWEEP, &sql::STREAMS_SWEEP] {
            let statement = Statement::new(query, vec![before.into(), limit.into()]);
            let rows = self.backend.update(statement).await?;
            swept = swept.saturating_add(rows.len() as u64);
        }
        Ok(swept)
    }
}
