//! Outbox messages into events for merchants.
//!
//! Messages of one payment are taken in the order of its versions: one whose predecessor is still in the outbox (on
//! another node, or because it failed) waits. What a stream remembers (the payment's last version and status) is
//! written in the commit that ends the message, so that a message which comes twice changes nothing.

use std::collections::{HashMap, HashSet};

use baton_engine::Message;
use baton_flow::{CallId, CallState, Payment};
use baton_store::{
    CommitError, HookEventRow, HookRecord, HookState, HookStreamRow, OutboxRow, Write,
};
use baton_types::{EventId, MerchantId, PaymentId, Timestamp};
use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::event::{self, EventKind};
use super::{Known, Told};
use crate::dispute::{Dispute, DisputeSeen};
use crate::document::{Document, Stored, list, load};
use crate::fault::Fault;
use crate::intent::{Intent, Seen};
use crate::method::{Mandate, MandateState, SavedMethod, was_taken};
use crate::refund::{Refund, RefundSeen};
use crate::service::Payments;
use crate::status::{self, IntentStatus};

/// Payments that are worked on at once.
const AT_ONCE: usize = 32;

/// How soon a message is looked at again whose predecessor was still there, in milliseconds.
const SOON_MS: i64 = 50;

/// Most refunds of an intent.
const REFUNDS_MAX: u32 = 1_000;

/// What became of a message.
enum Done {
    /// There is nothing to be told: it can be deleted.
    Nothing,
    /// It was ended together with what is to be told.
    Recorded,
    /// Its predecessor is still there.
    Later,
    /// It could not be worked on now; it comes again when its lease is over.
    Failed,
}

/// Messages that are to be deleted, and those that come again soon.
type Ended = (Vec<EventId>, Vec<EventId>);

/// Records a batch; the ids of the messages that are still to be deleted.
pub(super) async fn all(payments: &Payments, batch: &[OutboxRow]) -> HashSet<EventId> {
    let mut groups: HashMap<(MerchantId, PaymentId), Vec<&OutboxRow>> = HashMap::new();
    for row in batch {
        groups.entry((row.merchant, row.payment)).or_default().push(row);
    }
    let work: Vec<_> = groups.into_values().map(|rows| group(payments, rows).boxed()).collect();
    let done: Vec<Ended> = stream::iter(work).buffer_unordered(AT_ONCE).collect().await;
    let later: Vec<EventId> = done.iter().flat_map(|(_, later)| later.iter().copied()).collect();
    if !later.is_empty() {
        let store = payments.engine().store().webhooks();
        if let Err(error) = store.release_outbox(&later, payments.now().plus_millis(SOON_MS)).await
        {
            tracing::warn!(%error, "messages that wait for others are looked at late");
        }
    }
    payments.hooks.recorded.notify_one();
    done.into_iter().flat_map(|(ended, _)| ended).collect()
}

/// The messages of one payment, in order: which are to be deleted, and which come again soon. What follows one that
/// could not be worked on waits too.
async fn group(payments: &Payments, rows: Vec<&OutboxRow>) -> Ended {
    let (mut ended, mut later) = (Vec::new(), Vec::new());
    let mut behind = None;
    let mut rows = rows.into_iter();
    for row in rows.by_ref() {
        let done = match one(payments, row, behind).await {
            Ok(done) => done,
            Err(fault) => {
                tracing::warn!(?fault, event = %row.id, "a message cannot be told now; it stays");
                Done::Failed
            }
        };
        match done {
            Done::Nothing => ended.push(row.id),
            Done::Recorded => {}
            Done::Later => {
                later.push(row.id);
                break;
            }
            Done::Failed => break,
        }
        behind = Some(row.version);
    }
    later.extend(rows.map(|row| row.id));
    (ended, later)
}

