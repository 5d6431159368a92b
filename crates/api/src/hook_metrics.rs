//! What is counted of webhooks to merchants.

use std::sync::atomic::Ordering;

use baton_payments::HookCounts;
use baton_store::HookBacklog;
use baton_types::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

/// Webhooks of this process, and what waits on all nodes, as it was when the page was last shown.
#[derive(Default)]
pub(crate) struct HookMetrics {
    events: Counter,
    tries: Family<ResultLabels, Counter>,
    given_up: Counter,
    disabled: Counter,
    waiting: Gauge,
    oldest_seconds: Gauge,
}

impl HookMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "webhook_events",
            "Events for merchants recorded by this process",
            self.events.clone(),
        );
        registry.register(
            "webhook_tries",
            "Tries to deliver one, by whether the endpoint has taken it",
            self.tries.clone(),
        );
        registry.register(
            "webhook_events_given_up",
            "Events that are not tried any more",
            self.given_up.clone(),
        );
        registry.register(
            "webhook_endpoints_disabled",
            "Endpoints that said 410",
            self.disabled.clone(),
        );
        registry.register(
            "webhook_streams_waiting",
            "Objects of which an event waits to be delivered, of all nodes",
            self.waiting.clone(),
        );
        registry.register_with_unit(
            "oldest_webhook_due_age",
            "For how long the one that is due longest has been due; 0 if none is",
            Unit::Seconds,
            self.oldest_seconds.clone(),
        );
    }

    pub(crate) fn set(&self, counts: &HookCounts) {
        self.events.inner().store(counts.recorded(), Ordering::Relaxed);
        self.given_up.inner().store(counts.given_up(), Ordering::Relaxed);
        self.disabled.inner().store(counts.disabled(), Ordering::Relaxed);
        for (result, count) in [("delivered", counts.delivered()), ("failed", counts.failed())] {
            let counter = self.tries.get_or_create(&ResultLabels { result });
            counter.inner().store(count, Ordering::Relaxed);
        }
    }

    pub(crate) fn look(&self, backlog: HookBacklog, now: Timestamp) {
        self.waiting.set(i64::try_from(backlog.streams).unwrap_or(i64::MAX));
        let age = backlog.oldest_due.map_or(0, |due| now.since(due).max(0) / 1_000);
        self.oldest_seconds.set(age);
    }
}
