//! What nobody waits for any more: calls in doubt, found by their timers and after a restart.
//!
//! It asks providers; it never repeats a request. A plan without an answer becomes unknown and is only
//! looked up, even though it may never have left: whoever could have told is gone.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use baton_flow::{CallId, Input, Payment};
use baton_store::TimerRow;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::chores;
use crate::inner::Inner;
use crate::task::{Stopped, Task};

/// How often due timers are looked for.
const POLL: Duration = Duration::from_millis(1_000);

/// How long a leased timer belongs to this node.
const LEASE_MS: i64 = 120_000;

/// How soon after a look-up a call is looked up again because somebody reads it.
const READ_PAUSE_MS: i64 = 1_000;

/// Timers taken at once, and look-ups under way at once.
const BATCH: u32 = 64;
const AT_ONCE: usize = 16;

pub(crate) fn start(engine: &Arc<Inner>) {
    let worker = Arc::clone(engine);
    engine.tracker.spawn(async move {
        recover(&worker).await;
        loop {
            // As long as batches come full, there is more.
            let pause =
                if resolve_due(&worker).await < BATCH as usize { POLL } else { Duration::ZERO };
            if paused(&worker.stopping, pause).await {
                return;
            }
        }
    });
    let sweeper = Arc::clone(engine);
    engine.tracker.spawn(async move { sweep(&sweeper).await });
}

/// Waits; true when the engine stops meanwhile.
pub(crate) async fn paused(stopping: &CancellationToken, pause: Duration) -> bool {
    tokio::select! {
        biased;
        () = stopping.cancelled() => true,
        () = tokio::time::sleep(pause) => false,
    }
}

/// Takes up what an earlier run of this node left behind, without waiting for its timers.
async fn recover(engine: &Arc<Inner>) {
    let mut seen = HashSet::new();
    loop {
        let rows =
            engine.store.timers_of_other_boots(&engine.config.node, engine.boot, BATCH).await;
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(%error, "what an earlier run left behind cannot be read");
                if paused(&engine.stopping, POLL).await {
                    return;
                }
                continue;
            }
        };
        // What is resolved loses its timer or gets one of this run. A timer that could not be handled
        // stays as it is and comes due by itself.
        let known = seen.len();
        seen.extend(rows.iter().map(|row| (row.payment, row.call.clone())));
        if seen.len() == known || engine.stopping.is_cancelled() {
            break;
        }
        resolve_all(engine, rows).await;
    }
    if !seen.is_empty() {
        tracing::info!(calls = seen.len(), "took up calls that an earlier run left behind");
    }
}

/// Resolves a batch of what is due; returns how many there were.
async fn resolve_due(engine: &Arc<Inner>) -> usize {
    let now = engine.clock.now();
    let (node, lease_until) = (&engine.config.node, now.plus_millis(LEASE_MS));
    match engine.store.lease_timers(now, lease_until, node, engine.boot, BATCH).await {
        Ok(rows) => {
            let count = rows.len();
            resolve_all(engine, rows).await;
            count
        }
        Err(error) => {
            tracing::warn!(%error, "due timers cannot be read");
            0
        }
    }
}

async fn resolve_all(engine: &Arc<Inner>, rows: Vec<TimerRow>) {
    let gate = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = tokio::task::JoinSet::new();
    for row in rows {
        let (engine, gate) = (Arc::clone(engine), Arc::clone(&gate));
        running.spawn(async move {
            let _permit = gate.acquire_owned().await;
            resolve(&engine, &row).await;
        });
    }
    while running.join_next().await.is_some() {}
}

async fn resolve(engine: &Arc<Inner>, row: &TimerRow) {
    if chores::is_chore(row) {
        return chores::take(engine, row).await;
    }
    let Ok(call) = row.call.parse::<CallId>() else {
        tracing::error!(call = %row.call, "a timer names no call");
        return;
    };
    match engine.load(row.merchant, row.payment).await {
        Ok(Some(payment)) => resolve_call(engine, payment, call).await,
        Ok(None) => tracing::error!(payment = %row.payment, "a timer names no payment"),
        Err(error) => tracing::warn!(payment = %row.payment, %error, "cannot be resolved now"),
    }
}

/// Looks up every open call of a payment that no task works on, unless that was done a moment ago or its
/// provider is to be left alone now: then its timer comes back to it.
pub(crate) async fn resolve_open_calls(engine: &Arc<Inner>, payment: &Payment) {
    let now = engine.clock.now();
    let open: Vec<CallId> = payment
        .calls()
        .filter(|(_, call)| matches!(call.state, baton_flow::CallState::Open { .. }))
        .filter(|(_, call)| {
            call.checks.last().is_none_or(|check| now.since(check.at) >= READ_PAUSE_MS)
        })
        .map(|(id, _)| id)
        .filter(|id| {
            let at = payment.attempt_of(*id).and_then(|attempt| payment.candidate(attempt));
            at.is_none_or(|at| !engine.questions.refuses(at.account, Instant::now()))
        })
        .collect();
    for id in open {
        if let Ok(Some(fresh)) = engine.load(payment.merchant, payment.id).await {
            resolve_call(engine, fresh, id).await;
        }
    }
}

async fn resolve_call(engine: &Arc<Inner>, payment: Payment, call: CallId) {
    let id = payment.id;
    let mut task = Task::resolving(Arc::clone(engine), payment);
    match task.begin(Input::Due { call }).await {
        Ok(effects) => task.run(effects).await,
        Err(Stopped::Refused(refusal)) => {
            tracing::debug!(payment = %id, %call, %refusal, "nothing to resolve");
        }
        Err(stopped) => tracing::warn!(payment = %id, %call, ?stopped, "cannot be resolved now"),
    }
}

/// Deletes idempotency keys, tokens of CVVs and credentials whose time is over.
async fn sweep(engine: &Arc<Inner>) {
    const PAUSE: Duration = Duration::from_secs(60);
    const AT_MOST: u32 = 1_000;
    /// Credentials are looked through once in so many rounds: an hour.
    const ROUNDS: u32 = 60;
    let mut round = 0_u32;
    while !paused(&engine.stopping, PAUSE).await {
        round = round.wrapping_add(1);
        if round.is_multiple_of(ROUNDS)
            && let Err(error) = crate::manage::sweep(engine).await
        {
            tracing::warn!(%error, "credentials without an account cannot be deleted");
        }
        // A CVV's token opens nothing after its time, whether it is deleted or not.
        if let Err(error) = engine.vault.sweep(engine.clock.now(), AT_MOST).await {
            tracing::warn!(%error, "expired tokens cannot be deleted");
        }
        loop {
            match engine.store.sweep_idempotency(engine.clock.now(), AT_MOST).await {
                Ok(swept) if swept >= u64::from(AT_MOST) => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "expired idempotency keys cannot be deleted");
                    break;
                }
            }
        }
    }
}
