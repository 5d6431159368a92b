//! Tests of the vault from outside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    clippy::print_stderr,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod binding;
mod faults;
mod key_file;
mod pkcs11;
mod properties;
mod rotation;
mod rules;
mod scan;
mod support;
