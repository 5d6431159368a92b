//! What the sandbox's answers mean. Statuses as docs/sandbox.md lists them; the rest is unknown.

use baton_connect::{
    Balance, HttpReply, LookUp, Manifest, Operation, Subject, identifier, message, network_id,
};
use baton_types::outcome::{Answer, Doubt, Finding, NextAction, Outcome, Refused};
use baton_types::{Currency, DeclineCode, DeclinedBy, Money};
use serde::Deserialize;
use serde::de::DeserializeOwned;

#[derive(Deserialize)]
pub(super) struct Payment {
    pub(super) id: String,
    pub(super) reference: String,
    pub(super) status: String,
    pub(super) amount: Amount,
    pub(super) authorized: i64,
    pub(super) captured: i64,
    pub(super) voided: bool,
    auth_code: Option<String>,
    /// Absent in books of before it was told.
    #[serde(default)]
    network_transaction_id: Option<String>,
    decline: Option<Decline>,
    next_action: Option<Action>,
}

/// What the payer has to do.
#[derive(Deserialize)]
struct Action {
    url: String,
}

#[derive(Deserialize)]
pub(super) struct Amount {
    pub(super) value: i64,
    pub(super) currency: String,
}

#[derive(Deserialize)]
struct Decline {
    code: String,
    by: String,
    message: Option<String>,
}

/// A capture, void or refund.
#[derive(Deserialize)]
pub(super) struct Modification {
    pub(super) id: String,
    pub(super) reference: String,
    pub(super) status: String,
    pub(super) amount: Amount,
    failure: Option<String>,
}

/// A cancel by reference: what was voided by it, and what could not be.
#[derive(Deserialize)]
struct Cancelled {
    cancelled: Vec<String>,
    refused: Vec<NotCancelled>,
    fenced: bool,
}

#[derive(Deserialize)]
struct NotCancelled {
    code: String,
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

#[derive(Deserialize)]
struct Holding {
    currency: String,
    available: i64,
}

#[derive(Deserialize)]
struct List<T> {
    data: Vec<T>,
}

#[derive(Deserialize)]
pub(super) struct Failure {
    pub(super) error: FailureBody,
}

#[derive(Deserialize)]
pub(super) struct FailureBody {
    pub(super) code: String,
    pub(super) message: Option<String>,
}

/// What an answer has to repeat to be about what was asked.
pub(super) struct Asked<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) reference: &'a str,
    pub(super) amount: Option<Money>,
}

pub(super) fn outcome(manifest: &Manifest, operation: &Operation, reply: &HttpReply) -> Outcome {
    if !matches!(reply.status, 200 | 201) {
        return failure(reply);
    }
    let asked = |reference| Asked { manifest, reference, amount: operation.amount() };
    let read = match operation {
        Operation::Authorize(purchase) => asked(&purchase.reference).purchase(reply, false),
        Operation::Charge(purchase) => asked(&purchase.reference).purchase(reply, true),
        Operation::Void { parent, .. } if parent.provider_reference.is_none() => {
            parse(reply).and_then(|made| cancelled(&made))
        }
        Operation::Capture { reference, .. }
        | Operation::Refund { reference, .. }
        | Operation::Increment { reference, .. }
        | Operation::Void { reference, .. } => {
            parse(reply).and_then(|made| asked(reference).modification(&made))
        }
        Operation::Tokenize { .. } => parse(reply).and_then(|made| token(&made)),
    };
    read.unwrap_or(Outcome::Unknown { why: Doubt::Unreadable })
}

pub(super) fn finding(manifest: &Manifest, look_up: &LookUp, reply: &HttpReply) -> Finding {
    if reply.status != 200 {
        return Finding::Inconclusive;
    }
    let asked = Asked { manifest, reference: &look_up.reference, amount: look_up.amount };
    let found = match look_up.subject {
        Subject::Authorize => find(reply, |paid| asked.payment_finding(paid, false)),
        Subject::Charge => find(reply, |paid| asked.payment_finding(paid, true)),
        Subject::Capture(_) | Subject::Refund(_) | Subject::Void(_) | Subject::Increment(_) => {
            find(reply, |made| Some(Finding::Found { outcome: asked.modification(made)? }))
        }
        Subject::Tokenize => None,
    };
    found.unwrap_or(Finding::Inconclusive)
}

