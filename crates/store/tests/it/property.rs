//! Any sequence of writes, leases and sweeps has the same answers and leaves the same state in memory and
//! in SQLite.

use baton_store::{
    AccountRow, AuditQuery, AuditRow, CommitError, MemoryStore, OutboxRow, ReferenceKind,
    ReferenceRow, Store, Write, WriteSet, open,
};
use baton_types::{AccountId, EventId, PaymentId};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::audit::audit;
use crate::guards::guard;
use crate::support::*;

/// Few of everything, so that writes meet.
const FEW: std::ops::Range<u64> = 1..4;

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Write>),
    LeaseTimers { now: i64, worker: u64, limit: u32 },
    LeaseOutbox { now: i64, limit: u32 },
    Ack(Vec<u64>),
    Sweep { now: i64, limit: u32 },
}

fn call() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "_", "A"]).prop_map(str::to_owned)
}

fn timers() -> impl Strategy<Value = Write> {
    let set = (FEW, call(), 0_i64..20, FEW)
        .prop_map(|(p, call, due, n)| Write::SetTimer(timer(id(p), &call, due, "n", id(n))));
    let clear = (FEW, call()).prop_map(|(p, call)| Write::ClearTimer {
        merchant: merchant(),
        payment: id(p),
        call,
    });
    prop_oneof![set, clear]
}

fn keys() -> impl Strategy<Value = Write> {
    let claim =
        (call(), FEW, 0_i64..20).prop_map(|(name, p, e)| Write::ClaimKey(key(&name, id(p), e)));
    let release = call().prop_map(|key| Write::ReleaseKey { merchant: merchant(), key });
    prop_oneof![claim, release]
}

fn guards() -> impl Strategy<Value = Write> {
    let take = (call(), FEW).prop_map(|(key, p)| Write::TakeGuard(guard(&key, p)));
    let keep = (call(), FEW).prop_map(|(key, p)| Write::KeepGuard(guard(&key, p)));
    let release = (call(), FEW).prop_map(|(key, p)| Write::ReleaseGuard {
        merchant: merchant(),
        key,
        payment: id(p),
    });
    prop_oneof![take, keep, release]
}

fn accounts() -> impl Strategy<Value = Write> {
    // A number of its own for each: which of two broken guards is told first is not promised.
    let put = (FEW, call(), any::<bool>()).prop_map(|(n, name, removed)| {
        let removed_at = removed.then_some(at(3));
        Write::Account(AccountRow { removed_at, ..account(n, n.cast_signed(), &name) })
    });
    let remove = (FEW, 10_i64..12).prop_map(|(n, when)| Write::RemoveAccount {
        merchant: merchant(),
        id: id(n),
        at: at(when),
    });
    let add = (FEW, call()).prop_map(|(n, name)| Write::Merchant(named_merchant(n, &name)));
    let api = (FEW, FEW).prop_map(|(n, hash)| Write::ApiKey(api_key(n, &hash.to_be_bytes())));
    let revoke =
        (FEW, 20_i64..22).prop_map(|(n, when)| Write::RevokeApiKey { id: id(n), at: at(when) });
    prop_oneof![3 => put, 2 => remove, 1 => add, 1 => api, 1 => revoke]
}

