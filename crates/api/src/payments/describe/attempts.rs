//! The forms of a payment's attempts and captures.

use super::form::{answer, anything, maybe_text, nothing, of, text, time, whole};
use crate::openapi::types::CurrencyCode;

answer!(
    /// One attempt.
    Attempt,
    "One try at one provider.",
    &[
        ("attempt_id", text, "The payment's id and a number."),
        ("status", text, "How it stands, in the contract's words for attempts."),
        ("amount", whole, "What was asked for."),
        ("order_tax_amount", nothing, "Always null here."),
        ("currency", of::<CurrencyCode>, "Its currency."),
        ("connector", maybe_text, "The provider; null before one was asked."),
        ("error_message", maybe_text, "Why it failed, in the provider's words where it gave any."),
        ("payment_method", maybe_text, "`card`, once it is known."),
        ("connector_transaction_id", maybe_text, "The provider's own reference."),
        ("capture_method", text, "`automatic`, `manual` or `manual_multiple`."),
        ("authentication_type", text, "`three_ds` or `no_three_ds`."),
        ("created_at", time, "When it was planned."),
        ("modified_at", time, "When it last changed."),
        ("cancellation_reason", maybe_text, "Why you cancelled the payment."),
        ("mandate_id", maybe_text, "The payment's mandate."),
        ("error_code", maybe_text, "Why it failed, as a normalised code."),
        ("payment_token", maybe_text, "The saved method."),
        ("connector_metadata", nothing, "Always null here."),
        ("payment_experience", nothing, "Always null here."),
        ("payment_method_type", anything, "`credit` or `debit`, where you said so."),
        ("reference_id", nothing, "Always null here."),
        ("unified_code", nothing, "Always null here."),
        ("unified_message", nothing, "Always null here."),
        ("client_source", nothing, "Always null here."),
        ("client_version", nothing, "Always null here."),
        ("error_details", nothing, "Always null here."),
    ]
);

answer!(
    /// One capture.
    Capture,
    "One capture of what was held.",
    &[
        ("capture_id", text, "The attempt's id and a number."),
        ("status", text, "`started`, `charged`, `pending` or `failed`."),
        ("amount", whole, "What was asked for."),
        ("currency", of::<CurrencyCode>, "Its currency."),
        ("connector", text, "The provider."),
        ("authorized_attempt_id", text, "The attempt that held it."),
        ("connector_capture_id", maybe_text, "The provider's own reference."),
        ("capture_sequence", whole, "Its number, from 1."),
        ("error_message", maybe_text, "Why it failed, in the provider's words where it gave any."),
        ("error_code", maybe_text, "The same, as a code."),
        ("error_reason", nothing, "Always null here."),
        ("reference_id", nothing, "Always null here."),
    ]
);
