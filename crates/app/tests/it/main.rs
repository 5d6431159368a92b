//! The real `baton` process: started, asked over HTTP, traced, and killed.
//!
//! Nothing here links the server's own crates for what it checks: it knows the command line, the HTTP
//! answers, the sandbox's books and the bytes on the disk. Everything listens on loopback, lives in
//! temporary folders, and is killed when its test ends.
//!
//! `BATON_TEST_POSTGRES_URL` (set by `tools/with-postgres`) switches the PostgreSQL parts on. What connectors are
//! held against that we did not write is installed by `tools/counterparts`; specifications are found by
//! `BATON_SPECS_DIR`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::explicit_write,
    missing_docs,
    reason = "tests"
)]

mod audit;
mod bench;
mod canary;
mod commands;
mod counterparts;
mod custody;
mod doubts;
mod edge;
mod elsewhere;
mod guides;
mod hooks;
mod kill;
mod order;
mod support;
mod vault;
