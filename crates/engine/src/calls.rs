//! One call to one provider: prepared before its plan is durable, sent after, looked up when in doubt.

use std::sync::Arc;
use std::time::Duration;

use baton_connect::{
    Call, Challenge, Connector, Decoded, HttpCall, HttpReply, LookUp, Looked, Operation,
    OperationKind, Parent, Payer, Purchase, Question, Returned, Source, Subject,
};
use baton_flow::{CallId, CallState, Evidence, EvidenceKind, OrderKind, Payment, mutated};
use baton_types::outcome::{Doubt, Finding, NotSent, Outcome};
use baton_types::{DeclineCode, Money};
use baton_vault::Tenant;
use baton_wire::{Exchange, Target};
use tokio::time::Instant;

use crate::Account;
use crate::accounts::CardSecrets;
use crate::evidence;
use crate::inner::Inner;
use crate::metrics::Metrics;
use crate::network::Network;
use crate::questions::{Asking, Later};
use crate::stored::Stored;

/// Most calls that one operation may take at one provider.
const SEQUENCE_MAX: usize = 6;

/// Most calls that one look-up may take: pages of a list, mostly.
const LOOK_UP_SEQUENCE_MAX: usize = 12;

/// A planned call, ready to be sent by the task that planned it.
pub(crate) struct Prepared {
    pub(crate) account: Arc<Account>,
    operation: Operation,
    call: Call,
    key: String,
    /// The monotonic form of the plan's `send_by`, never later than it: the wall clock may jump between plan
    /// and send.
    send_by: Instant,
}

/// What came of a planned call.
pub(crate) struct Sent {
    pub(crate) outcome: Outcome,
    /// The provider's id of the operation, where a reply before the last gave it.
    pub(crate) learnt: Option<String>,
    pub(crate) took: Duration,
}

impl Prepared {
    /// What is stored with the plan. A mock's answer needs no request.
    pub(crate) fn template(&self) -> Option<String> {
        match &self.call {
            Call::Http(call) => serde_json::to_string(call).ok(),
            Call::Immediate(_) => None,
        }
    }

    /// Whether that is all of the operation: of a sequence only the first call is known before.
    pub(crate) fn is_whole(&self) -> bool {
        match &self.call {
            Call::Http(call) => call.moves_money,
            Call::Immediate(_) => false,
        }
    }
}

/// What the task knows of a purchase beyond what is stored.
pub(crate) struct PurchaseFacts {
    pub(crate) source: Source,
    pub(crate) description: Option<String>,
    pub(crate) payer: Option<Payer>,
    pub(crate) digital: Option<bool>,
    pub(crate) challenge: Option<Challenge>,
    pub(crate) stored: Option<Box<Stored>>,
    pub(crate) may_grow: bool,
}

/// Encodes a planned call, or says why it will not be sent: then nothing has left and nothing will.
pub(crate) fn prepare(
    payment: &Payment,
    id: CallId,
    account: Arc<Account>,
    facts: Option<&PurchaseFacts>,
    wire: &dyn Network,
    send_by: Instant,
) -> Result<Prepared, NotSent> {
    let planned = payment.call(id).ok_or(NotSent::NotConfigured)?;
    let connector = account.connector.clone().ok_or(NotSent::NotConfigured)?;
    let manifest = connector.manifest();
    let operation = operation(payment, id, facts).ok_or(NotSent::NotConfigured)?;
    let fits = manifest.claims(operation.kind())
        && operation.features().all(|feature| manifest.has(feature))
        && operation.amount().is_none_or(|amount| {
            let currency = amount.currency();
            let is_sent_on = |method| manifest.redirects(method, currency);
            manifest.takes(currency) && operation.redirect().is_none_or(is_sent_on)
        })
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
    Ok(Prepared { operation, call, key: planned.key.clone(), send_by, account })
}

/// Puts the idempotency key of this call of the sequence where the provider wants it.
pub(crate) fn number(
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
    wire: &dyn Network,
    metrics: &Metrics,
) -> Sent {
    let Prepared { account, operation, call, key, send_by } = prepared;
    let kind = operation.kind();
    let started = Instant::now();
    let (outcome, learnt) = match call {
        Call::Immediate(outcome) => (outcome, None),
        Call::Http(first) => sequence(&account, &operation, first, &key, send_by, card, wire).await,
    };
    let took = started.elapsed();
    metrics.provider_call(&account.row.gateway, kind.as_str(), outcome.class(), took);
    count_unmapped(&account, &outcome, metrics);
    tracing::info!(
        account = %account.row.name,
        gateway = %account.row.gateway,
        operation = kind.as_str(),
        reference = %key,
        class = outcome.class(),
        took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        "provider call"
    );
    Sent { outcome, learnt, took }
}

