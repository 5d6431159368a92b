//! The task of one request: it steps a payment, commits, and performs what was decided.
//!
//! This is the only place from which a provider is asked to move money. The task holds the card and the
//! requests in memory; when it ends they are gone, and what it left in doubt can only be looked up.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use baton_flow::{
    CallId, CallState, Effect, Event, Evidence, Facts, Input, Payment, Refusal, Standing, Verdict,
    mutated,
};
use baton_store::{CommitError, Guard, IdempotencyRow, Write};
use baton_types::outcome::{Finding, NotSent, Outcome};
use baton_types::{PaymentId, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::accounts::{CardSecrets, Secrets};
use crate::alongside::Alongside;
use crate::calls::{self, Prepared, PurchaseFacts};
use crate::commit::{self, Change};
use crate::error::EngineError;
use crate::guards::{self, Guards, Other};
use crate::incidents::{self, Told};
use crate::inner::{Inner, Running};
use crate::new_id;
use crate::questions::as_of;
use crate::resolver::paused;

/// How long a step is decided again because another node was first. One that steps the payment all the
/// time is faster, because it need not read it: then we wait until it has done.
const CONFLICTS_FOR: Duration = Duration::from_secs(3);
const CONFLICT_PAUSE: Duration = Duration::from_millis(2);

/// How often a payment that stands in the way is looked at.
const GIVE_WAY_PAUSE: Duration = Duration::from_millis(25);

/// How long an answer is tried to be recorded before the task leaves it to the resolver.
const RECORD_FOR: Duration = Duration::from_secs(60);

/// The shortest pause between two look-ups by the request's own task, in milliseconds.
const LOOK_UP_PAUSE_MS: u64 = 100;

/// What those who wait for a task can see of it.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    /// The payment as last committed.
    pub(crate) payment: Arc<Payment>,
    /// The call that the request is about.
    pub(crate) call: Option<CallId>,
    /// Whether the request has its answer.
    pub(crate) done: bool,
    /// How long providers have been waited for.
    pub(crate) provider: Duration,
}

/// What is claimed with the first commit, and released if nothing was attempted.
pub(crate) struct Claim {
    pub(crate) key: String,
    pub(crate) fingerprint: Vec<u8>,
    pub(crate) expires_at: Timestamp,
}

/// A card and what else only the request knows.
pub(crate) struct PurchaseSecrets {
    pub(crate) guards: Guards,
    pub(crate) facts: PurchaseFacts,
    pub(crate) card: Option<CardSecrets>,
}

pub(crate) struct Task {
    pub(crate) engine: Arc<Inner>,
    running: Running,
    pub(crate) payment: Arc<Payment>,
    /// Whether a request waits for this task; the resolver's tasks are not live.
    live: bool,
    purchase: Option<PurchaseSecrets>,
    /// Credentials that came with the request.
    inline: Option<Arc<Secrets>>,
    claim: Option<Claim>,
    pub(crate) alongside: Option<Alongside>,
    prepared: HashMap<CallId, Prepared>,
    mine: Vec<CallId>,
    /// Ids that replies gave before the outcome; they are recorded with it.
    learnt: HashMap<CallId, String>,
    /// What the next input about a call rests on.
    pub(crate) rests_on: Option<(CallId, Evidence)>,
    /// Until when what was decided to be sent again may leave.
    pub(crate) again_by: HashMap<CallId, Instant>,
    /// When the provider may be asked, after it was put off.
    asks_at: Option<Instant>,
    provider: Duration,
    progress: watch::Sender<Progress>,
}

/// Why a task could not go on.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// The payment does not take the input.
    Refused(Refusal),
    /// The idempotency key is taken.
    KeyTaken,
    /// What is written alongside has changed meanwhile.
    Overtaken,
    /// Another payment for the same thing is in doubt, or takes too long.
    Duplicate(PaymentId),
    /// It could not be recorded.
    Store(EngineError),
}

impl Task {
    /// A task that a request waits for.
    pub(crate) fn live(
        engine: Arc<Inner>,
        payment: Payment,
        purchase: Option<PurchaseSecrets>,
        claim: Option<Claim>,
    ) -> (Self, watch::Receiver<Progress>) {
        Self::new(engine, payment, purchase, claim, true)
    }

