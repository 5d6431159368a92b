-- Where a table is new, or most merchants have few rows, PostgreSQL reckons that any index that begins with the merchant finds
-- a row by its id as well as the primary key does, and may then read all rows of a merchant for one. So these begin with an
-- expression instead, and serve only the statements that ask by it.
drop index payments_by_time;
create index payments_by_time on payments ((merchant || ''), test, created_at, id);

drop index documents_by_time;
create index documents_by_time on documents ((merchant || ''), kind, created_at, id);

drop index documents_by_owner;
create index documents_by_owner on documents ((merchant || ''), kind, owner, created_at, id);

drop index listed_by_time;
-- Also the merchant itself: a count by time is then read from the index alone.
create index listed_by_time on listed ((merchant || ''), kind, created_at, id, merchant);

drop index listed_by_owner;
create index listed_by_owner on listed ((merchant || ''), kind, owner, created_at, id);

drop index hook_events_by_time;
create index hook_events_by_time on hook_events ((merchant || ''), created_at, id);

drop index hook_events_by_object;
create index hook_events_by_object on hook_events ((merchant || ''), object, created_at);
