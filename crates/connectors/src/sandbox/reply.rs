//! What the sandbox's answers mean. Statuses as docs/sandbox.md lists them; the rest is unknown.

use baton_connect::{HttpReply, LookUp, Manifest, Operation, Subject, identifier, message};
use baton_types::outcome::{Answer, Doubt, Finding, Outcome, Refused};
use baton_types::{Currency, DeclineCode, DeclinedBy, Money};
use serde::Deserialize;
use serde::de::DeserializeOwned;

#[derive(Deserialize)]
struct Payment {
    id: String,
    status: String,
    amount: Amount,
    authorized: i64,
    captured: i64,
    voided: bool,
    auth_code: Option<String>,
    decline: Option<Decline>,
}

#[derive(Deserialize)]
struct Amount {
    value: i64,
    currency: String,
}

#[derive(Deserialize)]
struct Decline {
    code: String,
    by: String,
    message: Option<String>,
}

/// A capture, void or refund. A void has no amount.
#[derive(Deserialize)]
struct Modification {
    id: String,
    status: String,
    amount: Option<Amount>,
    decline: Option<Decline>,
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

#[derive(Deserialize)]
struct List<T> {
    data: Vec<T>,
}

#[derive(Deserialize)]
struct Failure {
    error: FailureBody,
}

#[derive(Deserialize)]
struct FailureBody {
    code: String,
    message: Option<String>,
}

pub(super) fn outcome(manifest: &Manifest, operation: &Operation, reply: &HttpReply) -> Outcome {
    if !matches!(reply.status, 200 | 201) {
        return failure(reply);
    }
    let read = match operation {
        Operation::Authorize(_) => {
            parse::<Payment>(reply).and_then(|p| payment(manifest, &p, false))
        }
        Operation::Charge(_) => parse::<Payment>(reply).and_then(|p| payment(manifest, &p, true)),
        Operation::Capture { .. } | Operation::Refund { .. } => {
            parse::<Modification>(reply).and_then(|m| modification(manifest, &m, true))
        }
        Operation::Void { .. } => {
            parse::<Modification>(reply).and_then(|m| modification(manifest, &m, false))
        }
        Operation::Tokenize { .. } => parse::<Token>(reply).map(|made| Outcome::Approved {
            amount: None,
            answer: Answer { token: identifier(&made.token), ..Answer::default() },
        }),
    };
    read.unwrap_or(Outcome::Unknown { why: Doubt::Unreadable })
}

pub(super) fn finding(manifest: &Manifest, look_up: &LookUp, reply: &HttpReply) -> Finding {
    if reply.status != 200 {
        return Finding::Inconclusive;
    }
    let found = match look_up.subject {
        Subject::Authorize => find(reply, |p: &Payment| payment_finding(manifest, p, false)),
        Subject::Charge => find(reply, |p: &Payment| payment_finding(manifest, p, true)),
        Subject::Capture(_) | Subject::Refund(_) => {
            find(reply, |m: &Modification| modification(manifest, m, true).map(as_found))
        }
        Subject::Void(_) => {
            find(reply, |m: &Modification| modification(manifest, m, false).map(as_found))
        }
        Subject::Tokenize => None,
    };
    found.unwrap_or(Finding::Inconclusive)
}

/// The most telling of the listed: an approval if there is one, else the newest.
fn find<T: DeserializeOwned>(
    reply: &HttpReply,
    read: impl Fn(&T) -> Option<Finding>,
) -> Option<Finding> {
    let list: List<T> = parse(reply)?;
    if list.data.is_empty() {
        return Some(Finding::NotFound);
    }
    let found = list.data.iter().map(read).collect::<Option<Vec<Finding>>>()?;
    let approved = |f: &&Finding| matches!(f, Finding::Found { outcome: Outcome::Approved { .. } });
    found.iter().find(approved).or(found.first()).cloned()
}

fn as_found(outcome: Outcome) -> Finding {
    Finding::Found { outcome }
}

fn payment_finding(manifest: &Manifest, paid: &Payment, sale: bool) -> Option<Finding> {
    if paid.voided {
        return Some(Finding::Voided);
    }
    payment(manifest, paid, sale).map(as_found)
}

fn payment(manifest: &Manifest, paid: &Payment, sale: bool) -> Option<Outcome> {
    let answer = Answer {
        reference: identifier(&paid.id),
        authorization_code: paid.auth_code.as_deref().and_then(identifier),
        code: identifier(&paid.status),
        ..Answer::default()
    };
    answer.reference.as_ref()?;
    Some(match paid.status.as_str() {
        "authorized" | "captured" => {
            let units = if sale { paid.captured } else { paid.authorized };
            let amount = Amount { value: units, currency: paid.amount.currency.clone() };
            Outcome::Approved { amount: Some(money(manifest, &amount)?), answer }
        }
        "declined" => declined(paid.decline.as_ref()?, answer),
        "pending" => Outcome::Pending { answer },
        "action_required" => Outcome::ActionRequired { answer },
        _ => return None,
    })
}

fn modification(manifest: &Manifest, made: &Modification, amounted: bool) -> Option<Outcome> {
    let answer = Answer {
        reference: identifier(&made.id),
        code: identifier(&made.status),
        ..Answer::default()
    };
    answer.reference.as_ref()?;
    Some(match made.status.as_str() {
        "succeeded" => {
            let amount = match (&made.amount, amounted) {
                (Some(amount), true) => Some(money(manifest, amount)?),
                (None, true) => return None,
                (_, false) => None,
            };
            Outcome::Approved { amount, answer }
        }
        "pending" => Outcome::Pending { answer },
        "failed" => declined(made.decline.as_ref()?, answer),
        _ => return None,
    })
}

fn declined(decline: &Decline, mut answer: Answer) -> Outcome {
    let by = match decline.by.as_str() {
        "issuer" => DeclinedBy::Issuer,
        "provider_risk" => DeclinedBy::ProviderRisk,
        _ => DeclinedBy::ProviderOther,
    };
    answer.code = identifier(&decline.code);
    answer.message = decline.message.as_deref().and_then(message);
    let code = DeclineCode::parse(&decline.code).unwrap_or(DeclineCode::Unmapped);
    Outcome::Declined { by, code, answer }
}

/// Statuses that the sandbox documents as "nothing was attempted"; any other leaves doubt.
fn failure(reply: &HttpReply) -> Outcome {
    let Some(Failure { error }) = parse(reply) else {
        return Outcome::Unknown { why: Doubt::UndocumentedStatus };
    };
    let why = match (reply.status, error.code.as_str()) {
        (401 | 403, _) => Refused::Credentials,
        (429, _) => Refused::RateLimited,
        (409, "idempotency_in_progress") => return Outcome::Unknown { why: Doubt::InProgress },
        (422, _) => return Outcome::Unknown { why: Doubt::UndocumentedStatus },
        (400 | 404 | 409, _) => Refused::Validation,
        _ => return Outcome::Unknown { why: Doubt::UndocumentedStatus },
    };
    Outcome::Refused {
        why,
        answer: Answer {
            code: identifier(&error.code),
            message: error.message.as_deref().and_then(message),
            retry_after_ms: reply.retry_after_ms(),
            ..Answer::default()
        },
    }
}

fn money(manifest: &Manifest, amount: &Amount) -> Option<Money> {
    let currency = Currency::parse(&amount.currency).ok()?;
    manifest.from_provider_units(amount.value, currency)
}

fn parse<T: DeserializeOwned>(reply: &HttpReply) -> Option<T> {
    serde_json::from_slice(&reply.body).ok()
}
