//! What every backend does, whichever it is.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;

use baton_store::{
    AccountRow, CommitError, Guard, MAX_KEY_BYTES, PaymentRow, ReferenceKind, ReferenceRow, Store,
    Write, WriteSet,
};
use baton_types::{BootId, PaymentId};
use futures_util::future::join_all;

use crate::audit::*;
use crate::documents::*;
use crate::guards::*;
use crate::hooks::*;
use crate::leases::*;
use crate::listing::*;
use crate::lists::*;
use crate::support::*;

macro_rules! behaviours {
    ($($behaviour:ident,)*) => {
        behaviours!(memory open_memory $($behaviour)*);
        behaviours!(sqlite open_sqlite $($behaviour)*);
        behaviours!(postgres open_postgres $($behaviour)*);

        /// Not through `print`, which the test harness swallows.
        #[test]
        fn postgres_is_tested_or_said_to_be_skipped() {
            let skipped = [$(stringify!($behaviour)),*].len();
            if std::env::var(POSTGRES).is_err() {
                writeln!(std::io::stderr(), "SKIPPED {skipped}: {POSTGRES} is not set").unwrap();
            }
        }
    };
    ($module:ident $open:ident $($behaviour:ident)*) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    if let Some(opened) = super::$open().await {
                        super::$behaviour(opened.store).await;
                    }
                }
            )*
        }
    };
}

behaviours! {
    a_payment_is_read_as_written_and_replaced_by_its_next_version,
    a_version_is_written_once_and_the_loser_leaves_nothing,
    a_key_is_claimed_once_until_it_is_released_or_swept,
    guards_are_checked_before_anything_else_and_in_one_order,
    an_invalid_set_is_refused_with_a_reason,
    a_call_has_one_timer,
    timers_are_leased_to_one_worker_until_the_lease_ends,
    timers_of_earlier_runs_are_found_by_node,
    the_outbox_is_leased_in_order_and_empties_by_acknowledgement,
    workers_at_the_same_time_never_lease_the_same_row,
    a_guard_is_taken_once_until_its_payment_gives_it_back,
    of_many_that_take_a_guard_at_once_one_has_it,
    what_is_in_doubt_is_listed_oldest_first,
    references_are_found_newest_first,
    account_names_are_unique_among_live_accounts,
    a_document_changes_only_from_the_version_before,
    of_many_writers_of_one_version_one_wins,
    documents_are_listed_by_time_and_owner,
    merchants_and_api_keys_are_unique,
    two_hundred_writers_of_one_payment_win_each_version_once,
    a_conflict_rejects_only_its_own_set,
    large_snapshots_are_kept,
    strange_texts_are_kept_and_found,
    extreme_numbers_are_kept,
    the_store_describes_itself,
    payments_are_listed_by_time_and_by_what_they_are,
    pages_follow_each_other_without_a_gap,
    objects_are_listed_by_what_they_are,
    a_listed_object_follows_the_payment_that_decides,
    a_listed_amount_follows_where_one_is_said,
    sets_that_share_statements_write_what_each_says,
    a_message_ends_with_what_it_tells,
    a_stream_is_due_while_one_of_its_events_waits,
    of_many_that_conclude_and_record_at_once_nothing_is_left_behind,
    streams_are_leased_once,
    events_are_listed_and_counted_by_what_they_are,
    an_event_is_told_again_in_its_place,
    what_has_ended_is_swept,
    the_message_of_a_version_is_known_to_be_there,
    an_audit_log_is_read_as_written_by_number_and_filter,
    the_audit_log_takes_each_number_once_and_never_forks,
}

const CONFLICT: Result<(), CommitError> = Err(CommitError::Conflict(Guard::Version));

fn version(payment_id: PaymentId, version: u64, writer: u64) -> [Write; 2] {
    [
        Write::Payment(payment(payment_id, version, &format!("by {writer}"))),
        Write::Event(event(payment_id, version, writer)),
    ]
}

