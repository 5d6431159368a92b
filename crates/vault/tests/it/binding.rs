//! Whoever can write to the database can destroy, but not move, swap, re-date or forge.

use baton_store::{VaultRecord, VaultWrite};
use baton_types::Id;
use baton_vault::{SealedKind, VaultError};

use crate::support::*;

/// All records of a place that are under a data key, by asking for those under others.
async fn records(place: &Place) -> Vec<VaultRecord> {
    place.store.stale(u32::MAX, u32::MAX, &[], 1000).await.unwrap()
}

async fn overwrite(place: &Place, row: VaultRecord) {
    place.store.commit(vec![VaultWrite::Put(row)]).await.unwrap();
}

#[tokio::test]
async fn a_record_opens_only_where_it_was_sealed() {
    let place = sqlite().await;
    let vault = place.vault().await;
    let token = vault.tokenize(tenant(1), &secret(PAN), at(7)).await.unwrap().text;
    let other = vault.tokenize(tenant(1), &secret("another"), at(7)).await.unwrap().text;
    let rows = records(&place).await;
    let mut opened = 0;
    for row in &rows {
        let swapped = rows.iter().find(|other| other.id != row.id).unwrap();
        let mut moved = Vec::new();
        let mut with = |change: fn(&mut VaultRecord)| {
            let mut row = row.clone();
            change(&mut row);
            moved.push(row);
        };
        with(|row| row.merchant = Id::from_bytes([2; 16]));
        with(|row| row.sandbox = true);
        with(|row| row.created_at = at(8));
        with(|row| row.expires_at = Some(at(1 << 40)));
        with(|row| row.key_version = Some(2));
        let mut foreign = row.clone();
        foreign.sealed.clone_from(&swapped.sealed);
        moved.push(foreign);
        vault.rotate_data_key(at(0)).await.unwrap();
        for changed in moved {
            overwrite(&place, changed.clone()).await;
            let mut whose = tenant(1);
            (whose.merchant, whose.sandbox) = (changed.merchant, changed.sandbox);
            for text in [&token, &other] {
                match vault.reveal(whose, text, at(9)).await {
                    Err(VaultError::Damaged(_)) | Ok(None) => {}
                    Ok(Some(found)) => {
                        // The record that was not touched.
                        assert_ne!(found.payload.expose(), "");
                        opened += 1;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            overwrite(&place, row.clone()).await;
        }
        // As it was it opens again.
        for (text, payload) in [(&token, PAN), (&other, "another")] {
            let found = vault.reveal(tenant(1), text, at(9)).await.unwrap().unwrap();
            assert_eq!(found.payload.expose(), payload);
        }
    }
    // Of two records one is touched at a time, and where tenant and times are those asked for the other opens.
    assert_eq!(opened, 2 * 4);
}

#[tokio::test]
async fn a_secret_opens_only_under_its_own_kind_and_name() {
    let place = sqlite().await;
    let vault = place.vault().await;
    let kind = SealedKind::AccountCredentials;
    vault.put(tenant(1), kind, "mca_1", &secret("one"), at(0)).await.unwrap();
    vault.put(tenant(1), kind, "mca_2", &secret("two"), at(0)).await.unwrap();
    let certificate = SealedKind::ClientCertificate;
    vault.put(tenant(1), certificate, "mca_1", &secret("three"), at(0)).await.unwrap();
    let rows = records(&place).await;
    let named = |kind: SealedKind, name: &str| {
        let found =
            |row: &&VaultRecord| row.kind == kind.as_str() && row.name.as_deref() == Some(name);
        rows.iter().find(found).unwrap().clone()
    };
    let target = named(kind, "mca_1");
    for source in [named(kind, "mca_2"), named(certificate, "mca_1")] {
        // Its bytes; and the whole row under the other's id.
        for changed in [
            VaultRecord { sealed: source.sealed.clone(), ..target.clone() },
            VaultRecord { id: target.id.clone(), ..source.clone() },
        ] {
            overwrite(&place, changed).await;
            let found = vault.get(tenant(1), kind, "mca_1").await;
            assert!(matches!(found, Err(VaultError::Damaged(_))), "{found:?}");
        }
    }
    overwrite(&place, target).await;
    assert_eq!(vault.get(tenant(1), kind, "mca_1").await.unwrap().unwrap().expose(), "one");
}

#[tokio::test]
async fn no_byte_of_a_record_can_be_changed_cut_or_added() {
    let place = memory().await;
    let vault = place.vault().await;
    let token = vault.tokenize(tenant(1), &secret(PAN), at(0)).await.unwrap().text;
    let row = records(&place).await.remove(0);
    let mut forgeries = Vec::new();
    for place in 0..row.sealed.len() {
        for bit in [1, 0x80] {
            let mut sealed = row.sealed.clone();
            sealed[place] ^= bit;
            forgeries.push(sealed);
        }
        forgeries.push(row.sealed[..place].to_vec());
    }
    forgeries.push([row.sealed.as_slice(), &[0]].concat());
    assert_eq!(forgeries.len(), 3 * (1 + 4 + 12 + 16 + 16) + 1);
    for sealed in forgeries {
        overwrite(&place, VaultRecord { sealed, ..row.clone() }).await;
        let found = vault.reveal(tenant(1), &token, at(0)).await;
        assert!(matches!(found, Err(VaultError::Damaged(_))), "{found:?}");
    }
    overwrite(&place, row).await;
    assert!(vault.reveal(tenant(1), &token, at(0)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_cvv_cannot_be_prolonged_or_moved_and_wrapped_keys_cannot_be_swapped() {
    let place = sqlite().await;
    let vault = place.vault().await;
    let id = |token: &str| {
        let hashed = [b"baton vault token 1".as_slice(), &32_u64.to_be_bytes(), token.as_bytes()];
        let digest = &aws_lc_rs::digest::SHA256;
        aws_lc_rs::digest::digest(digest, &hashed.concat()).as_ref().to_vec()
    };
    for change in [
        (|row: &mut VaultRecord| row.expires_at = Some(at(1 << 40))) as fn(&mut VaultRecord),
        |row| row.kind = "payload".into(),
        |row| row.merchant = Id::from_bytes([2; 16]),
        |row| row.sealed[20] ^= 1,
    ] {
        let token = vault.tokenize(tenant(1), &secret("123"), at(0)).await.unwrap().text;
        let mut row = place.store.record(&id(&token)).await.unwrap().unwrap();
        assert_eq!((row.key_version, row.fingerprint.clone()), (None, None));
        change(&mut row);
        overwrite(&place, row.clone()).await;
        let mut whose = tenant(1);
        whose.merchant = row.merchant;
        let found = vault.reveal(whose, &token, at(1)).await;
        assert!(matches!(found, Err(VaultError::Damaged(_))), "{found:?}");
    }

    // The fingerprint key's bytes in the place of the data key's.
    let keys = place.store.keys().await.unwrap();
    let (data, fingerprint) = (&keys[0], &keys[1]);
    let swap = VaultWrite::Rewrap {
        purpose: data.purpose,
        version: data.version,
        old: data.wrapped.clone().unwrap(),
        root: data.root.clone().unwrap(),
        wrapped: fingerprint.wrapped.clone().unwrap(),
    };
    place.store.commit(vec![swap]).await.unwrap();
    let opened = baton_vault::Vault::open(place.store.clone(), place.root(), at(0)).await.err();
    assert!(matches!(opened, Some(VaultError::Root(_))), "{opened:?}");
}
