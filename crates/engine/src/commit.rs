//! Turns a step into one write set, and makes it durable.

use std::collections::BTreeMap;
use std::time::Duration;

use baton_flow::{CallId, CallState, Event, Owner, Payment, Timer, mutated, snapshot};
use baton_store::{
    CommitError, EventRow, OutboxRow, PaymentRow, ReferenceKind, ReferenceRow, Store, StoreError,
    TimerRow, Write, WriteSet,
};
use baton_types::outcome::Finding;
use baton_types::{AccountId, EventId, Timestamp};
use serde::Serialize;

use crate::alongside::Follow;

/// The schema of event bodies and outbox messages.
const EVENT_SCHEMA: u32 = 1;

/// What one commit of a payment holds.
pub(crate) struct Change<'a> {
    pub(crate) payment: &'a Payment,
    pub(crate) id: EventId,
    pub(crate) events: &'a [Event],
    pub(crate) timers: &'a [Timer],
    /// Whether events are also published.
    pub(crate) publish: bool,
    /// The process that commits: the timers that it sets are its own, whoever planned the calls.
    pub(crate) owner: &'a Owner,
    /// What else changes with the payment.
    pub(crate) follow: Option<Follow>,
}

/// What is published of a commit: the first line of a message. Consumers order by payment and version. The second
/// line is the payment's snapshot as it was then.
#[derive(Serialize)]
struct Message<'a> {
    id: String,
    merchant: String,
    payment: String,
    version: u64,
    at: String,
    status: &'a str,
    events: &'a [Event],
    /// Of the second line.
    schema: u32,
}

impl Change<'_> {
    /// The write set: snapshot, event, message, timers and references, and what follows the payment.
    ///
    /// # Errors
    /// Something does not encode: a bug.
    pub(crate) fn write_set(&self) -> Result<WriteSet, CommitError> {
        let payment = self.payment;
        let now = payment.updated_at;
        let status = payment.status();
        let body = encode(&self.events)?;
        let encoded = snapshot::encode(payment);
        let encoded = encoded.map_err(|error| CommitError::Invalid(error.to_string()))?;
        let schema = snapshot::schema_of(payment);
        let mut set = WriteSet::new();
        set.push(Write::Event(EventRow {
            id: self.id,
            merchant: payment.merchant,
            payment: payment.id,
            version: payment.version,
            at: now,
            schema: EVENT_SCHEMA,
            body,
        }));
        set.push(Write::Payment(PaymentRow {
            merchant: payment.merchant,
            id: payment.id,
            version: payment.version,
            status: status.to_owned(),
            kind: payment.order.kind.as_str().to_owned(),
            amount_minor: payment.order.kind.amount().map(|amount| amount.minor()),
            currency: payment.order.kind.amount().map(|a| a.currency().code().to_owned()),
            merchant_ref: payment.order.merchant_ref.clone(),
            test: payment.order.test,
            account: payment.deciding_account(),
            created_at: payment.created_at,
            updated_at: now,
            schema,
            snapshot: encoded.clone(),
        }));
        if self.publish {
            let message = encode(&Message {
                id: self.id.to_string(),
                merchant: payment.merchant.to_string(),
                payment: payment.id.to_string(),
                version: payment.version,
                at: now.to_rfc3339(),
                status,
                events: self.events,
                schema,
            })?;
            set.push(Write::Outbox(OutboxRow {
                id: self.id,
                merchant: payment.merchant,
                payment: payment.id,
                version: payment.version,
                due_at: now,
                attempts: 0,
                body: format!("{message}\n{encoded}"),
            }));
        }
        self.push_timers(&mut set);
        self.push_references(&mut set);
        set.writes.extend(self.follow.iter().flat_map(|follow| follow(payment)));
        Ok(set)
    }

    /// One timer per call: the last change of the step counts.
    fn push_timers(&self, set: &mut WriteSet) {
        let payment = self.payment;
        let mut last: BTreeMap<CallId, Option<Timestamp>> = BTreeMap::new();
        for timer in self.timers {
            match *timer {
                Timer::Set { call, at } => last.insert(call, Some(at)),
                Timer::Clear { call } => last.insert(call, None),
            };
        }
        for (id, at) in last {
            let Some(call) = payment.call(id) else { continue };
            set.push(match at {
                Some(due_at) => Write::SetTimer(TimerRow {
                    merchant: payment.merchant,
                    payment: payment.id,
                    call: id.to_string(),
                    kind: if call.state == CallState::Planned { "watch" } else { "resolve" }
                        .to_owned(),
                    due_at,
                    attempt: u32::try_from(call.checks.len()).unwrap_or(u32::MAX),
                    node: self.owner.node.clone(),
                    boot: self.owner.boot,
                }),
                None => Write::ClearTimer {
                    merchant: payment.merchant,
                    payment: payment.id,
                    call: id.to_string(),
                },
            });
        }
    }

    /// What the payment can be found by from now on.
    fn push_references(&self, set: &mut WriteSet) {
        let mut push = |kind, account, value: &str, call: CallId| {
            set.push(Write::Reference(ReferenceRow {
                merchant: self.payment.merchant,
                kind,
                account,
                value: value.to_owned(),
                payment: self.payment.id,
                call: call.to_string(),
                created_at: self.payment.updated_at,
            }));
        };
        for event in self.events {
            match event {
                Event::Opened { merchant_ref: Some(value), .. } => {
                    push(ReferenceKind::Merchant, None, value, CallId::Attempt(1));
                }
                Event::Planned { call, account, reference, .. } => {
                    push(ReferenceKind::Attempt, Some(*account), reference, *call);
                }
                Event::Concluded { call, outcome }
                | Event::InDoubt { call, outcome }
                | Event::Checked { call, finding: Finding::Found { outcome } } => {
                    let reference = outcome.answer().and_then(|a| a.reference.as_deref());
                    if let (Some(value), Some(account)) = (reference, self.account_of(*call)) {
                        push(ReferenceKind::Provider, Some(account), value, *call);
                    }
                }
                Event::Opened { merchant_ref: None, .. }
                | Event::Closed { .. }
                | Event::Obliged { .. }
                | Event::Checked { .. }
                | Event::Evidence { .. }
                | Event::Settled { .. }
                | Event::Contradicted { .. } => {}
            }
        }
    }

    fn account_of(&self, call: CallId) -> Option<AccountId> {
        let attempt = self.payment.attempt_of(call)?;
        self.payment.candidate(attempt).map(|candidate| candidate.account)
    }
}

