//! Counts and times of requests, and the page that shows all metrics.

use std::sync::atomic::Ordering;
use std::time::Duration;

use baton_engine::{BreakerState, Engine, doubts, incidents};
use baton_payments::{HookCounts, WaitingCard};
use baton_store::Counts;
use baton_types::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::hook_metrics::HookMetrics;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AccountLabels {
    account: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LimitedLabels {
    by: &'static str,
}

/// Whose budget was used up.
#[derive(Clone, Copy)]
pub(crate) enum Limited {
    /// A key's.
    Key,
    /// That of an address without a valid key.
    Peer,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WhyLabels {
    why: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CertificateLabels {
    of: &'static str,
}

/// What is counted before a request reaches a route.
#[derive(Clone, Default)]
pub struct EdgeMetrics {
    open: Gauge,
    accepted: Counter,
    full: Counter,
    handshakes_failed: Family<WhyLabels, Counter>,
    cut: Family<WhyLabels, Counter>,
    not_after: Family<CertificateLabels, Gauge>,
}

/// A connection, until it is dropped.
#[derive(Debug)]
pub struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl EdgeMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "connections_open",
            "Connections that are being served",
            self.open.clone(),
        );
        registry.register("connections", "Connections accepted", self.accepted.clone());
        registry.register(
            "connections_limit_reached",
            "Times that no further connection was accepted until one had ended",
            self.full.clone(),
        );
        registry.register(
            "connections_cut",
            "Connections ended because the client was too slow, sent too much, or rested too long",
            self.cut.clone(),
        );
        registry.register(
            "tls_handshakes_failed",
            "Connections on which no TLS came about",
            self.handshakes_failed.clone(),
        );
        registry.register_with_unit(
            "tls_certificate_not_after_timestamp",
            "The certificate's last moment, in seconds since 1970",
            Unit::Seconds,
            self.not_after.clone(),
        );
    }

    /// Counts a connection in until the answer is dropped.
    #[must_use]
    pub fn connection(&self) -> OpenConnection {
        self.accepted.inc();
        self.open.inc();
        OpenConnection(self.open.clone())
    }

    /// There is no room for a further connection.
    pub fn full(&self) {
        self.full.inc();
    }

    /// A connection on which no TLS came about.
    pub fn handshake_failed(&self, why: &'static str) {
        self.handshakes_failed.get_or_create(&WhyLabels { why }).inc();
    }

    /// A client that was cut off.
    pub fn cut(&self, why: &'static str) {
        self.cut.get_or_create(&WhyLabels { why }).inc();
    }

    /// Until when the server's certificate holds.
    pub fn certificate(&self, not_after: Timestamp) {
        let seconds = not_after.millis().div_euclid(1000);
        self.not_after.get_or_create(&CertificateLabels { of: "server" }).set(seconds);
    }
}

/// The server's metrics.
pub(crate) struct HttpMetrics {
    pub(crate) edge: EdgeMetrics,
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    limited: Family<LimitedLabels, Counter>,
    total: Family<RouteLabels, Histogram>,
    added: Family<RouteLabels, Histogram>,
    breakers: Family<AccountLabels, Gauge>,
    account_calls: Family<AccountLabels, Gauge>,
    store: StoreMetrics,
    doubts: DoubtMetrics,
    hooks: HookMetrics,
}

/// What the store counts itself, as it was when the page was last shown.
#[derive(Clone, Default)]
struct StoreMetrics {
    sets: Counter,
    transactions: Counter,
    syncs: Counter,
}

impl StoreMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "store_commits",
            "Write sets and leases committed by this process",
            self.sets.clone(),
        );
        registry.register(
            "store_transactions",
            "Transactions that held them; sets that wait together share one",
            self.transactions.clone(),
        );
        registry.register(
            "store_syncs",
            "Syncs of SQLite's files by this process; PostgreSQL counts its own",
            self.syncs.clone(),
        );
    }

    fn set(&self, counts: Counts) {
        self.sets.inner().store(counts.sets, Ordering::Relaxed);
        self.transactions.inner().store(counts.transactions, Ordering::Relaxed);
        self.syncs.inner().store(counts.syncs, Ordering::Relaxed);
    }
}

/// What is in doubt over all nodes, as the database has it.
#[derive(Default)]
struct DoubtMetrics {
    payments: Gauge,
    oldest_seconds: Gauge,
    incidents: Gauge,
    waiting_cards: Gauge,
    oldest_card_seconds: Gauge,
}

impl DoubtMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "payments_in_doubt",
            "Payments with a call whose outcome nobody knows yet, of all nodes; counted up to 1000 calls",
            self.payments.clone(),
        );
        registry.register_with_unit(
            "oldest_doubt_age",
            "For how long the oldest of them has been in doubt; 0 if there is none",
            Unit::Seconds,
            self.oldest_seconds.clone(),
        );
        registry.register(
            "incidents_open",
            "Incidents that nobody has resolved, of all nodes",
            self.incidents.clone(),
        );
        registry.register(
            "cards_waiting_for_vault",
            "Cards to be stored or deleted at vaults elsewhere, of all nodes; counted up to 1000 of a merchant",
            self.waiting_cards.clone(),
        );
        registry.register_with_unit(
            "oldest_waiting_card_age",
            "For how long the oldest of them has waited; 0 if there is none",
            Unit::Seconds,
            self.oldest_card_seconds.clone(),
        );
    }

    fn set_waiting(&self, waiting: &[WaitingCard], now: Timestamp) {
        self.waiting_cards.set(i64::try_from(waiting.len()).unwrap_or(i64::MAX));
        let oldest = waiting.iter().map(|card| card.since).min();
        self.oldest_card_seconds.set(oldest.map_or(0, |at| now.since(at).max(0) / 1_000));
    }

    fn set(&self, summary: doubts::Summary, unresolved: u64, now: Timestamp) {
        let gauge = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.payments.set(gauge(summary.payments));
        let age = summary.oldest.map_or(0, |oldest| now.since(oldest).max(0) / 1_000);
        self.oldest_seconds.set(age);
        self.incidents.set(gauge(unresolved));
    }
}

