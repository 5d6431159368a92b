//! Intents that nobody confirms in time.
//!
//! An intent is expired from the commit that says so, never by the clock alone: of a confirmation and that commit one is
//! first, and the other finds it so. Guarantees: what has expired can never be paid; it is told of once, in the commit
//! that makes it so. Done by a chore that is written with the intent, and by whoever looks at it before that is run.
//! Left out: payers who were sent to a challenge and never came back; that is the engine's to end.

use baton_engine::Chore;
use baton_store::Write;
use baton_types::{PaymentId, Timestamp};
use baton_vault::SealedKind;

use crate::account::Profile;
use crate::chores::Step;
use crate::document::Stored;
use crate::fault::Fault;
use crate::follow::of_intent;
use crate::intent::Intent;
use crate::service::{Merchant, Payments};
use crate::status::IntentStatus;

/// The chore, before the intent's id.
pub(crate) const EXPIRY: &str = "expire:";

/// How long an intent can be confirmed unless it or its profile says otherwise, in seconds.
const SESSION_S: u32 = 900;

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

impl Payments {
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
        }
        Ok(Step::Nothing)
    }
}
