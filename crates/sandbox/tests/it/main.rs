//! The sandbox over real sockets.

mod client;
mod load;
mod own;
