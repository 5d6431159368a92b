//! Counts and times, in Prometheus' terms.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CallLabels {
    gateway: String,
    operation: String,
    class: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct GatewayLabels {
    gateway: String,
    operation: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PostponedLabels {
    gateway: String,
    why: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct GatewayLabel {
    gateway: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct VaultCallLabels {
    vault: String,
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct VaultLabel {
    vault: String,
}

/// The engine's metrics. Labels are few and bounded: gateways, operations, classes; never an id.
#[derive(Clone)]
pub struct Metrics {
    calls: Family<CallLabels, Counter>,
    call_seconds: Family<GatewayLabels, Histogram>,
    unmapped_declines: Family<GatewayLabel, Counter>,
    postponed: Family<PostponedLabels, Counter>,
    duplicates: Counter,
    vault_calls: Family<VaultCallLabels, Counter>,
    vault_given_up: Family<VaultLabel, Counter>,
    /// Requests whose task has not ended.
    in_flight: Gauge,
}

/// A request in flight, until it is dropped.
pub(crate) struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            calls: Family::default(),
            call_seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 2.0, 17))
            }),
            unmapped_declines: Family::default(),
            postponed: Family::default(),
            duplicates: Counter::default(),
            vault_calls: Family::default(),
            vault_given_up: Family::default(),
            in_flight: Gauge::default(),
        }
    }

    /// Makes the metrics part of what `/metrics` shows.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "provider_calls",
            "Operations and look-ups at providers, by outcome class",
            self.calls.clone(),
        );
        registry.register_with_unit(
            "provider_call",
            "Time from sending to a known outcome",
            Unit::Seconds,
            self.call_seconds.clone(),
        );
        registry.register(
            "unmapped_declines",
            "Declines whose code has no mapping yet; the log has the code",
            self.unmapped_declines.clone(),
        );
        registry.register(
            "look_ups_postponed",
            "Look-ups that were put off: too many (rate), or the provider does not answer them (no_answers)",
            self.postponed.clone(),
        );
        registry.register(
            "duplicates_held",
            "Purchases that reached no provider because one for the same thing was in doubt",
            self.duplicates.clone(),
        );
        registry.register(
            "external_vault_calls",
            "Calls to card vaults elsewhere, by what came of them",
            self.vault_calls.clone(),
        );
        registry.register(
            "external_vault_given_up",
            "Cards that were not stored at their vault, and are not tried again",
            self.vault_given_up.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Requests that move money and have not ended",
            self.in_flight.clone(),
        );
    }

    pub(crate) fn unmapped_decline(&self, gateway: &str) {
        self.unmapped_declines.get_or_create(&GatewayLabel { gateway: gateway.to_owned() }).inc();
    }

    pub(crate) fn postponed(&self, gateway: &str, why: &'static str) {
        self.postponed.get_or_create(&PostponedLabels { gateway: gateway.to_owned(), why }).inc();
    }

    /// Counts a call to a vault elsewhere.
    pub fn vault_call(&self, vault: &str, operation: &'static str, outcome: &'static str) {
        let vault = vault.to_owned();
        self.vault_calls.get_or_create(&VaultCallLabels { vault, operation, outcome }).inc();
    }

    /// Counts a card that is not stored at its vault.
    pub fn vault_given_up(&self, vault: &str) {
        self.vault_given_up.get_or_create(&VaultLabel { vault: vault.to_owned() }).inc();
    }

    pub(crate) fn duplicate(&self) {
        self.duplicates.inc();
    }

    pub(crate) fn request(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    pub(crate) fn provider_call(
        &self,
        gateway: &str,
        operation: &str,
        class: &str,
        took: Duration,
    ) {
        self.calls
            .get_or_create(&CallLabels {
                gateway: gateway.to_owned(),
                operation: operation.to_owned(),
                class: class.to_owned(),
            })
            .inc();
        self.call_seconds
            .get_or_create(&GatewayLabels {
                gateway: gateway.to_owned(),
                operation: operation.to_owned(),
            })
            .observe(took.as_secs_f64());
    }
}
