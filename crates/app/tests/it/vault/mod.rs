//! `baton vault` as a real process: what it shows, what it refuses, and that it may be killed at any moment.

mod kill;
mod token;

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use baton_store::OpenOptions;
use baton_types::{Id, Secret, Timestamp};
use baton_vault::{FileRoot, SealedKind, Tenant, Vault};
use serde_json::{Value, json};

use crate::support::{Place, said};

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
}

const fn tenant() -> Tenant {
    Tenant { merchant: Id::from_bytes([7; 16]), sandbox: true }
}

/// The place's vault, opened by this process beside the command, as a server would.
async fn beside(place: &Place) -> Vault {
    let own = format!("sqlite:{}", place.data().join("vault.db").display());
    let url = place.database_url.clone().unwrap_or(own);
    let store = baton_store::open_vault(&url, OpenOptions::default()).await.unwrap();
    let root = FileRoot::open(&place.data().join("vault-root.key")).unwrap();
    Vault::open(store, Arc::new(root), now()).await.unwrap()
}

async fn tokens(vault: &Vault, count: usize) -> Vec<(String, String)> {
    let mut made = Vec::new();
    for n in 0..count {
        let payload = format!("payload {n}");
        let token = vault.tokenize(tenant(), &Secret::new(payload.clone()), now()).await.unwrap();
        made.push((token.text, payload));
    }
    made
}

async fn all_open(vault: &Vault, made: &[(String, String)]) {
    for (token, payload) in made {
        let found = vault.reveal(tenant(), token, now()).await;
        let found = found.unwrap_or_else(|error| panic!("{payload}: {error}"));
        assert_eq!(found.unwrap_or_else(|| panic!("{payload} is lost")).payload.expose(), payload);
    }
}

