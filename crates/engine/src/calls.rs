//! One call to one provider: prepared before its plan is durable, sent after, looked up when in doubt.

use std::sync::Arc;
use std::time::Duration;

use baton_connect::{
    Call, Decoded, HttpCall, HttpReply, LookUp, Operation, Parent, Payer, Purchase, Question,
    Source, Subject,
};
use baton_flow::{CallId, CallState, OrderKind, Payment};
use baton_types::outcome::{Doubt, Finding, NotSent, Outcome};
use baton_wire::{Exchange, Target, Wire};
use tokio::time::Instant;

use crate::Account;
use crate::accounts::CardSecrets;
use crate::metrics::Metrics;

/// Most calls that one operation may take at one provider.
const SEQUENCE_MAX: usize = 6;

/// A planned call, ready to be sent by the task that planned it.
pub(crate) struct Prepared {
    pub(crate) account: Arc<Account>,
    operation: Operation,
    call: Call,
    key: String,
    /// The monotonic form of the plan's `send_by`: the wall clock may jump between plan and send.
    send_by: Instant,
}

impl Prepared {
    /// What is stored with the plan. A mock's answer needs no request.
    pub(crate) fn template(&self) -> Option<String> {
        match &self.call {
            Call::Http(call) => serde_json::to_string(call).ok(),
            Call::Immediate(_) => None,
        }
    }
}

/// What the task knows of a purchase beyond what is stored.
pub(crate) struct PurchaseFacts {
    pub(crate) source: Source,
    pub(crate) description: Option<String>,
    pub(crate) payer: Option<Payer>,
    pub(crate) digital: Option<bool>,
}

/// Encodes a planned call, or says why it will not be sent: then nothing has left and nothing will.
pub(crate) fn prepare(
    payment: &Payment,
    id: CallId,
    account: Arc<Account>,
    facts: Option<&PurchaseFacts>,
    wire: &Wire,
    send_window: Duration,
) -> Result<Prepared, NotSent> {
    let planned = payment.call(id).ok_or(NotSent::NotConfigured)?;
    let connector = account.connector.clone().ok_or(NotSent::NotConfigured)?;
    let manifest = connector.manifest();
    let operation = operation(payment, id, facts).ok_or(NotSent::NotConfigured)?;
    let fits = manifest.claims(operation.kind())
        && operation.features().all(|feature| manifest.has(feature))
        && operation.amount().is_none_or(|amount| manifest.takes(amount.currency()))
        && planned.reference.len() <= manifest.reference_max_length;
    if !fits {
        return Err(NotSent::NotSupported);
    }
    let mut call = connector.encode(&operation, &account.cx).map_err(|error| {
        tracing::info!(gateway = %manifest.id, %error, "the request does not fit the provider");
        NotSent::NotSupported
    })?;
    if let Call::Http(http) = &mut call {
        if account.target.is_none() {
            return Err(NotSent::NotConfigured);
        }
        if let Some(why) = wire.refuses(account.row.id) {
            return Err(why);
        }
        number(http, manifest.idempotency.as_ref(), &planned.key, 1);
    }
    Ok(Prepared {
        operation,
        call,
        key: planned.key.clone(),
        send_by: Instant::now().checked_add(send_window).unwrap_or_else(Instant::now),
        account,
    })
}

/// Puts the idempotency key of this call of the sequence where the provider wants it.
fn number(
    call: &mut HttpCall,
    claim: Option<&baton_connect::Idempotency>,
    key: &str,
    call_no: usize,
) {
    if let Some(claim) = claim
        && call.method == baton_connect::Method::Post
    {
        call.headers.push((claim.header.clone(), vec![format!("{key}-{call_no}").into()]));
    }
}

