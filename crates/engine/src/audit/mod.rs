//! The audit log: who changed keys, credentials and accounts, and who read a secret in clear text.
//!
//! Guarantees: an entry is durable when [`Audit::record`] returns; a change that goes through
//! [`Audit::commit_with`] and its entry are one commit, so that neither exists without the other; the
//! entries of all nodes and commands on one database form one chain without gaps, in which each holds the
//! hash of the one before ([`chain`]). Left out: what belongs into an entry's detail, which its author
//! decides and which is never a secret; and keeping the chain's end somewhere else, which whoever reads the
//! log of the process has to do: whoever can write the whole table can write another chain.

pub mod chain;
mod request;
mod verify;
mod writer;

use std::sync::Arc;

use baton_store::{CommitError, Store, WriteSet};
use baton_types::{ApiKeyId, MerchantId};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use crate::Clock;
use crate::error::EngineError;

pub use chain::Head;
pub use request::{current_request, in_request};
pub use verify::{Broken, Intact, VerifyError, verify};

/// How many entries may wait; whoever comes later waits for a place.
const QUEUE: usize = 1024;

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The holder of an API key.
    Key(ApiKeyId),
    /// The holder of the operator's key from the configuration.
    Operator,
    /// Somebody at the command line: the name that the operating system has for them, if it has one.
    CommandLine(Option<String>),
    /// The program by itself.
    System,
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(id) => id.fmt(f),
            Self::Operator => f.write_str("operator"),
            Self::CommandLine(Some(user)) => write!(f, "command-line:{user}"),
            Self::CommandLine(None) => f.write_str("command-line"),
            Self::System => f.write_str("system"),
        }
    }
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What was done. A word that has been written once never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Action {
            $($(#[$doc])* $name,)*
        }

        impl Action {
            /// Every action.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word that is stored and shown.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

actions! {
    /// A merchant, with its mock accounts.
    MerchantCreated = "merchant_created",
    /// An API key was made.
    KeyCreated = "key_created",
    /// An API key's name or end was changed.
    KeyChanged = "key_changed",
    /// An API key was ended.
    KeyRevoked = "key_revoked",
    /// An account was made or changed.
    AccountPut = "account_put",
    /// An account was removed.
    AccountRemoved = "account_removed",
    /// An account's credentials were shown in clear text.
    CredentialsRead = "credentials_read",
    /// A client certificate was made or changed.
    CertificatePut = "certificate_put",
    /// A client certificate was removed.
    CertificateRemoved = "certificate_removed",
    /// A token's content went to a client in clear text.
    TokenRead = "token_read",
    /// A token's content was used for a call to a provider.
    TokenUsed = "token_used",
    /// A token was deleted.
    TokenDeleted = "token_deleted",
    /// The vault's data key was replaced.
    VaultKeyRotated = "vault_key_rotated",
    /// The vault's root key was replaced.
    VaultRootRotated = "vault_root_rotated",
    /// What the vault holds was encrypted anew.
    VaultReencrypted = "vault_reencrypted",
    /// A call in doubt was settled by hand.
    PaymentSettled = "payment_settled",
    /// An incident was acknowledged or resolved.
    IncidentResolved = "incident_resolved",
    /// What a merchant is told by webhook was put back, to be told again.
    WebhookReplayed = "webhook_replayed",
    /// A setting that is kept in the database was changed.
    SettingsChanged = "settings_changed",
}

/// Something that was done.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Whose; none for what is the node's own.
    pub merchant: Option<MerchantId>,
    /// By whom.
    pub actor: Actor,
    /// What.
    pub action: Action,
    /// To what: an id.
    pub subject: String,
    /// More, as an object. Never a secret.
    pub detail: Value,
    /// The request in which it was done; without one, that of the task that records it.
    pub request_id: Option<String>,
}

/// Appends to the audit log. Cheap to clone; a process has one per database, because appenders of one
/// process that do not share one only get in each other's way.
#[derive(Clone)]
pub struct Audit {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    jobs: mpsc::Sender<writer::Job>,
}

impl Audit {
    /// An appender, with a task that ends when its last clone is dropped. Within a runtime only.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        // Nobody has to wait for this task when the process stops: who records waits for the answer.
        TaskTracker::new().spawn(writer::run(Arc::clone(&store), waiting));
        Self { store, clock, jobs }
    }

    /// The database of the log, and of the changes that are committed with an entry.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// Appends an entry; returns when it is durable. Entries that wait together share a commit.
    ///
    /// # Errors
    /// The entry is not durable, as far as is known: do not do what it tells of.
    pub async fn record(&self, entry: Entry) -> Result<(), EngineError> {
        match self.append(entry, WriteSet::new()).await {
            // Nobody else's to settle: an entry too many does no harm, a deed without one does.
            Err(CommitError::InDoubt) => Err(EngineError::Unavailable),
            result => Ok(result?),
        }
    }

    /// Commits a change together with its entry. Losing the race for the log's next number is no error: it
    /// is tried again until the entry has one.
    ///
    /// # Errors
    /// As the store's commit, apart from [`Guard::AuditSeq`](baton_store::Guard::AuditSeq). A lost
    /// acknowledgement is settled by reading the entry back; `InDoubt` remains only if the store does not
    /// answer that for several seconds.
    pub async fn commit_with(&self, entry: Entry, writes: WriteSet) -> Result<(), CommitError> {
        self.append(entry, writes).await
    }

    async fn append(&self, entry: Entry, writes: WriteSet) -> Result<(), CommitError> {
        let stopped = || CommitError::Unavailable("the audit log's writer has stopped".into());
        let draft = chain::Draft {
            at: self.clock.now(),
            merchant: entry.merchant.map(|id| id.to_string()),
            actor: entry.actor.to_string(),
            action: entry.action.as_str().to_owned(),
            subject: entry.subject,
            detail: chain::canonical(&entry.detail),
            request_id: entry.request_id.or_else(current_request),
        };
        let (done, answer) = oneshot::channel();
        let job = writer::Job { draft, writes: writes.writes, done };
        self.jobs.send(job).await.map_err(|_| stopped())?;
        // A writer that stops without an answer may have committed.
        answer.await.map_err(|_| CommitError::InDoubt)?
    }

    /// The last entry's number and hash, none if there is no entry.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn head(&self) -> Result<Option<Head>, EngineError> {
        Ok(chain::head(self.store.as_ref()).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_stable_and_unique() {
        let words: Vec<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
        let mut unique = words.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), words.len());
        assert!(words.iter().all(|w| w.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));

        let key = ApiKeyId::from_bytes([7; 16]);
        let texts = [
            Actor::Key(key),
            Actor::Operator,
            Actor::CommandLine(Some("ada".into())),
            Actor::CommandLine(None),
            Actor::System,
        ]
        .map(|actor| actor.to_string());
        let key = key.to_string();
        assert_eq!(texts, [&key, "operator", "command-line:ada", "command-line", "system"]);
    }
}
