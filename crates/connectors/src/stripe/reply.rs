//! What Stripe's answers mean. What its documentation does not say is unknown.

use baton_connect::{
    Decoded, HttpCall, HttpReply, Manifest, Method, Operation, Parent, Purchase, Source, identifier,
};
use baton_types::Money;
use baton_types::outcome::{Answer, Doubt, Outcome, Refused};

use super::objects::{Error, Failure, Intent, List, Made, Refund, parse};
use super::{id, look_up, redirect, request, setup};

pub(super) fn decode(
    manifest: &Manifest,
    operation: &Operation,
    sent: &HttpCall,
    reply: &HttpReply,
) -> Decoded {
    if reply.status != 200 {
        return Decoded::Outcome(failure(manifest, operation, sent, reply));
    }
    let read = match operation {
        Operation::Authorize(purchase) if purchase.amount.is_zero() => {
            setup::step(manifest, purchase, sent, reply)
        }
        Operation::Authorize(purchase) => purchase_step(manifest, purchase, false, sent, reply),
        Operation::Charge(purchase) => purchase_step(manifest, purchase, true, sent, reply),
        Operation::Capture { amount, reference, .. } => Intent::parse(&reply.body)
            .filter(|intent| is_at(sent, intent))
            .and_then(|intent| captured(manifest, &intent, *amount, reference))
            .map(Decoded::Outcome),
        Operation::Increment { amount, reference, .. } => Intent::parse(&reply.body)
            .filter(|intent| is_at(sent, intent))
            .and_then(|intent| raised(manifest, &intent, *amount, reference))
            .map(Decoded::Outcome),
        Operation::Void { parent, .. } if sent.method == Method::Get => {
            if parent.verification {
                setup::found(parent, reply)
            } else {
                found(parent, reply)
            }
        }
        Operation::Void { parent, .. } if parent.verification => {
            setup::voided(sent, reply).map(Decoded::Outcome)
        }
        Operation::Void { .. } => Intent::parse(&reply.body)
            .filter(|intent| is_at(sent, intent) && intent.status == "canceled")
            .map(|intent| Decoded::Outcome(voided(&intent))),
        Operation::Refund { parent, amount, reference } => parse::<Refund>(&reply.body)
            .filter(|made| made.is_one() && made.payment_intent == parent.provider_reference)
            .filter(|made| is_ours(manifest, made, *amount, reference))
            .and_then(|made| made.outcome(manifest))
            .map(Decoded::Outcome),
        Operation::Tokenize { reference, .. } => token_step(reference, sent, reply),
    };
    read.unwrap_or_else(Decoded::unreadable)
}

/// One step of the sequence: intent, payment method, confirmation.
fn purchase_step(
    manifest: &Manifest,
    purchase: &Purchase,
    sale: bool,
    sent: &HttpCall,
    reply: &HttpReply,
) -> Option<Decoded> {
    match (sent.path.as_str(), sent.about.as_deref()) {
        ("/v1/payment_intents", None) => {
            let intent = Intent::parse(&reply.body)?;
            let made = is_about(manifest, &intent, purchase) && intent.is_untouched();
            made.then(|| after_intent(purchase, &intent))?
        }
        ("/v1/payment_methods", Some(intent)) => {
            let method: Made = parse(&reply.body)?;
            let is_one = method.object == "payment_method";
            let method = id(&method.id).filter(|_| is_one)?;
            Some(Decoded::Next(request::confirm(intent, method, purchase)))
        }
        (_, Some(known)) => {
            let intent = Intent::parse(&reply.body)?;
            let ours = intent.id == known && is_about(manifest, &intent, purchase);
            ours.then(|| intent.outcome(manifest, sale))?.map(Decoded::Outcome)
        }
        (_, None) => None,
    }
}

fn after_intent(purchase: &Purchase, intent: &Intent) -> Option<Decoded> {
    let next = match &purchase.source {
        Source::Card(card) => {
            request::payment_method(card, purchase.payer.as_ref(), Vec::new()).about(&intent.id)
        }
        Source::ProviderToken(token) => {
            let (_, method) = request::token_parts(token)?;
            request::confirm(&intent.id, method, purchase)
        }
        Source::Redirect(chosen) => redirect::confirm(&intent.id, chosen, purchase),
    };
    Some(Decoded::Next(next))
}

