//! The network as one node sees it: what leaves, what arrives, and what comes back.
//!
//! It keeps the promises of `baton_wire`: a call is sent once, its first byte before `send_by` or never, and
//! `NotSent` is proof. The breaker is the production one. A policy that is to be compared with ours is had here,
//! by rewriting what the engine is told: see [`Mode`](crate::Mode).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use baton_connect::{Filled, HttpReply};
use baton_engine::{AccountHealth, Network};
use baton_types::AccountId;
use baton_types::outcome::{Doubt, NotSent};
use baton_wire::{Evidence, Exchange, Guard, Report, Target, WireConfig};
use tokio::time::Instant;

use crate::gate::Gate;
use crate::provider::{Answer, Commit, Fate, Meaning, Request, Served};
use crate::summary::Mode;
use crate::world::World;

/// How long a call waits for its answer: as long as the production network by default.
const PATIENCE_MS: u64 = 60_000;

/// The order of a request that shows none.
const UNKNOWN: u64 = u64::MAX;

/// How long the unsafe policies wait: their time-outs have to leave room for another try.
const HASTE_MS: u64 = 12_000;

pub(crate) struct NodeNetwork {
    world: Arc<World>,
    gate: Arc<Gate>,
    node: String,
    guard: Guard,
}

impl NodeNetwork {
    pub(crate) fn new(world: Arc<World>, gate: Arc<Gate>, node: String) -> Self {
        let production = WireConfig::default();
        let guard = Guard::new(production.breaker, production.max_in_flight);
        Self { world, gate, node, guard }
    }

    async fn guarded(&self, target: &Target, request: Request, send_by: Instant) -> Exchange {
        let permit = match self.guard.admit(target.account, target.breaker, Instant::now()) {
            Ok(permit) => permit,
            Err(why) => return Exchange::NotSent(why),
        };
        let asks = request.asks();
        let kind = request.kind();
        let (exchange, meaning) = self.carry(target.account, request, send_by).await;
        permit.judge(&exchange, Instant::now());
        if asks { exchange } else { self.world.mode.told(exchange, meaning, kind) }
    }

    async fn carry(
        &self,
        account: AccountId,
        request: Request,
        send_by: Instant,
    ) -> (Exchange, Meaning) {
        let world = &self.world;
        let nothing = |why| (Exchange::NotSent(why), Meaning::Refused);
        let Some(place) = world.provider_of(account) else {
            return nothing(NotSent::DnsFailed);
        };
        let (order, fate) = {
            let mut bank = world.bank();
            let order = bank.order(place, &request).or(Some(UNKNOWN));
            (order, bank.fate(place, order, &request, world.time.now_ms()))
        };
        let mut dice = world.dice.on("link").at(order.unwrap_or(0)).at(fate.takes_ms);
        let name = world.provider_name(place);
        let kind = request.kind();
        if fate.unreachable {
            tokio::time::sleep(Duration::from_millis(dice.between(5, 2_000))).await;
            world.note(&self.node, order, || {
                format!("{kind} to {name}: no connection, nothing left")
            });
            return nothing(NotSent::ConnectTimeout);
        }
        tokio::time::sleep(Duration::from_millis(dice.between(2, 40))).await;
        let stops = !request.asks() && dice.chance(world.faults.stopped_before_write);
        if !stops {
            // The process may have stood still until now; the clock is read with the first byte.
            self.gate.up().await;
        }
        if Instant::now() >= send_by {
            world.note(&self.node, order, || format!("{kind} to {name}: too late to send"));
            return nothing(NotSent::TooLate);
        }
        if stops {
            world.note(&self.node, order, || {
                "stopped between its last check and its first byte".to_owned()
            });
            tokio::time::sleep(Duration::from_millis(dice.between(10_000, 120_000))).await;
        }
        world.note(&self.node, order, || format!("{kind} sent to {name}"));
        let (exchange, meaning) = self.answered(place, order, request, fate).await;
        world.note(&self.node, order, || match &exchange {
            Exchange::Reply(reply) => format!("{name} answered {kind} with {}", reply.status),
            Exchange::NotSent(why) => format!("{kind} to {name}: {}", why.as_str()),
            Exchange::Lost(why) => {
                format!("{kind} to {name}: the answer is lost ({})", why.as_str())
            }
        });
        (exchange, meaning)
    }

