//! The merchant's answer: giving in, or evidence. And asking how a dispute stands.
//!
//! An answer is planned in the store, with the key under which it is sent and a timer, before it is sent; then the task of
//! the request that planned it sends it, once. Whoever finds a plan in the store, after a crash or a lost answer, asks the
//! provider how the dispute stands, and sends nothing: giving in gives up money. A provider that does not show an answer
//! when it can no more arrive has not had it, and the merchant can answer again. Guarantees: of two answers at once one is
//! planned; what a webhook tells meanwhile counts. Left out: sending an answer again.

use std::sync::Arc;

use baton_connect::{
    DisputeAction, DisputeAnswer, DisputeCall, DisputeFacts, DisputeStatus, Evidence,
};
use baton_engine::{Chore, DisputeReady, DisputeReply, EngineError, NotAsked};
use baton_flow::Payment;
use baton_types::{MerchantId, Timestamp};
use serde_json::json;

use super::hear::News;
use super::{Answering, Dispute, DisputeSeen, TRIES};
use crate::chores::Step;
use crate::document::Stored;
use crate::fault::Fault;
use crate::key::Key;
use crate::service::{Merchant, Payments};

/// The chore of a planned answer, before the dispute's id.
pub(crate) const DISPUTE: &str = "dispute:";

/// When a planned answer is looked at whose own task has not ended it, in milliseconds.
const LEFT_MS: i64 = 30_000;

/// When one is looked up whose answer was lost, in milliseconds.
const SOON_MS: i64 = 2_000;

/// What a merchant answers.
#[derive(Clone, Debug)]
enum Reply {
    Accept,
    Submit(Evidence),
}

impl Reply {
    fn action(&self) -> DisputeAction {
        match self {
            Self::Accept => DisputeAction::Accept,
            Self::Submit(_) => DisputeAction::Submit,
        }
    }

    fn evidence(&self) -> Evidence {
        match self {
            Self::Accept => Evidence::new(),
            Self::Submit(evidence) => evidence.clone(),
        }
    }

    fn call(&self, dispute: &str) -> DisputeCall {
        let dispute = dispute.to_owned();
        match self {
            Self::Accept => DisputeCall::Accept { dispute },
            Self::Submit(evidence) => DisputeCall::Submit { dispute, evidence: evidence.clone() },
        }
    }
}

/// How the contract's messages name what was to be done.
const fn participle(action: DisputeAction) -> &'static str {
    match action {
        DisputeAction::Accept => "accepted",
        DisputeAction::Submit => "answered with evidence",
        DisputeAction::Retrieve => "asked about",
    }
}

