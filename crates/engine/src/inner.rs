//! What all tasks of an engine share, and which payments they work on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use baton_flow::{Facts, Owner, Payment, snapshot};
use baton_store::Store;
use baton_types::{BootId, MerchantId, PaymentId};
use baton_vault::VaultAccess;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Clock;
use crate::accounts::Accounts;
use crate::alongside::Follow;
use crate::audit::Audit;
use crate::chores::Board;
use crate::engine::EngineConfig;
use crate::error::EngineError;
use crate::metrics::Metrics;
use crate::network::Network;
use crate::questions::Questions;
use crate::relay::EventSink;

pub(crate) struct Inner {
    pub(crate) config: EngineConfig,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) wire: Arc<dyn Network>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) vault: VaultAccess,
    pub(crate) accounts: Accounts,
    pub(crate) metrics: Metrics,
    pub(crate) questions: Questions,
    pub(crate) sink: Arc<dyn EventSink>,
    pub(crate) audit: Audit,
    pub(crate) boot: BootId,
    /// What is to be done for other parts of the product.
    pub(crate) board: Board,
    /// What else changes with a payment.
    pub(crate) follow: OnceLock<Follow>,
    pub(crate) tracker: TaskTracker,
    pub(crate) stopping: CancellationToken,
    /// The payments that tasks of this node work on.
    pub(crate) running: Mutex<HashMap<PaymentId, Working>>,
}

impl Inner {
    pub(crate) fn facts(&self, live: bool) -> Facts {
        Facts {
            now: self.clock.now(),
            owner: self.owner(),
            send_window_ms: self.config.send_window_ms,
            live,
            evidence: None,
        }
    }

    pub(crate) fn follow(&self) -> Option<Follow> {
        self.follow.get().copied()
    }

    pub(crate) fn owner(&self) -> Owner {
        Owner { node: self.config.node.clone(), boot: self.boot }
    }

    pub(crate) async fn load(
        &self,
        merchant: MerchantId,
        id: PaymentId,
    ) -> Result<Option<Payment>, EngineError> {
        let Some(row) = self.store.payment(merchant, id).await? else { return Ok(None) };
        let payment = snapshot::decode(row.schema, &row.snapshot).map_err(|error| {
            tracing::error!(payment = %id, %error, "a stored payment cannot be read");
            EngineError::Internal
        })?;
        Ok(Some(payment))
    }

    pub(crate) fn running(&self) -> MutexGuard<'_, HashMap<PaymentId, Working>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose turn it is to step a payment, and the payment as this node last committed it. Other nodes are
/// met at the store's guard; without this, so would be our own tasks, each losing to all others.
pub(crate) type Turn = Arc<tokio::sync::Mutex<Option<Arc<Payment>>>>;

/// The tasks that work on one payment.
#[derive(Default)]
pub(crate) struct Working {
    tasks: usize,
    turn: Turn,
}

/// Counts a task that works on a payment for as long as it lives, however that ends.
pub(crate) struct Running {
    engine: Arc<Inner>,
    payment: PaymentId,
    pub(crate) turn: Turn,
}

impl Running {
    pub(crate) fn enter(engine: &Arc<Inner>, payment: PaymentId) -> Self {
        Self::count(engine, engine.running(), payment)
    }

    /// Nothing if a task works on the payment already.
    pub(crate) fn enter_if_idle(engine: &Arc<Inner>, payment: PaymentId) -> Option<Self> {
        let running = engine.running();
        (!running.contains_key(&payment)).then(|| Self::count(engine, running, payment))
    }

    fn count(
        engine: &Arc<Inner>,
        mut running: MutexGuard<'_, HashMap<PaymentId, Working>>,
        payment: PaymentId,
    ) -> Self {
        let working = running.entry(payment).or_default();
        working.tasks = working.tasks.saturating_add(1);
        Self { engine: Arc::clone(engine), payment, turn: Arc::clone(&working.turn) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = self.engine.running();
        if let Some(working) = running.get_mut(&self.payment) {
            working.tasks = working.tasks.saturating_sub(1);
            if working.tasks == 0 {
                running.remove(&self.payment);
            }
        }
    }
}
