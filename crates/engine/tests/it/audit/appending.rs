//! Who appends, and what comes of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use baton_engine::audit::{Action, Actor, Audit, current_request, in_request};
use baton_engine::keys::{self, NewKey, Scope};
use baton_engine::merchants::{self, AccountSpec};
use baton_engine::{EngineError, SystemClock};
use baton_store::memory::{Fault, Sync};
use baton_store::{
    ApiKeyRow, CommitError, Guard, MemoryStore, MerchantRow, Store, Write, WriteSet, open,
};
use baton_types::{ApiKeyId, MerchantId, Timestamp};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{all, appender, entry, whole};
use crate::world::{migrating, postgres_database};

fn merchant() -> MerchantId {
    MerchantId::from_bytes([1; 16])
}

fn new_key() -> NewKey {
    NewKey {
        merchant: merchant(),
        name: "shop".to_owned(),
        scopes: vec![Scope::Gateway],
        sandbox: true,
        expires_at: None,
        rate_limit: None,
    }
}

fn key(n: u8) -> WriteSet {
    WriteSet::from(vec![Write::ApiKey(ApiKeyRow {
        id: ApiKeyId::from_bytes([n; 16]),
        merchant: merchant(),
        hash: vec![n],
        hint: String::new(),
        name: String::new(),
        scopes: Vec::new(),
        sandbox: true,
        created_at: Timestamp::from_millis(0),
        expires_at: None,
        revoked_at: None,
        rate_limit: None,
    })])
}

/// A store in memory, as itself and as what the engine takes.
fn memory(sync: Sync) -> (Arc<MemoryStore>, Arc<dyn Store>) {
    let store = Arc::new(MemoryStore::new(sync));
    (Arc::clone(&store), store)
}

