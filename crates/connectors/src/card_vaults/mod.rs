//! External card vaults, one file each. They are held against stand-ins that the sandbox has, written from the same
//! public documentation.

use std::sync::Arc;

use baton_connect::card_vault::CardVault;

mod basis_theory;
mod vgs;

/// Every vault of this build.
#[must_use]
pub fn all() -> Vec<Arc<dyn CardVault>> {
    vec![Arc::new(vgs::Vgs), Arc::new(basis_theory::BasisTheory)]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use baton_connect::card_vault::{BASIC, CardToKeep, VaultAnswer};
    use baton_connect::{Fill, FillError, Hole, HttpReply, Method};
    use baton_types::Expiry;

    use super::*;

    const NUMBER: &str = "4111111111111111";

    /// A number and credentials that can be recognised.
    struct Held(Option<&'static str>);

    impl Fill for Held {
        fn secret(&self, hole: &Hole) -> Option<&str> {
            match hole {
                Hole::CardNumber => self.0,
                Hole::Credential(name) if name == BASIC => Some("dXNlcjpwYXNz"),
                Hole::Credential(_) => Some("key_credential"),
                Hole::Cvv | Hole::AuthenticationValue => None,
            }
        }
    }

    fn card() -> CardToKeep {
        CardToKeep { expiry: Expiry::new(3, 2031).unwrap(), holder: Some("Ada".to_owned()) }
    }

    #[test]
    fn every_vault_says_what_it_needs_and_where_that_is_documented() {
        let names: Vec<_> = all().iter().map(|vault| vault.claims().name).collect();
        assert_eq!(names, ["vgs", "basis_theory"]);
        for vault in all() {
            let claims = vault.claims();
            assert!(!claims.documentation.is_empty(), "{}", claims.name);
            for live in [true, false] {
                let of_mode = |e: &&baton_connect::card_vault::VaultEnvironment| {
                    e.live.is_none_or(|is| is == live)
                };
                let place = claims.environments.iter().find(of_mode).unwrap();
                assert!(place.url.starts_with("https://"), "{}", place.url);
            }
            let named: HashSet<_> = claims.credentials.iter().map(|c| c.name).collect();
            assert_eq!(named.len(), claims.credentials.len());
            let (user, password) = claims.basic.unwrap_or(("api_key", "api_key"));
            assert!(named.contains(user) && named.contains(password));
        }
    }

    /// Templates are what may be written down: the number is only in what is filled, and never in an address.
    #[test]
    fn no_template_and_no_address_has_a_number_or_a_credential() {
        for vault in all() {
            let calls =
                [vault.store(&card(), "pm_1"), vault.retrieve("tok_1"), vault.delete("tok_1")];
            for (call, method) in calls.iter().zip([Method::Post, Method::Get, Method::Delete]) {
                assert_eq!(call.method, method);
                assert!(!call.moves_money);
                let template = serde_json::to_string(call).unwrap();
                assert!(!template.contains("4111") && !template.contains("key_credential"));
                let filled = call.fill(&Held(Some(NUMBER))).unwrap();
                let body = String::from_utf8(filled.body.to_vec()).unwrap();
                assert_eq!(body.matches(NUMBER).count(), usize::from(method == Method::Post));
                assert!(!filled.path.contains(NUMBER), "{}", filled.path);
                let shows =
                    |text: &str| text.contains("key_credential") || text.contains("dXNlcjpwYXNz");
                let authenticated = filled.headers.iter().any(|(_, value)| shows(value));
                assert!(authenticated, "{}", vault.claims().name);
            }
            let without = vault.store(&card(), "pm_1").fill(&Held(None)).err();
            assert_eq!(without, Some(FillError::Missing(Hole::CardNumber)));
            assert_eq!(vault.store(&card(), "pm_1"), vault.store(&card(), "pm_1"), "same bytes");
        }
    }

    /// Whatever comes back, it is read as done only where it is what the documentation shows.
    #[test]
    fn what_is_not_understood_is_never_done() {
        let reply = |status, body: &str| HttpReply {
            status,
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
        };
        let bodies =
            ["", "null", "{}", "[]", "{\"data\":", "{\"data\":[]}", "{\"data\":[{}]}", "<html>"];
        for vault in all() {
            for status in [200, 201, 204, 301, 400, 401, 404, 409, 422, 429, 500, 503] {
                for body in bodies {
                    let reply = reply(status, body);
                    assert!(!matches!(vault.read_stored(&reply), VaultAnswer::Done(_)));
                    assert!(!matches!(vault.read_retrieved(&reply), VaultAnswer::Done(_)));
                    let deleted = matches!(vault.read_deleted(&reply), VaultAnswer::Done(()));
                    assert_eq!(deleted, matches!(status, 200 | 204), "{status}");
                }
            }
        }
    }
}
