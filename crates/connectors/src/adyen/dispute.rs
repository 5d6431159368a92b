//! What Adyen's notifications say about disputes.
//!
//! The kind of event is signed. How the dispute stands there beyond its kind is `additionalData.disputeStatus`, which
//! Adyen's signature does not cover: it says what is shown, and moves nothing. Left out: accepting and defending, which
//! another of Adyen's services takes, under another host and with documents.

use baton_connect::{DisputeStage, DisputeStatus};

/// The stage and status that an event tells of; none for events about other things.
pub(super) fn of(event: &str, word: Option<&str>) -> Option<(DisputeStage, DisputeStatus)> {
    use DisputeStage::{Dispute, PreArbitration, PreDispute};
    use DisputeStatus::{Accepted, Challenged, Expired, Lost, Opened, Won};
    let (stage, by_kind) = match event {
        "REQUEST_FOR_INFORMATION" => (PreDispute, Opened),
        "INFORMATION_SUPPLIED" => (PreDispute, Challenged),
        "NOTIFICATION_OF_CHARGEBACK" | "CHARGEBACK" => (Dispute, Opened),
        "DISPUTE_DEFENSE_PERIOD_ENDED" => (Dispute, Expired),
        // The money is back for now: the issuer may still come again.
        "CHARGEBACK_REVERSED" => (Dispute, Challenged),
        "SECOND_CHARGEBACK" => (PreArbitration, Lost),
        "PREARBITRATION_OPEN" => (PreArbitration, Opened),
        "PREARBITRATION_WON" => return Some((PreArbitration, Won)),
        "PREARBITRATION_LOST" => return Some((PreArbitration, Lost)),
        _ => return None,
    };
    let status = match word {
        Some("Unresponded" | "Undefended") => Opened,
        Some("Responded" | "Pending") => Challenged,
        Some("Accepted") => Accepted,
        Some("Expired") => Expired,
        Some("Won") => Won,
        Some("Lost") => Lost,
        _ => by_kind,
    };
    Some((stage, status))
}
