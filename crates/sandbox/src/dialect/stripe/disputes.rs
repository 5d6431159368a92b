//! Disputes in Stripe's dialect: retrieve, update, close.

use serde_json::{Map, Value, json};

use super::view::{charge_id, seconds};
use super::{Request, error, missing, validation};
use crate::clock::Id;
use crate::core::{Dispute, DisputeStage, DisputeState, Payment, Refusal};
use crate::dialect::fields::Invalid;
use crate::dialect::traits_of_existing;
use crate::exchange::Job;
use crate::http::Reply;
use crate::script::OperationKind;

/// Every field of evidence, in the order of Stripe's description.
const EVIDENCE: [&str; 27] = [
    "access_activity_log",
    "billing_address",
    "cancellation_policy",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_communication",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "customer_signature",
    "duplicate_charge_documentation",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "receipt",
    "refund_policy",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "service_documentation",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_documentation",
    "shipping_tracking_number",
    "uncategorized_file",
    "uncategorized_text",
];

fn status(dispute: &Dispute) -> &'static str {
    use DisputeStage::PreDispute;
    use DisputeState::{Accepted, Cancelled, Challenged, Expired, Lost, Opened, Won};
    match (dispute.stage, dispute.state) {
        (PreDispute, Opened) => "warning_needs_response",
        (PreDispute, Challenged) => "warning_under_review",
        (PreDispute, _) => "warning_closed",
        (_, Opened) => "needs_response",
        (_, Challenged) => "under_review",
        (_, Won | Cancelled) => "won",
        (_, Accepted | Lost | Expired) => "lost",
    }
}

pub(super) fn dispute(payment: &Payment, dispute: &Dispute) -> Value {
    let said = |name: &&str| {
        let text = dispute.evidence.get(*name).cloned().unwrap_or_default();
        ((*name).to_owned(), text)
    };
    let evidence: Map<String, Value> = EVIDENCE.iter().map(said).collect();
    let inquiry = dispute.stage == DisputeStage::PreDispute;
    json!({
        "id": format!("dp_{}", dispute.id),
        "object": "dispute",
        "amount": dispute.amount,
        "balance_transactions": [],
        "charge": payment.attempt().map(charge_id),
        "created": seconds(dispute.created_ms),
        "currency": payment.currency.to_ascii_lowercase(),
        "evidence": evidence,
        "evidence_details": {
            "due_by": seconds(dispute.respond_by_ms()),
            "has_evidence": !dispute.evidence.is_empty(),
            "past_due": false,
            "submission_count": u8::from(dispute.submitted),
        },
        "is_charge_refundable": inquiry && !dispute.state.is_over(),
        "livemode": false,
        "metadata": {},
        "payment_intent": format!("pi_{}", payment.id),
        "payment_method_details": {
            "type": "card",
            "card": {
                "brand": "visa",
                "case_type": if inquiry { "inquiry" } else { "chargeback" },
                "network_reason_code": dispute.reason_code(),
            },
        },
        "reason": dispute.reason,
        "status": status(dispute),
    })
}

/// What Stripe announces, by whether it is new, and how it stands.
pub(super) fn told(payment: &Payment, it: &Dispute, is_new: bool) -> Vec<(&'static str, Value)> {
    let shown = || dispute(payment, it);
    let mut told = Vec::new();
    if is_new {
        told.push(("charge.dispute.created", shown()));
    }
    if is_new && it.is_withdrawn() {
        told.push(("charge.dispute.funds_withdrawn", shown()));
    }
    if it.state.is_over() {
        told.push(("charge.dispute.closed", shown()));
    } else if !is_new {
        told.push(("charge.dispute.updated", shown()));
    }
    if it.state == DisputeState::Won && it.stage != DisputeStage::PreDispute {
        told.push(("charge.dispute.funds_reinstated", shown()));
    }
    told
}

fn answered(result: Result<(std::sync::Arc<Payment>, Dispute), Refusal>, id: &str) -> Reply {
    match result {
        Ok((payment, it)) => Reply::json(200, &dispute(&payment, &it)),
        Err(Refusal::NotFound) => missing("dispute", id, "id"),
        Err(refusal) => error(400, "", refusal.message()),
    }
}

fn id_of(text: &str) -> Result<Id, Reply> {
    Id::parse_prefixed("dp_", text).ok_or_else(|| missing("dispute", text, "id"))
}

impl Request<'_> {
    pub(super) fn dispute(self, text: &str) -> Result<Job, Reply> {
        self.only(&[])?;
        let (id, text) = (id_of(text)?, text.to_owned());
        self.look_up(Some(id), move |books| {
            answered(books.dispute(id).ok_or(Refusal::NotFound), &text)
        })
    }

    pub(super) fn dispute_close(self, text: &str) -> Result<Job, Reply> {
        self.only(&[])?;
        let (id, text) = (id_of(text)?, text.to_owned());
        let kind = OperationKind::DisputeAccept;
        let traits = traits_of_existing(self.account, kind, Some(id), None, None);
        self.job(traits, Box::new(move |books, _| answered(books.dispute_accept(id), &text)))
    }

    pub(super) fn dispute_update(self, text: &str) -> Result<Job, Reply> {
        self.only(&["evidence", "metadata", "submit"])?;
        let (id, text) = (id_of(text)?, text.to_owned());
        let read = || Ok((self.fields.map("evidence")?, self.fields.flag("submit")?));
        let (evidence, submit) = read().map_err(validation)?;
        if evidence.keys().any(|name| !EVIDENCE.contains(&name.as_str())) {
            let message = "holds an unknown field";
            return Err(validation(Invalid { field: "evidence", message }));
        }
        let kind = OperationKind::DisputeSubmit;
        let traits = traits_of_existing(self.account, kind, Some(id), None, None);
        let submit = submit.unwrap_or(true);
        self.job(
            traits,
            Box::new(move |books, _| answered(books.dispute_explain(id, evidence, submit), &text)),
        )
    }
}
