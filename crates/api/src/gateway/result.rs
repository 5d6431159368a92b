//! `OperationResult`: what every payment operation answers, and the status code that goes with it.

use baton_engine::{Answered, EngineError};
use baton_flow::{
    Call, CallId, CallState, Candidate, Closure, Failure, OrderKind, Payment, Standing, Verdict,
    VoidReason, amounts,
};
use baton_types::outcome::{NotSent, Outcome, Refused};
use baton_types::{Money, PaymentId, Timestamp};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::codes::ErrorCode;
use crate::fields::sentence;
use crate::openapi::types;

/// What became of an operation: the contract's own result, with additions.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OperationResult {
    operation_type: OperationType,
    operation_result_code: ResultCode,
    /// What happened, in a sentence.
    operation_result_description: Option<String>,
    /// The issuer's or the gateway's.
    authorization_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "types::CurrencyCode")]
    currency: Option<String>,
    /// The amount that was approved, or asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "types::Amount")]
    amount: Option<Box<RawValue>>,
    /// The kind of gateway, such as `Sandbox`.
    gateway_name: Option<String>,
    /// The gateway's reference; goes into `refTransId` later.
    gateway_reference: Option<String>,
    /// The gateway's own code; of a status, how the payment stands.
    gateway_result_code: Option<String>,
    /// The gateway's own text.
    gateway_result_description: Option<String>,
    /// A decline's reason in one vocabulary for all gateways.
    gateway_result_sub_code: Option<String>,
    gateway_result_sub_description: Option<String>,
    custom_gateway_response: Option<String>,
    /// The token that the gateway made of the card; goes into `userToken` later.
    gateway_token: Option<String>,
    /// True only for `Success`.
    success: bool,
    /// Our id of the payment.
    #[schemars(with = "Option<types::Id>")]
    transaction_id: Option<String>,
    /// Why it is not a plain success or failure.
    reason: Option<&'static str>,
    /// When a doubt is looked up next.
    #[schemars(with = "Option<types::Time>")]
    next_check_at: Option<String>,
    /// The account that gave the final answer.
    payment_gateway_account_name: Option<String>,
    gateway_response: Option<GatewayResponse>,
    /// One entry per account tried.
    attempts: Vec<AttemptEntry>,
    #[serde(skip)]
    pub(crate) retry_after_s: Option<u64>,
}

/// The gateway's own code and text.
#[derive(Serialize, JsonSchema)]
struct GatewayResponse {
    code: Option<String>,
    message: Option<String>,
}

/// What became of the operation at one account.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Attempt")]
#[serde(rename_all = "camelCase")]
struct AttemptEntry {
    payment_gateway_account_name: String,
    gateway_name: String,
    /// `approved`, `pending`, `action_required`, `declined`, `refused`, `not_sent`, `unknown`, `running`,
    /// `voided`, `fenced` or `absent`.
    outcome: String,
    reason: Option<String>,
    gateway_result_code: Option<String>,
    gateway_reference: Option<String>,
    duration_ms: Option<i64>,
}

/// The result in one vocabulary for all gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Result")]
pub(crate) enum ResultCode {
    Success,
    Accepted,
    Rejected,
    TemporaryFailure,
    FatalFailure,
    NotImplemented,
}

/// The operation; an authorization answers `PreAuth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Operation")]
pub(crate) enum OperationType {
    Charge,
    PreAuth,
    Capture,
    Void,
    Refund,
    Tokenize,
    Status,
}

impl OperationType {
    fn of(payment: &Payment, call: CallId) -> Self {
        match call {
            CallId::Attempt(_) => match payment.order.kind {
                OrderKind::Charge(_) => Self::Charge,
                OrderKind::Authorize(_) => Self::PreAuth,
                OrderKind::Tokenize => Self::Tokenize,
            },
            CallId::Capture(_) => Self::Capture,
            CallId::Void(_) => Self::Void,
            CallId::Refund(_) => Self::Refund,
            // Not asked for in this family: it holds more of the same.
            CallId::Increment(_) => Self::PreAuth,
        }
    }
}

