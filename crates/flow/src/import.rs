//! What becomes of a payment that was not made here, once its provider has told what it is.
//!
//! Every call of it is concluded from the start, so nothing is sent, looked up or timed for it. What does
//! not hold together is not imported: a sum that is wrong once would be wrong for every later change.

use baton_types::outcome::{Answer, Outcome};
use baton_types::{Foreign, ForeignPart, MerchantId, Money, PaymentId};

use crate::call::{Call, CallId, CallState};
use crate::draft::reference;
use crate::payment::{
    Amounted, Candidate, DoubtMode, Order, OrderKind, Payment, RetryDeclines, Void, VoidReason,
};
use crate::step::{Event, Facts, MODIFICATIONS_MAX, Step};

/// Why a provider's payment is not imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportFault {
    /// It has no id.
    NoReference,
    /// Its currency has no minor unit, so that no amount of it is exact.
    NoMinorUnit,
    /// Two of its amounts are in different currencies.
    Currencies,
    /// An amount is not above zero.
    NotPositive,
    /// More was captured than held, or more refunded than captured, or a sum does not fit.
    TooMuch,
    /// A sale has captures, or what was released has been captured or refunded.
    Contradiction,
    /// It has more captures or refunds than a payment can have.
    TooMany,
}

impl std::fmt::Display for ImportFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoReference => "it has no id",
            Self::NoMinorUnit => "its currency has no minor unit",
            Self::Currencies => "its amounts are in different currencies",
            Self::NotPositive => "one of its amounts is not above zero",
            Self::TooMuch => "more was captured or refunded than there was",
            Self::Contradiction => "what was done to it contradicts what it is",
            Self::TooMany => "it has too many captures or refunds",
        })
    }
}

impl std::error::Error for ImportFault {}

/// Opens a payment that its provider knows, at the one account that was asked, with all that the provider
/// has confirmed. The id is the caller's choice: two imports of the same one have to choose the same.
///
/// # Errors
/// What the provider told does not hold together. There is no payment then.
pub fn import(
    (id, merchant): (PaymentId, MerchantId),
    candidate: Candidate,
    test: bool,
    foreign: &Foreign,
    facts: &Facts,
) -> Result<Step, ImportFault> {
    check(foreign)?;
    let whole = foreign.authorized;
    let order = Order {
        kind: if foreign.sale { OrderKind::Charge(whole) } else { OrderKind::Authorize(whole) },
        merchant_ref: None,
        card: None,
        candidates: vec![candidate],
        doubt: DoubtMode::ResolveFirst,
        retry_declines: RetryDeclines::GATEWAY_LIST,
        failover_until: facts.now,
        test,
        payer_present: false,
        imported: true,
    };
    let mut next = Payment::new(id, merchant, order, facts.now);
    let done =
        |id, amount, provider: Option<&String>| concluded(&next, id, amount, provider, facts);
    let attempt = done(CallId::Attempt(1), Some(whole), Some(&foreign.reference));
    let parts = |parts: &[ForeignPart], id: fn(u16) -> CallId| {
        let numbered = (1_u16..=u16::MAX).zip(parts);
        let amounted = numbered.map(|(no, part)| Amounted {
            amount: part.amount,
            call: done(id(no), Some(part.amount), part.reference.as_ref()),
        });
        amounted.collect::<Vec<_>>()
    };
    let captures = parts(&foreign.captures, CallId::Capture);
    let refunds = parts(&foreign.refunds, CallId::Refund);
    let void = foreign.voided.then(|| Void {
        attempt: 1,
        why: VoidReason::Requested,
        call: done(CallId::Void(1), None, None),
    });
    next.attempts = vec![attempt];
    next.captures = captures;
    next.voids = void.into_iter().collect();
    next.refunds = refunds;
    let mut events = vec![Event::Opened { order: next.order.kind, merchant_ref: None }];
    events.extend(next.calls().filter_map(|(call, made)| match &made.state {
        CallState::Final { outcome, .. } => {
            Some(Event::Concluded { call, outcome: outcome.clone() })
        }
        CallState::Planned | CallState::Open { .. } | CallState::Closed { .. } => None,
    }));
    Ok(Step { next, events, timers: Vec::new(), effects: Vec::new() })
}

fn check(foreign: &Foreign) -> Result<(), ImportFault> {
    if foreign.reference.trim().is_empty() {
        return Err(ImportFault::NoReference);
    }
    if foreign.authorized.currency().exponent().is_none() {
        return Err(ImportFault::NoMinorUnit);
    }
    if foreign.captures.len().max(foreign.refunds.len()) > MODIFICATIONS_MAX {
        return Err(ImportFault::TooMany);
    }
    if !foreign.authorized.is_positive() {
        return Err(ImportFault::NotPositive);
    }
    let held = foreign.authorized;
    let captured = sum(&foreign.captures, held)?;
    let taken = if foreign.sale { held } else { captured };
    let refunded = sum(&foreign.refunds, taken)?;
    let touched = !captured.is_zero() || !refunded.is_zero();
    if (foreign.sale && !captured.is_zero()) || (foreign.voided && touched) {
        return Err(ImportFault::Contradiction);
    }
    Ok(())
}

/// The sum of the parts, which are of a whole.
fn sum(parts: &[ForeignPart], whole: Money) -> Result<Money, ImportFault> {
    let mut total = Money::zero(whole.currency());
    for part in parts {
        if part.amount.currency() != whole.currency() {
            return Err(ImportFault::Currencies);
        }
        if !part.amount.is_positive() {
            return Err(ImportFault::NotPositive);
        }
        total = total.checked_add(part.amount).map_err(|_| ImportFault::TooMuch)?;
    }
    if total.minor() > whole.minor() { Err(ImportFault::TooMuch) } else { Ok(total) }
}

/// A call that was made elsewhere. Our own reference was never sent; it is there because a call has one.
fn concluded(
    payment: &Payment,
    id: CallId,
    amount: Option<Money>,
    provider: Option<&String>,
    facts: &Facts,
) -> Call {
    let ours = reference(payment, id);
    let answer = Answer { reference: provider.cloned(), ..Answer::default() };
    Call {
        reference: ours.clone(),
        key: ours,
        owner: facts.owner.clone(),
        planned_at: facts.now,
        send_by: facts.now,
        absent_after: None,
        replay_until: None,
        replays: 0,
        template: None,
        learnt: None,
        open_since: None,
        state: CallState::Final { outcome: Outcome::Approved { amount, answer }, at: facts.now },
        settled: None,
        checks: Vec::new(),
    }
}
