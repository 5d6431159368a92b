//! A whole server in the test's process: the router on a real socket, an engine on a store in memory, and
//! a sandbox provider for the accounts that are no mocks.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use baton_api::{App, ContractForm, Limits};
use baton_engine::audit::{Actor, Audit};
use baton_engine::keys::{self, NewKey, Scope};
use baton_engine::merchants::{self, AccountSpec};
use baton_engine::{Credentials, Engine, EngineConfig, EventSink, LogSink, Parts, SystemClock};
use baton_hooks::{Policy, Schedule, Sender};
use baton_payments::{HookSettings, HookSink, Payments};
use baton_sandbox::{Books, Config, Running};
use baton_store::{AccountRow, MemoryStore, Store};
use baton_types::{MerchantId, PaymentId, Secret, Timestamp};
use baton_vault::{FileRoot, SealedKind, Vault};
use baton_wire::{Wire, WireConfig};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::client::{self, Seen};
use crate::logs;

/// The operator's key of every test server.
pub(crate) const OPERATOR: &str = "ak_operator-of-the-test-server";

/// What webhooks are signed with; Adyen's form is hexadecimal.
pub(crate) const HOOK_SECRET: &str =
    "44782def547aaa06c910c43932b1eb0c71fc68d9d0c057550c48ec2acf6ba056";

/// Test accounts at the sandbox; all have a credential.
const ACCOUNTS: [&str; 3] = ["acme", "acme-a", "acme-b"];

/// What payers have for a challenge.
const AN_HOUR_MS: i64 = 3_600_000;

pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) engine: Engine,
    /// Also where another store is served: then it is empty.
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) app: Arc<App>,
    pub(crate) merchant: MerchantId,
    /// A sandbox key with the gateway scope.
    pub(crate) key: String,
    vault: Vault,
    pub(crate) sandbox: Running,
}

