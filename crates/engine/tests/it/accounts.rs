//! Accounts over several nodes: new credentials are taken up without a restart, and old ones do not stay.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use baton_engine::audit::{Actor, Audit};
use baton_engine::{
    AccountFault, AccountInput, Caller, Clock, Credentials, Engine, EngineConfig, InlineAccount,
    LogSink, Parts, Place, merchants,
};
use baton_flow::OrderKind;
use baton_store::{MemoryStore, OpenOptions, Store};
use baton_types::{Secret, Timestamp};
use baton_vault::{FileRoot, SealedKind, Vault};
use baton_wire::{Wire, WireConfig};

use crate::provider::Provider;
use crate::world::{Ahead, Setup, World, purchase, usd};

const DAY_MS: i64 = 24 * 3_600_000;

/// Two nodes on one database and one vault.
pub(crate) struct Nodes {
    pub(crate) engines: [Engine; 2],
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) vault: Vault,
    pub(crate) clock: Arc<Ahead>,
    pub(crate) caller: Caller,
    provider: Provider,
}

impl Nodes {
    pub(crate) async fn start() -> Self {
        Self::with(WireConfig::default).await
    }

    pub(crate) async fn with(wire: impl Fn() -> WireConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = OpenOptions { migrate: true, ..Default::default() };
        let sealed = baton_store::open_vault("memory:", options).await.unwrap();
        let (root, _) = FileRoot::open_or_create(&folder.path().join("root.key")).unwrap();
        let vault = Vault::open(sealed, Arc::new(root), Timestamp::from_millis(0)).await.unwrap();
        let (store, clock) = (Arc::new(MemoryStore::default()), Arc::new(Ahead::default()));
        let shared = Arc::clone(&store) as Arc<dyn Store>;
        let audit = Audit::new(Arc::clone(&shared), Arc::clone(&clock) as Arc<dyn Clock>);
        let merchant = merchants::ensure(&audit, Actor::System, "default").await.unwrap();
        let engines = ["a", "b"].map(|node| {
            Engine::new(Parts {
                config: EngineConfig { node: node.to_owned(), ..EngineConfig::default() },
                store: Arc::clone(&shared),
                wire: Arc::new(Wire::new(wire()).unwrap()),
                clock: Arc::clone(&clock) as Arc<dyn Clock>,
                connectors: baton_connectors::all().unwrap(),
                vault: vault.clone().into(),
                credentials: Credentials::new(),
                test_urls: HashMap::new(),
                sink: Arc::new(LogSink),
                audit: audit.clone(),
            })
        });
        let caller = Caller { merchant, sandbox: true, key: None };
        Self { engines, store, vault, clock, caller, provider: Provider::start().await }
    }

    async fn put(&self, name: &str, gateway: &str, key: &str) {
        let credentials = [("ApiKey".to_owned(), Secret::new(key.to_owned()))];
        let place = match gateway {
            "Sandbox" => Place::Url(self.provider.url(name)),
            _ => Place::Gateway,
        };
        let input = AccountInput {
            foreign_references: false,
            name: name.to_owned(),
            gateway: gateway.to_owned(),
            credentials: credentials.into_iter().filter(|_| gateway == "Sandbox").collect(),
            place,
            certificate: None,
        };
        self.engines[0].put_account(self.caller, input, false).await.unwrap();
    }

    /// How the first attempt at the account ended on a node.
    async fn pay(&self, node: usize, name: &str) -> String {
        let order = purchase(OrderKind::Charge(usd(1000)), &[name]);
        let answered = self.engines[node].purchase(self.caller, order, None).await.unwrap();
        crate::world::verdict(&answered.payment)
    }

    async fn records(&self) -> usize {
        let end = Timestamp::from_millis(i64::MAX);
        self.vault.list(SealedKind::AccountCredentials, end, 100).await.unwrap().len()
    }

    async fn sweep_after(&self, by_ms: i64) -> usize {
        self.clock.jump(by_ms);
        self.engines[0].sweep_credentials().await.unwrap();
        self.records().await
    }

    async fn hint(&self, node: usize, name: &str) -> String {
        let view = self.engines[node].account_view(self.caller, name).await.unwrap();
        view.credentials[0].1.clone()
    }
}