/// Sends a call whose plan is durable, and says what is known then. Consumes the plan: it is sent once.
pub(crate) async fn send(
    prepared: Prepared,
    card: Option<&CardSecrets>,
    wire: &Wire,
    metrics: &Metrics,
) -> (Outcome, Duration) {
    let Prepared { account, operation, call, key, send_by } = prepared;
    let kind = operation.kind();
    let started = Instant::now();
    let outcome = match call {
        Call::Immediate(outcome) => outcome,
        Call::Http(first) => sequence(&account, &operation, first, &key, send_by, card, wire).await,
    };
    let took = started.elapsed();
    metrics.provider_call(&account.row.gateway, kind.as_str(), outcome.class(), took);
    tracing::info!(
        account = %account.row.name,
        gateway = %account.row.gateway,
        operation = kind.as_str(),
        reference = %key,
        class = outcome.class(),
        took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        "provider call"
    );
    (outcome, took)
}

async fn sequence(
    account: &Account,
    operation: &Operation,
    first: HttpCall,
    key: &str,
    send_by: Instant,
    card: Option<&CardSecrets>,
    wire: &Wire,
) -> Outcome {
    let (Some(connector), Some(target)) = (&account.connector, &account.target) else {
        return Outcome::NotSent { why: NotSent::NotConfigured };
    };
    let secrets = account.secrets(card);
    let mut call = first;
    let mut money_call_ran = false;
    for call_no in 1..=SEQUENCE_MAX {
        let exchange = match call.fill(&secrets) {
            Ok(filled) => wire.exchange(target, filled, send_by).await.exchange,
            Err(error) => {
                tracing::warn!(account = %account.row.name, %error, "the call cannot be filled");
                Exchange::NotSent(NotSent::NotConfigured)
            }
        };
        let outcome = match exchange {
            Exchange::NotSent(why) => Outcome::NotSent { why },
            Exchange::Lost(why) => Outcome::Unknown { why },
            Exchange::Reply(reply) => match connector.decode(operation, &account.cx, &reply) {
                Decoded::Outcome(outcome) => outcome,
                Decoded::Next(mut next) => {
                    money_call_ran |= call.moves_money;
                    let claim = connector.manifest().idempotency.as_ref();
                    number(&mut next, claim, key, call_no.saturating_add(1));
                    call = next;
                    continue;
                }
            },
        };
        return unless_money_may_have_moved(outcome, money_call_ran);
    }
    tracing::error!(account = %account.row.name, "the connector asks for too many calls");
    Outcome::Unknown { why: Doubt::Unreadable }
}

/// That a later call was not sent, or refused, says nothing once the one that moves money has run.
fn unless_money_may_have_moved(outcome: Outcome, money_call_ran: bool) -> Outcome {
    let nothing_done = matches!(outcome, Outcome::NotSent { .. } | Outcome::Refused { .. });
    if nothing_done && money_call_ran {
        return Outcome::Unknown { why: Doubt::ConnectionLost };
    }
    outcome
}

/// How long a look-up may take from plan to answer. It can be abandoned at any time, and others wait.
const LOOK_UP_FOR: Duration = Duration::from_secs(10);

/// Asks the provider about a call that is open. Moves no money.
pub(crate) async fn look_up(
    payment: &Payment,
    id: CallId,
    account: &Account,
    wire: &Wire,
    metrics: &Metrics,
) -> Finding {
    let Some(connector) = &account.connector else { return Finding::Inconclusive };
    let Some(question) = question(payment, id) else { return Finding::Inconclusive };
    let started = Instant::now();
    let finding = match connector.look_up(&question, &account.cx) {
        None => Finding::Inconclusive,
        Some(Question::Immediate(finding)) => finding,
        Some(Question::Http(call)) => match ask(account, &call, wire).await {
            Some(reply) => connector.read_look_up(&question, &account.cx, &reply),
            None => Finding::Inconclusive,
        },
    };
    let shown = match &finding {
        Finding::Found { outcome } => outcome.class(),
        Finding::Voided => "voided",
        Finding::NotFound => "not_found",
        Finding::Inconclusive => "inconclusive",
    };
    metrics.provider_call(&account.row.gateway, "look_up", shown, started.elapsed());
    tracing::info!(
        payment = %payment.id,
        call = %id,
        account = %account.row.name,
        reference = %question.reference,
        shown,
        "look-up"
    );
    finding
}