fn encode(value: &impl Serialize) -> Result<String, CommitError> {
    serde_json::to_string(value).map_err(|error| CommitError::Invalid(error.to_string()))
}

/// How long to wait before a commit is tried again whose acknowledgement was lost.
const PAUSE: Duration = Duration::from_millis(50);

/// Commits the set that `build` makes, whose event is `id`, and settles a lost acknowledgement by asking
/// again.
///
/// A set that was perhaps committed is sent once more: if it was, its own event stands in the way, and
/// the event's id tells that it is ours. Until that is settled nothing is returned: every answer would be
/// a guess, and the one that is wrong sends a call twice or forgets one.
pub(crate) async fn commit(
    store: &dyn Store,
    payment: &Payment,
    id: EventId,
    build: impl Fn() -> Result<WriteSet, CommitError>,
) -> Result<(), CommitError> {
    let mut was_in_doubt = false;
    loop {
        match store.commit(build()?).await {
            Err(CommitError::InDoubt) if mutated("in_doubt_is_committed") => return Ok(()),
            Err(CommitError::InDoubt) => {
                was_in_doubt = true;
                tracing::warn!(payment = %payment.id, "the acknowledgement of a commit was lost");
            }
            Err(CommitError::Conflict(guard)) if was_in_doubt => {
                match store.event(payment.merchant, payment.id, payment.version).await {
                    Ok(Some(event)) if event.id == id => return Ok(()),
                    Ok(_) => return Err(CommitError::Conflict(guard)),
                    Err(StoreError::Unavailable(_)) => {}
                    Err(StoreError::Corrupt(why)) => return Err(CommitError::Invalid(why)),
                }
            }
            // While in doubt, "unavailable" says only that this try was not committed.
            Err(CommitError::Unavailable(_)) if was_in_doubt => {}
            result @ (Ok(()) | Err(_)) => return result,
        }
        tokio::time::sleep(PAUSE).await;
    }
}
