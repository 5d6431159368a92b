//! Replacing keys, while others go on.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use baton_store::VaultPurpose;
use baton_vault::{
    FileRoot, KeyState, Limits, Progress, RootKey as _, SealedKind, Token, Vault, VaultError,
};

use crate::support::*;

async fn fill(vault: &Vault, count: usize) -> Vec<(Token, String)> {
    let mut made = Vec::new();
    for n in 0..count {
        let payload = format!("payload {n}");
        made.push((vault.tokenize(tenant(1), &secret(&payload), at(0)).await.unwrap(), payload));
    }
    made
}

pub async fn all_open(vault: &Vault, made: &[(Token, String)]) {
    for (token, payload) in made {
        let found = vault.reveal(tenant(1), &token.text, at(1)).await.unwrap().unwrap();
        assert_eq!(found.payload.expose(), payload);
    }
}

#[tokio::test]
async fn a_data_key_is_replaced_emptied_and_destroyed() {
    for place in everywhere("replacing a data key").await {
        let vault = place.vault().await;
        let made = fill(&vault, 23).await;
        let kind = SealedKind::InlineCredentials;
        vault.put(tenant(1), kind, "pay_1", &secret("inline"), at(0)).await.unwrap();
        let cvv = vault.tokenize(tenant(1), &secret("123"), at(0)).await.unwrap();
        assert_eq!(vault.rotate_data_key(at(5)).await, Ok(2));
        let newer = fill(&vault, 2).await;
        let status = vault.status().await.unwrap();
        assert_eq!(status.stale, 24);
        let shown = |purpose, version| {
            let found =
                |key: &&baton_vault::KeyStatus| (key.purpose, key.version) == (purpose, version);
            status.keys.iter().find(found).map(|key| (key.state, key.records)).unwrap()
        };
        assert_eq!(shown(VaultPurpose::Data, 1), (KeyState::Old, 24));
        assert_eq!(shown(VaultPurpose::Data, 2), (KeyState::Current, 2));
        assert_eq!(shown(VaultPurpose::Fingerprint, 1), (KeyState::Current, 25));

        let mut seen = Vec::new();
        let done = vault.reencrypt(10, at(6), &mut |progress| seen.push(progress)).await.unwrap();
        assert_eq!((done.resealed, done.damaged), (24, 0));
        assert_eq!((done.retired, done.kept), (vec![(VaultPurpose::Data, 1)], vec![]));
        let steps = [(0, 24), (10, 24), (20, 24), (24, 24)];
        assert_eq!(seen, steps.map(|(done, total)| Progress { done, total }));

        let rows = place.store.keys().await.unwrap();
        let old = rows.iter().find(|row| (row.purpose, row.version) == (VaultPurpose::Data, 1));
        let old = old.unwrap();
        assert_eq!((&old.wrapped, &old.root, old.retired_at), (&None, &None, Some(at(6))));
        for vault in [vault.clone(), place.other_process().await] {
            all_open(&vault, &made).await;
            all_open(&vault, &newer).await;
            let found = vault.get(tenant(1), kind, "pay_1").await.unwrap().unwrap();
            assert_eq!(found.expose(), "inline");
        }
        let found = vault.reveal(tenant(1), &cvv.text, at(1)).await.unwrap().unwrap();
        assert_eq!(found.payload.expose(), "123");
        let again = vault.reencrypt(10, at(7), &mut |_| {}).await.unwrap();
        assert_eq!((again.resealed, again.retired), (0, vec![]));
    }
}

#[tokio::test]
async fn a_fingerprint_key_is_replaced_and_duplicates_are_found_again() {
    for place in everywhere("replacing a fingerprint key").await {
        let vault = place.vault().await;
        for _ in 0..3 {
            vault.tokenize(tenant(1), &secret(PAN), at(0)).await.unwrap();
        }
        let before = vault.fingerprint(tenant(1), PAN);
        assert_eq!(vault.rotate_fingerprint_key(at(1)).await, Ok(2));
        assert_ne!(vault.fingerprint(tenant(1), PAN), before);
        assert_eq!(vault.copies(tenant(1), &secret(PAN)).await, Ok(0));
        let done = vault.reencrypt(2, at(2), &mut |_| {}).await.unwrap();
        assert_eq!((done.resealed, done.retired), (3, vec![(VaultPurpose::Fingerprint, 1)]));
        assert_eq!(vault.copies(tenant(1), &secret(PAN)).await, Ok(3));
        let counts = place.store.counts().await.unwrap();
        assert!(counts.iter().all(|count| count.fingerprint_version == Some(2)), "{counts:?}");
    }
}

