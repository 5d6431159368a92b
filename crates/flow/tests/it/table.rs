//! The rules as tables: who may be tried next, what may be captured, voided and refunded, and what
//! concludes a call.

#![allow(clippy::too_many_lines, reason = "a table is as long as its rows")]

mod cancel;
mod conclusion;
mod failover;
mod guards;
mod hold;
mod import;
mod settle;