/// A decline whose code has no mapping is counted, and logged with the code, so that it gets one.
fn count_unmapped(account: &Account, outcome: &Outcome, metrics: &Metrics) {
    if let Outcome::Declined { code: DeclineCode::Unmapped, answer, .. } = outcome {
        metrics.unmapped_decline(&account.row.gateway);
        let code = answer.code.as_deref().unwrap_or_default();
        tracing::warn!(gateway = %account.row.gateway, code, "a decline code has no mapping");
    }
}

async fn sequence(
    account: &Account,
    operation: &Operation,
    first: HttpCall,
    key: &str,
    send_by: Instant,
    card: Option<&CardSecrets>,
    wire: &dyn Network,
) -> (Outcome, Option<String>) {
    let (Some(connector), Some(target)) = (&account.connector, &account.target) else {
        return (Outcome::NotSent { why: NotSent::NotConfigured }, None);
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
            Exchange::Reply(reply) => match connector.decode(operation, &account.cx, &call, &reply)
            {
                Decoded::Outcome(Outcome::Unknown { why: Doubt::InProgress })
                    if mutated("a_repeat_that_is_refused_is_a_refusal") =>
                {
                    Outcome::NotSent { why: NotSent::ClosedBeforeSending }
                }
                Decoded::Outcome(outcome) => outcome,
                Decoded::Next(mut next) => {
                    // It may have moved money although it asks for more.
                    money_call_ran |= call.moves_money;
                    let claim = connector.manifest().idempotency.as_ref();
                    number(&mut next, claim, key, call_no.saturating_add(1));
                    call = next;
                    continue;
                }
            },
        };
        let step = Step {
            money_call_ran,
            is_money_call: call.moves_money,
            moves_money: operation.kind() != OperationKind::Tokenize,
        };
        return (step.judge(outcome), call.about);
    }
    tracing::error!(account = %account.row.name, "the connector asks for too many calls");
    (Outcome::Unknown { why: Doubt::Unreadable }, call.about)
}

/// Where in a provider's sequence an outcome was had.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// Whether the call that moves money was sent before.
    money_call_ran: bool,
    /// Whether it is the one that gave this outcome.
    is_money_call: bool,
    /// Whether the operation has such a call at all: to keep a card moves nothing.
    moves_money: bool,
}

impl Step {
    /// What an outcome means here. That a later call was not sent, or refused, says nothing once the one
    /// that moves money has run. Before it has, no doubt can cost money: it is never sent any more.
    fn judge(self, outcome: Outcome) -> Outcome {
        let prepares = self.moves_money && !self.money_call_ran && !self.is_money_call;
        match &outcome {
            Outcome::NotSent { .. } | Outcome::Refused { .. } if self.money_call_ran => {
                Outcome::Unknown { why: Doubt::ConnectionLost }
            }
            Outcome::Unknown { .. } | Outcome::Pending { .. } | Outcome::ActionRequired { .. }
                if prepares =>
            {
                Outcome::NotSent { why: NotSent::PreparationFailed }
            }
            // Only the call that moves money can say that it was moved.
            Outcome::Approved { .. } if prepares => Outcome::Unknown { why: Doubt::Unreadable },
            Outcome::NotSent { .. }
            | Outcome::Refused { .. }
            | Outcome::Declined { .. }
            | Outcome::Approved { .. }
            | Outcome::Pending { .. }
            | Outcome::ActionRequired { .. }
            | Outcome::Unknown { .. } => outcome,
        }
    }
}

/// How long a look-up may take from plan to answer. It can be abandoned at any time, and others wait.
const LOOK_UP_FOR: Duration = Duration::from_secs(10);

/// What was shown, and the answer that showed it.
pub(crate) struct Shown {
    pub(crate) finding: Finding,
    pub(crate) evidence: Option<Evidence>,
}

impl From<Finding> for Shown {
    fn from(finding: Finding) -> Self {
        Self { finding, evidence: None }
    }
}