/// What decides the result: which call's answer is shown, and what it comes to.
struct Conclusion<'a> {
    code: ResultCode,
    reason: Option<&'static str>,
    description: String,
    shown: CallId,
    outcome: Option<&'a Outcome>,
}

impl OperationResult {
    /// The result of what was asked.
    pub(crate) fn of(answered: &Answered, now: Timestamp) -> Self {
        let payment = &answered.payment;
        let operation = OperationType::of(payment, answered.call);
        let mut result = Self::render(payment, operation, answered.call, now);
        if answered.duplicate {
            // Whatever has become of the other payment meanwhile: this one was not made.
            result.operation_result_code = ResultCode::Accepted;
            result.success = false;
            result.reason = Some(ErrorCode::DuplicateInDoubt.as_str());
            result.operation_result_description = Some(DUPLICATE_IN_DOUBT.to_owned());
            result.retry_after_s = None;
        }
        result
    }

    /// The result of a look-up of an earlier operation: that operation's result, as it stands now.
    pub(crate) fn of_status(answered: &Answered, now: Timestamp) -> Self {
        let mut result = Self::render(&answered.payment, OperationType::Status, answered.call, now);
        let status = answered.payment.status();
        if status == "voided" {
            result.operation_result_description = Some("Approved, and voided since".to_owned());
        }
        result.gateway_result_code = Some(status.to_owned());
        // It is the earlier operation that failed; looking again at once shows nothing new.
        result.retry_after_s = None;
        result
    }

    /// A refusal of ours: nothing was sent anywhere.
    pub(crate) fn refused(operation: OperationType, error: &EngineError) -> Self {
        let (code, reason) = match error {
            EngineError::Unavailable | EngineError::Overtaken => {
                (ResultCode::TemporaryFailure, ErrorCode::Unavailable)
            }
            EngineError::NoAnswer => (ResultCode::TemporaryFailure, ErrorCode::NoAnswer),
            EngineError::Internal => (ResultCode::FatalFailure, ErrorCode::InternalError),
            EngineError::StillRunning => (ResultCode::Accepted, ErrorCode::InProgress),
            EngineError::NotFound => (ResultCode::Rejected, ErrorCode::UnknownReference),
            EngineError::Refused(_)
            | EngineError::UnknownAccount { .. }
            | EngineError::WrongMode { .. }
            | EngineError::OtherCard
            | EngineError::NotTheWhole { .. }
            | EngineError::Brought(_)
            | EngineError::KeyReused => (ResultCode::Rejected, ErrorCode::NotAllowed),
        };
        Self {
            operation_type: operation,
            operation_result_code: code,
            operation_result_description: Some(sentence(error)),
            authorization_code: None,
            currency: None,
            amount: None,
            gateway_name: None,
            gateway_reference: None,
            gateway_result_code: None,
            gateway_result_description: None,
            gateway_result_sub_code: None,
            gateway_result_sub_description: None,
            custom_gateway_response: None,
            gateway_token: None,
            success: false,
            transaction_id: None,
            reason: Some(reason.as_str()),
            next_check_at: None,
            payment_gateway_account_name: None,
            gateway_response: None,
            attempts: Vec::new(),
            retry_after_s: (code == ResultCode::TemporaryFailure).then_some(1),
        }
    }

