-- Objects that are found by their id or listed by what they belong to: profiles, customers, payment methods,
-- intents. Their content is opaque here. The check is the guard: an update that does not follow the version
-- that is there writes 0, and fails by itself.
create table documents (
    merchant text not null,
    kind text not null,
    id text not null,
    version bigint not null constraint documents_version check (version > 0),
    owner text not null,
    status text not null,
    created_at bigint not null,
    updated_at bigint not null,
    removed_at bigint,
    schema bigint not null,
    body text not null,
    constraint documents_merchant_kind_id primary key (merchant, kind, id)
);

create index documents_by_time on documents (merchant, kind, created_at, id);

create index documents_by_owner on documents (merchant, kind, owner, created_at, id);