#[tokio::test]
async fn a_root_key_is_replaced_and_the_old_one_opens_nothing() {
    for place in everywhere("replacing the root key").await {
        let vault = place.vault().await;
        let made = fill(&vault, 3).await;
        vault.rotate_data_key(at(0)).await.unwrap();
        let old_file = place.folder.path().join("old.key");
        std::fs::copy(place.key_file(), &old_file).unwrap();
        let other = place.other_process().await;
        let before = place.root().id();
        let after = vault.rotate_root(at(1)).await.unwrap();
        assert_ne!(before, after);
        assert_eq!(place.root().ids(), [after.as_str()]);
        assert_eq!(place.store.roots().await.unwrap(), [after.as_str()]);
        let rows = place.store.keys().await.unwrap();
        assert!(rows.iter().all(|row| row.root.as_deref() == Some(after.as_str())));
        for vault in [&vault, &other, &place.other_process().await] {
            all_open(vault, &made).await;
        }
        let old = Arc::new(FileRoot::open(&old_file).unwrap());
        let opened = Vault::open(Arc::clone(&place.store), old, at(0)).await.err();
        assert!(matches!(opened, Some(VaultError::Root(_))), "{opened:?}");

        // A process that knew the old one only makes its next key under the new one.
        assert_eq!(other.rotate_data_key(at(2)).await, Ok(3));
        let rows = place.store.keys().await.unwrap();
        assert!(rows.iter().all(|row| row.root.as_deref() == Some(after.as_str())));
        let newest = other.tokenize(tenant(1), &secret("newest"), at(0)).await.unwrap();
        all_open(&vault, &[(newest, "newest".to_owned())]).await;
    }
}

#[tokio::test]
async fn a_key_under_a_root_that_another_process_has_taken_away_is_never_written() {
    for place in everywhere("a root that is gone").await {
        let rotating = place.vault().await;
        // Its file is a copy that nobody updates, as on another machine.
        let copy = place.folder.path().join("copy.key");
        std::fs::copy(place.key_file(), &copy).unwrap();
        let root = Arc::new(FileRoot::open(&copy).unwrap());
        let stranded = Vault::open(Arc::clone(&place.store), root, at(0)).await.unwrap();
        let made = fill(&rotating, 2).await;
        rotating.rotate_root(at(0)).await.unwrap();
        let refused = stranded.rotate_data_key(at(0)).await.unwrap_err();
        assert!(matches!(refused, VaultError::Root(_)), "{refused}");
        // What it has in its memory it can go on using.
        all_open(&stranded, &made).await;
        let more = stranded.tokenize(tenant(1), &secret("more"), at(1 << 30)).await.unwrap();
        all_open(&rotating, &[(more, "more".to_owned())]).await;
    }
}

#[tokio::test]
async fn a_process_that_has_not_heard_of_a_retired_key_seals_under_the_next() {
    for place in everywhere("a key that is gone").await {
        let rotating = place.vault().await;
        // Its clock stands still, so that it does not look by itself.
        let stale = place.other_process().await;
        let kind = SealedKind::AccountCredentials;
        stale.put(tenant(1), kind, "mca_1", &secret("before"), at(0)).await.unwrap();
        let mut made = fill(&stale, 3).await;
        for version in 2..4 {
            assert_eq!(rotating.rotate_data_key(at(0)).await, Ok(version));
            let done = rotating.reencrypt(2, at(0), &mut |_| {}).await.unwrap();
            assert_eq!(done.retired, [(VaultPurpose::Data, version - 1)]);
            made.extend(fill(&stale, 3).await);
            let value = format!("after {version}");
            stale.put(tenant(1), kind, "mca_1", &secret(&value), at(0)).await.unwrap();
            for vault in [&rotating, &stale] {
                all_open(vault, &made).await;
                let found = vault.get(tenant(1), kind, "mca_1").await.unwrap().unwrap();
                assert_eq!(found.expose(), value);
            }
        }
    }
}

#[tokio::test]
async fn a_data_key_that_was_used_often_is_replaced_by_itself() {
    for place in everywhere("counting uses").await {
        let vault = place.vault_with(Limits { rotate_after: 50, block: 10 }).await;
        let other = place.vault_with(Limits { rotate_after: 50, block: 10 }).await;
        let mut made = fill(&vault, 60).await;
        made.extend(fill(&other, 60).await);
        let rows = place.store.keys().await.unwrap();
        let data: Vec<_> = rows.iter().filter(|row| row.purpose == VaultPurpose::Data).collect();
        assert!(data.len() >= 3, "{data:?}");
        assert!(data.iter().all(|row| row.uses <= 60), "{data:?}");
        let counts = place.store.counts().await.unwrap();
        for row in &data {
            let under = counts.iter().filter(|count| count.key_version == Some(row.version));
            assert!(under.map(|count| count.records).sum::<u64>() <= row.uses, "{row:?}");
        }
        all_open(&vault, &made).await;
        all_open(&other, &made).await;
    }
}