/// Asks the provider about a call that is open, unless it is to be left alone now. Moves no money.
pub(crate) async fn look_up(
    payment: &Payment,
    id: CallId,
    account: &Account,
    engine: &Inner,
) -> Result<Shown, Later> {
    let metrics = &engine.metrics;
    let Some(connector) = &account.connector else { return Ok(Finding::Inconclusive.into()) };
    let Some(question) = question(payment, id) else { return Ok(Finding::Inconclusive.into()) };
    let started = Instant::now();
    let (finding, reply) = match connector.look_up(&question, &account.cx) {
        None => (Finding::Inconclusive, None),
        Some(Question::Immediate(finding)) => (finding, None),
        Some(Question::Http(first)) => {
            let asking = engine.questions.admit(account.row.id, started);
            let asking = asking.inspect_err(|later| {
                metrics.postponed(&account.row.gateway, later.why.as_str());
            })?;
            ask_all(connector.as_ref(), &question, account, first, engine, asking).await
        }
    };
    if let Finding::Found { outcome } = &finding {
        count_unmapped(account, outcome, metrics);
    }
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
    let tenant = Tenant { merchant: payment.merchant, sandbox: payment.order.test };
    let evidence =
        reply.map(|reply| evidence::of_reply(engine, tenant, EvidenceKind::LookUp, &reply));
    Ok(Shown { finding, evidence })
}

/// Gives the provider what a payer brought back for an open attempt.
pub(crate) async fn complete(
    payment: &Payment,
    id: CallId,
    returned: &Returned,
    account: &Account,
    wire: &dyn Network,
    metrics: &Metrics,
) -> Finding {
    let Some(connector) = &account.connector else { return Finding::Inconclusive };
    let Some(about) = question(payment, id) else { return Finding::Inconclusive };
    let Some(call) = connector.complete(&about, returned, &account.cx) else {
        return Finding::Inconclusive;
    };
    let started = Instant::now();
    let finding = match ask(account, &call, wire).await {
        Some(reply) => connector.read_completion(&about, &account.cx, &reply),
        None => Finding::Inconclusive,
    };
    let shown = if let Finding::Found { outcome } = &finding {
        count_unmapped(account, outcome, metrics);
        outcome.class()
    } else {
        "inconclusive"
    };
    metrics.provider_call(&account.row.gateway, "complete", shown, started.elapsed());
    tracing::info!(payment = %payment.id, call = %id, account = %account.row.name, shown, "completion");
    finding
}

/// Asks until something is found. None of the calls moves money; any of them may be repeated later.
async fn ask_all(
    connector: &dyn Connector,
    question: &LookUp,
    account: &Account,
    first: HttpCall,
    engine: &Inner,
    mut asking: Asking<'_>,
) -> (Finding, Option<HttpReply>) {
    let mut call = first;
    for call_no in 0..LOOK_UP_SEQUENCE_MAX {
        if call_no > 0 {
            asking.again(Instant::now());
        }
        let asked = exchange(account, &call, engine.wire.as_ref()).await;
        if let Some(healthy) = asked.as_ref().and_then(shows_health)
            && asking.judge(healthy, Instant::now())
        {
            tracing::warn!(account = %account.row.name, "look-ups pause: there are no usable answers");
        }
        let Some(Exchange::Reply(reply)) = asked else { return (Finding::Inconclusive, None) };
        match connector.read_look_up(question, &account.cx, &call, &reply) {
            Looked::Finding(finding) => return (finding, Some(reply)),
            // A look-up has nothing that could be paid twice.
            Looked::Next(next) if next.moves_money => break,
            Looked::Next(next) => call = next,
        }
    }
    tracing::warn!(account = %account.row.name, "a look-up did not come to an end");
    (Finding::Inconclusive, None)
}

/// Puts a question to an account's provider. It moves no money, so nothing of it is durable.
pub(crate) async fn ask(
    account: &Account,
    call: &HttpCall,
    wire: &dyn Network,
) -> Option<HttpReply> {
    match exchange(account, call, wire).await? {
        Exchange::Reply(reply) => Some(reply),
        Exchange::NotSent(_) | Exchange::Lost(_) => None,
    }
}

pub(crate) async fn exchange(
    account: &Account,
    call: &HttpCall,
    wire: &dyn Network,
) -> Option<Exchange> {
    let filled = call.fill(&account.secrets(None)).ok()?;
    // A provider that fails to take payments may well answer questions; the schedule bounds them.
    let target = Target { breaker: false, ..account.target.clone()? };
    let send_by = Instant::now().checked_add(LOOK_UP_FOR)?;
    let exchange = wire.exchange(&target, filled, send_by);
    let report = tokio::time::timeout(LOOK_UP_FOR, exchange).await;
    Some(report.map_or(Exchange::Lost(Doubt::AnswerTimeout), |report| report.exchange))
}

/// Whether whoever answers questions is well; nothing if it was not asked at all.
pub(crate) fn shows_health(exchange: &Exchange) -> Option<bool> {
    match exchange {
        Exchange::Reply(reply) => Some(reply.status < 500 && reply.status != 429),
        Exchange::Lost(_) => Some(false),
        Exchange::NotSent(why) => (!why.is_ours()).then_some(false),
    }
}

