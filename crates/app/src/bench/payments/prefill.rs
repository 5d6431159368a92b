//! Many payments that are stored already, so that what comes after meets a full database.
//!
//! They are inserted through the store, many to a write set, and modelled on a payment that the server has
//! made: the same columns, versions and references. Only the texts that no index holds are short, so that ten
//! million fit on a disk. They are spread over a year before now, and nothing reads them.
//!
//! Every table is filled in the order of its keys, so that no page is written twice. What a provider calls a
//! payment comes in no order in truth, so those references come last, sorted.

use std::sync::Arc;
use std::time::Duration;

use baton_engine::{Clock as _, SystemClock, merchants};
use baton_store::{
    EventRow, OpenOptions, PaymentQuery, PaymentRow, ReferenceKind, ReferenceRow, Store, Write,
    WriteSet,
};
use baton_types::{Id, Kind, PaymentId, Timestamp};
use tokio::task::JoinSet;

use super::Progress;

/// Payments in one write set: large enough that a sync costs nothing.
const CHUNK: usize = 500;
/// Write sets that wait at once.
const WAITING: usize = 4;
const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);
/// In a database that is kept, the most payments that a server has made before.
const MODELS: u64 = 1_000;
/// In place of a snapshot or an event's body.
const SHORT: &str = r#"{"prefilled":true}"#;

/// Inserts so many payments; `kept`: unless the database holds them already.
///
/// # Errors
/// The store cannot be opened or written, or holds no payment to model them on.
pub(super) async fn fill(
    url: &str,
    payments: u64,
    kept: bool,
    progress: &Progress,
) -> Result<(), String> {
    let store = baton_store::open(url, OpenOptions::default()).await;
    let store = store.map_err(|error| error.to_string())?;
    let found = store.describe().await.map_err(|error| error.to_string())?.payments;
    if kept && found > payments {
        return Ok(());
    }
    if kept && found > MODELS {
        return Err(format!("{found} payments are stored, which is neither none nor all of them"));
    }
    let model = Arc::new(Model::find(store.as_ref(), payments).await?);
    let all: Vec<u64> = (0..payments).collect();
    each(&store, &model, &all, Model::push, |done| {
        progress.say(format!("{done} of {payments} payments are stored"));
    })
    .await?;
    let mut sorted = all;
    sorted.sort_unstable_by_key(|number| mixed(*number));
    each(&store, &model, &sorted, Model::push_provider, |done| {
        progress.say(format!("{done} of {payments} payments have their provider's reference"));
    })
    .await
}

/// Writes something for each number, in their order.
#[allow(clippy::disallowed_methods, reason = "joined below")]
async fn each(
    store: &Arc<dyn Store>,
    model: &Arc<Model>,
    numbers: &[u64],
    push: fn(&Model, u64, &mut WriteSet),
    say: impl Fn(usize),
) -> Result<(), String> {
    let mut running = JoinSet::new();
    for (chunk, part) in numbers.chunks(CHUNK).enumerate() {
        if running.len() >= WAITING {
            finished(running.join_next().await)?;
        }
        say(chunk.saturating_mul(CHUNK));
        let (store, model, part) = (Arc::clone(store), Arc::clone(model), part.to_vec());
        running.spawn(async move {
            let mut set = WriteSet::new();
            for number in part {
                push(&model, number, &mut set);
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
            first: now.plus_millis(year.saturating_neg()),
            step: u64::try_from(YEAR.as_millis()).unwrap_or(u64::MAX) / payments.max(1),
        })
    }

    fn push(&self, number: u64, set: &mut WriteSet) {
        let at = self.at(number);
        let id = made(at, number, 0);
        let schema = self.payment.schema;
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
            merchant_ref: Some(named(number)),
            created_at: at,
            updated_at: at,
            snapshot: SHORT.to_owned(),
            ..self.payment.clone()
        }));
        set.push(self.reference(ReferenceKind::Attempt, number, id, at));
        set.push(self.reference(ReferenceKind::Merchant, number, id, at));
    }

    /// What the provider calls the payment.
    fn push_provider(&self, number: u64, set: &mut WriteSet) {
        let at = self.at(number);
        set.push(self.reference(ReferenceKind::Provider, number, made(at, number, 0), at));
    }

    fn reference(&self, kind: ReferenceKind, number: u64, id: PaymentId, at: Timestamp) -> Write {
        let (account, value) = match kind {
            ReferenceKind::Attempt => (self.payment.account, format!("{id}-1")),
            // Sixteen digits each, so that their order is that of the numbers.
            ReferenceKind::Provider => (self.payment.account, format!("sp_{:016x}", mixed(number))),
            ReferenceKind::Merchant => (None, named(number)),
        };
        Write::Reference(ReferenceRow {
            merchant: self.payment.merchant,
            kind,
            account,
            value,
            payment: id,
            call: "a1".to_owned(),
            created_at: at,
        })
    }

    fn at(&self, number: u64) -> Timestamp {
        let after = i64::try_from(number.saturating_mul(self.step)).unwrap_or(i64::MAX);
        self.first.plus_millis(after)
    }
}

/// The merchant's own reference.
fn named(number: u64) -> String {
    format!("stored-{number:010}")
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
