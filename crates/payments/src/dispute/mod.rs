//! Disputes: what a provider has told of one, and what the merchant answers.
//!
//! A dispute is a document of its own, made by the first that is heard of it, and belongs to the intent whose payment is
//! disputed. Guarantees: however often and in whatever order things are told, a dispute goes forward only (`hear`); what
//! changes it, the row by which it is listed, and the message that tells of it are one commit; giving in and sending
//! evidence are planned in the store before they are sent, are sent once by the request's task, and are looked up where
//! their answer is lost (`answer`). Left out: files, and disputes of payments that are no intent's.

mod answer;
mod hear;
mod tell;

use std::sync::Arc;

use baton_connect::{DisputeAction, DisputeStage, DisputeStatus, Evidence};
use baton_engine::EngineError;
use baton_flow::{Payment, amounts};
use baton_store::{ListQuery, ListedRow, Write};
use baton_types::{MerchantId, Money, PaymentId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::document::{Document, Stored};
use crate::fault::Fault;
use crate::intent::Seen;
use crate::key::{self, Keys};
use crate::service::{Merchant, Payments};

pub(crate) use answer::DISPUTE;
pub use tell::DisputeHeard;

/// How often a write is tried again because another writer was first.
const TRIES: usize = 5;

/// A dispute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispute {
    /// Our id, which follows from the account and the provider's id.
    pub id: String,
    /// The intent.
    pub intent: String,
    /// The intent's profile.
    pub profile: String,
    /// The payment that the intent has made.
    pub payment: PaymentId,
    /// The attempt within the payment.
    pub attempt: u16,
    /// Its number among all attempts of the intent, from 1.
    pub number: usize,
    /// The connector's account that it was paid through.
    pub account: String,
    /// The contract's name of the connector.
    pub connector: String,
    /// The provider's id.
    pub reference: String,
    /// How much is disputed.
    pub amount: Money,
    /// How far it has come.
    pub stage: DisputeStage,
    /// How it stands there.
    pub status: DisputeStatus,
    /// The provider's own word for that.
    pub word: String,
    /// Why, in the provider's words.
    pub reason: Option<String>,
    /// The scheme's code for it.
    pub reason_code: Option<String>,
    /// Until when the merchant can answer.
    pub respond_by: Option<Timestamp>,
    /// When it began at the provider.
    pub opened_at: Option<Timestamp>,
    /// When the provider last told of a change, by its own clock.
    pub told_at: Option<Timestamp>,
    /// What the merchant has said, once the provider has it.
    #[serde(default, skip_serializing_if = "Evidence::is_empty")]
    pub evidence: Evidence,
    /// The answer that is on its way, or whose outcome is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Answering>,
    /// How many answers were planned: part of the key under which one is sent.
    #[serde(default)]
    pub(crate) steps: u32,
    /// How many messages have told of it.
    #[serde(default)]
    pub(crate) messages: u64,
    /// The clients' keys under which it was answered.
    #[serde(default)]
    pub(crate) keys: Keys,
}

/// An answer that is planned. Whoever finds one in the store only looks up what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answering {
    /// Accept or submit.
    pub action: DisputeAction,
    /// The key under which it is sent.
    pub key: String,
    /// What is said.
    #[serde(default, skip_serializing_if = "Evidence::is_empty")]
    pub evidence: Evidence,
    /// When it was planned.
    pub planned_at: Timestamp,
    /// When its first byte left at the latest.
    pub send_by: Timestamp,
    /// How long after that it may still be carried out, in milliseconds.
    pub in_flight_ms: i64,
    /// Whether it came with a client's key, which is the last that the dispute remembers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keyed: bool,
    /// Why its outcome is not known; absent while it is on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<String>,
}

impl Answering {
    /// From when on a provider that does not show it has not carried it out and will not.
    #[must_use]
    pub fn absent_from(&self) -> Timestamp {
        self.send_by.plus_millis(self.in_flight_ms)
    }
}

impl Document for Dispute {
    const KIND: &'static str = "dispute";

    fn id(&self) -> &str {
        &self.id
    }

    fn owner(&self) -> &str {
        &self.intent
    }

    fn status(&self) -> &str {
        self.status.as_str()
    }
}

impl Dispute {
    /// The id of what an account's provider calls so: whoever hears of it first makes the same one.
    fn id_of(account: &str, reference: &str) -> String {
        let hash = key::hash(&[account, reference]);
        format!("dp_{}", hash.get(..26).unwrap_or(&hash))
    }

    /// 16 bytes that stand for it where a payment's id is wanted: of its timer, and of the order of its messages.
    fn place(&self) -> PaymentId {
        let hash = key::hash(&["dispute", &self.id]);
        let mut bytes = [0_u8; 16];
        for (byte, pair) in bytes.iter_mut().zip(hash.as_bytes().chunks(2)) {
            let text = std::str::from_utf8(pair).unwrap_or_default();
            *byte = u8::from_str_radix(text, 16).unwrap_or_default();
        }
        PaymentId::from_bytes(bytes)
    }