fn question(payment: &Payment, id: CallId) -> Option<LookUp> {
    let call = payment.call(id)?;
    let subject = match id {
        CallId::Attempt(_) => match payment.attempt_kind() {
            OrderKind::Charge(_) => Subject::Charge,
            OrderKind::Authorize(_) => Subject::Authorize,
            OrderKind::Tokenize => Subject::Tokenize,
        },
        CallId::Capture(_) => Subject::Capture(parent(payment, id)?),
        CallId::Void(_) => Subject::Void(parent(payment, id)?),
        CallId::Refund(_) => Subject::Refund(parent(payment, id)?),
        CallId::Increment(_) => Subject::Increment(parent(payment, id)?),
    };
    Some(LookUp {
        subject,
        reference: call.reference.clone(),
        provider_reference: provider_reference(call),
        amount: payment.amount_of(id),
        planned_at: Some(call.planned_at),
    })
}

/// The operation that a planned call stands for.
pub(crate) fn operation(
    payment: &Payment,
    id: CallId,
    facts: Option<&PurchaseFacts>,
) -> Option<Operation> {
    let call = payment.call(id)?;
    let reference = call.reference.clone();
    Some(match id {
        CallId::Attempt(no) => {
            let facts = facts?;
            let account = payment.candidate(no).map(|candidate| candidate.account);
            let purchase = |amount| Purchase {
                amount,
                reference: reference.clone(),
                source: facts.source.clone(),
                payment: payment.id.to_string(),
                description: facts.description.clone(),
                payer: facts.payer.clone(),
                digital: facts.digital,
                challenge: facts.challenge.clone(),
                may_grow: facts.may_grow,
                usage: facts.stored.as_ref().map(|stored| stored.usage(account)),
            };
            match (payment.attempt_kind(), &facts.source) {
                (OrderKind::Charge(amount), _) => Operation::Charge(purchase(amount)),
                (OrderKind::Authorize(amount), _) => Operation::Authorize(purchase(amount)),
                (OrderKind::Tokenize, Source::Card(card)) => {
                    Operation::Tokenize { card: card.clone(), reference }
                }
                (OrderKind::Tokenize, Source::ProviderToken(_) | Source::Redirect(_)) => {
                    return None;
                }
            }
        }
        CallId::Capture(_) => Operation::Capture {
            parent: parent(payment, id)?,
            amount: payment.amount_of(id)?,
            reference,
        },
        CallId::Increment(_) => Operation::Increment {
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
        planned_at: Some(attempt.planned_at),
        verification: payment.order.kind.amount().is_some_and(Money::is_zero),
    })
}

/// The provider's id of what a call made, from its latest answer.
fn provider_reference(call: &baton_flow::Call) -> Option<String> {
    let answer = match &call.state {
        CallState::Open { outcome, .. } | CallState::Final { outcome, .. } => outcome.answer(),
        CallState::Planned | CallState::Closed { .. } => None,
    };
    answer.and_then(|answer| answer.reference.clone()).or_else(|| call.learnt.clone())
}

#[cfg(test)]
mod tests {
    use baton_types::outcome::{Answer, Refused};

    use super::*;

    #[test]
    fn what_an_outcome_means_depends_on_whether_the_money_call_was_sent() {
        let answer = Answer::default;
        let unknown = || Outcome::Unknown { why: Doubt::AnswerTimeout };
        let refused = || Outcome::Refused { why: Refused::Validation, answer: answer() };
        let approved = || Outcome::Approved { amount: None, answer: answer() };
        let before = Step { money_call_ran: false, is_money_call: false, moves_money: true };
        let at = Step { is_money_call: true, ..before };
        let after = Step { money_call_ran: true, ..before };
        let keeps_a_card = Step { moves_money: false, ..before };
        let rows = [
            (before, unknown(), "not_sent"),
            (before, Outcome::Pending { answer: answer() }, "not_sent"),
            (before, Outcome::ActionRequired { answer: answer() }, "not_sent"),
            (before, approved(), "unknown"),
            (before, refused(), "refused"),
            (at, unknown(), "unknown"),
            (at, approved(), "approved"),
            (at, refused(), "refused"),
            (after, unknown(), "unknown"),
            (after, refused(), "unknown"),
            (after, Outcome::NotSent { why: NotSent::ConnectFailed }, "unknown"),
            (after, approved(), "approved"),
            (keeps_a_card, unknown(), "unknown"),
            (keeps_a_card, approved(), "approved"),
        ];
        for (step, outcome, want) in rows {
            assert_eq!(step.judge(outcome.clone()).class(), want, "{step:?} {outcome:?}");
        }
    }
}
