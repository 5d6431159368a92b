//! A card that is verified and moves no money: a Setup Intent, in the same three calls as a payment.
//!
//! What is confirmed is the one call that is in doubt when its answer is lost: it is found again by its id, or in the
//! list of those that were made at the time. Left out: what Stripe keeps of the card; it is kept in our vault.

use baton_connect::{
    Decoded, EncodeError, HttpCall, HttpReply, LookUp, Looked, Manifest, Method, Parent, Purchase,
    Source, Usage, identifier,
};
use baton_types::outcome::{Answer, Finding, Outcome, Refused};
use baton_types::{Money, Timestamp};
use serde::Deserialize;

use super::objects::{Action, Failure, List, Made, Metadata, parse};
use super::request::{self, Fields};
use super::{id, look_up};

const PATH: &str = "/v1/setup_intents";

/// A Setup Intent, in the parts that are read.
#[derive(Debug, Deserialize)]
pub(super) struct Setup {
    pub(super) id: String,
    object: String,
    pub(super) status: String,
    #[serde(default)]
    pub(super) metadata: Metadata,
    last_setup_error: Option<Failure>,
    next_action: Option<Action>,
}

impl Setup {
    fn parse(body: &[u8]) -> Option<Self> {
        parse(body).filter(Self::is_one)
    }

    pub(super) fn is_one(&self) -> bool {
        self.object == "setup_intent" && is_id(&self.id)
    }

    fn is(&self, reference: &str) -> bool {
        self.metadata.reference.as_deref() == Some(reference)
    }

    pub(super) fn answer(&self) -> Answer {
        Answer {
            reference: identifier(&self.id),
            code: identifier(&self.status),
            next_action: self.next_action.as_ref().map(|action| Box::new(action.read())),
            ..Answer::default()
        }
    }

    /// How it stands; nothing where it was never confirmed, or was cancelled. It has no amount of its own: it is approved for
    /// what was asked, where that is known.
    pub(super) fn outcome(&self, manifest: &Manifest, asked: Option<Money>) -> Option<Outcome> {
        match self.status.as_str() {
            "succeeded" => Some(Outcome::Approved { amount: asked, answer: self.answer() }),
            "processing" => Some(Outcome::Pending { answer: self.answer() }),
            "requires_action" => Some(Outcome::ActionRequired { answer: self.answer() }),
            "requires_payment_method" => {
                self.last_setup_error.as_ref()?.declined(manifest, Some(&self.id))
            }
            _ => None,
        }
    }

    /// Whether it exists and was never confirmed: nothing has happened yet.
    fn is_untouched(&self) -> bool {
        match self.status.as_str() {
            "requires_confirmation" => true,
            "requires_payment_method" => self.last_setup_error.is_none(),
            _ => false,
        }
    }
}

/// Whether an id of Stripe's is one of a Setup Intent.
pub(super) fn is_id(text: &str) -> bool {
    text.starts_with("seti_") && id(text).is_some()
}

/// The first call: the Setup Intent without its card.
pub(super) fn first(purchase: &Purchase) -> Result<HttpCall, EncodeError> {
    let Source::Card(card) = &purchase.source else {
        return Err(EncodeError::NotSupported("a token is verified where it was made".to_owned()));
    };
    if card.three_ds.is_some() {
        return Err(EncodeError::NotSupported("a set-up takes no foreign 3-D Secure".to_owned()));
    }
    let usage = match &purchase.usage {
        Some(Usage::Keeps { without_payer: false, .. }) => "on_session",
        Some(_) | None => "off_session",
    };
    let mut fields: Fields = vec![
        ("payment_method_types[]", "card".into()),
        ("usage", usage.into()),
        ("metadata[reference]", purchase.reference.as_str().into()),
        ("metadata[payment]", purchase.payment.as_str().into()),
    ];
    if let Some(description) = &purchase.description {
        fields.push(("description", description.as_str().into()));
    }
    Ok(request::post(PATH, &fields))
}

/// The last call: it verifies. Stripe has no way to say that nobody is there; a challenge is cancelled then.
fn confirm(setup: &str, method: &str, purchase: &Purchase) -> HttpCall {
    let mut fields: Fields = vec![("payment_method", method.into())];
    if let Some(challenge) = &purchase.challenge {
        fields.push(("return_url", challenge.return_url.as_str().into()));
    }
    request::post(&format!("{PATH}/{setup}/confirm"), &fields).about(setup).moves_money()
}

