//! Every statement, once, for both databases.
//!
//! Rules that keep one text right on PostgreSQL and SQLite: parameters are `$n`; ids and numbers come from
//! the application; an optional filter is `cast($n as text) is null or …`; no JSON operators, no
//! data-modifying CTE; a lease is `update … where … in (select … limit $n) returning`. A lease repeats its
//! condition outside the sub-select: PostgreSQL checks the outer one again on a row that another worker has
//! just changed, not the inner one. `merchant || '' = $n` in place of `merchant = $n` asks for the index by time or by
//! owner, which the primary key must not be taken for, nor it for the primary key (migration 10). Booleans are 0 and 1. Texts compare by the database's own collation, so
//! the final order of rows is made in `decode`, not here.

use crate::store::Guard;

/// A statement's text, and which of its parameters say what it locks.
#[derive(Debug)]
pub(crate) struct Query {
    /// The text, with parameters `$1`, `$2`, …
    pub(crate) text: &'static str,
    /// So many leading parameters identify the row. Concurrent batches write rows in the order of these.
    pub(crate) key: usize,
    /// Can fail a guard. Two sets with such a statement for one key must not share a transaction.
    pub(crate) guard: bool,
}

pub(crate) const fn guard(key: usize, text: &'static str) -> Query {
    Query { text, key, guard: true }
}

pub(crate) const fn write(key: usize, text: &'static str) -> Query {
    Query { text, key, guard: false }
}

pub(crate) const fn read(text: &'static str) -> Query {
    Query { text, key: 0, guard: false }
}

/// The guard behind a constraint, by the name that the migrations give it: the table, then the
/// columns. Other constraints are no guards; to violate them is the caller's bug.
pub(crate) fn guard_of(constraint: &str) -> Option<Guard> {
    match constraint {
        "events_merchant_payment_version" => Some(Guard::Version),
        "idempotency_merchant_key" => Some(Guard::IdempotencyKey),
        "guards_merchant_key" => Some(Guard::Duplicate),
        "accounts_merchant_name" => Some(Guard::AccountName),
        "accounts_merchant_number" => Some(Guard::AccountNumber),
        "merchants_id" | "merchants_name" => Some(Guard::Merchant),
        "api_keys_id" | "api_keys_hash" => Some(Guard::ApiKey),
        "documents_version" | "documents_merchant_kind_id" => Some(Guard::Document),
        "audit_seq" | "audit_prev" | "audit_hash" => Some(Guard::AuditSeq),
        "vault_keys_purpose_version" => Some(Guard::VaultKeyVersion),
        "vault_keys_root" | "vault_records_key" => Some(Guard::VaultKeyInUse),
        _ => None,
    }
}

// A table's columns, in the order of the row's parameters when it is inserted and of `decode` when it is
// read. Macros, because `concat!` takes literals only.
macro_rules! payments {
    () => {
        "merchant, id, version, status, kind, amount_minor, currency, merchant_ref, test, account, \
         created_at, updated_at, schema, snapshot"
    };
}
macro_rules! events {
    () => {
        "merchant, payment, version, id, at, schema, body"
    };
}
macro_rules! outbox {
    () => {
        "id, merchant, payment, version, due_at, attempts, body"
    };
}
macro_rules! timers {
    () => {
        "merchant, payment, call, kind, due_at, attempt, node, boot"
    };
}
macro_rules! idempotency {
    () => {
        "merchant, key, fingerprint, payment, call, created_at, expires_at"
    };
}
macro_rules! guards {
    () => {
        "merchant, key, payment, created_at"
    };
}
macro_rules! payment_references {
    () => {
        "merchant, kind, value, account, payment, call, created_at"
    };
}
macro_rules! documents {
    () => {
        "merchant, kind, id, version, owner, status, created_at, updated_at, removed_at, schema, body"
    };
}
macro_rules! merchants {
    () => {
        "id, name, created_at"
    };
}
macro_rules! accounts {
    () => {
        "merchant, id, number, name, gateway, base_url, test, created_at, updated_at, removed_at, config"
    };
}
macro_rules! api_keys {
    () => {
        "id, merchant, hash, hint, name, scopes, sandbox, created_at, expires_at, revoked_at, rate_limit"
    };
}
macro_rules! audit {
    () => {
        "seq, at, merchant, actor, action, subject, detail, request_id, prev, hash"
    };
}

pub(crate) static PING: Query = read("select cast(1 as bigint)");

// Payments and their events.

