//! What only the memory store does: it loses what was not synced, and fails on request.

use baton_store::memory::{Fault, Sync};
use baton_store::{CommitError, Guard, MemoryStore, Store, Write, WriteSet};

use crate::support::*;

fn version(number: u64, writer: u64) -> WriteSet {
    set([
        Write::Payment(payment(id(7), number, &format!("by {writer}"))),
        Write::Event(event(id(7), number, writer)),
    ])
}

async fn snapshot(store: &MemoryStore) -> Option<String> {
    store.payment(merchant(), id(7)).await.unwrap().map(|row| row.snapshot)
}

#[tokio::test]
async fn a_power_loss_returns_to_the_last_synced_state() {
    let store = MemoryStore::new(Sync::Manual);
    store.commit(version(1, 1)).await.unwrap();
    let row = timer(id(7), "call", 10, "n1", id(1));
    store.commit(set([Write::SetTimer(row.clone())])).await.unwrap();
    store.commit(set([Write::Outbox(outbox(1, id(7), 1, 10))])).await.unwrap();
    store.sync();

    store.commit(version(2, 2)).await.unwrap();
    store.commit(version(3, 3)).await.unwrap();
    assert_eq!(store.commit(version(3, 4)).await, Err(CommitError::Conflict(Guard::Version)));
    store.lease_timers(at(10), at(99), "n2", id(2), 9).await.unwrap();
    store.ack_outbox(&[id(1)]).await.unwrap();
    assert_eq!(snapshot(&store).await.as_deref(), Some("by 3"));

    store.power_loss();
    assert_eq!(snapshot(&store).await.as_deref(), Some("by 1"));
    assert_eq!(store.events(merchant(), id(7)).await.unwrap().len(), 1);
    assert_eq!(store.timers_of_other_boots("n1", id(3), 9).await, Ok(vec![row]));
    assert_eq!(store.describe().await.unwrap().outbox, 1);
    // Again there is nothing left to lose, and the version is free.
    store.power_loss();
    assert_eq!(store.commit(version(2, 5)).await, Ok(()));
    store.sync();
    store.power_loss();
    assert_eq!(snapshot(&store).await.as_deref(), Some("by 5"));
}

#[tokio::test]
async fn a_store_that_syncs_every_commit_loses_nothing() {
    let store = MemoryStore::new(Sync::EveryCommit);
    store.commit(version(1, 1)).await.unwrap();
    store.power_loss();
    assert_eq!(snapshot(&store).await.as_deref(), Some("by 1"));
}

#[tokio::test]
async fn faults_hit_the_next_commits_in_order() {
    let store = MemoryStore::default();
    let faults = [Fault::Unavailable, Fault::InDoubtLost, Fault::InDoubtCommitted];
    for fault in faults {
        store.fail_next(fault);
    }
    let unavailable = store.commit(version(1, 1)).await;
    assert!(matches!(unavailable, Err(CommitError::Unavailable(_))));
    assert_eq!(store.commit(version(1, 2)).await, Err(CommitError::InDoubt));
    assert_eq!(snapshot(&store).await, None);
    assert_eq!(store.commit(version(1, 3)).await, Err(CommitError::InDoubt));
    // Re-reading tells whose commit stands.
    let stands = store.event(merchant(), id(7), 1).await.unwrap().unwrap();
    assert_eq!(stands.id, id(3));
    assert_eq!(store.commit(version(2, 4)).await, Ok(()));

    // In doubt, and refused by a guard: the writer hears no more than before.
    store.fail_next(Fault::InDoubtCommitted);
    assert_eq!(store.commit(version(2, 5)).await, Err(CommitError::InDoubt));
    assert_eq!(snapshot(&store).await.as_deref(), Some("by 4"));
    // An invalid set uses up no fault: it never reaches the database.
    store.fail_next(Fault::Unavailable);
    assert!(matches!(store.commit(version(0, 6)).await, Err(CommitError::Invalid(_))));
    assert!(matches!(store.commit(version(3, 6)).await, Err(CommitError::Unavailable(_))));
    // A power loss ends the process that the faults were meant for.
    store.fail_next(Fault::Unavailable);
    store.power_loss();
    assert_eq!(store.commit(version(3, 7)).await, Ok(()));
}
