//! Disputes at Stripe: what it is asked, and what it tells.
//!
//! An inquiry is a dispute whose status begins with `warning_`: no money has moved. Stripe submits evidence once, and
//! closing a dispute is irreversible. Left out: files, which another of Stripe's hosts takes, and evidence that is staged
//! and not submitted.

use baton_connect::{
    DisputeAnswer, DisputeCall, DisputeEvent, DisputeFacts, DisputeStage, DisputeStatus,
    EvidenceField, HttpCall, HttpReply, Manifest, Method, Part, identifier, message,
};
use baton_types::{Currency, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::objects::{Error, parse};
use super::{id, request};

/// The parts of a dispute that are read.
#[derive(Deserialize)]
struct Dispute {
    id: String,
    object: String,
    amount: i64,
    currency: String,
    status: String,
    reason: Option<String>,
    /// An id, or the object itself where it was asked for.
    #[serde(default)]
    payment_intent: Value,
    created: Option<i64>,
    evidence_details: Option<Details>,
    #[serde(default)]
    payment_method_details: Value,
}

#[derive(Deserialize)]
struct Details {
    due_by: Option<i64>,
    #[serde(default)]
    submission_count: u32,
}

pub(super) fn call(asked: &DisputeCall) -> Option<HttpCall> {
    let dispute =
        id(asked.dispute()).filter(|id| id.starts_with("dp_") || id.starts_with("du_"))?;
    let path = format!("/v1/disputes/{dispute}");
    Some(match asked {
        DisputeCall::Retrieve { .. } => request::call(Method::Get, &path),
        DisputeCall::Accept { .. } => {
            request::post(&format!("{path}/close"), &Vec::new()).moves_money()
        }
        DisputeCall::Submit { evidence, .. } => {
            let said = evidence.iter().map(|(field, text)| (name(*field), text.as_str().into()));
            let fields: Vec<(&'static str, Part)> =
                said.chain([("submit", Part::from("true"))]).collect();
            request::post(&path, &fields)
        }
    })
}

pub(super) fn read(manifest: &Manifest, asked: &DisputeCall, reply: &HttpReply) -> DisputeAnswer {
    if reply.status == 200 {
        let shown = parse::<Dispute>(&reply.body).filter(|shown| shown.id == asked.dispute());
        let facts = shown.and_then(|shown| shown.facts(manifest));
        return facts.map_or(DisputeAnswer::Unclear, |facts| DisputeAnswer::Stands {
            dispute: Box::new(facts),
        });
    }
    let Some(Error { error }) = parse(&reply.body) else { return DisputeAnswer::Unclear };
    match (reply.status, error.kind.as_deref(), error.code.as_deref()) {
        (404, Some("invalid_request_error"), Some("resource_missing")) => DisputeAnswer::NotFound,
        // Another request was executed under our key.
        (400, Some("idempotency_error"), _) => DisputeAnswer::Unclear,
        (400 | 401 | 403 | 404 | 429, _, _) => {
            let answer = error.answer();
            DisputeAnswer::Refused {
                code: answer.code.as_deref().and_then(identifier),
                message: answer.message.as_deref().and_then(message),
            }
        }
        // 409: a request under our key is still running. 5xx: anything.
        _ => DisputeAnswer::Unclear,
    }
}

/// What an event about a dispute says.
pub(super) fn event(
    manifest: &Manifest,
    name: &str,
    created: Option<i64>,
    object: &Value,
) -> Option<DisputeEvent> {
    let told: Dispute = serde_json::from_value(object.clone()).ok()?;
    let at = created.and_then(seconds);
    Some(DisputeEvent { name: name.to_owned(), at, facts: told.facts(manifest)? })
}

impl Dispute {
    fn facts(&self, manifest: &Manifest) -> Option<DisputeFacts> {
        use DisputeStage::{Dispute, PreDispute};
        use DisputeStatus::{Cancelled, Challenged, Lost, Opened, Won};
        let submitted =
            self.evidence_details.as_ref().is_some_and(|said| said.submission_count > 0);
        let (stage, status) = match self.status.as_str() {
            "warning_needs_response" if submitted => (PreDispute, Challenged),
            "warning_needs_response" => (PreDispute, Opened),
            "warning_under_review" => (PreDispute, Challenged),
            // The inquiry has not become a chargeback, and will not.
            "warning_closed" => (PreDispute, Cancelled),
            "needs_response" if submitted => (Dispute, Challenged),
            "needs_response" => (Dispute, Opened),
            "under_review" => (Dispute, Challenged),
            // A refund of the charge ended it.
            "charge_refunded" => (Dispute, Cancelled),
            "won" => (Dispute, Won),
            "lost" => (Dispute, Lost),
            _ => return None,
        };
        let known = self.object == "dispute";
        let reference = known.then(|| id(&self.id)).flatten()?.to_owned();
        let currency = Currency::parse(&self.currency.to_ascii_uppercase()).ok()?;
        let amount = manifest.from_provider_units(self.amount, currency)?;
        let due = self.evidence_details.as_ref().and_then(|details| details.due_by);
        let intent = self
            .payment_intent
            .as_str()
            .or_else(|| self.payment_intent.get("id").and_then(Value::as_str));
        let network_code = self
            .payment_method_details
            .pointer("/card/network_reason_code")
            .and_then(Value::as_str);
        Some(DisputeFacts {
            reference,
            payment: intent.and_then(id).map(str::to_owned),
            attempt: None,
            amount: amount.is_positive().then_some(amount)?,
            stage,
            status,
            word: self.status.clone(),
            reason: self.reason.as_deref().and_then(identifier),
            reason_code: network_code.and_then(identifier),
            // 0 where the bank lets nobody answer.
            respond_by: due.filter(|due| *due > 0).and_then(seconds),
            opened_at: self.created.and_then(seconds),
        })
    }
}

fn seconds(seconds: i64) -> Option<Timestamp> {
    seconds.checked_mul(1_000).map(Timestamp::from_millis)
}

/// Stripe's name of a field, as it is written in forms.
const fn name(field: EvidenceField) -> &'static str {
    use EvidenceField as F;
    match field {
        F::AccessActivityLog => "evidence[access_activity_log]",
        F::BillingAddress => "evidence[billing_address]",
        F::CancellationPolicyDisclosure => "evidence[cancellation_policy_disclosure]",
        F::CancellationRebuttal => "evidence[cancellation_rebuttal]",
        F::CustomerEmailAddress => "evidence[customer_email_address]",
        F::CustomerName => "evidence[customer_name]",
        F::CustomerPurchaseIp => "evidence[customer_purchase_ip]",
        F::ProductDescription => "evidence[product_description]",
        F::RefundPolicyDisclosure => "evidence[refund_policy_disclosure]",
        F::RefundRefusalExplanation => "evidence[refund_refusal_explanation]",
        F::ServiceDate => "evidence[service_date]",
        F::ShippingAddress => "evidence[shipping_address]",
        F::ShippingCarrier => "evidence[shipping_carrier]",
        F::ShippingDate => "evidence[shipping_date]",
        F::ShippingTrackingNumber => "evidence[shipping_tracking_number]",
        F::UncategorizedText => "evidence[uncategorized_text]",
    }
}
