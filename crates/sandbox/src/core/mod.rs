//! The books of one account at the provider, and the rules by which money moves in them.
//!
//! Every dialect acts on these books and only translates. Guarantees, tested as properties:
//! `0 <= refunded <= captured <= authorized <= amount` whatever the order of requests; a voided payment
//! holds no money; a cancelled reference is never charged. Leaves out: HTTP, durability, scripting
//! (the verdict of a payment arrives as an argument), fees, settlement.

mod books;
pub(crate) mod card;
pub(crate) mod dispute;
pub(crate) mod network;
pub(crate) mod payment;
#[cfg(test)]
mod properties;

pub(crate) use books::{Books, Cancelled, Change, Event, EventKind, KeyState, StoredKey, Subject};
pub(crate) use card::{Brand, Card, CardError, Token};
pub(crate) use dispute::{Dispute, NewDispute, Stage as DisputeStage, State as DisputeState};
pub(crate) use network::Asker;
pub(crate) use payment::{
    Ask, Attempt, Kind, NewPayment, Operation, Payment, Refusal, Route, Settings, Status, Verdict,
};
