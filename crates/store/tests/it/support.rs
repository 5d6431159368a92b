//! Rows to write, and a fresh store of each kind to write them to.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use baton_store::{
    AccountRow, ApiKeyRow, EventRow, IdempotencyRow, MemoryStore, MerchantRow, OpenOptions,
    OutboxRow, PaymentRow, ReferenceKind, ReferenceRow, Store, TimerRow, Write, WriteSet, open,
};
use baton_types::{AccountId, BootId, Id, MerchantId, PaymentId, Timestamp};

pub const POSTGRES: &str = "BATON_TEST_POSTGRES_URL";

pub fn id<T: baton_types::Kind>(n: u64) -> Id<T> {
    Id::from_bytes(u128::from(n).to_be_bytes())
}

pub const fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub fn merchant() -> MerchantId {
    id(1)
}

pub fn set(writes: impl IntoIterator<Item = Write>) -> WriteSet {
    writes.into_iter().collect::<Vec<_>>().into()
}

pub fn payment(payment: PaymentId, version: u64, snapshot: &str) -> PaymentRow {
    PaymentRow {
        merchant: merchant(),
        id: payment,
        version,
        status: "authorized".into(),
        kind: "charge".into(),
        amount_minor: Some(1999),
        currency: Some("EUR".into()),
        merchant_ref: None,
        test: true,
        account: None,
        created_at: at(1_000),
        updated_at: at(2_000),
        schema: 1,
        snapshot: snapshot.into(),
    }
}

pub fn event(payment: PaymentId, version: u64, writer: u64) -> EventRow {
    EventRow {
        id: id(writer),
        merchant: merchant(),
        payment,
        version,
        at: at(2_000),
        schema: 1,
        body: format!("by {writer}"),
    }
}

pub fn outbox(n: u64, payment: PaymentId, version: u64, due_at: i64) -> OutboxRow {
    OutboxRow {
        id: id(n),
        merchant: merchant(),
        payment,
        version,
        due_at: at(due_at),
        attempts: 0,
        body: "message".into(),
    }
}

pub fn timer(payment: PaymentId, call: &str, due_at: i64, node: &str, boot: BootId) -> TimerRow {
    TimerRow {
        merchant: merchant(),
        payment,
        call: call.into(),
        kind: "watch".into(),
        due_at: at(due_at),
        attempt: 0,
        node: node.into(),
        boot,
    }
}

pub fn key(key: &str, payment: PaymentId, expires_at: i64) -> IdempotencyRow {
    IdempotencyRow {
        merchant: merchant(),
        key: key.into(),
        fingerprint: vec![0, 1, 254, 255],
        payment,
        call: "authorize".into(),
        created_at: at(0),
        expires_at: at(expires_at),
    }
}

pub fn reference(
    value: &str,
    account: Option<AccountId>,
    payment: PaymentId,
    created_at: i64,
) -> ReferenceRow {
    ReferenceRow {
        merchant: merchant(),
        kind: ReferenceKind::Provider,
        account,
        value: value.into(),
        payment,
        call: "authorize".into(),
        created_at: at(created_at),
    }
}

pub fn account(n: u64, number: i64, name: &str) -> AccountRow {
    AccountRow {
        merchant: merchant(),
        id: id(n),
        number,
        name: name.into(),
        gateway: "sandbox".into(),
        base_url: None,
        test: true,
        created_at: at(10),
        updated_at: at(10),
        removed_at: None,
        config: "{}".into(),
    }
}

pub fn api_key(n: u64, hash: &[u8]) -> ApiKeyRow {
    ApiKeyRow {
        id: id(n),
        merchant: merchant(),
        hash: hash.into(),
        hint: "wxyz".into(),
        name: "shop".into(),
        scopes: vec!["payments".into(), "gateway".into()],
        sandbox: true,
        created_at: at(10),
        expires_at: None,
        revoked_at: None,
        rate_limit: Some(u32::MAX),
    }
}

pub fn named_merchant(n: u64, name: &str) -> MerchantRow {
    MerchantRow { id: id(n), name: name.into(), created_at: at(10) }
}

/// A store, and what goes away with it.
pub struct Opened {
    pub store: Arc<dyn Store>,
    _directory: Option<tempfile::TempDir>,
}

pub fn migrate() -> OpenOptions {
    OpenOptions { migrate: true, ..OpenOptions::default() }
}

pub async fn open_memory() -> Option<Opened> {
    Some(Opened { store: Arc::new(MemoryStore::default()), _directory: None })
}

pub async fn open_sqlite() -> Option<Opened> {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("baton.db").display());
    let store = open(&url, migrate()).await.unwrap();
    Some(Opened { store, _directory: Some(directory) })
}

pub async fn open_postgres() -> Option<Opened> {
    let store = open(&postgres_database().await?, migrate()).await.unwrap();
    Some(Opened { store, _directory: None })
}

/// The URL of a new, empty database; none without a server. The server is thrown away as a whole.
pub async fn postgres_database() -> Option<String> {
    let url = std::env::var(POSTGRES).ok()?;
    let client = postgres_client(&url).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let name = format!("test_{}_{now}", std::process::id());
    client.batch_execute(&format!("create database {name}")).await.unwrap();
    let (server, _) = url.rsplit_once('/').unwrap();
    Some(format!("{server}/{name}"))
}

/// A connection of the test's own.
pub async fn postgres_client(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