fn write() -> impl Strategy<Value = Vec<Write>> {
    let version = (FEW, 1_u64..6, 1_u64..100).prop_map(|(p, version, writer)| {
        let snapshot = format!("{version} by {writer}");
        vec![
            Write::Payment(payment(id(p), version, &snapshot)),
            Write::Event(event(id(p), version, writer)),
        ]
    });
    let lonely = (FEW, 1_u64..3).prop_map(|(p, v)| vec![Write::Payment(payment(id(p), v, ""))]);
    let message = (1_u64..9, FEW, 1_u64..6, 0_i64..20)
        .prop_map(|(n, p, v, due)| vec![Write::Outbox(outbox(n, id(p), v, due))]);
    let found = (FEW, call(), FEW, 0_i64..5, any::<bool>()).prop_map(|(a, value, p, t, some)| {
        let account = some.then_some(id::<baton_types::kind::Account>(a));
        vec![Write::Reference(ReferenceRow {
            call: value.clone(),
            ..reference(&value, account, id(p), t)
        })]
    });
    // Few numbers, and a few that do not follow one another.
    let audited = (1_u8..6, 0_u8..8).prop_map(|(n, odd)| {
        let prev = if odd == 0 && n > 1 { Some(vec![n + 1; 32]) } else { audit(n).prev };
        vec![Write::Audit(AuditRow { prev, hash: vec![n; 32], ..audit(n) })]
    });
    prop_oneof![
        3 => audited,
        6 => version,
        1 => lonely,
        3 => message,
        3 => found,
        4 => timers().prop_map(|write| vec![write]),
        4 => keys().prop_map(|write| vec![write]),
        3 => guards().prop_map(|write| vec![write]),
        3 => accounts().prop_map(|write| vec![write]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let commit = vec(write(), 1..5).prop_map(|writes| Step::Commit(writes.concat()));
    let lease = (0_i64..30, FEW, 0_u32..4).prop_map(|(now, worker, limit)| Step::LeaseTimers {
        now,
        worker,
        limit,
    });
    let messages = (0_i64..30, 0_u32..4).prop_map(|(now, limit)| Step::LeaseOutbox { now, limit });
    let ack = vec(1_u64..9, 0..3).prop_map(Step::Ack);
    let sweep = (0_i64..30, 1_u32..3).prop_map(|(now, limit)| Step::Sweep { now, limit });
    prop_oneof![8 => commit, 1 => lease, 1 => messages, 1 => ack, 1 => sweep]
}

/// Takes a step and tells its answer as text.
async fn take(store: &dyn Store, step: Step) -> String {
    match step {
        Step::Commit(writes) => {
            let answer = store.commit(WriteSet::from(writes)).await;
            let failed = matches!(answer, Err(CommitError::Unavailable(_) | CommitError::InDoubt));
            assert!(!failed, "{answer:?}");
            // SQLite does not name a reference that leads nowhere.
            format!("{answer:?}").replace("FOREIGN KEY constraint failed", "audit_follows")
        }
        Step::LeaseTimers { now, worker, limit } => {
            let until = at(now + 5);
            format!("{:?}", store.lease_timers(at(now), until, "w", id(worker), limit).await)
        }
        Step::LeaseOutbox { now, limit } => {
            format!("{:?}", store.lease_outbox(at(now), at(now + 5), limit).await)
        }
        Step::Ack(ids) => {
            let ids: Vec<EventId> = ids.into_iter().map(id).collect();
            format!("{:?}", store.ack_outbox(&ids).await)
        }
        Step::Sweep { now, limit } => {
            // Among keys that expire together it is open which are swept: sweep the rest as well.
            let first = store.sweep_idempotency(at(now), limit).await;
            format!("{first:?} {:?}", store.sweep_idempotency(at(now), 1000).await)
        }
    }
}

/// Everything that can be read, as text. Leases come last, because they change what they read.
async fn dump(store: &dyn Store) -> Vec<String> {
    let mut all = vec![
        format!("{:?}", store.merchants().await),
        format!("{:?}", store.accounts(merchant()).await),
        format!("{:?}", store.api_keys(merchant()).await),
    ];
    let configs = store.accounts(merchant()).await.unwrap();
    all.extend(configs.iter().map(|row| format!("{} {:?}", row.config, row.base_url)));
    let log = AuditQuery { limit: 100, ..AuditQuery::default() };
    all.push(format!("{:?}", store.audit(&log).await));
    for p in FEW {
        let p: PaymentId = id(p);
        all.push(format!("{:?}", store.payment(merchant(), p).await));
        all.push(format!("{:?}", store.events(merchant(), p).await));
    }
    for name in ["a", "b", "_", "A"] {
        all.push(format!("{:?}", store.idempotency(merchant(), name).await));
        let guard = store.guard(merchant(), name).await.unwrap();
        all.push(format!("{:?}", guard.map(|row| (row.key, row.payment))));
        for account in [None, Some(1), Some(2)] {
            let account: Option<AccountId> = account.map(id);
            let kind = ReferenceKind::Provider;
            let found = store.find_reference(merchant(), kind, account, name).await;
            all.push(format!("{found:?}"));
        }
    }
    for node in ["n", "w"] {
        all.push(format!("{:?}", store.timers_of_other_boots(node, id(9), 100).await));
    }
    let rows: Vec<OutboxRow> = store.lease_outbox(at(1000), at(1001), 1000).await.unwrap();
    all.push(format!("{rows:?}"));
    all.push(format!("{:?}", store.lease_timers(at(1000), at(1001), "n", id(1), 1000).await));
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn memory_and_sqlite_agree(steps in vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let url = format!("sqlite:{}", directory.path().join("baton.db").display());
            let sqlite = open(&url, migrate()).await.unwrap();
            let memory = MemoryStore::default();
            for step in steps {
                let expected = take(&memory, step.clone()).await;
                assert_eq!(take(&*sqlite, step.clone()).await, expected, "{step:?}");
            }
            assert_eq!(dump(&*sqlite).await, dump(&memory).await);
        });
    }
}