async fn one(payments: &Payments, row: &OutboxRow, behind: Option<u64>) -> Result<Done, Fault> {
    let Some(known) = payments.known(row.merchant).await? else { return Ok(Done::Nothing) };
    if known.endpoints.values().all(|told| told.details.webhook_url.is_none()) {
        return Ok(Done::Nothing);
    }
    let store = payments.engine().store();
    let before = row.version.saturating_sub(1);
    if before > 0
        && behind != Some(before)
        && store.webhooks().is_in_outbox(row.merchant, row.payment, before).await?
    {
        return Ok(Done::Later);
    }
    if let Some(changed) = Changed::read(row) {
        return of_document(payments, &known, row, &changed).await;
    }
    let payment = match Message::payment(row) {
        Ok(Some(payment)) => payment,
        // A node of an earlier version wrote it: the payment as it stands now has to do.
        Ok(None) => match payments.engine().payment(known.merchant.caller, row.payment).await {
            Ok(payment) => payment.as_ref().clone(),
            Err(_) => return Ok(Done::Nothing),
        },
        Err(why) => {
            tracing::error!(event = %row.id, why, "a message cannot be read; nobody is told of it");
            return Ok(Done::Nothing);
        }
    };
    let Some(id) = &payment.order.merchant_ref else { return Ok(Done::Nothing) };
    let Some(intent) = load::<Intent>(store.as_ref(), row.merchant, id).await? else {
        return Ok(Done::Nothing);
    };
    let Some(place) = intent.body.tries.iter().position(|made| *made == payment.id) else {
        return Ok(Done::Nothing);
    };
    let Some(told) = known.told(&intent.body.profile).cloned() else { return Ok(Done::Nothing) };
    let telling = Telling { payments, known: &known, told, row, at: payment.updated_at };
    of_payment(&telling, intent, payment, place).await
}

/// What a stream remembers of its intent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Memory {
    /// The last payment of the intent that was told of.
    payment: Option<PaymentId>,
    /// Its version.
    version: u64,
    /// How the intent stood then.
    status: Option<IntentStatus>,
    /// Its refunds that were told.
    refunds: Vec<CallId>,
}

/// What is needed to tell of one message.
struct Telling<'a> {
    payments: &'a Payments,
    known: &'a Known,
    told: Told,
    row: &'a OutboxRow,
    at: Timestamp,
}

async fn of_payment(
    telling: &Telling<'_>,
    intent: Stored<Intent>,
    payment: Payment,
    place: usize,
) -> Result<Done, Fault> {
    let (payments, row) = (telling.payments, telling.row);
    // A later change of the intent, and a later payment, are not what is told here.
    let updated_at = intent.updated_at.min(payment.updated_at);
    let mut intent = Stored { updated_at, ..intent };
    intent.body.tries.truncate(place.saturating_add(1));
    let store = payments.engine().store();
    let id = intent.body.id.clone();
    let known = store.webhooks().hook_stream(row.merchant, &id).await?;
    let memory = known.as_ref().and_then(|row| serde_json::from_str::<Memory>(&row.state).ok());
    let memory = memory.unwrap_or_default();
    let same = memory.payment == Some(payment.id);
    if same && memory.version >= row.version {
        return Ok(Done::Nothing);
    }
    let status = status::of_payment(&payment, intent.body.capture);
    let ended: Vec<CallId> =
        payment.calls().filter(|(_, call)| is_over(&call.state)).map(|(id, _)| id).collect();
    let refunds: Vec<CallId> = ended
        .into_iter()
        .filter(|call| matches!(call, CallId::Refund(_)))
        .filter(|call| !same || !memory.refunds.contains(call))
        .collect();
    let changed = !same || memory.status != Some(status);
    if !changed && refunds.is_empty() {
        // The version has to be remembered only with what was told.
        return Ok(Done::Nothing);
    }
    let mut events =
        Events { telling, stream: &id, profile: &intent.body.profile, place, rows: Vec::new() };
    let shown = Some(std::sync::Arc::new(payment.clone()));
    let seen = Seen { intent: intent.clone(), payment: shown, retry: false };
    let seen = payments.judged(&telling.known.merchant, seen).await;
    if changed
        && let Some(kind) = event::of_status(status)
        && event::wants_status(&telling.told.details, status, kind)
    {
        let frame = telling.known.frame(payments);
        let object = payments.hook_settings()?.shows.payment(&seen, frame);
        let of = [row.payment.to_string(), row.version.to_string()];
        events.add(kind, &id, &[&of[0], &of[1]], object)?;
    }
    if changed && was_taken(&payment) {
        events.add_mandate(&intent.body, payment.id).await?;
    }
    let mut all = if same { memory.refunds } else { Vec::new() };
    if !refunds.is_empty() {
        events.add_refunds(&id, &payment, &refunds).await?;
        all.extend(refunds);
    }
    let (rows, profile) = (events.rows, intent.body.profile.clone());
    let memory = Memory {
        payment: Some(payment.id),
        version: row.version,
        status: Some(status),
        refunds: all,
    };
    commit(telling, id, profile, &memory, rows).await
}

