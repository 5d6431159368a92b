//! Integration tests of `baton-flow`, in one binary.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is a failed test"
)]

mod diagram;
mod given;
mod golden;
mod properties;
mod table;
mod watch;
