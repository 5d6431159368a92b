//! One step of a payment: an input comes in, and everything that follows from it is decided at once.

use baton_types::outcome::{Finding, Outcome};
use baton_types::{AccountId, Currency, Money, Timestamp};
use serde::{Deserialize, Serialize};

use crate::call::{CallId, Closure, Owner};
use crate::draft::Draft;
use crate::evidence::Evidence;
use crate::payment::{OrderKind, Payment};
use crate::settle::Settlement;
use crate::truth::Contradiction;

/// Most captures, most voids, most refunds and most raises that one payment can have: it bounds the snapshot.
pub(crate) const MODIFICATIONS_MAX: usize = 500;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The payment is opened.
    Begin,
    /// A call gave this outcome.
    Outcome {
        /// The call.
        call: CallId,
        /// Its outcome.
        outcome: Outcome,
    },
    /// A look-up showed this.
    Finding {
        /// The call that was looked up.
        call: CallId,
        /// What was shown.
        finding: Finding,
    },
    /// A timer came due, or the call was found after a restart: whoever planned it is gone.
    Due {
        /// The call.
        call: CallId,
    },
    /// The provider was not asked about an open call, because it was asked too much or does not answer.
    Unasked {
        /// The call.
        call: CallId,
        /// When it may be asked, at the earliest.
        until: Timestamp,
    },
    /// An operator has found out what became of a call in doubt.
    Settle {
        /// The call.
        call: CallId,
        /// What became of it.
        how: Settlement,
        /// Who says so.
        by: String,
        /// How they know.
        reason: String,
    },
    /// The merchant wants to capture.
    Capture {
        /// How much.
        amount: Money,
    },
    /// The merchant wants to hold more.
    Increment {
        /// The new total.
        amount: Money,
    },
    /// The merchant wants to void.
    Void,
    /// The merchant wants to refund.
    Refund {
        /// How much.
        amount: Money,
    },
}

/// What a step may know beside the payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The time.
    pub now: Timestamp,
    /// The process that steps.
    pub owner: Owner,
    /// How long a planned call may wait for its first byte, in milliseconds.
    pub send_window_ms: i64,
    /// Whether the request's own task is stepping: it alone holds the card, and it alone may send an
    /// attempt.
    pub live: bool,
    /// What a finding or an outcome rests on.
    pub evidence: Option<Evidence>,
}

/// What a step decided. Nothing of it has happened yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The payment after the step; its version is set when it is committed.
    pub next: Payment,
    /// What happened, for the record.
    pub events: Vec<Event>,
    /// Timers to set and clear in the same commit.
    pub timers: Vec<Timer>,
    /// What to do once the commit is durable.
    pub effects: Vec<Effect>,
}

/// Something that happened to a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The payment was opened.
    Opened {
        /// What is to be done.
        order: OrderKind,
        /// The merchant's reference.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        merchant_ref: Option<String>,
    },
    /// A call is planned; it is sent once this is durable.
    Planned {
        /// The call.
        call: CallId,
        /// Where it goes.
        account: AccountId,
        /// Our reference at the provider.
        reference: String,
        /// How much it asks for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        amount: Option<Money>,
    },
    /// A call is open: money can still move.
    InDoubt {
        /// The call.
        call: CallId,
        /// Why.
        outcome: Outcome,
    },
    /// A call is concluded.
    Concluded {
        /// The call.
        call: CallId,
        /// How.
        outcome: Outcome,
    },
    /// An open call can no longer move money.
    Closed {
        /// The call.
        call: CallId,
        /// Why.
        how: Closure,
    },
    /// An attempt in doubt is to be voided: the next one is made beside it.
    Obliged {
        /// The attempt.
        call: CallId,
        /// When at the latest, if it does not win.
        due_at: Timestamp,
    },
    /// An operator has settled a call by hand; what follows from it is an event of its own.
    Settled {
        /// The call.
        call: CallId,
        /// What became of it.
        how: Settlement,
        /// Who says so.
        by: String,
        /// How they know.
        reason: String,
    },
    /// The provider has said something else about a call than was concluded. Changes nothing.
    Contradicted {
        /// The call.
        call: CallId,
        /// How it contradicts the conclusion.
        what: Contradiction,
        /// What was said.
        #[serde(flatten)]
        finding: Finding,
        /// The incident that was opened for it.
        incident: String,
    },
    /// What the next event rests on.
    Evidence {
        /// The call.
        call: CallId,
        /// The answer.
        evidence: Evidence,
    },
    /// A look-up gave evidence that settles nothing yet.
    Checked {
        /// The call.
        call: CallId,
        /// The evidence.
        #[serde(flatten)]
        finding: Finding,
    },
}

