//! What the Gateway API's operations say of themselves.

use http::StatusCode;

use super::result::OperationResult;
use super::shape;
use crate::error::ValidationErrorMessage;
use crate::openapi::{Doc, Draft, Tag};

/// Said of a 503.
const UNAVAILABLE: &str =
    "`TemporaryFailure`: nothing was attempted. Without a body, the keys could not be read.";

/// Said of a 500.
const FATAL: &str = "`FatalFailure`: nothing was attempted; the account's credentials are wrong, or an \
                     error of the server's.";

fn new(id: &'static str, summary: &'static str, description: &'static str) -> Draft {
    Doc::new(id, Tag::PaymentGateway, summary, description)
}

pub(super) fn charge() -> Doc {
    let about =
        "The accounts named are tried in order until one approves or an outcome is in doubt.";
    moves_money(
        new("GatewayCharge", "Take an amount at once", about)
            .takes::<shape::AuthRequest>(shape::CHARGE),
    )
}

pub(super) fn authorize() -> Doc {
    let about = "Accounts are tried as for a charge. Capture or void it later.";
    moves_money(
        new("GatewayAuthorize", "Hold an amount", about).takes::<shape::AuthRequest>(shape::CHARGE),
    )
}

pub(super) fn tokenize() -> Doc {
    let about = "The `gatewayToken` of the answer goes into `userToken` later.";
    with_failures(
        new("GatewayTokenize", "Have the gateway keep the card", about)
            .takes::<shape::TokenizeRequest>(shape::TOKENIZE)
            .idempotent()
            .gives::<OperationResult>(StatusCode::OK, "The card is kept, or the result follows."),
    )
}

pub(super) fn capture() -> Doc {
    moves_money(
        new("GatewayCapture", "Take all or part of a hold", "Also in several parts.")
            .takes::<shape::CaptureVoidRequest>(shape::CHANGE),
    )
}

pub(super) fn refund() -> Doc {
    let summary = "Give back all or part of what was captured";
    moves_money(
        new("GatewayRefund", summary, "Also in several parts.")
            .takes::<shape::RefundRequest>(shape::CHANGE),
    )
}

pub(super) fn void() -> Doc {
    let summary = "Release a hold, or reverse a charge that has not settled";
    moves_money(
        new("GatewayVoid", summary, "Always the whole amount. Never a refund.")
            .takes::<shape::CaptureVoidRequest>(shape::CHANGE),
    )
}

pub(super) fn status() -> Doc {
    let about =
        "By `refTransId`, or by `myRef`, which finds the newest. Ask this before charging again.";
    new("GatewayStatus", "How a payment stands", about)
        .takes::<shape::StatusRequest>(shape::STATUS)
        .gives::<OperationResult>(StatusCode::OK, "The payment is found; its own result.")
        .gives::<OperationResult>(StatusCode::CONFLICT, "Nothing is known under the reference.")
        .gives::<OperationResult>(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE)
        .gives::<OperationResult>(StatusCode::INTERNAL_SERVER_ERROR, FATAL)
}

/// The answers that charge, authorize, capture, refund and void have in common.
fn moves_money(draft: Draft) -> Doc {
    let accepted =
        "`Success`: done. `Accepted`: not known yet, or the result follows; see `reason`.";
    with_failures(draft.idempotent().gives::<OperationResult>(StatusCode::ACCEPTED, accepted))
}

fn with_failures(doc: Doc) -> Doc {
    let rejected = "`Rejected`: declined, refused, or not possible as the payment stands. \
                    `NotImplemented`: the gateway has no such operation.";
    let reused = "The idempotency key stands for another request.";
    doc.gives::<OperationResult>(StatusCode::CONFLICT, rejected)
        .gives::<ValidationErrorMessage<'_>>(StatusCode::UNPROCESSABLE_ENTITY, reused)
        .gives::<OperationResult>(StatusCode::INTERNAL_SERVER_ERROR, FATAL)
        .gives::<OperationResult>(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE)
}