async fn a_payment_is_read_as_written_and_replaced_by_its_next_version(store: Arc<dyn Store>) {
    let first = PaymentRow {
        amount_minor: None,
        currency: None,
        merchant_ref: Some("order 1".into()),
        ..payment(id(7), 1, "first")
    };
    assert_eq!(store.payment(merchant(), id(7)).await, Ok(None));
    let writes = [Write::Payment(first.clone()), Write::Event(event(id(7), 1, 1))];
    assert_eq!(store.commit(set(writes)).await, Ok(()));
    assert_eq!(store.payment(merchant(), id(7)).await, Ok(Some(first)));

    let second = PaymentRow {
        status: "captured".into(),
        kind: "other".into(),
        merchant_ref: Some("order 1".into()),
        updated_at: at(5_000),
        schema: 2,
        ..payment(id(7), 2, "second")
    };
    // What it is listed by stays as it was.
    let told = PaymentRow {
        merchant_ref: Some("order 2".into()),
        test: !second.test,
        created_at: at(7),
        ..second.clone()
    };
    let writes = [Write::Event(event(id(7), 2, 2)), Write::Payment(told)];
    assert_eq!(store.commit(set(writes)).await, Ok(()));
    assert_eq!(store.payment(merchant(), id(7)).await, Ok(Some(second)));

    let events = vec![event(id(7), 1, 1), event(id(7), 2, 2)];
    assert_eq!(store.event(merchant(), id(7), 2).await, Ok(events.last().cloned()));
    assert_eq!(store.event(merchant(), id(7), 3).await, Ok(None));
    assert_eq!(store.event(merchant(), id(7), u64::MAX).await, Ok(None));
    assert_eq!(store.events(merchant(), id(7)).await, Ok(events));

    // Another merchant sees none of it.
    assert_eq!(store.payment(id(2), id(7)).await, Ok(None));
    assert_eq!(store.events(id(2), id(7)).await, Ok(vec![]));
    // A set without changes changes nothing.
    assert_eq!(store.commit(WriteSet::new()).await, Ok(()));
}

async fn a_version_is_written_once_and_the_loser_leaves_nothing(store: Arc<dyn Store>) {
    let boot: BootId = id(1);
    assert_eq!(store.commit(set(version(id(7), 1, 1))).await, Ok(()));
    let mut loser = set(version(id(7), 1, 2));
    loser.push(Write::Outbox(outbox(2, id(7), 1, 0)));
    loser.push(Write::SetTimer(timer(id(7), "authorize", 0, "node", boot)));
    loser.push(Write::ClaimKey(key("key", id(7), 0)));
    loser.push(Write::Reference(reference("ref", None, id(7), 0)));
    loser.push(Write::Account(account(1, 1, "account")));
    loser.push(Write::ApiKey(api_key(1, b"hash")));
    loser.push(Write::Merchant(named_merchant(1, "default")));
    assert_eq!(store.commit(loser.clone()).await, CONFLICT);

    let kept = store.payment(merchant(), id(7)).await.unwrap().unwrap();
    assert_eq!(kept.snapshot, "by 1");
    assert_eq!(store.events(merchant(), id(7)).await, Ok(vec![event(id(7), 1, 1)]));
    assert_eq!(store.lease_outbox(at(9), at(10), 9).await, Ok(vec![]));
    assert_eq!(store.lease_timers(at(9), at(10), "node", boot, 9).await, Ok(vec![]));
    assert_eq!(store.idempotency(merchant(), "key").await, Ok(None));
    let found = store.find_reference(merchant(), ReferenceKind::Provider, None, "ref").await;
    assert_eq!(found, Ok(vec![]));
    assert_eq!(store.accounts(merchant()).await, Ok(vec![]));
    assert_eq!(store.api_keys(merchant()).await, Ok(vec![]));
    assert_eq!(store.merchants().await, Ok(vec![]));

    // Two events of one version in one set are a conflict with oneself.
    let twice = [Write::Event(event(id(8), 1, 1)), Write::Event(event(id(8), 1, 2))];
    assert_eq!(store.commit(set(twice)).await, CONFLICT);
    assert_eq!(store.events(merchant(), id(8)).await, Ok(vec![]));

    // The very same set succeeds at the next version: nothing in the store remembers it.
    for write in &mut loser.writes {
        if let Write::Event(row) = write {
            row.version = 2;
        }
        if let Write::Payment(row) = write {
            row.version = 2;
        }
    }
    assert_eq!(store.commit(loser).await, Ok(()));
    assert_eq!(store.payment(merchant(), id(7)).await.unwrap().unwrap().snapshot, "by 2");
}

