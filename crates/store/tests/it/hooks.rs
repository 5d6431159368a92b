//! What every backend does with events for merchants; [`crate::conformance`] runs it.

use std::sync::Arc;

use baton_store::{
    HookAttemptRow, HookEventRow, HookOutcome, HookQuery, HookRecord, HookReplay, HookState,
    HookStreamRow, Store, Write,
};
use baton_types::Timestamp;
use futures_util::future::join_all;

use crate::support::*;

fn stream(name: &str, due_at: Option<i64>) -> HookStreamRow {
    HookStreamRow {
        merchant: merchant(),
        id: name.into(),
        profile: "pro".into(),
        state: "{}".into(),
        due_at: due_at.map(at),
        updated_at: at(5),
    }
}

fn hook(name: &str, seq: i64) -> HookEventRow {
    HookEventRow {
        merchant: merchant(),
        id: format!("evt_{name}_{seq}"),
        stream: name.into(),
        seq,
        profile: "pro".into(),
        object: name.into(),
        class: "payments".into(),
        kind: "payment_succeeded".into(),
        state: HookState::Pending,
        attempts: 0,
        created_at: at(seq),
        updated_at: at(seq),
        body: format!("{{\"seq\": {seq}}}"),
    }
}

fn record(message: u64, name: &str, events: Vec<HookEventRow>) -> HookRecord {
    HookRecord { message: id(message), stream: stream(name, Some(10)), events }
}

fn outcome(event: &HookEventRow, state: Option<HookState>, due_at: Option<i64>) -> HookOutcome {
    HookOutcome {
        merchant: merchant(),
        stream: event.stream.clone(),
        event: event.id.clone(),
        state,
        counts: true,
        attempt: None,
        due_at: due_at.map(at),
        at: at(50),
    }
}

async fn due_at(store: &Arc<dyn Store>, name: &str) -> Option<Timestamp> {
    store.webhooks().hook_stream(merchant(), name).await.unwrap().unwrap().due_at
}

pub async fn a_message_ends_with_what_it_tells(store: Arc<dyn Store>) {
    let rows = [1, 2].map(|n| Write::Outbox(outbox(n, id(n), 1, 0)));
    store.commit(set(rows)).await.unwrap();
    let hooks = store.webhooks();
    let (first, second) = (hook("a", 1), hook("a", 2));
    assert_eq!(hooks.record_hooks(record(1, "a", vec![first.clone()])).await, Ok(()));
    assert_eq!(store.describe().await.unwrap().outbox, 1);
    // What is recorded again stays as it was, whatever it says now.
    let again = HookEventRow { body: "other".into(), ..first.clone() };
    let both = record(2, "a", vec![again, second.clone()]);
    assert_eq!(hooks.record_hooks(both).await, Ok(()));
    assert_eq!(store.describe().await.unwrap().outbox, 0);
    assert_eq!(hooks.hook_event(merchant(), &first.id).await, Ok(Some(first.clone())));
    assert_eq!(hooks.hook_event(id(2), &first.id).await, Ok(None));
    assert_eq!(hooks.next_hook_event(merchant(), "a").await, Ok(Some(first)));
    assert_eq!(hooks.next_hook_event(merchant(), "b").await, Ok(None));
    // A message that tells nothing leaves what the stream remembers.
    let state = HookStreamRow { state: "2".into(), ..stream("quiet", Some(1)) };
    let nothing = HookRecord { message: id(9), stream: state, events: vec![] };
    assert_eq!(hooks.record_hooks(nothing).await, Ok(()));
    let kept = hooks.hook_stream(merchant(), "quiet").await.unwrap().unwrap();
    assert_eq!((kept.state.as_str(), kept.due_at), ("2", None));
    let bad = HookEventRow { body: "\0".into(), ..hook("a", 3) };
    assert!(hooks.record_hooks(record(9, "a", vec![bad])).await.is_err());
}