    /// Whether what was disputed and lost, with what was refunded, is more than what was captured.
    fn is_refunded_too(&self, payment: &Payment) -> bool {
        let Some(sums) = amounts::of(payment) else { return false };
        let is_gone = match self.status {
            DisputeStatus::Accepted | DisputeStatus::Lost | DisputeStatus::Expired => true,
            DisputeStatus::Opened
            | DisputeStatus::Challenged
            | DisputeStatus::Won
            | DisputeStatus::Cancelled => false,
        };
        let is_money_taken = self.stage != DisputeStage::PreDispute;
        let both = self.amount.checked_add(sums.refunded);
        is_gone && is_money_taken && both.is_ok_and(|both| both.minor() > sums.captured.minor())
    }
}

/// What a dispute is listed by. Its stage stands where a payment has its method, its reason where a payment has the
/// merchant's reference.
fn listed(dispute: &Stored<Dispute>) -> Write {
    let body = &dispute.body;
    Write::Listed(ListedRow {
        merchant: dispute.merchant,
        kind: Dispute::KIND.to_owned(),
        id: body.id.clone(),
        payment: Some(body.payment),
        call: None,
        owner: body.intent.clone(),
        profile: body.profile.clone(),
        several: false,
        status: body.status.as_str().to_owned(),
        currency: body.amount.currency().code().to_owned(),
        amount: body.amount.minor(),
        account: Some(body.account.clone()),
        connector: Some(body.connector.clone()),
        method: Some(body.stage.as_str().to_owned()),
        method_type: None,
        authentication: None,
        network: None,
        reference: body.reason.clone(),
        created_at: dispute.created_at,
    })
}

/// A dispute with the payment that it is of.
#[derive(Clone, Debug)]
pub struct DisputeSeen {
    /// The dispute.
    pub dispute: Stored<Dispute>,
    /// Whether what was disputed and lost, with what was refunded, is more than what was captured.
    pub refunded_too: bool,
}

impl DisputeSeen {
    fn new(dispute: Stored<Dispute>, payment: &Payment) -> Self {
        let refunded_too = dispute.body.is_refunded_too(payment);
        Self { dispute, refunded_too }
    }
}

impl Payments {
    async fn load_dispute(
        &self,
        merchant: MerchantId,
        id: &str,
    ) -> Result<Option<Stored<Dispute>>, Fault> {
        self.load::<Dispute>(merchant, id).await
    }

    async fn own_dispute(
        &self,
        merchant: &Merchant,
        id: &str,
    ) -> Result<(Stored<Dispute>, Arc<Payment>), Fault> {
        let missing = || Fault::NotFound("dispute");
        let found = self.load_dispute(merchant.caller.merchant, id).await?;
        let found = found.filter(|found| merchant.sees(&found.body.profile)).ok_or_else(missing)?;
        // One of the other mode is not there for this key.
        let payment = self.engine().payment(merchant.caller, found.body.payment).await;
        let payment = payment.map_err(|error| {
            if error == EngineError::NotFound { missing() } else { Fault::Engine(error) }
        })?;
        Ok((found, payment))
    }

    /// A dispute as it is stored.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn see_dispute(&self, merchant: &Merchant, id: &str) -> Result<DisputeSeen, Fault> {
        let (dispute, payment) = self.own_dispute(merchant, id).await?;
        Ok(DisputeSeen::new(dispute, &payment))
    }

    /// The disputes of an intent, in the order in which they were heard of.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn disputes_of_intent(
        &self,
        merchant: &Merchant,
        seen: &Seen,
    ) -> Result<Vec<Stored<Dispute>>, Fault> {
        let mut disputes = Vec::new();
        for id in &seen.intent.body.disputes {
            disputes.extend(self.load_dispute(merchant.caller.merchant, id).await?);
        }
        Ok(disputes)
    }

    /// All of a merchant's disputes, to be restricted. What they belong to is their intent; their stage is the list's
    /// method, their reason its reference.
    #[must_use]
    pub fn disputes_of(merchant: &Merchant) -> ListQuery {
        Self::all_of(merchant, Dispute::KIND)
    }

    /// A page of disputes.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn list_disputes(
        &self,
        merchant: &Merchant,
        query: &ListQuery,
    ) -> Result<Vec<DisputeSeen>, Fault> {
        let page = self.engine().store().lists().listed(query).await?;
        page.iter()
            .map(|(document, payment)| {
                let payment = payment.as_ref().ok_or(EngineError::NotFound)?;
                let payment = self.payment_of(merchant, payment)?;
                Ok(DisputeSeen::new(Stored::read(document)?, &payment))
            })
            .collect()
    }
}
