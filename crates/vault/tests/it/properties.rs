//! Whatever is put in comes out, for its tenant and for nobody else.

use baton_vault::{SealedKind, TokenKind, Vault};
use proptest::prelude::*;

use crate::support::*;

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn payloads() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,40}",
        "[0-9]{0,20}",
        proptest::collection::vec(any::<char>(), 0..200).prop_map(|c| c.into_iter().collect()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tokens_stand_for_what_they_were_made_from(
        payloads in proptest::collection::vec((payloads(), 1_u8..4), 1..8),
        order: u8,
    ) {
        run(async {
            let place = memory().await;
            let vault: Vault = place.vault().await;
            let mut made = Vec::new();
            for (payload, who) in &payloads {
                let token = vault.tokenize(tenant(*who), &secret(payload), at(0)).await.unwrap();
                let digits = payload.bytes().all(|b| b.is_ascii_digit());
                let cvv = digits && matches!(payload.len(), 3 | 4);
                assert_eq!(token.kind == TokenKind::Cvv, cvv, "{payload:?}");
                assert!(token.text.len() == 32 && token.text.bytes().all(|b| b.is_ascii_alphanumeric()));
                assert!(!format!("{token:?}").contains(&token.text));
                made.push((token, payload, *who));
                if order.is_multiple_of(3) {
                    vault.rotate_data_key(at(0)).await.unwrap();
                }
            }
            if order.is_multiple_of(2) {
                vault.reencrypt(u32::from(order % 5), at(0), &mut |_| {}).await.unwrap();
            }
            for (token, payload, who) in made {
                assert!(vault.reveal(tenant(who + 1), &token.text, at(1)).await.unwrap().is_none());
                let found = vault.reveal(tenant(who), &token.text, at(1)).await.unwrap().unwrap();
                assert_eq!(found.payload.expose(), payload);
                let again = vault.reveal(tenant(who), &token.text, at(1)).await.unwrap();
                assert_eq!(again.is_some(), token.kind == TokenKind::Payload);
            }
        });
    }

    #[test]
    fn the_last_secret_put_is_the_one_that_is_there(
        puts in proptest::collection::vec(("[ab]{1,2}", 0_usize..3, 1_u8..3, payloads(), any::<bool>()), 1..20),
    ) {
        run(async {
            let vault = memory().await.vault().await;
            let mut model = std::collections::HashMap::new();
            for (name, kind, who, value, remove) in puts {
                let kind = SealedKind::ALL[kind];
                let key = (name.clone(), kind, who);
                if remove {
                    let was = model.remove(&key).is_some();
                    assert_eq!(vault.remove(tenant(who), kind, &name).await, Ok(was));
                } else {
                    vault.put(tenant(who), kind, &name, &secret(&value), at(0)).await.unwrap();
                    model.insert(key, value);
                }
            }
            for ((name, kind, who), value) in &model {
                let found = vault.get(tenant(*who), *kind, name).await.unwrap().unwrap();
                assert_eq!(found.expose(), value);
            }
            let listed: usize = {
                let mut count = 0;
                for kind in SealedKind::ALL {
                    count += vault.list(kind, at(1), 100).await.unwrap().len();
                }
                count
            };
            assert_eq!(listed, model.len());
        });
    }
}
