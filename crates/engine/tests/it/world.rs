//! An engine with everything around it, and short words for what is asked of it.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use baton_engine::audit::{Actor, Audit};
use baton_engine::merchants::{AccountSpec, ensure, put_account};
use baton_engine::{
    Answered, Brought, Caller, Clock, Credentials, Engine, EngineConfig, EngineError, EventSink,
    Idempotency, LogSink, PaidWith, Parts, Purchase, SystemClock, Target,
};
use baton_flow::{DoubtMode, Failure, OrderKind, Payment, Standing, Verdict, amounts, snapshot};
use baton_store::{MemoryStore, OpenOptions, Store, open};
use baton_types::{Card, CardNumber, Currency, Cvv, Expiry, Money, PaymentId, Secret, Timestamp};
use baton_wire::{Wire, WireConfig};

use crate::probe::Probe;
use crate::provider::Provider;

pub(crate) const VISA: &str = "4111111111111111";
pub(crate) const KEY: &str = "sandbox-api-key-7f3a";
pub(crate) const HMAC_KEY: &str =
    "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";

/// The machine's clock, put forward by as much as a test likes.
#[derive(Default)]
pub(crate) struct Ahead(AtomicI64);

impl Ahead {
    pub(crate) fn jump(&self, by_ms: i64) {
        self.0.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus_millis(self.0.load(Ordering::SeqCst))
    }

    fn random(&self, bytes: &mut [u8]) {
        SystemClock.random(bytes);
    }
}

/// How a test's engine differs from the usual one.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) engine: EngineConfig,
    pub(crate) wire: WireConfig,
    pub(crate) sink: Arc<dyn EventSink>,
}

impl Default for Setup {
    fn default() -> Self {
        // Long for loopback, but the machine may be busy.
        let answer_timeout = Duration::from_secs(2);
        Self {
            // The provider executes what comes twice twice, and shows it.
            engine: EngineConfig {
                caller_wait_ms: 20_000,
                replay: false,
                ..EngineConfig::default()
            },
            wire: WireConfig { answer_timeout, ..WireConfig::default() },
            sink: Arc::new(LogSink),
        }
    }
}

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) provider: Provider,
    pub(crate) store: Arc<Probe>,
    pub(crate) clock: Arc<Ahead>,
    pub(crate) caller: Caller,
    /// Goes away with the world.
    directory: Option<tempfile::TempDir>,
}

/// Names of the sandbox accounts that every test's merchant has.
pub(crate) const ACCOUNTS: [&str; 2] = ["first", "second"];

/// Adds the merchant and its accounts to a store, and puts an engine on it. Nothing runs in the
/// background until [`Engine::start`].
pub(crate) async fn engine_on(
    store: Arc<dyn Store>,
    clock: &Arc<Ahead>,
    provider: Provider,
    setup: Setup,
) -> (Engine, Caller) {
    let audit = Audit::new(Arc::clone(&store), Arc::clone(clock) as Arc<dyn Clock>);
    let merchant = ensure(&audit, Actor::System, "default").await.unwrap();
    let spec_at = |gateway: &str, name: &str, base_url: String, test| AccountSpec {
        name: name.to_owned(),
        gateway: gateway.to_owned(),
        base_url: Some(base_url),
        test,
        foreign_references: name.starts_with("open"),
    };
    let spec = |name: &str, base_url: String, test| spec_at("Sandbox", name, base_url, test);
    let mut specs: Vec<_> =
        ACCOUNTS.iter().map(|name| spec(name, provider.url(name), true)).collect();
    // A port that was free a moment ago: nobody answers there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    specs.push(spec("closed", format!("http://{free}/sandbox/closed"), true));
    specs.push(spec("live", "https://127.0.0.1:1/".to_owned(), false));
    // The provider's other two dialects, alive and down.
    for (name, host) in [("", provider.addr.to_string()), ("-down", free.to_string())] {
        let (stripe, adyen) = (format!("stripe{name}"), format!("adyen{name}"));
        specs.push(spec_at("Stripe", &stripe, format!("http://{host}/stripe/stripe"), true));
        specs.push(spec_at("Adyen", &adyen, format!("http://{host}/adyen/adyen/v71"), true));
    }
    // Accounts that take over what was made without us: two at one place, one in another dialect.
    specs.push(spec("open", provider.url("open"), true));
    specs.push(spec("open-twin", provider.url("open"), true));
    let stripe = format!("http://{}/stripe/stripe", provider.addr);
    specs.push(spec_at("Stripe", "open-stripe", stripe, true));
    let credentials_of_all = [
        ("ApiKey", KEY),
        ("SecretKey", KEY),
        ("MerchantAccount", "ShopEU"),
        ("HmacKey", HMAC_KEY),
        ("WebhookSecret", "whsec_1"),
    ];
    let secret = || {
        let pair = |(name, value): (&str, &str)| (name.to_owned(), Secret::new(value.to_owned()));
        credentials_of_all.map(pair).into_iter().collect::<HashMap<_, _>>()
    };
    let mut credentials = Credentials::new();
    for spec in &specs {
        let id = put_account(&audit, Actor::System, merchant, spec).await.unwrap();
        credentials.insert(id, secret());
    }
    let engine = Engine::new(Parts {
        config: setup.engine,
        store,
        wire: Arc::new(Wire::new(setup.wire).unwrap()),
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        vault: vault().await.into(),
        connectors: baton_connectors::all().unwrap(),
        credentials,
        test_urls: HashMap::new(),
        sink: setup.sink,
        audit,
    });
    (engine, Caller { merchant, sandbox: true, key: None })
}

