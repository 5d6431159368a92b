//! Requests that change an object of their own together with a payment: an intent that is confirmed, a refund
//! with an id of its client's. And what follows every change of a payment, such as the row by which it is listed.
//!
//! Guarantees: what is written alongside is in the commit of the request's first plan; when somebody else has
//! changed the object meanwhile, nothing was planned and nothing is sent. Left out: what is written.

use std::sync::Arc;

use baton_flow::{CallId, Input, Payment};
use baton_store::Write;
use baton_types::{MerchantId, Money, PaymentId};

use crate::brought::Brought;
use crate::engine::{Answered, Caller, Engine, Purchase};
use crate::error::EngineError;
use crate::new_id;

/// What becomes durable with a request's first plan, given the payment as it is going to be and the call that
/// was planned. Asked again when another writer was first.
pub type Alongside = Box<dyn Fn(&Payment, CallId) -> Vec<Write> + Send + Sync>;

/// What else changes with a payment, whoever changes it: part of each of its commits. Pure.
pub type Follow = fn(&Payment) -> Vec<Write>;

/// A change of a payment that may have something alongside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Take all or part of a hold.
    Capture(Money),
    /// Hold this total, which is more than what is held.
    Increment(Money),
    /// Release a hold, or reverse a sale that has not settled.
    Void,
    /// Give back all or part of what was captured.
    Refund(Money),
}

impl Engine {
    /// From now on this is part of each commit of a payment. Asked twice, the first counts.
    pub fn follow_by(&self, follow: Follow) {
        let _again = self.inner.follow.set(follow);
    }

    /// An id for a payment that is to be made by [`Engine::purchase_alongside`].
    #[must_use]
    pub fn new_payment_id(&self) -> PaymentId {
        new_id(self.inner.clock.as_ref())
    }

    /// As [`Engine::purchase`], under an id that the caller knows already, with writes alongside.
    ///
    /// # Errors
    /// As there; `Overtaken` when what is written alongside has changed meanwhile.
    pub async fn purchase_alongside(
        &self,
        caller: Caller,
        id: PaymentId,
        purchase: Purchase,
        alongside: Alongside,
    ) -> Result<Answered, EngineError> {
        self.buy(caller, id, purchase, None, Some(alongside)).await
    }

    /// Captures, raises, voids or refunds a payment by our own id, with writes alongside.
    ///
    /// # Errors
    /// As [`Engine::capture`]; `Overtaken` when what is written alongside has changed meanwhile.
    pub async fn change_alongside(
        &self,
        caller: Caller,
        id: PaymentId,
        change: Change,
        alongside: Option<Alongside>,
    ) -> Result<Answered, EngineError> {
        let payment = self.of_mode(caller, id).await?;
        let inline = self.for_change(&payment, &Brought::default()).await?;
        let input = match change {
            Change::Capture(amount) => Input::Capture { amount },
            Change::Increment(amount) => Input::Increment { amount },
            Change::Void => Input::Void,
            Change::Refund(amount) => Input::Refund { amount },
        };
        self.carry_out(payment, None, inline, input, None, alongside).await
    }

    /// A payment by our own id, as it is stored.
    ///
    /// # Errors
    /// `NotFound`, also for a payment of the other mode.
    pub async fn payment(
        &self,
        caller: Caller,
        id: PaymentId,
    ) -> Result<Arc<Payment>, EngineError> {
        Ok(Arc::new(self.of_mode(caller, id).await?))
    }

    async fn of_mode(&self, caller: Caller, id: PaymentId) -> Result<Payment, EngineError> {
        let merchant: MerchantId = caller.merchant;
        let found = self.inner.load(merchant, id).await?;
        found.filter(|payment| payment.order.test == caller.sandbox).ok_or(EngineError::NotFound)
    }
}
