//! Adyen's standard webhooks. Each notification carries its own signature, over eight of its fields.

use std::collections::BTreeMap;

use baton_connect::{
    Cx, DisputeEvent, DisputeFacts, EventSubject, Incoming, KeyForm, Manifest, Signature, Signed,
    WebhookError, WebhookEvent, bytes_of_base64, identifier, message as words, network_id,
};
use baton_types::outcome::{Answer, Finding, Outcome};
use baton_types::{Currency, DeclineCode, DeclinedBy, Money, Timestamp};
use serde::Deserialize;

use super::dispute;
use super::reply::{Amount, declined, parse};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Notifications {
    notification_items: Vec<Wrapped>,
}

#[derive(Deserialize)]
struct Wrapped {
    #[serde(rename = "NotificationRequestItem")]
    item: Item,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    psp_reference: String,
    original_reference: Option<String>,
    merchant_account_code: String,
    #[serde(default)]
    merchant_reference: String,
    amount: Option<Amount>,
    event_code: String,
    success: String,
    event_date: Option<String>,
    reason: Option<String>,
    #[serde(default)]
    additional_data: BTreeMap<String, serde_json::Value>,
}

pub(super) fn read(
    manifest: &Manifest,
    cx: &Cx,
    message: &Incoming<'_>,
) -> Result<Vec<Signed>, WebhookError> {
    let all: Notifications =
        parse(message.body).ok_or(WebhookError::Malformed("no notification"))?;
    let sign = |item: &Item| -> Result<Signed, WebhookError> {
        let signature = item.text("hmacSignature").unwrap_or_default();
        let signature = Signature {
            credential: "HmacKey".to_owned(),
            key_form: KeyForm::Hex,
            message: item.signed().into_bytes(),
            candidates: bytes_of_base64(signature).into_iter().collect(),
            signed_at: None,
        };
        // A notification of another account of the company is signed with the same key.
        let own = cx.settings.get("MerchantAccount") == Some(&item.merchant_account_code);
        let events = if own { item.events(manifest) } else { Vec::new() };
        let disputes = if own { item.dispute(manifest) } else { None };
        Ok(Signed::new(signature, events).with_disputes(disputes.into_iter().collect()))
    };
    all.notification_items.iter().map(|wrapped| sign(&wrapped.item)).collect()
}

impl Item {
    fn text(&self, name: &str) -> Option<&str> {
        self.additional_data.get(name).and_then(serde_json::Value::as_str)
    }

    /// What the signature is over.
    fn signed(&self) -> String {
        let value = self.amount.as_ref().map(|amount| amount.value.to_string());
        let currency = self.amount.as_ref().map(|amount| amount.currency.as_str());
        [
            self.psp_reference.as_str(),
            self.original_reference.as_deref().unwrap_or_default(),
            &self.merchant_account_code,
            &self.merchant_reference,
            value.as_deref().unwrap_or_default(),
            currency.unwrap_or_default(),
            &self.event_code,
            &self.success,
        ]
        .join(":")
    }

    fn events(&self, manifest: &Manifest) -> Vec<WebhookEvent> {
        let done = match self.success.as_str() {
            "true" => true,
            "false" => false,
            _ => return Vec::new(),
        };
        match (self.event_code.as_str(), done) {
            ("AUTHORISATION", true) => {
                let outcome = self.approved(manifest, true);
                self.told(EventSubject::Purchase, outcome)
            }
            ("AUTHORISATION", false) => {
                let reason = self.reason.as_deref().unwrap_or_default();
                let (code, by) = declined(manifest, reason, self.text("refusalReasonRaw"));
                let answer = Answer { code: identifier(reason), ..self.answer() };
                self.told(EventSubject::Purchase, Some(Outcome::Declined { by, code, answer }))
            }
            ("CAPTURE", true) => self.told(EventSubject::Capture, self.approved(manifest, true)),
            ("CAPTURE", false) | ("CAPTURE_FAILED", true) => {
                self.told(EventSubject::Capture, Some(self.failed()))
            }
            ("AUTHORISATION_ADJUSTMENT", true) => {
                self.told(EventSubject::Increment, self.approved(manifest, true))
            }
            ("AUTHORISATION_ADJUSTMENT", false) => {
                self.told(EventSubject::Increment, Some(self.failed()))
            }
            ("REFUND", true) => self.told(EventSubject::Refund, self.approved(manifest, true)),
            ("REFUND", false) | ("REFUND_FAILED" | "REFUNDED_REVERSED", true) => {
                self.told(EventSubject::Refund, Some(self.failed()))
            }
            ("CANCELLATION" | "TECHNICAL_CANCEL", true) => {
                let void = self.told(EventSubject::Void, self.approved(manifest, false));
                void.into_iter().chain([self.voided()]).collect()
            }
            // It does not show that the payment is not there, nor that it will not come.
            ("CANCELLATION" | "TECHNICAL_CANCEL", false) => {
                self.told(EventSubject::Void, Some(self.failed()))
            }
            _ => Vec::new(),
        }
    }

