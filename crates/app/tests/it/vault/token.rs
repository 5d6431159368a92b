//! The root key in a PKCS#11 token, through the configuration, on SoftHSM2.

use std::path::Path;
use std::process::Command;

use crate::support::{Place, said};

const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];

#[test]
fn the_root_key_may_live_in_a_token() {
    let Some(module) = MODULES.into_iter().find(|path| Path::new(path).exists()) else {
        eprintln!("SKIPPED 1 the vault's commands with a token: SoftHSM2 is not installed");
        return;
    };
    let place = Place::new();
    std::fs::create_dir(place.path("tokens")).unwrap();
    let settings = place.path("softhsm2.conf");
    let folder = place.path("tokens");
    std::fs::write(&settings, format!("directories.tokendir = {}\n", folder.display())).unwrap();
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "baton", "--pin", "0042"])
        .args(["--so-pin", "00815"])
        .env("SOFTHSM2_CONF", &settings)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", said(&made));
    let config = format!(
        "[vault.pkcs11]\nmodule = \"{module}\"\ntoken = \"baton\"\nkey = \"baton-vault\"\n"
    );
    std::fs::write(place.path("baton.toml"), config).unwrap();
    let place = place.with("SOFTHSM2_CONF", settings.to_str().unwrap());

    let output = place.run(&["migrate"]);
    assert!(said(&output).contains("vault.pkcs11.pin is missing"), "{}", said(&output));
    let place = place.with("BATON_VAULT__PKCS11__PIN", "0042");
    let output = place.run(&["migrate"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("root key was made just now in the token baton"));
    assert!(!place.data().join("vault-root.key").exists());
    let before = place.json(&["vault", "status", "--json"]);
    assert!(before["root_keys"][0].as_str().unwrap().starts_with("pkcs11-00000001"), "{before}");

    let after = place.json(&["vault", "rotate", "--root", "--json"]);
    assert!(after["root_key"].as_str().unwrap().starts_with("pkcs11-00000002"), "{after}");
    let status = place.json(&["vault", "status", "--json"]);
    assert_eq!(status["root_keys"], serde_json::json!([after["root_key"]]));
    assert!(said(&place.run(&["doctor"])).contains("vault root key: in a PKCS#11 token"));

    // Without its settings the token is not there, and no other key is made.
    let place = place.with("SOFTHSM2_CONF", "/dev/null");
    let output = place.run(&["migrate"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
}
