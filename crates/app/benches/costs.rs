//! What the parts of a payment cost by themselves: a connector's encoding and decoding, a step of the state
//! machine, the vault, a durable write set. `cargo bench -p baton`; with a word behind `--`, only what holds it.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a program that measures; criterion's macros make functions without a comment"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use baton_connect::cases::{Ask, Case};
use baton_connect::{Call, HttpReply};
use baton_flow::{
    Candidate, DoubtMode, Facts, Input, Order, OrderKind, Owner, Payment, RetryDeclines, snapshot,
    step,
};
use baton_store::{EventRow, MemoryStore, OpenOptions, PaymentRow, Store, Write, WriteSet};
use baton_types::outcome::{Answer, Outcome};
use baton_types::{Currency, Id, Money, Secret, Timestamp};
use baton_vault::{FileRoot, Tenant, Vault};
use criterion::{Criterion, criterion_group, criterion_main};
use tokio::runtime::Runtime;

const NOW: Timestamp = Timestamp::from_millis(1_795_176_000_000);

/// The first documented purchase of each connector, and its first documented reply.
fn connectors(criterion: &mut Criterion) {
    let files = [
        ("Sandbox", include_str!("../../connectors/src/sandbox/cases/purchase.json")),
        ("Stripe", include_str!("../../connectors/src/stripe/cases/purchase.json")),
        ("Adyen", include_str!("../../connectors/src/adyen/cases/purchase.json")),
    ];
    let all = baton_connectors::all().unwrap();
    for (name, file) in files {
        let named = |connector: &&Arc<dyn baton_connect::Connector>| {
            connector.manifest().gateway_name == name
        };
        let connector = all.iter().find(named).unwrap();
        let cases: Vec<Case> = serde_json::from_str(file).unwrap();
        let (operation, case, call) = cases
            .iter()
            .find_map(|case| match &case.ask {
                Ask::Operation(operation) if !case.replies.is_empty() => {
                    match connector.encode(operation, &case.cx).ok()? {
                        Call::Http(call) => Some((operation, case, call)),
                        Call::Immediate(_) => None,
                    }
                }
                Ask::Operation(_)
                | Ask::LookUp(_)
                | Ask::Complete { .. }
                | Ask::Retrieve(_)
                | Ask::Dispute(_) => None,
            })
            .unwrap();
        let reply = case.replies.first().unwrap();
        let reply = HttpReply {
            status: reply.status,
            headers: reply.headers.clone(),
            body: reply.body.to_string().into_bytes(),
        };
        criterion.bench_function(&format!("connector encode {name}"), |bench| {
            bench.iter(|| connector.encode(black_box(operation), &case.cx));
        });
        criterion.bench_function(&format!("connector decode {name}"), |bench| {
            bench.iter(|| connector.decode(operation, &case.cx, &call, black_box(&reply)));
        });
    }
}

fn payment() -> Payment {
    let candidate = |no: u8| Candidate {
        account: Id::from_bytes([no; 16]),
        label: format!("account-{no}"),
        gateway: "Sandbox".to_owned(),
        quiet_ms: Some(12_000),
        replay_ms: Some(86_400_000),
        inline: false,
        certificate: None,
        index_lag_ms: 0,
        cancel: None,
        increments: false,
    };
    let order = Order {
        kind: OrderKind::Charge(Money::new(1023, Currency::parse("EUR").unwrap())),
        merchant_ref: Some("order-1".to_owned()),
        card: None,
        candidates: (1..=3).map(candidate).collect(),
        doubt: DoubtMode::ResolveFirst,
        retry_declines: RetryDeclines::GATEWAY_LIST,
        failover_until: NOW.plus_millis(30_000),
        test: true,
        payer_present: true,
        imported: false,
    };
    Payment::new(Id::from_bytes([7; 16]), Id::from_bytes([9; 16]), order, NOW)
}

