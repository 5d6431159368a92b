//! One payment as a state machine. Pure: time and ids arrive as arguments.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::card::Card;
use super::dispute::{Dispute, NewDispute};
use crate::clock::Id;
use crate::codes::DeclineCode;
use crate::dialect::Dialect;

/// What a challenge that was not passed is declined with.
pub(crate) const UNAUTHENTICATED: &str = "authentication_failed";

/// How the sandbox's issuer answers an authorisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Approve,
    /// Approved for less; `None` is half of the amount.
    Partial {
        authorized: Option<i64>,
    },
    Decline(DeclineCode),
    /// Accepted; approved, or declined with `then`, after the delay.
    Pending {
        after_ms: u64,
        then: Option<DeclineCode>,
    },
    /// The shopper must act; an abandoned challenge can never be completed.
    Challenge {
        abandoned: bool,
        /// When the issuer gives up waiting for the shopper and declines, if it does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gives_up_ms: Option<u64>,
    },
}

/// How a payment was last answered. `voided` is separate: it says that the money was released since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// Made but not yet attempted; no money can move (Stripe's unconfirmed intents).
    Created,
    Pending,
    ActionRequired,
    Authorized,
    Captured,
    Declined,
}

/// One authorisation attempt. Only Stripe's dialect has more than one per payment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) id: Id,
    pub(crate) at_ms: i64,
    /// Absent where the shopper pays on another page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) card: Option<Card>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) decline: Option<DeclineCode>,
    /// When a pending attempt, or a challenge, concludes by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) settles_ms: Option<i64>,
    /// What a pending attempt concludes with; `None` is approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) settles_with: Option<DeclineCode>,
    /// The shopper has done with the challenge, and the merchant has not brought the result yet.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) answered: bool,
    /// The shopper has left the challenge.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) abandoned: bool,
}

impl Attempt {
    /// The issuer's approval code, six characters; meaningful for an approved attempt only.
    pub(crate) fn auth_code(&self) -> &str {
        self.id.as_str().get(10..).unwrap_or("")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Capture,
    Void,
    Refund,
    /// A raise of what is held; its amount is the new total.
    Increment,
}

/// How a modification was addressed; Adyen's notifications tell these apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Route {
    #[default]
    ById,
    ByReference,
    Reversal,
}

/// A capture, void or refund, also a failed one (which moved nothing).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Operation {
    pub(crate) id: Id,
    pub(crate) kind: Kind,
    pub(crate) reference: String,
    pub(crate) amount: i64,
    pub(crate) at_ms: i64,
    /// Why it failed: a decline code or a [`Refusal`] code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<String>,
    #[serde(default)]
    pub(crate) route: Route,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) metadata: Map<String, Value>,
}

/// What a dialect asks of a capture, void or refund.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ask {
    pub(crate) reference: String,
    /// `None` is all that is left.
    pub(crate) amount: Option<i64>,
    pub(crate) route: Route,
    pub(crate) reason: Option<String>,
    pub(crate) metadata: Map<String, Value>,
    /// The scripted failure, if any.
    pub(crate) decline: Option<DeclineCode>,
}

/// What the dialects remember of a payment; the rules of this module never read it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) return_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cancellation_reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) merchant_account: Option<String>,
    /// A sale that its dialect may still cancel.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) capture_delayed: bool,
    /// What a Stripe intent is paid with that is no card, by Stripe's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) elsewhere: Option<String>,
    /// The stored card that a Stripe intent will be confirmed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<Id>,
    /// The payer lets the merchant ask again without them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) reusable: bool,
    /// A Setup Intent of Stripe's: it has no amount.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) verification: bool,
}

