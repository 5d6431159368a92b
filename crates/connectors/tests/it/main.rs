//! What connectors make of answers that nobody wrote by hand. Exact answers are in the connectors' `cases`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is a failed test"
)]

mod counterparts;
mod declines;
mod mangled;
mod mangled_real;
mod support;
