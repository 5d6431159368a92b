//! The database's bytes hold no card number, no CVV, no token, no credential: not in clear, not in
//! hexadecimal, not in base64, and not as a plain hash.

use std::fmt::Write as _;
use std::path::Path;

use baton_vault::SealedKind;

use crate::support::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Base64 without padding, standard alphabet.
fn base64(bytes: &[u8]) -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let bits: Vec<u8> = bits.collect();
    let letter = |chunk: &[u8]| {
        let value = chunk.iter().fold(0, |value, bit| value << 1 | bit) << (6 - chunk.len());
        char::from(letters[usize::from(value)])
    };
    bits.chunks(6).map(letter).collect()
}

/// How a text may look in a file, wherever it begins in what is encoded.
fn forms(text: &str) -> Vec<Vec<u8>> {
    let bytes = text.as_bytes();
    let mut forms = vec![bytes.to_vec(), hex(bytes).into(), hex(bytes).to_uppercase().into()];
    let wide: Vec<u8> = bytes.iter().flat_map(|byte| [*byte, 0]).collect();
    forms.push(wide);
    for before in 0..3 {
        let padded = [vec![0; before], bytes.to_vec()].concat();
        let encoded = base64(&padded);
        // Letters that are made of the text alone.
        let (from, to) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
        forms.push(encoded[from..to].into());
    }
    forms
}

fn hashes(text: &str) -> Vec<Vec<u8>> {
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512, digest};
    let of = |algorithm| digest(algorithm, text.as_bytes()).as_ref().to_vec();
    let raw = [of(&SHA256), of(&SHA1_FOR_LEGACY_USE_ONLY), of(&SHA512)];
    raw.iter().flat_map(|hash| [hash.clone(), hex(hash).into(), base64(hash).into()]).collect()
}

fn found(folder: &Path, needle: &[u8]) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let hit = files.filter(|path| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(needle.len()).any(|window| window == needle)
    });
    hit.map(|path| path.display().to_string()).collect()
}

#[tokio::test]
async fn nothing_that_must_not_be_there_is_in_the_files() {
    let place = sqlite().await;
    let vault = place.vault().await;
    let mut secrets = vec!["73918264".to_owned()];
    let tokens = {
        let mut tokens = Vec::new();
        for payload in [PAN, "5555444433331111", "7391", "2846", "payload of another kind"] {
            tokens.push(vault.tokenize(tenant(1), &secret(payload), at(0)).await.unwrap().text);
            secrets.push(payload.to_owned());
        }
        tokens
    };
    let kind = SealedKind::AccountCredentials;
    vault.put(tenant(1), kind, "mca_1", &secret("sk_live_73918264"), at(0)).await.unwrap();
    // One is used, all are moved under other keys, one is deleted.
    assert!(vault.reveal(tenant(1), &tokens[2], at(0)).await.unwrap().is_some());
    vault.rotate_data_key(at(0)).await.unwrap();
    vault.reencrypt(2, at(0), &mut |_| {}).await.unwrap();
    assert!(vault.delete(tenant(1), &tokens[1]).await.unwrap());
    secrets.extend(tokens);

    let folder = place.folder.path();
    assert!(!found(folder, b"account_credentials").is_empty(), "the files are those of the vault");
    for text in &secrets {
        for form in forms(text).into_iter().chain(hashes(text)) {
            assert_eq!(found(folder, &form), [""; 0], "{text}");
        }
    }

    // The scan sees what it is to see.
    for (number, form) in forms("7391").into_iter().chain(hashes("7391")).enumerate() {
        let file = folder.join("planted");
        std::fs::write(&file, [b"noise".as_slice(), &form, b"noise"].concat()).unwrap();
        assert_eq!(found(folder, &form).len(), 1, "{number}");
    }
    let planted = base64(b"noise 4111111111111111 noise");
    std::fs::write(folder.join("planted"), planted).unwrap();
    assert!(forms(PAN).iter().any(|form| !found(folder, form).is_empty()));
}