/// A vault in memory that all nodes of a test share; its root key's file is gone when it is open.
async fn vault() -> baton_vault::Vault {
    static SHARED: tokio::sync::OnceCell<baton_vault::Vault> = tokio::sync::OnceCell::const_new();
    SHARED.get_or_init(new_vault).await.clone()
}

async fn new_vault() -> baton_vault::Vault {
    let folder = tempfile::tempdir().unwrap();
    let options = baton_store::OpenOptions { migrate: true, ..Default::default() };
    let store = baton_store::open_vault("memory:", options).await.unwrap();
    let (root, _) = baton_vault::FileRoot::open_or_create(&folder.path().join("root.key")).unwrap();
    baton_vault::Vault::open(store, Arc::new(root), Timestamp::from_millis(0)).await.unwrap()
}

impl World {
    pub(crate) async fn memory() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        Self::on(Arc::new(MemoryStore::default()), setup).await
    }

    pub(crate) async fn on_sqlite(directory: &Path, setup: Setup) -> Self {
        let url = format!("sqlite:{}", directory.join("baton.db").display());
        Self::on(open(&url, migrating()).await.unwrap(), setup).await
    }

    async fn on(store: Arc<dyn Store>, setup: Setup) -> Self {
        // Whoever sends again needs a provider that executes a key once.
        let provider = Provider::that_deduplicates(setup.engine.replay).await;
        let clock = Arc::new(Ahead::default());
        let store = Probe::new(store);
        let shared = Arc::clone(&store) as Arc<dyn Store>;
        let (engine, caller) = engine_on(shared, &clock, provider, setup).await;
        Self { engine, provider, store, clock, caller, directory: None }
    }

    /// One world on every kind of store that this machine has.
    pub(crate) async fn on_all_stores() -> Vec<Self> {
        Self::on_all_stores_with(&Setup::default()).await
    }

    pub(crate) async fn on_all_stores_with(setup: &Setup) -> Vec<Self> {
        let mut worlds = vec![Self::with(setup.clone()).await];
        let directory = tempfile::tempdir().unwrap();
        let mut on_sqlite = Self::on_sqlite(directory.path(), setup.clone()).await;
        on_sqlite.directory = Some(directory);
        worlds.push(on_sqlite);
        match postgres_database().await {
            Some(url) => {
                let store = open(&url, migrating()).await.unwrap();
                worlds.push(Self::on(store, setup.clone()).await);
            }
            None => {
                // Past the test harness, which hides what a test prints.
                writeln!(std::io::stderr(), "SKIPPED 1: {POSTGRES} is not set").unwrap();
            }
        }
        worlds
    }

    /// Another process on the same store, with nothing of this one's memory.
    pub(crate) async fn another_node(&self) -> Engine {
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        engine_on(store, &self.clock, self.provider, Setup::default()).await.0
    }

    pub(crate) async fn buy(
        &self,
        kind: OrderKind,
        accounts: &[&str],
    ) -> Result<Answered, EngineError> {
        self.engine.purchase(self.caller, purchase(kind, accounts), None).await
    }

    pub(crate) async fn charge(&self, minor: i64, accounts: &[&str]) -> Answered {
        self.buy(OrderKind::Charge(usd(minor)), accounts).await.unwrap()
    }

    pub(crate) async fn authorize(&self, minor: i64, accounts: &[&str]) -> Answered {
        self.buy(OrderKind::Authorize(usd(minor)), accounts).await.unwrap()
    }

    pub(crate) async fn capture(&self, id: PaymentId, minor: i64) -> Result<Answered, EngineError> {
        self.engine.capture(self.caller, &by_id(id), usd(minor), None).await
    }

    pub(crate) async fn refund(&self, id: PaymentId, minor: i64) -> Result<Answered, EngineError> {
        self.engine.refund(self.caller, &by_id(id), usd(minor), None).await
    }

    pub(crate) async fn void(&self, id: PaymentId, minor: i64) -> Result<Answered, EngineError> {
        self.engine.void(self.caller, &by_id(id), usd(minor), None).await
    }

    pub(crate) async fn status(&self, id: PaymentId) -> Answered {
        self.engine.status(self.caller, &by_id(id)).await.unwrap()
    }

    /// The payment as it is stored.
    pub(crate) async fn stored(&self, id: PaymentId) -> Option<Payment> {
        stored(self.store.as_ref(), self.caller, id).await
    }

    /// Has the provider cancel nothing by reference from now on, so that what is not found stays in doubt.
    pub(crate) async fn keeps_doubts(&self) {
        let refuse = serde_json::json!({"refuse": {"status": 404, "code": "not_found"}});
        self.provider.rule(serde_json::json!({"operation": "cancel"}), refuse, None).await;
    }

    /// Lets enough time pass for a request that never arrived to be known as absent.
    pub(crate) async fn settle(&self, id: PaymentId) -> Answered {
        // A few looks would do, if none were lost on a busy machine, nor put off because the request's own task
        // still lives.
        for _ in 0..12 {
            self.clock.jump(20_000);
            if !self.status(id).await.payment.has_open_calls() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.status(id).await
    }
}

