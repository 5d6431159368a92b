//! Calls about disputes, through the same sockets as calls that pay, and whose payment a dispute is of.
//!
//! Guarantees: what is not claimed is not called; a call that changes something is encoded before its plan, leaves once or
//! not at all by the plan's time, under the key that the plan names; a question moves nothing and keeps to the limits of
//! other questions. Left out: what is stored of a dispute and when it is asked about (`baton-payments`).

use std::sync::Arc;
use std::time::Duration;

use baton_connect::{DisputeAction, DisputeAnswer, DisputeCall, DisputeFacts, HttpCall, HttpReply};
use baton_flow::{CallId, Payment};
use baton_store::ReferenceKind;
use baton_types::Timestamp;
use baton_wire::Exchange;
use tokio::time::{Instant, timeout};
use tracing::Instrument as _;

use crate::accounts::Account;
use crate::audit::{current_request, in_request};
use crate::calls;
use crate::engine::Engine;
use crate::error::EngineError;

/// How long a request may still be executed after it was sent, where the provider says nothing of it, in
/// milliseconds: longer than any answers.
const IN_FLIGHT_MS: i64 = 120_000;

/// A call that changes a dispute, ready and not sent. It is sent once, or dropped.
pub struct DisputeReady {
    account: Arc<Account>,
    asked: DisputeCall,
    call: HttpCall,
    /// The monotonic form of the plan's `send_by`, never later than it.
    send_until: Instant,
    /// When its first byte leaves at the latest: part of the plan.
    pub send_by: Timestamp,
    /// How long after that it may still be executed, in milliseconds: part of the plan.
    pub in_flight_ms: i64,
}

/// Why a call about a dispute is not made. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAsked {
    /// The provider has no such call, or none that is known here.
    NotSupported,
    /// The account cannot be called now: the word for why.
    Unavailable(&'static str),
}