async fn a_key_is_claimed_once_until_it_is_released_or_swept(store: Arc<dyn Store>) {
    let taken = Err(CommitError::Conflict(Guard::IdempotencyKey));
    let release = Write::ReleaseKey { merchant: merchant(), key: "a".into() };
    let claim = |payment, expires_at| Write::ClaimKey(key("a", id(payment), expires_at));

    assert_eq!(store.commit(set([claim(1, 100)])).await, Ok(()));
    let mut late = set([claim(2, 100)]);
    late.writes.extend(version(id(2), 1, 1));
    assert_eq!(store.commit(late).await, taken);
    assert_eq!(store.payment(merchant(), id(2)).await, Ok(None));
    assert_eq!(store.idempotency(merchant(), "a").await, Ok(Some(key("a", id(1), 100))));
    assert_eq!(store.idempotency(id(2), "a").await, Ok(None));

    // In one set: given back, then claimed again.
    assert_eq!(store.commit(set([release.clone(), claim(3, 100)])).await, Ok(()));
    assert_eq!(store.idempotency(merchant(), "a").await, Ok(Some(key("a", id(3), 100))));
    assert_eq!(store.commit(set([claim(4, 100), release.clone()])).await, taken);
    assert_eq!(store.commit(set([release.clone()])).await, Ok(()));
    assert_eq!(store.idempotency(merchant(), "a").await, Ok(None));
    assert_eq!(store.commit(set([release])).await, Ok(()));

    let keys = ["b", "c", "d", "e"].iter().zip([100, 200, 300, 400]);
    let claims = keys.map(|(name, expires)| Write::ClaimKey(key(name, id(1), expires)));
    assert_eq!(store.commit(set(claims)).await, Ok(()));
    assert_eq!(store.sweep_idempotency(at(99), 10).await, Ok(0));
    assert_eq!(store.sweep_idempotency(at(300), 2).await, Ok(2));
    assert_eq!(store.idempotency(merchant(), "b").await, Ok(None));
    assert_eq!(store.idempotency(merchant(), "c").await, Ok(None));
    assert!(store.idempotency(merchant(), "d").await.unwrap().is_some());
    assert_eq!(store.sweep_idempotency(at(300), 10).await, Ok(1));
    assert!(store.idempotency(merchant(), "e").await.unwrap().is_some());
}

async fn guards_are_checked_before_anything_else_and_in_one_order(store: Arc<dyn Store>) {
    let taken = vec![
        Write::Outbox(outbox(1, id(1), 1, 0)),
        Write::Audit(audit(1)),
        Write::ClaimKey(key("a", id(1), 100)),
        Write::Event(event(id(1), 1, 1)),
        Write::ApiKey(api_key(1, b"hash")),
        Write::Account(account(1, 1, "one")),
        Write::Merchant(named_merchant(1, "default")),
    ];
    assert_eq!(store.commit(set(taken.clone())).await, Ok(()));
    let mut again = taken;
    // To write the same account again is no conflict; to give another one its name is.
    again[5] = Write::Account(account(2, 2, "one"));
    // The guard of the set's last write, then of the one before, and so on: a set is checked by table.
    let order = [
        Guard::Merchant,
        Guard::AccountName,
        Guard::ApiKey,
        Guard::Version,
        Guard::IdempotencyKey,
        Guard::AuditSeq,
    ];
    for guard in order {
        let expected = Err(CommitError::Conflict(guard));
        assert_eq!(store.commit(set(again.clone())).await, expected);
        let reversed = set(again.iter().rev().cloned());
        assert_eq!(store.commit(reversed).await, expected);
        again.pop();
    }
    // To repeat an outbox row's id is not a race but a bug.
    let expected = Err(CommitError::Invalid("outbox_id".into()));
    assert_eq!(store.commit(set(again)).await, expected);
}

