-- A key's own limit of requests per second; null is the node's default.
alter table api_keys add column rate_limit bigint;
