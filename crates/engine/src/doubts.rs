//! What operators see and do about doubts: which calls are in doubt, what is known of one, and its settling by
//! hand.
//!
//! Works on the store alone, so that a command can do it beside running servers: a settlement is one commit with
//! its audit entry, under the guard of the payment's version. What has to be sent after it is left to a server,
//! by a timer that is due at once. Left out: who may do it.

pub use baton_flow::{CallId, Settlement};
use baton_flow::{CallState, Event, Facts, Input, Owner, Payment, snapshot, step};
use baton_store::{CommitError, EventRow, Guard, PaymentRow, Store};
use baton_types::{MerchantId, PaymentId, Timestamp};
use serde_json::json;

use crate::alongside::Follow;
use crate::audit::{Action, Actor, Audit, Entry};
use crate::commit::Change;
use crate::error::EngineError;
use crate::guards::{self, Guards};
use crate::new_id;

/// How many rows are read at once when a filter takes few of them.
const BATCH: u32 = 200;

/// How often a settlement is tried again because another writer was first.
const TRIES: u32 = 20;

/// How many doubts are counted at most: whoever has so many needs no exact number.
const COUNTED_MAX: u32 = 1_000;

/// Longest reason that is taken, in characters.
pub const REASON_MAX: usize = 500;

/// A call in doubt.
#[derive(Clone, Debug)]
pub struct Doubt {
    /// The payment.
    pub payment: Payment,
    /// Its call.
    pub call: CallId,
    /// Since when nobody knows what became of it.
    pub since: Timestamp,
    /// When it is looked up next.
    pub next_check: Timestamp,
}

/// Which doubts to list. What is absent takes everything.
#[derive(Clone, Debug, Default)]
pub struct DoubtFilter {
    /// Only of this merchant.
    pub merchant: Option<MerchantId>,
    /// Only of test accounts, or only of live ones.
    pub test: Option<bool>,
    /// Only at the account of this name.
    pub account: Option<String>,
    /// Only in doubt since before this time.
    pub before: Option<Timestamp>,
    /// Only behind this one: the last of an earlier page.
    pub after: Option<(PaymentId, CallId)>,
}

impl DoubtFilter {
    fn takes(&self, doubt: &Doubt) -> bool {
        let payment = &doubt.payment;
        let at = payment.attempt_of(doubt.call).and_then(|attempt| payment.candidate(attempt));
        self.merchant.is_none_or(|merchant| payment.merchant == merchant)
            && self.test.is_none_or(|test| payment.order.test == test)
            && self.account.as_ref().is_none_or(|name| at.is_some_and(|at| at.label == *name))
            && self.before.is_none_or(|before| doubt.since < before)
    }
}

/// A page of calls in doubt, those of the oldest payment first, and whether there are more.
///
/// # Errors
/// The store does not answer.
pub async fn list(
    store: &dyn Store,
    filter: &DoubtFilter,
    limit: u32,
) -> Result<(Vec<Doubt>, bool), EngineError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut after = filter.after.map(|(payment, call)| (payment, call.to_string()));
    let mut found = Vec::new();
    loop {
        let rows = store.doubts(after.clone(), BATCH).await?;
        let is_last = rows.len() < usize::try_from(BATCH).unwrap_or(usize::MAX);
        for row in &rows {
            after = Some((row.payment, row.call.clone()));
            let Some(payment) = store.payment(row.merchant, row.payment).await? else { continue };
            let doubt = doubt(read(&payment)?, &row.call, row.due_at)?;
            let Some(doubt) = doubt.filter(|doubt| filter.takes(doubt)) else { continue };
            if found.len() >= limit {
                return Ok((found, true));
            }
            found.push(doubt);
        }
        if is_last {
            return Ok((found, false));
        }
    }
}

/// The doubt that a timer is about; a timer may also be about what follows from a conclusion.
fn doubt(payment: Payment, call: &str, due_at: Timestamp) -> Result<Option<Doubt>, EngineError> {
    let id: CallId = call.parse().map_err(|_| EngineError::Internal)?;
    let Some(call) = payment.call(id) else { return Ok(None) };
    let CallState::Open { .. } = call.state else { return Ok(None) };
    let since = call.open_since.unwrap_or(call.planned_at);
    Ok(Some(Doubt { call: id, since, next_check: due_at, payment }))
}

/// What is in doubt over all, for whoever watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many payments have a call in doubt.
    pub payments: u64,
    /// Since when the oldest of them has been in doubt.
    pub oldest: Option<Timestamp>,
}

/// How many payments are in doubt, and for how long; of the oldest thousand calls.
///
/// # Errors
/// The store does not answer.
pub async fn summary(store: &dyn Store) -> Result<Summary, EngineError> {
    let (doubts, _) = list(store, &DoubtFilter::default(), COUNTED_MAX).await?;
    let mut payments: Vec<PaymentId> = doubts.iter().map(|doubt| doubt.payment.id).collect();
    payments.dedup();
    Ok(Summary {
        payments: u64::try_from(payments.len()).unwrap_or(u64::MAX),
        oldest: doubts.iter().map(|doubt| doubt.since).min(),
    })
}

