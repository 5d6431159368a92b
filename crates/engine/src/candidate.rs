//! An account as a payment's candidate: with what its gateway claims, as far as the failover rule and the states ask.

use baton_connect::{Manifest, OperationKind};
use baton_flow::{Cancel, Candidate, quiet_ms};
use baton_types::AccountId;

use crate::engine::EngineConfig;

/// A candidate by its account's id, name and gateway, with what the gateway claims.
pub(crate) fn candidate(
    (account, label, gateway): (AccountId, &str, &str),
    manifest: Option<&Manifest>,
    config: &EngineConfig,
) -> Candidate {
    let look_up = manifest.and_then(|manifest| manifest.look_up.as_ref());
    let idempotency = manifest.and_then(|manifest| manifest.idempotency.as_ref());
    Candidate {
        account,
        label: label.to_owned(),
        gateway: gateway.to_owned(),
        quiet_ms: look_up.map(|claim| {
            let [in_flight_ms, index_lag_ms] =
                [claim.in_flight_bound_ms, claim.index_lag_ms].map(i64::from);
            quiet_ms(in_flight_ms, index_lag_ms, config.clock_difference_ms)
        }),
        replay_ms: idempotency
            .filter(|claim| claim.replay && config.replay)
            .map(|claim| i64::from(claim.retention_hours).saturating_mul(3_600_000))
            // Whoever sends it again may have a clock that is behind.
            .map(|ms| ms.saturating_sub(config.clock_difference_ms)),
        inline: false,
        certificate: None,
        index_lag_ms: look_up.map_or(0, |claim| i64::from(claim.index_lag_ms)),
        cancel: manifest.and_then(cancel),
        increments: manifest.is_some_and(|manifest| manifest.claims(OperationKind::Increment)),
    }
}

/// How a provider that is only asked to hold gives a hold back by our reference.
fn cancel(manifest: &Manifest) -> Option<Cancel> {
    let holds = [OperationKind::Authorize, OperationKind::Capture, OperationKind::Void];
    let claim = manifest.cancel_by_reference.as_ref()?;
    let fence = if claim.fences { Cancel::Fence } else { Cancel::Plain };
    holds.into_iter().all(|kind| manifest.claims(kind)).then_some(fence)
}
