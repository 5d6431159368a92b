//! The vault's statements, once, for both databases, by the rules of the other statements.

use crate::sql::{Query, guard, read, write};

macro_rules! keys {
    () => {
        "purpose, version, root, wrapped, uses, created_at, retired_at"
    };
}
macro_rules! records {
    () => {
        "id, kind, merchant, sandbox, name, created_at, expires_at, key_version, fingerprint, \
         fingerprint_version, sealed"
    };
}

pub(super) static ROOTS: Query = read("select id from vault_roots");

pub(super) static ROOT_ADD: Query =
    write(1, "insert into vault_roots (id, created_at) values ($1, $2) on conflict do nothing");

pub(super) static ROOT_REMOVE: Query = guard(1, "delete from vault_roots where id = $1");

pub(super) static KEYS: Query = read(concat!("select ", keys!(), " from vault_keys"));

pub(super) static KEY_ADD: Query = guard(
    2,
    concat!(
        "insert into vault_keys (",
        keys!(),
        ", state, data_version) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    ),
);

pub(super) static KEY_REWRAP: Query = guard(
    2,
    "update vault_keys set root = $4, wrapped = $5 \
     where purpose = $1 and version = $2 and wrapped = $3",
);

pub(super) static KEY_RETIRE: Query = guard(
    2,
    "update vault_keys set state = 'retired', data_version = null, root = null, wrapped = null, \
     retired_at = $3 where purpose = $1 and version = $2 and retired_at is null",
);

pub(super) static KEY_USE: Query =
    write(2, "update vault_keys set uses = uses + $3 where purpose = $1 and version = $2");

pub(super) static RECORD_INSERT: Query = write(
    1,
    concat!(
        "insert into vault_records (",
        records!(),
        ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
    ),
);

pub(super) static RECORD_PUT: Query = write(
    1,
    concat!(
        "insert into vault_records (",
        records!(),
        ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
         on conflict (id) do update set kind = excluded.kind, merchant = excluded.merchant, \
         sandbox = excluded.sandbox, name = excluded.name, created_at = excluded.created_at, \
         expires_at = excluded.expires_at, key_version = excluded.key_version, \
         fingerprint = excluded.fingerprint, \
         fingerprint_version = excluded.fingerprint_version, sealed = excluded.sealed"
    ),
);

/// The old bytes hold a random nonce, so they are a version.
pub(super) static RECORD_RESEAL: Query = write(
    1,
    "update vault_records set key_version = $3, fingerprint = $4, fingerprint_version = $5, \
     sealed = $6 where id = $1 and sealed = $2",
);

pub(super) static RECORD: Query =
    read(concat!("select ", records!(), " from vault_records where id = $1"));

pub(super) static RECORD_TAKE: Query = write(
    1,
    concat!(
        "delete from vault_records where id = $1 and merchant = $2 and sandbox = $3 returning ",
        records!()
    ),
);

pub(super) static COPIES: Query = read("select count(*) from vault_records where fingerprint = $1");

pub(super) static LIST: Query = read(concat!(
    "select ",
    records!(),
    " from vault_records where name is not null and kind = $1 and created_at < $2 \
     order by created_at, id limit $3"
));

pub(super) static SWEEP: Query = write(
    0,
    "delete from vault_records where expires_at <= $1 and id in \
     (select id from vault_records where expires_at is not null and expires_at <= $1 \
     order by expires_at limit $2) returning expires_at",
);

pub(super) static STALE: Query = read(concat!(
    "select ",
    records!(),
    " from vault_records where (key_version <> $1 or fingerprint_version <> $2) and id > $3 \
     order by id limit $4"
));

pub(super) static COUNTS: Query = read(
    "select kind, key_version, fingerprint_version, count(*) from vault_records \
     group by kind, key_version, fingerprint_version",
);
