//! Lists in memory.

use std::cmp::Reverse;

use async_trait::async_trait;

use super::{ListOrder, ListQuery, ListStore, ListedRow, Listing, Relist, Relisted};
use crate::memory::tables::Tables;
use crate::memory::{MemoryStore, count};
use crate::store::StoreError;

impl Tables {
    pub(crate) fn list(&mut self, row: ListedRow) {
        let key = (row.merchant, row.kind.clone(), row.id.clone());
        let created_at = self.listed.get(&key).map_or(row.created_at, |before| before.created_at);
        self.listed.put(key, ListedRow { created_at, ..row });
    }

    pub(crate) fn relist(&mut self, change: Relisted) {
        let is_it = |row: &ListedRow| match &change.which {
            Relist::Object(id) => row.id == *id,
            Relist::Call { owner, call } => row.owner == *owner && row.call.as_ref() == Some(call),
        };
        let rows = self.listed.filter(|row| {
            (row.merchant, row.kind.as_str()) == (change.merchant, change.kind.as_str())
                && row.payment == Some(change.payment)
                && is_it(row)
        });
        for row in rows {
            let status = if row.several { &change.status_of_several } else { &change.status };
            let (account, connector) = (change.account.clone(), change.connector.clone());
            let (status, amount) = (status.clone(), change.amount.unwrap_or(row.amount));
            let key = (row.merchant, row.kind.clone(), row.id.clone());
            self.listed.put(key, ListedRow { status, amount, account, connector, ..row });
        }
    }
}

#[async_trait]
impl ListStore for MemoryStore {
    async fn listed(&self, query: &ListQuery) -> Result<Vec<Listing>, StoreError> {
        let tables = &self.lock().tables;
        let mut rows = tables.listed.filter(|row| query.takes(row));
        match query.order {
            ListOrder::Newest => rows.sort_by_key(|row| Reverse((row.created_at, row.id.clone()))),
            ListOrder::Oldest => rows.sort_by_key(|row| (row.created_at, row.id.clone())),
            ListOrder::Highest => {
                rows.sort_by_key(|row| Reverse((row.amount, row.created_at, row.id.clone())));
            }
            ListOrder::Lowest => {
                rows.sort_by_key(|row| (row.amount, Reverse((row.created_at, row.id.clone()))));
            }
        }
        let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let page = rows.into_iter().skip(size(query.offset)).take(size(query.limit));
        let found = page.filter_map(|row| {
            let document = tables.documents.get(&(row.merchant, row.kind, row.id))?;
            let payment = row.payment.and_then(|id| tables.payments.get(&(row.merchant, id)));
            Some((document, payment))
        });
        Ok(found.collect())
    }

    async fn count_listed(&self, query: &ListQuery) -> Result<u64, StoreError> {
        Ok(count(self.lock().tables.listed.filter(|row| query.takes(row)).len()))
    }
}