pub(crate) static EVENT_INSERT: Query =
    guard(3, concat!("insert into events (", events!(), ") values ($1, $2, $3, $4, $5, $6, $7)"));

pub(crate) static EVENTS: Query = read(concat!(
    "select ",
    events!(),
    " from events where merchant = $1 and payment = $2 order by version"
));

pub(crate) static EVENT: Query = read(concat!(
    "select ",
    events!(),
    " from events where merchant = $1 and payment = $2 and version = $3"
));

/// Needs no condition on the version: the event of the same set guards it. What an index of the table holds
/// stays as first written: SQLite writes an index anew whose columns are named here, changed or not.
pub(crate) static PAYMENT_PUT: Query = write(
    2,
    concat!(
        "insert into payments (",
        payments!(),
        ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
         on conflict (merchant, id) do update set version = excluded.version, \
         status = excluded.status, kind = excluded.kind, amount_minor = excluded.amount_minor, \
         currency = excluded.currency, account = excluded.account, \
         updated_at = excluded.updated_at, \
         schema = excluded.schema, snapshot = excluded.snapshot"
    ),
);

pub(crate) static PAYMENT: Query =
    read(concat!("select ", payments!(), " from payments where merchant = $1 and id = $2"));

// The time's bounds are always there, so that the index gives the rows in order; lists of words come as one
// text with a comma before and behind each.
macro_rules! payment_filters {
    () => {
        " and test = $2 and created_at >= $3 and created_at <= $4 \
         and (created_at < $4 or cast($5 as text) is null or id < $5) \
         and (cast($6 as text) is null or account = $6) \
         and (cast($7 as text) is null or $7 like '%,' || kind || ',%') \
         and (cast($8 as text) is null or $8 like '%,' || status || ',%') \
         order by created_at desc, id desc limit $9"
    };
}

/// A page of a merchant's payments, newest first.
pub(crate) static PAYMENTS: Query = read(concat!(
    "select ",
    payments!(),
    " from payments where merchant || '' = $1",
    payment_filters!()
));

/// Those with a reference of the merchant's own.
pub(crate) static PAYMENTS_OF_REFERENCE: Query = read(concat!(
    "select ",
    payments!(),
    " from payments where merchant = $1 and id in (select payment from payment_references \
     where merchant = $1 and kind = 'merchant' and value = $10)",
    payment_filters!()
));

pub(crate) static PAYMENT_COUNT: Query = read("select count(*) from payments");

// The outbox.

pub(crate) static OUTBOX_INSERT: Query =
    write(1, concat!("insert into outbox (", outbox!(), ") values ($1, $2, $3, $4, $5, $6, $7)"));

pub(crate) static OUTBOX_LEASE: Query = write(
    0,
    concat!(
        "update outbox set due_at = $2, attempts = attempts + 1 where due_at <= $1 and id in \
         (select id from outbox where due_at <= $1 order by due_at, id limit $3) returning ",
        outbox!()
    ),
);

pub(crate) static OUTBOX_DELETE: Query = write(1, "delete from outbox where id = $1");

pub(crate) static OUTBOX_COUNT: Query = read("select count(*) from outbox");

// Timers.

pub(crate) static TIMER_PUT: Query = write(
    3,
    concat!(
        "insert into timers (",
        timers!(),
        ") values ($1, $2, $3, $4, $5, $6, $7, $8) \
         on conflict (merchant, payment, call) do update set kind = excluded.kind, \
         due_at = excluded.due_at, attempt = excluded.attempt, node = excluded.node, \
         boot = excluded.boot"
    ),
);

pub(crate) static TIMER_DELETE: Query =
    write(3, "delete from timers where merchant = $1 and payment = $2 and call = $3");

pub(crate) static TIMERS_LEASE: Query = write(
    0,
    concat!(
        "update timers set due_at = $2, node = $4, boot = $5 \
         where due_at <= $1 and (merchant, payment, call) in \
         (select merchant, payment, call from timers where due_at <= $1 \
         order by due_at, merchant, payment, call limit $3) returning ",
        timers!()
    ),
);

/// Reads the whole table, once when a node starts. What rests until its time is left to its time: there may be many.
pub(crate) static TIMERS_OF_OTHER_BOOTS: Query = read(concat!(
    "select ",
    timers!(),
    " from timers where node = $1 and boot <> $2 and kind <> 'alarm' \
     order by due_at, merchant, payment, call limit $3"
));

