//! A vault on each kind of store, with root keys in a file.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use baton_store::{OpenOptions, VaultStore, open_vault};
use baton_types::{Id, Secret, Timestamp};
use baton_vault::{FileRoot, Limits, Tenant, Vault};

pub const POSTGRES: &str = "BATON_TEST_POSTGRES_URL";
pub const PAN: &str = "4111111111111111";

pub const fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub fn tenant(n: u8) -> Tenant {
    Tenant { merchant: Id::from_bytes([n; 16]), sandbox: false }
}

pub fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

/// A vault's place: the database and the file of root keys.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub store: Arc<dyn VaultStore>,
    pub url: String,
}

impl Place {
    pub fn key_file(&self) -> PathBuf {
        self.folder.path().join("vault-root.key")
    }

    pub fn root(&self) -> Arc<FileRoot> {
        Arc::new(FileRoot::open_or_create(&self.key_file()).unwrap().0)
    }

    /// As another process would open it: with root keys of its own memory.
    pub async fn vault(&self) -> Vault {
        Vault::open(Arc::clone(&self.store), self.root(), at(0)).await.unwrap()
    }

    /// As another process would open it: with connections of its own too.
    pub async fn other_process(&self) -> Vault {
        let store = match self.url.as_str() {
            "memory:" => Arc::clone(&self.store),
            url => open_vault(url, OpenOptions::default()).await.unwrap(),
        };
        Vault::open(store, self.root(), at(0)).await.unwrap()
    }

    pub async fn vault_with(&self, limits: Limits) -> Vault {
        Vault::open_with(Arc::clone(&self.store), self.root(), at(0), limits).await.unwrap()
    }
}

pub fn migrate() -> OpenOptions {
    OpenOptions { migrate: true, ..OpenOptions::default() }
}

async fn place(folder: tempfile::TempDir, url: String) -> Place {
    let store = open_vault(&url, migrate()).await.unwrap();
    Place { folder, store, url }
}

pub async fn memory() -> Place {
    place(tempfile::tempdir().unwrap(), "memory:".to_owned()).await
}

pub async fn sqlite() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("vault.db").display());
    place(folder, url).await
}

/// On a new database; none, with a word about it, without a server.
pub async fn postgres(skipped: &str) -> Option<Place> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let Ok(server) = std::env::var(POSTGRES) else {
        eprintln!("SKIPPED 1 {skipped}: {POSTGRES} is not set");
        return None;
    };
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("vault_{}_{number}", std::process::id());
    let (client, connection) =
        tokio_postgres::connect(&server, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(&format!("create database {name}")).await.unwrap();
    let (base, _) = server.rsplit_once('/').unwrap();
    Some(place(tempfile::tempdir().unwrap(), format!("{base}/{name}")).await)
}

/// Every kind of store that can be had here.
pub async fn everywhere(what: &str) -> Vec<Place> {
    let mut places = vec![memory().await, sqlite().await];
    places.extend(postgres(what).await);
    places
}