/// The intent to cancel, in the list of those that were made at the time. Where there is none, nothing was
/// asked of Stripe.
fn found(parent: &Parent, reply: &HttpReply) -> Option<Decoded> {
    let page: List<Intent> = parse(&reply.body)?;
    if page.object != "list" || !page.data.iter().all(Intent::is_one) {
        return None;
    }
    let ours =
        |intent: &&Intent| intent.metadata.reference.as_deref() == Some(parent.reference.as_str());
    let mut ours = page.data.iter().filter(ours);
    match (ours.next(), ours.next()) {
        (Some(intent), None) => {
            let intent = id(&intent.id)?;
            Some(Decoded::Next(request::cancel(intent).about(intent).moves_money()))
        }
        // Made twice, although the key forbids it: an operator has to look.
        (Some(_), Some(_)) => None,
        (None, _) if page.has_more => {
            let last = id(&page.data.last()?.id)?;
            look_up::list(parent.planned_at?, Some(last)).map(Decoded::Next)
        }
        (None, _) => {
            let answer = Answer { code: identifier("no_such_intent"), ..Answer::default() };
            Some(Decoded::Outcome(Outcome::Refused { why: Refused::Validation, answer }))
        }
    }
}

/// One step of making a token: payment method, then the customer who owns it.
fn token_step(reference: &str, sent: &HttpCall, reply: &HttpReply) -> Option<Decoded> {
    let made: Made = parse(&reply.body)?;
    let made_id = id(&made.id)?;
    match (made.object.as_str(), sent.about.as_deref()) {
        ("payment_method", None) => Some(Decoded::Next(request::customer(made_id, reference))),
        ("customer", Some(method)) => {
            let token = Some(format!("{made_id}/{method}"));
            let answer = Answer { token, ..Answer::default() };
            Some(Decoded::Outcome(Outcome::Approved { amount: None, answer }))
        }
        _ => None,
    }
}

/// Whether an intent carries our reference and the amount that was asked for.
pub(super) fn is_about(manifest: &Manifest, intent: &Intent, purchase: &Purchase) -> bool {
    intent.metadata.reference.as_deref() == Some(purchase.reference.as_str())
        && intent.money(manifest, intent.amount) == Some(purchase.amount)
}

/// Whether an answer is about the intent whose path was called.
fn is_at(sent: &HttpCall, intent: &Intent) -> bool {
    sent.path.split('/').any(|part| part == intent.id)
}

/// An intent captures once, so that it succeeded is about this capture if the sum or the reference is.
pub(super) fn captured(
    manifest: &Manifest,
    intent: &Intent,
    asked: Money,
    reference: &str,
) -> Option<Outcome> {
    let mine = intent.metadata.capture.as_deref().is_none_or(|named| named == reference);
    let sum = match intent.amount_received {
        Some(units) => intent.money(manifest, units),
        None => Some(asked),
    };
    let done = intent.status == "succeeded" && mine && sum == Some(asked);
    done.then(|| Outcome::Approved { amount: Some(asked), answer: intent.answer() })
}

/// An intent that holds this total, as this raise has left it.
pub(super) fn raised(
    manifest: &Manifest,
    intent: &Intent,
    asked: Money,
    reference: &str,
) -> Option<Outcome> {
    let mine = intent.metadata.increment.as_deref() == Some(reference);
    let done = intent.status == "requires_capture"
        && mine
        && intent.money(manifest, intent.amount) == Some(asked);
    done.then(|| Outcome::Approved { amount: Some(asked), answer: intent.answer() })
}

pub(super) fn voided(intent: &Intent) -> Outcome {
    Outcome::Approved { amount: None, answer: intent.answer() }
}