/// Appenders that know nothing of each other, with many entries each: one chain without a gap.
async fn together(stores: [Arc<dyn Store>; 3]) {
    const EACH: usize = 60;
    let audits: Vec<Audit> = stores.iter().map(appender).collect();
    let work = audits.iter().enumerate().flat_map(|(node, audit)| {
        (0..EACH).map(move |n| {
            let (audit, subject) = (audit.clone(), format!("{node}-{n}"));
            tokio::spawn(async move {
                if n % 3 == 0 {
                    let set = key(u8::try_from(node * EACH + n).unwrap());
                    audit.commit_with(entry(&subject), set).await.unwrap();
                } else {
                    audit.record(entry(&subject)).await.unwrap();
                }
            })
        })
    });
    for done in join_all(work).await {
        done.unwrap();
    }
    let rows = all(stores[0].as_ref()).await;
    let subjects: BTreeSet<_> = rows.iter().map(|row| row.subject.clone()).collect();
    assert_eq!((rows.len(), subjects.len()), (3 * EACH, 3 * EACH));
    assert_eq!(stores[1].api_keys(merchant()).await.unwrap().len(), EACH);
    assert_eq!(whole(stores[2].as_ref()).await.unwrap().entries, 3 * EACH as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appenders_of_one_sqlite_file_make_one_chain() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("baton.db").display());
    let another = || async { open(&url, migrating()).await.unwrap() };
    together([another().await, another().await, another().await]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appenders_of_one_postgres_database_make_one_chain() {
    let Some(url) = postgres_database().await else { return };
    let another = || async { open(&url, migrating()).await.unwrap() };
    together([another().await, another().await, another().await]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appenders_of_one_store_in_memory_make_one_chain() {
    let (_, store) = memory(Sync::EveryCommit);
    together([Arc::clone(&store), Arc::clone(&store), store]).await;
}

#[tokio::test]
async fn a_change_happens_with_its_entry_or_not_at_all() {
    let (faulty, store) = memory(Sync::EveryCommit);
    let audit = appender(&store);
    audit.commit_with(entry("first"), key(1)).await.unwrap();

    // The key's own guard is told, and the entry of what did not happen is not there.
    let taken = audit.commit_with(entry("again"), key(1)).await;
    assert_eq!(taken, Err(CommitError::Conflict(Guard::ApiKey)));
    // The database is away.
    faulty.fail_next(Fault::Unavailable);
    let away = audit.commit_with(entry("away"), key(2)).await;
    assert!(matches!(away, Err(CommitError::Unavailable(_))), "{away:?}");
    faulty.fail_next(Fault::Unavailable);
    assert_eq!(audit.record(entry("away")).await, Err(EngineError::Unavailable));
    // The entry itself cannot be written: neither can the change.
    let long = audit.commit_with(entry(&"x".repeat(2_000)), key(3)).await;
    assert!(matches!(long, Err(CommitError::Invalid(_))), "{long:?}");

    assert_eq!(store.api_keys(merchant()).await.unwrap().len(), 1);
    let rows = all(store.as_ref()).await;
    assert_eq!(rows.iter().map(|row| row.subject.as_str()).collect::<Vec<_>>(), ["first"]);
    // And nothing of it stands in the way of the next.
    audit.record(entry("second")).await.unwrap();
    assert_eq!(whole(store.as_ref()).await.unwrap().entries, 2);
}

#[tokio::test]
async fn a_lost_acknowledgement_is_settled_by_reading_the_entry_back() {
    let (faulty, store) = memory(Sync::EveryCommit);
    let audit = appender(&store);
    audit.record(entry("0")).await.unwrap();
    let doubts = [
        vec![Fault::InDoubtCommitted],
        vec![Fault::InDoubtLost],
        vec![Fault::InDoubtLost, Fault::Unavailable, Fault::InDoubtCommitted, Fault::Unavailable],
    ];
    for (n, faults) in (1_u8..).zip(doubts) {
        for fault in &faults {
            faulty.fail_next(*fault);
        }
        audit.commit_with(entry(&format!("change {n}")), key(n)).await.unwrap();
        for fault in faults {
            faulty.fail_next(fault);
        }
        audit.record(entry(&format!("read {n}"))).await.unwrap();
    }
    assert_eq!(store.api_keys(merchant()).await.unwrap().len(), 3);
    assert_eq!(whole(store.as_ref()).await.unwrap().entries, 7);

    // Another node takes the place while the acknowledgement is out: the entry gets the next one.
    let other = appender(&store);
    faulty.fail_next(Fault::InDoubtLost);
    let (late, early) =
        tokio::join!(audit.commit_with(entry("late"), key(9)), other.record(entry("early")));
    assert_eq!((late, early), (Ok(()), Ok(())));
    assert_eq!(store.api_keys(merchant()).await.unwrap().len(), 4);
    assert_eq!(whole(store.as_ref()).await.unwrap().entries, 9);

    // A store that never says what came of it: the caller is told that nobody knows.
    for _ in 0..60 {
        faulty.fail_next(Fault::InDoubtLost);
    }
    let unknown = audit.commit_with(entry("unknown"), key(10)).await;
    assert_eq!(unknown, Err(CommitError::InDoubt));
    audit.record(entry("known")).await.unwrap();
    assert_eq!(whole(store.as_ref()).await.unwrap().entries, 10);
}

#[tokio::test]
async fn a_crash_keeps_change_and_entry_or_neither() {
    let (disk, store) = memory(Sync::Manual);
    let (kept, _) = keys::create(&appender(&store), Actor::System, new_key()).await.unwrap();
    disk.sync();
    let audit = appender(&store);
    keys::create(&audit, Actor::System, new_key()).await.unwrap();
    keys::revoke(&audit, Actor::System, merchant(), kept.id).await.unwrap();
    disk.power_loss();

    let left = store.api_keys(merchant()).await.unwrap();
    assert_eq!(left, std::slice::from_ref(&kept));
    assert_eq!(all(store.as_ref()).await.len(), 1);
    keys::revoke(&appender(&store), Actor::System, merchant(), kept.id).await.unwrap();
    assert_eq!(whole(store.as_ref()).await.unwrap().entries, 2);
}

/// What every entry says, without what differs from run to run.
async fn said(store: &dyn Store) -> Vec<(String, String, Value, Option<String>)> {
    let of = |row: baton_store::AuditRow| {
        let detail: Value = serde_json::from_str(&row.detail).unwrap();
        (row.actor, format!("{} {}", row.action, row.subject), detail, row.request_id)
    };
    all(store).await.into_iter().map(of).collect()
}

#[tokio::test]
async fn keys_accounts_and_merchants_leave_their_entries() {
    let (_, store) = memory(Sync::EveryCommit);
    let audit = Audit::new(Arc::clone(&store), Arc::new(SystemClock));
    let ada = Actor::CommandLine(Some("ada".to_owned()));
    let shop = merchants::ensure(&audit, ada.clone(), "shop").await.unwrap();
    assert_eq!(merchants::ensure(&audit, ada.clone(), "shop").await, Ok(shop));
    let new = NewKey { merchant: shop, ..new_key() };
    let request = Some("req_1".to_owned());
    let made = in_request(request, keys::create(&audit, Actor::Operator, new)).await;
    let (key, text) = made.unwrap();
    let by = Actor::Key(key.id);
    keys::revoke(&audit, by.clone(), shop, key.id).await.unwrap();
    // What has no effect leaves no entry.
    keys::revoke(&audit, by, shop, key.id).await.unwrap();
    let mut spec = AccountSpec {
        name: "acme".to_owned(),
        gateway: "Sandbox".to_owned(),
        base_url: None,
        test: true,
        foreign_references: false,
    };
    let account = merchants::put_account(&audit, Actor::System, shop, &spec).await.unwrap();
    merchants::put_account(&audit, Actor::System, shop, &spec).await.unwrap();
    spec.base_url = Some("http://127.0.0.1:1/".to_owned());
    merchants::put_account(&audit, Actor::System, shop, &spec).await.unwrap();

    let account_detail = |url: Value, new: bool| json!({ "name": "acme", "gateway": "Sandbox", "base_url": url, "test": true, "foreign_references": false, "new": new });
    let key_detail = json!({
        "name": "shop", "hint": key.hint, "scopes": ["gateway"], "sandbox": true, "rate_limit": null, "expires_at": null,
    });
    let row = |actor: &str, action: Action, subject: &dyn ToString, detail: Value, request| {
        let what = format!("{} {}", action.as_str(), subject.to_string());
        (actor.to_owned(), what, detail, Option::<&str>::map(request, str::to_owned))
    };
    let want = [
        row("command-line:ada", Action::MerchantCreated, &shop, json!({ "name": "shop" }), None),
        row("operator", Action::KeyCreated, &key.id, key_detail, Some("req_1")),
        row(&key.id.to_string(), Action::KeyRevoked, &key.id, json!({ "name": "shop" }), None),
        row("system", Action::AccountPut, &account, account_detail(Value::Null, true), None),
        row(
            "system",
            Action::AccountPut,
            &account,
            account_detail(json!("http://127.0.0.1:1/"), false),
            None,
        ),
    ];
    assert_eq!(said(store.as_ref()).await, want);
    let rows = all(store.as_ref()).await;
    assert!(rows.iter().all(|row| row.merchant == Some(shop.to_string())));
    assert!(!format!("{rows:?}").contains(text.expose()));
    assert_eq!(current_request(), None);
}

/// The guard of a merchant's name passes through, so that `ensure` finds the winner.
#[tokio::test]
async fn many_nodes_that_make_one_merchant_agree() {
    let (_, store) = memory(Sync::EveryCommit);
    let made = join_all((0..8).map(|_| {
        let audit = appender(&store);
        async move { merchants::ensure(&audit, Actor::System, "shop").await.unwrap() }
    }))
    .await;
    let rows: Vec<MerchantRow> = store.merchants().await.unwrap();
    assert_eq!(rows.len(), 1);
    assert!(made.iter().all(|id| *id == rows[0].id));
    assert_eq!(all(store.as_ref()).await.len(), 1);
}
