//! Incidents: what a provider said after we had concluded something else, kept until a person has dealt with it.
//!
//! A contradiction starts a look-up; unless that shows it to be old news, the incident is committed together with
//! an event in the payment's history. Nothing that was told to a client is reopened, and no money is moved: the incident
//! says what would put it right. The same contradiction makes one incident, however often it is told. Left out: which
//! finding contradicts what (`flow::truth`), and who may resolve one.

use std::sync::Arc;

use baton_flow::{CallId, Contradiction, Event, Payment, contradiction, remedy};
use baton_store::{CommitError, DocumentQuery, DocumentRow, Guard, Store, Write, WriteSet};
use baton_types::outcome::Finding;
use baton_types::{MerchantId, Money, PaymentId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::audit::{Action, Actor, Audit, Entry};
use crate::commit::{self, Change};
use crate::error::EngineError;
use crate::inner::Inner;
use crate::{calls, new_id};

const KIND: &str = "incident";
const SCHEMA: u32 = 1;

/// How often a change is tried again because another writer was first.
const TRIES: u32 = 20;

/// How an incident stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Nobody has taken it up.
    Open,
    /// Somebody is at it.
    Acknowledged,
    /// It has been dealt with.
    Resolved,
}

impl Status {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Open, Self::Acknowledged, Self::Resolved];

    /// The name as it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }

    /// A status by its name.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

/// What is known of an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// The payment.
    pub payment: PaymentId,
    /// Its call.
    pub call: String,
    /// The account's name.
    pub account: String,
    /// Moves no real money.
    pub test: bool,
    /// How what was said contradicts what was concluded.
    pub what: Contradiction,
    /// How the call stood when it was said.
    pub known: Value,
    /// Who said it: `webhook` with its name, or `answer` for one that came late.
    pub told_by: String,
    /// What was said.
    pub told: Finding,
    /// What the provider said when it was asked about it.
    pub looked_up: Finding,
    /// What would put it right.
    pub proposed: baton_flow::Remedy,
    /// How much of it, in the currency's minor units.
    pub amount: Option<Money>,
    /// What persons have done about it, oldest first.
    pub notes: Vec<Note>,
}

/// What somebody has done about an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// The status that it has since.
    pub status: String,
    /// What was done, or found.
    pub reason: String,
}

/// An incident as it is kept.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its id: derived from payment, call and contradiction, so that each makes one.
    pub id: String,
    /// Whose.
    pub merchant: MerchantId,
    /// How it stands.
    pub status: Status,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// The incident.
    pub incident: Incident,
    version: u64,
}

impl Kept {
    fn of(row: &DocumentRow) -> Result<Self, EngineError> {
        let read = || {
            let incident = serde_json::from_str(&row.body).ok()?;
            Some(Self {
                id: row.id.clone(),
                merchant: row.merchant,
                status: Status::parse(&row.status)?,
                created_at: row.created_at,
                updated_at: row.updated_at,
                incident,
                version: row.version,
            })
        };
        read().ok_or_else(|| {
            tracing::error!(incident = %row.id, "a stored incident cannot be read");
            EngineError::Internal
        })
    }

    fn write(&self) -> Result<Write, EngineError> {
        let body = serde_json::to_string(&self.incident).map_err(|_| EngineError::Internal)?;
        Ok(Write::Document(DocumentRow {
            merchant: self.merchant,
            kind: KIND.to_owned(),
            id: self.id.clone(),
            version: self.version,
            owner: self.incident.payment.to_string(),
            status: self.status.as_str().to_owned(),
            created_at: self.created_at,
            updated_at: self.updated_at,
            removed_at: None,
            schema: SCHEMA,
            body,
        }))
    }
}

/// What was said, and by whom.
pub(crate) struct Told<'a> {
    pub(crate) by: String,
    pub(crate) finding: &'a Finding,
}