    /// The same task, with credentials that came with the request. They are sealed before anything else, so
    /// that whoever takes the payment over can ask its provider.
    pub(crate) async fn keep_inline(
        &mut self,
        secrets: Option<Arc<Secrets>>,
    ) -> Result<(), EngineError> {
        if let Some(secrets) = &secrets {
            let (accounts, now) = (&self.engine.accounts, self.engine.clock.now());
            accounts.keep_inline(&self.payment, secrets, now).await?;
        }
        self.inline = secrets;
        Ok(())
    }

    /// Credentials that came with a request end with what they are needed for: when no call of the payment is
    /// open any more. Until then they stay, also if another request's task has just dropped them.
    pub(crate) async fn settle_inline(&mut self) {
        if !self.payment.order.candidates.iter().any(|candidate| candidate.inline) {
            return;
        }
        self.reload().await;
        let accounts = &self.engine.accounts;
        if !self.payment.has_open_calls() {
            accounts.drop_inline(&self.payment).await;
        } else if let Some(secrets) = &self.inline
            && let Err(error) =
                accounts.keep_inline(&self.payment, secrets, self.engine.clock.now()).await
        {
            tracing::warn!(payment = %self.payment.id, %error, "credentials are perhaps not kept");
        }
    }

    /// A task of the resolver: it can look up and void, and never starts an attempt.
    pub(crate) fn resolving(engine: Arc<Inner>, payment: Payment) -> Self {
        Self::new(engine, payment, None, None, false).0
    }

    fn new(
        engine: Arc<Inner>,
        payment: Payment,
        purchase: Option<PurchaseSecrets>,
        claim: Option<Claim>,
        live: bool,
    ) -> (Self, watch::Receiver<Progress>) {
        let payment = Arc::new(payment);
        let (progress, seen) = watch::channel(Progress {
            payment: Arc::clone(&payment),
            call: None,
            done: false,
            provider: Duration::ZERO,
        });
        let task = Self {
            running: Running::enter(&engine, payment.id),
            engine,
            payment,
            live,
            purchase,
            inline: None,
            claim,
            alongside: None,
            prepared: HashMap::new(),
            mine: Vec::new(),
            learnt: HashMap::new(),
            rests_on: None,
            again_by: HashMap::new(),
            asks_at: None,
            provider: Duration::ZERO,
            progress,
        };
        (task, seen)
    }

    /// The first step of a request: what it plans is durable when this returns, and nothing is sent yet.
    pub(crate) async fn begin(&mut self, input: Input) -> Result<VecDeque<Effect>, Stopped> {
        let effects = self.advance(input).await?;
        self.rests_on = None;
        self.report(false);
        Ok(effects)
    }

    /// Performs what was decided, and what follows from it, until the request has its answer and nothing
    /// more can be done about it now.
    pub(crate) async fn run(mut self, mut effects: VecDeque<Effect>) {
        loop {
            let input = match effects.pop_front() {
                Some(Effect::Call(id)) => match self.prepared.remove(&id) {
                    Some(prepared) => self.send(id, prepared).await,
                    // Not planned by this task: it is never sent.
                    None => continue,
                },
                Some(Effect::Replay(id)) => match self.replay(id).await {
                    Some(input) => input,
                    None => continue,
                },
                #[cfg(feature = "mutations")]
                Some(Effect::LookUp(id))
                    if !self.live && mutated("restart_a_call_from_its_row") =>
                {
                    match self.restart(id).await {
                        Some(input) => input,
                        None => continue,
                    }
                }
                Some(Effect::LookUp(id)) => match self.look_up(id).await {
                    Some(input) => input,
                    None => continue,
                },
                None => match self.wait_for_next_check().await {
                    Some(input) => input,
                    None => break,
                },
            };
            match self.record(input.clone()).await {
                Ok(more) => effects.extend(more),
                Err(Stopped::Refused(Refusal::Concluded)) => {
                    self.arrived_late(&input).await;
                }
                Err(stopped) => {
                    tracing::error!(payment = %self.payment.id, ?stopped, "left to the resolver");
                    break;
                }
            }
            self.rests_on = None;
            self.report(false);
        }
        self.report(true);
        self.settle_inline().await;
    }

