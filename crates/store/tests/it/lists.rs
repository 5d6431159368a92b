//! Lists of objects by what they are: every filter, order and page against a plain search, and how rows follow.

use std::sync::Arc;

use baton_store::{
    CommitError, DocumentRow, Guard, ListOrder, ListQuery, ListedRow, Relist, Relisted, Store,
    Write,
};

use crate::support::*;

const KIND: &str = "intent";
const STATUSES: [&str; 3] = ["succeeded", "failed", "requires_capture"];
const CURRENCIES: [&str; 2] = ["EUR", "USD"];
const NETWORKS: [&str; 3] = ["visa", "amex", "jcb"];

fn pick(from: &[&str], n: u64) -> String {
    from[usize::try_from(n).unwrap() % from.len()].to_owned()
}

/// Several in one millisecond, several of one amount, half of them with a payment.
pub fn row(n: u64) -> ListedRow {
    ListedRow {
        merchant: if n % 10 == 9 { id(2) } else { merchant() },
        kind: if n % 10 == 8 { "refund".into() } else { KIND.into() },
        id: format!("pay_{n:03}"),
        payment: n.is_multiple_of(2).then(|| id(n)),
        call: (n % 10 == 8).then(|| format!("r{n}")),
        owner: if n.is_multiple_of(3) { String::new() } else { format!("c{}", n % 4) },
        profile: format!("pro_{}", n % 2),
        several: n.is_multiple_of(5),
        status: pick(&STATUSES, n / 2),
        currency: pick(&CURRENCIES, n / 3),
        amount: i64::try_from(n % 7).unwrap() * 100,
        account: n.is_multiple_of(2).then(|| format!("mca_{}", n % 3)),
        connector: n.is_multiple_of(2).then(|| pick(&["stripe", "adyen"], n / 4)),
        method: (n % 4 != 1).then(|| "card".into()),
        method_type: n.is_multiple_of(6).then(|| "credit".into()),
        authentication: Some(pick(&["three_ds", "no_three_ds"], n / 5)),
        network: (n % 4 != 1).then(|| pick(&NETWORKS, n)),
        reference: n.is_multiple_of(11).then(|| "order, 1".into()),
        created_at: at(i64::try_from(n / 4).unwrap() * 10),
    }
}

pub fn document(row: &ListedRow) -> DocumentRow {
    DocumentRow {
        merchant: row.merchant,
        kind: row.kind.clone(),
        id: row.id.clone(),
        version: 1,
        owner: row.owner.clone(),
        status: String::new(),
        created_at: row.created_at,
        updated_at: row.created_at,
        removed_at: None,
        schema: 1,
        body: format!("of {}", row.id),
    }
}

fn writes(row: &ListedRow) -> Vec<Write> {
    let mut writes = vec![Write::Document(document(row)), Write::Listed(row.clone())];
    if let Some(made) = row.payment {
        let made = baton_store::PaymentRow { merchant: row.merchant, ..payment(made, 1, &row.id) };
        writes.push(Write::Event(baton_store::EventRow {
            merchant: row.merchant,
            ..event(made.id, 1, 1)
        }));
        writes.push(Write::Payment(made));
    }
    writes
}

async fn listed(store: &dyn Store, query: &ListQuery) -> Vec<String> {
    let page = store.lists().listed(query).await.unwrap();
    for (document, payment) in &page {
        assert_eq!(document.body, format!("of {}", document.id));
        let snapshot = payment.as_ref().map(|payment| payment.snapshot.as_str());
        assert!(snapshot.is_none_or(|snapshot| snapshot == document.id), "{payment:?}");
    }
    page.into_iter().map(|(document, _)| document.id).collect()
}

