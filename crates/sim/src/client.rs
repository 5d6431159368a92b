//! The merchant's side: orders, what is asked for them, and what was told.
//!
//! A client repeats a request under its idempotency key when it hears nothing, asks for the status of what
//! is in doubt, and captures, raises, voids or refunds what was approved: sometimes at two nodes at once.

use std::sync::Arc;
use std::time::Duration;

use baton_connect::{Challenge, Payer};
use baton_engine::{Answered, Brought, EngineError, Idempotency, PaidWith, Purchase, Target};
use baton_flow::{CallId, CallState, DoubtMode, OrderKind, Payment, Verdict};
use baton_types::outcome::Outcome;
use baton_types::{Card, CardNumber, Currency, Cvv, Expiry, Money, PaymentId};

use crate::dice::Dice;
use crate::provider::books::amount_of;
use crate::summary::Mode;
use crate::world::{Node, World};

/// A card whose number and CVV must not be found in any store.
pub(crate) const CARD_NUMBER: &str = "4111111111111111";
pub(crate) const CVV: &str = "0739";

/// What a client was told about its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Approved,
    Failed,
    InDoubt,
}

/// What a client knows of its order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) order: u64,
    pub(crate) started_ms: i64,
    pub(crate) accounts: Vec<usize>,
    /// Payments that the answers named.
    pub(crate) payments: Vec<PaymentId>,
    pub(crate) told: Vec<(i64, Told, PaymentId)>,
    /// How often the order was placed anew after an answer that allowed it.
    pub(crate) placed_again: u32,
}

/// What a client does with what was approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Nothing,
    CaptureAll,
    CaptureHalves,
    Void,
    CaptureAndVoid,
    Refund,
    RefundTwice,
    Raise,
    RaiseAndCapture,
    RaiseAndVoid,
    RaiseTwice,
}

impl Wish {
    fn raises(self) -> bool {
        matches!(self, Self::Raise | Self::RaiseAndCapture | Self::RaiseAndVoid | Self::RaiseTwice)
    }
}

struct Order {
    no: u64,
    amount: Money,
    authorize: bool,
    accounts: Vec<usize>,
    payer_waits: bool,
    by_token: bool,
    repeats: bool,
    wish: Wish,
}

impl Order {
    fn draw(world: &World, no: u64) -> Option<Self> {
        let mut dice = world.dice.on("order").at(no);
        let currency = Currency::parse("EUR").ok()?;
        let authorize = dice.chance(world.setup.authorizations);
        let mut accounts: Vec<usize> = (0..world.setup.accounts.len()).collect();
        let mut chosen = Vec::new();
        let all = world.setup.accounts_per_order >= accounts.len();
        while chosen.len() < world.setup.accounts_per_order && !accounts.is_empty() {
            let left = u64::try_from(accounts.len()).unwrap_or(1);
            let place = if all { 0 } else { usize::try_from(dice.below(left)).unwrap_or(0) };
            chosen.push(accounts.remove(place));
        }
        let by_sandbox = |place: &usize| {
            world.setup.accounts.get(*place).is_some_and(|a| a.gateway.starts_with("Sandbox"))
        };
        let by_token = chosen.iter().all(by_sandbox) && dice.chance(500_000);
        let wish = match (authorize, dice.below(100)) {
            (true, 0..40) => Wish::CaptureAll,
            (true, 40..55) => Wish::CaptureHalves,
            (true, 55..70) => Wish::Void,
            (true, 70..75) => Wish::CaptureAndVoid,
            (_, 75..85) => Wish::Refund,
            (_, 85..92) => Wish::RefundTwice,
            (true, 92..94) => Wish::Raise,
            (true, 94..96) => Wish::RaiseAndCapture,
            (true, 96..97) => Wish::RaiseAndVoid,
            (true, 97..99) => Wish::RaiseTwice,
            _ => Wish::Nothing,
        };
        Some(Self {
            no,
            amount: Money::new(amount_of(no, dice.below(1_000)), currency),
            authorize,
            accounts: chosen,
            payer_waits: dice.chance(300_000),
            by_token,
            repeats: dice.chance(world.faults.repeated),
            wish,
        })
    }

