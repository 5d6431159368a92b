//! Opening a store by its URL.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::memory::{MemoryStore, Sync};
use crate::migrations::{PAYMENTS, VAULT};
use crate::relational::Relational;
use crate::store::Store;
use crate::vault::{MemoryVault, Records, VaultStore};
use crate::{postgres, sqlite};

/// How to open a store.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Brings the schema up to date first. Without it a store whose schema is behind is refused.
    pub migrate: bool,
    /// PostgreSQL: how many connections write.
    pub writers: usize,
    /// How many connections read.
    pub readers: usize,
    /// PostgreSQL: what the server shows as the client's name.
    pub application_name: String,
    /// PostgreSQL: accepts a server that may lose what it has acknowledged. For tests of speed only.
    pub allow_unsafe_durability: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            migrate: false,
            writers: 4,
            readers: 2,
            application_name: "baton".to_owned(),
            allow_unsafe_durability: false,
        }
    }
}

/// Opens the store that a URL names: `sqlite:PATH`, `postgres://…` or `memory:`.
///
/// Starts threads (SQLite) or tasks (PostgreSQL) that end when the store is dropped.
///
/// # Errors
/// [`OpenError`]; no message repeats the URL, which may hold a password.
pub async fn open(url: &str, options: OpenOptions) -> Result<Arc<dyn Store>, OpenError> {
    Ok(match Place::parse(url)? {
        Place::Memory => Arc::new(MemoryStore::new(Sync::EveryCommit)),
        Place::Sqlite(path) => Arc::new(Relational::new(sqlite::open(path, &PAYMENTS, &options)?)),
        Place::Postgres => {
            Arc::new(Relational::new(postgres::open(url, &PAYMENTS, &options).await?))
        }
    })
}

/// Opens the vault's records by the same URLs. They may share a PostgreSQL database with the payments.
///
/// # Errors
/// As [`open`].
pub async fn open_vault(url: &str, options: OpenOptions) -> Result<Arc<dyn VaultStore>, OpenError> {
    Ok(match Place::parse(url)? {
        Place::Memory => Arc::new(MemoryVault::default()),
        Place::Sqlite(path) => Arc::new(Records::new(sqlite::open(path, &VAULT, &options)?)),
        Place::Postgres => Arc::new(Records::new(postgres::open(url, &VAULT, &options).await?)),
    })
}

/// Where a URL points.
enum Place<'a> {
    Memory,
    Sqlite(&'a Path),
    Postgres,
}

impl<'a> Place<'a> {
    fn parse(url: &'a str) -> Result<Self, OpenError> {
        if url == "memory:" {
            return Ok(Self::Memory);
        }
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                return Err(OpenError::Url("sqlite: names no file".into()));
            }
            return Ok(Self::Sqlite(Path::new(path)));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres);
        }
        Err(OpenError::Url("expected sqlite:PATH, postgres://… or memory:".into()))
    }
}

/// Why a store was not opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The URL names no store.
    Url(String),
    /// The database is out of reach, or refuses us.
    Unavailable(String),
    /// The database may lose what it has acknowledged, or cannot keep every text.
    Unsafe(String),
    /// The schema is behind: run the migrations.
    Outdated {
        /// The database's version; 0 if it is empty.
        found: i64,
        /// The version that this program needs.
        needed: u32,
    },
    /// The schema is ahead: run a later program.
    Newer {
        /// The database's version.
        found: i64,
        /// The latest version that this program knows.
        known: u32,
    },
    /// A migration that has run is not the one that this program knows.
    Changed {
        /// Its version.
        version: u32,
    },
    /// A migration failed; nothing of it remains.
    Migration(String),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(why) => write!(f, "not the URL of a store: {why}"),
            Self::Unavailable(why) => write!(f, "the database cannot be opened: {why}"),
            Self::Unsafe(why) => write!(f, "the database is not safe to use: {why}"),
            Self::Outdated { found, needed } => write!(
                f,
                "the database's schema is version {found}, this program needs {needed}: migrate it"
            ),
            Self::Newer { found, known } => write!(
                f,
                "the database's schema is version {found}, this program knows only {known}: \
                 use the program that migrated it, or a later one"
            ),
            Self::Changed { version } => write!(
                f,
                "migration {version} of the database is not the one that this program knows"
            ),
            Self::Migration(why) => write!(f, "the migration failed and was undone: {why}"),
        }
    }
}

impl std::error::Error for OpenError {}
