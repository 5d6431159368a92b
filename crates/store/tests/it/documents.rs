//! Documents: versions that follow each other, and lists.

use std::sync::Arc;

use baton_store::{CommitError, DocumentQuery, DocumentRow, Guard, Store, Write};

use crate::support::*;

fn row(name: &str, version: u64, body: &str) -> DocumentRow {
    DocumentRow {
        merchant: merchant(),
        kind: "customer".into(),
        id: name.into(),
        version,
        owner: "shop".into(),
        status: "active".into(),
        created_at: at(10),
        updated_at: at(i64::try_from(version).unwrap()),
        removed_at: None,
        schema: 1,
        body: body.into(),
    }
}

async fn put(store: &dyn Store, row: DocumentRow) -> Result<(), CommitError> {
    store.commit(set([Write::Document(row)])).await
}

pub async fn a_document_changes_only_from_the_version_before(store: Arc<dyn Store>) {
    let store = store.as_ref();
    let lost = Err(CommitError::Conflict(Guard::Document));
    assert_eq!(store.document(merchant(), "customer", "ada").await, Ok(None));
    assert_eq!(put(store, row("ada", 2, "no first")).await, lost, "there is none to follow");
    assert_eq!(store.document(merchant(), "customer", "ada").await, Ok(None));
    assert_eq!(put(store, row("ada", 1, "one")).await, Ok(()));
    assert_eq!(put(store, row("ada", 1, "again")).await, lost);
    let later = DocumentRow { created_at: at(99), ..row("ada", 2, "two") };
    assert_eq!(put(store, later).await, Ok(()));
    for version in [1, 2, 4, 9] {
        assert_eq!(put(store, row("ada", version, "lost")).await, lost, "version {version}");
    }
    let invalid = put(store, row("ada", 0, "")).await;
    assert!(matches!(invalid, Err(CommitError::Invalid(_))), "{invalid:?}");
    let found = store.document(merchant(), "customer", "ada").await.unwrap();
    assert_eq!(found, Some(row("ada", 2, "two")), "created_at stays");
    assert_eq!(store.document(id(2), "customer", "ada").await, Ok(None));
    assert_eq!(store.document(merchant(), "profile", "ada").await, Ok(None));

    // Who loses leaves nothing behind, whatever else is in the set.
    let both = set([Write::Document(row("bob", 1, "one")), Write::Document(row("ada", 2, "lost"))]);
    assert_eq!(store.commit(both).await, lost);
    assert_eq!(store.document(merchant(), "customer", "bob").await, Ok(None));
}

pub async fn of_many_writers_of_one_version_one_wins(store: Arc<dyn Store>) {
    for version in 1..=5 {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..8 {
            let store = Arc::clone(&store);
            let body = format!("{writer}");
            writers.spawn(async move { put(store.as_ref(), row("ada", version, &body)).await });
        }
        let done = writers.join_all().await;
        assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 1, "{version}: {done:?}");
        let lost = CommitError::Conflict(Guard::Document);
        assert!(done.iter().all(|done| done.as_ref().err().is_none_or(|error| *error == lost)));
    }
    let found = store.document(merchant(), "customer", "ada").await.unwrap();
    assert_eq!(found.map(|row| row.version), Some(5));
}

pub async fn documents_are_listed_by_time_and_owner(store: Arc<dyn Store>) {
    let store = store.as_ref();
    for (name, created, owner, status, removed) in [
        ("a", 10, "x", "active", None),
        ("b", 20, "y", "active", None),
        ("c", 20, "x", "inactive", None),
        ("d", 30, "x", "active", Some(40)),
    ] {
        let row = DocumentRow {
            created_at: at(created),
            owner: owner.into(),
            status: status.into(),
            removed_at: removed.map(at),
            ..row(name, 1, "")
        };
        assert_eq!(put(store, row).await, Ok(()));
    }
    let all = DocumentQuery {
        merchant: merchant(),
        kind: "customer".into(),
        owner: None,
        from: at(0),
        to: at(i64::MAX),
        after: None,
        statuses: vec![],
        removed: false,
        limit: 100,
    };
    let of = |owner: &str| DocumentQuery { owner: Some(owner.into()), ..all.clone() };
    #[rustfmt::skip]
    let rows: Vec<(DocumentQuery, &str)> = vec![
        (all.clone(),                                                     "cba"),
        (DocumentQuery { removed: true, ..all.clone() },                  "dcba"),
        (DocumentQuery { merchant: id(2), ..all.clone() },                ""),
        (DocumentQuery { kind: "profile".into(), ..all.clone() },         ""),
        (of("x"),                                                         "ca"),
        (of("y"),                                                         "b"),
        (of(""),                                                          ""),
        (DocumentQuery { removed: true, ..of("x") },                      "dca"),
        (DocumentQuery { statuses: vec!["inactive".into()], ..all.clone() }, "c"),
        (DocumentQuery { from: at(11), ..all.clone() },                   "cb"),
        (DocumentQuery { to: at(19), ..all.clone() },                     "a"),
        (DocumentQuery { limit: 2, ..all.clone() },                       "cb"),
        (DocumentQuery { after: Some((at(20), "c".into())), ..all.clone() }, "ba"),
        (DocumentQuery { after: Some((at(20), "b".into())), ..of("x") },  "a"),
    ];
    for (query, want) in rows {
        let rows = store.documents(&query).await.unwrap();
        let got: String = rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(got, want, "{query:?}");
    }
}
