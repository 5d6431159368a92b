//! What a token and a secret promise.

use std::sync::Arc;

use baton_vault::{SealedKind, TokenKind, VaultError};
use futures_util::future::join_all;

use crate::support::*;

const MINUTE: i64 = 60_000;

#[tokio::test]
async fn a_payload_comes_back_for_its_tenant_only_until_it_is_deleted() {
    for place in everywhere("a payload").await {
        let vault = place.vault().await;
        for payload in [PAN, "12", "12345", "१२३", " 123", "12a", "", &"ü".repeat(16_384)] {
            let token = vault.tokenize(tenant(1), &secret(payload), at(5)).await.unwrap();
            assert_eq!((token.kind, token.created_at), (TokenKind::Payload, at(5)), "{payload}");
            for _ in 0..2 {
                let found = vault.reveal(tenant(1), &token.text, at(9)).await.unwrap().unwrap();
                assert_eq!(found.payload.expose(), payload);
                assert_eq!((found.kind, found.created_at), (token.kind, at(5)));
            }
            assert_eq!(vault.meta(tenant(1), &token.text, at(9)).await, Ok(Some(token.clone())));
            let mut sandbox = tenant(1);
            sandbox.sandbox = true;
            for other in [tenant(2), sandbox] {
                assert!(vault.reveal(other, &token.text, at(9)).await.unwrap().is_none());
                assert_eq!(vault.meta(other, &token.text, at(9)).await, Ok(None));
                assert_eq!(vault.delete(other, &token.text).await, Ok(false));
            }
            assert_eq!(vault.delete(tenant(1), &token.text).await, Ok(true));
            assert_eq!(vault.delete(tenant(1), &token.text).await, Ok(false));
            assert!(vault.reveal(tenant(1), &token.text, at(9)).await.unwrap().is_none());
        }
        for nonsense in ["", PAN, "no-token", &"x".repeat(32)] {
            assert!(vault.reveal(tenant(1), nonsense, at(9)).await.unwrap().is_none());
            assert_eq!(vault.delete(tenant(1), nonsense).await, Ok(false));
        }
        vault.ping().await.unwrap();
    }
}

