//! Stripe's objects, in the parts that are read.

use baton_connect::{Balance, HttpReply, Manifest, identifier, message, network_id};
use baton_types::outcome::{Answer, NextAction, Outcome};
use baton_types::{Currency, DeclineCode, DeclinedBy, Money};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::setup::Setup;

#[derive(Debug, Deserialize)]
pub(super) struct Intent {
    pub(super) id: String,
    pub(super) object: String,
    pub(super) amount: i64,
    pub(super) currency: String,
    pub(super) status: String,
    pub(super) capture_method: Option<String>,
    #[serde(default)]
    pub(super) metadata: Metadata,
    /// Stripe's description does not require it to be there.
    pub(super) amount_received: Option<i64>,
    pub(super) amount_capturable: Option<i64>,
    pub(super) last_payment_error: Option<Failure>,
    pub(super) next_action: Option<Action>,
    /// An id, or the charge itself where it was asked for.
    #[serde(default)]
    pub(super) latest_charge: Value,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Metadata {
    pub(super) reference: Option<String>,
    /// Our reference of the capture: a capture is no object of its own.
    pub(super) capture: Option<String>,
    /// Our reference of the last raise, which is no object of its own either.
    pub(super) increment: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Action {
    #[serde(rename = "type")]
    kind: String,
    redirect_to_url: Option<RedirectToUrl>,
}

#[derive(Debug, Deserialize)]
struct RedirectToUrl {
    url: Option<String>,
}

/// The `error` of an answer, and the `last_payment_error` of an intent.
#[derive(Debug, Deserialize)]
pub(super) struct Failure {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) code: Option<String>,
    decline_code: Option<String>,
    message: Option<String>,
    advice_code: Option<String>,
    network_advice_code: Option<String>,
    pub(super) payment_intent: Option<Box<Intent>>,
    pub(super) setup_intent: Option<Box<Setup>>,
}

#[derive(Deserialize)]
pub(super) struct Error {
    pub(super) error: Failure,
}

#[derive(Debug, Deserialize)]
pub(super) struct Refund {
    pub(super) id: String,
    pub(super) object: String,
    pub(super) amount: i64,
    pub(super) currency: String,
    pub(super) payment_intent: Option<String>,
    pub(super) status: Option<String>,
    /// In seconds.
    pub(super) created: Option<i64>,
    failure_reason: Option<String>,
    #[serde(default)]
    pub(super) metadata: Metadata,
}

#[derive(Deserialize)]
pub(super) struct List<T> {
    pub(super) object: String,
    pub(super) data: Vec<T>,
    pub(super) has_more: bool,
}

/// A payment method or a customer: of both only the id is wanted.
#[derive(Deserialize)]
pub(super) struct Made {
    pub(super) id: String,
    pub(super) object: String,
}

#[derive(Deserialize)]
struct Balances {
    object: String,
    available: Vec<Sum>,
    pending: Vec<Sum>,
}

#[derive(Deserialize)]
struct Sum {
    amount: i64,
    currency: String,
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    // As text first: serde does not look at the bytes of what it skips.
    serde_json::from_str(std::str::from_utf8(body).ok()?).ok()
}

/// Where a charge has the network's own id of it.
const NETWORK_TRANSACTION_ID: &str = "/payment_method_details/card/network_transaction_id";

impl Intent {
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        parse(body).filter(Self::is_one)
    }

    pub(super) fn is_one(&self) -> bool {
        self.object == "payment_intent" && super::id(&self.id).is_some()
    }

    pub(super) fn money(&self, manifest: &Manifest, units: i64) -> Option<Money> {
        money(manifest, units, &self.currency)
    }

    /// What was captured. Where the answer does not say, an intent that succeeded at once was captured
    /// whole.
    pub(super) fn received(&self) -> Option<i64> {
        let whole = (self.capture_method.as_deref() != Some("manual")).then_some(self.amount);
        self.amount_received.or(whole)
    }

    pub(super) fn answer(&self) -> Answer {
        let code = self.latest_charge.pointer("/payment_method_details/card/authorization_code");
        let advice = self.latest_charge.pointer("/outcome/network_advice_code");
        let text = |value: Option<&Value>| value.and_then(Value::as_str).and_then(identifier);
        Answer {
            reference: identifier(&self.id),
            authorization_code: text(code),
            code: identifier(&self.status),
            advice: text(advice),
            network_transaction_id: network_id(
                self.latest_charge.pointer(NETWORK_TRANSACTION_ID).and_then(Value::as_str),
            ),
            next_action: self.next_action.as_ref().map(|action| Box::new(action.read())),
            ..Answer::default()
        }
    }

