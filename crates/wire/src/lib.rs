//! The one place that opens sockets to providers, and the evidence of what happened on them.
//!
//! A caller hands over a filled call and a [`Target`] and gets a [`Report`]: a whole answer, proof that no
//! byte of the request left, or doubt. Guarantees:
//!
//! - **One request, once.** Nothing is retried or re-sent, no redirect is followed, no proxy from the
//!   environment is used, and TLS early data is off. A connection that was kept open and turns out dead is
//!   replaced only while not one byte of the request has been written to it.
//! - **`NotSent` is proof.** Our own I/O types count what the socket took, per connection in HTTP/1.1 (module
//!   `socket`) and per stream in HTTP/2 (module `ledger`). The table in [`classify`] gives `NotSent` only while
//!   that count is zero, or where HTTP/2 lets the provider say that it did not process a request, and it has
//!   said so. When unsure, it says `Lost`.
//! - **`send_by` holds at the last moment.** The clock is read in the write of the first byte itself.
//! - **An abandoned exchange is in doubt.** With HTTP/1.1 the future of [`Wire::exchange`] owns its connection
//!   and drives it itself, and dropping the future closes the connection. An HTTP/2 connection is shared and
//!   moved by a task of its own; dropping the future resets its stream, and what had not begun to leave never
//!   will. But bytes may have left by then: a caller that drops the future, or whose task is aborted, must
//!   treat the call as unknown (`Doubt::Abandoned`).
//! - **Secrets are not written down.** No event, error or `Debug` shows a header, a path or a body. The
//!   body and the header values stay in memory that is wiped when the call ends. Limits: `hyper` copies the
//!   head of the request into its write buffer, `h2` the head and a short body, `rustls` and the kernel hold what is on its way out, and a
//!   growing buffer of theirs leaves copies; none of those are wiped.
//!
//! - **A certificate of ours is shown for its own calls only.** Connections are kept per account, origin and
//!   [`ClientIdentity`]. Under TLS 1.3 a provider may refuse a certificate after the handshake; we wait a
//!   moment for that before the first byte (module `dial`), and where it comes later still, the call is
//!   `Lost` like every other whose bytes have left.
//!
//! Left out: HTTP/3, HTTP/2 without TLS, racing of addresses, and any judgement of an answer: a 3xx or a 500
//! is an answer like every other.

mod base_url;
mod certificate;
mod classify;
mod clock;
mod config;
mod conn;
mod dial;
mod frames;
mod guard;
mod identity;
mod ledger;
mod multiplex;
mod pool;
mod request;
mod socket;
mod wire;

use std::sync::Arc;

use baton_connect::HttpReply;
use baton_types::AccountId;
use baton_types::outcome::{Doubt, NotSent};

pub use base_url::{BaseUrl, BaseUrlError, Policy};
pub use certificate::{CertifiedPair, IdentityError, Validity, certificates_of};
pub use classify::{Failure, Stage, classify};
pub use config::{Breaker, ConfigError, WireConfig};
pub use guard::{AccountHealth, BreakerState, Guard, Permit};
pub use identity::ClientIdentity;
pub use rustls::pki_types::CertificateDer;
pub use wire::Wire;

/// Where a call goes.
#[derive(Clone, Debug)]
pub struct Target {
    /// The account whose connections, breaker and limit are used.
    pub account: AccountId,
    /// What the call's path is appended to.
    pub base_url: BaseUrl,
    /// Whether the account's breaker counts and refuses. Test accounts may be exempt.
    pub breaker: bool,
    /// The certificate to show if the provider asks for one. Plain HTTP never asks.
    pub identity: Option<Arc<ClientIdentity>>,
}

/// What is known about a call after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// A whole answer, of any status.
    Reply(HttpReply),
    /// Proof that no byte of the request left.
    NotSent(NotSent),
    /// The request may have been processed.
    Lost(Doubt),
}

/// An exchange and its evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What is known.
    pub exchange: Exchange,
    /// What was counted.
    pub evidence: Evidence,
}

/// What was counted during an exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Bytes of this request that the socket took. Under TLS: that the TLS layer took, which may be more
    /// than left, never less. In HTTP/2: of the frames of its own stream.
    pub request_bytes: u64,
    /// Bytes of the answer that arrived, head included, after decryption.
    pub reply_bytes: u64,
    /// Whether the connection had carried an earlier exchange.
    pub reused_connection: bool,
    /// Time spent on name resolution, TCP and TLS, in microseconds; 0 on a reused connection.
    pub connect_us: u64,
    /// Time from start to end, in microseconds.
    pub total_us: u64,
}