#[tokio::test]
async fn a_cvv_is_used_once_and_within_fifteen_minutes() {
    for place in everywhere("a CVV").await {
        let vault = place.vault().await;
        for digits in ["123", "0000"] {
            let token = vault.tokenize(tenant(1), &secret(digits), at(0)).await.unwrap();
            assert_eq!(token.kind, TokenKind::Cvv);
            assert_eq!(
                vault.meta(tenant(1), &token.text, at(1)).await.unwrap(),
                Some(token.clone())
            );
            // Whoever may not have it does not use it up.
            assert!(vault.reveal(tenant(2), &token.text, at(1)).await.unwrap().is_none());
            let last = at(15 * MINUTE - 1);
            let found = vault.reveal(tenant(1), &token.text, last).await.unwrap().unwrap();
            assert_eq!((found.payload.expose(), found.kind), (digits, TokenKind::Cvv));
            assert!(vault.reveal(tenant(1), &token.text, at(1)).await.unwrap().is_none());
            assert_eq!(vault.meta(tenant(1), &token.text, at(1)).await, Ok(None));
        }
        let late = vault.tokenize(tenant(1), &secret("123"), at(0)).await.unwrap();
        let unused = vault.tokenize(tenant(1), &secret("123"), at(1)).await.unwrap();
        assert!(vault.reveal(tenant(1), &late.text, at(15 * MINUTE)).await.unwrap().is_none());
        assert_eq!(vault.meta(tenant(1), &late.text, at(15 * MINUTE)).await, Ok(None));
        assert_eq!(vault.sweep(at(15 * MINUTE - 1), 100).await, Ok(0));
        assert_eq!(vault.sweep(at(15 * MINUTE), 100).await, Ok(1));
        assert_eq!(vault.sweep(at(15 * MINUTE + 1), 100).await, Ok(1));
        assert!(vault.reveal(tenant(1), &unused.text, at(2)).await.unwrap().is_none());
        let kept = vault.tokenize(tenant(1), &secret(PAN), at(0)).await.unwrap();
        assert_eq!(vault.sweep(at(i64::MAX), 100).await, Ok(0));
        assert!(vault.reveal(tenant(1), &kept.text, at(0)).await.unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_use_a_cvv_at_once_one_gets_it() {
    for place in everywhere("one CVV").await {
        // Two processes.
        let vaults = [place.vault().await, place.vault().await];
        for _ in 0..10 {
            let token = vaults[0].tokenize(tenant(1), &secret("737"), at(0)).await.unwrap();
            let attempts = (0..16).map(|n| {
                let (vault, text) = (vaults[n % 2].clone(), token.text.clone());
                tokio::spawn(async move { vault.reveal(tenant(1), &text, at(1)).await.unwrap() })
            });
            let got = join_all(attempts).await.into_iter().filter_map(Result::unwrap);
            assert_eq!(
                got.map(|found| found.payload.expose().to_owned()).collect::<Vec<_>>(),
                ["737"]
            );
        }
    }
}

#[tokio::test]
async fn secrets_are_found_by_name_replaced_and_listed_by_age() {
    use SealedKind::{AccountCredentials, ClientCertificate, InlineCredentials};
    for place in everywhere("secrets").await {
        let vault = place.vault().await;
        let (one, two) = (tenant(1), tenant(2));
        for (who, kind, name, value, when) in [
            (one, AccountCredentials, "mca_1", "first", 30),
            (one, InlineCredentials, "mca_1", "inline", 20),
            (two, AccountCredentials, "mca_1", "other", 10),
            (one, ClientCertificate, "mca_1", "", 10),
            (one, AccountCredentials, "mca_2", "second", 40),
        ] {
            vault.put(who, kind, name, &secret(value), at(when)).await.unwrap();
        }
        let get = async |who, kind, name| {
            let found = vault.get(who, kind, name).await.unwrap();
            found.map(|value| value.expose().to_owned())
        };
        assert_eq!(get(one, AccountCredentials, "mca_1").await.as_deref(), Some("first"));
        assert_eq!(get(one, InlineCredentials, "mca_1").await.as_deref(), Some("inline"));
        assert_eq!(get(two, AccountCredentials, "mca_1").await.as_deref(), Some("other"));
        assert_eq!(get(one, ClientCertificate, "mca_1").await.as_deref(), Some(""));
        assert_eq!(get(two, ClientCertificate, "mca_1").await, None);
        vault.put(one, AccountCredentials, "mca_1", &secret("third"), at(50)).await.unwrap();
        assert_eq!(get(one, AccountCredentials, "mca_1").await.as_deref(), Some("third"));

        let listed = vault.list(AccountCredentials, at(50), 10).await.unwrap();
        let listed: Vec<_> = listed
            .iter()
            .map(|found| (found.tenant, found.id.as_str(), found.created_at))
            .collect();
        assert_eq!(listed, [(two, "mca_1", at(10)), (one, "mca_2", at(40))]);
        assert_eq!(vault.list(AccountCredentials, at(51), 1).await.unwrap().len(), 1);

        assert_eq!(vault.remove(one, AccountCredentials, "mca_1").await, Ok(true));
        assert_eq!(vault.remove(one, AccountCredentials, "mca_1").await, Ok(false));
        assert_eq!(get(one, AccountCredentials, "mca_1").await, None);
        assert_eq!(get(one, InlineCredentials, "mca_1").await.as_deref(), Some("inline"));
    }
}

#[tokio::test]
async fn equal_payloads_of_one_tenant_have_one_fingerprint() {
    for place in everywhere("fingerprints").await {
        let vault = place.vault().await;
        let print = vault.fingerprint(tenant(1), PAN);
        assert_eq!(print.len(), 64);
        assert!(print.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
        assert_eq!(print, place.vault().await.fingerprint(tenant(1), PAN));
        assert_ne!(print, vault.fingerprint(tenant(2), PAN));
        assert_ne!(print, vault.fingerprint(tenant(1), "4111111111111112"));
        for _ in 0..3 {
            vault.tokenize(tenant(1), &secret(PAN), at(0)).await.unwrap();
        }
        assert_eq!(vault.copies(tenant(1), &secret(PAN)).await, Ok(3));
        assert_eq!(vault.copies(tenant(2), &secret(PAN)).await, Ok(0));
    }
}

#[tokio::test]
async fn a_vault_opens_with_its_own_root_key_only() {
    for place in everywhere("the root key").await {
        let token = place.vault().await.tokenize(tenant(1), &secret(PAN), at(0)).await.unwrap();
        let other = memory().await;
        let refused =
            baton_vault::Vault::open(Arc::clone(&place.store), other.root(), at(0)).await.err();
        let Some(VaultError::Root(why)) = refused else { panic!("{refused:?}") };
        assert!(why.contains("restore"), "{why}");
        let again = place.vault().await;
        assert!(again.reveal(tenant(1), &token.text, at(0)).await.unwrap().is_some());
    }
}
