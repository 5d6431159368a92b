//! A payment: what was asked, every call made for it, and the amounts that follow from them.
//!
//! Nothing here is stored twice: how a payment stands is always derived from its calls.

use baton_types::outcome::Outcome;
use baton_types::{AccountId, MaskedCard, MerchantId, Money, PaymentId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::call::{Call, CallId, CallState, Closure};
use crate::failover::Next;
use crate::hold::{Cancel, Obligation};
use crate::increment::Increment;
use crate::mutation::mutated;

/// One payment and its whole history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// Its id.
    pub id: PaymentId,
    /// Whose it is.
    pub merchant: MerchantId,
    /// How many commits it has had; 0 before the first.
    pub version: u64,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// What was asked.
    pub order: Order,
    /// What another payment may not have in common with this one while it can still take money. Opaque
    /// here; emptied when it cannot any more, because it tells of the card.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<String>,
    /// One attempt per candidate tried, in order.
    #[serde(default)]
    pub attempts: Vec<Call>,
    /// Captures of an authorization.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub captures: Vec<Amounted>,
    /// Voids, asked for or owed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub voids: Vec<Void>,
    /// Refunds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refunds: Vec<Amounted>,
    /// Raises of what is held.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub increments: Vec<Increment>,
    /// Attempts that were promised to be voided before the next one left, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub obligations: Vec<Obligation>,
}

/// What a merchant asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// What is to be done.
    pub kind: OrderKind,
    /// The merchant's own reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merchant_ref: Option<String>,
    /// What may be kept of the card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<MaskedCard>,
    /// The accounts to try, in order.
    pub candidates: Vec<Candidate>,
    /// What to do about an attempt whose outcome is not known.
    pub doubt: DoubtMode,
    /// After which declines the next candidate may be tried.
    pub retry_declines: RetryDeclines,
    /// After this time no further candidate is tried: the shopper has left.
    pub failover_until: Timestamp,
    /// Moves no real money. What version 0.1 made, which did not say so, was for tests only.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub test: bool,
    /// Whether a payer is there to act on a challenge. If not, a challenge is cancelled at the provider.
    #[serde(default)]
    pub payer_present: bool,
    /// Was not made here: the provider was asked what it is, and nothing was sent for its attempt.
    #[serde(default, skip_serializing_if = "is_false")]
    pub imported: bool,
}

fn yes() -> bool {
    true
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}

fn is_true(value: &bool) -> bool {
    *value
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "amount", rename_all = "snake_case")]
pub enum OrderKind {
    /// Take an amount at once.
    Charge(Money),
    /// Hold an amount.
    Authorize(Money),
    /// Have the provider keep the card.
    Tokenize,
}

impl OrderKind {
    /// The amount asked for; a token has none.
    #[must_use]
    pub fn amount(self) -> Option<Money> {
        match self {
            Self::Charge(amount) | Self::Authorize(amount) => Some(amount),
            Self::Tokenize => None,
        }
    }

    /// The name as it is stored, logged and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Charge(_) => "charge",
            Self::Authorize(_) => "authorize",
            Self::Tokenize => "tokenize",
        }
    }
}

/// An account to try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The account.
    pub account: AccountId,
    /// Its name, as the merchant wrote it. Opaque here.
    pub label: String,
    /// Its gateway's name. Opaque here.
    pub gateway: String,
    /// How long after `send_by` a request may still take effect and stay unseen, in milliseconds: see
    /// [`quiet_ms`]. `None` where the provider has no look-up. A look-up that was asked earlier than that and
    /// answered later says nothing: whoever asks passes it on as inconclusive.
    pub quiet_ms: Option<i64>,
    /// How long the provider remembers a key, in milliseconds; `None` where it takes none.
    pub replay_ms: Option<i64>,
    /// Whether its credentials came with the request, so that there is no stored account.
    #[serde(default, skip_serializing_if = "is_false")]
    pub inline: bool,
    /// The client certificate that the request named for it. Opaque here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// How long after it was executed a request may stay unseen, in milliseconds: a part of `quiet_ms`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub index_lag_ms: i64,
    /// How the provider cancels a payment by our reference; `None` where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<Cancel>,
    /// Whether the provider can be asked to hold more than it holds.
    #[serde(default, skip_serializing_if = "is_false")]
    pub increments: bool,
}

