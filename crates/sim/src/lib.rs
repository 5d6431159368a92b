//! The whole engine in one thread, with simulated time, randomness, network, providers, disk and processes.
//!
//! What runs is the production code: `flow`, `engine`, the connectors' encoders and decoders, the breaker of
//! `wire`, and a store that keeps the store's contract. What is simulated is the world around it. Guarantees:
//! a world is a function of its seed and its setup, so that a run that went wrong can be looked at again, step
//! by step; nodes meet the world at their seams only, so a crash at a seam is a crash at any await point before
//! it; time passes only when nothing is left to do.
//!
//! Left out: threads that race within a node (tasks take turns at their await points), the socket itself (tested
//! in `wire` against real ones), SQL (tested in `store`), and the HTTP interface of `api`.

mod chaos;
mod check;
mod client;
mod dice;
mod everywhere;
mod faults;
mod gate;
mod kit;
#[cfg(feature = "mutations")]
pub mod mutations;
mod network;
mod provider;
mod published;
mod run;
mod secrets;
mod setup;
mod store;
mod summary;
mod time;
mod trace;
mod world;

pub use everywhere::{Everywhere, everywhere};
pub use faults::{Day, Faults, SomeFaults};
pub use kit::Kit;
pub use run::{world, worlds};
pub use setup::{AccountSetup, Setup, SetupFile};
pub use summary::{Mode, Rule, Totals, Violation};
pub use trace::Line;
