//! Rows as statements, and lists on a relational database.

use async_trait::async_trait;

use super::{ListOrder, ListQuery, ListStore, ListedRow, Listing, Relist, Relisted, sql};
use crate::compile::Value;
use crate::decode::{Columns, Decode};
use crate::relational::{Backend, Relational, words};
use crate::rows::{DocumentRow, PaymentRow};
use crate::sql::Query;
use crate::store::StoreError;

/// What makes an object listed, or changes how it is.
pub(crate) fn listed(row: ListedRow) -> (&'static Query, Vec<Value>) {
    let params = vec![
        row.merchant.into(),
        row.kind.into(),
        row.id.into(),
        row.payment.into(),
        row.call.into(),
        row.owner.into(),
        row.profile.into(),
        row.several.into(),
        row.status.into(),
        row.currency.into(),
        row.amount.into(),
        row.account.into(),
        row.connector.into(),
        row.method.into(),
        row.method_type.into(),
        row.authentication.into(),
        row.network.into(),
        row.reference.into(),
        row.created_at.into(),
    ];
    (&sql::LIST, params)
}

/// What changes how a listed object stands.
pub(crate) fn relisted(row: Relisted) -> (&'static Query, Vec<Value>) {
    let (query, key, call) = match row.which {
        Relist::Object(id) => (&sql::RELIST, id, None),
        Relist::Call { owner, call } => (&sql::RELIST_CALL, owner, Some(call)),
    };
    let mut params = vec![
        row.merchant.into(),
        row.kind.into(),
        key.into(),
        row.payment.into(),
        row.status.into(),
        row.status_of_several.into(),
        row.account.into(),
        row.connector.into(),
        row.amount.into(),
    ];
    params.extend(call.map(Value::from));
    (query, params)
}

/// Whether a list is restricted by nothing but time.
fn is_plain(query: &ListQuery) -> bool {
    let all = ListQuery::of(query.merchant, &query.kind);
    let ListQuery { from, to, order, limit, offset, .. } = *query;
    let (from_id, to_id) = (query.from_id.clone(), query.to_id.clone());
    *query == ListQuery { from, to, from_id, to_id, order, limit, offset, ..all }
}

fn time(query: &ListQuery) -> Vec<Value> {
    vec![
        query.merchant.into(),
        query.kind.as_str().into(),
        query.from.into(),
        query.to.into(),
        query.from_id.clone().into(),
        query.to_id.clone().into(),
    ]
}

fn filters(query: &ListQuery) -> Vec<Value> {
    let mut params = time(query);
    params.extend([
        query.id.clone().into(),
        query.profile.clone().into(),
        query.reference.clone().into(),
        query.least.into(),
        query.most.into(),
        words(&query.statuses),
        words(&query.currencies),
        words(&query.accounts),
        words(&query.connectors),
        words(&query.methods),
        words(&query.method_types),
        words(&query.authentications),
        words(&query.networks),
    ]);
    params
}

impl Decode for Listing {
    fn decode(row: &mut Columns) -> Result<Self, StoreError> {
        let document = DocumentRow::decode(row)?;
        let payment = if row.is_null() { None } else { Some(PaymentRow::decode(row)?) };
        Ok((document, payment))
    }
}

#[async_trait]
impl<B: Backend> ListStore for Relational<B> {
    async fn listed(&self, query: &ListQuery) -> Result<Vec<Listing>, StoreError> {
        let (all, of_owner, in_time) = match query.order {
            ListOrder::Newest => (&sql::NEWEST, &sql::NEWEST_OF_OWNER, &sql::NEWEST_IN_TIME),
            ListOrder::Oldest => (&sql::OLDEST, &sql::OLDEST_OF_OWNER, &sql::OLDEST_IN_TIME),
            ListOrder::Highest => (&sql::HIGHEST, &sql::HIGHEST_OF_OWNER, &sql::HIGHEST_IN_TIME),
            ListOrder::Lowest => (&sql::LOWEST, &sql::LOWEST_OF_OWNER, &sql::LOWEST_IN_TIME),
        };
        let plain = is_plain(query);
        let mut params = if plain { time(query) } else { filters(query) };
        params.extend([query.limit.into(), query.offset.into()]);
        let text = match &query.owner {
            _ if plain => in_time,
            None => all,
            Some(owner) => {
                params.push(owner.as_str().into());
                of_owner
            }
        };
        self.all(text, params).await
    }

    async fn count_listed(&self, query: &ListQuery) -> Result<u64, StoreError> {
        let plain = is_plain(query);
        let mut params = if plain { time(query) } else { filters(query) };
        let text = match &query.owner {
            _ if plain => &sql::COUNT_IN_TIME,
            None => &sql::COUNT,
            Some(owner) => {
                params.push(owner.as_str().into());
                &sql::COUNT_OF_OWNER
            }
        };
        Ok(self.one(text, params).await?.unwrap_or_default())
    }
}
