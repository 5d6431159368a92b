-- What payments are listed by (what 0.1 made was for tests only), and the certificates that a merchant shows to its providers.

alter table payments add column test bigint not null default 1;
alter table payments add column account text;

create index payments_by_time on payments (merchant, test, created_at, id);
create index payments_by_reference on payments (merchant, merchant_ref, created_at);

-- The certificate itself is in the vault, under `record`; here is what may be shown of it.
create table certificates (
    merchant text not null,
    name text not null,
    test bigint not null,
    record text not null,
    subject text not null,
    not_after bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    constraint certificates_merchant_name primary key (merchant, test, name)
);
