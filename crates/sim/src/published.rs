//! The events that have been published, by payment and version.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use baton_types::PaymentId;

/// Where the nodes of a world publish to.
#[derive(Debug, Default)]
pub(crate) struct Published(Mutex<BTreeMap<PaymentId, BTreeSet<u64>>>);

impl Published {
    pub(crate) fn take(&self, payment: PaymentId, version: u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(payment).or_default().insert(version);
    }

    /// Whether every version of a payment was published.
    pub(crate) fn has_all(&self, payment: PaymentId, versions: u64) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(&payment).map_or(0, BTreeSet::len);
        u64::try_from(known).unwrap_or(0) == versions
    }
}