    /// How the intent's attempt stands; nothing where none was made, where it was cancelled, or where
    /// the status is not one of Stripe's.
    pub(super) fn outcome(&self, manifest: &Manifest, sale: bool) -> Option<Outcome> {
        let approved = |units: i64| {
            let amount = self.money(manifest, units).filter(|amount| amount.is_positive())?;
            Some(Outcome::Approved { amount: Some(amount), answer: self.answer() })
        };
        match (self.status.as_str(), sale) {
            ("succeeded", true) => approved(self.received()?),
            ("requires_capture", false) => approved(self.amount_capturable.unwrap_or(self.amount)),
            // A hold that was captured since was approved too.
            ("succeeded", false) => approved(self.amount),
            ("processing", _) => Some(Outcome::Pending { answer: self.answer() }),
            ("requires_action", _) => Some(Outcome::ActionRequired { answer: self.answer() }),
            ("requires_payment_method", _) => {
                self.last_payment_error.as_ref()?.declined(manifest, Some(&self.id))
            }
            _ => None,
        }
    }

    /// Whether it exists and was never confirmed: nothing has happened yet.
    pub(super) fn is_untouched(&self) -> bool {
        match self.status.as_str() {
            "requires_confirmation" => true,
            "requires_payment_method" => self.last_payment_error.is_none(),
            _ => false,
        }
    }
}

impl Action {
    pub(super) fn read(&self) -> NextAction {
        match self.redirect_to_url.as_ref().and_then(|redirect| redirect.url.clone()) {
            Some(url) if self.kind == "redirect_to_url" => NextAction::Redirect { url, form: None },
            _ => NextAction::ClientLibrary { kind: identifier(&self.kind).unwrap_or_default() },
        }
    }
}

impl Failure {
    /// The decline that this is; nothing without a code.
    pub(super) fn declined(&self, manifest: &Manifest, reference: Option<&str>) -> Option<Outcome> {
        let named = self.decline_code.as_deref().or(self.code.as_deref())?;
        let code = identifier(named)?;
        let (meaning, by) = manifest.decline(&code);
        let answer = Answer { reference: reference.and_then(identifier), ..self.answer() };
        Some(Outcome::Declined { by, code: meaning, answer: Answer { code: Some(code), ..answer } })
    }

    pub(super) fn answer(&self) -> Answer {
        let advice = self.network_advice_code.as_deref().or(self.advice_code.as_deref());
        Answer {
            code: self.code.as_deref().or(self.kind.as_deref()).and_then(identifier),
            message: self.message.as_deref().and_then(message),
            advice: advice.and_then(identifier),
            ..Answer::default()
        }
    }
}

impl Refund {
    pub(super) fn is_one(&self) -> bool {
        self.object == "refund" && super::id(&self.id).is_some()
    }

    /// How the refund stands. A card's refund is done when it succeeded, though it can still fail later.
    pub(super) fn outcome(&self, manifest: &Manifest) -> Option<Outcome> {
        let amount = money(manifest, self.amount, &self.currency)?;
        let answer = Answer {
            reference: identifier(&self.id),
            code: self.status.as_deref().and_then(identifier),
            ..Answer::default()
        };
        match self.status.as_deref()? {
            "succeeded" if amount.is_positive() => {
                Some(Outcome::Approved { amount: Some(amount), answer })
            }
            "pending" => Some(Outcome::Pending { answer }),
            "failed" => {
                let reason = self.failure_reason.as_deref().and_then(identifier);
                let (code, by) = manifest.decline(reason.as_deref().unwrap_or_default());
                let answer = Answer { code: reason.or(answer.code), ..answer };
                Some(Outcome::Declined { by, code, answer })
            }
            "canceled" => Some(Outcome::Declined {
                by: DeclinedBy::ProviderOther,
                code: DeclineCode::ProviderDeclined,
                answer,
            }),
            _ => None,
        }
    }
}

/// Stripe writes currencies in small letters.
fn money(manifest: &Manifest, units: i64, currency: &str) -> Option<Money> {
    let known = Currency::parse(currency).ok()?;
    let exact = currency == known.code().to_ascii_lowercase();
    exact.then(|| manifest.from_provider_units(units, known))?
}

/// What Stripe holds for the account. Currencies that cannot be read are left out.
pub(super) fn balances(manifest: &Manifest, reply: &HttpReply) -> Option<Vec<Balance>> {
    let held: Balances = parse(&reply.body)?;
    if held.object != "balance" {
        return None;
    }
    let read = |sum: &Sum| {
        let available = money(manifest, sum.amount, &sum.currency)?;
        let pending = held.pending.iter().find(|other| other.currency == sum.currency);
        let pending = pending.and_then(|other| money(manifest, other.amount, &other.currency));
        Some(Balance { available, pending })
    };
    Some(held.available.iter().filter_map(read).collect())
}