/// Takes what was said about a concluded call: asks the provider, and opens an incident if it stays a
/// contradiction.
pub(crate) async fn late(
    engine: &Arc<Inner>,
    payment: &Payment,
    call: CallId,
    told: &Told<'_>,
) -> Result<(), EngineError> {
    let Some(what) = contradiction(payment, call, told.finding) else { return Ok(()) };
    let id = id_of(payment, call, what);
    if engine.store.document(payment.merchant, KIND, &id).await?.is_some() {
        return Ok(());
    }
    let candidate = payment.attempt_of(call).and_then(|attempt| payment.candidate(attempt));
    let account = match candidate {
        Some(candidate) => engine.accounts.of_candidate(payment, candidate, None).await?,
        None => None,
    };
    let looked_up = match &account {
        Some(account) => {
            let asked = calls::look_up(payment, call, account, engine).await;
            asked.map_or(Finding::Inconclusive, |shown| shown.finding)
        }
        None => Finding::Inconclusive,
    };
    if is_old_news(payment, call, what, &looked_up) {
        tracing::info!(payment = %payment.id, %call, by = told.by, "old news about a concluded call");
        return Ok(());
    }
    let (proposed, amount) = remedy(payment, call, what, told.finding);
    let incident = Incident {
        payment: payment.id,
        call: call.to_string(),
        account: candidate.map(|at| at.label.clone()).unwrap_or_default(),
        test: payment.order.test,
        what,
        known: payment.call(call).map(|call| json!(call.state)).unwrap_or_default(),
        told_by: told.by.clone(),
        told: told.finding.clone(),
        looked_up,
        proposed,
        amount,
        notes: Vec::new(),
    };
    open(engine, payment.merchant, payment.id, call, id, incident).await
}

/// Whether the provider, when asked, says what we have concluded: then the contradiction was the past.
fn is_old_news(payment: &Payment, call: CallId, what: Contradiction, looked_up: &Finding) -> bool {
    match looked_up {
        Finding::Found { outcome } if outcome.is_open() => false,
        Finding::Found { .. } => contradiction(payment, call, looked_up).is_none(),
        // What was taken has been given back since.
        Finding::Voided => matches!(what, Contradiction::Taken | Contradiction::TakenTwice),
        Finding::NotFound | Finding::Inconclusive => false,
    }
}

fn id_of(payment: &Payment, call: CallId, what: Contradiction) -> String {
    let text = payment.id.to_string();
    let bare = text.split_once('_').map_or(text.as_str(), |(_, bare)| bare);
    format!("inc_{bare}-{call}-{}", what.as_str())
}

