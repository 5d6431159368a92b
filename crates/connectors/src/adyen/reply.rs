//! What Adyen's answers mean. What its documentation does not say is unknown.

use std::collections::BTreeMap;

use baton_connect::{
    HttpReply, LookUp, Manifest, Operation, Parent, identifier, message, network_id,
};
use baton_types::outcome::{Answer, Doubt, Finding, NextAction, Outcome, Refused};
use baton_types::{DeclineCode, DeclinedBy, Money};
use serde::Deserialize;
use serde::de::DeserializeOwned;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payment {
    psp_reference: Option<String>,
    result_code: String,
    merchant_reference: Option<String>,
    amount: Option<Amount>,
    refusal_reason: Option<String>,
    refusal_reason_code: Option<String>,
    action: Option<Action>,
    #[serde(default)]
    additional_data: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
pub(super) struct Amount {
    pub(super) value: i64,
    pub(super) currency: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Action {
    #[serde(rename = "type")]
    kind: String,
    method: Option<String>,
    url: Option<String>,
    data: Option<BTreeMap<String, String>>,
}

/// The answer to a capture, cancel or refund.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Modification {
    psp_reference: String,
    status: String,
    reference: Option<String>,
    payment_psp_reference: Option<String>,
    payment_reference: Option<String>,
    amount: Option<Amount>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    id: String,
    shopper_reference: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceError {
    error_code: Option<String>,
    message: Option<String>,
}

pub(super) fn outcome(manifest: &Manifest, operation: &Operation, reply: &HttpReply) -> Outcome {
    let read = match (operation, reply.status) {
        (Operation::Authorize(bought) | Operation::Charge(bought), 200) => {
            let (reference, amount) = (&bought.reference, bought.amount);
            parse(&reply.body).and_then(|paid| payment(manifest, reference, amount, &paid))
        }
        (Operation::Capture { parent, amount, reference }, 201)
        | (Operation::Refund { parent, amount, reference }, 201)
        | (Operation::Increment { parent, amount, reference }, 201) => {
            parse(&reply.body).and_then(|made: Modification| {
                let same = made.amount.as_ref().is_none_or(|echo| is(manifest, echo, *amount));
                received(parent, reference, &made).filter(|_| same)
            })
        }
        (Operation::Void { parent, reference }, 201) => {
            parse(&reply.body).and_then(|made| received(parent, reference, &made))
        }
        (Operation::Tokenize { reference, .. }, 201) => {
            parse(&reply.body).and_then(|made| stored(reference, &made))
        }
        _ => return failure(reply),
    };
    read.unwrap_or(Outcome::Unknown { why: Doubt::Unreadable })
}

/// What a payer's result made of an attempt. It has to name the attempt: the payer chose the result.
pub(super) fn completion(manifest: &Manifest, about: &LookUp, reply: &HttpReply) -> Finding {
    let read = || {
        let paid: Payment = parse(&reply.body).filter(|_| reply.status == 200)?;
        let ours = paid.merchant_reference.as_ref() == Some(&about.reference);
        payment(manifest, &about.reference, about.amount?, &paid).filter(|_| ours)
    };
    match read() {
        Some(outcome) => Finding::Found { outcome },
        None => Finding::Inconclusive,
    }
}

fn payment(manifest: &Manifest, reference: &str, asked: Money, paid: &Payment) -> Option<Outcome> {
    // A challenge may come without our reference; nothing else does.
    let ours = match &paid.merchant_reference {
        Some(echo) => *echo == reference,
        None => paid.action.is_some(),
    };
    if !ours {
        return None;
    }
    let text = |name: &str| paid.additional_data.get(name).and_then(serde_json::Value::as_str);
    let answer = Answer {
        reference: paid.psp_reference.as_deref().and_then(identifier),
        authorization_code: text("authCode").and_then(identifier),
        code: identifier(&paid.result_code),
        message: paid.refusal_reason.as_deref().and_then(message),
        advice: text("merchantAdviceCode").and_then(advice),
        network_transaction_id: network_id(text("networkTxReference")),
        next_action: paid.action.as_ref().map(|action| Box::new(action.read())),
        ..Answer::default()
    };
    let has_id = answer.reference.is_some() && paid.merchant_reference.is_some();
    let echoed = paid.amount.as_ref().is_none_or(|echo| is(manifest, echo, asked));
    match paid.result_code.as_str() {
        "Authorised" => {
            (has_id && echoed).then_some(Outcome::Approved { amount: Some(asked), answer })
        }
        "PartiallyAuthorised" => {
            let amount = partial(manifest, asked, paid)?;
            has_id.then_some(Outcome::Approved { amount: Some(amount), answer })
        }
        "Refused" | "Error" | "Cancelled" => {
            let named = paid.refusal_reason_code.as_deref().or(paid.refusal_reason.as_deref());
            let named = named.or(Some(paid.result_code.as_str()));
            let (code, by) = declined(manifest, named?, text("refusalReasonRaw"));
            let answer = Answer { code: named.and_then(identifier), ..answer };
            has_id.then_some(Outcome::Declined { by, code, answer })
        }
        "Pending" | "Received" => has_id.then_some(Outcome::Pending { answer }),
        // A challenge may come without an id; it is cancelled by our reference then.
        "RedirectShopper" | "IdentifyShopper" | "ChallengeShopper" | "PresentToShopper" => {
            paid.action.is_some().then_some(Outcome::ActionRequired { answer })
        }
        _ => None,
    }
}

/// Less than was asked for, and more than nothing.
fn partial(manifest: &Manifest, asked: Money, paid: &Payment) -> Option<Money> {
    let text = |name: &str| paid.additional_data.get(name).and_then(serde_json::Value::as_str);
    let (value, currency) = match (text("authorisedAmountValue"), text("authorisedAmountCurrency"))
    {
        (Some(value), Some(currency)) => (value.parse().ok()?, currency),
        _ => paid.amount.as_ref().map(|amount| (amount.value, amount.currency.as_str()))?,
    };
    let amount = manifest.from_provider_units(value, asked.currency())?;
    let less = currency == asked.currency().code() && (1..asked.minor()).contains(&amount.minor());
    less.then_some(amount)
}

/// What a refusal means. The refusal reason is coarse; the network's own code says more, where it is there.
pub(super) fn declined(
    manifest: &Manifest,
    named: &str,
    raw: Option<&str>,
) -> (DeclineCode, DeclinedBy) {
    let coarse = ["2", "5", "27", "Refused", "Blocked Card", "Declined Non Generic"];
    let network = raw.filter(|_| coarse.contains(&named)).and_then(network_code);
    match network {
        Some(code) => (code, code.info().by),
        None => manifest.decline(named),
    }
}

/// `05 : Do not honor`: the network's response code, with or without its leading zero.
fn network_code(raw: &str) -> Option<DeclineCode> {
    let code = raw.split(':').next()?.trim();
    let code = if code.len() == 1 { format!("0{code}") } else { code.to_owned() };
    DeclineCode::all().find(|known| known.info().iso8583.contains(&code.as_str()))
}

/// `03 : Do not try again`: the scheme's advice without its words.
fn advice(text: &str) -> Option<String> {
    identifier(text.split(':').next()?)
}

impl Action {
    fn read(&self) -> NextAction {
        match (&self.url, self.kind.as_str()) {
            (Some(url), "redirect") => {
                let post = self.method.as_deref() == Some("POST");
                let form = post.then(|| self.data.clone().unwrap_or_default());
                NextAction::Redirect { url: url.clone(), form }
            }
            _ => NextAction::ClientLibrary { kind: identifier(&self.kind).unwrap_or_default() },
        }
    }
}

/// Adyen has the request. What comes of it is told by webhook.
fn received(parent: &Parent, reference: &str, made: &Modification) -> Option<Outcome> {
    let about = match &parent.provider_reference {
        Some(id) => made.payment_psp_reference.as_ref() == Some(id),
        None => made.payment_reference.as_ref() == Some(&parent.reference),
    };
    let ours = made.reference.as_deref().is_none_or(|echo| echo == reference);
    let answer = Answer {
        reference: Some(identifier(&made.psp_reference)?),
        code: identifier(&made.status),
        ..Answer::default()
    };
    (about && ours && made.status == "received").then_some(Outcome::Pending { answer })
}

/// A stored card is charged with the shopper that it was stored for: both make the token.
fn stored(reference: &str, made: &Stored) -> Option<Outcome> {
    let ours = made.shopper_reference.as_deref().is_none_or(|echo| echo == reference);
    let id = identifier(&made.id).filter(|id| ours && !id.contains('/'))?;
    let token = Some(format!("{reference}/{id}"));
    Some(Outcome::Approved { amount: None, answer: Answer { token, ..Answer::default() } })
}

fn is(manifest: &Manifest, echo: &Amount, asked: Money) -> bool {
    echo.currency == asked.currency().code()
        && manifest.from_provider_units(echo.value, asked.currency()) == Some(asked)
}

/// Statuses as the API's description lists them. A transient error is documented as one before anything was
/// passed on: the same key would be processed as if for the first time.
fn failure(reply: &HttpReply) -> Outcome {
    let Some(error) = parse::<ServiceError>(&reply.body) else {
        return Outcome::Unknown { why: Doubt::UndocumentedStatus };
    };
    let transient = reply.header("transient-error").is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let why = match (reply.status, error.error_code.as_deref()) {
        // A request with this key runs, or ran.
        (409 | 422, Some("704")) => return Outcome::Unknown { why: Doubt::InProgress },
        (401 | 403, Some(_)) => Refused::Credentials,
        (429, _) => Refused::RateLimited,
        (400 | 422, Some(_)) => Refused::Validation,
        (500..=599, _) if transient => Refused::Unavailable,
        _ => return Outcome::Unknown { why: Doubt::UndocumentedStatus },
    };
    Outcome::Refused {
        why,
        answer: Answer {
            code: error.error_code.as_deref().and_then(identifier),
            message: error.message.as_deref().and_then(message),
            retry_after_ms: reply.retry_after_ms(),
            ..Answer::default()
        },
    }
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    // As text first: serde does not look at the bytes of what it skips.
    serde_json::from_str(std::str::from_utf8(body).ok()?).ok()
}
