//! The own dialect's answers.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{PAYMENT, TOKEN, dispute_view};
use crate::clock::rfc3339;
use crate::codes::DeclinedBy;
use crate::core::{
    Attempt, Brand, Cancelled, Event, EventKind, Kind, Operation, Payment, Status, Subject, Token,
    network,
};
use crate::dialect::Urls;

#[derive(Debug, Serialize)]
struct Amount<'a> {
    value: i64,
    currency: &'a str,
}

#[derive(Debug, Serialize)]
struct DeclineView {
    code: &'static str,
    by: DeclinedBy,
    message: &'static str,
}

#[derive(Debug, Serialize)]
struct NextAction {
    r#type: &'static str,
    url: String,
}

#[derive(Debug, Serialize)]
struct CardView<'a> {
    first6: &'a str,
    last4: &'a str,
    brand: Brand,
}

#[derive(Debug, Serialize)]
pub(crate) struct PaymentView<'a> {
    id: String,
    reference: &'a str,
    status: Status,
    amount: Amount<'a>,
    authorized: i64,
    captured: i64,
    refunded: i64,
    voided: bool,
    auth_code: Option<&'a str>,
    network_transaction_id: Option<String>,
    decline: Option<DeclineView>,
    next_action: Option<NextAction>,
    card: Option<CardView<'a>>,
    metadata: &'a Map<String, Value>,
    captures: Vec<OperationView<'a>>,
    voids: Vec<OperationView<'a>>,
    refunds: Vec<OperationView<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    increments: Vec<OperationView<'a>>,
    created: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct OperationView<'a> {
    id: String,
    r#type: Kind,
    payment: String,
    reference: &'a str,
    status: &'static str,
    amount: Amount<'a>,
    failure: Option<&'a str>,
    created: String,
}

pub(crate) fn payment_view<'a>(payment: &'a Payment, urls: &Urls) -> PaymentView<'a> {
    let attempt = payment.attempt();
    let of_kind = |kind| {
        let operations = payment.operations.iter().filter(move |operation| operation.kind == kind);
        operations.map(|operation| operation_view(payment, operation)).collect()
    };
    let is_open = payment.status == Status::ActionRequired && !payment.voided;
    PaymentView {
        id: format!("{PAYMENT}{}", payment.id),
        reference: &payment.reference,
        status: payment.status,
        amount: Amount { value: payment.amount, currency: &payment.currency },
        authorized: payment.authorized,
        captured: payment.captured,
        refunded: payment.refunded,
        voided: payment.voided,
        auth_code: attempt.filter(|_| payment.is_approved()).map(Attempt::auth_code),
        network_transaction_id: attempt
            .filter(|_| payment.is_approved())
            .and_then(network::transaction_id),
        decline: attempt.and_then(|attempt| attempt.decline).map(|code| {
            let row = code.row();
            DeclineView { code: row.code, by: row.by, message: row.message }
        }),
        next_action: is_open
            .then(|| NextAction { r#type: "redirect", url: urls.challenge(payment.id) }),
        card: attempt.and_then(|attempt| attempt.card.as_ref()).map(|card| CardView {
            first6: &card.first6,
            last4: &card.last4,
            brand: card.brand,
        }),
        metadata: &payment.metadata,
        captures: of_kind(Kind::Capture),
        voids: of_kind(Kind::Void),
        refunds: of_kind(Kind::Refund),
        increments: of_kind(Kind::Increment),
        created: rfc3339(payment.created_ms),
    }
}

pub(crate) fn operation_view<'a>(
    payment: &'a Payment,
    operation: &'a Operation,
) -> OperationView<'a> {
    let prefix = match operation.kind {
        Kind::Capture => "sc_",
        Kind::Void => "sv_",
        Kind::Refund => "sr_",
        Kind::Increment => "si_",
    };
    OperationView {
        id: format!("{prefix}{}", operation.id),
        r#type: operation.kind,
        payment: format!("{PAYMENT}{}", payment.id),
        reference: &operation.reference,
        status: if operation.failure.is_none() { "succeeded" } else { "failed" },
        amount: Amount { value: operation.amount, currency: &payment.currency },
        failure: operation.failure.as_deref(),
        created: rfc3339(operation.at_ms),
    }
}

pub(crate) fn token_view(token: &Token) -> Value {
    json!({
        "token": format!("{TOKEN}{}", token.id),
        "last4": token.card.last4,
        "brand": token.card.brand,
        "exp_month": token.card.exp_month,
        "exp_year": token.card.exp_year,
    })
}

pub(crate) fn cancel_view(cancelled: &Cancelled) -> Value {
    let id = |payment: &Payment| format!("{PAYMENT}{}", payment.id);
    let done: Vec<String> = cancelled.cancelled.iter().map(|payment| id(payment)).collect();
    let refused: Vec<Value> = cancelled
        .refused
        .iter()
        .map(|(payment, refusal)| json!({"id": id(payment), "code": refusal.code()}))
        .collect();
    json!({"cancelled": done, "refused": refused, "fenced": true})
}

/// A webhook's body: what happened, and the payment as it was just after.
pub(crate) fn event_body(event: &Event, urls: &Urls) -> Option<Value> {
    let Subject::Payment { payment, operation } = &event.subject else { return None };
    let dispute = operation.and_then(|id| payment.disputes.iter().find(|it| it.id == id));
    let operation = operation.and_then(|id| payment.operation(id));
    let failed = operation.is_some_and(|operation| operation.failure.is_some());
    let modified = |name: &str| format!("{name}.{}", if failed { "failed" } else { "succeeded" });
    let name = match event.kind {
        EventKind::Created => "payment.created".to_owned(),
        EventKind::Attempted | EventKind::Concluded => {
            let status = serde_json::to_value(payment.status).ok()?;
            format!("payment.{}", status.as_str()?)
        }
        EventKind::Capture => modified("capture"),
        EventKind::Void => modified("void"),
        EventKind::Refund => modified("refund"),
        EventKind::Increment => modified("increment"),
        EventKind::DisputeOpened => "dispute.opened".to_owned(),
        EventKind::DisputeMoved => {
            let state = serde_json::to_value(dispute?.state).ok()?;
            format!("dispute.{}", state.as_str()?)
        }
        EventKind::CancelFailed => return None,
    };
    let mut body = json!({
        "id": format!("se_{}", event.id),
        "type": name,
        "created": rfc3339(event.at_ms),
        "payment": payment_view(payment, urls),
        "operation": operation.map(|operation| operation_view(payment, operation)),
    });
    if let (Some(dispute), Some(members)) = (dispute, body.as_object_mut()) {
        members.insert("dispute".to_owned(), dispute_view(payment, dispute));
    }
    Some(body)
}