/// A process that looks for new keys now and then, and in between seals under keys that are being retired.
async fn work(vault: Vault, stop: Arc<AtomicBool>, who: usize) -> Work {
    let mut done = Work::default();
    let kind = SealedKind::AccountCredentials;
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let payload = format!("{who} {n}");
        let now = at(i64::try_from(n).unwrap() * 200);
        let token = vault.tokenize(tenant(1), &secret(&payload), now).await.unwrap();
        done.tokens.push((token, payload.clone()));
        let name = format!("{who} {}", n % 7);
        if n % 5 == 4 {
            vault.remove(tenant(1), kind, &name).await.unwrap();
            done.secrets.insert(name, None);
        } else {
            vault.put(tenant(1), kind, &name, &secret(&payload), now).await.unwrap();
            done.secrets.insert(name, Some(payload));
        }
        if n % 3 == 2 {
            let (token, _) = done.tokens.swap_remove(n / 3 % done.tokens.len());
            assert!(vault.delete(tenant(1), &token.text).await.unwrap());
            done.deleted.push(token);
        }
        let (token, payload) = &done.tokens[n * 7 % done.tokens.len()];
        let found = vault.reveal(tenant(1), &token.text, at(0)).await.unwrap().unwrap();
        assert_eq!(found.payload.expose(), payload);
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    done
}

#[derive(Default)]
struct Work {
    tokens: Vec<(Token, String)>,
    deleted: Vec<Token>,
    secrets: HashMap<String, Option<String>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn keys_are_replaced_and_retired_while_others_read_and_write() {
    for place in everywhere("rotation under load").await {
        let stop = Arc::new(AtomicBool::new(false));
        let mut workers = Vec::new();
        for who in 0..3 {
            let vault = place.other_process().await;
            workers.push(tokio::spawn(work(vault, Arc::clone(&stop), who)));
        }
        let vault = place.vault().await;
        let mut retired = 0;
        for round in 0..4 {
            tokio::time::sleep(std::time::Duration::from_millis(150)).await;
            vault.rotate_data_key(at(round)).await.unwrap();
            if round % 2 == 0 {
                vault.rotate_fingerprint_key(at(round)).await.unwrap();
            }
            if round == 1 {
                vault.rotate_root(at(round)).await.unwrap();
            }
            let done = vault.reencrypt(20, at(round), &mut |_| {}).await.unwrap();
            assert_eq!(done.damaged, 0);
            retired += done.retired.len();
        }
        stop.store(true, Ordering::Relaxed);
        let kind = SealedKind::AccountCredentials;
        for worker in workers {
            let done = worker.await.unwrap();
            assert!(done.tokens.len() > 5 && !done.deleted.is_empty());
            let fresh = place.other_process().await;
            all_open(&fresh, &done.tokens).await;
            for token in &done.deleted {
                assert_eq!(fresh.meta(tenant(1), &token.text, at(0)).await, Ok(None));
            }
            for (name, value) in &done.secrets {
                let found = fresh.get(tenant(1), kind, name).await.unwrap();
                let found = found.map(|value| value.expose().to_owned());
                assert_eq!(found, *value, "{name}");
            }
        }
        assert!(retired > 2, "{retired} keys were retired under load");
        let done = vault.reencrypt(100, at(9), &mut |_| {}).await.unwrap();
        assert_eq!((done.kept, done.damaged), (vec![], 0));
        let counts = place.store.counts().await.unwrap();
        let keys = place.store.keys().await.unwrap();
        let live = keys.iter().filter(|row| row.retired_at.is_none()).count();
        assert_eq!(live, 2, "one of each purpose: {keys:?}");
        assert!(counts.iter().all(|count| count.key_version == Some(5)), "{counts:?}");
    }
}

#[tokio::test]
async fn a_record_that_does_not_open_keeps_its_key_and_is_reported() {
    let place = sqlite().await;
    let vault = place.vault().await;
    let made = fill(&vault, 5).await;
    let mut row = place.store.stale(99, 99, &[], 1).await.unwrap().remove(0);
    let whole = row.clone();
    row.sealed[30] ^= 1;
    place.store.commit(vec![baton_store::VaultWrite::Put(row)]).await.unwrap();
    vault.rotate_data_key(at(0)).await.unwrap();
    let done = vault.reencrypt(2, at(1), &mut |_| {}).await.unwrap();
    assert_eq!((done.resealed, done.damaged), (4, 1));
    assert_eq!((done.retired, done.kept), (vec![], vec![(VaultPurpose::Data, 1)]));
    // Repaired from a backup it is carried over.
    place.store.commit(vec![baton_store::VaultWrite::Put(whole)]).await.unwrap();
    let done = vault.reencrypt(2, at(1), &mut |_| {}).await.unwrap();
    assert_eq!((done.resealed, done.damaged, done.kept), (1, 0, vec![]));
    all_open(&vault, &made).await;
}
