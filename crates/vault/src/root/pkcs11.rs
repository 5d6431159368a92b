//! Root keys in a device for keys, by PKCS#11: wrapping happens inside, the key never leaves.
//!
//! Guarantees: a key is made in the device, as one that cannot be read out; one that can be is refused,
//! whoever made it. Left out: the device's own backup, without which the loss of the device is the loss of
//! everything in the vault.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::rand;
use baton_types::Secret;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use zeroize::Zeroizing;

use super::RootKey;
use crate::error::RootError;

const FORMAT: u8 = 1;
const PREFIX: &str = "pkcs11-";
const NONCE_BYTES: usize = 12;
const TAG_BITS: u64 = 128;
const KEY_BYTES: u64 = 32;

/// Where the root keys are.
#[derive(Debug)]
pub struct Pkcs11Config {
    /// The device's library.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// The label that all root keys of this vault have, and no other key.
    pub key: String,
    /// The user's PIN.
    pub pin: Secret,
}

/// AES-256 keys in a token.
pub struct Pkcs11Root {
    config: Pkcs11Config,
    library: Pkcs11,
    state: Mutex<State>,
}

struct State {
    session: Session,
    /// The current one first.
    keys: Vec<Key>,
}

struct Key {
    id: String,
    /// `CKA_ID`: a number that counts up, so that the newest key is known, and random bytes.
    raw: Vec<u8>,
    handle: ObjectHandle,
}

type Run<T> = Result<T, Failure>;

enum Failure {
    Device(Error),
    Root(RootError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Device(error)
    }
}

impl From<RootError> for Failure {
    fn from(error: RootError) -> Self {
        Self::Root(error)
    }
}

impl From<Failure> for RootError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Root(error) => error,
            // The library's texts are whole paragraphs; the names are what one looks up.
            Failure::Device(Error::Pkcs11(code, function)) => {
                Self(format!("the PKCS#11 module answered {code:?} to {function:?}"))
            }
            Failure::Device(error) => Self(format!("the PKCS#11 module: {error}")),
        }
    }
}

impl Pkcs11Root {
    /// Opens a token. With `create` a key is made if there is none; says whether one was made.
    ///
    /// # Errors
    /// The module, the token or the key is not there, the PIN is wrong, or a key can be read out.
    pub fn open(config: Pkcs11Config, create: bool) -> Result<(Self, bool), RootError> {
        let start = || -> Run<Pkcs11> {
            let library = Pkcs11::new(&config.module)?;
            match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
                // Another vault of this process did.
                Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(library),
                Err(error) => Err(error.into()),
            }
        };
        let library = start()?;
        let session = connect(&library, &config)?;
        let mut keys = find(&session, &config)?;
        let made = keys.is_empty() && create;
        if made {
            generate(&session, &config, &keys)?;
            keys = find(&session, &config)?;
        }
        if keys.is_empty() {
            return Err(none(&config));
        }
        Ok((Self { library, state: Mutex::new(State { session, keys }), config }, made))
    }

    /// Runs on a session; on a new one if the old one has ended.
    fn with<T>(&self, run: impl Fn(&mut State, &Pkcs11Config) -> Run<T>) -> Result<T, RootError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match run(&mut state, &self.config) {
            Err(Failure::Device(Error::Pkcs11(code, _))) if ended(code) => {
                tracing::warn!(?code, "the session with the PKCS#11 token has ended; a new one");
                let session = connect(&self.library, &self.config)?;
                let keys = find(&session, &self.config)?;
                *state = State { session, keys };
                Ok(run(&mut state, &self.config)?)
            }
            done => Ok(done?),
        }
    }
}

/// Whether a new session may help. Not after a wrong PIN: tokens lock themselves.
fn ended(code: RvError) -> bool {
    matches!(
        code,
        RvError::SessionHandleInvalid
            | RvError::SessionClosed
            | RvError::DeviceError
            | RvError::DeviceRemoved
            | RvError::TokenNotPresent
            | RvError::UserNotLoggedIn
            | RvError::ObjectHandleInvalid
            | RvError::KeyHandleInvalid
    )
}

fn none(config: &Pkcs11Config) -> RootError {
    RootError(format!("the token {} has no AES key labelled {}", config.token, config.key))
}

fn connect(library: &Pkcs11, config: &Pkcs11Config) -> Run<Session> {
    for slot in library.get_slots_with_token()? {
        if library.get_token_info(slot)?.label() != config.token {
            continue;
        }
        let session = library.open_rw_session(slot)?;
        let pin = AuthPin::new(config.pin.expose().into());
        match session.login(UserType::User, Some(&pin)) {
            // All sessions of a process are logged in together.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => return Ok(session),
            Err(error) => return Err(error.into()),
        }
    }
    Err(RootError(format!("there is no PKCS#11 token labelled {}", config.token)).into())
}