fn is_over(state: &CallState) -> bool {
    matches!(state, CallState::Final { .. } | CallState::Closed { .. })
}

async fn commit(
    telling: &Telling<'_>,
    stream: String,
    profile: String,
    memory: &Memory,
    events: Vec<HookEventRow>,
) -> Result<Done, Fault> {
    let payments = telling.payments;
    let now = payments.now();
    let waits = events.iter().any(|event| event.state == HookState::Pending);
    let record = HookRecord {
        message: telling.row.id,
        stream: HookStreamRow {
            merchant: telling.row.merchant,
            id: stream,
            profile,
            state: serde_json::to_string(memory).unwrap_or_default(),
            due_at: waits.then_some(now),
            updated_at: now,
        },
        events,
    };
    let recorded = record.events.len();
    match payments.engine().store().webhooks().record_hooks(record).await {
        Ok(()) => {
            for _ in 0..recorded {
                payments.hooks.counts.count_recorded();
            }
            Ok(Done::Recorded)
        }
        // If it was committed, the message is gone; if not, it comes again.
        Err(CommitError::InDoubt | CommitError::Unavailable(_)) => Ok(Done::Failed),
        Err(error) => Err(error.into()),
    }
}

/// The events of one message.
struct Events<'a> {
    telling: &'a Telling<'a>,
    stream: &'a str,
    profile: &'a str,
    /// The place of the payment among those of its intent.
    place: usize,
    rows: Vec<HookEventRow>,
}

impl Events<'_> {
    /// Adds an event about an object, known by what it is of.
    fn add(
        &mut self,
        kind: EventKind,
        object: &str,
        of: &[&str],
        shown: Value,
    ) -> Result<(), Fault> {
        let Telling { payments, known, told, row, at } = self.telling;
        let mut of: Vec<&str> = of.to_vec();
        of.push(kind.as_str());
        let id = event::id_of(*at, &of);
        let account = &known.account.body.id;
        let body = json!({
            "merchant_id": account,
            "event_id": id,
            "event_type": kind.as_str(),
            "content": { "type": kind.class().content(), "object": shown },
            "timestamp": at.to_rfc3339(),
            "processor_merchant_id": account,
        });
        // The payments of an intent, their versions, and what one version tells, each in order.
        let place = i64::try_from(self.place).unwrap_or_default();
        let version = i64::try_from(row.version).unwrap_or_default();
        let number = i64::try_from(self.rows.len()).unwrap_or_default();
        let seq = (place << 40) | (version << 12) | number;
        let disabled = told.endpoint.as_ref().is_some_and(|stored| stored.body.disabled.is_some());
        let state = if disabled { HookState::GivenUp } else { HookState::Pending };
        let now = payments.now();
        self.rows.push(HookEventRow {
            merchant: row.merchant,
            id,
            stream: self.stream.to_owned(),
            seq,
            profile: self.profile.to_owned(),
            object: object.to_owned(),
            class: kind.class().as_str().to_owned(),
            kind: kind.as_str().to_owned(),
            state,
            attempts: 0,
            created_at: *at,
            updated_at: now,
            body: body.to_string(),
        });
        Ok(())
    }

    /// The mandate that a payment has made by being taken.
    async fn add_mandate(&mut self, intent: &Intent, payment: PaymentId) -> Result<(), Fault> {
        let Some(id) = &intent.mandate else { return Ok(()) };
        let payments = self.telling.payments;
        let (store, owner) = (payments.engine().store().as_ref(), self.telling.row.merchant);
        let Some(mandate) = load::<Mandate>(store, owner, id).await? else { return Ok(()) };
        let method = load::<SavedMethod>(store, owner, &mandate.body.method).await?;
        let Some(method) = method.filter(|method| method.body.saved_by == Some(payment)) else {
            return Ok(());
        };
        // As it was when the payment made it.
        let mandate = Mandate { state: MandateState::Active, ..mandate.body };
        let shown = payments.hook_settings()?.shows.mandate(
            &mandate,
            &method.body,
            self.telling.known.frame(payments),
        );
        self.add(EventKind::MandateActive, id, &[id], shown)
    }

    async fn add_refunds(
        &mut self,
        intent: &str,
        payment: &Payment,
        calls: &[CallId],
    ) -> Result<(), Fault> {
        let payments = self.telling.payments;
        let (store, owner) = (payments.engine().store().as_ref(), self.telling.row.merchant);
        let known = list::<Refund>(store, owner, Some(intent), REFUNDS_MAX).await?;
        let payment = std::sync::Arc::new(payment.clone());
        for call in calls {
            let of = |refund: &&Stored<Refund>| {
                refund.body.payment == payment.id && refund.body.call == *call
            };
            // A reversal after the capture is a refund at the provider without being one of the merchant's.
            let Some(refund) = known.iter().find(of) else { continue };
            let seen =
                RefundSeen { refund: refund.clone(), payment: std::sync::Arc::clone(&payment) };
            let Some(kind) = event::of_refund(seen.status()) else { continue };
            if !event::wants_refund(&self.telling.told.details, kind) {
                continue;
            }
            let shown = payments.hook_settings()?.shows.refund(&seen);
            let id = refund.body.id.clone();
            self.add(kind, &id, &[&id, &call.to_string()], shown)?;
        }
        Ok(())
    }
}

