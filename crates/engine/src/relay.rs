//! Publishes what the outbox holds, at least once; consumers order by payment and version.
//!
//! It keeps no cursor: with many writers a later row can become visible before an earlier one. It leases
//! rows and deletes them after the sink has them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use baton_flow::{Payment, mutated, snapshot};
use baton_store::OutboxRow;
use baton_types::EventId;
use serde::Deserialize;

use crate::inner::Inner;
use crate::resolver::paused;

const LEASE_MS: i64 = 30_000;
const BATCH: u32 = 500;
const IDLE: Duration = Duration::from_millis(250);
/// The pause after a batch that was not full: payments wait for a database that is busy with many rows.
const BUSY: Duration = Duration::from_millis(100);

/// Where committed events go.
#[async_trait]
pub trait EventSink: Send + Sync {
    /// Takes a batch, which is in the order of payments and versions. Those that are returned can be lost no more
    /// and are deleted; of the others the sink has deleted some itself, and the rest comes again.
    async fn publish(&self, batch: &[OutboxRow]) -> Result<Vec<EventId>, String>;
}

/// Reads messages of the outbox.
#[derive(Clone, Copy, Debug)]
pub struct Message;

/// The first line of a message, as far as it is read again.
#[derive(Deserialize)]
struct Line {
    schema: u32,
}

impl Message {
    /// What an event is, for whoever only passes it on: the first line.
    #[must_use]
    pub fn line(row: &OutboxRow) -> &str {
        row.body.split('\n').next().unwrap_or_default()
    }

    /// What follows the first line, if there is more.
    #[must_use]
    pub fn rest(row: &OutboxRow) -> Option<&str> {
        row.body.split_once('\n').map(|(_, rest)| rest)
    }

    /// The payment as it was when the message was written. Nothing if the node that wrote it did not say.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn payment(row: &OutboxRow) -> Result<Option<Payment>, String> {
        let Some(text) = Self::rest(row) else { return Ok(None) };
        let line: Line =
            serde_json::from_str(Self::line(row)).map_err(|error| error.to_string())?;
        snapshot::decode(line.schema, text).map(Some).map_err(|error| error.to_string())
    }
}

/// Writes events to the log, one line each, target `baton::event`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogSink;

#[async_trait]
impl EventSink for LogSink {
    async fn publish(&self, batch: &[OutboxRow]) -> Result<Vec<EventId>, String> {
        for row in batch {
            tracing::info!(target: "baton::event", event = %Message::line(row));
        }
        Ok(batch.iter().map(|row| row.id).collect())
    }
}

pub(crate) fn start(engine: &Arc<Inner>) {
    let engine = Arc::clone(engine);
    let tracker = engine.tracker.clone();
    tracker.spawn(async move {
        let stopping = engine.stopping.clone();
        let mut cursor = None;
        loop {
            let published = publish_once(&engine, &mut cursor).await;
            let stop = match published {
                0 => paused(&stopping, IDLE).await,
                published if published < BATCH as usize => paused(&stopping, BUSY).await,
                _ => stopping.is_cancelled(),
            };
            if stop {
                return;
            }
        }
    });
}

async fn publish_once(engine: &Inner, cursor: &mut Option<EventId>) -> usize {
    let now = engine.clock.now();
    let mut rows = match engine.store.lease_outbox(now, now.plus_millis(LEASE_MS), BATCH).await {
        Ok(rows) if rows.is_empty() => return 0,
        Ok(rows) => rows,
        Err(error) => {
            tracing::warn!(%error, "the outbox cannot be read");
            return 0;
        }
    };
    let leased = rows.len();
    let mut passed_over = Vec::new();
    if mutated("outbox_by_cursor") {
        let newest = rows.iter().map(|row| row.id).max();
        passed_over = rows.iter().map(|row| row.id).collect();
        rows.retain(|row| cursor.is_none_or(|newest| row.id > newest));
        *cursor = newest.max(*cursor);
    }
    let mut ids = match engine.sink.publish(&rows).await {
        Ok(ids) => ids,
        Err(why) => {
            tracing::warn!(%why, count = rows.len(), "events cannot be published; they stay");
            return 0;
        }
    };
    ids.append(&mut passed_over);
    if !ids.is_empty()
        && let Err(error) = engine.store.ack_outbox(&ids).await
    {
        tracing::warn!(%error, "published events are published again");
    }
    leased
}
