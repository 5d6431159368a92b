//! Asking Stripe what became of an operation.
//!
//! An intent is retrieved by its id, or found in the list of those that were made at the time; lists show
//! what was just written. One that was never confirmed counts as not found: nothing was done, and the
//! confirmation may still be on its way. It is not cancelled here: that is a void, which the engine plans.

use baton_connect::{HttpCall, HttpReply, LookUp, Looked, Manifest, Method, Parent, Subject};
use baton_types::outcome::{Finding, Outcome, Refused};
use baton_types::{Money, Timestamp};

use super::objects::{Intent, List, Refund, parse};
use super::{id, reply, request, setup};

/// How much earlier than our clock says an intent may have been made by Stripe's, and how much later an
/// attempt makes its intent at most, in seconds.
const BEFORE_S: i64 = 300;
const AFTER_S: i64 = 600;

const PAGE: &str = "limit=100";

pub(super) fn question(look_up: &LookUp) -> Option<HttpCall> {
    match &look_up.subject {
        Subject::Authorize if verifies(look_up) => {
            setup::question(look_up.provider_reference.as_deref(), look_up.planned_at)
        }
        Subject::Void(parent) if parent.verification => {
            setup::question(parent.provider_reference.as_deref(), parent.planned_at)
        }
        Subject::Authorize | Subject::Charge => {
            let known = look_up.provider_reference.as_deref().and_then(id);
            known.map(retrieve).or_else(|| list(look_up.planned_at?, None))
        }
        Subject::Capture(parent) | Subject::Increment(parent) => known(parent).map(retrieve),
        Subject::Void(parent) => {
            known(parent).map(retrieve).or_else(|| list(parent.planned_at?, None))
        }
        Subject::Refund(parent) => {
            known(parent).map(|intent| get(&format!("/v1/refunds?payment_intent={intent}&{PAGE}")))
        }
        Subject::Tokenize => None,
    }
}

fn get(path: &str) -> HttpCall {
    request::call(Method::Get, path)
}

fn retrieve(intent: &str) -> HttpCall {
    get(&format!("/v1/payment_intents/{intent}?expand%5B%5D=latest_charge"))
}

/// Whether what is looked for moves no money: it is a Setup Intent then.
fn verifies(look_up: &LookUp) -> bool {
    look_up.amount.is_some_and(Money::is_zero)
}

pub(super) fn list(planned_at: Timestamp, after: Option<&str>) -> Option<HttpCall> {
    list_of("/v1/payment_intents", planned_at, after)
}

/// What was made at the time, of this kind.
pub(super) fn list_of(path: &str, planned_at: Timestamp, after: Option<&str>) -> Option<HttpCall> {
    let planned_s = planned_at.millis().checked_div(1_000)?;
    let from = planned_s.checked_sub(BEFORE_S)?;
    let to = planned_s.checked_add(AFTER_S)?;
    let after = after.map(|id| format!("&starting_after={id}")).unwrap_or_default();
    let window = format!("created%5Bgte%5D={from}&created%5Blte%5D={to}");
    Some(get(&format!("{path}?{window}&{PAGE}{after}")))
}

fn known(parent: &Parent) -> Option<&str> {
    parent.provider_reference.as_deref().and_then(id)
}

pub(super) fn read(
    manifest: &Manifest,
    look_up: &LookUp,
    sent: &HttpCall,
    reply: &HttpReply,
) -> Looked {
    if sent.method != Method::Get {
        return Looked::Finding(Finding::Inconclusive);
    }
    let found = match &look_up.subject {
        Subject::Authorize if verifies(look_up) => setup::read(manifest, look_up, sent, reply),
        Subject::Void(parent) if parent.verification => setup::read_void(parent, sent, reply),
        Subject::Authorize | Subject::Charge => purchase(manifest, look_up, reply),
        Subject::Capture(parent) => {
            one(reply).filter(|intent| is(parent, intent)).and_then(|intent| {
                capture(manifest, &intent, look_up.amount?, &look_up.reference).map(Looked::from)
            })
        }
        Subject::Increment(parent) => {
            one(reply).filter(|intent| is(parent, intent)).and_then(|intent| {
                raise(manifest, &intent, look_up.amount?, &look_up.reference).map(Looked::from)
            })
        }
        Subject::Void(parent) if known(parent).is_some() => one(reply)
            .filter(|intent| is(parent, intent))
            .and_then(|intent| void(&intent).map(Looked::from)),
        Subject::Void(parent) => listed(&parent.reference, parent.planned_at, reply, |intent| {
            void(intent).map(Looked::from)
        }),
        Subject::Refund(parent) => refund(manifest, look_up, parent, reply),
        Subject::Tokenize => None,
    };
    found.unwrap_or(Looked::Finding(Finding::Inconclusive))
}

fn one(reply: &HttpReply) -> Option<Intent> {
    (reply.status == 200).then(|| Intent::parse(&reply.body))?
}

fn is(parent: &Parent, intent: &Intent) -> bool {
    parent.provider_reference.as_deref() == Some(intent.id.as_str())
}