/// The root keys, the newest first.
fn find(session: &Session, config: &Pkcs11Config) -> Run<Vec<Key>> {
    let wanted = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Label(config.key.as_bytes().to_vec()),
    ];
    let mut keys = Vec::new();
    for handle in session.find_objects(&wanted)? {
        let asked = [
            AttributeType::Id,
            AttributeType::Sensitive,
            AttributeType::Extractable,
            AttributeType::ValueLen,
        ];
        let told = session.get_attributes(handle, &asked)?;
        let safe = told.contains(&Attribute::Sensitive(true))
            && told.contains(&Attribute::Extractable(false))
            && told.contains(&Attribute::ValueLen(KEY_BYTES.into()));
        if !safe {
            let key = &config.key;
            return Err(RootError(format!(
                "the key labelled {key} can be read out of its token, or is no AES-256 key: remove it, \
                 or choose another label"
            ))
            .into());
        }
        let raw = told.into_iter().find_map(|attribute| {
            if let Attribute::Id(raw) = attribute { Some(raw) } else { None }
        });
        let raw = raw.unwrap_or_default();
        let id = raw.iter().fold(PREFIX.to_owned(), |mut text, byte| {
            // Writing to a string does not fail.
            let _always_ok = write!(text, "{byte:02x}");
            text
        });
        keys.push(Key { id, raw, handle });
    }
    keys.sort_by(|a, b| b.raw.cmp(&a.raw));
    Ok(keys)
}

fn generate(session: &Session, config: &Pkcs11Config, keys: &[Key]) -> Run<()> {
    let newest = keys.first().and_then(|key| key.raw.first_chunk::<4>());
    let number = newest.map_or(0, |bytes| u32::from_be_bytes(*bytes)).saturating_add(1);
    let mut raw = number.to_be_bytes().to_vec();
    raw.extend(random::<8>()?);
    let template = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Modifiable(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::ValueLen(KEY_BYTES.into()),
        Attribute::Label(config.key.as_bytes().to_vec()),
        Attribute::Id(raw),
    ];
    session.generate_key(&Mechanism::AesKeyGen, &template)?;
    Ok(())
}

fn random<const N: usize>() -> Result<[u8; N], RootError> {
    let mut bytes = [0_u8; N];
    rand::fill(&mut bytes).map_err(|_| RootError("there is no randomness".into()))?;
    Ok(bytes)
}

impl State {
    fn handle(&self, root: &str) -> Run<ObjectHandle> {
        let key = self.keys.iter().find(|key| key.id == root);
        let lost = || RootError(format!("the token does not hold the root key {root}"));
        Ok(key.ok_or_else(lost)?.handle)
    }
}

impl RootKey for Pkcs11Root {
    fn ids(&self) -> Vec<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.keys.iter().map(|key| key.id.clone()).collect()
    }

    fn wrap(&self, root: &str, plain: &[u8], aad: &[u8]) -> Result<Vec<u8>, RootError> {
        self.with(|state, _| {
            let nonce = random::<NONCE_BYTES>()?;
            let mut iv = nonce;
            let params = GcmParams::new(&mut iv, aad, TAG_BITS.into())?;
            let key = state.handle(root)?;
            let body = state.session.encrypt(&Mechanism::AesGcm(params), key, plain)?;
            Ok([&[FORMAT][..], &nonce, &body].concat())
        })
    }

    fn unwrap(
        &self,
        root: &str,
        wrapped: &[u8],
        aad: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, RootError> {
        self.with(|state, _| {
            let strange = || RootError(format!("a key wrapped by {root} cannot be unwrapped"));
            let rest = wrapped.strip_prefix(&[FORMAT]).ok_or_else(strange)?;
            let (nonce, body) = rest.split_first_chunk::<NONCE_BYTES>().ok_or_else(strange)?;
            let mut iv = *nonce;
            let params = GcmParams::new(&mut iv, aad, TAG_BITS.into())?;
            let key = state.handle(root)?;
            Ok(Zeroizing::new(state.session.decrypt(&Mechanism::AesGcm(params), key, body)?))
        })
    }

    fn reload(&self) -> Result<(), RootError> {
        self.with(|state, config| {
            let keys = find(&state.session, config)?;
            if keys.is_empty() {
                return Err(none(config).into());
            }
            state.keys = keys;
            Ok(())
        })
    }

    fn add(&self) -> Result<(), RootError> {
        self.with(|state, config| {
            state.keys = find(&state.session, config)?;
            generate(&state.session, config, &state.keys)?;
            state.keys = find(&state.session, config)?;
            Ok(())
        })
    }

    fn forget(&self, root: &str) -> Result<(), RootError> {
        self.with(|state, config| {
            state.keys = find(&state.session, config)?;
            if state.keys.first().is_some_and(|key| key.id == root) {
                return Err(RootError(format!("{root} is the current root key")).into());
            }
            if let Ok(handle) = state.handle(root) {
                state.session.destroy_object(handle)?;
                state.keys = find(&state.session, config)?;
            }
            Ok(())
        })
    }
}