    fn merchant_ref(&self) -> String {
        format!("order-{}", self.no)
    }

    fn purchase(&self, world: &World) -> Option<Purchase> {
        let amount = self.amount;
        let card = Card {
            number: CardNumber::parse(CARD_NUMBER).ok()?,
            expiry: Expiry::new(12, 2090).ok()?,
            cvv: Some(Cvv::parse(CVV).ok()?),
            holder: Some("Ada Lovelace".to_owned()),
        };
        let card = PaidWith { card, network_token: None, three_ds: None };
        let name = |place: &usize| world.setup.accounts.get(*place).map(|a| a.name.clone());
        Some(Purchase {
            kind: if self.authorize {
                OrderKind::Authorize(amount)
            } else {
                OrderKind::Charge(amount)
            },
            card: (!self.by_token).then_some(card),
            provider_token: self.by_token.then(|| "tok_simulated".to_owned()),
            redirect: None,
            accounts: self.accounts.iter().filter_map(name).collect(),
            merchant_ref: Some(self.merchant_ref()),
            description: None,
            payer: None::<Payer>,
            digital: None,
            challenge: self.challenge(),
            stored: None,
            may_grow: self.wish.raises(),
            doubt: doubt(world.mode),
            brought: Brought::default(),
            allow_duplicate: false,
        })
    }

    fn challenge(&self) -> Option<Challenge> {
        self.payer_waits.then(|| Challenge { return_url: "https://shop.invalid/".to_owned() })
    }
}

/// What the engine is asked to do about doubts.
fn doubt(mode: Mode) -> DoubtMode {
    match mode {
        Mode::Naive | Mode::OutageRetry | Mode::ResolveFirst => DoubtMode::ResolveFirst,
        Mode::HoldSafe => DoubtMode::HoldSafe,
    }
}

fn idempotency(key: String) -> Idempotency {
    Idempotency { fingerprint: key.clone().into_bytes(), key }
}

/// One order from its first request to its last.
pub(crate) async fn run(world: Arc<World>, no: u64) {
    let Some(order) = Order::draw(&world, no) else { return };
    let record = Record {
        order: no,
        started_ms: world.time.now_ms(),
        accounts: order.accounts.clone(),
        ..Record::default()
    };
    let place = {
        let mut records = world.records();
        records.push(record);
        records.len().saturating_sub(1)
    };
    let client = Client { world, order, place };
    let first = client.buys(0);
    let payment = if client.order.repeats {
        // Both stand for the same order under the same key.
        let (payment, again) = tokio::join!(first, client.buys(1));
        payment.or(again)
    } else {
        Box::pin(first).await
    };
    let Some(payment) = payment else { return };
    if client.settles(payment).await == Some(Told::Approved) {
        Box::pin(client.carries_on(payment)).await;
    }
}

struct Client {
    world: Arc<World>,
    order: Order,
    place: usize,
}

impl Client {
    fn dice(&self, what: &str) -> Dice {
        self.world.dice.on("client").on(what).at(self.order.no)
    }

    fn note(&self, what: impl FnOnce() -> String) {
        let who = format!("client-{}", self.order.no);
        self.world.note(&who, Some(self.order.no), what);
    }

    fn is_told(&self, payment: PaymentId, told: Told) {
        self.note(|| format!("is told: {told:?} ({payment})"));
        let at_ms = self.world.time.now_ms();
        let mut records = self.world.records();
        if let Some(record) = records.get_mut(self.place) {
            record.told.push((at_ms, told, payment));
            if !record.payments.contains(&payment) {
                record.payments.push(payment);
            }
        }
    }

