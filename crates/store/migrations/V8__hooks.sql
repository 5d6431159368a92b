-- What merchants are told by webhook. A stream is told in order, one event at a time: `due_at` is when the first
-- of its events that waits is sent next, or until when a worker holds it; none when nothing waits.
create table hook_streams (
    merchant text not null,
    id text not null,
    profile text not null,
    state text not null,
    due_at bigint,
    updated_at bigint not null,
    constraint hook_streams_merchant_id primary key (merchant, id)
);

create index hook_streams_by_due on hook_streams (due_at) where due_at is not null;

create index hook_streams_idle on hook_streams (updated_at) where due_at is null;

create table hook_events (
    merchant text not null,
    id text not null,
    stream text not null,
    seq bigint not null,
    profile text not null,
    object text not null,
    class text not null,
    kind text not null,
    state text not null,
    attempts bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    body text not null,
    constraint hook_events_merchant_id primary key (merchant, id)
);

create index hook_events_pending on hook_events (merchant, stream, seq) where state = 'pending';

create index hook_events_by_time on hook_events (merchant, created_at, id);

create index hook_events_by_object on hook_events (merchant, object, created_at);

create index hook_events_ended on hook_events (updated_at) where state <> 'pending';

create table hook_attempts (
    merchant text not null,
    event text not null,
    id text not null,
    kind text not null,
    at bigint not null,
    took_ms bigint not null,
    status bigint,
    error text,
    request text not null,
    response text not null,
    constraint hook_attempts_merchant_event_id primary key (merchant, event, id)
);

create index hook_attempts_by_time on hook_attempts (at);
