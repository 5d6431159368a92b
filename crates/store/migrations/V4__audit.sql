-- The audit log: one chain per database. `seq` is the guard of its end: who writes a number first has it, and
-- `prev` names the hash of the entry before, so that the chain cannot fork.
--
-- Nothing in the program changes or deletes a row. The references below are what both databases offer
-- against doing so by hand: an entry that another follows can be neither deleted nor given another hash.
-- Triggers that refuse every update cannot be written once for both; the hashes tell what these let pass.
create table audit (
    seq bigint not null constraint audit_seq primary key,
    at bigint not null,
    merchant text,
    actor text not null,
    action text not null,
    subject text not null,
    detail text not null,
    request_id text,
    prev bytea constraint audit_prev unique,
    hash bytea not null constraint audit_hash unique,
    constraint audit_follows foreign key (prev) references audit (hash),
    constraint audit_starts check (seq >= 1 and (seq = 1) = (prev is null)),
    constraint audit_sizes check (length(hash) = 32 and (prev is null or (length(prev) = 32 and prev <> hash)))
);

-- Who has seen this token, who has changed this account: the one question that must not read the whole log.
create index audit_by_subject on audit (subject, seq);
