//! Webhooks out: what merchants are told about their payments, in order, until they have taken it.
//!
//! Guarantees: an event is recorded in one commit with the end of the outbox message that it comes from, so that
//! none is lost and none is told twice under two ids; the events of one intent are sent one after the other, in the
//! order of what happened, the next when the one before was taken or given up; every try of an event carries the
//! same `webhook-id` and the same bytes. Delivery is at least once: a node that dies after an endpoint has answered
//! sends again. Left out: sockets and signatures (`baton-hooks`), the form of what is shown (`baton-api`, by
//! [`Shows`]).
//!
//! An event's object is the payment as it was then, not as it is when the event is delivered: the outbox message
//! carries the snapshot.

mod ask;
mod deliver;
mod endpoint;
mod event;
mod extra;
mod operate;
mod record;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use baton_engine::EventSink;
use baton_hooks::{Policy, Schedule, Sender};
use baton_store::OutboxRow;
use baton_types::{EventId, MerchantId, Timestamp};
use serde_json::Value;

use crate::account::{MerchantAccount, Profile};
use crate::bins::BinTable;
use crate::dispute::DisputeSeen;
use crate::document::{Stored, list};
use crate::fault::Fault;
use crate::intent::Seen;
use crate::method::{Mandate, SavedMethod};
use crate::refund::RefundSeen;
use crate::service::{Merchant, Payments};

pub use ask::{AttemptSeen, EventFilter};
pub use endpoint::{Disabled, EndpointSeen, Rotated};
pub use event::{EventClass, EventKind};
pub use extra::{GivenPassword, GivenSecret};
pub use operate::{Failed, REPLAY_MAX, hook_shown, hooks_page, replay_failed_hooks, replay_hook};

pub(crate) use extra::HookHeaders;

use endpoint::{Details, Endpoint, Secrets};

/// How long a node goes by what it has read of a merchant's settings, in milliseconds.
const KNOWN_MS: i64 = 2_000;

/// Most merchants and secrets that are remembered.
const REMEMBERED_MAX: usize = 10_000;

/// What an object is shown with.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The merchant account's id.
    pub account: &'a str,
    /// What is known of cards by their first digits.
    pub bins: &'a BinTable,
}

/// How objects are shown: the same form as the API's own answers.
pub trait Shows: Send + Sync {
    /// A payment.
    fn payment(&self, seen: &Seen, frame: Frame<'_>) -> Value;
    /// A refund.
    fn refund(&self, seen: &RefundSeen) -> Value;
    /// A mandate.
    fn mandate(&self, mandate: &Mandate, method: &SavedMethod, frame: Frame<'_>) -> Value;
    /// A dispute.
    fn dispute(&self, seen: &DisputeSeen) -> Value;
}

/// How webhooks are sent.
pub struct HookSettings {
    /// Sends them.
    pub sender: Sender,
    /// When they are sent again.
    pub schedule: Schedule,
    /// How objects are shown.
    pub shows: Arc<dyn Shows>,
    /// How long events and tries are kept, in milliseconds.
    pub keep_ms: i64,
}

/// What the deliveries of this process have come to.
#[derive(Debug, Default)]
pub struct HookCounts {
    delivered: AtomicU64,
    failed: AtomicU64,
    given_up: AtomicU64,
    disabled: AtomicU64,
    recorded: AtomicU64,
}

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident => $count:ident;)*) => {
        impl HookCounts {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $name(&self) -> u64 {
                    self.$name.load(Ordering::Relaxed)
                }

                pub(crate) fn $count(&self) {
                    self.$name.fetch_add(1, Ordering::Relaxed);
                }
            )*
        }
    };
}

counts! {
    /// Events that were recorded.
    recorded => count_recorded;
    /// Tries that an endpoint has taken.
    delivered => count_delivered;
    /// Tries that failed.
    failed => count_failed;
    /// Events that are not tried any more.
    given_up => count_given_up;
    /// Endpoints that said 410.
    disabled => count_disabled;
}

/// What is known of merchants, each until a time.
type Remembered = HashMap<MerchantId, (Timestamp, Option<Arc<Known>>)>;

/// What the service shares for webhooks.
#[derive(Default)]
pub(crate) struct Hooks {
    settings: OnceLock<HookSettings>,
    known: Mutex<Remembered>,
    secrets: Mutex<HashMap<String, Arc<Secrets>>>,
    pub(crate) counts: HookCounts,
    /// Told when something was recorded, so that it is sent at once.
    recorded: tokio::sync::Notify,
}

/// What is known of a merchant whose events are told.
pub(crate) struct Known {
    merchant: Merchant,
    account: Stored<MerchantAccount>,
    /// By profile.
    endpoints: HashMap<String, Told>,
}

/// Where a profile's events go.
#[derive(Clone)]
struct Told {
    details: Arc<Details>,
    endpoint: Option<Stored<Endpoint>>,
    /// The record of the key of the contract's signatures, where the profile has its own.
    hash_key: Option<String>,
    /// Headers of the profile's own.
    headers: Option<HookHeaders>,
}

