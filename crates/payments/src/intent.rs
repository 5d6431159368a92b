//! A payment intent: what a merchant wants to be paid, before and after somebody confirms it.

use std::sync::Arc;

use baton_connect::{Payer, Redirect};
use baton_flow::{DoubtMode, Payment, amounts};
use baton_types::{Currency, Cvv, MaskedCard, Money, PaymentId, Secret, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::authenticated::Authenticated;
use crate::document::{Document, Stored};
use crate::key::Keys;
use crate::method::NewMandate;
use crate::recurring::Recurring;
use crate::status::{self, IntentStatus};

/// When what is authorized is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptureMethod {
    /// At once.
    #[default]
    Automatic,
    /// By one capture.
    Manual,
    /// By several captures.
    ManualMultiple,
}

/// Whether the payer may be asked to authenticate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authentication {
    /// The payer may be challenged.
    ThreeDs,
    /// A provider that wants a challenge declines instead.
    #[default]
    NoThreeDs,
}

impl Authentication {
    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ThreeDs => "three_ds",
            Self::NoThreeDs => "no_three_ds",
        }
    }
}

/// Whether and for what the payment method is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FutureUsage {
    /// For payments with the payer there.
    OnSession,
    /// For payments without.
    OffSession,
}

/// A card as it came: its number is sealed before anything is stored, its CVC stays in memory.
pub struct CardInput {
    /// The number.
    pub number: Secret,
    /// What may be kept.
    pub masked: MaskedCard,
    /// The CVC.
    pub cvv: Option<Cvv>,
    /// The name on the card.
    pub holder: Option<String>,
}

/// A card that an intent keeps until it is confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardKept {
    /// What may be shown.
    pub masked: MaskedCard,
    /// The name on the card.
    pub holder: Option<String>,
    /// The number's record in the vault, as long as it is needed.
    pub record: Option<String>,
    /// Whether a CVC came with it.
    pub has_cvv: bool,
}

/// How an intent is paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Method {
    /// The contract's `payment_method_type`, as it came.
    pub kind: Option<String>,
    /// The card.
    pub card: CardKept,
}

/// An intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The client's id, or one that we made.
    pub id: String,
    /// A hash of what its creation asked for, by which a repeat is known.
    #[serde(default)]
    pub fingerprint: String,
    /// The profile.
    pub profile: String,
    /// In minor units.
    pub amount: i64,
    /// The currency.
    pub currency: Currency,
    /// When it is captured.
    pub capture: CaptureMethod,
    /// Whether the payer may be challenged.
    pub authentication: Authentication,
    /// What lets a browser take part.
    pub client_secret: String,
    /// Until when it can be confirmed, and a browser may take part.
    pub expires_at: Timestamp,
    /// What to do about an attempt whose outcome is not known; the engine's own rule if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome_mode: Option<DoubtMode>,
    /// The customer.
    pub customer: Option<String>,
    /// How it is paid, where that is a card.
    pub method: Option<Method>,
    /// How it is paid, where the payer completes that elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Box<Redirect>>,
    /// Whether the method is kept.
    pub setup_future_usage: Option<FutureUsage>,
    /// Where a browser goes in the end.
    pub return_url: Option<String>,
    /// What the payer reads on the order.
    pub description: Option<String>,
    /// Fields that are kept to be shown again, by the contract's names.
    #[serde(default)]
    pub details: Map<String, Value>,
    /// The payments that confirmations have made, in order.
    #[serde(default)]
    pub tries: Vec<PaymentId>,
    /// The disputes of those payments, in the order in which they were heard of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disputes: Vec<String>,
    /// The saved method that it is paid with, or that it saves.
    #[serde(default)]
    pub saved_method: Option<String>,
    /// The mandate that it is made under, or that it makes.
    #[serde(default)]
    pub mandate: Option<String>,
    /// What it rests on without its payer, where its request said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recurring: Option<Recurring>,
    /// Why it was given up, if it was before a payment was made.
    pub cancelled: Option<Cancelled>,
    /// When it ended because nobody had confirmed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired_at: Option<Timestamp>,
    /// Why it was given up, in the merchant's words.
    pub cancellation_reason: Option<String>,
    /// What the payer's return from a challenge is known by.
    #[serde(default)]
    pub(crate) return_token: Option<String>,
    /// The clients' keys under which it was changed.
    #[serde(default)]
    pub(crate) keys: Keys,
}

/// That an intent was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// When.
    pub at: Timestamp,
}

impl Document for Intent {
    const KIND: &'static str = "intent";

    fn id(&self) -> &str {
        &self.id
    }

    fn owner(&self) -> &str {
        self.customer.as_deref().unwrap_or_default()
    }
}

impl Intent {
    /// The country of the payer's billing address, where it is told.
    #[must_use]
    pub fn country(&self) -> Option<&str> {
        self.details.get("billing")?.get("address")?.get("country")?.as_str()
    }