pub(super) fn balances(manifest: &Manifest, reply: &HttpReply) -> Option<Vec<Balance>> {
    if reply.status != 200 {
        return None;
    }
    let list: List<Holding> = parse(reply)?;
    let each = list.data.iter().map(|held| {
        let currency = Currency::parse(&held.currency).ok()?;
        let available = manifest.from_provider_units(held.available, currency)?;
        Some(Balance { available, pending: None })
    });
    each.collect()
}

/// The most telling of the listed: what took money, then what still can, then the newest.
fn find<T: DeserializeOwned>(
    reply: &HttpReply,
    read: impl Fn(&T) -> Option<Finding>,
) -> Option<Finding> {
    let list: List<T> = parse(reply)?;
    if list.data.is_empty() {
        return Some(Finding::NotFound);
    }
    let found = list.data.iter().map(read).collect::<Option<Vec<Finding>>>()?;
    let rank = |finding: &Finding| match finding {
        Finding::Found { outcome: Outcome::Approved { .. } } => 0,
        Finding::Found { outcome } if outcome.is_open() => 1,
        Finding::Found { .. } | Finding::Voided | Finding::NotFound | Finding::Inconclusive => 2,
    };
    found.into_iter().min_by_key(rank)
}

/// Whether what has this reference is voided. What holds nothing is nothing that a void could have done.
pub(super) fn voided(reference: &str, reply: &HttpReply) -> Finding {
    let read = || {
        let list: List<Payment> = parse(reply).filter(|_| reply.status == 200)?;
        if list.data.iter().any(|paid| paid.reference != reference) {
            return None;
        }
        let holds = |paid: &Payment| !paid.voided && paid.status != "declined";
        let Some(paid) = list.data.iter().find(|paid| paid.voided) else {
            return Some(Finding::NotFound);
        };
        let (reference, code) = (Some(identifier(&paid.id)?), identifier("voided"));
        let answer = Answer { reference, code, ..Answer::default() };
        let outcome = Outcome::Approved { amount: None, answer };
        Some(if list.data.iter().any(holds) {
            Finding::NotFound
        } else {
            Finding::Found { outcome }
        })
    };
    read().unwrap_or(Finding::Inconclusive)
}