    fn render(payment: &Payment, operation: OperationType, call: CallId, now: Timestamp) -> Self {
        let conclusion = conclude(payment, call);
        let answered = conclusion.outcome.and_then(Outcome::answer);
        let answer = answered.cloned().unwrap_or_default();
        let candidate =
            payment.attempt_of(conclusion.shown).and_then(|attempt| payment.candidate(attempt));
        // What a sale has taken is what was captured, where it was run as a hold.
        let is_captured_hold = payment.holds()
            && conclusion.code == ResultCode::Success
            && matches!((payment.order.kind, call), (OrderKind::Charge(_), CallId::Attempt(_)));
        let amount = match conclusion.outcome {
            Some(Outcome::Approved { .. }) if is_captured_hold => {
                amounts::of(payment).map(|sums| sums.captured)
            }
            Some(Outcome::Approved { amount: Some(amount), .. }) => Some(*amount),
            _ => payment.amount_of(call).or_else(|| payment.order.kind.amount()),
        };
        let open = payment.call(conclusion.shown).filter(|call| !call.is_concluded());
        let next_check_at = open
            .filter(|_| conclusion.code == ResultCode::Accepted)
            .map(|call| call.next_check(now).to_rfc3339());
        let retry_after_s = (conclusion.code == ResultCode::TemporaryFailure)
            .then(|| answer.retry_after_ms.map_or(1, |ms| ms.div_ceil(1000).max(1)));
        Self {
            operation_type: operation,
            operation_result_code: conclusion.code,
            operation_result_description: Some(conclusion.description),
            authorization_code: answer.authorization_code,
            currency: amount.map(|amount| amount.currency().code().to_owned()),
            amount: amount.and_then(number),
            gateway_name: candidate.map(|candidate| candidate.gateway.clone()),
            gateway_reference: answer.reference,
            gateway_result_code: answer.code.clone(),
            gateway_result_description: answer.message.clone(),
            gateway_result_sub_code: sub_code(conclusion.outcome),
            gateway_result_sub_description: None,
            custom_gateway_response: None,
            gateway_token: answer.token,
            success: conclusion.code == ResultCode::Success,
            transaction_id: Some(payment.id.to_string()),
            reason: conclusion.reason,
            next_check_at,
            payment_gateway_account_name: candidate.map(|candidate| candidate.label.clone()),
            gateway_response: answered
                .map(|_| GatewayResponse { code: answer.code, message: answer.message }),
            attempts: attempts(payment, call),
            retry_after_s,
        }
    }

    /// The status code; the body carries the result in every case.
    ///
    /// A look-up that found its transaction has succeeded, whatever became of that: to answer 503 for a
    /// payment that failed long ago would make clients repeat the look-up for ever.
    pub(crate) fn status(&self) -> StatusCode {
        if self.operation_type == OperationType::Status && self.transaction_id.is_some() {
            return StatusCode::OK;
        }
        match self.operation_result_code {
            ResultCode::Success | ResultCode::Accepted
                if self.operation_type == OperationType::Tokenize =>
            {
                StatusCode::OK
            }
            ResultCode::Success | ResultCode::Accepted => StatusCode::ACCEPTED,
            ResultCode::Rejected | ResultCode::NotImplemented => StatusCode::CONFLICT,
            ResultCode::TemporaryFailure => StatusCode::SERVICE_UNAVAILABLE,
            ResultCode::FatalFailure => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The result's word, for the log.
    pub(crate) fn code(&self) -> ResultCode {
        self.operation_result_code
    }

    /// The payment's id, for the log.
    pub(crate) fn transaction(&self) -> Option<PaymentId> {
        self.transaction_id.as_deref().and_then(|id| PaymentId::parse(id).ok())
    }
}

fn conclude(payment: &Payment, call: CallId) -> Conclusion<'_> {
    match call {
        CallId::Attempt(_) => conclude_payment(payment),
        CallId::Capture(_) | CallId::Void(_) | CallId::Refund(_) | CallId::Increment(_) => {
            conclude_call(payment, call)
        }
    }
}

fn conclude_payment(payment: &Payment) -> Conclusion<'_> {
    match payment.verdict() {
        Verdict::Running => accepted(last_attempt(payment), None, IN_PROGRESS),
        Verdict::InDoubt(no) => {
            let outcome = match payment.standing(no) {
                Some(Standing::Open(outcome)) => Some(outcome),
                _ => None,
            };
            let reason = match outcome {
                Some(Outcome::Pending { .. }) => PENDING,
                Some(Outcome::ActionRequired { .. }) => ACTION_REQUIRED,
                Some(_) if payment.holds() => HOLD_UNKNOWN,
                Some(_) => OUTCOME_UNKNOWN,
                None if payment.winner() == Some(no) => CAPTURING,
                None if payment.holds() && is_whole(payment, no) => HOLD_UNDECIDED,
                None => PARTIAL_APPROVAL,
            };
            accepted(CallId::Attempt(no), outcome, reason)
        }
        Verdict::Approved(no) => {
            let shown = CallId::Attempt(no);
            let outcome = final_outcome(payment, shown);
            let (reason, description) = match payment.order.imported {
                true => (Some(ErrorCode::Imported.as_str()), IMPORTED),
                false => (None, "Approved"),
            };
            Conclusion {
                code: ResultCode::Success,
                reason,
                description: description.to_owned(),
                shown,
                outcome,
            }
        }
        Verdict::Failed(Failure::Attempt(no, outcome)) => failed(CallId::Attempt(no), outcome),
        Verdict::Failed(Failure::Closed(no, how, why)) => closed(payment, no, how, why),
        Verdict::Failed(Failure::NotTried) => Conclusion {
            code: ResultCode::TemporaryFailure,
            reason: Some(ErrorCode::NotTried.as_str()),
            description: "No account was tried".to_owned(),
            shown: CallId::Attempt(1),
            outcome: None,
        },
    }
}

