//! What can be asked about events: which there are, how they were tried, and to try one again.

use baton_engine::audit::Actor;
use baton_store::{HookAttemptRow, HookEventRow, HookOutcome, HookQuery, HookState};

use super::deliver::{self, Cause, End};
use crate::fault::Fault;
use crate::service::{Merchant, Payments};

/// Which events to list; the merchant is the caller's.
pub type EventFilter = HookQuery;

/// An event with one try of it.
#[derive(Clone, Debug)]
pub struct AttemptSeen {
    /// The event.
    pub event: HookEventRow,
    /// The try.
    pub attempt: HookAttemptRow,
}

impl Payments {
    /// A page of a merchant's events, newest first, and how many there are in all.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn hook_events(
        &self,
        merchant: &Merchant,
        mut filter: EventFilter,
    ) -> Result<(Vec<HookEventRow>, u64), Fault> {
        filter.merchant = merchant.caller.merchant;
        filter.profile = filter.profile.or(merchant.profile.map(|own| own.to_string()));
        let store = self.engine().store().webhooks();
        let events = store.hook_events(&filter).await?;
        Ok((events, store.count_hook_events(&filter).await?))
    }

    async fn hook_event_of(&self, merchant: &Merchant, id: &str) -> Result<HookEventRow, Fault> {
        let store = self.engine().store().webhooks();
        let found = store.hook_event(merchant.caller.merchant, id).await?;
        let found = found.filter(|event| merchant.sees(&event.profile));
        found.ok_or(Fault::NotFound("event"))
    }

    /// The tries of an event, the first first.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn hook_attempts(
        &self,
        merchant: &Merchant,
        id: &str,
    ) -> Result<Vec<AttemptSeen>, Fault> {
        let owner = merchant.caller.merchant;
        let store = self.engine().store().webhooks();
        let event = self.hook_event_of(merchant, id).await?;
        let tries = store.hook_attempts(owner, id).await?.into_iter();
        Ok(tries.map(|attempt| AttemptSeen { event: event.clone(), attempt }).collect())
    }

    /// Sends an event once more, now, whatever became of it before. It is no part of the schedule. The endpoint of a
    /// disabled profile is sent to as well: that shows whether it is back.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn retry_hook(
        &self,
        actor: &Actor,
        merchant: &Merchant,
        id: &str,
    ) -> Result<AttemptSeen, Fault> {
        let owner = merchant.caller.merchant;
        let store = self.engine().store().webhooks();
        let event = self.hook_event_of(merchant, id).await?;
        tracing::info!(%actor, event = id, "a webhook is sent again by hand");
        let known = self.known(owner).await?;
        let tried = deliver::attempt(self, known.as_deref(), &event, Cause::Manual).await?;
        let now = self.now();
        let taken = tried.end == End::Taken;
        if taken {
            self.hooks.counts.count_delivered();
        } else {
            self.hooks.counts.count_failed();
        }
        // What waits behind it need not wait for the event's own next try, unless a worker has the stream just now.
        let stream = store.hook_stream(owner, &event.stream).await?;
        let held = now.plus_millis(Self::hook_lease_ms());
        let rests = stream.and_then(|stream| stream.due_at).is_some_and(|due| due > held);
        let due_at = (taken && rests && event.state == HookState::Pending).then_some(now);
        store
            .conclude_hook(HookOutcome {
                merchant: owner,
                stream: event.stream.clone(),
                event: event.id.clone(),
                state: taken.then_some(HookState::Delivered),
                counts: false,
                attempt: Some(tried.row.clone()),
                due_at,
                at: now,
            })
            .await?;
        let event = self.hook_event_of(merchant, id).await?;
        Ok(AttemptSeen { event, attempt: tried.row })
    }
}