/// The first line of a message about a document.
#[derive(Debug, Serialize, Deserialize)]
struct Changed {
    id: String,
    merchant: String,
    /// The document's kind.
    document: String,
    /// Its id.
    object: String,
    version: u64,
    at: String,
    status: String,
    /// Of a dispute: whether what was lost and what was refunded are more than what was captured.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    refunded_too: bool,
}

impl Changed {
    fn read(row: &OutboxRow) -> Option<Self> {
        serde_json::from_str(Message::line(row)).ok()
    }
}

impl Payments {
    /// The message that tells of a document's new version, in whose commit it belongs.
    pub(crate) fn tell<T: Document>(&self, stored: &Stored<T>, status: &str) -> Option<Write> {
        // There is no payment: an id of its own, so that nothing waits for it.
        let alone: EventId = baton_engine::new_id(self.engine().clock());
        let place = (PaymentId::from_bytes(*alone.as_bytes()), 1);
        self.tell_in_order(stored, status, place, false)
    }

    /// The same for a document that is told of more than once: messages at one place are taken in the order of their
    /// numbers, which count from 1 without a gap.
    pub(crate) fn tell_in_order<T: Document>(
        &self,
        stored: &Stored<T>,
        status: &str,
        (place, number): (PaymentId, u64),
        refunded_too: bool,
    ) -> Option<Write> {
        if !self.engine().publishes() {
            return None;
        }
        let id: EventId = baton_engine::new_id(self.engine().clock());
        let changed = Changed {
            id: id.to_string(),
            merchant: stored.merchant.to_string(),
            document: T::KIND.to_owned(),
            object: stored.body.id().to_owned(),
            version: stored.version,
            at: stored.updated_at.to_rfc3339(),
            status: status.to_owned(),
            refunded_too,
        };
        let line = serde_json::to_string(&changed).unwrap_or_default();
        let body = serde_json::to_string(&stored.body).unwrap_or_default();
        Some(Write::Outbox(OutboxRow {
            id,
            merchant: stored.merchant,
            payment: place,
            version: number,
            due_at: stored.updated_at,
            attempts: 0,
            body: format!("{line}\n{body}"),
        }))
    }
}

