//! Sends what waits: streams that are due are leased, their first event is posted, and what became of it is recorded.
//!
//! A node that dies in between is missed when its lease runs out, and the event is sent again. One endpoint has a
//! bounded share of what is sent at once, so that a slow one does not keep the others waiting.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use baton_hooks::{HookUrl, Reply, SendError, Signature, TIMEOUT, contract_signature};
use baton_store::{HookAttemptRow, HookEventRow, HookOutcome, HookState, HookStreamRow};
use baton_types::{EventId, MerchantId, Timestamp};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::extra::Extra;
use super::{Known, Told};
use crate::fault::Fault;
use crate::service::Payments;

/// Streams that are worked on at once, and of one endpoint.
const AT_ONCE: usize = 128;
const OF_ONE: usize = 16;

/// Streams that are leased at once.
const BATCH: usize = 64;

/// How long a stream is held for one try, in milliseconds: longer than a try can take.
const LEASE_MS: i64 = 20_000;

/// How soon a stream is looked at again whose endpoint has its share already, in milliseconds.
const CROWDED_MS: i64 = 500;

/// How often due streams are looked for when nobody tells of new ones.
const POLL: Duration = Duration::from_millis(500);

/// How long after a failure of the store the worker waits.
const TROUBLE: Duration = Duration::from_secs(2);

/// What led to a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Initial,
    Automatic,
    Manual,
}

impl Cause {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Initial => "initial_attempt",
            Self::Automatic => "automatic_retry",
            Self::Manual => "manual_retry",
        }
    }
}

/// The gates of endpoints that are being sent to.
#[derive(Default)]
struct Gates(HashMap<(MerchantId, String), Arc<Semaphore>>);

impl Gates {
    fn enter(&mut self, row: &HookStreamRow) -> Option<OwnedSemaphorePermit> {
        // Those that nobody is behind any more are made anew when they are needed.
        if self.0.len() > 1_000 {
            self.0.retain(|_, gate| gate.available_permits() < OF_ONE);
        }
        let gate = self.0.entry((row.merchant, row.profile.clone()));
        let gate = gate.or_insert_with(|| Arc::new(Semaphore::new(OF_ONE)));
        Arc::clone(gate).try_acquire_owned().ok()
    }
}

/// Delivers until the engine stops. What is being sent then is finished.
pub(super) async fn run(payments: Payments) {
    let mut running: JoinSet<()> = JoinSet::new();
    let mut gates = Gates::default();
    loop {
        while running.try_join_next().is_some() {}
        let free = AT_ONCE.saturating_sub(running.len()).min(BATCH);
        let leased =
            if free == 0 { Ok(0) } else { lease(&payments, free, &mut gates, &mut running).await };
        let pause = match leased {
            Ok(leased) if leased > 0 && leased == free => Duration::ZERO,
            Ok(_) => POLL,
            Err(error) => {
                tracing::warn!(%error, "webhooks that are due cannot be read");
                TROUBLE
            }
        };
        let stop = tokio::select! {
            biased;
            stop = payments.engine().paused(pause) => stop,
            () = payments.hooks.recorded.notified() => false,
            Some(_) = running.join_next(), if free == 0 => false,
        };
        if stop {
            break;
        }
    }
    while running.join_next().await.is_some() {}
}

async fn lease(
    payments: &Payments,
    free: usize,
    gates: &mut Gates,
    running: &mut JoinSet<()>,
) -> Result<usize, baton_store::StoreError> {
    let store = payments.engine().store().webhooks();
    let now = payments.now();
    let limit = u32::try_from(free).unwrap_or(1);
    let rows = store.lease_hook_streams(now, now.plus_millis(LEASE_MS), limit).await?;
    let leased = rows.len();
    for row in rows {
        match gates.enter(&row) {
            Some(permit) => {
                let payments = payments.clone();
                running.spawn(async move {
                    let _permit = permit;
                    if let Err(fault) = Box::pin(stream(&payments, &row)).await {
                        // Its lease runs out, and it is tried again.
                        tracing::warn!(?fault, stream = row.id, "a webhook cannot be sent now");
                    }
                });
            }
            None => {
                store.defer_hook_stream(row.merchant, &row.id, now.plus_millis(CROWDED_MS)).await?
            }
        }
    }
    Ok(leased)
}

