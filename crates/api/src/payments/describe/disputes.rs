//! What the routes of disputes are for, what they take and what they give.

use baton_connect::DisputeStatus;
use http::StatusCode;

use super::answers::ListOf;
use super::form::{
    Field, answer, maybe_text, maybe_time, object, object_or_null, of, text, time, yes_or_no,
};
use crate::openapi::types::{CurrencyCode, Time, words};
use crate::openapi::{Doc, Draft, Param, Tag};
use crate::payments::dispute::{EvidenceRequest, stages};

words!(
    /// How a dispute stands.
    DisputeStanding,
    "How a dispute stands.",
    DisputeStatus::ALL.iter().map(|status| status.as_str()).collect::<Vec<_>>()
);
words!(
    /// How far a dispute has come.
    DisputeStageWord,
    "How far a dispute has come.",
    stages()
);

#[rustfmt::skip]
const BRIEF: [Field; 12] = [
    ("dispute_id", text, "Ours."),
    ("amount", text, "How much is disputed: minor units, written as a text."),
    ("dispute_stage", of::<DisputeStageWord>, "How far it has come."),
    ("dispute_status", of::<DisputeStanding>, "How it stands there."),
    ("connector_status", text, "The provider's own word for that."),
    ("connector_dispute_id", text, "The provider's own reference."),
    ("connector_reason", maybe_text, "Why, in the provider's words."),
    ("connector_reason_code", maybe_text, "The scheme's code for it."),
    ("challenge_required_by", maybe_time, "Until when it can be answered."),
    ("connector_created_at", maybe_time, "When it began at the provider."),
    ("connector_updated_at", maybe_time, "When the provider last told of it, by its own clock."),
    ("created_at", time, "When it was first heard of."),
];

#[rustfmt::skip]
const MORE: [Field; 10] = [
    ("payment_id", text, "The payment."),
    ("attempt_id", text, "The attempt that took the money."),
    ("currency", of::<CurrencyCode>, "Its currency."),
    ("connector", text, "The provider."),
    ("profile_id", text, "The profile."),
    ("merchant_connector_id", text, "The connector account."),
    ("is_already_refunded", yes_or_no, "Whether what was lost and what was refunded are more than what was captured."),
    ("evidence", object_or_null, "The texts that the provider has as your answer."),
    ("pending_action", maybe_text, "`accept` or `submit`, while what came of it is not known."),
    ("pending_reason", maybe_text, "Why that is not known; null while it is on its way."),
];

/// A dispute.
pub(crate) struct Dispute;

impl schemars::JsonSchema for Dispute {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Dispute".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let fields: Vec<Field> = BRIEF.iter().chain(&MORE).copied().collect();
        object("A dispute.", &fields, &[], generator)
    }
}

answer!(
    /// A dispute, as its payment shows it.
    PaymentDispute,
    "A dispute of a payment.",
    &BRIEF
);

answer!(
    /// How many disputes there are.
    DisputeCounts,
    "How many disputes there are, by how they stand.",
    &[("status_with_count", object_or_null, "The number of each status.")]
);

answer!(
    /// A file of evidence.
    EvidenceFile,
    "A file that is attached to a dispute. None can be here.",
    &[("evidence_type", text, "What it is."), ("file_metadata_response", object_or_null, "The file.")]
);

pub(super) fn doc(method: &str, path: &str) -> Option<Doc> {
    if method == "GET" { questions(path) } else { answers(path) }
}

fn doc_of(id: &'static str, summary: &'static str, about: &'static str) -> Draft {
    Doc::new(id, Tag::Disputes, summary, about)
}

fn questions(path: &str) -> Option<Doc> {
    Some(match path {
        "/disputes/list" => listed("ListDisputes", "Disputes, newest first"),
        "/disputes/profile/list" => {
            listed("ListDisputesOfProfile", "Disputes of the profile that is acted in, newest first")
        }
        "/disputes/aggregate" => counted("CountDisputes", "How many disputes there are"),
        "/disputes/profile/aggregate" => {
            counted("CountDisputesOfProfile", "How many there are of the profile that is acted in")
        }
        "/disputes/{dispute_id}" => doc_of("GetDispute", "Look at a dispute", "As it stands in the books.")
            .query(Param::of::<bool>("force_sync", "Ask the provider first."))
            .gives::<Dispute>(StatusCode::OK, "How the dispute stands."),
        "/disputes/evidence/{dispute_id}" => doc_of(
            "GetDisputeEvidence",
            "The files of a dispute",
            "Files cannot be attached here, so there are none; the texts that were sent are in the dispute.",
        )
        .gives::<ListOf<EvidenceFile>>(StatusCode::OK, "None."),
        _ => return None,
    })
}

fn answers(path: &str) -> Option<Doc> {
    Some(match path {
        "/disputes/accept/{dispute_id}" => doc_of(
            "AcceptDispute",
            "Give in",
            "The money stays with the payer. Final: it cannot be taken back.",
        )
        .idempotent()
        .gives::<Dispute>(StatusCode::OK, "How the dispute stands; `pending_action` while that is not known."),
        "/disputes/evidence" => doc_of(
            "SubmitDisputeEvidence",
            "Send evidence",
            "Texts, as your one answer: it cannot be sent twice. Files are not taken.",
        )
        .idempotent()
        .takes::<EvidenceRequest>(
            r#"{"dispute_id": "dp_1", "customer_name": "Ada Lovelace", "uncategorized_text": "Delivered on 3 May."}"#,
        )
        .gives::<Dispute>(StatusCode::OK, "How the dispute stands; `pending_action` while that is not known."),
        _ => return None,
    })
}

fn listed(id: &'static str, summary: &'static str) -> Doc {
    let about = "A page of them. Words may be several, with a comma in between.";
    doc_of(id, summary, about)
        .query(Param::of::<u32>("limit", "How many at most: 1 to 100, and 10 by itself."))
        .query(Param::of::<String>("dispute_id", "Only this one."))
        .query(Param::of::<String>("payment_id", "Only this payment's."))
        .query(Param::of::<String>("profile_id", "Only this profile's."))
        .query(Param::of::<String>("dispute_status", "Only those that stand so."))
        .query(Param::of::<String>("dispute_stage", "Only those that have come so far."))
        .query(Param::of::<String>("reason", "Only those of this `connector_reason`."))
        .query(Param::of::<String>("connector", "Only this provider's."))
        .query(Param::of::<String>("merchant_connector_id", "Only this account's."))
        .query(Param::of::<String>("currency", "Only those in this currency."))
        .query(Param::of::<Time>("received_time", "Only those first heard of then."))
        .query(Param::of::<Time>("received_time.gte", "Only those then or later."))
        .query(Param::of::<Time>("received_time.gt", "Only those later."))
        .query(Param::of::<Time>("received_time.lte", "Only those then or earlier."))
        .query(Param::of::<Time>("received_time.lt", "Only those earlier."))
        .gives::<ListOf<Dispute>>(StatusCode::OK, "A page.")
}

fn counted(id: &'static str, summary: &'static str) -> Doc {
    doc_of(id, summary, "By how they stand.")
        .query(Param::of::<Time>("start_time", "Only those first heard of then or later. Needed."))
        .query(Param::of::<Time>("end_time", "Only those then or earlier."))
        .gives::<DisputeCounts>(StatusCode::OK, "The numbers.")
}