/// Where test accounts are that name no address, by their gateway.
fn test_urls(host: SocketAddr) -> HashMap<String, String> {
    [
        ("Sandbox", "sandbox/{account}"),
        ("Stripe", "stripe/{account}"),
        ("Adyen", "adyen/{account}/v71"),
    ]
    .map(|(gateway, path)| (gateway.to_owned(), format!("http://{host}/{path}")))
    .into()
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(EngineConfig::default()).await
    }

    /// A server whose callers lose their patience soon.
    pub(crate) async fn impatient(caller_wait_ms: u64) -> Self {
        Self::with(EngineConfig { caller_wait_ms, replay: false, ..EngineConfig::default() }).await
    }

    pub(crate) async fn with(config: EngineConfig) -> Self {
        // The tests come without a key more often than anyone should.
        let limits = Limits { failed_keys_per_minute: 0, ..Limits::default() };
        Self::limited(config, limits).await
    }

    pub(crate) async fn limited(config: EngineConfig, limits: Limits) -> Self {
        let store = Arc::new(MemoryStore::default());
        Self::serve(config, limits, Arc::clone(&store), store, None, AN_HOUR_MS).await
    }

    /// A server on another store than one in memory.
    pub(crate) async fn on(served: Arc<dyn Store>) -> Self {
        let limits =
            Limits { failed_keys_per_minute: 0, requests_per_second: 0, ..Limits::default() };
        let store = Arc::new(MemoryStore::default());
        Self::serve(EngineConfig::default(), limits, store, served, None, AN_HOUR_MS).await
    }

    /// A server that sends webhooks, on a store of its own if none is given.
    pub(crate) async fn telling(
        served: Option<Arc<dyn Store>>,
        policy: Policy,
        retry_ms: &[i64],
    ) -> Self {
        Self::telling_within(served, policy, retry_ms, AN_HOUR_MS).await
    }

    /// The same, whose payers have so long for a challenge, in milliseconds.
    pub(crate) async fn telling_within(
        served: Option<Arc<dyn Store>>,
        policy: Policy,
        retry_ms: &[i64],
        payer_ms: i64,
    ) -> Self {
        let limits =
            Limits { failed_keys_per_minute: 0, requests_per_second: 0, ..Limits::default() };
        let store = Arc::new(MemoryStore::default());
        let served = served.unwrap_or_else(|| Arc::clone(&store) as Arc<dyn Store>);
        let hooks = HookSettings {
            sender: Sender::new(policy, &[], std::time::Duration::from_secs(2)).unwrap(),
            schedule: Schedule::of_millis(retry_ms.to_vec()),
            shows: Arc::new(ContractForm),
            keep_ms: 30 * 24 * 3_600_000,
        };
        Self::serve(EngineConfig::default(), limits, store, served, Some(hooks), payer_ms).await
    }

    async fn serve(
        config: EngineConfig,
        limits: Limits,
        memory: Arc<MemoryStore>,
        store: Arc<dyn Store>,
        hooks: Option<HookSettings>,
        payer_ms: i64,
    ) -> Self {
        logs::capture();
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let sandbox = Config { listen, books: Books::Memory, dedup: true };
        let sandbox = baton_sandbox::start(sandbox).await.unwrap();
        let audit = Audit::new(Arc::clone(&store), Arc::new(SystemClock));
        let merchant = merchants::ensure(&audit, Actor::System, merchants::DEFAULT).await.unwrap();
        let nobody = TcpListener::bind(listen).await.unwrap();
        let at = |name: &str| Some(format!("http://{}/sandbox/{name}", sandbox.addr()));
        let closed = Some(format!("http://{}/sandbox/x", nobody.local_addr().unwrap()));
        drop(nobody);
        let mut accounts: Vec<_> =
            ACCOUNTS.iter().map(|name| (*name, "Sandbox", at(name), true)).collect();
        accounts.push(("no-credentials", "Sandbox", at("acme"), true));
        accounts.push(("unreachable", "Sandbox", closed, true));
        accounts.push(("no-connector", "Nobody", None, true));
        accounts.push(("live", "NULLSuccess", None, false));
        let host = sandbox.addr();
        accounts.push(("stripe", "Stripe", Some(format!("http://{host}/stripe/stripe")), true));
        accounts.push(("adyen", "Adyen", Some(format!("http://{host}/adyen/adyen/v71")), true));
        let secrets = |gateway: &str| {
            let of = |list: &[(&str, &str)]| {
                let each =
                    list.iter().map(|(k, v)| ((*k).to_owned(), Secret::new((*v).to_owned())));
                each.collect::<HashMap<_, _>>()
            };
            match gateway {
                "Stripe" => of(&[("SecretKey", "canary-cred"), ("WebhookSecret", HOOK_SECRET)]),
                "Adyen" => of(&[
                    ("ApiKey", "canary-cred"),
                    ("MerchantAccount", "Shop"),
                    ("HmacKey", HOOK_SECRET),
                ]),
                _ => of(&[("ApiKey", "canary-cred")]),
            }
        };
        let mut credentials = Credentials::new();
        for (name, gateway, base_url, test) in accounts {
            let spec = AccountSpec {
                name: name.to_owned(),
                gateway: gateway.to_owned(),
                base_url,
                test,
                foreign_references: false,
            };
            let id = merchants::put_account(&audit, Actor::System, merchant, &spec).await;
            if name != "no-credentials" {
                credentials.insert(id.unwrap(), secrets(gateway));
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let vault = vault(folder.path()).await;
        let sink = Arc::new(HookSink::new(Some(Arc::new(LogSink))));
        let engine = Engine::new(Parts {
            config,
            store,
            wire: Arc::new(Wire::new(WireConfig::default()).unwrap()),
            clock: Arc::new(SystemClock),
            vault: vault.clone().into(),
            connectors: baton_connectors::all().unwrap(),
            credentials,
            test_urls: test_urls(host),
            sink: Arc::clone(&sink) as Arc<dyn EventSink>,
            audit,
        });
        let listener = TcpListener::bind(listen).await.unwrap();
        let own_url = format!("http://{}/", listener.local_addr().unwrap());
        let payments = Payments::new(engine.clone(), true)
            .reached_at(Some(&own_url))
            .patient_with_payers(payer_ms)
            .with_vaults(baton_connectors::card_vaults::all(), test_vaults(host));
        let payments = tell(payments, hooks, &sink);
        let app = App::new(payments, Some(Secret::new(OPERATOR.to_owned())), limits);
        let addr = serve(listener, Arc::clone(&app)).await;
        let key = String::new();
        let mut server = Self { addr, engine, store: memory, app, merchant, key, vault, sandbox };
        server.key = server.make_key(&[Scope::Gateway], true, None).await;
        server
    }

    pub(crate) async fn make_key(
        &self,
        scopes: &[Scope],
        sandbox: bool,
        expires_at: Option<Timestamp>,
    ) -> String {
        self.make_limited_key(scopes, sandbox, expires_at, None).await
    }

    pub(crate) async fn make_limited_key(
        &self,
        scopes: &[Scope],
        sandbox: bool,
        expires_at: Option<Timestamp>,
        rate_limit: Option<u32>,
    ) -> String {
        let new = NewKey {
            merchant: self.merchant,
            name: "test".to_owned(),
            scopes: scopes.to_vec(),
            sandbox,
            expires_at,
            rate_limit,
        };
        let (_, text) = keys::create(self.engine.audit(), Actor::System, new).await.unwrap();
        text.expose().to_owned()
    }

    /// A request with the server's own key.
    pub(crate) async fn send(&self, method: &str, path: &str, body: impl AsRef<str>) -> Seen {
        self.send_with(method, path, &[], body).await
    }

    /// The same, with more headers.
    pub(crate) async fn send_with(
        &self,
        method: &str,
        path: &str,
        more: &[(&str, &str)],
        body: impl AsRef<str>,
    ) -> Seen {
        let mut headers = vec![("x-api-key", self.key.as_str())];
        headers.extend(more);
        client::send(self.addr, method, path, &headers, body.as_ref().as_bytes()).await
    }

    /// One of the seven operations by its last word.
    pub(crate) async fn operate(&self, operation: &str, body: impl AsRef<str>) -> Seen {
        let (method, path) = operation_route(operation);
        self.send(method, &path, body).await
    }

    /// Makes the sandbox do something to the next request that matches.
    pub(crate) async fn script(&self, matches: Value, action: Value) {
        let rule = json!({"match": matches, "action": action}).to_string();
        let seen =
            client::send(self.sandbox.addr(), "POST", "/admin/rules", &[], rule.as_bytes()).await;
        assert_eq!(seen.status, 201, "{seen:?}");
    }

    /// Has the sandbox tell us what happens at an account.
    pub(crate) async fn subscribe(&self, account: &str, path: &str) {
        let url = format!("http://{}{path}", self.addr);
        let endpoint = json!({"url": url, "secret": HOOK_SECRET, "dialect": account}).to_string();
        let at = format!("/admin/accounts/{account}/webhook");
        let seen = client::send(self.sandbox.addr(), "PUT", &at, &[], endpoint.as_bytes()).await;
        assert!((200..300).contains(&seen.status), "{seen:?}");
    }

    /// How many payments the sandbox has in its books.
    pub(crate) async fn at_provider(&self) -> usize {
        let seen = client::send(self.sandbox.addr(), "GET", "/admin/books/summary", &[], b"").await;
        usize::try_from(seen.json()["payments"].as_u64().unwrap()).unwrap()
    }

    /// What the sandbox has in its books.
    pub(crate) async fn books(&self) -> Value {
        let path = "/admin/books?limit=1000";
        client::send(self.sandbox.addr(), "GET", path, &[], b"").await.json()
    }

    /// How many payments' credentials are in the vault.
    pub(crate) async fn inline_records(&self) -> usize {
        let end = Timestamp::from_millis(i64::MAX);
        let list = self.vault.list(SealedKind::InlineCredentials, end, 100).await;
        list.unwrap().len()
    }

    /// A payment as it is stored.
    pub(crate) async fn stored_text(&self, id: &str) -> String {
        let id = PaymentId::parse(id).unwrap();
        self.store.payment(self.merchant, id).await.unwrap().unwrap().snapshot
    }

    /// The merchant's accounts as they are stored, removed ones too.
    pub(crate) async fn store_accounts(&self) -> Vec<AccountRow> {
        self.store.accounts(self.merchant).await.unwrap()
    }

    /// How many payments we have stored.
    pub(crate) async fn stored(&self) -> u64 {
        self.store.describe().await.unwrap().payments
    }

    /// How many operations and look-ups were made at providers, mocks included.
    pub(crate) async fn provider_calls(&self) -> u64 {
        let page = self.send("GET", "/metrics", "").await.body;
        metric(&page, "baton_provider_calls_total")
    }

    /// What nobody may change by a request that is refused.
    pub(crate) async fn state(&self) -> (u64, u64, usize) {
        (self.stored().await, self.provider_calls().await, self.at_provider().await)
    }
}

/// Where the sandbox's stand-ins for vaults are.
fn test_vaults(host: SocketAddr) -> HashMap<String, String> {
    ["vgs", "basis_theory"]
        .map(|name| (name.to_owned(), format!("http://{host}/{name}/{{account}}")))
        .into()
}

/// Begins to send webhooks, if it is to.
fn tell(payments: Payments, hooks: Option<HookSettings>, sink: &HookSink) -> Payments {
    let Some(hooks) = hooks else { return payments };
    let payments = payments.with_webhooks(hooks);
    sink.connect(payments.clone());
    payments.engine().start();
    payments.start_webhooks();
    payments
}

/// A vault in memory, whose root key is in a file of this folder.
async fn vault(folder: &std::path::Path) -> Vault {
    let options = baton_store::OpenOptions { migrate: true, ..Default::default() };
    let store = baton_store::open_vault("memory:", options).await.unwrap();
    let (root, _) = FileRoot::open_or_create(&folder.join("root.key")).unwrap();
    let now = baton_engine::Clock::now(&SystemClock);
    Vault::open(store, Arc::new(root), now).await.unwrap()
}

/// The sum of a counter over its labels.
pub(crate) fn metric(page: &str, name: &str) -> u64 {
    let lines = page
        .lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// The method and path of an operation, from the server's own table.
pub(crate) fn operation_route(operation: &str) -> (&'static str, String) {
    let path = format!("/PaymentGateway/{operation}");
    let routes = baton_api::routes();
    let route = routes.iter().find(|route| route.path == path).expect("no such operation");
    (route.method, path)
}

#[allow(clippy::disallowed_methods, reason = "the server lives as long as its test")]
async fn serve(listener: TcpListener, app: Arc<App>) -> SocketAddr {
    let addr = listener.local_addr().unwrap();
    let routes = baton_api::router(app).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    addr
}
