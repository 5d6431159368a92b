//! The simulator's own tests.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may fail"
)]

mod everywhere;
#[cfg(feature = "mutations")]
mod mutated;
mod worlds;
