//! Calls to external card vaults, through the same sockets as calls to providers.
//!
//! Guarantees: a call is sent once, with the timeouts, the limits, the breaker and the client certificate of its
//! account; its answer is handed to whoever reads it and wiped after. Left out: what is asked and what an answer means
//! (adapters), where credentials come from, and asking again.

use std::time::Duration;

use baton_connect::{Fill, HttpCall, HttpReply};
use baton_types::AccountId;
use baton_vault::Tenant;
use baton_wire::{BaseUrl, Exchange, Policy, Target};
use tokio::time::{Instant, timeout};
use zeroize::Zeroize as _;

use crate::engine::Engine;

/// How long a call may wait for its first byte.
const SEND_WITHIN: Duration = Duration::from_secs(5);

/// Where a vault is.
#[derive(Clone, Debug)]
pub struct VaultPlace {
    /// Whose cards.
    pub tenant: Tenant,
    /// The account whose connections, breaker and limit are used.
    pub account: AccountId,
    /// Its address; plain HTTP for test cards only.
    pub base_url: String,
    /// The client certificate that it is shown.
    pub certificate: Option<String>,
}

/// Why a vault gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaultSilence {
    /// Proof that nothing was sent: the word for it.
    NotSent(&'static str),
    /// It was sent, and perhaps done.
    Lost(&'static str),
}

impl VaultSilence {
    /// The word for it.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::NotSent(word) | Self::Lost(word) => word,
        }
    }
}

impl Engine {
    /// Sends a call to a vault once and reads the answer. After `patience` it is given up; then it may have been done.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn ask_vault<T>(
        &self,
        place: &VaultPlace,
        call: &HttpCall,
        secrets: &(dyn Fill + Sync),
        patience: Duration,
        read: impl FnOnce(&HttpReply) -> T + Send,
    ) -> Result<T, VaultSilence> {
        let not_configured = VaultSilence::NotSent("not_configured");
        let policy =
            if place.tenant.sandbox { Policy::PlainHttpAllowed } else { Policy::HttpsOnly };
        let Ok(base_url) = BaseUrl::parse(&place.base_url, policy) else {
            return Err(not_configured);
        };
        let identity = match &place.certificate {
            None => None,
            Some(name) => match self.inner.accounts.identity(place.tenant, name).await {
                Ok(Some(identity)) => Some(identity),
                // Rather not called than called without it.
                Ok(None) => return Err(not_configured),
                Err(_) => return Err(VaultSilence::NotSent("unavailable")),
            },
        };
        let filled = call.fill(secrets).map_err(|error| {
            tracing::error!(%error, "a call to a vault cannot be filled");
            not_configured
        })?;
        let target = Target { account: place.account, base_url, breaker: true, identity };
        let exchange = self.inner.wire.exchange(&target, filled, Instant::now() + SEND_WITHIN);
        let Ok(report) = timeout(patience, exchange).await else {
            return Err(VaultSilence::Lost("answer_timeout"));
        };
        match report.exchange {
            Exchange::Reply(mut reply) => {
                let said = read(&reply);
                reply.body.zeroize();
                Ok(said)
            }
            Exchange::NotSent(why) => Err(VaultSilence::NotSent(why.as_str())),
            Exchange::Lost(why) => Err(VaultSilence::Lost(why.as_str())),
        }
    }
}
