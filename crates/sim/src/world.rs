//! A world: one database, some nodes, the providers, and the time that they share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use baton_connect::{Freshness, Incoming};
use baton_engine::audit::{Actor, Audit};
use baton_engine::merchants::{AccountSpec, ensure, put_account};
use baton_engine::{
    Caller, Clock as _, Credentials, Engine, EngineConfig, EngineError, Heard, Parts,
};
use baton_store::{Store, Write, WriteSet};
use baton_types::{AccountId, MerchantId, Secret};
use tokio_util::task::TaskTracker;

use crate::client::Record;
use crate::dice::Dice;
use crate::faults::Faults;
use crate::gate::{Gate, Life};
use crate::kit::Kit;
use crate::network::NodeNetwork;
use crate::provider::books::{Event, State, Verdict};
use crate::provider::webhook::{self, ADYEN_ACCOUNT, ADYEN_KEY, Message, STRIPE_SECRET};
use crate::provider::{Bank, Request, Served};
use crate::published::Published;
use crate::setup::{Setup, traits};
use crate::store::{Database, NodeStore};
use crate::summary::Mode;
use crate::time::{NodeClock, Time};
use crate::trace::Trace;

/// One process.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) engine: Engine,
    pub(crate) gate: Arc<Gate>,
    pub(crate) clock: Arc<NodeClock>,
}

/// Everything that the parties of a world share.
pub(crate) struct World {
    pub(crate) time: Time,
    pub(crate) dice: Dice,
    pub(crate) faults: Faults,
    pub(crate) mode: Mode,
    pub(crate) setup: Setup,
    pub(crate) database: Arc<Database>,
    /// What goes on by itself: late requests, webhooks, payers.
    pub(crate) tasks: TaskTracker,
    pub(crate) published: Arc<Published>,
    pub(crate) trace: Trace,
    kit: Kit,
    bank: Mutex<Bank>,
    names: Vec<String>,
    accounts: OnceLock<HashMap<AccountId, usize>>,
    caller: OnceLock<Caller>,
    nodes: Mutex<Vec<Arc<Node>>>,
    boots: Mutex<u64>,
    records: Mutex<Vec<Record>>,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// An empty world with its merchant and accounts, and no node yet.
    pub(crate) async fn begin(
        kit: &Kit,
        setup: &Setup,
        seed: u64,
        traced: bool,
    ) -> Result<Arc<Self>, String> {
        let (time, dice) = (Time::begin(), Dice::new(seed));
        let faults = setup.faults.clone();
        let providers: Result<Vec<_>, _> = setup.accounts.iter().map(|a| traits(kit, a)).collect();
        let providers = providers?;
        let names = providers.iter().map(|provider| provider.name.clone()).collect();
        let world = Arc::new(Self {
            time,
            dice,
            mode: setup.mode,
            database: Arc::new(Database::new(time, dice.on("commit"), faults.clone())),
            tasks: TaskTracker::new(),
            published: Arc::default(),
            trace: Trace::new(traced),
            kit: kit.clone(),
            bank: Mutex::new(Bank::new(providers, dice.on("bank"), faults.clone())),
            faults,
            setup: setup.clone(),
            names,
            accounts: OnceLock::new(),
            caller: OnceLock::new(),
            nodes: Mutex::default(),
            boots: Mutex::new(0),
            records: Mutex::default(),
        });
        world.found().await.map_err(|error| error.to_string())?;
        Ok(world)
    }

    /// The merchant and its accounts, before anything can go wrong.
    async fn found(&self) -> Result<(), EngineError> {
        let store: Arc<dyn Store> = Arc::new(NodeStore {
            database: Arc::new(Database::new(self.time, self.dice, Faults::none())),
            gate: Arc::new(Gate::new(None)),
        });
        let clock = Arc::new(NodeClock::new(self.time, self.dice.on("found")));
        let audit = Audit::new(Arc::clone(&store), clock);
        let merchant = ensure(&audit, Actor::System, "simulated").await?;
        let mut accounts = HashMap::new();
        for (place, account) in self.setup.accounts.iter().enumerate() {
            let spec = AccountSpec {
                foreign_references: false,
                name: account.name.clone(),
                gateway: account.gateway.clone(),
                base_url: Some(format!("http://{}.invalid", account.name)),
                test: true,
            };
            accounts.insert(put_account(&audit, Actor::System, merchant, &spec).await?, place);
        }
        // The founding went to a database of its own; what it made is copied without its audit log.
        let mut set = WriteSet::new();
        for row in store.merchants().await? {
            set.push(Write::Merchant(row));
        }
        for row in store.accounts(merchant).await? {
            set.push(Write::Account(row));
        }
        self.database.memory.commit(set).await?;
        let caller = Caller { merchant, sandbox: true, key: None };
        let _first = self.accounts.set(accounts);
        let _first = self.caller.set(caller);
        Ok(())
    }

    pub(crate) fn caller(&self) -> Caller {
        let nobody = Caller { merchant: MerchantId::from_bytes([0; 16]), sandbox: true, key: None };
        self.caller.get().copied().unwrap_or(nobody)
    }

