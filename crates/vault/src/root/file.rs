//! Root keys in a file, for machines without a device for keys.
//!
//! Guarantees: the file belongs to its owner alone, and one that others can read is refused; a change is
//! whole or not there, whenever the power fails; two processes change it in turn; a key's id is made from
//! the key, so that a line that was mangled is noticed. Left out: protection from whoever can read both
//! this file and the database.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{digest, rand};
use zeroize::Zeroizing;

use super::RootKey;
use crate::error::RootError;

const FORMAT: u8 = 1;
const KEY_BYTES: usize = 32;
const PREFIX: &str = "file-";
const HEADING: &str = "# Root keys of Baton's vault; the first is the current one. Whoever has this file and \
                       the\n# database has every card. Without it nothing in the vault can be read: back it up, \
                       apart\n# from the database, and keep old copies as long as old backups.\n";

type Bytes = Zeroizing<[u8; KEY_BYTES]>;

struct Entry {
    id: String,
    bytes: Bytes,
}

/// Root keys in a file of mode 0600.
pub struct FileRoot {
    path: PathBuf,
    entries: Mutex<Vec<Entry>>,
}

impl FileRoot {
    /// Opens a file that is there.
    ///
    /// # Errors
    /// It is missing, is not a list of keys, or others can read it.
    pub fn open(path: &Path) -> Result<Self, RootError> {
        let entries = read(path)?;
        Ok(Self { path: path.to_owned(), entries: Mutex::new(entries) })
    }

    /// Opens the file, or makes it with one new key; says whether it was made. Of several processes at
    /// once one makes it.
    ///
    /// # Errors
    /// As [`FileRoot::open`], or it cannot be made.
    pub fn open_or_create(path: &Path) -> Result<(Self, bool), RootError> {
        if fs::symlink_metadata(path).is_ok() {
            return Ok((Self::open(path)?, false));
        }
        let entry = Entry::new()?;
        let own = format!("{}.{}", path.display(), entry.id);
        let own = Path::new(&own);
        write(own, &[entry]).map_err(|error| cannot(path, "made", &error))?;
        // A link, unlike a rename, does not replace what another process has just made.
        let linked = fs::hard_link(own, path);
        let removed = fs::remove_file(own).and_then(|()| sync_folder(path));
        let made = match linked {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(cannot(path, "made", &error)),
        };
        removed.map_err(|error| cannot(path, "made", &error))?;
        Ok((Self::open(path)?, made))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs on the text of the one key.
    fn with<T>(
        &self,
        root: &str,
        run: impl FnOnce(&RandomizedNonceKey) -> Option<T>,
    ) -> Result<T, RootError> {
        let entries = self.lock();
        let entry = entries.iter().find(|entry| entry.id == root);
        let entry = entry.ok_or_else(|| {
            RootError(format!("{} does not hold the root key {root}", self.path.display()))
        })?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, entry.bytes.as_ref()).ok();
        key.and_then(|key| run(&key))
            .ok_or_else(|| RootError(format!("a key wrapped by {root} cannot be unwrapped")))
    }

    /// Changes the file while no other process does.
    fn change(
        &self,
        change: impl FnOnce(&mut Vec<Entry>) -> Result<(), RootError>,
    ) -> Result<(), RootError> {
        let fail = |error: io::Error| cannot(&self.path, "changed", &error);
        let folder = File::open(folder(&self.path)).map_err(fail)?;
        folder.lock().map_err(fail)?;
        let mut entries = read(&self.path)?;
        change(&mut entries)?;
        let new = format!("{}.new", self.path.display());
        let new = Path::new(&new);
        write(new, &entries).map_err(fail)?;
        fs::rename(new, &self.path).and_then(|()| sync_folder(&self.path)).map_err(fail)?;
        *self.lock() = entries;
        Ok(())
    }
}

impl RootKey for FileRoot {
    fn ids(&self) -> Vec<String> {
        self.lock().iter().map(|entry| entry.id.clone()).collect()
    }