fn flow(criterion: &mut Criterion) {
    let owner = Owner { node: "node-1".to_owned(), boot: Id::from_bytes([5; 16]) };
    let facts = Facts { now: NOW, owner, send_window_ms: 5_000, live: true, evidence: None };
    let new = payment();
    criterion.bench_function("flow step: plan the first attempt", |bench| {
        bench.iter(|| step(black_box(&new), Input::Begin, &facts));
    });
    let planned = step(&new, Input::Begin, &facts).unwrap().next;
    let answer = Answer { reference: Some("tr-1".to_owned()), ..Answer::default() };
    let amount = planned.order.kind.amount();
    let outcome = Outcome::Approved { amount, answer };
    let call = baton_flow::CallId::Attempt(1);
    criterion.bench_function("flow step: record an approval", |bench| {
        let input = || Input::Outcome { call, outcome: outcome.clone() };
        bench.iter(|| step(black_box(&planned), input(), &facts));
    });
    let approved = step(&planned, Input::Outcome { call, outcome }, &facts).unwrap().next;
    criterion.bench_function("flow snapshot encode", |bench| {
        bench.iter(|| snapshot::encode(black_box(&approved)));
    });
    let text = snapshot::encode(&approved).unwrap();
    criterion.bench_function("flow snapshot decode", |bench| {
        bench.iter(|| snapshot::decode(snapshot::SCHEMA, black_box(&text)));
    });
}

fn vault(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (root, _) = FileRoot::open_or_create(&folder.path().join("root.key")).unwrap();
    let vault = runtime.block_on(async {
        let options = OpenOptions { migrate: true, ..OpenOptions::default() };
        let store = baton_store::open_vault("memory:", options).await.unwrap();
        Vault::open(store, Arc::new(root), NOW).await.unwrap()
    });
    let tenant = Tenant { merchant: Id::from_bytes([1; 16]), sandbox: false };
    let card = Secret::new("4000000000000002".to_owned());
    criterion.bench_function("vault tokenize and delete", |bench| {
        bench.iter(|| {
            runtime.block_on(async {
                let token = vault.tokenize(tenant, &card, NOW).await.unwrap();
                vault.delete(tenant, &token.text).await.unwrap()
            })
        });
    });
    let token = runtime.block_on(vault.tokenize(tenant, &card, NOW)).unwrap().text;
    criterion.bench_function("vault reveal", |bench| {
        bench.iter(|| runtime.block_on(vault.reveal(tenant, black_box(&token), NOW)).unwrap());
    });
}

/// A payment's first version and its event.
fn write_set(number: u64) -> WriteSet {
    let mut random = [0; 10];
    for (to, from) in random.iter_mut().zip(number.to_be_bytes()) {
        *to = from;
    }
    let merchant = Id::from_bytes([9; 16]);
    let id = Id::from_parts(1_795_176_000_000, random);
    WriteSet::from(vec![
        Write::Event(EventRow {
            id: Id::from_parts(1_795_176_000_000, random),
            merchant,
            payment: id,
            version: 1,
            at: NOW,
            schema: 1,
            body: "e".repeat(500),
        }),
        Write::Payment(PaymentRow {
            merchant,
            id,
            version: 1,
            status: "authorizing".into(),
            kind: "charge".into(),
            amount_minor: Some(1023),
            currency: Some("EUR".into()),
            merchant_ref: Some(format!("order {number}")),
            test: true,
            account: None,
            created_at: NOW,
            updated_at: NOW,
            schema: 1,
            snapshot: "s".repeat(1500),
        }),
    ])
}

fn store(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("baton.db").display());
    let options = OpenOptions { migrate: true, ..OpenOptions::default() };
    let sqlite = runtime.block_on(baton_store::open(&url, options)).unwrap();
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let mut number = 0;
    for (name, store) in [("memory", memory), ("sqlite, durable", sqlite)] {
        criterion.bench_function(&format!("store commit, {name}"), |bench| {
            bench.iter(|| {
                number += 1;
                runtime.block_on(store.commit(write_set(number))).unwrap();
            });
        });
    }
}

criterion_group! {
    name = costs;
    config = Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1));
    targets = connectors, flow, vault, store
}
criterion_main!(costs);
