//! What an operator does with what merchants are told: look at it, and have it told again. On the store alone, so that
//! a command can do it beside running servers, which then send.
//!
//! Told again means that the event waits as if its first try had just failed: it is sent at once, in its place in its
//! stream, and by the rest of the schedule if need be. Nothing is sent from here.

use std::collections::HashMap;

use baton_engine::audit::{Action, Actor, Audit, Entry};
use baton_store::{
    CommitError, HookAttemptRow, HookEventRow, HookQuery, HookReplay, HookState, Store, Write,
    WriteSet,
};
use baton_types::{MerchantId, Timestamp};
use serde_json::json;

use crate::fault::Fault;
use crate::service::Payments;

/// Most events that are told again at once: they share a commit.
pub const REPLAY_MAX: u32 = 500;

/// A page of a merchant's events, newest first, and whether there are more. The query's `limit` is the page's.
///
/// # Errors
/// The store does not answer.
pub async fn hooks_page(
    store: &dyn Store,
    query: &HookQuery,
) -> Result<(Vec<HookEventRow>, bool), Fault> {
    let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
    let query = HookQuery { limit: query.limit.saturating_add(1), ..query.clone() };
    let mut rows = store.webhooks().hook_events(&query).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    Ok((rows, more))
}

/// An event and its tries, the first first.
///
/// # Errors
/// `NotFound`, or the store does not answer.
pub async fn hook_shown(
    store: &dyn Store,
    merchant: MerchantId,
    id: &str,
) -> Result<(HookEventRow, Vec<HookAttemptRow>), Fault> {
    let event = store.webhooks().hook_event(merchant, id).await?;
    let event = event.ok_or(Fault::NotFound("event"))?;
    Ok((event, store.webhooks().hook_attempts(merchant, id).await?))
}

/// Has an event told again, whatever became of it before; one that waits for its next try is sent now. In one commit
/// with the audit log's entry.
///
/// # Errors
/// `NotFound`; `Precondition` if what is kept of its stream is swept already; or the store does not answer.
pub async fn replay_hook(
    audit: &Audit,
    actor: &Actor,
    merchant: MerchantId,
    id: &str,
) -> Result<HookEventRow, Fault> {
    let store = audit.store();
    let (event, _) = hook_shown(store, merchant, id).await?;
    if store.webhooks().hook_stream(merchant, &event.stream).await?.is_none() {
        let message = "It is too old: the order that it belongs to is not known any more";
        return Err(Fault::Precondition(message.to_owned()));
    }
    let detail = json!({ "type": event.kind, "was": event.state.as_str() });
    commit(audit, actor, merchant, id.to_owned(), detail, &[event]).await?;
    Ok(hook_shown(store, merchant, id).await?.0)
}

/// Which of a merchant's events that were given up are told again.
#[derive(Clone, Debug)]
pub struct Failed {
    /// Whose.
    pub merchant: MerchantId,
    /// Not made before this time.
    pub from: Timestamp,
    /// Not made after this time.
    pub to: Timestamp,
    /// Only of this profile.
    pub profile: Option<String>,
    /// Only of these types; empty means all.
    pub kinds: Vec<String>,
    /// So many at most, the newest of them; never more than [`REPLAY_MAX`].
    pub limit: u32,
}

/// Has events told again that were given up: how many, and whether there are more. All of them and the audit log's
/// entry are one commit.
///
/// # Errors
/// The store does not answer.
pub async fn replay_failed_hooks(
    audit: &Audit,
    actor: &Actor,
    failed: Failed,
) -> Result<(usize, bool), Fault> {
    let Failed { merchant, from, to, profile, kinds, limit } = failed;
    let (store, limit) = (audit.store(), limit.clamp(1, REPLAY_MAX));
    let query = HookQuery {
        from,
        to,
        profile,
        kinds,
        states: vec![HookState::GivenUp],
        limit,
        ..HookQuery::of(merchant)
    };
    let (events, more) = hooks_page(store, &query).await?;
    // Those whose stream is swept cannot come back.
    let (mut known, mut fine) = (HashMap::new(), Vec::with_capacity(events.len()));
    for event in events {
        let there = match known.get(&event.stream) {
            Some(there) => *there,
            None => {
                let there = store.webhooks().hook_stream(merchant, &event.stream).await?.is_some();
                known.insert(event.stream.clone(), there);
                there
            }
        };
        if there {
            fine.push(event);
        }
    }
    if fine.is_empty() {
        return Ok((0, more));
    }
    let detail = json!({
        "from": from.to_rfc3339(), "to": to.to_rfc3339(), "profile": query.profile,
        "types": query.kinds, "events": fine.len(),
    });
    commit(audit, actor, merchant, merchant.to_string(), detail, &fine).await?;
    Ok((fine.len(), more))
}

async fn commit(
    audit: &Audit,
    actor: &Actor,
    merchant: MerchantId,
    subject: String,
    detail: serde_json::Value,
    events: &[HookEventRow],
) -> Result<(), Fault> {
    let at = audit.clock().now();
    let busy_until = at.plus_millis(Payments::hook_lease_ms());
    let replay = |event: &HookEventRow| {
        let (stream, event) = (event.stream.clone(), event.id.clone());
        Write::ReplayHook(HookReplay { merchant, stream, event, at, busy_until })
    };
    let entry = Entry {
        merchant: Some(merchant),
        actor: actor.clone(),
        action: Action::WebhookReplayed,
        subject,
        detail,
        request_id: None,
    };
    let set = WriteSet::from(events.iter().map(replay).collect::<Vec<_>>());
    match audit.commit_with(entry, set).await {
        Ok(()) => Ok(()),
        // Whoever tries again finds what became of it.
        Err(CommitError::InDoubt) => Err(Fault::Engine(baton_engine::EngineError::Unavailable)),
        Err(error) => Err(error.into()),
    }
}
