-- SQLite keeps a table in one tree by a number of its own, and its primary key in another. What is found by its
-- primary key alone needs the second only. Payments and events stay as they are: their rows are long.
create table new_outbox (
    id text not null constraint outbox_id primary key,
    merchant text not null,
    payment text not null,
    version bigint not null,
    due_at bigint not null,
    attempts bigint not null,
    body text not null
) without rowid;
insert into new_outbox select id, merchant, payment, version, due_at, attempts, body from outbox order by id;
drop table outbox;
alter table new_outbox rename to outbox;
create index outbox_by_due on outbox (due_at, id);

create table new_timers (
    merchant text not null,
    payment text not null,
    call text not null,
    kind text not null,
    due_at bigint not null,
    attempt bigint not null,
    node text not null,
    boot text not null,
    constraint timers_merchant_payment_call primary key (merchant, payment, call)
) without rowid;
insert into new_timers select merchant, payment, call, kind, due_at, attempt, node, boot from timers
    order by merchant, payment, call;
drop table timers;
alter table new_timers rename to timers;
create index timers_by_due on timers (due_at);
create index timers_in_doubt on timers (payment, call) where kind = 'resolve';

create table new_idempotency (
    merchant text not null,
    key text not null,
    fingerprint bytea not null,
    payment text not null,
    call text not null,
    created_at bigint not null,
    expires_at bigint not null,
    constraint idempotency_merchant_key primary key (merchant, key)
) without rowid;
insert into new_idempotency select merchant, key, fingerprint, payment, call, created_at, expires_at
    from idempotency order by merchant, key;
drop table idempotency;
alter table new_idempotency rename to idempotency;
create index idempotency_by_expiry on idempotency (expires_at);

create table new_guards (
    merchant text not null,
    key text not null,
    payment text not null,
    created_at bigint not null,
    constraint guards_merchant_key primary key (merchant, key)
) without rowid;
insert into new_guards select merchant, key, payment, created_at from guards order by merchant, key;
drop table guards;
alter table new_guards rename to guards;

create table new_payment_references (
    merchant text not null,
    kind text not null,
    value text not null,
    account text not null,
    payment text not null,
    call text not null,
    created_at bigint not null,
    constraint payment_references_key primary key (merchant, kind, value, account, payment, call)
) without rowid;
insert into new_payment_references select merchant, kind, value, account, payment, call, created_at
    from payment_references order by merchant, kind, value, account, payment, call;
drop table payment_references;
alter table new_payment_references rename to payment_references;
