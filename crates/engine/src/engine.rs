//! The engine's front: what a request can ask for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use baton_connect::{
    CardFacts, Challenge, Connector, Payer, Redirect, Source, ThreeDs, TokenScheme,
};
use baton_flow::{CallId, DoubtMode, Input, Order, OrderKind, Payment, RetryDeclines};
use baton_store::Store;
use baton_types::{ApiKeyId, Card, MaskedCard, MerchantId, Money, PaymentId, Secret};
use baton_vault::VaultAccess;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::accounts::{Account, Accounts, CardSecrets, Credentials, Secrets};
use crate::alongside::Alongside;
use crate::audit::{Actor, Audit, current_request, in_request};
use crate::brought::Brought;
use crate::calls::PurchaseFacts;
use crate::chores::Board;
use crate::error::EngineError;
use crate::guards::Guards;
use crate::inner::{Inner, Running};
use crate::metrics::Metrics;
use crate::network::Network;
use crate::questions::{QuestionLimits, Questions};
use crate::relay::EventSink;
use crate::stored::Stored;
use crate::task::{Claim, Progress, PurchaseSecrets, Stopped, Task};
use crate::waits::waited;
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
    /// How far the clocks of two nodes, or of one node at two times, may differ. Beyond that a request that was
    /// taken for absent may be executed after all.
    pub clock_difference_ms: i64,
    /// Whether a call in doubt is sent again under its key, where the provider documents that it executes a
    /// key once.
    pub replay: bool,
    /// How often providers are asked about what is in doubt.
    pub questions: QuestionLimits,
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
            clock_difference_ms: 2_000,
            replay: true,
            questions: QuestionLimits::default(),
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
    pub wire: Arc<dyn Network>,
    /// Time and randomness.
    pub clock: Arc<dyn Clock>,
    /// The connectors of this build.
    pub connectors: Vec<Arc<dyn Connector>>,
    /// Secrets that merchants keep with us.
    pub vault: VaultAccess,
    /// Secrets of the accounts that the configuration declares.
    pub credentials: Credentials,
    /// By gateway: where its test accounts are that have no base URL of their own. `{account}` in it stands for
    /// the account's name.
    pub test_urls: HashMap<String, String>,
    /// Where events go.
    pub sink: Arc<dyn EventSink>,
    /// The audit log on the same database.
    pub audit: Audit,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The merchant whose key it is.
    pub merchant: MerchantId,
    /// Whether it is a sandbox key.
    pub sandbox: bool,
    /// The key; none for the operator's own, which is in no database.
    pub key: Option<ApiKeyId>,
}

impl Caller {
    /// How the audit log names the caller.
    #[must_use]
    pub fn actor(self) -> Actor {
        self.key.map_or(Actor::Operator, Actor::Key)
    }
}

/// A client's idempotency key.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// The key.
    pub key: String,
    /// Hash of what the request means, without the CVV; the API makes it.
    pub fingerprint: Vec<u8>,
}

/// A charge, authorization or tokenization.
pub struct Purchase {
    /// What is to be done.
    pub kind: OrderKind,
    /// The card; absent when a provider's token is used.
    pub card: Option<PaidWith>,
    /// A token that the account's provider made.
    pub provider_token: Option<String>,
    /// A method that the payer completes elsewhere; instead of a card or a token.
    pub redirect: Option<Box<Redirect>>,
    /// Names of the accounts to try, in order.
    pub accounts: Vec<String>,
    /// The merchant's reference.
    pub merchant_ref: Option<String>,
    /// What the payer reads on the order.
    pub description: Option<String>,
    /// Who pays and from where.
    pub payer: Option<Payer>,
    /// Whether the goods are digital.
    pub digital: Option<bool>,
    /// Where a payer is there to take a challenge. Without one, a challenge is cancelled at the provider.
    pub challenge: Option<Challenge>,
    /// What of stored cards goes with it, if anything.
    pub stored: Option<Box<Stored>>,
    /// Whether more may have to be held later, where the provider can do that.
    pub may_grow: bool,
    /// What to do about a doubt.
    pub doubt: DoubtMode,
    /// What came with the request instead of being stored.
    pub brought: Brought,
    /// Whether it may go to a provider although another one for the same thing is in doubt.
    pub allow_duplicate: bool,
}