pub(crate) static TIMER_COUNT: Query = read("select count(*) from timers");

/// What is in doubt, over all merchants. The partial index has these rows alone.
pub(crate) static DOUBTS: Query = read(concat!(
    "select ",
    timers!(),
    " from timers where kind = 'resolve' and payment >= $1 and (payment > $1 or call > $2) \
     order by payment, call limit $3"
));

// Guards against duplicates.

pub(crate) static GUARD_TAKE: Query =
    guard(2, concat!("insert into guards (", guards!(), ") values ($1, $2, $3, $4)"));

/// Reckoned a guard too, so that it never shares a transaction with one that it would make fail.
pub(crate) static GUARD_KEEP: Query = guard(
    2,
    concat!("insert into guards (", guards!(), ") values ($1, $2, $3, $4) on conflict do nothing"),
);

pub(crate) static GUARD_RELEASE: Query =
    write(2, "delete from guards where merchant = $1 and key = $2 and payment = $3");

pub(crate) static GUARD: Query =
    read(concat!("select ", guards!(), " from guards where merchant = $1 and key = $2"));

// Idempotency keys.

pub(crate) static KEY_INSERT: Query = guard(
    2,
    concat!("insert into idempotency (", idempotency!(), ") values ($1, $2, $3, $4, $5, $6, $7)"),
);

pub(crate) static KEY_DELETE: Query =
    guard(2, "delete from idempotency where merchant = $1 and key = $2");

pub(crate) static KEY: Query =
    read(concat!("select ", idempotency!(), " from idempotency where merchant = $1 and key = $2"));

pub(crate) static KEYS_SWEEP: Query = write(
    0,
    "delete from idempotency where expires_at <= $1 and (merchant, key) in \
     (select merchant, key from idempotency where expires_at <= $1 order by expires_at limit $2) \
     returning expires_at",
);

// References.

pub(crate) static REFERENCE_INSERT: Query = write(
    6,
    concat!(
        "insert into payment_references (",
        payment_references!(),
        ") values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing"
    ),
);

pub(crate) static REFERENCES: Query = read(concat!(
    "select ",
    payment_references!(),
    " from payment_references where merchant = $1 and kind = $2 and value = $3 \
     and (cast($4 as text) is null or account = $4) \
     order by created_at desc, payment desc, call desc limit $5"
));

// Documents.

pub(crate) static DOCUMENT_INSERT: Query = guard(
    3,
    concat!(
        "insert into documents (",
        documents!(),
        ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
    ),
);

/// A version that does not follow is written as 0, which the table's check refuses: the first case meets a row
/// that is not there, the second one that has changed since this statement began.
pub(crate) static DOCUMENT_UPDATE: Query = guard(
    3,
    concat!(
        "insert into documents (",
        documents!(),
        ") values ($1, $2, $3, case when cast($4 as bigint) - 1 = (select version from documents \
         where merchant = $1 and kind = $2 and id = $3) then cast($4 as bigint) else 0 end, \
         $5, $6, $7, $8, $9, $10, $11) \
         on conflict (merchant, kind, id) do update set \
         version = case when documents.version = cast($4 as bigint) - 1 \
         then cast($4 as bigint) else 0 end, \
         owner = excluded.owner, status = excluded.status, updated_at = excluded.updated_at, \
         removed_at = excluded.removed_at, schema = excluded.schema, body = excluded.body"
    ),
);

/// The same for many documents, a column's values in an array each: on PostgreSQL. The first case is of the row that would
/// be inserted, so that the second need not know it again.
pub(crate) const DOCUMENT_UPDATE_MANY: &str = concat!(
    "insert into documents (",
    documents!(),
    ") select merchant, kind, id, case when version - 1 = (select version from documents \
     where merchant = n.merchant and kind = n.kind and id = n.id) then version else 0 end, \
     owner, status, created_at, updated_at, removed_at, schema, body \
     from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], \
     $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::text[]) as n (",
    documents!(),
    ") on conflict (merchant, kind, id) do update set \
     version = case when documents.version = excluded.version - 1 \
     then excluded.version else 0 end, \
     owner = excluded.owner, status = excluded.status, updated_at = excluded.updated_at, \
     removed_at = excluded.removed_at, schema = excluded.schema, body = excluded.body"
);

pub(crate) static DOCUMENT: Query = read(concat!(
    "select ",
    documents!(),
    " from documents where merchant = $1 and kind = $2 and id = $3"
));