fn conclude_call(payment: &Payment, id: CallId) -> Conclusion<'_> {
    match payment.call(id).map(|call| &call.state) {
        Some(CallState::Final { outcome: outcome @ Outcome::Approved { .. }, .. }) => Conclusion {
            code: ResultCode::Success,
            reason: None,
            description: "Done".to_owned(),
            shown: id,
            outcome: Some(outcome),
        },
        Some(CallState::Final { outcome, .. }) => failed(id, outcome),
        Some(CallState::Open { outcome, .. }) => accepted(id, Some(outcome), OUTCOME_UNKNOWN),
        Some(CallState::Closed { .. }) => Conclusion {
            code: ResultCode::Rejected,
            reason: Some(ErrorCode::NotExecuted.as_str()),
            description: "The provider has not carried it out".to_owned(),
            shown: id,
            outcome: None,
        },
        Some(CallState::Planned) | None => accepted(id, None, IN_PROGRESS),
    }
}

/// Why something is not known yet, with the sentence that says so.
type Told = (ErrorCode, &'static str);

const DUPLICATE_IN_DOUBT: &str = "Another payment for the same is in doubt; this one was sent nowhere, and this is the other one";
const IMPORTED: &str = "Approved; it was made at the gateway without this server and taken over";
const IN_PROGRESS: Told = (ErrorCode::InProgress, "It is being carried out");
const PENDING: Told = (ErrorCode::Pending, "The provider has accepted it; the result follows");
const ACTION_REQUIRED: Told =
    (ErrorCode::ActionRequired, "The payer would have to act; it is being cancelled");
const PARTIAL_APPROVAL: Told =
    (ErrorCode::PartialApproval, "Only a part was approved; it is being voided");
const CAPTURING: Told =
    (ErrorCode::InProgress, "The amount is held; success is told once it is captured");
const HOLD_UNDECIDED: Told =
    (ErrorCode::InProgress, "The amount is held, and of several holds one is being decided on");
const HOLD_UNKNOWN: Told = (
    ErrorCode::OutcomeUnknown,
    "The provider's answer was lost; the outcome is being looked up, and what is held twice is given back",
);
const OUTCOME_UNKNOWN: Told = (
    ErrorCode::OutcomeUnknown,
    "The provider's answer was lost; the outcome is being looked up, and nothing else is tried until \
     it is known",
);

/// Whether an attempt was approved for all that was asked.
fn is_whole(payment: &Payment, no: u16) -> bool {
    matches!(payment.standing(no), Some(Standing::Approved(amount)) if amount == payment.order.kind.amount())
}

fn accepted(
    shown: CallId,
    outcome: Option<&Outcome>,
    (reason, description): Told,
) -> Conclusion<'_> {
    Conclusion {
        code: ResultCode::Accepted,
        reason: Some(reason.as_str()),
        description: description.to_owned(),
        shown,
        outcome,
    }
}