async fn an_invalid_set_is_refused_with_a_reason(store: Arc<dyn Store>) {
    let boot: BootId = id(1);
    let bad_scope = |scope: &str| {
        let mut key = api_key(1, b"hash");
        key.scopes = vec![scope.into()];
        Write::ApiKey(key)
    };
    let long = "k".repeat(MAX_KEY_BYTES + 1);
    let refused = [
        (vec![Write::Payment(payment(id(1), 1, "lonely"))], "event"),
        (vec![Write::Payment(payment(id(1), 2, "")), Write::Event(event(id(1), 1, 1))], "event"),
        (vec![Write::Payment(payment(id(1), 1, "")), Write::Event(event(id(2), 1, 1))], "event"),
        (vec![Write::Event(event(id(1), 0, 1))], "version"),
        (vec![Write::Event(event(id(1), u64::MAX, 1))], "version"),
        (vec![Write::ClaimKey(key("a\0b", id(1), 0))], "NUL"),
        (vec![Write::ReleaseKey { merchant: merchant(), key: "\0".into() }], "NUL"),
        (vec![Write::SetTimer(timer(id(1), "call\0", 0, "node", boot))], "NUL"),
        (vec![Write::Reference(reference("\0", None, id(1), 0))], "NUL"),
        (vec![Write::Account(account(1, 1, "\0"))], "NUL"),
        (vec![Write::ClaimKey(key(&long, id(1), 0))], "longer"),
        (vec![Write::Reference(reference(&long, None, id(1), 0))], "longer"),
        (vec![Write::SetTimer(timer(id(1), &long, 0, "node", boot))], "longer"),
        (vec![Write::Account(account(1, 1, &long))], "longer"),
        (vec![Write::ApiKey(api_key(1, long.as_bytes()))], "longer"),
        (vec![bad_scope("two words")], "scope"),
        (vec![bad_scope("")], "scope"),
    ];
    for (writes, reason) in refused {
        let mut writes = set(writes);
        writes.push(Write::Merchant(named_merchant(5, "never")));
        let error = store.commit(writes.clone()).await.unwrap_err();
        let CommitError::Invalid(why) = &error else { panic!("{writes:?}: {error:?}") };
        assert!(why.contains(reason), "{why} does not name {reason}");
    }
    assert_eq!(store.merchants().await, Ok(vec![]));

    // The longest keys that are accepted fit every index, also if they cannot be compressed.
    let mut state = 1_u64;
    let letters = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b' ' + u8::try_from(state >> 33 & 63).unwrap())
    });
    let longest: String = letters.take(MAX_KEY_BYTES).collect();
    let mut row = reference(&longest, Some(id(1)), id(1), 0);
    row.call = longest.clone();
    let writes = [
        Write::Reference(row.clone()),
        Write::ClaimKey(key(&longest, id(1), 0)),
        Write::SetTimer(timer(id(1), &longest, 0, "node", boot)),
        Write::Account(account(1, 1, &longest)),
        Write::Merchant(named_merchant(1, &longest)),
        Write::ApiKey(api_key(1, longest.as_bytes())),
    ];
    assert_eq!(store.commit(set(writes)).await, Ok(()));
    let found = store.find_reference(merchant(), ReferenceKind::Provider, None, &longest).await;
    assert_eq!(found, Ok(vec![row]));
}

