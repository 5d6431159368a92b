-- The vault's tables, which may stand beside the payments' or in a database of their own. One text for
-- PostgreSQL and SQLite; times are milliseconds since the Unix epoch; 0 and 1 are booleans.
--
-- A foreign key is a lock that both databases know: whoever adds a row under a key holds the key, and
-- whoever retires the key waits for him and fails while one row needs it. So no row can come to be under a
-- key whose bytes are destroyed, whatever another process still has in its memory.

-- Root keys that may wrap. The keys themselves are elsewhere.
create table vault_roots (
    id text not null constraint vault_roots_id primary key,
    created_at bigint not null
);

-- `data_version` is the version of a data key that records may be under: null for other purposes and once
-- the key is retired, when `root` and the wrapped bytes are gone too.
create table vault_keys (
    purpose text not null,
    version bigint not null,
    data_version bigint constraint vault_keys_data_version unique,
    state text not null,
    root text constraint vault_keys_root references vault_roots (id),
    wrapped bytea,
    uses bigint not null,
    created_at bigint not null,
    retired_at bigint,
    constraint vault_keys_purpose_version primary key (purpose, version)
);

-- Tokens and other secrets. `id` is a hash: of the token, whose text is nowhere, or of tenant, kind and
-- name. `key_version` is null where the key comes from the token.
create table vault_records (
    id bytea not null constraint vault_records_id primary key,
    kind text not null,
    merchant text not null,
    sandbox bigint not null,
    name text,
    created_at bigint not null,
    expires_at bigint,
    key_version bigint constraint vault_records_key references vault_keys (data_version),
    fingerprint bytea,
    fingerprint_version bigint,
    sealed bytea not null
);

create index vault_records_by_key on vault_records (key_version);
create index vault_records_by_expiry on vault_records (expires_at) where expires_at is not null;
create index vault_records_by_age on vault_records (kind, created_at) where name is not null;
create index vault_records_by_fingerprint on vault_records (fingerprint)
    where fingerprint is not null;
