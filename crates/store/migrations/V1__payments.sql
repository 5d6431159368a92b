-- One text for PostgreSQL and SQLite. Constraints are named after their table and columns, because that is
-- how a violated one is recognised. Everything leads with the merchant, so that tables can be sharded, except
-- what is found by when it is due. Times are milliseconds since the Unix epoch; 0 and 1 are booleans.

create table merchants (
    id text not null constraint merchants_id primary key,
    name text not null constraint merchants_name unique,
    created_at bigint not null
);

create table accounts (
    merchant text not null,
    id text not null,
    number bigint not null,
    name text not null,
    gateway text not null,
    base_url text,
    test bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    removed_at bigint,
    config text not null,
    constraint accounts_merchant_id primary key (merchant, id),
    constraint accounts_merchant_number unique (merchant, number)
);

-- A removed account gives its name free.
create unique index accounts_merchant_name on accounts (merchant, name) where removed_at is null;

create table api_keys (
    id text not null constraint api_keys_id primary key,
    merchant text not null,
    hash bytea not null constraint api_keys_hash unique,
    hint text not null,
    name text not null,
    scopes text not null,
    sandbox bigint not null,
    created_at bigint not null,
    expires_at bigint,
    revoked_at bigint
);

create index api_keys_by_merchant on api_keys (merchant);

-- The guard of every payment: who writes a version first has won it.
create table events (
    merchant text not null,
    payment text not null,
    version bigint not null,
    id text not null,
    at bigint not null,
    schema bigint not null,
    body text not null,
    constraint events_merchant_payment_version primary key (merchant, payment, version)
);

create table payments (
    merchant text not null,
    id text not null,
    version bigint not null,
    status text not null,
    kind text not null,
    amount_minor bigint,
    currency text,
    merchant_ref text,
    created_at bigint not null,
    updated_at bigint not null,
    schema bigint not null,
    snapshot text not null,
    constraint payments_merchant_id primary key (merchant, id)
);

create table outbox (
    id text not null constraint outbox_id primary key,
    merchant text not null,
    payment text not null,
    version bigint not null,
    due_at bigint not null,
    attempts bigint not null,
    body text not null
);

create index outbox_by_due on outbox (due_at, id);

create table timers (
    merchant text not null,
    payment text not null,
    call text not null,
    kind text not null,
    due_at bigint not null,
    attempt bigint not null,
    node text not null,
    boot text not null,
    constraint timers_merchant_payment_call primary key (merchant, payment, call)
);

create index timers_by_due on timers (due_at);

create table idempotency (
    merchant text not null,
    key text not null,
    fingerprint bytea not null,
    payment text not null,
    call text not null,
    created_at bigint not null,
    expires_at bigint not null,
    constraint idempotency_merchant_key primary key (merchant, key)
);

create index idempotency_by_expiry on idempotency (expires_at);

-- `account` is empty where there is none: a primary key takes no null.
create table payment_references (
    merchant text not null,
    kind text not null,
    value text not null,
    account text not null,
    payment text not null,
    call text not null,
    created_at bigint not null,
    constraint payment_references_key primary key (merchant, kind, value, account, payment, call)
);