    /// Somebody has concluded the call meanwhile. If they came to another conclusion, somebody has to look.
    async fn arrived_late(&mut self, input: &Input) {
        tracing::warn!(payment = %self.payment.id, ?input, "arrived after the conclusion");
        let (call, finding) = match input {
            Input::Outcome { call, outcome } => {
                (*call, Finding::Found { outcome: outcome.clone() })
            }
            Input::Finding { call, finding } => (*call, finding.clone()),
            Input::Begin
            | Input::Due { .. }
            | Input::Unasked { .. }
            | Input::Settle { .. }
            | Input::Capture { .. }
            | Input::Increment { .. }
            | Input::Void
            | Input::Refund { .. } => return,
        };
        self.reload().await;
        let told = Told { by: "answer".to_owned(), finding: &finding };
        if let Err(error) = incidents::late(&self.engine, &self.payment, call, &told).await {
            tracing::error!(payment = %self.payment.id, %call, ?finding, %error,
                "a late answer contradicts the conclusion, and no incident could be opened");
        }
    }

    async fn send(&mut self, id: CallId, prepared: Prepared) -> Input {
        let engine = Arc::clone(&self.engine);
        let sent =
            calls::send(prepared, self.card_of(id), engine.wire.as_ref(), &engine.metrics).await;
        self.provider = self.provider.saturating_add(sent.took);
        self.learnt.extend(sent.learnt.map(|learnt| (id, learnt)));
        Input::Outcome { call: id, outcome: sent.outcome }
    }

    /// The card of a call, while its own task holds it.
    pub(crate) fn card_of(&self, id: CallId) -> Option<&CardSecrets> {
        let card = self.purchase.as_ref().and_then(|purchase| purchase.card.as_ref());
        card.filter(|_| matches!(id, CallId::Attempt(_)))
    }

    pub(crate) fn facts_of_purchase(&self) -> Option<&PurchaseFacts> {
        self.purchase.as_ref().map(|purchase| &purchase.facts)
    }

    /// What must never be done: a stored call is sent again.
    #[cfg(feature = "mutations")]
    async fn restart(&mut self, id: CallId) -> Option<Input> {
        let account = self.account_of(id).await?;
        let template = self.payment.call(id)?.template.clone()?;
        let call: baton_connect::HttpCall = serde_json::from_str(&template).ok()?;
        let _answer = calls::ask(&account, &call, self.engine.wire.as_ref()).await;
        self.look_up(id).await
    }

    pub(crate) async fn look_up(&mut self, id: CallId) -> Option<Input> {
        let open = |call: &baton_flow::Call| matches!(call.state, CallState::Open { .. });
        if !self.payment.call(id).is_some_and(open) {
            return None;
        }
        let account = self.account_of(id).await?;
        let engine = &self.engine;
        let asked_at = engine.clock.now();
        let finding = match calls::look_up(&self.payment, id, &account, engine).await {
            Ok(shown) => {
                self.rests_on = shown.evidence.map(|evidence| (id, evidence));
                shown.finding
            }
            Err(later) => return self.put_off(id, later.at),
        };
        let absent_after = self.payment.call(id).and_then(|call| call.absent_after);
        let finding = as_of(finding, asked_at, engine.clock.now(), absent_after);
        Some(Input::Finding { call: id, finding })
    }

    /// A request's own task waits by itself; others leave it to the timer.
    fn put_off(&mut self, id: CallId, at: Instant) -> Option<Input> {
        let wait = at.saturating_duration_since(Instant::now());
        let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        if self.live {
            self.asks_at = Some(at);
            return None;
        }
        Some(Input::Unasked { call: id, until: self.engine.clock.now().plus_millis(wait_ms) })
    }

    /// While the request's own task lives, it looks up by itself what is in doubt; after
    /// `failover_until` the timers do.
    async fn wait_for_next_check(&mut self) -> Option<Input> {
        if !self.live {
            return None;
        }
        loop {
            let until = self.payment.order.failover_until;
            let now = self.engine.clock.now();
            let (id, call) = self.mine.iter().find_map(|id| {
                self.payment.call(*id).filter(|call| !call.is_concluded()).map(|c| (*id, c))
            })?;
            let at = call.next_check(call.checks.last().map_or(now, |check| check.at));
            if now >= until || at >= until {
                return None;
            }
            // A look-up that cannot be made leaves no check behind, and is due again at once.
            let wait = u64::try_from(at.since(now)).unwrap_or(0).max(LOOK_UP_PAUSE_MS);
            let put_off =
                self.asks_at.take().map(|at| at.saturating_duration_since(Instant::now()));
            let wait = Duration::from_millis(wait).max(put_off.unwrap_or_default());
            let left = Duration::from_millis(u64::try_from(until.since(now)).unwrap_or(0));
            if paused(&self.engine.stopping, wait.min(left)).await {
                return None;
            }
            self.reload().await;
            if self.payment.call(id).is_some_and(baton_flow::Call::is_concluded) {
                // Another node has resolved it; only this task can try the next account.
                return Some(Input::Due { call: id });
            }
            if let Some(input) = self.look_up(id).await {
                return Some(input);
            }
        }
    }