/// What a new payment is made of.
#[derive(Clone, Debug)]
pub(crate) struct NewPayment {
    pub(crate) dialect: Dialect,
    pub(crate) reference: String,
    pub(crate) key: Option<String>,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) sale: bool,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) settings: Settings,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Payment {
    pub(crate) id: Id,
    pub(crate) dialect: Dialect,
    pub(crate) reference: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    pub(crate) created_ms: i64,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) sale: bool,
    pub(crate) status: Status,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) voided: bool,
    pub(crate) authorized: i64,
    pub(crate) captured: i64,
    pub(crate) refunded: i64,
    #[serde(default)]
    pub(crate) attempts: Vec<Attempt>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) operations: Vec<Operation>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) disputes: Vec<Dispute>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) metadata: Map<String, Value>,
    #[serde(default)]
    pub(crate) settings: Settings,
}

/// A request that the books refuse. Nothing was attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotFound,
    ReferenceCancelled,
    NotConfirmable,
    NotCapturable,
    ExceedsCapturable,
    NotVoidable,
    NotRefundable,
    ExceedsRefundable,
    NotRaisable,
    NotDisputable,
    DisputeNotOpen,
}

impl Refusal {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Refusal::NotFound => "not_found",
            Refusal::ReferenceCancelled => "reference_cancelled",
            Refusal::NotConfirmable => "not_confirmable",
            Refusal::NotCapturable => "not_capturable",
            Refusal::ExceedsCapturable => "amount_exceeds_capturable",
            Refusal::NotVoidable => "not_voidable",
            Refusal::NotRefundable => "not_refundable",
            Refusal::ExceedsRefundable => "amount_exceeds_refundable",
            Refusal::NotRaisable => "not_raisable",
            Refusal::NotDisputable => "not_disputable",
            Refusal::DisputeNotOpen => "dispute_not_open",
        }
    }

    pub(crate) fn message(self) -> &'static str {
        match self {
            Refusal::NotFound => "No such object in this account.",
            Refusal::ReferenceCancelled => "This reference was cancelled; it is never charged.",
            Refusal::NotConfirmable => "The payment's state does not allow an attempt.",
            Refusal::NotCapturable => "The payment holds nothing to capture.",
            Refusal::ExceedsCapturable => "More than is left to capture.",
            Refusal::NotVoidable => "The payment's state does not allow a void.",
            Refusal::NotRefundable => "The payment has nothing to refund.",
            Refusal::ExceedsRefundable => "More than is left to refund.",
            Refusal::NotRaisable => "The payment holds nothing that this would raise.",
            Refusal::NotDisputable => "The payment has nothing that could be disputed.",
            Refusal::DisputeNotOpen => "The dispute's state does not allow this.",
        }
    }
}

/// The id and time of what is about to be recorded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) id: Id,
    pub(crate) now_ms: i64,
}

impl Payment {
    pub(crate) fn new(stamp: Stamp, new: NewPayment) -> Payment {
        Payment {
            id: stamp.id,
            dialect: new.dialect,
            reference: new.reference,
            key: new.key,
            created_ms: stamp.now_ms,
            amount: new.amount,
            currency: new.currency,
            sale: new.sale,
            status: Status::Created,
            voided: false,
            authorized: 0,
            captured: 0,
            refunded: 0,
            attempts: Vec::new(),
            operations: Vec::new(),
            disputes: Vec::new(),
            metadata: new.metadata,
            settings: new.settings,
        }
    }

    /// What a capture can still take.
    pub(crate) fn capturable(&self) -> i64 {
        match self.status {
            Status::Authorized if !self.voided => self.authorized - self.captured,
            Status::Authorized
            | Status::Captured
            | Status::Created
            | Status::Pending
            | Status::ActionRequired
            | Status::Declined => 0,
        }
    }

    /// What a refund can still return.
    pub(crate) fn refundable(&self) -> i64 {
        self.captured - self.refunded
    }

    /// Whether it takes or holds the shopper's money now.
    pub(crate) fn is_live(&self) -> bool {
        self.refundable() > 0 || self.capturable() > 0
    }