fn states(status: &Value, purpose: &str) -> Vec<String> {
    let keys = status["keys"].as_array().unwrap();
    let of_purpose = keys.iter().filter(|key| key["purpose"] == purpose);
    of_purpose.map(|key| key["state"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn keys_are_shown_replaced_and_retired_beside_another_process() {
    let place = Place::new();
    let migrated = place.run(&["migrate"]);
    assert!(migrated.status.success());
    let warned = said(&migrated);
    assert!(warned.contains("WARNING: the vault's root key was made just now, in "), "{warned}");
    assert!(warned.contains("vault, sqlite"), "{warned}");
    assert!(!said(&place.run(&["migrate"])).contains("WARNING"), "once only");
    let file = place.data().join("vault-root.key");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    let server = beside(&place).await;
    let made = tokens(&server, 30).await;
    let kind = SealedKind::AccountCredentials;
    let credentials = Secret::new("hush-hush".to_owned());
    server.put(tenant(), kind, "mca_1", &credentials, now()).await.unwrap();

    let status = place.json(&["vault", "status", "--json"]);
    assert_eq!(status["backend"], "sqlite");
    assert_eq!(
        (states(&status, "data"), &status["to_reencrypt"]),
        (vec!["current".into()], &json!(0))
    );
    let root = status["root_keys"][0].as_str().unwrap().to_owned();

    let rotated = place.json(&["vault", "rotate", "--data-key", "--json"]);
    assert_eq!(rotated, json!({ "rotated": "data_key", "version": 2 }));
    let rotated = place.json(&["vault", "rotate", "--fingerprint-key", "--json"]);
    assert_eq!(rotated, json!({ "rotated": "fingerprint_key", "version": 2 }));
    let rotated = place.json(&["vault", "rotate", "--root", "--json"]);
    assert_ne!(rotated["root_key"], root.as_str());
    let status = place.json(&["vault", "status", "--json"]);
    assert_eq!(status["to_reencrypt"], 31);
    assert_eq!(states(&status, "data"), ["old", "current"]);
    assert_eq!(status["root_keys"], json!([rotated["root_key"]]));
    let text = said(&place.run(&["vault", "status"]));
    assert!(text.contains("31 records are under old keys"), "{text}");
    assert!(text.contains("account_credentials"), "{text}");
    let doctor = said(&place.run(&["doctor"]));
    assert!(doctor.contains("31 records are under old keys"), "{doctor}");

    let run = place.run(&["vault", "reencrypt", "--batch", "10"]);
    assert!(run.status.success(), "{}", said(&run));
    let text = said(&run);
    assert!(text.contains("31 of 31 records") && text.contains("data key 1 is retired"), "{text}");
    let again = place.json(&["vault", "reencrypt", "--json"]);
    assert_eq!(again, json!({ "reencrypted": 0, "damaged": 0, "retired": [], "kept": [] }));
    let status = place.json(&["vault", "status", "--json"]);
    assert_eq!(states(&status, "data"), ["retired", "current"]);
    assert_eq!(states(&status, "fingerprint"), ["retired", "current"]);

    // The other process has noticed nothing and goes on.
    all_open(&server, &made).await;
    let more = tokens(&server, 3).await;
    all_open(&beside(&place).await, &more).await;
    let found = server.get(tenant(), kind, "mca_1").await.unwrap().unwrap();
    assert_eq!(found.expose(), "hush-hush");
    assert!(!text.contains("hush-hush"));
}

#[tokio::test]
async fn what_changes_keys_is_in_the_audit_log_before_it_begins_and_after() {
    let place = Place::new();
    place.json(&["migrate", "--json"]);
    let entries = || -> Vec<Value> {
        let listed = place.json(&["audit", "list", "--json"]);
        let mut entries = listed["data"].as_array().unwrap().clone();
        entries.reverse();
        entries
    };
    for (command, action, subject) in [
        (&["vault", "rotate", "--data-key"][..], "vault_key_rotated", "data"),
        (&["vault", "rotate", "--fingerprint-key"], "vault_key_rotated", "fingerprint"),
        (&["vault", "rotate", "--root"], "vault_root_rotated", "root"),
        (&["vault", "reencrypt"], "vault_reencrypted", "records"),
    ] {
        let before = entries().len();
        let done = place.json(&[command, &["--json"]].concat());
        let new = entries().split_off(before);
        let phases: Vec<&Value> = new.iter().map(|entry| &entry["detail"]["phase"]).collect();
        assert_eq!(phases, ["begun", "done"], "{new:?}");
        for entry in &new {
            assert_eq!((&entry["action"], &entry["subject"]), (&json!(action), &json!(subject)));
            assert!(entry["actor"].as_str().unwrap().starts_with("command-line:"), "{entry}");
        }
        for (name, value) in new[1]["detail"]["result"].as_object().unwrap() {
            assert_eq!(*value, done[name], "{command:?}");
        }
    }
    assert!(place.run(&["audit", "verify"]).status.success());

    // What cannot be told is not done.
    let before = place.json(&["vault", "status", "--json"])["keys"].clone();
    let raw = rusqlite::Connection::open(place.data().join("baton.db")).unwrap();
    raw.execute_batch(
        "create trigger refused before insert on audit begin select raise(abort, 'full'); end",
    )
    .unwrap();
    let output = place.run(&["vault", "rotate", "--data-key"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("the audit log cannot be written"), "{}", said(&output));
    assert_eq!(place.json(&["vault", "status", "--json"])["keys"], before);
}

#[tokio::test]
async fn what_cannot_be_done_is_said() {
    let place = Place::new();
    for command in
        [&["vault", "status"][..], &["vault", "reencrypt"], &["vault", "rotate", "--root"]]
    {
        let output = place.run(command);
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        assert!(!place.data().join("vault-root.key").exists(), "no key is made by {command:?}");
    }
    for flags in [&[][..], &["--data-key", "--root"]] {
        let output = place.run(&[&["vault", "rotate"], flags].concat());
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    }
    place.json(&["migrate", "--json"]);
    let file = place.data().join("vault-root.key");
    let set_mode = |mode| {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set_mode(0o644);
    for command in [&["vault", "status"][..], &["migrate"], &["doctor"]] {
        let output = place.run(command);
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        assert!(said(&output).contains("chmod 600"), "{}", said(&output));
    }
    set_mode(0o600);
    assert!(place.run(&["doctor"]).status.success());

    // Another root key, and none.
    std::fs::rename(&file, place.path("kept")).unwrap();
    for command in [&["migrate"][..], &["vault", "status"], &["doctor"]] {
        let output = place.run(command);
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        assert!(said(&output).contains("vault-root.key cannot be read"), "{}", said(&output));
        assert!(!file.exists(), "a new key would open nothing");
    }
    let other = Place::new();
    other.json(&["migrate", "--json"]);
    std::fs::copy(other.data().join("vault-root.key"), &file).unwrap();
    let output = place.run(&["vault", "status"]);
    assert!(said(&output).contains("restore the one that belongs"), "{}", said(&output));
    std::fs::rename(place.path("kept"), &file).unwrap();
    assert!(place.run(&["vault", "status"]).status.success());
}

#[tokio::test]
async fn the_vault_may_have_a_database_and_a_key_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (database, file) = (folder.path().join("cards.db"), folder.path().join("cards.key"));
    let place = Place::new()
        .with("BATON_VAULT__DATABASE_URL", &format!("sqlite:{}", database.display()))
        .with("BATON_VAULT__ROOT_KEY_FILE", file.to_str().unwrap());
    place.json(&["migrate", "--json"]);
    assert!(database.exists() && file.exists());
    assert!(!place.data().join("vault.db").exists());
    assert!(place.run(&["vault", "status"]).status.success());
    std::fs::write(place.path("bad.toml"), "[vault]\nroot_key = \"x\"").unwrap();
    let output = place.run(&["vault", "status", "--config", "bad.toml"]);
    assert!(said(&output).contains("did you mean root_key_file?"), "{}", said(&output));
}

#[test]
fn the_bench_measures() {
    let place = Place::new();
    let told = place.json(&["bench", "vault", "--seconds", "1", "--json"]);
    let memory = told["memory_one_core"].as_array().unwrap();
    assert_eq!(memory.len(), 4);
    assert!(memory.iter().all(|row| row["per_second"].as_u64().unwrap() > 10), "{told}");
    let durable = told["durable_tokenize"].as_array().unwrap();
    assert!(durable.iter().all(|row| row["p50_us"].as_u64().unwrap() > 0), "{told}");
    assert!(!place.data().exists(), "it leaves nothing behind");
}