/// The same by a plain search.
fn searched(rows: &[ListedRow], query: &ListQuery) -> Vec<String> {
    let one_of = |list: &[String], word: Option<&String>| {
        list.is_empty() || word.is_some_and(|word| list.contains(word))
    };
    let mut found: Vec<&ListedRow> = rows
        .iter()
        .filter(|row| row.merchant == query.merchant && row.kind == query.kind)
        .filter(|row| row.created_at >= query.from && row.created_at <= query.to)
        .filter(|row| {
            row.created_at > query.from || query.from_id.as_ref().is_none_or(|id| row.id > *id)
        })
        .filter(|row| {
            row.created_at < query.to || query.to_id.as_ref().is_none_or(|id| row.id < *id)
        })
        .filter(|row| query.id.as_ref().is_none_or(|id| row.id == *id))
        .filter(|row| query.owner.as_ref().is_none_or(|owner| row.owner == *owner))
        .filter(|row| query.profile.as_ref().is_none_or(|profile| row.profile == *profile))
        .filter(|row| query.reference.is_none() || row.reference == query.reference)
        .filter(|row| query.least.is_none_or(|least| row.amount >= least))
        .filter(|row| query.most.is_none_or(|most| row.amount <= most))
        .filter(|row| one_of(&query.statuses, Some(&row.status)))
        .filter(|row| one_of(&query.currencies, Some(&row.currency)))
        .filter(|row| one_of(&query.accounts, row.account.as_ref()))
        .filter(|row| one_of(&query.connectors, row.connector.as_ref()))
        .filter(|row| one_of(&query.methods, row.method.as_ref()))
        .filter(|row| one_of(&query.method_types, row.method_type.as_ref()))
        .filter(|row| one_of(&query.authentications, row.authentication.as_ref()))
        .filter(|row| one_of(&query.networks, row.network.as_ref()))
        .collect();
    found.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
    match query.order {
        ListOrder::Newest => {}
        ListOrder::Oldest => found.reverse(),
        ListOrder::Highest => found.sort_by_key(|row| std::cmp::Reverse(row.amount)),
        ListOrder::Lowest => found.sort_by_key(|row| row.amount),
    }
    found.into_iter().map(|row| row.id.clone()).collect()
}

fn queries() -> Vec<ListQuery> {
    let all = || ListQuery { limit: 100, ..ListQuery::of(merchant(), KIND) };
    let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let text = |word: &str| Some(word.to_owned());
    vec![
        all(),
        ListQuery { kind: "refund".into(), ..all() },
        ListQuery { merchant: id(2), ..all() },
        ListQuery { merchant: id(3), ..all() },
        ListQuery { from: at(30), to: at(90), ..all() },
        ListQuery { from: at(30), from_id: text("pay_013"), ..all() },
        ListQuery { to: at(90), to_id: text("pay_037"), ..all() },
        ListQuery { id: text("pay_017"), ..all() },
        ListQuery { owner: text("c1"), ..all() },
        ListQuery { owner: text("c2"), statuses: words(&["failed"]), ..all() },
        ListQuery { owner: text("nobody"), ..all() },
        ListQuery { profile: text("pro_1"), ..all() },
        ListQuery { reference: text("order, 1"), ..all() },
        ListQuery { least: Some(300), ..all() },
        ListQuery { least: Some(100), most: Some(400), ..all() },
        ListQuery { statuses: words(&["succeeded"]), ..all() },
        ListQuery { statuses: words(&["succeeded", "requires_capture"]), ..all() },
        ListQuery { statuses: words(&["succeed", "requires"]), ..all() },
        ListQuery { currencies: words(&["EUR"]), ..all() },
        ListQuery { accounts: words(&["mca_0", "mca_2"]), ..all() },
        ListQuery { connectors: words(&["stripe"]), ..all() },
        ListQuery { methods: words(&["card"]), ..all() },
        ListQuery { method_types: words(&["credit", "debit"]), ..all() },
        ListQuery { authentications: words(&["three_ds"]), ..all() },
        ListQuery { networks: words(&["visa", "jcb"]), ..all() },
        ListQuery { networks: words(&["-Interac"]), ..all() },
    ]
}

const ORDERS: [ListOrder; 4] =
    [ListOrder::Newest, ListOrder::Oldest, ListOrder::Highest, ListOrder::Lowest];

