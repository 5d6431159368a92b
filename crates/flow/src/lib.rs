//! The payment state machines: what may happen next, decided without doing anything.
//!
//! [`step`] takes a payment, an input and a few facts, and gives the next payment, its events, the timers
//! to set and the effects to perform *after* all of it is durable. It sees no HTTP, no SQL, no clock and no
//! provider's name. The rule that makes failover safe is in [`failover`], in one function.
//!
//! Absent here: who performs an effect, how long a lease lasts, what a client is told, and which calls a
//! provider needs for one operation.

pub mod amounts;
mod call;
mod cancel;
mod draft;
mod evidence;
pub mod failover;
mod hold;
mod import;
mod increment;
pub mod mutation;
mod payment;
mod settle;
pub mod snapshot;
mod step;
mod truth;
mod void;

pub use amounts::Sums;
pub use call::{Call, CallId, CallState, Check, Closure, Owner};
pub use evidence::{Evidence, EvidenceKind};
pub use hold::{Cancel, HOLD_MS, Obligation};
pub use import::{ImportFault, import};
pub use increment::Increment;
pub use mutation::mutated;
pub use payment::{
    Amounted, Candidate, DoubtMode, Failure, Order, OrderKind, Payment, RetryDeclines, Standing,
    Verdict, Void, VoidReason, quiet_ms,
};
pub use settle::Settlement;
pub use step::{Effect, Event, Facts, Input, Refusal, Step, Timer, step};
pub use truth::{Contradiction, Remedy, contradiction, remedy};