/// Whether a refund carries our reference and the amount that was asked for.
pub(super) fn is_ours(manifest: &Manifest, made: &Refund, asked: Money, reference: &str) -> bool {
    made.metadata.reference.as_deref() == Some(reference)
        && made.currency == asked.currency().code().to_ascii_lowercase()
        && manifest.from_provider_units(made.amount, asked.currency()) == Some(asked)
}

/// Statuses as docs.stripe.com/api/errors lists them. Of the rest nothing is said about what was done.
fn failure(
    manifest: &Manifest,
    operation: &Operation,
    sent: &HttpCall,
    reply: &HttpReply,
) -> Outcome {
    let unknown = |why| Outcome::Unknown { why };
    let Some(Error { error }) = parse(&reply.body) else {
        return unknown(Doubt::UndocumentedStatus);
    };
    let why = match (reply.status, error.code.as_deref(), error.kind.as_deref()) {
        (401 | 403, _, _) => Refused::Credentials,
        (402, _, _) => return declined(manifest, &error, sent),
        (409, _, _) => return unknown(Doubt::InProgress),
        (429, _, _) => Refused::RateLimited,
        // Another request was executed under our key.
        (400, _, Some("idempotency_error")) => return unknown(Doubt::UndocumentedStatus),
        (400, Some("payment_intent_unexpected_state" | "setup_intent_unexpected_state"), _) => {
            return unexpected_state(operation, sent, &error);
        }
        (400 | 404, _, _) => Refused::Validation,
        _ => return unknown(Doubt::UndocumentedStatus),
    };
    let answer = Answer { retry_after_ms: reply.retry_after_ms(), ..error.answer() };
    Outcome::Refused { why, answer }
}

/// 402: the parameters were right, but the request failed.
fn declined(manifest: &Manifest, error: &Failure, sent: &HttpCall) -> Outcome {
    if let Some(made) = error.setup_intent.as_deref() {
        let same = sent.about.as_deref().is_none_or(|known| known == made.id);
        let agrees = same && made.status == "requires_payment_method";
        let outcome = error.declined(manifest, Some(&made.id)).filter(|_| agrees);
        return outcome.unwrap_or(Outcome::Unknown { why: Doubt::Unreadable });
    }
    let intent = error.payment_intent.as_deref();
    let about = intent.map(|intent| intent.id.as_str()).or(sent.about.as_deref());
    // What came of it is in the intent. One that stands otherwise contradicts the decline.
    let agrees = intent.is_none_or(|intent| {
        let same = sent.about.as_deref().is_none_or(|known| known == intent.id);
        same && matches!(intent.status.as_str(), "requires_payment_method" | "requires_capture")
            && (intent.status != "requires_capture" || !sent.path.ends_with("/confirm"))
    });
    let outcome = error.declined(manifest, about).filter(|_| agrees);
    outcome.unwrap_or(Outcome::Unknown { why: Doubt::Unreadable })
}

/// The intent's state does not allow the request. For a confirmation that is a doubt: something else has
/// happened to the intent.
fn unexpected_state(operation: &Operation, sent: &HttpCall, error: &Failure) -> Outcome {
    let intent = error.payment_intent.as_deref();
    if let (Operation::Void { parent, .. }, Some(made)) = (operation, error.setup_intent.as_deref())
        && made.status == "canceled"
        && parent.provider_reference.as_deref().or(sent.about.as_deref()) == Some(made.id.as_str())
    {
        return Outcome::Approved { amount: None, answer: made.answer() };
    }
    match (operation, intent) {
        (Operation::Void { parent, .. }, Some(intent))
            if intent.status == "canceled"
                && parent.provider_reference.as_deref().or(sent.about.as_deref())
                    == Some(intent.id.as_str()) =>
        {
            voided(intent)
        }
        (
            Operation::Capture { .. }
            | Operation::Void { .. }
            | Operation::Refund { .. }
            | Operation::Increment { .. },
            _,
        ) => Outcome::Refused { why: Refused::Validation, answer: error.answer() },
        (Operation::Authorize(_) | Operation::Charge(_) | Operation::Tokenize { .. }, _) => {
            Outcome::Unknown { why: Doubt::UndocumentedStatus }
        }
    }
}