impl Asked<'_> {
    fn purchase(&self, reply: &HttpReply, sale: bool) -> Option<Outcome> {
        let paid: Payment = parse(reply)?;
        if paid.voided {
            return None;
        }
        self.payment(&paid, sale)
    }

    pub(super) fn payment_finding(&self, paid: &Payment, sale: bool) -> Option<Finding> {
        if paid.voided {
            // Whatever it was before, it holds nothing now.
            return self.is_about(&paid.reference, &paid.amount).then_some(Finding::Voided);
        }
        Some(Finding::Found { outcome: self.payment(paid, sale)? })
    }

    fn payment(&self, paid: &Payment, sale: bool) -> Option<Outcome> {
        if !self.is_about(&paid.reference, &paid.amount) {
            return None;
        }
        let answer = Answer {
            reference: Some(identifier(&paid.id)?),
            authorization_code: paid.auth_code.as_deref().and_then(identifier),
            network_transaction_id: network_id(paid.network_transaction_id.as_deref()),
            code: identifier(&paid.status),
            next_action: paid.next_action.as_ref().map(|action| {
                Box::new(NextAction::Redirect { url: action.url.clone(), form: None })
            }),
            ..Answer::default()
        };
        let approved = |units: i64, answer| {
            let currency = Currency::parse(&paid.amount.currency).ok()?;
            let amount = self.manifest.from_provider_units(units, currency)?;
            // Of nothing, where nothing was asked for: the card is verified.
            let fits = amount.is_positive() || (amount.is_zero() && paid.amount.value == 0);
            fits.then_some(Outcome::Approved { amount: Some(amount), answer })
        };
        match (paid.status.as_str(), sale) {
            ("captured", true) => approved(paid.captured, answer),
            // A hold that was captured since was approved too.
            ("authorized" | "captured", false) => approved(paid.authorized, answer),
            ("declined", _) => {
                let Decline { code, by, message: words } = paid.decline.as_ref()?;
                let by = match by.as_str() {
                    "issuer" => DeclinedBy::Issuer,
                    "provider_risk" => DeclinedBy::ProviderRisk,
                    "provider" => DeclinedBy::ProviderOther,
                    _ => return None,
                };
                let message = words.as_deref().and_then(message);
                Some(declined(by, code, Answer { message, ..answer }))
            }
            ("pending", _) => Some(Outcome::Pending { answer }),
            ("action_required", _) => Some(Outcome::ActionRequired { answer }),
            _ => None,
        }
    }

    pub(super) fn modification(&self, made: &Modification) -> Option<Outcome> {
        if !self.is_about(&made.reference, &made.amount) {
            return None;
        }
        let answer = Answer {
            reference: Some(identifier(&made.id)?),
            code: identifier(&made.status),
            ..Answer::default()
        };
        match (made.status.as_str(), &made.failure) {
            ("succeeded", None) => Some(Outcome::Approved { amount: self.amount, answer }),
            // It does not say who refused: the code's usual source stands in.
            ("failed", Some(code)) => {
                let by = DeclineCode::parse(code).unwrap_or(DeclineCode::Unmapped).info().by;
                Some(declined(by, code, answer))
            }
            _ => None,
        }
    }

    /// Whether an answer carries our reference, and the amount where one was asked.
    fn is_about(&self, reference: &str, amount: &Amount) -> bool {
        // As we sent it, to the letter: another spelling of the currency is no answer of the sandbox's.
        let echoed = |asked: Money| {
            amount.currency == asked.currency().code()
                && self.manifest.from_provider_units(amount.value, asked.currency()) == Some(asked)
        };
        reference == self.reference && self.amount.is_none_or(echoed)
    }
}

fn declined(by: DeclinedBy, code: &str, answer: Answer) -> Outcome {
    Outcome::Declined {
        by,
        code: DeclineCode::parse(code).unwrap_or(DeclineCode::Unmapped),
        answer: Answer { code: identifier(code), ..answer },
    }
}

/// What is there is voided, and what arrives later is refused; or something there cannot be voided.
fn cancelled(made: &Cancelled) -> Option<Outcome> {
    let reference = made.cancelled.first().map(|id| identifier(id));
    if let Some(refused) = made.refused.first() {
        return Some(declined(DeclinedBy::ProviderOther, &refused.code, Answer::default()));
    }
    let code = identifier(if reference.is_some() { "cancelled" } else { "fenced" });
    let answer = Answer { reference: reference.clone().flatten(), code, ..Answer::default() };
    (made.fenced && reference != Some(None)).then_some(Outcome::Approved { amount: None, answer })
}

fn token(made: &Token) -> Option<Outcome> {
    let token = Some(identifier(&made.token)?);
    Some(Outcome::Approved { amount: None, answer: Answer { token, ..Answer::default() } })
}

/// Statuses that the sandbox documents as "nothing was attempted"; any other leaves doubt.
fn failure(reply: &HttpReply) -> Outcome {
    let Some(Failure { error }) = parse(reply) else {
        return Outcome::Unknown { why: Doubt::UndocumentedStatus };
    };
    let why = match (reply.status, error.code.as_str()) {
        (401 | 403, _) => Refused::Credentials,
        (429, _) => Refused::RateLimited,
        (400 | 404, _)
        | (
            409,
            "reference_cancelled"
            | "not_capturable"
            | "amount_exceeds_capturable"
            | "not_voidable"
            | "not_refundable"
            | "amount_exceeds_refundable"
            | "not_raisable",
        ) => Refused::Validation,
        (409, "idempotency_in_progress") => return Outcome::Unknown { why: Doubt::InProgress },
        // Another request was executed under our key (422), a 5xx, or nothing that is documented.
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

pub(super) fn parse<T: DeserializeOwned>(reply: &HttpReply) -> Option<T> {
    // As text first: serde does not look at the bytes of what it skips.
    serde_json::from_str(std::str::from_utf8(&reply.body).ok()?).ok()
}