    pub(crate) fn bank(&self) -> MutexGuard<'_, Bank> {
        lock(&self.bank)
    }

    pub(crate) fn records(&self) -> MutexGuard<'_, Vec<Record>> {
        lock(&self.records)
    }

    pub(crate) fn provider_of(&self, account: AccountId) -> Option<usize> {
        self.accounts.get()?.get(&account).copied()
    }

    pub(crate) fn provider_name(&self, place: usize) -> &str {
        self.names.get(place).map_or("nobody", String::as_str)
    }

    pub(crate) fn note(&self, who: &str, order: Option<u64>, what: impl FnOnce() -> String) {
        self.trace.add(self.time.elapsed_ms(), who, order, what);
    }

    // ---- nodes

    /// Starts a process in this place: the first time, or again.
    pub(crate) fn start(self: &Arc<Self>, place: usize, dies_at: Option<u64>) -> Arc<Node> {
        let boot = {
            let mut boots = lock(&self.boots);
            *boots = boots.saturating_add(1);
            *boots
        };
        let name = format!("node-{}", place.saturating_add(1));
        let gate = Arc::new(Gate::new(dies_at));
        let dice = self.dice.on("node").at(boot);
        let clock = Arc::new(NodeClock::new(self.time, dice));
        let store: Arc<dyn Store> =
            Arc::new(NodeStore { database: Arc::clone(&self.database), gate: Arc::clone(&gate) });
        let engine = Engine::new(Parts {
            config: EngineConfig {
                node: name.clone(),
                failover_window_ms: self.setup.failover_window_ms,
                replay: self.setup.replay,
                ..EngineConfig::default()
            },
            store: Arc::clone(&store),
            wire: Arc::new(NodeNetwork::new(Arc::clone(self), Arc::clone(&gate), name.clone())),
            clock: Arc::clone(&clock) as Arc<dyn baton_engine::Clock>,
            connectors: self.kit.connectors.clone(),
            vault: self.kit.vault.clone().into(),
            credentials: self.credentials(),
            test_urls: HashMap::new(),
            sink: Arc::clone(&self.published) as Arc<dyn baton_engine::EventSink>,
            audit: Audit::new(store, Arc::clone(&clock) as Arc<dyn baton_engine::Clock>),
        });
        engine.start();
        let node = Arc::new(Node { name, engine, gate, clock });
        let mut nodes = lock(&self.nodes);
        match nodes.get_mut(place) {
            Some(old) => *old = Arc::clone(&node),
            None => nodes.push(Arc::clone(&node)),
        }
        self.note(&node.name, None, || format!("starts (run {boot})"));
        node
    }

    pub(crate) fn node(&self, place: usize) -> Option<Arc<Node>> {
        lock(&self.nodes).get(place).cloned()
    }

    pub(crate) fn nodes(&self) -> Vec<Arc<Node>> {
        lock(&self.nodes).clone()
    }

    /// A node that runs, beginning to look at this place.
    pub(crate) fn running(&self, from: u64) -> Option<Arc<Node>> {
        let nodes = lock(&self.nodes);
        let len = nodes.len();
        let from = usize::try_from(from).unwrap_or(0).checked_rem(len).unwrap_or(0);
        let order = (from..len).chain(0..from);
        let up =
            order.filter_map(|place| nodes.get(place)).find(|node| node.gate.life() == Life::Up);
        up.cloned()
    }

    fn credentials(&self) -> Credentials {
        let of = |pairs: &[(&str, &str)]| {
            let secret = |text: &str| Secret::new(text.to_owned());
            pairs.iter().map(|(name, text)| ((*name).to_owned(), secret(text))).collect()
        };
        let all = [
            ("ApiKey", "simulated-key"),
            ("SecretKey", "sk_simulated"),
            ("WebhookSecret", STRIPE_SECRET),
            ("MerchantAccount", ADYEN_ACCOUNT),
            ("HmacKey", ADYEN_KEY),
        ];
        let accounts = self.accounts.get().into_iter().flatten();
        accounts.map(|(id, _)| (*id, of(&all))).collect()
    }

    // ---- providers

    /// A provider carries a request out, and what follows from that begins.
    pub(crate) fn serve(
        self: &Arc<Self>,
        place: usize,
        request: &Request,
        order: Option<u64>,
    ) -> Served {
        let served = self.bank().serve(place, request, self.time.now_ms());
        if !request.asks() {
            self.note(self.provider_name(place), order, || {
                format!(
                    "executes {}: {:?}, {}",
                    request.kind(),
                    served.meaning,
                    served.reply.status
                )
            });
        }
        self.follow(place);
        served
    }

    /// What a provider's books have to say since they were last asked.
    pub(crate) fn follow(self: &Arc<Self>, place: usize) {
        let events = self.bank().take_events(place);
        for event in events {
            self.react(place, &event);
            let message = {
                let bank = self.bank();
                let (traits, books) = (bank.traits(place), bank.books(place));
                traits
                    .zip(books)
                    .and_then(|(traits, books)| webhook::of(traits.dialect, books, &event))
            };
            if let Some(message) = message {
                self.tell(place, message);
            }
        }
    }

    /// A payment that is open comes to its end by itself, if at all.
    fn react(self: &Arc<Self>, place: usize, event: &Event) {
        let Event::Payment(at) = *event else { return };
        let Some(paid) = self.bank().books(place).and_then(|books| books.payment(at).cloned())
        else {
            return;
        };
        let mut dice = self.dice.on("after").at(paid.order).at(u64::try_from(place).unwrap_or(0));
        let (after_ms, decline) = match (&paid.state, &paid.verdict) {
            (State::Pending, Verdict::Pending { then }) => (dice.between(1_000, 120_000), *then),
            (State::Challenge, _) => {
                let declined =
                    dice.chance(150_000).then_some(crate::provider::books::Decline::Issuer);
                // Most payers act. Of those who walk away, some come back when nobody expects them.
                let after = if dice.chance(700_000) {
                    dice.between(3_000, 90_000)
                } else if dice.chance(300_000) {
                    dice.between(600_000, 2_400_000)
                } else {
                    return;
                };
                (after, declined)
            }
            (State::Declined(_), _) if dice.chance(self.faults.settles_denied) => {
                let world = Arc::clone(self);
                let after = Duration::from_millis(dice.between(60_000, 3_600_000));
                self.tasks.spawn(async move {
                    tokio::time::sleep(after).await;
                    let now_ms = world.time.now_ms();
                    if let Some(books) = world.bank().books_mut(place) {
                        books.settle_denied(at, now_ms);
                    }
                    world.note(world.provider_name(place), Some(paid.order), || {
                        "settles what it denied".to_owned()
                    });
                    world.follow(place);
                });
                return;
            }
            _ => return,
        };
        let world = Arc::clone(self);
        self.tasks.spawn(async move {
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            let now_ms = world.time.now_ms();
            let settled = world
                .bank()
                .books_mut(place)
                .is_some_and(|books| books.settle(at, decline, now_ms));
            if settled {
                world.note(world.provider_name(place), Some(paid.order), || match decline {
                    None => "what was open is approved".to_owned(),
                    Some(_) => "what was open is declined".to_owned(),
                });
                world.follow(place);
            }
        });
    }

    /// Sends a webhook: perhaps late, perhaps twice, perhaps never.
    fn tell(self: &Arc<Self>, place: usize, message: Message) {
        let number = u64::try_from(self.time.now_ms()).unwrap_or(0);
        let mut dice = self.dice.on("webhook").on(&message.what).at(number);
        if dice.chance(self.faults.webhook_lost) {
            return;
        }
        let late = dice.chance(self.faults.webhook_late);
        let first = if late { dice.between(60_000, 1_800_000) } else { dice.between(50, 3_000) };
        let twice = dice.chance(self.faults.webhook_twice);
        let second = twice.then(|| first.saturating_add(dice.between(10, 600_000)));
        for after in [Some(first), second].into_iter().flatten() {
            let (world, message) = (Arc::clone(self), message.clone());
            self.tasks.spawn(async move {
                tokio::time::sleep(Duration::from_millis(after)).await;
                world.deliver(place, &message, after).await;
            });
        }
    }

    /// Delivers a webhook until it is taken, as providers do, for some hours.
    async fn deliver(&self, place: usize, message: &Message, number: u64) {
        for wait_ms in [0, 5_000, 60_000, 600_000, 3_600_000, 7_200_000] {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            let Some(node) = self.running(number) else { continue };
            let heard = tokio::select! {
                biased;
                () = node.gate.died() => Ok(None),
                heard = self.hears(&node, place, message) => heard,
            };
            match heard {
                Ok(Some(Heard::Taken | Heard::Known | Heard::Unknown)) => return,
                // The provider is to tell again.
                Ok(Some(Heard::Early) | None) | Err(_) => {}
            }
        }
    }

    async fn hears(
        &self,
        node: &Node,
        place: usize,
        message: &Message,
    ) -> Result<Option<Heard>, EngineError> {
        let caller = self.caller();
        let name = self.provider_name(place);
        let Some(account) = node.engine.account(caller.merchant, name).await? else {
            return Ok(None);
        };
        let headers = message.headers(self.time.now_ms());
        let freshness = Freshness { now: node.clock.now(), tolerance_ms: 300_000 };
        let incoming = Incoming { headers: &headers, body: &message.body };
        let Ok(told) = account.webhook(&incoming, freshness) else { return Ok(None) };
        let mut last = Some(Heard::Known);
        for event in told.events {
            let heard = node.engine.hear(&account, &event, &message.body).await?;
            self.note(&node.name, None, || format!("hears {} of {name}: {heard:?}", message.what));
            if heard == Heard::Early {
                last = Some(Heard::Early);
            }
        }
        Ok(last)
    }
}