pub async fn a_stream_is_due_while_one_of_its_events_waits(store: Arc<dyn Store>) {
    let hooks = store.webhooks();
    let events: Vec<_> = (1..=3).map(|seq| hook("a", seq)).collect();
    let [first, second, third] = [0, 1, 2].map(|n| events[n].clone());
    hooks.record_hooks(record(1, "a", vec![first.clone(), second.clone()])).await.unwrap();
    assert_eq!(due_at(&store, "a").await, Some(at(10)));
    // A later event does not move the time at which the first one is sent again.
    hooks.conclude_hook(outcome(&first, None, Some(900))).await.unwrap();
    hooks.record_hooks(record(2, "a", vec![third.clone()])).await.unwrap();
    assert_eq!(due_at(&store, "a").await, Some(at(900)));
    let next = hooks.next_hook_event(merchant(), "a").await.unwrap().unwrap();
    assert_eq!((next.id.as_str(), next.attempts, next.updated_at), (first.id.as_str(), 1, at(50)));
    let delivered = Some(HookState::Delivered);
    hooks.conclude_hook(outcome(&first, delivered, Some(60))).await.unwrap();
    assert_eq!(hooks.next_hook_event(merchant(), "a").await.unwrap().unwrap().id, second.id);
    assert_eq!(due_at(&store, "a").await, Some(at(60)));
    // Without a time of its own it keeps the one that it has.
    hooks.conclude_hook(outcome(&third, Some(HookState::GivenUp), None)).await.unwrap();
    assert_eq!(due_at(&store, "a").await, Some(at(60)));
    hooks.conclude_hook(outcome(&second, delivered, Some(70))).await.unwrap();
    assert_eq!(due_at(&store, "a").await, None);
    hooks.defer_hook_stream(merchant(), "a", at(80)).await.unwrap();
    assert_eq!(due_at(&store, "a").await, None);
    // What was delivered stays so; what was given up can still be delivered by hand.
    hooks.conclude_hook(outcome(&second, Some(HookState::GivenUp), None)).await.unwrap();
    hooks.conclude_hook(outcome(&third, delivered, None)).await.unwrap();
    for event in [&second, &third] {
        let state = hooks.hook_event(merchant(), &event.id).await.unwrap().unwrap().state;
        assert_eq!(state, HookState::Delivered);
    }
}

pub async fn of_many_that_conclude_and_record_at_once_nothing_is_left_behind(
    store: Arc<dyn Store>,
) {
    let hooks = store.webhooks();
    for round in 0..20 {
        let name = format!("s{round}");
        let first = hook(&name, 1);
        hooks.record_hooks(record(1, &name, vec![first.clone()])).await.unwrap();
        // The last event is delivered while others come.
        let concluded = async {
            hooks
                .conclude_hook(outcome(&first, Some(HookState::Delivered), Some(60)))
                .await
                .unwrap();
        };
        let recorded = join_all((2..6).map(|seq| {
            let event = hook(&name, seq);
            let name = name.clone();
            async move { hooks.record_hooks(record(1, &name, vec![event])).await.unwrap() }
        }));
        tokio::join!(concluded, recorded);
        assert!(due_at(&store, &name).await.is_some(), "round {round}");
        for seq in 2..6 {
            let event = hook(&name, seq);
            hooks
                .conclude_hook(outcome(&event, Some(HookState::Delivered), Some(60)))
                .await
                .unwrap();
        }
        assert_eq!(due_at(&store, &name).await, None);
    }
}

pub async fn streams_are_leased_once(store: Arc<dyn Store>) {
    let hooks = store.webhooks();
    for n in 0..40 {
        let name = format!("s{n:02}");
        let row = HookRecord {
            message: id(1),
            stream: stream(&name, Some(n)),
            events: vec![hook(&name, 1)],
        };
        hooks.record_hooks(row).await.unwrap();
    }
    let first = hooks.lease_hook_streams(at(4), at(100), 3).await.unwrap();
    let names: Vec<_> = first.iter().map(|row| (row.id.as_str(), row.due_at)).collect();
    assert_eq!(names, [("s00", Some(at(100))), ("s01", Some(at(100))), ("s02", Some(at(100)))]);
    let backlog = hooks.hook_backlog(at(10)).await.unwrap();
    assert_eq!((backlog.streams, backlog.oldest_due), (40, Some(at(3))));
    let takes = join_all((0..8).map(|_| hooks.lease_hook_streams(at(50), at(100), 10))).await;
    let mut names: Vec<_> =
        takes.into_iter().flat_map(|rows| rows.unwrap()).map(|row| row.id).collect();
    names.sort();
    let before = names.len();
    names.dedup();
    assert_eq!(names.len(), before, "nobody leases what another has");
    let rest = hooks.lease_hook_streams(at(50), at(100), 100).await.unwrap().len();
    assert_eq!(names.len() + rest, 37);
    assert_eq!(hooks.lease_hook_streams(at(99), at(200), 100).await, Ok(vec![]));
    assert_eq!(hooks.hook_backlog(at(99)).await.unwrap().oldest_due, None);
    assert_eq!(hooks.lease_hook_streams(at(100), at(200), 100).await.unwrap().len(), 40);
}