    /// A node that runs; waits for one if there is none.
    async fn some_node(&self, from: u64) -> Arc<Node> {
        loop {
            if let Some(node) = self.world.running(self.order.no.saturating_add(from)) {
                return node;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Places the order, and again under the same key until there is an answer.
    async fn buys(&self, from: u64) -> Option<PaymentId> {
        let mut dice = self.dice("buys").at(from);
        let key = self.order.merchant_ref();
        for again in 0..12_u64 {
            let node = self.some_node(from.saturating_add(again)).await;
            let purchase = self.order.purchase(&self.world)?;
            let caller = self.world.caller();
            self.note(|| format!("asks {} for {}", node.name, self.order.amount));
            let asked = node.engine.purchase(caller, purchase, Some(idempotency(key.clone())));
            let answered = Box::pin(patient(&node, asked)).await;
            match answered {
                Some(Ok(answered)) => {
                    let told = verdict(&answered);
                    let id = answered.payment.id;
                    self.is_told(id, told);
                    // "Nothing was attempted, try again": the key is free. Some do.
                    if told == Told::Failed
                        && is_harmless(&answered.payment)
                        && dice.chance(300_000)
                    {
                        let mut records = self.world.records();
                        if let Some(record) = records.get_mut(self.place) {
                            record.placed_again = record.placed_again.saturating_add(1);
                        }
                    } else {
                        return Some(id);
                    }
                }
                Some(Err(error)) => {
                    self.note(|| format!("gets no answer from {}: {error}", node.name))
                }
                None => self.note(|| format!("hears nothing from {}", node.name)),
            }
            tokio::time::sleep(Duration::from_millis(dice.between(500, 5_000))).await;
        }
        None
    }

    /// Asks how a payment stands until that is final, for an hour.
    async fn settles(&self, payment: PaymentId) -> Option<Told> {
        let mut dice = self.dice("settles");
        let mut last = self.last_told();
        for wait_ms in [0, 5_000, 15_000, 60_000, 300_000, 900_000, 2_400_000] {
            if last != Some(Told::InDoubt) {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            let node = self.some_node(dice.below(8)).await;
            let target = by_id(payment);
            let asked = node.engine.status(self.world.caller(), &target);
            if let Some(Ok(answered)) = patient(&node, asked).await {
                let told = verdict(&answered);
                self.is_told(payment, told);
                last = Some(told);
            }
        }
        last
    }

    fn last_told(&self) -> Option<Told> {
        let records = self.world.records();
        records.get(self.place)?.told.last().map(|(_, told, _)| *told)
    }

    async fn carries_on(&self, payment: PaymentId) {
        let mut dice = self.dice("wish");
        tokio::time::sleep(Duration::from_millis(dice.between(500, 60_000))).await;
        let whole = self.order.amount;
        let part = |percent: i64| {
            Money::new(whole.minor().saturating_mul(percent).div_euclid(100), whole.currency())
        };
        if self.order.authorize {
            match self.order.wish {
                Wish::Nothing => {}
                Wish::Void => self.changes(payment, Change::Void, "v1", 0).await,
                Wish::CaptureAndVoid => {
                    tokio::join!(
                        self.changes(payment, Change::Capture(whole), "c1", 0),
                        self.changes(payment, Change::Void, "v1", 1),
                    );
                }
                Wish::CaptureHalves => {
                    tokio::join!(
                        self.changes(payment, Change::Capture(part(50)), "c1", 0),
                        self.changes(payment, Change::Capture(part(50)), "c2", 1),
                    );
                }
                Wish::CaptureAll | Wish::Refund | Wish::RefundTwice => {
                    self.changes(payment, Change::Capture(whole), "c1", 0).await;
                }
                Wish::Raise => self.changes(payment, Change::Raise(part(150)), "i1", 0).await,
                Wish::RaiseTwice => {
                    tokio::join!(
                        self.changes(payment, Change::Raise(part(130)), "i1", 0),
                        self.changes(payment, Change::Raise(part(150)), "i2", 1),
                    );
                }
                Wish::RaiseAndCapture => {
                    tokio::join!(
                        self.changes(payment, Change::Raise(part(150)), "i1", 0),
                        self.changes(payment, Change::Capture(whole), "c1", 1),
                    );
                }
                Wish::RaiseAndVoid => {
                    tokio::join!(
                        self.changes(payment, Change::Raise(part(150)), "i1", 0),
                        self.changes(payment, Change::Void, "v1", 1),
                    );
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(dice.between(500, 60_000))).await;
        match self.order.wish {
            Wish::Refund => self.changes(payment, Change::Refund(part(40)), "r1", 0).await,
            Wish::RefundTwice => {
                // Each is within what was captured, both together are not.
                tokio::join!(
                    self.changes(payment, Change::Refund(part(60)), "r1", 0),
                    self.changes(payment, Change::Refund(part(60)), "r2", 1),
                );
            }
            // What was raised is taken; where it was not, what was held before.
            Wish::Raise | Wish::RaiseTwice => {
                self.changes(payment, Change::Capture(part(150)), "c1", 0).await;
                self.changes(payment, Change::Capture(whole), "c2", 0).await;
            }
            Wish::Nothing
            | Wish::CaptureAll
            | Wish::CaptureHalves
            | Wish::Void
            | Wish::CaptureAndVoid
            | Wish::RaiseAndCapture
            | Wish::RaiseAndVoid => {}
        }
    }

    /// Asks for a change until there is an answer.
    async fn changes(&self, payment: PaymentId, change: Change, name: &str, from: u64) {
        let mut dice = self.dice(name);
        let key = format!("{}-{name}", self.order.merchant_ref());
        for again in 0..6_u64 {
            let node = self.some_node(from.saturating_add(again)).await;
            let (caller, target) = (self.world.caller(), by_id(payment));
            let key = Some(idempotency(key.clone()));
            self.note(|| format!("asks {} for {change:?}", node.name));
            let answered = match change {
                Change::Capture(amount) => {
                    patient(&node, node.engine.capture(caller, &target, amount, key)).await
                }
                Change::Void => {
                    let amount = self.order.amount;
                    patient(&node, node.engine.void(caller, &target, amount, key)).await
                }
                Change::Refund(amount) => {
                    patient(&node, node.engine.refund(caller, &target, amount, key)).await
                }
                // It takes no key: what is held is no more than what is asked for.
                Change::Raise(amount) => {
                    let change = baton_engine::Change::Increment(amount);
                    patient(&node, node.engine.change_alongside(caller, payment, change, None))
                        .await
                }
            };
            match answered {
                Some(Ok(answered)) => {
                    let state = answered.payment.call(answered.call).map(|call| call.state.clone());
                    self.note(|| format!("is told of {change:?}: {state:?}"));
                    return;
                }
                Some(Err(
                    error @ (EngineError::Unavailable
                    | EngineError::StillRunning
                    | EngineError::Internal),
                )) => self.note(|| format!("is told: {error}")),
                Some(Err(error)) => {
                    self.note(|| format!("is refused {change:?}: {error}"));
                    return;
                }
                None => self.note(|| format!("hears nothing from {}", node.name)),
            }
            tokio::time::sleep(Duration::from_millis(dice.between(1_000, 10_000))).await;
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Capture(Money),
    Void,
    Refund(Money),
    Raise(Money),
}

/// What a node answers; nothing if it dies or takes longer than a client waits.
async fn patient<T>(
    node: &Node,
    asked: impl Future<Output = Result<T, EngineError>>,
) -> Option<Result<T, EngineError>> {
    let answered = async {
        let answered = asked.await;
        node.gate.cross().await;
        answered
    };
    tokio::select! {
        biased;
        () = node.gate.died() => None,
        answered = tokio::time::timeout(Duration::from_secs(40), answered) => answered.ok(),
    }
}

pub(crate) fn by_id(id: PaymentId) -> Target {
    Target {
        account: None,
        reference: Some(id.to_string()),
        merchant_ref: None,
        card: None,
        brought: Brought::default(),
    }
}

pub(crate) fn verdict(answered: &Answered) -> Told {
    match answered.payment.verdict() {
        Verdict::Approved(_) => Told::Approved,
        Verdict::Failed(_) => Told::Failed,
        Verdict::InDoubt(_) | Verdict::Running => Told::InDoubt,
    }
}

/// Whether no provider attempted anything.
fn is_harmless(payment: &Payment) -> bool {
    payment.calls().all(|(id, call)| {
        let harmless = match &call.state {
            CallState::Final { outcome, .. } => {
                matches!(outcome, Outcome::NotSent { .. } | Outcome::Refused { .. })
            }
            CallState::Planned | CallState::Open { .. } | CallState::Closed { .. } => false,
        };
        harmless && matches!(id, CallId::Attempt(_))
    })
}

/// The amount of an order, in minor units.
pub(crate) fn amount(world: &World, no: u64) -> Option<i64> {
    Order::draw(world, no).map(|order| order.amount.minor())
}
