//! The service's durable steps: which there are, and when one is done again that has not come to its end.

use async_trait::async_trait;
use baton_engine::{Caller, Chore, Chores};
use baton_store::Write;
use baton_types::Timestamp;

use crate::dispute::DISPUTE;
use crate::document::Stored;
use crate::expiry::EXPIRY;
use crate::fault::Fault;
use crate::method::SavedMethod;
use crate::service::{Merchant, Payments};
use crate::vaulting::{CUSTOMER, WAIT_MS};

/// When a step is tried again, by how often it was tried; then always after the last.
const AGAIN_MS: [i64; 7] = [2_000, 10_000, 30_000, 120_000, 600_000, 1_800_000, 3_600_000];

/// What a run of a chore has come to.
pub(crate) enum Step {
    /// Nothing is left to do about this version of the method.
    Done(Box<Stored<SavedMethod>>),
    /// There is nothing to be done.
    Nothing,
    /// This is to be written, and says what becomes of the timer.
    Written(Vec<Write>),
    /// Not yet: when to look again, in milliseconds.
    Later(i64),
    /// Not before this time.
    At(Timestamp),
    /// It was tried: again, later each time.
    Again,
}

#[async_trait]
impl Chores for Payments {
    async fn run(&self, chore: Chore) {
        let caller = Caller { merchant: chore.merchant, sandbox: self.is_sandbox(), key: None };
        let merchant = Merchant { caller, profile: None };
        let done = if let Some(dispute) = chore.name.strip_prefix(DISPUTE) {
            self.dispute_step(chore.merchant, dispute).await
        } else if let Some(intent) = chore.name.strip_prefix(EXPIRY) {
            self.expiry_step(&merchant, intent).await
        } else if let Some(customer) = chore.name.strip_prefix(CUSTOMER) {
            self.forget_methods(&merchant, customer).await.map(|()| Step::Nothing)
        } else {
            let bare = chore.about.to_string();
            let bare = bare.split_once('_').map_or("", |(_, bare)| bare);
            self.card_step(&merchant, &format!("pm_{bare}")).await
        };
        let engine = self.engine();
        let later = |ms: i64, attempt| {
            let chore = Chore { attempt, ..chore.clone() };
            vec![engine.chore_at(&chore, self.now().plus_millis(ms))]
        };
        let again = |attempt: u32| {
            let at = usize::try_from(attempt).unwrap_or(usize::MAX).min(AGAIN_MS.len() - 1);
            later(AGAIN_MS.get(at).copied().unwrap_or(WAIT_MS), attempt.saturating_add(1))
        };
        let writes = match done {
            // With a version of the method: whoever has left it something to do meanwhile is not overlooked.
            Ok(Step::Done(method)) => {
                let settled = method.next(self.now());
                vec![settled.write(), engine.no_chore(&chore)]
            }
            Ok(Step::Written(writes)) if writes.is_empty() => return,
            Ok(Step::Written(writes)) => writes,
            Ok(Step::Nothing) => vec![engine.no_chore(&chore)],
            Ok(Step::At(at)) => vec![engine.alarm_at(&chore, at)],
            Ok(Step::Later(ms)) => later(ms, chore.attempt),
            Ok(Step::Again) => again(chore.attempt),
            Err(Fault::Busy) => later(0, chore.attempt),
            Err(fault) => {
                tracing::warn!(chore = %chore.name, ?fault, "a step cannot be done now");
                again(chore.attempt)
            }
        };
        // Not written, it comes by again when its lease is over.
        if let Err(fault) = engine.store().commit(writes.into()).await {
            tracing::debug!(chore = %chore.name, %fault, "a step's end is not written");
        }
    }
}