pub async fn events_are_listed_and_counted_by_what_they_are(store: Arc<dyn Store>) {
    let hooks = store.webhooks();
    let refund = |seq| HookEventRow {
        class: "refunds".into(),
        kind: "refund_succeeded".into(),
        object: "ref".into(),
        state: HookState::GivenUp,
        ..hook("a", seq)
    };
    let other = HookEventRow { profile: "other".into(), ..hook("a", 5) };
    let mut events: Vec<_> = (1..=3).map(|seq| hook("a", seq)).collect();
    events.extend([refund(4), other]);
    hooks.record_hooks(record(1, "a", events.clone())).await.unwrap();
    hooks.conclude_hook(outcome(&events[1], Some(HookState::Delivered), None)).await.unwrap();
    let all = HookQuery::of(merchant());
    let word = |word: &str| vec![word.to_owned()];
    let rows: Vec<(HookQuery, &[i64])> = vec![
        (all.clone(), &[5, 4, 3, 2, 1]),
        (HookQuery { limit: 2, offset: 1, ..all.clone() }, &[4, 3]),
        (HookQuery { from: at(2), to: at(4), ..all.clone() }, &[4, 3, 2]),
        (HookQuery { to: at(4), to_id: Some("evt_a_4".into()), ..all.clone() }, &[3, 2, 1]),
        (HookQuery { to: at(4), to_id: Some("evt_b".into()), ..all.clone() }, &[4, 3, 2, 1]),
        (HookQuery { id: Some("evt_a_3".into()), ..all.clone() }, &[3]),
        (HookQuery { object: Some("ref".into()), ..all.clone() }, &[4]),
        (HookQuery { object: Some("ref".into()), classes: word("payments"), ..all.clone() }, &[]),
        (HookQuery { profile: Some("other".into()), ..all.clone() }, &[5]),
        (HookQuery { classes: word("refunds"), ..all.clone() }, &[4]),
        (HookQuery { kinds: word("payment_succeeded"), ..all.clone() }, &[5, 3, 2, 1]),
        (HookQuery { states: vec![HookState::Delivered], ..all.clone() }, &[2]),
        (
            HookQuery { states: vec![HookState::Pending, HookState::GivenUp], ..all.clone() },
            &[5, 4, 3, 1],
        ),
        (HookQuery::of(id(2)), &[]),
    ];
    for (query, want) in rows {
        let found = hooks.hook_events(&query).await.unwrap();
        let seqs: Vec<_> = found.iter().map(|row| row.seq).collect();
        assert_eq!(seqs, want, "{query:?}");
        let whole = HookQuery { limit: 100, offset: 0, ..query.clone() };
        let whole = hooks.hook_events(&whole).await.unwrap().len() as u64;
        assert_eq!(hooks.count_hook_events(&query).await, Ok(whole), "{query:?}");
    }
}

pub async fn an_event_is_told_again_in_its_place(store: Arc<dyn Store>) {
    let hooks = store.webhooks();
    let replay = async |event: &HookEventRow, when: i64| {
        let replay = HookReplay {
            merchant: merchant(),
            stream: event.stream.clone(),
            event: event.id.clone(),
            at: at(when),
            busy_until: at(when + 20),
        };
        store.commit(set([Write::ReplayHook(replay)])).await
    };
    let events: Vec<_> = (1..=3).map(|seq| hook("a", seq)).collect();
    hooks.record_hooks(record(1, "a", events.clone())).await.unwrap();
    let given_up = Some(HookState::GivenUp);
    hooks.conclude_hook(outcome(&events[0], given_up, Some(60))).await.unwrap();
    hooks.conclude_hook(outcome(&events[1], Some(HookState::Delivered), Some(60))).await.unwrap();
    // What was given up, and what was taken, waits again, with the tries that the rest of the schedule has.
    for (event, when) in [(&events[0], 70), (&events[1], 71)] {
        assert_eq!(replay(event, when).await, Ok(()));
        let seen = hooks.hook_event(merchant(), &event.id).await.unwrap().unwrap();
        assert_eq!((seen.state, seen.attempts), (HookState::Pending, 1), "{seen:?}");
        assert_eq!(seen.updated_at, at(when));
        assert_eq!(hooks.next_hook_event(merchant(), "a").await.unwrap().unwrap().seq, 1);
    }
    // A worker may hold the stream: it keeps its time.
    assert_eq!(due_at(&store, "a").await, Some(at(60)));
    // What waits for its next try waits no longer, and has made as many as before.
    hooks.conclude_hook(outcome(&events[0], None, Some(900))).await.unwrap();
    assert_eq!(replay(&events[0], 100).await, Ok(()));
    assert_eq!(due_at(&store, "a").await, Some(at(100)));
    let seen = hooks.hook_event(merchant(), &events[0].id).await.unwrap().unwrap();
    assert_eq!((seen.state, seen.attempts), (HookState::Pending, 2));
    for event in &events {
        hooks.conclude_hook(outcome(event, Some(HookState::Delivered), None)).await.unwrap();
    }
    assert_eq!(due_at(&store, "a").await, None);
    assert_eq!(replay(&events[2], 200).await, Ok(()));
    assert_eq!(due_at(&store, "a").await, Some(at(200)));
    // Nothing is made of what is not there, and nothing waits that nobody would send.
    assert_eq!(replay(&hook("a", 9), 300).await, Ok(()));
    assert_eq!(hooks.hook_event(merchant(), "evt_a_9").await, Ok(None));
    let lone = HookEventRow { stream: "gone".into(), ..events[1].clone() };
    assert_eq!(replay(&lone, 300).await, Ok(()));
    let seen = hooks.hook_event(merchant(), &lone.id).await.unwrap().unwrap();
    assert_eq!(seen.state, HookState::Delivered);
    // With the audit log's entry it is one commit: a guard that fails takes it along.
    let wrong = HookReplay {
        merchant: merchant(),
        stream: "a".into(),
        event: events[0].id.clone(),
        at: at(400),
        busy_until: at(420),
    };
    let twice = Write::Event(event(id(1), 1, 11));
    store.commit(set([twice.clone(), Write::Payment(payment(id(1), 1, "x"))])).await.unwrap();
    assert!(store.commit(set([twice, Write::ReplayHook(wrong)])).await.is_err());
    let seen = hooks.hook_event(merchant(), &events[0].id).await.unwrap().unwrap();
    assert_eq!(seen.state, HookState::Delivered);
}