    async fn reload(&mut self) {
        if let Ok(Some(fresh)) = self.engine.load(self.payment.merchant, self.payment.id).await {
            self.payment = Arc::new(fresh);
        }
    }

    /// Records an answer. The provider has given it, so it is not given up at the first difficulty.
    async fn record(&mut self, input: Input) -> Result<VecDeque<Effect>, Stopped> {
        let until = self
            .engine
            .clock
            .now()
            .plus_millis(i64::try_from(RECORD_FOR.as_millis()).unwrap_or(60_000));
        loop {
            match self.advance(input.clone()).await {
                Err(Stopped::Store(EngineError::Unavailable))
                    if self.engine.clock.now() < until =>
                {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                result => return result,
            }
        }
    }

    /// Decides, prepares what was planned, and commits all of it at once. A plan that cannot be sent from
    /// here (no such operation, breaker open) is concluded in the same commit, and the next one planned.
    async fn advance(&mut self, input: Input) -> Result<VecDeque<Effect>, Stopped> {
        let turn = Arc::clone(&self.running.turn);
        let mut latest = turn.lock().await;
        if let Some(latest) = latest.as_ref()
            && latest.version > self.payment.version
        {
            self.payment = Arc::clone(latest);
        }
        let started = Instant::now();
        loop {
            let mut draft = self.decide(input.clone()).await?;
            if self.payment.version == 0 && draft.planned.is_empty() {
                // It has given way until the time for its first attempt was over.
                return Err(Stopped::Store(EngineError::Unavailable));
            }
            let version = self.payment.version.saturating_add(1);
            let next = Arc::make_mut(&mut draft.payment);
            next.version = version;
            let own = self.purchase.as_ref().map(|purchase| &purchase.guards);
            let guards = guards::change(&self.payment, next, own.unwrap_or(&Guards::default()));
            let committed = match self.commit(&draft, &guards).await {
                Err(CommitError::Unavailable(_)) if mutated("send_before_it_is_durable") => Ok(()),
                committed => committed,
            };
            match committed {
                Ok(()) => {
                    self.payment = draft.payment;
                    *latest = Some(Arc::clone(&self.payment));
                    self.prepared.extend(draft.prepared);
                    self.again_by.extend(draft.again_by);
                    self.mine.extend(draft.planned);
                    return Ok(draft.effects);
                }
                // Another node was first.
                Err(CommitError::Conflict(Guard::Version)) if self.payment.version > 0 => {
                    if started.elapsed() >= CONFLICTS_FOR {
                        tracing::warn!(payment = %self.payment.id, "too many writers");
                        return Err(Stopped::Store(EngineError::Unavailable));
                    }
                    tokio::time::sleep(CONFLICT_PAUSE).await;
                    let fresh = self.engine.load(self.payment.merchant, self.payment.id).await;
                    let fresh = fresh.map_err(Stopped::Store)?;
                    let fresh = fresh.ok_or(Stopped::Store(EngineError::Internal))?;
                    if mutated("decide_on_what_was_read_before") {
                        Arc::make_mut(&mut self.payment).version = fresh.version;
                        continue;
                    }
                    self.payment = Arc::new(fresh);
                }
                Err(CommitError::Conflict(Guard::IdempotencyKey)) => return Err(Stopped::KeyTaken),
                Err(CommitError::Conflict(Guard::Document)) => return Err(Stopped::Overtaken),
                Err(CommitError::Conflict(Guard::Duplicate)) => self.give_way(started).await?,
                Err(error) => return Err(Stopped::Store(error.into())),
            }
        }
    }

    /// Waits a moment for the payment that has our guards, unless it is in doubt or takes too long.
    async fn give_way(&self, since: Instant) -> Result<(), Stopped> {
        let engine = &self.engine;
        let own = self.purchase.as_ref().map(|purchase| purchase.guards.clone());
        let other = guards::holder(engine, self.payment.merchant, &own.unwrap_or_default()).await;
        let patience = Duration::from_millis(engine.config.repeat_wait_ms);
        let is_late =
            since.elapsed() >= patience || engine.clock.now() >= self.payment.order.failover_until;
        match other.map_err(Stopped::Store)? {
            Other::InDoubt(other) => return Err(Stopped::Duplicate(other)),
            Other::Running(other) if is_late => return Err(Stopped::Duplicate(other)),
            Other::None if is_late => return Err(Stopped::Store(EngineError::Unavailable)),
            Other::Running(_) => tokio::time::sleep(GIVE_WAY_PAUSE).await,
            Other::None => tokio::time::sleep(CONFLICT_PAUSE).await,
        }
        Ok(())
    }

    async fn decide(&self, input: Input) -> Result<Draft, Stopped> {
        // Before the wall clock is read: were it after, a pause between the two would let a call leave when
        // others already count on its `send_by`.
        let started = Instant::now();
        let mut facts = self.engine.facts(self.live);
        let mut draft = Draft {
            payment: Arc::clone(&self.payment),
            events: Vec::new(),
            timers: Vec::new(),
            effects: VecDeque::new(),
            prepared: HashMap::new(),
            planned: Vec::new(),
            again_by: HashMap::new(),
        };
        for (id, learnt) in &self.learnt {
            Arc::make_mut(&mut draft.payment).attach_learnt(*id, learnt.clone());
        }
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            facts.evidence = self.evidence_of(&input);
            let step = baton_flow::step(&draft.payment, input, &facts).map_err(Stopped::Refused)?;
            draft.payment = Arc::new(step.next);
            draft.events.extend(step.events);
            draft.timers.extend(step.timers);
            for effect in step.effects {
                if let Effect::Call(id) = effect {
                    draft.planned.push(id);
                    match self.prepare(&draft.payment, id, &facts, started).await {
                        Ok(prepared) => {
                            let (template, is_whole) = (prepared.template(), prepared.is_whole());
                            #[cfg(feature = "mutations")]
                            let template = self.with_card(template);
                            if let Some(template) = template {
                                Arc::make_mut(&mut draft.payment)
                                    .attach_template(id, template, is_whole);
                            }
                            draft.prepared.insert(id, prepared);
                        }
                        Err(why) => {
                            let outcome = Outcome::NotSent { why };
                            inputs.push_back(Input::Outcome { call: id, outcome });
                            continue;
                        }
                    }
                } else if let Effect::Replay(id) = effect {
                    draft.again_by.insert(id, send_by(started, &facts));
                }
                draft.effects.push_back(effect);
            }
        }
        Ok(draft)
    }

