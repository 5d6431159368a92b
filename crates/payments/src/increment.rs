//! Incremental authorization: what an intent holds is raised before it is captured.
//!
//! The merchant says so when the payment is made (`request_incremental_authorization`), because providers want to know it
//! then. What is held is what the payment's calls say; the intent keeps what was asked for at first.

use baton_engine::Change;
use baton_flow::{Increment, Payment, amounts};
use baton_types::Money;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::intent::{Intent, Seen};
use crate::key::Key;
use crate::service::{Merchant, Payments, allow};
use crate::status::Flow;

impl Intent {
    /// Whether the merchant may want to hold more later.
    #[must_use]
    pub fn wants_increments(&self) -> bool {
        let said = self.details.get("request_incremental_authorization");
        said.and_then(Value::as_bool).unwrap_or(false) && !self.is_setup()
    }
}

/// What is held once a raise has succeeded, in minor units: from then on it is what is to be paid.
pub(crate) fn raised(payment: &Payment) -> Option<i64> {
    let has_risen = payment.increments.iter().any(|raise| raise.call.is_concluded());
    let sums = Some(payment).filter(|_| has_risen).and_then(amounts::of);
    sums.map(|sums| sums.authorized.minor())
}

impl Seen {
    /// What is to be paid, in minor units, with every approved raise.
    #[must_use]
    pub fn amount(&self) -> i64 {
        self.payment.as_deref().and_then(raised).unwrap_or(self.intent.body.amount)
    }

    /// The raises, in order.
    #[must_use]
    pub fn increments(&self) -> &[Increment] {
        self.payment.as_deref().map_or(&[], |payment| payment.increments.as_slice())
    }

    /// Whether what is held can be raised now.
    #[must_use]
    pub fn may_increment(&self) -> bool {
        let intent = &self.intent.body;
        let claims = |payment: &Payment| {
            let at = payment.approved().and_then(|(no, _)| payment.candidate(no));
            at.is_some_and(|candidate| candidate.increments)
        };
        intent.wants_increments()
            && Flow::IncrementalAuthorization.is_allowed(self.status(), intent.capture)
            && self.payment.as_deref().is_some_and(claims)
    }
}

impl Payments {
    /// Raises what is held to a new total.
    ///
    /// # Errors
    /// `NotFound`, `WrongStatus`, `Busy`, `KeyReused`; `Precondition` where it was not asked for or its provider cannot;
    /// `Invalid` where the total is not more than what is held.
    pub async fn increment(
        &self,
        merchant: &Merchant,
        id: &str,
        amount: i64,
        key: Option<&str>,
    ) -> Result<Seen, Fault> {
        let flow = Flow::IncrementalAuthorization;
        let key = key.map(|key| Key::new(flow.as_str(), key, &json!(amount)));
        self.once(merchant, id, key.as_ref(), async |seen| {
            allow(&seen, flow)?;
            if !seen.intent.body.wants_increments() {
                let why = "the payment was made without request_incremental_authorization";
                return Err(Fault::Precondition(why.to_owned()));
            }
            if !seen.may_increment() {
                let why = "the connector that holds the amount cannot raise it";
                return Err(Fault::Precondition(why.to_owned()));
            }
            let payment = seen.payment.as_ref().ok_or(Fault::NotFound("payment"))?.id;
            let change = Change::Increment(Money::new(amount, seen.intent.body.currency));
            let next = key.is_some().then(|| {
                let mut next = seen.intent.clone().next(self.now());
                next.body.keys.remember(key.as_ref());
                next
            });
            self.change(merchant, seen.intent, payment, change, next).await
        })
        .await
    }
}
