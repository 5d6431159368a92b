//! What a node has on its disk: its folder, its lock, its name; and how it opens the database.

use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use baton_api::ErrorCode;
use baton_custody::{ClientFiles, RemoteVault};
use baton_engine::audit::Actor;
use baton_engine::{Clock, SystemClock};
use baton_store::Store;
use baton_types::Secret;
use baton_vault::{FileRoot, Pkcs11Config, Pkcs11Root, RootError, RootKey, Vault, VaultAccess};
use tokio::time::Instant;

use crate::config::Config;
use crate::explain::{explained, open_error};

/// How long a node waits at its start for a vault that is elsewhere.
const VAULT_PATIENCE: Duration = Duration::from_secs(10);

/// Makes the data folder, for this user only.
///
/// # Errors
/// It cannot be made.
pub(crate) fn make_data_dir(config: &Config) -> Result<(), String> {
    let dir = &config.data_dir;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| {
        let text = format!("the data folder {} cannot be made: {error}", dir.display());
        explained(ErrorCode::DataDirUnusable, text)
    })
}

/// Takes the data folder for one server. Two servers with one name would take each other's calls for
/// abandoned.
///
/// # Errors
/// Another server has it.
pub(crate) fn lock(config: &Config) -> Result<File, String> {
    let path = config.data_dir.join("lock");
    let describe = |code, error: &dyn std::fmt::Display| {
        let dir = config.data_dir.display();
        explained(code, format!("the data folder {dir} cannot be locked: {error}"))
    };
    let unusable = |error: std::io::Error| describe(ErrorCode::DataDirUnusable, &error);
    let file = open_private(&path).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(describe(ErrorCode::DataDirLocked, &"another server is running in it"))
        }
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}

