//! All payments of one account, found by id and by merchant reference, and its idempotency keys.
//!
//! Every change is noted in a [`Change`], which the caller journals and announces. Payments are shared
//! and copied on write, so that a note of the past (an event) costs a pointer.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::card::{Card, Token};
use super::dispute::{Dispute, NewDispute, Stage as DisputeStage, State as DisputeState};
use super::payment::{
    Ask, Attempt, Kind, NewPayment, Operation, Payment, Refusal, Route, Stamp, Status, Verdict,
};
use crate::clock::{Id, Ids};
use crate::codes::DeclineCode;
use crate::webhooks::Endpoint;

/// Events kept per account for `GET /v1/events`; older ones are forgotten.
const EVENTS_KEPT: usize = 10_000;

/// What happened, in the words of the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EventKind {
    Created,
    Attempted,
    Concluded,
    Capture,
    Void,
    Refund,
    Increment,
    /// A dispute was opened.
    DisputeOpened,
    /// A dispute stands otherwise.
    DisputeMoved,
    /// A cancel by reference found nothing to cancel.
    CancelFailed,
}

/// What an event is about.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    /// The payment as it was just after; `operation` for captures, voids, refunds and disputes.
    Payment { payment: Arc<Payment>, operation: Option<Id> },
    /// A merchant reference that no payment has.
    Reference { reference: String, merchant_account: String },
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) id: Id,
    pub(crate) at_ms: i64,
    pub(crate) kind: EventKind,
    pub(crate) subject: Subject,
}

/// The answer stored under an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredKey {
    pub(crate) fingerprint: String,
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyState {
    Running { fingerprint: String },
    Done(StoredKey),
}

/// What one request changed.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) payments: Vec<Arc<Payment>>,
    pub(crate) tokens: Vec<Token>,
    pub(crate) fenced: Vec<String>,
    pub(crate) events: Vec<Event>,
    pub(crate) key: Option<(String, StoredKey)>,
    pub(crate) endpoint: Option<Endpoint>,
}

/// A page of payments, newest first, with the place to go on from.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) payments: Vec<Arc<Payment>>,
    pub(crate) next: Option<usize>,
}

/// What a cancel by reference did.
#[derive(Debug, Default)]
pub(crate) struct Cancelled {
    /// Voided now or before.
    pub(crate) cancelled: Vec<Arc<Payment>>,
    /// Still holding or having taken money.
    pub(crate) refused: Vec<(Arc<Payment>, Refusal)>,
}

#[derive(Debug)]
pub(crate) struct Books {
    ids: Arc<Ids>,
    now_ms: i64,
    payments: Vec<Arc<Payment>>,
    /// Payments, attempts, operations and disputes, to the payment's place.
    by_id: HashMap<Id, usize>,
    by_reference: HashMap<String, Vec<usize>>,
    by_operation_reference: HashMap<String, Vec<(usize, Id)>>,
    executions_by_key: HashMap<String, u32>,
    tokens: HashMap<Id, Token>,
    fenced: HashSet<String>,
    keys: HashMap<String, KeyState>,
    events: VecDeque<Event>,
    pub(crate) endpoint: Option<Endpoint>,
    change: Change,
}

impl Books {
    pub(crate) fn new(ids: Arc<Ids>) -> Books {
        Books {
            ids,
            now_ms: 0,
            payments: Vec::new(),
            by_id: HashMap::new(),
            by_reference: HashMap::new(),
            by_operation_reference: HashMap::new(),
            executions_by_key: HashMap::new(),
            tokens: HashMap::new(),
            fenced: HashSet::new(),
            keys: HashMap::new(),
            events: VecDeque::new(),
            endpoint: None,
            change: Change::default(),
        }
    }

    /// Starts a request: everything it records carries this time.
    pub(crate) fn begin(&mut self, now_ms: i64) {
        self.now_ms = now_ms;
    }

    fn stamp(&self) -> Stamp {
        Stamp { id: self.ids.next(self.now_ms), now_ms: self.now_ms }
    }

    // ---- reading

