//! The Payments API's objects: merchant accounts, profiles, connectors, customers, intents, refunds and disputes.
//!
//! An object is a document with a version; whoever changes it has read the version before. An intent that
//! is confirmed makes a payment of the engine, in one commit with it, and from then on its status is derived
//! from that payment: nothing is stored twice. Absent here: HTTP and its names (`baton-api`), calls to
//! providers, doubts and failover (`baton-engine`, `baton-flow`).

mod account;
mod after;
mod authenticated;
mod back;
mod bins;
mod chores;
mod connector;
mod customer;
mod dispute;
mod document;
mod expiry;
mod fault;
mod follow;
mod hooks;
mod increment;
mod intent;
mod keeper;
mod key;
mod lists;
mod metadata;
mod method;
mod organization;
mod profile;
mod purchase;
mod recurring;
mod redirect;
mod refund;
mod relist;
mod retry;
mod service;
mod session;
mod settings;
mod setup;
pub mod status;
mod unconfirmed;
mod vault_choice;
mod vaulting;

pub use account::{AccountSecrets, MerchantAccount, Profile};
pub use authenticated::Authenticated;
pub use bins::{BinFacts, BinTable, BinTableError, CardType};
pub use connector::{ConnectorAccount, MethodFilter, NewConnector, Wanted};
pub use customer::{Customer, Deleted};
pub use dispute::{Answering, Dispute, DisputeHeard, DisputeSeen};
pub use document::{Document, Stored};
pub use fault::Fault;
pub use follow::follow;
pub use hooks::{
    AttemptSeen, Disabled, EndpointSeen, EventClass, EventFilter, EventKind, Failed, Frame,
    GivenPassword, GivenSecret, HookCounts, HookSettings, HookSink, REPLAY_MAX, Rotated, Shows,
    hook_shown, hooks_page, replay_failed_hooks, replay_hook,
};
pub use intent::{
    Authentication, CaptureMethod, CardInput, CardKept, FutureUsage, Intent, IntentChange, Method,
    NewIntent, Seen,
};
pub use method::{Mandate, MandateState, NewMandate, NewMethod, SavedMethod};
pub use organization::Organization;
pub use profile::{ProfileChange, ProfileId};
pub use recurring::Recurring;
pub use refund::{NewRefund, Refund, RefundSeen, RefundStatus};
pub use service::{Merchant, Payments};
pub use vault_choice::{VAULT_PROCESSOR, VaultChange, VaultChoice, VaultSession};
pub use vaulting::{AtVault, KEPT_MS, MethodStatus, WaitingCard, waiting_cards};