    /// Whether it concludes by itself at some time.
    pub(crate) fn settles(&self) -> bool {
        let waits = matches!(self.status, Status::Pending | Status::ActionRequired);
        waits && !self.voided && self.attempt().is_some_and(|attempt| attempt.settles_ms.is_some())
    }

    /// Whether the issuer has said yes, released since or not.
    pub(crate) fn is_approved(&self) -> bool {
        matches!(self.status, Status::Authorized | Status::Captured)
    }

    pub(crate) fn attempt(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    pub(crate) fn operation(&self, id: Id) -> Option<&Operation> {
        self.operations.iter().find(|operation| operation.id == id)
    }

    /// Asks the issuer. A declined payment may be attempted again in Stripe's dialect only.
    pub(crate) fn authorize(
        &mut self,
        stamp: Stamp,
        card: Option<Card>,
        verdict: &Verdict,
    ) -> Result<(), Refusal> {
        let again = self.status == Status::Declined && self.is_retryable();
        if self.voided || !(again || self.status == Status::Created) {
            return Err(Refusal::NotConfirmable);
        }
        self.attempts.push(Attempt {
            id: stamp.id,
            at_ms: stamp.now_ms,
            card,
            decline: None,
            settles_ms: None,
            settles_with: None,
            answered: false,
            abandoned: false,
        });
        match verdict {
            Verdict::Approve => self.approve(self.amount),
            Verdict::Partial { authorized } => {
                let part = authorized.unwrap_or(self.amount / 2);
                self.approve(part.clamp(self.amount.min(1), self.amount));
            }
            Verdict::Decline(code) => self.decline(*code),
            Verdict::Pending { after_ms, then } => {
                self.status = Status::Pending;
                if let Some(attempt) = self.attempts.last_mut() {
                    let after_ms = i64::try_from(*after_ms).unwrap_or(i64::MAX);
                    attempt.settles_ms = Some(stamp.now_ms.saturating_add(after_ms));
                    attempt.settles_with = *then;
                }
            }
            Verdict::Challenge { abandoned, gives_up_ms } => {
                self.status = Status::ActionRequired;
                if let Some(attempt) = self.attempts.last_mut() {
                    attempt.abandoned = *abandoned;
                    let at =
                        |ms| stamp.now_ms.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX));
                    attempt.settles_ms = gives_up_ms.map(at);
                    attempt.settles_with = gives_up_ms.and(DeclineCode::find(UNAUTHENTICATED));
                }
            }
        }
        Ok(())
    }

    fn is_retryable(&self) -> bool {
        self.dialect == Dialect::Stripe
    }

    fn approve(&mut self, authorized: i64) {
        self.authorized = authorized;
        self.status = Status::Authorized;
        if self.sale {
            self.captured = authorized;
            self.status = Status::Captured;
        }
    }

    fn decline(&mut self, code: DeclineCode) {
        self.status = Status::Declined;
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.decline = Some(code);
        }
    }

    /// Ends a pending or challenged attempt. False if there is none: it was voided or ended before.
    pub(crate) fn conclude(&mut self, decline: Option<DeclineCode>) -> bool {
        let open = matches!(self.status, Status::Pending | Status::ActionRequired);
        if !open || self.voided {
            return false;
        }
        match decline {
            None => self.approve(self.amount),
            Some(code) => self.decline(code),
        }
        true
    }

    /// Captures all or part. `last` releases what is left.
    pub(crate) fn capture(
        &mut self,
        stamp: Stamp,
        ask: Ask,
        last: bool,
    ) -> Result<Operation, Refusal> {
        let left = self.capturable();
        if left == 0 {
            return Err(Refusal::NotCapturable);
        }
        let amount = ask.amount.unwrap_or(left);
        if !(1..=left).contains(&amount) {
            return Err(Refusal::ExceedsCapturable);
        }
        if ask.decline.is_none() {
            self.captured += amount;
            if last || self.captured == self.authorized {
                self.status = Status::Captured;
            }
        }
        Ok(self.record(stamp, Kind::Capture, amount, ask))
    }

    /// Releases an uncaptured hold, reverses a sale while it is unsettled, or closes what is open.
    pub(crate) fn void(&mut self, stamp: Stamp, ask: Ask) -> Result<Operation, Refusal> {
        if self.voided {
            return Err(Refusal::NotVoidable);
        }
        let amount = match self.status {
            Status::Created | Status::Pending | Status::ActionRequired => self.amount,
            Status::Authorized if self.captured == 0 => self.authorized,
            Status::Captured if self.sale && self.refunded == 0 => self.captured,
            Status::Declined if self.is_retryable() => self.amount,
            Status::Authorized | Status::Captured | Status::Declined => {
                return Err(Refusal::NotVoidable);
            }
        };
        if ask.decline.is_none() {
            self.voided = true;
            self.captured = 0;
        }
        Ok(self.record(stamp, Kind::Void, amount, ask))
    }

    /// Returns all or part of what was captured.
    pub(crate) fn refund(&mut self, stamp: Stamp, ask: Ask) -> Result<Operation, Refusal> {
        let left = self.refundable();
        if left == 0 {
            return Err(Refusal::NotRefundable);
        }
        let amount = ask.amount.unwrap_or(left);
        if !(1..=left).contains(&amount) {
            return Err(Refusal::ExceedsRefundable);
        }
        if ask.decline.is_none() {
            self.refunded += amount;
        }
        Ok(self.record(stamp, Kind::Refund, amount, ask))
    }

    /// Holds a new total, which is more, as long as nothing is captured.
    pub(crate) fn increment(&mut self, stamp: Stamp, ask: Ask) -> Result<Operation, Refusal> {
        let holds = self.capturable() > 0 && self.captured == 0;
        let amount = ask.amount.filter(|amount| holds && *amount > self.amount);
        let amount = amount.ok_or(Refusal::NotRaisable)?;
        if ask.decline.is_none() {
            (self.amount, self.authorized) = (amount, amount);
        }
        Ok(self.record(stamp, Kind::Increment, amount, ask))
    }

    /// What is captured and not disputed yet.
    pub(crate) fn disputable(&self) -> i64 {
        self.captured - self.disputes.iter().map(|dispute| dispute.amount).sum::<i64>()
    }

    /// The shopper wants money back from the issuer.
    pub(crate) fn dispute(&mut self, stamp: Stamp, new: &NewDispute) -> Result<Dispute, Refusal> {
        let left = self.disputable();
        let amount = new.amount.unwrap_or(left);
        if left <= 0 || !(1..=left).contains(&amount) {
            return Err(Refusal::NotDisputable);
        }
        let dispute = Dispute::new(stamp, amount, new);
        self.disputes.push(dispute.clone());
        Ok(dispute)
    }

    /// Records a modification that was accepted for later and then refused by the books.
    pub(crate) fn record_refused(
        &mut self,
        stamp: Stamp,
        kind: Kind,
        ask: Ask,
        refusal: Refusal,
    ) -> Operation {
        let amount = ask.amount.unwrap_or(self.amount);
        let mut operation = self.record(stamp, kind, amount, ask);
        operation.failure = Some(refusal.code().to_owned());
        if let Some(last) = self.operations.last_mut() {
            last.failure.clone_from(&operation.failure);
        }
        operation
    }

    fn record(&mut self, stamp: Stamp, kind: Kind, amount: i64, ask: Ask) -> Operation {
        let operation = Operation {
            id: stamp.id,
            kind,
            reference: ask.reference,
            amount,
            at_ms: stamp.now_ms,
            failure: ask.decline.map(|decline| decline.row().code.to_owned()),
            route: ask.route,
            reason: ask.reason,
            metadata: ask.metadata,
        };
        self.operations.push(operation.clone());
        operation
    }
}

fn is_false(value: &bool) -> bool {
    !*value
}