/// The node's name: as configured, or made once and kept.
///
/// # Errors
/// The file cannot be read or written.
pub(crate) fn name(config: &Config) -> Result<String, String> {
    if let Some(name) = &config.node {
        return Ok(name.clone());
    }
    let path = config.data_dir.join("node");
    if let Ok(name) = fs::read_to_string(&path)
        && !name.trim().is_empty()
    {
        return Ok(name.trim().to_owned());
    }
    let name = format!("node-{}", random_hex());
    let written = open_private(&path).and_then(|mut file| {
        file.set_len(0)?;
        file.write_all(name.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| {
        let text = format!("{} cannot be written: {error}", path.display());
        explained(ErrorCode::DataDirUnusable, text)
    })?;
    Ok(name)
}

fn random_hex() -> String {
    let mut bytes = [0_u8; 4];
    SystemClock.random(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn open_private(path: &Path) -> std::io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true).mode(0o600).open(path)
}

/// Opens the database that the configuration names.
///
/// # Errors
/// It cannot be opened, or its schema is not the one that this program needs.
pub(crate) async fn open_store(config: &Config, migrate: bool) -> Result<Arc<dyn Store>, String> {
    make_data_dir(config)?;
    let opened = baton_store::open(&config.store_url(), config.store_options(migrate)).await;
    opened.map_err(|error| explained(open_error(&error), error))
}

/// Whoever is at the command line, as the audit log names them: by the process's own user, not by what the
/// environment says.
pub(crate) fn operator() -> Actor {
    use std::os::unix::fs::MetadataExt as _;
    let uid = fs::metadata("/proc/self").map(|own| own.uid()).ok();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    Actor::CommandLine(uid.map(|uid| user_name(&users, uid)))
}

/// The name of a user in a `passwd` file; the number if it has none.
fn user_name(users: &str, uid: u32) -> String {
    let number = uid.to_string();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    name.unwrap_or(number)
}

/// Opens the vault that the configuration names, and says whether this made its root key; then the operator
/// has to be told, see [`new_root_key`]. Without `migrate` no key is made.
///
/// # Errors
/// Its database cannot be opened, or its root key is not at hand or is another's.
pub(crate) async fn open_vault(config: &Config, migrate: bool) -> Result<(Vault, bool), String> {
    if let Some(url) = &config.vault.url {
        let text = format!("the vault is elsewhere, at {url}: run this where it is");
        return Err(explained(ErrorCode::ConfigInvalid, text));
    }
    make_data_dir(config)?;
    let opened = baton_store::open_vault(&config.vault_url(), config.store_options(migrate)).await;
    let store =
        opened.map_err(|error| explained(open_error(&error), format!("the vault: {error}")))?;
    // A vault that has keys needs the root key that it had: a new one would open nothing.
    let empty = store.keys().await.map_err(|error| format!("the vault: {error}"))?.is_empty();
    if empty && !migrate {
        return Err("the vault has no keys yet: baton migrate makes them".to_owned());
    }
    let (root, made) = open_root(config, empty).await?;
    let vault = Vault::open(store, root, SystemClock.now()).await;
    Ok((vault.map_err(|error| explained(ErrorCode::VaultUnusable, error))?, made))
}

/// The vault, here or where it is, and whether this made its root key.
///
/// # Errors
/// As [`open_vault`]; or the vault that is elsewhere cannot be reached, or does not know this node.
#[allow(clippy::disallowed_methods, reason = "a task that shutdown has nothing to wait for")]
pub(crate) async fn reach_vault(
    config: &Config,
    is_dev: bool,
) -> Result<(VaultAccess, bool), String> {
    let Some(url) = &config.vault.url else {
        let (vault, made) = open_vault(config, config.auto_migrate).await?;
        return Ok((vault.into(), made));
    };
    let files = ClientFiles {
        url: url.clone(),
        identity: config.vault.cert_file.clone().zip(config.vault.key_file.clone()),
        authority: config.vault.ca_file.clone(),
        plain: is_dev,
    };
    let begun = Instant::now();
    loop {
        match RemoteVault::connect(&files).await {
            Ok(vault) => {
                tokio::task::spawn(Arc::clone(&vault).keep_fresh());
                return Ok((VaultAccess::to(vault), false));
            }
            // It may be starting just now, as this node is.
            Err(error) if error.may_pass() && begun.elapsed() < VAULT_PATIENCE => {
                tracing::info!(%error, "the vault does not answer yet");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            Err(error) => {
                let text = format!("the vault at {url}: {error}");
                return Err(explained(ErrorCode::VaultUnusable, text));
            }
        }
    }
}

async fn open_root(config: &Config, create: bool) -> Result<(Arc<dyn RootKey>, bool), String> {
    let pkcs11 = config.vault.pkcs11.as_ref().map(|pkcs11| Pkcs11Config {
        module: pkcs11.module.clone(),
        token: pkcs11.token.clone(),
        key: pkcs11.key.clone(),
        pin: Secret::new(pkcs11.pin.as_ref().map(Secret::expose).unwrap_or_default().to_owned()),
    });
    let file = config.root_key_file();
    let open = move || -> Result<(Arc<dyn RootKey>, bool), RootError> {
        Ok(match pkcs11 {
            Some(pkcs11) => {
                let (root, made) = Pkcs11Root::open(pkcs11, create)?;
                (Arc::new(root), made)
            }
            None if create => {
                let (root, made) = FileRoot::open_or_create(&file)?;
                (Arc::new(root), made)
            }
            None => (Arc::new(FileRoot::open(&file)?), false),
        })
    };
    let opened = tokio::task::spawn_blocking(open).await.map_err(|error| error.to_string())?;
    opened.map_err(|error| {
        explained(ErrorCode::VaultUnusable, format!("the vault's root key: {error}"))
    })
}

/// What an operator has to know about a root key that has just been made.
pub(crate) fn new_root_key(config: &Config) -> String {
    if let Some(pkcs11) = &config.vault.pkcs11 {
        return format!(
            "WARNING: the vault's root key was made just now in the token {}. Back the token up: without \
             this key no card and no credential can ever be read again.",
            pkcs11.token
        );
    }
    format!(
        "WARNING: the vault's root key was made just now, in {}.\n\
         WARNING: whoever has this file and the database has every card; without the file no card and no \
         credential can ever be read again.\n\
         WARNING: back it up, apart from the database. In production keep the root key in a device \
         (docs/vault.md).",
        config.root_key_file().display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_as_the_system_names_them() {
        let users = "daemon:x:1:1::/:/bin/false\nada:x:1000:1000:Ada:/:/bin/sh\nbroken\n";
        for (uid, want) in [(1, "daemon"), (1000, "ada"), (10, "10")] {
            assert_eq!(user_name(users, uid), want);
        }
        assert!(matches!(operator(), Actor::CommandLine(Some(name)) if !name.is_empty()));
    }
}
