//! The way to the providers, as the engine sees it. A simulator puts its own in its place.

use async_trait::async_trait;
use baton_connect::Filled;
use baton_types::AccountId;
use baton_types::outcome::NotSent;
use baton_wire::{AccountHealth, Report, Target, Wire};
use tokio::time::Instant;

/// Sends calls to providers. Whoever implements it keeps the promises of [`Wire`]: a call is sent once, its
/// first byte before `send_by` or never, and `NotSent` is proof.
#[async_trait]
pub trait Network: Send + Sync {
    /// Sends a call once and says what is known after it. A caller that drops the future has to treat the
    /// call as unknown.
    async fn exchange(&self, target: &Target, call: Filled, send_by: Instant) -> Report;

    /// What would keep a call to this account here now. Changes nothing.
    fn refuses(&self, account: AccountId) -> Option<NotSent>;

    /// How each account stands that has been called, by id.
    fn health(&self) -> Vec<AccountHealth>;
}

#[async_trait]
impl Network for Wire {
    async fn exchange(&self, target: &Target, call: Filled, send_by: Instant) -> Report {
        Self::exchange(self, target, call, send_by).await
    }

    fn refuses(&self, account: AccountId) -> Option<NotSent> {
        Self::refuses(self, account)
    }

    fn health(&self) -> Vec<AccountHealth> {
        Self::health(self)
    }
}
