//! Root keys in a real token, of SoftHSM2. Without its module the tests say that they are skipped.
//!
//! The module reads the folder of its tokens from a variable, which a test cannot set for itself: each test
//! runs as a process of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use baton_store::open_vault;
use baton_vault::{Pkcs11Config, Pkcs11Root, RootKey as _, Vault, VaultError};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;

use crate::rotation::all_open;
use crate::support::*;

const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];
const PIN: &str = "4711";
const CHILD: &str = "BATON_TEST_PKCS11_CHILD";

fn module() -> Option<PathBuf> {
    MODULES.iter().map(PathBuf::from).find(|path| path.exists())
}

/// Runs a test again, in a process that has a token of its own.
fn in_a_token(test: &str) {
    let Some(module) = module() else {
        eprintln!("SKIPPED 1 {test}: SoftHSM2 is not installed");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::create_dir(&tokens).unwrap();
    let settings = folder.path().join("softhsm2.conf");
    std::fs::write(&settings, format!("directories.tokendir = {}\n", tokens.display())).unwrap();
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "baton", "--pin", PIN, "--so-pin", "0815"])
        .env("SOFTHSM2_CONF", &settings)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("pkcs11::{test}"), "--ignored", "--nocapture"])
        .env("SOFTHSM2_CONF", &settings)
        .env(CHILD, module)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}

fn config(key: &str) -> Pkcs11Config {
    let module = PathBuf::from(std::env::var(CHILD).unwrap());
    Pkcs11Config { module, token: "baton".into(), key: key.into(), pin: secret(PIN) }
}

/// A session of the test's own.
fn session(module: &Path) -> Session {
    let library = Pkcs11::new(module).unwrap();
    // The vault may have done so already.
    let _ = library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
    let slots = library.get_slots_with_token().unwrap();
    let slot = slots.into_iter().find(|s| library.get_token_info(*s).unwrap().label() == "baton");
    let session = library.open_rw_session(slot.unwrap()).unwrap();
    let _ = session.login(UserType::User, Some(&AuthPin::new(PIN.into())));
    session
}

#[test]
fn a_vault_lives_on_a_token() {
    in_a_token("vault_on_a_token");
}

#[test]
fn the_key_cannot_be_read_out() {
    in_a_token("key_stays_inside");
}

#[tokio::test]
#[ignore = "run by the test above, with a token"]
async fn vault_on_a_token() {
    let place = sqlite().await;
    let absent = Pkcs11Root::open(config("root"), false).err().unwrap();
    assert!(absent.to_string().contains("no AES key labelled root"), "{absent}");
    let (root, made) = Pkcs11Root::open(config("root"), true).unwrap();
    assert!(made && !Pkcs11Root::open(config("root"), true).unwrap().1);
    let vault = Vault::open(Arc::clone(&place.store), Arc::new(root), at(0)).await.unwrap();
    let mut tokens = Vec::new();
    for n in 0..5 {
        let payload = format!("payload {n}");
        let token = vault.tokenize(tenant(1), &secret(&payload), at(0)).await.unwrap();
        tokens.push((token, payload));
    }

    // Another process opens it, replaces every key, and the first goes on.
    let other = || async {
        let root = Pkcs11Root::open(config("root"), false).unwrap().0;
        let store = open_vault(&place.url, baton_store::OpenOptions::default()).await.unwrap();
        Vault::open(store, Arc::new(root), at(0)).await.unwrap()
    };
    let second = other().await;
    second.rotate_data_key(at(1)).await.unwrap();
    let before = second.status().await.unwrap().roots;
    let after = second.rotate_root(at(1)).await.unwrap();
    assert_eq!(second.status().await.unwrap().roots, [after.as_str()]);
    assert_ne!(before, [after.as_str()]);
    let done = second.reencrypt(2, at(1), &mut |_| {}).await.unwrap();
    assert_eq!((done.resealed, done.kept), (5, vec![]));
    for vault in [&vault, &second, &other().await] {
        all_open(vault, &tokens).await;
    }
    vault.rotate_root(at(2)).await.unwrap();
    all_open(&other().await, &tokens).await;

    // Another key of the same token, another token, another PIN.
    let (stranger, _) = Pkcs11Root::open(config("stranger"), true).unwrap();
    let refused = Vault::open(Arc::clone(&place.store), Arc::new(stranger), at(0)).await.err();
    assert!(matches!(refused, Some(VaultError::Root(_))), "{refused:?}");
    let nowhere = Pkcs11Config { token: "nowhere".into(), ..config("root") };
    let refused = Pkcs11Root::open(nowhere, true).err().unwrap();
    assert!(refused.to_string().contains("no PKCS#11 token labelled nowhere"), "{refused}");
    let elsewhere = Pkcs11Config { module: "/nonexistent.so".into(), ..config("root") };
    assert!(Pkcs11Root::open(elsewhere, true).is_err());
}