    /// The contract's words for how it is paid: `payment_method` and `payment_method_type`.
    #[must_use]
    pub fn method_words(&self) -> (Option<&'static str>, Option<&str>) {
        if let Some(redirect) = &self.redirect {
            return (Some(redirect.method.family()), Some(redirect.method.as_str()));
        }
        let is_card = self.method.is_some() || self.token().is_some();
        let kind = self.method.as_ref().and_then(|method| method.kind.as_deref());
        (is_card.then_some("card"), kind)
    }

    /// How it stands with the payment that its latest confirmation has made.
    pub(crate) fn status_with(&self, payment: Option<&Payment>) -> IntentStatus {
        if let Some(payment) = payment {
            return status::of_payment(payment, self.capture);
        }
        match (&self.cancelled, &self.method) {
            (Some(_), _) => IntentStatus::Cancelled,
            (None, _) if self.expired_at.is_some() => IntentStatus::Expired,
            (None, None) if !self.is_without_card() => IntentStatus::RequiresPaymentMethod,
            (None, _) => IntentStatus::RequiresConfirmation,
        }
    }

    /// What it is about. Never fails for a stored intent: its amount has been checked.
    #[must_use]
    pub fn money(&self) -> Money {
        Money::new(self.amount, self.currency)
    }
}

/// An intent to be made.
pub struct NewIntent {
    /// The client's id; one is made if absent.
    pub id: Option<String>,
    /// The profile; the merchant's default if absent.
    pub profile: Option<String>,
    /// In minor units.
    pub amount: i64,
    /// The currency.
    pub currency: Currency,
    /// The rest, as in a change.
    pub change: IntentChange,
}

/// What is to be changed about an intent. What is absent stays.
#[derive(Default)]
pub struct IntentChange {
    /// In minor units.
    pub amount: Option<i64>,
    /// The currency.
    pub currency: Option<Currency>,
    /// When it is captured.
    pub capture: Option<CaptureMethod>,
    /// Whether the payer may be challenged.
    pub authentication: Option<Authentication>,
    /// What to do about an attempt whose outcome is not known.
    pub outcome_mode: Option<DoubtMode>,
    /// The result of an authentication that was made elsewhere.
    pub three_ds: Option<Authenticated>,
    /// The customer.
    pub customer: Option<String>,
    /// The contract's `payment_method_type`.
    pub method_kind: Option<String>,
    /// The card.
    pub card: Option<CardInput>,
    /// A method that the payer completes elsewhere.
    pub redirect: Option<Box<Redirect>>,
    /// A saved method instead of a card.
    pub saved_method: Option<String>,
    /// The CVC that came with a saved method.
    pub cvv: Option<Cvv>,
    /// The mandate that it is made under.
    pub mandate: Option<String>,
    /// What it rests on without its payer.
    pub recurring: Option<Recurring>,
    /// A mandate that it is to make.
    pub new_mandate: Option<NewMandate>,
    /// Whether the method is kept.
    pub setup_future_usage: Option<FutureUsage>,
    /// Where a browser goes in the end.
    pub return_url: Option<String>,
    /// What the payer reads on the order.
    pub description: Option<String>,
    /// How long it can be confirmed, in seconds from when it was made.
    pub session_expiry_s: Option<u32>,
    /// Who pays.
    pub payer: Option<Payer>,
    /// Fields that are kept to be shown again.
    pub details: Map<String, Value>,
}

/// An intent with the payment that decides how it stands.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The intent.
    pub intent: Stored<Intent>,
    /// The last payment that it made.
    pub payment: Option<Arc<Payment>>,
    /// Whether it has failed and may be confirmed again.
    pub retry: bool,
}

impl Seen {
    /// How it stands.
    #[must_use]
    pub fn status(&self) -> IntentStatus {
        self.intent.body.status_with(self.payment.as_deref())
    }

    /// What was taken, in minor units, refunds not counted.
    #[must_use]
    pub fn received(&self) -> Option<i64> {
        let sums = amounts::of(self.payment.as_deref()?)?;
        Some(sums.captured.minor()).filter(|minor| *minor > 0)
    }

    /// What can still be captured, in minor units.
    #[must_use]
    pub fn capturable(&self) -> i64 {
        let status = self.status();
        match (&self.payment, status) {
            (None, IntentStatus::Cancelled | IntentStatus::Expired) => 0,
            (None, _) => self.intent.body.amount,
            (
                Some(payment),
                IntentStatus::RequiresCapture
                | IntentStatus::PartiallyCapturedAndCapturable
                | IntentStatus::PartiallyCapturedAndProcessing
                | IntentStatus::Processing,
            ) => amounts::of(payment)
                .map_or(self.intent.body.amount, |sums| sums.capturable().minor()),
            (Some(_), IntentStatus::RequiresCustomerAction) => self.intent.body.amount,
            (Some(_), _) => 0,
        }
    }

    /// The attempt that gave, or is to give, the answer.
    #[must_use]
    pub fn deciding(&self) -> Option<(u16, &baton_flow::Call)> {
        let payment = self.payment.as_ref()?;
        let no = payment.deciding_attempt()?;
        Some((no, payment.call(baton_flow::CallId::Attempt(no))?))
    }
}
