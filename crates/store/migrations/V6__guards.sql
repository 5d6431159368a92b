-- Who has which purchase under way. A row stands from the commit that plans a payment's first attempt to the
-- commit after which none of its attempts can move money any more; one merchant has a key once.
--
-- `key` is a card's keyed fingerprint with amount and currency, or the merchant's own reference.
create table guards (
    merchant text not null,
    key text not null,
    payment text not null,
    created_at bigint not null,
    constraint guards_merchant_key primary key (merchant, key)
);

-- Calls in doubt over all merchants, oldest payment first; there are few.
create index timers_in_doubt on timers (payment, call) where kind = 'resolve';