fn failed(shown: CallId, outcome: &Outcome) -> Conclusion<'_> {
    let (code, reason, description) = match outcome {
        Outcome::NotSent { why: NotSent::NotSupported } => (
            ResultCode::NotImplemented,
            Some(ErrorCode::NotSupported.as_str()),
            "The gateway does not support this operation".to_owned(),
        ),
        Outcome::NotSent { why } => {
            let reason = ErrorCode::from(*why).as_str();
            (ResultCode::TemporaryFailure, Some(reason), not_sent(*why).to_owned())
        }
        Outcome::Refused { why, answer } => {
            let code = match why {
                Refused::Credentials => ResultCode::FatalFailure,
                Refused::Validation => ResultCode::Rejected,
                Refused::RateLimited | Refused::Unavailable => ResultCode::TemporaryFailure,
            };
            let said = answer.message.clone();
            let said = said.unwrap_or_else(|| "Refused by the gateway".to_owned());
            (code, Some(ErrorCode::from(*why).as_str()), said)
        }
        Outcome::Declined { code, answer, .. } => {
            let said = answer.message.clone();
            let meaning = || code.info().meaning.to_owned();
            (ResultCode::Rejected, Some(code.as_str()), said.unwrap_or_else(meaning))
        }
        // Only a token's call ends without an answer; no money is in doubt.
        Outcome::Unknown { .. } | Outcome::Pending { .. } | Outcome::ActionRequired { .. } => (
            ResultCode::TemporaryFailure,
            Some(ErrorCode::NoAnswer.as_str()),
            "The gateway gave no usable answer".to_owned(),
        ),
        Outcome::Approved { .. } => (ResultCode::Success, None, "Approved".to_owned()),
    };
    Conclusion { code, reason, description, shown, outcome: Some(outcome) }
}

fn closed(payment: &Payment, no: u16, how: Closure, why: Option<VoidReason>) -> Conclusion<'_> {
    let (reason, description) = match (why, how) {
        (Some(VoidReason::PartialApproval), _) => {
            (ErrorCode::PartialApproval, "Only a part was approved; it has been voided")
        }
        (Some(VoidReason::ActionRequired), _) => {
            (ErrorCode::ActionRequired, "The payer would have to act; it has been cancelled")
        }
        (Some(VoidReason::CaptureFailed), _) => (
            ErrorCode::CaptureFailed,
            "The hold could not be captured; it has been voided and nothing was taken",
        ),
        (
            Some(VoidReason::Requested | VoidReason::LosingHold | VoidReason::InDoubt) | None,
            Closure::Voided,
        ) => (ErrorCode::Voided, "The outcome was unknown; it has been voided"),
        (_, Closure::Fenced) => {
            (ErrorCode::Fenced, "The outcome was unknown; it can no longer happen")
        }
        (_, Closure::Absent) => (ErrorCode::Absent, "The provider has not carried it out"),
    };
    let shown = CallId::Attempt(no);
    Conclusion {
        code: ResultCode::Rejected,
        reason: Some(reason.as_str()),
        description: description.to_owned(),
        shown,
        outcome: final_outcome(payment, shown),
    }
}

fn final_outcome(payment: &Payment, id: CallId) -> Option<&Outcome> {
    match &payment.call(id)?.state {
        CallState::Final { outcome, .. } | CallState::Open { outcome, .. } => Some(outcome),
        CallState::Planned | CallState::Closed { .. } => None,
    }
}

fn last_attempt(payment: &Payment) -> CallId {
    CallId::Attempt(u16::try_from(payment.attempts.len()).unwrap_or(u16::MAX).max(1))
}

/// The decline in our terms stands beside the provider's own code.
fn sub_code(outcome: Option<&Outcome>) -> Option<String> {
    let Some(Outcome::Declined { code, .. }) = outcome else { return None };
    Some(code.as_str().to_owned())
}

