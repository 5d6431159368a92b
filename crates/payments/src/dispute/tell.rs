//! What providers tell of disputes by themselves.
//!
//! The first that is heard of a dispute makes it, whatever it says: that it was closed may come before that it was opened.
//! Two nodes that hear of it at once make the same document, and one of them finds it. What is told of a payment that
//! nobody here knows is told again for a while, because a payment may be disputed before its own answer is recorded; after
//! that it is somebody else's.

use std::sync::Arc;

use baton_connect::{DisputeEvent, DisputeFacts, Evidence};
use baton_engine::Account;
use baton_flow::{Payment, amounts};
use baton_store::Write;
use baton_types::Timestamp;

use super::hear::News;
use super::{Dispute, TRIES, listed};
use crate::document::Stored;
use crate::fault::Fault;
use crate::intent::Intent;
use crate::key::Keys;
use crate::service::Payments;

/// How long after it happened an event is told again whose payment is not known, in milliseconds: longer than any answer
/// is waited for.
const EARLY_MS: i64 = 10 * 60_000;

/// Most disputes that an intent names.
const NAMED_MAX: usize = 50;

/// What became of what a provider told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisputeHeard {
    /// It was recorded.
    Taken,
    /// It says nothing new: it may come twice, or late.
    Known,
    /// Its payment is not known yet. The provider is to tell again.
    Early,
    /// It is of a payment that is not one of the Payments API's.
    Unknown,
}

impl Payments {
    /// Takes what a verified webhook to this account says of a dispute.
    ///
    /// # Errors
    /// It could not be recorded: the provider is to tell again.
    pub async fn hear_dispute(
        &self,
        account: &Account,
        event: &DisputeEvent,
    ) -> Result<DisputeHeard, Fault> {
        let owner = account.row.merchant;
        let id = Dispute::id_of(&account.row.id.to_string(), &event.facts.reference);
        for _ in 0..TRIES {
            let done = match self.load_dispute(owner, &id).await? {
                Some(known) => self.hear_more(known, &event.facts, event.at).await,
                None => self.open(account, &id, event).await,
            };
            match done {
                Err(Fault::Busy) => {}
                Ok(heard) => {
                    let (account, name) = (&account.row.name, &event.name);
                    tracing::info!(%account, event = %name, dispute = %id, ?heard, "a dispute is told of");
                    return Ok(heard);
                }
                Err(fault) => return Err(fault),
            }
        }
        Err(Fault::Busy)
    }

    async fn hear_more(
        &self,
        known: Stored<Dispute>,
        facts: &DisputeFacts,
        at: Option<Timestamp>,
    ) -> Result<DisputeHeard, Fault> {
        let mut next = known.next(self.now());
        let was_open = next.body.step.is_some();
        let news = next.body.hear(facts, at);
        match news {
            News::Nothing => return Ok(DisputeHeard::Known),
            News::Contradicts => {
                tracing::warn!(
                    dispute = %next.body.id, known = next.body.status.as_str(), told = facts.status.as_str(),
                    "a dispute has ended already, and its provider tells of another end"
                );
                return Ok(DisputeHeard::Known);
            }
            News::Status | News::Details => {}
        }
        let payment = self.payment_of_dispute(&next).await?;
        let mut writes = self.changed(&mut next, &payment, news == News::Status);
        if was_open && next.body.step.is_none() {
            writes.push(self.engine().no_chore(&Self::dispute_chore(&next)));
        }
        self.commit(writes).await?;
        Ok(DisputeHeard::Taken)
    }

    pub(super) async fn payment_of_dispute(
        &self,
        dispute: &Stored<Dispute>,
    ) -> Result<Arc<Payment>, Fault> {
        let merchant = self.merchant_of(dispute.merchant);
        Ok(self.engine().payment(merchant.caller, dispute.body.payment).await?)
    }

    /// What makes a version durable, with its row in lists; and the message that tells of it, if it stands otherwise.
    pub(super) fn changed(
        &self,
        next: &mut Stored<Dispute>,
        payment: &Payment,
        told: bool,
    ) -> Vec<Write> {
        let message = if told {
            next.body.messages = next.body.messages.saturating_add(1);
            let (place, number) = (next.body.place(), next.body.messages);
            let refunded_too = next.body.is_refunded_too(payment);
            self.tell_in_order(next, next.body.status.as_str(), (place, number), refunded_too)
        } else {
            None
        };
        [next.write(), listed(next)].into_iter().chain(message).collect()
    }

    /// Makes a dispute of the first that is heard of it.
    async fn open(
        &self,
        account: &Account,
        id: &str,
        event: &DisputeEvent,
    ) -> Result<DisputeHeard, Fault> {
        let now = self.now();
        let facts = &event.facts;
        let Some((payment, attempt)) = self.engine().disputed(account, facts).await? else {
            let is_young = event.at.is_some_and(|at| now.since(at) < EARLY_MS);
            return Ok(if is_young { DisputeHeard::Early } else { DisputeHeard::Unknown });
        };
        let Some(intent) = &payment.order.merchant_ref else { return Ok(DisputeHeard::Unknown) };
        let intent = self.load::<Intent>(payment.merchant, intent).await?;
        let is_its = |intent: &Stored<Intent>| intent.body.tries.contains(&payment.id);
        let Some(intent) = intent.filter(is_its) else { return Ok(DisputeHeard::Unknown) };
        let mut number = usize::from(attempt);
        for earlier in intent.body.tries.iter().take_while(|made| **made != payment.id) {
            let merchant = self.merchant_of(payment.merchant);
            let earlier = self.engine().payment(merchant.caller, *earlier).await?;
            number = number.saturating_add(earlier.attempts.len());
        }
        let dispute = Dispute {
            id: id.to_owned(),
            intent: intent.body.id.clone(),
            profile: intent.body.profile.clone(),
            payment: payment.id,
            attempt,
            number,
            account: account.row.name.clone(),
            connector: account.row.gateway.to_ascii_lowercase(),
            reference: facts.reference.clone(),
            amount: facts.amount,
            stage: facts.stage,
            status: facts.status,
            word: facts.word.clone(),
            reason: facts.reason.clone(),
            reason_code: facts.reason_code.clone(),
            respond_by: facts.respond_by,
            opened_at: facts.opened_at,
            told_at: event.at,
            evidence: Evidence::new(),
            step: None,
            steps: 0,
            messages: 0,
            keys: Keys::default(),
        };
        let mut dispute = Stored::new(payment.merchant, dispute, now);
        let mut writes = self.changed(&mut dispute, &payment, true);
        let mut intent = intent.next(now);
        if intent.body.disputes.len() < NAMED_MAX {
            intent.body.disputes.push(id.to_owned());
            writes.push(intent.write());
        }
        self.commit(writes).await?;
        if amounts::of(&payment).is_none() {
            tracing::warn!(dispute = %id, payment = %payment.id, "a payment is disputed that took nothing as far as is known");
        }
        Ok(DisputeHeard::Taken)
    }
}
