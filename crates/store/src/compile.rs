//! A write set as statements: the same list, in the same order, for every database.
//!
//! Guarantees: what no backend could keep alike is refused here, before any is asked (a NUL in a text, a
//! version that is no positive `bigint`, a key too long for an index, a payment without the event that guards
//! it).

use std::fmt;

use baton_types::{Id, Kind, Timestamp};

use crate::rows::{
    AccountRow, ApiKeyRow, AuditRow, DocumentRow, EventRow, GuardRow, IdempotencyRow, MerchantRow,
    OutboxRow, PaymentRow, ReferenceKind, ReferenceRow, TimerRow, Write, WriteSet,
};
use crate::sql::{self, Query};
use crate::store::CommitError;
use crate::{hooks, lists};

/// How long a key may be that is part of an index. PostgreSQL's indexes take 2,704 bytes in a row, of which a
/// reference has two keys and three ids.
pub const MAX_KEY_BYTES: usize = 1000;

/// A parameter or a column.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// Tells no contents: a database client may log its parameters.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Int(_) => f.write_str("bigint"),
            Self::Text(text) => write!(f, "text of {} bytes", text.len()),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
        }
    }
}

/// A statement with its parameters.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) query: &'static Query,
    pub(crate) params: Vec<Value>,
    /// The table's place in the order of locking; see [`Write::rank`].
    pub(crate) rank: u8,
}

impl Statement {
    /// A statement that belongs to no write set.
    pub(crate) const fn new(query: &'static Query, params: Vec<Value>) -> Self {
        Self { query, params, rank: 0 }
    }

    /// What the statement locks: statements that share it touch the same row.
    pub(crate) fn key(&self) -> (u8, &[Value]) {
        (self.rank, self.params.get(..self.query.key).unwrap_or_default())
    }

    /// Whether a text holds a NUL, which PostgreSQL cannot store.
    pub(crate) fn has_nul(&self) -> bool {
        self.params.iter().any(|param| matches!(param, Value::Text(text) if text.contains('\0')))
    }
}

/// Compiles a set, guards first.
///
/// # Errors
/// `CommitError::Invalid`.
pub(crate) fn compile(set: WriteSet) -> Result<Vec<Statement>, CommitError> {
    let mut writes = set.writes;
    writes.sort_by_key(Write::rank);
    let events: Vec<_> = writes
        .iter()
        .filter_map(|write| if let Write::Event(e) = write { Some(e) } else { None })
        .map(|event| (event.merchant, event.payment, event.version))
        .collect();
    let unguarded = writes.iter().any(|write| {
        matches!(write, Write::Payment(p) if !events.contains(&(p.merchant, p.id, p.version)))
    });
    if unguarded {
        return Err(CommitError::Invalid("a payment without the event of its version".into()));
    }
    let mut statements = Vec::with_capacity(writes.len());
    writes.into_iter().try_for_each(|write| add(write, &mut statements))?;
    Ok(statements)
}

