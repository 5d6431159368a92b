//! The exchange: limits first, then a connection, then one request on it.

use baton_connect::Filled;
use baton_types::AccountId;
use baton_types::outcome::NotSent;
use tokio::time::{Instant, timeout_at};

use crate::clock::{micros, now};
use crate::conn::{Bounds, Conn};
use crate::dial::{Dialed, Dialer, Protocol};
use crate::guard::{AccountHealth, Guard};
use crate::multiplex::{Shared, Terms};
use crate::pool::{Link, Pool};
use crate::request::Prepared;
use crate::socket::Metered;
use crate::{
    ConfigError, Evidence, Exchange, Failure, Report, Stage, Target, WireConfig, classify,
};

/// The way to the providers. One per process; shared by reference.
pub struct Wire {
    config: WireConfig,
    dialer: Dialer,
    guard: Guard,
    pool: Pool,
}

impl Wire {
    /// Sets up trust, limits and an empty pool. Opens nothing.
    ///
    /// # Errors
    /// A value out of range, or a root certificate that cannot be used.
    pub fn new(config: WireConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            dialer: Dialer::new(&config)?,
            guard: Guard::new(config.breaker, config.max_in_flight),
            pool: Pool::new(config.max_idle_per_origin, config.idle_timeout),
            config,
        })
    }

    /// Sends a call once and says what is known after it.
    ///
    /// The first byte is written before `send_by` or not at all (`NotSent::TooLate`). A caller that drops
    /// the future must treat the call as unknown: bytes may have left.
    pub async fn exchange(&self, target: &Target, call: Filled, send_by: Instant) -> Report {
        let started = now();
        let mut evidence = Evidence::default();
        let exchange = self.guarded(target, call, send_by, &mut evidence).await;
        evidence.total_us = micros(now() - started);
        log(target, &exchange, &evidence);
        Report { exchange, evidence }
    }

    /// What would keep a call to this account here now: an open breaker, or too many calls in flight.
    ///
    /// Asked before planning; changes nothing. `exchange` asks again, and may answer differently.
    #[must_use]
    pub fn refuses(&self, account: AccountId) -> Option<NotSent> {
        self.guard.refuses(account, now())
    }

    /// How each account stands that has been called since the start, by id.
    #[must_use]
    pub fn health(&self) -> Vec<AccountHealth> {
        self.guard.health(now())
    }

    async fn guarded(
        &self,
        target: &Target,
        call: Filled,
        send_by: Instant,
        evidence: &mut Evidence,
    ) -> Exchange {
        let Ok(request) = Prepared::new(&target.base_url, call) else {
            return Exchange::NotSent(NotSent::NotSupported);
        };
        let permit = match self.guard.admit(target.account, target.breaker, now()) {
            Ok(permit) => permit,
            Err(why) => return Exchange::NotSent(why),
        };
        // The gate asks again with the first byte; this only saves a connection.
        if now() >= send_by {
            return Exchange::NotSent(NotSent::TooLate);
        }
        let mut told = false;
        let exchange = self.attempt(target, &request, send_by, evidence, &mut told).await;
        if !told {
            permit.judge(&exchange, now());
        }
        exchange
    }

    /// Tries kept connections until one takes a byte, then a fresh one. No byte is ever written twice.
    ///
    /// `told`: the breaker knows already, from another call that failed with the same connection.
    async fn attempt(
        &self,
        target: &Target,
        request: &Prepared,
        send_by: Instant,
        evidence: &mut Evidence,
        told: &mut bool,
    ) -> Exchange {
        let bounds = Bounds {
            send_by,
            answer_timeout: self.config.answer_timeout,
            max_reply_bytes: self.config.max_reply_bytes,
        };
        loop {
            let link = match self.pool.take(target, now()) {
                Some(kept) => {
                    evidence.reused_connection = true;
                    kept
                }
                None => {
                    (*evidence, *told) = (Evidence::default(), false);
                    match Box::pin(self.connect(target, evidence)).await {
                        Ok(link) => link,
                        Err((stage, failure)) => return classify(stage, evidence, failure),
                    }
                }
            };
            let trip = match link {
                Link::One(conn) => conn.round_trip(request, bounds).await,
                Link::Many(slot) => Box::pin(slot.round_trip(request, bounds)).await,
            };
            (evidence.request_bytes, evidence.reply_bytes) = (trip.request_bytes, trip.reply_bytes);
            *told = trip.told;
            match trip.result {
                // It had died while idle, and the counter proves that it took nothing.
                Err(Failure::Broken | Failure::NotHttp | Failure::TooLarge)
                    if evidence.reused_connection && trip.request_bytes == 0 => {}
                Err(failure) => return classify(Stage::Exchange, evidence, failure),
                Ok(reply) => {
                    if let Some(conn) = trip.conn {
                        self.pool.put(target, conn, now());
                    }
                    return Exchange::Reply(reply);
                }
            }
        }
    }

    /// A fresh connection, or a place on one that another call made in the meantime.
    async fn connect(
        &self,
        target: &Target,
        evidence: &mut Evidence,
    ) -> Result<Link, (Stage, Failure)> {
        let begun = now();
        let deadline = begun + self.config.connect_timeout;
        let turn = self.pool.turn(target);
        let _held = match &turn {
            None => None,
            Some(turn) => match timeout_at(deadline, turn.lock()).await {
                Ok(held) => Some(held),
                Err(_) => return Err((Stage::Connect, Failure::TimedOut)),
            },
        };
        if turn.is_some()
            && let Some(made) = self.pool.take(target, now())
        {
            evidence.reused_connection = true;
            return Ok(made);
        }
        let link = self.dial(target, deadline).await;
        evidence.connect_us = micros(now() - begun);
        link
    }

    async fn dial(&self, target: &Target, deadline: Instant) -> Result<Link, (Stage, Failure)> {
        let Dialed { transport, protocol } = self.dialer.dial(target, deadline).await?;
        let unsent = |failure| (Stage::Exchange, failure);
        let early = match protocol {
            Protocol::Http1 => {
                return Conn::new(Metered::new(transport)).await.map(Link::One).map_err(unsent);
            }
            Protocol::Http2 { early } => early,
        };
        let terms = Terms {
            max_streams: self.config.http2_max_streams,
            max_reply_bytes: self.config.max_reply_bytes,
            idle_timeout: self.config.idle_timeout,
            ping: self.config.http2_ping,
        };
        let shared = match timeout_at(deadline, Shared::connect(transport, early, terms)).await {
            Ok(shared) => shared.map_err(unsent)?,
            Err(_) => return Err((Stage::Tls, Failure::TimedOut)),
        };
        let slot = shared.slot().ok_or_else(|| unsent(Failure::Broken))?;
        self.pool.share(target, shared, now());
        Ok(Link::Many(slot))
    }
}

/// Counts and names only: nothing of the call or the answer but its status.
fn log(target: &Target, exchange: &Exchange, evidence: &Evidence) {
    let (account, host) = (target.account, target.base_url.host());
    let Evidence { request_bytes, reply_bytes, reused_connection, connect_us, total_us } =
        *evidence;
    match exchange {
        Exchange::Reply(reply) => tracing::debug!(
            %account, host, status = reply.status, request_bytes, reply_bytes, reused_connection,
            connect_us, total_us, "answered"
        ),
        Exchange::NotSent(why) => tracing::info!(
            %account, host, why = why.as_str(), connect_us, total_us, "not sent"
        ),
        Exchange::Lost(why) => tracing::warn!(
            %account, host, why = why.as_str(), request_bytes, reply_bytes, reused_connection,
            connect_us, total_us, "answer lost"
        ),
    }
}
