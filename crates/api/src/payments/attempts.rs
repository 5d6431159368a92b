//! A payment's attempts and captures, one by one, where somebody asks for them.

use std::sync::Arc;

use baton_flow::{
    Call, CallId, CallState, Closure, OrderKind, Payment, Standing, VoidReason, amounts,
};
use baton_payments::status::IntentStatus;
use baton_payments::{CaptureMethod, Seen};
use baton_types::outcome::{Answer, Outcome};
use serde_json::{Value, json};

use super::view::{connector_name, time, told};

/// What a provider said, if it said anything.
fn answer(call: &Call) -> Option<&Answer> {
    match &call.state {
        CallState::Open { outcome } | CallState::Final { outcome, .. } => outcome.answer(),
        CallState::Planned | CallState::Closed { .. } => None,
    }
}

/// Why a call has failed: a code and a message.
fn failure(call: &Call) -> (Option<String>, Option<String>) {
    let CallState::Final { outcome, .. } = &call.state else { return (None, None) };
    if matches!(outcome, Outcome::Approved { .. }) {
        return (None, None);
    }
    told(outcome)
}

/// Every attempt of every confirmation, the first first. Before the first one: the one that is to be made.
pub(super) fn all(seen: &Seen, tries: &[Arc<Payment>]) -> Value {
    let mut shown = Vec::new();
    for payment in tries {
        for (no, call) in (1_u16..).zip(&payment.attempts) {
            let number = shown.len().saturating_add(1);
            shown.push(attempt(seen, number, payment, (no, call)));
        }
    }
    if shown.is_empty() {
        shown.push(before(seen));
    }
    Value::Array(shown)
}

fn attempt(seen: &Seen, number: usize, payment: &Payment, (no, call): (u16, &Call)) -> Value {
    let last = call.checks.last().map(|check| check.at);
    let changed = [call.concluded_at(), call.open_since, last].into_iter().flatten().max();
    let word = status(payment, no, seen.intent.body.capture);
    let (code, message) = failure(call);
    let mut shown = blank(seen, number, word);
    if let Value::Object(map) = &mut shown {
        super::view::extend(
            map,
            json!({
                "connector": payment.candidate(no).map(connector_name),
                "error_code": code,
                "error_message": message,
                "connector_transaction_id": answer(call).and_then(|answer| answer.reference.clone()),
                "created_at": time(call.planned_at),
                "modified_at": time(changed.unwrap_or(call.planned_at)),
            }),
        );
    }
    shown
}

/// The attempt that nobody has confirmed yet.
fn before(seen: &Seen) -> Value {
    let word = match seen.status() {
        IntentStatus::RequiresPaymentMethod => "payment_method_awaited",
        IntentStatus::Cancelled => "voided",
        IntentStatus::Expired => "expired",
        IntentStatus::RequiresConfirmation
        | IntentStatus::RequiresCustomerAction
        | IntentStatus::RequiresMerchantAction
        | IntentStatus::RequiresCapture
        | IntentStatus::Processing
        | IntentStatus::Succeeded
        | IntentStatus::Failed
        | IntentStatus::CancelledPostCapture
        | IntentStatus::PartiallyCaptured
        | IntentStatus::PartiallyCapturedAndCapturable
        | IntentStatus::PartiallyAuthorizedAndRequiresCapture
        | IntentStatus::PartiallyCapturedAndProcessing
        | IntentStatus::Conflicted
        | IntentStatus::Review => "confirmation_awaited",
    };
    blank(seen, 1, word)
}

/// What every attempt of a payment has in common.
fn blank(seen: &Seen, number: usize, status: &str) -> Value {
    let intent = &seen.intent.body;
    let (method, method_type) = intent.method_words();
    json!({
        "attempt_id": format!("{}_{number}", intent.id),
        "status": status,
        "amount": intent.amount,
        "order_tax_amount": null,
        "currency": intent.currency.code(),
        "connector": null,
        "error_message": null,
        "payment_method": method,
        "connector_transaction_id": null,
        "capture_method": intent.capture,
        "authentication_type": intent.authentication,
        "created_at": time(seen.intent.created_at),
        "modified_at": time(seen.intent.updated_at),
        "cancellation_reason": intent.cancellation_reason,
        "mandate_id": intent.mandate,
        "error_code": null,
        "payment_token": intent.saved_method,
        "connector_metadata": null,
        "payment_experience": null,
        "payment_method_type": method_type,
        "reference_id": null,
        "unified_code": null,
        "unified_message": null,
        "client_source": null,
        "client_version": null,
        "error_details": null,
    })
}

/// How an attempt stands, in the contract's words for that.
fn status(payment: &Payment, no: u16, capture: CaptureMethod) -> &'static str {
    match payment.standing(no) {
        None | Some(Standing::Running) => "started",
        Some(Standing::Open(Outcome::ActionRequired { .. })) => "authentication_pending",
        Some(Standing::Open(_)) => "pending",
        Some(Standing::Failed(_)) => "failure",
        Some(Standing::Closed(Closure::Absent | Closure::Fenced)) => "failure",
        Some(Standing::Closed(Closure::Voided)) => {
            let asked =
                |void: &baton_flow::Void| void.attempt == no && void.why == VoidReason::Requested;
            let was_charged = matches!(payment.order.kind, OrderKind::Charge(_));
            let reversed = was_charged && payment.was_taken(no) && payment.voids.iter().any(asked);
            if reversed { "voided_post_charge" } else { "voided" }
        }
        Some(Standing::Approved(_)) => match payment.order.kind {
            OrderKind::Charge(_) | OrderKind::Tokenize => "charged",
            OrderKind::Authorize(_) => of_hold(payment, capture),
        },
    }
}

fn of_hold(payment: &Payment, capture: CaptureMethod) -> &'static str {
    let Some(sums) = amounts::of(payment) else { return "authorized" };
    match (sums.captured.is_zero(), sums.captures_in_doubt.is_zero()) {
        _ if sums.captured == sums.authorized => "charged",
        (true, true) => "authorized",
        (true, false) => "capture_initiated",
        (false, _) if capture == CaptureMethod::ManualMultiple => "partial_charged_and_chargeable",
        (false, _) => "partial_charged",
    }
}

/// The captures of the latest confirmation's payment, the first first.
pub(super) fn captures(seen: &Seen) -> Value {
    let id = &seen.intent.body.id;
    let Some(payment) = &seen.payment else { return json!([]) };
    let before = seen.intent.body.tries.len().saturating_sub(1);
    let shown = (1_u16..).zip(&payment.captures).map(|(no, made)| {
        let attempt = payment.attempt_of(CallId::Capture(no)).unwrap_or(1);
        let candidate = payment.candidate(attempt);
        let of = format!("{id}_{}", before.saturating_add(usize::from(attempt)));
        let (code, message) = failure(&made.call);
        json!({
            "capture_id": format!("{of}_{no}"),
            "status": match &made.call.state {
                CallState::Planned => "started",
                CallState::Open { .. } => "pending",
                CallState::Final { outcome: Outcome::Approved { .. }, .. } => "charged",
                CallState::Final { .. } | CallState::Closed { .. } => "failed",
            },
            "amount": made.amount.minor(),
            "currency": made.amount.currency().code(),
            "connector": candidate.map(connector_name).unwrap_or_default(),
            "authorized_attempt_id": of,
            "connector_capture_id": answer(&made.call).and_then(|answer| answer.reference.clone()),
            "capture_sequence": no,
            "error_message": message,
            "error_code": code,
            "error_reason": null,
            "reference_id": null,
        })
    });
    Value::Array(shown.collect())
}