/// How long after `send_by` a look-up that finds nothing proves nothing, in milliseconds: the provider may still
/// execute the request, and then not show it yet; and whoever looks may have a clock that is ahead of the one
/// that `send_by` was read from.
#[must_use]
pub const fn quiet_ms(in_flight_ms: i64, index_lag_ms: i64, clocks_differ_ms: i64) -> i64 {
    in_flight_ms.saturating_add(index_lag_ms).saturating_add(clocks_differ_ms)
}

/// What to do about an attempt whose outcome is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DoubtMode {
    /// Resolve it first; try the next candidate only once it provably cannot take money.
    #[default]
    ResolveFirst,
    /// Attempts only hold; the next candidate may be tried while one is in doubt, and the losing hold is
    /// voided. See [`Payment::holds`].
    HoldSafe,
    /// Never try another candidate after an attempt that could still move money for a while, however it
    /// ended.
    Stop,
}

/// After which declines the next candidate may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryDeclines {
    /// After the issuer's decline.
    pub issuer: bool,
    /// After the provider's risk refusal.
    pub provider_risk: bool,
    /// After any other refusal of the provider's own.
    pub provider_other: bool,
}

impl RetryDeclines {
    /// What a list of accounts in the Gateway API means: an issuer's word is final everywhere, a risk
    /// refusal is not shopped around, a provider's own refusal is.
    pub const GATEWAY_LIST: Self =
        Self { issuer: false, provider_risk: false, provider_other: true };
}

/// A capture or refund.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amounted {
    /// How much was asked.
    pub amount: Money,
    /// The call.
    pub call: Call,
}

/// A void.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Void {
    /// Which attempt it voids, from 1.
    pub attempt: u16,
    /// Why.
    pub why: VoidReason,
    /// The call.
    pub call: Call,
}

/// Why an attempt is voided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VoidReason {
    /// The merchant asked.
    Requested,
    /// Less was approved than asked, and nobody opted in to that.
    PartialApproval,
    /// The payer would have to act, and none is there.
    ActionRequired,
    /// Another attempt goes before it, or it was in doubt for too long.
    LosingHold,
    /// The hold of a sale could not be captured.
    CaptureFailed,
    /// Nobody knows what became of it, and it is cancelled by our reference to find an end: see
    /// [`crate::cancel`].
    InDoubt,
}

