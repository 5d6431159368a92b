//! The wire against real sockets on loopback, most of which misbehave.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the configured exception for tests does not reach helpers outside test functions"
)]

mod bounds;
mod counting;
mod documented;
mod faults;
mod frame_server;
mod http2;
mod http2_queue;
mod http2_shared;
mod identity;
mod keep_alive;
mod limits;
mod secrets;
mod server;
mod tls;