    /// By the id of the payment, of one of its attempts or of one of its operations.
    pub(crate) fn find(&self, id: Id) -> Option<&Arc<Payment>> {
        self.payments.get(*self.by_id.get(&id)?)
    }

    pub(crate) fn payment(&self, id: Id) -> Option<&Arc<Payment>> {
        self.find(id).filter(|payment| payment.id == id)
    }

    /// Newest first.
    pub(crate) fn by_reference(&self, reference: &str) -> Vec<Arc<Payment>> {
        let places = self.by_reference.get(reference).map_or(&[][..], Vec::as_slice);
        places.iter().rev().filter_map(|place| self.payments.get(*place).cloned()).collect()
    }

    /// Whether a payer has agreed here, in an approved payment, to be asked again by this card.
    pub(crate) fn has_agreed(&self, card: &Card) -> bool {
        let same = |attempt: &Attempt| {
            let paid = attempt.card.as_ref();
            paid.is_some_and(|it| (&it.first6, &it.last4) == (&card.first6, &card.last4))
        };
        let agreed = |payment: &&Arc<Payment>| {
            payment.settings.reusable
                && payment.is_approved()
                && payment.attempt().is_some_and(same)
        };
        self.payments.iter().rev().any(|payment| agreed(&payment))
    }

    /// What was captured and neither refunded, voided nor withdrawn by a dispute, by currency.
    pub(crate) fn balances(&self) -> BTreeMap<String, i64> {
        let mut held = BTreeMap::new();
        for payment in self.payments.iter().filter(|payment| !payment.voided) {
            let withdrawn = payment.disputes.iter().filter(|dispute| dispute.is_withdrawn());
            let withdrawn: i64 = withdrawn.map(|dispute| dispute.amount).sum();
            let kept = payment.captured.saturating_sub(payment.refunded).saturating_sub(withdrawn);
            let sum: &mut i64 = held.entry(payment.currency.clone()).or_default();
            *sum = sum.saturating_add(kept);
        }
        held.retain(|_, sum| *sum != 0);
        held
    }

    /// Captures, voids and refunds with this reference, newest first.
    pub(crate) fn operations(&self, reference: &str) -> Vec<(Arc<Payment>, Operation)> {
        let found = self.by_operation_reference.get(reference).map_or(&[][..], Vec::as_slice);
        let read = |(place, id): &(usize, Id)| {
            let payment = self.payments.get(*place)?;
            Some((payment.clone(), payment.operation(*id)?.clone()))
        };
        found.iter().rev().filter_map(read).collect()
    }

    /// Newest first, from just below `before` (a place returned by an earlier page).
    pub(crate) fn page(&self, before: Option<usize>, limit: usize) -> Page {
        let end = before.unwrap_or(self.payments.len()).min(self.payments.len());
        let start = end.saturating_sub(limit);
        let slice = self.payments.get(start..end).unwrap_or(&[]);
        Page { payments: slice.iter().rev().cloned().collect(), next: (start > 0).then_some(start) }
    }

    /// The place of a payment, for paging after it.
    pub(crate) fn place(&self, id: Id) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn payments(&self) -> &[Arc<Payment>] {
        &self.payments
    }

    /// How many payments were made under this payment's idempotency key; 1 without a key.
    pub(crate) fn times_executed(&self, payment: &Payment) -> u32 {
        let key = payment.key.as_deref();
        key.and_then(|key| self.executions_by_key.get(key)).copied().unwrap_or(1)
    }

    pub(crate) fn token(&self, id: Id) -> Option<&Token> {
        self.tokens.get(&id)
    }

