-- What payments and refunds are listed by: a narrow row per object, written in the commits that change it. Its indexes
-- hold nothing of what changes often. `several` says which of two states counts that a change may name.
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
);

create index listed_by_time on listed (merchant, kind, created_at, id);

create index listed_by_owner on listed (merchant, kind, owner, created_at, id);
