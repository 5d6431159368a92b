//! Disputes at the sandbox: what it is asked, and what it tells. Statuses as docs/sandbox.md lists them; the rest is unclear.

use baton_connect::{
    Body, DisputeAnswer, DisputeCall, DisputeEvent, DisputeFacts, DisputeStage, DisputeStatus,
    Evidence, HttpCall, HttpReply, Json, Manifest, Method, identifier, message,
};
use baton_types::{Currency, Timestamp};
use serde::Deserialize;

use super::reply::{Amount, Failure, parse};
use super::{authorized, escaped, post};

/// A dispute, as it is shown and told.
#[derive(Deserialize)]
pub(super) struct Dispute {
    id: String,
    payment: String,
    reference: String,
    stage: String,
    status: String,
    amount: Amount,
    reason: Option<String>,
    reason_code: Option<String>,
    respond_by: Option<String>,
    created: Option<String>,
}

pub(super) fn call(asked: &DisputeCall) -> Option<HttpCall> {
    let id = asked.dispute();
    let plain = id.strip_prefix("sd_").is_some_and(|rest| !rest.is_empty()) && escaped(id) == id;
    let call = match asked {
        DisputeCall::Retrieve { .. } => {
            authorized(HttpCall::new(Method::Get, format!("/disputes/{id}")))
        }
        DisputeCall::Accept { .. } => {
            let call = authorized(HttpCall::new(Method::Post, format!("/disputes/{id}/accept")));
            call.body(Body::json(&Json::Obj(Vec::new()))).moves_money()
        }
        DisputeCall::Submit { evidence, .. } => {
            post(&format!("/disputes/{id}/evidence"), &said(evidence))
        }
    };
    plain.then_some(call)
}

fn said(evidence: &Evidence) -> Json {
    let text = |(field, text): (&baton_connect::EvidenceField, &String)| {
        (field.as_str(), text.as_str().into())
    };
    Json::obj(evidence.iter().map(text))
}

pub(super) fn read(manifest: &Manifest, asked: &DisputeCall, reply: &HttpReply) -> DisputeAnswer {
    match reply.status {
        200 => {
            let shown = parse::<Dispute>(reply).filter(|shown| shown.id == asked.dispute());
            let facts = shown.and_then(|shown| shown.facts(manifest));
            facts.map_or(DisputeAnswer::Unclear, |facts| DisputeAnswer::Stands {
                dispute: Box::new(facts),
            })
        }
        status => {
            let Some(Failure { error }) = parse(reply) else { return DisputeAnswer::Unclear };
            match (status, error.code.as_str()) {
                (404, "not_found") => DisputeAnswer::NotFound,
                (400 | 401 | 403 | 404 | 429, _) | (409, "dispute_not_open") => {
                    DisputeAnswer::Refused {
                        code: identifier(&error.code),
                        message: error.message.as_deref().and_then(message),
                    }
                }
                _ => DisputeAnswer::Unclear,
            }
        }
    }
}

impl Dispute {
    pub(super) fn facts(&self, manifest: &Manifest) -> Option<DisputeFacts> {
        let stage = match self.stage.as_str() {
            "pre_dispute" => DisputeStage::PreDispute,
            "dispute" => DisputeStage::Dispute,
            "pre_arbitration" => DisputeStage::PreArbitration,
            _ => return None,
        };
        let status = match self.status.as_str() {
            "opened" => DisputeStatus::Opened,
            "challenged" => DisputeStatus::Challenged,
            "accepted" => DisputeStatus::Accepted,
            "won" => DisputeStatus::Won,
            "lost" => DisputeStatus::Lost,
            "expired" => DisputeStatus::Expired,
            "cancelled" => DisputeStatus::Cancelled,
            _ => return None,
        };
        let currency = Currency::parse(&self.amount.currency).ok()?;
        let amount = manifest.from_provider_units(self.amount.value, currency)?;
        let time = |text: &Option<String>| Timestamp::parse_rfc3339(text.as_deref()?).ok();
        Some(DisputeFacts {
            reference: identifier(&self.id)?,
            payment: identifier(&self.payment),
            attempt: identifier(&self.reference),
            amount: amount.is_positive().then_some(amount)?,
            stage,
            status,
            word: self.status.clone(),
            reason: self.reason.as_deref().and_then(identifier),
            reason_code: self.reason_code.as_deref().and_then(identifier),
            respond_by: time(&self.respond_by),
            opened_at: time(&self.created),
        })
    }

    pub(super) fn event(&self, manifest: &Manifest, name: &str, at: &str) -> Option<DisputeEvent> {
        Some(DisputeEvent {
            name: name.to_owned(),
            at: Timestamp::parse_rfc3339(at).ok(),
            facts: self.facts(manifest)?,
        })
    }
}