    fn wrap(&self, root: &str, plain: &[u8], aad: &[u8]) -> Result<Vec<u8>, RootError> {
        self.with(root, |key| {
            let mut body = Zeroizing::new(plain.to_vec());
            let (nonce, tag) = key.seal_in_place_separate_tag(Aad::from(aad), &mut body).ok()?;
            Some([&[FORMAT][..], nonce.as_ref(), &body, tag.as_ref()].concat())
        })
    }

    fn unwrap(
        &self,
        root: &str,
        wrapped: &[u8],
        aad: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, RootError> {
        self.with(root, |key| {
            let rest = wrapped.strip_prefix(&[FORMAT])?;
            let (nonce, body) = rest.split_at_checked(NONCE_LEN)?;
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let mut body = Zeroizing::new(body.to_vec());
            let plain = key.open_in_place(nonce, Aad::from(aad), &mut body).ok()?;
            Some(Zeroizing::new(plain.to_vec()))
        })
    }

    fn reload(&self) -> Result<(), RootError> {
        let entries = read(&self.path)?;
        *self.lock() = entries;
        Ok(())
    }

    fn add(&self) -> Result<(), RootError> {
        self.change(|entries| {
            entries.insert(0, Entry::new()?);
            Ok(())
        })
    }

    fn forget(&self, root: &str) -> Result<(), RootError> {
        self.change(|entries| {
            if entries.first().is_some_and(|entry| entry.id == root) {
                return Err(RootError(format!("{root} is the current root key")));
            }
            entries.retain(|entry| entry.id != root);
            Ok(())
        })
    }
}

impl Entry {
    fn new() -> Result<Self, RootError> {
        let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
        rand::fill(bytes.as_mut()).map_err(|_| RootError("there is no randomness".into()))?;
        Ok(Self { id: id(&bytes), bytes })
    }

    fn parse(line: &str) -> Option<Self> {
        let (name, digits) = line.split_once(' ')?;
        let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
        let pairs = digits.as_bytes().chunks(2);
        if digits.len() != KEY_BYTES.saturating_mul(2) || !digits.is_ascii() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(pairs) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        (id(&bytes) == name).then(|| Self { id: name.to_owned(), bytes })
    }
}

/// An id that says nothing about the key but is none other's.
fn id(bytes: &Bytes) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"baton root key id 1");
    context.update(bytes.as_ref());
    let hash = context.finish();
    hash.as_ref().iter().take(8).fold(PREFIX.to_owned(), |mut text, byte| {
        // Writing to a string does not fail.
        let _always_ok = write!(text, "{byte:02x}");
        text
    })
}

fn cannot(path: &Path, what: &str, error: &io::Error) -> RootError {
    RootError(format!("the key file {} cannot be {what}: {error}", path.display()))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Without this a power loss could undo what happened to a name.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

fn read(path: &Path) -> Result<Vec<Entry>, RootError> {
    let fail = |error: io::Error| cannot(path, "read", &error);
    let mut file = File::open(path).map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    let mode = metadata.permissions().mode() & 0o777;
    if !metadata.is_file() || mode & 0o077 != 0 {
        return Err(RootError(format!(
            "the key file {} can be read by other users (mode {mode:o}); chmod 600 it, and rotate the \
             root key if anybody may have read it",
            path.display()
        )));
    }
    // Room for every key there will ever be: a text that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(16 * 1024));
    file.read_to_string(&mut text).map_err(fail)?;
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    let entries: Option<Vec<Entry>> = lines.map(Entry::parse).collect();
    entries.filter(|entries| !entries.is_empty()).ok_or_else(|| {
        RootError(format!("the key file {} is not a list of root keys", path.display()))
    })
}

/// Writes a whole new file, for its owner alone.
fn write(path: &Path, entries: &[Entry]) -> io::Result<()> {
    let mut text = Zeroizing::new(String::with_capacity(16 * 1024));
    text.push_str(HEADING);
    for Entry { id, bytes } in entries {
        text.push_str(id);
        text.push(' ');
        for byte in bytes.iter() {
            // Writing to a string does not fail.
            let _always_ok = write!(text, "{byte:02x}");
        }
        text.push('\n');
    }
    let mut options = fs::OpenOptions::new();
    let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
