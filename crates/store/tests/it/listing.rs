//! Lists: pages of payments.

use std::sync::Arc;

use baton_store::{PaymentQuery, PaymentRow, ReferenceKind, ReferenceRow, Store, Write};
use baton_types::PaymentId;

use crate::support::*;

fn all() -> PaymentQuery {
    PaymentQuery {
        merchant: merchant(),
        test: true,
        from: at(0),
        to: at(i64::MAX),
        after: None,
        account: None,
        kinds: vec![],
        statuses: vec![],
        merchant_ref: None,
        limit: 100,
    }
}

async fn seed(store: &dyn Store) {
    // Three of them in one millisecond: then the id decides.
    for (no, created) in [(1, 10), (2, 20), (3, 20), (4, 20), (5, 30), (6, 40)] {
        let row = PaymentRow {
            created_at: at(created),
            status: if no == 5 { "failed" } else { "captured" }.into(),
            kind: if no == 4 { "authorize" } else { "charge" }.into(),
            account: (no % 2 == 0).then(|| id(90)),
            merchant_ref: (no <= 2).then(|| "order, 1".into()),
            test: no != 6,
            ..payment(id(no), 1, "s")
        };
        let named = row.merchant_ref.as_ref().map(|value| {
            let kind = ReferenceKind::Merchant;
            Write::Reference(ReferenceRow { kind, ..reference(value, None, id(no), 0) })
        });
        let writes = [Write::Payment(row), Write::Event(event(id(no), 1, no))];
        assert_eq!(store.commit(set(writes.into_iter().chain(named))).await, Ok(()));
    }
}

async fn listed(store: &dyn Store, query: &PaymentQuery) -> Vec<PaymentId> {
    store.payments(query).await.unwrap().into_iter().map(|row| row.id).collect()
}

pub async fn payments_are_listed_by_time_and_by_what_they_are(store: Arc<dyn Store>) {
    let store = store.as_ref();
    seed(store).await;
    let ids = |list: &[u64]| list.iter().map(|no| id(*no)).collect::<Vec<PaymentId>>();
    #[rustfmt::skip]
    let rows: Vec<(PaymentQuery, &[u64])> = vec![
        (all(),                                                       &[5, 4, 3, 2, 1]),
        (PaymentQuery { test: false, ..all() },                       &[6]),
        (PaymentQuery { merchant: id(2), ..all() },                   &[]),
        (PaymentQuery { from: at(20), to: at(20), ..all() },          &[4, 3, 2]),
        (PaymentQuery { from: at(21), ..all() },                      &[5]),
        (PaymentQuery { account: Some(id(90)), ..all() },             &[4, 2]),
        (PaymentQuery { kinds: vec!["authorize".into()], ..all() },   &[4]),
        (PaymentQuery { kinds: vec!["char".into()], ..all() },        &[]),
        (PaymentQuery { statuses: vec!["failed".into(), "voided".into()], ..all() }, &[5]),
        (PaymentQuery { statuses: vec!["%".into()], ..all() },        &[]),
        (PaymentQuery { merchant_ref: Some("order, 1".into()), ..all() }, &[2, 1]),
        (PaymentQuery { merchant_ref: Some("' or 1=1".into()), ..all() }, &[]),
        (PaymentQuery { after: Some((at(20), id(3))), ..all() },      &[2, 1]),
        (PaymentQuery { after: Some((at(20), id(3))), to: at(15), ..all() }, &[1]),
        (PaymentQuery { limit: 2, ..all() },                          &[5, 4]),
    ];
    for (query, want) in rows {
        assert_eq!(listed(store, &query).await, ids(want), "{query:?}");
    }
}

pub async fn pages_follow_each_other_without_a_gap(store: Arc<dyn Store>) {
    let store = store.as_ref();
    seed(store).await;
    for limit in 1..=3 {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let rows = store.payments(&PaymentQuery { after, limit, ..all() }).await.unwrap();
            let Some(last) = rows.last() else { break };
            after = Some((last.created_at, last.id));
            seen.extend(rows.iter().map(|row| row.id));
        }
        assert_eq!(seen, listed(store, &all()).await, "pages of {limit}");
    }
}
