//! What connectors make of answers that nobody wrote by hand. Exact answers are in the connectors' `cases`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::explicit_write,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "a failed expectation is a failed test"
)]

mod counterparts;
mod declines;
mod mangled;
mod mangled_foreign;
mod mangled_real;
mod minor_units;
mod support;
