-- What payments are listed by (what 0.1 made was for tests only).

alter table payments add column test bigint not null default 1;
alter table payments add column account text;

create index payments_by_time on payments (merchant, test, created_at, id);
create index payments_by_reference on payments (merchant, merchant_ref, created_at);
