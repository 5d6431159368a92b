//! Sends a webhook to a merchant's endpoint: once, and only where it may go.
//!
//! Guarantees: the address is checked after the name was resolved, and the connection is made to the address
//! that was checked, so that a name cannot be bound anew in between; redirects are not followed; everything
//! together takes no longer than the timeout; no more of an answer is read than is kept. Signatures are those of
//! [Standard Webhooks](https://www.standardwebhooks.com) and of the public contract.
//!
//! Absent here: what is told and to whom, the store, secrets at rest, and when it is tried again but for the
//! schedule itself (`baton-payments`).

mod address;
mod header;
mod schedule;
mod send;
mod sign;
mod url;

pub use address::{BadNet, Net, Policy, Refused};
pub use header::{
    BadHeader, HEADER_NAME_MAX, HEADER_VALUE_MAX, HEADERS_MAX, LOGIN_MAX, basic_login,
    check_header, is_password, is_username,
};
pub use schedule::{RETRIES, Schedule};
pub use send::{Reply, SendError, Sender, TIMEOUT};
pub use sign::{BadSecret, Signature, SigningSecret, contract_signature};
pub use url::{BadUrl, HookUrl};
