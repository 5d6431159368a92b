//! Durable state: one [`WriteSet`] is one commit, on memory, SQLite or PostgreSQL.
//!
//! A transaction is data, never a closure: one message to SQLite's writer, one pipelined round trip to
//! PostgreSQL, one map update in the simulator. What must not happen twice is stopped by a [`Guard`] that
//! fails by itself, so the loser's set aborts alike everywhere. Only this crate knows SQL, and only
//! `sqlite` and `postgres` know which database it is.
//!
//! Left out: the domain. Snapshots, events and messages are opaque text with a schema number.

mod compile;
mod counts;
mod decode;
mod hooks;
mod lists;
pub mod memory;
mod migrations;
mod open;
mod postgres;
mod relational;
mod rows;
mod sql;
mod sqlite;
mod store;
mod vault;

pub use compile::MAX_KEY_BYTES;
pub use counts::Counts;
pub use hooks::{
    HookAttemptRow, HookBacklog, HookEventRow, HookOutcome, HookQuery, HookRecord, HookReplay,
    HookState, HookStore, HookStreamRow,
};
pub use lists::{ListOrder, ListQuery, ListStore, ListedRow, Listing, Relist, Relisted};
pub use memory::MemoryStore;
pub use open::{OpenError, OpenOptions, open, open_vault};
pub use postgres::syncs as postgres_syncs;
pub use rows::{
    AccountRow, ApiKeyRow, AuditQuery, AuditRow, DocumentQuery, DocumentRow, EventRow, GuardRow,
    IdempotencyRow, MerchantRow, OutboxRow, PaymentQuery, PaymentRow, ReferenceKind, ReferenceRow,
    TimerRow, Write, WriteSet,
};
pub use store::{CommitError, Guard, MAX_REFERENCES, Store, StoreError, StoreInfo};
pub use vault::{
    MemoryVault, VaultCount, VaultInfo, VaultKeyRow, VaultPurpose, VaultRecord, VaultStore,
    VaultWrite,
};