    /// Newest first.
    pub(crate) fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().rev()
    }

    pub(crate) fn key(&self, key: &str) -> Option<&KeyState> {
        self.keys.get(key)
    }

    // ---- writing

    /// Records a payment that is not yet attempted.
    pub(crate) fn create(&mut self, new: NewPayment) -> Result<Id, Refusal> {
        if self.fenced.contains(&new.reference) {
            return Err(Refusal::ReferenceCancelled);
        }
        let payment = Payment::new(self.stamp(), new);
        let id = payment.id;
        self.put(Arc::new(payment));
        Ok(id)
    }

    /// Notes that a payment was made without being attempted at once.
    pub(crate) fn announce_created(&mut self, id: Id) {
        self.announce(EventKind::Created, id, None);
    }

    /// Changes what the dialect remembers of a payment.
    pub(crate) fn update<R>(
        &mut self,
        id: Id,
        change: impl FnOnce(&mut Payment) -> R,
    ) -> Result<R, Refusal> {
        self.change(id, |payment| Ok(change(payment)))
    }

    pub(crate) fn authorize(
        &mut self,
        id: Id,
        card: Option<Card>,
        verdict: &Verdict,
    ) -> Result<Arc<Payment>, Refusal> {
        let stamp = self.stamp();
        self.change(id, |payment| payment.authorize(stamp, card, verdict))?;
        self.announce(EventKind::Attempted, id, None);
        self.dispute_by_card(id);
        self.payment(id).cloned().ok_or(Refusal::NotFound)
    }

    /// Ends a pending or challenged payment; `None` if there was nothing to end.
    pub(crate) fn conclude(
        &mut self,
        id: Id,
        decline: Option<DeclineCode>,
    ) -> Option<Arc<Payment>> {
        let ended = self.change(id, |payment| Ok(payment.conclude(decline))).unwrap_or(false);
        if !ended {
            return None;
        }
        self.announce(EventKind::Concluded, id, None);
        self.dispute_by_card(id);
        self.payment(id).cloned()
    }

    pub(crate) fn capture(
        &mut self,
        id: Id,
        ask: Ask,
        last: bool,
    ) -> Result<(Arc<Payment>, Operation), Refusal> {
        let done =
            self.modify(id, EventKind::Capture, |payment, stamp| payment.capture(stamp, ask, last));
        self.dispute_by_card(id);
        done
    }

    pub(crate) fn void(&mut self, id: Id, ask: Ask) -> Result<(Arc<Payment>, Operation), Refusal> {
        self.modify(id, EventKind::Void, |payment, stamp| payment.void(stamp, ask))
    }

    pub(crate) fn refund(
        &mut self,
        id: Id,
        ask: Ask,
    ) -> Result<(Arc<Payment>, Operation), Refusal> {
        self.modify(id, EventKind::Refund, |payment, stamp| payment.refund(stamp, ask))
    }

    pub(crate) fn increment(
        &mut self,
        id: Id,
        ask: Ask,
    ) -> Result<(Arc<Payment>, Operation), Refusal> {
        self.modify(id, EventKind::Increment, |payment, stamp| payment.increment(stamp, ask))
    }

    /// A dispute with its payment.
    pub(crate) fn dispute(&self, id: Id) -> Option<(Arc<Payment>, Dispute)> {
        let payment = self.find(id)?;
        let dispute = payment.disputes.iter().find(|dispute| dispute.id == id)?;
        Some((payment.clone(), dispute.clone()))
    }

    /// Opens what the card asks for, once money was taken with it.
    fn dispute_by_card(&mut self, id: Id) {
        let Some(payment) = self.payment(id) else { return };
        let new = payment.attempt().and_then(|attempt| attempt.card.as_ref()?.dispute.clone());
        if let Some(new) = new.filter(|_| payment.disputes.is_empty()) {
            // Nothing is captured yet: later, perhaps.
            let _ = self.dispute_open(id, &new);
        }
    }

    pub(crate) fn dispute_open(
        &mut self,
        id: Id,
        new: &NewDispute,
    ) -> Result<(Arc<Payment>, Dispute), Refusal> {
        let stamp = self.stamp();
        let dispute = self.change(id, |payment| payment.dispute(stamp, new))?;
        self.announce(EventKind::DisputeOpened, id, Some(dispute.id));
        self.dispute(dispute.id).ok_or(Refusal::NotFound)
    }

    pub(crate) fn dispute_accept(&mut self, id: Id) -> Result<(Arc<Payment>, Dispute), Refusal> {
        let now_ms = self.now_ms;
        self.dispute_change(id, |dispute| dispute.accept(now_ms))
    }

    /// Keeps evidence. What is submitted may be decided at once: that is announced, and not part of the answer.
    pub(crate) fn dispute_explain(
        &mut self,
        id: Id,
        evidence: Map<String, Value>,
        submit: bool,
    ) -> Result<(Arc<Payment>, Dispute), Refusal> {
        let now_ms = self.now_ms;
        let answered =
            self.dispute_change(id, |dispute| dispute.explain(now_ms, evidence, submit))?;
        if let Some(decided) = answered.1.decides() {
            self.dispute_move(id, None, decided)?;
        }
        Ok(answered)
    }

    pub(crate) fn dispute_move(
        &mut self,
        id: Id,
        stage: Option<DisputeStage>,
        state: DisputeState,
    ) -> Result<(Arc<Payment>, Dispute), Refusal> {
        let now_ms = self.now_ms;
        self.dispute_change(id, |dispute| {
            dispute.move_to(now_ms, stage, state);
            Ok(())
        })
    }

    fn dispute_change(
        &mut self,
        id: Id,
        apply: impl FnOnce(&mut Dispute) -> Result<(), Refusal>,
    ) -> Result<(Arc<Payment>, Dispute), Refusal> {
        let payment = self.dispute(id).ok_or(Refusal::NotFound)?.0.id;
        self.change(payment, |payment| {
            let dispute = payment.disputes.iter_mut().find(|dispute| dispute.id == id);
            apply(dispute.ok_or(Refusal::NotFound)?)
        })?;
        self.announce(EventKind::DisputeMoved, payment, Some(id));
        self.dispute(id).ok_or(Refusal::NotFound)
    }

    /// Records a refused modification, for a dialect that has already said "received".
    pub(crate) fn record_refused(
        &mut self,
        id: Id,
        kind: Kind,
        ask: Ask,
        refusal: Refusal,
    ) -> Result<(Arc<Payment>, Operation), Refusal> {
        let event = match kind {
            Kind::Capture => EventKind::Capture,
            Kind::Void => EventKind::Void,
            Kind::Refund => EventKind::Refund,
            Kind::Increment => EventKind::Increment,
        };
        self.modify(id, event, |payment, stamp| {
            Ok(payment.record_refused(stamp, kind, ask, refusal))
        })
    }

    /// Voids every payment with this reference. With `fence`, later ones are refused.
    pub(crate) fn cancel_reference(
        &mut self,
        reference: &str,
        ask: &Ask,
        fence: bool,
    ) -> Cancelled {
        if fence && self.fenced.insert(reference.to_owned()) {
            self.change.fenced.push(reference.to_owned());
        }
        let mut result = Cancelled::default();
        for payment in self.by_reference(reference) {
            if payment.voided {
                result.cancelled.push(payment);
                continue;
            }
            if payment.status == Status::Declined {
                continue;
            }
            let ask = Ask { route: Route::ByReference, ..ask.clone() };
            match self.void(payment.id, ask) {
                Ok((payment, operation)) if operation.failure.is_none() => {
                    result.cancelled.push(payment);
                }
                Ok((payment, _)) => result.refused.push((payment, Refusal::NotVoidable)),
                Err(refusal) => result.refused.push((payment, refusal)),
            }
        }
        result
    }

    /// Announces that a cancel by reference found no payment; returns the announcement's id.
    pub(crate) fn announce_cancel_failed(
        &mut self,
        reference: String,
        merchant_account: String,
    ) -> Id {
        let Stamp { id, now_ms } = self.stamp();
        let subject = Subject::Reference { reference, merchant_account };
        self.push_event(Event { id, at_ms: now_ms, kind: EventKind::CancelFailed, subject });
        id
    }

    pub(crate) fn tokenize(&mut self, card: Card) -> Token {
        let Stamp { id, now_ms } = self.stamp();
        let token = Token { id, card, created_ms: now_ms };
        self.tokens.insert(id, token.clone());
        self.change.tokens.push(token.clone());
        token
    }

    /// Claims an idempotency key for a request that is about to run.
    pub(crate) fn claim_key(&mut self, key: String, fingerprint: String) {
        self.keys.insert(key, KeyState::Running { fingerprint });
    }

    /// Stores the answer of the request that claimed the key.
    pub(crate) fn finish_key(&mut self, key: String, stored: StoredKey) {
        self.change.key = Some((key.clone(), stored.clone()));
        self.keys.insert(key, KeyState::Done(stored));
    }

    /// Gives up a claim of a request that did not run.
    pub(crate) fn release_key(&mut self, key: &str) {
        if matches!(self.keys.get(key), Some(KeyState::Running { .. })) {
            self.keys.remove(key);
        }
    }

    pub(crate) fn set_endpoint(&mut self, endpoint: Endpoint) {
        self.change.endpoint = Some(endpoint.clone());
        self.endpoint = Some(endpoint);
    }

    /// What happened since the last call. Empty if nothing did.
    pub(crate) fn take_change(&mut self) -> Change {
        std::mem::take(&mut self.change)
    }

    /// Repeats a journalled change.
    pub(crate) fn replay(&mut self, change: Change) {
        for payment in change.payments {
            self.put(payment);
        }
        for token in change.tokens {
            self.tokens.insert(token.id, token);
        }
        self.fenced.extend(change.fenced);
        for event in change.events {
            self.push_event(event);
        }
        if let Some((key, stored)) = change.key {
            self.keys.insert(key, KeyState::Done(stored));
        }
        if let Some(endpoint) = change.endpoint {
            self.endpoint = Some(endpoint);
        }
        self.change = Change::default();
    }

    fn modify(
        &mut self,
        id: Id,
        event: EventKind,
        apply: impl FnOnce(&mut Payment, Stamp) -> Result<Operation, Refusal>,
    ) -> Result<(Arc<Payment>, Operation), Refusal> {
        let stamp = self.stamp();
        let operation = self.change(id, |payment| apply(payment, stamp))?;
        self.announce(event, id, Some(operation.id));
        let payment = self.payment(id).cloned().ok_or(Refusal::NotFound)?;
        Ok((payment, operation))
    }

    /// Applies a change to a copy, so that a refusal leaves no trace.
    fn change<R>(
        &mut self,
        id: Id,
        apply: impl FnOnce(&mut Payment) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        let mut payment = Payment::clone(self.payment(id).ok_or(Refusal::NotFound)?);
        let result = apply(&mut payment)?;
        self.put(Arc::new(payment));
        Ok(result)
    }

    /// Inserts or replaces a payment and indexes what is new in it.
    fn put(&mut self, payment: Arc<Payment>) {
        let place = self.by_id.get(&payment.id).copied().unwrap_or(self.payments.len());
        let known = self.payments.get(place).map_or(0, |old| old.operations.len());
        for operation in payment.operations.iter().skip(known) {
            self.by_id.insert(operation.id, place);
            if !operation.reference.is_empty() {
                let found = self.by_operation_reference.entry(operation.reference.clone());
                found.or_default().push((place, operation.id));
            }
        }
        for attempt in &payment.attempts {
            self.by_id.insert(attempt.id, place);
        }
        for dispute in &payment.disputes {
            self.by_id.insert(dispute.id, place);
        }
        match self.payments.get_mut(place) {
            Some(slot) => *slot = payment.clone(),
            None => {
                self.by_id.insert(payment.id, place);
                if !payment.reference.is_empty() {
                    self.by_reference.entry(payment.reference.clone()).or_default().push(place);
                }
                if let Some(key) = &payment.key {
                    *self.executions_by_key.entry(key.clone()).or_default() += 1;
                }
                self.payments.push(payment.clone());
            }
        }
        self.change.payments.retain(|changed| changed.id != payment.id);
        self.change.payments.push(payment);
    }

    fn announce(&mut self, kind: EventKind, id: Id, operation: Option<Id>) {
        let Some(payment) = self.payment(id).cloned() else { return };
        let stamp = self.stamp();
        let subject = Subject::Payment { payment, operation };
        self.push_event(Event { id: stamp.id, at_ms: stamp.now_ms, kind, subject });
    }

    fn push_event(&mut self, event: Event) {
        if self.events.len() >= EVENTS_KEPT {
            self.events.pop_front();
        }
        self.change.events.push(event.clone());
        self.events.push_back(event);
    }
}
