//! The statements, once, for both databases, by the rules of the other statements.

use crate::sql::{Query, read, write};

macro_rules! listed {
    () => {
        "merchant, kind, id, payment, call, owner, profile, several, status, currency, amount, \
         account, connector, method, method_type, authentication, network, reference, created_at"
    };
}

/// What the index by time holds stays as first written.
pub(crate) static LIST: Query = write(
    3,
    concat!(
        "insert into listed (",
        listed!(),
        ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) \
         on conflict (merchant, kind, id) do update set payment = excluded.payment, \
         call = excluded.call, owner = excluded.owner, profile = excluded.profile, \
         several = excluded.several, status = excluded.status, currency = excluded.currency, \
         amount = excluded.amount, account = excluded.account, connector = excluded.connector, \
         method = excluded.method, method_type = excluded.method_type, \
         authentication = excluded.authentication, network = excluded.network, \
         reference = excluded.reference"
    ),
);

macro_rules! stands {
    () => {
        "update listed set status = case when several = 1 then $6 else $5 end, account = $7, \
         connector = $8, amount = coalesce(cast($9 as bigint), amount) \
         where kind = $2 and payment = $4"
    };
}

pub(crate) static RELIST: Query = write(3, concat!(stands!(), " and merchant = $1 and id = $3"));

/// The same for many objects, a column's values in an array each: on PostgreSQL.
pub(crate) const RELIST_MANY: &str = "update listed set \
    status = case when several = 1 then n.of_several else n.of_one end, \
    account = n.account, connector = n.connector, amount = coalesce(n.amount, listed.amount) \
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[]) \
    as n (merchant, kind, id, payment, of_one, of_several, account, connector, amount) \
    where listed.merchant = n.merchant and listed.kind = n.kind and listed.id = n.id \
    and listed.payment = n.payment";

pub(super) static RELIST_CALL: Query =
    write(3, concat!(stands!(), " and merchant || '' = $1 and owner = $3 and call = $10"));

// Lists of words come as one text with a comma before and behind each.
macro_rules! filters {
    () => {
        " from listed where merchant || '' = $1 and kind = $2 and created_at >= $3 and created_at <= $4 \
         and (created_at > $3 or cast($5 as text) is null or id > $5) \
         and (created_at < $4 or cast($6 as text) is null or id < $6) \
         and (cast($7 as text) is null or id = $7) \
         and (cast($8 as text) is null or profile = $8) \
         and (cast($9 as text) is null or reference = $9) \
         and (cast($10 as bigint) is null or amount >= $10) \
         and (cast($11 as bigint) is null or amount <= $11) \
         and (cast($12 as text) is null or $12 like '%,' || status || ',%') \
         and (cast($13 as text) is null or $13 like '%,' || currency || ',%') \
         and (cast($14 as text) is null or $14 like '%,' || account || ',%') \
         and (cast($15 as text) is null or $15 like '%,' || connector || ',%') \
         and (cast($16 as text) is null or $16 like '%,' || method || ',%') \
         and (cast($17 as text) is null or $17 like '%,' || method_type || ',%') \
         and (cast($18 as text) is null or $18 like '%,' || authentication || ',%') \
         and (cast($19 as text) is null or $19 like '%,' || network || ',%')"
    };
}

// With nothing but a time to go by, the index alone is read.
macro_rules! in_time {
    () => {
        " from listed where merchant || '' = $1 and kind = $2 and created_at >= $3 and created_at <= $4 \
         and (created_at > $3 or cast($5 as text) is null or id > $5) \
         and (created_at < $4 or cast($6 as text) is null or id < $6)"
    };
}

pub(super) static COUNT: Query = read(concat!("select count(*)", filters!()));

pub(super) static COUNT_OF_OWNER: Query =
    read(concat!("select count(*)", filters!(), " and owner = $20"));

pub(super) static COUNT_IN_TIME: Query = read(concat!("select count(*)", in_time!()));

// A page is found in the narrow table; only its own rows are looked up in the wide ones.
macro_rules! page {
    ([$($of:tt)*], $limit:literal, $by:literal, $then:literal) => {
        concat!(
            "select d.merchant, d.kind, d.id, d.version, d.owner, d.status, d.created_at, \
             d.updated_at, d.removed_at, d.schema, d.body, \
             p.merchant, p.id, p.version, p.status, p.kind, p.amount_minor, p.currency, \
             p.merchant_ref, p.test, p.account, p.created_at, p.updated_at, p.schema, p.snapshot \
             from (select id, payment, created_at, amount",
            $($of)*,
            " order by ",
            $by,
            " limit ",
            $limit,
            ") l join documents d on d.merchant = $1 and d.kind = $2 and d.id = l.id \
             left join payments p on p.merchant = $1 and p.id = l.payment order by ",
            $then
        )
    };
}

macro_rules! pages {
    ($($name:ident, $of_owner:ident, $in_time:ident: $by:literal, $then:literal;)*) => {
        $(
            pub(super) static $name: Query =
                read(page!([filters!()], "$20 offset $21", $by, $then));
            pub(super) static $of_owner: Query =
                read(page!([filters!(), " and owner = $22"], "$20 offset $21", $by, $then));
            pub(super) static $in_time: Query =
                read(page!([in_time!()], "$7 offset $8", $by, $then));
        )*
    };
}

pages! {
    NEWEST, NEWEST_OF_OWNER, NEWEST_IN_TIME:
        "created_at desc, id desc", "l.created_at desc, l.id desc";
    OLDEST, OLDEST_OF_OWNER, OLDEST_IN_TIME:
        "created_at, id", "l.created_at, l.id";
    HIGHEST, HIGHEST_OF_OWNER, HIGHEST_IN_TIME:
        "amount desc, created_at desc, id desc", "l.amount desc, l.created_at desc, l.id desc";
    LOWEST, LOWEST_OF_OWNER, LOWEST_IN_TIME:
        "amount, created_at desc, id desc", "l.amount, l.created_at desc, l.id desc";
}
