//! The file of root keys: its rights, its contents, its loss.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use baton_vault::{FileRoot, RootKey};

use crate::support::*;

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_file_is_its_owners_alone_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.key");
    assert!(FileRoot::open(&path).is_err(), "nothing is made without being asked");
    let (root, made) = FileRoot::open_or_create(&path).unwrap();
    assert!(made);
    assert_eq!(mode(&path), 0o600);
    assert!(!FileRoot::open_or_create(&path).unwrap().1);
    root.add().unwrap();
    assert_eq!((mode(&path), root.ids().len()), (0o600, 2));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");

    for bits in [0o640, 0o604, 0o660, 0o620, 0o601] {
        fs::set_permissions(&path, Permissions::from_mode(bits)).unwrap();
        for refused in [FileRoot::open(&path).err(), FileRoot::open_or_create(&path).err()] {
            let why = refused.unwrap().to_string();
            assert!(why.contains("chmod 600"), "{bits:o}: {why}");
        }
        assert!(root.reload().is_err(), "{bits:o}");
    }
    for bits in [0o600, 0o400] {
        fs::set_permissions(&path, Permissions::from_mode(bits)).unwrap();
        assert!(FileRoot::open(&path).is_ok(), "{bits:o}");
    }
    assert!(FileRoot::open(folder.path()).is_err(), "a folder is no file");
}

#[test]
fn a_line_that_was_mangled_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.key");
    FileRoot::open_or_create(&path).unwrap();
    let whole = fs::read_to_string(&path).unwrap();
    let key = whole.lines().last().unwrap();
    assert!(whole.lines().take(3).all(|line| line.starts_with('#')), "{whole}");
    let other = if key.ends_with('0') { '1' } else { '0' };
    for damaged in [
        String::new(),
        "# nothing\n".to_owned(),
        key[..key.len() - 1].to_owned(),
        format!("{}{other}", &key[..key.len() - 1]),
        format!("{key}0"),
        key.replace("file-", "file-0"),
        format!("{key}\nnonsense\n"),
        key.split_once(' ').unwrap().1.to_owned(),
    ] {
        fs::write(&path, &damaged).unwrap();
        assert!(FileRoot::open(&path).is_err(), "{damaged}");
    }
    fs::write(&path, format!("\n  {key}  \n\n")).unwrap();
    assert!(FileRoot::open(&path).is_ok());
}

#[test]
fn keys_are_added_in_front_and_forgotten_but_for_the_current_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.key");
    let (root, _) = FileRoot::open_or_create(&path).unwrap();
    let first = root.id();
    let wrapped = root.wrap(&first, b"a data key", b"bound").unwrap();
    root.add().unwrap();
    let second = root.id();
    assert_eq!(root.ids(), [second.as_str(), &first]);
    assert!(root.forget(&second).is_err());
    assert!(root.forget("file-0000000000000000").is_ok());

    // Another process sees both, and what the first forgets is gone for it when it looks again.
    let other = FileRoot::open(&path).unwrap();
    assert_eq!(other.unwrap(&first, &wrapped, b"bound").unwrap().as_slice(), b"a data key");
    assert!(other.unwrap(&second, &wrapped, b"bound").is_err());
    assert!(other.unwrap(&first, &wrapped, b"elsewhere").is_err());
    for place in 0..wrapped.len() {
        let mut forged = wrapped.clone();
        forged[place] ^= 1;
        assert!(other.unwrap(&first, &forged, b"bound").is_err());
    }
    root.forget(&first).unwrap();
    other.reload().unwrap();
    assert_eq!(other.ids(), [second.as_str()]);
    assert!(other.unwrap(&first, &wrapped, b"bound").is_err());
    assert!(!fs::read_to_string(&path).unwrap().contains(&first));
}

#[test]
fn processes_that_start_or_change_it_at_once_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.key");
    let made = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let (root, made) = FileRoot::open_or_create(&path).unwrap();
                    root.add().unwrap();
                    made
                })
            })
            .collect();
        threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum::<usize>()
    });
    assert_eq!(made, 1);
    assert_eq!(FileRoot::open(&path).unwrap().ids().len(), 1 + 8);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
}

#[tokio::test]
async fn without_its_root_key_a_vault_says_so_and_with_it_it_opens() {
    let place = sqlite().await;
    let token = place.vault().await.tokenize(tenant(1), &secret(PAN), at(0)).await.unwrap();
    let kept = fs::read(place.key_file()).unwrap();
    fs::remove_file(place.key_file()).unwrap();
    let opened =
        baton_vault::Vault::open(place.store.clone(), place.root(), at(0)).await.err().unwrap();
    assert!(opened.to_string().contains("restore"), "{opened}");
    fs::write(place.key_file(), kept).unwrap();
    fs::set_permissions(place.key_file(), Permissions::from_mode(0o600)).unwrap();
    let found = place.vault().await.reveal(tenant(1), &token.text, at(0)).await.unwrap();
    assert_eq!(found.unwrap().payload.expose(), PAN);
}