pub async fn objects_are_listed_by_what_they_are(store: Arc<dyn Store>) {
    let store = store.as_ref();
    let rows: Vec<ListedRow> = (0..60).map(row).collect();
    for row in &rows {
        assert_eq!(store.commit(set(writes(row))).await, Ok(()));
    }
    let mut nonempty = 0;
    for query in queries() {
        for order in ORDERS {
            let query = ListQuery { order, ..query.clone() };
            let want = searched(&rows, &query);
            assert_eq!(listed(store, &query).await, want, "{query:?}");
            let count = store.lists().count_listed(&query).await.unwrap();
            assert_eq!(count, u64::try_from(want.len()).unwrap(), "{query:?}");
            nonempty += usize::from(!want.is_empty());
            // Its pages are the list.
            let mut pages = Vec::new();
            while pages.len() < want.len() {
                let offset = u32::try_from(pages.len()).unwrap();
                let page = ListQuery { limit: 7, offset, ..query.clone() };
                assert_eq!(store.lists().count_listed(&page).await.unwrap(), count);
                let page = listed(store, &page).await;
                assert!(!page.is_empty(), "{query:?}");
                pages.extend(page);
            }
            assert_eq!(pages, want, "{query:?}");
        }
    }
    assert!(nonempty > 80, "{nonempty}");
}

pub async fn a_listed_object_follows_the_payment_that_decides(store: Arc<dyn Store>) {
    let store = store.as_ref();
    let rows: Vec<ListedRow> = [10, 11, 12, 18].map(row).into();
    for row in &rows {
        assert_eq!(store.commit(set(writes(row))).await, Ok(()));
    }
    let statuses = async || {
        let mut found = Vec::new();
        for row in &rows {
            let mut of_row = Vec::new();
            for status in ["succeeded", "failed", "requires_capture", "one", "other"] {
                let query = ListQuery {
                    id: Some(row.id.clone()),
                    statuses: vec![status.to_owned()],
                    connectors: if status == "one" { vec!["new".into()] } else { vec![] },
                    ..ListQuery::of(merchant(), &row.kind)
                };
                if store.lists().count_listed(&query).await.unwrap() > 0 {
                    of_row.push(status);
                }
            }
            found.push(of_row.join(" "));
        }
        found.join(", ")
    };
    let change = |which, kind: &str, payment| {
        Write::Relisted(Relisted {
            merchant: merchant(),
            kind: kind.into(),
            which,
            payment,
            status: "one".into(),
            status_of_several: "other".into(),
            amount: None,
            account: Some("mca_9".into()),
            connector: Some("new".into()),
        })
    };
    let object = |n: u64| Relist::Object(format!("pay_{n:03}"));
    let call = |call: &str| Relist::Call { owner: row(18).owner, call: call.into() };
    assert_eq!(statuses().await, "requires_capture, requires_capture, succeeded, succeeded");
    let before = "requires_capture, requires_capture, succeeded, succeeded";
    let steps = [
        // Of another payment, of none, of none that is listed: nothing changes.
        (change(object(12), KIND, id(13)), before),
        (change(object(11), KIND, id(11)), before),
        (change(object(99), KIND, id(12)), before),
        (change(call("r7"), "refund", id(18)), before),
        (change(object(12), KIND, id(12)), "requires_capture, requires_capture, one, succeeded"),
        (change(object(10), KIND, id(10)), "other, requires_capture, one, succeeded"),
        (change(call("r18"), "refund", id(18)), "other, requires_capture, one, one"),
    ];
    for (write, want) in steps {
        assert_eq!(store.commit(set([write.clone()])).await, Ok(()));
        assert_eq!(statuses().await, want, "{write:?}");
    }
    // Written whole again it is as written, but for when it was made.
    let again = ListedRow { created_at: at(99_999), amount: 7, ..row(12) };
    assert_eq!(store.commit(set([Write::Listed(again)])).await, Ok(()));
    assert_eq!(statuses().await, "other, requires_capture, succeeded, one");
    let made = ListQuery {
        from: at(30),
        to: at(30),
        least: Some(7),
        most: Some(7),
        ..ListQuery::of(merchant(), KIND)
    };
    assert_eq!(listed(store, &made).await, ["pay_012"]);
    // Nothing of a set that fails stays.
    let mut lost = vec![change(object(12), KIND, id(12))];
    lost.push(Write::Event(event(id(12), 1, 2)));
    assert!(store.commit(set(lost)).await.is_err());
    assert_eq!(statuses().await, "other, requires_capture, succeeded, one");
}