fn add(write: Write, to: &mut Vec<Statement>) -> Result<(), CommitError> {
    if keys(&write).iter().any(|key| key.len() > MAX_KEY_BYTES) {
        return Err(CommitError::Invalid(format!("a key is longer than {MAX_KEY_BYTES} bytes")));
    }
    let rank = write.rank();
    let (query, params) = match write {
        Write::Payment(row) => (&sql::PAYMENT_PUT, payment(row)?),
        Write::Event(row) => (&sql::EVENT_INSERT, event(row)?),
        Write::Outbox(row) => (&sql::OUTBOX_INSERT, outbox(row)?),
        Write::SetTimer(row) => (&sql::TIMER_PUT, timer(row)),
        Write::ClearTimer { merchant, payment, call } => {
            (&sql::TIMER_DELETE, vec![merchant.into(), payment.into(), call.into()])
        }
        Write::ClaimKey(row) => (&sql::KEY_INSERT, idempotency(row)),
        Write::ReleaseKey { merchant, key } => {
            (&sql::KEY_DELETE, vec![merchant.into(), key.into()])
        }
        Write::TakeGuard(row) => (&sql::GUARD_TAKE, guard(row)),
        Write::KeepGuard(row) => (&sql::GUARD_KEEP, guard(row)),
        Write::ReleaseGuard { merchant, key, payment } => {
            (&sql::GUARD_RELEASE, vec![merchant.into(), key.into(), payment.into()])
        }
        Write::Reference(row) => (&sql::REFERENCE_INSERT, reference(row)),
        Write::Merchant(MerchantRow { id, name, created_at }) => {
            (&sql::MERCHANT_INSERT, vec![id.into(), name.into(), created_at.into()])
        }
        Write::Account(row) => (&sql::ACCOUNT_PUT, account(row)),
        Write::RemoveAccount { merchant, id, at } => {
            (&sql::ACCOUNT_REMOVE, vec![merchant.into(), id.into(), at.into()])
        }
        Write::ApiKey(row) => (&sql::API_KEY_INSERT, api_key(row)?),
        Write::RenameApiKey { id, name, expires_at } => {
            (&sql::API_KEY_RENAME, vec![id.into(), name.into(), expires_at.into()])
        }
        Write::RevokeApiKey { id, at } => (&sql::API_KEY_REVOKE, vec![id.into(), at.into()]),
        Write::Audit(row) => (&sql::AUDIT_INSERT, audit(row)?),
        Write::Document(row) if row.version == 1 => (&sql::DOCUMENT_INSERT, document(row)?),
        Write::Document(row) => (&sql::DOCUMENT_UPDATE, document(row)?),
        Write::Listed(row) => lists::listed(row),
        Write::Relisted(row) => lists::relisted(row),
        Write::ReplayHook(row) => {
            to.extend(hooks::replay(row)?);
            return Ok(());
        }
    };
    let statement = Statement { query, params, rank };
    if statement.has_nul() {
        return Err(CommitError::Invalid("a text holds a NUL character".into()));
    }
    to.push(statement);
    Ok(())
}

/// What a write puts into an index.
fn keys(write: &Write) -> Vec<&[u8]> {
    match write {
        Write::ClearTimer { call, .. } => vec![call.as_bytes()],
        Write::SetTimer(row) => vec![row.call.as_bytes()],
        Write::ClaimKey(row) => vec![row.key.as_bytes()],
        Write::ReleaseKey { key, .. } | Write::ReleaseGuard { key, .. } => vec![key.as_bytes()],
        Write::TakeGuard(row) | Write::KeepGuard(row) => vec![row.key.as_bytes()],
        Write::Reference(row) => vec![row.value.as_bytes(), row.call.as_bytes()],
        Write::Merchant(row) => vec![row.name.as_bytes()],
        Write::Account(row) => vec![row.name.as_bytes()],
        Write::ApiKey(row) => vec![&row.hash],
        Write::Audit(row) => vec![row.subject.as_bytes()],
        Write::Document(row) => {
            vec![row.kind.as_bytes(), row.id.as_bytes(), row.owner.as_bytes()]
        }
        Write::ReplayHook(row) => vec![row.stream.as_bytes(), row.event.as_bytes()],
        Write::Listed(row) => vec![row.kind.as_bytes(), row.id.as_bytes(), row.owner.as_bytes()],
        Write::Payment(_)
        | Write::Event(_)
        | Write::Outbox(_)
        | Write::RemoveAccount { .. }
        | Write::RenameApiKey { .. }
        | Write::RevokeApiKey { .. }
        | Write::Relisted(_) => vec![],
    }
}

fn payment(row: PaymentRow) -> Result<Vec<Value>, CommitError> {
    Ok(vec![
        row.merchant.into(),
        row.id.into(),
        version(row.version)?,
        row.status.into(),
        row.kind.into(),
        row.amount_minor.into(),
        row.currency.into(),
        row.merchant_ref.into(),
        row.test.into(),
        row.account.into(),
        row.created_at.into(),
        row.updated_at.into(),
        row.schema.into(),
        row.snapshot.into(),
    ])
}

fn event(row: EventRow) -> Result<Vec<Value>, CommitError> {
    Ok(vec![
        row.merchant.into(),
        row.payment.into(),
        version(row.version)?,
        row.id.into(),
        row.at.into(),
        row.schema.into(),
        row.body.into(),
    ])
}

