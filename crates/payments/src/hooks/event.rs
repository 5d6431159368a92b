//! Which event a transition is, and whether a merchant wants to be told. Pure.

use baton_connect::DisputeStatus;
use baton_types::{EventId, Timestamp};

use super::endpoint::Details;
use crate::key;
use crate::refund::RefundStatus;
use crate::status::IntentStatus;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal of $class:ident,)*) => {
        /// What happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum EventKind {
            $($(#[$doc])* $name,)*
        }

        impl EventKind {
            /// Every kind that is told here.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The contract's word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }

            /// What it is about.
            #[must_use]
            pub const fn class(self) -> EventClass {
                match self {
                    $(Self::$name => EventClass::$class,)*
                }
            }
        }
    };
}

kinds! {
    /// The money was taken.
    PaymentSucceeded = "payment_succeeded" of Payments,
    /// No provider took it.
    PaymentFailed = "payment_failed" of Payments,
    /// It is on its way, or in doubt.
    PaymentProcessing = "payment_processing" of Payments,
    /// It was given up.
    PaymentCancelled = "payment_cancelled" of Payments,
    /// It was reversed after the money was taken.
    PaymentCancelledPostCapture = "payment_cancelled_post_capture" of Payments,
    /// An amount is held.
    PaymentAuthorized = "payment_authorized" of Payments,
    /// A part of the amount is held.
    PaymentPartiallyAuthorized = "payment_partially_authorized" of Payments,
    /// A part was taken.
    PaymentCaptured = "payment_captured" of Payments,
    /// Nobody confirmed in time.
    PaymentExpired = "payment_expired" of Payments,
    /// Somebody has to act.
    ActionRequired = "action_required" of Payments,
    /// A refund was made.
    RefundSucceeded = "refund_succeeded" of Refunds,
    /// A refund was not made, and will not be.
    RefundFailed = "refund_failed" of Refunds,
    /// A mandate can be used.
    MandateActive = "mandate_active" of Mandates,
    /// A mandate was taken back.
    MandateRevoked = "mandate_revoked" of Mandates,
    /// A payer asks for the money back: the merchant has to answer.
    DisputeOpened = "dispute_opened" of Disputes,
    /// Nobody answered in time.
    DisputeExpired = "dispute_expired" of Disputes,
    /// The merchant gave in.
    DisputeAccepted = "dispute_accepted" of Disputes,
    /// It was withdrawn.
    DisputeCancelled = "dispute_cancelled" of Disputes,
    /// The merchant has answered.
    DisputeChallenged = "dispute_challenged" of Disputes,
    /// The merchant won.
    DisputeWon = "dispute_won" of Disputes,
    /// The merchant lost.
    DisputeLost = "dispute_lost" of Disputes,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventClass {
    /// An intent.
    Payments,
    /// A refund.
    Refunds,
    /// A mandate.
    Mandates,
    /// A dispute.
    Disputes,
}

impl EventClass {
    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Payments => "payments",
            Self::Refunds => "refunds",
            Self::Mandates => "mandates",
            Self::Disputes => "disputes",
        }
    }

    /// The contract's word for what an event carries.
    #[must_use]
    pub const fn content(self) -> &'static str {
        match self {
            Self::Payments => "payment_details",
            Self::Refunds => "refund_details",
            Self::Mandates => "mandate_details",
            Self::Disputes => "dispute_details",
        }
    }
}

