//! Intents that nobody confirms in time.
//!
//! An intent is expired from the commit that says so, never by the clock alone: of a confirmation and that commit one is
//! first, and the other finds it so. Guarantees: what has expired can never be paid; it is told of once, in the commit
//! that makes it so. Done by a chore that is written with the intent, and by whoever looks at it before that is run.
//!
//! A payer who was sent somewhere and never came back leaves a payment that its provider may still take. When their time
//! is over the provider is asked once more, and then to cancel it, by the same durable void as for a merchant. The payment
//! ends when the provider confirms that, and not before: where it refuses, the payment goes on waiting and is tried again.

use baton_engine::Chore;
use baton_flow::{CallId, Payment};
use baton_store::Write;
use baton_types::outcome::{Finding, Outcome};
use baton_types::{PaymentId, Timestamp};
use baton_vault::SealedKind;

use crate::account::Profile;
use crate::chores::Step;
use crate::document::Stored;
use crate::fault::Fault;
use crate::follow::of_intent;
use crate::intent::{Intent, Seen};
use crate::service::{Merchant, Payments};
use crate::status::IntentStatus;

/// The chore, before the intent's id.
pub(crate) const EXPIRY: &str = "expire:";

/// How long an intent can be confirmed unless it or its profile says otherwise, in seconds.
const SESSION_S: u32 = 900;

/// How long a payer has for a challenge unless the operator says otherwise, from the confirmation, in milliseconds.
pub(crate) const PAYER_MS: i64 = 3_600_000;

/// How long they have at least at a bank's or a lender's page: such a page may be open for hours.
const PAGE_MS: i64 = 24 * 3_600_000;

/// Why a payment was cancelled that its payer has left.
const LEFT: &str = "abandoned";

/// How long an intent of a profile can be confirmed that does not say it, in seconds.
pub(crate) fn session_of(profile: &Profile) -> u32 {
    let own = profile.details.get("session_expiry").and_then(serde_json::Value::as_u64);
    own.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(SESSION_S)
}

/// Until when an intent can be confirmed that was made at this time.
pub(crate) fn end_of(made: Timestamp, seconds: u32) -> Timestamp {
    made.plus_millis(i64::from(seconds).saturating_mul(1000))
}

impl Intent {
    /// Whether it waits to be confirmed.
    fn waits(&self) -> bool {
        self.tries.is_empty() && self.cancelled.is_none() && self.expired_at.is_none()
    }

    /// Whether it waits and its time is over.
    pub(crate) fn is_overdue(&self, now: Timestamp) -> bool {
        self.waits() && now >= self.expires_at
    }
}

/// Whether the provider has said after this time that the payer still has to act. One that cannot be asked has had the
/// time to tell otherwise.
fn is_still_awaited(payment: &Payment, since: Timestamp) -> bool {
    let Some(no) = payment.awaited() else { return false };
    if payment.candidate(no).is_some_and(|at| at.quiet_ms.is_none()) {
        return true;
    }
    let last = payment.call(CallId::Attempt(no)).and_then(|call| call.checks.last());
    let waits = |finding: &Finding| {
        matches!(finding, Finding::Found { outcome: Outcome::ActionRequired { .. } })
    };
    last.is_some_and(|check| check.at >= since && waits(&check.finding))
}

impl Payments {
    /// The same, for payers who have so long for a challenge, in milliseconds. Before it does chores.
    #[must_use]
    pub fn patient_with_payers(mut self, payer_ms: i64) -> Self {
        self.payer_ms = payer_ms;
        self
    }

    fn expiry_of(intent: &Stored<Intent>) -> Chore {
        let merchant = intent.merchant;
        let about = PaymentId::from_bytes(*merchant.as_bytes());
        Chore { merchant, about, name: format!("{EXPIRY}{}", intent.body.id), attempt: 0 }
    }

    /// What makes a version of an intent durable that waits to be confirmed, with what ends it at its time.
    pub(crate) fn waiting(&self, intent: &Stored<Intent>) -> Vec<Write> {
        vec![intent.write(), of_intent(intent, None), self.expiry(intent)]
    }

    fn expiry(&self, intent: &Stored<Intent>) -> Write {
        self.engine().alarm_at(&Self::expiry_of(intent), intent.body.expires_at)
    }