impl From<(NotAsked, &'static str, &Dispute)> for Fault {
    fn from((why, flow, dispute): (NotAsked, &'static str, &Dispute)) -> Self {
        let connector = dispute.connector.clone();
        match why {
            NotAsked::NotSupported => Self::FlowNotSupported { flow, connector },
            NotAsked::Unavailable(why) => Self::NothingSent { connector, why },
        }
    }
}

impl Payments {
    pub(super) fn dispute_chore(dispute: &Stored<Dispute>) -> Chore {
        let (merchant, about) = (dispute.merchant, dispute.body.place());
        Chore { merchant, about, name: format!("{DISPUTE}{}", dispute.body.id), attempt: 0 }
    }

    /// Gives in: the money stays with the payer.
    ///
    /// # Errors
    /// `NotFound`; `Precondition` where the dispute does not allow it; `FlowNotSupported`, `NothingSent` or
    /// `ProviderRefused` where the provider does not take it: each time nothing was done.
    pub async fn accept_dispute(
        &self,
        merchant: &Merchant,
        id: &str,
        key: Option<&str>,
    ) -> Result<DisputeSeen, Fault> {
        let key = key.map(|key| Key::new("dispute_accept", key, &json!(id)));
        self.answer(merchant, id, Reply::Accept, key).await
    }

    /// Sends evidence, which is the merchant's one answer.
    ///
    /// # Errors
    /// As [`Payments::accept_dispute`].
    pub async fn submit_evidence(
        &self,
        merchant: &Merchant,
        id: &str,
        evidence: Evidence,
        key: Option<&str>,
    ) -> Result<DisputeSeen, Fault> {
        if evidence.is_empty() {
            return Err(Fault::Precondition("There is no evidence to be submitted".to_owned()));
        }
        let key = key.map(|key| Key::new("dispute_submit", key, &json!([id, evidence])));
        self.answer(merchant, id, Reply::Submit(evidence), key).await
    }

    async fn answer(
        &self,
        merchant: &Merchant,
        id: &str,
        reply: Reply,
        key: Option<Key>,
    ) -> Result<DisputeSeen, Fault> {
        let (dispute, payment) = self.own_dispute(merchant, id).await?;
        if dispute.body.keys.hold(key.as_ref())? {
            return Ok(DisputeSeen::new(dispute, &payment));
        }
        if is_under_way(&dispute.body, &reply)? {
            return Ok(DisputeSeen::new(dispute, &payment));
        }
        let action = reply.action();
        if !dispute.body.allows(action) {
            return Err(Fault::Precondition(format!(
                "This dispute cannot be {} because it is in {} stage and has {} status",
                participle(action),
                dispute.body.stage.as_str(),
                dispute.body.status.as_str()
            )));
        }
        let (attempt, call) = (dispute.body.attempt, reply.call(&dispute.body.reference));
        let ready = self.engine().ready_dispute(&payment, attempt, call).await?;
        let ready = ready.map_err(|why| Fault::from((why, action.as_str(), &dispute.body)))?;
        let planned = self.planned(dispute, &reply, key.as_ref(), &ready);
        let (this, of_task) = (self.clone(), Arc::clone(&payment));
        let work = async move { this.carry_out(planned, ready, &of_task).await };
        match self.engine().outlive(work).await {
            Some(Ok(dispute)) => Ok(DisputeSeen::new(dispute, &payment)),
            // The same request may have come twice at once: then the other one has planned it.
            Some(Err(Fault::Busy)) => {
                let (dispute, payment) = self.own_dispute(merchant, id).await?;
                let held = dispute.body.keys.hold(key.as_ref())?;
                if held || is_under_way(&dispute.body, &reply)? {
                    return Ok(DisputeSeen::new(dispute, &payment));
                }
                Err(Fault::Busy)
            }
            Some(Err(fault)) => Err(fault),
            // It is on its way, and will be recorded.
            None => {
                let running = Fault::Engine(EngineError::StillRunning);
                self.see_dispute(merchant, id).await.map_err(|_| running)
            }
        }
    }

    fn planned(
        &self,
        dispute: Stored<Dispute>,
        reply: &Reply,
        key: Option<&Key>,
        ready: &DisputeReady,
    ) -> Stored<Dispute> {
        let now = self.now();
        let mut next = dispute.next(now);
        next.body.steps = next.body.steps.saturating_add(1);
        next.body.keys.remember(key);
        next.body.step = Some(Answering {
            action: reply.action(),
            key: format!("{}-{}", next.body.id, next.body.steps),
            evidence: reply.evidence(),
            planned_at: now,
            send_by: ready.send_by,
            in_flight_ms: ready.in_flight_ms,
            keyed: key.is_some(),
            doubt: None,
        });
        next
    }

    /// Makes the plan durable, sends the call, and records what came of it. It goes on when its caller has left.
    async fn carry_out(
        &self,
        planned: Stored<Dispute>,
        ready: DisputeReady,
        payment: &Payment,
    ) -> Result<Stored<Dispute>, Fault> {
        let chore = Self::dispute_chore(&planned);
        let left = self.engine().chore_at(&chore, self.now().plus_millis(LEFT_MS));
        self.commit(vec![planned.write(), left]).await?;
        let (merchant, id) = (planned.merchant, planned.body.id.clone());
        let Some(step) = planned.body.step else { return Err(Fault::Busy) };
        let reply = self.engine().send_dispute(ready, &step.key).await;
        for _ in 0..TRIES {
            let Ok(Some(known)) = self.load_dispute(merchant, &id).await else { break };
            match self.record(known, &step, &reply, payment).await {
                Err(Fault::Busy) => {}
                Err(Fault::Engine(EngineError::Unavailable | EngineError::Internal)) => break,
                recorded => return recorded,
            }
        }
        // It was sent, and the store has not taken what came of it: the timer finds the plan.
        tracing::warn!(dispute = %id, "what came of an answer to a dispute is not recorded; it is looked up");
        Err(Fault::Engine(EngineError::StillRunning))
    }

    /// Records what came of an answer, on whatever has been heard meanwhile.
    async fn record(
        &self,
        known: Stored<Dispute>,
        step: &Answering,
        reply: &DisputeReply,
        payment: &Payment,
    ) -> Result<Stored<Dispute>, Fault> {
        let mut next = known.clone().next(self.now());
        let is_open = next.body.step.as_ref().is_some_and(|open| open.key == step.key);
        let mut news = News::Nothing;
        let mut refused = None;
        match reply {
            DisputeReply::Said(DisputeAnswer::Stands { dispute }) => {
                news = next.body.hear(&carried_out(step, dispute), None);
            }
            DisputeReply::Said(DisputeAnswer::Refused { code, message }) => {
                refused = Some(Fault::ProviderRefused {
                    connector: next.body.connector.clone(),
                    message: message.clone().or(code.clone()).unwrap_or_else(|| "no".to_owned()),
                });
            }
            DisputeReply::Said(DisputeAnswer::NotFound) => {
                refused = Some(Fault::ProviderRefused {
                    connector: next.body.connector.clone(),
                    message: "there is no such dispute".to_owned(),
                });
            }
            DisputeReply::NotSent(why) => {
                refused = Some(Fault::NothingSent { connector: next.body.connector.clone(), why });
            }
            DisputeReply::Said(DisputeAnswer::Unclear) => doubt(&mut next.body, step, "unreadable"),
            DisputeReply::Lost(why) => doubt(&mut next.body, step, why),
        }
        if refused.is_some() && is_open {
            give_back(&mut next.body);
        }
        if news == News::Contradicts || next.body == known.body {
            return refused.map_or(Ok(known), Err);
        }
        let mut writes = self.changed(&mut next, payment, news == News::Status);
        let chore = Self::dispute_chore(&next);
        if next.body.step.is_none() {
            writes.push(self.engine().no_chore(&chore));
        } else if is_open {
            writes.push(self.engine().chore_at(&chore, self.now().plus_millis(SOON_MS)));
        }
        self.commit(writes).await?;
        refused.map_or(Ok(next), Err)
    }

    /// A dispute; with `sync`, its provider is asked first.
    ///
    /// # Errors
    /// `NotFound`; `FlowNotSupported` where the provider cannot be asked.
    pub async fn retrieve_dispute(
        &self,
        merchant: &Merchant,
        id: &str,
        sync: bool,
    ) -> Result<DisputeSeen, Fault> {
        let (dispute, payment) = self.own_dispute(merchant, id).await?;
        if !sync {
            return Ok(DisputeSeen::new(dispute, &payment));
        }
        let dispute = self.ask(dispute, &payment).await?;
        Ok(DisputeSeen::new(dispute, &payment))
    }

    /// Asks the provider, and takes up what it shows. Without a usable answer everything stays as it is.
    async fn ask(
        &self,
        dispute: Stored<Dispute>,
        payment: &Payment,
    ) -> Result<Stored<Dispute>, Fault> {
        let (attempt, reference) = (dispute.body.attempt, dispute.body.reference.clone());
        // What is answered from now on shows what was carried out before.
        let asked_at = self.now();
        let answer = self.engine().ask_dispute(payment, attempt, &reference).await?;
        let answer = answer.map_err(|why| Fault::from((why, "retrieve", &dispute.body)))?;
        let (merchant, id) = (dispute.merchant, dispute.body.id.clone());
        let facts = match answer {
            Some(DisputeAnswer::Stands { dispute }) => dispute,
            Some(
                DisputeAnswer::NotFound | DisputeAnswer::Refused { .. } | DisputeAnswer::Unclear,
            ) => {
                tracing::warn!(dispute = %id, ?answer, "a provider does not tell how a dispute stands");
                return Ok(dispute);
            }
            None => return Ok(dispute),
        };
        for _ in 0..TRIES {
            let known = self.load_dispute(merchant, &id).await?;
            let known = known.ok_or(Fault::NotFound("dispute"))?;
            match self.look(known, &facts, asked_at, payment).await {
                Err(Fault::Busy) => {}
                looked => return looked,
            }
        }
        Err(Fault::Busy)
    }

    /// Takes up what a provider has shown that was asked at this time.
    async fn look(
        &self,
        known: Stored<Dispute>,
        facts: &DisputeFacts,
        asked_at: Timestamp,
        payment: &Payment,
    ) -> Result<Stored<Dispute>, Fault> {
        let mut next = known.clone().next(self.now());
        let news = next.body.hear(facts, None);
        let absent = next.body.step.as_ref().filter(|step| asked_at >= step.absent_from());
        if let Some(step) = absent {
            tracing::info!(
                dispute = %next.body.id, action = step.action.as_str(), "an answer has not reached its provider"
            );
            give_back(&mut next.body);
        }
        if news == News::Contradicts || next.body == known.body {
            return Ok(known);
        }
        let mut writes = self.changed(&mut next, payment, news == News::Status);
        if known.body.step.is_some() && next.body.step.is_none() {
            writes.push(self.engine().no_chore(&Self::dispute_chore(&next)));
        }
        self.commit(writes).await?;
        Ok(next)
    }

    /// Looks up what became of a planned answer. Sends nothing but a question.
    pub(crate) async fn dispute_step(&self, owner: MerchantId, id: &str) -> Result<Step, Fault> {
        let Some(dispute) = self.load_dispute(owner, id).await? else { return Ok(Step::Nothing) };
        if dispute.body.step.is_none() {
            // With a version of the dispute: an answer that is planned meanwhile is not overlooked.
            let next = dispute.next(self.now());
            let chore = Self::dispute_chore(&next);
            return Ok(Step::Written(vec![next.write(), self.engine().no_chore(&chore)]));
        }
        let payment = self.payment_of_dispute(&dispute).await?;
        let looked = self.ask(dispute, &payment).await?;
        // Where it has ended, its timer has gone with it.
        Ok(if looked.body.step.is_none() { Step::Written(Vec::new()) } else { Step::Again })
    }
}

/// Whether this very answer is on its way or in doubt; another one has to wait.
fn is_under_way(dispute: &Dispute, reply: &Reply) -> Result<bool, Fault> {
    let Some(step) = &dispute.step else { return Ok(false) };
    if step.action == reply.action() && step.evidence == reply.evidence() {
        return Ok(true);
    }
    Err(Fault::Precondition(format!(
        "This dispute is being {}; what came of that is not known yet",
        participle(step.action)
    )))
}

/// What a provider has shown that says it has carried an answer out, wherever its own status is still behind.
fn carried_out(step: &Answering, shown: &DisputeFacts) -> DisputeFacts {
    let status = match (step.action, shown.status) {
        (DisputeAction::Submit, DisputeStatus::Opened) => DisputeStatus::Challenged,
        (DisputeAction::Accept, DisputeStatus::Opened | DisputeStatus::Challenged) => {
            DisputeStatus::Accepted
        }
        (_, status) => status,
    };
    DisputeFacts { status, ..shown.clone() }
}

/// Takes back a plan that has come to nothing. Under the same key the client is to be able to try again.
fn give_back(dispute: &mut Dispute) {
    if dispute.step.take().is_some_and(|step| step.keyed) {
        dispute.keys.forget_last();
    }
}

fn doubt(dispute: &mut Dispute, step: &Answering, why: &str) {
    if let Some(open) = dispute.step.as_mut().filter(|open| open.key == step.key) {
        open.doubt = Some(why.to_owned());
    }
}
