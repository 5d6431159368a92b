//! What requests hold. Fields that are read have types; fields that are only kept and shown again are values.

use baton_connect::{Payer, Redirect};
use baton_flow::DoubtMode;
use baton_payments::{Authentication, CaptureMethod, CardInput, FutureUsage, IntentChange};
use baton_types::{Card, CardNumber, Currency, Cvv, Expiry, Secret, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::body::Hidden;
use super::error::Refusal;
use super::method::new_mandate;
use super::recurring::RecurringDetails;
use super::redirect::{BankRedirect, PayLater};
use super::three_ds::ThreeDsData;
use crate::openapi::types::words;
use crate::pan::holds_card_number;

/// Longest text that is kept, in characters.
const TEXT_MAX: usize = 4096;

/// What is shown of a secret.
pub(crate) const STARS: &str = "********";

/// Declares a request: fields with types, and fields that are kept by their names.
macro_rules! request {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$of:meta])* $vis:vis $field:ident: $type:ty,)*
    } kept {
        $($kept:ident,)*
    }) => {
        $(#[$doc])*
        #[derive(Default, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name {
            $(#[serde(default)] $(#[$of])* $vis $field: $type,)*
            $(
                #[serde(default)]
                #[schemars(with = "crate::payments::describe::Kept")]
                $kept: Option<serde_json::Value>,
            )*
        }

        impl $crate::payments::shape::Given for $name {
            fn given(&self) -> Vec<&'static str> {
                let typed: &[(&'static str, bool)] =
                    &[$((stringify!($field), self.$field.is_some()),)*];
                let kept: &[(&'static str, bool)] =
                    &[$((stringify!($kept), self.$kept.is_some()),)*];
                typed.iter().chain(kept).filter(|(_, is_some)| *is_some).map(|(n, _)| *n).collect()
            }
        }

        impl $name {
            /// The fields that are only kept, by their names.
            pub(crate) fn kept(&mut self) -> Result<
                serde_json::Map<String, serde_json::Value>,
                $crate::payments::error::Refusal,
            > {
                let mut map = serde_json::Map::new();
                $(if let Some(value) = self.$kept.take() {
                    $crate::payments::shape::check_kept(stringify!($kept), &value)?;
                    map.insert(stringify!($kept).to_owned(), value);
                })*
                Ok(map)
            }
        }
    };
}
pub(crate) use request;

/// A request that can say which fields came.
pub(crate) trait Given {
    /// The names of the fields that came.
    fn given(&self) -> Vec<&'static str>;
}

/// What is kept is stored in clear: no card number may be in it, wherever.
pub(crate) fn check_kept(field: &str, value: &Value) -> Result<(), Refusal> {
    match value {
        Value::Null | Value::Bool(_) => Ok(()),
        Value::Number(number) => check_text(field, &number.to_string()),
        Value::String(text) => check_text(field, text),
        Value::Array(items) => items.iter().try_for_each(|item| check_kept(field, item)),
        Value::Object(members) => members.iter().try_for_each(|(name, value)| {
            check_text(field, name)?;
            check_kept(field, value)
        }),
    }
}

/// Puts stars in place of what a merchant's settings hold of secrets, which are kept and shown in clear.
pub(crate) fn hide_secrets(details: &mut Map<String, Value>) {
    for (name, value) in details {
        let is_secret = ["secret", "password", "certificate_keys", "private_key", "hash_key"]
            .iter()
            .any(|ending| name.ends_with(ending));
        match value {
            Value::String(text) if is_secret && !text.is_empty() => STARS.clone_into(text),
            Value::Object(members) => hide_secrets(members),
            Value::Array(items) => {
                items.iter_mut().filter_map(Value::as_object_mut).for_each(hide_secrets)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

pub(crate) fn check_text(field: &str, text: &str) -> Result<(), Refusal> {
    if text.chars().count() > TEXT_MAX {
        return Err(Refusal::value(field, format!("longer than {TEXT_MAX} characters")));
    }
    if text.contains('\0') {
        return Err(Refusal::value(field, "holds a NUL character"));
    }
    if holds_card_number(text) {
        return Err(Refusal::value(field, "holds a card number"));
    }
    Ok(())
}

/// Where a browser is sent: an absolute URL, and none that would run in the page that it comes from.
pub(crate) fn check_url(field: &str, text: &str) -> Result<(), Refusal> {
    check_text(field, text)?;
    let wrong = || Refusal::value(field, "must be an absolute URL like https://shop.example/done");
    let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
    let in_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let runs = ["javascript", "data", "vbscript", "file", "blob"];
    let is_scheme = scheme.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && scheme.bytes().all(in_scheme)
        && !runs.contains(&scheme.to_ascii_lowercase().as_str());
    let printable = rest.bytes().all(|byte| byte.is_ascii_graphic());
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if is_scheme && printable && !rest.is_empty() && !host.contains('@') {
        Ok(())
    } else {
        Err(wrong())
    }
}

/// An id that a client chooses: 1 to 64 letters, digits, dashes and underscores.
pub(crate) fn check_id(field: &str, text: &str) -> Result<(), Refusal> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    if text.is_empty() || text.len() > 64 || !text.chars().all(fits) || holds_card_number(text) {
        return Err(Refusal::value(
            field,
            "must be 1 to 64 letters, digits, dashes or underscores",
        ));
    }
    Ok(())
}

words!(
    /// When what is held is taken.
    CaptureWord,
    "When what is held is taken.",
    ["automatic", "manual", "manual_multiple"]
);
words!(
    /// What is done about a lost answer.
    OutcomeWord,
    "What is done when a provider's answer is lost.",
    ["resolve_first", "hold_safe", "stop"]
);
words!(
    /// Whether the payer may be challenged.
    AuthenticationWord,
    "Whether the payer may be challenged.",
    ["three_ds", "no_three_ds"]
);
words!(
    /// What a saved method is for.
    FutureUsageWord,
    "What a saved method is for: with the payer there, or without.",
    ["on_session", "off_session"]
);

request!(
    /// What a payment is made of: all of it when it is created, a part when it is changed or confirmed.
    PaymentsRequest {
        pub(crate) amount: Option<i64>,
        pub(crate) currency: Option<String>,
        pub(crate) payment_id: Option<String>,
        pub(crate) profile_id: Option<String>,
        pub(crate) confirm: Option<bool>,
        pub(crate) client_secret: Option<Hidden>,
        #[schemars(with = "Option<CaptureWord>")]
        capture_method: Option<CaptureMethod>,
        #[schemars(with = "Option<AuthenticationWord>")]
        authentication_type: Option<Authentication>,
        amount_to_capture: Option<i64>,
        customer_id: Option<String>,
        customer: Option<Value>,
        description: Option<String>,
        return_url: Option<String>,
        #[schemars(with = "Option<FutureUsageWord>")]
        setup_future_usage: Option<FutureUsage>,
        payment_method_type: Option<String>,
        payment_method_data: Option<MethodData>,
        session_expiry: Option<u32>,
        billing: Option<Value>,
        browser_info: Option<Value>,
        payment_token: Option<String>,
        payment_method_id: Option<String>,
        mandate_id: Option<String>,
        mandate_data: Option<Value>,
        recurring_details: Option<RecurringDetails>,
        off_session: Option<bool>,
        card_cvc: Option<Hidden>,
        #[schemars(with = "Option<OutcomeWord>")]
        outcome_mode: Option<DoubtMode>,
        three_ds_data: Option<ThreeDsData>,
        retry_action: Option<RetryAction>,
    } kept {
        payment_method,
        order_tax_amount, shipping_cost, routing, connector, shipping,
        statement_descriptor_name, statement_descriptor_suffix, order_details,
        customer_acceptance, payment_experience, business_country, business_label,
        allowed_payment_method_types, metadata, connector_metadata, payment_link, surcharge_details,
        payment_type, request_incremental_authorization, frm_metadata,
        request_external_three_ds_authentication, request_extended_authorization,
        merchant_order_reference_id, payment_channel, capture_on, name, email, phone,
        phone_country_code, feature_metadata, is_iframe_redirection_enabled, force_3ds_challenge,
        enable_partial_authorization, enable_overcapture, all_keys_required,
    }
);

/// What a merchant wants done about a payment that has failed. Whether that is allowed is the profile's to say.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum RetryAction {
    /// Confirm it again.
    ManualRetry,
    /// The same, by the contract's other name.
    Requeue,
}

/// `payment_method_data`: a card, a method that the payer completes elsewhere, or one that no connector of this build takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MethodData {
    #[serde(default)]
    pub(crate) card: Option<CardData>,
    #[serde(default)]
    pub(crate) wallet: Option<Value>,
    #[serde(default)]
    pub(crate) pay_later: Option<PayLater>,
    #[serde(default)]
    pub(crate) bank_redirect: Option<BankRedirect>,
    #[serde(default)]
    pub(crate) bank_transfer: Option<Value>,
    #[serde(default)]
    pub(crate) bank_debit: Option<Value>,
    #[serde(default)]
    pub(crate) billing: Option<Value>,
}

impl MethodData {
    /// The name of a method that nobody takes.
    pub(crate) fn other(&self) -> Option<&'static str> {
        [
            (&self.wallet, "wallet"),
            (&self.bank_transfer, "bank_transfer"),
            (&self.bank_debit, "bank_debit"),
        ]
        .into_iter()
        .find_map(|(data, name)| data.as_ref().map(|_| name))
    }

    /// Whether it says what is paid with.
    fn is_given(&self) -> bool {
        self.card.is_some() || self.pay_later.is_some() || self.bank_redirect.is_some()
    }

    /// The card, or the method that the payer completes elsewhere; not both.
    fn read(
        self,
        kind: Option<&str>,
        now: Timestamp,
    ) -> Result<(Option<CardInput>, Option<Box<Redirect>>), Refusal> {
        let redirect = match (self.card, self.pay_later, self.bank_redirect) {
            (None, None, None) => return Ok((None, None)),
            (Some(card), None, None) => return Ok((Some(card.read(now)?), None)),
            (None, Some(lender), None) => lender.read()?,
            (None, None, Some(bank)) => bank.read()?,
            _ => return Err(Refusal::value("payment_method_data", "must be one method")),
        };
        match kind {
            Some(kind) if kind != redirect.method.as_str() => {
                let message =
                    format!("is not that of payment_method_data: {}", redirect.method.as_str());
                Err(Refusal::value("payment_method_type", message))
            }
            Some(_) | None => Ok((None, Some(Box::new(redirect)))),
        }
    }
}

/// A card.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CardData {
    card_number: Hidden,
    card_exp_month: Hidden,
    card_exp_year: Hidden,
    #[serde(default)]
    card_holder_name: Option<Hidden>,
    #[serde(default)]
    card_cvc: Option<Hidden>,
    #[serde(default, rename = "card_issuer")]
    _issuer: Option<Value>,
    #[serde(default, rename = "card_network")]
    _network: Option<Value>,
    #[serde(default, rename = "card_type")]
    _kind: Option<Value>,
    #[serde(default, rename = "card_issuing_country")]
    _country: Option<Value>,
    #[serde(default, rename = "bank_code")]
    _bank: Option<Value>,
    #[serde(default, rename = "nick_name")]
    _nick: Option<Value>,
}

impl CardData {
    /// A card by number, month and year, whose holder is not there to say its CVC.
    pub(crate) fn without_cvc(
        (card_number, card_exp_month, card_exp_year): (Hidden, Hidden, Hidden),
        card_holder_name: Option<Hidden>,
    ) -> Self {
        Self {
            card_number,
            card_exp_month,
            card_exp_year,
            card_holder_name,
            card_cvc: None,
            _issuer: None,
            _network: None,
            _kind: None,
            _country: None,
            _bank: None,
            _nick: None,
        }
    }

    /// The card, if it can be one, in the contract's words where it cannot.
    pub(crate) fn read(self, now: Timestamp) -> Result<CardInput, Refusal> {
        let number = CardNumber::parse(self.card_number.expose())
            .map_err(|error| Refusal::json(error.to_string()))?;
        let part = |text: &Hidden, wrong| {
            text.expose().trim().parse::<i64>().map_err(|_| Refusal::said(wrong))
        };
        let month = part(&self.card_exp_month, "Invalid Expiry Month")?;
        if !(1..=12).contains(&month) {
            return Err(Refusal::said("Invalid Expiry Month"));
        }
        let year = part(&self.card_exp_year, "Invalid Expiry Year")?;
        let expiry = Expiry::new(month, year).map_err(|_| Refusal::said("Invalid Expiry Year"))?;
        if expiry.is_past(now) {
            return Err(Refusal::connector("Invalid Expiry Year"));
        }
        let cvv = match &self.card_cvc {
            None => None,
            Some(text) => match Cvv::parse(text.expose()) {
                Ok(cvv) if cvv.matches_brand(number.brand()) => Some(cvv),
                Ok(_) | Err(_) => return Err(Refusal::said("Invalid card_cvc length")),
            },
        };
        let holder = self.card_holder_name.map(|name| name.expose().to_owned());
        if let Some(holder) = &holder {
            check_text("card_holder_name", holder)?;
        }
        let card = Card { number, expiry, cvv, holder };
        let masked = card.masked();
        let Card { number, cvv, holder, .. } = card;
        Ok(CardInput { number: Secret::new(number.expose().to_owned()), masked, cvv, holder })
    }
}

/// What a payer's browser may say of a payment: how it is paid and by whom, never what is paid.
const OF_BROWSERS: &[&str] = &[
    "billing",
    "browser_info",
    "card_cvc",
    "client_secret",
    "confirm",
    "customer_acceptance",
    "email",
    "mandate_data",
    "name",
    "payment_experience",
    "payment_method",
    "payment_method_data",
    "payment_method_id",
    "payment_method_type",
    "payment_token",
    "phone",
    "phone_country_code",
    "retry_action",
    "return_url",
    "setup_future_usage",
    "shipping",
];

impl PaymentsRequest {
    /// Refuses what only a merchant's server may say.
    pub(crate) fn check_browser(&self) -> Result<(), Refusal> {
        match self.given().into_iter().find(|name| !OF_BROWSERS.contains(name)) {
            Some(name) => Err(Refusal::value(name, "only the merchant's secret key may set it")),
            None => Ok(()),
        }
    }

    /// What is to be changed about an intent.
    pub(crate) fn change(&mut self, now: Timestamp) -> Result<IntentChange, Refusal> {
        if let Some(method) = self.payment_method_data.as_ref().and_then(MethodData::other) {
            let message = format!("no connector of this server takes the payment method {method}");
            return Err(Refusal::value("payment_method_data", message));
        }
        if let (Some(capture), Some(amount)) = (self.amount_to_capture, self.amount)
            && capture > amount
        {
            return Err(Refusal::value("amount_to_capture", "is greater than amount"));
        }
        let cvv = match self.card_cvc.take() {
            Some(text) => {
                let wrong = |_| Refusal::said("Invalid card_cvc length");
                Some(Cvv::parse(text.expose()).map_err(wrong)?)
            }
            None => None,
        };
        let new_mandate = self.mandate_data.as_ref().map(new_mandate).transpose()?.flatten();
        let recurring = self.recurring_details.take().map(|details| details.read(now));
        let recurring = recurring.transpose()?.unwrap_or_default();
        let saved_method = self.payment_token.take().or(recurring.saved_method);
        let saved_method = saved_method.or(self.payment_method_id.take());
        let mandate = self.mandate_id.take().or(recurring.mandate);
        let mut details = self.kept()?;
        details.extend(self.off_session.map(|off| ("off_session".to_owned(), off.into())));
        // The method's own billing address is the payment's, unless that has one.
        let of_method = self.payment_method_data.as_mut().and_then(|data| data.billing.take());
        self.billing = self.billing.take().or(of_method);
        let kept = [
            ("billing", &self.billing),
            ("browser_info", &self.browser_info),
            ("mandate_data", &self.mandate_data),
        ];
        for (name, value) in kept {
            if let Some(value) = value {
                check_kept(name, value)?;
                details.insert(name.to_owned(), value.clone());
            }
        }
        let (card, redirect) = match self.payment_method_data.take() {
            Some(data) if recurring.recurring.is_some() && data.is_given() => {
                let message = "comes without recurring_details: these say what is paid with";
                return Err(Refusal::value("payment_method_data", message));
            }
            Some(data) => data.read(self.payment_method_type.as_deref(), now)?,
            None => (None, None),
        };
        self.description.as_deref().map_or(Ok(()), |text| check_text("description", text))?;
        self.return_url.as_deref().map_or(Ok(()), |url| check_url("return_url", url))?;
        let customer = self.customer_id.take().or_else(|| embedded_id(self.customer.as_ref()));
        if let Some(id) = &customer {
            check_id("customer_id", id)?;
        }
        if let Some(Value::Object(person)) = self.customer.take() {
            for (name, value) in person.into_iter().filter(|(name, _)| name != "id") {
                check_kept("customer", &value)?;
                details.entry(name).or_insert(value);
            }
        }
        Ok(IntentChange {
            amount: payable(self.amount)?,
            currency: self.currency.as_deref().map(currency).transpose()?,
            capture: self.capture_method,
            authentication: self.authentication_type,
            outcome_mode: self.outcome_mode,
            three_ds: self.three_ds_data.take().map(ThreeDsData::read).transpose()?,
            customer,
            method_kind: self.payment_method_type.take(),
            card: card.or(recurring.card),
            redirect,
            saved_method,
            cvv,
            mandate,
            recurring: recurring.recurring,
            new_mandate,
            setup_future_usage: self.setup_future_usage,
            return_url: self.return_url.take(),
            description: self.description.take(),
            session_expiry_s: self.session_expiry.map(session).transpose()?,
            payer: payer(self.browser_info.as_ref(), self.billing.as_ref()),
            details,
        })
    }
}

fn embedded_id(customer: Option<&Value>) -> Option<String> {
    Some(customer?.get("id")?.as_str()?.to_owned())
}

/// How long a payment can be confirmed, in seconds: three months at most.
pub(crate) fn session(seconds: u32) -> Result<u32, Refusal> {
    const MOST: u32 = 7_890_000;
    if (1..=MOST).contains(&seconds) {
        return Ok(seconds);
    }
    Err(Refusal::value("session_expiry", format!("must be 1 to {MOST} seconds")))
}

/// An amount that is there and more than nothing.
pub(crate) fn positive(field: &str, amount: Option<i64>) -> Result<Option<i64>, Refusal> {
    match amount {
        Some(amount) if amount <= 0 => Err(Refusal::value(field, "must be greater than zero")),
        Some(amount) if amount > 999_999_999_999 => Err(Refusal::value(field, "is too large")),
        amount => Ok(amount),
    }
}

/// What is to be paid; nothing, where a card is only saved.
pub(crate) fn payable(amount: Option<i64>) -> Result<Option<i64>, Refusal> {
    if amount == Some(0) { Ok(amount) } else { positive("amount", amount) }
}

/// A currency by its code.
pub(crate) fn currency(code: &str) -> Result<Currency, Refusal> {
    Currency::parse(code).map_err(|_| Refusal::json(format!("unknown currency `{}`", short(code))))
}

fn short(text: &str) -> String {
    text.chars().take(8).filter(char::is_ascii_alphabetic).collect()
}

/// Who pays, where enough of it is told for a provider to read.
fn payer(browser: Option<&Value>, billing: Option<&Value>) -> Option<Payer> {
    let ip = browser?.get("ip_address")?.as_str()?.to_owned();
    let address = billing?.get("address")?;
    let text = |name: &str| address.get(name).and_then(Value::as_str).map(str::to_owned);
    let lines = ["line1", "line2", "line3"].into_iter().filter_map(text).collect();
    Some(Payer {
        ip,
        country: text("country")?,
        address: lines,
        post_code: text("zip"),
        city: text("city"),
        state: text("state"),
    })
}