    fn evidence_of(&self, input: &Input) -> Option<Evidence> {
        let (Input::Outcome { call, .. } | Input::Finding { call, .. }) = input else {
            return None;
        };
        let (about, evidence) = self.rests_on.as_ref()?;
        (about == call).then(|| evidence.clone())
    }

    /// What must never be done: the card goes into what is stored.
    #[cfg(feature = "mutations")]
    fn with_card(&self, template: Option<String>) -> Option<String> {
        let card = self.purchase.as_ref().and_then(|purchase| purchase.card.as_ref());
        let shown = card.filter(|_| mutated("store_the_card"));
        shown.map_or(template, |held| Some(held.card.number.expose().to_owned()))
    }

    async fn prepare(
        &self,
        payment: &Payment,
        id: CallId,
        facts: &Facts,
        started: Instant,
    ) -> Result<Prepared, NotSent> {
        let candidate = payment.attempt_of(id).and_then(|attempt| payment.candidate(attempt));
        let candidate = candidate.ok_or(NotSent::NotConfigured)?;
        let account =
            self.engine.accounts.of_candidate(payment, candidate, self.inline.as_ref()).await;
        let account = account.ok().flatten().ok_or(NotSent::NotConfigured)?;
        let send_by = send_by(started, facts);
        let known = self.purchase.as_ref().map(|purchase| &purchase.facts);
        calls::prepare(payment, id, account, known, self.engine.wire.as_ref(), send_by)
    }

    pub(crate) async fn account_of(&self, id: CallId) -> Option<Arc<crate::Account>> {
        let attempt = self.payment.attempt_of(id)?;
        let candidate = self.payment.candidate(attempt)?;
        let held = self.inline.as_ref();
        self.engine.accounts.of_candidate(&self.payment, candidate, held).await.ok().flatten()
    }

