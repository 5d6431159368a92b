//! Refunds: an id of the client's for one refund of a payment.

use std::sync::Arc;

use baton_engine::{Change, EngineError};
use baton_flow::{Call, CallId, CallState, Payment, Refusal};
use baton_types::outcome::Outcome;
use baton_types::{Money, PaymentId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::document::{Document, Stored};
use crate::fault::Fault;
use crate::follow::of_refund;
use crate::key;
use crate::service::{Merchant, Payments};
use crate::status::Flow;

/// A refund.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// The client's id, or one that we made.
    pub id: String,
    /// The intent.
    pub intent: String,
    /// The intent's profile.
    pub profile: String,
    /// The payment that the intent has made.
    pub payment: PaymentId,
    /// The refund within the payment.
    pub call: CallId,
    /// How much.
    pub amount: Money,
    /// Why, in the merchant's words.
    pub reason: Option<String>,
    /// Fields that are kept to be shown again.
    pub details: Map<String, Value>,
}

impl Document for Refund {
    const KIND: &'static str = "refund";

    fn id(&self) -> &str {
        &self.id
    }

    fn owner(&self) -> &str {
        &self.intent
    }
}

/// A refund to be made.
pub struct NewRefund {
    /// The client's id; one is made if absent.
    pub id: Option<String>,
    /// The intent.
    pub intent: String,
    /// In minor units; what was captured if absent.
    pub amount: Option<i64>,
    /// Why.
    pub reason: Option<String>,
    /// Fields that are kept to be shown again.
    pub details: Map<String, Value>,
}

/// How a refund stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundStatus {
    /// On its way, or in doubt.
    Pending,
    /// Done.
    Succeeded,
    /// Not done, and it will not be.
    Failed,
}

/// A refund with the payment that it belongs to.
#[derive(Clone, Debug)]
pub struct RefundSeen {
    /// The refund.
    pub refund: Stored<Refund>,
    /// The payment.
    pub payment: Arc<Payment>,
}

impl RefundStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Succeeded, Self::Failed];

    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    /// How a refund stands that is this call.
    pub(crate) fn of(call: Option<&Call>) -> Self {
        match call.map(|call| &call.state) {
            None | Some(CallState::Planned | CallState::Open { .. }) => Self::Pending,
            Some(CallState::Final { outcome: Outcome::Approved { .. }, .. }) => Self::Succeeded,
            Some(CallState::Final { .. } | CallState::Closed { .. }) => Self::Failed,
        }
    }
}

impl RefundSeen {
    /// The call at the provider.
    #[must_use]
    pub fn call(&self) -> Option<&Call> {
        self.payment.call(self.refund.body.call)
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> RefundStatus {
        RefundStatus::of(self.call())
    }
}

impl Payments {
    /// Refunds all or part of what an intent has taken.
    ///
    /// # Errors
    /// `NotFound`, `WrongStatus`, `RefundTooMuch`, or `Duplicate` for an id that another refund has; `KeyReused`
    /// if the id is that of a client's key.
    pub async fn refund(
        &self,
        merchant: &Merchant,
        new: NewRefund,
        key: Option<&str>,
    ) -> Result<RefundSeen, Fault> {
        let made = |key| key::id_of("ref_", key);
        let id = new.id.or(key.map(made)).unwrap_or_else(|| self.new_name("ref_"));
        let duplicate = || key.map_or(Fault::Duplicate("refund"), |_| Fault::KeyReused);
        let same = |known: &Refund, amount: Option<i64>, intent: &str| {
            known.intent == intent && amount.is_none_or(|amount| amount == known.amount.minor())
        };
        if let Some(known) = self.load::<Refund>(merchant.caller.merchant, &id).await? {
            let is_same =
                same(&known.body, new.amount, &new.intent) && merchant.sees(&known.body.profile);
            return if is_same {
                self.seen_refund(merchant, known).await
            } else {
                Err(duplicate())
            };
        }
        let seen = self.see(merchant, &new.intent).await?;
        let status = seen.status();
        let capture = seen.intent.body.capture;
        if !Flow::Refund.is_allowed(status, capture) {
            let (flow, expected) = (Flow::Refund.as_str(), Flow::Refund.expected(capture));
            return Err(Fault::WrongStatus { flow, status, expected });
        }
        let payment = seen.payment.as_ref().ok_or(Fault::NotFound("payment"))?;
        let amount = new.amount.or(seen.received()).unwrap_or_default();
        let amount = Money::new(amount, seen.intent.body.currency);
        let now = self.now();
        let (owner, intent) = (merchant.caller.merchant, new.intent);
        let (asked, profile) = (new.amount, seen.intent.body.profile.clone());
        let (own, of_intent) = (id.clone(), intent.clone());
        let (reason, details) = (new.reason, new.details);
        let made = move |payment: PaymentId, call: CallId| {
            let refund = Refund {
                id: id.clone(),
                intent: intent.clone(),
                profile: profile.clone(),
                payment,
                call,
                amount,
                reason: reason.clone(),
                details: details.clone(),
            };
            Stored::new(owner, refund, now)
        };
        let written = made.clone();
        let alongside = Box::new(move |payment: &Payment, call: CallId| {
            let refund = written(payment.id, call);
            vec![refund.write(), of_refund(&refund, payment)]
        });
        let change = Change::Refund(amount);
        let engine = self.engine();
        let alongside = Some(alongside as baton_engine::Alongside);
        let done = engine.change_alongside(merchant.caller, payment.id, change, alongside);
        match done.await {
            Ok(answered) => {
                let refund = made(answered.payment.id, answered.call);
                Ok(RefundSeen { refund, payment: answered.payment })
            }
            Err(EngineError::StillRunning) => {
                let running = Fault::Engine(EngineError::StillRunning);
                self.find_refund(merchant, &own).await.map_err(|_| running)
            }
            Err(EngineError::Refused(Refusal::TooMuch { .. })) => Err(Fault::RefundTooMuch),
            Err(EngineError::Overtaken) => match self.find_refund(merchant, &own).await {
                Ok(first) if same(&first.refund.body, asked, &of_intent) => Ok(first),
                Ok(_) => Err(duplicate()),
                Err(Fault::NotFound(_)) => Err(Fault::Busy),
                Err(fault) => Err(fault),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// A refund by its id.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn find_refund(&self, merchant: &Merchant, id: &str) -> Result<RefundSeen, Fault> {
        let found = self.load::<Refund>(merchant.caller.merchant, id).await?;
        let found = found.filter(|found| merchant.sees(&found.body.profile));
        self.seen_refund(merchant, found.ok_or(Fault::NotFound("refund"))?).await
    }

    /// Changes what is kept of a refund.
    ///
    /// # Errors
    /// `NotFound`; `Busy`.
    pub async fn update_refund(
        &self,
        merchant: &Merchant,
        id: &str,
        reason: Option<String>,
        details: Map<String, Value>,
    ) -> Result<RefundSeen, Fault> {
        let seen = self.find_refund(merchant, id).await?;
        let mut refund = seen.refund.next(self.now());
        refund.body.reason = reason.or(refund.body.reason);
        refund.body.details.extend(details);
        self.commit(vec![refund.write()]).await?;
        Ok(RefundSeen { refund, payment: seen.payment })
    }

    async fn seen_refund(
        &self,
        merchant: &Merchant,
        refund: Stored<Refund>,
    ) -> Result<RefundSeen, Fault> {
        let payment = self.engine().payment(merchant.caller, refund.body.payment).await?;
        Ok(RefundSeen { refund, payment })
    }
}