/// A payment with all that has happened to it.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The payment as it stands.
    pub payment: Payment,
    /// What led to each of its versions.
    pub history: Vec<Chapter>,
}

/// What led to one version of a payment.
#[derive(Clone, Debug)]
pub struct Chapter {
    /// The version.
    pub version: u64,
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub events: Vec<Event>,
}

/// A payment by our id, with its history; of this merchant, or of any.
///
/// # Errors
/// `NotFound`, or the store does not answer.
pub async fn show(
    store: &dyn Store,
    merchant: Option<MerchantId>,
    id: PaymentId,
) -> Result<Evidence, EngineError> {
    let payment = find(store, merchant, id).await?;
    let rows = store.events(payment.merchant, id).await?;
    let history = rows.iter().map(chapter).collect::<Result<_, _>>()?;
    Ok(Evidence { payment, history })
}

fn chapter(row: &EventRow) -> Result<Chapter, EngineError> {
    let events = serde_json::from_str(&row.body).map_err(|error| {
        tracing::error!(payment = %row.payment, version = row.version, %error, "an event cannot be read");
        EngineError::Internal
    })?;
    Ok(Chapter { version: row.version, at: row.at, events })
}

/// A payment's id does not say whose it is, so the merchants are asked one after the other: they are few.
pub(crate) async fn find(
    store: &dyn Store,
    merchant: Option<MerchantId>,
    id: PaymentId,
) -> Result<Payment, EngineError> {
    let merchants = match merchant {
        Some(merchant) => vec![merchant],
        None => store.merchants().await?.into_iter().map(|row| row.id).collect(),
    };
    for merchant in merchants {
        if let Some(row) = store.payment(merchant, id).await? {
            return read(&row);
        }
    }
    Err(EngineError::NotFound)
}

fn read(row: &PaymentRow) -> Result<Payment, EngineError> {
    snapshot::decode(row.schema, &row.snapshot).map_err(|error| {
        tracing::error!(payment = %row.id, %error, "a stored payment cannot be read");
        EngineError::Internal
    })
}

/// What an operator says about a call in doubt.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The payment's merchant; any if absent.
    pub merchant: Option<MerchantId>,
    /// The payment.
    pub payment: PaymentId,
    /// The call.
    pub call: CallId,
    /// What became of it.
    pub how: Settlement,
    /// How the operator knows. Kept in the payment's history and in the audit log.
    pub reason: String,
}

/// Settles a call by hand: the payment's next version and the audit log's entry are one commit.
///
/// # Errors
/// `NotFound`; `Refused` if the call is not in doubt, or the provider has said otherwise; or the store does not
/// answer. Nothing has changed then.
pub async fn settle(
    audit: &Audit,
    actor: &Actor,
    verdict: &Verdict,
    publish: bool,
    follow: Option<Follow>,
) -> Result<Payment, EngineError> {
    let store = audit.store();
    for _ in 0..TRIES {
        let payment = find(store, verdict.merchant, verdict.payment).await?;
        let owner = Owner { node: "by-hand".to_owned(), boot: new_id(audit.clock()) };
        let facts = Facts {
            now: audit.clock().now(),
            owner: owner.clone(),
            send_window_ms: 0,
            live: false,
            evidence: None,
        };
        let input = Input::Settle {
            call: verdict.call,
            how: verdict.how,
            by: actor.to_string(),
            reason: verdict.reason.clone(),
        };
        let mut step = step(&payment, input, &facts).map_err(EngineError::Refused)?;
        step.next.version = payment.version.saturating_add(1);
        let given_back = guards::change(&payment, &mut step.next, &Guards::default());
        let change = Change {
            payment: &step.next,
            id: new_id(audit.clock()),
            events: &step.events,
            timers: &step.timers,
            publish,
            owner: &owner,
            follow,
        };
        let mut set = change.write_set()?;
        set.writes.extend(given_back);
        match audit.commit_with(entry(actor, &payment, verdict), set).await {
            Ok(()) => return Ok(step.next),
            // A server was first: whether it can still be settled is decided again.
            Err(CommitError::Conflict(Guard::Version)) => {}
            // Whoever tries again learns what became of it.
            Err(CommitError::InDoubt) => return Err(EngineError::Unavailable),
            Err(error) => return Err(error.into()),
        }
    }
    Err(EngineError::Unavailable)
}

fn entry(actor: &Actor, payment: &Payment, verdict: &Verdict) -> Entry {
    Entry {
        merchant: Some(payment.merchant),
        actor: actor.clone(),
        action: Action::PaymentSettled,
        subject: payment.id.to_string(),
        detail: json!({
            "call": verdict.call.to_string(),
            "as": verdict.how.as_str(),
            "reason": verdict.reason,
        }),
        request_id: None,
    }
}