/// Commits the incident with the payment's next version, which differs in its history only.
async fn open(
    engine: &Arc<Inner>,
    merchant: MerchantId,
    payment: PaymentId,
    call: CallId,
    id: String,
    incident: Incident,
) -> Result<(), EngineError> {
    for _ in 0..TRIES {
        let mut next = engine.load(merchant, payment).await?.ok_or(EngineError::Internal)?;
        let now = engine.clock.now().max(next.updated_at);
        next.version = next.version.saturating_add(1);
        next.updated_at = now;
        let events = [Event::Contradicted {
            call,
            what: incident.what,
            finding: incident.told.clone(),
            incident: id.clone(),
        }];
        let owner = engine.owner();
        let change = Change {
            payment: &next,
            id: new_id(engine.clock.as_ref()),
            events: &events,
            timers: &[],
            publish: engine.config.publish_events,
            owner: &owner,
            follow: engine.follow(),
        };
        let kept = Kept {
            id: id.clone(),
            merchant,
            status: Status::Open,
            created_at: now,
            updated_at: now,
            incident: incident.clone(),
            version: 1,
        };
        let document = kept.write()?;
        let build = || {
            let mut set = change.write_set()?;
            set.push(document.clone());
            Ok(set)
        };
        match commit::commit(engine.store.as_ref(), &next, change.id, build).await {
            Ok(()) => {
                tracing::error!(payment = %payment, %call, incident = id, what = incident.what.as_str(),
                    by = incident.told_by, "a provider contradicts what was concluded: an incident is open");
                return Ok(());
            }
            // The same was told at the same time, by another way.
            Err(CommitError::Conflict(Guard::Document)) => return Ok(()),
            Err(CommitError::Conflict(Guard::Version)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(EngineError::Unavailable)
}

/// Which incidents to list. What is absent takes everything.
#[derive(Clone, Debug, Default)]
pub struct IncidentFilter {
    /// Only of this merchant.
    pub merchant: Option<MerchantId>,
    /// Only of test accounts, or only of live ones.
    pub test: Option<bool>,
    /// Only in one of these states; empty means all.
    pub statuses: Vec<Status>,
    /// Only of this payment.
    pub payment: Option<PaymentId>,
    /// Only behind this one: the last of an earlier page.
    pub after: Option<(Timestamp, String)>,
}

/// A page of incidents, newest first, and whether there are more.
///
/// # Errors
/// The store does not answer.
pub async fn list(
    store: &dyn Store,
    filter: &IncidentFilter,
    limit: u32,
) -> Result<(Vec<Kept>, bool), EngineError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    for merchant in merchants(store, filter.merchant).await? {
        found.extend(of_merchant(store, merchant, filter, limit).await?);
    }
    let place = |kept: &Kept| (kept.created_at, kept.id.clone());
    found.sort_by_key(|kept| std::cmp::Reverse(place(kept)));
    let more = found.len() > limit;
    found.truncate(limit);
    Ok((found, more))
}

/// One more than the page takes, if there are so many.
async fn of_merchant(
    store: &dyn Store,
    merchant: MerchantId,
    filter: &IncidentFilter,
    limit: usize,
) -> Result<Vec<Kept>, EngineError> {
    const BATCH: u32 = 200;
    let mut query = DocumentQuery {
        merchant,
        kind: KIND.to_owned(),
        owner: filter.payment.map(|id| id.to_string()),
        from: Timestamp::from_millis(0),
        to: Timestamp::from_millis(i64::MAX),
        after: filter.after.clone(),
        statuses: filter.statuses.iter().map(|status| status.as_str().to_owned()).collect(),
        removed: false,
        limit: BATCH,
    };
    let mut found = Vec::new();
    loop {
        let rows = store.documents(&query).await?;
        for row in &rows {
            let kept = Kept::of(row)?;
            if filter.test.is_none_or(|test| kept.incident.test == test) {
                found.push(kept);
            }
        }
        let full = rows.len() >= usize::try_from(BATCH).unwrap_or(usize::MAX);
        match rows.last().filter(|_| full && found.len() <= limit) {
            Some(last) => query.after = Some((last.created_at, last.id.clone())),
            None => return Ok(found),
        }
    }
}

async fn merchants(
    store: &dyn Store,
    one: Option<MerchantId>,
) -> Result<Vec<MerchantId>, EngineError> {
    match one {
        Some(merchant) => Ok(vec![merchant]),
        None => Ok(store.merchants().await?.into_iter().map(|row| row.id).collect()),
    }
}

/// An incident by its id; of this merchant, or of any.
///
/// # Errors
/// `NotFound`, or the store does not answer.
pub async fn show(
    store: &dyn Store,
    merchant: Option<MerchantId>,
    id: &str,
) -> Result<Kept, EngineError> {
    for merchant in merchants(store, merchant).await? {
        if let Some(row) = store.document(merchant, KIND, id).await? {
            return Kept::of(&row);
        }
    }
    Err(EngineError::NotFound)
}

/// Acknowledges or resolves an incident, with an entry in the audit log in the same commit. One that is resolved
/// stays so.
///
/// # Errors
/// `NotFound`; `Refused` if it is resolved already; or the store does not answer.
pub async fn resolve(
    audit: &Audit,
    actor: &Actor,
    merchant: Option<MerchantId>,
    id: &str,
    status: Status,
    reason: &str,
) -> Result<Kept, EngineError> {
    for _ in 0..TRIES {
        let mut kept = show(audit.store(), merchant, id).await?;
        if kept.status == Status::Resolved || status == Status::Open {
            return Err(EngineError::Refused(baton_flow::Refusal::Concluded));
        }
        let now = audit.clock().now();
        kept.incident.notes.push(Note {
            at: now,
            by: actor.to_string(),
            status: status.as_str().to_owned(),
            reason: reason.to_owned(),
        });
        kept.status = status;
        kept.updated_at = now.max(kept.updated_at);
        kept.version = kept.version.saturating_add(1);
        let entry = Entry {
            merchant: Some(kept.merchant),
            actor: actor.clone(),
            action: Action::IncidentResolved,
            subject: kept.id.clone(),
            detail: json!({
                "payment": kept.incident.payment.to_string(),
                "status": status.as_str(),
                "reason": reason,
            }),
            request_id: None,
        };
        match audit.commit_with(entry, WriteSet::from(vec![kept.write()?])).await {
            Ok(()) => return Ok(kept),
            Err(CommitError::Conflict(Guard::Document)) => {}
            // Whoever tries again learns what became of it.
            Err(CommitError::InDoubt) => return Err(EngineError::Unavailable),
            Err(error) => return Err(error.into()),
        }
    }
    Err(EngineError::Unavailable)
}

/// How many incidents nobody has resolved.
///
/// # Errors
/// The store does not answer.
pub async fn unresolved(store: &dyn Store) -> Result<u64, EngineError> {
    let statuses = vec![Status::Open, Status::Acknowledged];
    let filter = IncidentFilter { statuses, ..IncidentFilter::default() };
    let (found, _) = list(store, &filter, u32::MAX).await?;
    Ok(u64::try_from(found.len()).unwrap_or(u64::MAX))
}
