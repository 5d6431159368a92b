//! How Adyen words each decline: `refusalReasonCode`, `refusalReason` and `resultCode`.
//!
//! From Adyen's published table of refusal reasons, which is coarser than the normalised codes.

use crate::codes::DeclineCode;

/// A row of Adyen's table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) reason: &'static str,
}

impl Refusal {
    /// `Error` for a failure on the acquirer's side, otherwise `Refused`.
    pub(super) fn result_code(self) -> &'static str {
        if self.code == "4" { "Error" } else { "Refused" }
    }
}

pub(super) fn refusal(decline: DeclineCode) -> Refusal {
    let (code, reason) = match decline.row().code {
        "call_issuer" => ("3", "Referral"),
        "system_malfunction" | "format_error" => ("4", "Acquirer Error"),
        "lost_card" | "stolen_card" | "pickup_card" => ("5", "Blocked Card"),
        "expired_card" | "invalid_expiry" => ("6", "Expired Card"),
        "invalid_amount" => ("7", "Invalid Amount"),
        "invalid_card_number" | "no_such_issuer" => ("8", "Invalid Card Number"),
        "issuer_unavailable" | "issuer_timeout_declined" => ("9", "Issuer Unavailable"),
        "currency_not_supported" | "invalid_merchant" | "prepaid_not_supported" => {
            ("10", "Not supported")
        }
        "card_brand_not_supported" | "installments_not_supported" => ("10", "Not supported"),
        "authentication_failed" => ("11", "3D Not Authenticated"),
        "insufficient_funds" => ("12", "Not enough balance"),
        "security_violation" => ("14", "Acquirer Fraud"),
        "incorrect_pin" => ("17", "Invalid Pin"),
        "pin_tries_exceeded" => ("18", "Pin tries exceeded"),
        "risk_blocked" | "velocity_exceeded" | "blocklisted" => ("20", "FRAUD"),
        "merchant_account_disabled" => ("21", "Not Submitted"),
        "transaction_not_permitted_cardholder" | "transaction_not_permitted_terminal" => {
            ("23", "Transaction Not Permitted")
        }
        "invalid_transaction" => ("23", "Transaction Not Permitted"),
        "incorrect_cvv" => ("24", "CVC Declined"),
        "restricted_card" | "card_not_active" => ("25", "Restricted Card"),
        "stop_payment" | "revocation_of_authorization" | "revocation_of_all_authorizations" => {
            ("26", "Revocation Of Auth")
        }
        "closed_account" | "no_such_account" | "law_violation" | "policy_decline" => {
            ("27", "Declined Non Generic")
        }
        "card_lifecycle_update" | "duplicate_transaction" | "reenter_transaction" => {
            ("27", "Declined Non Generic")
        }
        "amount_limit_exceeded" => ("28", "Withdrawal amount exceeded"),
        "count_limit_exceeded" => ("29", "Withdrawal count exceeded"),
        "suspected_fraud" => ("31", "Issuer Suspected Fraud"),
        "address_verification_failed" => ("32", "AVS Declined"),
        "authentication_required" => ("38", "Authentication required"),
        // do_not_honor, generic_decline, provider_declined, partial_approval_unsupported
        _ => ("2", "Refused"),
    };
    Refusal { code, reason }
}
