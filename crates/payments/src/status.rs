//! An intent's states, how they follow from its payment, and what each of them allows. Pure.
//!
//! The names are the public contract's, and so are the guards, but for two that are narrower here: what was
//! captured in part is not confirmed or given up again. Where that contract turns a failed void or capture, or
//! a provider's silence, into `failed`, this does not: the state stays what the evidence says.

use baton_flow::{Failure, OrderKind, Payment, Standing, Verdict, amounts};
use serde::{Deserialize, Serialize};

use crate::intent::CaptureMethod;

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// How an intent stands.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum IntentStatus {
            $($(#[$doc])* $name,)*
        }

        impl IntentStatus {
            /// Every status, in the contract's order.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word that is shown.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

statuses! {
    /// Nothing is known of how it will be paid.
    RequiresPaymentMethod = "requires_payment_method",
    /// Everything is there, and nobody has confirmed.
    RequiresConfirmation = "requires_confirmation",
    /// The payer has to act.
    RequiresCustomerAction = "requires_customer_action",
    /// The merchant has to look at it.
    RequiresMerchantAction = "requires_merchant_action",
    /// An amount is held.
    RequiresCapture = "requires_capture",
    /// On its way, or in doubt.
    Processing = "processing",
    /// The money was taken.
    Succeeded = "succeeded",
    /// No provider took it, and none can any more.
    Failed = "failed",
    /// Given up before money was taken.
    Cancelled = "cancelled",
    /// Reversed after the money was taken, before it settled.
    CancelledPostCapture = "cancelled_post_capture",
    /// A part was taken, the rest released.
    PartiallyCaptured = "partially_captured",
    /// A part was taken, the rest can still be.
    PartiallyCapturedAndCapturable = "partially_captured_and_capturable",
    /// A part is held.
    PartiallyAuthorizedAndRequiresCapture = "partially_authorized_and_requires_capture",
    /// A part was taken, another is on its way.
    PartiallyCapturedAndProcessing = "partially_captured_and_processing",
    /// What the provider says does not fit.
    Conflicted = "conflicted",
    /// Nobody confirmed in time.
    Expired = "expired",
    /// A capture is being looked at.
    Review = "review",
}

/// What can be asked of an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flow {
    /// Change what was asked.
    Update,
    /// Charge it.
    Confirm,
    /// Take what is held.
    Capture,
    /// Give it up.
    Cancel,
    /// Reverse it.
    CancelPostCapture,
    /// Hold more.
    IncrementalAuthorization,
    /// Change its metadata.
    UpdateMetadata,
    /// Give money back.
    Refund,
    /// Let a browser's library begin.
    SessionToken,
}

impl Flow {
    /// Everything that can be asked.
    pub const ALL: [Self; 9] = [
        Self::Update,
        Self::Confirm,
        Self::Capture,
        Self::Cancel,
        Self::CancelPostCapture,
        Self::IncrementalAuthorization,
        Self::UpdateMetadata,
        Self::Refund,
        Self::SessionToken,
    ];

    /// The word in messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::Confirm => "confirm",
            Self::Capture => "capture",
            Self::Cancel => "cancel",
            Self::CancelPostCapture => "cancel_post_capture",
            Self::IncrementalAuthorization => "incremental_authorization",
            Self::UpdateMetadata => "update_metadata",
            Self::Refund => "refund",
            Self::SessionToken => "session_token",
        }
    }

    /// Whether the contract allows it from a status.
    #[must_use]
    pub const fn is_allowed(self, status: IntentStatus, capture: CaptureMethod) -> bool {
        use IntentStatus as S;
        match self {
            Self::Update => matches!(status, S::RequiresPaymentMethod | S::RequiresConfirmation),
            // A failed one is confirmed again only where a retry was asked for: see `Payments::confirm`.
            Self::Confirm => matches!(status, S::RequiresPaymentMethod | S::RequiresConfirmation),
            Self::Capture => match capture {
                CaptureMethod::Automatic => false,
                CaptureMethod::Manual => matches!(
                    status,
                    S::RequiresCapture
                        | S::PartiallyCapturedAndCapturable
                        | S::PartiallyAuthorizedAndRequiresCapture
                ),
                CaptureMethod::ManualMultiple => matches!(
                    status,
                    S::RequiresCapture
                        | S::PartiallyCapturedAndCapturable
                        | S::PartiallyAuthorizedAndRequiresCapture
                        | S::PartiallyCapturedAndProcessing
                        | S::Processing
                ),
            },
            Self::Cancel => matches!(
                status,
                S::RequiresPaymentMethod
                    | S::RequiresConfirmation
                    | S::RequiresCustomerAction
                    | S::RequiresCapture
                    | S::PartiallyAuthorizedAndRequiresCapture
            ),
            Self::CancelPostCapture => matches!(status, S::Succeeded | S::PartiallyCaptured),
            Self::IncrementalAuthorization => matches!(status, S::RequiresCapture),
            Self::UpdateMetadata => matches!(
                status,
                S::Succeeded
                    | S::Failed
                    | S::PartiallyCaptured
                    | S::PartiallyCapturedAndCapturable
                    | S::RequiresCapture
                    | S::RequiresCustomerAction
            ),
            Self::Refund => matches!(status, S::Succeeded | S::PartiallyCaptured),
            Self::SessionToken => !matches!(status, S::Failed | S::Succeeded | S::Review),
        }
    }

    /// From which statuses it is allowed, for messages.
    #[must_use]
    pub fn expected(self, capture: CaptureMethod) -> Vec<IntentStatus> {
        let all = IntentStatus::ALL.iter().copied();
        all.filter(|status| self.is_allowed(*status, capture)).collect()
    }
}