/// The event of an intent that has come to a status, by the contract's table; none where it tells of none.
pub(super) const fn of_status(status: IntentStatus) -> Option<EventKind> {
    use IntentStatus as S;
    Some(match status {
        S::RequiresPaymentMethod | S::RequiresConfirmation => return None,
        S::RequiresCustomerAction | S::RequiresMerchantAction | S::Conflicted | S::Review => {
            EventKind::ActionRequired
        }
        S::RequiresCapture => EventKind::PaymentAuthorized,
        // A capture that is on its way is `processing` in the contract's table of attempts.
        S::Processing | S::PartiallyCapturedAndProcessing => EventKind::PaymentProcessing,
        S::Succeeded => EventKind::PaymentSucceeded,
        S::Failed => EventKind::PaymentFailed,
        S::Cancelled => EventKind::PaymentCancelled,
        S::CancelledPostCapture => EventKind::PaymentCancelledPostCapture,
        S::PartiallyCaptured | S::PartiallyCapturedAndCapturable => EventKind::PaymentCaptured,
        S::PartiallyAuthorizedAndRequiresCapture => EventKind::PaymentPartiallyAuthorized,
        S::Expired => EventKind::PaymentExpired,
    })
}

/// The event of a refund that has come to a status.
pub(super) const fn of_refund(status: RefundStatus) -> Option<EventKind> {
    match status {
        RefundStatus::Pending => None,
        RefundStatus::Succeeded => Some(EventKind::RefundSucceeded),
        RefundStatus::Failed => Some(EventKind::RefundFailed),
    }
}

/// The event of a dispute that has come to a status.
pub(super) const fn of_dispute(status: DisputeStatus) -> EventKind {
    match status {
        DisputeStatus::Opened => EventKind::DisputeOpened,
        DisputeStatus::Challenged => EventKind::DisputeChallenged,
        DisputeStatus::Accepted => EventKind::DisputeAccepted,
        DisputeStatus::Won => EventKind::DisputeWon,
        DisputeStatus::Lost => EventKind::DisputeLost,
        DisputeStatus::Expired => EventKind::DisputeExpired,
        DisputeStatus::Cancelled => EventKind::DisputeCancelled,
    }
}

/// Whether a merchant wants to be told that an intent has come to a status.
pub(super) fn wants_status(details: &Details, status: IntentStatus, kind: EventKind) -> bool {
    let switch = match kind {
        EventKind::PaymentProcessing => details.payment_created_enabled,
        EventKind::PaymentSucceeded => details.payment_succeeded_enabled,
        EventKind::PaymentFailed => details.payment_failed_enabled,
        EventKind::PaymentCancelled
        | EventKind::PaymentCancelledPostCapture
        | EventKind::PaymentAuthorized
        | EventKind::PaymentPartiallyAuthorized
        | EventKind::PaymentCaptured
        | EventKind::PaymentExpired
        | EventKind::ActionRequired
        | EventKind::RefundSucceeded
        | EventKind::RefundFailed
        | EventKind::MandateActive
        | EventKind::MandateRevoked
        | EventKind::DisputeOpened
        | EventKind::DisputeExpired
        | EventKind::DisputeAccepted
        | EventKind::DisputeCancelled
        | EventKind::DisputeChallenged
        | EventKind::DisputeWon
        | EventKind::DisputeLost => None,
    };
    switch.unwrap_or(true) && lists(&details.payment_statuses_enabled, &[status.as_str()])
}

/// Whether a merchant wants to be told of a refund. The contract has two words for each status.
pub(super) fn wants_refund(details: &Details, kind: EventKind) -> bool {
    let words: &[&str] = if kind == EventKind::RefundSucceeded {
        &["succeeded", "success"]
    } else {
        &["failed", "failure"]
    };
    lists(&details.refund_statuses_enabled, words)
}

/// An empty list restricts nothing.
fn lists(list: &[String], words: &[&str]) -> bool {
    list.is_empty() || list.iter().any(|word| words.contains(&word.as_str()))
}

