//! The engine's front: what a request can ask for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use baton_connect::{CardFacts, Connector, Source};
use baton_flow::{
    CallId, Candidate, DoubtMode, Facts, Input, Order, OrderKind, Owner, Payment, RetryDeclines,
    snapshot,
};
use baton_store::{ReferenceKind, Store};
use baton_types::{AccountId, BootId, Card, MaskedCard, MerchantId, Money, PaymentId};
use baton_wire::Wire;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::accounts::{Account, Accounts, Credentials};
use crate::calls::PurchaseFacts;
use crate::error::EngineError;
use crate::metrics::Metrics;
use crate::relay::EventSink;
use crate::task::{Claim, Progress, PurchaseSecrets, Stopped, Task};
use crate::{Clock, new_id};

/// What the engine can be told. Times in milliseconds.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The node's name: stays the same over restarts, differs between nodes.
    pub node: String,
    /// How long a caller waits before it is told that the outcome is not known yet.
    pub caller_wait_ms: u64,
    /// How long after a request the next account may still be tried.
    pub failover_window_ms: i64,
    /// How long a plan may wait for its first byte.
    pub send_window_ms: i64,
    /// How long an idempotency key is kept.
    pub idempotency_ms: i64,
    /// How long a repeat waits for the first request to end.
    pub repeat_wait_ms: u64,
    /// Whether events are written to the outbox and published.
    pub publish_events: bool,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            node: "node-1".to_owned(),
            caller_wait_ms: 25_000,
            failover_window_ms: 30_000,
            send_window_ms: 5_000,
            idempotency_ms: 24 * 3_600_000,
            repeat_wait_ms: 10_000,
            publish_events: true,
        }
    }
}

/// What the engine is made of.
pub struct Parts {
    /// Settings.
    pub config: EngineConfig,
    /// Durable state.
    pub store: Arc<dyn Store>,
    /// Sockets.
    pub wire: Wire,
    /// Time and randomness.
    pub clock: Arc<dyn Clock>,
    /// The connectors of this build.
    pub connectors: Vec<Arc<dyn Connector>>,
    /// Secrets of the accounts.
    pub credentials: Credentials,
    /// Where events go.
    pub sink: Arc<dyn EventSink>,
}

pub(crate) struct Inner {
    pub(crate) config: EngineConfig,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) wire: Wire,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) accounts: Accounts,
    pub(crate) metrics: Metrics,
    pub(crate) sink: Arc<dyn EventSink>,
    pub(crate) boot: BootId,
    pub(crate) tracker: TaskTracker,
    pub(crate) stopping: CancellationToken,
    running: Mutex<HashMap<PaymentId, watch::Receiver<Progress>>>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The merchant whose key it is.
    pub merchant: MerchantId,
    /// Whether it is a sandbox key.
    pub sandbox: bool,
}

/// A client's idempotency key.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// The key.
    pub key: String,
    /// Keyed hash of method, path, query and body without the CVV.
    pub fingerprint: Vec<u8>,
}

/// A charge, authorization or tokenization.
pub struct Purchase {
    /// What is to be done.
    pub kind: OrderKind,
    /// The card; absent when a provider's token is used.
    pub card: Option<Card>,
    /// A token that the account's provider made.
    pub provider_token: Option<String>,
    /// Names of the accounts to try, in order.
    pub accounts: Vec<String>,
    /// The merchant's reference.
    pub merchant_ref: Option<String>,
    /// What the payer reads on the order.
    pub description: Option<String>,
    /// What to do about a doubt.
    pub doubt: DoubtMode,
}

/// The payment that a capture, void, refund or status is about.
#[derive(Clone, Debug)]
pub struct Target {
    /// The account that the client names.
    pub account: Option<String>,
    /// The provider's reference, or our id of the payment.
    pub reference: Option<String>,
    /// The merchant's own reference, if no other is given.
    pub merchant_ref: Option<String>,
    /// The card that the client sends along, to be compared.
    pub card: Option<MaskedCard>,
}

/// An answer to a request.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The payment as it stands.
    pub payment: Arc<Payment>,
    /// The call that was asked for.
    pub call: CallId,
    /// Whether this is the stored answer to an earlier request with the same key.
    pub replayed: bool,
    /// How long providers have been waited for.
    pub provider: Duration,
}

/// The engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

impl Inner {
    pub(crate) fn facts(&self, live: bool) -> Facts {
        Facts {
            now: self.clock.now(),
            owner: Owner { node: self.config.node.clone(), boot: self.boot },
            send_window_ms: self.config.send_window_ms,
            live,
        }
    }