async fn references_are_found_newest_first(store: Arc<dyn Store>) {
    let rows: Vec<_> = (1..=12)
        .map(|n| reference("ref", Some(id(n % 2)), id(n), i64::try_from(n).unwrap() * 10))
        .collect();
    assert_eq!(store.commit(set(rows.iter().cloned().map(Write::Reference))).await, Ok(()));
    let other_kind = ReferenceRow { kind: ReferenceKind::Attempt, ..rows[0].clone() };
    let other_value = reference("ref2", None, id(1), 5);
    let none = reference("ref", None, id(50), 5);
    let more = [other_kind.clone(), other_value.clone(), none.clone()];
    assert_eq!(store.commit(set(more.map(Write::Reference))).await, Ok(()));

    let find = async |kind, account, value: &str| {
        store.find_reference(merchant(), kind, account, value).await.unwrap()
    };
    let newest: Vec<_> = rows.iter().rev().cloned().collect();
    assert_eq!(find(ReferenceKind::Provider, None, "ref").await, newest[..10]);
    let odd: Vec<_> = newest.iter().filter(|r| r.account == Some(id(1))).cloned().collect();
    assert_eq!(find(ReferenceKind::Provider, Some(id(1)), "ref").await, odd);
    assert_eq!(find(ReferenceKind::Attempt, None, "ref").await, [other_kind]);
    assert_eq!(find(ReferenceKind::Provider, None, "ref2").await, [other_value]);
    assert_eq!(find(ReferenceKind::Provider, Some(id(9)), "ref2").await, []);
    assert_eq!(find(ReferenceKind::Merchant, None, "ref").await, []);
    let foreign = store.find_reference(id(2), ReferenceKind::Provider, None, "ref").await;
    assert_eq!(foreign, Ok(vec![]));

    // The same again changes nothing, not even its time. Equal times are ordered by payment and call.
    let again = ReferenceRow { created_at: at(999), ..reference("ref2", None, id(1), 0) };
    let tie = |payment, call: &str| ReferenceRow {
        call: call.into(),
        ..reference("ref2", None, id(payment), 5)
    };
    let writes = [again, tie(1, "b"), tie(2, "a"), tie(1, "_")];
    assert_eq!(store.commit(set(writes.map(Write::Reference))).await, Ok(()));
    let found = find(ReferenceKind::Provider, None, "ref2").await;
    let order: Vec<_> = found.iter().map(|row| (row.payment, row.call.as_str())).collect();
    assert_eq!(order, [(id(2), "a"), (id(1), "b"), (id(1), "authorize"), (id(1), "_")]);
    assert!(found.iter().all(|row| row.created_at == at(5)));
}

