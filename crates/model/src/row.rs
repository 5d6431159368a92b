//! A payment as the store keeps it: compared and hashed by its snapshot, as production writes it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use baton_flow::{Payment, snapshot};

/// One version of the payment.
#[derive(Clone)]
pub struct Row {
    payment: Arc<Payment>,
    text: Arc<str>,
    /// Of the text, made once: rows are hashed much more often than they are made.
    digest: u64,
}

impl Row {
    pub(crate) fn new(payment: Payment) -> Self {
        let text = snapshot::encode(&payment).unwrap_or_default();
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Self { payment: Arc::new(payment), text: text.into(), digest: hasher.finish() }
    }

    /// The payment.
    #[must_use]
    pub fn payment(&self) -> &Payment {
        &self.payment
    }

    /// The same, as if the promises to void had not been stored.
    pub(crate) fn without_obligations(&self) -> Self {
        let mut payment = self.payment().clone();
        payment.obligations.clear();
        Self::new(payment)
    }

    pub(crate) fn version(&self) -> u64 {
        self.payment.version
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest && self.text == other.text
    }
}

impl Eq for Row {}

impl Hash for Row {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "version {} ({})", self.version(), self.payment.status())
    }
}