/// Sends a stream's events, one after the other, until one is not taken.
async fn stream(payments: &Payments, row: &HookStreamRow) -> Result<(), Fault> {
    let store = payments.engine().store().webhooks();
    while let Some(event) = store.next_hook_event(row.merchant, &row.id).await? {
        if !send_next(payments, &event).await? {
            return Ok(());
        }
    }
    // Nothing waits, whatever the row says.
    Ok(store.defer_hook_stream(row.merchant, &row.id, payments.now()).await?)
}

/// Sends a stream's first event; whether the next one follows at once.
async fn send_next(payments: &Payments, event: &HookEventRow) -> Result<bool, Fault> {
    let settings = payments.hook_settings()?;
    let known = payments.known(event.merchant).await?;
    let tries = event.attempts.saturating_add(1);
    let cause = if event.attempts == 0 { Cause::Initial } else { Cause::Automatic };
    let tried = attempt(payments, known.as_deref(), event, cause).await?;
    let now = payments.now();
    let counts = &payments.hooks.counts;
    let (state, due_at) = match &tried.end {
        End::Taken => {
            counts.count_delivered();
            (Some(HookState::Delivered), now.plus_millis(LEASE_MS))
        }
        End::Pointless => {
            counts.count_given_up();
            (Some(HookState::GivenUp), now.plus_millis(LEASE_MS))
        }
        End::Gone => {
            counts.count_failed();
            counts.count_given_up();
            (Some(HookState::GivenUp), now.plus_millis(LEASE_MS))
        }
        End::Failed => {
            counts.count_failed();
            if let Some(pause) = settings.schedule.after(tries) {
                (None, now.plus_millis(pause))
            } else {
                counts.count_given_up();
                (Some(HookState::GivenUp), now.plus_millis(LEASE_MS))
            }
        }
    };
    if tried.end == End::Gone
        && let Some(known) = &known
    {
        let why = "the endpoint answered 410 Gone";
        payments.disable_endpoint(&known.merchant, &event.profile, why).await?;
    }
    let outcome = HookOutcome {
        merchant: event.merchant,
        stream: event.stream.clone(),
        event: event.id.clone(),
        state,
        counts: true,
        attempt: Some(tried.row),
        due_at: Some(due_at),
        at: now,
    };
    payments.engine().store().webhooks().conclude_hook(outcome).await?;
    Ok(state.is_some())
}

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The endpoint has taken it.
    Taken,
    /// It has not, or nobody knows.
    Failed,
    /// The endpoint wants nothing any more.
    Gone,
    /// Nothing was sent: there is no endpoint, or it is disabled.
    Pointless,
}

/// A try, and its row in the log.
pub(super) struct Tried {
    pub(super) end: End,
    pub(super) row: HookAttemptRow,
}

