//! Events for merchants in memory.

use async_trait::async_trait;
use baton_types::{EventId, MerchantId, PaymentId, Timestamp};

use super::records;
use super::{
    HookAttemptRow, HookBacklog, HookEventRow, HookOutcome, HookQuery, HookRecord, HookReplay,
    HookState, HookStore, HookStreamRow,
};
use crate::memory::tables::{Table, Tables};
use crate::memory::{MemoryStore, count, first_by};
use crate::store::{CommitError, StoreError};

/// The tables of events for merchants.
#[derive(Debug, Default)]
pub(crate) struct HookTables {
    pub(crate) streams: Table<(MerchantId, String), HookStreamRow>,
    pub(crate) events: Table<(MerchantId, String), HookEventRow>,
    pub(crate) attempts: Table<(MerchantId, String, String), HookAttemptRow>,
}

fn waiting(tables: &Tables, merchant: MerchantId, stream: &str) -> Vec<HookEventRow> {
    tables.hooks.events.filter(|row| {
        (row.merchant, row.stream.as_str()) == (merchant, stream) && row.state == HookState::Pending
    })
}

fn set_due(tables: &mut Tables, merchant: MerchantId, id: &str, due_at: Option<Timestamp>) {
    let waits = !waiting(tables, merchant, id).is_empty();
    let key = (merchant, id.to_owned());
    if let Some(row) = tables.hooks.streams.get(&key) {
        let due_at = due_at.or(row.due_at).filter(|_| waits);
        tables.hooks.streams.put(key, HookStreamRow { due_at, ..row });
    }
}

fn apply_record(tables: &mut Tables, record: HookRecord) {
    let HookRecord { message, stream, events } = record;
    let key = (stream.merchant, stream.id.clone());
    let known = tables.hooks.streams.get(&key).and_then(|row| row.due_at);
    let due_at = known.or(stream.due_at.filter(|_| !events.is_empty()));
    tables.hooks.streams.put(key, HookStreamRow { due_at, ..stream });
    for row in events {
        let key = (row.merchant, row.id.clone());
        if tables.hooks.events.get(&key).is_none() {
            tables.hooks.events.put(key, row);
        }
    }
    tables.outbox.remove(&message);
}

fn apply_outcome(tables: &mut Tables, outcome: HookOutcome) {
    let HookOutcome { merchant, stream, event, state, counts, attempt, due_at, at } = outcome;
    if let Some(row) = tables.hooks.streams.get(&(merchant, stream.clone())) {
        let row = HookStreamRow { updated_at: at, ..row };
        tables.hooks.streams.put((merchant, stream.clone()), row);
    }
    if let Some(mut row) = tables.hooks.events.get(&(merchant, event.clone())) {
        row.attempts = row.attempts.saturating_add(u32::from(counts));
        row.updated_at = at;
        if row.state != HookState::Delivered {
            row.state = state.unwrap_or(row.state);
        }
        tables.hooks.events.put((merchant, event), row);
    }
    if let Some(row) = attempt {
        tables.hooks.attempts.put((row.merchant, row.event.clone(), row.id.clone()), row);
    }
    set_due(tables, merchant, &stream, due_at);
}

impl Tables {
    pub(crate) fn replay_hook(&mut self, replay: HookReplay) {
        let HookReplay { merchant, stream, event, at, busy_until } = replay;
        let key = (merchant, stream.clone());
        let Some(row) = self.hooks.streams.get(&key) else { return };
        let rests = row.due_at.is_none_or(|due| due > busy_until);
        self.hooks.streams.put(key, HookStreamRow { updated_at: at, ..row });
        if let Some(mut row) = self.hooks.events.get(&(merchant, event.clone())) {
            if row.state != HookState::Pending {
                row.attempts = 1;
            }
            row.state = HookState::Pending;
            row.updated_at = at;
            self.hooks.events.put((merchant, event), row);
        }
        set_due(self, merchant, &stream, rests.then_some(at));
    }
}

#[async_trait]
impl HookStore for MemoryStore {
    async fn record_hooks(&self, record: HookRecord) -> Result<(), CommitError> {
        // The databases' own checks.
        records::record(record.clone())?;
        self.change(|tables| apply_record(tables, record));
        Ok(())
    }

    async fn is_in_outbox(
        &self,
        merchant: MerchantId,
        payment: PaymentId,
        version: u64,
    ) -> Result<bool, StoreError> {
        let tables = &self.lock().tables;
        let event = tables.events.get(&(merchant, payment, version));
        Ok(event.is_some_and(|event| tables.outbox.get(&event.id).is_some()))
    }

