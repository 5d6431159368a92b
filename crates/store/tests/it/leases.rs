//! What every backend does with timers and messages; [`crate::conformance`] runs it.

use std::collections::BTreeSet;
use std::sync::Arc;

use baton_store::{Store, TimerRow, Write};
use baton_types::{BootId, EventId, PaymentId};
use futures_util::future::join_all;

use crate::support::*;

pub async fn a_call_has_one_timer(store: Arc<dyn Store>) {
    let (one, two): (BootId, BootId) = (id(1), id(2));
    let first = Write::SetTimer(timer(id(1), "a", 10, "n1", one));
    let replaced =
        TimerRow { kind: "resolve".into(), attempt: 3, ..timer(id(1), "a", 20, "n2", two) };
    let other = timer(id(1), "b", 20, "n1", one);
    assert_eq!(store.commit(set([first])).await, Ok(()));
    let writes = [Write::SetTimer(replaced.clone()), Write::SetTimer(other.clone())];
    assert_eq!(store.commit(set(writes)).await, Ok(()));
    assert_eq!(store.lease_timers(at(19), at(99), "n", one, 9).await, Ok(vec![]));
    let leased = store.lease_timers(at(20), at(99), "n", one, 9).await.unwrap();
    let lease =
        |row: TimerRow| TimerRow { due_at: at(99), node: "n".into(), boot: one, ..row.clone() };
    assert_eq!(leased, [lease(replaced), lease(other)]);

    let clear =
        |call: &str| Write::ClearTimer { merchant: merchant(), payment: id(1), call: call.into() };
    assert_eq!(store.commit(set([clear("a"), clear("never set")])).await, Ok(()));
    let left = store.lease_timers(at(99), at(100), "n", one, 9).await.unwrap();
    assert_eq!(left.iter().map(|row| row.call.as_str()).collect::<Vec<_>>(), ["b"]);
    // Within one set the order counts.
    let again = Write::SetTimer(timer(id(1), "b", 0, "n", one));
    assert_eq!(store.commit(set([clear("b"), again.clone()])).await, Ok(()));
    assert_eq!(store.lease_timers(at(0), at(1), "n", one, 9).await.unwrap().len(), 1);
    assert_eq!(store.commit(set([again, clear("b")])).await, Ok(()));
    assert_eq!(store.lease_timers(at(100), at(101), "n", one, 9).await, Ok(vec![]));
}

pub async fn timers_are_leased_to_one_worker_until_the_lease_ends(store: Arc<dyn Store>) {
    let (one, two): (BootId, BootId) = (id(1), id(2));
    let dues = [30, 10, 20, 40];
    let timers = (1..).zip(dues).map(|(n, due)| timer(id(n), "call", due, "old", id(9)));
    assert_eq!(store.commit(set(timers.map(Write::SetTimer))).await, Ok(()));

    // The two that are due first, not the two that were written first.
    let first = store.lease_timers(at(35), at(100), "n1", one, 2).await.unwrap();
    assert_eq!(first.iter().map(|row| row.payment).collect::<Vec<_>>(), [id(2), id(3)]);
    let owner = |rows: &[TimerRow], node: &str, boot, due| {
        rows.iter().all(|row| row.node == node && row.boot == boot && row.due_at == at(due))
    };
    assert!(owner(&first, "n1", one, 100));
    let second = store.lease_timers(at(35), at(100), "n2", two, 9).await.unwrap();
    assert_eq!(second.iter().map(|row| row.payment).collect::<Vec<_>>(), [id(1)]);
    assert_eq!(store.lease_timers(at(39), at(100), "n2", two, 9).await, Ok(vec![]));
    // Expired leases are anyone's.
    let over = store.lease_timers(at(100), at(200), "n2", two, 9).await.unwrap();
    assert_eq!(over.len(), 4);
    assert!(owner(&over, "n2", two, 200));
    assert_eq!(store.lease_timers(at(300), at(400), "n2", two, 0).await, Ok(vec![]));
}