#[test]
#[ignore = "run by the test above, with a token"]
fn key_stays_inside() {
    // Before the vault logs the whole process in.
    let wrong = Pkcs11Config { pin: secret("0000"), ..config("root") };
    let refused = Pkcs11Root::open(wrong, true).err().unwrap();
    assert!(refused.to_string().contains("PinIncorrect"), "{refused}");

    let (root, _) = Pkcs11Root::open(config("root"), true).unwrap();
    let wrapped = root.wrap(&root.id(), b"a data key", b"bound").unwrap();
    assert_eq!(root.unwrap(&root.id(), &wrapped, b"bound").unwrap().as_slice(), b"a data key");
    assert!(root.unwrap(&root.id(), &wrapped, b"elsewhere").is_err());
    for place in 0..wrapped.len() {
        let mut forged = wrapped.clone();
        forged[place] ^= 1;
        assert!(root.unwrap(&root.id(), &forged, b"bound").is_err(), "{place}");
    }

    let session = session(&config("root").module);
    let label = |label: &str| Attribute::Label(label.as_bytes().to_vec());
    let found = session.find_objects(&[label("root")]).unwrap();
    assert_eq!(found.len(), 1);
    let key = found[0];
    let asked = [
        AttributeType::Class,
        AttributeType::Token,
        AttributeType::Private,
        AttributeType::Sensitive,
        AttributeType::AlwaysSensitive,
        AttributeType::Extractable,
        AttributeType::NeverExtractable,
        AttributeType::ValueLen,
    ];
    let told = session.get_attributes(key, &asked).unwrap();
    for wanted in [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::AlwaysSensitive(true),
        Attribute::Extractable(false),
        Attribute::NeverExtractable(true),
        Attribute::ValueLen(32.into()),
    ] {
        assert!(told.contains(&wanted), "{wanted:?}: {told:?}");
    }
    // Not by asking, not by asking for it to be told, not wrapped by another key.
    let value = session.get_attributes(key, &[AttributeType::Value]);
    assert!(value.is_err() || value.unwrap().is_empty(), "the token told the key");
    assert!(session.update_attributes(key, &[Attribute::Extractable(true)]).is_err());
    assert!(session.update_attributes(key, &[Attribute::Sensitive(false)]).is_err());
    let wrapping = |name: &str, extractable: bool| {
        let template = [
            Attribute::Token(true),
            Attribute::Sensitive(!extractable),
            Attribute::Extractable(extractable),
            Attribute::Encrypt(true),
            Attribute::Wrap(true),
            Attribute::KeyType(KeyType::AES),
            Attribute::ValueLen(32.into()),
            label(name),
        ];
        session.generate_key(&Mechanism::AesKeyGen, &template).unwrap()
    };
    let thief = wrapping("thief", false);
    let stolen = session.wrap_key(&Mechanism::AesKeyWrap, thief, key);
    assert!(stolen.is_err(), "the key was wrapped by another");
    // That this would have worked with a key that may leave:
    let leaky = wrapping("leaky", true);
    assert!(session.wrap_key(&Mechanism::AesKeyWrap, thief, leaky).is_ok());
    assert!(!session.get_attributes(leaky, &[AttributeType::Value]).unwrap().is_empty());
    let refused = Pkcs11Root::open(config("leaky"), true).err().unwrap();
    assert!(refused.to_string().contains("can be read out"), "{refused}");
}
