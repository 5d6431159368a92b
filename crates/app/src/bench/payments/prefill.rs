//! Many payments that are stored already, so that what comes after meets a full database.
//!
//! They are inserted through the store, many to a write set, and modelled on a payment that the server has
//! made: the same columns, versions and references. Only the texts that no index holds are short, so that ten
//! million fit on a disk. They are spread over a year before now, and nothing reads them.

use std::sync::Arc;
use std::time::Duration;

use baton_engine::{Clock as _, SystemClock, merchants};
use baton_store::{
    EventRow, OpenOptions, PaymentQuery, PaymentRow, ReferenceKind, ReferenceRow, Store, Write,
    WriteSet,
};
use baton_types::{Id, Kind, Timestamp};
use tokio::task::JoinSet;

use super::Progress;

/// Payments in one write set: large enough that a sync costs nothing.
const CHUNK: u64 = 500;
/// Write sets that wait at once.
const WAITING: usize = 4;
const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);
/// In place of a snapshot or an event's body.
const SHORT: &str = r#"{"prefilled":true}"#;

/// Inserts so many payments.
///
/// # Errors
/// The store cannot be opened or written, or holds no payment to model them on.
pub(super) async fn fill(url: &str, payments: u64, progress: &Progress) -> Result<(), String> {
    let store = baton_store::open(url, OpenOptions::default()).await;
    let store = store.map_err(|error| error.to_string())?;
    let model = Arc::new(Model::find(store.as_ref(), payments).await?);
    let mut running = JoinSet::new();
    for first in (0..payments).step_by(usize::try_from(CHUNK).unwrap_or(1)) {
        if running.len() >= WAITING {
            finished(running.join_next().await)?;
        }
        progress.say(format!("{first} of {payments} payments are stored"));
        let (store, model) = (Arc::clone(&store), Arc::clone(&model));
        running.spawn(async move {
            let mut set = WriteSet::new();
            for number in first..payments.min(first.saturating_add(CHUNK)) {
                model.push(number, &mut set);
            }
            store.commit(set).await.map_err(|error| error.to_string())
        });
    }
    while let Some(done) = running.join_next().await {
        finished(Some(done))?;
    }
    Ok(())
}

type Done = Result<Result<(), String>, tokio::task::JoinError>;

fn finished(done: Option<Done>) -> Result<(), String> {
    done.map_or(Ok(()), |done| done.map_err(|error| error.to_string())?)
}

/// What the rows are made from.
struct Model {
    payment: PaymentRow,
    events: Vec<EventRow>,
    references: Vec<ReferenceKind>,
    first: Timestamp,
    /// Between two payments, in milliseconds.
    step: u64,
}

impl Model {
    async fn find(store: &dyn Store, payments: u64) -> Result<Self, String> {
        let failed = |error: baton_store::StoreError| error.to_string();
        let merchant = store.merchant_by_name(merchants::DEFAULT).await.map_err(failed)?;
        let merchant = merchant.ok_or("there is no merchant yet")?.id;
        let now = SystemClock.now();
        let year = i64::try_from(YEAR.as_millis()).unwrap_or(i64::MAX);
        let query = PaymentQuery {
            merchant,
            test: true,
            from: Timestamp::from_millis(0),
            to: now,
            after: None,
            account: None,
            kinds: Vec::new(),
            statuses: Vec::new(),
            merchant_ref: None,
            limit: 1,
        };
        let payment = store.payments(&query).await.map_err(failed)?.pop();
        let payment = payment.ok_or("there is no payment yet")?;
        let events = store.events(merchant, payment.id).await.map_err(failed)?;
        Ok(Self {
            payment,
            events,
            references: vec![
                ReferenceKind::Attempt,
                ReferenceKind::Provider,
                ReferenceKind::Merchant,
            ],
            first: now.plus_millis(year.saturating_neg()),
            step: u64::try_from(YEAR.as_millis()).unwrap_or(u64::MAX) / payments.max(1),
        })
    }

    fn push(&self, number: u64, set: &mut WriteSet) {
        let after = i64::try_from(number.saturating_mul(self.step)).unwrap_or(i64::MAX);
        let at = self.first.plus_millis(after);
        let id = made(at, number, 0);
        let (merchant, schema) = (self.payment.merchant, self.payment.schema);
        for (salt, event) in (1..).zip(&self.events) {
            set.push(Write::Event(EventRow {
                id: made(at, number, salt),
                payment: id,
                at,
                body: SHORT.to_owned(),
                ..event.clone()
            }));
        }
        set.push(Write::Payment(PaymentRow {
            id,
            schema,
            merchant_ref: Some(format!("stored-{number}")),
            created_at: at,
            updated_at: at,
            snapshot: SHORT.to_owned(),
            ..self.payment.clone()
        }));
        for kind in &self.references {
            let (account, value) = match kind {
                ReferenceKind::Attempt => (self.payment.account, format!("{id}-1")),
                // A provider's own ids come in no order.
                ReferenceKind::Provider => (self.payment.account, mixed(number).to_string()),
                ReferenceKind::Merchant => (None, format!("stored-{number}")),
            };
            set.push(Write::Reference(ReferenceRow {
                merchant,
                kind: *kind,
                account,
                value,
                payment: id,
                call: "a1".to_owned(),
                created_at: at,
            }));
        }
    }
}

/// An id as the engine would have made it then: its time first, then anything.
fn made<T: Kind>(at: Timestamp, number: u64, salt: u64) -> Id<T> {
    let rest = mixed(number.wrapping_mul(8).wrapping_add(salt)).to_be_bytes();
    let mut random = [0; 10];
    for (place, byte) in random.iter_mut().zip(rest) {
        *place = byte;
    }
    Id::from_parts(u64::try_from(at.millis()).unwrap_or_default(), random)
}

/// Steele, Lea and Flood's SplitMix64: numbers without order, each once.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