/// One step of the sequence: Setup Intent, payment method, confirmation.
pub(super) fn step(
    manifest: &Manifest,
    purchase: &Purchase,
    sent: &HttpCall,
    reply: &HttpReply,
) -> Option<Decoded> {
    match (sent.path.as_str(), sent.about.as_deref()) {
        (PATH, None) => {
            let made = Setup::parse(&reply.body)?;
            let Source::Card(card) = &purchase.source else { return None };
            let ours = made.is(&purchase.reference) && made.is_untouched();
            let call = request::payment_method(card, purchase.payer.as_ref(), Vec::new());
            ours.then(|| Decoded::Next(call.about(&made.id)))
        }
        ("/v1/payment_methods", Some(setup)) => {
            let method: Made = parse(&reply.body)?;
            let is_one = method.object == "payment_method";
            let method = id(&method.id).filter(|_| is_one)?;
            Some(Decoded::Next(confirm(setup, method, purchase)))
        }
        (_, Some(known)) => {
            let made = Setup::parse(&reply.body)?;
            let ours = made.id == known && made.is(&purchase.reference);
            ours.then(|| made.outcome(manifest, Some(purchase.amount)))?.map(Decoded::Outcome)
        }
        (_, None) => None,
    }
}

pub(super) fn retrieve(setup: &str) -> HttpCall {
    request::call(Method::Get, &format!("{PATH}/{setup}"))
}

/// The Setup Intent to cancel, in the list of those that were made at the time.
pub(super) fn found(parent: &Parent, reply: &HttpReply) -> Option<Decoded> {
    match listed(&parent.reference, reply)? {
        One::Is(made) => {
            Some(Decoded::Next(request::cancel(&made.id).about(&made.id).moves_money()))
        }
        One::After(last) => {
            look_up::list_of(PATH, parent.planned_at?, Some(&last)).map(Decoded::Next)
        }
        One::Nowhere => {
            let answer = Answer { code: identifier("no_such_intent"), ..Answer::default() };
            Some(Decoded::Outcome(Outcome::Refused { why: Refused::Validation, answer }))
        }
    }
}

/// What a cancel of it says.
pub(super) fn voided(sent: &HttpCall, reply: &HttpReply) -> Option<Outcome> {
    let made = Setup::parse(&reply.body).filter(|made| made.status == "canceled")?;
    let about = sent.path.split('/').any(|part| part == made.id);
    about.then(|| Outcome::Approved { amount: None, answer: made.answer() })
}

/// How to ask for a set-up whose outcome is not known.
pub(super) fn question(known: Option<&str>, planned_at: Option<Timestamp>) -> Option<HttpCall> {
    match known.filter(|id| is_id(id)) {
        Some(id) => Some(retrieve(id)),
        None => look_up::list_of(PATH, planned_at?, None),
    }
}

/// What the answer shows of a set-up.
pub(super) fn read(
    manifest: &Manifest,
    asked: &LookUp,
    sent: &HttpCall,
    reply: &HttpReply,
) -> Option<Looked> {
    let standing = |made: &Setup| match made.status.as_str() {
        "canceled" => Some(Finding::Voided),
        _ if made.is_untouched() => Some(Finding::NotFound),
        _ => made.outcome(manifest, Some(asked.amount?)).map(|outcome| Finding::Found { outcome }),
    };
    one(&asked.reference, asked.planned_at, sent, reply, standing)
}

/// What the answer shows of a set-up's cancel.
pub(super) fn read_void(parent: &Parent, sent: &HttpCall, reply: &HttpReply) -> Option<Looked> {
    let standing = |made: &Setup| match made.status.as_str() {
        "canceled" => {
            let outcome = Outcome::Approved { amount: None, answer: made.answer() };
            Some(Finding::Found { outcome })
        }
        "succeeded" => {
            let outcome = Outcome::Refused { why: Refused::Validation, answer: made.answer() };
            Some(Finding::Found { outcome })
        }
        _ => Some(Finding::NotFound),
    };
    one(&parent.reference, parent.planned_at, sent, reply, standing)
}

fn one(
    reference: &str,
    planned_at: Option<Timestamp>,
    sent: &HttpCall,
    reply: &HttpReply,
    standing: impl Fn(&Setup) -> Option<Finding>,
) -> Option<Looked> {
    if reply.status != 200 {
        return None;
    }
    if !sent.path.starts_with(&format!("{PATH}?")) {
        let made = Setup::parse(&reply.body).filter(|made| made.is(reference))?;
        return standing(&made).map(Looked::Finding);
    }
    match listed(reference, reply)? {
        One::Is(made) => standing(&made).map(Looked::Finding),
        One::After(last) => look_up::list_of(PATH, planned_at?, Some(&last)).map(Looked::Next),
        One::Nowhere => Some(Finding::NotFound.into()),
    }
}

enum One {
    Is(Box<Setup>),
    After(String),
    Nowhere,
}

fn listed(reference: &str, reply: &HttpReply) -> Option<One> {
    let page: List<Setup> = parse(&reply.body).filter(|_| reply.status == 200)?;
    if page.object != "list" || !page.data.iter().all(Setup::is_one) {
        return None;
    }
    let last = page.data.last().map(|made| made.id.clone());
    let mut ours = page.data.into_iter().filter(|made| made.is(reference));
    match (ours.next(), ours.next()) {
        (Some(made), None) => Some(One::Is(Box::new(made))),
        // Made twice, although the key forbids it: an operator has to look.
        (Some(_), Some(_)) => None,
        (None, _) if page.has_more => last.map(One::After),
        (None, _) => Some(One::Nowhere),
    }
}