impl HttpMetrics {
    pub(crate) fn new(engine: &Engine) -> Self {
        let histogram = || Histogram::new(exponential_buckets(0.000_5, 2.0, 17));
        let mut registry = Registry::with_prefix("baton");
        let requests = Family::<RequestLabels, Counter>::default();
        let total = Family::<RouteLabels, Histogram>::new_with_constructor(histogram);
        let added = Family::<RouteLabels, Histogram>::new_with_constructor(histogram);
        registry.register("http_requests", "Requests answered", requests.clone());
        let limited = Family::<LimitedLabels, Counter>::default();
        registry.register(
            "http_rate_limited",
            "Requests refused because a key's, or an address's, budget was used up",
            limited.clone(),
        );
        registry.register_with_unit(
            "http_request",
            "Time from a request's head to its answer",
            Unit::Seconds,
            total.clone(),
        );
        registry.register_with_unit(
            "http_request_added",
            "The part of that time that was not spent waiting for providers",
            Unit::Seconds,
            added.clone(),
        );
        let breakers = Family::<AccountLabels, Gauge>::default();
        let account_calls = Family::<AccountLabels, Gauge>::default();
        registry.register(
            "account_breaker",
            "State of an account's breaker: 0 closed, 1 half open, 2 open",
            breakers.clone(),
        );
        registry.register(
            "account_calls_in_flight",
            "Calls to an account's provider that have not ended",
            account_calls.clone(),
        );
        engine.metrics().register(&mut registry);
        let edge = EdgeMetrics::default();
        edge.register(&mut registry);
        let store = StoreMetrics::default();
        store.register(&mut registry);
        let doubts = DoubtMetrics::default();
        doubts.register(&mut registry);
        let hooks = HookMetrics::default();
        hooks.register(&mut registry);
        Self {
            edge,
            registry,
            requests,
            limited,
            total,
            added,
            breakers,
            account_calls,
            store,
            doubts,
            hooks,
        }
    }

    pub(crate) fn request(
        &self,
        route: &str,
        method: &str,
        status: u16,
        total: Duration,
        added: Duration,
    ) {
        let labels = RequestLabels { route: route.to_owned(), method: method.to_owned(), status };
        self.requests.get_or_create(&labels).inc();
        let labels = RouteLabels { route: route.to_owned() };
        self.total.get_or_create(&labels).observe(total.as_secs_f64());
        self.added.get_or_create(&labels).observe(added.as_secs_f64());
    }

    pub(crate) fn limited(&self, by: Limited) {
        let by = match by {
            Limited::Key => "key",
            Limited::Peer => "peer",
        };
        self.limited.get_or_create(&LimitedLabels { by }).inc();
    }

    /// Reads what only the database knows. If it does not answer, the page shows what was known last.
    pub(crate) async fn look(&self, engine: &Engine) {
        let store = engine.store().as_ref();
        match (doubts::summary(store).await, incidents::unresolved(store).await) {
            (Ok(summary), Ok(unresolved)) => {
                self.doubts.set(summary, unresolved, engine.clock().now());
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(%error, "what is in doubt cannot be counted");
            }
        }
        match baton_payments::waiting_cards(store, 1_000).await {
            Ok(waiting) => self.doubts.set_waiting(&waiting, engine.clock().now()),
            Err(fault) => tracing::warn!(?fault, "what waits for a vault cannot be counted"),
        }
        let now = engine.clock().now();
        match store.webhooks().hook_backlog(now).await {
            Ok(backlog) => self.hooks.look(backlog, now),
            Err(error) => tracing::warn!(%error, "webhooks that wait cannot be counted"),
        }
    }

    /// The page in Prometheus' text form, with the state of each account's breaker.
    pub(crate) fn page(&self, engine: &Engine, hooks: &HookCounts) -> String {
        for health in engine.wire_health() {
            let labels = AccountLabels { account: health.account.to_string() };
            let open = match health.breaker {
                BreakerState::Closed => 0,
                BreakerState::HalfOpen => 1,
                BreakerState::Open => 2,
            };
            self.breakers.get_or_create(&labels).set(open);
            let in_flight = i64::try_from(health.in_flight).unwrap_or(i64::MAX);
            self.account_calls.get_or_create(&labels).set(in_flight);
        }
        self.store.set(engine.store().counts());
        self.hooks.set(hooks);
        let mut page = String::new();
        if encode(&mut page, &self.registry).is_err() {
            tracing::error!("the metrics cannot be written");
        }
        page
    }
}
