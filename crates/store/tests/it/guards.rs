//! Guards against duplicates, and the list of what is in doubt.

use std::sync::Arc;

use baton_store::{CommitError, Guard, GuardRow, Store, TimerRow, Write};
use baton_types::PaymentId;
use futures_util::future::join_all;

use crate::support::*;

const DUPLICATE: Result<(), CommitError> = Err(CommitError::Conflict(Guard::Duplicate));

pub fn guard(key: &str, payment: u64) -> GuardRow {
    GuardRow { merchant: merchant(), key: key.into(), payment: id(payment), created_at: at(7) }
}

fn release(key: &str, payment: u64) -> Write {
    Write::ReleaseGuard { merchant: merchant(), key: key.into(), payment: id(payment) }
}

pub async fn a_guard_is_taken_once_until_its_payment_gives_it_back(store: Arc<dyn Store>) {
    let (take, keep) = (|n| Write::TakeGuard(guard("k", n)), |n| Write::KeepGuard(guard("k", n)));
    assert_eq!(store.guard(merchant(), "k").await, Ok(None));
    assert_eq!(store.commit(set([take(1)])).await, Ok(()));
    assert_eq!(store.guard(merchant(), "k").await, Ok(Some(guard("k", 1))));
    assert_eq!(store.guard(merchant(), "K").await, Ok(None));
    assert_eq!(store.guard(id(2), "k").await, Ok(None), "another merchant's");

    // The loser leaves nothing behind, its own first version included.
    let lost = [Write::Event(event(id(2), 1, 1)), Write::TakeGuard(guard("other", 2)), take(2)];
    assert_eq!(store.commit(set(lost)).await, DUPLICATE);
    assert_eq!(store.events(merchant(), id(2)).await, Ok(vec![]));
    assert_eq!(store.guard(merchant(), "other").await, Ok(None));
    // Not even its own payment takes it twice.
    assert_eq!(store.commit(set([take(1)])).await, DUPLICATE);

    // Who only keeps one leaves another's alone; and nobody gives back what is another's.
    assert_eq!(store.commit(set([keep(2), release("k", 2)])).await, Ok(()));
    assert_eq!(store.guard(merchant(), "k").await, Ok(Some(guard("k", 1))));
    assert_eq!(store.commit(set([release("k", 1), release("none", 1)])).await, Ok(()));
    assert_eq!(store.guard(merchant(), "k").await, Ok(None));
    assert_eq!(store.commit(set([keep(2)])).await, Ok(()));
    assert_eq!(store.commit(set([take(3)])).await, DUPLICATE);
    // Given back and taken in one commit.
    assert_eq!(store.commit(set([release("k", 2), take(3)])).await, Ok(()));
    assert_eq!(store.guard(merchant(), "k").await, Ok(Some(guard("k", 3))));

    // A client's key that is claimed says so first: a repeat is no duplicate.
    let claimed = Write::ClaimKey(key("idem", id(3), 50));
    assert_eq!(store.commit(set([claimed.clone()])).await, Ok(()));
    let repeat = store.commit(set([take(4), claimed])).await;
    assert_eq!(repeat, Err(CommitError::Conflict(Guard::IdempotencyKey)));
}

pub async fn of_many_that_take_a_guard_at_once_one_has_it(store: Arc<dyn Store>) {
    for round in 0..10 {
        let key = format!("k{round}");
        let racers = (1..=20).map(|n| {
            let (store, key) = (Arc::clone(&store), key.clone());
            async move {
                let payment: PaymentId = id(round * 100 + n);
                let writes = [
                    Write::Event(event(payment, 1, n)),
                    Write::TakeGuard(GuardRow { payment, ..guard(&key, n) }),
                ];
                (payment, store.commit(set(writes)).await)
            }
        });
        let answers = join_all(racers).await;
        let won: Vec<_> = answers.iter().filter(|(_, answer)| answer.is_ok()).collect();
        assert_eq!(won.len(), 1, "{answers:?}");
        assert!(answers.iter().all(|(_, answer)| answer.is_ok() || *answer == DUPLICATE));
        let holder = store.guard(merchant(), &key).await.unwrap().unwrap();
        assert_eq!(holder.payment, won[0].0);
    }
}

pub async fn what_is_in_doubt_is_listed_oldest_first(store: Arc<dyn Store>) {
    let doubt = |n: u64, call: &str, kind: &str| {
        let kind = kind.to_owned();
        Write::SetTimer(TimerRow { kind, ..timer(id(n), call, 50, "n", id(1)) })
    };
    let writes = [
        doubt(3, "a1", "resolve"),
        doubt(1, "r1", "resolve"),
        doubt(1, "a1", "resolve"),
        doubt(2, "a1", "watch"),
    ];
    assert_eq!(store.commit(set(writes)).await, Ok(()));
    let listed = async |after: Option<(u64, &str)>, limit| {
        let after = after.map(|(payment, call)| (id(payment), call.to_owned()));
        let rows = store.doubts(after, limit).await.unwrap();
        rows.into_iter().map(|row| (row.payment, row.call)).collect::<Vec<_>>()
    };
    let of = |n: u64, call: &str| (id::<baton_types::kind::Payment>(n), call.to_owned());
    assert_eq!(listed(None, 10).await, [of(1, "a1"), of(1, "r1"), of(3, "a1")]);
    assert_eq!(listed(None, 1).await, [of(1, "a1")]);
    assert_eq!(listed(Some((1, "a1")), 10).await, [of(1, "r1"), of(3, "a1")]);
    assert_eq!(listed(Some((3, "a1")), 10).await, []);
    let cleared = Write::ClearTimer { merchant: merchant(), payment: id(1), call: "a1".to_owned() };
    assert_eq!(store.commit(set([cleared])).await, Ok(()));
    assert_eq!(listed(None, 10).await, [of(1, "r1"), of(3, "a1")]);
}