/// What came of a call about a dispute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DisputeReply {
    /// The provider's answer.
    Said(DisputeAnswer),
    /// Proof that nothing was sent: the word for it.
    NotSent(&'static str),
    /// It was sent, and perhaps carried out: the word for it.
    Lost(&'static str),
}

impl Engine {
    /// The payment and the attempt that a dispute told of at this account is about.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn disputed(
        &self,
        account: &Account,
        facts: &DisputeFacts,
    ) -> Result<Option<(Arc<Payment>, u16)>, EngineError> {
        let (merchant, at) = (account.row.merchant, Some(account.row.id));
        let named =
            [(ReferenceKind::Provider, &facts.payment), (ReferenceKind::Attempt, &facts.attempt)];
        for (kind, value) in named {
            let Some(value) = value else { continue };
            for row in self.inner.store.find_reference(merchant, kind, at, value).await? {
                let call: CallId = row.call.parse().map_err(|_| EngineError::Internal)?;
                let Some(payment) = self.inner.load(merchant, row.payment).await? else { continue };
                // Some providers name what was captured, and not what it was captured of.
                if let Some(attempt) = payment.attempt_of(call) {
                    return Ok(Some((Arc::new(payment), attempt)));
                }
            }
        }
        Ok(None)
    }

    /// A call that changes a dispute of this attempt, ready to be sent once its plan is durable.
    ///
    /// # Errors
    /// Why it will not be sent; or the store cannot be read.
    pub async fn ready_dispute(
        &self,
        payment: &Payment,
        attempt: u16,
        asked: DisputeCall,
    ) -> Result<Result<DisputeReady, NotAsked>, EngineError> {
        let (account, call) = match self.dispute_call(payment, attempt, &asked).await? {
            Ok(found) => found,
            Err(why) => return Ok(Err(why)),
        };
        let inner = &self.inner;
        if account.target.is_none() {
            return Ok(Err(NotAsked::Unavailable("not_configured")));
        }
        if let Some(why) = inner.wire.refuses(account.row.id) {
            return Ok(Err(NotAsked::Unavailable(why.as_str())));
        }
        let window_ms = inner.config.send_window_ms;
        let window = Duration::from_millis(u64::try_from(window_ms).unwrap_or_default());
        let claim = account.connector.as_ref().and_then(|c| c.manifest().look_up.as_ref());
        let bound = claim.map_or(IN_FLIGHT_MS, |claim| {
            i64::from(claim.in_flight_bound_ms).saturating_add(i64::from(claim.index_lag_ms))
        });
        Ok(Ok(DisputeReady {
            send_until: Instant::now() + window,
            send_by: inner.clock.now().plus_millis(window_ms),
            in_flight_ms: bound.saturating_add(inner.config.clock_difference_ms),
            account,
            asked,
            call,
        }))
    }

    /// Sends a call whose plan is durable, under the plan's key. Consumes it: it is sent once.
    pub async fn send_dispute(&self, ready: DisputeReady, key: &str) -> DisputeReply {
        let DisputeReady { account, asked, mut call, send_until, .. } = ready;
        let (Some(connector), Some(target)) = (&account.connector, &account.target) else {
            return DisputeReply::NotSent("not_configured");
        };
        calls::number(&mut call, connector.manifest().idempotency.as_ref(), key, 1);
        let Ok(filled) = call.fill(&account.secrets(None)) else {
            return DisputeReply::NotSent("not_configured");
        };
        let started = Instant::now();
        let exchange = self.inner.wire.exchange(target, filled, send_until).await.exchange;
        let reply = match exchange {
            Exchange::Reply(reply) => {
                DisputeReply::Said(connector.read_dispute(&asked, &account.cx, &reply))
            }
            Exchange::NotSent(why) => DisputeReply::NotSent(why.as_str()),
            Exchange::Lost(why) => DisputeReply::Lost(why.as_str()),
        };
        let shown = match &reply {
            DisputeReply::Said(answer) => word(answer),
            DisputeReply::NotSent(_) => "not_sent",
            DisputeReply::Lost(_) => "unknown",
        };
        self.note_dispute(&account, asked.action(), shown, started);
        reply
    }

    /// Asks the provider how a dispute of this attempt stands. Moves nothing; none if there is no usable answer, or if
    /// it is not to be asked now.
    ///
    /// # Errors
    /// The provider cannot be asked about disputes; or the store cannot be read.
    pub async fn ask_dispute(
        &self,
        payment: &Payment,
        attempt: u16,
        dispute: &str,
    ) -> Result<Result<Option<DisputeAnswer>, NotAsked>, EngineError> {
        let asked = DisputeCall::Retrieve { dispute: dispute.to_owned() };
        let (account, call) = match self.dispute_call(payment, attempt, &asked).await? {
            Ok(found) => found,
            Err(why) => return Ok(Err(why)),
        };
        let Some(connector) = &account.connector else { return Ok(Err(NotAsked::NotSupported)) };
        let inner = &self.inner;
        let started = Instant::now();
        let Ok(mut asking) = inner.questions.admit(account.row.id, started) else {
            inner.metrics.postponed(&account.row.gateway, "dispute");
            return Ok(Ok(None));
        };
        let exchange = calls::exchange(&account, &call, inner.wire.as_ref()).await;
        if let Some(healthy) = exchange.as_ref().and_then(calls::shows_health) {
            asking.judge(healthy, Instant::now());
        }
        let read = |reply: &HttpReply| connector.read_dispute(&asked, &account.cx, reply);
        let answer = match exchange {
            Some(Exchange::Reply(reply)) => read(&reply),
            Some(Exchange::NotSent(_) | Exchange::Lost(_)) | None => DisputeAnswer::Unclear,
        };
        self.note_dispute(&account, DisputeAction::Retrieve, word(&answer), started);
        Ok(Ok((answer != DisputeAnswer::Unclear).then_some(answer)))
    }

    /// The account of an attempt, and the call, where its provider has it.
    async fn dispute_call(
        &self,
        payment: &Payment,
        attempt: u16,
        asked: &DisputeCall,
    ) -> Result<Result<(Arc<Account>, HttpCall), NotAsked>, EngineError> {
        let Some(candidate) = payment.candidate(attempt) else {
            return Ok(Err(NotAsked::Unavailable("not_configured")));
        };
        let account = self.inner.accounts.of_candidate(payment, candidate, None).await?;
        let Some(account) = account else {
            return Ok(Err(NotAsked::Unavailable("not_configured")));
        };
        let connector =
            account.connector.as_ref().filter(|c| c.manifest().disputes(asked.action()));
        let call = connector.and_then(|connector| connector.dispute(asked, &account.cx));
        Ok(call.map(|call| (Arc::clone(&account), call)).ok_or(NotAsked::NotSupported))
    }

    fn note_dispute(
        &self,
        account: &Account,
        action: DisputeAction,
        shown: &'static str,
        started: Instant,
    ) {
        let operation = match action {
            DisputeAction::Retrieve => "dispute_retrieve",
            DisputeAction::Accept => "dispute_accept",
            DisputeAction::Submit => "dispute_submit",
        };
        let gateway = &account.row.gateway;
        self.inner.metrics.provider_call(gateway, operation, shown, started.elapsed());
        tracing::info!(account = %account.row.name, %gateway, operation, shown, "dispute call");
    }

    /// Does work that outlives its request, as long as it takes, and waits for it as long as a caller waits.
    pub async fn outlive<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let work = in_request(current_request(), work);
        let done = self.inner.tracker.spawn(work.instrument(tracing::Span::current()));
        let patience = Duration::from_millis(self.inner.config.caller_wait_ms);
        timeout(patience, done).await.ok()?.ok()
    }
}

const fn word(answer: &DisputeAnswer) -> &'static str {
    match answer {
        DisputeAnswer::Stands { .. } => "found",
        DisputeAnswer::NotFound => "not_found",
        DisputeAnswer::Refused { .. } => "refused",
        DisputeAnswer::Unclear => "unknown",
    }
}