/// The id of an event: the same whenever it is made from the same thing, so that it is recorded once.
pub(super) fn id_of(at: Timestamp, of: &[&str]) -> String {
    let hash = key::hash(of);
    let mut random = [0_u8; 10];
    for (byte, pair) in random.iter_mut().zip(hash.as_bytes().chunks(2)) {
        let text = std::str::from_utf8(pair).unwrap_or_default();
        *byte = u8::from_str_radix(text, 16).unwrap_or_default();
    }
    EventId::from_parts(u64::try_from(at.millis()).unwrap_or_default(), random).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract's table S.2, by the status that an intent has come to.
    #[test]
    fn every_status_has_its_event() {
        let rows = [
            "requires_payment_method                   -",
            "requires_confirmation                     -",
            "requires_customer_action                  action_required",
            "requires_merchant_action                  action_required",
            "requires_capture                          payment_authorized",
            "processing                                payment_processing",
            "succeeded                                 payment_succeeded",
            "failed                                    payment_failed",
            "cancelled                                 payment_cancelled",
            "cancelled_post_capture                    payment_cancelled_post_capture",
            "partially_captured                        payment_captured",
            "partially_captured_and_capturable         payment_captured",
            "partially_authorized_and_requires_capture payment_partially_authorized",
            "partially_captured_and_processing         payment_processing",
            "conflicted                                action_required",
            "expired                                   payment_expired",
            "review                                    action_required",
        ];
        assert_eq!(rows.len(), IntentStatus::ALL.len());
        for (row, status) in rows.iter().zip(IntentStatus::ALL) {
            let (word, want) = row.split_once(' ').unwrap();
            assert_eq!(word, status.as_str());
            let got = of_status(*status).map_or("-", EventKind::as_str);
            assert_eq!(got, want.trim(), "{word}");
        }
    }

    #[test]
    fn every_status_of_a_dispute_has_its_event() {
        for status in DisputeStatus::ALL {
            let kind = of_dispute(*status);
            assert_eq!(kind.as_str(), status.as_str());
            assert_eq!(kind.class().content(), "dispute_details");
        }
    }

    #[test]
    fn a_merchant_says_what_it_wants_to_be_told() {
        use IntentStatus as S;
        let read = |json: &str| -> Details { serde_json::from_str(json).unwrap() };
        let rows = [
            ("{}", "pspf"),
            (r#"{"payment_created_enabled": false}"#, ".spf"),
            (r#"{"payment_succeeded_enabled": false}"#, "p.pf"),
            (r#"{"payment_failed_enabled": false, "payment_succeeded_enabled": true}"#, "psp."),
            (r#"{"payment_statuses_enabled": ["succeeded", "failed"]}"#, ".s.f"),
            (
                r#"{"payment_statuses_enabled": ["succeeded"], "payment_succeeded_enabled": false}"#,
                "....",
            ),
            (r#"{"payment_statuses_enabled": []}"#, "pspf"),
        ];
        let statuses = [
            (S::Processing, 'p'),
            (S::Succeeded, 's'),
            (S::PartiallyCaptured, 'p'),
            (S::Failed, 'f'),
        ];
        for (json, want) in rows {
            let details = read(json);
            let letter = |(status, letter): (S, char)| {
                let kind = of_status(status).unwrap();
                if wants_status(&details, status, kind) { letter } else { '.' }
            };
            assert_eq!(statuses.map(letter).iter().collect::<String>(), want, "{json}");
        }
        let details = read(r#"{"refund_statuses_enabled": ["success"]}"#);
        assert!(wants_refund(&details, EventKind::RefundSucceeded));
        assert!(!wants_refund(&details, EventKind::RefundFailed));
        assert!(wants_refund(&read("{}"), EventKind::RefundFailed));
    }

    #[test]
    fn an_events_id_follows_from_what_it_is() {
        let at = Timestamp::from_millis(1_700_000_000_000);
        let id = id_of(at, &["pay_1", "2", "payment_succeeded"]);
        assert_eq!(id, id_of(at, &["pay_1", "2", "payment_succeeded"]));
        assert_ne!(id, id_of(at, &["pay_1", "3", "payment_succeeded"]));
        assert!(
            id < id_of(Timestamp::from_millis(1_700_000_000_001), &["pay_1"]),
            "ids sort by time"
        );
        assert_eq!(EventId::parse(&id).unwrap().unix_ms(), 1_700_000_000_000);
    }
}