async fn ask(account: &Account, call: &HttpCall, wire: &Wire) -> Option<HttpReply> {
    let filled = call.fill(&account.secrets(None)).ok()?;
    // A provider that fails to take payments may well answer questions; the schedule bounds them.
    let target = Target { breaker: false, ..account.target.clone()? };
    let send_by = Instant::now().checked_add(LOOK_UP_FOR)?;
    let exchange = wire.exchange(&target, filled, send_by);
    match tokio::time::timeout(LOOK_UP_FOR, exchange).await.ok()?.exchange {
        Exchange::Reply(reply) => Some(reply),
        Exchange::NotSent(_) | Exchange::Lost(_) => None,
    }
}

fn question(payment: &Payment, id: CallId) -> Option<LookUp> {
    let call = payment.call(id)?;
    let subject = match id {
        CallId::Attempt(_) => match payment.order.kind {
            OrderKind::Charge(_) => Subject::Charge,
            OrderKind::Authorize(_) => Subject::Authorize,
            OrderKind::Tokenize => Subject::Tokenize,
        },
        CallId::Capture(_) => Subject::Capture(parent(payment, id)?),
        CallId::Void(_) => Subject::Void(parent(payment, id)?),
        CallId::Refund(_) => Subject::Refund(parent(payment, id)?),
    };
    Some(LookUp {
        subject,
        reference: call.reference.clone(),
        provider_reference: provider_reference(call),
        amount: payment.amount_of(id),
    })
}

/// The operation that a planned call stands for.
fn operation(payment: &Payment, id: CallId, facts: Option<&PurchaseFacts>) -> Option<Operation> {
    let call = payment.call(id)?;
    let reference = call.reference.clone();
    Some(match id {
        CallId::Attempt(_) => {
            let facts = facts?;
            let purchase = |amount| Purchase {
                amount,
                reference: reference.clone(),
                source: facts.source.clone(),
                payment: payment.id.to_string(),
                description: facts.description.clone(),
                payer: facts.payer.clone(),
                digital: facts.digital,
            };
            match (payment.order.kind, &facts.source) {
                (OrderKind::Charge(amount), _) => Operation::Charge(purchase(amount)),
                (OrderKind::Authorize(amount), _) => Operation::Authorize(purchase(amount)),
                (OrderKind::Tokenize, Source::Card(card)) => {
                    Operation::Tokenize { card: card.clone(), reference }
                }
                (OrderKind::Tokenize, Source::ProviderToken(_)) => return None,
            }
        }
        CallId::Capture(_) => Operation::Capture {
            parent: parent(payment, id)?,
            amount: payment.amount_of(id)?,
            reference,
        },
        CallId::Void(_) => Operation::Void { parent: parent(payment, id)?, reference },
        CallId::Refund(_) => Operation::Refund {
            parent: parent(payment, id)?,
            amount: payment.amount_of(id)?,
            reference,
        },
    })
}

fn parent(payment: &Payment, id: CallId) -> Option<Parent> {
    let attempt = payment.call(CallId::Attempt(payment.attempt_of(id)?))?;
    Some(Parent {
        reference: attempt.reference.clone(),
        provider_reference: provider_reference(attempt),
    })
}

/// The provider's id of what a call made, from its latest answer.
fn provider_reference(call: &baton_flow::Call) -> Option<String> {
    match &call.state {
        CallState::Open { outcome, .. } | CallState::Final { outcome, .. } => {
            outcome.answer()?.reference.clone()
        }
        CallState::Planned | CallState::Closed { .. } => None,
    }
}
