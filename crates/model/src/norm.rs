//! Forgets what no later step can tell: when something was concluded, when a look-up that does not count
//! was made. Two payments that differ only in that have the same future, so they are one state.
//!
//! A test explores a small world with and without this, and has to come to the same end.

use baton_flow::{Call, CallState, Cancel, Candidate, Payment};
use baton_types::outcome::Finding;

/// The payment without what does not matter any more. Where a cancel waits for the index, the first look-up that found
/// nothing matters too: then open calls keep theirs.
pub(crate) fn normal(mut payment: Payment) -> Payment {
    // It is only compared with this.
    let too_late = payment.order.failover_until;
    let is_late = payment.updated_at >= too_late;
    payment.updated_at = if is_late { too_late } else { payment.created_at };
    let waits = |at: &Candidate| at.cancel == Some(Cancel::Fence) && at.index_lag_ms > 0;
    let keeps = payment.order.candidates.iter().any(waits);
    for call in &mut payment.attempts {
        if !keeps || call.is_concluded() {
            forget(call);
        }
    }
    for capture in &mut payment.captures {
        forget(&mut capture.call);
    }
    // The next void waits by when the last one ended: there only the checks are forgotten.
    for void in &mut payment.voids {
        forget_checks(&mut void.call);
    }
    payment
}

fn forget(call: &mut Call) {
    let planned_at = call.planned_at;
    match &mut call.state {
        CallState::Planned | CallState::Open { .. } => {}
        CallState::Final { at, .. } | CallState::Closed { at, .. } => {
            *at = planned_at;
            call.open_since = call.open_since.map(|_| planned_at);
        }
    }
    forget_checks(call);
}

/// Of an open call's look-ups those matter that count towards absence, and the latest; of a concluded
/// one's none.
fn forget_checks(call: &mut Call) {
    if call.is_concluded() {
        call.checks.clear();
        return;
    }
    let after = call.absent_after;
    let counts = |check: &baton_flow::Check| {
        check.finding == Finding::NotFound && after.is_some_and(|after| check.at > after)
    };
    let last = call.checks.last().cloned();
    call.checks.retain(counts);
    for check in &mut call.checks {
        check.at = after.unwrap_or(check.at).plus_millis(1);
    }
    if let Some(mut last) = last.filter(|last| !counts(last)) {
        last.at = call.planned_at;
        call.checks.push(last);
    }
}