#[tokio::test]
async fn every_node_takes_up_new_credentials_and_the_old_ones_are_gone() {
    let nodes = Nodes::start().await;
    nodes.put("shop", "Sandbox", "the-first-key-1111").await;
    for node in [0, 1] {
        assert_eq!(nodes.pay(node, "shop").await, "approved at 1");
        assert_eq!(nodes.hint(node, "shop").await, "****1111");
    }
    nodes.put("shop", "Sandbox", "the-second-key-2222").await;
    assert_eq!(nodes.hint(0, "shop").await, "****2222", "at once on the node that changed it");
    assert_eq!(nodes.records().await, 1, "the old record is gone");
    // The other node goes on with what it remembers, and then takes up the new ones.
    assert_eq!(nodes.pay(1, "shop").await, "approved at 1");
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(nodes.hint(1, "shop").await, "****2222");
    assert_eq!(nodes.pay(1, "shop").await, "approved at 1");
}

#[tokio::test]
async fn credentials_without_an_account_are_swept_after_a_day() {
    let nodes = Nodes::start().await;
    nodes.put("kept", "Sandbox", "key-of-the-kept-one").await;
    nodes.put("moved", "Sandbox", "key-of-the-moved-one").await;
    nodes.put("removed", "Sandbox", "key-of-the-removed").await;
    // As if the process had died between the vault and the store.
    let (tenant, now) = (nodes.caller.tenant(), nodes.clock.now());
    let orphan = Secret::new("{}".to_owned());
    nodes.vault.put(tenant, SealedKind::AccountCredentials, "orphan", &orphan, now).await.unwrap();
    assert_eq!(nodes.records().await, 4);
    nodes.put("moved", "NULLSuccess", "").await;
    assert_eq!(nodes.sweep_after(DAY_MS + 1_000).await, 2, "the orphan and the moved account's");
    nodes.engines[0].remove_account(nodes.caller, "removed").await.unwrap();
    assert_eq!(nodes.sweep_after(DAY_MS - 5_000).await, 2, "still for another moment");
    assert_eq!(nodes.sweep_after(10_000).await, 1);
    assert_eq!(nodes.pay(1, "kept").await, "approved at 1");
}

#[tokio::test]
async fn a_fault_changes_nothing() {
    let nodes = Nodes::start().await;
    nodes.put("shop", "Sandbox", "the-first-key-1111").await;
    let before = nodes.store.accounts(nodes.caller.merchant).await.unwrap();
    let input = |url: &str| AccountInput {
        foreign_references: false,
        name: "shop".to_owned(),
        gateway: "Sandbox".to_owned(),
        credentials: vec![("ApiKey".to_owned(), Secret::new("the-other-key-3333".to_owned()))],
        place: Place::Url(url.to_owned()),
        certificate: None,
    };
    let live = Caller { sandbox: false, ..nodes.caller };
    for (caller, url) in
        [(nodes.caller, "ftp://x"), (nodes.caller, "http://u:p@x/"), (live, "https://x")]
    {
        let fault = nodes.engines[0].put_account(caller, input(url), false).await.unwrap_err();
        let other_mode = fault == AccountFault::OtherMode;
        assert!(matches!(fault, AccountFault::BaseUrl(_)) || other_mode, "{fault:?}");
    }
    assert_eq!(nodes.store.accounts(nodes.caller.merchant).await.unwrap(), before);
    assert_eq!(nodes.records().await, 1);
}

#[tokio::test]
async fn no_credential_is_in_any_byte_of_the_database() {
    const CANARY: &str = "canary-in-bytes-6fm2";
    let directory = tempfile::tempdir().unwrap();
    let world = World::on_sqlite(directory.path(), Setup::default()).await;
    let credentials = || vec![("ApiKey".to_owned(), Secret::new(CANARY.to_owned()))];
    let input = AccountInput {
        foreign_references: false,
        name: "canary".to_owned(),
        gateway: "Sandbox".to_owned(),
        credentials: credentials(),
        place: Place::Url(world.provider.url("canary")),
        certificate: None,
    };
    world.engine.put_account(world.caller, input, true).await.unwrap();
    let paid = world.charge(1000, &["canary"]).await;
    assert_eq!(crate::world::verdict(&paid.payment), "approved at 1");
    let given = InlineAccount { gateway: "Sandbox".to_owned(), credentials: credentials() };
    let mut order = purchase(OrderKind::Charge(usd(1000)), &["canary"]);
    order.brought.inline = Some(world.engine.inline(world.caller, given).unwrap());
    // Nobody says where its provider is, so the account behind it pays.
    let paid = world.engine.purchase(world.caller, order, None).await.unwrap();
    assert_eq!(crate::world::verdict(&paid.payment), "approved at 2");

    let mut kept = Vec::new();
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        kept.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    let holds = |text: &str| kept.windows(text.len()).any(|bytes| bytes == text.as_bytes());
    assert!(holds("****6fm2") && holds("(inline)"), "the scan sees what is stored");
    assert!(!holds(CANARY));
}
