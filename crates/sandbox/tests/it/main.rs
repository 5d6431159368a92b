//! The sandbox over real sockets.

mod client;
mod faults;
mod load;
mod own;
mod restart;
