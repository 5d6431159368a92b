//! Messages that come to the recorder of webhooks in another order than they were written in.

use std::sync::Arc;
use std::time::Duration;

use baton_api::ContractForm;
use baton_engine::EventSink as _;
use baton_hooks::{Policy, Schedule, Sender};
use baton_payments::{HookSettings, HookSink, Payments};
use baton_store::{HookQuery, OutboxRow, Store};
use serde_json::json;

use super::{Shop, payment};
use crate::server::OPERATOR;

/// A recorder beside a server whose own does nothing.
fn recorder(shop: &Shop) -> HookSink {
    let settings = HookSettings {
        sender: Sender::new(Policy::default(), &[], Duration::from_secs(1)).unwrap(),
        schedule: Schedule::of_millis(vec![50]),
        shows: Arc::new(ContractForm),
        keep_ms: 3_600_000,
    };
    let sink = HookSink::new(None);
    sink.connect(Payments::new(shop.server.engine.clone(), true).with_webhooks(settings));
    sink
}

async fn told(store: &dyn Store, row: &OutboxRow) -> Vec<String> {
    let query = HookQuery::of(row.merchant);
    let mut events = store.webhooks().hook_events(&query).await.unwrap();
    events.sort_by_key(|event| event.seq);
    events.into_iter().map(|event| event.kind).collect()
}

#[tokio::test]
async fn a_message_waits_for_the_one_before_it_and_comes_once() {
    let shop = Shop::open().await;
    let change = json!({"webhook_details": {"webhook_url": "https://hooks.example/"}});
    let set = shop.send_as(OPERATOR, "POST", "/accounts/shop", &change).await;
    assert_eq!(set.status, 200, "{set:?}");
    shop.post("/payments", payment(1_000)).await;
    let store = shop.server.engine.store().as_ref();
    let now = shop.server.engine.clock().now();
    let (due, lease) = (now.plus_millis(1_000), now.plus_millis(60_000));
    let mut rows = store.lease_outbox(due, lease, 100).await.unwrap();
    rows.sort_by_key(|row| row.version);
    let versions: Vec<u64> = rows.iter().map(|row| row.version).collect();
    assert_eq!(versions, [1, 2]);
    let (first, second) = (&rows[..1], &rows[1..]);
    let recorder = recorder(&shop);
    let left = async || store.describe().await.unwrap().outbox;

    // Another node has the first one: the second is neither told nor deleted, and comes again soon.
    assert_eq!(recorder.publish(second).await, Ok(vec![]));
    assert_eq!((told(store, &rows[0]).await, left().await), (vec![], 2));
    let soon = store.lease_outbox(now.plus_millis(30_000), lease, 100).await.unwrap();
    assert_eq!(soon.iter().map(|row| row.version).collect::<Vec<_>>(), [2]);

    assert_eq!(recorder.publish(first).await, Ok(vec![]), "it ends with what it tells");
    assert_eq!((told(store, &rows[0]).await, left().await), (vec!["payment_processing".into()], 1));
    recorder.publish(second).await.unwrap();
    let both = vec!["payment_processing".to_owned(), "payment_succeeded".to_owned()];
    assert_eq!((told(store, &rows[0]).await, left().await), (both.clone(), 0));
    // What comes once more tells nothing.
    recorder.publish(&rows).await.unwrap();
    assert_eq!(told(store, &rows[0]).await, both);
}