fn purchase(manifest: &Manifest, look_up: &LookUp, reply: &HttpReply) -> Option<Looked> {
    if look_up.provider_reference.as_deref().and_then(id).is_some() {
        let intent =
            one(reply).filter(|intent| look_up.provider_reference.as_ref() == Some(&intent.id));
        return standing(manifest, look_up, &intent?);
    }
    listed(&look_up.reference, look_up.planned_at, reply, |intent| {
        standing(manifest, look_up, intent)
    })
}

/// The one intent with our reference in the list of those that were made at the time, or the list's next page.
fn listed(
    reference: &str,
    planned_at: Option<Timestamp>,
    reply: &HttpReply,
    read: impl Fn(&Intent) -> Option<Looked>,
) -> Option<Looked> {
    if reply.status != 200 {
        return None;
    }
    let page: List<Intent> = parse(&reply.body)?;
    if page.object != "list" || !page.data.iter().all(Intent::is_one) {
        return None;
    }
    let ours = |intent: &&Intent| intent.metadata.reference.as_deref() == Some(reference);
    let mut ours = page.data.iter().filter(ours);
    match (ours.next(), ours.next()) {
        (Some(intent), None) => read(intent),
        // Made twice, although the key forbids it: an operator has to look.
        (Some(_), Some(_)) => None,
        (None, _) if page.has_more => {
            let last = id(&page.data.last()?.id)?;
            list(planned_at?, Some(last)).map(Looked::Next)
        }
        (None, _) => Some(Finding::NotFound.into()),
    }
}

/// How a purchase's intent stands. Of one that was never confirmed nothing was done yet.
fn standing(manifest: &Manifest, look_up: &LookUp, intent: &Intent) -> Option<Looked> {
    if !is_about(manifest, look_up, intent) {
        return None;
    }
    if intent.is_untouched() {
        return Some(Finding::NotFound.into());
    }
    state(manifest, look_up, intent).map(Looked::Finding)
}

fn is_about(manifest: &Manifest, look_up: &LookUp, intent: &Intent) -> bool {
    intent.metadata.reference.as_deref() == Some(look_up.reference.as_str())
        && (look_up.amount.is_some() && intent.money(manifest, intent.amount) == look_up.amount)
}

fn state(manifest: &Manifest, look_up: &LookUp, intent: &Intent) -> Option<Finding> {
    if intent.status == "canceled" {
        // Whatever it was before, it holds nothing now.
        return Some(Finding::Voided);
    }
    let outcome = intent.outcome(manifest, look_up.subject == Subject::Charge)?;
    Some(Finding::Found { outcome })
}

/// An intent is captured once. Whether this capture did it shows in the reference that it left.
fn capture(manifest: &Manifest, intent: &Intent, asked: Money, reference: &str) -> Option<Finding> {
    let named = intent.metadata.capture.as_deref();
    match intent.status.as_str() {
        "requires_capture" => Some(Finding::NotFound),
        "succeeded" if named == Some(reference) => {
            let outcome = reply::captured(manifest, intent, asked, reference)?;
            Some(Finding::Found { outcome })
        }
        // Captured by another request, or released: this one can do nothing any more.
        "succeeded" if named.is_some() => Some(refused(intent)),
        "canceled" => Some(refused(intent)),
        _ => None,
    }
}

/// Whether an intent was raised by this raise shows in the reference that it left, with the amount.
fn raise(manifest: &Manifest, intent: &Intent, asked: Money, reference: &str) -> Option<Finding> {
    match intent.status.as_str() {
        "requires_capture" => match reply::raised(manifest, intent, asked, reference) {
            Some(outcome) => Some(Finding::Found { outcome }),
            None if intent.metadata.increment.as_deref() == Some(reference) => None,
            None => Some(Finding::NotFound),
        },
        // Captured or released: it can be raised no more.
        "succeeded" | "canceled" => Some(refused(intent)),
        _ => None,
    }
}

fn void(intent: &Intent) -> Option<Finding> {
    match intent.status.as_str() {
        "canceled" => Some(Finding::Found { outcome: reply::voided(intent) }),
        "requires_capture" | "requires_action" => Some(Finding::NotFound),
        "succeeded" => Some(refused(intent)),
        _ if intent.is_untouched() => Some(Finding::NotFound),
        _ => None,
    }
}

fn refused(intent: &Intent) -> Finding {
    let outcome = Outcome::Refused { why: Refused::Validation, answer: intent.answer() };
    Finding::Found { outcome }
}

fn refund(
    manifest: &Manifest,
    look_up: &LookUp,
    parent: &Parent,
    reply: &HttpReply,
) -> Option<Looked> {
    if reply.status != 200 {
        return None;
    }
    let page: List<Refund> = parse(&reply.body)?;
    let whole = page.object == "list" && page.data.iter().all(Refund::is_one);
    let mine = page
        .data
        .iter()
        .find(|made| made.metadata.reference.as_deref() == Some(look_up.reference.as_str()));
    match mine {
        _ if !whole => None,
        Some(made) => {
            let same = made.payment_intent == parent.provider_reference
                && reply::is_ours(manifest, made, look_up.amount?, &look_up.reference);
            let outcome = same.then(|| made.outcome(manifest))??;
            Some(Finding::Found { outcome }.into())
        }
        // A payment has no hundred refunds; if it had, the rest is not on this page.
        None => (!page.has_more).then_some(Finding::NotFound.into()),
    }
}