async fn account_names_are_unique_among_live_accounts(store: Arc<dyn Store>) {
    let put = |row: &AccountRow| set([Write::Account(row.clone())]);
    let failed = |guard| Err(CommitError::Conflict(guard));
    let remove =
        |n, when| set([Write::RemoveAccount { merchant: merchant(), id: id(n), at: at(when) }]);
    let first = AccountRow {
        base_url: Some("http://127.0.0.1:1".into()),
        config: r#"{"key": "'\"$1"}"#.into(),
        ..account(1, 1, "main")
    };
    assert_eq!(store.commit(put(&first)).await, Ok(()));
    assert_eq!(store.commit(put(&account(2, 2, "main"))).await, failed(Guard::AccountName));
    assert_eq!(store.commit(put(&account(2, 1, "other"))).await, failed(Guard::AccountNumber));
    assert_eq!(store.commit(put(&account(2, 2, "other"))).await, Ok(()));
    assert_eq!(store.commit(put(&account(2, 2, "main"))).await, failed(Guard::AccountName));
    let elsewhere = AccountRow { merchant: id(2), ..account(3, 1, "main") };
    assert_eq!(store.commit(put(&elsewhere)).await, Ok(()));

    // An update keeps the number and the time of creation.
    let changed = AccountRow {
        gateway: "stripe".into(),
        base_url: None,
        test: false,
        updated_at: at(50),
        ..account(1, 77, "renamed")
    };
    let changed_early = AccountRow { created_at: at(49), ..changed.clone() };
    assert_eq!(store.commit(put(&changed_early)).await, Ok(()));
    let expected = AccountRow { number: 1, created_at: at(10), ..changed };
    assert_eq!(store.account(merchant(), id(1)).await, Ok(Some(expected.clone())));
    assert_eq!(store.account(id(2), id(1)).await, Ok(None));

    // A removed account stays readable, keeps its number, and gives its name free.
    assert_eq!(store.commit(remove(1, 60)).await, Ok(()));
    assert_eq!(store.commit(remove(1, 70)).await, Ok(()));
    let removed = AccountRow { removed_at: Some(at(60)), updated_at: at(60), ..expected };
    assert_eq!(store.account(merchant(), id(1)).await, Ok(Some(removed.clone())));
    assert_eq!(store.commit(put(&account(3, 1, "third"))).await, failed(Guard::AccountNumber));
    assert_eq!(store.commit(put(&account(3, 3, "renamed"))).await, Ok(()));
    let revived = AccountRow { removed_at: None, ..removed.clone() };
    assert_eq!(store.commit(put(&revived)).await, failed(Guard::AccountName));
    assert_eq!(store.commit(remove(3, 80)).await, Ok(()));
    assert_eq!(store.commit(put(&revived)).await, Ok(()));
    let all = store.accounts(merchant()).await.unwrap();
    assert_eq!(all.iter().map(|row| row.number).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(all.iter().filter(|row| row.removed_at.is_none()).count(), 2);
    assert_eq!(all[0], revived);
}

async fn merchants_and_api_keys_are_unique(store: Arc<dyn Store>) {
    let failed = |guard| Err(CommitError::Conflict(guard));
    let merchant_row = |n, name| set([Write::Merchant(named_merchant(n, name))]);
    assert_eq!(store.commit(merchant_row(2, "default")).await, Ok(()));
    assert_eq!(store.commit(merchant_row(3, "default")).await, failed(Guard::Merchant));
    assert_eq!(store.commit(merchant_row(2, "other")).await, failed(Guard::Merchant));
    assert_eq!(store.commit(merchant_row(1, "Default")).await, Ok(()));
    let both = vec![named_merchant(1, "Default"), named_merchant(2, "default")];
    assert_eq!(store.merchant_by_name("default").await, Ok(Some(both[1].clone())));
    assert_eq!(store.merchant_by_name("nobody").await, Ok(None));
    assert_eq!(store.merchants().await, Ok(both));

    let api_row = |row| set([Write::ApiKey(row)]);
    let mut first = api_key(2, b"\x00\xff hash");
    first.expires_at = Some(at(500));
    assert_eq!(store.commit(api_row(first.clone())).await, Ok(()));
    assert_eq!(store.commit(api_row(api_key(3, &first.hash))).await, failed(Guard::ApiKey));
    assert_eq!(store.commit(api_row(api_key(2, b"another"))).await, failed(Guard::ApiKey));
    let mut second = api_key(1, b"another");
    second.scopes = vec![];
    second.rate_limit = None;
    assert_eq!(store.commit(api_row(second.clone())).await, Ok(()));
    assert_eq!(store.api_key_by_hash(&first.hash).await, Ok(Some(first.clone())));
    assert_eq!(store.api_key_by_hash(b"").await, Ok(None));

    for when in [60, 70] {
        let revoke = set([Write::RevokeApiKey { id: id(2), at: at(when) }]);
        assert_eq!(store.commit(revoke).await, Ok(()));
    }
    first.revoked_at = Some(at(60));
    assert_eq!(store.api_key_by_hash(&first.hash).await, Ok(Some(first.clone())));
    assert_eq!(store.api_keys(merchant()).await, Ok(vec![second, first]));
    assert_eq!(store.api_keys(id(2)).await, Ok(vec![]));
}

async fn two_hundred_writers_of_one_payment_win_each_version_once(store: Arc<dyn Store>) {
    const WRITERS: u64 = 200;
    const VERSIONS: u64 = 4;
    let writers = (1..=WRITERS).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut won = Vec::new();
            for number in 1..=VERSIONS {
                let mut writes = set(version(id(7), number, writer));
                let message = writer * 100 + number;
                writes.push(Write::Outbox(outbox(message, id(7), number, 0)));
                let call = format!("call {writer}");
                writes.push(Write::SetTimer(timer(id(7), &call, 0, "n", id(1))));
                match store.commit(writes).await {
                    Ok(()) => won.push((number, writer)),
                    Err(error) => assert_eq!(error, CommitError::Conflict(Guard::Version)),
                }
            }
            won
        })
    });
    let won = join_all(writers).await.into_iter().map(Result::unwrap).collect::<Vec<_>>().concat();
    assert_eq!(won.len() as u64, VERSIONS, "{won:?}");
    for &(number, writer) in &won {
        let stands = store.event(merchant(), id(7), number).await.unwrap().unwrap();
        assert_eq!(stands.id, id(writer), "version {number}");
    }
    let latest = store.payment(merchant(), id(7)).await.unwrap().unwrap();
    let (_, winner) = won.iter().find(|(number, _)| *number == VERSIONS).unwrap();
    assert_eq!((latest.version, latest.snapshot), (VERSIONS, format!("by {winner}")));
    let left = store.describe().await.unwrap();
    assert_eq!(left.outbox, VERSIONS, "a loser's message was kept");
    let winners: BTreeSet<_> = won.iter().map(|(_, writer)| writer).collect();
    assert_eq!(left.timers, winners.len() as u64, "a loser's timer was kept");
}

