//! How Stripe words each decline: `code` and `decline_code` of a `card_error`.
//!
//! From Stripe's published lists of error codes and decline codes. Several normalised codes share one of
//! Stripe's, which is coarser.

use crate::codes::DeclineCode;

/// The error's `code`, and its `decline_code` where it has one.
pub(super) fn codes(decline: DeclineCode) -> (&'static str, Option<&'static str>) {
    let decline_code = match decline.row().code {
        "expired_card" => return ("expired_card", Some("expired_card")),
        "invalid_card_number" | "no_such_issuer" => {
            return ("incorrect_number", Some("incorrect_number"));
        }
        "invalid_expiry" => return ("invalid_expiry_year", Some("invalid_expiry_year")),
        "incorrect_cvv" => return ("incorrect_cvc", Some("incorrect_cvc")),
        "address_verification_failed" => return ("incorrect_zip", Some("incorrect_zip")),
        "system_malfunction" | "format_error" => {
            return ("processing_error", Some("processing_error"));
        }
        "authentication_required" => {
            return ("authentication_required", Some("authentication_required"));
        }
        "authentication_failed" => return ("payment_intent_authentication_failure", None),
        "do_not_honor" => "do_not_honor",
        "insufficient_funds" => "insufficient_funds",
        "lost_card" => "lost_card",
        "stolen_card" => "stolen_card",
        "pickup_card" => "pickup_card",
        "restricted_card" => "restricted_card",
        "incorrect_pin" => "incorrect_pin",
        "pin_tries_exceeded" => "pin_try_exceeded",
        "card_not_active" | "closed_account" | "no_such_account" => "invalid_account",
        "issuer_unavailable" | "issuer_timeout_declined" => "issuer_not_available",
        "transaction_not_permitted_cardholder" | "transaction_not_permitted_terminal" => {
            "transaction_not_allowed"
        }
        "invalid_transaction" | "law_violation" | "installments_not_supported" => {
            "transaction_not_allowed"
        }
        "amount_limit_exceeded" => "card_velocity_exceeded",
        "count_limit_exceeded" => "withdrawal_count_limit_exceeded",
        "currency_not_supported" => "currency_not_supported",
        "invalid_amount" => "invalid_amount",
        "invalid_merchant" | "merchant_account_disabled" => "service_not_allowed",
        "suspected_fraud" | "risk_blocked" | "velocity_exceeded" => "fraudulent",
        "security_violation" => "security_violation",
        "call_issuer" => "call_issuer",
        "stop_payment" => "stop_payment_order",
        "revocation_of_authorization" => "revocation_of_authorization",
        "revocation_of_all_authorizations" => "revocation_of_all_authorizations",
        "card_lifecycle_update" => "new_account_information_available",
        "policy_decline" => "not_permitted",
        "duplicate_transaction" => "duplicate_transaction",
        "reenter_transaction" => "reenter_transaction",
        "prepaid_not_supported" | "card_brand_not_supported" => "card_not_supported",
        "blocklisted" => "merchant_blacklist",
        // generic_decline, provider_declined, partial_approval_unsupported
        _ => "generic_decline",
    };
    ("card_declined", Some(decline_code))
}