/// An intent that was given up before a payment was made, a mandate that was taken back, or a dispute.
async fn of_document(
    payments: &Payments,
    known: &Known,
    row: &OutboxRow,
    changed: &Changed,
) -> Result<Done, Fault> {
    let body = Message::rest(row).unwrap_or_default();
    let at = Timestamp::parse_rfc3339(&changed.at).unwrap_or_else(|_| payments.now());
    let version = changed.version.to_string();
    if changed.document == Intent::KIND {
        let Ok(intent) = serde_json::from_str::<Intent>(body) else { return Ok(Done::Nothing) };
        let Some(told) = known.told(&intent.profile).cloned() else { return Ok(Done::Nothing) };
        let (id, profile, place) = (intent.id.clone(), intent.profile.clone(), intent.tries.len());
        let mut stored = Stored::new(row.merchant, intent, at);
        if let Some(whole) =
            load::<Intent>(payments.engine().store().as_ref(), row.merchant, &id).await?
        {
            stored.created_at = whole.created_at;
        }
        let seen = Seen { intent: stored, payment: None, retry: false };
        let status = seen.status();
        let Some(kind) = event::of_status(status) else { return Ok(Done::Nothing) };
        if !event::wants_status(&told.details, status, kind) {
            return Ok(Done::Nothing);
        }
        let telling = Telling { payments, known, told, row, at };
        let shows = &payments.hook_settings()?.shows;
        let object = shows.payment(&seen, known.frame(payments));
        let mut events =
            Events { telling: &telling, stream: &id, profile: &profile, place, rows: Vec::new() };
        events.add(kind, &id, &[&id, &version], object)?;
        let rows = events.rows;
        let memory = Memory { status: Some(status), ..Memory::default() };
        return commit(&telling, id, profile, &memory, rows).await;
    }
    if changed.document == Mandate::KIND {
        let Ok(mandate) = serde_json::from_str::<Mandate>(body) else { return Ok(Done::Nothing) };
        let store = payments.engine().store().as_ref();
        let method = load::<SavedMethod>(store, row.merchant, &mandate.method).await?;
        let Some(method) = method else { return Ok(Done::Nothing) };
        // Mandates belong to the merchant: its default profile is told.
        let profile = known.account.body.default_profile.clone();
        let Some(told) = known.told(&profile).cloned() else { return Ok(Done::Nothing) };
        let telling = Telling { payments, known, told, row, at };
        let object =
            payments.hook_settings()?.shows.mandate(&mandate, &method.body, known.frame(payments));
        let id = mandate.id.clone();
        let mut events = Events {
            telling: &telling,
            stream: &id,
            profile: &profile,
            place: 0,
            rows: Vec::new(),
        };
        events.add(EventKind::MandateRevoked, &id, &[&id], object)?;
        let rows = events.rows;
        return commit(&telling, id, profile, &Memory::default(), rows).await;
    }
    if changed.document == Dispute::KIND {
        return of_dispute(payments, known, row, changed, (body, at)).await;
    }
    Ok(Done::Nothing)
}

/// A dispute that stands otherwise. Its events are a stream of their own, in order.
async fn of_dispute(
    payments: &Payments,
    known: &Known,
    row: &OutboxRow,
    changed: &Changed,
    (body, at): (&str, Timestamp),
) -> Result<Done, Fault> {
    let Ok(dispute) = serde_json::from_str::<Dispute>(body) else { return Ok(Done::Nothing) };
    let Some(told) = known.told(&dispute.profile).cloned() else { return Ok(Done::Nothing) };
    let (id, profile) = (dispute.id.clone(), dispute.profile.clone());
    let kind = event::of_dispute(dispute.status);
    let mut stored = Stored::new(row.merchant, dispute, at);
    let store = payments.engine().store().as_ref();
    if let Some(whole) = load::<Dispute>(store, row.merchant, &id).await? {
        stored.created_at = whole.created_at;
    }
    let seen = DisputeSeen { dispute: stored, refunded_too: changed.refunded_too };
    let object = payments.hook_settings()?.shows.dispute(&seen);
    let telling = Telling { payments, known, told, row, at };
    let mut events =
        Events { telling: &telling, stream: &id, profile: &profile, place: 0, rows: Vec::new() };
    events.add(kind, &id, &[&id, &row.version.to_string()], object)?;
    let rows = events.rows;
    commit(&telling, id, profile, &Memory::default(), rows).await
}