async fn a_conflict_rejects_only_its_own_set(store: Arc<dyn Store>) {
    let taken: Vec<_> = (0..10).map(|n| Write::ClaimKey(key(&format!("k{n}"), id(1), 9))).collect();
    assert_eq!(store.commit(set(taken)).await, Ok(()));
    let writers = (1..=300_u64).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut writes = set(version(id(writer), 1, writer));
            // Every third runs into a taken key; every seventh has a bug.
            let name = if writer % 3 == 0 { writer % 10 } else { writer };
            let prefix = if writer % 3 == 0 { "k" } else { "own " };
            writes.push(Write::ClaimKey(key(&format!("{prefix}{name}"), id(writer), 9)));
            let message = if writer % 7 == 0 { 1_000 } else { writer };
            writes.push(Write::Outbox(outbox(message, id(writer), 1, 0)));
            writes.push(Write::Reference(reference("shared", None, id(writer), 0)));
            (writer, store.commit(writes).await)
        })
    });
    let first = set([Write::Outbox(outbox(1_000, id(1), 1, 0))]);
    assert_eq!(store.commit(first).await, Ok(()));
    for answer in join_all(writers).await {
        let (writer, answer) = answer.unwrap();
        match writer {
            n if n % 3 == 0 => {
                assert_eq!(answer, Err(CommitError::Conflict(Guard::IdempotencyKey)), "{n}");
            }
            n if n % 7 == 0 => {
                assert!(matches!(answer, Err(CommitError::Invalid(_))), "{n}: {answer:?}");
            }
            n => assert_eq!(answer, Ok(()), "{n}"),
        }
        let stands = store.payment(merchant(), id(writer)).await.unwrap().is_some();
        assert_eq!(stands, answer.is_ok(), "{writer}");
    }
}

async fn large_snapshots_are_kept(store: Arc<dyn Store>) {
    let large = "ä€\u{1f4b3}".repeat(400_000);
    let mut writes = set(version(id(7), 1, 1));
    writes.writes[0] = Write::Payment(payment(id(7), 1, &large));
    assert_eq!(store.commit(writes).await, Ok(()));
    let read = store.payment(merchant(), id(7)).await.unwrap().unwrap();
    assert_eq!(read.snapshot.len(), large.len());
    assert!(read.snapshot == large);
}

async fn strange_texts_are_kept_and_found(store: Arc<dyn Store>) {
    let texts = [
        "",
        " ",
        "'",
        "''; drop table payments; --",
        "\"",
        "\\",
        "$1 ?1 :a @b %s",
        "\u{1f4b3} e\u{301} é",
        "\u{feff}\u{202e}",
        "\n\r\t\u{1}\u{7f}",
        "1",
        "01",
        "1e3",
        "NULL",
        "x'00'",
    ];
    for (n, text) in (1..).zip(texts) {
        let mut row = payment(id(n), 1, text);
        (row.status, row.kind, row.currency, row.merchant_ref) =
            (text.into(), text.into(), Some(text.into()), Some(text.into()));
        let writes = [
            Write::Payment(row.clone()),
            Write::Event(event(id(n), 1, n)),
            Write::ClaimKey(key(text, id(n), 0)),
            Write::Reference(reference(text, None, id(n), 0)),
            Write::Merchant(named_merchant(n, text)),
        ];
        assert_eq!(store.commit(set(writes)).await, Ok(()), "{text:?}");
        assert_eq!(store.payment(merchant(), id(n)).await, Ok(Some(row)));
    }
    for (n, text) in (1..).zip(texts) {
        let found = store.idempotency(merchant(), text).await;
        assert_eq!(found, Ok(Some(key(text, id(n), 0))), "{text:?}");
        let found = store.find_reference(merchant(), ReferenceKind::Provider, None, text).await;
        assert_eq!(found, Ok(vec![reference(text, None, id(n), 0)]), "{text:?}");
        let found = store.merchant_by_name(text).await;
        assert_eq!(found, Ok(Some(named_merchant(n, text))), "{text:?}");
    }
    // Nothing stored holds a NUL, so nothing is found by one.
    assert_eq!(store.idempotency(merchant(), "a\0").await, Ok(None));
    assert_eq!(store.merchant_by_name("\0").await, Ok(None));
    let found = store.find_reference(merchant(), ReferenceKind::Provider, None, "\0").await;
    assert_eq!(found, Ok(vec![]));
}

