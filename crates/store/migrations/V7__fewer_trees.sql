-- A payment's own reference is among the references, by which it is also listed: one tree less to write.
drop index payments_by_reference;
