//! What a provider says by itself: a verified webhook's events become evidence about the calls that they
//! are about.
//!
//! An event is evidence, as a look-up's answer is, and goes through the same step. It starts nothing that
//! the payment would not start by itself, and never undoes a conclusion: one that contradicts it is looked into, and
//! opens an incident. Left out: the endpoint (`baton-api`).

use std::sync::Arc;

use baton_connect::{EventSubject, WebhookEvent};
use baton_flow::{CallId, CallState, EvidenceKind, Input, Payment, Refusal, Standing};
use baton_store::ReferenceKind;
use baton_types::outcome::{Answer, Finding, Outcome};
use baton_vault::Tenant;

use crate::accounts::Account;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::evidence;
use crate::incidents::{self, Told};
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
    /// Takes what [`Account::webhook`] gave for this account, and the body that it was in.
    ///
    /// # Errors
    /// It could not be recorded: the provider is to tell again.
    pub async fn hear(
        &self,
        account: &Account,
        event: &WebhookEvent,
        body: &[u8],
    ) -> Result<Heard, EngineError> {
        let Some((payment, call)) = self.meant(account, event).await? else {
            tracing::info!(account = %account.row.name, event = %event.name, "a webhook about nothing known");
            return Ok(Heard::Unknown);
        };
        let id = payment.id;
        let (call, finding) = of_void(&payment, call, event)
            .or_else(|| of_verification(&payment, call, event))
            .unwrap_or((call, event.finding.clone()));
        let state = payment.call(call).map(|call| call.state.clone());
        let heard = match state {
            None => Heard::Unknown,
            // Its own task has the better evidence, in a moment.
            Some(CallState::Planned) => Heard::Early,
            Some(CallState::Open { .. }) => {
                let tenant = Tenant { merchant: payment.merchant, sandbox: payment.order.test };
                let mut task = Task::resolving(Arc::clone(&self.inner), payment);
                let heard = evidence::of(&self.inner, tenant, EvidenceKind::Webhook, body);
                task.rests_on = Some((call, heard));
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
            Some(CallState::Final { .. } | CallState::Closed { .. }) => {
                let told = Told { by: format!("webhook {}", event.name), finding: &finding };
                incidents::late(&self.inner, &payment, call, &told).await?;
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

/// The void that is confirmed by the word that its attempt was voided, where that is approved: a
/// provider may tell it of the payment alone.
fn of_void(payment: &Payment, call: CallId, event: &WebhookEvent) -> Option<(CallId, Finding)> {
    let CallId::Attempt(no) = call else { return None };
    if event.finding != Finding::Voided
        || !matches!(payment.standing(no), Some(Standing::Approved(_)))
    {
        return None;
    }
    // One that still awaits its own answer makes the provider tell again, as for any call.
    let (void, _) = payment
        .calls()
        .filter(|(_, call)| !call.is_concluded())
        .find(|(id, _)| matches!(id, CallId::Void(_)) && payment.attempt_of(*id) == Some(no))?;
    let answer = Answer { code: Some(event.name.clone()), ..Answer::default() };
    let outcome = Outcome::Approved { amount: None, answer };
    Some((void, Finding::Found { outcome }))
}

/// That a card was verified, of which a provider tells no amount: it is the nothing that was asked for.
fn of_verification(
    payment: &Payment,
    call: CallId,
    event: &WebhookEvent,
) -> Option<(CallId, Finding)> {
    let asked = payment.order.kind.amount().filter(|asked| asked.is_zero());
    let CallId::Attempt(_) = call else { return None };
    let Finding::Found { outcome: Outcome::Approved { amount: None, answer } } = &event.finding
    else {
        return None;
    };
    let outcome = Outcome::Approved { amount: Some(asked?), answer: answer.clone() };
    Some((call, Finding::Found { outcome }))
}

fn is_about(subject: EventSubject, call: CallId) -> bool {
    match call {
        CallId::Attempt(_) => subject == EventSubject::Purchase,
        CallId::Capture(_) => subject == EventSubject::Capture,
        CallId::Void(_) => subject == EventSubject::Void,
        CallId::Refund(_) => subject == EventSubject::Refund,
        CallId::Increment(_) => subject == EventSubject::Increment,
    }
}
