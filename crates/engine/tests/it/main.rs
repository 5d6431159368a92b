//! The whole way of a request without its HTTP: engine, connectors, sockets and store, against the
//! simulated provider on loopback.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    clippy::explicit_write,
    reason = "a failed expectation is a failed test"
)]

mod accounts;
mod audit;
mod canary;
mod certificates;
mod clocks;
mod concurrency;
mod crash;
mod doubts;
mod duplicates;
mod evidence;
mod failover;
mod foreign;
mod hold_safe;
mod idempotency;
mod operations;
mod order;
mod probe;
mod provider;
mod questions;
mod replay;
mod stripe_adyen;
mod verification;
mod world;
