//! Disputes in the own dialect.

use serde_json::{Map, Value, json};

use super::{PAYMENT, Request, refused, validation};
use crate::clock::{Id, rfc3339};
use crate::core::{Dispute, Payment, Refusal};
use crate::dialect::fields::Invalid;
use crate::dialect::traits_of_existing;
use crate::exchange::Job;
use crate::http::Reply;
use crate::script::OperationKind;

const DISPUTE: &str = "sd_";

/// Longest text of evidence.
const LONGEST: usize = 150_000;

fn id_of(text: &str) -> Result<Id, Reply> {
    Id::parse_prefixed(DISPUTE, text).ok_or_else(|| refused(Refusal::NotFound))
}

pub(crate) fn dispute_view(payment: &Payment, dispute: &Dispute) -> Value {
    json!({
        "id": format!("{DISPUTE}{}", dispute.id),
        "payment": format!("{PAYMENT}{}", payment.id),
        "reference": payment.reference,
        "stage": dispute.stage,
        "status": dispute.state,
        "amount": {"value": dispute.amount, "currency": payment.currency},
        "reason": dispute.reason,
        "reason_code": dispute.reason_code(),
        "respond_by": rfc3339(dispute.respond_by_ms()),
        "evidence": dispute.submitted.then_some(&dispute.evidence),
        "created": rfc3339(dispute.created_ms),
        "updated": rfc3339(dispute.updated_ms),
    })
}

fn answered(result: Result<(std::sync::Arc<Payment>, Dispute), Refusal>) -> Reply {
    match result {
        Ok((payment, dispute)) => Reply::json(200, &dispute_view(&payment, &dispute)),
        Err(refusal) => refused(refusal),
    }
}

impl Request<'_> {
    pub(super) fn dispute(self, id: &str) -> Result<Job, Reply> {
        let id = id_of(id)?;
        self.look_up(Some(id), None, move |books| {
            answered(books.dispute(id).ok_or(Refusal::NotFound))
        })
    }

    pub(super) fn dispute_accept(self, id: &str) -> Result<Job, Reply> {
        let id = id_of(id)?;
        let kind = OperationKind::DisputeAccept;
        let traits = traits_of_existing(self.account, kind, Some(id), None, None);
        self.job(traits, Box::new(move |books, _| answered(books.dispute_accept(id))))
    }

    pub(super) fn dispute_explain(self, id: &str) -> Result<Job, Reply> {
        let id = id_of(id)?;
        let mut evidence = Map::new();
        for (name, value) in self.fields.0.as_object().into_iter().flatten() {
            let fits = |text: &&str| text.len() <= LONGEST;
            let text = value.as_str().filter(fits);
            let wrong = || validation(Invalid { field: "evidence", message: "must be texts" });
            evidence.insert(name.clone(), text.ok_or_else(wrong)?.into());
        }
        let kind = OperationKind::DisputeSubmit;
        let traits = traits_of_existing(self.account, kind, Some(id), None, None);
        self.job(
            traits,
            Box::new(move |books, _| answered(books.dispute_explain(id, evidence, true))),
        )
    }
}