// An owner that may be absent hides the index, so there are two texts.
macro_rules! document_filters {
    () => {
        " and (created_at < $4 or cast($5 as text) is null or id < $5) \
         and (cast($6 as text) is null or $6 like '%,' || status || ',%') \
         and (cast($7 as bigint) = 1 or removed_at is null) \
         order by created_at desc, id desc limit $8"
    };
}

pub(crate) static DOCUMENTS: Query = read(concat!(
    "select ",
    documents!(),
    " from documents where merchant || '' = $1 and kind = $2 and created_at >= $3 and created_at <= $4",
    document_filters!()
));

pub(crate) static DOCUMENTS_OF_OWNER: Query = read(concat!(
    "select ",
    documents!(),
    " from documents where merchant || '' = $1 and kind = $2 and owner = $9 and created_at >= $3 \
     and created_at <= $4",
    document_filters!()
));

// Merchants, accounts, API keys.

pub(crate) static MERCHANT_INSERT: Query =
    guard(0, concat!("insert into merchants (", merchants!(), ") values ($1, $2, $3)"));

pub(crate) static MERCHANTS: Query = read(concat!("select ", merchants!(), " from merchants"));

pub(crate) static MERCHANT_BY_NAME: Query =
    read(concat!("select ", merchants!(), " from merchants where name = $1"));

pub(crate) static ACCOUNT_PUT: Query = guard(
    1,
    concat!(
        "insert into accounts (",
        accounts!(),
        ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
         on conflict (merchant, id) do update set name = excluded.name, \
         gateway = excluded.gateway, base_url = excluded.base_url, test = excluded.test, \
         updated_at = excluded.updated_at, removed_at = excluded.removed_at, \
         config = excluded.config"
    ),
);

pub(crate) static ACCOUNT_REMOVE: Query = guard(
    1,
    "update accounts set removed_at = $3, updated_at = $3 \
     where merchant = $1 and id = $2 and removed_at is null",
);

pub(crate) static ACCOUNT: Query =
    read(concat!("select ", accounts!(), " from accounts where merchant = $1 and id = $2"));

pub(crate) static ACCOUNTS: Query =
    read(concat!("select ", accounts!(), " from accounts where merchant = $1"));

pub(crate) static API_KEY_INSERT: Query = guard(
    0,
    concat!(
        "insert into api_keys (",
        api_keys!(),
        ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
    ),
);

pub(crate) static API_KEY_REVOKE: Query =
    guard(0, "update api_keys set revoked_at = $2 where id = $1 and revoked_at is null");

pub(crate) static API_KEY_RENAME: Query =
    guard(0, "update api_keys set name = $2, expires_at = $3 where id = $1");

pub(crate) static API_KEY_BY_HASH: Query =
    read(concat!("select ", api_keys!(), " from api_keys where hash = $1"));

pub(crate) static API_KEYS: Query =
    read(concat!("select ", api_keys!(), " from api_keys where merchant = $1"));

// The audit log.

/// All entries share one key: two sets that append meet at the guard, whichever numbers they have taken.
pub(crate) static AUDIT_INSERT: Query = guard(
    0,
    concat!("insert into audit (", audit!(), ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"),
);

// A filter that may be absent hides an index, so the one that has an index has texts of its own.
macro_rules! audit_filters {
    () => {
        " and (cast($3 as text) is null or merchant = $3) \
         and (cast($4 as text) is null or actor = $4) \
         and (cast($5 as text) is null or action = $5) \
         and (cast($6 as bigint) is null or at >= $6) \
         and (cast($7 as bigint) is null or at < $7)"
    };
}

pub(crate) static AUDIT_OLDEST: Query = read(concat!(
    "select ",
    audit!(),
    " from audit where seq > $1",
    audit_filters!(),
    " order by seq limit $2"
));

pub(crate) static AUDIT_NEWEST: Query = read(concat!(
    "select ",
    audit!(),
    " from audit where seq < $1",
    audit_filters!(),
    " order by seq desc limit $2"
));

pub(crate) static AUDIT_OF_SUBJECT_OLDEST: Query = read(concat!(
    "select ",
    audit!(),
    " from audit where subject = $8 and seq > $1",
    audit_filters!(),
    " order by seq limit $2"
));

pub(crate) static AUDIT_OF_SUBJECT_NEWEST: Query = read(concat!(
    "select ",
    audit!(),
    " from audit where subject = $8 and seq < $1",
    audit_filters!(),
    " order by seq desc limit $2"
));