pub async fn a_listed_amount_follows_where_one_is_said(store: Arc<dyn Store>) {
    let store = store.as_ref();
    let has = async |of: &ListedRow, amount: i64| {
        let query = ListQuery {
            id: Some(of.id.clone()),
            least: Some(amount),
            most: Some(amount),
            ..ListQuery::of(merchant(), &of.kind)
        };
        store.lists().count_listed(&query).await.unwrap() == 1
    };
    for row in [12, 18].map(row) {
        assert_eq!(store.commit(set(writes(&row))).await, Ok(()));
        let which = match &row.call {
            None => Relist::Object(row.id.clone()),
            Some(call) => Relist::Call { owner: row.owner.clone(), call: call.clone() },
        };
        let change = |amount| {
            Write::Relisted(Relisted {
                merchant: merchant(),
                kind: row.kind.clone(),
                which: which.clone(),
                payment: row.payment.unwrap(),
                status: "one".into(),
                status_of_several: "one".into(),
                amount,
                account: None,
                connector: None,
            })
        };
        assert_eq!(store.commit(set([change(None)])).await, Ok(()));
        assert!(has(&row, row.amount).await, "{row:?}");
        assert_eq!(store.commit(set([change(Some(77_777))])).await, Ok(()));
        assert!(has(&row, 77_777).await && !has(&row, row.amount).await, "{row:?}");
    }
}

/// Sets that come at once share statements on PostgreSQL: each row becomes what its own set says, and who is late is refused alone.
pub async fn sets_that_share_statements_write_what_each_says(store: Arc<dyn Store>) {
    const SETS: u64 = 200;
    let of = |n: u64| ListedRow {
        merchant: merchant(),
        kind: KIND.into(),
        call: None,
        payment: Some(id(n)),
        ..row(n)
    };
    let mut first = tokio::task::JoinSet::new();
    for n in 0..SETS {
        let store = Arc::clone(&store);
        first.spawn(async move { store.commit(set(writes(&of(n)))).await });
    }
    assert!(first.join_all().await.iter().all(Result::is_ok));

    let mut second = tokio::task::JoinSet::new();
    for n in 0..SETS {
        let store = Arc::clone(&store);
        second.spawn(async move {
            let document =
                DocumentRow { version: 2, body: format!("changed {n}"), ..document(&of(n)) };
            let relisted = Relisted {
                merchant: merchant(),
                kind: KIND.into(),
                which: Relist::Object(of(n).id),
                payment: id(n),
                status: format!("one {n}"),
                status_of_several: format!("several {n}"),
                amount: (n % 4 == 0).then_some(70_000),
                account: Some(format!("mca_{n}")),
                connector: (n % 3 == 0).then(|| format!("gateway {n}")),
            };
            store.commit(set([Write::Document(document), Write::Relisted(relisted)])).await
        });
    }
    assert!(second.join_all().await.iter().all(Result::is_ok));
    for n in 0..SETS {
        let found = store.document(merchant(), KIND, &of(n).id).await.unwrap().unwrap();
        assert_eq!((found.version, found.body), (2, format!("changed {n}")));
        let word = if of(n).several { "several" } else { "one" };
        let amount = if n % 4 == 0 { 70_000 } else { of(n).amount };
        let is_so = ListQuery {
            id: Some(of(n).id),
            statuses: vec![format!("{word} {n}")],
            accounts: vec![format!("mca_{n}")],
            connectors: if n % 3 == 0 { vec![format!("gateway {n}")] } else { vec![] },
            least: Some(amount),
            most: Some(amount),
            ..ListQuery::of(merchant(), KIND)
        };
        assert_eq!(store.lists().count_listed(&is_so).await, Ok(1), "{n}");
    }

    let is_late = |n: u64| n % 10 == 7;
    let mut third = tokio::task::JoinSet::new();
    for n in 0..SETS {
        let store = Arc::clone(&store);
        third.spawn(async move {
            let version = if is_late(n) { 4 } else { 3 };
            let next = DocumentRow { version, body: "again".into(), ..document(&of(n)) };
            (n, store.commit(set([Write::Document(next)])).await)
        });
    }
    let late = Err(CommitError::Conflict(Guard::Document));
    for (n, done) in third.join_all().await {
        assert_eq!(done, if is_late(n) { late.clone() } else { Ok(()) }, "{n}");
        let found = store.document(merchant(), KIND, &of(n).id).await.unwrap().unwrap();
        assert_eq!(found.version, if is_late(n) { 2 } else { 3 });
    }
}
