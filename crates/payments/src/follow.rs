//! The rows by which intents and refunds are listed, and how they follow a payment. Pure.
//!
//! An intent's row is written whole in each commit that changes the intent before its payment is made, and in the one that
//! makes it; from then on every commit of the payment says how the row stands. So a list never lags behind what it shows.

use baton_flow::{CallId, Payment};
use baton_store::{ListedRow, Relist, Relisted, Write};
use baton_types::{MaskedCard, PaymentId};

use crate::document::{Document, Stored};
use crate::increment::raised;
use crate::intent::{CaptureMethod, Intent};
use crate::refund::{Refund, RefundStatus};
use crate::status;

/// How long ago a refund may have ended, by a clock that is behind, that the payment's latest commit may be its end, in
/// milliseconds.
const JUST_NOW_MS: i64 = 3_600_000;

/// How connectors of the Payments API are named: other payments are no intents'.
const CONNECTOR: &str = "mca_";

/// What changes in lists with a payment's new version: part of each of its commits.
#[must_use]
pub fn follow(payment: &Payment) -> Vec<Write> {
    let Some(intent) = &payment.order.merchant_ref else { return Vec::new() };
    let first = payment.order.candidates.first();
    if payment.version <= 1 || !first.is_some_and(|first| first.label.starts_with(CONNECTOR)) {
        return Vec::new();
    }
    let status = |capture| status::of_payment(payment, capture).as_str().to_owned();
    let (account, connector) = decided(payment);
    let mut writes = vec![Write::Relisted(Relisted {
        merchant: payment.merchant,
        kind: Intent::KIND.to_owned(),
        which: Relist::Object(intent.clone()),
        payment: payment.id,
        status: status(CaptureMethod::Manual),
        status_of_several: status(CaptureMethod::ManualMultiple),
        amount: raised(payment),
        account,
        connector,
    })];
    for (id, call) in payment.calls() {
        let ended =
            call.concluded_at().is_some_and(|at| payment.updated_at.since(at) <= JUST_NOW_MS);
        if ended && matches!(id, CallId::Refund(_)) {
            let which = Relist::Call { owner: intent.clone(), call: id.to_string() };
            let status = RefundStatus::of(Some(call)).as_str().to_owned();
            let (account, connector) = of_call(payment, id);
            writes.push(Write::Relisted(Relisted {
                merchant: payment.merchant,
                kind: Refund::KIND.to_owned(),
                which,
                payment: payment.id,
                status_of_several: status.clone(),
                status,
                amount: None,
                account,
                connector,
            }));
        }
    }
    writes
}

/// The account and the connector of an attempt.
fn of_attempt(payment: &Payment, attempt: u16) -> (Option<String>, Option<String>) {
    let candidate = payment.candidate(attempt);
    let connector = candidate.map(|candidate| candidate.gateway.to_ascii_lowercase());
    (candidate.map(|candidate| candidate.label.clone()), connector)
}

fn of_call(payment: &Payment, call: CallId) -> (Option<String>, Option<String>) {
    payment.attempt_of(call).map_or((None, None), |attempt| of_attempt(payment, attempt))
}

fn decided(payment: &Payment) -> (Option<String>, Option<String>) {
    payment.deciding_attempt().map_or((None, None), |attempt| of_attempt(payment, attempt))
}

/// What an intent is listed by, with the payment that its latest confirmation makes.
pub(crate) fn of_intent(intent: &Stored<Intent>, payment: Option<&Payment>) -> Write {
    let body = &intent.body;
    let (account, connector) = payment.map_or((None, None), decided);
    let (method, method_type) = body.method_words();
    let network = |card: &MaskedCard| card.brand.as_str().to_owned();
    let word = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let reference = body.details.get("merchant_order_reference_id").and_then(word);
    Write::Listed(ListedRow {
        merchant: intent.merchant,
        kind: Intent::KIND.to_owned(),
        id: body.id.clone(),
        payment: payment.map(|payment| payment.id),
        call: None,
        owner: body.owner().to_owned(),
        profile: body.profile.clone(),
        several: body.capture == CaptureMethod::ManualMultiple,
        status: body.status_with(payment).as_str().to_owned(),
        currency: body.currency.code().to_owned(),
        amount: payment.and_then(raised).unwrap_or(body.amount),
        account,
        connector,
        method: method.map(str::to_owned),
        method_type: method_type.map(str::to_owned),
        authentication: Some(body.authentication.as_str().to_owned()),
        network: body.method.as_ref().map(|method| network(&method.card.masked)),
        reference,
        created_at: intent.created_at,
    })
}

/// What a refund is listed by.
pub(crate) fn of_refund(refund: &Stored<Refund>, payment: &Payment) -> Write {
    let body = &refund.body;
    let (account, connector) = of_call(payment, body.call);
    Write::Listed(ListedRow {
        merchant: refund.merchant,
        kind: Refund::KIND.to_owned(),
        id: body.id.clone(),
        payment: Some::<PaymentId>(payment.id),
        call: Some(body.call.to_string()),
        owner: body.intent.clone(),
        profile: body.profile.clone(),
        several: false,
        status: RefundStatus::of(payment.call(body.call)).as_str().to_owned(),
        currency: body.amount.currency().code().to_owned(),
        amount: body.amount.minor(),
        account,
        connector,
        method: None,
        method_type: None,
        authentication: None,
        network: None,
        reference: None,
        created_at: refund.created_at,
    })
}
