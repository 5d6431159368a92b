//! Integration tests of `baton-types`, in one binary.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

mod currency;
mod decline;
mod money;
mod secrecy;
mod wire_forms;