/// Sends an event once, to where its profile's events go now.
pub(super) async fn attempt(
    payments: &Payments,
    known: Option<&Known>,
    event: &HookEventRow,
    cause: Cause,
) -> Result<Tried, Fault> {
    let at = payments.now();
    let row = |at: Timestamp| HookAttemptRow {
        merchant: event.merchant,
        event: event.id.clone(),
        id: if cause == Cause::Initial {
            event.id.clone()
        } else {
            payments.new_event_id().to_string()
        },
        kind: cause.as_str().to_owned(),
        at,
        took_ms: 0,
        status: None,
        error: None,
        request: "[]".to_owned(),
        response: "{}".to_owned(),
    };
    let pointless = |why: &str| {
        Ok(Tried {
            end: End::Pointless,
            row: HookAttemptRow { error: Some(why.to_owned()), ..row(at) },
        })
    };
    let Some((known, told)) = known.and_then(|known| Some((known, known.told(&event.profile)?)))
    else {
        return pointless("no webhook_url is set");
    };
    // A retry by hand shows whether the endpoint is back.
    if told.endpoint.as_ref().is_some_and(|stored| stored.body.disabled.is_some())
        && cause != Cause::Manual
    {
        return pointless("the endpoint is disabled");
    }
    let sent = send(payments, known, told, event, at).await?;
    let took_ms = payments.now().since(at).max(0);
    let mut row = HookAttemptRow { took_ms, request: sent.request, ..row(at) };
    let end = match sent.result {
        Ok(reply) => {
            row.status = Some(reply.status.into());
            row.response = json!({ "headers": reply.headers, "body": reply.body }).to_string();
            match reply.status {
                200..=299 => End::Taken,
                410 => End::Gone,
                300..=399 => {
                    row.error = Some("redirects are not followed".to_owned());
                    End::Failed
                }
                _ => End::Failed,
            }
        }
        Err(error) => {
            row.error = Some(error.to_string());
            End::Failed
        }
    };
    Ok(Tried { end, row })
}

struct Sent {
    /// The headers that were sent, as JSON; of secrets only that they were.
    request: String,
    result: Result<Reply, SendError>,
}

async fn send(
    payments: &Payments,
    known: &Known,
    told: &Told,
    event: &HookEventRow,
    at: Timestamp,
) -> Result<Sent, Fault> {
    let settings = payments.hook_settings()?;
    let secrets = payments.signing_secrets(&known.merchant, &event.profile).await?;
    let hash_key =
        payments.hash_key(&known.merchant, &known.account, told.hash_key.as_deref()).await?;
    let body = event.body.as_bytes();
    let signature = Signature::new(&event.id, at.millis().div_euclid(1_000), body, &secrets);
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("webhook-id", signature.id),
        ("webhook-timestamp", signature.timestamp),
        ("webhook-signature", signature.signature),
        ("x-webhook-signature-512", contract_signature(body, &hash_key)),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let (mut headers, mut logged) = (headers.to_vec(), headers.to_vec());
    for extra in payments.extra_headers(known, told).await? {
        logged.push((extra.name.clone(), Extra::logged().to_owned()));
        headers.push((extra.name, extra.value.expose().to_owned()));
    }
    let url = told.details.webhook_url.as_deref().unwrap_or_default();
    let result = match HookUrl::parse(url, settings.sender.policy()) {
        Ok(url) => settings.sender.post(&url, &headers, body.to_vec().into()).await,
        Err(bad) => Err(SendError::Address(format!("webhook_url {bad}"))),
    };
    Ok(Sent { request: json!(logged).to_string(), result })
}

/// Deletes what is older than it is kept.
pub(super) async fn sweep(payments: Payments) {
    const PAUSE: Duration = Duration::from_secs(60);
    const AT_MOST: u32 = 1_000;
    while !payments.engine().paused(PAUSE).await {
        let Ok(settings) = payments.hook_settings() else { return };
        let before = payments.now().plus_millis(settings.keep_ms.saturating_neg());
        loop {
            match payments.engine().store().webhooks().sweep_hooks(before, AT_MOST).await {
                Ok(swept) if swept >= u64::from(AT_MOST) => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "old webhooks cannot be deleted");
                    break;
                }
            }
        }
    }
}

// A try ends before its lease does.
const _: () = assert!((TIMEOUT.as_secs() as i64) * 1_000 < LEASE_MS);

impl Payments {
    /// How long a worker holds a stream at most, in milliseconds.
    pub(super) const fn hook_lease_ms() -> i64 {
        LEASE_MS
    }

    pub(super) fn new_event_id(&self) -> EventId {
        baton_engine::new_id(self.engine().clock())
    }
}
