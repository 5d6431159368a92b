//! The statements, once, for both databases, by the rules of the other statements.
//!
//! Whatever changes a stream or an event of it touches the stream's row first: so changes of one stream take
//! turns, and the last statement of each sees what the others have left.

use crate::sql::{Query, read, write};

macro_rules! streams {
    () => {
        "merchant, id, profile, state, due_at, updated_at"
    };
}
macro_rules! hooks {
    () => {
        "merchant, id, stream, seq, profile, object, class, kind, state, attempts, created_at, \
         updated_at, body"
    };
}
macro_rules! attempts {
    () => {
        "merchant, event, id, kind, at, took_ms, status, error, request, response"
    };
}

pub(super) static STREAM_PUT: Query = write(
    2,
    concat!(
        "insert into hook_streams (",
        streams!(),
        ") values ($1, $2, $3, $4, $5, $6) on conflict (merchant, id) do update set \
         profile = excluded.profile, state = excluded.state, \
         due_at = coalesce(hook_streams.due_at, excluded.due_at), updated_at = excluded.updated_at"
    ),
);

pub(super) static STREAM_TOUCH: Query =
    write(2, "update hook_streams set updated_at = $3 where merchant = $1 and id = $2");

/// After all else: due exactly if an event waits. Without a time of its own it keeps the one it has.
pub(super) static STREAM_DUE: Query = write(
    2,
    "update hook_streams set due_at = case when exists (select 1 from hook_events \
     where merchant = $1 and stream = $2 and state = 'pending') \
     then coalesce(cast($3 as bigint), due_at) else null end where merchant = $1 and id = $2",
);

pub(super) static STREAM: Query =
    read(concat!("select ", streams!(), " from hook_streams where merchant = $1 and id = $2"));

pub(super) static STREAMS_LEASE: Query = write(
    0,
    concat!(
        "update hook_streams set due_at = $2 where due_at <= $1 and (merchant, id) in \
         (select merchant, id from hook_streams where due_at <= $1 \
         order by due_at, merchant, id limit $3) returning ",
        streams!()
    ),
);

pub(super) static HOOK_INSERT: Query = write(
    2,
    concat!(
        "insert into hook_events (",
        hooks!(),
        ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) on conflict do nothing"
    ),
);

/// What was delivered stays so.
pub(super) static HOOK_CONCLUDE: Query = write(
    2,
    "update hook_events set attempts = attempts + $4, updated_at = $5, \
     state = case when state = 'delivered' then state else coalesce(cast($3 as text), state) end \
     where merchant = $1 and id = $2",
);

/// Without its stream nothing would ever send it.
pub(super) static HOOK_AGAIN: Query = write(
    2,
    "update hook_events set attempts = case when state = 'pending' then attempts else 1 end, \
     state = 'pending', updated_at = $4 where merchant = $1 and id = $2 and exists \
     (select 1 from hook_streams where merchant = $1 and id = $3)",
);

/// After all else: due at once if an event waits, unless it is due so soon that a worker may hold it.
pub(super) static STREAM_WAKE: Query = write(
    2,
    "update hook_streams set due_at = case when not exists (select 1 from hook_events \
     where merchant = $1 and stream = $2 and state = 'pending') then null \
     when due_at <= $4 then due_at else cast($3 as bigint) end where merchant = $1 and id = $2",
);

pub(super) static HOOK: Query =
    read(concat!("select ", hooks!(), " from hook_events where merchant = $1 and id = $2"));

pub(super) static HOOK_NEXT: Query = read(concat!(
    "select ",
    hooks!(),
    " from hook_events where merchant = $1 and stream = $2 and state = 'pending' \
     order by seq limit 1"
));

// Lists of words come as one text with a comma before and behind each.
macro_rules! hook_filters {
    () => {
        " and created_at >= $2 and created_at <= $3 and (cast($4 as text) is null or id = $4) \
         and (cast($5 as text) is null or profile = $5) \
         and (cast($6 as text) is null or $6 like '%,' || class || ',%') \
         and (cast($7 as text) is null or $7 like '%,' || kind || ',%') \
         and (cast($8 as text) is null or $8 like '%,' || state || ',%') \
         and (created_at < $3 or cast($9 as text) is null or id < $9)"
    };
}

// An object that may be absent hides the index, so there are two texts.
pub(super) static HOOKS: Query = read(concat!(
    "select ",
    hooks!(),
    " from hook_events where merchant || '' = $1",
    hook_filters!(),
    " order by created_at desc, id desc limit $10 offset $11"
));

pub(super) static HOOKS_OF_OBJECT: Query = read(concat!(
    "select ",
    hooks!(),
    " from hook_events where merchant || '' = $1 and object = $12",
    hook_filters!(),
    " order by created_at desc, id desc limit $10 offset $11"
));

pub(super) static HOOK_COUNT: Query =
    read(concat!("select count(*) from hook_events where merchant || '' = $1", hook_filters!()));

pub(super) static HOOK_COUNT_OF_OBJECT: Query = read(concat!(
    "select count(*) from hook_events where merchant || '' = $1 and object = $10",
    hook_filters!()
));

pub(super) static ATTEMPT_INSERT: Query = write(
    3,
    concat!(
        "insert into hook_attempts (",
        attempts!(),
        ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict do nothing"
    ),
);

pub(super) static ATTEMPTS: Query = read(concat!(
    "select ",
    attempts!(),
    " from hook_attempts where merchant = $1 and event = $2 order by id"
));

pub(super) static IN_OUTBOX: Query = read(
    "select count(*) from outbox where id = (select id from events \
     where merchant = $1 and payment = $2 and version = $3)",
);

pub(super) static OUTBOX_RELEASE: Query = write(1, "update outbox set due_at = $2 where id = $1");

pub(super) static BACKLOG: Query =
    read("select count(*), min(due_at) from hook_streams where due_at is not null");

pub(super) static HOOKS_SWEEP: Query = write(
    0,
    "delete from hook_events where state <> 'pending' and (merchant, id) in \
     (select merchant, id from hook_events where state <> 'pending' and updated_at <= $1 \
     order by updated_at limit $2) returning updated_at",
);

pub(super) static ATTEMPTS_SWEEP: Query = write(
    0,
    "delete from hook_attempts where at <= $1 and (merchant, event, id) in \
     (select merchant, event, id from hook_attempts where at <= $1 order by at limit $2) \
     returning at",
);

pub(super) static STREAMS_SWEEP: Query = write(
    0,
    "delete from hook_streams where due_at is null and updated_at <= $1 and (merchant, id) in \
     (select merchant, id from hook_streams where due_at is null and updated_at <= $1 \
     order by updated_at limit $2) returning updated_at",
);