    /// What comes back of a request that has left, and what it means to whoever can read it.
    async fn answered(
        &self,
        place: usize,
        order: Option<u64>,
        request: Request,
        fate: Fate,
    ) -> (Exchange, Meaning) {
        let world = &self.world;
        let asks = request.asks();
        let pause = |ms| tokio::time::sleep(Duration::from_millis(ms));
        let served = match fate.commit {
            Commit::First => {
                pause(fate.takes_ms / 2).await;
                let served = world.serve(place, &request, order);
                if fate.twice {
                    let again = world.serve(place, &request, order);
                    // The first may still run when the second arrives.
                    let runs = fate.takes_ms.is_multiple_of(2);
                    let reply = if runs { world.bank().in_progress(place) } else { again.reply };
                    Some(Served { reply, ..served })
                } else {
                    Some(served)
                }
            }
            Commit::Never => None,
            Commit::LateMs(after_ms) => {
                let (late, world) = (request, Arc::clone(world));
                self.world.tasks.spawn(async move {
                    tokio::time::sleep(Duration::from_millis(after_ms)).await;
                    world.serve(place, &late, order);
                });
                None
            }
        };
        pause(fate.takes_ms / 2).await;
        let patience_ms = if world.mode.is_hasty() && !asks { HASTE_MS } else { PATIENCE_MS };
        let meaning = served.as_ref().map_or(Meaning::Refused, |served| served.meaning);
        let exchange = match (fate.answer, served) {
            (Answer::Whole, Some(served)) if fate.takes_ms <= patience_ms => {
                Exchange::Reply(served.reply)
            }
            (Answer::Whole | Answer::Hangs, _) => {
                pause(patience_ms.saturating_sub(fate.takes_ms)).await;
                Exchange::Lost(Doubt::AnswerTimeout)
            }
            (Answer::Lost, _) => Exchange::Lost(Doubt::ConnectionLost),
            (Answer::CutShort, _) => Exchange::Lost(Doubt::AnswerCutShort),
            (Answer::Garbage, _) => {
                let body = b"<html>}{\"ok\":".to_vec();
                Exchange::Reply(HttpReply { status: 200, headers: Vec::new(), body })
            }
            (Answer::Error(status), _) => Exchange::Reply(world.bank().broken(place, status)),
            (Answer::RateLimited, _) => Exchange::Reply(world.bank().broken(place, 429)),
        };
        let meaning = if fate.answer == Answer::Whole { meaning } else { Meaning::Refused };
        (exchange, meaning)
    }
}

impl Mode {
    /// What the engine is told of an exchange. Our own policies are told what happened.
    fn told(self, exchange: Exchange, meaning: Meaning, kind: &str) -> Exchange {
        let lost = matches!(exchange, Exchange::Lost(_));
        let server_error = matches!(&exchange, Exchange::Reply(reply) if reply.status >= 500);
        let unapproved = matches!(meaning, Meaning::Declined | Meaning::Refused);
        let rewrites = match self {
            Self::ResolveFirst | Self::HoldSafe => false,
            // What a purchase's time-out or 5xx did is not asked.
            Self::OutageRetry => lost || server_error,
            Self::Naive => lost || server_error || unapproved,
        };
        if rewrites && kind == "purchase" {
            Exchange::NotSent(NotSent::ConnectFailed)
        } else {
            exchange
        }
    }
}

#[async_trait]
impl Network for NodeNetwork {
    async fn exchange(&self, target: &Target, call: Filled, send_by: Instant) -> Report {
        self.gate.cross().await;
        let request = Request::of(&call);
        drop(call);
        let exchange = self.guarded(target, request, send_by).await;
        self.gate.cross().await;
        Report { exchange, evidence: Evidence::default() }
    }

    fn refuses(&self, account: AccountId) -> Option<NotSent> {
        self.guard.refuses(account, Instant::now())
    }

    fn health(&self) -> Vec<AccountHealth> {
        self.guard.health(Instant::now())
    }
}
