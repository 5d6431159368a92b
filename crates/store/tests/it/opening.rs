//! Opening: URLs, migrations, files, and databases that are refused.

use baton_store::{CommitError, Guard, OpenError, OpenOptions, ReferenceKind, Write, open};
use baton_types::BootId;
use futures_util::future::join_all;

use crate::support::*;

fn file() -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("baton.db").display());
    (directory, url)
}

async fn refused(url: &str, options: OpenOptions) -> OpenError {
    open(url, options).await.err().expect("the store was opened")
}

#[tokio::test]
async fn a_url_names_a_store() {
    assert!(open("memory:", OpenOptions::default()).await.is_ok());
    for url in ["", "sqlite:", "sqlite://", "mysql://host/db", "memory", "/a/file"] {
        assert!(matches!(refused(url, migrate()).await, OpenError::Url(_)), "{url}");
    }
    let nowhere = "postgres://me:secret@127.0.0.1:1/db";
    let error = refused(nowhere, migrate()).await;
    assert!(matches!(error, OpenError::Unavailable(_)), "{error:?}");
    assert!(!error.to_string().contains("secret"));
}

#[tokio::test]
async fn a_file_is_created_only_to_be_migrated() {
    let (directory, url) = file();
    let error = refused(&url, OpenOptions::default()).await;
    assert!(matches!(error, OpenError::Unavailable(_)), "{error:?}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);

    std::fs::write(directory.path().join("baton.db"), []).unwrap();
    let error = refused(&url, OpenOptions::default()).await;
    assert!(matches!(error, OpenError::Outdated { found: 0, .. }), "{error:?}");

    let store = open(&url, migrate()).await.unwrap();
    store.commit(set([Write::Merchant(named_merchant(1, "default"))])).await.unwrap();
    // A second opening finds what the first wrote, also while it is open.
    let second = open(&url, OpenOptions::default()).await.unwrap();
    assert_eq!(second.merchants().await.unwrap().len(), 1);
    second.commit(set([Write::Merchant(named_merchant(2, "other"))])).await.unwrap();
    assert_eq!(store.merchants().await.unwrap().len(), 2);

    let missing = format!("sqlite:{}/none/baton.db", directory.path().display());
    assert!(matches!(refused(&missing, migrate()).await, OpenError::Unavailable(_)));
    let garbage = directory.path().join("garbage");
    std::fs::write(&garbage, "not a database".repeat(1000)).unwrap();
    let garbage = format!("sqlite:{}", garbage.display());
    assert!(matches!(refused(&garbage, migrate()).await, OpenError::Unavailable(_)));
}

#[cfg(unix)]
#[tokio::test]
async fn files_belong_to_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let (directory, url) = file();
    let store = open(&url, migrate()).await.unwrap();
    store.commit(set([Write::Merchant(named_merchant(1, "default"))])).await.unwrap();
    let files: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(Result::unwrap).collect();
    assert_eq!(files.len(), 3, "the database, its log and the log's index: {files:?}");
    for file in files {
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file:?}");
    }
}

#[tokio::test]
async fn sqlite_is_set_to_be_durable() {
    let (_directory, url) = file();
    let info = open(&url, migrate()).await.unwrap().describe().await.unwrap();
    assert!(info.settings.contains(&("journal_mode".into(), "wal".into())), "{info:?}");
    assert!(info.settings.contains(&("synchronous".into(), "2".into())), "{info:?}");
}

const NEWER: &str = "insert into schema_history values (99, 'future', 'x', '9.9.9')";
const CHANGED: &str = "update schema_history set checksum = 'another' where version = 1";

fn is_newer(error: &OpenError) -> bool {
    matches!(error, OpenError::Newer { found: 99, known } if *known < 99)
}

