//! Runs steps: load, decide, commit, act.
//!
//! The machines of `baton-flow` decide, `baton-store` makes the decision durable, and only then anything
//! is done. Two kinds of effect are kept apart:
//!
//! - **Calls that move money** belong to the task of the request that planned them ([`task`]). They are
//!   sent after their plan is durable, once, and never from a stored row.
//! - **Everything else** (look-ups, events, timers) is done at least once, by anyone, under a lease
//!   ([`resolver`], [`relay`]).
//!
//! Absent here: HTTP status codes and JSON names (`baton-api`), sockets (`baton-wire`), SQL
//! (`baton-store`), rules (`baton-flow`).

mod accounts;
mod alongside;
pub mod audit;
mod brought;
mod calls;
mod candidate;
mod card_vaults;
mod certificates;
mod chores;
mod clock;
mod commit;
mod disputes;
pub mod doubts;
mod engine;
mod error;
pub mod evidence;
mod find;
mod foreign;
mod guards;
mod hear;
pub mod incidents;
mod inner;
pub mod keys;
mod lists;
mod manage;
pub mod merchants;
mod metrics;
mod network;
mod questions;
mod relay;
mod replay;
mod resolver;
mod returned;
mod stored;
mod task;
mod tokens;
mod waits;

pub use accounts::{Account, Credentials, Hmac, Secrets};
pub use alongside::{Alongside, Change, Follow};
pub use baton_wire::{AccountHealth, BreakerState, IdentityError};
pub use brought::{Brought, BroughtFault, Inline, InlineAccount};
pub use card_vaults::{VaultPlace, VaultSilence};
pub use certificates::{CertificateFault, CertificateView};
pub use chores::{Chore, Chores};
pub use clock::{Clock, SystemClock, new_id};
pub use disputes::{DisputeReady, DisputeReply, NotAsked};
pub use engine::{
    Answered, Caller, Engine, EngineConfig, Idempotency, PaidWith, Parts, Purchase, Target,
};
pub use error::EngineError;
pub use hear::Heard;
pub use lists::{ListFilter, QuestionError};
pub use manage::{AccountFault, AccountInput, AccountView, Place};
pub use metrics::Metrics;
pub use network::Network;
pub use questions::QuestionLimits;
pub use relay::{EventSink, LogSink, Message};
pub use stored::{How, Stored};
pub use waits::measure_waits;