async fn extreme_numbers_are_kept(store: Arc<dyn Store>) {
    let last = u64::try_from(i64::MAX).unwrap();
    for (n, (amount, time)) in (1..).zip([(i64::MIN, i64::MAX), (i64::MAX, i64::MIN), (0, 0)]) {
        let row = PaymentRow {
            amount_minor: Some(amount),
            created_at: at(time),
            updated_at: at(time),
            schema: u32::MAX,
            ..payment(id(n), last, "")
        };
        let mut message = outbox(n, id(n), last, time);
        message.attempts = 7;
        let mut timer = timer(id(n), "", time, "", id(1));
        timer.attempt = u32::MAX;
        let writes = [
            Write::Payment(row.clone()),
            Write::Event(event(id(n), last, 1)),
            Write::Outbox(message),
            Write::SetTimer(timer),
            Write::Account(account(n, amount, &n.to_string())),
        ];
        assert_eq!(store.commit(set(writes)).await, Ok(()));
        assert_eq!(store.payment(merchant(), id(n)).await, Ok(Some(row)));
        assert_eq!(store.event(merchant(), id(n), last).await, Ok(Some(event(id(n), last, 1))));
    }
    let numbers = store.accounts(merchant()).await.unwrap();
    let numbers: Vec<_> = numbers.iter().map(|row| row.number).collect();
    assert_eq!(numbers, [i64::MIN, 0, i64::MAX]);
    let leased = store.lease_outbox(at(i64::MAX), at(i64::MAX), u32::MAX).await.unwrap();
    assert_eq!(leased.len(), 3);
    assert!(leased.iter().all(|row| row.attempts == 8 && row.due_at == at(i64::MAX)));
    let timers = store.lease_timers(at(-1), at(i64::MIN), "", id(1), u32::MAX).await.unwrap();
    assert_eq!(timers.len(), 1);
    assert_eq!((timers[0].due_at, timers[0].attempt), (at(i64::MIN), u32::MAX));
    let every = [0, 1, 255].map(|last| [0, 255, last]);
    for (n, bytes) in (1..).zip(every) {
        let row = api_key(n, &bytes);
        assert_eq!(store.commit(set([Write::ApiKey(row.clone())])).await, Ok(()));
        assert_eq!(store.api_key_by_hash(&bytes).await, Ok(Some(row)));
    }
}

async fn the_store_describes_itself(store: Arc<dyn Store>) {
    assert_eq!(store.ping().await, Ok(()));
    let mut writes = set(version(id(7), 1, 1));
    writes.push(Write::SetTimer(timer(id(7), "a", 0, "n", id(1))));
    assert_eq!(store.commit(writes).await, Ok(()));
    let info = store.describe().await.unwrap();
    assert_eq!((info.payments, info.timers, info.outbox), (1, 1, 0));
    assert!(["memory", "sqlite", "postgres"].contains(&info.backend));
    assert!(info.version.contains('.'), "{}", info.version);
    assert_eq!(info.schema_version > 0, info.backend != "memory");
    assert!(info.settings.iter().all(|(name, value)| !name.is_empty() && !value.is_empty()));
}