pub async fn what_has_ended_is_swept(store: Arc<dyn Store>) {
    let hooks = store.webhooks();
    let (done, waits) = (hook("done", 1), hook("waits", 2));
    for event in [&done, &waits] {
        hooks.record_hooks(record(1, &event.stream, vec![event.clone()])).await.unwrap();
    }
    let attempt = |event: &HookEventRow, name: &str, when| HookAttemptRow {
        merchant: merchant(),
        event: event.id.clone(),
        id: name.into(),
        kind: "initial_attempt".into(),
        at: at(when),
        took_ms: 3,
        status: Some(200),
        error: None,
        request: "[]".into(),
        response: "{}".into(),
    };
    let tried = |event: &HookEventRow, state, name: &str, when| HookOutcome {
        attempt: Some(attempt(event, name, when)),
        ..outcome(event, state, Some(99))
    };
    let delivered = Some(HookState::Delivered);
    hooks.conclude_hook(tried(&done, delivered, "t2", 20)).await.unwrap();
    hooks.conclude_hook(tried(&done, delivered, "t1", 10)).await.unwrap();
    hooks.conclude_hook(tried(&waits, None, "t3", 30)).await.unwrap();
    let log = hooks.hook_attempts(merchant(), &done.id).await.unwrap();
    assert_eq!(log, [attempt(&done, "t1", 10), attempt(&done, "t2", 20)]);
    assert_eq!(hooks.sweep_hooks(at(9), 100).await, Ok(0));
    // At most so many of each sort; the event that waits stays, and so does its stream.
    assert_eq!(hooks.sweep_hooks(at(50), 1).await, Ok(3));
    assert_eq!(hooks.sweep_hooks(at(50), 100).await, Ok(2));
    assert_eq!(hooks.hook_event(merchant(), &done.id).await, Ok(None));
    assert_eq!(hooks.hook_stream(merchant(), "done").await, Ok(None));
    assert!(hooks.hook_event(merchant(), &waits.id).await.unwrap().is_some());
    assert_eq!(due_at(&store, "waits").await, Some(at(99)));
}

pub async fn the_message_of_a_version_is_known_to_be_there(store: Arc<dyn Store>) {
    let hooks = store.webhooks();
    let writes = [
        Write::Event(event(id(1), 1, 11)),
        Write::Payment(payment(id(1), 1, "x")),
        Write::Outbox(outbox(11, id(1), 1, 0)),
    ];
    store.commit(set(writes)).await.unwrap();
    assert_eq!(hooks.is_in_outbox(merchant(), id(1), 1).await, Ok(true));
    assert_eq!(hooks.is_in_outbox(merchant(), id(1), 2).await, Ok(false));
    assert_eq!(hooks.is_in_outbox(merchant(), id(2), 1).await, Ok(false));
    assert_eq!(store.lease_outbox(at(0), at(1_000), 9).await.unwrap().len(), 1);
    hooks.release_outbox(&[id(11), id(12)], at(7)).await.unwrap();
    assert_eq!(store.lease_outbox(at(6), at(1_000), 9).await, Ok(vec![]));
    assert_eq!(store.lease_outbox(at(7), at(1_000), 9).await.unwrap().len(), 1);
    store.ack_outbox(&[id(11)]).await.unwrap();
    assert_eq!(hooks.is_in_outbox(merchant(), id(1), 1).await, Ok(false));
}