pub(crate) async fn stored(store: &dyn Store, caller: Caller, id: PaymentId) -> Option<Payment> {
    let row = store.payment(caller.merchant, id).await.unwrap()?;
    Some(snapshot::decode(row.schema, &row.snapshot).unwrap())
}

pub(crate) const POSTGRES: &str = "BATON_TEST_POSTGRES_URL";

pub(crate) fn migrating() -> OpenOptions {
    OpenOptions { migrate: true, ..OpenOptions::default() }
}

/// A new, empty database on the throwaway server; none without a server.
pub(crate) async fn postgres_database() -> Option<String> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let url = std::env::var(POSTGRES).ok()?;
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let number = NUMBER.fetch_add(1, Ordering::SeqCst);
    let at = SystemClock.now().millis();
    let name = format!("engine_{}_{at}_{number}", std::process::id());
    client.batch_execute(&format!("create database {name}")).await.unwrap();
    let (server, _) = url.rsplit_once('/').unwrap();
    Some(format!("{server}/{name}"))
}

pub(crate) fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::parse("USD").unwrap())
}

pub(crate) fn card(number: &str, cvv: &str) -> Card {
    Card {
        number: CardNumber::parse(number).unwrap(),
        expiry: Expiry::new(12, 2090).unwrap(),
        cvv: Some(Cvv::parse(cvv).unwrap()),
        holder: Some("Ada Lovelace".to_owned()),
    }
}

pub(crate) fn paid_with(card: Card) -> PaidWith {
    PaidWith { card, network_token: None, three_ds: None }
}

pub(crate) fn purchase(kind: OrderKind, accounts: &[&str]) -> Purchase {
    Purchase {
        kind,
        card: Some(paid_with(card(VISA, "737"))),
        provider_token: None,
        redirect: None,
        accounts: accounts.iter().map(|name| (*name).to_owned()).collect(),
        merchant_ref: None,
        description: None,
        payer: None,
        digital: None,
        challenge: None,
        stored: None,
        may_grow: false,
        doubt: DoubtMode::ResolveFirst,
        brought: Brought::default(),
        allow_duplicate: false,
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

pub(crate) fn key(key: &str, fingerprint: &[u8]) -> Option<Idempotency> {
    Some(Idempotency { key: key.to_owned(), fingerprint: fingerprint.to_vec() })
}

/// How a payment stands, in a few words: which attempt decided, and how.
pub(crate) fn verdict(payment: &Payment) -> String {
    match payment.verdict() {
        Verdict::Running => "running".to_owned(),
        Verdict::InDoubt(no) => match payment.standing(no) {
            Some(Standing::Open(outcome)) => format!("in doubt at {no}: {}", outcome.class()),
            other => format!("in doubt at {no}: {other:?}"),
        },
        Verdict::Approved(no) => format!("approved at {no}"),
        Verdict::Failed(Failure::Attempt(no, outcome)) => format!("{} at {no}", outcome.class()),
        Verdict::Failed(Failure::Closed(no, how, None)) => format!("{how:?} at {no}"),
        Verdict::Failed(Failure::Closed(no, how, Some(why))) => format!("{how:?} at {no}: {why:?}"),
        Verdict::Failed(Failure::NotTried) => "not tried".to_owned(),
    }
}

/// Captured and refunded, in minor units, as we have them.
pub(crate) fn sums(payment: &Payment) -> (i64, i64) {
    amounts::of(payment).map_or((0, 0), |sums| (sums.captured.minor(), sums.refunded.minor()))
}