/// A card and what came with it.
pub struct PaidWith {
    /// The card, or a network token in its place.
    pub card: Card,
    /// The scheme whose network token the number is.
    pub network_token: Option<TokenScheme>,
    /// The result of a 3-D Secure authentication that was made elsewhere.
    pub three_ds: Option<(ThreeDs, Secret)>,
}

impl PaidWith {
    fn facts(&self) -> CardFacts {
        CardFacts {
            masked: self.card.masked(),
            has_cvv: self.card.cvv.is_some(),
            holder: self.card.holder.clone(),
            three_ds: self.three_ds.as_ref().map(|(result, _)| result.clone()),
            network_token: self.network_token,
        }
    }
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
    /// What came with the request instead of being stored.
    pub brought: Brought,
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
    /// Whether this is another payment, for the same thing and in doubt; what was asked for was not done.
    pub duplicate: bool,
}

impl Answered {
    /// How a call of a payment stands, for whoever asks.
    #[must_use]
    pub fn of(payment: Arc<Payment>, call: CallId) -> Self {
        Self { payment, call, replayed: false, duplicate: false }
    }
}

/// The engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

impl Engine {
    /// Puts the parts together. Nothing runs yet: see [`Engine::start`].
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let boot = new_id(parts.clock.as_ref());
        let questions = Questions::new(parts.config.questions);
        let accounts = Accounts::new(
            Arc::clone(&parts.store),
            parts.vault.clone(),
            parts.connectors,
            parts.credentials,
            parts.test_urls,
        );
        Self {
            inner: Arc::new(Inner {
                config: parts.config,
                store: parts.store,
                wire: parts.wire,
                clock: parts.clock,
                vault: parts.vault,
                accounts,
                metrics: Metrics::new(),
                questions,
                sink: parts.sink,
                audit: parts.audit,
                boot,
                board: Board::default(),
                follow: OnceLock::new(),
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

    /// Runs work in the background that ends by itself when [`Engine::paused`] says so.
    pub fn background(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.inner.tracker.spawn(work);
    }

    /// Waits; true when the engine stops meanwhile.
    pub async fn paused(&self, pause: Duration) -> bool {
        crate::resolver::paused(&self.inner.stopping, pause).await
    }

    /// Whether events are written to the outbox.
    #[must_use]
    pub fn publishes(&self) -> bool {
        self.inner.config.publish_events
    }

    /// Stops background work and waits for payments in flight, at most this long. Returns how many were
    /// left behind: the next start resolves them.
    pub async fn shut_down(&self, at_most: Duration) -> usize {
        self.inner.stopping.cancel();
        self.inner.tracker.close();
        let _ = tokio::time::timeout(at_most, self.inner.tracker.wait()).await;
        self.inner.board.close();
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

    /// The vault, for what the Payments API keeps in it.
    #[must_use]
    pub fn vault(&self) -> &VaultAccess {
        &self.inner.vault
    }

    /// The audit log.
    #[must_use]
    pub fn audit(&self) -> &Audit {
        &self.inner.audit
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

    /// A merchant's account by its name; not one that was removed. For its webhooks: see
    /// [`Account::webhook`].
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn account(
        &self,
        merchant: MerchantId,
        name: &str,
    ) -> Result<Option<Arc<Account>>, EngineError> {
        let listed = self.inner.accounts.of(merchant).await?;
        let named =
            |account: &&Arc<Account>| account.row.name == name && account.row.removed_at.is_none();
        Ok(listed.iter().find(named).cloned())
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
        self.buy(caller, self.new_payment_id(), purchase, idempotency, None).await
    }

    pub(crate) async fn buy(
        &self,
        caller: Caller,
        id: PaymentId,
        purchase: Purchase,
        idempotency: Option<Idempotency>,
        alongside: Option<Alongside>,
    ) -> Result<Answered, EngineError> {
        let candidates = self.candidates(caller, &purchase).await?;
        let guards = Guards::of(&purchase, caller.tenant(), &self.inner.vault);
        let now = self.inner.clock.now();
        let card_facts = purchase.card.as_ref().map(PaidWith::facts);
        let order = Order {
            kind: purchase.kind,
            merchant_ref: purchase.merchant_ref,
            card: card_facts.as_ref().map(|facts| facts.masked.clone()),
            candidates,
            doubt: purchase.doubt,
            retry_declines: RetryDeclines::GATEWAY_LIST,
            failover_until: now.plus_millis(self.inner.config.failover_window_ms),
            test: caller.sandbox,
            payer_present: purchase.challenge.is_some(),
            imported: false,
        };
        let source = match (purchase.provider_token, card_facts, purchase.redirect) {
            (Some(token), ..) => Source::ProviderToken(token),
            (None, Some(facts), _) => Source::Card(facts),
            (None, None, Some(redirect)) => Source::Redirect(redirect),
            (None, None, None) => return Err(EngineError::NotFound),
        };
        let secrets = PurchaseSecrets {
            guards,
            facts: PurchaseFacts {
                source,
                description: purchase.description,
                payer: purchase.payer,
                digital: purchase.digital,
                challenge: purchase.challenge,
                stored: purchase.stored,
                may_grow: purchase.may_grow,
            },
            card: purchase.card.map(|paid| CardSecrets {
                card: paid.card,
                authentication: paid.three_ds.map(|(_, value)| value),
            }),
        };
        let payment = Payment::new(id, caller.merchant, order, now);
        let inline = purchase.brought.inline.map(|inline| inline.secrets);
        let secrets = Some(secrets);
        self.carry_out(payment, secrets, inline, Input::Begin, idempotency, alongside).await
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
        let (payment, _) = self.find_or_import(caller, target).await?;
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
        let (payment, _) = self.find_or_import(caller, target).await?;
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
        let (payment, _) = self.find_or_import(caller, target).await?;
        self.modify(payment, target, Input::Refund { amount }, idempotency).await
    }

    /// How a payment stands. What is in doubt, and no request's task cares for, is looked up on the way.
    ///
    /// # Errors
    /// Nothing is known under this reference.
    pub async fn status(&self, caller: Caller, target: &Target) -> Result<Answered, EngineError> {
        const PATIENCE: Duration = Duration::from_secs(5);
        let (payment, call) = self.find_or_import(caller, target).await?;
        let mut payment = Arc::new(payment);
        if payment.has_open_calls()
            && let Some(resolve) = self.resolve_if_idle(&payment)
        {
            let _ = tokio::time::timeout(PATIENCE, resolve).await;
            payment = Arc::new(self.reload(&payment).await?);
        }
        Ok(Answered::of(payment, call))
    }

    /// Settles a call in doubt by hand: see [`doubts::settle`](crate::doubts::settle).
    ///
    /// # Errors
    /// As there.
    pub async fn settle(
        &self,
        actor: &Actor,
        verdict: &crate::doubts::Verdict,
    ) -> Result<Payment, EngineError> {
        let (publish, follow) = (self.inner.config.publish_events, self.inner.follow());
        crate::doubts::settle(&self.inner.audit, actor, verdict, publish, follow).await
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
        let inline = self.for_change(&payment, &target.brought).await?;
        self.carry_out(payment, None, inline, input, idempotency, None).await
    }

    /// Plans durably, hands the rest to a task of its own, and waits for the answer as long as a caller
    /// may wait. A caller that goes away changes nothing.
    pub(crate) async fn carry_out(
        &self,
        payment: Payment,
        secrets: Option<PurchaseSecrets>,
        inline: Option<Arc<Secrets>>,
        input: Input,
        idempotency: Option<Idempotency>,
        alongside: Option<Alongside>,
    ) -> Result<Answered, EngineError> {
        let inner = &self.inner;
        let merchant = payment.merchant;
        let claim = idempotency.as_ref().map(|idempotency| Claim {
            key: idempotency.key.clone(),
            fingerprint: idempotency.fingerprint.clone(),
            expires_at: inner.clock.now().plus_millis(inner.config.idempotency_ms),
        });
        let (mut task, seen) = Task::live(Arc::clone(inner), payment, secrets, claim);
        task.alongside = alongside;
        // From the first commit on the work must go on even if the caller hangs up: it is one task.
        let (ready, began) = tokio::sync::oneshot::channel();
        let in_flight = inner.metrics.request();
        let work = async move {
            let _in_flight = in_flight;
            let begun = match task.keep_inline(inline).await {
                Ok(()) => task.begin(input).await,
                Err(error) => Err(Stopped::Store(error)),
            };
            match begun {
                Ok(effects) => {
                    let _ = ready.send(Ok(()));
                    task.run(effects).await;
                }
                Err(stopped) => {
                    let _ = ready.send(Err(stopped));
                    task.settle_inline().await;
                }
            }
        };
        let work = in_request(current_request(), work);
        inner.tracker.spawn(work.instrument(tracing::Span::current()));
        let started = Instant::now();
        let patience = Duration::from_millis(inner.config.caller_wait_ms);
        match tokio::time::timeout(patience, began).await {
            Ok(Ok(Ok(()))) => answer(seen, patience.saturating_sub(started.elapsed())).await,
            Ok(Ok(Err(Stopped::Refused(refusal)))) => {
                self.replay_or(merchant, idempotency, EngineError::Refused(refusal)).await
            }
            // If the key is free again by now, nothing came of the request that had it.
            Ok(Ok(Err(Stopped::KeyTaken))) => {
                self.replay_or(merchant, idempotency, EngineError::Unavailable).await
            }
            Ok(Ok(Err(Stopped::Overtaken))) => Err(EngineError::Overtaken),
            Ok(Ok(Err(Stopped::Duplicate(other)))) => self.duplicate_of(merchant, other).await,
            Ok(Ok(Err(Stopped::Store(error)))) => Err(error),
            Ok(Err(_)) => Err(EngineError::Internal),
            // The database has not said whether the plan is durable.
            Err(_) => Err(EngineError::StillRunning),
        }
    }

    /// The payment that stands in a duplicate's way. Who asks for it a second time wants to know of it: so
    /// it is looked up, by a task that nobody waits for.
    async fn duplicate_of(
        &self,
        merchant: MerchantId,
        other: PaymentId,
    ) -> Result<Answered, EngineError> {
        let payment = self.inner.load(merchant, other).await?.ok_or(EngineError::Internal)?;
        let payment = Arc::new(payment);
        self.inner.metrics.duplicate();
        self.resolve_if_idle(&payment);
        Ok(Answered { duplicate: true, ..Answered::of(payment, CallId::Attempt(1)) })
    }

    /// Looks up what is in doubt, if no task works on the payment. A task of its own: a void that it may owe
    /// is not broken off when the reader leaves.
    fn resolve_if_idle(&self, payment: &Arc<Payment>) -> Option<tokio::task::JoinHandle<()>> {
        let running = Running::enter_if_idle(&self.inner, payment.id)?;
        let (engine, open) = (Arc::clone(&self.inner), Arc::clone(payment));
        Some(self.inner.tracker.spawn(async move {
            let _running = running;
            crate::resolver::resolve_open_calls(&engine, &open).await;
        }))
    }

    /// The stored answer to an earlier request with the same key, or the error if there is none.
    pub(crate) async fn replay_or(
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
                return Ok(Answered { replayed: true, ..Answered::of(payment, call) });
            }
            if waited >= patience {
                return Err(EngineError::StillRunning);
            }
            tokio::time::sleep(pause).await;
            waited = waited.saturating_add(pause);
        }
    }

    async fn reload(&self, payment: &Payment) -> Result<Payment, EngineError> {
        let fresh = self.inner.load(payment.merchant, payment.id).await?;
        fresh.ok_or(EngineError::Internal)
    }
}

/// What the task has come to by the time that its caller has waited.
async fn answer(
    mut seen: watch::Receiver<Progress>,
    patience: Duration,
) -> Result<Answered, EngineError> {
    let _ = tokio::time::timeout(patience, seen.wait_for(|progress| progress.done)).await;
    let Progress { payment, call, provider, .. } = seen.borrow().clone();
    let call = call.ok_or(EngineError::Internal)?;
    waited(provider);
    Ok(Answered::of(payment, call))
}

/// Whether the request behind a call is still being worked on; a doubt that has been told is not.
fn is_in_progress(payment: &Payment, call: CallId) -> bool {
    match call {
        CallId::Attempt(_) => payment.verdict() == baton_flow::Verdict::Running,
        CallId::Capture(_) | CallId::Void(_) | CallId::Refund(_) | CallId::Increment(_) => {
            payment.call(call).is_some_and(|call| call.state == baton_flow::CallState::Planned)
        }
    }
}