    async fn commit(&self, draft: &Draft, guards: &[Write]) -> Result<(), CommitError> {
        let engine = &self.engine;
        let owner = engine.owner();
        let change = Change {
            payment: &draft.payment,
            id: new_id(engine.clock.as_ref()),
            events: &draft.events,
            timers: &draft.timers,
            publish: engine.config.publish_events,
            owner: &owner,
            follow: engine.follow(),
        };
        let build = || {
            let mut set = change.write_set()?;
            set.writes.extend(self.idempotency(draft));
            set.writes.extend(self.alongside(draft));
            set.writes.extend_from_slice(guards);
            Ok(set)
        };
        commit::commit(engine.store.as_ref(), &draft.payment, change.id, build).await
    }

    /// What the request changes beside the payment, with its first plan.
    fn alongside(&self, draft: &Draft) -> Vec<Write> {
        let first = draft.planned.first().filter(|_| self.mine.is_empty());
        let (Some(alongside), Some(call)) = (&self.alongside, first) else { return Vec::new() };
        alongside(&draft.payment, *call)
    }

    /// The idempotency key is claimed with the first plan, and given back when nothing was attempted.
    fn idempotency(&self, draft: &Draft) -> Option<Write> {
        let claim = self.claim.as_ref().filter(|_| !mutated("claim_no_key"))?;
        let subject = *self.mine.first().or(draft.planned.first())?;
        let (merchant, key) = (draft.payment.merchant, claim.key.clone());
        match (self.mine.is_empty(), nothing_was_attempted(&draft.payment, subject)) {
            (true, false) => Some(Write::ClaimKey(IdempotencyRow {
                merchant,
                key,
                fingerprint: claim.fingerprint.clone(),
                payment: draft.payment.id,
                call: subject.to_string(),
                created_at: draft.payment.updated_at,
                expires_at: claim.expires_at,
            })),
            (false, true) => Some(Write::ReleaseKey { merchant, key }),
            (true, true) | (false, false) => None,
        }
    }

    fn report(&self, ended: bool) {
        let call = self.mine.first().copied();
        let done = ended
            || match call {
                Some(CallId::Attempt(_)) => match self.payment.verdict() {
                    Verdict::Running => false,
                    Verdict::InDoubt(no) => is_for_the_payer(&self.payment, no),
                    Verdict::Approved(_) | Verdict::Failed(_) => true,
                },
                Some(id) => self.payment.call(id).is_some_and(baton_flow::Call::is_concluded),
                None => false,
            };
        self.progress.send_replace(Progress {
            payment: Arc::clone(&self.payment),
            call,
            done,
            provider: self.provider,
        });
    }
}

/// Whether an attempt waits for a payer who is there: nothing more can be done before that.
fn is_for_the_payer(payment: &Payment, attempt: u16) -> bool {
    let open = payment.standing(attempt);
    let asked = matches!(open, Some(Standing::Open(Outcome::ActionRequired { .. })));
    asked && payment.order.payer_present
}

/// A step that is decided and not yet durable.
struct Draft {
    payment: Arc<Payment>,
    events: Vec<Event>,
    timers: Vec<baton_flow::Timer>,
    effects: VecDeque<Effect>,
    prepared: HashMap<CallId, Prepared>,
    planned: Vec<CallId>,
    again_by: HashMap<CallId, Instant>,
}

/// Until when what is decided now may leave. Others count on it from the time of the decision on, however long the
/// commit takes.
fn send_by(started: Instant, facts: &Facts) -> Instant {
    let window = Duration::from_millis(u64::try_from(facts.send_window_ms).unwrap_or(0));
    let late = mutated("send_after_the_deadline");
    let window = if late { Duration::from_secs(3_600) } else { window };
    started.checked_add(window).unwrap_or(started)
}

/// Whether a request ended with every call not sent or refused: then its idempotency key is released, so
/// that "try again" can be obeyed.
fn nothing_was_attempted(payment: &Payment, subject: CallId) -> bool {
    let harmless = |call: &baton_flow::Call| {
        matches!(
            &call.state,
            CallState::Final { outcome: Outcome::NotSent { .. } | Outcome::Refused { .. }, .. }
        )
    };
    if let CallId::Attempt(_) = subject {
        payment.attempts.iter().all(harmless)
    } else {
        payment.call(subject).is_some_and(harmless)
    }
}