    async fn release_outbox(&self, ids: &[EventId], due_at: Timestamp) -> Result<(), StoreError> {
        self.change(|tables| {
            for id in ids {
                if let Some(row) = tables.outbox.get(id) {
                    tables.outbox.put(*id, crate::OutboxRow { due_at, ..row });
                }
            }
        });
        Ok(())
    }

    async fn hook_stream(
        &self,
        merchant: MerchantId,
        id: &str,
    ) -> Result<Option<HookStreamRow>, StoreError> {
        Ok(self.lock().tables.hooks.streams.get(&(merchant, id.to_owned())))
    }

    async fn lease_hook_streams(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<HookStreamRow>, StoreError> {
        self.change(|tables| {
            let due = tables.hooks.streams.filter(|row| row.due_at.is_some_and(|due| due <= now));
            let key = |row: &HookStreamRow| (row.merchant, row.id.clone());
            let mut leased = first_by(due, limit, |row| (row.due_at, key(row)));
            for row in &mut leased {
                row.due_at = Some(lease_until);
                tables.hooks.streams.put(key(row), row.clone());
            }
            leased.sort_by_key(key);
            Ok(leased)
        })
    }

    async fn defer_hook_stream(
        &self,
        merchant: MerchantId,
        id: &str,
        due_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.change(|tables| set_due(tables, merchant, id, Some(due_at)));
        Ok(())
    }

    async fn next_hook_event(
        &self,
        merchant: MerchantId,
        stream: &str,
    ) -> Result<Option<HookEventRow>, StoreError> {
        let rows = waiting(&self.lock().tables, merchant, stream);
        Ok(first_by(rows, 1, |row| row.seq).pop())
    }

    async fn conclude_hook(&self, outcome: HookOutcome) -> Result<(), CommitError> {
        records::outcome(outcome.clone())?;
        self.change(|tables| apply_outcome(tables, outcome));
        Ok(())
    }

    async fn hook_event(
        &self,
        merchant: MerchantId,
        id: &str,
    ) -> Result<Option<HookEventRow>, StoreError> {
        Ok(self.lock().tables.hooks.events.get(&(merchant, id.to_owned())))
    }

    async fn hook_events(&self, query: &HookQuery) -> Result<Vec<HookEventRow>, StoreError> {
        let rows = self.lock().tables.hooks.events.filter(|row| query.takes(row));
        let end = query.offset.saturating_add(query.limit);
        let order = |row: &HookEventRow| std::cmp::Reverse((row.created_at, row.id.clone()));
        let rows = first_by(rows, end, order).into_iter();
        Ok(rows.skip(usize::try_from(query.offset).unwrap_or(usize::MAX)).collect())
    }

    async fn count_hook_events(&self, query: &HookQuery) -> Result<u64, StoreError> {
        Ok(count(self.lock().tables.hooks.events.filter(|row| query.takes(row)).len()))
    }

    async fn hook_attempts(
        &self,
        merchant: MerchantId,
        event: &str,
    ) -> Result<Vec<HookAttemptRow>, StoreError> {
        let tables = &self.lock().tables;
        let of = |row: &HookAttemptRow| row.merchant == merchant && row.event == event;
        let mut rows = tables.hooks.attempts.filter(of);
        rows.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        Ok(rows)
    }

    async fn hook_backlog(&self, now: Timestamp) -> Result<HookBacklog, StoreError> {
        let rows = self.lock().tables.hooks.streams.filter(|row| row.due_at.is_some());
        let oldest_due = rows.iter().filter_map(|row| row.due_at).min().filter(|due| *due <= now);
        Ok(HookBacklog { streams: count(rows.len()), oldest_due })
    }

    async fn sweep_hooks(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.change(|tables| {
            let ended =
                |row: &HookEventRow| row.state != HookState::Pending && row.updated_at <= before;
            let events = first_by(tables.hooks.events.filter(ended), limit, |row| row.updated_at);
            for row in &events {
                tables.hooks.events.remove(&(row.merchant, row.id.clone()));
            }
            let old = tables.hooks.attempts.filter(|row| row.at <= before);
            let old = first_by(old, limit, |row| row.at);
            for row in &old {
                let key = (row.merchant, row.event.clone(), row.id.clone());
                tables.hooks.attempts.remove(&key);
            }
            let idle = |row: &HookStreamRow| row.due_at.is_none() && row.updated_at <= before;
            let idle = first_by(tables.hooks.streams.filter(idle), limit, |row| row.updated_at);
            for row in &idle {
                tables.hooks.streams.remove(&(row.merchant, row.id.clone()));
            }
            Ok(count(events.len() + old.len() + idle.len()))
        })
    }
}