fn outbox(row: OutboxRow) -> Result<Vec<Value>, CommitError> {
    Ok(vec![
        row.id.into(),
        row.merchant.into(),
        row.payment.into(),
        version(row.version)?,
        row.due_at.into(),
        row.attempts.into(),
        row.body.into(),
    ])
}

fn timer(row: TimerRow) -> Vec<Value> {
    vec![
        row.merchant.into(),
        row.payment.into(),
        row.call.into(),
        row.kind.into(),
        row.due_at.into(),
        row.attempt.into(),
        row.node.into(),
        row.boot.into(),
    ]
}

fn idempotency(row: IdempotencyRow) -> Vec<Value> {
    vec![
        row.merchant.into(),
        row.key.into(),
        Value::Bytes(row.fingerprint),
        row.payment.into(),
        row.call.into(),
        row.created_at.into(),
        row.expires_at.into(),
    ]
}

fn guard(row: GuardRow) -> Vec<Value> {
    vec![row.merchant.into(), row.key.into(), row.payment.into(), row.created_at.into()]
}

fn reference(row: ReferenceRow) -> Vec<Value> {
    vec![
        row.merchant.into(),
        kind_name(row.kind).to_owned().into(),
        row.value.into(),
        // Part of the primary key, which takes no null.
        row.account.map_or_else(|| String::new().into(), Into::into),
        row.payment.into(),
        row.call.into(),
        row.created_at.into(),
    ]
}

fn account(row: AccountRow) -> Vec<Value> {
    vec![
        row.merchant.into(),
        row.id.into(),
        row.number.into(),
        row.name.into(),
        row.gateway.into(),
        row.base_url.into(),
        row.test.into(),
        row.created_at.into(),
        row.updated_at.into(),
        row.removed_at.into(),
        row.config.into(),
    ]
}

fn api_key(row: ApiKeyRow) -> Result<Vec<Value>, CommitError> {
    if row.scopes.iter().any(|scope| scope.is_empty() || scope.contains(char::is_whitespace)) {
        return Err(CommitError::Invalid("a scope is empty or holds white space".into()));
    }
    Ok(vec![
        row.id.into(),
        row.merchant.into(),
        Value::Bytes(row.hash),
        row.hint.into(),
        row.name.into(),
        row.scopes.join(" ").into(),
        row.sandbox.into(),
        row.created_at.into(),
        row.expires_at.into(),
        row.revoked_at.into(),
        row.rate_limit.map(i64::from).into(),
    ])
}

fn document(row: DocumentRow) -> Result<Vec<Value>, CommitError> {
    Ok(vec![
        row.merchant.into(),
        row.kind.into(),
        row.id.into(),
        version(row.version)?,
        row.owner.into(),
        row.status.into(),
        row.created_at.into(),
        row.updated_at.into(),
        row.removed_at.into(),
        row.schema.into(),
        row.body.into(),
    ])
}

fn audit(row: AuditRow) -> Result<Vec<Value>, CommitError> {
    Ok(vec![
        version(row.seq)?,
        row.at.into(),
        row.merchant.into(),
        row.actor.into(),
        row.action.into(),
        row.subject.into(),
        row.detail.into(),
        row.request_id.into(),
        row.prev.map_or(Value::Null, Value::Bytes),
        Value::Bytes(row.hash),
    ])
}

/// How a kind of reference is stored.
pub(crate) const fn kind_name(kind: ReferenceKind) -> &'static str {
    match kind {
        ReferenceKind::Attempt => "attempt",
        ReferenceKind::Provider => "provider",
        ReferenceKind::Merchant => "merchant",
    }
}

fn version(version: u64) -> Result<Value, CommitError> {
    match i64::try_from(version) {
        Ok(version @ 1..) => Ok(Value::Int(version)),
        Ok(_) | Err(_) => Err(CommitError::Invalid(format!("{version} is not a version"))),
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(value.into())
    }
}

impl From<Timestamp> for Value {
    fn from(value: Timestamp) -> Self {
        Self::Int(value.millis())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl<T: Kind> From<Id<T>> for Value {
    fn from(value: Id<T>) -> Self {
        Self::Text(value.to_string())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