/// How an attempt stands, its voids included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing<'a> {
    /// Planned; its owner is about to send it, is sending it, or is gone.
    Running,
    /// Money can still move.
    Open(&'a Outcome),
    /// Approved for this amount (a token for none), and not voided.
    Approved(Option<Money>),
    /// Nothing was taken: `NotSent`, `Refused`, `Declined`, or a token's call without an answer.
    Failed(&'a Outcome),
    /// Was open or approved, and can no longer take money.
    Closed(Closure),
}

/// How a payment stands for whoever asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// An attempt is on its way, or the next one may be.
    Running,
    /// This attempt's outcome is not known, or it is being voided, or has to be, and that is not done.
    InDoubt(u16),
    /// This attempt was approved. If the merchant has voided it since, it stands closed.
    Approved(u16),
    /// No attempt was approved, none can be any more, and no other one is tried.
    Failed(Failure<'a>),
}

/// Why a payment failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure<'a> {
    /// The last attempt, and what it gave.
    Attempt(u16, &'a Outcome),
    /// The last attempt, what closed it, and why we were voiding it if we were.
    Closed(u16, Closure, Option<VoidReason>),
    /// Nothing was tried.
    NotTried,
}

impl Payment {
    /// A payment before its first step.
    #[must_use]
    pub fn new(id: PaymentId, merchant: MerchantId, order: Order, now: Timestamp) -> Self {
        Self {
            id,
            merchant,
            version: 0,
            created_at: now,
            updated_at: now,
            order,
            guards: Vec::new(),
            attempts: Vec::new(),
            captures: Vec::new(),
            voids: Vec::new(),
            refunds: Vec::new(),
            increments: Vec::new(),
            obligations: Vec::new(),
        }
    }

    /// A call by its id.
    #[must_use]
    pub fn call(&self, id: CallId) -> Option<&Call> {
        match id {
            CallId::Attempt(no) => self.attempts.get(index(no)?),
            CallId::Capture(no) => self.captures.get(index(no)?).map(|c| &c.call),
            CallId::Void(no) => self.voids.get(index(no)?).map(|v| &v.call),
            CallId::Refund(no) => self.refunds.get(index(no)?).map(|r| &r.call),
            CallId::Increment(no) => self.increments.get(index(no)?).map(|i| &i.call),
        }
    }

    pub(crate) fn call_mut(&mut self, id: CallId) -> Option<&mut Call> {
        match id {
            CallId::Attempt(no) => self.attempts.get_mut(index(no)?),
            CallId::Capture(no) => self.captures.get_mut(index(no)?).map(|c| &mut c.call),
            CallId::Void(no) => self.voids.get_mut(index(no)?).map(|v| &mut v.call),
            CallId::Refund(no) => self.refunds.get_mut(index(no)?).map(|r| &mut r.call),
            CallId::Increment(no) => self.increments.get_mut(index(no)?).map(|i| &mut i.call),
        }
    }

    /// Every call, attempts first.
    pub fn calls(&self) -> impl Iterator<Item = (CallId, &Call)> {
        let attempts = numbered(&self.attempts).map(|(no, call)| (CallId::Attempt(no), call));
        let captures = numbered(&self.captures).map(|(no, c)| (CallId::Capture(no), &c.call));
        let voids = numbered(&self.voids).map(|(no, v)| (CallId::Void(no), &v.call));
        let refunds = numbered(&self.refunds).map(|(no, r)| (CallId::Refund(no), &r.call));
        let raises = numbered(&self.increments).map(|(no, i)| (CallId::Increment(no), &i.call));
        attempts.chain(captures).chain(voids).chain(refunds).chain(raises)
    }

    /// Keeps the request's template with its plan, so that both become durable in one commit. One that is only the
    /// first of a sequence cannot be sent again by itself, whatever keys its provider takes.
    pub fn attach_template(&mut self, id: CallId, template: String, is_whole: bool) {
        if let Some(call) = self.call_mut(id) {
            call.template = Some(template);
            call.replay_until = call.replay_until.filter(|_| is_whole);
        }
    }

    /// Keeps the provider's id of what a call made, learnt before its outcome was: a look-up asks by it.
    pub fn attach_learnt(&mut self, id: CallId, learnt: String) {
        if let Some(call) = self.call_mut(id) {
            call.learnt = Some(learnt);
        }
    }

    /// The candidate that an attempt was made at.
    #[must_use]
    pub fn candidate(&self, attempt: u16) -> Option<&Candidate> {
        self.order.candidates.get(index(attempt)?)
    }

    /// Which attempt a call belongs to.
    #[must_use]
    pub fn attempt_of(&self, id: CallId) -> Option<u16> {
        match id {
            CallId::Attempt(no) => Some(no),
            CallId::Void(no) => self.voids.get(index(no)?).map(|v| v.attempt),
            CallId::Capture(_) | CallId::Refund(_) | CallId::Increment(_) if self.holds() => {
                self.winner()
            }
            // The one attempt that was approved, even if the merchant has voided it since. One that we have voided ourselves
            // while it was in doubt took nothing, and another one was tried after it.
            CallId::Capture(_) | CallId::Refund(_) | CallId::Increment(_) => {
                numbered(&self.attempts)
                    .find(|(no, call)| was_approved(call) && !self.was_undone(*no))
                    .map(|(no, _)| no)
            }
        }
    }

    /// Whether an attempt was voided without the merchant's asking.
    fn was_undone(&self, attempt: u16) -> bool {
        let mut voids = self.voids_of(attempt);
        voids.any(|void| void.why != VoidReason::Requested && was_approved(&void.call))
    }

    /// The amount that a call asks for.
    #[must_use]
    pub fn amount_of(&self, id: CallId) -> Option<Money> {
        match id {
            CallId::Attempt(_) => self.order.kind.amount(),
            CallId::Capture(no) => self.captures.get(index(no)?).map(|c| c.amount),
            CallId::Refund(no) => self.refunds.get(index(no)?).map(|r| r.amount),
            CallId::Increment(no) => self.increments.get(index(no)?).map(|i| i.amount),
            CallId::Void(_) => None,
        }
    }

    /// How an attempt stands, its voids included.
    #[must_use]
    pub fn standing(&self, attempt: u16) -> Option<Standing<'_>> {
        let call = self.call(CallId::Attempt(attempt))?;
        Some(match &call.state {
            CallState::Planned => Standing::Running,
            CallState::Open { outcome } => Standing::Open(outcome),
            CallState::Final { outcome: Outcome::Approved { amount, .. }, .. } => {
                if self.voids_of(attempt).any(|void| was_approved(&void.call)) {
                    Standing::Closed(Closure::Voided)
                } else {
                    Standing::Approved(*amount)
                }
            }
            CallState::Final { outcome, .. } => Standing::Failed(outcome),
            CallState::Closed { how, .. } => Standing::Closed(*how),
        })
    }

    /// The attempt that stands approved, and its amount.
    #[must_use]
    pub fn approved(&self) -> Option<(u16, Option<Money>)> {
        if self.holds() {
            let no = self.winner()?;
            let Some(Standing::Approved(amount)) = self.standing(no) else { return None };
            return Some((no, amount));
        }
        numbered(&self.attempts).find_map(|(no, _)| match self.standing(no) {
            Some(Standing::Approved(amount)) => Some((no, amount)),
            _ => None,
        })
    }

    /// The voids that the payment owes by now: attempts that must not keep their holds, and why.
    pub fn owed_voids(&self, now: Timestamp) -> impl Iterator<Item = (u16, VoidReason)> {
        numbered(&self.attempts).filter_map(move |(no, _)| {
            let is_losing = || self.is_losing(no, now).then_some((no, VoidReason::LosingHold));
            self.unwanted(no).map(|why| (no, why)).or_else(is_losing)
        })
    }

    /// Why an attempt must not keep its hold, whatever the time is, though the merchant did not ask for that.
    fn unwanted(&self, no: u16) -> Option<VoidReason> {
        match self.standing(no)? {
            Standing::Open(_) | Standing::Approved(_) if self.has_lost(no) => {
                Some(VoidReason::LosingHold)
            }
            Standing::Approved(Some(amount)) if Some(amount) != self.order.kind.amount() => {
                Some(VoidReason::PartialApproval)
            }
            Standing::Approved(_) if self.winner() == Some(no) && self.has_failed_to_capture() => {
                Some(VoidReason::CaptureFailed)
            }
            Standing::Open(Outcome::ActionRequired { .. }) if !self.order.payer_present => {
                Some(VoidReason::ActionRequired)
            }
            // A void of ours is in doubt: it is approved or not, and must not stay between.
            Standing::Approved(_) => {
                let is_ours = |void: &&Void| {
                    let is_ignored = void.why == VoidReason::Requested
                        || (void.why == VoidReason::InDoubt && mutated("approve_beside_a_cancel"));
                    !is_ignored && !void.call.is_concluded()
                };
                self.voids_of(no).find(is_ours).map(|void| void.why)
            }
            Standing::Running | Standing::Open(_) | Standing::Failed(_) | Standing::Closed(_) => {
                None
            }
        }
    }

    pub(crate) fn voids_of(&self, attempt: u16) -> impl DoubleEndedIterator<Item = &Void> {
        self.voids.iter().filter(move |void| void.attempt == attempt)
    }

    /// Why a closed attempt was voided, or was being voided when it closed; `None` if nobody meant to.
    pub(crate) fn void_reason(&self, attempt: u16) -> Option<VoidReason> {
        let confirmed = self.voids_of(attempt).find(|void| was_approved(&void.call));
        confirmed.or(self.voids_of(attempt).last()).map(|void| void.why)
    }

    /// How the payment stands for whoever asked for it.
    #[must_use]
    pub fn verdict(&self) -> Verdict<'_> {
        let last = if self.holds() { self.verdict_of_holds() } else { self.verdict_of_attempts() };
        // Somebody else concluded the last attempt, and its request's own task may still try the next one.
        match (last, crate::failover::next(self, self.updated_at)) {
            (Verdict::Failed(_), Next::Try(_)) if !self.attempts.is_empty() => Verdict::Running,
            (last, Next::Try(_) | Next::Wait | Next::Stop(_)) => last,
        }
    }

    fn verdict_of_attempts(&self) -> Verdict<'_> {
        let mut last = Verdict::Failed(Failure::NotTried);
        for (no, _) in numbered(&self.attempts) {
            match self.standing(no) {
                None | Some(Standing::Running) => return Verdict::Running,
                Some(Standing::Open(_)) => return Verdict::InDoubt(no),
                Some(Standing::Approved(_)) if self.unwanted(no).is_some() => {
                    return Verdict::InDoubt(no);
                }
                Some(Standing::Approved(_)) => return Verdict::Approved(no),
                Some(Standing::Failed(outcome)) => {
                    last = Verdict::Failed(Failure::Attempt(no, outcome));
                }
                Some(Standing::Closed(how)) => match self.void_reason(no) {
                    // It was approved, and the merchant has voided it since.
                    Some(VoidReason::Requested) if self.was_taken(no) => {
                        return Verdict::Approved(no);
                    }
                    why => last = Verdict::Failed(Failure::Closed(no, how, why)),
                },
            }
        }
        last
    }

    /// The account that gave, or is to give, the final answer.
    #[must_use]
    pub fn deciding_account(&self) -> Option<AccountId> {
        let no = self.deciding_attempt()?;
        self.candidate(no).map(|candidate| candidate.account)
    }

    /// The attempt that gave, or is to give, the final answer; none before the first.
    #[must_use]
    pub fn deciding_attempt(&self) -> Option<u16> {
        let last = u16::try_from(self.attempts.len()).unwrap_or(u16::MAX);
        let no = match self.verdict() {
            Verdict::InDoubt(no) | Verdict::Approved(no) => no,
            Verdict::Failed(Failure::Attempt(no, _) | Failure::Closed(no, ..)) => no,
            Verdict::Running | Verdict::Failed(Failure::NotTried) => last,
        };
        (no > 0).then_some(no)
    }

    /// Whether an attempt was approved at some time, voided since or not.
    #[must_use]
    pub fn was_taken(&self, attempt: u16) -> bool {
        self.call(CallId::Attempt(attempt)).is_some_and(was_approved)
    }

    /// The attempt whose challenge waits for a payer. The merchant may give it up.
    #[must_use]
    pub fn awaited(&self) -> Option<u16> {
        let Verdict::InDoubt(no) = self.verdict() else { return None };
        match self.standing(no) {
            Some(Standing::Open(Outcome::ActionRequired { .. })) if self.order.payer_present => {
                Some(no)
            }
            _ => None,
        }
    }

    /// Whether what was asked for can still happen: it is under way, or in doubt.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        matches!(self.verdict(), Verdict::Running | Verdict::InDoubt(_))
    }

    /// Whether anything of the payment is in doubt or on its way.
    #[must_use]
    pub fn has_open_calls(&self) -> bool {
        self.calls().any(|(_, call)| !call.is_concluded())
    }

    /// The payment's status in one word, for lists and filters.
    #[must_use]
    pub fn status(&self) -> &'static str {
        match self.verdict() {
            Verdict::Running => "processing",
            Verdict::InDoubt(_) => "in_doubt",
            Verdict::Failed(_) => "failed",
            Verdict::Approved(no) => match self.standing(no) {
                Some(Standing::Closed(_)) => "voided",
                _ if self.order.kind.amount().is_none() => "tokenized",
                _ => match crate::amounts::of(self) {
                    Some(sums) if sums.captured.is_zero() => "authorized",
                    Some(sums) if sums.refunded == sums.captured => "refunded",
                    Some(sums) if !sums.refunded.is_zero() => "partially_refunded",
                    Some(sums) if sums.captured != sums.authorized => "partially_captured",
                    Some(_) => "captured",
                    None => "authorized",
                },
            },
        }
    }
}

pub(crate) fn was_approved(call: &Call) -> bool {
    matches!(&call.state, CallState::Final { outcome: Outcome::Approved { .. }, .. })
}

pub(crate) fn numbered<T>(items: &[T]) -> impl Iterator<Item = (u16, &T)> {
    (1_u16..=u16::MAX).zip(items)
}

fn index(no: u16) -> Option<usize> {
    usize::from(no).checked_sub(1)
}