    pub(crate) async fn load(
        &self,
        merchant: MerchantId,
        id: PaymentId,
    ) -> Result<Option<Payment>, EngineError> {
        let Some(row) = self.store.payment(merchant, id).await? else { return Ok(None) };
        let payment = snapshot::decode(row.schema, &row.snapshot).map_err(|error| {
            tracing::error!(payment = %id, %error, "a stored payment cannot be read");
            EngineError::Internal
        })?;
        Ok(Some(payment))
    }

    pub(crate) fn is_running(&self, id: PaymentId) -> bool {
        self.running().contains_key(&id)
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<PaymentId, watch::Receiver<Progress>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a payment in the list of running ones for as long as its task lives, however that ends.
struct Running(Arc<Inner>, PaymentId);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running().remove(&self.1);
        self.0.metrics.in_flight.dec();
    }
}

impl Engine {
    /// Puts the parts together. Nothing runs yet: see [`Engine::start`].
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let boot = new_id(parts.clock.as_ref());
        let accounts = Accounts::new(Arc::clone(&parts.store), parts.connectors, parts.credentials);
        Self {
            inner: Arc::new(Inner {
                config: parts.config,
                store: parts.store,
                wire: parts.wire,
                clock: parts.clock,
                accounts,
                metrics: Metrics::new(),
                sink: parts.sink,
                boot,
                tracker: TaskTracker::new(),
                stopping: CancellationToken::new(),
                running: Mutex::default(),
            }),
        }
    }

    /// Starts the work that no request waits for: recovery, timers, event relay, sweeping.
    pub fn start(&self) {
        crate::resolver::start(&self.inner);
        crate::relay::start(&self.inner);
    }

    /// Stops background work and waits for payments in flight, at most this long. Returns how many were
    /// left behind: the next start resolves them.
    pub async fn shut_down(&self, at_most: Duration) -> usize {
        self.inner.stopping.cancel();
        self.inner.tracker.close();
        let _ = tokio::time::timeout(at_most, self.inner.tracker.wait()).await;
        self.inner.running().len()
    }

    /// The metrics.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// The store, for what is not a payment.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        self.inner.clock.as_ref()
    }

    /// The sockets' state per account.
    #[must_use]
    pub fn wire_health(&self) -> Vec<baton_wire::AccountHealth> {
        self.inner.wire.health()
    }

    /// The connectors of this build.
    #[must_use]
    pub fn connectors(&self) -> Vec<Arc<dyn Connector>> {
        self.inner.accounts.connectors().cloned().collect()
    }

    /// Charges, authorizes or tokenizes at the first account that takes it.
    ///
    /// # Errors
    /// The request cannot be carried out; no provider was asked.
    pub async fn purchase(
        &self,
        caller: Caller,
        purchase: Purchase,
        idempotency: Option<Idempotency>,
    ) -> Result<Answered, EngineError> {
        let accounts = self.named(caller, &purchase.accounts).await?;
        let now = self.inner.clock.now();
        let card_facts = purchase.card.as_ref().map(|card| CardFacts {
            masked: card.masked(),
            has_cvv: card.cvv.is_some(),
            holder: card.holder.clone(),
        });
        let order = Order {
            kind: purchase.kind,
            merchant_ref: purchase.merchant_ref,
            card: card_facts.as_ref().map(|facts| facts.masked.clone()),
            candidates: accounts.iter().map(|account| candidate(account)).collect(),
            doubt: purchase.doubt,
            retry_declines: RetryDeclines::GATEWAY_LIST,
            failover_until: now.plus_millis(self.inner.config.failover_window_ms),
            payer_present: false,
        };
        let source = match (purchase.provider_token, card_facts) {
            (Some(token), _) => Source::ProviderToken(token),
            (None, Some(facts)) => Source::Card(facts),
            (None, None) => return Err(EngineError::NotFound),
        };
        let secrets = PurchaseSecrets {
            facts: PurchaseFacts { source, description: purchase.description },
            card: purchase.card,
        };
        let id: PaymentId = new_id(self.inner.clock.as_ref());
        let payment = Payment::new(id, caller.merchant, order, now);
        self.carry_out(payment, Some(secrets), Input::Begin, idempotency).await
    }

    /// Captures all or part of an authorization.
    ///
    /// # Errors
    /// The request cannot be carried out; no provider was asked.
    pub async fn capture(
        &self,
        caller: Caller,
        target: &Target,
        amount: Money,
        idempotency: Option<Idempotency>,
    ) -> Result<Answered, EngineError> {
        let (payment, _) = self.find(caller, target).await?;
        self.modify(payment, target, Input::Capture { amount }, idempotency).await
    }

    /// Voids an authorization, or a charge that has not settled, as a whole. Never a refund.
    ///
    /// # Errors
    /// The request cannot be carried out, or names another amount; no provider was asked.
    pub async fn void(
        &self,
        caller: Caller,
        target: &Target,
        amount: Money,
        idempotency: Option<Idempotency>,
    ) -> Result<Answered, EngineError> {
        let (payment, _) = self.find(caller, target).await?;
        match payment.order.kind.amount() {
            Some(whole) if whole != amount => Err(EngineError::NotTheWhole { whole }),
            _ => self.modify(payment, target, Input::Void, idempotency).await,
        }
    }

    /// Refunds all or part of what was captured.
    ///
    /// # Errors
    /// The request cannot be carried out; no provider was asked.
    pub async fn refund(
        &self,
        caller: Caller,
        target: &Target,
        amount: Money,
        idempotency: Option<Idempotency>,
    ) -> Result<Answered, EngineError> {
        let (payment, _) = self.find(caller, target).await?;
        self.modify(payment, target, Input::Refund { amount }, idempotency).await
    }

    /// How a payment stands. What is in doubt, and no request's task cares for, is looked up on the way.
    ///
    /// # Errors
    /// Nothing is known under this reference.
    pub async fn status(&self, caller: Caller, target: &Target) -> Result<Answered, EngineError> {
        let (payment, call) = self.find(caller, target).await?;
        let mut payment = payment;
        if payment.has_open_calls() && !self.inner.is_running(payment.id) {
            let patience = Duration::from_secs(5);
            let resolve = crate::resolver::resolve_open_calls(&self.inner, &payment);
            let _ = tokio::time::timeout(patience, resolve).await;
            payment = self.reload(&payment).await?;
        }
        let payment = Arc::new(payment);
        Ok(Answered { payment, call, replayed: false, provider: Duration::ZERO })
    }

    async fn modify(
        &self,
        payment: Payment,
        target: &Target,
        input: Input,
        idempotency: Option<Idempotency>,
    ) -> Result<Answered, EngineError> {
        if let (Some(sent), Some(kept)) = (&target.card, &payment.order.card)
            && sent != kept
        {
            return Err(EngineError::OtherCard);
        }
        self.carry_out(payment, None, input, idempotency).await
    }

    /// Plans durably, hands the rest to a task of its own, and waits for the answer as long as a caller
    /// may wait. A caller that goes away changes nothing.
    async fn carry_out(
        &self,
        payment: Payment,
        secrets: Option<PurchaseSecrets>,
        input: Input,
        idempotency: Option<Idempotency>,
    ) -> Result<Answered, EngineError> {
        let inner = &self.inner;
        let (id, merchant) = (payment.id, payment.merchant);
        let claim = idempotency.as_ref().map(|idempotency| Claim {
            key: idempotency.key.clone(),
            fingerprint: idempotency.fingerprint.clone(),
            expires_at: inner.clock.now().plus_millis(inner.config.idempotency_ms),
        });
        let is_new = payment.version == 0;
        let (mut task, seen) = Task::live(Arc::clone(inner), payment, secrets, claim);
        // From the first commit on the work must go on even if the caller hangs up: it is one task.
        let (ready, began) = tokio::sync::oneshot::channel();
        let engine = Arc::clone(inner);
        let registered = seen.clone();
        let work = async move {
            engine.metrics.in_flight.inc();
            let _running = Running(Arc::clone(&engine), id);
            if is_new {
                engine.running().insert(id, registered);
            }
            match task.begin(input).await {
                Ok(effects) => {
                    let _ = ready.send(Ok(()));
                    task.run(effects).await;
                }
                Err(stopped) => {
                    let _ = ready.send(Err(stopped));
                }
            }
        };
        inner.tracker.spawn(work.instrument(tracing::Span::current()));
        match began.await {
            Ok(Ok(())) => self.wait(seen, false).await,
            Ok(Err(Stopped::Refused(refusal))) => {
                self.replay_or(merchant, idempotency, EngineError::Refused(refusal)).await
            }
            Ok(Err(Stopped::KeyTaken)) => {
                self.replay_or(merchant, idempotency, EngineError::Internal).await
            }
            Ok(Err(Stopped::Store(error))) => Err(error),
            Err(_) => Err(EngineError::Internal),
        }
    }

    async fn wait(
        &self,
        mut seen: watch::Receiver<Progress>,
        replayed: bool,
    ) -> Result<Answered, EngineError> {
        let patience = Duration::from_millis(self.inner.config.caller_wait_ms);
        let _ = tokio::time::timeout(patience, seen.wait_for(|progress| progress.done)).await;
        let progress = seen.borrow().clone();
        let call = progress.call.ok_or(EngineError::Internal)?;
        Ok(Answered { payment: progress.payment, call, replayed, provider: progress.provider })
    }

    /// The stored answer to an earlier request with the same key, or the error if there is none.
    async fn replay_or(
        &self,
        merchant: MerchantId,
        idempotency: Option<Idempotency>,
        error: EngineError,
    ) -> Result<Answered, EngineError> {
        let Some(Idempotency { key, fingerprint }) = idempotency else { return Err(error) };
        let Some(row) = self.inner.store.idempotency(merchant, &key).await? else {
            return Err(error);
        };
        if row.fingerprint != fingerprint {
            return Err(EngineError::KeyReused);
        }
        let call: CallId = row.call.parse().map_err(|_| EngineError::Internal)?;
        let patience = Duration::from_millis(self.inner.config.repeat_wait_ms);
        let pause = Duration::from_millis(100);
        let mut waited = Duration::ZERO;
        loop {
            let payment = self.inner.load(merchant, row.payment).await?;
            let payment = payment.ok_or(EngineError::Internal)?;
            if !is_in_progress(&payment, call) {
                let payment = Arc::new(payment);
                return Ok(Answered { payment, call, replayed: true, provider: Duration::ZERO });
            }
            if waited >= patience {
                return Err(EngineError::StillRunning);
            }
            tokio::time::sleep(pause).await;
            waited = waited.saturating_add(pause);
        }
    }

    async fn named(
        &self,
        caller: Caller,
        names: &[String],
    ) -> Result<Vec<Arc<Account>>, EngineError> {
        let known = self.inner.accounts.of(caller.merchant).await?;
        let mut found = Vec::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            let account = known
                .iter()
                .find(|account| account.row.name == *name && account.row.removed_at.is_none())
                .ok_or(EngineError::UnknownAccount { index })?;
            if account.row.test != caller.sandbox {
                return Err(EngineError::WrongMode { index, test: account.row.test });
            }
            found.push(Arc::clone(account));
        }
        Ok(found)
    }

    /// The payment that a reference means, and the call that carries it.
    async fn find(
        &self,
        caller: Caller,
        target: &Target,
    ) -> Result<(Payment, CallId), EngineError> {
        let account = match &target.account {
            Some(name) => {
                let named = self.named(caller, std::slice::from_ref(name)).await?;
                named.first().map(|account| account.row.id)
            }
            None => None,
        };
        let (id, call) = self.resolve_reference(caller, target, account).await?;
        let payment = self.inner.load(caller.merchant, id).await?.ok_or(EngineError::NotFound)?;
        let at_account = |id: AccountId| {
            payment.order.candidates.iter().any(|candidate| candidate.account == id)
        };
        if account.is_some_and(|id| !at_account(id)) {
            return Err(EngineError::NotFound);
        }
        Ok((payment, call))
    }

    async fn resolve_reference(
        &self,
        caller: Caller,
        target: &Target,
        account: Option<AccountId>,
    ) -> Result<(PaymentId, CallId), EngineError> {
        let store = &self.inner.store;
        let rows = match (&target.reference, &target.merchant_ref) {
            (Some(reference), _) => {
                if let Ok(id) = PaymentId::parse(reference) {
                    return Ok((id, CallId::Attempt(1)));
                }
                let kind = ReferenceKind::Provider;
                store.find_reference(caller.merchant, kind, account, reference).await?
            }
            (None, Some(reference)) => {
                let kind = ReferenceKind::Merchant;
                store.find_reference(caller.merchant, kind, None, reference).await?
            }
            (None, None) => return Err(EngineError::NotFound),
        };
        let row = rows.first().ok_or(EngineError::NotFound)?;
        let call = row.call.parse().map_err(|_| EngineError::Internal)?;
        Ok((row.payment, call))
    }

    async fn reload(&self, payment: &Payment) -> Result<Payment, EngineError> {
        let fresh = self.inner.load(payment.merchant, payment.id).await?;
        fresh.ok_or(EngineError::Internal)
    }
}

fn candidate(account: &Account) -> Candidate {
    let manifest = account.connector.as_ref().map(|connector| connector.manifest());
    let look_up = manifest.and_then(|manifest| manifest.look_up.as_ref());
    let idempotency = manifest.and_then(|manifest| manifest.idempotency.as_ref());
    Candidate {
        account: account.row.id,
        label: account.row.name.clone(),
        gateway: account.row.gateway.clone(),
        quiet_ms: look_up.map(|claim| {
            i64::from(claim.in_flight_bound_ms).saturating_add(i64::from(claim.index_lag_ms))
        }),
        replay_ms: idempotency
            .map(|claim| i64::from(claim.retention_hours).saturating_mul(3_600_000)),
    }
}

/// Whether the request behind a call is still being worked on; a doubt that has been told is not.
fn is_in_progress(payment: &Payment, call: CallId) -> bool {
    match call {
        CallId::Attempt(_) => payment.verdict() == baton_flow::Verdict::Running,
        CallId::Capture(_) | CallId::Void(_) | CallId::Refund(_) => {
            payment.call(call).is_some_and(|call| call.state == baton_flow::CallState::Planned)
        }
    }
}
