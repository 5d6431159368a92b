//! `pay_later` and `bank_redirect`: methods that the payer completes on a lender's or a bank's page.

use baton_connect::{Contact, Redirect, RedirectMethod};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::Refusal;
use super::method::method_type;
use super::shape::check_text;

/// A lender: just one. What is not known here is refused, because nobody takes it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PayLater {
    #[serde(default)]
    affirm_redirect: Option<Lender>,
    #[serde(default)]
    afterpay_clearpay_redirect: Option<Lender>,
    #[serde(default)]
    klarna_redirect: Option<Lender>,
}

/// What a lender wants to know. Other members are read over, as the contract does.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Lender {
    billing_email: Option<String>,
    billing_name: Option<String>,
    billing_country: Option<String>,
}

/// A bank's page: just one.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BankRedirect {
    #[serde(default)]
    eps: Option<Bank>,
    #[serde(default)]
    giropay: Option<Bank>,
    #[serde(default)]
    ideal: Option<Bank>,
    #[serde(default)]
    sofort: Option<Bank>,
}

/// What a bank's page wants to know. Other members are read over, as the contract does.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Bank {
    bank_name: Option<String>,
    billing_details: Option<BankBilling>,
    country: Option<String>,
}

/// Who pays.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct BankBilling {
    billing_name: Option<String>,
    email: Option<String>,
}

const PAY_LATER: &str = "payment_method_data.pay_later";
const BANK: &str = "payment_method_data.bank_redirect";

/// The one member that is there.
fn only<T>(field: &str, given: impl IntoIterator<Item = Option<T>>) -> Result<T, Refusal> {
    let mut given = given.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(Refusal::missing(field)),
        (Some(_), Some(_)) => Err(Refusal::value(field, "must be one method")),
    }
}

/// A word that is kept, if it is none that is empty.
fn word(field: &str, text: Option<String>) -> Result<Option<String>, Refusal> {
    let text = text.filter(|text| !text.trim().is_empty());
    text.as_deref().map_or(Ok(()), |text| check_text(field, text))?;
    Ok(text)
}

fn country(field: &str, text: Option<String>) -> Result<Option<String>, Refusal> {
    let is_code = |text: &String| text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase());
    match text.filter(|text| !text.is_empty()) {
        Some(text) if !is_code(&text) => {
            Err(Refusal::value(field, "must be two capital letters like NL"))
        }
        text => Ok(text),
    }
}

impl PayLater {
    /// The method.
    pub(crate) fn read(self) -> Result<Redirect, Refusal> {
        let known = [
            (RedirectMethod::Affirm, self.affirm_redirect),
            (RedirectMethod::AfterpayClearpay, self.afterpay_clearpay_redirect),
            (RedirectMethod::Klarna, self.klarna_redirect),
        ];
        let known = known.map(|(method, given)| given.map(|given| (method, given)));
        let (method, given) = only(PAY_LATER, known)?;
        let payer = Contact {
            name: word("billing_name", given.billing_name)?,
            email: word("billing_email", given.billing_email)?,
            country: country("billing_country", given.billing_country)?,
            ..Contact::default()
        };
        Ok(Redirect { method, bank: None, payer, shipping: None })
    }
}

impl BankRedirect {
    /// The method.
    pub(crate) fn read(self) -> Result<Redirect, Refusal> {
        let known = [
            (RedirectMethod::Eps, self.eps),
            (RedirectMethod::Giropay, self.giropay),
            (RedirectMethod::Ideal, self.ideal),
            (RedirectMethod::Sofort, self.sofort),
        ];
        let known = known.map(|(method, given)| given.map(|given| (method, given)));
        let (method, given) = only(BANK, known)?;
        let billing = given.billing_details.unwrap_or_default();
        let payer = Contact {
            name: word("billing_name", billing.billing_name)?,
            email: word("email", billing.email)?,
            country: country("country", given.country)?,
            ..Contact::default()
        };
        Ok(Redirect { method, bank: word("bank_name", given.bank_name)?, payer, shipping: None })
    }
}

/// What a payment by such a method shows of it, as `payment_method_data`.
pub(crate) fn shown(redirect: &Redirect) -> Value {
    let family = redirect.method.family();
    match &redirect.bank {
        Some(bank) => json!({ family: { "bank_name": bank }, "billing": null }),
        None => json!({ family: {}, "billing": null }),
    }
}

/// The methods that connectors offer, by family: each with the connectors that take it.
pub(crate) fn offered(eligible: &[(RedirectMethod, Vec<&str>)]) -> Vec<Value> {
    let of_family = |family: &str| {
        let types: Vec<Value> = eligible
            .iter()
            .filter(|(method, _)| method.family() == family)
            .map(|(method, connectors)| {
                let how = json!([{
                    "payment_experience_type": "redirect_to_url",
                    "eligible_connectors": connectors,
                }]);
                method_type(method.as_str(), how, Value::Null)
            })
            .collect();
        let is_any = !types.is_empty();
        is_any.then(|| json!({ "payment_method": family, "payment_method_types": types }))
    };
    ["pay_later", "bank_redirect"].into_iter().filter_map(of_family).collect()
}