    /// Until when a payer has time who was sent away by a confirmation at this time.
    fn payers_end(&self, intent: &Intent, confirmed_at: Timestamp) -> Timestamp {
        let least = if intent.redirect.is_some() { PAGE_MS } else { 0 };
        intent.expires_at.max(confirmed_at.plus_millis(self.payer_ms.max(least)))
    }

    /// What a confirmation makes of the intent's end: a later one where its payer may be sent away, and none otherwise.
    pub(crate) fn confirmed(&self, intent: &Stored<Intent>, may_ask: bool) -> Option<Write> {
        if may_ask {
            let end = self.payers_end(&intent.body, self.now());
            return Some(self.engine().alarm_at(&Self::expiry_of(intent), end));
        }
        let waited = intent.version > 1 && intent.body.tries.len() == 1;
        waited.then(|| self.no_expiry(intent))
    }

    /// What takes that back: in the commit after which it waits no more.
    pub(crate) fn no_expiry(&self, intent: &Stored<Intent>) -> Write {
        self.engine().no_chore(&Self::expiry_of(intent))
    }

    /// An intent as it is, ended first if it is overdue. Where that cannot be written it is as it was.
    pub(crate) async fn up_to_date(&self, intent: Stored<Intent>) -> Result<Stored<Intent>, Fault> {
        if !intent.body.is_overdue(self.now()) {
            return Ok(intent);
        }
        let (owner, id) = (intent.merchant, intent.body.id.clone());
        match self.expire(intent.clone()).await {
            Ok(expired) => Ok(expired),
            // Somebody was first: with a confirmation, or with this.
            Err(Fault::Busy) => Ok(self.load::<Intent>(owner, &id).await?.unwrap_or(intent)),
            Err(fault) => {
                tracing::warn!(intent = %id, ?fault, "an intent's end cannot be written now");
                Ok(intent)
            }
        }
    }

    async fn expire(&self, intent: Stored<Intent>) -> Result<Stored<Intent>, Fault> {
        let now = self.now();
        let mut next = intent.next(now);
        next.body.expired_at = Some(now);
        let kept = next.body.method.as_mut().and_then(|method| method.card.record.take());
        let mut writes = vec![next.write(), of_intent(&next, None), self.no_expiry(&next)];
        writes.extend(self.tell(&next, IntentStatus::Expired.as_str()));
        self.commit(writes).await?;
        if let Some(record) = kept {
            let merchant = self.merchant_of(next.merchant);
            self.drop_card(&merchant, SealedKind::IntentCard, &record).await;
        }
        Ok(next)
    }

    pub(crate) async fn expiry_step(&self, merchant: &Merchant, id: &str) -> Result<Step, Fault> {
        let Some(intent) = self.load::<Intent>(merchant.caller.merchant, id).await? else {
            return Ok(Step::Nothing);
        };
        if intent.body.is_overdue(self.now()) {
            self.expire(intent).await?;
        } else if intent.body.waits() {
            return Ok(Step::At(intent.body.expires_at));
        } else if !intent.body.tries.is_empty() {
            return self.end_what_was_left(merchant, intent).await;
        }
        Ok(Step::Nothing)
    }

    /// Cancels a payment whose payer has not come back in time.
    async fn end_what_was_left(
        &self,
        merchant: &Merchant,
        intent: Stored<Intent>,
    ) -> Result<Step, Fault> {
        use IntentStatus::{Processing, RequiresCustomerAction};
        let id = intent.body.id.clone();
        let seen = self.seen(merchant, intent).await?;
        let is_open = |seen: &Seen| matches!(seen.status(), Processing | RequiresCustomerAction);
        let Some(payment) = seen.payment.as_ref().filter(|_| is_open(&seen)) else {
            return Ok(Step::Nothing);
        };
        let end = self.payers_end(&seen.intent.body, payment.created_at);
        if self.now() < end {
            return Ok(Step::At(end));
        }
        // Its provider may know of an end that nobody has told here. What is in doubt is not this step's to end.
        let seen = self.retrieve(merchant, &id, true).await?;
        if seen.payment.as_ref().is_some_and(|payment| is_still_awaited(payment, end)) {
            tracing::info!(payment = %id, "a payer has not come back: the payment is cancelled");
            let seen = self.cancel(merchant, &id, Some(LEFT.to_owned()), None).await?;
            return Ok(if is_open(&seen) { Step::Again } else { Step::Nothing });
        }
        Ok(if is_open(&seen) { Step::Again } else { Step::Nothing })
    }
}