impl Known {
    fn frame<'a>(&'a self, payments: &'a Payments) -> Frame<'a> {
        Frame { account: &self.account.body.id, bins: payments.bins() }
    }

    /// Where a profile's events go, if they go anywhere.
    fn told(&self, profile: &str) -> Option<&Told> {
        self.endpoints.get(profile).filter(|told| told.details.webhook_url.is_some())
    }
}

impl Payments {
    /// The same, sending webhooks. Without this nothing is told to anybody.
    #[must_use]
    pub fn with_webhooks(self, settings: HookSettings) -> Self {
        if self.hooks.settings.set(settings).is_err() {
            tracing::error!("webhooks were set up twice");
        }
        self
    }

    /// Begins to deliver, in the background of the engine.
    pub fn start_webhooks(&self) {
        let (sending, sweeping) = (self.clone(), self.clone());
        self.engine().background(async move { deliver::run(sending).await });
        self.engine().background(async move { deliver::sweep(sweeping).await });
    }

    /// What the deliveries of this process have come to.
    #[must_use]
    pub fn hook_counts(&self) -> &HookCounts {
        &self.hooks.counts
    }

    /// Where webhooks may go.
    #[must_use]
    pub fn hook_policy(&self) -> Policy {
        self.hooks
            .settings
            .get()
            .map(|settings| settings.sender.policy().clone())
            .unwrap_or_default()
    }

    fn hook_settings(&self) -> Result<&HookSettings, Fault> {
        let off = || Fault::Precondition("This server sends no webhooks".to_owned());
        self.hooks.settings.get().ok_or_else(off)
    }

    /// What is known of a merchant, read anew every [`KNOWN_MS`]. Nothing for a merchant that the Payments API does
    /// not know.
    async fn known(&self, merchant: MerchantId) -> Result<Option<Arc<Known>>, Fault> {
        let now = self.now();
        if let Some((until, known)) = self.hooks.lock_known().get(&merchant)
            && now < *until
        {
            return Ok(known.clone());
        }
        let known = self.read_known(merchant).await?.map(Arc::new);
        let mut all = self.hooks.lock_known();
        if all.len() >= REMEMBERED_MAX {
            all.clear();
        }
        all.insert(merchant, (now.plus_millis(KNOWN_MS), known.clone()));
        Ok(known)
    }

    async fn read_known(&self, id: MerchantId) -> Result<Option<Known>, Fault> {
        const MOST: u32 = 500;
        let merchant = self.merchant_of(id);
        let account = match self.account_of(&merchant).await {
            Ok(account) => account,
            Err(Fault::NotFound(_)) => return Ok(None),
            Err(fault) => return Err(fault),
        };
        let store = self.engine().store().as_ref();
        let mut endpoints = HashMap::new();
        for profile in list::<Profile>(store, id, None, MOST).await? {
            let details = Arc::new(Details::of(&account.body, &profile.body));
            let Profile { id, hash_key, hook_headers: headers, .. } = profile.body;
            endpoints.insert(id, Told { details, endpoint: None, hash_key, headers });
        }
        if endpoints.values().all(|told| told.details.webhook_url.is_none()) {
            return Ok(Some(Known { merchant, account, endpoints }));
        }
        for endpoint in list::<Endpoint>(store, id, None, MOST).await? {
            if let Some(told) = endpoints.get_mut(&endpoint.body.profile) {
                told.endpoint = Some(endpoint);
            }
        }
        Ok(Some(Known { merchant, account, endpoints }))
    }

    /// Settings of a merchant were changed by this process: they count from now on.
    pub(crate) fn forget_known(&self, merchant: MerchantId) {
        self.known_settings.forget(merchant);
        self.hooks.lock_known().remove(&merchant);
    }
}

impl Hooks {
    fn lock_known(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records what merchants are told, and hands everything on to another sink. It refuses messages until it is
/// connected with the service, which is made after the engine that publishes.
pub struct HookSink {
    next: Option<Arc<dyn EventSink>>,
    payments: OnceLock<Payments>,
}

impl HookSink {
    /// One that hands on to another sink, if there is one.
    #[must_use]
    pub fn new(next: Option<Arc<dyn EventSink>>) -> Self {
        Self { next, payments: OnceLock::new() }
    }

    /// From now on messages are taken.
    pub fn connect(&self, payments: Payments) {
        if self.payments.set(payments).is_err() {
            tracing::error!("the sink of webhooks was connected twice");
        }
    }
}

#[async_trait]
impl EventSink for HookSink {
    async fn publish(&self, batch: &[OutboxRow]) -> Result<Vec<EventId>, String> {
        let payments = self.payments.get().ok_or("the server is still starting")?;
        let done = match &self.next {
            Some(next) => next.publish(batch).await?,
            None => batch.iter().map(|row| row.id).collect(),
        };
        let kept = record::all(payments, batch).await;
        Ok(done.into_iter().filter(|id| kept.contains(id)).collect())
    }
}