/// A change to the payment's timers. A call that is not concluded has one timer, and a concluded one has
/// none, but for an approved attempt that is still to be voided or captured: its timer tries that again; and for a
/// failed one behind which the request's own task may still try another: its timer says when that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Feed [`Input::Due`] at this time.
    Set {
        /// The call.
        call: CallId,
        /// When.
        at: Timestamp,
    },
    /// No longer needed.
    Clear {
        /// The call.
        call: CallId,
    },
}

/// What to do once the step is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send a planned call. Only the task that planned it may, and never from a stored row.
    Call(CallId),
    /// Send an open call again, with the same key and the same bytes, before `replay_until`. Its provider
    /// executes it once. Anyone may who can make those bytes: never a card's call whose own task is gone.
    Replay(CallId),
    /// Ask the provider about an open call. Moves no money; anyone may.
    LookUp(CallId),
}

/// Why an input is refused. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The payment was opened before.
    AlreadyBegun,
    /// There is no such call.
    NoSuchCall,
    /// The call is concluded; what arrives now changes nothing.
    Concluded,
    /// It must not be settled by hand like this: why.
    CannotSettle(&'static str),
    /// Nothing was approved that this could act on.
    NothingApproved,
    /// An outcome that this depends on is not known yet.
    InDoubt(CallId),
    /// It has been voided.
    AlreadyVoided,
    /// It has been captured; a void would be a refund.
    AlreadyCaptured,
    /// It has been refunded, at least in part.
    AlreadyRefunded,
    /// A charge is captured from the start; a token holds nothing.
    NothingToCapture,
    /// Amounts are greater than zero.
    NotPositive,
    /// The payment has another currency.
    WrongCurrency {
        /// The payment's.
        expected: Currency,
    },
    /// More than is there.
    TooMuch {
        /// What is there.
        available: Money,
    },
    /// The provider that holds it cannot hold more.
    CannotIncrement,
    /// A raise asks for a new total, which is more than what is held.
    NotMore {
        /// What is held.
        held: Money,
    },
    /// The payment has as many captures, voids or refunds as it can have.
    TooMany,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AlreadyBegun => f.write_str("the payment has been opened before"),
            Self::NoSuchCall => f.write_str("the payment has no such call"),
            Self::Concluded => f.write_str("the call is concluded"),
            Self::CannotSettle(why) => f.write_str(why),
            Self::NothingApproved => f.write_str("the payment has no approved transaction"),
            Self::InDoubt(call) => {
                write!(f, "the outcome of an earlier request ({call}) is not known yet")
            }
            Self::AlreadyVoided => f.write_str("the transaction has been voided"),
            Self::AlreadyCaptured => {
                f.write_str("the authorization has been captured; refund it instead")
            }
            Self::AlreadyRefunded => f.write_str("the transaction has been refunded"),
            Self::NothingToCapture => {
                f.write_str("there is nothing to capture: a charge is captured from the start")
            }
            Self::NotPositive => f.write_str("the amount must be greater than zero"),
            Self::WrongCurrency { expected } => {
                write!(f, "the transaction's currency is {expected}")
            }
            Self::TooMuch { available } => {
                write!(f, "the amount exceeds what is there: {available}")
            }
            Self::CannotIncrement => {
                f.write_str("the provider of this authorization cannot raise it")
            }
            Self::NotMore { held } => {
                write!(f, "the new total has to be more than what is held: {held}")
            }
            Self::TooMany => write!(f, "a payment has at most {MODIFICATIONS_MAX} of these"),
        }
    }
}

impl std::error::Error for Refusal {}

/// Decides what follows from an input.
///
/// # Errors
/// The input does not fit the payment as it stands. Nothing has changed then.
pub fn step(payment: &Payment, input: Input, facts: &Facts) -> Result<Step, Refusal> {
    let mut draft = Draft::new(payment, facts);
    match input {
        Input::Begin => draft.begin()?,
        Input::Outcome { call, outcome } => draft.outcome(call, outcome)?,
        Input::Finding { call, finding } => draft.finding(call, finding)?,
        Input::Due { call } => draft.due(call)?,
        Input::Unasked { call, until } => draft.unasked(call, until)?,
        Input::Settle { call, how, by, reason } => draft.settle(call, how, by, reason)?,
        Input::Capture { amount } => draft.capture(amount)?,
        Input::Increment { amount } => draft.increment(amount)?,
        Input::Void => draft.void()?,
        Input::Refund { amount } => draft.refund(amount)?,
    }
    // A look-up may take longer than a call may wait.
    draft.step.effects.sort_by_key(|effect| match effect {
        Effect::Call(_) => 0,
        Effect::Replay(_) => 1,
        Effect::LookUp(_) => 2,
    });
    Ok(draft.step)
}