    fn dispute(&self, manifest: &Manifest) -> Option<DisputeEvent> {
        let word = self.text("disputeStatus");
        let (stage, status) =
            dispute::of(&self.event_code, word).filter(|_| self.success == "true")?;
        let code =
            ["chargebackReasonCode", "rfiReasonCode"].into_iter().find_map(|at| self.text(at));
        let time = |text: &str| Timestamp::parse_rfc3339(text).ok();
        let at = self.event_date.as_deref().and_then(time);
        let facts = DisputeFacts {
            reference: identifier(&self.psp_reference)?,
            payment: self.original_reference.as_deref().and_then(identifier),
            attempt: None,
            amount: self.money(manifest)?,
            stage,
            status,
            word: word.and_then(identifier).unwrap_or_else(|| self.event_code.clone()),
            reason: self.reason.as_deref().and_then(words),
            reason_code: code.and_then(identifier),
            respond_by: self.text("defensePeriodEndsAt").and_then(time),
            opened_at: None,
        };
        Some(DisputeEvent { name: self.event_code.clone(), at, facts })
    }

    fn answer(&self) -> Answer {
        Answer {
            reference: identifier(&self.psp_reference),
            authorization_code: self.text("authCode").and_then(identifier),
            network_transaction_id: network_id(self.text("networkTxReference")),
            code: identifier(&self.event_code),
            message: self.reason.as_deref().and_then(words),
            ..Answer::default()
        }
    }

    fn approved(&self, manifest: &Manifest, with_amount: bool) -> Option<Outcome> {
        let amount = if with_amount { Some(self.money(manifest)?) } else { None };
        Some(Outcome::Approved { amount, answer: self.answer() })
    }

    /// A change that Adyen could not make. Its words are free, and no decline code.
    fn failed(&self) -> Outcome {
        Outcome::Declined {
            by: DeclinedBy::ProviderOther,
            code: DeclineCode::ProviderDeclined,
            answer: self.answer(),
        }
    }

    fn money(&self, manifest: &Manifest) -> Option<Money> {
        let amount = self.amount.as_ref()?;
        let currency = Currency::parse(&amount.currency).ok()?;
        let money = manifest.from_provider_units(amount.value, currency)?;
        // A card is verified by an authorisation of nothing.
        let fits = money.is_positive() || (money.is_zero() && self.event_code == "AUTHORISATION");
        (amount.currency == currency.code() && fits).then_some(money)
    }

    fn told(&self, subject: EventSubject, outcome: Option<Outcome>) -> Vec<WebhookEvent> {
        let event = |outcome| WebhookEvent {
            name: self.event_code.clone(),
            id: None,
            subject,
            // That of a cancel by reference is the payment's.
            reference: identifier(&self.merchant_reference)
                .filter(|_| self.event_code != "TECHNICAL_CANCEL"),
            provider_reference: identifier(&self.psp_reference),
            payment_reference: match subject {
                EventSubject::Purchase => identifier(&self.psp_reference),
                EventSubject::Capture
                | EventSubject::Void
                | EventSubject::Refund
                | EventSubject::Increment => {
                    self.original_reference.as_deref().and_then(identifier)
                }
            },
            finding: Finding::Found { outcome },
        };
        outcome.map(event).into_iter().collect()
    }

    /// What a cancel says of the payment that it cancelled. By reference, it is found by that.
    fn voided(&self) -> WebhookEvent {
        let payment = self.original_reference.as_deref().and_then(identifier);
        let by_reference = self.event_code == "TECHNICAL_CANCEL";
        WebhookEvent {
            name: self.event_code.clone(),
            id: None,
            subject: EventSubject::Purchase,
            reference: identifier(&self.merchant_reference).filter(|_| by_reference),
            provider_reference: payment.clone(),
            payment_reference: payment,
            finding: Finding::Voided,
        }
    }
}