/// An exact decimal: a JSON number that never was a float.
pub(crate) fn number(amount: Money) -> Option<Box<RawValue>> {
    RawValue::from_string(amount.to_major()).ok()
}

/// One entry per account tried; a capture, void or refund tries one.
fn attempts(payment: &Payment, call: CallId) -> Vec<AttemptEntry> {
    match call {
        CallId::Attempt(_) => (1_u16..)
            .zip(&payment.attempts)
            .filter_map(|(no, call)| {
                Some(entry(payment.candidate(no)?, call, standing(payment, no)))
            })
            .collect(),
        CallId::Capture(_) | CallId::Void(_) | CallId::Refund(_) | CallId::Increment(_) => {
            let candidate = payment.attempt_of(call).and_then(|no| payment.candidate(no));
            let made = candidate.zip(payment.call(call));
            let entry = made.map(|(candidate, call)| entry(candidate, call, call_standing(call)));
            entry.into_iter().collect()
        }
    }
}

fn entry(candidate: &Candidate, call: &Call, standing: &str) -> AttemptEntry {
    let (outcome, ended) = match &call.state {
        CallState::Planned => (None, None),
        CallState::Open { outcome, .. } => (Some(outcome), None),
        CallState::Final { outcome, at } => (Some(outcome), Some(*at)),
        CallState::Closed { at, .. } => (None, Some(*at)),
    };
    let answer = outcome.and_then(Outcome::answer);
    AttemptEntry {
        payment_gateway_account_name: candidate.label.clone(),
        gateway_name: candidate.gateway.clone(),
        outcome: standing.to_owned(),
        reason: outcome.and_then(reason).map(str::to_owned),
        gateway_result_code: answer.and_then(|answer| answer.code.clone()),
        gateway_reference: answer.and_then(|answer| answer.reference.clone()),
        duration_ms: ended.map(|at| at.since(call.planned_at)),
    }
}

fn standing(payment: &Payment, no: u16) -> &'static str {
    match payment.standing(no) {
        None | Some(Standing::Running) => "running",
        Some(Standing::Open(outcome) | Standing::Failed(outcome)) => outcome.class(),
        Some(Standing::Approved(_)) => "approved",
        Some(Standing::Closed(how)) => closure(how),
    }
}

fn call_standing(call: &Call) -> &'static str {
    match &call.state {
        CallState::Planned => "running",
        CallState::Open { outcome, .. } | CallState::Final { outcome, .. } => outcome.class(),
        CallState::Closed { how, .. } => closure(*how),
    }
}

fn closure(how: Closure) -> &'static str {
    match how {
        Closure::Voided => "voided",
        Closure::Fenced => "fenced",
        Closure::Absent => "absent",
    }
}

fn reason(outcome: &Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::NotSent { why } => Some(ErrorCode::from(*why).as_str()),
        Outcome::Unknown { why } => Some(ErrorCode::from(*why).as_str()),
        Outcome::Declined { code, .. } => Some(code.as_str()),
        Outcome::Refused { why, .. } => Some(ErrorCode::from(*why).as_str()),
        Outcome::Approved { .. } | Outcome::Pending { .. } | Outcome::ActionRequired { .. } => None,
    }
}

fn not_sent(why: NotSent) -> &'static str {
    match why {
        NotSent::NotConfigured | NotSent::NotSupported => {
            "The account lacks something that this call needs; nothing was sent"
        }
        NotSent::BreakerOpen | NotSent::TooManyInFlight | NotSent::TooLate => {
            "The gateway was not called"
        }
        NotSent::DnsFailed
        | NotSent::ConnectFailed
        | NotSent::ConnectTimeout
        | NotSent::TlsFailed
        | NotSent::ClosedBeforeSending => "The gateway could not be reached; nothing was sent",
        NotSent::StreamRefused => "The gateway turned the request away unprocessed",
        NotSent::PreparationFailed => {
            "The gateway failed before the payment was put to it; no money can have moved"
        }
    }
}