pub async fn timers_of_earlier_runs_are_found_by_node(store: Arc<dyn Store>) {
    let (old, now): (BootId, BootId) = (id(1), id(2));
    let rows = [
        timer(id(1), "b", 500, "n1", old),
        timer(id(1), "a", 500, "n1", old),
        timer(id(2), "a", 400, "n1", old),
        timer(id(3), "a", 1, "n1", now),
        timer(id(4), "a", 1, "n2", old),
    ];
    assert_eq!(store.commit(set(rows.clone().map(Write::SetTimer))).await, Ok(()));
    let expected = [rows[2].clone(), rows[1].clone(), rows[0].clone()];
    let found = store.timers_of_other_boots("n1", now, 9).await;
    assert_eq!(found, Ok(expected.to_vec()));
    let limited = store.timers_of_other_boots("n1", now, 1).await;
    assert_eq!(limited, Ok(expected[..1].to_vec()));
    assert_eq!(store.timers_of_other_boots("n3", now, 9).await, Ok(vec![]));
}

pub async fn the_outbox_is_leased_in_order_and_empties_by_acknowledgement(store: Arc<dyn Store>) {
    // Due in one order, consumed in another: by payment and version.
    let rows = [
        outbox(1, id(2), 1, 10),
        outbox(2, id(1), 2, 20),
        outbox(3, id(1), 1, 30),
        outbox(4, id(1), 3, 90),
    ];
    assert_eq!(store.commit(set(rows.map(Write::Outbox))).await, Ok(()));
    assert_eq!(store.lease_outbox(at(9), at(60), 9).await, Ok(vec![]));
    let leased = store.lease_outbox(at(50), at(60), 9).await.unwrap();
    let ids = |rows: &[baton_store::OutboxRow]| rows.iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(ids(&leased), [id(3), id(2), id(1)]);
    assert!(leased.iter().all(|row| row.due_at == at(60) && row.attempts == 1));
    assert_eq!(leased[0].body, "message");
    assert_eq!(store.lease_outbox(at(50), at(60), 9).await, Ok(vec![]));

    assert_eq!(store.ack_outbox(&[id(3), id(77), id(3)]).await, Ok(()));
    assert_eq!(store.ack_outbox(&[]).await, Ok(()));
    let again = store.lease_outbox(at(60), at(70), 9).await.unwrap();
    assert_eq!(ids(&again), [id(2), id(1)]);
    assert!(again.iter().all(|row| row.attempts == 2));
    assert_eq!(store.ack_outbox(&[id(1), id(2)]).await, Ok(()));
    assert_eq!(ids(&store.lease_outbox(at(99), at(100), 9).await.unwrap()), [id(4)]);
    assert_eq!(store.describe().await.unwrap().outbox, 1);
}

pub async fn workers_at_the_same_time_never_lease_the_same_row(store: Arc<dyn Store>) {
    const ROWS: u64 = 400;
    for n in 1..=ROWS {
        let message = outbox(n, id(n), 1, 10);
        let timer = timer(id(n), "call", 10, "old", id(9));
        let writes = set([Write::Outbox(message), Write::SetTimer(timer)]);
        assert_eq!(store.commit(writes).await, Ok(()));
    }
    let workers = (0..8_u64).map(|worker| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let (mut messages, mut timers) = (Vec::new(), Vec::new());
            loop {
                // A database may refuse one of two that collide; nothing is lost by asking again.
                let Ok(rows) = store.lease_outbox(at(10), at(99), 7).await else { continue };
                let Ok(due) = store.lease_timers(at(10), at(99), "n", id(worker), 7).await else {
                    messages.extend(rows.iter().map(|row| row.id));
                    continue;
                };
                if rows.is_empty() && due.is_empty() {
                    return (messages, timers);
                }
                messages.extend(rows.iter().map(|row| row.id));
                timers.extend(due.iter().map(|row| row.payment));
            }
        })
    });
    let leased = join_all(workers).await;
    let (messages, timers): (Vec<_>, Vec<_>) = leased.into_iter().map(Result::unwrap).unzip();
    let messages: Vec<EventId> = messages.concat();
    let timers: Vec<PaymentId> = timers.concat();
    assert_eq!(messages.len() as u64, ROWS, "a message was leased twice, or never");
    assert_eq!(messages.iter().collect::<BTreeSet<_>>().len() as u64, ROWS);
    assert_eq!(timers.len() as u64, ROWS, "a timer was leased twice, or never");
    assert_eq!(timers.iter().collect::<BTreeSet<_>>().len() as u64, ROWS);
}
