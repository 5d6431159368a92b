//! What a provider says by itself: a verified webhook's events become evidence about the calls that they
//! are about.
//!
//! An event is evidence, as a look-up's answer is, and goes through the same step. It starts nothing that
//! the payment would not start by itself, and never undoes a conclusion. Left out: the endpoint (`baton-api`), and
//! incidents for an event that contradicts a conclusion; such an event is logged.

use std::sync::Arc;

use baton_connect::{EventSubject, WebhookEvent};
use baton_flow::{CallId, CallState, Input, Payment, Refusal};
use baton_store::ReferenceKind;
use baton_types::outcome::Finding;

use crate::accounts::Account;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::task::{Stopped, Task};

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It was recorded, with what follows from it.
    Taken,
    /// The call was concluded already: an event may come twice, or late.
    Known,
    /// The call's own answer is still awaited. The provider is to tell again: it will.
    Early,
    /// It is about nothing of this account that is known here.
    Unknown,
}

impl Engine {
    /// Takes what [`Account::webhook`] gave for this account.
    ///
    /// # Errors
    /// It could not be recorded: the provider is to tell again.
    pub async fn hear(
        &self,
        account: &Account,
        event: &WebhookEvent,
    ) -> Result<Heard, EngineError> {
        let Some((payment, call)) = self.meant(account, event).await? else {
            tracing::info!(account = %account.row.name, event = %event.name, "a webhook about nothing known");
            return Ok(Heard::Unknown);
        };
        let id = payment.id;
        let state = payment.call(call).map(|call| call.state.clone());
        let heard = match state {
            None => Heard::Unknown,
            // Its own task has the better evidence, in a moment.
            Some(CallState::Planned) => Heard::Early,
            Some(CallState::Open { .. }) => {
                let finding = event.finding.clone();
                let mut task = Task::resolving(Arc::clone(&self.inner), payment);
                match task.begin(Input::Finding { call, finding }).await {
                    Ok(effects) => {
                        task.run(effects).await;
                        Heard::Taken
                    }
                    Err(Stopped::Refused(Refusal::Concluded)) => Heard::Known,
                    Err(Stopped::Refused(refusal)) => {
                        tracing::warn!(payment = %id, %call, %refusal, "a webhook does not fit");
                        Heard::Known
                    }
                    Err(Stopped::KeyTaken | Stopped::Overtaken | Stopped::Duplicate(_)) => {
                        return Err(EngineError::Internal);
                    }
                    Err(Stopped::Store(error)) => return Err(error),
                }
            }
            Some(state @ (CallState::Final { .. } | CallState::Closed { .. })) => {
                if contradicts(&state, &event.finding) {
                    tracing::error!(payment = %id, %call, event = %event.name, ?state,
                        "a webhook contradicts what was concluded: look at the provider");
                }
                Heard::Known
            }
        };
        tracing::info!(payment = %id, %call, event = %event.name, ?heard, "webhook");
        Ok(heard)
    }

    /// The call that an event is about: by our reference of it, or else by the provider's.
    async fn meant(
        &self,
        account: &Account,
        event: &WebhookEvent,
    ) -> Result<Option<(Payment, CallId)>, EngineError> {
        let (merchant, at) = (account.row.merchant, Some(account.row.id));
        let named = [
            (ReferenceKind::Attempt, &event.reference),
            (ReferenceKind::Provider, &event.provider_reference),
        ];
        for (kind, value) in named {
            let Some(value) = value else { continue };
            let rows = self.inner.store.find_reference(merchant, kind, at, value).await?;
            for row in rows {
                let call = row.call.parse().map_err(|_| EngineError::Internal)?;
                if is_about(event.subject, call)
                    && let Some(payment) = self.inner.load(merchant, row.payment).await?
                {
                    return Ok(Some((payment, call)));
                }
            }
        }
        Ok(None)
    }
}

fn is_about(subject: EventSubject, call: CallId) -> bool {
    match call {
        CallId::Attempt(_) => subject == EventSubject::Purchase,
        CallId::Capture(_) => subject == EventSubject::Capture,
        CallId::Void(_) => subject == EventSubject::Void,
        CallId::Refund(_) => subject == EventSubject::Refund,
    }
}

/// Whether an event says that money was moved where we say that it was not, or the other way round.
fn contradicts(state: &CallState, finding: &Finding) -> bool {
    let approved = |outcome: &baton_types::outcome::Outcome| outcome.class() == "approved";
    match (state, finding) {
        (CallState::Final { outcome, .. }, Finding::Found { outcome: told }) => {
            !told.is_open() && approved(outcome) != approved(told)
        }
        (CallState::Closed { .. }, Finding::Found { outcome }) => approved(outcome),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use baton_flow::Closure;
    use baton_types::Timestamp;
    use baton_types::outcome::{Answer, Doubt, Outcome, Refused};

    use super::*;

    #[test]
    fn a_contradiction_is_about_money() {
        let answer = Answer::default;
        let at = Timestamp::from_millis(0);
        let done = || Outcome::Approved { amount: None, answer: answer() };
        let not = || Outcome::Refused { why: Refused::Validation, answer: answer() };
        let open = || Outcome::Unknown { why: Doubt::OwnerGone };
        let told = |outcome| Finding::Found { outcome };
        let is = |outcome| CallState::Final { outcome, at };
        let closed = CallState::Closed { how: Closure::Voided, at };
        let rows = [
            (is(done()), told(done()), false),
            (is(done()), told(not()), true),
            (is(done()), told(open()), false),
            // The hold was released since: no contradiction.
            (is(done()), Finding::Voided, false),
            (is(not()), told(done()), true),
            (is(not()), told(not()), false),
            (closed.clone(), told(done()), true),
            (closed.clone(), told(not()), false),
            (closed, Finding::Voided, false),
        ];
        for (state, finding, want) in rows {
            assert_eq!(contradicts(&state, &finding), want, "{state:?} {finding:?}");
        }
    }
}
