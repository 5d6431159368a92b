//! A payer who comes back from a challenge.
//!
//! Most providers know what the payer did and are looked up at once, whatever the schedule. One that does not is given what the browser brought;
//! its answer is evidence about the open attempt, as a look-up's or a webhook's is. The attempt's plan is
//! long durable, and nothing but that attempt can come of it: a payer who comes twice changes nothing, and one whose
//! answer is lost leaves the attempt as open as it was. Left out: where the payer is sent then (`baton-api`).

use std::sync::Arc;

use baton_connect::Returned;
use baton_flow::{CallId, CallState, Input, Payment};
use baton_types::PaymentId;
use baton_types::outcome::{Finding, Outcome};

use crate::calls;
use crate::engine::{Caller, Engine};
use crate::error::EngineError;
use crate::task::{Stopped, Task};

impl Engine {
    /// Takes what a payer's browser brought back from a payment's challenge, and says how the payment stands.
    ///
    /// # Errors
    /// `NotFound`; or what was learned could not be recorded, and is to be brought again.
    pub async fn returned(
        &self,
        caller: Caller,
        id: PaymentId,
        returned: Returned,
    ) -> Result<Arc<Payment>, EngineError> {
        let payment = self.payment(caller, id).await?;
        let Some(call) = challenged(&payment) else { return Ok(payment) };
        let engine = self.clone();
        // A payer who leaves breaks nothing off.
        let work = async move { engine.complete(&payment, call, &returned).await };
        let done = self.inner.tracker.spawn(work).await;
        done.map_err(|_| EngineError::Internal)??;
        self.payment(caller, id).await
    }

    async fn complete(
        &self,
        payment: &Arc<Payment>,
        call: CallId,
        returned: &Returned,
    ) -> Result<(), EngineError> {
        let mut task = Task::resolving(Arc::clone(&self.inner), Payment::clone(payment));
        let Some(account) = task.account_of(call).await else { return Ok(()) };
        let wire = self.inner.wire.as_ref();
        let finding =
            calls::complete(payment, call, returned, &account, wire, &self.inner.metrics).await;
        let input = match finding {
            Finding::Inconclusive => match task.look_up(call).await {
                Some(input) => input,
                None => return Ok(()),
            },
            finding @ (Finding::Found { .. } | Finding::Voided | Finding::NotFound) => {
                Input::Finding { call, finding }
            }
        };
        match task.begin(input).await {
            Ok(effects) => task.run(effects).await,
            // A webhook, a look-up or the same payer was first.
            Err(Stopped::Refused(_)) => {}
            Err(Stopped::KeyTaken | Stopped::Overtaken | Stopped::Duplicate(_)) => {
                return Err(EngineError::Internal);
            }
            Err(Stopped::Store(error)) => return Err(error),
        }
        Ok(())
    }
}

/// The attempt whose payer is away.
fn challenged(payment: &Payment) -> Option<CallId> {
    let last = u16::try_from(payment.attempts.len()).ok().map(CallId::Attempt)?;
    let state = &payment.call(last)?.state;
    matches!(state, CallState::Open { outcome: Outcome::ActionRequired { .. } }).then_some(last)
}