/// How an intent stands that has made this payment.
#[must_use]
pub fn of_payment(payment: &Payment, capture: CaptureMethod) -> IntentStatus {
    match payment.verdict() {
        Verdict::Running => IntentStatus::Processing,
        Verdict::InDoubt(_) if payment.awaited().is_some() => IntentStatus::RequiresCustomerAction,
        Verdict::InDoubt(_) => IntentStatus::Processing,
        Verdict::Failed(failure) => of_failure(&failure),
        Verdict::Approved(no) => match (payment.standing(no), payment.order.kind) {
            (Some(Standing::Closed(_)), OrderKind::Charge(_)) => IntentStatus::CancelledPostCapture,
            (Some(Standing::Closed(_)), _) => IntentStatus::Cancelled,
            (_, OrderKind::Charge(_) | OrderKind::Tokenize) => IntentStatus::Succeeded,
            (_, OrderKind::Authorize(_)) => of_hold(payment, capture),
        },
    }
}

fn of_failure(failure: &Failure<'_>) -> IntentStatus {
    match failure {
        // The payer was to act, and the merchant gave it up.
        Failure::Closed(_, _, Some(baton_flow::VoidReason::Requested)) => IntentStatus::Cancelled,
        Failure::Closed(..) | Failure::Attempt(..) | Failure::NotTried => IntentStatus::Failed,
    }
}

fn of_hold(payment: &Payment, capture: CaptureMethod) -> IntentStatus {
    let Some(sums) = amounts::of(payment) else { return IntentStatus::Conflicted };
    let is_partial = capture == CaptureMethod::ManualMultiple;
    match (sums.captured.is_zero(), sums.captures_in_doubt.is_zero()) {
        (_, true) if sums.captured == sums.authorized => IntentStatus::Succeeded,
        (true, true) => IntentStatus::RequiresCapture,
        (true, false) => IntentStatus::Processing,
        (false, false) => IntentStatus::PartiallyCapturedAndProcessing,
        (false, true) if is_partial => IntentStatus::PartiallyCapturedAndCapturable,
        // One capture is all that was asked for: what it leaves is released.
        (false, true) => IntentStatus::PartiallyCaptured,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The guards, a letter per status in the order of [`IntentStatus::ALL`]: `x` where the flow is
    /// allowed. Capture depends on the method, so it has a row for each.
    #[test]
    fn every_flow_is_allowed_from_these_statuses_only() {
        let (automatic, manual) = (CaptureMethod::Automatic, CaptureMethod::Manual);
        let multiple = CaptureMethod::ManualMultiple;
        #[rustfmt::skip]
        let rows = [
            (Flow::Update,                   manual,    "xx..............."),
            (Flow::Confirm,                  manual,    "xx..............."),
            (Flow::Capture,                  automatic, "................."),
            (Flow::Capture,                  manual,    "....x......xx...."),
            (Flow::Capture,                  multiple,  "....xx.....xxx..."),
            (Flow::Cancel,                   manual,    "xxx.x.......x...."),
            (Flow::CancelPostCapture,        manual,    "......x...x......"),
            (Flow::IncrementalAuthorization, manual,    "....x............"),
            (Flow::UpdateMetadata,           manual,    "..x.x.xx..xx....."),
            (Flow::Refund,                   manual,    "......x...x......"),
            (Flow::SessionToken,             manual,    "xxxxxx..xxxxxxxx."),
        ];
        for (flow, capture, want) in rows {
            let allowed = |status: &IntentStatus| flow.is_allowed(*status, capture);
            let letter = |status| if allowed(status) { 'x' } else { '.' };
            let got: String = IntentStatus::ALL.iter().map(letter).collect();
            assert_eq!(got, want, "{flow:?} {capture:?}");
            let listed: Vec<_> = IntentStatus::ALL.iter().copied().filter(|s| allowed(s)).collect();
            assert_eq!(flow.expected(capture), listed);
        }
        for flow in Flow::ALL {
            assert!(rows.iter().any(|row| row.0 == flow), "{flow:?} has a row");
        }
    }

    #[test]
    fn a_status_is_stored_and_shown_under_one_name() {
        for status in IntentStatus::ALL {
            let stored = serde_json::to_string(status).unwrap();
            assert_eq!(stored, format!("\"{}\"", status.as_str()));
        }
    }
}
