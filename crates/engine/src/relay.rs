//! Publishes what the outbox holds, at least once; consumers order by payment and version.
//!
//! It keeps no cursor: with many writers a later row can become visible before an earlier one. It leases
//! rows and deletes them after the sink has them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use baton_flow::mutated;
use baton_store::OutboxRow;
use baton_types::EventId;

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
    /// Takes a batch. `Ok` means that none of it can be lost any more.
    async fn publish(&self, batch: &[OutboxRow]) -> Result<(), String>;
}

/// Writes events to the log, one line each, target `baton::event`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogSink;

#[async_trait]
impl EventSink for LogSink {
    async fn publish(&self, batch: &[OutboxRow]) -> Result<(), String> {
        for row in batch {
            tracing::info!(target: "baton::event", event = %row.body);
        }
        Ok(())
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
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    if mutated("outbox_by_cursor") {
        rows.retain(|row| cursor.is_none_or(|newest| row.id > newest));
        *cursor = ids.iter().copied().max().max(*cursor);
    }
    if let Err(why) = engine.sink.publish(&rows).await {
        tracing::warn!(%why, count = rows.len(), "events cannot be published; they stay");
        return 0;
    }
    if let Err(error) = engine.store.ack_outbox(&ids).await {
        tracing::warn!(%error, "published events are published again");
    }
    ids.len()
}
