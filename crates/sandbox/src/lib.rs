//! A payment provider to test against: a real HTTP server with books of its own, scriptable, with faults.
//!
//! It speaks three dialects of the same books: its own, the card part of Stripe's PaymentIntents API, and
//! the card part of Adyen's Checkout API. What it does can be chosen by card number, by amount and by
//! rules; what the client gets to see can differ from what was committed. With durable books it survives
//! being killed at any moment.
//!
//! Guarantees: an answered change is in the books and, with [`Sync::Always`], on the disk; with
//! deduplication on, an idempotency key is executed at most once; no card number and no verification code
//! is kept. It shares no code with the engine or the connectors, or it would share their bugs. Leaves
//! out: TLS, settlement, disputes, fees. The reference is `docs/sandbox.md`.

mod admin;
mod challenge;
mod clock;
mod codes;
mod core;
mod dialect;
mod exchange;
mod http;
mod journal;
mod provider;
mod route;
mod script;
mod vaults;
mod webhooks;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use tokio::net::TcpListener;

pub use codes::{
    Codes, Decline, DeclineCode, DeclinedBy, DisputeCard, TestAmount, TestCard, codes,
};

use crate::journal::Journal;
use crate::provider::Provider;

/// How to run a sandbox.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the books are kept.
    pub books: Books,
    /// Whether idempotency keys are honoured. Without, a request sent twice is executed twice.
    pub dedup: bool,
}

/// Where the books are kept.
#[derive(Clone, Debug)]
pub enum Books {
    /// Nowhere: they end with the process.
    Memory,
    /// In an append-only file of JSON lines, read again at the next start.
    File {
        /// The file; made if absent.
        path: PathBuf,
        /// When a change is answered.
        sync: Sync,
    },
}

/// When a change is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// After it is on the disk (fsync, shared by the requests of the moment).
    Always,
    /// At once; a crash of the machine may lose the last moments, a crash of the process almost nothing.
    Relaxed,
}

/// Why a sandbox could not start.
#[derive(Debug)]
pub enum StartError {
    /// The address cannot be bound, or the file cannot be opened or read.
    Io(io::Error),
    /// The file is damaged before its last line. Nothing was changed.
    Corrupt {
        /// Counted from 1.
        line: u64,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Io(error) => write!(f, "cannot start the sandbox: {error}"),
            StartError::Corrupt { line } => {
                write!(f, "the sandbox's books are damaged at line {line}")
            }
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StartError::Io(error) => Some(error),
            StartError::Corrupt { .. } => None,
        }
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> StartError {
        StartError::Io(error)
    }
}

/// A sandbox that serves until it is shut down. Dropping it leaves it running.
#[derive(Debug)]
pub struct Running {
    addr: SocketAddr,
    provider: Arc<Provider>,
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops accepting, lets open requests end for a moment, writes what is queued.
    pub async fn shutdown(self) {
        self.provider.stop(STOPPING_GRACE).await;
    }
}

const STOPPING_GRACE: Duration = Duration::from_secs(2);

/// Reads the books, binds, and serves on the current Tokio runtime.
///
/// # Errors
/// See [`StartError`].
pub async fn start(config: Config) -> Result<Running, StartError> {
    let listener = TcpListener::bind(config.listen).await?;
    let addr = listener.local_addr()?;
    let mut provider = Provider::new(config.dedup, addr);
    if let Books::File { path, sync } = &config.books {
        provider.journal = Journal::open(path, *sync, &mut |entry| provider.replay(entry))?;
    }
    let provider = Arc::new(provider);
    provider.resume();
    provider.spawn(http::serve(provider.clone(), listener));
    Ok(Running { addr, provider })
}
