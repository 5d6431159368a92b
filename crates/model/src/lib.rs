//! The failover rule in a model checker: `baton_flow::step`, as it is shipped, in a small world that is
//! explored completely.
//!
//! The world has one payment, the task that owns it, another node that takes over, a store with a version
//! guard, providers that execute late and show late, and a clock of a few ticks. What decides is production
//! code; what surrounds it is a model of the engine, the store and the providers, made here and much smaller
//! than they are. `docs/model.md` says what is assumed, what was checked, and what breaks when an assumption
//! is taken away.
//!
//! Absent here: refunds, partial approvals, challenges, webhooks' signatures, several payments, real sockets.
//! Nothing of it is linked into the binary.

pub mod checks;
mod norm;
mod process;
mod provider;
mod row;
mod scope;
mod world;

pub use checks::{Report, explore};
pub use row::Row;
pub use scope::{Fault, Kind, Mode, Scope};
pub use world::{Action, State, World};
