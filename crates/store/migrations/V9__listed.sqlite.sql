-- SQLite keeps a table in one tree by a number of its own, and its primary key in another: here one is enough.
drop table listed;

create table listed (
    merchant text not null,
    kind text not null,
    id text not null,
    payment text,
    call text,
    owner text not null,
    profile text not null,
    several bigint not null,
    status text not null,
    currency text not null,
    amount bigint not null,
    account text,
    connector text,
    method text,
    method_type text,
    authentication text,
    network text,
    reference text,
    created_at bigint not null,
    constraint listed_merchant_kind_id primary key (merchant, kind, id)
) without rowid;

create index listed_by_time on listed (merchant, kind, created_at, id);

create index listed_by_owner on listed (merchant, kind, owner, created_at, id);
