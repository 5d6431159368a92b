//! Tests of the store from outside: one list of behaviours for all backends, then what is special to each.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod audit;
mod conformance;
mod crash;
mod documents;
mod guards;
mod hooks;
mod leases;
mod listing;
mod lists;
mod memory;
mod opening;
mod postgres;
mod property;
mod support;
