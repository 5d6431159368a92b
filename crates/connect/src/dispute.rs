//! Disputes: a payer asks the issuer for the money back, and the merchant gives in or shows why not.
//!
//! A provider tells of them by webhooks, and can be asked for one. Giving in and sending evidence are calls of
//! their own: each is final at most providers, and giving in gives up money. Left out: what a dispute has been
//! through, and files.

use std::collections::BTreeMap;

use baton_types::{Money, Timestamp};
use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
        )]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word, as it is stored and shown.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }
    };
}

words!(
    /// How far a dispute has come at the scheme, in order.
    DisputeStage {
        /// The issuer asks for information; no money has moved.
        PreDispute = "pre_dispute",
        /// A chargeback: the money was taken back.
        Dispute = "dispute",
        /// A second one, after the merchant had won the first.
        PreArbitration = "pre_arbitration",
    }
);

words!(
    /// How a dispute stands within its stage.
    DisputeStatus {
        /// The merchant has to answer.
        Opened = "dispute_opened",
        /// The merchant has answered; the issuer decides.
        Challenged = "dispute_challenged",
        /// The merchant gave in.
        Accepted = "dispute_accepted",
        /// The merchant won.
        Won = "dispute_won",
        /// The merchant lost.
        Lost = "dispute_lost",
        /// Nobody answered in time.
        Expired = "dispute_expired",
        /// The payer or the issuer withdrew it.
        Cancelled = "dispute_cancelled",
    }
);

words!(
    /// What a merchant can say in a text. The names are those of Stripe and of the Payments API's contract.
    EvidenceField {
        /// Logs of how the service was used.
        AccessActivityLog = "access_activity_log",
        /// The payer's billing address.
        BillingAddress = "billing_address",
        /// How the cancellation policy was shown before the purchase.
        CancellationPolicyDisclosure = "cancellation_policy_disclosure",
        /// Why the subscription was not cancelled.
        CancellationRebuttal = "cancellation_rebuttal",
        /// The payer's e-mail address.
        CustomerEmailAddress = "customer_email_address",
        /// The payer's name.
        CustomerName = "customer_name",
        /// The address on the Internet from which it was bought.
        CustomerPurchaseIp = "customer_purchase_ip",
        /// What was sold.
        ProductDescription = "product_description",
        /// How the refund policy was shown before the purchase.
        RefundPolicyDisclosure = "refund_policy_disclosure",
        /// Why there is no refund.
        RefundRefusalExplanation = "refund_refusal_explanation",
        /// When the service was given.
        ServiceDate = "service_date",
        /// Where it was sent.
        ShippingAddress = "shipping_address",
        /// Who delivered it.
        ShippingCarrier = "shipping_carrier",
        /// When it was sent.
        ShippingDate = "shipping_date",
        /// The delivery's number.
        ShippingTrackingNumber = "shipping_tracking_number",
        /// Anything else.
        UncategorizedText = "uncategorized_text",
    }
);

words!(
    /// What a provider can be asked about a dispute.
    DisputeAction {
        /// How it stands.
        Retrieve = "retrieve",
        /// Give in: the money stays with the payer.
        Accept = "accept",
        /// Send evidence, as the merchant's one answer.
        Submit = "submit",
    }
);

impl DisputeStatus {
    /// Whether nothing more happens in this stage.
    #[must_use]
    pub const fn is_over(self) -> bool {
        match self {
            Self::Opened | Self::Challenged => false,
            Self::Accepted | Self::Won | Self::Lost | Self::Expired | Self::Cancelled => true,
        }
    }
}

/// What a merchant says, by what it is about.
pub type Evidence = BTreeMap<EvidenceField, String>;

/// A call about a dispute, by the provider's own id of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum DisputeCall {
    /// How does it stand? Changes nothing.
    Retrieve {
        /// The dispute.
        dispute: String,
    },
    /// Give in. Gives up money.
    Accept {
        /// The dispute.
        dispute: String,
    },
    /// Send evidence. It is the answer, and cannot be taken back.
    Submit {
        /// The dispute.
        dispute: String,
        /// What is said.
        evidence: Evidence,
    },
}

impl DisputeCall {
    /// What is asked: what a manifest claims.
    #[must_use]
    pub const fn action(&self) -> DisputeAction {
        match self {
            Self::Retrieve { .. } => DisputeAction::Retrieve,
            Self::Accept { .. } => DisputeAction::Accept,
            Self::Submit { .. } => DisputeAction::Submit,
        }
    }

    /// The provider's id of the dispute.
    #[must_use]
    pub fn dispute(&self) -> &str {
        match self {
            Self::Retrieve { dispute }
            | Self::Accept { dispute }
            | Self::Submit { dispute, .. } => dispute,
        }
    }
}

/// How a dispute stands, as its provider tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DisputeFacts {
    /// The provider's id of it.
    pub reference: String,
    /// The provider's id of the payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment: Option<String>,
    /// Our reference of the attempt, where the provider repeats it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<String>,
    /// How much is disputed.
    pub amount: Money,
    /// How far it has come.
    pub stage: DisputeStage,
    /// How it stands there.
    pub status: DisputeStatus,
    /// The provider's own word for that.
    pub word: String,
    /// Why, in the provider's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The scheme's code for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<String>,
    /// Until when the merchant can answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub respond_by: Option<Timestamp>,
    /// When it began at the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened_at: Option<Timestamp>,
}

/// One thing that a webhook says about a dispute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisputeEvent {
    /// The provider's name for the kind of event.
    pub name: String,
    /// When it happened, by the provider's clock, where the event says so.
    pub at: Option<Timestamp>,
    /// How the dispute stood then.
    pub facts: DisputeFacts,
}

/// What the reply to a call about a dispute shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "shows", rename_all = "snake_case")]
pub enum DisputeAnswer {
    /// How it stands now. To a call that changes something: it was carried out.
    Stands {
        /// That.
        dispute: Box<DisputeFacts>,
    },
    /// The provider has no such dispute.
    NotFound,
    /// It did nothing, and says why.
    Refused {
        /// Its code.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// Its words.
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// The answer says neither: it may have been carried out.
    Unclear,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_stored_and_shown_alike() {
        for status in DisputeStatus::ALL {
            let text = serde_json::to_string(status).unwrap();
            assert_eq!(text, format!("\"{}\"", status.as_str()));
            assert_eq!(serde_json::from_str::<DisputeStatus>(&text).unwrap(), *status);
        }
        assert_eq!(EvidenceField::ALL.len(), 16, "those of the contract that are no files");
        assert!(DisputeStage::PreDispute < DisputeStage::Dispute);
        assert!(DisputeStage::Dispute < DisputeStage::PreArbitration);
        let open: Vec<_> = DisputeStatus::ALL.iter().filter(|status| !status.is_over()).collect();
        assert_eq!(open, [&DisputeStatus::Opened, &DisputeStatus::Challenged]);
    }
}