#[tokio::test]
async fn a_schema_of_another_program_is_refused() {
    for options in [migrate(), OpenOptions::default()] {
        let (directory, url) = file();
        drop(open(&url, migrate()).await.unwrap());
        let raw = rusqlite::Connection::open(directory.path().join("baton.db")).unwrap();
        raw.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
        raw.execute(NEWER, []).unwrap();
        assert!(is_newer(&refused(&url, options.clone()).await));
        raw.execute("delete from schema_history where version = 99", []).unwrap();
        raw.execute(CHANGED, []).unwrap();
        assert_eq!(refused(&url, options).await, OpenError::Changed { version: 1 });
    }
    let Some(url) = postgres_database().await else { return };
    drop(open(&url, migrate()).await.unwrap());
    let raw = postgres_client(&url).await;
    raw.batch_execute(NEWER).await.unwrap();
    for options in [migrate(), OpenOptions::default()] {
        assert!(is_newer(&refused(&url, options).await));
    }
    raw.batch_execute("delete from schema_history where version = 99").await.unwrap();
    raw.batch_execute(CHANGED).await.unwrap();
    assert_eq!(refused(&url, migrate()).await, OpenError::Changed { version: 1 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_start_at_once_migrate_once() {
    let (_directory, sqlite) = file();
    for url in [Some(sqlite), postgres_database().await].into_iter().flatten() {
        let nodes = (0..6).map(|_| {
            let url = url.clone();
            tokio::spawn(async move { open(&url, migrate()).await.map(drop) })
        });
        for opened in join_all(nodes).await {
            assert_eq!(opened.unwrap(), Ok(()));
        }
        assert!(open(&url, OpenOptions::default()).await.is_ok());
    }
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing() {
    // A table of the same name is in the way of a later statement of the migration.
    let (directory, url) = file();
    let raw = rusqlite::Connection::open(directory.path().join("baton.db")).unwrap();
    raw.execute_batch("create table payment_references (mine text)").unwrap();
    assert!(matches!(refused(&url, migrate()).await, OpenError::Migration(_)));
    let tables = "select count(*) from sqlite_master where type = 'table'";
    assert_eq!(raw.query_row(tables, [], |row| row.get(0)), Ok(1));

    let Some(url) = postgres_database().await else { return };
    let raw = postgres_client(&url).await;
    raw.batch_execute("create table payment_references (mine text)").await.unwrap();
    assert!(matches!(refused(&url, migrate()).await, OpenError::Migration(_)));
    let tables = "select count(*) from pg_tables where schemaname = 'public'";
    assert_eq!(raw.query_one(tables, &[]).await.unwrap().get::<_, i64>(0), 1);
}

/// The tables as they were before, with a row each, and what SQLite runs to have them in one tree.
#[tokio::test]
async fn tables_are_rebuilt_with_their_rows() {
    let (directory, url) = file();
    let store = open(&url, migrate()).await.unwrap();
    let boot: BootId = id(1);
    let rows = [
        Write::Outbox(outbox(1, id(7), 1, 3)),
        Write::SetTimer(timer(id(7), "a1", 5, "node", boot)),
        Write::ClaimKey(key("key", id(7), 9)),
        Write::TakeGuard(crate::guards::guard("guard", 7)),
        Write::Reference(reference("ref", None, id(7), 4)),
    ];
    store.commit(set(rows)).await.unwrap();
    drop(store);

    let raw = rusqlite::Connection::open(directory.path().join("baton.db")).unwrap();
    raw.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    let tables = ["outbox", "timers", "idempotency", "guards", "payment_references"];
    let created = "select sql from sqlite_master where type = 'table' and name = ?1";
    for table in tables {
        let sql: String = raw.query_row(created, [table], |row| row.get(0)).unwrap();
        assert!(sql.to_lowercase().contains("without rowid"), "{sql}");
        let old = sql.to_lowercase().replace("without rowid", "").replace(table, "old");
        let text = format!("{old}; insert into old select * from {table}; drop table {table};");
        raw.execute_batch(&format!("{text} alter table old rename to {table};")).unwrap();
    }
    raw.execute_batch(include_str!("../../migrations/V7__fewer_trees.sqlite.sql")).unwrap();
    drop(raw);

    let store = open(&url, OpenOptions::default()).await.unwrap();
    assert_eq!(store.lease_outbox(at(3), at(3), 9).await.unwrap().len(), 1);
    assert_eq!(store.timers_of_other_boots("node", id(2), 9).await.unwrap().len(), 1);
    assert_eq!(store.idempotency(merchant(), "key").await, Ok(Some(key("key", id(7), 9))));
    assert!(store.guard(merchant(), "guard").await.unwrap().is_some());
    let found = store.find_reference(merchant(), ReferenceKind::Provider, None, "ref").await;
    assert_eq!(found, Ok(vec![reference("ref", None, id(7), 4)]));
    let taken = store.commit(set([Write::ClaimKey(key("key", id(8), 9))])).await;
    assert_eq!(taken, Err(CommitError::Conflict(Guard::IdempotencyKey)));
}
